//! The program as its users run it.

#![expect(clippy::unwrap_used, reason = "tests")]

#[cfg(feature = "parquet")]
mod archive;
mod audit;
mod backup;
mod common;
mod conformance;
mod crash;
mod input;
mod instruct;
#[cfg(all(unix, feature = "postgres"))]
mod nodes;
mod partner;
mod people;
mod public_loans;
mod quote;
mod schedule;
mod serve;
#[cfg(feature = "postgres")]
mod server;
mod servicing;
mod tamper;
#[cfg(unix)]
mod trace;
#[cfg(unix)]
mod trouble;
mod view;
