//! Numbers, months and amounts as readers of the report see them.
//!
//! Ratios are floats here: they are shown, never booked.

use std::fmt;

use tandem_domain::calendar::Day;
use tandem_domain::money::{Amount, Currency, Rate, Rounding, format_decimal};

/// What stands where there is no number.
pub(super) const NONE: &str = "–";

/// A calendar month.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Month(i32);

impl Month {
    /// The month of a day.
    pub(super) fn of(day: Day) -> Month {
        let (year, month, _) = day.ymd();
        Month(year * 12 + month as i32 - 1)
    }

    /// Its year.
    pub(super) fn year(self) -> i32 {
        self.0.div_euclid(12)
    }

    /// Its number in the year, from 1.
    pub(super) fn number(self) -> usize {
        self.0.rem_euclid(12) as usize + 1
    }

    /// Months since the beginning of the calendar, for axes.
    pub(super) fn index(self) -> i32 {
        self.0
    }

    /// The month with an index.
    pub(super) fn at(index: i32) -> Month {
        Month(index)
    }
}

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}", MONTHS[self.number() - 1], self.year()))
    }
}

/// A day in words: `3 Jan 2022`.
pub(super) fn date(day: Day) -> String {
    format!("{} {}", day.ymd().2, Month::of(day))
}

