//! `tandem serve`: programmes as a service, with the open API and the console.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::net::TcpListener;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tandem_domain::calendar::Day;
use tandem_journal::{BookName, Journal};
use tandem_web::access::{Access, Scopes, Settings};
use tandem_web::api::Deciders;
use tandem_web::audit::Audit;
use tandem_web::connections::Limits;
use tandem_web::console::people;
use tandem_web::desk::{AnyStore, Desk, NotOwned, Owned, Setup, Source};
use tandem_web::metrics::Metrics;
use tandem_web::proxy::{Field, Network, Proxies};
use tandem_web::registry::Registry;
use tandem_web::seal::Sealer;
use tandem_web::serve::Socket;
use tandem_web::tls::Tls;
use tandem_web::trace::{self, Exporter};
use tandem_web::vault::{KeySource, Vault};
use tandem_web::webhooks::Webhooks;
use tandem_web::{LogFormat, Service};

use crate::data::{DEFAULT, DEMO, Place, make_private};
use crate::fail::{Failure, Outcome};
use crate::programme::Programme;
use crate::service::{
    self, about, audit_file, lock, make_folder, open_answers, open_audit, open_persons,
    open_registry,
};
use crate::{partner, run};

/// What to serve, and where.
#[derive(clap::Args)]
#[command(
    after_help = "Each option is also read from the environment, --audit-days from \
                  TANDEM_AUDIT_DAYS (lists with commas), and from the file that --config names. \
                  The command line counts first, then the environment, then the file."
)]
pub(crate) struct Options {
    /// Folders of the programmes; each has a book of its own.
    #[arg(required = true)]
    programmes: Vec<PathBuf>,
    /// File with settings (TOML): these options by their names, for example audit-days = 365, and
    /// programmes = ["marketplace"]. Files and folders in it are beside it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder for the books, one below it for each, and for the service's own files [default: data,
    /// with --demo demo].
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDRESS")]
    listen: String,
    /// What callers write before the paths [default: http:// or https:// and the address].
    #[arg(long, value_name = "URL")]
    base: Option<String>,
    /// Certificate chain (PEM); callers then speak TLS.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_chain: Option<PathBuf>,
    /// Private key of the certificate (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_chain")]
    tls_key: Option<PathBuf>,
    /// Asks callers for certificates, so that they can have tokens bound to them (RFC 8705) instead
    /// of making DPoP proofs. Browsers that have one ask their user for it.
    #[arg(long, requires = "tls_chain")]
    client_certificates: bool,
    /// Every party may move time and try what it likes; never for real money.
    #[arg(long)]
    sandbox: bool,
    /// A sandbox with the programmes' own applications and payments in it, and with clients and
    /// people to try it as; in files of its own.
    #[arg(long, conflicts_with = "store")]
    demo: bool,
    /// With --demo: the last day that is closed [default: half a year after the last application].
    #[arg(long, value_name = "DATE", requires = "demo")]
    until: Option<Day>,
    /// Webhooks may go to private, loopback and link-local addresses, and by plain HTTP.
    #[arg(long)]
    private_webhooks: bool,
    /// Has a lender decide by its own service instead of its policy file; can be given several
    /// times.
    #[arg(long, value_name = "LENDER=URL", value_parser = decider)]
    decider: Vec<(String, String)>,
    /// PostgreSQL server for the journals, as for `tandem run`; several nodes can share it.
    #[arg(long, value_name = "ADDRESS", requires = "node")]
    store: Option<String>,
    /// Name of this node, under which it owns books on that server.
    #[arg(long, value_name = "NAME", requires = "store")]
    node: Option<String>,
    /// File with the key of the vault for personal data, 32 bytes in base64; made if it is not
    /// there [default: vault.key in the service's folder].
    #[arg(long, value_name = "FILE")]
    vault_key: Option<PathBuf>,
    /// Command that prints this key instead.
    #[arg(long, value_name = "COMMAND", conflicts_with = "vault_key")]
    vault_key_command: Option<String>,
    /// File with the key that the vault had before, if it is to have another from now on.
    #[arg(long, value_name = "FILE")]
    old_vault_key: Option<PathBuf>,
    /// Command that printed it.
    #[arg(long, value_name = "COMMAND", conflicts_with = "old_vault_key")]
    old_vault_key_command: Option<String>,
    /// Days for which entries of the audit log are kept.
    #[arg(long, value_name = "DAYS", default_value = "1826")]
    audit_days: u32,
    /// Address or network of a proxy before the service, such as 10.0.0.0/8: from where a call comes
    /// is what it says; can be given several times.
    #[arg(long, value_name = "NETWORK")]
    trusted_proxy: Vec<Network>,
    /// Where it says so: x-forwarded-for or forwarded (RFC 7239). It must write the field itself.
    #[arg(
        long,
        value_name = "FIELD",
        default_value = "x-forwarded-for",
        requires = "trusted_proxy"
    )]
    proxy_field: Field,
    /// The proxies end TLS and write the certificate that a caller showed them as Client-Cert (RFC
    /// 9440, or PEM percent-encoded), so that tokens can be bound to it. They must write the field
    /// themselves.
    #[arg(long, requires = "trusted_proxy")]
    proxy_certificates: bool,
    /// Calls a second that one party may make.
    #[arg(long, value_name = "CALLS", default_value = "5000")]
    rate: NonZeroU32,
    /// Connections at the same time. Each takes a file descriptor.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Limits::default().all)]
    connections: NonZeroUsize,
    /// Of these, connections of one address (of IPv6, one /64), unless it is a trusted proxy's.
    #[arg(long, value_name = "CONNECTIONS", default_value_t = Limits::default().per_address)]
    connections_per_address: NonZeroUsize,
    /// What is logged: a level, also for a part of the program, such as
    /// info,tandem_web::trace=debug.
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
    /// How it is written.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: LogFormat,
}

