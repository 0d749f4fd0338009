//! Endpoints and deliveries, as the registry keeps them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tandem_client::key::{Algorithm, SigningKey, random_id};

use super::post::{SECRET, Scheme, WebhookKey, new_secret};
use super::{UNMATCHED, WebhookError, Webhooks};
use crate::registry::{self, Row, Tables, Value, values};
use crate::seal::Sealed;

/// Endpoints that a party may have in one agreement.
pub const MOST_ENDPOINTS: usize = 10;

/// How long what was delivered or given up stays in the log, in seconds.
const KEPT: i64 = 30 * 24 * 3_600;

/// Tables of deliveries: of events, and of sales that wait.
pub(super) const EVENTS: &str = "webhook_delivery";
pub(super) const SALES: &str = "webhook_sale";

pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS webhook (
    id TEXT PRIMARY KEY,
    agreement TEXT NOT NULL,
    party TEXT NOT NULL,
    url TEXT NOT NULL,
    kinds TEXT NOT NULL,
    key TEXT NOT NULL,
    cursor INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    disabled TEXT
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS webhook_delivery (
    webhook TEXT NOT NULL REFERENCES webhook ON DELETE CASCADE,
    event INTEGER NOT NULL,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    tried_at INTEGER,
    status INTEGER,
    error TEXT,
    PRIMARY KEY (webhook, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS webhook_due ON webhook_delivery (webhook, next_at)
    WHERE next_at IS NOT NULL;
";

/// What an endpoint is made of.
pub struct NewEndpoint<'a> {
    /// Id of the agreement.
    pub agreement: &'a str,
    /// Id of the party.
    pub party: &'a str,
    /// Where events go.
    pub url: &'a str,
    /// Names of what is wanted; none are all events of the book.
    pub kinds: &'a [String],
    /// Number of the last event that is not sent.
    pub after: u64,
}

/// An endpoint.
pub struct Endpoint {
    /// Its id.
    pub id: String,
    /// Id of the agreement.
    pub agreement: String,
    /// Id of the party.
    pub party: String,
    /// Where events go.
    pub url: String,
    /// Names of what is wanted; none are all events of the book.
    pub kinds: Vec<String>,
    /// Number of the last event that became a delivery or was passed over.
    pub cursor: u64,
    /// When something was accepted last; at first, when it was made.
    pub accepted_at: i64,
    /// Why nothing is sent any more, if so.
    pub disabled: Option<String>,
    /// What signs, if its seal could be opened.
    key: Option<WebhookKey>,
}

impl Endpoint {
    /// What signs the messages.
    pub fn key(&self) -> Result<&WebhookKey, WebhookError> {
        let sealed = || WebhookError::Sealed(self.id.clone());
        self.key.as_ref().ok_or_else(sealed)
    }

    /// What verifies them, for people: a public key, or the beginning of a secret that is not
    /// shown again.
    pub fn public_key(&self) -> Result<String, WebhookError> {
        let key = self.key()?.public_key();
        Ok(key.unwrap_or_else(|| format!("{SECRET}…")))
    }

    pub(super) fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }

    /// Only who names them is told of sales that wait, since they are no events of the book.
    pub(super) fn wants_sales(&self) -> bool {
        self.kinds.iter().any(|wanted| wanted == UNMATCHED)
    }
}

/// An event, or a sale that waits, on its way to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Number of the event; of a sale, its row.
    pub event: u64,
    /// Name of the event, or `sale.unmatched`.
    pub kind: String,
    /// Since when it waits.
    pub created_at: i64,
    /// How often it was tried.
    pub tries: u32,
    /// When it is tried next, unless it is done with.
    pub next_at: Option<i64>,
    /// When it was tried last.
    pub tried_at: Option<i64>,
    /// What was answered last.
    pub status: Option<u16>,
    /// What went wrong last.
    pub error: Option<String>,
}

