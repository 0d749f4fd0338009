//! A schedule for people, as JSON and as CSV.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_domain::calendar::{Period, Unit};
use tandem_domain::cost::apr::{Apr, Flow, NoRate};
use tandem_domain::loan::Instalment;
use tandem_domain::money::{Amount, Currency, Rate};

use super::terms::{ContractType, Cost, TermsFile};
use crate::export::grid::Grid;
use crate::fail::{Failure, Outcome};

/// What the loan is, and what the borrower receives.
pub(super) fn head(terms: &TermsFile) -> String {
    let facts: String = facts(terms)
        .iter()
        .map(|fact| format!("{fact}\n"))
        .collect();
    format!("{}\n{facts}{}", title(terms), received(terms))
}

fn title(terms: &TermsFile) -> String {
    let count = terms.instalments;
    let (kind, rest) = match terms.contract_type {
        _ if count == 1 => ("", ""),
        ContractType::Annuity => ("equal ", ""),
        ContractType::LinearAmortizer => ("", " of equal principal"),
        ContractType::NegativeAmortizer => ("fixed ", ""),
        ContractType::PrincipalAtMaturity => ("", " of interest, all principal with the last"),
    };
    // A fixed payment may redeem the principal earlier.
    let most = match terms.contract_type {
        ContractType::NegativeAmortizer => "at most ",
        _ => "",
    };
    let plural = if count == 1 { "" } else { "s" };
    let cycle = match terms.cycle_of_principal_redemption {
        Period::MONTH => String::new(),
        period => format!(", {}", every(period)),
    };
    format!(
        "{} at {}{} a year ({}) from {}, {most}{count} {kind}instalment{plural}{rest}{cycle}",
        terms.notional_principal,
        terms.nominal_interest_rate,
        if terms.flat_rate { " flat" } else { "" },
        terms.day_count(),
        terms.initial_exchange_date,
    )
}

/// `one every 2 weeks`
fn every(period: Period) -> String {
    let unit = match period.unit {
        Unit::Day => "day",
        Unit::Week => "week",
        Unit::Month => "month",
        Unit::Quarter => "quarter",
        Unit::HalfYear => "half-year",
        Unit::Year => "year",
    };
    match period.count {
        1 => format!("one every {unit}"),
        count => format!("one every {count} {unit}s"),
    }
}

