//! A call is followed through the service, and beyond it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tandem_web::api::Deciders;
use tandem_web::trace::Trace;

use crate::api::application;
use crate::service::Running;
use crate::webhooks::Receiving;

/// What the log has of a trace, once there are so many lines.
fn logged(log: &Path, trace: &Trace, count: usize) -> Vec<Value> {
    for _ in 0..1_000 {
        let lines = fs::read_to_string(log).unwrap();
        let lines = lines.lines().filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            (line["fields"]["trace_id"] == trace.id()).then(|| line["fields"].clone())
        });
        let lines: Vec<_> = lines.collect();
        if lines.len() >= count {
            return lines;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("{}", fs::read_to_string(log).unwrap());
}

#[test]
fn a_call_is_followed_in_the_log_and_in_what_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let file = Arc::new(File::create(&log).unwrap());
    tracing_subscriber::fmt().json().with_writer(file).init();
    let running = Running::start();
    let (hook, lender) = (Receiving::start(), Receiving::start());
    let deciders = BTreeMap::from([("river".to_owned(), lender.url.clone())]);
    let deciders = Deciders::new(deciders, running.service.access.clone());
    running.desk.decide_by(deciders.unwrap());
    let mut platform = running.client("bazaar");
    platform.post("/webhooks", &json!({"url": hook.url}));
    let elsewhere = Receiving::start();
    let mut cloud = running.client("cloud");
    cloud.post("/webhooks", &json!({"url": elsewhere.url}));

    let trace = Trace::begin(true);
    platform
        .0
        .follow(Some(trace.to_string().try_into().unwrap()));
    platform.post("/applications", &application("T-1"));
    let traced = |receiving: &Receiving| {
        let (headers, _) = receiving.next();
        Trace::parse(&headers["traceparent"]).unwrap()
    };
    // A lender whose answer cannot be used is asked twice.
    let sent = [traced(&lender), traced(&lender), traced(&hook)];
    // What another party's caller began is no business of who is told of it.
    let told = traced(&elsewhere);
    assert_ne!(told.id(), trace.id());
    assert!(told.is_sampled());
    // Two questions, two messages, and the call.
    let lines = logged(&log, &trace, 5);
    let call = lines.iter().find(|line| line["message"] == "call").unwrap();
    assert_eq!(call["parent_id"], trace.span());
    assert_eq!(call["status"], 201);
    let stages = [
        "verify_us",
        "decide_us",
        "queue_us",
        "append_us",
        "seen_us",
        "keep_us",
        "sign_us",
    ];
    let micros = |name: &str| {
        call[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {call}"))
    };
    let sum: u64 = stages.into_iter().map(micros).sum();
    assert!(0 < sum && sum <= micros("took_us"), "{call}");
    for (sent, status) in sent.iter().zip([204, 204, 204]) {
        let line = lines.iter().find(|line| line["span_id"] == sent.span());
        let line = line.unwrap_or_else(|| panic!("{lines:?}"));
        assert_eq!(sent.id(), trace.id());
        assert_eq!(line["message"], "sent");
        assert_eq!(line["parent_id"], call["span_id"]);
        assert_eq!(line["status"], status);
    }

    // What its caller does not record is not in the log, but goes on all the same.
    let trace = Trace::begin(false);
    platform
        .0
        .follow(Some(trace.to_string().try_into().unwrap()));
    platform.post("/applications", &application("T-2"));
    assert_eq!(traced(&hook).id(), trace.id());
    assert!(logged(&log, &trace, 0).is_empty());

    // Nor does anybody whom the service does not know write into the log.
    let trace = Trace::begin(true);
    let asked = ureq::get(format!("{}/v1/agreements", running.base));
    let answer = asked.header("traceparent", trace.to_string()).call();
    assert!(matches!(answer, Err(ureq::Error::StatusCode(401))));
    assert!(logged(&log, &trace, 0).is_empty());
}
