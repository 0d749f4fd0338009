//! Applications: what is asked, what people at lenders decide, and what is offered.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use utoipa::ToSchema;

use super::common::{Money, key, some_key};

/// An application as it is submitted.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplicationRequest {
    /// The sender's key of the application, which also names the loan; 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "A-2024-000123")]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// The sender's key of the borrower; without one, nobody else's loans count as this
    /// borrower's.
    #[serde(
        default,
        deserialize_with = "some_key",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(min_length = 1, max_length = 64)]
    pub borrower: Option<String>,
    /// Amount asked for.
    pub amount: Money,
    /// Term in months.
    #[schema(minimum = 1)]
    pub term_months: u16,
    /// Region, as in the agreement's territories.
    #[schema(example = "NJ")]
    pub region: String,
    /// The agreement's own fields by name: `money` as an object like `amount`, `rate` and `date`
    /// as text, `integer` as a number, `text` as text; null or absent where not known.
    #[serde(default)]
    pub fields: BTreeMap<String, Json>,
}

/// An application and what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Application {
    /// The sender's key.
    pub reference: String,
    /// The agreement.
    pub agreement: String,
    /// Version of the agreement that governs it.
    pub agreement_version: u32,
    /// `declined`, `referred`, `offered`, `lapsed`, `withdrawn` or `disbursed`.
    pub state: String,
    /// Business date of the decision.
    #[schema(format = Date)]
    pub decided_on: String,
    /// Values that the caller may see.
    pub fields: BTreeMap<String, Json>,
    /// Why it was declined, in words that an applicant may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The decisions that the caller may see: a lender's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// For whose people it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
    /// What is offered, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
}

/// An application waits for people at lenders that referred it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Referral {
    /// Lenders whose people have not decided: the platform sees all, a lender itself.
    pub lenders: Vec<String>,
    /// Last business date on which they can.
    #[schema(format = Date)]
    pub valid_to: String,
}

/// What a person at a lender decides on an application that waits for it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnderwritingRequest {
    /// Approved or declined.
    pub outcome: UnderwritingOutcome,
    /// To approve: the most that the lender funds; no more than what its policy would offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Money>,
    /// To approve: its yearly rate; no less than its policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "12.5%")]
    pub rate: Option<String>,
    /// To decline: codes of its policy, one at least.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What a person decides.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnderwritingOutcome {
    /// The lender funds up to `maximum` at `rate`.
    Approve,
    /// It does not, for `reasons`.
    Decline,
}

/// What a lender decided.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Decision {
    /// The lender.
    pub lender: String,
    /// Version of its policy.
    pub policy_version: String,
    /// `approve`, `decline` or `refer`.
    pub outcome: String,
    /// Points of its scorecard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
    /// The most that it would fund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Money>,
    /// Its yearly rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Why it declines or refers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The clause or rule that keeps it out though it would lend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barred_by: Option<String>,
}

/// A reason with its stable code.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reason {
    /// Code.
    pub code: String,
    /// In words that an applicant may read.
    pub reason: String,
}

/// An offer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Offer {
    /// Amount.
    pub amount: Money,
    /// The borrower's yearly rate.
    pub rate: String,
    /// Last business date on which it can be taken.
    #[schema(format = Date)]
    pub valid_to: String,
    /// Who funds it.
    pub parts: Vec<Part>,
}

/// A lender's part in a loan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Part {
    /// The lender.
    pub lender: String,
    /// What it funds.
    pub amount: Money,
    /// The yearly rate that it asks.
    pub rate: String,
}
