//! Other programs' queries on the tables we export: DuckDB and a cluster of Spark workers, held
//! against the book.

use std::{fs, path::Path, process::Command};

use crate::{Outcome, built, cargo, python};

/// The largest example on DuckDB and on Spark, built for speed.
pub(crate) fn whole(root: &Path) -> Outcome {
    let spark = python::runs(Command::new("java").arg("-version"));
    if !spark {
        println!("without Spark: it needs Java, on Debian `apt-get install default-jre-headless`");
    }
    let packages: &[&str] = if spark {
        &["duckdb", "pyspark"]
    } else {
        &["duckdb"]
    };
    let build = [
        "build",
        "-p",
        "tandem",
        "--release",
        "--features",
        "parquet",
    ];
    let tandem = built::program_of(root, &build, "tandem")?;
    analyse(root, "marketplace", &tandem, packages)
}

/// A small example on DuckDB.
pub(crate) fn quick(root: &Path) -> Outcome {
    let tandem = built::program(root, "tandem")?;
    analyse(root, "servicing", &tandem, &["duckdb"])
}

/// Runs an example, exports it twice, and asks engines about the one and the script about the other.
fn analyse(root: &Path, example: &str, tandem: &Path, packages: &[&str]) -> Outcome {
    let target = root.join("target/analysis");
    let wanted = pinned(root, packages)?;
    let python = match python::environment(&target.join("venv"), &wanted) {
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
    for arguments in [
        ["run", &programme, "--data", &data, "--out", &out],
        ["export", "parquet", "--data", &data, "--out", &parquet],
        ["export", "csv", "--data", &data, "--out", &csv],
    ] {
        cargo::finish(Command::new(tandem).current_dir(root).args(arguments))?;
    }
    let mut analyse = Command::new(python);
    analyse
        .arg(root.join("examples/analysis/analyse.py"))
        .args(["--parquet", &parquet, "--csv", &csv])
        .args(packages.contains(&"pyspark").then_some("--spark"));
    match python::runs_shown(&mut analyse) {
        true => Ok(format!("{} and the book agree", packages.join(", "))),
        false => Err("examples/analysis/analyse.py failed; its output is above".to_owned()),
    }
}

/// Packages in the versions of the example's requirements.
fn pinned(root: &Path, packages: &[&str]) -> Result<Vec<String>, String> {
    let requirements = root.join("examples/analysis/requirements.txt");
    let pinned = fs::read_to_string(&requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    let wanted = pinned
        .lines()
        .filter(|line| packages.contains(&line.split("==").next().unwrap_or_default()));
    Ok(wanted.map(str::to_owned).collect())
}
