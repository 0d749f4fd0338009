//! The console in a real browser: needs Node with npm, and Chromium.

use std::{fs, path::Path, process::Command};

use crate::{Outcome, cargo};

/// Builds the program and runs `crates/web/checks/browser` with it; with `--screenshots` the
/// pictures below `docs/screenshots` are made anew.
pub(crate) fn check(root: &Path, arguments: &[String]) -> Outcome {
    let pictures = match arguments {
        [] => false,
        [option] if option == "--screenshots" => true,
        _ => return Err("browser takes --screenshots".to_owned()),
    };
    let source = root.join("crates/web/checks/browser");
    let folder = root.join("target/browser");
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    fs::create_dir_all(&folder).map_err(failed)?;
    for file in ["package.json", "browser.mjs"] {
        fs::copy(source.join(file), folder.join(file)).map_err(failed)?;
    }
    let install = ["install", "--no-package-lock", "--no-audit", "--no-fund"];
    run(Command::new("npm").args(install).current_dir(&folder))?;
    cargo::run(root, &["build", "-p", "tandem"])?;
    let mut check = Command::new("node");
    check
        .arg("browser.mjs")
        .arg(root.join("target/debug/tandem"))
        .arg(root.join("examples/marketplace"))
        .arg(folder.join("data"))
        .current_dir(&folder);
    if pictures {
        check.env("SCREENSHOTS", root.join("docs/screenshots"));
    }
    run(&mut check)?;
    Ok("nothing found".to_owned())
}

fn run(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().map_err(|error| {
        format!("{program}: {error}; install nodejs, npm and chromium (Debian has all three)")
    })?;
    match status.success() {
        true => Ok(()),
        false => Err(format!("{program} found something; it is above")),
    }
}
