//! Measuring throughput on this machine.

mod api;
mod close;
mod loan;
mod open;
mod portfolio;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, Subcommand};
use indicatif::ProgressBar;
use serde_json::json;
use tandem_domain::book::{Application, Command, Documents, Version};
use tandem_domain::field::Value;
use tandem_engine::{Client, Engine, EngineError, Request, Writer};
use tandem_journal::{BookName, Journal, Memory, Sqlite, Store};

use crate::export;
use crate::fail::{Failure, Outcome};
use crate::programme::Programme;
use crate::run::progress;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    measure: Measure,
}

#[derive(Subcommand)]
enum Measure {
    /// Applications a second: decided by every lender, shared, booked and made durable.
    Book {
        /// How many; the programme's own are repeated with new keys.
        #[arg(long, default_value_t = 1_000_000)]
        applications: u64,
        /// The programme that they come from.
        #[arg(long, default_value = "examples/marketplace")]
        programme: PathBuf,
        /// Keep the journal in memory, to see what durability costs.
        #[arg(long)]
        memory: bool,
    },
    /// How long closing a day takes with many loans, and how much memory they take.
    Close {
        /// How many loans.
        #[arg(long, default_value_t = 1_000_000)]
        loans: u64,
        /// The programme that they come from.
        #[arg(long, default_value = "examples/marketplace")]
        programme: PathBuf,
    },
    /// How long a book with many loans takes to open from a snapshot.
    Open {
        /// How many loans.
        #[arg(long, default_value_t = 1_000_000)]
        loans: u64,
        /// The programme that they come from.
        #[arg(long, default_value = "examples/marketplace")]
        programme: PathBuf,
    },
    /// Events a second that are read back from a journal and checked.
    Replay {
        /// How many loans.
        #[arg(long, default_value_t = 100_000)]
        loans: u64,
        /// The programme that they come from.
        #[arg(long, default_value = "examples/marketplace")]
        programme: PathBuf,
    },
    /// Signed calls a second that a running service answers, and how long they take.
    Api(api::Load),
    /// Loans planned, and evaluated from their history, a second on one core.
    Loan {
        /// The programme whose product they have.
        #[arg(long, default_value = "examples/marketplace")]
        programme: PathBuf,
    },
}

/// What the system tells of this process.
const OWN_STATUS: &str = "/proc/self/status";

/// Applications in a request.
const BATCH: usize = 1_000;

/// Requests that may wait for the writer, and those that the lenders let run before they wait.
const QUEUE: usize = 8;
const UNDER_WAY: usize = 8;

/// Measures and prints; the last line is JSON.
pub(crate) fn bench(options: &Options) -> Outcome {
    match &options.measure {
        Measure::Book {
            applications,
            programme,
            memory,
        } => book(&Programme::read(programme)?, *applications, *memory),
        Measure::Close { loans, programme } => close::measure(&Programme::read(programme)?, *loans),
        Measure::Open { loans, programme } => {
            in_a_folder(|folder| open::from_snapshot(&Programme::read(programme)?, *loans, folder))
        }
        Measure::Replay { loans, programme } => {
            in_a_folder(|folder| open::from_journal(&Programme::read(programme)?, *loans, folder))
        }
        Measure::Api(load) => api::measure(load),
        Measure::Loan { programme } => {
            loan::measure(&Programme::read(programme)?.version.agreement)
        }
    }
}

/// Gives a folder that is deleted afterwards.
fn in_a_folder(act: impl FnOnce(&Path) -> Outcome) -> Outcome {
    let folder = std::env::temp_dir().join(format!("tandem-bench-{}", std::process::id()));
    fs::create_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
    let acted = act(&folder);
    fs::remove_dir_all(&folder).map_err(|error| Failure::io(&folder, &error))?;
    acted
}

fn book(programme: &Programme, applications: u64, memory: bool) -> Outcome {
    let rows = programme.applications(None)?.rows.into_iter();
    let inputs: Vec<Vec<Value>> = rows.map(|row| row.values).collect();
    if inputs.is_empty() {
        return Err(Failure(
            "the programme has no applications to repeat".into(),
        ));
    }
    let times = applications / inputs.len() as u64 + 1;
    let documents = scaled(&programme.version.documents, times)?;
    let version = Version::parse(documents)
        .map_err(|problems| Failure(format!("scaled agreement: {problems:?}")))?;
    let name = BookName::new("bench")?;
    if memory {
        let journal = Journal::open(Memory::new(name))?;
        return measure(journal, &version, &inputs, applications);
    }
    in_a_folder(|folder| {
        let store = Sqlite::create(folder.join("book.db"), &name)?;
        measure(Journal::open(store)?, &version, &inputs, applications)
    })
}

