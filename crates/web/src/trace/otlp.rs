//! To a collector: OTLP over HTTP in JSON, by one thread that delays no call.
//!
//! What is recorded waits in a queue of a fixed length. What finds it full is dropped and counted,
//! as is what a collector refuses.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use prometheus_client::metrics::counter::Counter;
use serde::{Deserialize, Serialize};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::{STAGES, Times, Trace};
use crate::metrics::Metrics;
use crate::unescaped;

/// Calls and messages that wait at most.
const QUEUE: usize = 2048;
/// Calls and messages in one request at most.
const BATCH: usize = 512;
/// How long a request waits to become full.
const DELAY: Duration = Duration::from_secs(1);
/// How often it looks what has come meanwhile.
const PACE: Duration = Duration::from_millis(50);
/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read at most.
const ANSWER: u64 = 64 << 10;
/// Pause after a try that failed, twice as long each time, unless the collector says how long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long a collector is left alone at the most.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// How long a request is tried again.
const TRIED: Duration = Duration::from_secs(60);
/// How long sending may go on once the service ends.
const ENDING: Duration = Duration::from_secs(5);

/// Where to send, and as whom.
pub struct Settings {
    url: String,
    /// May have secrets in it, so this type is never printed.
    headers: HeaderMap,
    roots: Option<RootCerts>,
    resource: Vec<Attribute>,
    /// Traces that begin here are recorded if their number is less.
    below: u64,
}

/// What of its traces an operator wants, by the names of OpenTelemetry.
const SAMPLERS: &str = "parentbased_always_on, parentbased_always_off, parentbased_traceidratio with a share from 0 to 1 \
     in OTEL_TRACES_SAMPLER_ARG";

impl Settings {
    /// Reads OpenTelemetry's variables of the environment; none if they name no endpoint. `node` is
    /// the name of this process among those of the service.
    pub fn read(
        variable: impl Fn(&str) -> Option<String>,
        node: Option<&str>,
    ) -> Result<Option<Settings>, String> {
        // One that is empty is as if it were not there.
        let variable = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        // One for traces goes before the one for everything.
        let either = |rest: &str| {
            let names = ["OTEL_EXPORTER_OTLP_TRACES_", "OTEL_EXPORTER_OTLP_"];
            let mut names = names.map(|begin| format!("{begin}{rest}")).into_iter();
            names.find_map(|name| Some((variable(&name)?, name)))
        };
        let off = variable("OTEL_SDK_DISABLED").is_some_and(|is| is.eq_ignore_ascii_case("true"))
            || variable("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
        let Some((endpoint, name)) = either("ENDPOINT").filter(|_| !off) else {
            return Ok(None);
        };
        if let Some((protocol, name)) = either("PROTOCOL")
            && protocol != "http/json"
        {
            return Err(format!(
                "{name}: traces are sent by http/json, not by {protocol}; leave it out and name the \
                 collector's port for HTTP, usually 4318"
            ));
        }
        let uri: Option<Uri> = endpoint.parse().ok();
        let is_base = |uri: &Uri| {
            let web = ["http", "https"].map(Some).contains(&uri.scheme_str());
            web && uri.query().is_none()
                && uri.authority().is_some_and(|at| !at.as_str().contains('@'))
        };
        if !uri.is_some_and(|uri| is_base(&uri)) {
            // It may have a password in it.
            return Err(format!(
                "{name} must be like http://collector:4318; a password goes into \
                 OTEL_EXPORTER_OTLP_HEADERS"
            ));
        }
        let url = match name.contains("TRACES") {
            true => endpoint,
            false => format!("{}/v1/traces", endpoint.trim_end_matches('/')),
        };
        let roots = either("CERTIFICATE").map(|(path, name)| {
            roots(Path::new(&path)).map_err(|error| format!("{name}: {path}: {error}"))
        });
        let headers = either("HEADERS").map(|(text, name)| headers(&text, &name));
        Ok(Some(Settings {
            url,
            headers: headers.transpose()?.unwrap_or_default(),
            roots: roots.transpose()?,
            resource: resource(variable, node)?,
            below: share(variable)?,
        }))
    }
}

/// Reads `name=value,name=value`, as W3C Baggage writes it. What is wrong is not shown: it may be
/// a secret.
fn pairs(text: &str, name: &str) -> Result<Vec<(String, String)>, String> {
    let pairs = text.split(',').filter(|pair| !pair.trim().is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=')?;
        Some((name.trim().to_owned(), unescaped(value.trim())))
    });
    let pairs: Option<Vec<_>> = pairs.collect();
    pairs.ok_or_else(|| format!("{name} must be name=value, with commas between several"))
}

