//! What clients note down of the answers they got, without looking at the book.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::book::{
    Answer, Application, ApplicationState, Book, Command, MOST_DOCUMENTS, Refusal, Slice,
};
use tandem_domain::calendar::Day;
use tandem_domain::loan::Action;
use tandem_domain::money::Amount;

use crate::check::{Violation, ensure};
use crate::view;

/// The clients' notes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Commands that were carried out, by what makes them one of a kind.
    done: BTreeSet<String>,
    applications: BTreeMap<String, Application>,
    accepted: BTreeSet<String>,
    instructions: BTreeMap<String, (String, Day, Action)>,
    reversed: BTreeSet<String>,
    /// By whether it was received, and key.
    slices: BTreeMap<(bool, String), (Limit, Amount)>,
    closed: Option<Day>,
}

/// A limit by its clause, for a region or borrower.
type Limit = (String, Option<String>);

impl Notes {
    /// Notes an answer down, and checks that it fits the notes so far: a retry is known, another
    /// command under a used key is refused, and nothing is done twice. What was done to a loan that is
    /// archived is known to its archive.
    pub(crate) fn take(
        &mut self,
        command: &Command,
        answer: &Result<Answer, Refusal>,
    ) -> Result<(), Violation> {
        let retry = match command {
            Command::Apply(application) => {
                let same = |known: &Application| {
                    known.borrower == application.borrower && known.values == application.values
                };
                self.applications.get(&application.key).map(same)
            }
            Command::Instruct(instruction) => {
                let known = self.instructions.get(&instruction.key);
                known.map(|known| *known == noted(instruction))
            }
            _ => None,
        };
        let archived = matches!(answer, Err(Refusal::LoanArchived(_)));
        let known = archived || *answer == Ok(Answer::Known);
        ensure(retry != Some(true) || known, RETRY, || {
            format!("{command:?} was answered {answer:?}")
        })?;
        let refused = archived || matches!(answer, Err(Refusal::KeyUsed(_)));
        ensure(retry != Some(false) || refused, REUSE, || {
            format!("{command:?} was answered {answer:?}")
        })?;
        if let Command::Sign(documents) = command {
            let long = documents.bytes() > MOST_DOCUMENTS;
            let refused = matches!(answer, Err(Refusal::LongDocuments { .. }));
            let closing = matches!(answer, Err(Refusal::Closing(_)));
            ensure(refused == long || closing, LENGTH, || {
                let bytes = documents.bytes();
                format!("documents of {bytes} bytes were answered {answer:?}")
            })?;
        }
        let Ok(answer) = answer else {
            return Ok(());
        };
        if let (Some(identity), Answer::Done) = (identity(command), answer) {
            let first = self.done.insert(identity);
            ensure(first, TWICE, || format!("{command:?} was done again"))?;
        }
        match command {
            Command::Apply(application) => {
                let key = application.key.clone();
                self.applications.insert(key, (**application).clone());
            }
            Command::Accept { application } => {
                self.accepted.insert(application.clone());
            }
            Command::Instruct(instruction) => {
                let key = instruction.key.clone();
                self.instructions.insert(key, noted(instruction));
            }
            Command::Reverse { of, .. } => {
                self.reversed.insert(of.clone());
            }
            Command::SendSlice(slice) => self.moved(slice, false),
            Command::ReceiveSlice { slice, .. } => self.moved(slice, true),
            Command::CloseDay { day } => self.closed = Some(*day),
            _ => {}
        }
        Ok(())
    }

    fn moved(&mut self, slice: &Slice, received: bool) {
        let limit = (slice.clause.clone(), slice.subject.clone());
        let amount = if received {
            slice.amount
        } else {
            -slice.amount
        };
        let key = (received, slice.key.clone());
        self.slices.insert(key, (limit, amount));
    }

    /// What was done to a loan and not taken back.
    pub(crate) fn done_to(&self, application: &str) -> Vec<(Day, Action)> {
        let instructions = self.instructions.iter();
        let standing = instructions.filter(|(key, _)| !self.reversed.contains(*key));
        standing
            .filter(|(_, (of, ..))| of == application)
            .map(|(_, (_, day, action))| (*day, *action))
            .collect()
    }

    /// The book has what was acknowledged, and nothing else.
    pub(crate) fn compare(&self, book: &Book) -> Result<(), Violation> {
        for key in self.applications.keys() {
            ensure(book.application(key).is_some(), LOST, || {
                format!("application {key} was acknowledged")
            })?;
        }
        let (known, found) = (self.applications.len(), view::application_count(book));
        ensure(known == found, TWICE, || {
            format!("{known} applications were acknowledged, the book has {found}")
        })?;
        for key in &self.accepted {
            let state = book.application(key).map(|record| record.state);
            let lent = matches!(state, Some(ApplicationState::Disbursed(_)));
            ensure(lent, LOST, || format!("loan {key} was acknowledged"))?;
        }
        let (known, found) = (self.accepted.len(), view::loan_count(book));
        ensure(known == found, TWICE, || {
            format!("{known} loans were acknowledged, the book has {found}")
        })?;
        let held = book.held();
        let held = held.map(|held| {
            let limit = (held.clause.to_owned(), held.subject.map(str::to_owned));
            (limit, held.amount)
        });
        let mut moved: BTreeMap<Limit, Amount> = BTreeMap::new();
        for (limit, amount) in self.slices.values() {
            *moved.entry(limit.clone()).or_default() += *amount;
        }
        moved.retain(|_, amount| !amount.is_zero());
        ensure(held.eq(moved), LOST, || "slices".to_owned())?;
        let today = self.closed.map(|closed| closed + 1);
        ensure(
            today.is_none_or(|today| today == book.business_date()),
            LOST,
            || format!("{today:?} should be open, not {}", book.business_date()),
        )
    }
}

/// Nothing that a client was told is lost.
pub(crate) const LOST: &str = "nothing acknowledged is lost";
/// Nothing that a client sends again is done again.
pub(crate) const TWICE: &str = "nothing happens twice";
const RETRY: &str = "a retry is recognised";
const REUSE: &str = "a used key is refused";
const LENGTH: &str = "documents that are too long are refused, and no others";

fn noted(instruction: &tandem_domain::book::Instruction) -> (String, Day, Action) {
    let application = instruction.application.clone();
    (application, instruction.value_date, instruction.action)
}

/// What can be done once only.
fn identity(command: &Command) -> Option<String> {
    Some(match command {
        Command::Apply(application) => format!("apply {}", application.key),
        Command::Accept { application } => format!("accept {application}"),
        Command::Withdraw { application } => format!("withdraw {application}"),
        Command::Underwrite(one) => format!("underwrite {} {}", one.application, one.lender),
        Command::Instruct(instruction) => format!("instruct {}", instruction.key),
        Command::Reverse { key, .. } => format!("instruct {key}"),
        Command::SendSlice(slice) => format!("send {}", slice.key),
        Command::ReceiveSlice { slice, .. } => format!("receive {}", slice.key),
        Command::CloseDay { day } => format!("close {day}"),
        _ => return None,
    })
}
