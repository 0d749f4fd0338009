//! The simulator's program. `cargo xtask simulate` and `cargo xtask crash` call it.

use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use tandem_engine::Engine;
use tandem_sim::crash::{Crash, Drive};
use tandem_sim::disk::{Fault, SimStore};
use tandem_sim::simulation::{Places, replay};
use tandem_sim::world::Counts;
use tandem_sim::{Failure, Simulation, simulate};

/// Seeded simulations of the engine on failing disks, and kill -9 loops on real ones.
#[derive(Parser)]
enum Options {
    /// Plays the lives of seeds, one after the other, up to the first that fails.
    Simulate(Simulate),
    /// Kills real processes at any moment and compares what they answered with the book.
    Crash(Crash),
    /// Submits commands and prints what was answered: the process that `crash` kills.
    #[command(hide = true)]
    Drive(Drive),
}

#[derive(clap::Args)]
struct Simulate {
    /// Seeds to play [default: 100, or as many as there is time for].
    #[arg(long)]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// No new seed is begun after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Plays only these steps of the seed, as a failure prints them: `0,3-7,12`.
    #[arg(long)]
    keep: Option<Places>,
}

fn main() -> ExitCode {
    match Options::parse() {
        Options::Simulate(options) => play(&options),
        Options::Crash(crash) => ended(crash.start()),
        Options::Drive(drive) => ended(drive.start().map(|()| ExitCode::SUCCESS)),
    }
}

fn ended(outcome: Result<ExitCode, Box<dyn Error>>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn play(options: &Simulate) -> ExitCode {
    let simulation = Simulation::default();
    // A panic is caught and reported with its seed and steps.
    std::panic::set_hook(Box::new(|_| {}));
    if let Some(Places(kept)) = &options.keep {
        return match replay::<Engine<SimStore>>(options.seed, kept, &simulation) {
            Ok(_) => {
                println!("seed {}: these steps show nothing wrong", options.seed);
                ExitCode::SUCCESS
            }
            Err(failure) => report(&failure),
        };
    }
    let begun = Instant::now();
    let limit = options.seconds.map(Duration::from_secs);
    let seeds = options
        .seeds
        .unwrap_or(if limit.is_some() { u64::MAX } else { 100 });
    let (mut played, mut counts) = (0, Counts::default());
    while played < seeds && limit.is_none_or(|limit| begun.elapsed() < limit) {
        match simulate::<Engine<SimStore>>(options.seed + played, &simulation) {
            Ok(of_seed) => counts.add(&of_seed),
            Err(failure) => return report(&failure),
        }
        played += 1;
    }
    println!(
        "{}",
        summary(options.seed, played, &counts, begun.elapsed())
    );
    ExitCode::SUCCESS
}

fn report(failure: &Failure) -> ExitCode {
    eprintln!("{failure}");
    ExitCode::FAILURE
}

fn summary(first: u64, seeds: u64, counts: &Counts, time: Duration) -> String {
    let [done, known, refused] = counts.answers;
    let [written, used, damaged] = counts.snapshots;
    let faults = Fault::NAMES.iter().zip(counts.wear.faults);
    let faults: Vec<_> = faults
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    let kinds = counts.kinds.iter();
    let kinds: Vec<_> = kinds
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let all: u64 = counts.wear.faults.iter().sum();
    format!(
        "changed the book: {}\n{seeds} seeds from {first} in {:.1} s: {} commands in {} batches \
         ({done} done, {known} known, {refused} refused), {} events, {} crashes \
         ({} with a command half done), {all} faults ({}), {} damages noticed, \
         {written} snapshots written ({used} opened from, {damaged} damaged and refused), \
         {} full checks, nothing found",
        kinds.join(", "),
        time.as_secs_f64(),
        done + known + refused,
        counts.batches,
        counts.events,
        counts.crashes,
        counts.halves,
        faults.join(", "),
        counts.noticed,
        counts.checks,
    )
}
