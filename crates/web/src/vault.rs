//! Personal data, outside the books: encrypted under a key for each person, which is encrypted
//! under the service's key. A book knows a person by a token that says nothing.
//!
//! Keys and data lie apart, in two registries. Erasing a person erases its key: what backups of the data still
//! have can then be read by nobody.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tandem_client::key::{create_private, random_bytes, random_id};
use tokio::task::spawn_blocking;

use crate::Service;
use crate::access::Caller;
use crate::console::people;
use crate::registry::{self, Registry, Tables, values};
use crate::seal::{KEY, Sealed, Sealer, bytes, seal_anew};
use crate::webhooks;

/// Tables of the persons' keys.
pub const KEYS: [&str; 2] = [KEY_TABLE, CHECK_TABLE];

/// Tables of their data.
pub const DATA: [&str; 1] = [DATA_TABLE];

const KEY_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS person_key (
        party TEXT NOT NULL,
        token TEXT NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (party, token)
    ) STRICT, WITHOUT ROWID";

/// Tells, in each registry with something sealed, under which key.
pub(crate) const CHECK_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS vault_check (sealed BLOB NOT NULL) STRICT";

/// The check, as something sealed.
const CHECK: Sealed = Sealed {
    table: "vault_check",
    column: "sealed",
    kind: Some("vault"),
    of: &[],
};

/// What is sealed among the persons' keys. The check comes first: where there is none, anything
/// sealed tells the key.
const IN_KEYS: [Sealed; 2] = [
    CHECK,
    Sealed {
        table: "person_key",
        column: "sealed",
        kind: None,
        of: &["party", "token"],
    },
];

/// What is sealed in the service's registry.
const IN_REGISTRY: [Sealed; 4] = [
    CHECK,
    people::AUTHENTICATORS,
    webhooks::KEYS,
    people::OFFERED,
];

const DATA_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS person (
        party TEXT NOT NULL,
        token TEXT NOT NULL,
        sealed BLOB NOT NULL,
        PRIMARY KEY (party, token)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS person_access (
        number INTEGER PRIMARY KEY,
        party TEXT NOT NULL,
        token TEXT NOT NULL,
        at INTEGER NOT NULL,
        client TEXT NOT NULL,
        what TEXT NOT NULL
    ) STRICT;
    CREATE INDEX IF NOT EXISTS person_access_of ON person_access (party, token, number)";

/// How often files are written anew if something was erased.
const CLEARED_EVERY: Duration = Duration::from_secs(10 * 60);

/// Bytes that a file of data may have to be written anew too. Beyond that it takes long, and without
/// its key nobody reads what stays there.
const SMALL: i64 = 64 << 20;

/// Where the service's key comes from.
#[derive(Clone, Debug)]
pub enum KeySource {
    /// A file with 32 bytes in base64; it is made if it is not there and the key is a new one.
    File(PathBuf),
    /// A command that prints them, run by the shell.
    Command(String),
}

/// Why the vault cannot do something.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// A file.
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    /// The key of a vault that is not new.
    #[error(
        "{0}: the vault's key is not there, and without it nobody can read what the vault has; \
         bring it from where it was made, or name it with --vault-key"
    )]
    NoKey(PathBuf),
    /// The command that gives the key.
    #[error("the command that gives the vault's key failed: {0}")]
    Command(String),
    /// The key.
    #[error("the vault's key must be 32 bytes in base64")]
    Key,
    /// The key is that of another vault, or there was another before.
    #[error(
        "the vault is sealed under another key; name that one, or, if this is to take its place, \
         name that one with --old-vault-key"
    )]
    OtherKey,
    /// Nodes that share a vault started at once, each with a key of its own.
    #[error(
        "another node was first and made the vault's key; bring its file here in the place of the \
         one that was made"
    )]
    OtherFirst,
    /// The key is to be changed, to itself.
    #[error("the old key of the vault is its key; name another with --vault-key")]
    SameKey,
    /// The database.
    #[error("the vault: {0}")]
    Registry(#[from] registry::Error),
    /// Something was changed, or sealed under another key.
    #[error(
        "the vault: what is kept of {0} does not open with this key; it was changed, or the key was"
    )]
    Sealed(String),
    /// The system has no random numbers.
    #[error("the system gives no random numbers")]
    Random,
}

