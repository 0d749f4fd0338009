//! What is read from each file: which cells make up a row, and what comes out.

use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::money::Amount;

use super::cell::Cell;
use super::decimal::clip;
use super::mapping::{Mapping, MoneyColumn, PaymentKind, PaymentSource};
use super::planner::Planner;
use super::rows::{Fault, Row};

/// An application as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApplicationRow {
    /// Line on which it begins, from 1.
    pub(crate) line: u64,
    /// Unique key.
    pub(crate) key: String,
    /// Who applies, if the file says.
    pub(crate) borrower: Option<String>,
    /// Date of the application.
    pub(crate) date: Day,
    /// Values in the order of the agreement's scope.
    pub(crate) values: Vec<Value>,
}

/// A payment as it stands in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PaymentRow {
    /// Line on which it begins, from 1.
    pub(crate) line: u64,
    /// Unique key.
    pub(crate) key: String,
    /// Key of the application.
    pub(crate) application: String,
    /// Day on which it was received.
    pub(crate) value_date: Day,
    /// What was paid, above zero.
    pub(crate) amount: Amount,
    /// It is a prepayment.
    pub(crate) prepay: bool,
}

/// What became of a loan, as recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OutcomeRow {
    /// Line on which it begins, from 1.
    pub(crate) line: u64,
    /// Key of the application.
    pub(crate) application: String,
    /// It was fully paid.
    pub(crate) paid_off: bool,
    /// Recorded instalment, above zero.
    pub(crate) instalment: Amount,
    /// Day of the last payment, if there was one.
    pub(crate) last_payment_date: Option<Day>,
    /// Amount of the last payment, if there was one.
    pub(crate) last_payment_amount: Option<Amount>,
    /// All that was paid, recoveries included.
    pub(crate) total_paid: Amount,
    /// What was collected after the charge-off; zero if the file does not say.
    pub(crate) recoveries: Amount,
    /// Results to compare with.
    pub(crate) recorded: RecordedRow,
}

/// Recorded results of a loan, as far as the file has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecordedRow {
    /// Interest received.
    pub(crate) interest: Option<Amount>,
    /// Late fees received.
    pub(crate) late_fees: Option<Amount>,
    /// Principal received.
    pub(crate) principal: Option<Amount>,
    /// What each party received, in the order of the party ids in the mapping.
    pub(crate) receipts: Vec<(String, Amount)>,
}

/// How a row of a file becomes one of the program's.
pub(crate) trait Plan: Sized {
    /// What comes out.
    type Row;

