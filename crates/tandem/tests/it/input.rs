//! What people get wrong: bad rows cost nothing but themselves, bad documents change nothing.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use tandem_web::refusals;
use tandem_web::registry::Registry;

use super::common::{command, marketplace, servicing, tandem, text};

/// Changes one file of a programme.
fn edit(programme: &Path, file: &str, from: &str, to: &str) {
    let path = programme.join(file);
    let before = fs::read_to_string(&path).unwrap();
    assert!(before.contains(from), "{file} has no `{from}`");
    fs::write(path, before.replacen(from, to, 1)).unwrap();
}

fn run_until(programme: &Path, folder: &Path, until: [&str; 2]) {
    let ran = command(programme, folder).args(until).output().unwrap();
    assert!(ran.status.success());
}

#[test]
fn bad_rows_are_reported_and_the_good_ones_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 20);
    let path = programme.join("applications.csv");
    let table = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    let mut bytes = Vec::new();
    let mut add = |line: &[u8]| {
        bytes.extend_from_slice(line);
        bytes.push(b'\n');
    };
    for line in &lines {
        add(line.as_bytes());
    }
    // Lines 22 to 29; the long line is followed by a good one again.
    add(lines[1]
        .replace("M-00001", "B-1")
        .replace(",28000,", ",28k,")
        .as_bytes());
    add(lines[1]
        .replace("M-00001", "B-2")
        .replace("Mar-2018", "Smarch-2018")
        .as_bytes());
    add(lines[1]
        .replace("M-00001", "B-3")
        .replace(",28000,", ",-28000,")
        .as_bytes());
    add(lines[1].replace(",28000,", ",27000,").as_bytes());
    add(b"B-5,too,few");
    add(&[b"B-6,".as_slice(), &vec![b'x'; 10 << 20]].concat());
    add(&lines[1]
        .replace("M-00001", "B-7")
        .into_bytes()
        .iter()
        .map(|&b| if b == b'N' { 0xff } else { b })
        .collect::<Vec<_>>());
    add(lines[1].replace("M-00001", "GOOD").as_bytes());
    fs::write(&path, bytes).unwrap();

    let output = command(&programme, folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let problems = fs::read_to_string(folder.path().join("out/problems.txt")).unwrap();
    for expected in [
        "applications.csv, line 22, loan_amount: `28k` is not a number; write digits with an optional point, for example 1234.50",
        "applications.csv, line 23, issue_month: ",
        "applications.csv, line 24, loan_amount: ",
        "applications.csv, line 25: key `M-00001` was used before with other content; use a new key",
        "applications.csv, line 26: ",
        "applications.csv, line 27: ",
        "applications.csv, line 28, ",
    ] {
        let found = problems
            .lines()
            .filter(|line| line.contains(expected))
            .count();
        assert_eq!(found, 1, "{expected}\n{problems}");
    }
    assert_eq!(problems.lines().count(), 7, "{problems}");
    assert!(
        text(&output.stdout).contains("7 rows of the input could not be used"),
        "{}",
        text(&output.stdout)
    );
    let applications = fs::read_to_string(folder.path().join("out/applications.csv")).unwrap();
    assert_eq!(
        applications.lines().count(),
        1 + 20 + 1,
        "the good rows are all there"
    );
    assert!(applications.contains("GOOD"));
}

#[test]
fn bad_documents_are_refused_before_anything_is_written() {
    let cases = [
        (
            "agreement.toml",
            "minimum_lenders = 2",
            "minimum_lenders = 9",
            "agreement.toml, line 159, funding.minimum_lenders: must lie between 1 and the number of lenders",
        ),
        (
            "agreement.toml",
            "rulebook = \"cn\"",
            "rulebook = \"xx\"",
            "rulebook: there is no rulebook `xx`; there are cn, in, or write",
        ),
        (
            "agreement.toml",
            "penalty_rate = \"6%\"",
            "penalty_rate = 6",
            "product.penalty_rate: invalid type",
        ),
        (
            "policies/cloud.toml",
            "grade = \"A\"",
            "home = \"own\"",
            "the agreement does not let `cloud` see `home`; add it to the field's seen_by or leave the test out",
        ),
        (
            "policies/river.toml",
            "rate = \"10.2%\"",
            "rate = \"10.2\"",
            "offer[0].rate: ",
        ),
        (
            "mapping.toml",
            "column = \"loan_amount\"",
            "column = \"loan_amonut\"",
            "loan_amonut",
        ),
        (
            "mapping.toml",
            "format = 1",
            "format = 2",
            "mapping.toml, line 2, format: this program reads format 1",
        ),
    ];
    for (file, from, to, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let programme = marketplace(folder.path(), 5);
        edit(&programme, file, from, to);
        let output = command(&programme, folder.path()).output().unwrap();
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{file}: {to}");
        assert!(
            error.starts_with("error: ") && error.contains(expected),
            "{expected}\n{error}"
        );
        assert!(
            !folder.path().join("data").exists() && !folder.path().join("out").exists(),
            "{file}: {to}"
        );
    }
}

