//! Who saw and did what: noted on the way of every request, and shown to the party's auditors.

use std::collections::HashMap;
use std::sync::PoisonError;

use axum::body::{Body, Bytes};
use axum::extract::Query;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use jiff::Timestamp;
use rusqlite::params_from_iter;
use rusqlite::types::Value;
use serde::Deserialize;
use tandem_domain::calendar::Day;
use tokio::task::spawn_blocking;

use super::blocks::{Block, Cell, Filter, Input, InputKind, Section, Sheet, Table, Tone, count};
use super::developer;
use super::page::{Fault, Fields, Signed, Visit, form_escaped};
use super::people::{self, Person, Role};
use crate::access::Client;
use crate::audit::{self, Act, DAY, Entry, NotWritten};
use crate::unescaped;

/// Seconds for which a page that stays open and follows the book is one entry.
const FOLLOWS: i64 = 600;

/// Open pages that are remembered; with more, each is an entry again.
const OPEN: usize = 10_000;

/// Calls of a client that are shown with it.
const CALLS: usize = 20;

/// Entries of a page.
const SHOWN: usize = 100;

/// What is no page and changes nothing that matters to others, or notes itself.
const QUIET: [&str; 3] = ["/changes", "/preferences", "/sign-in"];

/// Fields that are never noted: secrets, what only a device understands, and what is written of a
/// borrower, which must not outlast its case.
const UNNOTED: [&str; 10] = [
    "note",
    "form",
    "password",
    "new_password",
    "again",
    "code",
    "credential",
    "client_data",
    "authenticator",
    "signature",
];

/// Parts of a secret that may be pasted where a public key belongs: as JWK, and in PEM.
const PRIVATE: [&str; 2] = ["\"d\"", "PRIVATE KEY"];

/// When a page was last noted to be looked at: by whom, from where, of which book.
pub(super) type Fresh = HashMap<[String; 4], i64>;

/// A handler puts this into its answer's extensions if the answer itself does not tell that what
/// was asked for was refused.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refused;

impl From<NotWritten> for Fault {
    fn from(error: NotWritten) -> Fault {
        Fault::Failed(error.to_string())
    }
}

impl Visit {
    fn entry(&self, party: &str, login: &str, act: Act) -> Entry {
        let object = self.path.strip_prefix("/console").unwrap_or(&self.path);
        let object = if object.is_empty() { "/" } else { object };
        Entry {
            address: self.address.clone(),
            book: self.top.as_ref().map_or("", |top| top.book()).to_owned(),
            ..Entry::new((party, login), act, object, self.console.now())
        }
    }

    /// An entry about the person who is signed in; none if nobody is, or if nothing is to be noted.
    fn own_entry(&self, act: Act) -> Option<Entry> {
        let person = self.person()?;
        let entry = self.entry(&person.party, &person.login, act);
        let quiet = QUIET.iter().any(|quiet| entry.object.starts_with(quiet));
        (!quiet).then_some(entry)
    }

    async fn note(&self, entry: Entry) -> Result<i64, Fault> {
        Ok(self.console.audit.note(entry).await?)
    }
}

/// Notes what a person asks for, before it is done.
pub(super) async fn asked(visit: &Visit, fields: &Fields) -> Result<(), Fault> {
    let Some(mut entry) = visit.own_entry(Act::Asked) else {
        return Ok(());
    };
    for (name, value) in fields.iter().filter(|(name, _)| !UNNOTED.contains(name)) {
        // Each by itself, and without what pages pass over, so that none hides another.
        let value = match PRIVATE.iter().any(|part| value.contains(part)) {
            true => "…".to_owned(),
            false => Entry::value(value.trim()),
        };
        // What is ticked more than once is one value.
        let known: &mut String = entry.fields.entry(Entry::value(name)).or_default();
        if !known.is_empty() {
            known.push_str(", ");
        }
        known.push_str(&value);
    }
    let number = visit.note(entry).await?;
    // A request has one form.
    let _ = visit.asked.set(number);
    Ok(())
}

/// How an answer is noted.
pub(super) fn status(response: &Response) -> StatusCode {
    match response.extensions().get::<Refused>() {
        Some(Refused) => StatusCode::UNPROCESSABLE_ENTITY,
        None => response.status(),
    }
}

/// Notes what a person is about to be shown, or what became of what was asked for.
pub(super) async fn answered(visit: &Visit, status: StatusCode) -> Result<(), Fault> {
    let asked = visit.asked.get().copied();
    let act = match (&visit.method, asked) {
        (_, Some(_)) => Act::Answered,
        // A form that did not get as far as being carried out.
        (&Method::POST, None) => Act::Asked,
        _ => Act::Viewed,
    };
    let Some(mut entry) = visit.own_entry(act) else {
        return Ok(());
    };
    entry.answers = asked;
    entry.status = Some(status.as_u16());
    if act == Act::Viewed && status == StatusCode::OK && is_known(visit, &entry) {
        return Ok(());
    }
    visit.note(entry).await.map(drop)
}

