//! What needs a person: referrals, payments that were taken back or refused, loans that are about to be
//! written off, limits that are nearly used up, ledgers that do not agree.
//!
//! A case is found in the book; the registry keeps only who looks after it, until when, and
//! that it is done with.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use axum::extract::Path;
use axum::response::Response;
use tandem_domain::book::Book;
use tandem_domain::calendar::Day;
use tandem_domain::loan::Status;
use tandem_domain::party::PartyId;

use super::blocks::{
    Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone, count, percent,
};
use super::overview::limit_words;
use super::page::{Fault, Fields, Signed, Visit, form_escaped, go};
use super::people::{self, Role};
use super::referrals;
use super::scope::Scope;
use crate::refusals::{self, Refusal};
use crate::registry::{self, values};

/// What was done about cases.
pub(super) const SCHEMA: &str = "
create table if not exists case_work (
    book text not null,
    party text not null,
    key text not null,
    owner integer references person (id),
    deadline integer,
    note text not null default '',
    closed integer not null default 0,
    primary key (book, party, key)
) strict, without rowid;
";

/// Days before a write-off from which on a loan is a case.
const BEFORE_WRITE_OFF: i32 = 10;

/// Days for which a payment that was taken back is a case.
const TAKEN_BACK: i32 = 30;

/// Share of a limit from which on it is a case, in hundredths of a per cent.
const NEARLY_USED: u32 = 9_500;

/// Something that needs a person.
pub(super) struct Case {
    /// Its name: what it is and about what.
    key: String,
    kind: &'static str,
    title: String,
    path: String,
    tone: Tone,
    deadline: Option<Day>,
    work: Work,
}

/// What was done about a case.
#[derive(Clone, Debug, Default)]
struct Work {
    owner: Option<i64>,
    owner_name: Option<String>,
    deadline: Option<Day>,
    note: String,
    closed: bool,
}

/// What is remembered of the book so that cases are found without looking through all of it.
#[derive(Default)]
pub(super) struct Watch {
    day: Day,
    loans: usize,
    /// Loans that will be written off within some days, with the day.
    lost: Vec<(u32, Day)>,
}

impl Watch {
    fn look(&mut self, book: &Book) {
        let now = (book.business_date(), book.loan_count());
        if (self.day, self.loans) == now {
            return;
        }
        (self.day, self.loans) = now;
        self.lost.clear();
        for (place, loan) in book.placed_loans() {
            if loan.position.status != Status::Active || loan.class == 0 {
                continue;
            }
            let most = book
                .version_of(&loan)
                .agreement
                .file
                .charge_off
                .days_past_due;
            if let Some(since) = loan.position.behind_since() {
                let day = since + i32::from(most);
                if day <= self.day + BEFORE_WRITE_OFF {
                    self.lost.push((place, day));
                }
            }
        }
        self.lost.sort_by_key(|(_, day)| *day);
    }
}

/// The party's cases that are not closed, those that cannot wait first.
pub(super) fn open(signed: &Signed) -> Result<Vec<Case>, Fault> {
    let mut cases = all(signed)?;
    cases.retain(|case| !case.work.closed);
    Ok(cases)
}

