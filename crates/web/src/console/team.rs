//! The party's people, for its administrators.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::Console;
use super::audit::time;
use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone};
use super::page::{Fault, Fields, Signed, Visit, go};
use super::people::{self, By, Change, NewPerson, Person, PersonError, Role, Roles};
use crate::registry;

fn ticks(visit: &Visit, roles: Roles) -> InputKind {
    let ticks = Role::ALL.map(|role| {
        let name = role.name();
        (
            name.to_owned(),
            visit.word("role", name).to_owned(),
            roles.has(role),
        )
    });
    InputKind::Ticks(ticks.to_vec())
}

fn roles(fields: &Fields) -> Roles {
    let ticked = fields.all("roles").filter_map(Role::of);
    // Whoever signs in may look.
    ticked.chain([Role::Viewer]).collect()
}

fn names(visit: &Visit, roles: Roles) -> String {
    let names: Vec<_> = roles
        .iter()
        .map(|role| visit.word("role", role.name()))
        .collect();
    visit.list(&names)
}

pub(super) async fn list(signed: Signed) -> Result<Response, Fault> {
    signed.must(&[Role::Admin])?;
    page(&signed, StatusCode::OK, Vec::new(), &Fields::default())
}

fn page(
    signed: &Signed,
    status: StatusCode,
    notices: Vec<Block>,
    filled: &Fields,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let registry = &visit.console.registry;
    let people = people::of_party(registry, &signed.person.party)?;
    let changes = people::changes(registry, &signed.person.party)?;
    let mut sheet = Sheet::new(visit, visit.t("nav.people"));
    sheet.lead = visit.t("people.lead").to_owned();
    if !notices.is_empty() {
        sheet.add("notice", notices);
    }
    let mut table = Table::new(&[
        (visit.t("people.name"), ""),
        (visit.t("people.login"), "?"),
        (visit.t("people.roles"), ""),
        (visit.t("list.state"), ""),
    ]);
    for person in &people {
        let change = changes.iter().find(|change| change.person == person.id);
        let awaited = change.and_then(|change| change.awaited);
        let (tone, key) = match (person.active, awaited) {
            (true, Some(_)) => (Tone::Warn, "people.awaited"),
            (true, None) => (Tone::Good, "people.active"),
            (false, _) => (Tone::Plain, "people.inactive"),
        };
        table.row(vec![
            Cell::Link(
                person.name.clone(),
                format!("/console/people/{}", person.id),
            ),
            Cell::Soft(person.login.clone()),
            Cell::text(names(visit, person.roles)),
            Cell::Badge(tone, visit.t(key).to_owned()),
        ]);
    }
    sheet.section(Section::new("people", "").with(Block::Table(table)));
    let text = |name, key: &str| Input::new(name, visit.t(key), filled.get(name), InputKind::Text);
    let form = Form {
        action: "/console/people".to_owned(),
        inputs: vec![
            text("name", "people.name"),
            text("login", "people.login"),
            Input::new(
                "roles",
                visit.t("people.roles"),
                "",
                ticks(visit, roles(filled)),
            ),
        ],
        submit: visit.t("people.add").to_owned(),
    };
    sheet.section(Section::new("add", visit.t("people.new")).with(Block::Form(form)));
    visit.page_with(status, &sheet)
}

fn by(signed: &Signed) -> By<'_> {
    By {
        administrator: &signed.person,
        now: signed.visit.console.now(),
    }
}

pub(super) async fn add(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    signed.must(&[Role::Admin])?;
    let visit = &signed.visit;
    let new = NewPerson {
        login: fields.get("login"),
        name: fields.get("name"),
        party: &signed.person.party,
        roles: roles(&fields),
    };
    let wrong = |text: String| {
        let notice = vec![Block::Notice(Tone::Bad, text)];
        page(&signed, StatusCode::UNPROCESSABLE_ENTITY, notice, &fields)
    };
    match people::propose(&visit.console.registry, new, by(&signed)) {
        Ok(password) => invited(&signed, new.login, &password),
        Err(PersonError::LoginTaken(login)) => {
            wrong(visit.language.fill("people.taken", &[&login]))
        }
        Err(PersonError::LoginNotOwn(party)) => {
            wrong(visit.language.fill("people.not_own", &[&party]))
        }
        Err(PersonError::NoName | PersonError::PasswordShort) => {
            wrong(visit.t("people.no_name").to_owned())
        }
        Err(PersonError::Registry(error)) => Err(error.into()),
    }
}

