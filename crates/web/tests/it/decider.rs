//! A lender that decides by its own service.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tandem_client::ApiClient;
use tandem_client::decision::sign_decision;
use tandem_client::key::{Algorithm, Jwks, PublicKey, SigningKey};
use tandem_client::system_time;
use tandem_web::api::Deciders;

use crate::api::{application, money};
use crate::service::{Party, Running};

/// What the service of a lender was asked: id, time, signature, body.
type Asked = [String; 4];

/// A lender's service; it gives these answers, each after a while and signed with a key, if any.
fn lender(answers: Vec<(Option<String>, u64, String)>) -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/decide", listener.local_addr().unwrap());
    let (sender, asked) = channel();
    std::thread::spawn(move || {
        for (stream, (pem, wait, answer)) in listener.incoming().zip(answers) {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut fields = BTreeMap::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim().split_once(": ") {
                    Some((name, value)) => {
                        fields.insert(name.to_ascii_lowercase(), value.to_owned());
                    }
                    None if line.trim().is_empty() => break,
                    None => {}
                }
            }
            let mut body = vec![0; fields["content-length"].parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            let field = |name: &str| fields[name].clone();
            sender
                .send([
                    field("webhook-id"),
                    field("webhook-timestamp"),
                    field("webhook-signature"),
                    String::from_utf8(body).unwrap(),
                ])
                .unwrap();
            std::thread::sleep(Duration::from_millis(wait));
            let length = answer.len();
            let mut head =
                format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}");
            if let Some(pem) = pem {
                let key = SigningKey::from_pem(&pem).unwrap();
                let mut question = HeaderMap::new();
                let signature = HeaderValue::try_from(&fields["webhook-signature"]).unwrap();
                question.insert("webhook-signature", signature);
                let signed = sign_decision(&key, &question, answer.as_bytes(), system_time());
                for (name, value) in &signed.unwrap() {
                    head += &format!("\r\n{name}: {}", value.to_str().unwrap());
                }
            }
            // Whoever has hung up gets nothing.
            let _ = write!(stream, "{head}\r\n\r\n{answer}");
        }
    });
    (url, asked)
}

fn decided(river: &mut Party, reference: &str) -> Value {
    river.get(&format!("/applications/{reference}")).1["decisions"][0].clone()
}

