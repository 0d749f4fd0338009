//! What a signed-in person's party may see of the book: by the table in `docs/spec/view.md`.
//!
//! Beyond it, an application without an offer is shown to the platform that brought it and to the
//! lenders that were asked, each with its own decision and the values that it may see: somebody
//! must tell the applicant why, and a referral must reach the person who decides.

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{ApplicationRecord, ApplicationState, Book, Loan, Version};
use tandem_domain::money::Currency;
use tandem_domain::party::PartyId;
use tandem_engine::disclosure::{Disclosure, Parties, only};

use super::page::{Fault, Signed};

/// The book as a party sees it.
pub(super) struct Scope<'b> {
    pub(super) book: &'b Book,
    disclosure: &'b Disclosure,
    pub(super) party: PartyId,
    latest: &'b Version,
}

impl Signed {
    /// Looks at the book as the person's party.
    pub(super) fn look<T>(
        &self,
        look: impl FnOnce(&Scope<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.visit
            .console
            .desk
            .reader()
            .look_as(|book, disclosure| {
                look(&Scope {
                    book,
                    disclosure,
                    party: self.party,
                    latest: book.latest().ok_or(Fault::NotFound)?,
                })
            })
    }
}

impl<'b> Scope<'b> {
    /// The agreement as last signed; all parties are in it.
    pub(super) fn agreement(&self) -> &'b Agreement {
        &self.latest.agreement
    }

    pub(super) fn currency(&self) -> Currency {
        self.agreement().currency()
    }

    /// Name of a party.
    pub(super) fn name(&self, party: PartyId) -> &'b str {
        let found = self.agreement().file.party.get(party.index());
        found.map_or("–", |party| &party.name)
    }

    /// The party's bit.
    pub(super) fn bit(&self) -> Parties {
        only(self.party)
    }

    /// True if the party lends.
    pub(super) fn lends(&self) -> bool {
        self.agreement().lenders.contains(&self.party)
    }

    /// True if the party services loans: what is done to them is its to propose.
    pub(super) fn services(&self) -> bool {
        self.agreement().servicer == self.party
    }

    /// True if an application with this record is shown to the party.
    pub(super) fn sees_application(&self, place: u32, record: &ApplicationRecord<'_>) -> bool {
        if self.disclosure.application(place) & self.bit() != 0 {
            return true;
        }
        let agreement = &self.book.versions()[usize::from(record.version)].agreement;
        match record.state {
            ApplicationState::Declined(_) | ApplicationState::Referred => {
                agreement.platform == self.party || agreement.lenders.contains(&self.party)
            }
            _ => false,
        }
    }

    /// True if a loan concerns the party.
    pub(super) fn sees_loan(&self, place: u32) -> bool {
        self.disclosure.loan(place) & self.bit() != 0
    }

    /// An application of this key, if it is shown to the party.
    pub(super) fn application(&self, key: &str) -> Result<ApplicationRecord<'b>, Fault> {
        let found = self.book.application(key).ok_or(Fault::NotFound)?;
        let place = self.book.application_place(key).ok_or(Fault::NotFound)?;
        let seen = self.sees_application(place, &found)
            || matches!(found.state, ApplicationState::Disbursed(loan) if self.sees_loan(loan));
        seen.then_some(found).ok_or(Fault::NotFound)
    }

    /// A loan of this key, if it concerns the party.
    pub(super) fn loan(&self, key: &str) -> Result<(u32, Loan), Fault> {
        let found = self
            .book
            .loan(key)
            .filter(|(place, _)| self.sees_loan(*place));
        found.ok_or(Fault::NotFound)
    }
}
