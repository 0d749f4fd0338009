//! Proposing: the text last signed, to begin from, and the form for the next.

use axum::extract::{Path, Query};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use tandem_domain::book::Version;

use super::super::blocks::{Block, Form, Input, InputKind, Section, Sheet, Tone};
use super::super::page::{Fault, Fields, Signed, go};
use super::super::people::Role;
use super::documents::{documents, lender_of, next_agreement, policy_text, refusals};
use super::store;

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    Agreement,
    /// The policy of the lender that proposes it.
    Policy,
}

impl Subject {
    fn named(name: &str) -> Subject {
        match name {
            "policy" => Subject::Policy,
            _ => Subject::Agreement,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Subject::Agreement => "agreement",
            Subject::Policy => "policy",
        }
    }

    /// Who may propose it.
    pub(super) fn roles(self) -> &'static [Role] {
        match self {
            Subject::Agreement => &[Role::Operations],
            Subject::Policy => &[Role::Operations, Role::Risk],
        }
    }
}

/// Which document is asked for.
#[derive(Deserialize)]
pub(in crate::console) struct Asked {
    #[serde(default)]
    of: String,
}

/// The text of the agreement, or of the party's policy, as it was signed.
pub(in crate::console) async fn text(
    signed: Signed,
    Path(version): Path<u32>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let subject = Subject::named(&asked.of);
    let text = signed.look(|scope| {
        let found = scope.version(version)?;
        match subject {
            Subject::Agreement => Ok(found.documents.agreement.clone()),
            Subject::Policy => policy_text(found, &signed.person.party).map(str::to_owned),
        }
    })?;
    let name = subject.name();
    let name = format!("attachment; filename=\"{name}-{version}.toml\"");
    let headers = [
        (header::CONTENT_TYPE, "application/toml; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name.as_str()),
    ];
    Ok((headers, text).into_response())
}

/// The form for an amendment, with what was last signed to begin from.
pub(in crate::console) async fn draft(
    signed: Signed,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let subject = Subject::named(&asked.of);
    signed.must(subject.roles())?;
    let text = signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        match subject {
            Subject::Agreement => Ok(next_agreement(latest)),
            Subject::Policy => policy_text(latest, &signed.person.party).map(str::to_owned),
        }
    })?;
    form(&signed, StatusCode::OK, subject, &text, "", Vec::new())
}

fn form(
    signed: &Signed,
    status: StatusCode,
    subject: Subject,
    text: &str,
    reason: &str,
    wrong: Vec<String>,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let (title, lead, label) = match subject {
        Subject::Agreement => ("amendment.propose", "amendment.lead", "amendment.text"),
        Subject::Policy => (
            "amendment.propose_policy",
            "amendment.policy_lead",
            "amendment.policy",
        ),
    };
    let mut sheet = Sheet::new(visit, visit.t(title)).below("nav.agreement", "/console/agreement");
    sheet.lead = visit.t(lead).to_owned();
    if !wrong.is_empty() {
        let wrong = wrong
            .into_iter()
            .map(|wrong| Block::Notice(Tone::Bad, wrong));
        sheet.add("wrong", wrong.collect());
    }
    if subject == Subject::Policy
        && let Some(later) = later(signed)?
    {
        sheet.add("later", vec![later]);
    }
    let form = Form {
        action: "/console/agreement/amendments".to_owned(),
        inputs: vec![
            Input::hidden("of", subject.name()),
            Input::new(subject.name(), visit.t(label), text, InputKind::Document),
            Input::new(
                "reason",
                visit.t("approval.reason"),
                reason,
                InputKind::Text,
            ),
        ],
        submit: visit.t("approval.propose").to_owned(),
    };
    sheet.section(Section::new("draft", "").with(Block::Form(form)));
    visit.page_with(status, &sheet)
}

/// From which day on the policy signed last decides, and one that is proposed now, if not yet.
pub(super) fn later(signed: &Signed) -> Result<Option<Block>, Fault> {
    let visit = &signed.visit;
    signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        let day = latest.agreement.file.effective_from;
        Ok((day > scope.book.business_date()).then(|| {
            let day = day.to_string();
            let text = visit.language.fill("amendment.later", &[&day]);
            Block::Notice(Tone::Warn, text)
        }))
    })
}

pub(in crate::console) async fn propose(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    let subject = Subject::named(fields.get("of"));
    signed.must(subject.roles())?;
    let visit = &signed.visit;
    let party = &signed.person.party;
    // Browsers end lines in two characters; documents are compared byte by byte.
    let text = fields.get(subject.name()).replace("\r\n", "\n");
    let policy = (subject == Subject::Policy).then_some(text.as_str());
    let reason = fields.get("reason").trim();
    let mut wrong = Vec::new();
    if reason.is_empty() {
        wrong.push(visit.t("amendment.no_reason").to_owned());
    }
    let (agreement, version) = signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        let (agreement, same) = match policy {
            None => {
                let mut versions = scope.book.versions().iter();
                let same = versions.any(|one| one.documents.agreement == text);
                (text.clone(), same)
            }
            Some(text) => (next_agreement(latest), policy_text(latest, party)? == text),
        };
        if same {
            wrong.push(visit.t("agreement.no_changes").to_owned());
        }
        let documents = documents(scope.book, &agreement, party, policy)?;
        // What would be wrong with it in another lender's place says little.
        if policy.and_then(lender_of).is_some_and(|of| of != *party) {
            let text = visit.language.fill("amendment.not_own", &[party]);
            wrong.push(text);
        } else {
            wrong.extend(refusals(visit, scope, &documents, Some(party)));
        }
        let version = Version::parse(documents).ok();
        let version = version.map_or(0, |version| version.agreement.file.version);
        Ok((agreement, version))
    })?;
    if !wrong.is_empty() {
        return form(
            &signed,
            StatusCode::UNPROCESSABLE_ENTITY,
            subject,
            &text,
            reason,
            wrong,
        );
    }
    let id = store::add(&signed, &agreement, policy, version, reason)?;
    Ok(go(&format!("/console/agreement/amendments/{id}")))
}
