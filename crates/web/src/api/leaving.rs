//! Calls that are to go: what their answers say of it (RFC 9745, RFC 8594).
//!
//! A call is marked in `common.json`, under its path and method, with `deprecated`, the day since
//! when it is (`x-deprecated`) and the day on which it goes (`x-sunset`), at midnight UTC.

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use jiff::civil::Date;
use jiff::fmt::rfc2822::DateTimePrinter;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::openapi::{DESCRIPTION, calls};

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");

/// Adds to an answer that its call is to go, if it is.
pub(crate) fn announce(method: &Method, route: &str, headers: &mut HeaderMap) {
    static LEAVING: LazyLock<Leaving> = LazyLock::new(|| Leaving::of(&DESCRIPTION));
    LEAVING.announce(method, route, headers);
}

/// The fields, by route and method.
struct Leaving(HashMap<String, Vec<(Method, [HeaderValue; 3])>>);

impl Leaving {
    fn of(document: &Value) -> Leaving {
        let mut leaving: HashMap<_, Vec<_>> = HashMap::new();
        for (route, method, operation) in calls(document) {
            if let Some(marked) = marked(method, operation) {
                leaving.entry(route.clone()).or_default().push(marked);
            }
        }
        Leaving(leaving)
    }

    fn announce(&self, method: &Method, route: &str, headers: &mut HeaderMap) {
        let marked = self.0.get(route).into_iter().flatten();
        for (_, [since, until, link]) in marked.filter(|(marked, _)| marked == method) {
            headers.insert(DEPRECATION, since.clone());
            headers.insert(SUNSET, until.clone());
            headers.append(header::LINK, link.clone());
        }
    }
}

/// What answers of a call say, if it is to go.
fn marked(method: &str, operation: &Value) -> Option<(Method, [HeaderValue; 3])> {
    let since = midnight(&operation["x-deprecated"])?;
    let until = midnight(&operation["x-sunset"])?;
    let until = DateTimePrinter::new().timestamp_to_rfc9110_string(&until);
    let call = operation["operationId"].as_str()?;
    let values = [
        format!("@{}", since.as_second()),
        until.ok()?,
        format!("</docs#{call}>; rel=\"deprecation\""),
    ];
    let values = values.map(|value| HeaderValue::try_from(value).expect("ASCII"));
    Some((method.to_uppercase().parse().ok()?, values))
}

fn midnight(day: &Value) -> Option<jiff::Timestamp> {
    let day: Date = day.as_str()?.parse().ok()?;
    TimeZone::UTC.to_timestamp(day.into()).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_call_that_is_to_go_says_since_when_and_until_when() {
        let mut document = DESCRIPTION.clone();
        let call = &mut document["paths"]["/v1/agreements/{agreement}/limits"]["get"];
        call["x-deprecated"] = json!("2027-03-01");
        call["x-sunset"] = json!("2028-03-01");
        let leaving = Leaving::of(&document);
        let told = |method: Method, route: &str| {
            let mut headers = HeaderMap::new();
            leaving.announce(&method, route, &mut headers);
            let told = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}\n", value.to_str().expect("ASCII")));
            told.collect::<String>()
        };
        assert_eq!(
            told(Method::GET, "/v1/agreements/{agreement}/limits"),
            "deprecation: @1803859200\n\
             sunset: Wed, 01 Mar 2028 00:00:00 GMT\n\
             link: </docs#listLimits>; rel=\"deprecation\"\n"
        );
        assert_eq!(told(Method::POST, "/v1/agreements/{agreement}/limits"), "");
        assert_eq!(told(Method::GET, "/v1/agreements"), "");
    }

    #[test]
    fn a_call_that_is_marked_has_both_days() {
        for (path, method, operation) in calls(&DESCRIPTION) {
            let days = ["x-deprecated", "x-sunset"].map(|day| midnight(&operation[day]));
            let marked = operation["deprecated"] == json!(true);
            assert!(
                days.iter().all(|day| day.is_some() == marked),
                "{method} {path}: deprecated, x-deprecated and x-sunset go together"
            );
        }
    }
}
