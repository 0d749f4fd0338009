//! Days (`day.rs`), how time between them becomes a fraction of a year (`day_count.rs`), how they
//! recur (`cycle.rs`), and which of them banks work on (`business.rs`).

mod business;
mod cycle;
mod day;
mod day_count;

pub use business::*;
pub use cycle::*;
pub use day::*;
pub use day_count::*;

#[cfg(test)]
fn date(text: &str) -> Day {
    text.parse().expect("a date")
}
