//! What people do to a loan: money comes in, is used, and goes out.

use super::action::{Action, Transaction};
use super::due::Due;
use super::holders::PartChange;
use super::position::{Position, Status};
use super::terms::Terms;
use crate::agreement::{Amortisation, Component, Excess, Prepayment};
use crate::calendar::Day;
use crate::money::{Amount, Rounding};

impl Position {
    /// Takes a transaction on its value date, to which the contract is advanced first.
    pub fn transact(&mut self, terms: &Terms<'_>, transaction: Transaction) {
        let day = transaction.day;
        self.advance(terms, day);
        self.accrue(terms, day);
        if self.status != Status::Active && !transaction.action.moves_money() {
            return;
        }
        match transaction.action {
            Action::Repay(amount) if terms.product.excess == Excess::Hold => {
                self.receive(terms, amount);
                self.pay_due(terms, day);
            }
            Action::Repay(amount) | Action::Settle(amount) => {
                self.pay_ahead(terms, day, amount, terms.product.prepayment);
            }
            Action::Prepay(amount, effect) => {
                let effect = effect.unwrap_or(terms.product.prepayment);
                self.pay_ahead(terms, day, amount, effect);
            }
            Action::Refund(amount) => {
                self.totals.received += amount;
                self.reduce(terms, day, amount);
            }
            Action::Credit(amount) => {
                // Goodwill gives up what is owed, and never pays out.
                let amount = amount.min(self.payoff(terms, day).without_prepayment_fee());
                self.totals.credited += amount;
                self.reduce(terms, day, amount);
            }
            Action::ChargeOff {
                covered,
                at_most,
                days_past_due,
            } if days_past_due.is_none_or(|days| self.days_past_due(day) >= days.into()) => {
                self.charge_off(terms, day, covered, at_most);
            }
            Action::ChargeOff { .. } => {}
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

    /// The borrower pays what is due, and prepays with what is over.
    fn pay_ahead(&mut self, terms: &Terms<'_>, day: Day, amount: Amount, effect: Prepayment) {
        self.receive(terms, amount);
        self.pay_due(terms, day);
        self.prepay(terms, day, amount, effect, true);
    }

    /// Uses money for interest accrued, the fee on prepayments, and principal not due: all that
    /// is held if it repays the loan, otherwise no more than `amount`. What was paid before for
    /// the next instalments stays held for them.
    pub(super) fn prepay(
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
        let accrued = self.contract.interest(measure);
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
        self.contract.accrued -= measure.exact(interest);
        self.totals.interest += interest;
        money -= interest;
        if with_fee {
            money = redeemed_with_fee(terms, principal, money);
            self.totals.prepayment_fees += terms.prepayment_fee(money);
        }
        self.redeem(terms, effect, money);
        self.pay_due(terms, day);
    }

    /// Uses money for what is due, then for principal not due, and for interest accrued only when
    /// no principal is left.
    fn reduce(&mut self, terms: &Terms<'_>, day: Day, amount: Amount) {
        self.pay_due(terms, day);
        let money = amount.min(self.totals.held());
        self.redeem(terms, terms.product.prepayment, money);
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
    pub(super) fn lower_principal(
        &mut self,
        terms: &Terms<'_>,
        effect: Prepayment,
        amount: Amount,
    ) {
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

    /// More is paid out. History can have changed since: what was paid out on a loan that was
    /// written off by then is lost with the rest, and after the last due date it is due at once.
    fn draw(&mut self, terms: &Terms<'_>, day: Day, amount: Amount) {
        self.mark(terms, PartChange::Drawn(amount));
        self.totals.drawn += amount;
        if self.status == Status::ChargedOff {
            self.claim_drawn(amount);
            return;
        }
        self.reopen(terms, day);
        if self.timeline(terms).end() <= day {
            let mut due = Due::new(day, terms.number(day));
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

    /// Makes a loan that was repaid active again, and has it pass the steps that came since.
    pub(super) fn reopen(&mut self, terms: &Terms<'_>, day: Day) {
        if self.status == Status::Repaid {
            self.status = Status::Active;
            self.advance(terms, day);
            self.accrue(terms, day);
        }
    }

    fn waive(&mut self, terms: &Terms<'_>, component: Component, amount: Amount) {
        let measure = terms.measure();
        let forgone = self.totals.interest_forgone;
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
                    due.penalty -= measure.exact(part);
                }
                Component::Interest => {
                    let of_period = give_up(due.interest);
                    due.interest -= of_period;
                    let since = give_up(due.late_interest(measure));
                    due.accrued -= measure.exact(since);
                    self.totals.interest_forgone += of_period + since;
                }
                Component::Principal => {}
            }
        }
        if self.totals.interest_forgone > forgone && !self.marks.is_empty() {
            self.mark(terms, PartChange::Waived);
        }
    }

    /// Forgets what is paid in full and sees whether the loan is.
    pub(super) fn drop_paid(&mut self, terms: &Terms<'_>, day: Day) {
        self.last_interest_falls_due(terms, day);
        self.due
            .retain(|due| due.owed(terms.measure()).is_positive());
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
        if self.status != Status::Active || self.runs(terms) {
            return;
        }
        let interest = terms.measure().amount(self.contract.accrued);
        if interest.is_positive() {
            self.contract.accrued = 0;
            let mut due = Due::new(day, terms.number(day));
            due.interest = interest;
            self.insert(due);
            self.pay_due(terms, day);
        }
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
