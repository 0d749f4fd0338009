//! Who saw and did what in the console: entries that are only ever added, each chained to the one
//! before by its hash.
//!
//! Every party has a chain of its own, so that it can keep a copy and check it without anybody
//! else's entries; the operator has one for names that nobody has. An entry is on the disk before
//! what it is about is shown or done. One thread writes them, as many at a time as have gathered.

use std::collections::BTreeMap;

use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, oneshot};

use crate::hex;
use crate::registry::Registry;

/// The table of entries. What is asked for most stands in columns that SQLite reads out of them.
pub const SCHEMA: &str = "
create table if not exists audit (
    party text not null,
    number integer not null,
    entry text not null,
    hash text not null,
    at integer generated always as (entry ->> 'at') virtual,
    answers integer generated always as (entry ->> 'answers') virtual,
    primary key (party, number)
) strict, without rowid;
create index if not exists audit_at on audit (party, at);
create index if not exists audit_answers on audit (party, answers) where answers is not null;
create trigger if not exists audit_changed before update on audit
begin select raise(abort, 'entries of the audit log are never changed'); end;
create trigger if not exists audit_removed before delete on audit
begin select raise(abort, 'entries of the audit log are never removed'); end;
";

/// Entries that wait for the writer at most; who comes then waits.
const QUEUE: usize = 1024;
/// Entries in one commit at most.
const BATCH: usize = 256;
/// Entries that are read at once.
const READ: usize = 1000;
/// Letters of a value at most; what is longer is cut.
const LONGEST: usize = 500;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Signed in.
    SignedIn,
    /// Tried to sign in, and failed.
    SignInFailed,
    /// Looked at a page.
    Viewed,
    /// Asked for something to be done, before it was.
    Asked,
    /// What became of it; the entry says of what.
    Answered,
}

impl Act {
    /// Its name in an entry.
    pub fn name(self) -> &'static str {
        match self {
            Act::SignedIn => "signed_in",
            Act::SignInFailed => "sign_in_failed",
            Act::Viewed => "viewed",
            Act::Asked => "asked",
            Act::Answered => "answered",
        }
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The party whose chain it is in; empty for the operator's.
    pub party: String,
    /// Its number in the chain, from 1; given when it is written.
    pub number: i64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Name with which the person signs in; empty where nobody has the name that was typed, for it
    /// may have been a password.
    pub login: String,
    /// Address from which the request came.
    pub address: String,
    /// The book that the person looked at; empty before the sign-in.
    pub book: String,
    /// What the person did.
    pub act: Act,
    /// Path of the page, below `/console`.
    pub object: String,
    /// Fields of the form that was sent, without secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Number of the entry that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<i64>,
    /// HTTP status of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
}

impl Entry {
    /// An entry of a party's person about what was done at a time, without what only some have.
    pub fn new((party, login): (&str, &str), act: Act, object: &str, at: i64) -> Entry {
        Entry {
            party: party.to_owned(),
            number: 0,
            at,
            login: login.to_owned(),
            address: String::new(),
            book: String::new(),
            act,
            object: Entry::value(object),
            fields: BTreeMap::new(),
            answers: None,
            status: None,
        }
    }

    /// A value as it stands in an entry: cut if it is long.
    pub fn value(text: &str) -> String {
        match text.char_indices().nth(LONGEST) {
            None => text.to_owned(),
            Some((end, _)) => format!("{}…", &text[..end]),
        }
    }
}

/// The writer of entries.
pub struct Audit {
    queue: mpsc::Sender<Waiting>,
}

/// An entry that waits to be written.
struct Waiting {
    entry: Entry,
    done: oneshot::Sender<i64>,
}

/// That an entry could not be written; the log says why.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written, so nothing is shown or done")]
pub struct NotWritten;

impl Audit {
    /// Starts the writer, which ends with this.
    pub fn open(registry: &Registry) -> rusqlite::Result<Audit> {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let own = registry.another()?;
        let thread = std::thread::Builder::new().name("audit".to_owned());
        let spawned = thread.spawn(move || write_all(&own, waiting));
        spawned.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(Audit { queue })
    }

