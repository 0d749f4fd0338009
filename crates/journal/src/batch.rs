//! A batch: the unit of durability, and the events in its body.

use std::iter;

use crate::secret::Salts;
use crate::tree::{self, Leaves, Root, SECTIONS};
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
    /// The events, each behind its length or the lengths of its parts.
    pub body: Vec<u8>,
}

impl Batch {
    /// The events in order.
    ///
    /// None of them is an error in a batch from [`Journal::read`](crate::Journal::read), which
    /// has checked it. In any other batch the first malformed event is the last item.
    pub fn events(&self) -> impl Iterator<Item = Result<&[u8], JournalError>> {
        self.split()
            .map(|event| Ok(event.map(|event| event.bytes)?))
    }

    /// The events in order, with their parts.
    pub(crate) fn split(&self) -> impl Iterator<Item = Result<Event<'_>, BatchError>> {
        let mut rest = self.body.as_slice();
        iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (seq, at) = (self.seq, self.body.len() - rest.len());
            let event = Event::read(&mut rest).map_err(|malformed| match malformed {
                Malformed::Length => BatchError::Length { seq, at },
                Malformed::Overrun => BatchError::Overrun { seq, at },
            });
            if event.is_err() {
                rest = &[];
            }
            Some(event)
        })
    }

    /// What the hash of the batch covers of its events.
    pub(crate) fn digest(&self, salts: Salts) -> Result<Digest, BatchError> {
        let mut leaves = Leaves::new(salts);
        let mut root = Root::default();
        let mut kinds = Vec::with_capacity(2 * self.events as usize);
        for event in self.split() {
            let event = event?;
            kinds.extend_from_slice(&event.kind());
            root.push(tree::event(leaves.next(&event)));
        }
        Ok(Digest {
            kinds,
            root: root.finish(),
            sections: leaves.hashes(),
        })
    }
}

/// What the hash of a batch covers of its events.
pub(crate) struct Digest {
    /// The kind of each event.
    pub(crate) kinds: Vec<u8>,
    /// The root of the tree over their shared parts.
    pub(crate) root: Hash,
    /// The hashes of the sections, into which the other parts go.
    pub(crate) sections: [Hash; SECTIONS],
}

impl Digest {
    /// How many events there are.
    pub(crate) fn events(&self) -> u32 {
        (self.kinds.len() / 2) as u32
    }
}

impl Default for Digest {
    /// That of no events.
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            root: Hash([0; 32]),
            sections: [Hash([0; 32]); SECTIONS],
        }
    }
}

/// Who is shown a part of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Whoever is shown the event.
    Shared,
    /// The readers of a set, one bit for each, and nobody else. They are shown all that is
    /// addressed to them, so an empty part tells a reader that there is something to be shown.
    Only(u8),
}

impl Readers {
    /// The most readers that a book can have.
    pub const MOST: usize = 8;
}

/// An event in a body.
pub(crate) struct Event<'a> {
    pub(crate) bytes: &'a [u8],
    /// Lengths and readers of its parts as they stand in the body; empty for one shared part.
    parts: &'a [u8],
}

enum Malformed {
    Length,
    Overrun,
}

impl<'a> Event<'a> {
    /// Takes the first event off a body.
    fn read(body: &mut &'a [u8]) -> Result<Self, Malformed> {
        let (prefix, mut tail) = split_length(body).ok_or(Malformed::Length)?;
        let (mut len, mut parts): (_, &[u8]) = (prefix / 2, &[]);
        if prefix % 2 == 1 {
            let (count, after) = (len, tail);
            let mut only = Readers::Shared;
            len = 0;
            for _ in 0..count {
                let ((readers, part), rest) = split_part(tail).ok_or(Malformed::Length)?;
                (only, tail) = (readers, rest);
                len += part;
            }
            parts = &after[..after.len() - tail.len()];
            // One shared part is written as such, so that there is one way to write an event.
            if count == 0 || (count == 1 && only == Readers::Shared) {
                return Err(Malformed::Length);
            }
        }
        let (bytes, tail) = tail.split_at_checked(len).ok_or(Malformed::Overrun)?;
        *body = tail;
        Ok(Self { bytes, parts })
    }

    /// The first two bytes, or zeros where there are none: what everybody learns of an event.
    pub(crate) fn kind(&self) -> [u8; 2] {
        kind(self.bytes)
    }

    /// The parts in order; together they are the event.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (Readers, &'a [u8])> + use<'a> {
        let mut only = self
            .parts
            .is_empty()
            .then_some((Readers::Shared, self.bytes));
        let (mut bytes, mut parts) = (self.bytes, self.parts);
        iter::from_fn(move || {
            let Some(((readers, len), rest)) = split_part(parts) else {
                return only.take();
            };
            let (part, after) = bytes.split_at(len);
            (bytes, parts) = (after, rest);
            Some((readers, part))
        })
    }
}

/// The kind of an event.
pub(crate) fn kind(event: &[u8]) -> [u8; 2] {
    [0, 1].map(|place| event.get(place).copied().unwrap_or_default())
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

/// Splits the readers and the length of a part off.
fn split_part(bytes: &[u8]) -> Option<((Readers, usize), &[u8])> {
    let (prefix, tail) = split_length(bytes)?;
    match prefix % 2 {
        0 => Some(((Readers::Shared, prefix / 2), tail)),
        _ => {
            let (&set, tail) = tail.split_first()?;
            Some(((Readers::Only(set), prefix / 2), tail))
        }
    }
}

/// Splits a length off: LEB128 in its shortest form, at most three bytes.
pub(crate) fn split_length(bytes: &[u8]) -> Option<(usize, &[u8])> {
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

/// Appends a length in LEB128.
pub(crate) fn push_length(to: &mut Vec<u8>, mut len: usize) {
    while len >= 0x80 {
        to.push(len as u8 | 0x80);
        len >>= 7;
    }
    to.push(len as u8);
}
