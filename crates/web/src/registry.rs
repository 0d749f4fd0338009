//! What a service keeps beside its books: clients and their keys, people and their sessions, what
//! they propose and approve, webhooks, what was refused, and persons. Each area has its own tables.
//!
//! A registry lies in a file, or in a schema on the server that has the books; all nodes have the
//! same one then. Statements are those that both databases understand, with `?1` for values;
//! integers, truth, text and bytes are what they know.

mod file;
#[cfg(feature = "postgres")]
mod server;
mod value;

use std::path::Path;

use thiserror::Error;

pub use file::NodeFile;
pub(crate) use file::keep_plans;
pub(crate) use value::values;
pub use value::{FromValue, Row, Value};

/// Why a registry cannot be read or written.
#[derive(Debug, Error)]
pub enum Error {
    /// The file.
    #[error(transparent)]
    File(#[from] rusqlite::Error),
    /// The server, and what it says.
    #[error("{0}: {1}")]
    Server(String, String),
    /// A column has what it cannot have.
    #[error("column {0} has a value that it cannot have; the table was changed by something else")]
    Value(String),
    /// What is kept there cannot be used.
    #[error("{0}")]
    Kept(String),
}

/// What a statement of a registry gives.
pub type Result<T> = std::result::Result<T, Error>;

/// The tables of some areas.
pub struct Registry(Place);

enum Place {
    File(NodeFile),
    #[cfg(feature = "postgres")]
    Server(Box<server::Schema>),
}

impl Registry {
    /// Opens a file, makes it if it is not there, and makes the tables that are not there.
    pub fn open(path: &Path, tables: &[&str]) -> Result<Registry> {
        Registry::of(NodeFile::open(path, tables)?)
    }

    fn of(file: NodeFile) -> Result<Registry> {
        // What is erased leaves nothing behind.
        file.with(|connection| connection.pragma_update(None, "secure_delete", true))?;
        Ok(Registry(Place::File(file)))
    }

    /// A registry that ends with the process, for tests.
    pub fn in_memory(tables: &[&str]) -> Result<Registry> {
        Ok(Registry(Place::File(NodeFile::in_memory(tables)?)))
    }

    /// Opens a schema on a server and makes what is not there. Its name is `tandem_` and the area,
    /// or that of the schema that the address chooses (`search_path`) and the area.
    #[cfg(feature = "postgres")]
    pub fn on(
        server: &tandem_journal::postgres::Server,
        area: &str,
        tables: &[&str],
    ) -> Result<Registry> {
        let schema = server::Schema::open(server, area, tables)?;
        Ok(Registry(Place::Server(Box::new(schema))))
    }

    /// The same by a connection of its own, which waits for no other's statements; one that ends
    /// with the process has no more than one connection.
    pub fn another(&self) -> Result<Registry> {
        match &self.0 {
            Place::File(file) => Registry::of(file.another()?),
            #[cfg(feature = "postgres")]
            Place::Server(schema) => Ok(Registry(Place::Server(Box::new(schema.another())))),
        }
    }

    /// Clears what was erased or overwritten from the log beside a file, where it lies until then.
    pub(crate) fn empty_log(&self) -> Result<()> {
        match &self.0 {
            Place::File(file) => match file.empty_log()? {
                true => Ok(()),
                false => Err(Error::Kept("somebody reads the log of its file".to_owned())),
            },
            #[cfg(feature = "postgres")]
            Place::Server(_) => Ok(()),
        }
    }

