//! The party's own ledger: balances, the postings of an account, the event behind a posting.

use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;
use tandem_domain::book::{Event, words};
use tandem_domain::ledger::Account;
use tandem_domain::money::Amount;
use tandem_engine::disclosure::only;

use super::applications::LINES;
use super::blocks::{Block, Cell, Section, Sheet, Table, money};
use super::figures::Month;
use super::overview::amounts_in;
use super::page::{Fault, Signed, Visit};
use super::scope::Scope;
use crate::read::{EventRow, Page, PostingFilter, PostingRow};

/// Name of an account, with the counterparty of those between parties.
pub(super) fn account_name(visit: &Visit, scope: &Scope<'_>, account: Account) -> String {
    let name = visit.word("account", account.name());
    match account.counterparty() {
        Some(party) => format!("{name} {}", scope.name(party)),
        None => name.to_owned(),
    }
}

pub(super) fn account(scope: &Scope<'_>, number: u16) -> Option<Account> {
    let parties = scope.agreement().file.party.len();
    Account::chart(parties).find(|account| account.number() == number)
}

pub(super) async fn balances(signed: Signed) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let figures = signed.figures()?;
    let sheet = signed.look(|scope| {
        let currency = scope.currency();
        let month = Month::of(scope.book.business_date());
        let mut sheet = Sheet::new(visit, visit.t("nav.ledger"));
        sheet.lead = visit.t("ledger.lead").to_owned();
        let mut class = "";
        let mut table = Table::default();
        let mut sum = Amount::ZERO;
        let columns = || {
            Table::new(&[
                (visit.t("ledger.number"), "#"),
                (visit.t("ledger.account"), ""),
                (visit.t("ledger.debits_month"), "#?"),
                (visit.t("ledger.credits_month"), "#?"),
                (visit.t("ledger.balance"), "#"),
            ])
        };
        let mut end = |class: &'static str, table: Table, sum: Amount| {
            if table.rows.is_empty() {
                return;
            }
            let mut table = table;
            table.sum(vec![
                Cell::text(""),
                Cell::text(visit.t("overview.all")),
                Cell::text(""),
                Cell::text(""),
                Cell::Number(sided(visit, sum, scope)),
            ]);
            sheet.section(
                Section::new(class, visit.word("account_class", class))
                    .measured(amounts_in(visit, currency))
                    .with(Block::Table(table)),
            );
        };
        for account in Account::chart(scope.agreement().file.party.len()) {
            if account.class() != class {
                end(class, std::mem::replace(&mut table, columns()), sum);
                class = account.class();
                sum = Amount::ZERO;
            }
            let balance = scope.book.ledgers().balance(scope.party, account);
            let turnover = figures.turnover(month, account.number());
            if balance.is_zero() && !figures.accounts().contains(&account.number()) {
                continue;
            }
            sum += balance;
            table.row(vec![
                Cell::number(account.number()),
                Cell::Link(
                    account_name(visit, scope, account),
                    format!("/console/ledger/accounts/{}", account.number()),
                ),
                Cell::amount(turnover.debits, currency),
                Cell::amount(turnover.credits, currency),
                Cell::Number(sided(visit, balance, scope)),
            ]);
        }
        end(class, table, sum);
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// A balance with its side.
pub(super) fn sided(visit: &Visit, balance: Amount, scope: &Scope<'_>) -> String {
    let side = match balance.0 {
        0 => return "–".to_owned(),
        1.. => visit.t("ledger.debit_short"),
        _ => visit.t("ledger.credit_short"),
    };
    format!(
        "{} {side}",
        money(Amount(balance.0.abs()), scope.currency())
    )
}

/// What is asked of an account.
#[derive(Deserialize)]
pub(super) struct Asked {
    /// Only entries before this one.
    before: Option<u64>,
}

pub(super) async fn account_page(
    signed: Signed,
    Path(number): Path<u16>,
    Query(asked): Query<Asked>,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let filter = PostingFilter {
        account: Some(number),
        ..PostingFilter::of(signed.party)
    };
    let page = Page {
        before: asked.before,
        most: LINES,
    };
    let postings = signed.desk.reader().postings(filter, page)?;
    let sheet = signed.look(|scope| {
        let account = account(scope, number).ok_or(Fault::NotFound)?;
        let balance = scope.book.ledgers().balance(scope.party, account);
        let mut sheet = Sheet::new(visit, account_name(visit, scope, account))
            .below("nav.ledger", "/console/ledger");
        sheet.lead = visit.language.fill(
            "ledger.account_lead",
            &[
                &number.to_string(),
                &sided(visit, balance, scope),
                scope.currency().code(),
            ],
        );
        let mut table = lines(visit, scope, &postings, false);
        if let Some(last) = postings.last().filter(|_| postings.len() == LINES) {
            table.more = Some(format!(
                "/console/ledger/accounts/{number}?before={}",
                last.entry
            ));
        }
        let section = Section::new("postings", visit.t("loan.postings"));
        sheet.section(
            section
                .measured(amounts_in(visit, scope.currency()))
                .with(Block::Table(table)),
        );
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

/// Postings, each with a link to the event behind it.
pub(super) fn lines(
    visit: &Visit,
    scope: &Scope<'_>,
    postings: &[PostingRow],
    with_account: bool,
) -> Table {
    let currency = scope.currency();
    let mut table = Table::new(&[
        (visit.t("ledger.day"), "!"),
        (visit.t("ledger.entry"), "#?"),
        (
            visit.t(if with_account {
                "ledger.account"
            } else {
                "ledger.loan"
            }),
            "",
        ),
        (visit.t("ledger.kind"), "?"),
        (visit.t("ledger.debit"), "#"),
        (visit.t("ledger.credit"), "#"),
    ])
    .empty(visit.t("ledger.no_postings"));
    for posting in postings {
        let what = if with_account {
            let known = account(scope, posting.account);
            let name = known.map_or(posting.account.to_string(), |known| {
                account_name(visit, scope, known)
            });
            Cell::Link(
                name,
                format!("/console/ledger/accounts/{}", posting.account),
            )
        } else {
            let seen = posting.loan.filter(|loan| scope.sees_loan(*loan));
            match seen.and_then(|loan| scope.book.loan_at(loan)) {
                Some(loan) => {
                    let key = scope.book.key_of(&loan);
                    Cell::Link(key.to_owned(), super::loans::path(key))
                }
                None => Cell::text("–"),
            }
        };
        let amount = Cell::amount(Amount(posting.amount.0.abs()), currency);
        let (debit, credit) = match posting.amount.is_positive() {
            true => (amount, Cell::text("")),
            false => (Cell::text(""), amount),
        };
        table.row(vec![
            Cell::Link(
                posting.day.to_string(),
                format!("/console/ledger/events/{}", posting.event),
            ),
            Cell::number(posting.entry),
            what,
            Cell::text(visit.word("entry", &posting.kind)),
            debit,
            credit,
        ]);
    }
    table
}

/// True if an event is shown to a party.
fn is_shown(row: &EventRow, scope: &Scope<'_>) -> bool {
    match &row.event {
        Event::Decided(decided) => scope.application(&decided.key).is_ok(),
        _ => row.parties & only(scope.party) != 0,
    }
}

pub(super) async fn event(signed: Signed, Path(number): Path<u64>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let reader = signed.desk.reader();
    let row = reader.event(number)?.ok_or(Fault::NotFound)?;
    let filter = PostingFilter {
        event: Some(number),
        ..PostingFilter::of(signed.party)
    };
    let page = Page {
        before: None,
        most: 1_000,
    };
    let mut postings = reader.postings(filter, page)?;
    postings.sort_by_key(|posting| posting.entry);
    let sheet = signed.look(|scope| {
        if !is_shown(&row, scope) {
            return Err(Fault::NotFound);
        }
        let currency = scope.currency();
        let title = visit.word("event", &row.kind).to_owned();
        let mut sheet = Sheet::new(visit, title).below("nav.ledger", "/console/ledger");
        let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
        let mut facts = vec![
            fact("ledger.event", Cell::number(number)),
            fact("ledger.batch", Cell::number(row.batch)),
            fact("ledger.day", Cell::text(row.day.to_string())),
        ];
        let loan = row.loan.filter(|place| scope.sees_loan(*place));
        if let Some(loan) = loan.and_then(|place| scope.book.loan_at(place)) {
            let key = scope.book.key_of(&loan);
            facts.push(fact(
                "ledger.loan",
                Cell::Link(key.to_owned(), super::loans::path(key)),
            ));
        } else if let Some(record) = row.application.and_then(|at| scope.book.application_at(at)) {
            let link = super::applications::path(record.key);
            facts.push(fact(
                "application.key",
                Cell::Link(record.key.to_owned(), link),
            ));
        }
        match &row.event {
            Event::Instructed {
                key, transaction, ..
            } => {
                let words = words::write(&transaction.action, scope.agreement());
                facts.push(fact("ledger.instruction", Cell::Code(words)));
                facts.push(fact("ledger.key", Cell::Code(key.clone())));
                let day = transaction.day.to_string();
                facts.push(fact("ledger.value_date", Cell::text(day)));
            }
            Event::Reversed { key, .. } => {
                facts.push(fact("ledger.key", Cell::Code(key.clone())));
            }
            Event::ChargedOff { change, .. } => {
                let amount = currency.show(change.charged_off);
                facts.push(fact("loan.written_off", Cell::Number(amount)));
            }
            Event::Planned(plan) => {
                let window = plan.window.to_string();
                let link = Cell::Link(window.clone(), format!("/console/settlements/{window}"));
                facts.push(fact("settlement.window", link));
            }
            Event::Settled { window, .. } => {
                let window = window.to_string();
                let link = Cell::Link(window.clone(), format!("/console/settlements/{window}"));
                facts.push(fact("settlement.window", link));
            }
            _ => {}
        }
        sheet.add("facts", vec![Block::Facts(facts)]);
        let section = Section::new("postings", visit.t("ledger.own_postings"));
        let table = Block::Table(lines(visit, scope, &postings, true));
        sheet.section(section.measured(amounts_in(visit, currency)).with(table));
        Ok(sheet)
    })?;
    visit.page(&sheet)
}
