//! Mappings and tables that nobody would write; see `tandem_fuzz`.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use tandem_domain::agreement::Agreement;
use tandem_fuzz::drive;

use super::{ApplicationReader, Mapping, OutcomeReader, PaymentReader};

const EXAMPLES: [&str; 3] = ["lending-club", "marketplace", "servicing"];

fn example(name: &str, file: &str) -> Vec<u8> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    fs::read(examples.join(name).join(file)).unwrap()
}

fn agreement(name: &str) -> Agreement {
    Agreement::parse(&String::from_utf8(example(name, "agreement.toml")).unwrap()).unwrap()
}

/// Reads all rows of a table, whatever the mapping takes it for.
fn read(bytes: &[u8], mapping: &Mapping, agreement: &Agreement) {
    let scope = &agreement.scope;
    let input = || Cursor::new(bytes.to_vec());
    if let Ok(rows) = ApplicationReader::new("applications.csv", input(), mapping, scope) {
        rows.for_each(drop);
    }
    if let Ok(rows) = PaymentReader::new("payments.csv", input(), mapping, scope) {
        rows.for_each(drop);
    }
    if let Ok(rows) = OutcomeReader::new("outcomes.csv", input(), mapping, scope) {
        rows.for_each(drop);
    }
}

#[test]
fn mapping() {
    let agreement = agreement("servicing");
    let table = example("servicing", "applications.csv");
    let seeds = EXAMPLES.map(|name| example(name, "mapping.toml"));
    drive("mapping", &seeds, |bytes| {
        let Ok(mapping) = Mapping::parse(&String::from_utf8_lossy(bytes)) else {
            return;
        };
        if mapping.check(&agreement.scope).is_ok() {
            read(&table, &mapping, &agreement);
        }
    });
}

#[test]
fn csv() {
    let agreement = agreement("servicing");
    let mapping = String::from_utf8(example("servicing", "mapping.toml")).unwrap();
    let mapping = Mapping::parse(&mapping).unwrap();
    let files = ["applications.csv", "payments.csv", "instructions.csv"];
    let seeds = files.map(|file| example("servicing", file));
    drive("csv", &seeds, |bytes| read(bytes, &mapping, &agreement));
}
