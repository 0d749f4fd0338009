//! One message: how it is signed and sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::address::PublicOnly;
use crate::access::{KeyError, SigningKey};

/// What sends. It follows no redirects and knows no proxies: both would call where nobody has
/// looked at the address.
pub(crate) fn agent(allow_private: bool, patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(patience))
        .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
        .build();
    let connector = DefaultConnector::new();
    if allow_private {
        ureq::Agent::with_parts(config, connector, DefaultResolver::default())
    } else {
        ureq::Agent::with_parts(config, connector, PublicOnly::default())
    }
}

/// The value of `webhook-signature`: Ed25519 over id, time and body with dots between them.
pub fn signature(
    key: &SigningKey,
    id: &str,
    timestamp: i64,
    body: &str,
) -> Result<String, KeyError> {
    let signed = format!("{id}.{timestamp}.{body}");
    Ok(format!(
        "v1a,{}",
        STANDARD.encode(key.sign(signed.as_bytes())?)
    ))
}

/// Sends a message and gives status and body of the answer, or what went wrong.
pub(crate) fn post(
    http: &ureq::Agent,
    url: &str,
    signature: &str,
    (id, timestamp): (&str, i64),
    body: &str,
) -> Result<(u16, ureq::Body), String> {
    let sent = http
        .post(url)
        .content_type("application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature)
        .send(body);
    match sent {
        Ok(answer) => Ok((answer.status().as_u16(), answer.into_body())),
        Err(ureq::Error::Other(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_published_message_is_signed_as_published() {
        let vector = include_str!("../../../../docs/spec/webhooks.json");
        let vector: Value = serde_json::from_str(vector).unwrap();
        let text = |name: &str| vector[name].as_str().unwrap();
        let key = SigningKey::from_pem(text("private_key")).unwrap();
        let timestamp = text("webhook-timestamp").parse().unwrap();
        let signature = signature(&key, text("webhook-id"), timestamp, text("body"));
        assert_eq!(signature.unwrap(), text("webhook-signature"));
        let public = format!("whpk_{}", STANDARD.encode(key.public().bytes()));
        assert_eq!(public, text("public_key"));
    }
}
