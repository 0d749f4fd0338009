//! Instructions to loans: one from the command line, or many from a programme's
//! `instructions.csv`.

use std::path::Path;

use tandem_domain::book::{
    Answer, Book, Command, Instruction, Replacement, Slice, Underwriting, Version, words,
};
use tandem_domain::calendar::Day;
use tandem_domain::money::{Amount, Rate};
use tandem_journal::Journal;

use crate::data::BookOption;
use crate::export::{self, grid::Grid};
use crate::fail::{Failure, Outcome};
use crate::history::{self, Before};
use crate::table::{self, Fault, RowProblem, Table, TableError};
use crate::words::counted;

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
    /// Key of the instruction; the same key with the same words is carried out once (a lender decides
    /// once on an application, whatever the key).
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
  approve LENDER 5000.00 CNY at 13%    (its person, of an application that it referred)
  decline LENDER CODE …       (with reasons of its policy)
  withdraw                    (an offer, or an application that waits for people)
  replace SELLER BUYER 100%   (all loans; the loan is `-`)
  fix LPR1Y 3.45%             (a reference rate; the loan is `-`)
  slice 5000.00 CNY of CLAUSE [for REGION|BORROWER] to BOOK  (the loan is `-`)
  slice 5000.00 CNY of CLAUSE [for REGION|BORROWER] from BOOK on 2024-03-15  (under the same key)";

/// Carries an instruction out in a book and says what it changed, and what comes next.
pub(crate) fn instruct(options: &Options) -> Outcome {
    let place = options.book.place()?;
    let mut engine = place.engine(Journal::open(place.open()?)?)?;
    let book = engine.book();
    let wording = Wording {
        key: &options.key,
        loan: &options.loan,
        value_date: options.value_date.unwrap_or(book.business_date()),
        text: &options.instruction.join(" "),
    };
    let version = match wording.decides() {
        true => governing(&options.loan, book),
        false => book.latest(),
    };
    let Some(version) = version else {
        return Err(Failure("nothing is signed in this book".to_owned()));
    };
    if wording.decides() && options.value_date.is_some() {
        return Err(Failure(format!(
            "a person decides on the business date, {}; leave --value-date out",
            book.business_date()
        )));
    }
    if wording.withdraws() && options.value_date.is_some() {
        return Err(Failure(format!(
            "an application is withdrawn on the business date, {}; leave --value-date out",
            book.business_date()
        )));
    }
    let command = wording
        .command(version)
        .map_err(|(_, message)| Failure(message))?;
    let before = concerned(&command, &options.loan, book)?;
    let answers = engine.submit([command.clone()])?;
    let answer = answers.into_iter().next().unwrap_or(Ok(Answer::Known));
    let answer = answer.map_err(|refusal| Failure(format!("{}: {refusal}", refusal.code())))?;
    if answer == Answer::Known {
        let key = &options.key;
        return export::show(&match command {
            Command::ReplaceLender(Replacement { seller, .. }) => {
                format!(
                    "{seller} holds nothing, or `{key}` was carried out before: nothing changed\n"
                )
            }
            Command::Underwrite(Underwriting {
                application,
                lender,
                ..
            }) => format!("{lender} decided so on {application} before: nothing changed\n"),
            Command::Withdraw { application } => {
                format!("{application} was withdrawn before: nothing changed\n")
            }
            _ => format!("`{key}` was carried out before: nothing changed\n"),
        });
    }
    let book = engine.book();
    export::show(&match &command {
        Command::ReplaceLender(replacement) => replaced(replacement, &before, book),
        Command::Fix { index, day, rate } => format!("Reference rate {index}: {rate} from {day}\n"),
        Command::Underwrite(underwriting) => underwritten(underwriting, book),
        Command::Withdraw { application } => {
            format!("{}  {application} is withdrawn\n", book.business_date())
        }
        Command::SendSlice(slice) => sliced(slice, None, book),
        Command::ReceiveSlice { slice, sent_on } => sliced(slice, Some(*sent_on), book),
        Command::Reverse { key, of } => told(key, Some(of), &before, book),
        _ => told(&options.key, None, &before, book),
    })
}

