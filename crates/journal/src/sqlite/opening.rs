//! Opening and creating a database, and why it may not be.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{
    CHECKPOINT_AT, Cause, Sqlite, checkpoint, checkpoint_on_close, flush, store_error, unsigned,
};
use crate::head::{self, HeadFile, TailError, beside};
use crate::{BookName, FORMAT, Secret, Store, StoreError};

/// Marks a database as a journal in SQLite's file header: "TNDM".
const APPLICATION_ID: i32 = 0x544e_444d;

/// How long a statement waits for another process that looks after the log.
const PATIENCE: Duration = Duration::from_secs(5);

/// A full batch takes 32 pages of the database, each of which is written twice and read once, by calls
/// of their own. What is there keeps the size that it was created with.
const PAGE_SIZE: &str = "16384";

const SCHEMA: &str = "
    CREATE TABLE meta (
        format INTEGER NOT NULL,
        book TEXT NOT NULL,
        secret BLOB NOT NULL
    ) STRICT;
    CREATE TABLE batch (
        book TEXT NOT NULL,
        seq INTEGER NOT NULL,
        prev BLOB NOT NULL,
        hash BLOB NOT NULL,
        events INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (book, seq)
    ) STRICT;
";

/// A database that is being opened.
pub(super) struct Opening<'a> {
    path: &'a Path,
    place: String,
    head_file: PathBuf,
}

impl<'a> Opening<'a> {
    pub(super) fn new(path: &'a Path) -> Self {
        Self {
            path,
            place: path.display().to_string(),
            head_file: beside(path, "-head"),
        }
    }

    pub(super) fn must_exist(&self) -> Result<(), OpenError> {
        let place = self.place.clone();
        match self.path.metadata() {
            Ok(found) if found.is_dir() => Err(self.not_a_journal()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                Err(OpenError::CannotOpen { place })
            }
            Err(_) => Err(OpenError::NotFound { place }),
            Ok(_) => Ok(()),
        }
    }

    /// A head file without its database is what is left when the database was deleted.
    pub(super) fn must_not_be_deleted(&self) -> Result<(), OpenError> {
        match self.must_exist() {
            Err(OpenError::NotFound { .. }) => self.record().must_be_blank()?,
            there => there?,
        }
        Ok(())
    }

    pub(super) fn must_be_empty(&self, connection: &Connection) -> Result<(), OpenError> {
        let count = "SELECT count(*) FROM sqlite_schema";
        let tables = connection.query_row(count, [], |row| unsigned(row, 0));
        if self.map(tables)? > 0 {
            return Err(OpenError::Exists {
                place: self.place.clone(),
            });
        }
        Ok(())
    }

    /// Checks, before anything is changed, that this program may read the database.
    pub(super) fn must_be_journal(&self, connection: &Connection) -> Result<(), OpenError> {
        let id = connection.pragma_query_value(None, "application_id", |row| row.get::<_, i32>(0));
        if self.map(id)? != APPLICATION_ID {
            return Err(self.not_a_journal());
        }
        let format = connection.query_row("SELECT format FROM meta", [], |row| row.get(0));
        let format: i64 = self.map(format)?;
        if format < 1 {
            return Err(self.not_a_journal());
        }
        if format > i64::from(FORMAT) {
            return Err(OpenError::NewerFormat {
                place: self.place.clone(),
                format,
            });
        }
        if format < i64::from(FORMAT) {
            return Err(OpenError::OlderFormat {
                place: self.place.clone(),
                format,
            });
        }
        Ok(())
    }

    pub(super) fn connect(&self, flags: OpenFlags) -> Result<Connection, OpenError> {
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = self.map(Connection::open_with_flags(self.path, flags))?;
        // Nobody but a program of before holds the database itself for longer than a moment.
        self.map(connection.busy_timeout(PATIENCE))?;
        // A journal that is refused stays as it is: its log may hold what a backup lacks.
        self.map(checkpoint_on_close(&connection, false))?;
        Ok(connection)
    }

    /// SQLite opens a file that may not be written to for reading, and says so much later.
    pub(super) fn must_be_writable(&self, connection: &Connection) -> Result<(), OpenError> {
        match self.map(connection.is_readonly(rusqlite::MAIN_DB))? {
            true => Err(self.read_only()),
            false => Ok(()),
        }
    }

    /// Opens a journal as its only writer, for as long as the head file is kept. Where it is refused,
    /// no head file is left that was not there.
    pub(super) fn locked(
        &self,
        open: impl FnOnce(HeadFile) -> Result<Sqlite, OpenError>,
    ) -> Result<Sqlite, OpenError> {
        let is_new = !self.head_file.exists();
        let place = self.place.clone();
        let head_file = self.record().lock()?.ok_or(OpenError::InUse { place })?;
        let opened = open(head_file);
        if is_new && opened.is_err() {
            let _ = std::fs::remove_file(&self.head_file);
        }
        opened
    }

    /// Sets the connection up so that a commit returns only after it is flushed to the disk.
    pub(super) fn make_durable(&self, connection: &Connection) -> Result<(), OpenError> {
        let set = |pragma, value| self.map(connection.pragma_update(None, pragma, value));
        set("page_size", PAGE_SIZE)?;
        let mode = connection
            .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
        let mode = self.map(mode)?;
        if mode != "wal" {
            let cause = format!("SQLite offers only the mode {mode:?} here");
            return Err(self.error("use a write-ahead log", cause).into());
        }
        set("synchronous", "FULL")?;
        // On macOS a plain flush leaves data in the disk's cache.
        set("fullfsync", "ON")?;
        set("wal_autocheckpoint", "0")
    }

