//! Passkeys (WebAuthn level 3): a key in the person's device, which asks for a finger, a face or a
//! PIN before it signs, and signs for our address only.
//!
//! What is used of the standard: keys that the device finds by itself, user verification, no
//! attestation. Signatures are checked by ring; ES256, EdDSA and RS256 are what devices make.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::Decoder;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde::Deserialize;

use super::page::Visit;
use super::people::{self, Person};
use super::session::Token;
use crate::registry::{self, Registry, values};

/// The table of passkeys.
pub(super) const SCHEMA: &str = "
create table if not exists passkey (
    id blob primary key,
    person integer not null references person (id),
    name text not null,
    -- The public key as the device gave it (COSE).
    key blob not null,
    -- How often it has signed, if the device counts.
    counter integer not null,
    -- Whether it may be copied to the person's other devices, which never changes.
    copyable integer not null,
    added_at integer not null,
    used_at integer
) strict, without rowid;
create index if not exists passkey_person on passkey (person);
";

/// Seconds for which a challenge can be answered.
const PATIENCE: i64 = 10 * 60;

/// Passkeys of a person at most.
pub(super) const MOST: usize = 10;

/// Bytes of a key's id at most.
const LONGEST_ID: usize = 1023;

/// Flags of what the authenticator says: somebody was there, and was verified.
const PRESENT_AND_VERIFIED: u8 = 0b101;
/// The flag that the key may be copied to other devices.
const COPYABLE: u8 = 0b1000;
/// The flag that it was.
const COPIED: u8 = 0b1_0000;
/// The flag that a new key follows.
const HAS_KEY: u8 = 0b100_0000;
/// The flag that extensions follow.
const HAS_EXTENSIONS: u8 = 0b1000_0000;

/// Who keys are for: the host that callers write, unless it is a bare address, for which browsers
/// make none.
#[derive(Clone, Debug)]
pub(super) struct RelyingParty {
    /// Scheme, host and port.
    pub(super) origin: String,
    /// The host.
    pub(super) id: String,
}

impl RelyingParty {
    pub(super) fn of(base: &str) -> Option<RelyingParty> {
        let (scheme, rest) = base.split_once("://")?;
        // As browsers write it.
        let authority = rest.split('/').next()?.to_ascii_lowercase();
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(usual).unwrap_or(&authority);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
            _ => authority,
        };
        let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
        (!host.is_empty() && !is_address).then(|| RelyingParty {
            origin: format!("{scheme}://{authority}"),
            id: host.to_owned(),
        })
    }
}

/// What a challenge is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Signing in.
    SignIn,
    /// A new key.
    Register,
}

impl Purpose {
    /// What the browser calls it.
    fn kind(self) -> &'static str {
        match self {
            Purpose::SignIn => "webauthn.get",
            Purpose::Register => "webauthn.create",
        }
    }
}

/// Makes challenges and knows them again: each is for one browser and purpose, and counts once.
/// Nothing is kept of those that nobody answers as it must be.
pub(super) struct Challenges {
    key: hmac::Key,
    /// Those that counted, until they are too old anyway.
    used: Mutex<HashMap<Vec<u8>, i64>>,
}

impl Challenges {
    pub(super) fn new() -> Challenges {
        Challenges {
            key: hmac::Key::new(hmac::HMAC_SHA256, &people::random::<32>()),
            used: Mutex::default(),
        }
    }

    fn make(&self, token: &Token, purpose: Purpose, now: i64) -> String {
        let mut challenge = people::random::<16>().to_vec();
        challenge.extend((now + PATIENCE).to_be_bytes());
        let code = self.code(&challenge, token, purpose);
        challenge.extend(code.as_ref());
        URL_SAFE_NO_PAD.encode(challenge)
    }

    fn code(&self, of: &[u8], token: &Token, purpose: Purpose) -> hmac::Tag {
        hmac::sign(&self.key, &bound(of, token, purpose))
    }

    /// True if a challenge is one of ours for this browser and purpose, and is not too old.
    fn made(&self, challenge: &[u8], token: &Token, purpose: Purpose, now: i64) -> bool {
        let Some((of, code)) = challenge.split_at_checked(CHALLENGE) else {
            return false;
        };
        let own = hmac::verify(&self.key, &bound(of, token, purpose), code).is_ok();
        own && until(of) > now
    }

