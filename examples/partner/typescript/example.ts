/**
 * A loan from application to first payment, over the API. Start a service with a demo first:
 *
 *     tandem serve examples/marketplace --demo
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { Client } from "./client.ts";

type Money = { amount: number; currency: string };
type Agreement = { id: string; title: string; currency: string; business_date: string };
type Part = { lender: string; amount: Money; rate: string };
type Application = { state: string; reasons?: string[]; offer?: { parts: Part[] } };
type Instalment = { due: string; principal: Money; interest: Money; fees: Money };
type Loan = { totals: { received: Money } };
type Receipt = { reference: string; outcome: string };
type Posting = { account: number; account_name: string; amount: Money };

const { values: options } = parseArgs({
  options: {
    base: { type: "string", default: "http://127.0.0.1:8080" },
    keys: { type: "string", default: "demo/keys" },
    reference: { type: "string", default: `A-${randomUUID()}` },
  },
});
const { base, keys, reference } = options as { base: string; keys: string; reference: string };
const client = (party: string) => new Client(base, `demo-${party}`, readFileSync(`${keys}/${party}.pem`, "utf8"));
const money = ({ amount, currency }: Money) => `${(amount / 100).toFixed(2)} ${currency}`;

const [platform, servicer] = [client("bazaar"), client("cloud")];
const [agreement] = await platform.get<Agreement[]>("/v1/agreements");
const root = `/v1/agreements/${agreement.id}`;
console.log(`${agreement.title}, business date ${agreement.business_date}`);

const file = new URL("../application.json", import.meta.url);
const application = { ...JSON.parse(readFileSync(file, "utf8")), reference };
// Application and key are the caller's: submitted again, it gives the same answer.
const decided = await platform.post<Application>(`${root}/applications`, application, reference);
console.log(`${reference}: ${decided.state}`, ...(decided.reasons ?? []));
if (decided.state === "offered") {
  for (const part of decided.offer?.parts ?? []) {
    console.log(`  ${part.lender} funds ${money(part.amount)} at ${part.rate}`);
  }
  await platform.post(`${root}/applications/${reference}/acceptance`);
  const loan = `${root}/loans/${reference}`;
  const schedule = await platform.get<Instalment[]>(`${loan}/schedule`);
  const { due, principal, interest, fees } = schedule[0];
  const first = { amount: principal.amount + interest.amount + fees.amount, currency: agreement.currency };
  console.log(`${schedule.length} instalments, the first of ${money(first)} on ${due}`);

  const payment = { reference: `${reference}-1`, amount: first };
  const receipt = await servicer.post<Receipt>(`${loan}/payments`, payment);
  const { totals } = await servicer.get<Loan>(loan);
  console.log(`payment ${receipt.reference}: ${receipt.outcome}; received ${money(totals.received)}`);
  for (const posting of await servicer.get<Posting[]>(`${loan}/postings`)) {
    console.log(`  ${posting.account} ${posting.account_name.padEnd(32)}${money(posting.amount).padStart(18)}`);
  }
}
