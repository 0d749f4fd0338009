//! Finding things by their keys, in about ten bytes a key.
//!
//! An index keeps of a key only a part of its hash and the place of what it belongs to; whoever
//! asks says whether that place is it. So a key is stored once, or not at all where a part of its
//! hash lies with what it belongs to.

use std::hint::black_box;

use crate::packed::{Damaged, Reader, put, put_bytes};

/// Number of segments; each grows by itself, so that no command waits for all of them.
const SEGMENTS: usize = 1 << SEGMENT_BITS;
const SEGMENT_BITS: u32 = 10;
const TAG_BITS: u32 = 36;
const PLACE_BITS: u32 = 64 - TAG_BITS;

/// The most things that an index can tell apart.
pub(super) const MOST: usize = (1 << PLACE_BITS) - 1;

/// The hash of a key, in the parts that are kept of it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyHash {
    segment: usize,
    tag: u64,
    /// What is kept with the thing itself.
    pub(super) rest: u32,
}

impl KeyHash {
    pub(super) fn of(key: &str) -> KeyHash {
        let hash = blake3::hash(key.as_bytes());
        let word = |place: usize| {
            let bytes = hash.as_bytes()[place..place + 8].try_into();
            u64::from_le_bytes(bytes.expect("a hash has 32 bytes"))
        };
        KeyHash {
            segment: (word(0) >> (64 - SEGMENT_BITS)) as usize,
            tag: word(8) >> PLACE_BITS,
            rest: word(16) as u32,
        }
    }
}

/// Places by the hashes of keys.
#[derive(Clone, Debug)]
pub(super) struct Index {
    segments: Vec<Segment>,
}

/// Slots in ascending order, each as near to where its tag belongs as there was room behind it. A
/// slot is a tag and, in its lowest bits, a place plus one; a free one is zero.
#[derive(Clone, Debug, Default)]
struct Segment {
    slots: Vec<u64>,
    /// Slots over which the tags are spread; what has no room there lies behind them.
    room: usize,
    used: usize,
}

/// Slots that mostly suffice for what has no room.
const BEHIND: usize = 8;

impl Default for Index {
    fn default() -> Index {
        Index {
            segments: vec![Segment::default(); SEGMENTS],
        }
    }
}

impl Index {
    /// The first place under this hash that `is` it.
    pub(super) fn find(&self, hash: KeyHash, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        let candidates = self.segments[hash.segment].places(hash.tag);
        candidates.into_iter().find(|&place| is(place))
    }

    /// Reads where keys belong, all at the same time.
    pub(super) fn fetch(&self, hashes: impl Iterator<Item = KeyHash>) {
        let slots = hashes.filter_map(|hash| {
            let segment = &self.segments[hash.segment];
            segment.slots.get(segment.start(hash.tag << PLACE_BITS))
        });
        black_box(slots.fold(0, |all, slot| all ^ slot));
    }

    /// Adds a place. One that is there already stays.
    pub(super) fn add(&mut self, hash: KeyHash, place: u32) {
        self.segments[hash.segment].add(hash.tag << PLACE_BITS | (u64::from(place) + 1));
    }

    /// Number of pieces that [`Index::pack`] writes.
    pub(super) const PIECES: usize = SEGMENTS;

    /// Appends a piece: the slots of a segment that are taken.
    pub(super) fn pack(&self, piece: usize, out: &mut Vec<u8>) {
        let segment = &self.segments[piece];
        put(out, segment.used as i64);
        out.extend(segment.taken().flat_map(u64::to_le_bytes));
    }

    pub(super) fn unpack(&mut self, piece: usize, from: &mut Reader<'_>) -> Result<(), Damaged> {
        let used: usize = from.small()?;
        let bytes = from.take(used.checked_mul(8).ok_or(Damaged)?)?;
        let slots = bytes.as_chunks().0.iter().copied().map(u64::from_le_bytes);
        let placed = slots.clone().all(|slot| slot & MOST as u64 != 0);
        if !placed || !slots.clone().is_sorted_by(|before, after| before < after) {
            return Err(Damaged);
        }
        self.segments[piece] = Segment::of(slots, used);
        Ok(())
    }
}

impl Segment {
    /// A segment of slots in ascending order, with room for a few more.
    fn of(taken: impl Iterator<Item = u64>, used: usize) -> Segment {
        let room = used + used / 4 + 4;
        let slots = Vec::with_capacity(room + BEHIND);
        let mut segment = Segment { slots, room, used };
        for slot in taken {
            let at = segment.start(slot).max(segment.slots.len());
            segment.slots.reserve_exact(at + 1 - segment.slots.len());
            segment.slots.resize(at, 0);
            segment.slots.push(slot);
        }
        let len = segment.slots.len().max(room);
        segment.slots.resize(len, 0);
        segment
    }

    fn taken(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().copied().filter(|&slot| slot != 0)
    }

    /// Where a slot belongs.
    fn start(&self, slot: u64) -> usize {
        (((slot >> PLACE_BITS) * self.room as u64) >> TAG_BITS) as usize
    }

