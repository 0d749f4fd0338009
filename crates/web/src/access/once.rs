//! What may be used once: identifiers of proofs and assertions, remembered for as long as they
//! would be accepted. In memory and bounded; a restart forgets them.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};

/// Identifiers kept at most. When they are used up, calls are refused rather than identifiers
/// forgotten. At 3,000 calls a second two minutes are 360,000.
const CAPACITY: usize = 1_000_000;

/// A first half of SHA-256: two identifiers that agree in it are not found by anyone.
type Mark = [u8; 16];

/// Whether an identifier is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// It is, and counts as used now.
    First,
    /// It was used before.
    Again,
    /// There is no room to remember it.
    Full,
}

/// Identifiers that were used. Two generations: each lives for a whole period and some of the next.
pub(crate) struct Once {
    period: i64,
    capacity: usize,
    generations: Mutex<Generations>,
}

#[derive(Default)]
struct Generations {
    started: i64,
    young: HashSet<Mark>,
    old: HashSet<Mark>,
}

impl Once {
    /// Remembers an identifier for at least `period` seconds.
    pub(crate) fn new(period: i64) -> Once {
        Once::with_capacity(period, CAPACITY)
    }

    /// The same with another number of identifiers.
    pub(crate) fn with_capacity(period: i64, capacity: usize) -> Once {
        Once {
            period,
            capacity,
            generations: Mutex::default(),
        }
    }

    /// Uses an identifier of an owner.
    pub(crate) fn take(&self, owner: &str, id: &str, now: i64) -> Use {
        let mark = mark(owner, id);
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations.turn(now, self.period);
        if generations.old.contains(&mark) || generations.young.contains(&mark) {
            Use::Again
        } else if generations.old.len() + generations.young.len() >= self.capacity {
            Use::Full
        } else {
            generations.young.insert(mark);
            Use::First
        }
    }

    /// Whether an identifier was used, without using it.
    pub(crate) fn used(&self, owner: &str, id: &str) -> bool {
        let mark = mark(owner, id);
        let generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations.old.contains(&mark) || generations.young.contains(&mark)
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
            self.old.clear();
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
        let once = Once::new(100);
        assert_eq!(once.take("a", "1", 1_000), Use::First);
        assert_eq!(once.take("a", "1", 1_000), Use::Again);
        assert_eq!(once.take("b", "1", 1_000), Use::First);
        assert_eq!(once.take("a", "2", 1_099), Use::First);
        // The first ones are old now, the later one is still there after its own period.
        assert_eq!(once.take("a", "1", 1_100), Use::Again);
        assert_eq!(once.take("a", "2", 1_199), Use::Again);
        assert_eq!(once.take("a", "1", 1_300), Use::First);
    }
}
