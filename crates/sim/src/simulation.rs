//! A simulation: the life of one seed, recorded step by step, shrunk if it fails.

use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use crate::check::{self, PartsOf, Violation};
use crate::life::Life;
use crate::papers::Papers;
use crate::shrink::shrink;
use crate::step::{Step, Words};
use crate::world::{Counts, World, Writer};

/// How to simulate.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    /// Batches in the life of a seed.
    pub batches: u32,
    /// Parts of loans, as they are checked.
    pub parts_of: PartsOf,
    /// Most lists of steps that are tried to shrink a failure.
    pub shrink_runs: usize,
}

impl Default for Simulation {
    fn default() -> Simulation {
        Simulation {
            batches: 120,
            parts_of: check::split,
            shrink_runs: 3_000,
        }
    }
}

/// What became of a seed.
pub type Outcome = Result<Counts, Box<Failure>>;

/// Something does not hold, and the steps that show it.
#[derive(Debug)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What does not hold.
    pub violation: Violation,
    /// Steps of the whole life up to the failure.
    pub length: usize,
    /// Those that are needed, each with its place.
    pub steps: Vec<(usize, Step)>,
}

/// Plays the life of a seed.
pub fn simulate<W: Writer>(seed: u64, simulation: &Simulation) -> Outcome {
    let mut steps = Vec::new();
    let violation = match live::<W>(seed, simulation, &mut steps) {
        Ok(counts) => return Ok(counts),
        Err(violation) => violation,
    };
    let fails = |kept: &[usize]| {
        let kept = kept.iter().map(|&place| &steps[place]);
        let played = play::<W>(kept, simulation.parts_of);
        played.is_err_and(|found| found.rule == violation.rule)
    };
    let kept = shrink(steps.len(), simulation.shrink_runs, fails);
    Err(Box::new(
        failure::<W>(seed, simulation, &steps, &kept).unwrap_or(Failure {
            seed,
            violation,
            length: steps.len(),
            steps: Vec::new(),
        }),
    ))
}

/// Plays only the steps of a seed's life at the given places, as a failure names them.
pub fn replay<W: Writer>(seed: u64, kept: &[usize], simulation: &Simulation) -> Outcome {
    let mut steps = Vec::new();
    // Whether the whole life fails does not matter here.
    let _ = live::<W>(seed, simulation, &mut steps);
    let kept: Vec<_> = kept
        .iter()
        .copied()
        .filter(|&place| place < steps.len())
        .collect();
    match failure::<W>(seed, simulation, &steps, &kept) {
        Some(failure) => Err(Box::new(failure)),
        None => play::<W>(kept.iter().map(|&place| &steps[place]), simulation.parts_of)
            .map_err(|violation| unreachable!("it held just now: {violation:?}")),
    }
}

/// The failure of some of the steps, if they fail.
fn failure<W: Writer>(
    seed: u64,
    simulation: &Simulation,
    steps: &[Step],
    kept: &[usize],
) -> Option<Failure> {
    let played = kept.iter().map(|&place| &steps[place]);
    let violation = play::<W>(played, simulation.parts_of).err()?;
    Some(Failure {
        seed,
        violation,
        length: steps.len(),
        steps: kept
            .iter()
            .map(|&place| (place, steps[place].clone()))
            .collect(),
    })
}

fn live<W: Writer>(
    seed: u64,
    simulation: &Simulation,
    steps: &mut Vec<Step>,
) -> Result<Counts, Violation> {
    let mut world = World::<W>::new(simulation.parts_of)?;
    let mut life = Life::new(seed);
    for _ in 0..simulation.batches {
        // Making commands asks the book for what loans owe, which must not panic either.
        for step in caught(|| Ok(life.batch(world.book())))? {
            steps.push(step.clone());
            caught(|| world.step(&step))?;
        }
    }
    caught(|| world.end())
}

fn play<'a, W: Writer>(
    steps: impl Iterator<Item = &'a Step>,
    parts_of: PartsOf,
) -> Result<Counts, Violation> {
    let mut world = World::<W>::new(parts_of)?;
    for step in steps {
        caught(|| world.step(step))?;
    }
    caught(|| world.end())
}

/// A panic is a violation like others, so that it is shrunk too.
fn caught<T>(act: impl FnOnce() -> Result<T, Violation>) -> Result<T, Violation> {
    panic::catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().cloned();
        let text = text.or_else(|| payload.downcast_ref::<&str>().map(|&text| text.to_owned()));
        Err(Violation {
            rule: "nothing panics",
            detail: text.unwrap_or_default(),
        })
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation { rule, detail } = &self.violation;
        writeln!(f, "seed {}: it does not hold that {rule}", self.seed)?;
        writeln!(f, "  {detail}")?;
        writeln!(f, "{} of {} steps show it:", self.steps.len(), self.length)?;
        // All programmes have the same parties and currency.
        let agreement = Papers::new().version().agreement;
        for (place, step) in &self.steps {
            writeln!(f, "{place:>6}  {}", Words(step, &agreement))?;
        }
        let places: Vec<_> = self
            .steps
            .iter()
            .map(|(place, _)| place.to_string())
            .collect();
        let (seed, keep) = (self.seed, places.join(","));
        write!(f, "again: cargo xtask simulate --seed {seed} --keep {keep}")
    }
}
