//! Splitting CSV text into rows, so that one malformed row never takes the next ones with it.
//!
//! A row is bounded in bytes and lines. A quoted value may hold line ends; when such a row does
//! not fit together (its quote is never closed, closes in the middle of a value, or leaves the
//! wrong number of columns), a quote too many or too few is the likely cause. The row is then
//! reported at its first line, and reading goes on at the line after that. The price: lines inside
//! a value that really is longer than [`MAX_LINES`] are read as rows, after that problem.

use std::borrow::Cow;
use std::io::{self, ErrorKind, Read};
use std::mem::take;

/// Longest row, in bytes. A longer line is skipped without being held in memory.
pub(crate) const MAX_ROW: usize = 1 << 20;
/// Most lines that a row with line ends in quoted values may have: what an unclosed quote can
/// hide.
pub(crate) const MAX_LINES: u64 = 100;
/// How much is read at a time.
const CHUNK: usize = 1 << 16;

const UNCLOSED: &str =
    "a quoted value is not closed; end it with a quote, and write a quote inside it as two";
const AFTER_QUOTE: &str =
    "text follows the end of a quoted value; write a quote inside it as two, and a comma after it";

/// What is wrong with a row or one of its values.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The place of the column, if one is to blame.
    pub(crate) place: Option<usize>,
    /// What is wrong and what to write instead.
    pub(crate) message: String,
}

impl Fault {
    pub(crate) fn at(place: usize, message: impl Into<String>) -> Fault {
        Fault {
            place: Some(place),
            message: message.into(),
        }
    }

    fn of_row(message: String) -> Fault {
        Fault {
            place: None,
            message,
        }
    }
}

/// The rows of a CSV text. The `csv` crate is not used because it joins lines without a bound and
/// cannot go back to the line after a quote that was never closed.
pub(crate) struct Rows<R> {
    input: R,
    /// What was read; `start..end` is still to be split, beginning with the present row.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes and lines of the present row, which the next call passes over.
    taken: (usize, u64),
    line: u64,
    cells: Vec<Span>,
    columns: Option<usize>,
    finished: bool,
}

/// What is known of a row while it is split.
#[derive(Default)]
struct Shape {
    lines: u64,
    columns: usize,
    /// The first value that goes on over a line end.
    opened: Option<usize>,
    /// A quote stands inside a value that is not quoted.
    bare_quote: bool,
}

/// Where a value stands, counted from the start of its row and without its quotes.
#[derive(Clone, Copy)]
struct Span {
    start: usize,
    end: usize,
    quoted: bool,
}

/// A row with the right number of columns.
pub(crate) struct Row<'r> {
    bytes: &'r [u8],
    cells: &'r [Span],
}

impl Row<'_> {
    /// The text at a place, without quotes and surrounding blanks.
    pub(crate) fn text(&self, place: usize) -> Result<Cow<'_, str>, Fault> {
        let span = self.cells[place];
        let bytes = &self.bytes[span.start..span.end];
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let byte = error.valid_up_to() + 1;
            Fault::at(
                place,
                format!("is not UTF-8 from byte {byte} on; save the file as UTF-8"),
            )
        })?;
        Ok(match span.quoted && text.contains('"') {
            true => Cow::Owned(text.replace("\"\"", "\"").trim().to_owned()),
            false => Cow::Borrowed(text.trim()),
        })
    }

    /// How many columns there are.
    pub(crate) fn len(&self) -> usize {
        self.cells.len()
    }
}

/// Why a row could not be split.
enum Flaw {
    Unreadable(io::Error),
    TooLong,
    Malformed(Fault),
}

impl From<io::Error> for Flaw {
    fn from(error: io::Error) -> Flaw {
        Flaw::Unreadable(error)
    }
}

impl<R: Read> Rows<R> {
    /// Rows of any number of columns, until [`Rows::expect_columns`] sets one.
    pub(crate) fn new(input: R) -> Rows<R> {
        Rows {
            input,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            taken: (0, 0),
            line: 1,
            cells: Vec::new(),
            columns: None,
            finished: false,
        }
    }

