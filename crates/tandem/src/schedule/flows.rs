//! Dated flows, as a CSV file of the user writes them.

use std::fmt::Display;
use std::path::Path;

use tandem_domain::cost::apr::Flow;
use tandem_domain::money::{Amount, Currency, parse_decimal};

use crate::fail::{Failure, Outcome};
use crate::table::{Fault, Table};

/// The flows of a CSV file, all in one currency.
pub(super) fn read_flows(path: &Path, given: Option<&str>) -> Outcome<(Vec<Flow>, Currency)> {
    let mut table = Table::open(path)?;
    let date_at = table.wanted("date", "")?;
    let amount_at = table.wanted("amount", "")?;
    let currency_at = match given {
        Some(_) => table.column("currency"),
        None => Some(table.wanted("currency", "; add it or give --currency")?),
    };
    let mut currency = given.map(str::parse::<Currency>).transpose()?;
    let mut flows = Vec::new();
    let mut volume = 0i128;
    while let Some(flow) = table.read(|row, _| {
        let wrong = |at: usize| move |error: &dyn Display| Fault::at(at, error.to_string());
        if let Some(at) = currency_at {
            let found: Currency = row.text(at)?.parse().map_err(|error| wrong(at)(&error))?;
            let expected = *currency.get_or_insert(found);
            if found != expected {
                let message = format!("`{found}` differs from {expected}; flows have one currency");
                return Err(Fault::at(at, message));
            }
        }
        let digits = currency.map_or(2, Currency::digits);
        let day = row.text(date_at)?.parse();
        let minor = parse_decimal(&row.text(amount_at)?, digits, None);
        let flow = Flow {
            day: day.map_err(|error| wrong(date_at)(&error))?,
            amount: Amount(minor.map_err(|error| wrong(amount_at)(&error))?),
        };
        volume += i128::from(flow.amount.0.abs());
        if volume > i128::from(Amount::MAX.0) {
            return Err(Fault::at(amount_at, "the flows add up to too much"));
        }
        Ok(flow)
    }) {
        flows.push(flow.map_err(|problem| Failure(problem.to_string()))?);
    }
    let currency = currency.filter(|_| !flows.is_empty()).ok_or_else(|| {
        let path = path.display();
        Failure(format!(
            "{path}, line 1: there are no flows below the header"
        ))
    })?;
    Ok((flows, currency))
}
