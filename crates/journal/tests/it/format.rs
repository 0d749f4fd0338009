//! The bytes of format 2, exactly as `docs/spec/journal.md` describes them.
//!
//! The constants below are also in that document. They never change: what was written once is
//! read forever. A new format gets a test of its own beside this one.

use std::fs;

use rusqlite::Connection;
use tandem_journal::{Batch, BatchBuilder, Hash, Journal, Readers, Sqlite};

use crate::{append, demo, events, read_all};

const SPEC: &str = include_str!("../../../../docs/spec/journal.md");

const SECRET: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The hash of "batch 0".
const GENESIS_HASH: &str = "46e3fe9364dbd26fa7276fe4d26632728f231507b86b2eef34405cb93373d212";

/// Salts of batch 1: the nine of its sections, then those of its events.
const SALTS_1: &str = "
    b329b2059975fafc39c4ba2cc7a3f25d
    c264d9645389a0a37946eb437c4dd954
    a410d370f444a7138d7c0cce9020cf5c
    8101a39a822179b5e43368256d864cb9
    51b1ad32fa784a8a06a6a5e92d44a81f
    7285dc90c0dc5c0d73b1a0d4181efff9
    11e85923562ca8475191c35da5a806c1
    63bb29e8c43e852208446bfda3ef1933
    7c878b9d4c53889759c649587ddf5d61
    85f3fcebc8ef3f9168fd32e13606bf24
    20c0e7e5a3ecb818d51a763057849b5e";
const BODY_1: &str = "08 6f70656e 08 6c656e64";
/// What the leaf of the first event is the hash of, and the leaves of both.
const LEAF_1: &str = "
    85f3fcebc8ef3f9168fd32e13606bf24 00 04 6f70656e";
const LEAVES_1: &str = "
    455b5771795e7698b0cd30e941815b50d4db70df1e6ea0fa332f71a4a77bf20a
    31edb84bda8b37ec4bc11aa5d27697a4baa5101bd32616e87c27bd93a08bfff9";
const ROOT_1: &str = "b1cc2d9d7abf4e2e314afe4955d4f72bf4b3bd200f93bd456e07db2035cdc38b";
const HASH_1: &str = "b17362f02b4223f71ea0c78fe852f7c19178a1ff66a04a56bb332ae10d98532d";

/// The lengths before the event of batch 2.
const LENGTHS_2: &str = "07 ac02 3d05 2900";
const HASH_2: &str = "640d32e4f6ed2144b8d1073fe29276a6f72963be2b086e2b9dd87ac01d485d5e";

const HEAD_FILE: &str = "
    0200000000000000
    640d32e4f6ed2144b8d1073fe29276a6f72963be2b086e2b9dd87ac01d485d5e
    a5c4b07b06dde13bd3b5d4497cd6f345c0eae15e90e6b08e
    0100000000000000
    b17362f02b4223f71ea0c78fe852f7c19178a1ff66a04a56bb332ae10d98532d
    090f7309918ba27ef47f3224a41c0c9f6378353cda6c7a2a";

