//! The store for several nodes: many books in one PostgreSQL database, or one that speaks its
//! protocol.
//!
//! A node owns a book by a [lease] and writes it with the token of that lease. Any
//! number of readers may read while it writes.
//!
//! A commit whose answer is lost is not guessed at: the batch's number is read back, from
//! whichever of the servers takes writes by then, and the hashes are compared. Every other failed
//! write is fatal, as in the embedded store.
//!
//! Servers on other machines are spoken to by TLS ([`Server`]).

mod opening;
mod ownership;
mod server;

use std::cell::RefCell;
use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use postgres::error::SqlState;
use postgres::fallible_iterator::FallibleIterator;
use postgres::types::ToSql;
use postgres::{Row, Statement};

pub use self::opening::OpenError;
use self::opening::Opening;
pub use self::ownership::Ownership;
use self::ownership::Renewal;
use self::server::is_unclear;
pub use self::server::{AddressError, Connection, Server, explain};
use crate::head::{HeadFile, Record, TailError};
use crate::lease::{self, Fate, Node};
use crate::{Batch, BookName, Hash, Head, Secret, Stats, Store, StoreError};

/// How long a batch is tried to be brought to an end while no server answers.
const PATIENCE: Duration = Duration::from_secs(60);

/// The pause between two attempts of that, and between two looks at a lease of somebody else.
const PAUSE: Duration = Duration::from_millis(100);

/// Rows asked for at once. They are read one by one; a reader that stops drops the rest.
const PAGE: i64 = 256;

/// Writes a batch if the token is still the one in the lease. The row of the lease stays locked
/// until the batch is there, so a new owner reads it or keeps it out, and nothing in between.
const INSERT: &str = "
    INSERT INTO tandem_batch (book, seq, prev, hash, events, body)
    SELECT book, CAST($2 AS BIGINT), CAST($3 AS BYTEA), CAST($4 AS BYTEA), CAST($5 AS BIGINT),
           CAST($6 AS BYTEA)
    FROM tandem_book WHERE book = $1 AND token = $7 FOR UPDATE";

/// What a writer brings along.
#[derive(Clone, Debug)]
pub struct Writer {
    /// Who will own the book.
    pub node: Node,
    /// The file on this node that remembers the last batch apart from the database.
    pub head_file: PathBuf,
    /// How long the lease lasts unless it is renewed.
    pub lease: Duration,
    /// How long to wait for somebody else's lease to end.
    pub wait: Duration,
    /// How long a batch may take when the database does not answer.
    pub patience: Duration,
}

impl Writer {
    /// A writer that does not wait for others.
    pub fn new(node: Node, head_file: impl Into<PathBuf>) -> Self {
        Self {
            node,
            head_file: head_file.into(),
            lease: lease::DURATION,
            wait: Duration::ZERO,
            patience: PATIENCE,
        }
    }
}

/// The journal of one book in a PostgreSQL database, with a head file on this node.
#[derive(Debug)]
pub struct Postgres {
    server: Server,
    place: String,
    book: BookName,
    secret: Secret,
    connection: RefCell<Connection>,
    /// `None` for readers.
    writing: Option<Writing>,
}

#[derive(Debug)]
struct Writing {
    insert: Statement,
    ownership: Ownership,
    head_file: HeadFile,
    patience: Duration,
}

impl Postgres {
    /// Creates a journal for a book, and the tables if they are not there, and owns it.
    pub fn create(server: &Server, book: &BookName, writer: &Writer) -> Result<Self, OpenError> {
        let mut opening = Opening::new(server, book, server.connect_to_write())?;
        opening.must_not_exist(&writer.head_file)?;
        opening.fill()?;
        opening.writer(writer)
    }

    /// Opens a journal and owns its book.
    pub fn open(server: &Server, book: &BookName, writer: &Writer) -> Result<Self, OpenError> {
        let mut opening = Opening::new(server, book, server.connect_to_write())?;
        opening.must_be_journal(&writer.head_file)?;
        opening.writer(writer)
    }

