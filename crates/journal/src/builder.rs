//! Collecting events into the body of the next batch.

use std::mem;

use crate::{MAX_BODY, MAX_EVENT};

/// Collects events until a batch is full.
///
/// It keeps its buffer from batch to batch, so a steady writer allocates nothing.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    events: u32,
    body: Vec<u8>,
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
        let start = self.body.len();
        encode(&mut self.body);
        assert!(
            self.body.len() >= start,
            "an encoder may only append to the buffer"
        );

        let len = self.body.len() - start;
        let prefix = push_length(&mut self.body, len);
        if self.body.len() > MAX_BODY {
            self.body.truncate(start);
            return Err(if len > MAX_EVENT {
                PushError::TooLarge { len }
            } else {
                PushError::Full
            });
        }
        // The length is known only after the event is encoded, so it moves to the front here.
        self.body[start..].rotate_right(prefix);
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

/// Appends `len` in LEB128 and returns how many bytes that took.
fn push_length(body: &mut Vec<u8>, mut len: usize) -> usize {
    let start = body.len();
    while len >= 0x80 {
        body.push(len as u8 | 0x80);
        len >>= 7;
    }
    body.push(len as u8);
    body.len() - start
}