const TABLES: &str = "
    CREATE TABLE meta (
        format INTEGER NOT NULL,
        book TEXT NOT NULL,
        secret BLOB NOT NULL
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

/// The event of batch 2, in three parts.
const LONG: [u8; 200] = [0x2e; 200];

fn body_2() -> Vec<u8> {
    [&bytes(LENGTHS_2)[..], &LONG].concat()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u32> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks_exact(2)
        .map(|pair| (pair[0] * 16 + pair[1]) as u8)
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hash(hex: &str) -> Hash {
    Hash(bytes(hex).try_into().unwrap())
}

fn keyed(key: &[u8; 32], parts: &[&[u8]]) -> Vec<u8> {
    blake3::keyed_hash(key, &parts.concat()).as_bytes().to_vec()
}

fn salts(seq: u64, count: usize) -> Vec<Vec<u8>> {
    let mut stream = vec![0; 16 * count];
    blake3::Hasher::new_derive_key("tandem journal format 2 salts")
        .update(&bytes(SECRET))
        .update(&seq.to_le_bytes())
        .finalize_xof()
        .fill(&mut stream);
    stream.chunks(16).map(<[u8]>::to_vec).collect()
}

/// The hash of a batch, by the document.
fn batch_hash(seq: u64, prev: &str, root: &[u8], sections: &[Vec<u8>], kinds: &[u8]) -> String {
    let mut header = b"TANDEM".to_vec();
    header.extend(2u16.to_le_bytes());
    header.extend(seq.to_le_bytes());
    header.extend(bytes(prev));
    header.extend((kinds.len() as u32 / 2).to_le_bytes());
    header.extend(b"demo");
    header.resize(116, 0);
    header.extend(root);
    header.extend(sections.concat());
    assert_eq!(header.len(), 436);
    header.extend(kinds);
    blake3::hash(&header).to_string()
}

const EVENT: &[u8; 32] = b"tandem journal format 2: event  ";
const SECTION: &[u8; 32] = b"tandem journal format 2: section";
const NODE: &[u8; 32] = b"tandem journal format 2: node   ";

#[test]
fn the_hash_covers_the_documented_bytes() {
    let zeros = vec![vec![0; 32]; 9];
    let genesis = batch_hash(0, &"00".repeat(32), &[0; 32], &zeros, &[]);
    assert_eq!(genesis, GENESIS_HASH);

    let salt = salts(1, 11);
    assert_eq!(hex(&salt.concat()), hex(&bytes(SALTS_1)));
    let first = [&salt[9][..], &[0, 4], b"open"].concat();
    assert_eq!(hex(&first), hex(&bytes(LEAF_1)));
    let second = [&salt[10][..], &[0, 4], b"lend"].concat();
    let leaves = [keyed(EVENT, &[&first]), keyed(EVENT, &[&second])];
    assert_eq!(hex(&leaves.concat()), hex(&bytes(LEAVES_1)));
    let root = keyed(NODE, &[&leaves[0], &leaves[1]]);
    assert_eq!(hex(&root), ROOT_1);
    let section = |salt: &Vec<u8>| keyed(SECTION, &[salt]);
    let sections: Vec<_> = salt[..9].iter().map(section).collect();
    assert_eq!(
        batch_hash(1, GENESIS_HASH, &root, &sections, b"ople"),
        HASH_1
    );

    let salt = salts(2, 10);
    let root = keyed(EVENT, &[&salt[9], &[0, 0x96, 0x01], &LONG[..150]]);
    let section = |(reader, salt): (usize, &Vec<u8>)| match reader {
        0 | 2 => keyed(SECTION, &[salt, &[0, 1, 30], &LONG[..30]]),
        8 => keyed(SECTION, &[salt, &[0, 2, 20], &LONG[..20]]),
        _ => keyed(SECTION, &[salt]),
    };
    let sections: Vec<_> = salt[..9].iter().enumerate().map(section).collect();
    assert_eq!(batch_hash(2, HASH_1, &root, &sections, b".."), HASH_2);
}

/// A database with the documented tables, the known secret and these rows.
fn documented(path: &std::path::Path, rows: &[String]) {
    let database = Connection::open(path).unwrap();
    let meta = format!(
        "PRAGMA application_id = 0x544e444d; INSERT INTO meta VALUES (2, 'demo', x'{SECRET}');"
    );
    let all = [TABLES.to_owned(), meta, rows.concat()];
    database.execute_batch(&all.concat()).unwrap();
}

#[test]
fn a_journal_has_the_documented_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    documented(&path, &[]);
    let mut journal = Journal::open(Sqlite::open(&path).unwrap()).unwrap();
    assert_eq!(journal.genesis().hash.to_string(), GENESIS_HASH);
    append(&mut journal, &[b"open", b"lend"]).unwrap();
    let mut batch = BatchBuilder::new();
    let in_parts = |body: &mut Vec<u8>, parts: &mut Vec<(usize, Readers)>| {
        let start = body.len();
        body.extend(LONG);
        parts.push((start + 150, Readers::Shared));
        parts.push((start + 180, Readers::Only(0b101)));
        parts.push((start + 200, Readers::Only(0)));
    };
    batch.push_parts(in_parts).unwrap();
    journal.append(&mut batch).unwrap();

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
    let head_file = fs::read(dir.path().join("journal.db-head")).unwrap();
    assert_eq!(hex(&head_file), hex(&bytes(HEAD_FILE)));
}

#[test]
fn a_new_journal_has_the_documented_tables_and_a_secret_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let create = |name: &str| {
        let path = dir.path().join(name);
        drop(Sqlite::create(&path, &demo()).unwrap());
        assert_eq!(fs::read(&path).unwrap()[68..72], *b"TNDM");
        let database = Connection::open(&path).unwrap();
        let one = |query: &str| {
            database
                .query_row(query, [], |row| row.get::<_, String>(0))
                .unwrap()
        };
        let tables = one("SELECT group_concat(sql, ' ') FROM sqlite_schema WHERE sql IS NOT NULL");
        assert_eq!(words(&tables), words(&TABLES.replace(';', "")));
        assert_eq!(one("SELECT format || ' ' || book FROM meta"), "2 demo");
        one("SELECT hex(secret) FROM meta")
    };
    let secret = create("one.db");
    assert_eq!(secret.len(), 64);
    assert_ne!(secret, create("two.db"));
}

#[test]
fn a_journal_of_the_documented_bytes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.db");
    let row = |seq, prev, hash, events, body: &[u8]| {
        let body = hex(body);
        format!(
            "INSERT INTO batch VALUES ('demo', {seq}, x'{prev}', x'{hash}', {events}, x'{body}');"
        )
    };
    let rows = [
        row(1, GENESIS_HASH, HASH_1, 2, &bytes(BODY_1)),
        row(2, HASH_1, HASH_2, 1, &body_2()),
    ];
    documented(&path, &rows);
    fs::write(dir.path().join("journal.db-head"), bytes(HEAD_FILE)).unwrap();

    let mut journal = Journal::open(Sqlite::open(&path).unwrap()).unwrap();
    let batches = read_all(&mut journal).unwrap();
    assert_eq!(events(&batches), [&b"open"[..], b"lend", &LONG]);
}

#[test]
fn the_document_shows_the_same_bytes() {
    let spec = words(SPEC);
    for example in [
        SECRET,
        GENESIS_HASH,
        SALTS_1,
        BODY_1,
        LEAF_1,
        LEAVES_1,
        ROOT_1,
        HASH_1,
        LENGTHS_2,
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