/// True if a page is taken anew because it follows the book, and was noted not long ago.
fn is_known(visit: &Visit, entry: &Entry) -> bool {
    let fresh = visit.console.fresh.lock();
    let mut fresh = fresh.unwrap_or_else(PoisonError::into_inner);
    let page = [&entry.login, &entry.address, &entry.book, &entry.object].map(String::clone);
    let before = fresh.get(&page).copied();
    if visit.follows && before.is_some_and(|before| entry.at - before < FOLLOWS) {
        return true;
    }
    if fresh.len() >= OPEN {
        fresh.clear();
    }
    fresh.insert(page, entry.at);
    false
}

/// Notes that a person signs in, before it counts.
pub(super) async fn signed_in(visit: &Visit, person: &Person) -> Result<(), Fault> {
    let entry = visit.entry(&person.party, &person.login, Act::SignedIn);
    visit.note(entry).await.map(drop)
}

/// Notes that somebody tried to sign in with a name and failed. Nobody waits for it to be on the
/// disk, so that the time of the answer does not tell whether somebody has the name.
pub(super) async fn sign_in_failed(visit: &Visit, login: &str) -> Result<(), Fault> {
    let person = people::by_login(&visit.console.registry, login)?;
    // Such a name must wait after some failures, so these are few.
    let whose = person.as_ref().map(|one| (&*one.party, &*one.login));
    let (party, login) = whose.unwrap_or_default();
    let entry = visit.entry(party, login, Act::SignInFailed);
    visit.console.audit.called(entry).await;
    Ok(())
}

/// What is asked of the list.
#[derive(Default, Deserialize)]
pub(super) struct Asked {
    #[serde(default)]
    person: String,
    /// Only calls of this client; a person may have a login like its name.
    #[serde(skip)]
    client: String,
    #[serde(default)]
    object: String,
    #[serde(default)]
    day: String,
    /// Only entries before this one.
    before: Option<i64>,
    /// Present if the chain is to be checked.
    check: Option<String>,
}

pub(super) async fn show(signed: Signed, Query(asked): Query<Asked>) -> Result<Response, Fault> {
    signed.must(&[Role::Auditor])?;
    let visit = &signed.visit;
    let party = &signed.person.party;
    let people = people::of_party(&visit.console.registry, party)?;
    let mut sheet = Sheet::new(visit, visit.t("nav.audit"));
    sheet.lead = visit.t("audit.lead").to_owned();
    if asked.check.is_some() {
        let (tone, text) = checked(&signed).await?;
        sheet.add("checked", vec![Block::Notice(tone, text)]);
    }
    let mut choices = vec![(String::new(), visit.t("frame.any").to_owned())];
    let names = people
        .iter()
        .map(|one| (one.login.clone(), one.name.clone()));
    choices.extend(names);
    let clients = Client::of(&visit.console.registry, party).map_err(developer::failed)?;
    let clients = clients.into_iter().map(|client| client.client_id);
    choices.extend(clients.map(|client| (client.clone(), client)));
    let input = |name, key: &str, value: &str, kind| Input::new(name, visit.t(key), value, kind);
    let filter = Filter {
        path: "/console/audit".to_owned(),
        inputs: vec![
            input(
                "person",
                "audit.person",
                &asked.person,
                InputKind::Choice(choices),
            ),
            input("object", "audit.about", &asked.object, InputKind::Text),
            input("day", "audit.day", &asked.day, InputKind::Day),
        ],
    };
    sheet.add("filter", vec![Block::Filter(filter)]);
    let table = table(&signed, &people, &asked).await?;
    let section = Section::new("entries", visit.t("audit.entries"));
    sheet.section(
        section
            .measured(visit.t("audit.utc"))
            .with(Block::Table(table)),
    );
    let file = visit.console.audit.file();
    let head = file.with(|connection| audit::head(connection, party))?;
    let facts = vec![
        (
            visit.t("audit.number").to_owned(),
            Cell::number(count(head.number)),
        ),
        (visit.t("audit.hash").to_owned(), Cell::Code(head.hash)),
    ];
    let links = ["audit.check", "audit.export"].map(|key| visit.t(key).to_owned());
    let [check, export] = links;
    let links = vec![
        (check, "/console/audit?check=yes".to_owned()),
        (export, "/console/audit/export".to_owned()),
    ];
    sheet.section(
        Section::new("chain", visit.t("audit.chain"))
            .with(Block::Text(visit.t("audit.chain_text").to_owned()))
            .with(Block::Facts(facts))
            .with(Block::Links(links)),
    );
    visit.page(&sheet)
}

