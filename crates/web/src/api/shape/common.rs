//! What many calls have: money, pages of lists, keys.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use tandem_domain::money::{Amount, Currency};
use utoipa::ToSchema;

/// Money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    expecting = r#"an object like {"amount": 1234, "currency": "CNY"}"#
)]
pub struct Money {
    /// Whole minor units: 1234 is 12.34 CNY.
    pub amount: i64,
    /// Currency, ISO 4217.
    #[schema(example = "CNY", pattern = "^[A-Z]{3}$")]
    pub currency: String,
}

impl Money {
    /// An amount in a currency.
    pub fn of(amount: Amount, currency: Currency) -> Money {
        Money {
            amount: amount.0,
            currency: currency.code().to_owned(),
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page, if there is one; the `Link` header has its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Reads a key, which stands in tables, files and logs as it is.
pub(super) fn key<'de, D: Deserializer<'de>>(of: D) -> Result<String, D::Error> {
    let key = String::deserialize(of)?;
    match key.chars().any(char::is_control) {
        true => Err(D::Error::custom(
            "a key has no control characters, such as line breaks and tabs",
        )),
        false => Ok(key),
    }
}

pub(super) fn some_key<'de, D: Deserializer<'de>>(of: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Key(#[serde(deserialize_with = "key")] String);
    let found = Option::<Key>::deserialize(of)?;
    Ok(found.map(|Key(key)| key))
}
