//! `tandem export`: a book in formats that other programs read, written while its journal is read
//! once from the first batch.

mod csv;
pub(crate) mod grid;
mod hledger;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(test)]
pub(crate) mod sample;
mod schema;
mod statement;
mod table;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

#[cfg(feature = "parquet")]
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Subcommand, ValueEnum};
use tandem_domain::book::{Book, Event};
use tandem_domain::calendar::Day;
use tandem_domain::party::{Party, PartyId};
use tandem_engine::{Step, replay};
use tandem_journal::{Journal, Store};

use self::csv::Csv;
use self::hledger::Hledger;
use self::statement::{Detail, Period, Statement, Statements};
use self::tables::Tables;
use crate::data::{BookOption, Place, make_private, private_file};
use crate::fail::{Failure, Outcome};

/// Options of `tandem export`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    format: Format,
}

#[derive(Subcommand)]
enum Format {
    /// Writes tables: applications, loans, shares, postings, settlements and balances.
    Csv(TableOptions),
    /// Writes the same tables as Parquet, typed and by months, and one more of month ends.
    Parquet(TableOptions),
    /// Describes the tables: a line for each column, in Markdown.
    Schema,
    /// Writes one party's ledger as a journal for hledger, with balance assertions every month.
    Hledger {
        /// The party, by its id in the agreement.
        #[arg(long)]
        party: String,
        /// File to write [default: the terminal]
        #[arg(long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        book: BookOption,
    },
    /// Writes one party's statement: every line on the accounts it has with others, and sums of
    /// the rest.
    Statement {
        /// The party, by its id in the agreement.
        #[arg(long)]
        party: String,
        /// Only this month, for example 2024-03 [default: all time]
        #[arg(long, value_parser = Period::month)]
        month: Option<Period>,
        /// File to write (Markdown); its lines go into a CSV file beside it [default: the
        /// terminal, without the CSV file]
        #[arg(long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        book: BookOption,
    },
    /// Writes what one party may see of the book, with proofs against the journal's hash chain:
    /// the party checks it with `tandem verify-view`, without the rest of the book.
    View {
        /// The party, by its id in the agreement.
        #[arg(long)]
        party: String,
        /// File to write [default: PARTY.view]
        #[arg(long)]
        out: Option<PathBuf>,
        #[command(flatten)]
        book: BookOption,
    },
}

#[derive(clap::Args)]
struct TableOptions {
    /// Folder to write into; it is made if it is not there.
    #[arg(long, default_value = "export")]
    out: PathBuf,
    /// The book as it stood when this day was closed [default: as it stands]
    #[arg(long)]
    on: Option<Day>,
    #[command(flatten)]
    book: BookOption,
}

impl TableOptions {
    fn write(&self, tables: &mut dyn Export) -> Outcome {
        let mut journal = self.book.place()?.open_read_only()?;
        write_on(self.on, &mut journal, &mut [tables])?;
        eprintln!("wrote {}", self.out.display());
        Ok(())
    }
}

/// Writes an export.
pub(crate) fn export(options: &Options) -> Outcome {
    match &options.format {
        Format::Csv(options) => options.write(&mut Tables::new(Csv::new(&options.out)?, false)),
        #[cfg(feature = "parquet")]
        Format::Parquet(options) => {
            options.write(&mut Tables::new(parquet::Parquet::new(&options.out)?, true))
        }
        #[cfg(not(feature = "parquet"))]
        Format::Parquet(_) => Err(without_parquet()),
        Format::Schema => show(&schema::describe()),
        Format::Hledger { party, out, book } => {
            writable(out.as_deref())?;
            let mut hledger = Hledger::new(party, Target::new(out.as_deref()));
            write(&mut book.place()?.open_read_only()?, &mut [&mut hledger])
        }
        Format::Statement {
            party,
            month,
            out,
            book,
        } => {
            let period = month.unwrap_or(Period::ALL);
            let lines = out.as_deref().map(|out| out.with_extension("csv"));
            writable(out.as_deref())?;
            writable(lines.as_deref())?;
            let target = Target::new(out.as_deref());
            let mut statement = Statement::new(party, period, Detail::Lines, target, lines);
            write(&mut book.place()?.open_read_only()?, &mut [&mut statement])
        }
        Format::View { party, out, book } => crate::view::export(party, out.as_deref(), book),
    }
}

