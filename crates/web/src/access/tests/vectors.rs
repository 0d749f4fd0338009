//! Published examples: RFC 9421, RFC 9449, RFC 7638, RFC 9530, and our own.

use super::*;
use tandem_client::jose;
use tandem_client::message::Signed;

fn fields(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::try_from(*value).unwrap());
    }
    headers
}

fn public(jwk: &str) -> PublicKey {
    PublicKey::from_jwk(&serde_json::from_str(jwk).unwrap()).unwrap()
}

#[test]
fn rfc_9421_b_2_6_signs_a_request_with_ed25519() {
    let headers = fields(&[
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("content-type", "application/json"),
        ("content-length", "18"),
        (
            "signature-input",
            r#"sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#,
        ),
        (
            "signature",
            "sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:",
        ),
    ]);
    let message = Message {
        method: "POST",
        target: "https://example.com/foo?param=Value&Pet=dog",
        status: None,
        headers: &headers,
        request: None,
    };
    let signed = Signed::find(&headers, None).unwrap();
    let base = signed.base(&message).unwrap();
    assert_eq!(
        base,
        r#""date": Tue, 20 Apr 2021 02:07:55 GMT
"@method": POST
"@path": /foo
"@authority": example.com
"content-type": application/json
"content-length": 18
"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519""#
    );
    let key = public(
        r#"{"kty":"OKP","crv":"Ed25519","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}"#,
    );
    assert!(key.verify(base.as_bytes(), &signed.signature));
    // The private key of the appendix is the one of these tests, and signs to the same bytes.
    assert_eq!(bazaar_key().public().thumbprint(), key.thumbprint());
    assert_eq!(
        bazaar_key().sign(base.as_bytes()).unwrap(),
        signed.signature
    );
}

