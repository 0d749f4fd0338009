//! The agreement: what it says, how far its limits are used, its versions and how they differ.

use axum::extract::Query;
use axum::response::Response;
use serde::Deserialize;
use tandem_domain::agreement::{Fee, FeeTime, FundingMode, Netting, Recoveries};
use tandem_domain::book::Version;
use tandem_domain::money::Rate;

use super::blocks::{Block, Cell, Section, Sheet, Table, Tone, rate};
use super::overview;
use super::page::{Fault, Signed, Visit};
use super::scope::Scope;

/// Lines around a change that are shown with it.
const CONTEXT: usize = 3;

/// What is asked.
#[derive(Deserialize)]
pub(super) struct Asked {
    version: Option<u32>,
    /// The version to compare with.
    since: Option<u32>,
}

pub(super) async fn show(signed: Signed, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let mut sheet = signed.look(|scope| {
        let versions = scope.book.versions();
        let current = scope.book.current().ok_or(Fault::NotFound)?.1;
        let version = asked
            .version
            .map_or(Ok(current), |number| scope.version(number))?;
        let file = &version.agreement.file;
        let mut sheet = Sheet::new(visit, file.title.clone());
        sheet.lead = visit.language.fill(
            "agreement.lead",
            &[
                &file.version.to_string(),
                &file.effective_from.to_string(),
                &file.id,
            ],
        );
        let in_force = current.agreement.file.version == file.version;
        let key = if in_force {
            "agreement.in_force"
        } else {
            "agreement.not_in_force"
        };
        let tone = if in_force { Tone::Good } else { Tone::Plain };
        sheet.status = Some((tone, visit.t(key).to_owned()));
        if let Some(since) = asked.since {
            let before = scope.version(since)?;
            let lines = changed(&before.documents.agreement, &version.documents.agreement);
            let title = visit.language.fill(
                "agreement.changes",
                &[&since.to_string(), &file.version.to_string()],
            );
            let block = match lines.is_empty() {
                true => Block::Text(visit.t("agreement.no_changes").to_owned()),
                false => Block::Diff(lines),
            };
            sheet.section(Section::new("changes", title).with(block));
        }
        sheet.section(parties(visit, version));
        if in_force {
            sheet.section(overview::limits(visit, scope, false));
        }
        sheet.section(product(visit, version));
        sheet.section(funding(visit, scope, version));
        sheet.section(money(visit, scope, version));
        sheet.section(classes(visit, version));
        rules(visit, version, &mut sheet);
        sheet.section(versions_of(visit, versions));
        Ok(sheet)
    })?;
    sheet.sections.extend(super::amendments::policy(&signed)?);
    sheet
        .sections
        .extend(super::amendments::section(&signed, false)?);
    visit.page(&sheet)
}

fn parties(visit: &Visit, version: &Version) -> Section {
    let file = &version.agreement.file;
    let mut table = Table::new(&[
        (visit.t("agreement.party"), ""),
        (visit.t("agreement.kind"), ""),
        (visit.t("agreement.roles"), ""),
    ]);
    for party in &file.party {
        let guarantor = file
            .guarantee
            .as_ref()
            .map_or("", |guarantee| &guarantee.party);
        let roles = [
            ("lead", file.roles.lead.as_str()),
            ("platform", &file.roles.platform),
            ("servicer", &file.roles.servicer),
            ("guarantor", guarantor),
        ];
        let lenders = file.funding.lender.iter();
        let lenders = lenders.map(|lender| ("lender", lender.party.as_str()));
        let roles = lenders.chain(roles).filter(|(_, id)| *id == party.id);
        let roles: Vec<_> = roles
            .map(|(role, _)| visit.word("party_role", role))
            .collect();
        let kind = format!("{:?}", party.kind);
        table.row(vec![
            Cell::text(party.name.clone()),
            Cell::text(visit.word("party_kind", &kind).to_owned()),
            Cell::text(visit.list(&roles)),
        ]);
    }
    Section::new("parties", visit.t("agreement.parties")).with(Block::Table(table))
}

fn product(visit: &Visit, version: &Version) -> Section {
    let file = &version.agreement.file;
    let product = &file.product;
    let fact = |key: &str, text: String| (visit.t(key).to_owned(), Cell::Text(text));
    let terms: Vec<_> = product
        .terms_months
        .iter()
        .map(ToString::to_string)
        .collect();
    let bounds = format!("{} – {}", product.minimum_amount, product.maximum_amount);
    let amortisation = format!("{:?}", product.amortisation);
    let facts = vec![
        fact("agreement.amounts", bounds),
        fact(
            "agreement.terms",
            visit.language.fill("loan.months", &[&visit.list(&terms)]),
        ),
        fact(
            "agreement.amortisation",
            visit.word("amortisation", &amortisation).to_owned(),
        ),
        fact(
            "agreement.grace",
            visit
                .language
                .fill("agreement.days", &[&product.grace_days.to_string()]),
        ),
        fact("agreement.penalty", rate(product.penalty_rate)),
        fact(
            "agreement.charge_off",
            visit.language.fill(
                "agreement.days_past_due",
                &[&file.charge_off.days_past_due.to_string()],
            ),
        ),
    ];
    Section::new("product", visit.t("agreement.product")).with(Block::Facts(facts))
}

