//! Days pass: the contract takes its steps, interest accrues, late fees are charged.

use super::due::Due;
use super::holders::PartChange;
use super::position::{Position, Status};
use super::terms::Terms;
use super::timeline::{Ops, Step};
use crate::agreement::Amortisation;
use crate::calendar::Day;
use crate::money::{Amount, Rate};

impl Position {
    /// The next day on which the contract itself does something.
    pub fn next_step(&self, terms: &Terms<'_>) -> Option<Day> {
        let step = self.step(terms).filter(|_| self.status == Status::Active);
        let step = step.map(|step| step.day);
        step.into_iter().chain(self.next_late_fee(terms)).min()
    }

    /// Lets the contract run to the end of day `to`.
    pub fn advance(&mut self, terms: &Terms<'_>, to: Day) {
        while self.status == Status::Active
            && let Some(step) = self.step(terms)
            && step.day <= to
        {
            self.charge_late_fees(terms, step.day.previous());
            self.take_step(terms, step);
        }
        self.charge_late_fees(terms, to);
    }

    fn next_late_fee(&self, terms: &Terms<'_>) -> Option<Day> {
        terms.fees.late?;
        let due = self.due.iter().find(|due| !due.fee_charged)?;
        Some(due.late_fee_day(terms))
    }

    /// Charges what is late by the end of day `to`, each instalment once.
    #[inline(always)]
    fn charge_late_fees(&mut self, terms: &Terms<'_>, to: Day) {
        let Some(fee) = terms.fees.late.filter(|_| !self.due.is_empty()) else {
            return;
        };
        let uncharged = self.due.iter_mut().filter(|due| !due.fee_charged);
        for due in uncharged.take_while(|due| due.late_fee_day(terms) <= to) {
            due.fee_charged = true;
            if due.is_behind() {
                let base = fee.base(due.principal + due.interest, terms.principal);
                due.fee += fee.on(base, terms.product.rounding);
            }
        }
    }

    fn take_step(&mut self, terms: &Terms<'_>, step: Step) {
        self.contract.next += 1;
        self.accrue_to(terms, step.day, step.number);
        self.contract.accrued_to = step.from;
        if !self.runs(terms) {
            // Nothing falls due: nothing is left, or all of it is due.
            self.set_rates(terms, step);
            return;
        }
        if step.ops.has(Ops::DOWN_PAYMENT) {
            let principal = terms.down_payment();
            self.fall_due(terms, step, principal, Amount::ZERO);
            self.relevel(terms);
            return;
        }
        if step.ops.falls_due() {
            let interest = self.contract.take_interest(terms.measure());
            let interest = interest.max(Amount::ZERO);
            let principal = self.redemption(terms, step, interest);
            if step.ops.has(Ops::PRINCIPAL) {
                self.difference = Amount::ZERO;
            }
            // What the instalment leaves of the interest becomes principal.
            let capitalised = Amount::ZERO.saturating_less(principal);
            let principal = principal.max(Amount::ZERO);
            self.fall_due(terms, step, principal, interest - capitalised);
            if capitalised.is_positive() {
                self.mark(terms, PartChange::Capitalised(capitalised));
                self.totals.capitalised += capitalised;
                self.contract.principal += capitalised;
            }
        }
        if step.ops.has(Ops::RATE) || step.ops.has(Ops::RESUME) {
            let before = self.contract.rate;
            self.set_rates(terms, step);
            // A rate that stays leaves the instalments as they are.
            if step.ops.has(Ops::RESUME) || self.contract.rate != before {
                self.relevel(terms);
            }
        }
    }

