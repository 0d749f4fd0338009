//! Signed calls a second that a running service answers, and how long each takes.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::future::pending;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use http::uri::{InvalidUri, Scheme};
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tandem_client::key::{SigningKey, random_id};
use tandem_client::{ApiClient, Reply};
use tokio::net::TcpStream;
use tokio::time::sleep;

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
    #[arg(long, value_name = "FILE", default_value = "demo/keys/bazaar.pem")]
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
    #[arg(long, default_value_t = 96)]
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

/// What the callers share.
struct Run<'a> {
    load: &'a Load,
    application: RefCell<Value>,
    /// Begins the names of what is sent.
    name: String,
    begun: Instant,
    next: Cell<u64>,
    refused: Cell<u64>,
    times: RefCell<Vec<Duration>>,
}

/// Calls and prints; the last line is JSON.
pub(super) fn measure(load: &Load) -> Outcome {
    let mut application: Value = serde_json::from_str(&read_text(&load.body)?)
        .map_err(|error| Failure(format!("{}: {error}", load.body.display())))?;
    application["borrower"] = Value::Null;
    let pem = read_text(&load.key)?;
    let name = random_id().map_err(|error| Failure(error.to_string()))?;
    // All callers on one thread: the service on the same machine has the others.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure(error.to_string()))?;
    let callers = (0..load.callers).map(|_| runtime.block_on(Caller::open(load, &pem)));
    let callers: Vec<_> = callers.collect::<Result<_, _>>().map_err(Failure)?;
    let status = load.watch.map(|pid| format!("/proc/{pid}/status"));
    let memory = |status: &String| memory_bytes(status, "VmRSS").unwrap_or_default();
    let before = status.as_ref().map(memory);
    let highest = Cell::new(0);
    let watch = async {
        while let Some(status) = &status {
            highest.set(memory(status).max(highest.get()));
            sleep(LOOK).await;
        }
        pending().await
    };
    let run = Run {
        load,
        application: application.into(),
        name,
        begun: Instant::now(),
        next: Cell::new(0),
        refused: Cell::new(0),
        times: RefCell::default(),
    };
    let called = runtime.block_on(async {
        tokio::select! {
            called = try_join_all(callers.into_iter().map(|caller| run.calls(caller))) => called,
            never = watch => never,
        }
    });
    let took = run.begun.elapsed();
    called.map_err(Failure)?;
    let mut times = run.times.into_inner();
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
        "refused": run.refused.get(),
        "calls_per_second": done.round(),
        "applications_per_second": (done * load.lines as f64).round(),
        "memory_mib": before.map(|before| json!({
            "before": before >> 20,
            "highest": highest.get() >> 20,
        })),
        "ms": {"p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": quantile(1.0)},
    });
    export::show(&format!("{figures}\n"))
}

impl Run<'_> {
    /// Calls, one after the other, until all callers together have done what was asked for.
    async fn calls(&self, mut caller: Caller) -> Result<(), String> {
        let load = self.load;
        loop {
            let number = self.next.get();
            if number >= load.calls {
                return Ok(());
            }
            self.next.set(number + 1);
            if let Some(rate) = load.rate {
                let due = Duration::from_secs_f64(number as f64 / rate);
                sleep(due.saturating_sub(self.begun.elapsed())).await;
            }
            let asked = Instant::now();
            let accepted = self.call(&mut caller, number).await?;
            self.refused.set(self.refused.get() + u64::from(!accepted));
            self.times.borrow_mut().push(asked.elapsed());
        }
    }

    /// Sends one application, or a stream of them; false if the service was too busy.
    async fn call(&self, caller: &mut Caller, number: u64) -> Result<bool, String> {
        let Caller { client, connection } = caller;
        let key = format!("{}-{number}", self.name);
        let path = format!("/v1/agreements/{}/applications", self.load.agreement);
        let line = |number: u64| {
            let mut application = self.application.borrow_mut();
            application["reference"] = format!("{key}-{number}").into();
            application.to_string()
        };
        let (path, kind, key, body) = match self.load.lines {
            1 => (path, "application/json", Some(&*key), line(0)),
            lines => {
                let body = (0..lines).map(|number| line(number) + "\n").collect();
                (format!("{path}/stream"), "application/x-ndjson", None, body)
            }
        };
        let headers = client.prepare("POST", &path, key, Some((kind, body.as_bytes())))?;
        let request = Request::post(&path).body(Full::from(body));
        let mut request = request.map_err(|error| error.to_string())?;
        *request.headers_mut() = headers.clone();
        let reply = connection.send(request).await?;
        client.verify(("POST", &path, &headers), &reply)?;
        match reply.status {
            200 | 201 => Ok(true),
            429 | 503 => Ok(false),
            status => Err(format!(
                "status {status}: {}",
                String::from_utf8_lossy(&reply.body)
            )),
        }
    }
}

/// A client with its token.
struct Caller {
    client: ApiClient,
    connection: Connection,
}

impl Caller {
    async fn open(load: &Load, pem: &str) -> Result<Caller, String> {
        let connection = Connection::open(&load.base).await?;
        let key = SigningKey::from_pem(pem).map_err(|error| error.to_string())?;
        let mut client = ApiClient::new(&load.base, &load.client, key)?;
        client.token()?;
        Ok(Caller { client, connection })
    }
}

/// A connection that is kept.
struct Connection {
    host: HeaderValue,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    async fn open(base: &str) -> Result<Connection, String> {
        let explain = |error: &dyn Display| format!("{base}: {error}");
        let uri: Uri = base.parse().map_err(|error: InvalidUri| explain(&error))?;
        let authority = uri
            .authority()
            .filter(|_| uri.scheme() == Some(&Scheme::HTTP));
        let authority = authority.ok_or_else(|| explain(&"must begin with http://"))?;
        let address = match authority.port() {
            Some(_) => authority.to_string(),
            None => format!("{authority}:80"),
        };
        let socket = TcpStream::connect(address).await;
        let socket = socket.map_err(|error| explain(&error))?;
        socket.set_nodelay(true).map_err(|error| explain(&error))?;
        let (sender, work) = handshake(TokioIo::new(socket))
            .await
            .map_err(|error| explain(&error))?;
        // It ends with the connection; who waits for an answer then gets the error.
        tokio::spawn(work);
        let host = HeaderValue::from_str(authority.as_str()).map_err(|error| explain(&error))?;
        Ok(Connection { host, sender })
    }

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> Result<Reply, String> {
        request
            .headers_mut()
            .insert(header::HOST, self.host.clone());
        let sent = self.sender.send_request(request).await;
        let (parts, body) = sent.map_err(|error| error.to_string())?.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?;
        Ok(Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: body.to_bytes().into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_that_cannot_be_called_is_named() {
        for (base, expected) in [
            ("https://api.example.com", "must begin with http://"),
            ("localhost", "must begin with http://"),
            ("http://127.0.0.1:1", "Connection refused (os error 111)"),
        ] {
            let error = Connection::open(base).await.err();
            assert_eq!(error, Some(format!("{base}: {expected}")));
        }
    }
}
