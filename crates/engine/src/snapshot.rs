//! Snapshots: short cuts to the state of a book. They are written while the writer goes on, and
//! what the journal holds beyond one is read as always.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::{io, thread};

use tandem_domain::book::{Book, Restore, Snapshot};
use tandem_domain::packed::Damaged;
use tandem_journal::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter, list};
use tandem_journal::{BookName, Head, Journal, Store};

use crate::disclosure::Disclosure;
use crate::replay::ReplayError;
use crate::{Engine, Replica, Tail};

/// Pieces that wait for the disk, at the most.
const WAITING: usize = 4;

impl<S: Store> Engine<S> {
    /// Opens a book from the newest snapshot in a folder that can be used, and from what the
    /// journal holds beyond it. Also says why newer ones could not be used; without any, the
    /// whole journal is read.
    ///
    /// A snapshot that does not belong to this journal, or that is ahead of it, is an error: one
    /// of the two has lost something.
    pub fn open_from(
        mut journal: Journal<S>,
        folder: &Path,
    ) -> Result<(Engine<S>, Vec<SnapshotError>), ReplayError> {
        let (replica, unusable) = Replica::open_from(&mut journal, folder, u64::MAX)?;
        Ok((replica.into_engine(journal)?, unusable))
    }

    /// Writes a snapshot of the book into a folder.
    pub fn snapshot(&mut self, folder: &Path) -> Result<PathBuf, SnapshotError> {
        let journal = &self.tail.journal;
        let mut writer = SnapshotWriter::create(folder, journal.book(), journal.head())?;
        writer.piece(&self.tail.disclosure.places())?;
        let mut snapshot = self.book.snapshot();
        let (mut piece, mut written) = (Vec::new(), Ok(()));
        while written.is_ok() && self.book.next_piece(&mut snapshot, &mut piece) {
            written = writer.piece(&piece);
            piece.clear();
        }
        self.book.end_snapshot(snapshot);
        written?;
        writer.finish()
    }
}

impl Replica {
    /// The newest snapshot in a folder that can be used and was taken after batch `latest` or an
    /// earlier one, or an empty book. Also says why newer ones could not be used.
    ///
    /// A snapshot that does not belong to this journal, or that is ahead of it, is an error: one
    /// of the two has lost something.
    pub fn open_from<S: Store>(
        journal: &mut Journal<S>,
        folder: &Path,
        latest: u64,
    ) -> Result<(Replica, Vec<SnapshotError>), ReplayError> {
        let mut unusable = Vec::new();
        for path in paths(folder, latest, &mut unusable) {
            match read(&path, journal.book()) {
                Ok(found) => {
                    journal.check_point(found.head)?;
                    return Ok((found, unusable));
                }
                Err(error) => unusable.push(error),
            }
        }
        Ok((Replica::empty(journal.genesis()), unusable))
    }
}

fn paths(folder: &Path, latest: u64, unusable: &mut Vec<SnapshotError>) -> Vec<PathBuf> {
    match list(folder) {
        Ok(found) => found
            .into_iter()
            .filter(|(_, seq)| *seq <= latest)
            .map(|(path, _)| path)
            .collect(),
        Err(cause) => {
            unusable.push(SnapshotError {
                path: folder.to_owned(),
                cause,
            });
            Vec::new()
        }
    }
}

/// What a snapshot holds, and the batch that it was taken after.
fn read(path: &Path, book: &BookName) -> Result<Replica, SnapshotError> {
    let failed = |cause| SnapshotError {
        path: path.to_owned(),
        cause: io::Error::other(cause),
    };
    let mut reader = SnapshotReader::open(path, book)?;
    let head = reader.head();
    let mut places = Vec::new();
    reader.piece(&mut places)?;
    let mut restore = Restore::default();
    // The disk and the checks on one thread, the book on the other.
    let (full, pieces) = sync_channel::<Vec<u8>>(WAITING);
    let (used, empty) = sync_channel::<Vec<u8>>(WAITING);
    thread::scope(|scope| {
        let reading = scope.spawn(move || -> Result<(), SnapshotError> {
            loop {
                let mut piece = empty.try_recv().unwrap_or_default();
                if !reader.piece(&mut piece)? || full.send(piece).is_err() {
                    return Ok(());
                }
            }
        });
        let mut taken = Ok(());
        for piece in pieces {
            taken = restore.take(&piece).map_err(failed);
            if taken.is_err() {
                break;
            }
            // A reader that has ended needs none.
            let _ = used.try_send(piece);
        }
        let read = reading.join();
        taken?;
        read.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })?;
    let book = restore.finish().map_err(failed)?;
    let disclosure = Disclosure::restore_places(&book, &places);
    let disclosure = disclosure.ok_or_else(|| failed(Damaged))?;
    Ok(Replica {
        book,
        disclosure,
        head,
    })
}

/// A snapshot on its way from the writer's thread to the disk.
pub(crate) struct Job {
    snapshot: Snapshot,
    pieces: SyncSender<Vec<u8>>,
    /// A piece that found no place.
    held: Option<Vec<u8>>,
}

/// The moment of a snapshot, as the flusher knows it.
pub(crate) struct Cut {
    head: Head,
    places: Vec<u8>,
}

impl Cut {
    pub(crate) fn of<S: Store>(tail: &Tail<S>) -> Cut {
        Cut {
            head: tail.journal.head(),
            places: tail.disclosure.places(),
        }
    }
}

/// How a snapshot ended.
pub(crate) type Outcome = Result<PathBuf, SnapshotError>;

impl Job {
    /// Begins a snapshot of the book as it is now; `head` brings the batch that makes this moment
    /// durable, `done` takes the outcome. None if the system gives no thread for it.
    pub(crate) fn start(
        book: &mut Book,
        name: BookName,
        folder: PathBuf,
        head: Receiver<Cut>,
        done: SyncSender<Outcome>,
    ) -> Option<Job> {
        let (pieces, to_write) = sync_channel(WAITING);
        let write = move || -> Option<Outcome> {
            // A flusher that failed brings no head, and a writer that ended no last piece.
            let Cut { head, places } = head.recv().ok()?;
            let write = || {
                let mut writer = SnapshotWriter::create(&folder, &name, head)?;
                writer.piece(&places)?;
                for piece in to_write {
                    let piece: Vec<u8> = piece;
                    if piece.is_empty() {
                        return writer.finish().map(Some);
                    }
                    writer.piece(&piece)?;
                }
                Ok(None)
            };
            write().transpose()
        };
        thread::Builder::new()
            .name("snapshot".to_owned())
            .spawn(move || {
                if let Some(outcome) = write() {
                    // Nobody receives it if the client is gone.
                    let _ = done.send(outcome);
                }
            })
            .ok()?;
        Some(Job {
            snapshot: book.snapshot(),
            pieces,
            held: None,
        })
    }

    /// Moves one piece on, if there is a place for it, or waits for one; nothing at the end.
    pub(crate) fn step(mut self, book: &mut Book, wait: bool) -> Option<Job> {
        let mut last = false;
        let piece = self.held.take().unwrap_or_else(|| {
            let mut piece = Vec::new();
            last = !book.next_piece(&mut self.snapshot, &mut piece);
            piece
        });
        let gone = if wait || last {
            self.pieces.send(piece).is_err()
        } else {
            match self.pieces.try_send(piece) {
                Err(TrySendError::Full(piece)) => {
                    self.held = Some(piece);
                    false
                }
                sent => sent.is_err(),
            }
        };
        if last || gone {
            book.end_snapshot(self.snapshot);
            return None;
        }
        Some(self)
    }
}
