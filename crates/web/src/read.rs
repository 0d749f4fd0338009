//! What people and partners look at: a book that follows the journal, and a file of its events and
//! postings by loan, application and account.
//!
//! The book is a [`Replica`]: only what is durable is ever seen, and looking does not disturb the
//! writer. The file can be deleted: it is made again from the journal.

mod rows;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use rusqlite::{Connection, OpenFlags};
use tandem_domain::book::{Book, Decided, Event, Verdict};
use tandem_engine::disclosure::{Disclosure, Parties};
use tandem_engine::{Engine, ReplayError, Replica, Written};
use tandem_journal::snapshot::SnapshotError;
use tandem_journal::{Head, Journal, Store};
use tokio::sync::watch;

use crate::registry::keep_plans;
pub use rows::{EVENT_KINDS, EventRow, Page, PostingFilter, PostingRow};
use rows::{Row, SCHEMA};

/// Rows written in one transaction while a journal is caught up with.
const CHUNK: usize = 50_000;

/// Decisions that are kept at hand, since whoever sent an application is shown it at once.
const RECENT: usize = 1_024;

/// A book to look at, and its rows.
pub struct Reader {
    replica: RwLock<Replica>,
    path: PathBuf,
    writing: Mutex<Connection>,
    /// Connections that nobody uses.
    idle: Mutex<Vec<Connection>>,
    /// The newest decisions that were taken in, each with the place of its application and the
    /// number of its event, in their order.
    recent: RwLock<VecDeque<(u32, u64, Arc<Decided>)>>,
    /// How often events have been taken in.
    taken: watch::Sender<u64>,
}

/// Why there is nothing to look at.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The journal.
    #[error(transparent)]
    Replay(#[from] ReplayError),
    /// The file.
    #[error("{path}: {cause}; the file can be deleted, it is made again from the journal")]
    File {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        cause: rusqlite::Error,
    },
}

impl Reader {
    /// Opens the file, and the book as it was when the file was last written, or before. The
    /// snapshots that could not be used are returned too.
    pub fn open<S: Store>(
        path: &Path,
        journal: &mut Journal<S>,
        snapshots: &Path,
    ) -> Result<(Reader, Vec<SnapshotError>), ReadError> {
        let failed = |cause| ReadError::File {
            path: path.to_owned(),
            cause,
        };
        let (writing, known) = open(path, journal).map_err(failed)?;
        let (replica, unusable) = Replica::open_from(journal, snapshots, known)?;
        let reader = Reader {
            replica: RwLock::new(replica),
            path: path.to_owned(),
            writing: Mutex::new(writing),
            idle: Mutex::default(),
            recent: RwLock::default(),
            taken: watch::Sender::new(0),
        };
        reader.follow(journal)?;
        Ok((reader, unusable))
    }

