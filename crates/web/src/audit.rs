//! Who saw and did what in the console, and who called: entries that are only ever added, each
//! chained to the one before by its hash, and removed by nothing but their age.
//!
//! Every party has a chain of its own, so that it can keep a copy and check it without anybody
//! else's entries; the operator has one for names that nobody has. What a person does is on the disk
//! before it is shown or done. A call of the API waits for no flush: its entry follows half a
//! second later, with all others of that time. They lie in a file of their own, so that a call's answer
//! does not wait for them either.

mod age;
mod failures;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};
use serde::{Deserialize, Serialize};
use tandem_client::system_time;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::hex;
use crate::metrics::Metrics;
use crate::registry::NodeFile;

pub use age::remove;
use failures::Failures;

/// Tables of the log, in a file of their own.
pub const SCHEMAS: [&str; 2] = [SCHEMA, age::SCHEMA];

/// The table of entries. What is asked for most stands in columns that SQLite reads out of them.
const SCHEMA: &str = "
create table if not exists audit (
    party text not null,
    number integer not null,
    entry text not null,
    hash text not null,
    at integer generated always as (entry ->> 'at') virtual,
    answers integer generated always as (entry ->> 'answers') virtual,
    who text generated always as (coalesce(entry ->> 'client', entry ->> 'login')) virtual,
    primary key (party, number)
) strict, without rowid;
create index if not exists audit_at on audit (party, at);
create index if not exists audit_answers on audit (party, answers) where answers is not null;
create index if not exists audit_who on audit (party, who);
create trigger if not exists audit_changed before update on audit
begin select raise(abort, 'entries of the audit log are never changed'); end;
";