/// Shows the first password, once.
fn invited(signed: &Signed, login: &str, password: &str) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let mut sheet =
        Sheet::new(visit, visit.t("people.invited")).below("nav.people", "/console/people");
    let facts = vec![
        (
            visit.t("people.login").to_owned(),
            Cell::Code(login.to_owned()),
        ),
        (
            visit.t("people.first_password").to_owned(),
            Cell::Code(password.to_owned()),
        ),
    ];
    let text = visit.t("people.invited_text").to_owned();
    let then = visit.t("people.invited_then").to_owned();
    sheet.add(
        "invited",
        vec![
            Block::Notice(Tone::Good, text),
            Block::Facts(facts),
            Block::Text(then),
        ],
    );
    visit.page(&sheet)
}

fn one(signed: &Signed, id: i64) -> Result<Person, Fault> {
    signed.must(&[Role::Admin])?;
    let found = people::find(&signed.visit.console.registry, &signed.person.party, id)?;
    found.ok_or(Fault::NotFound)
}

pub(super) async fn show(signed: Signed, Path(id): Path<i64>) -> Result<Response, Fault> {
    let person = one(&signed, id)?;
    person_page(&signed, StatusCode::OK, &person, None)
}

fn person_page(
    signed: &Signed,
    status: StatusCode,
    person: &Person,
    wrong: Option<String>,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let id = person.id;
    let mut sheet = Sheet::new(visit, person.name.clone()).below("nav.people", "/console/people");
    sheet.lead = person.login.clone();
    if let Some(wrong) = wrong {
        sheet.add("wrong", vec![Block::Notice(Tone::Bad, wrong)]);
    }
    let change = people::last_change(&visit.console.registry, person)?;
    if let Some(change) = &change {
        sheet.section(told(signed, person, change));
    }
    if id == signed.person.id {
        let text = visit.t("people.own").to_owned();
        sheet.add("own", vec![Block::Notice(Tone::Plain, text)]);
        return visit.page_with(status, &sheet);
    }
    let active = vec![(
        "1".to_owned(),
        visit.t("people.may_sign_in").to_owned(),
        person.active,
    )];
    let asked = change.and_then(|change| change.awaited);
    let form = Form {
        action: format!("/console/people/{id}"),
        inputs: vec![
            Input::new(
                "roles",
                visit.t("people.roles"),
                "",
                ticks(visit, asked.unwrap_or(person.roles)),
            ),
            Input::new(
                "active",
                visit.t("list.state"),
                "",
                InputKind::Ticks(active),
            ),
        ],
        submit: visit.t("frame.save").to_owned(),
    };
    sheet.section(
        Section::new("roles", visit.t("people.roles"))
            .half()
            .with(Block::Text(visit.t("people.roles_text").to_owned()))
            .with(Block::Form(form)),
    );
    let form = Form {
        action: format!("/console/people/{id}/reset"),
        inputs: Vec::new(),
        submit: visit.t("people.reset").to_owned(),
    };
    let text = Block::Text(visit.t("people.reset_text").to_owned());
    let section = Section::new("reset", visit.t("people.reset_title")).half();
    sheet.section(section.with(text).with(Block::Form(form)));
    visit.page_with(status, &sheet)
}

