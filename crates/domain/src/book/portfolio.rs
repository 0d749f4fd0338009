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
use crate::share::Parts;

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
    /// had more classes count in the last. Places beyond its classes are zero.
    pub fn classes(&self, agreement: &Agreement) -> [Amount; MAX_CLASSES] {
        let mut by_class = [Amount::ZERO; MAX_CLASSES];
        let last = agreement.file.class.len() - 1;
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
    /// Adds (or with `sign` −1 takes away) what the holders of a loan have of it.
    pub(super) fn add(&mut self, split: &Split, contribution: Contribution, sign: i64) {
        let Contribution {
            class,
            day_count,
            interest_due,
            accrual,
        } = contribution;
        let add = |sum: &mut i128, part| match sign < 0 {
            true => *sum -= part,
            false => *sum += part,
        };
        let due = split.interest_due(interest_due);
        // In the units of a line.
        let unit = Rate::SCALE * day_count.basis();
        let before = match accrual == Accrual::default() {
            true => Parts::default(),
            false => split.interest_accrued_before(interest_due),
        };
        let rest = accrual.offset - i128::from(before.into_iter().sum::<Amount>().0) * unit;
        for (place, party) in split.holders.iter().enumerate() {
            let holding = &mut self.holdings[party.index()];
            holding.by_class[class] += Amount(split.own[place].outstanding.0 * sign);
            holding.interest_due += Amount(due[place].0 * sign);
            let share = split.interest_shares[place];
            let sum = &mut holding.accrual[day_count.index()];
            add(&mut sum.slope, scale(accrual.slope, share));
            let before = i128::from(before[place].0) * unit;
            add(&mut sum.offset, before + scale(rest, share));
        }
        self.active = self.active.wrapping_add_signed(sign as i32);
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

/// What one active loan adds to the sums, beside the principal that its holders have of it.
pub(super) struct Contribution {
    /// Place of its class.
    pub(super) class: usize,
    /// How interest accrues on it.
    pub(super) day_count: DayCount,
    /// Interest due and unpaid that counts as income.
    pub(super) interest_due: Amount,
    /// Interest to come that does.
    pub(super) accrual: Accrual,
}

/// A share of a value, rounded half up.
fn scale(value: i128, share: u64) -> i128 {
    const DIGITS: u32 = Split::SHARE_DIGITS;
    // A share is one at the most, so nothing overflows.
    let low = (u128::from(value as u64) * u128::from(share) + (1 << (DIGITS - 1))) >> DIGITS;
    let high = i128::from((value >> 64) as i64).wrapping_mul(i128::from(share as i64));
    (high << (64 - DIGITS)).wrapping_add(low as i128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_a_line_is_off_by_half_at_the_most() {
        let one = 1 << Split::SHARE_DIGITS;
        for value in [
            0,
            1,
            7,
            -7,
            12_345_678_901_234_567,
            -(1 << 80),
            (1 << 80) + 1,
        ] {
            for share in [0, 1, one / 3, one / 2, one - 1, one] {
                let off = (scale(value, share) << Split::SHARE_DIGITS) - value * i128::from(share);
                assert!(2 * off.abs() <= i128::from(one), "{value} × {share}");
            }
        }
    }
}
