//! Persons: data that stays out of the books.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;
use tandem_client::system_time;

use super::shape::{Access, Person, PersonStored};
use super::{Api, Body};
use crate::Service;
use crate::access::Caller;
use crate::problem::Problem;
use crate::trace;
use crate::vault::VaultError;

fn failed(error: &VaultError) -> Problem {
    match error {
        VaultError::Registry(_) => Api::unreachable(error),
        _ => Api::failed(error),
    }
}

/// Keeps a person's data, encrypted, and gives a token: send it as `borrower` in applications.
#[utoipa::path(post, path = "/v1/persons", tag = "persons", request_body = Person,
    operation_id = "storePerson", security(("oauth" = ["persons:write"])),
    responses((status = 201, body = PersonStored)))]
pub(super) async fn store(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Body(person): Body<Person>,
) -> Result<impl IntoResponse, Problem> {
    caller.require("persons:write")?;
    let data = Value::Object(person.data);
    let token = service.vault.store(&caller, &data, system_time());
    let token = token.map_err(|error| failed(&error))?;
    trace::about("person", &token);
    Ok((StatusCode::CREATED, Json(PersonStored { token })))
}

/// A person's data, for the party that stored it. That it was read is noted.
#[utoipa::path(get, path = "/v1/persons/{token}", tag = "persons",
    params(("token" = String, Path,)),
    operation_id = "readPerson", security(("oauth" = ["persons:read"])),
    responses((status = 200, body = Person)))]
pub(super) async fn read(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(token): Path<String>,
) -> Result<Json<Person>, Problem> {
    caller.require("persons:read")?;
    let found = service.vault.read(&caller, &token, system_time());
    let found = found.map_err(|error| failed(&error))?;
    let Some(Value::Object(data)) = found else {
        return Err(Problem::not_found("person"));
    };
    Ok(Json(Person { data }))
}

/// Erases a person: its key first, so that no backup of the data can be read either.
#[utoipa::path(delete, path = "/v1/persons/{token}", tag = "persons",
    params(("token" = String, Path,)),
    operation_id = "erasePerson", security(("oauth" = ["persons:write"])),
    responses((status = 204)))]
pub(super) async fn erase(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(token): Path<String>,
) -> Result<StatusCode, Problem> {
    caller.require("persons:write")?;
    let erased = service.vault.erase(&caller, &token, system_time());
    match erased.map_err(|error| failed(&error))? {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(Problem::not_found("person")),
    }
}

/// Who stored, read or erased a person's data, newest first.
#[utoipa::path(get, path = "/v1/persons/{token}/accesses", tag = "persons",
    params(("token" = String, Path,)),
    operation_id = "listPersonAccesses", security(("oauth" = ["persons:read"])),
    responses((status = 200, body = Vec<Access>)))]
pub(super) async fn accesses(
    State(service): State<Arc<Service>>,
    caller: Caller,
    Path(token): Path<String>,
) -> Result<Json<Vec<Access>>, Problem> {
    caller.require("persons:read")?;
    let found = service.vault.accesses(&caller.party, &token);
    let found = found.map_err(|error| failed(&error))?;
    if found.is_empty() {
        return Err(Problem::not_found("person"));
    }
    let shown = found.into_iter().map(|access| Access {
        at: jiff::Timestamp::from_second(access.at)
            .unwrap_or_default()
            .to_string(),
        client: access.client,
        what: access.what,
    });
    Ok(Json(shown.collect()))
}
