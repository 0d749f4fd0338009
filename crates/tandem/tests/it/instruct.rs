//! What `tandem instruct` says, and everything that can be wrong with an instruction.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::common::{command, golden, servicing, tandem, text};

/// The example up to a day.
fn book(until: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let mut run = command(&programme, folder.path());
    let ran = run.args(["--until", until]).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    folder
}

fn instruct(folder: &Path, key: &str, words: &str, options: &[&str]) -> Result<String, String> {
    let words: Vec<_> = words.split(' ').collect();
    let start = ["instruct", "--data", "data", "--key", key];
    let output = tandem(folder, &[&start, options, &words].concat());
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

#[test]
fn it_says_what_was_done_what_changed_and_what_comes_next() {
    let folder = book("2024-03-24");
    let mut all = String::new();
    for (key, words, options) in [
        ("K-1", "L-1 prepay 500.00 CNY", &[][..]),
        ("K-2", "L-2 pay 100.00 CNY", &["--value-date", "2024-03-15"]),
        ("K-2", "L-2 pay 100.00 CNY", &["--value-date", "2024-03-15"]),
        ("K-3", "L-3 reverse P-3", &[]),
        ("K-4", "- reverse K-1", &[]),
        ("K-5", "L-4 rate 9%", &[]),
        ("K-6", "L-5 sell 50% cloud harbour 99%", &[]),
        ("K-7", "L-8 waive fee 20.00 CNY", &[]),
        ("K-8", "L-8 charge-off", &[]),
        ("K-9", "- replace cloud harbour 98%", &[]),
        ("K-9", "- replace cloud harbour 98%", &[]),
        ("K-10", "- fix LPR1Y 3.45%", &[]),
    ] {
        let said = instruct(folder.path(), key, words, options).unwrap();
        all += &format!("$ tandem instruct --key {key} {words}\n{said}\n");
    }
    golden(&all, "instruct");
}

/// The same agreement over two books: a limit is at home in one, and the other lends from a slice.
#[test]
fn slices_go_from_book_to_book() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let path = programme.join("agreement.toml");
    let agreement = fs::read_to_string(&path).unwrap();
    let limits = "\n[[limit]]\nclause = \"7.1\"\nper = \"total\"\namount = \"100,000.00 CNY\"\n\
                  \n[[limit]]\nclause = \"7.2\"\nper = \"region\"\namount = \"90,000.00 CNY\"\n";
    let lent = limits.replace("amount", "home = \"servicing\"\namount");
    // The last has limits of its own, of the same clauses.
    for (book, id, limits) in [
        ("data", "servicing", limits),
        ("north", "servicing-north", &lent),
        ("south", "servicing-south", &lent),
        ("west", "servicing-west", limits),
    ] {
        let agreement = agreement.replace("id = \"servicing\"", &format!("id = \"{id}\""));
        fs::write(&path, format!("{agreement}{limits}")).unwrap();
        let arguments = ["run", "servicing", "--data", book, "--until", "2024-02-01"];
        let ran = tandem(folder.path(), &arguments);
        assert!(ran.status.success(), "{}", text(&ran.stderr));
    }
    let mut all = String::new();
    for (book, key, words) in [
        (
            "data",
            "S-0",
            "- slice 10,000.00 CNY of 7.1 to servicing-north",
        ),
        (
            "data",
            "S-1",
            "- slice 5000.00 CNY of 7.1 to servicing-north",
        ),
        (
            "north",
            "S-1",
            "- slice 5000.00 CNY of 7.1 from servicing on 2024-02-02",
        ),
        (
            "north",
            "S-1",
            "- slice 5000.00 CNY of 7.1 from servicing on 2024-02-02",
        ),
        ("north", "R-1", "- slice 4000.00 CNY of 7.1 to servicing"),
        (
            "data",
            "R-1",
            "- slice 4000.00 CNY of 7.1 from servicing-north on 2024-02-02",
        ),
        (
            "data",
            "S-2",
            "- slice 500.00 CNY of 7.2 for east to servicing-north",
        ),
        (
            "data",
            "S-2",
            "- slice 500.01 CNY of 7.2 for east to servicing-north",
        ),
        (
            "data",
            "S-3",
            "- slice 500.00 CNY of 7.2 to servicing-north",
        ),
        ("data", "S-3", "- slice 500.00 CNY of 7.2 for east"),
        (
            "data",
            "S-3",
            "L-1 slice 500.00 CNY of 7.1 to servicing-north",
        ),
        (
            "north",
            "S-3",
            "- slice 500.00 CNY of 7.1 from servicing on 2024-02-03",
        ),
    ] {
        let arguments = ["instruct", "--data", book, "--key", key];
        let words: Vec<_> = words.split(' ').collect();
        let output = tandem(folder.path(), &[&arguments[..], &words].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        let words = words.join(" ");
        all += &format!("$ tandem instruct --data {book} --key {key} {words}\n{said}\n");
    }
    // A slice that was never sent, and one that was sent otherwise, are told by both books.
    let forge = |all: &mut String, book: &str, key: &str, words: &str| {
        let said: Vec<_> = words.split(' ').collect();
        let arguments = ["instruct", "-", "--data", book, "--key", key];
        let output = tandem(folder.path(), &[&arguments[..], &said].concat());
        *all += &format!(
            "$ tandem instruct - --data {book} --key {key} {words}\n{}",
            text(&output.stderr)
        );
    };
    let verify = |all: &mut String, books: &[&str]| {
        let output = tandem(folder.path(), &[&["verify-slices"], books].concat());
        let said = text(&output.stdout) + &text(&output.stderr);
        *all += &format!("$ tandem verify-slices {}\n{said}\n", books.join(" "));
        output.status.success()
    };
    assert!(verify(&mut all, &["data", "north", "west"]));
    assert!(!verify(&mut all, &["data"]));
    assert!(!verify(&mut all, &["data", "north", "data"]));
    for (book, key, words) in [
        (
            "north",
            "S-9",
            "slice 700.00 CNY of 7.1 from servicing on 2024-02-02",
        ),
        (
            "north",
            "S-2",
            "slice 400.00 CNY of 7.2 for east from servicing on 2024-02-02",
        ),
        (
            "south",
            "S-1",
            "slice 5000.00 CNY of 7.1 from servicing on 2024-02-02",
        ),
    ] {
        forge(&mut all, book, key, words);
    }
    assert!(!verify(&mut all, &["data", "north", "south"]));
    golden(&all, "slices");
}

#[test]
fn every_error_says_what_is_wrong() {
    let folder = book("2024-03-24");
    let mut all = String::new();
    for (key, words, options) in [
        ("K-1", "L-99 pay 1.00 CNY", &[][..]),
        ("K-1", "L-1 forgive 1.00 CNY", &[]),
        ("K-1", "L-1 pay 1.005 CNY", &[]),
        ("K-1", "L-1 pay 1.00 EUR", &[]),
        ("K-1", "L-1 reverse", &[]),
        ("K-1", "L-1 reverse P-99", &[]),
        ("K-1", "L-1 reverse P-3", &[]),
        ("K-1", "- pay 1.00 CNY", &[]),
        ("K-1", "L-1 replace cloud harbour 98%", &[]),
        ("K-1", "- replace cloud nobody 98%", &[]),
        ("K-1", "L-1 settle 1.00 CNY", &[]),
        ("K-1", "L-1 pay 1.00 CNY", &["--value-date", "2024-03-26"]),
        ("K-1", "L-1 pay 1.00 CNY", &["--value-date", "2024-01-14"]),
        ("P-1", "L-1 pay 1.00 CNY", &[]),
        ("K-1", "L-1 re-age", &[]),
        ("K-1", "L-1 draw 1.00 CNY", &[]),
        ("K-1", "- fix LPR1Y 345%", &[]),
    ] {
        let said = instruct(folder.path(), key, words, options).unwrap_err();
        all += &format!(
            "$ tandem instruct --key {key} {words} {}\n{said}\n",
            options.join(" ")
        );
    }
    golden(&all, "instruct-errors");
    let nowhere = tandem(folder.path(), &["instruct", "--key", "K", "L-1", "re-age"]);
    assert_eq!(
        text(&nowhere.stderr),
        "error: there is no book below ./data; name its folder with --data\n"
    );
}

#[test]
fn a_book_has_one_writer() {
    let folder = book("2024-02-01");
    let database = folder.path().join("data/book.db");
    let writer = tandem_journal::Sqlite::open(&database).unwrap();
    let said = instruct(folder.path(), "K-1", "L-1 pay 1.00 CNY", &[]).unwrap_err();
    assert!(
        said.contains("the journal is in use by another program; a journal has one writer"),
        "{said}"
    );
    drop(writer);
    instruct(folder.path(), "K-1", "L-1 pay 1.00 CNY", &[]).unwrap();
}

#[test]
fn bad_rows_are_named_by_line_and_column_and_the_others_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let path = programme.join("instructions.csv");
    let rows = "key,loan,value_date,entered,instruction\n\
        X-1,L-1,2024-02-30,,pay 1.00 CNY\n\
        X-2,L-1,2024-02-20,,forgive 1.00 CNY\n\
        X-3,L-1,2024-02-20\n\
        X-4,L-99,2024-02-20,,pay 1.00 CNY\n\
        X-5,-,2024-02-20,,pay 1.00 CNY\n\
        X-6,L-1,2024-02-20,2024-02-19,pay 1.00 CNY\n\
        X-7,L-1,2024-02-20,,reverse P-99\n\
        X-8,L-1,2024-02-20,,\"pay 1,000.00 CNY\"\n";
    fs::write(&path, rows).unwrap();
    let payments = programme.join("payments.csv");
    let good = fs::read_to_string(&payments).unwrap();
    fs::write(
        &payments,
        format!("{good}P-X,L-1,2024-02-20,1700.005\nP-Y,L-98,2024-02-20,1.00\n"),
    )
    .unwrap();

    let checked = tandem(folder.path(), &["check", "servicing"]);
    let checked = text(&checked.stdout);
    let (_, rows) = checked.split_once("The programme is valid.\n").unwrap();
    golden(rows, "check-rows");
    let mut run = command(&programme, folder.path());
    let ran = run.args(["--until", "2024-03-01"]).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    golden(
        &fs::read_to_string(folder.path().join("out/problems.txt")).unwrap(),
        "problems",
    );
    let told = tandem(folder.path(), &["history", "L-1", "--data", "data"]);
    assert!(text(&told.stdout).contains("Payment X-8: 1,000.00 CNY"));

    fs::write(&path, "key,loan,instruction\n").unwrap();
    let ran = command(&programme, folder.path()).output().unwrap();
    assert_eq!(
        text(&ran.stderr),
        "error: instructions.csv, line 1: there is no column `value_date`; the columns are key, loan, \
         value_date, instruction and, if an instruction comes later than its value date, entered\n"
    );
}
