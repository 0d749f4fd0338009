//! A small book for tests: two banks, a platform, a guarantor and seven applications.

use tandem_domain::book::{Application, Book, Command, Documents, Instruction, Version};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::loan::Action;
use tandem_domain::money::Amount;
use tandem_engine::{Engine, replay};
use tandem_journal::{BookName, Journal, Memory};

use super::{About, Check, Collector, Comparison, Context, Note, Report};

const AGREEMENT: &str = r#"
format = 1
id = "small"
version = 1
title = "Small loans <together>"
effective_from = "2023-11-01"
currency = "EUR"

[[party]]
id = "oak"
name = "Oak Bank"
kind = "bank"

[[party]]
id = "elm"
name = "Elm & Sons"
kind = "bank"

[[party]]
id = "shop"
name = "The Shop"
kind = "platform"

[[party]]
id = "wall"
name = "Wall Guarantee"
kind = "guarantor"

[roles]
lead = "oak"
platform = "shop"
servicer = "oak"

[[field]]
name = "income"
kind = "money"
seen_by = ["oak", "elm"]

[product]
amortisation = "equal_instalment"
day_count = "30E/360"
terms_months = [6]
minimum_amount = "100.00 EUR"
maximum_amount = "5000.00 EUR"
waterfall = ["fee", "penalty", "interest", "principal"]
prepayment = "shorten_term"
offer_valid_days = 2

[[ineligible]]
code = "E1"
reason = "The income is not known."
when = { income = "missing" }

[funding]
mode = "fixed"
minimum_lenders = 1
leftover_order = ["elm", "oak"]

[[funding.lender]]
party = "oak"
share = "60%"

[[funding.lender]]
party = "elm"
share = "40%"

[[limit]]
clause = "4.1"
lender = "elm"
per = "total"
amount = "1500.00 EUR"

[[fee]]
at = "disbursement"
rate = "2%"
earned_by = "wall"

[service_fee]
of_interest = "10%"
earned_by = "shop"

[guarantee]
party = "wall"
covers = "80%"
pool = "10%"
recoveries = "guarantor_first"

[[class]]
name = "normal"
from_days = 0
allowance = "1%"

[[class]]
name = "late"
from_days = 31
allowance = "40%"

[charge_off]
days_past_due = 90

[settlement]
netting = "multilateral"
"#;

const OAK: &str = r#"
format = 1
version = "3"
lender = "oak"

[[decline]]
code = "O1"
reason = "The income is too low."
when = { income = "< 10000 EUR" }

[[offer]]
maximum = ["3000 EUR"]
rate = "12%"

[no_offer]
code = "O9"
reason = "No offer fits."
"#;

const ELM: &str = r#"
format = 1
version = "7"
lender = "elm"

[[decline]]
code = "L1"
reason = "The income does not suffice."
when = { income = "< 20000 EUR" }

[[refer]]
code = "L2"
reason = "A large loan; a person looks at it."
when = { amount = "> 2500 EUR" }

[[offer]]
maximum = ["3000 EUR"]
rate = "9%"

[no_offer]
code = "L9"
reason = "No offer fits."
"#;

/// Amount asked for, yearly income, and instalments that are paid; minus one for all at once.
const APPLICATIONS: [(i64, Option<i64>, i32); 7] = [
    (120_000, Some(3_000_000), 6),
    (240_000, Some(2_400_000), 2),
    (50_000, Some(1_500_000), -1),
    (280_000, Some(2_100_000), 6),
    (90_000, Some(900_000), 0),
    (60_000, None, 0),
    (600_000, Some(5_000_000), 0),
];