    /// From here on a row with another number of columns is malformed.
    pub(crate) fn expect_columns(&mut self, columns: usize) {
        self.columns = Some(columns);
    }

    /// The next row, if there is one, and the line on which it begins, from 1. Empty lines are
    /// passed over.
    pub(crate) fn next(&mut self) -> Option<(u64, Result<Row<'_>, Fault>)> {
        let (bytes, lines) = take(&mut self.taken);
        self.start += bytes;
        self.line += lines;
        if self.finished {
            return None;
        }
        match self.skip_blank().and_then(|()| self.split()) {
            Ok(0) => {
                self.finished = true;
                None
            }
            Ok(length) => {
                self.taken.0 = length;
                let bytes = &self.buffer[self.start..self.start + length];
                Some((
                    self.line,
                    Ok(Row {
                        bytes,
                        cells: &self.cells,
                    }),
                ))
            }
            Err(flaw) => Some((self.line, Err(self.pass_over(flaw)))),
        }
    }

    fn skip_blank(&mut self) -> Result<(), Flaw> {
        loop {
            let length = match (self.byte(0)?, self.byte(1)?) {
                (Some(b'\n'), _) => 1,
                (Some(b'\r'), Some(b'\n')) => 2,
                (Some(b'\r'), None) => 1,
                _ => return Ok(()),
            };
            self.start += length;
            self.line += 1;
        }
    }

    /// Finds the cells of the present row and returns its length with its line end, 0 at the end
    /// of the text.
    fn split(&mut self) -> Result<usize, Flaw> {
        self.cells.clear();
        if self.byte(0)?.is_none() {
            return Ok(0);
        }
        let mut shape = Shape {
            lines: 1,
            ..Shape::default()
        };
        let split = self.split_cells(&mut shape);
        self.taken.1 = shape.lines;
        match (split, shape.opened) {
            (Err(Flaw::TooLong | Flaw::Malformed(_)), Some(place)) => {
                Err(Flaw::Malformed(Fault::at(place, UNCLOSED)))
            }
            (split, _) => split,
        }
    }

    fn split_cells(&mut self, shape: &mut Shape) -> Result<usize, Flaw> {
        let columns = self.columns.unwrap_or(usize::MAX);
        let mut at = 0;
        loop {
            let (span, end) = self.cell(at, shape)?;
            if shape.columns < columns {
                self.cells.push(span);
            }
            shape.columns += 1;
            let separator = self.byte(end)?;
            // Where quotes hold lines together one column too many is enough: what follows may be
            // many good rows.
            if separator == Some(b',') && (shape.opened.is_none() || shape.columns < columns) {
                at = end + 1;
                continue;
            }
            let columns_fit = self
                .columns
                .is_none_or(|columns| shape.columns == columns && separator != Some(b','));
            // A quote inside a bare value is taken as it stands, but between lines that quotes
            // hold together it shows that they are out of step.
            let quotes_fit = shape.opened.is_none() || !shape.bare_quote;
            if !(columns_fit && quotes_fit) {
                return Err(Flaw::Malformed(wrong_columns(shape.columns, columns)));
            }
            return Ok(end + usize::from(separator.is_some()));
        }
    }

    /// The cell that begins at an offset, and the offset of the separator behind it.
    fn cell(&mut self, at: usize, shape: &mut Shape) -> Result<(Span, usize), Flaw> {
        if self.byte(at)? == Some(b'"') {
            let close = self.closing_quote(at + 1, shape)?;
            let end = close + 1 + usize::from(self.is_carriage_return(close + 1)?);
            return match self.byte(end)? {
                None | Some(b',' | b'\n') => Ok((
                    Span {
                        start: at + 1,
                        end: close,
                        quoted: true,
                    },
                    end,
                )),
                Some(_) => Err(Flaw::Malformed(Fault::at(shape.columns, AFTER_QUOTE))),
            };
        }
        let separator = self.find(at, |byte| byte == b',' || byte == b'\n')?;
        let separator = separator.unwrap_or(self.end - self.start);
        let mut end = separator;
        if end > at && self.is_carriage_return(end - 1)? {
            end -= 1;
        }
        shape.bare_quote |= self.window()[at..end].contains(&b'"');
        Ok((
            Span {
                start: at,
                end,
                quoted: false,
            },
            separator,
        ))
    }

