//! Something that was done, as OTLP writes it in JSON.

use std::time::{Duration, Instant, SystemTime};

use axum::http::Method;
use serde::Serialize;

use super::{STAGES, Times, Trace};

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
pub(super) struct Attribute {
    pub(super) key: std::borrow::Cow<'static, str>,
    pub(super) value: Value,
}

/// Kinds of spans, as OTLP numbers them.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// Something that was done, with its stages if it is a call.
pub(super) struct Span {
    pub(super) name: String,
    pub(super) failed: bool,
    pub(super) trace: Trace,
    pub(super) parent: Option<Trace>,
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

/// The body of a request with spans of one process, which `resource` describes.
pub(super) fn request(resource: &[Attribute], spans: &[Span]) -> Vec<u8> {
    let request = Request {
        resource_spans: [ResourceSpans {
            resource: Resource {
                attributes: resource,
            },
            scope_spans: [ScopeSpans {
                scope: Scope {
                    name: "tandem",
                    version: env!("CARGO_PKG_VERSION"),
                },
                spans: spans.iter().flat_map(Span::written).collect(),
            }],
        }],
    };
    serde_json::to_vec(&request).expect("texts become JSON")
}

/// How many spans they are for a collector: each itself, and its stages.
pub(super) fn count(spans: &[Span]) -> u64 {
    let stages = spans.iter().flat_map(|span| span.stages).flatten();
    (spans.len() + stages.count()) as u64
}

/// A method that is well known, or what the conventions put in its place.
pub(crate) fn known_method(method: &Method) -> &str {
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
