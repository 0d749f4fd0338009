//! Commands that are a function of their number, for processes that are killed: whoever starts
//! again makes the same ones.

use fastrand::Rng;
use tandem_domain::agreement::Component;
use tandem_domain::book::{Book, Command, Instruction, Version};
use tandem_domain::calendar::Day;
use tandem_domain::loan::Action;
use tandem_domain::money::Amount;

use crate::papers;

/// A list of commands without an end.
pub(crate) struct Load {
    seed: u64,
    version: Version,
}

/// A group of commands is about one new application and some loans that there are.
const GROUP: u64 = 8;
/// Groups in a day.
const DAY: u64 = 12;

impl Load {
    /// The list of a seed.
    pub(crate) fn new(seed: u64) -> Load {
        let version = papers::variant(0).version();
        Load { seed, version }
    }

    /// A command by its number; the first, number 0, signs the agreement.
    pub(crate) fn command(&self, number: u64) -> Command {
        let Some(after) = number.checked_sub(1) else {
            return Command::Sign(Box::new(self.version.documents.clone()));
        };
        let (group, place) = (after / GROUP, after % GROUP);
        let mut rng = Rng::with_seed(self.seed.wrapping_mul(0x9e37_79b9).wrapping_add(number));
        let today = self.version.agreement.file.effective_from + (group / DAY) as i32;
        match place {
            0 => self.apply(&mut rng, group),
            1 => Command::Accept {
                application: format!("A{group}"),
            },
            6 => Command::Reverse {
                key: format!("P{number}"),
                of: format!("P{}", number - rng.u64(2..40).min(number)),
            },
            7 if group % DAY == DAY - 1 => Command::CloseDay { day: today },
            _ => instruct(&mut rng, number, group, today),
        }
    }

    fn apply(&self, rng: &mut Rng, group: u64) -> Command {
        let amount = format!("{}.{:02}", rng.u32(100..3_000), rng.u32(..100));
        let months = ["1", "3", "6"][rng.usize(..3)];
        let borrower = format!("borrower=b{}", rng.u32(..1_000));
        let key = format!("A{group}");
        let application = papers::application(&self.version, &key, &amount, months, &[&borrower]);
        Command::Apply(Box::new(application))
    }
}

fn instruct(rng: &mut Rng, number: u64, group: u64, today: Day) -> Command {
    let application = group - rng.u64(..600).min(group);
    let amount = Amount(rng.i64(1..60_000));
    let action = match rng.u32(..12) {
        0 => Action::Prepay(amount, None),
        1 => Action::Refund(amount),
        2 => Action::Chargeback(Amount(amount.0 / 10 + 1)),
        3 => Action::Waive {
            component: Component::Penalty,
            amount: Amount(1),
        },
        4 => Action::Pause {
            cycles: 1,
            interest: rng.bool(),
        },
        _ => Action::Repay(amount),
    };
    Command::Instruct(Instruction {
        key: format!("P{number}"),
        application: format!("A{application}"),
        value_date: today + -rng.i32(0..20).max(rng.i32(-40..20)),
        action,
    })
}

/// True if the book shows that a command was carried out.
pub(crate) fn is_done(book: &Book, command: &Command) -> bool {
    match command {
        Command::Sign(documents) => {
            let mut versions = book.versions().iter();
            versions.any(|version| version.documents == **documents)
        }
        Command::Apply(application) => book.application(&application.key).is_some(),
        Command::Accept { application } => book.loan(application).is_some(),
        Command::Instruct(Instruction { key, .. }) | Command::Reverse { key, .. } => {
            book.instruction(key).is_some()
        }
        Command::CloseDay { day } => *day < book.business_date(),
        _ => false,
    }
}
