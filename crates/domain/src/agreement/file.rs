//! The agreement as a document: what can be written, and what it says. Its product has a file of
//! its own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::product::{Product, whole};
use crate::calendar::Day;
use crate::condition::ConditionText;
use crate::field::Field;
use crate::money::{Currency, Money, Rate};
use crate::party::Party;

/// A cooperation agreement between lenders, a platform and, if there is one, a guarantor.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementFile {
    /// Version of this file format: 1.
    pub format: u32,
    /// Short name of the cooperation, also the name of its book.
    pub id: String,
    /// Version of the agreement, from 1; a change needs the next number.
    pub version: u32,
    /// Title for people.
    pub title: String,
    /// First day on which this version governs new loans.
    pub effective_from: Day,
    /// Currency of all amounts, ISO 4217.
    pub currency: Currency,
    /// Rulebook of the regulator that the cooperation keeps, for example `cn`.
    pub rulebook: Option<String>,
    /// The parties.
    pub party: Vec<Party>,
    /// Who does what.
    pub roles: Roles,
    /// Data of an application beyond `amount`, `term_months` and `region`.
    #[serde(default)]
    pub field: Vec<Field>,
    /// The loan that is offered.
    pub product: Product,
    /// Which applications belong to this book; without it, all.
    pub split: Option<BookSplit>,
    /// Applications that are declined whatever lenders say of them.
    #[serde(default)]
    pub ineligible: Vec<Reason>,
    /// How the lenders that accept fund a loan together.
    pub funding: Funding,
    /// Caps on what is lent.
    #[serde(default)]
    pub limit: Vec<Limit>,
    /// What borrowers pay beyond interest.
    #[serde(default)]
    pub fee: Vec<Fee>,
    /// What lenders pay the platform.
    pub service_fee: Option<ServiceFee>,
    /// Who bears goodwill credits to borrowers, by party id; without one, the servicer.
    pub goodwill_borne_by: Option<String>,
    /// When interest is income.
    #[serde(default)]
    pub income: Income,
    /// Cover against losses.
    pub guarantee: Option<Guarantee>,
    /// Classes of loans by days past due, mildest first.
    pub class: Vec<Class>,
    /// When a loan is written off.
    pub charge_off: ChargeOff,
    /// When loans that are over leave the book's memory for an archive; without it, never.
    pub archive: Option<Archive>,
    /// How positions between parties are paid.
    pub settlement: Settlement,
}

/// Who does what, by party id.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The lender that leads.
    pub lead: String,
    /// Brings the applications.
    pub platform: String,
    /// Pays loans out to borrowers and collects from them.
    pub servicer: String,
}

/// A condition with the reason that is given when it holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Stable code.
    pub code: String,
    /// The reason in words that an applicant may read.
    pub reason: String,
    /// When it applies: a test for each field, all of which must hold.
    pub when: ConditionText,
}

/// How the lenders that accept fund a loan together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// What shares follow.
    pub mode: FundingMode,
    /// Fewest lenders of a loan.
    #[serde(default = "one")]
    pub minimum_lenders: u8,
    /// Lenders in the order in which leftover minor units are given out.
    pub leftover_order: Vec<String>,
    /// The lenders; in mode `in_order`, in the order in which they are served.
    pub lender: Vec<Lender>,
}

fn one() -> u8 {
    1
}

/// What shares follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FundingMode {
    /// Shares written in the agreement, in proportion among the lenders that accept.
    Fixed,
    /// Shares in proportion to the amounts that the decisions offer.
    Offers,
    /// Each lender in turn takes as much as it offers.
    InOrder,
}

/// A lender's part in the funding.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lender {
    /// The party.
    pub party: String,
    /// Its share in mode `fixed`.
    pub share: Option<Rate>,
    /// It does not take part in a loan with less than this share.
    #[serde(default)]
    pub minimum_share: Rate,
    /// A yield that is its price whatever its decision says; the lead takes what is left of the
    /// borrower's interest.
    #[serde(rename = "yield")]
    pub fixed_yield: Option<Rate>,
    /// It never takes more than this share of a loan.
    #[serde(default = "whole")]
    pub maximum_share: Rate,
}

/// A cap on what a lender, or all together, may lend.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Clause of the agreement, named in refusals.
    pub clause: String,
    /// The lender it binds; without one it binds the sum of all lenders.
    pub lender: Option<String>,
    /// What is added up.
    pub per: LimitScope,
    /// With `per = "region"`: the one region it is for; without, each region by itself.
    pub region: Option<String>,
    /// The cap.
    pub amount: Money,
    /// The book where the limit is at home, if not this one: here it has no room of its own, only
    /// slices that come from there.
    pub home: Option<String>,
}

impl Limit {
    /// True for a limit of another version that is this one, whatever its amount.
    pub fn is_same(&self, other: &Limit) -> bool {
        (&self.clause, &self.lender, self.per, &self.region)
            == (&other.clause, &other.lender, other.per, &other.region)
    }

