//! Other programs' queries on the tables we export: DuckDB and a cluster of Spark workers, held
//! against the book.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::{Outcome, cargo};

/// The largest example on DuckDB and on Spark, built for speed.
pub(crate) fn whole(root: &Path) -> Outcome {
    let spark = runs(Command::new("java").arg("-version"));
    if !spark {
        println!("without Spark: it needs Java, on Debian `apt-get install default-jre-headless`");
    }
    let packages: &[&str] = if spark {
        &["duckdb", "pyspark"]
    } else {
        &["duckdb"]
    };
    analyse(root, "marketplace", &["--release"], packages)
}

/// The tests of the Parquet export, and a small example on DuckDB.
pub(crate) fn quick(root: &Path) -> Outcome {
    let feature = ["test", "-p", "tandem", "--features", "parquet"];
    cargo::run(
        root,
        &[&feature[..], &["--bin", "tandem", "export::"]].concat(),
    )?;
    analyse(root, "servicing", &[], &["duckdb"])
}

/// Runs an example, exports it twice, and asks engines about the one and the script about the other.
fn analyse(root: &Path, example: &str, profile: &[&str], packages: &[&str]) -> Outcome {
    let target = root.join("target/analysis");
    let python = match environment(root, &target.join("venv"), packages) {
        Ok(python) => python,
        Err(reason) => return Ok(format!("skipped: {reason}")),
    };
    let folder = target.join(example);
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let [data, out, parquet, csv] =
        ["data", "out", "parquet", "csv"].map(|name| folder.join(name).display().to_string());
    let programme = format!("examples/{example}");
    let build = [
        &["run", "-q", "-p", "tandem", "--features", "parquet"],
        profile,
        &["--"],
    ]
    .concat();
    for arguments in [
        ["run", &programme, "--data", &data, "--out", &out],
        ["export", "parquet", "--data", &data, "--out", &parquet],
        ["export", "csv", "--data", &data, "--out", &csv],
    ] {
        cargo::run(root, &[&build[..], &arguments].concat())?;
    }
    let mut analyse = Command::new(python);
    analyse
        .arg(root.join("examples/analysis/analyse.py"))
        .args(["--parquet", &parquet, "--csv", &csv])
        .args(packages.contains(&"pyspark").then_some("--spark"));
    match runs_shown(&mut analyse) {
        true => Ok(format!("{} and the book agree", packages.join(", "))),
        false => Err("examples/analysis/analyse.py failed; its output is above".to_owned()),
    }
}

/// A Python with the packages, in the versions of the example's requirements; or why there is none.
fn environment(root: &Path, venv: &Path, packages: &[&str]) -> Result<std::path::PathBuf, String> {
    let python = venv.join("bin/python");
    if !python.exists() && !runs(Command::new("python3").args(["-m", "venv"]).arg(venv)) {
        return Err(
            "there is no Python with venv, on Debian `apt-get install python3-venv`".to_owned(),
        );
    }
    let requirements = root.join("examples/analysis/requirements.txt");
    let pinned = fs::read_to_string(&requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    let wanted = pinned.lines().filter(|line| {
        packages
            .iter()
            .any(|package| line.split("==").next() == Some(package))
    });
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "-q", "--disable-pip-version-check"])
        .args(wanted);
    match runs_shown(&mut pip) {
        true => Ok(python),
        false => Err(format!("pip cannot install {}", packages.join(" and "))),
    }
}

fn runs_shown(command: &mut Command) -> bool {
    command.status().is_ok_and(|status| status.success())
}

fn runs(command: &mut Command) -> bool {
    runs_shown(command.stdout(Stdio::null()).stderr(Stdio::null()))
}
