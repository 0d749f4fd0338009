//! Every page and form about one thing, as the router has them, before everybody of another party:
//! what is another's is answered like what does not exist.

use std::collections::BTreeSet;

use tandem_client::key::{Algorithm, Jwks, SigningKey};

use super::book::Book;
use super::pages::console;
use super::*;

/// What a route is about, by what its path begins with.
struct Thing {
    path: &'static str,
    id: String,
    /// One that is not there.
    missing: &'static str,
    /// Parties that it concerns; all others are told nothing of it.
    seen_by: &'static [&'static str],
}

const PARTIES: [&str; 5] = ["river", "harbour", "cloud", "bazaar", "shield"];

/// Whom loan A-1 concerns, and loan A-2.
const OF_1: &[&str] = &["river", "cloud", "bazaar", "shield"];
const OF_2: &[&str] = &["harbour", "cloud", "bazaar", "shield"];

/// Routes that show each party its own part of what concerns all.
const OWN_PART: [&str; 3] = ["/agreement/text/", "/settlements/", "/ledger/accounts/"];

/// What can be asked for by the routes that end in `{what}`; the rest is answered like nothing.
const ACTIONS: [&str; 13] = [
    "agree",
    "approve",
    "decline",
    "disable",
    "enable",
    "reject",
    "remove",
    "remove-key",
    "resend",
    "rotate",
    "sign",
    "support",
    "withdraw",
];

/// Routes of the router about one thing, with what is done there: `GET`, `POST`.
fn routes() -> Vec<(Method, &'static str)> {
    let (_, router) = include_str!("../mod.rs").split_once("let pages").unwrap();
    let mut routes = Vec::new();
    for route in router.split(".route(").skip(1) {
        let (path, handlers) = route
            .split_once('"')
            .and_then(|(_, rest)| rest.split_once('"'))
            .unwrap();
        let handlers = handlers.split(".layer(").next().unwrap();
        for (method, word) in [(Method::GET, "get("), (Method::POST, "post(")] {
            if path.contains('{') && !path.starts_with("/console") && handlers.contains(word) {
                routes.push((method, path));
            }
        }
    }
    routes
}

/// Things of every kind; what only river has is made first.
async fn things(book: &Book, console: &Browser) -> Vec<Thing> {
    let mut river = console.signed_in("river", "river", &Role::ALL).await;
    let sale = [
        ("what", "sell"),
        ("loan", "A-1"),
        ("part", "50%"),
        ("buyer", "cloud"),
        ("price", "98%"),
        ("reason", "We need the room."),
    ];
    let page = river
        .fill("/console/loans/A-1", "/console/approvals", &sale)
        .await;
    assert_eq!(page.location, "/console/approvals", "{}", page.body);
    let mut second = console
        .signed_in("second", "river", &[Role::Approver])
        .await;
    let approve = "/console/approvals/1/approve";
    second.fill("/console/approvals", approve, &[]).await;
    let pem = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let keys = vec![SigningKey::from_pem(&pem).unwrap().public().to_jwk()];
    let keys = serde_json::to_string(&Jwks { keys }).unwrap();
    let developer = "/console/developer";
    let client = [
        ("client", "river.1"),
        ("keys", &keys),
        ("scopes", "loans:read"),
    ];
    assert_eq!(
        river.fill(developer, developer, &client).await.location,
        developer
    );
    let url = [("url", "https://river.example/events")];
    let webhook = river
        .fill(developer, "/console/webhooks", &url)
        .await
        .location;
    let webhook = webhook.rsplit('/').next().unwrap().to_owned();
    let amendments = "/console/agreement/amendments";
    let policy = river.get("/console/agreement/text/2?of=policy").await.body;
    let policy = policy.replace("R-INCOME", "R-EARNS");
    let change = [
        ("of", "policy"),
        ("policy", policy.as_str()),
        ("reason", "Shorter."),
    ];
    let page = river.fill(amendments, amendments, &change).await;
    assert_eq!(page.location, format!("{amendments}/1"), "{}", page.body);
    let event = |application: &str| {
        let place = book.desk.look(|book| book.application_place(application));
        let events = book.desk.reader().events_of(place.unwrap()).unwrap();
        let mut disbursed = events.iter().filter(|row| row.kind == "loan.disbursed");
        disbursed.next().unwrap().number.to_string()
    };
    let archives = river.get("/console/archives").await.body;
    let archive = archives.split("/console/archives/").nth(1).unwrap();
    let archive = archive.split('"').next().unwrap().to_owned();
    let (disbursed, other) = (event("A-1"), event("A-2"));
    let thing = |path, id: &str, missing, seen_by| Thing {
        path,
        id: id.to_owned(),
        missing,
        seen_by,
    };
    let back = "taken_back:A-1:2022-02-10";
    let no_back = "taken_back:A-9:2022-02-10";
    let river: &[&str] = &["river"];
    vec![
        thing("/applications/", "A-1", "A-9", &PARTIES),
        thing("/applications/", "A-3", "A-9", &PARTIES[..4]),
        thing("/applications/", "A-5", "A-9", &PARTIES),
        thing("/loans/", "A-1", "A-9", OF_1),
        thing("/loans/", "A-2", "A-9", OF_2),
        thing("/loans/", "A-6", "A-9", OF_1),
        thing("/archives/", &archive, "99999", OF_1),
        thing("/ledger/events/", &disbursed, "99999", OF_1),
        thing("/ledger/events/", &other, "99999", OF_2),
        thing("/cases/", "referral:A-3", "referral:A-9", river),
        thing("/cases/", back, no_back, &["river", "cloud"]),
        thing("/agreement/amendments/", "1", "99", river),
        thing("/approvals/", "1", "99", river),
        thing("/sales/", "1", "99", &["river", "cloud"]),
        thing("/developer/", "river.1", "river.9", river),
        thing("/webhooks/", &webhook, "wh_none", river),
        thing("/people/", "1", "99", river),
    ]
}

