//! Amendments in the registry.

use super::super::Console;
use super::super::page::{Fault, Signed};
use super::super::people::{Doer, Person};
use super::amendment::{Amendment, Consent};
use crate::registry::{self, Row, Tables, values};

/// Tables of amendments.
pub(in crate::console) const SCHEMA: &str = "
create table if not exists amendment (
    id integer primary key,
    book text not null,
    -- The whole text; policies, rulebook and calendar stay as they are signed, but for a policy
    -- in `amendment_policy`.
    agreement text not null,
    version integer not null,
    reason text not null,
    -- The party that proposes it.
    party text not null,
    proposed_at integer not null,
    state text not null default 'open',
    outcome text not null default ''
) strict;
create index if not exists amendment_book on amendment (book, id);
create table if not exists amendment_policy (
    amendment integer primary key references amendment (id),
    -- The whole policy of the party that proposes it.
    policy text not null
) strict;
create table if not exists amendment_consent (
    amendment integer not null references amendment (id),
    party text not null,
    -- The person who stands behind it, and the other who approves.
    proposer integer not null references person (id),
    approver integer references person (id),
    primary key (amendment, party)
) strict, without rowid;
";

/// Which amendments: those on which somebody can still decide.
pub(super) const OPEN: &str = "state in ('open', 'approved')";

/// Amendments of a book that a party is shown and that are as `which` says, newest first.
pub(super) fn select(
    console: &Console,
    book: &str,
    party: &str,
    which: &str,
) -> registry::Result<Vec<Amendment>> {
    console.registry.read(|tables| {
        let text = format!(
            "select id, agreement, version, reason, party, state, outcome, policy from amendment
             left join amendment_policy on amendment = id where book = ?1 and {which} order by id desc"
        );
        let mut found = tables.rows(&text, values![book], amendment)?;
        let text = format!(
            "select amendment_consent.party, other.name, {} from amendment_consent
             join person one on one.id = proposer left join person other on other.id = approver
             where amendment = ?1",
            Doer::COLUMNS
        );
        for amendment in &mut found {
            amendment.consents = tables.rows(&text, values![amendment.id], |row| {
                Ok(Consent {
                    party: row.get(0)?,
                    approver_name: row.get(1)?,
                    proposer: Doer::read(row, 2)?,
                })
            })?;
        }
        found.retain(|amendment| amendment.is_shown_to(party));
        Ok(found)
    })
}

fn amendment(row: &Row) -> registry::Result<Amendment> {
    Ok(Amendment {
        id: row.get(0)?,
        agreement: row.get(1)?,
        version: row.get(2)?,
        reason: row.get(3)?,
        party: row.get(4)?,
        state: row.get(5)?,
        outcome: row.get(6)?,
        policy: row.get(7)?,
        consents: Vec::new(),
    })
}

/// Number of amendments that wait for this person.
pub(in crate::console) fn waiting(
    console: &Console,
    book: &str,
    person: &Person,
    parties: &[String],
) -> registry::Result<i64> {
    let open = select(console, book, &person.party, OPEN)?;
    let waiting = open
        .iter()
        .filter(|one| one.step(person, parties).is_some());
    Ok(waiting.count() as i64)
}

/// An amendment that is shown to the person's party.
pub(super) fn one(signed: &Signed, id: i64) -> Result<Amendment, Fault> {
    let (book, party) = (signed.desk.name(), &signed.person.party);
    let found = select(&signed.visit.console, book, party, &format!("id = {id}"))?;
    found.into_iter().next().ok_or(Fault::NotFound)
}

/// Keeps a new amendment, which its proposer stands behind, and gives its id.
pub(super) fn add(
    signed: &Signed,
    agreement: &str,
    policy: Option<&str>,
    version: u32,
    reason: &str,
) -> registry::Result<i64> {
    let Signed { visit, person, .. } = signed;
    visit.console.registry.change(|tables| {
        let id: i64 = tables.value(
            "insert into amendment (book, agreement, version, reason, party, proposed_at)
             values (?1, ?2, ?3, ?4, ?5, ?6) returning id",
            values![
                signed.desk.name(),
                agreement,
                version,
                reason,
                &person.party,
                visit.console.now()
            ],
        )?;
        if let Some(policy) = policy {
            let text = "insert into amendment_policy (amendment, policy) values (?1, ?2)";
            tables.execute(text, values![id, policy])?;
        }
        stand_behind(tables, id, person)?;
        Ok(id)
    })
}

pub(super) fn stand_behind(tables: &Tables<'_>, id: i64, person: &Person) -> registry::Result<()> {
    let text = "insert into amendment_consent (amendment, party, proposer) values (?1, ?2, ?3)
                on conflict do nothing";
    let values = values![id, &person.party, person.id];
    tables.execute(text, values).map(drop)
}

/// Approves as the second of the party.
pub(super) fn approve(tables: &Tables<'_>, id: i64, person: &Person) -> registry::Result<()> {
    let text = "update amendment_consent set approver = ?3
                where amendment = ?1 and party = ?2 and approver is null and proposer <> ?3";
    let values = values![id, &person.party, person.id];
    tables.execute(text, values).map(drop)
}

/// Ends an amendment that is open, or says how far it is; false if it is over. What the book signed
/// is done, whatever was said meanwhile.
pub(super) fn set(signed: &Signed, id: i64, state: &str, outcome: &str) -> registry::Result<bool> {
    signed.visit.console.registry.change(|tables| {
        let text = format!(
            "update amendment set state = ?2, outcome = ?3
             where id = ?1 and ({OPEN} or ?2 = 'done')"
        );
        let changed = tables.execute(&text, values![id, state, outcome])?;
        Ok(changed == 1)
    })
}