    /// Writes an entry; it is on the disk when its number is returned.
    pub async fn note(&self, entry: Entry) -> Result<i64, NotWritten> {
        let (done, written) = oneshot::channel();
        let sent = self.queue.send(Waiting { entry, done }).await;
        sent.map_err(|_| NotWritten)?;
        written.await.map_err(|_| NotWritten)
    }
}

/// Writes what comes, until nobody is left to send.
fn write_all(registry: &Registry, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.blocking_recv() {
        let mut entries = vec![first.entry];
        let mut callers = vec![first.done];
        while entries.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            entries.push(next.entry);
            callers.push(next.done);
        }
        // Callers whose entry is not written are told by what they wait for being dropped.
        match append(registry, entries) {
            Ok(numbers) => callers.into_iter().zip(numbers).for_each(|(done, number)| {
                // Who does not wait any more need not know.
                let _ = done.send(number);
            }),
            Err(error) => tracing::error!(%error, "the audit log cannot be written"),
        }
    }
}

/// Adds entries to their chains, all or none, and gives their numbers.
pub fn append(registry: &Registry, entries: Vec<Entry>) -> rusqlite::Result<Vec<i64>> {
    registry.with(|connection| {
        // Another process may write too, so the end of a chain is read under the lock.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut numbers = Vec::with_capacity(entries.len());
        for mut entry in entries {
            let last = head(&transaction, &entry.party)?;
            entry.number = last.number + 1;
            let text = serde_json::to_string(&entry).expect("an entry becomes JSON");
            let mut insert = transaction.prepare_cached(
                "insert into audit (party, number, entry, hash) values (?1, ?2, ?3, ?4)",
            )?;
            let hash = chained(&last.hash, &text);
            insert.execute(params![entry.party, entry.number, text, hash])?;
            numbers.push(entry.number);
        }
        transaction.commit()?;
        Ok(numbers)
    })
}

/// The end of a chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Number of the last entry; 0 if there is none.
    pub number: i64,
    /// Its hash in hexadecimal digits; empty if there is none.
    pub hash: String,
}

/// The end of a party's chain.
pub fn head(connection: &Connection, party: &str) -> rusqlite::Result<Head> {
    let mut select = connection.prepare_cached(
        "select number, hash from audit where party = ?1 order by number desc limit 1",
    )?;
    let found = select.query_row([party], |row| {
        Ok(Head {
            number: row.get(0)?,
            hash: row.get(1)?,
        })
    });
    Ok(found.optional()?.unwrap_or_default())
}

/// Hash of an entry: SHA-256 of the hash before, a space, and the entry.
fn chained(before: &str, entry: &str) -> String {
    let mut context = Context::new(&SHA256);
    for part in [before, " ", entry] {
        context.update(part.as_bytes());
    }
    hex(context.finish().as_ref())
}

/// What is wrong with a chain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A line is no entry.
    #[error("line {0} is not a hash, a space and an entry; export the log again")]
    Unreadable(i64),
    /// An entry does not follow from those before it.
    #[error(
        "entry {number} of `{party}` does not follow from those before it: it was changed, or an \
         entry at its place or before was added, removed or moved"
    )]
    Changed {
        /// Whose chain it is.
        party: String,
        /// The first entry that is wrong.
        number: i64,
    },
    /// What was known once is not there.
    #[error(
        "entry {number} of `{party}` is not the one that was exported: the chain was written anew, \
         or its end was cut off"
    )]
    Replaced {
        /// Whose chain it is.
        party: String,
        /// The last entry of the export.
        number: i64,
    },
}

/// Checks a chain as it comes, line by line.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    party: Option<String>,
    head: Head,
}

