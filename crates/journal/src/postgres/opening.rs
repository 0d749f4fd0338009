//! Opening and creating a book on a server, and why it may not be.

use std::cell::RefCell;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use postgres::Row;
use postgres::error::SqlState;
use postgres::types::ToSql;

use super::ownership::{self, Ownership, Refused};
use super::{
    Cause, Connection, INSERT, PAUSE, Postgres, Server, Writer, Writing, explain, number, record,
    store_error,
};
use crate::head::{Record, TailError};
use crate::lease::{Ask, Lease, Node};
use crate::{BookName, FORMAT, Secret, Store, StoreError};

/// One statement for each table: some databases take no two changes of the schema at once.
const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS tandem_book (
        book TEXT NOT NULL,
        format BIGINT NOT NULL,
        owner TEXT NOT NULL,
        address TEXT NOT NULL,
        token BIGINT NOT NULL,
        expires BIGINT NOT NULL,
        secret BYTEA NOT NULL,
        PRIMARY KEY (book)
    )",
    "CREATE TABLE IF NOT EXISTS tandem_batch (
        book TEXT NOT NULL,
        seq BIGINT NOT NULL,
        prev BYTEA NOT NULL,
        hash BYTEA NOT NULL,
        events BIGINT NOT NULL,
        body BYTEA NOT NULL,
        PRIMARY KEY (book, seq)
    )",
];

/// A journal that is being opened.
pub(super) struct Opening<'a> {
    server: &'a Server,
    book: &'a BookName,
    place: String,
    connection: Connection,
}

impl<'a> Opening<'a> {
    pub(super) fn new(
        server: &'a Server,
        book: &'a BookName,
        connection: Result<Connection, Cause>,
    ) -> Result<Self, OpenError> {
        let connection =
            connection.map_err(|cause| store_error(&server.to_string(), "connect", cause))?;
        let place = format!("{server}, book `{book}`");
        Ok(Self {
            server,
            book,
            place,
            connection,
        })
    }

    /// The format of the book; `None` if it or the tables are not there.
    fn format(&mut self) -> Result<Option<u64>, OpenError> {
        let select = "SELECT format FROM tandem_book WHERE book = $1";
        let row = self
            .connection
            .client
            .query_opt(select, &[&self.book.as_str()]);
        let format = match row {
            Ok(row) => row.map(|row| number(&row, 0)).transpose(),
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Ok(None),
            Err(error) => Err(explain(&error)),
        };
        Ok(format.map_err(|cause| self.error("read its format", cause))?)
    }

    pub(super) fn must_not_exist(&mut self, head_file: &Path) -> Result<(), OpenError> {
        match self.format()? {
            Some(_) => Err(OpenError::Exists {
                place: self.place.clone(),
            }),
            None => Ok(self.record(head_file).must_be_blank()?),
        }
    }

    /// Checks, before anything is changed, that this program may read the book.
    pub(super) fn must_be_journal(&mut self, head_file: &Path) -> Result<(), OpenError> {
        let format = self.format()?;
        let place = self.place.clone();
        match format {
            None => {
                self.record(head_file).must_be_blank()?;
                Err(OpenError::NotFound { place })
            }
            Some(format) if format > u64::from(FORMAT) => {
                Err(OpenError::NewerFormat { place, format })
            }
            Some(format) if format < u64::from(FORMAT) => {
                Err(OpenError::OlderFormat { place, format })
            }
            Some(_) => Ok(()),
        }
    }

