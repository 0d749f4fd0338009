//! The story as far as it is told: its text, and what it remembers from one event to the next.

use std::fmt::Write as _;

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Book, Loan};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::Entry;
use tandem_domain::loan::{Position, Transaction};

use crate::export::grid::Grid;

/// Columns of a terminal that is not wide.
const WIDTH: usize = 100;

/// Width of what stands before the words of an event: its date.
pub(super) const INDENT: usize = 12;

/// The story, told while the journal is read.
pub(super) struct Story<'k> {
    pub(super) key: &'k str,
    pub(super) text: String,
    pub(super) application: Option<u32>,
    pub(super) loan: Option<u32>,
    /// True once there was an offer.
    pub(super) offered: bool,
    /// True once the offer, or what a person had to decide, lapsed.
    pub(super) lapsed: bool,
    /// The loan's position and class as they were before the event at hand.
    pub(super) before: Option<(Position, u8)>,
    /// What was done to the loan, with the keys.
    pub(super) done: Vec<(String, Transaction)>,
    pub(super) entries: Vec<Entry>,
    /// Says after everything that is done what falls due next.
    pub(super) next: bool,
}

impl Story<'_> {
    pub(super) fn new(key: &str) -> Story<'_> {
        Story {
            key,
            text: String::new(),
            application: None,
            loan: None,
            offered: false,
            lapsed: false,
            before: None,
            done: Vec::new(),
            entries: Vec::new(),
            next: false,
        }
    }

    /// The loan and the agreement that governs it.
    pub(super) fn of<'b>(&self, book: &'b Book) -> Option<(Loan, &'b Agreement)> {
        let loan = book.loan_at(self.loan?)?;
        let agreement = &book.version_of(&loan).agreement;
        Some((loan, agreement))
    }

    /// A dated line.
    pub(super) fn event(&mut self, day: Day, what: impl std::fmt::Display) {
        let _ = writeln!(self.text, "\n{day}  {what}");
    }

    /// Words that belong to the event before them.
    pub(super) fn note(&mut self, what: impl std::fmt::Display) {
        let words = what.to_string();
        let mut words = words.split(' ');
        let mut line = format!("{:INDENT$}{}", "", words.next().unwrap_or_default());
        for word in words {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                let next = format!("{:INDENT$}  {word}", "");
                let _ = writeln!(self.text, "{}", std::mem::replace(&mut line, next));
            } else {
                let _ = write!(line, " {word}");
            }
        }
        let _ = writeln!(self.text, "{line}");
    }

    pub(super) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(super) fn grid(&mut self, grid: &Grid) {
        self.text += &grid.plain(INDENT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_notes_are_broken_between_words() {
        let mut story = Story::new("");
        story.note("short");
        story.note("a word and ".repeat(10).trim_end());
        assert_eq!(
            story.text,
            "            short\n            \
             a word and a word and a word and a word and a word and a word and a word and a word and\n\
             \u{20}             a word and a word and\n"
        );
    }
}
