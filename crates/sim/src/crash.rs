//! `kill -9` in a loop: a process submits commands to the real engine on a real store and says
//! which were answered; it is killed at any moment and started again. In the end the book must
//! have what was answered, once, and be that of a run that nobody killed.

mod place;

use std::env;
use std::error::Error;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command as Process, ExitCode, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tandem_domain::book::{Answer, Book, Command};
use tandem_domain::ledger::Entry;
use tandem_engine::Engine;
use tandem_journal::{Journal, Store};

use self::place::{Place, StoreName};
use crate::load::{Load, is_done};
use crate::view;

type Failure = Box<dyn Error>;

/// What the killed process does.
#[derive(clap::Args)]
pub struct Drive {
    #[command(flatten)]
    place: Place,
    #[arg(long)]
    seed: u64,
    /// Number of the first command that was not answered.
    #[arg(long)]
    from: u64,
    /// Number of commands in all.
    #[arg(long)]
    commands: u64,
}

/// Most commands in a batch.
const BATCH: u64 = 24;
/// Unanswered commands among which the last that was carried out is looked for. A process that is
/// killed before it says what it found leaves another batch each time.
const UNANSWERED: u64 = 100 * BATCH;

impl Drive {
    /// Submits commands and prints the number and answer of each that was answered.
    pub fn start(&self) -> Result<(), Failure> {
        self.place.drive(self)
    }

    fn run<S: Store>(&self, store: S) -> Result<(), Failure> {
        let load = Load::new(self.seed);
        let mut engine = Engine::open(Journal::open(store)?)?;
        let mut rng = Rng::new();
        if engine.book().is_closing() {
            let day = engine.book().business_date();
            engine.submit([Command::CloseDay { day }])?;
        }
        // Commands are decided in order, so before one that was carried out all were decided.
        let unanswered = self.from..self.commands.min(self.from + UNANSWERED);
        let done = |number: &u64| is_done(engine.book(), &load.command(*number));
        let found: Vec<u64> = unanswered.filter(done).collect();
        let mut next = found.last().map_or(self.from, |last| last + 1);
        let found = found.iter().map(|number| format!("{number} done\n"));
        print(&found.collect::<String>())?;
        // A client that does not know sends again.
        let earlier: Vec<Command> = (next.saturating_sub(BATCH)..next)
            .map(|number| load.command(number))
            .filter(|command| is_done(engine.book(), command))
            .collect();
        for answer in engine.submit(earlier)? {
            if answer == Ok(Answer::Done) {
                print("0 doubled\n")?;
            }
        }
        while next < self.commands {
            let end = (next + rng.u64(1..=BATCH)).min(self.commands);
            let answers = engine.submit((next..end).map(|number| load.command(number)))?;
            let lines = (next..end)
                .zip(answers)
                .map(|(number, answer)| match answer {
                    Ok(_) => format!("{number} done\n"),
                    Err(_) => format!("{number} refused\n"),
                });
            print(&lines.collect::<String>())?;
            next = end;
        }
        Ok(())
    }
}

fn print(lines: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(lines.as_bytes())?;
    Ok(out.flush()?)
}

/// How often to kill.
#[derive(clap::Args)]
pub struct Crash {
    /// Times that a process is killed.
    #[arg(long, default_value_t = 100)]
    rounds: u32,
    /// The store.
    #[arg(long, default_value = "sqlite")]
    store: StoreName,
    /// Commands in a book; when all are answered, the next book is begun.
    #[arg(long, default_value_t = 20_000)]
    commands: u64,
    /// Seed of the first book's commands, and of the moments.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What the rounds came to.
#[derive(Default)]
struct Report {
    killed: u32,
    /// Of them, before anything was answered in the round.
    silent: u32,
    books: u32,
    /// Commands answered as carried out, and answered as refused.
    acknowledged: u64,
    refused: u64,
    found: u64,
    doubled: u64,
    /// Books that are not those of an uninterrupted run.
    different: u32,
}

impl Crash {
    /// Kills and counts; succeeds if nothing is lost, doubled or different.
    pub fn start(&self) -> Result<ExitCode, Failure> {
        let addresses = self.store.addresses()?;
        let begun = Instant::now();
        let mut report = Report::default();
        let mut rng = Rng::with_seed(self.seed);
        while report.killed < self.rounds {
            let seed = self.seed + u64::from(report.books);
            self.book(seed, addresses(), &mut rng, &mut report)?;
        }
        let lost = report.acknowledged - report.found;
        println!(
            "{} rounds of kill -9 on {} in {:.0} s ({} before the first answer of the round): {} \
             books of {} commands, acknowledged {}, found {}, lost {lost}, doubled {}, refused \
             {}, digests equal to those of uninterrupted runs {} of {}",
            report.killed,
            self.store.name(),
            begun.elapsed().as_secs_f64(),
            report.silent,
            report.books,
            self.commands,
            report.acknowledged,
            report.found,
            report.doubled,
            report.refused,
            report.books - report.different,
            report.books,
        );
        let right = lost + report.doubled + u64::from(report.different) == 0;
        Ok(ExitCode::from(u8::from(!right)))
    }

