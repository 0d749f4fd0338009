//! OAuth 2.0: the token endpoint (client credentials, RFC 7523, RFC 9449), metadata (RFC 8414) and
//! the service's keys (RFC 7517).

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::FormRejection;
use axum::extract::{FromRequest as _, OriginalUri, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tandem_client::jose::Jws;
use tandem_client::key::Jwks;
use tandem_client::proof::{self, DPOP};
use tandem_client::{ASSERTION_LIFETIME, ASSERTION_TYPE, TOKEN_PATH, WINDOW};

use super::client::{Client, SCOPES, Scopes};
use super::once::Use;
use super::request::client_certificate;
use super::token::{self, Confirmation};
use super::{Access, read};
use crate::problem::Problem;
use crate::trace;

/// Bytes of a token request at most; it is read before anybody is known.
const FORM: usize = 16 << 10;

/// The endpoints of this module; anyone may call them.
pub fn routes(access: Arc<Access>) -> Router {
    Router::new()
        .route(TOKEN_PATH, post(give_token))
        .route("/.well-known/oauth-authorization-server", get(metadata))
        .route("/.well-known/jwks.json", get(jwks))
        .with_state(access)
}

async fn metadata(State(access): State<Arc<Access>>) -> Json<Value> {
    let base = access.base();
    let algorithms = ["ES256", "EdDSA", "Ed25519"];
    Json(json!({
        "issuer": base,
        "token_endpoint": format!("{base}{TOKEN_PATH}"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "scopes_supported": SCOPES.iter().map(|(scope, _)| scope).collect::<Vec<_>>(),
        "response_types_supported": [],
        "grant_types_supported": ["client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "dpop_signing_alg_values_supported": algorithms,
        "tls_client_certificate_bound_access_tokens": access.client_certificates,
    }))
}

async fn jwks(State(access): State<Arc<Access>>) -> Json<Jwks> {
    Json(access.jwks())
}

/// What a client sends.
#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    #[serde(default)]
    client_assertion_type: String,
    #[serde(default)]
    client_assertion: String,
    client_id: Option<String>,
    scope: Option<String>,
    /// Seconds that the token is to live at the most, so that it can be shorter than ours.
    expires_in: Option<i64>,
}

/// What it gets.
#[derive(Serialize)]
struct TokenAnswer {
    access_token: String,
    token_type: &'static str,
    expires_in: i64,
    scope: String,
}

/// A refusal as OAuth writes it (RFC 6749, 5.2).
#[derive(Debug, Serialize)]
struct TokenError {
    #[serde(skip)]
    status: u16,
    #[serde(skip)]
    retry_after: Option<u32>,
    error: &'static str,
    error_description: String,
}

impl TokenError {
    fn new(status: u16, error: &'static str, description: impl Into<String>) -> TokenError {
        TokenError {
            status,
            retry_after: None,
            error,
            error_description: description.into(),
        }
    }
}

impl IntoResponse for TokenError {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let retry_after = self.retry_after;
        let mut response = (status, no_store(), Json(self)).into_response();
        if let Some(seconds) = retry_after {
            let headers = response.headers_mut();
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

fn no_store() -> [(header::HeaderName, &'static str); 1] {
    [(header::CACHE_CONTROL, "no-store")]
}

async fn give_token(
    State(access): State<Arc<Access>>,
    OriginalUri(uri): OriginalUri,
    request: Request,
) -> Result<Response, TokenError> {
    let begun = Instant::now();
    let (parts, body) = request.into_parts();
    let body = read(body, FORM, access.body_time).await.map_err(unread)?;
    let (headers, certificate) = (parts.headers.clone(), client_certificate(&parts.extensions));
    let form = Form::from_request(Request::from_parts(parts, Body::from(body)), &()).await;
    let Form(request) = form.map_err(|error: FormRejection| {
        TokenError::new(400, "invalid_request", error.body_text())
    })?;
    let answer = access.give_token(&headers, certificate, uri.path(), &request)?;
    trace::verified(begun);
    Ok((no_store(), Json(answer)).into_response())
}

/// A body that did not come as it must. OAuth has a code for what is wrong with it only.
fn unread(problem: Problem) -> TokenError {
    let error = match problem.status {
        400 => "invalid_request",
        _ => problem.code,
    };
    TokenError::new(problem.status, error, problem.detail)
}

impl Access {
    fn give_token(
        &self,
        headers: &HeaderMap,
        certificate: Option<String>,
        path: &str,
        request: &TokenRequest,
    ) -> Result<TokenAnswer, TokenError> {
        let now = self.now();
        if request.grant_type != "client_credentials" {
            return Err(TokenError::new(
                400,
                "unsupported_grant_type",
                "grant_type must be client_credentials",
            ));
        }
        let client = self.authenticate(request, now)?;
        if let Err(problem) = self.limit(&client.party) {
            return Err(TokenError {
                retry_after: problem.retry_after,
                ..TokenError::new(problem.status, "temporarily_unavailable", problem.detail)
            });
        }
        let scopes = granted(&client, request.scope.as_deref())
            .map_err(|detail| TokenError::new(400, "invalid_scope", detail))?;
        let lifetime = match request.expires_in {
            None => token::LIFETIME,
            Some(seconds @ 1..) => seconds.min(token::LIFETIME),
            Some(_) => {
                let detail = "expires_in must be a number of seconds above zero";
                return Err(TokenError::new(400, "invalid_request", detail));
            }
        };
        let cnf = match certificate {
            Some(thumbprint) if !headers.contains_key(DPOP) => {
                Confirmation::Certificate(thumbprint)
            }
            _ => Confirmation::Key(self.prove_key(&client.party, headers, path, now)?),
        };
        let token_type = cnf.token_type();
        let (keys, base) = (self.keys(), &self.base);
        let token = token::issue(&keys, base, &client, &scopes, cnf, (now, lifetime))
            .map_err(|error| TokenError::new(500, "server_error", error.to_string()))?;
        Ok(TokenAnswer {
            access_token: token,
            token_type,
            expires_in: lifetime,
            scope: scopes.to_string(),
        })
    }

    /// Checks the proof of a token request, counts it as used, and gives the thumbprint of its key.
    fn prove_key(
        &self,
        party: &str,
        headers: &HeaderMap,
        path: &str,
        now: i64,
    ) -> Result<String, TokenError> {
        let bad_proof = |detail: String| {
            TokenError::new(
                400,
                "invalid_dpop_proof",
                format!("the DPoP proof {detail}"),
            )
        };
        let target = format!("{}{path}", self.base);
        let proof = proof::check(headers, "POST", &target, None, None, now).map_err(bad_proof)?;
        match self.proofs.take(party, &proof.key.jkt, &proof.jti, now) {
            Use::First => Ok(proof.key.jkt.clone()),
            Use::Again => Err(bad_proof("was used before".to_owned())),
            Use::Full => Err(full()),
        }
    }

    /// Finds out which client asks, by its assertion.
    fn authenticate(&self, request: &TokenRequest, now: i64) -> Result<Arc<Client>, TokenError> {
        let refused = |detail: String| TokenError::new(401, "invalid_client", detail);
        if request.client_assertion_type != ASSERTION_TYPE {
            return Err(refused(format!(
                "send client_assertion_type={ASSERTION_TYPE} and a client_assertion (RFC 7523)"
            )));
        }
        let wrong = |detail: String| refused(format!("the client assertion {detail}"));
        let jws = Jws::parse(&request.client_assertion).map_err(wrong)?;
        // Read before it is verified, to know whose key must have signed it.
        let claims: AssertionClaims = jws.claims().map_err(wrong)?;
        let client_id = &claims.sub;
        let client = self.claimed_client(client_id, now).map_err(|error| {
            tracing::error!(%error, client_id, "a client cannot be read");
            TokenError::new(
                503,
                "temporarily_unavailable",
                "the registry cannot be read; try again",
            )
        })?;
        if let Some(client) = &client {
            trace::caller(&client.client_id, &client.party);
        }
        let client = self.check_assertion(&jws, &claims, client, now);
        let client = client.map_err(wrong)?;
        if request
            .client_id
            .as_ref()
            .is_some_and(|id| *id != claims.sub)
        {
            return Err(refused("client_id is not the assertion's sub".to_owned()));
        }
        let (party, owner) = (&client.party, &claims.sub);
        match self.assertions.take(party, owner, &claims.jti, now) {
            Use::First => Ok(client),
            Use::Again => Err(refused(
                "the client assertion was used before (jti): make one for each token".to_owned(),
            )),
            Use::Full => Err(full()),
        }
    }

    /// Checks an assertion of a client, if there is one of its name. Errors complete the sentence "the
    /// client assertion … ", and do not tell who has no key of a client whether it is there.
    fn check_assertion(
        &self,
        jws: &Jws<'_>,
        claims: &AssertionClaims,
        client: Option<Arc<Client>>,
        now: i64,
    ) -> Result<Arc<Client>, String> {
        match jws.header.typ.as_deref() {
            None | Some("JWT" | "client-authentication+jwt") => {}
            Some(typ) => return Err(format!("has typ {typ}, which is something else")),
        }
        if claims.iss != claims.sub {
            return Err("has not the client_id as both iss and sub".to_owned());
        }
        let (kid, alg) = (jws.header.kid.as_deref(), &jws.header.alg);
        let key = self.decoys.key(client.as_deref(), kid, alg);
        // By a decoy too, or the time would tell.
        let is_signed = key.is_some_and(|(key, is_own)| jws.verify(key).is_ok() && is_own);
        let Some(client) = client.filter(|_| is_signed) else {
            let sub = &claims.sub;
            return Err(format!(
                "is signed by no key of an active client {sub}: compare client_id, kid and key with what \
                 was registered, and ask whether the client is disabled"
            ));
        };
        let audience = |value: &Value| {
            let text = value.as_str().unwrap_or_default();
            text == self.base || text.strip_prefix(&self.base) == Some(TOKEN_PATH)
        };
        let fits = match &claims.aud {
            Value::Array(values) => values.iter().any(audience),
            value => audience(value),
        };
        if !fits {
            return Err(format!("is not for aud {}", self.base));
        }
        if claims.exp <= now {
            return Err(format!("expired {} seconds ago", now - claims.exp));
        }
        if claims.exp > now + ASSERTION_LIFETIME + WINDOW {
            return Err(format!(
                "is valid for more than {ASSERTION_LIFETIME} seconds (exp)"
            ));
        }
        if claims.nbf.is_some_and(|from| from > now + WINDOW) {
            return Err("is not valid yet (nbf)".to_owned());
        }
        if claims.jti.is_empty() || claims.jti.len() > 256 {
            return Err("needs a jti of 1 to 256 bytes".to_owned());
        }
        Ok(client)
    }
}

/// What a client gets: all that it is allowed, or what it asks for of it.
fn granted(client: &Client, asked: Option<&str>) -> Result<Scopes, String> {
    let Some(asked) = asked else {
        return Ok(client.scopes.clone());
    };
    let asked = Scopes::parse(asked).map_err(|error| error.to_string())?;
    let outside = asked.iter().find(|scope| !client.scopes.has(scope));
    match outside {
        None => Ok(asked),
        Some(scope) => Err(format!(
            "client {} is not allowed scope {scope}",
            client.client_id
        )),
    }
}

fn full() -> TokenError {
    TokenError {
        retry_after: Some(60),
        ..TokenError::new(503, "temporarily_unavailable", "wait a minute")
    }
}

/// What an assertion says.
#[derive(Deserialize)]
struct AssertionClaims {
    iss: String,
    sub: String,
    aud: Value,
    exp: i64,
    nbf: Option<i64>,
    jti: String,
}
