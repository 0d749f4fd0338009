//! A service in a folder of its own, and clients of every party.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;
use tandem_client::key::{Algorithm, Jwks, SigningKey, random_id};
use tandem_client::{ApiClient, ClientTls, Reply, system_time};
use tandem_domain::book::Documents;
use tandem_journal::{BookName, Journal, Sqlite};
use tandem_web::Service;
use tandem_web::access::{ANSWERS, Access, Client, Scopes, Settings};
use tandem_web::audit::{self, Audit};
use tandem_web::connections::Limits;
use tandem_web::desk::{AnyStore, Desk, NotOwned, Owned, Setup, Source};
use tandem_web::metrics::Metrics;
use tandem_web::proxy::Proxies;
use tandem_web::registry::{NodeFile, Registry};
use tandem_web::serve::{Socket, serve};
use tandem_web::tls::Tls;
use tandem_web::vault::{self, KeySource, Vault};
use tandem_web::webhooks::{self, Webhooks};
use tempfile::TempDir;
use ureq::tls::TlsConfig;

/// Name of the book.
pub(crate) const BOOK: &str = "marketplace";

/// A running service.
pub(crate) struct Running {
    /// Where it is reached.
    pub(crate) base: String,
    /// Its book.
    pub(crate) desk: Arc<Desk>,
    /// All of it.
    pub(crate) service: Arc<Service>,
    /// How many seconds the clock of its webhooks is ahead.
    ahead: Arc<AtomicI64>,
    folder: Arc<TempDir>,
    threads: Option<(JoinHandle<()>, JoinHandle<()>)>,
}

struct File(PathBuf);

impl Source for File {
    fn own(&self) -> Result<Owned, NotOwned> {
        let name = BookName::new(BOOK).unwrap();
        let store: AnyStore = Box::new(Sqlite::open_or_create(&self.0, &name).unwrap());
        let journal = Journal::open(store).unwrap();
        Ok(Owned {
            journal,
            lease: None,
        })
    }

    fn read(&self) -> Result<Journal<AnyStore>, String> {
        Err("it is read through the one that owns it".to_owned())
    }
}

/// A registry of a service with a folder: a file there, or, with `TANDEM_TEST_REGISTRY=postgres`, a
/// schema on a server.
pub(crate) fn open(folder: &Path, area: &str, tables: &[&str]) -> Registry {
    #[cfg(feature = "postgres")]
    if is_on_server()
        && let Some(server) = tandem_pgtest::Server::shared()
    {
        let address = tandem_pgtest::address(&[server], "public");
        let service = folder.file_name().unwrap().to_string_lossy();
        let area = format!("{service}_{area}");
        return Registry::on(&address.parse().unwrap(), &area, tables).unwrap();
    }
    Registry::open(&folder.join(format!("{area}.db")), tables).unwrap()
}

/// True if a server has the registries.
pub(crate) fn is_on_server() -> bool {
    std::env::var("TANDEM_TEST_REGISTRY").is_ok_and(|place| place == "postgres")
}

fn documents() -> Documents {
    let read = |file: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/marketplace/");
        std::fs::read_to_string(format!("{folder}{file}")).unwrap()
    };
    Documents {
        agreement: read("agreement.toml"),
        policies: ["cloud", "harbour", "river"]
            .map(|lender| read(&format!("policies/{lender}.toml")))
            .into(),
        rulebook: tandem_domain::rulebook::Rulebook::built_in("cn").map(str::to_owned),
        calendar: None,
    }
}

impl Running {
    /// A new service with an empty book.
    pub(crate) fn start() -> Running {
        Running::start_in(Arc::new(tempfile::tempdir().unwrap()), true, None)
    }

    /// The same over TLS.
    pub(crate) fn start_over(tls: Tls) -> Running {
        Running::start_in(Arc::new(tempfile::tempdir().unwrap()), true, Some(tls))
    }

