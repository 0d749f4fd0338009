//! The open API: what partners' systems call.

mod applications;
mod books;
mod bulk;
#[cfg(test)]
mod contract;
mod decider;
mod events;
mod leaving;
mod list;
mod loans;
mod openapi;
mod persons;
mod reference;
mod refused;
mod sales;
mod sandbox;
pub mod shape;
mod underwriting;
pub mod view;
mod webhooks;

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Display;
use std::iter;
use std::sync::Arc;

use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router, body};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;

use crate::Service;
use crate::access::{Caller, Gate, Money, Reads, layer};
use crate::problem::{self, Problem};
use crate::registry::Registry;
use list::{Cursor, Listed};
use view::View;

pub use applications::show as show_application;
pub use decider::Deciders;
pub(crate) use events::shown as show_event;
pub(crate) use leaving::announce;
pub(crate) use loans::permit;
pub use loans::show as show_loan;
pub use openapi::document;
pub(crate) use reference::show as docs;
pub(crate) use sales::told as show_sale;

/// What the API answers with where something failed.
pub(crate) struct Api;

impl Api {
    /// A failure of this service: the caller learns that there was one, the log what it was.
    pub(crate) fn failed(error: &impl Display) -> Problem {
        tracing::error!("{error}");
        Problem::new(
            problem::INTERNAL,
            "something failed here; the log of the service has it",
        )
    }

    /// The same of a registry, which may be reached again soon.
    pub(crate) fn unreachable(error: &impl Display) -> Problem {
        tracing::error!("{error}");
        Problem::new(
            problem::UNAVAILABLE,
            "the registry cannot be reached; try again",
        )
    }
}

/// The calls about agreements; each needs a caller.
pub(crate) fn routes(service: &Arc<Service>) -> Router<Arc<Service>> {
    let access = &service.access;
    // What looks through a book's file does so on a thread of its own.
    let apart = || from_fn_with_state(Arc::clone(&access.reads), apart);
    let agreement = Router::new()
        .route("/", get(books::get))
        .route("/limits", get(books::limits))
        .route("/balances", get(books::balances))
        .route("/postings", get(books::postings).layer(apart()))
        .route("/statement", get(books::statement).layer(apart()))
        .route("/settlements", get(books::settlements).layer(apart()))
        .route("/days", post(books::close))
        .route("/handover", post(books::hand_over))
        .route("/events", get(events::list).layer(apart()))
        .route("/sandbox/seed", post(sandbox::seed))
        .route("/webhooks", get(webhooks::list).post(webhooks::add))
        .route(
            "/webhooks/{webhook}",
            get(webhooks::get).delete(webhooks::remove),
        )
        .route("/webhooks/{webhook}/activation", post(webhooks::enable))
        .route("/webhooks/{webhook}/deliveries", get(webhooks::deliveries))
        .route(
            "/webhooks/{webhook}/deliveries/{event}/resend",
            post(webhooks::resend),
        )
        .route(
            "/applications",
            get(applications::list)
                .layer(apart())
                .post(applications::submit),
        )
        .route("/applications/{reference}", get(applications::get))
        .route(
            "/applications/{reference}/acceptance",
            post(applications::accept),
        )
        .route(
            "/applications/{reference}/withdrawal",
            post(applications::withdraw),
        )
        .route(
            "/applications/{reference}/decision",
            post(underwriting::decide),
        )
        .route("/loans", get(loans::list))
        .route("/loans/{reference}", get(loans::get))
        .route("/loans/{reference}/schedule", get(loans::schedule))
        .route("/loans/{reference}/quote", get(loans::quote))
        .route("/loans/{reference}/payments", post(loans::pay))
        .route(
            "/loans/{reference}/transactions",
            get(loans::transactions)
                .layer(apart())
                .post(loans::instruct),
        )
        .route("/loans/{reference}/reversals", post(loans::reverse))
        .route("/sales", get(sales::list))
        .route("/sales/{reference}", delete(sales::take_back))
        .route(
            "/loans/{reference}/postings",
            get(loans::postings).layer(apart()),
        );
    let agreement = if service.sandbox {
        agreement.layer(from_fn(sandbox::trigger))
    } else {
        agreement
    };
    let streams = Router::new()
        .route("/applications/stream", post(bulk::applications))
        .route("/payments/stream", post(bulk::payments));
    let gate = Gate {
        scope: openapi::scope_of,
        ..Gate::new(access.clone())
    };
    let stream_gate = Gate {
        body_limit: bulk::BODY,
        // Each line has a key of its own.
        idempotent: false,
        ..gate.clone()
    };
    let limit = DefaultBodyLimit::max(bulk::BODY);
    Router::new()
        .nest("/v1/agreements/{agreement}", streams)
        .layer(limit)
        .layer(from_fn_with_state(stream_gate, layer))
        .route("/v1/sandbox", get(sandbox::describe))
        .route("/v1/signature-check", post(sandbox::check_signature))
        .merge(
            Router::new()
                .route("/v1/agreements", get(books::list))
                .route("/v1/persons", post(persons::store))
                .route(
                    "/v1/persons/{token}",
                    get(persons::read).delete(persons::erase),
                )
                .route("/v1/persons/{token}/accesses", get(persons::accesses))
                .nest("/v1/agreements/{agreement}", agreement)
                .method_not_allowed_fallback(no_method)
                .layer(from_fn_with_state(gate, layer)),
        )
}

