//! The bytes of format 1, exactly as `docs/spec/journal.md` describes them.
//!
//! The constants below are also in that document. They never change: what was written once is
//! read forever. A new format gets a test of its own beside this one.

use std::fs;

use rusqlite::Connection;
use tandem_journal::{Batch, Hash, Journal, Sqlite};

use crate::{append, demo, events, read_all};

const SPEC: &str = include_str!("../../../../docs/spec/journal.md");

/// The header that the hash of "batch 0" covers.
const GENESIS_HEADER: &str = "
    54414e44454d 0100
    0000000000000000
    0000000000000000000000000000000000000000000000000000000000000000
    00000000
    00000000
    64656d6f 000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000";
const GENESIS_HASH: &str = "01bcc27b1caccdccd98b11b1d9e58445f04be880cd34178381f024b0c3606f43";

const HEADER_1: &str = "
    54414e44454d 0100
    0100000000000000
    01bcc27b1caccdccd98b11b1d9e58445f04be880cd34178381f024b0c3606f43
    02000000
    0a000000
    64656d6f 000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000";
const BODY_1: &str = "04 6f70656e 04 6c656e64";
const HASH_1: &str = "0ae064175980d0852755645380b0b916f165ca0c23baa47a64a54c5cc424cb86";

const HEADER_2: &str = "
    54414e44454d 0100
    0200000000000000
    0ae064175980d0852755645380b0b916f165ca0c23baa47a64a54c5cc424cb86
    01000000
    ca000000
    64656d6f 000000000000000000000000000000000000000000000000000000000000
    000000000000000000000000000000000000000000000000000000000000";
const HASH_2: &str = "3fd9b343b94277faff99c461ca23e4d235f31206a3fabe3e83fb8238722957ea";

const HEAD_FILE: &str = "
    0200000000000000
    3fd9b343b94277faff99c461ca23e4d235f31206a3fabe3e83fb8238722957ea
    544898c7176c9331b03096028a76d7ee48f07735dc76df18
    0100000000000000
    0ae064175980d0852755645380b0b916f165ca0c23baa47a64a54c5cc424cb86
    749464a986f5744cb19cf19dc8831e842389cb08b379665c";

const TABLES: &str = "
    CREATE TABLE meta (
        format INTEGER NOT NULL,
        book TEXT NOT NULL
    ) STRICT;
    CREATE TABLE batch (
        book TEXT NOT NULL,
        seq INTEGER NOT NULL,
        prev BLOB NOT NULL,
        hash BLOB NOT NULL,
        events INTEGER NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (book, seq)
    ) STRICT;";

/// The second event, for a length of two bytes.
const LONG: [u8; 200] = [0x2e; 200];

fn body_2() -> Vec<u8> {
    [&[0xc8, 0x01][..], &LONG].concat()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks_exact(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn hash(hex: &str) -> Hash {
    Hash(bytes(hex).try_into().unwrap())
}

#[test]
fn the_hash_covers_the_documented_bytes() {
    let blake3 = |header: &str, body: &[u8]| {
        let header = bytes(header);
        assert_eq!(header.len(), 120);
        blake3::hash(&[&header, body].concat()).to_string()
    };
    assert_eq!(blake3(GENESIS_HEADER, &[]), GENESIS_HASH);
    assert_eq!(blake3(HEADER_1, &bytes(BODY_1)), HASH_1);
    assert_eq!(blake3(HEADER_2, &body_2()), HASH_2);
}

#[test]
fn a_journal_has_the_documented_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let mut journal = Journal::open(Sqlite::create(&path, &demo()).unwrap()).unwrap();
    assert_eq!(journal.genesis().hash.to_string(), GENESIS_HASH);
    append(&mut journal, &[b"open", b"lend"]).unwrap();
    append(&mut journal, &[&LONG]).unwrap();

    let (prev, hash_1, body) = (hash(GENESIS_HASH), hash(HASH_1), bytes(BODY_1));
    let one = Batch {
        seq: 1,
        prev,
        hash: hash_1,
        events: 2,
        body,
    };
    let (hash_2, body) = (hash(HASH_2), body_2());
    let two = Batch {
        seq: 2,
        prev: hash_1,
        hash: hash_2,
        events: 1,
        body,
    };
    assert_eq!(read_all(&mut journal).unwrap(), [one, two]);

    drop(journal);
    assert_eq!(
        fs::read(dir.path().join("journal.db-head")).unwrap(),
        bytes(HEAD_FILE)
    );

    let database = Connection::open(&path).unwrap();
    let one = |query: &str| {
        database
            .query_row(query, [], |row| row.get::<_, String>(0))
            .unwrap()
    };
    assert_eq!(one("SELECT format || ' ' || book FROM meta"), "1 demo");
    let tables = one("SELECT group_concat(sql, ' ') FROM sqlite_schema WHERE sql IS NOT NULL");
    assert_eq!(words(&tables), words(&TABLES.replace(';', "")));
    assert_eq!(fs::read(&path).unwrap()[68..72], *b"TNDM");
}

#[test]
fn a_journal_of_the_documented_bytes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let database = Connection::open(&path).unwrap();
    let row = |seq, prev, hash, events, body: &[u8]| {
        let body: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "INSERT INTO batch VALUES ('demo', {seq}, x'{prev}', x'{hash}', {events}, x'{body}');"
        )
    };
    let rows = [
        TABLES,
        "PRAGMA application_id = 0x544e444d; INSERT INTO meta VALUES (1, 'demo');",
        &row(1, GENESIS_HASH, HASH_1, 2, &bytes(BODY_1)),
        &row(2, HASH_1, HASH_2, 1, &body_2()),
    ];
    database.execute_batch(&rows.concat()).unwrap();
    drop(database);
    fs::write(dir.path().join("journal.db-head"), bytes(HEAD_FILE)).unwrap();

    let mut journal = Journal::open(Sqlite::open(&path).unwrap()).unwrap();
    let batches = read_all(&mut journal).unwrap();
    assert_eq!(events(&batches), [&b"open"[..], b"lend", &LONG]);
}

#[test]
fn the_document_shows_the_same_bytes() {
    let spec = words(SPEC);
    for example in [
        GENESIS_HASH,
        HEADER_1,
        BODY_1,
        HASH_1,
        HASH_2,
        HEAD_FILE,
        TABLES,
    ] {
        assert!(
            spec.contains(&words(example)),
            "docs/spec/journal.md lacks {example}"
        );
    }
}

/// A text with every run of white space as one space.
fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