/// The version by which people decide on an application: that under which it came in. The latest
/// stands for it where there is no such application.
pub(crate) fn governing<'a>(application: &str, book: &'a Book) -> Option<&'a Version> {
    match book.application(application) {
        Some(record) => book.versions().get(usize::from(record.version)),
        None => book.latest(),
    }
}

fn told(key: &str, of: Option<&str>, before: &[Before], book: &Book) -> String {
    let told = before.iter();
    told.map(|before| history::done(key, of, before, book))
        .collect()
}

/// The loans that a command is about, as they are before it; the error says what is wrong with the
/// loan that the user named.
fn concerned(command: &Command, named: &str, book: &Book) -> Outcome<Vec<Before>> {
    let of = |place: u32| (place, book.loan_in(place));
    let key_of = |place: u32| export::key_of(book, Some(place));
    match command {
        Command::ReplaceLender(Replacement { seller, .. }) => {
            let seller = book
                .latest()
                .and_then(|version| version.agreement.party_id(seller));
            let places = seller.into_iter().flat_map(|seller| book.held_by(seller));
            Ok(places.map(of).collect())
        }
        Command::Reverse { of: key, .. } => match book.instruction(key) {
            Some((place, _)) if named != ALL && named != key_of(place) => Err(Failure(format!(
                "`{key}` was done to {}, not to {named}; name that loan, or `{ALL}`",
                key_of(place)
            ))),
            carried => Ok(carried.into_iter().map(|(place, _)| of(place)).collect()),
        },
        Command::Fix { .. } | Command::SendSlice(_) | Command::ReceiveSlice { .. } => {
            Ok(Vec::new())
        }
        _ if book.application(named).is_none() => Err(history::unknown(named, book)),
        _ => Ok(book
            .loan(named)
            .into_iter()
            .map(|(place, _)| of(place))
            .collect()),
    }
}

/// What the replacement of a lender came to, loan by loan.
fn replaced(replacement: &Replacement, before: &[Before], book: &Book) -> String {
    let Replacement {
        key,
        seller,
        buyer,
        price,
    } = replacement;
    let Some(currency) = book.latest().map(|version| version.agreement.currency()) else {
        return String::new();
    };
    let mut grid = Grid::new(1, ["loan", "principal", "price", "interest"]);
    let mut sums = [Amount::ZERO; 3];
    for (place, _) in before {
        let loan = &book.loan_in(*place);
        let split = loan.split(&book.version_of(loan).agreement);
        let Some(sold) = split.sold.last() else {
            continue;
        };
        let amounts = [sold.principal, sold.price, sold.interest];
        for (sum, amount) in sums.iter_mut().zip(amounts) {
            *sum += amount;
        }
        let [principal, price, interest] = amounts.map(|amount| currency.grouped(amount));
        grid.row([
            export::key_of(book, Some(*place)),
            &principal,
            &price,
            &interest,
        ]);
    }
    let [principal, paid, interest] = sums.map(|amount| currency.grouped(amount));
    grid.row(["all", &principal, &paid, &interest]);
    let (count, today) = (counted(before.len() as u64, "loan"), book.business_date());
    let part = match *price {
        Rate::ONE => "at par".to_owned(),
        price => format!("at {price}"),
    };
    format!(
        "{today}  Replacement {key}: {seller} sells all it holds of {count} to {buyer} {part}\n{}\
         {:12}{buyer} pays {seller} {}.\n",
        grid.plain(12),
        "",
        currency.show(sums[1] + sums[2])
    )
}

/// What a person decided, and what came of it.
fn underwritten(underwriting: &Underwriting, book: &Book) -> String {
    let Underwriting {
        application,
        lender,
        ..
    } = underwriting;
    let state = book.application(application).map(|record| record.state);
    let state = state.map_or("not there", |state| state.name());
    let today = book.business_date();
    format!("{today}  A person at {lender} decides on {application}: it is {state}\n")
}

