//! A SQLite file: a registry that no other node has, and what each node keeps for itself.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, TransactionBehavior};
use tandem_journal::sqlite::{CopyError, copy_database};

/// How long a statement waits for another process.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long it waits for readers where it can be tried again.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);

/// How a change begins: whoever reads first and writes then is not overtaken by another process.
pub(super) const BEHAVIOR: TransactionBehavior = TransactionBehavior::Immediate;

/// The file, by one connection.
pub struct NodeFile {
    connection: Arc<Mutex<Connection>>,
    path: Option<PathBuf>,
}

impl NodeFile {
    /// Opens the file, makes it if it is not there, and makes the tables that are not there.
    pub fn open(path: &Path, schemas: &[&str]) -> rusqlite::Result<NodeFile> {
        let mut file = NodeFile::prepare(Connection::open(path)?, schemas)?;
        file.path = Some(path.to_owned());
        Ok(file)
    }

    /// A file that ends with the process, for tests.
    pub fn in_memory(schemas: &[&str]) -> rusqlite::Result<NodeFile> {
        NodeFile::prepare(Connection::open_in_memory()?, schemas)
    }

    /// The same file by a connection of its own, which waits for no other's flush; one that ends
    /// with the process has no more than one connection.
    pub fn another(&self) -> rusqlite::Result<NodeFile> {
        match &self.path {
            Some(path) => NodeFile::open(path, &[]),
            None => Ok(NodeFile {
                connection: Arc::clone(&self.connection),
                path: None,
            }),
        }
    }

    fn prepare(connection: Connection, schemas: &[&str]) -> rusqlite::Result<NodeFile> {
        connection.busy_timeout(PATIENCE)?;
        keep_plans(&connection)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        for schema in schemas {
            connection.execute_batch(schema)?;
        }
        Ok(NodeFile {
            connection: Arc::new(Mutex::new(connection)),
            path: None,
        })
    }

    /// Copies the file, also while a service uses it, in the place of an earlier copy.
    pub fn copy_to(&self, to: &Path) -> Result<(), CopyError> {
        copy_database(&self.lock(), to)
    }

    /// Writes the log beside the file into it and empties it; false if somebody reads it meanwhile. What
    /// was overwritten in the file stays in the log until then.
    pub(super) fn empty_log(&self) -> rusqlite::Result<bool> {
        let connection = self.lock();
        connection.busy_timeout(SHORT_PATIENCE)?;
        let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
        let busy = connection.query_row(checkpoint, [], |row| row.get::<_, bool>(0));
        connection.busy_timeout(PATIENCE)?;
        Ok(!busy?)
    }

    /// Runs statements, one caller at a time. Statements are short: call it from async code too.
    pub fn with<T>(
        &self,
        run: impl FnOnce(&mut Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        run(&mut self.lock())
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the plan of a statement whatever values it is run with. Otherwise SQLite, as it is built
/// here, prepares a statement anew each time a value is compared that it had not seen.
pub(crate) fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}
