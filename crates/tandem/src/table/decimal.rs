//! Exact decimal numbers between the text of a cell and the one rounding of its value.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::Deserialize;

use tandem_domain::money::{Amount, NumberError, Rounding};

/// Decimals beyond this are dropped: they are noise of binary floats, such as
/// `0.11220000000000001`, and rounding a half up does not need them.
const MAX_DECIMALS: usize = 9;

/// `mantissa / 10^decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decimal {
    mantissa: i128,
    decimals: u32,
}

impl Decimal {
    pub(crate) const ONE: Decimal = Decimal {
        mantissa: 1,
        decimals: 0,
    };

    pub(crate) fn is_zero(self) -> bool {
        self.mantissa == 0
    }

    pub(crate) fn is_positive(self) -> bool {
        self.mantissa > 0
    }

    /// `self * factor / divisor` as a count of `10^-digits`, rounded half up, and whether that is
    /// exact; nothing if it is beyond [`Amount::MAX`]. The divisor is not zero.
    pub(crate) fn scaled(
        self,
        factor: Decimal,
        divisor: Decimal,
        digits: u32,
    ) -> Option<(i64, bool)> {
        let sign = divisor.mantissa.signum();
        let numerator = self
            .mantissa
            .checked_mul(factor.mantissa * sign)?
            .checked_mul(10i128.checked_pow(divisor.decimals + digits)?)?;
        let denominator = divisor
            .mantissa
            .abs()
            .checked_mul(10i128.checked_pow(self.decimals + factor.decimals)?)?;
        if (numerator / denominator).abs() > i128::from(Amount::MAX.0) {
            return None;
        }
        Some((
            Rounding::HalfUp.divide(numerator, denominator),
            numerator % denominator == 0,
        ))
    }
}

impl FromStr for Decimal {
    type Err = NumberError;
    fn from_str(text: &str) -> Result<Decimal, NumberError> {
        if text.is_empty() {
            return Err(NumberError::Empty);
        }
        let Some((sign, whole, fraction)) = parts(text) else {
            return Err(NumberError::NotANumber(clip(text).into_owned()));
        };
        if whole.len() > 15 {
            return Err(NumberError::TooLarge(clip(text).into_owned()));
        }
        let fraction = &fraction[..fraction.len().min(MAX_DECIMALS)];
        let digits = whole.bytes().chain(fraction.bytes());
        let mantissa = digits.fold(0, |sum, byte| sum * 10 + i128::from(byte - b'0'));
        Ok(Decimal {
            mantissa: sign * mantissa,
            decimals: fraction.len() as u32,
        })
    }
}

/// Sign, digits before the point without zeros in front, and digits behind it.
pub(crate) fn parts(number: &str) -> Option<(i128, &str, &str)> {
    let (sign, unsigned) = match number.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let fits = whole.len() + fraction.len() > 0 && is_digits(whole) && is_digits(fraction);
    fits.then(|| (sign, whole.trim_start_matches('0'), fraction))
}

/// A decimal factor, written as text so that it is exact: `"6.5"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Factor(pub(crate) Decimal);

impl TryFrom<String> for Factor {
    type Error = String;
    fn try_from(text: String) -> Result<Factor, String> {
        let decimal: Decimal = text
            .parse()
            .map_err(|error: NumberError| error.to_string())?;
        let small = decimal.mantissa < 1_000_000_000_000;
        if decimal.is_positive() && small {
            Ok(Factor(decimal))
        } else {
            Err(format!(
                "`{text}` is no factor; write a number above zero of at most 12 digits"
            ))
        }
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> Cow<'static, str> {
        "Factor".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": r"^[0-9]+(\.[0-9]{1,9})?$",
            "examples": ["6.5"],
        })
    }
}

/// A value as it can stand in a message: a cell may hold a megabyte, or bytes that would move the
/// cursor of a terminal.
pub(crate) fn clip(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 40;
    let plain = !text.chars().any(char::is_control);
    if plain && text.len() <= LONGEST {
        return text.into();
    }
    let shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            escaped
                .clone()
                .into_iter()
                .flatten()
                .chain(escaped.is_none().then_some(c))
        })
        .collect();
    let rest = if text.chars().nth(LONGEST).is_some() {
        "…"
    } else {
        ""
    };
    format!("{shown}{rest}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_product_or_quotient_is_rounded_once() {
        let scaled = |text: &str, factor: &str, divisor: &str, digits| {
            decimal(text).scaled(decimal(factor), decimal(divisor), digits)
        };
        assert_eq!(scaled("652.53", "6.5", "1", 2), Some((424_145, false))); // 4241.445
        assert_eq!(scaled("-652.53", "6.5", "1", 2), Some((-424_145, false)));
        assert_eq!(scaled("0.001", "6.5", "1", 2), Some((1, false))); // not 0.00 * 6.5
        assert_eq!(scaled("18.01", "1", "1", 6), Some((18_010_000, true)));
        assert_eq!(
            scaled("0.11220000000000001", "1", "1", 8),
            Some((11_220_000, true))
        );
        assert_eq!(scaled("38767", "1", "70795", 8), Some((54_759_517, false)));
        assert_eq!(scaled("1", "1", "-4", 8), Some((-25_000_000, true)));
        assert_eq!(scaled("999999999999999", "1", "1", 2), None);
        assert_eq!(
            scaled("999999999999999.999999999", "99999999", "0.000000001", 8),
            None
        );
    }

    #[test]
    fn texts_in_messages_are_short_and_harmless() {
        assert_eq!(clip("abc"), "abc");
        assert_eq!(clip("a\u{1b}[2J\0"), r"a\u{1b}[2J\u{0}");
        assert_eq!(clip(&"x".repeat(1_000)), format!("{}…", "x".repeat(40)));
        assert_eq!(clip(&"é".repeat(40)), "é".repeat(40));
        assert_eq!(
            "9".repeat(60).parse::<Decimal>().unwrap_err().to_string(),
            format!("`{}…` is too large", "9".repeat(40))
        );
    }

    #[test]
    fn a_factor_is_above_zero() {
        let factor =
            |text: &str| Factor::try_from(text.to_owned()).map_err(|error| error.to_string());
        assert_eq!(
            factor("6.5"),
            Ok(Factor(Decimal {
                mantissa: 65,
                decimals: 1
            }))
        );
        assert_eq!(
            factor("0"),
            Err("`0` is no factor; write a number above zero of at most 12 digits".into())
        );
        assert_eq!(
            factor("6,5"),
            Err(
                "`6,5` is not a number; write digits with an optional point, for example 1234.50"
                    .into()
            )
        );
    }
}
