//! Money in integer minor units, rates in hundred-millionths, and the one place where rounding
//! happens.
//!
//! Inside a book every amount is in the currency of its agreement, so [`Amount`] carries the
//! number alone; [`Money`] adds the currency wherever an amount crosses the boundary.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Neg, Sub, SubAssign};
use std::str::FromStr;

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::Deserialize;
use thiserror::Error;

/// An amount in minor units (cents, fen) of the book's currency.
///
/// Arithmetic panics on overflow instead of wrapping; amounts that enter a book are bounded by
/// [`Amount::MAX`], almost four orders of magnitude below the limit of the type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Amount(#[n(0)] pub i64);

impl Amount {
    /// Nothing.
    pub const ZERO: Amount = Amount(0);
    /// The largest amount a command may carry: ten million million major units of two digits.
    pub const MAX: Amount = Amount(1_000_000_000_000_000);

    /// True if the amount is above zero.
    pub fn is_positive(self) -> bool {
        self.0 > 0
    }

    /// True if the amount is zero.
    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// `self` less `other`, but never below zero.
    pub fn saturating_less(self, other: Amount) -> Amount {
        Amount((self.0 - other.0).max(0))
    }

    /// The nearest multiple of another amount, by a rule for halves.
    pub fn to_multiple(self, of: Amount, rounding: Rounding) -> Amount {
        Amount(rounding.divide(self.0.into(), of.0.into()) * of.0)
    }

    /// The part of the amount that `rate` takes, rounded.
    pub fn at(self, rate: Rate, rounding: Rounding) -> Amount {
        Amount(rounding.divide(i128::from(self.0) * i128::from(rate.0), Rate::SCALE))
    }
}

impl From<Amount> for i128 {
    fn from(amount: Amount) -> i128 {
        amount.0.into()
    }
}

impl Add for Amount {
    type Output = Amount;
    fn add(self, other: Amount) -> Amount {
        Amount(self.0.checked_add(other.0).expect("amount overflow"))
    }
}

impl Sub for Amount {
    type Output = Amount;
    fn sub(self, other: Amount) -> Amount {
        Amount(self.0.checked_sub(other.0).expect("amount overflow"))
    }
}

impl Neg for Amount {
    type Output = Amount;
    fn neg(self) -> Amount {
        Amount(-self.0)
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Amount) {
        *self = *self + other;
    }
}

impl SubAssign for Amount {
    fn sub_assign(&mut self, other: Amount) {
        *self = *self - other;
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Amount>>(amounts: I) -> Amount {
        amounts.fold(Amount::ZERO, |sum, amount| sum + amount)
    }
}

/// How a quotient becomes a whole number. Every call that rounds names one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rounding {
    /// To the nearest; a half goes away from zero.
    #[default]
    HalfUp,
    /// To the nearest; a half goes to the even neighbour.
    HalfEven,
    /// Towards negative infinity.
    Down,
}

const TOO_LARGE: &str = "rounded quotient exceeds 64 bits";

impl Rounding {
    /// `numerator / denominator`, rounded. The denominator is positive.
    pub fn divide(self, numerator: i128, denominator: i128) -> i64 {
        debug_assert!(denominator > 0);
        // 64-bit division is several times faster, and most products fit.
        if let (Ok(n), Ok(d)) = (u64::try_from(numerator), u64::try_from(denominator)) {
            let (quotient, remainder) = (n / d, n % d);
            let up = match self {
                Rounding::Down => false,
                Rounding::HalfUp => remainder >= d - remainder,
                Rounding::HalfEven => {
                    remainder > d - remainder || (remainder == d - remainder && quotient % 2 != 0)
                }
            };
            return i64::try_from(quotient + u64::from(up)).expect(TOO_LARGE);
        }
        self.divide_wide(numerator, denominator)
    }

