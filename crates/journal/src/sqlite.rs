//! The embedded store: one book in one SQLite database.
//!
//! A [`Sqlite`] that may write is the only one: it holds a lock on its head file, and refuses to open
//! while another does. Any number of readers ([`Sqlite::open_read_only`]) may read while it
//! writes; they change nothing in the database, and see it as it was when they began to read. SQLite keeps
//! its index of the write-ahead log beside the database, so readers too need a directory they may
//! write to, and may leave an empty log and its index (`-wal`, `-shm`) there.
//!
//! The operating system drops the locks of a process that dies, so nothing is left to clean up.
//! It also drops SQLite's when the same process opens and closes the database file by other means
//! than this module: don't.

mod copy;
mod opening;

use std::error::Error;
use std::fs::File;
use std::io::ErrorKind;
use std::ops::ControlFlow;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};

pub use self::copy::{Copied, CopyError, copy, copy_database};
pub use self::opening::OpenError;
use self::opening::Opening;
use crate::head::HeadFile;
use crate::{Batch, BookName, Hash, Head, Secret, Stats, Store, StoreError};

/// A checkpoint copies the write-ahead log into the database when the log has grown to this size.
/// SQLite's own default is 4 MiB; fewer and larger ones keep the slowest appends rare.
const CHECKPOINT_AT: u64 = 32 * 1024 * 1024;

/// The journal of one book in an SQLite database, with a head file beside it.
#[derive(Debug)]
pub struct Sqlite {
    connection: Connection,
    place: String,
    book: BookName,
    secret: Secret,
    /// `None` for readers.
    head_file: Option<HeadFile>,
    page_size: u64,
    checkpoint_at: u64,
}

impl Sqlite {
    /// Creates a journal for a book and holds it for writing.
    pub fn create(path: impl AsRef<Path>, book: &BookName) -> Result<Self, OpenError> {
        let opening = Opening::new(path.as_ref());
        opening.must_not_be_deleted()?;
        let create = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut connection = opening.connect(create)?;
        opening.must_be_writable(&connection)?;
        opening.locked(|head_file| {
            opening.must_be_empty(&connection)?;
            opening.make_durable(&connection)?;
            opening.fill(&mut connection, book)?;
            opening.writer(connection, head_file)
        })
    }

    /// Opens a journal and holds it for writing.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let opening = Opening::new(path.as_ref());
        opening.must_exist()?;
        let connection = opening.connect(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        opening.must_be_writable(&connection)?;
        opening.must_be_journal(&connection)?;
        opening.locked(|head_file| {
            opening.make_durable(&connection)?;
            opening.writer(connection, head_file)
        })
    }

    /// Opens a journal and holds it for writing, or creates it. Who is killed while it creates one
    /// leaves an empty database, which counts as none.
    pub fn open_or_create(path: impl AsRef<Path>, book: &BookName) -> Result<Self, OpenError> {
        match Self::create(&path, book) {
            Err(OpenError::Exists { .. }) => Self::open(path),
            created => created,
        }
    }

    /// Opens a journal for reading, as verification and export do. Appending to it fails.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let opening = Opening::new(path.as_ref());
        opening.must_exist()?;
        let connection = opening.connect(OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        opening.must_be_journal(&connection)?;
        opening.store(connection)
    }

    /// Copies the write-ahead log into the database, as far as no reader still needs it.
    /// [`Store::append`] does it when the log has grown large; a caller that knows a quiet moment can
    /// do it before.
    pub fn checkpoint(&mut self) -> Result<(), StoreError> {
        self.fatal(
            "copy its log into the database",
            checkpoint(&self.connection),
        )
    }

    /// Checkpoints when the log is large.
    fn bound_log(&mut self) -> Result<(), StoreError> {
        let pages = self
            .connection
            .prepare_cached("PRAGMA wal_checkpoint(NOOP)")
            .and_then(|mut pragma| pragma.query_row([], log_pages));
        let (logged, copied) = self.fatal("measure its log", pages)?;
        // Once all of it is copied, the log is written from its beginning again.
        if logged == copied || logged * self.page_size < self.checkpoint_at {
            return Ok(());
        }
        self.checkpoint()
    }

    fn insert(&self, batch: &Batch) -> Result<(), Cause> {
        let insert = "INSERT INTO batch VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let (prev, hash) = (&batch.prev.0, &batch.hash.0);
        self.connection.prepare_cached(insert)?.execute((
            self.book.as_str(),
            i64::try_from(batch.seq)?,
            prev,
            hash,
            batch.events,
            &batch.body,
        ))?;
        Ok(())
    }