    /// Makes an empty database a journal.
    pub(super) fn fill(
        &self,
        connection: &mut Connection,
        book: &BookName,
    ) -> Result<(), OpenError> {
        let secret = Secret::random().map_err(|cause| self.error("make its secret", cause))?;
        let transaction = self.map(connection.transaction())?;
        self.map(transaction.pragma_update(None, "application_id", APPLICATION_ID))?;
        self.map(transaction.execute_batch(SCHEMA))?;
        let insert = "INSERT INTO meta VALUES (?1, ?2, ?3)";
        let row = (FORMAT, book.as_str(), secret.as_bytes());
        self.map(transaction.execute(insert, row))?;
        self.map(transaction.commit())
    }

    pub(super) fn writer(
        &self,
        connection: Connection,
        mut head_file: HeadFile,
    ) -> Result<Sqlite, OpenError> {
        let mut store = self.store(connection)?;
        // What a process that died left in the log may never have been flushed. It is before anything
        // is answered from batches that a power cut could take.
        store.fatal("flush its log", flush(&beside(self.path, "-wal")))?;
        store.fatal(
            "copy its log into the database",
            checkpoint(&store.connection),
        )?;
        self.record()
            .note(&mut head_file, &store.book, store.head()?)?;
        store.head_file = Some(head_file);
        self.map(checkpoint_on_close(&store.connection, true))?;
        Ok(store)
    }

    /// Reads what the journal says of itself, and checks that it has lost nothing.
    pub(super) fn store(&self, connection: Connection) -> Result<Sqlite, OpenError> {
        let meta = connection.query_row("SELECT book, secret FROM meta", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        let (book, secret): (String, _) = self.map(meta)?;
        let book = BookName::new(book).map_err(|cause| self.error("read its name", cause))?;
        let page_size = connection.pragma_query_value(None, "page_size", |row| unsigned(row, 0));
        let store = Sqlite {
            page_size: self.map(page_size)?,
            connection,
            place: self.place.clone(),
            book,
            secret: Secret::from_bytes(secret),
            head_file: None,
            checkpoint_at: CHECKPOINT_AT,
        };
        let last = || Ok(store.head()?.map_or(0, |head| head.seq));
        self.record().check(last, |seq| {
            let hash = store.hash_of(seq);
            hash.map_err(|cause| store.error(format!("read the hash of batch {seq}"), cause))
        })?;
        Ok(store)
    }

    fn record(&self) -> head::Record<'_> {
        head::Record {
            place: &self.place,
            path: &self.head_file,
        }
    }

    fn map<T>(&self, outcome: rusqlite::Result<T>) -> Result<T, OpenError> {
        outcome.map_err(|cause| match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy) => OpenError::InUse {
                place: self.place.clone(),
            },
            Some(ErrorCode::ReadOnly) => self.read_only(),
            Some(ErrorCode::NotADatabase) => self.not_a_journal(),
            Some(ErrorCode::DatabaseCorrupt) => OpenError::Damaged {
                place: self.place.clone(),
            },
            Some(ErrorCode::CannotOpen) => OpenError::CannotOpen {
                place: self.place.clone(),
            },
            _ => self.error("open the database", cause).into(),
        })
    }

    fn error(&self, doing: &str, cause: impl Into<Cause>) -> StoreError {
        store_error(&self.place, doing, cause)
    }

    fn not_a_journal(&self) -> OpenError {
        OpenError::NotAJournal {
            place: self.place.clone(),
        }
    }

    fn read_only(&self) -> OpenError {
        OpenError::ReadOnly {
            place: self.place.clone(),
        }
    }
}

/// Why a journal could not be opened or created.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OpenError {
    #[error("{place}: there is no journal here; check the path, or create a new journal")]
    NotFound { place: String },
    #[error("{place}: there is a database here already; choose another path, or open it")]
    Exists { place: String },
    #[error(
        "{place}: the journal is in use by another program; a journal has one writer: stop the other \
         program first"
    )]
    InUse { place: String },
    #[error(
        "{place}: the journal or its directory may not be written to, which SQLite needs even to \
         read it; change the permissions, or copy the journal to another directory"
    )]
    ReadOnly { place: String },
    #[error("{place}: this is not a journal of Tandem; check the path")]
    NotAJournal { place: String },
    #[error(
        "{place}: cannot open the database: its directory is not there, or this user may not use \
         it; check the path, or change the permissions"
    )]
    CannotOpen { place: String },
    #[error(
        "{place}: the database is damaged: it was cut off, or changed by another program; restore \
         it from a backup"
    )]
    Damaged { place: String },
    #[error(
        "{place}: this journal was written by a newer Tandem (format {format}; this program reads \
         up to {FORMAT}); use a newer program"
    )]
    NewerFormat { place: String, format: i64 },
    #[error(
        "{place}: this journal has format {format}, which was never released; this program reads \
         format {FORMAT}: make the journal anew from what it was made from"
    )]
    OlderFormat { place: String, format: i64 },
    #[error(transparent)]
    Tail(#[from] TailError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
