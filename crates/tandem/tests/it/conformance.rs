//! Contracts in the published format of ACTUS: the public ones where they lie, our own for the
//! terms that those leave out, and malformed ones for what is said of them. The figures of our
//! own were calculated apart from the program, in exact fractions.
//! `TANDEM_UPDATE=1` writes what came out instead of comparing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::common::text;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance")
}

fn actus(contracts: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tandem"))
        .current_dir(folder())
        .args(["conformance", "actus"])
        .arg(contracts)
        .args(more)
        .output()
        .unwrap()
}

fn last(printed: &str) -> &str {
    printed.lines().last().unwrap_or_default()
}

#[test]
fn public_contracts_come_out_as_published() {
    let public = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors/actus");
    if !public.is_dir() {
        eprintln!("skipped: {} is not there", public.display());
        return;
    }
    let output = actus(&public, &[]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    for line in printed.lines().filter(|line| line.contains("  fail")) {
        assert!(line.contains("known to be odd"), "{line}");
        assert!(line.starts_with("clm"), "{line}");
    }
    assert!(last(&printed).contains(", 0 unsupported"), "{printed}");
}

#[test]
fn our_own_contracts_come_out_as_calculated() {
    let output = actus(Path::new("own"), &[]);
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    let passed = "24 passed, 0 failed, 0 unsupported (tolerance 0.00000001)";
    assert_eq!(last(&printed), passed, "{printed}");
}

#[test]
fn a_figure_that_is_off_by_more_than_the_tolerance_fails() {
    let own = fs::read_to_string(folder().join("own/own.json")).unwrap();
    // One hundred-thousandth more, once.
    let wrong = own.replacen("\"14.95890410958904\"", "\"14.95891410958904\"", 1);
    assert_ne!(own, wrong);
    let copy = tempfile::tempdir().unwrap();
    fs::write(copy.path().join("own.json"), wrong).unwrap();
    let narrow = actus(copy.path(), &[]);
    assert!(!narrow.status.success());
    assert!(text(&narrow.stdout).contains("\n23 passed, 1 failed, 0 unsupported"));
    assert!(
        actus(copy.path(), &["--tolerance", "0.00001"])
            .status
            .success()
    );
    assert!(!actus(copy.path(), &["--tolerance", "-1"]).status.success());
}

#[test]
fn what_is_wrong_is_named_and_the_rest_goes_on() {
    let output = actus(Path::new("malformed"), &[]);
    assert!(!output.status.success());
    let found = format!("{}{}", text(&output.stdout), text(&output.stderr));
    let path = folder().join("malformed.txt");
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(&path).unwrap_or_default());
    let nowhere = actus(Path::new("nowhere"), &[]);
    assert!(text(&nowhere.stderr).starts_with("error: nowhere: "));
}

#[test]
fn programs_read_the_outcome_as_json() {
    let output = actus(Path::new("malformed"), &["--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let contracts = report["contracts"].as_array().unwrap();
    assert_eq!(contracts.len(), 22);
    let lease = contracts
        .iter()
        .find(|one| one["contract"] == "lease")
        .unwrap();
    assert_eq!(lease["outcome"], "unsupported");
    assert_eq!(lease["detail"], "contractType LAX");
    assert_eq!(report["failed"], 18);
    assert_eq!(report["unread"].as_array().unwrap().len(), 2);
}
