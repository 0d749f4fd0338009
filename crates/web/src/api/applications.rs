//! Applications and offers.

use std::collections::BTreeMap;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use serde_json::Value as JsonValue;
use tandem_domain::agreement::Agreement;
use tandem_domain::book::{
    Application as Asked, ApplicationState, Command, Decided, DeclineReason, Verdict, Version,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::{Kind, STANDARD, Value};
use tandem_domain::funding;
use tandem_domain::money::{Amount, Currency, Rate};
use tandem_domain::policy::Outcome;

use super::decider::decided;
use super::list::{Cursor, Listed, PageQuery, known};
use super::shape::{Application, ApplicationRequest, Decision, List, Money, Offer, Part, Reason};
use super::underwriting::referral;
use super::view::{Role, Seen, View};
use super::{Api, Body, Here, Params, escape};
use crate::problem::{FieldError, Problem};
use crate::trace::{self, Stage};

/// Submits an application. Each lender judges it for itself, and the answer says what came of it.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/applications", tag = "applications",
    params(("agreement" = String, Path,)), request_body = ApplicationRequest,
    operation_id = "submitApplication", security(("oauth" = ["applications:write"])),
    responses((status = 201, body = Application)))]
pub(super) async fn submit(
    here: Here,
    Body(request): Body<ApplicationRequest>,
) -> Result<impl IntoResponse, Problem> {
    here.may("applications:write")?;
    here.view.must_be(Role::Platform)?;
    let reference = request.reference.clone();
    trace::about("reference", &reference);
    let deciding = async {
        let command = command(&here.view, request)?;
        Ok::<_, Problem>(decided(&here.view, command).await)
    };
    let command = trace::stage(Stage::Decide, deciding).await?;
    here.view.desk.execute(command).await?;
    let application = show(&here.view, &reference)?;
    Ok((StatusCode::CREATED, here.money(Json(application))))
}

/// The command that an application is, with what each lender says to it.
pub(super) fn command(view: &View, request: ApplicationRequest) -> Result<Command, Problem> {
    view.look(|seen| {
        let (_, version) = seen.book.current().expect("the agreement is signed");
        let values = values(&version.agreement, &request).map_err(Problem::fields)?;
        let decisions = version.decisions(&values);
        Ok(Command::Apply(Box::new(Asked {
            key: request.reference,
            borrower: request.borrower,
            values,
            decisions,
        })))
    })
}

/// The values of an application in the order of the agreement's fields.
fn values(
    agreement: &Agreement,
    request: &ApplicationRequest,
) -> Result<Vec<Value>, Vec<FieldError>> {
    let mut errors = Vec::new();
    let mut wrong = |pointer: String, detail: String| errors.push(FieldError { pointer, detail });
    let currency = agreement.currency();
    let amount = amount(&request.amount, currency).map_or_else(
        |detail| {
            wrong("/amount".into(), detail);
            Value::Missing
        },
        |amount| Value::Number(amount.0),
    );
    let mut values = vec![
        amount,
        Value::Number(request.term_months.into()),
        Value::Text(request.region.as_str().into()),
    ];
    let own = &agreement.scope.fields[STANDARD.len()..];
    for name in request.fields.keys() {
        if !own.iter().any(|(known, _)| known == name) {
            let known: Vec<_> = own.iter().map(|(name, _)| name.as_str()).collect();
            let detail = format!(
                "the agreement has no field `{name}`; it has {}",
                known.join(", ")
            );
            wrong(format!("/fields/{}", escape(name)), detail);
        }
    }
    for (name, kind) in own {
        let sent = request.fields.get(name).unwrap_or(&JsonValue::Null);
        values.push(value(*kind, sent, currency).unwrap_or_else(|detail| {
            wrong(format!("/fields/{}", escape(name)), detail);
            Value::Missing
        }));
    }
    match errors.is_empty() {
        true => Ok(values),
        false => Err(errors),
    }
}

/// Reads money in a currency.
pub(super) fn amount(money: &Money, currency: Currency) -> Result<Amount, String> {
    if money.currency != currency.code() {
        return Err(format!(
            "the agreement's currency is {}, not `{}`",
            currency.code(),
            money.currency
        ));
    }
    Ok(Amount(money.amount))
}

