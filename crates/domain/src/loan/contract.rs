//! The contract side of a loan: principal that is not due, its interest and its instalment.
//!
//! Interest accrues exactly, in units of `minor unit / (scale of the rate × basis of the day
//! count)`, and is rounded once, when it falls due. With amounts counted in hundred-millionths of
//! a cent and rates to fourteen digits the same arithmetic is as good as exact; conformance
//! tests run it so.

use super::timeline::{Ops, Step};
use crate::calendar::DayCount;
use crate::money::{Amount, Rate, Rounding};

/// How time becomes interest, and interest amounts.
#[derive(Clone, Copy, Debug)]
pub struct Measure {
    /// Convention for the time between two days.
    pub day_count: DayCount,
    /// How a quotient becomes a whole number of minor units.
    pub rounding: Rounding,
    /// The denominator of every rate: [`Rate::SCALE`], or more where rates need more digits.
    pub scale: i128,
}

impl Measure {
    /// What exact interest is divided by to give minor units.
    pub fn unit(self) -> i128 {
        self.scale * self.day_count.basis()
    }

    /// Exact interest as an amount.
    pub fn amount(self, exact: i128) -> Amount {
        if exact == 0 {
            return Amount::ZERO;
        }
        Amount(self.rounding.divide(exact, self.unit()))
    }

    /// The level payment on each step that redeems principal which, together with `accrued`
    /// interest, redeems `principal` but for `balloon`, which falls due with the last of them.
    ///
    /// Each unit of the payment is worth the sum of the discount factors.
    pub fn annuity(
        self,
        principal: Amount,
        accrued: i128,
        rate: Rate,
        from: i32,
        steps: &[Step],
        balloon: Amount,
    ) -> Amount {
        const DIGITS: u32 = 60;
        const ONE: i128 = 1 << DIGITS;
        let unit = self.unit();
        let (mut factor, mut worth, mut from) = (ONE, 0, from);
        for step in steps {
            if step.ops.has(Ops::PRINCIPAL) || step.ops.has(Ops::MATURITY) {
                let interest = i128::from(rate.0) * i128::from(step.number - from);
                factor = scaled(factor, unit, unit + interest);
                worth += factor;
                from = step.number;
            }
        }
        if worth == 0 {
            return Amount::ZERO;
        }
        let accrued = (accrued / unit * ONE) + accrued % unit * ONE / unit;
        let left = i128::from(balloon.0) * factor;
        let exact = i128::from(principal.0) * ONE + accrued - left;
        Amount(self.rounding.divide(exact, worth))
    }
}

/// `factor × unit / divisor`; units beyond 60 binary digits are shortened first.
fn scaled(factor: i128, unit: i128, divisor: i128) -> i128 {
    let excess = (128 - unit.leading_zeros()).saturating_sub(64);
    factor * (unit >> excess) / (divisor >> excess)
}

/// What a contract stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contract {
    /// Place of the next step in the timeline.
    pub next: u16,
    /// Principal that has not fallen due (ACTUS `notionalPrincipal`).
    pub principal: Amount,
    /// Yearly rate (ACTUS `nominalInterestRate`).
    pub rate: Rate,
    /// The level part of each instalment (ACTUS `nextPrincipalRedemptionPayment`).
    pub instalment: Amount,
    /// What interest is counted on, if not on principal (ACTUS `interestCalculationBase`).
    pub base: Option<Amount>,
    /// Interest is accrued up to this day-count number.
    pub accrued_to: i32,
    /// Interest accrued since it last fell due, exact (ACTUS `accruedInterest`).
    pub accrued: i128,
}

impl Contract {
    /// Growth of exact interest in one unit of the day count.
    pub fn slope(&self) -> i128 {
        let base = match self.base {
            Some(base) if !self.principal.is_zero() => base,
            _ => self.principal,
        };
        i128::from(base.0) * i128::from(self.rate.0)
    }

    /// Accrues interest up to a day-count number.
    pub fn accrue(&mut self, to: i32) {
        self.accrued += times(self.slope(), to - self.accrued_to);
        self.accrued_to = to;
    }

    /// Takes the interest that has accrued: it falls due, or it becomes principal.
    pub fn take_interest(&mut self, measure: Measure) -> Amount {
        let interest = measure.amount(self.accrued);
        self.accrued = 0;
        interest
    }
}

/// A product that mostly fits 64 bits, which are faster to check for overflow.
fn times(slope: i128, days: i32) -> i128 {
    let narrow = i64::try_from(slope).ok();
    match narrow.and_then(|slope| slope.checked_mul(days.into())) {
        Some(product) => product.into(),
        None => slope * i128::from(days),
    }
}
