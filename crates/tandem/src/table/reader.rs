//! Streaming a file, row by row.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use tandem_domain::condition::Scope;
use tandem_domain::document::Problem;
use thiserror::Error;

use super::decimal::clip;
use super::mapping::Mapping;
use super::plan::{ApplicationPlan, OutcomePlan, PaymentPlan, Plan};
use super::planner::{Header, Planner};
use super::rows::{Fault, Row, Rows};

/// Reads applications.
pub(crate) type ApplicationReader = Reader<ApplicationPlan>;
/// Reads payments.
pub(crate) type PaymentReader = Reader<PaymentPlan>;
/// Reads recorded outcomes.
pub(crate) type OutcomeReader = Reader<OutcomePlan>;

/// The rows of a file: what was read, or what is wrong with a row. It always goes on to the end.
pub(crate) struct Reader<P> {
    table: Table,
    plan: P,
}

/// A file whose first row names its columns.
pub(crate) struct Table {
    /// Its name in messages.
    file: Arc<str>,
    names: Vec<String>,
    rows: Rows<Box<dyn Read + Send>>,
}

/// What is wrong with a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowProblem {
    /// Name of the file.
    pub(crate) file: Arc<str>,
    /// Line on which the row begins, from 1.
    pub(crate) line: u64,
    /// The column, or empty if it is about the row.
    pub(crate) field: String,
    /// What is wrong and what to write instead.
    pub(crate) message: String,
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RowProblem {
            file,
            line,
            field,
            message,
        } = self;
        match field.as_str() {
            "" => write!(f, "{file}, line {line}: {message}"),
            field => write!(f, "{file}, line {line}, {field}: {message}"),
        }
    }
}

/// Why a file cannot be read at all.
#[derive(Debug, Error)]
pub(crate) enum TableError {
    /// It cannot be opened.
    #[error("{path}: {error}")]
    Open {
        /// Where it was looked for.
        path: String,
        /// What the system says.
        error: io::Error,
    },
    /// Its first row does not name the columns.
    #[error("{0}")]
    Header(RowProblem),
    /// The mapping does not fit the agreement or the file's columns.
    #[error("{}", listed(.0))]
    Mapping(Vec<Problem>),
}

fn listed(problems: &[Problem]) -> String {
    let lines: Vec<_> = problems
        .iter()
        .map(|problem| format!("mapping.toml, {problem}"))
        .collect();
    lines.join("\n")
}

impl<P: Plan> Reader<P> {
    /// Opens a file; it may be gzipped, whatever its name.
    pub(crate) fn open(path: &Path, mapping: &Mapping, scope: &Scope) -> Result<Self, TableError> {
        Self::of(Table::open(path)?, mapping, scope)
    }

    /// Reads from anywhere; `file` is its name in messages.
    #[cfg(test)]
    pub(crate) fn new(
        file: &str,
        input: impl Read + Send + 'static,
        mapping: &Mapping,
        scope: &Scope,
    ) -> Result<Self, TableError> {
        Self::of(Table::new(file, input)?, mapping, scope)
    }

    fn of(table: Table, mapping: &Mapping, scope: &Scope) -> Result<Self, TableError> {
        let header = Header {
            file: &table.file,
            names: &table.names,
        };
        let mut planner = Planner::new(mapping, scope, Some(header))
            .map_err(|problem| TableError::Mapping(vec![problem]))?;
        let plan = P::draw(mapping, &mut planner);
        if plan.is_none() {
            planner.problem("payments.source", "names another source than this file");
        }
        let checked = planner.finish();
        match (plan, checked) {
            (Some(plan), Ok(())) => Ok(Reader { table, plan }),
            (_, checked) => Err(TableError::Mapping(checked.err().unwrap_or_default())),
        }
    }
}

impl<P: Plan> Iterator for Reader<P> {
    type Item = Result<P::Row, RowProblem>;

    fn next(&mut self) -> Option<Self::Item> {
        self.table.read(|row, line| self.plan.read(row, line))
    }
}

