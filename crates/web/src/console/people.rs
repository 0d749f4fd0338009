//! People who work in the console: whose they are, what they may do, and how they prove who
//! they are (a password, and a code from an authenticator).

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tandem_client::key::random_bytes;
use totp_rs::{Builder, Secret, Totp};

use super::session::{self, Token};
use crate::registry::{self, Registry, Row, Tables, values};
use crate::seal::{Sealed, Sealer};

/// Tables of people.
pub(super) const SCHEMA: &str = "
create table if not exists person (
    id integer primary key,
    login text not null,
    name text not null,
    party text not null,
    roles integer not null,
    active integer not null default 1,
    password text not null,
    -- None until the first sign-in, when an authenticator is enrolled and the password changed.
    -- Sealed as `sealed_as` says.
    totp blob,
    -- The last time step whose code was used: a code counts once.
    totp_step integer not null default 0
) strict;
create unique index if not exists person_login on person (lower(login));
create index if not exists person_party on person (party);
-- What an administrator did last about a person in the console. Whoever the operator added, or was
-- there before this table, has no row and is confirmed.
create table if not exists person_change (
    person integer primary key references person (id),
    changed_by integer not null references person (id),
    changed_at integer not null,
    -- What the person may do once another administrator confirms it; none if nothing waits.
    awaited integer,
    confirmed_by integer references person (id)
) strict;
-- Secrets that were not sealed yet are enrolled anew.
update person set totp = null where length(totp) = 20;
";

/// Letters of a password at least.
pub(super) const PASSWORD_LENGTH: usize = 12;

/// What a person may do. Everybody may look at what the party may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Looks.
    Viewer,
    /// Works on cases and proposes what is done to loans.
    Operations,
    /// Works on cases, decides what the lender's policy referred, and proposes what changes in it.
    Risk,
    /// Works on cases.
    Finance,
    /// Approves what another proposes.
    Approver,
    /// Adds people and looks after the party's clients.
    Admin,
    /// Reads who saw and did what.
    Auditor,
}

impl Role {
    /// All roles.
    pub const ALL: [Role; 7] = [
        Role::Viewer,
        Role::Operations,
        Role::Risk,
        Role::Finance,
        Role::Approver,
        Role::Admin,
        Role::Auditor,
    ];

    /// Name of the role.
    pub fn name(self) -> &'static str {
        match self {
            Role::Viewer => "viewer",
            Role::Operations => "operations",
            Role::Risk => "risk",
            Role::Finance => "finance",
            Role::Approver => "approver",
            Role::Admin => "admin",
            Role::Auditor => "auditor",
        }
    }

    /// The role of a name.
    pub fn of(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// What everybody may do.
const LOOKS: Roles = Roles(1 << Role::Viewer as u8);

/// A set of roles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles(u8);

impl Roles {
    /// True if the role is one of them.
    pub fn has(self, role: Role) -> bool {
        self.0 & 1 << role as u8 != 0
    }

    /// Those that both have.
    fn and(self, other: Roles) -> Roles {
        Roles(self.0 & other.0)
    }

    /// The roles, in order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<T: IntoIterator<Item = Role>>(roles: T) -> Roles {
        Roles(roles.into_iter().fold(0, |set, role| set | 1 << role as u8))
    }
}

/// A person.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Number of the person.
    pub id: i64,
    /// What the person signs in with.
    pub login: String,
    /// The person's name.
    pub name: String,
    /// The party that the person works for, by its id in the agreement.
    pub party: String,
    /// What the person may do.
    pub roles: Roles,
    /// False once the person may no longer sign in.
    pub active: bool,
    /// The administrator who added or last changed the person in the console, if one did.
    pub(super) changed_by: Option<i64>,
}

impl Person {
    /// True if the person can be the second pair of eyes for what another did: somebody else, whom
    /// that one did not make, nor the other way round.
    pub(super) fn is_apart_from(&self, other: &Doer) -> bool {
        self.id != other.id
            && self.changed_by != Some(other.id)
            && other.changed_by != Some(self.id)
    }
}

