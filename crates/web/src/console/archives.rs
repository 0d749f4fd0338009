//! Loans that are over and left the book's memory: which archive has them, and what is still known
//! of them here, which is their events and the party's postings.

use axum::extract::Path;
use axum::response::Response;
use rusqlite::params;
use tandem_domain::book::{ApplicationState, Event};
use tandem_domain::calendar::Day;
use tandem_domain::money::Amount;

use super::blocks::{Block, Cell, Section, Sheet, Table, Tone, count};
use super::ledger;
use super::loans::{rows, timeline};
use super::overview::amounts_in;
use super::page::{Fault, Signed};
use super::scope::Scope;
use crate::read::EventRow;

/// Archives that are shown, newest first.
const SHOWN: usize = 200;

/// Loans of an archive that are shown.
const LOANS: usize = 500;

/// The kind of event that tells what was archived.
const KIND: &str = "loans.archived";

/// An archive: when, under which name, and the places of the loans that concern the party.
struct Archive {
    number: u64,
    day: Day,
    name: String,
    loans: Vec<u32>,
}

fn read(scope: &Scope<'_>, row: EventRow) -> Option<Archive> {
    let Event::Archived { name, mut loans } = row.event else {
        return None;
    };
    loans.retain(|place| scope.sees_loan(*place));
    Some(Archive {
        number: row.number,
        day: row.day,
        name,
        loans,
    })
}

/// Archives with loans that concern the party.
fn all(signed: &Signed) -> Result<Vec<Archive>, Fault> {
    let rows = signed.desk.reader().newest(KIND, None, SHOWN)?;
    signed.look(|scope| {
        let archives = rows.into_iter().filter_map(|row| read(scope, row));
        Ok(archives
            .filter(|archive| !archive.loans.is_empty())
            .collect())
    })
}

pub(super) async fn list(signed: Signed) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let mut sheet =
        Sheet::new(visit, visit.t("archive.title")).below("nav.loans", "/console/loans");
    sheet.lead = visit.t("archive.lead").to_owned();
    let mut table = Table::new(&[
        (visit.t("archive.archive"), ""),
        (visit.t("archive.day"), "!"),
        (visit.t("archive.loans"), "#"),
    ])
    .empty(visit.t("archive.none"));
    for archive in all(&signed)? {
        let path = format!("/console/archives/{}", archive.number);
        table.row(vec![
            Cell::Link(archive.name, path),
            Cell::text(archive.day.to_string()),
            Cell::number(count(archive.loans.len() as i64)),
        ]);
    }
    sheet.section(Section::new("archives", "").with(Block::Table(table)));
    visit.page(&sheet)
}

pub(super) async fn show(signed: Signed, Path(number): Path<u64>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let reader = signed.desk.reader();
    let row = reader.event(number)?.ok_or(Fault::NotFound)?;
    let archive = signed.look(|scope| {
        let archive = read(scope, row).filter(|archive| !archive.loans.is_empty());
        archive.ok_or(Fault::NotFound)
    })?;
    // A loan that left memory is known by the event that began it.
    let begun = reader.rows(|rows| {
        let mut select = rows.prepare_cached(
            "SELECT application, day FROM event WHERE loan = ?1 AND kind = 'loan.disbursed'",
        )?;
        let loans = archive.loans.iter().take(LOANS);
        let begun = loans.map(|loan| {
            select.query_row([loan], |row| Ok((row.get::<_, u32>(0)?, Day(row.get(1)?))))
        });
        begun.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let sheet = signed.look(|scope| {
        let mut sheet =
            Sheet::new(visit, archive.name.clone()).below("archive.title", "/console/archives");
        let loans = count(archive.loans.len() as i64);
        let day = archive.day.to_string();
        sheet.lead = visit.language.fill("archive.one", &[&loans, &day]);
        let mut table = Table::new(&[
            (visit.t("loan.key"), "!"),
            (visit.t("loan.disbursed_on"), ""),
        ]);
        for (application, day) in begun {
            let key = scope.book.application_in(application).key;
            table.row(vec![
                Cell::Link(key.to_owned(), super::loans::path(key)),
                Cell::text(day.to_string()),
            ]);
        }
        sheet.section(Section::new("loans", "").with(Block::Table(table)));
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// The place of a loan that is archived and concerns the party, and its application's.
pub(super) fn place(scope: &Scope<'_>, key: &str) -> Option<(u32, u32)> {
    let application = scope.book.application_place(key)?;
    let ApplicationState::Disbursed(place) = scope.book.application(key)?.state else {
        return None;
    };
    let archived = scope.book.is_archived(place) && scope.sees_loan(place);
    archived.then_some((place, application))
}

/// The page of a loan that is archived.
pub(super) fn loan(
    signed: &Signed,
    key: &str,
    (place, application): (u32, u32),
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let (events, postings) = rows(signed, place, application)?;
    let sums = signed.desk.reader().rows(|rows| {
        let mut select = rows.prepare_cached(
            "SELECT account, sum(amount) FROM posting WHERE party = ?1 AND loan = ?2
             GROUP BY account HAVING sum(amount) != 0 ORDER BY account",
        )?;
        let sums = select.query_map(params![signed.party.0, place], |row| {
            Ok((row.get::<_, u16>(0)?, Amount(row.get(1)?)))
        })?;
        sums.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let archives = all(signed)?;
    let archive = archives
        .into_iter()
        .find(|archive| archive.loans.contains(&place));
    let sheet = signed.look(|scope| {
        let currency = scope.currency();
        let mut sheet = Sheet::new(visit, key).below("nav.loans", "/console/loans");
        sheet.status = Some((Tone::Plain, visit.t("archive.archived").to_owned()));
        sheet.lead = visit.t("archive.loan").to_owned();
        let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
        let mut facts = Vec::new();
        if let Some(archive) = archive {
            let path = format!("/console/archives/{}", archive.number);
            facts.push(fact("archive.archive", Cell::Link(archive.name, path)));
            facts.push(fact("archive.day", Cell::text(archive.day.to_string())));
        }
        let begun = events
            .iter()
            .find(|row| matches!(row.event, Event::Disbursed { .. }));
        let begun = begun.map(|row| Cell::text(row.day.to_string()));
        facts.extend(begun.map(|begun| fact("loan.disbursed_on", begun)));
        let link = Cell::Link(key.to_owned(), super::applications::path(key));
        facts.push(fact("loan.application", link));
        sheet.add("facts", vec![Block::Facts(facts)]);
        let mut table = Table::new(&[
            (visit.t("ledger.account"), ""),
            (visit.t("ledger.balance"), "#"),
        ])
        .empty(visit.t("ledger.no_postings"));
        for (number, amount) in sums {
            let account = ledger::account(scope, number).ok_or(Fault::NotFound)?;
            table.row(vec![
                Cell::text(ledger::account_name(visit, scope, account)),
                Cell::Number(ledger::sided(visit, amount, scope)),
            ]);
        }
        sheet.section(
            Section::new("totals", visit.t("archive.totals"))
                .measured(amounts_in(visit, currency))
                .with(Block::Text(visit.t("archive.interest").to_owned()))
                .with(Block::Table(table)),
        );
        let moments = timeline(visit, scope, None, &events);
        let section = Section::new("timeline", visit.t("loan.timeline"));
        sheet.section(section.with(Block::Timeline(moments)));
        sheet.section(
            Section::new("postings", visit.t("loan.postings"))
                .measured(amounts_in(visit, currency))
                .with(Block::Table(ledger::lines(visit, scope, &postings, true))),
        );
        Ok(sheet)
    })?;
    visit.page(&sheet)
}
