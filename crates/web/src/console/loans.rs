//! Loans: the list, and one with its life, plan, parts and postings.

use axum::extract::{Path, Query};
use axum::response::Response;
use tandem_domain::book::{Event, Loan, words};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Due, Own, Status, schedule};
use tandem_domain::money::{Amount, Currency};
use tandem_engine::disclosure::only;

use super::applications::Asked;
use super::blocks::{
    Block, Cell, Moment, Section, Sheet, Table, Tone, count, money, percent, rate,
};
use super::ledger;
use super::overview::amounts_in;
use super::page::{Fault, Signed, Visit, form_escaped};
use super::scope::Scope;
use super::{approvals, archives};
use crate::read::{EventRow, Page, PostingFilter, PostingRow};

/// Path of the list.
const LIST: &str = "/console/loans";

/// Loans that are looked through for a page.
const LOOKED_AT: usize = 20_000;

/// Instalments to come that are shown beside those unpaid.
const COMING: usize = 6;

/// The page of a loan.
pub(super) fn path(key: &str) -> String {
    format!("{LIST}/{}", form_escaped(key).replace('/', "%2F"))
}

/// Name and tone of a loan's status; that of an active loan is its class.
fn status<'a>(scope: &'a Scope<'_>, loan: &Loan) -> (Tone, &'a str, &'static str) {
    match loan.position.status {
        Status::Repaid => (Tone::Good, "repaid", "status"),
        Status::ChargedOff => (Tone::Bad, "charged_off", "status"),
        Status::Active => {
            let classes = &scope.book.version_of(loan).agreement.file.class;
            let class = classes.get(usize::from(loan.class)).or(classes.last());
            let tone = match loan.class {
                0 => Tone::Plain,
                1 => Tone::Warn,
                _ => Tone::Bad,
            };
            (
                tone,
                class.map_or("–", |class| class.name.as_str()),
                "class",
            )
        }
    }
}

fn is_asked(scope: &Scope<'_>, loan: &Loan, state: &str) -> bool {
    let active = loan.position.status == Status::Active;
    match state {
        "" => true,
        "active" => active,
        "late" => active && loan.class > 0,
        state => status(scope, loan).1 == state,
    }
}

