//! `tandem verify`: reads a journal from its first batch and checks everything that must hold.

mod check;
mod decisions;
mod limits;
mod settlements;
mod shares;
#[cfg(test)]
mod tests;

use indicatif::{ProgressBar, ProgressStyle};
use tandem_domain::book::attest::{
    LEDGERS_BALANCE, MIRRORS_EQUAL, SETTLEMENTS_NET, SHARES_EXACT, SUMS_CURRENT,
};
use tandem_domain::book::{Book, Event};
use tandem_domain::ledger::{Account, Entry, EntryKind};
use tandem_engine::{Step, replay};
use tandem_journal::Store;
use tandem_web::hex;

use crate::data::BookOption;
use crate::export;
use crate::fail::{Failure, Outcome};
use check::Problems;
pub(crate) use check::{Check, thousands};
use decisions::{DECISIONS, Decisions};
use limits::{LIMITS, Limits};
use settlements::Settlements;

const JOURNAL: &str = "journal verified";

/// Options of `tandem verify`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    book: BookOption,
}

/// Verifies a book and prints what was checked.
pub(crate) fn verify(options: &Options) -> Outcome {
    let mut journal = options.book.place()?.open_read_only()?;
    let bar = progress(journal.head().seq);
    let result = read(&mut journal, &bar);
    bar.finish_and_clear();
    let (checks, text) = match result {
        Ok(read) => read,
        Err(failure) => {
            export::show(&format!("✗ {JOURNAL}\n"))?;
            return Err(failure);
        }
    };
    export::show(&text)?;
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let failed = failed
        .iter()
        .map(|check| format!("{}: {}", check.name, check.detail));
    Err(Failure(failed.collect::<Vec<_>>().join("\n")))
}

