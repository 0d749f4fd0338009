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
    rounding: Rounding,
    unit: i128,
}

impl Measure {
    /// Time is counted by a convention, a quotient becomes a whole number of minor units by a
    /// rounding. `scale` is the denominator of every rate: [`Rate::SCALE`], or more where rates
    /// need more digits.
    pub fn new(day_count: DayCount, rounding: Rounding, scale: i128) -> Measure {
        Measure {
            rounding,
            unit: scale * day_count.basis(),
        }
    }

    /// What exact interest is divided by to give minor units.
    pub fn unit(self) -> i128 {
        self.unit
    }

    /// An amount as exact interest.
    pub fn exact(self, amount: Amount) -> i128 {
        i128::from(amount.0) * self.unit
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
        let (mut days, mut discount) = (0, Discount::new(unit, unit));
        for step in steps {
            if step.ops.has(Ops::PRINCIPAL) || step.ops.has(Ops::MATURITY) {
                // Most steps are as long as the one before.
                if step.number - from != days {
                    days = step.number - from;
                    let interest = i128::from(rate.0) * i128::from(days);
                    discount = Discount::new(unit, unit + interest);
                }
                factor = discount.of(factor);
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

/// `factor × unit / divisor`; units beyond 64 binary digits are shortened first.
pub(crate) fn scaled(factor: i128, unit: i128, divisor: i128) -> i128 {
    // Most are not negative and fit 64 bits, where division is several times faster.
    let narrow = |number: i128| u64::try_from(number).map(u128::from);
    if let (Ok(factor), Ok(unit), Ok(divisor)) = (narrow(factor), narrow(unit), narrow(divisor)) {
        return (factor * unit / divisor) as i128;
    }
    let excess = (128 - unit.leading_zeros()).saturating_sub(64);
    factor * (unit >> excess) / (divisor >> excess)
}

/// What [`scaled`] gives, of many factors with one unit and divisor: one division, then products.
struct Discount {
    unit: i128,
    divisor: i128,
    /// `unit × 2⁶⁴ / divisor`, if the unit is the smaller one and twice the divisor fits 64 bits.
    inverse: Option<u64>,
}

impl Discount {
    fn new(unit: i128, divisor: i128) -> Discount {
        let narrow = 0 < unit && unit < divisor && divisor < 1 << 63;
        Discount {
            unit,
            divisor,
            inverse: narrow.then(|| (((unit as u128) << 64) / divisor as u128) as u64),
        }
    }

    #[inline]
    fn of(&self, factor: i128) -> i128 {
        let (Some(inverse), Ok(factor)) = (self.inverse, u64::try_from(factor)) else {
            return scaled(factor, self.unit, self.divisor);
        };
        // The inverse lacks less than one, and of its product with the factor less than one is lost
        // for that: the quotient is right, or one too small.
        let quotient = ((u128::from(factor) * u128::from(inverse)) >> 64) as u64;
        let (unit, divisor) = (self.unit as u64, self.divisor as u64);
        let rest = factor
            .wrapping_mul(unit)
            .wrapping_sub(quotient.wrapping_mul(divisor));
        (quotient + u64::from(rest >= divisor)).into()
    }
}

/// What a contract stands at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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
        i128::from(self.bearing().0) * i128::from(self.rate.0)
    }

    /// The rate on principal that is past due. A flat rate is counted on it already, as long as it
    /// runs.
    pub(super) fn overdue_rate(&self) -> Rate {
        match self.base {
            Some(_) if !self.principal.is_zero() => Rate::ZERO,
            _ => self.rate,
        }
    }

    /// What interest is counted on.
    fn bearing(&self) -> Amount {
        match self.base {
            Some(base) if !self.principal.is_zero() => base,
            _ => self.principal,
        }
    }

    /// Accrues interest up to a day-count number.
    pub fn accrue(&mut self, to: i32) {
        let days = to - self.accrued_to;
        if days != 0 {
            self.accrued += bears(self.bearing(), self.rate, days);
            self.accrued_to = to;
        }
    }

    /// The interest that has accrued, rounded; none where rounding took too much before.
    pub(super) fn interest(&self, measure: Measure) -> Amount {
        measure.amount(self.accrued).max(Amount::ZERO)
    }

    /// Takes the interest that has accrued: it falls due, or it becomes principal.
    pub fn take_interest(&mut self, measure: Measure) -> Amount {
        let interest = measure.amount(self.accrued);
        self.accrued = 0;
        interest
    }
}

/// Exact interest on an amount. Mostly it fits 64 bits, which are faster to check for overflow.
pub(super) fn bears(amount: Amount, rate: Rate, days: i32) -> i128 {
    let narrow = amount.0.checked_mul(rate.0);
    match narrow.and_then(|slope| slope.checked_mul(days.into())) {
        Some(interest) => interest.into(),
        None => i128::from(amount.0) * i128::from(rate.0) * i128::from(days),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]
        #[test]
        fn narrow_arithmetic_gives_what_wide_arithmetic_gives(
            factor in 1i128..1 << 61,
            unit in 1i128..1 << 64,
            more in -1_000_000_000_000_000i128..1_000_000_000_000_000,
            amount in any::<i64>(),
            rate in any::<i64>(),
            days in any::<i32>(),
        ) {
            let divisor = (unit + more).max(1);
            prop_assert_eq!(scaled(factor, unit, divisor), factor * unit / divisor);
            for bits in [0, 2, 30, 60] {
                let unit = unit >> bits;
                let divisor = (unit + (more >> (bits / 2))).max(1);
                let discount = Discount::new(unit, divisor);
                let largest = if divisor < 1 << 63 { u64::MAX.into() } else { factor };
                for factor in [factor, largest, -factor] {
                    prop_assert_eq!(discount.of(factor), scaled(factor, unit, divisor));
                }
            }
            for bits in [0, 40] {
                let (amount, rate) = (amount >> bits, rate >> bits);
                let wide = i128::from(amount) * i128::from(rate);
                let days = days >> (bits / 2);
                if let Some(wide) = wide.checked_mul(days.into()) {
                    prop_assert_eq!(bears(Amount(amount), Rate(rate), days), wide);
                }
            }
        }
    }
}
