//! What an administrator asks for a client that may write counts once another confirms it.

use tandem_client::key::{Algorithm, Jwks, SigningKey};

use super::book::Book;
use super::pages::console;
use super::*;
use crate::access::Client;

const DEVELOPER: &str = "/console/developer";
const ONE: &str = "/console/developer/river.1";

fn key() -> tandem_client::key::Jwk {
    let pem = SigningKey::generate(Algorithm::Ed25519).unwrap();
    SigningKey::from_pem(&pem).unwrap().public().to_jwk()
}

fn keys() -> String {
    serde_json::to_string(&Jwks { keys: vec![key()] }).unwrap()
}

fn found(console: &Browser) -> Option<Client> {
    Client::find(&console.registry, "river.1").unwrap()
}

async fn register(admin: &mut Browser, scopes: &str) -> Page {
    let keys = keys();
    let fields = [("client", "river.1"), ("keys", &keys), ("scopes", scopes)];
    admin.fill(DEVELOPER, DEVELOPER, &fields).await
}

/// Confirms or withdraws what the page shows.
async fn decide(admin: &mut Browser, what: &str) -> Page {
    let change = admin.get(DEVELOPER).await.hidden("change");
    let fields = [("change", change.as_str())];
    admin
        .fill(DEVELOPER, &format!("{ONE}/{what}"), &fields)
        .await
}

#[tokio::test]
async fn a_client_that_may_write_counts_once_another_administrator_confirms_it() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut one = console.signed_in("zhao", "river", &[Role::Admin]).await;
    let mut other = console.signed_in("qian", "river", &[Role::Admin]).await;
    let mut stranger = console.signed_in("sun", "cloud", &[Role::Admin]).await;
    assert_eq!(register(&mut one, "loans:write").await.location, DEVELOPER);
    assert!(found(&console).is_none());
    // Whoever asked does not confirm, and nobody of another party sees it.
    let own = "Another administrator must confirm what you asked for river.1. If there is no other, \
               the operator adds one (tandem person) or registers the client (tandem client).";
    one.get(DEVELOPER).await.says(own);
    let page = decide(&mut one, "confirm").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says(own);
    let page = decide(&mut stranger, "confirm").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    // Nor does anybody confirm what was not shown.
    let fields = [("change", "1")];
    let path = format!("{ONE}/confirm");
    let page = other.fill(DEVELOPER, &path, &fields).await;
    page.says("What is to be confirmed is not what you were shown. Look at it again.");
    let page = other.get(DEVELOPER).await;
    page.says("New client");
    page.says("zhao of river");
    page.says("once another administrator confirms it");
    assert_eq!(decide(&mut other, "confirm").await.location, DEVELOPER);
    assert!(found(&console).is_some());
    // Its next key and its return are the same.
    let jwk = serde_json::to_string(&key()).unwrap();
    one.fill(ONE, &format!("{ONE}/rotate"), &[("key", &jwk)])
        .await;
    assert_eq!(found(&console).unwrap().keys.len(), 1);
    other.get(ONE).await.says("Next key");
    decide(&mut other, "confirm").await;
    assert_eq!(found(&console).unwrap().keys.len(), 2);
    one.fill(ONE, &format!("{ONE}/disable"), &[]).await;
    assert!(found(&console).unwrap().disabled);
    one.fill(ONE, &format!("{ONE}/enable"), &[]).await;
    assert!(found(&console).unwrap().disabled);
    assert_eq!(decide(&mut one, "withdraw").await.location, DEVELOPER);
    let page = decide(&mut other, "confirm").await;
    assert_eq!(page.status, StatusCode::NOT_FOUND);
    other.fill(ONE, &format!("{ONE}/enable"), &[]).await;
    decide(&mut one, "confirm").await;
    assert!(!found(&console).unwrap().disabled);
    let page = register(&mut one, "loans:write").await;
    page.says("client river.1 is registered already");
}

#[tokio::test]
async fn names_of_clients_are_a_party_s_own() {
    let book = Book::open().await;
    let console = console(&book).await;
    let taken = Client::new("cloud-1", "cloud", "loans:read", &keys()).unwrap();
    taken.register(&console.registry).unwrap();
    let taken = Client::new("cloud.1", "cloud", "loans:read", &keys()).unwrap();
    taken.register(&console.registry).unwrap();
    let mut one = console.signed_in("zhao", "river", &[Role::Admin]).await;
    one.get(DEVELOPER).await.says(r#"value="river.""#);
    // Whether somebody has a name or nobody, it is refused alike.
    for name in [
        "cloud-1",
        "cloud-9",
        "cloud.1",
        "river",
        "river.",
        "river-1",
        "riverside.1",
        "River.1",
        "",
    ] {
        for scopes in ["loans:read", "loans:write"] {
            let keys = keys();
            let fields = [("client", name), ("keys", &keys), ("scopes", scopes)];
            let page = one.fill(DEVELOPER, DEVELOPER, &fields).await;
            assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
            page.says(&format!("client_id `{name}` must begin"));
            page.says("must begin with `river.`; choose one such as river.shop");
        }
    }
    // What was asked for before names had to begin so is refused too, when it is confirmed.
    let mut other = console.signed_in("qian", "river", &[Role::Admin]).await;
    register(&mut one, "loans:write").await;
    let before = "update client_change set client_id = 'cloud-1'";
    let changed = console
        .registry
        .change(|tables| tables.execute(before, &[]));
    assert_eq!(changed.unwrap(), 1);
    let change = other.get(DEVELOPER).await.hidden("change");
    let path = format!("{DEVELOPER}/cloud-1/confirm");
    let page = other.fill(DEVELOPER, &path, &[("change", &change)]).await;
    page.says("client_id `cloud-1` must begin with `river.`");
}

#[tokio::test]
async fn a_client_that_reads_needs_one_administrator() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut one = console.signed_in("zhao", "river", &[Role::Admin]).await;
    register(&mut one, "loans:read").await;
    assert!(found(&console).is_some());
}

#[tokio::test]
async fn who_was_made_by_the_one_who_asks_does_not_confirm() {
    let book = Book::open().await;
    let console = console(&book).await;
    let mut one = console.signed_in("zhao", "river", &[Role::Admin]).await;
    let mut made = console.signed_in("qian", "river", &[Role::Admin]).await;
    let id = |login| {
        let found = people::by_login(&console.registry, login).unwrap();
        found.unwrap().id
    };
    let (zhao, qian) = (id("zhao"), id("qian"));
    let text = "insert into person_change (person, changed_by, changed_at) values (?1, ?2, 0)";
    console
        .registry
        .change(|tables| tables.execute(text, crate::registry::values![qian, zhao]))
        .unwrap();
    register(&mut one, "loans:write").await;
    let said = "zhao of river asked for this for river.1, and one of you added or last changed the other. \
                Another administrator must confirm it; if there is no other, the operator adds one \
                (tandem person) or registers the client (tandem client).";
    made.get(DEVELOPER).await.says(said);
    let page = decide(&mut made, "confirm").await;
    assert_eq!(page.status, StatusCode::UNPROCESSABLE_ENTITY);
    page.says(said);
    assert!(found(&console).is_none());
}
