//! The caller's ledger, and settlement.

use serde::Serialize;
use utoipa::ToSchema;

use super::common::Money;

/// A line of the caller's ledger.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Posting {
    /// Number of the entry in the book.
    pub entry: u64,
    /// Number of the event that made it.
    pub event: u64,
    /// Business date.
    #[schema(format = Date)]
    pub day: String,
    /// What the entry was made for.
    pub kind: String,
    /// Key of the loan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loan: Option<String>,
    /// Number of the account.
    pub account: u16,
    /// Name of the account.
    pub account_name: String,
    /// The other party of an inter-party account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// Debits are positive, credits negative.
    pub amount: Money,
}

/// Balance of an account of the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Balance {
    /// Number of the account.
    pub account: u16,
    /// Name of the account.
    pub account_name: String,
    /// The other party of an inter-party account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// Debits are positive, credits negative.
    pub balance: Money,
}

/// A line of a statement: an account over some days.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatementLine {
    /// Number of the account.
    pub account: u16,
    /// Name of the account.
    pub account_name: String,
    /// The other party of an inter-party account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// Balance before the first day.
    pub opening: Money,
    /// Sum of the debits.
    pub debits: Money,
    /// Sum of the credits, as a positive amount.
    pub credits: Money,
    /// Balance after the last day.
    pub closing: Money,
}

/// What a settlement window says of the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Settlement {
    /// The business date whose obligations are settled.
    #[schema(format = Date)]
    pub window: String,
    /// When it is paid.
    #[schema(format = Date)]
    pub settle_on: String,
    /// `planned` or `settled`.
    pub state: String,
    /// What is owed, gross.
    pub obligations: Vec<Transfer>,
    /// What is paid, net.
    pub transfers: Vec<Transfer>,
}

/// An amount that one party pays another.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Transfer {
    /// Who pays.
    pub from: String,
    /// Who receives.
    pub to: String,
    /// How much.
    pub amount: Money,
}
