//! Keys: public ones as JWK (RFC 7517), private ones as PKCS#8 in PEM. Ed25519 and P-256 only.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signature, Signer as _, Verifier as _, VerifyingKey};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// What stands before the seed in an Ed25519 key's PKCS#8 (RFC 8410), and is the same for all.
const ED25519_PKCS8: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];
/// First byte of an uncompressed point on P-256.
const UNCOMPRESSED: u8 = 4;

/// Why something is no key that can be used here.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Neither OKP with Ed25519 nor EC with P-256.
    #[error("a key is kty OKP with crv Ed25519 or kty EC with crv P-256, not kty {0} with crv {1}")]
    Kind(String, String),
    /// A coordinate is missing or of another length.
    #[error("{0} of the key must be 32 bytes in base64url without padding")]
    Coordinate(&'static str),
    /// A private key where a public one belongs.
    #[error("the key holds the private part d: send the public key, and take this one out of use")]
    Private,
    /// Not a private key.
    #[error("this is no Ed25519 or P-256 private key as PKCS#8 in PEM")]
    Pem,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// How a key signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// EdDSA on Ed25519.
    Ed25519,
    /// ECDSA on P-256 with SHA-256.
    Es256,
}

impl Algorithm {
    /// Names in JOSE (RFC 7518, RFC 8037, RFC 9864), the one that we write first.
    pub fn jose(self) -> &'static [&'static str] {
        match self {
            Algorithm::Ed25519 => &["EdDSA", "Ed25519"],
            Algorithm::Es256 => &["ES256"],
        }
    }

    /// Name in HTTP message signatures (RFC 9421).
    pub fn http(self) -> &'static str {
        match self {
            Algorithm::Ed25519 => "ed25519",
            Algorithm::Es256 => "ecdsa-p256-sha256",
        }
    }
}

/// A public key as it is written. What it may hold beyond this is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// `OKP` or `EC`.
    pub kty: String,
    /// `Ed25519` or `P-256`.
    #[serde(default)]
    pub crv: String,
    /// First coordinate, or the whole of an Ed25519 key.
    #[serde(default)]
    pub x: String,
    /// Second coordinate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// Name of the key; its thumbprint if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// Algorithm, for those who read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// Must not be there.
    #[serde(default, skip_serializing)]
    d: Option<String>,
}

/// A set of public keys as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl Jwks {
    /// The keys of a kind that is known here; others verify nothing here.
    pub fn known(&self) -> Vec<PublicKey> {
        let keys = self.keys.iter().map(PublicKey::from_jwk);
        keys.filter_map(Result::ok).collect()
    }
}

/// A public key, ready to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Name of the key.
    pub kid: String,
    /// How it signs.
    pub algorithm: Algorithm,
    bytes: Vec<u8>,
    /// The point of an Ed25519 key; bytes that are none, or a weak one, verify nothing.
    point: Option<VerifyingKey>,
}

impl PublicKey {
    /// Takes a JWK.
    pub fn from_jwk(jwk: &Jwk) -> Result<PublicKey, KeyError> {
        if jwk.d.is_some() {
            return Err(KeyError::Private);
        }
        let (algorithm, bytes) = match (jwk.kty.as_str(), jwk.crv.as_str()) {
            ("OKP", "Ed25519") => (Algorithm::Ed25519, coordinate("x", &jwk.x)?.to_vec()),
            ("EC", "P-256") => {
                let y = jwk.y.as_deref().unwrap_or_default();
                let mut point = vec![UNCOMPRESSED];
                point.extend(coordinate("x", &jwk.x)?);
                point.extend(coordinate("y", y)?);
                (Algorithm::Es256, point)
            }
            (kty, crv) => return Err(KeyError::Kind(kty.to_owned(), crv.to_owned())),
        };
        let mut key = PublicKey::new(algorithm, bytes);
        if let Some(kid) = &jwk.kid {
            key.kid.clone_from(kid);
        }
        Ok(key)
    }

    fn new(algorithm: Algorithm, bytes: Vec<u8>) -> PublicKey {
        let point = match algorithm {
            Algorithm::Ed25519 => bytes.as_slice().try_into().ok(),
            Algorithm::Es256 => None,
        };
        let point = point.and_then(|bytes| VerifyingKey::from_bytes(bytes).ok());
        let mut key = PublicKey {
            kid: String::new(),
            algorithm,
            bytes,
            point: point.filter(|point| !point.is_weak()),
        };
        key.kid = key.thumbprint();
        key
    }

    /// Writes it as a JWK.
    pub fn to_jwk(&self) -> Jwk {
        let (x, y) = self.coordinates();
        let (kty, crv) = match self.algorithm {
            Algorithm::Ed25519 => ("OKP", "Ed25519"),
            Algorithm::Es256 => ("EC", "P-256"),
        };
        Jwk {
            kty: kty.to_owned(),
            crv: crv.to_owned(),
            x,
            y,
            kid: Some(self.kid.clone()),
            alg: Some(self.algorithm.jose()[0].to_owned()),
            d: None,
        }
    }

    /// Thumbprint of the key (RFC 7638, SHA-256).
    pub fn thumbprint(&self) -> String {
        let (x, y) = self.coordinates();
        let members = match y {
            Some(y) => format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#),
            None => format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#),
        };
        URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
    }

