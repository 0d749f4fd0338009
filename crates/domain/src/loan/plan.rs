//! The instalments that the terms of a loan plan.

use super::due::Due;
use super::position::Position;
use super::terms::Terms;
use super::timeline::Ops;
use crate::calendar::Day;
use crate::money::Amount;

/// An instalment as planned on the day of disbursement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instalment {
    /// Number, from 1; a down payment has number 0.
    pub number: u16,
    /// Due date.
    pub day: Day,
    /// Principal; negative if interest becomes principal.
    pub principal: Amount,
    /// Interest.
    pub interest: Amount,
    /// The instalment's own fee.
    pub fee: Amount,
    /// Principal outstanding after it is paid.
    pub balance: Amount,
}

impl Instalment {
    /// All that is paid.
    pub fn total(&self) -> Amount {
        self.principal + self.interest + self.fee
    }
}

/// The instalments that the terms plan, those of nothing included.
pub fn schedule(terms: &Terms<'_>) -> Vec<Instalment> {
    plan(terms, Position::disburse(terms), 0, terms.principal)
}

/// The instalments that are still to fall due, if each is paid when it does.
pub fn coming(terms: &Terms<'_>, position: &Position) -> Vec<Instalment> {
    let mut position = position.clone();
    position.due.clear();
    let (passed, balance) = (position.contract.next, position.contract.principal);
    plan(terms, position, usize::from(passed), balance)
}

/// Lets a position fall due to the end, from the steps that it has passed.
fn plan(
    terms: &Terms<'_>,
    mut position: Position,
    mut passed: usize,
    mut balance: Amount,
) -> Vec<Instalment> {
    let steps = position.timeline(terms).steps.clone();
    let mut instalments = Vec::with_capacity(steps.len() - passed);
    let before = steps[..passed].iter();
    let mut number = before.filter(|step| step.ops.has(Ops::INTEREST)).count() as u16;
    loop {
        // Several instalments fall due at once when they are moved to the same business day.
        let next = usize::from(position.contract.next);
        let mut due = position.due.drain(..);
        for (place, step) in steps.iter().enumerate().take(next).skip(passed) {
            number += u16::from(step.ops.has(Ops::INTEREST));
            let due = due.next();
            let amount = |of: fn(&Due) -> Amount| due.as_ref().map_or(Amount::ZERO, of);
            let paid = amount(|due| due.principal);
            let left = match place + 1 == next {
                true => position.contract.principal,
                false => balance - paid,
            };
            // Interest that became principal was interest of the instalment all the same.
            let capitalised = left + paid - balance;
            instalments.push(Instalment {
                number,
                day: step.day,
                principal: paid - capitalised,
                interest: amount(|due| due.interest) + capitalised,
                fee: amount(|due| due.instalment_fee),
                balance: left,
            });
            balance = left;
        }
        drop(due);
        passed = next;
        match position.next_due(terms) {
            Some(day) if balance.is_positive() => position.advance(terms, day),
            _ => return instalments,
        }
    }
}