fn all(signed: &Signed) -> Result<Vec<Case>, Fault> {
    let visit = &signed.visit;
    let figures = signed.figures()?;
    let mut work = work(signed)?;
    let lost = signed.look(|scope| {
        let mut all = watch(signed);
        let watch = all.entry(signed.desk.name().to_owned()).or_default();
        watch.look(scope.book);
        Ok(watch.lost.clone())
    })?;
    let registry = &visit.console.registry;
    let refused = refusals::of(registry, signed.desk.name(), &signed.person.party)?;
    let mut cases = signed.look(|scope| {
        let mut cases = Vec::new();
        let today = scope.book.business_date();
        breaks(visit, scope, &mut cases);
        for &(place, day) in lost.iter().filter(|(place, _)| scope.sees_loan(*place)) {
            let Some(loan) = scope.book.loan_at(place) else {
                continue;
            };
            let key = scope.book.key_of(&loan);
            let days = count(scope.days_past_due(&loan));
            cases.push(Case {
                key: format!("write_off:{key}"),
                kind: "write_off",
                title: visit
                    .language
                    .fill("case.write_off", &[key, &days, &day.to_string()]),
                path: super::loans::path(key),
                tone: Tone::Bad,
                deadline: Some(day),
                work: Work::default(),
            });
        }
        let waiting = scope.book.referrals().filter_map(|(_, decided)| {
            let deadline = referrals::own_deadline(scope, decided)?;
            Some((decided, deadline))
        });
        for (decided, deadline) in waiting.take(referrals::SHOWN) {
            cases.push(Case {
                key: format!("referral:{}", decided.key),
                kind: "referral",
                title: visit.language.fill("case.referral", &[&decided.key]),
                path: super::applications::path(&decided.key),
                tone: Tone::Warn,
                deadline: Some(deadline),
                work: Work::default(),
            });
        }
        let recent = figures.taken_back.iter().rev();
        for &(day, place) in recent.take_while(|(day, _)| *day + TAKEN_BACK >= today) {
            let Some(loan) = scope.book.loan_at(place) else {
                continue;
            };
            let key = scope.book.key_of(&loan);
            cases.push(Case {
                key: format!("taken_back:{key}:{day}"),
                kind: "taken_back",
                title: visit
                    .language
                    .fill("case.taken_back", &[key, &day.to_string()]),
                path: super::loans::path(key),
                tone: Tone::Warn,
                deadline: Some(day.plus_business_days(5)),
                work: Work::default(),
            });
        }
        // What was sent again and taken is no case any more.
        let refused = refused.iter();
        let taken = |one: &Refusal| {
            let key = scope.seen().book_key(scope.party, &one.key);
            scope.book.instruction(&key).is_some()
        };
        for refusal in refused.filter(|one| !taken(one)) {
            let Refusal {
                key,
                loan,
                detail,
                day,
            } = refusal;
            let path = match scope.loan(loan) {
                Ok(_) => super::loans::path(loan),
                Err(_) => "/console/loans".to_owned(),
            };
            cases.push(Case {
                key: format!("refused:{key}"),
                kind: "refused",
                title: visit.language.fill("case.refused", &[key, detail]),
                path,
                tone: Tone::Bad,
                deadline: Some(Day(*day).plus_business_days(1)),
                work: Work::default(),
            });
        }
        limits(visit, scope, &mut cases);
        Ok(cases)
    })?;
    for case in &mut cases {
        case.work = work.remove(&case.key).unwrap_or_default();
        case.deadline = case.work.deadline.or(case.deadline);
    }
    Ok(cases)
}

/// What is remembered of each book.
fn watch(signed: &Signed) -> MutexGuard<'_, BTreeMap<String, Watch>> {
    let watch = &signed.visit.console.watch;
    watch.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ledgers that do not balance, and those of two parties that do not agree.
fn breaks(visit: &Visit, scope: &Scope<'_>, cases: &mut Vec<Case>) {
    let mut add = |key: String, title: String| {
        cases.push(Case {
            key,
            kind: "break",
            title,
            path: "/console/ledger".to_owned(),
            tone: Tone::Bad,
            deadline: Some(scope.book.business_date()),
            work: Work::default(),
        });
    };
    for (party, amount) in scope.book.ledgers().unbalanced() {
        if party == scope.party {
            let amount = super::blocks::money(amount, scope.currency());
            let title = visit
                .language
                .fill("case.unbalanced", &[&amount, scope.currency().code()]);
            add("break:ledger".to_owned(), title);
        }
    }
    for (one, other) in scope.book.ledgers().unmirrored() {
        if [one, other].contains(&scope.party) {
            let with = if one == scope.party { other } else { one };
            let key = format!("break:mirror:{}", party_id(scope, with));
            add(
                key,
                visit.language.fill("case.unmirrored", &[scope.name(with)]),
            );
        }
    }
}

fn party_id<'b>(scope: &Scope<'b>, party: PartyId) -> &'b str {
    &scope.agreement().party(party).id
}

fn limits(visit: &Visit, scope: &Scope<'_>, cases: &mut Vec<Case>) {
    let Some((_, version)) = scope.book.current() else {
        return;
    };
    let agreement = &version.agreement;
    for limit in scope.book.limits_used() {
        let terms = &agreement.file.limit[limit.limit];
        let cap = limit.most;
        let own = agreement.limit_lenders[limit.limit];
        let others = own.is_some_and(|place| agreement.lenders[place] != scope.party);
        if others || super::blocks::hundredths(limit.used, cap) < NEARLY_USED {
            continue;
        }
        let words = limit_words(visit, scope, terms, limit.region.as_deref());
        let share = percent(limit.used, cap);
        cases.push(Case {
            key: format!("limit:{}", terms.clause),
            kind: "limit",
            title: visit
                .language
                .fill("case.limit", &[&terms.clause, &words, &share]),
            path: "/console/agreement#limits".to_owned(),
            tone: Tone::Warn,
            deadline: None,
            work: Work::default(),
        });
    }
}

fn work(signed: &Signed) -> registry::Result<BTreeMap<String, Work>> {
    let text = "select key, owner, name, deadline, note, closed from case_work
        left join person on person.id = owner where book = ?1 and case_work.party = ?2";
    let values = values![signed.desk.name(), &signed.person.party];
    let worked = signed.visit.console.registry.read(|tables| {
        tables.rows(text, values, |row| {
            let work = Work {
                owner: row.get(1)?,
                owner_name: row.get(2)?,
                deadline: row.get::<Option<i32>>(3)?.map(Day),
                note: row.get(4)?,
                closed: row.get(5)?,
            };
            Ok((row.get(0)?, work))
        })
    });
    worked.map(BTreeMap::from_iter)
}

