//! `tandem history`: the life of one loan in plain words, with every date and amount, or of an
//! application that never became one.

mod application;
mod day;
mod loan;
mod parties;
mod position;
mod story;

use tandem_domain::book::{Book, Event, Loan};
use tandem_domain::loan::{Action, Transaction};
use tandem_engine::{Step, replay};
use tandem_journal::{Journal, Store};

use crate::data::BookOption;
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::words::distance;
use application::lender;
use story::Story;

/// Options of `tandem history`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Key of the application that the loan came from.
    loan: String,
    #[command(flatten)]
    book: BookOption,
}

/// Tells the life of one loan.
pub(crate) fn history(options: &Options) -> Outcome {
    let mut journal = options.book.place()?.open_read_only()?;
    export::show(&tell(&mut journal, &options.loan)?)
}

fn tell<S: Store>(journal: &mut Journal<S>, key: &str) -> Outcome<String> {
    let mut story = Story::new(key);
    let book = replay(journal, &mut |step| story.step(&step))?;
    story.end(&book)
}

/// A loan before a command, by its place.
pub(crate) type Before = (u32, Loan);

/// Tells what an instruction has just done to a loan, and what comes next; `of` is the key of the
/// instruction that was taken back.
pub(crate) fn done(key: &str, of: Option<&str>, (place, before): &Before, book: &Book) -> String {
    let loan = &book.loan_in(*place);
    let mut story = Story::new(key);
    story.loan = Some(*place);
    story.before = Some((before.position.clone(), before.class));
    story.next = true;
    let change = loan.position.totals.since(&before.position.totals);
    let is_in = |history: &[Transaction], wanted: &Transaction| {
        history.iter().any(|known| known.number == wanted.number)
    };
    let (was, is) = (before.history.transactions(), loan.history.transactions());
    let gone = was.iter().find(|known| !is_in(&is, known));
    let new = is.iter().find(|known| !is_in(&was, known));
    match (of, gone, new) {
        (Some(of), Some(gone), _) => {
            story.done.push((of.to_owned(), *gone));
            story.reversed(key, gone.number, &change, book);
        }
        (_, _, Some(new)) if matches!(new.action, Action::ChargeOff { .. }) => {
            story.charged_off(&change, book);
        }
        (_, _, Some(new)) => story.instructed(key, new, &change, book),
        _ => {}
    }
    story.overdue(loan, book);
    story.text.trim_start().to_owned()
}

impl Story<'_> {
    fn step(&mut self, step: &Step<'_>) {
        let (book, today) = (step.book, step.book.business_date());
        match step.event {
            Event::Decided(decided) if decided.key == self.key => {
                self.application = Some((book.application_count() - 1) as u32);
                self.decided(decided, book);
            }
            Event::Underwritten {
                application,
                lender: place,
                decided,
            } if Some(*application) == self.application => {
                let version = &book.versions()[usize::from(decided.version)];
                let lender = lender(&version.agreement, usize::from(*place));
                self.event(today, format_args!("A person at {lender} decides"));
                self.judged(decided, version);
            }
            Event::Withdrawn { application } if Some(*application) == self.application => {
                self.event(today, "The application is withdrawn");
            }
            Event::Disbursed { application } if Some(*application) == self.application => {
                let loan = (book.loan_count() - 1) as u32;
                self.loan = Some(loan);
                self.disbursed(&book.loan_in(loan), book);
            }
            Event::Instructed {
                key,
                loan,
                transaction,
                change,
                ..
            } if Some(*loan) == self.loan => {
                self.instructed(key, transaction, change, book);
                self.done.push((key.clone(), *transaction));
            }
            Event::Reversed {
                key,
                loan,
                number,
                change,
                ..
            } if Some(*loan) == self.loan => {
                self.reversed(key, *number, change, book);
            }
            Event::Fixed { index, day, rate } => self.fixed(index, *day, *rate, book),
            Event::ChargedOff { loan, change, .. } if Some(*loan) == self.loan => {
                self.charged_off(change, book);
            }
            Event::Archived { name, loans }
                if self
                    .loan
                    .is_some_and(|loan| loans.binary_search(&loan).is_ok()) =>
            {
                self.event(today, format_args!("Archived in {name}"));
            }
            Event::DayEnded { .. } => self.day_ended(book),
            _ => {}
        }
        if let Some(loan) = self.loan {
            let own = step.entries.iter().filter(|entry| entry.loan == Some(loan));
            self.entries.extend(own.cloned());
            let loan = book.loan_in(loan);
            self.class_changed(&loan, book);
            self.before = Some((loan.position, loan.class));
        }
    }

    fn end(mut self, book: &Book) -> Outcome<String> {
        if self.application.is_none() {
            return Err(unknown(self.key, book));
        }
        if let Some(loan) = self.loan {
            self.position(&book.loan_in(loan), book);
            self.postings(book);
        }
        Ok(self.text)
    }
}

/// What to say about a key that no application has.
pub(crate) fn unknown(key: &str, book: &Book) -> Failure {
    let keys = book.applications().map(|record| record.key);
    let furthest = 1 + key.chars().count() / 4;
    let mut near: Vec<(usize, &str)> = keys
        .map(|known| (distance(key, known), known))
        .filter(|(away, _)| *away <= furthest)
        .collect();
    near.sort_by_key(|(away, _)| *away);
    let near: Vec<_> = near.iter().take(5).map(|(_, known)| *known).collect();
    let hint = match (near.as_slice(), book.application_at(0)) {
        (_, None) => "the book has none".to_owned(),
        ([], Some(first)) => format!("keys here look like {}", first.key),
        (near, _) => format!("near it are {}", near.join(", ")),
    };
    Failure(format!("there is no application `{key}`; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{sample, tests::golden};

    fn told(key: &str) -> Outcome<String> {
        tell(sample::engine().journal(), key)
    }

    #[test]
    fn every_fate_is_told() {
        for key in ["A-1", "A-2", "A-3", "B-1", "B-2", "B-3", "B-4", "B-5"] {
            let text = told(key).unwrap();
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{text}"
            );
            golden(&text, &format!("history-{key}"));
        }
    }

    #[test]
    fn everything_that_is_done_is_told() {
        for key in ["C-1", "C-2"] {
            let text = tell(sample::eventful().journal(), key).unwrap();
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{text}"
            );
            golden(&text, &format!("history-{key}"));
        }
    }

    #[test]
    fn what_people_decide_is_told() {
        for key in ["D-1", "D-2", "D-3"] {
            let text = tell(sample::referred().journal(), key).unwrap();
            golden(&text, &format!("history-{key}"));
        }
    }

    #[test]
    fn an_unknown_key_names_its_neighbours() {
        let said = |key| told(key).expect_err("there is none").0;
        assert_eq!(
            said("A-4"),
            "there is no application `A-4`; near it are A-1, A-2, A-3, B-4"
        );
        assert_eq!(
            said("somebody else"),
            "there is no application `somebody else`; keys here look like A-1"
        );
        let name = tandem_journal::BookName::new("empty").unwrap();
        let mut empty = Journal::open(tandem_journal::Memory::new(name)).unwrap();
        assert_eq!(
            tell(&mut empty, "A-1").expect_err("there is none").0,
            "there is no application `A-1`; the book has none"
        );
    }
}
