//! A loan by itself: the instalments that its terms plan, and what it costs a year.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tandem_domain::agreement::{Amortisation, Prepayment, Product};
use tandem_domain::calendar::{Day, DayCount};
use tandem_domain::cost::apr::{self, Apr, Flow, NoRate, Times};
use tandem_domain::document::{Document, Problem};
use tandem_domain::loan::{self, Instalment};
use tandem_domain::money::{Amount, Currency, Money, Rate, Rounding, parse_decimal};

use crate::export::grid::Grid;
use crate::fail::{Failure, Outcome};
use crate::programme::read_text;

/// What `schedule` is asked.
#[derive(Args)]
pub(crate) struct Options {
    /// The terms, a TOML file (`tandem schema terms`).
    #[arg(long, value_name = "FILE")]
    terms: PathBuf,
    /// How to write the instalments.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// For people.
    Table,
    /// Amounts in minor units.
    Json,
    /// One line for each instalment.
    Csv,
}

/// What `apr` is asked.
#[derive(Args)]
pub(crate) struct AprOptions {
    /// The terms of a loan, a TOML file (`tandem schema terms`).
    #[arg(long, value_name = "FILE", required_unless_present = "flows")]
    terms: Option<PathBuf>,
    /// Dated flows instead, a CSV file with the columns `date`, `amount` (advances to the borrower
    /// are negative) and, without `--currency`, `currency`.
    #[arg(long, value_name = "FILE", conflicts_with = "terms")]
    flows: Option<PathBuf>,
    /// Currency of the flows.
    #[arg(long, value_name = "CODE", requires = "flows")]
    currency: Option<String>,
    /// Count days for the EU rate even if all intervals are whole months or weeks.
    #[arg(long, requires = "flows")]
    days: bool,
}

/// Terms of one loan, by their names in ACTUS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TermsFile {
    /// How principal is repaid.
    contract_type: ContractType,
    /// What is lent, for example `"120000.00 CNY"`.
    notional_principal: Money,
    /// Yearly rate, for example `"14.4%"`.
    nominal_interest_rate: Rate,
    /// How time becomes interest.
    day_count_convention: Convention,
    /// Day of disbursement, for example `"2022-01-01"`.
    initial_exchange_date: Day,
    /// Number of monthly instalments.
    instalments: u16,
    /// Fees kept back from the disbursement, each a part of the principal.
    #[serde(default)]
    fees: Vec<Rate>,
}

/// How principal is repaid.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum ContractType {
    /// Equal instalments of principal and interest.
    #[serde(rename = "ANN")]
    Annuity,
    /// Equal parts of principal, interest on the rest.
    #[serde(rename = "LAM")]
    LinearAmortizer,
    /// Interest monthly, all principal at the end.
    #[serde(rename = "PAM")]
    PrincipalAtMaturity,
}

/// How time becomes interest.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum Convention {
    /// Actual days over 360.
    A360,
    /// Actual days over 365.
    A365,
    /// Months of 30 days over 360.
    #[serde(rename = "30E360")]
    E30360,
}

/// Most instalments of a loan: a hundred years.
const MOST: u16 = 1_200;

impl TermsFile {
    fn read(path: &Path) -> Outcome<TermsFile> {
        let text = read_text(path)?;
        TermsFile::parse(&text).map_err(|problems| Failure::problems(path, &problems))
    }

    /// Reads the terms, or says everything that is wrong with them.
    fn parse(text: &str) -> Result<TermsFile, Vec<Problem>> {
        let document = Document::parse(text).map_err(|problem| vec![problem])?;
        let terms: TermsFile = document.read().map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let mut check = |holds: bool, field: &str, message: &str| {
            if !holds {
                problems.push(document.problem(field, message));
            }
        };
        let principal = terms.notional_principal.amount;
        check(
            principal.is_positive(),
            "notionalPrincipal",
            "must be above zero",
        );
        check(
            (0..=10 * Rate::ONE.0).contains(&terms.nominal_interest_rate.0),
            "nominalInterestRate",
            "must lie between 0% and 1000%",
        );
        let count = (1..=MOST).contains(&terms.instalments);
        check(count, "instalments", "must lie between 1 and 1200");
        let last = terms.initial_exchange_date.plus_months(MOST.into());
        check(
            last.ymd().0 <= 9_999,
            "initialExchangeDate",
            "must lie before the year 9900",
        );
        for (place, fee) in terms.fees.iter().enumerate() {
            let is_part = (0..Rate::ONE.0).contains(&fee.0);
            check(
                is_part,
                &format!("fees[{place}]"),
                "must lie between 0% and 100%",
            );
        }
        if problems.is_empty() && !terms.received().is_positive() {
            let message = "take all of the principal; the borrower must receive something";
            problems.push(document.problem("fees", message));
        }
        if problems.is_empty() {
            Ok(terms)
        } else {
            Err(problems)
        }
    }

