//! What an administrator does about people counts once another confirms it.

use super::amendments::{self, ONE};
use super::book::Book;
use super::pages::{console, is_golden, words};
use super::*;
use crate::registry::Registry;

const PEOPLE: &str = "/console/people";

/// The person that signs in with a name, or with the name and the party.
fn found(console: &Browser, login: &str) -> people::Person {
    let by = |login: &str| people::by_login(&console.registry, login).unwrap();
    by(login).or_else(|| by(&format!("{login}@cloud"))).unwrap()
}

/// The number of the person that signs in with a name.
fn person(console: &Browser, login: &str) -> i64 {
    found(console, login).id
}

/// What somebody may do now.
fn roles(console: &Browser, login: &str) -> Vec<&'static str> {
    found(console, login).roles.iter().map(Role::name).collect()
}

/// An administrator adds somebody, who signs in for the first time.
async fn add(admin: &mut Browser, login: &str, roles: &[&str]) -> Browser {
    invite(admin, login, roles).await;
    let added = person(admin, login);
    admin.enrol(added);
    admin.goes_on(added)
}

async fn invite(admin: &mut Browser, login: &str, roles: &[&str]) {
    let own = format!("{login}@cloud");
    let mut fields = vec![("name", login), ("login", &own)];
    fields.extend(roles.iter().map(|role| ("roles", *role)));
    let page = admin.fill(PEOPLE, PEOPLE, &fields).await;
    page.says("another administrator has confirmed it, this person may only look.");
}

/// An administrator confirms what the person's page shows.
async fn confirm(admin: &mut Browser, login: &str) -> Page {
    let path = format!("{PEOPLE}/{}", person(admin, login));
    let change = admin.get(&path).await.hidden("change");
    let fields = [("change", change.as_str())];
    admin.fill(&path, &format!("{path}/confirm"), &fields).await
}

/// What is said to an administrator who cannot confirm a change, on the page and when it is tried.
async fn cannot_confirm(admin: &mut Browser, login: &str, said: &str) {
    let path = format!("{PEOPLE}/{}", person(admin, login));
    let page = admin.get(&path).await;
    page.says(said);
    assert!(!page.body.contains("/confirm"), "{}", page.body);
    let page = admin.fill(&path, &format!("{path}/confirm"), &[]).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says(said);
}

async fn admins(console: &Browser, roles: &[Role]) -> (Browser, Browser) {
    let roles: Vec<_> = roles.iter().copied().chain([Role::Admin]).collect();
    let one = console.signed_in("zhao", "cloud", &roles).await;
    (one, console.signed_in("qian", "cloud", &roles).await)
}

const WRITE_OFF: [(&str, &str); 3] = [
    ("what", "charge-off"),
    ("loan", "A-1"),
    ("reason", "She died."),
];

#[tokio::test]
async fn whoever_is_added_may_look_until_another_administrator_confirms_it() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut zhao, mut qian) = admins(&console, &[]).await;
    invite(&mut zhao, "li", &["operations", "approver"]).await;
    let path = format!("{PEOPLE}/{}", person(&console, "li"));
    let not_self = "Another administrator must confirm what is changed about li: neither who changed \
                    it nor the person. If there is no other, the operator adds one (tandem person).";
    cannot_confirm(&mut zhao, "li", not_self).await;
    let not_enrolled = "li has not set up a password and an authenticator yet. Confirm it after \
                        that, when li tells you so.";
    cannot_confirm(&mut qian, "li", not_enrolled).await;
    let page = qian.get(PEOPLE).await;
    assert!(!page.body.contains("class=\"waiting\""), "{}", page.body);
    let li = person(&console, "li");
    console.enrol(li);
    let mut li = console.goes_on(li);

    li.get("/console/account").await.says(
        "An administrator has added you, changed your roles or reset your sign-in. Until another \
         administrator confirms it, you have the roles that stand here: ask one to do so on the \
         page People.",
    );
    let page = li.fill("/console", "/console/approvals", &WRITE_OFF).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = qian.get(PEOPLE).await;
    page.says("<span class=\"waiting\">1</span>");
    is_golden("people-awaited.txt", &words(&page));
    let page = qian.get(&path).await;
    page.says(
        "Ask li whether it is so wanted and who set up the sign-in. zhao of cloud, who changed",
    );
    is_golden("person-awaited.txt", &words(&page));
    qian.cookies.push(("language".to_owned(), "zh".to_owned()));
    is_golden("person-awaited.zh.txt", &words(&qian.get(&path).await));
    qian.cookies.pop();

    assert_eq!(confirm(&mut qian, "li").await.location, PEOPLE);
    assert_eq!(roles(&console, "li"), ["viewer", "operations", "approver"]);
    is_golden("person-confirmed.txt", &words(&qian.get(&path).await));
    let page = li.get("/console/account").await;
    assert!(!page.body.contains("confirms it"), "{}", page.body);
    let page = li.fill("/console", "/console/approvals", &WRITE_OFF).await;
    assert_eq!(page.location, "/console/approvals");
}

