//! What `tandem instruct` says, and everything that can be wrong with an instruction.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::common::{command, digest, examples, golden, marketplace, servicing, tandem, text};

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

/// L-8 is written off on 7 April, 20 days after an instalment that was paid on 20 March.
#[test]
fn a_payment_that_comes_late_undoes_a_write_off() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let path = programme.join("agreement.toml");
    let agreement = fs::read_to_string(&path).unwrap();
    let sooner = agreement.replace("days_past_due = 120", "days_past_due = 20");
    fs::write(&path, sooner).unwrap();
    let mut run = command(&programme, folder.path());
    let ran = run.args(["--until", "2024-04-10"]).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let mut all = String::new();
    for (key, words, options) in [
        (
            "K-1",
            "L-8 pay 1,300.00 CNY",
            &["--value-date", "2024-03-20"][..],
        ),
        ("K-2", "L-8 reverse K-1", &[]),
    ] {
        let said = instruct(folder.path(), key, words, options).unwrap();
        all += &format!("$ tandem instruct --key {key} {words}\n{said}\n");
    }
    golden(&all, "write-off-undone");
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

/// A programme with three applications that `harbour` refers, and rows that decide them.
fn referrals(folder: &Path, rows: &str) -> PathBuf {
    let programme = marketplace(folder, 0);
    let all = fs::read_to_string(examples().join("marketplace/applications.csv")).unwrap();
    let keys = ["M-07646", "M-02867", "M-06904"];
    let mut lines = all.lines();
    let mut some = lines.next().unwrap().to_owned() + "\n";
    for line in lines.filter(|line| keys.iter().any(|key| line.starts_with(key))) {
        some += line;
        some.push('\n');
    }
    fs::write(programme.join("applications.csv"), some).unwrap();
    decide(&programme, rows);
    programme
}

fn decide(programme: &Path, rows: &str) {
    let rows = format!("key,loan,value_date,instruction\n{rows}");
    fs::write(programme.join("instructions.csv"), rows).unwrap();
}

/// Runs it up to a day: the book's digest and what was wrong.
fn run_until(programme: &Path, until: &str) -> (String, String) {
    let folder = programme.parent().unwrap();
    let mut run = command(programme, folder);
    let ran = run.args(["--until", until]).output().unwrap();
    let problems = fs::read_to_string(folder.join("out/problems.txt"));
    (digest(&ran), problems.unwrap_or_default())
}

fn history_of(folder: &Path, key: &str) -> String {
    text(&tandem(folder, &["history", key, "--data", "data"]).stdout)
}

