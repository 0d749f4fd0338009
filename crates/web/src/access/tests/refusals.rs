//! What is refused, each with what the caller is told.

use axum::BoxError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::json;
use tandem_client::key::sha256_base64url;
use tandem_client::{TOKEN_PATH, jose};

use super::*;

/// Shows answers under names.
#[derive(Default)]
struct Shown(String);

impl Shown {
    fn add(&mut self, name: &str, answer: &Answered) {
        let body = answer.json();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let (code, detail) = match body.get("code") {
            Some(_) => (text("code"), text("detail")),
            None => (text("error"), text("error_description")),
        };
        let status = answer.status.as_u16();
        writeln!(self.0, "{name}\n  {status} {code}\n  {detail}\n").unwrap();
    }
}

fn base64url(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A text with a header and claims as they are, and a signature or none.
fn raw_jws(header: &Value, claims: &Value, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let signed = format!(
        "{}.{}",
        base64url(header.to_string()),
        base64url(claims.to_string())
    );
    let signature = base64url(sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn claims() -> Value {
    json!({
        "iss": "bazaar-app", "sub": "bazaar-app", "aud": BASE, "exp": START + 60,
        "jti": key::random_id().unwrap(),
    })
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn assertion(key: &SigningKey, claims: &Value) -> String {
    jose::encode("JWT", claims, key, false).unwrap()
}

fn proof_claims(method: &str, path: &str) -> Value {
    json!({
        "jti": key::random_id().unwrap(), "htm": method, "htu": format!("{BASE}{path}"),
        "iat": START,
    })
}

#[tokio::test]
async fn of_token_requests() {
    let service = Service::new();
    let proof_key = new_key(Algorithm::Es256);
    let ask = async |assertion: &str, proof: Option<&Value>, more: &str| {
        let body = format!(
            "grant_type=client_credentials&client_assertion_type={}&client_assertion={assertion}{more}",
            tandem_client::ASSERTION_TYPE.replace(':', "%3A")
        );
        let mut call = Call::new("POST", "/oauth/token", &body);
        call.field("content-type", "application/x-www-form-urlencoded");
        if let Some(claims) = proof {
            let proof = jose::encode("dpop+jwt", claims, &proof_key, true).unwrap();
            call.field("dpop", &proof);
        }
        service.send(call).await
    };
    let proof = || proof_claims("POST", "/oauth/token");
    let key = bazaar_key();
    let mut shown = Shown::default();

    let mut call = Call::new("POST", "/oauth/token", "grant_type=password");
    call.field("content-type", "application/x-www-form-urlencoded");
    shown.add("another grant", &service.send(call).await);
    let mut call = Call::new("POST", "/oauth/token", "grant_type=client_credentials");
    call.field("content-type", "application/x-www-form-urlencoded");
    shown.add("no assertion", &service.send(call).await);
    let call = Call::new("POST", "/oauth/token", "{}");
    shown.add("no form", &service.send(call).await);

    let none = raw_jws(&json!({"alg": "none"}), &claims(), |_| Vec::new());
    let confused = raw_jws(
        &json!({"alg": "HS256", "kid": "bazaar-1"}),
        &claims(),
        |signed| {
            // The public key as the secret of an HMAC: everyone has it.
            let jwk = serde_json::to_vec(&key.public().to_jwk()).unwrap();
            let secret = hmac::Key::new(hmac::HMAC_SHA256, &jwk);
            hmac::sign(&secret, signed).as_ref().to_vec()
        },
    );
    let critical = raw_jws(
        &json!({"alg": "EdDSA", "kid": "bazaar-1", "crit": ["b64"]}),
        &claims(),
        |signed| key.sign(signed).unwrap(),
    );
    let stranger = new_key(Algorithm::Ed25519).named("bazaar-1");
    let mut unknown = claims();
    unknown["iss"] = json!("nobody");
    unknown["sub"] = json!("nobody");
    let far = START + ASSERTION_LIFETIME + WINDOW + 1;
    let at_jwt = jose::encode("at+jwt", &claims(), &key, false).unwrap();
    let cases = [
        ("assertion is no JWT", "abc".to_owned()),
        ("assertion with alg none", none),
        ("assertion with an HMAC of the public key", confused),
        ("assertion with crit", critical),
        ("assertion of another type", at_jwt),
        (
            "assertion signed by a stranger",
            assertion(&stranger, &claims()),
        ),
        (
            "assertion with another client's key",
            assertion(&harbour_key(), &claims()),
        ),
        ("assertion of an unknown client", assertion(&key, &unknown)),
        (
            "iss is not sub",
            assertion(&key, &with(claims(), "iss", json!("harbour-app"))),
        ),
        (
            "for another audience",
            assertion(&key, &with(claims(), "aud", json!("https://other"))),
        ),
        (
            "for an audience that begins like ours",
            assertion(
                &key,
                &with(claims(), "aud", json!("https://api.example.org")),
            ),
        ),
        (
            "expired",
            assertion(&key, &with(claims(), "exp", json!(START))),
        ),
        (
            "valid for too long",
            assertion(&key, &with(claims(), "exp", json!(far))),
        ),
        (
            "not valid yet",
            assertion(&key, &with(claims(), "nbf", json!(START + 61))),
        ),
        (
            "without jti",
            assertion(&key, &with(claims(), "jti", json!(""))),
        ),
    ];
    for (name, assertion) in cases {
        shown.add(name, &ask(&assertion, Some(&proof()), "").await);
    }
    let once = assertion(&key, &claims());
    assert_eq!(ask(&once, Some(&proof()), "").await.status, 200);
    shown.add(
        "assertion used before",
        &ask(&once, Some(&proof()), "").await,
    );
    let fresh = || assertion(&key, &claims());
    let other = "&client_id=harbour-app";
    shown.add(
        "client_id of another",
        &ask(&fresh(), Some(&proof()), other).await,
    );
    let unknown = "&scope=loans%3Aburn";
    shown.add(
        "unknown scope",
        &ask(&fresh(), Some(&proof()), unknown).await,
    );
    let admin = "&scope=admin";
    shown.add(
        "scope not allowed",
        &ask(&fresh(), Some(&proof()), admin).await,
    );
    let none = "&expires_in=0";
    shown.add("of no second", &ask(&fresh(), Some(&proof()), none).await);
    for (asked, given) in [("1", 1), ("600", 600), ("6000", 600)] {
        let more = format!("&expires_in={asked}");
        let answer = ask(&fresh(), Some(&proof()), &more).await;
        assert_eq!(answer.json()["expires_in"], given);
    }
    shown.add("no proof", &ask(&fresh(), None, "").await);
    let get = proof_claims("GET", "/oauth/token");
    shown.add(
        "proof for another method",
        &ask(&fresh(), Some(&get), "").await,
    );
    let elsewhere = proof_claims("POST", "/oauth/other");
    shown.add(
        "proof for another URI",
        &ask(&fresh(), Some(&elsewhere), "").await,
    );
    let bound = with(proof(), "ath", json!("abc"));
    shown.add("proof for a token", &ask(&fresh(), Some(&bound), "").await);
    let once = proof();
    assert_eq!(ask(&fresh(), Some(&once), "").await.status, 200);
    shown.add("proof used before", &ask(&fresh(), Some(&once), "").await);
    Client::disable(&service.registry, "bazaar-app", true).unwrap();
    service.later(2);
    shown.add("disabled client", &ask(&fresh(), Some(&proof()), "").await);
    golden("token.txt", &shown.0);
}

#[tokio::test]
async fn of_access_tokens() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let mut shown = Shown::default();
    let get = |authorization: Option<&str>| {
        let mut call = Call::new("GET", "/v1/loans", "").signed(&signer, &token, service.now());
        match authorization {
            Some(value) => call.field("authorization", value),
            None => drop(call.headers.remove("authorization")),
        }
        service.send(call)
    };
    shown.add("none", &get(None).await);
    shown.add("as bearer", &get(Some(&format!("Bearer {token}"))).await);
    shown.add("no JWT", &get(Some("DPoP abc")).await);
    let payload: Value = {
        let part = token.split('.').nth(1).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let kid = service.access.jwks().keys[0].kid.clone().unwrap();
    let none = raw_jws(
        &json!({"alg": "none", "typ": "at+jwt", "kid": kid}),
        &payload,
        |_| Vec::new(),
    );
    let show = |answer: Answered| Answered {
        body: answer.text().replace(&kid, "KEY").into_bytes().into(),
        ..answer
    };
    shown.add("alg none", &show(get(Some(&format!("DPoP {none}"))).await));
    let own = jose::encode("at+jwt", &payload, &bazaar_key(), false).unwrap();
    shown.add(
        "signed by a client",
        &get(Some(&format!("DPoP {own}"))).await,
    );
    let forged = new_key(Algorithm::Ed25519).named(&kid);
    let forged = jose::encode("at+jwt", &payload, &forged, false).unwrap();
    shown.add(
        "signed by a stranger",
        &show(get(Some(&format!("DPoP {forged}"))).await),
    );
    let keys = service.access.keys();
    let typed = jose::encode("JWT", &payload, keys.signing(), false).unwrap();
    shown.add(
        "of another type",
        &get(Some(&format!("DPoP {typed}"))).await,
    );
    let elsewhere = with(payload, "aud", json!("https://other"));
    let elsewhere = jose::encode("at+jwt", &elsewhere, keys.signing(), false).unwrap();
    shown.add(
        "for another service",
        &get(Some(&format!("DPoP {elsewhere}"))).await,
    );
    Client::disable(&service.registry, "bazaar-app", true).unwrap();
    service.later(2);
    shown.add(
        "disabled client",
        &get(Some(&format!("DPoP {token}"))).await,
    );
    service.later(token::LIFETIME);
    shown.add("expired", &get(Some(&format!("DPoP {token}"))).await);

    let service = Service::new();
    let signer = service.harbour();
    let token = service.token(&signer).await;
    let call = service.order(&signer, &token, "k1", "one");
    shown.add("scope missing", &service.send(call).await);
    golden("access.txt", &shown.0);
}

#[tokio::test]
async fn of_proofs() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let mut shown = Shown::default();
    let get = |change: &dyn Fn(&mut Call)| {
        let call = Call::new("GET", "/v1/loans", "").signed(&signer, &token, service.now());
        service.send(call.changed(change))
    };
    let claims = |name: &str, value: Value| {
        let ath = json!(sha256_base64url(token.as_bytes()));
        with(
            with(proof_claims("GET", "/v1/loans"), "ath", ath),
            name,
            value,
        )
    };
    let stranger = new_key(Algorithm::Es256);
    let proof = |claims: &Value| jose::encode("dpop+jwt", claims, &stranger, true).unwrap();
    let set = |proof: String| move |call: &mut Call| call.field("dpop", &proof);
    let missing = |call: &mut Call| drop(call.headers.remove("dpop"));
    shown.add("none", &get(&missing).await);
    let twice = |call: &mut Call| {
        let proof = call.headers["dpop"].clone();
        call.headers.append("dpop", proof);
    };
    shown.add("two", &get(&twice).await);
    let valid = claims("htm", json!("GET"));
    shown.add("of another key", &get(&set(proof(&valid))).await);
    let cases = [
        ("for another method", claims("htm", json!("POST"))),
        (
            "for another URI",
            claims("htu", json!("https://api.example/v1/orders")),
        ),
        (
            "for another host",
            claims("htu", json!("https://api.example.org/v1/loans")),
        ),
        ("too old", claims("iat", json!(START - WINDOW - 1))),
        ("from the future", claims("iat", json!(START + WINDOW + 1))),
        (
            "for another token",
            claims("ath", json!(sha256_base64url(b"other"))),
        ),
        ("without jti", claims("jti", json!(""))),
    ];
    for (name, claims) in cases {
        shown.add(name, &get(&set(proof(&claims))).await);
    }
    let jwk = json!(stranger.public().to_jwk());
    let none = raw_jws(
        &json!({"typ": "dpop+jwt", "alg": "none", "jwk": jwk}),
        &valid,
        |_| Vec::new(),
    );
    shown.add("alg none", &get(&set(none)).await);
    let private = with(jwk.clone(), "d", json!("AAAA"));
    let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": private});
    let sign = |signed: &[u8]| stranger.sign(signed).unwrap();
    shown.add(
        "private key sent",
        &get(&set(raw_jws(&header, &valid, sign))).await,
    );
    let header = json!({"typ": "dpop+jwt", "alg": "ES256"});
    shown.add("no key", &get(&set(raw_jws(&header, &valid, sign))).await);
    let header = json!({"typ": "JWT", "alg": "ES256", "jwk": jwk});
    shown.add(
        "of another type",
        &get(&set(raw_jws(&header, &valid, sign))).await,
    );

    let call = || Call::new("GET", "/v1/loans", "");
    let first = call().signed(&signer, &token, service.now());
    let headers = first.headers.clone();
    assert_eq!(service.send(first).await.status, 200);
    let again = call().changed(|call| call.headers = headers);
    shown.add("used before", &service.send(again).await);
    golden("proofs.txt", &shown.0);
}

#[tokio::test]
async fn of_messages() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let mut shown = Shown::default();
    let key = bazaar_key();
    let all = [
        "@method",
        "@target-uri",
        "authorization",
        "dpop",
        "content-digest",
        "idempotency-key",
    ];
    let order = || service.order(&signer, &token, "k1", "one");
    let input = |call: &mut Call, from: &str, to: &str| {
        let value = call.headers["signature-input"]
            .to_str()
            .unwrap()
            .replace(from, to);
        call.field("signature-input", &value);
    };
    let es256 = new_key(Algorithm::Es256).named("bazaar-1");
    let stranger = new_key(Algorithm::Ed25519).named("bazaar-1");
    let mut cases = vec![
        (
            "unsigned",
            order().changed(|call| {
                call.headers.remove("signature");
                call.headers.remove("signature-input");
            }),
        ),
        (
            "no Signature",
            order().changed(|call| drop(call.headers.remove("signature"))),
        ),
        (
            "Signature-Input cannot be read",
            order().changed(|call| call.field("signature-input", "sig=(")),
        ),
        (
            "under another label",
            order().changed(|call| input(call, "sig=", "other=")),
        ),
        (
            "no list",
            order().changed(|call| call.field("signature-input", "sig=1")),
        ),
        (
            "with another tag",
            order().signed_as(&key, &all, START, "other"),
        ),
        (
            "two with the tag",
            order().changed(|call| {
                let again = call.headers["signature-input"]
                    .to_str()
                    .unwrap()
                    .replace("sig=", "again=");
                call.headers
                    .append("signature-input", again.parse().unwrap());
            }),
        ),
        (
            "too old",
            order().signed_as(&key, &all, START - WINDOW - 1, REQUEST_TAG),
        ),
        (
            "from the future",
            order().signed_as(&key, &all, START + WINDOW + 1, REQUEST_TAG),
        ),
        (
            "without created",
            order().changed(|call| input(call, ";created=1750000000", "")),
        ),
        (
            "expired",
            order().changed(|call| input(call, ";tag=", ";expires=1749999999;tag=")),
        ),
        (
            "without keyid",
            order().changed(|call| input(call, ";keyid=\"bazaar-1\"", "")),
        ),
        (
            "by an unknown key",
            order().changed(|call| input(call, "bazaar-1", "bazaar-9")),
        ),
        (
            "by another client's key",
            order().signed_as(&harbour_key(), &all, START, REQUEST_TAG),
        ),
        (
            "by a stranger",
            order().signed_as(&stranger, &all, START, REQUEST_TAG),
        ),
        (
            "by a key of another kind",
            order().signed_as(&es256, &all, START, REQUEST_TAG),
        ),
        (
            "alg that is not the key's",
            order().changed(|call| {
                input(call, ";tag=", ";alg=\"ecdsa-p256-sha256\";tag=");
            }),
        ),
        (
            "alg hmac-sha256",
            order().changed(|call| input(call, ";tag=", ";alg=\"hmac-sha256\";tag=")),
        ),
        (
            "component twice",
            order().changed(|call| input(call, "(\"@method\"", "(\"@method\" \"@method\"")),
        ),
        (
            "component unknown",
            order().changed(|call| input(call, "(\"@method\"", "(\"@method\" \"@odd\"")),
        ),
        (
            "component not there",
            order().changed(|call| input(call, "(\"@method\"", "(\"@method\" \"x-odd\"")),
        ),
        (
            "component with a parameter",
            order().changed(|call| {
                input(call, "(\"@method\"", "(\"@method\" \"dpop\";sf");
            }),
        ),
        (
            "component of a request",
            order().changed(|call| {
                input(call, "(\"@method\"", "(\"@method\" \"dpop\";req");
            }),
        ),
        (
            "component no text",
            order().changed(|call| input(call, "(\"@method\"", "(\"@method\" 1")),
        ),
        (
            "body changed",
            order().changed(|call| call.body = b"two".to_vec()),
        ),
        (
            "body and digest changed",
            order().changed(|call| {
                call.body = b"two".to_vec();
                call.headers
                    .insert("content-digest", digest::content_digest(b"two"));
            }),
        ),
        ("body taken away", order().changed(|call| call.body.clear())),
        (
            "digest missing",
            order().changed(|call| drop(call.headers.remove("content-digest"))),
        ),
        (
            "digest of another kind",
            order().changed(|call| call.field("content-digest", "md5=:AA==:")),
        ),
        (
            "digest cannot be read",
            order().changed(|call| call.field("content-digest", "sha-256=:AA")),
        ),
        (
            "sent to another URI",
            order().changed(|call| call.path.push_str("?dry=1")),
        ),
        (
            "key changed",
            order().changed(|call| call.field("idempotency-key", "k2")),
        ),
        ("token changed", {
            let other = service.token(&signer).await;
            let mut unsigned = service.order(&signer, &other, "k1", "one");
            let signed = order();
            for name in ["signature", "signature-input"] {
                unsigned.headers.insert(name, signed.headers[name].clone());
            }
            unsigned
        }),
    ];
    for missing in all {
        let some: Vec<_> = all.into_iter().filter(|name| *name != missing).collect();
        cases.push((
            "not all covered",
            order().signed_as(&key, &some, START, REQUEST_TAG),
        ));
    }
    // The proof is for the other method, so that only the signature can tell.
    let put = Call::new("PUT", "/v1/orders/1", "one").signed(&signer, &token, START);
    let delete = Call::new("DELETE", "/v1/orders/1", "one").signed(&signer, &token, START);
    cases.push((
        "sent with another method",
        put.changed(|put| {
            put.method = "DELETE";
            put.headers.insert("dpop", delete.headers["dpop"].clone());
        }),
    ));
    for (name, call) in cases {
        let headers = call.headers.clone();
        let answer = service.send(call).await;
        assert!(!answer.headers.contains_key("signature"), "{name}");
        assert_eq!(headers.get("x-fapi-interaction-id"), None);
        shown.add(name, &answer);
    }
    assert_eq!(service.handled.load(Ordering::SeqCst), 0);

    let first = order();
    let headers = first.headers.clone();
    assert_eq!(service.send(first).await.status, 201);
    let again = Call::new("POST", "/v1/orders", "one").changed(|call| call.headers = headers);
    shown.add("sent again as it is", &service.send(again).await);
    shown.add(
        "key with another body",
        &service
            .send(service.order(&signer, &token, "k1", "two"))
            .await,
    );
    let keyless = Call::new("POST", "/v1/orders", "one").signed(&signer, &token, START);
    shown.add("POST without a key", &service.send(keyless).await);
    let odd = service.order(&signer, &token, "a,b", "one");
    shown.add("key of odd characters", &service.send(odd).await);
    let large = service.order(&signer, &token, "k3", &"x".repeat((1 << 20) + 1));
    shown.add("body too large", &service.send(large).await);
    let slow = service.order(&signer, &token, "k4", "one");
    shown.add(
        "body that does not come",
        &service.send_with(slow, never()).await,
    );
    let refund = Call::new("POST", "/v1/refunds", "one").signed(&signer, &token, START);
    shown.add(
        "body that need not come, since the scope is missing",
        &service.send_with(refund, never()).await,
    );
    let asked = |body: &str| Call::new("POST", TOKEN_PATH, body);
    let late = service.send_with(asked(""), never()).await;
    shown.add("token request that does not come", &late);
    let large = service.send(asked(&"x".repeat((16 << 10) + 1))).await;
    shown.add("token request too large", &large);
    golden("messages.txt", &shown.0);
}

fn never() -> Body {
    Body::from_stream(futures_util::stream::pending::<Result<Bytes, BoxError>>())
}

#[tokio::test]
async fn of_a_service_in_trouble() {
    let mut shown = Shown::default();
    let service = Service::with_rate(2);
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    // On a slow machine the first calls may come too slowly to be too many.
    let mut call = service.loans(&signer, &token).await;
    while call.status == 200 {
        call = service.loans(&signer, &token).await;
    }
    shown.add("call over the rate", &call);
    let mut asked = service.ask_token(&signer).await;
    while asked.status == 200 {
        asked = service.ask_token(&signer).await;
    }
    shown.add("token over the rate", &asked);

    let folder = service.folder;
    let service = Service::open(folder, 100, |access| {
        access.proofs = Once::new(2 * WINDOW, 1);
        access.assertions = Once::new(ASSERTION_LIFETIME + WINDOW, 1);
    });
    let token = service.token(&signer).await;
    let full = service.loans(&signer, &token).await;
    assert_eq!(full.headers["retry-after"], "60");
    shown.add("no room to remember a proof", &full);
    shown.add(
        "no room to remember an assertion",
        &service.ask_token(&signer).await,
    );

    let mut folder = service.folder;
    for (of_one, name) in [
        (1 << 20, "no room for a call"),
        (0, "no room for a call of the party"),
    ] {
        let service = Service::open(folder, 100, |access| access.room = Room::of(0, of_one));
        let call = service.order(&signer, &token, "k1", "one");
        let full = service.send(call).await;
        assert_eq!(full.headers["retry-after"], "1");
        shown.add(name, &full);
        folder = service.folder;
    }
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let statement = |sql: &str| {
        service
            .file()
            .with(|connection| connection.execute_batch(sql))
            .unwrap();
    };
    statement("CREATE TRIGGER full BEFORE INSERT ON answer BEGIN SELECT RAISE(ABORT, 'full'); END");
    shown.add(
        "answer not recorded",
        &service
            .send(service.order(&signer, &token, "k1", "one"))
            .await,
    );
    statement("DROP TRIGGER full");
    let again = service
        .send(service.order(&signer, &token, "k1", "one"))
        .await;
    assert_eq!(again.text(), "order 2 of bazaar");
    statement("DROP TABLE answer");
    shown.add(
        "answers not readable",
        &service
            .send(service.order(&signer, &token, "k1", "one"))
            .await,
    );
    statement("DROP TABLE client");
    service.later(2);
    shown.add(
        "clients not readable",
        &service.loans(&signer, &token).await,
    );
    shown.add(
        "clients not readable, for a token",
        &service.ask_token(&signer).await,
    );
    golden("trouble.txt", &shown.0);
}

#[tokio::test]
async fn a_self_test_says_all_that_is_wrong_and_counts_nothing_as_used() {
    let service = Service::new();
    let signer = service.bazaar();
    let token = service.token(&signer).await;
    let explain = |call: &Call| {
        let mut request = Request::builder().method(call.method).uri(&call.path);
        *request.headers_mut().unwrap() = call.headers.clone();
        let (parts, ()) = request.body(()).unwrap().into_parts();
        service.access.explain(&parts, &call.body)
    };
    let call = service.order(&signer, &token, "k1", "one");
    for _ in 0..2 {
        let checks = explain(&call);
        assert!(checks.iter().all(|check| check.passed), "{checks:?}");
        assert_eq!(checks.len(), 7);
    }
    assert_eq!(service.send(call).await.status, 201);

    let bad = service.order(&signer, &token, "k1", "one").changed(|call| {
        call.body = b"two".to_vec();
        call.field("idempotency-key", "k2");
        call.field("authorization", "DPoP TOKEN");
        call.field("dpop", "PROOF");
    });
    let mut found = String::new();
    for check in explain(&bad) {
        let mark = if check.passed { "ok" } else { "NO" };
        writeln!(found, "{mark} {}: {}", check.name, check.detail).unwrap();
    }
    golden("explain.txt", &found);
}
