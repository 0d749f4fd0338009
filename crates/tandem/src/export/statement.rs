//! A party's statement: what stood on its accounts, what moved them, and what stands there now,
//! in Markdown for people and as CSV line by line. It ties to the party's ledger: the closing
//! balance of every account is compared with the book's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tandem_domain::book::{Book, Event};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::{Account, Entry, EntryKind, Posting};
use tandem_domain::money::{Amount, Currency};
use tandem_domain::party::PartyId;
use tandem_domain::settlement::{Plan, Transfer};
use tandem_engine::Step;

use super::csv::CsvFile;
use super::grid::Grid;
use super::table::Rows as _;
use super::tables::{currency, line_cells};
use super::{Export, Target, Wanted, ends_month, key_of, name, parties, schema};
use crate::data::make_private;
use crate::fail::{Failure, Outcome};

/// The days that a statement is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Period {
    first: Day,
    last: Day,
}

impl Period {
    pub(super) const ALL: Period = Period {
        first: Day(i32::MIN),
        last: Day(i32::MAX),
    };

    /// Reads a month: `2024-03`.
    pub(super) fn month(text: &str) -> Result<Period, String> {
        let first: Day = format!("{text}-01").parse().map_err(|_| {
            format!("`{text}` is not a month; write year-month, for example 2024-03")
        })?;
        Ok(Period {
            first,
            last: first.plus_months(1).previous(),
        })
    }

    fn contains(self, day: Day) -> bool {
        (self.first..=self.last).contains(&day)
    }
}

/// How much a statement shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detail {
    /// Every line on the accounts that the party has with others and at the bank.
    Lines,
    /// Sums by month.
    Months,
}

/// What happened on an account: a debit balance is positive, a credit balance negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Movement {
    opening: Amount,
    debits: Amount,
    credits: Amount,
}

impl Movement {
    fn closing(&self) -> Amount {
        self.opening + self.debits - self.credits
    }

    /// True if nothing stood there and nothing moved.
    fn is_empty(&self) -> bool {
        *self == Movement::default()
    }

    fn add(&mut self, amount: Amount) {
        if amount.is_positive() {
            self.debits += amount;
        } else {
            self.credits -= amount;
        }
    }
}

/// What happened on all accounts.
type Movements = BTreeMap<Account, Movement>;

/// The movements that begin where others end.
fn following(movements: &Movements) -> Movements {
    let opened = movements.iter().map(|(&account, movement)| {
        let opening = movement.closing();
        (
            account,
            Movement {
                opening,
                ..Movement::default()
            },
        )
    });
    opened.collect()
}

/// A line on an account.
struct Line {
    day: Day,
    entry: u64,
    kind: EntryKind,
    loan: Option<u32>,
    amount: Amount,
    balance: Amount,
}

/// A transfer of a settlement that the party paid or received.
struct Settled {
    window: Day,
    paid_on: Day,
    transfer: Transfer,
}

/// One party's statement.
pub(super) struct Statement {
    wanted: Wanted,
    period: Period,
    detail: Detail,
    target: Target,
    lines_path: Option<PathBuf>,
    csv: Option<CsvFile>,
    /// Of the whole period.
    total: Movements,
    /// Of the month that runs.
    month: Movements,
    /// Of the months before, by their last day.
    months: Vec<(Day, Movements)>,
    /// Number of entries of each kind, and their debits.
    kinds: BTreeMap<&'static str, (u64, Amount)>,
    last_entry: u64,
    lines: BTreeMap<Account, Vec<Line>>,
    plans: BTreeMap<Day, Plan>,
    settled: Vec<Settled>,
}

impl Statement {
    pub(super) fn new(
        party: &str,
        period: Period,
        detail: Detail,
        target: Target,
        lines_path: Option<PathBuf>,
    ) -> Statement {
        Statement {
            wanted: Wanted::new(party),
            period,
            detail,
            target,
            lines_path,
            csv: None,
            total: Movements::new(),
            month: Movements::new(),
            months: Vec::new(),
            kinds: BTreeMap::new(),
            last_entry: 0,
            lines: BTreeMap::new(),
            plans: BTreeMap::new(),
            settled: Vec::new(),
        }
    }