/// Entries that wait for the writer at most; who comes then waits.
const QUEUE: usize = 1024;
/// Entries in one commit at most.
const BATCH: usize = 256;
/// Entries of calls that wait for their writer at most.
const CALLS: usize = 8192;
/// How long entries of calls gather.
const GATHER: Duration = Duration::from_millis(500);
/// How long an answered call waits if too many entries wait.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often counted failures are written, and old entries removed.
const ROUND: Duration = Duration::from_secs(60);
/// Seconds of a day.
pub(crate) const DAY: i64 = 24 * 60 * 60;
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
    /// Called the API to change something, or for a token.
    Called,
    /// Called without showing who it is.
    CallFailed,
    /// Not an entry: the place of those that were removed by their age, in an export.
    Removed,
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
            Act::Called => "called",
            Act::CallFailed => "call_failed",
            Act::Removed => "removed",
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
    /// may have been a password, and of calls.
    pub login: String,
    /// The client that called, or that it said it was; empty if it said nothing that can be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// Address from which the request came.
    pub address: String,
    /// The book that the person looked at; empty before the sign-in, and of calls, whose path says
    /// it.
    pub book: String,
    /// What was done.
    pub act: Act,
    /// Method of a call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Path of the page, below `/console`; or of a call.
    pub object: String,
    /// Fields of the form that was sent, without secrets; of a call, what it was about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Number of the entry that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<i64>,
    /// HTTP status of the answer; of a call, none if its caller did not wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many failures like this one there were, of which this is the last; one if it is not
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl Entry {
    /// An entry of a party's person about what was done at a time, without what only some have.
    pub fn new((party, login): (&str, &str), act: Act, object: &str, at: i64) -> Entry {
        Entry {
            party: party.to_owned(),
            number: 0,
            at,
            login: login.to_owned(),
            client: String::new(),
            address: String::new(),
            book: String::new(),
            act,
            method: String::new(),
            object: Entry::value(object),
            fields: BTreeMap::new(),
            answers: None,
            status: None,
            count: None,
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

/// The log of a service.
pub struct Audit {
    file: NodeFile,
    queue: mpsc::Sender<Waiting>,
    calls: mpsc::Sender<Call>,
    failures: Mutex<Failures>,
    lost: Counter,
    /// Seconds for which entries are kept.
    kept: i64,
}

/// An entry that somebody waits for.
struct Waiting {
    entry: Entry,
    done: oneshot::Sender<i64>,
}

/// What comes to the writer of calls.
enum Call {
    Entry(Box<Entry>),
    /// Tells when all before it are written.
    Flush(oneshot::Sender<()>),
}

/// That an entry could not be written; the log says why.
#[derive(Debug, thiserror::Error)]
#[error("the audit log cannot be written, so nothing is shown or done")]
pub struct NotWritten;

impl Audit {
    /// Starts the writers, which end with this. The file has the tables of [`SCHEMAS`] alone;
    /// entries are kept for so many days.
    pub fn open(file: NodeFile, days: u32, metrics: &Metrics) -> rusqlite::Result<Audit> {
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            let spawned = thread::Builder::new().name(name.to_owned()).spawn(run);
            spawned.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
        };
        let (queue, waiting) = mpsc::channel(QUEUE);
        let own = file.another()?;
        spawn("audit", Box::new(move || write_all(&own, waiting)))?;
        let (calls, called) = mpsc::channel(CALLS);
        let own = file.another()?;
        spawn(
            "audit of calls",
            Box::new(move || write_calls(&own, called)),
        )?;
        Ok(Audit {
            file,
            queue,
            calls,
            failures: Mutex::default(),
            lost: metrics.audit_lost.clone(),
            kept: i64::from(days) * DAY,
        })
    }

    /// The file.
    pub fn file(&self) -> &NodeFile {
        &self.file
    }

    /// Writes an entry; it is on the disk when its number is returned.
    pub async fn note(&self, entry: Entry) -> Result<i64, NotWritten> {
        let (done, written) = oneshot::channel();
        let sent = self.queue.send(Waiting { entry, done }).await;
        sent.map_err(|_| NotWritten)?;
        written.await.map_err(|_| NotWritten)
    }

    /// Writes an entry soon about a call, or about somebody who failed to sign in. The call has been
    /// carried out and must be answered, and who fails must not see by the time whether the name is
    /// somebody's: if entries cannot be written for so long that too many wait, this one is lost, and
    /// counted. Failures of whom nobody knows are entries by themselves only once an hour.
    pub async fn called(&self, entry: Entry) {
        let entry = match entry.act {
            Act::CallFailed => self.count(entry),
            Act::SignInFailed if entry.login.is_empty() => self.count(entry),
            _ => Some(entry),
        };
        let Some(entry) = entry else { return };
        let sent = self
            .calls
            .send_timeout(Call::Entry(Box::new(entry)), PATIENCE)
            .await;
        if sent.is_err() {
            self.lose();
        }
    }

    /// The same about a call whose caller does not wait for the answer, and which may have been
    /// carried out.
    pub fn left(&self, entry: Entry) {
        if self.calls.try_send(Call::Entry(Box::new(entry))).is_err() {
            self.lose();
        }
    }

    fn lose(&self) {
        self.lost.inc();
        tracing::error!("an entry of the audit log is lost: too many wait");
    }

    fn count(&self, entry: Entry) -> Option<Entry> {
        self.failures().count(entry)
    }

    fn failures(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what was counted, all of it or what was begun an hour ago.
    async fn note_counted(&self, all: bool) {
        let counted = self.failures().take(system_time(), all);
        for entry in counted {
            let _ = self.calls.send(Call::Entry(Box::new(entry))).await;
        }
    }

    /// Waits until entries that nobody waits for are written.
    pub(crate) async fn written(&self) {
        let (done, written) = oneshot::channel();
        let _ = self.calls.send(Call::Flush(done)).await;
        let _ = written.await;
    }

    /// Writes what is known in memory only.
    pub async fn flush(&self) {
        let flushed = async {
            self.note_counted(true).await;
            self.written().await;
        };
        if tokio::time::timeout(10 * PATIENCE, flushed).await.is_err() {
            tracing::error!("the last entries of the audit log cannot be written");
        }
    }

    /// Removes a step's entries of each chain that are old enough, and tells whether there may be
    /// more.
    fn remove_old(&self) -> rusqlite::Result<bool> {
        let now = system_time();
        let mut more = false;
        for party in parties(&self.file)? {
            more |= age::remove(&self.file, &party, now - self.kept, now)? > 0;
        }
        Ok(more)
    }
}

/// Writes counted failures and removes old entries, until the service ends.
pub(crate) async fn run(audit: Arc<Audit>) {
    loop {
        let old = Arc::clone(&audit);
        let pause = match spawn_blocking(move || old.remove_old()).await {
            Ok(Ok(true)) => GATHER,
            Ok(Ok(false)) | Err(_) => ROUND,
            Ok(Err(error)) => {
                tracing::error!(%error, "old entries of the audit log cannot be removed");
                ROUND
            }
        };
        tokio::time::sleep(pause).await;
        audit.note_counted(false).await;
    }
}

/// Writes what comes, until nobody is left to send.
fn write_all(file: &NodeFile, mut queue: mpsc::Receiver<Waiting>) {
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
        match append(file, &mut entries) {
            Ok(numbers) => callers.into_iter().zip(numbers).for_each(|(done, number)| {
                // Who does not wait any more need not know.
                let _ = done.send(number);
            }),
            Err(error) => tracing::error!(%error, "the audit log cannot be written"),
        }
    }
}

/// Writes what has gathered, again and again, until nobody is left to send.
fn write_calls(file: &NodeFile, mut queue: mpsc::Receiver<Call>) {
    while let Some(first) = queue.blocking_recv() {
        thread::sleep(GATHER);
        let more = (0..CALLS).map_while(|_| queue.try_recv().ok());
        let (mut entries, mut flushed) = (Vec::new(), Vec::new());
        for call in [first].into_iter().chain(more) {
            match call {
                Call::Entry(entry) => entries.push(*entry),
                Call::Flush(done) => flushed.push(done),
            }
        }
        for entries in entries.chunks_mut(BATCH) {
            while let Err(error) = append(file, entries) {
                tracing::error!(%error, "the audit log cannot be written; it is tried again");
                thread::sleep(PATIENCE);
            }
        }
        for done in flushed {
            // Who does not wait any more need not know.
            let _ = done.send(());
        }
    }
}

/// Adds entries to their chains, all or none, and gives their numbers.
pub fn append(file: &NodeFile, entries: &mut [Entry]) -> rusqlite::Result<Vec<i64>> {
    file.with(|connection| {
        // Another process may write too, so the end of a chain is read under the lock.
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut numbers = Vec::with_capacity(entries.len());
        let mut heads: HashMap<String, Head> = HashMap::new();
        for entry in entries {
            let last = match heads.get_mut(&entry.party) {
                Some(last) => last,
                None => {
                    let last = head(&transaction, &entry.party)?;
                    heads.entry(entry.party.clone()).or_insert(last)
                }
            };
            last.number += 1;
            entry.number = last.number;
            let text = serde_json::to_string(entry).expect("an entry becomes JSON");
            let mut insert = transaction.prepare_cached(
                "insert into audit (party, number, entry, hash) values (?1, ?2, ?3, ?4)",
            )?;
            last.hash = chained(&last.hash, &text);
            insert.execute(params![entry.party, entry.number, text, last.hash])?;
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
    match found.optional()? {
        Some(head) => Ok(head),
        None => Ok(age::begin(connection, party)?
            .map(|(head, _)| head)
            .unwrap_or_default()),
    }
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
    /// What was known once, and what came after it, was removed.
    #[error(
        "the entries of `{party}` to {removed} were removed by their age, and the export ends \
         before, with {number}: what was between is not known any more; export more often"
    )]
    Removed {
        /// Whose chain it is.
        party: String,
        /// The last entry of the export.
        number: i64,
        /// The last entry that was removed.
        removed: i64,
    },
}

/// Checks a chain as it comes, line by line.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    party: Option<String>,
    head: Head,
    removed: i64,
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
        if number == 1 && entry.act == Act::Removed && *party == entry.party {
            self.removed = entry.number;
            self.head = Head {
                number: entry.number,
                hash: hash.to_owned(),
            };
            return Ok(());
        }
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

    /// Number of the last entry that was removed by its age; 0 if none was.
    pub fn removed(&self) -> i64 {
        self.removed
    }

    /// Whose chain it is; none before the first line.
    pub fn party(&self) -> Option<&str> {
        self.party.as_deref()
    }
}

/// A line of an export: hash, space, entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the entry.
    pub number: i64,
    /// The line.
    pub text: String,
}

/// Lines of a party's chain after an entry, a thousand at the most, as they are exported. Where the
/// first entries were removed, a line that says so takes their place.
pub fn lines(file: &NodeFile, party: &str, after: i64) -> rusqlite::Result<Vec<Line>> {
    file.with(|connection| {
        let begin = match after {
            0 => age::begin(connection, party)?,
            _ => None,
        };
        let begin = begin.map(|(begin, at)| Ok(age::first_line(party, &begin, at)));
        let mut select = connection.prepare_cached(
            "select number, hash || ' ' || entry from audit where party = ?1 and number > ?2
             order by number limit ?3",
        )?;
        let rows = select.query_map(params![party, after, READ as i64], |row| {
            let (number, text) = (row.get(0)?, row.get(1)?);
            Ok(Line { number, text })
        })?;
        begin.into_iter().chain(rows).collect()
    })
}

/// Checks a party's chain, and that it goes on from an earlier end if one is known.
pub fn check(
    file: &NodeFile,
    party: &str,
    known: Option<&Head>,
) -> rusqlite::Result<Result<Checker, Broken>> {
    let mut checker = Checker {
        party: Some(party.to_owned()),
        ..Checker::default()
    };
    let mut is_there = known.is_none_or(|known| known.number == 0);
    loop {
        let lines = lines(file, party, checker.head.number)?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            if let Err(broken) = checker.line(&line.text) {
                return Ok(Err(broken));
            }
            is_there |= known == Some(&checker.head);
        }
    }
    Ok(match known {
        Some(known) if known.number < checker.removed => Err(Broken::Removed {
            party: party.to_owned(),
            number: known.number,
            removed: checker.removed,
        }),
        Some(known) if !is_there => Err(Broken::Replaced {
            party: party.to_owned(),
            number: known.number,
        }),
        _ => Ok(checker),
    })
}

