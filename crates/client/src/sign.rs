//! The other side: what a client makes to get a token and to call. Without a transport of its own,
//! so that it fits any.

use http::{HeaderMap, HeaderValue, header};
use serde_json::json;

use crate::digest::{self, CONTENT_DIGEST, content_digest};
use crate::jose;
use crate::key::{Algorithm, KeyError, PublicKey, SigningKey, random_id, sha256_base64url};
use crate::message::{
    self, Message, REQUEST_TAG, RESPONSE_TAG, SIGNATURE, SIGNATURE_INPUT, Signed,
};
use crate::proof::{self, DPOP};
use crate::{ASSERTION_LIFETIME, ASSERTION_TYPE, IDEMPOTENCY_KEY, TOKEN_PATH};

use crate::message::SignError;

/// A client that signs.
pub struct Signer {
    base: String,
    client_id: String,
    key: SigningKey,
    /// Key of proofs; without one, tokens are bound to the certificate of the connection.
    proof_key: Option<SigningKey>,
}

impl Signer {
    /// A client of the service at `base`, with the key that is registered there. The key of its
    /// proofs is made here and lives as long as this.
    pub fn new(base: &str, client_id: &str, key: SigningKey) -> Result<Signer, KeyError> {
        Ok(Signer {
            base: base.to_owned(),
            client_id: client_id.to_owned(),
            key,
            proof_key: Some(SigningKey::from_pem(&SigningKey::generate(
                Algorithm::Ed25519,
            )?)?),
        })
    }

    /// The same, for connections with a client certificate: it makes no proofs, and its tokens are
    /// bound to the certificate (RFC 8705).
    pub fn with_certificate(base: &str, client_id: &str, key: SigningKey) -> Signer {
        Signer {
            base: base.to_owned(),
            client_id: client_id.to_owned(),
            key,
            proof_key: None,
        }
    }

    /// Signs with another key from now on, and gives the one before. Proofs stay as they are.
    pub fn exchange_key(&mut self, key: SigningKey) -> SigningKey {
        std::mem::replace(&mut self.key, key)
    }

    /// URI of the token endpoint.
    pub fn token_uri(&self) -> String {
        format!("{}{TOKEN_PATH}", self.base)
    }

    /// Fields and body of a POST to the token endpoint; its answer's `access_token` is the token.
    pub fn token_request(
        &self,
        scope: Option<&str>,
        now: i64,
    ) -> Result<(HeaderMap, String), KeyError> {
        let claims = json!({
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": self.base,
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
            "jti": random_id()?,
        });
        let assertion = jose::encode("client-authentication+jwt", &claims, &self.key, false)?;
        let mut body = format!(
            "grant_type=client_credentials&client_assertion_type={}&client_assertion={assertion}",
            ASSERTION_TYPE.replace(':', "%3A")
        );
        if let Some(scope) = scope {
            body.push_str("&scope=");
            body.push_str(&scope.replace(':', "%3A").replace(' ', "+"));
        }
        let mut headers = HeaderMap::new();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form);
        if let Some(key) = &self.proof_key {
            let proof = proof::make(key, "POST", &self.token_uri(), None, now)?;
            headers.insert(DPOP, ascii(proof));
        }
        Ok((headers, body))
    }

    /// Adds to a request's fields what a call needs: token, proof and, if it is not a GET, digest
    /// and signature. `path` begins with a slash and has the query in it.
    pub fn sign(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &mut HeaderMap,
        body: &[u8],
        now: i64,
    ) -> Result<(), SignError> {
        self.prove(token, method, path, headers, now)?;
        match method {
            "GET" => Ok(()),
            _ => self.sign_message(method, path, headers, body, now),
        }
    }

    /// Adds token and proof to a request's fields, or the token alone.
    pub fn prove(
        &self,
        token: &str,
        method: &str,
        path: &str,
        headers: &mut HeaderMap,
        now: i64,
    ) -> Result<(), KeyError> {
        let Some(key) = &self.proof_key else {
            headers.insert(header::AUTHORIZATION, ascii(format!("Bearer {token}")));
            return Ok(());
        };
        let target = format!("{}{path}", self.base);
        let ath = sha256_base64url(token.as_bytes());
        let proof = proof::make(key, method, &target, Some(ath), now)?;
        headers.insert(header::AUTHORIZATION, ascii(format!("DPoP {token}")));
        headers.insert(DPOP, ascii(proof));
        Ok(())
    }

    /// Adds digest and signature to a request's fields, which have the token and any proof.
    pub fn sign_message(
        &self,
        method: &str,
        path: &str,
        headers: &mut HeaderMap,
        body: &[u8],
        now: i64,
    ) -> Result<(), SignError> {
        let target = format!("{}{path}", self.base);
        let mut components = vec![
            ("@method", false),
            ("@target-uri", false),
            ("authorization", false),
        ];
        if self.proof_key.is_some() {
            components.push((DPOP, false));
        }
        if !body.is_empty() {
            headers.insert(CONTENT_DIGEST, content_digest(body));
            components.push((CONTENT_DIGEST, false));
        }
        if headers.contains_key(IDEMPOTENCY_KEY) {
            components.push((IDEMPOTENCY_KEY, false));
        }
        let message = Message {
            method,
            target: &target,
            status: None,
            headers,
            request: None,
        };
        let (input, signature) = message::sign(&message, &components, now, REQUEST_TAG, &self.key)?;
        headers.insert(SIGNATURE_INPUT, input);
        headers.insert(SIGNATURE, signature);
        Ok(())
    }

    /// Checks that an answer was signed by one of the service's published keys, and is the answer
    /// to this request.
    pub fn verify_answer(
        &self,
        published: &[PublicKey],
        request: (&str, &str, &HeaderMap),
        answer: (u16, &HeaderMap, &[u8]),
    ) -> Result<(), String> {
        let (method, path, request_headers) = request;
        let (status, headers, body) = answer;
        let required = [
            ("@status", false),
            (CONTENT_DIGEST, false),
            ("@method", true),
            ("@target-uri", true),
            (SIGNATURE, true),
        ];
        let message = Message {
            method,
            target: &format!("{}{path}", self.base),
            status: Some(status),
            headers,
            request: Some(request_headers),
        };
        verify_answer(&message, body, &required, published, "is not published")?;
        Ok(())
    }
}

/// Checks that an answer is signed as it must be by one of the keys; `otherwise` is said of a key
/// that is none of them.
pub fn verify_answer(
    answer: &Message<'_>,
    body: &[u8],
    required: &[(&str, bool)],
    keys: &[PublicKey],
    otherwise: &str,
) -> Result<Signed, String> {
    digest::verify(answer.headers, body)?;
    let signed = Signed::find(answer.headers, Some(RESPONSE_TAG))?;
    for (name, of_request) in required {
        if !signed.covers(name, *of_request) {
            return Err(format!("the answer's signature does not cover {name}"));
        }
    }
    let kid = signed.text("keyid").unwrap_or_default();
    let mut named = keys.iter().filter(|key| key.kid == kid).peekable();
    if named.peek().is_none() {
        return Err(format!(
            "the answer is signed by key {kid:?}, which {otherwise}"
        ));
    }
    let base = signed.base(answer)?;
    if named.any(|key| key.verify(base.as_bytes(), &signed.signature)) {
        Ok(signed)
    } else {
        Err(format!("key {kid} does not verify the answer's signature"))
    }
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("base64url and dots are a valid value")
}
