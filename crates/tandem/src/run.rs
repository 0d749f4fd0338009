//! Running a programme: from its applications to final settlement.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use tandem_domain::book::{Application, ApplicationState, Command, Refusal as Refused};
use tandem_domain::calendar::Day;
use tandem_domain::field::Kind;
use tandem_domain::loan::Action;
use tandem_engine::Engine;
use tandem_journal::{BookName, Journal, Store, snapshot};
use tandem_web::hex;
use tandem_web::refusals::{self, Refusal};

use crate::data::{AnyStore, Place};
use crate::export;
use crate::export::grid::Grid;
use crate::fail::{Failure, Outcome};
use crate::instruct::{self, Asks, Decision};
use crate::payments::Payments;
use crate::programme::{Programme, Read};
use crate::report::{About, Collector, Comparison, Context, Note};
use crate::service::{open_registry, registry_file};
use crate::table::ApplicationRow;
use crate::verify::Verifier;
use crate::words::counted;

/// What to run, and where to.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// The programme's folder.
    programme: PathBuf,
    /// Applications to read instead of the programme's own (CSV, also gzipped).
    #[arg(long)]
    applications: Option<PathBuf>,
    /// Folder for the journal [default: data/ID, ID as in the agreement].
    #[arg(long)]
    data: Option<PathBuf>,
    /// PostgreSQL server for the journal: postgres://user@host/database, several hosts with
    /// commas between, or 'host=... user=... dbname=...'; the password in PGPASSWORD.
    #[arg(long, value_name = "ADDRESS")]
    store: Option<String>,
    /// Name under which this process owns the book on that server; started again under the same
    /// name, it goes on at once [default: a new one each time].
    #[arg(long, value_name = "NAME", requires = "store")]
    node: Option<String>,
    /// Folder for report, statements and tables [default: out/ID].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Close days up to this one only.
    #[arg(long)]
    until: Option<Day>,
}

/// Applications in one durable batch of commands.
const BATCH: usize = 1_000;

/// Files in the folder for results, besides the tables.
const PROBLEMS: &str = "problems.txt";
const REPORT: &str = "report.html";

/// How many problems are shown; all of them are written to `problems.txt`.
const SHOWN: usize = 10;

/// Runs a programme, or goes on where it stopped.
pub(crate) fn run(options: &Options) -> Outcome {
    let programme = Programme::read(&options.programme)?;
    let applications = programme.applications(options.applications.as_deref())?;
    let payments = Payments::read(&programme, options.applications.as_deref())?;
    let instructions = programme.instructions()?;
    let id = &programme.version.agreement.file.id;
    let name = BookName::new(id.as_str())?;
    let (data, store, node) = (&options.data, &options.store, &options.node);
    let place = Place::of(&name, data.as_deref(), store.as_deref(), node.as_deref())?;
    let out = options.out.clone();
    let out = out.unwrap_or_else(|| Path::new("out").join(id));
    // What is written last must be possible before anything is done.
    export::folder(&out)?;
    for file in [PROBLEMS, REPORT] {
        let path = out.join(file);
        let opened = File::options().create(true).append(true).open(&path);
        opened.map_err(|error| Failure::io(&path, &error))?;
    }
    let mut run = Run::open(&place, &programme, applications, payments, instructions)?;
    run.live(options.until)?;
    run.snapshot(&place);
    run.keep_refused(&place, store.as_deref())?;
    // The writer lets the journal go before it is read back.
    let Run {
        engine,
        mut problems,
        archived,
        payments,
        ..
    } = run;
    drop(engine);
    if archived > 0 {
        problems.push(format!(
            "{}: nothing can be done to loans that are archived; what was done before stays",
            counted(archived, "instruction")
        ));
    }
    conclude(&programme, &place, &out, &problems, &payments)
}

/// Runs a programme up to a day, by default half a year after its last application, if its book
/// is not as far.
pub(crate) fn fill(programme: &Programme, place: &Place, until: Option<Day>) -> Outcome {
    let applications = programme.applications(None)?;
    let last = applications.rows.iter().map(|row| row.date).max();
    let until = until.or_else(|| Some(last? + HALF_A_YEAR));
    let payments = Payments::read(programme, None)?;
    let instructions = programme.instructions()?;
    let mut run = Run::open(place, programme, applications, payments, instructions)?;
    run.live(until)?;
    run.snapshot(place);
    run.keep_refused(place, None)
}

