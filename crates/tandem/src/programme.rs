//! A programme: the folder in which a cooperation is described.

use std::fs;
use std::path::{Path, PathBuf};

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Documents, Version};
use tandem_domain::calendar::BusinessCalendar;
use tandem_domain::policy::Policy;
use tandem_domain::rulebook::{self, Rulebook};

use crate::fail::{Failure, Outcome};
use crate::instruct;
use crate::table::{
    ApplicationReader, ApplicationRow, Mapping, OutcomeReader, OutcomeRow, PaymentReader,
    PaymentRow, PaymentSource, RowProblem, TableError,
};

/// Everything a programme's folder says, read and checked.
pub(crate) struct Programme {
    /// The folder.
    pub(crate) folder: PathBuf,
    /// Agreement, policies, rulebook and calendar, ready to be signed.
    pub(crate) version: Version,
    /// How the user's columns feed the fields.
    pub(crate) mapping: Mapping,
}

impl Programme {
    /// Reads a programme's folder; nothing is written before all of it is valid.
    pub(crate) fn read(folder: &Path) -> Outcome<Programme> {
        let (version, _) = read_version(folder)?;
        let path = folder.join("mapping.toml");
        let mapping = Mapping::parse(&read_text(&path)?)
            .map_err(|problems| Failure::problems(&path, &problems))?;
        mapping
            .check(&version.agreement.scope)
            .map_err(|problems| Failure::problems(&path, &problems))?;
        Ok(Programme {
            folder: folder.to_owned(),
            version,
            mapping,
        })
    }

    /// Where the applications lie.
    pub(crate) fn applications_path(&self, instead: Option<&Path>) -> PathBuf {
        instead.map_or_else(
            || self.folder.join(&self.mapping.applications.file),
            Path::to_owned,
        )
    }

    /// Reads the applications.
    pub(crate) fn applications(&self, instead: Option<&Path>) -> Outcome<Read<ApplicationRow>> {
        let path = self.applications_path(instead);
        self.read_rows(
            ApplicationReader::open(&path, &self.mapping, &self.version.agreement.scope),
            "name the file with --applications, or in mapping.toml, applications.file",
        )
    }

    /// Reads the file of payments, if the mapping names one.
    pub(crate) fn payments(&self) -> Outcome<Read<PaymentRow>> {
        let PaymentSource::File(columns) = &self.mapping.payments else {
            return Ok(Read::default());
        };
        let path = self.folder.join(&columns.file);
        self.read_rows(
            PaymentReader::open(&path, &self.mapping, &self.version.agreement.scope),
            "name the file in mapping.toml, payments.file",
        )
    }

    /// Reads the file of instructions, if there is one.
    pub(crate) fn instructions(&self) -> Outcome<Read<instruct::Row>> {
        let path = self.folder.join(instruct::FILE);
        if !path.is_file() {
            return Ok(Read::default());
        }
        let rows = instruct::rows(&path, &self.version);
        self.read_rows(rows, "it must be a file that can be read")
    }

    /// Reads recorded outcomes, if the mapping names their columns.
    pub(crate) fn outcomes(&self, applications: Option<&Path>) -> Outcome<Read<OutcomeRow>> {
        let PaymentSource::Outcome(outcome) = &self.mapping.payments else {
            return Ok(Read::default());
        };
        let path = match &outcome.file {
            Some(file) => self.folder.join(file),
            None => self.applications_path(applications),
        };
        self.read_rows(
            OutcomeReader::open(&path, &self.mapping, &self.version.agreement.scope),
            match outcome.file {
                Some(_) => "name the file in mapping.toml, payments.outcome.file",
                None => "name the file with --applications, or in mapping.toml",
            },
        )
    }

