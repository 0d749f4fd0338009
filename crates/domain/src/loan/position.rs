//! What a loan stands at, and how days and transactions move it.

use super::action::{Action, Sale, Transaction};
use super::contract::{Contract, Measure};
use super::terms::Terms;
use super::timeline::{Ops, Step, Timeline};
use super::totals::Totals;
use crate::agreement::{Allocation, Amortisation, Component, Excess, Prepayment};
use crate::calendar::Day;
use crate::money::{Amount, Rate, Rounding};

/// An instalment that has fallen due and is not paid in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Due date.
    pub day: Day,
    /// Principal still to be paid.
    pub principal: Amount,
    /// Interest of its period still to be paid.
    pub interest: Amount,
    /// Late fee still to be paid.
    pub fee: Amount,
    /// The instalment's own fee still to be paid.
    pub instalment_fee: Amount,
    /// Fee on a prepayment that was charged back, still to be paid.
    pub prepayment_fee: Amount,
    /// True once the late fee was charged.
    fee_charged: bool,
    /// Interest and penalty are accrued up to this day-count number: that of the due date as long
    /// as the grace days have not passed.
    accrued_to: i32,
    /// Interest accrued on its principal since it fell due, exact.
    accrued: i128,
    /// Penalty accrued, exact.
    penalty: i128,
}

impl Due {
    fn new(day: Day, number: i32) -> Due {
        Due {
            day,
            principal: Amount::ZERO,
            interest: Amount::ZERO,
            fee: Amount::ZERO,
            instalment_fee: Amount::ZERO,
            prepayment_fee: Amount::ZERO,
            fee_charged: false,
            accrued_to: number,
            accrued: 0,
            penalty: 0,
        }
    }

    /// True if the borrower is behind with principal or interest.
    fn is_behind(&self) -> bool {
        (self.principal + self.interest).is_positive()
    }

    /// Interest since it fell due. What rounding took too much is made up for by later days.
    fn late_interest(&self, measure: Measure) -> Amount {
        measure.amount(self.accrued).max(Amount::ZERO)
    }

    /// Penalty, likewise.
    fn late_penalty(&self, measure: Measure) -> Amount {
        measure.amount(self.penalty).max(Amount::ZERO)
    }

    /// Fees of every kind.
    fn fees(&self) -> Amount {
        self.fee + self.instalment_fee + self.prepayment_fee
    }

    /// What is owed on it, by the day to which it is accrued.
    fn owed(&self, measure: Measure) -> Amount {
        let accrued = self.late_interest(measure) + self.late_penalty(measure);
        self.principal + self.interest + self.fees() + accrued
    }
}

/// Where a loan stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Principal or instalments are outstanding.
    Active,
    /// Everything is paid.
    Repaid,
    /// Written off; what comes in is recovery.
    ChargedOff,
}

/// What was written off and can still be recovered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Principal.
    pub principal: Amount,
    /// Interest.
    pub interest: Amount,
    /// Penalty interest.
    pub penalty: Amount,
    /// Late fees.
    pub fee: Amount,
    /// Fees of instalments.
    pub instalment_fee: Amount,
    /// Fees on prepayments that were charged back.
    pub prepayment_fee: Amount,
    /// Totals when it was written off, less what was charged back of them since: what is above
    /// them was collected on the claim.
    before: Totals,
}

/// A moment from which on the lenders hold other parts of the loan than before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Totals just before it.
    pub totals: Totals,
    /// Interest due or accrued then.
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
}

/// Everything that a loan's terms and transactions amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where the loan stands in its life.
    pub status: Status,
    /// What has not fallen due.
    pub contract: Contract,
    /// Instalments due and not paid in full, oldest first. Amounts that were put off have their
    /// due date still before them.
    pub due: Vec<Due>,
    /// Cumulative totals.
    pub totals: Totals,
    /// Changes of the lenders' parts, in order.
    pub marks: Vec<Mark>,
    /// What was written off and can still be recovered.
    pub claim: Option<Box<Claim>>,
    /// What the next instalment of principal takes beyond the level one.
    difference: Amount,
    /// The rate last agreed on.
    agreed: Rate,
    /// While no interest runs: the rate at which it will run again.
    paused: Option<Rate>,
    /// Steps of its own, once its due dates have been changed.
    timeline: Option<Box<Timeline>>,
}

/// Interest accrued but not yet due, as a linear function of the day number of the loan's day
/// count: `slope × number + offset`, in units of `minor unit / (10^8 × basis)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accrual {
    /// Growth per day of interest.
    pub slope: i128,
    /// Value at day number zero.
    pub offset: i128,
}

impl Position {
    /// The loan on the day it is disbursed.
    pub fn disburse(terms: &Terms<'_>) -> Position {
        let mut position = Position {
            status: Status::Active,
            contract: terms.contract(),
            due: Vec::new(),
            totals: Totals::default(),
            marks: Vec::new(),
            claim: None,
            difference: Amount::ZERO,
            agreed: terms.rate,
            paused: None,
            timeline: None,
        };
        position.difference = terms.difference(&position.contract, &terms.timeline.steps);
        if !terms.product.down_payment.0.is_positive() {
            return position;
        }
        position.advance(terms, terms.disbursed_on);
        position
    }

