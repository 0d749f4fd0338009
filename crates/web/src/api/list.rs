//! Lists by cursor, with `Link` headers (RFC 8288).

use axum::Json;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::shape::List;
use crate::problem::Problem;

/// Items on a page, if the caller does not say, and at the most.
const USUAL: usize = 50;
const MOST: usize = 200;

/// Records looked at for one page, so that a filter that finds nothing ends.
const LOOKED_AT: u32 = 100_000;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor(pub(crate) u64);

impl Cursor {
    pub(crate) fn place(place: u32) -> Cursor {
        Cursor(place.into())
    }
}

/// What page is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PageQuery {
    pub(crate) cursor: Option<Cursor>,
    pub(crate) limit: usize,
}

impl PageQuery {
    pub(crate) fn new(cursor: Option<&str>, limit: Option<usize>) -> Result<PageQuery, Problem> {
        let cursor = cursor.map(|text| {
            let unknown = "it is not one that a page gave; begin without a cursor";
            let place = u64::from_str_radix(text, 36);
            place
                .map(Cursor)
                .map_err(|_| Problem::field("query/cursor", unknown))
        });
        let limit = limit.unwrap_or(USUAL);
        if !(1..=MOST).contains(&limit) {
            let message = format!("a page has 1 to {MOST} items");
            return Err(Problem::field("query/limit", message));
        }
        Ok(PageQuery {
            cursor: cursor.transpose()?,
            limit,
        })
    }

    /// Places below the cursor that pass a test, from the newest on, and where the next page
    /// begins.
    pub(crate) fn newest_first(
        &self,
        count: usize,
        passes: impl Fn(u32) -> bool,
    ) -> (Vec<u32>, Option<u32>) {
        let count = count as u32;
        let from = self.cursor.map_or(count, |cursor| {
            u32::try_from(cursor.0).unwrap_or(count).min(count)
        });
        let lowest = from.saturating_sub(LOOKED_AT);
        let mut found = Vec::new();
        for place in (lowest..from).rev() {
            if passes(place) {
                if found.len() == self.limit {
                    return (found, Some(place + 1));
                }
                found.push(place);
            }
        }
        (found, (lowest > 0).then_some(lowest))
    }
}

/// Refuses a filter by what is not one of the names that there are; it would find nothing, and a
/// mistyped one would look like an empty list.
pub(crate) fn known<'a>(
    parameter: &str,
    asked: Option<&str>,
    names: impl IntoIterator<Item = &'a str>,
) -> Result<(), Problem> {
    let Some(asked) = asked else { return Ok(()) };
    let names: Vec<_> = names.into_iter().collect();
    if names.contains(&asked) {
        return Ok(());
    }
    let names = names.join(", ");
    let message = format!("there is no {parameter} `{asked}`; there are {names}");
    Err(Problem::field(format!("query/{parameter}"), message))
}

/// A page on its way to the caller.
pub(crate) struct Listed<T> {
    list: List<T>,
    link: Option<String>,
}

impl<T> Listed<T> {
    /// A page, and where the next one begins; `query` is what was asked.
    pub(crate) fn new(query: &str, items: Vec<T>, next: Option<Cursor>) -> Listed<T> {
        let next = next.map(|Cursor(place)| radix36(place));
        let link = next.as_ref().map(|next| {
            let others = query.split('&').filter(|pair| !pair.is_empty());
            let others = others.filter(|pair| !pair.starts_with("cursor="));
            let mut query: Vec<_> = others.map(str::to_owned).collect();
            query.push(format!("cursor={next}"));
            format!("<?{}>; rel=\"next\"", query.join("&"))
        });
        Listed {
            list: List { items, next },
            link,
        }
    }
}

/// A number in as few letters and digits as the cursor of an address needs.
fn radix36(mut number: u64) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

impl<T: Serialize> IntoResponse for Listed<T> {
    fn into_response(self) -> Response {
        let mut response = Json(self.list).into_response();
        if let Some(link) = self.link.and_then(|link| HeaderValue::from_str(&link).ok()) {
            response.headers_mut().insert(header::LINK, link);
        }
        response
    }
}