/// Says that Parquet needs another build of the program.
#[cfg(not(feature = "parquet"))]
pub(crate) fn without_parquet() -> Failure {
    Failure(
        "this program was built without Parquet; build it with it: \
         cargo build --release --features parquet"
            .to_owned(),
    )
}

/// Writes the tables of some loans and of their applications, by their places, as Parquet into a folder that is not there yet; the number of
/// rows in the table of loans, read back from its file.
#[cfg(feature = "parquet")]
pub(crate) fn loans_as_parquet<S: Store>(
    journal: &mut Journal<S>,
    out: &Path,
    loans: &[u32],
    applications: BTreeSet<u32>,
) -> Outcome<u64> {
    let only = tables::Only {
        loans: loans.iter().copied().collect(),
        applications,
    };
    let mut tables = Tables::new(parquet::Parquet::new(out)?, false).only(only);
    write(journal, &mut [&mut tables])?;
    parquet::rows(&out.join(schema::LOANS.name).join(parquet::FILE))
}

/// Writes all tables and a statement for every party into a folder, in one reading.
pub(crate) fn write_all(out: &Path, place: &Place) -> Outcome {
    let mut tables = Tables::new(Csv::new(out)?, false);
    let mut statements = Statements::new(&out.join("statements"))?;
    write(
        &mut place.open_read_only()?,
        &mut [&mut tables, &mut statements],
    )
}

/// Makes a folder for tables, unless that would write over a programme.
pub(crate) fn folder(out: &Path) -> Outcome {
    if out.join("agreement.toml").exists() {
        return Err(Failure(format!(
            "{} is a programme's folder: the tables would be written over its applications.csv and \
             instructions.csv; name another folder with --out",
            out.display()
        )));
    }
    make_private(out)
}

/// How a command writes what it found.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Layout {
    /// For people.
    Table,
    /// For programs; amounts of money in minor units.
    Json,
}

/// Writes a text to the terminal.
pub(crate) fn show(text: &str) -> Outcome {
    let mut terminal = Target::new(None);
    terminal.text(text)?;
    terminal.flush()
}

/// Something that is written while a journal is read.
trait Export {
    /// Takes an event that was just applied.
    fn step(&mut self, step: &Step<'_>) -> Outcome;

    /// Ends the writing; the book is as the journal leaves it.
    fn finish(&mut self, book: &Book) -> Outcome;
}

/// Reads a journal and writes all exports on the way.
fn write<S: Store>(journal: &mut Journal<S>, exports: &mut [&mut dyn Export]) -> Outcome {
    write_on(None, journal, exports)
}

/// The same, of the book as it stood when a day was closed. The rest of the journal is read and
/// checked, but not written.
fn write_on<S: Store>(
    on: Option<Day>,
    journal: &mut Journal<S>,
    exports: &mut [&mut dyn Export],
) -> Outcome {
    let finish = |exports: &mut [&mut dyn Export], book: &Book| {
        exports
            .iter_mut()
            .try_for_each(|export| export.finish(book))
    };
    let (mut written, mut finished) = (Ok(()), false);
    let book = replay(journal, &mut |step| {
        if written.is_err() || finished {
            return;
        }
        written = exports.iter_mut().try_for_each(|export| export.step(&step));
        if let Event::DayClosed(close) = step.event {
            finished = Some(close.day) == on;
        }
        if finished && written.is_ok() {
            written = finish(exports, step.book);
        }
    })?;
    written?;
    match on {
        Some(_) if finished => Ok(()),
        Some(day) if book.latest().is_some() => Err(Failure(format!(
            "{day} was not closed in this book; its last closed day is {}",
            book.business_date().previous()
        ))),
        _ => finish(exports, &book),
    }
}

/// A party that was asked for by its id, found once it has signed.
struct Wanted {
    id: String,
    party: Option<PartyId>,
}

impl Wanted {
    fn new(id: &str) -> Wanted {
        Wanted {
            id: id.to_owned(),
            party: None,
        }
    }

