//! Evaluates a contract and compares what comes out with what the file expects.

use super::file::{Case, Expected, FIGURES};
use super::market::Market;
use super::number::Decimal;
use super::schedule::Course;
use super::state::{Found, State};
use super::stop::Stop;
use super::terms::Terms;

/// How a contract fared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All events are as expected.
    Pass,
    /// Some event is not, or a term cannot be read.
    Fail(String),
    /// A term asks for something that is not supported.
    Unsupported(String),
}

/// Evaluates a contract.
pub(super) fn judge(case: &Case, tolerance: Decimal) -> Verdict {
    match run(case) {
        Ok((terms, found, expected)) => match difference(&terms, &found, &expected, tolerance) {
            None => Verdict::Pass,
            Some(difference) => Verdict::Fail(difference),
        },
        Err(stop @ Stop::Malformed { .. }) => Verdict::Fail(stop.to_string()),
        Err(stop @ Stop::Unsupported { .. }) => Verdict::Unsupported(stop.to_string()),
    }
}

type Outcome = (Terms, Vec<Found>, Vec<Expected>);

fn run(case: &Case) -> Result<Outcome, Stop> {
    let terms = Terms::read(case)?;
    let (to, observed) = (case.to()?, case.observed()?);
    let expected = case.expected()?;
    let market = Market(case.series()?);
    let course = Course::new(&terms, &observed, to)?;
    let mut state = State::new(&terms, &course, &market)?;
    let mut found = Vec::new();
    for event in course.events(&observed, to)? {
        let outcome = state.apply(&event)?;
        if event.shown {
            found.push(outcome);
        }
    }
    Ok((terms, found, expected))
}

/// Principal above which the tolerance for amounts grows with it: published figures are binary
/// floats of about 16 digits.
const LARGE: i64 = 1_000_000;

/// The first event that differs, in words.
fn difference(
    terms: &Terms,
    found: &[Found],
    expected: &[Expected],
    tolerance: Decimal,
) -> Option<String> {
    let notional = Decimal::new(terms.notional.0.into(), terms.digits).magnitude();
    let millions = notional.times(Decimal::new(1, LARGE.ilog10()));
    let factor = millions.filter(|millions| *millions > Decimal::ONE);
    let wide = factor
        .and_then(|factor| factor.times(tolerance))
        .unwrap_or(tolerance);
    for place in 0..found.len().max(expected.len()) {
        let what = match (expected.get(place), found.get(place)) {
            (Some(expected), Some(found)) => {
                let names = differing(&terms.currency, expected, found, tolerance, wide);
                if names.is_empty() {
                    continue;
                }
                let (mut wanted, mut got) = (of_file(expected), of_run(found));
                if let Some(written) = expected
                    .currency
                    .as_ref()
                    .filter(|_| names.contains(&"currency"))
                {
                    wanted = format!("{wanted} {written}");
                    got = format!("{got} {}", terms.currency);
                }
                format!("{}: expected {wanted}, found {got}", names.join(", "))
            }
            (Some(expected), None) => {
                format!("expected {}, found no more events", of_file(expected))
            }
            (None, Some(found)) => format!("expected no more events, found {}", of_run(found)),
            (None, None) => continue,
        };
        return Some(format!("event {}, {what}", place + 1));
    }
    None
}

/// Names of all that differs in an event.
fn differing(
    currency: &str,
    expected: &Expected,
    found: &Found,
    narrow: Decimal,
    wide: Decimal,
) -> Vec<&'static str> {
    let mut names = Vec::new();
    if expected.time != found.time {
        names.push("eventDate");
    }
    if expected.kind != found.kind.name() {
        names.push("eventType");
    }
    if expected
        .currency
        .as_ref()
        .is_some_and(|written| written != currency)
    {
        names.push("currency");
    }
    let figures = expected.figures.iter().zip(found.figures).zip(FIGURES);
    for ((expected, found), name) in figures {
        let tolerance = if name == "nominalInterestRate" {
            narrow
        } else {
            wide
        };
        if expected.is_some_and(|expected| !expected.is_near(found, tolerance)) {
            names.push(name);
        }
    }
    names
}

fn of_file(event: &Expected) -> String {
    let figure =
        |figure: Option<Decimal>| figure.map_or("-".to_owned(), |figure| figure.to_string());
    let figures = event.figures.map(figure).join(" ");
    format!("{} {} {figures}", event.time, event.kind)
}

fn of_run(event: &Found) -> String {
    let figures = event.figures.map(|figure| figure.to_string()).join(" ");
    format!("{} {} {figures}", event.time, event.kind.name())
}
