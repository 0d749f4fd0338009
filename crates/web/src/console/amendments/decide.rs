//! What people decide on an amendment, and the book's signature once all have.

use axum::extract::Path;
use axum::response::Response;
use tandem_domain::book::Command;

use super::super::audit;
use super::super::page::{Fault, Fields, Signed, go};
use super::super::people::Role;
use super::amendment::Amendment;
use super::documents::{documents, parties, refusals};
use super::store;

/// Decides on an amendment: `support`, `approve`, `sign`, `reject` or `withdraw`.
pub(in crate::console) async fn decide(
    signed: Signed,
    Path((id, what)): Path<(i64, String)>,
    _: Fields,
) -> Result<Response, Fault> {
    let amendment = store::one(&signed, id)?;
    let person = &signed.person;
    let registry = &signed.visit.console.registry;
    let parties = signed.look(|scope| Ok(parties(scope)))?;
    let step = amendment.step(person, &parties);
    let own = amendment.is_by(person);
    match what.as_str() {
        "support" | "approve" | "sign" if step.is_none_or(|step| step.name() != what) => {
            return Err(Fault::Forbidden);
        }
        "support" => registry.change(|tables| store::stand_behind(tables, id, person))?,
        "approve" => registry.change(|tables| store::approve(tables, id, person))?,
        "sign" => {}
        "withdraw" if own => {
            store::set(&signed, id, "withdrawn", "")?;
        }
        "reject" if person.roles.has(Role::Approver) && !own => {
            store::set(&signed, id, "rejected", "")?;
        }
        "withdraw" | "reject" => return Err(Fault::Forbidden),
        _ => return Err(Fault::NotFound),
    }
    let mut answer = go(&amendment.path());
    let amendment = store::one(&signed, id)?;
    if amendment.is_open() && amendment.is_approved(&parties) {
        let refused = sign(&signed, &amendment).await?;
        if refused {
            answer.extensions_mut().insert(audit::Refused);
        }
    }
    Ok(answer)
}

/// Has the book sign what all parties approved; signing it again changes nothing. True if the book
/// refuses it.
async fn sign(signed: &Signed, amendment: &Amendment) -> Result<bool, Fault> {
    if !store::set(signed, amendment.id, "approved", "")? {
        // Somebody has ended it since.
        return Ok(false);
    }
    let Amendment {
        agreement,
        party,
        policy,
        ..
    } = amendment;
    let policy = policy.as_deref();
    let documents = signed.look(|scope| documents(scope.book, agreement, party, policy))?;
    let command = Command::Sign(Box::new(documents.clone()));
    let (state, outcome) = match signed.desk.execute(command).await {
        Ok(_) => ("done", String::new()),
        Err(problem) if problem.retryable => ("approved", problem.detail),
        // Its details may be of a policy, and what is kept is shown to all.
        Err(problem) if problem.code == "invalid_documents" => {
            let visit = &signed.visit;
            let to = policy.is_some().then_some(party.as_str());
            let words = signed.look(|scope| Ok(refusals(visit, scope, &documents, to)))?;
            ("refused", words.join("\n"))
        }
        Err(problem) => ("refused", problem.detail),
    };
    store::set(signed, amendment.id, state, &outcome)?;
    Ok(state == "refused")
}
