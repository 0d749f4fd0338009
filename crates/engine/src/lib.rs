//! The single writer of a book: it takes commands, decides them in order, makes what follows
//! durable in one batch for many, and only then answers.
//!
//! An [`Engine`] does one after the other on the thread of its caller. A [`Writer`] made of it
//! serves many threads, and decides the next batch while the last one is flushed.

pub mod disclosure;
mod replay;
mod replica;
mod snapshot;
mod writer;

use tandem_domain::book::{Answer, Book, Command, Event, Refusal};
use tandem_journal::{BatchBuilder, Journal, JournalError, PushError, Readers, Store};
use thiserror::Error;

use crate::disclosure::Disclosure;

pub use replay::{ReplayError, Step, apply_checked, replay};
pub use replica::Replica;
pub use writer::{Client, Origin, Request, Writer, Written};

/// A book and the journal that makes it durable.
///
/// Any failure of the journal ends the engine: commands applied in memory may then not be
/// durable, so every later call is refused. Open the book again to go on from what is durable.
pub struct Engine<S: Store> {
    book: Book,
    events: Vec<Event>,
    tail: Tail<S>,
    /// True after any failure; the book in memory may then be ahead of the journal.
    failed: bool,
}

/// Why the engine stopped.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The engine was stopped, by a failure or by its owner, before the commands were durable.
    #[error("the engine has stopped; open the book again to go on from what is durable")]
    Stopped,
    /// An event is larger than a batch can be. The book refuses what would have such an event, so it
    /// is a bug.
    #[error(
        "an event of {0} bytes is larger than a journal batch can be, which no command should be able \
         to bring about: report it, with the command"
    )]
    EventTooLarge(usize),
    /// The system gives no thread.
    #[error("cannot start a thread for the writer: {0}; allow this program more, or stop others")]
    Thread(#[from] std::io::Error),
}

impl<S: Store> Engine<S> {
    /// Opens a book: reads its whole journal and checks it on the way.
    pub fn open(journal: Journal<S>) -> Result<Engine<S>, ReplayError> {
        Replica::empty(journal.genesis()).into_engine(journal)
    }

    /// The book as of the last command.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The journal.
    pub fn journal(&mut self) -> &mut Journal<S> {
        &mut self.tail.journal
    }

    /// Carries commands out in order and returns their answers once all of them are durable.
    pub fn submit(
        &mut self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Vec<Result<Answer, Refusal>>, EngineError> {
        if self.failed {
            return Err(EngineError::Stopped);
        }
        self.failed = true;
        let mut answers = Vec::new();
        for command in commands {
            answers.push(self.book.execute(command, &mut self.events, &mut |_| {}));
            self.tail.write(&mut self.events, &mut |_, _| {})?;
        }
        self.tail.flush()?;
        self.failed = false;
        Ok(answers)
    }
}

/// Where events go: the batch being filled, and the journal behind it.
struct Tail<S: Store> {
    journal: Journal<S>,
    batch: BatchBuilder,
    disclosure: Disclosure,
}

impl<S: Store> Tail<S> {
    fn new(journal: Journal<S>, disclosure: Disclosure) -> Tail<S> {
        Tail {
            journal,
            batch: BatchBuilder::new(),
            disclosure,
        }
    }

    /// Moves events into the batch; a full batch is appended first. `written` takes each event
    /// with the number of its batch.
    fn write(
        &mut self,
        events: &mut Vec<Event>,
        written: &mut impl FnMut(u64, Event),
    ) -> Result<(), EngineError> {
        for event in events.drain(..) {
            self.disclosure.observe(&event);
            let encode = |body: &mut Vec<u8>, parts: &mut Vec<(usize, Readers)>| {
                self.disclosure.encode(&event, body, parts);
            };
            match self.batch.push_parts(encode) {
                Ok(()) => {}
                Err(PushError::Full) => {
                    self.journal.append(&mut self.batch)?;
                    self.batch.push_parts(encode).map_err(too_large)?;
                }
                Err(error) => return Err(too_large(error)),
            }
            written(self.journal.head().seq + 1, event);
        }
        Ok(())
    }

    /// Makes everything written durable.
    fn flush(&mut self) -> Result<(), EngineError> {
        self.journal.append(&mut self.batch)?;
        Ok(())
    }
}

fn too_large(error: PushError) -> EngineError {
    match error {
        PushError::TooLarge { len } => EngineError::EventTooLarge(len),
        PushError::Full => EngineError::EventTooLarge(tandem_journal::MAX_BODY),
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::calendar::Day;
    use tandem_domain::money::Rate;
    use tandem_journal::{BookName, Memory};

    use super::*;

    #[test]
    fn a_thread_that_does_not_start_says_what_to_do() {
        let error = std::io::Error::from(std::io::ErrorKind::WouldBlock);
        assert_eq!(
            EngineError::from(error).to_string(),
            "cannot start a thread for the writer: operation would block; allow this program more, \
             or stop others"
        );
    }

    #[test]
    fn after_a_failure_nothing_is_taken_any_more() {
        let name = BookName::new("example").expect("a good name");
        let journal = Journal::open(Memory::new(name)).expect("an empty journal");
        let mut engine = Engine::open(journal).expect("an empty book");
        // No command has such an event, so it is put there.
        engine.events.push(Event::Fixed {
            index: "x".repeat(600_000),
            day: Day(0),
            rate: Rate::ZERO,
        });
        let fix = || {
            [Command::Fix {
                index: "LPR1Y".to_owned(),
                day: Day(0),
                rate: Rate::ZERO,
            }]
        };
        let error = engine.submit(fix()).expect_err("larger than a batch");
        assert_eq!(
            error.to_string(),
            "an event of 600010 bytes is larger than a journal batch can be, which no command should \
             be able to bring about: report it, with the command"
        );
        assert_eq!(
            engine.submit(fix()).expect_err("it stopped").to_string(),
            "the engine has stopped; open the book again to go on from what is durable"
        );
    }
}