/// Rows of a programme decide what its lenders referred; an offer is taken, and the loan lives like others.
#[test]
fn people_decide_what_a_programme_referred() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = "D-1,M-06904,2022-01-06,approve harbour 30000.00 CNY at 11.4%\n\
                D-2,M-02867,2022-01-05,decline harbour H20\n\
                D-3,M-02867,2022-01-06,approve harbour 200000.00 CNY at 9.6%\n\
                D-4,M-07646,2022-01-30,approve harbour 1.00 CNY at 99%\n\
                D-5,M-07646,2022-01-30,approve harbour 1.00 at 99%\n\
                D-6,M-07646,2022-01-30,decline harbour\n\
                D-7,M-07646,2022-01-30,decline harbour H1 X\n\
                D-8,M-99999,2022-01-30,decline harbour H20\n";
    let programme = referrals(folder, rows);
    let checked = text(&tandem(folder, &["check", "marketplace"]).stdout);
    let (_, checked) = checked.split_once("\nInstructions: ").unwrap();
    assert!(
        checked.starts_with("5 rows are good, 3 are not.\n"),
        "{checked}"
    );
    let (first, problems) = run_until(&programme, "2022-03-31");
    for expected in [
        "instructions.csv, line 4: decision on M-02867: `harbour` has decided on application `M-02867` before, and otherwise; a decision stands",
        "instructions.csv, line 5: decision on M-07646: application `M-07646` waits for no decision: it is lapsed",
        "instructions.csv, line 6, instruction: `approve harbour 1.00 at 99%` cannot be read; write for example `approve river 5000.00 CNY at 13%`",
        "instructions.csv, line 7, instruction: `decline harbour` cannot be read; write for example `decline river R-DTI`",
        "instructions.csv, line 8, instruction: the policy of `harbour` has no reason `H1`",
        "instructions.csv, line 9: decision on M-99999: there is no application `M-99999`",
    ] {
        assert!(problems.contains(expected), "{expected} in {problems}");
    }
    let report = fs::read_to_string(folder.join("out/report.html")).unwrap();
    for expected in [
        "H20</td><td class=\"number\">2</td><td class=\"number\">66.7%</td>",
        "Clauses and rules then kept a lender out 3 times: River Valley Bank 3 times",
    ] {
        assert!(report.contains(expected), "{expected} in {report}");
    }
    let approved = history_of(folder, "M-06904");
    for expected in [
        "2022-01-06  A person at harbour decides",
        "approves up to 30,000.00 CNY at 11.40%",
        "2022-01-06  Disbursed: 32,500.00 CNY",
        "2022-02-06  Payment M-06904/1: 1,065.55 CNY",
    ] {
        assert!(approved.contains(expected), "{expected} in {approved}");
    }
    let declined = history_of(folder, "M-02867");
    assert!(declined.contains("2022-01-05  A person at harbour decides"));
    assert!(declined.contains("Declined: the lenders that accept are too few or cover too little"));
    // Rows that were carried out change nothing when the programme is run again.
    assert_eq!(run_until(&programme, "2022-03-31").0, first);
}

/// Codes are those of the policy under which an application came in, whatever the programme says by then.
#[test]
fn reasons_are_read_by_the_policy_under_which_an_application_came_in() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let programme = referrals(folder, "");
    run_until(&programme, "2022-01-03");
    for (file, from, to) in [
        ("agreement.toml", "\nversion = 1\n", "\nversion = 2\n"),
        ("agreement.toml", "2022-01-01", "2022-02-01"),
        ("policies/harbour.toml", "2022.1", "2022.2"),
        (
            "policies/harbour.toml",
            "[[decline]]\ncode = \"H01\"",
            "[[decline]]\ncode = \"H00\"\nreason = \"No income.\"\n\
             when = { annual_income = \"missing\" }\n\n[[decline]]\ncode = \"H01\"",
        ),
        ("policies/harbour.toml", "\"H20\"", "\"H21\""),
    ] {
        let path = programme.join(file);
        let before = fs::read_to_string(&path).unwrap();
        assert!(before.contains(from), "{file} has no {from}");
        fs::write(&path, before.replacen(from, to, 1)).unwrap();
    }
    decide(
        &programme,
        "D-1,M-02867,2022-01-05,decline harbour H01 H20\n\
         D-2,M-06904,2022-01-05,decline harbour H21\n",
    );
    let (first, problems) = run_until(&programme, "2022-01-06");
    assert_eq!(
        problems,
        "instructions.csv, line 3, instruction: the policy of `harbour` has no reason `H21`\n"
    );
    let declined = history_of(folder, "M-02867");
    for expected in ["H01: Debt burden above 32% of income.", "H20: A past loan"] {
        assert!(declined.contains(expected), "{expected} in {declined}");
    }
    assert!(!declined.contains("H02"), "{declined}");
    assert_eq!(run_until(&programme, "2022-01-06"), (first, problems));
}

