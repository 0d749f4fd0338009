//! The terms of one loan.

use super::contract::{Contract, Measure};
use super::timeline::{Ops, Step, Timeline};
use crate::agreement::{Amortisation, Floating, LoanFees, Product, Residual};
use crate::calendar::{BusinessCalendar, Day};
use crate::money::{Amount, Rate};

/// Value of a reference rate from a day on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixing {
    /// First day.
    pub day: Day,
    /// Yearly rate.
    pub rate: Rate,
}

/// Terms of one loan; what loans have in common is borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Principal first disbursed (ACTUS `notionalPrincipal`).
    pub principal: Amount,
    /// Yearly rate in the product's day count (ACTUS `nominalInterestRate`).
    pub rate: Rate,
    /// Value date of the disbursement (ACTUS `initialExchangeDate`).
    pub disbursed_on: Day,
    /// Its steps.
    pub timeline: &'a Timeline,
    /// Terms that all loans of the agreement share.
    pub product: &'a Product,
    /// Fees that fall due later than at disbursement.
    pub fees: &'a LoanFees,
    /// Values of the product's reference rate, oldest first.
    pub fixings: &'a [Fixing],
    /// Business days.
    pub calendar: &'a BusinessCalendar,
    /// The first level instalment, where it is known (ACTUS `nextPrincipalRedemptionPayment`);
    /// otherwise it is calculated.
    pub instalment: Option<Amount>,
}

/// Terms of a loan outside any book: they own what [`Terms`] borrows.
#[derive(Clone, Debug)]
pub struct OwnTerms {
    /// Principal first disbursed.
    pub principal: Amount,
    /// Yearly rate in the product's day count.
    pub rate: Rate,
    /// Value date of the disbursement.
    pub disbursed_on: Day,
    /// Terms of the product.
    pub product: Product,
    /// Fees that fall due later than at disbursement.
    pub fees: LoanFees,
    /// Values of the product's reference rate, oldest first.
    pub fixings: Vec<Fixing>,
    /// Business days.
    pub calendar: BusinessCalendar,
    timeline: Timeline,
}

impl OwnTerms {
    /// The terms of a loan of `months` months, without fees.
    pub fn new(
        product: Product,
        calendar: BusinessCalendar,
        (principal, rate): (Amount, Rate),
        months: u16,
        disbursed_on: Day,
    ) -> OwnTerms {
        let timeline = Timeline::of(&product, disbursed_on, months, &calendar);
        OwnTerms {
            principal,
            rate,
            disbursed_on,
            product,
            fees: LoanFees::default(),
            fixings: Vec::new(),
            calendar,
            timeline,
        }
    }

    /// The terms, lent.
    pub fn terms(&self) -> Terms<'_> {
        Terms {
            principal: self.principal,
            rate: self.rate,
            disbursed_on: self.disbursed_on,
            timeline: &self.timeline,
            product: &self.product,
            fees: &self.fees,
            fixings: &self.fixings,
            calendar: &self.calendar,
            instalment: None,
        }
    }
}

