//! Where a call's time goes, and how others follow it: W3C Trace Context.
//!
//! A call carries the trace that its caller began, or begins one. What each stage of it took goes to
//! the log, or to a collector if there is one (`otlp.rs`); the trace goes with the events that the
//! call makes, and out again with what is sent because of them.

mod otlp;
mod settings;
mod span;

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use tandem_client::TRACEPARENT;
use tandem_client::key::random_bytes;
use tandem_domain::party::PartyId;
use tandem_engine::Origin;
use tracing::Level;

use crate::hex;

pub use otlp::Exporter;
pub use settings::Settings;
use span::Span;
pub(crate) use span::known_method;

/// A place in a trace: what happens here is a child of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: [u8; 16],
    span: [u8; 8],
    /// Whether it is recorded: so says who begins it.
    sampled: bool,
    /// Who began it.
    by: Begun,
}

/// Who began a trace: the service, or a caller of a party, by the party's place in the agreement.
/// In the file of rows one is a number of seven bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begun {
    Here,
    By(PartyId),
    Elsewhere,
}

impl Begun {
    const ELSEWHERE: u8 = 127;

    fn number(self) -> u8 {
        match self {
            Begun::Here => 0,
            Begun::By(PartyId(place)) => place.saturating_add(1).min(Begun::ELSEWHERE),
            Begun::Elsewhere => Begun::ELSEWHERE,
        }
    }

    fn of(number: u8) -> Begun {
        match number {
            0 => Begun::Here,
            Begun::ELSEWHERE.. => Begun::Elsewhere,
            place => Begun::By(PartyId(place - 1)),
        }
    }
}

impl Trace {
    /// Begins a trace.
    pub fn begin(sampled: bool) -> Trace {
        // A system without random numbers serves no calls either.
        let id = random_bytes().unwrap_or([1; 16]);
        Trace {
            id,
            span: [0; 8],
            sampled,
            by: Begun::Here,
        }
        .child()
    }

    /// Begins the trace of a call whose caller began none.
    fn here() -> Trace {
        let trace = Trace::begin(false);
        let sampled = match EXPORTER.get() {
            Some(exporter) => exporter.samples(&trace.id),
            None => all_are_logged(),
        };
        Trace { sampled, ..trace }
    }

    /// Reads a `traceparent`; what is not one is as if it were not there.
    pub fn parse(text: &str) -> Option<Trace> {
        let mut parts = text.split('-');
        let (version, id, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // Later versions may have more behind these.
        let more = parts.next().is_some();
        let [version] = bytes(version)?;
        let [flags] = bytes(flags)?;
        let trace = Trace {
            id: bytes(id)?,
            span: bytes(span)?,
            sampled: flags & 1 == 1,
            by: Begun::Elsewhere,
        };
        let valid = version != 0xff && !(version == 0 && more);
        (valid && trace.id != [0; 16] && trace.span != [0; 8]).then_some(trace)
    }

    /// The next place: a span of its own in the same trace.
    #[must_use]
    pub fn child(self) -> Trace {
        let span = random_bytes().unwrap_or([1; 8]);
        Trace { span, ..self }
    }

    /// The trace's identifier, 32 hexadecimal digits.
    pub fn id(&self) -> String {
        hex(&self.id)
    }

    /// The span's identifier, 16 hexadecimal digits.
    pub fn span(&self) -> String {
        hex(&self.span)
    }

    /// The trace as a party is told it: one that another's caller began is that party's business, and
    /// another takes its place.
    pub(crate) fn shown_to(self, party: PartyId) -> Trace {
        match self.by {
            Begun::Here => self,
            Begun::By(by) if by == party => self,
            Begun::By(_) | Begun::Elsewhere => Trace::begin(self.sampled),
        }
    }

    /// Whether it is recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }
}

/// As `traceparent` is written.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = u8::from(self.sampled);
        write!(f, "00-{}-{}-{flags:02x}", self.id(), self.span())
    }
}

impl From<Trace> for Origin {
    fn from(trace: Trace) -> Origin {
        let mut origin = [0; 25];
        origin[..16].copy_from_slice(&trace.id);
        origin[16..24].copy_from_slice(&trace.span);
        origin[24] = u8::from(trace.sampled) | trace.by.number() << 1;
        origin
    }
}