    fn hash_of(&self, seq: u64) -> Result<Option<Hash>, Cause> {
        let select = "SELECT hash FROM batch WHERE book = ?1 AND seq = ?2";
        let key = (self.book.as_str(), i64::try_from(seq)?);
        Ok(self
            .connection
            .query_row(select, key, |row| row.get(0).map(Hash))
            .optional()?)
    }

    fn error(&self, doing: impl Into<String>, cause: impl Into<Cause>) -> StoreError {
        store_error(&self.place, doing, cause)
    }

    /// Turns a failure of the writer into an error after which closing changes nothing.
    ///
    /// After a failed write or flush the system may report success for pages it has dropped. A
    /// checkpoint would believe it and delete the log, which is the only copy then.
    fn fatal<T>(
        &self,
        doing: impl Into<String>,
        outcome: Result<T, impl Into<Cause>>,
    ) -> Result<T, StoreError> {
        outcome.map_err(|cause| {
            let error = self.error(doing, cause);
            // The first failure is the one to report.
            let _ = checkpoint_on_close(&self.connection, false);
            error
        })
    }
}

impl Store for Sqlite {
    fn book(&self) -> &BookName {
        &self.book
    }

    fn secret(&self) -> &Secret {
        &self.secret
    }

    fn place(&self) -> &str {
        &self.place
    }

    fn head(&self) -> Result<Option<Head>, StoreError> {
        let select = "SELECT seq, hash FROM batch WHERE book = ?1 ORDER BY seq DESC LIMIT 1";
        self.connection
            .query_row(select, [self.book.as_str()], |row| {
                Ok(Head {
                    seq: unsigned(row, 0)?,
                    hash: Hash(row.get(1)?),
                })
            })
            .optional()
            .map_err(|cause| self.error("read the last batch", cause))
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let head = Head {
            seq: batch.seq,
            hash: batch.hash,
        };
        let write = || format!("write batch {}", batch.seq);
        if let Some(file) = &self.head_file {
            self.fatal(write(), file.must_be_in_place())?;
        }
        self.fatal(write(), self.insert(batch))?;
        if let Some(file) = &mut self.head_file {
            let written = file.write(head);
            self.fatal("write the head file", written)?;
        }
        self.bound_log()
    }

    fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut next = from;
        self.visit_rows(from, &mut next, visit)
            .map_err(|cause| self.error(format!("read batch {next}"), cause))
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        let select = "SELECT count(*), coalesce(sum(events), 0), coalesce(sum(length(body)), 0)
                      FROM batch WHERE book = ?1";
        self.connection
            .query_row(select, [self.book.as_str()], |row| {
                Ok(Stats {
                    batches: unsigned(row, 0)?,
                    events: unsigned(row, 1)?,
                    body_bytes: unsigned(row, 2)?,
                })
            })
            .map_err(|cause| self.error("count the batches", cause))
    }
}

impl Sqlite {
    /// Visits the batches from `from` on. `next` is the number of the batch being read, for the
    /// message when that fails.
    fn visit_rows(
        &self,
        from: u64,
        next: &mut u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), Cause> {
        let select = "SELECT seq, prev, hash, events, body FROM batch
                      WHERE book = ?1 AND seq >= ?2 ORDER BY seq";
        let mut statement = self.connection.prepare_cached(select)?;
        let mut rows = statement.query((self.book.as_str(), i64::try_from(from)?))?;
        while let Some(row) = rows.next()? {
            *next = unsigned(row, 0)?;
            let batch = Batch {
                seq: *next,
                prev: Hash(row.get(1)?),
                hash: Hash(row.get(2)?),
                events: row.get(3)?,
                body: row.get(4)?,
            };
            if visit(batch).is_break() {
                break;
            }
            *next += 1;
        }
        Ok(())
    }
}

type Cause = Box<dyn Error + Send + Sync>;

fn store_error(place: &str, doing: impl Into<String>, cause: impl Into<Cause>) -> StoreError {
    StoreError {
        place: place.to_owned(),
        doing: doing.into(),
        cause: cause.into(),
    }
}

/// Copies the log into the database, as far as no reader still needs it.
fn checkpoint(connection: &Connection) -> Result<(), Cause> {
    Ok(connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?)
}

/// Flushes a file to the disk, if it is there.
fn flush(path: &Path) -> Result<(), Cause> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        file => Ok(file?.sync_all()?),
    }
}

/// Chooses whether closing copies the log into the database and deletes it.
fn checkpoint_on_close(connection: &Connection, yes: bool) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, !yes)?;
    Ok(())
}

/// The pages in the log, and how many of them are in the database already.
fn log_pages(row: &Row<'_>) -> rusqlite::Result<(u64, u64)> {
    Ok((unsigned(row, 1)?, unsigned(row, 2)?))
}

