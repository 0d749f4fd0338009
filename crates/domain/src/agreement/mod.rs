//! The cooperation agreement: the document that parties sign (`file.rs`, and `product.rs` for the
//! loan), and what it means once its names are resolved (`read.rs` does that and finds what is wrong).

mod file;
mod product;
mod read;

pub use file::*;
pub use product::*;
pub(crate) use read::is_short_name;

use crate::condition::{Condition, Scope};
use crate::document::{Document, Problem};
use crate::field::STANDARD;
use crate::money::{Amount, Currency, Rate, Rounding};
use crate::party::{Party, PartyId};

/// The most classes an agreement can have.
pub const MAX_CLASSES: usize = 8;

/// Who earns a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earner {
    /// The lenders, by their shares of principal.
    Lenders,
    /// One party.
    Party(PartyId),
}

/// A fee with its names resolved.
#[derive(Clone, Copy, Debug)]
pub struct FeeTerms {
    /// What the rate is taken of.
    pub of: FeeBase,
    /// Share of the base.
    pub rate: Rate,
    /// Fixed part.
    pub amount: Amount,
    /// Least of the two together.
    pub minimum: Amount,
    /// Most of the two together.
    pub maximum: Amount,
    /// Who earns it.
    pub earner: Earner,
}

impl FeeTerms {
    /// The fee on a base.
    pub fn on(&self, base: Amount, rounding: Rounding) -> Amount {
        let fee = self.amount + base.at(self.rate, rounding);
        fee.clamp(self.minimum, self.maximum)
    }

    /// What the rate is taken of: the amount that the fee is about, or the principal disbursed.
    pub fn base(&self, amount: Amount, principal: Amount) -> Amount {
        match self.of {
            FeeBase::Amount => amount,
            FeeBase::Principal => principal,
        }
    }
}

/// Fees that arise in the life of a loan.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoanFees {
    /// On an overdue instalment.
    pub late: Option<FeeTerms>,
    /// On each instalment.
    pub instalment: Option<FeeTerms>,
    /// On principal that is prepaid.
    pub prepayment: Option<FeeTerms>,
    /// What the lenders owe for each payment that is collected.
    pub collection: Option<FeeTerms>,
}

/// A signed agreement: the document, and its names resolved to places.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// As written.
    pub file: AgreementFile,
    /// The lenders in leftover order; every list of shares follows it.
    pub lenders: Vec<PartyId>,
    /// Place in [`Agreement::lenders`] of each lender in the order in which it is served.
    pub service_order: Vec<usize>,
    /// The lenders' funding terms, in the order of [`Agreement::lenders`].
    pub funding: Vec<Lender>,
    /// Place of the lender that leads in [`Agreement::lenders`].
    pub lead: usize,
    /// Brings the applications.
    pub platform: PartyId,
    /// Disburses and collects.
    pub servicer: PartyId,
    /// Covers losses.
    pub guarantor: Option<PartyId>,
    /// Earns the service fee.
    pub service_fee: Option<(PartyId, Rate)>,
    /// Fees kept back from the disbursement.
    pub disbursement_fees: Vec<FeeTerms>,
    /// Fees in the life of a loan.
    pub loan_fees: LoanFees,
    /// Who bears goodwill credits.
    pub goodwill: PartyId,
    /// Which lender (place in [`Agreement::lenders`]) each limit binds.
    pub limit_lenders: Vec<Option<usize>>,
    /// When an application is ineligible.
    pub ineligible: Vec<Condition>,
    /// All values of an application, standard fields first.
    pub scope: Scope,
}

impl Agreement {
    /// The limits, each with the lender that it binds, if it binds one.
    pub fn limits(&self) -> impl Iterator<Item = (&Limit, Option<PartyId>)> {
        let bound = self.limit_lenders.iter();
        let bound = bound.map(|place| place.map(|place| self.lenders[place]));
        self.file.limit.iter().zip(bound)
    }

    /// Reads an agreement and finds everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Agreement, Vec<Problem>> {
        let document = Document::parse(text).map_err(|problem| vec![problem])?;
        let file: AgreementFile = document.read().map_err(|problem| vec![problem])?;
        read::resolve(&document, &file)
    }

    /// A party by its id.
    pub fn party_id(&self, id: &str) -> Option<PartyId> {
        read::place_of(&self.file.party, id)
    }

    /// A party's entry.
    pub fn party(&self, party: PartyId) -> &Party {
        &self.file.party[party.index()]
    }

    /// All parties.
    pub fn parties(&self) -> impl Iterator<Item = (PartyId, &Party)> {
        self.file
            .party
            .iter()
            .enumerate()
            .map(|(index, party)| (PartyId(index as u8), party))
    }

    /// True if the lenders but the lead have fixed yields.
    pub fn has_yields(&self) -> bool {
        self.funding
            .iter()
            .any(|lender| lender.fixed_yield.is_some())
    }

    /// Currency of all amounts.
    pub fn currency(&self) -> Currency {
        self.file.currency
    }

    /// The place of the class for a number of days past due.
    pub fn class_of(&self, days_past_due: i32) -> usize {
        self.file
            .class
            .iter()
            .rposition(|class| i32::from(class.from_days) <= days_past_due)
            .unwrap_or(0)
    }

    /// True if a lender (by party id) may see the value at `place`.
    pub fn may_see(&self, lender: &str, place: usize) -> bool {
        place < STANDARD.len()
            || self.file.field[place - STANDARD.len()]
                .seen_by
                .iter()
                .any(|party| party == lender)
    }
}
