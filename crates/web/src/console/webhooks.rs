//! Where the party's events are sent, and how that went.

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;

use super::blocks::{Block, Cell, Form, Input, InputKind, Section, Sheet, Table, Tone, count};
use super::page::{Fault, Fields, Signed, Visit, go};
use super::people::Role;
use crate::webhooks::{
    self, Delivery, Endpoint, MOST_ENDPOINTS, NewEndpoint, Scheme, WebhookError, last_event,
};

/// Deliveries that are shown.
const SHOWN: usize = 50;

impl From<WebhookError> for Fault {
    fn from(error: WebhookError) -> Fault {
        match error {
            WebhookError::Registry(error) => error.into(),
            error => Fault::Failed(error.to_string()),
        }
    }
}

fn path(id: &str) -> String {
    format!("/console/webhooks/{id}")
}

fn kinds(visit: &Visit, endpoint: &Endpoint) -> String {
    match endpoint.kinds.is_empty() {
        true => visit.t("webhook.all").to_owned(),
        false => endpoint.kinds.join(", "),
    }
}

fn state(visit: &Visit, endpoint: &Endpoint) -> (Tone, String) {
    match &endpoint.disabled {
        None => (Tone::Good, visit.t("webhook.works").to_owned()),
        Some(why) => (Tone::Bad, visit.language.fill("webhook.disabled", &[why])),
    }
}

/// The party's webhooks in this book.
pub(super) fn section(signed: &Signed) -> Result<Section, Fault> {
    let visit = &signed.visit;
    let endpoints = visit
        .console
        .webhooks
        .of(signed.desk.name(), &signed.person.party)?;
    let mut table = Table::new(&[
        (visit.t("webhook.url"), ""),
        (visit.t("webhook.events"), "?"),
        (visit.t("list.state"), ""),
    ])
    .empty(visit.t("webhook.none"));
    for endpoint in endpoints {
        let (tone, words) = state(visit, &endpoint);
        table.row(vec![
            Cell::Link(endpoint.url.clone(), path(&endpoint.id)),
            Cell::Soft(kinds(visit, &endpoint)),
            Cell::Badge(tone, words),
        ]);
    }
    Ok(Section::new("webhooks", visit.t("webhook.title")).with(Block::Table(table)))
}

/// The form for another one.
pub(super) fn form(visit: &Visit) -> Section {
    let kinds = webhooks::kinds().into_iter();
    let kinds = kinds.map(|kind| (kind.to_owned(), kind.to_owned(), false));
    let schemes =
        ["v1a", "v1"].map(|name| (name.to_owned(), visit.word("scheme", name).to_owned()));
    let form = Form {
        action: "/console/webhooks".to_owned(),
        inputs: vec![
            Input::new("url", visit.t("webhook.url"), "", InputKind::Text),
            Input::new(
                "scheme",
                visit.t("webhook.scheme"),
                "",
                InputKind::Choice(schemes.into()),
            ),
            Input::new(
                "kinds",
                visit.t("webhook.kinds"),
                "",
                InputKind::Ticks(kinds.collect()),
            ),
        ],
        submit: visit.t("webhook.add").to_owned(),
    };
    let section = Section::new("add-webhook", visit.t("webhook.new"))
        .half()
        .folded();
    section.with(Block::Form(form))
}

pub(super) async fn add(signed: Signed, fields: Fields) -> Result<Response, Fault> {
    signed.must(&[Role::Admin])?;
    let visit = &signed.visit;
    let webhooks = &visit.console.webhooks;
    let refuse = |wrong: String| {
        super::developer::page(&signed, StatusCode::UNPROCESSABLE_ENTITY, Some(wrong))
    };
    let url = fields.get("url").trim();
    if let Err(wrong) = webhooks.check_url(url) {
        return refuse(wrong);
    }
    let known = webhooks::kinds();
    let kinds = fields.all("kinds").filter(|kind| known.contains(kind));
    let kinds: Vec<_> = kinds.map(str::to_owned).collect();
    let new = NewEndpoint {
        agreement: signed.desk.name(),
        party: &signed.person.party,
        url,
        kinds: &kinds,
        after: last_event(&signed.desk)?,
    };
    let scheme = match fields.get("scheme") {
        "v1" => Scheme::V1,
        _ => Scheme::V1a,
    };
    match webhooks.add(&new, scheme)? {
        Some((endpoint, None)) => Ok(go(&path(&endpoint.id))),
        Some((endpoint, secret)) => page(&signed, &endpoint, secret),
        None => refuse(
            visit
                .language
                .fill("webhook.too_many", &[&MOST_ENDPOINTS.to_string()]),
        ),
    }
}

/// A webhook of the party in this book.
fn own(signed: &Signed, id: &str) -> Result<Endpoint, Fault> {
    let found = signed.visit.console.webhooks.find(id)?;
    let own = |endpoint: &Endpoint| {
        endpoint.agreement == signed.desk.name() && endpoint.party == signed.person.party
    };
    found.filter(own).ok_or(Fault::NotFound)
}