/// Who changed a person last and who confirmed it, or what is to be confirmed.
fn told(signed: &Signed, person: &Person, change: &Change) -> Section {
    let visit = &signed.visit;
    let changed = format!("{}, {} UTC", change.by.name, time(change.at));
    let mut facts = vec![(visit.t("people.changed_by"), Cell::text(changed))];
    if let Some(by) = &change.confirmed_by {
        facts.push((visit.t("people.confirmed_by"), Cell::text(by.clone())));
    }
    if let Some(awaited) = change.awaited {
        let (may, asked) = (names(visit, person.roles), names(visit, awaited));
        facts.push((visit.t("people.may_now"), Cell::text(may)));
        facts.push((visit.t("people.to_confirm"), Cell::text(asked)));
    }
    let facts = facts
        .into_iter()
        .map(|(name, cell)| (name.to_owned(), cell));
    let section = Section::new("change", visit.t("people.change"));
    let section = section.with(Block::Facts(facts.collect()));
    if change.awaited.is_none() {
        return section;
    }
    let say = |key| visit.language.fill(key, &[&person.name, &change.by.name]);
    match hindrance(&signed.person, change) {
        Some(why) => section.with(Block::Notice(Tone::Warn, say(why))),
        None => section
            .with(Block::Text(say("people.confirm_text")))
            .with(Block::Form(Form {
                action: format!("/console/people/{}/confirm", person.id),
                inputs: vec![Input::hidden("change", change.at.to_string())],
                submit: visit.t("people.confirm").to_owned(),
            })),
    }
}

/// Why an administrator cannot confirm what was done about a person, as a text of the catalogue.
fn hindrance(by: &Person, change: &Change) -> Option<&'static str> {
    if by.id == change.by.id || by.id == change.person {
        Some("people.not_self")
    } else if !by.is_apart_from(&change.by) {
        Some("people.not_apart")
    } else if !change.is_active {
        Some("people.not_active")
    } else if !change.is_enrolled {
        Some("people.not_enrolled")
    } else {
        None
    }
}

/// Number of changes that this person can confirm.
pub(super) fn waiting(console: &Console, person: &Person) -> registry::Result<i64> {
    if !person.roles.has(Role::Admin) {
        return Ok(0);
    }
    let changes = people::changes(&console.registry, &person.party)?;
    let waiting = changes
        .iter()
        .filter(|change| change.awaited.is_some() && hindrance(person, change).is_none());
    Ok(waiting.count() as i64)
}

pub(super) async fn save(
    signed: Signed,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, Fault> {
    let person = another(&signed, id)?;
    let (roles, active) = (roles(&fields), !fields.get("active").is_empty());
    let registry = &signed.visit.console.registry;
    people::change(registry, person.id, roles, active, by(&signed))?;
    Ok(go("/console/people"))
}

/// A person of the party who is not the administrator: nobody takes the last administrator away by
/// mistake, and one's own rights others change.
fn another(signed: &Signed, id: i64) -> Result<Person, Fault> {
    let person = one(signed, id)?;
    match person.id == signed.person.id {
        true => Err(Fault::Forbidden),
        false => Ok(person),
    }
}

pub(super) async fn reset(
    signed: Signed,
    Path(id): Path<i64>,
    _: Fields,
) -> Result<Response, Fault> {
    let person = another(&signed, id)?;
    let password = people::reset(&signed.visit.console.registry, person.id, by(&signed))?;
    invited(&signed, &person.login, &password)
}

/// Confirms what another administrator did about a person, as it was shown.
pub(super) async fn confirm(
    signed: Signed,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, Fault> {
    let person = one(&signed, id)?;
    let registry = &signed.visit.console.registry;
    let change = people::last_change(registry, &person)?.ok_or(Fault::NotFound)?;
    let shown = fields.get("change").parse().unwrap_or_default();
    let why = match hindrance(&signed.person, &change) {
        Some(why) => why,
        None if people::confirm(registry, id, shown, &signed.person)? => {
            return Ok(go("/console/people"));
        }
        None => "people.changed_since",
    };
    let names = [person.name.as_str(), &change.by.name];
    let wrong = signed.visit.language.fill(why, &names);
    person_page(
        &signed,
        StatusCode::UNPROCESSABLE_ENTITY,
        &person,
        Some(wrong),
    )
}
