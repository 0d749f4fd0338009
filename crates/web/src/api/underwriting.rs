//! What people at a lender decide on an application that waits for them.

use axum::Json;
use axum::response::IntoResponse;
use tandem_domain::book::{ApplicationState, Command, Decided, Underwriting, Verdict, Version};
use tandem_domain::policy::{Outcome, Policy};

use super::applications::{amount, show};
use super::shape::{Application, Referral, UnderwritingOutcome, UnderwritingRequest};
use super::view::Seen;
use super::{Body, Here};
use crate::problem::{self, FieldError, Problem};
use crate::trace;

/// Decides on an application that a lender referred to its people. Funding and the agreement's limits
/// then run as for a fresh application, with what the other lenders decided.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/applications/{reference}/decision",
    tag = "applications", params(("agreement" = String, Path,), ("reference" = String, Path,)),
    request_body = UnderwritingRequest,
    operation_id = "decideApplication", security(("oauth" = ["decisions:write"])),
    responses((status = 200, body = Application)))]
pub(super) async fn decide(
    here: Here,
    Body(request): Body<UnderwritingRequest>,
) -> Result<impl IntoResponse, Problem> {
    here.may("decisions:write")?;
    trace::about("reference", &here.reference);
    let command = here
        .view
        .look(|seen| command(seen, &here.reference, request))?;
    here.view.desk.execute(command).await?;
    let application = show(&here.view, &here.reference)?;
    Ok(here.money(Json(application)))
}

fn command(
    seen: &Seen<'_>,
    application: &str,
    request: UnderwritingRequest,
) -> Result<Command, Problem> {
    if !seen.is_lender() {
        let message = "only a lender that referred an application decides on it";
        return Err(Problem::new(problem::FORBIDDEN, message));
    }
    let (_, record) = seen.find_application(application)?;
    let version = &seen.book.versions()[usize::from(record.version)];
    let policy = seen.policy(version).map(|(_, policy)| policy);
    let outcome = outcome(version, policy, request).map_err(Problem::fields)?;
    Ok(Command::Underwrite(Underwriting {
        application: application.to_owned(),
        lender: seen.id().to_owned(),
        outcome,
    }))
}

fn outcome(
    version: &Version,
    policy: Option<&Policy>,
    request: UnderwritingRequest,
) -> Result<Outcome, Vec<FieldError>> {
    let UnderwritingRequest {
        outcome,
        maximum,
        rate,
        reasons,
    } = request;
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, detail: String| errors.push(FieldError { pointer, detail });
    let decided = match outcome {
        UnderwritingOutcome::Approve => {
            let maximum = maximum.ok_or_else(|| "an approval has the most that is lent".to_owned());
            let maximum =
                maximum.and_then(|maximum| amount(&maximum, version.agreement.currency()));
            let rate = rate.ok_or_else(|| "an approval has a rate, like \"12.5%\"".to_owned());
            let rate = rate.and_then(|rate| rate.parse().map_err(|error| format!("{error}")));
            if !reasons.is_empty() {
                wrong("/reasons".into(), "reasons are for a decline".to_owned());
            }
            match (maximum, rate) {
                (Ok(maximum), Ok(rate)) => Some(Outcome::Approve { maximum, rate }),
                (maximum, rate) => {
                    maximum
                        .map_err(|detail| wrong("/maximum".into(), detail))
                        .ok();
                    rate.map_err(|detail| wrong("/rate".into(), detail)).ok();
                    None
                }
            }
        }
        UnderwritingOutcome::Decline => {
            for (there, name) in [(maximum.is_some(), "maximum"), (rate.is_some(), "rate")] {
                if there {
                    wrong(format!("/{name}"), format!("a decline has no {name}"));
                }
            }
            if reasons.is_empty() {
                let detail = "a decline has one reason at least, by its code in the policy";
                wrong("/reasons".into(), detail.to_owned());
            }
            let places = reasons.iter().enumerate().map(|(at, code)| {
                let place = policy.and_then(|policy| policy.reason(code));
                if place.is_none() {
                    wrong(
                        format!("/reasons/{at}"),
                        format!("the policy has no reason `{code}`"),
                    );
                }
                place.unwrap_or_default()
            });
            Some(Outcome::Decline(places.collect()))
        }
    };
    decided.filter(|_| errors.is_empty()).ok_or(errors)
}

/// For whose people an application waits, as a party may know it.
pub(super) fn referral(
    seen: &Seen<'_>,
    decided: &Decided,
    state: ApplicationState,
) -> Option<Referral> {
    let Verdict::Referred(_, Some(valid_to)) = &decided.verdict else {
        return None;
    };
    let lenders = seen.waits_for(decided);
    let waits = state == ApplicationState::Referred && !lenders.is_empty();
    waits.then(|| Referral {
        lenders: lenders
            .into_iter()
            .map(|lender| seen.name(lender).to_owned())
            .collect(),
        valid_to: valid_to.to_string(),
    })
}