    /// The contract's steps.
    pub fn timeline<'a>(&'a self, terms: &Terms<'a>) -> &'a Timeline {
        self.timeline.as_deref().unwrap_or(terms.timeline)
    }

    fn step(&self, terms: &Terms<'_>) -> Option<Step> {
        let steps = &self.timeline.as_deref().unwrap_or(terms.timeline).steps;
        steps.get(usize::from(self.contract.next)).copied()
    }

    /// Due date of the next instalment, if there is one to come.
    pub fn next_due(&self, terms: &Terms<'_>) -> Option<Day> {
        let coming = &self.timeline(terms).steps[usize::from(self.contract.next)..];
        let next = coming.iter().find(|step| step.ops.falls_due());
        next.filter(|_| self.runs(terms)).map(|step| step.day)
    }

    /// True if the contract has steps that matter.
    fn runs(&self, terms: &Terms<'_>) -> bool {
        self.status == Status::Active
            && (self.contract.principal.is_positive()
                || terms.product.amortisation == Amortisation::Revolving)
    }

    /// Principal outstanding.
    pub fn outstanding(&self) -> Amount {
        self.contract.principal + self.due.iter().map(|due| due.principal).sum()
    }

    /// Interest that has fallen due and is not paid.
    pub fn interest_due(&self) -> Amount {
        self.due.iter().map(|due| due.interest).sum()
    }

    /// Of that, what fell due before a day.
    pub fn interest_due_before(&self, day: Day) -> Amount {
        let before = self.due.iter().filter(|due| due.day < day);
        before.map(|due| due.interest).sum()
    }

    /// Days since the oldest due date on which principal or interest is unpaid.
    pub fn days_past_due(&self, on: Day) -> i32 {
        self.behind_since().map_or(0, |since| (on - since).max(0))
    }

    /// Due date of the oldest instalment with principal or interest unpaid.
    pub fn behind_since(&self) -> Option<Day> {
        self.due
            .iter()
            .find(|due| due.is_behind())
            .map(|due| due.day)
    }

    /// Interest accrued and not yet due.
    pub fn accrual(&self) -> Accrual {
        let mut accrual = Accrual::default();
        let mut add = |slope: i128, accrued: i128, to: i32| {
            accrual.slope += slope;
            accrual.offset += accrued - slope * i128::from(to);
        };
        let contract = &self.contract;
        add(contract.slope(), contract.accrued, contract.accrued_to);
        for due in &self.due {
            let slope = i128::from(due.principal.0) * self.overdue_rate();
            add(slope, due.accrued, due.accrued_to);
        }
        accrual
    }

    /// The rate on principal that is past due. A flat rate is counted on it already, as long as
    /// the contract runs.
    fn overdue_rate(&self) -> i128 {
        match self.contract.base {
            Some(_) if !self.contract.principal.is_zero() => 0,
            _ => self.contract.rate.0.into(),
        }
    }

    /// What the borrower owes by `on`: instalments due, with interest, penalty and fees to that
    /// day, less what is held. The position has been advanced to `on`.
    pub fn amount_due(&self, terms: &Terms<'_>, on: Day) -> Amount {
        let mut then = self.clone();
        then.accrue(terms, on);
        let measure = terms.measure();
        let due = then.due.iter().filter(|due| due.day <= on);
        let owed: Amount = due.map(|due| due.owed(measure)).sum();
        owed.saturating_less(self.totals.held())
    }

    /// What rids the borrower of the loan on `on`. The position has been advanced to `on`.
    pub fn payoff(&self, terms: &Terms<'_>, on: Day) -> Payoff {
        let mut then = self.clone();
        then.accrue(terms, on);
        let measure = terms.measure();
        let sum = |of: &dyn Fn(&Due) -> Amount| then.due.iter().map(of).sum::<Amount>();
        let accrued = measure.amount(then.contract.accrued).max(Amount::ZERO);
        let principal = then.contract.principal;
        Payoff {
            principal: principal + sum(&|due| due.principal),
            interest: accrued + sum(&|due| due.interest + due.late_interest(measure)),
            penalty: sum(&|due| due.late_penalty(measure)),
            fees: sum(&Due::fees),
            prepayment_fee: terms.prepayment_fee(principal),
            held: self.totals.held(),
        }
    }

    /// Interest accrued by `on` and not due. The position has been advanced to `on`.
    pub fn accrued(&self, terms: &Terms<'_>, on: Day) -> Amount {
        let mut contract = self.contract;
        contract.accrue(terms.product.day_count.number(on));
        terms.measure().amount(contract.accrued).max(Amount::ZERO)
    }

    /// The next day on which the contract itself does something.
    pub fn next_step(&self, terms: &Terms<'_>) -> Option<Day> {
        let step = self.step(terms).filter(|_| self.status == Status::Active);
        let step = step.map(|step| step.day);
        step.into_iter().chain(self.next_late_fee(terms)).min()
    }