impl Delivery {
    /// `pending`, `delivered` or `failed`.
    pub fn state(&self) -> &'static str {
        match (self.next_at, &self.error) {
            (Some(_), _) => "pending",
            (None, None) => "delivered",
            (None, Some(_)) => "failed",
        }
    }

    /// True if it tells of a sale.
    pub(super) fn is_sale(&self) -> bool {
        self.kind == UNMATCHED
    }
}

impl Webhooks {
    /// Adds an endpoint with a key of its own, or a secret that the receiver shares: that is given
    /// too, and not again. Nothing, if the party has too many endpoints already.
    pub fn add(
        &self,
        new: &NewEndpoint<'_>,
        scheme: Scheme,
    ) -> Result<Option<(Endpoint, Option<String>)>, WebhookError> {
        let (key, is_shared) = match scheme {
            Scheme::V1a => (SigningKey::generate(Algorithm::Ed25519)?, false),
            Scheme::V1 => (new_secret()?, true),
        };
        let endpoint = Endpoint {
            id: format!("wh_{}", random_id()?),
            agreement: new.agreement.to_owned(),
            party: new.party.to_owned(),
            url: new.url.to_owned(),
            kinds: new.kinds.to_vec(),
            cursor: new.after,
            accepted_at: self.now(),
            disabled: None,
            key: Some(WebhookKey::read(&key)?),
        };
        let sealed = self.sealer.seal(&sealed_as(&endpoint.id), key.as_bytes())?;
        let is_added = self.registry.change(|tables| {
            let count = "SELECT count(*) FROM webhook WHERE agreement = ?1 AND party = ?2";
            let own = values![&endpoint.agreement, &endpoint.party];
            if tables.value::<i64>(count, own)? >= MOST_ENDPOINTS as i64 {
                return registry::Result::Ok(false);
            }
            tables.execute(
                "INSERT INTO webhook (id, agreement, party, url, kinds, key, cursor, accepted_at)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                values![
                    &endpoint.id,
                    &endpoint.agreement,
                    &endpoint.party,
                    &endpoint.url,
                    endpoint.kinds.join(" "),
                    STANDARD.encode(sealed),
                    endpoint.cursor as i64,
                    endpoint.accepted_at,
                ],
            )?;
            Ok(true)
        })?;
        self.wake();
        Ok(is_added.then(|| (endpoint, is_shared.then_some(key))))
    }

    fn unsealed(&self, id: &str, sealed: &str) -> Option<WebhookKey> {
        let sealed = STANDARD.decode(sealed).ok()?;
        let key = self.sealer.open(&sealed_as(id), &sealed)?;
        WebhookKey::read(std::str::from_utf8(&key).ok()?).ok()
    }

    /// The endpoints of a party in an agreement, oldest first.
    pub fn of(&self, agreement: &str, party: &str) -> Result<Vec<Endpoint>, WebhookError> {
        self.select(
            "agreement = ?1 AND party = ?2 ORDER BY accepted_at, id",
            values![agreement, party],
        )
    }

    /// An endpoint.
    pub fn find(&self, id: &str) -> Result<Option<Endpoint>, WebhookError> {
        Ok(self.select("id = ?1", values![id])?.pop())
    }

    /// The endpoints that are sent to.
    pub(super) fn active(&self) -> Result<Vec<Endpoint>, WebhookError> {
        self.select("disabled IS NULL", values![])
    }

    fn select(&self, condition: &str, values: &[Value]) -> Result<Vec<Endpoint>, WebhookError> {
        let select = format!(
            "SELECT id, agreement, party, url, kinds, cursor, accepted_at, disabled, key
             FROM webhook WHERE {condition}"
        );
        let found = self.registry.read(|tables| {
            tables.rows(&select, values, |row| {
                let id: String = row.get(0)?;
                let kinds: String = row.get(4)?;
                let sealed: String = row.get(8)?;
                Ok(Endpoint {
                    key: self.unsealed(&id, &sealed),
                    id,
                    agreement: row.get(1)?,
                    party: row.get(2)?,
                    url: row.get(3)?,
                    kinds: kinds.split_whitespace().map(str::to_owned).collect(),
                    cursor: row.get::<i64>(5)? as u64,
                    accepted_at: row.get(6)?,
                    disabled: row.get(7)?,
                })
            })
        });
        Ok(found?)
    }

    /// Takes an endpoint away, with its log.
    pub fn remove(&self, id: &str) -> Result<(), WebhookError> {
        self.change("DELETE FROM webhook WHERE id = ?1", values![id])
    }

    /// Puts an endpoint to work again.
    pub fn enable(&self, id: &str) -> Result<(), WebhookError> {
        let enable = "UPDATE webhook SET disabled = NULL, accepted_at = ?2 WHERE id = ?1";
        self.change(enable, values![id, self.now()])
    }

    /// Sends nothing to an endpoint any more.
    pub(super) fn disable(&self, id: &str, why: &str) -> Result<(), WebhookError> {
        let disable = "UPDATE webhook SET disabled = ?2 WHERE id = ?1";
        self.change(disable, values![id, why])
    }

    /// Has a delivery tried again, from the first try on.
    pub fn resend(&self, id: &str, event: u64) -> Result<(), WebhookError> {
        let resend = "UPDATE webhook_delivery SET tries = 0, created_at = ?3, next_at = ?3
                      WHERE webhook = ?1 AND event = ?2";
        self.change(resend, values![id, event as i64, self.now()])
    }

    fn change(&self, sql: &str, values: &[Value]) -> Result<(), WebhookError> {
        self.registry.change(|tables| tables.execute(sql, values))?;
        self.wake();
        Ok(())
    }

    /// A delivery of an endpoint.
    pub fn delivery(&self, id: &str, event: u64) -> Result<Option<Delivery>, WebhookError> {
        let condition = "webhook = ?1 AND event = ?2";
        let values = values![id, event as i64];
        Ok(self.deliveries(EVENTS, condition, values)?.pop())
    }

    /// Deliveries of an endpoint before an event, newest first.
    pub fn log(
        &self,
        id: &str,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<Delivery>, WebhookError> {
        let before = before.map_or(i64::MAX, |before| before as i64);
        self.deliveries(
            EVENTS,
            "webhook = ?1 AND event < ?2 ORDER BY event DESC LIMIT ?3",
            values![id, before, most as i64],
        )
    }

    /// Deliveries of a table whose time has come, oldest first.
    pub(super) fn due(
        &self,
        table: &str,
        id: &str,
        now: i64,
        most: usize,
    ) -> Result<Vec<Delivery>, WebhookError> {
        self.deliveries(
            table,
            "webhook = ?1 AND next_at <= ?2 ORDER BY event LIMIT ?3",
            values![id, now, most as i64],
        )
    }

    fn deliveries(
        &self,
        table: &str,
        condition: &str,
        values: &[Value],
    ) -> Result<Vec<Delivery>, WebhookError> {
        let sql = format!("SELECT {COLUMNS} FROM {table} WHERE {condition}");
        let found = self
            .registry
            .read(|tables| tables.rows(&sql, values, delivery));
        Ok(found?)
    }

    /// When the next delivery of an endpoint is due.
    pub(super) fn next_due(&self, id: &str) -> Result<Option<i64>, WebhookError> {
        let next = |tables: &Tables<'_>, table: &str| {
            let next = format!(
                "SELECT min(next_at) FROM {table} WHERE webhook = ?1 AND next_at IS NOT NULL"
            );
            tables.value::<Option<i64>>(&next, values![id])
        };
        let next = self.registry.read(|tables| {
            let of_both = [next(tables, EVENTS)?, next(tables, SALES)?];
            registry::Result::Ok(of_both.into_iter().flatten().min())
        });
        Ok(next?)
    }

    /// Makes deliveries of events and moves the cursor of their endpoint behind them.
    pub(super) fn take(
        &self,
        endpoint: &Endpoint,
        events: &[(u64, &str)],
        cursor: u64,
    ) -> Result<(), WebhookError> {
        let now = self.now();
        self.registry.change(|tables| {
            insert(tables, &endpoint.id, events, now)?;
            tables.execute(
                "UPDATE webhook SET cursor = ?2 WHERE id = ?1",
                values![&endpoint.id, cursor as i64],
            )?;
            // The oldest only, so that a long log costs nothing; twice as many go as come.
            tables.execute(
                "DELETE FROM webhook_delivery
                 WHERE webhook = ?1 AND next_at IS NULL AND tried_at < ?2 AND event IN
                 (SELECT event FROM webhook_delivery WHERE webhook = ?1 ORDER BY event LIMIT ?3)",
                values![&endpoint.id, now - KEPT, events.len() as i64 * 2],
            )?;
            Ok(())
        })
    }

    /// Writes down how a try went.
    pub(super) fn tried(&self, id: &str, delivery: &Delivery) -> Result<(), WebhookError> {
        self.registry.change(|tables| {
            let table = if delivery.is_sale() { SALES } else { EVENTS };
            let update = format!(
                "UPDATE {table}
                 SET tries = ?3, next_at = ?4, tried_at = ?5, status = ?6, error = ?7
                 WHERE webhook = ?1 AND event = ?2"
            );
            tables.execute(
                &update,
                values![
                    id,
                    delivery.event as i64,
                    delivery.tries,
                    delivery.next_at,
                    delivery.tried_at,
                    delivery.status,
                    delivery.error.as_deref(),
                ],
            )?;
            if delivery.error.is_none() {
                let accepted = "UPDATE webhook SET accepted_at = ?2 WHERE id = ?1";
                tables.execute(accepted, values![id, delivery.tried_at])?;
            }
            Ok(())
        })
    }
}

