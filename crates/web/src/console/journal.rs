//! Whether the book is sound: how far its journal is, the last close, and who writes it.

use axum::response::Response;

use super::blocks::{Block, Cell, Section, Sheet, Table, Tone, count};
use super::page::{Fault, Signed, Visit};
use super::scope::Scope;
use crate::desk::Role;
use crate::hex;

pub(super) async fn show(signed: Signed) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let desk = &signed.desk;
    let head = desk.reader().head();
    let role = match desk.role() {
        Role::Opening => (Tone::Warn, visit.t("journal.opening").to_owned()),
        Role::Owner => (Tone::Good, visit.t("journal.owner").to_owned()),
        Role::Standby(node) => (
            Tone::Plain,
            visit.language.fill("journal.standby", &[&node.name]),
        ),
        Role::Stopped(why) => (Tone::Bad, visit.language.fill("journal.stopped", &[&why])),
    };
    let events: i64 = desk.reader().rows(|rows| {
        let text = "SELECT coalesce(max(number), 0) FROM event";
        rows.query_row(text, [], |row| row.get(0))
    })?;
    let sheet = signed.look(|scope| {
        let mut sheet = Sheet::new(visit, visit.t("nav.journal"));
        sheet.lead = visit.t("journal.lead").to_owned();
        sheet.status = Some(role.clone());
        let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
        let facts = vec![
            fact("journal.batch", Cell::number(count(head.seq as i64))),
            fact("journal.events", Cell::number(count(events))),
            fact(
                "journal.entries",
                Cell::number(count(scope.book.ledgers().entries() as i64)),
            ),
            fact("journal.head", Cell::Code(hex(&head.hash.0))),
        ];
        sheet.section(Section::new("head", visit.t("journal.chain")).with(Block::Facts(facts)));
        if let Some(close) = scope.book.last_close() {
            let facts = vec![
                fact("journal.closed_day", Cell::text(close.day.to_string())),
                fact("journal.loans", Cell::number(count(close.active_loans))),
                fact("journal.entries", Cell::number(count(close.entries as i64))),
                fact("journal.digest", Cell::Code(hex(&close.digest))),
            ];
            sheet.section(
                Section::new("close", visit.t("journal.last_close")).with(Block::Facts(facts)),
            );
        }
        let section = Section::new("checks", visit.t("journal.checks"));
        sheet.section(section.with(Block::Table(checks(visit, scope))));
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// What must hold of the party's own ledger.
fn checks(visit: &Visit, scope: &Scope<'_>) -> Table {
    let mut table = Table::new(&[(visit.t("journal.check"), ""), (visit.t("list.state"), "")]);
    let unbalanced = scope
        .book
        .ledgers()
        .unbalanced()
        .any(|(party, _)| party == scope.party);
    let unmirrored = scope
        .book
        .ledgers()
        .unmirrored()
        .any(|(one, other)| [one, other].contains(&scope.party));
    for (key, broken) in [
        ("journal.balanced", unbalanced),
        ("journal.mirrored", unmirrored),
        ("journal.closing", scope.book.is_closing()),
    ] {
        let badge = match broken {
            false => Cell::Badge(Tone::Good, visit.t("journal.holds").to_owned()),
            true => Cell::Badge(Tone::Bad, visit.t("journal.broken").to_owned()),
        };
        table.row(vec![Cell::text(visit.t(key)), badge]);
    }
    table
}
