//! The checks of a request, one by one. The layer stops at the first that fails; a self-test
//! makes them all.

use std::sync::Arc;

use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, Method, header};
use axum_server::tls::TlsInfo;
use serde::Serialize;
use tandem_client::key::sha256_base64url;
use tandem_client::message::{Message, REQUEST_TAG, Signed, joined};
use tandem_client::proof::{self, DPOP, Proof};
use tandem_client::{IDEMPOTENCY_KEY, WINDOW, digest};
use utoipa::ToSchema;

use super::client::Client;
use super::once::Use;
use super::token::{Confirmation, Token};
use super::{Access, Caller};
use crate::problem::{
    BAD_CERTIFICATE, BAD_DIGEST, BAD_PROOF, BAD_SIGNATURE, Problem, REPLAYED, TOO_MANY,
    UNAUTHENTICATED, UNAVAILABLE,
};
use crate::proxy::Shown;

/// One check of a request, as a self-test shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// Whether it holds.
    pub passed: bool,
    /// What was found, and what to do if it does not hold.
    pub detail: String,
}

/// Whose token a request carries.
pub(crate) struct Identity {
    pub(crate) client: Arc<Client>,
    pub(crate) token: Arc<Token>,
    pub(crate) caller: Caller,
}

impl Access {
    /// Makes all checks of a request without counting it as used, for a self-test: the request is
    /// not carried out, and what is wrong is told exactly.
    pub fn explain(&self, parts: &Parts, body: &[u8]) -> Vec<Check> {
        let now = self.now();
        let target = self.target(parts);
        let method = parts.method.as_str();
        let headers = &parts.headers;
        let mut checks = Vec::new();
        let identity = note(
            &mut checks,
            "access_token",
            self.identify(headers, now),
            |identity| {
                format!(
                    "client {} of party {} with scopes {}",
                    identity.caller.client_id, identity.caller.party, identity.caller.scopes
                )
            },
        );
        let token = identity.as_ref().map(|identity| &*identity.token);
        let certificate = token.and_then(Token::certificate);
        if let Some(bound) = certificate {
            let checked = check_certificate(&parts.extensions, bound);
            note(&mut checks, "client_certificate", checked, |()| {
                format!("the connection's, of thumbprint {bound}")
            });
        } else {
            let proof = check_proof(headers, method, &target, token, now).and_then(|proof| {
                if self.proofs.used(&proof.key.jkt, &proof.jti) {
                    return Err(replayed());
                }
                Ok(proof)
            });
            note(&mut checks, "dpop_proof", proof, |proof| {
                format!("made with the key of thumbprint {}", proof.key.jkt)
            });
        }
        note(
            &mut checks,
            "content_digest",
            check_digest(headers, body),
            |()| format!("of {} bytes", body.len()),
        );
        let signed = Signed::find(headers, Some(REQUEST_TAG)).map_err(bad_signature);
        let signed = note(&mut checks, "signature_input", signed, |_| {
            "read".to_owned()
        });
        let Some(signed) = signed else {
            return checks;
        };
        note(
            &mut checks,
            "components",
            check_components(&signed, headers, certificate.is_none(), body),
            |()| "what must be signed is".to_owned(),
        );
        note(&mut checks, "created", check_created(&signed, now), |()| {
            "within the window".to_owned()
        });
        let message = message(method, &target, headers);
        let base = match signed.base(&message) {
            Ok(base) => format!("; the signature base here is:\n{base}"),
            Err(_) => String::new(),
        };
        let verified = match &identity {
            Some(identity) => check_signature(&signed, &identity.client, &message),
            None => Err(bad_signature("the client is not known")),
        };
        let verified = verified.map_err(|problem| Problem {
            detail: format!("{}{base}", problem.detail),
            ..problem
        });
        note(&mut checks, "signature", verified, |()| {
            format!("verified{base}")
        });
        checks
    }

    /// The absolute URI of a request, as its caller must have written it.
    pub(crate) fn target(&self, parts: &Parts) -> String {
        // Inside a nested router the request's own URI has lost its first part.
        let uri = parts
            .extensions
            .get::<axum::extract::OriginalUri>()
            .map_or(&parts.uri, |original| &original.0);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        format!("{}{path}", self.base)
    }

