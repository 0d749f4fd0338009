//! Where the database is, and connections that can be trusted with a journal.

use std::env;
use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postgres::config::{Host, SslMode, TargetSessionAttrs};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};
use rustls_tokio_postgres::{MakeRustlsConnect, config_from_ca_cert, config_webpki_roots};

use super::Cause;

/// A machine that does not answer is given up after this, unless the address says otherwise.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection that is silent for this long is tried, and is lost if it stays silent for
/// [`SILENCE`], whether something was sent or not.
const KEEPALIVES_IDLE: Duration = Duration::from_secs(5);

/// See [`KEEPALIVES_IDLE`].
const SILENCE: Duration = Duration::from_secs(10);

/// One or more servers with a database, as libpq's connection strings name them.
///
/// Of several hosts a writer takes the first that lets it write. Without a password in the
/// address the environment variable `PGPASSWORD` counts. No message shows a password.
///
/// Servers on other machines are spoken to by TLS, and must prove by a certificate that they are who
/// they are: to the authorities of a file (`sslrootcert`, PEM), otherwise to those that browsers
/// know. `sslmode=disable` does without, `sslmode=verify-full` asks it of servers on this machine.
#[derive(Clone)]
pub struct Server {
    config: Config,
    tls: Option<MakeRustlsConnect>,
}

impl FromStr for Server {
    type Err = AddressError;

    fn from_str(address: &str) -> Result<Self, AddressError> {
        let (address, roots) = take_roots(address);
        // Nothing weaker is offered, and the driver knows the word for all of it only.
        let address = address.replace("sslmode=verify-full", "sslmode=require");
        let mut config: Config = address.parse().map_err(|_| AddressError::Unreadable)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError::Unreadable);
        }
        if config.get_password().is_none()
            && let Some(password) = env::var_os("PGPASSWORD")
        {
            config.password(password.as_encoded_bytes());
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_keepalives_idle() > Duration::from_secs(3600) {
            config
                .keepalives_idle(KEEPALIVES_IDLE)
                .keepalives_interval(SILENCE / 5)
                .keepalives_retries(5);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("tandem");
        }
        let encrypts = match config.get_ssl_mode() {
            SslMode::Disable => false,
            SslMode::Require => true,
            _ => roots.is_some() || !is_here(&config),
        };
        let tls = match roots.filter(|_| encrypts) {
            Some(file) => {
                let read = config_from_ca_cert(&file);
                Some(read.map_err(|cause| AddressError::Roots(file, cause.to_string()))?)
            }
            None => encrypts.then(config_webpki_roots),
        };
        config.ssl_mode(match encrypts {
            true => SslMode::Require,
            false => SslMode::Disable,
        });
        let tls = tls.map(MakeRustlsConnect::new);
        Ok(Self { config, tls })
    }
}

/// True if all servers of an address are on this machine.
fn is_here(config: &Config) -> bool {
    let names = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            let loopback = |address: IpAddr| address.is_loopback();
            name == "localhost" || name.parse().is_ok_and(loopback)
        }
    });
    names && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

/// Takes the file of certificates out of an address, which the driver does not know.
fn take_roots(address: &str) -> (String, Option<String>) {
    let (marks, between) = match address.contains("://") {
        true => (&['?', '&'][..], '&'),
        false => (&[' '][..], ' '),
    };
    let Some((before, rest)) = address.split_once("sslrootcert=") else {
        return (address.to_owned(), None);
    };
    if !before.is_empty() && !before.ends_with(marks) {
        return (address.to_owned(), None);
    }
    let (file, after) = rest.split_once(between).unwrap_or((rest, ""));
    let others = format!("{before}{after}");
    let others = others.trim_end_matches(marks).to_owned();
    (others, Some(file.to_owned()))
}

/// The hosts and the database, as messages name them.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let config = &self.config;
        let mut hosts: Vec<String> = config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect();
        if hosts.is_empty() {
            hosts.extend(config.get_hostaddrs().iter().map(ToString::to_string));
        }
        let ports = config.get_ports();
        for (at, host) in hosts.iter_mut().enumerate() {
            if let Some(port) = ports.get(at).or(ports.first()) {
                *host += &format!(":{port}");
            }
        }
        let database = config.get_dbname().or(config.get_user());
        write!(f, "postgres://{}", hosts.join(","))?;
        database.map_or(Ok(()), |name| write!(f, "/{name}"))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address that cannot be used. What was written is not repeated: it may hold a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// It is not one.
    #[error(
        "this is no address of a PostgreSQL server: write it as postgres://user@host:5432/database \
         (several hosts with commas between, special characters as %40) or as \
         'host=... user=... dbname=...'"
    )]
    Unreadable,
    /// The file that it names for certificates, and what is wrong with that.
    #[error(
        "{0}: {1}; sslrootcert names a PEM file with the certificates of who vouches for the server"
    )]
    Roots(String, String),
}

