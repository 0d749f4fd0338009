//! A simulation: the life of one seed, recorded step by step, shrunk if it fails.

use std::fmt;
use std::num::ParseIntError;
use std::panic::{self, AssertUnwindSafe};
use std::str::FromStr;

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
    let mut life = Life::new(seed, simulation.batches);
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
        // Days that pass one after the other are one line.
        for days in self
            .steps
            .chunk_by(|(_, one), (_, next)| one.closes() && next.closes())
        {
            let [(place, first), rest @ ..] = days else {
                continue;
            };
            write!(f, "{place:>6}  {}", Words(first, &agreement))?;
            match rest.len() {
                0 => writeln!(f)?,
                more => writeln!(f, " and {more} more days")?,
            }
        }
        let places = self.steps.iter().map(|&(place, _)| place);
        let (seed, keep) = (self.seed, Places(places.collect()));
        write!(f, "again: cargo xtask simulate --seed {seed} --keep {keep}")
    }
}

/// Places of steps as people write them: `0,3-7,12`.
#[derive(Clone, Debug)]
pub struct Places(pub Vec<usize>);

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let runs = self.0.chunk_by(|one, next| one + 1 == *next);
        for (number, run) in runs.enumerate() {
            f.write_str(if number > 0 { "," } else { "" })?;
            match run {
                [one] => write!(f, "{one}")?,
                [first, .., last] => write!(f, "{first}-{last}")?,
                [] => {}
            }
        }
        Ok(())
    }
}

impl FromStr for Places {
    type Err = ParseIntError;

    fn from_str(text: &str) -> Result<Places, ParseIntError> {
        let mut places = Vec::new();
        for run in text.split(',') {
            let (first, last) = run.split_once('-').unwrap_or((run, run));
            places.extend(first.parse()?..=last.parse::<usize>()?);
        }
        Ok(Places(places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        let places: Places = "0,3-5,12".parse().unwrap();
        assert_eq!(places.0, [0, 3, 4, 5, 12]);
        assert_eq!(places.to_string(), "0,3-5,12");
        assert!("3-x".parse::<Places>().is_err());
    }
}
