//! What an amendment has the book sign, and why the book would not.

use serde::Deserialize;
use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Book, Documents, Refusal, Version};
use tandem_domain::document::{Document, Problem};
use tandem_domain::policy::{Policy, PolicyFile};
use toml::Spanned;

use super::super::page::{Fault, Visit};
use super::super::scope::Scope;

/// The latest documents with another agreement, and another policy of a lender if there is one.
pub(super) fn documents(
    book: &Book,
    agreement: &str,
    lender: &str,
    policy: Option<&str>,
) -> Result<Documents, Fault> {
    let latest = book.latest().ok_or(Fault::NotFound)?;
    let mut documents = latest.documents.clone();
    agreement.clone_into(&mut documents.agreement);
    if let Some(policy) = policy {
        let place = policy_place(latest, lender).ok_or(Fault::NotFound)?;
        policy.clone_into(&mut documents.policies[place]);
    }
    Ok(documents)
}

/// Place of a lender's policy among the documents of a version.
fn policy_place(version: &Version, lender: &str) -> Option<usize> {
    version.documents.policies.iter().position(|text| {
        let policy = Policy::parse(text, &version.agreement);
        policy.is_ok_and(|policy| policy.file.lender == lender)
    })
}

/// The lender whose policy a text is, if it can be read.
pub(super) fn lender_of(policy: &str) -> Option<String> {
    let file: PolicyFile = Document::parse(policy).ok()?.read().ok()?;
    Some(file.lender)
}

/// A lender's policy as it was signed with a version.
pub(super) fn policy_text<'a>(version: &'a Version, lender: &str) -> Result<&'a str, Fault> {
    let place = policy_place(version, lender).ok_or(Fault::NotFound)?;
    Ok(&version.documents.policies[place])
}

/// The latest agreement under the number of its next version, with the rest as it is written.
pub(super) fn next_agreement(latest: &Version) -> String {
    #[derive(Deserialize)]
    struct Numbered {
        version: Spanned<u32>,
    }
    let mut agreement = latest.documents.agreement.clone();
    if let Ok(Numbered { version }) = toml::from_str(&agreement) {
        let next = version.get_ref() + 1;
        agreement.replace_range(version.span(), &next.to_string());
    }
    agreement
}

/// Why the book would refuse to sign documents, as a party may know it, or as all may: what is in a
/// policy is told to its lender only.
pub(super) fn refusals(
    visit: &Visit,
    scope: &Scope<'_>,
    documents: &Documents,
    to: Option<&str>,
) -> Vec<String> {
    let problems = match scope.book.can_sign(documents.clone()) {
        Ok(()) => return Vec::new(),
        Err(Refusal::InvalidDocuments(problems)) => problems,
        Err(refusal) => return vec![refusal.to_string()],
    };
    let words = |problems: Vec<Problem>| problems.into_iter().map(|problem| problem.to_string());
    let Ok(agreement) = Agreement::parse(&documents.agreement) else {
        return words(problems).collect();
    };
    let version = agreement.file.version;
    if scope.version(version).is_ok() {
        let id = agreement.file.id;
        return vec![Refusal::VersionUsed { id, version }.to_string()];
    }
    let mut wrong = Vec::new();
    for text in &documents.policies {
        let Err(problems) = Policy::parse(text, &agreement) else {
            continue;
        };
        match lender_of(text) {
            Some(lender) if to != Some(lender.as_str()) => {
                let lender = scope.name_of(&lender).unwrap_or(&lender);
                wrong.push(visit.language.fill("amendment.unfit", &[lender]));
            }
            // One that cannot be read was never signed, so it is the one that is proposed.
            _ => wrong.extend(words(problems)),
        }
    }
    if wrong.is_empty() {
        wrong.extend(words(problems));
    }
    wrong
}

/// Ids of all parties of the agreement as last signed: each must approve.
pub(super) fn parties(scope: &Scope<'_>) -> Vec<String> {
    let parties = scope.agreement().parties();
    parties.map(|(_, party)| party.id.clone()).collect()
}