    /// Finds out whose access token a request carries.
    pub(crate) fn identify(&self, headers: &HeaderMap, now: i64) -> Result<Identity, Problem> {
        let unauthenticated = |detail: String| Problem::new(UNAUTHENTICATED, detail);
        let Some(value) = headers.get(header::AUTHORIZATION) else {
            return Err(unauthenticated(
                "the call has no access token: send Authorization: DPoP TOKEN".to_owned(),
            ));
        };
        let token = value.to_str().unwrap_or_default().split_once(' ');
        let is = |scheme: &str, name: &str| scheme.eq_ignore_ascii_case(name);
        let by_key = || {
            unauthenticated(
                "Authorization must be: DPoP TOKEN; tokens are bound to a key (RFC 9449)"
                    .to_owned(),
            )
        };
        let (scheme, token) = token
            .filter(|(scheme, _)| is(scheme, "dpop") || is(scheme, "bearer"))
            .ok_or_else(by_key)?;
        let token = self
            .tokens
            .verify(&self.keys(), &self.base, token, now)
            .map_err(|detail| unauthenticated(format!("the access token {detail}")))?;
        match token.claims.cnf {
            Confirmation::Key(_) if !is(scheme, "dpop") => return Err(by_key()),
            Confirmation::Certificate(_) if !is(scheme, "bearer") => {
                return Err(unauthenticated(
                    "Authorization must be: Bearer TOKEN; this token is bound to a client \
                     certificate (RFC 8705)"
                        .to_owned(),
                ));
            }
            _ => {}
        }
        let client_id = &token.claims.client_id;
        let client = self.client(client_id, now).map_err(|error| {
            tracing::error!(%error, client_id, "a client cannot be read");
            Problem::new(UNAVAILABLE, "the registry cannot be read; try again")
        })?;
        let Some(client) = client else {
            return Err(unauthenticated(format!(
                "client {client_id} is disabled or not registered any more"
            )));
        };
        let caller = Caller {
            client_id: client_id.clone(),
            party: client.party.clone(),
            // What was taken from the client since the token was made does not hold any more.
            scopes: token.scopes.and(&client.scopes),
        };
        Ok(Identity {
            client,
            token,
            caller,
        })
    }

    /// Refuses a party that calls too often.
    pub(crate) fn limit(&self, party: &str) -> Result<(), Problem> {
        let Some(wait) = self.wait(party) else {
            return Ok(());
        };
        Err(Problem {
            retry_after: Some(wait),
            ..Problem::new(
                TOO_MANY,
                format!("party {party} sends more than its share: wait {wait} s"),
            )
        })
    }

    /// Checks that the caller holds what the token is bound to; a proof counts as used.
    pub(crate) fn prove(
        &self,
        parts: &Parts,
        target: &str,
        identity: &Identity,
        now: i64,
    ) -> Result<(), Problem> {
        let (token, party) = (&identity.token, &identity.caller.party);
        if let Some(bound) = token.certificate() {
            return check_certificate(&parts.extensions, bound);
        }
        let method = parts.method.as_str();
        let proof = check_proof(&parts.headers, method, target, Some(token), now)?;
        match self.proofs.take(party, &proof.key.jkt, &proof.jti, now) {
            Use::First => Ok(()),
            Use::Again => Err(replayed()),
            Use::Full => Err(Problem {
                retry_after: Some(60),
                ..Problem::new(
                    UNAVAILABLE,
                    format!("too many proofs of party {party} are remembered: wait a minute"),
                )
            }),
        }
    }

    /// Checks that the request was signed by its client, as it is.
    pub(crate) fn check_message(
        &self,
        parts: &Parts,
        target: &str,
        body: &[u8],
        identity: &Identity,
        now: i64,
    ) -> Result<(), Problem> {
        let headers = &parts.headers;
        let signed = Signed::find(headers, Some(REQUEST_TAG)).map_err(bad_signature)?;
        check_digest(headers, body)?;
        let with_proof = identity.token.certificate().is_none();
        check_components(&signed, headers, with_proof, body)?;
        check_created(&signed, now)?;
        let message = message(parts.method.as_str(), target, headers);
        check_signature(&signed, &identity.client, &message)
    }
}

/// Whether a method changes nothing, so that the request need not be signed.
pub(crate) fn is_safe(method: &Method) -> bool {
    [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
}

/// The key of a request, without the quotes of a structured field.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, String> {
    let Some(value) = joined(headers, IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .unwrap_or(&value);
    let fits = |c: char| c.is_ascii_graphic() && !"\"\\,".contains(c);
    if key.is_empty() || key.len() > 255 || !key.chars().all(fits) {
        return Err(
            "Idempotency-Key must be 1 to 255 visible ASCII characters without quotes, commas and \
             backslashes"
                .to_owned(),
        );
    }
    Ok(Some(key.to_owned()))
}

fn note<T>(
    checks: &mut Vec<Check>,
    name: &'static str,
    outcome: Result<T, Problem>,
    found: impl FnOnce(&T) -> String,
) -> Option<T> {
    let (passed, detail) = match &outcome {
        Ok(value) => (true, found(value)),
        Err(problem) => (false, problem.detail.clone()),
    };
    checks.push(Check {
        name,
        passed,
        detail,
    });
    outcome.ok()
}

fn message<'a>(method: &'a str, target: &'a str, headers: &'a HeaderMap) -> Message<'a> {
    Message {
        method,
        target,
        status: None,
        headers,
        request: None,
    }
}