/// Whether the party's chain is sound, in words.
async fn checked(signed: &Signed) -> Result<(Tone, String), Fault> {
    // By a connection of its own, since it takes a while where there are millions.
    let own = signed.visit.console.audit.file().another()?;
    let party = signed.person.party.clone();
    let checked = spawn_blocking(move || audit::check(&own, &party, None)).await;
    let visit = &signed.visit;
    Ok(
        match checked.map_err(|error| Fault::Failed(error.to_string()))?? {
            Ok(checked) => {
                let entries = count(checked.head().number - checked.removed());
                let text = match checked.removed() {
                    0 => visit.language.fill("audit.sound", &[&entries]),
                    removed => {
                        let removed = count(removed);
                        visit
                            .language
                            .fill("audit.sound_since", &[&entries, &removed])
                    }
                };
                (Tone::Good, text)
            }
            Err(broken) => {
                let text = visit.language.fill("audit.broken", &[&broken.to_string()]);
                (Tone::Bad, text)
            }
        },
    )
}

/// Entries of the party that pass the filter, newest first; an answer stands with what it answers.
async fn table(signed: &Signed, people: &[Person], asked: &Asked) -> Result<Table, Fault> {
    let visit = &signed.visit;
    let object = asked.object.trim();
    let found = found(signed, asked).await?;
    let mut table = Table::new(&[
        (visit.t("audit.time"), "!"),
        (visit.t("audit.what"), "!"),
        (visit.t("audit.object"), ""),
        (visit.t("audit.address"), "?!"),
    ])
    .empty(visit.t("audit.none"));
    for (text, answer) in found.iter().take(SHOWN) {
        let entry = read(text)?;
        let name = people.iter().find(|person| person.login == entry.login);
        table.row(vec![
            Cell::Lines(vec![
                match name {
                    Some(person) => person.name.clone(),
                    None => [entry.login.as_str(), &entry.client].concat(),
                },
                time(entry.at),
            ]),
            outcome(visit, &entry, *answer),
            object_cell(visit, &entry),
            Cell::Soft(entry.address.clone()),
        ]);
        if table.rows.len() == SHOWN && found.len() > SHOWN {
            let path = format!(
                "/console/audit?person={}&object={}&day={}&before={}",
                form_escaped(&asked.person),
                form_escaped(object),
                form_escaped(&asked.day),
                entry.number
            );
            table.more = Some(path);
        }
    }
    Ok(table)
}

fn read(text: &str) -> Result<Entry, Fault> {
    serde_json::from_str(text).map_err(|error| Fault::Failed(format!("the audit log: {error}")))
}

/// The last calls of a client that are noted, for whoever looks for what went wrong with them.
pub(super) async fn calls(signed: &Signed, client: &str) -> Result<Section, Fault> {
    let visit = &signed.visit;
    let asked = Asked {
        client: client.to_owned(),
        ..Asked::default()
    };
    let mut table = Table::new(&[
        (visit.t("developer.call_time"), "?!"),
        (visit.t("audit.what"), "!"),
        (visit.t("audit.object"), ""),
        (visit.t("webhook.answer"), "#"),
        (visit.t("audit.address"), "?!"),
    ])
    .empty(visit.t("developer.no_calls"));
    for (text, answer) in found(signed, &asked).await?.iter().take(CALLS) {
        let entry = read(text)?;
        table.row(vec![
            Cell::text(time(entry.at)),
            outcome(visit, &entry, *answer),
            object_cell(visit, &entry),
            Cell::number(
                entry
                    .status
                    .map_or(String::new(), |status| status.to_string()),
            ),
            Cell::Soft(entry.address.clone()),
        ]);
    }
    Ok(Section::new("calls", visit.t("developer.calls"))
        .measured(visit.t("audit.utc"))
        .with(Block::Table(table)))
}

