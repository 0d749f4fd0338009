//! Every party's part of a loan.
//!
//! What a lender has received, lost or still holds is its part of the loan's *cumulative* totals,
//! by what it holds: never rounded payment by payment. Whenever the lenders' holdings change
//! other than by repayment (a draw, interest that becomes principal, a sale), counting starts
//! anew from the holdings in minor units, which are then the exact parts. Who sells a part of what
//! it holds also passes on that part of what it is to pay out on draws.

use std::array;

use super::fold::Fold;
use super::holders::{Holders, Sold};
use super::position::Position;
use crate::agreement::{Agreement, Earner, FeeTerms};
use crate::funding::Part;
use crate::money::Amount;
use crate::party::PartyId;
use crate::share::{MAX_SHARES, Parts, allocate};

/// Every party's cumulative part of a loan; lists follow the loan's [`Holders`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Who holds the loan.
    pub holders: Holders,
    /// What each of them has of it, as a lender.
    pub own: [Own; MAX_SHARES],
    /// Fees that another party received: on overdue instalments, on instalments, on prepayments.
    pub fees_elsewhere: [Amount; 3],
    /// Recoveries that the guarantor received.
    pub recovered_by_guarantor: Amount,
    /// Sales of shares, in order.
    pub sold: Vec<Sold>,
    /// Weights of the holders in draws to come.
    pub commitments: Parts,
    /// Weights of the holders in the interest to come.
    pub interest_weights: [i128; MAX_SHARES],
    /// The same as shares of the whole, with [`Split::SHARE_DIGITS`] binary digits behind the point.
    pub interest_shares: [u64; MAX_SHARES],
    /// Interest due or accrued when the holdings changed last, by whom it is owed to: what comes first
    /// of the interest since.
    pub interest_owed: Parts,
    /// Interest received since the holdings changed last.
    pub(super) interest_since: Amount,
}

/// What one party has of a loan, as a lender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Principal outstanding.
    pub outstanding: Amount,
    /// Principal repaid.
    pub principal: Amount,
    /// Principal written off.
    pub charged_off: Amount,
    /// Principal paid out.
    pub disbursed: Amount,
    /// Interest that became principal.
    pub capitalised: Amount,
    /// Interest received.
    pub interest: Amount,
    /// Fees of the borrower that it received.
    pub fees: Amount,
    /// Penalty interest received.
    pub penalty: Amount,
    /// Compensation received from the guarantor.
    pub compensated: Amount,
    /// Recoveries received.
    pub recovered: Amount,
    /// Service fee paid to the platform.
    pub service_fee: Amount,
    /// What was paid for principal beyond its amount (less if negative) and is not yet income.
    pub premium: Amount,
    /// That, as far as it has become income.
    pub premium_released: Amount,
    /// That, as far as it was lost with the principal that it was paid for.
    pub premium_lost: Amount,
    /// Gain on what was sold; a loss is negative.
    pub gain: Amount,
}

impl Own {
    /// What came since an earlier moment.
    pub fn since(&self, earlier: &Own) -> Own {
        Own {
            outstanding: self.outstanding - earlier.outstanding,
            principal: self.principal - earlier.principal,
            charged_off: self.charged_off - earlier.charged_off,
            disbursed: self.disbursed - earlier.disbursed,
            capitalised: self.capitalised - earlier.capitalised,
            interest: self.interest - earlier.interest,
            fees: self.fees - earlier.fees,
            penalty: self.penalty - earlier.penalty,
            compensated: self.compensated - earlier.compensated,
            recovered: self.recovered - earlier.recovered,
            service_fee: self.service_fee - earlier.service_fee,
            premium: self.premium - earlier.premium,
            premium_released: self.premium_released - earlier.premium_released,
            premium_lost: self.premium_lost - earlier.premium_lost,
            gain: self.gain - earlier.gain,
        }
    }

    /// Principal, interest, fees, penalty and recoveries received from the borrower.
    pub fn received(&self) -> Amount {
        self.principal + self.interest + self.fees + self.penalty + self.recovered
    }
}

