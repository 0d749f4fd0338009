//! Keys that nobody has the private halves of. An assertion is checked by one of them where no key of
//! a client is there to check it, so that the time of the answer does not tell who is a client.

use std::hint::black_box;

use tandem_client::key::{Algorithm, Jwks, KeyError, PublicKey, SigningKey};

use super::client::{Client, MOST_KEYS, keys_from};

/// A key of each kind.
pub(super) struct Decoys([(PublicKey, String); 2]);

impl Decoys {
    pub(super) fn new() -> Result<Decoys, KeyError> {
        let decoy = |algorithm| {
            let private = SigningKey::from_pem(&SigningKey::generate(algorithm)?)?;
            let keys = vec![private.public().to_jwk()];
            let jwks = serde_json::to_string(&Jwks { keys }).expect("texts become JSON");
            Ok((private.public().clone(), jwks))
        };
        Ok(Decoys([
            decoy(Algorithm::Ed25519)?,
            decoy(Algorithm::Es256)?,
        ]))
    }

    /// Reads what is read of a client where there is none, and as many keys of each kind as a client
    /// may have beyond those that it has.
    pub(super) fn read_rest(&self, client: Option<&Client>) {
        let jwks = black_box(&self.0[0].1);
        let stand_in = client
            .is_none()
            .then(|| Client::new("nobody", "nobody", "loans:read events:read", jwks));
        let client = client.or(stand_in.as_ref().and_then(|read| read.as_ref().ok()));
        for (decoy, jwks) in &self.0 {
            let own = client.into_iter().flat_map(|client| &client.keys);
            let own = own.filter(|key| key.algorithm == decoy.algorithm);
            for _ in own.count()..MOST_KEYS {
                let _ = black_box(keys_from(black_box(jwks)));
            }
        }
    }

    /// The key that an assertion is checked by, whose header names key and algorithm, and whether it is
    /// the client's. There is one for each algorithm that we know, whoever is named.
    pub(super) fn key<'a>(
        &'a self,
        client: Option<&'a Client>,
        kid: Option<&str>,
        alg: &str,
    ) -> Option<(&'a PublicKey, bool)> {
        let signs = |key: &&PublicKey| key.algorithm.jose().contains(&alg);
        let own = client.and_then(|client| client.key(kid).ok()).filter(signs);
        let decoy = self.0.iter().map(|(key, _)| key).find(signs);
        own.map(|key| (key, true)).or(decoy.map(|key| (key, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assertion_is_checked_once_whoever_it_names() {
        let decoys = Decoys::new().unwrap();
        let key = |algorithm| {
            let pem = SigningKey::generate(algorithm).unwrap();
            SigningKey::from_pem(&pem).unwrap().named("one")
        };
        for algorithm in [Algorithm::Ed25519, Algorithm::Es256] {
            let keys = vec![key(algorithm).public().to_jwk()];
            let jwks = serde_json::to_string(&Jwks { keys }).unwrap();
            let client = Client::new("app", "river", "loans:read", &jwks).unwrap();
            for alg in ["EdDSA", "Ed25519", "ES256"] {
                for (client, kid) in [
                    (None, Some("one")),
                    (None, None),
                    (Some(&client), Some("one")),
                    (Some(&client), Some("two")),
                    (Some(&client), None),
                ] {
                    let (by, is_own) = decoys.key(client, kid, alg).unwrap();
                    assert!(by.algorithm.jose().contains(&alg));
                    let has_it = client.is_some() && kid != Some("two");
                    assert_eq!(is_own, has_it && by.algorithm == algorithm);
                }
            }
            assert!(decoys.key(Some(&client), None, "RS256").is_none());
            assert!(decoys.key(None, None, "RS256").is_none());
        }
    }
}