#[test]
fn rfc_9421_b_2_4_signs_an_answer_with_ecdsa() {
    let headers = fields(&[
        ("date", "Tue, 20 Apr 2021 02:07:56 GMT"),
        ("content-type", "application/json"),
        (
            "content-digest",
            "sha-512=:mEWXIS7MaLRuGgxOBdODa3xqM1XdEvxoYhvlCFJ41QJgJc4GTsPp29l5oGX69wWdXymyU0rjJuahq4l5aGgfLQ==:",
        ),
        ("content-length", "23"),
        (
            "signature-input",
            r#"sig-b24=("@status" "content-type" "content-digest" "content-length");created=1618884473;keyid="test-key-ecc-p256""#,
        ),
        (
            "signature",
            "sig-b24=:wNmSUAhwb5LxtOtOpNa6W5xj067m5hFrj0XQ4fvpaCLx0NKocgPquLgyahnzDnDAUy5eCdlYUEkLIj+32oiasw==:",
        ),
    ]);
    digest::verify(&headers, br#"{"message": "good dog"}"#).unwrap();
    let message = Message {
        method: "POST",
        target: "https://example.com/foo",
        status: Some(200),
        headers: &headers,
        request: None,
    };
    let signed = Signed::find(&headers, None).unwrap();
    let base = signed.base(&message).unwrap();
    let key = public(
        r#"{"kty":"EC","crv":"P-256","x":"qIVYZVLCrPZHGHjP17CTW0_-D9Lfw0EkjqF7xB4FivA","y":"Mc4nN9LTDOBhfoUeg8Ye9WedFRhnZXZJA12Qp0zZ6F0"}"#,
    );
    assert!(key.verify(base.as_bytes(), &signed.signature));
    assert!(!key.verify(base.replace("200", "201").as_bytes(), &signed.signature));
}

#[test]
fn rfc_9449_proofs_of_the_examples_hold() {
    let header = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19";
    let at_token_endpoint = format!(
        "{header}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    );
    let headers = fields(&[("dpop", &at_token_endpoint)]);
    let target = "https://server.example.com/token";
    let check = |method, target, ath, now| proof::check(&headers, method, target, ath, None, now);
    let proof = check("POST", target, None, 1_562_262_616).unwrap();
    assert_eq!(proof.key.jkt, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    assert_eq!(proof.jti, "-BwC3ESc6acc2lTc");

    let at_resource = format!(
        "{header}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
    );
    let headers = fields(&[("dpop", &at_resource)]);
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let ath = key::sha256_base64url(token.as_bytes());
    // Scheme and host in any case; the query does not count.
    let target = "HTTPS://Resource.example.org/protectedresource?x=1";
    proof::check(&headers, "GET", target, Some(&ath), None, 1_562_262_618).unwrap();
    let other = key::sha256_base64url(b"another token");
    proof::check(&headers, "GET", target, Some(&other), None, 1_562_262_618).unwrap_err();
}

#[test]
fn rfc_7638_thumbprints_of_our_kinds_of_keys() {
    // The RFC's own example is RSA, which is not used here; RFC 8037 has one of Ed25519, and
    // RFC 9449 (above) one of P-256.
    let key = public(
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    );
    assert_eq!(
        key.thumbprint(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
}

#[test]
fn rfc_9530_digests_of_the_examples() {
    let body = b"{\"hello\": \"world\"}\n";
    let sha256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    let sha512 = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
    assert_eq!(digest::content_digest(body), sha256);
    for value in [sha256, sha512, &format!("md5=:AA==:, {sha512}, {sha256}")] {
        digest::verify(&fields(&[("content-digest", value)]), body).unwrap();
    }
    let empty = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    digest::verify(&fields(&[("content-digest", empty)]), b"").unwrap();
    // One that fits does not make up for one that does not.
    let mixed = format!("{sha512}, {empty}");
    digest::verify(&fields(&[("content-digest", &mixed)]), body).unwrap_err();
}

#[test]
fn keys_that_openssl_made_are_read() {
    // openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256
    let key = SigningKey::from_pem(
        "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgOMlvDqL3MYYPwQxO
i2+juHK+ilXK7ONYlivWMJYArGmhRANCAASgVBWW5gZMyTDXmxDMn6+c36F1MxjG
hra9X+K/kWl/1O9Omt99DPP3/JK0Vt6t95Arp2yPuF062wdRJZ/HWPcV
-----END PRIVATE KEY-----",
    )
    .unwrap();
    let jwk = key.public().to_jwk();
    assert_eq!(jwk.x, "oFQVluYGTMkw15sQzJ-vnN-hdTMYxoa2vV_iv5Fpf9Q");
    assert_eq!(
        jwk.y.as_deref(),
        Some("706a330M8_f8krRW3q33kCunbI-4XTrbB1Eln8dY9xU")
    );
    let signature = key.sign(b"message").unwrap();
    assert!(key.public().verify(b"message", &signature));
    assert!(!key.public().verify(b"another", &signature));
}

/// Our published example: a signed call and its answer, from fixed keys. `docs/spec/api-security.md`
/// points to the file; this test makes it, and verifies what stands in it.
#[test]
fn our_own_vectors_are_made_and_verified() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/api-security.json");
    let found = own_vectors();
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        std::fs::write(&path, format!("{found:#}\n")).unwrap();
    }
    let published = std::fs::read(&path).unwrap();
    let published: Value = serde_json::from_slice(&published).unwrap();
    assert!(
        published == found,
        "api-security.json differs; run again with TANDEM_UPDATE=1 and read the diff"
    );

    let text = |part: &Value, name: &str| part[name].as_str().unwrap().to_owned();
    let headers = |part: &Value| -> HeaderMap {
        let fields = part["headers"].as_object().unwrap();
        let fields = fields.iter().map(|(name, value)| {
            let value = HeaderValue::try_from(value.as_str().unwrap()).unwrap();
            (name.parse::<header::HeaderName>().unwrap(), value)
        });
        fields.collect()
    };
    let (request, answer) = (&published["request"], &published["answer"]);
    let (of_request, of_answer) = (headers(request), headers(answer));
    let (method, target) = (text(request, "method"), text(request, "target"));
    let message = Message {
        method: &method,
        target: &target,
        status: None,
        headers: &of_request,
        request: None,
    };
    let of_the_answer = Message {
        status: Some(201),
        headers: &of_answer,
        request: Some(&of_request),
        ..message
    };
    for (part, headers, message, tag) in [
        (request, &of_request, message, REQUEST_TAG),
        (answer, &of_answer, of_the_answer, message::RESPONSE_TAG),
    ] {
        digest::verify(headers, text(part, "body").as_bytes()).unwrap();
        let signed = Signed::find(headers, Some(tag)).unwrap();
        let base = signed.base(&message).unwrap();
        assert_eq!(base, text(part, "signature_base"));
        let key = PublicKey::from_jwk(&serde_json::from_value(part["public_key"].clone()).unwrap());
        assert!(key.unwrap().verify(base.as_bytes(), &signed.signature));
    }
    let ath = key::sha256_base64url(text(&published, "access_token").as_bytes());
    proof::check(&of_request, &method, &target, Some(&ath), None, START).unwrap();
}

fn own_vectors() -> Value {
    let token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
    let (client, service) = (bazaar_key(), harbour_key().named("service-1"));
    let target = format!("{BASE}/v1/applications");
    let body = r#"{"application":"A-1","principal":{"amount":120000,"currency":"CNY"}}"#;
    let proof = proof::Claims {
        jti: "-BwC3ESc6acc2lTc".to_owned(),
        htm: "POST".to_owned(),
        htu: target.clone(),
        iat: START,
        ath: Some(key::sha256_base64url(token.as_bytes())),
    };
    let proof = jose::encode("dpop+jwt", &proof, &client, true).unwrap();
    let mut of_request = fields(&[
        ("authorization", &format!("DPoP {token}")),
        ("content-type", "application/json"),
        ("dpop", &proof),
        (
            "idempotency-key",
            "\"8e03978e-40d5-43e8-bc93-6894a57f9324\"",
        ),
    ]);
    of_request.insert("content-digest", digest::content_digest(body.as_bytes()));
    let components = [
        ("@method", false),
        ("@target-uri", false),
        ("authorization", false),
        ("dpop", false),
        ("content-digest", false),
        ("idempotency-key", false),
    ];
    let message = Message {
        method: "POST",
        target: &target,
        status: None,
        headers: &of_request,
        request: None,
    };
    let sign = |message: &Message<'_>, components: &[(&str, bool)], tag, key| {
        let (input, signature) = message::sign(message, components, START, tag, key).unwrap();
        let mut headers = message.headers.clone();
        headers.insert("signature-input", input);
        headers.insert("signature", signature);
        headers
    };
    let of_request = sign(&message, &components, REQUEST_TAG, &client);
    let answer_body = r#"{"application":"A-1","status":"received"}"#;
    let mut of_answer = fields(&[("content-type", "application/json")]);
    let value = digest::content_digest(answer_body.as_bytes());
    of_answer.insert("content-digest", value);
    let components = [
        ("@status", false),
        ("content-digest", false),
        ("@method", true),
        ("@target-uri", true),
        ("content-digest", true),
        ("signature-input", true),
        ("signature", true),
    ];
    let answer = Message {
        status: Some(201),
        headers: &of_answer,
        request: Some(&of_request),
        ..message
    };
    let of_answer = sign(&answer, &components, message::RESPONSE_TAG, &service);
    let base = |headers: &HeaderMap, message: &Message<'_>, tag| {
        let signed = Signed::find(headers, Some(tag)).unwrap();
        signed.base(message).unwrap()
    };
    let written = |headers: &HeaderMap| -> Value {
        let fields = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().into()));
        Value::Object(fields.collect())
    };
    serde_json::json!({
        "access_token": token,
        "request": {
            "private_key": BAZAAR,
            "public_key": client.public().to_jwk(),
            "method": "POST",
            "target": target,
            "headers": written(&of_request),
            "body": body,
            "signature_base": base(&of_request, &message, REQUEST_TAG),
        },
        "answer": {
            "private_key": HARBOUR,
            "public_key": service.public().to_jwk(),
            "status": 201,
            "headers": written(&of_answer),
            "body": answer_body,
            "signature_base": base(&of_answer, &answer, message::RESPONSE_TAG),
        },
    })
}
