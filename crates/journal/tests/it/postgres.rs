//! The store for several nodes, on a real server: who owns a book, and what happens to a batch
//! whose answer is lost.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use tandem_journal::lease::{Lost, Node};
use tandem_journal::postgres::{OpenError, Server, Writer};
use tandem_journal::{BookName, Journal, JournalError, Postgres, StoreError};
use tandem_pgtest as pgtest;
use tempfile::TempDir;

use crate::{append, demo, events, fill, read_all};

/// A schema on the shared server, and a folder with the head files of its nodes.
pub(crate) struct Place {
    pub(crate) server: &'static pgtest::Server,
    pub(crate) schema: String,
    folder: TempDir,
}

impl Place {
    pub(crate) fn empty() -> Option<Self> {
        let server = pgtest::Server::shared()?;
        Some(Self {
            server,
            schema: server.schema(),
            folder: tempfile::tempdir().unwrap(),
        })
    }

    pub(crate) fn address(&self) -> Server {
        pgtest::address(&[self.server], &self.schema)
            .parse()
            .unwrap()
    }

    pub(crate) fn name(&self) -> String {
        format!("{}, book `demo`", self.address())
    }

    pub(crate) fn head_file_of(&self, node: &str) -> PathBuf {
        self.folder.path().join(format!("{node}-head"))
    }

    pub(crate) fn create_as(&self, node: &str, book: &BookName) -> Result<Postgres, OpenError> {
        Postgres::create(&self.address(), book, &self.writer(node))
    }

    pub(crate) fn open_as(&self, node: &str) -> Result<Postgres, OpenError> {
        Postgres::open(&self.address(), &demo(), &self.writer(node))
    }

    pub(crate) fn open_read_only(&self) -> Result<Postgres, OpenError> {
        Postgres::open_read_only(&self.address(), &demo(), &self.head_file_of("a"))
    }

    fn writer(&self, node: &str) -> Writer {
        writer(node, &self.head_file_of(node))
    }

    fn created(&self) -> Journal<Postgres> {
        Journal::open(self.create_as("a", &demo()).unwrap()).unwrap()
    }

    /// Ends all connections to the schema, as a network that fails does.
    fn disconnect(&self) {
        self.server.sql(
            &self.schema,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
             WHERE application_name = current_schema AND pid <> pg_backend_pid()",
        );
    }
}

pub(crate) fn writer(node: &str, head_file: &Path) -> Writer {
    Writer::new(self::node(node), head_file)
}

fn node(name: &str) -> Node {
    Node {
        name: name.to_owned(),
        address: format!("{name}.example:7070"),
    }
}

fn lost(error: &JournalError) -> Lost {
    let JournalError::Append(StoreError { cause, .. }) = error else {
        panic!("{error}");
    };
    let lost: Option<&Lost> = cause.downcast_ref();
    lost.unwrap_or_else(|| panic!("{error}")).clone()
}

#[test]
fn a_book_has_one_owner_who_can_be_asked_for() {
    let Some(place) = Place::empty() else { return };
    let store = place.create_as("a", &demo()).unwrap();
    let ownership = store.ownership().unwrap();
    assert!(ownership.is_held());
    let error = place.open_as("b").unwrap_err();
    let OpenError::Owned { left, .. } = &error else {
        panic!("{error}");
    };
    assert!((5..=10).contains(&left.as_secs()), "{left:?}");
    let left = format!("{:.1} s", left.as_secs_f64());
    assert_eq!(
        error
            .to_string()
            .replace(&place.name(), "PLACE")
            .replace(&left, "LEFT"),
        "PLACE: the book belongs to `a` at a.example:7070 for another LEFT, which it renews while \
         it runs; send commands there, or stop it first"
    );
    let (lease, left) = place.address().owner(&demo()).unwrap().unwrap();
    assert_eq!((lease.owner, lease.token), (node("a"), ownership.token()));
    assert!(left > Duration::from_secs(5));

    drop(store);
    assert!(place.address().owner(&demo()).unwrap().is_none());
    let next = place.open_as("b").unwrap().ownership().unwrap();
    assert!(next.token() > ownership.token());
    assert!(!ownership.is_held());
}