/// The vault of a service.
pub struct Vault {
    sealer: Sealer,
    keys: Registry,
    data: Registry,
    /// True if something that was erased may still lie where the databases keep it.
    uncleared: AtomicBool,
}

/// That somebody looked at a person's data or changed it.
#[derive(Clone, Debug)]
pub struct Access {
    /// Seconds since 1970.
    pub at: i64,
    /// The client.
    pub client: String,
    /// `stored`, `read` or `erased`.
    pub what: String,
}

impl Vault {
    /// Opens the vault whose persons' keys and data are in two registries, with the tables of
    /// [`KEYS`] and [`DATA`]. What was sealed under the old key, there and in the service's registry,
    /// is sealed anew.
    pub fn open(
        keys: Registry,
        data: Registry,
        registry: &Registry,
        key: &KeySource,
        old_key: Option<&KeySource>,
    ) -> Result<Vault, VaultError> {
        let sealed = [sample(&keys, &IN_KEYS)?, sample(registry, &IN_REGISTRY)?];
        let sealed: Vec<_> = sealed.into_iter().flatten().collect();
        // A vault that is new makes its key, and so does one that is to have a new key.
        let key = match sealed.is_empty() || old_key.is_some() {
            true => key.read_or_make()?,
            false => key.read()?,
        };
        let vault = Vault {
            sealer: Sealer::new(&key),
            keys,
            data,
            // What was erased before a crash.
            uncleared: AtomicBool::new(true),
        };
        let opens = |sealer: &Sealer, (name, sealed): &(String, Vec<u8>)| {
            sealer.open(name, sealed).is_some()
        };
        if !sealed.iter().all(|one| opens(&vault.sealer, one)) {
            let old = old_key.ok_or(VaultError::OtherKey)?;
            let old = Sealer::new(&old.read()?);
            // What was interrupted is under both.
            let either = |one| opens(&vault.sealer, one) || opens(&old, one);
            if !sealed.iter().all(either) {
                return Err(VaultError::OtherKey);
            }
            vault.take_from(&old, registry)?;
        } else if old_key.is_some_and(|old| old.read().is_ok_and(|old| old == key)) {
            return Err(VaultError::SameKey);
        }
        for registry in [&vault.keys, registry] {
            registry.change(|tables| {
                if let [(_, check), ..] = &CHECK.rows(tables, 1)?[..] {
                    let is_own = vault.sealer.open(&CHECK.name(&[]), &bytes(check)).is_some();
                    return is_own.then_some(()).ok_or(VaultError::OtherFirst);
                }
                let check = vault.sealer.seal(&CHECK.name(&[]), b"");
                let check = check.map_err(|_| VaultError::Random)?;
                let insert = "INSERT INTO vault_check (sealed) VALUES (?1)";
                Ok(tables.execute(insert, values![check]).map(drop)?)
            })?;
        }
        Ok(vault)
    }

    /// Seals anew what was sealed under the old key. A crash between the ends of the two
    /// changes leaves one registry under each key, which both checks tell.
    fn take_from(&self, old: &Sealer, registry: &Registry) -> registry::Result<()> {
        self.keys.change(|keys| {
            seal_anew(keys, old, &self.sealer, &IN_KEYS)?;
            registry.change(|tables| seal_anew(tables, old, &self.sealer, &IN_REGISTRY))
        })?;
        tracing::info!("the vault's key is changed");
        for (registry, places) in [(&self.keys, &IN_KEYS[..]), (registry, &IN_REGISTRY)] {
            let tables: BTreeSet<_> = places.iter().map(|place| place.table).collect();
            let tables: Vec<_> = tables.into_iter().collect();
            if let Err(error) = rewrite_small(registry, &tables) {
                tracing::warn!(
                    %error,
                    "what was sealed under the old key still lies in the database's files: destroy \
                     that key"
                );
            }
        }
        Ok(())
    }

