//! The console: pages in which a party's people see and do their part.
//!
//! Pages are rendered here (`templates/`), in English or Chinese (`texts.toml`), and work without
//! a script. Who is not signed in sees the sign-in; who is sees what its party may see.

mod account;
mod agreement;
mod amendments;
mod applications;
mod approvals;
mod archives;
mod audit;
mod blocks;
mod cases;
mod client_changes;
mod developer;
mod figures;
mod journal;
mod ledger;
mod live;
mod loans;
mod overview;
mod page;
mod passkey;
pub mod people;
mod referrals;
mod scope;
mod session;
mod settlements;
mod sign_in;
mod team;
mod texts;
mod tries;
mod unmatched;
mod webhooks;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use tandem_client::system_time;
use tokio::sync::Semaphore;

use crate::Service;
use crate::access::Reads;
use crate::assets;
use crate::audit::Audit;
use crate::desk::Desk;
use crate::proxy::Proxies;
use crate::registry::Registry;
use crate::seal::Sealer;
use crate::webhooks::Webhooks;

/// Tables of the console in the registry.
pub const SCHEMAS: [&str; 8] = [
    people::SCHEMA,
    session::SCHEMA,
    tries::SCHEMA,
    approvals::SCHEMA,
    amendments::SCHEMA,
    passkey::SCHEMA,
    cases::SCHEMA,
    client_changes::SCHEMA,
];

/// Passwords that are checked at the same time of people whom we know something of, and of all
/// others; each check takes 19 MiB for some hundredths of a second.
const CHECKS: usize = 2;

/// Tells the time in seconds since 1970.
type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// What the console works with.
pub struct Console {
    registry: Arc<Registry>,
    /// Seals the secrets of authenticators.
    sealer: Sealer,
    desks: BTreeMap<String, Arc<Desk>>,
    webhooks: Arc<Webhooks>,
    audit: Arc<Audit>,
    proxies: Proxies,
    /// True if people come over TLS; false only for plain HTTP on this machine.
    secure: bool,
    /// What callers write before paths.
    base: String,
    /// True if people may move time.
    sandbox: bool,
    /// True if everybody may know how to sign in.
    demo: bool,
    /// For whom passkeys are; none where browsers make none.
    relying_party: Option<passkey::RelyingParty>,
    challenges: passkey::Challenges,
    clock: Clock,
    tries: tries::Tries,
    /// Room for checks of whom nobody knows yet.
    checks: Semaphore,
    /// Room for checks of people who are signed in, or signed in with the browser before.
    known_checks: Semaphore,
    /// Reads of the books' files, together with those of the API.
    reads: Arc<Reads>,
    /// Sums of each party's postings, by book and its place in the agreement.
    figures: Mutex<BTreeMap<(String, u8), figures::Figures>>,
    watch: Mutex<BTreeMap<String, cases::Watch>>,
    /// Pages that were noted lately and may be taken anew.
    fresh: Mutex<audit::Fresh>,
}

impl Console {
    /// The console of a service whose registry has its tables ([`SCHEMAS`]).
    pub fn of(service: &Service) -> Console {
        Console {
            registry: Arc::clone(&service.registry),
            sealer: service.vault.sealer().clone(),
            desks: service.desks.clone(),
            webhooks: Arc::clone(&service.webhooks),
            audit: Arc::clone(&service.audit),
            proxies: service.proxies.clone(),
            secure: service.access.base().starts_with("https:"),
            base: service.access.base().to_owned(),
            sandbox: service.sandbox,
            demo: service.demo,
            relying_party: passkey::RelyingParty::of(service.access.base()),
            challenges: passkey::Challenges::new(),
            clock: Arc::new(system_time),
            tries: tries::Tries::default(),
            checks: Semaphore::new(CHECKS),
            known_checks: Semaphore::new(CHECKS),
            reads: Arc::clone(&service.access.reads),
            figures: Mutex::default(),
            watch: Mutex::default(),
            fresh: Mutex::default(),
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
        .route("/", get(overview::show))
        .route("/applications", get(applications::list))
        .route("/applications/{key}", get(applications::show))
        .route("/applications/{key}/{what}", post(referrals::decide))
        .route("/referrals", get(referrals::list))
        .route("/loans", get(loans::list))
        .route("/loans/{key}", get(loans::show))
        .route("/archives", get(archives::list))
        .route("/archives/{number}", get(archives::show))
        .route("/agreement", get(agreement::show))
        .route("/agreement/text/{version}", get(amendments::text))
        .route(
            "/agreement/amendments",
            get(amendments::draft).post(amendments::propose),
        )
        .route("/agreement/amendments/{id}", get(amendments::show))
        .route(
            "/agreement/amendments/{id}/{what}",
            post(amendments::decide),
        )
        .route("/settlements", get(settlements::list))
        .route("/settlements/{window}", get(settlements::show))
        .route("/statements", get(settlements::statement))
        .route("/ledger", get(ledger::balances))
        .route("/ledger/accounts/{number}", get(ledger::account_page))
        .route("/ledger/events/{number}", get(ledger::event))
        .route("/cases", get(cases::list))
        .route("/cases/{key}", get(cases::show).post(cases::save))
        .route("/approvals", get(approvals::list).post(approvals::propose))
        .route("/approvals/{id}", get(approvals::show))
        .route("/approvals/{id}/{what}", post(approvals::decide))
        .route("/sales/{id}", get(unmatched::show))
        .route("/sales/{id}/{what}", post(unmatched::decide))
        .route("/developer", get(developer::show).post(developer::add))
        .route("/developer/close-day", post(developer::close_day))
        .route("/developer/{client}", get(developer::client))
        .route("/developer/{client}/{what}", post(developer::change))
        .route("/webhooks", post(webhooks::add))
        .route("/webhooks/{id}", get(webhooks::show))
        .route("/webhooks/{id}/{what}", post(webhooks::change))
        .route("/journal", get(journal::show))
        .route("/account", get(account::show).post(account::add))
        .route("/account/remove", post(account::remove))
        .route("/account/password", post(account::password))
        .route("/audit", get(audit::show))
        .route("/audit/export", get(audit::export))
        .route("/people", get(team::list).post(team::add))
        .route("/people/{id}", get(team::show).post(team::save))
        .route("/people/{id}/reset", post(team::reset))
        .route("/people/{id}/confirm", post(team::confirm))
        .route("/changes", get(live::changes))
        .route("/sign-in", get(sign_in::ask).post(sign_in::password))
        .route("/sign-in/passkey", post(sign_in::passkey))
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
