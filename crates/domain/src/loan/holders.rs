//! Who holds parts of a loan, and what changes the parts.

use super::action::Sale;
use super::totals::Totals;
use crate::agreement::Agreement;
use crate::money::Amount;
use crate::party::PartyId;
use crate::share::MAX_SHARES;

/// A moment from which on the lenders hold other parts of the loan than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Totals just before it.
    pub totals: Totals,
    /// Interest due, accrued or claimed then.
    pub interest: Amount,
    /// What changed the parts.
    pub change: PartChange,
}

/// What changes the lenders' parts of a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartChange {
    /// Each lender pays out its agreed part of an amount.
    Drawn(Amount),
    /// Interest became principal.
    Capitalised(Amount),
    /// A part of what a lender holds was sold, with its part of interest due or accrued.
    Sold(Sale),
    /// Interest was given up: less is owed than there was.
    Waived,
}

/// Who holds parts of a loan: the agreement's lenders in leftover order, then those that bought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holders {
    parties: [PartyId; MAX_SHARES],
    count: usize,
}

impl Holders {
    /// The holders of a loan before its sales.
    pub(super) fn of(agreement: &Agreement) -> Holders {
        let lenders = &agreement.lenders;
        let mut parties = [PartyId::default(); MAX_SHARES];
        parties[..lenders.len()].copy_from_slice(lenders);
        Holders {
            parties,
            count: lenders.len(),
        }
    }

    /// The holders in order.
    pub fn iter(&self) -> impl Iterator<Item = PartyId> + use<> {
        self.parties.into_iter().take(self.count)
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "a loan has holders")]
    pub fn len(&self) -> usize {
        self.count
    }

    /// The place of a party, if it is among the holders.
    pub fn find(&self, party: PartyId) -> Option<usize> {
        let holders = &self.parties[..self.count];
        holders.iter().position(|&holder| holder == party)
    }

    /// True if no further party can become a holder.
    pub fn is_full(&self) -> bool {
        self.count == MAX_SHARES
    }

    pub(super) fn place(&mut self, party: PartyId) -> usize {
        self.find(party).unwrap_or_else(|| {
            self.parties[self.count] = party;
            self.count += 1;
            self.count - 1
        })
    }
}

/// What a sale of a lender's share came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sold {
    /// Who sold.
    pub seller: PartyId,
    /// Who bought.
    pub buyer: PartyId,
    /// Principal that changed hands.
    pub principal: Amount,
    /// Its price.
    pub price: Amount,
    /// Interest due or accrued, paid on top.
    pub interest: Amount,
}
