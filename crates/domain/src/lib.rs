//! The pure core of Tandem: what a joint-lending cooperation *is*, without I/O, clock,
//! randomness or floating point.
#![deny(clippy::float_arithmetic)]

pub mod agreement;
pub mod book;
pub mod calendar;
pub mod condition;
pub mod cost;
pub mod document;
pub mod field;
pub mod funding;
pub mod ledger;
pub mod loan;
pub mod money;
pub mod packed;
pub mod party;
pub mod policy;
pub mod rulebook;
pub mod settlement;
pub mod share;
