//! Compact JWS (RFC 7515), as far as assertions, proofs and access tokens need it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::key::{Jwk, KeyError, PublicKey, SigningKey};

/// The longest text that is looked at.
const LONGEST: usize = 8 * 1024;

/// What a header may say.
#[derive(Debug, Deserialize)]
pub struct Header {
    /// Algorithm.
    pub alg: String,
    /// Type.
    pub typ: Option<String>,
    /// Name of the key that signed.
    pub kid: Option<String>,
    /// The key that signed.
    pub jwk: Option<Jwk>,
    crit: Option<IgnoredAny>,
}

/// A signed text that was taken apart, not yet verified.
pub struct Jws<'a> {
    /// Header.
    pub header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Jws<'a> {
    /// Takes a text apart. Errors complete the sentence "the … ".
    pub fn parse(text: &'a str) -> Result<Jws<'a>, String> {
        if text.len() > LONGEST {
            return Err(format!("is longer than {LONGEST} bytes"));
        }
        let parts = text
            .rsplit_once('.')
            .and_then(|(signed, signature)| Some((signed, signed.split_once('.')?, signature)));
        let Some((signed, (header, payload), signature)) = parts else {
            return Err("is not three parts with dots between them".to_owned());
        };
        let decode = |name: &str, text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text);
            bytes.map_err(|_| format!("has a {name} that is not base64url without padding"))
        };
        let header: Header = serde_json::from_slice(&decode("header", header)?)
            .map_err(|error| format!("has a header that cannot be read: {error}"))?;
        if header.crit.is_some() {
            return Err("has a header with crit, which is not understood here".to_owned());
        }
        Ok(Jws {
            header,
            signed,
            payload: decode("payload", payload)?,
            signature: decode("signature", signature)?,
        })
    }

    /// Checks that the key's owner signed it, with the algorithm that the key has.
    pub fn verify(&self, key: &PublicKey) -> Result<(), String> {
        let allowed = key.algorithm.jose();
        if !allowed.contains(&self.header.alg.as_str()) {
            return Err(format!(
                "has alg {}, but its key signs with {}",
                self.header.alg, allowed[0]
            ));
        }
        if !key.verify(self.signed.as_bytes(), &self.signature) {
            return Err(format!(
                "has a signature that key {} does not verify",
                key.kid
            ));
        }
        Ok(())
    }

    /// Reads the claims. Only after `verify`.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| format!("has claims that cannot be read: {error}"))
    }
}

/// Header of a text that we sign.
#[derive(Serialize)]
struct OwnHeader<'a> {
    typ: &'a str,
    alg: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwk: Option<Jwk>,
}

/// Signs claims. The header names the key, or holds it if `embed` says so.
pub fn encode(
    typ: &str,
    claims: &impl Serialize,
    key: &SigningKey,
    embed: bool,
) -> Result<String, KeyError> {
    let public = key.public();
    let jwk = embed.then(|| {
        let mut jwk = public.to_jwk();
        (jwk.kid, jwk.alg) = (None, None);
        jwk
    });
    let header = OwnHeader {
        typ,
        alg: public.algorithm.jose()[0],
        kid: (!embed).then_some(public.kid.as_str()),
        jwk,
    };
    let mut text = part(&header);
    text.push('.');
    text.push_str(&part(claims));
    let signature = key.sign(text.as_bytes())?;
    text.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut text);
    Ok(text)
}

fn part(value: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(value).expect("texts and numbers become JSON"))
}