impl Default for Split {
    /// The split of nothing. A split is too large to be moved: it is made where it is to be.
    #[inline(always)]
    fn default() -> Split {
        Split {
            holders: Holders::default(),
            own: [Own::default(); MAX_SHARES],
            fees_elsewhere: [Amount::ZERO; 3],
            recovered_by_guarantor: Amount::ZERO,
            sold: Vec::new(),
            commitments: [Amount::ZERO; MAX_SHARES],
            interest_weights: [0; MAX_SHARES],
            interest_shares: [0; MAX_SHARES],
            interest_owed: Parts::default(),
            interest_since: Amount::ZERO,
        }
    }
}

impl Split {
    /// Binary digits to which shares of interest are reduced, so that nothing overflows.
    pub const SHARE_DIGITS: u32 = 40;

    /// Splits a loan that was funded in `parts` and of which `principal` was paid out at first.
    #[inline]
    pub fn of(
        position: &Position,
        principal: Amount,
        parts: &[Part],
        agreement: &Agreement,
    ) -> Split {
        let mut split = Split::default();
        Fold::of(&mut split, position, principal, parts, agreement).end_at(position);
        split
    }

    /// Makes a split of nothing another: what it copies is only what holders have, not the room for
    /// more of them.
    pub(super) fn copy(&mut self, from: &Split) {
        let Split {
            holders,
            own,
            fees_elsewhere,
            recovered_by_guarantor,
            sold,
            commitments,
            interest_weights,
            interest_shares,
            interest_owed,
            interest_since,
        } = from;
        self.own[..holders.len()].copy_from_slice(&own[..holders.len()]);
        self.holders = *holders;
        self.fees_elsewhere = *fees_elsewhere;
        self.recovered_by_guarantor = *recovered_by_guarantor;
        self.sold.clone_from(sold);
        self.commitments = *commitments;
        self.interest_weights = *interest_weights;
        self.interest_shares = *interest_shares;
        self.interest_owed = *interest_owed;
        self.interest_since = *interest_since;
    }

    /// What a party has as a lender; nothing if it is none.
    pub fn own(&self, party: PartyId) -> Own {
        self.find(party).copied().unwrap_or_default()
    }

    /// The same, if it is one.
    pub fn find(&self, party: PartyId) -> Option<&Own> {
        Some(&self.own[self.holders.find(party)?])
    }

    pub(super) fn holding(&mut self) -> &mut [Own] {
        &mut self.own[..self.holders.len()]
    }

    /// The holders' parts of one thing.
    pub fn parts(&self, of: impl Fn(&Own) -> Amount) -> Parts {
        self.own.each_ref().map(of)
    }

    /// The holders' parts of interest received since the holdings changed last: first what was owed
    /// by then, to whom it was owed, then by their weights.
    pub(super) fn interest(&self, since: Amount) -> Parts {
        let first = self.of_owed(since);
        let rest = since - first.into_iter().sum();
        let rest = allocate(rest, &self.interest_weights[..self.holders.len()]);
        array::from_fn(|place| first[place] + rest[place])
    }

    /// What of that goes to what was owed, to whom it was owed.
    fn of_owed(&self, since: Amount) -> Parts {
        let owed = self.interest_owed.into_iter().sum();
        allocate(since.max(Amount::ZERO).min(owed), &self.interest_owed)
    }

    /// The holders' parts of interest that has fallen due and is not paid.
    pub fn interest_due(&self, due: Amount) -> Parts {
        if due.is_zero() {
            return Parts::default();
        }
        let received = self.interest(self.interest_since);
        let whole = self.interest(self.interest_since + due);
        array::from_fn(|place| whole[place] - received[place])
    }

    /// What was owed when the holdings changed last, has not fallen due yet, and so is the first to come of
    /// what accrues: what is not owed by the weights in interest.
    pub fn interest_accrued_before(&self, due: Amount) -> Parts {
        let fallen_due = self.of_owed(self.interest_since + due);
        array::from_fn(|place| self.interest_owed[place] - fallen_due[place])
    }
}

/// The party that earns a fee, if it is not the lenders.
pub fn earner(fee: Option<FeeTerms>) -> Option<PartyId> {
    match fee?.earner {
        Earner::Party(party) => Some(party),
        Earner::Lenders => None,
    }
}
