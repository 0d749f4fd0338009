//! `mapping.toml`: what the columns of the user's files mean.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::iter;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use tandem_domain::condition::Scope;
use tandem_domain::document::{Document, Problem};
use tandem_domain::money::Currency;

use super::decimal::Factor;
use super::plan::{ApplicationPlan, OutcomePlan, PaymentPlan, Plan};
use super::planner::Planner;

/// What the columns of the user's files mean.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Mapping {
    /// Version of this file format: 1.
    pub(crate) format: u32,
    /// The file of applications.
    pub(crate) applications: Applications,
    /// Where payments come from.
    pub(crate) payments: PaymentSource,
    #[serde(skip)]
    text: String,
}

impl Mapping {
    /// Reads a mapping by itself; [`Mapping::check`] holds it against an agreement.
    pub(crate) fn parse(text: &str) -> Result<Mapping, Vec<Problem>> {
        let document = Document::parse(text).map_err(|problem| vec![problem])?;
        let mapping: Mapping = document.read().map_err(|problem| vec![problem])?;
        if mapping.format != 1 {
            return Err(vec![
                document.problem("format", "this program reads format 1"),
            ]);
        }
        Ok(Mapping {
            text: text.to_owned(),
            ..mapping
        })
    }

    /// Finds everything that does not fit the fields of an agreement.
    pub(crate) fn check(&self, scope: &Scope) -> Result<(), Vec<Problem>> {
        let mut planner = Planner::new(self, scope, None).map_err(|problem| vec![problem])?;
        ApplicationPlan::draw(self, &mut planner);
        match self.payments {
            PaymentSource::File(_) => drop(PaymentPlan::draw(self, &mut planner)),
            PaymentSource::Outcome(_) => drop(OutcomePlan::draw(self, &mut planner)),
            PaymentSource::Behaviour(_) => {}
        }
        planner.finish()
    }

    /// What a reader of any figure must know about the data.
    pub(crate) fn notes(&self) -> impl Iterator<Item = String> {
        let payments = match &self.payments {
            PaymentSource::File(_) => None,
            PaymentSource::Behaviour(behaviour) => Some(&behaviour.note),
            PaymentSource::Outcome(outcome) => Some(&outcome.note),
        };
        let notes = iter::once(&self.applications.note).chain(payments);
        notes.filter(|note| !note.is_empty()).cloned()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// The file of applications: one row each.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Applications {
    /// The file, beside the mapping; it may be gzipped.
    #[serde(default = "applications_csv")]
    pub(crate) file: String,
    /// What was converted or left out; it is shown in the report.
    #[serde(default)]
    pub(crate) note: String,
    /// Column with the unique key of the application.
    pub(crate) key: String,
    /// Column that tells borrowers apart; without it every application has its own.
    pub(crate) borrower: Option<String>,
    /// Date of the application.
    pub(crate) date: DateColumn,
    /// Every field of the agreement by its name, and where its value stands.
    pub(crate) fields: BTreeMap<String, FieldMapping>,
}

fn applications_csv() -> String {
    "applications.csv".to_owned()
}

/// Where a field's value stands and how it is written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct FieldMapping {
    /// The column; of several the first that is not empty.
    pub(crate) column: Option<OneOrMore>,
    /// Two columns whose quotient is the value (kind rate); missing if either is empty or the
    /// second is zero.
    pub(crate) ratio: Option<[String; 2]>,
    /// The same value for every application.
    pub(crate) constant: Option<String>,
    /// Money: the currency in the file. Rate: `percent` (17.57 is 17.57%) or `fraction` (0.1757
    /// is 17.57%). Whole numbers may say what they count; `term_months` counts months.
    pub(crate) unit: Option<String>,
    /// Numbers are multiplied by this factor, for example an exchange rate.
    pub(crate) scale: Option<Factor>,
    /// How a date is written.
    pub(crate) format: Option<DateFormat>,
    /// A date is moved by this many months.
    pub(crate) shift_months: Option<i32>,
    /// Texts that are removed before the value is read, for example `","` or `" months"`.
    pub(crate) strip: Option<OneOrMore>,
    /// What the file's words are called in the agreement; a word not listed is an error.
    pub(crate) values: Option<BTreeMap<String, String>>,
    /// Texts that mean that there is no value; an empty one always does.
    pub(crate) missing: Vec<String>,
    /// Whether a row without a value is an error. `amount`, `term_months` and `region` are always
    /// required.
    pub(crate) required: Option<bool>,
    /// Whether a number may be below zero.
    pub(crate) negative: bool,
}

