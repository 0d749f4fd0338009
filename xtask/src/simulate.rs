//! Calling the simulator.

use std::{path::Path, process::Command};

use crate::{Outcome, built, cargo};

/// About a minute, in the build that the tests have made already.
pub(crate) fn minute(root: &Path) -> Outcome {
    let mut simulator = Command::new(built::program(root, "tandem-sim")?);
    simulator.current_dir(root);
    cargo::finish(simulator.args(["simulate", "--seconds", "60"]))
}

/// As long as one likes, in a release build.
pub(crate) fn simulate(root: &Path, arguments: &[String]) -> Outcome {
    release(root, &[], "simulate", arguments)
}

/// `kill -9` on real processes, in a release build. Only who asks for PostgreSQL builds it.
pub(crate) fn crash(root: &Path, arguments: &[String]) -> Outcome {
    let postgres = arguments
        .iter()
        .any(|argument| argument.contains("postgres"));
    let features: &[&str] = match postgres {
        true => &["--features", "postgres"],
        false => &[],
    };
    release(root, features, "crash", arguments)
}

fn release(root: &Path, features: &[&str], command: &str, arguments: &[String]) -> Outcome {
    let mut all = vec!["run", "--release", "--package", "tandem-sim"];
    all.extend(features);
    all.extend(["--", command]);
    all.extend(arguments.iter().map(String::as_str));
    cargo::run(root, &all)
}
