//! Copies of databases that are in use.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::Path;

use rusqlite::Connection;

use super::{OpenError, Sqlite};
use crate::head::beside;
use crate::{Head, Journal, JournalError, Store, StoreError};

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The last batch that it has.
    pub head: Head,
    /// Batches that it had before.
    pub before: u64,
}

/// Why a database could not be copied.
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
    #[error(
        "{to}: the copy has batch {has}, but {from} ends at batch {head}: batches were lost there, or \
         an older copy was restored; keep this copy, and name another folder for the next"
    )]
    Ahead {
        from: String,
        to: String,
        has: u64,
        head: u64,
    },
    #[error("{to}: cannot write the copy: {cause}")]
    Write {
        to: String,
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Copies a journal, also while another program writes it; or adds to a copy what came since, each
/// batch checked. The copy is durable when this returns.
pub fn copy(from: &Path, to: &Path) -> Result<Copied, CopyError> {
    let source = Sqlite::open_read_only(from)?;
    let is_new = !to.exists();
    if is_new {
        copy_database(&source.connection, to)?;
    }
    let mut copy = Sqlite::open(to)?;
    let names = || (from.display().to_string(), to.display().to_string());
    let other = || {
        let (from, to) = names();
        CopyError::Other { from, to }
    };
    if copy.book() != source.book() || copy.secret().as_bytes() != source.secret().as_bytes() {
        return Err(other());
    }
    let mut source = Journal::open(source)?;
    let last = copy.head()?.unwrap_or_else(|| source.genesis());
    // What a first copy has may be newer than what was looked at when the source was opened.
    source.refresh()?;
    match source.check_point(last) {
        Err(JournalError::Foreign { .. }) => return Err(other()),
        Err(JournalError::Ahead { after, head, .. }) => {
            let ((from, to), has) = (names(), after);
            return Err(CopyError::Ahead {
                from,
                to,
                has,
                head,
            });
        }
        checked => checked?,
    }
    source.read(last, |batch| Ok::<_, CopyError>(copy.append(batch)?))?;
    Ok(Copied {
        head: source.head(),
        before: if is_new { 0 } else { last.seq },
    })
}

/// Copies a database whole, also while others use it, in the place of an earlier copy. Until it is
/// whole and durable it has another name; only its owner may read it.
pub fn copy_database(from: &Connection, to: &Path) -> Result<(), CopyError> {
    let write = |cause| CopyError::Write {
        to: to.display().to_string(),
        cause,
    };
    let io = |cause: io::Error| write(cause.into());
    let part = beside(to, "-part");
    gone(&part).map_err(io)?;
    let name = part.to_string_lossy();
    let copied = from.execute("VACUUM INTO ?1", [&name]);
    copied.map_err(|cause| write(cause.into()))?;
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&part, mode).map_err(io)?;
    }
    File::open(&part)
        .and_then(|file| file.sync_all())
        .map_err(io)?;
    // A log of what was here before would be taken for the copy's own.
    for log in ["-wal", "-shm"] {
        gone(&beside(to, log)).map_err(io)?;
    }
    fs::rename(&part, to).map_err(io)
}

/// Deletes a file, if it is there.
fn gone(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
