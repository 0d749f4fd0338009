//! Copies of a journal that is in use.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{OpenError, Sqlite};
use crate::{Head, Journal, JournalError, Store, StoreError};

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last batch that it has.
    pub head: Head,
    /// Batches that it had before.
    pub before: u64,
}

/// Why a journal could not be copied.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum CopyError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{to}: this is no copy of {from}; name another folder for the copy")]
    Other { from: String, to: String },
    #[error("{to}: cannot write the copy: {cause}")]
    Write { to: String, cause: io::Error },
}

/// Copies a journal, also while another program writes it; or adds to a copy what came since, each
/// batch checked. The copy is durable when this returns.
pub fn copy(from: &Path, to: &Path) -> Result<Copied, CopyError> {
    let source = Sqlite::open_read_only(from)?;
    if !to.exists() {
        whole(&source, to)?;
    }
    let mut copy = Sqlite::open(to)?;
    let other = || CopyError::Other {
        from: from.display().to_string(),
        to: to.display().to_string(),
    };
    if copy.book() != source.book() || copy.secret().as_bytes() != source.secret().as_bytes() {
        return Err(other());
    }
    let mut source = Journal::open(source)?;
    let last = copy.head()?.unwrap_or_else(|| source.genesis());
    match source.check_point(last) {
        Err(JournalError::Foreign { .. } | JournalError::Ahead { .. }) => return Err(other()),
        checked => checked?,
    }
    source.read(last, |batch| Ok::<_, CopyError>(copy.append(batch)?))?;
    Ok(Copied {
        head: source.head(),
        before: last.seq,
    })
}

/// Makes the copy at once, under another name until it is whole.
fn whole(source: &Sqlite, to: &Path) -> Result<(), CopyError> {
    let write = |cause| CopyError::Write {
        to: to.display().to_string(),
        cause,
    };
    let mut part = OsString::from(to);
    part.push("-part");
    let part = Path::new(&part);
    match fs::remove_file(part) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(error)),
        _ => {}
    }
    let name = part.to_string_lossy();
    let copied = source.connection.execute("VACUUM INTO ?1", [&name]);
    copied.map_err(|cause| source.error("be copied", cause))?;
    File::open(part)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::rename(part, to))
        .map_err(write)
}