/// Parties that have a chain; the operator's has an empty name.
pub fn parties(file: &NodeFile) -> rusqlite::Result<Vec<String>> {
    file.with(|connection| {
        // One look for each party, not at each entry.
        let mut select = connection.prepare_cached(
            "with recursive one (party) as (
                 select min(party) from audit union all
                 select (select min(party) from audit where party > one.party) from one
                 where one.party is not null)
             select party from one where party is not null
             union select party from audit_begin order by party",
        )?;
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

    /// A file with three entries of a party and one of another between them.
    fn filled() -> NodeFile {
        let file = NodeFile::in_memory(&SCHEMAS).unwrap();
        let entries = [
            ("river", "/1"),
            ("river", "/2"),
            ("cloud", "/"),
            ("river", "/3"),
        ];
        let mut entries = entries.map(|(party, object)| entry(party, object));
        assert_eq!(append(&file, &mut entries).unwrap(), [1, 2, 1, 3]);
        file
    }

    fn number(file: &NodeFile, party: &str) -> i64 {
        let checked = super::check(file, party, None);
        checked.unwrap().unwrap().head.number
    }

    /// The end of an export.
    fn read(lines: &[String]) -> Result<Head, Broken> {
        let mut checker = Checker::default();
        let done = lines.iter().try_for_each(|line| checker.line(line));
        done.map(|()| checker.head)
    }

    fn opened(file: NodeFile) -> (Audit, Metrics) {
        let metrics = Metrics::default();
        (Audit::open(file, 1, &metrics).unwrap(), metrics)
    }

    /// Does to the file what the service never does.
    fn tamper(file: &NodeFile, statement: &str) {
        let free = "drop trigger audit_changed; drop trigger audit_removed;";
        let done = file.with(|connection| connection.execute_batch(&format!("{free}{statement}")));
        done.unwrap();
    }

    #[test]
    fn a_chain_is_each_party_s_own_and_goes_on() {
        let file = filled();
        let river = check(&file, "river", None).unwrap().unwrap().head;
        assert_eq!((river.number, river.hash.len()), (3, 64));
        assert_eq!(number(&file, "cloud"), 1);
        append(&file, &mut [entry("river", "/4")]).unwrap();
        let later = check(&file, "river", Some(&river)).unwrap().unwrap();
        assert_eq!(later.head.number, 4);
        assert_eq!(parties(&file).unwrap(), ["cloud", "river"]);
    }

    #[test]
    fn entries_are_neither_changed_nor_removed() {
        let file = filled();
        for (statement, said) in [
            (
                "update audit set entry = '{}'",
                "entries of the audit log are never changed",
            ),
            (
                "delete from audit",
                "entries of the audit log are removed by their age only",
            ),
        ] {
            let refused = file.with(|connection| connection.execute(statement, []));
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
            let file = filled();
            tamper(&file, statement);
            let broken = check(&file, "river", None).unwrap().unwrap_err();
            let party = "river".to_owned();
            assert_eq!(broken, Broken::Changed { party, number }, "{statement}");
        }
    }

    #[test]
    fn a_chain_that_was_cut_or_written_anew_is_not_the_one_that_was_exported() {
        let file = filled();
        let known = check(&file, "river", None).unwrap().unwrap().head;
        tamper(
            &file,
            "delete from audit where party = 'river' and number = 3",
        );
        // Nothing in the file tells.
        assert!(check(&file, "river", None).unwrap().is_ok());
        append(&file, &mut [entry("river", "/other")]).unwrap();
        let broken = check(&file, "river", Some(&known)).unwrap().unwrap_err();
        assert_eq!(
            broken.to_string(),
            "entry 3 of `river` is not the one that was exported: the chain was written anew, or \
             its end was cut off"
        );
    }

    #[test]
    fn an_export_is_checked_by_itself() {
        let file = filled();
        let lines = lines(&file, "river", 0).unwrap();
        let lines: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        assert_eq!(read(&lines).unwrap().number, 3);
        let changed = read(&[lines[0].clone(), lines[2].clone()]).unwrap_err();
        assert_eq!(
            changed.to_string(),
            "entry 2 of `river` does not follow from those before it: it was changed, or an entry \
             at its place or before was added, removed or moved"
        );
        for line in ["", "00 {}"] {
            assert_eq!(
                read(&[line.to_owned()]).unwrap_err().to_string(),
                "line 1 is not a hash, a space and an entry; export the log again"
            );
        }
    }

    #[tokio::test]
    async fn entries_of_many_callers_make_one_chain() {
        let file = NodeFile::in_memory(&SCHEMAS).unwrap();
        let audit = Arc::new(opened(file.another().unwrap()).0);
        let notes = (0..500).map(|_| {
            let audit = audit.clone();
            tokio::spawn(async move { audit.note(entry("river", "/")).await })
        });
        for note in notes.collect::<Vec<_>>() {
            note.await.unwrap().unwrap();
        }
        assert_eq!(number(&file, "river"), 500);
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_said() {
        let (audit, _) = opened(NodeFile::in_memory(&[]).unwrap());
        let said = audit.note(entry("river", "/")).await.unwrap_err();
        assert_eq!(
            said.to_string(),
            "the audit log cannot be written, so nothing is shown or done"
        );
    }

    fn called(number: i64, act: Act) -> Entry {
        let object = format!("/v1/{number}");
        Entry {
            client: "shop".to_owned(),
            method: "POST".to_owned(),
            ..Entry::new(("bazaar", ""), act, &object, 1_700_000_000)
        }
    }

    #[tokio::test]
    async fn calls_are_written_in_order_without_being_waited_for() {
        let file = NodeFile::in_memory(&SCHEMAS).unwrap();
        let (audit, metrics) = opened(file.another().unwrap());
        for number in 1..=400 {
            audit.called(called(number, Act::Called)).await;
            // Who is nobody's is counted.
            audit.called(called(0, Act::CallFailed)).await;
        }
        audit.flush().await;
        let lines = lines(&file, "bazaar", 0).unwrap();
        let entries = lines
            .iter()
            .map(|line| line.text.split_once(' ').unwrap().1);
        let entries: Vec<Entry> = entries
            .map(|text| serde_json::from_str(text).unwrap())
            .collect();
        let (calls, failed): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.act == Act::Called);
        let objects = calls.iter().map(|entry| entry.object.as_str());
        assert!(objects.eq((1..=400).map(|number| format!("/v1/{number}"))));
        assert_eq!(
            failed.iter().map(|entry| entry.count).collect::<Vec<_>>(),
            [None, Some(399)]
        );
        assert_eq!(metrics.audit_lost.get(), 0);
        assert_eq!(number(&file, "bazaar"), 402);
    }

    #[tokio::test]
    async fn calls_go_on_where_their_entries_cannot_be_written_and_what_is_lost_is_counted() {
        let file = NodeFile::in_memory(&SCHEMAS).unwrap();
        let (audit, metrics) = opened(file.another().unwrap());
        let full = "create trigger full before insert on audit
                    begin select raise(abort, 'the disk is full'); end";
        file.with(|connection| connection.execute_batch(full))
            .unwrap();
        let mut sent = 0;
        while metrics.audit_lost.get() == 0 {
            audit.called(called(sent, Act::Called)).await;
            sent += 1;
            assert!(sent as usize <= 2 * (CALLS + 1), "nothing is lost");
        }
        let room = "drop trigger full";
        file.with(|connection| connection.execute_batch(room))
            .unwrap();
        audit.flush().await;
        assert_eq!(number(&file, "bazaar"), sent - 1);
    }

    #[test]
    fn old_entries_are_removed_and_the_rest_still_follows() {
        let file = NodeFile::in_memory(&SCHEMAS).unwrap();
        let mut entries: Vec<_> = (0..1200)
            .map(|at| Entry::new(("river", "li"), Act::Viewed, "/", at))
            .collect();
        // Clocks differ a little, so one that is old may follow one that is not.
        entries[1010].at = 5;
        append(&file, &mut entries).unwrap();
        let export = |after| {
            let lines = lines(&file, "river", after).unwrap().into_iter();
            lines.map(|line| line.text).collect::<Vec<_>>()
        };
        let before = export(0);
        let known = |count: usize| read(&before[..count]).unwrap();
        let step = || remove(&file, "river", 1005, 9_000).unwrap();
        assert_eq!([step(), step(), step(), step()], [500, 500, 5, 0]);
        let checked = check(&file, "river", None).unwrap().unwrap();
        assert_eq!((checked.removed(), checked.head().number), (1005, 1200));
        let lines = export(0);
        let first = r#" {"party":"river","number":1005,"at":9000,"login":"","address":"","book":"","act":"removed","object":""}"#;
        assert_eq!((lines.len(), &lines[0][64..]), (196, first));
        assert_eq!(read(&lines).unwrap().number, 1200);
        assert!(read(&lines[1..]).is_err());
        assert_eq!(export(1005).len(), 195);
        // What was exported before is still compared, unless it ends before what is left.
        let against = |count| check(&file, "river", Some(&known(count))).unwrap();
        assert!(against(1000).is_err());
        let said = against(999).unwrap_err().to_string();
        assert_eq!(
            said,
            "the entries of `river` to 1005 were removed by their age, and the export ends before, \
             with 999: what was between is not known any more; export more often"
        );
        // A chain of which nothing is left goes on.
        while remove(&file, "river", 9_000, 9_001).unwrap() > 0 {}
        append(&file, &mut [entry("river", "/")]).unwrap();
        assert_eq!(number(&file, "river"), 1201);
        assert_eq!(parties(&file).unwrap(), ["river"]);
    }

    #[test]
    fn a_service_removes_what_is_older_than_it_keeps() {
        let file = NodeFile::in_memory(&SCHEMAS).unwrap();
        let ages = [3, 2, 0].map(|days| system_time() - days * DAY);
        let mut entries = ages.map(|at| Entry::new(("river", "li"), Act::Viewed, "/", at));
        append(&file, &mut entries).unwrap();
        let (audit, _) = opened(file.another().unwrap());
        assert!(audit.remove_old().unwrap());
        assert!(!audit.remove_old().unwrap());
        let checked = check(&file, "river", None).unwrap().unwrap();
        assert_eq!((checked.removed(), checked.head().number), (2, 3));
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(Entry::value("short"), "short");
        let cut = Entry::value(&"长".repeat(501));
        assert_eq!(cut.chars().count(), 501);
        assert!(cut.ends_with('…'));
    }
}
