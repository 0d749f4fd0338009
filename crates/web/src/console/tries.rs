//! How often somebody may try to sign in: by name, by browser and by address.
//!
//! A try is counted before it is checked and given back if it was right, so that no more are ever
//! checked than may fail, however many come at once. Names are counted whether somebody has them or
//! not: an answer does not tell which. A browser that signed in with a name before carries a mark
//! that says so, and has a count of its own, so that nobody else makes its owner wait.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::HeaderValue;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::people;
use crate::proxy;
use crate::registry::{self, Registry, values};
use crate::seal::Sealer;

/// The table of tries.
pub(super) const SCHEMA: &str = "
-- By a code over the name that was typed or over a browser's mark: who reads it learns neither.
create table if not exists sign_in_try (
    who blob primary key,
    failures integer not null,
    last integer not null,
    blocked_until integer not null
) strict, without rowid;
create index if not exists sign_in_try_last on sign_in_try (last);
-- The same by a hash that anybody can make.
drop table if exists sign_in_failure;
";

/// Failures that cost nothing.
const FREE_FAILURES: u32 = 5;
/// Seconds of waiting after the first failure that costs; each further one doubles it.
const FIRST_WAIT: i64 = 15;
/// Seconds of waiting at most. It also ends the count.
const LONGEST_WAIT: i64 = 60 * 60;
/// Names and browsers that are counted at most; of more, those with the fewest failures go.
const COUNTED: i64 = 10_000;
/// Seconds between two looks for what is counted no more.
const SWEEP: i64 = 60;

/// Wrong tries that an address has at once.
const TRIES: i64 = 10;
/// Seconds after which it has one more.
const TRY_EVERY: i64 = 6;
/// Addresses that are counted at most; with more, all begin anew.
const ADDRESSES: usize = 10_000;

/// Seconds for which a browser's mark counts after it signed in.
const MARKED: i64 = 90 * 24 * 60 * 60;
/// Name of the cookie that carries it.
pub(super) const MARK: &str = "tandem-known";

/// Who tries.
pub(super) struct Who {
    key: Vec<u8>,
    /// True if the browser signed in with this name before.
    pub(super) is_known: bool,
}

impl Who {
    /// By the name that was typed and the mark that the browser carries.
    pub(super) fn of(sealer: &Sealer, login: &str, mark: Option<&str>, now: i64) -> Who {
        let login = folded(login);
        let known = mark.and_then(|mark| {
            let sealed = URL_SAFE_NO_PAD.decode(mark).ok()?;
            let mark = sealer.open(&marked(&login), &sealed)?;
            let (until, _) = mark.split_first_chunk()?;
            (i64::from_be_bytes(*until) > now).then_some(mark)
        });
        Who {
            key: match &known {
                None => sealer.code("sign-in name", login.as_bytes()),
                Some(mark) => sealer.code("known browser", mark),
            },
            is_known: known.is_some(),
        }
    }
}

/// A cookie with a mark for a browser that signed in with a name.
pub(super) fn mark(sealer: &Sealer, login: &str, secure: bool, now: i64) -> HeaderValue {
    let until = (now + MARKED).to_be_bytes();
    let mark = [&until[..], &people::random::<16>()].concat();
    let sealed = sealer.seal(&marked(&folded(login)), &mark);
    let sealed = sealed.expect("the system has random numbers");
    let flag = if secure { "; Secure" } else { "" };
    let text = format!(
        "{MARK}={}; Path=/console; Max-Age={MARKED}; HttpOnly; SameSite=Lax{flag}",
        URL_SAFE_NO_PAD.encode(sealed)
    );
    HeaderValue::try_from(text).expect("a mark is letters and digits")
}

fn marked(login: &str) -> String {
    format!("known browser\n{login}")
}

fn folded(login: &str) -> String {
    login.trim().to_lowercase()
}

