//! Books that start from snapshots.

use std::fs;
use std::path::Path;
use std::thread;

use tandem_domain::book::Command;
use tandem_engine::{Engine, ReplayError, Writer};
use tandem_journal::snapshot::list;
use tandem_journal::{BookName, Journal, Memory};

use super::writer::{documents, fix};

type Book = Engine<Memory>;

fn signed() -> Book {
    let memory = Memory::new(BookName::new("example").unwrap());
    let mut engine = Engine::open(Journal::open(memory).unwrap()).unwrap();
    let sign = Command::Sign(Box::new(documents()));
    engine.submit([sign]).unwrap()[0].as_ref().unwrap();
    engine
}

fn fix_days(engine: &mut Book, days: std::ops::Range<i32>) {
    for day in days {
        engine.submit([fix(day)]).unwrap()[0].as_ref().unwrap();
    }
}

/// Opens the book again from what is durable.
fn reopen(engine: &mut Book, folder: &Path) -> Result<(Book, Vec<String>), ReplayError> {
    let disk = engine.journal().store().clone();
    let (book, unusable) = Engine::open_from(Journal::open(disk).unwrap(), folder)?;
    let file = |path: &Path| path.file_name().unwrap().display().to_string();
    let unusable = unusable.iter();
    let unusable = unusable.map(|error| format!("{}: {}", file(&error.path), error.cause));
    Ok((book, unusable.collect()))
}

#[test]
fn a_book_opens_from_its_newest_sound_snapshot() {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = signed();
    let expect = |engine: &mut Book, unusable: &[&str]| {
        let (again, found) = reopen(engine, folder.path()).unwrap();
        assert_eq!(found, unusable);
        assert_eq!(again.book().digest(), engine.book().digest());
        assert_eq!(again.book().findings(), []);
    };
    expect(&mut engine, &[]);
    fix_days(&mut engine, 0..3);
    engine.snapshot(folder.path()).unwrap();
    fix_days(&mut engine, 3..5);
    let newest = engine.snapshot(folder.path()).unwrap();
    fix_days(&mut engine, 5..9);
    expect(&mut engine, &[]);
    // A damaged one is passed over, and without any the journal is read.
    let mut bytes = fs::read(&newest).unwrap();
    bytes[500] ^= 1;
    fs::write(&newest, bytes).unwrap();
    expect(&mut engine, &["6: it is damaged"]);
    for (path, _) in list(folder.path()).unwrap() {
        fs::write(path, "short").unwrap();
    }
    expect(&mut engine, &["6: it is not whole", "4: it is not whole"]);
}

#[test]
fn a_snapshot_that_does_not_fit_the_journal_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let (mut long, mut short, mut other) = (signed(), signed(), signed());
    fix_days(&mut long, 0..5);
    fix_days(&mut short, 0..2);
    fix_days(&mut other, 1..8);
    long.snapshot(folder.path()).unwrap();
    let message = |engine: &mut Book| {
        reopen(engine, folder.path())
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        message(&mut short),
        "memory ends at batch 3, but was to be continued after batch 6: the journal lost batches, \
         or the snapshot belongs to another one; restore the journal from a backup"
    );
    assert_eq!(
        message(&mut other),
        "memory: batch 6 is not the one to continue after: the snapshot belongs to another \
         journal; use the one taken from this journal, or none"
    );
}

#[test]
fn a_snapshot_is_written_while_clients_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let writer = Writer::start(signed(), 8).unwrap();
    let mut client = writer.client();
    let load = thread::spawn(move || {
        for day in 0..3_000 {
            client.submit([fix(day)]).unwrap()[0].as_ref().unwrap();
        }
    });
    let asking = writer.client();
    for _ in 0..2 {
        asking.snapshot(folder.path()).unwrap().unwrap();
    }
    load.join().unwrap();
    // One that nobody waits for any more is finished all the same.
    let path = folder.path().to_owned();
    let asked = thread::spawn(move || asking.snapshot(&path));
    asked.join().unwrap().unwrap().unwrap();
    let mut engine = writer.stop().unwrap();
    let head = engine.journal().head().seq;
    let taken: Vec<u64> = list(folder.path()).unwrap().iter().map(|of| of.1).collect();
    assert_eq!(taken.first(), Some(&head));
    let (again, unusable) = reopen(&mut engine, folder.path()).unwrap();
    assert_eq!(unusable, [""; 0]);
    assert_eq!(again.book().digest(), engine.book().digest());
    assert_eq!(again.book().fixings("R").len(), 3_000);
}
