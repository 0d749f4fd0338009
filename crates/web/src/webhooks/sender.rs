//! What sends: a task for each endpoint, so that a slow one holds up no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::task::{JoinHandle, spawn_blocking};

use super::endpoint::{EVENTS, SALES};
use super::sales::message_id;
use super::{Delivery, Endpoint, WebhookError, Webhooks, fields, post};
use crate::Service;
use crate::api::view::View;
use crate::api::{show_event, show_sale};
use crate::desk::{Desk, Role};
use crate::sales::Instructed;
use crate::trace::Sending;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;

/// Seconds between the tries of a delivery; there is one try more than pauses. They make three
/// days.
pub const PAUSES: [i64; 9] = [
    10,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    8 * HOUR,
    12 * HOUR,
    20 * HOUR,
    24 * HOUR,
];

/// Events taken, and deliveries tried, in one step.
const STEP: usize = 100;

/// How long a task sleeps at the most, so that what another node changed is seen, and after something
/// failed.
const NAP: Duration = Duration::from_secs(10);
const SHORT_NAP: Duration = Duration::from_secs(1);

/// How a step of an endpoint ended.
enum Next {
    /// There may be more to do.
    Now,
    /// Nothing is to do before a time, or before there are new events.
    At(Option<i64>),
    /// The endpoint is deleted or disabled.
    Gone,
}

/// Sends events until the service ends.
pub async fn run(service: Arc<Service>) {
    let mut woken = service.webhooks.woken.subscribe();
    let mut tasks: HashMap<String, JoinHandle<()>> = HashMap::new();
    loop {
        woken.mark_unchanged();
        tasks.retain(|_, task| !task.is_finished());
        match service.webhooks.active() {
            Ok(endpoints) => {
                for endpoint in endpoints {
                    let desk = service.desks.get(&endpoint.agreement);
                    let Some(desk) = desk.filter(|_| !tasks.contains_key(&endpoint.id)) else {
                        continue;
                    };
                    let follow = follow(service.clone(), desk.clone(), endpoint.id.clone());
                    tasks.insert(endpoint.id, tokio::spawn(follow));
                }
            }
            Err(error) => tracing::error!(%error, "webhooks cannot be read"),
        }
        // The sender of the signal lives as long as the service.
        let _ = tokio::time::timeout(NAP, woken.changed()).await;
    }
}

