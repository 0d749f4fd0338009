//! What the report keeps of every event, as the journal is read.

use std::collections::BTreeMap;

use tandem_domain::book::{Book, Clause, Decided, DeclineReason, Event, Verdict};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::{Account, Entry, EntryKind};
use tandem_domain::loan::{Action, Totals, Transaction};
use tandem_domain::money::{Amount, Rounding};
use tandem_domain::party::MAX_PARTIES;
use tandem_domain::policy::Outcome;
use tandem_domain::settlement::Plan;
use tandem_engine::Step;

use super::limits::Limits;
use super::text::{Month, count, of, percent};

/// One number for each party, by its place in the agreement.
pub(super) type ByParty<T> = [T; MAX_PARTIES];

/// Observes every event of a replay and keeps what the report needs.
#[derive(Default)]
pub(crate) struct Collector {
    pub(super) events: u64,
    pub(super) batches: u64,
    pub(super) decisions: Decisions,
    pub(super) limits: Limits,
    pub(super) payments: Payments,
    pub(super) closes: Vec<Closed>,
    pub(super) years: Vec<Year>,
    pub(super) settlement: Settlement,
    pub(super) losses: Losses,
}

impl Collector {
    /// One that has seen nothing.
    pub(crate) fn new() -> Collector {
        Collector::default()
    }

    /// Takes one event.
    pub(crate) fn observe(&mut self, step: &Step<'_>) {
        self.events += 1;
        self.batches = step.batch;
        self.limits.observe(step, &self.decisions);
        for entry in step.entries {
            self.book_entry(entry);
        }
        match step.event {
            Event::Decided(decided) => self.decisions.add(decided, step.book),
            Event::Underwritten {
                application,
                decided,
                ..
            } => (self.decisions).underwritten(*application, decided, step.book),
            Event::Disbursed { application } => {
                let record = &step.book.application_in(*application);
                let came = self.decisions.came(*application, record.decided_on);
                self.decisions.month(came).disbursed += 1;
            }
            Event::Instructed {
                transaction,
                change,
                ..
            } => self.take_instruction(*transaction, change, step.book),
            Event::Reversed { change, .. } => {
                self.payments.reversed += 1;
                self.payments.received += change.received;
                self.losses.add(change);
            }
            Event::ChargedOff {
                transaction,
                change,
                ..
            } => self.losses.charge_off(*transaction, change, step.book),
            Event::Planned(plan) => self.settlement.plan(plan),
            Event::Settled { .. } => self.settlement.settled += 1,
            Event::DayClosed(close) => {
                let pool = step.book.pool();
                let rate = step.book.current().and_then(|(_, version)| {
                    let guarantee = version.agreement.file.guarantee.as_ref()?;
                    Some(guarantee.pool)
                });
                self.closes.push(Closed {
                    day: close.day,
                    active: close.active_loans,
                    outstanding: close.outstanding,
                    by_class: close.by_class.clone(),
                    charged_off: self.losses.charged_off,
                    compensated: self.losses.compensated,
                    recovered: self.losses.recovered,
                    pool: rate.map_or(Amount::ZERO, |rate| pool.disbursed.at(rate, Rounding::Down)),
                });
                self.year(close.day).close(step.book);
            }
            Event::Signed { .. }
            | Event::Withdrawn { .. }
            | Event::DayEnded { .. }
            | Event::Fixed { .. }
            | Event::SliceSent(_)
            | Event::SliceReceived(_)
            | Event::Archived { .. }
            | Event::Adjusted { .. } => {}
        }
    }

    fn take_instruction(&mut self, transaction: Transaction, change: &Totals, book: &Book) {
        let payment = matches!(
            transaction.action,
            Action::Repay(_) | Action::Prepay(..) | Action::Settle(_)
        );
        if payment {
            self.payments.count += 1;
            self.payments.back_dated += u32::from(transaction.day < book.business_date());
        } else {
            self.payments.others += 1;
        }
        self.payments.received += change.received;
        self.losses.add(change);
    }

