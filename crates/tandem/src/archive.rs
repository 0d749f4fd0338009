//! `tandem archive`: loans that are over move from the book's memory into Parquet files.

#[cfg(feature = "parquet")]
mod write;

use std::path::PathBuf;

#[cfg(feature = "parquet")]
pub(crate) use self::write::archive;
use crate::data::BookOption;

/// Folder of a book's archives, unless --out names another.
pub(crate) const ARCHIVES: &str = "archive";

/// How the name of an archive ends until it is whole.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// Options of `tandem archive`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folder for archives [default: `archive` beside the journal]
    #[arg(long)]
    out: Option<PathBuf>,
    #[command(flatten)]
    book: BookOption,
}

/// Stands for the archive where the program was built without Parquet.
#[cfg(not(feature = "parquet"))]
pub(crate) fn archive(Options { out: _, book: _ }: &Options) -> crate::fail::Outcome {
    Err(crate::export::without_parquet())
}