fn headers(text: &str, name: &str) -> Result<HeaderMap, String> {
    let fields = pairs(text, name)?.into_iter().map(|(field, value)| {
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some((HeaderName::try_from(field).ok()?, value))
    });
    let fields: Option<HeaderMap> = fields.collect();
    fields.ok_or_else(|| format!("{name} has what is no field of HTTP"))
}

fn roots(path: &Path) -> Result<RootCerts, String> {
    let pem = std::fs::read(path).map_err(|error| error.to_string())?;
    let certificates = parse_pem(&pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<Certificate<'static>> = certificates.collect();
    match certificates.is_empty() {
        true => Err("there is no certificate (PEM) in it".to_owned()),
        false => Ok(RootCerts::new_with_certs(&certificates)),
    }
}

/// What the service says about itself. What is named by itself goes before what is in the list.
fn resource(
    variable: impl Fn(&str) -> Option<String>,
    node: Option<&str>,
) -> Result<Vec<Attribute>, String> {
    const LIST: &str = "OTEL_RESOURCE_ATTRIBUTES";
    let version = env!("CARGO_PKG_VERSION");
    let mut resource: std::collections::BTreeMap<_, _> = [
        ("service.name", "tandem"),
        ("service.version", version),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.name", "tandem"),
        ("telemetry.sdk.version", version),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    resource.extend(node.map(|node| ("service.instance.id".to_owned(), node.to_owned())));
    resource.extend(pairs(&variable(LIST).unwrap_or_default(), LIST)?);
    let name = variable("OTEL_SERVICE_NAME");
    resource.extend(name.map(|name| ("service.name".to_owned(), name)));
    let resource = resource.into_iter();
    Ok(resource
        .map(|(key, value)| Attribute {
            key: key.into(),
            value: value.into(),
        })
        .collect())
}

/// Below which number traces that begin here are recorded.
fn share(variable: impl Fn(&str) -> Option<String>) -> Result<u64, String> {
    let sampler = variable("OTEL_TRACES_SAMPLER");
    let share = match sampler.as_deref() {
        None | Some("parentbased_always_on") => Some(1.0),
        Some("parentbased_always_off") => Some(0.0),
        Some("parentbased_traceidratio") => match variable("OTEL_TRACES_SAMPLER_ARG") {
            None => Some(1.0),
            Some(text) => text.parse::<f64>().ok(),
        },
        Some(_) => None,
    };
    let share = share.filter(|share| (0.0..=1.0).contains(share));
    let share = share.ok_or_else(|| format!("OTEL_TRACES_SAMPLER must be one of {SAMPLERS}"))?;
    Ok((share * (1_u64 << 63) as f64) as u64)
}

/// A value of an attribute.
#[derive(Clone, Debug, Serialize)]
pub(super) enum Value {
    #[serde(rename = "stringValue")]
    Text(String),
    /// 64 bits are a text in JSON.
    #[serde(rename = "intValue")]
    Number(String),
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::Text(text)
    }
}

impl From<u16> for Value {
    fn from(number: u16) -> Value {
        Value::Number(number.to_string())
    }
}

#[derive(Clone, Debug, Serialize)]
struct Attribute {
    key: std::borrow::Cow<'static, str>,
    value: Value,
}

/// Kinds of spans, as OTLP numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// Something that was done, with its stages if it is a call.
pub(super) struct Span {
    pub(super) name: String,
    pub(super) failed: bool,
    trace: Trace,
    parent: Option<Trace>,
    kind: u8,
    /// When it began, by both clocks.
    begun: (SystemTime, Instant),
    took: Duration,
    attributes: Vec<Attribute>,
    stages: Times,
}

impl Span {
    /// A call that came, with the span of its caller if there is one.
    pub(super) fn server(
        trace: Trace,
        parent: Option<Trace>,
        (begun, took): (Instant, Duration),
        stages: Times,
    ) -> Span {
        Span {
            name: String::new(),
            failed: false,
            trace,
            parent,
            kind: SERVER,
            begun: (SystemTime::now() - begun.elapsed(), begun),
            took,
            attributes: Vec::new(),
            stages,
        }
    }

    /// A message that was sent because of a call.
    pub(super) fn client(trace: Trace, parent: Trace, time: (Instant, Duration)) -> Span {
        Span {
            kind: CLIENT,
            ..Span::server(trace, Some(parent), time, Times::default())
        }
    }

    /// Adds an attribute, if there is a value.
    pub(super) fn say(&mut self, key: &'static str, value: Option<impl Into<Value>>) {
        self.attributes.extend(value.map(|value| Attribute {
            key: key.into(),
            value: value.into(),
        }));
    }

    /// As OTLP has it: itself, then its stages.
    fn written(&self) -> impl Iterator<Item = Written<'_>> {
        let (wall, begun) = self.begun;
        let time = move |at: Instant| {
            let since = wall + at.saturating_duration_since(begun);
            let since = since.duration_since(SystemTime::UNIX_EPOCH);
            since.unwrap_or_default().as_nanos().to_string()
        };
        let id = self.trace.id();
        let flags = 0x100 | u32::from(self.trace.sampled);
        let own = Written {
            trace_id: id.clone(),
            span_id: self.trace.span(),
            parent_span_id: self.parent.map(|parent| parent.span()),
            // Who sent a message runs here, who sent a call elsewhere.
            flags: match (self.kind, self.parent) {
                (SERVER, Some(_)) => flags | 0x200,
                _ => flags,
            },
            name: &self.name,
            kind: self.kind,
            start_time_unix_nano: time(begun),
            end_time_unix_nano: time(begun + self.took),
            attributes: &self.attributes,
            status: Status {
                code: if self.failed { 2 } else { 0 },
            },
        };
        let stages = STAGES.into_iter().zip(self.stages);
        let stages = stages.filter_map(move |(name, stage)| {
            let (begun, ended) = stage?;
            Some(Written {
                trace_id: id.clone(),
                span_id: self.trace.child().span(),
                parent_span_id: Some(self.trace.span()),
                flags,
                name,
                kind: INTERNAL,
                start_time_unix_nano: time(begun),
                end_time_unix_nano: time(ended),
                attributes: &[],
                status: Status { code: 0 },
            })
        });
        std::iter::once(own).chain(stages)
    }
}