/// Counts a try that is about to be checked, unless there were too many: then it gives the seconds
/// that must pass before another.
pub(super) fn begin(registry: &Registry, who: &Who, now: i64) -> registry::Result<Result<(), i64>> {
    registry.change(|tables| {
        let begun = tables.row(
            "insert into sign_in_try (who, failures, last, blocked_until)
             values (?1, 1, ?2, 0) on conflict (who) do update
             set failures = case when sign_in_try.last < ?3 then 1 else sign_in_try.failures + 1 end,
             last = ?2 where sign_in_try.blocked_until <= ?2 returning failures",
            values![&*who.key, now, now - LONGEST_WAIT],
            |row| row.get::<u32>(0),
        )?;
        let Some(failures) = begun else {
            let text = "select blocked_until from sign_in_try where who = ?1";
            let until: i64 = tables.value(text, values![&*who.key])?;
            return Ok(Err(until - now));
        };
        if let Some(doublings) = failures.checked_sub(FREE_FAILURES) {
            let wait = (FIRST_WAIT << doublings.min(16)).min(LONGEST_WAIT);
            let text = "update sign_in_try set blocked_until = ?2 where who = ?1";
            tables.execute(text, values![&*who.key, now + wait])?;
        }
        Ok(Ok(()))
    })
}

/// Gives a try back that was right, or was not checked.
pub(super) fn give_back(registry: &Registry, who: &Who) -> registry::Result<()> {
    let text = "update sign_in_try set failures = failures - 1, blocked_until = 0
                where who = ?1 and failures > 0";
    registry.change(|tables| tables.execute(text, values![&*who.key]).map(drop))
}

/// Forgets failed tries, after somebody signed in.
pub(super) fn forget(registry: &Registry, who: &Who) -> registry::Result<()> {
    let text = "delete from sign_in_try where who = ?1";
    registry.change(|tables| tables.execute(text, values![&*who.key]).map(drop))
}

/// Removes what counts no more, and of what is left all but a bounded number.
fn sweep(registry: &Registry, now: i64) -> registry::Result<()> {
    registry.change(|tables| {
        let text = "delete from sign_in_try where last < ?1";
        tables.execute(text, values![now - LONGEST_WAIT])?;
        let text = "delete from sign_in_try where who in (select who from sign_in_try
                    order by failures desc, last desc limit 1000000 offset ?1)";
        tables.execute(text, values![COUNTED]).map(drop)
    })
}

/// What a node knows of tries without the registry.
#[derive(Default)]
pub(super) struct Tries(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// By address: when it has all its tries again.
    addresses: HashMap<String, i64>,
    swept: i64,
}

impl Tries {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one of an address's tries; without one, it gives the seconds until the next.
    pub(super) fn take(&self, address: &str, now: i64) -> Result<(), i64> {
        let addresses = &mut self.known().addresses;
        if addresses.len() >= ADDRESSES {
            addresses.retain(|_, full| *full > now);
            if addresses.len() >= ADDRESSES {
                addresses.clear();
            }
        }
        let full = addresses.entry(proxy::network_named(address)).or_default();
        let from = (*full).max(now);
        let wait = from + TRY_EVERY - (now + TRIES * TRY_EVERY);
        if wait > 0 {
            return Err(wait);
        }
        *full = from + TRY_EVERY;
        Ok(())
    }

    /// Gives one back that was right, or was not checked.
    pub(super) fn give_back(&self, address: &str) {
        if let Some(full) = self
            .known()
            .addresses
            .get_mut(&proxy::network_named(address))
        {
            *full -= TRY_EVERY;
        }
    }

