//! `tandem audit`: what people of a party saw and did in the console of a service, and its clients
//! by the API.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};

use tandem_web::audit::{self, Checker, Head};
use tandem_web::registry::NodeFile;

use crate::data::DEFAULT;
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::service::{audit_file, open_audit};

/// What to do with the audit log.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Writes a party's entries, a line each: hash, space, entry (JSON). A hash is the SHA-256 of
    /// the line before's hash, a space, and the entry.
    Export {
        /// Folder of the service, as for `tandem serve`.
        #[arg(long, default_value = DEFAULT)]
        data: PathBuf,
        /// File with settings of the service, which has the folder.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Id of the party, as in the agreements; empty for the operator's entries, of names that
        /// nobody has and of callers whom nobody knows.
        #[arg(long)]
        party: String,
    },
    /// Checks that no entry was changed or removed: of all chains of a service, of an export, or,
    /// with both, that the service still has what was exported.
    Verify {
        /// Folder of the service [default: that of `tandem serve`, unless FILE is given]
        #[arg(long)]
        data: Option<PathBuf>,
        /// File with settings of the service, which has the folder.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// An export.
        file: Option<PathBuf>,
    },
}

/// Exports or checks.
pub(crate) fn audit(action: &Action) -> Outcome {
    match action {
        Action::Export { data, party, .. } => export(&open(data)?, party),
        Action::Verify { data, file, .. } => verify(data.as_deref(), file.as_deref()),
    }
}

fn open(data: &Path) -> Outcome<NodeFile> {
    let file = audit_file(data);
    if !file.exists() {
        return Err(Failure(format!(
            "{}: there is no service in this folder; name that of `tandem serve` with --data",
            file.display()
        )));
    }
    open_audit(data)
}

fn export(file: &NodeFile, party: &str) -> Outcome {
    let mut out = io::stdout().lock();
    let mut after = 0;
    loop {
        let lines = audit::lines(file, party, after).map_err(failed)?;
        if lines.is_empty() {
            return Ok(());
        }
        for line in lines {
            after = line.number;
            writeln!(out, "{}", line.text).map_err(|error| Failure(error.to_string()))?;
        }
    }
}

fn verify(data: Option<&Path>, file: Option<&Path>) -> Outcome {
    let exported = file.map(exported).transpose()?;
    if let (Some((party, checked)), None) = (&exported, data) {
        return say(party, checked);
    }
    let log = open(data.unwrap_or(Path::new(DEFAULT)))?;
    let mut parties: BTreeSet<_> = audit::parties(&log).map_err(failed)?.into_iter().collect();
    parties.extend(exported.iter().map(|(party, _)| party.clone()));
    for party in parties {
        let known = exported.iter().find(|(known, _)| *known == party);
        let checked = audit::check(&log, &party, known.map(|(_, checked)| checked.head()));
        let checked = checked.map_err(failed)?;
        say(
            &party,
            &checked.map_err(|broken| Failure(broken.to_string()))?,
        )?;
    }
    Ok(())
}

/// Whose chain an export is, once it is checked.
fn exported(file: &Path) -> Outcome<(String, Checker)> {
    let lines = File::open(file).map_err(|error| Failure::io(file, &error))?;
    let mut checker = Checker::default();
    for line in BufReader::new(lines).lines() {
        let line = line.map_err(|error| Failure::io(file, &error))?;
        let wrong = |broken| Failure(format!("{}: {broken}", file.display()));
        checker.line(&line).map_err(wrong)?;
    }
    match checker.party() {
        Some(party) => Ok((party.to_owned(), checker)),
        None => Err(Failure(format!(
            "{}: there is no entry in it",
            file.display()
        ))),
    }
}

fn say(party: &str, checked: &Checker) -> Outcome {
    let whose = match party {
        "" => "whom nobody knows",
        party => party,
    };
    let Head { number, hash } = checked.head();
    let removed = checked.removed();
    let entries = number - removed;
    let since = match removed {
        0 => String::new(),
        removed => format!(" since entry {removed}, the last that was removed by its age"),
    };
    export::show(&format!(
        "{whose}: {entries} entries follow from each other{since}, to {hash}\n"
    ))
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure(format!(
        "the registry of the service cannot be read: {error}"
    ))
}
