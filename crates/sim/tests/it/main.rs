//! The simulator itself: seeds that must pass, and planted bugs that it must find.
#![expect(
    clippy::unwrap_used,
    reason = "helpers are not test functions to clippy"
)]

mod planted;
