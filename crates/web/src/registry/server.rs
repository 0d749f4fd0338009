//! A registry on a PostgreSQL server, or one that speaks its protocol: a schema with its tables.
//!
//! A thread has the connection, since the driver may not be called from async code. A connection
//! that was lost is made anew, to whichever of the servers takes writes by then; what was under way
//! on it is reported as failed, but for a statement that only reads.

use std::collections::HashMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use postgres::types::private::BytesMut;
use postgres::types::{FromSql, IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, SimpleQueryMessage, Statement};
use tandem_journal::postgres::{Connection, Server, explain};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::value::{Row, Value};
use super::{self as registry, Error};

/// What a connection begins with. A change that is never ended holds up all nodes no longer than this.
const SETTINGS: &str = "
    SET statement_timeout = '10s';
    SET lock_timeout = '10s';
    SET idle_in_transaction_session_timeout = '10s'";

/// Whoever changes something has this row, on all nodes.
const LOCK: &str = "
    CREATE TABLE IF NOT EXISTS registry_lock (one INTEGER PRIMARY KEY);
    INSERT INTO registry_lock (one) VALUES (1) ON CONFLICT DO NOTHING";

/// Begins a change. What is read after the lock is what the change before left.
const BEGIN: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT one FROM registry_lock FOR UPDATE";

/// How often tables are made that another node makes at the same time, and the pause between.
const TRIES: u32 = 5;
const PAUSE: Duration = Duration::from_millis(200);

/// After so long a server that could not be reached is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// A schema, and the thread that has a connection to it.
pub(super) struct Schema {
    server: Server,
    name: String,
    link: Mutex<Link>,
}

impl Schema {
    /// Opens a schema and makes it, and the tables that are not there.
    pub(super) fn open(server: &Server, area: &str, tables: &[&str]) -> registry::Result<Schema> {
        let made = thread::scope(|scope| scope.spawn(|| make(server, area, tables)).join());
        let made = made.unwrap_or_else(|_| Err("the tables could not be made".to_owned()));
        let (name, opened) = made.map_err(|error| Error::Server(server.to_string(), error))?;
        Ok(Schema {
            link: Mutex::new(Link::start(server.clone(), name.clone(), Some(opened))),
            server: server.clone(),
            name,
        })
    }

    /// The same by another connection.
    pub(super) fn another(&self) -> Schema {
        Schema {
            link: Mutex::new(Link::start(self.server.clone(), self.name.clone(), None)),
            server: self.server.clone(),
            name: self.name.clone(),
        }
    }

    /// Writes tables anew, however long it takes: a plain vacuum leaves bytes on their pages.
    pub(super) fn rewrite(&self, tables: &[&str]) -> registry::Result<()> {
        self.with(|link| {
            link.execute("SET statement_timeout = 0", &[])?;
            for table in tables {
                link.execute(&format!("VACUUM FULL {table}"), &[])?;
            }
            Ok(())
        })
    }

    /// Runs statements, one caller at a time. Where the server is slow, others go on meanwhile.
    pub(super) fn with<T>(&self, run: impl FnOnce(&Link) -> T) -> T {
        let run = || run(&self.link.lock().unwrap_or_else(PoisonError::into_inner));
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        match flavor {
            Ok(RuntimeFlavor::MultiThread) => block_in_place(run),
            _ => run(),
        }
    }
}

/// Makes a schema and its tables, and gives its name and the connection to it.
fn make(server: &Server, area: &str, tables: &[&str]) -> Result<(String, Prepared), String> {
    let mut connection = connect(server)?;
    let client = &mut connection.client;
    let path = "SELECT current_schema(), current_setting('search_path')";
    let path = client.query_one(path, &[]).map_err(words)?;
    let current: Option<String> = path.try_get(0).map_err(words)?;
    let first: String = path.try_get(1).map_err(words)?;
    let first = first.split(',').next().unwrap_or_default();
    let first = first.trim().trim_matches('"');
    let prefix = match first {
        "$user" | "public" => "tandem",
        chosen if current.as_deref() == Some(chosen) => chosen,
        chosen => {
            return Err(format!(
                "schema {chosen}, which the address chooses, is not there; make it first"
            ));
        }
    };
    let name = format!("{prefix}_{area}");
    let tables = [LOCK].iter().chain(tables).map(|sql| in_dialect(sql));
    let tables: Vec<_> = tables.collect();
    let mut tries = 1;
    while let Err(error) = make_in(client, &name, &tables) {
        if tries == TRIES || client.is_closed() {
            return Err(words(error));
        }
        tries += 1;
        thread::sleep(PAUSE);
    }
    let prepared = begin(connection, &name)?;
    Ok((name, prepared))
}

