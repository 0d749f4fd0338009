//! A book as a whole: closing its days, and handing it over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::Money;

/// That a business date is closed.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// The last day to close: the business date, or in a sandbox a later one.
    #[schema(format = Date, example = "2024-03-15")]
    pub day: String,
}

/// What a day close left.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Close {
    /// The day that was closed.
    #[schema(format = Date)]
    pub day: String,
    /// The day that is open now.
    #[schema(format = Date)]
    pub business_date: String,
    /// Active loans.
    pub active_loans: u32,
    /// Principal outstanding.
    pub outstanding: Money,
    /// Digest of the book, BLAKE3 in hexadecimal digits.
    pub digest: String,
}

/// Which node is to have the book.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoverRequest {
    /// Name of the node.
    pub node: String,
    /// Where callers reach it.
    #[schema(example = "https://b.example.com")]
    pub address: String,
}