/// A connection, and the last warning that the server sent on it.
pub struct Connection {
    /// What statements are run by.
    pub client: Client,
    warning: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Server {
    /// Connects to a server that can be written to and says that it keeps what it confirms.
    pub fn connect_to_write(&self) -> Result<Connection, Cause> {
        let mut config = self.config.clone();
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let mut connection = self.connect(config)?;
        for setting in ["fsync", "synchronous_commit"] {
            let shown = connection.client.query_one(&format!("SHOW {setting}"), &[]);
            match shown {
                Ok(row) if row.try_get::<_, String>(0)? == "off" => {
                    return Err(Box::new(NotDurable { setting }));
                }
                Ok(_) => {}
                // Databases that only speak the protocol may not know what cannot be switched off.
                Err(error) if error.code() == Some(&SqlState::UNDEFINED_OBJECT) => {}
                Err(error) => return Err(explain(&error)),
            }
        }
        Ok(connection)
    }

    /// Connects to a server that can be read.
    pub(super) fn connect_to_read(&self) -> Result<Connection, Cause> {
        self.connect(self.config.clone())
    }

    fn connect(&self, mut config: Config) -> Result<Connection, Cause> {
        let warning = Arc::new(Mutex::new(None));
        let heard = warning.clone();
        config.notice_callback(move |notice| {
            if notice.code().code().starts_with("01") {
                let text = notice.message().to_owned();
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            }
        });
        let connected = match self.tls.clone() {
            Some(tls) => config.connect(tls),
            None => config.connect(NoTls),
        };
        let client = connected.map_err(|error| {
            let cause = explain(&error);
            match cause.to_string() {
                text if text.contains("TLS handshake") => format!("{text}; {NO_TLS}").into(),
                _ => cause,
            }
        })?;
        Ok(Connection { client, warning })
    }
}

const NO_TLS: &str = "a server on another machine must speak TLS and have a certificate for its name; \
                      sslrootcert=FILE in the address names whom to believe, sslmode=disable does without";

impl Connection {
    /// The warning that came since this was asked last. A commit with one counts as failed: so
    /// PostgreSQL says that it did not wait for its standby.
    pub fn take_warning(&self) -> Option<String> {
        self.warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A server that may forget what it confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server runs with {setting} = off, so it may lose what it has confirmed; Tandem needs \
     {setting} = on: set it for this database or user, or in postgresql.conf"
)]
pub(super) struct NotDurable {
    setting: &'static str,
}

/// An error with all that the server or the system says about it.
pub fn explain(error: &postgres::Error) -> Cause {
    if let Some(error) = error.as_db_error() {
        let detail = error.detail().map(|detail| format!(" ({detail})"));
        return format!(
            "{} [{}]{}",
            error.message(),
            error.code().code(),
            detail.unwrap_or_default()
        )
        .into();
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text += &format!(": {cause}");
        source = cause.source();
    }
    text.into()
}

/// Whether an error leaves open if the statement was carried out.
///
/// Without an answer of the server it does. Of the answers, those do that say that the connection
/// or the server ends (57P), that it is unknown (08), or that somebody else was in the way
/// (40): some databases confirm late what they have done, or ask to try again.
pub(super) fn is_unclear(error: &postgres::Error) -> bool {
    error.code().is_none_or(|code| {
        let code = code.code();
        ["57P", "08", "40"]
            .iter()
            .any(|class| code.starts_with(class))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_password_is_shown() {
        let shown = |address: &str| {
            let server: Server = address.parse().unwrap();
            assert_eq!(format!("{server:?}"), server.to_string());
            server.to_string()
        };
        assert_eq!(
            shown("postgres://me:secret@db1:5433,db2:5434/lending?target_session_attrs=read-write"),
            "postgres://db1:5433,db2:5434/lending"
        );
        assert_eq!(
            shown("host=/tmp/a,/tmp/b user=me password=secret"),
            "postgres:///tmp/a,/tmp/b/me"
        );
        for bad in [
            "postgres://me:sec@ret@db1:x/",
            "host=a password=se cret",
            "dbname=x",
            "",
        ] {
            let said = bad.parse::<Server>().unwrap_err().to_string();
            assert!(!said.contains("ret"), "{said}");
            assert!(
                said.starts_with("this is no address of a PostgreSQL server"),
                "{said}"
            );
        }
    }

    #[test]
    fn other_machines_are_spoken_to_by_tls() {
        let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/ca.pem");
        let encrypts = |address: &str| {
            let server: Server = address.replace("FILE", roots).parse().unwrap();
            (server.tls.is_some(), server.config.get_ssl_mode())
        };
        let (yes, no) = ((true, SslMode::Require), (false, SslMode::Disable));
        for (address, expected) in [
            ("postgres://me@db1.example/lending", yes),
            ("postgres://me@localhost,db1.example/lending", yes),
            ("postgres://me@db1.example/lending?sslmode=disable", no),
            ("postgres://me@localhost,127.0.0.1,[::1]/lending", no),
            ("postgres://me@localhost/lending?sslmode=verify-full", yes),
            (
                "postgres://me@localhost/lending?sslrootcert=FILE&connect_timeout=3",
                yes,
            ),
            ("host=/tmp user=me", no),
            ("host=localhost sslrootcert=FILE user=me", yes),
            ("host=localhost user=me sslrootcert=FILE", yes),
        ] {
            assert_eq!(encrypts(address), expected, "{address}");
        }
        let said = |file: &str| {
            let address = format!("postgres://me@db1.example/lending?sslrootcert={file}");
            address.parse::<Server>().unwrap_err().to_string()
        };
        let advice =
            "sslrootcert names a PEM file with the certificates of who vouches for the server";
        let failed = "failed to read CA certificate file: I/O error: No such file or directory";
        assert_eq!(
            said("/no/file"),
            format!("/no/file: {failed} (os error 2); {advice}")
        );
        let this = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let none = "CA certificate file did not contain any certificates";
        assert_eq!(said(this), format!("{this}: {none}; {advice}"));
    }
}
