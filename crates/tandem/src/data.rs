//! Where the journals lie.

#[cfg(feature = "postgres")]
mod server;

use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions};
use std::path::{Path, PathBuf};

use tandem_domain::book::Book;
use tandem_engine::{Engine, Step, replay};
use tandem_journal::{BookName, Journal, Sqlite};
use tandem_web::desk::{NotOwned, Owned};

use crate::fail::{Failure, Outcome};

/// Folder for journals if `--data` is not given; each book has a folder below it.
pub(crate) const DEFAULT: &str = "data";

/// The one of a demo, whose books are nobody else's.
pub(crate) const DEMO: &str = "demo";

/// Name of the journal's database in a book's folder.
pub(crate) const DATABASE: &str = "book.db";

/// Name of the folder for snapshots in a book's folder.
const SNAPSHOTS: &str = "snapshots";

/// Makes a folder that is not there, and those above it, for nobody but their owner: what lies in
/// it tells of borrowers, people and their passwords.
pub(crate) fn make_private(folder: &Path) -> Outcome {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    let made = builder.recursive(true).create(folder);
    made.map_err(|error| Failure::io(folder, &error))
}

/// How a file is written that nobody but its owner may read, if it is made.
pub(crate) fn private_file() -> OpenOptions {
    let mut options = File::options();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// The store is chosen when the program runs.
pub(crate) use tandem_web::desk::AnyStore;

/// Which book a command is about.
#[derive(clap::Args, Default)]
pub(crate) struct BookOption {
    /// Folder with the book's journal [default: the only book below ./data]
    #[arg(long)]
    data: Option<PathBuf>,
    /// PostgreSQL server that has the journal, as for `tandem run`
    #[arg(long, value_name = "ADDRESS")]
    store: Option<String>,
    /// Name of the book on that server [default: the only one]
    #[arg(long, requires = "store")]
    book: Option<String>,
}

impl BookOption {
    /// The book's journal.
    pub(crate) fn place(&self) -> Outcome<Place> {
        let Some(address) = &self.store else {
            return Ok(Place::File(self.database()?));
        };
        let book = self.book.clone().map(BookName::new).transpose()?;
        server::place(address, book, self.data.as_deref(), None)
    }

    /// The book's database.
    fn database(&self) -> Outcome<PathBuf> {
        if let Some(folder) = &self.data {
            return Ok(folder.join(DATABASE));
        }
        let mut found: Vec<PathBuf> = std::fs::read_dir(DEFAULT)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .filter(|folder| folder.join(DATABASE).is_file())
            .collect();
        found.sort();
        match found.as_slice() {
            [only] => Ok(only.join(DATABASE)),
            [] => Err(Failure(format!(
                "there is no book below ./{DEFAULT}; name its folder with --data"
            ))),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|folder| folder.display().to_string())
                    .collect();
                Err(Failure(format!(
                    "there are several books; name one with --data: {}",
                    names.join(", ")
                )))
            }
        }
    }
}

/// Where a journal is.
pub(crate) enum Place {
    /// A database in a file.
    File(PathBuf),
    /// A book on a server.
    #[cfg(feature = "postgres")]
    Server(Box<server::Book>),
}

impl Place {
    /// The place of a book that `tandem run` is told, or the one it has by default; on a server
    /// it is owned under the name `node`.
    pub(crate) fn of(
        book: &BookName,
        data: Option<&Path>,
        store: Option<&str>,
        node: Option<&str>,
    ) -> Outcome<Self> {
        let folder = folder(data, book);
        make_private(&folder)?;
        match store {
            None => Ok(Place::File(folder.join(DATABASE))),
            Some(address) => server::place(address, Some(book.clone()), data, node),
        }
    }

    /// The place of a book's journal by its folder, or on a server by its name.
    pub(crate) fn named(book: &str, store: Option<&str>) -> Outcome<Self> {
        match store {
            None => Ok(Place::File(Path::new(book).join(DATABASE))),
            Some(address) => server::place(address, Some(BookName::new(book)?), None, None),
        }
    }

