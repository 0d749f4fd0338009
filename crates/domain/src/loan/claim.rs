//! What a loan becomes when it is written off: a claim, on which money is collected and given
//! back.

use super::due::Due;
use super::position::{Position, Status};
use super::terms::Terms;
use super::totals::Totals;
use crate::agreement::{Component, Prepayment};
use crate::calendar::Day;
use crate::money::{Amount, Rate, Rounding};
use crate::packed::{Damaged, Reader, put_row};

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

impl Claim {
    /// Fees of every kind.
    pub fn fees(&self) -> Amount {
        self.fee + self.instalment_fee + self.prepayment_fee
    }

    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        let owed = [
            self.principal,
            self.interest,
            self.penalty,
            self.fee,
            self.instalment_fee,
            self.prepayment_fee,
        ];
        put_row(out, owed.map(|amount| amount.0));
        put_row(out, self.before.all().map(|amount| amount.0));
    }

    pub(super) fn unpack(from: &mut Reader<'_>) -> Result<Claim, Damaged> {
        let [
            principal,
            interest,
            penalty,
            fee,
            instalment_fee,
            prepayment_fee,
        ] = from.row()?.map(Amount);
        Ok(Claim {
            principal,
            interest,
            penalty,
            fee,
            instalment_fee,
            prepayment_fee,
            before: Totals::from_all(from.row()?.map(Amount)),
        })
    }

    /// What was collected on the claim, of a loan's totals.
    pub fn collected(&self, totals: &Totals) -> Totals {
        totals.since(&self.before)
    }
}

impl Position {
    pub(super) fn charge_off(
        &mut self,
        terms: &Terms<'_>,
        day: Day,
        covered: Rate,
        at_most: Amount,
    ) {
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
    pub(super) fn write_off(&mut self, terms: &Terms<'_>, amount: Amount) {
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

    /// Uses money held for what was written off.
    pub(super) fn recover(&mut self, terms: &Terms<'_>) {
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

    /// Money that came in goes out again. What is held goes first, then what was collected on a
    /// claim; the rest falls due anew, in the reverse order of the waterfall.
    pub(super) fn charge_back(&mut self, terms: &Terms<'_>, day: Day, amount: Amount) {
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
        let mut due = Due::new(day, terms.number(day));
        for component in terms.product.waterfall.iter().rev() {
            match component {
                Component::Principal => due.principal = take(&mut totals.principal),
                Component::Interest => due.interest = take(&mut totals.interest),
                Component::Penalty => {
                    let part = take(&mut totals.penalty);
                    due.penalty = terms.measure().exact(part);
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

    /// What is paid out after a write-off is lost with the rest.
    pub(super) fn claim_drawn(&mut self, amount: Amount) {
        let claim = self.claim.get_or_insert_default();
        claim.principal += amount;
        claim.before.charged_off += amount;
        self.totals.charged_off += amount;
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
}
