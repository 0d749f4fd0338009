//! Answers by `Idempotency-Key`: a repeated request gets the answer that it got.
//!
//! What is being answered is known in memory only, so a crash leaves no key blocked: the call is
//! carried out again, and the book recognises its keys. An answer is in the file, flushed,
//! before it is given. One thread writes them, as many at a time as have gathered meanwhile.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use ring::digest::{Context, SHA256};
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::{mpsc, oneshot};

use crate::desk::PACE;
use crate::problem::{self, Problem};
use crate::registry::NodeFile;

/// How long an answer is kept, in seconds, unless it is about money.
pub(crate) const KEPT: i64 = 24 * 60 * 60;
/// Answers that wait for the writer at most; who comes then waits.
const QUEUE: usize = 1024;
/// Answers in one commit at most.
const BATCH: usize = 256;
/// Bits for a key, and how many of them it sets: of keys that are not there, one in 400 is looked up.
const BITS: usize = 16;
const PROBES: u32 = 4;
/// Bits for all keys: from 1 MiB to 32 MiB.
const LEAST_BITS: usize = 1 << 23;
const MOST_BITS: usize = 1 << 28;

/// Tables of answers.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS answer (
    client_id TEXT NOT NULL,
    key TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    at INTEGER NOT NULL,
    money INTEGER NOT NULL,
    PRIMARY KEY (client_id, key)
) STRICT;
CREATE INDEX IF NOT EXISTS answer_age ON answer (at) WHERE money = 0;
";

/// A handler puts this into its response's extensions if the answer is about money: it is then kept
/// for as long as the file.
#[derive(Clone, Copy, Debug)]
pub struct Money;

/// A handler puts this into its response's extensions if the body has what is shown only once: it
/// is kept in the place of the body, and given to whoever repeats the request.
#[derive(Clone, Debug)]
pub struct Kept(pub Bytes);

/// An answer, before it is signed.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// What a request is, to tell whether another is the same: hash of method, target and body.
pub(crate) type Fingerprint = [u8; 32];

pub(crate) fn fingerprint(method: &str, target: &str, body: &[u8]) -> Fingerprint {
    let mut context = Context::new(&SHA256);
    for part in [method.as_bytes(), b"\n", target.as_bytes(), b"\n", body] {
        context.update(part);
    }
    let hash = context.finish();
    hash.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// The answers of a service.
pub(crate) struct Answers {
    reader: NodeFile,
    begun: Arc<Begun>,
    writer: mpsc::Sender<Record>,
    in_flight: Mutex<HashSet<(String, String)>>,
}

/// Which keys have been used, as a Bloom filter: one that is not in it has no answer, and most are
/// not, so that the file need not be asked for each.
struct Begun {
    bits: Vec<AtomicU64>,
    hasher: RandomState,
    /// Whether the keys of the file are in it.
    complete: AtomicBool,
}

impl Begun {
    /// With room for as many keys again as the file has; with more it finds less.
    fn sized(file: &NodeFile) -> rusqlite::Result<Begun> {
        let newest = "SELECT coalesce(max(rowid), 0) FROM answer";
        let answers: i64 = file.with(|file| file.query_row(newest, [], |row| row.get(0)))?;
        let answers = usize::try_from(answers).unwrap_or(0);
        let bits = answers
            .saturating_mul(2 * BITS)
            .clamp(LEAST_BITS, MOST_BITS);
        let words = bits.next_power_of_two() / 64;
        Ok(Begun {
            bits: (0..words).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
            complete: AtomicBool::new(false),
        })
    }

    /// Takes in the keys of the file. Those that are begun meanwhile are looked up there.
    fn read(&self, file: &NodeFile) {
        let read = file.with(|connection| {
            let mut statement = connection.prepare("SELECT client_id, key FROM answer")?;
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                self.insert(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
            }
            Ok(())
        });
        match read {
            Ok(()) => self.complete.store(true, Ordering::Release),
            Err(error) => tracing::warn!(%error, "keys are looked up one by one"),
        }
    }

    /// Whether a key has certainly no answer. It counts as used then.
    fn is_first(&self, client_id: &str, key: &str) -> bool {
        let new = self.insert(client_id, key);
        new && self.complete.load(Ordering::Acquire)
    }

    /// Takes in a key, and tells whether it was certainly not there.
    fn insert(&self, client_id: &str, key: &str) -> bool {
        let hash = self.hasher.hash_one((client_id, key));
        let mut new = false;
        for probe in 0..PROBES {
            let bit =
                (hash.rotate_left(probe * 64 / PROBES) % (self.bits.len() as u64 * 64)) as usize;
            let mask = 1 << (bit % 64);
            new |= self.bits[bit / 64].fetch_or(mask, Ordering::AcqRel) & mask == 0;
        }
        new
    }
}

/// An answer on its way to the file.
struct Record {
    client_id: String,
    key: String,
    fingerprint: Fingerprint,
    status: u16,
    headers: String,
    body: Bytes,
    at: i64,
    money: bool,
    done: oneshot::Sender<bool>,
}

/// What to do with a request that has a key.
pub(crate) enum Turn<'a> {
    /// Carry it out.
    Carry(Flight<'a>),
    /// Give this answer.
    Repeat(Answer),
}

/// The right to carry out a request. Others with its key are refused until it is dropped.
pub(crate) struct Flight<'a> {
    answers: &'a Answers,
    name: (String, String),
    fingerprint: Fingerprint,
}

