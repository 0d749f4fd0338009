//! What is measured, in the format of Prometheus.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, header};
use axum::response::IntoResponse;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::Service;
use crate::desk::Role;
use crate::trace::{Followed, known_method};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Call {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stage {
    stage: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Book {
    book: String,
}

/// What a service measures.
pub struct Metrics {
    registry: Registry,
    calls: Family<Call, Counter>,
    seconds: Histogram,
    stages: Family<Stage, Histogram>,
    batches: Family<Book, Gauge>,
    loans: Family<Book, Gauge>,
    owner: Family<Book, Gauge>,
    pub(crate) spans_sent: Counter,
    pub(crate) spans_dropped: Counter,
    pub(crate) audit_lost: Counter,
    pub(crate) connections: Gauge,
    pub(crate) connections_refused: Counter,
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut registry = Registry::with_prefix("tandem");
        let calls = Family::default();
        registry.register("calls", "Calls by route and status", calls.clone());
        let buckets = || Histogram::new(exponential_buckets(0.000_5, 2.0, 14));
        let seconds = buckets();
        registry.register("call_seconds", "Time of a call", seconds.clone());
        let stages = Family::new_with_constructor(buckets as fn() -> Histogram);
        registry.register("stage_seconds", "Time of a call's stages", stages.clone());
        let batches = Family::default();
        registry.register("book_batches", "Batches in the journal", batches.clone());
        let loans = Family::default();
        registry.register("book_active_loans", "Active loans", loans.clone());
        let owner = Family::default();
        registry.register(
            "book_owned",
            "1 where this node writes the book",
            owner.clone(),
        );
        let (spans_sent, spans_dropped) = (Counter::default(), Counter::default());
        registry.register(
            "spans_sent",
            "Spans that the collector took",
            spans_sent.clone(),
        );
        registry.register(
            "spans_dropped",
            "Spans that the collector did not take, or that were too many",
            spans_dropped.clone(),
        );
        let audit_lost = Counter::default();
        registry.register(
            "audit_lost",
            "Calls whose entry in the audit log is lost",
            audit_lost.clone(),
        );
        let connections = Gauge::default();
        registry.register(
            "connections",
            "Connections that are open",
            connections.clone(),
        );
        let connections_refused = Counter::default();
        registry.register(
            "connections_refused",
            "Connections that were too many",
            connections_refused.clone(),
        );
        Metrics {
            registry,
            calls,
            seconds,
            stages,
            batches,
            loans,
            owner,
            spans_sent,
            spans_dropped,
            audit_lost,
            connections,
            connections_refused,
        }
    }
}

impl Metrics {
    pub(crate) fn call(&self, method: &Method, route: &str, status: u16, followed: &Followed) {
        let call = Call {
            // Anybody can make up methods, and what was counted once is kept.
            method: known_method(method).to_owned(),
            route: route.to_owned(),
            status,
        };
        self.calls.get_or_create(&call).inc();
        self.seconds.observe(followed.took.as_secs_f64());
        for (stage, took) in followed.stages() {
            let stage = self.stages.get_or_create(&Stage { stage });
            stage.observe(took.as_secs_f64());
        }
    }
}

/// The metrics as text.
pub(crate) async fn show(State(service): State<Arc<Service>>) -> impl IntoResponse {
    let metrics = &service.metrics;
    for desk in service.desks.values() {
        let book = Book {
            book: desk.name().to_owned(),
        };
        let active = desk.look(|book| book.portfolio().active);
        metrics
            .batches
            .get_or_create(&book)
            .set(desk.reader().head().seq as i64);
        metrics.loans.get_or_create(&book).set(active.into());
        metrics
            .owner
            .get_or_create(&book)
            .set((desk.role() == Role::Owner).into());
    }
    let mut text = String::new();
    // Writing to memory cannot fail.
    let _ = prometheus_client::encoding::text::encode(&mut text, &metrics.registry);
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], text)
}
