//! What a partner's engineer needs: where to call, the party's clients with their keys and calls,
//! what happened lately, and in a sandbox the day to close.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use rusqlite::params;
use tandem_domain::book::Command;
use tandem_domain::calendar::Day;
use tandem_engine::disclosure::only;

use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone};
use super::client_changes::{self, What};
use super::page::{Fault, Fields, Signed, Visit, form_escaped, go};
use super::people::Role;
use crate::access::{Client, ClientError, Scopes};

/// Events that are shown.
const EVENTS: usize = 20;

pub(super) fn path(client: &str) -> String {
    format!("/console/developer/{}", form_escaped(client))
}

fn own(signed: &Signed) -> Result<Vec<Client>, Fault> {
    let mut clients = Client::all(&signed.visit.console.registry).map_err(failed)?;
    clients.retain(|client| client.party == signed.person.party);
    Ok(clients)
}

pub(super) fn failed(error: ClientError) -> Fault {
    match error {
        ClientError::Registry(error) => error.into(),
        error => Fault::Failed(error.to_string()),
    }
}

fn state(visit: &Visit, client: &Client) -> (Tone, String) {
    let (tone, key) = match client.disabled {
        true => (Tone::Bad, "developer.disabled"),
        false => (Tone::Good, "developer.enabled"),
    };
    (tone, visit.t(key).to_owned())
}

pub(super) async fn show(signed: Signed) -> Result<Response, Fault> {
    page(&signed, StatusCode::OK, None)
}

pub(super) fn page(
    signed: &Signed,
    status: StatusCode,
    wrong: Option<String>,
) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let base = &visit.console.base;
    let mut sheet = Sheet::new(visit, visit.t("nav.developer"));
    sheet.lead = visit.t("developer.lead").to_owned();
    if let Some(wrong) = wrong {
        sheet.add("wrong", vec![Block::Notice(Tone::Bad, wrong)]);
    }
    let link = |key: &str, path: &str| {
        let address = Cell::Address(format!("{base}{path}"));
        (visit.t(key).to_owned(), address)
    };
    let book = format!("{base}/v1/agreements/{}", signed.desk.name());
    let facts = vec![
        (visit.t("developer.base").to_owned(), Cell::Code(book)),
        link(
            "developer.metadata",
            "/.well-known/oauth-authorization-server",
        ),
        link("developer.description", "/openapi.json"),
        link("developer.reference", "/docs"),
    ];
    sheet.section(Section::new("base", visit.t("developer.where")).with(Block::Facts(facts)));
    let mut table = Table::new(&[
        (visit.t("developer.client"), "!"),
        (visit.t("developer.scopes"), "?"),
        (visit.t("developer.keys"), "?"),
        (visit.t("list.state"), ""),
    ])
    .empty(visit.t("developer.no_clients"));
    for client in own(signed)? {
        let (tone, words) = state(visit, &client);
        let keys = client.keys.iter().map(|key| key.kid.clone());
        table.row(vec![
            Cell::Link(client.client_id.clone(), path(&client.client_id)),
            Cell::Soft(client.scopes.to_string()),
            Cell::Lines(keys.collect()),
            Cell::Badge(tone, words),
        ]);
    }
    sheet.section(Section::new("clients", visit.t("developer.clients")).with(Block::Table(table)));
    if let Some(section) = client_changes::section(signed, None)? {
        sheet.section(section);
    }
    sheet.section(super::webhooks::section(signed)?);
    if signed.person.roles.has(Role::Admin) {
        sheet.section(add_form(signed));
        sheet.section(super::webhooks::form(visit));
    }
    if visit.console.sandbox && signed.person.roles.has(Role::Operations) {
        let form = Form {
            action: "/console/developer/close-day".to_owned(),
            inputs: Vec::new(),
            submit: visit.t("developer.close_day").to_owned(),
        };
        let section = Section::new("sandbox", visit.t("developer.sandbox")).half();
        let text = Block::Text(visit.t("developer.sandbox_text").to_owned());
        sheet.section(section.with(text).with(Block::Form(form)));
    }
    sheet.section(
        Section::new("events", visit.t("developer.events")).with(Block::Table(events(signed)?)),
    );
    visit.page_with(status, &sheet)
}

