//! Reading one value of a row.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::money::NumberError;

use super::decimal::{Decimal, clip};
use super::mapping::DateFormat;
use super::rows::{Fault, Row};

/// Longest text of a value, in bytes: words and codes, not stories.
const MAX_TEXT: usize = 200;

/// Where a value stands and how it is read.
pub(crate) struct Cell {
    pub(crate) source: Source,
    /// Removed before the value is read.
    pub(crate) strip: Vec<String>,
    /// Texts that mean that there is no value, besides an empty one.
    pub(crate) missing: Vec<String>,
    pub(crate) required: bool,
}

/// Where a value comes from, columns by their places.
pub(crate) enum Source {
    /// The mapping itself.
    Constant(Value),
    /// The first of these columns that is not empty.
    Columns(Vec<usize>, Reading),
    /// The first column over the second.
    Quotient([usize; 2], Number),
}

/// How a text becomes a value.
pub(crate) enum Reading {
    Number(Number),
    Date(Date),
    /// A word as it stands, or as the mapping calls it.
    Text(Option<BTreeMap<String, String>>),
}

/// A number as a count of `10^-digits`.
#[derive(Clone, Copy)]
pub(crate) struct Number {
    pub(crate) factor: Decimal,
    pub(crate) digits: u32,
    pub(crate) sign: Sign,
    /// It is not rounded: what is finer is an error.
    pub(crate) exact: bool,
}

/// Which numbers make sense.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Any,
    NotNegative,
    Positive,
}

/// A date that may be moved.
pub(crate) struct Date {
    pub(crate) format: DateFormat,
    pub(crate) spread: bool,
    pub(crate) shift_months: i32,
}

impl Cell {
    /// The value in a row; the row's key gives a spread date its day.
    pub(crate) fn read(&self, row: &Row<'_>, key: &str) -> Result<Value, Fault> {
        match &self.source {
            Source::Constant(value) => Ok(value.clone()),
            Source::Columns(places, reading) => {
                for &place in places {
                    if let Some(text) = self.text(row, place)? {
                        return reading
                            .read(&text, key)
                            .map_err(|message| Fault::at(place, message));
                    }
                }
                self.nothing(places.last().copied())
            }
            Source::Quotient([dividend, divisor], number) => {
                let (Some(above), Some(below)) =
                    (self.text(row, *dividend)?, self.text(row, *divisor)?)
                else {
                    return self.nothing(Some(*divisor));
                };
                let shown = format!("{above} / {below}");
                let below: Decimal = below
                    .parse()
                    .map_err(|error: NumberError| Fault::at(*divisor, error.to_string()))?;
                if below.is_zero() {
                    return self.nothing(Some(*divisor));
                }
                number
                    .read(&above, below, &shown)
                    .map_err(|message| Fault::at(*dividend, message))
            }
        }
    }

    fn text<'r>(&self, row: &'r Row<'_>, place: usize) -> Result<Option<Cow<'r, str>>, Fault> {
        let mut text = row.text(place)?;
        for part in &self.strip {
            if text.contains(part) {
                text = Cow::Owned(text.replace(part, "").trim().to_owned());
            }
        }
        let missing = text.is_empty() || self.missing.iter().any(|missing| *missing == text);
        Ok((!missing).then_some(text))
    }

    /// Something that is wrong with what stands in the column.
    pub(crate) fn fault(&self, message: String) -> Fault {
        let place = match &self.source {
            Source::Columns(places, _) => places.first().copied(),
            Source::Quotient([dividend, _], _) => Some(*dividend),
            Source::Constant(_) => None,
        };
        Fault { place, message }
    }

    fn nothing(&self, place: Option<usize>) -> Result<Value, Fault> {
        match self.required {
            true => Err(Fault {
                place,
                message: "is missing; every row needs a value here".to_owned(),
            }),
            false => Ok(Value::Missing),
        }
    }
}

impl Reading {
    /// Reads a text that is not empty.
    pub(crate) fn read(&self, text: &str, key: &str) -> Result<Value, String> {
        match self {
            Reading::Number(number) => number.read(text, Decimal::ONE, text),
            Reading::Date(date) => date.read(text, key).map(|day| Value::Number(day.0.into())),
            Reading::Text(words) => read_text(text, words.as_ref()),
        }
    }
}

