//! The embedded store on a real disk.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rusqlite::Connection;
use tandem_journal::sqlite::OpenError;
use tandem_journal::{BookName, Journal, Sqlite, Stats};
use tempfile::TempDir;

use crate::{append, demo, events, fill, read_after, read_all};

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

    fn head_file(&self) -> PathBuf {
        self.file("journal.db-head")
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

    fn verdict(&self) -> String {
        let error = read_all(&mut self.open().unwrap()).unwrap_err().to_string();
        assert_eq!(
            read_all(&mut self.read_only().unwrap())
                .unwrap_err()
                .to_string(),
            error
        );
        self.relative(&error)
    }

    /// A message without the directory, which differs each time.
    fn relative(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.dir.path().display()), "")
    }
}

#[test]
fn a_journal_survives_closing() {
    let place = Place::empty();
    let heads = fill(&mut place.create());
    let mut journal = place.open().unwrap();
    assert_eq!(journal.book(), &demo());
    assert_eq!(journal.head(), heads[3]);
    append(&mut journal, &[b"", b"fifth"]).unwrap();
    let batches = read_all(&mut journal).unwrap();
    assert_eq!(events(&batches)[8..], [&b""[..], b"fifth"]);
    assert_eq!(
        journal.stats().unwrap(),
        Stats {
            batches: 5,
            events: 10,
            body_bytes: 4 * 304 + 7
        }
    );
    assert_eq!(read_after(&mut journal, heads[2]).unwrap().len(), 2);
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
                      writer, and is read by others only while nobody writes: stop the other \
                      program first";

#[test]
fn a_writer_is_alone() {
    let place = Place::empty();
    let writer = place.create();
    assert_eq!(place.refusal(), IN_USE);
    let error = Sqlite::create(place.path(), &demo())
        .unwrap_err()
        .to_string();
    assert_eq!(place.relative(&error), IN_USE);
    drop(writer);

    let writer = place.open().unwrap();
    assert_eq!(place.refusal(), IN_USE);
    drop(writer);

    let reader = place.read_only().unwrap();
    assert_eq!(
        place.relative(&place.open().unwrap_err().to_string()),
        IN_USE
    );
    drop(reader);
    place.open().unwrap();
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
        matches!(error, OpenError::LostTail { last: 0, .. }),
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
fn a_changed_body_is_noticed() {
    let place = Place::filled();
    place.sql("UPDATE batch SET body = zeroblob(304) WHERE seq = 2");
    assert_eq!(
        place.verdict(),
        "journal.db: batch 2 does not match its own hash: it was changed after it was written; do \
         not continue with it: restore the journal from a backup"
    );
}

#[test]
fn swapped_batches_are_noticed() {
    let place = Place::filled();
    place.sql(
        "UPDATE batch SET seq = 9 WHERE seq = 2;
         UPDATE batch SET seq = 2 WHERE seq = 3;
         UPDATE batch SET seq = 3 WHERE seq = 9;",
    );
    assert_eq!(
        place.verdict(),
        "journal.db: batch 2 does not continue batch 1: the hash it names is another; do not \
         continue with it: restore the journal from a backup"
    );
}

#[test]
fn a_deleted_batch_is_noticed() {
    let place = Place::filled();
    place.sql("DELETE FROM batch WHERE seq = 3");
    assert_eq!(
        place.verdict(),
        "journal.db: batch 3 is missing: batch 4 stands in its place; do not continue with it: \
         restore the journal from a backup"
    );
}

#[test]
fn a_row_of_the_wrong_shape_is_named() {
    let place = Place::filled();
    place.sql("UPDATE batch SET prev = x'0102' WHERE seq = 3");
    let verdict = place.verdict();
    assert!(
        verdict.starts_with("journal.db: cannot read batch 3: "),
        "{verdict}"
    );
}

#[test]
fn a_lost_tail_is_noticed() {
    let place = Place::filled();
    place.sql("DELETE FROM batch WHERE seq > 2");
    assert_eq!(
        place.refusal(),
        "journal.db: the journal ends at batch 2, but journal.db-head remembers batch 4: the \
         batches after 2 are lost; restore the journal from a backup that has them, or delete the \
         head file to go on without them"
    );
    fs::remove_file(place.head_file()).unwrap();
    assert_eq!(append(&mut place.open().unwrap(), &[b"on"]).unwrap().seq, 3);
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
fn a_rewritten_end_is_noticed() {
    let place = Place::filled();
    place.sql("UPDATE batch SET hash = zeroblob(32) WHERE seq = 4");
    assert_eq!(
        place.refusal(),
        "journal.db: batch 4 is not the one that journal.db-head remembers: the journal was \
         changed or swapped for another; restore it from a backup, or delete the head file if the \
         journal is right"
    );
}

#[test]
fn a_head_file_may_lag_or_be_torn_or_missing() {
    let place = Place::filled();
    let before = fs::read(place.head_file()).unwrap();
    assert_eq!(before.len(), 128);
    append(&mut place.open().unwrap(), &[b"fifth"]).unwrap();
    assert_eq!(
        fs::read(place.head_file()).unwrap()[..64],
        before[..64],
        "slots take turns"
    );

    fs::write(place.head_file(), &before).unwrap();
    assert_eq!(place.open().unwrap().head().seq, 5, "it may lag");

    let mut torn = fs::read(place.head_file()).unwrap();
    torn[64 + 20..].fill(0);
    for torn in [&torn[..], &torn[..100], &[0; 128], b""] {
        fs::write(place.head_file(), torn).unwrap();
        assert_eq!(
            place.open().unwrap().head().seq,
            5,
            "a torn slot is no slot"
        );
    }

    // With the slot of batch 5 torn, the slot of batch 4 still protects.
    fs::write(place.head_file(), &torn).unwrap();
    place.sql("DELETE FROM batch WHERE seq > 3");
    assert!(
        place
            .refusal()
            .contains("ends at batch 3, but journal.db-head remembers batch 4")
    );

    fs::remove_file(place.head_file()).unwrap();
    place.open().unwrap();
    assert!(place.head_file().exists());
}

#[test]
fn a_head_file_that_cannot_be_used_is_an_error() {
    let place = Place::filled();
    fs::remove_file(place.head_file()).unwrap();
    fs::create_dir(place.head_file()).unwrap();
    assert!(
        place
            .refusal()
            .starts_with("journal.db-head: cannot use the head file: ")
    );
}

#[test]
fn a_newer_format_is_refused() {
    let place = Place::filled();
    place.sql("UPDATE meta SET format = 2");
    assert_eq!(
        place.refusal(),
        "journal.db: this journal was written by a newer Tandem (format 2; this program reads up \
         to 1); use a newer program"
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
fn a_journal_is_not_created_twice() {
    let place = Place::filled();
    let other = BookName::new("other").unwrap();
    let error = Sqlite::create(place.path(), &other)
        .unwrap_err()
        .to_string();
    assert_eq!(place.relative(&error), EXISTS);
    assert_eq!(place.open().unwrap().head().seq, 4);
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
    assert!(
        place
            .relative(&error)
            .starts_with("no/journal.db: cannot open the database: ")
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