#[test]
fn a_book_is_handed_over() {
    let Some(place) = Place::empty() else { return };
    let store = place.create_as("a", &demo()).unwrap();
    let ownership = store.ownership().unwrap();
    let mut journal = Journal::open(store).unwrap();
    fill(&mut journal);
    ownership.hand_over(&node("b")).unwrap();
    assert!(!ownership.is_held());

    assert!(
        matches!(place.open_as("c"), Err(OpenError::Owned { owner, .. }) if owner == node("b"))
    );
    let error = append(&mut journal, &[b"late"]).unwrap_err();
    assert_eq!(
        error.to_string().replace(&place.name(), "PLACE"),
        "PLACE: cannot write batch 5: the book belongs to `b` at b.example:7070 now (fencing \
         token 2, ours was 1); send commands there; nothing more is taken: remove the cause, then \
         start the program again"
    );
    let mut next = Journal::open(place.open_as("b").unwrap()).unwrap();
    assert_eq!(append(&mut next, &[b"fifth"]).unwrap().seq, 5);
    // What the former owner does when it closes changes nothing.
    drop(journal);
    assert_eq!(append(&mut next, &[b"sixth"]).unwrap().seq, 6);
}

#[test]
fn an_owner_that_slept_is_fenced() {
    let Some(place) = Place::empty() else { return };
    let mut journal = place.created();
    append(&mut journal, &[b"first"]).unwrap();
    // It does not learn of it: the token in the database changes behind its back.
    place.server.sql(
        &place.schema,
        "UPDATE tandem_book SET owner = 'b', address = 'b.example:7070', token = token + 1",
    );
    let error = append(&mut journal, &[b"second"]).unwrap_err();
    let lost = lost(&error);
    assert_eq!(
        (lost.lease.owner, lost.lease.token, lost.ours),
        (node("b"), 2, 1)
    );
    let mut reader = Journal::open(place.open_read_only().unwrap()).unwrap();
    assert_eq!(read_all(&mut reader).unwrap().len(), 1);
}

#[test]
fn a_new_owner_waits_for_a_batch_that_is_under_way() {
    let Some(place) = Place::empty() else { return };
    // Nothing is renewed while this test runs.
    let writer = Writer {
        lease: Duration::from_secs(600),
        ..place.writer("a")
    };
    let store = Postgres::create(&place.address(), &demo(), &writer).unwrap();
    let mut journal = Journal::open(store).unwrap();
    place.server.sql(
        &place.schema,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN PERFORM pg_sleep(2); RETURN new; END $$;
         CREATE TRIGGER slow BEFORE INSERT ON tandem_batch FOR EACH ROW EXECUTE FUNCTION slow();
         UPDATE tandem_book SET expires = 0",
    );
    let slow = thread::spawn(move || {
        let head = append(&mut journal, &[b"under way"]).unwrap();
        (journal, head)
    });
    let sleeps = "SELECT count(*) FROM pg_stat_activity
                  WHERE wait_event = 'PgSleep' AND application_name = current_schema";
    while place.server.sql(&place.schema, sleeps) == "0\n" && !slow.is_finished() {
        thread::sleep(Duration::from_millis(10));
    }
    let next = Journal::open(place.open_as("b").unwrap()).unwrap();
    let (mut journal, head) = slow.join().unwrap();
    assert_eq!(next.head(), head);
    let late = append(&mut journal, &[b"too late"]).unwrap_err();
    assert_eq!(lost(&late).lease.owner, node("b"));
}

#[test]
fn an_owner_that_nobody_missed_goes_on() {
    let Some(place) = Place::empty() else { return };
    let writer = Writer {
        // Renewed every 500 ms, trusted for 1.6 s.
        lease: Duration::from_secs(2),
        ..place.writer("a")
    };
    let store = Postgres::create(&place.address(), &demo(), &writer).unwrap();
    let ownership = store.ownership().unwrap();
    let mut journal = Journal::open(store).unwrap();
    thread::sleep(Duration::from_millis(2_500));
    assert!(
        ownership.is_held(),
        "it is renewed while nothing is written"
    );
    // The lease is over, by the database.
    place
        .server
        .sql(&place.schema, "UPDATE tandem_book SET expires = 0");
    append(&mut journal, &[b"first"]).unwrap();
}

