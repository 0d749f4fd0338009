//! Whether the book is sound: how far its journal is, the last close, and who writes it.

use std::time::UNIX_EPOCH;

use axum::response::Response;
use tandem_journal::snapshot;

use super::audit::time;
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
    let snapshots = snapshots(&signed)?;
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
        sheet.section(snapshots);
        let section = Section::new("checks", visit.t("journal.checks"));
        sheet.section(section.with(Block::Table(checks(visit, scope))));
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// From what the book opens again without reading its whole journal.
fn snapshots(signed: &Signed) -> Result<Section, Fault> {
    let visit = &signed.visit;
    let failed = |error: std::io::Error| Fault::Failed(format!("snapshots: {error}"));
    let found = snapshot::list(signed.desk.snapshots()).map_err(failed)?;
    let mut table = Table::new(&[
        (visit.t("journal.after"), "!"),
        (visit.t("journal.written"), "!"),
        (visit.t("journal.age"), "#"),
        (visit.t("journal.size"), "#"),
    ])
    .empty(visit.t("journal.no_snapshot"));
    for (path, seq) in found {
        // One that is deleted meanwhile, because newer ones are there, is not shown.
        let Ok(about) = std::fs::metadata(&path) else {
            continue;
        };
        let written = about.modified().map_err(failed)?.duration_since(UNIX_EPOCH);
        let written = written.map_or(0, |since| since.as_secs() as i64);
        let age = (visit.console.now() - written).max(0);
        let age = [(age / 3600).to_string(), (age / 60 % 60).to_string()];
        let age = age.each_ref().map(String::as_str);
        let kibibytes = about.len().div_ceil(1024);
        table.row(vec![
            Cell::text(count(seq as i64)),
            Cell::text(time(written)),
            Cell::number(visit.language.fill("journal.hours", &age)),
            Cell::number(format!("{} KiB", count(kibibytes as i64))),
        ]);
    }
    Ok(Section::new("snapshots", visit.t("journal.snapshots"))
        .measured(visit.t("audit.utc"))
        .with(Block::Table(table)))
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
