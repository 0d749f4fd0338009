//! Access tokens: JWT (RFC 9068) that the service signs, bound to a DPoP key or to a client
//! certificate.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tandem_client::jose::{self, Jws};
use tandem_client::key::{KeyError, random_id, sha256_base64url};
use tandem_client::proof::ProofKey;

use super::client::{Client, Scopes};
use super::server_keys::ServerKeys;

/// How long a token lives at the most, in seconds.
pub(crate) const LIFETIME: i64 = 600;
/// Tokens whose verification is remembered at most.
const REMEMBERED: usize = 10_000;

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) client_id: String,
    pub(crate) party: String,
    pub(crate) scope: String,
    pub(crate) iat: i64,
    pub(crate) exp: i64,
    pub(crate) jti: String,
    pub(crate) cnf: Confirmation,
}

/// What a token is bound to, by its thumbprint.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Confirmation {
    /// The key of the client's proofs (RFC 9449).
    #[serde(rename = "jkt")]
    Key(String),
    /// The certificate of the client's connections (RFC 8705).
    #[serde(rename = "x5t#S256")]
    Certificate(String),
}

impl Confirmation {
    /// Type of the token, and how Authorization names it.
    pub(crate) fn token_type(&self) -> &'static str {
        match self {
            Confirmation::Key(_) => "DPoP",
            Confirmation::Certificate(_) => "Bearer",
        }
    }
}

/// Makes a token for a client, bound to a key or certificate, from now on for so many seconds.
pub(crate) fn issue(
    keys: &ServerKeys,
    issuer: &str,
    client: &Client,
    scopes: &Scopes,
    cnf: Confirmation,
    (now, lifetime): (i64, i64),
) -> Result<String, KeyError> {
    let claims = Claims {
        iss: issuer.to_owned(),
        sub: client.client_id.clone(),
        aud: issuer.to_owned(),
        client_id: client.client_id.clone(),
        party: client.party.clone(),
        scope: scopes.to_string(),
        iat: now,
        exp: now + lifetime,
        jti: random_id()?,
        cnf,
    };
    jose::encode("at+jwt", &claims, keys.signing(), false)
}

/// A token that was verified.
pub(crate) struct Token {
    pub(crate) claims: Claims,
    pub(crate) scopes: Scopes,
    /// Its hash, as proofs name it.
    pub(crate) ath: String,
    /// The key that it is bound to, once a proof has shown it.
    pub(crate) proof_key: OnceLock<Arc<ProofKey>>,
}

impl Token {
    /// Thumbprint of the certificate that it is bound to, unless it is bound to a key.
    pub(crate) fn certificate(&self) -> Option<&str> {
        match &self.claims.cnf {
            Confirmation::Certificate(thumbprint) => Some(thumbprint),
            Confirmation::Key(_) => None,
        }
    }
}

/// Tokens by their hash, so that each is verified once.
#[derive(Default)]
pub(crate) struct Tokens(Mutex<HashMap<[u8; 32], Arc<Token>>>);

impl Tokens {
    /// Verifies a token. Errors complete the sentence "the access token … ".
    pub(crate) fn verify(
        &self,
        keys: &ServerKeys,
        issuer: &str,
        text: &str,
        now: i64,
    ) -> Result<Arc<Token>, String> {
        let hash = digest(&SHA256, text.as_bytes());
        let hash: [u8; 32] = hash.as_ref().try_into().expect("SHA-256 has 32 bytes");
        let known = self.lock().get(&hash).cloned();
        let token = match known {
            Some(token) => token,
            None => Arc::new(verify(keys, issuer, text)?),
        };
        if token.claims.exp <= now {
            self.lock().remove(&hash);
            return Err(format!(
                "expired {} seconds ago: get a new one",
                now - token.claims.exp
            ));
        }
        let mut tokens = self.lock();
        if tokens.len() >= REMEMBERED {
            tokens.retain(|_, token| token.claims.exp > now);
            if tokens.len() >= REMEMBERED {
                tokens.clear();
            }
        }
        tokens.entry(hash).or_insert_with(|| Arc::clone(&token));
        Ok(token)
    }

    /// Forgets all, so that tokens of a key that is gone are not taken any more.
    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Token>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn verify(keys: &ServerKeys, issuer: &str, text: &str) -> Result<Token, String> {
    let jws = Jws::parse(text)?;
    let kid = jws.header.kid.as_deref().unwrap_or_default();
    let Some(key) = keys.find(kid) else {
        return Err(format!(
            "names key {kid:?}, which is no key of this service"
        ));
    };
    jws.verify(key.public())?;
    if jws.header.typ.as_deref() != Some("at+jwt") {
        return Err("has not typ at+jwt".to_owned());
    }
    let claims: Claims = jws.claims()?;
    if claims.iss != issuer || claims.aud != issuer {
        return Err(format!("is not of and for {issuer}"));
    }
    Ok(Token {
        scopes: Scopes::parse(&claims.scope).map_err(|error| error.to_string())?,
        ath: sha256_base64url(text.as_bytes()),
        proof_key: OnceLock::new(),
        claims,
    })
}