/// One text or several.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "write a text or a list of texts")]
pub(crate) enum OneOrMore {
    /// One.
    One(String),
    /// Several.
    More(Vec<String>),
}

impl OneOrMore {
    /// As a list.
    pub(crate) fn as_slice(&self) -> &[String] {
        match self {
            OneOrMore::One(text) => std::slice::from_ref(text),
            OneOrMore::More(texts) => texts,
        }
    }
}

/// A column with a date.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DateColumn {
    /// The column.
    pub(crate) column: String,
    /// How the date is written.
    #[serde(default)]
    pub(crate) format: DateFormat,
    /// Where only the month is known: a day from 1 to 28 that depends on the row's key alone,
    /// instead of the first. With h the 64-bit FNV-1a hash of the key's UTF-8 bytes and
    /// m = (h xor h >> 32) × 0x9e3779b97f4a7c15 mod 2^64, it is 1 + (m >> 32) mod 28.
    #[serde(default)]
    pub(crate) spread: bool,
    /// Months by which the date is moved.
    #[serde(default)]
    pub(crate) shift_months: i32,
}

/// How a date is written. A format without a day means the first of the month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum DateFormat {
    /// 2018-02-28
    #[default]
    #[serde(rename = "YYYY-MM-DD")]
    Iso,
    /// 2018-02
    #[serde(rename = "YYYY-MM")]
    IsoMonth,
    /// Feb-2018
    #[serde(rename = "Mon-YYYY")]
    NamedMonth,
    /// 2/28/2018
    #[serde(rename = "M/D/YYYY")]
    MonthFirst,
    /// 28.02.2018
    #[serde(rename = "DD.MM.YYYY")]
    DayFirst,
    /// 2018/2/28
    #[serde(rename = "YYYY/M/D")]
    YearFirst,
    /// 20180228
    #[serde(rename = "YYYYMMDD")]
    Digits,
}

/// A column with an amount of money.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MoneyColumn {
    /// The column.
    pub(crate) column: String,
    /// The currency in the file.
    pub(crate) unit: Currency,
    /// Amounts are multiplied by this factor; required if the unit is not the agreement's currency.
    pub(crate) scale: Option<Factor>,
    /// Whether an amount may be below zero.
    #[serde(default)]
    pub(crate) negative: bool,
}

/// Where payments come from.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Payments")]
pub(crate) enum PaymentSource {
    /// A file of payments.
    File(Box<PaymentColumns>),
    /// A seeded model of how borrowers pay.
    Behaviour(Behaviour),
    /// Recorded outcomes of loans.
    Outcome(Box<Outcome>),
}

impl JsonSchema for PaymentSource {
    fn schema_name() -> Cow<'static, str> {
        Payments::schema_name()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Payments::json_schema(generator)
    }
}

/// Where payments come from, as written. Kept flat so that errors carry their line.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Payments {
    /// What the payments are taken from.
    source: SourceName,
    /// Source `file`: the file, beside the mapping; it may be gzipped.
    file: Option<String>,
    /// Source `file`: column with the unique key of the payment.
    key: Option<String>,
    /// Source `file`: column with the key of the application.
    application: Option<String>,
    /// Source `file`: day on which the payment was received.
    value_date: Option<DateColumn>,
    /// Source `file`: what was paid.
    amount: Option<MoneyColumn>,
    /// Source `file`: which payments are prepayments; without it all are ordinary.
    kind: Option<PaymentKind>,
    /// Source `behaviour`: its settings.
    behaviour: Option<Behaviour>,
    /// Source `outcome`: its columns.
    outcome: Option<Box<Outcome>>,
}

/// What the payments are taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum SourceName {
    /// A file of payments.
    File,
    /// A seeded model of how borrowers pay.
    Behaviour,
    /// Recorded outcomes of loans.
    Outcome,
}