#[test]
fn a_process_that_is_started_again_has_its_books_at_once() {
    let Some(place) = Place::empty() else { return };
    let mut before = place.created();
    fill(&mut before);
    let mut after = Journal::open(place.open_as("a").unwrap()).unwrap();
    append(&mut after, &[b"fifth"]).unwrap();
    let error = append(&mut before, &[b"fifth, too"]).unwrap_err();
    assert_eq!(lost(&error).lease.owner, node("a"));
}

/// Not a test: the process that [`a_book_is_taken_over_when_its_owner_is_killed`] kills.
#[test]
#[ignore = "runs until it is killed"]
fn victim() {
    let Some(address) = env::var_os("SERVER_OF_THE_VICTIM") else {
        return;
    };
    let head_file = env::temp_dir().join(format!("victim-{}-head", std::process::id()));
    let mut journal = Journal::open({
        let server = address.to_str().unwrap().parse().unwrap();
        let writer = Writer {
            lease: Duration::from_secs(2),
            ..writer("victim", &head_file)
        };
        Postgres::create(&server, &demo(), &writer).unwrap()
    })
    .unwrap();
    fs::remove_file(head_file).unwrap();
    loop {
        println!(
            "\ndurable {}",
            append(&mut journal, &[b"event"]).unwrap().seq
        );
    }
}

#[test]
fn a_book_is_taken_over_when_its_owner_is_killed() {
    let Some(place) = Place::empty() else { return };
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "postgres::victim", "--ignored", "--nocapture"])
        .env(
            "SERVER_OF_THE_VICTIM",
            pgtest::address(&[place.server], &place.schema),
        )
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut durable = BufReader::new(child.stdout.take().unwrap())
        .lines()
        .filter_map(|line| line.unwrap().strip_prefix("durable ")?.parse::<u64>().ok());
    durable.find(|&seq| seq == 20).unwrap();
    assert!(matches!(place.open_as("b"), Err(OpenError::Owned { .. })));
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    let last = durable.last().unwrap_or(20);

    let writer = Writer {
        wait: Duration::from_secs(10),
        ..place.writer("b")
    };
    let mut journal =
        Journal::open(Postgres::open(&place.address(), &demo(), &writer).unwrap()).unwrap();
    assert!((last..=last + 1).contains(&journal.head().seq));
    append(&mut journal, &[b"next"]).unwrap();
    let time = killed.elapsed();
    read_all(&mut journal).unwrap();
    println!("owner killed and book taken over: after {time:.1?}, with a lease of 2 s");
    assert!(time < Duration::from_secs(15), "{time:?}");
}

#[test]
fn a_lost_connection_costs_nothing() {
    let Some(place) = Place::empty() else { return };
    let mut journal = place.created();
    for round in 0u64..20 {
        if round % 4 == 1 {
            place.disconnect();
        }
        append(&mut journal, &[&round.to_le_bytes()]).unwrap();
    }
    let batches = read_all(&mut journal).unwrap();
    let found = events(&batches);
    let written: Vec<_> = (0u64..20).map(u64::to_le_bytes).collect();
    assert!(found.iter().eq(written.iter()), "{found:?}");
}

#[test]
fn a_batch_of_somebody_else_is_fatal() {
    let Some(place) = Place::empty() else { return };
    let mut journal = place.created();
    fill(&mut journal);
    place.server.sql(
        &place.schema,
        "INSERT INTO tandem_batch SELECT book, 5, prev, hash, events, body FROM tandem_batch
         WHERE seq = 4",
    );
    assert_eq!(
        append(&mut journal, &[b"fifth"])
            .unwrap_err()
            .to_string()
            .replace(&place.name(), "PLACE"),
        "PLACE: cannot write batch 5: another batch 5 is in the journal: something else writes \
         this book; find it and stop it; nothing more is taken: remove the cause, then start the \
         program again"
    );
}