impl Answers {
    /// Opens the answers in a file and starts their writer, which ends with this.
    pub(crate) fn open(file: &NodeFile) -> rusqlite::Result<Answers> {
        let (writer, queue) = mpsc::channel(QUEUE);
        let own = file.another()?;
        let thread = thread::Builder::new().name("answers".to_owned());
        let spawned: io::Result<_> = thread.spawn(move || write_all(&own, queue));
        spawned.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let begun = Arc::new(Begun::sized(file)?);
        let (own, reading) = (file.another()?, Arc::clone(&begun));
        let thread = thread::Builder::new().name("keys".to_owned());
        let spawned: io::Result<_> = thread.spawn(move || reading.read(&own));
        spawned.map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(Answers {
            reader: file.another()?,
            begun,
            writer,
            in_flight: Mutex::default(),
        })
    }

    /// Begins a request with a key.
    pub(crate) fn begin(
        &self,
        client_id: &str,
        key: &str,
        fingerprint: Fingerprint,
        now: i64,
    ) -> Result<Turn<'_>, Problem> {
        let name = (client_id.to_owned(), key.to_owned());
        if !self.lock().insert(name.clone()) {
            return Err(Problem {
                retry_after: Some(1),
                ..Problem::new(
                    problem::IN_FLIGHT,
                    format!("the request with Idempotency-Key {key} is not answered yet"),
                )
            });
        }
        // From here on dropping it gives the key free.
        let flight = Flight {
            answers: self,
            name,
            fingerprint,
        };
        if self.begun.is_first(client_id, key) {
            return Ok(Turn::Carry(flight));
        }
        let known = self
            .reader
            .with(|connection| find(connection, client_id, key, now - KEPT));
        match known.map_err(unreadable)? {
            None => Ok(Turn::Carry(flight)),
            Some((before, answer)) if before == fingerprint => Ok(Turn::Repeat(answer)),
            Some(_) => Err(Problem::new(
                problem::KEY_REUSED,
                format!(
                    "Idempotency-Key {key} was used before for another request: repeat that one \
                     byte for byte, or take a new key"
                ),
            )),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<(String, String)>> {
        self.in_flight
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight<'_> {
    /// Keeps the answer, with another body if one is given. It may be given when this returns.
    pub(crate) async fn land(
        self,
        answer: &Answer,
        kept: Option<Kept>,
        money: bool,
        now: i64,
    ) -> Result<(), Problem> {
        let (done, written) = oneshot::channel();
        let headers: Vec<(&str, &str)> = answer
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
            .collect();
        let record = Record {
            client_id: self.name.0.clone(),
            key: self.name.1.clone(),
            fingerprint: self.fingerprint,
            status: answer.status.as_u16(),
            headers: serde_json::to_string(&headers).expect("texts become JSON"),
            body: kept.map_or_else(|| answer.body.clone(), |kept| kept.0),
            at: now,
            money,
            done,
        };
        let sent = self.answers.writer.send(record).await.is_ok();
        if sent && written.await.unwrap_or(false) {
            return Ok(());
        }
        Err(Problem::new(
            problem::INTERNAL,
            "the answer could not be recorded: send the request again with the same \
             Idempotency-Key",
        ))
    }
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.answers.lock().remove(&self.name);
    }
}

fn unreadable(error: rusqlite::Error) -> Problem {
    tracing::error!(%error, "the registry cannot be read");
    Problem::new(problem::INTERNAL, "the registry cannot be read")
}

fn find(
    connection: &Connection,
    client_id: &str,
    key: &str,
    oldest: i64,
) -> rusqlite::Result<Option<(Fingerprint, Answer)>> {
    let mut statement = connection.prepare_cached(
        "SELECT fingerprint, status, headers, body FROM answer
         WHERE client_id = ?1 AND key = ?2 AND (money OR at >= ?3)",
    )?;
    let found = statement.query_row(params![client_id, key, oldest], |row| {
        let headers: String = row.get(2)?;
        let body: Vec<u8> = row.get(3)?;
        Ok((
            row.get(0)?,
            Answer {
                status: StatusCode::from_u16(row.get(1)?).unwrap_or_default(),
                headers: headers_from(&headers),
                body: Bytes::from(body),
            },
        ))
    });
    found.optional()
}

fn headers_from(text: &str) -> HeaderMap {
    let pairs: Vec<(String, String)> = serde_json::from_str(text).unwrap_or_default();
    let parsed = pairs.into_iter().filter_map(|(name, value)| {
        let name: HeaderName = name.parse().ok()?;
        Some((name, HeaderValue::try_from(value).ok()?))
    });
    parsed.collect()
}

/// Writes what comes, until nobody is left to send.
fn write_all(file: &NodeFile, mut queue: mpsc::Receiver<Record>) {
    let mut written_at = Instant::now();
    while let Some(first) = queue.blocking_recv() {
        thread::sleep(PACE.saturating_sub(written_at.elapsed()));
        written_at = Instant::now();
        let mut batch = vec![first];
        while batch.len() < BATCH
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        let written = file.with(|connection| write(connection, &batch));
        if let Err(error) = &written {
            tracing::error!(%error, "answers cannot be recorded");
        }
        for record in batch {
            // Who does not wait any more need not know.
            let _ = record.done.send(written.is_ok());
        }
    }
}

fn write(connection: &mut Connection, batch: &[Record]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let mut newest = 0;
    for record in batch {
        newest = newest.max(record.at);
        transaction
            .prepare_cached(
                "INSERT OR REPLACE INTO answer
                 (client_id, key, fingerprint, status, headers, body, at, money)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                record.client_id,
                record.key,
                record.fingerprint,
                record.status,
                record.headers,
                record.body.as_ref(),
                record.at,
                record.money
            ])?;
    }
    // Twice as many go as come, so that the table does not outgrow what is kept.
    transaction
        .prepare_cached(
            "DELETE FROM answer WHERE rowid IN
             (SELECT rowid FROM answer WHERE money = 0 AND at < ?1 LIMIT ?2)",
        )?
        .execute(params![newest - KEPT, batch.len() as i64 * 2])?;
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_an_answer_is_never_taken_for_a_first_one() {
        let file = NodeFile::in_memory(&[SCHEMA]).unwrap();
        let add = "INSERT INTO answer VALUES ('bazaar', ?1, x'00', 200, '[]', x'', 0, 0)";
        for key in 0..1_000 {
            let key = format!("k{key}");
            file.with(|file| file.execute(add, [key])).unwrap();
        }
        let begun = Begun::sized(&file).unwrap();
        assert!(!begun.is_first("bazaar", "before all are read"));
        begun.read(&file);
        assert!((0..1_000).all(|key| !begun.is_first("bazaar", &format!("k{key}"))));
        let new = (0..1_000).filter(|key| begun.is_first("cloud", &format!("k{key}")));
        assert!(new.count() > 950);
        assert!(!begun.is_first("cloud", "k1"));
    }
}
