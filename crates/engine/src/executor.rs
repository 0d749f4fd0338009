//! What every way of writing a book has in common: a command becomes events in a batch.

use tandem_domain::book::{Answer, Book, Command, Event, Refusal};
use tandem_journal::{BatchBuilder, PushError};

use crate::EngineError;

/// Where the events of commands go.
pub(crate) trait Sink {
    /// The batch being filled.
    fn batch(&mut self) -> &mut BatchBuilder;

    /// Sends the batch on its way and leaves an empty one in its place.
    fn hand_over(&mut self) -> Result<(), EngineError>;
}

/// A book that commands are carried out in.
pub(crate) struct Executor {
    pub(crate) book: Book,
    /// Of the command at hand; kept for its memory.
    events: Vec<Event>,
}

impl Executor {
    pub(crate) fn new(book: Book) -> Executor {
        Executor {
            book,
            events: Vec::new(),
        }
    }

    /// Carries a command out and adds its events to the batch, or to the next where it is full.
    pub(crate) fn execute(
        &mut self,
        command: Command,
        sink: &mut impl Sink,
    ) -> Result<Result<Answer, Refusal>, EngineError> {
        let answer = self.book.execute(command, &mut self.events, &mut |_| {});
        for event in self.events.drain(..) {
            let encode = |buffer: &mut Vec<u8>| {
                minicbor::encode(&event, buffer).expect("encoding into memory cannot fail");
            };
            match sink.batch().push_with(encode) {
                Ok(()) => {}
                Err(PushError::Full) => {
                    sink.hand_over()?;
                    sink.batch().push_with(encode).map_err(too_large)?;
                }
                Err(error) => return Err(too_large(error)),
            }
        }
        Ok(answer)
    }
}

fn too_large(error: PushError) -> EngineError {
    match error {
        PushError::TooLarge { len } => EngineError::EventTooLarge(len),
        PushError::Full => EngineError::EventTooLarge(tandem_journal::MAX_BODY),
    }
}