impl Table {
    /// Opens a file; it may be gzipped, whatever its name.
    pub(crate) fn open(path: &Path) -> Result<Table, TableError> {
        let failed = |error| TableError::Open {
            path: path.display().to_string(),
            error,
        };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy();
        Table::new(&name, file)
    }

    fn new(file: &str, input: impl Read + Send + 'static) -> Result<Table, TableError> {
        let failed = |error| TableError::Open {
            path: file.to_owned(),
            error,
        };
        let mut rows = Rows::new(unpacked(input).map_err(failed)?);
        let file: Arc<str> = file.into();
        let names = header(&mut rows)
            .map_err(|(line, fault)| TableError::Header(problem(&file, line, &[], fault)))?;
        rows.expect_columns(names.len());
        Ok(Table { file, names, rows })
    }

    /// The place of a column.
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The place of a column that must be there; the error says what else belongs to the header.
    pub(crate) fn wanted(&self, name: &str, hint: &str) -> Result<usize, TableError> {
        let missing = || {
            let fault = Fault {
                place: None,
                message: format!("there is no column `{name}`{hint}"),
            };
            TableError::Header(problem(&self.file, 1, &[], fault))
        };
        self.column(name).ok_or_else(missing)
    }

    /// Reads the next row, if there is one.
    pub(crate) fn read<T>(
        &mut self,
        read: impl FnOnce(&Row<'_>, u64) -> Result<T, Fault>,
    ) -> Option<Result<T, RowProblem>> {
        let (line, row) = self.rows.next()?;
        let read = row.and_then(|row| read(&row, line));
        Some(read.map_err(|fault| problem(&self.file, line, &self.names, fault)))
    }
}

fn problem(file: &Arc<str>, line: u64, names: &[String], fault: Fault) -> RowProblem {
    let name = fault.place.and_then(|place| names.get(place));
    let field = name.map_or_else(String::new, |name| clip(name).into_owned());
    RowProblem {
        file: file.clone(),
        line,
        field,
        message: fault.message,
    }
}

/// The text of a file that may be gzipped and may begin with a byte order mark.
fn unpacked(input: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let (start, packed) = peek::<2>(input)?;
    let text: Box<dyn Read + Send> = if start == [0x1f, 0x8b] {
        Box::new(MultiGzDecoder::new(packed))
    } else {
        Box::new(packed)
    };
    let (start, mut text) = peek::<3>(text)?;
    if start == *b"\xef\xbb\xbf" {
        text.read_exact(&mut [0; 3])?;
    }
    Ok(Box::new(text))
}

/// The first bytes, and everything with them.
fn peek<const N: usize>(mut input: impl Read) -> io::Result<(Vec<u8>, impl Read)> {
    let mut start = Vec::with_capacity(N);
    input.by_ref().take(N as u64).read_to_end(&mut start)?;
    Ok((start.clone(), Cursor::new(start).chain(input)))
}

/// The names of the columns. One without a name cannot be mapped, and may stand more than once.
fn header<R: Read>(rows: &mut Rows<R>) -> Result<Vec<String>, (u64, Fault)> {
    let of_row = |message: String| Fault {
        place: None,
        message,
    };
    let empty = || {
        (
            1,
            of_row("the file is empty; its first row names the columns".to_owned()),
        )
    };
    let (line, row) = rows.next().ok_or_else(empty)?;
    let row = row.map_err(|fault| (line, fault))?;
    let mut names = Vec::with_capacity(row.len());
    let mut seen = BTreeSet::new();
    for place in 0..row.len() {
        let name = row.text(place).map_err(|Fault { message, .. }| {
            (
                line,
                of_row(format!("the name of column {} {message}", place + 1)),
            )
        })?;
        if !name.is_empty() && !seen.insert(name.clone()) {
            let message = format!(
                "the column `{}` stands twice; give each its own name",
                clip(&name)
            );
            return Err((line, of_row(message)));
        }
        names.push(name.into_owned());
    }
    Ok(names)
}
