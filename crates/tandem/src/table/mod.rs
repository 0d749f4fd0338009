//! Reading the user's own CSV files: the mapping says what their columns mean, the readers
//! stream their rows and go on after a bad one.
//!
//! [`Mapping::parse`] finds everything that is wrong with a mapping by itself; opening a reader
//! adds what only the header shows. After that nothing is fatal: a row is read, or it is a
//! [`RowProblem`] that names file, line and column, and the next row follows.

mod cell;
mod decimal;
#[cfg(test)]
mod fuzz;
mod mapping;
mod plan;
mod planner;
mod reader;
mod rows;
#[cfg(test)]
mod tests;

pub(crate) use decimal::parts;
pub(crate) use mapping::{Mapping, PaymentSource};
pub(crate) use plan::{ApplicationRow, OutcomeRow, PaymentRow};
pub(crate) use reader::{
    ApplicationReader, OutcomeReader, PaymentReader, RowProblem, Table, TableError,
};
pub(crate) use rows::{Fault, Row};
