//! What happened, as a stream that can be read again from any point.

use axum::Json;
use serde::Deserialize;
use tandem_domain::book::Event as Fact;

use super::list::PageQuery;
use super::shape::Event;
use super::view::Seen;
use super::{Api, Here, Params};
use crate::problem::Problem;
use crate::read::EventRow;

/// A page of a list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct After {
    /// Where the page begins, as the last page said.
    pub(super) cursor: Option<String>,
    /// Items on the page, 1 to 200 [default: 50].
    #[param(minimum = 1, maximum = 200)]
    pub(super) limit: Option<usize>,
}

/// From where on.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// Number of the last event that is known; 0 from the beginning.
    #[serde(default)]
    #[param(format = "uint64")]
    after: u64,
    /// Events at the most, 1 to 200 [default: 50].
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Events that concern the caller, oldest first. Each webhook brings one of these.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/events", tag = "events",
    params(("agreement" = String, Path,), Since),
    operation_id = "listEvents", security(("oauth" = ["events:read"])),
    responses((status = 200, body = Vec<Event>)))]
pub(super) async fn list(
    here: Here,
    Params(since): Params<Since>,
) -> Result<Json<Vec<Event>>, Problem> {
    here.may("events:read")?;
    let page = PageQuery::new(None, since.limit)?;
    let set = here.view.look(|seen| seen.set());
    let rows = here.view.desk.reader().events(set, since.after, page.limit);
    let rows = rows.map_err(|error| Api::failed(&error))?;
    Ok(Json(here.view.look(|seen| {
        rows.iter().map(|row| shown(seen, row)).collect()
    })))
}

/// An event as a party sees it.
pub(crate) fn shown(seen: &Seen<'_>, row: &EventRow) -> Event {
    let subject = row
        .application
        .and_then(|place| seen.book.application_at(place));
    let reference = match &row.event {
        Fact::Decided(decided) => Some(&decided.key),
        Fact::Instructed { key, .. } | Fact::Reversed { key, .. } => Some(key),
        _ => None,
    };
    Event {
        number: row.number,
        type_: row.kind.clone(),
        day: row.day.to_string(),
        subject: subject.map(|record| record.key.to_owned()),
        reference: reference.cloned(),
    }
}
