//! The rows of the tables, made while the journal is read.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::book::{
    ApplicationRecord, ApplicationState, Book, Decided, DeclineReason, Event, Loan, Version, words,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::{Kind, Value};
use tandem_domain::ledger::{Account, Entry, Posting};
use tandem_domain::loan::{Action, Own, Split, Status, Totals, Transaction};
use tandem_domain::money::{Amount, Currency, Rate};
use tandem_domain::party::PartyId;
use tandem_domain::policy::Outcome as Answer;
use tandem_domain::settlement::Plan;
use tandem_engine::Step;

use super::csv::fraction;
use super::table::{Cell, Column, Format, Rows, Table, cells};
use super::{Export, ends_month, key_of, name, parties, schema};
use crate::fail::{Failure, Outcome};

/// All tables of a book, in one format.
pub(super) struct Tables<F> {
    format: F,
    /// True if there is a table of month ends.
    month_ends: bool,
    /// If only some loans are written: which.
    only: Option<Only>,
    /// Begun once something is signed.
    growing: Option<Growing>,
    /// Values of each application; its row waits for what becomes of it.
    values: Vec<Vec<Value>>,
    /// Plans that wait for their day.
    plans: BTreeMap<Day, Plan>,
}

/// Loans and the applications that they came from, by their places.
#[derive(Default)]
pub(super) struct Only {
    pub(super) loans: BTreeSet<u32>,
    pub(super) applications: BTreeSet<u32>,
}

/// Tables that grow with every event.
struct Growing {
    currency: Currency,
    postings: Box<dyn Rows>,
    settlements: Option<Box<dyn Rows>>,
    decisions: Box<dyn Rows>,
    instructions: Box<dyn Rows>,
    month_ends: Option<Box<dyn Rows>>,
}

impl<F: Format> Tables<F> {
    /// The tables in a format, with those of month ends or without.
    pub(super) fn new(format: F, month_ends: bool) -> Tables<F> {
        Tables {
            format,
            month_ends,
            only: None,
            growing: None,
            values: Vec::new(),
            plans: BTreeMap::new(),
        }
    }

    /// Those of some loans, without what is of the book as a whole.
    #[cfg(feature = "parquet")]
    pub(super) fn only(self, only: Only) -> Tables<F> {
        Tables {
            only: Some(only),
            ..self
        }
    }

    /// True if what is about a loan, or about none, is written.
    fn has(&self, loan: Option<u32>) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| loan.is_some_and(|loan| only.loans.contains(&loan)))
    }

    fn has_application(&self, place: u32) -> bool {
        let only = self.only.as_ref();
        only.is_none_or(|only| only.applications.contains(&place))
    }

    fn start(&mut self, currency: Currency) -> Outcome<&mut Growing> {
        if self.growing.is_none() {
            let create = |table| self.format.create(table, currency);
            self.growing = Some(Growing {
                currency,
                postings: create(&schema::POSTINGS)?,
                settlements: match self.only {
                    None => Some(create(&schema::SETTLEMENTS)?),
                    Some(_) => None,
                },
                decisions: create(&schema::DECISIONS)?,
                instructions: create(&schema::INSTRUCTIONS)?,
                month_ends: match self.month_ends {
                    true => Some(create(&schema::MONTH_ENDS)?),
                    false => None,
                },
            });
        }
        self.growing.as_mut().ok_or_else(unsigned)
    }
}

impl Growing {
    fn entry(&mut self, entry: &Entry, book: &Book) -> Outcome {
        let currency = self.currency;
        entry.postings.iter().try_for_each(|posting| {
            self.postings
                .row(&posting_cells(book, &currency, entry, posting))
        })
    }

