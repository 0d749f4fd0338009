//! Amendments of the agreement, from a proposal to the book's signature.

use tandem_domain::book::{Command, Documents};

use super::book::{Book, documents};
use super::pages::{console, is_golden, words};
use super::*;

const PARTIES: [&str; 5] = ["harbour", "river", "cloud", "bazaar", "shield"];
const NEW: &str = "/console/agreement/amendments";
pub(super) const ONE: &str = "/console/agreement/amendments/1";

/// The agreement's next version, with a longer grace period.
fn amended() -> String {
    let now = documents().agreement;
    let next = now.replace("version = 1\n", "version = 2\n");
    let next = next.replace("grace_days = 3", "grace_days = 5");
    assert_ne!(now, next);
    next
}

/// Two people of each party, who work and approve.
async fn people(console: &Browser) -> Vec<(Browser, Browser)> {
    let mut people = Vec::new();
    for party in PARTIES {
        let desk = console.signed_in(party, party, &[Role::Operations]).await;
        let roles = [Role::Operations, Role::Approver];
        let approver = console
            .signed_in(&format!("{party}-2"), party, &roles)
            .await;
        people.push((desk, approver));
    }
    people
}

pub(super) async fn propose(desk: &mut Browser) -> Page {
    let text = amended().replace('\n', "\r\n");
    let fields = [
        ("agreement", text.as_str()),
        ("reason", "Borrowers ask for it."),
    ];
    desk.fill(NEW, NEW, &fields).await
}

pub(super) async fn act(browser: &mut Browser, what: &str) -> Page {
    browser.fill(ONE, &format!("{ONE}/{what}"), &[]).await
}

fn versions(book: &Book) -> usize {
    book.desk.look(|book| book.versions().len())
}

