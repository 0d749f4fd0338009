//! What is noted of people's doings, and who reads it.

use rusqlite::params;
use tandem_client::key::{Algorithm, Jwks, SigningKey};

use super::book::Book;
use super::pages::{console, is_golden, words};
use super::*;
use crate::audit::{self, Act, Entry};

/// A party's entries, oldest first.
fn entries(console: &Browser, party: &str) -> Vec<Entry> {
    let lines = audit::lines(&console.entries, party, 0).unwrap();
    let entries = lines
        .iter()
        .map(|line| line.text.split_once(' ').unwrap().1);
    entries
        .map(|text| serde_json::from_str(text).unwrap())
        .collect()
}

/// What an entry says, in a line.
fn said(entry: &Entry) -> String {
    let fields = entry
        .fields
        .iter()
        .map(|(name, value)| format!("{name}={value}"));
    let answers = entry.answers.map(|number| format!("answers {number}"));
    let status = entry.status.map(|status| status.to_string());
    let all = [
        entry.number.to_string(),
        entry.login.clone(),
        entry.act.name().to_owned(),
        entry.object.clone(),
    ];
    let all = all.into_iter().chain(fields).chain(answers).chain(status);
    all.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn who_saw_and_did_what_is_noted_in_order() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut desk, mut approver) = console.desk_and_approver("cloud").await;
    desk.get("/console/loans/A-1").await;
    desk.get("/console/loans/A-9").await;
    desk.get("/console/people").await;
    let fields = [
        ("what", "waive"),
        ("loan", "A-1"),
        ("component", "fee"),
        ("amount", "99999.00"),
        ("reason", "Goodwill."),
    ];
    desk.fill("/console/loans/A-1", "/console/approvals", &fields)
        .await;
    approver
        .fill("/console/approvals/1", "/console/approvals/1/approve", &[])
        .await;
    desk.post("/console/approvals", "made up", &fields).await;
    let form = desk.get("/console").await.hidden("form");
    desk.post("/console/sign-out", &form, &[]).await;
    let entries = entries(&console, "cloud");
    let found: Vec<_> = entries.iter().map(said).collect();
    assert_eq!(
        found,
        [
            "1 desk viewed /loans/A-1 200",
            "2 desk viewed /loans/A-9 404",
            "3 desk viewed /people 403",
            "4 desk viewed /loans/A-1 200",
            "5 desk asked /approvals amount=99999.00 component=fee loan=A-1 reason=Goodwill. what=waive",
            "6 desk answered /approvals answers 5 303",
            "7 approver viewed /approvals/1 200",
            "8 approver asked /approvals/1/approve",
            // The book refused.
            "9 approver answered /approvals/1/approve answers 8 422",
            // Nothing was asked for by a form from elsewhere.
            "10 desk asked /approvals 403",
            "11 desk viewed / 200",
            "12 desk asked /sign-out",
            "13 desk answered /sign-out answers 12 303",
        ]
    );
    for entry in &entries {
        assert_eq!(
            (entry.address.as_str(), entry.at),
            ("203.0.113.7", 1_700_000_000)
        );
        assert_eq!(entry.book, "marketplace");
    }
    audit::check(&console.entries, "cloud", None)
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn signing_in_and_failing_to_is_noted_without_what_was_typed() {
    let mut browser = Browser::new(false);
    browser.person(true);
    browser.password("a password that is wrong").await;
    browser.password(PASSWORD).await;
    browser.enter_code("000000").await;
    let code = browser.code();
    browser.enter_code(&code).await;
    let fields = [
        ("login", "my-secret-password"),
        ("password", "li.wei@river.example"),
    ];
    browser
        .fill("/console/elsewhere", "/console/sign-in", &fields)
        .await;
    browser.audit.written().await;
    // Who fails does not wait for the disk, so what others did meanwhile may come before it.
    let first = entries(&browser, "river").into_iter().take(4);
    let mut found: Vec<_> = first
        .map(|entry| said(&Entry { number: 0, ..entry }))
        .collect();
    found.sort();
    let li = "0 li.wei@river.example";
    assert_eq!(
        found,
        [
            format!("{li} sign_in_failed /sign-in"),
            format!("{li} sign_in_failed /sign-in/code"),
            format!("{li} signed_in /sign-in/code"),
            format!("{li} viewed /elsewhere 404"),
        ]
    );
    // Nobody has the name, so the entry is the operator's, and without the name.
    let found: Vec<_> = entries(&browser, "").iter().map(said).collect();
    assert_eq!(found, ["1  sign_in_failed /sign-in"]);
    // More of them from the same address are counted, and not an entry each.
    for number in 0..3 {
        let login = format!("made up {number}");
        let fields = [("login", login.as_str()), ("password", "anything")];
        browser
            .fill("/console/elsewhere", "/console/sign-in", &fields)
            .await;
    }
    browser.audit.written().await;
    assert_eq!(entries(&browser, "").len(), 1);
    let secrets = browser.entries.with(|connection| {
        let text = "select count(*) from audit where instr(entry, 'password') or instr(entry, ?1)";
        connection.query_row(text, params![code], |row| row.get::<_, i64>(0))
    });
    assert_eq!(secrets.unwrap(), 0);
}

