//! Snapshot files: opaque pieces that belong to a point in a journal, so that a start need not
//! read the journal from its beginning.
//!
//! A snapshot is never the truth, only a short cut to it: it can be deleted at any time. Every
//! piece carries a check that also covers all pieces before it, and a last, empty one ends the
//! file, so a file that is damaged or not whole is told from one that is.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::{BookName, Hash, Head};

/// The format of the files.
const FORMAT: u16 = 1;
const MAGIC: &[u8; 6] = b"TANDSN";
/// How many snapshots of a book are kept.
const KEPT: usize = 2;
/// Most bytes of a piece.
const MAX_PIECE: u32 = 1 << 30;

/// Writes a snapshot.
#[derive(Debug)]
pub struct SnapshotWriter {
    folder: PathBuf,
    head: Head,
    file: BufWriter<File>,
    check: [u8; 32],
}

impl SnapshotWriter {
    /// Begins a snapshot of what a book was after `head`, in a folder that is made if it is not
    /// there.
    pub fn create(folder: &Path, book: &BookName, head: Head) -> Result<Self, SnapshotError> {
        let failed = |cause| SnapshotError::new(folder, cause);
        fs::create_dir_all(folder).map_err(failed)?;
        let header = header(book, head);
        let file = File::create(unfinished(folder, head.seq)).map_err(failed)?;
        let mut file = BufWriter::with_capacity(1 << 20, file);
        file.write_all(&header).map_err(failed)?;
        Ok(Self {
            folder: folder.to_owned(),
            head,
            file,
            check: *blake3::hash(&header).as_bytes(),
        })
    }

    /// Adds a piece.
    pub fn piece(&mut self, piece: &[u8]) -> Result<(), SnapshotError> {
        self.write(piece)
            .map_err(|cause| SnapshotError::new(&self.folder, cause))
    }

    fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        let len = length(piece.len())?;
        self.check = check(&self.check, piece);
        self.file.write_all(&len.to_le_bytes())?;
        self.file.write_all(&self.check)?;
        self.file.write_all(piece)
    }

    /// Makes the snapshot durable under its own name and deletes old ones.
    pub fn finish(mut self) -> Result<PathBuf, SnapshotError> {
        let path = self.folder.join(self.head.seq.to_string());
        let finished = self.end(&path);
        finished.map_err(|cause| SnapshotError::new(&self.folder, cause))?;
        Ok(path)
    }

    fn end(&mut self, path: &Path) -> io::Result<()> {
        self.write(&[])?;
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        fs::rename(unfinished(&self.folder, self.head.seq), path)?;
        // The name itself is durable only once the folder is.
        File::open(&self.folder)?.sync_all()?;
        let finished = self.head.seq;
        let left = numbered(&self.folder, UNFINISHED)?;
        let left = left.into_iter().filter(|(_, seq)| *seq < finished);
        for (old, _) in list(&self.folder)?.into_iter().skip(KEPT).chain(left) {
            fs::remove_file(old)?;
        }
        Ok(())
    }
}

/// Ending of the name of a snapshot that is being written, or that a process which died has left.
const UNFINISHED: &str = ".unfinished";

fn unfinished(folder: &Path, seq: u64) -> PathBuf {
    folder.join(format!("{seq}{UNFINISHED}"))
}

/// The snapshots in a folder, newest first, with the batch that each was taken after.
pub fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    numbered(folder, "")
}

/// Files named after a batch, with an ending, the latest first.
fn numbered(folder: &Path, ending: &str) -> io::Result<Vec<(PathBuf, u64)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let seq = name.and_then(|name| name.strip_suffix(ending)?.parse().ok());
        if let Some(seq) = seq {
            found.push((path, seq));
        }
    }
    found.sort_by_key(|(_, seq)| std::cmp::Reverse(*seq));
    Ok(found)
}

/// Reads a snapshot.
#[derive(Debug)]
pub struct SnapshotReader {
    path: PathBuf,
    file: BufReader<File>,
    head: Head,
    check: [u8; 32],
}

impl SnapshotReader {
    /// Opens a snapshot of a book.
    pub fn open(path: &Path, book: &BookName) -> Result<Self, SnapshotError> {
        let failed = |cause: io::Error| SnapshotError::new(path, cause);
        let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(failed)?);
        let mut found = [0; HEADER];
        file.read_exact(&mut found).map_err(failed)?;
        let seq = u64::from_le_bytes(
            found[8..16]
                .try_into()
                .map_err(io::Error::other)
                .map_err(failed)?,
        );
        let hash = Hash(
            found[16..48]
                .try_into()
                .map_err(io::Error::other)
                .map_err(failed)?,
        );
        let head = Head { seq, hash };
        if found != header(book, head) {
            let cause = "it is of another book or another version of the program";
            return Err(failed(io::Error::other(cause)));
        }
        Ok(Self {
            path: path.to_owned(),
            file,
            head,
            check: *blake3::hash(&found).as_bytes(),
        })
    }

    /// The batch that it was taken after.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Reads the next piece into `piece`; false if there is none left.
    pub fn piece(&mut self, piece: &mut Vec<u8>) -> Result<bool, SnapshotError> {
        self.read(piece)
            .map_err(|cause| SnapshotError::new(&self.path, cause))
    }

    fn read(&mut self, piece: &mut Vec<u8>) -> io::Result<bool> {
        let (mut len, mut found) = ([0; 4], [0; 32]);
        self.file.read_exact(&mut len)?;
        self.file.read_exact(&mut found)?;
        let len = u32::from_le_bytes(len);
        if len > MAX_PIECE {
            return Err(damaged());
        }
        piece.clear();
        let read = (&mut self.file).take(len.into()).read_to_end(piece)?;
        self.check = check(&self.check, piece);
        if read != len as usize || found != self.check {
            return Err(damaged());
        }
        Ok(len > 0)
    }
}

