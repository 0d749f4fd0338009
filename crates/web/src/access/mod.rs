//! Who calls, and whether the message is theirs: OAuth 2.0 with `private_key_jwt` and DPoP, HTTP
//! message signatures, single use, rate limits and idempotency. `docs/spec/api-security.md` says
//! what is sent and in which order it is checked.

mod answers;
mod client;
mod decision;
mod decoy;
mod layer;
mod oauth;
mod once;
mod request;
mod room;
mod server_keys;
#[cfg(test)]
mod tests;
mod token;

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use tandem_client::key::{Jwks, KeyError};
use tandem_client::{ASSERTION_LIFETIME, WINDOW, system_time};
use thiserror::Error;

pub use answers::{Kept, Money};
pub use client::{Client, ClientError, SCOPES, Scopes};
pub(crate) use layer::read;
pub use layer::{Gate, IdempotencyKey, InteractionId, layer};
pub use oauth::routes;
pub use request::Check;
pub(crate) use request::is_safe;
pub use server_keys::ServerKeyError;

use crate::problem::{self, Problem};
use crate::registry::{NodeFile, Registry};
use crate::webhooks;
use answers::Answers;
use decoy::Decoys;
use once::Once;
pub(crate) use room::Reads;
use room::Room;
use server_keys::ServerKeys;
use token::Tokens;

/// Tables of this area.
pub const SCHEMAS: [&str; 1] = [client::SCHEMA];

/// Tables of the answers, which each node keeps for itself.
pub const ANSWERS: [&str; 1] = [answers::SCHEMA];

/// Assertions of one party that are remembered at most.
const ASSERTIONS: usize = 250_000;
/// How long a body may take to come: until then it holds room that others need.
pub(crate) const BODY_TIME: Duration = Duration::from_secs(30);
/// How old what is known of a client may be, in seconds: how soon a change of it counts.
const CLIENT_AGE: i64 = 1;

/// What a service says about itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What stands before the paths in every URI, without a slash at its end: the issuer.
    pub base: String,
    /// Calls a second that a party may make; as many may come at once.
    pub rate: NonZeroU32,
    /// Whether callers are asked for certificates, here or by a proxy, so that tokens can be bound to
    /// them.
    pub client_certificates: bool,
}

