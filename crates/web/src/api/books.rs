//! Agreements and what their books say of the caller: limits, ledger, settlement; closing a day.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Extension, Json};
use rusqlite::params;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use tandem_domain::agreement::LimitScope;
use tandem_domain::book::{Command, Event};
use tandem_domain::calendar::Day;
use tandem_domain::field::{Kind, STANDARD};
use tandem_domain::ledger::Account;
use tandem_domain::money::Amount;
use tandem_domain::settlement::{Plan, Transfer as Owed};
use tandem_journal::lease::Node;

use super::list::{Cursor, Listed, PageQuery};
use super::loans::day;
use super::shape::{
    Agreement, Balance, Close, CloseRequest, Field, HandoverRequest, Limit, List, Money, Party,
    Posting, Settlement, StatementLine, Transfer,
};
use super::view::{Role, Seen, View};
use super::{Api, Body, Here, Params};
use crate::Service;
use crate::access::Caller;
use crate::problem::{self, Problem};
use crate::read::{Page, PostingFilter, PostingRow};

/// Days that one call may close in a sandbox.
const MOST_DAYS: i32 = 366;

/// The agreements that the caller's party is in.
#[utoipa::path(get, path = "/v1/agreements", tag = "agreements",
    operation_id = "listAgreements", security(("oauth" = ["agreements:read"])),
    responses((status = 200, body = Vec<Agreement>)))]
pub(super) async fn list(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<Vec<Agreement>>, Problem> {
    caller.require("agreements:read")?;
    let views = service
        .desks
        .values()
        .filter_map(|desk| View::of(desk, &caller.party));
    Ok(Json(views.map(|view| view.look(agreement)).collect()))
}

/// An agreement, as far as it concerns the caller.
#[utoipa::path(get, path = "/v1/agreements/{agreement}", tag = "agreements",
    params(("agreement" = String, Path,)),
    operation_id = "getAgreement", security(("oauth" = ["agreements:read"])),
    responses((status = 200, body = Agreement)))]
pub(super) async fn get(here: Here) -> Result<Json<Agreement>, Problem> {
    here.may("agreements:read")?;
    Ok(Json(here.view.look(agreement)))
}

fn agreement(seen: &Seen<'_>) -> Agreement {
    let (_, version) = seen.book.current().expect("the agreement is signed");
    let agreement = &version.agreement;
    let (file, currency) = (&agreement.file, agreement.currency());
    let kind = |kind: Kind| match kind {
        Kind::Money => "money",
        Kind::Rate => "rate",
        Kind::Integer => "integer",
        Kind::Date => "date",
        Kind::Text => "text",
    };
    let fields = agreement
        .scope
        .fields
        .iter()
        .enumerate()
        .skip(STANDARD.len());
    let money = |money: &tandem_domain::money::Money| Money::of(money.amount, currency);
    Agreement {
        id: file.id.clone(),
        title: file.title.clone(),
        version: file.version,
        effective_from: file.effective_from.to_string(),
        currency: currency.code().to_owned(),
        business_date: seen.book.business_date().to_string(),
        party: seen.id().to_owned(),
        parties: agreement
            .parties()
            .map(|(id, party)| {
                let roles = [
                    (agreement.lenders.get(agreement.lead) == Some(&id), "lead"),
                    (agreement.lenders.contains(&id), "lender"),
                    (agreement.platform == id, "platform"),
                    (agreement.servicer == id, "servicer"),
                    (agreement.guarantor == Some(id), "guarantor"),
                ];
                let has = roles.into_iter().filter(|(has, _)| *has);
                Party {
                    id: party.id.clone(),
                    name: party.name.clone(),
                    roles: has.map(|(_, role)| role.to_owned()).collect(),
                }
            })
            .collect(),
        minimum_amount: money(&file.product.minimum_amount),
        maximum_amount: money(&file.product.maximum_amount),
        terms_months: file.product.terms_months.clone(),
        fields: fields
            .map(|(place, (name, of))| Field {
                name: name.clone(),
                kind: kind(*of).to_owned(),
                visible: agreement.may_see(seen.id(), place),
            })
            .collect(),
    }
}

/// The limits that bind the caller, and all together, with their use.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/limits", tag = "agreements",
    params(("agreement" = String, Path,)),
    operation_id = "listLimits", security(("oauth" = ["agreements:read"])),
    responses((status = 200, body = Vec<Limit>)))]
