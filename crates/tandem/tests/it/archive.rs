//! Loans that are over leave the book for Parquet files, and nothing that people look at changes.

use std::fs;
use std::path::Path;

use super::common::{servicing, tandem, text};

fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = tandem(folder, arguments);
    text(&output.stdout) + &text(&output.stderr)
}

/// The example to its end, with loans that are archived a month after they were repaid.
fn book(folder: &Path) {
    let programme = servicing(folder);
    let path = programme.join("agreement.toml");
    let agreement = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{agreement}\n[archive]\nafter_days = 30\n")).unwrap();
    let ran = tandem(folder, &["run", "servicing", "--data", "data"]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
}

#[test]
fn archived_loans_are_gone_from_the_book_and_are_shown_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    book(folder);
    let told = run(folder, &["history", "L-1", "--data", "data"]);
    let tables = |to: &str| {
        run(folder, &["export", "csv", "--data", "data", "--out", to]);
        let names = ["loans", "shares", "postings", "applications", "balances"];
        names.map(|name| {
            fs::read_to_string(folder.join(to).join(name).with_extension("csv")).unwrap()
        })
    };
    let before = tables("before");
    // What a run left that was killed in the middle is no hindrance.
    let archive = folder.join("data/archive");
    let mut all = String::new();
    let mut say = |arguments: &[&str]| {
        let said = run(folder, arguments);
        all += &format!("$ tandem {}\n{said}\n", arguments.join(" "));
        said
    };
    let said = say(&["archive", "--data", "data"]);
    let name = said.trim().rsplit('/').next().unwrap().to_owned();
    let tables_of: Vec<_> = [
        "applications",
        "decisions",
        "instructions",
        "loans",
        "postings",
        "sales",
        "shares",
    ]
    .into_iter()
    .filter(|table| archive.join(&name).join(table).is_dir())
    .collect();
    assert_eq!(tables_of.len(), 7, "{tables_of:?}");
    let found = fs::read_dir(archive.join(&name)).unwrap().count();
    assert_eq!(found, 7);
    say(&["archive", "--data", "data"]);
    say(&[
        "instruct", "L-1", "pay", "1.00 CNY", "--key", "K-1", "--data", "data",
    ]);
    say(&[
        "instruct", "-", "reverse", "P-1", "--key", "K-1", "--data", "data",
    ]);
    say(&["quote", "L-1", "--data", "data"]);
    // As before, and one line more.
    let after = run(folder, &["history", "L-1", "--data", "data"]);
    let line = format!("\n{}  Archived in {name}\n", &name[..10]);
    assert_eq!(after.replacen(&line, "", 1), told);
    assert!(after.contains(&line), "{after}");
    assert_eq!(tables("after"), before);
    let verified = run(folder, &["verify", "--data", "data"]);
    assert!(verified.contains("digest"), "{verified}");
    // From the snapshot and from the journal the book is the same.
    fs::remove_dir_all(folder.join("data/snapshots")).unwrap();
    say(&[
        "instruct", "L-1", "pay", "1.00 CNY", "--key", "K-1", "--data", "data",
    ]);
    // The programme can be run again.
    let again = run(folder, &["run", "servicing", "--data", "data"]);
    assert!(
        again.contains("nothing can be done to loans that are archived"),
        "{again}"
    );
    super::common::golden(&all, "archive");
}
