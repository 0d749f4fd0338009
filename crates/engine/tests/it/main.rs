//! The engine from outside.

#![expect(clippy::unwrap_used, reason = "tests")]

mod bounds;
mod replay;
mod snapshot;
mod writer;