impl Terms<'_> {
    /// How time becomes interest.
    pub fn measure(&self) -> Measure {
        let product = self.product;
        Measure::new(product.day_count, product.rounding, Rate::SCALE)
    }

    /// The number of a day in the product's day count.
    pub(super) fn number(&self, day: Day) -> i32 {
        self.product.day_count.number(day)
    }

    /// Principal that falls due with the disbursement.
    pub(super) fn down_payment(&self) -> Amount {
        self.principal
            .at(self.product.down_payment, self.product.rounding)
    }

    /// The fee on principal that is prepaid.
    pub(super) fn prepayment_fee(&self, principal: Amount) -> Amount {
        let Some(fee) = self.fees.prepayment.filter(|_| principal.is_positive()) else {
            return Amount::ZERO;
        };
        fee.on(fee.base(principal, self.principal), self.product.rounding)
    }

    /// Days of interest in the longest of its cycles, as the day count counts them; none are
    /// negative.
    pub(crate) fn longest_cycle(&self) -> i32 {
        let mut from = self.number(self.disbursed_on);
        let steps = self.timeline.steps.iter().map(|step| {
            let days = step.number - from;
            from = step.from.min(step.number);
            days
        });
        steps.fold(0, i32::max)
    }

    /// The contract on the day of disbursement. The instalment is what [`Terms::level`] gives.
    pub(super) fn contract(&self) -> Contract {
        let mut contract = Contract {
            next: 0,
            principal: self.principal,
            rate: match self.product.floating {
                Some(_) => self.rate,
                None => self.rate_from(self.disbursed_on, 1, self.rate, self.rate),
            },
            instalment: Amount::ZERO,
            base: self
                .product
                .flat
                .then(|| self.principal - self.down_payment()),
            accrued_to: self.number(self.disbursed_on),
            accrued: 0,
        };
        let level = || self.level(&contract, &self.timeline.steps);
        contract.instalment = self.instalment.unwrap_or_else(level);
        contract
    }

    /// The level instalment (of principal and interest, or of principal alone) that redeems the
    /// contract's principal over the coming steps.
    pub fn level(&self, contract: &Contract, coming: &[Step]) -> Amount {
        let product = self.product;
        let exact = match product.amortisation {
            Amortisation::Bullet | Amortisation::Planned | Amortisation::Revolving => {
                return Amount::ZERO;
            }
            Amortisation::FixedInstalment => self
                .principal
                .at(product.instalment.unwrap_or_default(), product.rounding),
            Amortisation::EqualPrincipal => {
                let spread = contract.principal.saturating_less(self.balloon());
                Amount(
                    product
                        .rounding
                        .divide(spread.0.into(), redemptions(coming)),
                )
            }
            Amortisation::EqualInstalment => self.level_instalment(contract, coming),
        };
        match product.instalment_multiple {
            // However small the loan, something is paid.
            Some(multiple) if exact.is_positive() => exact
                .to_multiple(multiple.amount, product.rounding)
                .max(multiple.amount),
            _ => exact,
        }
    }

    fn level_instalment(&self, contract: &Contract, coming: &[Step]) -> Amount {
        let (left, balloon) = (contract.principal, self.balloon());
        // Steps before the first redemption pay what interest has accrued by then.
        let first = coming.iter().position(redeems).unwrap_or_default();
        let (accrued, from) = match first.checked_sub(1) {
            None => (contract.accrued, contract.accrued_to),
            Some(place) => (0, coming[place].from),
        };
        let steps = &coming[first..];
        let measure = self.measure();
        if !self.product.flat {
            return measure.annuity(left, accrued, contract.rate, from, steps, balloon);
        }
        let last = steps.last().map_or(from, |step| step.number);
        let interest = accrued + contract.slope() * i128::from(last - from);
        let total = measure.exact(left.saturating_less(balloon)) + interest;
        let divisor = measure.unit() * redemptions(steps);
        Amount(self.product.rounding.divide(total, divisor))
    }

    /// What the first of the coming redemptions pays beyond the level instalment, so that the last
    /// one is level. Only products that say so pay for the search.
    pub(super) fn difference(&self, contract: &Contract, coming: &[Step]) -> Amount {
        match (self.product.residual, self.product.amortisation) {
            (Residual::First, Amortisation::EqualPrincipal) => {
                let spread = contract.principal.saturating_less(self.balloon());
                let count = redemptions(coming) as i64;
                spread - Amount(contract.instalment.0 * count)
            }
            (Residual::First, Amortisation::EqualInstalment) => {
                self.search_difference(contract, coming)
            }
            _ => Amount::ZERO,
        }
    }

    /// Each unit that the first instalment takes lowers the last one by at least a unit, so the
    /// best difference lies between none and what the last one is off without it.
    fn search_difference(&self, contract: &Contract, coming: &[Step]) -> Amount {
        let off = |difference: i64| {
            let last = self.last_instalment(contract, coming, Amount(difference));
            (last - self.balloon() - contract.instalment).0
        };
        let without = off(0);
        let (mut low, mut high) = (without.min(0), without.max(0));
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match off(middle) >= 0 {
                true => low = middle,
                false => high = middle,
            }
        }
        let best = [low, high]
            .into_iter()
            .min_by_key(|&difference| off(difference).abs());
        Amount(best.unwrap_or_default())
    }

    /// What the last instalment comes to if all are paid when they are due.
    fn last_instalment(
        &self,
        contract: &Contract,
        coming: &[Step],
        mut difference: Amount,
    ) -> Amount {
        let mut contract = *contract;
        for step in coming.iter().filter(|step| step.ops.falls_due()) {
            contract.accrue(step.number);
            contract.accrued_to = step.from;
            let interest = contract.take_interest(self.measure());
            if step.ops.has(Ops::MATURITY) {
                return contract.principal + interest;
            }
            if step.ops.has(Ops::PRINCIPAL) {
                let instalment = contract.instalment + std::mem::take(&mut difference);
                contract.principal -= instalment.saturating_less(interest).min(contract.principal);
            }
        }
        Amount::ZERO
    }

    /// Principal that falls due with the last instalment beyond the level part.
    fn balloon(&self) -> Amount {
        self.principal
            .at(self.product.balloon, self.product.rounding)
    }

    /// The rate from `day` on, when the next instalment has this number (from 1). `agreed` is
    /// the rate that the parties last agreed on, `current` the one that ends.
    pub(super) fn rate_from(&self, day: Day, number: u16, agreed: Rate, current: Rate) -> Rate {
        let Some(floating) = &self.product.floating else {
            let steps = &self.product.rate_step;
            let step = steps
                .iter()
                .rev()
                .find(|step| step.from_instalment <= number);
            return step.map_or(agreed, |step| step.rate(agreed));
        };
        self.reference_move(floating, day)
            .map_or(current, |moved| floating.rate(agreed, moved, current))
    }

    /// What a rate that is agreed on later would have been on the day of disbursement: a floating
    /// rate moves on from it by what the reference rate moves from now on.
    pub(super) fn agreed_on(&self, day: Day, rate: Rate) -> Rate {
        let floating = self.product.floating.as_ref();
        let moved = floating.and_then(|floating| self.reference_move(floating, day));
        moved.map_or(rate, |moved| Rate(rate.0 - moved.0))
    }

    /// What the reference rate has moved from the day of disbursement to its setting on a day.
    fn reference_move(&self, floating: &Floating, day: Day) -> Option<Rate> {
        let lead = i32::from(floating.fixing_days);
        let (then, now) = (
            self.fixed_by(self.disbursed_on)?,
            self.fixed_by(day + -lead)?,
        );
        Some(Rate(now.0 - then.0))
    }

    fn fixed_by(&self, day: Day) -> Option<Rate> {
        let known = self.fixings.partition_point(|fixing| fixing.day <= day);
        Some(self.fixings[known.checked_sub(1)?].rate)
    }
}

/// True if a level instalment is paid on the step.
fn redeems(step: &Step) -> bool {
    step.ops.has(Ops::PRINCIPAL) || step.ops.has(Ops::MATURITY)
}

/// Number of level instalments; never zero.
fn redemptions(steps: &[Step]) -> i128 {
    steps.iter().filter(|step| redeems(step)).count().max(1) as i128
}
