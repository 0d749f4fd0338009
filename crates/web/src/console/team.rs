//! The party's people, for its administrators.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone};
use super::page::{Fault, Fields, Signed, Visit, go};
use super::people::{self, NewPerson, Person, PersonError, Role, Roles};

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
    let people = people::of_party(&visit.console.registry, &signed.person.party)?;
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
        let (tone, key) = match person.active {
            true => (Tone::Good, "people.active"),
            false => (Tone::Plain, "people.inactive"),
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
    match people::invite(&visit.console.registry, new) {
        Ok(password) => invited(&signed, new.login, &password),
        Err(PersonError::LoginTaken(login)) => {
            wrong(visit.language.fill("people.taken", &[&login]))
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
    sheet.add(
        "invited",
        vec![Block::Notice(Tone::Good, text), Block::Facts(facts)],
    );
    visit.page(&sheet)
}

fn one(signed: &Signed, id: i64) -> Result<Person, Fault> {
    signed.must(&[Role::Admin])?;
    let found = people::find(&signed.visit.console.registry, &signed.person.party, id)?;
    found.ok_or(Fault::NotFound)
}

pub(super) async fn show(signed: Signed, Path(id): Path<i64>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let person = one(&signed, id)?;
    let mut sheet = Sheet::new(visit, person.name.clone()).below("nav.people", "/console/people");
    sheet.lead = person.login.clone();
    let active = vec![(
        "1".to_owned(),
        visit.t("people.may_sign_in").to_owned(),
        person.active,
    )];
    let form = Form {
        action: format!("/console/people/{id}"),
        inputs: vec![
            Input::new(
                "roles",
                visit.t("people.roles"),
                "",
                ticks(visit, person.roles),
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
    visit.page(&sheet)
}

pub(super) async fn save(
    signed: Signed,
    Path(id): Path<i64>,
    fields: Fields,
) -> Result<Response, Fault> {
    let person = one(&signed, id)?;
    // Nobody takes the last administrator away by mistake: one's own rights others change.
    if person.id == signed.person.id {
        return Err(Fault::Forbidden);
    }
    let person = Person {
        roles: roles(&fields),
        active: !fields.get("active").is_empty(),
        ..person
    };
    people::change(&signed.visit.console.registry, &person)?;
    Ok(go("/console/people"))
}

pub(super) async fn reset(
    signed: Signed,
    Path(id): Path<i64>,
    _: Fields,
) -> Result<Response, Fault> {
    let person = one(&signed, id)?;
    let password = people::reset(&signed.visit.console.registry, person.id)?;
    invited(&signed, &person.login, &password)
}
