// The console in a real browser: journeys of several people, every page at two widths by day and
// by night with axe-core, keyboard, figures that follow. With SCREENSHOTS it writes pictures there.
//
//   node browser.mjs TANDEM PROGRAMME FOLDER

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const [tandem, programme, folder] = process.argv.slice(2);
const pictures = process.env.SCREENSHOTS;
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

const SIZES = { desktop: { width: 1280, height: 860 }, phone: { width: 390, height: 844 } };
// As in the agreement of the programme: the servicer, who also lends.
const PARTY = "cloud";

/** Starts the demo and tells where it listens. */
async function serve() {
  rmSync(folder, { recursive: true, force: true });
  // Passkeys are for a name, so the port must be known before.
  const port = await new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
  const address = ["--listen", `127.0.0.1:${port}`, "--base", `http://localhost:${port}`];
  const options = ["serve", programme, "--demo", "--data", folder, ...address];
  const server = spawn(tandem, options, { stdio: ["ignore", "pipe", "ignore"] });
  let base, password;
  for await (const line of createInterface({ input: server.stdout })) {
    base ??= line.match(/listens on (\S+?)(;|$)/)?.[1];
    password ??= line.match(/the password is (\S+)/)?.[1];
    if (base && password) return { server, base, password };
  }
  throw new Error("the demo ended before it listened");
}

const { server, base, password } = await serve();
const found = [];

/** A person's browser; what the page's console says against it counts as found. */
async function person(browser, login, options = {}) {
  const context = await browser.newContext({ locale: "en", viewport: SIZES.desktop, ...options });
  const page = await context.newPage();
  page.on("console", (message) => {
    if (message.type() === "error" && !message.text().includes("403")) found.push(`${page.url()}: ${message.text()}`);
  });
  page.on("pageerror", (error) => found.push(`${page.url()}: ${error}`));
  if (login) await signIn(page, login);
  return page;
}

/** Enters name and password. */
async function enter(page, login, word = password) {
  await page.goto(`${base}/console/sign-in`);
  await page.fill("[name=login]", login);
  await page.fill("[name=password]", word);
  await page.click("main button.primary");
}

async function signIn(page, login) {
  await enter(page, login);
  // A demo tells the code.
  const code = (await page.textContent("main .notice")).match(/\d{6}/)[0];
  await page.fill("[name=code]", code);
  await page.click("main button.primary");
  await page.waitForSelector("#menu", { state: "attached" });
}

/** Goes to a page from another by a link in it. */
async function follow(page, selector) {
  await page.locator(selector).first().click();
  await page.waitForLoadState();
}

