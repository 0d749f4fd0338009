//! Personal data, and who looked at it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

/// A person, as its party describes it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Whatever the party needs to know; nobody else sees it.
    pub data: serde_json::Map<String, Json>,
}

/// That a person's data is kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonStored {
    /// What stands for the person in books.
    pub token: String,
}

/// That a person's data was looked at or changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Access {
    /// When (RFC 3339).
    #[schema(format = DateTime)]
    pub at: String,
    /// The client that did it.
    pub client: String,
    /// `stored`, `read` or `erased`.
    pub what: String,
}