    /// What seals under the service's key, for secrets that are kept elsewhere.
    pub fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    /// Keeps a person's data for the caller's party, and gives the token by which books know it.
    pub fn store(
        &self,
        caller: &Caller,
        data: &serde_json::Value,
        now: i64,
    ) -> Result<String, VaultError> {
        let token = random_id().map_err(|_| VaultError::Random)?;
        let party = &caller.party;
        let own: [u8; KEY] = random_bytes().map_err(|_| VaultError::Random)?;
        let name = name(party, &token);
        let seal = |sealer: &Sealer, plain: &[u8]| {
            let sealed = sealer.seal(&name, plain);
            sealed.map_err(|_| VaultError::Random)
        };
        let sealed_key = seal(&self.sealer, &own)?;
        let sealed = seal(&Sealer::new(&own), data.to_string().as_bytes())?;
        let insert = "INSERT INTO person_key (party, token, sealed) VALUES (?1, ?2, ?3)";
        let row = values![party, &token, sealed_key];
        self.keys.change(|keys| keys.execute(insert, row))?;
        let insert = "INSERT INTO person (party, token, sealed) VALUES (?1, ?2, ?3)";
        let row = values![party, &token, sealed];
        self.data.change(|data| {
            data.execute(insert, row)?;
            note(data, caller, &token, "stored", now)
        })?;
        Ok(token)
    }

    /// A person's data, if the caller's party keeps it; that it was read is noted first.
    pub fn read(
        &self,
        caller: &Caller,
        token: &str,
        now: i64,
    ) -> Result<Option<serde_json::Value>, VaultError> {
        let party = &caller.party;
        let find = |table: &str, registry: &Registry| {
            let select = format!("SELECT sealed FROM {table} WHERE party = ?1 AND token = ?2");
            registry.read(|tables| tables.row(&select, values![party, token], |row| row.get(0)))
        };
        let key: Option<Vec<u8>> = find("person_key", &self.keys)?;
        let data: Option<Vec<u8>> = find("person", &self.data)?;
        let Some((key, data)) = key.zip(data) else {
            return Ok(None);
        };
        let name = name(party, token);
        let broken = || VaultError::Sealed(token.to_owned());
        let own = self.sealer.open(&name, &key).ok_or_else(broken)?;
        let own: [u8; KEY] = own.try_into().map_err(|_| broken())?;
        let data = Sealer::new(&own).open(&name, &data).ok_or_else(broken)?;
        self.data
            .change(|data| note(data, caller, token, "read", now))?;
        Ok(serde_json::from_slice(&data).ok())
    }

    /// Erases a person's key and data; false if the caller's party keeps none.
    pub fn erase(&self, caller: &Caller, token: &str, now: i64) -> Result<bool, VaultError> {
        let party = &caller.party;
        let delete = "DELETE FROM person_key WHERE party = ?1 AND token = ?2";
        let erased = self
            .keys
            .change(|keys| keys.execute(delete, values![party, token]))?;
        let delete = "DELETE FROM person WHERE party = ?1 AND token = ?2";
        self.data.change(|data| {
            data.execute(delete, values![party, token])?;
            match erased {
                0 => Ok(()),
                _ => note(data, caller, token, "erased", now),
            }
        })?;
        self.uncleared.store(true, Ordering::Release);
        let logs = self.keys.empty_log().and(self.data.empty_log());
        logs.unwrap_or_else(|error| uncleared(&error));
        Ok(erased > 0)
    }

    /// Clears what was erased from where the databases still keep it, if there may be something.
    fn clear(&self) {
        if !self.uncleared.swap(false, Ordering::AcqRel) {
            return;
        }
        let keys = self.keys.rewrite(&["person_key"]);
        if let Err(error) = keys.and(rewrite_small(&self.data, &[])) {
            self.uncleared.store(true, Ordering::Release);
            uncleared(&error);
        }
    }

    /// Who looked at a person's data or changed it, newest first; kept after it is erased.
    pub fn accesses(&self, party: &str, token: &str) -> Result<Vec<Access>, VaultError> {
        let select = "SELECT at, client, what FROM person_access WHERE party = ?1 AND token = ?2
                      ORDER BY number DESC LIMIT 1000";
        let found = self.data.read(|data| {
            data.rows(select, values![party, token], |row| {
                Ok(Access {
                    at: row.get(0)?,
                    client: row.get(1)?,
                    what: row.get(2)?,
                })
            })
        });
        Ok(found?)
    }
}

fn uncleared(error: &registry::Error) {
    tracing::warn!(
        %error,
        "what was erased still lies in the files of the vault; it is tried again in ten minutes"
    );
}

/// Clears what was erased or overwritten in tables of a registry; of a large file its log only.
fn rewrite_small(registry: &Registry, tables: &[&str]) -> registry::Result<()> {
    match registry.bytes()? {
        Some(bytes) if bytes > SMALL => registry.empty_log(),
        _ => registry.rewrite(tables),
    }
}