fn make_in(client: &mut Client, name: &str, tables: &[String]) -> Result<(), postgres::Error> {
    let there = "SELECT 1 FROM information_schema.schemata WHERE schema_name = $1";
    if client.query_opt(there, &[&name])?.is_none() {
        client.batch_execute(&format!("CREATE SCHEMA IF NOT EXISTS {}", quoted(name)))?;
    }
    client.batch_execute(&format!("SET search_path TO {}", quoted(name)))?;
    // One statement at a time: some databases take no two changes of the schema at once.
    for statement in tables.iter().flat_map(|tables| tables.split(';')) {
        client.batch_execute(statement)?;
    }
    Ok(())
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The statements that make tables, in the words of PostgreSQL. Comments go, and words that only say
/// how SQLite keeps a table.
fn in_dialect(tables: &str) -> String {
    let code = tables
        .lines()
        .map(|line| line.split("--").next().unwrap_or(""));
    let mut code = code.collect::<Vec<_>>().join("\n").to_lowercase();
    for (word, other) in [
        (" strict, without rowid", ""),
        (" strict", ""),
        (" collate nocase", ""),
        (
            " integer primary key",
            " bigint generated by default as identity primary key",
        ),
        (" integer", " bigint"),
        (" blob", " bytea"),
    ] {
        code = code.replace(word, other);
    }
    code
}

/// What a thread with a connection is asked.
enum Ask {
    Begin,
    Query(String, Vec<Value>),
    Execute(String, Vec<Value>),
    Commit,
    Roll,
}

enum Answer {
    Done(usize),
    Rows(Vec<Row>),
}

/// The way to the thread with a connection. One question is asked at a time.
pub struct Link {
    asks: Sender<Ask>,
    answers: Receiver<registry::Result<Answer>>,
}

/// A change that has begun; it is undone unless it is ended by [`Change::commit`].
pub(super) struct Change<'a>(&'a Link);

impl Change<'_> {
    pub(super) fn commit(self) -> registry::Result<()> {
        let link = self.0;
        std::mem::forget(self);
        link.ask(Ask::Commit).map(drop)
    }
}

impl Drop for Change<'_> {
    fn drop(&mut self) {
        // What ends with the connection is undone too.
        let _ = self.0.ask(Ask::Roll);
    }
}

impl Link {
    fn start(server: Server, schema: String, connection: Option<Prepared>) -> Link {
        let (asks, asked) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let mut session = Session {
            server,
            schema,
            connection,
            changing: false,
            unreachable: None,
        };
        thread::spawn(move || {
            for ask in asked {
                if answer.send(session.answer(ask)).is_err() {
                    break;
                }
            }
        });
        Link { asks, answers }
    }

    pub(super) fn begin(&self) -> registry::Result<Change<'_>> {
        let locked = self.ask(Ask::Begin)?;
        let change = Change(self);
        match locked {
            Answer::Done(1) => Ok(change),
            _ => Err(Error::Kept(
                "the row of table registry_lock is gone, which keeps nodes apart: start the service \
                 again, which makes it"
                    .to_owned(),
            )),
        }
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value]) -> registry::Result<usize> {
        match self.ask(Ask::Execute(sql.to_owned(), values.to_owned()))? {
            Answer::Done(changed) => Ok(changed),
            Answer::Rows(rows) => Ok(rows.len()),
        }
    }

    pub(super) fn query(&self, sql: &str, values: &[Value]) -> registry::Result<Vec<Row>> {
        match self.ask(Ask::Query(sql.to_owned(), values.to_owned()))? {
            Answer::Rows(rows) => Ok(rows),
            Answer::Done(_) => Ok(Vec::new()),
        }
    }

    fn ask(&self, ask: Ask) -> registry::Result<Answer> {
        let ended =
            || Error::Kept("the thread with the registry's connection has ended".to_owned());
        self.asks.send(ask).map_err(|_| ended())?;
        self.answers.recv().map_err(|_| ended())?
    }
}