    /// The same, for numbers that are negative or wide.
    #[cold]
    fn divide_wide(self, numerator: i128, denominator: i128) -> i64 {
        let quotient = numerator.div_euclid(denominator);
        let remainder = numerator.rem_euclid(denominator);
        let up = match (self, (2 * remainder).cmp(&denominator)) {
            (Rounding::Down, _) | (_, std::cmp::Ordering::Less) => false,
            (_, std::cmp::Ordering::Greater) => true,
            (Rounding::HalfUp, std::cmp::Ordering::Equal) => numerator > 0,
            (Rounding::HalfEven, std::cmp::Ordering::Equal) => quotient % 2 != 0,
        };
        i64::try_from(quotient + i128::from(up)).expect(TOO_LARGE)
    }
}

/// A ratio in hundred-millionths: `Rate(1_000_000)` is one per cent. A yearly rate names its day
/// count beside it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Rate(#[n(0)] pub i64);

impl Rate {
    /// The denominator of every rate.
    pub const SCALE: i128 = 100_000_000;
    /// Nothing.
    pub const ZERO: Rate = Rate(0);
    /// The whole.
    pub const ONE: Rate = Rate(100_000_000);

    /// `part` of `whole`, rounded half up; zero if the whole is zero.
    pub fn of(part: Amount, whole: Amount) -> Rate {
        if whole.0 <= 0 {
            return Rate::ZERO;
        }
        Rate(Rounding::HalfUp.divide(i128::from(part.0) * Rate::SCALE, i128::from(whole.0)))
    }
}

/// What is wrong with a number written by a person.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NumberError {
    /// There is nothing to read.
    #[error("a number is missing")]
    Empty,
    /// Something other than digits, one point and a leading sign.
    #[error("`{0}` is not a number; write digits with an optional point, for example 1234.50")]
    NotANumber(String),
    /// More decimals than the unit has.
    #[error("`{text}` has more than {digits} decimals")]
    TooPrecise {
        /// What was read.
        text: String,
        /// How many decimals the unit has.
        digits: u32,
    },
    /// Beyond [`Amount::MAX`].
    #[error("`{0}` is too large")]
    TooLarge(String),
    /// A rate without its per cent sign.
    #[error("`{0}` is not a rate; write it in per cent, for example \"14.4%\"")]
    NotARate(String),
    /// Money without its currency.
    #[error(
        "`{0}` is not an amount of money; write number and currency, for example \"200000.00 CNY\""
    )]
    NotMoney(String),
    /// Not three capital letters.
    #[error("`{0}` is not a currency; write its ISO 4217 code, for example \"CNY\"")]
    NotACurrency(String),
}

/// Reads a decimal number as an integer count of `10^-digits`.
///
/// With a `rounding`, surplus decimals are rounded (outside data often carries noise such as
/// `0.11220000000000001`); without one they are an error.
pub fn parse_decimal(
    text: &str,
    digits: u32,
    rounding: Option<Rounding>,
) -> Result<i64, NumberError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(NumberError::Empty);
    }
    let (negative, unsigned) = match trimmed.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, trimmed.strip_prefix('+').unwrap_or(trimmed)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !is_digits(whole) || !is_digits(fraction) {
        return Err(NumberError::NotANumber(trimmed.to_owned()));
    }
    let too_large = || NumberError::TooLarge(trimmed.to_owned());
    let kept = fraction.len().min(digits as usize + 20);
    let mut value: i128 = 0;
    for byte in whole.bytes().chain(fraction.bytes().take(kept)) {
        let shifted = value.checked_mul(10).ok_or_else(too_large)?;
        value = shifted
            .checked_add(i128::from(byte - b'0'))
            .ok_or_else(too_large)?;
    }
    let scaled = if kept <= digits as usize {
        value
            .checked_mul(10i128.pow(digits - kept as u32))
            .ok_or_else(too_large)?
    } else {
        let surplus = 10i128
            .checked_pow(kept as u32 - digits)
            .ok_or_else(too_large)?;
        match rounding {
            Some(rounding) => {
                if value / surplus > i128::from(i64::MAX) {
                    return Err(too_large());
                }
                i128::from(rounding.divide(value, surplus))
            }
            None if value % surplus == 0 => value / surplus,
            None => {
                return Err(NumberError::TooPrecise {
                    text: trimmed.to_owned(),
                    digits,
                });
            }
        }
    };
    let value = i64::try_from(scaled).map_err(|_| too_large())?;
    if value > Amount::MAX.0 {
        return Err(too_large());
    }
    Ok(if negative { -value } else { value })
}

