//! What the book keeps of loans: packed, each in about a hundred and fifty bytes.

use std::hint::black_box;
use std::ops::Range;

use smallvec::SmallVec;

use super::snapshot::Kept;
use super::{Loan, Series};
use crate::agreement::MAX_CLASSES;
use crate::calendar::Day;
use crate::funding::Part;
use crate::loan::{Base, History};
use crate::money::{Amount, Rate};
use crate::packed::{Damaged, Reader, optional, or_missing, put, put_bytes, put_row, small};
use crate::share::MAX_SHARES;

/// Bytes that a processor fetches at once.
const CACHE_LINE: usize = 64;

/// The packed terms of a loan: no memory of their own for up to five lenders.
pub(super) type PackedTerms = SmallVec<[u8; 64]>;

/// Bytes that wait to be hashed, at the most: they stay in the processor's cache.
const MOST_UNHASHED: usize = 1 << 20;

/// No day.
const NEVER: Day = Day(i32::MAX);

/// All loans, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Loans {
    /// Nothing of those that are archived.
    packed: Vec<Packed>,
    /// The day on which a close must look at each, or [`NEVER`]: of most loans all that a close reads.
    agenda: Vec<Day>,
    /// True if archived loans stay all the same.
    pub(super) keeps_archived: bool,
    /// Sum of the digests of all, but for what is not hashed yet, and what is kept apart.
    hashed: u128,
    unhashed: Unhashed,
    /// True if hashes are left to another thread.
    hashes_later: bool,
    /// A loan on its way into its box.
    scratch: Vec<u8>,
    kept: Kept<Packed>,
}

impl Loans {
    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.packed.iter().map(|packed| packed.bytes().len()).sum()
    }

    /// A loan, packed; none if it is archived.
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&[u8]> {
        let packed = self.packed.get(place as usize)?;
        (!packed.is_empty()).then(|| packed.bytes())
    }

    pub(super) fn is_archived(&self, place: u32) -> bool {
        let packed = self.packed.get(place as usize);
        packed.is_some_and(|packed| packed.is_empty())
    }

    /// Takes a loan out of memory; its digest, which stays in that of all.
    pub(super) fn archive(&mut self, place: u32) -> u128 {
        let packed = std::mem::take(&mut self.packed[place as usize]);
        self.agenda[place as usize] = NEVER;
        let digest = digest(place, packed.bytes());
        self.kept.keep(place, || packed);
        digest
    }

    /// Sum of the digests of all.
    pub(super) fn digest(&self) -> u128 {
        self.hashed.wrapping_add(self.unhashed.sum())
    }

    pub(super) fn set_digest(&mut self, digest: u128) {
        (self.hashed, self.unhashed) = (digest, Unhashed::default());
    }

    /// From now on leaves hashes to another thread; the digest of all so far.
    pub(super) fn hash_later(&mut self) -> u128 {
        self.hashes_later = true;
        std::mem::take(&mut self.hashed)
    }

    /// Hashes at once again, from a digest of all on.
    pub(super) fn hash_at_once(&mut self, digest: u128) {
        self.hashes_later = false;
        self.hashed = self.digest().wrapping_add(digest);
        self.unhashed.clear();
    }

    /// What is not hashed yet, in return for room.
    pub(super) fn take_unhashed(&mut self, mut room: Unhashed) -> Unhashed {
        room.clear();
        std::mem::replace(&mut self.unhashed, room)
    }

    /// Makes room for a new loan, which is set next.
    pub(super) fn add(&mut self) {
        self.packed.push(Packed::default());
        self.agenda.push(NEVER);
    }

    pub(super) fn set(&mut self, place: u32, loan: &Loan) {
        self.agenda[place as usize] = loan.agenda.unwrap_or(NEVER);
        let packed = &mut self.packed[place as usize];
        self.kept.keep(place, || packed.clone());
        let unhashed = &mut self.unhashed;
        if !packed.is_empty() {
            unhashed.push(place, false, |out| {
                out.extend_from_slice(state(packed.bytes()))
            });
        }
        let state = unhashed.push(place, true, |out| loan.pack_state(out));
        self.scratch.clear();
        put_bytes(&mut self.scratch, state);
        self.scratch.extend_from_slice(&loan.terms);
        self.scratch.extend_from_slice(loan.history.packed());
        packed.set(&mut self.scratch);
        if !self.hashes_later {
            self.hashed = self.digest();
            self.unhashed.clear();
        } else if self.unhashed.bytes.len() > MOST_UNHASHED {
            self.unhashed.hash();
        }
    }

    /// Reads something of every cache line of some loans: lines that are far away come at the same
    /// time that way, where looking at one loan after the other would wait for each.
    pub(super) fn fetch(&self, places: impl Iterator<Item = u32>) {
        let mut all = 0;
        for packed in places.filter_map(|place| self.packed.get(place as usize)) {
            let packed = &packed.0;
            let lines = packed.iter().step_by(CACHE_LINE).chain(packed.last());
            all = lines.fold(all, |all, byte| all ^ byte);
        }
        black_box(all);
    }

    /// Number of the last transaction that came in on a loan.
    pub(super) fn entered(&self, place: u32) -> Option<u32> {
        let packed = self.get(place)?;
        let entered = parts(packed).and_then(|[state, _]| state.of_row(ENTERED));
        let entered = entered.expect("a loan is what was packed");
        u32::try_from(entered).ok()
    }

    /// True if the close of a day must look at a loan.
    pub(super) fn is_on_agenda(&self, place: u32, day: Day) -> bool {
        self.agenda[place as usize] <= day
    }

    /// From now on keeps what changes in these places, until it is packed.
    pub(super) fn keep_from(&mut self, places: Range<u32>) {
        self.kept = Kept::from(places);
    }

    /// Appends loans as they were when keeping began.
    pub(super) fn pack(&mut self, places: Range<u32>, out: &mut Vec<u8>) {
        for place in places {
            let old = self.kept.take(place);
            let packed = old.as_ref().unwrap_or(&self.packed[place as usize]);
            put_bytes(out, packed.bytes());
        }
    }

    /// Takes the next loan, which comes from outside, of that many applications; the day on which
    /// a close must look at it.
    pub(super) fn unpack(
        &mut self,
        packed: &[u8],
        series: &[Series],
        applications: usize,
    ) -> Result<Option<Day>, Damaged> {
        if packed.is_empty() {
            self.packed.push(Packed::default());
            self.agenda.push(NEVER);
            return Ok(None);
        }
        let mut loan = Loan::default();
        loan.unpack(packed, series)?;
        loan.history.check()?;
        if loan.application as usize >= applications || usize::from(loan.class) >= MAX_CLASSES {
            return Err(Damaged);
        }
        self.scratch.clear();
        self.scratch.extend_from_slice(packed);
        let mut own = Packed::default();
        own.set(&mut self.scratch);
        self.packed.push(own);
        self.agenda.push(loan.agenda.unwrap_or(NEVER));
        Ok(loan.agenda)
    }

    /// The digest of those that are in memory, taken anew.
    pub(super) fn digest_anew(&self) -> u128 {
        let all = (0..).zip(&self.packed);
        let all = all.filter(|(_, packed)| !packed.is_empty());
        all.fold(0, |sum: u128, (place, packed)| {
            sum.wrapping_add(digest(place, packed.bytes()))
        })
    }
}

