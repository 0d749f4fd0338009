//! A loan is a pure function of its terms and its transactions.
//!
//! [`Position::disburse`] starts it, [`Position::advance`] lets contract days pass (instalments
//! fall due, late fees are charged) and [`Position::transact`] takes what people do. Folding the
//! transactions in order of their value dates gives the position; a back-dated one is put into
//! its place and the fold is done again ([`evaluate`]).
//!
//! Interest accrues on principal at the loan's rate, exactly, in units of
//! `minor unit / (10^8 × basis)`, and is rounded when it falls due or is paid. Principal that is
//! past due bears nothing within the grace days; beyond them it bears interest and penalty from
//! its due date.

use minicbor::{Decode, Encode};

use crate::agreement::{Agreement, Amortisation, Component, FeeTerms, Prepayment, Product};
use crate::calendar::Day;
use crate::money::{Amount, Rate, Rounding};

/// Terms of one loan; what all loans of an agreement share is borrowed from it.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// Principal disbursed (ACTUS `notionalPrincipal`).
    pub principal: Amount,
    /// Yearly rate in the product's day count (ACTUS `nominalInterestRate`).
    pub rate: Rate,
    /// Number of monthly instalments.
    pub months: u16,
    /// Value date of the disbursement (ACTUS `initialExchangeDate`).
    pub disbursed_on: Day,
    /// Terms that all loans of the agreement share.
    pub product: &'a Product,
    /// Fee for an overdue instalment.
    pub late_fee: Option<FeeTerms>,
}

impl<'a> Terms<'a> {
    /// The terms of a loan under an agreement.
    pub fn under(
        agreement: &'a Agreement,
        principal: Amount,
        rate: Rate,
        months: u16,
        disbursed_on: Day,
    ) -> Terms<'a> {
        Terms {
            principal,
            rate,
            months,
            disbursed_on,
            product: &agreement.file.product,
            late_fee: agreement.late_fee,
        }
    }
}

impl Terms<'_> {
    /// Due date of an instalment, counted from 1.
    pub fn due_date(&self, number: u16) -> Day {
        self.disbursed_on.plus_months(u32::from(number))
    }

    /// What an exact accrual is divided by to give minor units.
    fn unit(&self) -> i128 {
        Rate::SCALE * self.product.day_count.basis()
    }

    /// The day-count number of a day.
    fn number(&self, day: Day) -> i32 {
        self.product.day_count.number(day)
    }

    fn round(&self, accrued: i128) -> Amount {
        Amount(self.product.rounding.divide(accrued, self.unit()).max(0))
    }

    /// The level instalment (of principal and interest, or of principal alone) that repays
    /// `principal` in the instalments from number `next` on, counted from `start`.
    fn level(&self, principal: Amount, start: Day, next: u16) -> Amount {
        let rounding = self.product.rounding;
        let count = i128::from(self.months - next + 1);
        match self.product.amortisation {
            Amortisation::Bullet => Amount::ZERO,
            Amortisation::EqualPrincipal => Amount(rounding.divide(principal.0.into(), count)),
            Amortisation::EqualInstalment => {
                // Each unit of the instalment is worth the sum of the discount factors today.
                const ONE: i128 = 1 << 60;
                let (mut factor, mut worth, mut from) = (ONE, 0, self.number(start));
                for number in next..=self.months {
                    let due = self
                        .product
                        .day_count
                        .number_after(self.disbursed_on, number.into());
                    let interest = i128::from(self.rate.0) * i128::from(due - from);
                    factor = factor * self.unit() / (self.unit() + interest);
                    worth += factor;
                    from = due;
                }
                Amount(rounding.divide(i128::from(principal.0) * ONE, worth))
            }
        }
    }
}