#[tokio::test]
async fn tries_that_cost_nothing_do_not_fill_the_log() {
    let mut browser = Browser::new(false);
    browser.person(true);
    for _ in 0..8 {
        browser.password("a password that is wrong").await;
    }
    let passkey = "/console/sign-in/passkey";
    browser.fill("/console/sign-in", passkey, &[]).await;
    browser.audit.written().await;
    // Five that counted; then the name waits.
    assert_eq!(entries(&browser, "river").len(), 5);
    assert_eq!(entries(&browser, "").len(), 0);
}

#[tokio::test]
async fn an_entry_has_bounds_and_no_private_key() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut desk = console.signed_in("desk", "cloud", &[Role::Admin]).await;
    let names: Vec<_> = (0..42)
        .map(|at| format!("{at}{}", "x".repeat(600)))
        .collect();
    let long = "y".repeat(600);
    let mut fields: Vec<_> = names.iter().map(|name| (name.as_str(), "\u{1}")).collect();
    // Junk before a field, or of the same name, hides nothing of it.
    let spaced = format!("{}cloud-9", " ".repeat(600));
    fields.extend([
        ("client", spaced.as_str()),
        ("keys", "{\"kty\":\"OKP\",\"d\":\"nobody may know\"}"),
        ("key", "-----BEGIN PRIVATE KEY-----\nnobody may know"),
        ("scopes", &long),
        ("scopes", "PRIVATE KEY"),
        ("scopes", "loans:write"),
    ]);
    let developer = "/console/developer";
    let page = desk.fill(developer, developer, &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    let asked = |entries: Vec<Entry>| {
        let mut entries = entries.into_iter().rev();
        entries.find(|entry| entry.act == Act::Asked).unwrap()
    };
    let said = asked(entries(&console, "cloud")).fields;
    assert_eq!(
        ["client", "key", "keys"].map(|name| said[name].as_str()),
        ["cloud-9", "…", "…"]
    );
    assert!(said["scopes"].ends_with("y…, …, loans:write"), "{said:?}");
    assert_eq!(said.len(), 46);
    assert!(said.keys().all(|name| name.chars().count() <= 501));
    // What would have no place in the entry is refused.
    fields.extend([("more", ""); 3]);
    let page = desk.fill(developer, developer, &fields).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    page.says("The form has too many fields");
    page.says(
        "A form has at most 50 fields here. Nothing was done; reload the page and send it again.",
    );
    let entry = asked(entries(&console, "cloud"));
    assert_eq!((entry.status, entry.fields.len()), (Some(400), 0));
}