impl Checker {
    /// Takes the next line of an export.
    pub fn line(&mut self, line: &str) -> Result<(), Broken> {
        let number = self.head.number + 1;
        let unreadable = Broken::Unreadable(number);
        let Some((hash, text)) = line.split_once(' ') else {
            return Err(unreadable);
        };
        let Ok(entry) = serde_json::from_str::<Entry>(text) else {
            return Err(unreadable);
        };
        let party = self.party.get_or_insert_with(|| entry.party.clone());
        let follows = *party == entry.party
            && entry.number == number
            && hash == chained(&self.head.hash, text);
        if !follows {
            let party = party.clone();
            return Err(Broken::Changed { party, number });
        }
        self.head = Head {
            number,
            hash: hash.to_owned(),
        };
        Ok(())
    }

    /// The end of what was checked.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Whose chain it is; none before the first line.
    pub fn party(&self) -> Option<&str> {
        self.party.as_deref()
    }
}

/// Lines of a party's chain after an entry, a thousand at the most, as they are exported: hash,
/// space, entry.
pub fn lines(registry: &Registry, party: &str, after: i64) -> rusqlite::Result<Vec<String>> {
    registry.with(|connection| {
        let mut select = connection.prepare_cached(
            "select hash || ' ' || entry from audit where party = ?1 and number > ?2
             order by number limit ?3",
        )?;
        let rows = select.query_map(params![party, after, READ as i64], |row| row.get(0))?;
        rows.collect()
    })
}

/// Checks a party's chain, and that it goes on from an earlier end if one is known.
pub fn check(
    registry: &Registry,
    party: &str,
    known: Option<&Head>,
) -> rusqlite::Result<Result<Head, Broken>> {
    let mut checker = Checker {
        party: Some(party.to_owned()),
        head: Head::default(),
    };
    let mut is_there = known.is_none_or(|known| known.number == 0);
    loop {
        let lines = lines(registry, party, checker.head.number)?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            if let Err(broken) = checker.line(&line) {
                return Ok(Err(broken));
            }
            is_there |= known == Some(&checker.head);
        }
    }
    Ok(match known {
        Some(known) if !is_there => Err(Broken::Replaced {
            party: party.to_owned(),
            number: known.number,
        }),
        _ => Ok(checker.head),
    })
}

