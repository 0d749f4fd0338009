//! What the domain promises, seen from outside: scenarios and errors as golden files, gates at
//! their boundaries, properties over random histories.
#![expect(
    clippy::unwrap_used,
    reason = "helpers are not test functions to clippy"
)]

mod apr;
mod archive;
mod errors;
mod figures;
mod fixture;
mod funding;
mod gate;
mod golden;
mod papers;
mod policy;
mod properties;
mod referrals;
mod scenario;
mod slices;
