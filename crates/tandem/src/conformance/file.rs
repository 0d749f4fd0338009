//! Reads the published test files: a map of ids to contracts with terms, observations and the
//! events that must come out.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::number::{Decimal, Time, text};
use super::stop::Stop;
use crate::fail::{Failure, Outcome};

/// One contract of a file.
#[derive(Debug)]
pub(super) struct Case {
    /// Its id in the file.
    pub(super) id: String,
    /// The contract as written.
    value: Value,
}

/// A series of observed values, in order of time.
pub(super) type Series = Vec<(Time, Decimal)>;

/// What happened to the contract apart from its schedule.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) time: Time,
    pub(super) kind: String,
    pub(super) value: Decimal,
}

/// An event as the file expects it.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    pub(super) time: Time,
    pub(super) kind: String,
    pub(super) currency: Option<String>,
    /// Payoff, principal, rate and accrued interest, in the order of [`FIGURES`].
    pub(super) figures: [Option<Decimal>; 4],
}

/// Names of an event's figures.
pub(super) const FIGURES: [&str; 4] = [
    "payoff",
    "notionalPrincipal",
    "nominalInterestRate",
    "accruedInterest",
];

/// All contracts of a file.
pub(super) fn read(path: &Path) -> Outcome<Vec<Case>> {
    let bytes = std::fs::read(path).map_err(|error| Failure::io(path, &error))?;
    let wrong = |what: String| Failure(format!("{}: {what}", path.display()));
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| wrong(error.to_string()))?;
    let Value::Object(contracts) = value else {
        return Err(wrong(
            "is not a map of ids to contracts; see docs/spec/conformance.md".to_owned(),
        ));
    };
    let cases = contracts.into_iter().map(|(id, value)| Case { id, value });
    Ok(cases.collect())
}

impl Case {
    /// The contract's terms.
    pub(super) fn terms(&self) -> Result<&Map<String, Value>, Stop> {
        match self.value.get("terms") {
            Some(Value::Object(terms)) => Ok(terms),
            _ => Err(Stop::malformed("terms", "is not a map of terms")),
        }
    }

    /// The contract's type, as far as it can be told.
    pub(super) fn kind(&self) -> &str {
        let kind = self.value.pointer("/terms/contractType");
        kind.and_then(Value::as_str).unwrap_or("?")
    }

    /// The day up to which events are asked for.
    pub(super) fn to(&self) -> Result<Option<Time>, Stop> {
        match self.value.get("to").map(|to| (to, text(to))) {
            None | Some((Value::Null, _)) => Ok(None),
            Some((_, Some(text))) if text.is_empty() => Ok(None),
            Some((value, _)) => time("to", Some(value)).map(Some),
        }
    }

    /// The observed series by their market object codes.
    pub(super) fn series(&self) -> Result<BTreeMap<String, Series>, Stop> {
        let mut all = BTreeMap::new();
        let objects = match self.value.get("dataObserved") {
            None | Some(Value::Null) => return Ok(all),
            Some(Value::Object(objects)) => objects,
            Some(_) => return Err(Stop::malformed("dataObserved", "is not a map of series")),
        };
        for (code, object) in objects {
            let name = format!("dataObserved.{code}");
            let data = list(&format!("{name}.data"), object.get("data"))?;
            let mut series = Vec::with_capacity(data.len());
            for (place, point) in data.iter().enumerate() {
                let name = |field: &str| format!("{name}.data[{place}].{field}");
                series.push((
                    time(&name("timestamp"), point.get("timestamp"))?,
                    decimal(&name("value"), point.get("value"))?,
                ));
            }
            series.sort_by_key(|(time, _)| *time);
            all.insert(code.clone(), series);
        }
        Ok(all)
    }

    /// The observed events, in order of time.
    pub(super) fn observed(&self) -> Result<Vec<Observed>, Stop> {
        let value = match self.value.get("eventsObserved") {
            None | Some(Value::Null) => return Ok(Vec::new()),
            value => value,
        };
        let mut events = Vec::new();
        for (place, event) in list("eventsObserved", value)?.iter().enumerate() {
            let name = |field: &str| format!("eventsObserved[{place}].{field}");
            let value = match event.get("value") {
                None | Some(Value::Null) => Decimal::ZERO,
                value => decimal(&name("value"), value)?,
            };
            events.push(Observed {
                time: time(&name("time"), event.get("time"))?,
                kind: word(&name("type"), event.get("type"))?,
                value,
            });
        }
        events.sort_by_key(|event| event.time);
        Ok(events)
    }

    /// The events that must come out.
    pub(super) fn expected(&self) -> Result<Vec<Expected>, Stop> {
        let results = list("results", self.value.get("results"))?;
        let read = |(place, event): (usize, &Value)| {
            let name = |field: &str| format!("results[{place}].{field}");
            let mut figures = [None; 4];
            for (figure, field) in figures.iter_mut().zip(FIGURES) {
                if let Some(value) = event.get(field).filter(|value| !value.is_null()) {
                    *figure = Some(decimal(&name(field), Some(value))?);
                }
            }
            Ok(Expected {
                time: time(&name("eventDate"), event.get("eventDate"))?,
                kind: word(&name("eventType"), event.get("eventType"))?,
                currency: event.get("currency").and_then(text),
                figures,
            })
        };
        results.iter().enumerate().map(read).collect()
    }
}

fn list<'a>(name: &str, value: Option<&'a Value>) -> Result<&'a [Value], Stop> {
    match value {
        Some(Value::Array(values)) => Ok(values),
        _ => Err(Stop::malformed(name, "is not a list")),
    }
}

fn word(name: &str, value: Option<&Value>) -> Result<String, Stop> {
    let word = value.and_then(text).filter(|text| !text.is_empty());
    word.ok_or_else(|| Stop::malformed(name, "is missing"))
}

/// A point in time.
pub(super) fn time(name: &str, value: Option<&Value>) -> Result<Time, Stop> {
    let text = word(name, value)?;
    Time::parse(&text).ok_or_else(|| {
        let wrong = format!("`{text}` is not a date, for example 2013-01-31T00:00:00");
        Stop::malformed(name, &wrong)
    })
}

/// A number.
pub(super) fn decimal(name: &str, value: Option<&Value>) -> Result<Decimal, Stop> {
    let text = word(name, value)?;
    Decimal::parse(&text).ok_or_else(|| Stop::malformed(name, &format!("`{text}` is not a number")))
}
