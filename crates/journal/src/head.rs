//! The head file: the last batch, remembered apart from the journal.
//!
//! A database that lost its tail looks exactly like one that never had it. This file tells them
//! apart. It is written after the batch is durable and never flushed: lagging behind the journal
//! is harmless, being ahead of it means that batches were lost.
//!
//! It lies beside an embedded database. With a database on a server it lies on the node, and so
//! notices a server that was restored from an old backup.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{BookName, FORMAT, Hash, Head, StoreError};

const SLOT: usize = 64;

/// What the head file of a journal remembers.
pub(crate) struct Record<'a> {
    /// The journal, as messages name it.
    pub(crate) place: &'a str,
    pub(crate) path: &'a Path,
}

impl Record<'_> {
    /// Checks, where there is no journal, that there never was one.
    pub(crate) fn must_be_blank(&self) -> Result<(), TailError> {
        match self.remembered()? {
            Some(remembered) => Err(self.lost(0, remembered.seq)),
            None => Ok(()),
        }
    }

    /// Checks that the journal has lost nothing. Where it ends is asked after the file is read: it
    /// may be written meanwhile.
    pub(crate) fn check(
        &self,
        last: impl FnOnce() -> Result<u64, StoreError>,
        hash_of: impl FnOnce(u64) -> Result<Option<Hash>, StoreError>,
    ) -> Result<(), TailError> {
        let Some(Head { seq, hash }) = self.remembered()? else {
            return Ok(());
        };
        let last = last()?;
        if seq > last {
            return Err(self.lost(last, seq));
        }
        if hash_of(seq)? != Some(hash) {
            return Err(TailError::Changed {
                place: self.place.to_owned(),
                head_file: self.path.to_owned(),
                seq,
            });
        }
        Ok(())
    }

    /// Opens the file for writing, and notes where the journal ends.
    #[cfg(feature = "postgres")]
    pub(crate) fn open(&self, book: &BookName, head: Option<Head>) -> Result<HeadFile, TailError> {
        let mut file = HeadFile::open(self.path).map_err(|cause| self.error(cause))?;
        self.note(&mut file, book, head)?;
        Ok(file)
    }

    /// Opens the file for writing and keeps others from doing so until it is dropped, or the process
    /// dies; `None` if another has it.
    pub(crate) fn lock(&self) -> Result<Option<HeadFile>, TailError> {
        let file = HeadFile::open(self.path).map_err(|cause| self.error(cause))?;
        match file.file.try_lock() {
            Ok(()) => {
                file.must_be_in_place().map_err(|cause| self.error(cause))?;
                Ok(Some(file))
            }
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(self.error(cause).into()),
        }
    }

    /// Notes where the journal ends.
    pub(crate) fn note(
        &self,
        file: &mut HeadFile,
        book: &BookName,
        head: Option<Head>,
    ) -> Result<(), TailError> {
        let noted = file.write(head.unwrap_or_else(|| Head::genesis(book)));
        Ok(noted.map_err(|cause| self.error(cause))?)
    }

    /// The last batch by the file, if it remembers one.
    fn remembered(&self) -> Result<Option<Head>, TailError> {
        let head = read(self.path).map_err(|cause| self.error(cause))?;
        Ok(head.filter(|head| head.seq > 0))
    }

    fn lost(&self, last: u64, remembered: u64) -> TailError {
        TailError::Lost {
            place: self.place.to_owned(),
            head_file: self.path.to_owned(),
            last,
            remembered,
        }
    }

    fn error(&self, cause: io::Error) -> StoreError {
        StoreError {
            place: self.path.display().to_string(),
            doing: "use the head file".to_owned(),
            cause: cause.into(),
        }
    }
}

/// Why a journal is not the one that the head file remembers.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum TailError {
    #[error(
        "{place}: the journal ends at batch {last}, but {} remembers batch {remembered}: the \
         batches after {last} are lost; restore the journal from a backup that has them, or delete \
         the head file to go on without them",
        head_file.display()
    )]
    Lost {
        place: String,
        head_file: PathBuf,
        last: u64,
        remembered: u64,
    },
    #[error(
        "{place}: batch {seq} is not the one that {} remembers: the journal was changed or swapped \
         for another; restore it from a backup, or delete the head file if the journal is right",
        head_file.display()
    )]
    Changed {
        place: String,
        head_file: PathBuf,
        seq: u64,
    },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Two slots, written in turn, so that a torn write leaves the other one.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
    path: PathBuf,
}

impl HeadFile {
    /// Opens the file for writing and creates it when it is not there.
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let path = path.to_owned();
        Ok(Self { file, path })
    }

    /// Checks that the file is still the one that another writer would lock.
    pub(crate) fn must_be_in_place(&self) -> io::Result<()> {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            let one = |file: fs::Metadata| (file.dev(), file.ino());
            let there = fs::metadata(&self.path).ok().map(one);
            if there != Some(one(self.file.metadata()?)) {
                return Err(io::Error::other(format!(
                    "{} was deleted or replaced while the journal is open",
                    self.path.display()
                )));
            }
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, head: Head) -> io::Result<()> {
        self.file
            .seek(SeekFrom::Start(head.seq % 2 * SLOT as u64))?;
        self.file.write_all(&slot(head))
    }
}

/// The path of a file beside a database, such as its head file (`-head`).
pub(crate) fn beside(database: &Path, end: &str) -> PathBuf {
    let mut path = OsString::from(database);
    path.push(end);
    path.into()
}

/// The latest head in the file; `None` without a file or an intact slot.
fn read(path: &Path) -> io::Result<Option<Head>> {
    let bytes = match fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    Ok(bytes
        .chunks_exact(SLOT)
        .take(2)
        .filter_map(parse)
        .max_by_key(|head| head.seq))
}

fn slot(head: Head) -> [u8; SLOT] {
    let mut slot = [0; SLOT];
    slot[..8].copy_from_slice(&head.seq.to_le_bytes());
    slot[8..40].copy_from_slice(&head.hash.0);
    let check = blake3::Hasher::new()
        .update(b"TANDHD")
        .update(&FORMAT.to_le_bytes())
        .update(&slot[..40])
        .finalize();
    slot[40..].copy_from_slice(&check.as_bytes()[..24]);
    slot
}

fn parse(bytes: &[u8]) -> Option<Head> {
    let (seq, rest) = bytes.split_first_chunk()?;
    let hash = rest.first_chunk()?;
    let head = Head {
        seq: u64::from_le_bytes(*seq),
        hash: Hash(*hash),
    };
    (slot(head) == bytes).then_some(head)
}