#[tokio::test]
async fn whom_somebody_added_cannot_approve_what_that_one_proposes_nor_the_other_way_round() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut zhao, mut qian) = admins(&console, &[Role::Operations, Role::Approver]).await;
    let mut li = add(&mut zhao, "li", &["operations", "approver"]).await;
    confirm(&mut qian, "li").await;
    cannot_approve(&mut zhao, "zhao of cloud", &mut li, "/console/approvals/1").await;
    cannot_approve(&mut li, "li", &mut zhao, "/console/approvals/2").await;
    let approve = "/console/approvals/1/approve";
    let page = qian.fill("/console/approvals/1", approve, &[]).await;
    assert_eq!(page.location, "/console/approvals/1");
    let page = qian.get("/console/approvals/1").await;
    page.says("Carried out");

    // The same holds for amendments.
    assert_eq!(amendments::propose(&mut zhao).await.location, ONE);
    let page = li.get(ONE).await;
    page.says("zhao of cloud proposed this, and one of you added or last changed the other.");
    let page = amendments::act(&mut li, "approve").await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = amendments::act(&mut qian, "approve").await;
    assert_eq!(page.location, ONE);
}

/// One proposes; the other cannot approve it, and is told why.
async fn cannot_approve(proposer: &mut Browser, name: &str, approver: &mut Browser, path: &str) {
    let loan = "/console/loans/A-1";
    let page = proposer.fill(loan, "/console/approvals", &WRITE_OFF).await;
    assert_eq!(page.location, "/console/approvals", "{}", page.body);
    let page = approver.get(path).await;
    page.says(&format!(
        "{name} proposed this, and one of you added or last changed the other. Somebody else must \
         approve it."
    ));
    assert!(!page.body.contains("/approve\""), "{}", page.body);
    for action in ["approve", "reject"] {
        let page = approver.fill(path, &format!("{path}/{action}"), &[]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    let page = approver.get("/console/approvals").await;
    assert!(
        !page.body.contains(&format!("href=\"{path}\"")),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn an_administrator_whom_another_added_confirms_nothing_of_that_one() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut zhao, mut qian) = admins(&console, &[]).await;
    let mut sun = add(&mut zhao, "sun", &["admin"]).await;
    confirm(&mut qian, "sun").await;
    add(&mut zhao, "li", &["approver"]).await;
    let not_apart = "zhao of cloud changed this, and one of you added or last changed the other. \
                     Another administrator must confirm it; if there is no other, the operator adds \
                     one (tandem person).";
    cannot_confirm(&mut sun, "li", not_apart).await;
    add(&mut qian, "wu", &["approver"]).await;
    assert_eq!(confirm(&mut sun, "wu").await.location, PEOPLE);
    assert_eq!(roles(&console, "wu"), ["viewer", "approver"]);
}

#[tokio::test]
async fn what_is_given_waits_and_what_is_taken_away_counts_at_once() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut zhao, mut qian) = admins(&console, &[]).await;
    let mut li = console
        .signed_in("li", "cloud", &[Role::Viewer, Role::Operations])
        .await;
    let path = format!("{PEOPLE}/{}", person(&console, "li"));
    let set = |fields: &'static [(&str, &str)]| fields;
    let approves = set(&[("roles", "approver"), ("active", "1")]);
    zhao.fill(&path, &path, approves).await;
    assert_eq!(roles(&console, "li"), ["viewer"]);
    let page = li.get("/console").await;
    assert_eq!(page.location, "/console/sign-in?next=/console");
    // Whoever asks for the same does not become the one who asked.
    qian.fill(&path, &path, approves).await;
    let not_self = "neither who changed it nor the person";
    cannot_confirm(&mut zhao, "li", not_self).await;

    // What was shown and is not so any more is not confirmed.
    let change = qian.get(&path).await.hidden("change");
    console.pass(1);
    let more = set(&[("roles", "approver"), ("roles", "risk"), ("active", "1")]);
    zhao.fill(&path, &path, more).await;
    let fields = [("change", change.as_str())];
    let page = qian.fill(&path, &format!("{path}/confirm"), &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says("What is to be confirmed is not what you were shown. Look at it again.");
    assert_eq!(roles(&console, "li"), ["viewer"]);
    confirm(&mut qian, "li").await;
    assert_eq!(roles(&console, "li"), ["viewer", "risk", "approver"]);

    // Who may not sign in may no more at once, and comes back as somebody new.
    zhao.fill(&path, &path, set(&[("roles", "risk")])).await;
    assert_eq!(roles(&console, "li"), ["viewer", "risk"]);
    zhao.fill(&path, &path, set(&[("roles", "risk"), ("active", "1")]))
        .await;
    assert_eq!(roles(&console, "li"), ["viewer"]);
    zhao.fill(&path, &path, set(&[("roles", "risk")])).await;
    let not_active = "li of cloud may not sign in. Let li of cloud sign in again first; that is \
                      then confirmed too.";
    cannot_confirm(&mut qian, "li", not_active).await;
}

#[tokio::test]
async fn who_signs_in_anew_may_look_until_it_is_confirmed() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut zhao, mut qian) = admins(&console, &[]).await;
    console.signed_in("li", "cloud", &[Role::Approver]).await;
    let path = format!("{PEOPLE}/{}", person(&console, "li"));
    zhao.fill(&path, &format!("{path}/reset"), &[]).await;
    assert_eq!(roles(&console, "li"), ["viewer"]);
    cannot_confirm(&mut qian, "li", "li of cloud has not set up a password").await;
    console.enrol(person(&console, "li"));
    confirm(&mut qian, "li").await;
    assert_eq!(roles(&console, "li"), ["approver"]);

    // One's own sign-in is another's to reset, and so are one's roles.
    let own = format!("{PEOPLE}/{}", person(&console, "zhao"));
    let page = zhao.get(&own).await;
    page.says("Your own roles and sign-in are changed by another administrator.");
    for what in ["", "/reset"] {
        let page = zhao.fill(PEOPLE, &format!("{own}{what}"), &[]).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }
    qian.fill(&own, &format!("{own}/reset"), &[]).await;
    assert_eq!(roles(&console, "zhao"), ["viewer"]);
}

