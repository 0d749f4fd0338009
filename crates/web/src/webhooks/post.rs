//! One message: how it is signed and sent.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Response, header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use tandem_client::TRACEPARENT;
use tandem_client::decision::WEBHOOK_SIGNATURE;
use tandem_client::key::{KeyError, SigningKey, random_bytes};
use ureq::config::ConfigBuilder;
use ureq::typestate::AgentScope;
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::DefaultConnector;

use utoipa::ToSchema;

use super::address::PublicOnly;
use crate::trace::Sending;

const WEBHOOK_ID: &str = "webhook-id";

/// What stands before a shared secret, and before a public key, in base64.
pub(super) const SECRET: &str = "whsec_";
const PUBLIC: &str = "whpk_";

/// How messages are signed, under the names that Standard Webhooks has for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Ed25519: what verifies is public.
    #[default]
    V1a,
    /// HMAC-SHA256: both sides have one secret.
    V1,
}

/// What signs messages.
pub enum WebhookKey {
    /// For [`Scheme::V1a`].
    Key(Box<SigningKey>),
    /// For [`Scheme::V1`].
    Secret(hmac::Key),
}

impl WebhookKey {
    /// Reads what signs: a private key in PEM, or a shared secret as the receiver has it.
    pub fn read(text: &str) -> Result<WebhookKey, KeyError> {
        let Some(secret) = text.strip_prefix(SECRET) else {
            return Ok(WebhookKey::Key(Box::new(SigningKey::from_pem(text)?)));
        };
        let secret = STANDARD.decode(secret).map_err(|_| KeyError::Pem)?;
        Ok(WebhookKey::Secret(hmac::Key::new(
            hmac::HMAC_SHA256,
            &secret,
        )))
    }

    /// How it signs.
    pub fn scheme(&self) -> Scheme {
        match self {
            WebhookKey::Key(_) => Scheme::V1a,
            WebhookKey::Secret(_) => Scheme::V1,
        }
    }

    /// The public key that verifies what is signed: `whpk_` and 32 bytes in base64.
    pub fn public_key(&self) -> Option<String> {
        match self {
            WebhookKey::Key(key) => {
                Some(format!("{PUBLIC}{}", STANDARD.encode(key.public().bytes())))
            }
            WebhookKey::Secret(_) => None,
        }
    }

    /// The value of `webhook-signature`.
    pub fn signature(&self, id: &str, timestamp: i64, body: &str) -> Result<String, KeyError> {
        match self {
            WebhookKey::Key(key) => signature(key, id, timestamp, body),
            WebhookKey::Secret(key) => {
                let tag = hmac::sign(key, signed(id, timestamp, body).as_bytes());
                Ok(format!("v1,{}", STANDARD.encode(tag)))
            }
        }
    }
}

/// A shared secret that nobody else has: `whsec_` and 32 bytes in base64.
pub(super) fn new_secret() -> Result<String, KeyError> {
    let secret = STANDARD.encode(random_bytes::<32>()?);
    Ok(format!("{SECRET}{secret}"))
}

/// How the service calls others. It follows no redirects and knows no proxies: both would call where
/// nobody has looked at the address.
pub(crate) fn config(patience: Duration) -> ConfigBuilder<AgentScope> {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .timeout_global(Some(patience))
        .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
}

/// What sends.
pub(crate) fn agent(allow_private: bool, patience: Duration) -> ureq::Agent {
    let config = config(patience).build();
    let connector = DefaultConnector::new();
    if allow_private {
        ureq::Agent::with_parts(config, connector, DefaultResolver::default())
    } else {
        ureq::Agent::with_parts(config, connector, PublicOnly::default())
    }
}

/// The value of `webhook-signature`, by a key.
pub fn signature(
    key: &SigningKey,
    id: &str,
    timestamp: i64,
    body: &str,
) -> Result<String, KeyError> {
    let signature = key.sign(signed(id, timestamp, body).as_bytes())?;
    Ok(format!("v1a,{}", STANDARD.encode(signature)))
}

/// What is signed: id, time and body with dots between them.
fn signed(id: &str, timestamp: i64, body: &str) -> String {
    format!("{id}.{timestamp}.{body}")
}

/// The fields of a message.
pub(crate) fn fields(id: &str, timestamp: i64, signature: &str) -> HeaderMap {
    let value = |text: &str| HeaderValue::try_from(text).expect("ids and base64 are ASCII");
    let mut fields = HeaderMap::new();
    let json = HeaderValue::from_static("application/json");
    fields.insert(header::CONTENT_TYPE, json);
    fields.insert(WEBHOOK_ID, value(id));
    fields.insert("webhook-timestamp", timestamp.into());
    fields.insert(WEBHOOK_SIGNATURE, value(signature));
    fields
}

/// Sends a message, in the trace of the call that it is about, and gives the answer, or what went
/// wrong.
pub(crate) fn post(
    http: &ureq::Agent,
    url: &str,
    fields: &HeaderMap,
    body: &str,
    sending: Option<Sending>,
) -> Result<Response<ureq::Body>, String> {
    let mut request = http.post(url);
    for (name, value) in fields {
        request = request.header(name, value);
    }
    if let Some(sending) = &sending {
        request = request.header(TRACEPARENT, sending.told.to_string());
    }
    let sent = request.send(body);
    if let Some(sending) = &sending {
        let id = fields.get(WEBHOOK_ID).and_then(|id| id.to_str().ok());
        let status = match &sent {
            Ok(answer) => Ok(answer.status().as_u16()),
            Err(ureq::Error::Timeout(_)) => Err("timeout"),
            Err(ureq::Error::HostNotFound) => Err("host_not_found"),
            Err(_) => Err("not_sent"),
        };
        sending.record(id.unwrap_or_default(), url, status);
    }
    match sent {
        Ok(answer) => Ok(answer),
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
        let timestamp = text("webhook-timestamp").parse().unwrap();
        for (secret, signature) in [
            ("private_key", "webhook-signature"),
            ("secret", "webhook-signature-v1"),
        ] {
            let key = WebhookKey::read(text(secret)).unwrap();
            let signed = key.signature(text("webhook-id"), timestamp, text("body"));
            assert_eq!(signed.unwrap(), text(signature));
        }
        let key = WebhookKey::read(text("private_key")).unwrap();
        assert_eq!(key.public_key().unwrap(), text("public_key"));
    }
}