    /// The key: 32 bytes of Ed25519, or 65 of an uncompressed point.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether the key's owner signed the message.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> bool {
        match (self.algorithm, &self.point) {
            (Algorithm::Ed25519, Some(point)) => Signature::from_slice(signature)
                .is_ok_and(|signature| point.verify(message, &signature).is_ok()),
            (Algorithm::Ed25519, None) => false,
            (Algorithm::Es256, _) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &self.bytes)
                .verify(message, signature)
                .is_ok(),
        }
    }

    fn coordinates(&self) -> (String, Option<String>) {
        match self.algorithm {
            Algorithm::Ed25519 => (URL_SAFE_NO_PAD.encode(&self.bytes), None),
            Algorithm::Es256 => {
                let (x, y) = self.bytes[1..].split_at(32);
                (URL_SAFE_NO_PAD.encode(x), Some(URL_SAFE_NO_PAD.encode(y)))
            }
        }
    }
}

fn coordinate(name: &'static str, text: &str) -> Result<[u8; 32], KeyError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(KeyError::Coordinate(name))
}

/// A private key, ready to sign.
pub struct SigningKey {
    public: PublicKey,
    pair: Pair,
}

enum Pair {
    Ed25519(ed25519_dalek::SigningKey),
    Es256(EcdsaKeyPair),
}

impl SigningKey {
    /// Makes a key and gives it as PEM, to keep. `openssl genpkey` makes the same.
    pub fn generate(algorithm: Algorithm) -> Result<String, KeyError> {
        let random = SystemRandom::new();
        let pkcs8 = match algorithm {
            // ring would write version 2 of PKCS#8, which OpenSSL does not read.
            Algorithm::Ed25519 => {
                let mut pkcs8 = ED25519_PKCS8.to_vec();
                pkcs8.extend(random_bytes::<32>()?);
                pkcs8
            }
            Algorithm::Es256 => {
                EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random)
                    .map_err(|_| KeyError::Random)?
                    .as_ref()
                    .to_vec()
            }
        };
        let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
        let text = STANDARD.encode(pkcs8);
        for start in (0..text.len()).step_by(64) {
            pem.push_str(&text[start..text.len().min(start + 64)]);
            pem.push('\n');
        }
        pem.push_str("-----END PRIVATE KEY-----\n");
        Ok(pem)
    }

    /// Reads the private keys of a PEM file.
    pub fn all_from_pem(text: &str) -> Result<Vec<SigningKey>, KeyError> {
        let mut keys = Vec::new();
        let mut body: Option<String> = None;
        for line in text.lines().map(str::trim) {
            match (line, &mut body) {
                ("-----BEGIN PRIVATE KEY-----", _) => body = Some(String::new()),
                ("-----END PRIVATE KEY-----", Some(base64)) => {
                    let pkcs8 = STANDARD.decode(base64).map_err(|_| KeyError::Pem)?;
                    keys.push(SigningKey::from_pkcs8(&pkcs8)?);
                    body = None;
                }
                (_, Some(base64)) => base64.push_str(line),
                (_, None) => {}
            }
        }
        if keys.is_empty() {
            return Err(KeyError::Pem);
        }
        Ok(keys)
    }

    /// Reads a private key in PEM.
    pub fn from_pem(text: &str) -> Result<SigningKey, KeyError> {
        SigningKey::all_from_pem(text)?.pop().ok_or(KeyError::Pem)
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<SigningKey, KeyError> {
        if let Ok(read) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8) {
            // ring reads the document but keeps the seed in it to itself. It stands at the same
            // place in both versions; the public key shows whether it does here.
            let seed = pkcs8
                .get(ED25519_PKCS8.len()..)
                .and_then(<[u8]>::first_chunk);
            let pair = ed25519_dalek::SigningKey::from_bytes(seed.ok_or(KeyError::Pem)?);
            let bytes = pair.verifying_key().to_bytes().to_vec();
            if bytes != read.public_key().as_ref() {
                return Err(KeyError::Pem);
            }
            return Ok(SigningKey {
                public: PublicKey::new(Algorithm::Ed25519, bytes),
                pair: Pair::Ed25519(pair),
            });
        }
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8, &random)
            .map_err(|_| KeyError::Pem)?;
        Ok(SigningKey {
            public: PublicKey::new(Algorithm::Es256, pair.public_key().as_ref().to_vec()),
            pair: Pair::Es256(pair),
        })
    }

    /// The same key under another name.
    pub fn named(mut self, kid: &str) -> SigningKey {
        kid.clone_into(&mut self.public.kid);
        self
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match &self.pair {
            Pair::Ed25519(pair) => Ok(pair.sign(message).to_bytes().to_vec()),
            Pair::Es256(pair) => pair
                .sign(&SystemRandom::new(), message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| KeyError::Random),
        }
    }
}

/// Random bytes of the system.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| KeyError::Random)?;
    Ok(bytes)
}

/// Writes a secret into a new file that only its owner may read, durably.
pub fn create_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A new identifier that nobody can guess: 128 random bits in base64url.
pub fn random_id() -> Result<String, KeyError> {
    Ok(URL_SAFE_NO_PAD.encode(random_bytes::<16>()?))
}

/// SHA-256 in base64url, as thumbprints and `ath` are written.
pub fn sha256_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_a_private_key_sign_as_ring_does() {
        let first = SigningKey::generate(Algorithm::Ed25519).unwrap();
        let body: String = first
            .lines()
            .filter(|line| !line.starts_with('-'))
            .collect();
        let second = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        for pkcs8 in [STANDARD.decode(body).unwrap(), second.as_ref().to_vec()] {
            let ring = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&pkcs8).unwrap();
            let key = SigningKey::from_pkcs8(&pkcs8).unwrap();
            assert_eq!(
                key.sign(b"a message").unwrap(),
                ring.sign(b"a message").as_ref()
            );
        }
    }

    #[test]
    fn a_key_of_small_order_verifies_nothing() {
        // With the neutral point as key it would be a signature of any message.
        let mut neutral = [0; 64];
        neutral[0] = 1;
        let key = PublicKey::new(Algorithm::Ed25519, neutral[..32].to_vec());
        assert!(!key.verify(b"anything", &neutral));
    }
}
