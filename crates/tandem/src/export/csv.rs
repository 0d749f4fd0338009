//! The tables: one CSV file each, with a header, written as RFC 4180 says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Writer, WriterBuilder};
use tandem_domain::book::{
    ApplicationRecord, ApplicationState, Book, Decided, DeclineReason, Event, Version, words,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::{Kind, Value};
use tandem_domain::ledger::{Account, Entry, Posting};
use tandem_domain::loan::{Action, Own, Status, Totals, Transaction};
use tandem_domain::money::{Amount, Currency, Rate, format_decimal};
use tandem_domain::party::PartyId;
use tandem_domain::policy::Outcome as Answer;
use tandem_domain::settlement::Plan;
use tandem_engine::Step;

use super::{Export, create, key_of, name, parties};
use crate::fail::{Failure, Outcome};

/// A CSV file being written.
pub(super) struct Table {
    path: PathBuf,
    writer: Writer<File>,
}

impl Table {
    /// Starts a file with its header.
    pub(super) fn create(path: PathBuf, header: &[&str]) -> Outcome<Table> {
        let file = create(&path)?;
        let writer = WriterBuilder::new()
            .buffer_capacity(1 << 16)
            .from_writer(file);
        let mut table = Table { path, writer };
        table.row(header)?;
        Ok(table)
    }

    /// Writes a line.
    pub(super) fn row<C: AsRef<[u8]>>(&mut self, cells: impl IntoIterator<Item = C>) -> Outcome {
        self.writer
            .write_record(cells)
            .map_err(|error| self.failure(&error))
    }

    fn record(&mut self, record: &ByteRecord) -> Outcome {
        self.writer
            .write_byte_record(record)
            .map_err(|error| self.failure(&error))
    }

    /// Ends the file.
    pub(super) fn flush(&mut self) -> Outcome {
        self.writer
            .flush()
            .map_err(|error| Failure::io(&self.path, &error))
    }

    fn failure(&self, error: &csv::Error) -> Failure {
        match error.kind() {
            csv::ErrorKind::Io(error) => Failure::io(&self.path, error),
            _ => Failure(format!("{}: {error}", self.path.display())),
        }
    }
}

/// The cells that show one posting.
///
/// Millions of postings pass through here, so numbers are written into buffers that stay.
#[derive(Default)]
pub(super) struct Cells {
    entry: (u64, String),
    day: (Day, String),
    number: String,
    debit: String,
    credit: String,
    balance: String,
}

impl Cells {
    /// Account number, account, counterparty, debit, credit.
    pub(super) fn account<'c>(
        &'c mut self,
        book: &'c Book,
        currency: Currency,
        account: Account,
        amount: Amount,
    ) -> [&'c str; 5] {
        self.write_account(currency, account, amount);
        let counterparty = account.counterparty().map_or("", |party| name(book, party));
        [
            &self.number,
            account.name(),
            counterparty,
            &self.debit,
            &self.credit,
        ]
    }

    /// A row of `postings.csv`.
    fn posting<'c>(
        &'c mut self,
        book: &'c Book,
        currency: &'c Currency,
        entry: &Entry,
        posting: &Posting,
    ) -> [&'c str; 11] {
        self.write_entry(entry);
        self.write_account(*currency, posting.account, posting.amount);
        self.read(book, currency, entry, posting)
    }

    /// A row of a statement.
    pub(super) fn line<'c>(
        &'c mut self,
        book: &'c Book,
        currency: &'c Currency,
        entry: &Entry,
        posting: &Posting,
        balance: Amount,
    ) -> [&'c str; 11] {
        self.write_entry(entry);
        self.write_account(*currency, posting.account, posting.amount);
        self.balance.clear();
        plain(&mut self.balance, *currency, balance);
        let [
            entry,
            day,
            kind,
            key,
            _,
            account,
            account_name,
            other,
            debit,
            credit,
            code,
        ] = self.read(book, currency, entry, posting);
        [
            account,
            account_name,
            other,
            day,
            entry,
            kind,
            key,
            debit,
            credit,
            &self.balance,
            code,
        ]
    }

    fn read<'c>(
        &'c self,
        book: &'c Book,
        currency: &'c Currency,
        entry: &Entry,
        posting: &Posting,
    ) -> [&'c str; 11] {
        let (kind, key) = (entry.kind.name(), key_of(book, entry.loan));
        let party = name(book, posting.party);
        let counterparty = posting
            .account
            .counterparty()
            .map_or("", |party| name(book, party));
        [
            &self.entry.1,
            &self.day.1,
            kind,
            key,
            party,
            &self.number,
            posting.account.name(),
            counterparty,
            &self.debit,
            &self.credit,
            currency.code(),
        ]
    }

    fn write_entry(&mut self, entry: &Entry) {
        if self.entry.0 != entry.number {
            self.entry.0 = entry.number;
            self.entry.1.clear();
            let _ = write!(self.entry.1, "{}", entry.number);
        }
        if self.day.0 != entry.day || self.day.1.is_empty() {
            self.day.0 = entry.day;
            self.day.1.clear();
            let _ = write!(self.day.1, "{}", entry.day);
        }
    }

    fn write_account(&mut self, currency: Currency, account: Account, amount: Amount) {
        self.number.clear();
        self.debit.clear();
        self.credit.clear();
        let _ = write!(self.number, "{}", account.number());
        if amount.is_positive() {
            plain(&mut self.debit, currency, amount);
        } else {
            plain(&mut self.credit, currency, -amount);
        }
    }
}