pub(super) async fn limits(here: Here) -> Result<Json<Vec<Limit>>, Problem> {
    here.may("agreements:read")?;
    Ok(Json(here.view.look(limits_of)))
}

/// The limits that bind a party, and all together, with their use.
pub(crate) fn limits_of(seen: &Seen<'_>) -> Vec<Limit> {
    let (_, version) = seen.book.current().expect("the agreement is signed");
    let currency = version.agreement.currency();
    let limits = version.agreement.file.limit.iter().enumerate();
    let own = limits.filter(|(_, limit)| limit.lender.as_deref().is_none_or(|id| id == seen.id()));
    let used = seen.book.limits_used();
    own.map(|(place, limit)| {
        // Where each region counts by itself, there is no use of the limit as a whole.
        let whole = used
            .iter()
            .find(|used| used.limit == place && (used.region.is_none() || limit.region.is_some()));
        let cap = whole.map_or(limit.amount.amount, |whole| whole.most);
        Limit {
            clause: limit.clause.clone(),
            lender: limit.lender.clone(),
            per: match limit.per {
                LimitScope::Day => "day",
                LimitScope::Total => "total",
                LimitScope::Region => "region",
                LimitScope::Borrower => "borrower",
                LimitScope::Partner => "partner",
            }
            .to_owned(),
            region: limit.region.clone(),
            cap: Money::of(cap, currency),
            used: whole.map(|whole| Money::of(whole.used, currency)),
        }
    })
    .collect()
}

/// The balances of the caller's ledger that are not zero.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/balances", tag = "ledger",
    params(("agreement" = String, Path,)),
    operation_id = "listBalances", security(("oauth" = ["settlements:read"])),
    responses((status = 200, body = Vec<Balance>)))]
pub(super) async fn balances(here: Here) -> Result<Json<Vec<Balance>>, Problem> {
    here.may("settlements:read")?;
    Ok(Json(here.view.look(balances_of)))
}

/// The balances of a party's ledger that are not zero.
pub(crate) fn balances_of(seen: &Seen<'_>) -> Vec<Balance> {
    let chart = Account::chart(seen.agreement.file.party.len());
    let balances = chart.map(|account| (account, seen.book.ledgers().balance(seen.party, account)));
    let balances = balances.filter(|(_, balance)| !balance.is_zero());
    balances
        .map(|(account, balance)| Balance {
            account: account.number(),
            account_name: account.name().to_owned(),
            counterparty: counterparty(seen, account),
            balance: Money::of(balance, seen.agreement.currency()),
        })
        .collect()
}

fn counterparty(seen: &Seen<'_>, account: Account) -> Option<String> {
    account
        .counterparty()
        .map(|party| seen.name(party).to_owned())
}

/// Which postings.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those of this account.
    account: Option<u16>,
    /// Only those of this event.
    #[param(format = "uint64")]
    event: Option<u64>,
    /// Where the page begins, as the last page said.
    cursor: Option<String>,
    /// Lines on the page, 1 to 200 [default: 50]; an entry is never cut, so it can be some more.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// The caller's postings, newest first.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/postings", tag = "ledger",
    params(("agreement" = String, Path,), Filter),
    operation_id = "listPostings", security(("oauth" = ["settlements:read"])),
    responses((status = 200, body = List<Posting>)))]
pub(super) async fn postings(
    here: Here,
    Params(filter): Params<Filter>,
) -> Result<Listed<Posting>, Problem> {
    here.may("settlements:read")?;
    let page = PageQuery::new(filter.cursor.as_deref(), filter.limit)?;
    let wanted = PostingFilter {
        account: filter.account,
        event: filter.event,
        ..PostingFilter::of(here.view.party)
    };
    let (postings, next) = postings_of(&here.view, wanted, page.cursor.map(|c| c.0), page.limit)?;
    Ok(here.list(postings, next.map(Cursor)))
}

/// A page of a party's postings, newest first, and before which entry the next one begins.
pub(crate) fn postings_of(
    view: &View,
    filter: PostingFilter,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<Posting>, Option<u64>), Problem> {
    // No entry has more lines for one party than it has accounts.
    const SPARE: usize = 40;
    let page = Page {
        before,
        most: limit + SPARE,
    };
    let rows = view.desk.reader().postings(filter, page);
    let mut rows = rows.map_err(|error| Api::failed(&error))?;
    let mut next = None;
    if rows.len() > limit {
        let last = rows[limit - 1].entry;
        let end = rows.iter().position(|row| row.entry < last);
        if let Some(end) = end {
            rows.truncate(end);
            next = Some(last);
        }
    }
    Ok((
        view.look(|seen| rows.iter().map(|row| posting(seen, row)).collect()),
        next,
    ))
}

