//! Applications: the list, and one with what was decided about it and why.

use std::cell::RefCell;

use axum::extract::{Path, Query};
use axum::response::Response;
use serde::Deserialize;
use tandem_domain::book::{
    ApplicationRecord, ApplicationState, Clause, Decided, DeclineReason, Verdict, Version,
};
use tandem_domain::field::Value;
use tandem_domain::funding::Part;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::policy::{Decision, Outcome, Policy};

use super::blocks::{
    Block, Cell, Filter, Input, InputKind, Section, Sheet, Table, Tone, money, rate,
};
use super::overview::amounts_in;
use super::page::{Fault, Signed, Visit, form_escaped};
use super::referrals;
use super::scope::Scope;

/// Path of the list.
const LIST: &str = "/console/applications";

/// Lines of a page of a list.
pub(super) const LINES: usize = 50;

/// Places that are looked through for a page; a rarer state goes on with the next page.
const LOOKED_AT: usize = 100_000;

/// What is asked of a list.
#[derive(Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) key: String,
    /// Only what lies before this place.
    pub(super) before: Option<u32>,
}

impl Asked {
    /// Where the list goes on before a place.
    pub(super) fn before(&self, path: &str, place: u32) -> String {
        format!("{path}?state={}&before={place}", form_escaped(&self.state))
    }

    /// The form that asks for a state or a key.
    pub(super) fn filter(
        &self,
        visit: &Visit,
        path: &str,
        states: Vec<(String, String)>,
    ) -> Section {
        let any = (String::new(), visit.t("frame.any").to_owned());
        let states = InputKind::Choice([any].into_iter().chain(states).collect());
        let key = self.key.trim();
        let filter = Filter {
            path: path.to_owned(),
            inputs: vec![
                Input::new("state", visit.t("list.state"), &self.state, states),
                Input::new("key", visit.t("list.key"), key, InputKind::Text),
            ],
        };
        Section::new("filter", "").with(Block::Filter(filter))
    }

    /// Fills a table with the rows of places, from the newest on, for as many as a page has or as
    /// are looked through for one. A key that was asked for and not found has none.
    pub(super) fn fill(
        &self,
        visit: &Visit,
        path: &str,
        (count, looked_through): (usize, usize),
        table: Table,
        row: impl Fn(u32) -> Option<Vec<Cell>>,
    ) -> Table {
        if !self.key.trim().is_empty() {
            return table.empty(visit.t("list.unknown"));
        }
        let mut table = table.empty(visit.t("list.empty"));
        let end = self.before.unwrap_or(u32::MAX).min(count as u32);
        for (looked_at, place) in (0..end).rev().enumerate() {
            if table.rows.len() == LINES || looked_at == looked_through {
                table.more = Some(self.before(path, place + 1));
                break;
            }
            if let Some(cells) = row(place) {
                table.row(cells);
            }
        }
        table
    }
}

/// How an application's state is to be taken.
pub(super) fn tone(state: &ApplicationState) -> Tone {
    match state {
        ApplicationState::Disbursed(_) => Tone::Good,
        ApplicationState::Referred => Tone::Warn,
        ApplicationState::Declined(_) => Tone::Bad,
        _ => Tone::Plain,
    }
}

pub(super) async fn list(signed: Signed, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let key = asked.key.trim();
    if !key.is_empty()
        && signed
            .look(|scope| scope.application(key).map(|_| ()))
            .is_ok()
    {
        return Ok(super::page::go(&path(key)));
    }
    let (mut sheet, mut table, places) = signed.look(|scope| {
        let mut sheet = Sheet::new(visit, visit.t("nav.applications"));
        let states = ApplicationState::NAMES
            .map(|state| (state.to_owned(), visit.word("state", state).to_owned()));
        sheet.section(asked.filter(visit, LIST, states.into()));
        sheet.lead = amounts_in(visit, scope.currency());
        let mut columns = vec![
            (visit.t("application.key"), "!"),
            (visit.t("application.decided_on"), "?!"),
            (visit.t("application.borrower"), "?"),
            (visit.word("field", "amount"), "#"),
            (visit.word("field", "term_months"), "#?"),
        ];
        if scope.lends() {
            columns.push((visit.t("application.own_decision"), "?"));
        }
        columns.push((visit.t("list.state"), ""));
        let table = Table::new(&columns);
        let places = RefCell::new(Vec::new());
        let count = (scope.book.application_count(), LOOKED_AT);
        let table = asked.fill(visit, LIST, count, table, |place| {
            let record = scope.book.application_in(place);
            let is_asked = asked.state.is_empty() || record.state.name() == asked.state;
            let shown = is_asked && scope.sees_application(place);
            shown.then(|| {
                places.borrow_mut().push(place);
                row(visit, scope, &record)
            })
        });
        Ok((sheet, table, places.into_inner()))
    })?;
    // What was asked for and decided lies with the event.
    let reader = signed.desk.reader();
    let decided = places.into_iter().map(|place| reader.decided(place));
    let decided = decided.collect::<Result<Vec<_>, _>>()?;
    signed.look(|scope| {
        for (row, decided) in table.rows.iter_mut().zip(&decided) {
            let state = row.cells.pop();
            row.cells.extend(match decided {
                Some((_, decided)) => asked_for(visit, scope, decided),
                // The book has it already, the rows of its event do in a moment.
                None => {
                    let mut cells = vec![Cell::number("–"), Cell::number("–")];
                    cells.extend(scope.lends().then(|| Cell::text("–")));
                    cells
                }
            });
            row.cells.extend(state);
        }
        Ok(())
    })?;
    sheet.section(Section::new("list", "").with(Block::Table(table)));
    visit.page(&sheet)
}