/// A connection and what was prepared on it.
struct Prepared {
    connection: Connection,
    statements: HashMap<String, Statement>,
}

struct Session {
    server: Server,
    schema: String,
    connection: Option<Prepared>,
    changing: bool,
    /// When no server could be reached last, and why.
    unreachable: Option<(Instant, String)>,
}

impl Session {
    fn answer(&mut self, ask: Ask) -> registry::Result<Answer> {
        // What a lost connection leaves undone may be asked of another, unless something was to be
        // changed: whether it was is not known then.
        let again = !self.changing && !matches!(ask, Ask::Execute(..));
        let was_open = self.connection.is_some();
        match self.run(&ask) {
            Err(_) if again && was_open && self.connection.is_none() => self.run(&ask),
            answer => answer,
        }
        .map_err(|error| Error::Server(self.server.to_string(), error))
    }

    /// Connects, unless it was in vain a moment ago: nobody waits for that again.
    fn connect(&mut self) -> Result<(), String> {
        if let Some((at, why)) = &self.unreachable
            && at.elapsed() < AGAIN
        {
            return Err(why.clone());
        }
        self.unreachable = None;
        match connect(&self.server).and_then(|made| begin(made, &self.schema)) {
            Ok(connection) => {
                self.connection = Some(connection);
                Ok(())
            }
            Err(why) => {
                self.unreachable = Some((Instant::now(), why.clone()));
                Err(why)
            }
        }
    }

    fn run(&mut self, ask: &Ask) -> Result<Answer, String> {
        if self.changing && self.connection.is_none() {
            self.changing = matches!(ask, Ask::Query(..) | Ask::Execute(..));
            return Err("the connection was lost while something was changed".to_owned());
        }
        if self.connection.is_none() {
            self.connect()?;
        }
        let Some(prepared) = &mut self.connection else {
            return Err("there is no connection".to_owned());
        };
        let done = match ask {
            Ask::Begin => prepared.begin(),
            Ask::Commit => return self.commit(),
            Ask::Roll => prepared.run("ROLLBACK"),
            Ask::Execute(sql, values) => prepared.execute(sql, values),
            Ask::Query(sql, values) => prepared.query(sql, values),
        };
        match ask {
            Ask::Begin => self.changing = done.is_ok(),
            Ask::Roll => self.changing = false,
            _ => {}
        }
        let error = match done {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        // Nothing of a change counts in which a statement failed, whatever its caller makes of that,
        // and one that failed to begin or end may still be open.
        let is_open = self.changing || matches!(ask, Ask::Begin | Ask::Roll);
        if is_open || is_over(&error) || prepared.connection.client.is_closed() {
            self.connection = None;
        }
        Err(words(error))
    }

    /// What is confirmed with a warning may not be durable: so PostgreSQL says that it did not wait
    /// for its standby.
    fn commit(&mut self) -> Result<Answer, String> {
        self.changing = false;
        let prepared = self.connection.as_mut().ok_or("there is no connection")?;
        prepared.connection.take_warning();
        let done = prepared.run("COMMIT").map_err(words);
        if done.is_err() {
            self.connection = None;
            return done;
        }
        match prepared.connection.take_warning() {
            None => done,
            Some(warning) => Err(format!(
                "the server confirmed with a warning, so it may not be durable: {warning}"
            )),
        }
    }
}

/// True if another connection may do what this one could not: the server ends, or takes no writes.
fn is_over(error: &postgres::Error) -> bool {
    let code = error.code().map(|code| code.code());
    code.is_some_and(|code| code.starts_with("57P") || code.starts_with("08") || code == "25006")
}

/// Begins to use a connection.
fn begin(mut connection: Connection, schema: &str) -> Result<Prepared, String> {
    let begin = format!("{SETTINGS}; SET search_path TO {}", quoted(schema));
    connection.client.batch_execute(&begin).map_err(words)?;
    Ok(Prepared {
        connection,
        statements: HashMap::new(),
    })
}

fn connect(server: &Server) -> Result<Connection, String> {
    server.connect_to_write().map_err(|cause| cause.to_string())
}

fn words(error: postgres::Error) -> String {
    explain(&error).to_string()
}

impl Prepared {
    fn run(&mut self, sql: &str) -> Result<Answer, postgres::Error> {
        self.connection.client.batch_execute(sql)?;
        Ok(Answer::Done(0))
    }