/// A posting as it is shown.
pub(super) fn posting(seen: &Seen<'_>, row: &PostingRow) -> Posting {
    let mut chart = Account::chart(seen.agreement.file.party.len());
    let account = chart.find(|account| account.number() == row.account);
    let loan = row.loan.and_then(|place| seen.book.loan_at(place));
    Posting {
        entry: row.entry,
        event: row.event,
        day: row.day.to_string(),
        kind: row.kind.clone(),
        loan: loan.map(|loan| seen.book.key_of(&loan).to_owned()),
        account: row.account,
        account_name: account.map_or("?", Account::name).to_owned(),
        counterparty: account.and_then(|account| counterparty(seen, account)),
        amount: Money::of(row.amount, seen.agreement.currency()),
    }
}

/// Over which days.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Days {
    /// First day.
    #[param(format = Date)]
    from: String,
    /// Last day.
    #[param(format = Date)]
    to: String,
}

/// The caller's statement: every account that moved or has a balance, over some business dates.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/statement", tag = "ledger",
    params(("agreement" = String, Path,), Days),
    operation_id = "getStatement", security(("oauth" = ["settlements:read"])),
    responses((status = 200, body = Vec<StatementLine>)))]
pub(super) async fn statement(
    here: Here,
    Params(days): Params<Days>,
) -> Result<Json<Vec<StatementLine>>, Problem> {
    here.may("settlements:read")?;
    let (from, to) = (day(&days.from, "query/from")?, day(&days.to, "query/to")?);
    if to < from {
        return Err(Problem::field(
            "query/to",
            "the last day lies before the first",
        ));
    }
    statement_of(&here.view, from, to).map(Json)
}

/// A party's statement over some business dates.
pub(crate) fn statement_of(view: &View, from: Day, to: Day) -> Result<Vec<StatementLine>, Problem> {
    let sums = view.desk.reader().rows(|rows| {
        let mut select = rows.prepare_cached(
            "SELECT account,
                    sum(amount) FILTER (WHERE day < ?2),
                    sum(amount) FILTER (WHERE day >= ?2 AND amount > 0),
                    -sum(amount) FILTER (WHERE day >= ?2 AND amount < 0)
             FROM posting WHERE party = ?1 AND day <= ?3 GROUP BY account ORDER BY account",
        )?;
        let sums = select.query_map(params![view.party.0, from.0, to.0], |row| {
            let amount = |place| {
                row.get::<_, Option<i64>>(place)
                    .map(|sum| Amount(sum.unwrap_or(0)))
            };
            Ok((row.get::<_, u16>(0)?, amount(1)?, amount(2)?, amount(3)?))
        })?;
        sums.collect::<rusqlite::Result<Vec<_>>>()
    });
    let sums = sums.map_err(|error| Api::failed(&error))?;
    Ok(view.look(|seen| {
        let money = |amount: Amount| Money::of(amount, seen.agreement.currency());
        let chart: BTreeMap<u16, Account> = Account::chart(seen.agreement.file.party.len())
            .map(|account| (account.number(), account))
            .collect();
        let moved = |&(_, opening, debits, credits): &(u16, Amount, Amount, Amount)| {
            [opening, debits, credits]
                .iter()
                .any(|amount| !amount.is_zero())
        };
        let lines = sums.into_iter().filter(moved);
        lines
            .map(|(number, opening, debits, credits)| StatementLine {
                account: number,
                account_name: chart
                    .get(&number)
                    .map_or("?", |account| account.name())
                    .to_owned(),
                counterparty: chart
                    .get(&number)
                    .and_then(|account| counterparty(seen, *account)),
                opening: money(opening),
                debits: money(debits),
                credits: money(credits),
                closing: money(opening + debits - credits),
            })
            .collect()
    }))
}

/// The settlement windows that concern the caller, newest first, with its own rows.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/settlements", tag = "settlement",
    params(("agreement" = String, Path,), super::events::After),
    operation_id = "listSettlements", security(("oauth" = ["settlements:read"])),
    responses((status = 200, body = List<Settlement>)))]