    /// Opens a journal for reading, as verification and export do. Appending to it fails.
    pub fn open_read_only(
        server: &Server,
        book: &BookName,
        head_file: &Path,
    ) -> Result<Self, OpenError> {
        let mut opening = Opening::new(server, book, server.connect_to_read())?;
        opening.must_be_journal(head_file)?;
        let secret = opening.secret()?;
        let store = opening.store(secret);
        store.check_tail(head_file)?;
        Ok(store)
    }

    /// The ownership of the book; `None` for readers.
    pub fn ownership(&self) -> Option<Ownership> {
        Some(self.writing.as_ref()?.ownership.clone())
    }

    fn check_tail(&self, head_file: &Path) -> Result<(), TailError> {
        let last = || Ok(self.head()?.map_or(0, |head| head.seq));
        record(&self.place, head_file).check(last, |seq| {
            let hashes = self.hashes(seq);
            let hash = hashes.map(|[_, hash]| hash);
            hash.map_err(|cause| self.error(format!("read the hash of batch {seq}"), cause))
        })
    }

    /// The hashes that the journal has before a batch and at it.
    fn hashes(&self, seq: u64) -> Result<[Option<Hash>; 2], Cause> {
        let select = "SELECT seq, hash FROM tandem_batch WHERE book = $1 AND seq IN ($2, $3)";
        let key: [&(dyn ToSql + Sync); 3] =
            [&self.book.as_str(), &(signed(seq)? - 1), &signed(seq)?];
        let rows = self.connection.borrow_mut().client.query(select, &key);
        let mut hashes = [None, None];
        for row in rows.map_err(|error| explain(&error))? {
            hashes[usize::from(number(&row, 0)? == seq)] = Some(hash(&row, 1)?);
        }
        Ok(hashes)
    }

    fn error(&self, doing: impl Into<String>, cause: impl Into<Cause>) -> StoreError {
        store_error(&self.place, doing, cause)
    }
}

impl Store for Postgres {
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
        let select = "SELECT seq, hash FROM tandem_batch WHERE book = $1
                      ORDER BY seq DESC LIMIT 1";
        let mut connection = self.connection.borrow_mut();
        let row = connection.client.query_opt(select, &[&self.book.as_str()]);
        row.map_err(|error| explain(&error))
            .and_then(|row| {
                row.map(|row| {
                    Ok(Head {
                        seq: number(&row, 0)?,
                        hash: hash(&row, 1)?,
                    })
                })
                .transpose()
            })
            .map_err(|cause| self.error("read the last batch", cause))
    }

    fn append(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let written = self.write(batch);
        let appended = written
            .map_err(|cause| self.error(format!("write batch {}", batch.seq), cause))
            .and_then(|()| self.note(batch));
        // This writer is at its end; another node may go on.
        if let (Err(_), Some(writing)) = (&appended, &self.writing) {
            writing.ownership.release();
        }
        appended
    }

    fn read(
        &self,
        from: u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut next = from;
        self.visit_rows(&mut next, visit)
            .map_err(|cause| self.error(format!("read batch {next}"), cause))
    }

    fn stats(&self) -> Result<Stats, StoreError> {
        let select = "SELECT count(*), CAST(coalesce(sum(events), 0) AS BIGINT),
                             CAST(coalesce(sum(length(body)), 0) AS BIGINT)
                      FROM tandem_batch WHERE book = $1";
        let mut connection = self.connection.borrow_mut();
        let row = connection.client.query_one(select, &[&self.book.as_str()]);
        row.map_err(|error| explain(&error))
            .and_then(|row| {
                Ok(Stats {
                    batches: number(&row, 0)?,
                    events: number(&row, 1)?,
                    body_bytes: number(&row, 2)?,
                })
            })
            .map_err(|cause| self.error("count the batches", cause))
    }
}

