//! Parts of a batch that can be proved to stand in the chain without the rest of it.

use std::collections::BTreeMap;

use crate::batch::{Digest, kind, split_length};
use crate::chain::hash;
use crate::tree::{self, Leaves, Root, SECTIONS};
use crate::{Batch, BatchError, BookName, Hash, Head, Readers, Salt, Secret};

/// What one reader is shown of a batch.
///
/// It has all that the hash of the batch covers, so who knows the hash of the batch before can
/// compute it ([`Self::check`]). The reader learns how many events there are and the kind of each,
/// what is addressed to it, and the shared parts of the events listed; nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Excerpt {
    /// The position in the journal.
    pub seq: u64,
    /// The hash of the batch.
    pub hash: Hash,
    /// The kinds of all events: the first two bytes of each, or zeros where there are none.
    pub kinds: Vec<u8>,
    /// Number of the reader, from 0.
    pub reader: u8,
    /// All that is addressed to the reader.
    pub section: Section,
    /// The hashes of the sections of the others, in order.
    pub sections: Vec<Hash>,
    /// Events whose shared parts are shown, in order.
    pub shown: Vec<Shown>,
    /// Roots of the largest subtrees without a shown event, from left to right.
    pub proof: Vec<Hash>,
}

/// The parts addressed to a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// What is hashed in front of them.
    pub salt: Salt,
    /// The parts, each behind the place of its event, its place in the event, and its length.
    pub bytes: Vec<u8>,
}

/// An event whose shared parts are shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// Its place in the batch, from 0.
    pub event: u32,
    /// What is hashed in front of them.
    pub salt: Salt,
    /// The parts, each behind its place in the event and its length.
    pub bytes: Vec<u8>,
}

/// Known parts of an event, by their place in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownParts<'a> {
    /// Shown with the event; none if the event is not shown.
    pub shared: Option<BTreeMap<u32, &'a [u8]>>,
    /// Addressed to the reader.
    pub addressed: BTreeMap<u32, &'a [u8]>,
}

impl Excerpt {
    /// Shows a reader the events at the places listed, in order, of a verified batch, and all
    /// that is addressed to it.
    pub fn of(
        batch: &Batch,
        secret: &Secret,
        reader: u8,
        events: &[u32],
    ) -> Result<Self, BatchError> {
        let mut leaves = Leaves::new(secret.salts(batch.seq));
        let (mut kinds, mut hashes, mut shown) = (Vec::new(), Vec::new(), Vec::new());
        let mut wanted = events.iter().peekable();
        for (place, event) in (0..).zip(batch.split()) {
            let event = event?;
            kinds.extend_from_slice(&event.kind());
            let salted = leaves.next(&event);
            hashes.push(tree::event(salted));
            if wanted.next_if(|wanted| **wanted == place).is_some() {
                let (salt, bytes) = tree::unsalted(salted);
                let bytes = bytes.to_vec();
                shown.push(Shown {
                    event: place,
                    salt,
                    bytes,
                });
            }
        }
        let (salt, bytes) = tree::unsalted(leaves.section(reader.into()));
        let mut sections = leaves.hashes().to_vec();
        sections.remove(reader.into());
        let mut proof = Vec::new();
        prove(&hashes, 0, &shown, &mut proof);
        Ok(Self {
            seq: batch.seq,
            hash: batch.hash,
            kinds,
            reader,
            section: Section {
                salt,
                bytes: bytes.to_vec(),
            },
            sections,
            shown,
            proof,
        })
    }

    /// Checks that the excerpt is of the batch after `head` of a book, and gives the head that
    /// it leads to.
    pub fn check(&self, book: &BookName, head: Head) -> Result<Head, ExcerptError> {
        let seq = head.seq + 1;
        if self.seq != seq {
            let found = self.seq;
            return Err(ExcerptError::Missing { seq, found });
        }
        let events = self.kinds.len() / 2;
        let in_order = self.shown.is_sorted_by(|one, next| one.event < next.event);
        let within = self
            .shown
            .last()
            .is_none_or(|last| (last.event as usize) < events);
        let reader = usize::from(self.reader);
        let sections = self.sections.len() == SECTIONS - 1 && reader < Readers::MOST;
        if self.kinds.len() % 2 == 1 || !in_order || !within || !sections {
            return Err(ExcerptError::Malformed { seq });
        }
        let leaves = self.shown.iter().map(|shown| {
            let leaf = tree::event(&[&shown.salt[..], &shown.bytes].concat());
            (shown.event as usize, leaf)
        });
        let mut proof = self.proof.iter();
        let root = recompute(0, events, &leaves.collect::<Vec<_>>(), &mut proof);
        let Some(root) = root.filter(|_| proof.next().is_none()) else {
            return Err(ExcerptError::Proof { seq });
        };
        let own = tree::section(&[&self.section.salt[..], &self.section.bytes].concat());
        let mut sections = self.sections.clone();
        sections.insert(reader, own);
        let sections: [Hash; SECTIONS] = sections.try_into().expect("they were counted");
        let digest = Digest {
            kinds: self.kinds.clone(),
            root,
            sections,
        };
        if self.hash != hash(book, seq, head.hash, &digest) {
            return Err(ExcerptError::Hash { seq });
        }
        let hash = self.hash;
        Ok(Head { seq, hash })
    }