    /// Removes what counts no more from the registry, if it was not looked for lately.
    pub(super) fn sweep(&self, registry: &Registry, now: i64) -> registry::Result<()> {
        {
            let mut known = self.known();
            if now - known.swept < SWEEP {
                return Ok(());
            }
            known.swept = now;
        }
        sweep(registry, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::registry;

    fn who(login: &str) -> Who {
        Who::of(&Sealer::new(&[1; 32]), login, None, 0)
    }

    #[test]
    fn an_address_has_ten_tries_and_then_one_every_six_seconds() {
        let tries = Tries::default();
        let taken = |address: &str, now| tries.take(address, now);
        for _ in 0..TRIES {
            assert_eq!(taken("203.0.113.7", 100), Ok(()));
        }
        assert_eq!(taken("203.0.113.7", 100), Err(6));
        assert_eq!(taken("203.0.113.8", 100), Ok(()));
        assert_eq!(taken("203.0.113.7", 104), Err(2));
        assert_eq!(taken("203.0.113.7", 106), Ok(()));
        assert_eq!(taken("203.0.113.7", 106), Err(6));
        // One that was right is given back.
        tries.give_back("203.0.113.7");
        assert_eq!(taken("203.0.113.7", 106), Ok(()));
        // Who has an address of IPv6 has the lower half of it to choose from.
        for number in 0..TRIES {
            assert_eq!(taken(&format!("2001:db8::{number}"), 100), Ok(()));
        }
        assert_eq!(taken("2001:db8::ffff", 100), Err(6));
        assert_eq!(taken("2001:db8:0:1::1", 100), Ok(()));
    }

    #[test]
    fn addresses_that_are_counted_have_a_bound() {
        let tries = Tries::default();
        for number in 0..3 * ADDRESSES {
            tries.take(&number.to_string(), 100).unwrap();
            assert!(tries.known().addresses.len() <= ADDRESSES);
        }
    }

    #[test]
    fn a_count_ends_after_an_hour_and_counts_have_a_bound() {
        let registry = registry(&[SCHEMA]);
        let ann = who("Ann ");
        for _ in 0..FREE_FAILURES {
            assert_eq!(begin(&registry, &ann, 100).unwrap(), Ok(()));
        }
        assert_eq!(begin(&registry, &who("ann"), 101).unwrap(), Err(14));
        // An hour after the last try it begins anew.
        let later = 100 + LONGEST_WAIT + 1;
        for _ in 0..FREE_FAILURES {
            assert_eq!(begin(&registry, &ann, later).unwrap(), Ok(()));
        }
        assert_eq!(begin(&registry, &ann, later).unwrap(), Err(15));
        // Ten thousand and more made-up names do not take away that one must wait.
        registry
            .change(|tables| {
                for number in 0..COUNTED + 100 {
                    let key = number.to_be_bytes().to_vec();
                    let text = "insert into sign_in_try values (?1, 1, ?2, 0)";
                    tables.execute(text, values![key, later + 1])?;
                }
                registry::Result::Ok(())
            })
            .unwrap();
        let tries = Tries::default();
        tries.sweep(&registry, later + 2).unwrap();
        let count = || {
            let text = "select count(*) from sign_in_try";
            registry.read(|tables| tables.value::<i64>(text, values![]))
        };
        assert_eq!(count().unwrap(), COUNTED);
        assert_eq!(begin(&registry, &ann, later + 2).unwrap(), Err(13));
        tries.sweep(&registry, later + 2 + LONGEST_WAIT).unwrap();
        assert_eq!(count().unwrap(), 0);
    }

    #[test]
    fn a_mark_is_for_one_name_and_ends() {
        let sealer = Sealer::new(&[1; 32]);
        let cookie = mark(&sealer, "Ann", true, 100);
        let cookie = cookie.to_str().unwrap();
        let (_, rest) = cookie.split_once('=').unwrap();
        let (mark, flags) = rest.split_once(';').unwrap();
        assert_eq!(
            flags,
            " Path=/console; Max-Age=7776000; HttpOnly; SameSite=Lax; Secure"
        );
        let known = |login, mark, now| Who::of(&sealer, login, mark, now).is_known;
        assert!(known("ann ", Some(mark), 100 + MARKED - 1));
        assert!(!known("ann", Some(mark), 100 + MARKED));
        assert!(!known("bo", Some(mark), 100));
        assert!(!known("ann", Some("made up"), 100));
        assert!(!known("ann", None, 100));
        let other = Who::of(&Sealer::new(&[2; 32]), "ann", Some(mark), 100);
        assert!(!other.is_known);
        assert_ne!(other.key, who("ann").key);
    }
}