/// A loan's bytes, with room behind them and, in the last byte, how much room: a box is as large as an
/// allocator would make it anyway, so that most payments find room for theirs.
#[derive(Clone, Debug, Default)]
struct Packed(Box<[u8]>);

impl Packed {
    /// True if there is no loan.
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self.0.split_last() {
            Some((&room, bytes)) => &bytes[..bytes.len() - usize::from(room)],
            None => &[],
        }
    }

    /// Makes it other bytes, which are brought to the size of a box.
    fn set(&mut self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        // Allocators have four sizes from one power of two to the next, and none closer than 16 bytes.
        // There is no more room than a byte can tell.
        let step = ((len + 1).next_power_of_two() / 8).clamp(16, 256);
        let room = step - 1 - len % step;
        bytes.resize(len + room, 0);
        bytes.push(room as u8);
        if self.0.len() == bytes.len() {
            self.0.copy_from_slice(bytes);
        } else {
            self.0 = bytes.as_slice().into();
        }
    }
}

/// A loan's part in the digest of all: a hash of its place and of what can change but its history,
/// which is what it changes by.
fn digest(place: u32, packed: &[u8]) -> u128 {
    let mut one = Unhashed::default();
    one.push(place, true, |out| out.extend_from_slice(state(packed)));
    one.sum()
}

/// Loans as they came to be and as they were before, whose hashes the digest lacks. To hash them
/// takes no book, so another thread than the book's can do it.
#[derive(Clone, Debug, Default)]
pub(super) struct Unhashed {
    bytes: Vec<u8>,
    /// Where each ends, and true if its hash is added, not taken away.
    ends: Vec<(usize, bool)>,
    /// What others come to, which are hashed.
    hashed: u128,
}

impl Unhashed {
    /// Puts down what is hashed of a loan: its place and its state, which is written by `put`.
    fn push(&mut self, place: u32, added: bool, put: impl FnOnce(&mut Vec<u8>)) -> &[u8] {
        self.bytes.extend_from_slice(&place.to_le_bytes());
        let start = self.bytes.len();
        put(&mut self.bytes);
        self.ends.push((self.bytes.len(), added));
        &self.bytes[start..]
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.hashed = 0;
    }

    /// Hashes what would be too much together.
    fn hash(&mut self) {
        let hashed = self.sum();
        self.clear();
        self.hashed = hashed;
    }