impl From<Origin> for Trace {
    fn from(origin: Origin) -> Trace {
        let (mut id, mut span) = ([0; 16], [0; 8]);
        id.copy_from_slice(&origin[..16]);
        span.copy_from_slice(&origin[16..24]);
        Trace {
            id,
            span,
            sampled: origin[24] & 1 == 1,
            by: Begun::of(origin[24] >> 1),
        }
    }
}

/// Bytes of lower-case hexadecimal digits.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    let lower = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 2 * N || !digits.iter().all(lower) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// Where the time of a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Token, proof and signature are checked.
    Verify,
    /// Lenders judge.
    Decide,
    /// The call waits for the book's writer.
    Queue,
    /// The writer carries it out and makes it durable.
    Append,
    /// The reader takes it in.
    Seen,
    /// The answer is kept by its key.
    Keep,
    /// The answer is signed.
    Sign,
}

/// Names of the stages, in their order.
pub(crate) const STAGES: [&str; 7] = [
    "verify", "decide", "queue", "append", "seen", "keep", "sign",
];

/// What is known of a call while it is carried out.
struct Call {
    trace: Trace,
    times: Cell<Times>,
    known: Arc<Known>,
}

/// Who calls, and about what, as far as it is known.
#[derive(Default)]
pub(crate) struct Known {
    caller: OnceLock<(String, String)>,
    verified: AtomicBool,
    about: Mutex<Vec<(&'static str, String)>>,
}

impl Known {
    /// Client and party that the call says it is of.
    pub(crate) fn caller(&self) -> Option<(&str, &str)> {
        let (client, party) = self.caller.get()?;
        Some((client, party))
    }

    /// Whether it is: it is known who calls.
    pub(crate) fn is_verified(&self) -> bool {
        self.verified.load(Ordering::Acquire)
    }

