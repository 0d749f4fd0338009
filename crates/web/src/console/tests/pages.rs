//! Pages: what they show, and to whom they show nothing.

use futures_util::StreamExt;

use tandem_client::key::{Algorithm, Jwks, SigningKey};
use tandem_domain::book::{Answer, Command, Slice};
use tandem_domain::loan::Action;
use tandem_domain::money::Amount;

use super::book::Book;
use super::*;
use crate::audit::{self, Act, Entry};
use crate::refusals;
use crate::registry::values;

const ALL: [Role; 6] = [
    Role::Viewer,
    Role::Operations,
    Role::Risk,
    Role::Finance,
    Role::Admin,
    Role::Auditor,
];

pub(super) async fn console(book: &Book) -> Browser {
    let desks = [("marketplace".to_owned(), Arc::clone(&book.desk))];
    Browser::of(desks.into(), false)
}

/// The words of a page's main part, a line for each row, heading and paragraph.
pub(super) fn words(page: &Page) -> String {
    let main = page
        .body
        .split("<main")
        .nth(1)
        .unwrap()
        .split("</main>")
        .next()
        .unwrap();
    let mut text = String::new();
    for piece in main.split('<').skip(1) {
        let (tag, words) = piece.split_once('>').unwrap();
        let ends = [
            "/tr", "/h1", "/h2", "/p", "/dd", "/li", "/label", "/caption", "/button", "/thead",
        ];
        if ends.contains(&tag) {
            text.push('\n');
        } else if ["/td", "/th", "/dt", "/span", "br"].contains(&tag) {
            text.push_str(" | ");
        }
        text.push_str(words.trim());
    }
    let lines = text.lines().map(|line| line.trim_matches([' ', '|']));
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    lines.join("\n") + "\n"
}

/// Compares with what was agreed, or writes it anew with TANDEM_UPDATE.
pub(super) fn is_golden(name: &str, found: &str) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console/tests/golden");
    let path = std::path::Path::new(folder).join(name);
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{name}");
}

#[tokio::test]
async fn pages_read_as_agreed() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut river = console.signed_in("river", "river", &ALL).await;
    for (name, path) in [
        ("overview", "/console"),
        ("applications", "/console/applications"),
        ("application", "/console/applications/A-1"),
        ("referred", "/console/applications/A-3"),
        ("ineligible", "/console/applications/A-4"),
        ("loans", "/console/loans"),
        ("loan", "/console/loans/A-1"),
        ("agreement", "/console/agreement"),
        ("settlement", "/console/settlements/2022-01-01"),
        ("ledger", "/console/ledger"),
        ("account", "/console/ledger/accounts/1310"),
        ("statement", "/console/statements?month=2022-01"),
        ("cases", "/console/cases"),
        ("referrals", "/console/referrals"),
        ("people", "/console/people"),
    ] {
        let page = river.get(path).await;
        assert_eq!(page.status, StatusCode::OK, "{path}: {}", page.body);
        is_golden(&format!("{name}.txt"), &words(&page));
    }
    let file = river.get("/console/statements?month=2022-01&csv=yes").await;
    assert_eq!(
        file.headers[header::CONTENT_DISPOSITION],
        "attachment; filename=\"statement-river-2022-01.csv\""
    );
    is_golden("statement.csv", &file.body);
    river.cookies.push(("language".to_owned(), "zh".to_owned()));
    for (name, path) in [
        ("overview", "/console"),
        ("loan", "/console/loans/A-1"),
        ("referred", "/console/applications/A-3"),
        ("referrals", "/console/referrals"),
    ] {
        let page = river.get(path).await;
        is_golden(&format!("{name}.zh.txt"), &words(&page));
    }
}

#[tokio::test]
async fn every_page_opens_for_every_party() {
    let book = Book::open().await;
    let console = console(&book).await;
    for party in ["harbour", "river", "cloud", "bazaar", "shield"] {
        let mut browser = console.signed_in(party, party, &ALL).await;
        for path in [
            "",
            "/applications",
            "/loans",
            "/agreement",
            "/settlements",
            "/statements",
            "/ledger",
            "/ledger/accounts/1010",
            "/cases",
            "/referrals",
            "/approvals",
            "/journal",
            "/developer",
            "/people",
            "/audit",
            "/agreement/amendments",
            "/agreement/text/1",
        ] {
            let page = browser.get(&format!("/console{path}")).await;
            assert_eq!(page.status, StatusCode::OK, "{party}: {path}");
            assert!(!page.body.contains("{0}"), "{party}: {path}");
        }
    }
}

