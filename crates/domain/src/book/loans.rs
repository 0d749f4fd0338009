//! What the book keeps of loans: packed, each in about a hundred and fifty bytes.

use std::hint::black_box;
use std::ops::Range;

use smallvec::SmallVec;

use super::snapshot::Kept;
use super::{Loan, Series};
use crate::agreement::MAX_CLASSES;
use crate::calendar::Day;
use crate::funding::Part;
use crate::loan::{Base, History, Position};
use crate::money::{Amount, Rate};
use crate::packed::{Damaged, Reader, optional, or_missing, put, put_bytes, put_row, small};
use crate::share::MAX_SHARES;

/// Bytes that a processor fetches at once.
const CACHE_LINE: usize = 64;

/// The packed terms of a loan: no memory of their own for up to five lenders.
pub(super) type PackedTerms = SmallVec<[u8; 64]>;

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
    /// Sum of the digests of all.
    pub(super) digest: u128,
    /// A loan on its way into its box, and what is hashed of it.
    scratch: Vec<u8>,
    hashed: Vec<u8>,
    kept: Kept<Box<[u8]>>,
}

impl Loans {
    pub(super) fn len(&self) -> usize {
        self.packed.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.packed.iter().map(|packed| packed.len()).sum()
    }

    #[inline]
    pub(super) fn get(&self, place: u32, series: &[Series]) -> Option<Loan> {
        let packed = self.present(place)?;
        Some(Loan::unpack(packed, series).expect("a loan is what was packed"))
    }

    fn present(&self, place: u32) -> Option<&[u8]> {
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
        let digest = digest(place, &packed, &mut self.hashed);
        self.kept.keep(place, || packed);
        digest
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
        if !packed.is_empty() {
            let old = digest(place, packed, &mut self.hashed);
            self.digest = self.digest.wrapping_sub(old);
        }
        self.hashed.clear();
        self.hashed.extend_from_slice(&place.to_le_bytes());
        let start = self.hashed.len();
        loan.pack_state(&mut self.hashed);
        self.digest = self.digest.wrapping_add(hash(&self.hashed));
        self.scratch.clear();
        put_bytes(&mut self.scratch, &self.hashed[start..]);
        self.scratch.extend_from_slice(&loan.terms);
        self.scratch.extend_from_slice(loan.history.packed());
        if packed.len() == self.scratch.len() {
            packed.copy_from_slice(&self.scratch);
        } else {
            *packed = self.scratch.as_slice().into();
        }
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
        let packed = self.present(place)?;
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
        let loan = Loan::unpack(packed, series)?;
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
        let mut hashed = Vec::new();
        all.fold(0, |sum: u128, (place, packed)| {
            sum.wrapping_add(digest(place, packed, &mut hashed))
        })
    }
}

/// A loan's part in the digest of all: a hash of its place and of what can change but its history,
/// which is what it changes by. They are put together in `hashed`.
fn digest(place: u32, packed: &[u8], hashed: &mut Vec<u8>) -> u128 {
    let [state, _] = parts(packed).expect("a loan is what was packed");
    hashed.clear();
    hashed.extend_from_slice(&place.to_le_bytes());
    hashed.extend_from_slice(state.bytes);
    hash(hashed)
}

fn hash(bytes: &[u8]) -> u128 {
    let hash = blake3::hash(bytes);
    let half = hash.as_bytes()[..16].try_into();
    u128::from_le_bytes(half.expect("a hash has more than sixteen bytes"))
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

    pub(super) fn unpack(packed: &[u8], series: &[Series]) -> Result<Loan, Damaged> {
        let [mut state, mut from] = parts(packed)?;
        let rest = from.bytes;
        let [application, of, principal, rate, instalment, parts] = from.row()?;
        let of: u32 = small(of)?;
        let series = series.get(of as usize).ok_or(Damaged)?;
        if !(0..=MAX_SHARES as i64).contains(&parts) {
            return Err(Damaged);
        }
        let mut list = SmallVec::new();
        for _ in 0..parts {
            list.push(Part {
                amount: Amount(from.number()?),
                rate: Rate(from.number()?.wrapping_add(rate)),
            });
        }
        let [agenda, class, own_class, non_accrual, earned, entered] = state.row()?;
        let base = Base {
            disbursed_on: series.disbursed_on,
            rate: Rate(rate),
            instalment: Amount(instalment),
        };
        let day = |since: i64| small(since.wrapping_add(series.disbursed_on.0.into())).map(Day);
        Ok(Loan {
            application: small(application)?,
            version: series.version,
            months: series.months,
            disbursed_on: series.disbursed_on,
            principal: Amount(principal),
            rate: base.rate,
            parts: list,
            history: History::from_packed(from.bytes),
            position: Position::unpack(base, &mut state)?,
            instalment: base.instalment,
            class: small(class)?,
            own_class: small(own_class)?,
            non_accrual: non_accrual != 0,
            earned: Amount(earned),
            series: of,
            entered: small(entered)?,
            agenda: or_missing(agenda).map(day).transpose()?,
            terms: SmallVec::from_slice(&rest[..rest.len() - from.bytes.len()]),
        })
    }
}
