//! Answers of lenders' services: which signatures count.

use super::*;
use crate::webhooks::fields;
use tandem_client::decision::sign_decision;
use tandem_client::message::{RESPONSE_TAG, SIGNATURE, SIGNATURE_INPUT};

const URL: &str = "https://river.example/decide";
const BODY: &[u8] = br#"{"outcome": "refer", "reasons": ["R-REF"]}"#;

fn question(id: &str) -> HeaderMap {
    fields(id, START, &format!("v1a,{id}"))
}

fn signed(key: &SigningKey, created: i64) -> HeaderMap {
    sign_decision(key, &question("dec_1"), BODY, created).unwrap()
}

/// Signs these components only.
fn covering(key: &SigningKey, components: &[(&str, bool)]) -> HeaderMap {
    let mut headers = signed(key, START);
    let question = question("dec_1");
    let message = Message {
        method: "POST",
        target: URL,
        status: Some(200),
        headers: &headers,
        request: Some(&question),
    };
    let (input, signature) = message::sign(&message, components, START, RESPONSE_TAG, key).unwrap();
    headers.insert(SIGNATURE_INPUT, input);
    headers.insert(SIGNATURE, signature);
    headers
}

#[test]
fn of_a_lender_with_a_key_count_if_they_are_signed() {
    let service = Service::new();
    let asked = question("dec_1");
    let check = |headers: &HeaderMap| {
        let answer = (200, headers, BODY);
        service
            .access
            .check_decision("river", (URL, &asked), answer)
    };
    let unsigned = HeaderMap::new();
    let (key, next) = (new_key(Algorithm::Ed25519), new_key(Algorithm::Es256));
    let (key, next) = (key.named("river-1"), next.named("river-2"));
    // Whoever has no client for it need not sign; one that may do other things is none.
    check(&unsigned).unwrap();
    for (name, scopes, key) in [
        ("river-app", "loans:read", new_key(Algorithm::Ed25519)),
        ("river-decider", "decisions:write", key),
    ] {
        check(&unsigned).unwrap();
        let client = Client::new(name, "river", scopes, &jwks(&key)).unwrap();
        client.register(&service.registry).unwrap();
    }
    let client = Client::find(&service.registry, "river-decider");
    let registered = client.unwrap().unwrap().keys[0].clone();
    assert_eq!(registered.kid, "river-1");
    let jwk = serde_json::to_string(&next.public().to_jwk()).unwrap();
    Client::rotate(&service.registry, "river-decider", &jwk).unwrap();
    check(&signed(&next, START)).unwrap();

    let mut found = String::new();
    let mut refused = |name: &str, outcome: Result<(), String>| {
        writeln!(found, "{name}\n  {}\n", outcome.unwrap_err()).unwrap();
    };
    let stranger = new_key(Algorithm::Es256).named("river-2");
    refused("not signed", check(&unsigned));
    refused("by a stranger", check(&signed(&stranger, START)));
    refused("by another party", check(&signed(&harbour_key(), START)));
    refused("too old", check(&signed(&next, START - 61)));
    let mut no_digest = signed(&next, START);
    no_digest.remove("content-digest");
    refused("without its digest", check(&no_digest));
    let without = [("@status", false), ("webhook-signature", true)];
    refused("not of its body", check(&covering(&next, &without)));
    let without = [("@status", false), ("content-digest", false)];
    refused("not of its question", check(&covering(&next, &without)));
    let answer = signed(&next, START);
    let other = question("dec_2");
    let of_another = (200, &answer, BODY);
    let moved = service
        .access
        .check_decision("river", (URL, &other), of_another);
    refused("to another question", moved);
    let body = br#"{"outcome": "refer", "reasons": ["R-DTI"]}"#;
    let changed = (200, &answer, &body[..]);
    let changed = service
        .access
        .check_decision("river", (URL, &asked), changed);
    refused("with another body", changed);
    let status = (201, &answer, BODY);
    let status = service
        .access
        .check_decision("river", (URL, &asked), status);
    refused("with another status", status);
    // The end of the client is no end of the duty.
    Client::disable(&service.registry, "river-decider", true).unwrap();
    refused("by a disabled client", check(&signed(&next, START)));
    refused("not signed, after that", check(&unsigned));
    golden("decisions.txt", &found);
}