/// Folder of a demo's private keys below that of its books.
const KEYS: &str = "keys";

impl Options {
    /// Folder for the books.
    fn data(&self) -> &Path {
        let default = if self.demo { DEMO } else { DEFAULT };
        self.data.as_deref().unwrap_or(Path::new(default))
    }
}

/// Serves until the process is told to stop.
pub(crate) fn serve(options: &Options) -> Outcome {
    tandem_web::log(&options.log, options.log_format)
        .map_err(|error| Failure(format!("--log: {error}")))?;
    let listener = TcpListener::bind(&options.listen);
    let listener = listener
        .map_err(|error| Failure(format!("cannot listen on {}: {error}", options.listen)))?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure(error.to_string()))?;
    if options.demo && !address.ip().is_loopback() {
        return Err(Failure(format!(
            "a demo has keys and passwords that everybody knows, so it listens on this machine \
             only; leave --listen out, or --demo, instead of {address}"
        )));
    }
    let tls = options.tls_chain.clone().zip(options.tls_key.clone());
    let tls = tls.map(|(chain, key)| Tls {
        chain,
        key,
        client_certificates: options.client_certificates,
    });
    if let Some(tls) = &tls {
        tls.read().map_err(Failure)?;
    }
    let scheme = if tls.is_some() { "https" } else { "http" };
    let base = options
        .base
        .clone()
        .unwrap_or_else(|| format!("{scheme}://{address}"));
    let (data, store) = (options.data(), options.store.as_deref());
    let folder = make_folder(data)?;
    let _lock = lock(&folder)?;
    let registry = Arc::new(open_registry(data, store)?);
    let settings = Settings {
        base: base.clone(),
        rate: options.rate,
        client_certificates: options.client_certificates || options.proxy_certificates,
    };
    let access = Access::open(&settings, registry.clone(), &open_answers(data)?, &folder);
    let access = access.map_err(|error| Failure(error.to_string()))?;
    let source = |command: &Option<String>, file: &Option<PathBuf>| match command {
        Some(command) => Some(KeySource::Command(command.clone())),
        None => file.clone().map(KeySource::File),
    };
    let key = source(&options.vault_key_command, &options.vault_key);
    let key = key.unwrap_or_else(|| KeySource::File(folder.join("vault.key")));
    let old_key = source(&options.old_vault_key_command, &options.old_vault_key);
    let (keys, persons) = open_persons(data, store)?;
    let vault = Vault::open(keys, persons, &registry, &key, old_key.as_ref());
    let vault = vault.map_err(|error| Failure(error.to_string()))?;
    let mut desks = BTreeMap::new();
    let mut threads = Vec::new();
    let mut lenders = BTreeSet::new();
    for path in &options.programmes {
        let programme = Programme::read(path)?;
        let id = &programme.version.agreement.file.id;
        if desks.contains_key(id) {
            return Err(Failure(format!("two programmes have the id `{id}`")));
        }
        let policies = programme.version.policies.iter();
        lenders.extend(policies.map(|policy| policy.file.lender.clone()));
        let (desk, thread) = open(&programme, options, &base)?;
        desks.insert(desk.name().to_owned(), desk);
        threads.push(thread);
    }
    if options.demo {
        demo(&registry, vault.sealer(), &desks, &data.join(KEYS))?;
    }
    let metrics = Metrics::default();
    send_traces(options.node.as_deref(), &metrics)?;
    let access = Arc::new(access);
    decide_elsewhere(&options.decider, &lenders, &desks, &access)?;
    let allow_private = options.demo || options.private_webhooks;
    let entries = open_audit(data)?;
    let audit = Audit::open(entries, options.audit_days, &metrics);
    let audit = audit.map_err(|error| about(&audit_file(data), &error))?;
    let webhooks = Webhooks::new(&registry, vault.sealer(), allow_private);
    let webhooks = webhooks.map_err(|error| Failure(format!("the registry: {error}")))?;
    let service = Arc::new(Service {
        webhooks: Arc::new(webhooks),
        audit: Arc::new(audit),
        proxies: Proxies {
            trusted: options.trusted_proxy.clone(),
            field: options.proxy_field,
            certificates: options.proxy_certificates,
        },
        desks,
        registry,
        access,
        sandbox: options.sandbox || options.demo,
        demo: options.demo,
        vault,
        metrics,
    });
    // A service goes on if nobody reads what it says.
    let mut out = io::stdout();
    let _ = writeln!(out, "Tandem listens on {base}");
    if options.demo {
        let parties = service.desks.values().next().map(|desk| {
            desk.look(|book| {
                let latest = book.latest().into_iter();
                let parties = latest.flat_map(|version| version.agreement.parties());
                parties
                    .map(|(_, party)| party.id.clone())
                    .collect::<Vec<_>>()
            })
        });
        let _ = writeln!(
            out,
            "console:  {base}/console   sign in as {}, or one of them with -approver or \
             -auditor behind it; \
             the password is {}\n\
             API:      {base}/docs   clients demo-PARTY, keys in {}",
            parties.unwrap_or_default().join(", "),
            people::DEMO_PASSWORD,
            data.join(KEYS).display()
        );
    } else {
        let _ = writeln!(
            out,
            "console:  {base}/console   `tandem person` adds the first person of a party\n\
             API:      {base}/docs   `tandem client add` registers a party's client"
        );
    }
    let runtime = tokio::runtime::Runtime::new().map_err(|error| Failure(error.to_string()))?;
    let served = runtime.block_on(tandem_web::serve::serve(
        service.clone(),
        Socket {
            listener,
            tls,
            limits: Limits {
                all: options.connections,
                per_address: options.connections_per_address,
                ..Limits::default()
            },
        },
    ));
    for desk in service.desks.values() {
        desk.stop();
    }
    for thread in threads {
        // A desk that panicked has said so.
        let _ = thread.join();
    }
    served.map_err(Failure)
}