    fn read_rows<T>(
        &self,
        reader: Result<impl Iterator<Item = Result<T, RowProblem>>, TableError>,
        hint: &str,
    ) -> Outcome<Read<T>> {
        let reader = reader.map_err(|error| match error {
            TableError::Mapping(problems) => {
                Failure::problems(&self.folder.join("mapping.toml"), &problems)
            }
            TableError::Open { .. } => Failure(format!("{error}; {hint}")),
            TableError::Header(_) => Failure(error.to_string()),
        })?;
        Ok(reader.collect())
    }
}

/// The rows of a file, and what is wrong with the others.
pub(crate) struct Read<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) problems: Vec<String>,
}

impl<T> FromIterator<Result<T, RowProblem>> for Read<T> {
    fn from_iter<I: IntoIterator<Item = Result<T, RowProblem>>>(rows: I) -> Read<T> {
        let mut read = Read::default();
        for row in rows {
            match row {
                Ok(row) => read.rows.push(row),
                Err(problem) => read.problems.push(problem.to_string()),
            }
        }
        read
    }
}

impl<T> Default for Read<T> {
    fn default() -> Read<T> {
        Read {
            rows: Vec::new(),
            problems: Vec::new(),
        }
    }
}

/// Reads agreement, policies, rulebook and calendar; also gives the policies' paths.
pub(crate) fn read_version(folder: &Path) -> Outcome<(Version, Vec<PathBuf>)> {
    let path = folder.join("agreement.toml");
    let text = read_text(&path)?;
    let agreement =
        Agreement::parse(&text).map_err(|problems| Failure::problems(&path, &problems))?;
    let paths = policy_paths(&folder.join("policies"))?;
    let mut policies = Vec::new();
    for path in &paths {
        let text = read_text(path)?;
        Policy::parse(&text, &agreement).map_err(|problems| Failure::problems(path, &problems))?;
        policies.push(text);
    }
    let rulebook = agreement
        .file
        .rulebook
        .as_deref()
        .map(|id| read_rulebook(folder, id))
        .transpose()?;
    let documents = Documents {
        agreement: text,
        policies,
        rulebook,
        calendar: read_calendar(&folder.join("calendar.toml"))?,
    };
    let version = Version::parse(documents)
        .map_err(|problems| Failure::problems(&folder.join("policies"), &problems))?;
    Ok((version, paths))
}

fn policy_paths(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| Failure::io(folder, &error))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "toml"))
        .collect();
    paths.sort();
    Ok(paths)
}

/// The programme's business days, if it has a calendar of its own.
fn read_calendar(path: &Path) -> Outcome<Option<String>> {
    if !path.is_file() {
        return Ok(None);
    }
    let text = read_text(path)?;
    BusinessCalendar::parse(&text).map_err(|problems| Failure::problems(path, &problems))?;
    Ok(Some(text))
}

/// A rulebook of the programme (`rulebooks/ID.toml`), or one that comes with the program.
fn read_rulebook(folder: &Path, id: &str) -> Outcome<String> {
    let path = folder.join("rulebooks").join(format!("{id}.toml"));
    let text = if path.is_file() {
        read_text(&path)?
    } else {
        let known: Vec<_> = rulebook::BUILT_IN.iter().map(|(id, _)| *id).collect();
        let unknown = || {
            Failure(format!(
                "{}, rulebook: there is no rulebook `{id}`; there are {}, or write {}",
                folder.join("agreement.toml").display(),
                known.join(", "),
                path.display()
            ))
        };
        Rulebook::built_in(id).ok_or_else(unknown)?.to_owned()
    };
    Rulebook::parse(&text).map_err(|problems| Failure::problems(&path, &problems))?;
    Ok(text)
}

/// Reads a text file.
pub(crate) fn read_text(path: &Path) -> Outcome<String> {
    let bytes = fs::read(path).map_err(|error| Failure::io(path, &error))?;
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = valid.iter().filter(|&&byte| byte == b'\n').count() + 1;
        Failure(format!(
            "{}, line {line}: the text is not UTF-8; save the file as UTF-8",
            path.display()
        ))
    })
}