/// Puts commas between groups of three digits of a plain decimal number.
fn group(plain: &str) -> String {
    let (sign, plain) = plain
        .strip_prefix('-')
        .map_or(("", plain), |rest| ("\u{2212}", rest));
    let whole = plain.find('.').unwrap_or(plain.len());
    let mut text = sign.to_owned();
    for (index, digit) in plain.chars().enumerate() {
        if index > 0 && index < whole && (whole - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `10,000`.
pub(super) fn count(number: impl Into<u64>) -> String {
    group(&number.into().to_string())
}

/// A float with a fixed number of decimals: `1,234.5`.
pub(super) fn decimal(value: f64, decimals: usize) -> String {
    group(&format!("{value:.decimals$}"))
}

/// `part` of `whole` as a number; none if there is no whole.
pub(super) fn ratio(part: Amount, whole: Amount) -> Option<f64> {
    (whole.0 != 0).then(|| part.0 as f64 / whole.0 as f64)
}

/// `part` of `whole` things as a number; none if there is no whole.
pub(super) fn of(part: u32, whole: u32) -> Option<f64> {
    (whole != 0).then(|| f64::from(part) / f64::from(whole))
}

/// A ratio in per cent: `34.1%`.
pub(super) fn percent(ratio: Option<f64>) -> String {
    per_cent(ratio, 1)
}

/// A yearly rate in per cent: `14.40%`.
pub(super) fn rate(ratio: Option<f64>) -> String {
    per_cent(ratio, 2)
}

/// A rate as agreements write it, without superfluous decimals: `2.5%`.
pub(super) fn written(rate: Rate) -> String {
    let text = rate.to_string();
    let digits = text.trim_end_matches('%').trim_end_matches('0');
    format!("{}%", digits.trim_end_matches('.'))
}

fn per_cent(ratio: Option<f64>, decimals: usize) -> String {
    ratio.map_or_else(
        || NONE.to_owned(),
        |ratio| {
            let text = decimal(ratio * 100.0, decimals);
            // A rounded nothing has no sign.
            let unsigned = text.trim_start_matches('\u{2212}');
            let zero = unsigned.chars().all(|c| matches!(c, '0' | '.'));
            format!("{}%", if zero { unsigned } else { text.as_str() })
        },
    )
}

/// `text`, with `s` unless there is exactly one.
pub(super) fn things(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    format!(
        "{} {one}{}",
        count(number),
        if number == 1 { "" } else { "s" }
    )
}

/// Names as people list them: `a, b and c`.
pub(super) fn list(names: &[impl AsRef<str>]) -> String {
    match names {
        [] => String::new(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

/// The text with a small first letter.
pub(super) fn lower_first(text: &str) -> String {
    first_letter(text, |letter| letter.to_lowercase().to_string())
}

/// The text with a capital.
pub(super) fn upper_first(text: &str) -> String {
    first_letter(text, |letter| letter.to_uppercase().to_string())
}

fn first_letter(text: &str, change: impl Fn(char) -> String) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| change(first) + letters.as_str())
}

/// The unit in which a report shows its amounts: the currency, or millions of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unit {
    /// The currency.
    pub(super) currency: Currency,
    millions: bool,
}

impl Unit {
    /// The unit that suits amounts up to `largest`.
    pub(super) fn for_amounts(currency: Currency, largest: Amount) -> Unit {
        let ten_million = 10i64.pow(7 + currency.digits());
        Unit {
            currency,
            millions: largest.0.abs() >= ten_million,
        }
    }

    /// `million CNY` or `CNY`.
    pub(super) fn name(self) -> String {
        if self.millions {
            format!("million {}", self.currency)
        } else {
            self.currency.to_string()
        }
    }

    /// The amount in this unit, without its name; a dash for nothing.
    pub(super) fn show(self, amount: Amount) -> String {
        if amount.is_zero() {
            return NONE.to_owned();
        }
        if !self.millions {
            return minus(&self.currency.grouped(amount));
        }
        let hundredth = 10i128.pow(4 + self.currency.digits());
        let rounded = Rounding::HalfUp.divide(i128::from(amount.0), hundredth);
        group(&format_decimal(rounded, 2))
    }

    /// The amount in this unit as a sentence has it.
    pub(super) fn words(self, amount: Amount) -> String {
        if amount.is_zero() {
            return "nothing".to_owned();
        }
        self.show(amount)
    }

    /// The amount with the name of the unit.
    pub(super) fn full(self, amount: Amount) -> String {
        if amount.is_zero() {
            return "nothing".to_owned();
        }
        format!("{} {}", self.show(amount), self.name())
    }

    /// The amount as a number in this unit, for charts.
    pub(super) fn value(self, amount: Amount) -> f64 {
        let digits = self.currency.digits() + if self.millions { 6 } else { 0 };
        amount.0 as f64 / 10f64.powi(digits as i32)
    }
}

/// An amount to the minor unit; a dash for nothing.
pub(super) fn exact(currency: Currency, amount: Amount) -> String {
    if amount.is_zero() {
        NONE.to_owned()
    } else {
        minus(&currency.grouped(amount))
    }
}

/// An amount of money without its decimals: `94,670`.
pub(super) fn rounded(currency: Currency, amount: Amount) -> String {
    let unit = 10i128.pow(currency.digits());
    group(
        &Rounding::HalfUp
            .divide(i128::from(amount.0), unit)
            .to_string(),
    )
}

/// A true minus sign, as wide as a digit.
fn minus(text: &str) -> String {
    text.replacen('-', "\u{2212}", 1)
}

/// The mean of a sum of amounts.
pub(super) fn mean(sum: Amount, number: u32) -> Amount {
    match number {
        0 => Amount::ZERO,
        number => Amount(Rounding::HalfUp.divide(i128::from(sum.0), i128::from(number))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let cny: Currency = "CNY".parse().unwrap();
        assert_eq!(count(1_234_567u32), "1,234,567");
        assert_eq!(decimal(-1234.56, 1), "−1,234.6");
        assert_eq!(percent(Some(0.3412)), "34.1%");
        assert_eq!(percent(Some(-0.0001)), "0.0%");
        assert_eq!(percent(None), NONE);
        assert_eq!(list(&["a", "b", "c"]), "a, b and c");
        let (small, large) = (Amount(123_456_789), Amount(12_345_678_900));
        assert_eq!(
            Unit::for_amounts(cny, small).full(small),
            "1,234,567.89 CNY"
        );
        assert_eq!(
            Unit::for_amounts(cny, large).full(large),
            "123.46 million CNY"
        );
        let rates = ["12%", "0.8%", "10%", "0%"];
        assert_eq!(rates.map(|rate| written(rate.parse().unwrap())), rates);
        assert_eq!(rounded(cny, Amount(9_467_050)), "94,671");
        assert_eq!(date("2022-03-05".parse().unwrap()), "5 Mar 2022");
        assert_eq!(
            Month::of("2021-12-31".parse().unwrap()).to_string(),
            "Dec 2021"
        );
    }
}