fn decider(text: &str) -> Result<(String, String), String> {
    let parts = text
        .split_once('=')
        .filter(|(lender, _)| !lender.is_empty());
    let (lender, url) = parts.ok_or("write LENDER=URL, for example river=https://example.com/")?;
    Ok((lender.to_owned(), url.to_owned()))
}

/// Has traces sent to a collector, if the environment names one.
fn send_traces(node: Option<&str>, metrics: &Metrics) -> Outcome {
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(settings) = trace::Settings::read(variable, node).map_err(Failure)? {
        trace::export(Exporter::start(settings, metrics).map_err(Failure)?);
    }
    Ok(())
}

/// Tells the books which lenders decide by services of their own.
fn decide_elsewhere(
    deciders: &[(String, String)],
    lenders: &BTreeSet<String>,
    desks: &BTreeMap<String, Arc<Desk>>,
    access: &Arc<Access>,
) -> Outcome {
    for (lender, _) in deciders {
        if !lenders.contains(lender) {
            let known: Vec<_> = lenders.iter().map(String::as_str).collect();
            return Err(Failure(format!(
                "--decider: there is no lender `{lender}`; there are {}",
                known.join(", ")
            )));
        }
    }
    if deciders.is_empty() {
        return Ok(());
    }
    for desk in desks.values() {
        let urls = deciders.iter().cloned().collect();
        desk.decide_by(Deciders::new(urls, access.clone()).map_err(Failure)?);
    }
    Ok(())
}

