//! The service is held against what partners may rely on; and a service that is not so is found.

use std::path::Path;

use serde_json::{Value, json};
use tandem_client::key::{Algorithm, SigningKey};
use tandem_web::conformance::{Identity, Target, report, run};

use crate::api::application;
use crate::service::Running;
use crate::tls::{start, tls};

/// What is tried, with all that it takes or with as little as will do.
fn target(running: &Running, all: bool) -> Target {
    let identity = |party: &str| {
        let (client_id, pem) = running.register(party);
        Identity { client_id, pem }
    };
    Target {
        base: running.base.clone(),
        tls: tls(None),
        certified: all.then(|| tls(Some("one"))),
        agreement: crate::service::BOOK.to_owned(),
        client: identity("bazaar"),
        other: all.then(|| identity("harbour")),
    }
}

#[track_caller]
pub(crate) fn golden(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/it")
        .join(name);
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        std::fs::write(&path, found).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        found, expected,
        "{name}; run again with TANDEM_UPDATE=1 and read the diff"
    );
}

#[test]
fn the_service_conforms() {
    let running = start(true);
    let mut platform = running.client_over(tls(None), "bazaar");
    platform.post("/applications", &application("A-1"));
    let (status, taken) = platform.post("/applications/A-1/acceptance", &Value::Null);
    assert_eq!((status, &taken["state"]), (200, &json!("disbursed")));
    let before = platform.get("/events");
    let (text, failed) = report(&run(&target(&running, true)).unwrap());
    assert_eq!(failed, 0, "{text}");
    golden("conformance.txt", &text);
    assert_eq!(platform.get("/events"), before);
}

/// A client with a key that is not the registered one gets nowhere, and is told so.
#[test]
fn what_does_not_conform_is_found() {
    let running = Running::start();
    let mut target = target(&running, false);
    target.client.pem = SigningKey::generate(Algorithm::Ed25519).unwrap();
    let (text, failed) = report(&run(&target).unwrap());
    assert!(failed > 20, "{text}");
    assert!(text.contains("name a client of another party"), "{text}");
    target.base = "http://127.0.0.1:1".to_owned();
    let nobody = run(&target).map(|_| ()).unwrap_err();
    let expected = "http://127.0.0.1:1/.well-known/oauth-authorization-server: ";
    assert!(nobody.starts_with(expected), "{nobody}");
}
