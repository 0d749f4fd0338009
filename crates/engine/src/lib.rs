//! The single writer of a book: it takes commands, decides them in order, makes what follows
//! durable in one batch for many, and only then answers.

pub mod disclosure;
mod replay;

use tandem_domain::book::{Answer, Book, Command, Event, Refusal};
use tandem_journal::{BatchBuilder, Journal, JournalError, PushError, Readers, Store};
use thiserror::Error;

pub use replay::{ReplayError, Step, apply_checked, replay};

use crate::disclosure::Disclosure;

/// A book and the journal that makes it durable.
///
/// Any failure of the journal ends the engine: commands applied in memory may then not be
/// durable, so every later call is refused. Open the book again to go on from what is durable.
pub struct Engine<S: Store> {
    book: Book,
    journal: Journal<S>,
    batch: BatchBuilder,
    disclosure: Disclosure,
    events: Vec<Event>,
    /// True after any failure; the book in memory may then be ahead of the journal.
    failed: bool,
}

/// Why the engine stopped.
#[derive(Debug, Error)]
pub enum EngineError {
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An earlier failure ended the engine.
    #[error(
        "the engine stopped after a failure; open the book again to go on from what is durable"
    )]
    Stopped,
    /// An event is larger than a batch can be.
    #[error("an event of {0} bytes is larger than a journal batch can be; send smaller documents")]
    EventTooLarge(usize),
}

impl<S: Store> Engine<S> {
    /// Opens a book: reads its whole journal and checks it on the way.
    pub fn open(mut journal: Journal<S>) -> Result<Engine<S>, ReplayError> {
        let mut disclosure = Disclosure::default();
        let book = replay(&mut journal, &mut |step| disclosure.observe(step.event))?;
        Ok(Engine {
            book,
            journal,
            batch: BatchBuilder::new(),
            disclosure,
            events: Vec::new(),
            failed: false,
        })
    }

    /// The book as of the last command.
    pub fn book(&self) -> &Book {
        &self.book
    }

    /// The journal.
    pub fn journal(&mut self) -> &mut Journal<S> {
        &mut self.journal
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
            let answer = self.book.execute(command, &mut self.events, &mut |_| {});
            answers.push(answer);
            self.write_events()?;
        }
        self.journal.append(&mut self.batch)?;
        self.failed = false;
        Ok(answers)
    }

    /// Moves the events of a command into the batch; a full batch is appended first.
    fn write_events(&mut self) -> Result<(), EngineError> {
        for event in self.events.drain(..) {
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
        }
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
            "the engine stopped after a failure; open the book again to go on from what is durable"
        );
    }
}