impl Postgres {
    /// Visits the batches from `next` on, which is kept at the number of the batch being read.
    fn visit_rows(
        &self,
        next: &mut u64,
        visit: &mut dyn FnMut(Batch) -> ControlFlow<()>,
    ) -> Result<(), Cause> {
        let select = "SELECT seq, prev, hash, events, body FROM tandem_batch
                      WHERE book = $1 AND seq >= $2 ORDER BY seq LIMIT $3";
        let explain = |error| explain(&error);
        let mut connection = self.connection.borrow_mut();
        let select = connection.client.prepare(select).map_err(explain)?;
        loop {
            let from = signed(*next)?;
            let key: [&(dyn ToSql + Sync); 3] = [&self.book.as_str(), &from, &PAGE];
            let rows = connection.client.query_raw(&select, key);
            let mut rows = rows.map_err(explain)?;
            let mut seen = 0;
            while let Some(row) = rows.next().map_err(explain)? {
                seen += 1;
                *next = number(&row, 0)?;
                let batch = Batch {
                    seq: *next,
                    prev: hash(&row, 1)?,
                    hash: hash(&row, 2)?,
                    events: number(&row, 3)?.try_into()?,
                    body: row.try_get(4)?,
                };
                if visit(batch).is_break() {
                    return Ok(());
                }
                *next += 1;
            }
            if seen < PAGE {
                return Ok(());
            }
        }
    }

    /// Notes a batch in the head file.
    fn note(&mut self, batch: &Batch) -> Result<(), StoreError> {
        let head = Head {
            seq: batch.seq,
            hash: batch.hash,
        };
        let Some(writing) = &mut self.writing else {
            return Ok(());
        };
        let noted = writing.head_file.write(head);
        noted.map_err(|cause| self.error("write the head file", cause))
    }

    /// Writes a batch, and returns once it is certain what became of it.
    fn write(&mut self, batch: &Batch) -> Result<(), Cause> {
        let Some(writing) = &self.writing else {
            return Err("the journal is open for reading only".into());
        };
        let ownership = &writing.ownership;
        if let Some(lost) = ownership.lost() {
            return Err(lost.into());
        }
        let connection = self.connection.get_mut();
        let mut unclear = match ownership.is_held() {
            true => None,
            // We slept, or the database did. If nobody took the book, it is ours as before.
            false => match ownership.renew(&mut connection.client, &self.book) {
                Ok(()) => None,
                Err(Renewal::Lost(lost)) => return Err(lost.into()),
                Err(Renewal::Failed(cause)) => Some(cause),
            },
        };
        if unclear.is_none() {
            match self.insert(batch) {
                Err(Trouble::Unclear(cause)) => unclear = Some(cause),
                Err(Trouble::Fatal(cause)) => return Err(cause),
                Ok(()) => {}
            }
        }
        unclear.map_or(Ok(()), |cause| self.resolve(batch, cause))
    }

    /// Tries, as long as the patience lasts, to bring a batch to an end that nobody confirmed.
    fn resolve(&mut self, batch: &Batch, mut last: Cause) -> Result<(), Cause> {
        let patience = self.writing.as_ref().map_or(PATIENCE, |by| by.patience);
        let end = Instant::now() + patience;
        while Instant::now() < end {
            match self.read_back(batch) {
                Ok(()) => return Ok(()),
                Err(Trouble::Fatal(cause)) => return Err(cause),
                Err(Trouble::Unclear(cause)) => last = cause,
            }
            thread::sleep(PAUSE);
        }
        let seconds = patience.as_secs_f32();
        Err(format!("nothing confirmed it within {seconds} s; the last attempt: {last}").into())
    }

    fn read_back(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let connection = self.server.connect_to_write();
        *self.connection.get_mut() =
            connection.map_err(|cause| match cause.is::<server::NotDurable>() {
                true => Trouble::Fatal(cause),
                false => Trouble::Unclear(cause),
            })?;
        let [before, found] = self.hashes(batch.seq).map_err(Trouble::Unclear)?;
        let seq = batch.seq;
        match lease::fate(batch, before, found) {
            Fate::Written => self.confirm(),
            Fate::Absent => {
                self.prepare().map_err(Trouble::Unclear)?;
                self.insert(batch)
            }
            Fate::Replaced => Err(Trouble::Fatal(Box::new(Resolution::Replaced { seq }))),
            Fate::TailLost => {
                let before = seq - 1;
                Err(Trouble::Fatal(Box::new(Resolution::TailLost { before })))
            }
        }
    }