/// What people do to a loan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Action {
    /// The borrower pays what is due; what is over is held for the next instalments.
    #[n(0)]
    Repay(#[n(0)] Amount),
    /// The borrower pays what is due; what is over reduces the principal at once.
    #[n(1)]
    Prepay(#[n(0)] Amount),
    /// The loan is written off; the guarantor pays a part of the principal.
    #[n(2)]
    ChargeOff {
        /// The part.
        #[n(0)]
        covered: Rate,
        /// What was left for it in the guarantee pool.
        #[n(1)]
        at_most: Amount,
    },
}

/// An action on its value date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Transaction {
    /// Value date.
    #[n(0)]
    pub day: Day,
    /// What is done.
    #[n(1)]
    pub action: Action,
}

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
    /// True if the borrower is behind with principal or interest.
    fn is_behind(&self) -> bool {
        (self.principal + self.interest).is_positive()
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

/// Cumulative totals since disbursement. Whatever is shared or posted is a difference of these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Encode, Decode)]
pub struct Totals {
    /// Received from the borrower.
    #[n(0)]
    pub received: Amount,
    /// Used for late fees.
    #[n(1)]
    pub fees: Amount,
    /// Used for penalty interest.
    #[n(2)]
    pub penalty: Amount,
    /// Used for interest.
    #[n(3)]
    pub interest: Amount,
    /// Used for principal.
    #[n(4)]
    pub principal: Amount,
    /// Received after charge-off.
    #[n(5)]
    pub recovered: Amount,
    /// Principal written off.
    #[n(6)]
    pub charged_off: Amount,
    /// Paid by the guarantor.
    #[n(7)]
    pub compensated: Amount,
    /// Interest given up at charge-off.
    #[n(8)]
    pub interest_forgone: Amount,
    /// Given back to the borrower when the loan was repaid with more than it took.
    #[n(9)]
    pub refunded: Amount,
}

impl Totals {
    /// Held for the borrower: received and not used.
    pub fn held(&self) -> Amount {
        self.received
            - self.fees
            - self.penalty
            - self.interest
            - self.principal
            - self.recovered
            - self.refunded
    }

    /// What came since `earlier`, component by component.
    pub fn since(&self, earlier: &Totals) -> Totals {
        Totals {
            received: self.received - earlier.received,
            fees: self.fees - earlier.fees,
            penalty: self.penalty - earlier.penalty,
            interest: self.interest - earlier.interest,
            principal: self.principal - earlier.principal,
            recovered: self.recovered - earlier.recovered,
            charged_off: self.charged_off - earlier.charged_off,
            compensated: self.compensated - earlier.compensated,
            interest_forgone: self.interest_forgone - earlier.interest_forgone,
            refunded: self.refunded - earlier.refunded,
        }
    }
}

/// Everything that a loan's terms and transactions amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// Where the loan stands in its life.
    pub status: Status,
    /// Number of the next instalment to fall due.
    pub next: u16,
    /// The level part of each instalment.
    pub instalment: Amount,
    /// Principal that has not fallen due.
    pub not_due: Amount,
    /// Instalments due and not paid in full, oldest first.
    pub due: Vec<Due>,
    /// Cumulative totals.
    pub totals: Totals,
    /// Interest on principal not due is accrued up to this day-count number.
    accrued_to: i32,
    /// That interest, exact.
    accrued: i128,
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
        Position {
            status: Status::Active,
            next: 1,
            instalment: terms.level(terms.principal, terms.disbursed_on, 1),
            not_due: terms.principal,
            due: Vec::new(),
            totals: Totals::default(),
            accrued_to: terms.number(terms.disbursed_on),
            accrued: 0,
        }
    }

    /// Principal outstanding.
    pub fn outstanding(&self) -> Amount {
        self.not_due + self.due.iter().map(|due| due.principal).sum()
    }

    /// Interest that has fallen due and is not paid.
    pub fn interest_due(&self) -> Amount {
        self.due.iter().map(|due| due.interest).sum()
    }

    /// Days since the oldest due date on which principal or interest is unpaid.
    pub fn days_past_due(&self, on: Day) -> i32 {
        self.due
            .iter()
            .find(|due| due.is_behind())
            .map_or(0, |due| (on - due.day).max(0))
    }

    /// Due date of the oldest instalment with principal or interest unpaid.
    pub fn behind_since(&self) -> Option<Day> {
        self.due
            .iter()
            .find(|due| due.is_behind())
            .map(|due| due.day)
    }

    /// Interest accrued and not yet due.
    pub fn accrual(&self, terms: &Terms<'_>) -> Accrual {
        let rate = i128::from(terms.rate.0);
        let mut accrual = Accrual::default();
        let mut add = |principal: Amount, accrued: i128, to: i32| {
            let slope = i128::from(principal.0) * rate;
            accrual.slope += slope;
            accrual.offset += accrued - slope * i128::from(to);
        };
        add(self.not_due, self.accrued, self.accrued_to);
        for due in &self.due {
            add(due.principal, due.accrued, due.accrued_to);
        }
        accrual
    }

    /// What the borrower owes by `on`: instalments due, with interest, penalty and fees to that
    /// day, less what is held. The position has been advanced to `on`.
    pub fn amount_due(&self, terms: &Terms<'_>, on: Day) -> Amount {
        let mut then = self.clone();
        then.accrue(terms, on);
        then.due_now(terms).saturating_less(self.totals.held())
    }

    /// What the borrower must pay on `on` to be rid of the loan. The position has been advanced
    /// to `on`.
    pub fn payoff(&self, terms: &Terms<'_>, on: Day) -> Amount {
        let mut then = self.clone();
        then.accrue(terms, on);
        (then.due_now(terms) + then.not_due + terms.round(then.accrued))
            .saturating_less(self.totals.held())
    }

    /// What is due by the day to which all is accrued.
    fn due_now(&self, terms: &Terms<'_>) -> Amount {
        let owed = |due: &Due| {
            due.principal
                + due.interest
                + due.fee
                + terms.round(due.accrued)
                + terms.round(due.penalty)
        };
        self.due.iter().map(owed).sum()
    }

    /// The next day on which the contract itself does something.
    pub fn next_step(&self, terms: &Terms<'_>) -> Option<Day> {
        let due = (self.status == Status::Active && self.not_due.is_positive())
            .then(|| terms.due_date(self.next));
        let fee = terms.late_fee.and_then(|_| {
            self.due
                .iter()
                .find(|due| !due.fee_charged)
                .map(|due| due.day + i32::from(terms.product.grace_days) + 1)
        });
        due.into_iter().chain(fee).min()
    }

    /// Lets the contract run to the end of day `to`.
    pub fn advance(&mut self, terms: &Terms<'_>, to: Day) {
        while let Some(day) = self.next_step(terms).filter(|&day| day <= to) {
            if self.not_due.is_positive() && terms.due_date(self.next) == day {
                self.fall_due(terms, day);
            } else {
                self.charge_late_fee(terms);
            }
        }
    }

    fn fall_due(&mut self, terms: &Terms<'_>, day: Day) {
        self.accrue(terms, day);
        let interest = terms.round(self.accrued);
        self.accrued = 0;
        let last = self.next == terms.months;
        let principal = match terms.product.amortisation {
            _ if last => self.not_due,
            Amortisation::EqualInstalment => {
                self.instalment.saturating_less(interest).min(self.not_due)
            }
            Amortisation::EqualPrincipal => self.instalment.min(self.not_due),
            Amortisation::Bullet => Amount::ZERO,
        };
        self.not_due -= principal;
        self.next += 1;
        self.due.push(Due {
            day,
            principal,
            interest,
            fee: Amount::ZERO,
            fee_charged: false,
            accrued_to: self.accrued_to,
            accrued: 0,
            penalty: 0,
        });
        if self.totals.held().is_positive() {
            self.pay_due(terms);
        }
        self.drop_paid(terms);
    }

    fn charge_late_fee(&mut self, terms: &Terms<'_>) {
        let (Some(fee), Some(due)) = (
            terms.late_fee,
            self.due.iter_mut().find(|due| !due.fee_charged),
        ) else {
            return;
        };
        due.fee_charged = true;
        if due.is_behind() {
            due.fee = fee.on(due.principal + due.interest, terms.product.rounding);
        }
    }

    /// Brings all accruals up to `to`. Overdue principal bears nothing within the grace days, and
    /// everything from its due date once they have passed.
    fn accrue(&mut self, terms: &Terms<'_>, to: Day) {
        let number = terms.number(to);
        let accrued = |principal: Amount, rate: Rate, from: i32| {
            i128::from(principal.0) * i128::from(rate.0) * i128::from(number - from)
        };
        self.accrued += accrued(self.not_due, terms.rate, self.accrued_to);
        self.accrued_to = number;
        for due in &mut self.due {
            if to > due.day + i32::from(terms.product.grace_days) {
                due.accrued += accrued(due.principal, terms.rate, due.accrued_to);
                due.penalty += accrued(due.principal, terms.product.penalty_rate, due.accrued_to);
                due.accrued_to = number;
            }
        }
    }

    /// Takes a transaction on its value date, to which the contract is advanced first.
    pub fn transact(&mut self, terms: &Terms<'_>, transaction: Transaction) {
        let day = transaction.day;
        self.advance(terms, day);
        match transaction.action {
            Action::Repay(amount) | Action::Prepay(amount) if self.status == Status::ChargedOff => {
                self.totals.received += amount;
                self.totals.recovered += amount;
            }
            Action::Repay(amount) => {
                self.totals.received += amount;
                self.accrue(terms, day);
                self.pay_due(terms);
            }
            Action::Prepay(amount) => {
                self.totals.received += amount;
                self.accrue(terms, day);
                self.pay_due(terms);
                self.prepay(terms, day);
            }
            Action::ChargeOff { covered, at_most } => self.charge_off(terms, day, covered, at_most),
        }
        self.drop_paid(terms);
    }

    /// Uses money held for what is due, oldest instalment first, in the order of the waterfall.
    fn pay_due(&mut self, terms: &Terms<'_>) {
        let unit = terms.unit();
        for due in &mut self.due {
            for component in &terms.product.waterfall {
                let held = self.totals.held();
                match component {
                    Component::Fee => {
                        let paid = due.fee.min(held);
                        due.fee -= paid;
                        self.totals.fees += paid;
                    }
                    Component::Penalty => {
                        let paid = terms.round(due.penalty).min(held);
                        due.penalty -= i128::from(paid.0) * unit;
                        self.totals.penalty += paid;
                    }
                    Component::Interest => {
                        let since_due = terms.round(due.accrued);
                        let paid = (due.interest + since_due).min(held);
                        let of_period = paid.min(due.interest);
                        due.interest -= of_period;
                        due.accrued -= i128::from((paid - of_period).0) * unit;
                        self.totals.interest += paid;
                    }
                    Component::Principal => {
                        let paid = due.principal.min(held);
                        due.principal -= paid;
                        self.totals.principal += paid;
                    }
                }
            }
        }
    }

    /// Uses money held for interest accrued to `day` and then for principal not due.
    fn prepay(&mut self, terms: &Terms<'_>, day: Day) {
        let interest = terms.round(self.accrued).min(self.totals.held());
        self.accrued -= i128::from(interest.0) * terms.unit();
        self.totals.interest += interest;
        let principal = self.not_due.min(self.totals.held());
        if !principal.is_positive() {
            return;
        }
        self.not_due -= principal;
        self.totals.principal += principal;
        if self.not_due.is_zero() {
            self.accrued = 0;
        } else if terms.product.prepayment == Prepayment::ReduceInstalment {
            self.instalment = terms.level(self.not_due, day, self.next);
        }
    }

    /// The parts of the position in a fixed order, for a digest.
    pub fn digest_into(&self, out: &mut Vec<u8>) {
        let mut put = |number: i128| out.extend_from_slice(&number.to_le_bytes());
        put(self.status as i128);
        put(self.next.into());
        put(self.accrued_to.into());
        put(self.accrued);
        let totals = &self.totals;
        for amount in [
            self.instalment,
            self.not_due,
            totals.received,
            totals.fees,
            totals.penalty,
            totals.interest,
            totals.principal,
            totals.recovered,
            totals.charged_off,
            totals.compensated,
            totals.interest_forgone,
            totals.refunded,
        ] {
            put(amount.0.into());
        }
        for due in &self.due {
            for amount in [due.principal, due.interest, due.fee] {
                put(amount.0.into());
            }
            put(due.day.0.into());
            put(due.accrued_to.into());
            put(due.fee_charged.into());
            put(due.accrued);
            put(due.penalty);
        }
    }

    fn charge_off(&mut self, terms: &Terms<'_>, day: Day, covered: Rate, at_most: Amount) {
        if self.status != Status::Active {
            return;
        }
        self.accrue(terms, day);
        self.pay_due(terms);
        self.prepay(terms, day);
        let since_due: Amount = self.due.iter().map(|due| terms.round(due.accrued)).sum();
        self.totals.interest_forgone += self.interest_due() + since_due + terms.round(self.accrued);
        let lost = self.outstanding();
        self.totals.compensated += lost.at(covered, Rounding::HalfUp).min(at_most);
        self.totals.charged_off += lost;
        self.status = Status::ChargedOff;
        self.not_due = Amount::ZERO;
        self.accrued = 0;
        self.due.clear();
    }

    /// Forgets instalments that are paid in full and sees whether the loan is.
    fn drop_paid(&mut self, terms: &Terms<'_>) {
        self.due.retain(|due| {
            due.is_behind()
                || due.fee.is_positive()
                || terms.round(due.accrued).is_positive()
                || terms.round(due.penalty).is_positive()
        });
        if self.status == Status::Active && self.not_due.is_zero() && self.due.is_empty() {
            self.status = Status::Repaid;
        }
        if self.status == Status::Repaid {
            self.totals.refunded += self.totals.held();
        }
    }
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

/// An instalment as planned on the day of disbursement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instalment {
    /// Number, from 1.
    pub number: u16,
    /// Due date.
    pub day: Day,
    /// Principal.
    pub principal: Amount,
    /// Interest.
    pub interest: Amount,
    /// Principal outstanding after it is paid.
    pub balance: Amount,
}

impl Instalment {
    /// Principal and interest.
    pub fn total(&self) -> Amount {
        self.principal + self.interest
    }
}

/// The instalments that the terms plan.
pub fn schedule(terms: &Terms<'_>) -> Vec<Instalment> {
    let mut position = Position::disburse(terms);
    let mut instalments = Vec::with_capacity(usize::from(terms.months));
    while position.not_due.is_positive() {
        let (number, day) = (position.next, terms.due_date(position.next));
        position.fall_due(terms, day);
        let (principal, interest) = position
            .due
            .pop()
            .map_or(Default::default(), |due| (due.principal, due.interest));
        instalments.push(Instalment {
            number,
            day,
            principal,
            interest,
            balance: position.not_due,
        });
    }
    instalments
}