/// What a slice leaves of the limit's room, and what is to be done in the other book.
fn sliced(slice: &Slice, sent_on: Option<Day>, book: &Book) -> String {
    let Some(version) = book.latest() else {
        return String::new();
    };
    let (agreement, today) = (&version.agreement, book.business_date());
    let text = words::write_slice(slice, sent_on, agreement);
    let mut told = format!("{today}  Slice {}: {text}\n", slice.key);
    if let Ok(room) = book.room(&slice.clause, slice.subject.as_deref()) {
        let show = |amount| agreement.currency().show(amount);
        told += &format!(
            "{:12}room of clause {} here: {}, of which {} is used and {} free\n",
            "",
            slice.clause,
            show(room.most),
            show(room.used),
            show(room.free())
        );
    }
    if sent_on.is_none() {
        let (own, other) = (agreement.file.id.clone(), &slice.book);
        let there = Slice {
            book: own,
            ..slice.clone()
        };
        let text = words::write_slice(&there, Some(today), agreement);
        told += &format!(
            "{:12}receive it in book {other}: tandem instruct {ALL} \"{text}\" --key {}\n",
            "", slice.key
        );
    }
    told
}

/// What stands for the loan where an instruction is about all of them.
const ALL: &str = "-";

/// An instruction as a row or a command line writes it.
struct Wording<'a> {
    key: &'a str,
    loan: &'a str,
    value_date: Day,
    text: &'a str,
}

/// Which part of an instruction is wrong.
#[derive(Clone, Copy)]
enum Part {
    Loan,
    Text,
}

impl Wording<'_> {
    /// True if a person decides on a referral.
    fn decides(&self) -> bool {
        let verb = self.text.split_whitespace().next();
        self.loan != ALL && matches!(verb, Some("approve" | "decline"))
    }

    /// True if the platform takes an application back.
    fn withdraws(&self) -> bool {
        self.text.split_whitespace().eq(["withdraw"])
    }

    /// The command, or which part is wrong and why.
    fn command(&self, version: &Version) -> Result<Command, (Part, String)> {
        let agreement = &version.agreement;
        let key = self.key.to_owned();
        let application = self.loan.to_owned();
        let wrong = |message: String| (Part::Text, message);
        let rate = |text: &str| {
            let rate: Result<Rate, _> = text.parse();
            rate.map_err(|error| wrong(error.to_string()))
        };
        let words: Vec<_> = self.text.split_whitespace().collect();
        let about_all = matches!(words[..], ["replace" | "fix" | "slice", ..]);
        let reverses = matches!(words[..], ["reverse", ..]);
        if about_all != (self.loan == ALL) && !reverses {
            let verb = words.first().unwrap_or(&"");
            return Err((
                Part::Loan,
                match about_all {
                    true => format!("`{verb}` is not about one loan; write `{ALL}` for the loan"),
                    false => format!("`{verb}` is about one loan; name its application"),
                },
            ));
        }
        match words[..] {
            ["reverse", of] => Ok(Command::Reverse {
                key,
                of: of.to_owned(),
            }),
            ["charge-off"] => Ok(Command::ChargeOff { application }),
            ["withdraw"] => Ok(Command::Withdraw { application }),
            ["replace", seller, buyer, price] => Ok(Command::ReplaceLender(Replacement {
                key,
                seller: seller.to_owned(),
                buyer: buyer.to_owned(),
                price: rate(price)?,
            })),
            ["fix", index, value] => Ok(Command::Fix {
                index: index.to_owned(),
                day: self.value_date,
                rate: rate(value)?,
            }),
            ["approve" | "decline", ..] => {
                words::underwriting(self.text, self.loan, version).map_err(wrong)
            }
            ["slice", ..] => words::slice(self.text, self.key, agreement).map_err(wrong),
            ["reverse", ..] => Err(wrong(unread(self.text, "reverse KEY"))),
            ["charge-off", ..] => Err(wrong(unread(self.text, "charge-off"))),
            ["withdraw", ..] => Err(wrong(unread(self.text, "withdraw"))),
            ["replace", ..] => Err(wrong(unread(self.text, "replace seller buyer 100%"))),
            ["fix", ..] => Err(wrong(unread(self.text, "fix LPR1Y 3.45%"))),
            _ => Ok(Command::Instruct(Instruction {
                key,
                application,
                value_date: self.value_date,
                action: words::parse(self.text, agreement).map_err(wrong)?,
            })),
        }
    }
}

