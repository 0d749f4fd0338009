//! Tables as CSV: one file each, with a header, written as RFC 4180 says.

use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};

use csv::{ByteRecord, Writer, WriterBuilder};
use tandem_domain::calendar::Day;
use tandem_domain::money::{Amount, Currency, Rate, format_decimal};

use super::create;
use super::table::{Cell, Format, Rows, Table};
use crate::fail::{Failure, Outcome};

/// Files in a folder, named after their tables.
pub(super) struct Csv {
    folder: PathBuf,
}

impl Csv {
    /// Makes the folder.
    pub(super) fn new(folder: &Path) -> Outcome<Csv> {
        super::folder(folder)?;
        Ok(Csv {
            folder: folder.to_owned(),
        })
    }
}

impl Format for Csv {
    fn create(&self, table: &Table<'_>, currency: Currency) -> Outcome<Box<dyn Rows>> {
        let path = self.folder.join(table.name).with_extension("csv");
        Ok(Box::new(CsvFile::create(path, table, currency)?))
    }
}

/// A CSV file being written.
///
/// Millions of rows pass through here, so cells are written into buffers that stay.
pub(super) struct CsvFile {
    path: PathBuf,
    writer: Writer<File>,
    currency: Currency,
    record: ByteRecord,
    text: String,
    /// The last date that was written, and its text.
    day: (Day, String),
}

impl CsvFile {
    /// Starts a file with its header.
    pub(super) fn create(path: PathBuf, table: &Table<'_>, currency: Currency) -> Outcome<CsvFile> {
        let file = create(&path)?;
        let writer = WriterBuilder::new()
            .buffer_capacity(1 << 16)
            .from_writer(file);
        let mut file = CsvFile {
            path,
            writer,
            currency,
            record: table.columns.iter().map(|column| column.name).collect(),
            text: String::new(),
            day: (Day(0), Day(0).to_string()),
        };
        file.write()?;
        Ok(file)
    }

    fn write(&mut self) -> Outcome {
        self.writer
            .write_byte_record(&self.record)
            .map_err(|error| match error.kind() {
                csv::ErrorKind::Io(error) => Failure::io(&self.path, error),
                _ => Failure(format!("{}: {error}", self.path.display())),
            })
    }
}

impl Rows for CsvFile {
    fn row(&mut self, cells: &[Cell<'_>]) -> Outcome {
        self.record.clear();
        for cell in cells {
            self.text.clear();
            let text = match *cell {
                Cell::Empty => "",
                Cell::Text(text) => text,
                Cell::Day(day) => {
                    if self.day.0 != day {
                        self.day.0 = day;
                        self.day.1.clear();
                        let _ = write!(self.day.1, "{day}");
                    }
                    &self.day.1
                }
                Cell::Integer(number) => {
                    decimal(&mut self.text, 0, number);
                    &self.text
                }
                Cell::Amount(amount) => {
                    plain(&mut self.text, self.currency, amount);
                    &self.text
                }
                Cell::Rate(rate) => {
                    self.text.push_str(&fraction(rate));
                    &self.text
                }
            };
            self.record.push_field(text.as_bytes());
        }
        self.write()
    }

    fn finish(&mut self) -> Outcome {
        self.writer
            .flush()
            .map_err(|error| Failure::io(&self.path, &error))
    }
}

/// Appends an amount as [`Currency::plain`] writes it.
pub(super) fn plain(out: &mut String, currency: Currency, amount: Amount) {
    decimal(out, currency.digits() as usize, amount.0);
}

/// Appends a number with `digits` decimals. Most of the time of an export goes into this, so it
/// does without the formatting machinery.
fn decimal(out: &mut String, digits: usize, number: i64) {
    let mut text = [b'0'; 24];
    let (mut place, mut rest, mut written) = (text.len(), number.unsigned_abs(), 0);
    while rest > 0 || written <= digits {
        if written == digits && digits > 0 {
            place -= 1;
            text[place] = b'.';
        }
        place -= 1;
        text[place] = b'0' + (rest % 10) as u8;
        rest /= 10;
        written += 1;
    }
    if number < 0 {
        place -= 1;
        text[place] = b'-';
    }
    out.extend(text[place..].iter().copied().map(char::from));
}

/// A rate as a decimal fraction: `0.102`.
pub(super) fn fraction(rate: Rate) -> String {
    let text = format_decimal(rate.0, 8);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_as_everywhere_else() {
        for code in ["CNY", "JPY", "KWD"] {
            let currency: Currency = code.parse().unwrap();
            for minor in [
                0,
                1,
                -1,
                9,
                10,
                99,
                100,
                -100,
                999,
                1_000,
                123_456,
                i64::MAX,
                -i64::MAX,
                i64::MIN,
            ] {
                let mut text = String::new();
                plain(&mut text, currency, Amount(minor));
                assert_eq!(text, currency.plain(Amount(minor)));
            }
        }
    }
}