    /// Uses a challenge that was made here; false if it was used before.
    fn take(&self, challenge: &[u8], now: i64) -> bool {
        let of = &challenge[..CHALLENGE.min(challenge.len())];
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|_, until| *until > now);
        used.insert(of.to_vec(), until(of)).is_none()
    }
}

/// Bytes of a challenge before its code: random ones, and until when it can be answered.
const CHALLENGE: usize = 24;

fn until(of: &[u8]) -> i64 {
    let until = of.last_chunk().copied().unwrap_or_default();
    i64::from_be_bytes(until)
}

fn bound(of: &[u8], token: &Token, purpose: Purpose) -> Vec<u8> {
    [of, purpose.kind().as_bytes(), token.form_code().as_bytes()].concat()
}

/// What a browser sends of an answer, each part in base64url.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    /// Id of the key.
    pub(super) credential: &'a str,
    /// Whose it is, as the device was told when it made the key; empty for a new one.
    pub(super) user: &'a str,
    /// What the browser says that it did.
    pub(super) client: &'a str,
    /// What the authenticator says.
    pub(super) authenticator: &'a str,
    /// Its signature over both.
    pub(super) signature: &'a str,
}

/// Where and when an answer is asked for.
pub(super) struct Asked<'a> {
    pub(super) party: &'a RelyingParty,
    challenges: &'a Challenges,
    token: &'a Token,
    now: i64,
}

/// What the browser says that it did.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
    origin: String,
    #[serde(rename = "crossOrigin", default)]
    cross_origin: bool,
    /// There if the page stood inside another one.
    #[serde(rename = "topOrigin")]
    top_origin: Option<String>,
}

/// What the browser said, once it is known to be right.
struct Client {
    /// Its bytes, which were signed.
    bytes: Vec<u8>,
    challenge: Vec<u8>,
}

/// What the authenticator says.
struct Authenticated {
    counter: u32,
    copyable: bool,
    /// Id and public key of a new key.
    new: Option<(Vec<u8>, Vec<u8>)>,
}

impl Asked<'_> {
    /// By whose browser; none where browsers make no passkeys.
    pub(super) fn by(visit: &Visit) -> Option<Asked<'_>> {
        let console = &visit.console;
        Some(Asked {
            party: console.relying_party.as_ref()?,
            challenges: &console.challenges,
            token: &visit.token,
            now: console.now(),
        })
    }

    /// A challenge for the browser, as it stands in a page.
    pub(super) fn challenge(&self, purpose: Purpose) -> String {
        self.challenges.make(self.token, purpose, self.now)
    }

    /// Checks what the browser says.
    fn client(&self, text: &str, purpose: Purpose) -> Option<Client> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let data: ClientData = serde_json::from_slice(&bytes).ok()?;
        let challenge = URL_SAFE_NO_PAD.decode(&data.challenge).ok()?;
        let right = data.kind == purpose.kind()
            && data.origin == self.party.origin
            && !data.cross_origin
            && data.top_origin.is_none()
            && self
                .challenges
                .made(&challenge, self.token, purpose, self.now);
        right.then_some(Client { bytes, challenge })
    }

    /// Uses the challenge that was answered, once all else is known to be right.
    fn take(&self, client: &Client) -> bool {
        self.challenges.take(&client.challenge, self.now)
    }

    /// Checks what the authenticator says: for us, with somebody there who was verified.
    fn authenticator(&self, bytes: &[u8]) -> Option<Authenticated> {
        let (party, rest) = bytes.split_at_checked(32)?;
        let (&[flags, c0, c1, c2, c3], rest) = rest.split_first_chunk::<5>()?;
        let ours = party == digest(&SHA256, self.party.id.as_bytes()).as_ref();
        let has = |flag| flags & flag != 0;
        let there = flags & PRESENT_AND_VERIFIED == PRESENT_AND_VERIFIED;
        if !ours || !there || has(COPIED) && !has(COPYABLE) {
            return None;
        }
        let (new, rest) = match has(HAS_KEY) {
            false => (None, rest),
            true => {
                // The model of the device, then the length of the key's id.
                let (_, rest) = rest.split_at_checked(16)?;
                let (length, rest) = rest.split_first_chunk::<2>()?;
                let (id, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
                let (key, rest) = item(rest)?;
                (Some((id.to_vec(), key.to_vec())), rest)
            }
        };
        // None are asked for; what a device adds is passed over.
        let rest = match has(HAS_EXTENSIONS) {
            false => rest,
            true => item(rest)?.1,
        };
        rest.is_empty().then_some(Authenticated {
            counter: u32::from_be_bytes([c0, c1, c2, c3]),
            copyable: has(COPYABLE),
            new,
        })
    }
}

