//! What the service keeps beside its books: clients and their keys, people and their sessions,
//! answers to repeat, webhooks, and who did what. One SQLite file; each area has its own tables.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

/// How long a statement waits for another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// The file, with the tables of all areas.
pub struct Registry {
    connection: Arc<Mutex<Connection>>,
    path: Option<PathBuf>,
}

impl Registry {
    /// Opens the file, makes it if it is not there, and makes the tables that are not there.
    pub fn open(path: &Path, schemas: &[&str]) -> rusqlite::Result<Registry> {
        let mut registry = Registry::prepare(Connection::open(path)?, schemas)?;
        registry.path = Some(path.to_owned());
        Ok(registry)
    }

    /// A registry that ends with the process, for tests.
    pub fn in_memory(schemas: &[&str]) -> rusqlite::Result<Registry> {
        Registry::prepare(Connection::open_in_memory()?, schemas)
    }

    /// The same file by a connection of its own, which waits for no other's flush; one that ends
    /// with the process has no more than one connection.
    pub fn another(&self) -> rusqlite::Result<Registry> {
        match &self.path {
            Some(path) => Registry::open(path, &[]),
            None => Ok(Registry {
                connection: Arc::clone(&self.connection),
                path: None,
            }),
        }
    }

    fn prepare(connection: Connection, schemas: &[&str]) -> rusqlite::Result<Registry> {
        connection.busy_timeout(PATIENCE)?;
        keep_plans(&connection)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        for schema in schemas {
            connection.execute_batch(schema)?;
        }
        Ok(Registry {
            connection: Arc::new(Mutex::new(connection)),
            path: None,
        })
    }

    /// Runs statements, one caller at a time. Statements are short: call it from async code too.
    pub fn with<T>(
        &self,
        run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        run(&mut self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner))
    }
}

/// Keeps the plan of a statement whatever values it is run with. Otherwise SQLite, as it is built
/// here, prepares a statement anew each time a value is compared that it had not seen.
pub(crate) fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
