//! The page of one amendment: who stands behind it, what changes, and what the person can do.

use axum::extract::Path;
use axum::response::Response;

use super::super::agreement::changed;
use super::super::approvals::not_apart;
use super::super::blocks::{Block, Cell, Form, Section, Sheet, Table, Tone};
use super::super::page::{Fault, Signed, Visit};
use super::super::people::{Person, Role};
use super::super::scope::Scope;
use super::amendment::{Amendment, Consent, Step};
use super::documents::{parties, policy_text};
use super::store;

pub(in crate::console) async fn show(
    signed: Signed,
    Path(id): Path<i64>,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let amendment = store::one(&signed, id)?;
    let person = &signed.person;
    let sheet = signed.look(|scope| {
        let number = amendment.version.to_string();
        let (title, two) = match amendment.policy {
            None => ("amendment.one", "amendment.two"),
            Some(_) => ("amendment.one_policy", "amendment.two_own"),
        };
        let mut sheet = Sheet::new(visit, visit.language.fill(title, &[&number]))
            .below("nav.agreement", "/console/agreement");
        sheet.lead = amendment.reason.clone();
        sheet.status = Some((
            amendment.tone(),
            visit.word("proposal", &amendment.state).to_owned(),
        ));
        if !amendment.outcome.is_empty() {
            let outcome = amendment.outcome.clone();
            sheet.add("outcome", vec![Block::Notice(Tone::Bad, outcome)]);
        }
        if amendment.state == "open" && scope.version(amendment.version).is_ok() {
            let text = visit.language.fill("amendment.overtaken", &[&number]);
            sheet.add("overtaken", vec![Block::Notice(Tone::Bad, text)]);
        }
        let parties = parties(scope);
        sheet.section(
            Section::new("consents", visit.t("amendment.consents"))
                .measured(visit.t(two))
                .with(Block::Table(consents(visit, scope, &amendment, &parties))),
        );
        let versions = scope.book.versions().iter();
        let mut before = versions.filter(|one| one.agreement.file.version < amendment.version);
        let before = before.next_back().ok_or(Fault::NotFound)?;
        let since = before.agreement.file.version.to_string();
        let title = visit.language.fill("agreement.changes", &[&since, &number]);
        let lines = match &amendment.policy {
            None => changed(&before.documents.agreement, &amendment.agreement),
            Some(policy) => changed(policy_text(before, &amendment.party)?, policy),
        };
        sheet.section(Section::new("changes", title).with(Block::Diff(lines)));
        decision(visit, person, &amendment, &parties, &mut sheet);
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// Who of each party stands behind it.
fn consents(visit: &Visit, scope: &Scope<'_>, amendment: &Amendment, parties: &[String]) -> Table {
    let mut table = Table::new(&[
        (visit.t("agreement.party"), ""),
        (visit.t("approval.proposer"), "?"),
        (visit.t("amendment.approver"), "?"),
        (visit.t("list.state"), ""),
    ]);
    for party in amendment.approvers(parties) {
        let consent = amendment.consent(party);
        let proposer = consent.map(|consent| consent.proposer.name.clone());
        let approver = consent.and_then(|consent| consent.approver_name.clone());
        let (tone, key) = match (&proposer, &approver) {
            (_, Some(_)) => (Tone::Good, "amendment.approved"),
            (Some(_), None) => (Tone::Warn, "amendment.half"),
            (None, None) => (Tone::Plain, "amendment.not_yet"),
        };
        let shown = |name: Option<String>| Cell::text(name.unwrap_or("–".to_owned()));
        table.row(vec![
            Cell::text(scope.name_of(party).unwrap_or(party)),
            shown(proposer),
            shown(approver),
            Cell::Badge(tone, visit.t(key).to_owned()),
        ]);
    }
    table
}

/// What the person can do.
fn decision(
    visit: &Visit,
    person: &Person,
    amendment: &Amendment,
    parties: &[String],
    sheet: &mut Sheet<'_>,
) {
    let form = |what: &str, key: &str| {
        Block::Form(Form {
            action: format!("{}/{what}", amendment.path()),
            inputs: Vec::new(),
            submit: visit.t(key).to_owned(),
        })
    };
    let own = amendment.is_by(person);
    let mut section = Section::new("decide", visit.t("approval.decide"));
    if let Some(step) = amendment.step(person, parties) {
        let (text, key) = match step {
            Step::Support => ("amendment.support_text", "amendment.support"),
            Step::Approve => ("amendment.approve_text", "amendment.approve"),
            Step::Sign => ("amendment.sign_text", "amendment.sign"),
        };
        section = section
            .with(Block::Text(visit.t(text).to_owned()))
            .with(form(step.name(), key));
    }
    let approver = person.roles.has(Role::Approver);
    let half = amendment
        .consent(&person.party)
        .filter(|consent| consent.approver_name.is_none());
    if let Some(Consent { proposer, .. }) = half
        && amendment.is_open()
        && approver
        && proposer.id != person.id
        && !person.is_apart_from(proposer)
    {
        let text = not_apart(visit, proposer);
        section = section.with(Block::Notice(Tone::Warn, text));
    }
    match amendment.is_open() {
        true if own => sheet.section(section.with(form("withdraw", "approval.withdraw"))),
        true if approver => sheet.section(section.with(form("reject", "approval.reject"))),
        _ if section.blocks.is_empty() => {}
        _ => sheet.section(section),
    }
}
