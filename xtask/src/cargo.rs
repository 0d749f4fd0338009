//! Calling cargo.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::Outcome;

/// Runs cargo with its output shown as it comes.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> Outcome {
    run_with(root, &[], arguments)
}

/// The same, with variables of the environment.
pub(crate) fn run_with(root: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
    let mut cargo = command(root);
    cargo.envs(variables.iter().copied());
    finish(cargo.args(arguments), arguments)
}

/// Runs a cargo command that comes as a component of the toolchain.
pub(crate) fn component(root: &Path, component: &str, arguments: &[&str]) -> Outcome {
    let there = command(root)
        .args([arguments[0], "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if !there {
        return Err(format!(
            "`cargo {}` is missing: rustup component add {component}",
            arguments[0]
        ));
    }
    run(root, arguments)
}

/// Builds the documentation; a warning (a dead link inside it, say) is an error.
pub(crate) fn doc(root: &Path) -> Outcome {
    let arguments = [
        "doc",
        "--workspace",
        "--no-deps",
        "--features",
        "tandem/postgres",
    ];
    let mut cargo = command(root);
    cargo.env("RUSTDOCFLAGS", "-Dwarnings");
    finish(cargo.args(arguments), &arguments)
}

/// Runs the fuzz targets on the stable toolchain, from another seed each time.
pub(crate) fn fuzz(root: &Path, seconds: &str) -> Outcome {
    let seed = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let arguments = [
        "test",
        "--release",
        "-p",
        "tandem-fuzz",
        "-p",
        "tandem",
        "-p",
        "tandem-web",
        "--lib",
        "--bins",
        "--",
        "--nocapture",
        "fuzz::",
        "targets::",
    ];
    let mut cargo = command(root);
    cargo
        .env("TANDEM_FUZZ_SECONDS", seconds)
        .env("TANDEM_FUZZ_SEED", seed.as_secs().to_string());
    finish(cargo.args(arguments), &arguments)
}

/// What `cargo metadata` knows, as JSON.
pub(crate) fn metadata(root: &Path, arguments: &[&str]) -> Result<Value, String> {
    let output = command(root)
        .args(["metadata", "--format-version=1", "--locked"])
        .args(arguments)
        .output()
        .map_err(|error| format!("cargo metadata: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    serde_json::from_slice(&output.stdout).map_err(|error| format!("cargo metadata: {error}"))
}

fn command(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    command
}

fn finish(command: &mut Command, arguments: &[&str]) -> Outcome {
    let shown = arguments.join(" ");
    match command.status() {
        Ok(status) if status.success() => Ok("ok".to_owned()),
        Ok(_) => Err(format!("`cargo {shown}` failed; its output is above")),
        Err(error) => Err(format!("`cargo {shown}` did not start: {error}")),
    }
}