#[tokio::test]
async fn an_amendment_takes_two_people_of_every_party() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut people = people(&console).await;
    let draft = people[0].0.get(NEW).await;
    draft.says("version = 2");
    let page = propose(&mut people[0].0).await;
    assert_eq!(page.location, ONE, "{}", page.body);
    is_golden("amendment.txt", &words(&people[0].0.get(ONE).await));
    // Nobody else sees what one person of a party thought of.
    assert_eq!(people[1].0.get(ONE).await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        act(&mut people[0].0, "approve").await.status,
        StatusCode::FORBIDDEN
    );
    people[0]
        .1
        .get("/console")
        .await
        .says("<span class=\"waiting\">1</span>");
    assert_eq!(act(&mut people[0].1, "approve").await.location, ONE);
    for (desk, approver) in &mut people[1..] {
        desk.get("/console/agreement")
            .await
            .says("Borrowers ask for it.");
        assert_eq!(act(approver, "approve").await.status, StatusCode::FORBIDDEN);
        assert_eq!(act(desk, "support").await.location, ONE);
        assert_eq!(act(desk, "support").await.status, StatusCode::FORBIDDEN);
        assert_eq!(versions(&book), 1);
        assert_eq!(act(approver, "approve").await.location, ONE);
    }
    assert_eq!(versions(&book), 2);
    let signed = book
        .desk
        .look(|book| book.latest().unwrap().documents.clone());
    assert_eq!(signed.agreement, amended());
    assert_eq!(signed.policies, documents().policies);
    is_golden("amendment-signed.txt", &words(&people[4].1.get(ONE).await));
    let text = people[2].0.get("/console/agreement/text/2").await;
    assert_eq!(text.body, amended());
    // It is over.
    assert_eq!(
        act(&mut people[1].1, "sign").await.status,
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_lender_changes_its_policy_by_two_of_its_own_people() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut risk = console.signed_in("risk", "river", &[Role::Risk]).await;
    let roles = [Role::Risk, Role::Approver];
    let mut approver = console.signed_in("approver", "river", &roles).await;
    let mut cloud = console
        .signed_in("cloud", "cloud", &[Role::Operations, Role::Approver])
        .await;
    let mut platform = console
        .signed_in("bazaar", "bazaar", &[Role::Operations])
        .await;
    let draft = "/console/agreement/amendments?of=policy";
    let text = |version: u32| format!("/console/agreement/text/{version}?of=policy");
    risk.get("/console/agreement").await.says("Your policy");
    let now = risk.get(&text(1)).await.body;
    assert!(documents().policies.contains(&now) && now.contains("lender = \"river\""));
    assert_ne!(cloud.get(&text(1)).await.body, now);
    for path in [draft, &text(1)] {
        assert_eq!(platform.get(path).await.status, StatusCode::NOT_FOUND);
    }
    // Of the agreement it is not for risk to propose anything.
    assert_eq!(risk.get(NEW).await.status, StatusCode::FORBIDDEN);
    let version = now.lines().find(|line| line.starts_with("version"));
    let next = now.replace(version.unwrap(), "version = \"next\"");
    let theirs = next.replace("lender = \"river\"", "lender = \"cloud\"");
    for (policy, said) in [
        (now.clone(), "The text is the same."),
        (theirs, "The policy is of another lender"),
        (next.replace("\"next\"", "next"), "line "),
    ] {
        let fields = [
            ("of", "policy"),
            ("policy", policy.as_str()),
            ("reason", "Why not."),
        ];
        let page = risk.fill(draft, NEW, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{said}");
        page.says(said);
    }
    let sent = next.replace('\n', "\r\n");
    let fields = [
        ("of", "policy"),
        ("policy", &sent),
        ("reason", "Too many losses."),
    ];
    assert_eq!(risk.fill(draft, NEW, &fields).await.location, ONE);
    for other in [&mut cloud, &mut platform] {
        assert_eq!(other.get(ONE).await.status, StatusCode::NOT_FOUND);
    }
    assert_eq!(
        act(&mut risk, "approve").await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(versions(&book), 1);
    let waiting = approver.get("/console").await;
    waiting.says("<span class=\"waiting\">1</span>");
    assert_eq!(act(&mut approver, "approve").await.location, ONE);
    is_golden("policy-signed.txt", &words(&risk.get(ONE).await));
    let latest = |book: &tandem_domain::book::Book| book.latest().unwrap().documents.clone();
    let mut signed = book.desk.look(latest);
    assert!(signed.agreement.contains("version = 2\n"));
    let place = signed.policies.iter().position(|policy| *policy == next);
    signed.policies[place.unwrap()].clone_from(&now);
    assert_eq!(signed.policies, documents().policies);
    assert_eq!(risk.get(&text(2)).await.body, next);
    // It is what applications are decided by from now on.
    let in_force = book.desk.look(|book| {
        let (_, version) = book.current().unwrap();
        let mut policies = version.policies.iter();
        policies.any(|policy| policy.file.version == "next")
    });
    assert!(in_force);
    assert_eq!(cloud.get(ONE).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn any_party_rejects_and_who_proposed_withdraws() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut people = people(&console).await;
    propose(&mut people[0].0).await;
    act(&mut people[0].1, "approve").await;
    assert_eq!(
        act(&mut people[1].0, "reject").await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        act(&mut people[1].0, "withdraw").await.status,
        StatusCode::FORBIDDEN
    );
    act(&mut people[1].1, "reject").await;
    people[0].0.get(ONE).await.says("Rejected");
    propose(&mut people[0].0).await;
    let two = "/console/agreement/amendments/2";
    people[0].0.fill(two, &format!("{two}/withdraw"), &[]).await;
    people[0].0.get(two).await.says("Withdrawn");
    assert_eq!(versions(&book), 1);
}

#[tokio::test]
async fn what_is_wrong_with_an_amendment_is_said_with_its_place() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut desk = console
        .signed_in("desk", "river", &[Role::Operations])
        .await;
    let mut viewer = console.signed_in("viewer", "river", &[Role::Viewer]).await;
    assert_eq!(viewer.get(NEW).await.status, StatusCode::FORBIDDEN);
    let good = amended();
    for (text, reason, said) in [
        (good.clone(), " ", "An amendment needs a reason."),
        (documents().agreement, "Why not.", "The text is the same."),
        (
            good.replace("version = 2\n", "version = 3\n"),
            "Why not.",
            "version 3 does not follow version 1",
        ),
        (
            good.replace("id = \"marketplace\"", "id = \"market\""),
            "Why not.",
            "the id has changed",
        ),
        (
            good.replace("grace_days = 5", "grace_days = \"five\""),
            "Why not.",
            "line ",
        ),
    ] {
        let fields = [("agreement", text.as_str()), ("reason", reason)];
        let page = desk.fill(NEW, NEW, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY, "{said}");
        page.says(said);
        // What was written is not lost.
        page.says("class=\"document\"");
    }
}

#[tokio::test]
async fn the_book_may_have_gone_on() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut people = people(&console).await;
    propose(&mut people[0].0).await;
    let other = amended().replace("grace_days = 5", "grace_days = 7");
    let other = Documents {
        agreement: other,
        ..documents()
    };
    book.desk
        .execute(Command::Sign(Box::new(other)))
        .await
        .unwrap();
    let page = people[0].0.get(ONE).await;
    page.says("Another version 2 has been signed since.");
    act(&mut people[0].1, "approve").await;
    for (desk, approver) in &mut people[1..] {
        act(desk, "support").await;
        act(approver, "approve").await;
    }
    let page = people[0].0.get(ONE).await;
    page.says("Refused by the book");
    page.says("is signed with other content; a change needs version 3");
}

/// Signs the agreement as it is changed, with the policies as they are.
async fn sign(book: &Book, agreement: String) {
    let documents = Documents {
        agreement,
        ..documents()
    };
    let command = Command::Sign(Box::new(documents));
    book.desk.execute(command).await.unwrap();
}

/// The next version, in which a party does not see a field any more.
fn without(party: &str, field: &str) -> String {
    let next = amended();
    let (before, after) = next.split_once(&format!("name = \"{field}\"\n")).unwrap();
    let rest = after.replacen(&format!(", \"{party}\""), "", 1);
    assert_ne!(rest, after);
    format!("{before}name = \"{field}\"\n{rest}")
}

#[tokio::test]
async fn what_is_in_a_policy_is_told_to_its_lender_only() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut people = people(&console).await;
    let text = without("cloud", "annual_income");
    let fields = [("agreement", text.as_str()), ("reason", "Why not.")];
    let page = people[0].0.fill(NEW, NEW, &fields).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says("The policy of Cloud Bank does not fit this agreement");
    assert!(!page.body.contains("does not let"), "{}", page.body);
    let page = people[2].0.fill(NEW, NEW, &fields).await;
    page.says("decline[5].when: the agreement does not let `cloud` see `annual_income`");

    // Nor does the book's refusal tell it, where the policy has changed since.
    let text = without("river", "income_verified");
    let fields = [("agreement", text.as_str()), ("reason", "Why not.")];
    assert_eq!(people[0].0.fill(NEW, NEW, &fields).await.location, ONE);
    let mut others = documents();
    others.agreement = others.agreement.replace("version = 1\n", "version = 2\n");
    let river = &mut others.policies[2];
    *river = river.replace(
        "debt_to_income = \"missing\"",
        "income_verified = \"missing\"",
    );
    assert_ne!(*river, documents().policies[2]);
    let command = Command::Sign(Box::new(others));
    book.desk.execute(command).await.unwrap();
    act(&mut people[0].1, "approve").await;
    for (desk, approver) in &mut people[1..] {
        act(desk, "support").await;
        act(approver, "approve").await;
    }
    let page = people[0].0.get(ONE).await;
    page.says("is signed with other content; a change needs version 3");
    assert!(!page.body.contains("does not let"), "{}", page.body);
}

