//! Who saw and did what in the console, and who called: entries that are only ever added, each
//! chained to the one before by its hash, and removed by nothing but their age.
//!
//! Every party has a chain of its own, so that it can keep a copy and check it without anybody
//! else's entries; the operator has one for names that nobody has. What a person does is on the disk
//! before it is shown or done. A call of the API waits for no flush: its entry follows half a
//! second later, with all others of that time. They lie in a file of their own, so that a call's answer
//! does not wait for them either.

mod age;
mod chain;
mod check;
mod entry;
mod failures;
#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use tandem_client::system_time;
use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_blocking;

use crate::metrics::Metrics;
use crate::registry::NodeFile;

pub use age::remove;
pub use chain::{Head, Line, SCHEMAS, append, head, lines, parties};
pub use check::{Broken, Checker, check};
pub use entry::{Act, Entry};
use failures::Failures;

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
            Act::CallFailed => self.failures().count(entry),
            Act::SignInFailed if entry.login.is_empty() => self.failures().count(entry),
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

    fn failures(&self) -> MutexGuard<'_, Failures> {
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
