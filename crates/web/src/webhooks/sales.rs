//! Sales that wait for a party. They lie in the registry, not in the book, so they have no place in
//! the stream of events: each has a delivery of its own for as long as it waits.

use super::{Delivery, Endpoint, WebhookError, Webhooks};
use crate::api::view::View;
use crate::registry::{Tables, values};
use crate::sales::{self, Instructed};

/// The name under which a webhook is told that a sale waits for its party.
pub(crate) const UNMATCHED: &str = "sale.unmatched";

/// Columns as those of an event's delivery; the sale is in the place of the event.
pub(super) const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS webhook_sale (
    webhook TEXT NOT NULL REFERENCES webhook ON DELETE CASCADE,
    event INTEGER NOT NULL REFERENCES sale ON DELETE CASCADE,
    kind TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    tried_at INTEGER,
    status INTEGER,
    error TEXT,
    PRIMARY KEY (webhook, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS webhook_sale_of ON webhook_sale (event);
";

impl Webhooks {
    /// Sales that wait for an endpoint's party, if it is to be told of them; each has a delivery
    /// then, and others have none any more.
    pub(super) fn waiting_sales(
        &self,
        view: &View,
        endpoint: &Endpoint,
    ) -> Result<Vec<Instructed>, WebhookError> {
        if !endpoint.wants_sales() {
            return Ok(Vec::new());
        }
        let mut waiting = sales::waiting(&self.registry, view)?;
        waiting.retain(|sale| sale.other() == endpoint.party);
        let told = self.registry.read(|tables| told(tables, &endpoint.id))?;
        let is_told = |sale: &Instructed| told.contains(&sale.id);
        if waiting.len() == told.len() && waiting.iter().all(is_told) {
            return Ok(waiting);
        }
        let now = self.now();
        self.registry.change(|tables| {
            for id in &told {
                if waiting.iter().all(|sale| sale.id != *id) {
                    let forget = "DELETE FROM webhook_sale WHERE webhook = ?1 AND event = ?2";
                    tables.execute(forget, values![&endpoint.id, *id])?;
                }
            }
            // A sale or a webhook that is gone meanwhile has none.
            let insert = "INSERT INTO webhook_sale (webhook, event, kind, created_at, next_at)
                 SELECT webhook.id, sale.id, CAST(?3 AS TEXT), CAST(?4 AS BIGINT), CAST(?4 AS BIGINT)
                 FROM webhook, sale WHERE webhook.id = ?1 AND sale.id = ?2 ON CONFLICT DO NOTHING";
            for sale in &waiting {
                tables.execute(insert, values![&endpoint.id, sale.id, UNMATCHED, now])?;
            }
            Ok::<_, WebhookError>(())
        })?;
        Ok(waiting)
    }
}

/// Sales of which an endpoint has a delivery.
fn told(tables: &Tables<'_>, id: &str) -> Result<Vec<i64>, WebhookError> {
    let select = "SELECT event FROM webhook_sale WHERE webhook = ?1";
    Ok(tables.rows(select, values![id], |row| row.get(0))?)
}

/// What names a message: a sale's row may have had another before, so when it was seen first, too.
pub(super) fn message_id(endpoint: &Endpoint, delivery: &Delivery) -> String {
    format!(
        "{}-sale-{}-{}",
        endpoint.id, delivery.event, delivery.created_at
    )
}