    /// True at a carriage return that belongs to a line end.
    fn is_carriage_return(&mut self, at: usize) -> io::Result<bool> {
        Ok(self.byte(at)? == Some(b'\r') && matches!(self.byte(at + 1)?, None | Some(b'\n')))
    }

    fn closing_quote(&mut self, mut at: usize, shape: &mut Shape) -> Result<usize, Flaw> {
        while let Some(found) = self.find(at, |byte| byte == b'"' || byte == b'\n')? {
            at = found + 1;
            if self.window()[found] == b'\n' {
                shape.opened.get_or_insert(shape.columns);
                shape.lines += 1;
                if shape.lines > MAX_LINES {
                    break;
                }
            } else if self.byte(at)? == Some(b'"') {
                at += 1;
            } else {
                return Ok(found);
            }
        }
        Err(Flaw::Malformed(Fault::at(shape.columns, UNCLOSED)))
    }

    /// Takes the first line of the present row as passed over and says what is wrong with the row.
    fn pass_over(&mut self, flaw: Flaw) -> Fault {
        let skipped = match flaw {
            Flaw::Malformed(fault) => self.skip_line().map(|_| fault),
            Flaw::TooLong => self.skip_line().map(|length| {
                Fault::of_row(format!(
                    "the line is {length} bytes long, more than the {MAX_ROW} that a row may have; \
                     the line is skipped"
                ))
            }),
            Flaw::Unreadable(error) => Err(error),
        };
        self.taken = (0, 1);
        skipped.unwrap_or_else(|error| {
            self.finished = true;
            Fault::of_row(format!("the file cannot be read from here on: {error}"))
        })
    }

    /// Drops everything up to and with the next line end; returns how many bytes stood before it.
    fn skip_line(&mut self) -> io::Result<usize> {
        let mut length = 0;
        loop {
            if let Some(at) = self.window().iter().position(|&byte| byte == b'\n') {
                self.start += at + 1;
                return Ok(length + at);
            }
            length += self.end - self.start;
            self.start = self.end;
            if !self.fill()? {
                return Ok(length);
            }
        }
    }

    /// The offset of the first byte from `at` on that is wanted; nothing at the end of the text.
    fn find(&mut self, mut at: usize, wanted: impl Fn(u8) -> bool) -> Result<Option<usize>, Flaw> {
        loop {
            let found = self.window()[at..].iter().position(|&byte| wanted(byte));
            let reached = found.map_or(self.end - self.start, |found| at + found);
            if reached > MAX_ROW {
                return Err(Flaw::TooLong);
            }
            if found.is_some() {
                return Ok(Some(reached));
            }
            at = reached;
            if !self.fill()? {
                return Ok(None);
            }
        }
    }

    /// The byte at an offset from the start of the present row; nothing behind the end.
    fn byte(&mut self, at: usize) -> io::Result<Option<u8>> {
        while at >= self.end - self.start {
            if !self.fill()? {
                return Ok(None);
            }
        }
        Ok(Some(self.buffer[self.start + at]))
    }

    fn window(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads on; false at the end of the text.
    fn fill(&mut self) -> io::Result<bool> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() < self.end + CHUNK {
            self.buffer.resize(self.end + CHUNK, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    self.end += read;
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn wrong_columns(columns: usize, expected: usize) -> Fault {
    let count = |n| {
        if n == 1 {
            "1 column".to_owned()
        } else {
            format!("{n} columns")
        }
    };
    Fault::of_row(format!("has {}, the header has {expected}", count(columns)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_input_makes_the_buffer_grow_beyond_a_row() {
        for start in ["", "\"", "a\n\"b\n"] {
            let mut rows = Rows::new(start.as_bytes().chain(io::repeat(b'x').take(20_000_000)));
            while rows.next().is_some() {}
            assert!(rows.buffer.len() <= MAX_ROW + 2 * CHUNK, "{start:?}");
        }
    }
}