/// Reads a number that is never negative. SQLite has only signed ones.
fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rusqlite::types::Value;

    use super::*;
    use crate::head::{TailError, beside};
    use crate::{BatchBuilder, Journal};

    fn pragma(store: &Sqlite, name: &str) -> Value {
        store
            .connection
            .pragma_query_value(None, name, |row| row.get(0))
            .unwrap()
    }

    #[test]
    fn every_append_is_flushed_and_checkpoints_are_ours() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let book = BookName::new("demo").unwrap();
        drop(Sqlite::create(&path, &book).unwrap());
        let store = Sqlite::open(&path).unwrap();
        assert_eq!(
            pragma(&store, "journal_mode"),
            Value::from("wal".to_owned())
        );
        assert_eq!(pragma(&store, "synchronous"), Value::from(2));
        assert_eq!(pragma(&store, "wal_autocheckpoint"), Value::from(0));
        assert_eq!(pragma(&store, "page_size"), Value::from(16_384));
    }

    #[test]
    fn the_log_is_bounded_and_gone_after_closing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let log = dir.path().join("journal.db-wal");
        let book = BookName::new("demo").unwrap();
        let mut store = Sqlite::create(&path, &book).unwrap();
        store.checkpoint_at = 64 * 1024;
        let mut journal = Journal::open(store).unwrap();
        let mut batch = BatchBuilder::new();
        for _ in 0..50 {
            batch.push(&[7; 10_000]).unwrap();
            journal.append(&mut batch).unwrap();
        }
        assert!((10_000..128 * 1024).contains(&fs::metadata(&log).unwrap().len()));
        drop(journal);
        assert!(!log.exists());
    }

    #[test]
    fn a_log_that_a_reader_needs_grows_and_is_copied_when_it_has_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let book = BookName::new("demo").unwrap();
        let mut store = Sqlite::create(&path, &book).unwrap();
        store.checkpoint_at = 64 * 1024;
        let mut journal = Journal::open(store).unwrap();
        let mut batch = BatchBuilder::new();
        let mut grow = || {
            for _ in 0..50 {
                batch.push(&[7; 10_000]).unwrap();
                journal.append(&mut batch).unwrap();
            }
            fs::metadata(beside(&path, "-wal")).unwrap().len()
        };
        grow();
        let reader = Sqlite::open_read_only(&path).unwrap();
        let mut grown = 0;
        let read = reader.read(1, &mut |_| {
            grown = grow();
            ControlFlow::Break(())
        });
        read.unwrap();
        assert!(grown > 500_000, "{grown}");
        // It goes on from its beginning soon after.
        assert!(grow() < grown + 100_000);
        assert_eq!(reader.stats().unwrap().batches, 150);
    }

    #[test]
    fn after_a_failure_closing_keeps_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let log = dir.path().join("journal.db-wal");
        let mut store = Sqlite::create(&path, &BookName::new("demo").unwrap()).unwrap();
        let batch = Batch {
            seq: 1,
            prev: Hash([0; 32]),
            hash: Hash([1; 32]),
            events: 0,
            body: vec![],
        };
        store.append(&batch).unwrap();
        let error = store.append(&batch).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{}: cannot write batch 1: UNIQUE constraint failed: batch.book, batch.seq",
                path.display()
            )
        );
        drop(store);
        assert!(fs::metadata(&log).unwrap().len() > 0);
        assert_eq!(Sqlite::open(&path).unwrap().head().unwrap().unwrap().seq, 1);
    }

    #[test]
    fn a_log_with_a_bad_page_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        let log = dir.path().join("journal.db-wal");
        let store = Sqlite::create(&path, &BookName::new("demo").unwrap()).unwrap();
        checkpoint_on_close(&store.connection, false).unwrap();
        let mut journal = Journal::open(store).unwrap();
        let mut batch = BatchBuilder::new();
        for _ in 0..4 {
            batch.push(&[7; 10_000]).unwrap();
            journal.append(&mut batch).unwrap();
        }
        drop(journal);

        // SQLite reads its log up to the first bad page and forgets the rest without a word.
        let mut bytes = fs::read(&log).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&log, &bytes).unwrap();
        for opened in [Sqlite::open(&path), Sqlite::open_read_only(&path)] {
            let error = opened.unwrap_err();
            assert!(
                matches!(
                    error,
                    OpenError::Tail(TailError::Lost {
                        last: 1 | 2,
                        remembered: 4,
                        ..
                    })
                ),
                "{error}"
            );
        }
        assert!(fs::read(&log).unwrap() == bytes);
    }

    #[test]
    fn a_journal_can_move_to_the_thread_that_writes() {
        fn movable<T: Send>() {}
        movable::<Journal<Sqlite>>();
    }
}
