//! A small cooperation that a test can look at: eight applications, three loans, one of each fate.
//!
//! | key | what becomes of it |
//! |---|---|
//! | A-1 | repaid: on time, late with fee and penalty, then all at once |
//! | A-2 | pays once ahead of time, then no more: written off, compensated, partly recovered |
//! | A-3 | active and one instalment behind; a lender took no part, it was over its limit |
//! | B-1 | declined by both lenders |
//! | B-2 | referred, and nobody decides in time |
//! | B-3 | ineligible |
//! | B-4 | the offer lapses |
//! | B-5 | the offer is given back |

use tandem_domain::book::{
    Answer, Application, Command, Documents, Instruction, Underwriting, words,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::loan::Action;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::policy::Outcome;
use tandem_engine::Engine;
use tandem_journal::{BookName, Journal, Memory, Store};

/// The book after the whole story, with its journal in memory.
pub(crate) fn engine() -> Engine<Memory> {
    let mut engine = empty();
    play(&mut engine);
    engine
}

/// A book in which nothing is signed yet.
pub(crate) fn empty() -> Engine<Memory> {
    let name = BookName::new("orchard").expect("a name");
    let journal = Journal::open(Memory::new(name)).expect("it is empty");
    Engine::open(journal).expect("it is empty")
}

/// The documents that are signed.
pub(crate) fn documents() -> Documents {
    Documents {
        agreement: include_str!("sample/agreement.toml").to_owned(),
        policies: vec![
            include_str!("sample/river.toml").to_owned(),
            include_str!("sample/cloud.toml").to_owned(),
        ],
        rulebook: None,
        calendar: None,
    }
}

/// The business date when the story ends.
pub(crate) const END: &str = "2024-06-20";

/// Lets the whole story happen.
pub(crate) fn play<S: Store>(engine: &mut Engine<S>) {
    submit(engine, Command::Sign(Box::new(documents())));
    while engine.book().business_date() < day(END) {
        let today = engine.book().business_date();
        for command in commands_of(engine, &today.to_string()) {
            submit(engine, command);
        }
        submit(engine, Command::CloseDay { day: today });
    }
}

fn commands_of<S: Store>(engine: &Engine<S>, today: &str) -> Vec<Command> {
    let apply = |key: &str, amount, months, income, debts, purpose: &str| {
        let values = vec![
            Value::Number(amount),
            Value::Number(months),
            Value::Text("north".into()),
            number(income),
            number(debts),
            Value::Text(purpose.into()),
        ];
        application(engine, key, values)
    };
    let pay = |key: &str, application: &str, on: &str, amount, prepay| {
        Command::Instruct(Instruction {
            key: key.to_owned(),
            application: application.to_owned(),
            value_date: day(on),
            action: match prepay {
                true => Action::Prepay(Amount(amount), None),
                false => Action::Repay(Amount(amount)),
            },
        })
    };
    match today {
        "2024-01-10" => vec![
            apply(
                "A-1",
                1_000_000,
                3,
                Some(25_000_000),
                percent(20),
                "drill, saw",
            ),
            apply("A-2", 600_001, 3, Some(12_000_000), percent(30), "tractor"),
            apply("B-1", 500_000, 3, Some(3_000_000), percent(50), "seeds"),
            apply("B-2", 500_000, 3, Some(6_000_000), None, "seeds"),
            apply("B-3", 500_000, 3, None, percent(10), "seeds"),
            accept("A-1"),
        ],
        "2024-01-11" => vec![
            accept("A-2"),
            apply("A-3", 2_000_000, 6, Some(30_000_000), percent(10), "barn"),
            apply("B-4", 400_000, 3, Some(30_000_000), percent(10), "fence"),
            apply("B-5", 300_000, 3, Some(30_000_000), percent(10), "\"gate\""),
        ],
        "2024-01-12" => vec![
            accept("A-3"),
            Command::Withdraw {
                application: "B-5".to_owned(),
            },
        ],
        "2024-02-01" => vec![pay("P-2", "A-2", "2024-02-01", 210_000, false)],
        "2024-02-12" => vec![
            pay("P-1", "A-1", "2024-02-10", 339_800, false),
            pay("P-3", "A-3", "2024-02-12", 350_000, false),
        ],
        "2024-03-12" => vec![pay("P-7", "A-3", "2024-03-12", 345_000, false)],
        "2024-04-12" => vec![pay("P-8", "A-3", "2024-04-12", 335_000, false)],
        "2024-05-13" => vec![pay("P-9", "A-3", "2024-05-12", 345_000, false)],
        "2024-06-17" => vec![pay("P-10", "A-3", "2024-06-11", 100_000, false)],
        "2024-03-25" => vec![pay("P-4", "A-1", "2024-03-25", 350_000, false)],
        "2024-03-28" => vec![pay("P-5", "A-1", "2024-03-28", 400_000, true)],
        "2024-06-03" => vec![pay("P-6", "A-2", "2024-06-03", 350_000, false)],
        _ => Vec::new(),
    }
}

/// Another book, in which everything is done to loans that can be done to them.
///
/// | key | what becomes of it |
/// |---|---|
/// | C-1 | paid out in two parts; paid, charged back, put off, re-aged, repriced, sold in part, settled early |
/// | C-2 | a payment reversed, a fee waived, a credit, a merchant's refund, partly written off; still active |
pub(crate) fn eventful() -> Engine<Memory> {
    let mut engine = empty();
    let agreement = include_str!("sample/agreement.toml")
        .replace("terms_months", "first_draw = \"60%\"\nterms_months")
        .replace("[service_fee]", EVENTFUL)
        .replace("earned_by = \"orchard\"\n\n[guarantee]", "of_collection = \"0.1%\"\nearned_by = \"orchard\"\n\n[guarantee]")
        .replace("[roles]", "[[party]]\nid = \"lake-trust\"\nname = \"Lake Trust\"\nkind = \"other_lender\"\n\n[roles]");
    let documents = Documents {
        agreement,
        calendar: Some(include_str!("sample/calendar.toml").to_owned()),
        ..documents()
    };
    submit(&mut engine, Command::Sign(Box::new(documents)));
    while engine.book().business_date() < day(EVENTFUL_END) {
        let today = engine.book().business_date();
        for command in eventful_commands(&engine, &today.to_string()) {
            submit(&mut engine, command);
        }
        submit(&mut engine, Command::CloseDay { day: today });
    }
    engine
}

/// The business date when the other story ends.
pub(crate) const EVENTFUL_END: &str = "2024-07-05";

const EVENTFUL: &str = r#"[[fee]]
at = "instalment"
rate = "0.2%"
of = "principal"
earned_by = "orchard"

[[fee]]
at = "prepayment"
rate = "1%"
earned_by = "lenders"

[service_fee]"#;

fn eventful_commands(engine: &Engine<Memory>, today: &str) -> Vec<Command> {
    let apply = |key: &str, amount| {
        let values = vec![
            Value::Number(amount),
            Value::Number(6),
            Value::Text("north".into()),
            Value::Number(25_000_000),
            number(percent(20)),
            Value::Text("drill".into()),
        ];
        application(engine, key, values)
    };
    let on = |value_date: &str, key: &str, application: &str, words: &str| {
        let version = engine.book().latest().expect("it is signed");
        Command::Instruct(Instruction {
            key: key.to_owned(),
            application: application.to_owned(),
            value_date: day(value_date),
            action: words::parse(words, &version.agreement).expect("it can be read"),
        })
    };
    let done = |key: &str, application: &str, words: &str| on(today, key, application, words);
    let reverse = |key: &str, of: &str| Command::Reverse {
        key: key.to_owned(),
        of: of.to_owned(),
    };
    match today {
        "2024-01-10" => vec![
            apply("C-1", 1_000_000),
            apply("C-2", 800_000),
            accept("C-1"),
            accept("C-2"),
        ],
        "2024-01-20" => vec![done("D-1", "C-1", "draw 4000.00 CNY")],
        "2024-02-12" => vec![
            on("2024-02-10", "D-2", "C-1", "pay 1800.00 CNY"),
            done("E-1", "C-2", "pay 900.00 CNY"),
        ],
        "2024-02-15" => vec![
            done("D-3", "C-1", "chargeback 1800.00 CNY"),
            reverse("R-1", "E-1"),
        ],
        "2024-02-20" => vec![done("E-2", "C-2", "pay 700.00 CNY")],
        "2024-02-19" => vec![done("E-3", "C-2", "waive fee 20.00 CNY")],
        "2024-02-26" => vec![done("E-4", "C-2", "credit 35.00 CNY")],
        "2024-03-01" => vec![
            done("D-4", "C-1", "re-age 1"),
            done("E-5", "C-2", "refund 500.00 CNY"),
        ],
        "2024-03-05" => vec![
            done("D-5", "C-1", "due 2024-03-20"),
            done("E-6", "C-2", "pause 1"),
        ],
        "2024-03-20" => vec![
            done("D-6", "C-1", "pay 1820.00 CNY"),
            done("D-7", "C-1", "sell 50% river-bank lake-trust 98%"),
        ],
        "2024-03-28" => vec![
            done("D-8", "C-1", "rate 9%"),
            done("D-9", "C-1", "re-amortise 2"),
            done("E-7", "C-2", "write-off 300.00 CNY"),
        ],
        "2024-04-22" => vec![done("E-8", "C-2", "prepay 1200.00 CNY reduce")],
        "2024-05-06" => vec![done("D-10", "C-1", "settle 9000.00 CNY")],
        _ => Vec::new(),
    }
}

/// A third book, in which people decide on what their bank referred.
///
/// | key | what becomes of it |
/// |---|---|
/// | D-1 | River Bank's person approves; disbursed |
/// | D-2 | declines |
/// | D-3 | nobody decides in time |
pub(crate) fn referred() -> Engine<Memory> {
    let mut engine = empty();
    submit(&mut engine, Command::Sign(Box::new(documents())));
    for key in ["D-1", "D-2", "D-3"] {
        let values = vec![
            Value::Number(3_000_000),
            Value::Number(6),
            Value::Text("north".into()),
            Value::Number(12_000_000),
            Value::Missing,
            Value::Text("drill".into()),
        ];
        let apply = application(&engine, key, values);
        submit(&mut engine, apply);
    }
    let decide = |key: &str, outcome| {
        Command::Underwrite(Underwriting {
            application: key.to_owned(),
            lender: "river-bank".to_owned(),
            outcome,
        })
    };
    while engine.book().business_date() < day("2024-03-20") {
        let today = engine.book().business_date();
        let commands = match &*today.to_string() {
            "2024-01-11" => vec![
                decide(
                    "D-1",
                    Outcome::Approve {
                        maximum: Amount(1_000_000),
                        rate: Rate(13_500_000),
                    },
                ),
                decide("D-2", Outcome::Decline(vec![2])),
                accept("D-1"),
            ],
            _ => Vec::new(),
        };
        for command in commands {
            submit(&mut engine, command);
        }
        submit(&mut engine, Command::CloseDay { day: today });
    }
    engine
}

fn application<S: Store>(engine: &Engine<S>, key: &str, values: Vec<Value>) -> Command {
    let version = engine.book().current().expect("it is signed").1;
    Command::Apply(Box::new(Application {
        key: key.to_owned(),
        borrower: None,
        decisions: version.decisions(&values),
        values,
    }))
}

fn accept(key: &str) -> Command {
    Command::Accept {
        application: key.to_owned(),
    }
}

fn submit<S: Store>(engine: &mut Engine<S>, command: Command) {
    let answers = engine.submit([command]).expect("the journal works");
    assert_eq!(answers, [Ok(Answer::Done)]);
}

fn day(text: &str) -> Day {
    text.parse().expect("a date")
}

fn number(value: Option<i64>) -> Value {
    value.map_or(Value::Missing, Value::Number)
}

fn percent(number: i64) -> Option<i64> {
    Some(number * Rate::ONE.0 / 100)
}
