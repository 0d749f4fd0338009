//! What every durable store promises, tried on each.

use std::fs;
use std::path::PathBuf;

use tandem_journal::{BookName, Journal, Memory, Sqlite, Stats, Store};
use tempfile::TempDir;

use crate::{append, demo, events, fill, read_after, read_all};

/// Somewhere a journal can be.
trait Place {
    fn create(&self, book: &BookName) -> Result<AnyStore, String>;
    fn open(&self) -> Result<AnyStore, String>;
    fn read_only(&self) -> Result<AnyStore, String>;
    fn head_file(&self) -> PathBuf;

    /// Changes the database behind the journal's back. `{batch}` and `{meta}` are its tables,
    /// `{short}` is a value of two bytes.
    fn sql(&self, sql: &str);

    /// The place as messages name it.
    fn name(&self) -> String;
}

type AnyStore = Box<dyn Store>;
type AnyJournal = Journal<AnyStore>;

/// Tries something on each store, on a place of its own.
fn everywhere(test: impl Fn(&dyn Place)) {
    test(&OnDisk(tempfile::tempdir().unwrap()));
    #[cfg(feature = "postgres")]
    if let Some(place) = crate::postgres::Place::empty() {
        test(&place);
    }
}

impl dyn Place + '_ {
    fn created(&self) -> AnyJournal {
        Journal::open(self.create(&demo()).unwrap()).unwrap()
    }

    fn opened(&self) -> AnyJournal {
        Journal::open(self.open().unwrap()).unwrap()
    }

    fn refusal(&self) -> String {
        let error = self.open().err().expect("writers are refused");
        let readers = self.read_only().err().expect("readers are refused");
        assert_eq!(readers, error, "readers see the same");
        self.relative(&error)
    }

    fn verdict(&self) -> String {
        let verdict = |store| {
            let error = read_all(&mut Journal::open(store).unwrap()).unwrap_err();
            self.relative(&error.to_string())
        };
        let error = verdict(self.open().unwrap());
        assert_eq!(verdict(self.read_only().unwrap()), error);
        error
    }

    /// A message without what differs from place to place.
    fn relative(&self, message: &str) -> String {
        message
            .replace(&self.head_file().display().to_string(), "HEAD")
            .replace(&self.name(), "PLACE")
    }
}

/// A directory with an SQLite database.
struct OnDisk(TempDir);

impl OnDisk {
    fn path(&self) -> PathBuf {
        self.0.path().join("journal.db")
    }
}

impl Place for OnDisk {
    fn create(&self, book: &BookName) -> Result<AnyStore, String> {
        boxed(Sqlite::create(self.path(), book))
    }

    fn open(&self) -> Result<AnyStore, String> {
        boxed(Sqlite::open(self.path()))
    }

    fn read_only(&self) -> Result<AnyStore, String> {
        boxed(Sqlite::open_read_only(self.path()))
    }

    fn head_file(&self) -> PathBuf {
        self.0.path().join("journal.db-head")
    }

    fn sql(&self, sql: &str) {
        let tables = [
            ("{batch}", "batch"),
            ("{meta}", "meta"),
            ("{short}", "x'0102'"),
        ];
        let database = rusqlite::Connection::open(self.path()).unwrap();
        database.execute_batch(&replaced(sql, &tables)).unwrap();
    }

    fn name(&self) -> String {
        self.path().display().to_string()
    }
}

#[cfg(feature = "postgres")]
impl Place for crate::postgres::Place {
    fn create(&self, book: &BookName) -> Result<AnyStore, String> {
        boxed(self.create_as("a", book))
    }

    fn open(&self) -> Result<AnyStore, String> {
        boxed(self.open_as("a"))
    }

    fn read_only(&self) -> Result<AnyStore, String> {
        boxed(self.open_read_only())
    }

    fn head_file(&self) -> PathBuf {
        self.head_file_of("a")
    }

    fn sql(&self, sql: &str) {
        let (batch, meta) = ("tandem_batch", "tandem_book");
        let tables = [
            ("{batch}", batch),
            ("{meta}", meta),
            ("{short}", r"'\x0102'"),
        ];
        self.server.sql(&self.schema, &replaced(sql, &tables));
    }