async function journeys(browser) {
  const stranger = await person(browser);
  await stranger.goto(`${base}/console/loans`);
  await stranger.fill("[name=login]", PARTY);
  await stranger.fill("[name=password]", "not the password");
  await stranger.click("main button.primary");
  assert.match(await stranger.textContent("[role=alert]"), /Name or password is wrong/);

  const desk = await person(browser, PARTY);
  const approver = await person(browser, `${PARTY}-approver`);

  // From the overview to a late loan, and a proposal about it.
  await desk.goto(`${base}/console`);
  await follow(desk, "#classes tbody tr:nth-child(2) a");
  await follow(desk, "#list tbody a");
  const loan = desk.url();
  const key = await desk.textContent("h1");
  await desk.click("#charge-off summary");
  await desk.fill("#charge-off [name=reason]", "The borrower has died.");
  await desk.click("#charge-off button");
  await desk.waitForURL(/approvals$/);
  assert.equal(await desk.locator("#open tbody tr").count(), 1);

  // Another approves; it is written off.
  await approver.goto(`${base}/console`);
  assert.equal(await approver.textContent("#menu .waiting"), "1");
  await follow(approver, "#menu a[href$=approvals]");
  await follow(approver, "#open tbody a[href*='approvals/']");
  await approver.click("#decide button >> nth=0");
  await approver.waitForSelector("h1 .badge.good, h1 .badge:has-text('Carried out')");
  await desk.goto(loan);
  assert.match(await desk.textContent("h1"), /Written off/, key);

  // From a balance to a posting to the event behind it, and back to the loan.
  await desk.goto(`${base}/console/ledger`);
  await follow(desk, "#assets a[href$='1310']");
  await follow(desk, "#postings tbody a");
  assert.match(desk.url(), /ledger\/events\/\d+$/);
  await follow(desk, "#facts a[href*=loans]");

  // Figures follow while one looks.
  await desk.goto(`${base}/console/journal`);
  const before = await desk.textContent("#close dd");
  const other = await person(browser, "river");
  await other.goto(`${base}/console/developer`);
  await other.click("#sandbox button");
  await other.waitForLoadState();
  await desk.waitForFunction((before) => document.querySelector("#close dd").textContent !== before, before);

  // A lender's policy changes by two of its own people.
  await other.goto(`${base}/console/agreement`);
  await follow(other, "#policy a[href*='of=policy'] >> nth=1");
  const policy = await other.inputValue("[name=policy]");
  await other.fill("[name=policy]", policy.replace(/^version = .*$/m, 'version = "next"'));
  await other.fill("[name=reason]", "Losses are too high.");
  await other.click("#draft button");
  await other.waitForURL(/amendments\/1$/);
  const second = await person(browser, "river-approver");
  await second.goto(other.url());
  await second.click("#decide button >> nth=0");
  await second.waitForSelector("h1 .badge.good");

  // An amendment: one of the party proposes it, another approves, then the next party sees it.
  await desk.goto(`${base}/console/agreement`);
  await follow(desk, "#amendments a[href$=amendments]");
  const text = await desk.inputValue("[name=agreement]");
  await desk.fill("[name=agreement]", text.replace("grace_days = 3", "grace_days = 5"));
  await desk.fill("[name=reason]", "Borrowers ask for two more days of grace.");
  await desk.click("#draft button");
  await desk.waitForURL(/amendments\/2$/);
  assert.match(await desk.textContent("#changes ins >> nth=1"), /grace_days = 5/);
  const amendment = desk.url();
  assert.equal((await other.goto(amendment)).status(), 404);
  found.splice(0, found.length, ...found.filter((line) => !line.includes(amendment)));
  await approver.goto(amendment);
  await approver.click("#decide button >> nth=0");
  await approver.waitForSelector("#consents .badge.good");
  await other.goto(amendment);
  await other.click("#decide button >> nth=0");
  await other.waitForSelector("#consents .badge.warn");

  // Who did that is in the audit log; each party's auditor sees its own.
  const auditor = await person(browser, `${PARTY}-auditor`);
  await auditor.goto(`${base}/console/audit?check=yes`);
  assert.match(await auditor.textContent("#checked .good"), /The chain is whole/);
  await auditor.fill("[name=object]", "amendments/2/approve");
  await auditor.click("#filter button");
  await auditor.waitForURL(/object=/);
  assert.match(await auditor.textContent("#entries tbody"), /approver.*Sent: done.*approve/s);
  assert.doesNotMatch(await auditor.textContent("#entries tbody"), /River/);

  // A language and a look stay.
  await desk.click("button[value=zh]");
  await desk.waitForLoadState();
  assert.equal(await desk.getAttribute("html", "lang"), "zh");
  await desk.click("button[value=dark]");
  await desk.waitForLoadState();
  assert.equal(await desk.evaluate(() => getComputedStyle(document.documentElement).colorScheme), "dark");

  // By keyboard: over the navigation to the content; the menu of a phone opens and closes.
  await approver.goto(`${base}/console`);
  await approver.keyboard.press("Tab");
  assert.equal(await approver.evaluate(() => document.activeElement.className), "skip");
  await approver.keyboard.press("Enter");
  assert.equal(await approver.evaluate(() => document.activeElement.id), "main");
  await approver.setViewportSize(SIZES.phone);
  await approver.focus(".menu-button");
  await approver.keyboard.press("Enter");
  await approver.waitForSelector("#menu:popover-open");
  await approver.keyboard.press("Escape");
  await approver.waitForSelector("#menu:popover-open", { state: "detached" });
  await approver.click("#menu a[href$=loans]", { timeout: 1_000 }).then(
    () => found.push("a closed menu can be used"),
    () => {},
  );

  // What the book refuses is a case of who sent it.
  const payment = `${folder}/payment.json`;
  writeFileSync(payment, JSON.stringify({ reference: "BANK-4711", amount: { amount: 10_000, currency: "CNY" } }));
  const caller = ["--client", `demo-${PARTY}`, "--key", `${folder}/keys/${PARTY}.pem`, "--base", base];
  const call = ["call", "POST", "/v1/agreements/marketplace/loans/M-4711/payments", "--body", payment, ...caller];
  assert.throws(() => execFileSync(tandem, call, { stdio: "ignore" }));
  await desk.goto(`${base}/console/cases`);
  assert.match(await desk.textContent("#open tbody"), /BANK-4711/);
  // That it called is in the audit log too, half a second later.
  await auditor.waitForTimeout(1_000);
  await auditor.goto(`${base}/console/audit?person=demo-${PARTY}`);
  assert.match(await auditor.textContent("#entries tbody"), /Called: .*payments.*reference: BANK-4711/s);

  // What a lender refers its people decide: one application is approved, another waits.
  const application = JSON.parse(readFileSync(`${programme}/../partner/application.json`));
  application.fields.debt_to_income = null;
  const platform = ["--client", "demo-bazaar", "--key", `${folder}/keys/bazaar.pem`, "--base", base];
  for (const reference of ["REF-1", "REF-2"]) {
    writeFileSync(payment, JSON.stringify({ ...application, reference }));
    const apply = ["call", "POST", "/v1/agreements/marketplace/applications", "--body", payment, ...platform];
    execFileSync(tandem, apply, { stdio: "ignore" });
  }
  await other.goto(`${base}/console`);
  await follow(other, "#menu a[href$=referrals]");
  assert.equal(await other.locator("#open tbody tr").count(), 2);
  await follow(other, "#open tbody a");
  await other.click("#approve button");
  await other.waitForLoadState();
  await other.goto(`${base}/console/referrals`);
  assert.equal(await other.locator("#open tbody tr").count(), 1);

  // A passkey is added, and signs in without password and code.
  const device = await desk.context().newCDPSession(desk);
  await device.send("WebAuthn.enable");
  const sort = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true };
  const options = { ...sort, isUserVerified: true, automaticPresenceSimulation: true };
  await device.send("WebAuthn.addVirtualAuthenticator", { options });
  await follow(desk, "#menu .person a");
  await desk.fill("#add [name=name]", "Laptop");
  await desk.fill("#add [name=password]", password);
  await desk.click("#add button");
  await desk.waitForSelector("#passkeys tbody tr button");
  // A device that has a key makes no other.
  await desk.fill("#add [name=password]", password);
  await desk.click("#add button");
  await desk.waitForSelector("#add [role=alert]:not([hidden])");
  const account = await desk.context().cookies();
  await desk.click("#menu .person button");
  await desk.waitForURL(/sign-in$/);
  await desk.click("form.passkey button");
  await desk.waitForSelector("#menu", { state: "attached" });
  assert.notDeepEqual(await desk.context().cookies(), account);

  // A webhook is added, and somebody new, who is to choose a password.
  await approver.setViewportSize(SIZES.desktop);
  await desk.goto(`${base}/console/developer`);
  await desk.click("#add-webhook summary");
  await desk.fill("#add-webhook [name=url]", "https://cloud.example/events");
  await desk.click("#add-webhook button");
  await desk.waitForSelector("h1");
  const webhook = desk.url();
  await desk.goto(`${base}/console/people`);
  await desk.fill("[name=name]", "Li Wei");
  await desk.fill("[name=login]", "li.wei@cloud");
  await desk.click("main form button.primary");
  const first = (await desk.textContent("main")).match(/[0-9a-z]{4}(-[0-9a-z]{4}){3}/)[0];

  // Signed out, nothing is left.
  await other.click("#menu .person button");
  await other.waitForURL(/sign-in$/);
  await other.goto(loan);
  assert.match(other.url(), /sign-in\?next=/);
  return { loan, key, amendment, auditor, webhook, first };
}