pub(super) async fn settlements(
    here: Here,
    Params(after): Params<super::events::After>,
) -> Result<Listed<Settlement>, Problem> {
    here.may("settlements:read")?;
    let page = PageQuery::new(after.cursor.as_deref(), after.limit)?;
    let (windows, next) = settlements_of(&here.view, page.cursor.map(|c| c.0), page.limit)?;
    Ok(here.list(windows, next.map(Cursor)))
}

/// A page of the settlement windows that concern a party, newest first.
pub(crate) fn settlements_of(
    view: &View,
    before: Option<u64>,
    limit: usize,
) -> Result<(Vec<Settlement>, Option<u64>), Problem> {
    let reader = view.desk.reader();
    let found = reader.newest("settlement.planned", before, limit + 1);
    let mut found = found.map_err(|error| Api::failed(&error))?;
    let next = (found.len() > limit).then(|| found[limit - 1].number);
    found.truncate(limit);
    Ok(view.look(|seen| {
        let windows = found.iter().filter_map(|row| match &row.event {
            Event::Planned(plan) => Some(settlement(seen, plan)),
            _ => None,
        });
        (windows.collect(), next)
    }))
}

fn settlement(seen: &Seen<'_>, plan: &Plan) -> Settlement {
    let waits = seen
        .book
        .plans()
        .iter()
        .any(|known| known.window == plan.window);
    let own = |rows: &[Owed]| {
        let own = rows
            .iter()
            .filter(|row| row.from == seen.party || row.to == seen.party);
        own.map(|row| Transfer {
            from: seen.name(row.from).to_owned(),
            to: seen.name(row.to).to_owned(),
            amount: Money::of(row.amount, seen.agreement.currency()),
        })
        .collect()
    };
    Settlement {
        window: plan.window.to_string(),
        settle_on: plan.settle_on.to_string(),
        state: if waits { "planned" } else { "settled" }.to_owned(),
        obligations: own(&plan.obligations),
        transfers: own(&plan.transfers),
    }
}

/// Closes the business date. In a sandbox any party may, and may close several days at once.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/days", tag = "agreements",
    params(("agreement" = String, Path,)), request_body = CloseRequest,
    operation_id = "closeDay", security(("oauth" = ["sandbox"]), ("oauth" = ["admin"])),
    responses((status = 201, body = Close)))]
pub(super) async fn close(
    here: Here,
    Body(request): Body<CloseRequest>,
) -> Result<impl IntoResponse, Problem> {
    if here.sandbox {
        here.may("sandbox")?;
    } else {
        here.may("admin")?;
        here.view.must_be(Role::Servicer)?;
    }
    let last = day(&request.day, "/day")?;
    if here.sandbox {
        close_until(&here.view, last).await?;
    } else {
        here.view
            .desk
            .execute(Command::CloseDay { day: last })
            .await?;
    }
    let close = here.view.look(|seen| {
        let close = seen.book.last_close()?;
        Some(Close {
            day: close.day.to_string(),
            business_date: seen.book.business_date().to_string(),
            active_loans: close.active_loans,
            outstanding: Money::of(close.outstanding, seen.agreement.currency()),
            digest: crate::hex(&close.digest),
        })
    });
    let close = close.ok_or_else(|| Problem::new(problem::STATE, "no day is closed yet"))?;
    Ok((StatusCode::CREATED, here.money(Json(close))))
}

/// Closes all days up to one, as in a sandbox.
pub(super) async fn close_until(view: &View, last: Day) -> Result<(), Problem> {
    let today = view.desk.look(|book| book.business_date());
    if last - today > MOST_DAYS {
        let message = format!("one call closes {MOST_DAYS} days at the most");
        return Err(Problem::field("/day", message));
    }
    let mut day = today.min(last);
    let mut commands = Vec::new();
    while day <= last {
        commands.push(Command::CloseDay { day });
        day = day + 1;
    }
    for answer in view.desk.submit(commands).await? {
        answer?;
    }
    Ok(())
}

/// Lets another node have the book, once all that was asked before is durable.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/handover", tag = "operation",
    params(("agreement" = String, Path,)), request_body = HandoverRequest,
    operation_id = "handOverBook", security(("oauth" = ["admin"])),
    responses((status = 202)))]
pub(super) async fn hand_over(
    here: Here,
    Body(request): Body<HandoverRequest>,
) -> Result<StatusCode, Problem> {
    here.may("admin")?;
    here.view.must_be(Role::Servicer)?;
    let to = Node {
        name: request.node,
        address: request.address,
    };
    here.view.desk.hand_over(to).await?;
    Ok(StatusCode::ACCEPTED)
}
