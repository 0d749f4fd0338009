//! The service as partners call it: real sockets, real signatures, a real journal.

#![expect(clippy::unwrap_used, reason = "tests")]

mod api;
mod audit;
mod conformance;
mod connections;
mod decider;
mod sandbox;
mod service;
mod tls;
mod trace;
mod webhooks;
