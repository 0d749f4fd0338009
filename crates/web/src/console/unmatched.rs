//! Sales that wait for their other side: what a party is asked to agree to, and what it has instructed
//! itself.

use axum::extract::Path;
use axum::response::Response;
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Sale};

use super::Console;
use super::approvals::{self, Deed};
use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, count};
use super::overview::amounts_in;
use super::page::{Fault, Fields, Signed, Visit, go};
use super::people::{Person, Role};
use super::scope::Scope;
use crate::registry::{self, values};
use crate::sales::{self, Instructed};

const LIST: &str = "/console/approvals";

/// Number of sales that wait for this person on a business date.
pub(super) fn waiting(
    console: &Console,
    book: &str,
    person: &Person,
    day: Day,
) -> registry::Result<i64> {
    if !person.roles.has(Role::Operations) {
        return Ok(0);
    }
    let text = "select count(*) from sale where book = ?1 and (seller = ?2 or buyer = ?2)
                and party <> ?2 and book_key is null and valid_to >= ?3";
    let values = values![book, &person.party, day.0];
    console.registry.read(|tables| tables.value(text, values))
}

fn all(signed: &Signed) -> registry::Result<Vec<Instructed>> {
    sales::waiting(&signed.visit.console.registry, &signed.view())
}

/// Sales that wait, for the page of approvals; none if there are none.
pub(super) fn section(signed: &Signed) -> Result<Option<Section>, Fault> {
    let visit = &signed.visit;
    let waiting = all(signed)?;
    if waiting.is_empty() {
        return Ok(None);
    }
    signed.look(|scope| {
        let mut table = Table::new(&[
            (visit.t("ledger.loan"), ""),
            (visit.t("unmatched.seller"), "?"),
            (visit.t("approval.buyer"), "?"),
            (visit.t("approval.part"), "#"),
            (visit.t("approval.price"), "#"),
            (visit.t("unmatched.outstanding"), "#"),
            (visit.t("loan.days_past_due"), "#?"),
            (visit.t("unmatched.valid_to"), "?"),
            ("", ""),
        ]);
        for one in &waiting {
            let (outstanding, days) = one.standing(scope.seen());
            table.row(vec![
                loan(scope, one),
                Cell::text(name(scope, &one.seller)),
                Cell::text(name(scope, &one.buyer)),
                Cell::number(one.part),
                Cell::number(one.price),
                Cell::amount(outstanding, scope.currency()),
                Cell::number(count(days)),
                Cell::text(one.valid_to.to_string()),
                act(visit, &signed.person, one),
            ]);
        }
        let section = Section::new("unmatched", visit.t("unmatched.title"))
            .measured(amounts_in(visit, scope.currency()))
            .with(Block::Table(table));
        Ok(Some(section))
    })
}

/// The loan; a buyer may not see it yet.
fn loan(scope: &Scope<'_>, one: &Instructed) -> Cell {
    let key = one.loan.clone();
    match scope.loan(&key) {
        Ok(_) => Cell::Link(key.clone(), super::loans::path(&key)),
        Err(_) => Cell::text(key),
    }
}

fn name(scope: &Scope<'_>, party: &str) -> String {
    scope.name_of(party).unwrap_or(party).to_owned()
}

/// What a person can do about it.
fn act(visit: &Visit, person: &Person, one: &Instructed) -> Cell {
    let path = format!("/console/sales/{}", one.id);
    let may = |role| person.roles.has(role);
    match one.party == person.party {
        true if may(Role::Operations) || may(Role::Approver) => {
            let label = visit.t("unmatched.take_back").to_owned();
            Cell::Button(format!("{path}/withdraw"), Vec::new(), label)
        }
        true => Cell::text(visit.t("unmatched.waits")),
        false => Cell::Link(visit.t("unmatched.look").to_owned(), path),
    }
}

fn one(signed: &Signed, id: i64) -> Result<Instructed, Fault> {
    let found = all(signed)?.into_iter().find(|one| one.id == id);
    found.ok_or(Fault::NotFound)
}

pub(super) async fn show(signed: Signed, Path(id): Path<i64>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let one = one(&signed, id)?;
    let sheet = signed.look(|scope| {
        let title = visit.language.fill("unmatched.one", &[&one.loan]);
        let mut sheet = Sheet::new(visit, title).below("nav.approvals", LIST);
        let (outstanding, days) = one.standing(scope.seen());
        let outstanding = scope.currency().show(outstanding);
        let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
        let facts = vec![
            fact("ledger.loan", loan(scope, &one)),
            fact("unmatched.seller", Cell::text(name(scope, &one.seller))),
            fact("approval.buyer", Cell::text(name(scope, &one.buyer))),
            fact("approval.part", Cell::text(one.part.to_string())),
            fact("approval.price", Cell::text(one.price.to_string())),
            fact("unmatched.outstanding", Cell::text(outstanding)),
            fact("loan.days_past_due", Cell::text(count(days))),
            fact(
                "approval.value_date",
                Cell::text(one.value_date.to_string()),
            ),
            fact("unmatched.valid_to", Cell::text(one.valid_to.to_string())),
        ];
        sheet.add("facts", vec![Block::Facts(facts)]);
        let asked = one.party != signed.person.party;
        if asked && signed.person.roles.has(Role::Operations) {
            let reason = visit.t("approval.reason");
            let form = Form {
                action: format!("/console/sales/{id}/agree"),
                inputs: vec![Input::new("reason", reason, "", InputKind::Text)],
                submit: visit.t("unmatched.agree").to_owned(),
            };
            sheet.section(
                Section::new("agree", visit.t("approval.propose"))
                    .with(Block::Text(visit.t("unmatched.agree_text").to_owned()))
                    .with(Block::Form(form)),
            );
        }
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// Decides on a sale that waits: `agree` proposes it, `withdraw` takes the party's own back.
pub(super) async fn decide(
    signed: Signed,
    Path((id, what)): Path<(i64, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    let one = one(&signed, id)?;
    let own = one.party == signed.person.party;
    match what.as_str() {
        "agree" if !own => {
            signed.must(&[Role::Operations])?;
            let sale = signed.look(|scope| {
                let party = |id: &str| scope.agreement().party_id(id).ok_or(Fault::NotFound);
                Ok(Sale {
                    seller: party(&one.seller)?,
                    buyer: party(&one.buyer)?,
                    part: one.part,
                    price: one.price,
                })
            })?;
            let deed = Deed::Does(Action::Transfer(sale));
            let reason = fields.get("reason");
            approvals::add(&signed, &one.loan, &deed, Some(one.value_date), reason)
        }
        "withdraw" if own => {
            signed.must(&[Role::Operations, Role::Approver])?;
            let registry = &signed.visit.console.registry;
            sales::take_back(registry, signed.desk.name(), &one.party, &one.key)?;
            Ok(go(LIST))
        }
        "agree" | "withdraw" => Err(Fault::Forbidden),
        _ => Err(Fault::NotFound),
    }
}
