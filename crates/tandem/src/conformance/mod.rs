//! Runs the public ACTUS test contracts by the loan engine's arithmetic, and says of each whether
//! its events come out as published.
//!
//! `file.rs` reads the files, `read.rs` the terms in them (`terms.rs`); `schedule.rs` says when
//! something happens (`event.rs`), `state.rs` what it does, and `compare.rs` whether that was
//! expected. `partner.rs` is the other suite, of the API.

mod compare;
mod event;
mod file;
mod market;
mod maturity;
mod number;
mod partner;
mod read;
mod schedule;
mod state;
mod stop;
mod terms;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use self::compare::{Verdict, judge};
use self::number::Decimal;
use crate::export::{self, Layout, grid::Grid};
use crate::fail::{Failure, Outcome};

/// What the program is held against.
#[derive(Subcommand)]
pub(crate) enum Suite {
    /// The published test contracts of ACTUS: says of each whether its events come out.
    Actus(Options),
    /// What partners may rely on: holds a service against it, from outside.
    Partner(partner::Options),
}

/// Holds the program, or a service, against what is published.
pub(crate) fn conformance(suite: &Suite) -> Outcome {
    match suite {
        Suite::Actus(options) => actus(options),
        Suite::Partner(options) => partner::partner(options),
    }
}

/// What `conformance actus` is asked.
#[derive(Args)]
pub(crate) struct Options {
    /// Folder with test contracts in the published format, each file of it that ends in `.json`.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// How far a figure may be off; for principal above a million, how far for each million.
    #[arg(long, value_name = "X", default_value = "0.00000001", value_parser = tolerance)]
    tolerance: Decimal,
    /// How to write the outcome.
    #[arg(long, value_enum, default_value_t = Layout::Table)]
    format: Layout,
}

fn tolerance(text: &str) -> Result<Decimal, String> {
    let value = Decimal::parse(text).filter(|value| value.is_zero() || value.is_positive());
    value.ok_or_else(|| "write a number that is not below zero, for example 0.00000001".to_owned())
}

/// Published contracts that are known to be odd, and why.
const ODD: [(&str, &str); 8] = [
    (
        "ann09",
        "left out by the reference implementation and others; its reason is not published",
    ),
    (
        "clm07",
        "shows no accrued interest at the exercise, but pays it at settlement",
    ),
    (
        "clm08",
        "shows no accrued interest at the exercise, but pays it at settlement",
    ),
    (
        "clm09",
        "left out by the reference implementation and others; its reason is not published",
    ),
    (
        "clm13",
        "lists the exercise before the interest of the same day, unlike the event sequence",
    ),
    (
        "clm14",
        "lists the exercise before the interest of the same day, unlike the event sequence",
    ),
    (
        "lam04",
        "the role's sign is applied twice to accrued interest on termination",
    ),
    (
        "nam04",
        "the role's sign is applied twice to accrued interest on termination",
    ),
];

/// A contract and how it fared.
struct Row {
    file: String,
    id: String,
    kind: String,
    verdict: Verdict,
    odd: Option<&'static str>,
}

impl Row {
    fn outcome(&self) -> &'static str {
        match self.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail(_) => "fail",
            Verdict::Unsupported(_) => "unsupported",
        }
    }

    fn detail(&self) -> Option<&str> {
        match &self.verdict {
            Verdict::Pass => None,
            Verdict::Fail(detail) | Verdict::Unsupported(detail) => Some(detail),
        }
    }
}

/// Everything that a run found.
struct Report {
    rows: Vec<Row>,
    /// Files that could not be read.
    unread: Vec<String>,
    tolerance: Decimal,
}

/// Runs the contracts of a folder.
fn actus(options: &Options) -> Outcome {
    let report = Report::of(&options.folder, options.tolerance)?;
    export::show(&match options.format {
        Layout::Table => report.table(),
        Layout::Json => report.json() + "\n",
    })?;
    for unread in &report.unread {
        eprintln!("{}", Failure(unread.clone()));
    }
    match report.mistakes() {
        0 => Ok(()),
        1 => Err(Failure(
            "1 contract or file is not as it should be".to_owned(),
        )),
        count => Err(Failure(format!(
            "{count} contracts or files are not as they should be"
        ))),
    }
}

impl Report {
    fn of(folder: &Path, tolerance: Decimal) -> Outcome<Report> {
        let entries = std::fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| Failure::io(folder, &error))?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "json")
            {
                paths.push(path);
            }
        }
        paths.sort();
        if paths.is_empty() {
            let wrong = format!("{}: holds no file that ends in .json", folder.display());
            return Err(Failure(wrong));
        }
        let mut report = Report {
            rows: Vec::new(),
            unread: Vec::new(),
            tolerance,
        };
        for path in paths {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            match file::read(&path) {
                Ok(cases) => report.rows.extend(cases.iter().map(|case| {
                    Row {
                        file: name.clone().into_owned(),
                        id: case.id.clone(),
                        kind: case.kind().to_owned(),
                        verdict: judge(case, tolerance),
                        odd: ODD
                            .iter()
                            .find(|(id, _)| *id == case.id)
                            .map(|(_, why)| *why),
                    }
                })),
                Err(Failure(why)) => report.unread.push(why),
            }
        }
        Ok(report)
    }

    fn count(&self, outcome: &str) -> usize {
        self.rows
            .iter()
            .filter(|row| row.outcome() == outcome)
            .count()
    }

    /// Failures that are known to be odd.
    fn excused(&self) -> usize {
        let failed = |row: &&Row| row.outcome() == "fail" && row.odd.is_some();
        self.rows.iter().filter(failed).count()
    }

    /// What should not be: contracts that fail and are not odd, and files that cannot be read.
    fn mistakes(&self) -> usize {
        self.count("fail") - self.excused() + self.unread.len()
    }

    fn table(&self) -> String {
        let mut grid = Grid::new(4, ["contract", "type", "outcome", ""]);
        for row in &self.rows {
            // A contract that fails names its file, so that it can be found.
            let place = match row.outcome() {
                "fail" => format!("{}: ", row.file),
                _ => String::new(),
            };
            let odd = row.odd.map(|why| format!("known to be odd: {why}"));
            let detail = row.detail().map(|detail| format!("{place}{detail}"));
            let notes: Vec<String> = detail.into_iter().chain(odd).collect();
            grid.row([&row.id, &row.kind, row.outcome(), &notes.join("; ")]);
        }
        let mut text = grid.plain(0);
        let (passed, failed) = (self.count("pass"), self.count("fail"));
        // Writing to a string cannot fail.
        let _ = write!(text, "{passed} passed, {failed} failed, ");
        let _ = write!(text, "{} unsupported", self.count("unsupported"));
        let excused = match self.excused() {
            0 => String::new(),
            1 => "1 failed contract is known to be odd; ".to_owned(),
            count => format!("{count} failed contracts are known to be odd; "),
        };
        let _ = writeln!(text, " ({excused}tolerance {})", self.tolerance);
        text
    }

    fn json(&self) -> String {
        let row = |row: &Row| {
            json!({
                "file": row.file,
                "contract": row.id,
                "type": row.kind,
                "outcome": row.outcome(),
                "detail": row.detail(),
                "odd": row.odd,
            })
        };
        let report = json!({
            "contracts": self.rows.iter().map(row).collect::<Vec<_>>(),
            "unread": self.unread,
            "passed": self.count("pass"),
            "failed": self.count("fail"),
            "unsupported": self.count("unsupported"),
            "known_to_be_odd": self.excused(),
            "tolerance": self.tolerance.to_string(),
        });
        format!("{report:#}")
    }
}