    /// Takes in what the journal holds beyond what is known.
    pub fn follow<S: Store>(&self, journal: &mut Journal<S>) -> Result<(), ReadError> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let known = rows::known(&writing).map_err(|cause| self.failed(cause))?;
        let head = journal.head();
        if known == Some(head) && self.head() == head {
            return Ok(());
        }
        let known = known.map_or(0, |known| known.seq);
        let mut replica = self.replica.write().unwrap_or_else(PoisonError::into_inner);
        let mut rows = Vec::new();
        let mut written = Ok(0);
        replica.advance(journal, &mut |step, disclosure| {
            if step.batch > known && written.is_ok() {
                rows.push(Row::of(&step, disclosure, None));
                if rows.len() >= CHUNK {
                    written = rows::write(&mut writing, &rows, None);
                    rows.clear();
                }
            }
        })?;
        written
            .and_then(|_| rows::write(&mut writing, &rows, Some(head)))
            .map_err(|cause| self.failed(cause))?;
        Ok(())
    }

    /// Makes an engine of the book as it is; the journal holds nothing beyond it.
    pub fn engine<S: Store>(&self, journal: Journal<S>) -> Result<Engine<S>, ReplayError> {
        let replica = self.replica.read().unwrap_or_else(PoisonError::into_inner);
        replica.clone().into_engine(journal)
    }

    /// Takes in what this process has made durable, in all the parcels that wait.
    pub fn take(&self, parcels: Vec<Written>) -> Result<(), ReadError> {
        let Some(head) = parcels.last().map(|last| last.head) else {
            return Ok(());
        };
        let mut rows = Vec::new();
        {
            let mut replica = self.replica.write().unwrap_or_else(PoisonError::into_inner);
            for written in &parcels {
                let mut origins = written.origins.iter().peekable();
                let mut place = 0;
                replica.feed(written, &mut |step, disclosure| {
                    while origins.next_if(|(made, _)| made.end <= place).is_some() {}
                    let origin = origins.peek().filter(|(made, _)| made.contains(&place));
                    rows.push(Row::of(
                        &step,
                        disclosure,
                        origin.map(|(_, origin)| *origin),
                    ));
                    place += 1;
                })?;
            }
        }
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let written = rows::write(&mut writing, &rows, Some(head));
        let last = written.map_err(|cause| self.failed(cause))?;
        let taken = parcels.len() as u64;
        let events = parcels.into_iter().flat_map(|written| written.events);
        let mut recent = self.recent.write().unwrap_or_else(PoisonError::into_inner);
        for ((number, row), (_, event)) in (last + 1 - rows.len() as u64..).zip(&rows).zip(events) {
            match (event, row.application()) {
                (Event::Decided(decided), Some(place)) => {
                    recent.push_back((place, number, Arc::from(decided)));
                }
                (Event::Underwritten { decided, .. }, Some(place)) => {
                    if let Ok(at) = recent.binary_search_by_key(&place, |(place, ..)| *place) {
                        recent[at] = (place, number, Arc::from(decided));
                    }
                }
                _ => {}
            }
        }
        let over = recent.len().saturating_sub(RECENT);
        recent.drain(..over);
        drop(recent);
        self.taken.send_modify(|count| *count += taken);
        Ok(())
    }

    /// Changes whenever something new can be seen.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.taken.subscribe()
    }

    /// The last batch that is seen.
    pub fn head(&self) -> Head {
        self.replica
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .head()
    }

    /// Looks at the book.
    pub fn look<T>(&self, look: impl FnOnce(&Book) -> T) -> T {
        look(
            self.replica
                .read()
                .unwrap_or_else(PoisonError::into_inner)
                .book(),
        )
    }

    /// Looks at the book, and at whom its loans concern.
    pub fn look_as<T>(&self, look: impl FnOnce(&Book, &Disclosure) -> T) -> T {
        let replica = self.replica.read().unwrap_or_else(PoisonError::into_inner);
        look(replica.book(), replica.disclosure())
    }

    /// Looks at the rows.
    pub fn rows<T>(
        &self,
        look: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, ReadError> {
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let connection = idle.map_or_else(|| reading(&self.path), Ok);
        let connection = connection.map_err(|cause| self.failed(cause))?;
        let found = look(&connection).map_err(|cause| self.failed(cause))?;
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        Ok(found)
    }

    /// A page of events that concern parties, after an event's number.
    pub fn events(
        &self,
        parties: Parties,
        after: u64,
        most: usize,
    ) -> Result<Vec<EventRow>, ReadError> {
        self.rows(|rows| EventRow::after(rows, parties, after, most))
    }

    /// The decision on an application, the last if people decided on it, and the number of its event.
    pub fn decided(&self, application: u32) -> Result<Option<(u64, Arc<Decided>)>, ReadError> {
        let recent = self.recent.read().unwrap_or_else(PoisonError::into_inner);
        if let Ok(at) = recent.binary_search_by_key(&application, |(place, ..)| *place) {
            let (_, number, decided) = &recent[at];
            return Ok(Some((*number, Arc::clone(decided))));
        }
        drop(recent);
        // It is what an application begins with.
        let mut found = self.rows(|rows| EventRow::first_of(rows, application))?;
        let referred = |row: &EventRow| match &row.event {
            Event::Decided(decided) => matches!(decided.verdict, Verdict::Referred(..)),
            _ => false,
        };
        if found.as_ref().is_some_and(referred) {
            let last = self.rows(|rows| EventRow::underwritten(rows, application))?;
            found = last.or(found);
        }
        Ok(found.and_then(|row| match row.event {
            Event::Decided(decided) | Event::Underwritten { decided, .. } => {
                Some((row.number, Arc::from(decided)))
            }
            _ => None,
        }))
    }

    /// What was decided of an application when it came in.
    pub fn decided_first(&self, application: u32) -> Result<Option<Decided>, ReadError> {
        let first = self.rows(|rows| EventRow::first_of(rows, application))?;
        Ok(first.and_then(|row| match row.event {
            Event::Decided(decided) => Some(decided),
            _ => None,
        }))
    }

    /// All events of an application and of its loan, oldest first.
    pub fn events_of(&self, application: u32) -> Result<Vec<EventRow>, ReadError> {
        self.rows(|rows| EventRow::of_application(rows, application))
    }

    /// An event by its number.
    pub fn event(&self, number: u64) -> Result<Option<EventRow>, ReadError> {
        self.rows(|rows| EventRow::numbered(rows, number))
    }

    /// Events of a kind before an event's number, newest first.
    pub fn newest(
        &self,
        kind: &str,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<EventRow>, ReadError> {
        self.rows(|rows| EventRow::newest(rows, kind, before, most))
    }

    /// Postings, newest first.
    pub fn postings(
        &self,
        filter: PostingFilter,
        page: Page,
    ) -> Result<Vec<PostingRow>, ReadError> {
        self.rows(|rows| PostingRow::find(rows, filter, page))
    }

    fn failed(&self, cause: rusqlite::Error) -> ReadError {
        ReadError::File {
            path: self.path.clone(),
            cause,
        }
    }
}

/// Opens the file for writing, and tells the last batch that it has whole; one of another journal,
/// or of another format, is made anew.
fn open<S: Store>(path: &Path, journal: &mut Journal<S>) -> rusqlite::Result<(Connection, u64)> {
    let connection = Connection::open(path)?;
    keep_plans(&connection)?;
    connection.pragma_update(None, "journal_mode", "wal")?;
    // What a crash takes is made again.
    connection.pragma_update(None, "synchronous", "normal")?;
    let format = |row: &rusqlite::Row<'_>| row.get::<_, i64>(0);
    if connection.pragma_query_value(None, "user_version", format)? == rows::FORMAT {
        let known = rows::known(&connection)?;
        if let Some(known) = known.filter(|known| journal.check_point(*known).is_ok()) {
            rows::trim(&connection, known.seq)?;
            return Ok((connection, known.seq));
        }
    }
    connection.execute_batch(&format!(
        "DROP TABLE IF EXISTS event; DROP TABLE IF EXISTS posting; DROP TABLE IF EXISTS head;
         {SCHEMA}; PRAGMA user_version = {}",
        rows::FORMAT
    ))?;
    Ok((connection, 0))
}

fn reading(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    keep_plans(&connection)?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}