/// Amount, term, and, to a lender, what it decided itself.
fn asked_for(visit: &Visit, scope: &Scope<'_>, decided: &Decided) -> Vec<Cell> {
    let version = &scope.book.versions()[usize::from(decided.version)];
    let agreement = &version.agreement;
    let own = &scope.agreement().party(scope.party).id;
    let value = |place: usize| match decided.values.get(place) {
        Some(Value::Number(number)) if agreement.may_see(own, place) => Some(*number),
        _ => None,
    };
    let amount = value(0).map_or(Amount::ZERO, Amount);
    let term = value(1).map_or("–".to_owned(), |months| months.to_string());
    let mut cells = vec![
        Cell::amount(amount, agreement.currency()),
        Cell::number(term),
    ];
    if scope.lends() {
        let mut lenders = agreement.lenders.iter().zip(&decided.decisions);
        let said = lenders.find(|(lender, _)| **lender == scope.party);
        let said = said.map(|(_, decision)| said_words(visit, &decision.outcome));
        cells.push(said.map_or(Cell::text(""), |(_, words)| Cell::text(words)));
    }
    cells
}

/// A lender's decision in a word.
fn said_words<'v>(visit: &'v Visit, outcome: &Outcome) -> (Tone, &'v str) {
    match outcome {
        Outcome::Approve { .. } => (Tone::Good, visit.t("decision.approve")),
        Outcome::Decline(_) => (Tone::Bad, visit.t("decision.decline")),
        Outcome::Refer(_) => (Tone::Warn, visit.t("decision.refer")),
    }
}

/// The page of an application.
pub(super) fn path(key: &str) -> String {
    format!("{LIST}/{}", form_escaped(key).replace('/', "%2F"))
}

fn row(visit: &Visit, scope: &Scope<'_>, record: &ApplicationRecord<'_>) -> Vec<Cell> {
    let borrower = record
        .borrower
        .and_then(|place| scope.book.borrower_key(place));
    vec![
        Cell::Link(record.key.to_owned(), path(record.key)),
        Cell::text(record.decided_on.to_string()),
        Cell::Soft(borrower.unwrap_or("–").to_owned()),
        Cell::Badge(
            tone(&record.state),
            visit.word("state", record.state.name()).to_owned(),
        ),
    ]
}

pub(super) async fn show(signed: Signed, Path(key): Path<String>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let place = signed.look(|scope| {
        scope.application(&key)?;
        scope.book.application_place(&key).ok_or(Fault::NotFound)
    })?;
    let reader = signed.desk.reader();
    let (number, decided) = reader.decided(place)?.ok_or(Fault::NotFound)?;
    let first = reader.decided_first(place)?.ok_or(Fault::NotFound)?;
    let sheet = signed.look(|scope| {
        let mut sheet = tell(visit, scope, number, &first, &decided)?;
        referrals::offer(visit, scope, &signed.person, place, &mut sheet);
        Ok(sheet)
    })?;
    visit.page(&sheet)
}