/// A method that is well known, or what the conventions put in its place.
pub(super) fn known_method(method: &Method) -> &str {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    if known.contains(method) {
        method.as_str()
    } else {
        "_OTHER"
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Written<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    flags: u32,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: &'a [Attribute],
    status: Status,
}

#[derive(Serialize)]
struct Status {
    code: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Resource<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Resource<'a> {
    attributes: &'a [Attribute],
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Written<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

/// What a collector answers.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Answer {
    partial_success: Partial,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Partial {
    /// 64 bits are a text in JSON, for most.
    rejected_spans: serde_json::Value,
    error_message: String,
}

impl Partial {
    fn rejected(&self) -> u64 {
        let text = self.rejected_spans.as_str();
        let number = text.and_then(|text| text.parse().ok());
        number.or(self.rejected_spans.as_u64()).unwrap_or(0)
    }
}

/// What sends, until it is stopped.
pub struct Exporter {
    below: u64,
    /// None wakes the thread so that it ends.
    queue: SyncSender<Option<Span>>,
    dropped: Counter,
    stopping: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Exporter {
    /// Starts the thread.
    pub fn start(settings: Settings, metrics: &Metrics) -> Result<Exporter, String> {
        let (queue, waiting) = sync_channel(QUEUE);
        let stopping = Arc::new(AtomicBool::new(false));
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .user_agent(concat!("tandem/", env!("CARGO_PKG_VERSION")))
            .tls_config(
                TlsConfig::builder()
                    .root_certs(settings.roots.unwrap_or(RootCerts::WebPki))
                    .build(),
            )
            .build();
        let worker = Worker {
            http: ureq::Agent::new_with_config(config),
            url: settings.url,
            headers: settings.headers,
            resource: settings.resource,
            waiting,
            stopping: Arc::clone(&stopping),
            sent: metrics.spans_sent.clone(),
            dropped: metrics.spans_dropped.clone(),
            failing: false,
        };
        let thread = thread::Builder::new().name("traces".to_owned());
        let thread = thread.spawn(move || worker.run());
        Ok(Exporter {
            below: settings.below,
            queue,
            dropped: metrics.spans_dropped.clone(),
            stopping,
            thread: Mutex::new(Some(thread.map_err(|error| error.to_string())?)),
        })
    }

    /// Whether a trace that begins here is recorded: the same for all services that go by its id.
    pub(super) fn samples(&self, id: &[u8; 16]) -> bool {
        let [.., a, b, c, d, e, f, g, h] = *id;
        u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1 < self.below
    }

    /// Takes a span, or drops it if too many wait.
    pub(super) fn take(&self, span: Span) {
        if let Err(TrySendError::Full(Some(span)) | TrySendError::Disconnected(Some(span))) =
            self.queue.try_send(Some(span))
        {
            self.dropped.inc_by(count(&[span]));
        }
    }

    /// Sends what waits, for some seconds at the most, and ends.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // If there is no room for it, the thread does not sleep.
            let _ = self.queue.try_send(None);
            // Nor does it wait for a collector that said when to come again.
            thread.thread().unpark();
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// The thread.
struct Worker {
    http: ureq::Agent,
    url: String,
    headers: HeaderMap,
    resource: Vec<Attribute>,
    waiting: Receiver<Option<Span>>,
    stopping: Arc<AtomicBool>,
    sent: Counter,
    dropped: Counter,
    /// Whether the log says that spans are lost.
    failing: bool,
}

/// What came of a try.
enum Tried {
    /// It was taken, but for so many spans.
    Taken(u64),
    /// It can be tried again, after so long if the collector says so.
    Later(Option<Duration>, String),
    /// It is of no use to try again.
    Refused(String),
}

impl Worker {
    fn run(mut self) {
        while let Some(batch) = self.gather() {
            self.deliver(&batch, Instant::now() + TRIED);
        }
        let until = Instant::now() + ENDING;
        loop {
            let batch: Vec<_> = self.waiting.try_iter().flatten().take(BATCH).collect();
            if batch.is_empty() {
                return;
            }
            match Instant::now() < until {
                true => self.deliver(&batch, until),
                false => self.drop(&batch),
            }
        }
    }

    /// What is sent together: as much as comes a while after the first. None when it ends.
    fn gather(&self) -> Option<Vec<Span>> {
        if self.is_stopping() {
            return None;
        }
        let mut batch = Vec::with_capacity(BATCH);
        batch.push(self.waiting.recv().ok()??);
        let until = Instant::now() + DELAY;
        while batch.len() < BATCH && !self.is_stopping() && Instant::now() < until {
            // Nobody who sends needs to wake this thread.
            thread::sleep(PACE);
            let room = BATCH - batch.len();
            batch.extend(self.waiting.try_iter().take(room).flatten());
        }
        Some(batch)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Sends spans, again and again if need be, and drops them when the time is up.
    fn deliver(&mut self, batch: &[Span], until: Instant) {
        let body = self.written(batch);
        let mut pause = FIRST_PAUSE;
        loop {
            match self.send(&body) {
                Tried::Taken(rejected) => {
                    if self.failing && rejected == 0 {
                        tracing::info!("traces are taken again");
                        self.failing = false;
                    }
                    let rejected = rejected.min(count(batch));
                    self.dropped.inc_by(rejected);
                    self.sent.inc_by(count(batch) - rejected);
                    return;
                }
                Tried::Refused(error) => {
                    self.complain(&error);
                    return self.drop(batch);
                }
                Tried::Later(wanted, error) => {
                    self.complain(&error);
                    self.sleep(wanted.unwrap_or(pause).min(LONGEST_PAUSE));
                    pause *= 2;
                    if self.is_stopping() || Instant::now() > until {
                        return self.drop(batch);
                    }
                }
            }
        }
    }

    fn drop(&self, batch: &[Span]) {
        self.dropped.inc_by(count(batch));
    }

    fn sleep(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.is_stopping() && Instant::now() < until {
            thread::park_timeout(until.saturating_duration_since(Instant::now()));
        }
    }

    /// Says once that spans do not arrive; the metrics say how many.
    fn complain(&mut self, error: &str) {
        if !self.failing {
            tracing::warn!(url = self.url, "traces are not taken: {error}");
            self.failing = true;
        }
    }

    fn written(&self, batch: &[Span]) -> Vec<u8> {
        let request = Request {
            resource_spans: [ResourceSpans {
                resource: Resource {
                    attributes: &self.resource,
                },
                scope_spans: [ScopeSpans {
                    scope: Scope {
                        name: "tandem",
                        version: env!("CARGO_PKG_VERSION"),
                    },
                    spans: batch.iter().flat_map(Span::written).collect(),
                }],
            }],
        };
        serde_json::to_vec(&request).expect("texts become JSON")
    }

    fn send(&mut self, body: &[u8]) -> Tried {
        let mut request = self.http.post(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let mut answer = match request.send(body) {
            Ok(answer) => answer,
            Err(error) => return Tried::Later(None, error.to_string()),
        };
        let status = answer.status().as_u16();
        match status {
            200..300 => {
                let body = answer.body_mut().with_config().limit(ANSWER).read_to_vec();
                // One that says nothing that can be read has taken all.
                let answer = body
                    .ok()
                    .and_then(|body| serde_json::from_slice(&body).ok());
                let Answer {
                    partial_success: partial,
                } = answer.unwrap_or_default();
                let rejected = partial.rejected();
                if rejected > 0 {
                    self.complain(&format!(
                        "{rejected} were rejected: {}",
                        partial.error_message
                    ));
                }
                Tried::Taken(rejected)
            }
            429 | 502..=504 => {
                let wait = answer.headers().get(header::RETRY_AFTER).and_then(wait);
                Tried::Later(wait, format!("it answered {status}"))
            }
            _ => Tried::Refused(format!("it answered {status}")),
        }
    }
}

/// How many spans they are for a collector: each itself, and its stages.
fn count(spans: &[Span]) -> u64 {
    let stages = spans.iter().flat_map(|span| span.stages).flatten();
    (spans.len() + stages.count()) as u64
}

/// How long `Retry-After` says: seconds, or a date.
fn wait(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let left = at.duration_since(Timestamp::now());
    Some(Duration::try_from(left).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;

    use serde_json::{Value as Json, json};

    use super::*;

    type Variables<'a> = &'a [(&'a str, &'a str)];

    fn read(variables: Variables<'_>) -> Result<Option<Settings>, String> {
        let variables: BTreeMap<_, _> = variables.iter().copied().collect();
        Settings::read(
            |name| variables.get(name).map(|value| (*value).to_owned()),
            Some("n1"),
        )
    }

    #[test]
    fn what_is_wrong_with_the_environment_is_said_without_secrets() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        for (variables, expected) in [
            (
                [
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:secret@collector"),
                    ("", ""),
                ],
                "OTEL_EXPORTER_OTLP_ENDPOINT must be like http://collector:4318; a password goes \
                 into OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                [
                    ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
                    ("", ""),
                ],
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be like http://collector:4318; a password \
                 goes into OTEL_EXPORTER_OTLP_HEADERS",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                "OTEL_EXPORTER_OTLP_PROTOCOL: traces are sent by http/json, not by grpc; leave it \
                 out and name the collector's port for HTTP, usually 4318",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "secret")],
                "OTEL_EXPORTER_OTLP_HEADERS must be name=value, with commas between several",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_HEADERS", "api key=secret")],
                "OTEL_EXPORTER_OTLP_HEADERS has what is no field of HTTP",
            ),
            (
                [endpoint, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/dev/null")],
                "OTEL_EXPORTER_OTLP_CERTIFICATE: /dev/null: there is no certificate (PEM) in it",
            ),
            (
                [endpoint, ("OTEL_TRACES_SAMPLER", "sometimes")],
                "OTEL_TRACES_SAMPLER must be one of parentbased_always_on, parentbased_always_off, \
                 parentbased_traceidratio with a share from 0 to 1 in OTEL_TRACES_SAMPLER_ARG",
            ),
        ] {
            assert_eq!(read(&variables).err().as_deref(), Some(expected));
        }
    }

    #[test]
    fn traces_are_sent_where_the_environment_says() {
        assert!(read(&[]).unwrap().is_none());
        let all = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318/");
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://own/traces");
        let url = |variables: Variables<'_>| read(variables).unwrap().map(|settings| settings.url);
        assert_eq!(url(&[all]).unwrap(), "http://all:4318/v1/traces");
        assert_eq!(url(&[all, own]).unwrap(), "http://own/traces");
        assert_eq!(url(&[all, ("OTEL_SDK_DISABLED", "true")]), None);
        assert_eq!(url(&[all, ("OTEL_TRACES_EXPORTER", "none")]), None);
        assert_eq!(url(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), None);
    }

    #[test]
    fn a_share_of_traces_is_recorded_by_their_ids() {
        let exporter = |sampler: &str, share: &str| {
            let settings = read(&[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
                ("OTEL_TRACES_SAMPLER", sampler),
                ("OTEL_TRACES_SAMPLER_ARG", share),
            ]);
            Exporter::start(settings.unwrap().unwrap(), &Metrics::default()).unwrap()
        };
        let taken = |exporter: &Exporter| {
            let ids = (0..1000).map(|_| Trace::begin(true).id);
            ids.filter(|id| exporter.samples(id)).count()
        };
        assert_eq!(taken(&exporter("parentbased_always_on", "")), 1000);
        assert_eq!(taken(&exporter("parentbased_always_off", "")), 0);
        let quarter = exporter("parentbased_traceidratio", "0.25");
        assert!((150..350).contains(&taken(&quarter)));
        let mut id = [0xff; 16];
        id[8] = 0x3f;
        assert!(quarter.samples(&id));
        id[8] = 0x40;
        assert!(!quarter.samples(&id));
    }

    /// A collector: answers with what it is told, and gives what it took.
    fn collector(answers: &[&str]) -> (String, std::sync::mpsc::Receiver<(String, Json)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, arrived) = std::sync::mpsc::channel();
        let mut answers: VecDeque<_> = answers.iter().map(|&answer| answer.to_owned()).collect();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.unwrap());
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") {
                    if stream.read_line(&mut head).unwrap() == 0 {
                        break;
                    }
                }
                let length = head.to_ascii_lowercase();
                let length = length.split_once("content-length: ").unwrap().1;
                let length = length.split_once("\r\n").unwrap().0.parse().unwrap();
                let mut body = vec![0; length];
                stream.read_exact(&mut body).unwrap();
                let answer = answers.pop_front();
                let answer = answer.unwrap_or("200 OK\r\nContent-Length: 2\r\n\r\n{}".to_owned());
                let answer =
                    format!("HTTP/1.1 {answer}").replacen("\r\n", "\r\nConnection: close\r\n", 1);
                stream.get_mut().write_all(answer.as_bytes()).unwrap();
                sender
                    .send((head, serde_json::from_slice(&body).unwrap()))
                    .unwrap();
            }
        });
        (url, arrived)
    }

    fn started(url: &str) -> (Exporter, Metrics) {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url),
            (
                "OTEL_EXPORTER_OTLP_HEADERS",
                "authorization=Bearer%20secret",
            ),
            (
                "OTEL_RESOURCE_ATTRIBUTES",
                "deployment.environment.name=trial,service.name=other",
            ),
            ("OTEL_SERVICE_NAME", "lending"),
        ]);
        let metrics = Metrics::default();
        (
            Exporter::start(settings.unwrap().unwrap(), &metrics).unwrap(),
            metrics,
        )
    }

    fn call(name: &str) -> Span {
        let begun = Instant::now() - Duration::from_millis(10);
        let mut stages = Times::default();
        let at = |millis| begun + Duration::from_millis(millis);
        stages[0] = Some((at(1), at(2)));
        stages[3] = Some((at(4), at(8)));
        let parent = Trace::begin(true);
        let took = Duration::from_millis(10);
        let mut span = Span::server(parent.child(), Some(parent), (begun, took), stages);
        span.name = name.to_owned();
        span.say("http.response.status_code", Some(201));
        span
    }

    fn spans(body: &Json) -> &Vec<Json> {
        body["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap()
    }

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_call_arrives_with_its_stages_inside() {
        let (url, arrived) = collector(&[]);
        let (exporter, metrics) = started(&url);
        let span = call("POST /v1");
        let (trace, parent) = (span.trace, span.parent.unwrap());
        exporter.take(span);
        let (head, body) = arrived.recv_timeout(SOON).unwrap();
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        let head = head.to_ascii_lowercase();
        assert!(head.contains("authorization: bearer secret"), "{head}");
        assert!(head.contains("content-type: application/json"), "{head}");
        let resource = json!([
            {"key": "deployment.environment.name", "value": {"stringValue": "trial"}},
            {"key": "service.instance.id", "value": {"stringValue": "n1"}},
            {"key": "service.name", "value": {"stringValue": "lending"}},
        ]);
        let attributes = &body["resourceSpans"][0]["resource"]["attributes"];
        assert_eq!(
            attributes.as_array().unwrap()[..3],
            resource.as_array().unwrap()[..]
        );
        let [own, verify, append] = &spans(&body)[..] else {
            panic!("{body}")
        };
        assert_eq!(own["traceId"], trace.id());
        assert_eq!(own["spanId"], trace.span());
        assert_eq!(own["parentSpanId"], parent.span());
        assert_eq!((&own["kind"], &own["flags"]), (&json!(2), &json!(0x301)));
        assert_eq!(own["name"], "POST /v1");
        let status = json!([{"key": "http.response.status_code", "value": {"intValue": "201"}}]);
        assert_eq!(own["attributes"], status);
        let time = |span: &Json, name: &str| span[name].as_str().unwrap().parse::<u64>().unwrap();
        let (begun, ended) = ("startTimeUnixNano", "endTimeUnixNano");
        assert_eq!(time(own, ended) - time(own, begun), 10_000_000);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        assert!((now.as_nanos() as u64).abs_diff(time(own, ended)) < 60_000_000_000);
        for (span, name, from, until) in [(verify, "verify", 1, 2), (append, "append", 4, 8)] {
            assert_eq!(span["name"], name);
            assert_eq!(span["traceId"], own["traceId"]);
            assert_eq!(span["parentSpanId"], own["spanId"]);
            assert_ne!(span["spanId"], own["spanId"]);
            assert_eq!((&span["kind"], &span["flags"]), (&json!(1), &json!(0x101)));
            assert_eq!(time(span, begun) - time(own, begun), from * 1_000_000);
            assert_eq!(time(span, ended) - time(own, begun), until * 1_000_000);
        }
        exporter.stop();
        assert_eq!(
            (metrics.spans_sent.get(), metrics.spans_dropped.get()),
            (3, 0)
        );
    }

    #[test]
    fn a_collector_that_is_busy_is_tried_again_when_it_says() {
        let busy = "429 Too Many Requests\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
        let partial = r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}"#;
        let partial = format!(
            "200 OK\r\nContent-Length: {}\r\n\r\n{partial}",
            partial.len()
        );
        let (url, arrived) = collector(&[busy, &partial]);
        let (exporter, metrics) = started(&url);
        exporter.take(call("one"));
        let (_, first) = arrived.recv_timeout(SOON).unwrap();
        let tried = Instant::now();
        let (_, again) = arrived.recv_timeout(SOON).unwrap();
        assert!(tried.elapsed() > Duration::from_millis(900));
        assert_eq!(first, again);
        exporter.stop();
        assert_eq!(
            (metrics.spans_sent.get(), metrics.spans_dropped.get()),
            (1, 2)
        );
    }

    #[test]
    fn what_is_refused_or_too_much_is_dropped_and_counted_and_what_waits_is_sent_at_the_end() {
        let refused = "400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        let (url, arrived) = collector(&[refused]);
        let (exporter, metrics) = started(&url);
        exporter.take(call("refused"));
        arrived.recv_timeout(SOON).unwrap();
        exporter.take(call("last"));
        exporter.stop();
        let (_, last) = arrived.recv_timeout(SOON).unwrap();
        assert_eq!(spans(&last)[0]["name"], "last");
        assert_eq!(
            (metrics.spans_sent.get(), metrics.spans_dropped.get()),
            (3, 3)
        );

        // Nobody takes them, and nobody waits for that.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (exporter, metrics) = started(&format!("http://{}", silent.local_addr().unwrap()));
        let begun = Instant::now();
        for _ in 0..2 * QUEUE {
            exporter.take(call("many"));
        }
        assert!(begun.elapsed() < DELAY);
        assert!(metrics.spans_dropped.get() >= 3 * (QUEUE - BATCH) as u64);
    }

    #[test]
    fn a_time_to_come_again_is_seconds_or_a_date() {
        let wait = |text: &'static str| super::wait(&HeaderValue::from_static(text));
        assert_eq!(wait("7"), Some(Duration::from_secs(7)));
        assert_eq!(wait("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        assert!(wait("Sat, 21 Oct 2079 07:28:00 GMT") > Some(Duration::from_secs(1_000_000)));
        assert_eq!(wait("soon"), None);
    }
}
