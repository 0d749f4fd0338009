//! From a programme with business days of its own to the quote of one of its loans.

use std::fs;
use std::process::Command;

use super::common::{command, marketplace, text};

const CALENDAR: &str = r#"format = 1
id = "bazaar-days"
title = "Days on which the banks work"
weekend = ["saturday", "sunday"]

[[holiday]]
day = "2022-01-31"
name = "New Year's Eve"
"#;

#[test]
fn a_loan_of_a_programme_with_a_calendar_is_quoted() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 20);
    let calendar = programme.join("calendar.toml");
    let tandem = |arguments: &[&str]| {
        let mut tandem = Command::new(env!("CARGO_BIN_EXE_tandem"));
        tandem.args(arguments).output().unwrap()
    };

    fs::write(&calendar, CALENDAR.replace("sunday", "holiday")).unwrap();
    let refused = command(&programme, folder.path()).output().unwrap();
    let error = text(&refused.stderr);
    assert!(
        error.contains("calendar.toml, line 4, weekend[1]"),
        "{error}"
    );
    assert!(!folder.path().join("data").exists());

    fs::write(&calendar, CALENDAR).unwrap();
    let checked = text(&tandem(&["check", programme.to_str().unwrap()]).stdout);
    assert!(
        checked.contains("later by the calendar `bazaar-days`"),
        "{checked}"
    );
    let checked = text(&tandem(&["check", calendar.to_str().unwrap()]).stdout);
    assert_eq!(
        checked,
        "The calendar `bazaar-days` is valid: 1 day without business besides weekends, 0 weekend \
         days worked.\n"
    );
    let mut run = command(&programme, folder.path());
    let ran = run.args(["--until", "2022-06-30"]).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let loans = fs::read_to_string(folder.path().join("out/loans.csv")).unwrap();
    let active = loans
        .lines()
        .find(|line| line.contains(",active,"))
        .unwrap();
    let key = active.split(',').next().unwrap();

    let data = folder.path().join("data");
    let quote = |options: &[&str]| {
        let start = ["quote", key, "--data", data.to_str().unwrap()];
        tandem(&[&start, options].concat())
    };
    let table = text(&quote(&["--on", "2022-07-15"]).stdout);
    assert!(
        table.starts_with(&format!("{key} is settled on 2022-07-15 with ")),
        "{table}"
    );
    let json = text(&quote(&["--format", "json"]).stdout);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["on"], "2022-07-01");
    let number = |name: &str| json[name].as_i64().unwrap();
    let parts = ["principal", "interest", "penalty", "fees", "prepaymentFee"];
    let owed: i64 = parts.iter().map(|part| number(part)).sum();
    assert_eq!(owed - number("held"), number("total"));
    let late = text(&quote(&["--on", "2022-06-30"]).stderr);
    assert!(
        late.starts_with("error: 2022-06-30 is over: the business date is 2022-07-01"),
        "{late}"
    );
}
