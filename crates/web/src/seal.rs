//! Sealing: secrets at rest, encrypted and bound to a name, so that what is sealed for one thing
//! cannot be put in another's place.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use rusqlite::functions::FunctionFlags;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Error};
use tandem_client::key::{KeyError, random_bytes};

/// Bytes of a sealing key.
pub(crate) const KEY: usize = 32;

/// A key that seals.
#[derive(Clone)]
pub struct Sealer(LessSafeKey);

impl Sealer {
    /// Seals with a key that nobody else has.
    pub fn new(key: &[u8; KEY]) -> Sealer {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key);
        Sealer(LessSafeKey::new(
            key.expect("the key has the length that it must have"),
        ))
    }

    /// Seals something under a name.
    pub(crate) fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, KeyError> {
        let nonce: [u8; NONCE_LEN] = random_bytes()?;
        let mut sealed = plain.to_vec();
        let aad = Aad::from(name.as_bytes());
        self.0
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
            .0
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut sealed)
            .ok()?;
        Some(plain.to_vec())
    }
}

/// Runs statements, all or none, in which `sealed_anew(name, sealed)` is what was sealed under a
/// name by one key, now by another; unless it is so already. Text is base64. They count once
/// `also` is done.
pub(crate) fn seal_anew(
    connection: &mut Connection,
    from: &Sealer,
    to: &Sealer,
    statements: &str,
    also: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let (from, to) = (from.clone(), to.clone());
    let seal = move |name: &str, sealed: Vec<u8>| -> Result<Vec<u8>, String> {
        if to.open(name, &sealed).is_some() {
            return Ok(sealed);
        }
        let plain = from.open(name, &sealed);
        let plain =
            plain.ok_or_else(|| format!("{} opens with neither key", name.replace('\n', " ")))?;
        to.seal(name, &plain).map_err(|error| error.to_string())
    };
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function("sealed_anew", 2, flags, move |values| {
        let name: String = values.get(0)?;
        let failed = |error: String| Error::UserFunctionError(error.into());
        match values.get_raw(1) {
            ValueRef::Text(text) => {
                let sealed = STANDARD
                    .decode(text)
                    .map_err(|error| failed(error.to_string()))?;
                Ok(Value::Text(
                    STANDARD.encode(seal(&name, sealed).map_err(failed)?),
                ))
            }
            sealed => Ok(Value::Blob(
                seal(&name, sealed.as_blob()?.to_vec()).map_err(failed)?,
            )),
        }
    })?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(statements)?;
    also()?;
    transaction.commit()?;
    connection.remove_function("sealed_anew", 2)
}