/// In days.
const HALF_A_YEAR: i32 = 183;

/// A command, and the file and line that it comes from.
struct Asked {
    command: Command,
    from: Option<(Arc<str>, u64)>,
}

impl From<Command> for Asked {
    fn from(command: Command) -> Asked {
        Asked {
            command,
            from: None,
        }
    }
}

impl Asked {
    /// Key and loan of a payment or another instruction.
    fn instructed(&self) -> Option<(String, String)> {
        match &self.command {
            Command::Instruct(one) => Some((one.key.clone(), one.application.clone())),
            _ => None,
        }
    }

    /// How messages name it; a day's close has no name.
    fn name(&self) -> Option<String> {
        let name = name(&self.command)?;
        Some(match &self.from {
            Some((file, line)) => format!("{file}, line {line}: {name}"),
            None => name,
        })
    }
}

struct Run {
    engine: Engine<AnyStore>,
    applications: BTreeMap<Day, Vec<ApplicationRow>>,
    /// Payments and instructions to come, by the day on which they are entered.
    calendar: BTreeMap<Day, Vec<Asked>>,
    /// What people will decide on referrals, by the same day.
    decisions: BTreeMap<Day, Vec<Decision>>,
    payments: Payments,
    /// Loans whose payments are in the calendar.
    expected: usize,
    problems: Vec<String>,
    /// Payments and instructions of loans that are archived: were they done before? Nobody knows.
    archived: u64,
    /// Instructions that the book refused, for the console's cases.
    refused: Vec<Refusal>,
    /// Fields that the rows were read for.
    fields: Vec<(String, Kind)>,
}

impl Run {
    fn open(
        place: &Place,
        programme: &Programme,
        applications: Read<ApplicationRow>,
        mut payments: Payments,
        mut instructions: Read<instruct::Row>,
    ) -> Outcome<Run> {
        let name = BookName::new(programme.version.agreement.file.id.clone())?;
        let store = place.open_or_create(&name)?;
        if store.book() != &name {
            return Err(Failure(format!(
                "{place} holds the book `{}`, not `{name}`; name another folder with --data",
                store.book()
            )));
        }
        let mut engine = place.engine(Journal::open(store)?)?;
        let documents = programme.version.documents.clone();
        for answer in engine.submit([Command::Sign(Box::new(documents))])? {
            answer
                .map_err(|refusal| Failure(format!("{}: {refusal}", programme.folder.display())))?;
        }
        if engine.book().is_closing() {
            let day = engine.book().business_date();
            engine.submit([Command::CloseDay { day }])?;
        }
        let mut problems = applications.problems;
        problems.append(&mut payments.problems);
        problems.append(&mut instructions.problems);
        let mut by_date = BTreeMap::<Day, Vec<ApplicationRow>>::new();
        for row in applications.rows {
            by_date.entry(row.date).or_default().push(row);
        }
        let mut calendar = BTreeMap::<Day, Vec<Asked>>::new();
        let mut ask = |day, command, file: &Arc<str>, line| {
            calendar.entry(day).or_default().push(Asked {
                command,
                from: Some((file.clone(), line)),
            });
        };
        for (line, payment) in std::mem::take(&mut payments.rows) {
            let day = payment.value_date;
            ask(day, Command::Instruct(payment), &payments.file, line);
        }
        let file = instruct::FILE.into();
        let mut decisions = BTreeMap::<Day, Vec<Decision>>::new();
        for row in instructions.rows {
            match row.asks {
                Asks::Decision(decision) => {
                    decisions.entry(row.entered).or_default().push(decision);
                }
                Asks::Command(command) => ask(row.entered, command, &file, row.line),
            }
        }
        Ok(Run {
            engine,
            applications: by_date,
            calendar,
            decisions,
            payments,
            expected: 0,
            problems,
            archived: 0,
            refused: Vec::new(),
            fields: programme.version.agreement.scope.fields.clone(),
        })
    }