    fn begin(&mut self) -> Result<Answer, postgres::Error> {
        let answered = self.connection.client.simple_query(BEGIN)?;
        let rows = answered.iter();
        let rows = rows.filter(|one| matches!(one, SimpleQueryMessage::Row(_)));
        Ok(Answer::Done(rows.count()))
    }

    fn prepare(&mut self, sql: &str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.connection.client.prepare(&sql.replace('?', "$"))?;
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn execute(&mut self, sql: &str, values: &[Value]) -> Result<Answer, postgres::Error> {
        let statement = self.prepare(sql)?;
        let changed = self
            .connection
            .client
            .execute(&statement, &parameters(values))?;
        Ok(Answer::Done(usize::try_from(changed).unwrap_or(usize::MAX)))
    }

    fn query(&mut self, sql: &str, values: &[Value]) -> Result<Answer, postgres::Error> {
        let statement = self.prepare(sql)?;
        let rows = self
            .connection
            .client
            .query(&statement, &parameters(values))?;
        let read = |row: &postgres::Row| {
            let values = (0..row.len()).map(|column| row.try_get(column));
            Ok(Row::new(values.collect::<Result<_, _>>()?))
        };
        Ok(Answer::Rows(
            rows.iter().map(read).collect::<Result<_, _>>()?,
        ))
    }
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values
        .iter()
        .map(|value| value as &(dyn ToSql + Sync))
        .collect()
}

type AnyError = Box<dyn std::error::Error + Sync + Send>;

impl ToSql for Value {
    fn to_sql(&self, as_type: &Type, out: &mut BytesMut) -> Result<IsNull, AnyError> {
        match self {
            Value::Null => Ok(IsNull::Yes),
            Value::Integer(value) if *as_type == Type::INT4 => {
                i32::try_from(*value)?.to_sql(as_type, out)
            }
            Value::Integer(value) => checked(value, &Type::INT8, as_type, out),
            Value::Text(text) => checked(text, &Type::TEXT, as_type, out),
            Value::Bytes(bytes) => checked(bytes, &Type::BYTEA, as_type, out),
        }
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// Writes a value if it is asked for as what it is.
fn checked(
    value: &impl ToSql,
    own: &Type,
    as_type: &Type,
    out: &mut BytesMut,
) -> Result<IsNull, AnyError> {
    match own == as_type {
        true => value.to_sql(as_type, out),
        false => Err(format!("a value is {own}, and {as_type} was asked for").into()),
    }
}

impl<'a> FromSql<'a> for Value {
    fn from_sql(of: &Type, raw: &'a [u8]) -> Result<Value, AnyError> {
        Ok(match *of {
            Type::INT4 => i32::from_sql(of, raw)?.into(),
            Type::BOOL => bool::from_sql(of, raw)?.into(),
            Type::TEXT => String::from_sql(of, raw)?.into(),
            Type::BYTEA => Vec::<u8>::from_sql(of, raw)?.into(),
            _ => i64::from_sql(of, raw)?.into(),
        })
    }

    fn from_sql_null(_: &Type) -> Result<Value, AnyError> {
        Ok(Value::Null)
    }

    fn accepts(of: &Type) -> bool {
        [Type::INT8, Type::INT4, Type::BOOL, Type::TEXT, Type::BYTEA].contains(of)
    }
}
