//! The console: pages in which a party's people see and do their part.
//!
//! Pages are rendered here (`templates/`), in English or Chinese (`texts.toml`), and work without
//! a script. Who is not signed in sees the sign-in; who is sees what its party may see.

mod assets;
mod page;
pub mod people;
mod session;
mod sign_in;
mod texts;

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::registry::Registry;

/// Tables of the console in the registry.
pub const SCHEMAS: [&str; 2] = [people::SCHEMA, session::SCHEMA];

/// Passwords that are checked at the same time; each check takes 19 MiB for some hundredths of a
/// second.
const CHECKS: usize = 4;

/// Tells the time in seconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the console works with.
pub struct Console {
    registry: Arc<Registry>,
    /// True if people come over TLS; false only for plain HTTP on this machine.
    secure: bool,
    clock: Clock,
    checks: Semaphore,
}

impl Console {
    /// A console over a registry that has its tables ([`SCHEMAS`]).
    pub fn new(registry: Arc<Registry>, secure: bool) -> Console {
        Console::with_clock(registry, secure, Arc::new(system_time))
    }

    /// A console that asks `clock` for the time.
    pub fn with_clock(registry: Arc<Registry>, secure: bool, clock: Clock) -> Console {
        Console {
            registry,
            secure,
            clock,
            checks: Semaphore::new(CHECKS),
        }
    }

    fn now(&self) -> i64 {
        (self.clock)()
    }
}

/// All pages, below `/console`.
pub fn router(console: Console) -> Router {
    let console = Arc::new(console);
    let pages = Router::new()
        .route("/sign-in", get(sign_in::ask).post(sign_in::password))
        .route("/sign-in/code", get(sign_in::ask_code).post(sign_in::code))
        .route(
            "/sign-in/enrol",
            get(sign_in::ask_enrolment).post(sign_in::enrol),
        )
        .route("/sign-out", post(sign_in::out))
        .route("/preferences", post(page::prefer))
        .fallback(page::nothing)
        .layer(from_fn_with_state(Arc::clone(&console), page::frame))
        .with_state(console);
    Router::new()
        .nest("/console", pages)
        .route("/console/static/{name}", get(assets::serve))
}

fn system_time() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}
