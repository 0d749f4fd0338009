//! The simulator itself: planted bugs that it must find, seeds that must pass, and processes that
//! are really killed.
#![expect(
    clippy::unwrap_used,
    reason = "helpers are not test functions to clippy"
)]

mod planted;
#[cfg(feature = "postgres")]
mod postgres;
mod program;