    /// What lenders decided; only one of them, if it was its person.
    fn decided(&mut self, decided: &Decided, only: Option<usize>, book: &Book) -> Outcome {
        let version = &book.versions()[usize::from(decided.version)];
        let all = version.policies.iter().zip(&decided.decisions).enumerate();
        for (place, (policy, decision)) in
            all.filter(|(place, _)| only.is_none_or(|only| only == *place))
        {
            let codes = |places: &[u8]| {
                let given = places
                    .iter()
                    .filter_map(|&place| policy.reasons.get(usize::from(place)));
                given
                    .map(|(code, _)| code.as_str())
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            let (outcome, approved, reasons) = match &decision.outcome {
                Answer::Approve { maximum, rate } => {
                    ("approve", Some((*maximum, *rate)), String::new())
                }
                Answer::Decline(places) => ("decline", None, codes(places)),
                Answer::Refer(places) => ("refer", None, codes(places)),
            };
            let mut barred = decided.barred.iter();
            let barred = barred.find(|barred| usize::from(barred.lender) == place);
            let barred = barred.map(|barred| version.clause(barred.clause));
            self.decisions.row(&cells![
                &*decided.key,
                &policy.file.lender,
                &policy.file.version,
                decision.score,
                outcome,
                approved.map(|(maximum, _)| maximum),
                approved.map(|(_, rate)| rate),
                &reasons,
                barred.as_deref(),
                book.business_date(),
                only.map_or("policy", |_| "person"),
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
        let currency = self.currency;
        // Who bought a share may have joined the agreement later than the loan.
        let latest = book.latest().map(|version| &version.agreement);
        let written = done.zip(latest);
        let written = written.map(|(done, agreement)| words::write(&done.action, agreement));
        self.instructions.row(&cells![
            key,
            key_of(book, Some(loan)),
            number,
            book.business_date(),
            done.map(|done| done.day),
            done.map_or("reversal", |done| done.action.name()),
            done.and_then(|done| done.action.amount()),
            written.as_deref(),
            change.received,
            change.principal,
            change.interest,
            change.all_fees(),
            change.penalty,
            change.charged_off,
            change.recovered,
            currency.code(),
        ])
    }

    fn settlement(&mut self, plan: &Plan, paid_on: Option<Day>, book: &Book) -> Outcome {
        let Some(settlements) = &mut self.settlements else {
            return Ok(());
        };
        let currency = self.currency;
        for (kind, transfers) in [("gross", &plan.obligations), ("net", &plan.transfers)] {
            for transfer in transfers {
                settlements.row(&cells![
                    plan.window,
                    plan.settle_on,
                    paid_on,
                    name(book, transfer.from),
                    name(book, transfer.to),
                    kind,
                    transfer.amount,
                    currency.code(),
                ])?;
            }
        }
        Ok(())
    }

    /// What each party has of the loans that are active at the end of a month.
    fn month_end(&mut self, day: Day, book: &Book) -> Outcome {
        let Some(table) = &mut self.month_ends else {
            return Ok(());
        };
        let currency = self.currency;
        for loan in book.loans() {
            if loan.position.status != Status::Active {
                continue;
            }
            let agreement = &book.version_of(&loan).agreement;
            let class = agreement.file.class.get(usize::from(loan.class));
            let split = loan.split(agreement);
            for (_, holder, own) in holdings(&loan, &split) {
                table.row(&cells![
                    day,
                    book.key_of(&loan),
                    name(book, holder),
                    class.map(|class| class.name.as_str()),
                    loan.position.days_past_due(day),
                    own.outstanding,
                    own.principal,
                    own.interest,
                    currency.code(),
                ])?;
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        let growing = [
            &mut self.postings,
            &mut self.decisions,
            &mut self.instructions,
        ];
        let others = self.settlements.iter_mut().chain(&mut self.month_ends);
        let growing = growing.into_iter().chain(others);
        growing.into_iter().try_for_each(|table| table.finish())
    }
}

impl<F: Format> Tables<F> {
    /// Applications: standard columns, then the values of all fields that any version asked for.
    fn applications(&self, book: &Book, currency: Currency) -> Outcome {
        let mut fields: Vec<(&str, Kind)> = Vec::new();
        for version in book.versions() {
            for (field, kind) in &version.agreement.scope.fields {
                match fields.iter_mut().find(|(known, _)| known == field) {
                    // What changes its kind from version to version is only text.
                    Some((_, known)) if known != kind => *known = Kind::Text,
                    Some(_) => {}
                    None => fields.push((field, *kind)),
                }
            }
        }
        let own = fields
            .iter()
            .map(|(field, kind)| Column::new(column_kind(*kind), field, "").empty(""));
        let table = &schema::APPLICATIONS;
        let columns: Vec<_> = table.columns.iter().copied().chain(own).collect();
        let table = Table {
            columns: &columns,
            ..*table
        };
        let mut rows = self.format.create(&table, currency)?;
        let applications = (0..).zip(book.applications().zip(&self.values));
        let applications = applications.filter(|(place, _)| self.has_application(*place));
        for (_, (record, values)) in applications {
            let version = &book.versions()[usize::from(record.version)];
            let asked = &version.agreement.scope.fields;
            let texts: Vec<_> = fields
                .iter()
                .map(|(field, kind)| {
                    let place = asked.iter().position(|(name, _)| name == field)?;
                    let value = values.get(place)?;
                    let changed = asked[place].1 != *kind;
                    Some((
                        value,
                        changed.then(|| text(asked[place].1, value, currency)),
                    ))
                })
                .collect();
            let reason = reason(&record, version);
            let mut row = cells![
                record.key,
                record.decided_on,
                version.agreement.file.version,
                record.state.name(),
                &reason,
            ]
            .to_vec();
            row.extend(
                fields
                    .iter()
                    .zip(&texts)
                    .map(|((_, kind), value)| match value {
                        None => Cell::Empty,
                        Some((_, Some(text))) => Cell::from(text),
                        Some((value, None)) => cell(*kind, value),
                    }),
            );
            rows.row(&row)?;
        }
        rows.finish()
    }

    fn loans(&self, book: &Book, currency: Currency) -> Outcome {
        let mut loans = self.format.create(&schema::LOANS, currency)?;
        let mut shares = self.format.create(&schema::SHARES, currency)?;
        let mut sales = self.format.create(&schema::SALES, currency)?;
        let code = currency.code();
        let written = book.placed_loans();
        let written = written.filter(|(place, _)| self.has(Some(*place)));
        for (_, loan) in written {
            let key = book.key_of(&loan);
            let agreement = &book.version_of(&loan).agreement;
            let (position, totals) = (&loan.position, &loan.position.totals);
            let class = agreement.file.class.get(usize::from(loan.class));
            let class = class.filter(|_| position.status == Status::Active);
            loans.row(&cells![
                key,
                loan.disbursed_on,
                agreement.file.version,
                loan.principal,
                loan.rate,
                loan.months,
                status(position.status),
                class.map(|class| class.name.as_str()),
                position.days_past_due(book.business_date().previous()),
                position.outstanding(),
                position.interest_due(),
                totals.received,
                totals.principal,
                totals.interest,
                totals.all_fees(),
                totals.penalty,
                totals.held(),
                totals.refunded,
                totals.charged_off,
                totals.interest_forgone,
                totals.compensated,
                totals.recovered,
                totals.fees,
                totals.instalment_fees,
                totals.prepayment_fees,
                totals.drawn,
                totals.capitalised,
                totals.credited,
                code,
            ])?;
            let split = loan.split(agreement);
            let committed = loan.committed();
            for (at, holder, own) in holdings(&loan, &split) {
                let part = loan.parts.get(at).copied().unwrap_or_default();
                shares.row(&cells![
                    key,
                    name(book, holder),
                    part.amount,
                    Rate::of(part.amount, committed),
                    part.rate,
                    own.outstanding,
                    own.principal,
                    own.interest,
                    own.fees,
                    own.penalty,
                    own.charged_off,
                    own.compensated,
                    own.recovered,
                    own.service_fee,
                    own.disbursed,
                    own.capitalised,
                    own.gain,
                    own.premium,
                    own.premium_released,
                    own.premium_lost,
                    code,
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
                sales.row(&cells![
                    key,
                    done.number,
                    done.day,
                    name(book, sold.seller),
                    name(book, sold.buyer),
                    sale.part,
                    sale.price,
                    sold.principal,
                    sold.price,
                    sold.interest,
                    code,
                ])?;
            }
        }
        sales.finish()?;
        loans.finish()?;
        shares.finish()
    }

    fn balances(&self, book: &Book, currency: Currency) -> Outcome {
        let mut table = self.format.create(&schema::BALANCES, currency)?;
        for (place, party) in parties(book).iter().enumerate() {
            for account in Account::chart(parties(book).len()) {
                let balance = book.ledgers().balance(PartyId(place as u8), account);
                if !balance.is_zero() {
                    let [number, name, counterparty, debit, credit] =
                        account_cells(book, account, balance);
                    let (party, code) = (Cell::from(&party.id), Cell::from(currency.code()));
                    table.row(&[party, number, name, counterparty, debit, credit, code])?;
                }
            }
        }
        table.finish()
    }
}

impl<F: Format> Export for Tables<F> {
    fn step(&mut self, step: &Step<'_>) -> Outcome {
        let book = step.book;
        let Some(currency) = currency(book) else {
            return Ok(());
        };
        if let Event::Decided(decided) = step.event {
            let has = self.has_application(self.values.len() as u32);
            let values = if has {
                decided.values.to_vec()
            } else {
                Vec::new()
            };
            self.values.push(values);
        }
        if let Event::Planned(plan) = step.event {
            self.plans.insert(plan.window, plan.clone());
        }
        let paid = match step.event {
            Event::Settled { day, window } => self.plans.remove(window).map(|plan| (plan, *day)),
            _ => None,
        };
        let written = match step.event {
            Event::Decided(_) => self.has_application(self.values.len() as u32 - 1),
            Event::Underwritten { application, .. } => self.has_application(*application),
            Event::Instructed { loan, .. }
            | Event::ChargedOff { loan, .. }
            | Event::Reversed { loan, .. } => self.has(Some(*loan)),
            _ => true,
        };
        let entries = step.entries.iter().filter(|entry| self.has(entry.loan));
        let entries: Vec<_> = entries.collect();
        let growing = self.start(currency)?;
        for entry in entries {
            growing.entry(entry, book)?;
        }
        match step.event {
            _ if !written => Ok(()),
            Event::Decided(decided) => growing.decided(decided, None, book),
            Event::Underwritten {
                lender, decided, ..
            } => growing.decided(decided, Some(usize::from(*lender)), book),
            Event::Instructed {
                key,
                loan,
                transaction,
                change,
                ..
            } => {
                let number = transaction.number;
                growing.instruction(key, *loan, number, Some(transaction), change, book)
            }
            Event::ChargedOff {
                loan,
                transaction,
                change,
            } => {
                let number = transaction.number;
                growing.instruction("", *loan, number, Some(transaction), change, book)
            }
            Event::Reversed {
                key,
                loan,
                number,
                change,
                ..
            } => growing.instruction(key, *loan, *number, None, change, book),
            Event::DayClosed(close) if ends_month(close.day) => growing.month_end(close.day, book),
            _ => paid.map_or(Ok(()), |(plan, day)| {
                growing.settlement(&plan, Some(day), book)
            }),
        }
    }

    fn finish(&mut self, book: &Book) -> Outcome {
        let currency = currency(book).ok_or_else(unsigned)?;
        let plans = std::mem::take(&mut self.plans);
        let growing = self.start(currency)?;
        for plan in plans.values() {
            growing.settlement(plan, None, book)?;
        }
        growing.finish()?;
        self.applications(book, currency)?;
        self.loans(book, currency)?;
        match self.only {
            None => self.balances(book, currency),
            Some(_) => Ok(()),
        }
    }
}

/// The currency of all amounts, once something is signed.
pub(super) fn currency(book: &Book) -> Option<Currency> {
    book.latest().map(|version| version.agreement.currency())
}

fn unsigned() -> Failure {
    Failure("nothing is signed in this book yet, so it has no tables".to_owned())
}

/// Number, name, counterparty, debit, credit.
fn account_cells(book: &Book, account: Account, amount: Amount) -> [Cell<'_>; 5] {
    let (debit, credit) = match amount.is_positive() {
        true => (Some(amount), None),
        false => (None, Some(-amount)),
    };
    let counterparty = account.counterparty().map(|party| name(book, party));
    cells![
        account.number(),
        account.name(),
        counterparty,
        debit,
        credit
    ]
}

/// A row of the postings.
fn posting_cells<'c>(
    book: &'c Book,
    currency: &'c Currency,
    entry: &Entry,
    posting: &Posting,
) -> [Cell<'c>; 11] {
    let [number, account, counterparty, debit, credit] =
        account_cells(book, posting.account, posting.amount);
    cells![
        entry.number as i64,
        entry.day,
        entry.kind.name(),
        key_of(book, entry.loan),
        name(book, posting.party),
        number,
        account,
        counterparty,
        debit,
        credit,
        currency.code(),
    ]
}

/// A row of a statement's lines.
pub(super) fn line_cells<'c>(
    book: &'c Book,
    currency: &'c Currency,
    entry: &Entry,
    posting: &Posting,
    balance: Amount,
) -> [Cell<'c>; 11] {
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
    ] = posting_cells(book, currency, entry, posting);
    cells![
        account,
        account_name,
        other,
        day,
        entry,
        kind,
        key,
        debit,
        credit,
        balance,
        code,
    ]
}

/// Who has or had a part of a loan: place, party, what it has.
fn holdings<'l>(
    loan: &'l Loan,
    split: &'l Split,
) -> impl Iterator<Item = (usize, PartyId, Own)> + 'l {
    split
        .holders
        .iter()
        .enumerate()
        .map(|(at, holder)| (at, holder, split.own(holder)))
        // A buyer has no part in the funding; a lender that took none never held any.
        .filter(|(at, _, own)| {
            loan.parts
                .get(*at)
                .is_none_or(|part| !part.amount.is_zero())
                || *own != Own::default()
        })
}

/// What a column for a field of the agreement holds.
fn column_kind(kind: Kind) -> super::table::Kind {
    match kind {
        Kind::Money => super::table::Kind::Amount,
        Kind::Rate => super::table::Kind::Rate,
        Kind::Integer => super::table::Kind::Integer,
        Kind::Date => super::table::Kind::Day,
        Kind::Text => super::table::Kind::Text,
    }
}

/// A value of an application.
fn cell(kind: Kind, value: &Value) -> Cell<'_> {
    match (kind, value) {
        (_, Value::Missing) => Cell::Empty,
        (_, Value::Text(text)) => Cell::from(&**text),
        (Kind::Money, Value::Number(number)) => Cell::Amount(Amount(*number)),
        (Kind::Rate, Value::Number(number)) => Cell::Rate(Rate(*number)),
        (Kind::Date, Value::Number(number)) => {
            Cell::Day(Day(i32::try_from(*number).unwrap_or_default()))
        }
        (_, Value::Number(number)) => Cell::Integer(*number),
    }
}

/// A value of an application as text.
fn text(kind: Kind, value: &Value, currency: Currency) -> String {
    match (kind, value) {
        (_, Value::Missing) => String::new(),
        (Kind::Money, Value::Number(number)) => currency.plain(Amount(*number)),
        (Kind::Rate, Value::Number(number)) => fraction(Rate(*number)),
        (kind, value) => kind.show(value, currency),
    }
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