#[tokio::test]
async fn what_cannot_be_noted_is_neither_shown_nor_done() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut desk = console
        .signed_in("desk", "cloud", &[Role::Operations, Role::Admin])
        .await;
    let mut guest = console.another();
    console.person(true);
    desk.get("/console/loans/A-1").await.says("60,000.00");
    let form = desk.get("/console/people").await.hidden("form");
    let full = "create trigger full before insert on audit begin select raise(abort, 'the disk is full'); end";
    console
        .entries
        .with(|connection| connection.execute_batch(full))
        .unwrap();
    let page = desk.get("/console/loans/A-1").await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(!page.body.contains("60,000.00"), "{}", page.body);
    page.says("Something failed on our side");
    let new = [("name", "Li Wei"), ("login", "li@cloud"), ("roles", "risk")];
    let page = desk.post("/console/people", &form, &new).await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        people::by_login(&console.registry, "li@cloud").unwrap(),
        None
    );
    guest.password(PASSWORD).await;
    let code = guest.code();
    let page = guest.enter_code(&code).await;
    assert_eq!(page.status, StatusCode::INTERNAL_SERVER_ERROR);
    let page = guest.get("/console/loans/A-1").await;
    assert!(
        page.location.starts_with("/console/sign-in"),
        "{}",
        page.location
    );
}

#[tokio::test]
async fn a_page_that_follows_the_book_is_noted_every_ten_minutes() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut river = console.signed_in("river", "river", &[Role::Viewer]).await;
    let mut noted = Vec::new();
    for (follows, seconds) in [
        (false, 0),
        (true, 5),
        (true, 590),
        (true, 5),
        (true, 5),
        (false, 5),
    ] {
        river.pass(seconds);
        river.follows = follows;
        river.get("/console/loans").await;
        noted.push(entries(&console, "river").len());
    }
    assert_eq!(noted, [1, 1, 1, 2, 2, 3]);
    // What is refused is noted each time.
    river.follows = true;
    river.get("/console/loans/A-9").await;
    river.get("/console/loans/A-9").await;
    assert_eq!(entries(&console, "river").len(), 5);
}

#[tokio::test]
async fn an_auditor_reads_the_party_s_own_entries_and_no_others() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut auditor = console
        .signed_in("auditor", "river", &[Role::Auditor])
        .await;
    let mut river = console
        .signed_in("river", "river", &[Role::Risk, Role::Admin])
        .await;
    let mut cloud = console.signed_in("cloud", "cloud", &[Role::Risk]).await;
    river.get("/console/loans/A-1").await;
    // Past midnight; nobody is away for long.
    for _ in 0..5 {
        river.pass(24 * 60);
        for browser in [&mut auditor, &mut river, &mut cloud] {
            browser.get("/console/sign-in").await;
        }
    }
    let case = "/console/cases/referral:A-3";
    river
        .fill(case, case, &[("note", "Ask for payslips.")])
        .await;
    cloud.get("/console/applications/A-5").await;
    let call = |act, count| Entry {
        client: "river-1".to_owned(),
        address: "203.0.113.9".to_owned(),
        method: "POST".to_owned(),
        status: Some(if act == Act::Called { 201 } else { 401 }),
        fields: [("reference".to_owned(), "S-1".to_owned())].into(),
        count,
        ..Entry::new(
            ("river", ""),
            act,
            "/v1/agreements/marketplace/loans/A-1/transactions",
            1_700_000_000,
        )
    };
    let mut calls = [call(Act::Called, None), call(Act::CallFailed, Some(12))];
    audit::append(&console.entries, &mut calls).unwrap();
    for path in [
        "/console/audit",
        "/console/audit/export",
        "/console/audit?check=yes",
    ] {
        assert_eq!(
            river.get(path).await.status,
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
    let page = auditor.get("/console/audit?check=yes").await;
    is_golden(
        "audit.txt",
        &words(&page).replace(&head(&console, "river"), "HASH"),
    );
    page.says("The chain is whole");
    // By person, by what it was about, by day.
    for (query, shown, hidden) in [
        ("person=auditor", "auditor of river", "A-3"),
        ("person=river-1", "reference: S-1", "A-3"),
        ("object=A-1", "Loans · A-1", "referral:A-3"),
        ("day=2023-11-15", "referral:A-3", "Loans · A-1"),
        ("day=2023-11-14&person=river", "A-1", "referral:A-3"),
        ("object=A-5", "No entry is like this", "A-5<"),
    ] {
        let page = auditor.get(&format!("/console/audit?{query}")).await;
        let table = page.body.split("id=\"entries\"").nth(1).unwrap();
        let table = table.split("</section>").next().unwrap();
        assert!(
            table.contains(shown) && !table.contains(hidden),
            "{query}: {table}"
        );
    }
    let export = auditor.get("/console/audit/export").await;
    let mut checker = audit::Checker::default();
    for line in export.body.lines() {
        checker.line(line).unwrap();
    }
    assert_eq!(checker.party(), Some("river"));
    assert!(!export.body.contains("/applications/A-5") && !export.body.contains("cloud"));
    assert!(!export.body.contains("payslips"));
    assert_eq!(
        export.headers[header::CONTENT_DISPOSITION],
        "attachment; filename=\"audit-river.log\""
    );
}

fn head(console: &Browser, party: &str) -> String {
    let head = console
        .entries
        .with(|connection| audit::head(connection, party));
    let mut lines = audit::lines(&console.entries, party, 0).unwrap();
    // The page shows the chain before its own entry.
    let last = lines.len() as i64;
    assert_eq!(head.unwrap().number, last);
    let shown = lines.remove(lines.len() - 2);
    shown.text.split_once(' ').unwrap().0.to_owned()
}

#[tokio::test]
async fn long_lists_go_on_and_a_broken_chain_is_said() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut auditor = console
        .signed_in("auditor", "river", &[Role::Auditor])
        .await;
    for _ in 0..101 {
        auditor.get("/console/loans").await;
    }
    let page = auditor.get("/console/audit?person=auditor").await;
    assert_eq!(
        page.body.matches("Loans</a>").count(),
        101,
        "a hundred, and the navigation's"
    );
    page.says("/console/audit?person=auditor&#38;object=&#38;day=&#38;before=2");
    let tamper = "drop trigger audit_changed;
        update audit set entry = replace(entry, '/loans', '/cases') where number = 7";
    console
        .entries
        .with(|connection| connection.execute_batch(tamper))
        .unwrap();
    let page = auditor.get("/console/audit?check=yes").await;
    page.says("The chain is broken: entry 7 of `river` does not follow from those before it");
    assert_eq!(entries(&console, "river").last().unwrap().act, Act::Viewed);
}