impl TryFrom<Payments> for PaymentSource {
    type Error = String;
    fn try_from(payments: Payments) -> Result<PaymentSource, String> {
        let Payments {
            source,
            file,
            key,
            application,
            value_date,
            amount,
            kind,
            behaviour,
            outcome,
        } = payments;
        for (name, given, wanted) in [
            ("file", file.is_some(), SourceName::File),
            ("key", key.is_some(), SourceName::File),
            ("application", application.is_some(), SourceName::File),
            ("value_date", value_date.is_some(), SourceName::File),
            ("amount", amount.is_some(), SourceName::File),
            ("kind", kind.is_some(), SourceName::File),
            ("behaviour", behaviour.is_some(), SourceName::Behaviour),
            ("outcome", outcome.is_some(), SourceName::Outcome),
        ] {
            if given && source != wanted {
                let wanted = format!("{wanted:?}").to_lowercase();
                return Err(format!(
                    "`{name}` goes only with source = \"{wanted}\"; remove it"
                ));
            }
        }
        match source {
            SourceName::File => {
                let (Some(key), Some(application), Some(value_date), Some(amount)) =
                    (key, application, value_date, amount)
                else {
                    return Err(
                        "source = \"file\" needs key, application, value_date and amount"
                            .to_owned(),
                    );
                };
                let file = file.unwrap_or_else(|| "payments.csv".to_owned());
                Ok(PaymentSource::File(Box::new(PaymentColumns {
                    file,
                    key,
                    application,
                    value_date,
                    amount,
                    kind,
                })))
            }
            SourceName::Behaviour => behaviour.map(PaymentSource::Behaviour).ok_or_else(|| {
                "source = \"behaviour\" needs [payments.behaviour] with a seed".to_owned()
            }),
            SourceName::Outcome => outcome.map(PaymentSource::Outcome).ok_or_else(|| {
                "source = \"outcome\" needs [payments.outcome] with its columns".to_owned()
            }),
        }
    }
}

/// The columns of a file of payments.
#[derive(Clone, Debug)]
pub(crate) struct PaymentColumns {
    /// The file, beside the mapping.
    pub(crate) file: String,
    /// Key of the payment.
    pub(crate) key: String,
    /// Key of the application.
    pub(crate) application: String,
    /// Day on which it was received.
    pub(crate) value_date: DateColumn,
    /// What was paid.
    pub(crate) amount: MoneyColumn,
    /// Which are prepayments, and which ordinary.
    pub(crate) kind: Option<PaymentKind>,
}

/// Which payments are prepayments, and which ordinary; one without a word is ordinary.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentKind {
    /// The column.
    pub(crate) column: String,
    /// The words that mean a prepayment.
    #[serde(default)]
    pub(crate) prepay: Vec<String>,
    /// The words that mean an ordinary payment.
    #[serde(default)]
    pub(crate) pay: Vec<String>,
}

/// A seeded model of how borrowers pay.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Behaviour {
    /// Seed; the same seed gives the same payments.
    pub(crate) seed: u64,
    /// What a reader should know; it is shown in the report.
    #[serde(default)]
    pub(crate) note: String,
}

/// Recorded outcomes: what became of each loan, without its single payments.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Outcome {
    /// The file, beside the mapping; without it that of the applications.
    pub(crate) file: Option<String>,
    /// What was converted or left out; it is shown in the report.
    #[serde(default)]
    pub(crate) note: String,
    /// Column with the key of the application.
    pub(crate) application: String,
    /// How a fully paid loan is told.
    pub(crate) paid_off: StatusColumn,
    /// Recorded instalment.
    pub(crate) instalment: MoneyColumn,
    /// Day of the last payment; empty if nothing was paid.
    pub(crate) last_payment_date: DateColumn,
    /// Amount of the last payment; empty if nothing was paid.
    pub(crate) last_payment_amount: MoneyColumn,
    /// All that was paid, recoveries included.
    pub(crate) total_paid: MoneyColumn,
    /// What was collected after the charge-off.
    pub(crate) recoveries: Option<MoneyColumn>,
    /// Recorded results that the computed ones are compared with.
    #[serde(default)]
    pub(crate) recorded: Recorded,
}

/// A column whose words tell one thing apart from the others.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusColumn {
    /// The column.
    pub(crate) column: String,
    /// The words that mean it.
    pub(crate) values: Vec<String>,
}

/// Recorded results of a loan.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Recorded {
    /// Interest received.
    pub(crate) interest: Option<MoneyColumn>,
    /// Late fees received.
    pub(crate) late_fees: Option<MoneyColumn>,
    /// Principal received.
    pub(crate) principal: Option<MoneyColumn>,
    /// What each party received, by party id.
    pub(crate) receipts: BTreeMap<String, MoneyColumn>,
}