#[tokio::test]
async fn whatever_is_another_s_is_answered_like_what_is_not_there() {
    let book = Book::open().await;
    book.archive().await;
    let console = console(&book).await;
    let things = things(&book, &console).await;
    let routes = routes();
    assert!(routes.len() > 15, "{routes:?}");
    let mut refused = 0;
    let mut shown = BTreeSet::new();
    for party in PARTIES {
        for role in Role::ALL {
            let login = format!("{party}-{}", role.name());
            let mut browser = console.signed_in(&login, party, &[role]).await;
            let form = browser.get("/console").await.hidden("form");
            for (method, route) in &routes {
                if OWN_PART.iter().any(|own| route.starts_with(own)) {
                    continue;
                }
                let about = |thing: &&Thing| route.starts_with(thing.path);
                let about: Vec<_> = things.iter().filter(about).collect();
                assert!(!about.is_empty(), "{route}: of whom is what it shows?");
                let (_, after) = route.split_once('}').unwrap();
                for thing in about {
                    let page = format!("/console{}{}", thing.path, thing.id);
                    if thing.seen_by.contains(&party) {
                        // Some roles of a party do not see what it does.
                        let status = browser.get(&page).await.status;
                        if status == StatusCode::OK {
                            shown.insert((page, party));
                        } else {
                            assert_eq!(status, StatusCode::FORBIDDEN, "{login}: {page}");
                        }
                        continue;
                    }
                    let actions: &[&str] = if after.contains('{') { &ACTIONS } else { &[""] };
                    for action in actions {
                        let after = after.replace("{what}", action);
                        let mut answers = Vec::new();
                        for id in [thing.id.as_str(), thing.missing] {
                            let path = format!("/console{}{id}{after}", thing.path);
                            let page = match *method {
                                Method::GET => browser.get(&path).await,
                                _ => browser.post(&path, &form, &[]).await,
                            };
                            answers.push((page.status, page.body.replace(&path, "PATH")));
                        }
                        let status = answers[0].0;
                        assert!(
                            [StatusCode::NOT_FOUND, StatusCode::FORBIDDEN].contains(&status)
                                && answers[0] == answers[1],
                            "{login}: {method} {page}{after}: {answers:?}"
                        );
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 1_000, "{refused}");
    // Nor is it refused to whom it concerns.
    for thing in &things {
        let page = format!("/console{}{}", thing.path, thing.id);
        for party in thing.seen_by {
            assert!(shown.contains(&(page.clone(), *party)), "{party}: {page}");
        }
    }
}