#[test]
fn a_changed_agreement_needs_a_new_version() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 5);
    let until = ["--until", "2022-01-31"];
    run_until(&programme, folder.path(), until);
    edit(
        &programme,
        "agreement.toml",
        "covers = \"80%\"",
        "covers = \"90%\"",
    );
    let refused = command(&programme, folder.path())
        .args(until)
        .output()
        .unwrap();
    let error = text(&refused.stderr);
    assert!(
        error.contains("version 1 of agreement `marketplace` is signed with other content; a change needs version 2"),
        "{error}"
    );
    edit(&programme, "agreement.toml", "version = 1", "version = 2");
    run_until(&programme, folder.path(), until);
}

#[test]
fn the_programme_explains_itself() {
    let example = super::common::examples().join("marketplace");
    let tandem = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"))
            .args(arguments)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let explained = tandem(&["check", example.to_str().unwrap()]);
    for expected in [
        "Harbour City Bank (harbour)",
        "clause 7.4",
        "cn-all-in-cost",
        "The programme is valid.",
    ] {
        assert!(explained.contains(expected), "{explained}");
    }
    let schema = tandem(&["schema", "agreement"]);
    assert!(
        schema.contains("\"leftover_order\"")
            && schema.contains("order in which leftover minor units"),
        "{schema}"
    );
}

#[test]
fn payments_come_from_the_users_file() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 40);
    edit(
        &programme,
        "mapping.toml",
        "source = \"behaviour\"\n\n[payments.behaviour]\nseed = 20180101",
        "source = \"file\"\nfile = \"payments.csv\"\nkey = \"id\"\napplication = \"loan\"\n\
         value_date = { column = \"received\", format = \"YYYY-MM-DD\" }\n\
         amount = { column = \"amount\", unit = \"CNY\" }\n\
         kind = { column = \"kind\", prepay = [\"early\"] }",
    );
    let tables = |what: &str| fs::read_to_string(folder.path().join("out").join(what)).unwrap();
    let header = "id,loan,received,amount,kind\n";
    fs::write(programme.join("payments.csv"), header).unwrap();
    let run = || {
        let output = command(&programme, folder.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    run();
    let loans = tables("loans.csv");
    let key = loans.lines().nth(1).unwrap().split(',').next().unwrap();

    // The book is open again for what came in since; one row is bad, one payment is refused.
    let rows = format!(
        "{header}P1,{key},2022-05-20,1000.00,\nP2,{key},2022-05-21,2000.00,early\n\
         P3,{key},2022-05-22,0.00,\nP4,M-99999,2022-05-22,10.00,\nP5,{key},2022-04-30,500.00,\n"
    );
    fs::write(programme.join("payments.csv"), rows).unwrap();
    // A service in the same folder learns what was refused.
    let registry = folder.path().join("service/registry.db");
    fs::create_dir_all(registry.parent().unwrap()).unwrap();
    let registry = Registry::open(&registry, &tandem_web::schemas()).unwrap();
    run();
    let refused = refusals::of(&registry, "marketplace", "cloud").unwrap();
    assert_eq!((refused.len(), refused[0].key.as_str()), (1, "P4"));
    assert_eq!(refused[0].detail, "there is no application `M-99999`");
    let problems = tables("problems.txt");
    assert!(
        problems.contains("payments.csv, line 4, amount: "),
        "{problems}"
    );
    assert!(
        problems.contains("payment P4: there is no application `M-99999`"),
        "{problems}"
    );
    assert_eq!(problems.lines().count(), 2, "{problems}");
    let loans = tables("loans.csv");
    let place = loans
        .lines()
        .next()
        .unwrap()
        .split(',')
        .position(|name| name == "received")
        .unwrap();
    let row = loans.lines().find(|row| row.starts_with(key)).unwrap();
    assert_eq!(row.split(',').nth(place), Some("3500.00"), "{row}");
}

#[test]
fn a_rule_that_binds_nobody_and_a_foreign_book_are_pointed_out() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 5);
    let until = ["--until", "2022-01-05"];
    run_until(&programme, folder.path(), until);
    edit(
        &programme,
        "agreement.toml",
        "id = \"marketplace\"",
        "id = \"bazaar-two\"",
    );
    let refused = command(&programme, folder.path())
        .args(until)
        .output()
        .unwrap();
    let error = text(&refused.stderr);
    assert!(
        error.contains(
            "holds the book `marketplace`, not `bazaar-two`; name another folder with --data"
        ),
        "{error}"
    );

    edit(
        &programme,
        "agreement.toml",
        "tier1_capital = \"900,000,000.00 CNY\"\n",
        "",
    );
    let check = std::process::Command::new(env!("CARGO_BIN_EXE_tandem"))
        .arg("check")
        .arg(&programme)
        .output()
        .unwrap();
    assert!(
        text(&check.stdout).contains("NOT APPLIED: river does not state its tier1_capital"),
        "{}",
        text(&check.stdout)
    );
}

