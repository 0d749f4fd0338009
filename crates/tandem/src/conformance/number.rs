//! Exact decimal numbers and points in time, as the published files write them.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;
use tandem_domain::calendar::Day;
use tandem_domain::money::Rounding;

use crate::table::parts;

/// Decimals beyond this are rounded away; the published figures have up to 18.
const MOST_DECIMALS: u32 = 20;

/// `mantissa / 10^decimals`, without superfluous zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    mantissa: i128,
    decimals: u32,
}

impl Decimal {
    pub(super) const ONE: Decimal = Decimal {
        mantissa: 1,
        decimals: 0,
    };
    pub(super) const ZERO: Decimal = Decimal {
        mantissa: 0,
        decimals: 0,
    };

    pub(super) fn new(mantissa: i128, decimals: u32) -> Decimal {
        let mut decimal = Decimal { mantissa, decimals };
        while decimal.decimals > 0 && decimal.mantissa % 10 == 0 {
            decimal.mantissa /= 10;
            decimal.decimals -= 1;
        }
        decimal
    }

    /// Reads digits with an optional sign, point and exponent, padded with blanks or not.
    pub(super) fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim();
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (sign, whole, fraction) = parts(number)?;
        if exponent.abs() > 40 {
            return None;
        }
        // Digits that cannot matter are dropped, so that the rest fits.
        let fraction = &fraction[..fraction.len().min(MOST_DECIMALS as usize + 2)];
        let digits = whole.bytes().chain(fraction.bytes());
        let mut decimals = i32::try_from(fraction.len()).ok()? - exponent;
        let mut mantissa: i128 = 0;
        for digit in digits {
            let value = mantissa.checked_mul(10)?;
            mantissa = value.checked_add(i128::from(digit - b'0'))?;
        }
        if decimals < 0 {
            mantissa = mantissa.checked_mul(10i128.checked_pow(decimals.unsigned_abs())?)?;
            decimals = 0;
        }
        let surplus = (decimals as u32).saturating_sub(MOST_DECIMALS);
        let mantissa = round(sign * mantissa, 10i128.checked_pow(surplus)?);
        Some(Decimal::new(mantissa, decimals as u32 - surplus))
    }

    /// A count of `10^-digits`, rounded half to even, if it fits the engine's integers.
    pub(super) fn units(self, digits: u32) -> Option<i64> {
        let count = match digits.checked_sub(self.decimals) {
            Some(more) => self.mantissa.checked_mul(10i128.checked_pow(more)?)?,
            None => round(self.mantissa, 10i128.checked_pow(self.decimals - digits)?),
        };
        i64::try_from(count).ok()
    }

    pub(super) fn times(self, other: Decimal) -> Option<Decimal> {
        let product = self.mantissa.checked_mul(other.mantissa)?;
        let decimals = self.decimals + other.decimals;
        let surplus = decimals.saturating_sub(MOST_DECIMALS);
        let product = round(product, 10i128.checked_pow(surplus)?);
        Some(Decimal::new(product, decimals - surplus))
    }

    pub(super) fn plus(self, other: Decimal) -> Option<Decimal> {
        let decimals = self.decimals.max(other.decimals);
        let at = |one: Decimal| {
            let factor = 10i128.checked_pow(decimals - one.decimals)?;
            one.mantissa.checked_mul(factor)
        };
        Some(Decimal::new(at(self)?.checked_add(at(other)?)?, decimals))
    }

    pub(super) fn negated(self) -> Decimal {
        Decimal::new(-self.mantissa, self.decimals)
    }

    pub(super) fn magnitude(self) -> Decimal {
        Decimal::new(self.mantissa.abs(), self.decimals)
    }

    pub(super) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    pub(super) fn is_positive(self) -> bool {
        self.mantissa > 0
    }

    /// True if the two are not further apart than `tolerance`.
    pub(super) fn is_near(self, other: Decimal, tolerance: Decimal) -> bool {
        let apart = self.plus(other.negated()).map(Decimal::magnitude);
        let room = apart.and_then(|apart| tolerance.plus(apart.negated()));
        room.is_some_and(|room| room.mantissa >= 0)
    }

    /// As a fraction of whole numbers.
    pub(super) fn fraction(self) -> Option<(i128, i128)> {
        Some((self.mantissa, 10i128.checked_pow(self.decimals)?))
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        let apart = self.plus(other.negated())?;
        Some(apart.mantissa.cmp(&0))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!(
            "{:0>width$}",
            self.mantissa.unsigned_abs(),
            width = self.decimals as usize + 1
        );
        let (whole, fraction) = digits.split_at(digits.len() - self.decimals as usize);
        let sign = if self.mantissa < 0 { "-" } else { "" };
        match fraction {
            "" => f.pad(&format!("{sign}{whole}")),
            _ => f.pad(&format!("{sign}{whole}.{fraction}")),
        }
    }
}

