//! The single writer of a book: it takes commands, decides them in order, makes what follows
//! durable in one batch for many, and only then answers.
//!
//! An [`Engine`] does one after the other on the thread of its caller. A [`Writer`] made of it
//! serves many threads, and decides the next batch while the last one is flushed.

mod executor;
mod replay;
mod writer;

use tandem_domain::book::{Answer, Book, Command, Refusal};
use tandem_journal::{BatchBuilder, Journal, JournalError, Store};
use thiserror::Error;

use executor::{Executor, Sink};
pub use replay::{ReplayError, Step, replay};
pub use writer::{Client, Request, Writer};

/// A book and the journal that makes it durable.
///
/// Any failure of the journal ends the engine: commands applied in memory may then not be
/// durable, so every later call is refused. Open the book again to go on from what is durable.
pub struct Engine<S: Store> {
    executor: Executor,
    sink: Appending<S>,
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
    /// An event is larger than a batch can be.
    #[error("an event of {0} bytes is larger than a journal batch can be; send smaller documents")]
    EventTooLarge(usize),
    /// The system gives no thread.
    #[error("cannot start a thread for the writer: {0}; allow this program more, or stop others")]
    Thread(#[from] std::io::Error),
}

impl<S: Store> Engine<S> {
    /// Opens a book: reads its whole journal and checks it on the way.
    pub fn open(mut journal: Journal<S>) -> Result<Engine<S>, ReplayError> {
        let book = replay(&mut journal, &mut |_| {})?;
        Ok(Engine {
            executor: Executor::new(book),
            sink: Appending::new(journal),
            failed: false,
        })
    }

    /// The book as of the last command.
    pub fn book(&self) -> &Book {
        &self.executor.book
    }

    /// The journal.
    pub fn journal(&mut self) -> &mut Journal<S> {
        &mut self.sink.journal
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
            answers.push(self.executor.execute(command, &mut self.sink)?);
        }
        self.sink.hand_over()?;
        self.failed = false;
        Ok(answers)
    }
}

/// A journal, and the batch that goes into it next.
struct Appending<S> {
    journal: Journal<S>,
    batch: BatchBuilder,
}

impl<S: Store> Appending<S> {
    fn new(journal: Journal<S>) -> Appending<S> {
        Appending {
            journal,
            batch: BatchBuilder::new(),
        }
    }
}

impl<S: Store> Sink for Appending<S> {
    fn batch(&mut self) -> &mut BatchBuilder {
        &mut self.batch
    }

    fn hand_over(&mut self) -> Result<(), EngineError> {
        self.journal.append(&mut self.batch)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::book::Documents;
    use tandem_journal::{BookName, Memory};

    use super::*;

    #[test]
    fn after_a_failure_nothing_is_taken_any_more() {
        let name = BookName::new("example").expect("a good name");
        let journal = Journal::open(Memory::new(name)).expect("an empty journal");
        let mut engine = Engine::open(journal).expect("an empty book");
        let example = |file: &str| {
            let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/lending-club/");
            std::fs::read_to_string(format!("{folder}{file}")).expect("the example is there")
        };
        let documents = Documents {
            agreement: format!("{}\n# {}", example("agreement.toml"), "x".repeat(600_000)),
            policies: vec![
                example("policies/house.toml"),
                example("policies/investors.toml"),
            ],
            rulebook: None,
            calendar: None,
        };
        let sign = || [Command::Sign(Box::new(documents.clone()))];
        let error = engine
            .submit(sign())
            .expect_err("larger than a batch")
            .to_string();
        assert!(
            error.ends_with("is larger than a journal batch can be; send smaller documents"),
            "{error}"
        );
        assert_eq!(
            engine.submit(sign()).expect_err("it stopped").to_string(),
            "the engine has stopped; open the book again to go on from what is durable"
        );
    }
}