fn unread(text: &str, example: &str) -> String {
    format!("`{text}` cannot be read; write for example `{example}`")
}

/// A row of a programme's instructions.
pub(crate) struct Row {
    /// Line on which it begins, from 1.
    pub(crate) line: u64,
    /// Business date on which it is entered.
    pub(crate) entered: Day,
    /// What it asks for.
    pub(crate) asks: Asks,
}

/// What a row asks for.
pub(crate) enum Asks {
    /// A decision on a referral.
    Decision(Decision),
    /// Anything else.
    Command(Command),
}

/// What a person at a lender decides, in words: they name reasons of the policy under which the
/// application came in, and only the book knows that one.
pub(crate) struct Decision {
    /// Line of its row.
    pub(crate) line: u64,
    /// Key of the application.
    pub(crate) application: String,
    text: String,
}

impl Decision {
    /// The command under the version that governs the application.
    pub(crate) fn command(&self, version: &Version) -> Result<Command, RowProblem> {
        let command = words::underwriting(&self.text, &self.application, version);
        command.map_err(|message| RowProblem {
            file: FILE.into(),
            line: self.line,
            field: "instruction".to_owned(),
            message,
        })
    }
}

/// Reads the instructions of a programme. A bad row is a problem with its line; the others go on.
pub(crate) fn rows(
    path: &Path,
    version: &Version,
) -> Result<impl Iterator<Item = Result<Row, RowProblem>>, TableError> {
    let mut table = Table::open(path)?;
    let hint = "; the columns are key, loan, value_date, instruction and, if an instruction comes \
                later than its value date, entered";
    let [key, loan, value_date, instruction] =
        ["key", "loan", "value_date", "instruction"].map(|name| table.wanted(name, hint));
    let (key, loan, value_date, instruction) = (key?, loan?, value_date?, instruction?);
    let entered = table.column("entered");
    let read = move |row: &table::Row<'_>, line| {
        let date = |at: usize| -> Result<Day, Fault> {
            let date = row.text(at)?.parse();
            date.map_err(|error| Fault::at(at, format!("{error}")))
        };
        let wording = Wording {
            key: &row.text(key)?,
            loan: &row.text(loan)?,
            value_date: date(value_date)?,
            text: &row.text(instruction)?,
        };
        let late = entered.map(|at| Ok::<_, Fault>((at, row.text(at)?)));
        let late = late.transpose()?.filter(|(_, text)| !text.is_empty());
        let entered = match late {
            Some((at, _)) if date(at)? < wording.value_date => {
                let message = "lies before the value date; an instruction is not entered before it";
                return Err(Fault::at(at, message));
            }
            Some((at, _)) => date(at)?,
            None => wording.value_date,
        };
        let asks = match wording.decides() {
            true => Asks::Decision(Decision {
                line,
                application: wording.loan.to_owned(),
                text: wording.text.to_owned(),
            }),
            false => Asks::Command(wording.command(version).map_err(|(part, message)| {
                let at = match part {
                    Part::Loan => loan,
                    Part::Text => instruction,
                };
                Fault::at(at, message)
            })?),
        };
        Ok(Row {
            line,
            entered,
            asks,
        })
    };
    Ok(std::iter::from_fn(move || table.read(read)))
}