    fn currency(&self) -> Currency {
        self.notional_principal.currency
    }

    fn day_count(&self) -> DayCount {
        match self.day_count_convention {
            Convention::A360 => DayCount::A360,
            Convention::A365 => DayCount::A365,
            Convention::E30360 => DayCount::E30360,
        }
    }

    /// Each fee, rounded by itself.
    fn fees(&self) -> Amount {
        let principal = self.notional_principal.amount;
        let fees = self.fees.iter();
        fees.map(|&rate| principal.at(rate, Rounding::HalfUp)).sum()
    }

    fn received(&self) -> Amount {
        self.notional_principal.amount - self.fees()
    }

    fn plan(&self) -> Vec<Instalment> {
        let amortisation = match self.contract_type {
            ContractType::Annuity => Amortisation::EqualInstalment,
            ContractType::LinearAmortizer => Amortisation::EqualPrincipal,
            ContractType::PrincipalAtMaturity => Amortisation::Bullet,
        };
        // What matters only once somebody is late or early is left empty.
        let product = Product {
            amortisation,
            day_count: self.day_count(),
            terms_months: vec![self.instalments],
            minimum_amount: self.notional_principal,
            maximum_amount: self.notional_principal,
            grace_days: 0,
            penalty_rate: Rate::ZERO,
            waterfall: Vec::new(),
            prepayment: Prepayment::ShortenTerm,
            rounding: Rounding::HalfUp,
            offer_valid_days: 1,
        };
        loan::schedule(&loan::Terms {
            principal: self.notional_principal.amount,
            rate: self.nominal_interest_rate,
            months: self.instalments,
            disbursed_on: self.initial_exchange_date,
            product: &product,
            late_fee: None,
        })
    }

    /// The rates, in the order in which they are shown.
    fn rates(&self, plan: &[Instalment]) -> Vec<Cost> {
        let advance = Flow {
            day: self.initial_exchange_date,
            amount: -self.received(),
        };
        let payments = plan.iter().map(|instalment| Flow {
            day: instalment.day,
            amount: instalment.total(),
        });
        let flows: Vec<_> = [advance].into_iter().chain(payments).collect();
        vec![
            ("EU", apr::eu(&flows)),
            ("US", apr::regulation_z(&flows)),
            ("internal rate", apr::monthly(self.received(), plan)),
        ]
    }

    fn title(&self) -> String {
        let count = self.instalments;
        let instalments = match self.contract_type {
            _ if count == 1 => "1 instalment".to_owned(),
            ContractType::Annuity => format!("{count} equal instalments"),
            ContractType::LinearAmortizer => format!("{count} instalments of equal principal"),
            ContractType::PrincipalAtMaturity => {
                format!("{count} instalments of interest, all principal with the last")
            }
        };
        format!(
            "{} at {} a year ({}) from {}, {instalments}",
            self.notional_principal,
            self.nominal_interest_rate,
            self.day_count(),
            self.initial_exchange_date,
        )
    }
}