#[tokio::test]
async fn a_client_named_like_a_person_does_not_show_what_the_person_did() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut admin = console.signed_in("admin", "river", &[Role::Admin]).await;
    let mut colleague = console.signed_in("river.wei", "river", &[Role::Risk]).await;
    colleague.get("/console/loans/A-1").await;
    let pem = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let keys = vec![SigningKey::from_pem(&pem).unwrap().public().to_jwk()];
    let keys = serde_json::to_string(&Jwks { keys }).unwrap();
    let developer = "/console/developer";
    let client = [
        ("client", "river.wei"),
        ("keys", &keys),
        ("scopes", "loans:read"),
    ];
    let page = admin.fill(developer, developer, &client).await;
    assert_eq!(page.location, developer, "{}", page.body);
    let mut call = [Entry {
        client: "river.wei".to_owned(),
        ..Entry::new(
            ("river", ""),
            Act::Called,
            "/v1/agreements/marketplace/loans/A-5/transactions",
            1_700_000_000,
        )
    }];
    audit::append(&console.entries, &mut call).unwrap();
    let page = admin.get("/console/developer/river.wei").await;
    page.says("A-5");
    assert!(!page.body.contains("A-1"), "{}", page.body);
}

#[tokio::test]
async fn who_fails_does_not_wait_for_the_audit_log() {
    let mut browser = Browser::new(false);
    browser.person(true);
    let full = "create trigger full before insert on audit begin select raise(abort, 'the disk is full'); end";
    browser
        .entries
        .with(|connection| connection.execute_batch(full))
        .unwrap();
    for login in ["li.wei@river.example", "nobody"] {
        let fields = [("login", login), ("password", "a guess")];
        let page = browser
            .fill("/console/sign-in", "/console/sign-in", &fields)
            .await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        page.says("Name or password is wrong. Please try again.");
    }
}
