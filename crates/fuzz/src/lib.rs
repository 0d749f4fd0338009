//! What reads bytes from outside, fed with bytes that nobody would write.
//!
//! Each target is one function of bytes that must come back, whatever they are. Two drivers call
//! it: [`drive`] on the stable toolchain, as a test for two seconds and as `cargo xtask fuzz
//! --seconds N` for as long as wanted; and `cargo fuzz` in the folder `fuzz`, which needs nightly
//! and finds its way by coverage.
//!
//! Mappings and tables of the user are read by the program itself; their targets are tests there.

mod drive;
mod mutate;
#[path = "../../tandem/src/export/sample.rs"]
#[expect(dead_code, reason = "the program's tests use all of it")]
mod sample;
pub mod targets;

pub use drive::drive;