#[test]
fn a_database_that_lost_batches_while_we_were_away_is_noticed() {
    let Some(place) = Place::empty() else { return };
    let mut journal = place.created();
    fill(&mut journal);
    place
        .server
        .sql(&place.schema, "DELETE FROM tandem_batch WHERE seq = 4");
    place.disconnect();
    assert_eq!(
        append(&mut journal, &[b"fifth"])
            .unwrap_err()
            .to_string()
            .replace(&place.name(), "PLACE"),
        "PLACE: cannot write batch 5: the database that answers now lacks batch 4, which was \
         durable: it was restored from an old backup, or is a standby that was promoted before it \
         had everything; bring back the one that has it; nothing more is taken: remove the cause, \
         then start the program again"
    );
}

#[test]
fn a_refused_batch_is_fatal() {
    let Some(place) = Place::empty() else { return };
    let mut journal = place.created();
    place.server.sql(
        &place.schema,
        "ALTER TABLE tandem_batch ADD CONSTRAINT small CHECK (length(body) < 100)",
    );
    append(&mut journal, &[b"small"]).unwrap();
    let error = append(&mut journal, &[&[7; 200]]).unwrap_err().to_string();
    assert!(
        error
            .contains("cannot write batch 2: new row for relation \"tandem_batch\" violates check"),
        "{error}"
    );
    append(&mut journal, &[b"small"]).unwrap_err();
    // Another node may go on.
    let mut next = Journal::open(place.open_as("b").unwrap()).unwrap();
    append(&mut next, &[b"small"]).unwrap();
}

#[test]
fn an_answer_that_never_comes_ends_the_writer() {
    let Some(place) = Place::empty() else { return };
    let writer = Writer {
        patience: Duration::from_millis(300),
        ..place.writer("a")
    };
    let mut journal =
        Journal::open(Postgres::create(&place.address(), &demo(), &writer).unwrap()).unwrap();
    place
        .server
        .sql(&place.schema, "ALTER TABLE tandem_batch RENAME TO away");
    place.server.sql(
        &place.schema,
        "CREATE VIEW tandem_batch AS SELECT * FROM away",
    );
    place.disconnect();
    place.server.sql(&place.schema, "DROP VIEW tandem_batch");
    let error = append(&mut journal, &[b"first"]).unwrap_err().to_string();
    assert_eq!(
        error.replace(&place.name(), "PLACE"),
        "PLACE: cannot write batch 1: nothing confirmed it within 0.3 s; the last attempt: \
         relation \"tandem_batch\" does not exist [42P01]; nothing more is taken: remove the \
         cause, then start the program again"
    );
}

#[test]
fn a_server_that_may_forget_is_refused() {
    let Some(place) = Place::empty() else { return };
    drop(place.created());
    let address = pgtest::address(&[place.server], &place.schema);
    let address = address.replace("-c search", "-c synchronous_commit=off -c search");
    let error = Postgres::open(&address.parse().unwrap(), &demo(), &place.writer("a"));
    assert_eq!(
        error
            .unwrap_err()
            .to_string()
            .replace(&place.address().to_string(), "SERVER"),
        "SERVER: cannot connect: the server runs with synchronous_commit = off, so it may lose \
         what it has confirmed; Tandem needs synchronous_commit = on: set it for this database \
         or user, or in postgresql.conf"
    );
}

#[test]
fn creating_goes_on_where_a_process_died_between_the_tables() {
    let Some(place) = Place::empty() else { return };
    drop(place.created());
    let died = "DROP TABLE tandem_batch; DELETE FROM tandem_book";
    place.server.sql(&place.schema, died);
    fs::remove_file(place.head_file_of("a")).unwrap();
    fill(&mut place.created());
}