/// Why the security layer cannot start.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The base URL is no base URL.
    #[error("base URL {0:?} must be like https://api.example.com, without a slash at its end")]
    Base(String),
    /// The service's keys.
    #[error(transparent)]
    Keys(#[from] ServerKeyError),
    /// Keys that stand for those of clients that are not there.
    #[error(transparent)]
    Decoys(#[from] KeyError),
    /// The file with the answers.
    #[error("the answers: {0}")]
    Answers(#[from] rusqlite::Error),
}

/// Who calls, in the extensions of a request that passed [`layer`]; also an extractor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The client.
    pub client_id: String,
    /// The party that it calls for.
    pub party: String,
    /// What it may do.
    pub scopes: Scopes,
}

impl Caller {
    /// Refuses a caller without a scope.
    pub fn require(&self, scope: &str) -> Result<(), Problem> {
        if self.scopes.has(scope) {
            return Ok(());
        }
        Err(Problem::new(
            problem::FORBIDDEN,
            format!(
                "the call needs scope {scope}; the token has: {}",
                self.scopes
            ),
        ))
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Caller, Problem> {
        parts
            .extensions
            .get()
            .cloned()
            .ok_or_else(|| Problem::new(problem::UNAUTHENTICATED, "nobody has been identified"))
    }
}

type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// The security layer of a service.
pub struct Access {
    base: String,
    client_certificates: bool,
    folder: PathBuf,
    registry: Arc<Registry>,
    keys: RwLock<Arc<ServerKeys>>,
    clients: Mutex<HashMap<String, (i64, Arc<Client>)>>,
    decoys: Decoys,
    tokens: Tokens,
    proofs: Once,
    assertions: Once,
    answers: Answers,
    limits: DefaultKeyedRateLimiter<String>,
    room: Room,
    /// Reads of the books' files.
    pub(crate) reads: Arc<Reads>,
    body_time: Duration,
    clock: Clock,
}

impl Access {
    /// Opens it. The service's keys are in the folder, and are made if they are not there; the
    /// registry has the tables of [`SCHEMAS`], the file with the answers those of [`ANSWERS`].
    pub fn open(
        settings: &Settings,
        registry: Arc<Registry>,
        answers: &NodeFile,
        folder: &Path,
    ) -> Result<Access, OpenError> {
        let base = &settings.base;
        let scheme = base.starts_with("https://") || base.starts_with("http://");
        if !scheme || base.ends_with('/') || base.contains(['?', '#']) {
            return Err(OpenError::Base(base.clone()));
        }
        // As many as a party may call while they are remembered, so that none runs out of room.
        let seconds = usize::try_from(4 * WINDOW + 1).unwrap_or(usize::MAX);
        let proofs = (settings.rate.get() as usize).saturating_mul(seconds);
        Ok(Access {
            base: base.clone(),
            client_certificates: settings.client_certificates,
            folder: folder.to_owned(),
            keys: RwLock::new(Arc::new(ServerKeys::open(folder)?)),
            clients: Mutex::default(),
            decoys: Decoys::new()?,
            tokens: Tokens::default(),
            // A proof is accepted from a window before its time to a window after it.
            proofs: Once::new(2 * WINDOW, proofs),
            assertions: Once::new(ASSERTION_LIFETIME + WINDOW, ASSERTIONS),
            answers: Answers::open(answers)?,
            registry,
            limits: RateLimiter::keyed(Quota::per_second(settings.rate)),
            room: Room::default(),
            reads: Arc::default(),
            body_time: BODY_TIME,
            clock: Box::new(system_time),
        })
    }

    /// The same with another clock: seconds since 1970, for tests.
    pub fn with_clock(self, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Access {
        Access {
            clock: Box::new(clock),
            ..self
        }
    }

    /// What stands before the paths in every URI; also the issuer of tokens.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The public keys of the service.
    pub fn jwks(&self) -> Jwks {
        self.keys().jwks()
    }

    /// Signs a message as webhooks are signed, with the key of the service.
    pub(crate) fn sign_webhook(&self, id: &str, at: i64, body: &str) -> Result<String, KeyError> {
        webhooks::signature(self.keys().signing(), id, at, body)
    }

    /// Makes a new key, which signs from now on. The one before it is published until the next
    /// rotation.
    pub fn rotate_keys(&self) -> Result<(), ServerKeyError> {
        let rotated = Arc::new(ServerKeys::rotate(&self.folder)?);
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = rotated;
        self.tokens.clear();
        Ok(())
    }

    fn keys(&self) -> Arc<ServerKeys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> i64 {
        (self.clock)()
    }

    /// A client that is registered and not disabled.
    fn client(&self, client_id: &str, now: i64) -> Result<Option<Arc<Client>>, ClientError> {
        if let Some((read, client)) = self.known_clients().get(client_id)
            && (now - CLIENT_AGE..=now).contains(read)
        {
            return Ok(Some(Arc::clone(client)));
        }
        // Nobody waits meanwhile for what is known.
        Ok(self.keep(client_id, Client::find(&self.registry, client_id)?, now))
    }

    /// The same for a caller that has not shown yet to be the client: the work is the same whether
    /// there is such a client, active or not.
    fn claimed_client(
        &self,
        client_id: &str,
        now: i64,
    ) -> Result<Option<Arc<Client>>, ClientError> {
        let found = Client::find(&self.registry, client_id)?;
        self.decoys.read_rest(found.as_ref());
        Ok(self.keep(client_id, found, now))
    }

    /// Keeps what is known of a client, if it is active.
    fn keep(&self, client_id: &str, found: Option<Client>, now: i64) -> Option<Arc<Client>> {
        let found = found.filter(|client| !client.disabled).map(Arc::new);
        let mut known = self.known_clients();
        match &found {
            Some(client) => known.insert(client_id.to_owned(), (now, Arc::clone(client))),
            None => known.remove(client_id),
        };
        found
    }

    fn known_clients(&self) -> MutexGuard<'_, HashMap<String, (i64, Arc<Client>)>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds until a party may call again, or nothing if it may now.
    fn wait(&self, party: &str) -> Option<u32> {
        let over = self.limits.check_key(&party.to_owned()).err()?;
        let wait = over.wait_time_from(self.limits.clock().now());
        Some(u32::try_from(wait.as_secs() + 1).unwrap_or(u32::MAX))
    }
}
