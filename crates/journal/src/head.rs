//! The head file: the last batch, remembered apart from the journal.
//!
//! A database that lost its tail looks exactly like one that never had it. This file tells them
//! apart. It is written after the batch is durable and never flushed: lagging behind the journal
//! is harmless, being ahead of it means that batches were lost.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::{FORMAT, Hash, Head};

const SLOT: usize = 64;

/// Two slots, written in turn, so that a torn write leaves the other one.
#[derive(Debug)]
pub(crate) struct HeadFile {
    file: File,
}

impl HeadFile {
    /// Opens the file for writing and creates it when it is not there.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        Ok(Self { file })
    }

    pub(crate) fn write(&mut self, head: Head) -> io::Result<()> {
        self.file
            .seek(SeekFrom::Start(head.seq % 2 * SLOT as u64))?;
        self.file.write_all(&slot(head))
    }
}

/// The path of the head file of the database at `database`.
pub(crate) fn path(database: &Path) -> PathBuf {
    let mut path = OsString::from(database);
    path.push("-head");
    path.into()
}

/// The latest head in the file; `None` without a file or an intact slot.
pub(crate) fn read(path: &Path) -> io::Result<Option<Head>> {
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
