//! What a table is: its columns, the cells of its rows, and how a format takes them.

use tandem_domain::calendar::Day;
use tandem_domain::money::{Amount, Currency, Rate};

use crate::fail::Outcome;

/// A table of the book.
#[derive(Clone, Copy)]
pub(super) struct Table<'t> {
    pub(super) name: &'t str,
    /// What one row is.
    pub(super) about: &'t str,
    /// If its rows come day by day, the column of the day. Formats may keep months apart by it.
    pub(super) by_month: Option<&'t str>,
    pub(super) columns: &'t [Column<'t>],
}

/// A column of a table.
#[derive(Clone, Copy)]
pub(super) struct Column<'t> {
    pub(super) name: &'t str,
    pub(super) kind: Kind,
    pub(super) about: &'t str,
    /// When it is empty; `None` if it never is.
    pub(super) empty: Option<&'t str>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An id, a name or words.
    Text,
    /// A whole number.
    Integer,
    /// A date.
    Day,
    /// An amount in the currency of its row.
    Amount,
    /// A ratio or a yearly rate, as a fraction.
    Rate,
}

impl<'t> Column<'t> {
    pub(super) const fn new(kind: Kind, name: &'t str, about: &'t str) -> Column<'t> {
        Column {
            name,
            kind,
            about,
            empty: None,
        }
    }

    /// Says when the column is empty.
    pub(super) const fn empty(self, when: &'t str) -> Column<'t> {
        Column {
            empty: Some(when),
            ..self
        }
    }
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell<'c> {
    Empty,
    Text(&'c str),
    Integer(i64),
    Day(Day),
    Amount(Amount),
    Rate(Rate),
}

impl<'c> From<&'c str> for Cell<'c> {
    fn from(text: &'c str) -> Cell<'c> {
        match text {
            "" => Cell::Empty,
            text => Cell::Text(text),
        }
    }
}

impl<'c> From<&'c String> for Cell<'c> {
    fn from(text: &'c String) -> Cell<'c> {
        Cell::from(text.as_str())
    }
}

impl<'c, T: Into<Cell<'c>>> From<Option<T>> for Cell<'c> {
    fn from(value: Option<T>) -> Cell<'c> {
        value.map_or(Cell::Empty, Into::into)
    }
}

/// Numbers of the domain become cells as they are.
macro_rules! cell_from {
    ($($from:ty => $cell:expr),+ $(,)?) => {
        $(impl From<$from> for Cell<'_> {
            fn from(value: $from) -> Self {
                $cell(value.into())
            }
        })+
    };
}
cell_from!(
    u16 => Cell::Integer, i32 => Cell::Integer, u32 => Cell::Integer, i64 => Cell::Integer,
    Day => Cell::Day, Amount => Cell::Amount, Rate => Cell::Rate,
);

/// The cells of a row, each from a value of its own type.
macro_rules! cells {
    ($($value:expr),+ $(,)?) => {
        [$($crate::export::table::Cell::from($value)),+]
    };
}
pub(super) use cells;

/// A format that tables are written in.
pub(super) trait Format {
    /// Starts a table; amounts are in minor units of `currency`.
    fn create(&self, table: &Table<'_>, currency: Currency) -> Outcome<Box<dyn Rows>>;
}

/// A table being written.
pub(super) trait Rows {
    /// Writes a row: a cell for each column.
    fn row(&mut self, cells: &[Cell<'_>]) -> Outcome;

    /// Ends the table.
    fn finish(&mut self) -> Outcome;
}
