//! Webhooks: events are sent to where a party wants them (Standard Webhooks, `v1a`).
//!
//! An endpoint has a cursor in the stream of events. What follows it becomes a delivery, and a
//! delivery is tried until it is accepted or given up. `docs/spec/webhooks.md` says what is sent.

mod address;
mod endpoint;
mod post;
mod sales;
mod sender;

use std::sync::Arc;
use std::time::Duration;

use tandem_client::key::KeyError;
use tandem_client::system_time;
use tokio::sync::watch;

pub(crate) use address::check_url;
pub(crate) use endpoint::KEYS;
pub use endpoint::{Delivery, Endpoint, MOST_ENDPOINTS, NewEndpoint};
pub use post::{Scheme, WebhookKey, signature};
pub(crate) use post::{agent, config, fields, post};
pub(crate) use sales::UNMATCHED;
pub use sender::{PAUSES, run};

use crate::desk::Desk;
use crate::read::{EVENT_KINDS, ReadError};
use crate::registry::{self, Registry};
use crate::seal::Sealer;

/// Tables of this area.
pub const SCHEMAS: [&str; 2] = [endpoint::SCHEMA, sales::SCHEMA];

/// How long a receiver may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// What sends events.
pub struct Webhooks {
    registry: Registry,
    sealer: Sealer,
    http: ureq::Agent,
    allow_private: bool,
    woken: watch::Sender<()>,
    clock: Clock,
}

/// Why webhooks cannot be kept or sent.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// The registry cannot be read or written.
    #[error("the registry: {0}")]
    Registry(#[from] registry::Error),
    /// Events cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// A key cannot be made or used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key was changed, or sealed under another key.
    #[error(
        "webhook {0}: its key does not open with the vault's key; it was changed, or the vault's \
         key was: delete the webhook and add it anew"
    )]
    Sealed(String),
}

impl Webhooks {
    /// Webhooks of a service, whose keys are sealed. Where private addresses are allowed, so are
    /// loopback and link-local ones, and `http`.
    pub fn new(
        registry: &Registry,
        sealer: &Sealer,
        allow_private: bool,
    ) -> registry::Result<Webhooks> {
        Ok(Webhooks {
            registry: registry.another()?,
            sealer: sealer.clone(),
            http: post::agent(allow_private, PATIENCE),
            allow_private,
            woken: watch::Sender::new(()),
            clock: Box::new(system_time),
        })
    }

    /// The same with another clock: seconds since 1970, for tests.
    pub fn with_clock(self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Webhooks {
        Webhooks {
            clock: Box::new(clock),
            ..self
        }
    }

    /// Has everything looked at again now.
    pub fn wake(&self) {
        self.woken.send_replace(());
    }

    /// Checks where events are to go; what is wrong is said in words.
    pub fn check_url(&self, url: &str) -> Result<(), String> {
        address::check_url(url, self.allow_private)
    }

    fn now(&self) -> i64 {
        (self.clock)()
    }
}

/// Names of all that a webhook can be told of.
pub(crate) fn kinds() -> Vec<&'static str> {
    [EVENT_KINDS, &[UNMATCHED]].concat()
}

/// The last event of a book.
pub fn last_event(desk: &Arc<Desk>) -> Result<u64, ReadError> {
    desk.reader().rows(|rows| {
        let last = "SELECT coalesce(max(number), 0) FROM event";
        rows.query_row(last, [], |row| row.get::<_, i64>(0))
            .map(|last| last as u64)
    })
}