/// Somebody who did what another is to agree to.
#[derive(Clone, Debug)]
pub(super) struct Doer {
    pub(super) id: i64,
    pub(super) name: String,
    changed_by: Option<i64>,
}

impl From<&Person> for Doer {
    fn from(person: &Person) -> Doer {
        Doer {
            id: person.id,
            name: person.name.clone(),
            changed_by: person.changed_by,
        }
    }
}

impl Doer {
    /// Columns that [`Doer::read`] reads, of `one` as person.
    pub(super) const COLUMNS: &str = "one.id, one.name,
        (select changed_by from person_change where person_change.person = one.id)";

    /// Reads them, from a column on.
    pub(super) fn read(row: &Row, column: usize) -> registry::Result<Doer> {
        Ok(Doer {
            id: row.get(column)?,
            name: row.get(column + 1)?,
            changed_by: row.get(column + 2)?,
        })
    }
}

/// What an administrator did last about a person.
pub(super) struct Change {
    pub(super) person: i64,
    pub(super) by: Doer,
    pub(super) at: i64,
    /// What the person may do once another administrator confirms it.
    pub(super) awaited: Option<Roles>,
    pub(super) confirmed_by: Option<String>,
    /// True if the person may sign in.
    pub(super) is_active: bool,
    /// True if the person has chosen a password and has an authenticator.
    pub(super) is_enrolled: bool,
}

/// An administrator who changes something about people, and when.
#[derive(Clone, Copy)]
pub(super) struct By<'a> {
    pub(super) administrator: &'a Person,
    pub(super) now: i64,
}

/// A person who is added.
#[derive(Clone, Copy, Debug)]
pub struct NewPerson<'a> {
    /// What the person signs in with, often an e-mail address.
    pub login: &'a str,
    /// The person's name.
    pub name: &'a str,
    /// The party that the person works for, by its id in the agreement.
    pub party: &'a str,
    /// What the person may do.
    pub roles: Roles,
}

