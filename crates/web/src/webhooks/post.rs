//! One message: how it is signed and sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use super::address::PublicOnly;
use crate::access::{KeyError, SigningKey};

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What sends. It follows no redirects and knows no proxies: both would call where nobody has
/// looked at the address.
pub(super) fn agent(allow_private: bool) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
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

/// Sends a message and gives the status of the answer, or what went wrong.
pub(super) fn post(
    http: &ureq::Agent,
    url: &str,
    key: &SigningKey,
    id: &str,
    timestamp: i64,
    body: &str,
) -> Result<u16, String> {
    let signature = signature(key, id, timestamp, body).map_err(|error| error.to_string())?;
    let sent = http
        .post(url)
        .content_type("application/json")
        .header("webhook-id", id)
        .header("webhook-timestamp", timestamp.to_string())
        .header("webhook-signature", signature)
        .send(body);
    match sent {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(ureq::Error::Other(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
