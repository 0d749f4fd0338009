//! What an administrator asks for a client that may do more than read: it counts once another
//! administrator confirms it. Whoever holds a client's key needs no second person any more.

use axum::http::StatusCode;
use axum::response::Response;
use tandem_client::key::{Jwks, PublicKey};

use super::audit::time;
use super::blocks::{Block, Cell, Section, Table, Tone};
use super::developer;
use super::page::{Fault, Fields, Signed, go};
use super::people::{Doer, Person, Role};
use crate::access::{Client, ClientError, Scopes};
use crate::registry::{self, Registry, Row, values};

/// The table of what is to be confirmed, one for a client.
pub(super) const SCHEMA: &str = "
create table if not exists client_change (
    party text not null,
    client_id text not null,
    -- register, rotate or enable.
    what text not null,
    -- Of a new client.
    scopes text not null,
    -- Those of a new client, or the next one (JWKS).
    keys text not null,
    changed_by integer not null references person (id),
    changed_at integer not null,
    primary key (party, client_id)
) strict, without rowid;
";

/// What is asked for.
pub(super) enum What {
    /// That a client is registered.
    Register(Client),
    /// That a client gets its next key (JWK).
    Rotate(String),
    /// That a client is let in again.
    Enable,
}

impl What {
    fn name(&self) -> &'static str {
        match self {
            What::Register(_) => "register",
            What::Rotate(_) => "rotate",
            What::Enable => "enable",
        }
    }

    /// Does it.
    fn carry_out(&self, registry: &Registry, client_id: &str) -> Result<(), ClientError> {
        match self {
            What::Register(client) => client.register(registry),
            What::Rotate(jwk) => Client::rotate(registry, client_id, jwk),
            What::Enable => Client::disable(registry, client_id, false),
        }
    }

    /// The keys that it brings.
    fn keys(&self) -> Result<Vec<PublicKey>, ClientError> {
        Ok(match self {
            What::Register(client) => client.keys.clone(),
            What::Rotate(jwk) => vec![PublicKey::from_jwk(&serde_json::from_str(jwk)?)?],
            What::Enable => Vec::new(),
        })
    }
}

/// What is to be confirmed about a client.
pub(super) struct ClientChange {
    client_id: String,
    what: String,
    scopes: String,
    keys: Vec<PublicKey>,
    by: Doer,
    at: i64,
}

impl ClientChange {
    fn read(row: &Row) -> registry::Result<ClientChange> {
        let keys: String = row.get(3)?;
        let keys: Jwks = serde_json::from_str(&keys)
            .map_err(|error| registry::Error::Kept(format!("client_change: {error}")))?;
        Ok(ClientChange {
            client_id: row.get(0)?,
            what: row.get(1)?,
            scopes: row.get(2)?,
            keys: keys.known(),
            at: row.get(4)?,
            by: Doer::read(row, 5)?,
        })
    }

    /// What it is, to be done.
    fn what(&self, party: &str) -> Result<What, ClientError> {
        Ok(match self.what.as_str() {
            "register" => {
                let keys = jwks(&self.keys);
                What::Register(new_client(&self.client_id, party, &self.scopes, &keys)?)
            }
            "rotate" => {
                let key = self.keys.first().map(PublicKey::to_jwk);
                What::Rotate(serde_json::to_string(&key)?)
            }
            _ => What::Enable,
        })
    }

    /// Why an administrator cannot confirm it, as a text of the catalogue.
    fn hindrance(&self, person: &Person) -> Option<&'static str> {
        if self.by.id == person.id {
            Some("developer.not_self")
        } else if !person.is_apart_from(&self.by) {
            Some("developer.not_apart")
        } else {
            None
        }
    }
}

/// What stands before the names of a party's clients. No party's id has a dot, so that a name is taken
/// says nothing of another party's clients, and nobody takes a name that looks like another's.
pub(super) fn prefix(party: &str) -> String {
    format!("{party}.")
}

/// A client that an administrator of a party asks for.
pub(super) fn new_client(
    client_id: &str,
    party: &str,
    scopes: &str,
    keys: &str,
) -> Result<Client, ClientError> {
    let rest = client_id.strip_prefix(&prefix(party));
    if rest.is_none_or(str::is_empty) {
        return Err(ClientError::NotOwn(client_id.to_owned(), party.to_owned()));
    }
    Client::new(client_id, party, scopes, keys)
}

fn jwks(keys: &[PublicKey]) -> String {
    let keys = keys.iter().map(PublicKey::to_jwk).collect();
    serde_json::to_string(&Jwks { keys }).expect("texts become JSON")
}

fn of(registry: &Registry, party: &str) -> registry::Result<Vec<ClientChange>> {
    let text = format!(
        "select client_id, what, scopes, keys, changed_at, {} from client_change
         join person one on one.id = client_change.changed_by
         where client_change.party = ?1 order by client_id",
        Doer::COLUMNS
    );
    registry.read(|tables| tables.rows(&text, values![party], ClientChange::read))
}