    /// What their hashes come to.
    pub(super) fn sum(&self) -> u128 {
        let (mut sum, mut start) = (self.hashed, 0);
        for &(end, added) in &self.ends {
            let hash = blake3::hash(&self.bytes[start..end]);
            let half = hash.as_bytes()[..16].try_into();
            let half = u128::from_le_bytes(half.expect("a hash has more than sixteen bytes"));
            sum = match added {
                true => sum.wrapping_add(half),
                false => sum.wrapping_sub(half),
            };
            start = end;
        }
        sum
    }
}

/// What changes of a loan, packed.
fn state(packed: &[u8]) -> &[u8] {
    let [state, _] = parts(packed).expect("a loan is what was packed");
    state.bytes
}

/// What changes of a loan, and its terms with its history.
fn parts(packed: &[u8]) -> Result<[Reader<'_>; 2], Damaged> {
    let mut rest = Reader { bytes: packed };
    let bytes = rest.prefixed()?;
    Ok([Reader { bytes }, rest])
}

/// Place of the number of the last transaction in a loan's state.
const ENTERED: u32 = 5;

impl Loan {
    fn base(&self) -> Base {
        Base {
            disbursed_on: self.disbursed_on,
            rate: self.rate,
            instalment: self.instalment,
        }
    }

    /// Appends what changes of the loan. Packed, it lies behind its length, and before the rest.
    fn pack_state(&self, out: &mut Vec<u8>) {
        put_row(
            out,
            [
                optional(self.agenda.map(|day| i64::from(day - self.disbursed_on))),
                self.class.into(),
                self.own_class.into(),
                self.non_accrual.into(),
                self.earned.0,
                self.entered.into(),
            ],
        );
        self.position.pack(self.base(), out);
    }

    /// Its terms, packed; its history lies behind them.
    pub(super) fn pack_terms(&self) -> PackedTerms {
        let mut terms = PackedTerms::default();
        let out = &mut terms;
        put_row(
            out,
            [
                self.application.into(),
                self.series.into(),
                self.principal.0,
                self.rate.0,
                self.instalment.0,
                self.parts.len() as i64,
            ],
        );
        for part in &self.parts {
            put(out, part.amount.0);
            put(out, part.rate.0 - self.rate.0);
        }
        terms
    }

    /// Makes a loan of nothing what was packed.
    pub(super) fn unpack(&mut self, packed: &[u8], series: &[Series]) -> Result<(), Damaged> {
        let [mut state, mut from] = parts(packed)?;
        let terms = from.bytes;
        let [application, of, principal, rate, instalment, parts] = from.row()?;
        self.series = small(of)?;
        let series = series.get(self.series as usize).ok_or(Damaged)?;
        if !(0..=MAX_SHARES as i64).contains(&parts) {
            return Err(Damaged);
        }
        for _ in 0..parts {
            self.parts.push(Part {
                amount: Amount(from.number()?),
                rate: Rate(from.number()?.wrapping_add(rate)),
            });
        }
        let terms = &terms[..terms.len() - from.bytes.len()];
        self.terms.extend_from_slice(terms);
        self.history = History::from_packed(from.bytes);
        self.application = small(application)?;
        self.version = series.version;
        self.months = series.months;
        self.disbursed_on = series.disbursed_on;
        self.principal = Amount(principal);
        self.rate = Rate(rate);
        self.instalment = Amount(instalment);
        let [agenda, class, own_class, non_accrual, earned, entered] = state.row()?;
        let day = |since: i64| small(since.wrapping_add(series.disbursed_on.0.into())).map(Day);
        self.class = small(class)?;
        self.own_class = small(own_class)?;
        self.non_accrual = non_accrual != 0;
        self.earned = Amount(earned);
        self.entered = small(entered)?;
        self.agenda = or_missing(agenda).map(day).transpose()?;
        self.position.unpack(self.base(), &mut state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashed_in_pieces_loans_come_to_the_same() {
        let (mut whole, mut pieces) = (Unhashed::default(), Unhashed::default());
        for place in 0..9 {
            for of in [&mut whole, &mut pieces] {
                of.push(place, place % 3 > 0, |out| out.push(place as u8));
            }
            if place % 4 == 0 {
                pieces.hash();
            }
        }
        assert_eq!(pieces.sum(), whole.sum());
        pieces.clear();
        assert_eq!(pieces.sum(), 0);
    }

    #[test]
    fn a_box_has_the_bytes_that_it_was_given_and_a_size_that_allocators_have() {
        let mut packed = Packed::default();
        assert!(packed.is_empty());
        for len in (0..600).chain([1_023, 1_024, 2_047, 2_048, 40_000]) {
            let bytes: Vec<u8> = (0..len).map(|place| place as u8 | 1).collect();
            packed.set(&mut bytes.clone());
            assert_eq!(packed.bytes(), bytes);
            let size = packed.0.len();
            let step = (size.next_power_of_two() / 8).clamp(16, 256);
            assert!(
                size > len && size <= len + step && size % step == 0,
                "{len}: {size}"
            );
        }
    }
}