/// Entries that pass the filter, newest first, each with the status of its answer.
async fn found(signed: &Signed, asked: &Asked) -> Result<Vec<(String, Option<u16>)>, Fault> {
    let mut conditions = vec!["one.party = ?", "one.answers is null"];
    let mut values = vec![Value::from(signed.person.party.clone())];
    // Of its own accord SQLite would look at all entries of the party.
    let mut index = "";
    let day = asked.day.parse::<Day>().ok();
    if let Some(day) = day {
        let from = i64::from(day.0) * DAY;
        conditions.push("one.at >= ? and one.at < ?");
        values.extend([from, from + DAY].map(Value::from));
        index = "indexed by audit_at";
    }
    if !asked.person.is_empty() {
        conditions.push("one.who = ?");
        values.push(asked.person.clone().into());
        index = "indexed by audit_who";
    }
    if !asked.client.is_empty() {
        conditions.push("one.who = ? and one.entry ->> 'client' = ?");
        values.extend([asked.client.clone(), asked.client.clone()].map(Value::from));
        index = "indexed by audit_who";
    }
    let object = asked.object.trim();
    if !object.is_empty() {
        conditions.push("instr(one.entry, ?) > 0");
        values.push(object.to_owned().into());
    }
    if let Some(before) = asked.before {
        conditions.push("one.number < ?");
        values.push(before.into());
    }
    let text = format!(
        "select one.entry, other.entry ->> 'status' from audit one {index}
         left join audit other indexed by audit_answers
         on other.party = one.party and other.answers = one.number
         where {} order by one.number desc limit {}",
        conditions.join(" and "),
        SHOWN + 1
    );
    // What is rare takes a while to be found among millions.
    let own = signed.visit.console.audit.file().another()?;
    let find = move || {
        own.with(|connection| {
            let mut select = connection.prepare(&text)?;
            let rows = select.query_map(params_from_iter(values), |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
    };
    let found = spawn_blocking(find).await;
    Ok(found.map_err(|error| Fault::Failed(error.to_string()))??)
}

/// A time in UTC, given in seconds since 1970.
pub(super) fn time(at: i64) -> String {
    let time = Timestamp::from_second(at).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// What was done, and how it ended if not as one expects.
fn outcome(visit: &Visit, entry: &Entry, answer: Option<u16>) -> Cell {
    let act = visit.word("audit_act", entry.act.name());
    let (tone, outcome) = match (entry.act, answer.or(entry.status)) {
        (Act::SignedIn, _) => (Tone::Good, ""),
        (Act::SignInFailed | Act::CallFailed, _) => (Tone::Bad, ""),
        (Act::Asked | Act::Called, None) => (Tone::Warn, "unanswered"),
        (_, Some(404)) => (Tone::Warn, "nothing"),
        (_, Some(400..=499)) => (Tone::Bad, "refused"),
        (_, Some(500..)) => (Tone::Bad, "failed"),
        (Act::Asked | Act::Called, _) => (Tone::Good, "done"),
        _ => (Tone::Plain, ""),
    };
    let times = entry.count.map(|times| format!(" × {times}"));
    let text = match outcome {
        "" => format!("{act}{}", times.unwrap_or_default()),
        outcome => format!("{act}: {}", visit.word("audit_outcome", outcome)),
    };
    Cell::Badge(tone, text)
}

/// What it was about: the page, and what a form said.
fn object_cell(visit: &Visit, entry: &Entry) -> Cell {
    let fields = entry.fields.iter().filter(|(_, value)| !value.is_empty());
    let fields = fields.map(|(name, value)| format!("{name}: {value}"));
    if !entry.method.is_empty() {
        let call = format!("{} {}", entry.method, entry.object);
        return Cell::Lines([call].into_iter().chain(fields).collect());
    }
    let (path, query) = entry.object.split_once('?').unwrap_or((&entry.object, ""));
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let page = match parts.next() {
        None => visit.t("nav.overview"),
        Some("account") => visit.t("own.title"),
        Some("archives") => visit.t("archive.title"),
        Some("webhooks") => visit.t("webhook.title"),
        Some("sign-in") => visit.t("sign_in.title"),
        Some("sign-out") => visit.t("frame.sign_out"),
        Some(page) => visit.word("nav", page),
    };
    let mut words = vec![page.to_owned()];
    words.extend(parts.map(unescaped));
    words.extend((!query.is_empty()).then(|| unescaped(query)));
    let words = words.join(" · ");
    if entry.act == Act::Viewed && entry.status == Some(200) {
        return Cell::Link(words, format!("/console{}", entry.object));
    }
    Cell::Lines([words].into_iter().chain(fields).collect())
}

/// The party's whole chain, to keep and to check.
pub(super) async fn export(signed: Signed) -> Result<Response, Fault> {
    signed.must(&[Role::Auditor])?;
    let party = signed.person.party.clone();
    let name = format!("attachment; filename=\"audit-{party}.log\"");
    let own = signed.visit.console.audit.file().another()?;
    let lines = stream::unfold(0, move |after| {
        let lines = audit::lines(&own, &party, after);
        async move {
            match lines {
                Ok(lines) => {
                    let last = lines.last()?.number;
                    let lines = lines.into_iter().map(|line| line.text + "\n");
                    Some((Ok(Bytes::from(lines.collect::<String>())), last))
                }
                Err(error) => Some((Err(error), after)),
            }
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "text/plain; charset=utf-8"),
        (header::CONTENT_DISPOSITION, name.as_str()),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}