/// Carries out a read when it is its party's turn, on a thread of its own.
async fn apart(
    State(reads): State<Arc<Reads>>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    reads.apart(&caller.party, next.run(request)).await
}

/// A caller in an agreement of its own.
pub(crate) struct Here {
    pub(crate) caller: Caller,
    pub(crate) view: View,
    pub(crate) sandbox: bool,
    /// Key of the application or loan in the address, if it names one.
    pub(crate) reference: String,
    registry: Arc<Registry>,
    query: String,
}

impl FromRequestParts<Arc<Service>> for Here {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<Service>,
    ) -> Result<Here, Problem> {
        let caller = caller(parts)?;
        let path = Path::<HashMap<String, String>>::from_request_parts(parts, service).await;
        let path = path.map_err(|error| Problem::new(problem::BAD_REQUEST, error.body_text()))?;
        let id = path
            .get("agreement")
            .map(String::as_str)
            .unwrap_or_default();
        let desk = service.desks.get(id);
        let view = desk.and_then(|desk| View::of(desk, &caller.party));
        Ok(Here {
            caller,
            view: view.ok_or_else(|| Problem::not_found("agreement"))?,
            sandbox: service.sandbox,
            registry: service.registry.clone(),
            reference: path.get("reference").cloned().unwrap_or_default(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
        })
    }
}

/// Who calls.
pub(crate) fn caller(parts: &Parts) -> Result<Caller, Problem> {
    let caller = parts.extensions.get::<Caller>().cloned();
    caller.ok_or_else(|| Problem::new(problem::UNAUTHENTICATED, "send an access token"))
}

impl Here {
    /// Refuses a caller whose token does not have a scope.
    pub(crate) fn may(&self, scope: &str) -> Result<(), Problem> {
        self.caller.require(scope)
    }

    /// Marks an answer about money: it is kept to be repeated for as long as the contract lives.
    pub(crate) fn money<T: Serialize>(&self, answer: Json<T>) -> impl IntoResponse + use<T> {
        (axum::Extension(Money), answer)
    }

    pub(crate) fn list<T>(&self, items: Vec<T>, next: Option<Cursor>) -> Listed<T> {
        Listed::new(&self.query, items, next)
    }
}

/// What stands behind the question mark.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Params<T>, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|query| Params(query.0)).map_err(|error| {
            let mut causes = iter::successors(error.source(), |&cause| cause.source());
            let Some(cause) = causes.find_map(|cause| cause.downcast_ref::<QueryError>()) else {
                return Problem::field("query", error.body_text());
            };
            // Beside texts, which can always be read, calls take numbers.
            let detail = match cause.path().iter().next() {
                Some(_) => format!("send a whole number: {}", cause.inner()),
                None => cause.inner().to_string(),
            };
            Problem::field(format!("query{}", place(cause)), detail)
        })
    }
}

/// Why a query cannot be read, and where.
type QueryError = serde_path_to_error::Error<serde::de::value::Error>;

/// Where something cannot be read (RFC 6901). A field that is missing or there twice is known from
/// the message alone.
fn place<E: Display>(error: &serde_path_to_error::Error<E>) -> String {
    let path = error.path().iter().filter_map(|segment| match segment {
        Segment::Map { key } => Some(key.clone()),
        Segment::Seq { index } => Some(index.to_string()),
        _ => None,
    });
    let message = error.inner().to_string();
    let named = ["missing field `", "duplicate field `"];
    let named = named.iter().find_map(|words| message.strip_prefix(words));
    let named = named
        .and_then(|rest| rest.split('`').next())
        .map(str::to_owned);
    let segments = path.chain(named);
    segments.map(|name| format!("/{}", escape(&name))).collect()
}

/// A name as a part of a JSON pointer.
fn escape(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// A body of JSON. What is wrong with it is said with its place.
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Body<T>, Problem> {
        let kind = request.headers().get("content-type");
        let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().map(str::trim) != Some("application/json") {
            let message = "send the body as application/json";
            return Err(Problem::new(problem::MEDIA_TYPE, message));
        }
        let bytes = body::Bytes::from_request(request, state).await;
        let bytes = bytes
            .map_err(|error: BytesRejection| Problem::new(problem::TOO_LARGE, error.body_text()))?;
        read(&bytes).map(Body)
    }
}

/// Reads JSON.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // To know where one is takes as long as reading, so it is asked only if something is wrong.
    if let Ok(value) = serde_json::from_slice(bytes) {
        return Ok(value);
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let read = serde_path_to_error::deserialize(&mut json);
    let value = read.map_err(|error| {
        let cause = error.inner();
        match cause.classify() {
            serde_json::error::Category::Data => Problem::field(place(&error), cause.to_string()),
            _ => Problem::new(
                problem::BAD_REQUEST,
                format!("the body is no JSON: {cause}"),
            ),
        }
    })?;
    json.end().map_err(|error| {
        Problem::new(
            problem::BAD_REQUEST,
            format!("the body is no JSON: {error}"),
        )
    })?;
    Ok(value)
}

/// An answer for what is not there at all.
pub(crate) async fn nothing() -> Problem {
    Problem::not_found("resource")
}

/// An answer for a method that a resource does not know.
pub(crate) async fn no_method() -> Response {
    Problem::new(problem::METHOD, "the resource does not know this method").into_response()
}