    /// Places the columns; nothing if the mapping does not name such a file.
    fn draw(mapping: &Mapping, planner: &mut Planner<'_>) -> Option<Self>;

    /// Reads a row that begins on `line`.
    fn read(&self, row: &Row<'_>, line: u64) -> Result<Self::Row, Fault>;
}

/// The cells of an application.
pub(crate) struct ApplicationPlan {
    key: Cell,
    borrower: Option<Cell>,
    date: Cell,
    fields: Vec<Cell>,
}

impl Plan for ApplicationPlan {
    type Row = ApplicationRow;

    fn draw(mapping: &Mapping, planner: &mut Planner<'_>) -> Option<Self> {
        let columns = &mapping.applications;
        let borrower = columns.borrower.as_ref();
        Some(ApplicationPlan {
            key: planner.text("applications.key", &columns.key, true),
            borrower: borrower.map(|column| planner.text("applications.borrower", column, false)),
            date: planner.date("applications.date", &columns.date, true),
            fields: planner.fields(mapping),
        })
    }

    fn read(&self, row: &Row<'_>, line: u64) -> Result<ApplicationRow, Fault> {
        let key = text(&self.key, row)?.unwrap_or_default();
        let borrower = self
            .borrower
            .as_ref()
            .map(|cell| text(cell, row))
            .transpose()?
            .flatten();
        let date = day(&self.date, row, &key)?.unwrap_or_default();
        let values: Result<Vec<_>, _> = self
            .fields
            .iter()
            .map(|cell| cell.read(row, &key))
            .collect();
        Ok(ApplicationRow {
            line,
            borrower,
            date,
            values: values?,
            key,
        })
    }
}

/// The cells of a payment.
pub(crate) struct PaymentPlan {
    key: Cell,
    application: Cell,
    value_date: Cell,
    amount: Cell,
    kind: Option<(Cell, PaymentKind)>,
}

impl Plan for PaymentPlan {
    type Row = PaymentRow;

    fn draw(mapping: &Mapping, planner: &mut Planner<'_>) -> Option<Self> {
        let PaymentSource::File(columns) = &mapping.payments else {
            return None;
        };
        let kind = columns.kind.as_ref();
        Some(PaymentPlan {
            key: planner.text("payments.key", &columns.key, true),
            application: planner.text("payments.application", &columns.application, true),
            value_date: planner.date("payments.value_date", &columns.value_date, true),
            amount: planner.payment("payments.amount", &columns.amount, true),
            kind: kind.map(|kind| {
                let cell = planner.text("payments.kind.column", &kind.column, false);
                (cell, kind.clone())
            }),
        })
    }

    fn read(&self, row: &Row<'_>, line: u64) -> Result<PaymentRow, Fault> {
        let key = text(&self.key, row)?.unwrap_or_default();
        let prepay = match &self.kind {
            Some((cell, kind)) => match text(cell, row)? {
                Some(word) => is_prepayment(&word, kind).map_err(|message| cell.fault(message))?,
                None => false,
            },
            None => false,
        };
        Ok(PaymentRow {
            line,
            application: text(&self.application, row)?.unwrap_or_default(),
            value_date: day(&self.value_date, row, &key)?.unwrap_or_default(),
            amount: amount(&self.amount, row)?.unwrap_or_default(),
            prepay,
            key,
        })
    }
}

/// True if a word means a prepayment, false if an ordinary payment.
fn is_prepayment(word: &str, kind: &PaymentKind) -> Result<bool, String> {
    let is_in = |words: &[String]| words.iter().any(|known| known == word);
    if is_in(&kind.prepay) || is_in(&kind.pay) {
        return Ok(is_in(&kind.prepay));
    }
    let known = kind.prepay.iter().chain(&kind.pay).map(String::as_str);
    Err(format!(
        "`{}` is no kind of payment that the mapping knows; there are {}; leave the cell empty for \
         an ordinary payment, or name the word in the mapping, payments.kind",
        clip(word),
        known.collect::<Vec<_>>().join(", ")
    ))
}

/// The cells of an outcome.
pub(crate) struct OutcomePlan {
    application: Cell,
    paid_off: (Cell, Vec<String>),
    instalment: Cell,
    last_payment_date: Cell,
    last_payment_amount: Cell,
    total_paid: Cell,
    recoveries: Option<Cell>,
    interest: Option<Cell>,
    late_fees: Option<Cell>,
    principal: Option<Cell>,
    receipts: Vec<(String, Cell)>,
}

impl Plan for OutcomePlan {
    type Row = OutcomeRow;

    fn draw(mapping: &Mapping, planner: &mut Planner<'_>) -> Option<Self> {
        let PaymentSource::Outcome(columns) = &mapping.payments else {
            return None;
        };
        let path = |name: &str| format!("payments.outcome.{name}");
        let paid_off = planner.text(&path("paid_off.column"), &columns.paid_off.column, true);
        let recorded = &columns.recorded;
        let mut optional = |name: &str, column: &Option<MoneyColumn>| {
            column
                .as_ref()
                .map(|column| planner.money(&path(name), column, false))
        };
        let recoveries = optional("recoveries", &columns.recoveries);
        let interest = optional("recorded.interest", &recorded.interest);
        let late_fees = optional("recorded.late_fees", &recorded.late_fees);
        let principal = optional("recorded.principal", &recorded.principal);
        let mut receipts = Vec::new();
        for (party, column) in &recorded.receipts {
            let path = path(&format!("recorded.receipts.{party}"));
            receipts.push((party.clone(), planner.money(&path, column, false)));
        }
        Some(OutcomePlan {
            application: planner.text(&path("application"), &columns.application, true),
            paid_off: (paid_off, columns.paid_off.values.clone()),
            instalment: planner.payment(&path("instalment"), &columns.instalment, false),
            last_payment_date: planner.date(
                &path("last_payment_date"),
                &columns.last_payment_date,
                false,
            ),
            last_payment_amount: planner.money(
                &path("last_payment_amount"),
                &columns.last_payment_amount,
                false,
            ),
            total_paid: planner.money(&path("total_paid"), &columns.total_paid, true),
            recoveries,
            interest,
            late_fees,
            principal,
            receipts,
        })
    }

    fn read(&self, row: &Row<'_>, line: u64) -> Result<OutcomeRow, Fault> {
        let application = text(&self.application, row)?.unwrap_or_default();
        let (status, words) = &self.paid_off;
        let optional = |cell: &Option<Cell>| match cell {
            Some(cell) => amount(cell, row),
            None => Ok(None),
        };
        let mut receipts = Vec::new();
        for (party, cell) in &self.receipts {
            receipts.extend(amount(cell, row)?.map(|amount| (party.clone(), amount)));
        }
        Ok(OutcomeRow {
            line,
            paid_off: text(status, row)?.is_some_and(|word| words.contains(&word)),
            instalment: amount(&self.instalment, row)?.unwrap_or_default(),
            last_payment_date: day(&self.last_payment_date, row, &application)?,
            last_payment_amount: amount(&self.last_payment_amount, row)?,
            total_paid: amount(&self.total_paid, row)?.unwrap_or_default(),
            recoveries: optional(&self.recoveries)?.unwrap_or_default(),
            recorded: RecordedRow {
                interest: optional(&self.interest)?,
                late_fees: optional(&self.late_fees)?,
                principal: optional(&self.principal)?,
                receipts,
            },
            application,
        })
    }
}

// A cell gives what its reading makes: a text a text, the others a number. A required cell without
// a value is a fault, so nothing is left only where a row may leave it out.

fn text(cell: &Cell, row: &Row<'_>) -> Result<Option<String>, Fault> {
    Ok(match cell.read(row, "")? {
        Value::Text(text) => Some(text.into()),
        _ => None,
    })
}

fn amount(cell: &Cell, row: &Row<'_>) -> Result<Option<Amount>, Fault> {
    Ok(cell.read(row, "")?.number().map(Amount))
}

fn day(cell: &Cell, row: &Row<'_>, key: &str) -> Result<Option<Day>, Fault> {
    let number = cell.read(row, key)?.number();
    Ok(number
        .and_then(|number| i32::try_from(number).ok())
        .map(Day))
}
