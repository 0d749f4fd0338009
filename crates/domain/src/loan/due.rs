//! What has fallen due and is not paid: what is owed on it, and how money pays it.

use super::contract::{Measure, bears};
use super::position::Position;
use super::terms::Terms;
use super::totals::Totals;
use crate::agreement::{Allocation, Component};
use crate::calendar::Day;
use crate::money::{Amount, Rate};

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
    pub(super) fee_charged: bool,
    /// Interest and penalty are accrued up to this day-count number: that of the due date as long
    /// as the grace days have not passed.
    pub(super) accrued_to: i32,
    /// Interest accrued on its principal since it fell due, exact.
    pub(super) accrued: i128,
    /// Penalty accrued, exact.
    pub(super) penalty: i128,
}

impl Due {
    /// Nothing yet, due on a day of this day-count number.
    pub(super) fn new(day: Day, number: i32) -> Due {
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

    /// The day on which a late fee is charged, unless it is paid by then.
    pub(super) fn late_fee_day(&self, terms: &Terms<'_>) -> Day {
        self.day + i32::from(terms.product.grace_days) + 1
    }

    /// Accrues interest and penalty on its principal up to a day-count number.
    #[cold]
    pub(super) fn accrue(&mut self, number: i32, (interest, penalty): (Rate, Rate)) {
        let days = number - self.accrued_to;
        self.accrued += bears(self.principal, interest, days);
        self.penalty += bears(self.principal, penalty, days);
        self.accrued_to = number;
    }

    /// True if the borrower is behind with principal or interest.
    pub(super) fn is_behind(&self) -> bool {
        (self.principal + self.interest).is_positive()
    }

    /// Interest since it fell due. What rounding took too much is made up for by later days.
    pub(super) fn late_interest(&self, measure: Measure) -> Amount {
        measure.amount(self.accrued).max(Amount::ZERO)
    }

    /// Penalty, likewise.
    pub(super) fn late_penalty(&self, measure: Measure) -> Amount {
        measure.amount(self.penalty).max(Amount::ZERO)
    }

    /// Fees of every kind.
    pub(super) fn fees(&self) -> Amount {
        self.fee + self.instalment_fee + self.prepayment_fee
    }

    /// What is owed on it, by the day to which it is accrued.
    pub(super) fn owed(&self, measure: Measure) -> Amount {
        let accrued = self.late_interest(measure) + self.late_penalty(measure);
        self.principal + self.interest + self.fees() + accrued
    }

    /// Uses money held for all of it, where that is enough and nothing has accrued on it; what is
    /// left of the money. The order of the waterfall does not matter then.
    #[inline]
    fn paid_in_full(&self, held: Amount, totals: &mut Totals) -> Option<Amount> {
        let fees = self.fees();
        let owed = self.principal + self.interest + fees;
        if held < owed || self.accrued != 0 || self.penalty != 0 {
            return None;
        }
        totals.principal += self.principal;
        totals.interest += self.interest;
        if !fees.is_zero() {
            totals.fees += self.fee;
            totals.instalment_fees += self.instalment_fee;
            totals.prepayment_fees += self.prepayment_fee;
        }
        Some(held - owed)
    }

    /// Uses money held for one component of it.
    fn pay(
        &mut self,
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
                self.instalment_fee -= take(self.instalment_fee, &mut totals.instalment_fees);
                self.fee -= take(self.fee, &mut totals.fees);
                self.prepayment_fee -= take(self.prepayment_fee, &mut totals.prepayment_fees);
            }
            Component::Penalty => {
                let paid = take(self.late_penalty(measure), &mut totals.penalty);
                self.penalty -= measure.exact(paid);
            }
            Component::Interest => {
                self.interest -= take(self.interest, &mut totals.interest);
                let paid = take(self.late_interest(measure), &mut totals.interest);
                self.accrued -= measure.exact(paid);
            }
            Component::Principal => self.principal -= take(self.principal, &mut totals.principal),
        }
    }
}

impl Position {
    /// Adds what falls due, in its place.
    pub(super) fn insert(&mut self, due: Due) {
        let place = self.due.partition_point(|other| other.day <= due.day);
        self.due.insert(place, due);
    }

    /// Uses money held for what is due by `day`, in the order of the waterfall. Amounts that were
    /// put off can be paid as soon as nothing else is left.
    pub(super) fn pay_due(&mut self, terms: &Terms<'_>, day: Day) {
        let day = match self.due.last() {
            Some(last) if self.contract.principal.is_zero() => last.day.max(day),
            _ => day,
        };
        let Position { due, totals, .. } = self;
        let waterfall = &terms.product.waterfall;
        let mut held = totals.held();
        match terms.product.allocation {
            Allocation::OldestFirst => {
                let mut place = 0;
                while let Some(next) = due.get_mut(place)
                    && next.day <= day
                    && !held.is_zero()
                {
                    if let Some(left) = next.paid_in_full(held, totals) {
                        held = left;
                        due.remove(place);
                        continue;
                    }
                    for &component in waterfall {
                        next.pay(component, terms.measure(), &mut held, totals);
                    }
                    place += 1;
                }
            }
            Allocation::Horizontal => {
                let mut due: Vec<_> = due.iter_mut().filter(|due| due.day <= day).collect();
                for &component in waterfall {
                    for due in &mut due {
                        due.pay(component, terms.measure(), &mut held, totals);
                    }
                }
            }
        }
    }
}
