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
const MOST_UNHASHED: usize = 1 << 16;

/// No day.
const NEVER: Day = Day(i32::MAX);

/// All loans, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Loans {
    /// Nothing of those that are archived.
    packed: Vec<Box<[u8]>>,
    /// The day on which a close must look at each, or [`NEVER`]: of most loans all that a close reads.
    agenda: Vec<Day>,
    /// True if archived loans stay all the same.
    pub(super) keeps_archived: bool,
    /// Sum of the digests of all, but for what is not hashed yet.
    hashed: u128,
    unhashed: Unhashed,
    /// True if hashes are left to who takes out what is not hashed yet.
    hashes_later: bool,
    /// A loan on its way into its box.
    scratch: Vec<u8>,
    kept: Kept<Box<[u8]>>,
}

impl Loans {
    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.packed.iter().map(|packed| packed.len()).sum()
    }

    /// A loan, packed; none if it is archived.
    #[inline]
    pub(super) fn get(&self, place: u32) -> Option<&[u8]> {
        let packed = self.packed.get(place as usize)?;
        Some(&**packed).filter(|packed| !packed.is_empty())
    }

    pub(super) fn is_archived(&self, place: u32) -> bool {
        let packed = self.packed.get(place as usize);
        packed.is_some_and(|packed| packed.is_empty())
    }

    /// Takes a loan out of memory; its digest, which stays in that of all.
    pub(super) fn archive(&mut self, place: u32) -> u128 {
        let packed = std::mem::take(&mut self.packed[place as usize]);
        self.agenda[place as usize] = NEVER;
        let digest = digest(place, &packed);
        self.kept.keep(place, || packed);
        digest
    }

    /// Sum of the digests of all.
    pub(super) fn digest(&self) -> u128 {
        self.hashed.wrapping_add(self.unhashed.sum().0)
    }

    pub(super) fn set_digest(&mut self, digest: u128) {
        (self.hashed, self.unhashed) = (digest, Unhashed::default());
    }

    /// From now on leaves hashes to others, or no more.
    pub(super) fn hash_later(&mut self, later: bool) {
        self.hashes_later = later;
        self.hash();
    }

    /// What is not hashed yet, in return for room; its sum is to be added.
    pub(super) fn take_unhashed(&mut self, mut room: Unhashed) -> Unhashed {
        room.clear();
        std::mem::replace(&mut self.unhashed, room)
    }

    pub(super) fn add_hashed(&mut self, HashSum(sum): HashSum) {
        self.hashed = self.hashed.wrapping_add(sum);
    }

    /// Makes room for a new loan, which is set next.
    pub(super) fn add(&mut self) {
        self.packed.push(Box::default());
        self.agenda.push(NEVER);
    }

    pub(super) fn set(&mut self, place: u32, loan: &Loan) {
        self.agenda[place as usize] = loan.agenda.unwrap_or(NEVER);
        let packed = &mut self.packed[place as usize];
        self.kept.keep(place, || packed.clone());
        let unhashed = &mut self.unhashed;
        if !packed.is_empty() {
            unhashed.push(place, false, |out| out.extend_from_slice(state(packed)));
        }
        let state = unhashed.push(place, true, |out| loan.pack_state(out));
        self.scratch.clear();
        put_bytes(&mut self.scratch, state);
        self.scratch.extend_from_slice(&loan.terms);
        self.scratch.extend_from_slice(loan.history.packed());
        if packed.len() == self.scratch.len() {
            packed.copy_from_slice(&self.scratch);
        } else {
            *packed = self.scratch.as_slice().into();
        }
        if !self.hashes_later || self.unhashed.bytes.len() > MOST_UNHASHED {
            self.hash();
        }
    }

    fn hash(&mut self) {
        self.hashed = self.digest();
        self.unhashed.clear();
    }

    /// Reads something of every cache line of some loans: lines that are far away come at the same
    /// time that way, where looking at one loan after the other would wait for each.
    pub(super) fn fetch(&self, places: impl Iterator<Item = u32>) {
        let mut all = 0;
        for packed in places.filter_map(|place| self.packed.get(place as usize)) {
            let lines = packed.iter().step_by(CACHE_LINE).chain(packed.last());
            all = lines.fold(all, |all, byte| all ^ byte);
        }
        black_box(all);
    }

    /// Number of the last transaction that came in on a loan.
    pub(super) fn entered(&self, place: u32) -> Option<u32> {
        let packed = self.get(place)?;
        let state = parts(packed).and_then(|[mut state, _]| state.row::<6>());
        let [.., entered] = state.expect("a loan is what was packed");
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
            put_bytes(out, old.as_deref().unwrap_or(&self.packed[place as usize]));
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
            self.packed.push(packed.into());
            self.agenda.push(NEVER);
            return Ok(None);
        }
        let mut loan = Loan::default();
        loan.unpack(packed, series)?;
        loan.history.check()?;
        if loan.application as usize >= applications || usize::from(loan.class) >= MAX_CLASSES {
            return Err(Damaged);
        }
        self.packed.push(packed.into());
        self.agenda.push(loan.agenda.unwrap_or(NEVER));
        Ok(loan.agenda)
    }

    /// The digest of those that are in memory, taken anew.
    pub(super) fn digest_anew(&self) -> u128 {
        let all = (0..).zip(&self.packed);
        let all = all.filter(|(_, packed)| !packed.is_empty());
        all.fold(0, |sum: u128, (place, packed)| {
            sum.wrapping_add(digest(place, packed))
        })
    }
}

/// A loan's part in the digest of all: a hash of its place and of what can change but its history,
/// which is what it changes by.
fn digest(place: u32, packed: &[u8]) -> u128 {
    let mut one = Unhashed::default();
    one.push(place, true, |out| out.extend_from_slice(state(packed)));
    one.sum().0
}

/// Loans as they came to be and as they were before, whose hashes the digest lacks. To hash them
/// takes no book, so another thread than the book's can do it.
#[derive(Clone, Debug, Default)]
pub struct Unhashed {
    bytes: Vec<u8>,
    /// Where each ends, and true if its hash is added, not taken away.
    ends: Vec<(usize, bool)>,
}

/// What hashes come to.
#[derive(Clone, Copy, Debug)]
pub struct HashSum(u128);

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
    }

    /// Hashes them all.
    pub fn sum(&self) -> HashSum {
        let (mut sum, mut start) = (0u128, 0);
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
        HashSum(sum)
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
