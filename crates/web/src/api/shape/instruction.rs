//! What is to be done to a loan, one by one or in a stream, and what came of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Money, key};
use crate::problem::Problem;

/// A payment of the borrower that the servicer received.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequest {
    /// The sender's key of the payment, 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80, example = "P-2024-000777")]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// Key of the loan; in a bulk stream only, elsewhere the address names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loan: Option<String>,
    /// What was received.
    pub amount: Money,
    /// Day on which it was received [default: the business date].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Date, example = "2024-03-15")]
    pub value_date: Option<String>,
}

/// Anything else that is done to a loan.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstructionRequest {
    /// The sender's key of the instruction, 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80)]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// What to do, in words, as for `tandem instruct`: `waive fee 50.00 CNY`, `pause 2 interest`,
    /// `sell 50% river cloud 98%`, `charge-off`.
    #[schema(example = "waive fee 50.00 CNY")]
    pub instruction: String,
    /// Value date [default: the business date].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    pub value_date: Option<String>,
}

/// That an instruction is taken back.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReversalRequest {
    /// The sender's key of the reversal, 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80)]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// Key of the payment or instruction.
    pub of: String,
}

/// What became of a payment, an instruction, or a line of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Its key.
    pub reference: String,
    /// `done`, or `known` if it had been carried out before, word for word the same; `unmatched` if it
    /// is a sale that waits for its other side to instruct the same.
    pub outcome: String,
}

/// What became of a line of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineResult {
    /// Number of the line, from 1.
    pub line: u64,
    /// Key of the application or payment, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Status that the same call alone would have had.
    pub status: u16,
    /// State of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// A sale that waits for one of its sides to instruct what the other has.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UnmatchedSale {
    /// The caller's key, if the caller has instructed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Key of the loan.
    pub loan: String,
    /// Id of the lender that sells.
    pub seller: String,
    /// Id of the lender that buys.
    pub buyer: String,
    /// Id of the side that it waits for.
    pub waits_for: String,
    /// Part of what the seller holds.
    pub part: String,
    /// Price of the principal.
    pub price: String,
    /// The sale in words: whoever agrees instructs the same, with the same value date.
    #[schema(example = "sell 50.00% river cloud 98.00%")]
    pub instruction: String,
    /// Value date.
    #[schema(format = Date)]
    pub value_date: String,
    /// Last business date on which it waits.
    #[schema(format = Date)]
    pub valid_to: String,
    /// Principal that is sold, as the loan stands now.
    pub outstanding: Money,
    /// Days for which the loan is past due.
    pub days_past_due: i32,
}