pub(super) async fn list(signed: Signed, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let key = asked.key.trim();
    let is_known =
        |scope: &Scope<'_>| scope.loan(key).is_ok() || archives::place(scope, key).is_some();
    if !key.is_empty() && signed.look(|scope| Ok(is_known(scope)))? {
        return Ok(super::page::go(&path(key)));
    }
    let sheet = signed.look(|scope| {
        let currency = scope.currency();
        let mut sheet = Sheet::new(visit, visit.t("nav.loans"));
        let statuses = ["active", "late", "repaid", "charged_off"];
        let statuses =
            statuses.map(|name| (name.to_owned(), visit.word("status", name).to_owned()));
        let classes = scope.agreement().file.class.iter().map(|class| {
            let word = visit.word("class", &class.name).to_owned();
            (class.name.clone(), word)
        });
        let states = statuses.into_iter().chain(classes).collect();
        sheet.section(asked.filter(visit, LIST, states));
        let table = Table::new(&[
            (visit.t("loan.key"), "!"),
            (visit.t("loan.disbursed_on"), "?!"),
            (visit.t("loan.principal"), "#?"),
            (visit.t("loan.outstanding"), "#"),
            (visit.t("loan.own_part"), "#"),
            (visit.t("loan.rate"), "#?"),
            (visit.t("loan.days_past_due"), "#?"),
            (visit.t("list.state"), ""),
        ]);
        let count = (scope.book.loan_count(), LOOKED_AT);
        let table = asked.fill(visit, LIST, count, table, |place| {
            // What is archived is not in memory.
            let loan = scope
                .sees_loan(place)
                .then(|| scope.book.loan_at(place))??;
            let shown = is_asked(scope, &loan, &asked.state);
            shown.then(|| row(visit, scope, &loan, currency))
        });
        let list = Section::new("list", "").measured(amounts_in(visit, currency));
        sheet.section(list.with(Block::Table(table)));
        if scope.book.archived() > 0 {
            let link = (
                visit.t("archive.title").to_owned(),
                "/console/archives".to_owned(),
            );
            sheet.add("archives", vec![Block::Links(vec![link])]);
        }
        sheet.lead = amounts_in(visit, currency);
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

fn row(visit: &Visit, scope: &Scope<'_>, loan: &Loan, currency: Currency) -> Vec<Cell> {
    let key = scope.book.key_of(loan);
    let own = loan
        .split(&scope.book.version_of(loan).agreement)
        .own(scope.party);
    let (tone, name, group) = status(scope, loan);
    let days = scope.days_past_due(loan);
    let late = loan.position.status == Status::Active && days > 0;
    vec![
        Cell::Link(key.to_owned(), path(key)),
        Cell::text(loan.disbursed_on.to_string()),
        Cell::amount(loan.principal, currency),
        Cell::amount(loan.position.outstanding(), currency),
        Cell::amount(own.outstanding, currency),
        Cell::number(rate(loan.position.contract.rate)),
        Cell::number(if late { count(days) } else { "–".to_owned() }),
        Cell::Badge(tone, visit.word(group, name).to_owned()),
    ]
}

/// Events of a loan and of its application, and the party's newest postings of it.
pub(super) fn rows(
    signed: &Signed,
    place: u32,
    application: u32,
) -> Result<(Vec<EventRow>, Vec<PostingRow>), Fault> {
    let reader = signed.desk.reader();
    let filter = PostingFilter {
        loan: Some(place),
        ..PostingFilter::of(signed.party)
    };
    let most = Page {
        before: None,
        most: 200,
    };
    Ok((
        reader.events_of(application)?,
        reader.postings(filter, most)?,
    ))
}

pub(super) async fn show(signed: Signed, Path(key): Path<String>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    if let Some(place) = signed.look(|scope| Ok(archives::place(scope, &key)))? {
        return archives::loan(&signed, &key, place);
    }
    let (place, application) = signed.look(|scope| {
        let (place, loan) = scope.loan(&key)?;
        Ok((place, loan.application))
    })?;
    let (events, postings) = rows(&signed, place, application)?;
    let proposals = approvals::of_loan(&signed, &key)?;
    let sheet = signed.look(|scope| {
        let (_, loan) = scope.loan(&key)?;
        let agreement = &scope.book.version_of(&loan).agreement;
        let currency = agreement.currency();
        let (tone, name, group) = status(scope, &loan);
        let mut sheet = Sheet::new(visit, key.clone()).below("nav.loans", "/console/loans");
        sheet.status = Some((tone, visit.word(group, name).to_owned()));
        sheet.add(
            "facts",
            vec![Block::Facts(facts(visit, scope, &loan, currency))],
        );
        sheet.section(parts(visit, scope, &loan, currency));
        let moments = Block::Timeline(timeline(visit, scope, Some(loan.principal), &events));
        sheet.section(
            Section::new("timeline", visit.t("loan.timeline"))
                .half()
                .with(moments),
        );
        sheet.section(due(visit, scope, &loan, currency));
        sheet.section(plan(visit, scope, &loan, currency));
        sheet.section(
            Section::new("postings", visit.t("loan.postings"))
                .measured(amounts_in(visit, currency))
                .with(Block::Table(ledger::lines(visit, scope, &postings, true))),
        );
        let person = &signed.person;
        approvals::offer(visit, scope, person, &loan, &proposals, &events, &mut sheet);
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

fn facts(visit: &Visit, scope: &Scope<'_>, loan: &Loan, currency: Currency) -> Vec<(String, Cell)> {
    let today = scope.book.business_date();
    let terms = scope.book.terms(loan);
    let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
    let shown = |amount| Cell::Number(currency.show(amount).replace('-', "−"));
    let key = scope.book.key_of(loan);
    let mut facts = vec![
        fact("loan.principal", shown(loan.principal)),
        fact("loan.outstanding", shown(loan.position.outstanding())),
        fact("loan.rate", Cell::number(rate(loan.position.contract.rate))),
        fact(
            "loan.term",
            Cell::text(
                visit
                    .language
                    .fill("loan.months", &[&loan.months.to_string()]),
            ),
        ),
        fact(
            "loan.disbursed_on",
            Cell::text(loan.disbursed_on.to_string()),
        ),
    ];
    if loan.position.status == Status::Active {
        let now = scope.book.position_on(loan, today);
        let payoff = now.payoff(&terms, today).total();
        facts.push(fact("loan.payoff", shown(payoff)));
        let late = scope.days_past_due(loan);
        facts.push(fact("loan.days_past_due", Cell::number(count(late))));
        if let Some(next) = loan.position.next_due(&terms) {
            facts.push(fact("loan.next_due", Cell::text(next.to_string())));
        }
    }
    let held = loan.position.totals.held();
    if held.is_positive() {
        facts.push(fact("loan.held", shown(held)));
    }
    let link = Cell::Link(key.to_owned(), super::applications::path(key));
    facts.push(fact("loan.application", link));
    facts
}

/// What each lender has of it.
fn parts(visit: &Visit, scope: &Scope<'_>, loan: &Loan, currency: Currency) -> Section {
    let split = loan.split(&scope.book.version_of(loan).agreement);
    let mut table = Table::new(&[
        (visit.t("application.lender"), ""),
        (visit.t("loan.funded"), "#"),
        (visit.t("overview.share"), "#?"),
        (visit.t("loan.principal_received"), "#?"),
        (visit.t("loan.interest_received"), "#"),
        (visit.t("loan.written_off"), "#?"),
        (visit.t("loan.compensated"), "#?"),
        (visit.t("loan.outstanding"), "#"),
    ]);
    let holders = split.holders.iter().map(|party| (party, split.own(party)));
    let holders: Vec<_> = holders.filter(|(_, own)| *own != Own::default()).collect();
    let all =
        |of: &dyn Fn(&Own) -> Amount| -> Amount { holders.iter().map(|(_, own)| of(own)).sum() };
    let funded = all(&|own| own.disbursed);
    for (party, own) in &holders {
        table.row(vec![
            Cell::text(scope.name(*party)),
            Cell::amount(own.disbursed, currency),
            Cell::number(percent(own.disbursed, funded)),
            Cell::amount(own.principal, currency),
            Cell::amount(own.interest, currency),
            Cell::amount(own.charged_off, currency),
            Cell::amount(own.compensated, currency),
            Cell::amount(own.outstanding, currency),
        ]);
    }
    table.sum(vec![
        Cell::text(visit.t("application.together")),
        Cell::amount(funded, currency),
        Cell::number(percent(funded, funded)),
        Cell::amount(all(&|own| own.principal), currency),
        Cell::amount(all(&|own| own.interest), currency),
        Cell::amount(all(&|own| own.charged_off), currency),
        Cell::amount(all(&|own| own.compensated), currency),
        Cell::amount(all(&|own| own.outstanding), currency),
    ]);
    Section::new("parts", visit.t("loan.parts"))
        .measured(amounts_in(visit, currency))
        .with(Block::Table(table))
}

/// What happened, newest first.
pub(super) fn timeline(
    visit: &Visit,
    scope: &Scope<'_>,
    principal: Option<Amount>,
    events: &[EventRow],
) -> Vec<Moment> {
    let currency = scope.currency();
    let mut keys = std::collections::BTreeMap::new();
    let mut moments = Vec::new();
    for row in events {
        let mut details = Vec::new();
        let (title, tone) = match &row.event {
            Event::Decided(_) => (visit.t("moment.decided").to_owned(), Tone::Plain),
            Event::Underwritten { .. } if row.parties & only(scope.party) != 0 => {
                (visit.t("moment.underwritten").to_owned(), Tone::Plain)
            }
            Event::Disbursed { .. } => {
                details.extend(principal.map(|principal| currency.show(principal)));
                (visit.t("moment.disbursed").to_owned(), Tone::Good)
            }
            Event::Withdrawn { .. } => (visit.t("moment.withdrawn").to_owned(), Tone::Plain),
            Event::Instructed {
                key, transaction, ..
            } => {
                let action = &transaction.action;
                keys.insert(transaction.number, key.clone());
                let late = transaction.day != row.day;
                details.push(format!(
                    "{} · {key}",
                    words::write(action, scope.agreement())
                ));
                if late {
                    let day = transaction.day.to_string();
                    details.push(visit.language.fill("moment.value_date", &[&day]));
                }
                let tone = match action {
                    Action::Chargeback(_) | Action::WriteOff(_) => Tone::Bad,
                    Action::ReAge { .. } | Action::Pause { .. } | Action::Waive { .. } => {
                        Tone::Warn
                    }
                    _ => Tone::Plain,
                };
                (visit.word("action", action.name()).to_owned(), tone)
            }
            Event::Reversed { key, number, .. } => {
                let of = keys.get(number).map_or("–", String::as_str);
                details.push(format!("{of} · {key}"));
                (visit.t("moment.reversed").to_owned(), Tone::Warn)
            }
            Event::ChargedOff { change, .. } => {
                details.push(currency.show(change.charged_off));
                (visit.t("moment.charged_off").to_owned(), Tone::Bad)
            }
            _ => continue,
        };
        moments.push(Moment {
            day: row.day.to_string(),
            title,
            details,
            tone,
            path: format!("/console/ledger/events/{}", row.number),
        });
    }
    moments.reverse();
    moments
}

/// What is unpaid, and what falls due if everything is paid.
fn due(visit: &Visit, scope: &Scope<'_>, loan: &Loan, currency: Currency) -> Section {
    let terms = scope.book.terms(loan);
    let mut table = Table::new(&[
        (visit.t("loan.due_date"), "!"),
        (visit.t("loan.principal"), "#?"),
        (visit.t("loan.interest"), "#?"),
        (visit.t("loan.to_pay"), "#"),
        (visit.t("list.state"), ""),
    ])
    .empty(visit.t("loan.nothing_due"));
    let mut line = |day: Day, due: &[&Due], tone, key: &str| {
        let sum = |of: &dyn Fn(&Due) -> Amount| due.iter().map(|due| of(due)).sum::<Amount>();
        let (principal, interest) = (sum(&|due| due.principal), sum(&|due| due.interest));
        let fees = sum(&|due| due.fee + due.instalment_fee + due.prepayment_fee);
        table.row(vec![
            Cell::text(day.to_string()),
            Cell::amount(principal, currency),
            Cell::amount(interest, currency),
            Cell::amount(principal + interest + fees, currency),
            Cell::Badge(tone, visit.t(key).to_owned()),
        ]);
    };
    let mut position = loan.position.clone();
    if position.status == Status::Active {
        for due in &position.due {
            line(due.day, &[due], Tone::Bad, "loan.unpaid");
        }
        position.due.clear();
        let mut shown = 0;
        while let Some(next) = position.next_due(&terms).filter(|_| shown < COMING) {
            shown += 1;
            position.advance(&terms, next);
            let due: Vec<_> = position.due.iter().collect();
            line(next, &due, Tone::Plain, "loan.coming");
            position.due.clear();
        }
    }
    Section::new("due", visit.t("loan.schedule"))
        .measured(amounts_in(visit, currency))
        .half()
        .with(Block::Table(table))
}

/// The plan as it was made.
fn plan(visit: &Visit, scope: &Scope<'_>, loan: &Loan, currency: Currency) -> Section {
    let mut table = Table::new(&[
        (visit.t("loan.number"), "#"),
        (visit.t("loan.due_date"), "!"),
        (visit.t("loan.principal"), "#?"),
        (visit.t("loan.interest"), "#?"),
        (visit.t("loan.to_pay"), "#"),
        (visit.t("loan.balance"), "#"),
    ]);
    for instalment in schedule(&scope.book.terms(loan)) {
        table.row(vec![
            Cell::number(instalment.number),
            Cell::text(instalment.day.to_string()),
            Cell::amount(instalment.principal, currency),
            Cell::amount(instalment.interest, currency),
            Cell::amount(instalment.total(), currency),
            Cell::Number(money(instalment.balance, currency)),
        ]);
    }
    Section::new("plan", visit.t("loan.plan"))
        .folded()
        .measured(amounts_in(visit, currency))
        .with(Block::Table(table))
}
