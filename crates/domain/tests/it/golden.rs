//! Golden files: a script, a line of dashes, and below it the expected output.
//! `TANDEM_UPDATE=1` writes what came out instead of comparing.
#![expect(
    clippy::disallowed_methods,
    reason = "golden files stand beside the tests"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

const RULE: &str = "----\n";

/// Runs every script of a folder and compares.
pub(crate) fn check(folder: &str, run: impl Fn(&str) -> String) {
    let mut differences = String::new();
    for path in scripts(folder) {
        let text = fs::read_to_string(&path).unwrap();
        let (script, expected) = text.split_once(RULE).unwrap_or((&text, ""));
        let script = if script.ends_with('\n') {
            script.to_owned()
        } else {
            format!("{script}\n")
        };
        let found = run(&script);
        if std::env::var_os("TANDEM_UPDATE").is_some() {
            fs::write(&path, format!("{script}{RULE}{found}")).unwrap();
        } else if expected != found {
            let name = path.file_name().unwrap().display();
            writeln!(
                differences,
                "{folder}/{name}: {}",
                difference(expected, &found)
            )
            .unwrap();
        }
    }
    assert!(
        differences.is_empty(),
        "\n{differences}run again with TANDEM_UPDATE=1 and read the diff"
    );
}

/// The folders below a folder, so that none is forgotten.
pub(crate) fn folders(folder: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(root().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn scripts(folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder} is empty");
    for path in &paths {
        let is_script = path.extension().is_some_and(|extension| extension == "txt");
        assert!(is_script, "{} belongs to no test", path.display());
    }
    paths
}

fn difference(expected: &str, found: &str) -> String {
    let mut lines = (expected.lines(), found.lines());
    for number in 1.. {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => break,
            (expected, found) if expected == found => {}
            (expected, found) => {
                let show = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
                return format!(
                    "line {number} below the dashes\n  expected: {}\n  found:    {}\n",
                    show(expected),
                    show(found)
                );
            }
        }
    }
    "only line ends differ".to_owned()
}
