//! What the audit log has of calls.

use std::time::Duration;

use axum::http::HeaderValue;
use serde_json::{Value, json};
use tandem_client::key::SigningKey;
use tandem_client::sign::Signer;
use tandem_client::system_time;
use tandem_web::audit::{self, Entry};

use crate::api::application;
use crate::service::Running;

/// A party's entries, once there are so many, each in a line; identifiers of interactions are only there.
fn entries(running: &Running, party: &str, count: usize) -> Vec<String> {
    let mut found = Vec::new();
    for _ in 0..1_000 {
        let lines = audit::lines(running.service.audit.file(), party, 0).unwrap();
        found = lines.iter().map(|line| said(&line.text)).collect();
        if found.len() >= count {
            return found;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{found:#?}");
}

fn said(line: &str) -> String {
    let entry: Entry = serde_json::from_str(line.split_once(' ').unwrap().1).unwrap();
    let client = entry.client.split('-').next().unwrap().to_owned();
    let mut parts = vec![
        client,
        entry.act.name().to_owned(),
        entry.method,
        entry.object,
    ];
    let fields = entry.fields.into_iter();
    parts.extend(fields.map(|(name, value)| match name.as_str() {
        "interaction" => name,
        _ => format!("{name}={value}"),
    }));
    parts.extend(entry.status.map(|status| status.to_string()));
    assert_eq!(entry.address, "127.0.0.1");
    parts.retain(|part| !part.is_empty());
    parts.join(" ")
}

#[test]
fn who_changed_what_and_who_showed_nothing_is_noted() {
    let running = Running::start();
    let mut platform = running.client("bazaar");
    platform.post("/applications", &application("A-1"));
    platform.post("/applications/A-1/acceptance", &Value::Null);
    platform.get("/applications/A-1");
    platform.post("/loans/A-1/payments", &json!({"reference": "P-1"}));
    let mut lender = running.client("river");
    lender.post("/applications/A-1/withdrawal", &Value::Null);
    for _ in 0..3 {
        let asked = ureq::get(format!("{}/v1/agreements?secret=yes", running.base));
        let answer = asked.header("authorization", "DPoP made-up").call();
        assert!(matches!(answer, Err(ureq::Error::StatusCode(401))));
        let token = ureq::post(format!("{}/oauth/token", running.base));
        let form = [("grant_type", "client_credentials")];
        assert!(matches!(
            token.send_form(form),
            Err(ureq::Error::StatusCode(401))
        ));
    }
    let found = entries(&running, "bazaar", 4);
    assert_eq!(
        found,
        [
            "bazaar called POST /oauth/token 200",
            "bazaar called POST /v1/agreements/marketplace/applications interaction reference=A-1 201",
            "bazaar called POST /v1/agreements/marketplace/applications/A-1/acceptance interaction 200",
            // It was refused before it was known which payment it was.
            "bazaar called POST /v1/agreements/marketplace/loans/A-1/payments interaction 422",
        ]
    );
    assert_eq!(
        entries(&running, "river", 2)[1],
        "river called POST /v1/agreements/marketplace/applications/A-1/withdrawal interaction 403"
    );
    // Who hangs up before the answer comes leaves an entry too.
    let path = "/v1/agreements/marketplace/applications";
    let body = serde_json::to_vec(&application("SANDBOX-TIMEOUT-A")).unwrap();
    let content = Some(("application/json", body.as_slice()));
    let headers = platform
        .0
        .prepare("POST", path, Some("k"), content)
        .unwrap();
    let mut call = ureq::post(format!("{}{path}", running.base));
    for (name, value) in &headers {
        call = call.header(name, value);
    }
    let patience = Some(Duration::from_secs(3));
    let call = call.config().timeout_global(patience).build();
    assert!(matches!(call.send(&body[..]), Err(ureq::Error::Timeout(_))));
    assert_eq!(
        entries(&running, "bazaar", 5)[4],
        "bazaar called POST /v1/agreements/marketplace/applications reference=SANDBOX-TIMEOUT-A"
    );
    // Who sends another body than the one that was digested, or a token request without the proof that
    // belongs to it, has not shown who it is: an entry of whose client it says it is.
    let headers = platform.0.prepare("POST", path, Some("l"), content);
    let changed = platform.0.send("POST", path, &headers.unwrap(), b"{}");
    let changed = changed.unwrap();
    assert_eq!(
        (changed.status, &changed.json()["code"]),
        (400, &json!("bad_digest"))
    );
    let (name, pem) = running.register("harbour");
    let signer = Signer::new(&running.base, &name, SigningKey::from_pem(&pem).unwrap()).unwrap();
    let (mut asked, form) = signer.token_request(None, system_time()).unwrap();
    asked.insert("dpop", HeaderValue::from_static("made-up"));
    let token = platform
        .0
        .send("POST", "/oauth/token", &asked, form.as_bytes());
    let token = token.unwrap();
    assert_eq!(
        (token.status, &token.json()["error"]),
        (400, &json!("invalid_dpop_proof"))
    );
    assert_eq!(
        [
            &entries(&running, "bazaar", 6)[5],
            &entries(&running, "harbour", 1)[0]
        ],
        [
            "bazaar call_failed POST /v1/agreements/marketplace/applications interaction 400",
            "harbour call_failed POST /oauth/token 400",
        ]
    );
    // Nobody is known, so these are the operator's: the first in an hour, from each address.
    assert_eq!(
        entries(&running, "", 1),
        ["call_failed GET /v1/agreements interaction 401"]
    );
}