/// Adds people of each party, and a client with its private key in a folder.
fn demo(
    registry: &Registry,
    sealer: &Sealer,
    desks: &BTreeMap<String, Arc<Desk>>,
    keys: &Path,
) -> Outcome {
    make_private(keys)?;
    let parties = desks.values().flat_map(|desk| {
        desk.look(|book| {
            let agreement = book.latest().map(|version| &version.agreement);
            let parties = agreement
                .into_iter()
                .flat_map(|agreement| agreement.parties());
            let named = parties.map(|(_, party)| (party.id.clone(), party.name.clone()));
            named.collect::<Vec<_>>()
        })
    });
    for (party, name) in parties {
        people::add_for_demo(registry, sealer, &party, &name)
            .map_err(|error| Failure(error.to_string()))?;
        let file = keys.join(format!("{party}.pem"));
        if !file.exists() {
            let jwks = partner::make_key(&file)?;
            let scopes = Scopes::all().to_string();
            partner::register(registry, &format!("demo-{party}"), &party, &scopes, &jwks)?;
        }
    }
    Ok(())
}

fn open(
    programme: &Programme,
    options: &Options,
    base: &str,
) -> Outcome<(Arc<Desk>, std::thread::JoinHandle<()>)> {
    let name = BookName::new(programme.version.agreement.file.id.as_str())?;
    if [service::FOLDER, KEYS].contains(&name.as_str()) {
        return Err(Failure(format!(
            "a service cannot have a book `{name}`: a folder of its own has this name; give the \
             agreement another id"
        )));
    }
    let folder = options.data().join(name.as_str());
    let (store, node) = (options.store.as_deref(), options.node.as_deref());
    let place = Place::of(&name, Some(&folder), store, node)?;
    if options.demo {
        run::fill(programme, &place, options.until)?;
    }
    let setup = Setup {
        rows: folder.join("rows.db"),
        snapshots: place.snapshots(),
        source: Box::new(Served {
            place: place.served(base),
            name,
        }),
        documents: programme.version.documents.clone(),
    };
    Desk::open(setup).map_err(Failure)
}

/// A book's journal as a service uses it.
struct Served {
    place: Place,
    name: BookName,
}

impl Source for Served {
    fn own(&self) -> Result<Owned, NotOwned> {
        self.place.own(&self.name)
    }

    fn read(&self) -> Result<Journal<AnyStore>, String> {
        self.place.open_read_only().map_err(|failure| failure.0)
    }
}