    /// All parts that are known of the events, by the place of the event.
    pub fn parts(&self) -> Result<BTreeMap<u32, KnownParts<'_>>, ExcerptError> {
        let malformed = ExcerptError::Malformed { seq: self.seq };
        let mut events: BTreeMap<u32, KnownParts<'_>> = BTreeMap::new();
        for shown in &self.shown {
            let mut parts = BTreeMap::new();
            let mut rest = shown.bytes.as_slice();
            while !rest.is_empty() {
                let (place, bytes) = take_part(&mut rest).ok_or(malformed.clone())?;
                parts.insert(place, bytes);
            }
            let at = 2 * shown.event as usize;
            let first = parts.get(&0).filter(|first| first.len() > 1);
            if first.is_some_and(|first| kind(first)[..] != self.kinds[at..at + 2]) {
                let (seq, event) = (self.seq, shown.event + 1);
                return Err(ExcerptError::Kind { seq, event });
            }
            events.entry(shown.event).or_default().shared = Some(parts);
        }
        let mut rest = self.section.bytes.as_slice();
        while !rest.is_empty() {
            let event = take_number(&mut rest).ok_or(malformed.clone())?;
            let (place, bytes) = take_part(&mut rest).ok_or(malformed.clone())?;
            let addressed = &mut events.entry(event).or_default().addressed;
            addressed.insert(place, bytes);
        }
        Ok(events)
    }
}

fn take_part<'a>(rest: &mut &'a [u8]) -> Option<(u32, &'a [u8])> {
    let place = take_number(rest)?;
    let len = take_number(rest)?;
    let (bytes, tail) = rest.split_at_checked(len as usize)?;
    *rest = tail;
    Some((place, bytes))
}

fn take_number(rest: &mut &[u8]) -> Option<u32> {
    let (number, tail) = split_length(rest)?;
    *rest = tail;
    Some(number as u32)
}

/// Why an excerpt proves nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ExcerptError {
    #[error("batch {seq} is missing: batch {found} stands in its place")]
    Missing { seq: u64, found: u64 },
    #[error("batch {seq} is malformed: its parts are not those of events in order")]
    Malformed { seq: u64 },
    #[error(
        "batch {seq} has another number of hashes than its shown events need: an event was left \
         out or put in"
    )]
    Proof { seq: u64 },
    #[error("event {event} of batch {seq} is of another kind than its first bytes say")]
    Kind { seq: u64, event: u32 },
    #[error(
        "batch {seq} does not match its hash: something in it was changed, or the batch before is \
         another"
    )]
    Hash { seq: u64 },
}

/// Lists the roots of the largest subtrees of `hashes` without a shown event. `first` is the place
/// of the first hash.
fn prove(hashes: &[Hash], first: usize, shown: &[Shown], proof: &mut Vec<Hash>) {
    if shown.is_empty() {
        let mut root = Root::default();
        hashes.iter().for_each(|hash| root.push(*hash));
        proof.extend((!hashes.is_empty()).then(|| root.finish()));
    } else if hashes.len() > 1 {
        let middle = tree::split(hashes.len());
        let (left, right) = hashes.split_at(middle);
        let parts = shown.partition_point(|shown| (shown.event as usize) < first + middle);
        prove(left, first, &shown[..parts], proof);
        prove(right, first + middle, &shown[parts..], proof);
    }
}

/// The root over `events` events from `first` on, of which some leaves are known. None if the
/// proof is too short.
fn recompute<'a>(
    first: usize,
    events: usize,
    leaves: &[(usize, Hash)],
    proof: &mut impl Iterator<Item = &'a Hash>,
) -> Option<Hash> {
    match (events, leaves) {
        (0, _) => Some(Hash([0; 32])),
        (_, []) => proof.next().copied(),
        (1, [(_, leaf), ..]) => Some(*leaf),
        _ => {
            let middle = tree::split(events);
            let parts = leaves.partition_point(|(place, _)| *place < first + middle);
            let left = recompute(first, middle, &leaves[..parts], proof)?;
            let (first, events) = (first + middle, events - middle);
            let right = recompute(first, events, &leaves[parts..], proof)?;
            Some(tree::node(&left, &right))
        }
    }
}