/// Why a person cannot be added or changed.
#[derive(Debug, thiserror::Error)]
pub enum PersonError {
    /// The login is taken.
    #[error("the sign-in name `{0}` is taken; choose another")]
    LoginTaken(String),
    /// An administrator chose a login without the party in it.
    #[error("the sign-in name has not `{0}` in it, set apart; choose one such as li.wei@{0}")]
    LoginNotOwn(String),
    /// A name is empty.
    #[error("a person needs a sign-in name and a name")]
    NoName,
    /// The password is short.
    #[error("the password has less than {PASSWORD_LENGTH} characters; choose a longer one")]
    PasswordShort,
    /// The registry failed.
    #[error(transparent)]
    Registry(#[from] registry::Error),
}

/// Adds a person with a password that was made for the first sign-in, which is handed out. The
/// person then chooses another and enrols an authenticator. The operator's word makes the roles
/// count at once.
pub fn invite(registry: &Registry, new: NewPerson<'_>) -> Result<String, PersonError> {
    let password = first_password();
    add(registry, new, &password)?;
    Ok(password)
}

/// The same by an administrator: until another confirms the roles, the person may look.
pub(super) fn propose(
    registry: &Registry,
    new: NewPerson<'_>,
    by: By<'_>,
) -> Result<String, PersonError> {
    if new.login.trim().is_empty() {
        return Err(PersonError::NoName);
    }
    if !is_own(new.login, new.party) {
        return Err(PersonError::LoginNotOwn(new.party.to_owned()));
    }
    let password = first_password();
    let looks = NewPerson {
        roles: LOOKS,
        ..new
    };
    insert(registry, looks, &password, |tables, person| {
        note(tables, person, by, looks.roles, new.roles)
    })?;
    Ok(password)
}

/// True if a login has the party in it, set apart. Then that it is taken says nothing of another
/// party's people, and nobody takes a name that looks like another party's.
fn is_own(login: &str, party: &str) -> bool {
    let (login, party) = (login.to_lowercase(), party.to_lowercase());
    let letter = |found: Option<char>| found.is_some_and(char::is_alphanumeric);
    login.match_indices(&party).any(|(at, _)| {
        !letter(login[..at].chars().next_back())
            && !letter(login[at + party.len()..].chars().next())
    })
}

/// Adds a person with a password, who enrols an authenticator at the first sign-in.
pub fn add(registry: &Registry, new: NewPerson<'_>, password: &str) -> Result<i64, PersonError> {
    insert(registry, new, password, |_, _| Ok(()))
}

fn insert(
    registry: &Registry,
    new: NewPerson<'_>,
    password: &str,
    also: impl FnOnce(&Tables<'_>, i64) -> registry::Result<()>,
) -> Result<i64, PersonError> {
    if new.login.trim().is_empty() || new.name.trim().is_empty() {
        return Err(PersonError::NoName);
    }
    if password.chars().count() < PASSWORD_LENGTH {
        return Err(PersonError::PasswordShort);
    }
    let hash = hash(password);
    let added = registry.change(|tables| {
        let added = tables.row(
            "insert into person (login, name, party, roles, password)
             values (?1, ?2, ?3, ?4, ?5) on conflict do nothing returning id",
            values![
                new.login.trim(),
                new.name.trim(),
                new.party,
                new.roles.0,
                hash
            ],
            |row| row.get(0),
        )?;
        if let Some(person) = added {
            also(tables, person)?;
        }
        registry::Result::Ok(added)
    })?;
    added.ok_or_else(|| PersonError::LoginTaken(new.login.trim().to_owned()))
}

/// Adds people of a party to try the console as, unless they are there: one who works, named as the
/// party, one who approves and confirms what that one changes about people, and one who audits.
/// Everybody knows their password, and [`Console`](super::Console) shows their codes.
pub fn add_for_demo(
    registry: &Registry,
    sealer: &Sealer,
    party: &str,
    name: &str,
) -> Result<(), PersonError> {
    use Role::{Admin, Approver, Auditor, Finance, Operations, Risk, Viewer};
    let working: &[Role] = &[Viewer, Operations, Risk, Finance, Admin];
    for (does, roles) in [
        ("desk", working),
        ("approver", &[Viewer, Approver, Admin]),
        ("auditor", &[Viewer, Auditor]),
    ] {
        let login = match does {
            "desk" => party.to_owned(),
            does => format!("{party}-{does}"),
        };
        let new = NewPerson {
            login: &login,
            name: &format!("{name}, {does}"),
            party,
            roles: roles.iter().copied().collect(),
        };
        match add(registry, new, DEMO_PASSWORD) {
            Ok(person) => {
                let secret = sealed(sealer, person, &new_secret());
                give_authenticator(registry, person, &secret)?;
            }
            Err(PersonError::LoginTaken(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The password of everybody in a demo.
pub const DEMO_PASSWORD: &str = "tandem-demo-2022";

/// People of a party, by name.
pub(super) fn of_party(registry: &Registry, party: &str) -> registry::Result<Vec<Person>> {
    let text = format!("select {COLUMNS} from person where party = ?1 order by name, id");
    registry.read(|tables| tables.rows(&text, values![party], read))
}

/// A person of a party.
pub(super) fn find(registry: &Registry, party: &str, id: i64) -> registry::Result<Option<Person>> {
    let text = format!("select {COLUMNS} from person where party = ?1 and id = ?2");
    registry.read(|tables| tables.row(&text, values![party, id], read))
}

/// The person that signs in with a name.
pub(super) fn by_login(registry: &Registry, login: &str) -> registry::Result<Option<Person>> {
    let text = format!("select {COLUMNS} from person where lower(login) = lower(?1)");
    registry.read(|tables| tables.row(&text, values![login.trim()], read))
}

/// What administrators did last about a party's people.
pub(super) fn changes(registry: &Registry, party: &str) -> registry::Result<Vec<Change>> {
    let text = format!(
        "select person.id, changed_at, awaited, other.name, person.active, person.totp is not null, {}
         from person_change join person on person.id = person_change.person
         join person one on one.id = changed_by left join person other on other.id = confirmed_by
         where person.party = ?1",
        Doer::COLUMNS
    );
    registry.read(|tables| {
        tables.rows(&text, values![party], |row| {
            Ok(Change {
                person: row.get(0)?,
                at: row.get(1)?,
                awaited: row.get::<Option<u8>>(2)?.map(Roles),
                confirmed_by: row.get(3)?,
                is_active: row.get(4)?,
                is_enrolled: row.get(5)?,
                by: Doer::read(row, 6)?,
            })
        })
    })
}

/// What an administrator did last about a person in the console, if one did.
pub(super) fn last_change(
    registry: &Registry,
    person: &Person,
) -> registry::Result<Option<Change>> {
    let changes = changes(registry, &person.party)?;
    Ok(changes
        .into_iter()
        .find(|change| change.person == person.id))
}

/// What a person may do now, what is asked for (the same unless another administrator is to confirm
/// it), and whether the person may sign in.
fn asked(tables: &Tables<'_>, person: i64) -> registry::Result<(Roles, Roles, bool)> {
    let text = "select roles, coalesce(awaited, roles), active from person
                left join person_change on person_change.person = person.id where person.id = ?1";
    let found = tables.row(text, values![person], |row| {
        Ok((Roles(row.get(0)?), Roles(row.get(1)?), row.get(2)?))
    })?;
    Ok(found.unwrap_or_default())
}

/// Notes who changed a person last, and which roles wait to be confirmed.
fn note(
    tables: &Tables<'_>,
    person: i64,
    by: By<'_>,
    may: Roles,
    asked: Roles,
) -> registry::Result<()> {
    let awaited = (asked != may).then_some(asked.0);
    tables.execute(
        "insert into person_change (person, changed_by, changed_at, awaited)
         values (?1, ?2, ?3, ?4) on conflict (person)
         do update set changed_by = ?2, changed_at = ?3, awaited = ?4, confirmed_by = null",
        values![person, by.administrator.id, by.now, awaited],
    )?;
    Ok(())
}

/// Sets what a person may do: what is taken away counts at once, and ends sessions; what is given
/// waits for another administrator.
pub(super) fn change(
    registry: &Registry,
    person: i64,
    roles: Roles,
    active: bool,
    by: By<'_>,
) -> registry::Result<()> {
    registry.change(|tables| {
        let (may, asked, was_active) = asked(tables, person)?;
        // Whoever asks for what is asked for already does not take it over.
        if (roles, active) == (asked, was_active) {
            return Ok(());
        }
        // Who comes back is as somebody new.
        let known = if was_active { may } else { LOOKS };
        let may = known.and(roles);
        tables.execute(
            "update person set roles = ?2, active = ?3 where id = ?1",
            values![person, may.0, active],
        )?;
        note(tables, person, by, may, roles)?;
        end_sessions(tables, person)
    })
}

/// Gives a person a password for the next sign-in, at which an authenticator is enrolled again.
/// Whoever has that password can be anybody, so the roles wait for another administrator.
pub(super) fn reset(registry: &Registry, person: i64, by: By<'_>) -> registry::Result<String> {
    let password = first_password();
    let hash = hash(&password);
    registry.change(|tables| {
        let (_, asked, _) = asked(tables, person)?;
        tables.execute(
            "update person set password = ?2, totp = null, roles = ?3 where id = ?1",
            values![person, hash, LOOKS.0],
        )?;
        note(tables, person, by, LOOKS, asked)?;
        // Whoever asks for it may have lost the device too.
        tables.execute("delete from passkey where person = ?1", values![person])?;
        end_sessions(tables, person)
    })?;
    Ok(password)
}

/// Lets a person do what is awaited since a time; false if that is not so any more.
pub(super) fn confirm(
    registry: &Registry,
    person: i64,
    since: i64,
    by: &Person,
) -> registry::Result<bool> {
    registry.change(|tables| {
        let text = "update person set roles =
                        (select awaited from person_change where person_change.person = person.id)
                    where id = ?1 and active = 1 and totp is not null and exists (
                        select 1 from person_change where person_change.person = person.id
                        and awaited is not null and changed_at = ?2)";
        if tables.execute(text, values![person, since])? == 0 {
            return Ok(false);
        }
        let text = "update person_change set awaited = null, confirmed_by = ?2 where person = ?1";
        tables.execute(text, values![person, by.id])?;
        Ok(true)
    })
}

/// Gives a person an authenticator by its sealed secret, for a demo and for tests.
pub(super) fn give_authenticator(
    registry: &Registry,
    person: i64,
    sealed: &[u8],
) -> registry::Result<()> {
    let text = "update person set totp = ?2 where id = ?1";
    registry.change(|tables| tables.execute(text, values![person, sealed]).map(drop))
}

/// The secret of a person's authenticator as it is kept.
pub(super) fn sealed(sealer: &Sealer, person: i64, secret: &[u8]) -> Vec<u8> {
    let sealed = sealer.seal(&sealed_as(person), secret);
    sealed.expect("the system has random numbers")
}

/// The secret of a person's authenticator; nothing if it was sealed for another, or changed.
pub(super) fn unsealed(sealer: &Sealer, person: i64, sealed: &[u8]) -> Option<Vec<u8>> {
    sealer.open(&sealed_as(person), sealed)
}

fn sealed_as(person: i64) -> String {
    format!("authenticator\n{person}")
}

/// The secrets of people's authenticators.
pub(crate) const AUTHENTICATORS: Sealed = Sealed {
    table: "person",
    column: "totp",
    kind: Some("authenticator"),
    of: &["id"],
};

/// Those that are offered to people who enrol.
pub(crate) const OFFERED: Sealed = Sealed {
    table: "person_session",
    column: "secret",
    kind: Some("authenticator"),
    of: &["person"],
};

/// Ends a person's first sign-in: its own password and its authenticator, whose secret is sealed.
pub(super) fn enrol(
    registry: &Registry,
    person: i64,
    password: &str,
    sealed: &[u8],
) -> Result<(), PersonError> {
    if password.chars().count() < PASSWORD_LENGTH {
        return Err(PersonError::PasswordShort);
    }
    let hash = hash(password);
    let text = "update person set password = ?2, totp = ?3 where id = ?1";
    registry.change(|tables| {
        Ok(tables
            .execute(text, values![person, hash, sealed])
            .map(drop)?)
    })
}

/// Gives a person another password, which the person chose, and ends the person's other sessions.
pub(super) fn set_password(
    registry: &Registry,
    person: i64,
    password: &str,
    token: &Token,
) -> registry::Result<()> {
    let hash = hash(password);
    let text = "update person set password = ?2 where id = ?1";
    registry.change(|tables| tables.execute(text, values![person, hash]).map(drop))?;
    session::end_others(registry, person, token)
}

/// The person that a name and a password belong to. It takes the same time for an unknown name.
pub(super) fn by_password(
    registry: &Registry,
    login: &str,
    password: &str,
) -> registry::Result<Option<Person>> {
    let text = format!("select {COLUMNS}, password from person where lower(login) = lower(?1)");
    let found = registry.read(|tables| {
        let read = |row: &Row| Ok((read(row)?, row.get::<String>(7)?));
        tables.row(&text, values![login.trim()], read)
    })?;
    let Some((person, hash)) = found else {
        // As long as a check takes.
        let _ = self::hash(password);
        return Ok(None);
    };
    let hash = PasswordHash::new(&hash).ok();
    let right = hash.is_some_and(|hash| {
        let verified = Argon2::default().verify_password(password.as_bytes(), &hash);
        verified.is_ok()
    });
    Ok((right && person.active).then_some(person))
}

/// True if the person has an authenticator.
pub(super) fn has_authenticator(registry: &Registry, person: i64) -> registry::Result<bool> {
    let text = "select totp is not null from person where id = ?1";
    registry.read(|tables| tables.value(text, values![person]))
}

/// The code that the person's authenticator shows, for a demo.
pub(super) fn code(
    registry: &Registry,
    sealer: &Sealer,
    person: i64,
    now: i64,
) -> registry::Result<Option<String>> {
    let secret = registry.read(|tables| secret(tables, sealer, person))?;
    let code = |secret: Vec<u8>| authenticator(&secret, "").generate(now.unsigned_abs());
    Ok(secret.map(code).map(|code| code.to_string()))
}

fn secret(tables: &Tables<'_>, sealer: &Sealer, person: i64) -> registry::Result<Option<Vec<u8>>> {
    let text = "select totp from person where id = ?1";
    let sealed: Option<Vec<u8>> = tables.value(text, values![person])?;
    Ok(sealed.and_then(|sealed| unsealed(sealer, person, &sealed)))
}

/// Uses a code of the person's authenticator, if it is right and was not used before.
pub(super) fn use_code(
    registry: &Registry,
    sealer: &Sealer,
    person: i64,
    code: &str,
    now: i64,
) -> registry::Result<bool> {
    registry.change(|tables| {
        let secret = secret(tables, sealer, person)?;
        let step = secret.and_then(|secret| check(&secret, code, now));
        let Some(step) = step else { return Ok(false) };
        let used = tables.execute(
            "update person set totp_step = ?2 where id = ?1 and totp_step < ?2",
            values![person, step],
        )?;
        Ok(used > 0)
    })
}

/// The time step of a code, if it is right.
pub(super) fn check(secret: &[u8], code: &str, now: i64) -> Option<i64> {
    let code: String = code
        .chars()
        .filter(|letter| !letter.is_whitespace())
        .collect();
    let step = authenticator(secret, "").check(&code, u64::try_from(now).ok()?)?;
    i64::try_from(step).ok()
}

/// What an authenticator is told by link or picture, and what can be typed.
pub(super) fn enrolment(secret: &[u8], login: &str) -> (String, String) {
    // A colon ends the issuer's name.
    let url = authenticator(secret, &login.replace(':', " ")).to_url();
    let typed = Secret::from(secret.to_vec()).to_base32();
    (url.unwrap_or_default(), typed)
}

/// A secret for an authenticator.
pub(super) fn new_secret() -> Vec<u8> {
    random::<20>().to_vec()
}

fn authenticator(secret: &[u8], login: &str) -> Totp {
    let builder = Builder::new()
        .with_secret(secret.to_vec())
        .with_issuer(Some("Tandem"))
        .with_account_name(login);
    builder.build_noncompliant()
}

/// Bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> [u8; N] {
    random_bytes().expect("the system has random numbers")
}

/// A password that can be read out: letters and digits that are not taken for each other.
fn first_password() -> String {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
    let letters = random::<16>().map(|byte| char::from(LETTERS[usize::from(byte % 32)]));
    let groups: Vec<String> = letters.chunks(4).map(String::from_iter).collect();
    groups.join("-")
}

fn hash(password: &str) -> String {
    let hash = Argon2::default().hash_password(password.as_bytes());
    hash.expect("the parameters and the system's random numbers are sound")
        .to_string()
}

fn end_sessions(tables: &Tables<'_>, person: i64) -> registry::Result<()> {
    let text = "delete from person_session where person = ?1";
    tables.execute(text, values![person]).map(drop)
}

/// Columns that [`read`] reads.
pub(super) const COLUMNS: &str =
    "person.id, person.login, person.name, person.party, person.roles, person.active,
    (select changed_by from person_change where person_change.person = person.id)";

pub(super) fn read(row: &Row) -> registry::Result<Person> {
    Ok(Person {
        id: row.get(0)?,
        login: row.get(1)?,
        name: row.get(2)?,
        party: row.get(3)?,
        roles: Roles(row.get(4)?),
        active: row.get(5)?,
        changed_by: row.get(6)?,
    })
}