    /// Takes an event, its postings apart.
    fn event(&mut self, step: &Step<'_>) -> Outcome {
        self.wanted.look(step);
        let Some(party) = self.wanted.party else {
            return Ok(());
        };
        match step.event {
            Event::Planned(plan) => {
                self.plans.insert(plan.window, plan.clone());
            }
            Event::Settled { day, window } => self.settle(party, *day, *window),
            Event::DayClosed(close) if close.day <= self.period.last => {
                self.tie(party, step.book)?;
                if ends_month(close.day) {
                    let next = following(&self.month);
                    self.months
                        .push((close.day, std::mem::replace(&mut self.month, next)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn settle(&mut self, party: PartyId, paid_on: Day, window: Day) {
        let plan = self.plans.remove(&window);
        if !self.period.contains(paid_on) {
            return;
        }
        for transfer in plan.into_iter().flat_map(|plan| plan.transfers) {
            if transfer.from == party || transfer.to == party {
                self.settled.push(Settled {
                    window,
                    paid_on,
                    transfer,
                });
            }
        }
    }

    /// Takes one of the party's own postings.
    fn posting(&mut self, entry: &Entry, posting: &Posting, book: &Book) -> Outcome {
        let (account, amount) = (posting.account, posting.amount);
        let total = self.total.entry(account).or_default();
        if entry.day < self.period.first {
            total.opening += amount;
        }
        if !self.period.contains(entry.day) {
            return Ok(());
        }
        total.add(amount);
        let balance = total.closing();
        self.month.entry(account).or_default().add(amount);
        let (entries, debits) = self.kinds.entry(entry.kind.name()).or_default();
        *entries += u64::from(entry.number != self.last_entry);
        *debits += if amount.is_positive() {
            amount
        } else {
            Amount::ZERO
        };
        self.last_entry = entry.number;
        if self.detail == Detail::Lines && is_between_parties(account) {
            let &Entry {
                number,
                day,
                kind,
                loan,
                ..
            } = entry;
            let line = Line {
                day,
                entry: number,
                kind,
                loan,
                amount,
                balance,
            };
            self.lines.entry(account).or_default().push(line);
        }
        let Some(currency) = currency(book) else {
            return Ok(());
        };
        self.start_lines(currency)?;
        if let Some(csv) = &mut self.csv {
            csv.row(&line_cells(book, &currency, entry, posting, balance))?;
        }
        Ok(())
    }

    /// Begins the CSV file, once it is known that there is something to state.
    fn start_lines(&mut self, currency: Currency) -> Outcome {
        if let Some(path) = self.lines_path.take() {
            self.csv = Some(CsvFile::create(path, &schema::LINES, currency)?);
        }
        Ok(())
    }

    /// First and last day that the book knows of.
    fn life(book: &Book) -> Period {
        let signed = book.versions().first();
        let today = book.business_date();
        Period {
            first: signed.map_or(today, |version| version.agreement.file.effective_from),
            last: today,
        }
    }

    /// Every balance must be the ledger's.
    fn tie(&self, party: PartyId, book: &Book) -> Outcome {
        for account in Account::chart(parties(book).len()) {
            let stated = self
                .total
                .get(&account)
                .map_or(Amount::ZERO, Movement::closing);
            let booked = book.ledgers().balance(party, account);
            if stated != booked {
                return Err(Failure(format!(
                    "the statement of {} does not tie: {} is {} minor units, the ledger says {}",
                    self.wanted.id,
                    label(book, account),
                    stated.0,
                    booked.0
                )));
            }
        }
        Ok(())
    }

    /// Puts something into the statement that is not in the ledger.
    #[cfg(test)]
    pub(super) fn forge(&mut self, account: Account, amount: Amount) {
        self.total.entry(account).or_default().add(amount);
    }

    fn write(&mut self, book: &Book) -> Outcome {
        let (Some(party), Some(currency)) = (self.wanted.party, currency(book)) else {
            return Err(self.wanted.missing(book));
        };
        let life = Statement::life(book);
        if self.period.last < life.first || self.period.first > life.last {
            return Err(Failure(format!(
                "there is nothing to state for that month: the book goes from {} to {}",
                life.first, life.last
            )));
        }
        self.start_lines(currency)?;
        if self.period.last > life.last.previous() {
            self.tie(party, book)?;
        }
        if let Some(csv) = &mut self.csv {
            csv.finish()?;
        }
        let page = Page {
            statement: self,
            book,
            party,
            currency,
        };
        let text = page.text();
        self.target.text(&text)?;
        self.target.flush()
    }
}

impl Export for Statement {
    fn step(&mut self, step: &Step<'_>) -> Outcome {
        for entry in step.entries {
            let own = entry
                .postings
                .iter()
                .filter(|posting| Some(posting.party) == self.wanted.party);
            for posting in own.collect::<Vec<_>>() {
                self.posting(entry, posting, step.book)?;
            }
        }
        self.event(step)
    }

    fn finish(&mut self, book: &Book) -> Outcome {
        self.write(book)
    }
}

/// Statements of all parties, each in two files of a folder.
pub(super) struct Statements {
    folder: PathBuf,
    of: Vec<Statement>,
}

impl Statements {
    pub(super) fn new(folder: &Path) -> Outcome<Statements> {
        make_private(folder)?;
        Ok(Statements {
            folder: folder.to_owned(),
            of: Vec::new(),
        })
    }
}

impl Export for Statements {
    fn step(&mut self, step: &Step<'_>) -> Outcome {
        for party in &parties(step.book)[self.of.len()..] {
            let file = |extension| self.folder.join(format!("{}.{extension}", party.id));
            let target = Target::new(Some(&file("md")));
            let statement = Statement::new(
                &party.id,
                Period::ALL,
                Detail::Months,
                target,
                Some(file("csv")),
            );
            self.of.push(statement);
        }
        for entry in step.entries {
            for posting in &entry.postings {
                self.of[posting.party.index()].posting(entry, posting, step.book)?;
            }
        }
        self.of
            .iter_mut()
            .try_for_each(|statement| statement.event(step))
    }

    fn finish(&mut self, book: &Book) -> Outcome {
        self.of
            .iter_mut()
            .try_for_each(|statement| statement.write(book))
    }
}

/// A statement as text.
struct Page<'a> {
    statement: &'a Statement,
    book: &'a Book,
    party: PartyId,
    currency: Currency,
}

impl Page<'_> {
    fn text(&self) -> String {
        let mut text = self.head();
        text += "\n## Accounts\n\n";
        text += &self.movements(&self.statement.total);
        text += "\n## Entries\n\n";
        text += &self.kinds();
        match self.statement.detail {
            Detail::Lines => text += &self.lines(),
            Detail::Months => text += &self.months(),
        }
        text += "\n## Settlements\n\n";
        text += &self.settlements();
        text
    }

    fn head(&self) -> String {
        let party = &parties(self.book)[self.party.index()];
        let versions = self.book.versions();
        let title = versions
            .last()
            .map_or("", |version| &version.agreement.file.title);
        let life = Statement::life(self.book);
        let Period { first, last } = self.statement.period;
        let (first, last) = (first.max(life.first), last.min(life.last));
        format!(
            "# Statement of {} ({})\n\n{title}\n\n{first} to {last}, amounts in {}. Debit balances are positive, \
             credit balances negative.\n",
            party.name, party.id, self.currency
        )
    }

    fn movements(&self, movements: &Movements) -> String {
        let mut grid = Grid::new(
            2,
            [
                "number", "account", "opening", "debits", "credits", "closing",
            ],
        );
        for (&account, movement) in movements
            .iter()
            .filter(|(_, movement)| !movement.is_empty())
        {
            grid.row([
                account.number().to_string(),
                label(self.book, account),
                self.grouped(movement.opening),
                self.grouped(movement.debits),
                self.grouped(movement.credits),
                self.grouped(movement.closing()),
            ]);
        }
        let sum = |of: fn(&Movement) -> Amount| self.grouped(movements.values().map(of).sum());
        let (opening, closing) = (sum(|m| m.opening), sum(Movement::closing));
        let (debits, credits) = (sum(|m| m.debits), sum(|m| m.credits));
        grid.row([
            String::new(),
            "all".to_owned(),
            opening,
            debits,
            credits,
            closing,
        ]);
        grid.markdown()
    }

    fn kinds(&self) -> String {
        let mut grid = Grid::new(1, ["kind", "entries", "debits = credits"]);
        for (kind, (entries, debits)) in &self.statement.kinds {
            grid.row([
                (*kind).to_owned(),
                entries.to_string(),
                self.grouped(*debits),
            ]);
        }
        grid.markdown()
    }

    fn months(&self) -> String {
        let months = self
            .statement
            .months
            .iter()
            .map(|(day, month)| (*day, month));
        let runs = (self.book.business_date(), &self.statement.month);
        let mut text = String::new();
        for (day, month) in months.chain([runs]) {
            if month.values().any(|movement| !movement.is_empty()) {
                let _ = write!(text, "\n## Until {day}\n\n{}", self.movements(month));
            }
        }
        text
    }

    fn lines(&self) -> String {
        let mut text = String::new();
        for (&account, movement) in &self.statement.total {
            if !is_between_parties(account) || movement.is_empty() {
                continue;
            }
            let lines = self
                .statement
                .lines
                .get(&account)
                .map_or(&[][..], Vec::as_slice);
            let _ = write!(
                text,
                "\n## {} {}\n\n",
                account.number(),
                label(self.book, account)
            );
            let mut grid = Grid::new(
                4,
                ["day", "entry", "kind", "loan", "debit", "credit", "balance"],
            );
            let bare = |what: &str, balance| {
                [
                    String::new(),
                    String::new(),
                    what.to_owned(),
                    String::new(),
                    String::new(),
                    String::new(),
                    self.grouped(balance),
                ]
            };
            grid.row(bare("opening balance", movement.opening));
            let mut kinds: BTreeMap<&str, Movement> = BTreeMap::new();
            for line in lines {
                let [debit, credit] = self.sides(line.amount);
                kinds.entry(line.kind.name()).or_default().add(line.amount);
                grid.row([
                    line.day.to_string(),
                    line.entry.to_string(),
                    line.kind.name().to_owned(),
                    key_of(self.book, line.loan).to_owned(),
                    debit,
                    credit,
                    self.grouped(line.balance),
                ]);
            }
            for (kind, sums) in kinds {
                let [debits, credits] = [sums.debits, sums.credits].map(|sum| self.grouped(sum));
                grid.row([
                    String::new(),
                    String::new(),
                    format!("all of {kind}"),
                    String::new(),
                    debits,
                    credits,
                    String::new(),
                ]);
            }
            grid.row(bare("closing balance", movement.closing()));
            text += &grid.markdown();
        }
        text
    }

    fn settlements(&self) -> String {
        let mut grid = Grid::new(3, ["window", "paid on", "with", "received", "paid"]);
        for Settled {
            window,
            paid_on,
            transfer,
        } in &self.statement.settled
        {
            let received = transfer.to == self.party;
            let other = if received { transfer.from } else { transfer.to };
            let amount = if received {
                transfer.amount
            } else {
                -transfer.amount
            };
            let [received, paid] = self.sides(amount);
            let other = name(self.book, other).to_owned();
            grid.row([
                window.to_string(),
                paid_on.to_string(),
                other,
                received,
                paid,
            ]);
        }
        grid.markdown()
    }

    /// An amount in the first of two columns if it is positive, else in the second.
    fn sides(&self, amount: Amount) -> [String; 2] {
        match amount.is_positive() {
            true => [self.grouped(amount), String::new()],
            false => [String::new(), self.grouped(-amount)],
        }
    }

    fn grouped(&self, amount: Amount) -> String {
        self.currency.grouped(amount)
    }
}

/// True for the accounts on which a party looks for its dealings with others.
fn is_between_parties(account: Account) -> bool {
    account == Account::Settlement || account.counterparty().is_some()
}

/// `due from river-bank`
fn label(book: &Book, account: Account) -> String {
    match account.counterparty() {
        Some(party) => format!("{} {}", account.name(), name(book, party)),
        None => account.name().to_owned(),
    }
}
