//! Clients: programs that call for a party, with their public keys and what they may do.

use std::fmt;

use tandem_client::key::{Jwks, KeyError, PublicKey};
use thiserror::Error;

use crate::registry::{self, Registry, Row, Tables, Value, values};

/// What a client can be allowed, and what it means.
pub const SCOPES: &[(&str, &str)] = &[
    ("agreements:read", "read the agreements of the party"),
    (
        "applications:write",
        "submit applications and accept offers",
    ),
    ("applications:read", "read applications and decisions"),
    ("loans:read", "read loans, schedules, balances and quotes"),
    (
        "loans:write",
        "instruct loans: settle early, waive, reverse",
    ),
    ("payments:write", "report payments"),
    ("settlements:read", "read settlements and statements"),
    ("events:read", "read events and the delivery log"),
    ("webhooks:write", "set up webhooks"),
    ("persons:read", "read personal data of the party"),
    (
        "persons:write",
        "store and erase personal data of the party",
    ),
    (
        "decisions:write",
        "sign what the party's own service decides on applications",
    ),
    ("sandbox", "move time and seed data in a sandbox"),
    ("admin", "operate the service: close days, register clients"),
];

/// Keys that a client has at most: the one in use, and the next or the last.
pub(super) const MOST_KEYS: usize = 2;