    /// Makes certain that a batch which we see is as durable as a confirmed one.
    ///
    /// A server that restarts shows a commit that it had not yet passed on to its synchronous
    /// standby. A later commit that it confirms has passed all of them on.
    fn confirm(&mut self) -> Result<(), Trouble> {
        self.prepare().map_err(Trouble::Unclear)?;
        let Some(writing) = &self.writing else {
            return Ok(());
        };
        let client = &mut self.connection.get_mut().client;
        match writing.ownership.renew(client, &self.book) {
            Ok(()) => Ok(()),
            Err(Renewal::Lost(lost)) => Err(Trouble::Fatal(lost.into())),
            Err(Renewal::Failed(cause)) => Err(Trouble::Unclear(cause)),
        }
    }

    /// Prepares the insert on a new connection.
    fn prepare(&mut self) -> Result<(), Cause> {
        let prepared = self.connection.get_mut().client.prepare(INSERT);
        let prepared = prepared.map_err(|error| explain(&error))?;
        if let Some(writing) = &mut self.writing {
            writing.insert = prepared;
        }
        Ok(())
    }

    fn insert(&mut self, batch: &Batch) -> Result<(), Trouble> {
        let Some(writing) = &self.writing else {
            return Ok(());
        };
        let fatal = |cause: Cause| Trouble::Fatal(cause);
        let seq = signed(batch.seq).map_err(fatal)?;
        let token = signed(writing.ownership.token()).map_err(fatal)?;
        let connection = self.connection.get_mut();
        connection.take_warning();
        let inserted = connection.client.execute(
            &writing.insert,
            &[
                &self.book.as_str(),
                &seq,
                &batch.prev.0.as_slice(),
                &batch.hash.0.as_slice(),
                &i64::from(batch.events),
                &batch.body,
                &token,
            ],
        );
        match inserted {
            // PostgreSQL gives up waiting for its standby with a warning, and confirms.
            Ok(1) => match connection.take_warning() {
                None => Ok(()),
                Some(warning) => Err(fatal(Box::new(Resolution::Warned { warning }))),
            },
            Ok(_) => {
                let read = ownership::read(&mut connection.client, &self.book);
                let (lease, _) = read.map_err(Trouble::Unclear)?.unwrap_or_default();
                Err(fatal(writing.ownership.lose(lease).into()))
            }
            Err(error) => {
                let cause = explain(&error);
                // An attempt that we took for lost may have come through meanwhile.
                let twice = error.code() == Some(&SqlState::UNIQUE_VIOLATION);
                match twice || is_unclear(&error) {
                    true => Err(Trouble::Unclear(cause)),
                    false => Err(fatal(cause)),
                }
            }
        }
    }
}

/// Closing lets the book go, so that the next owner need not wait.
impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(writing) = &self.writing {
            writing.ownership.release();
        }
    }
}

/// A batch was not written.
enum Trouble {
    Fatal(Cause),
    /// Or perhaps it was.
    Unclear(Cause),
}

/// How it ended that a batch was not confirmed.
#[derive(Debug, thiserror::Error)]
enum Resolution {
    #[error(
        "another batch {seq} is in the journal: something else writes this book; find it and stop \
         it"
    )]
    Replaced { seq: u64 },
    #[error(
        "the database that answers now lacks batch {before}, which was durable: it was restored \
         from an old backup, or is a standby that was promoted before it had everything; bring \
         back the one that has it"
    )]
    TailLost { before: u64 },
    #[error("the server confirmed the batch with a warning, so it may not be durable: {warning}")]
    Warned { warning: String },
}

type Cause = Box<dyn Error + Send + Sync>;

fn record<'a>(place: &'a str, path: &'a Path) -> Record<'a> {
    Record { place, path }
}

fn store_error(place: &str, doing: impl Into<String>, cause: impl Into<Cause>) -> StoreError {
    StoreError {
        place: place.to_owned(),
        doing: doing.into(),
        cause: cause.into(),
    }
}

/// Reads a number that is never negative. The database has only signed ones.
fn number(row: &Row, column: usize) -> Result<u64, Cause> {
    Ok(row.try_get::<_, i64>(column)?.try_into()?)
}

fn signed(number: u64) -> Result<i64, Cause> {
    Ok(number.try_into()?)
}

fn hash(row: &Row, column: usize) -> Result<Hash, Cause> {
    let bytes = row.try_get::<_, &[u8]>(column)?;
    let hash = bytes.try_into();
    Ok(Hash(hash.map_err(|_| {
        format!("a hash of {} bytes instead of 32", bytes.len())
    })?))
}
