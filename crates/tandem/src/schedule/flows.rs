//! Dated flows, as a CSV file of the user writes them.

use std::path::Path;

use tandem_domain::cost::apr::Flow;
use tandem_domain::money::{Amount, Currency, parse_decimal};

use crate::fail::{Failure, Outcome};
use crate::programme::read_text;

/// The flows of a CSV file, all in one currency.
pub(super) fn read_flows(path: &Path, given: Option<&str>) -> Outcome<(Vec<Flow>, Currency)> {
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