    /// Writes a whole file anew, or some tables on a server, by a connection of its own: pages keep
    /// what once stood on them, whatever became of it. Nothing is changed meanwhile, and on a server
    /// nothing read.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(unused_variables, reason = "a file is written anew as a whole")
    )]
    pub(crate) fn rewrite(&self, tables: &[&str]) -> Result<()> {
        let other = self.another()?;
        match &other.0 {
            Place::File(file) => {
                file.with(|connection| connection.execute_batch("VACUUM"))?;
                other.empty_log()
            }
            #[cfg(feature = "postgres")]
            Place::Server(schema) => schema.rewrite(tables),
        }
    }

    /// How large it is, if a file has it.
    pub(crate) fn bytes(&self) -> Result<Option<i64>> {
        let select = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        match &self.0 {
            Place::File(_) => self.read(|tables| tables.value(select, &[]).map(Some)),
            #[cfg(feature = "postgres")]
            Place::Server(_) => Ok(None),
        }
    }

    /// The file, if it is one.
    #[cfg(test)]
    pub(crate) fn file(&self) -> Option<&NodeFile> {
        match &self.0 {
            Place::File(file) => Some(file),
            #[cfg(feature = "postgres")]
            Place::Server(_) => None,
        }
    }

    /// Runs statements that change nothing, one caller at a time. Statements are short: call it
    /// from async code too.
    pub fn read<T, E: From<Error>>(
        &self,
        run: impl FnOnce(&Tables<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        match &self.0 {
            Place::File(file) => run(&Tables::File(&file.lock())),
            #[cfg(feature = "postgres")]
            Place::Server(schema) => schema.with(|link| run(&Tables::Server(link))),
        }
    }

    /// Runs statements that count all or, if it ends with an error, not at all; one caller at a time,
    /// on all nodes.
    pub fn change<T, E: From<Error>>(
        &self,
        run: impl FnOnce(&Tables<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<T, E> {
        match &self.0 {
            Place::File(file) => {
                let mut connection = file.lock();
                let begun = connection.transaction_with_behavior(file::BEHAVIOR);
                let transaction = begun.map_err(Error::File)?;
                let done = run(&Tables::File(&transaction))?;
                transaction.commit().map_err(Error::File)?;
                Ok(done)
            }
            #[cfg(feature = "postgres")]
            Place::Server(schema) => schema.with(|link| {
                let change = link.begin()?;
                let done = run(&Tables::Server(link))?;
                change.commit()?;
                Ok(done)
            }),
        }
    }
}

/// The tables of a registry, for as long as statements run.
pub enum Tables<'a> {
    #[doc(hidden)]
    File(&'a rusqlite::Connection),
    #[cfg(feature = "postgres")]
    #[doc(hidden)]
    Server(&'a server::Link),
}

impl Tables<'_> {
    /// Runs a statement and tells how many rows it changed.
    pub fn execute(&self, sql: &str, values: &[Value]) -> Result<usize> {
        match self {
            Tables::File(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                Ok(statement.execute(rusqlite::params_from_iter(values))?)
            }
            #[cfg(feature = "postgres")]
            Tables::Server(link) => link.execute(sql, values),
        }
    }

    /// Runs a statement and reads its rows.
    pub fn rows<T>(
        &self,
        sql: &str,
        values: &[Value],
        mut read: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Vec<T>> {
        match self {
            Tables::File(connection) => {
                let mut statement = connection.prepare_cached(sql)?;
                let mut rows = statement.query(rusqlite::params_from_iter(values))?;
                let mut found = Vec::new();
                while let Some(row) = rows.next()? {
                    found.push(read(&Row::from_file(row)?)?);
                }
                Ok(found)
            }
            // No text there can have this letter.
            #[cfg(feature = "postgres")]
            Tables::Server(_) if values.iter().any(Value::has_nul) => Ok(Vec::new()),
            #[cfg(feature = "postgres")]
            Tables::Server(link) => link.query(sql, values)?.iter().map(read).collect(),
        }
    }

    /// Runs a statement and reads its first row, if it has one.
    pub fn row<T>(
        &self,
        sql: &str,
        values: &[Value],
        read: impl FnMut(&Row) -> Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.rows(sql, values, read)?.into_iter().next())
    }

    /// Runs a statement that gives a row of one value.
    pub fn value<T: FromValue>(&self, sql: &str, values: &[Value]) -> Result<T> {
        let found = self.row(sql, values, |row| row.get(0))?;
        found.ok_or_else(|| Error::Kept("a row that was to be there is not".to_owned()))
    }
}

#[cfg(test)]
pub(crate) mod tests;