fn tell<'v>(
    visit: &'v Visit,
    scope: &Scope<'_>,
    event: u64,
    first: &Decided,
    decided: &Decided,
) -> Result<Sheet<'v>, Fault> {
    let record = scope.application(&decided.key)?;
    let version = &scope.book.versions()[usize::from(decided.version)];
    let agreement = &version.agreement;
    let currency = agreement.currency();
    let mut sheet =
        Sheet::new(visit, decided.key.clone()).below("nav.applications", "/console/applications");
    sheet.status = Some((
        tone(&record.state),
        visit.word("state", record.state.name()).to_owned(),
    ));
    let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
    let mut facts = vec![
        fact(
            "application.decided_on",
            Cell::text(record.decided_on.to_string()),
        ),
        fact(
            "application.borrower",
            Cell::text(decided.borrower.as_deref().unwrap_or("–")),
        ),
        fact(
            "application.agreement",
            Cell::Link(
                visit.language.fill(
                    "application.version_of",
                    &[&agreement.file.version.to_string()],
                ),
                format!("/console/agreement?version={}", agreement.file.version),
            ),
        ),
        fact(
            "application.event",
            Cell::Link(event.to_string(), format!("/console/ledger/events/{event}")),
        ),
    ];
    if let ApplicationState::Disbursed(loan) = record.state
        && scope.sees_loan(loan)
    {
        let link = Cell::Link(decided.key.clone(), super::loans::path(&decided.key));
        facts.push(fact("application.loan", link));
    }
    sheet.add("facts", vec![Block::Facts(facts)]);
    sheet.section(outcome(visit, scope, decided, version, record.state));
    sheet.section(decisions(visit, scope, first, decided, version));
    let own = &scope.agreement().party(scope.party).id;
    let mut values = Table::new(&[
        (visit.t("application.field"), ""),
        (visit.t("application.value"), "#"),
    ]);
    let mut hidden = 0;
    let fields = agreement.scope.fields.iter().zip(&decided.values);
    for (place, ((name, kind), value)) in fields.enumerate() {
        if agreement.may_see(own, place) {
            values.row(vec![
                Cell::text(field_words(visit, name)),
                Cell::number(kind.show(value, currency)),
            ]);
        } else {
            hidden += 1;
        }
    }
    let measure = match hidden {
        0 => String::new(),
        hidden => visit
            .language
            .fill("application.hidden", &[&hidden.to_string()]),
    };
    sheet.section(
        Section::new("values", visit.t("application.values"))
            .measured(measure)
            .half()
            .with(Block::Table(values)),
    );
    Ok(sheet)
}

