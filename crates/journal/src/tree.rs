//! What the hash of a batch covers of its events: a hash tree in the shape of RFC 6962 with a leaf
//! for each event, and a section for each reader.
//!
//! What is hashed for an event, a section and an inner node is told apart by BLAKE3's key, so a
//! hash of one kind never passes for one of another. A key also keeps an inner node at one block.

use crate::batch::{Event, push_length};
use crate::secret::{Salt, Salts};
use crate::{Hash, Readers};

/// Sections of a batch: one for each reader, and one for what nobody is shown.
pub(crate) const SECTIONS: usize = Readers::MOST + 1;

const EVENT: [u8; 32] = *b"tandem journal format 2: event  ";
const SECTION: [u8; 32] = *b"tandem journal format 2: section";
const NODE: [u8; 32] = *b"tandem journal format 2: node   ";

/// The hash of an event's leaf: a salt, then its shared parts.
pub(crate) fn event(salted: &[u8]) -> Hash {
    Hash(blake3::keyed_hash(&EVENT, salted).into())
}

/// The hash of a section: a salt, then the parts addressed to its reader.
pub(crate) fn section(salted: &[u8]) -> Hash {
    Hash(blake3::keyed_hash(&SECTION, salted).into())
}

/// The hash of an inner node.
pub(crate) fn node(left: &Hash, right: &Hash) -> Hash {
    let mut both = [0; 64];
    both[..32].copy_from_slice(&left.0);
    both[32..].copy_from_slice(&right.0);
    Hash(blake3::keyed_hash(&NODE, &both).into())
}

/// Sorts the parts of events by who is shown them.
pub(crate) struct Leaves {
    salts: Salts,
    events: u32,
    /// Salt and shared parts of the last event.
    shared: Vec<u8>,
    /// By reader: salt, and the parts of all events so far. The last is nobody's.
    sections: [Vec<u8>; SECTIONS],
}

impl Leaves {
    pub(crate) fn new(mut salts: Salts) -> Self {
        let sections = std::array::from_fn(|_| salts.next().to_vec());
        Self {
            salts,
            events: 0,
            shared: Vec::new(),
            sections,
        }
    }

    /// Takes the next event and gives what is hashed in its leaf.
    pub(crate) fn next(&mut self, event: &Event<'_>) -> &[u8] {
        self.shared.clear();
        self.shared.extend_from_slice(self.salts.next());
        for (place, (readers, bytes)) in event.parts().enumerate() {
            match readers {
                Readers::Shared => push_part(&mut self.shared, None, place, bytes),
                Readers::Only(0) => {
                    let section = &mut self.sections[Readers::MOST];
                    push_part(section, Some(self.events), place, bytes);
                }
                Readers::Only(set) => {
                    for (reader, section) in self.sections.iter_mut().enumerate() {
                        if reader < Readers::MOST && set >> reader & 1 == 1 {
                            push_part(section, Some(self.events), place, bytes);
                        }
                    }
                }
            }
        }
        self.events += 1;
        &self.shared
    }

    /// What is hashed of the section of a reader.
    pub(crate) fn section(&self, reader: usize) -> &[u8] {
        &self.sections[reader]
    }

    /// The hashes of all sections.
    pub(crate) fn hashes(&self) -> [Hash; SECTIONS] {
        std::array::from_fn(|reader| section(&self.sections[reader]))
    }
}

/// Adds a part to a leaf or, with the place of its event, to a section.
fn push_part(to: &mut Vec<u8>, event: Option<u32>, place: usize, bytes: &[u8]) {
    if let Some(event) = event {
        push_length(to, event as usize);
    }
    push_length(to, place);
    push_length(to, bytes.len());
    to.extend_from_slice(bytes);
}

/// Splits a salt off what is hashed with it.
pub(crate) fn unsalted(salted: &[u8]) -> (Salt, &[u8]) {
    let (salt, rest) = salted.split_at(size_of::<Salt>());
    (salt.try_into().expect("it has the length of a salt"), rest)
}

/// Takes the hashes of events in order and gives their root.
#[derive(Default)]
pub(crate) struct Root {
    /// Roots of full subtrees, the largest first: one for each bit of `count`.
    full: Vec<Hash>,
    count: u32,
}

impl Root {
    pub(crate) fn push(&mut self, mut hash: Hash) {
        for _ in 0..self.count.trailing_ones() {
            let left = self.full.pop().expect("one for each bit of the count");
            hash = node(&left, &hash);
        }
        self.full.push(hash);
        self.count += 1;
    }

    /// The root; zeros for no events.
    pub(crate) fn finish(mut self) -> Hash {
        let Some(last) = self.full.pop() else {
            return Hash([0; 32]);
        };
        let smaller_first = self.full.iter().rev();
        smaller_first.fold(last, |right, left| node(left, &right))
    }
}

/// Where a tree of `leaves` (at least two) parts: the largest power of two below it.
pub(crate) fn split(leaves: usize) -> usize {
    1 << (leaves - 1).ilog2()
}