/// `numerator / denominator`, a half to the even neighbour. The denominator is positive.
pub(super) fn round(numerator: i128, denominator: i128) -> i128 {
    let (quotient, rest) = (
        numerator.div_euclid(denominator),
        numerator.rem_euclid(denominator),
    );
    let up = match rest.cmp(&(denominator - rest)) {
        Ordering::Less => false,
        Ordering::Greater => true,
        Ordering::Equal => quotient % 2 != 0,
    };
    quotient + i128::from(up)
}

/// How amounts are rounded throughout.
pub(super) const ROUNDING: Rounding = Rounding::HalfEven;

/// A point in time. Interest counts days; the seconds order events and are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Time {
    pub(super) day: Day,
    second: u32,
}

/// The last second of a day stands for its end.
const LAST_SECOND: u32 = 86_399;

impl Time {
    pub(super) fn midnight(day: Day) -> Time {
        Time { day, second: 0 }
    }

    /// The same time of another day.
    pub(super) fn on(self, day: Day) -> Time {
        Time { day, ..self }
    }

    /// The day as interest counts it: the last second is the next day's midnight.
    pub(super) fn counted(self, day: Day) -> Day {
        day + i32::from(self.second == LAST_SECOND)
    }

    /// Reads a date, with or without time and seconds; 24:00 is the next day's midnight.
    pub(super) fn parse(text: &str) -> Option<Time> {
        let text = text.trim();
        let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
        let day: Day = date.parse().ok()?;
        let time = time.strip_suffix('Z').unwrap_or(time);
        let time = time.split_once('.').map_or(time, |(time, _)| time);
        let parts: Vec<u32> = time
            .split(':')
            .map(|part| part.parse().ok().filter(|_| part.len() == 2))
            .collect::<Option<_>>()?;
        let (hour, minute, second) = match parts[..] {
            [hour, minute] => (hour, minute, 0),
            [hour, minute, second] => (hour, minute, second),
            _ => return None,
        };
        match (hour, minute, second) {
            (24, 0, 0) => Some(Time::midnight(day + 1)),
            (0..24, 0..60, 0..60) => Some(Time {
                day,
                second: 3_600 * hour + 60 * minute + second,
            }),
            _ => None,
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = (self.second / 3_600, self.second / 60 % 60, self.second % 60);
        match (hour, minute, second) {
            (0, 0, 0) => f.pad(&self.day.to_string()),
            (_, _, 0) => write!(f, "{}T{hour:02}:{minute:02}", self.day),
            _ => write!(f, "{}T{hour:02}:{minute:02}:{second:02}", self.day),
        }
    }
}

/// A JSON number, or text; anything else is none of these.
pub(super) fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("a decimal")
    }

    #[test]
    fn decimals_are_read_exactly_and_rounded_once() {
        for (text, written) in [
            ("  5000", "5000"),
            ("-0.10", "-0.1"),
            ("1.25e-3", "0.00125"),
            ("2E2", "200"),
            (".5", "0.5"),
            ("0.00000000000000000000049", "0"),
        ] {
            assert_eq!(decimal(text).to_string(), written);
        }
        for text in ["", "abc", "1,5", "1.2.3", "--1", "1e99", "."] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
        assert_eq!(decimal("2.5").units(0), Some(2));
        assert_eq!(decimal("-3.5").units(0), Some(-4));
        assert_eq!(decimal("0.08").units(14), Some(8_000_000_000_000));
        assert_eq!(decimal("99999999999999999999").units(0), None);
    }

    #[test]
    fn decimals_are_compared_within_a_tolerance() {
        let near = |a, b| decimal(a).is_near(decimal(b), decimal("1e-8"));
        assert!(near("33.972602739726", "33.97260273973"));
        assert!(near("0", "-0.00000001") && !near("0", "0.000000011"));
    }

    #[test]
    fn times_keep_their_seconds_and_count_whole_days() {
        let time = |text| Time::parse(text).expect("a time");
        let end = time("2013-12-31T23:59:59");
        assert_eq!(end.counted(end.day).to_string(), "2014-01-01");
        assert!(end < time("2014-01-01T00:00"));
        assert_eq!(time("2013-12-31T24:00"), time("2014-01-01"));
        assert_eq!(end.to_string(), "2013-12-31T23:59:59");
        assert_eq!(time("2014-01-01T00:00:00").to_string(), "2014-01-01");
        for text in [
            "",
            "2013-02-30",
            "2013-01-01T25:00",
            "2013-01-01T1:0",
            "01.01.2013",
        ] {
            assert_eq!(Time::parse(text), None, "{text}");
        }
    }
}
