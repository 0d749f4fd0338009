//! Books as a service: the open API that partners call, and the console that people work in.

pub mod access;
pub mod api;
mod assets;
pub mod audit;
pub mod chart;
pub mod conformance;
pub mod connections;
pub mod console;
pub mod desk;
pub mod metrics;
pub mod problem;
pub mod proxy;
pub mod read;
pub mod refusals;
pub mod registry;
pub mod sales;
pub mod seal;
pub mod serve;
pub mod tls;
pub mod trace;
pub mod vault;
pub mod webhooks;

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use access::Access;
use audit::Audit;
use desk::Desk;
use metrics::Metrics;
use proxy::Proxies;
use registry::Registry;
use tracing_subscriber::EnvFilter;
use vault::Vault;
use webhooks::Webhooks;

/// Everything that a request may need.
pub struct Service {
    /// The books, by their agreements' ids.
    pub desks: BTreeMap<String, Arc<Desk>>,
    /// What the service keeps beside its books.
    pub registry: Arc<Registry>,
    /// Who may call.
    pub access: Arc<Access>,
    /// True if this is a sandbox: every party may move its time.
    pub sandbox: bool,
    /// True if it is a demo: the console says who can sign in, and their codes.
    pub demo: bool,
    /// Personal data.
    pub vault: Vault,
    /// Who saw and did what, and who called.
    pub audit: Arc<Audit>,
    /// Proxies before the service.
    pub proxies: Proxies,
    /// What sends events to parties.
    pub webhooks: Arc<Webhooks>,
    /// What is measured.
    pub metrics: Metrics,
}

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A text without the escapes of URIs.
pub(crate) fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        let code = match (first, after) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        bytes.push(code.unwrap_or(*first));
        rest = &after[if code.is_some() { 2 } else { 0 }..];
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Tables of all areas of the registry.
pub fn schemas() -> Vec<&'static str> {
    [
        access::SCHEMAS.as_slice(),
        &console::SCHEMAS,
        &[refusals::SCHEMA, sales::SCHEMA, vault::CHECK_TABLE],
        &webhooks::SCHEMAS,
    ]
    .concat()
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<LogFormat, &'static str> {
        match name {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err("write text or json"),
        }
    }
}

/// Writes the log to the error output, filtered as `info` or `tandem_web=debug` says.
///
/// # Errors
///
/// Says what is wrong with the filter.
pub fn log(filter: &str, format: LogFormat) -> Result<(), String> {
    let wrong = |error| {
        format!(
            "`{filter}` is no filter ({error}); write a level, such as info, or tandem_web=debug"
        )
    };
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_new(filter).map_err(wrong)?)
        .with_writer(std::io::stderr);
    // Where there is a log already, it stays.
    let _ = match format {
        LogFormat::Json => log.json().try_init(),
        LogFormat::Text => log.with_ansi(false).try_init(),
    };
    Ok(())
}