/// The first CBOR item, and what follows it.
fn item(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut decoder = Decoder::new(bytes);
    decoder.skip().ok()?;
    bytes.split_at_checked(decoder.position())
}

/// True if a public key can be one of a passkey.
pub(super) fn is_sound(key: &[u8]) -> bool {
    Key::read(key).is_some()
}

/// A public key as devices give it (COSE, RFC 9053).
enum Key {
    Es256(Vec<u8>),
    EdDsa(Vec<u8>),
    Rs256 { n: Vec<u8>, e: Vec<u8> },
}

impl Key {
    fn read(bytes: &[u8]) -> Option<Key> {
        let mut decoder = Decoder::new(bytes);
        let (mut numbers, mut texts) = (HashMap::new(), HashMap::new());
        let count = decoder.map().ok()??;
        for _ in 0..count {
            let name = decoder.i32().ok()?;
            match decoder.datatype().ok()? {
                minicbor::data::Type::Bytes => {
                    texts.insert(name, decoder.bytes().ok()?.to_vec());
                }
                _ => {
                    numbers.insert(name, decoder.i32().ok()?);
                }
            }
        }
        // What is said twice could be read as two keys.
        let distinct = numbers.keys().chain(texts.keys()).collect::<HashSet<_>>();
        if distinct.len() as u64 != count {
            return None;
        }
        // Kind (1), algorithm (3), curve (-1) or parts of the key (-1, -2, -3).
        let number = |name| numbers.get(&name).copied();
        let mut text = |name| texts.remove(&name);
        match (number(1)?, number(3)?, number(-1)) {
            (2, -7, Some(1)) => {
                let (x, y) = (text(-2)?, text(-3)?);
                let whole = x.len() == 32 && y.len() == 32;
                whole.then(|| Key::Es256([vec![4], x, y].concat()))
            }
            (1, -8, Some(6)) => text(-2).filter(|x| x.len() == 32).map(Key::EdDsa),
            (3, -257, None) => {
                let (n, e) = (text(-1)?, text(-2)?);
                // 2048 to 4096 bits and the exponent that all devices use.
                let sound = (256..=512).contains(&n.len()) && e == [1, 0, 1];
                sound.then_some(Key::Rs256 { n, e })
            }
            _ => None,
        }
    }

    fn signed(&self, message: &[u8], signature: &[u8]) -> bool {
        let checked = match self {
            Key::Es256(point) => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(message, signature)
            }
            Key::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            Key::Rs256 { n, e } => RsaPublicKeyComponents { n, e }.verify(
                &RSA_PKCS1_2048_8192_SHA256,
                message,
                signature,
            ),
        };
        checked.is_ok()
    }
}

/// Adds a passkey to a person; false if the answer is not one to our challenge.
pub(super) fn register(
    registry: &Registry,
    asked: &Asked<'_>,
    person: &Person,
    name: &str,
    answer: Answer<'_>,
) -> registry::Result<bool> {
    let client = asked.client(answer.client, Purpose::Register);
    let authenticator = URL_SAFE_NO_PAD.decode(answer.authenticator).ok();
    let said = authenticator.and_then(|bytes| asked.authenticator(&bytes));
    let (Some(client), Some(said)) = (client, said) else {
        return Ok(false);
    };
    let sound =
        |(id, key): &(Vec<u8>, Vec<u8>)| (1..=LONGEST_ID).contains(&id.len()) && is_sound(key);
    let Some((id, key)) = said.new.filter(sound) else {
        return Ok(false);
    };
    if !asked.take(&client) {
        return Ok(false);
    }
    registry.change(|tables| {
        let text = "select count(*) from passkey where person = ?1";
        if tables.value::<i64>(text, values![person.id])? >= MOST as i64 {
            return Ok(false);
        }
        let text = "insert into passkey (id, person, name, key, counter, copyable, added_at)
                    values (?1, ?2, ?3, ?4, ?5, ?6, ?7) on conflict do nothing";
        let (counter, copyable) = (said.counter, said.copyable);
        let values = values![id, person.id, name, key, counter, copyable, asked.now];
        Ok(tables.execute(text, values)? > 0)
    })
}

