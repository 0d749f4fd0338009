//! The middleware: from a message to a caller, and from a handler's answer to a signed one.

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http_body_util::LengthLimitError;
use tandem_client::digest::{CONTENT_DIGEST, content_digest};
use tandem_client::key::random_bytes;
use tandem_client::message::{self, Message, RESPONSE_TAG, SIGNATURE, SIGNATURE_INPUT};
use tokio::time::timeout;

use super::answers::{Answer, Kept, Money, Turn, fingerprint};
use super::request::{idempotency_key, is_safe};
use super::{Access, Caller};
use crate::problem::{
    BAD_CERTIFICATE, BAD_PROOF, BAD_REQUEST, INTERNAL, KEY_MISSING, Problem, TOO_LARGE, TOO_SLOW,
};
use crate::trace::{self, Stage};

/// Bytes of a body unless the gate says otherwise.
const BODY_LIMIT: usize = 1 << 20;

/// Name of the field that both sides write into their logs.
static INTERACTION_ID: HeaderName = HeaderName::from_static("x-fapi-interaction-id");
/// Says that an answer was given before.
static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What [`layer`] knows of the routes that it guards.
#[derive(Clone)]
pub struct Gate {
    /// The security layer.
    pub access: Arc<Access>,
    /// Bytes that a body may have.
    pub body_limit: usize,
    /// Whether a POST needs an `Idempotency-Key` and its answer is kept. Not for bulk streams,
    /// whose lines have keys of their own.
    pub idempotent: bool,
    /// The scope that a method of a route needs, so that nobody's body is read who may not send it.
    pub scope: fn(&Method, &str) -> Option<&'static str>,
}

impl Gate {
    /// The usual gate: bodies of 1 MiB, POST with a key.
    pub fn new(access: Arc<Access>) -> Gate {
        Gate {
            access,
            body_limit: BODY_LIMIT,
            idempotent: true,
            scope: |_, _| None,
        }
    }
}

/// The `Idempotency-Key` of a request, in its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

/// The `x-fapi-interaction-id` of a request, in its extensions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InteractionId(pub String);

/// Guards routes: `Router::layer(from_fn_with_state(gate, layer))`. A request that passes has its
/// [`Caller`] in the extensions; what does not pass is answered with a problem.
pub async fn layer(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let id = match interaction_id(request.headers()) {
        Ok(id) => id,
        Err(problem) => return problem.into_response(),
    };
    request.extensions_mut().insert(InteractionId(id.clone()));
    let mut response = gate.pass(request, next).await.unwrap_or_else(refusal);
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(&INTERACTION_ID, value);
    }
    response
}

/// A problem, with the challenge that OAuth wants beside it (RFC 9449, 7.1).
fn refusal(problem: Problem) -> Response {
    let challenge = match problem.code {
        _ if problem.status != StatusCode::UNAUTHORIZED.as_u16() => None,
        code if code == BAD_PROOF.code => {
            Some(r#"DPoP error="invalid_dpop_proof", algs="ES256 EdDSA""#)
        }
        code if code == BAD_CERTIFICATE.code => Some(r#"Bearer error="invalid_token""#),
        _ => Some(r#"DPoP error="invalid_token", algs="ES256 EdDSA""#),
    };
    let mut response = problem.into_response();
    if let Some(challenge) = challenge {
        let value = HeaderValue::from_static(challenge);
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, value);
    }
    response
}

impl Gate {
    async fn pass(&self, request: Request, next: Next) -> Result<Response, Problem> {
        let access = &*self.access;
        let begun = Instant::now();
        let now = access.now();
        let (mut parts, body) = request.into_parts();
        let target = access.target(&parts);
        let identity = access.identify(&parts.headers, now)?;
        trace::caller(&identity.caller.client_id, &identity.caller.party);
        access.limit(&identity.caller.party)?;
        let method = parts.method.clone();
        access.prove(&parts, &target, &identity, now)?;
        parts.extensions.insert(identity.caller.clone());
        if is_safe(&method) {
            trace::verified(begun);
            return Ok(next.run(Request::from_parts(parts, body)).await);
        }
        let route = parts.extensions.get::<MatchedPath>();
        let scope = route.and_then(|route| (self.scope)(&method, route.as_str()));
        scope.map_or(Ok(()), |scope| identity.caller.require(scope))?;
        let bytes = length(&parts.headers).unwrap_or(usize::MAX);
        let bytes = bytes.min(self.body_limit);
        let _place = access.room.take(&identity.caller.party, bytes)?;
        let body = read(body, bytes, access.body_time).await?;
        access.check_message(&parts, &target, &body, &identity, now)?;
        trace::verified(begun);
        let request = Signature {
            method,
            target,
            headers: of_request(&parts.headers),
        };
        let answer = self
            .answer(parts, body, next, &request, &identity.caller, now)
            .await
            .unwrap_or_else(|problem| problem.into_response());
        trace::stage(Stage::Sign, access.sign(answer, &request)).await
    }

    /// Carries out a request, or gives the answer that it got before.
    async fn answer(
        &self,
        mut parts: Parts,
        body: Bytes,
        next: Next,
        request: &Signature,
        caller: &Caller,
        now: i64,
    ) -> Result<Response, Problem> {
        let key =
            idempotency_key(&parts.headers).map_err(|detail| Problem::new(BAD_REQUEST, detail))?;
        if let Some(key) = &key {
            parts.extensions.insert(IdempotencyKey(key.clone()));
        }
        let key = match key {
            Some(key) if self.idempotent => key,
            None if self.idempotent && request.method == Method::POST => {
                return Err(Problem::new(
                    KEY_MISSING,
                    "send a new Idempotency-Key with each POST, and the same one when it is \
                     repeated",
                ));
            }
            _ => return Ok(next.run(Request::from_parts(parts, Body::from(body))).await),
        };
        let fingerprint = fingerprint(request.method.as_str(), &request.target, &body);
        let answers = &self.access.answers;
        let flight = match answers.begin(&caller.client_id, &key, fingerprint, now)? {
            Turn::Carry(flight) => flight,
            Turn::Repeat(answer) => {
                let mut response = answer.into_response();
                let yes = HeaderValue::from_static("true");
                response.headers_mut().insert(&REPLAYED, yes);
                return Ok(response);
            }
        };
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        if !is_final(response.status()) {
            return Ok(response);
        }
        let money = response.extensions().get::<Money>().is_some();
        let kept = response.extensions().get::<Kept>().cloned();
        let answer = Answer::read(response).await?;
        trace::stage(Stage::Keep, flight.land(&answer, kept, money, now)).await?;
        Ok(answer.into_response())
    }
}

/// How long a body says that it is.
fn length(headers: &HeaderMap) -> Option<usize> {
    let length = headers.get(header::CONTENT_LENGTH)?;
    length.to_str().ok()?.parse().ok()
}

/// Reads a body, of so many bytes at the most, in so much time.
pub(crate) async fn read(body: Body, limit: usize, time: Duration) -> Result<Bytes, Problem> {
    let read = timeout(time, to_bytes(body, limit)).await;
    let late = |_| {
        let seconds = time.as_secs();
        Problem::new(TOO_SLOW, format!("a body has {seconds} seconds to come"))
    };
    read.map_err(late)?.map_err(|error| {
        if error
            .source()
            .is_some_and(|source| source.is::<LengthLimitError>())
        {
            return Problem::new(TOO_LARGE, format!("a body has at most {limit} bytes here"));
        }
        Problem::new(BAD_REQUEST, "the body ended before its time")
    })
}

/// Whether an answer stays the same if the request is repeated. Where a later try may do better,
/// it is carried out again.
fn is_final(status: StatusCode) -> bool {
    let retryable = [
        StatusCode::MISDIRECTED_REQUEST,
        StatusCode::TOO_MANY_REQUESTS,
    ];
    !status.is_server_error() && !retryable.contains(&status)
}

impl Answer {
    async fn read(response: Response) -> Result<Answer, Problem> {
        let (parts, body) = response.into_parts();
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            body: whole(body).await?,
        })
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        response
    }
}