/// True if who holds a key of a client with these scopes can change something.
fn may_write(scopes: &Scopes) -> bool {
    scopes.iter().any(|scope| !scope.ends_with(":read"))
}

/// Does what is asked for a client that only reads, and keeps the rest until another administrator
/// confirms it, in the place of what was asked for before.
pub(super) fn ask(
    signed: &Signed,
    client_id: &str,
    scopes: &Scopes,
    what: &What,
) -> Result<(), ClientError> {
    let registry = &signed.visit.console.registry;
    if !may_write(scopes) {
        return what.carry_out(registry, client_id);
    }
    if matches!(what, What::Register(_)) && Client::find(registry, client_id)?.is_some() {
        return Err(ClientError::Taken(client_id.to_owned()));
    }
    let keys = jwks(&what.keys()?);
    let person = &signed.person;
    registry.change(|tables| {
        tables.execute(
            "insert into client_change (party, client_id, what, scopes, keys, changed_by, changed_at)
             values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict (party, client_id) do update
             set what = ?3, scopes = ?4, keys = ?5, changed_by = ?6, changed_at = ?7",
            values![
                &person.party,
                client_id,
                what.name(),
                scopes.to_string(),
                keys,
                person.id,
                signed.visit.console.now()
            ],
        )?;
        Ok(())
    })
}

/// What is to be confirmed about a client or about all, if there is anything.
pub(super) fn section(signed: &Signed, client: Option<&str>) -> Result<Option<Section>, Fault> {
    let visit = &signed.visit;
    let mut changes = of(&visit.console.registry, &signed.person.party)?;
    changes.retain(|change| client.is_none_or(|client| client == change.client_id));
    if changes.is_empty() {
        return Ok(None);
    }
    let mut table = Table::new(&[
        (visit.t("developer.client"), "!"),
        (visit.t("audit.what"), "!"),
        (visit.t("developer.asked_by"), ""),
        (visit.t("developer.asked_for"), ""),
        ("", ""),
        ("", ""),
    ]);
    let admin = signed.person.roles.has(Role::Admin);
    let mut section = Section::new("changes", visit.t("people.awaited"))
        .with(Block::Text(visit.t("developer.awaited_text").to_owned()));
    for change in changes {
        let button = |what: &str, label: &str| {
            let fields = vec![("change", change.at.to_string())];
            let path = format!("{}/{what}", developer::path(&change.client_id));
            Cell::Button(path, fields, visit.t(label).to_owned())
        };
        let hindrance = change.hindrance(&signed.person).filter(|_| admin);
        if let Some(why) = hindrance {
            let why = visit
                .language
                .fill(why, &[&change.client_id, &change.by.name]);
            section = section.with(Block::Notice(Tone::Warn, why));
        }
        let keys = change
            .keys
            .iter()
            .map(|key| format!("{} {}", key.kid, key.thumbprint()));
        let (confirm, withdraw) = match (admin, hindrance) {
            (false, _) => (Cell::text(""), Cell::text("")),
            (true, Some(_)) => (Cell::text(""), button("withdraw", "developer.withdraw")),
            (true, None) => (
                button("confirm", "people.confirm"),
                button("withdraw", "developer.withdraw"),
            ),
        };
        table.row(vec![
            Cell::Code(change.client_id.clone()),
            Cell::text(visit.word("client_change", &change.what)),
            Cell::Lines(vec![
                change.by.name.clone(),
                format!("{} UTC", time(change.at)),
            ]),
            Cell::Lines([change.scopes.clone()].into_iter().chain(keys).collect()),
            confirm,
            withdraw,
        ]);
    }
    Ok(Some(section.with(Block::Table(table))))
}

/// Confirms what was shown to be asked for a client, or takes it back.
pub(super) fn decide(
    signed: &Signed,
    client_id: &str,
    confirms: bool,
    fields: &Fields,
) -> Result<Response, Fault> {
    let (visit, person) = (&signed.visit, &signed.person);
    let registry = &visit.console.registry;
    let changes = of(registry, &person.party)?;
    let change = changes.into_iter().find(|one| one.client_id == client_id);
    let change = change.ok_or(Fault::NotFound)?;
    let refuse = |why| {
        let why = visit.language.fill(why, &[client_id, &change.by.name]);
        developer::page(signed, StatusCode::UNPROCESSABLE_ENTITY, Some(why))
    };
    if let Some(why) = change.hindrance(person).filter(|_| confirms) {
        return refuse(why);
    }
    let shown = fields.get("change").parse::<i64>().unwrap_or_default();
    let text = "delete from client_change where party = ?1 and client_id = ?2 and changed_at = ?3";
    let values = values![&person.party, client_id, shown];
    let taken: registry::Result<usize> = registry.change(|tables| tables.execute(text, values));
    if taken? == 0 {
        return refuse("people.changed_since");
    }
    if !confirms {
        return Ok(go("/console/developer"));
    }
    let done = change.what(&person.party);
    let done = done.and_then(|what| what.carry_out(registry, client_id));
    developer::answer(signed, done, "/console/developer")
}