fn add_form(signed: &Signed) -> Section {
    let visit = &signed.visit;
    let prefix = client_changes::prefix(&signed.person.party);
    let scopes = Scopes::all();
    let scopes = scopes
        .iter()
        .map(|scope| (scope.to_owned(), scope.to_owned(), true));
    let form = Form {
        action: "/console/developer".to_owned(),
        inputs: vec![
            Input::new(
                "client",
                visit.t("developer.client"),
                prefix,
                InputKind::Text,
            ),
            Input::new("keys", visit.t("developer.jwks"), "", InputKind::Long),
            Input::new(
                "scopes",
                visit.t("developer.scopes"),
                "",
                InputKind::Ticks(scopes.collect()),
            ),
        ],
        submit: visit.t("developer.register").to_owned(),
    };
    Section::new("add", visit.t("developer.new"))
        .half()
        .folded()
        .with(Block::Text(visit.t("developer.awaited_text").to_owned()))
        .with(Block::Form(form))
}

/// The last events that concern the party.
fn events(signed: &Signed) -> Result<Table, Fault> {
    let visit = &signed.visit;
    let rows = signed.desk.reader().rows(|rows| {
        let mut select = rows.prepare_cached(
            "SELECT number, day, kind, application FROM event WHERE (parties & ?1) != 0
             ORDER BY number DESC LIMIT ?2",
        )?;
        let found = select.query_map(params![only(signed.party), EVENTS as i64], |row| {
            let (day, kind): (i32, String) = (row.get(1)?, row.get(2)?);
            let application: Option<u32> = row.get(3)?;
            Ok((row.get::<_, i64>(0)?, Day(day), kind, application))
        })?;
        found.collect::<rusqlite::Result<Vec<_>>>()
    })?;
    let mut table = Table::new(&[
        (visit.t("ledger.event"), "#"),
        (visit.t("ledger.day"), "!"),
        (visit.t("developer.kind"), ""),
        (visit.t("developer.what"), "?"),
        (visit.t("developer.subject"), ""),
    ])
    .empty(visit.t("list.empty"));
    signed.look(|scope| {
        for (number, day, kind, application) in rows {
            let record = application.and_then(|place| scope.book.application_at(place));
            let subject = record.map(|record| {
                let path = match kind.split('.').next() == Some("loan") {
                    true => super::loans::path(record.key),
                    false => super::applications::path(record.key),
                };
                Cell::Link(record.key.to_owned(), path)
            });
            table.row(vec![
                Cell::NumberLink(
                    number.to_string(),
                    format!("/console/ledger/events/{number}"),
                ),
                Cell::text(day.to_string()),
                Cell::Code(kind.clone()),
                Cell::Soft(visit.word("event", &kind).to_owned()),
                subject.unwrap_or(Cell::text("")),
            ]);
        }
        Ok(table)
    })
}

pub(super) async fn add(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    signed.must(&[Role::Admin])?;
    let scopes: Vec<_> = fields.all("scopes").collect();
    let client = client_changes::new_client(
        fields.get("client").trim(),
        &signed.person.party,
        &scopes.join(" "),
        fields.get("keys"),
    );
    let added = client.and_then(|client| {
        let (name, scopes) = (client.client_id.clone(), client.scopes.clone());
        client_changes::ask(&signed, &name, &scopes, &What::Register(client))
    });
    answer(&signed, added, "/console/developer")
}

/// Goes on, or says what is wrong.
pub(super) fn answer(
    signed: &Signed,
    done: Result<(), ClientError>,
    path: &str,
) -> Result<Response, Fault> {
    match done {
        Ok(()) => Ok(go(path)),
        Err(error @ ClientError::Registry(_)) => Err(failed(error)),
        Err(error) => page(
            signed,
            StatusCode::UNPROCESSABLE_ENTITY,
            Some(error.to_string()),
        ),
    }
}

