//! What may be used once: identifiers of proofs and assertions, remembered for as long as they
//! would be accepted. In memory and bounded, for each party apart; a restart forgets them.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use ring::digest::{SHA256, digest};

/// A first half of SHA-256: two identifiers that agree in it are not found by anyone.
type Mark = [u8; 16];

/// Whether an identifier is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is, and counts as used now.
    First,
    /// It was used before.
    Again,
    /// There is no room to remember it: the party has used up its own.
    Full,
}

/// Identifiers that were used. Two generations: each lives for a whole period and some of the next.
pub(crate) struct Once {
    period: i64,
    /// Identifiers of one party. When they are used up, its calls are refused rather than
    /// identifiers forgotten.
    share: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    started: i64,
    young: Generation,
    old: Generation,
}

#[derive(Default)]
struct Generation {
    marks: HashSet<Mark>,
    by_party: HashMap<String, usize>,
}

impl Once {
    /// Remembers an identifier for at least `period` seconds, and so many of a party.
    pub(crate) fn new(period: i64, share: usize) -> Once {
        Once {
            period,
            share,
            generations: Mutex::default(),
        }
    }

    /// Uses an identifier of an owner, which counts for a party.
    pub(crate) fn take(&self, party: &str, owner: &str, id: &str, now: i64) -> Use {
        let mark = mark(owner, id);
        let mut generations = self.generations();
        generations.turn(now, self.period);
        let Generations { young, old, .. } = &mut *generations;
        if old.has(&mark) || young.has(&mark) {
            Use::Again
        } else if old.count(party) + young.count(party) >= self.share {
            Use::Full
        } else {
            young.add(party, mark);
            Use::First
        }
    }

    /// Whether an identifier was used, without using it.
    pub(crate) fn used(&self, owner: &str, id: &str) -> bool {
        let mark = mark(owner, id);
        let generations = self.generations();
        generations.old.has(&mark) || generations.young.has(&mark)
    }

    fn generations(&self) -> MutexGuard<'_, Generations> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Generation {
    fn has(&self, mark: &Mark) -> bool {
        self.marks.contains(mark)
    }

    fn count(&self, party: &str) -> usize {
        self.by_party.get(party).copied().unwrap_or(0)
    }

    fn add(&mut self, party: &str, mark: Mark) {
        self.marks.insert(mark);
        *self.by_party.entry(party.to_owned()).or_default() += 1;
    }
}

impl Generations {
    fn turn(&mut self, now: i64, period: i64) {
        let age = now - self.started;
        if age < period {
            return;
        }
        self.old = std::mem::take(&mut self.young);
        if age >= 2 * period {
            self.old = Generation::default();
        }
        self.started = now;
    }
}

fn mark(owner: &str, id: &str) -> Mark {
    let hash = digest(&SHA256, format!("{owner}\n{id}").as_bytes());
    let mut mark = Mark::default();
    mark.copy_from_slice(&hash.as_ref()[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identifier_is_remembered_for_the_whole_period_and_forgotten_after_two() {
        let once = Once::new(100, 100);
        assert_eq!(once.take("party", "a", "1", 1_000), Use::First);
        assert_eq!(once.take("party", "a", "1", 1_000), Use::Again);
        assert_eq!(once.take("party", "b", "1", 1_000), Use::First);
        assert_eq!(once.take("party", "a", "2", 1_099), Use::First);
        // The first ones are old now, the later one is still there after its own period.
        assert_eq!(once.take("party", "a", "1", 1_100), Use::Again);
        assert_eq!(once.take("party", "a", "2", 1_199), Use::Again);
        assert_eq!(once.take("party", "a", "1", 1_300), Use::First);
    }

    #[test]
    fn a_party_that_used_up_its_room_leaves_that_of_others() {
        let once = Once::new(100, 2);
        assert_eq!(once.take("river", "key", "1", 1_000), Use::First);
        assert_eq!(once.take("river", "another key", "1", 1_050), Use::First);
        assert_eq!(once.take("river", "key", "2", 1_100), Use::Full);
        assert_eq!(once.take("cloud", "key of cloud", "2", 1_100), Use::First);
        // What is forgotten leaves room.
        assert_eq!(once.take("river", "key", "2", 1_250), Use::First);
    }
}