    /// What the limit is for each of, if it is.
    pub fn each(&self) -> Option<&'static str> {
        match self.per {
            LimitScope::Region if self.region.is_none() => Some("region"),
            LimitScope::Borrower => Some("borrower"),
            _ => None,
        }
    }

    /// The region or borrower that a loan counts for, if the limit is for each; else the empty text.
    pub fn subject<'a>(&self, region: &'a str, borrower: Option<&'a str>) -> &'a str {
        match (self.each(), self.per) {
            (None, _) => "",
            (_, LimitScope::Borrower) => borrower.unwrap_or_default(),
            _ => region,
        }
    }
}

/// Which part of an agreement's applications a book takes, if the agreement is split over books.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BookSplit {
    /// The part, from 1.
    pub part: u16,
    /// Number of parts.
    pub of: u16,
}

impl BookSplit {
    /// The part, from 1, that the applications of a key belong to: the borrower's, or the
    /// application's own if it names no borrower.
    pub fn part_of(&self, key: &str) -> u16 {
        let hash = blake3::hash(key.as_bytes());
        let start = hash.as_bytes().first_chunk().copied();
        let number = u64::from_le_bytes(start.expect("a hash has more than eight bytes"));
        1 + (number % u64::from(self.of)) as u16
    }
}

/// What a limit adds up. All but `day` count principal outstanding and offers that stand open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// What is offered on one business date and not given back on it.
    Day,
    /// Everything under the agreement.
    Total,
    /// Each region.
    Region,
    /// Each borrower.
    Borrower,
    /// Everything through the platform as partner.
    Partner,
}

/// A fee that the borrower pays.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// When it is taken.
    pub at: FeeTime,
    /// Share of what `of` says.
    #[serde(default)]
    pub rate: Rate,
    /// What the rate is taken of.
    #[serde(default)]
    pub of: FeeBase,
    /// Fixed part.
    pub amount: Option<Money>,
    /// Least of both together.
    pub minimum: Option<Money>,
    /// Most of both together.
    pub maximum: Option<Money>,
    /// `lenders`, by their shares of principal, or the party that earns it.
    pub earned_by: String,
}

/// What a fee's rate is taken of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeeBase {
    /// The amount that the fee is about: what is disbursed, due, overdue or prepaid.
    #[default]
    Amount,
    /// The principal disbursed.
    Principal,
}

/// When a fee is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeeTime {
    /// Kept back from the disbursement.
    Disbursement,
    /// Once for each instalment that is unpaid after the grace days.
    Overdue,
    /// With each instalment.
    Instalment,
    /// On principal that is prepaid.
    Prepayment,
}

/// What lenders pay out of what they receive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceFee {
    /// Share of the interest received.
    #[serde(default)]
    pub of_interest: Rate,
    /// Share of each payment collected.
    #[serde(default)]
    pub of_collection: Rate,
    /// Least for each payment collected.
    pub minimum_per_collection: Option<Money>,
    /// The party that earns it.
    pub earned_by: String,
}

/// When interest is income.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Income {
    /// How interest becomes income.
    #[serde(default)]
    pub recognition: Recognition,
    /// From this day past due on, a loan accrues nothing more; without one, loans always accrue.
    pub non_accrual_days: Option<u16>,
    /// What such a loan had accrued and not received is taken back.
    #[serde(default)]
    pub reverse_accrued: bool,
}

/// How interest becomes income.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recognition {
    /// Day by day, as it is earned.
    #[default]
    Accrual,
    /// When it is received.
    Cash,
}

/// Cover against losses: at charge-off the guarantor pays the lenders.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// The guarantor.
    pub party: String,
    /// Part of the principal written off that is covered.
    pub covers: Rate,
    /// Most that is paid in all, as a part of what was ever disbursed.
    pub pool: Rate,
    /// Who is served first by what is collected afterwards.
    pub recoveries: Recoveries,
}

/// Who is served first by what is collected after a charge-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recoveries {
    /// The guarantor, until it has back what it paid.
    GuarantorFirst,
    /// All in proportion to what they lost.
    ProRata,
}

/// A class of loans.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Name, for example `normal` or `substandard`.
    pub name: String,
    /// First day past due that belongs to it.
    pub from_days: u16,
    /// Loss allowance on principal outstanding.
    pub allowance: Rate,
}

/// When a loan is written off.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeOff {
    /// Days past due.
    pub days_past_due: u16,
}

/// When loans that are over leave the book's memory for an archive.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Days after the last thing that was done to a repaid loan.
    pub after_days: u16,
}

/// How positions between parties are paid.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// What is netted.
    pub netting: Netting,
    /// Business days from the closing of a window to its payment; weekends are no business days.
    #[serde(default = "next_day")]
    pub lag_business_days: u16,
}

fn next_day() -> u16 {
    1
}

/// What is netted within a settlement window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Netting {
    /// Each pair of parties pays its difference.
    Bilateral,
    /// Each party pays or receives one amount.
    Multilateral,
}
