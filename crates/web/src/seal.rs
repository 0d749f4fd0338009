//! Sealing: secrets at rest, encrypted and bound to a name, so that what is sealed for one thing
//! cannot be put in another's place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use tandem_client::key::{KeyError, random_bytes};

use crate::registry::{Error, Result, Tables, Value};

/// Bytes of a sealing key.
pub(crate) const KEY: usize = 32;

/// A key that seals.
#[derive(Clone)]
pub struct Sealer {
    key: LessSafeKey,
    /// Makes codes, by a key of its own.
    codes: hmac::Key,
}

impl Sealer {
    /// Seals with a key that nobody else has.
    pub fn new(key: &[u8; KEY]) -> Sealer {
        let codes = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), b"codes");
        let key = UnboundKey::new(&CHACHA20_POLY1305, key);
        Sealer {
            key: LessSafeKey::new(key.expect("the key has the length that it must have")),
            codes: hmac::Key::new(hmac::HMAC_SHA256, codes.as_ref()),
        }
    }

    /// A code over something under a name: the same one each time, which nobody else can make.
    pub(crate) fn code(&self, name: &str, of: &[u8]) -> Vec<u8> {
        let mut code = hmac::Context::with_key(&self.codes);
        for part in [name.as_bytes(), b"\n", of] {
            code.update(part);
        }
        code.sign().as_ref().to_vec()
    }

    /// Seals something under a name.
    pub(crate) fn seal(&self, name: &str, plain: &[u8]) -> std::result::Result<Vec<u8>, KeyError> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from(name.as_bytes());
        self.key
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .map_err(|_| KeyError::Random)?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// What was sealed under the name; nothing if it was changed, or sealed otherwise.
    pub(crate) fn open(&self, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .key
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed)
            .ok()?;
        Some(plain.to_vec())
    }
}

/// Where something sealed is kept, and its name: its kind, and what the columns say whose it is.
pub(crate) struct Sealed {
    pub(crate) table: &'static str,
    /// The column that has it; text is base64.
    pub(crate) column: &'static str,
    pub(crate) kind: Option<&'static str>,
    pub(crate) of: &'static [&'static str],
}

impl Sealed {
    /// What is kept there: the values that say whose it is, and the sealed one.
    pub(crate) fn rows(&self, tables: &Tables<'_>, most: u32) -> Result<Vec<(Vec<Value>, Value)>> {
        let Sealed {
            table, column, of, ..
        } = self;
        let columns = [of, &[*column][..]].concat().join(", ");
        let select =
            format!("SELECT {columns} FROM {table} WHERE {column} IS NOT NULL LIMIT {most}");
        tables.rows(&select, &[], |row| {
            let whose = (0..of.len()).map(|column| row.get(column));
            Ok((whose.collect::<Result<_>>()?, row.get(of.len())?))
        })
    }

    /// The name under which something of somebody is sealed.
    pub(crate) fn name(&self, of: &[Value]) -> String {
        let kind = self.kind.map(str::to_owned).into_iter();
        let of = of.iter().map(|value| match value {
            Value::Integer(number) => number.to_string(),
            Value::Text(text) => text.clone(),
            Value::Bytes(_) | Value::Null => String::new(),
        });
        kind.chain(of).collect::<Vec<_>>().join("\n")
    }
}

/// The sealed bytes of a column.
pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Text(text) => STANDARD.decode(text).unwrap_or_default(),
        Value::Bytes(bytes) => bytes.clone(),
        Value::Integer(_) | Value::Null => Vec::new(),
    }
}

/// Seals what is kept in some places, sealed under one key, under another; unless it is so already.
pub(crate) fn seal_anew(
    tables: &Tables<'_>,
    from: &Sealer,
    to: &Sealer,
    places: &[Sealed],
) -> Result<()> {
    for place in places {
        let (table, column) = (place.table, place.column);
        let mut update = format!("UPDATE {table} SET {column} = ?1 WHERE {column} = ?2");
        for (at, of) in place.of.iter().enumerate() {
            update += &format!(" AND {of} = ?{}", at + 3);
        }
        for (of, was) in place.rows(tables, u32::MAX)? {
            let (name, sealed) = (place.name(&of), bytes(&was));
            if to.open(&name, &sealed).is_some() {
                continue;
            }
            let plain = from.open(&name, &sealed).ok_or_else(|| {
                Error::Kept(format!(
                    "{} opens with neither key",
                    name.replace('\n', " ")
                ))
            })?;
            let anew = to.seal(&name, &plain);
            let anew = anew.map_err(|error| Error::Kept(error.to_string()))?;
            let anew = match was {
                Value::Text(_) => STANDARD.encode(anew).into(),
                _ => anew.into(),
            };
            tables.execute(&update, &[vec![anew, was], of].concat())?;
        }
    }
    Ok(())
}