    /// Lets day after day pass until everything is settled.
    fn live(&mut self, until: Option<Day>) -> Outcome {
        let rows: u64 = self
            .applications
            .values()
            .map(|rows| rows.len() as u64)
            .sum();
        let bar = progress(rows, "applications");
        let mut commands = Vec::new();
        let mut day = self.engine.book().business_date();
        // What lies before the open day was done in an earlier run, or comes late.
        self.take_up_to(day.previous(), &mut commands, &bar)?;
        while until.is_none_or(|until| day <= until) {
            // As long as payments are to come, days follow each other without a question.
            if self.calendar.is_empty() && self.decisions.is_empty() {
                self.submit(&mut commands)?;
                // With loans still active, an explicit last day is kept to.
                let active = self.engine.book().portfolio().active > 0;
                if self.is_settled() && !(active && until.is_some()) {
                    break;
                }
            }
            self.take_up_to(day, &mut commands, &bar)?;
            commands.push(Command::CloseDay { day }.into());
            if commands.len() >= BATCH {
                self.submit(&mut commands)?;
                bar.set_message(format!(
                    "{day}, {} loans active",
                    self.engine.book().portfolio().active
                ));
            }
            day = day + 1;
        }
        self.submit(&mut commands)?;
        bar.finish_and_clear();
        Ok(())
    }

    /// Has the applications up to a day decided, by people too, and adds the payments up to it to
    /// `commands`.
    fn take_up_to(&mut self, day: Day, commands: &mut Vec<Asked>, bar: &ProgressBar) -> Outcome {
        for rows in up_to(&mut self.applications, day) {
            self.submit(commands)?;
            for rows in rows.chunks(BATCH) {
                self.apply(rows)?;
                bar.inc(rows.len() as u64);
            }
        }
        let decisions: Vec<_> = up_to(&mut self.decisions, day).flatten().collect();
        if !decisions.is_empty() {
            self.submit(commands)?;
            self.underwrite(&decisions)?;
        }
        self.expect_payments();
        commands.extend(up_to(&mut self.calendar, day).flatten());
        Ok(())
    }

    /// Has people decide what was referred; as of any application, an offer is taken on the spot.
    fn underwrite(&mut self, decisions: &[Decision]) -> Outcome {
        let asked = |decision: &Decision, command| Asked {
            command,
            from: Some((instruct::FILE.into(), decision.line)),
        };
        let (mut read, mut commands) = (Vec::new(), Vec::new());
        for decision in decisions {
            let version = instruct::governing(&decision.application, self.engine.book());
            match version.map(|version| decision.command(version)) {
                Some(Ok(command)) => {
                    read.push(decision);
                    commands.push(asked(decision, command));
                }
                Some(Err(problem)) => self.problems.push(problem.to_string()),
                None => {}
            }
        }
        let carried_out = self.submit(&mut commands)?;
        let book = self.engine.book();
        for (decision, _) in read.into_iter().zip(carried_out).filter(|(_, done)| *done) {
            let application = decision.application.clone();
            let record = book.application(&application);
            if record.is_some_and(|record| record.state == ApplicationState::Offered) {
                commands.push(asked(decision, Command::Accept { application }));
            }
        }
        self.submit(&mut commands)?;
        Ok(())
    }

    /// True if nothing is left to do: no input, no open offer, no unpaid settlement, and, where
    /// payments are known to the end, no active loan.
    fn is_settled(&self) -> bool {
        let book = self.engine.book();
        self.applications.is_empty()
            && self.calendar.is_empty()
            && self.decisions.is_empty()
            && self.expected == book.loan_count()
            && book.plans().is_empty()
            && !book.has_open_offers()
            && (book.portfolio().active == 0 || !self.payments.go_to_the_end())
    }