    /// The places under a tag.
    fn places(&self, tag: u64) -> impl Iterator<Item = u32> {
        let from = &self.slots[self.start(tag << PLACE_BITS)..];
        let run = from.iter().take_while(|&&slot| slot != 0);
        run.skip_while(move |&&slot| slot >> PLACE_BITS < tag)
            .take_while(move |&&slot| slot >> PLACE_BITS == tag)
            .map(|slot| ((slot & MOST as u64) - 1) as u32)
    }

    fn add(&mut self, slot: u64) {
        if self.used * 8 >= self.room * 7 {
            *self = Segment::of(self.taken(), self.used);
        }
        let start = self.start(slot);
        let run = self.slots[start..].iter();
        let at = start + run.take_while(|&&of| of != 0 && of < slot).count();
        if self.slots.get(at) == Some(&slot) {
            return;
        }
        match self.slots[at..].iter().position(|&of| of == 0) {
            Some(free) => {
                self.slots.copy_within(at..at + free, at + 1);
                self.slots[at] = slot;
            }
            None => {
                self.slots.reserve_exact(BEHIND);
                self.slots.insert(at, slot);
            }
        }
        self.used += 1;
    }
}

/// Texts, each once, by place and by what they say.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    bytes: Vec<u8>,
    ends: Vec<u64>,
    index: Index,
}

impl Names {
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn get(&self, place: u32) -> &str {
        let end = |place: usize| self.ends[place] as usize;
        let from = (place as usize).checked_sub(1).map_or(0, end);
        let bytes = &self.bytes[from..end(place as usize)];
        std::str::from_utf8(bytes).expect("a name is text")
    }

    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.find_hashed(name, KeyHash::of(name))
    }

    pub(super) fn find_hashed(&self, name: &str, hash: KeyHash) -> Option<u32> {
        let is = |place: u32| (place as usize) < self.len() && self.get(place) == name;
        self.index.find(hash, is)
    }

    /// Adds a name that is not there.
    pub(super) fn add(&mut self, name: &str) -> u32 {
        self.add_hashed(name, KeyHash::of(name))
    }

    pub(super) fn add_hashed(&mut self, name: &str, hash: KeyHash) -> u32 {
        assert!(self.len() < MOST, "the book is full: split it");
        let place = self.len() as u32;
        self.bytes.extend_from_slice(name.as_bytes());
        self.ends.push(self.bytes.len() as u64);
        self.index.add(hash, place);
        place
    }

    /// Appends a name for a snapshot.
    pub(super) fn pack(&self, place: u32, out: &mut Vec<u8>) {
        put_bytes(out, self.get(place).as_bytes());
    }

    /// Reads the next name. The index comes by itself.
    pub(super) fn unpack(&mut self, from: &mut Reader<'_>) -> Result<(), Damaged> {
        let name = from.prefixed()?;
        std::str::from_utf8(name).map_err(|_| Damaged)?;
        self.bytes.extend_from_slice(name);
        self.ends.push(self.bytes.len() as u64);
        Ok(())
    }

    pub(super) fn index(&mut self) -> &mut Index {
        &mut self.index
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_many_there_are() {
        let mut names = Names::default();
        let name = |number: u32| format!("A-{number}");
        for number in 0..100_000 {
            assert_eq!(names.find(&name(number)), None);
            assert_eq!(names.add(&name(number)), number);
        }
        for number in 0..100_000 {
            assert_eq!(names.find(&name(number)), Some(number));
            assert_eq!(names.get(number), name(number));
        }
        let slots: usize = names.index.segments.iter().map(|of| of.slots.len()).sum();
        assert!((114_000..150_000).contains(&slots), "{slots}");
    }

    #[test]
    fn of_several_places_under_one_hash_the_right_one_is_found() {
        let mut index = Index::default();
        let hash = KeyHash::of("same");
        for place in [7, 9, 7, 8] {
            index.add(hash, place);
        }
        assert_eq!(index.segments[hash.segment].used, 3);
        assert_eq!(index.find(hash, |place| place == 8), Some(8));
        assert_eq!(index.find(hash, |place| place == 5), None);
        let mut out = Vec::new();
        index.pack(hash.segment, &mut out);
        let mut again = Index::default();
        let mut from = Reader { bytes: &out };
        assert_eq!(again.unpack(hash.segment, &mut from), Ok(()));
        assert_eq!(again.find(hash, |place| place == 9), Some(9));
        // However many there are under the last of all tags.
        let last = KeyHash {
            tag: (1 << TAG_BITS) - 1,
            ..hash
        };
        for place in (0..100).rev() {
            again.add(last, place);
        }
        let found: Vec<_> = again.segments[last.segment].places(last.tag).collect();
        assert_eq!(found, (0..100).collect::<Vec<_>>());
        assert_eq!(again.find(hash, |place| place == 8), Some(8));
        // A slot that is taken has a place, and they are in order.
        for slots in [[1 << PLACE_BITS, 2 << PLACE_BITS | 1], [2, 1], [3, 3]] {
            let mut damaged = Vec::new();
            put(&mut damaged, 2);
            damaged.extend(slots.map(u64::to_le_bytes).as_flattened());
            let read = again.unpack(0, &mut Reader { bytes: &damaged });
            assert_eq!(read, Err(Damaged));
        }
    }
}