#[tokio::test]
async fn somebody_of_no_party_sees_nothing() {
    let book = Book::open().await;
    let mut other = console(&book)
        .await
        .signed_in("other", "elsewhere", &ALL)
        .await;
    for path in ["/console", "/console/loans/A-1", "/console/people"] {
        let page = other.get(path).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        page.says("Your institution is not a party of this book");
        page.says("Ask the operator of this service to check your account.");
    }
}

#[tokio::test]
async fn nothing_is_shown_to_whoever_is_not_signed_in() {
    let book = Book::open().await;
    let mut browser = console(&book).await;
    for path in [
        "",
        "/loans/A-1",
        "/applications",
        "/people",
        "/approvals/1",
        "/audit",
        "/audit/export",
        "/agreement/amendments/1",
        "/agreement/text/1",
        "/changes",
    ] {
        let page = browser.get(&format!("/console{path}")).await;
        assert_eq!(
            page.location,
            format!("/console/sign-in?next=/console{path}")
        );
    }
}

#[tokio::test]
async fn a_write_off_takes_two_people_of_the_servicer() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut desk = console
        .signed_in(
            "desk",
            "cloud",
            &[Role::Viewer, Role::Operations, Role::Approver],
        )
        .await;
    let mut viewer = console.signed_in("viewer", "cloud", &[Role::Viewer]).await;
    let mut approver = console
        .signed_in("approver", "cloud", &[Role::Viewer, Role::Approver])
        .await;
    let mut other = console
        .signed_in("other", "river", &[Role::Operations, Role::Approver])
        .await;
    let loan = "/console/loans/A-1";
    let charge_off = |reason| [("what", "charge-off"), ("loan", "A-1"), ("reason", reason)];
    let page = desk.fill(loan, "/console/approvals", &charge_off("")).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says("A proposal needs a reason. Go back and say why.");
    for browser in [&mut viewer, &mut other] {
        let page = browser
            .fill(loan, "/console/approvals", &charge_off("Because."))
            .await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
        page.says("Your role does not allow this");
        page.says("Ask an administrator of your institution if you need it.");
    }
    desk.fill(loan, "/console/approvals", &charge_off("She died."))
        .await;
    approver
        .get("/console")
        .await
        .says("<span class=\"waiting\">1</span>");
    let form = "/console/approvals/1";
    let approve = "/console/approvals/1/approve";
    assert_eq!(
        desk.fill(form, approve, &[]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        viewer.fill(form, approve, &[]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        other.fill(form, approve, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    approver.get(form).await.says("Approve and carry out");
    assert_eq!(approver.fill(form, approve, &[]).await.location, form);
    approver.get(form).await.says("Carried out");
    desk.get(loan).await.says("Written off");
    // Once more changes nothing.
    approver.fill(form, approve, &[]).await;
    approver.get(form).await.says("Carried out");
}

#[tokio::test]
async fn the_book_may_refuse_what_was_approved_and_says_why() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut desk, mut approver) = console.desk_and_approver("cloud").await;
    let waive = |amount| {
        [
            ("what", "waive"),
            ("loan", "A-1"),
            ("component", "fee"),
            ("amount", amount),
            ("reason", "Goodwill."),
        ]
    };
    let page = desk
        .fill("/console/loans/A-1", "/console/approvals", &waive("much"))
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says("The proposal cannot be made");
    page.says("much");
    desk.fill(
        "/console/loans/A-1",
        "/console/approvals",
        &waive("99999.00"),
    )
    .await;
    approver
        .fill("/console/approvals/1", "/console/approvals/1/approve", &[])
        .await;
    let page = approver.get("/console/approvals/1").await;
    page.says("Refused by the book");
    page.says("send at most that");
}

#[tokio::test]
async fn a_payment_is_reversed_and_a_proposal_withdrawn_or_rejected() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut desk, mut approver) = console.desk_and_approver("cloud").await;
    let reverse = |of| {
        [
            ("what", "reverse"),
            ("loan", "A-1"),
            ("of", of),
            ("reason", "Entered twice."),
        ]
    };
    let page = desk
        .fill("/console/loans/A-1", "/console/approvals", &reverse("P-9"))
        .await;
    page.says("loan `A-1` has no instruction `P-9`");
    for _ in 0..3 {
        desk.fill("/console/loans/A-1", "/console/approvals", &reverse("P-2"))
            .await;
    }
    desk.fill("/console/approvals", "/console/approvals/1/withdraw", &[])
        .await;
    approver
        .fill("/console/approvals/2", "/console/approvals/2/reject", &[])
        .await;
    approver
        .fill("/console/approvals/3", "/console/approvals/3/approve", &[])
        .await;
    for (path, state) in [("1", "Withdrawn"), ("2", "Rejected"), ("3", "Carried out")] {
        desk.get(&format!("/console/approvals/{path}"))
            .await
            .says(state);
    }
    desk.get("/console/loans/A-1").await.says("Reversal");
}