    fn book_entry(&mut self, entry: &Entry) {
        if entry.kind == EntryKind::Settlement {
            return;
        }
        let year = self.year(entry.day);
        for posting in &entry.postings {
            if let Some(line) = RESULT
                .iter()
                .position(|account| *account == posting.account)
            {
                // Income is a credit, so the result is what is credited less what is debited.
                year.result[posting.party.index()][line] -= posting.amount;
            }
        }
    }

    /// The year of a business date; dates only move on.
    fn year(&mut self, day: Day) -> &mut Year {
        let year = day.ymd().0;
        if self.years.last().is_none_or(|last| last.year != year) {
            self.years.push(Year {
                year,
                ..Year::default()
            });
        }
        let last = self.years.len() - 1;
        &mut self.years[last]
    }
}

/// Accounts that make a party's result, in the order of its statement.
pub(super) const RESULT: [Account; 10] = [
    Account::InterestIncome,
    Account::PenaltyIncome,
    Account::FeeIncome,
    Account::ServiceFeeIncome,
    Account::RecoveryIncome,
    Account::SaleGain,
    Account::ServiceFeeExpense,
    Account::GuaranteeExpense,
    Account::GoodwillExpense,
    Account::ImpairmentLoss,
];

/// Income, expense and average principal of a calendar year.
#[derive(Clone, Debug, Default)]
pub(super) struct Year {
    pub(super) year: i32,
    /// By party, the lines of [`RESULT`]: income positive, expense negative.
    pub(super) result: ByParty<[Amount; RESULT.len()]>,
    /// Principal outstanding summed over the evenings of the year.
    pub(super) principal_days: ByParty<i128>,
    /// Days closed.
    pub(super) days: u32,
}

impl Year {
    fn close(&mut self, book: &Book) {
        self.days += 1;
        for (party, sum) in self.principal_days.iter_mut().enumerate() {
            let party = tandem_domain::party::PartyId(party as u8);
            *sum += i128::from(book.ledgers().balance(party, Account::Loans).0);
        }
    }
}

/// How applications were decided.
#[derive(Default)]
pub(super) struct Decisions {
    pub(super) months: BTreeMap<Month, Outcomes>,
    /// Applications by how many lenders' own decisions accept them.
    pub(super) accepting: [u32; MAX_PARTIES + 1],
    /// Reasons that lenders gave: by version, place of the lender and of the reason.
    pub(super) reasons: BTreeMap<(u16, u8, u8), Given>,
    /// Lenders that would fund but may not.
    pub(super) barred: BTreeMap<(u16, u8, Clause), u32>,
    /// Why applications were declined as a whole.
    pub(super) declined: BTreeMap<(u16, DeclineReason), u32>,
    /// Applications that people decided on, or have to: when they came in, and as they stand.
    referred: BTreeMap<u32, (Day, Decided)>,
}

/// Applications of a month, or of all months.
#[derive(Clone, Debug, Default)]
pub(super) struct Outcomes {
    pub(super) applications: u32,
    /// Of these, lenders were asked; the others do not fit the product or the agreement.
    pub(super) asked: u32,
    pub(super) offered: u32,
    pub(super) declined: u32,
    pub(super) referred: u32,
    pub(super) disbursed: u32,
    pub(super) lenders: ByParty<Tally>,
}

impl Outcomes {
    /// The figures as tables show them: applications, asked, offered, of all, declined, referred,
    /// lent.
    pub(super) fn cells(&self) -> [String; 7] {
        [
            count(self.applications),
            count(self.asked),
            count(self.offered),
            percent(of(self.offered, self.applications)),
            count(self.declined),
            count(self.referred),
            count(self.disbursed),
        ]
    }
}

/// What one lender decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) accepted: u32,
    pub(super) declined: u32,
    pub(super) referred: u32,
}

/// How often a reason was given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) times: u32,
    /// Of these, it was the only one.
    pub(super) alone: u32,
}

impl Decisions {
    fn month(&mut self, day: Day) -> &mut Outcomes {
        self.months.entry(Month::of(day)).or_default()
    }

    /// A decision on a fresh application.
    fn add(&mut self, decided: &Decided, book: &Book) {
        let application = book.application_count() as u32 - 1;
        if matches!(decided.verdict, Verdict::Referred(..)) {
            let waits = (book.business_date(), decided.clone());
            self.referred.insert(application, waits);
        }
        self.count(decided, book.business_date(), 1, book);
    }