/// Draws on the terminal, or nothing if there is none.
fn progress(batches: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {percent:>3} % of {len} batches, {eta} left");
    let bar = ProgressBar::new(batches);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Replays a journal; gives the checks and the text about them.
fn read<S: Store>(
    journal: &mut tandem_journal::Journal<S>,
    bar: &ProgressBar,
) -> Outcome<(Vec<Check>, String)> {
    let mut verifier = Verifier::default();
    let book = replay(journal, &mut |step| {
        if step.batch != verifier.counts.batches {
            bar.set_position(step.batch);
        }
        verifier.observe(&step);
    })?;
    let checks = verifier.finish(&book);
    let mut text: String = checks.iter().map(|check| format!("{check}\n")).collect();
    let digest = hex(&book.digest());
    text += &format!("\n{}\ndigest {digest}\n", verifier.counts);
    Ok((checks, text))
}

/// Checks a book while its journal is read.
///
/// It keeps its own, simpler account of what is owed, planned and lent, made from postings and
/// events alone, so that it finds what the book itself gets wrong.
#[derive(Default)]
pub(crate) struct Verifier {
    counts: Counts,
    problems: Problems,
    decisions: Decisions,
    limits: Limits,
    settlements: Settlements,
}

impl Verifier {
    /// Looks at an event that was just applied.
    pub(crate) fn observe(&mut self, step: &Step<'_>) {
        let book = step.book;
        self.counts.batches = step.batch;
        self.counts.events += 1;
        for entry in step.entries {
            self.entry(entry, book);
        }
        match step.event {
            Event::Decided(decided) => {
                self.counts.applications += 1;
                let application = (book.application_count() - 1) as u32;
                let problems = &mut self.problems;
                self.decisions.decided(application, decided, book, problems);
                self.limits.offered(application, decided, book, problems);
            }
            Event::Underwritten {
                application,
                lender,
                decided,
            } => {
                let (lender, problems) = (usize::from(*lender), &mut self.problems);
                self.decisions
                    .underwritten(*application, lender, decided, book, problems);
                self.limits.offered(*application, decided, book, problems);
            }
            Event::Withdrawn { application } => {
                self.decisions.withdrawn(*application);
                self.limits.end_offer(*application, book);
            }
            Event::Disbursed { application } => {
                self.counts.loans += 1;
                self.limits.end_offer(*application, book);
                self.limits
                    .keep_undrawn((book.loan_count() - 1) as u32, book);
            }
            Event::Instructed { loan, change, .. }
            | Event::Reversed { loan, change, .. }
            | Event::ChargedOff { loan, change, .. } => {
                self.counts.changes += 1;
                shares::changed(change, *loan, step, &mut self.problems);
                self.limits.keep_undrawn(*loan, book);
            }
            Event::DayEnded { .. } => self.limits.day_ended(book),
            Event::Planned(plan) => self.settlements.planned(plan, book, &mut self.problems),
            Event::Settled { day, window } => {
                let problems = &mut self.problems;
                self.settlements
                    .settled(*day, *window, step.entries, problems);
            }
            Event::DayClosed(_) => self.day_closed(book),
            Event::Signed { .. }
            | Event::Fixed { .. }
            | Event::SliceSent(_)
            | Event::SliceReceived(_)
            | Event::Archived { .. }
            | Event::Adjusted { .. } => {}
        }
    }

    /// Ends the reading: everything that was checked, in a fixed order.
    pub(crate) fn finish(&mut self, book: &Book) -> Vec<Check> {
        for finding in book.findings() {
            let name = match finding.invariant {
                SUMS_CURRENT => SHARES_EXACT,
                name => name,
            };
            self.problems.add(name, finding.detail);
        }
        self.settlements.finish(book, &mut self.problems);
        let Counts {
            batches,
            applications,
            loans,
            entries,
            days,
            changes,
            ..
        } = self.counts;
        let (decisions, offers) = (self.decisions.made, self.limits.offered);
        let Settlements {
            planned, settled, ..
        } = self.settlements;
        let check = |name, looked_at: &[_]| self.problems.check(name, looked_at);
        vec![
            check(
                LEDGERS_BALANCE,
                &[(entries, "entries, every party by itself")],
            ),
            check(MIRRORS_EQUAL, &[(days, "day closes")]),
            check(SHARES_EXACT, &[(changes, "changes of"), (loans, "loans")]),
            check(SETTLEMENTS_NET, &[(planned, "plans,"), (settled, "paid")]),
            check(
                DECISIONS,
                &[(decisions, "decisions on"), (applications, "applications")],
            ),
            check(LIMITS, &[(offers, "offers")]),
            check(JOURNAL, &[(batches, "batches,"), (days, "state digests")]),
        ]
    }

    fn entry(&mut self, entry: &Entry, book: &Book) {
        self.counts.entries += 1;
        self.counts.postings += entry.postings.len() as u64;
        self.problems
            .require(entry.is_balanced(), LEDGERS_BALANCE, || {
                format!("entry {}", entry.number)
            });
        self.problems
            .require(entry.number == self.counts.entries, LEDGERS_BALANCE, || {
                format!("entry {} does not follow the one before", entry.number)
            });
        for posting in &entry.postings {
            match posting.account {
                Account::DueTo(creditor) if entry.kind != EntryKind::Settlement => {
                    self.settlements.owes(posting, creditor);
                }
                Account::Loans => {
                    if let Some(loan) = entry.loan {
                        let application = book.loan_in(loan).application;
                        self.limits
                            .lend(application, posting.party, posting.amount, book);
                    }
                }
                _ => {}
            }
        }
    }

    fn day_closed(&mut self, book: &Book) {
        self.counts.days += 1;
        let day = book.business_date().previous();
        for (creditor, debtor) in book.ledgers().unmirrored() {
            self.problems.add(
                MIRRORS_EQUAL,
                format!("{day}: parties {} and {}", creditor.0, debtor.0),
            );
        }
        for (party, _) in book.ledgers().unbalanced() {
            let detail = format!("{day}: party {}", party.0);
            self.problems.add(LEDGERS_BALANCE, detail);
        }
        self.limits.day_closed(day, book, &mut self.problems);
    }
}

/// How much there was to look at.
#[derive(Default)]
struct Counts {
    batches: u64,
    events: u64,
    applications: u64,
    loans: u64,
    entries: u64,
    postings: u64,
    days: u64,
    /// Changes of loans.
    changes: u64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in [
            ("batches", self.batches),
            ("events", self.events),
            ("applications", self.applications),
            ("loans", self.loans),
            ("entries", self.entries),
            ("postings", self.postings),
        ] {
            write!(f, "{name} {}, ", thousands(count))?;
        }
        write!(f, "days {}", thousands(self.days))
    }
}
