//! Instructions to loans: one from the command line, or many from a programme's
//! `instructions.csv`.

use std::path::Path;

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Answer, Command, Instruction, Replacement, words};
use tandem_domain::calendar::Day;
use tandem_engine::Engine;
use tandem_journal::{Journal, Sqlite};

use crate::data::BookOption;
use crate::fail::{Failure, Outcome};
use crate::programme::{Read, read_text};

/// Name of the file in a programme's folder.
pub(crate) const FILE: &str = "instructions.csv";

/// What `instruct` is asked.
#[derive(clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Options {
    /// Key of the application that the loan came from; `-` where no loan is meant.
    loan: String,
    /// What to do, in words.
    #[arg(required = true)]
    instruction: Vec<String>,
    /// Key of the instruction; the same key with the same words is carried out once.
    #[arg(long)]
    key: String,
    /// Value date [default: the business date]
    #[arg(long, value_name = "DATE")]
    value_date: Option<Day>,
    #[command(flatten)]
    book: BookOption,
}

const EXAMPLES: &str = "\
Instructions:
  pay 120.00 CNY              prepay 120.00 CNY [shorten|reduce|next]
  settle 120.00 CNY           (what `tandem quote` says)
  draw|refund|chargeback|credit|write-off 120.00 CNY
  waive fee|penalty|interest 120.00 CNY
  due 2024-03-15              pause 2 [interest]
  re-age [3]                  re-amortise [3]
  rate 9%                     sell 50% SELLER BUYER 98%
  reverse KEY                 charge-off
  replace SELLER BUYER 100%   (all loans; the loan is `-`)
  fix LPR1Y 3.45%             (a reference rate; the loan is `-`)";

/// Carries an instruction out in a book and says what it changed.
pub(crate) fn instruct(options: &Options) -> Outcome {
    let database = options.book.database()?;
    let mut engine = Engine::open(Journal::open(Sqlite::open(&database)?)?)?;
    let book = engine.book();
    let Some(version) = book.latest() else {
        return Err(Failure("nothing is signed in this book".to_owned()));
    };
    let agreement = version.agreement.clone();
    let row = Row {
        key: &options.key,
        loan: &options.loan,
        value_date: options.value_date.unwrap_or(book.business_date()),
        text: &options.instruction.join(" "),
    };
    let command = row.command(&agreement).map_err(Failure)?;
    let loan_of = match &command {
        Command::Reverse { of, .. } => book.instruction(of).map(|(place, _)| place),
        _ => book.loan(&options.loan).map(|(place, _)| place),
    };
    let before = loan_of.map(|place| {
        let loan = &book.loans()[place as usize];
        loan.split(&book.versions()[usize::from(loan.version)].agreement)
    });
    for answer in engine.submit([command])? {
        match answer {
            Err(refusal) => return Err(Failure(format!("{}: {refusal}", refusal.code()))),
            Ok(Answer::Known) => {
                println!("known: `{}` was carried out before", options.key);
                return Ok(());
            }
            Ok(Answer::Done) => println!("done: {}", row.text),
        }
    }
    let book = engine.book();
    if let (Some(place), Some(before)) = (loan_of, before) {
        let loan = &book.loans()[place as usize];
        let after = loan.split(&book.versions()[usize::from(loan.version)].agreement);
        let show = |amount| agreement.currency().show(amount);
        println!("outstanding {}", show(loan.position.outstanding()));
        for party in after.holders.iter() {
            let change = after.own(party).since(&before.own(party));
            println!(
                "  {:12} received {}, outstanding {}",
                agreement.party(party).id,
                show(change.received),
                show(after.own(party).outstanding)
            );
        }
    }
    Ok(())
}

/// An instruction as a row or a command line writes it.
struct Row<'a> {
    key: &'a str,
    loan: &'a str,
    value_date: Day,
    text: &'a str,
}

impl Row<'_> {
    fn command(&self, agreement: &Agreement) -> Result<Command, String> {
        let key = self.key.to_owned();
        let application = self.loan.to_owned();
        let words: Vec<_> = self.text.split_whitespace().collect();
        match words[..] {
            ["reverse", of] => Ok(Command::Reverse {
                key,
                of: of.to_owned(),
            }),
            ["charge-off"] => Ok(Command::ChargeOff { application }),
            ["replace", seller, buyer, price] => Ok(Command::ReplaceLender(Replacement {
                key,
                seller: seller.to_owned(),
                buyer: buyer.to_owned(),
                price: price.parse().map_err(|error| format!("{error}"))?,
            })),
            ["fix", index, rate] => Ok(Command::Fix {
                index: index.to_owned(),
                day: self.value_date,
                rate: rate.parse().map_err(|error| format!("{error}"))?,
            }),
            _ => Ok(Command::Instruct(Instruction {
                key,
                application,
                value_date: self.value_date,
                action: words::parse(self.text, agreement)?,
            })),
        }
    }
}

/// Reads the instructions of a programme: the business date on which each is entered, and the
/// command. A bad row is a problem with its line; the others go on.
pub(crate) fn read(path: &Path, agreement: &Agreement) -> Outcome<Read<(Day, Command)>> {
    let mut read = Read::default();
    if !path.is_file() {
        return Ok(read);
    }
    let text = read_text(path)?;
    let mut reader = ::csv::ReaderBuilder::new()
        .trim(::csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = reader.headers()?.clone();
    let place = |name: &str| header.iter().position(|column| column == name);
    let wanted = |name: &str| {
        let missing = format!(
            "{}, line 1: there is no column `{name}`; the columns are key, loan, value_date, \
             instruction and, if an instruction comes later than its value date, entered",
            path.display()
        );
        place(name).ok_or(Failure(missing))
    };
    let (key, loan) = (wanted("key")?, wanted("loan")?);
    let (value_date, instruction) = (wanted("value_date")?, wanted("instruction")?);
    let entered = place("entered");
    for record in reader.records() {
        let mut problem = |line: u64, what: String| {
            read.problems
                .push(format!("{}, line {line}{what}", path.display()));
        };
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(1, |position| position.line());
                problem(
                    line,
                    ": has more or fewer cells than the header, or is no text".to_owned(),
                );
                continue;
            }
        };
        let line = record.position().map_or(1, |position| position.line());
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let date = |name: &str, text: &str| {
            text.parse::<Day>()
                .map_err(|error| format!(", {name}: {error}"))
        };
        let row = date("value_date", cell(value_date)).and_then(|value_date| {
            let row = Row {
                key: cell(key),
                loan: cell(loan),
                value_date,
                text: cell(instruction),
            };
            let entered = match entered.map(cell).filter(|text| !text.is_empty()) {
                Some(text) => date("entered", text)?,
                None => value_date,
            };
            let command = row.command(agreement);
            Ok((
                entered,
                command.map_err(|error| format!(", instruction: {error}"))?,
            ))
        });
        match row {
            Ok(row) => read.rows.push(row),
            Err(what) => problem(line, what),
        }
    }
    Ok(read)
}
