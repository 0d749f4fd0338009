//! A batch: the unit of durability, and the events in its body.

use std::iter;

use crate::{Hash, JournalError, MAX_BODY};

/// Events that became durable together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The position in the journal. The first batch is 1.
    pub seq: u64,
    /// The hash of the batch before, or the book's genesis hash in the first.
    pub prev: Hash,
    /// The hash of this batch, over everything else in it and the book's name.
    pub hash: Hash,
    /// How many events the body holds.
    pub events: u32,
    /// The events, each behind its length.
    pub body: Vec<u8>,
}

impl Batch {
    /// The events in order.
    ///
    /// None of them is an error in a batch from [`Journal::read`](crate::Journal::read), which
    /// has checked it. In any other batch the first malformed event is the last item.
    pub fn events(&self) -> impl Iterator<Item = Result<&[u8], JournalError>> {
        self.split().map(|event| event.map_err(JournalError::from))
    }

    /// Checks the body against the limit, its own lengths and the stated number of events.
    pub(crate) fn check_body(&self) -> Result<(), BatchError> {
        let seq = self.seq;
        let mut found = 0;
        for event in self.split() {
            event?;
            found += 1;
        }
        if found != self.events {
            let stated = self.events;
            return Err(BatchError::Count { seq, stated, found });
        }
        Ok(())
    }

    fn split(&self) -> impl Iterator<Item = Result<&[u8], BatchError>> {
        let mut rest = self.body.as_slice();
        iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (seq, at) = (self.seq, self.body.len() - rest.len());
            let Some((len, tail)) = split_length(rest) else {
                rest = &[];
                return Some(Err(BatchError::Length { seq, at }));
            };
            let Some((event, tail)) = tail.split_at_checked(len) else {
                rest = &[];
                return Some(Err(BatchError::Overrun { seq, at }));
            };
            rest = tail;
            Some(Ok(event))
        })
    }
}

/// What is wrong with a batch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum BatchError {
    #[error("batch {seq} is missing: batch {found} stands in its place")]
    Missing { seq: u64, found: u64 },
    #[error("batch {seq} is missing: the journal should reach batch {head}")]
    Cut { seq: u64, head: u64 },
    #[error("batch {seq} does not continue batch {}: the hash it names is another", seq - 1)]
    Prev { seq: u64 },
    #[error("batch {seq} does not match its own hash: it was changed after it was written")]
    Hash { seq: u64 },
    #[error("batch {seq} has a body of {len} bytes; the most is {MAX_BODY}")]
    TooLarge { seq: u64, len: usize },
    #[error("batch {seq} states {stated} events, but its body holds {found}")]
    Count { seq: u64, stated: u32, found: u32 },
    #[error("batch {seq} is malformed: no valid length at byte {at} of its body")]
    Length { seq: u64, at: usize },
    #[error("batch {seq} is malformed: the event at byte {at} of its body runs past the end")]
    Overrun { seq: u64, at: usize },
}

/// Splits a length prefix off: LEB128 in its shortest form, at most three bytes.
fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut len = 0;
    for (i, &byte) in bytes.iter().take(3).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            let shortest = i == 0 || byte != 0;
            return shortest.then(|| (len, &bytes[i + 1..]));
        }
    }
    None
}
