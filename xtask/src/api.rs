//! Other programs' view of the open API: the partners' examples, linters and generated calls,
//! against a service that runs.

use std::{path::Path, process::Command};

use crate::{Outcome, cargo, python};

/// What the checks and the Python example need.
const REQUIREMENTS: [&str; 2] = [
    "examples/partner/python/requirements.txt",
    "crates/web/checks/requirements.txt",
];

/// Builds the program and runs `crates/web/checks/check_api.py` with it.
pub(crate) fn check(root: &Path, arguments: &[String]) -> Outcome {
    let folder = root.join("target/api");
    let wanted = REQUIREMENTS.map(|file| format!("-r{}", root.join(file).display()));
    let python = python::environment(&folder.join("venv"), &wanted)?;
    cargo::run(root, &["build", "-p", "tandem"])?;
    let mut check = Command::new(python);
    check
        .arg(root.join("crates/web/checks/check_api.py"))
        .arg("--tandem")
        .arg(root.join("target/debug/tandem"))
        .arg("--folder")
        .arg(folder)
        .args(arguments);
    match python::runs_shown(&mut check) {
        true => Ok("nothing found".to_owned()),
        false => Err("crates/web/checks/check_api.py found something; it is above".to_owned()),
    }
}