pub(super) async fn show(signed: Signed, Path(id): Path<String>) -> Result<Response, Fault> {
    page(&signed, &own(&signed, &id)?, None)
}

/// The page of a webhook; the secret is given if it was just made, and not shown again.
fn page(signed: &Signed, endpoint: &Endpoint, secret: Option<String>) -> Result<Response, Fault> {
    let (visit, id) = (&signed.visit, &endpoint.id);
    let admin = signed.person.roles.has(Role::Admin);
    let deliveries = visit.console.webhooks.log(id, None, SHOWN)?;
    let mut sheet =
        Sheet::new(visit, endpoint.url.clone()).below("nav.developer", "/console/developer");
    sheet.status = Some(state(visit, endpoint));
    if let Some(secret) = secret {
        let notice = Block::Notice(Tone::Good, visit.t("webhook.secret_text").to_owned());
        let fact = (visit.t("webhook.secret").to_owned(), Cell::Code(secret));
        sheet.add("secret", vec![notice, Block::Facts(vec![fact])]);
    }
    let fact = |key: &str, cell| (visit.t(key).to_owned(), cell);
    let facts = vec![
        fact("webhook.events", Cell::text(kinds(visit, endpoint))),
        fact(
            "webhook.cursor",
            Cell::number(count(endpoint.cursor as i64)),
        ),
        fact("webhook.key", Cell::Code(endpoint.public_key()?)),
    ];
    sheet.add("facts", vec![Block::Facts(facts)]);
    let table = Block::Table(log(visit, endpoint, &deliveries, admin));
    sheet.section(Section::new("deliveries", visit.t("webhook.deliveries")).with(table));
    if admin {
        let form = |what: &str, label: &str| {
            Block::Form(Form {
                action: format!("{}/{what}", path(id)),
                inputs: Vec::new(),
                submit: visit.t(label).to_owned(),
            })
        };
        if endpoint.disabled.is_some() {
            let section = Section::new("enable", visit.t("webhook.enable_title")).half();
            let text = Block::Text(visit.t("webhook.enable_text").to_owned());
            sheet.section(section.with(text).with(form("enable", "webhook.enable")));
        }
        let section = Section::new("remove", visit.t("webhook.remove_title"))
            .half()
            .folded();
        let text = Block::Text(visit.t("webhook.remove_text").to_owned());
        sheet.section(section.with(text).with(form("remove", "developer.remove")));
    }
    visit.page(&sheet)
}

/// What was sent or is to be sent, newest first.
fn log(visit: &Visit, endpoint: &Endpoint, deliveries: &[Delivery], admin: bool) -> Table {
    let mut table = Table::new(&[
        (visit.t("ledger.event"), "#"),
        (visit.t("developer.kind"), "?"),
        (visit.t("list.state"), ""),
        (visit.t("webhook.tries"), "#?"),
        (visit.t("webhook.answer"), ""),
        ("", ""),
    ])
    .empty(visit.t("webhook.nothing_sent"));
    for delivery in deliveries {
        let tone = match delivery.state() {
            "delivered" => Tone::Good,
            "failed" => Tone::Bad,
            _ => Tone::Warn,
        };
        let answer = delivery.status.map(|status| status.to_string());
        let answer = answer.into_iter().chain(delivery.error.clone());
        let again = match admin && endpoint.disabled.is_none() && delivery.next_at.is_none() {
            true => Cell::Button(
                format!("{}/resend", path(&endpoint.id)),
                vec![("event", delivery.event.to_string())],
                visit.t("webhook.resend").to_owned(),
            ),
            false => Cell::text(""),
        };
        table.row(vec![
            Cell::NumberLink(
                delivery.event.to_string(),
                format!("/console/ledger/events/{}", delivery.event),
            ),
            Cell::Code(delivery.kind.clone()),
            Cell::Badge(tone, visit.word("delivery", delivery.state()).to_owned()),
            Cell::number(delivery.tries),
            Cell::Lines(answer.collect()),
            again,
        ]);
    }
    table
}

/// Changes a webhook: `enable`, `resend` or `remove`.
pub(super) async fn change(
    signed: Signed,
    Path((id, what)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    signed.must(&[Role::Admin])?;
    own(&signed, &id)?;
    let webhooks = &signed.visit.console.webhooks;
    match what.as_str() {
        "enable" => webhooks.enable(&id)?,
        "resend" => {
            let event = fields.get("event").parse().map_err(|_| Fault::NotFound)?;
            webhooks.delivery(&id, event)?.ok_or(Fault::NotFound)?;
            webhooks.resend(&id, event)?;
        }
        "remove" => {
            webhooks.remove(&id)?;
            return Ok(go("/console/developer"));
        }
        _ => return Err(Fault::NotFound),
    }
    Ok(go(&path(&id)))
}