    /// Kills the process of one book again and again, until all commands are answered or there
    /// were enough rounds; then lets it come to its end and looks at the book.
    fn book(
        &self,
        seed: u64,
        address: Option<String>,
        rng: &mut Rng,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let folder = tempfile::tempdir()?;
        let place = Place::new(self.store, folder.path(), address);
        let mut answered = vec![None; self.commands as usize];
        while report.killed < self.rounds && answered.contains(&None) {
            let (mut child, lines) = self.spawn(seed, &place, &answered)?;
            // A third dies while it starts, the others among their answers.
            if rng.u32(..3) > 0 {
                let first = lines.recv_timeout(Duration::from_secs(60));
                first
                    .iter()
                    .for_each(|line| note(line, &mut answered, report));
            }
            thread::sleep(Duration::from_micros(rng.u64(..40_000)));
            // SIGKILL on Unix; nothing of the process gets to run.
            child.kill()?;
            child.wait()?;
            let rest: Vec<String> = lines.iter().collect();
            report.killed += 1;
            report.silent += u32::from(rest.is_empty());
            rest.iter()
                .for_each(|line| note(line, &mut answered, report));
        }
        let (mut child, lines) = self.spawn(seed, &place, &answered)?;
        lines
            .iter()
            .for_each(|line| note(&line, &mut answered, report));
        if !child.wait()?.success() || answered.contains(&None) {
            let store = self.store.name();
            return Err(format!("the process did not come to its end on {store}").into());
        }
        self.compare(seed, &place.read_back()?, &answered, report);
        Ok(())
    }

    /// Starts the process behind the last command before which all are answered.
    fn spawn(
        &self,
        seed: u64,
        place: &Place,
        answered: &[Option<bool>],
    ) -> Result<(Child, Receiver<String>), Failure> {
        let from = answered
            .iter()
            .position(Option::is_none)
            .unwrap_or(answered.len());
        let mut child = Process::new(env::current_exe()?)
            .arg("drive")
            .args(place.arguments())
            .args(["--seed", &seed.to_string(), "--from", &from.to_string()])
            .args(["--commands", &self.commands.to_string()])
            .stdout(Stdio::piped())
            .spawn()?;
        let out = child.stdout.take().ok_or("the process has no output")?;
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            let mut out = BufReader::new(out);
            let mut line = String::new();
            // A line that the kill cut off says nothing.
            while out.read_line(&mut line).is_ok() && line.ends_with('\n') {
                if send.send(std::mem::take(&mut line)).is_err() {
                    return;
                }
            }
        });
        Ok((child, lines))
    }

    fn compare(&self, seed: u64, book: &Book, answered: &[Option<bool>], report: &mut Report) {
        let load = Load::new(seed);
        let mut straight = Book::default();
        for (number, answer) in answered.iter().enumerate() {
            let command = load.command(number as u64);
            if *answer == Some(true) {
                report.acknowledged += 1;
                report.found += u64::from(is_done(book, &command));
            } else {
                report.refused += 1;
            }
            // Its answer shows in the book.
            let _ = straight.execute(command, &mut Vec::new(), &mut |_: &Entry| {});
        }
        let done = |book: &Book| {
            let mut done = view::application_count(book) + view::loan_count(book);
            view::each_loan(book, |_, loan| done += loan.history.transactions().len());
            done as u64
        };
        report.books += 1;
        report.doubled += done(book).saturating_sub(done(&straight));
        let right = book.digest() == straight.digest() && book.findings().is_empty();
        report.different += u32::from(!right);
    }
}

/// Notes an answer: true if the command was carried out.
fn note(line: &str, answered: &mut [Option<bool>], report: &mut Report) {
    let Some((number, answer)) = line.trim_end().split_once(' ') else {
        return;
    };
    if answer == "doubled" {
        report.doubled += 1;
        return;
    }
    let number = number.parse().ok();
    // What is found later than a command without a trace was decided: that one was refused.
    if let Some(number) = number.filter(|&number: &usize| number < answered.len()) {
        for earlier in answered[..number]
            .iter_mut()
            .rev()
            .take_while(|slot| slot.is_none())
        {
            *earlier = Some(false);
        }
        answered[number] = Some(answer == "done");
    }
}