/// Clears what was erased, again and again, until the service ends.
pub(crate) async fn run(service: Arc<Service>) {
    loop {
        tokio::time::sleep(CLEARED_EVERY).await;
        let service = Arc::clone(&service);
        // It fails only where the service ends.
        let _ = spawn_blocking(move || service.vault.clear()).await;
    }
}

fn note(
    data: &Tables<'_>,
    caller: &Caller,
    token: &str,
    what: &str,
    now: i64,
) -> registry::Result<()> {
    let insert = "INSERT INTO person_access (party, token, at, client, what)
                  VALUES (?1, ?2, ?3, ?4, ?5)";
    let row = values![&caller.party, token, now, &caller.client_id, what];
    data.execute(insert, row).map(drop)
}

/// Something sealed in a registry, and its name.
fn sample(registry: &Registry, places: &[Sealed]) -> registry::Result<Option<(String, Vec<u8>)>> {
    registry.read(|tables| {
        for place in places {
            if let Some((of, sealed)) = place.rows(tables, 1)?.pop() {
                return Ok(Some((place.name(&of), bytes(&sealed))));
            }
        }
        Ok(None)
    })
}

impl KeySource {
    /// Reads the key, and makes its file if it is not there.
    fn read_or_make(&self) -> Result<[u8; KEY], VaultError> {
        if let KeySource::File(path) = self
            && !path.exists()
        {
            make(path)?;
        }
        self.read()
    }

    fn read(&self) -> Result<[u8; KEY], VaultError> {
        let text = match self {
            KeySource::File(path) => {
                fs::read_to_string(path).map_err(|error| match error.kind() {
                    io::ErrorKind::NotFound => VaultError::NoKey(path.clone()),
                    _ => VaultError::File(path.clone(), error),
                })?
            }
            KeySource::Command(command) => {
                let output = Command::new("sh").args(["-c", command]).output();
                let output = output.map_err(|error| VaultError::Command(error.to_string()))?;
                if !output.status.success() {
                    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                    return Err(VaultError::Command(format!("{} {said}", output.status)));
                }
                String::from_utf8(output.stdout).map_err(|_| VaultError::Key)?
            }
        };
        let bytes = STANDARD.decode(text.trim()).map_err(|_| VaultError::Key)?;
        bytes.try_into().map_err(|_| VaultError::Key)
    }
}

/// Makes a key in a file that only its owner may read.
fn make(path: &Path) -> Result<(), VaultError> {
    let text = STANDARD.encode(random_bytes::<KEY>().map_err(|_| VaultError::Random)?) + "\n";
    let written = create_private(path, &text);
    written.map_err(|error| VaultError::File(path.to_owned(), error))
}