    /// Looks for the party in what was signed; true if this event brought it.
    fn look(&mut self, step: &Step<'_>) -> bool {
        let signed = matches!(step.event, Event::Signed { .. });
        if !signed || self.party.is_some() {
            return false;
        }
        self.party = step
            .book
            .latest()
            .and_then(|version| version.agreement.party_id(&self.id));
        self.party.is_some()
    }

    /// What is wrong if it never signed.
    fn missing(&self, book: &Book) -> Failure {
        let known: Vec<_> = parties(book)
            .iter()
            .map(|party| party.id.as_str())
            .collect();
        Failure(if known.is_empty() {
            "nothing is signed in this book yet, so it has no ledgers".to_owned()
        } else {
            format!(
                "there is no party `{}` in this book; there are {}",
                self.id,
                known.join(", ")
            )
        })
    }
}

/// The parties of a book.
pub(crate) fn parties(book: &Book) -> &[Party] {
    book.latest()
        .map_or(&[], |version| &version.agreement.file.party)
}

/// The id of a party.
pub(crate) fn name(book: &Book, party: PartyId) -> &str {
    parties(book)
        .get(party.index())
        .map_or("", |party| &party.id)
}

/// The key of the application that a loan came from.
pub(crate) fn key_of(book: &Book, loan: Option<u32>) -> &str {
    let loan = loan.and_then(|loan| book.loan_at(loan));
    loan.map_or("", |loan| book.key_of(&loan))
}

/// True if the day after begins another month.
fn ends_month(day: Day) -> bool {
    (day + 1).ymd().2 == 1
}

/// A file, or the terminal.
struct Target {
    path: Option<PathBuf>,
    writer: Option<Box<dyn Write>>,
}

impl Target {
    fn new(path: Option<&Path>) -> Target {
        Target {
            path: path.map(Path::to_owned),
            writer: None,
        }
    }

    /// Writes text; the file is made when the first text comes, so that a request that fails
    /// leaves no file behind.
    fn text(&mut self, text: &str) -> Outcome {
        self.attempt(|writer| writer.write_all(text.as_bytes()))
    }

    fn flush(&mut self) -> Outcome {
        self.attempt(|writer| writer.flush())
    }

    fn attempt(&mut self, act: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => empty.insert(match &self.path {
                Some(path) => Box::new(BufWriter::with_capacity(1 << 16, create(path)?)),
                None => Box::new(BufWriter::new(io::stdout().lock())),
            }),
        };
        match (act(writer), &self.path) {
            (Ok(()), _) => Ok(()),
            // The reader at the other end of a pipe has seen enough.
            (Err(error), None) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            (Err(error), None) => Err(error.into()),
            (Err(error), Some(path)) => Err(Failure::io(path, &error)),
        }
    }
}

/// Notices that a file cannot be written before a long reading begins, and leaves none behind.
fn writable(path: Option<&Path>) -> Outcome {
    let Some(path) = path else {
        return Ok(());
    };
    let there = path.exists();
    match File::options().create(true).append(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Failure(format!(
                "{}: there is no such folder; make it, or name another",
                path.display()
            )));
        }
        opened => opened.map_err(|error| Failure::io(path, &error))?,
    };
    if !there {
        std::fs::remove_file(path).map_err(|error| Failure::io(path, &error))?;
    }
    Ok(())
}

fn create(path: &Path) -> Outcome<File> {
    let mut options = private_file();
    let created = options.create(true).truncate(true).open(path);
    created.map_err(|error| Failure::io(path, &error))
}
