//! What a sandbox has that others do not: what a call looks like from here, failures on demand, and
//! a past.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body as Content, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tandem_domain::book::Command;

use super::decider::decided;
use super::shape::{Sandbox, SeedStep, Seeded, SignatureCheck, Trigger};
use super::view::View;
use super::{Body, Here, applications, books, loans};
use crate::Service;
use crate::problem::{self, Kind, Problem};

/// Bytes of a body that is looked at.
const BODY: usize = 1 << 20;

/// What happens to a call.
#[derive(Clone, Copy)]
enum Effect {
    /// It is refused, and not carried out.
    Refused(Kind),
    /// It is carried out, and the answer comes so late.
    Late(Duration),
}

/// What a reference begins with, what happens then, and how that is described.
const TRIGGERS: [(&str, Effect, &str); 5] = [
    (
        "SANDBOX-429-",
        Effect::Refused(problem::TOO_MANY),
        "refused with 429 and Retry-After, not carried out",
    ),
    (
        "SANDBOX-500-",
        Effect::Refused(problem::INTERNAL),
        "refused with 500, not carried out",
    ),
    (
        "SANDBOX-503-",
        Effect::Refused(problem::UNAVAILABLE),
        "refused with 503 and Retry-After, not carried out",
    ),
    (
        "SANDBOX-SLOW-",
        Effect::Late(Duration::from_secs(2)),
        "carried out; the answer comes after 2 seconds",
    ),
    (
        "SANDBOX-TIMEOUT-",
        Effect::Late(Duration::from_secs(60)),
        "carried out; the answer comes after 60 seconds: hang up, and send it again with the same \
         Idempotency-Key",
    ),
];

/// What a sandbox has that others do not.
#[utoipa::path(get, path = "/v1/sandbox", tag = "sandbox",
    operation_id = "describeSandbox", security(()),
    responses((status = 200, body = Sandbox)))]
pub(super) async fn describe(
    State(service): State<Arc<Service>>,
) -> Result<Json<Sandbox>, Problem> {
    must_be(service.sandbox)?;
    let triggers = TRIGGERS.map(|(prefix, _, effect)| Trigger { prefix, effect });
    Ok(Json(Sandbox {
        triggers: triggers.into(),
    }))
}

/// Says what is right and what is wrong about this call itself: token, proof, digest, signature.
/// Nothing counts as used, so that it can be sent again.
#[utoipa::path(post, path = "/v1/signature-check", tag = "sandbox",
    operation_id = "checkSignature", security(()),
    responses((status = 200, body = SignatureCheck)))]
pub(super) async fn check_signature(
    State(service): State<Arc<Service>>,
    request: Request,
) -> Result<Json<SignatureCheck>, Problem> {
    must_be(service.sandbox)?;
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY).await.map_err(|_| too_large())?;
    let checks = service.access.explain(&parts, &body);
    Ok(Json(SignatureCheck {
        passed: checks.iter().all(|check| check.passed),
        checks,
    }))
}

fn must_be(sandbox: bool) -> Result<(), Problem> {
    match sandbox {
        true => Ok(()),
        false => Err(Problem::new(
            problem::FORBIDDEN,
            "this is no sandbox: start one with `tandem serve --sandbox`",
        )),
    }
}

fn too_large() -> Problem {
    Problem::new(
        problem::TOO_LARGE,
        format!("a body has at most {BODY} bytes here"),
    )
}

/// What is looked at in a body.
#[derive(Deserialize)]
struct Named {
    reference: String,
}

/// Has a call fail, or be late, if its reference asks for it.
pub(super) async fn trigger(request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY).await else {
        return too_large().into_response();
    };
    let named = serde_json::from_slice::<Named>(&body).ok();
    let asked = named.and_then(|named| {
        let found = TRIGGERS
            .iter()
            .find(|(prefix, ..)| named.reference.starts_with(prefix));
        found.map(|(prefix, effect, _)| (*prefix, *effect))
    });
    let request = Request::from_parts(parts, Content::from(body));
    match asked {
        None => next.run(request).await,
        Some((_, Effect::Late(late))) => {
            let answer = next.run(request).await;
            tokio::time::sleep(late).await;
            answer
        }
        Some((prefix, Effect::Refused(kind))) => Problem {
            retry_after: (kind.status != 500).then_some(1),
            ..Problem::new(kind, format!("the reference begins with {prefix}"))
        }
        .into_response(),
    }
}

/// Has a sandbox lived through something, step by step, as the API's calls would have it. Steps
/// before one that is refused stay; the same seed can be sent again.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/sandbox/seed", tag = "sandbox",
    params(("agreement" = String, Path,)), request_body = Vec<SeedStep>,
    operation_id = "seedSandbox", security(("oauth" = ["sandbox"])),
    responses((status = 201, body = Seeded)))]
pub(super) async fn seed(
    here: Here,
    Body(steps): Body<Vec<SeedStep>>,
) -> Result<impl IntoResponse, Problem> {
    must_be(here.sandbox)?;
    here.may("sandbox")?;
    let count = steps.len();
    for (place, step) in steps.into_iter().enumerate() {
        let within = match &step {
            SeedStep::Application(_) => "/application",
            SeedStep::Payment(_) => "/payment",
            SeedStep::Acceptance(_) | SeedStep::Day(_) => "",
        };
        carry_out(&here.view, step).await.map_err(|mut problem| {
            problem.detail = format!("step {place}: {}", problem.detail);
            for error in &mut problem.errors {
                error.pointer = format!("/{place}{within}{}", error.pointer);
            }
            problem
        })?;
    }
    let business_date = here.view.desk.look(|book| book.business_date()).to_string();
    Ok((
        StatusCode::CREATED,
        Json(Seeded {
            steps: count,
            business_date,
        }),
    ))
}

async fn carry_out(view: &View, step: SeedStep) -> Result<(), Problem> {
    let command = match step {
        SeedStep::Application(request) => applications::command(view, request)?,
        SeedStep::Acceptance(application) => Command::Accept { application },
        SeedStep::Payment(payment) => loans::payment_command(view, payment)?,
        SeedStep::Day(day) => {
            let day = loans::day(&day, "/day")?;
            let over = day < view.desk.look(|book| book.business_date());
            return if over {
                Ok(())
            } else {
                books::close_until(view, day).await
            };
        }
    };
    let command = decided(view, command).await;
    view.desk.execute(command).await.map(drop)
}