    fn name(&self) -> String {
        self.name()
    }
}

fn boxed<S: Store + 'static, E: ToString>(store: Result<S, E>) -> Result<AnyStore, String> {
    match store {
        Ok(store) => Ok(Box::new(store)),
        Err(error) => Err(error.to_string()),
    }
}

fn replaced(sql: &str, names: &[(&str, &str)]) -> String {
    let replace = |sql: String, (from, to): &(&str, &str)| sql.replace(from, to);
    names.iter().fold(sql.to_owned(), replace)
}

/// What a store does for a journal, whether it is durable or not.
fn works(store: impl Store) {
    let mut journal = Journal::open(store).unwrap();
    assert_eq!(journal.head(), journal.genesis());
    assert_eq!(journal.stats().unwrap(), Stats::default());
    let heads = fill(&mut journal);
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
fn a_store_keeps_batches_in_order() {
    works(Memory::new(demo()));
    everywhere(|place| works(place.create(&demo()).unwrap()));
}

#[test]
fn many_and_large_batches_come_back() {
    everywhere(|place| {
        let mut journal = place.created();
        let large = vec![7; 500_000];
        append(&mut journal, &[&large]).unwrap();
        for _ in 0..600 {
            append(&mut journal, &[b"small"]).unwrap();
        }
        let mut read = 0;
        let genesis = journal.genesis();
        let until = |journal: &mut AnyJournal, end, read: &mut u64| {
            journal.read(genesis, |batch| {
                *read += 1;
                match batch.seq {
                    seq if seq == end => Err(tandem_journal::JournalError::Failed {
                        place: "enough".to_owned(),
                    }),
                    _ => Ok(()),
                }
            })
        };
        until(&mut journal, 300, &mut read).unwrap_err();
        assert_eq!(read, 300);
        until(&mut journal, 0, &mut read).unwrap();
        assert_eq!(read, 901);
    });
}

#[test]
fn a_journal_survives_closing() {
    everywhere(|place| {
        let heads = fill(&mut place.created());
        let mut journal = place.opened();
        assert_eq!(journal.book(), &demo());
        assert_eq!(journal.head(), heads[3]);
        append(&mut journal, &[b"fifth"]).unwrap();
        assert_eq!(read_all(&mut journal).unwrap().len(), 5);
    });
}

#[test]
fn a_journal_is_not_created_twice() {
    everywhere(|place| {
        fill(&mut place.created());
        let error = place.create(&demo()).err().unwrap();
        let told = place.relative(&error);
        assert!(
            told.starts_with("PLACE: ") && told.ends_with(", or open it"),
            "{told}"
        );
        assert_eq!(place.opened().head().seq, 4);
    });
}

#[test]
fn a_reader_changes_nothing() {
    everywhere(|place| {
        fill(&mut place.created());
        let mut one = Journal::open(place.read_only().unwrap()).unwrap();
        let mut two = Journal::open(place.read_only().unwrap()).unwrap();
        assert_eq!(read_all(&mut one).unwrap(), read_all(&mut two).unwrap());
        let error = append(&mut one, &[b"no"]).unwrap_err().to_string();
        let told = place.relative(&error);
        assert!(told.starts_with("PLACE: cannot write batch 5: "), "{told}");
        drop((one, two));
        assert_eq!(place.opened().head().seq, 4);
    });
}

#[test]
fn changed_batches_are_noticed() {
    let damages = [
        (
            "UPDATE {batch} SET body = (SELECT body FROM {batch} WHERE seq = 1) WHERE seq = 2",
            "batch 2 does not match its own hash: it was changed after it was written",
        ),
        (
            "UPDATE {batch} SET seq = 9 WHERE seq = 2; UPDATE {batch} SET seq = 2 WHERE seq = 3;
             UPDATE {batch} SET seq = 3 WHERE seq = 9;",
            "batch 2 does not continue batch 1: the hash it names is another",
        ),
        (
            "DELETE FROM {batch} WHERE seq = 3",
            "batch 3 is missing: batch 4 stands in its place",
        ),
    ];
    everywhere(|place| {
        fill(&mut place.created());
        place.sql("CREATE TABLE kept AS SELECT * FROM {batch}");
        for (damage, told) in damages {
            place.sql(damage);
            assert_eq!(
                place.verdict(),
                format!(
                    "PLACE: {told}; do not continue with it: restore the journal from a backup"
                )
            );
            place.sql("DELETE FROM {batch}; INSERT INTO {batch} SELECT * FROM kept");
        }
        place.sql("UPDATE {batch} SET prev = {short} WHERE seq = 3");
        let verdict = place.verdict();
        assert!(
            verdict.starts_with("PLACE: cannot read batch 3: "),
            "{verdict}"
        );
    });
}

#[test]
fn a_lost_tail_is_noticed() {
    everywhere(|place| {
        fill(&mut place.created());
        place.sql("DELETE FROM {batch} WHERE seq > 2");
        assert_eq!(
            place.refusal(),
            "PLACE: the journal ends at batch 2, but HEAD remembers batch 4: the batches after 2 \
             are lost; restore the journal from a backup that has them, or delete the head file \
             to go on without them"
        );
        fs::remove_file(place.head_file()).unwrap();
        assert_eq!(append(&mut place.opened(), &[b"on"]).unwrap().seq, 3);
    });
}

#[test]
fn a_rewritten_end_is_noticed() {
    everywhere(|place| {
        fill(&mut place.created());
        place.sql("UPDATE {batch} SET hash = prev WHERE seq = 4");
        assert_eq!(
            place.refusal(),
            "PLACE: batch 4 is not the one that HEAD remembers: the journal was changed or \
             swapped for another; restore it from a backup, or delete the head file if the \
             journal is right"
        );
    });
}

#[test]
fn a_head_file_may_lag_or_be_torn_or_missing() {
    everywhere(|place| {
        fill(&mut place.created());
        let before = fs::read(place.head_file()).unwrap();
        assert_eq!(before.len(), 128);
        append(&mut place.opened(), &[b"fifth"]).unwrap();
        let after = fs::read(place.head_file()).unwrap();
        assert_eq!(after[..64], before[..64], "slots take turns");

        fs::write(place.head_file(), &before).unwrap();
        assert_eq!(place.opened().head().seq, 5, "it may lag");

        let mut torn = fs::read(place.head_file()).unwrap();
        torn[64 + 20..].fill(0);
        for torn in [&torn[..], &torn[..100], &[0; 128], b""] {
            fs::write(place.head_file(), torn).unwrap();
            assert_eq!(place.opened().head().seq, 5, "a torn slot is no slot");
        }

        // With the slot of batch 5 torn, the slot of batch 4 still protects.
        fs::write(place.head_file(), &torn).unwrap();
        place.sql("DELETE FROM {batch} WHERE seq > 3");
        let refusal = place.refusal();
        assert!(
            refusal.contains("ends at batch 3, but HEAD remembers batch 4"),
            "{refusal}"
        );

        fs::remove_file(place.head_file()).unwrap();
        place.opened();
        assert!(place.head_file().exists());
    });
}

#[test]
fn a_head_file_that_cannot_be_used_is_an_error() {
    everywhere(|place| {
        fill(&mut place.created());
        fs::remove_file(place.head_file()).unwrap();
        fs::create_dir(place.head_file()).unwrap();
        let refusal = place.refusal();
        assert!(
            refusal.starts_with("HEAD: cannot use the head file: "),
            "{refusal}"
        );
    });
}

#[test]
fn a_newer_format_is_refused() {
    everywhere(|place| {
        fill(&mut place.created());
        place.sql("UPDATE {meta} SET format = 99");
        assert_eq!(
            place.refusal(),
            format!(
                "PLACE: this journal was written by a newer Tandem (format 99; this program reads \
                 up to {}); use a newer program",
                tandem_journal::FORMAT
            )
        );
    });
}
