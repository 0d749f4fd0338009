//! Closing a day, in steps that each leave their events: the contracts run to the end of the
//! day, hopeless loans are written off, the settlement window is closed and planned, plans whose
//! day has come are paid, interest and expected losses are brought up to date, and a digest of
//! the whole state is taken.

use super::command::Refusal;
use super::event::{Close, Event};
use super::{Book, Rooms, Version};
use crate::calendar::Day;
use crate::ledger::{Account, Entry};
use crate::loan::{Action, Transaction};
use crate::money::{Amount, Rounding};
use crate::party::{MAX_PARTIES, PartyId};
use crate::settlement::Plan;

impl Book {
    pub(super) fn close_day(
        &mut self,
        day: Day,
        events: &mut Vec<Event>,
        entries: &mut impl FnMut(&Entry),
    ) -> Result<(), Refusal> {
        if self.versions.is_empty() {
            return Err(Refusal::NotSigned);
        }
        if day != self.business_date {
            return Err(Refusal::NotTheBusinessDate {
                day,
                business_date: self.business_date,
            });
        }
        let mut step = |book: &mut Book, event: Event| {
            book.apply(&event, entries);
            events.push(event);
        };
        step(self, Event::DayEnded { day });
        while let Some(&loan) = self.to_charge_off.front() {
            let event = self.charge_off(loan, true);
            step(self, event);
        }
        if let Some(plan) = self.plan_settlement() {
            step(self, Event::Planned(plan));
        }
        let due = self
            .plans
            .iter()
            .filter(|plan| plan.settle_on <= day)
            .map(|plan| plan.window);
        for window in due.collect::<Vec<_>>() {
            step(self, Event::Settled { day, window });
        }
        if let Some(adjusted) = self.decide_adjustment() {
            step(self, adjusted);
        }
        step(self, Event::DayClosed(self.summary()));
        Ok(())
    }

    /// The writing-off of a loan on the business date, with what the guarantee pays: by the day's close if
    /// it is `late`, otherwise because somebody decided it.
    pub(super) fn charge_off(&self, place: u32, late: bool) -> Event {
        let mut loan = self.loan_in(place);
        let agreement = &self.version_of(&loan).agreement;
        let guarantee = agreement.file.guarantee.as_ref();
        let (covered, at_most) = guarantee.map_or_else(Default::default, |guarantee| {
            let pool = self.pool.disbursed.at(guarantee.pool, Rounding::Down);
            let of_others = self.pool.claimed - loan.claimed();
            (guarantee.covers, pool.saturating_less(of_others))
        });
        let days_past_due = late.then_some(agreement.file.charge_off.days_past_due);
        let action = |at_most| Action::ChargeOff {
            covered,
            at_most,
            days_past_due,
        };
        let mut transaction = Transaction {
            day: self.business_date,
            action: action(at_most),
            number: loan.entered + 1,
        };
        let was = self.transact(&mut loan, transaction, &mut Rooms::default());
        transaction.action = action(loan.position.totals.compensated);
        Event::ChargedOff {
            loan: place,
            transaction,
            change: loan.position.totals.since(&was.totals),
        }
    }

    fn plan_settlement(&self) -> Option<Plan> {
        let version = self.closing_version();
        let settlement = &version.agreement.file.settlement;
        let lag = settlement.lag_business_days.into();
        let settle_on = version.calendar.plus_business_days(self.business_date, lag);
        Plan::make(
            self.business_date,
            settle_on,
            &self.ledgers.window,
            settlement.netting,
        )
    }

    /// What interest receivable and loss allowance lack to their end-of-day amounts.
    fn decide_adjustment(&self) -> Option<Event> {
        let agreement = &self.closing_version().agreement;
        let parties = || (0..agreement.file.party.len().min(MAX_PARTIES) as u8).map(PartyId);
        let interest: Vec<_> = parties()
            .map(|party| {
                let target = self
                    .portfolio
                    .of(party)
                    .interest_receivable(self.business_date);
                target - self.ledgers.balance(party, Account::InterestReceivable)
            })
            .collect();
        let allowance: Vec<_> = parties()
            .map(|party| {
                self.portfolio.of(party).allowance(agreement)
                    + self.ledgers.balance(party, Account::LossAllowance)
            })
            .collect();
        let nothing = interest
            .iter()
            .chain(&allowance)
            .all(|amount| amount.is_zero());
        (!nothing).then_some(Event::Adjusted {
            interest,
            allowance,
        })
    }

    fn closing_version(&self) -> &Version {
        self.current()
            .expect("a day is closed only under an agreement")
            .1
    }

    /// What the close of the business date leaves in the journal.
    pub fn summary(&self) -> Close {
        self.summary_with(self.digest())
    }

    /// The same with a digest that is known, or that is still to be compared.
    pub fn summary_with(&self, digest: [u8; 32]) -> Close {
        let agreement = &self.closing_version().agreement;
        let mut by_class = vec![Amount::ZERO; agreement.file.class.len()];
        for holding in &self.portfolio.holdings {
            for (sum, principal) in by_class.iter_mut().zip(holding.classes(agreement)) {
                *sum += principal;
            }
        }
        Close {
            day: self.business_date,
            active_loans: self.portfolio.active,
            outstanding: by_class.iter().copied().sum(),
            by_class,
            entries: self.ledgers.entries(),
            digest,
        }
    }
}
