//! Sales that wait for their other side.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;
use tandem_domain::book::words;
use tandem_domain::loan::{Action, Sale};

use super::shape::{Money, UnmatchedSale};
use super::view::Seen;
use super::{Api, Here};
use crate::problem::Problem;
use crate::sales::{self, Instructed};
use crate::webhooks::UNMATCHED;

/// Sales that the caller or its counterparty has instructed and the other has not, oldest first. The
/// buyer is told here what it is asked to buy, also of a loan that does not concern it so far.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/sales", tag = "loans",
    params(("agreement" = String, Path,)),
    operation_id = "listUnmatchedSales", security(("oauth" = ["loans:read"])),
    responses((status = 200, body = Vec<UnmatchedSale>)))]
pub(super) async fn list(here: Here) -> Result<Json<Vec<UnmatchedSale>>, Problem> {
    here.may("loans:read")?;
    let waiting = sales::waiting(&here.registry, &here.view);
    let waiting = waiting.map_err(|error| Api::unreachable(&error))?;
    let shown = |seen: &Seen<'_>| waiting.iter().filter_map(|one| shown(seen, one)).collect();
    Ok(Json(here.view.look(shown)))
}

fn shown(seen: &Seen<'_>, one: &Instructed) -> Option<UnmatchedSale> {
    let (outstanding, days_past_due) = one.standing(seen);
    let action = Action::Transfer(Sale {
        seller: seen.agreement.party_id(&one.seller)?,
        buyer: seen.agreement.party_id(&one.buyer)?,
        part: one.part,
        price: one.price,
    });
    Some(UnmatchedSale {
        reference: (one.party == seen.id()).then(|| one.key.clone()),
        loan: one.loan.clone(),
        seller: one.seller.clone(),
        buyer: one.buyer.clone(),
        waits_for: one.other().to_owned(),
        part: one.part.to_string(),
        price: one.price.to_string(),
        instruction: words::write(&action, seen.agreement),
        value_date: one.value_date.to_string(),
        valid_to: one.valid_to.to_string(),
        outstanding: Money::of(outstanding, seen.agreement.currency()),
        days_past_due,
    })
}

/// What a webhook says of a sale that waits: that there is one, as events do.
#[derive(Serialize)]
pub(crate) struct Told<'a> {
    #[serde(rename = "type")]
    type_: &'static str,
    subject: &'a str,
}

/// A sale that waits, as its other side is told of it.
pub(crate) fn told(one: &Instructed) -> Told<'_> {
    Told {
        type_: UNMATCHED,
        subject: &one.loan,
    }
}

/// Takes back an instruction of the caller, by its key, while it waits for its other side.
#[utoipa::path(delete, path = "/v1/agreements/{agreement}/sales/{reference}", tag = "loans",
    params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "takeSaleBack", security(("oauth" = ["loans:write"])),
    responses((status = 204)))]
pub(super) async fn take_back(here: Here) -> Result<StatusCode, Problem> {
    here.may("loans:write")?;
    let (book, party) = (here.view.desk.name(), &here.caller.party);
    let taken = sales::take_back(&here.registry, book, party, &here.reference);
    match taken.map_err(|error| Api::unreachable(&error))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("sale that waits")),
    }
}
