//! Instructions that are refused become cases of the party that sent them.

use std::collections::HashMap;
use std::sync::Arc;

use axum::RequestExt as _;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tandem_domain::book::{Answer, Command};

use super::{Here, bulk, caller};
use crate::Service;
use crate::problem::{self, Problem};
use crate::refusals::{self, Refusal};
use crate::registry::Registry;

impl Here {
    /// Has what is asked for a loan carried out; if it is refused, or cannot be asked, that is kept.
    pub(super) async fn carry_out(
        &self,
        key: &str,
        command: Result<Command, Problem>,
    ) -> Result<Answer, Problem> {
        let answer = match command {
            Ok(command) => self.view.desk.execute(command).await,
            Err(problem) => Err(problem),
        };
        if let Err(problem) = &answer {
            let day = self.view.desk.look(|book| book.business_date());
            let refused = refusals::of_call(key, &self.reference, problem, day.0);
            let party = &self.caller.party;
            keep(
                &self.registry,
                self.view.desk.name(),
                party,
                refused.as_slice(),
            );
        }
        answer
    }
}

/// Who sent it is told anyway; that it is not kept is for the log.
fn keep(registry: &Registry, book: &str, party: &str, refused: &[Refusal]) {
    if refused.is_empty() {
        return;
    }
    if let Err(error) = refusals::keep(registry, book, party, refused) {
        tracing::error!(%error, "refused instructions cannot be kept as cases");
    }
}

/// Keeps what is refused of a stream of payments.
pub(super) async fn watch(
    State(service): State<Arc<Service>>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request
        .extract_parts::<Path<HashMap<String, String>>>()
        .await;
    let desk = path
        .ok()
        .and_then(|path| service.desks.get(path.get("agreement")?).cloned());
    let (parts, body) = request.into_parts();
    let party = caller(&parts).map(|caller| caller.party).ok();
    let sent = match to_bytes(body, bulk::BODY).await {
        Ok(sent) => sent,
        Err(error) => {
            return Problem::new(problem::TOO_LARGE, error.to_string()).into_response();
        }
    };
    let request = Request::from_parts(parts, Body::from(sent.clone()));
    let (parts, body) = next.run(request).await.into_parts();
    let Ok(answered) = to_bytes(body, usize::MAX).await else {
        return Response::from_parts(parts, Body::empty());
    };
    if let (Some(desk), Some(party), true) = (desk, party, parts.status.is_success()) {
        let day = desk.look(|book| book.business_date());
        let refused = refusals::of_stream(&sent, &answered, day.0);
        keep(&service.registry, desk.name(), &party, &refused);
    }
    Response::from_parts(parts, Body::from(answered))
}
