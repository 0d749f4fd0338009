//! Where the journals lie.

use std::path::{Path, PathBuf};

use tandem_domain::book::Book;
use tandem_engine::{Step, replay};
use tandem_journal::{Journal, Sqlite};

use crate::fail::{Failure, Outcome};

/// Folder for journals if `--data` is not given; each book has a folder below it.
pub(crate) const DEFAULT: &str = "data";

/// Name of the journal's database in a book's folder.
pub(crate) const DATABASE: &str = "book.db";

/// Which book a command is about.
#[derive(clap::Args)]
pub(crate) struct BookOption {
    /// Folder with the book's journal [default: the only book below ./data]
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,
}

impl BookOption {
    /// The book's database.
    pub(crate) fn database(&self) -> Outcome<PathBuf> {
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

/// Opens a journal for reading.
pub(crate) fn open(database: &Path) -> Outcome<Journal<Sqlite>> {
    Ok(Journal::open(Sqlite::open_read_only(database)?)?)
}

/// Reads a whole journal; `observe` sees every event.
pub(crate) fn read(database: &Path, observe: &mut impl FnMut(Step<'_>)) -> Outcome<Book> {
    Ok(replay(&mut open(database)?, observe)?)
}
