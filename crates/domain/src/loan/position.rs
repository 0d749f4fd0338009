//! What a loan stands at, and what can be asked about it on a day.

use super::action::Transaction;
use super::claim::Claim;
use super::contract::{Contract, Measure};
use super::due::Due;
use super::holders::{Mark, PartChange};
use super::terms::Terms;
use super::timeline::{Step, Timeline};
use super::totals::Totals;
use crate::agreement::Amortisation;
use crate::calendar::Day;
use crate::money::{Amount, Rate};

/// Where a loan stands in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// Principal or instalments are outstanding.
    #[default]
    Active,
    /// Everything is paid.
    Repaid,
    /// Written off; what comes in is recovery.
    ChargedOff,
}

/// Everything that a loan's terms and transactions amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    pub(super) difference: Amount,
    /// The rate last agreed on.
    pub(super) agreed: Rate,
    /// While no interest runs: the rate at which it will run again.
    pub(super) paused: Option<Rate>,
    /// Steps of its own, once its due dates have been changed.
    pub(super) timeline: Option<Box<Timeline>>,
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

    /// A copy, with room for what has fallen due.
    #[inline]
    pub fn copied(&self, mut room: Vec<Due>) -> Position {
        room.extend_from_slice(&self.due);
        // Where it stays: it is too large to be moved.
        Position {
            status: self.status,
            contract: self.contract,
            due: room,
            totals: self.totals,
            marks: self.marks.clone(),
            claim: self.claim.clone(),
            difference: self.difference,
            agreed: self.agreed,
            paused: self.paused,
            timeline: self.timeline.clone(),
        }
    }

    /// The contract's steps.
    pub fn timeline<'a>(&'a self, terms: &Terms<'a>) -> &'a Timeline {
        self.timeline.as_deref().unwrap_or(terms.timeline)
    }

    pub(super) fn step(&self, terms: &Terms<'_>) -> Option<Step> {
        let steps = &self.timeline(terms).steps;
        steps.get(usize::from(self.contract.next)).copied()
    }

    /// Due date of the next instalment, if there is one to come.
    pub fn next_due(&self, terms: &Terms<'_>) -> Option<Day> {
        let coming = &self.timeline(terms).steps[usize::from(self.contract.next)..];
        let next = coming.iter().find(|step| step.ops.falls_due());
        next.filter(|_| self.runs(terms)).map(|step| step.day)
    }

    /// True if the contract has steps that matter.
    pub(super) fn runs(&self, terms: &Terms<'_>) -> bool {
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

    /// Interest due or accrued, by the day to which all is accrued.
    pub(super) fn interest_accrued(&self, measure: Measure) -> Amount {
        let since_due = self.due.iter().map(|due| due.late_interest(measure));
        self.interest_due() + self.contract.interest(measure) + since_due.sum()
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
            let slope = i128::from(due.principal.0) * i128::from(contract.overdue_rate().0);
            add(slope, due.accrued, due.accrued_to);
        }
        accrual
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
        let accrued = then.contract.interest(measure);
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
        contract.accrue(terms.number(on));
        contract.interest(terms.measure())
    }

    pub(super) fn mark(&mut self, terms: &Terms<'_>, change: PartChange) {
        let claimed = self
            .claim
            .as_ref()
            .map_or(Amount::ZERO, |claim| claim.interest);
        self.marks.push(Mark {
            totals: self.totals,
            interest: self.interest_accrued(terms.measure()) + claimed,
            change,
        });
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