/// What is particular about the loan, a line each.
fn facts(terms: &TermsFile) -> Vec<String> {
    let (currency, principal) = (terms.currency(), terms.notional_principal.amount);
    let of = |rate: Rate| {
        let amount = principal.at(rate, tandem_domain::money::Rounding::HalfUp);
        currency.show(amount)
    };
    let mut facts = Vec::new();
    if terms.flat_rate {
        facts
            .push("interest is counted on the principal disbursed until the loan is repaid".into());
    }
    for step in &terms.rate_steps {
        let rate = step.rate(terms.nominal_interest_rate);
        facts.push(format!(
            "rate {rate} from instalment {}",
            step.from_instalment
        ));
    }
    if let Some(payment) = terms.payment() {
        let payment = currency.show(payment);
        facts.push(format!(
            "{payment} each time; interest beyond it becomes principal"
        ));
    }
    match terms.interest_only {
        0 => {}
        1 => facts.push("the first instalment is of interest alone".into()),
        first => facts.push(format!(
            "the first {first} instalments are of interest alone"
        )),
    }
    if terms.balloon != Rate::ZERO {
        let (rate, amount) = (terms.balloon, of(terms.balloon));
        facts.push(format!(
            "balloon of {rate} with the last instalment: {amount}"
        ));
    }
    if terms.down_payment != Rate::ZERO {
        let (rate, amount) = (terms.down_payment, of(terms.down_payment));
        facts.push(format!("down payment of {rate} at once: {amount}"));
    }
    if terms.keeps_month_end() {
        facts.push("due on the last day of a month if it was disbursed on one (EOM)".into());
    }
    if let Some((convention, calendar)) = terms.business_days() {
        let days = match calendar {
            "NC" => "every day is a business day".to_owned(),
            "MF" => "Monday to Friday are business days".to_owned(),
            file => format!("business days as in {file}"),
        };
        facts.push(format!("due dates move by {convention}; {days}"));
    }
    if terms.instalment_fee != Rate::ZERO {
        let (rate, amount) = (terms.instalment_fee, of(terms.instalment_fee));
        facts.push(format!(
            "fee of {rate} of the principal with each instalment: {amount}"
        ));
    }
    facts
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

pub(super) fn total(flows: &[Flow], currency: Currency) -> String {
    let sum = |sign: i64| {
        let amounts = flows.iter().map(|flow| Amount(sign * flow.amount.0));
        currency.show(amounts.filter(|amount| amount.is_positive()).sum())
    };
    format!("{} advanced, {} paid back\n", sum(-1), sum(1))
}

pub(super) fn costs(rates: &[Cost]) -> String {
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

pub(super) fn table(terms: &TermsFile, plan: &[Instalment]) -> String {
    let show = |amount| terms.currency().grouped(amount);
    let with_fee = terms.instalment_fee != Rate::ZERO;
    let row = |cells: [String; 7]| {
        let shown = cells.into_iter().enumerate();
        let shown = shown.filter(|(place, _)| *place != FEE || with_fee);
        shown.map(|(_, cell)| cell).collect::<Vec<_>>()
    };
    // The first column needs no name.
    let mut names = NAMES.map(str::to_owned);
    names[0].clear();
    let mut grid = Grid::new(0, row(names));
    for instalment in plan {
        let number = match instalment.number {
            0 => "down".to_owned(),
            number => number.to_string(),
        };
        let [principal, interest, fee, all, balance] = amounts(instalment).map(show);
        let day = instalment.day.to_string();
        grid.row(row([number, day, principal, interest, fee, all, balance]));
    }
    let [principal, interest, fee, all] = totals(plan).map(show);
    let empty = String::new;
    let total = "total".to_owned();
    grid.row(row([
        empty(),
        total,
        principal,
        interest,
        fee,
        all,
        empty(),
    ]));
    format!(
        "{}\n{}\n{}",
        head(terms),
        grid.plain(2),
        costs(&terms.rates(plan))
    )
}

/// Columns of an instalment.
const NAMES: [&str; 7] = [
    "number",
    "due",
    "principal",
    "interest",
    "fee",
    "instalment",
    "balance",
];

/// Place of the fee in a row.
const FEE: usize = 4;

/// Principal, interest, fee, all of them, and the balance.
fn amounts(row: &Instalment) -> [Amount; 5] {
    [
        row.principal,
        row.interest,
        row.fee,
        row.total(),
        row.balance,
    ]
}

/// Principal, interest, fees and all of them.
fn totals(plan: &[Instalment]) -> [Amount; 4] {
    let sum = |place: usize| plan.iter().map(|row| amounts(row)[place]).sum();
    [sum(0), sum(1), sum(2), sum(3)]
}

pub(super) fn csv(terms: &TermsFile, plan: &[Instalment]) -> Outcome<String> {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    writer.write_record(NAMES.into_iter().chain(["currency"]))?;
    let currency = terms.currency();
    for row in plan {
        let amounts = amounts(row).map(|amount| currency.plain(amount));
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
    day_count_convention: &'static str,
    initial_exchange_date: String,
    cycle_of_principal_redemption: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_of_month_convention: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    business_day_convention: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calendar: Option<&'c str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_principal_redemption_payment: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interest_only: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    balloon: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    down_payment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flat_rate: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    rate_steps: Vec<StepRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instalment_fee: Option<String>,
    fees: i64,
    received: i64,
    instalments: Vec<Row>,
    totals: Totals,
    rates: Vec<RateRow>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StepRow {
    from_instalment: u16,
    rate: String,
}

#[derive(Serialize)]
struct Row {
    number: u16,
    due: String,
    principal: i64,
    interest: i64,
    fee: i64,
    instalment: i64,
    balance: i64,
}

#[derive(Serialize)]
struct Totals {
    principal: i64,
    interest: i64,
    fee: i64,
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

pub(super) fn json(terms: &TermsFile, plan: &[Instalment]) -> Outcome<String> {
    let rows = plan.iter().map(|row| {
        let [principal, interest, fee, instalment, balance] = amounts(row).map(|amount| amount.0);
        Row {
            number: row.number,
            due: row.day.to_string(),
            principal,
            interest,
            fee,
            instalment,
            balance,
        }
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
    let [principal, interest, fee, instalment] = totals(plan).map(|amount| amount.0);
    let currency = terms.currency();
    let part = |rate: Rate| (rate != Rate::ZERO).then(|| rate.to_string());
    let steps = terms.rate_steps.iter().map(|step| StepRow {
        from_instalment: step.from_instalment,
        rate: step.rate(terms.nominal_interest_rate).to_string(),
    });
    let report = Report {
        currency: currency.code(),
        minor_unit_digits: currency.digits(),
        contract_type: terms.contract_type.actus(),
        notional_principal: terms.notional_principal.amount.0,
        nominal_interest_rate: terms.nominal_interest_rate.to_string(),
        day_count_convention: terms.day_count().actus(),
        initial_exchange_date: terms.initial_exchange_date.to_string(),
        cycle_of_principal_redemption: terms.cycle_of_principal_redemption.to_string(),
        end_of_month_convention: terms.keeps_month_end().then_some("EOM"),
        business_day_convention: terms.business_days().map(|(convention, _)| convention),
        calendar: terms.business_days().map(|(_, calendar)| calendar),
        next_principal_redemption_payment: terms.payment().map(|payment| payment.0),
        interest_only: (terms.interest_only > 0).then_some(terms.interest_only),
        balloon: part(terms.balloon),
        down_payment: part(terms.down_payment),
        flat_rate: terms.flat_rate.then_some(true),
        rate_steps: steps.collect(),
        instalment_fee: part(terms.instalment_fee),
        fees: terms.fees().0,
        received: terms.received().0,
        instalments: rows.collect(),
        totals: Totals {
            principal,
            interest,
            fee,
            instalment,
        },
        rates: rates.collect(),
    };
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}