/// The person who signs in with a passkey, or whose passkey the answer names.
pub(super) enum SignIn {
    /// Whose it is.
    Right(Box<Person>),
    /// Who it was said to be, if anybody.
    Wrong(Option<Box<Person>>),
}

/// Checks an answer to a challenge for signing in.
pub(super) fn sign_in(
    registry: &Registry,
    asked: &Asked<'_>,
    answer: Answer<'_>,
) -> registry::Result<SignIn> {
    let id = URL_SAFE_NO_PAD
        .decode(answer.credential)
        .unwrap_or_default();
    let text = format!(
        "select {}, key, counter, copyable from passkey join person on person.id = person
         where passkey.id = ?1 and active = 1",
        people::COLUMNS
    );
    let known = registry.read(|tables| {
        tables.row(&text, values![&*id], |row| {
            let key: Vec<u8> = row.get(7)?;
            let counter: u32 = row.get(8)?;
            let copyable: bool = row.get(9)?;
            Ok((people::read(row)?, key, counter, copyable))
        })
    })?;
    let Some((person, key, counter, copyable)) = known else {
        return Ok(SignIn::Wrong(None));
    };
    let person = Box::new(person);
    let checked = || {
        let authenticator = URL_SAFE_NO_PAD.decode(answer.authenticator).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(answer.signature).ok()?;
        let said = asked.authenticator(&authenticator)?;
        let user = URL_SAFE_NO_PAD.decode(answer.user).ok()?;
        let client = asked.client(answer.client, Purpose::SignIn)?;
        let hash = digest(&SHA256, &client.bytes);
        let message = [authenticator.as_slice(), hash.as_ref()].concat();
        let right = user == person.id.to_string().as_bytes()
            && said.copyable == copyable
            && Key::read(&key)?.signed(&message, &signature)
            && asked.take(&client);
        right.then_some(said.counter)
    };
    let Some(signed) = checked() else {
        return Ok(SignIn::Wrong(Some(person)));
    };
    // A device that counts and is behind was copied. Two answers at once are told apart here too.
    let on = signed > counter || (signed, counter) == (0, 0);
    let text = "update passkey set counter = ?2, used_at = ?4 where id = ?1 and counter = ?3";
    let values = values![id, signed, counter, asked.now];
    let counted = on && registry.change(|tables| tables.execute(text, values))? > 0;
    Ok(match counted {
        false => SignIn::Wrong(Some(person)),
        true => SignIn::Right(person),
    })
}

/// A passkey of a person.
pub(super) struct Passkey {
    /// Its id in hexadecimal digits.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) added_at: i64,
    pub(super) used_at: Option<i64>,
}

/// Passkeys of a person, oldest first.
pub(super) fn of_person(registry: &Registry, person: i64) -> registry::Result<Vec<Passkey>> {
    let text = "select id, name, added_at, used_at from passkey where person = ?1
                order by added_at, id";
    registry.read(|tables| {
        tables.rows(text, values![person], |row| {
            Ok(Passkey {
                id: crate::hex(&row.get::<Vec<u8>>(0)?),
                name: row.get(1)?,
                added_at: row.get(2)?,
                used_at: row.get(3)?,
            })
        })
    })
}

/// Removes a passkey of a person; false if there is none of this id.
pub(super) fn remove(registry: &Registry, person: i64, id: &str) -> registry::Result<bool> {
    registry.change(|tables| {
        let text = "select id from passkey where person = ?1";
        let ids = tables.rows(text, values![person], |row| row.get::<Vec<u8>>(0))?;
        let Some(id) = ids.into_iter().find(|own| crate::hex(own) == id) else {
            return Ok(false);
        };
        let text = "delete from passkey where person = ?1 and id = ?2";
        Ok(tables.execute(text, values![person, id])? > 0)
    })
}