#[test]
fn a_lender_decides_by_its_own_service() {
    let running = Running::start();
    let (mut platform, mut river) = (running.client("bazaar"), running.client("river"));
    let approval =
        json!({"outcome": "approve", "maximum": money(1_234_500), "rate": "9.5%", "score": 7});
    let (_, pem) = running.register("river");
    let answers = vec![
        (0, approval.to_string()),
        (
            0,
            json!({"outcome": "decline", "reasons": ["R-DTI"]}).to_string(),
        ),
        (
            0,
            json!({"outcome": "refer", "reasons": ["R-REF"]}).to_string(),
        ),
        // Too late at first, then in time.
        (700, approval.to_string()),
        (0, approval.to_string()),
        // Nothing that can be used, twice each.
        (0, "perhaps".to_owned()),
        (
            0,
            json!({"outcome": "decline", "reasons": ["R-MOON"]}).to_string(),
        ),
        (0, json!({"outcome": "decline", "reasons": []}).to_string()),
        (
            0,
            json!({"outcome": "approve", "maximum": money(0), "rate": "9.5%"}).to_string(),
        ),
    ];
    let signed = answers.into_iter();
    let signed = signed.map(|(wait, answer)| (Some(pem.clone()), wait, answer));
    let (url, asked) = lender(signed.collect());
    let urls = BTreeMap::from([("river".to_owned(), url)]);
    let deciders = Deciders::new(urls, running.service.access.clone()).unwrap();
    running.desk.decide_by(deciders);

    let (status, _) = platform.post("/applications", &application("A-1"));
    assert_eq!(status, 201);
    let by = decided(&mut river, "A-1");
    assert_eq!(
        (&by["outcome"], &by["maximum"], &by["rate"], &by["score"]),
        (
            &json!("approve"),
            &money(1_234_500),
            &json!("9.50%"),
            &json!(7)
        ),
    );
    let [id, at, signature, body] = asked.recv().unwrap();
    let body_read: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body_read["reference"], "A-1");
    assert_eq!(body_read["lender"], "river");
    assert_eq!(body_read["fields"]["amount"], money(6_000_000));
    assert_eq!(
        body_read["fields"],
        river.get("/applications/A-1").1["fields"],
        "it is asked with what it may see"
    );
    let keys = platform.0.read("/.well-known/jwks.json").unwrap();
    let keys: Jwks = serde_json::from_slice(&keys.body).unwrap();
    let key = PublicKey::from_jwk(&keys.keys[0]).unwrap();
    let signature = STANDARD.decode(signature.strip_prefix("v1a,").unwrap());
    assert!(key.verify(format!("{id}.{at}.{body}").as_bytes(), &signature.unwrap()));

    // What is known is not asked about again.
    platform.post("/applications", &application("A-1"));
    assert!(asked.try_recv().is_err());

    for (reference, outcome, code) in [("A-2", "decline", "R-DTI"), ("A-3", "refer", "R-REF")] {
        let line = application(reference).to_string();
        let results = platform.stream("/applications/stream", &line);
        assert_eq!(results[0]["status"], 201, "{results:?}");
        let by = decided(&mut river, reference);
        assert_eq!(
            (&by["outcome"], &by["reasons"][0]["code"]),
            (&json!(outcome), &json!(code))
        );
    }
    platform.post("/applications", &application("A-4"));
    assert_eq!(decided(&mut river, "A-4")["outcome"], "approve");
    let ids: Vec<_> = asked.try_iter().map(|[id, ..]| id).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(ids[2], ids[3], "both tries are of one question");

    // The last ones find nobody at all.
    for reference in ["A-5", "A-6", "A-7"] {
        let (status, _) = platform.post("/applications", &application(reference));
        assert_eq!(status, 201);
        let by = decided(&mut river, reference);
        assert_eq!(
            (&by["outcome"], &by["reasons"][0]["code"]),
            (&json!("decline"), &json!("R-SCORE")),
        );
    }
}

/// Without a client for it a lender need not sign; with one, what is not signed by it is silence.
#[test]
fn a_lender_with_a_key_signs() {
    let running = Running::start();
    let mut platform = running.client("bazaar");
    let (name, pem) = running.register_for("river", "applications:read");
    let key = SigningKey::from_pem(&pem).unwrap();
    let mut river = Party(ApiClient::new(&running.base, &name, key).unwrap());
    let own = SigningKey::generate(Algorithm::Es256).unwrap();
    let (_, of_another) = running.register_for("harbour", "decisions:write");
    let unsigned = [None, None, None];
    let wrong = [&pem, &pem, &of_another, &of_another].map(|pem| Some(pem.clone()));
    let given = unsigned.into_iter().chain(wrong).chain([Some(own.clone())]);
    let refer = json!({"outcome": "refer", "reasons": ["R-REF"]}).to_string();
    let (url, asked) = lender(given.map(|pem| (pem, 0, refer.clone())).collect());
    let urls = BTreeMap::from([("river".to_owned(), url)]);
    let deciders = Deciders::new(urls, running.service.access.clone()).unwrap();
    running.desk.decide_by(deciders);
    let mut outcome = |reference: &str| {
        let (status, _) = platform.post("/applications", &application(reference));
        assert_eq!(status, 201);
        let reason = decided(&mut river, reference)["reasons"][0]["code"].clone();
        (reason, asked.try_iter().count())
    };
    let (refer, silence) = (json!("R-REF"), json!("R-SCORE"));
    assert_eq!(outcome("A-1"), (refer.clone(), 1));
    running.register_key("river", "decisions:write", &own);
    // Unsigned, by a client that may not, by another party: each is tried twice.
    for reference in ["A-2", "A-3", "A-4"] {
        assert_eq!(outcome(reference), (silence.clone(), 2), "{reference}");
    }
    assert_eq!(outcome("A-5"), (refer, 1));
}

#[test]
fn a_decider_has_an_address() {
    let running = Running::start();
    let urls = BTreeMap::from([("river".to_owned(), "river.example".to_owned())]);
    let refused = Deciders::new(urls, running.service.access.clone());
    assert_eq!(
        refused.err().unwrap(),
        "decider of river: `river.example` must begin with http:// or https://"
    );
}
