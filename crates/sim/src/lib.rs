//! A seeded simulator: a generator of business life drives the real engine on a disk that fails,
//! and after every step everything is checked that must hold.
//!
//! [`simulate`] plays the life of one seed and gives back its counts, or a [`Failure`]: what does
//! not hold, and a short list of steps that shows it. [`World`](world) compares the writer after
//! every batch with a book that executes the same commands and knows no disk; after a crash the
//! journal must hold what was acknowledged and a part of the batch from its beginning, and what a
//! client sends again must not happen twice. Everything is a function of the seed.
//!
//! `cargo xtask simulate` runs it, `cargo xtask crash` does the same to real processes.

pub mod check;
pub mod crash;
pub mod disk;
mod life;
mod load;
mod notes;
#[path = "../../domain/tests/it/papers.rs"]
#[expect(
    dead_code,
    clippy::unwrap_used,
    reason = "the domain's tests use all of it, and its documents are valid"
)]
mod papers;
mod shrink;
pub mod simulation;
pub mod step;
mod view;
pub mod world;

pub use simulation::{Failure, Outcome, Simulation, simulate};