fn one(signed: &Signed, name: &str) -> Result<Client, Fault> {
    let found = own(signed)?
        .into_iter()
        .find(|client| client.client_id == name);
    found.ok_or(Fault::NotFound)
}

pub(super) async fn client(signed: Signed, Path(name): Path<String>) -> Result<Response, Fault> {
    let visit = &signed.visit;
    let client = one(&signed, &name)?;
    let mut sheet =
        Sheet::new(visit, client.client_id.clone()).below("nav.developer", "/console/developer");
    sheet.status = Some(state(visit, &client));
    sheet.lead = client.scopes.to_string();
    let mut keys = Table::new(&[
        (visit.t("developer.key"), ""),
        (visit.t("developer.algorithm"), ""),
        ("", ""),
    ]);
    let admin = signed.person.roles.has(Role::Admin);
    for key in &client.keys {
        let remove = match admin && client.keys.len() > 1 {
            true => Cell::Button(
                format!("{}/remove-key", path(&name)),
                vec![("key", key.kid.clone())],
                visit.t("developer.remove").to_owned(),
            ),
            false => Cell::text(""),
        };
        keys.row(vec![
            Cell::Code(key.kid.clone()),
            Cell::text(key.algorithm.http()),
            remove,
        ]);
    }
    sheet.section(Section::new("keys", visit.t("developer.keys")).with(Block::Table(keys)));
    if let Some(section) = client_changes::section(&signed, Some(&name))? {
        sheet.section(section);
    }
    if admin {
        let key = Input::new("key", visit.t("developer.jwk"), "", InputKind::Long);
        let form = |what: &str, inputs, label: &str| {
            Block::Form(Form {
                action: format!("{}/{what}", path(&name)),
                inputs,
                submit: visit.t(label).to_owned(),
            })
        };
        let section = Section::new("rotate", visit.t("developer.rotate_title")).half();
        let text = Block::Text(visit.t("developer.rotate_text").to_owned());
        sheet.section(
            section
                .with(text)
                .with(form("rotate", vec![key], "developer.rotate")),
        );
        let (what, label) = match client.disabled {
            true => ("enable", "developer.enable"),
            false => ("disable", "developer.disable"),
        };
        let section = Section::new("shut", visit.t("developer.shut_title")).half();
        let text = Block::Text(visit.t("developer.shut_text").to_owned());
        sheet.section(section.with(text).with(form(what, Vec::new(), label)));
        sheet.section(super::audit::calls(&signed, &name).await?);
    }
    visit.page(&sheet)
}

/// Changes a client: `rotate`, `remove-key`, `disable` or `enable`; what waits to be confirmed is
/// decided by `confirm` or `withdraw`.
pub(super) async fn change(
    signed: Signed,
    Path((name, what)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    signed.must(&[Role::Admin])?;
    if let "confirm" | "withdraw" = what.as_str() {
        return client_changes::decide(&signed, &name, what == "confirm", &fields);
    }
    let client = one(&signed, &name)?;
    let registry = &signed.visit.console.registry;
    let ask = |what| client_changes::ask(&signed, &name, &client.scopes, &what);
    let done = match what.as_str() {
        "rotate" => ask(What::Rotate(fields.get("key").to_owned())),
        "remove-key" => Client::remove_key(registry, &name, fields.get("key")),
        "disable" => Client::disable(registry, &name, true),
        "enable" => ask(What::Enable),
        _ => return Err(Fault::NotFound),
    };
    answer(&signed, done, &path(&name))
}

/// Closes the business date of a sandbox.
pub(super) async fn close_day(signed: Signed, _: Fields) -> Result<Response, Fault> {
    signed.must(&[Role::Operations])?;
    if !signed.visit.console.sandbox {
        return Err(Fault::NotFound);
    }
    let day = signed.desk.look(|book| book.business_date());
    match signed.desk.execute(Command::CloseDay { day }).await {
        Ok(_) => Ok(go("/console/developer")),
        Err(problem) => page(&signed, StatusCode::CONFLICT, Some(problem.detail)),
    }
}