/// Writes an integer count of `10^-digits` as a decimal number, all digits shown.
pub fn format_decimal(value: i64, digits: u32) -> String {
    let unit = 10u64.pow(digits);
    let magnitude = value.unsigned_abs();
    let sign = if value < 0 { "-" } else { "" };
    if digits == 0 {
        return format!("{sign}{magnitude}");
    }
    format!(
        "{sign}{}.{:0width$}",
        magnitude / unit,
        magnitude % unit,
        width = digits as usize
    )
}

impl FromStr for Rate {
    type Err = NumberError;
    /// Reads `"14.4%"`.
    fn from_str(text: &str) -> Result<Rate, NumberError> {
        let number = text
            .trim()
            .strip_suffix('%')
            .ok_or_else(|| NumberError::NotARate(text.to_owned()))?;
        Ok(Rate(parse_decimal(number, 6, None)?))
    }
}

impl fmt::Display for Rate {
    /// Writes per cent with at least two decimals and no superfluous zero: `14.40%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format_decimal(self.0, 6);
        let (whole, decimals) = text.split_once('.').expect("six decimals were written");
        let kept = decimals.trim_end_matches('0').len().max(2);
        f.pad(&format!("{whole}.{}%", &decimals[..kept]))
    }
}

/// A currency by its ISO 4217 code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Number of digits of the minor unit, by ISO 4217.
    pub fn digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }

    /// The code.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a currency code is ASCII")
    }

    /// Reads an amount of this currency without its code: `1,234.50`.
    pub fn amount(self, text: &str) -> Result<Amount, NumberError> {
        parse_decimal(&text.replace(',', ""), self.digits(), None).map(Amount)
    }

    /// Writes an amount of this currency without its code: `1234.50`.
    pub fn plain(self, amount: Amount) -> String {
        format_decimal(amount.0, self.digits())
    }

    /// Writes an amount with thousands separators and code: `1,234.50 CNY`.
    pub fn show(self, amount: Amount) -> String {
        format!("{} {}", self.grouped(amount), self.code())
    }

    /// Writes an amount with thousands separators, without its code: `1,234.50`.
    pub fn grouped(self, amount: Amount) -> String {
        let plain = self.plain(amount);
        let (whole, fraction) = plain
            .split_once('.')
            .map_or((plain.as_str(), None), |(w, f)| (w, Some(f)));
        let digits = whole.trim_start_matches('-');
        let mut text = String::with_capacity(plain.len() + digits.len() / 3 + 1);
        if amount.0 < 0 {
            text.push('-');
        }
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index) % 3 == 0 {
                text.push(',');
            }
            text.push(digit);
        }
        if let Some(fraction) = fraction {
            text.push('.');
            text.push_str(fraction);
        }
        text
    }
}

impl FromStr for Currency {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Currency, NumberError> {
        match text.as_bytes() {
            &[a, b, c] if text.bytes().all(|byte| byte.is_ascii_uppercase()) => {
                Ok(Currency([a, b, c]))
            }
            _ => Err(NumberError::NotACurrency(text.to_owned())),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An amount with its currency, as people write it: `200000.00 CNY`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money {
    /// Minor units.
    pub amount: Amount,
    /// Of which currency.
    pub currency: Currency,
}

impl FromStr for Money {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Money, NumberError> {
        let (number, code) = text
            .trim()
            .rsplit_once(' ')
            .ok_or_else(|| NumberError::NotMoney(text.to_owned()))?;
        let currency: Currency = code.parse()?;
        Ok(Money {
            amount: currency.amount(number)?,
            currency,
        })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.currency.show(self.amount))
    }
}

/// Reads a type from its text form and describes that form in the JSON Schema.
macro_rules! written_as_text {
    ($type:ty, $pattern:literal, $example:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern, "examples": [$example] })
            }
        }
    };
}
pub(crate) use written_as_text;