    /// Makes the tables, if they are not there, and the book in them.
    pub(super) fn fill(&mut self) -> Result<(), OpenError> {
        let there = "SELECT count(*) FROM tandem_book, tandem_batch WHERE false";
        let client = &mut self.connection.client;
        if client.query(there, &[]).is_err() {
            for table in TABLES {
                // Two that make the tables at the same time are in each other's way once.
                let made = client
                    .execute(table, &[])
                    .or_else(|_| client.execute(table, &[]));
                let made = made.map_err(|error| explain(&error));
                made.map_err(|cause| store_error(&self.place, "make the tables", cause))?;
            }
        }
        let secret = Secret::random();
        let secret = secret.map_err(|cause| store_error(&self.place, "make its secret", cause))?;
        let insert = "INSERT INTO tandem_book VALUES ($1, $2, '', '', 0, 0, $3)
                      ON CONFLICT (book) DO NOTHING";
        let key: [&(dyn ToSql + Sync); 3] = [
            &self.book.as_str(),
            &i64::from(FORMAT),
            &secret.as_bytes().as_slice(),
        ];
        let filled = client
            .execute(insert, &key)
            .map_err(|error| explain(&error));
        match filled.map_err(|cause| self.error("make the book", cause))? {
            0 => Err(OpenError::Exists {
                place: self.place.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Owns the book. What is read after that is all there is: nobody else can write any more.
    pub(super) fn writer(mut self, by: &Writer) -> Result<Postgres, OpenError> {
        let secret = self.secret()?;
        let (asked, lease) = self.acquire(by)?;
        let insert = self.connection.client.prepare(INSERT);
        let insert = insert.map_err(|error| self.error("prepare to write", explain(&error)))?;
        let (server, book) = (self.server.clone(), self.book.clone());
        let ownership = Ownership::begin(server, book, lease.token, asked, by.lease);
        let ownership = ownership.map_err(|cause| self.error("keep the lease", cause))?;
        let mut store = self.store(secret);
        let checked = store.check_tail(&by.head_file).and_then(|()| {
            let head = store.head()?;
            record(&store.place, &by.head_file).open(&store.book, head)
        });
        match checked {
            Ok(head_file) => {
                store.writing = Some(Writing {
                    insert,
                    ownership,
                    head_file,
                    patience: by.patience,
                });
                Ok(store)
            }
            Err(error) => {
                ownership.release();
                Err(error.into())
            }
        }
    }

    fn acquire(&mut self, by: &Writer) -> Result<(Instant, Lease), OpenError> {
        let end = Instant::now() + by.wait;
        let ask = Ask::Acquire(&by.node);
        loop {
            let asked = Instant::now();
            let answer = ownership::ask(&mut self.connection.client, self.book, &ask, by.lease);
            match answer.map_err(|cause| self.error("acquire the lease", cause))? {
                Ok(lease) => return Ok((asked, lease)),
                Err(Refused { lease, left }) if asked >= end => {
                    return Err(OpenError::Owned {
                        place: self.place.clone(),
                        owner: lease.owner,
                        left,
                    });
                }
                Err(Refused { left, .. }) => thread::sleep(left.min(PAUSE)),
            }
        }
    }

    pub(super) fn secret(&mut self) -> Result<Secret, OpenError> {
        let select = "SELECT secret FROM tandem_book WHERE book = $1";
        let row = self
            .connection
            .client
            .query_one(select, &[&self.book.as_str()]);
        let bytes = row.map_err(|error| explain(&error)).and_then(|row| {
            let bytes: &[u8] = row.try_get(0)?;
            Ok(Secret::from_bytes(bytes.try_into()?))
        });
        Ok(bytes.map_err(|cause| self.error("read its secret", cause))?)
    }

    pub(super) fn store(self, secret: Secret) -> Postgres {
        Postgres {
            server: self.server.clone(),
            place: self.place,
            book: self.book.clone(),
            secret,
            connection: RefCell::new(self.connection),
            writing: None,
        }
    }

    fn record<'r>(&'r self, head_file: &'r Path) -> Record<'r> {
        record(&self.place, head_file)
    }

    fn error(&self, doing: &str, cause: Cause) -> StoreError {
        store_error(&self.place, doing, cause)
    }
}

/// Why a journal could not be opened or created.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum OpenError {
    #[error("{place}: there is no such book; check the address, or create a new journal")]
    NotFound { place: String },
    #[error("{place}: this book is there already; choose another name, or open it")]
    Exists { place: String },
    #[error(
        "{place}: the book belongs to {owner} for another {:.1} s, which it renews while it runs; \
         send commands there, or stop it first",
        left.as_secs_f64()
    )]
    Owned {
        place: String,
        owner: Node,
        left: Duration,
    },
    #[error(
        "{place}: this journal was written by a newer Tandem (format {format}; this program reads \
         up to {FORMAT}); use a newer program"
    )]
    NewerFormat { place: String, format: u64 },
    #[error(
        "{place}: this journal has format {format}, which was never released; this program reads \
         format {FORMAT}: make the journal anew from what it was made from"
    )]
    OlderFormat { place: String, format: u64 },
    #[error(transparent)]
    Tail(#[from] TailError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Server {
    /// The books in the database, by name.
    pub fn books(&self) -> Result<Vec<BookName>, OpenError> {
        let error = |doing, cause| store_error(&self.to_string(), doing, cause);
        let connected = self.connect_to_read();
        let mut connection = connected.map_err(|cause| error("connect", cause))?;
        let select = "SELECT book FROM tandem_book ORDER BY book";
        let rows = match connection.client.query(select, &[]) {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => Vec::new(),
            rows => rows.map_err(|cause| error("list the books", explain(&cause)))?,
        };
        let name = |row: &Row| Ok(BookName::new(row.try_get::<_, String>(0)?)?);
        let names: Result<_, Cause> = rows.iter().map(name).collect();
        Ok(names.map_err(|cause| error("list the books", cause))?)
    }

    /// Who owns a book and for how much longer; `None` if nobody does.
    pub fn owner(&self, book: &BookName) -> Result<Option<(Lease, Duration)>, OpenError> {
        let mut opening = Opening::new(self, book, self.connect_to_write())?;
        let read = match opening.format()? {
            None => None,
            Some(_) => ownership::read(&mut opening.connection.client, book)
                .map_err(|cause| opening.error("read the lease", cause))?,
        };
        let Some((lease, now)) = read else {
            let place = opening.place;
            return Err(OpenError::NotFound { place });
        };
        let left = lease.left(now);
        Ok((!left.is_zero()).then_some((lease, left)))
    }
}