/// A short name and the rate, or why there is none.
type Cost = (&'static str, Result<Apr, NoRate>);

/// Prints the instalments that the terms of a loan plan.
pub(crate) fn schedule(options: &Options) -> Outcome {
    let terms = TermsFile::read(&options.terms)?;
    let plan = terms.plan();
    let text = match options.format {
        Format::Table => table(&terms, &plan),
        Format::Json => json(&terms, &plan)?,
        Format::Csv => csv(&terms, &plan)?,
    };
    print!("{text}");
    Ok(())
}

/// Prints what a loan or dated flows cost a year.
pub(crate) fn apr(options: &AprOptions) -> Outcome {
    let text = match (&options.terms, &options.flows) {
        (Some(path), _) => {
            let terms = TermsFile::read(path)?;
            let rates = known(path, terms.rates(&terms.plan()))?;
            format!("{}\n{}\n{}", terms.title(), received(&terms), costs(&rates))
        }
        (None, Some(path)) => {
            let (flows, currency) = read_flows(path, options.currency.as_deref())?;
            let eu = match options.days {
                true => apr::eu_in(Times::Days, &flows),
                false => apr::eu(&flows),
            };
            let rates = known(path, vec![("EU", eu), ("US", apr::regulation_z(&flows))])?;
            format!("{}\n{}", total(&flows, currency), costs(&rates))
        }
        (None, None) => return Err(Failure("name a file with --terms or --flows".to_owned())),
    };
    print!("{text}");
    Ok(())
}

/// The rates, if there is one at least.
fn known(path: &Path, rates: Vec<Cost>) -> Outcome<Vec<Cost>> {
    match rates.first() {
        Some((_, Err(reason))) if rates.iter().all(|(_, rate)| rate.is_err()) => {
            Err(Failure(format!("{}: {reason}", path.display())))
        }
        _ => Ok(rates),
    }
}

fn received(terms: &TermsFile) -> String {
    let show = |amount| terms.currency().show(amount);
    match terms.fees() {
        Amount::ZERO => "no fees\n".to_owned(),
        fees => format!(
            "fees {}, the borrower receives {}\n",
            show(fees),
            show(terms.received())
        ),
    }
}

fn total(flows: &[Flow], currency: Currency) -> String {
    let sum = |sign: i64| {
        let amounts = flows.iter().map(|flow| Amount(sign * flow.amount.0));
        currency.show(amounts.filter(|amount| amount.is_positive()).sum())
    };
    format!("{} advanced, {} paid back\n", sum(-1), sum(1))
}

fn costs(rates: &[Cost]) -> String {
    let mut text = "What it costs a year\n".to_owned();
    for (name, rate) in rates {
        // Writing to a string cannot fail.
        let _ = match rate {
            Ok(apr) => writeln!(text, "  {:>9}  {}", apr.disclosed(), apr.basis),
            Err(reason) => writeln!(text, "  {:>9}  {name}: {reason}", "none"),
        };
    }
    text
}

fn table(terms: &TermsFile, plan: &[Instalment]) -> String {
    let show = |amount| terms.currency().grouped(amount);
    let mut grid = Grid::new(
        0,
        ["", "due", "principal", "interest", "instalment", "balance"],
    );
    for row in plan {
        let amounts = [row.principal, row.interest, row.total(), row.balance];
        let amounts = amounts.map(show);
        grid.row(
            [row.number.to_string(), row.day.to_string()]
                .into_iter()
                .chain(amounts),
        );
    }
    let [principal, interest, all] = totals(plan).map(show);
    grid.row(["", "total", &principal, &interest, &all, ""]);
    format!(
        "{}\n{}\n{}\n{}",
        terms.title(),
        received(terms),
        grid.plain(2),
        costs(&terms.rates(plan))
    )
}

/// Principal, interest and both.
fn totals(plan: &[Instalment]) -> [Amount; 3] {
    let principal = plan.iter().map(|row| row.principal).sum();
    let interest = plan.iter().map(|row| row.interest).sum();
    [principal, interest, principal + interest]
}

fn csv(terms: &TermsFile, plan: &[Instalment]) -> Outcome<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record([
        "number",
        "due",
        "principal",
        "interest",
        "instalment",
        "balance",
        "currency",
    ])?;
    let currency = terms.currency();
    for row in plan {
        let amounts = [row.principal, row.interest, row.total(), row.balance];
        let amounts = amounts.map(|amount| currency.plain(amount));
        let head = [row.number.to_string(), row.day.to_string()];
        let cells = head.into_iter().chain(amounts);
        writer.write_record(cells.chain([currency.to_string()]))?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Failure(error.to_string()))?;
    Ok(String::from_utf8(bytes)?)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'c> {
    currency: &'c str,
    minor_unit_digits: u32,
    contract_type: &'static str,
    notional_principal: i64,
    nominal_interest_rate: String,
    day_count_convention: String,
    initial_exchange_date: String,
    fees: i64,
    received: i64,
    instalments: Vec<Row>,
    totals: Totals,
    rates: Vec<RateRow>,
}