fn funding(visit: &Visit, scope: &Scope<'_>, version: &Version) -> Section {
    let file = &version.agreement.file;
    let mode = match file.funding.mode {
        FundingMode::Fixed => "agreement.fixed",
        FundingMode::Offers => "agreement.offers",
        FundingMode::InOrder => "agreement.in_order",
    };
    let mut table = Table::new(&[
        (visit.t("application.lender"), ""),
        (visit.t("agreement.share"), "#"),
        (visit.t("agreement.minimum_share"), "#"),
        (visit.t("agreement.maximum_share"), "#"),
        (visit.t("agreement.yield"), "#?"),
    ]);
    let shown = |value: Option<Rate>| value.map_or("–".to_owned(), rate);
    for lender in &file.funding.lender {
        table.row(vec![
            Cell::text(scope.name_of(&lender.party).unwrap_or("–")),
            Cell::number(shown(lender.share)),
            Cell::number(rate(lender.minimum_share)),
            Cell::number(rate(lender.maximum_share)),
            Cell::number(shown(lender.fixed_yield)),
        ]);
    }
    Section::new("funding", visit.t("agreement.funding"))
        .measured(visit.t(mode))
        .with(Block::Table(table))
}

/// Fees, guarantee and settlement.
fn money(visit: &Visit, scope: &Scope<'_>, version: &Version) -> Section {
    let file = &version.agreement.file;
    let name = |id: &str| {
        let name = scope.name_of(id);
        name.unwrap_or(visit.t("agreement.lenders")).to_owned()
    };
    let mut facts = Vec::new();
    for fee in &file.fee {
        let at = match fee.at {
            FeeTime::Disbursement => "agreement.fee_disbursement",
            FeeTime::Overdue => "agreement.fee_overdue",
            FeeTime::Instalment => "agreement.fee_instalment",
            FeeTime::Prepayment => "agreement.fee_prepayment",
        };
        let text = visit
            .language
            .fill("agreement.to", &[&fee_words(fee), &name(&fee.earned_by)]);
        facts.push((visit.t(at).to_owned(), Cell::Text(text)));
    }
    if let Some(fee) = &file.service_fee {
        let parts = [
            ("agreement.of_interest", fee.of_interest),
            ("agreement.of_collection", fee.of_collection),
        ];
        let parts = parts.into_iter().filter(|(_, part)| part.0 != 0);
        let parts: Vec<_> = parts
            .map(|(key, part)| visit.language.fill(key, &[&rate(part)]))
            .collect();
        let parts = visit.list(&parts);
        let text = visit
            .language
            .fill("agreement.to", &[&parts, &name(&fee.earned_by)]);
        facts.push((
            visit.t("agreement.service_fee").to_owned(),
            Cell::Text(text),
        ));
    }
    if let Some(guarantee) = &file.guarantee {
        let key = match guarantee.recoveries {
            Recoveries::GuarantorFirst => "agreement.guarantor_first",
            Recoveries::ProRata => "agreement.pro_rata",
        };
        let values = [
            name(&guarantee.party),
            rate(guarantee.covers),
            rate(guarantee.pool),
        ];
        let text = visit.language.fill(
            "agreement.guarantee_text",
            &values.each_ref().map(String::as_str),
        );
        let lines = vec![text, visit.t(key).to_owned()];
        facts.push((
            visit.t("agreement.guarantee").to_owned(),
            Cell::Lines(lines),
        ));
    }
    let netting = match file.settlement.netting {
        Netting::Bilateral => "agreement.bilateral",
        Netting::Multilateral => "agreement.multilateral",
    };
    let lag = file.settlement.lag_business_days.to_string();
    facts.push((
        visit.t("agreement.settlement").to_owned(),
        Cell::Lines(vec![
            visit.t(netting).to_owned(),
            visit.language.fill("agreement.lag", &[&lag]),
        ]),
    ));
    Section::new("guarantee", visit.t("agreement.money")).with(Block::Facts(facts))
}

fn fee_words(fee: &Fee) -> String {
    let mut parts = Vec::new();
    if !fee.rate.0.eq(&0) {
        parts.push(rate(fee.rate));
    }
    parts.extend(fee.amount.map(|amount| amount.to_string()));
    parts.extend(fee.minimum.map(|least| format!("≥ {least}")));
    parts.extend(fee.maximum.map(|most| format!("≤ {most}")));
    parts.join(", ")
}

fn classes(visit: &Visit, version: &Version) -> Section {
    let mut table = Table::new(&[
        (visit.t("overview.class"), "!"),
        (visit.t("agreement.from_days"), "#"),
        (visit.t("agreement.allowance"), "#"),
    ]);
    for class in &version.agreement.file.class {
        table.row(vec![
            Cell::text(visit.word("class", &class.name).to_owned()),
            Cell::number(class.from_days),
            Cell::number(rate(class.allowance)),
        ]);
    }
    Section::new("classes", visit.t("agreement.classes"))
        .half()
        .with(Block::Table(table))
}