/// Tables of clients.
pub(crate) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS client (
    client_id TEXT PRIMARY KEY,
    party TEXT NOT NULL,
    scopes TEXT NOT NULL,
    jwks TEXT NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
";

/// Why a client cannot be registered or changed.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The name cannot stand in a token.
    #[error("client_id {0:?} must be 1 to 64 letters, digits, dots, hyphens or underscores")]
    Name(String),
    /// An administrator chose a name that does not begin with the party.
    #[error("client_id `{0}` must begin with `{1}.`; choose one such as {1}.shop")]
    NotOwn(String, String),
    /// A client with this name is there.
    #[error("client {0} is registered already")]
    Taken(String),
    /// There is no such client.
    #[error("there is no client {0}")]
    Unknown(String),
    /// Not one of [`SCOPES`].
    #[error("there is no scope {0}; there are: {list}", list = Scopes::all())]
    Scope(String),
    /// Too few or too many keys.
    #[error("a client has one or {MOST_KEYS} keys, not {0}")]
    Keys(usize),
    /// Two keys of one name.
    #[error("two keys have the kid {0}")]
    SameKey(String),
    /// No key of this name.
    #[error("client {0} has no key {1}")]
    NoKey(String, String),
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The keys are no JWKS.
    #[error("the keys are no JWKS (RFC 7517): {0}")]
    Jwks(#[from] serde_json::Error),
    /// The registry cannot be read or written.
    #[error("the registry: {0}")]
    Registry(#[from] registry::Error),
}

/// What a caller may do, in the order of [`SCOPES`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<&'static str>);

impl Scopes {
    /// Reads names with spaces between them, as OAuth writes them.
    pub fn parse(text: &str) -> Result<Scopes, ClientError> {
        let known = |name: &str| SCOPES.iter().any(|(scope, _)| *scope == name);
        if let Some(unknown) = text.split_ascii_whitespace().find(|name| !known(name)) {
            return Err(ClientError::Scope(unknown.to_owned()));
        }
        let mut scopes = Scopes::all();
        scopes
            .0
            .retain(|scope| text.split_ascii_whitespace().any(|name| name == *scope));
        Ok(scopes)
    }

    /// All there are.
    pub fn all() -> Scopes {
        Scopes(SCOPES.iter().map(|(scope, _)| *scope).collect())
    }

    /// Whether a scope is among them.
    pub fn has(&self, scope: &str) -> bool {
        self.0.contains(&scope)
    }

    /// Those that are in both.
    pub fn and(&self, other: &Scopes) -> Scopes {
        let both = self.0.iter().filter(|scope| other.has(scope));
        Scopes(both.copied().collect())
    }

    /// The names.
    pub fn iter(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

/// A client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its name.
    pub client_id: String,
    /// The party that it calls for, as agreements name it.
    pub party: String,
    /// What it may do.
    pub scopes: Scopes,
    /// Its public keys, for assertions and message signatures; the newest last.
    pub keys: Vec<PublicKey>,
    /// Whether it is shut out.
    pub disabled: bool,
}

impl Client {
    /// Takes what a client is registered with. `jwks` is its key set (RFC 7517) as text.
    pub fn new(
        client_id: &str,
        party: &str,
        scopes: &str,
        jwks: &str,
    ) -> Result<Client, ClientError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if client_id.is_empty() || client_id.len() > 64 || !client_id.chars().all(fits) {
            return Err(ClientError::Name(client_id.to_owned()));
        }
        let client = Client {
            client_id: client_id.to_owned(),
            party: party.to_owned(),
            scopes: Scopes::parse(scopes)?,
            keys: keys_from(jwks)?,
            disabled: false,
        };
        client.check_keys()?;
        Ok(client)
    }

    /// Registers it.
    pub fn register(&self, registry: &Registry) -> Result<(), ClientError> {
        let added = registry.change(|tables| {
            tables.execute(
                "INSERT INTO client (client_id, party, scopes, jwks, disabled)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
                values![
                    &self.client_id,
                    &self.party,
                    self.scopes.to_string(),
                    self.jwks(),
                    self.disabled
                ],
            )
        })?;
        if added == 0 {
            return Err(ClientError::Taken(self.client_id.clone()));
        }
        Ok(())
    }

    /// Finds a client.
    pub fn find(registry: &Registry, client_id: &str) -> Result<Option<Client>, ClientError> {
        registry.read(|tables| find(tables, client_id))
    }

    /// All clients, by name.
    pub fn all(registry: &Registry) -> Result<Vec<Client>, ClientError> {
        Client::select(registry, "1 = 1", values![])
    }

    /// The clients of a party, by name.
    pub fn of(registry: &Registry, party: &str) -> Result<Vec<Client>, ClientError> {
        Client::select(registry, "party = ?1", values![party])
    }

    fn select(
        registry: &Registry,
        condition: &str,
        values: &[Value],
    ) -> Result<Vec<Client>, ClientError> {
        let text = format!("SELECT {COLUMNS} FROM client WHERE {condition} ORDER BY client_id");
        registry.read(|tables| tables.rows(&text, values, from_row)?.into_iter().collect())
    }

    /// Gives a client its next key. It keeps the newest of those it had, so that both hold until
    /// the old one is removed or the next rotation.
    pub fn rotate(registry: &Registry, client_id: &str, jwk: &str) -> Result<(), ClientError> {
        let key = PublicKey::from_jwk(&serde_json::from_str(jwk)?)?;
        change(registry, client_id, |client| {
            client
                .keys
                .drain(..client.keys.len().saturating_sub(MOST_KEYS - 1));
            client.keys.push(key);
            Ok(())
        })
    }

    /// Takes a key out of use. The last one stays: disable the client instead.
    pub fn remove_key(registry: &Registry, client_id: &str, kid: &str) -> Result<(), ClientError> {
        change(registry, client_id, |client| {
            let before = client.keys.len();
            client.keys.retain(|key| key.kid != kid);
            if client.keys.len() == before {
                return Err(ClientError::NoKey(client_id.to_owned(), kid.to_owned()));
            }
            Ok(())
        })
    }

    /// Shuts a client out, or lets it in again.
    pub fn disable(
        registry: &Registry,
        client_id: &str,
        disabled: bool,
    ) -> Result<(), ClientError> {
        change(registry, client_id, |client| {
            client.disabled = disabled;
            Ok(())
        })
    }

    /// A key by its name. A text without a name may be of the only key.
    pub(crate) fn key(&self, kid: Option<&str>) -> Result<&PublicKey, String> {
        match (kid, self.keys.as_slice()) {
            (None, [key]) => Ok(key),
            (None, _) => Err("names no key (kid), and the client has two".to_owned()),
            (Some(kid), keys) => keys.iter().find(|key| key.kid == kid).ok_or_else(|| {
                format!(
                    "names key {kid}, which is no key of client {}",
                    self.client_id
                )
            }),
        }
    }

    fn check_keys(&self) -> Result<(), ClientError> {
        match self.keys.as_slice() {
            [_] => Ok(()),
            [one, other] if one.kid == other.kid => Err(ClientError::SameKey(one.kid.clone())),
            [_, _] => Ok(()),
            keys => Err(ClientError::Keys(keys.len())),
        }
    }

    fn jwks(&self) -> String {
        let keys = self.keys.iter().map(PublicKey::to_jwk).collect();
        serde_json::to_string(&Jwks { keys }).expect("texts become JSON")
    }
}

const COLUMNS: &str = "client_id, party, scopes, jwks, disabled";

fn from_row(row: &Row) -> registry::Result<Result<Client, ClientError>> {
    let scopes: String = row.get(2)?;
    let jwks: String = row.get(3)?;
    let (client_id, party, disabled) = (row.get(0)?, row.get(1)?, row.get(4)?);
    let read = || {
        Ok(Client {
            client_id,
            party,
            scopes: Scopes::parse(&scopes)?,
            keys: keys_from(&jwks)?,
            disabled,
        })
    };
    Ok(read())
}

fn find(tables: &Tables<'_>, client_id: &str) -> Result<Option<Client>, ClientError> {
    let text = format!("SELECT {COLUMNS} FROM client WHERE client_id = ?1");
    let found = tables.row(&text, values![client_id], from_row)?;
    found.transpose()
}

fn change(
    registry: &Registry,
    client_id: &str,
    change: impl FnOnce(&mut Client) -> Result<(), ClientError>,
) -> Result<(), ClientError> {
    registry.change(|tables| {
        let client = find(tables, client_id)?;
        let mut client = client.ok_or_else(|| ClientError::Unknown(client_id.to_owned()))?;
        change(&mut client)?;
        client.check_keys()?;
        tables.execute(
            "UPDATE client SET jwks = ?2, disabled = ?3 WHERE client_id = ?1",
            values![client_id, client.jwks(), client.disabled],
        )?;
        Ok(())
    })
}

pub(super) fn keys_from(jwks: &str) -> Result<Vec<PublicKey>, ClientError> {
    let jwks: Jwks = serde_json::from_str(jwks)?;
    let keys = jwks.keys.iter().map(PublicKey::from_jwk);
    Ok(keys.collect::<Result<_, _>>()?)
}
