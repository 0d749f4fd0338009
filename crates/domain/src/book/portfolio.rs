//! Sums over all active loans, kept current as loans change.
//!
//! Interest accrues linearly, so the accrued interest of every loan of a lender is one line
//! `slope × day number + offset` for each day count. A day close therefore costs the same for
//! ten loans as for ten million.

use crate::agreement::{Agreement, MAX_CLASSES};
use crate::calendar::{Day, DayCount};
use crate::loan::{Accrual, Split};
use crate::money::{Amount, Rate, Rounding};
use crate::packed::{Damaged, Reader, put, put_row, put_wide};
use crate::party::{MAX_PARTIES, PartyId};
use crate::share::MAX_SHARES;

/// Sums over one lender's parts of all active loans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holding {
    /// Principal outstanding by class.
    pub by_class: [Amount; MAX_CLASSES],
    /// Interest due and unpaid.
    pub interest_due: Amount,
    accrual: [Accrual; DayCount::ALL.len()],
}

impl Holding {
    /// Interest accrued at the end of `day`, rounded once over all loans of each day count.
    fn accrued(&self, day: Day) -> Amount {
        let rounded = DayCount::ALL
            .iter()
            .zip(&self.accrual)
            .map(|(convention, accrual)| {
                let exact = accrual.slope * i128::from(convention.number(day)) + accrual.offset;
                Amount(Rounding::HalfUp.divide(exact, Rate::SCALE * convention.basis()))
            });
        rounded.sum()
    }

    /// What interest receivable must be at the end of `day`.
    pub fn interest_receivable(&self, day: Day) -> Amount {
        self.interest_due + self.accrued(day)
    }

    /// What the loss allowance must be, by the classes of an agreement.
    pub fn allowance(&self, agreement: &Agreement) -> Amount {
        let classes = agreement.file.class.iter().zip(self.classes(agreement));
        classes
            .map(|(class, principal)| principal.at(class.allowance, Rounding::HalfUp))
            .sum()
    }

    /// Principal outstanding by the classes of an agreement. Loans of an earlier version that
    /// had more classes count in the last.
    pub fn classes(&self, agreement: &Agreement) -> Vec<Amount> {
        let mut by_class = vec![Amount::ZERO; agreement.file.class.len()];
        let last = by_class.len() - 1;
        for (place, &principal) in self.by_class.iter().enumerate() {
            by_class[place.min(last)] += principal;
        }
        by_class
    }
}

/// Sums over all active loans, by party.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Portfolio {
    /// Each party's holding.
    pub holdings: [Holding; MAX_PARTIES],
    /// Number of active loans.
    pub active: u32,
}

impl Portfolio {
    /// Adds (or with `sign` −1 takes away) one loan.
    pub(super) fn add(&mut self, contribution: &Contribution, sign: i64) {
        let (class, day_count) = (contribution.class, contribution.day_count.index());
        for part in contribution.parts.iter().flatten() {
            let holding = &mut self.holdings[part.party.index()];
            holding.by_class[class] += Amount(part.outstanding.0 * sign);
            holding.interest_due += Amount(part.interest_due.0 * sign);
            let accrual = &mut holding.accrual[day_count];
            accrual.slope += part.accrual.slope * i128::from(sign);
            accrual.offset += part.accrual.offset * i128::from(sign);
        }
        self.active = self
            .active
            .wrapping_add_signed(sign as i32 * i32::from(contribution.active));
    }

    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put(out, self.active.into());
        for holding in &self.holdings {
            put_row(out, holding.by_class.map(|amount| amount.0));
            put(out, holding.interest_due.0);
            for accrual in &holding.accrual {
                put_wide(out, accrual.slope);
                put_wide(out, accrual.offset);
            }
        }
    }

    pub(super) fn unpack(&mut self, from: &mut Reader<'_>) -> Result<(), Damaged> {
        self.active = from.small()?;
        for holding in &mut self.holdings {
            holding.by_class = from.row()?.map(Amount);
            holding.interest_due = Amount(from.number()?);
            for accrual in &mut holding.accrual {
                (accrual.slope, accrual.offset) = (from.wide()?, from.wide()?);
            }
        }
        Ok(())
    }

    /// A party's holding.
    pub fn of(&self, party: PartyId) -> &Holding {
        &self.holdings[party.index()]
    }
}

/// What one loan adds to the sums.
pub(super) struct Contribution {
    active: bool,
    class: usize,
    day_count: DayCount,
    parts: [Option<HolderPart>; MAX_SHARES],
}

/// What one holder of a loan has of it.
#[derive(Clone, Copy)]
struct HolderPart {
    party: PartyId,
    outstanding: Amount,
    interest_due: Amount,
    accrual: Accrual,
}

impl Contribution {
    /// What the holders of a loan have of it. `interest` is what counts as income to come: the
    /// interest due, and how it accrues.
    pub(super) fn of(
        split: &Split,
        active: bool,
        class: usize,
        day_count: DayCount,
        interest: (Amount, Accrual),
    ) -> Contribution {
        let mut contribution = Contribution {
            active,
            class,
            day_count,
            parts: [None; MAX_SHARES],
        };
        if !active {
            return contribution;
        }
        let (due, accrual) = interest;
        let interest_due = split.interest_due(due);
        for (place, party) in split.holders.iter().enumerate() {
            let share = split.interest_shares[place];
            contribution.parts[place] = Some(HolderPart {
                party,
                outstanding: split.outstanding[place],
                interest_due: interest_due[place],
                accrual: Accrual {
                    slope: scale(accrual.slope, share),
                    offset: scale(accrual.offset, share),
                },
            });
        }
        contribution
    }
}

/// A share of a value, rounded down.
fn scale(value: i128, share: i128) -> i128 {
    const DIGITS: u32 = Split::SHARE_DIGITS;
    (value >> DIGITS) * share + (((value & ((1 << DIGITS) - 1)) * share) >> DIGITS)
}
