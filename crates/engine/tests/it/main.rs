//! The engine from outside.

#![expect(clippy::unwrap_used, reason = "tests")]

mod snapshot;
mod writer;