/// What of a request is part of its answer's signature.
struct Signature {
    method: Method,
    target: String,
    headers: HeaderMap,
}

fn of_request(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::with_capacity(4);
    for name in [CONTENT_DIGEST, SIGNATURE_INPUT, SIGNATURE] {
        let name = HeaderName::from_static(name);
        for value in headers.get_all(&name) {
            kept.append(&name, value.clone());
        }
    }
    kept
}

impl Access {
    /// Signs the answer to a signed request.
    async fn sign(&self, answer: Response, request: &Signature) -> Result<Response, Problem> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::error!(%error, "an answer cannot be signed");
            Problem::new(INTERNAL, "the answer cannot be signed")
        };
        let (mut parts, body) = answer.into_parts();
        let body = whole(body).await?;
        parts.headers.insert(CONTENT_DIGEST, content_digest(&body));
        let mut components = vec![
            ("@status", false),
            (CONTENT_DIGEST, false),
            ("@method", true),
            ("@target-uri", true),
        ];
        if request.headers.contains_key(CONTENT_DIGEST) {
            components.push((CONTENT_DIGEST, true));
        }
        components.extend([(SIGNATURE_INPUT, true), (SIGNATURE, true)]);
        let message = Message {
            method: request.method.as_str(),
            target: &request.target,
            status: Some(parts.status.as_u16()),
            headers: &parts.headers,
            request: Some(&request.headers),
        };
        let keys = self.keys();
        let key = keys.signing();
        let (input, signature) =
            message::sign(&message, &components, self.now(), RESPONSE_TAG, key)
                .map_err(|error| failed(&error))?;
        parts.headers.insert(SIGNATURE_INPUT, input);
        parts.headers.insert(SIGNATURE, signature);
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

/// The whole of an answer's body: it is ours, and has no limit of its own.
async fn whole(body: Body) -> Result<Bytes, Problem> {
    to_bytes(body, usize::MAX).await.map_err(|error| {
        tracing::error!(%error, "an answer ended before its time");
        Problem::new(INTERNAL, "the answer ended before its time")
    })
}

/// The caller's identifier of the interaction, or a new one: a UUID of version 4.
fn interaction_id(headers: &HeaderMap) -> Result<String, Problem> {
    let sent = headers.get(&INTERACTION_ID).and_then(|id| id.to_str().ok());
    let fits = |id: &&str| {
        id.len() == 36
            && id.char_indices().all(|(at, c)| match at {
                8 | 13 | 18 | 23 => c == '-',
                _ => c.is_ascii_hexdigit(),
            })
    };
    if let Some(id) = sent.filter(fits) {
        return Ok(id.to_owned());
    }
    let bytes = random_bytes::<16>().map_err(|error| Problem::new(INTERNAL, error.to_string()))?;
    let mut number = u128::from_be_bytes(bytes);
    number = number & !(0xf << 76) | 4 << 76;
    number = number & !(0b11 << 62) | 0b10 << 62;
    let hex = format!("{number:032x}");
    Ok([
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ]
    .join("-"))
}
