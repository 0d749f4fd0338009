//! Collecting events into the body of the next batch.

use std::mem;

use crate::batch::push_length;
use crate::{MAX_BODY, MAX_EVENT, Readers};

/// Collects events until a batch is full.
///
/// It keeps its buffer from batch to batch, so a steady writer allocates nothing.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    events: u32,
    body: Vec<u8>,
    /// Where the parts of the event that is being added end, and who is shown them.
    parts: Vec<(usize, Readers)>,
}

impl BatchBuilder {
    /// An empty builder.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an event, or changes nothing and says why not.
    pub fn push(&mut self, event: &[u8]) -> Result<(), PushError> {
        self.push_with(|body| body.extend_from_slice(event))
    }

    /// Adds an event that `encode` appends to the buffer, or changes nothing and says why not.
    ///
    /// # Panics
    ///
    /// When `encode` shortens the buffer, which holds the earlier events.
    pub fn push_with(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), PushError> {
        self.push_parts(|body, _| encode(body))
    }

    /// Adds an event of parts that not everybody who is shown the event is shown. `encode` appends
    /// to the buffer, and after each part to the list the length of the buffer and who is shown
    /// the part. An empty list stands for one part that is shared.
    ///
    /// # Panics
    ///
    /// When `encode` shortens the buffer, or the list does not end with the length of the buffer.
    pub fn push_parts(
        &mut self,
        encode: impl FnOnce(&mut Vec<u8>, &mut Vec<(usize, Readers)>),
    ) -> Result<(), PushError> {
        let start = self.body.len();
        self.parts.clear();
        encode(&mut self.body, &mut self.parts);
        let end = self.body.len();
        assert!(end >= start, "an encoder may only append to the buffer");
        let len = end - start;
        match *self.parts {
            [] | [(_, Readers::Shared)] => push_length(&mut self.body, 2 * len),
            [.., (last, _)] => {
                assert_eq!(last, end, "the last part ends where the event ends");
                push_length(&mut self.body, 2 * self.parts.len() + 1);
                let mut from = start;
                for &(to, readers) in &self.parts {
                    match readers {
                        Readers::Shared => push_length(&mut self.body, 2 * (to - from)),
                        Readers::Only(set) => {
                            push_length(&mut self.body, 2 * (to - from) + 1);
                            self.body.push(set);
                        }
                    }
                    from = to;
                }
            }
        }
        if self.body.len() > MAX_BODY {
            let needed = self.body.len() - start;
            self.body.truncate(start);
            return Err(if needed > MAX_BODY {
                PushError::TooLarge { len }
            } else {
                PushError::Full
            });
        }
        // The lengths are known only after the event is encoded, so they move to the front here.
        let lengths = self.body.len() - end;
        self.body[start..].rotate_right(lengths);
        self.events += 1;
        Ok(())
    }

    /// How many events there are.
    pub fn len(&self) -> u32 {
        self.events
    }

    /// Whether there are no events.
    pub fn is_empty(&self) -> bool {
        self.events == 0
    }

    /// How many bytes the body has, lengths included.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    /// Drops all events.
    pub fn clear(&mut self) {
        self.events = 0;
        self.body.clear();
    }

    /// Lends the body out. [`Self::give_back`] returns it.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        mem::take(&mut self.body)
    }

    pub(crate) fn give_back(&mut self, body: Vec<u8>) {
        self.body = body;
    }
}

/// Why an event was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// The event fits into an empty batch, but not into what is left of this one.
    #[error("the batch is full: append it to the journal, then add this event again")]
    Full,
    /// The event fits into no batch.
    #[error("an event of {len} bytes fits into no batch; the most is {MAX_EVENT}: split it up")]
    TooLarge {
        /// The event's length in bytes.
        len: usize,
    },
}