    /// The same, but no sandbox.
    pub(crate) fn start_for_real() -> Running {
        Running::start_in(Arc::new(tempfile::tempdir().unwrap()), false, None)
    }

    /// The same behind a proxy on this machine that writes its callers' certificates.
    pub(crate) fn start_behind_a_proxy() -> Running {
        let proxies = Proxies {
            trusted: vec!["127.0.0.1".parse().unwrap()],
            certificates: true,
            ..Proxies::default()
        };
        Running::start_with(
            Arc::new(tempfile::tempdir().unwrap()),
            true,
            None,
            (proxies, Limits::default()),
        )
    }

    /// The same with other limits of connections.
    pub(crate) fn start_limited(tls: Option<Tls>, limits: Limits) -> Running {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Running::start_with(folder, true, tls, (Proxies::default(), limits))
    }

    fn start_in(folder: Arc<TempDir>, sandbox: bool, tls: Option<Tls>) -> Running {
        let any = (Proxies::default(), Limits::default());
        Running::start_with(folder, sandbox, tls, any)
    }

    fn start_with(
        folder: Arc<TempDir>,
        sandbox: bool,
        tls: Option<Tls>,
        (proxies, limits): (Proxies, Limits),
    ) -> Running {
        let path = folder.path();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let base = format!("{scheme}://{}", listener.local_addr().unwrap());
        let registry = Arc::new(open(path, "registry", &tandem_web::schemas()));
        let answers = NodeFile::open(&path.join("registry.db"), &ANSWERS).unwrap();
        let settings = Settings {
            base: base.clone(),
            rate: NonZeroU32::MAX,
            client_certificates: proxies.certificates
                || tls.as_ref().is_some_and(|tls| tls.client_certificates),
        };
        let access = Access::open(&settings, registry.clone(), &answers, path).unwrap();
        let setup = Setup {
            source: Box::new(File(path.join("book.db"))),
            rows: path.join("rows.db"),
            snapshots: path.join("snapshots"),
            documents: documents(),
        };
        let (desk, working) = Desk::open(setup).unwrap();
        // A webhook begins after the last event that can be read: the signing is to be.
        while webhooks::last_event(&desk).unwrap() == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let ahead = Arc::new(AtomicI64::new(0));
        let clock = ahead.clone();
        let key = KeySource::File(path.join("vault.key"));
        let keys = open(path, "person-keys", &vault::KEYS);
        let persons = open(path, "persons", &vault::DATA);
        let vault = Vault::open(keys, persons, &registry, &key, None).unwrap();
        let webhooks = Webhooks::new(&registry, vault.sealer(), true).unwrap();
        let metrics = Metrics::default();
        let entries = NodeFile::open(&path.join("audit.db"), &audit::SCHEMAS).unwrap();
        let service = Arc::new(Service {
            desks: BTreeMap::from([(BOOK.to_owned(), desk.clone())]),
            access: Arc::new(access),
            sandbox,
            demo: false,
            audit: Arc::new(Audit::open(entries, 1, &metrics).unwrap()),
            proxies,
            vault,
            webhooks: Arc::new(
                webhooks.with_clock(move || system_time() + clock.load(Ordering::Relaxed)),
            ),
            registry,
            metrics,
        });
        let socket = Socket {
            listener,
            tls,
            limits,
        };
        let serving = service.clone();
        let serving = std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            // It ends with an error that says that the book was stopped.
            let _ = runtime.block_on(serve(serving, socket));
        });
        let running = Running {
            base,
            desk,
            service,
            ahead,
            folder,
            threads: Some((working, serving)),
        };
        running.wait();
        running
    }

    fn wait(&self) {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .tls_config(TlsConfig::builder().disable_verification(true).build())
            .build();
        let agent = ureq::Agent::new_with_config(config);
        for _ in 0..500 {
            if agent
                .get(format!("{}/readyz", self.base))
                .call()
                .is_ok_and(|answer| answer.status() == 200)
            {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("the service is not ready: {:?}", self.desk.role());
    }

    /// Stops it.
    pub(crate) fn stop(&mut self) {
        self.desk.stop();
        for thread in self.threads.take().into_iter().flat_map(|(a, b)| [a, b]) {
            thread.join().unwrap();
        }
    }

    /// Stops it and starts it again in the same folder.
    pub(crate) fn again(mut self) -> Running {
        self.stop();
        Running::start_in(self.folder.clone(), self.service.sandbox, None)
    }

    /// Moves the clock of its webhooks.
    pub(crate) fn pass(&self, seconds: i64) {
        self.ahead.fetch_add(seconds, Ordering::Relaxed);
        self.service.webhooks.wake();
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A client of a party.
    pub(crate) fn client(&self, party: &str) -> Party {
        self.client_over(ClientTls::default(), party)
    }

    /// The same, with TLS of its own kind.
    pub(crate) fn client_over(&self, tls: ClientTls, party: &str) -> Party {
        let (name, pem) = self.register(party);
        let key = SigningKey::from_pem(&pem).unwrap();
        Party(ApiClient::over(tls, &self.base, &name, key).unwrap())
    }

    /// Registers a client of a party, and gives its name and private key.
    pub(crate) fn register(&self, party: &str) -> (String, String) {
        self.register_for(party, &Scopes::all().to_string())
    }

    /// The same with scopes.
    pub(crate) fn register_for(&self, party: &str, scopes: &str) -> (String, String) {
        let pem = SigningKey::generate(Algorithm::Ed25519).unwrap();
        (self.register_key(party, scopes, &pem), pem)
    }

    /// The same with a key.
    pub(crate) fn register_key(&self, party: &str, scopes: &str, pem: &str) -> String {
        let registry = open(self.folder(), "registry", &tandem_web::schemas());
        let key = SigningKey::from_pem(pem).unwrap();
        let keys = serde_json::to_string(&Jwks {
            keys: vec![key.public().to_jwk()],
        })
        .unwrap();
        let name = format!("{party}-{}", random_id().unwrap());
        let client = Client::new(&name, party, scopes, &keys).unwrap();
        client.register(&registry).unwrap();
        name
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.threads.is_some() && !std::thread::panicking() {
            self.stop();
        }
    }
}

/// Calls below the agreement.
pub(crate) struct Party(pub(crate) ApiClient);

impl Party {
    /// Reads something.
    pub(crate) fn get(&mut self, path: &str) -> (u16, Value) {
        let reply = self
            .0
            .call("GET", &format!("/v1/agreements/{BOOK}{path}"), None, None)
            .unwrap();
        (reply.status, reply.json())
    }

    /// Deletes something.
    pub(crate) fn delete(&mut self, path: &str) -> u16 {
        let path = format!("/v1/agreements/{BOOK}{path}");
        self.0.call("DELETE", &path, None, None).unwrap().status
    }

    /// Sends something under a new key.
    pub(crate) fn post(&mut self, path: &str, body: &Value) -> (u16, Value) {
        let reply = self.send(path, &random_id().unwrap(), body);
        (reply.status, reply.json())
    }

    /// Sends something under a key.
    pub(crate) fn send(&mut self, path: &str, key: &str, body: &Value) -> Reply {
        let path = format!("/v1/agreements/{BOOK}{path}");
        let bytes = serde_json::to_vec(body).unwrap();
        let body = (!body.is_null()).then_some(("application/json", bytes.as_slice()));
        self.0.call("POST", &path, Some(key), body).unwrap()
    }

    /// Sends lines, and reads lines.
    pub(crate) fn stream(&mut self, path: &str, lines: &str) -> Vec<Value> {
        let path = format!("/v1/agreements/{BOOK}{path}");
        let body = Some(("application/x-ndjson", lines.as_bytes()));
        let reply = self.0.call("POST", &path, None, body).unwrap();
        assert_eq!(
            reply.status,
            200,
            "{}",
            String::from_utf8_lossy(&reply.body)
        );
        let text = String::from_utf8(reply.body).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}
