//! Where a call's time goes, and how others follow it: W3C Trace Context.
//!
//! A call carries the trace that its caller began, or begins one. It is written to the log with
//! what each stage took, goes with the events that the call makes, and out again with what is
//! sent because of them.

use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method};
use axum::response::Response;
use tandem_client::TRACEPARENT;
use tandem_client::key::random_bytes;
use tandem_engine::Origin;
use tracing::Level;

use crate::hex;

/// A place in a trace: what happens here is a child of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trace {
    id: [u8; 16],
    span: [u8; 8],
    /// Whether it is recorded: so says who begins it.
    sampled: bool,
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
        }
        .child()
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
        origin[24] = trace.sampled.into();
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
            sampled: origin[24] == 1,
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
    took: Cell<Times>,
}

/// What each stage took, if the call came through it.
type Times = [Option<Duration>; STAGES.len()];

tokio::task_local! {
    static CALL: Call;
}

/// The trace of the call that is carried out, if it is one.
pub(crate) fn current() -> Option<Trace> {
    CALL.try_with(|call| call.trace).ok()
}

/// Notes what a stage of the call took.
pub(crate) fn note(stage: Stage, took: Duration) {
    // What no call asked for is not noted.
    let _ = CALL.try_with(|call| {
        let mut times = call.took.get();
        times[stage as usize] = Some(took);
        call.took.set(times);
    });
}

/// Runs a stage of the call and notes what it took.
pub(crate) async fn stage<F: Future>(stage: Stage, run: F) -> F::Output {
    let begun = Instant::now();
    let output = run.await;
    note(stage, begun.elapsed());
    output
}

/// A call that was carried out.
pub(crate) struct Followed {
    trace: Trace,
    parent: Option<Trace>,
    times: Times,
}

/// The trace that a caller began.
pub(crate) fn sent(headers: &HeaderMap) -> Option<Trace> {
    Trace::parse(headers.get(TRACEPARENT)?.to_str().ok()?)
}

/// Carries out a call in its caller's trace, or in one that begins here.
pub(crate) async fn follow(
    parent: Option<Trace>,
    run: impl Future<Output = Response>,
) -> (Response, Followed) {
    let trace = parent.map_or_else(|| Trace::begin(all_are_logged()), Trace::child);
    let call = Call {
        trace,
        took: Cell::default(),
    };
    let run = async {
        let response = run.await;
        (response, CALL.with(|call| call.took.get()))
    };
    let (response, times) = CALL.scope(call, run).await;
    let followed = Followed {
        trace,
        parent,
        times,
    };
    (response, followed)
}

/// Whether the log has every call, not only those that their callers record.
fn all_are_logged() -> bool {
    tracing::enabled!(Level::DEBUG)
}

impl Followed {
    /// What each stage took, by its name.
    pub(crate) fn stages(&self) -> impl Iterator<Item = (&'static str, Duration)> {
        let stages = STAGES.into_iter().zip(self.times);
        stages.filter_map(|(stage, took)| Some((stage, took?)))
    }

    /// Writes the call to the log. That a caller records it counts only once it is known who
    /// calls: nobody else can fill the log.
    pub(crate) fn log(&self, method: &Method, route: &str, response: &Response, took: Duration) {
        let known = self.times[Stage::Verify as usize].is_some();
        if !(all_are_logged() || self.trace.sampled && known) {
            return;
        }
        let stage = |stage: Stage| self.times[stage as usize].map(micros);
        let interaction = response.headers().get("x-fapi-interaction-id");
        tracing::info!(
            trace_id = self.trace.id(),
            span_id = self.trace.span(),
            parent_id = self.parent.map(|parent| parent.span()),
            interaction_id = interaction.and_then(|id| id.to_str().ok()),
            method = method.as_str(),
            route,
            status = response.status().as_u16(),
            took_us = micros(took),
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
}

/// Something that is sent because of a call: a span of its own in the call's trace.
pub(crate) struct Sending {
    parent: Trace,
    pub(crate) trace: Trace,
    begun: Instant,
}

impl Sending {
    /// Begins to send.
    pub(crate) fn begin(parent: Trace) -> Sending {
        Sending {
            parent,
            trace: parent.child(),
            begun: Instant::now(),
        }
    }

    /// Writes to the log what came of a message.
    pub(crate) fn log(&self, message: &str, status: Option<u16>) {
        if !(all_are_logged() || self.trace.sampled) {
            return;
        }
        tracing::info!(
            trace_id = self.trace.id(),
            span_id = self.trace.span(),
            parent_id = self.parent.span(),
            message_id = message,
            status,
            took_us = micros(self.begun.elapsed()),
            "sent"
        );
    }
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