/// Who sent an application takes it back while it waits, by a row or on the command line.
#[test]
fn what_waits_for_a_person_is_withdrawn() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = "W-1,M-06904,2022-01-05,withdraw\n\
                W-2,M-06904,2022-01-06,approve harbour 30000.00 CNY at 11.4%\n\
                W-3,M-06904,2022-01-06,withdraw it\n";
    let programme = referrals(folder, rows);
    let (_, problems) = run_until(&programme, "2022-01-06");
    assert_eq!(
        problems,
        "instructions.csv, line 4, instruction: `withdraw it` cannot be read; write for example `withdraw`\n\
         instructions.csv, line 3: decision on M-06904: application `M-06904` waits for no decision: it is withdrawn\n"
    );
    let history = history_of(folder, "M-06904");
    assert!(
        history.contains("2022-01-05  The application is withdrawn"),
        "{history}"
    );
    let words = "M-02867 withdraw";
    let dated = instruct(folder, "W-4", words, &["--value-date", "2022-01-05"]);
    assert_eq!(
        dated.unwrap_err(),
        "error: an application is withdrawn on the business date, 2022-01-07; leave --value-date out\n"
    );
    let withdrawn = instruct(folder, "W-4", words, &[]).unwrap();
    assert_eq!(withdrawn, "2022-01-07  M-02867 is withdrawn\n");
    let again = instruct(folder, "W-5", words, &[]).unwrap();
    assert_eq!(again, "M-02867 was withdrawn before: nothing changed\n");
    let unknown = instruct(
        folder,
        "W-6",
        "M-06904 approve harbour 30000.00 CNY at 11.4%",
        &[],
    );
    assert_eq!(
        unknown.unwrap_err(),
        "error: no_referral: application `M-06904` waits for no decision: it is withdrawn\n"
    );
}

#[test]
fn a_decision_on_the_command_line_is_one_of_today_and_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let programme = referrals(folder, "");
    run_until(&programme, "2022-01-05");
    let words = "M-06904 approve harbour 30000.00 CNY at 11.4%";
    let dated = instruct(folder, "K-1", words, &["--value-date", "2022-01-05"]);
    assert_eq!(
        dated.unwrap_err(),
        "error: a person decides on the business date, 2022-01-06; leave --value-date out\n"
    );
    assert_eq!(
        instruct(folder, "K-1", words, &[]).unwrap(),
        "2022-01-06  A person at harbour decides on M-06904: it is offered\n"
    );
    assert_eq!(
        instruct(folder, "K-2", words, &[]).unwrap(),
        "harbour decided so on M-06904 before: nothing changed\n"
    );
    // Its offer is taken by the next run.
    run_until(&programme, "2022-01-06");
    let taken = history_of(folder, "M-06904");
    assert!(taken.contains("2022-01-06  Disbursed"), "{taken}");
}

/// An offer that stands open is not taken by a row that is refused, only by a run that has its application.
#[test]
fn a_refused_row_takes_no_offer() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let rows = "D-1,M-06904,2022-01-06,approve harbour 20000.00 CNY at 12%\n";
    let programme = referrals(folder, rows);
    run_until(&programme, "2022-01-05");
    let words = "M-06904 approve harbour 30000.00 CNY at 11.4%";
    let said = instruct(folder, "K-1", words, &[]).unwrap();
    assert!(said.contains("it is offered"), "{said}");
    let path = programme.join("applications.csv");
    let all = fs::read_to_string(&path).unwrap();
    let header = all.lines().next().unwrap();
    fs::write(&path, format!("{header}\n")).unwrap();
    let (_, problems) = run_until(&programme, "2022-01-06");
    assert_eq!(
        problems,
        "instructions.csv, line 2: decision on M-06904: `harbour` has decided on application \
         `M-06904` before, and otherwise; a decision stands\n"
    );
    let offered = history_of(folder, "M-06904");
    assert!(!offered.contains("Disbursed"), "{offered}");
    // What was decided alike, as before a crash, is carried on with.
    decide(
        &programme,
        &rows.replace("20000.00 CNY at 12%", "30000.00 CNY at 11.4%"),
    );
    assert_eq!(run_until(&programme, "2022-01-07").1, "");
    let taken = history_of(folder, "M-06904");
    assert!(taken.contains("2022-01-07  Disbursed"), "{taken}");
}
