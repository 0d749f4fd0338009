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
    finish(cargo.args(arguments))
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
    let flags = [("RUSTDOCFLAGS", "-Dwarnings")];
    run_with(
        root,
        &flags,
        &["doc", "--workspace", "--no-deps", "--all-features"],
    )
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
    finish(cargo.args(arguments))
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

/// Cargo, in the repository. It is not told what cargo told this program of its own package: ring's
/// build script asks for the same variables, so ring and all above it would be built again.
pub(crate) fn command(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in env::vars_os() {
        let known = name.to_string_lossy();
        if known.starts_with("CARGO_PKG_") || known.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a command with its output shown as it comes.
pub(crate) fn finish(command: &mut Command) -> Outcome {
    let shown = shown(command);
    match command.status() {
        Ok(status) if status.success() => Ok("ok".to_owned()),
        Ok(_) => Err(format!("`{shown}` failed; its output is above")),
        Err(error) => Err(format!("`{shown}` did not start: {error}")),
    }
}

/// A command as one types it.
fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy();
        Some(format!("{}={value}", name.to_string_lossy()))
    });
    let program = Path::new(command.get_program()).file_name();
    let words = program.into_iter().chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_its_variables() {
        let mut failing = Command::new("/bin/sh");
        failing
            .env("PLACE", "there")
            .env_remove("CARGO_PKG_NAME")
            .args(["-c", "false"]);
        assert_eq!(
            finish(&mut failing).unwrap_err(),
            "`PLACE=there sh -c false` failed; its output is above"
        );
        let mut missing = Command::new("/nowhere/tandem");
        let error = finish(&mut missing).unwrap_err();
        assert!(error.starts_with("`tandem` did not start: "), "{error}");
    }
}
