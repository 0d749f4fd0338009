//! The targets: each takes any bytes, and must come back.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;

use tandem_domain::agreement::Agreement;
use tandem_domain::book::Restore;
use tandem_domain::calendar::BusinessCalendar;
use tandem_domain::field::Value;
use tandem_domain::policy::Policy;
use tandem_domain::rulebook::{BUILT_IN, Rulebook};
use tandem_engine::replay;
use tandem_journal::snapshot::{SnapshotError, SnapshotReader, SnapshotWriter};
use tandem_journal::{
    Batch, BatchBuilder, BookName, Chain, Hash, Head, Journal, JournalError, Memory, Sqlite, Store,
};
use tempfile::TempDir;

use crate::sample;

/// A target: its name, the inputs to start from, and what is done with an input.
pub struct Target {
    /// The name; also that of its file in `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Inputs as they are in life.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Must come back.
    pub run: fn(&[u8]),
}

/// All targets.
pub const TARGETS: [Target; 11] = [
    Target {
        name: "batch_body",
        seeds: bodies,
        run: batch_body,
    },
    Target {
        name: "batch_row",
        seeds: rows,
        run: batch_row,
    },
    Target {
        name: "head_file",
        seeds: head_files,
        run: head_file,
    },
    Target {
        name: "database",
        seeds: databases,
        run: database,
    },
    Target {
        name: "events",
        seeds: later_bodies,
        run: events,
    },
    Target {
        name: "snapshot_file",
        seeds: snapshot_files,
        run: snapshot_file,
    },
    Target {
        name: "snapshot_piece",
        seeds: snapshot_pieces,
        run: snapshot_piece,
    },
    Target {
        name: "agreement",
        seeds: agreements,
        run: agreement,
    },
    Target {
        name: "policy",
        seeds: policies,
        run: policy,
    },
    Target {
        name: "rulebook",
        seeds: rulebooks,
        run: rulebook,
    },
    Target {
        name: "calendar",
        seeds: calendars,
        run: calendar,
    },
];

/// Batches of the sample's journal before the events that are changed.
const PREFIX: usize = 24;

/// The journal of the sample, one command a batch.
fn batches() -> &'static [Batch] {
    static BATCHES: OnceLock<Vec<Batch>> = OnceLock::new();
    BATCHES.get_or_init(|| {
        let mut engine = sample::engine();
        let journal = engine.journal();
        let mut batches = Vec::new();
        let read = journal.read(journal.genesis(), |batch| {
            batches.push(batch.clone());
            Ok::<(), JournalError>(())
        });
        read.expect("the sample is sound");
        batches
    })
}

fn name() -> BookName {
    BookName::new("orchard").expect("a good name")
}

fn bodies() -> Vec<Vec<u8>> {
    batches().iter().map(|batch| batch.body.clone()).collect()
}