/// A form that proposes to sell a part of loan A-1.
fn sell<'a>(part: &'a str, buyer: &'a str, price: &'a str) -> [(&'a str, &'a str); 6] {
    [
        ("what", "sell"),
        ("loan", "A-1"),
        ("part", part),
        ("buyer", buyer),
        ("price", price),
        ("reason", "We reduce the region."),
    ]
}

#[tokio::test]
async fn a_sale_takes_two_people_of_each_of_both_sides() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut river, mut approver) = console.desk_and_approver("river").await;
    let mut buyer = console
        .signed_in("buyer", "harbour", &[Role::Operations])
        .await;
    let mut second = console
        .signed_in("second", "harbour", &[Role::Approver])
        .await;
    let list = "/console/approvals";
    let loan = "/console/loans/A-1";
    river.fill(loan, list, &sell("50%", "harbour", "98%")).await;
    let page = approver.get("/console/approvals/1").await;
    page.says("sell 50.00% river harbour 98.00%");
    page.says("carried out once the buyer has instructed the same");
    assert!(!buyer.get(list).await.body.contains("A-1"));
    approver
        .fill(list, "/console/approvals/1/approve", &[])
        .await;
    approver
        .get("/console/approvals/1")
        .await
        .says("Waits for the other side");
    assert!(
        !approver
            .get(loan)
            .await
            .body
            .contains("Harbour City Bank holds")
    );

    // The buyer sees what it is asked to buy, and nothing else of the loan.
    assert_eq!(buyer.get(loan).await.status, StatusCode::NOT_FOUND);
    let page = buyer.get(list).await;
    page.says("Sales that wait for their other side");
    page.says("A-1");
    let page = buyer.get("/console/sales/1").await;
    page.says("Principal sold");
    page.says("98.00%");
    // Nobody of the seller agrees for it, and nobody else is told of it.
    let agree = "/console/sales/1/agree";
    let reason = [("reason", "It fits our book.")];
    assert_eq!(
        river.fill(list, agree, &reason).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        second.fill(list, agree, &reason).await.status,
        StatusCode::FORBIDDEN
    );
    let mut cloud = console.signed_in("cloud", "cloud", &Role::ALL).await;
    assert_eq!(
        cloud.get("/console/sales/1").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        cloud.fill(list, agree, &reason).await.status,
        StatusCode::NOT_FOUND
    );
    let page = buyer.fill("/console/sales/1", agree, &[]).await;
    page.says("A proposal needs a reason.");
    for _ in 0..2 {
        let page = buyer.fill("/console/sales/1", agree, &reason).await;
        assert_eq!(page.location, list, "{}", page.body);
    }
    assert_eq!(buyer.get(loan).await.status, StatusCode::NOT_FOUND);
    second
        .get("/console/approvals/2")
        .await
        .says("the sale is carried out at once");
    second.fill(list, "/console/approvals/2/approve", &[]).await;
    second.get("/console/approvals/2").await.says("Carried out");
    approver
        .get("/console/approvals/1")
        .await
        .says("Carried out");
    buyer.get(loan).await.says("Sale of a share");
    // What was agreed to twice is sold once.
    second.fill(list, "/console/approvals/3/approve", &[]).await;
    second.get("/console/approvals/3").await.says(
        "the other side&#39;s instruction does not wait any more: it was taken back, has lapsed or is carried out",
    );
}

