//! Amendments, and the party's own policy, on the pages of the agreement and of approvals.

use super::super::blocks::{Block, Cell, Section, Table};
use super::super::page::{Fault, Signed, Visit};
use super::super::people::Role;
use super::amendment::Amendment;
use super::documents::parties;
use super::propose::{Subject, later};
use super::store::{OPEN, select};

/// Amendments, for the pages of the agreement and of approvals; none if there is nothing to show.
pub(in crate::console) fn section(
    signed: &Signed,
    only_open: bool,
) -> Result<Option<Section>, Fault> {
    let visit = &signed.visit;
    let which = if only_open { OPEN } else { "true" };
    let (book, party) = (signed.desk.name(), &signed.person.party);
    let all = select(&visit.console, book, party, which)?;
    let proposes = !only_open && signed.person.roles.has(Role::Operations);
    if all.is_empty() && !proposes {
        return Ok(None);
    }
    let mut table = Table::new(&[
        (visit.t("agreement.version"), "#"),
        (visit.t("approval.reason"), ""),
        (visit.t("amendment.by"), "?"),
        (visit.t("amendment.approved_by"), "?"),
        (visit.t("list.state"), ""),
    ])
    .empty(visit.t("amendment.none"));
    signed.look(|scope| {
        let parties = parties(scope);
        for amendment in &all {
            let approvers = amendment.approvers(&parties);
            let approved = approvers.iter().filter(|party| amendment.has(party));
            let values = [approved.count().to_string(), approvers.len().to_string()];
            let values = values.each_ref().map(String::as_str);
            table.row(vec![
                Cell::NumberLink(amendment.version.to_string(), amendment.path()),
                Cell::Link(amendment.reason.clone(), amendment.path()),
                Cell::text(scope.name_of(&amendment.party).unwrap_or(&amendment.party)),
                Cell::text(visit.language.fill("amendment.of", &values)),
                state(visit, amendment),
            ]);
        }
        Ok(())
    })?;
    let mut section =
        Section::new("amendments", visit.t("amendment.title")).with(Block::Table(table));
    if proposes {
        let propose = visit.t("amendment.propose").to_owned();
        let path = "/console/agreement/amendments".to_owned();
        section = section.with(Block::Links(vec![(propose, path)]));
    }
    Ok(Some(section))
}

fn state(visit: &Visit, amendment: &Amendment) -> Cell {
    let word = visit.word("proposal", &amendment.state);
    Cell::Badge(amendment.tone(), word.to_owned())
}

/// The party's policy as it was signed with a version, and where another is proposed.
pub(in crate::console) fn policy(signed: &Signed) -> Result<Option<Section>, Fault> {
    let visit = &signed.visit;
    let latest = signed.look(|scope| {
        let latest = scope.book.latest().ok_or(Fault::NotFound)?;
        let own = scope.policy(latest);
        let own = own.map(|(_, policy)| policy.file.version.clone());
        Ok(own.map(|own| (latest.agreement.file.version, own)))
    })?;
    let Some((version, policy)) = latest else {
        return Ok(None);
    };
    let mut links = vec![(
        visit.t("amendment.download").to_owned(),
        format!("/console/agreement/text/{version}?of=policy"),
    )];
    if signed.must(Subject::Policy.roles()).is_ok() {
        let propose = visit.t("amendment.propose_policy").to_owned();
        links.push((
            propose,
            "/console/agreement/amendments?of=policy".to_owned(),
        ));
    }
    let text = visit.language.fill("amendment.policy_text", &[&policy]);
    let mut section = Section::new("policy", visit.t("amendment.policy")).with(Block::Text(text));
    section.blocks.extend(later(signed)?);
    Ok(Some(section.with(Block::Links(links))))
}