/// What is sealed cannot be put in another's place.
fn name(party: &str, token: &str) -> String {
    format!("{party}\n{token}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::access::Scopes;

    fn caller(party: &str) -> Caller {
        Caller {
            client_id: format!("{party}-1"),
            party: party.to_owned(),
            scopes: Scopes::all(),
        }
    }

    fn file(folder: &Path) -> KeySource {
        KeySource::File(folder.join("vault.key"))
    }

    fn registry(folder: &Path) -> Registry {
        Registry::open(&folder.join("registry.db"), &crate::schemas()).unwrap()
    }

    fn open(folder: &Path, key: &KeySource) -> Result<Vault, VaultError> {
        change(folder, key, None)
    }

    fn change(
        folder: &Path,
        key: &KeySource,
        old: Option<&KeySource>,
    ) -> Result<Vault, VaultError> {
        let keys = Registry::open(&folder.join("person-keys.db"), &KEYS).unwrap();
        let data = Registry::open(&folder.join("persons.db"), &DATA).unwrap();
        Vault::open(keys, data, &registry(folder), key, old)
    }

    #[test]
    fn a_person_is_kept_for_one_party_and_erased_with_its_key() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path(), &file(folder.path())).unwrap();
        let (own, other) = (caller("bazaar"), caller("river"));
        let data = json!({"name": "Wang Fang", "phone": "13800000000"});
        let token = vault.store(&own, &data, 1).unwrap();
        drop(vault);
        let vault = open(folder.path(), &file(folder.path())).unwrap();
        assert_eq!(vault.read(&own, &token, 2).unwrap(), Some(data));
        assert_eq!(vault.read(&other, &token, 3).unwrap(), None);
        assert!(!vault.erase(&other, &token, 4).unwrap());
        assert!(vault.erase(&own, &token, 5).unwrap());
        assert_eq!(vault.read(&own, &token, 6).unwrap(), None);
        let seen = vault.accesses("bazaar", &token).unwrap();
        let seen: Vec<_> = seen
            .iter()
            .map(|seen| (seen.at, seen.what.as_str()))
            .collect();
        assert_eq!(seen, [(5, "erased"), (2, "read"), (1, "stored")]);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn nodes_on_a_server_have_the_same_persons_and_need_the_same_key() {
        let Some(server) = tandem_pgtest::Server::shared() else {
            return;
        };
        let address = tandem_pgtest::address(&[server], &server.schema());
        let on = |area: &str, tables: &[&str]| {
            Registry::on(&address.parse().unwrap(), area, tables).unwrap()
        };
        let node = |key: &KeySource, old: Option<&KeySource>| {
            let (keys, persons) = (on("person_keys", &KEYS), on("persons", &DATA));
            let registry = on("service", &crate::schemas());
            Vault::open(keys, persons, &registry, key, old)
        };
        let folder = tempfile::tempdir().unwrap();
        let key = file(folder.path());
        let (own, data) = (caller("bazaar"), json!({"name": "Wang Fang"}));
        let token = node(&key, None).unwrap().store(&own, &data, 1).unwrap();
        let other = node(&key, None).unwrap();
        assert_eq!(other.read(&own, &token, 2).unwrap(), Some(data.clone()));
        assert_eq!(other.accesses("bazaar", &token).unwrap().len(), 2);
        let elsewhere = KeySource::File(folder.path().join("elsewhere.key"));
        assert!(matches!(node(&elsewhere, None), Err(VaultError::NoKey(_))));
        let zeros = KeySource::Command("head -c 32 /dev/zero | base64".to_owned());
        assert!(matches!(node(&zeros, None), Err(VaultError::OtherKey)));
        let changed = node(&zeros, Some(&key)).unwrap();
        assert_eq!(changed.read(&own, &token, 3).unwrap(), Some(data));
        assert!(changed.erase(&own, &token, 4).unwrap());
        assert_eq!(
            node(&zeros, None).unwrap().read(&own, &token, 5).unwrap(),
            None
        );
    }

    #[test]
    fn nothing_of_a_person_can_be_read_in_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let vault = open(folder.path(), &file(folder.path())).unwrap();
        vault
            .store(&caller("bazaar"), &json!({"name": "Wang Fang"}), 1)
            .unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let bytes = fs::read(entry.unwrap().path()).unwrap();
            assert!(!bytes.windows(9).any(|window| window == b"Wang Fang"));
        }
    }

    /// Files of a folder in which something that was sealed lies, or its beginning.
    fn found(folder: &Path, sealed: &[Vec<u8>]) -> Vec<String> {
        let begins: BTreeSet<_> = sealed.iter().map(|bytes| &bytes[..24]).collect();
        let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        let has = files.filter(|file| {
            let bytes = fs::read(file.path()).unwrap();
            bytes.windows(24).any(|window| begins.contains(window))
        });
        let mut names: Vec<_> = has
            .map(|file| file.file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// What is kept sealed of a person, in two registries.
    fn sealed(vault: &Vault, token: &str) -> [Vec<u8>; 2] {
        let places = [("person_key", &vault.keys), ("person", &vault.data)];
        places.map(|(table, registry)| {
            let select = format!("SELECT sealed FROM {table} WHERE token = ?1");
            let sealed = registry.read(|tables| tables.value(&select, values![token]));
            sealed.unwrap_or_else(|error: registry::Error| panic!("{error}"))
        })
    }

    #[test]
    fn no_byte_of_an_erased_person_stays_in_the_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let vault = open(path, &file(path)).unwrap();
        let own = caller("bazaar");
        let store = |number: usize| {
            let data = json!({"name": "x".repeat(number % 300), "number": number});
            vault.store(&own, &data, 1).unwrap()
        };
        let tokens: Vec<_> = (0..300).map(store).collect();
        let erased: Vec<_> = tokens.iter().step_by(7).collect();
        let of_erased: Vec<_> = erased
            .iter()
            .flat_map(|token| sealed(&vault, token))
            .collect();
        assert_ne!(found(path, &of_erased), [""; 0]);
        for token in erased {
            assert!(vault.erase(&own, token, 2).unwrap());
        }
        for log in ["person-keys.db-wal", "persons.db-wal"] {
            assert_eq!(fs::metadata(path.join(log)).unwrap().len(), 0);
        }
        vault.clear();
        assert_eq!(found(path, &of_erased), [""; 0]);

        // While somebody reads, it stays in the log, and goes with the next try.
        let one = sealed(&vault, &tokens[1]);
        let reader = rusqlite::Connection::open(path.join("person-keys.db")).unwrap();
        let count = "BEGIN; SELECT count(*) FROM person_key";
        reader.execute_batch(count).unwrap();
        assert!(vault.erase(&own, &tokens[1], 3).unwrap());
        assert_ne!(found(path, &one), [""; 0]);
        assert_eq!(
            vault.keys.empty_log().unwrap_err().to_string(),
            "somebody reads the log of its file"
        );
        reader.execute_batch("COMMIT").unwrap();
        vault.clear();
        assert_eq!(found(path, &one), [""; 0]);

        // Nor does what was sealed under a key that another took the place of.
        let [under_old, _] = sealed(&vault, &tokens[2]);
        drop(vault);
        let new = KeySource::File(path.join("new.key"));
        let vault = change(path, &new, Some(&file(path))).unwrap();
        assert_ne!(sealed(&vault, &tokens[2])[0], under_old);
        assert_eq!(found(path, &[under_old]), [""; 0]);
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn an_erased_key_leaves_the_file_of_its_table_on_a_server() {
        let Some(server) = tandem_pgtest::Server::shared() else {
            return;
        };
        let schema = server.schema();
        let address = tandem_pgtest::address(&[server], &schema);
        let on = |area: &str, tables: &[&str]| {
            Registry::on(&address.parse().unwrap(), area, tables).unwrap()
        };
        let folder = tempfile::tempdir().unwrap();
        let registry = on("service", &crate::schemas());
        let (keys, persons) = (on("person_keys", &KEYS), on("persons", &DATA));
        let key = file(folder.path());
        let vault = Vault::open(keys, persons, &registry, &key, None).unwrap();
        let own = caller("bazaar");
        let tokens = [1, 2, 3].map(|number| vault.store(&own, &json!(number), 1).unwrap());
        let file = || {
            let table = format!("{schema}_person_keys.person_key");
            let path = "current_setting('data_directory') || '/' || pg_relation_filepath";
            let path = server.sql(&schema, &format!("CHECKPOINT; SELECT {path}('{table}')"));
            fs::read(path.trim()).unwrap()
        };
        let has = |bytes: &[u8]| file().windows(bytes.len()).any(|window| window == bytes);
        let [key, _] = sealed(&vault, &tokens[1]);
        assert!(has(&key));
        assert!(vault.erase(&own, &tokens[1], 2).unwrap());
        assert!(has(&key));
        vault.clear();
        assert!(!has(&key));
        for token in [&tokens[0], &tokens[2]] {
            assert!(vault.read(&own, token, 3).unwrap().is_some());
        }
    }

    #[test]
    fn another_key_opens_nothing_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let own = file(path);
        open(path, &own).unwrap();
        let said = |key: &KeySource| open(path, key).err().unwrap().to_string();
        let command = |text: &str| KeySource::Command(text.to_owned());
        let other = command(&format!("echo {}", STANDARD.encode([7; KEY])));
        assert_eq!(
            said(&other),
            "the vault is sealed under another key; name that one, or, if this is to take its \
             place, name that one with --old-vault-key"
        );
        assert_eq!(
            said(&command("echo abc")),
            "the vault's key must be 32 bytes in base64"
        );
        assert_eq!(
            said(&command("echo no module >&2; exit 3")),
            "the command that gives the vault's key failed: exit status: 3 no module"
        );
        // A name that is mistyped makes no key.
        let mistyped = path.join("valut.key");
        let expected = format!(
            "{}: the vault's key is not there, and without it nobody can read what the vault has; \
             bring it from where it was made, or name it with --vault-key",
            mistyped.display()
        );
        assert_eq!(said(&KeySource::File(mistyped.clone())), expected);
        assert!(!mistyped.exists());
        let zeros = command("head -c 32 /dev/zero | base64");
        assert_eq!(
            VaultError::OtherFirst.to_string(),
            "another node was first and made the vault's key; bring its file here in the place of \
             the one that was made"
        );
        let wrong = change(path, &zeros, Some(&other));
        assert!(matches!(wrong, Err(VaultError::OtherKey)));
    }

    fn authenticator(registry: &Registry, sealer: &Sealer) {
        let insert = "INSERT INTO person (login, name, party, roles, password, totp)
                      VALUES ('li', 'Li', 'river', 0, '', ?1)";
        let sealed = sealer.seal("authenticator\n1", b"secret").unwrap();
        registry
            .change(|tables| tables.execute(insert, values![sealed]))
            .unwrap();
    }

    fn opens(registry: &Registry, sealer: &Sealer) -> bool {
        let select = "SELECT totp FROM person";
        let sealed: Vec<u8> = registry
            .read(|tables| tables.value(select, values![]))
            .unwrap();
        sealer.open("authenticator\n1", &sealed).is_some()
    }

    #[test]
    fn what_was_sealed_under_the_old_key_is_sealed_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let old = file(path);
        let vault = open(path, &old).unwrap();
        let own = caller("bazaar");
        let tokens = ["Wang Fang", "Li Wei"].map(|name| {
            let token = vault.store(&own, &json!({"name": name}), 1).unwrap();
            (token, name)
        });
        let registry = registry(path);
        authenticator(&registry, &vault.sealer);
        let new = KeySource::File(path.join("new.key"));
        let sealer = Sealer::new(&new.read_or_make().unwrap());

        // A crash left one file under each key; neither is the vault's then, but both are.
        registry
            .change(|tables| seal_anew(tables, &vault.sealer, &sealer, &IN_REGISTRY))
            .unwrap();
        drop(vault);
        for key in [&old, &new] {
            assert!(matches!(open(path, key), Err(VaultError::OtherKey)));
        }
        for _ in 0..2 {
            let vault = change(path, &new, Some(&old)).unwrap();
            for (token, name) in &tokens {
                let read = vault.read(&own, token, 2).unwrap();
                assert_eq!(read, Some(json!({"name": name})));
            }
            assert!(opens(&registry, &vault.sealer));
        }
        assert!(matches!(open(path, &old), Err(VaultError::OtherKey)));
        let vault = open(path, &new).unwrap();
        let same = change(path, &new, Some(&new)).err().unwrap();
        assert_eq!(
            same.to_string(),
            "the old key of the vault is its key; name another with --vault-key"
        );

        // What opens with neither key leaves everything as it was.
        let broken = "UPDATE person_key SET sealed = zeroblob(60) WHERE token = ?1";
        let [(first, _), (second, _)] = &tokens;
        vault
            .keys
            .change(|keys| keys.execute(broken, values![second]))
            .unwrap();
        let newest = KeySource::File(path.join("newest.key"));
        let said = change(path, &newest, Some(&new)).err().unwrap();
        assert_eq!(
            said.to_string(),
            format!("the vault: bazaar {second} opens with neither key")
        );
        assert!(vault.read(&own, first, 3).unwrap().is_some());
        assert!(opens(&registry, &vault.sealer));
    }

    #[test]
    fn a_vault_from_before_tells_its_key_by_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let registry = registry(path);
        let vault = open(path, &file(path)).unwrap();
        let token = vault.store(&caller("bazaar"), &json!({}), 1).unwrap();
        authenticator(&registry, &vault.sealer);
        let plain = "UPDATE person SET totp = randomblob(20)";
        let none = "DELETE FROM vault_check";
        registry
            .change(|tables| tables.execute(plain, values![]))
            .unwrap();
        for registry in [&vault.keys, &registry] {
            registry
                .change(|tables| tables.execute(none, values![]))
                .unwrap();
        }
        drop(vault);
        let mistyped = KeySource::File(path.join("valut.key"));
        assert!(matches!(open(path, &mistyped), Err(VaultError::NoKey(_))));
        let vault = open(path, &file(path)).unwrap();
        assert!(vault.read(&caller("bazaar"), &token, 2).unwrap().is_some());
        // Who had an authenticator whose secret lay there plainly enrols another.
        let select = "SELECT totp IS NULL FROM person";
        let enrols: bool = registry
            .read(|tables| tables.value(select, values![]))
            .unwrap();
        assert!(enrols);
    }
}
