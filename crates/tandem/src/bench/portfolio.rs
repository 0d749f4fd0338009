//! A portfolio as a programme has it after a year: loans of its own applications, disbursed over
//! four weeks, paid month by month, a few of them overdue.

use std::collections::BTreeMap;

use indicatif::ProgressBar;
use tandem_domain::book::{
    Answer, Application, ApplicationState, Book, Command, Documents, Event, Instruction, Refusal,
    Version,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::loan::Action;
use tandem_domain::money::Amount;
use tandem_domain::policy::Decision;

use crate::fail::{Failure, Outcome};
use crate::programme::Programme;

/// Days over which the loans are disbursed, so that some fall due on every day of a month.
pub(super) const SPREAD: u64 = 28;
/// Payments that most loans have behind them.
pub(super) const PAYMENTS: u32 = 12;
/// One loan in so many is overdue.
pub(super) const OVERDUE: u64 = 33;

/// Carries out commands, as a book or an engine does.
pub(super) trait Desk {
    fn submit(&mut self, commands: Vec<Command>) -> Outcome;
    fn book(&self) -> &Book;
}

/// Keeps a book alone; its events go nowhere.
#[derive(Default)]
pub(super) struct BookDesk {
    pub(super) book: Book,
    events: Vec<Event>,
}

impl Desk for BookDesk {
    fn submit(&mut self, commands: Vec<Command>) -> Outcome {
        for command in commands {
            self.events.clear();
            carried_out(self.book.execute(command, &mut self.events, &mut |_| {}))?;
        }
        Ok(())
    }

    fn book(&self) -> &Book {
        &self.book
    }
}

/// No command of a portfolio is refused.
pub(super) fn carried_out(answer: Result<Answer, Refusal>) -> Outcome {
    match answer {
        Ok(_) => Ok(()),
        Err(refusal) => Err(Failure(format!("the portfolio does not grow: {refusal}"))),
    }
}

/// Where loans come from.
pub(super) struct Portfolio {
    version: Version,
    /// Applications that become loans, with the lenders' decisions.
    lent: Vec<(Vec<Value>, Vec<Decision>)>,
    loans: u64,
    /// Loans that fall due in a month, by the days since the first disbursement.
    due: BTreeMap<Day, Vec<u32>>,
}

/// Commands in one batch.
const BATCH: usize = 1_000;

impl Portfolio {
    pub(super) fn of(programme: &Programme, loans: u64) -> Outcome<Portfolio> {
        let rows = programme.applications(None)?.rows;
        let documents = without_limits(&programme.version.documents)?;
        let version = Version::parse(documents)
            .map_err(|problems| Failure(format!("agreement without limits: {problems:?}")))?;
        let mut trial = BookDesk::default();
        trial.submit(vec![Command::Sign(Box::new(version.documents.clone()))])?;
        let mut lent = Vec::new();
        for (number, row) in rows.into_iter().enumerate() {
            let decisions = version.decisions(&row.values);
            let values = row.values;
            let key = format!("T-{number}");
            trial.submit(vec![apply(key.clone(), &values, &decisions)])?;
            let state = trial.book.application(&key).map(|record| record.state);
            if state == Some(ApplicationState::Offered) {
                lent.push((values, decisions));
            }
        }
        if lent.is_empty() {
            return Err(Failure(
                "no application of the programme becomes a loan".into(),
            ));
        }
        Ok(Portfolio {
            version,
            lent,
            loans,
            due: BTreeMap::new(),
        })
    }

    /// Commands that growing takes.
    pub(super) fn steps(&self) -> u64 {
        self.loans * (2 + u64::from(PAYMENTS))
    }

    /// Lends and collects, day by day, until most loans have made their payments.
    pub(super) fn grow(&mut self, desk: &mut impl Desk, bar: &ProgressBar) -> Outcome {
        desk.submit(vec![Command::Sign(Box::new(
            self.version.documents.clone(),
        ))])?;
        for part in 0..SPREAD {
            let of = |part: u64| self.loans * part / SPREAD;
            let (day, first) = (desk.book().business_date(), desk.book().loan_count() as u32);
            for numbers in Chunks::of(of(part)..of(part + 1)) {
                let commands = numbers.flat_map(|number| {
                    let place = (number % self.lent.len() as u64) as usize;
                    let (values, decisions) = &self.lent[place];
                    let application = format!("B-{number:08}");
                    let accept = Command::Accept {
                        application: application.clone(),
                    };
                    [apply(application, values, decisions), accept]
                });
                let commands: Vec<_> = commands.collect();
                bar.inc(commands.len() as u64);
                desk.submit(commands)?;
            }
            let loans = first..desk.book().loan_count() as u32;
            self.due.insert(day, loans.collect());
            close(desk)?;
        }
        for month in 1..=PAYMENTS {
            let days: Vec<Day> = self.due.keys().copied().collect();
            for started in days {
                let due = started.plus_months(month);
                while desk.book().business_date() < due {
                    close(desk)?;
                }
                self.collect(desk, started, month, bar)?;
            }
        }
        close(desk)
    }

    /// The first days of disbursement, whose loans fall due again next.
    pub(super) fn days(&self) -> Vec<Day> {
        self.due.keys().copied().collect()
    }

    /// Pays what falls due on the business date by the loans of one day. Loans that are overdue
    /// have stopped paying one or two months before the others.
    pub(super) fn collect(
        &self,
        desk: &mut impl Desk,
        started: Day,
        month: u32,
        bar: &ProgressBar,
    ) -> Outcome {
        let today = desk.book().business_date();
        let pays = |place: u32| {
            let place = u64::from(place);
            let last = PAYMENTS - 1 - (place / OVERDUE % 2) as u32;
            !place.is_multiple_of(OVERDUE) || month <= last
        };
        let due = &self.due[&started];
        for places in due.chunks(BATCH) {
            let book = desk.book();
            let commands = places.iter().filter(|&&place| pays(place)).map(|&place| {
                let loan = book.loan_in(place);
                let key = book.key_of(&loan);
                Command::Instruct(Instruction {
                    key: format!("{key}/{month}"),
                    application: key.to_owned(),
                    value_date: today,
                    action: Action::Repay(loan.instalment.max(Amount(1))),
                })
            });
            let commands: Vec<_> = commands.collect();
            bar.inc(commands.len() as u64);
            desk.submit(commands)?;
        }
        Ok(())
    }
}

/// The documents without limits and rules, which so many loans would exceed.
fn without_limits(documents: &Documents) -> Outcome<Documents> {
    let mut table: toml::Table = documents.agreement.parse()?;
    for field in ["limit", "rulebook"] {
        table.remove(field);
    }
    Ok(Documents {
        agreement: toml::to_string(&table)?,
        rulebook: None,
        ..documents.clone()
    })
}

/// Closes the business date.
pub(super) fn close(desk: &mut impl Desk) -> Outcome {
    let day = desk.book().business_date();
    desk.submit(vec![Command::CloseDay { day }])
}

fn apply(key: String, values: &[Value], decisions: &[Decision]) -> Command {
    Command::Apply(Box::new(Application {
        key,
        borrower: None,
        values: values.to_vec(),
        decisions: decisions.to_vec(),
    }))
}

/// A range in pieces of a batch.
struct Chunks(std::ops::Range<u64>);

impl Chunks {
    fn of(range: std::ops::Range<u64>) -> Chunks {
        Chunks(range)
    }
}

impl Iterator for Chunks {
    type Item = std::ops::Range<u64>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = self.0.start;
        let end = self.0.end.min(start + BATCH as u64);
        self.0.start = end;
        (start < end).then_some(start..end)
    }
}