    /// What the call is about, beyond its path.
    pub(crate) fn about(&self) -> Vec<(&'static str, String)> {
        self.about
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// When each stage began and ended, if the call came through it.
type Times = [Option<(Instant, Instant)>; STAGES.len()];

tokio::task_local! {
    static CALL: Call;
}

/// The trace of the call that is carried out, if it is one.
pub(crate) fn current() -> Option<Trace> {
    CALL.try_with(|call| call.trace).ok()
}

/// The same, to be kept: with the place of the caller's party, if the caller began it.
pub(crate) fn to_keep(place: impl FnOnce(&str) -> Option<PartyId>) -> Option<Trace> {
    let kept = CALL.try_with(|call| {
        let party = match call.trace.by {
            Begun::Elsewhere => call.known.caller().and_then(|(_, party)| place(party)),
            _ => None,
        };
        let by = party.map_or(call.trace.by, Begun::By);
        Trace { by, ..call.trace }
    });
    kept.ok()
}

/// Notes when a stage of the call was begun and ended.
pub(crate) fn note(stage: Stage, begun: Instant, ended: Instant) {
    // What no call asked for is not noted.
    let _ = CALL.try_with(|call| {
        let mut times = call.times.get();
        times[stage as usize] = Some((begun, ended));
        call.times.set(times);
    });
}

/// Runs a stage of the call and notes what it took.
pub(crate) async fn stage<F: Future>(stage: Stage, run: F) -> F::Output {
    let begun = Instant::now();
    let output = run.await;
    note(stage, begun, Instant::now());
    output
}

/// The same future, in the same call, wherever it runs.
pub(crate) fn carried<F: Future>(run: F) -> impl Future<Output = F::Output> + use<F> {
    let call = CALL.try_with(|call| Call {
        trace: call.trace,
        times: call.times.clone(),
        known: Arc::clone(&call.known),
    });
    async {
        match call {
            Ok(call) => CALL.scope(call, run).await,
            Err(_) => run.await,
        }
    }
}

/// Notes which client the call says that it is of, and its party.
pub(crate) fn caller(client: &str, party: &str) {
    let caller = || (client.to_owned(), party.to_owned());
    let _ = CALL.try_with(|call| call.known.caller.get_or_init(caller).0.len());
}

/// Notes that the call is verified to be its caller's.
pub(crate) fn verified(begun: Instant) {
    note(Stage::Verify, begun, Instant::now());
    known();
}

/// Notes that it is known who calls.
pub(crate) fn known() {
    let _ = CALL.try_with(|call| call.known.verified.store(true, Ordering::Release));
}

/// Notes what the call is about, if its path does not say it.
pub(crate) fn about(name: &'static str, value: &str) {
    let _ = CALL.try_with(|call| {
        let about = call.known.about.lock();
        let mut about = about.unwrap_or_else(PoisonError::into_inner);
        about.push((name, value.to_owned()));
    });
}

/// A call that was carried out.
pub(crate) struct Followed {
    trace: Trace,
    parent: Option<Trace>,
    begun: Instant,
    pub(crate) took: Duration,
    times: Times,
    known: Arc<Known>,
}

/// The trace that a caller began.
pub(crate) fn sent(headers: &HeaderMap) -> Option<Trace> {
    Trace::parse(headers.get(TRACEPARENT)?.to_str().ok()?)
}

/// Carries out a call in its caller's trace, or in one that begins here.
pub(crate) async fn follow(
    parent: Option<Trace>,
    known: Arc<Known>,
    run: impl Future<Output = Response>,
) -> (Response, Followed) {
    let call = Call {
        trace: parent.map_or_else(Trace::here, Trace::child),
        times: Cell::default(),
        known,
    };
    let begun = Instant::now();
    let trace = call.trace;
    let run = async {
        let response = run.await;
        let followed = CALL.with(|call| Followed {
            trace,
            parent,
            begun,
            took: begun.elapsed(),
            times: call.times.get(),
            known: Arc::clone(&call.known),
        });
        (response, followed)
    };
    CALL.scope(call, run).await
}

/// Whether the log has every call, not only those that their callers record.
fn all_are_logged() -> bool {
    tracing::enabled!(Level::DEBUG)
}

static EXPORTER: OnceLock<Exporter> = OnceLock::new();

/// Sends what is recorded to a collector from now on; once in a process, as the log.
pub fn export(exporter: Exporter) {
    EXPORTER.get_or_init(|| exporter);
}

/// Sends what is still to be sent, for some seconds at the most.
pub(crate) fn flush() {
    if let Some(exporter) = EXPORTER.get() {
        exporter.stop();
    }
}

/// Whether the log has something that is recorded or not, and the collector that gets it.
fn goes_to(recorded: bool) -> (bool, Option<&'static Exporter>) {
    let exporter = EXPORTER.get();
    let logged = all_are_logged() || recorded && exporter.is_none();
    (logged, exporter.filter(|_| recorded))
}

impl Followed {
    /// What each stage took, by its name.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let stages = STAGES.into_iter().zip(self.times);
        stages.filter_map(|(stage, time)| {
            let (begun, ended) = time?;
            Some((stage, ended.duration_since(begun)))
        })
    }

    /// Writes the call to the log, or sends it to the collector. That a caller records it counts
    /// only once it is known who calls: nobody else can fill either.
    pub(crate) fn record(&self, method: &Method, route: Option<&str>, response: &Response) {
        let (logged, exporter) = goes_to(self.trace.sampled && self.known.is_verified());
        if logged {
            self.log(method, route.unwrap_or("other"), response);
        }
        if let Some(exporter) = exporter {
            exporter.take(self.span(method, route, response));
        }
    }

    fn log(&self, method: &Method, route: &str, response: &Response) {
        let stage = |stage: Stage| {
            let (begun, ended) = self.times[stage as usize]?;
            Some(micros(ended.duration_since(begun)))
        };
        tracing::info!(
            trace_id = self.trace.id(),
            span_id = self.trace.span(),
            parent_id = self.parent.map(|parent| parent.span()),
            interaction_id = interaction_id(response),
            method = method.as_str(),
            route,
            status = response.status().as_u16(),
            took_us = micros(self.took),
            verify_us = stage(Stage::Verify),
            decide_us = stage(Stage::Decide),
            queue_us = stage(Stage::Queue),
            append_us = stage(Stage::Append),
            seen_us = stage(Stage::Seen),
            keep_us = stage(Stage::Keep),
            sign_us = stage(Stage::Sign),
            "call"
        );
    }

    /// The call as the semantic conventions for HTTP have it, but for its path and addresses: the
    /// route says what is not about somebody.
    fn span(&self, method: &Method, route: Option<&str>, response: &Response) -> Span {
        let status = response.status();
        let method = known_method(method);
        let mut span = Span::server(self.trace, self.parent, (self.begun, self.took), self.times);
        span.name = match route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        span.failed = status.is_server_error();
        span.say("http.request.method", Some(method));
        span.say("http.route", route);
        span.say("http.response.status_code", Some(status.as_u16()));
        span.say("error.type", span.failed.then(|| status.as_str()));
        span.say("tandem.interaction_id", interaction_id(response));
        if let Some((client, party)) = self.known.caller() {
            span.say("tandem.client", Some(client));
            span.say("tandem.party", Some(party));
        }
        span
    }
}

pub(crate) fn interaction_id(response: &Response) -> Option<&str> {
    let id = response.headers().get("x-fapi-interaction-id")?;
    id.to_str().ok()
}

/// Something that is sent because of a call: a span of its own in the call's trace.
pub(crate) struct Sending {
    parent: Trace,
    trace: Trace,
    /// The trace as the receiver is told it.
    pub(crate) told: Trace,
    begun: Instant,
}

impl Sending {
    /// Begins to send.
    pub(crate) fn begin(parent: Trace) -> Sending {
        let trace = parent.child();
        Sending {
            parent,
            trace,
            told: trace,
            begun: Instant::now(),
        }
    }

