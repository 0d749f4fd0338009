//! Failures of callers that nobody has verified, counted, so that nobody can fill the log with them.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Place;

use super::entry::Entry;
use crate::proxy;

/// Seconds for which failures are counted together.
const WINDOW: i64 = 60 * 60;

/// What is counted apart at most; what comes then is counted together.
const MOST: usize = 10_000;

/// What is counted together: who it says that it is, from which network, and what failed.
type Key = (String, String, String, &'static str);

/// Failures since they were last written.
#[derive(Default)]
pub(super) struct Failures(HashMap<Key, Counted>);

struct Counted {
    since: i64,
    /// The last of them, if there was one after the first.
    last: Option<Entry>,
}

impl Failures {
    /// Counts a failure, and gives it back if it is the first of its kind for an hour: that one is
    /// an entry at once.
    pub(super) fn count(&mut self, mut entry: Entry) -> Option<Entry> {
        let is_known = self.0.contains_key(&key(&entry));
        if !is_known && self.0.len() >= MOST {
            let address = "elsewhere".to_owned();
            let (party, login, client) = Default::default();
            entry = Entry {
                party,
                login,
                client,
                address,
                ..entry
            };
        }
        match self.0.entry(key(&entry)) {
            Place::Vacant(place) => {
                place.insert(Counted {
                    since: entry.at,
                    last: None,
                });
                Some(entry)
            }
            Place::Occupied(mut counted) => {
                let last = &mut counted.get_mut().last;
                let before = last.as_ref().and_then(|last| last.count).unwrap_or(0);
                *last = Some(Entry {
                    count: Some(before + 1),
                    ..entry
                });
                None
            }
        }
    }

    /// Forgets what was begun an hour ago, or everything, and gives an entry for each that has more
    /// than the first.
    pub(super) fn take(&mut self, now: i64, all: bool) -> Vec<Entry> {
        let over = |counted: &Counted| all || now - counted.since >= WINDOW;
        let taken = self.0.extract_if(|_, counted| over(counted));
        let mut taken: Vec<_> = taken.filter_map(|(_, counted)| counted.last).collect();
        taken.sort_by_key(|entry| entry.at);
        taken
    }
}

fn key(entry: &Entry) -> Key {
    let who = format!("{}{}", entry.login, entry.client);
    let network = proxy::network_named(&entry.address);
    (entry.party.clone(), who, network, entry.act.name())
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;
    use crate::audit::entry::Act;

    fn failure(client: &str, address: &str, at: i64) -> Entry {
        Entry {
            client: client.to_owned(),
            address: address.to_owned(),
            ..Entry::new(("", ""), Act::CallFailed, "/v1/agreements", at)
        }
    }

    #[test]
    fn failures_from_one_network_are_two_entries_an_hour() {
        let mut failures = Failures::default();
        let first = failures.count(failure("", "203.0.113.9", 100));
        assert_eq!(first.and_then(|entry| entry.count), None);
        for at in 101..200 {
            assert_eq!(failures.count(failure("", "203.0.113.9", at)), None);
        }
        // Who says that it is somebody, and who comes from elsewhere, is counted apart.
        assert!(
            failures
                .count(failure("shop", "203.0.113.9", 150))
                .is_some()
        );
        assert!(failures.count(failure("", "2001:db8::1", 150)).is_some());
        assert!(
            failures
                .count(failure("", "2001:db8::ffff:2", 150))
                .is_none()
        );
        assert_eq!(failures.take(100 + WINDOW - 1, false), []);
        let counted = failures.take(100 + WINDOW, false);
        let expected = Entry {
            count: Some(99),
            ..failure("", "203.0.113.9", 199)
        };
        assert_eq!(counted, [expected]);
        // Then it begins anew.
        assert!(
            failures
                .count(failure("", "203.0.113.9", 100 + WINDOW))
                .is_some()
        );
        let all: Vec<_> = failures
            .take(0, true)
            .into_iter()
            .map(|entry| entry.count)
            .collect();
        assert_eq!(all, [Some(1)]);
        assert_eq!(failures.take(0, true), []);
    }

    #[test]
    fn from_everywhere_they_are_counted_together() {
        let mut failures = Failures::default();
        let address = |number: usize| Ipv6Addr::from((number as u128) << 64).to_string();
        for number in 0..MOST {
            assert!(failures.count(failure("", &address(number), 0)).is_some());
        }
        let elsewhere = failures.count(failure("shop", &address(MOST), 0)).unwrap();
        assert_eq!(
            (elsewhere.address.as_str(), elsewhere.client.as_str()),
            ("elsewhere", "")
        );
        assert_eq!(failures.count(failure("", &address(MOST + 1), 0)), None);
        assert_eq!(failures.count(failure("", &address(7), 0)), None);
        assert_eq!(failures.0.len(), MOST + 1);
    }
}
