//! The person's own page: who it is here, and the passkeys.

use axum::http::StatusCode;
use axum::response::Response;

use super::audit::time;
use super::blocks::{
    Block, Cell, Form, Input, InputKind, PasskeyForm, Section, Sheet, Table, Tone,
};
use super::page::{Fault, Fields, Signed, Visit, go};
use super::passkey::{self, Answer, Asked, MOST, Passkey, Purpose};
use super::people::{self, Role};
use super::{session, sign_in};

const PATH: &str = "/console/account";

pub(super) async fn show(signed: Signed) -> Result<Response, Fault> {
    page(&signed, StatusCode::OK, None)
}

fn page(signed: &Signed, status: StatusCode, wrong: Option<&str>) -> Result<Response, Fault> {
    let (visit, person) = (&signed.visit, &signed.person);
    let mut sheet = Sheet::new(visit, visit.t("own.title"));
    if let Some(wrong) = wrong {
        let text = visit.t(wrong).to_owned();
        sheet.add("wrong", vec![Block::Notice(Tone::Bad, text)]);
    }
    let roles: Vec<_> = person.roles.iter().map(Role::name).collect();
    let roles: Vec<_> = roles
        .into_iter()
        .map(|role| visit.word("role", role))
        .collect();
    let fact = |key: &str, text: String| (visit.t(key).to_owned(), Cell::Text(text));
    let facts = vec![
        fact("people.name", person.name.clone()),
        fact("people.login", person.login.clone()),
        fact("people.roles", visit.list(&roles)),
    ];
    sheet.add("facts", vec![Block::Facts(facts)]);
    let change = people::last_change(&visit.console.registry, person)?;
    if change.is_some_and(|change| change.awaited.is_some()) {
        let text = visit.t("own.awaited").to_owned();
        sheet.add("awaited", vec![Block::Notice(Tone::Warn, text)]);
    }
    let passkeys = passkey::of_person(&visit.console.registry, person.id)?;
    let few = passkeys.len() < MOST;
    let known: Vec<_> = passkeys.iter().map(|key| key.id.clone()).collect();
    let section = Section::new("passkeys", visit.t("own.passkeys"))
        .with(Block::Text(visit.t("own.text").to_owned()))
        .with(Block::Table(table(signed, passkeys)));
    sheet.section(section);
    match Asked::by(visit) {
        Some(asked) if few => {
            let form = PasskeyForm {
                challenge: asked.challenge(Purpose::Register),
                party: asked.party.id.clone(),
                user: person.id,
                login: person.login.clone(),
                name: person.name.clone(),
                known: known.join(" "),
            };
            let section = Section::new("add", visit.t("own.add"));
            sheet.section(section.with(Block::Passkey(form)));
        }
        Some(_) => {}
        None => {
            let text = visit.t("own.no_host").to_owned();
            sheet.add("add", vec![Block::Notice(Tone::Plain, text)]);
        }
    }
    sheet.section(password_form(visit));
    visit.page_with(status, &sheet)
}

fn password_form(visit: &Visit) -> Section {
    let input = |name, key, fills| Input::new(name, visit.t(key), "", InputKind::Password(fills));
    let form = Form {
        action: format!("{PATH}/password"),
        inputs: vec![
            input("password", "own.password", "current-password"),
            input("new_password", "enrol.password", "new-password"),
            input("again", "enrol.again", "new-password"),
        ],
        submit: visit.t("own.change").to_owned(),
    };
    Section::new("password", visit.t("own.change"))
        .folded()
        .with(Block::Text(visit.t("own.change_text").to_owned()))
        .with(Block::Form(form))
}

/// Changes the person's password.
pub(super) async fn password(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    let (visit, person) = (&signed.visit, &signed.person);
    let refuse = |wrong| page(&signed, StatusCode::UNPROCESSABLE_ENTITY, Some(wrong));
    let new = fields.get("new_password");
    if let Some(wrong) = sign_in::unfit(new, fields.get("again")) {
        return refuse(wrong);
    }
    if !sign_in::is_password(visit, person, fields.get("password")).await? {
        return refuse("own.wrong_password");
    }
    sign_in::set_password(visit, person, new).await?;
    Ok(go(PATH))
}

fn table(signed: &Signed, passkeys: Vec<Passkey>) -> Table {
    let visit = &signed.visit;
    let mut table = Table::new(&[
        (visit.t("own.device"), ""),
        (visit.t("own.added"), "?!"),
        (visit.t("own.used"), "!"),
        ("", ""),
    ])
    .empty(visit.t("own.none"));
    for passkey in passkeys {
        let fields = vec![("passkey", passkey.id)];
        let used = passkey.used_at.map_or("–".to_owned(), time);
        let remove = visit.t("developer.remove").to_owned();
        table.row(vec![
            Cell::text(passkey.name),
            Cell::text(time(passkey.added_at)),
            Cell::text(used),
            Cell::Button(format!("{PATH}/remove"), fields, remove),
        ]);
    }
    table
}

/// The answer of a device, as forms have it.
pub(super) fn answer(fields: &Fields) -> Answer<'_> {
    Answer {
        credential: fields.get("credential"),
        user: fields.get("user"),
        client: fields.get("client_data"),
        authenticator: fields.get("authenticator"),
        signature: fields.get("signature"),
    }
}

pub(super) async fn add(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let console = &visit.console;
    let asked = Asked::by(visit).ok_or(Fault::NotFound)?;
    let person = &signed.person;
    let refuse = |wrong| page(&signed, StatusCode::UNPROCESSABLE_ENTITY, Some(wrong));
    // Who found an open session must not be able to come back when it is over.
    if !sign_in::is_password(visit, person, fields.get("password")).await? {
        return refuse("own.wrong_password");
    }
    let name = match fields.get("name").trim() {
        "" => visit.t("own.unnamed"),
        name => name,
    };
    let name: String = name.chars().take(60).collect();
    match passkey::register(&console.registry, &asked, person, &name, answer(&fields))? {
        true => Ok(go(PATH)),
        false => refuse("own.wrong"),
    }
}

pub(super) async fn remove(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    let (registry, person) = (&signed.visit.console.registry, signed.person.id);
    if !passkey::remove(registry, person, fields.get("passkey"))? {
        return Err(Fault::NotFound);
    }
    // Who lost a device may be signed in on it.
    session::end_others(registry, person, &signed.visit.token)?;
    Ok(go(PATH))
}