#[test]
fn a_book_that_is_not_there_is_named() {
    let Some(place) = Place::empty() else { return };
    let missing = "PLACE: there is no such book; check the address, or create a new journal";
    let refused = || place.open_as("a").unwrap_err().to_string();
    assert_eq!(refused().replace(&place.name(), "PLACE"), missing);
    assert_eq!(
        place
            .server
            .sql(&place.schema, "SELECT to_regclass('tandem_book')"),
        "\n"
    );

    // Two books share the tables.
    let other = BookName::new("other").unwrap();
    let one = place.create_as("a", &other).unwrap();
    assert_eq!(refused().replace(&place.name(), "PLACE"), missing);
    let two = place.create_as("b", &demo()).unwrap();
    drop((one, two));

    // A database that was made anew lacks what the node remembers.
    fill(&mut Journal::open(place.open_as("a").unwrap()).unwrap());
    place
        .server
        .sql(&place.schema, "DROP TABLE tandem_batch, tandem_book");
    let lost = "the journal ends at batch 0, but";
    assert!(refused().contains(lost), "{}", refused());
    let error = place.create_as("a", &demo()).unwrap_err().to_string();
    assert!(error.contains(lost), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_named() {
    let server: Server = "host=/nowhere user=me dbname=lending password=secret"
        .parse()
        .unwrap();
    let error = Postgres::open(&server, &demo(), &writer("a", Path::new("unused"))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "postgres:///nowhere/lending: cannot connect: error connecting to server: No such file or \
         directory (os error 2)"
    );
}

#[test]
fn the_document_shows_the_tables() {
    let Some(place) = Place::empty() else { return };
    drop(place.created());
    let described = place.server.sql(
        &place.schema,
        "SELECT string_agg('    ' || column_name || ' ' || upper(data_type) || ' NOT NULL,', E'\\n'
                           ORDER BY table_name DESC, ordinal_position)
         FROM information_schema.columns
         WHERE table_schema = current_schema AND is_nullable = 'NO'",
    );
    let spec = include_str!("../../../../docs/spec/journal.md");
    assert_eq!(described.lines().count(), 13);
    for column in described.lines() {
        assert!(spec.contains(column), "docs/spec/journal.md lacks {column}");
    }
}

#[test]
fn a_journal_can_move_to_the_thread_that_writes() {
    fn movable<T: Send>() {}
    movable::<Journal<Postgres>>();
}

#[test]
fn a_server_must_prove_who_it_is_where_it_is_spoken_to_by_tls() {
    let Some(server) = pgtest::Server::start() else {
        return;
    };
    let schema = server.schema();
    let port = server.speak_tls(include_str!("tls/server.pem"));
    let roots = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/tls/ca.pem");
    let folder = tempfile::tempdir().unwrap();
    let create = |book: &str, host: &str, tls: &str| {
        let user = pgtest::USER;
        let address = format!(
            "postgres://{user}@{host}:{port}/postgres?{tls}&options=-c%20search_path%3D{schema}"
        );
        let writer = writer("a", &folder.path().join(book));
        let book = BookName::new(book).unwrap();
        let created = Postgres::create(&address.parse().unwrap(), &book, &writer);
        created.map(|_| ()).map_err(|error| {
            let said = error.to_string();
            said.replace(&port.to_string(), "PORT")
        })
    };
    let ours = format!("sslrootcert={roots}");
    let full = format!("sslmode=verify-full&{ours}");
    assert_eq!(create("full", "localhost", &full), Ok(()));
    assert_eq!(create("file", "localhost", &ours), Ok(()));
    let refused = [
        ("localhost", "sslmode=require"),
        ("127.0.0.1", &ours),
        ("localhost", "sslmode=disable"),
    ];
    let said = refused.map(|(host, tls)| create("refused", host, tls).unwrap_err());
    let advice = "a server on another machine must speak TLS and have a certificate for its name; \
                  sslrootcert=FILE in the address names whom to believe, sslmode=disable does without";
    let invalid = "cannot connect: error performing TLS handshake: invalid peer certificate";
    assert_eq!(
        said,
        [
            format!("postgres://localhost:PORT/postgres: {invalid}: UnknownIssuer; {advice}"),
            format!(
                "postgres://127.0.0.1:PORT/postgres: {invalid}: certificate not valid for name \
                 \"127.0.0.1\"; certificate is only valid for DnsName(\"localhost\"); {advice}"
            ),
            "postgres://localhost:PORT/postgres: cannot connect: no pg_hba.conf entry for host \
             \"127.0.0.1\", user \"tandem\", database \"postgres\", no encryption [28000]"
                .to_owned(),
        ]
    );
}
