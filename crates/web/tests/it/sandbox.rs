//! What a sandbox has that others do not.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_client::key::{Algorithm, SigningKey};
use tandem_client::sign::Signer;

use crate::api::{application, money};
use crate::service::Running;

/// Whoever cannot get a signature right is told which bytes are signed here.
#[test]
fn a_signature_is_checked_in_every_part() {
    let running = Running::start();
    let mut platform = running.client("bazaar");
    let body: &[u8] = br#"{"any": "thing"}"#;
    let json = Some(("application/json", body));
    let good = platform
        .0
        .call("POST", "/v1/signature-check", Some("K-1"), json);
    let good = good.unwrap().json();
    assert_eq!(good["passed"], true, "{good}");
    let names = good["checks"].as_array().unwrap().iter();
    let names: Vec<_> = names.map(|check| check["name"].as_str().unwrap()).collect();
    assert_eq!(
        names,
        [
            "access_token",
            "dpop_proof",
            "content_digest",
            "signature_input",
            "components",
            "created",
            "signature"
        ]
    );
    let base = good["checks"][6]["detail"].as_str().unwrap();
    assert!(
        base.contains("\n\"@method\": POST\n\"@target-uri\": http://127."),
        "{base}"
    );

    let key = SigningKey::from_pem(&SigningKey::generate(Algorithm::Ed25519).unwrap()).unwrap();
    let signer = Signer::new(&running.base, "nobody", key).unwrap();
    let mut headers = axum::http::HeaderMap::new();
    signer
        .sign(
            "TOKEN",
            "POST",
            "/v1/signature-check",
            &mut headers,
            body,
            1,
        )
        .unwrap();
    let http = ureq::Agent::config_builder().http_status_as_error(false);
    let http = ureq::Agent::new_with_config(http.build());
    let mut post = http.post(format!("{}/v1/signature-check", running.base));
    for (name, value) in &headers {
        post = post.header(name, value);
    }
    let bad = post.send(&body[1..]).unwrap().into_body().read_to_string();
    let bad: Value = serde_json::from_str(&bad.unwrap()).unwrap();
    assert_eq!(bad["passed"], false);
    let failed = bad["checks"].as_array().unwrap().iter();
    let failed = failed.filter(|check| check["passed"] == false);
    let failed: Vec<_> = failed
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    let expected = [
        "access_token",
        "dpop_proof",
        "content_digest",
        "created",
        "signature",
    ];
    assert_eq!(failed, expected);
}

#[test]
fn a_reference_asks_for_a_failure() {
    let running = Running::start();
    let mut platform = running.client("bazaar");
    let described = platform.0.read("/v1/sandbox").unwrap().json();
    let prefixes = described["triggers"].as_array().unwrap().iter();
    let prefixes: Vec<_> = prefixes
        .map(|one| one["prefix"].as_str().unwrap())
        .collect();
    assert_eq!(
        prefixes,
        [
            "SANDBOX-429-",
            "SANDBOX-500-",
            "SANDBOX-503-",
            "SANDBOX-SLOW-",
            "SANDBOX-TIMEOUT-"
        ]
    );
    for (status, wait) in [(429, Some("1")), (500, None), (503, Some("1"))] {
        let reference = format!("SANDBOX-{status}-A");
        for _ in 0..2 {
            let reply = platform.send("/applications", "one-key", &application(&reference));
            assert_eq!(reply.status, status);
            assert_eq!(
                reply.json()["detail"],
                format!("the reference begins with SANDBOX-{status}-")
            );
            let after = reply.headers.get("retry-after");
            assert_eq!(after.map(|after| after.to_str().unwrap()), wait);
        }
        assert_eq!(platform.get(&format!("/applications/{reference}")).0, 404);
    }
    let begun = Instant::now();
    let (status, _) = platform.post("/applications", &application("SANDBOX-SLOW-A"));
    assert_eq!(status, 201);
    assert!(begun.elapsed() >= Duration::from_secs(2));
}

#[test]
fn a_seed_is_a_past_that_the_api_could_have_had() {
    let running = Running::start();
    let mut servicer = running.client("cloud");
    let seed = include_str!("../../../../examples/marketplace/seed.json");
    let seed: Value = serde_json::from_str(seed).unwrap();
    for _ in 0..2 {
        let (status, seeded) = servicer.post("/sandbox/seed", &seed);
        let expected = json!({"steps": 5, "business_date": "2022-03-01"});
        assert_eq!((status, seeded), (201, expected));
    }
    let (_, loan) = servicer.get("/loans/SEED-1");
    assert_eq!(loan["totals"]["received"], money(200_000), "{loan}");
    let (_, declined) = running.client("bazaar").get("/applications/SEED-2");
    assert_eq!(declined["state"], "declined", "{declined}");
    let unknown = json!([{"acceptance": "A-2"}]);
    let (status, problem) = servicer.post("/sandbox/seed", &unknown);
    assert_eq!(
        (status, &problem["detail"]),
        (404, &json!("step 0: there is no application `A-2`"))
    );
    let mut wrong = application("A-3");
    wrong["fields"]["bankruptcies"] = json!("none");
    for (step, pointer) in [
        (
            json!({"application": wrong}),
            "/0/application/fields/bankruptcies",
        ),
        (json!({"day": "2099-01-01"}), "/0/day"),
    ] {
        let (status, problem) = servicer.post("/sandbox/seed", &json!([step]));
        assert_eq!(
            (status, &problem["errors"][0]["pointer"]),
            (422, &json!(pointer))
        );
    }
    let (status, problem) = servicer.post("/sandbox/seed", &json!([{"loan": 1}]));
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/0"))
    );
    assert!(
        problem["detail"].as_str().unwrap().starts_with(
            "unknown variant `loan`, expected one of `application`, `acceptance`, `day`, `payment`"
        ),
        "{problem}"
    );
}

#[test]
fn outside_a_sandbox_there_is_none_of_it() {
    let running = Running::start_for_real();
    let mut platform = running.client("bazaar");
    let expected = "this is no sandbox: start one with `tandem serve --sandbox`";
    let (status, problem) = platform.post("/sandbox/seed", &json!([]));
    assert_eq!((status, &problem["detail"]), (403, &json!(expected)));
    let described = platform.0.read("/v1/sandbox").unwrap();
    assert_eq!(
        (described.status, &described.json()["detail"]),
        (403, &json!(expected))
    );
    let check = platform
        .0
        .call("POST", "/v1/signature-check", Some("K"), None)
        .unwrap();
    assert_eq!(
        (check.status, &check.json()["detail"]),
        (403, &json!(expected))
    );
    let (status, _) = platform.post("/applications", &application("SANDBOX-503-A"));
    assert_eq!(status, 201);
}
