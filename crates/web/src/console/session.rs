//! Sessions: who is signed in, and how far.
//!
//! The browser holds a random token in a cookie; the registry holds its SHA-256. Whoever reads
//! the registry cannot sign in with it. The token that forms carry is a code over the cookie's
//! token, so another site cannot make one.

use axum::http::{HeaderMap, HeaderValue, header};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::{digest, hmac};

use super::people::{self, Person};
use crate::registry::{self, Registry, values};

/// The table of sessions.
pub(super) const SCHEMA: &str = "
create table if not exists person_session (
    token blob primary key,
    person integer not null references person (id),
    stage integer not null,
    -- The secret that is offered to an authenticator while the person enrols, sealed as the
    -- person's own.
    secret blob,
    expires integer not null
) strict, without rowid;
create index if not exists person_session_expires on person_session (expires);
-- Until when a session goes on without being used.
create table if not exists person_session_use (
    token blob primary key references person_session (token) on delete cascade,
    until integer not null
) strict, without rowid;
";

/// Seconds that a sign-in lasts.
const LASTS: i64 = 12 * 60 * 60;
/// Seconds after which a session that is not used is over.
const IDLE: i64 = 30 * 60;
/// Seconds for which use is not written again.
const USED: i64 = 60;
/// Seconds between password and code, or for enrolment.
const PATIENCE: i64 = 10 * 60;
/// How far a sign-in has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The password was right; a code is to come.
    Code,
    /// The password was right; an authenticator is to be enrolled.
    Enrol,
    /// Signed in.
    Full,
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub(super) person: Person,
    pub(super) stage: Stage,
    /// Sealed.
    pub(super) secret: Option<Vec<u8>>,
}

/// The token of a browser, signed in or not.
#[derive(Clone, Debug)]
pub(super) struct Token(String);

impl Token {
    pub(super) fn new() -> Token {
        Token(URL_SAFE_NO_PAD.encode(people::random::<32>()))
    }

    /// The token that a request carries.
    pub(super) fn of(headers: &HeaderMap, secure: bool) -> Option<Token> {
        let token = cookie(headers, name(secure))?;
        (token.len() == 43).then(|| Token(token.to_owned()))
    }

    /// The cookie that carries it.
    pub(super) fn cookie(&self, secure: bool) -> HeaderValue {
        let flag = if secure { "; Secure" } else { "" };
        let text = format!(
            "{}={}; Path=/; Max-Age={LASTS}; HttpOnly; SameSite=Lax{flag}",
            name(secure),
            self.0
        );
        HeaderValue::try_from(text).expect("a token is letters and digits")
    }

    /// What forms of this browser carry.
    pub(super) fn form_code(&self) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        URL_SAFE_NO_PAD.encode(hmac::sign(&key, FORM))
    }

    /// True if a form came from a page that this browser was given.
    pub(super) fn made(&self, form_code: &str) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        let code = URL_SAFE_NO_PAD.decode(form_code).unwrap_or_default();
        hmac::verify(&key, FORM, &code).is_ok()
    }

    fn stored(&self) -> Vec<u8> {
        sha256(&self.0)
    }
}

/// What a form's code is over.
const FORM: &[u8] = b"form";

/// Name of the cookie. The prefix makes the browser refuse one that another host set.
fn name(secure: bool) -> &'static str {
    if secure { "__Host-tandem" } else { "tandem" }
}

/// Value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    let mut pairs = lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn sha256(text: &str) -> Vec<u8> {
    digest::digest(&digest::SHA256, text.as_bytes())
        .as_ref()
        .to_vec()
}

/// Starts a session, and clears those that are over. Whoever is to enrol an authenticator is
/// offered a secret, which is given sealed.
pub(super) fn start(
    registry: &Registry,
    person: i64,
    stage: Stage,
    secret: Option<Vec<u8>>,
    now: i64,
) -> registry::Result<Token> {
    let token = Token::new();
    let lasts = match stage {
        Stage::Full => LASTS,
        Stage::Code | Stage::Enrol => PATIENCE,
    };
    registry.change(|tables| {
        let text = "delete from person_session where expires <= ?1";
        tables.execute(text, values![now])?;
        tables.execute(
            "insert into person_session (token, person, stage, secret, expires)
             values (?1, ?2, ?3, ?4, ?5)",
            values![token.stored(), person, stage as u8, secret, now + lasts],
        )
    })?;
    if stage == Stage::Full {
        used(registry, &token, now)?;
    }
    Ok(token)
}

/// The session of a token, unless it is over.
pub(super) fn find(
    registry: &Registry,
    token: &Token,
    now: i64,
) -> registry::Result<Option<Session>> {
    let text = format!(
        "select {}, stage, secret from person_session join person on person.id = person
         left join person_session_use used on used.token = person_session.token
         where person_session.token = ?1 and expires > ?2 and active = 1
         and coalesce(used.until, expires) > ?2",
        people::COLUMNS
    );
    registry.read(|tables| {
        tables.row(&text, values![token.stored(), now], |row| {
            let stage = match row.get(7)? {
                0_u8 => Stage::Code,
                1 => Stage::Enrol,
                _ => Stage::Full,
            };
            Ok(Session {
                person: people::read(row)?,
                stage,
                secret: row.get(8)?,
            })
        })
    })
}

/// Notes that a session is used.
pub(super) fn used(registry: &Registry, token: &Token, now: i64) -> registry::Result<()> {
    let token = token.stored();
    let text = "select until from person_session_use where token = ?1";
    let until: Option<i64> =
        registry.read(|tables| tables.row(text, values![&*token], |row| row.get(0)))?;
    if until.is_some_and(|until| until > now + IDLE - USED) {
        return Ok(());
    }
    let text = "insert into person_session_use (token, until)
         select token, ?2 from person_session where token = ?1
         on conflict (token) do update set until = ?2";
    registry.change(|tables| tables.execute(text, values![&*token, now + IDLE]).map(drop))
}

/// Ends a session.
pub(super) fn end(registry: &Registry, token: &Token) -> registry::Result<()> {
    let text = "delete from person_session where token = ?1";
    registry.change(|tables| tables.execute(text, values![token.stored()]).map(drop))
}

/// Ends a person's sessions, except the one of a token.
pub(super) fn end_others(registry: &Registry, person: i64, token: &Token) -> registry::Result<()> {
    let text = "delete from person_session where person = ?1 and token <> ?2";
    let values = values![person, token.stored()];
    registry.change(|tables| tables.execute(text, values).map(drop))
}