/// The body of a batch, split into events.
pub fn batch_body(bytes: &[u8]) {
    let batch = unsealed(bytes);
    let mut whole = 0;
    for event in batch.events() {
        match event {
            Ok(event) => whole += event.len(),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(whole <= bytes.len());
}

fn unsealed(body: &[u8]) -> Batch {
    Batch {
        seq: 1,
        prev: Hash([0; 32]),
        hash: Hash([0; 32]),
        events: 0,
        body: body.to_vec(),
    }
}

/// Number, previous hash, hash, number of events, body.
fn rows() -> Vec<Vec<u8>> {
    let row = |batch: &Batch| {
        let (seq, events) = (batch.seq.to_le_bytes(), batch.events.to_le_bytes());
        [&seq[..], &batch.prev.0, &batch.hash.0, &events, &batch.body].concat()
    };
    batches().iter().take(4).map(row).collect()
}

/// A batch as a row of a table: only the one that was written is accepted.
pub fn batch_row(bytes: &[u8]) {
    let parse = || {
        let (seq, rest) = bytes.split_first_chunk()?;
        let (prev, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (events, body) = rest.split_first_chunk()?;
        Some(Batch {
            seq: u64::from_le_bytes(*seq),
            prev: Hash(*prev),
            hash: Hash(*hash),
            events: u32::from_le_bytes(*events),
            body: body.to_vec(),
        })
    };
    let Some(batch) = parse() else {
        return;
    };
    let known = batches();
    let place = usize::try_from(batch.seq).unwrap_or(0);
    let before = match place.checked_sub(2).and_then(|place| known.get(place)) {
        Some(before) => Head {
            seq: before.seq,
            hash: before.hash,
        },
        None => Head::genesis(&name()),
    };
    let secret = Memory::new(name()).secret().clone();
    if Chain::after(name(), secret, before).accept(&batch).is_ok() {
        assert_eq!(known.get(place - 1), Some(&batch), "a forged batch passes");
    }
}

/// A folder with a journal of a few batches, closed.
struct Place {
    folder: TempDir,
    head: Vec<u8>,
    database: Vec<u8>,
    /// What was written; it depends on the book's secret.
    batches: Vec<Batch>,
}

impl Place {
    fn with<T>(act: impl FnOnce(&Place) -> T) -> T {
        thread_local! {
            static PLACE: OnceCell<Place> = const { OnceCell::new() };
        }
        PLACE.with(|place| act(place.get_or_init(Place::new)))
    }

    fn new() -> Place {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("book.db");
        let store = Sqlite::create(&path, &name()).expect("an empty folder");
        let mut journal = Journal::open(store).expect("an empty journal");
        let mut builder = BatchBuilder::new();
        for batch in batches().iter().take(6) {
            for event in batch.events() {
                let event = event.expect("the sample is sound");
                builder.push(event).expect("it fits");
            }
            journal.append(&mut builder).expect("there is room");
        }
        let (mut batches, genesis) = (Vec::new(), journal.genesis());
        let all = journal.read(genesis, |batch| {
            batches.push(batch.clone());
            Ok::<(), JournalError>(())
        });
        all.expect("it is sound");
        drop(journal);
        let read = |name: &str| fs::read(folder.path().join(name)).expect("it was written");
        let (head, database) = (read("book.db-head"), read("book.db"));
        Place {
            folder,
            head,
            database,
            batches,
        }
    }

    /// Opens a journal with other bytes and reads all of it. What comes out must be what went in.
    fn read(&self, database: &[u8], head: &[u8]) {
        let path = self.folder.path().join("book.db");
        let write = |name: &str, bytes| {
            fs::write(self.folder.path().join(name), bytes).expect("there is room");
        };
        write("book.db", database);
        write("book.db-head", head);
        for log in ["book.db-wal", "book.db-shm"] {
            // The reader before may have left none.
            let _ = fs::remove_file(self.folder.path().join(log));
        }
        let opened = Sqlite::open_read_only(&path).map(Journal::open);
        let Ok(Ok(mut journal)) = opened else {
            return;
        };
        let (mut known, genesis) = (self.batches.iter(), journal.genesis());
        let own_name = *journal.book() == name();
        let _ = journal.read(genesis, |batch| {
            let written = known.next();
            assert!(!own_name || written == Some(batch), "a forged batch passes");
            Ok::<(), JournalError>(())
        });
    }
}

fn head_files() -> Vec<Vec<u8>> {
    vec![Place::with(|place| place.head.clone())]
}

/// The head file beside a sound database.
pub fn head_file(bytes: &[u8]) {
    Place::with(|place| place.read(&place.database, bytes));
}

fn databases() -> Vec<Vec<u8>> {
    vec![Place::with(|place| place.database.clone())]
}

/// The database beside a sound head file.
pub fn database(bytes: &[u8]) {
    Place::with(|place| place.read(bytes, &place.head));
}

fn later_bodies() -> Vec<Vec<u8>> {
    let later = bodies().split_off(PREFIX);
    later.chunks(4).map(<[Vec<u8>]>::concat).collect()
}

/// Events, each behind its length, after a sound beginning of a journal.
pub fn events(bytes: &[u8]) {
    let mut memory = Memory::new(name());
    memory.batches = batches()[..PREFIX].to_vec();
    let mut journal = Journal::open(memory).expect("the sample is sound");
    let mut builder = BatchBuilder::new();
    for event in unsealed(bytes).events().map_while(Result::ok) {
        if builder.push(event).is_err() {
            return;
        }
    }
    if journal.append(&mut builder).is_err() {
        return;
    }
    if let Err(error) = replay(&mut journal, &mut |_| {}) {
        assert!(!error.to_string().is_empty());
    }
}

/// The pieces of a snapshot of the sample's book.
fn pieces() -> &'static [Vec<u8>] {
    static PIECES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    PIECES.get_or_init(|| {
        let mut book = sample::engine().book().clone();
        let mut snapshot = book.snapshot();
        let (mut pieces, mut piece) = (Vec::new(), Vec::new());
        while book.next_piece(&mut snapshot, &mut piece) {
            pieces.push(std::mem::take(&mut piece));
        }
        pieces
    })
}

/// A folder with the first pieces of a snapshot in a file; all would be longer than an input.
struct Shelf {
    folder: TempDir,
    written: Vec<u8>,
}

impl Shelf {
    const HEAD: Head = Head {
        seq: 7,
        hash: Hash([7; 32]),
    };
    const PIECES: usize = 9;

    fn with<T>(act: impl FnOnce(&Shelf) -> T) -> T {
        thread_local! {
            static SHELF: OnceCell<Shelf> = const { OnceCell::new() };
        }
        SHELF.with(|shelf| act(shelf.get_or_init(Shelf::new)))
    }

    fn new() -> Shelf {
        let folder = tempfile::tempdir().expect("a folder");
        let writer = SnapshotWriter::create(folder.path(), &name(), Shelf::HEAD);
        let mut writer = writer.expect("there is room");
        for piece in &pieces()[..Shelf::PIECES] {
            writer.piece(piece).expect("there is room");
        }
        let path = writer.finish().expect("there is room");
        let written = fs::read(path).expect("it was written");
        Shelf { folder, written }
    }
}

fn snapshot_files() -> Vec<Vec<u8>> {
    vec![Shelf::with(|shelf| shelf.written.clone())]
}

/// A snapshot file: one that is read to its end is the one that was written.
pub fn snapshot_file(bytes: &[u8]) {
    let path = Shelf::with(|shelf| shelf.folder.path().join("input"));
    fs::write(&path, bytes).expect("there is room");
    let read = || {
        let mut reader = SnapshotReader::open(&path, &name())?;
        let (mut read, mut piece) = (Vec::new(), Vec::new());
        while reader.piece(&mut piece)? {
            read.push(piece.clone());
        }
        Ok((reader.head(), read))
    };
    let read: Result<_, SnapshotError> = read();
    match read {
        Ok((head, read)) => {
            assert_eq!(head, Shelf::HEAD, "a forged point passes");
            assert_eq!(read, pieces()[..Shelf::PIECES], "forged pieces pass");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Bytes before those that stand in an edit: which piece, where in it, how many bytes go, how
/// many come.
const EDIT: usize = 6;

/// Edits that change nothing yet. Of a piece its end is taken: the first one begins with
/// documents, which have targets of their own.
fn snapshot_pieces() -> Vec<Vec<u8>> {
    const LEN: usize = 24;
    let free = [0, 0];
    let taken = (0u16..).zip(pieces()).filter(|(_, piece)| **piece != free);
    let mut seeds = Vec::new();
    for (place, piece) in taken.take(16) {
        let first = piece.len().saturating_sub(64 * LEN);
        for (at, bytes) in (first..).step_by(LEN).zip(piece[first..].chunks(LEN)) {
            let ([one, two], [low, high]) = (place.to_le_bytes(), (at as u16).to_le_bytes());
            let len = bytes.len() as u8;
            seeds.push([&[one, two, low, high, len, len], bytes].concat());
        }
    }
    seeds
}

/// The pieces of a snapshot, edited as if their checks had been forged too. What the book holds
/// then nobody can say, but that it can be asked.
pub fn snapshot_piece(bytes: &[u8]) {
    let mut edited = BTreeMap::new();
    let mut rest = bytes;
    while let Some(([first, second, low, high, gone, come], after)) =
        rest.split_first_chunk::<EDIT>()
    {
        let place = usize::from(u16::from_le_bytes([*first, *second])) % pieces().len();
        let piece = edited
            .entry(place)
            .or_insert_with(|| pieces()[place].clone());
        let start = usize::from(u16::from_le_bytes([*low, *high])).min(piece.len());
        let end = (start + usize::from(*gone)).min(piece.len());
        let (come, after) = after.split_at(after.len().min(usize::from(*come)));
        piece.splice(start..end, come.iter().copied());
        rest = after;
    }
    let mut restore = Restore::default();
    for (at, piece) in pieces().iter().enumerate() {
        if let Err(error) = restore.take(edited.get(&at).unwrap_or(piece)) {
            assert!(!error.to_string().is_empty());
            return;
        }
    }
    let Ok(mut book) = restore.finish() else {
        return;
    };
    for loan in book.loans() {
        let _ = (book.key_of(&loan), loan.history.transactions());
    }
    assert_eq!(book.applications().count(), book.application_count());
    for key in ["A-1", "B-5", "nobody's", ""] {
        let _ = (book.loan(key), book.instruction(key));
    }
    book.digest();
    let mut snapshot = book.snapshot();
    let mut piece = Vec::new();
    while book.next_piece(&mut snapshot, &mut piece) {
        piece.clear();
    }
}

/// Files of the repository that hold documents of a kind.
macro_rules! documents {
    ($($path:literal),*) => {
        vec![$(include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../", $path)).to_vec()),*]
    };
}

fn agreements() -> Vec<Vec<u8>> {
    documents!(
        "crates/domain/tests/data/agreement.toml",
        "examples/lending-club/agreement.toml",
        "examples/marketplace/agreement.toml",
        "examples/servicing/agreement.toml"
    )
}

/// An agreement.
pub fn agreement(bytes: &[u8]) {
    let _ = Agreement::parse(&String::from_utf8_lossy(bytes));
}

fn policies() -> Vec<Vec<u8>> {
    documents!(
        "crates/tandem/src/export/sample/river.toml",
        "crates/tandem/src/export/sample/cloud.toml"
    )
}

/// A policy under the agreement of the sample; one that is valid decides.
pub fn policy(bytes: &[u8]) {
    thread_local! {
        static AGREEMENT: Agreement =
            Agreement::parse(&sample::documents().agreement).expect("the sample is sound");
    }
    AGREEMENT.with(|agreement| {
        let Ok(policy) = Policy::parse(&String::from_utf8_lossy(bytes), agreement) else {
            return;
        };
        let fields = agreement.scope.fields.len();
        for value in [
            Value::Missing,
            Value::Number(0),
            Value::Number(i64::MAX),
            Value::Number(i64::MIN),
            Value::Text("north".into()),
        ] {
            policy.decide(&vec![value; fields]);
        }
    });
}

fn rulebooks() -> Vec<Vec<u8>> {
    let built_in = BUILT_IN.iter();
    built_in.map(|(_, text)| text.as_bytes().to_vec()).collect()
}

/// A rulebook.
pub fn rulebook(bytes: &[u8]) {
    let _ = Rulebook::parse(&String::from_utf8_lossy(bytes));
}

fn calendars() -> Vec<Vec<u8>> {
    documents!("crates/domain/tests/data/calendar.toml")
}

/// A calendar of business days.
pub fn calendar(bytes: &[u8]) {
    let _ = BusinessCalendar::parse(&String::from_utf8_lossy(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drive;

    fn run(name: &str) {
        let target = TARGETS.iter().find(|target| target.name == name);
        let target = target.expect("it is in the list");
        drive(name, &(target.seeds)(), target.run);
    }

    /// A test for each target, so that they run side by side, and one that none is forgotten.
    macro_rules! tests {
        ($($name:ident),*) => {
            $(#[test]
            fn $name() {
                run(stringify!($name));
            })*

            #[test]
            fn every_target_has_a_test_and_a_file_for_cargo_fuzz() {
                let tested = [$(stringify!($name)),*];
                assert_eq!(TARGETS.map(|target| target.name), tested);
                let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/");
                let manifest = fs::read_to_string(format!("{folder}Cargo.toml")).unwrap();
                for name in tested {
                    let file = fs::read_to_string(format!("{folder}fuzz_targets/{name}.rs"));
                    assert!(file.unwrap().contains(&format!("targets::{name}(bytes)")));
                    assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
                }
            }
        };
    }

    tests!(
        batch_body,
        batch_row,
        head_file,
        database,
        events,
        snapshot_file,
        snapshot_piece,
        agreement,
        policy,
        rulebook,
        calendar
    );
}