/// A key that is sealed as one webhook's is no other's.
fn sealed_as(id: &str) -> String {
    format!("webhook\n{id}")
}

/// The keys of webhooks.
pub(crate) const KEYS: Sealed = Sealed {
    table: "webhook",
    column: "key",
    kind: Some("webhook"),
    of: &["id"],
};

fn insert(tables: &Tables<'_>, id: &str, events: &[(u64, &str)], now: i64) -> registry::Result<()> {
    // One that a smaller `after` or a repeated step finds there already stays as it is.
    let insert = "INSERT INTO webhook_delivery (webhook, event, kind, created_at, next_at)
         SELECT id, CAST(?2 AS BIGINT), CAST(?3 AS TEXT), CAST(?4 AS BIGINT), CAST(?4 AS BIGINT)
         FROM webhook WHERE id = ?1 ON CONFLICT DO NOTHING";
    for (event, kind) in events {
        tables.execute(insert, values![id, *event as i64, *kind, now])?;
    }
    Ok(())
}

const COLUMNS: &str = "event, kind, created_at, tries, next_at, tried_at, status, error";

fn delivery(row: &Row) -> registry::Result<Delivery> {
    Ok(Delivery {
        event: row.get::<i64>(0)? as u64,
        kind: row.get(1)?,
        created_at: row.get(2)?,
        tries: row.get(3)?,
        next_at: row.get(4)?,
        tried_at: row.get(5)?,
        status: row.get(6)?,
        error: row.get(7)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::tests::registry;
    use crate::seal::{Sealer, seal_anew};

    #[test]
    fn keys_go_on_under_a_new_key_of_the_vault() {
        let registry = registry(&crate::schemas());
        let webhooks =
            |key: u8| Webhooks::new(&registry, &Sealer::new(&[key; 32]), true).expect("webhooks");
        let new = NewEndpoint {
            agreement: "marketplace",
            party: "river",
            url: "https://river.example/",
            kinds: &[],
            after: 0,
        };
        let (endpoint, _) = webhooks(1)
            .add(&new, Scheme::V1a)
            .expect("added")
            .expect("room");
        let (old, new) = (Sealer::new(&[1; 32]), Sealer::new(&[2; 32]));
        registry
            .change(|tables| seal_anew(tables, &old, &new, &[KEYS]))
            .expect("sealed anew");
        let key = |key: u8| {
            webhooks(key)
                .find(&endpoint.id)
                .expect("read")
                .expect("there")
                .key
        };
        assert!(key(2).is_some());
        assert!(key(1).is_none());
    }
}
