//! Settlement windows as far as the party pays or receives in them, and its monthly statements.

use axum::extract::{Path, Query};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rusqlite::params;
use serde::Deserialize;
use tandem_domain::book::Event;
use tandem_domain::calendar::Day;
use tandem_domain::ledger::Account;
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;
use tandem_domain::settlement::{Plan, Transfer};

use super::applications::LINES;
use super::blocks::{Block, Cell, Filter, Input, InputKind, Section, Sheet, Table, Tone, money};
use super::figures::Month;
use super::ledger::account_name;
use super::overview::amounts_in;
use super::page::{Fault, Signed, Visit};
use super::scope::Scope;

/// What is asked of the list of windows.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// Only windows planned before this event.
    before: Option<u64>,
}

/// Plans, newest first, with the numbers of their events.
fn plans(signed: &Signed, before: u64, window: Option<Day>) -> Result<Vec<(u64, Plan)>, Fault> {
    let most = if window.is_some() { usize::MAX } else { LINES };
    let found = signed.desk.reader().rows(|rows| {
        let mut select = rows.prepare_cached(
            "SELECT number, body FROM event
             WHERE kind = 'settlement.planned' AND kind LIKE 'settlement.%' AND number < ?1
             AND (?2 IS NULL OR day = ?2) ORDER BY number DESC LIMIT ?3",
        )?;
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let found = select.query_map(params![before, window.map(|day| day.0), most], |row| {
            Ok((row.get::<_, i64>(0)? as u64, row.get::<_, Vec<u8>>(1)?))
        })?;
        found.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let plans = found
        .into_iter()
        .map(|(number, body)| match minicbor::decode(&body) {
            Ok(Event::Planned(plan)) => Ok((number, plan)),
            Ok(_) => Err(Fault::Failed("an event is not of its kind".to_owned())),
            Err(error) => Err(Fault::Failed(error.to_string())),
        });
    plans.collect()
}

/// True if a party pays or receives.
fn concerns(rows: &[Transfer], party: PartyId) -> bool {
    rows.iter().any(|row| row.from == party || row.to == party)
}

fn state(visit: &Visit, scope: &Scope<'_>, plan: &Plan) -> Cell {
    let waits = scope
        .book
        .plans()
        .iter()
        .any(|waiting| waiting.window == plan.window);
    match waits {
        true => Cell::Badge(Tone::Warn, visit.t("settlement.waits").to_owned()),
        false => Cell::Badge(Tone::Good, visit.t("settlement.settled").to_owned()),
    }
}

pub(super) async fn list(signed: Signed, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let plans = plans(&signed, asked.before.unwrap_or(u64::MAX), None)?;
    let sheet = signed.look(|scope| {
        let currency = scope.currency();
        let mut sheet = Sheet::new(visit, visit.t("nav.settlements"));
        sheet.lead = visit.t("settlement.lead").to_owned();
        if asked.before.is_none() {
            sheet.section(open_positions(visit, scope));
        }
        let mut table = Table::new(&[
            (visit.t("settlement.window"), "!"),
            (visit.t("settlement.paid_on"), "?!"),
            (visit.t("settlement.owes"), "#?"),
            (visit.t("settlement.is_owed"), "#?"),
            (visit.t("settlement.net"), "#"),
            (visit.t("list.state"), ""),
        ])
        .empty(visit.t("settlement.none"));
        for (_, plan) in plans
            .iter()
            .filter(|(_, plan)| concerns(&plan.obligations, scope.party))
        {
            let sum = |of: &dyn Fn(&Transfer) -> bool| {
                let rows = plan.obligations.iter().filter(|row| of(row));
                rows.map(|row| row.amount).sum::<Amount>()
            };
            let window = plan.window.to_string();
            table.row(vec![
                Cell::Link(window.clone(), format!("/console/settlements/{window}")),
                Cell::text(plan.settle_on.to_string()),
                Cell::amount(sum(&|row| row.from == scope.party), currency),
                Cell::amount(sum(&|row| row.to == scope.party), currency),
                Cell::amount(plan.net(scope.party), currency),
                state(visit, scope, plan),
            ]);
        }
        if let Some((last, _)) = plans.last().filter(|_| plans.len() == LINES) {
            table.more = Some(format!("/console/settlements?before={last}"));
        }
        sheet.section(
            Section::new("windows", visit.t("settlement.windows"))
                .measured(amounts_in(visit, currency))
                .with(Block::Table(table)),
        );
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// What the party and each other owe each other now, in windows that are open or wait.
fn open_positions(visit: &Visit, scope: &Scope<'_>) -> Section {
    let currency = scope.currency();
    let mut table = Table::new(&[
        (visit.t("settlement.party"), ""),
        (visit.t("settlement.owes"), "#?"),
        (visit.t("settlement.is_owed"), "#?"),
        (visit.t("settlement.net"), "#"),
    ])
    .empty(visit.t("settlement.nothing_open"));
    let balance = |account| scope.book.ledgers().balance(scope.party, account);
    for (other, party) in scope.agreement().parties() {
        let (from, to) = (
            balance(Account::DueFrom(other)),
            -balance(Account::DueTo(other)),
        );
        if other == scope.party || from.is_zero() && to.is_zero() {
            continue;
        }
        table.row(vec![
            Cell::text(party.name.clone()),
            Cell::amount(to, currency),
            Cell::amount(from, currency),
            Cell::Number(money(from - to, currency)),
        ]);
    }
    Section::new("open", visit.t("settlement.open"))
        .measured(amounts_in(visit, currency))
        .with(Block::Table(table))
}

pub(super) async fn show(signed: Signed, Path(window): Path<String>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let day: Day = window.parse().map_err(|_| Fault::NotFound)?;
    let plans = plans(&signed, u64::MAX, Some(day))?;
    let sheet = signed.look(|scope| {
        let concerned = |plan: &&(u64, Plan)| concerns(&plan.1.obligations, scope.party);
        let (event, plan) = plans.iter().find(concerned).ok_or(Fault::NotFound)?;
        let currency = scope.currency();
        let mut sheet = Sheet::new(visit, visit.language.fill("settlement.title", &[&window]))
            .below("nav.settlements", "/console/settlements");
        let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
        sheet.add(
            "facts",
            vec![Block::Facts(vec![
                fact("settlement.paid_on", Cell::text(plan.settle_on.to_string())),
                fact("list.state", state(visit, scope, plan)),
                fact(
                    "settlement.net",
                    Cell::Number(money(plan.net(scope.party), currency)),
                ),
                fact(
                    "ledger.event",
                    Cell::Link(event.to_string(), format!("/console/ledger/events/{event}")),
                ),
            ])],
        );
        let rows = |rows: &[Transfer]| {
            let mut table = Table::new(&[
                (visit.t("settlement.from"), ""),
                (visit.t("settlement.to"), ""),
                (visit.t("settlement.amount"), "#"),
            ])
            .empty(visit.t("settlement.no_rows"));
            let own = rows.iter().filter(|row| row.from != row.to);
            for row in own.filter(|row| row.from == scope.party || row.to == scope.party) {
                table.row(vec![
                    Cell::text(scope.name(row.from)),
                    Cell::text(scope.name(row.to)),
                    Cell::amount(row.amount, currency),
                ]);
            }
            Block::Table(table)
        };
        let measure = amounts_in(visit, currency);
        let gross = Section::new("gross", visit.t("settlement.gross"));
        sheet.section(
            gross
                .half()
                .measured(measure.clone())
                .with(rows(&plan.obligations)),
        );
        let net = Section::new("transfers", visit.t("settlement.transfers"));
        sheet.section(net.half().measured(measure).with(rows(&plan.transfers)));
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// What is asked of statements.
#[derive(Deserialize)]
pub(super) struct Which {
    #[serde(default)]
    month: String,
    /// Present if it is to be a file for spreadsheets.
    csv: Option<String>,
}

pub(super) async fn statement(
    signed: Signed,
    Query(which): Query<Which>,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let figures = signed.figures()?;
    let (sheet, file) = signed.look(|scope| {
        let currency = scope.currency();
        let (first, last) = figures.span().unwrap_or_else(|| {
            let month = Month::of(scope.book.business_date());
            (month, month)
        });
        let month = Month::named(&which.month).unwrap_or(last);
        let mut sheet = Sheet::new(
            visit,
            visit.language.fill("statement.title", &[&month.name()]),
        );
        sheet.lead = scope.name(scope.party).to_owned();
        let months = (first.0..=last.0).rev().map(|month| Month(month).name());
        let months = months.map(|name| (name.clone(), name)).collect();
        let filter = Filter {
            path: "/console/statements".to_owned(),
            inputs: vec![Input::new(
                "month",
                visit.t("statement.month"),
                month.name(),
                InputKind::Choice(months),
            )],
        };
        sheet.section(Section::new("filter", "").with(Block::Filter(filter)));
        let mut table = Table::new(&[
            (visit.t("ledger.number"), "#?"),
            (visit.t("ledger.account"), ""),
            (visit.t("statement.opening"), "#?"),
            (visit.t("ledger.debit"), "#"),
            (visit.t("ledger.credit"), "#"),
            (visit.t("statement.closing"), "#"),
        ])
        .empty(visit.t("ledger.no_postings"));
        let mut sums = (Amount::ZERO, Amount::ZERO);
        for account in Account::chart(scope.agreement().file.party.len()) {
            let number = account.number();
            let opening = figures.balance(Month(month.0 - 1), number);
            let turnover = figures.turnover(month, number);
            let closing = opening + turnover.debits - turnover.credits;
            let moved = !turnover.debits.is_zero() || !turnover.credits.is_zero();
            if !moved && closing.is_zero() {
                continue;
            }
            sums = (sums.0 + turnover.debits, sums.1 + turnover.credits);
            table.row(vec![
                Cell::number(number),
                Cell::Link(
                    account_name(visit, scope, account),
                    format!("/console/ledger/accounts/{number}"),
                ),
                Cell::amount(opening, currency),
                Cell::amount(turnover.debits, currency),
                Cell::amount(turnover.credits, currency),
                Cell::amount(closing, currency),
            ]);
        }
        if !table.rows.is_empty() {
            table.sum(vec![
                Cell::text(""),
                Cell::text(visit.t("overview.all")),
                Cell::text(""),
                Cell::amount(sums.0, currency),
                Cell::amount(sums.1, currency),
                Cell::text(""),
            ]);
        }
        let file = which.csv.as_ref().map(|_| {
            let party = &signed.person.party;
            let name = format!("statement-{party}-{}.csv", month.name());
            (name, table.csv())
        });
        let download = vec![(
            visit.t("statement.download").to_owned(),
            format!("/console/statements?month={}&csv=yes", month.name()),
        )];
        let section = Section::new("statement", visit.t("statement.accounts"));
        let measure = visit.language.fill("statement.measure", &[currency.code()]);
        let section = section.measured(measure).with(Block::Table(table));
        sheet.section(section.with(Block::Links(download)));
        Ok((sheet, file))
    })?;
    let Some((name, text)) = file else {
        return visit.page(&sheet);
    };
    let headers = [
        (header::CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
        (
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"{name}\""),
        ),
    ];
    Ok((headers, text).into_response())
}
