//! The audit log of a service, from the command line.

use std::fs;
use std::path::Path;

use tandem_web::audit::{self, Act, Entry};
use tandem_web::registry::NodeFile;

use super::common::{tandem, text};

/// A service's folder with entries of two parties.
fn service(folder: &Path) -> NodeFile {
    let file = folder.join("data/service/audit.db");
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    let file = NodeFile::open(&file, &audit::SCHEMAS).unwrap();
    let mut entries = ["river", "cloud", "river"].map(|party| Entry {
        address: "10.0.0.5".to_owned(),
        book: "marketplace".to_owned(),
        status: Some(200),
        ..Entry::new((party, "li"), Act::Viewed, "/loans/A-1", 1_700_000_000)
    });
    audit::append(&file, &mut entries).unwrap();
    file
}

#[test]
fn the_audit_log_is_exported_and_checked_against_the_export() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str]| {
        let said = tandem(folder.path(), &[&["audit"], words].concat());
        text(&said.stdout) + &text(&said.stderr)
    };
    assert_eq!(
        run(&["verify"]),
        "error: data/service/audit.db: there is no service in this folder; name that of \
         `tandem serve` with --data\n"
    );
    let file = service(folder.path());
    let export = run(&["export", "--party", "river"]);
    let expected = r#" {"party":"river","number":1,"at":1700000000,"login":"li","address":"10.0.0.5","book":"marketplace","act":"viewed","object":"/loans/A-1","status":200}"#;
    assert_eq!(export.lines().next().unwrap()[64..], *expected);
    fs::write(folder.path().join("river.log"), &export).unwrap();
    let last = &export.lines().nth(1).unwrap()[..64];
    let river = format!("river: 2 entries follow from each other, to {last}\n");
    assert_eq!(run(&["verify", "river.log"]), river);
    let all = run(&["verify", "river.log", "--data", "data"]);
    assert!(
        all.starts_with("cloud: 1 entries") && all.ends_with(&river),
        "{all}"
    );
    assert_eq!(run(&["verify"]), all);
    // Entries that were removed by their age are missed by nobody but who has an older export.
    audit::remove(&file, "cloud", i64::MAX, 1_700_000_009).unwrap();
    let said = run(&["verify"]);
    assert!(
        said.starts_with(
            "cloud: 0 entries follow from each other since entry 1, the last that was removed by its \
             age, to "
        ),
        "{said}"
    );
    // The whole chain is gone: only who has the export can tell.
    let gone = "drop trigger audit_removed; delete from audit where party = 'river'";
    file.with(|connection| connection.execute_batch(gone))
        .unwrap();
    assert!(run(&["verify"]).starts_with("cloud: 0 entries"));
    let said = run(&["verify", "river.log", "--data", "data"]);
    assert!(
        said.ends_with(
            "error: entry 2 of `river` is not the one that was exported: the chain was written \
             anew, or its end was cut off\n"
        ),
        "{said}"
    );
    fs::write(
        folder.path().join("river.log"),
        export.replace("A-1", "A-2"),
    )
    .unwrap();
    let said = run(&["verify", "river.log"]);
    assert!(
        said.starts_with("error: river.log: entry 1 of `river` does not follow"),
        "{said}"
    );
    fs::write(folder.path().join("river.log"), "").unwrap();
    assert_eq!(
        run(&["verify", "river.log"]),
        "error: river.log: there is no entry in it\n"
    );
}