#[derive(Serialize)]
struct Row {
    number: u16,
    due: String,
    principal: i64,
    interest: i64,
    instalment: i64,
    balance: i64,
}

#[derive(Serialize)]
struct Totals {
    principal: i64,
    interest: i64,
    instalment: i64,
}

#[derive(Serialize)]
struct RateRow {
    method: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unrounded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<String>,
    /// Why there is no rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    none: Option<String>,
}

fn json(terms: &TermsFile, plan: &[Instalment]) -> Outcome<String> {
    let rows = plan.iter().map(|row| Row {
        number: row.number,
        due: row.day.to_string(),
        principal: row.principal.0,
        interest: row.interest.0,
        instalment: row.total().0,
        balance: row.balance.0,
    });
    let rates = terms.rates(plan).into_iter().map(|(method, rate)| {
        let apr = rate.as_ref().ok();
        RateRow {
            method,
            rate: apr.map(Apr::disclosed),
            unrounded: apr.map(|apr| apr.rate.to_string()),
            basis: apr.map(|apr| apr.basis.to_string()),
            none: rate.as_ref().err().map(NoRate::to_string),
        }
    });
    let [principal, interest, instalment] = totals(plan).map(|amount| amount.0);
    let currency = terms.currency();
    let report = Report {
        currency: currency.code(),
        minor_unit_digits: currency.digits(),
        contract_type: match terms.contract_type {
            ContractType::Annuity => "ANN",
            ContractType::LinearAmortizer => "LAM",
            ContractType::PrincipalAtMaturity => "PAM",
        },
        notional_principal: terms.notional_principal.amount.0,
        nominal_interest_rate: terms.nominal_interest_rate.to_string(),
        day_count_convention: terms.day_count().to_string().replace('/', ""),
        initial_exchange_date: terms.initial_exchange_date.to_string(),
        fees: terms.fees().0,
        received: terms.received().0,
        instalments: rows.collect(),
        totals: Totals {
            principal,
            interest,
            instalment,
        },
        rates: rates.collect(),
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

/// The flows of a CSV file, all in one currency.
fn read_flows(path: &Path, given: Option<&str>) -> Outcome<(Vec<Flow>, Currency)> {
    let text = read_text(path)?;
    let mut reader = ::csv::ReaderBuilder::new()
        .trim(::csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let fail = |line: u64, what: &str| Failure(format!("{}, line {line}{what}", path.display()));
    let header = reader.headers()?.clone();
    let place = |name: &str| header.iter().position(|column| column == name);
    let missing = |name: &str| fail(1, &format!(": there is no column `{name}`"));
    let date_at = place("date").ok_or_else(|| missing("date"))?;
    let amount_at = place("amount").ok_or_else(|| missing("amount"))?;
    let mut currency = match (given, place("currency")) {
        (Some(code), _) => Some(code.parse::<Currency>()?),
        (None, Some(_)) => None,
        (None, None) => {
            let what = ": there is no column `currency`; add it or give --currency";
            return Err(fail(1, what));
        }
    };
    let mut flows = Vec::new();
    let mut volume = 0i128;
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, |position| position.line());
            fail(line, ": has more or fewer cells than the header")
        })?;
        let line = record.position().map_or(1, |position| position.line());
        let wrong = |column: &str, error: &dyn std::fmt::Display| {
            fail(line, &format!(", {column}: {error}"))
        };
        if let Some(cell) = place("currency").and_then(|at| record.get(at)) {
            let found: Currency = cell.parse().map_err(|error| wrong("currency", &error))?;
            let expected = *currency.get_or_insert(found);
            if found != expected {
                let message = format!("`{found}` differs from {expected}; flows have one currency");
                return Err(wrong("currency", &message));
            }
        }
        let digits = currency.map_or(2, Currency::digits);
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let day = cell(date_at)
            .parse()
            .map_err(|error| wrong("date", &error))?;
        let minor = parse_decimal(cell(amount_at), digits, None);
        let amount = Amount(minor.map_err(|error| wrong("amount", &error))?);
        flows.push(Flow { day, amount });
        volume += i128::from(amount.0.abs());
        if volume > i128::from(Amount::MAX.0) {
            return Err(wrong("amount", &"the flows add up to too much"));
        }
    }
    let currency = currency.ok_or_else(|| fail(1, ": there are no flows below the header"))?;
    Ok((flows, currency))
}
