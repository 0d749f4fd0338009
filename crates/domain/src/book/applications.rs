//! What the book keeps of applications: a row of few bytes for each.

use std::collections::BTreeMap;
use std::ops::Range;

use super::event::DeclineReason;
use super::hashes::digest;
use super::keys::{KeyHash, Names};
use super::snapshot::Kept;
use super::{ApplicationRecord, ApplicationState, Clause, Offer};
use crate::calendar::Day;
use crate::packed::{Damaged, Reader};

/// All applications, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Applications {
    pub(super) rows: Vec<Row>,
    pub(super) names: Names,
    pub(super) offers: BTreeMap<u32, Offer>,
    /// Sum of the digests of all.
    pub(super) digest: u64,
    kept: Kept<Row>,
}

/// One application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Digest of the command.
    pub(super) body: u64,
    /// Its borrower, and that borrower's application before it; [`NONE`] if there is none.
    pub(super) borrower: u32,
    pub(super) previous: u32,
    pub(super) region: u32,
    pub(super) decided_on: Day,
    /// For a loan its place, for a declined application the reason's.
    pub(super) detail: u32,
    pub(super) version: u16,
    pub(super) state: u8,
}

pub(super) const NONE: u32 = u32::MAX;

impl Row {
    pub(super) fn borrower(&self) -> Option<u32> {
        Some(self.borrower).filter(|&place| place != NONE)
    }

    pub(super) fn previous(&self) -> Option<u32> {
        Some(self.previous).filter(|&place| place != NONE)
    }

    /// The application's part in the digest of all applications. It is to find bugs; that nobody
    /// edits the past is what the journal's hashes are for.
    fn digest(&self, place: u32) -> u64 {
        let state = u64::from(self.state) + 1;
        let mixed =
            (self.body ^ (u64::from(place) << 8) ^ state).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 32)
    }
}

impl Applications {
    pub(super) fn find(&self, key: &str) -> Option<u32> {
        self.names.find(key)
    }

    pub(super) fn find_hashed(&self, key: &str, hash: KeyHash) -> Option<u32> {
        self.names.find_hashed(key, hash)
    }

    pub(super) fn get(&self, place: u32) -> Option<ApplicationRecord<'_>> {
        let row = self.rows.get(place as usize)?;
        Some(ApplicationRecord {
            key: self.names.get(place),
            version: row.version,
            borrower: row.borrower(),
            region: row.region,
            decided_on: row.decided_on,
            state: row.state(),
        })
    }

    pub(super) fn push(&mut self, key: &str, hash: KeyHash, row: Row) -> u32 {
        let place = self.names.add_hashed(key, hash);
        self.digest = self.digest.wrapping_add(row.digest(place));
        self.rows.push(row);
        place
    }

    pub(super) fn set_state(&mut self, place: u32, state: ApplicationState) {
        let row = &mut self.rows[place as usize];
        self.kept.keep(place, || *row);
        self.digest = self.digest.wrapping_sub(row.digest(place));
        (row.state, row.detail) = state.packed();
        self.digest = self.digest.wrapping_add(row.digest(place));
    }

    /// An application that waited is decided, on this day.
    pub(super) fn decide_again(&mut self, place: u32, state: ApplicationState, day: Day) {
        self.set_state(place, state);
        self.rows[place as usize].decided_on = day;
    }

    /// Adds something that belongs to applications to the digest of all of them.
    pub(super) fn mix(&mut self, added: &impl minicbor::Encode<()>) {
        self.digest = self.digest.wrapping_add(digest(added));
    }

    /// From now on keeps what changes in these places, until it is packed.
    pub(super) fn keep_from(&mut self, places: Range<u32>) {
        self.kept = Kept::from(places);
    }

    /// Appends applications as they were when keeping began.
    pub(super) fn pack(&mut self, places: Range<u32>, out: &mut Vec<u8>) {
        for place in places {
            let row = self.kept.take(place).unwrap_or(self.rows[place as usize]);
            row.pack(out);
            self.names.pack(place, out);
        }
    }

    /// Reads the next application.
    pub(super) fn unpack(&mut self, from: &mut Reader<'_>) -> Result<Row, Damaged> {
        let row = Row::unpack(from)?;
        self.names.unpack(from)?;
        self.rows.push(row);
        Ok(row)
    }

    /// The applications of a borrower whose last one is given, newest first.
    pub(super) fn of_borrower(&self, last: Option<u32>) -> impl Iterator<Item = u32> {
        std::iter::successors(last, |&place| self.rows[place as usize].previous())
    }
}

impl Row {
    pub(super) fn state(&self) -> ApplicationState {
        let (group, place) = (self.detail >> 8, self.detail as u8);
        match self.state {
            0 => ApplicationState::Declined(match group {
                0 => DeclineReason::Term,
                1 => DeclineReason::Amount,
                2 => DeclineReason::Ineligible(place),
                3 => DeclineReason::Funding,
                4 => DeclineReason::Clause(Clause::Limit(place)),
                5 => DeclineReason::Clause(Clause::Rule(place)),
                _ => DeclineReason::Yields,
            }),
            1 => ApplicationState::Referred,
            2 => ApplicationState::Offered,
            3 => ApplicationState::Lapsed,
            4 => ApplicationState::Withdrawn,
            _ => ApplicationState::Disbursed(self.detail),
        }
    }
}

impl ApplicationState {
    pub(super) fn packed(self) -> (u8, u32) {
        match self {
            ApplicationState::Declined(reason) => {
                let (group, place) = match reason {
                    DeclineReason::Term => (0, 0),
                    DeclineReason::Amount => (1, 0),
                    DeclineReason::Ineligible(place) => (2, place),
                    DeclineReason::Funding => (3, 0),
                    DeclineReason::Clause(Clause::Limit(place)) => (4, place),
                    DeclineReason::Clause(Clause::Rule(place)) => (5, place),
                    DeclineReason::Yields => (6, 0),
                };
                (0, group << 8 | u32::from(place))
            }
            ApplicationState::Referred => (1, 0),
            ApplicationState::Offered => (2, 0),
            ApplicationState::Lapsed => (3, 0),
            ApplicationState::Withdrawn => (4, 0),
            ApplicationState::Disbursed(loan) => (5, loan),
        }
    }
}
