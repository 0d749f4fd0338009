//! The stores that a process can be killed on, and where one is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use tandem_domain::book::Book;
use tandem_engine::replay;
use tandem_journal::{BookName, Journal, Sqlite, Store};

use super::{Drive, Failure};

/// A store, by its name.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(super) enum StoreName {
    /// SQLite, in a file.
    Sqlite,
    /// A PostgreSQL server, which is started for the rounds.
    #[cfg(feature = "postgres")]
    Postgres,
}

impl StoreName {
    pub(super) fn name(self) -> &'static str {
        match self {
            StoreName::Sqlite => "sqlite",
            #[cfg(feature = "postgres")]
            StoreName::Postgres => "postgres",
        }
    }

    /// What gives the address of the next book, if it is not in a file. Where a server is needed,
    /// it is started now and runs as long as what gives the addresses is there.
    pub(super) fn addresses(self) -> Result<Box<dyn Fn() -> Option<String>>, Failure> {
        match self {
            StoreName::Sqlite => Ok(Box::new(|| None)),
            #[cfg(feature = "postgres")]
            StoreName::Postgres => {
                let server = tandem_pgtest::Server::start();
                let server = server.ok_or("there is no PostgreSQL server to write to")?;
                Ok(Box::new(move || {
                    Some(tandem_pgtest::address(&[&server], &server.schema()))
                }))
            }
        }
    }
}

/// Where the book is.
#[derive(clap::Args)]
pub(super) struct Place {
    #[arg(long)]
    store: StoreName,
    /// Folder of the node's own files.
    #[arg(long)]
    folder: PathBuf,
    /// Address of the server, if there is one.
    #[arg(long)]
    address: Option<String>,
}

impl Place {
    pub(super) fn new(store: StoreName, folder: &Path, address: Option<String>) -> Self {
        Self {
            store,
            folder: folder.to_owned(),
            address,
        }
    }

    /// The arguments that name this place.
    pub(super) fn arguments(&self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["--store".into(), self.store.name().into()];
        arguments.extend(["--folder".into(), self.folder.clone().into()]);
        if let Some(address) = &self.address {
            arguments.extend(["--address".into(), address.into()]);
        }
        arguments
    }

    pub(super) fn drive(&self, drive: &Drive) -> Result<(), Failure> {
        match self.store {
            StoreName::Sqlite => drive.run(self.sqlite()?),
            #[cfg(feature = "postgres")]
            StoreName::Postgres => drive.run(self.postgres()?),
        }
    }

    pub(super) fn read_back(&self) -> Result<Book, Failure> {
        match self.store {
            StoreName::Sqlite => read_back(self.sqlite()?),
            #[cfg(feature = "postgres")]
            StoreName::Postgres => read_back(self.postgres()?),
        }
    }

    fn sqlite(&self) -> Result<Sqlite, Failure> {
        Ok(Sqlite::open_or_create(
            self.folder.join("journal.db"),
            &book()?,
        )?)
    }

    /// Every process has the same name, so that it need not wait for the lease of the one before.
    #[cfg(feature = "postgres")]
    fn postgres(&self) -> Result<tandem_journal::Postgres, Failure> {
        use tandem_journal::Postgres;
        use tandem_journal::lease::Node;
        use tandem_journal::postgres::{OpenError, Writer};

        let address = self.address.as_deref().ok_or("--address is missing")?;
        let (server, book) = (address.parse()?, book()?);
        let node = Node {
            name: "killed".to_owned(),
            ..Node::default()
        };
        let writer = Writer::new(node, self.folder.join("head"));
        // The server may still be carrying out what a killed process asked for, so a book that was
        // not there a moment ago can be.
        let store = match Postgres::create(&server, &book, &writer) {
            Err(OpenError::Exists { .. }) => Postgres::open(&server, &book, &writer),
            created => created,
        };
        Ok(store?)
    }
}

fn book() -> Result<BookName, Failure> {
    Ok(BookName::new("killed")?)
}

fn read_back<S: Store>(store: S) -> Result<Book, Failure> {
    Ok(replay(&mut Journal::open(store)?, &mut |_| {})?)
}