/// Reads the value of a field.
fn value(kind: Kind, sent: &JsonValue, currency: Currency) -> Result<Value, String> {
    match (kind, sent) {
        (_, JsonValue::Null) => Ok(Value::Missing),
        (Kind::Money, JsonValue::Object(_)) => {
            let money: Money = serde_json::from_value(sent.clone())
                .map_err(|error| format!("no money: {error}"))?;
            amount(&money, currency).map(|amount| Value::Number(amount.0))
        }
        (Kind::Integer, JsonValue::Number(number)) => match number.as_i64() {
            Some(number) => Ok(Value::Number(number)),
            None => Err(format!("`{number}` is not a whole number that fits here")),
        },
        (Kind::Rate | Kind::Date | Kind::Text, JsonValue::String(text)) => {
            kind.read_literal(text, currency)
        }
        _ => Err(format!(
            "send {}, or null where it is not known",
            match kind {
                Kind::Money => "an object like {\"amount\": 1234, \"currency\": \"CNY\"}",
                Kind::Rate => "a rate as text, like \"12.5%\"",
                Kind::Integer => "a whole number",
                Kind::Date => "a date as text, like \"2024-03-15\"",
                Kind::Text => "a text",
            }
        )),
    }
}

/// A value as it is sent.
pub(super) fn show_value(kind: Kind, value: &Value, currency: Currency) -> JsonValue {
    match (kind, value) {
        (_, Value::Missing) => JsonValue::Null,
        (_, Value::Text(text)) => JsonValue::from(&**text),
        (Kind::Money, Value::Number(number)) => {
            serde_json::json!(Money::of(Amount(*number), currency))
        }
        (Kind::Rate, Value::Number(number)) => JsonValue::from(Rate(*number).to_string()),
        (Kind::Date, Value::Number(number)) => {
            JsonValue::from(Day(i32::try_from(*number).unwrap_or_default()).to_string())
        }
        (_, Value::Number(number)) => JsonValue::from(*number),
    }
}

/// One application.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/applications/{reference}",
    tag = "applications", params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "getApplication", security(("oauth" = ["applications:read"])),
    responses((status = 200, body = Application)))]
pub(super) async fn get(here: Here) -> Result<Json<Application>, Problem> {
    here.may("applications:read")?;
    show(&here.view, &here.reference).map(Json)
}

/// Takes an offer: the loan is disbursed on the business date.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/applications/{reference}/acceptance",
    tag = "applications", params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "acceptOffer", security(("oauth" = ["applications:write"])),
    responses((status = 200, body = Application)))]
pub(super) async fn accept(here: Here) -> Result<impl IntoResponse, Problem> {
    let application = here.reference.clone();
    change(&here, Command::Accept { application }).await
}

/// Gives an offer back, or takes back an application that is referred and waits for people.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/applications/{reference}/withdrawal",
    tag = "applications", params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "withdrawOffer", security(("oauth" = ["applications:write"])),
    responses((status = 200, body = Application)))]
pub(super) async fn withdraw(here: Here) -> Result<impl IntoResponse, Problem> {
    let application = here.reference.clone();
    change(&here, Command::Withdraw { application }).await
}

async fn change(here: &Here, command: Command) -> Result<impl IntoResponse + use<>, Problem> {
    here.may("applications:write")?;
    here.view.must_be(Role::Platform)?;
    here.view.desk.execute(command).await?;
    let application = show(&here.view, &here.reference)?;
    Ok(here.money(Json(application)))
}

/// Which applications.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those in this state: `offered`, `disbursed`, `referred`, `declined`, `lapsed`,
    /// `withdrawn`.
    state: Option<String>,
    /// Where the page begins, as the last page said.
    cursor: Option<String>,
    /// Items on the page, 1 to 200 [default: 50].
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Applications, newest first.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/applications", tag = "applications",
    params(("agreement" = String, Path,), Filter),
    operation_id = "listApplications", security(("oauth" = ["applications:read"])),
    responses((status = 200, body = List<Application>)))]
pub(super) async fn list(
    here: Here,
    Params(filter): Params<Filter>,
) -> Result<Listed<Application>, Problem> {
    here.may("applications:read")?;
    let page = PageQuery::new(filter.cursor.as_deref(), filter.limit)?;
    let state = filter.state.as_deref();
    known("state", state, ApplicationState::NAMES)?;
    let (places, next) = here.view.look(|seen| {
        page.newest_first(seen.book.application_count(), |place| {
            let record = seen.book.application_at(place);
            seen.application(place)
                && record
                    .is_some_and(|record| state.is_none_or(|state| record.state.name() == state))
        })
    });
    let shown = places.into_iter().map(|place| {
        let key = here
            .view
            .look(|seen| seen.book.application_in(place).key.to_owned());
        show(&here.view, &key)
    });
    Ok(here.list(shown.collect::<Result<_, _>>()?, next.map(Cursor::place)))
}