/// Parties that have a chain; the operator's has an empty name.
pub fn parties(registry: &Registry) -> rusqlite::Result<Vec<String>> {
    registry.with(|connection| {
        let mut select = connection.prepare("select distinct party from audit order by party")?;
        select.query_map([], |row| row.get(0))?.collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(party: &str, object: &str) -> Entry {
        Entry {
            address: "10.0.0.5".to_owned(),
            book: "marketplace".to_owned(),
            status: Some(200),
            ..Entry::new((party, "li"), Act::Viewed, object, 1_700_000_000)
        }
    }

    /// A registry with three entries of a party and one of another between them.
    fn filled() -> Registry {
        let registry = Registry::in_memory(&[SCHEMA]).unwrap();
        let entries = [
            ("river", "/1"),
            ("river", "/2"),
            ("cloud", "/"),
            ("river", "/3"),
        ];
        let entries = entries.map(|(party, object)| entry(party, object));
        assert_eq!(append(&registry, entries.into()).unwrap(), [1, 2, 1, 3]);
        registry
    }

    /// Does to the file what the service never does.
    fn tamper(registry: &Registry, statement: &str) {
        let free = "drop trigger audit_changed; drop trigger audit_removed;";
        let done =
            registry.with(|connection| connection.execute_batch(&format!("{free}{statement}")));
        done.unwrap();
    }

    #[test]
    fn a_chain_is_each_party_s_own_and_goes_on() {
        let registry = filled();
        let river = check(&registry, "river", None).unwrap().unwrap();
        assert_eq!((river.number, river.hash.len()), (3, 64));
        assert_eq!(check(&registry, "cloud", None).unwrap().unwrap().number, 1);
        append(&registry, vec![entry("river", "/4")]).unwrap();
        let later = check(&registry, "river", Some(&river)).unwrap().unwrap();
        assert_eq!(later.number, 4);
        assert_eq!(parties(&registry).unwrap(), ["cloud", "river"]);
    }

    #[test]
    fn entries_are_neither_changed_nor_removed() {
        let registry = filled();
        for (statement, said) in [
            (
                "update audit set entry = '{}'",
                "entries of the audit log are never changed",
            ),
            (
                "delete from audit",
                "entries of the audit log are never removed",
            ),
        ] {
            let refused = registry.with(|connection| connection.execute(statement, []));
            assert_eq!(refused.unwrap_err().to_string(), said);
        }
    }

    #[test]
    fn what_was_done_to_the_file_is_noticed() {
        for (statement, number) in [
            (
                "update audit set entry = replace(entry, '\"/2\"', '\"/9\"') where number = 2",
                2,
            ),
            (
                "update audit set hash = hash || '0' where party = 'river' and number = 1",
                1,
            ),
            ("delete from audit where party = 'river' and number = 2", 2),
            ("delete from audit where party = 'river' and number = 1", 1),
            (
                "delete from audit where party = 'river' and number = 1;
              update audit set number = number - 1 where party = 'river'",
                1,
            ),
        ] {
            let registry = filled();
            tamper(&registry, statement);
            let broken = check(&registry, "river", None).unwrap().unwrap_err();
            let party = "river".to_owned();
            assert_eq!(broken, Broken::Changed { party, number }, "{statement}");
        }
    }

    #[test]
    fn a_chain_that_was_cut_or_written_anew_is_not_the_one_that_was_exported() {
        let registry = filled();
        let known = check(&registry, "river", None).unwrap().unwrap();
        tamper(
            &registry,
            "delete from audit where party = 'river' and number = 3",
        );
        // Nothing in the file tells.
        assert!(check(&registry, "river", None).unwrap().is_ok());
        append(&registry, vec![entry("river", "/other")]).unwrap();
        let broken = check(&registry, "river", Some(&known))
            .unwrap()
            .unwrap_err();
        assert_eq!(
            broken.to_string(),
            "entry 3 of `river` is not the one that was exported: the chain was written anew, or \
             its end was cut off"
        );
    }

    #[test]
    fn an_export_is_checked_by_itself() {
        let registry = filled();
        let lines = lines(&registry, "river", 0).unwrap();
        let check = |lines: &[String]| {
            let mut checker = Checker::default();
            let done = lines.iter().try_for_each(|line| checker.line(line));
            done.map(|()| checker.head)
        };
        assert_eq!(check(&lines).unwrap().number, 3);
        let changed = check(&[lines[0].clone(), lines[2].clone()]).unwrap_err();
        assert_eq!(
            changed.to_string(),
            "entry 2 of `river` does not follow from those before it: it was changed, or an entry \
             at its place or before was added, removed or moved"
        );
        for line in ["", "00 {}"] {
            assert_eq!(
                check(&[line.to_owned()]).unwrap_err().to_string(),
                "line 1 is not a hash, a space and an entry; export the log again"
            );
        }
    }

    #[tokio::test]
    async fn entries_of_many_callers_make_one_chain() {
        let registry = Registry::in_memory(&[SCHEMA]).unwrap();
        let audit = std::sync::Arc::new(Audit::open(&registry).unwrap());
        let notes = (0..500).map(|_| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.note(entry("river", "/")).await })
        });
        for note in notes.collect::<Vec<_>>() {
            note.await.unwrap().unwrap();
        }
        assert_eq!(
            check(&registry, "river", None).unwrap().unwrap().number,
            500
        );
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_said() {
        let registry = Registry::in_memory(&[]).unwrap();
        let audit = Audit::open(&registry).unwrap();
        let said = audit.note(entry("river", "/")).await.unwrap_err();
        assert_eq!(
            said.to_string(),
            "the audit log cannot be written, so nothing is shown or done"
        );
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(Entry::value("short"), "short");
        let cut = Entry::value(&"长".repeat(501));
        assert_eq!(cut.chars().count(), 501);
        assert!(cut.ends_with('…'));
    }
}