#[test]
fn a_missing_file_of_payments_names_the_right_setting() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    fs::remove_file(programme.join("payments.csv")).unwrap();
    let ran = command(&programme, folder.path()).output().unwrap();
    let error = text(&ran.stderr);
    assert!(
        error.ends_with("; name the file in mapping.toml, payments.file\n"),
        "{error}"
    );
    fs::remove_file(programme.join("applications.csv")).unwrap();
    let ran = command(&programme, folder.path()).output().unwrap();
    let error = text(&ran.stderr);
    assert!(
        error.ends_with(
            "; name the file with --applications, or in mapping.toml, applications.file\n"
        ),
        "{error}"
    );
    let checked = text(&tandem(folder.path(), &["check", "servicing"]).stdout);
    assert!(
        checked.contains("Payments: there is no payments.csv yet.\n"),
        "{checked}"
    );
}

#[test]
fn results_that_cannot_be_written_are_noticed_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let run = |out: &Path| {
        let mut run = Command::new(env!("CARGO_BIN_EXE_tandem"));
        run.current_dir(folder.path()).arg("run").arg(&programme);
        let ran = run.arg("--out").arg(out).output().unwrap();
        assert!(
            !folder
                .path()
                .join("data")
                .join("servicing")
                .join("book.db")
                .exists()
        );
        text(&ran.stderr)
    };
    let taken = folder.path().join("taken");
    fs::create_dir_all(taken.join("report.html")).unwrap();
    let error = run(&taken);
    assert!(error.contains("report.html: "), "{error}");
    let error = run(&programme);
    assert!(
        error.contains(
            "is a programme's folder: the tables would be written over its applications.csv"
        ),
        "{error}"
    );
    let before = fs::read(programme.join("instructions.csv")).unwrap();
    let ran = command(&programme, folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let export = ["export", "csv", "--data", "data", "--out", "servicing"];
    let error = text(&tandem(folder.path(), &export).stderr);
    assert!(error.contains("is a programme's folder"), "{error}");
    assert_eq!(
        fs::read(programme.join("instructions.csv")).unwrap(),
        before
    );

    let statement = |month: &str| {
        let start = ["export", "statement", "--party", "river", "--data", "data"];
        let out = ["--month", month, "--out", "month.md"];
        text(&tandem(folder.path(), &[&start[..], &out].concat()).stderr)
    };
    for month in ["2023-12", "2025-01"] {
        assert_eq!(
            statement(month),
            "error: there is nothing to state for that month: the book goes from 2024-01-15 to 2024-12-07\n"
        );
        assert!(!folder.path().join("month.csv").exists());
    }
    assert_eq!(statement("2024-12"), "");
    assert!(folder.path().join("month.csv").exists());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let ran = command(&programme, folder.path()).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    for arguments in [
        &["run", "servicing", "--data", "data", "--out", "out"][..],
        &["check", "servicing"],
        &["schema", "agreement"],
        &["verify", "--data", "data"],
        &["history", "L-1", "--data", "data"],
        &["export", "hledger", "--party", "river", "--data", "data"],
        &[
            "instruct", "L-8", "pay", "1.00", "CNY", "--key", "K", "--data", "data",
        ],
    ] {
        let mut tandem = Command::new(env!("CARGO_BIN_EXE_tandem"));
        tandem.current_dir(folder.path()).args(arguments);
        let piped = tandem.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(
            output.status.success() && output.stderr.is_empty(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
}