/// Sends to one endpoint until it is gone.
async fn follow(service: Arc<Service>, desk: Arc<Desk>, id: String) {
    let mut changes = desk.reader().changes();
    let mut roles = desk.roles();
    let mut woken = service.webhooks.woken.subscribe();
    loop {
        changes.mark_unchanged();
        roles.mark_unchanged();
        woken.mark_unchanged();
        let step = {
            let (service, desk, id) = (service.clone(), desk.clone(), id.clone());
            spawn_blocking(move || service.webhooks.step(&desk, &id)).await
        };
        let nap = match step {
            Ok(Ok(Next::Now)) => continue,
            Ok(Ok(Next::Gone)) => return,
            Ok(Ok(Next::At(None))) => NAP,
            Ok(Ok(Next::At(Some(at)))) => {
                let seconds = u64::try_from(at - service.webhooks.now()).unwrap_or(0);
                Duration::from_secs(seconds).min(NAP)
            }
            Ok(Err(error)) => {
                tracing::error!(%error, webhook = id, "events cannot be sent");
                SHORT_NAP
            }
            // It panicked, which has been said, or the service ends.
            Err(_) => return,
        };
        tokio::select! {
            _ = changes.changed() => {}
            _ = roles.changed() => {}
            _ = woken.changed() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

/// What is sent.
struct Message {
    id: String,
    body: String,
    sending: Option<Sending>,
}

/// An event as the endpoint's party sees it now, if it is one of its own.
fn about_event(
    view: &View,
    endpoint: &Endpoint,
    delivery: &Delivery,
) -> Result<Option<Message>, WebhookError> {
    let row = view.desk.reader().event(delivery.event)?;
    let row = row.filter(|row| row.parties & view.look(|seen| seen.set()) != 0);
    Ok(row.map(|row| Message {
        id: format!("{}-{}", endpoint.id, delivery.event),
        body: json(&view.look(|seen| show_event(seen, &row))),
        sending: row.trace.map(|trace| Sending::begin(trace).to(view.party)),
    }))
}

/// A sale that waits for the endpoint's party.
fn about_sale(endpoint: &Endpoint, sales: &[Instructed], delivery: &Delivery) -> Option<Message> {
    let sale = sales.iter().find(|sale| sale.id as u64 == delivery.event)?;
    Some(Message {
        id: message_id(endpoint, delivery),
        body: json(&show_sale(sale)),
        sending: None,
    })
}

fn json(told: &impl Serialize) -> String {
    serde_json::to_string(told).expect("texts and numbers become JSON")
}

impl Webhooks {
    /// Takes events that are new, then tries the deliveries whose time has come, in order.
    fn step(&self, desk: &Arc<Desk>, id: &str) -> Result<Next, WebhookError> {
        let endpoint = self.find(id)?;
        let Some(endpoint) = endpoint.filter(|endpoint| endpoint.disabled.is_none()) else {
            return Ok(Next::Gone);
        };
        // Another node, if there is one, sends what it writes.
        let view = View::of(desk, &endpoint.party).filter(|_| desk.role() == Role::Owner);
        let Some(view) = view else {
            return Ok(Next::At(None));
        };
        let set = view.look(|seen| seen.set());
        // Who does not keep up gets no further ahead of what waits already.
        let rows = match self.due(EVENTS, id, self.now(), STEP)?.len() {
            STEP => Vec::new(),
            _ => view.desk.reader().events(set, endpoint.cursor, STEP)?,
        };
        if let Some(last) = rows.last() {
            let wanted = rows.iter().filter(|row| endpoint.wants(&row.kind));
            let wanted: Vec<_> = wanted.map(|row| (row.number, row.kind.as_str())).collect();
            self.take(&endpoint, &wanted, last.number)?;
        }
        let sales = self.waiting_sales(&view, &endpoint)?;
        let mut due = self.due(EVENTS, id, self.now(), STEP)?;
        let full = due.len() == STEP || rows.len() == STEP;
        if !sales.is_empty() {
            due.extend(self.due(SALES, id, self.now(), STEP)?);
        }
        for delivery in due {
            // Whoever is in trouble is left alone for a second, and may be gone then.
            if !self.try_once(&view, &endpoint, &sales, delivery)? {
                return Ok(Next::At(Some(self.now() + 1)));
            }
        }
        if full {
            return Ok(Next::Now);
        }
        Ok(Next::At(self.next_due(id)?))
    }

    /// Tries a delivery, and tells whether it was accepted.
    fn try_once(
        &self,
        view: &View,
        endpoint: &Endpoint,
        sales: &[Instructed],
        mut delivery: Delivery,
    ) -> Result<bool, WebhookError> {
        let message = match delivery.is_sale() {
            true => about_sale(endpoint, sales, &delivery),
            false => about_event(view, endpoint, &delivery)?,
        };
        let now = self.now();
        let outcome = match message {
            None => Err("the book has no such event for this party".to_owned()),
            Some(Message { id, body, sending }) => {
                let signature = endpoint.key()?.signature(&id, now, &body)?;
                let fields = fields(&id, now, &signature);
                let answer = post(&self.http, &endpoint.url, &fields, &body, sending);
                answer.map(|answer| answer.status().as_u16())
            }
        };
        delivery.tries += 1;
        delivery.tried_at = Some(now);
        delivery.status = outcome.as_ref().ok().copied();
        delivery.error = match outcome {
            Ok(200..300) => None,
            Ok(status) => Some(format!("it answered {status}")),
            Err(error) => Some(error),
        };
        let gone = delivery.status == Some(410);
        let pause = PAUSES.get(delivery.tries as usize - 1);
        delivery.next_at = match (&delivery.error, pause) {
            (Some(_), Some(pause)) if !gone => Some(now + pause),
            _ => None,
        };
        self.tried(&endpoint.id, &delivery)?;
        let given_up = delivery.state() == "failed";
        let accepted = self.find(&endpoint.id)?.map(|found| found.accepted_at);
        let dead = given_up && accepted.is_none_or(|at| at <= delivery.created_at);
        let why = match (gone, dead) {
            (true, _) => "it answered 410 (Gone)",
            (false, true) => "it accepted nothing for three days",
            (false, false) => return Ok(delivery.error.is_none()),
        };
        // Without its URL, whose path may be a secret.
        tracing::warn!(webhook = endpoint.id, why, "a webhook is disabled");
        self.disable(&endpoint.id, why)?;
        Ok(false)
    }
}
