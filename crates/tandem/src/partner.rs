//! Clients of a service: registering them, and calling as one of them.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use tandem_client::key::{Algorithm, Jwks, SigningKey, create_private, random_id};
use tandem_client::{ApiClient, ClientTls};
use tandem_web::access::{Client, Scopes};
use tandem_web::registry::Registry;

use crate::export;
use crate::fail::{Failure, Outcome};
use crate::programme::read_text;
use crate::service::{self, make_folder};

/// What to do with clients.
#[derive(clap::Subcommand)]
pub(crate) enum Action {
    /// Registers a client of a party.
    Add {
        /// Name of the client.
        client: String,
        /// Id of its party, as in the agreements.
        #[arg(long)]
        party: String,
        /// What it may do [default: everything]
        #[arg(long)]
        scopes: Option<String>,
        /// Its public keys (JWK set); without them a key is made.
        #[arg(long, value_name = "FILE")]
        keys: Option<PathBuf>,
        /// Where the private key that is made is written (PEM).
        #[arg(
            long,
            value_name = "FILE",
            conflicts_with = "keys",
            required_unless_present = "keys"
        )]
        key_out: Option<PathBuf>,
    },
    /// Lists all clients.
    List,
    /// Shuts a client out, or lets it in again.
    Disable {
        /// Name of the client.
        client: String,
        /// Lets it in again.
        #[arg(long)]
        undo: bool,
    },
}

/// Clients of a service.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    place: service::Place,
    #[command(subcommand)]
    action: Action,
}

/// Changes or lists the clients of a service.
pub(crate) fn client(options: &Options) -> Outcome {
    if let Action::Add { .. } = options.action {
        make_folder(&options.place.data)?;
    }
    let registry = options.place.registry()?;
    match &options.action {
        Action::Add {
            client,
            party,
            scopes,
            keys,
            key_out,
        } => {
            let scopes = scopes.clone().unwrap_or_else(|| Scopes::all().to_string());
            let jwks = match (keys, key_out) {
                (Some(keys), _) => read_text(keys)?,
                (None, Some(out)) => make_key(out)?,
                (None, None) => return Err(Failure("name --keys or --key-out".to_owned())),
            };
            register(&registry, client, party, &scopes, &jwks)
        }
        Action::List => {
            let clients = Client::all(&registry).map_err(failed)?;
            let mut text = String::new();
            for client in clients {
                let state = if client.disabled {
                    "disabled"
                } else {
                    "active"
                };
                text += &format!(
                    "{}  {}  {state}  {}\n",
                    client.client_id, client.party, client.scopes
                );
            }
            export::show(&text)
        }
        Action::Disable { client, undo } => {
            Client::disable(&registry, client, !undo).map_err(failed)
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure(error.to_string())
}

/// Makes a key, writes its private half into a file that only its owner may read, and gives the
/// public half as a set.
pub(crate) fn make_key(out: &Path) -> Outcome<String> {
    let pem = SigningKey::generate(Algorithm::Ed25519).map_err(failed)?;
    let written = create_private(out, &pem);
    written.map_err(|error| Failure::io(out, &error))?;
    public_keys(&pem)
}

/// The public half of a key, as a set.
pub(crate) fn public_keys(pem: &str) -> Outcome<String> {
    let key = SigningKey::from_pem(pem).map_err(failed)?;
    let keys = vec![key.public().to_jwk()];
    serde_json::to_string(&Jwks { keys }).map_err(failed)
}

/// Registers a client.
pub(crate) fn register(
    registry: &Registry,
    client: &str,
    party: &str,
    scopes: &str,
    jwks: &str,
) -> Outcome {
    let client = Client::new(client, party, scopes, jwks).map_err(failed)?;
    client.register(registry).map_err(failed)
}

/// A call to a service.
#[derive(clap::Args)]
#[command(
    after_help = "Example: tandem call POST /v1/agreements/marketplace/applications \
    --client demo-bazaar --key demo/keys/bazaar.pem --body application.json"
)]
pub(crate) struct Call {
    /// GET, POST, …
    method: String,
    /// Path, with the query.
    path: String,
    /// Who calls.
    #[arg(long)]
    client: String,
    /// Its private key (PEM).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The service.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    base: String,
    #[command(flatten)]
    tls: TlsOptions,
    /// Body: a file of JSON, or with the ending `.ndjson` of lines.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// Idempotency-Key of a POST [default: a new one].
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

/// How a service is called over TLS.
#[derive(clap::Args)]
pub(crate) struct TlsOptions {
    /// Certificates (PEM) of the authorities to trust instead of the well-known ones.
    #[arg(long, value_name = "FILE")]
    authority: Option<PathBuf>,
    /// A certificate of the caller's and its private key (PEM), to bind tokens to.
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
}

impl TlsOptions {
    /// Reads the files: what every connection needs, and the same with the caller's certificate.
    pub(crate) fn read(&self) -> Outcome<(ClientTls, Option<ClientTls>)> {
        let wrong = |path: &Path, error| Failure(format!("{}: {error}", path.display()));
        let mut tls = ClientTls::default();
        if let Some(path) = &self.authority {
            let trusted = tls.trust(&read_text(path)?);
            trusted.map_err(|error| wrong(path, error))?;
        }
        let Some(path) = &self.certificate else {
            return Ok((tls, None));
        };
        let mut certified = tls.clone();
        let shown = certified.show(&read_text(path)?);
        shown.map_err(|error| wrong(path, error))?;
        Ok((tls, Some(certified)))
    }
}

/// Makes a signed call and prints what comes back.
pub(crate) fn call(call: &Call) -> Outcome {
    let key = SigningKey::from_pem(&read_text(&call.key)?);
    let key = key.map_err(|error| Failure(format!("{}: {error}", call.key.display())))?;
    let (tls, certified) = call.tls.read()?;
    let tls = certified.unwrap_or(tls);
    let mut client = ApiClient::over(tls, &call.base, &call.client, key).map_err(Failure)?;
    let body = call.body.as_deref().map(|path| {
        let lines = path.extension().is_some_and(|end| end == "ndjson");
        let kind = if lines {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        fs::read(path)
            .map(|bytes| (kind, bytes))
            .map_err(|error| Failure::io(path, &error))
    });
    let body = body.transpose()?;
    let fresh = random_id().map_err(failed)?;
    let key = call.idempotency_key.as_deref().unwrap_or(&fresh);
    let key = (call.method == "POST").then_some(key);
    let body = body.as_ref().map(|(kind, bytes)| (*kind, bytes.as_slice()));
    let reply = client
        .call(&call.method, &call.path, key, body)
        .map_err(Failure)?;
    let text = match serde_json::from_slice::<serde_json::Value>(&reply.body) {
        Ok(json) => serde_json::to_string_pretty(&json).map_err(failed)? + "\n",
        Err(_) => String::from_utf8_lossy(&reply.body).into_owned(),
    };
    io::stdout().write_all(text.as_bytes()).map_err(failed)?;
    match reply.status {
        200..300 => Ok(()),
        status => Err(Failure(format!(
            "the service answered with status {status}"
        ))),
    }
}
