//! Python environments for checks that are written in Python.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// A Python in which what pip is asked for is installed; or why there is none.
pub(crate) fn environment(venv: &Path, wanted: &[String]) -> Result<PathBuf, String> {
    let python = venv.join("bin/python");
    if !python.exists() && !runs(Command::new("python3").args(["-m", "venv"]).arg(venv)) {
        return Err(
            "there is no Python with venv, on Debian `apt-get install python3-venv`".to_owned(),
        );
    }
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
        .args(wanted);
    match runs_shown(&mut pip) {
        true => Ok(python),
        false => Err(format!("pip cannot install {}", wanted.join(" "))),
    }
}

/// Whether a program succeeds.
pub(crate) fn runs_shown(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

/// Whether a program succeeds, without what it prints.
pub(crate) fn runs(command: &mut Command) -> bool {
    runs_shown(command.stdout(Stdio::null()).stderr(Stdio::null()))
}
