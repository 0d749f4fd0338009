//! Where the database is, and connections that can be trusted with a journal.

use std::env;
use std::error::Error as _;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use postgres::config::{Host, TargetSessionAttrs};
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};

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
#[derive(Clone)]
pub struct Server {
    config: Config,
}

impl FromStr for Server {
    type Err = AddressError;

    fn from_str(address: &str) -> Result<Self, AddressError> {
        let mut config: Config = address.parse().map_err(|_| AddressError)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(AddressError);
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
        Ok(Self { config })
    }
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

/// An address that cannot be read. What was written is not repeated: it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no address of a PostgreSQL server: write it as postgres://user@host:5432/database \
     (several hosts with commas between, special characters as %40) or as \
     'host=... user=... dbname=...'"
)]
pub struct AddressError;

/// A connection, and the last warning that the server sent on it.
pub(super) struct Connection {
    pub(super) client: Client,
    warning: Arc<Mutex<Option<String>>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Server {
    /// Connects to a server that can be written to and says that it keeps what it confirms.
    pub(super) fn connect_to_write(&self) -> Result<Connection, Cause> {
        let mut config = self.config.clone();
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        let mut connection = connect(config)?;
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
        connect(self.config.clone())
    }
}

fn connect(mut config: Config) -> Result<Connection, Cause> {
    let warning = Arc::new(Mutex::new(None));
    let heard = warning.clone();
    config.notice_callback(move |notice| {
        if notice.code().code().starts_with("01") {
            let text = notice.message().to_owned();
            *heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
        }
    });
    let client = config.connect(NoTls).map_err(|error| explain(&error))?;
    Ok(Connection { client, warning })
}

impl Connection {
    /// The warning that came since this was asked last.
    pub(super) fn take_warning(&self) -> Option<String> {
        self.warning
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }
}

/// A server that may forget what it confirmed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the server runs with {setting} = off, so it may lose what it has confirmed; a journal needs \
     {setting} = on: set it for this database or user, or in postgresql.conf"
)]
pub(super) struct NotDurable {
    setting: &'static str,
}

/// An error with all that the server or the system says about it.
pub(super) fn explain(error: &postgres::Error) -> Cause {
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
}
