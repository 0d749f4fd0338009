//! The person's own page: who it is here, and the passkeys.

use axum::http::StatusCode;
use axum::response::Response;

use super::audit::time;
use super::blocks::{Block, Cell, PasskeyForm, Section, Sheet, Table, Tone};
use super::page::{Fault, Fields, Signed, go};
use super::passkey::{self, Answer, Asked, MOST, Passkey, Purpose};
use super::people::Role;

const PATH: &str = "/console/account";

pub(super) async fn show(signed: Signed) -> Result<Response, Fault> {
    page(&signed, StatusCode::OK, false)
}

fn page(signed: &Signed, status: StatusCode, wrong: bool) -> Result<Response, Fault> {
    let (visit, person) = (&signed.visit, &signed.person);
    let mut sheet = Sheet::new(visit, visit.t("own.title"));
    if wrong {
        let text = visit.t("own.wrong").to_owned();
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
        fact("people.roles", roles.join(", ")),
    ];
    sheet.add("facts", vec![Block::Facts(facts)]);
    let passkeys = passkey::of_person(&visit.console.registry, person.id)?;
    let few = passkeys.len() < MOST;
    let section = Section::new("passkeys", visit.t("own.passkeys"))
        .with(Block::Text(visit.t("own.text").to_owned()))
        .with(Block::Table(table(signed, passkeys)));
    sheet.section(section);
    match &visit.console.relying_party {
        Some(party) if few => {
            let challenges = &visit.console.challenges;
            let form = PasskeyForm {
                challenge: challenges.make(&visit.token, Purpose::Register, visit.console.now()),
                party: party.id.clone(),
                user: person.id,
                login: person.login.clone(),
                name: person.name.clone(),
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
    visit.page_with(status, &sheet)
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
        client: fields.get("client"),
        authenticator: fields.get("authenticator"),
        signature: fields.get("signature"),
    }
}

pub(super) async fn add(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let console = &visit.console;
    let party = console.relying_party.as_ref().ok_or(Fault::NotFound)?;
    let asked = Asked {
        party,
        challenges: &console.challenges,
        token: &visit.token,
        now: console.now(),
    };
    let name = match fields.get("name").trim() {
        "" => visit.t("own.unnamed"),
        name => name,
    };
    let name: String = name.chars().take(60).collect();
    let person = &signed.person;
    match passkey::register(&console.registry, &asked, person, &name, answer(&fields))? {
        true => Ok(go(PATH)),
        false => page(&signed, StatusCode::UNPROCESSABLE_ENTITY, true),
    }
}

pub(super) async fn remove(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    let registry = &signed.visit.console.registry;
    match passkey::remove(registry, signed.person.id, fields.get("passkey"))? {
        true => Ok(go(PATH)),
        false => Err(Fault::NotFound),
    }
}
