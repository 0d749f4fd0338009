//! Agreements, and how far their limits are used.

use serde::Serialize;
use utoipa::ToSchema;

use super::common::Money;

/// An agreement, as far as it concerns the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Agreement {
    /// Id, also the name of its book.
    pub id: String,
    /// Title.
    pub title: String,
    /// Version in effect.
    pub version: u32,
    /// Day from which it is in effect.
    #[schema(format = Date)]
    pub effective_from: String,
    /// Currency of all amounts, ISO 4217.
    pub currency: String,
    /// The day that is open; it moves when the day is closed.
    #[schema(format = Date)]
    pub business_date: String,
    /// The caller's party.
    pub party: String,
    /// All parties.
    pub parties: Vec<Party>,
    /// Least amount of a loan.
    pub minimum_amount: Money,
    /// Most of it.
    pub maximum_amount: Money,
    /// Terms that are offered, in months.
    pub terms_months: Vec<u16>,
    /// Fields of an application beyond `amount`, `term_months` and `region`.
    pub fields: Vec<Field>,
}

/// A party of an agreement.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Party {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it does: `lead`, `lender`, `platform`, `servicer`, `guarantor`.
    pub roles: Vec<String>,
}

/// A field of an application.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Field {
    /// Name.
    pub name: String,
    /// `money`, `rate`, `integer`, `date` or `text`.
    pub kind: String,
    /// True if the caller's party may see its values.
    pub visible: bool,
}

/// A limit, and how much of it is used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Limit {
    /// Clause of the agreement.
    pub clause: String,
    /// The lender it binds; without one, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lender: Option<String>,
    /// What is added up: `day`, `total`, `region`, `borrower`, `partner`.
    pub per: String,
    /// The one region that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The cap in this book: slices of the limit that came from other books or went to them count.
    pub cap: Money,
    /// What is used of it; where each region or borrower counts by itself, there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Money>,
}