#[tokio::test]
async fn a_sale_that_waits_is_taken_back_or_lapses() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut river, mut approver) = console.desk_and_approver("river").await;
    let list = "/console/approvals";
    for id in 1..=2 {
        let price = format!("9{id}%");
        river
            .fill("/console/loans/A-1", list, &sell("50%", "harbour", &price))
            .await;
        let approve = format!("/console/approvals/{id}/approve");
        approver.fill(list, &approve, &[]).await;
    }
    let mut viewer = console.signed_in("viewer", "river", &[Role::Viewer]).await;
    let back = "/console/sales/1/withdraw";
    assert_eq!(
        viewer.fill(list, back, &[]).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(river.fill(list, back, &[]).await.location, list);
    assert_eq!(
        river.fill(list, back, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    river
        .get("/console/approvals/1")
        .await
        .says("Lapsed or taken back");
    river
        .get("/console/approvals/2")
        .await
        .says("Waits for the other side");
    let day = book.desk.look(|book| book.business_date());
    let close = |days: std::ops::Range<i32>| days.map(|on| Command::CloseDay { day: day + on });
    // It waits on five business days after that on which it came.
    let last = day.plus_business_days(5).0 - day.0;
    book.desk.submit(close(0..last).collect()).await.unwrap();
    river.get("/console/sales/2").await.says("92.00%");
    book.desk
        .submit(close(last..last + 1).collect())
        .await
        .unwrap();
    assert_eq!(
        river.get("/console/sales/2").await.status,
        StatusCode::NOT_FOUND
    );
}

/// Fields are read each by itself: what one of them says beside its own value is refused.
#[tokio::test]
async fn no_field_of_a_proposal_says_anything_beside_its_own_value() {
    let book = Book::open().await;
    let console = console(&book).await;
    let (mut river, mut approver) = console.desk_and_approver("river").await;
    let mut cloud = console
        .signed_in("cloud", "cloud", &[Role::Operations])
        .await;
    let waive = |component, amount| {
        [
            ("what", "waive"),
            ("loan", "A-1"),
            ("component", component),
            ("amount", amount),
            ("reason", "Goodwill."),
        ]
    };
    let reverse = |of| {
        [
            ("what", "reverse"),
            ("loan", "A-1"),
            ("of", of),
            ("reason", "Entered twice."),
        ]
    };
    let (list, loan) = ("/console/approvals", "/console/loans/A-1");
    // This sold another lender's share once: `sell 100% harbour river 0%`.
    for (fields, wrong) in [
        (
            sell("100% cloud", "0%", ""),
            "buyer: there is no party `0%`",
        ),
        (
            sell("100% cloud", "river", "0%"),
            "part: `100% cloud` is not a rate; write it in per cent",
        ),
        (
            sell("100%", "river 0%", ""),
            "buyer: there is no party `river 0%`",
        ),
        (
            sell("100%", "harbour", "0% 98%"),
            "price: `0% 98` is not a number",
        ),
        (sell("", "harbour", "98%"), "part: `` is not a rate"),
    ] {
        let page = river.fill(loan, list, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.says(wrong);
    }
    for (fields, wrong) in [
        (
            waive("fee 5.00", ""),
            "component: `fee 5.00` is not waived; choose fee, penalty or interest",
        ),
        (waive("fee", ""), "amount: a number is missing"),
        (
            waive("fee", "5.00 CNY"),
            "amount: `5.00 CNY` is not a number",
        ),
        (
            waive("principal", "5.00"),
            "component: `principal` is not waived",
        ),
    ] {
        let page = cloud.fill(loan, list, &fields).await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.says(wrong);
    }
    let page = cloud.fill(loan, list, &reverse("P-2 of A-2")).await;
    page.says("loan `A-1` has no instruction `P-2 of A-2`");
    let page = cloud
        .fill(loan, list, &[("what", "pause"), ("loan", "A-1")])
        .await;
    page.says("`pause` cannot be proposed; use a form of the loan");
    // What is the servicer's is proposed by nobody else.
    for fields in [waive("fee", "5.00").as_slice(), &reverse("P-2")] {
        let page = river.fill(loan, list, fields).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN);
    }

    // What is carried out is checked again.
    river.fill(loan, list, &sell("50%", "harbour", "98%")).await;
    let change = |words: &str| {
        let text = "update proposal set words = ?1, state = 'open'";
        let values = values![words];
        console
            .registry
            .change(|tables| tables.execute(text, values))
            .unwrap();
    };
    for (words, wrong) in [
        (
            "sell 100% cloud harbour 0%",
            "a sale is instructed by its seller and its buyer, and by nobody else",
        ),
        ("charge-off", "the servicer does this"),
        ("reverse P-2", "the servicer does this"),
    ] {
        change(words);
        approver
            .fill(list, "/console/approvals/1/approve", &[])
            .await;
        let page = approver.get("/console/approvals/1").await;
        page.says("Refused by the book");
        page.says(wrong);
    }
}

#[tokio::test]
async fn an_administrator_looks_after_the_party_s_people() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut admin = console.signed_in("admin", "river", &[Role::Admin]).await;
    let mut viewer = console.signed_in("viewer", "river", &[Role::Viewer]).await;
    assert_eq!(
        viewer.get("/console/people").await.status,
        StatusCode::FORBIDDEN
    );
    let path = "/console/people";
    // A name that may be another party's is refused, whether somebody has it or not.
    for login in ["viewer", "cloud-desk", "driver", "li@rivers.example"] {
        let page = admin
            .fill(path, path, &[("name", "Li Wei"), ("login", login)])
            .await;
        assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
        page.says("A sign-in name has “river” in it, set apart, such as li.wei@river, so that it is no other");
    }
    let page = admin
        .fill(path, path, &[("name", "Li Wei"), ("login", " ")])
        .await;
    page.says("Somebody who signs in needs a name and a name to sign in with.");
    let new = [
        ("name", "Li Wei"),
        ("login", "Li@River.example"),
        ("roles", "risk"),
    ];
    let page = admin.fill(path, path, &new).await;
    page.says("It is shown once; at the first sign-in it is replaced");
    let password = page
        .body
        .split("<code>")
        .nth(2)
        .unwrap()
        .split('<')
        .next()
        .unwrap();
    let mut li = console.another();
    let again = admin.fill(path, path, &new).await;
    assert_eq!(again.status, StatusCode::UNPROCESSABLE_ENTITY);
    again.says("The name Li@River.example is taken. Choose another.");
    let fields = [("login", "li@river.example"), ("password", password)];
    let page = li
        .fill("/console/sign-in", "/console/sign-in", &fields)
        .await;
    assert_eq!(page.location, "/console/sign-in/enrol?next=");
    // Roles that change, and resets, end what was open.
    let page = viewer.get("/console").await;
    assert_eq!(page.status, StatusCode::OK);
    admin
        .fill("/console/people/2", "/console/people/2", &[])
        .await;
    let page = viewer.get("/console").await;
    assert_eq!(page.location, "/console/sign-in?next=/console");
    let page = admin
        .fill("/console/people/1", "/console/people/1", &[])
        .await;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn clients_are_registered_and_shut_out_by_their_own_party_alone() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut river = console.signed_in("admin", "river", &[Role::Admin]).await;
    let mut cloud = console.signed_in("other", "cloud", &[Role::Admin]).await;
    let mut viewer = console.signed_in("viewer", "river", &[Role::Viewer]).await;
    let path = "/console/developer";
    let pem = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let jwk = |pem: &str| SigningKey::from_pem(pem).unwrap().public().to_jwk();
    let keys = serde_json::to_string(&Jwks {
        keys: vec![jwk(&pem)],
    })
    .unwrap();
    let new = [
        ("client", "river.1"),
        ("keys", keys.as_str()),
        ("scopes", "loans:read"),
    ];
    assert_eq!(
        viewer.fill(path, path, &new).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(river.fill(path, path, &new).await.location, path);
    let page = river.fill(path, path, &new).await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says("client river.1 is registered already");
    let one = "/console/developer/river.1";
    viewer.get(one).await.says("loans:read");
    assert_eq!(cloud.get(one).await.status, StatusCode::NOT_FOUND);
    let disable = "/console/developer/river.1/disable";
    assert_eq!(
        cloud.fill(path, disable, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        viewer.fill(path, disable, &[]).await.status,
        StatusCode::FORBIDDEN
    );
    river.fill(one, disable, &[]).await;
    river.get(one).await.says("Let it in again");
    let next =
        serde_json::to_string(&jwk(&SigningKey::generate(Algorithm::Es256).unwrap())).unwrap();
    river
        .fill(one, "/console/developer/river.1/rotate", &[("key", &next)])
        .await;
    river.get(one).await.says("ecdsa-p256-sha256");
    let page = river
        .fill(
            one,
            "/console/developer/river.1/rotate",
            &[("key", "nothing")],
        )
        .await;
    page.says("the keys are no JWKS");
    // What the client called is shown to those who look after it.
    river.get(one).await.says("It has changed nothing yet");
    let call = Entry {
        client: "river.1".to_owned(),
        method: "POST".to_owned(),
        status: Some(422),
        ..Entry::new(("river", ""), Act::Called, "/v1/agreements", 1_700_000_000)
    };
    audit::append(&console.entries, &mut [call]).unwrap();
    let page = words(&river.get(one).await);
    let call = page
        .lines()
        .find(|line| line.starts_with("2023-11-14 22:13:20 | "));
    let told = ["Called: refused", "POST /v1/agreements", "422"];
    let call = call.unwrap_or(&page);
    assert!(told.iter().all(|told| call.contains(told)), "{call}");
    let page = viewer.get(one).await.body;
    assert!(!page.contains("/v1/agreements"), "{page}");
}

#[tokio::test]
async fn webhooks_belong_to_their_party() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut river = console.signed_in("admin", "river", &[Role::Admin]).await;
    let mut cloud = console.signed_in("other", "cloud", &[Role::Admin]).await;
    let mut viewer = console.signed_in("viewer", "river", &[Role::Viewer]).await;
    let (developer, path) = ("/console/developer", "/console/webhooks");
    let url = [
        ("url", "https://river.example/events"),
        ("kinds", "loan.disbursed"),
    ];
    assert_eq!(
        viewer.fill(developer, path, &url).await.status,
        StatusCode::FORBIDDEN
    );
    let page = river
        .fill(developer, path, &[("url", "ftp://river.example")])
        .await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    let one = river.fill(developer, path, &url).await.location;
    let page = viewer.get(&one).await;
    page.says("whpk_");
    page.says("<a href=\"/console/developer\" aria-current=\"page\">");
    page.says("Nothing has been sent yet.");
    river.get(developer).await.says("loan.disbursed");
    assert_eq!(cloud.get(&one).await.status, StatusCode::NOT_FOUND);
    let remove = format!("{one}/remove");
    assert_eq!(
        cloud.fill(developer, &remove, &[]).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        viewer.fill(developer, &remove, &[]).await.status,
        StatusCode::FORBIDDEN
    );
    let resend = format!("{one}/resend");
    let page = river.fill(developer, &resend, &[("event", "1")]).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    // A shared secret is shown once, to whoever added the webhook.
    let shared = [url[0], ("scheme", "v1")];
    let page = river.fill(developer, path, &shared).await;
    page.says("It is shown only here");
    assert_eq!(
        page.body.replace("whsec_…", "").matches("whsec_").count(),
        1
    );
    let rest = page.body.split("/console/webhooks/").nth(1).unwrap();
    let id = rest.split('/').next().unwrap();
    let page = river.get(&format!("{path}/{id}")).await;
    page.says("whsec_…");
    assert_eq!(page.body.matches("whsec_").count(), 1);
    river
        .fill(developer, &format!("{path}/{id}/remove"), &[])
        .await;
    river.fill(developer, &remove, &[]).await;
    assert_eq!(river.get(&one).await.status, StatusCode::NOT_FOUND);
    for _ in 0..10 {
        river.fill(developer, path, &url).await;
    }
    let page = river.fill(developer, path, &url).await;
    page.says("A party has 10 webhooks in an agreement at the most. Remove one first.");
}

#[tokio::test]
async fn room_of_a_limit_that_goes_to_another_book_is_an_event_of_its_lender() {
    let book = Book::open().await;
    let slice = Slice {
        key: "S-1".to_owned(),
        clause: "7.3".to_owned(),
        subject: None,
        book: "another".to_owned(),
        amount: Amount(1_000_000),
    };
    let done = book.desk.execute(Command::SendSlice(slice.clone())).await;
    assert_eq!(done.unwrap(), Answer::Done);
    let day = book.desk.look(|book| book.business_date());
    let back = Command::ReceiveSlice {
        slice,
        sent_on: day,
    };
    assert_eq!(book.desk.execute(back).await.unwrap(), Answer::Done);
    let console = console(&book).await;
    for (party, sees) in [("river", true), ("harbour", false)] {
        let mut browser = console.signed_in(party, party, &[Role::Viewer]).await;
        let page = browser.get("/console/developer").await;
        for text in [
            "Room of a limit sent to another book",
            "Room of a limit received from another book",
        ] {
            assert_eq!(page.body.contains(text), sees, "{party}: {text}");
        }
    }
}

#[tokio::test]
async fn time_is_moved_in_a_sandbox() {
    let book = Book::open().await;
    let mut desk = console(&book)
        .await
        .signed_in("desk", "river", &[Role::Operations])
        .await;
    let before = book.desk.look(|book| book.business_date());
    desk.fill("/console/developer", "/console/developer/close-day", &[])
        .await;
    assert_eq!(book.desk.look(|book| book.business_date()), before + 1);
}

#[tokio::test]
async fn a_person_decides_what_the_policy_referred() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut risk = console.signed_in("risk", "river", &[Role::Risk]).await;
    let mut viewer = console.signed_in("viewer", "river", &[Role::Viewer]).await;
    let mut platform = console.signed_in("platform", "bazaar", &ALL).await;
    let mut other = console.signed_in("other", "harbour", &ALL).await;
    let (list, page) = ("/console/referrals", "/console/applications/A-3");
    // The lender sees which rule fired, the platform for whom it waits, another lender neither.
    let own = risk.get(list).await;
    own.says("A-3");
    own.says("R-REF: Debt burden not known; a person looks at it.");
    let brought = platform.get(list).await;
    brought.says("River Valley Bank");
    brought.says("Not shown to your institution");
    let waits = platform.get(page).await;
    waits.says("It waits for a person at River Valley Bank, until 2022-03-31.");
    assert!(!waits.body.contains("R-REF"), "{}", waits.body);
    other.get(list).await.says("Nothing waits for a person.");
    let seen = other.get(page).await;
    seen.says("A lender has asked a person to decide.");
    assert!(
        !seen.body.contains("River Valley Bank, until"),
        "{}",
        seen.body
    );

    // Only people of the lender in charge of risk are asked.
    let form = viewer.get(page).await;
    assert!(!form.body.contains("/A-3/approve"), "{}", form.body);
    let (approve, decline) = (format!("{page}/approve"), format!("{page}/decline"));
    // Another lender's person is refused when the book is asked, whatever the terms.
    for (browser, expected) in [
        (&mut viewer, StatusCode::FORBIDDEN),
        (&mut platform, StatusCode::FORBIDDEN),
        (&mut other, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let code = browser.get("/console").await.hidden("form");
        let terms = [("maximum", "50,000.00"), ("rate", "13%")];
        let refused = browser.post(&approve, &code, &terms).await;
        assert_eq!(refused.status, expected, "{}", refused.body);
    }
    risk.get(page).await.says("R-REF");
    let terms = |maximum, rate| [("maximum", maximum), ("rate", rate)];
    for (fields, words) in [
        (
            terms("200,000.00", "15%"),
            "more than the policy&#39;s 75,075.00 CNY",
        ),
        (terms("50,000.00", "1%"), "below the policy&#39;s 12.90%"),
        (terms("much", "15%"), "much"),
    ] {
        let refused = risk.fill(page, &approve, &fields).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        refused.says("The decision is not taken");
        refused.says(words);
    }
    let none = risk.fill(page, &decline, &[("reason", "H99")]).await;
    none.says("the policy has no reason `H99`");
    let done = risk.fill(page, &approve, &terms("50,000.00", "13%")).await;
    assert_eq!(done.location, page, "{}", done.body);
    let offered = risk.get(page).await;
    // Both stand there: what the policy said, and what the person decided.
    is_golden("underwritten.txt", &words(&offered));
    assert!(!offered.body.contains("/A-3/approve"), "{}", offered.body);
    risk.get(list).await.says("Nothing waits for a person.");
    // The audit log has who decided what, also what was refused.
    let mut auditor = console
        .signed_in("auditor", "river", &[Role::Auditor])
        .await;
    let log = auditor.get("/console/audit?object=A-3").await;
    log.says("Applications · A-3 · approve");
    log.says("maximum: 50,000.00");
    log.says("rate: 13%");
    log.says("risk of river");
}

#[tokio::test]
async fn a_case_has_an_owner_and_a_deadline() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut risk = console.signed_in("risk", "river", &[Role::Risk]).await;
    let mut viewer = console.signed_in("viewer", "river", &[Role::Viewer]).await;
    risk.get("/console/cases")
        .await
        .says("Your policy referred application A-3");
    let path = "/console/cases/referral:A-3";
    let fields = [
        ("owner", "2"),
        ("deadline", "2022-03-01"),
        ("note", "Ask for payslips."),
    ];
    assert_eq!(
        viewer.fill(path, path, &fields).await.status,
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        risk.fill(path, path, &fields).await.location,
        "/console/cases"
    );
    let page = viewer.get("/console/cases").await;
    page.says("viewer of river");
    page.says("2022-03-01");
    viewer.get(path).await.says("Ask for payslips.");
    risk.fill(path, path, &[("closed", "1")]).await;
    viewer.get("/console/cases").await.says("Done with");
}

#[tokio::test]
async fn an_open_page_is_told_what_changes_until_its_session_ends() {
    let book = Book::open().await;
    let browser = console(&book).await.signed_in("river", "river", &ALL).await;
    let request = |browser: &Browser| {
        let cookie = format!("tandem={}", browser.cookies[0].1);
        let request = Request::builder()
            .uri("/console/changes")
            .header(header::COOKIE, cookie);
        request.body(Body::empty()).unwrap()
    };
    let answer = browser
        .app
        .clone()
        .oneshot(request(&browser))
        .await
        .unwrap();
    let mut events = answer.into_body().into_data_stream();
    book.close_day().await;
    let event = events.next().await.unwrap().unwrap();
    assert!(event.starts_with(b"event: change\n"), "{event:?}");
    browser.pass(12 * 60 * 60);
    book.close_day().await;
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn what_the_book_refused_is_a_case_until_it_takes_it() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut cloud = console.signed_in("cloud", "cloud", &ALL).await;
    let mut river = console.signed_in("river", "river", &ALL).await;
    let refused = ["P-9", "P-10"].map(|key| refusals::Refusal {
        key: key.to_owned(),
        loan: "A-1".to_owned(),
        detail: "the amount is not above zero".to_owned(),
        day: book.desk.look(|book| book.business_date()).0,
    });
    refusals::keep(&console.registry, "marketplace", "cloud", &refused).unwrap();
    let path = "/console/cases";
    let page = cloud.get(path).await;
    page.says("Instruction P-9 was refused: the amount is not above zero");
    page.says("2022-02-14");
    cloud
        .get("/console/cases/refused:P-9")
        .await
        .says("/console/loans/A-1");
    let case = "/console/cases/refused:P-10";
    cloud
        .fill(case, case, &[("owner", "1"), ("closed", "1")])
        .await;
    assert!(!river.get(path).await.body.contains("P-9"));
    assert_eq!(river.get(case).await.status, StatusCode::NOT_FOUND);
    book.pay("P-9", Action::Repay(Amount(100))).await;
    let page = cloud.get(path).await;
    assert!(!page.body.contains("P-9"));
    page.says("P-10");
}

#[tokio::test]
async fn an_archived_loan_has_a_page_for_whom_it_concerned() {
    let book = Book::open().await;
    book.archive().await;
    let console = console(&book).await;
    let mut river = console.signed_in("river", "river", &ALL).await;
    let mut harbour = console.signed_in("harbour", "harbour", &ALL).await;
    river.get("/console/loans").await.says("Archived loans");
    is_golden(
        "archives.txt",
        &words(&river.get("/console/archives").await),
    );
    let archive = river.get("/console/archives").await;
    let from = archive.body.find("/console/archives/").unwrap();
    let archive: String = archive.body[from..]
        .chars()
        .take_while(|one| *one != '"')
        .collect();
    river.get(&archive).await.says("/console/loans/A-6");
    is_golden(
        "archived.txt",
        &words(&river.get("/console/loans/A-6").await),
    );
    assert_eq!(
        river.get("/console/loans?key=A-6").await.location,
        "/console/loans/A-6"
    );
    river
        .get("/console/applications/A-6")
        .await
        .says("/console/loans/A-6");
    // Whom it did not concern learns nothing of it.
    harbour
        .get("/console/archives")
        .await
        .says("No loan of yours is archived.");
    for (path, missing) in [
        ("/console/loans/A-6", "/console/loans/A-9"),
        (archive.as_str(), "/console/archives/99999"),
        ("/console/archives/1", "/console/archives/99999"),
    ] {
        let (page, none) = (harbour.get(path).await, harbour.get(missing).await);
        let same = none.body.replace(missing, path);
        assert_eq!(
            (page.status, page.body),
            (StatusCode::NOT_FOUND, same),
            "{path}"
        );
    }
}

#[tokio::test]
async fn the_journal_s_page_shows_its_snapshots() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut river = console.signed_in("river", "river", &ALL).await;
    river
        .get("/console/journal")
        .await
        .says("There is no snapshot yet.");
    // One is written when the book ends.
    let mut roles = book.desk.roles();
    book.desk.stop();
    let stopped = |role: &crate::desk::Role| matches!(role, crate::desk::Role::Stopped(_));
    roles.wait_for(stopped).await.unwrap();
    let batch = book.desk.reader().head().seq;
    let page = river.get("/console/journal").await;
    let table = page.body.split("id=\"snapshots\"").nth(1).unwrap();
    let table = table.split("</section>").next().unwrap();
    assert!(table.contains(&format!(">{batch}<")), "{table}");
    assert!(
        table.contains("0 h 0 min") && table.contains("KiB"),
        "{table}"
    );
}

