//! Events, and where they are sent.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::webhooks::Scheme;

/// An event that concerns the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its number in the book; the cursor of the next call.
    pub number: u64,
    /// Stable name, as `loan.disbursed`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Business date.
    #[schema(format = Date)]
    pub day: String,
    /// Key of the application or loan that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Key under which it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Where events are to be sent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// Where to.
    #[schema(example = "https://example.com/events")]
    pub url: String,
    /// Names of what is wanted, as `loan.disbursed` [default: all events; `sale.unmatched`, which is
    /// none, only where it is named].
    #[serde(default)]
    pub events: Vec<String>,
    /// Number of the last event that is not sent [default: the last one there is].
    #[schema(format = "uint64")]
    pub after: Option<u64>,
    /// How they are signed: `v1a` by a key of the webhook's own, `v1` with a shared secret.
    #[serde(default)]
    pub scheme: Scheme,
}

/// Where events are sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Where to.
    pub url: String,
    /// Names of what is wanted; none are all events.
    pub events: Vec<String>,
    /// How they are signed.
    pub scheme: Scheme,
    /// With `v1a`, verifies what is sent: `whpk_` and an Ed25519 key in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// With `v1`, verifies what is sent: `whsec_` and 32 bytes in base64. It is shown once, in the
    /// answer to the call that adds the webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// `active` or `disabled`.
    pub state: String,
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An event on its way.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Number of the event.
    pub event: u64,
    /// Name of the event.
    #[serde(rename = "type")]
    pub type_: String,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried last, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<i64>,
    /// When it is tried next, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<i64>,
    /// Status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
