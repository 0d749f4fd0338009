//! Content-Digest (RFC 9530).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue};
use ring::digest::{Algorithm, SHA256, SHA512, digest};
use sfv::{BareItem, Dictionary, ListEntry, Parser};

use crate::message::joined;

/// Name of the field.
pub const CONTENT_DIGEST: &str = "content-digest";

/// Algorithms that are accepted; the first is the one that we make.
static ALGORITHMS: [(&str, &Algorithm); 2] = [("sha-256", &SHA256), ("sha-512", &SHA512)];

/// Digest of a body, as the field's value.
pub fn content_digest(body: &[u8]) -> HeaderValue {
    let (name, algorithm) = ALGORITHMS[0];
    let value = format!("{name}=:{}:", STANDARD.encode(digest(algorithm, body)));
    HeaderValue::try_from(value).expect("base64 is a valid value")
}

/// Checks a body against the field; a body of no bytes needs none. Every digest that is of a
/// known algorithm must fit, and one must be.
pub fn verify(headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let Some(value) = joined(headers, CONTENT_DIGEST) else {
        return match body {
            [] => Ok(()),
            _ => Err("the body has no Content-Digest: send sha-256 or sha-512 of it".to_owned()),
        };
    };
    let digests: Dictionary = Parser::new(value.as_bytes())
        .parse()
        .map_err(|error| format!("Content-Digest is not a dictionary (RFC 9651): {error}"))?;
    let mut known = false;
    for (name, algorithm) in &ALGORITHMS {
        let Some(entry) = digests.get(*name) else {
            continue;
        };
        known = true;
        let actual = digest(algorithm, body);
        let sent = match entry {
            ListEntry::Item(item) => match &item.bare_item {
                BareItem::ByteSequence(bytes) => Some(bytes.as_slice()),
                _ => None,
            },
            ListEntry::InnerList(_) => None,
        };
        if sent != Some(actual.as_ref()) {
            return Err(format!(
                "{name} of the body is :{}:, but Content-Digest says otherwise: was the body \
                 changed or written again after it was digested?",
                STANDARD.encode(actual)
            ));
        }
    }
    if known {
        Ok(())
    } else {
        Err("Content-Digest has neither sha-256 nor sha-512".to_owned())
    }
}
