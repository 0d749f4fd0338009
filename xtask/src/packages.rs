//! The programs that some tests call. Where one is missing and Debian's package can be
//! installed, it is; where not, the tests that need it skip themselves.

use std::{
    env, fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::Outcome;

/// A program that tests call and the Debian package it comes in.
struct Need {
    program: &'static str,
    package: &'static str,
    why: &'static str,
}

const NEEDS: [Need; 2] = [
    Need {
        program: "hledger",
        package: "hledger",
        why: "a second accounting program reads the ledgers we export",
    },
    Need {
        program: "postgres",
        package: "postgresql",
        why: "the journal is tested on a real PostgreSQL server",
    },
];

/// Installs what is missing. Not being able to is no failure: it is said, and we go on.
pub(crate) fn check(_root: &Path) -> Outcome {
    let wanted = missing();
    if wanted.is_empty() {
        return Ok("all there".to_owned());
    }
    for need in &wanted {
        println!("missing: {} ({})", need.program, need.why);
    }
    if let Err(reason) = install(&wanted) {
        println!("{reason}");
    }
    let still = missing();
    if still.is_empty() {
        return Ok(format!("installed {}", names(&wanted)));
    }
    println!("{}", advice(&still));
    Ok(format!("without {}: some tests skip", names(&still)))
}

fn missing() -> Vec<&'static Need> {
    let directories = directories();
    let there = |need: &&Need| directories.iter().any(|at| at.join(need.program).is_file());
    NEEDS.iter().filter(|need| !there(need)).collect()
}

fn advice(missing: &[&Need]) -> String {
    let packages = names(missing);
    format!(
        "Tests that need these programs skip. To run them too, install: {packages}\n\
         On Debian: sudo apt-get update && sudo apt-get install {packages}"
    )
}

fn names(needs: &[&Need]) -> String {
    let packages: Vec<&str> = needs.iter().map(|need| need.package).collect();
    packages.join(" ")
}

/// Where programs are looked for: PATH, and where Debian keeps PostgreSQL's.
fn directories() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut all: Vec<PathBuf> = env::split_paths(&path).collect();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    all.extend(versions.flatten().map(|version| version.path().join("bin")));
    all
}

fn install(needs: &[&Need]) -> Result<(), String> {
    apt(&["update"])?;
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(needs.iter().map(|need| need.package));
    apt(&arguments)
}

fn apt(arguments: &[&str]) -> Result<(), String> {
    let mut line: Vec<&str> = Vec::new();
    if !is_root() {
        line.push("sudo");
        if !io::stdin().is_terminal() {
            line.push("--non-interactive");
        }
    }
    line.extend(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    line.extend(["--quiet", "--option=DPkg::Lock::Timeout=120"]);
    line.extend(arguments);
    println!("+ {}", line.join(" "));
    let output = Command::new(line[0])
        .args(&line[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} did not start: {error}", line[0]))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_advice_can_be_pasted() {
        let all: Vec<&Need> = NEEDS.iter().collect();
        assert_eq!(
            advice(&all),
            "Tests that need these programs skip. To run them too, install: hledger postgresql\n\
             On Debian: sudo apt-get update && sudo apt-get install hledger postgresql"
        );
    }
}
