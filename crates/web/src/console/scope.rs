//! The book as a signed-in person's party sees it: the same as what its clients see by the API.

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{ApplicationRecord, Book, Decided, Loan, Version};
use tandem_domain::money::Currency;
use tandem_domain::party::PartyId;
use tandem_domain::policy::Policy;

use super::page::{Fault, Signed};
use crate::api::view::{Role, Seen, View};

/// The book as a party sees it.
pub(super) struct Scope<'b> {
    pub(super) book: &'b Book,
    pub(super) party: PartyId,
    seen: &'b Seen<'b>,
}

impl Signed {
    /// The book as the API shows it to the person's party.
    pub(super) fn view(&self) -> View {
        View {
            desk: self.desk.clone(),
            party: self.party,
        }
    }

    /// Looks at the book as the person's party.
    pub(super) fn look<T>(
        &self,
        look: impl FnOnce(&Scope<'_>) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.view().look(|seen| {
            look(&Scope {
                book: seen.book,
                party: seen.party,
                seen,
            })
        })
    }
}

impl<'b> Scope<'b> {
    /// The agreement as last signed; all parties are in it.
    pub(super) fn agreement(&self) -> &'b Agreement {
        self.seen.agreement
    }

    pub(super) fn currency(&self) -> Currency {
        self.agreement().currency()
    }

    /// The same as the API has it.
    pub(super) fn seen(&self) -> &'b Seen<'b> {
        self.seen
    }

    /// Name of a party.
    pub(super) fn name(&self, party: PartyId) -> &'b str {
        let found = self.agreement().file.party.get(party.index());
        found.map_or("–", |party| &party.name)
    }

    /// Name of the party with an id.
    pub(super) fn name_of(&self, id: &str) -> Option<&'b str> {
        self.agreement().party_id(id).map(|party| self.name(party))
    }

    /// The version with a number.
    pub(super) fn version(&self, number: u32) -> Result<&'b Version, Fault> {
        let mut versions = self.book.versions().iter();
        let found = versions.find(|one| one.agreement.file.version == number);
        found.ok_or(Fault::NotFound)
    }

    /// True if the party lends.
    pub(super) fn lends(&self) -> bool {
        self.seen.is_lender()
    }

    /// True if the party services loans: what is done to them is its to propose.
    pub(super) fn services(&self) -> bool {
        self.seen.is(Role::Servicer)
    }

    /// The party's place among the lenders of a version, and its policy there.
    pub(super) fn policy<'v>(&self, version: &'v Version) -> Option<(usize, &'v Policy)> {
        self.seen.policy(version)
    }

    /// Lenders for whose people an application waits, as far as the party may know it.
    pub(super) fn waits_for(&self, decided: &Decided) -> Vec<PartyId> {
        self.seen.waits_for(decided)
    }

    /// True if an application is shown to the party.
    pub(super) fn sees_application(&self, place: u32) -> bool {
        self.seen.application(place)
    }

    /// True if the party may see who funds an application.
    pub(super) fn sees_offer(&self, application: &str) -> bool {
        let place = self.book.application_place(application);
        place.is_some_and(|place| self.seen.offer(place))
    }

    /// True if a loan concerns the party.
    pub(super) fn sees_loan(&self, place: u32) -> bool {
        self.seen.loan(place)
    }

    /// Days for which a loan is past due, as the last close left it: its class is of then too.
    pub(super) fn days_past_due(&self, loan: &Loan) -> i32 {
        let closed = self.book.business_date().previous();
        loan.position.days_past_due(closed)
    }

    /// An application of this key, if it is shown to the party.
    pub(super) fn application(&self, key: &str) -> Result<ApplicationRecord<'b>, Fault> {
        let found = self.book.application_place(key);
        let found = found.filter(|place| self.sees_application(*place));
        let found = found.and_then(|place| self.book.application_at(place));
        found.ok_or(Fault::NotFound)
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
