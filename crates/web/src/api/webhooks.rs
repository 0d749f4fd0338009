//! Where events are sent, and how that went.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use serde::Deserialize;

use super::events::After;
use super::list::{Cursor, Listed, PageQuery};
use super::shape::{Delivery, List, Webhook, WebhookRequest};
use super::{Api, Body, Here, Params};
use crate::Service;
use crate::access::Kept;
use crate::problem::{self, FieldError, Problem};
use crate::webhooks::{
    Delivery as Sent, Endpoint, MOST_ENDPOINTS, NewEndpoint, WebhookError, kinds, last_event,
};

/// What the address names.
#[derive(Deserialize)]
pub(super) struct At {
    webhook: String,
    #[serde(default)]
    event: String,
}

/// Has events sent to an address.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/webhooks", tag = "webhooks",
    params(("agreement" = String, Path,)), request_body = WebhookRequest,
    operation_id = "addWebhook", security(("oauth" = ["webhooks:write"])),
    responses((status = 201, body = Webhook)))]
pub(super) async fn add(
    State(service): State<Arc<Service>>,
    here: Here,
    Body(request): Body<WebhookRequest>,
) -> Result<impl IntoResponse, Problem> {
    here.may("webhooks:write")?;
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, detail: String| errors.push(FieldError { pointer, detail });
    if let Err(detail) = service.webhooks.check_url(&request.url) {
        wrong("/url".to_owned(), detail);
    }
    let kinds = kinds();
    for (place, kind) in request.events.iter().enumerate() {
        if !kinds.contains(&kind.as_str()) {
            let known = kinds.join(", ");
            let detail = format!("there are no events `{kind}`; there are {known}");
            wrong(format!("/events/{place}"), detail);
        }
    }
    if !errors.is_empty() {
        return Err(Problem::fields(errors));
    }
    let last = last_event(&here.view.desk).map_err(|error| failed(&error.into()))?;
    let new = NewEndpoint {
        agreement: here.view.desk.name(),
        party: &here.caller.party,
        url: &request.url,
        kinds: &request.events,
        after: request.after.map_or(last, |after| after.min(last)),
    };
    let added = service.webhooks.add(&new, request.scheme);
    let added = added.map_err(|error| failed(&error))?;
    let (endpoint, secret) = added.ok_or_else(|| {
        let message = format!(
            "a party has {MOST_ENDPOINTS} webhooks in an agreement at the most; delete one"
        );
        Problem::new(problem::STATE, message)
    })?;
    let webhook = shown(endpoint)?;
    // Whoever repeats the call gets the webhook, but not the secret.
    let kept = serde_json::to_vec(&webhook).expect("texts become JSON");
    let webhook = Webhook { secret, ..webhook };
    Ok((
        StatusCode::CREATED,
        Extension(Kept(kept.into())),
        Json(webhook),
    ))
}

/// Where events are sent for the caller.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/webhooks", tag = "webhooks",
    params(("agreement" = String, Path,)),
    operation_id = "listWebhooks", security(("oauth" = ["events:read"])),
    responses((status = 200, body = Vec<Webhook>)))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    here: Here,
) -> Result<Json<Vec<Webhook>>, Problem> {
    here.may("events:read")?;
    let found = service
        .webhooks
        .of(here.view.desk.name(), &here.caller.party);
    let found = found.map_err(|error| failed(&error))?;
    found
        .into_iter()
        .map(shown)
        .collect::<Result<_, _>>()
        .map(Json)
}

/// One webhook.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/webhooks/{webhook}", tag = "webhooks",
    params(("agreement" = String, Path,), ("webhook" = String, Path,)),
    operation_id = "getWebhook", security(("oauth" = ["events:read"])),
    responses((status = 200, body = Webhook)))]
pub(super) async fn get(
    State(service): State<Arc<Service>>,
    here: Here,
    Path(at): Path<At>,
) -> Result<Json<Webhook>, Problem> {
    here.may("events:read")?;
    shown(find(&service, &here, &at)?).map(Json)
}

/// Ends a webhook; its log goes with it.
#[utoipa::path(delete, path = "/v1/agreements/{agreement}/webhooks/{webhook}", tag = "webhooks",
    params(("agreement" = String, Path,), ("webhook" = String, Path,)),
    operation_id = "removeWebhook", security(("oauth" = ["webhooks:write"])),
    responses((status = 204)))]
pub(super) async fn remove(
    State(service): State<Arc<Service>>,
    here: Here,
    Path(at): Path<At>,
) -> Result<StatusCode, Problem> {
    here.may("webhooks:write")?;
    let endpoint = find(&service, &here, &at)?;
    let removed = service.webhooks.remove(&endpoint.id);
    removed.map_err(|error| failed(&error))?;
    Ok(StatusCode::NO_CONTENT)
}