/// The report of the book, with a note that payments are generated.
pub(super) fn report() -> Report {
    let (book, collector) = run();
    let check = |name: &'static str, passed| Check {
        name,
        passed,
        detail: "2 ledgers".into(),
    };
    let note = |label: &str, text: &str, about| Note {
        label: label.into(),
        text: text.into(),
        about,
    };
    collector.finish(
        &book,
        Context {
            notes: vec![
                note("data", "Applications are invented.", About::Everything),
                note(
                    "generated payments",
                    "Payments come from a model (seed 7) & are not real.",
                    About::Payments,
                ),
            ],
            checks: vec![
                check("ledgers balanced", true),
                check("chain unbroken", false),
            ],
            comparison: Some(Comparison {
                title: "Alone or together".into(),
                explanation: "Each bank by itself against both.".into(),
                header: vec!["".into(), "loans".into()],
                rows: vec![vec!["Oak alone".into(), "4".into()]],
            }),
            problems: vec!["line 9: `<amount>` is missing".into()],
            problem_count: 3,
            generated_with: "0.0.0".into(),
        },
    )
}

/// The report of a book under which an agreement is signed and no more.
pub(super) fn unused() -> Report {
    let mut engine = signed().0;
    let mut collector = Collector::new();
    let book = replay(engine.journal(), &mut |step| collector.observe(&step)).unwrap();
    collector.finish(&book, Context::default())
}

fn signed() -> (Engine<Memory>, Version) {
    let documents = Documents {
        agreement: AGREEMENT.into(),
        policies: vec![OAK.into(), ELM.into()],
        rulebook: None,
        calendar: None,
    };
    let version = Version::parse(documents.clone()).unwrap();
    let journal = Journal::open(Memory::new(BookName::new("small").unwrap())).unwrap();
    let mut engine = Engine::open(journal).unwrap();
    let answers = engine.submit([Command::Sign(Box::new(documents))]).unwrap();
    assert!(answers[0].is_ok());
    (engine, version)
}

fn run() -> (Book, Collector) {
    let (mut engine, version) = signed();
    let mut submit = |command| engine.submit([command]).unwrap().remove(0).unwrap();
    let first: Day = "2023-11-01".parse().unwrap();
    for day in (0..300).map(|days| first + days) {
        for (place, (amount, income, paid)) in APPLICATIONS.into_iter().enumerate() {
            let (key, applied) = (format!("A-{place}"), first + 9 * place as i32);
            let lent = version
                .decisions(&values(amount, income))
                .iter()
                .any(|decision| {
                    matches!(
                        decision.outcome,
                        tandem_domain::policy::Outcome::Approve { .. }
                    )
                });
            let lent = lent && income.is_some() && amount <= 500_000;
            if day == applied {
                submit(Command::Apply(Box::new(Application {
                    key: key.clone(),
                    borrower: None,
                    values: values(amount, income),
                    decisions: version.decisions(&values(amount, income)),
                })));
                if lent {
                    submit(Command::Accept {
                        application: key.clone(),
                    });
                }
            }
            let due = (1..=6).find(|&number| day == applied.plus_months(number));
            let pays = due.filter(|&number| number as i32 <= paid);
            let (pays, part) = match paid {
                -1 => (due.filter(|&number| number == 2), 1),
                _ => (pays, 5),
            };
            if let Some(number) = pays.filter(|_| lent) {
                let mut amount = Amount(amount / part);
                if number == 6 {
                    amount = Amount(amount.0 * 2);
                }
                let _ = submit(Command::Instruct(Instruction {
                    key: format!("{key}-{number}"),
                    application: key,
                    value_date: day,
                    action: match paid < 0 {
                        true => Action::Prepay(amount, None),
                        false => Action::Repay(amount),
                    },
                }));
            }
        }
        submit(Command::CloseDay { day });
    }
    let mut collector = Collector::new();
    let book = replay(engine.journal(), &mut |step| collector.observe(&step)).unwrap();
    (book, collector)
}

fn values(amount: i64, income: Option<i64>) -> Vec<Value> {
    vec![
        Value::Number(amount),
        Value::Number(6),
        Value::Text("north".into()),
        income.map_or(Value::Missing, Value::Number),
    ]
}
