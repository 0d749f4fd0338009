//! What goes into statements and comes out of them.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::{Error, Result};

/// A value of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// None.
    Null,
    /// A number; truth is 1 and 0.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
}

impl Value {
    /// True for text with U+0000, which not every database takes.
    #[cfg(feature = "postgres")]
    pub(super) fn has_nul(&self) -> bool {
        matches!(self, Value::Text(text) if text.contains('\0'))
    }
}

/// The values of a statement, in the order of their numbers.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::registry::Value::from($value)),*] };
}
pub(crate) use values;

macro_rules! integers {
    ($($integer:ty),*) => { $(
        impl From<$integer> for Value {
            fn from(value: $integer) -> Value {
                Value::Integer(value.into())
            }
        }

        impl FromValue for $integer {
            fn from_value(value: &Value) -> Option<$integer> {
                match value {
                    Value::Integer(value) => (*value).try_into().ok(),
                    _ => None,
                }
            }
        }
    )* };
}

integers!(i64, i32, u32, u16, u8);

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Integer(value.into())
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Value {
        Value::Text(value.to_owned())
    }
}

impl From<&String> for Value {
    fn from(value: &String) -> Value {
        Value::Text(value.clone())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Value {
        Value::Text(value)
    }
}

impl From<&[u8]> for Value {
    fn from(value: &[u8]) -> Value {
        Value::Bytes(value.to_owned())
    }
}

impl From<Vec<u8>> for Value {
    fn from(value: Vec<u8>) -> Value {
        Value::Bytes(value)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::Null, T::into)
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Integer(value) => ValueRef::Integer(*value),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

/// What a column can be read as.
pub trait FromValue: Sized {
    /// The value as this; nothing if it is another.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for bool {
    fn from_value(value: &Value) -> Option<bool> {
        i64::from_value(value).map(|value| value != 0)
    }
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<String> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Vec<u8>> {
        match value {
            Value::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl FromValue for Value {
    fn from_value(value: &Value) -> Option<Value> {
        Some(value.clone())
    }
}

impl<T: FromValue> FromValue for Option<T> {
    fn from_value(value: &Value) -> Option<Option<T>> {
        match value {
            Value::Null => Some(None),
            value => T::from_value(value).map(Some),
        }
    }
}

/// A row of what a statement found.
pub struct Row(Vec<Value>);

impl Row {
    pub(super) fn from_file(row: &rusqlite::Row<'_>) -> Result<Row> {
        let columns = row.as_ref().column_count();
        let value = |column: usize| {
            Ok(match row.get_ref(column)? {
                ValueRef::Null => Value::Null,
                ValueRef::Integer(value) => Value::Integer(value),
                ValueRef::Text(text) => Value::from(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(bytes) => Value::from(bytes),
                ValueRef::Real(_) => return Err(Error::Value(column.to_string())),
            })
        };
        Ok(Row((0..columns).map(value).collect::<Result<_>>()?))
    }

    #[cfg(feature = "postgres")]
    pub(super) fn new(values: Vec<Value>) -> Row {
        Row(values)
    }

    /// The value of a column, the first is 0.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let value = self.0.get(column).and_then(T::from_value);
        value.ok_or_else(|| Error::Value(column.to_string()))
    }
}