/// Appends an amount as [`Currency::plain`] writes it. Most of the time of an export goes into
/// this, so it does without the formatting machinery.
pub(super) fn plain(out: &mut String, currency: Currency, amount: Amount) {
    let digits = currency.digits() as usize;
    let mut text = [b'0'; 24];
    let (mut place, mut rest, mut written) = (text.len(), amount.0.unsigned_abs(), 0);
    while rest > 0 || written <= digits {
        if written == digits && digits > 0 {
            place -= 1;
            text[place] = b'.';
        }
        place -= 1;
        text[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        written += 1;
    }
    if amount.0 < 0 {
        place -= 1;
        text[place] = b'-';
    }
    out.extend(text[place..].iter().copied().map(char::from));
}

/// All tables of a book.
pub(super) struct Tables {
    folder: PathBuf,
    postings: Table,
    settlements: Table,
    decisions: Table,
    instructions: Table,
    /// Values of each application; its row waits for what becomes of it.
    values: Vec<ByteRecord>,
    /// Plans that wait for their day.
    plans: BTreeMap<Day, Plan>,
    cells: Cells,
}

impl Tables {
    /// Starts the tables in a folder.
    pub(super) fn create(folder: &Path) -> Outcome<Tables> {
        super::folder(folder)?;
        let table = |name, header: &[&str]| Table::create(folder.join(name), header);
        Ok(Tables {
            postings: table("postings.csv", &POSTINGS)?,
            settlements: table("settlements.csv", &SETTLEMENTS)?,
            decisions: table("decisions.csv", &DECISIONS)?,
            instructions: table("instructions.csv", &INSTRUCTIONS)?,
            folder: folder.to_owned(),
            values: Vec::new(),
            plans: BTreeMap::new(),
            cells: Cells::default(),
        })
    }

    fn entry(&mut self, entry: &Entry, book: &Book) -> Outcome {
        let Some(currency) = currency(book) else {
            return Ok(());
        };
        let postings = &entry.postings;
        postings.iter().try_for_each(|posting| {
            self.postings
                .row(self.cells.posting(book, &currency, entry, posting))
        })
    }

    fn decided(&mut self, decided: &Decided, book: &Book) -> Outcome {
        let version = &book.versions()[usize::from(decided.version)];
        let scope = &version.agreement.scope;
        let kinds = scope.fields.iter().map(|(_, kind)| *kind);
        let values = kinds
            .zip(&decided.values)
            .map(|(kind, value)| cell(kind, value, scope.currency));
        self.values
            .push(ByteRecord::from(values.collect::<Vec<_>>()));
        for (place, (policy, decision)) in
            version.policies.iter().zip(&decided.decisions).enumerate()
        {
            let score = decision
                .score
                .map(|score| score.to_string())
                .unwrap_or_default();
            let codes = |places: &[u8]| {
                let given = places
                    .iter()
                    .filter_map(|&place| policy.reasons.get(usize::from(place)));
                given
                    .map(|(code, _)| code.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let none = String::new;
            let (outcome, maximum, rate, reasons) = match &decision.outcome {
                Answer::Approve { maximum, rate } => (
                    "approve",
                    scope.currency.plain(*maximum),
                    fraction(*rate),
                    none(),
                ),
                Answer::Decline(places) => ("decline", none(), none(), codes(places)),
                Answer::Refer(places) => ("refer", none(), none(), codes(places)),
            };
            let barred = decided
                .barred
                .iter()
                .find(|barred| usize::from(barred.lender) == place);
            let barred = barred
                .map(|barred| version.clause(barred.clause))
                .unwrap_or_default();
            self.decisions.row([
                decided.key.as_str(),
                &policy.file.lender,
                &policy.file.version,
                &score,
                outcome,
                &maximum,
                &rate,
                &reasons,
                &barred,
            ])?;
        }
        Ok(())
    }

    /// What was done to a loan; a reversal has the number of what it takes back.
    fn instruction(
        &mut self,
        key: &str,
        loan: u32,
        number: u32,
        done: Option<&Transaction>,
        change: &Totals,
        book: &Book,
    ) -> Outcome {
        let of = &book.loan_in(loan);
        let currency = book.versions()[usize::from(of.version)]
            .agreement
            .currency();
        let plain = |amount| currency.plain(amount);
        // Who bought a share may have joined the agreement later than the loan.
        let latest = book.latest().map(|version| &version.agreement);
        let written = done.zip(latest);
        let written = written.map(|(done, agreement)| words::write(&done.action, agreement));
        self.instructions.row([
            key,
            key_of(book, Some(loan)),
            &number.to_string(),
            &book.business_date().to_string(),
            &done.map(|done| done.day.to_string()).unwrap_or_default(),
            done.map_or("reversal", |done| done.action.name()),
            &done
                .and_then(|done| done.action.amount())
                .map(plain)
                .unwrap_or_default(),
            &written.unwrap_or_default(),
            &plain(change.received),
            &plain(change.principal),
            &plain(change.interest),
            &plain(change.all_fees()),
            &plain(change.penalty),
            &plain(change.charged_off),
            &plain(change.recovered),
            currency.code(),
        ])
    }

    fn settlement(&mut self, plan: &Plan, paid_on: &str, book: &Book) -> Outcome {
        let Some(currency) = currency(book) else {
            return Ok(());
        };
        let (window, settle_on) = (plan.window.to_string(), plan.settle_on.to_string());
        for (kind, transfers) in [("gross", &plan.obligations), ("net", &plan.transfers)] {
            for transfer in transfers {
                let (from, to) = (name(book, transfer.from), name(book, transfer.to));
                let amount = currency.plain(transfer.amount);
                self.settlements.row([
                    &window,
                    &settle_on,
                    paid_on,
                    from,
                    to,
                    kind,
                    &amount,
                    currency.code(),
                ])?;
            }
        }
        Ok(())
    }

    /// Applications: standard columns, then the values of all fields that any version asked for.
    fn applications(&mut self, book: &Book) -> Outcome {
        let mut fields: Vec<&str> = Vec::new();
        for version in book.versions() {
            for (field, _) in &version.agreement.scope.fields {
                if !fields.contains(&field.as_str()) {
                    fields.push(field);
                }
            }
        }
        let header: Vec<_> = APPLICATION
            .into_iter()
            .chain(fields.iter().copied())
            .collect();
        let mut table = Table::create(self.folder.join("applications.csv"), &header)?;
        let mut row = ByteRecord::new();
        for (record, values) in book.applications().zip(&self.values) {
            let version = &book.versions()[usize::from(record.version)];
            let reason = reason(&record, version);
            row.clear();
            row.push_field(record.key.as_bytes());
            row.push_field(record.decided_on.to_string().as_bytes());
            row.push_field(version.agreement.file.version.to_string().as_bytes());
            row.push_field(record.state.name().as_bytes());
            row.push_field(reason.as_bytes());
            for field in &fields {
                let place = version
                    .agreement
                    .scope
                    .fields
                    .iter()
                    .position(|(name, _)| name == field);
                row.push_field(
                    place
                        .and_then(|place| values.get(place))
                        .unwrap_or_default(),
                );
            }
            table.record(&row)?;
        }
        table.flush()
    }

    fn loans(&self, book: &Book) -> Outcome {
        let mut loans = Table::create(self.folder.join("loans.csv"), &LOANS)?;
        let mut shares = Table::create(self.folder.join("shares.csv"), &SHARES)?;
        let mut sales = Table::create(self.folder.join("sales.csv"), &SALES)?;
        for loan in book.loans() {
            let key = book.key_of(&loan);
            let agreement = &book.version_of(&loan).agreement;
            let plain = |amount| agreement.currency().plain(amount);
            let code = agreement.currency();
            let (position, totals) = (&loan.position, &loan.position.totals);
            let overdue = position.days_past_due(book.business_date().previous());
            let class = agreement.file.class.get(usize::from(loan.class));
            loans.row([
                key,
                &loan.disbursed_on.to_string(),
                &agreement.file.version.to_string(),
                &plain(loan.principal),
                &fraction(loan.rate),
                &loan.months.to_string(),
                status(position.status),
                match position.status {
                    Status::Active => class.map_or("", |class| &class.name),
                    Status::Repaid | Status::ChargedOff => "",
                },
                &overdue.to_string(),
                &plain(position.outstanding()),
                &plain(position.interest_due()),
                &plain(totals.received),
                &plain(totals.principal),
                &plain(totals.interest),
                &plain(totals.all_fees()),
                &plain(totals.penalty),
                &plain(totals.held()),
                &plain(totals.refunded),
                &plain(totals.charged_off),
                &plain(totals.interest_forgone),
                &plain(totals.compensated),
                &plain(totals.recovered),
                &plain(totals.fees),
                &plain(totals.instalment_fees),
                &plain(totals.prepayment_fees),
                &plain(totals.drawn),
                &plain(totals.capitalised),
                &plain(totals.credited),
                code.code(),
            ])?;
            let split = loan.split(agreement);
            let committed = loan.committed();
            for (at, holder) in split.holders.iter().enumerate() {
                let part = loan.parts.get(at).copied().unwrap_or_default();
                let own = split.own(holder);
                // A buyer has no part in the funding; a lender that took none never held any.
                if at < loan.parts.len() && part.amount.is_zero() && own == Own::default() {
                    continue;
                }
                shares.row([
                    key,
                    name(book, holder),
                    &plain(part.amount),
                    &fraction(Rate::of(part.amount, committed)),
                    &fraction(part.rate),
                    &plain(own.outstanding),
                    &plain(split.principal[at]),
                    &plain(own.interest),
                    &plain(own.fees),
                    &plain(own.penalty),
                    &plain(own.charged_off),
                    &plain(own.compensated),
                    &plain(own.recovered),
                    &plain(own.service_fee),
                    &plain(own.disbursed),
                    &plain(own.capitalised),
                    &plain(own.gain),
                    &plain(own.premium),
                    &plain(own.premium_released),
                    &plain(own.premium_lost),
                    code.code(),
                ])?;
            }
            let sold =
                loan.history
                    .transactions()
                    .into_iter()
                    .filter_map(|done| match done.action {
                        Action::Transfer(sale) => Some((done, sale)),
                        _ => None,
                    });
            for ((done, sale), sold) in sold.zip(&split.sold) {
                sales.row([
                    key,
                    &done.number.to_string(),
                    &done.day.to_string(),
                    name(book, sold.seller),
                    name(book, sold.buyer),
                    &fraction(sale.part),
                    &fraction(sale.price),
                    &plain(sold.principal),
                    &plain(sold.price),
                    &plain(sold.interest),
                    code.code(),
                ])?;
            }
        }
        sales.flush()?;
        loans.flush()?;
        shares.flush()
    }

    fn balances(&mut self, book: &Book) -> Outcome {
        let mut table = Table::create(self.folder.join("balances.csv"), &BALANCES)?;
        let Some(currency) = currency(book) else {
            return table.flush();
        };
        for (place, party) in parties(book).iter().enumerate() {
            for account in Account::chart(parties(book).len()) {
                let balance = book.ledgers().balance(PartyId(place as u8), account);
                if !balance.is_zero() {
                    let cells = self.cells.account(book, currency, account, balance);
                    table.row(
                        [party.id.as_str()]
                            .into_iter()
                            .chain(cells)
                            .chain([currency.code()]),
                    )?;
                }
            }
        }
        table.flush()
    }
}

impl Export for Tables {
    fn step(&mut self, step: &Step<'_>) -> Outcome {
        for entry in step.entries {
            self.entry(entry, step.book)?;
        }
        match step.event {
            Event::Decided(decided) => self.decided(decided, step.book),
            Event::Instructed {
                key,
                loan,
                transaction,
                change,
                ..
            } => {
                let number = transaction.number;
                self.instruction(key, *loan, number, Some(transaction), change, step.book)
            }
            Event::ChargedOff {
                loan,
                transaction,
                change,
            } => {
                let number = transaction.number;
                self.instruction("", *loan, number, Some(transaction), change, step.book)
            }
            Event::Reversed {
                key,
                loan,
                number,
                change,
                ..
            } => self.instruction(key, *loan, *number, None, change, step.book),
            Event::Planned(plan) => {
                self.plans.insert(plan.window, plan.clone());
                Ok(())
            }
            Event::Settled { day, window } => match self.plans.remove(window) {
                Some(plan) => self.settlement(&plan, &day.to_string(), step.book),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn finish(&mut self, book: &Book) -> Outcome {
        for plan in std::mem::take(&mut self.plans).values() {
            self.settlement(plan, "", book)?;
        }
        self.postings.flush()?;
        self.settlements.flush()?;
        self.decisions.flush()?;
        self.instructions.flush()?;
        self.applications(book)?;
        self.loans(book)?;
        self.balances(book)
    }
}

/// The currency of all amounts, once something is signed.
pub(super) fn currency(book: &Book) -> Option<Currency> {
    book.latest().map(|version| version.agreement.currency())
}

/// A value of an application as programs read it.
fn cell(kind: Kind, value: &Value, currency: Currency) -> String {
    match (kind, value) {
        (_, Value::Missing) => String::new(),
        (Kind::Money, Value::Number(number)) => currency.plain(Amount(*number)),
        (Kind::Rate, Value::Number(number)) => fraction(Rate(*number)),
        (kind, value) => kind.show(value, currency),
    }
}

/// A rate as a decimal fraction: `0.102`.
fn fraction(rate: Rate) -> String {
    let text = format_decimal(rate.0, 8);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Why an application was declined, with the code if the agreement gives one.
fn reason(record: &ApplicationRecord<'_>, version: &Version) -> String {
    let ApplicationState::Declined(reason) = record.state else {
        return String::new();
    };
    let words = version.decline_reason(reason);
    match reason {
        DeclineReason::Ineligible(place) => {
            let row = version.agreement.file.ineligible.get(usize::from(place));
            row.map_or(words.clone(), |row| format!("{}: {words}", row.code))
        }
        _ => words,
    }
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Repaid => "repaid",
        Status::ChargedOff => "charged off",
    }
}

/// Columns of `applications.csv` before those of the agreement's fields.
const APPLICATION: [&str; 5] = [
    "application",
    "decided_on",
    "agreement_version",
    "state",
    "reason",
];
const DECISIONS: [&str; 9] = [
    "application",
    "lender",
    "policy_version",
    "score",
    "outcome",
    "maximum",
    "rate",
    "reasons",
    "barred_by",
];
const INSTRUCTIONS: [&str; 16] = [
    "key",
    "loan",
    "number",
    "day",
    "value_date",
    "action",
    "amount",
    "instruction",
    "received",
    "principal",
    "interest",
    "fees",
    "penalty",
    "charged_off",
    "recovered",
    "currency",
];
const SALES: [&str; 11] = [
    "loan",
    "number",
    "value_date",
    "seller",
    "buyer",
    "part",
    "price",
    "principal",
    "paid",
    "interest",
    "currency",
];
const LOANS: [&str; 29] = [
    "loan",
    "disbursed_on",
    "agreement_version",
    "amount",
    "rate",
    "months",
    "status",
    "class",
    "days_past_due",
    "outstanding",
    "interest_due",
    "received",
    "principal",
    "interest",
    "fees",
    "penalty",
    "held",
    "refunded",
    "charged_off",
    "interest_forgone",
    "compensated",
    "recovered",
    "late_fees",
    "instalment_fees",
    "prepayment_fees",
    "drawn",
    "capitalised",
    "credited",
    "currency",
];
const SHARES: [&str; 21] = [
    "loan",
    "lender",
    "amount",
    "share",
    "rate",
    "outstanding",
    "principal",
    "interest",
    "fees",
    "penalty",
    "charged_off",
    "compensated",
    "recovered",
    "service_fee",
    "disbursed",
    "capitalised",
    "sale_gain",
    "premium",
    "premium_released",
    "premium_lost",
    "currency",
];
const POSTINGS: [&str; 11] = [
    "entry",
    "day",
    "kind",
    "loan",
    "party",
    "account",
    "account_name",
    "counterparty",
    "debit",
    "credit",
    "currency",
];
const SETTLEMENTS: [&str; 8] = [
    "window",
    "settle_on",
    "paid_on",
    "from",
    "to",
    "kind",
    "amount",
    "currency",
];
const BALANCES: [&str; 7] = [
    "party",
    "account",
    "account_name",
    "counterparty",
    "debit",
    "credit",
    "currency",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_everywhere_else() {
        for code in ["CNY", "JPY", "KWD"] {
            let currency: Currency = code.parse().unwrap();
            for minor in [
                0,
                1,
                -1,
                9,
                10,
                99,
                100,
                -100,
                999,
                1_000,
                123_456,
                i64::MAX,
                -i64::MAX,
                i64::MIN,
            ] {
                let mut text = String::new();
                plain(&mut text, currency, Amount(minor));
                assert_eq!(text, currency.plain(Amount(minor)));
            }
        }
    }
}