    /// Has applications decided; every offer is accepted on the spot.
    fn apply(&mut self, rows: &[ApplicationRow]) -> Outcome {
        let Some((_, version)) = self.engine.book().current() else {
            return Ok(());
        };
        if version.agreement.scope.fields != self.fields {
            return Err(Failure(format!(
                "version {} of the agreement governs {}, and its fields are not those of the mapping; \
                 run what is dated before the new version with the old files first",
                version.agreement.file.version,
                self.engine.book().business_date()
            )));
        }
        let commands: Vec<Command> = rows
            .iter()
            .flat_map(|row| {
                let application = Application {
                    key: row.key.clone(),
                    borrower: row.borrower.clone(),
                    values: row.values.clone(),
                    decisions: version.decisions(&row.values),
                };
                [
                    Command::Apply(Box::new(application)),
                    Command::Accept {
                        application: row.key.clone(),
                    },
                ]
            })
            .collect();
        let answers = self.engine.submit(commands)?;
        for (row, answers) in rows.iter().zip(answers.chunks(2)) {
            if let Err(refusal) = &answers[0] {
                self.problems.push(format!(
                    "{}, line {}: {refusal}",
                    self.payments.applications_file, row.line
                ));
            }
        }
        Ok(())
    }

    /// Writes a snapshot, from which the book opens faster than from its journal. It is a short
    /// cut, so the run goes on without it.
    fn snapshot(&mut self, place: &Place) {
        let (folder, head) = (place.snapshots(), self.engine.journal().head());
        let newest = snapshot::list(&folder).unwrap_or_default();
        if newest.first().is_some_and(|(_, seq)| *seq == head.seq) {
            return;
        }
        if let Err(error) = self.engine.snapshot(&folder) {
            eprintln!("note: no snapshot was written: {error}");
        }
    }

    /// Puts the payments of new loans into the calendar, where they are made and not read.
    fn expect_payments(&mut self) {
        let book = self.engine.book();
        for place in self.expected..book.loan_count() {
            let Some(loan) = book.loan_at(place as u32) else {
                continue;
            };
            let key = book.key_of(&loan);
            for (day, command) in self.payments.of(&loan, key, book) {
                self.calendar.entry(day).or_default().push(command.into());
            }
        }
        self.expected = book.loan_count();
    }

    /// Tells the service in the same folder, if there is one, what was refused: its console makes
    /// cases of it.
    fn keep_refused(&self, place: &Place, store: Option<&str>) -> Outcome {
        let data = place.folder().parent().unwrap_or(Path::new("."));
        let file = registry_file(data);
        let Some(version) = self.engine.book().latest() else {
            return Ok(());
        };
        if self.refused.is_empty() || !file.exists() {
            return Ok(());
        }
        let registry = open_registry(data, store)?;
        let agreement = &version.agreement.file;
        let (id, servicer) = (&agreement.id, &agreement.roles.servicer);
        let kept = refusals::keep(&registry, id, servicer, &self.refused);
        kept.map_err(|error| Failure(format!("the registry: {error}")))
    }

    /// Submits commands as one durable batch; a refused payment is a problem, a day that cannot
    /// be closed ends the run. Tells which were not refused.
    fn submit(&mut self, commands: &mut Vec<Asked>) -> Outcome<Vec<bool>> {
        let named: Vec<_> = commands.iter().map(Asked::name).collect();
        let instructed: Vec<_> = commands.iter().map(Asked::instructed).collect();
        let asked = commands.drain(..).map(|asked| asked.command);
        let answers = self.engine.submit(asked)?;
        let day = self.engine.book().business_date();
        let carried_out = answers.iter().map(Result::is_ok).collect();
        for ((name, instructed), answer) in named.into_iter().zip(instructed).zip(answers) {
            match (name, answer) {
                (Some(_), Err(Refused::LoanArchived(_) | Refused::InstructionArchived(_))) => {
                    self.archived += 1
                }
                (Some(name), Err(refusal)) => {
                    let detail = refusal.to_string();
                    self.problems.push(format!("{name}: {detail}"));
                    self.refused.extend(instructed.map(|(key, loan)| Refusal {
                        key,
                        loan,
                        detail,
                        day: day.0,
                    }));
                }
                (None, Err(refusal)) => return Err(Failure(refusal.to_string())),
                (_, Ok(_)) => {}
            }
        }
        Ok(carried_out)
    }
}