impl Number {
    fn read(&self, text: &str, divisor: Decimal, shown: &str) -> Result<Value, String> {
        let decimal: Decimal = text
            .parse()
            .map_err(|error: NumberError| error.to_string())?;
        let (number, exact) = decimal
            .scaled(self.factor, divisor, self.digits)
            .ok_or_else(|| NumberError::TooLarge(clip(shown).into_owned()).to_string())?;
        let shown = || clip(shown);
        match self.sign {
            _ if self.exact && !exact => Err(match self.digits {
                0 => format!("`{}` is not a whole number", shown()),
                digits => NumberError::TooPrecise {
                    text: shown().into_owned(),
                    digits,
                }
                .to_string(),
            }),
            Sign::NotNegative if number < 0 => Err(format!(
                "`{}` is negative; write zero or more, or allow it in the mapping with negative = true",
                shown()
            )),
            Sign::Positive if number <= 0 => Err(format!("`{}` is not above zero", shown())),
            _ => Ok(Value::Number(number)),
        }
    }
}

impl Date {
    fn read(&self, text: &str, key: &str) -> Result<Day, String> {
        let day = self.format.read(text).ok_or_else(|| {
            let (name, example) = self.format.describe();
            format!(
                "`{}` is not a date of the form {name}, for example {example}",
                clip(text)
            )
        })?;
        let day = if self.spread { day + spread(key) } else { day };
        shift(day, self.shift_months).ok_or_else(|| {
            format!(
                "`{}`, moved by {} months, is no date",
                clip(text),
                self.shift_months
            )
        })
    }
}

impl DateFormat {
    /// True if it names only the month.
    pub(crate) fn is_month(self) -> bool {
        matches!(self, DateFormat::IsoMonth | DateFormat::NamedMonth)
    }

    fn describe(self) -> (&'static str, &'static str) {
        match self {
            DateFormat::Iso => ("YYYY-MM-DD", "2018-02-28"),
            DateFormat::IsoMonth => ("YYYY-MM", "2018-02"),
            DateFormat::NamedMonth => ("Mon-YYYY", "Feb-2018"),
            DateFormat::MonthFirst => ("M/D/YYYY", "2/28/2018"),
            DateFormat::DayFirst => ("DD.MM.YYYY", "28.02.2018"),
            DateFormat::YearFirst => ("YYYY/M/D", "2018/2/28"),
            DateFormat::Digits => ("YYYYMMDD", "20180228"),
        }
    }

    fn read(self, text: &str) -> Option<Day> {
        let year = |part| number(part, 4..=4).map(|year| year as i32);
        let two = |part| number(part, 2..=2);
        let short = |part| number(part, 1..=2);
        let parted = |by| {
            let (first, rest) = text.split_once(by)?;
            let (second, third) = rest.split_once(by)?;
            Some((first, second, third))
        };
        match self {
            DateFormat::Iso => text.parse().ok(),
            DateFormat::IsoMonth => {
                let (of_year, month) = text.split_once('-')?;
                Day::from_ymd(year(of_year)?, two(month)?, 1)
            }
            DateFormat::NamedMonth => {
                let (name, of_year) = text.split_once('-')?;
                Day::from_ymd(year(of_year)?, named_month(name)?, 1)
            }
            DateFormat::MonthFirst => {
                let (month, day, of_year) = parted('/')?;
                Day::from_ymd(year(of_year)?, short(month)?, short(day)?)
            }
            DateFormat::DayFirst => {
                let (day, month, of_year) = parted('.')?;
                Day::from_ymd(year(of_year)?, short(month)?, short(day)?)
            }
            DateFormat::YearFirst => {
                let (of_year, month, day) = parted('/')?;
                Day::from_ymd(year(of_year)?, short(month)?, short(day)?)
            }
            DateFormat::Digits => {
                number(text, 8..=8)?;
                Day::from_ymd(year(&text[..4])?, two(&text[4..6])?, two(&text[6..])?)
            }
        }
    }
}

/// Digits and nothing else, as many as `width` allows.
fn number(part: &str, width: RangeInclusive<usize>) -> Option<u32> {
    let fits = width.contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| part.parse().ok()).flatten()
}

fn named_month(name: &str) -> Option<u32> {
    const NAMES: [&str; 12] = [
        "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
    ];
    (1..)
        .zip(NAMES)
        .find(|(_, known)| known.eq_ignore_ascii_case(name))
        .map(|(month, _)| month)
}

