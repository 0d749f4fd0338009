//! DPoP proofs (RFC 9449): that the caller holds the key which its token is bound to.

use std::sync::Arc;

use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::WINDOW;
use crate::jose::{self, Jws};
use crate::key::{Jwk, KeyError, PublicKey, SigningKey, random_id};

/// Name of the field.
pub const DPOP: &str = "dpop";

/// What a proof says.
#[derive(Serialize, Deserialize)]
pub struct Claims {
    /// Identifier.
    pub jti: String,
    /// Method of the request.
    pub htm: String,
    /// URI of the request, without its query.
    pub htu: String,
    /// When it was made, in seconds since 1970.
    pub iat: i64,
    /// Hash of the access token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ath: Option<String>,
}

/// A key of proofs, as it stands in them and ready to verify.
#[derive(Debug)]
pub struct ProofKey {
    jwk: Jwk,
    key: PublicKey,
    /// Its thumbprint.
    pub jkt: String,
}

impl ProofKey {
    fn new(jwk: &Jwk) -> Result<Arc<ProofKey>, KeyError> {
        let key = PublicKey::from_jwk(jwk)?;
        let (jwk, jkt) = (jwk.clone(), key.thumbprint());
        Ok(Arc::new(ProofKey { jwk, key, jkt }))
    }
}

/// A proof that holds for a request. It counts once.
#[derive(Debug)]
pub struct Proof {
    /// What it is made with.
    pub key: Arc<ProofKey>,
    /// Identifier of the proof.
    pub jti: String,
}

/// Checks a request's proof. `ath` is the token's hash, if the request carries one, and `known` a
/// key that has made proofs before, which need not be read again. Errors complete the sentence "the
/// DPoP proof … ".
pub fn check(
    headers: &HeaderMap,
    method: &str,
    target: &str,
    ath: Option<&str>,
    known: Option<&Arc<ProofKey>>,
    now: i64,
) -> Result<Proof, String> {
    let mut values = headers.get_all(DPOP).iter();
    let proof = match (values.next(), values.next()) {
        (Some(proof), None) => proof.to_str().map_err(|_| "is not ASCII".to_owned())?,
        (None, _) => return Err("is missing: send one in the field DPoP".to_owned()),
        (Some(_), Some(_)) => return Err("is there more than once".to_owned()),
    };
    let jws = Jws::parse(proof)?;
    if jws.header.typ.as_deref() != Some("dpop+jwt") {
        return Err("has not typ dpop+jwt".to_owned());
    }
    let Some(jwk) = &jws.header.jwk else {
        return Err("has no jwk in its header".to_owned());
    };
    let key = known.filter(|known| known.jwk == *jwk);
    let key = key.map_or_else(|| ProofKey::new(jwk), |known| Ok(Arc::clone(known)));
    let key = key.map_err(|error| format!("has a bad jwk: {error}"))?;
    jws.verify(&key.key)?;
    let claims: Claims = jws.claims()?;
    if claims.htm != method {
        return Err(format!("is for htm {}, not for {method}", claims.htm));
    }
    let expected = without_query(target);
    if !same_uri(without_query(&claims.htu), expected) {
        return Err(format!("is for htu {}, not for {expected}", claims.htu));
    }
    if (claims.iat - now).abs() > WINDOW {
        return Err(format!(
            "was made at {} (iat), more than {WINDOW} seconds from now, {now}: make one for each \
             request, and set the clock",
            claims.iat
        ));
    }
    if claims.ath.as_deref() != ath {
        return Err("is not for this access token (ath)".to_owned());
    }
    if claims.jti.is_empty() || claims.jti.len() > 256 {
        return Err("needs a jti of 1 to 256 bytes".to_owned());
    }
    Ok(Proof {
        key,
        jti: claims.jti,
    })
}

/// Makes a proof.
pub fn make(
    key: &SigningKey,
    method: &str,
    target: &str,
    ath: Option<String>,
    now: i64,
) -> Result<String, KeyError> {
    let claims = Claims {
        jti: random_id()?,
        htm: method.to_owned(),
        htu: without_query(target).to_owned(),
        iat: now,
        ath,
    };
    jose::encode("dpop+jwt", &claims, key, true)
}

fn without_query(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default()
}

/// Compares URIs: scheme and host in any case, the rest byte for byte.
fn same_uri(one: &str, other: &str) -> bool {
    let authority_end = |uri: &str| {
        let start = uri.find("://").map_or(0, |at| at + 3);
        uri[start..].find('/').map_or(uri.len(), |at| start + at)
    };
    let (one_end, other_end) = (authority_end(one), authority_end(other));
    one[..one_end].eq_ignore_ascii_case(&other[..other_end]) && one[one_end..] == other[other_end..]
}
