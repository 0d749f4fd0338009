//! The embedded store on a real disk.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tandem_journal::sqlite::{OpenError, copy};
use tandem_journal::{Journal, JournalError, Sqlite, TailError};
use tempfile::TempDir;

use crate::{append, demo, fill, read_all};

/// A directory with a journal in it.
struct Place {
    dir: TempDir,
}

impl Place {
    fn empty() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// With four batches.
    fn filled() -> Self {
        let place = Self::empty();
        fill(&mut place.create());
        place
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn path(&self) -> PathBuf {
        self.file("journal.db")
    }

    fn create(&self) -> Journal<Sqlite> {
        Journal::open(Sqlite::create(self.path(), &demo()).unwrap()).unwrap()
    }

    fn open(&self) -> Result<Journal<Sqlite>, OpenError> {
        Sqlite::open(self.path()).map(|store| Journal::open(store).unwrap())
    }

    fn read_only(&self) -> Result<Journal<Sqlite>, OpenError> {
        Sqlite::open_read_only(self.path()).map(|store| Journal::open(store).unwrap())
    }

    /// Changes the database behind the journal's back.
    fn sql(&self, sql: &str) {
        Connection::open(self.path())
            .unwrap()
            .execute_batch(sql)
            .unwrap();
    }

    fn refusal(&self) -> String {
        let error = self.open().unwrap_err().to_string();
        assert_eq!(
            self.read_only().unwrap_err().to_string(),
            error,
            "readers see the same"
        );
        self.relative(&error)
    }

    /// A message without the directory, which differs each time.
    fn relative(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

#[test]
fn readers_share_and_change_nothing() {
    let place = Place::filled();
    let before = fs::read(place.path()).unwrap();
    let mut one = place.read_only().unwrap();
    let mut two = place.read_only().unwrap();
    assert_eq!(read_all(&mut one).unwrap(), read_all(&mut two).unwrap());
    let error = append(&mut one, &[b"no"]).unwrap_err().to_string();
    assert_eq!(
        place.relative(&error),
        "journal.db: cannot write batch 5: attempt to write a readonly database; nothing more is \
         taken: remove the cause, then start the program again"
    );
    drop((one, two));
    assert!(fs::read(place.path()).unwrap() == before);
    place.open().unwrap();
}

const IN_USE: &str = "journal.db: the journal is in use by another program; a journal has one \
                      writer: stop the other program first";

#[test]
fn a_writer_is_the_only_one() {
    let place = Place::empty();
    let writer = place.create();
    let error = place.open().unwrap_err().to_string();
    assert_eq!(place.relative(&error), IN_USE);
    let error = Sqlite::create(place.path(), &demo())
        .unwrap_err()
        .to_string();
    assert_eq!(place.relative(&error), IN_USE);
    drop(writer);

    // One of before held the database itself.
    let before = Connection::open(place.path()).unwrap();
    before
        .execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT")
        .unwrap();
    let error = place.open().unwrap_err().to_string();
    assert_eq!(place.relative(&error), IN_USE);
    drop(before);
    place.open().unwrap();
}

#[test]
fn readers_read_while_a_writer_writes() {
    let place = Place::empty();
    let mut writer = place.create();
    let heads = fill(&mut writer);
    let mut reader = place.read_only().unwrap();
    let mut seen = 0;
    let genesis = reader.genesis();
    let read = reader.read(genesis, |batch| {
        // A reader sees what was there when it began, whatever comes meanwhile.
        append(&mut writer, &[b"later"]).unwrap();
        seen = batch.seq;
        Ok::<_, JournalError>(())
    });
    read.unwrap();
    assert_eq!(seen, heads[3].seq);
    assert_eq!(place.read_only().unwrap().head(), writer.head());
    let both = [place.read_only().unwrap(), place.read_only().unwrap()];
    assert!(both.iter().all(|reader| reader.head() == writer.head()));

    // A writer that opens while somebody reads waits for nobody.
    let last = writer.head();
    let mut writer = Some(writer);
    let mut reader = place.read_only().unwrap();
    let mut waited = Duration::ZERO;
    let read = reader.read(genesis, |_| {
        drop(writer.take());
        let begun = Instant::now();
        let mut next = place.open().unwrap();
        waited += begun.elapsed();
        assert!(next.head().seq >= last.seq);
        append(&mut next, &[b"more"]).unwrap();
        Ok::<_, JournalError>(())
    });
    read.unwrap();
    assert!(waited < Duration::from_secs(4), "{waited:?}");
    assert!(both.iter().all(|reader| reader.head() == last));
}

/// Whoever deletes the lock lets another in; the one before writes nothing more.
#[test]
fn a_writer_whose_head_file_is_gone_writes_nothing_more() {
    let place = Place::filled();
    let mut writer = place.open().unwrap();
    fs::remove_file(place.file("journal.db-head")).unwrap();
    let mut other = place.open().unwrap();
    append(&mut other, &[b"other"]).unwrap();
    let said = append(&mut writer, &[b"lost"]).unwrap_err().to_string();
    let (said, _) = said.split_once("; nothing more is taken").unwrap();
    assert_eq!(
        place.relative(said),
        "journal.db: cannot write batch 5: journal.db-head was deleted or replaced while the journal \
         is open"
    );
    drop(writer);
    append(&mut other, &[b"more"]).unwrap();
}

#[test]
fn what_a_kill_leaves_of_a_creation_counts_as_none() {
    // SQLite makes the file first, then its header, and the tables last.
    for sql in ["", "PRAGMA journal_mode = WAL"] {
        let place = Place::empty();
        fs::write(place.path(), "").unwrap();
        Connection::open(place.path())
            .and_then(|connection| connection.query_row(sql, [], |_| Ok(())))
            .unwrap_or_default();
        let refused = "journal.db: this is not a journal of Tandem; check the path";
        assert_eq!(place.refusal(), refused);
        let open = || Sqlite::open_or_create(place.path(), &demo());
        let heads = fill(&mut Journal::open(open().unwrap()).unwrap());
        assert_eq!(Journal::open(open().unwrap()).unwrap().head(), heads[3]);
    }
    // Of a journal that is remembered, an empty database is what is left, not what was begun.
    let place = Place::filled();
    fs::write(place.path(), "").unwrap();
    let error = Sqlite::open_or_create(place.path(), &demo()).unwrap_err();
    assert!(
        matches!(error, OpenError::Tail(TailError::Lost { last: 0, .. })),
        "{error}"
    );
}

/// Not a test: the process that [`a_killed_writer_loses_nothing`] kills.
#[test]
#[ignore = "runs until it is killed"]
fn victim() {
    let Some(path) = std::env::var_os("JOURNAL_OF_THE_VICTIM") else {
        return;
    };
    let mut journal = Journal::open(Sqlite::create(path, &demo()).unwrap()).unwrap();
    loop {
        println!(
            "\ndurable {}",
            append(&mut journal, &[b"event"]).unwrap().seq
        );
    }
}

#[test]
fn a_killed_writer_loses_nothing() {
    let place = Place::empty();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sqlite::victim", "--ignored", "--nocapture"])
        .env("JOURNAL_OF_THE_VICTIM", place.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut durable = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .filter_map(|line| line.unwrap().strip_prefix("durable ")?.parse::<u64>().ok());
    durable.find(|&seq| seq == 20).unwrap();
    assert_eq!(
        place.relative(&place.open().unwrap_err().to_string()),
        IN_USE
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let last = durable.last().unwrap_or(20);

    // A reader sees the log that the victim left, and so does the next writer.
    assert!(place.read_only().unwrap().head().seq >= last);
    let mut journal = place.open().unwrap();
    assert!(journal.head().seq >= last);
    append(&mut journal, &[b"next"]).unwrap();
    read_all(&mut journal).unwrap();
}

#[test]
fn a_lost_database_is_noticed() {
    let place = Place::filled();
    fs::remove_file(place.path()).unwrap();
    let error = Sqlite::create(place.path(), &demo())
        .unwrap_err()
        .to_string();
    assert_eq!(
        place.relative(&error),
        "journal.db: the journal ends at batch 0, but journal.db-head remembers batch 4: the \
         batches after 0 are lost; restore the journal from a backup that has them, or delete the \
         head file to go on without them"
    );
    assert!(!place.path().exists());
}

#[test]
fn an_older_format_is_refused() {
    let place = Place::filled();
    place.sql("ALTER TABLE meta DROP COLUMN secret; UPDATE meta SET format = 1");
    assert_eq!(
        place.refusal(),
        "journal.db: this journal has format 1, which was never released; this program reads \
         format 2: make the journal anew from what it was made from"
    );
}

const EXISTS: &str =
    "journal.db: there is a database here already; choose another path, or open it";

#[test]
fn what_is_not_a_journal_is_left_alone() {
    let place = Place::empty();
    let missing = "journal.db: there is no journal here; check the path, or create a new journal";
    assert_eq!(place.refusal(), missing);
    assert!(!place.path().exists());

    let foreign = "journal.db: this is not a journal of Tandem; check the path";
    fs::write(
        place.path(),
        "a letter, and nothing like a database".repeat(100),
    )
    .unwrap();
    assert_eq!(place.refusal(), foreign);
    fs::remove_file(place.path()).unwrap();

    place.sql("CREATE TABLE recipes (name TEXT)");
    let before = fs::read(place.path()).unwrap();
    assert_eq!(place.refusal(), foreign);
    let error = Sqlite::create(place.path(), &demo())
        .unwrap_err()
        .to_string();
    assert_eq!(place.relative(&error), EXISTS);
    assert!(fs::read(place.path()).unwrap() == before);
}

#[test]
fn an_interrupted_creation_can_be_repeated() {
    let place = Place::empty();
    fs::write(place.path(), "").unwrap();
    assert_eq!(fill(&mut place.create()).len(), 4);
    assert_eq!(place.open().unwrap().head().seq, 4);
}

#[test]
fn a_place_without_a_log_is_refused() {
    assert_eq!(
        Sqlite::create(":memory:", &demo()).unwrap_err().to_string(),
        ":memory:: cannot use a write-ahead log: SQLite offers only the mode \"memory\" here"
    );
}

#[test]
fn a_place_without_a_directory_is_an_error() {
    let place = Place::empty();
    let error = Sqlite::create(place.file("no/journal.db"), &demo())
        .unwrap_err()
        .to_string();
    assert_eq!(
        place.relative(&error),
        "no/journal.db: cannot open the database: its directory is not there, or this user may not \
         use it; check the path, or change the permissions"
    );
}

#[test]
fn a_place_that_may_not_be_written_to_is_an_error() {
    // The message alone: an administrator running the tests may write everywhere.
    let place = "journal.db".to_owned();
    assert_eq!(
        OpenError::ReadOnly { place }.to_string(),
        "journal.db: the journal or its directory may not be written to, which SQLite needs even \
         to read it; change the permissions, or copy the journal to another directory"
    );
}

#[test]
fn a_copy_is_made_while_a_writer_writes_and_takes_what_is_new() {
    let place = Place::filled();
    let mut writer = place.open().unwrap();
    let to = place.file("copy.db");
    let first = copy(&place.path(), &to).unwrap();
    assert_eq!((first.head, first.before), (writer.head(), 0));
    append(&mut writer, &[b"new"]).unwrap();
    let second = copy(&place.path(), &to).unwrap();
    assert_eq!((second.head, second.before), (writer.head(), 4));
    let mut copied = Journal::open(Sqlite::open_read_only(&to).unwrap()).unwrap();
    assert_eq!(read_all(&mut copied).unwrap().len(), 5);
    drop(copied);
    // What was left unfinished, or of another database under the name, does no harm.
    fs::write(place.file("other.db-part"), "cut off").unwrap();
    fs::write(place.file("other.db-wal"), "of another").unwrap();
    copy(&place.path(), &place.file("other.db")).unwrap();
    drop(writer);

    let said = |from: &Path, to: &Path| {
        let said = copy(from, to).unwrap_err().to_string();
        place.relative(&said)
    };
    let mut ahead = Journal::open(Sqlite::open(&to).unwrap()).unwrap();
    append(&mut ahead, &[b"more"]).unwrap();
    drop(ahead);
    assert_eq!(
        said(&place.path(), &to),
        "copy.db: the copy has batch 6, but journal.db ends at batch 5: batches were lost there, or an \
         older copy was restored; keep this copy, and name another folder for the next"
    );
    append(&mut place.open().unwrap(), &[b"otherwise"]).unwrap();
    let other = "copy.db: this is no copy of journal.db; name another folder for the copy";
    assert_eq!(said(&place.path(), &to), other);
    let place = Place::filled();
    Sqlite::create(place.file("copy.db"), &demo()).unwrap();
    let said = copy(&place.path(), &place.file("copy.db")).unwrap_err();
    assert_eq!(place.relative(&said.to_string()), other);
}