/** Addresses of one page of each kind, by name. */
async function pages(desk, { loan, amendment, webhook }) {
  const first = async (path, selector) => {
    await desk.goto(`${base}${path}`);
    return await desk.locator(selector).first().getAttribute("href");
  };
  const console = "/console";
  return {
    overview: console,
    applications: `${console}/applications`,
    application: loan.slice(base.length).replace("/loans/", "/applications/"),
    loans: `${console}/loans`,
    loan: await first(`${console}/loans?state=late`, "#list tbody a"),
    "loan-written-off": loan.slice(base.length),
    agreement: `${console}/agreement`,
    amendment: amendment.slice(base.length),
    "amendment-draft": `${console}/agreement/amendments`,
    "policy-draft": `${console}/agreement/amendments?of=policy`,
    settlements: `${console}/settlements`,
    settlement: await first(`${console}/settlements`, "#windows tbody a"),
    statement: `${console}/statements`,
    ledger: `${console}/ledger`,
    account: `${console}/ledger/accounts/1310`,
    event: await first(`${console}/ledger/accounts/1310`, "#postings tbody a"),
    cases: `${console}/cases`,
    case: await first(`${console}/cases`, "#open tbody a[href*='/cases/']"),
    approvals: `${console}/approvals`,
    approval: await first(`${console}/approvals`, "main a[href*='/approvals/']").catch(() => `${console}/approvals/1`),
    journal: `${console}/journal`,
    developer: `${console}/developer`,
    webhook: webhook.slice(base.length),
    client: await first(`${console}/developer`, "#clients tbody a"),
    "open-api": "/docs",
    archives: `${console}/archives`,
    "own-account": `${console}/account`,
    people: `${console}/people`,
    person: await first(`${console}/people`, "#people tbody a"),
    nothing: `${console}/nothing`,
  };
}

