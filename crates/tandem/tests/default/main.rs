//! The program as most people build it, without some features: it works, and says what is missing.

#![cfg(not(all(feature = "parquet", feature = "postgres")))]
#![expect(
    clippy::unwrap_used,
    reason = "helpers are not test functions to clippy"
)]

use std::{path::Path, process::Command};

/// Runs the program in a folder: whether it succeeds, and what it says on the way.
fn tandem(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let output = command.current_dir(folder).args(arguments).output();
    let output = output.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.success(), said)
}

#[cfg(not(feature = "postgres"))]
#[test]
fn without_postgres_it_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let without = "error: this program was built without PostgreSQL: build it with `cargo build \
                   --release --features postgres`, or leave --store out\n";
    let serve = ["serve", "servicing", "--node", "one"];
    for command in [&["verify"][..], &serve, &["client", "list"]] {
        let store = ["--store", "postgres://me:secret@db/lending"];
        let said = tandem(folder.path(), &[command, &store].concat());
        assert_eq!(said, (false, without.to_owned()), "{command:?}");
    }
}

#[cfg(not(feature = "parquet"))]
#[test]
fn without_parquet_it_says_how_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let servicing = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/servicing");
    let (ran, said) = tandem(folder.path(), &["run", servicing, "--data", "data"]);
    assert!(ran, "{said}");
    let without = "error: this program was built without Parquet; build it with it: cargo build \
                   --release --features parquet\n";
    for command in [&["archive"][..], &["export", "parquet", "--out", "tables"]] {
        let said = tandem(folder.path(), &[command, &["--data", "data"]].concat());
        assert_eq!(said, (false, without.to_owned()), "{command:?}");
    }
}