/// Name of a field; one of the agreement's own as it stands there, as a heading.
fn field_words(visit: &Visit, name: &str) -> String {
    let words = visit.word("field", name).replace('_', " ");
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

/// What came of it, and by which clause.
fn outcome(
    visit: &Visit,
    scope: &Scope<'_>,
    decided: &Decided,
    version: &Version,
    state: ApplicationState,
) -> Section {
    let agreement = &version.agreement;
    let section = Section::new("outcome", visit.t("application.outcome"));
    let mut section = match &decided.verdict {
        Verdict::Offered { .. } if !scope.sees_offer(&decided.key) => {
            section.with(Block::Text(visit.word("state", "offered").to_owned()))
        }
        Verdict::Offered {
            parts,
            rate: price,
            valid_to,
        } => {
            let words = visit.language.fill(
                "application.offered",
                &[&rate(*price), &valid_to.to_string()],
            );
            section
                .measured(amounts_in(visit, agreement.currency()))
                .with(Block::Text(words))
                .with(Block::Table(funding(visit, scope, parts, *price, version)))
        }
        Verdict::Declined(reason) => section.with(Block::Notice(
            Tone::Bad,
            decline_words(visit, version, *reason),
        )),
        Verdict::Referred(..) => section.with(Block::Notice(
            Tone::Warn,
            referrals::waits(visit, scope, decided, state),
        )),
    };
    let own = decided
        .barred
        .iter()
        .find(|barred| agreement.lenders[usize::from(barred.lender)] == scope.party);
    if let Some(barred) = own {
        let words = clause_words(visit, version, barred.clause);
        let words = visit.language.fill("application.barred", &[&words]);
        section = section.with(Block::Notice(Tone::Warn, words));
    }
    section
}

/// Why an application was declined, in words.
fn decline_words(visit: &Visit, version: &Version, reason: DeclineReason) -> String {
    match reason {
        DeclineReason::Term => visit.t("decline.term").to_owned(),
        DeclineReason::Amount => visit.t("decline.amount").to_owned(),
        DeclineReason::Funding => visit.t("decline.funding").to_owned(),
        DeclineReason::Yields => visit.t("decline.yields").to_owned(),
        DeclineReason::Ineligible(place) => {
            let row = &version.agreement.file.ineligible[usize::from(place)];
            visit
                .language
                .fill("decline.ineligible", &[&row.code, &row.reason])
        }
        DeclineReason::Clause(clause) => {
            let words = clause_words(visit, version, clause);
            visit.language.fill("decline.clause", &[&words])
        }
    }
}

/// A clause in words: where it is written, and, if it is a regulator's, what it asks.
fn clause_words(visit: &Visit, version: &Version, clause: Clause) -> String {
    let rule = |place: u8| version.rulebook.as_ref()?.rule.get(usize::from(place));
    match clause {
        Clause::Limit(place) => {
            let limit = &version.agreement.file.limit[usize::from(place)];
            visit.language.fill("clause.limit", &[&limit.clause])
        }
        Clause::Rule(place) => rule(place).map_or_else(String::new, |rule| {
            let words = visit.word("rule", &rule.title);
            visit.language.fill("clause.rule", &[&rule.id, words])
        }),
    }
}

fn funding(
    visit: &Visit,
    scope: &Scope<'_>,
    parts: &[Part],
    price: Rate,
    version: &Version,
) -> Table {
    let currency = version.agreement.currency();
    let whole: Amount = parts.iter().map(|part| part.amount).sum();
    let mut table = Table::new(&[
        (visit.t("application.lender"), ""),
        (visit.t("application.part"), "#"),
        (visit.t("overview.share"), "#"),
        (visit.t("application.rate"), "#"),
    ]);
    for (part, &lender) in parts.iter().zip(&version.agreement.lenders) {
        if part.amount.is_positive() {
            table.row(vec![
                Cell::text(scope.name(lender)),
                Cell::amount(part.amount, currency),
                Cell::number(super::blocks::percent(part.amount, whole)),
                Cell::number(rate(part.rate)),
            ]);
        }
    }
    table.sum(vec![
        Cell::text(visit.t("application.together")),
        Cell::amount(whole, currency),
        Cell::number("100.00%"),
        Cell::number(rate(price)),
    ]);
    table
}

/// What each lender said: its policy, and then its person where that one referred. A lender's reasons
/// are its own: others learn that it was asked.
fn decisions(
    visit: &Visit,
    scope: &Scope<'_>,
    first: &Decided,
    decided: &Decided,
    version: &Version,
) -> Section {
    let mut table = Table::new(&[
        (visit.t("application.lender"), ""),
        (visit.t("application.decision"), ""),
        (visit.t("application.score"), "#"),
        (visit.t("application.reasons"), ""),
    ]);
    let lenders = version.agreement.lenders.iter().zip(&version.policies);
    let said = first.decisions.iter().zip(&decided.decisions);
    for ((&lender, policy), (by_policy, last)) in lenders.zip(said) {
        let name = Cell::text(scope.name(lender));
        if lender != scope.party {
            table.row(vec![
                name,
                Cell::Soft(visit.t("application.not_shown").to_owned()),
                Cell::text(""),
                Cell::text(""),
            ]);
            continue;
        }
        let by = visit
            .language
            .fill("decision.policy", &[&policy.file.version]);
        let score = by_policy
            .score
            .map_or("–".to_owned(), |score| score.to_string());
        table.row(said_row(
            visit,
            (name, score),
            by_policy,
            (version, policy),
            by,
        ));
        if by_policy.outcome != last.outcome {
            let by = visit.t("decision.person").to_owned();
            let name = Cell::text(scope.name(lender));
            table.row(said_row(
                visit,
                (name, "–".to_owned()),
                last,
                (version, policy),
                by,
            ));
        }
    }
    Section::new("decisions", visit.t("application.decisions")).with(Block::Table(table))
}

/// A decision of the party, with its reasons and who made it.
fn said_row(
    visit: &Visit,
    (lender, score): (Cell, String),
    decision: &Decision,
    (version, policy): (&Version, &Policy),
    by: String,
) -> Vec<Cell> {
    let currency = version.agreement.currency();
    let (tone, words) = said_words(visit, &decision.outcome);
    let mut lines = match &decision.outcome {
        Outcome::Approve {
            maximum,
            rate: price,
        } => {
            let values = [&*money(*maximum, currency), currency.code(), &rate(*price)];
            vec![visit.language.fill("decision.up_to", &values)]
        }
        Outcome::Decline(reasons) | Outcome::Refer(reasons) => referrals::said(policy, reasons),
    };
    lines.push(by);
    vec![
        lender,
        Cell::Badge(tone, words.to_owned()),
        Cell::number(score),
        Cell::Lines(lines),
    ]
}
