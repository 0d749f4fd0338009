//! Streams of applications and payments: a line in, a line out.
//!
//! Lines are taken in parcels that become durable together. A bad line costs nothing but itself.

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::IntoResponse;
use futures_util::stream::{self, StreamExt as _};
use serde::de::DeserializeOwned;
use tandem_domain::book::Command;

use super::applications::command;
use super::decider::decided;
use super::loans::payment_command;
use super::shape::{ApplicationRequest, LineResult, PaymentRequest};
use super::view::{Role, View};
use super::{Here, read};
use crate::problem::{self, Problem};
use crate::refusals::Refusal;
use crate::trace;

/// Lines that become durable together.
const PARCEL: usize = 500;

/// Applications that lenders decide at the same time.
const DECIDED: usize = 32;

/// What a body of lines may have, in bytes.
pub(super) const BODY: usize = 16 << 20;

/// Lines that a body may have: each has an answer of its own.
const LINES: usize = 10_000;

/// Letters of what is said about a line that is wrong.
const SAID: usize = 300;

/// Submits applications, one JSON object per line; answers one line each, in the same order.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/applications/stream", tag = "applications",
    params(("agreement" = String, Path,)),
    request_body(content = ApplicationRequest, content_type = "application/x-ndjson"),
    operation_id = "streamApplications", security(("oauth" = ["applications:write"])),
    responses((status = 200, body = LineResult, content_type = "application/x-ndjson")))]
pub(super) async fn applications(
    here: Here,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, Problem> {
    here.may("applications:write")?;
    here.view.must_be(Role::Platform)?;
    let line = |view: &View, request: ApplicationRequest| Line {
        reference: request.reference.clone(),
        loan: None,
        command: command(view, request),
    };
    stream(&here, &headers, &body, line).await
}

/// Books payments, one JSON object per line; answers one line each, in the same order.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/payments/stream", tag = "loans",
    params(("agreement" = String, Path,)),
    request_body(content = PaymentRequest, content_type = "application/x-ndjson"),
    operation_id = "streamPayments", security(("oauth" = ["payments:write"])),
    responses((status = 200, body = LineResult, content_type = "application/x-ndjson")))]
pub(super) async fn payments(
    here: Here,
    headers: HeaderMap,
    body: Bytes,
) -> Result<impl IntoResponse, Problem> {
    here.may("payments:write")?;
    here.view.must_be(Role::Servicer)?;
    let line = |view: &View, request: PaymentRequest| Line {
        reference: request.reference.clone(),
        loan: Some(request.loan.clone().unwrap_or_default()),
        command: payment_command(view, request),
    };
    stream(&here, &headers, &body, line).await
}

/// What a line says.
struct Line {
    /// Its key.
    reference: String,
    /// The loan that it pays, whose party has a case if it is refused; empty if it names none.
    loan: Option<String>,
    /// What it asks, or what is wrong with it.
    command: Result<Command, Problem>,
}

async fn stream<T: DeserializeOwned>(
    here: &Here,
    headers: &HeaderMap,
    body: &[u8],
    line: impl Fn(&View, T) -> Line,
) -> Result<([(HeaderName, &'static str); 1], Vec<u8>), Problem> {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if kind != Some(b"application/x-ndjson") {
        let message = "send the body as application/x-ndjson";
        return Err(Problem::new(problem::MEDIA_TYPE, message));
    }
    let lines = (1..).zip(body.split(|&byte| byte == b'\n'));
    let lines = lines.filter(|(_, bytes)| !bytes.trim_ascii().is_empty());
    let count = lines.clone().count();
    if count > LINES {
        let message = format!(
            "the body has {count} lines; send {LINES} at the most, and the others in further calls"
        );
        return Err(Problem::new(problem::TOO_LARGE, message));
    }
    let view = &here.view;
    let mut lines = lines.map(|(number, bytes)| (number, read(bytes).map(|it| line(view, it))));
    let (mut results, mut refused) = (Vec::new(), Vec::new());
    loop {
        let parcel: Vec<_> = lines.by_ref().take(PARCEL).collect();
        if parcel.is_empty() {
            break;
        }
        carry_out(view, parcel, &mut results, &mut refused).await;
    }
    here.keep_refused(&refused);
    trace::about("lines", &count.to_string());
    Ok(([(header::CONTENT_TYPE, "application/x-ndjson")], results))
}

/// Has a parcel of lines, or what is wrong with them, carried out and writes its results.
async fn carry_out(
    view: &View,
    parcel: Vec<(u64, Result<Line, Problem>)>,
    results: &mut Vec<u8>,
    refused: &mut Vec<Refusal>,
) {
    let mut commands = Vec::new();
    let asked = parcel.into_iter().map(|(number, line)| {
        let (reference, loan, command) = match line {
            Ok(line) => (Some(line.reference), line.loan, line.command),
            Err(problem) => (None, None, Err(problem)),
        };
        let wrong = command.map(|command| commands.push(command)).err();
        (number, reference, loan, wrong)
    });
    let asked: Vec<_> = asked.collect();
    let decided = stream::iter(commands).map(|command| decided(view, command));
    let commands = decided.buffered(DECIDED).collect().await;
    // Without answers the problem is that of every line that was sent.
    let (answers, stopped) = match view.desk.submit(commands).await {
        Ok(answers) => (answers, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let mut answers = answers.into_iter();
    view.look(|seen| {
        let day = seen.book.business_date();
        for (line, reference, loan, wrong) in asked {
            let problem = wrong.or_else(|| match answers.next() {
                Some(answer) => answer.err().map(Problem::from),
                None => stopped.clone(),
            });
            if let (Some(key), Some(loan), Some(problem)) = (&reference, &loan, &problem) {
                refused.extend(Refusal::of(key, loan, problem, day.0));
            }
            let state = reference.as_deref().filter(|_| problem.is_none());
            let state = state.and_then(|key| seen.book.application(key));
            let result = LineResult {
                line,
                status: problem.as_ref().map_or(201, |problem| problem.status),
                state: state.map(|record| record.state.name().to_owned()),
                reference,
                problem: problem.map(|problem| problem.within(SAID)),
            };
            // Writing to memory cannot fail.
            let _ = serde_json::to_writer(&mut *results, &result);
            results.push(b'\n');
        }
    });
}