fn rules(visit: &Visit, version: &Version, sheet: &mut Sheet<'_>) {
    let Some(rulebook) = &version.rulebook else {
        return;
    };
    let mut table = Table::new(&[
        (visit.t("agreement.rule"), "!"),
        (visit.t("agreement.rule_text"), ""),
        (visit.t("agreement.source"), "?"),
    ]);
    for rule in &rulebook.rule {
        table.row(vec![
            Cell::Code(rule.id.clone()),
            Cell::text(visit.word("rule", &rule.title)),
            Cell::Soft(visit.word("rule", &rule.source).to_owned()),
        ]);
    }
    let section = Section::new("rules", visit.t("agreement.rules"));
    sheet.section(
        section
            .measured(visit.word("rule", &rulebook.title))
            .with(Block::Table(table)),
    );
}

fn versions_of(visit: &Visit, versions: &[Version]) -> Section {
    let mut table = Table::new(&[
        (visit.t("agreement.version"), "#"),
        (visit.t("agreement.effective_from"), "!"),
        ("", ""),
        ("", "?"),
    ]);
    let mut before: Option<u32> = None;
    for version in versions {
        let file = &version.agreement.file;
        let number = file.version;
        let compare = before.map_or(Cell::text(""), |before| {
            let text = visit
                .language
                .fill("agreement.compare", &[&before.to_string()]);
            Cell::Link(
                text,
                format!("/console/agreement?version={number}&since={before}"),
            )
        });
        table.row(vec![
            Cell::NumberLink(
                number.to_string(),
                format!("/console/agreement?version={number}"),
            ),
            Cell::text(file.effective_from.to_string()),
            compare,
            Cell::Link(
                visit.t("amendment.download").to_owned(),
                format!("/console/agreement/text/{number}"),
            ),
        ]);
        before = Some(number);
    }
    Section::new("versions", visit.t("agreement.versions"))
        .half()
        .with(Block::Table(table))
}

/// The lines that differ, with some around them.
pub(super) fn changed(before: &str, after: &str) -> Vec<(char, String)> {
    let lines = diff(
        &before.lines().collect::<Vec<_>>(),
        &after.lines().collect::<Vec<_>>(),
    );
    let near = |place: usize| {
        let from = place.saturating_sub(CONTEXT);
        let to = (place + CONTEXT + 1).min(lines.len());
        lines[from..to].iter().any(|(sign, _)| *sign != ' ')
    };
    let kept = (0..lines.len()).filter(|place| near(*place));
    let mut shown: Vec<(char, String)> = Vec::new();
    let mut last = None;
    for place in kept {
        if last.is_some_and(|last| last + 1 < place) {
            shown.push((' ', "…".to_owned()));
        }
        last = Some(place);
        let (sign, line) = lines[place];
        shown.push((sign, line.to_owned()));
    }
    shown
}

/// Lines that stayed, were taken away (`-`) and added (`+`), by the longest common subsequence.
fn diff<'a>(before: &[&'a str], after: &[&'a str]) -> Vec<(char, &'a str)> {
    // What both begin with needs no table.
    let same = before
        .iter()
        .zip(after)
        .take_while(|(one, other)| one == other)
        .count();
    let mut lines: Vec<_> = before[..same].iter().map(|line| (' ', *line)).collect();
    let (before, after) = (&before[same..], &after[same..]);
    let width = after.len() + 1;
    let mut common = vec![0u32; (before.len() + 1) * width];
    for one in (0..before.len()).rev() {
        for other in (0..after.len()).rev() {
            common[one * width + other] = match before[one] == after[other] {
                true => common[(one + 1) * width + other + 1] + 1,
                false => common[(one + 1) * width + other].max(common[one * width + other + 1]),
            };
        }
    }
    let (mut one, mut other) = (0, 0);
    while one < before.len() || other < after.len() {
        if one < before.len() && other < after.len() && before[one] == after[other] {
            lines.push((' ', before[one]));
            (one, other) = (one + 1, other + 1);
        } else if other == after.len()
            || one < before.len()
                && common[(one + 1) * width + other] >= common[one * width + other + 1]
        {
            lines.push(('-', before[one]));
            one += 1;
        } else {
            lines.push(('+', after[other]));
            other += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_shown_with_lines_around_it() {
        let before = "a\nb\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl";
        let after = "a\nB\nc\nd\ne\nf\ng\nh\ni\nj\nk\nl\nm";
        let shown: Vec<_> = changed(before, after)
            .into_iter()
            .map(|(sign, line)| format!("{sign}{line}"))
            .collect();
        let expected = [
            " a", "-b", "+B", " c", " d", " e", " …", " j", " k", " l", "+m",
        ];
        assert_eq!(shown, expected);
        assert!(changed(before, before).is_empty());
    }
}