fn replayed() -> Problem {
    Problem::new(
        REPLAYED,
        "the DPoP proof was used before: make a new one, and sign the message anew, for each call",
    )
}

fn bad_signature(detail: impl Into<String>) -> Problem {
    Problem::new(BAD_SIGNATURE, detail)
}

fn check_proof(
    headers: &HeaderMap,
    method: &str,
    target: &str,
    token: Option<&Token>,
    now: i64,
) -> Result<Proof, Problem> {
    let bad = |detail: String| Problem::new(BAD_PROOF, format!("the DPoP proof {detail}"));
    let Some(token) = token else {
        return Err(bad("cannot be checked without the access token".to_owned()));
    };
    let (ath, known) = (Some(&*token.ath), token.proof_key.get());
    let proof = proof::check(headers, method, target, ath, known, now).map_err(bad)?;
    match &token.claims.cnf {
        Confirmation::Key(bound) if proof.key.jkt == *bound => {
            token.proof_key.get_or_init(|| Arc::clone(&proof.key));
            Ok(proof)
        }
        _ => Err(bad(
            "is made with another key than the one that the access token is bound to".to_owned(),
        )),
    }
}

/// Thumbprint of the certificate that the caller showed, to a trusted proxy or on its connection.
pub(crate) fn client_certificate(extensions: &Extensions) -> Option<String> {
    if let Some(Shown(certificate)) = extensions.get() {
        return certificate.as_deref().map(sha256_base64url);
    }
    let tls = extensions.get::<Arc<TlsInfo>>()?;
    let certificate = tls.peer_certificates.first()?;
    Some(sha256_base64url(certificate))
}

/// Checks the certificate of a connection against the thumbprint that a token is bound to.
fn check_certificate(extensions: &Extensions, bound: &str) -> Result<(), Problem> {
    let found = match client_certificate(extensions) {
        Some(thumbprint) if thumbprint == bound => return Ok(()),
        Some(thumbprint) => format!("has the one of thumbprint {thumbprint}"),
        None => "has none".to_owned(),
    };
    Err(Problem::new(
        BAD_CERTIFICATE,
        format!(
            "the access token is bound to the client certificate of thumbprint {bound}, and this \
             connection {found}: call with the certificate that the token was asked for with"
        ),
    ))
}

fn check_digest(headers: &HeaderMap, body: &[u8]) -> Result<(), Problem> {
    digest::verify(headers, body).map_err(|detail| Problem::new(BAD_DIGEST, detail))
}

fn check_components(
    signed: &Signed,
    headers: &HeaderMap,
    with_proof: bool,
    body: &[u8],
) -> Result<(), Problem> {
    let required = [
        ("@method", true),
        ("@target-uri", true),
        ("authorization", true),
        (DPOP, with_proof),
        (digest::CONTENT_DIGEST, !body.is_empty()),
        (IDEMPOTENCY_KEY, headers.contains_key(IDEMPOTENCY_KEY)),
    ];
    let missing: Vec<_> = required
        .iter()
        .filter(|(name, needed)| *needed && !signed.covers(name, false))
        .map(|(name, _)| format!("\"{name}\""))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(bad_signature(format!(
        "the signature does not cover {}",
        missing.join(" ")
    )))
}

pub(crate) fn check_created(signed: &Signed, now: i64) -> Result<(), Problem> {
    let Some(created) = signed.number("created") else {
        return Err(bad_signature("the signature has no parameter created"));
    };
    if (created - now).abs() > WINDOW {
        return Err(bad_signature(format!(
            "the signature was created at {created}, more than {WINDOW} seconds from now, {now}"
        )));
    }
    match signed.number("expires") {
        Some(expires) if expires <= now => {
            Err(bad_signature(format!("the signature expired at {expires}")))
        }
        _ => Ok(()),
    }
}

fn check_signature(signed: &Signed, client: &Client, message: &Message<'_>) -> Result<(), Problem> {
    let Some(kid) = signed.text("keyid") else {
        return Err(bad_signature("the signature has no parameter keyid"));
    };
    let key = client
        .key(Some(kid))
        .map_err(|detail| bad_signature(format!("the signature {detail}")))?;
    let expected = key.algorithm.http();
    match signed.text("alg") {
        Some(alg) if alg != expected => {
            return Err(bad_signature(format!(
                "the signature has alg {alg}, but key {kid} signs with {expected}"
            )));
        }
        _ => {}
    }
    let base = signed.base(message).map_err(bad_signature)?;
    if key.verify(base.as_bytes(), &signed.signature) {
        return Ok(());
    }
    Err(bad_signature(format!(
        "key {kid} does not verify the signature: another key signed, or what it covers was \
         changed after it was signed (method, URI, a field), or the base was put together otherwise"
    )))
}
