//! The data of an application: named, typed fields, and who may see them.

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::calendar::Day;
use crate::money::{Currency, Rate, Rounding, parse_decimal};

/// What a field holds, and so how its text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An amount in the agreement's currency.
    Money,
    /// A ratio or a yearly rate.
    Rate,
    /// A whole number.
    Integer,
    /// A date.
    Date,
    /// A word or code.
    Text,
}

impl Kind {
    /// Reads a literal as people write it in agreements and policies: `30000 CNY`, `40%`, `12`,
    /// `2018-02-28`, `own`.
    pub fn read_literal(self, text: &str, currency: Currency) -> Result<Value, String> {
        let text = text.trim();
        match self {
            Kind::Money => {
                let money: crate::money::Money =
                    text.parse().map_err(|error| format!("{error}"))?;
                if money.currency != currency {
                    return Err(format!(
                        "`{text}` is not in the agreement's currency; write it in {currency}"
                    ));
                }
                Ok(Value::Number(money.amount.0))
            }
            Kind::Rate => Ok(Value::Number(
                text.parse::<Rate>().map_err(|error| format!("{error}"))?.0,
            )),
            Kind::Integer => Ok(Value::Number(
                parse_decimal(text, 0, None).map_err(|error| format!("{error}"))?,
            )),
            Kind::Date => Ok(Value::Number(
                text.parse::<Day>()
                    .map_err(|error| format!("{error}"))?
                    .0
                    .into(),
            )),
            Kind::Text => Ok(Value::Text(text.into())),
        }
    }

    /// Writes a value as people read it.
    pub fn show(self, value: &Value, currency: Currency) -> String {
        match (self, value) {
            (_, Value::Missing) => "–".to_owned(),
            (_, Value::Text(text)) => text.to_string(),
            (Kind::Money, Value::Number(number)) => currency.show(crate::money::Amount(*number)),
            (Kind::Rate, Value::Number(number)) => {
                Rate(Rounding::HalfUp.divide(i128::from(*number), 10_000) * 10_000).to_string()
            }
            (Kind::Date, Value::Number(number)) => {
                Day(i32::try_from(*number).unwrap_or_default()).to_string()
            }
            (_, Value::Number(number)) => number.to_string(),
        }
    }
}

/// The value of a field: minor units, hundred-millionths, whole numbers and days are all numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Value {
    /// The application does not say.
    #[default]
    Missing,
    /// A number in the unit of the field's kind.
    Number(i64),
    /// A word or code.
    Text(Box<str>),
}

impl Value {
    /// The number, if it is one.
    pub fn number(&self) -> Option<i64> {
        match self {
            Value::Number(number) => Some(*number),
            _ => None,
        }
    }
}

impl<C> Encode<C> for Value {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        match self {
            Value::Missing => e.null()?.ok(),
            Value::Number(number) => e.i64(*number)?.ok(),
            Value::Text(text) => e.str(text)?.ok(),
        }
    }
}

impl<'b, C> Decode<'b, C> for Value {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        use minicbor::data::Type;
        match d.datatype()? {
            Type::Null => d.null().map(|()| Value::Missing),
            Type::String => Ok(Value::Text(d.str()?.into())),
            _ => d.i64().map(Value::Number),
        }
    }
}

/// A field of the agreement's applications.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Name used in policies and in the mapping.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// Parties that may see it. A lender's decision sees these fields and no others.
    pub seen_by: Vec<String>,
}

/// The fields that every application has and every lender sees: name and kind, in the order of
/// their values, which stand before those of the agreement's own fields.
pub const STANDARD: [(&str, Kind); 3] = [
    ("amount", Kind::Money),
    ("term_months", Kind::Integer),
    ("region", Kind::Text),
];