fn measure<S: Store + Send + 'static>(
    journal: Journal<S>,
    version: &Version,
    inputs: &[Vec<Value>],
    applications: u64,
) -> Outcome {
    let decision_ns = nanoseconds_a_decision(version, inputs);
    let mut engine = Engine::open(journal)?;
    engine.submit([Command::Sign(Box::new(version.documents.clone()))])?;
    let writer = Writer::start(engine, QUEUE)?;
    let bar = progress(applications, "applications");
    let (started, cpu) = (Instant::now(), cpu_seconds("/proc/self/stat"));
    // This thread stands for the lenders, who decide beside the writer, as they do in life.
    let lent = lend(writer.client(), version, inputs, applications, &bar);
    let (seconds, cpu) = (
        started.elapsed().as_secs_f64(),
        cpu_seconds("/proc/self/stat") - cpu,
    );
    let threads = ["writer", "flusher"].map(thread_seconds);
    bar.finish_and_clear();
    // What ended the writer says more than that it ended.
    let mut engine = writer.stop()?;
    lent?;
    let stats = engine.journal().stats()?;
    let book = engine.book();
    if let Some(finding) = book.findings().first() {
        return Err(Failure(format!(
            "the book is wrong after the run: {finding}"
        )));
    }
    let per = |total: f64| total / applications as f64;
    let (loans, per_second) = (book.loan_count(), applications as f64 / seconds);
    let [writing, flushing] = threads.map(|cpu| per(cpu * 1e6));
    export::show(&format!(
        "{applications} applications in {seconds:.2} s: {per_second:.0} a second, {loans} loans booked\n\
         {:.0} bytes of journal an application in {} batches\n\
         {:.2} µs of processor time an application: {writing:.2} µs the writer, {flushing:.2} µs the flusher\n\
         the book is right\n{}\n",
        per(stats.body_bytes as f64),
        stats.batches,
        per(cpu * 1e6),
        json!({
            "applications": applications,
            "seconds": round(seconds),
            "applications_per_s": per_second.round(),
            "loans": loans,
            "loans_per_s": (loans as f64 / seconds).round(),
            "entries": book.ledgers().entries(),
            "batches": stats.batches,
            "bytes_per_application": round(per(stats.body_bytes as f64)),
            "cpu_us_per_application": round(per(cpu * 1e6)),
            "writer_us_per_application": round(writing),
            "flusher_us_per_application": round(flushing),
            "decision_ns": decision_ns.round(),
            "peak_memory_mib": memory_bytes(OWN_STATUS, "VmHWM").map(|bytes| bytes >> 20),
        })
    ))
}

/// Has applications decided by every lender and sends them to the writer; every offer is taken.
fn lend(
    mut client: Client,
    version: &Version,
    inputs: &[Vec<Value>],
    applications: u64,
    bar: &ProgressBar,
) -> Result<(), EngineError> {
    let mut numbers = 0..applications;
    let mut under_way = 0;
    loop {
        // Requests go round, as their memory does.
        let mut request = if under_way < UNDER_WAY {
            Request::default()
        } else {
            let Some(request) = client.receive() else {
                return Ok(());
            };
            let request = request?;
            bar.inc(request.answers.len() as u64 / 2);
            under_way -= 1;
            request
        };
        for number in numbers.by_ref().take(BATCH) {
            let values = inputs[(number % inputs.len() as u64) as usize].clone();
            let key = format!("B-{number:08}");
            let decisions = version.decisions(&values);
            request.commands.push(Command::Apply(Box::new(Application {
                key: key.clone(),
                borrower: None,
                values,
                decisions,
            })));
            request.commands.push(Command::Accept { application: key });
        }
        if request.commands.is_empty() {
            while let Some(rest) = client.receive() {
                bar.inc(rest?.answers.len() as u64 / 2);
            }
            return Ok(());
        }
        client.send(request);
        under_way += 1;
    }
}

/// What one lender's decision on one application takes, on one core.
fn nanoseconds_a_decision(version: &Version, inputs: &[Vec<Value>]) -> f64 {
    const ROUNDS: usize = 20;
    let started = Instant::now();
    for values in std::iter::repeat_n(inputs, ROUNDS).flatten() {
        std::hint::black_box(version.decisions(std::hint::black_box(values)));
    }
    let decisions = ROUNDS * inputs.len() * version.policies.len();
    started.elapsed().as_secs_f64() * 1e9 / decisions as f64
}

fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// The documents with limits and capital made `times` as large, so that they bind as they do in
/// the programme itself.
fn scaled(documents: &Documents, times: u64) -> Outcome<Documents> {
    let mut table: toml::Table = documents.agreement.parse()?;
    let scale = |entry: &mut toml::Value, field: &str| {
        let money = entry
            .get(field)
            .and_then(toml::Value::as_str)
            .and_then(|text| text.parse().ok());
        if let (Some(tandem_domain::money::Money { amount, currency }), Some(table)) =
            (money, entry.as_table_mut())
        {
            let amount = tandem_domain::money::Amount(
                amount
                    .0
                    .saturating_mul(times as i64)
                    .min(tandem_domain::money::Amount::MAX.0),
            );
            table.insert(field.into(), toml::Value::String(currency.show(amount)));
        }
    };
    for list in ["party", "limit"] {
        for entry in table
            .get_mut(list)
            .and_then(toml::Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            for field in [
                "amount",
                "tier1_capital",
                "total_loans",
                "joint_loans_elsewhere",
            ] {
                scale(entry, field);
            }
        }
    }
    Ok(Documents {
        agreement: toml::to_string(&table)?,
        ..documents.clone()
    })
}

/// Processor time of a thread of this process by its name, in seconds.
fn thread_seconds(name: &str) -> f64 {
    let tasks = fs::read_dir("/proc/self/task").into_iter().flatten();
    let mut tasks = tasks.flatten().map(|task| task.path());
    let named = |task: &PathBuf| {
        fs::read_to_string(task.join("comm")).is_ok_and(|comm| comm.trim_end() == name)
    };
    tasks
        .find(named)
        .map_or(0.0, |task| cpu_seconds(task.join("stat")))
}

/// Processor time of a process or thread, in seconds, where the system tells.
fn cpu_seconds(stat: impl AsRef<Path>) -> f64 {
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(stat).unwrap_or_default();
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .collect();
    let ticks = |place: usize| {
        fields
            .get(place)
            .and_then(|field| field.parse::<f64>().ok())
            .unwrap_or_default()
    };
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}

/// A figure of a process's memory, in bytes, where the system tells.
fn memory_bytes(status: impl AsRef<Path>, figure: &str) -> Option<u64> {
    let status = fs::read_to_string(status).ok()?;
    let line = status.lines().find(|line| line.starts_with(figure))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}
