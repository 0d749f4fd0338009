//! The plan changes: due dates, the number of instalments, their amount, the rate.

use super::due::Due;
use super::position::Position;
use super::terms::Terms;
use super::timeline::Timeline;
use crate::calendar::Day;
use crate::money::Rate;

impl Position {
    pub(super) fn change_due_date(&mut self, terms: &Terms<'_>, day: Day, to: Day) {
        let next = usize::from(self.contract.next);
        if self.next_due(terms).is_some() {
            self.own(terms)
                .move_to(terms.product, terms.calendar, next, to);
            self.put_off_to_end(terms, day);
        }
    }

    pub(super) fn pause(&mut self, terms: &Terms<'_>, day: Day, cycles: u8, interest: bool) {
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

    /// Overdue principal is spread over the coming instalments; overdue interest, penalty and
    /// fees are put off, without bearing interest, until the last of them.
    pub(super) fn re_age(&mut self, terms: &Terms<'_>, day: Day, more: u16) {
        if more == 0 && self.timeline(terms).end() <= day {
            return;
        }
        self.pay_due(terms, day);
        self.extend(terms, day, more);
        self.accrue_within_grace(terms, day);
        let idle = self.contract.principal.is_zero();
        let last = self.timeline(terms).end();
        let mut put_off = Due::new(last, terms.number(last));
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

    /// Adds instalments at the end.
    pub(super) fn extend(&mut self, terms: &Terms<'_>, day: Day, more: u16) {
        if more > 0 {
            self.own(terms)
                .extend(terms.product, terms.calendar, day, more);
        }
    }

    pub(super) fn change_rate(&mut self, terms: &Terms<'_>, day: Day, rate: Rate) {
        self.agreed = terms.agreed_on(day, rate);
        let rate = match terms.product.floating {
            Some(_) => rate,
            None => self.rate_from(terms, day),
        };
        *self.rate_mut() = rate;
        self.relevel(terms);
    }

    /// Makes the coming instalments level.
    pub(super) fn relevel(&mut self, terms: &Terms<'_>) {
        let coming = &self.timeline(terms).steps[usize::from(self.contract.next)..];
        let mut contract = self.contract;
        contract.instalment = terms.level(&contract, coming);
        self.difference = terms.difference(&contract, coming);
        self.contract = contract;
    }

    /// Amounts that were put off stay put off until the last instalment, wherever it moves.
    pub(super) fn put_off_to_end(&mut self, terms: &Terms<'_>, day: Day) {
        let end = self.timeline(terms).end();
        for due in self.due.iter_mut().filter(|due| due.day > day) {
            due.day = end;
            due.accrued_to = terms.number(end);
        }
    }

    /// Grace is for who pays within it: principal that is put off bears interest from its due
    /// date, without a gap.
    fn accrue_within_grace(&mut self, terms: &Terms<'_>, day: Day) {
        let number = terms.number(day);
        let rate = self.contract.overdue_rate();
        for due in self.due.iter_mut().filter(|due| due.day <= day) {
            due.accrue(number, (rate, Rate::ZERO));
        }
    }

    /// Steps of its own to be changed.
    fn own(&mut self, terms: &Terms<'_>) -> &mut Timeline {
        self.timeline
            .get_or_insert_with(|| Box::new(terms.timeline.clone()))
    }
}