/** Looks at a page: no serious finding of axe-core, nothing wider than the screen. */
async function look(page, name, size, theme) {
  await page.evaluate(axe);
  const { violations } = await page.evaluate(() => globalThis.axe.run());
  for (const { id, impact, help, nodes } of violations) {
    if (["serious", "critical"].includes(impact)) {
      found.push(`${name} (${size}, ${theme}): ${id}: ${help}: ${nodes[0].html.slice(0, 120)}`);
    }
  }
  const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  if (beyond > 0) found.push(`${name} (${size}, ${theme}): ${beyond} px wider than the screen`);
  if (pictures) {
    const path = `${pictures}/${name}-${size}-${theme}.png`;
    await page.screenshot({ path });
    // Smaller by two thirds, where the program is there.
    try {
      execFileSync("pngquant", ["--force", "--skip-if-larger", "--ext", ".png", "--quality", "60-90", path]);
    } catch {}
  }
}

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find(existsSync);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
let shown = 0;
try {
  if (pictures) mkdirSync(pictures, { recursive: true });
  const told = await journeys(browser);
  // The journeys used the code of this half minute; the next one comes.
  const again = (login) =>
    person(browser, login).catch(async () => {
      await new Promise((resolve) => setTimeout(resolve, 30_000));
      return await person(browser, login);
    });
  const desk = await again(PARTY);
  const addresses = await pages(desk, told);
  const cookies = await desk.context().cookies();
  const auditor = await told.auditor.context().cookies();
  const river = await (await again("river")).context().cookies();
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ["light", "dark"]) {
      const guest = await person(browser, undefined, { viewport, colorScheme });
      await guest.goto(`${base}/console/sign-in`);
      await look(guest, "sign-in", size, colorScheme);
      await enter(guest, PARTY);
      await look(guest, "sign-in-code", size, colorScheme);
      await enter(guest, "li.wei", told.first);
      await look(guest, "sign-in-enrol", size, colorScheme);
      await guest.context().addCookies(cookies);
      for (const [name, path] of Object.entries(addresses)) {
        const answer = await guest.goto(`${base}${path}`);
        if (answer.status() !== (name === "nothing" ? 404 : 200)) found.push(`${name}: ${answer.status()}`);
        await look(guest, name, size, colorScheme);
        shown += 1;
      }
      await guest.context().addCookies(auditor);
      await guest.goto(`${base}/console/audit`);
      await look(guest, "audit", size, colorScheme);
      await guest.context().addCookies(river);
      await guest.goto(`${base}/console/referrals`);
      await look(guest, "referrals", size, colorScheme);
      await follow(guest, "#open tbody a");
      await look(guest, "referral", size, colorScheme);
      shown += 3;
    }
  }
} finally {
  await browser.close();
  server.kill();
}
const real = found.filter((line) => !/nothing: Failed to load resource.*404/.test(line));
for (const line of real) console.error(line);
console.log(`${shown} pages looked at, ${real.length} findings`);
process.exit(real.length ? 1 : 0);