    /// Opens the journal for writing.
    pub(crate) fn open(&self) -> Outcome<AnyStore> {
        match self {
            Place::File(database) => Ok(Box::new(Sqlite::open(database)?)),
            #[cfg(feature = "postgres")]
            Place::Server(book) => book.open(),
        }
    }

    /// Opens the journal of a book for writing, and makes it if it is not there.
    pub(crate) fn open_or_create(&self, name: &BookName) -> Outcome<AnyStore> {
        match self {
            Place::File(database) => Ok(Box::new(Sqlite::open_or_create(database, name)?)),
            #[cfg(feature = "postgres")]
            Place::Server(book) => book.open_or_create(),
        }
    }

    /// The place as a service uses it: it does not wait for other nodes, and tells callers that
    /// this one is reached at `base`.
    pub(crate) fn served(self, base: &str) -> Place {
        match self {
            #[cfg(feature = "postgres")]
            Place::Server(book) => Place::Server(Box::new(book.served(base))),
            place => {
                let _ = base;
                place
            }
        }
    }

    /// Opens the journal of a book for writing, and makes it if it is not there; says who else
    /// may write it.
    pub(crate) fn own(&self, name: &BookName) -> Result<Owned, NotOwned> {
        let failed = |failure: Failure| NotOwned::Failed(failure.0);
        let (store, lease) = match self {
            Place::File(_) => (self.open_or_create(name).map_err(failed)?, None),
            #[cfg(feature = "postgres")]
            Place::Server(book) => book.own()?,
        };
        if store.book() != name {
            return Err(NotOwned::Failed(format!(
                "{self} holds the book `{}`, not `{name}`; name another folder with --data",
                store.book()
            )));
        }
        let journal = Journal::open(store).map_err(|error| failed(error.into()))?;
        Ok(Owned { journal, lease })
    }

    /// Opens the journal for reading.
    pub(crate) fn open_read_only(&self) -> Outcome<Journal<AnyStore>> {
        let store = match self {
            Place::File(database) => Box::new(Sqlite::open_read_only(database)?) as AnyStore,
            #[cfg(feature = "postgres")]
            Place::Server(book) => book.open_read_only()?,
        };
        Ok(Journal::open(store)?)
    }

    /// Opens the book in a store, from its newest snapshot if it has one.
    pub(crate) fn engine(&self, journal: Journal<AnyStore>) -> Outcome<Engine<AnyStore>> {
        let (engine, unusable) = Engine::open_from(journal, &self.snapshots())?;
        for error in unusable {
            eprintln!("note: {error}; what it was to spare is read from the journal");
        }
        Ok(engine)
    }

    /// Folder of the book's files on this machine.
    pub(crate) fn folder(&self) -> &Path {
        let folder = match self {
            Place::File(database) => database.parent(),
            #[cfg(feature = "postgres")]
            Place::Server(book) => book.head_file().parent(),
        };
        folder.unwrap_or(Path::new(""))
    }

    /// Folder for snapshots of the book.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.folder().join(SNAPSHOTS)
    }

    /// Reads the whole journal; `observe` sees every event.
    pub(crate) fn read(&self, observe: &mut impl FnMut(Step<'_>)) -> Outcome<Book> {
        Ok(replay(&mut self.open_read_only()?, observe)?)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(database) => write!(f, "{}", database.display()),
            #[cfg(feature = "postgres")]
            Place::Server(book) => book.fmt(f),
        }
    }
}

/// A book's folder.
fn folder(data: Option<&Path>, book: &BookName) -> PathBuf {
    data.map_or_else(|| Path::new(DEFAULT).join(book.as_str()), Path::to_path_buf)
}

/// Stands for servers where the program was built without.
#[cfg(not(feature = "postgres"))]
mod server {
    use super::{BookName, Outcome, Path, Place};

    pub(super) fn place(
        _: &str,
        _: Option<BookName>,
        _: Option<&Path>,
        _: Option<&str>,
    ) -> Outcome<Place> {
        Err(super::without_server())
    }
}

/// That there is nothing to reach servers with.
#[cfg(not(feature = "postgres"))]
pub(crate) fn without_server() -> Failure {
    Failure(
        "this program was built without PostgreSQL: build it with `cargo build --release \
         --features postgres`, or leave --store out"
            .to_owned(),
    )
}