/// Puts a disabled webhook to work again; it goes on where it stopped.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/webhooks/{webhook}/activation",
    tag = "webhooks", params(("agreement" = String, Path,), ("webhook" = String, Path,)),
    operation_id = "enableWebhook", security(("oauth" = ["webhooks:write"])),
    responses((status = 200, body = Webhook)))]
pub(super) async fn enable(
    State(service): State<Arc<Service>>,
    here: Here,
    Path(at): Path<At>,
) -> Result<Json<Webhook>, Problem> {
    here.may("webhooks:write")?;
    let endpoint = find(&service, &here, &at)?;
    let enabled = service.webhooks.enable(&endpoint.id);
    enabled.map_err(|error| failed(&error))?;
    shown(find(&service, &here, &at)?).map(Json)
}

/// What was sent or is to be sent, newest first.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/webhooks/{webhook}/deliveries",
    tag = "webhooks", params(("agreement" = String, Path,), ("webhook" = String, Path,), After),
    operation_id = "listDeliveries", security(("oauth" = ["events:read"])),
    responses((status = 200, body = List<Delivery>)))]
pub(super) async fn deliveries(
    State(service): State<Arc<Service>>,
    here: Here,
    Path(at): Path<At>,
    Params(after): Params<After>,
) -> Result<Listed<Delivery>, Problem> {
    here.may("events:read")?;
    let endpoint = find(&service, &here, &at)?;
    let page = PageQuery::new(after.cursor.as_deref(), after.limit)?;
    let before = page.cursor.map(|cursor| cursor.0);
    let found = service.webhooks.log(&endpoint.id, before, page.limit + 1);
    let mut found = found.map_err(|error| failed(&error))?;
    let next = (found.len() > page.limit).then(|| Cursor(found[page.limit - 1].event));
    found.truncate(page.limit);
    Ok(here.list(found.into_iter().map(delivery).collect(), next))
}

/// Sends an event once more; if it is not accepted, it is tried as often as a new one.
#[utoipa::path(post, tag = "webhooks",
    path = "/v1/agreements/{agreement}/webhooks/{webhook}/deliveries/{event}/resend",
    params(("agreement" = String, Path,), ("webhook" = String, Path,), ("event" = u64, Path,)),
    operation_id = "resendDelivery", security(("oauth" = ["webhooks:write"])),
    responses((status = 202, body = Delivery)))]
pub(super) async fn resend(
    State(service): State<Arc<Service>>,
    here: Here,
    Path(at): Path<At>,
) -> Result<impl IntoResponse, Problem> {
    here.may("webhooks:write")?;
    let endpoint = find(&service, &here, &at)?;
    if let Some(why) = &endpoint.disabled {
        let message = format!("the webhook is disabled: {why}; activate it first");
        return Err(Problem::new(problem::STATE, message));
    }
    let unknown = || Problem::not_found("delivery");
    let event: u64 = at.event.parse().map_err(|_| unknown())?;
    let find = || {
        let found = service.webhooks.delivery(&endpoint.id, event);
        found.map_err(|error| failed(&error))?.ok_or_else(unknown)
    };
    find()?;
    let resent = service.webhooks.resend(&endpoint.id, event);
    resent.map_err(|error| failed(&error))?;
    Ok((StatusCode::ACCEPTED, Json(delivery(find()?))))
}

/// A webhook of the caller's own.
fn find(service: &Service, here: &Here, at: &At) -> Result<Endpoint, Problem> {
    let found = service.webhooks.find(&at.webhook);
    let found = found.map_err(|error| failed(&error))?;
    let own = |endpoint: &Endpoint| {
        endpoint.agreement == here.view.desk.name() && endpoint.party == here.caller.party
    };
    found
        .filter(own)
        .ok_or_else(|| Problem::not_found("webhook"))
}

fn shown(endpoint: Endpoint) -> Result<Webhook, Problem> {
    let key = endpoint.key().map_err(|error| failed(&error))?;
    let state = match endpoint.disabled {
        None => "active",
        Some(_) => "disabled",
    };
    Ok(Webhook {
        scheme: key.scheme(),
        public_key: key.public_key(),
        secret: None,
        id: endpoint.id,
        url: endpoint.url,
        events: endpoint.kinds,
        state: state.to_owned(),
        reason: endpoint.disabled,
    })
}

fn delivery(sent: Sent) -> Delivery {
    Delivery {
        event: sent.event,
        state: sent.state().to_owned(),
        type_: sent.kind,
        tries: sent.tries,
        tried_at: sent.tried_at,
        next_at: sent.next_at,
        status: sent.status,
        error: sent.error,
    }
}

fn failed(error: &WebhookError) -> Problem {
    match error {
        WebhookError::Registry(_) => Api::unreachable(error),
        _ => Api::failed(error),
    }
}