/// Days after the first of the month, 0 to 27. The hash (FNV-1a and a last mixing, for keys that
/// differ at their end) is part of what a mapping means: another one would move every application.
fn spread(key: &str) -> i32 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    ((mixed >> 32) % 28) as i32
}

/// The same day of another month, or that month's last day if it is shorter.
fn shift(day: Day, months: i32) -> Option<Day> {
    let (year, month, day) = day.ymd();
    let index = year * 12 + month as i32 - 1;
    let index = index.checked_add(months)?;
    let (year, month) = (index.div_euclid(12), index.rem_euclid(12) as u32 + 1);
    (1..=day)
        .rev()
        .find_map(|day| Day::from_ymd(year, month, day))
}

fn read_text(text: &str, words: Option<&BTreeMap<String, String>>) -> Result<Value, String> {
    if let Some(words) = words {
        return words
            .get(text)
            .map(|word| Value::Text(word.as_str().into()))
            .ok_or_else(|| {
                let known: Vec<_> = words.keys().take(20).map(String::as_str).collect();
                format!(
                    "`{}` is not listed in the mapping's values; there are {}",
                    clip(text),
                    known.join(", ")
                )
            });
    }
    if text.len() > MAX_TEXT {
        return Err(format!(
            "is {} bytes long; a word or code has at most {MAX_TEXT}",
            text.len()
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(format!(
            "`{}` holds a line end or another control character",
            clip(text)
        ));
    }
    Ok(Value::Text(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(format: DateFormat, text: &str) -> Option<String> {
        format.read(text).map(|day| day.to_string())
    }

    #[test]
    fn each_date_format_reads_its_own_form_only() {
        use DateFormat::{DayFirst, Digits, Iso, IsoMonth, MonthFirst, NamedMonth, YearFirst};
        let formats = [
            Iso, IsoMonth, NamedMonth, MonthFirst, DayFirst, YearFirst, Digits,
        ];
        for format in formats {
            for other in formats {
                let (_, example) = other.describe();
                let expected = if format.is_month() {
                    "2018-02-01"
                } else {
                    "2018-02-28"
                };
                let expected = (format == other).then(|| expected.to_owned());
                assert_eq!(day(format, example), expected, "{format:?} {example}");
            }
        }
        assert_eq!(day(NamedMonth, "mar-2018"), Some("2018-03-01".into()));
        assert_eq!(day(MonthFirst, "02/08/2018"), Some("2018-02-08".into()));
        for text in [
            "2/30/2018",
            "2/3/18",
            "2/3/2018/4",
            "2//2018",
            "13/1/2018",
            "-2/3/2018",
            "é/3/2018",
        ] {
            assert_eq!(day(MonthFirst, text), None, "{text}");
        }
        assert_eq!(day(DayFirst, "3.12.2018"), Some("2018-12-03".into()));
        for text in ["28.02.18", "12.13.2018", "28.02.2018.", "28,02,2018"] {
            assert_eq!(day(DayFirst, text), None, "{text}");
        }
        for text in ["20180229", "2018é12", "0000000é", "２０18"] {
            assert_eq!(day(Digits, text), None, "{text}");
        }
    }

    #[test]
    fn a_shift_keeps_the_day_where_it_can() {
        let shifted =
            |text: &str, months| shift(text.parse().unwrap(), months).map(|day| day.to_string());
        assert_eq!(shifted("2018-03-31", 48), Some("2022-03-31".into()));
        assert_eq!(shifted("2018-03-31", -1), Some("2018-02-28".into()));
        assert_eq!(shifted("2018-01-15", -13), Some("2016-12-15".into()));
        assert_eq!(shifted("2018-01-15", 12 * 8_000), None);
        assert_eq!(shifted("2018-01-15", i32::MIN), None);
        assert_eq!(shifted("2018-01-15", i32::MAX), None);
    }

    #[test]
    fn keys_spread_evenly_and_for_ever_alike() {
        assert_eq!(["M-00001", "M-00002", "M-00003"].map(spread), [15, 3, 25]);
        let mut counts = [0; 28];
        for index in 0..28_000 {
            counts[spread(&format!("M-{index:05}")) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
    }
}
