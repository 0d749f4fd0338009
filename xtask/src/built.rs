//! One build of all tests and programs with all features, for every check that runs them.
//!
//! Cargo settles the features of all packages for a call's packages together, so a call for others
//! builds much anew. A check therefore runs what this build made, rather than call cargo again.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::{Outcome, cargo};

/// The call that builds it and runs all tests.
pub(crate) const TEST: [&str; 3] = ["test", "--workspace", "--all-features"];

/// The same build alone.
const BUILD: [&str; 4] = [TEST[0], TEST[1], TEST[2], "--no-run"];

/// A program of this build.
pub(crate) fn program(root: &Path, name: &str) -> Result<PathBuf, String> {
    program_of(root, &BUILD, name)
}

/// A program that a call of cargo builds.
pub(crate) fn program_of(root: &Path, call: &[&str], name: &str) -> Result<PathBuf, String> {
    pick(executables(root, call)?, name)
        .ok_or_else(|| format!("`cargo {}` builds no program `{name}`", call.join(" ")))
}

/// Runs the tests of the package in a folder once more, with variables of the environment.
pub(crate) fn test_again(root: &Path, folder: &str, variables: &[(&str, &str)]) -> Outcome {
    let folder = root.join(folder);
    let mut tests = executables(root, &BUILD)?;
    tests.retain(|built| built.test && built.folder == folder);
    if tests.is_empty() {
        return Err(format!("{} has no tests", folder.display()));
    }
    for test in tests {
        let mut command = Command::new(test.path);
        command.current_dir(&folder).envs(variables.iter().copied());
        cargo::finish(&mut command)?;
    }
    Ok("ok".to_owned())
}

/// What can be run, and the folder of its package.
#[derive(Debug, PartialEq)]
struct Executable {
    path: PathBuf,
    folder: PathBuf,
    name: String,
    test: bool,
}

fn executables(root: &Path, call: &[&str]) -> Result<Vec<Executable>, String> {
    let mut cargo = cargo::command(root);
    cargo
        .args(call)
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    let failed = |why: &str| format!("`cargo {}` {why}", call.join(" "));
    let output = cargo
        .output()
        .map_err(|error| failed(&format!("did not start: {error}")))?;
    match output.status.success() {
        true => Ok(read(&String::from_utf8_lossy(&output.stdout))),
        false => Err(failed("failed; its output is above")),
    }
}

/// What is executable among cargo's messages, one a line.
fn read(messages: &str) -> Vec<Executable> {
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        Some(Executable {
            path: message["executable"].as_str()?.into(),
            folder: Path::new(message["manifest_path"].as_str()?)
                .parent()?
                .to_owned(),
            name: message["target"]["name"].as_str()?.to_owned(),
            test: message["profile"]["test"].as_bool()?,
        })
    };
    messages.lines().filter_map(executable).collect()
}

fn pick(built: Vec<Executable>, program: &str) -> Option<PathBuf> {
    let mut programs = built.into_iter().filter(|built| !built.test);
    let found = programs.find(|built| built.name == program);
    found.map(|built| built.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_and_tests_are_found_among_cargos_messages() {
        let messages = r#"
{"reason":"compiler-artifact","manifest_path":"/r/crates/web/Cargo.toml","target":{"name":"tandem_web"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/r/crates/web/Cargo.toml","target":{"name":"it"},"profile":{"test":true},"executable":"/t/deps/it-1"}
{"reason":"build-script-executed","package_id":"ring"}
{"reason":"compiler-artifact","manifest_path":"/r/crates/sim/Cargo.toml","target":{"name":"tandem-sim"},"profile":{"test":false},"executable":"/t/tandem-sim"}
{"reason":"build-finished","success":true}
"#;
        let built = |path: &str, folder: &str, name: &str, test| Executable {
            path: path.into(),
            folder: folder.into(),
            name: name.into(),
            test,
        };
        assert_eq!(
            read(messages),
            [
                built("/t/deps/it-1", "/r/crates/web", "it", true),
                built("/t/tandem-sim", "/r/crates/sim", "tandem-sim", false),
            ]
        );
        let simulator = PathBuf::from("/t/tandem-sim");
        assert_eq!(pick(read(messages), "tandem-sim"), Some(simulator));
        assert_eq!(pick(read(messages), "it"), None);
    }
}