#[tokio::test]
async fn the_audit_log_has_who_proposed_and_who_confirmed() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut zhao, mut qian) = admins(&console, &[]).await;
    add(&mut zhao, "li", &["approver"]).await;
    confirm(&mut qian, "li").await;
    let mut auditor = console.signed_in("sun", "cloud", &[Role::Auditor]).await;
    let export = auditor.get("/console/audit/export").await.body;
    let asked: Vec<_> = export
        .lines()
        .filter(|line| line.contains("\"asked\""))
        .map(|line| {
            let entry: serde_json::Value =
                serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap();
            ["login", "object", "fields"].map(|name| entry[name].to_string().replace('"', ""))
        })
        .collect();
    let changed = format!("{{change:{}}}", console.time.load(Ordering::Relaxed));
    assert_eq!(
        asked,
        [
            ["zhao", "/people", "{login:li@cloud,name:li,roles:approver}"],
            ["qian", "/people/3/confirm", &changed],
        ]
    );
}

#[test]
fn people_of_a_registry_from_before_are_confirmed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("registry.db");
    let (before, _) = people::SCHEMA
        .split_once("-- What an administrator")
        .unwrap();
    let registry = Registry::open(&path, &[before, session::SCHEMA, passkey::SCHEMA]).unwrap();
    let add = "insert into person (login, name, party, roles, password)
               values ('li', 'Li Wei', 'cloud', 16, 'x')";
    registry
        .change(|tables| tables.execute(add, crate::registry::values![]))
        .unwrap();
    drop(registry);
    let registry = Registry::open(&path, &crate::schemas()).unwrap();
    let li = people::by_login(&registry, "li").unwrap().unwrap();
    assert!(li.roles.has(Role::Approver));
    assert!(people::last_change(&registry, &li).unwrap().is_none());
}
