//! Signed calls a second that a running service answers, and how long each takes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_client::ApiClient;
use tandem_client::key::{SigningKey, random_id};

use super::memory_bytes;
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::programme::read_text;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Which service, and what is sent.
#[derive(clap::Args)]
pub(super) struct Load {
    /// The service; a sandbox, for what is sent is made up.
    #[arg(long, default_value = "http://127.0.0.1:8080", value_name = "URL")]
    base: String,
    /// A client of the platform.
    #[arg(long, default_value = "demo-bazaar")]
    client: String,
    /// Its private key (PEM).
    #[arg(
        long,
        value_name = "FILE",
        default_value = "data/service/demo/bazaar.pem"
    )]
    key: PathBuf,
    /// An application that is sent again and again with new keys.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "examples/partner/application.json"
    )]
    body: PathBuf,
    /// The agreement.
    #[arg(long, default_value = "marketplace")]
    agreement: String,
    /// Calls in all.
    #[arg(long, default_value_t = 20_000)]
    calls: u64,
    /// Callers at the same time.
    #[arg(long, default_value_t = 32)]
    callers: u64,
    /// Calls a second that are sent at the most [default: as many as go].
    #[arg(long)]
    rate: Option<f64>,
    /// A process whose memory is looked at meanwhile: the service, on this machine.
    #[arg(long, value_name = "PID")]
    watch: Option<u32>,
    /// Applications in a call: with more than one they go as a stream of lines.
    #[arg(long, default_value_t = 1)]
    lines: u64,
}

/// Calls and prints; the last line is JSON.
pub(super) fn measure(load: &Load) -> Outcome {
    let pem = read_text(&load.key)?;
    let body: Value = serde_json::from_str(&read_text(&load.body)?)
        .map_err(|error| Failure(format!("{}: {error}", load.body.display())))?;
    let run = random_id().map_err(|error| Failure(error.to_string()))?;
    let (next, refused) = (AtomicU64::new(0), AtomicU64::new(0));
    let (times, failure) = (Mutex::new(Vec::new()), Mutex::new(None));
    let status = load.watch.map(|pid| format!("/proc/{pid}/status"));
    let memory = |status: &String| memory_bytes(status, "VmRSS").unwrap_or_default();
    let before = status.as_ref().map(memory);
    let highest = AtomicU64::new(0);
    let begun = Instant::now();
    let caller = || -> Result<(), String> {
        let key = SigningKey::from_pem(&pem).map_err(|error| error.to_string())?;
        let mut client = ApiClient::new(&load.base, &load.client, key)?;
        let mut own = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= load.calls {
                break;
            }
            if let Some(rate) = load.rate {
                let due = Duration::from_secs_f64(number as f64 / rate);
                thread::sleep(due.saturating_sub(begun.elapsed()));
            }
            let asked = Instant::now();
            let accepted = call(&mut client, load, &body, &format!("{run}-{number}"))?;
            refused.fetch_add(u64::from(!accepted), Ordering::Relaxed);
            own.push(asked.elapsed());
        }
        times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .append(&mut own);
        Ok(())
    };
    thread::scope(|scope| {
        let callers = (0..load.callers).map(|_| {
            scope.spawn(|| {
                if let Err(message) = caller() {
                    *failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(message);
                }
            })
        });
        let callers: Vec<_> = callers.collect();
        if let Some(status) = &status {
            while !callers.iter().all(|caller| caller.is_finished()) {
                highest.fetch_max(memory(status), Ordering::Relaxed);
                thread::sleep(LOOK);
            }
        }
    });
    let took = begun.elapsed();
    if let Some(message) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(Failure(message));
    }
    let mut times = times.into_inner().unwrap_or_else(PoisonError::into_inner);
    times.sort_unstable();
    let quantile = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        let time = times.get(place.min(times.len().saturating_sub(1)));
        time.map_or(0.0, |time| (time.as_secs_f64() * 1e5).round() / 100.0)
    };
    let done = times.len() as f64 / took.as_secs_f64();
    let figures = json!({
        "bench": "api",
        "calls": times.len(),
        "lines_per_call": load.lines,
        "callers": load.callers,
        "refused": refused.load(Ordering::Relaxed),
        "calls_per_second": done.round(),
        "applications_per_second": (done * load.lines as f64).round(),
        "memory_mib": before.map(|before| json!({
            "before": before >> 20,
            "highest": highest.load(Ordering::Relaxed) >> 20,
        })),
        "ms": {"p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": quantile(1.0)},
    });
    export::show(&format!("{figures}\n"))
}

/// Sends one application, or a stream of them; false if the service was too busy.
fn call(client: &mut ApiClient, load: &Load, body: &Value, key: &str) -> Result<bool, String> {
    let path = format!("/v1/agreements/{}/applications", load.agreement);
    let line = |number: u64| {
        let mut application = body.clone();
        application["reference"] = format!("{key}-{number}").into();
        application["borrower"] = Value::Null;
        application.to_string()
    };
    let reply = match load.lines {
        1 => {
            let body = line(0);
            let body = Some(("application/json", body.as_bytes()));
            client.call("POST", &path, Some(key), body)?
        }
        lines => {
            let body: String = (0..lines).map(|number| line(number) + "\n").collect();
            let body = Some(("application/x-ndjson", body.as_bytes()));
            client.call("POST", &format!("{path}/stream"), None, body)?
        }
    };
    match reply.status {
        200 | 201 => Ok(true),
        429 | 503 => Ok(false),
        status => Err(format!(
            "status {status}: {}",
            String::from_utf8_lossy(&reply.body)
        )),
    }
}