/// Refuses to write what could not be read.
fn length(bytes: usize) -> io::Result<u32> {
    let len = u32::try_from(bytes).ok().filter(|len| *len <= MAX_PIECE);
    len.ok_or_else(|| {
        io::Error::other(format!(
            "a piece has {bytes} bytes, and at most {MAX_PIECE} can be read back; go on without it, \
             from the journal"
        ))
    })
}

fn damaged() -> io::Error {
    io::Error::other("it is damaged")
}

const HEADER: usize = 112;

fn header(book: &BookName, head: Head) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..6].copy_from_slice(MAGIC);
    header[6..8].copy_from_slice(&FORMAT.to_le_bytes());
    header[8..16].copy_from_slice(&head.seq.to_le_bytes());
    header[16..48].copy_from_slice(&head.hash.0);
    let name = book.as_str().as_bytes();
    header[48..48 + name.len()].copy_from_slice(name);
    header
}

/// The check of a piece, over the check before it and the piece.
fn check(before: &[u8; 32], piece: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_keyed(before);
    hasher.update(piece);
    *hasher.finalize().as_bytes()
}

/// A snapshot could not be written or read.
#[derive(Debug, thiserror::Error)]
#[error("snapshot {}: {cause}", path.display())]
pub struct SnapshotError {
    /// The file, or the folder that it was to lie in.
    pub path: PathBuf,
    /// Why.
    pub cause: io::Error,
}

impl SnapshotError {
    fn new(path: &Path, mut cause: io::Error) -> Self {
        if cause.kind() == io::ErrorKind::UnexpectedEof {
            cause = io::Error::other("it is not whole");
        }
        Self {
            path: path.to_owned(),
            cause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_could_not_be_read_is_not_written() {
        assert_eq!(length(1 << 30).unwrap(), 1 << 30);
        assert_eq!(
            length((1 << 30) + 1).unwrap_err().to_string(),
            "a piece has 1073741825 bytes, and at most 1073741824 can be read back; go on without it, \
             from the journal"
        );
    }

    fn written(folder: &Path, book: &BookName, seq: u64) -> PathBuf {
        let hash = Hash([seq as u8; 32]);
        let mut writer = SnapshotWriter::create(folder, book, Head { seq, hash }).unwrap();
        writer.piece(b"one").unwrap();
        writer.piece(&[7; 5_000]).unwrap();
        writer.finish().unwrap()
    }

    fn read(path: &Path, book: &BookName) -> Result<Vec<Vec<u8>>, SnapshotError> {
        let mut reader = SnapshotReader::open(path, book)?;
        let (mut pieces, mut piece) = (Vec::new(), Vec::new());
        while reader.piece(&mut piece)? {
            pieces.push(piece.clone());
        }
        Ok(pieces)
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written_and_the_newest_two_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let book = BookName::new("demo").unwrap();
        // What a process that died has left goes with the next one.
        fs::write(unfinished(folder.path(), 8), "begun").unwrap();
        let paths = [9, 10, 11].map(|seq| written(folder.path(), &book, seq));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        let found = list(folder.path()).unwrap();
        assert_eq!(found, [(paths[2].clone(), 11), (paths[1].clone(), 10)]);
        let pieces = read(&paths[2], &book).unwrap();
        assert_eq!(pieces, [b"one".to_vec(), vec![7; 5_000]]);
        let head = SnapshotReader::open(&paths[2], &book).unwrap().head();
        assert_eq!((head.seq, head.hash), (11, Hash([11; 32])));
        let none = list(&folder.path().join("nowhere")).unwrap();
        assert!(none.is_empty());
    }

    #[test]
    fn a_snapshot_that_is_damaged_cut_or_foreign_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let book = BookName::new("demo").unwrap();
        let path = written(folder.path(), &book, 3);
        let good = fs::read(&path).unwrap();
        for place in (0..good.len()).step_by(61) {
            let mut bad = good.clone();
            bad[place] ^= 4;
            fs::write(&path, &bad).unwrap();
            assert!(read(&path, &book).is_err(), "byte {place}");
            fs::write(&path, &good[..place]).unwrap();
            assert!(read(&path, &book).is_err(), "cut at {place}");
        }
        fs::write(&path, &good).unwrap();
        let other = BookName::new("other").unwrap();
        assert_eq!(
            read(&path, &other).unwrap_err().to_string(),
            format!(
                "snapshot {}: it is of another book or another version of the program",
                path.display()
            )
        );
        let mut bad = good.clone();
        *bad.last_mut().unwrap() ^= 1;
        fs::write(&path, &bad).unwrap();
        assert_eq!(
            read(&path, &book).unwrap_err().to_string(),
            format!("snapshot {}: it is damaged", path.display())
        );
    }
}