/// The first cases of a list.
pub(super) fn table(visit: &Visit, cases: &[Case], most: usize) -> Table {
    let mut table = Table::new(&[
        (visit.t("case.kind"), "!"),
        (visit.t("case.case"), ""),
        (visit.t("case.owner"), "?!"),
        (visit.t("case.deadline"), "!"),
        ("", "?"),
    ])
    .empty(visit.t("case.none"));
    for case in cases.iter().take(most) {
        let deadline = case.deadline.map_or("–".to_owned(), |day| day.to_string());
        let owner = case.work.owner_name.clone();
        let more = format!(
            "/console/cases/{}",
            form_escaped(&case.key).replace('/', "%2F")
        );
        table.row(vec![
            Cell::Badge(case.tone, visit.word("case_kind", case.kind).to_owned()),
            Cell::Link(case.title.clone(), case.path.clone()),
            Cell::Soft(owner.unwrap_or_else(|| visit.t("case.nobody").to_owned())),
            Cell::text(deadline),
            Cell::Link(visit.t("case.work").to_owned(), more),
        ]);
    }
    table
}

pub(super) async fn list(signed: Signed) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let (closed, open): (Vec<_>, Vec<_>) =
        all(&signed)?.into_iter().partition(|case| case.work.closed);
    let mut sheet = Sheet::new(visit, visit.t("nav.cases"));
    sheet.lead = visit.t("case.lead").to_owned();
    let section = Section::new(
        "open",
        visit
            .language
            .fill("case.open", &[&count(open.len() as i64)]),
    );
    sheet.section(section.with(Block::Table(table(visit, &open, usize::MAX))));
    if !closed.is_empty() {
        let section = Section::new("closed", visit.t("case.closed"));
        sheet.section(section.with(Block::Table(table(visit, &closed, usize::MAX))));
    }
    visit.page(&sheet)
}

fn one(signed: &Signed, key: &str) -> Result<Case, Fault> {
    let found = all(signed)?.into_iter().find(|case| case.key == key);
    found.ok_or(Fault::NotFound)
}

pub(super) async fn show(signed: Signed, Path(key): Path<String>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let case = one(&signed, &key)?;
    let mut sheet = Sheet::new(visit, case.title.clone()).below("nav.cases", "/console/cases");
    sheet.status = Some((case.tone, visit.word("case_kind", case.kind).to_owned()));
    let about = (visit.t("case.about").to_owned(), case.path.clone());
    sheet.add("about", vec![Block::Links(vec![about])]);
    let people = people::of_party(&visit.console.registry, &signed.person.party)?;
    let mut owners = vec![(String::new(), visit.t("case.nobody").to_owned())];
    owners.extend(
        people
            .iter()
            .map(|person| (person.id.to_string(), person.name.clone())),
    );
    let owner = case
        .work
        .owner
        .map_or_else(String::new, |owner| owner.to_string());
    let deadline = case
        .deadline
        .map_or_else(String::new, |day| day.to_string());
    let done = vec![(
        "1".to_owned(),
        visit.t("case.done").to_owned(),
        case.work.closed,
    )];
    let form = Form {
        action: format!("/console/cases/{}", form_escaped(&key).replace('/', "%2F")),
        inputs: vec![
            Input::new(
                "owner",
                visit.t("case.owner"),
                owner,
                InputKind::Choice(owners),
            ),
            Input::new(
                "deadline",
                visit.t("case.deadline"),
                deadline,
                InputKind::Day,
            ),
            Input::new(
                "note",
                visit.t("case.note"),
                case.work.note,
                InputKind::Long,
            ),
            Input::new("closed", visit.t("list.state"), "", InputKind::Ticks(done)),
        ],
        submit: visit.t("frame.save").to_owned(),
    };
    sheet.section(Section::new("work", visit.t("case.work")).with(Block::Form(form)));
    visit.page(&sheet)
}

pub(super) async fn save(
    signed: Signed,
    Path(key): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    signed.must(&[Role::Operations, Role::Risk, Role::Finance])?;
    one(&signed, &key)?;
    let registry = &signed.visit.console.registry;
    let party = &signed.person.party;
    let owner = fields.get("owner").parse::<i64>().ok();
    let owner = owner
        .map(|owner| people::find(registry, party, owner))
        .transpose()?
        .flatten();
    let deadline = fields.get("deadline").parse::<Day>().ok();
    registry.change(|tables| {
        tables.execute(
            "insert into case_work (party, key, owner, deadline, note, closed, book)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             on conflict (book, party, key) do update set owner = ?3, deadline = ?4, note = ?5, closed = ?6",
            values![
                party,
                key,
                owner.map(|owner| owner.id),
                deadline.map(|day| day.0),
                fields.get("note"),
                !fields.get("closed").is_empty(),
                signed.desk.name()
            ],
        )
    })?;
    Ok(go("/console/cases"))
}