    /// What a person decides takes the place of what was decided before, in the month in which the
    /// application came in.
    fn underwritten(&mut self, application: u32, decided: &Decided, book: &Book) {
        let Some((came, before)) = self.referred.remove(&application) else {
            return;
        };
        self.count(&before, came, -1, book);
        self.reasons.retain(|_, given| given.times > 0);
        self.barred.retain(|_, times| *times > 0);
        self.count(decided, came, 1, book);
        self.referred.insert(application, (came, decided.clone()));
    }

    /// The day on which an application came in, if people decided on it; else that of its decision.
    fn came(&self, application: u32, decided_on: Day) -> Day {
        let referred = self.referred.get(&application);
        referred.map_or(decided_on, |(came, _)| *came)
    }

    /// What was decided of an application before its last decision, if people decide on it.
    pub(super) fn before(&self, application: u32) -> Option<&Decided> {
        self.referred.get(&application).map(|(_, decided)| decided)
    }

    /// Counts what was decided of an application that came in on a day, or takes it back (-1).
    fn count(&mut self, decided: &Decided, came: Day, sign: i32, book: &Book) {
        let one = |count: &mut u32| *count = count.saturating_add_signed(sign);
        let place = decided.version;
        let asked = !matches!(
            decided.verdict,
            Verdict::Declined(
                DeclineReason::Term | DeclineReason::Amount | DeclineReason::Ineligible(_)
            )
        );
        let month = self.months.entry(Month::of(came)).or_default();
        one(&mut month.applications);
        match &decided.verdict {
            Verdict::Offered { .. } => one(&mut month.offered),
            Verdict::Declined(reason) => {
                one(&mut month.declined);
                one(self.declined.entry((place, *reason)).or_default());
            }
            Verdict::Referred(..) => one(&mut month.referred),
        }
        if !asked {
            return;
        }
        one(&mut month.asked);
        let lenders = &book.versions()[usize::from(place)].agreement.lenders;
        let mut accepting = 0;
        for (at, (decision, lender)) in decided.decisions.iter().zip(lenders).enumerate() {
            let tally = &mut month.lenders[lender.index()];
            let reasons = match &decision.outcome {
                Outcome::Approve { .. } => {
                    one(&mut tally.accepted);
                    accepting += 1;
                    continue;
                }
                Outcome::Decline(reasons) => {
                    one(&mut tally.declined);
                    reasons
                }
                Outcome::Refer(reasons) => {
                    one(&mut tally.referred);
                    reasons
                }
            };
            for &reason in reasons {
                let given = self.reasons.entry((place, at as u8, reason)).or_default();
                one(&mut given.times);
                if reasons.len() == 1 {
                    one(&mut given.alone);
                }
            }
        }
        one(&mut self.accepting[accepting]);
        for barred in &decided.barred {
            let key = (place, barred.lender, barred.clause);
            one(self.barred.entry(key).or_default());
        }
    }
}

impl Outcomes {
    /// Adds another month.
    pub(super) fn add(&mut self, other: &Outcomes) {
        self.applications += other.applications;
        self.asked += other.asked;
        self.offered += other.offered;
        self.declined += other.declined;
        self.referred += other.referred;
        self.disbursed += other.disbursed;
        for (sum, own) in self.lenders.iter_mut().zip(other.lenders) {
            sum.accepted += own.accepted;
            sum.declined += own.declined;
            sum.referred += own.referred;
        }
    }
}

/// Money from borrowers, less what was charged back or reversed.
#[derive(Default)]
pub(super) struct Payments {
    pub(super) count: u32,
    pub(super) received: Amount,
    /// Payments whose value date lay before the business date.
    pub(super) back_dated: u32,
    /// What else was done to loans: plans changed, shares sold, payments charged back.
    pub(super) others: u32,
    /// Instructions that were taken back.
    pub(super) reversed: u32,
}

