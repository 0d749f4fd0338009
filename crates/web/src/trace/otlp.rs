//! To a collector: OTLP over HTTP in JSON, by one thread that delays no call.
//!
//! What is recorded waits in a queue of a fixed length. What finds it full is dropped and counted,
//! as is what a collector refuses.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use prometheus_client::metrics::counter::Counter;
use serde::Deserialize;
use ureq::tls::{RootCerts, TlsConfig};

use super::settings::Settings;
use super::span::{Attribute, Span, count, request};
use crate::metrics::Metrics;
use crate::webhooks;

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
        let config = webhooks::config(PATIENCE)
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
        let body = request(&self.resource, batch);
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
    use std::collections::VecDeque;
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::time::SystemTime;

    use serde_json::{Value as Json, json};

    use super::super::settings::tests::read;
    use super::super::{Times, Trace};
    use super::*;

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