    /// The same to a party, which is told nothing of what another's caller began.
    pub(crate) fn to(self, party: PartyId) -> Sending {
        let told = self.trace.shown_to(party);
        Sending { told, ..self }
    }

    /// Writes to the log what came of a message, or sends it to the collector.
    pub(crate) fn record(&self, message: &str, url: &str, status: Result<u16, &'static str>) {
        let (logged, exporter) = goes_to(self.trace.sampled);
        let took = self.begun.elapsed();
        if logged {
            tracing::info!(
                trace_id = self.trace.id(),
                span_id = self.trace.span(),
                parent_id = self.parent.span(),
                message_id = message,
                status = status.ok(),
                took_us = micros(took),
                "sent"
            );
        }
        if let Some(exporter) = exporter {
            let mut span = Span::client(self.trace, self.parent, (self.begun, took));
            span.name = "POST".to_owned();
            span.say("http.request.method", Some("POST"));
            // A path may be a secret of the receiver.
            let url: Option<Uri> = url.parse().ok();
            span.say("server.address", url.as_ref().and_then(Uri::host));
            span.say("server.port", url.as_ref().and_then(port));
            span.say("http.response.status_code", status.ok());
            let error = match status {
                Ok(status) => (status >= 400).then(|| status.to_string()),
                Err(error) => Some(error.to_owned()),
            };
            span.failed = error.is_some();
            span.say("error.type", error);
            span.say("tandem.message_id", Some(message));
            exporter.take(span);
        }
    }
}

fn port(url: &Uri) -> Option<u16> {
    let usual = if url.scheme_str() == Some("http") {
        80
    } else {
        443
    };
    Some(url.port_u16().unwrap_or(usual))
}

fn micros(took: Duration) -> u64 {
    u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_as_the_standard_says() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        let span = "b7ad6b7169203331";
        let zeros = "0".repeat(32);
        let trace = Trace::parse(&format!("00-{id}-{span}-01")).unwrap();
        assert_eq!(trace.to_string(), format!("00-{id}-{span}-01"));
        assert_eq!(Trace::from(Origin::from(trace)), trace);
        for by in [Begun::Here, Begun::By(PartyId(0)), Begun::By(PartyId(63))] {
            let trace = Trace { by, ..trace };
            assert_eq!(Trace::from(Origin::from(trace)), trace);
        }
        let child = trace.child();
        assert_eq!(child.id(), id);
        assert_ne!(child.span(), span);
        // A later version may say more, and flags that are not known count as none.
        let later = Trace::parse(&format!("cc-{id}-{span}-02-more")).unwrap();
        assert_eq!(later.to_string(), format!("00-{id}-{span}-00"));
        for wrong in [
            String::new(),
            format!("00-{id}-{span}"),
            format!("00-{id}-{span}-01-more"),
            format!("ff-{id}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{id}-{}-01", &zeros[..16]),
            format!("00-{}-{span}-01", id.to_uppercase()),
            format!("00-{id}-{span}é-01"),
        ] {
            assert_eq!(Trace::parse(&wrong), None, "{wrong}");
        }
    }
}