    /// The principal that falls due on a step; interest beyond the instalment makes it negative.
    fn redemption(&self, terms: &Terms<'_>, step: Step, interest: Amount) -> Amount {
        let (product, contract) = (terms.product, &self.contract);
        let left = contract.principal;
        let instalment = contract.instalment + self.difference;
        if step.ops.has(Ops::MATURITY) {
            return left;
        }
        if !step.ops.has(Ops::PRINCIPAL) {
            return Amount::ZERO;
        }
        match product.amortisation {
            Amortisation::Bullet => Amount::ZERO,
            Amortisation::EqualInstalment => instalment.saturating_less(interest).min(left),
            Amortisation::EqualPrincipal => instalment.max(Amount::ZERO).min(left),
            Amortisation::FixedInstalment => (instalment - interest).min(left),
            Amortisation::Planned => {
                let place = usize::from(self.instalments_passed(terms)) - 1;
                let part = product.plan.get(place).copied().unwrap_or_default();
                terms.principal.at(part, product.rounding).min(left)
            }
            Amortisation::Revolving => product.minimum_payment(left),
        }
    }

    #[inline(always)]
    fn fall_due(&mut self, terms: &Terms<'_>, step: Step, principal: Amount, interest: Amount) {
        let mut due = Due::new(step.day, step.from);
        (due.principal, due.interest) = (principal, interest);
        let is_instalment = step.ops.has(Ops::INTEREST) && self.contract.principal.is_positive();
        if let Some(fee) = terms.fees.instalment.filter(|_| is_instalment) {
            let base = fee.base(principal + interest, terms.principal);
            due.instalment_fee = fee.on(base, terms.product.rounding);
        }
        self.contract.principal -= principal;
        if due.is_behind() || due.instalment_fee.is_positive() {
            self.insert(due);
            if self.totals.held().is_zero() {
                return;
            }
            self.pay_due(terms, step.day);
        }
        self.drop_paid(terms, step.day);
    }

    /// Sets the rate anew, and lets it run again after a holiday.
    fn set_rates(&mut self, terms: &Terms<'_>, step: Step) {
        if step.ops.has(Ops::RATE) {
            let rate = self.rate_from(terms, step.day);
            *self.rate_mut() = rate;
        }
        if step.ops.has(Ops::RESUME) {
            self.contract.rate = self.paused.take().unwrap_or(self.contract.rate);
        }
    }

    /// The rate that runs, or that will run after a holiday.
    pub(super) fn rate_mut(&mut self) -> &mut Rate {
        self.paused.as_mut().unwrap_or(&mut self.contract.rate)
    }

    pub(super) fn rate_from(&self, terms: &Terms<'_>, day: Day) -> Rate {
        let number = self.instalments_passed(terms) + 1;
        let current = self.paused.unwrap_or(self.contract.rate);
        terms.rate_from(day, number, self.agreed, current)
    }

    /// Number of instalments that have fallen due.
    fn instalments_passed(&self, terms: &Terms<'_>) -> u16 {
        let passed = &self.timeline(terms).steps[..usize::from(self.contract.next)];
        passed
            .iter()
            .filter(|step| step.ops.has(Ops::INTEREST))
            .count() as u16
    }

    /// Brings all accruals up to `to`. Overdue principal bears nothing within the grace days, and
    /// everything from its due date once they have passed.
    #[inline(always)]
    pub(super) fn accrue(&mut self, terms: &Terms<'_>, to: Day) {
        // Most payments come on the day of a step, whose number is known.
        let steps = &self.timeline(terms).steps;
        let last = usize::from(self.contract.next).checked_sub(1);
        let number = match last.map(|place| steps[place]) {
            Some(step) if step.day == to => step.from,
            _ => terms.number(to),
        };
        self.accrue_to(terms, to, number);
    }

    fn accrue_to(&mut self, terms: &Terms<'_>, to: Day, number: i32) {
        self.contract.accrue(number);
        let grace = i32::from(terms.product.grace_days);
        for due in self.due.iter_mut().filter(|due| to > due.day + grace) {
            let rates = (self.contract.overdue_rate(), terms.product.penalty_rate);
            due.accrue(number, rates);
        }
    }
}
