//! Books on a PostgreSQL server.

use std::path::Path;
use std::time::Duration;
use std::{fmt, fs, process};

use tandem_journal::lease::{self, Node};
use tandem_journal::postgres::{OpenError, Ownership, Server, Writer};
use tandem_journal::{BookName, Postgres};

use tandem_web::desk::{Lease, NotOwned};

use super::{AnyStore, Place, folder};
use crate::fail::{Failure, Outcome};

/// Name of the file in a book's folder that remembers the last batch apart from the server.
const HEAD_FILE: &str = "server-head";

/// A book on a server, and how to write it.
pub(crate) struct Book {
    server: Server,
    name: BookName,
    writer: Writer,
}

/// A book by its name, or the only one there is.
pub(super) fn place(
    address: &str,
    book: Option<BookName>,
    data: Option<&Path>,
    node: Option<&str>,
) -> Outcome<Place> {
    let server: Server = address.parse()?;
    let name = book.map_or_else(|| only_book(&server), Ok)?;
    let node = Node {
        name: node.map_or_else(process_name, str::to_owned),
        address: String::new(),
    };
    let writer = Writer {
        // A new process waits until the lease of one that died is over.
        wait: lease::DURATION + Duration::from_secs(2),
        ..Writer::new(node, folder(data, &name).join(HEAD_FILE))
    };
    Ok(Place::Server(Box::new(Book {
        server,
        name,
        writer,
    })))
}

fn only_book(server: &Server) -> Outcome<BookName> {
    let books = server.books()?;
    match books.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(Failure(format!("{server}: there is no book here"))),
        several => {
            let names: Vec<_> = several.iter().map(BookName::as_str).collect();
            Err(Failure(format!(
                "{server}: there are several books; name one with --book: {}",
                names.join(", ")
            )))
        }
    }
}

impl Book {
    /// The file on this node beside which the book's other files lie.
    pub(super) fn head_file(&self) -> &Path {
        &self.writer.head_file
    }

    pub(super) fn open(&self) -> Outcome<AnyStore> {
        let store = Postgres::open(&self.server, &self.name, &self.writer)?;
        Ok(Box::new(store))
    }

    pub(super) fn open_or_create(&self) -> Outcome<AnyStore> {
        let store = match Postgres::open(&self.server, &self.name, &self.writer) {
            Err(OpenError::NotFound { .. }) => {
                Postgres::create(&self.server, &self.name, &self.writer)
            }
            opened => opened,
        };
        Ok(Box::new(store?))
    }

    /// Does not wait for other nodes, and tells that this one is reached at `base`.
    pub(super) fn served(mut self, base: &str) -> Book {
        base.clone_into(&mut self.writer.node.address);
        self.writer.wait = Duration::ZERO;
        self
    }

    /// Opens the journal for writing, or says who owns it.
    pub(super) fn own(&self) -> Result<(AnyStore, Option<Box<dyn Lease>>), NotOwned> {
        let opened = match Postgres::open(&self.server, &self.name, &self.writer) {
            Err(OpenError::NotFound { .. }) => {
                Postgres::create(&self.server, &self.name, &self.writer)
            }
            opened => opened,
        };
        let store = match opened {
            Ok(store) => store,
            Err(OpenError::Owned { owner, .. }) => return Err(NotOwned::By(owner)),
            Err(error) => return Err(NotOwned::Failed(error.to_string())),
        };
        let lease = store
            .ownership()
            .map(|held| Box::new(Held(held)) as Box<dyn Lease>);
        Ok((Box::new(store), lease))
    }

    pub(super) fn open_read_only(&self) -> Outcome<AnyStore> {
        let head_file = &self.writer.head_file;
        let store = Postgres::open_read_only(&self.server, &self.name, head_file)?;
        Ok(Box::new(store))
    }
}

struct Held(Ownership);

impl Lease for Held {
    fn lost(&self) -> Option<Node> {
        Some(self.0.lost()?.lease.owner)
    }

    fn hand_over(&self, to: &Node) -> Result<(), String> {
        let given = self.0.hand_over(to);
        given.map(drop).map_err(|cause| cause.to_string())
    }
}

impl fmt::Display for Book {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, book `{}`", self.server, self.name)
    }
}

/// The machine and the process, so that an operator finds it.
fn process_name() -> String {
    let machine = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}/{}", machine.trim(), process::id())
}