/// A payment or charge-off as messages name it.
fn name(command: &Command) -> Option<String> {
    match command {
        Command::Instruct(instruction) => {
            let what = match instruction.action {
                Action::Repay(_) | Action::Prepay(..) => "payment",
                action => action.name(),
            };
            Some(format!("{what} {}", instruction.key))
        }
        Command::Reverse { of, .. } => Some(format!("reversal of {of}")),
        Command::ReplaceLender(replacement) => Some(format!("replacement {}", replacement.key)),
        Command::Fix { index, day, .. } => Some(format!("fixing of {index} on {day}")),
        Command::SendSlice(slice) | Command::ReceiveSlice { slice, .. } => {
            Some(format!("slice {}", slice.key))
        }
        Command::ChargeOff { application } => Some(format!("charge-off of {application}")),
        Command::Underwrite(underwriting) => {
            Some(format!("decision on {}", underwriting.application))
        }
        Command::Accept { application } => Some(format!("acceptance of {application}")),
        Command::Withdraw { application } => Some(format!("withdrawal of {application}")),
        _ => None,
    }
}

/// Takes everything up to a day out of a map, in order.
fn up_to<T>(map: &mut BTreeMap<Day, T>, day: Day) -> impl Iterator<Item = T> + use<T> {
    let later = map.split_off(&(day + 1));
    std::mem::replace(map, later).into_values()
}

/// Reads the journal back, checks everything, and writes report, statements and tables.
fn conclude(
    programme: &Programme,
    place: &Place,
    out: &Path,
    problems: &[String],
    payments: &Payments,
) -> Outcome {
    let mut verifier = Verifier::default();
    let mut collector = Collector::new();
    let book = place.read(&mut |step| {
        verifier.observe(&step);
        collector.observe(&step);
    })?;
    let checks = verifier.finish(&book);
    let passed = checks.iter().all(|check| check.passed);
    export::write_all(out, place)?;
    write(
        &out.join(PROBLEMS),
        &problems
            .iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )?;
    let comparison = payments.comparison(&book);
    let compared = comparison.as_ref().map(table);
    let proofs: Vec<String> = checks.iter().map(ToString::to_string).collect();
    let report = collector.finish(
        &book,
        Context {
            notes: notes(programme, payments),
            checks,
            comparison,
            problems: problems.iter().take(SHOWN).cloned().collect(),
            problem_count: problems.len(),
            generated_with: env!("CARGO_PKG_VERSION").to_owned(),
        },
    );
    write(&out.join(REPORT), &report.html())?;
    let mut text = Vec::new();
    report.print(&mut text, 100, std::io::stdout().is_terminal())?;
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if let Some(compared) = compared {
        text += &format!("\n{compared}\n");
    }
    for problem in problems.iter().take(SHOWN) {
        text += &format!("! {problem}\n");
    }
    if problems.len() > SHOWN {
        text += &format!(
            "! and {} more; all are in {}\n",
            problems.len() - SHOWN,
            out.join(PROBLEMS).display()
        );
    }
    let digest = hex(&book.digest());
    text += &format!(
        "{}\nreport   {}\njournal  {}\ndigest   {digest}\n",
        proofs.join("\n"),
        out.join(REPORT).display(),
        place
    );
    export::show(&text)?;
    if passed {
        Ok(())
    } else {
        Err(Failure("a check failed; see above".into()))
    }
}

/// A comparison for the terminal.
fn table(comparison: &Comparison) -> String {
    let mut grid = Grid::new(1, comparison.header.iter().map(String::as_str));
    for row in &comparison.rows {
        grid.row(row.iter().map(String::as_str));
    }
    format!("{}\n{}", comparison.title, grid.plain(0))
}

/// What a reader must know about the data and about the payments.
fn notes(programme: &Programme, payments: &Payments) -> Vec<Note> {
    let data = programme.mapping.notes().map(|text| Note {
        label: "data".into(),
        text,
        about: About::Everything,
    });
    data.chain(payments.note()).collect()
}

fn write(path: &Path, text: &str) -> Outcome {
    fs::write(path, text).map_err(|error| Failure::io(path, &error))
}

/// A progress bar on the terminal; nothing where there is none.
pub(crate) fn progress(length: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} {prefix} {elapsed_precise} {msg}");
    let bar = ProgressBar::new(length).with_prefix(what);
    style
        .map(|style| bar.clone().with_style(style))
        .unwrap_or(bar)
}