#[cfg(feature = "postgres")]
#[tokio::test]
async fn while_the_server_of_the_registry_is_gone_pages_say_so() {
    let Some(server) = tandem_pgtest::Server::start() else {
        return;
    };
    let address = tandem_pgtest::address(&[&server], "public");
    let on = Registry::on(&address.parse().unwrap(), "registry", &crate::schemas());
    let book = Book::open().await;
    let desks = [("marketplace".to_owned(), Arc::clone(&book.desk))];
    let console = Browser::on(on.unwrap(), desks.into(), false);
    let mut admin = console.signed_in("admin", "river", &[Role::Admin]).await;
    let form = admin.get("/console/people").await.hidden("form");
    server.crash();
    let mut guest = console.another();
    let asked = guest.get("/console/sign-in").await;
    let code = asked.hidden("form");
    let login = [("login", "admin"), ("password", PASSWORD)];
    for page in [
        admin.get("/console").await,
        admin
            .post("/console/people", &form, &[("name", "Li")])
            .await,
        guest.post("/console/sign-in", &code, &login).await,
    ] {
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(page.headers["retry-after"], "5");
        page.says("The service cannot reach its registry");
        page.says("what you sent may not have been done, so look before you send it again.");
    }
    server.restart();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(admin.get("/console").await.status, StatusCode::OK);
}