    fn next_late_fee(&self, terms: &Terms<'_>) -> Option<Day> {
        terms.fees.late?;
        let due = self.due.iter().find(|due| !due.fee_charged)?;
        Some(due.day + i32::from(terms.product.grace_days) + 1)
    }

    /// Lets the contract run to the end of day `to`.
    pub fn advance(&mut self, terms: &Terms<'_>, to: Day) {
        loop {
            let step = self.step(terms).filter(|step| step.day <= to);
            let step = step.filter(|_| self.status == Status::Active);
            let fee = self.next_late_fee(terms).filter(|&day| day <= to);
            match (step, fee) {
                (Some(step), fee) if fee.is_none_or(|fee| step.day <= fee) => {
                    if self.runs(terms) {
                        self.take_step(terms, step);
                    } else {
                        self.pass_step(terms, step);
                    }
                }
                (_, Some(_)) => self.charge_late_fee(terms),
                _ => return,
            }
        }
    }

    /// Passes a step on which nothing falls due, because nothing is left or all of it is due.
    fn pass_step(&mut self, terms: &Terms<'_>, step: Step) {
        self.contract.next += 1;
        self.accrue_to(terms, step.day, step.number);
        self.contract.accrued_to = step.from;
        self.set_rates(terms, step);
    }

    fn take_step(&mut self, terms: &Terms<'_>, step: Step) {
        self.contract.next += 1;
        if step.ops.has(Ops::DOWN_PAYMENT) {
            let principal = terms.down_payment();
            self.fall_due(terms, step, principal, Amount::ZERO);
            self.relevel(terms);
            return;
        }
        self.accrue_to(terms, step.day, step.number);
        self.contract.accrued_to = step.from;
        if step.ops.falls_due() {
            let interest = self
                .contract
                .take_interest(terms.measure())
                .max(Amount::ZERO);
            let principal = self.redemption(terms, step, interest);
            if step.ops.has(Ops::PRINCIPAL) {
                self.difference = Amount::ZERO;
            }
            if principal < Amount::ZERO {
                self.fall_due(terms, step, Amount::ZERO, interest + principal);
                self.mark(terms, PartChange::Capitalised(-principal));
                self.totals.capitalised += -principal;
                self.contract.principal += -principal;
            } else {
                self.fall_due(terms, step, principal, interest);
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
    fn rate_mut(&mut self) -> &mut Rate {
        self.paused.as_mut().unwrap_or(&mut self.contract.rate)
    }

    /// Makes a loan that was repaid active again, and has it pass the steps that came since.
    fn reopen(&mut self, terms: &Terms<'_>, day: Day) {
        if self.status == Status::Repaid {
            self.status = Status::Active;
            self.advance(terms, day);
            self.accrue(terms, day);
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

    /// Number of instalments that have fallen due.
    fn instalments_passed(&self, terms: &Terms<'_>) -> u16 {
        let passed = &self.timeline(terms).steps[..usize::from(self.contract.next)];
        passed
            .iter()
            .filter(|step| step.ops.has(Ops::INTEREST))
            .count() as u16
    }

    fn rate_from(&self, terms: &Terms<'_>, day: Day) -> Rate {
        let number = self.instalments_passed(terms) + 1;
        let current = self.paused.unwrap_or(self.contract.rate);
        terms.rate_from(day, number, self.agreed, current)
    }

    /// Makes the coming instalments level.
    fn relevel(&mut self, terms: &Terms<'_>) {
        let coming = &self.timeline(terms).steps[usize::from(self.contract.next)..];
        let mut contract = self.contract;
        contract.instalment = terms.level(&contract, coming);
        self.difference = terms.difference(&contract, coming);
        self.contract = contract;
    }

    fn mark(&mut self, terms: &Terms<'_>, change: PartChange) {
        self.marks.push(Mark {
            totals: self.totals,
            interest: self.interest_accrued(terms.measure()),
            change,
        });
    }

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

    fn insert(&mut self, due: Due) {
        let place = self.due.partition_point(|other| other.day <= due.day);
        self.due.insert(place, due);
    }

    fn charge_late_fee(&mut self, terms: &Terms<'_>) {
        let (Some(fee), Some(due)) = (
            terms.fees.late,
            self.due.iter_mut().find(|due| !due.fee_charged),
        ) else {
            return;
        };
        due.fee_charged = true;
        if due.is_behind() {
            let base = fee.base(due.principal + due.interest, terms.principal);
            due.fee += fee.on(base, terms.product.rounding);
        }
    }

    /// Brings all accruals up to `to`. Overdue principal bears nothing within the grace days, and
    /// everything from its due date once they have passed.
    fn accrue(&mut self, terms: &Terms<'_>, to: Day) {
        // Most payments come on the day of a step, whose number is known.
        let steps = &self.timeline(terms).steps;
        let last = usize::from(self.contract.next).checked_sub(1);
        let number = match last.map(|place| steps[place]) {
            Some(step) if step.day == to => step.from,
            _ => terms.product.day_count.number(to),
        };
        self.accrue_to(terms, to, number);
    }

    fn accrue_to(&mut self, terms: &Terms<'_>, to: Day, number: i32) {
        self.contract.accrue(number);
        let rate = self.overdue_rate();
        let penalty_rate = i128::from(terms.product.penalty_rate.0);
        for due in &mut self.due {
            if to > due.day + i32::from(terms.product.grace_days) {
                let principal_days =
                    i128::from(due.principal.0) * i128::from(number - due.accrued_to);
                due.accrued += principal_days * rate;
                due.penalty += principal_days * penalty_rate;
                due.accrued_to = number;
            }
        }
    }

    /// Takes a transaction on its value date, to which the contract is advanced first.
    pub fn transact(&mut self, terms: &Terms<'_>, transaction: Transaction) {
        let day = transaction.day;
        self.advance(terms, day);
        self.accrue(terms, day);
        if self.status != Status::Active && !transaction.action.moves_money() {
            return;
        }
        match transaction.action {
            Action::Repay(amount) => {
                self.receive(terms, amount);
                self.pay_due(terms, day);
                if terms.product.excess == Excess::Prepay {
                    self.prepay(terms, day, amount, terms.product.prepayment, true);
                }
            }
            Action::Prepay(amount, effect) => {
                self.receive(terms, amount);
                self.pay_due(terms, day);
                let effect = effect.unwrap_or(terms.product.prepayment);
                self.prepay(terms, day, amount, effect, true);
            }
            Action::Settle(amount) => {
                self.receive(terms, amount);
                self.pay_due(terms, day);
                self.prepay(terms, day, amount, terms.product.prepayment, true);
            }
            Action::Refund(amount) => {
                self.totals.received += amount;
                self.pay_due(terms, day);
                self.reduce(terms, day, amount);
            }
            Action::Credit(amount) => {
                // Goodwill gives up what is owed, and never pays out.
                let amount = amount.min(self.payoff(terms, day).without_prepayment_fee());
                self.totals.credited += amount;
                self.pay_due(terms, day);
                self.reduce(terms, day, amount);
            }
            Action::ChargeOff { covered, at_most } => self.charge_off(terms, day, covered, at_most),
            Action::Draw(amount) => self.draw(terms, day, amount),
            Action::Chargeback(amount) => self.charge_back(terms, day, amount),
            Action::Waive { component, amount } => self.waive(terms, component, amount),
            Action::WriteOff(amount) => self.write_off(terms, amount),
            Action::ChangeDueDate(to) => self.change_due_date(terms, day, to),
            Action::Pause { cycles, interest } => self.pause(terms, day, cycles, interest),
            Action::ReAge { more } => self.re_age(terms, day, more),
            Action::ReAmortise { more } => {
                self.extend(terms, day, more);
                self.put_off_to_end(terms, day);
                self.relevel(terms);
            }
            Action::ChangeRate(rate) => self.change_rate(terms, day, rate),
            // When nothing is left by then, there is nothing to sell.
            Action::Transfer(sale) if self.outstanding().is_positive() => {
                self.mark(terms, PartChange::Sold(sale));
            }
            Action::Transfer(_) => {}
        }
        self.drop_paid(terms, day);
    }

    fn receive(&mut self, terms: &Terms<'_>, amount: Amount) {
        self.totals.received += amount;
        if let Some(fee) = terms.fees.collection {
            self.totals.collection_fees += fee.on(amount, terms.product.rounding);
        }
    }

    /// Interest due or accrued, by the day to which all is accrued.
    fn interest_accrued(&self, measure: Measure) -> Amount {
        let since_due = self.due.iter().map(|due| due.late_interest(measure));
        let accrued = measure.amount(self.contract.accrued).max(Amount::ZERO);
        self.interest_due() + accrued + since_due.sum()
    }

    /// Uses money held for what is due by `day`, in the order of the waterfall. Amounts that were
    /// put off can be paid as soon as nothing else is left.
    fn pay_due(&mut self, terms: &Terms<'_>, day: Day) {
        let measure = terms.measure();
        let day = match self.due.last() {
            Some(last) if self.contract.principal.is_zero() => last.day.max(day),
            _ => day,
        };
        let Position { due, totals, .. } = self;
        let waterfall = &terms.product.waterfall;
        let mut held = totals.held();
        let due = due.iter_mut().filter(|due| due.day <= day);
        match terms.product.allocation {
            Allocation::OldestFirst => {
                for due in due {
                    if held.is_zero() {
                        return;
                    }
                    for &component in waterfall {
                        pay(due, component, measure, &mut held, totals);
                    }
                }
            }
            Allocation::Horizontal => {
                let mut due: Vec<_> = due.collect();
                for &component in waterfall {
                    for due in &mut due {
                        pay(due, component, measure, &mut held, totals);
                    }
                }
            }
        }
    }

    /// Uses money for interest accrued, the fee on prepayments, and principal not due: all that
    /// is held if it repays the loan, otherwise no more than `amount`. What was paid before for
    /// the next instalments stays held for them.
    fn prepay(
        &mut self,
        terms: &Terms<'_>,
        day: Day,
        amount: Amount,
        effect: Prepayment,
        with_fee: bool,
    ) {
        let measure = terms.measure();
        let held = self.totals.held();
        let principal = self.contract.principal;
        let accrued = measure.amount(self.contract.accrued).max(Amount::ZERO);
        let fee = match with_fee {
            true => terms.prepayment_fee(principal),
            false => Amount::ZERO,
        };
        let mut money = held.min(amount);
        if held >= accrued + fee + principal {
            money = accrued + fee + principal;
        } else if effect == Prepayment::NextInstalments {
            return;
        }
        let interest = accrued.min(money);
        self.contract.accrued -= i128::from(interest.0) * measure.unit();
        self.totals.interest += interest;
        money -= interest;
        if with_fee {
            money = redeemed_with_fee(terms, principal, money);
            self.totals.prepayment_fees += terms.prepayment_fee(money);
        }
        self.redeem(terms, effect, money);
        self.pay_due(terms, day);
    }

    /// Uses money for principal not due, and for interest only when no principal is left.
    fn reduce(&mut self, terms: &Terms<'_>, day: Day, amount: Amount) {
        self.redeem(
            terms,
            terms.product.prepayment,
            amount.min(self.totals.held()),
        );
        if self.contract.principal.is_zero() {
            let effect = Prepayment::ShortenTerm;
            self.prepay(terms, day, amount, effect, false);
        }
    }

    /// Uses money for principal that is not due.
    fn redeem(&mut self, terms: &Terms<'_>, effect: Prepayment, money: Amount) {
        let principal = self.contract.principal.min(money);
        self.totals.principal += principal;
        self.lower_principal(terms, effect, principal);
    }

    /// Takes principal away that is not due; a flat rate's base falls with it.
    fn lower_principal(&mut self, terms: &Terms<'_>, effect: Prepayment, amount: Amount) {
        let before = self.contract.principal;
        if !amount.is_positive() {
            return;
        }
        self.contract.principal -= amount;
        if let Some(base) = &mut self.contract.base {
            let left = i128::from(self.contract.principal.0) * i128::from(base.0);
            *base = Amount(Rounding::HalfUp.divide(left, before.0.into()));
        }
        if effect == Prepayment::ReduceInstalment && self.contract.principal.is_positive() {
            self.relevel(terms);
        }
    }

    fn charge_off(&mut self, terms: &Terms<'_>, day: Day, covered: Rate, at_most: Amount) {
        if self.status != Status::Active {
            return;
        }
        self.pay_due(terms, day);
        let held = self.totals.held();
        self.prepay(terms, day, held, Prepayment::ShortenTerm, false);
        let measure = terms.measure();
        let interest = self.interest_accrued(measure);
        let lost = self.outstanding();
        let mut claim = Claim {
            principal: lost,
            interest,
            ..Claim::default()
        };
        for due in &self.due {
            claim.penalty += due.late_penalty(measure);
            claim.fee += due.fee;
            claim.instalment_fee += due.instalment_fee;
            claim.prepayment_fee += due.prepayment_fee;
        }
        self.totals.interest_forgone += interest;
        self.totals.compensated += lost.at(covered, Rounding::HalfUp).min(at_most);
        self.totals.charged_off += lost;
        claim.before = self.totals;
        self.claim = Some(Box::new(claim));
        self.status = Status::ChargedOff;
        self.contract.principal = Amount::ZERO;
        self.contract.accrued = 0;
        self.due.clear();
    }

    /// Gives a part of the principal up: what is overdue first, oldest first. The borrower no
    /// longer owes it, so nothing of it can be recovered.
    fn write_off(&mut self, terms: &Terms<'_>, amount: Amount) {
        let mut left = amount;
        for due in &mut self.due {
            let part = left.min(due.principal);
            due.principal -= part;
            left -= part;
        }
        let part = left.min(self.contract.principal);
        self.lower_principal(terms, terms.product.prepayment, part);
        self.totals.charged_off += amount - (left - part);
    }

    /// More is paid out. History can have changed since: what was paid out on a loan that was
    /// written off by then is lost with the rest, and after the last due date it is due at once.
    fn draw(&mut self, terms: &Terms<'_>, day: Day, amount: Amount) {
        self.mark(terms, PartChange::Drawn(amount));
        self.totals.drawn += amount;
        if self.status == Status::ChargedOff {
            self.totals.charged_off += amount;
            let claim = self.claim.get_or_insert_default();
            claim.principal += amount;
            claim.before.charged_off += amount;
            return;
        }
        self.reopen(terms, day);
        if self.timeline(terms).end() <= day {
            let mut due = Due::new(day, terms.product.day_count.number(day));
            due.principal = amount;
            self.insert(due);
            return;
        }
        self.contract.principal += amount;
        if let Some(base) = &mut self.contract.base {
            *base += amount;
        }
        self.relevel(terms);
    }

    /// Money that came in goes out again. What is held goes first, then what was collected on a
    /// claim; the rest falls due anew, in the reverse order of the waterfall.
    fn charge_back(&mut self, terms: &Terms<'_>, day: Day, amount: Amount) {
        let totals = &mut self.totals;
        let amount = amount.min(totals.received - totals.refunded);
        let left = amount.saturating_less(totals.held());
        totals.received -= amount;
        let left = self.give_back_recoveries(terms, left);
        let due = self.take_back(terms, day, left);
        if self.status == Status::ChargedOff {
            self.claim_again(terms, &due);
        } else {
            self.reopen(terms, day);
            self.insert(due);
        }
    }

    /// Takes an amount back from what was collected on a claim, last use first; what is left.
    fn give_back_recoveries(&mut self, terms: &Terms<'_>, amount: Amount) -> Amount {
        let Position { claim, totals, .. } = self;
        let Some(claim) = claim.as_deref_mut() else {
            return amount;
        };
        let mut left = amount;
        let mut take = |used: &mut Amount, before: Amount, owed: &mut Amount| {
            let part = left.min(used.saturating_less(before));
            *used -= part;
            *owed += part;
            left -= part;
            part
        };
        let before = claim.before;
        for component in terms.product.recovery_waterfall.iter().rev() {
            match component {
                Component::Principal => {
                    take(
                        &mut totals.recovered,
                        before.recovered,
                        &mut claim.principal,
                    );
                }
                Component::Interest => {
                    let part = take(&mut totals.interest, before.interest, &mut claim.interest);
                    totals.interest_forgone += part;
                }
                Component::Penalty => {
                    take(&mut totals.penalty, before.penalty, &mut claim.penalty);
                }
                Component::Fee => {
                    let (used, owed) = (&mut totals.prepayment_fees, &mut claim.prepayment_fee);
                    take(used, before.prepayment_fees, owed);
                    take(&mut totals.fees, before.fees, &mut claim.fee);
                    let (used, owed) = (&mut totals.instalment_fees, &mut claim.instalment_fee);
                    take(used, before.instalment_fees, owed);
                }
            }
        }
        left
    }

    /// Takes an amount back from what was paid, last use first; it is owed again.
    fn take_back(&mut self, terms: &Terms<'_>, day: Day, amount: Amount) -> Due {
        let totals = &mut self.totals;
        let mut left = amount;
        let mut take = |used: &mut Amount| {
            let part = left.min(*used);
            *used -= part;
            left -= part;
            part
        };
        let mut due = Due::new(day, terms.product.day_count.number(day));
        for component in terms.product.waterfall.iter().rev() {
            match component {
                Component::Principal => due.principal = take(&mut totals.principal),
                Component::Interest => due.interest = take(&mut totals.interest),
                Component::Penalty => {
                    let part = take(&mut totals.penalty);
                    due.penalty = i128::from(part.0) * terms.measure().unit();
                }
                Component::Fee => {
                    due.prepayment_fee = take(&mut totals.prepayment_fees);
                    due.fee = take(&mut totals.fees);
                    due.instalment_fee = take(&mut totals.instalment_fees);
                }
            }
        }
        due
    }

    /// What was paid before a write-off and charged back after it is lost with the rest.
    fn claim_again(&mut self, terms: &Terms<'_>, due: &Due) {
        let penalty = due.late_penalty(terms.measure());
        let claim = self.claim.get_or_insert_default();
        claim.principal += due.principal;
        claim.interest += due.interest;
        claim.penalty += penalty;
        claim.fee += due.fee;
        claim.instalment_fee += due.instalment_fee;
        claim.prepayment_fee += due.prepayment_fee;
        let before = &mut claim.before;
        before.interest -= due.interest;
        before.penalty -= penalty;
        before.fees -= due.fee;
        before.instalment_fees -= due.instalment_fee;
        before.prepayment_fees -= due.prepayment_fee;
        self.totals.charged_off += due.principal;
        self.totals.interest_forgone += due.interest;
    }

    fn waive(&mut self, terms: &Terms<'_>, component: Component, amount: Amount) {
        let measure = terms.measure();
        let mut left = amount;
        let mut give_up = |owed: Amount| {
            let part = left.min(owed);
            left -= part;
            part
        };
        for due in &mut self.due {
            match component {
                Component::Fee => {
                    due.fee -= give_up(due.fee);
                    due.instalment_fee -= give_up(due.instalment_fee);
                    due.prepayment_fee -= give_up(due.prepayment_fee);
                }
                Component::Penalty => {
                    let part = give_up(due.late_penalty(measure));
                    due.penalty -= i128::from(part.0) * measure.unit();
                }
                Component::Interest => {
                    let of_period = give_up(due.interest);
                    due.interest -= of_period;
                    let since = give_up(due.late_interest(measure));
                    due.accrued -= i128::from(since.0) * measure.unit();
                    self.totals.interest_forgone += of_period + since;
                }
                Component::Principal => {}
            }
        }
    }

    /// Steps of its own to be changed.
    fn own(&mut self, terms: &Terms<'_>) -> &mut Timeline {
        self.timeline
            .get_or_insert_with(|| Box::new(terms.timeline.clone()))
    }

    fn change_due_date(&mut self, terms: &Terms<'_>, day: Day, to: Day) {
        let next = usize::from(self.contract.next);
        if self.next_due(terms).is_some() {
            self.own(terms)
                .move_to(terms.product, terms.calendar, next, to);
            self.put_off_to_end(terms, day);
        }
    }

    fn change_rate(&mut self, terms: &Terms<'_>, day: Day, rate: Rate) {
        self.agreed = terms.agreed_on(day, rate);
        let rate = match terms.product.floating {
            Some(_) => rate,
            None => self.rate_from(terms, day),
        };
        *self.rate_mut() = rate;
        self.relevel(terms);
    }

    fn pause(&mut self, terms: &Terms<'_>, day: Day, cycles: u8, interest: bool) {
        let next = usize::from(self.contract.next);
        let product = terms.product;
        if self.next_due(terms).is_none() {
            return;
        }
        let timeline = self.own(terms);
        let resume = timeline.postpone(product, terms.calendar, next, cycles.into());
        if !interest {
            timeline.resume(product, next, resume.max(day));
        }
        self.put_off_to_end(terms, day);
        if interest {
            self.relevel(terms);
        } else {
            let rate = std::mem::take(&mut self.contract.rate);
            self.paused.get_or_insert(rate);
        }
    }

    /// Amounts that were put off stay put off until the last instalment, wherever it moves.
    fn put_off_to_end(&mut self, terms: &Terms<'_>, day: Day) {
        let end = self.timeline(terms).end();
        for due in self.due.iter_mut().filter(|due| due.day > day) {
            due.day = end;
            due.accrued_to = terms.product.day_count.number(end);
        }
    }

    /// Adds instalments at the end.
    fn extend(&mut self, terms: &Terms<'_>, day: Day, more: u16) {
        if more > 0 {
            self.own(terms)
                .extend(terms.product, terms.calendar, day, more);
        }
    }

    /// Overdue principal is spread over the coming instalments; overdue interest, penalty and
    /// fees are put off, without bearing interest, until the last of them.
    fn re_age(&mut self, terms: &Terms<'_>, day: Day, more: u16) {
        if more == 0 && self.timeline(terms).end() <= day {
            return;
        }
        self.pay_due(terms, day);
        self.extend(terms, day, more);
        self.accrue_within_grace(terms, day);
        let idle = self.contract.principal.is_zero();
        let last = self.timeline(terms).end();
        let mut put_off = Due::new(last, terms.product.day_count.number(last));
        put_off.fee_charged = true;
        for due in self.due.drain(..) {
            self.contract.principal += due.principal;
            put_off.interest += due.interest;
            put_off.fee += due.fee;
            put_off.instalment_fee += due.instalment_fee;
            put_off.prepayment_fee += due.prepayment_fee;
            put_off.accrued += due.accrued;
            put_off.penalty += due.penalty;
        }
        self.insert(put_off);
        if let Some(base) = self.contract.base.as_mut().filter(|_| idle) {
            *base = self.contract.principal;
        }
        self.relevel(terms);
    }

    /// Grace is for who pays within it: principal that is put off bears interest from its due
    /// date, without a gap.
    fn accrue_within_grace(&mut self, terms: &Terms<'_>, day: Day) {
        let number = terms.product.day_count.number(day);
        let rate = self.overdue_rate();
        for due in self.due.iter_mut().filter(|due| due.day <= day) {
            let days = i128::from(number - due.accrued_to);
            due.accrued += i128::from(due.principal.0) * days * rate;
            due.accrued_to = number;
        }
    }

    /// Forgets what is paid in full and sees whether the loan is.
    fn drop_paid(&mut self, terms: &Terms<'_>, day: Day) {
        let measure = terms.measure();
        self.last_interest_falls_due(terms, day);
        self.due.retain(|due| due.owed(measure).is_positive());
        if self.status == Status::Active && self.contract.principal.is_zero() {
            let open = terms.product.amortisation == Amortisation::Revolving
                && self.timeline(terms).end() > day;
            if self.due.is_empty() && !open {
                self.contract.accrued = 0;
                self.status = Status::Repaid;
            }
        }
        if self.status != Status::Active && self.totals.held().is_positive() {
            self.recover(terms);
            self.totals.refunded += self.totals.held();
        }
    }

    /// When no principal is left to fall due, the interest accrued does so at once.
    fn last_interest_falls_due(&mut self, terms: &Terms<'_>, day: Day) {
        let interest = terms.measure().amount(self.contract.accrued);
        if self.status == Status::Active && !self.runs(terms) && interest.is_positive() {
            self.contract.accrued = 0;
            let mut due = Due::new(day, terms.product.day_count.number(day));
            due.interest = interest;
            self.insert(due);
            self.pay_due(terms, day);
        }
    }

    /// Uses money held for what was written off.
    fn recover(&mut self, terms: &Terms<'_>) {
        let Some(claim) = self.claim.as_deref_mut() else {
            return;
        };
        let totals = &mut self.totals;
        let mut held = totals.held();
        let mut collect = |owed: &mut Amount, used: &mut Amount| {
            let part = held.min(*owed);
            *owed -= part;
            *used += part;
            held -= part;
            part
        };
        for component in &terms.product.recovery_waterfall {
            match component {
                Component::Principal => {
                    collect(&mut claim.principal, &mut totals.recovered);
                }
                Component::Interest => {
                    let part = collect(&mut claim.interest, &mut totals.interest);
                    totals.interest_forgone -= part;
                }
                Component::Penalty => {
                    collect(&mut claim.penalty, &mut totals.penalty);
                }
                Component::Fee => {
                    collect(&mut claim.instalment_fee, &mut totals.instalment_fees);
                    collect(&mut claim.fee, &mut totals.fees);
                    collect(&mut claim.prepayment_fee, &mut totals.prepayment_fees);
                }
            }
        }
    }

    /// The parts of the position in a fixed order, for a digest.
    pub fn digest_into(&self, out: &mut Vec<u8>) {
        let mut put = |number: i128| out.extend_from_slice(&number.to_le_bytes());
        let contract = &self.contract;
        put(self.status as i128);
        put(contract.next.into());
        put(contract.accrued_to.into());
        put(contract.accrued);
        put(contract.rate.0.into());
        put(contract.instalment.0.into());
        put(contract.principal.0.into());
        put(contract.base.map_or(-1, |base| base.0.into()));
        put(self.difference.0.into());
        put(self.agreed.0.into());
        put(self.paused.map_or(-1, |rate| rate.0.into()));
        for amount in self.totals.all() {
            put(amount.0.into());
        }
        for mark in &self.marks {
            put(mark.totals.principal.0.into());
        }
        for due in &self.due {
            for amount in [due.principal, due.interest, due.fees(), due.instalment_fee] {
                put(amount.0.into());
            }
            put(due.day.0.into());
            put(due.accrued_to.into());
            put(due.fee_charged.into());
            put(due.accrued);
            put(due.penalty);
        }
        for step in self.timeline.iter().flat_map(|timeline| &timeline.steps) {
            put(step.day.0.into());
        }
        if let Some(claim) = &self.claim {
            let fees = [claim.fee, claim.instalment_fee, claim.prepayment_fee];
            for amount in [claim.principal, claim.interest, claim.penalty]
                .into_iter()
                .chain(fees)
            {
                put(amount.0.into());
            }
        }
    }
}

/// Uses money held for one component of an instalment.
fn pay(
    due: &mut Due,
    component: Component,
    measure: Measure,
    held: &mut Amount,
    totals: &mut Totals,
) {
    let mut take = |owed: Amount, used: &mut Amount| {
        let paid = owed.min(*held);
        *held -= paid;
        *used += paid;
        paid
    };
    match component {
        Component::Fee => {
            due.instalment_fee -= take(due.instalment_fee, &mut totals.instalment_fees);
            due.fee -= take(due.fee, &mut totals.fees);
            due.prepayment_fee -= take(due.prepayment_fee, &mut totals.prepayment_fees);
        }
        Component::Penalty => {
            let paid = take(due.late_penalty(measure), &mut totals.penalty);
            due.penalty -= i128::from(paid.0) * measure.unit();
        }
        Component::Interest => {
            due.interest -= take(due.interest, &mut totals.interest);
            let paid = take(due.late_interest(measure), &mut totals.interest);
            due.accrued -= i128::from(paid.0) * measure.unit();
        }
        Component::Principal => due.principal -= take(due.principal, &mut totals.principal),
    }
}

/// What rids the borrower of a loan on a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payoff {
    /// Principal, due or not.
    pub principal: Amount,
    /// Interest to the day.
    pub interest: Amount,
    /// Penalty interest to the day.
    pub penalty: Amount,
    /// Fees due.
    pub fees: Amount,
    /// Fee on the prepayment.
    pub prepayment_fee: Amount,
    /// Held for the borrower already.
    pub held: Amount,
}

impl Payoff {
    /// What is left to pay.
    pub fn total(&self) -> Amount {
        let owed = self.principal + self.interest + self.penalty + self.fees + self.prepayment_fee;
        owed.saturating_less(self.held)
    }

    /// What is left if nobody takes a fee for it.
    pub fn without_prepayment_fee(self) -> Amount {
        let prepayment_fee = Amount::ZERO;
        Payoff {
            prepayment_fee,
            ..self
        }
        .total()
    }
}

/// The most principal that money redeems together with the fee on it. What is left of the money,
/// a unit of rounding or less than the least fee, stays held.
fn redeemed_with_fee(terms: &Terms<'_>, principal: Amount, money: Amount) -> Amount {
    let (mut enough, mut most) = (Amount::ZERO, principal.min(money));
    while enough < most {
        let tried = most - Amount((most - enough).0 / 2);
        match tried + terms.prepayment_fee(tried) <= money {
            true => enough = tried,
            false => most = tried - Amount(1),
        }
    }
    enough
}

/// The position at the end of day `to` after transactions in order of their value dates.
pub fn evaluate(terms: &Terms<'_>, transactions: &[Transaction], to: Day) -> Position {
    let mut position = Position::disburse(terms);
    for &transaction in transactions {
        position.transact(terms, transaction);
    }
    position.advance(terms, to);
    position
}