written_as_text!(Rate, r"^-?[0-9]+(\.[0-9]{1,6})?%$", "14.4%");
written_as_text!(Currency, "^[A-Z]{3}$", "CNY");
written_as_text!(Money, r"^-?[0-9,]+(\.[0-9]+)? [A-Z]{3}$", "200000.00 CNY");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_names_its_half() {
        let cases = [
            // numerator, denominator, half up, half even, down
            (5, 2, 3, 2, 2),
            (7, 2, 4, 4, 3),
            (-5, 2, -3, -2, -3),
            (-7, 2, -4, -4, -4),
            (1, 3, 0, 0, 0),
            (2, 3, 1, 1, 0),
            (-1, 3, 0, 0, -1),
        ];
        for (numerator, denominator, half_up, half_even, down) in cases {
            let rounded = [Rounding::HalfUp, Rounding::HalfEven, Rounding::Down]
                .map(|rounding| rounding.divide(numerator, denominator));
            assert_eq!(
                rounded,
                [half_up, half_even, down],
                "{numerator}/{denominator}"
            );
        }
    }

    #[test]
    fn decimals_are_read_exactly() {
        assert_eq!(parse_decimal("1234.5", 2, None), Ok(123_450));
        assert_eq!(parse_decimal("-0.01", 2, None), Ok(-1));
        assert_eq!(parse_decimal("7.500", 2, None), Ok(750));
        assert_eq!(
            parse_decimal("0.11220000000000001", 8, Some(Rounding::HalfUp)),
            Ok(11_220_000)
        );
    }

    #[test]
    fn number_errors_say_what_to_write() {
        let message = |text, digits| parse_decimal(text, digits, None).map_err(|e| e.to_string());
        assert_eq!(message("", 2), Err("a number is missing".into()));
        assert_eq!(
            message("1.234", 2),
            Err("`1.234` has more than 2 decimals".into())
        );
        assert_eq!(
            message("99999999999999999999", 2),
            Err("`99999999999999999999` is too large".into())
        );
        assert_eq!(
            message("12,5", 2),
            Err(
                "`12,5` is not a number; write digits with an optional point, for example 1234.50"
                    .into()
            )
        );
        assert_eq!(
            "14.4".parse::<Rate>().map_err(|e| e.to_string()),
            Err("`14.4` is not a rate; write it in per cent, for example \"14.4%\"".into())
        );
        assert_eq!(
            "200000".parse::<Money>().map_err(|e| e.to_string()),
            Err("`200000` is not an amount of money; write number and currency, for example \"200000.00 CNY\"".into())
        );
        assert_eq!(
            "200000 Yuan".parse::<Money>().map_err(|e| e.to_string()),
            Err("`Yuan` is not a currency; write its ISO 4217 code, for example \"CNY\"".into())
        );
    }

    #[test]
    fn money_is_shown_with_its_currency() {
        let money: Money = "1,234,567.80 CNY".parse().expect("well-formed");
        assert_eq!(money.amount, Amount(123_456_780));
        assert_eq!(money.to_string(), "1,234,567.80 CNY");
        assert_eq!(
            "-1200 JPY".parse::<Money>().map(|m| m.to_string()),
            Ok("-1,200 JPY".into())
        );
        assert_eq!(
            "14.4%".parse::<Rate>().map(|r| r.to_string()),
            Ok("14.40%".into())
        );
    }
}