/// The book on the evening of a day.
#[derive(Clone, Debug)]
pub(super) struct Closed {
    pub(super) day: Day,
    pub(super) active: u32,
    pub(super) outstanding: Amount,
    pub(super) by_class: Vec<Amount>,
    /// Written off so far.
    pub(super) charged_off: Amount,
    /// Compensated by the guarantor so far.
    pub(super) compensated: Amount,
    /// Collected after charge-off so far.
    pub(super) recovered: Amount,
    /// Size of the guarantee pool.
    pub(super) pool: Amount,
}

/// What parties owed each other, and what they paid.
#[derive(Default)]
pub(super) struct Settlement {
    pub(super) windows: u32,
    pub(super) settled: u32,
    pub(super) obligations: u32,
    pub(super) transfers: u32,
    pub(super) months: BTreeMap<Month, Netting>,
    pub(super) parties: ByParty<Paid>,
}

/// Gross and net of the windows of a month.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Netting {
    pub(super) gross: Amount,
    pub(super) net: Amount,
}

/// What one party owed, was owed, paid and received.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Paid {
    pub(super) owed: Amount,
    pub(super) owning: Amount,
    pub(super) paid: Amount,
    pub(super) received: Amount,
}

impl Settlement {
    fn plan(&mut self, plan: &Plan) {
        self.windows += 1;
        self.obligations += plan.obligations.len() as u32;
        self.transfers += plan.transfers.len() as u32;
        let month = self.months.entry(Month::of(plan.window)).or_default();
        for owed in &plan.obligations {
            month.gross += owed.amount;
            self.parties[owed.from.index()].owed += owed.amount;
            self.parties[owed.to.index()].owning += owed.amount;
        }
        for transfer in &plan.transfers {
            month.net += transfer.amount;
            self.parties[transfer.from.index()].paid += transfer.amount;
            self.parties[transfer.to.index()].received += transfer.amount;
        }
    }

    /// All months.
    pub(super) fn total(&self) -> Netting {
        Netting {
            gross: self.months.values().map(|month| month.gross).sum(),
            net: self.months.values().map(|month| month.net).sum(),
        }
    }
}

/// Loans written off, and the guarantee.
#[derive(Default)]
pub(super) struct Losses {
    pub(super) loans: u32,
    pub(super) charged_off: Amount,
    pub(super) compensated: Amount,
    pub(super) recovered: Amount,
    /// Charge-offs that the pool did not cover as agreed, and the day of the first.
    pub(super) short: u32,
    pub(super) short_since: Option<Day>,
}

impl Losses {
    /// A back-dated payment can change what was written off, so every change counts.
    fn add(&mut self, change: &Totals) {
        self.charged_off += change.charged_off;
        self.compensated += change.compensated;
        self.recovered += change.recovered;
    }

    fn charge_off(&mut self, transaction: Transaction, change: &Totals, book: &Book) {
        self.loans += 1;
        self.add(change);
        if let Action::ChargeOff { covered, .. } = transaction.action
            && change.compensated < change.charged_off.at(covered, Rounding::HalfUp)
        {
            self.short += 1;
            self.short_since.get_or_insert(book.business_date());
        }
    }
}

#[cfg(test)]
mod tests {
    use tandem_engine::replay;

    use super::*;
    use crate::export::sample;

    /// One is approved, one declined with the reason for which it was referred, one left to lapse.
    #[test]
    fn what_people_decide_takes_the_place_of_the_referral() {
        let mut collector = Collector::new();
        let journal = &mut sample::referred();
        replay(journal.journal(), &mut |step| collector.observe(&step)).unwrap();
        let decisions = collector.decisions;
        let month = &decisions.months[&Month::of("2024-01-10".parse().unwrap())];
        let outcomes = [
            month.applications,
            month.asked,
            month.offered,
            month.declined,
            month.referred,
            month.disbursed,
        ];
        assert_eq!(outcomes, [3, 3, 1, 1, 1, 1]);
        let tally = |accepted, declined, referred| Tally {
            accepted,
            declined,
            referred,
        };
        assert_eq!(month.lenders[..2], [tally(3, 0, 0), tally(1, 1, 1)]);
        assert_eq!(decisions.accepting[..3], [0, 2, 1]);
        let reasons: Vec<_> = decisions.reasons.into_values().collect();
        assert_eq!(reasons, [Given { times: 2, alone: 2 }]);
    }
}
