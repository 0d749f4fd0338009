//! What is tried, and what must come of it.

use axum::http::header;
use tandem_client::key::random_id;
use tandem_client::system_time;

use super::trial::{BODY, Case, JSON, LONG_AGO, OTHER_BODY, Trial, new_key, told, value};

/// What is tried, in order, what must come of it, and how.
pub(super) const CASES: [Case; 34] = [
    (
        "the service describes how it is called (RFC 8414)",
        "200 as it must be",
        Trial::metadata,
    ),
    ("a token", "200 DPoP, at most 600 s", |trial| {
        trial.ask_token(0, |_, _| Ok(()))
    }),
    (
        "a token, by an assertion of another key",
        "401 invalid_client",
        |trial| trial.with_another_key(|trial| trial.ask_token(0, |_, _| Ok(()))),
    ),
    (
        "a token, by an assertion that has expired",
        "401 invalid_client",
        |trial| {
            trial.ask_token(LONG_AGO, |trial, headers| {
                let fresh = trial.client.signer.token_request(None, system_time())?;
                headers.clone_from(&fresh.0);
                Ok(())
            })
        },
    ),
    (
        "a token, by an assertion that was used",
        "401 invalid_client",
        Trial::token_again,
    ),
    (
        "a token, without a proof",
        "400 invalid_dpop_proof",
        |trial| {
            trial.ask_token(0, |_, headers| {
                headers.remove("dpop");
                Ok(())
            })
        },
    ),
    ("a call", "200", |trial| trial.get(|_, _| Ok(()))),
    ("a call, without a token", "401 unauthenticated", |trial| {
        trial.get(|_, headers| {
            headers.remove(header::AUTHORIZATION);
            Ok(())
        })
    }),
    (
        "a call, with the token as a bearer token",
        "401 unauthenticated",
        |trial| {
            trial.get(|trial, headers| {
                let bearer = format!("Bearer {}", trial.client.token()?);
                headers.insert(header::AUTHORIZATION, value(&bearer)?);
                Ok(())
            })
        },
    ),
    (
        "a call, with a token that was changed",
        "401 unauthenticated",
        |trial| {
            trial.get(|trial, headers| {
                let mut token = trial.client.token()?;
                let at = token.rfind('.').unwrap_or_default() + 1;
                let other = if token[at..].starts_with('A') {
                    "B"
                } else {
                    "A"
                };
                token.replace_range(at..=at, other);
                headers.insert(header::AUTHORIZATION, value(&format!("DPoP {token}"))?);
                Ok(())
            })
        },
    ),
    ("a call, without a proof", "401 bad_dpop_proof", |trial| {
        trial.get(|_, headers| {
            headers.remove("dpop");
            Ok(())
        })
    }),
    (
        "a call, with another URI's proof",
        "401 bad_dpop_proof",
        |trial| trial.get(|trial, headers| trial.prove(headers, "GET", "/v1/agreements", 0)),
    ),
    (
        "a call, with another method's proof",
        "401 bad_dpop_proof",
        |trial| {
            let path = trial.agreement.clone();
            trial.get(|trial, headers| trial.prove(headers, "HEAD", &path, 0))
        },
    ),
    (
        "a call, with a proof of long ago",
        "401 bad_dpop_proof",
        |trial| {
            let path = trial.agreement.clone();
            trial.get(|trial, headers| trial.prove(headers, "GET", &path, LONG_AGO))
        },
    ),
    (
        "a call, with a proof by whoever took the token",
        "401 bad_dpop_proof",
        Trial::thief,
    ),
    (
        "a call, with a proof that was used",
        "401 replayed",
        Trial::get_again,
    ),
    (
        "a call, with a token that has expired",
        "401 unauthenticated",
        Trial::expired,
    ),
    (
        "a call, with a token bound to a certificate",
        "200",
        |trial| trial.certified(true),
    ),
    (
        "a call, with such a token and no certificate",
        "401 bad_client_certificate",
        |trial| trial.certified(false),
    ),
    (
        "a signed call",
        "reaches the resource; the answer is signed",
        Trial::signed,
    ),
    (
        "a signed call, sent again as it is",
        "401 replayed",
        Trial::post_again,
    ),
    (
        "a signed call, without its signature",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |_, headers| {
                headers.remove("signature");
                headers.remove("signature-input");
                Ok(())
            })
        },
    ),
    (
        "a signed call, by another key",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |trial, headers| {
                let kid = trial.key()?.public().kid.clone();
                let before = trial.client.signer.exchange_key(new_key()?.named(&kid));
                let signed = trial.sign(headers, 0);
                trial.client.signer.exchange_key(before);
                signed
            })
        },
    ),
    (
        "a signed call, signed long ago",
        "401 bad_signature",
        |trial| trial.post(BODY, |trial, headers| trial.sign(headers, LONG_AGO)),
    ),
    (
        "a signed call, signed for another URI",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |trial, headers| {
                let path = format!("{}/loans", trial.agreement);
                let signer = &trial.client.signer;
                Ok(signer.sign_message("POST", &path, headers, BODY, system_time())?)
            })
        },
    ),
    (
        "a signed call, with another body",
        "400 bad_digest",
        |trial| trial.post(OTHER_BODY, |_, _| Ok(())),
    ),
    (
        "a signed call, with another body and its digest",
        "401 bad_signature",
        |trial| {
            trial.post(OTHER_BODY, |trial, headers| {
                let mut other = headers.clone();
                let signer = &trial.client.signer;
                signer.sign_message("POST", &trial.path, &mut other, OTHER_BODY, system_time())?;
                headers.insert("content-digest", other["content-digest"].clone());
                Ok(())
            })
        },
    ),
    (
        "a signed call, with another Idempotency-Key",
        "401 bad_signature",
        |trial| {
            trial.post(BODY, |_, headers| {
                headers.insert("idempotency-key", value(&random_id()?)?);
                Ok(())
            })
        },
    ),
    (
        "a signed call, without an Idempotency-Key",
        "400 idempotency_key_missing",
        |trial| {
            let headers = trial
                .client
                .prepare("POST", &trial.path, None, Some((JSON, BODY)))?;
            told(&trial.client.send("POST", &trial.path, &headers, BODY)?)
        },
    ),
    (
        "the same key and body again",
        "the same answer, marked as given before",
        Trial::repeated,
    ),
    (
        "the same key with another body",
        "422 idempotency_key_reused",
        Trial::reused,
    ),
    (
        "the same key and body, eight at once",
        "carried out once",
        Trial::race,
    ),
    ("a loan that is not there", "404 not_found", |trial| {
        let path = format!("{}/loans/{}", trial.agreement, random_id()?);
        told(&trial.client.call("GET", &path, None, None)?)
    }),
    (
        "what is another party's",
        "the same as what is not there",
        Trial::foreign,
    ),
];