#[tokio::test]
async fn what_is_ended_meanwhile_is_not_signed_and_what_is_signed_is_done() {
    let withdraw = "update amendment set state = 'withdrawn' where id = new.id;";
    for (when, then, said, count) in [
        ("before", "select raise(ignore);", "Withdrawn", 1),
        ("after", "", "Carried out", 2),
    ] {
        let book = Book::open().await;
        let console = console(&book).await;
        let mut people = people(&console).await;
        propose(&mut people[0].0).await;
        act(&mut people[0].1, "approve").await;
        // The other withdraws it just before or after the last approval counts.
        let trigger = format!(
            "create trigger meanwhile {when} update of state on amendment
             when new.state = 'approved' begin {withdraw} {then} end"
        );
        let Some(file) = console.registry.file() else {
            eprintln!("skipped: triggers are written for a file");
            return;
        };
        file.with(|connection| connection.execute_batch(&trigger))
            .unwrap();
        for (desk, approver) in &mut people[1..] {
            act(desk, "support").await;
            act(approver, "approve").await;
        }
        assert_eq!(versions(&book), count, "{when}");
        people[0].0.get(ONE).await.says(said);
    }
}

#[tokio::test]
async fn the_next_number_stands_wherever_the_number_is_written() {
    for number in ["\"version\" = ", "  version = "] {
        let book = Book::open().await;
        let console = console(&book).await;
        let mut risk = console.signed_in("risk", "river", &[Role::Risk]).await;
        let text = amended().replace("version = 2\n", &format!("{number}2\n"));
        sign(&book, text).await;
        let draft = "/console/agreement/amendments?of=policy";
        let now = risk.get("/console/agreement/text/2?of=policy").await.body;
        let next = now.replace("R-INCOME", "R-EARNS");
        let fields = [("of", "policy"), ("policy", &next), ("reason", "Shorter.")];
        let page = risk.fill(draft, NEW, &fields).await;
        assert_eq!(page.location, ONE, "{}", page.body);
    }
}

#[tokio::test]
async fn a_policy_says_from_which_day_it_decides() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut risk = console.signed_in("risk", "river", &[Role::Risk]).await;
    let pages = [
        "/console/agreement",
        "/console/agreement/amendments?of=policy",
    ];
    let said = "The version signed last takes effect on 2022-06-01.";
    for path in pages {
        assert!(!risk.get(path).await.body.contains("takes effect on"));
    }
    sign(&book, amended().replace("2022-01-01", "2022-06-01")).await;
    for path in pages {
        risk.get(path).await.says(said);
    }
}
