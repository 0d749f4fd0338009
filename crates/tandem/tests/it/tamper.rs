//! Somebody edits a journal on the disk: `tandem verify` finds it and names the batch.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tandem_engine::Engine;
use tandem_journal::{BookName, Journal, Sqlite};

#[path = "../../src/export/sample.rs"]
#[expect(dead_code, reason = "the unit tests use all of it")]
mod sample;

fn verify(folder: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command
        .arg("verify")
        .arg("--data")
        .arg(folder)
        .output()
        .unwrap()
}

#[test]
fn an_edited_journal_does_not_verify() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("book.db");
    let store = Sqlite::create(&database, &BookName::new("orchard").unwrap()).unwrap();
    let mut engine = Engine::open(Journal::open(store).unwrap()).unwrap();
    sample::play(&mut engine);
    drop(engine);

    let sound = verify(folder.path());
    let text = String::from_utf8(sound.stdout).unwrap();
    assert!(sound.status.success(), "{text}");
    assert_eq!(
        text.lines().filter(|line| line.starts_with('✓')).count(),
        7,
        "{text}"
    );
    assert!(text.lines().last().unwrap().starts_with("digest "));

    // The purpose of an application stands in the journal as it was written.
    let mut bytes = fs::read(&database).unwrap();
    let places = bytes
        .windows(7)
        .enumerate()
        .filter(|(_, window)| window == b"tractor");
    let places: Vec<_> = places.map(|(place, _)| place).collect();
    assert!(
        !places.is_empty(),
        "the log was copied into the database when the engine was closed"
    );
    for place in places {
        bytes[place..place + 7].copy_from_slice(b"tractar");
    }
    fs::write(&database, bytes).unwrap();

    let edited = verify(folder.path());
    assert!(!edited.status.success());
    assert_eq!(
        String::from_utf8(edited.stdout).unwrap(),
        "✗ journal verified\n"
    );
    assert_eq!(
        String::from_utf8(edited.stderr).unwrap(),
        format!(
            "error: {}: batch 3 does not match its own hash: it was changed after it was written; \
             do not continue with it: restore the journal from a backup\n",
            database.display()
        )
    );
}
