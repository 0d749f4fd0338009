//! Bugs that are planted around the engine or the check, and must be found within a few seeds.
//! The engine itself has no switch for them.

use std::collections::BTreeSet;
use std::mem;
use std::path::Path;

use tandem_domain::book::{Book, Command, Loan};
use tandem_domain::ledger::Entry;
use tandem_domain::loan::{Split, evaluate};
use tandem_domain::money::{Amount, Rounding};
use tandem_engine::{Engine, EngineError, ReplayError};
use tandem_journal::Journal;
use tandem_sim::disk::SimStore;
use tandem_sim::simulation::replay;
use tandem_sim::step::Step;
use tandem_sim::world::{Answers, Opened, Writer};
use tandem_sim::{Failure, Simulation, simulate};

/// Seeds within which a planted bug must be found.
const SEEDS: u64 = 8;

/// Plays seeds until one fails; the steps that are left must fail again.
fn found<W: Writer>(simulation: Simulation) -> Box<Failure> {
    let simulation = Simulation {
        batches: 40,
        ..simulation
    };
    let failure = (1..=SEEDS).find_map(|seed| simulate::<W>(seed, &simulation).err());
    let failure = failure.expect("the bug is found");
    println!("{failure}\n");
    let kept: Vec<usize> = failure.steps.iter().map(|&(place, _)| place).collect();
    let again = replay::<W>(failure.seed, &kept, &simulation).unwrap_err();
    assert_eq!(again.to_string(), failure.to_string());
    failure
}

/// Commands that are left, the closes of days not counted.
fn commands(failure: &Failure) -> usize {
    let asked = |(_, step): &&(usize, Step)| matches!(step, Step::Ask(_)) && !step.closes();
    failure.steps.iter().filter(asked).count()
}

/// Decides and answers at once, and writes a batch to the journal with the next one.
struct AnswersEarly {
    engine: Engine<SimStore>,
    ahead: Book,
    waiting: Vec<Command>,
}

impl Writer for AnswersEarly {
    fn open(journal: Journal<SimStore>, _: &Path) -> Result<Opened<Self>, ReplayError> {
        let engine = Engine::open(journal)?;
        let writer = AnswersEarly {
            ahead: engine.book().clone(),
            waiting: Vec::new(),
            engine,
        };
        Ok((writer, Vec::new()))
    }

    fn submit(&mut self, commands: Vec<Command>) -> Result<Answers, EngineError> {
        self.engine
            .submit(mem::replace(&mut self.waiting, commands.clone()))?;
        let execute = |command| {
            let book = &mut self.ahead;
            book.execute(command, &mut Vec::new(), &mut |_: &Entry| {})
        };
        Ok(commands.into_iter().map(execute).collect())
    }

    fn book(&self) -> &Book {
        &self.ahead
    }
}

#[test]
fn an_answer_before_the_flush_is_found() {
    let failure = found::<AnswersEarly>(Simulation::default());
    assert_eq!(failure.violation.rule, "nothing acknowledged is lost");
    // One answered command is enough, of which the next start knows nothing.
    assert!(
        commands(&failure) <= 2 && failure.steps.len() <= 5,
        "{failure}"
    );
}

/// Does not know a retry: what was done to a loan and is sent again gets another key.
struct RepeatsRetries {
    engine: Engine<SimStore>,
    done: BTreeSet<String>,
}

impl Writer for RepeatsRetries {
    fn open(journal: Journal<SimStore>, _: &Path) -> Result<Opened<Self>, ReplayError> {
        let engine = Engine::open(journal)?;
        let done = BTreeSet::new();
        Ok((RepeatsRetries { engine, done }, Vec::new()))
    }

    fn submit(&mut self, mut commands: Vec<Command>) -> Result<Answers, EngineError> {
        for command in &mut commands {
            if let Command::Instruct(instruction) = command
                && self.done.contains(&instruction.key)
            {
                instruction.key.push_str(" again");
            }
        }
        let answers = self.engine.submit(commands.clone())?;
        for (command, answer) in commands.into_iter().zip(&answers) {
            if let (Command::Instruct(instruction), Ok(_)) = (command, answer) {
                self.done.insert(instruction.key);
            }
        }
        Ok(answers)
    }

    fn book(&self) -> &Book {
        self.engine.book()
    }
}

#[test]
fn a_retry_that_is_carried_out_twice_is_found() {
    let failure = found::<RepeatsRetries>(Simulation::default());
    // Which of them depends on whether a crash is among the steps.
    let rules = ["a retry is recognised", "nothing happens twice"];
    assert!(rules.contains(&failure.violation.rule), "{failure}");
    // Agreement, application, acceptance, a payment, and its retry.
    assert!((5..=8).contains(&commands(&failure)), "{failure}");
}

/// Rounds each lender's part of every payment; the last lender gets what is left of it.
fn rounded_by_payment(book: &Book, loan: &Loan) -> Split {
    let agreement = &book.version_of(loan).agreement;
    let mut split = loan.split(agreement);
    let fresh = Split::of(
        &evaluate(&book.terms(loan), &[], loan.disbursed_on),
        loan.principal,
        &loan.parts,
        agreement,
    );
    let last = split.holders.iter().count() - 1;
    let mut paid = Default::default();
    for own in &mut split.own {
        own.principal = Amount::ZERO;
    }
    let history = loan.history.transactions();
    for payments in 1..=history.len() {
        let until = &history[..payments];
        let to = match payments == history.len() {
            true => book.business_date().previous(),
            false => until[payments - 1].day,
        };
        let now = evaluate(&book.terms(loan), until, to).totals.principal;
        let (came, mut left) = (now - paid, now - paid);
        for place in 0..last {
            let weight = i128::from(fresh.own[place].outstanding.0);
            let part = i128::from(came.0) * weight;
            let part = Rounding::HalfUp.divide(part, loan.principal.0.into());
            split.own[place].principal.0 += part;
            left.0 -= part;
        }
        split.own[last].principal += left;
        paid = now;
    }
    split
}

#[test]
fn a_share_that_is_rounded_by_payment_is_found() {
    let failure = found::<Engine<SimStore>>(Simulation {
        parts_of: rounded_by_payment,
        ..Simulation::default()
    });
    assert_eq!(failure.violation.rule, "shares are exact");
    // Agreement, application, acceptance, and two payments or losses: the first is still rounded
    // right.
    assert!((5..=8).contains(&commands(&failure)), "{failure}");
}