/// An application as a party sees it.
pub fn show(view: &View, key: &str) -> Result<Application, Problem> {
    let place = view.look(|seen| Ok::<_, Problem>(seen.find_application(key)?.0))?;
    let decided = view.desk.reader().decided(place);
    let decided = decided.map_err(|error| Api::failed(&error))?;
    let (_, decided) = decided.ok_or_else(|| Problem::not_found("application"))?;
    view.look(|seen| {
        let (_, record) = seen.find_application(key)?;
        let version = &seen.book.versions()[usize::from(record.version)];
        Ok(Application {
            reference: key.to_owned(),
            agreement: version.agreement.file.id.clone(),
            agreement_version: version.agreement.file.version,
            state: record.state.name().to_owned(),
            decided_on: record.decided_on.to_string(),
            fields: fields(seen, version, &decided),
            reasons: match record.state {
                ApplicationState::Declined(reason) => reasons(seen, version, &decided, reason),
                _ => Vec::new(),
            },
            decisions: decisions(seen, version, &decided),
            referral: referral(seen, &decided, record.state),
            offer: offer(version, &decided).filter(|_| seen.offer(place)),
        })
    })
}

fn fields(seen: &Seen<'_>, version: &Version, decided: &Decided) -> BTreeMap<String, JsonValue> {
    let agreement = &version.agreement;
    let fields = agreement
        .scope
        .fields
        .iter()
        .zip(&decided.values)
        .enumerate();
    let seen = fields.filter(|(place, _)| agreement.may_see(seen.id(), *place));
    seen.map(|(_, ((name, kind), value))| {
        (name.clone(), show_value(*kind, value, agreement.currency()))
    })
    .collect()
}

/// Why it was declined, in words that an applicant may read: to the platform, whoever gave the reason; to
/// a lender, its own.
fn reasons(
    seen: &Seen<'_>,
    version: &Version,
    decided: &Decided,
    reason: DeclineReason,
) -> Vec<String> {
    let mut reasons = Vec::new();
    if reason == DeclineReason::Funding {
        let lenders = version.agreement.lenders.iter();
        let told = lenders.map(|lender| seen.is(Role::Platform) || *lender == seen.party);
        let said = version.policies.iter().zip(&decided.decisions).zip(told);
        for ((policy, decision), _) in said.filter(|(_, told)| *told) {
            if let Outcome::Decline(places) = &decision.outcome {
                let given = places
                    .iter()
                    .filter_map(|&place| policy.reasons.get(usize::from(place)));
                reasons.extend(given.map(|(_, words)| words.clone()));
            }
        }
        reasons.sort();
        reasons.dedup();
    }
    if reasons.is_empty() {
        reasons.push(version.decline_reason(reason));
    }
    reasons
}

/// What a lender itself decided; nobody sees what another did.
fn decisions(seen: &Seen<'_>, version: &Version, decided: &Decided) -> Vec<Decision> {
    let currency = version.agreement.currency();
    let lenders = version.agreement.lenders.iter().enumerate();
    let own = lenders.filter(|(_, lender)| **lender == seen.party);
    let shown = own.filter_map(|(place, _)| {
        let (policy, decision) = (version.policies.get(place)?, decided.decisions.get(place)?);
        let barred = decided
            .barred
            .iter()
            .find(|barred| usize::from(barred.lender) == place);
        let (outcome, offer, reasons): (_, _, &[u8]) = match &decision.outcome {
            Outcome::Approve { maximum, rate } => ("approve", Some((*maximum, *rate)), &[]),
            Outcome::Decline(reasons) => ("decline", None, reasons),
            Outcome::Refer(reasons) => ("refer", None, reasons),
        };
        let reasons = reasons
            .iter()
            .filter_map(|&place| policy.reasons.get(usize::from(place)));
        Some(Decision {
            lender: policy.file.lender.clone(),
            policy_version: policy.file.version.clone(),
            outcome: outcome.to_owned(),
            score: decision.score,
            maximum: offer.map(|(maximum, _)| Money::of(maximum, currency)),
            rate: offer.map(|(_, rate)| rate.to_string()),
            reasons: reasons
                .map(|(code, reason)| Reason {
                    code: code.clone(),
                    reason: reason.clone(),
                })
                .collect(),
            barred_by: barred.map(|barred| version.clause(barred.clause)),
        })
    });
    shown.collect()
}

fn offer(version: &Version, decided: &Decided) -> Option<Offer> {
    let Verdict::Offered {
        parts,
        rate,
        valid_to,
    } = &decided.verdict
    else {
        return None;
    };
    let agreement = &version.agreement;
    let currency = agreement.currency();
    let part = |(part, lender): (&funding::Part, &_)| Part {
        lender: agreement.party(*lender).id.clone(),
        amount: Money::of(part.amount, currency),
        rate: part.rate.to_string(),
    };
    let parts = parts.iter().zip(&agreement.lenders);
    let parts: Vec<_> = parts
        .filter(|(part, _)| part.amount.is_positive())
        .collect();
    Some(Offer {
        amount: Money::of(parts.iter().map(|(part, _)| part.amount).sum(), currency),
        rate: rate.to_string(),
        valid_to: valid_to.to_string(),
        parts: parts.into_iter().map(part).collect(),
    })
}
