//! Sealing: secrets at rest, encrypted and bound to a name, so that what is sealed for one thing
//! cannot be put in another's place.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
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
