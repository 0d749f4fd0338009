//! The module as its users see it: a mapping, a file, and rows or texts that come out.

mod lines;
mod mapping;
mod payments;
mod values;

use std::fs;
use std::io::Cursor;
use std::path::Path;

use tandem_domain::agreement::Agreement;
use tandem_domain::condition::Scope;
use tandem_domain::field::{Kind, Value};

use super::*;

const MAPPING: &str = r#"format = 1
[applications]
note = "Converted at 6.5."
key = "id"
borrower = "member"
date = { column = "applied" }
[applications.fields]
amount = { column = "amount", unit = "USD", scale = "6.5" }
term_months = { column = "term", unit = "months", strip = " months" }
region = { column = "state" }
income = { column = ["income_both", "income"], unit = "CNY", missing = ["NA"] }
debt = { column = "debt", unit = "percent" }
used = { ratio = ["used", "limit"] }
home = { column = "home", values = { OWN = "own", RENT = "rent" } }
born = { column = "born", format = "M/D/YYYY" }
[payments]
source = "behaviour"
behaviour = { seed = 7, note = "Payments are generated." }
"#;

const HEADER: &str =
    "id,member,applied,amount,term,state,income_both,income,debt,used,limit,home,born,remark\n";
const GOOD: &str = "A-1,B-1,2018-02-28,1000.10,36 months,NJ,,50000,17.57,1,3,OWN,2/28/1980,fine\n";

fn scope() -> Scope {
    let fields = [
        ("amount", Kind::Money),
        ("term_months", Kind::Integer),
        ("region", Kind::Text),
        ("income", Kind::Money),
        ("debt", Kind::Rate),
        ("used", Kind::Rate),
        ("home", Kind::Text),
        ("born", Kind::Date),
    ];
    Scope {
        fields: fields.map(|(name, kind)| (name.to_owned(), kind)).into(),
        currency: "CNY".parse().unwrap(),
    }
}

fn mapping() -> Mapping {
    Mapping::parse(MAPPING).unwrap()
}

fn reader(text: impl Into<Vec<u8>>) -> ApplicationReader {
    let input = Cursor::new(text.into());
    ApplicationReader::new("applications.csv", input, &mapping(), &scope()).unwrap()
}

/// The keys that were read and the texts of the problems, in order.
fn outcome(text: impl Into<Vec<u8>>) -> Vec<String> {
    reader(text)
        .map(|row| row.map_or_else(|problem| problem.to_string(), |row| row.key))
        .collect()
}

/// The good row with another text in one of its columns.
fn with(column: &str, text: &str) -> String {
    let place = HEADER
        .trim()
        .split(',')
        .position(|name| name == column)
        .unwrap();
    let mut cells: Vec<_> = GOOD.trim().split(',').collect();
    cells[place] = text;
    cells.join(",") + "\n"
}

fn values(row: &str) -> Vec<Value> {
    reader(HEADER.to_owned() + row)
        .next()
        .unwrap()
        .unwrap()
        .values
}

fn number(number: i64) -> Value {
    Value::Number(number)
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let open = |path: &str| match ApplicationReader::open(path.as_ref(), &mapping(), &scope()) {
        Err(TableError::Open { path, .. }) => path,
        _ => "no error".to_owned(),
    };
    assert_eq!(open("nowhere/applications.csv"), "nowhere/applications.csv");
    assert_eq!(open("."), ".");
}

/// The marketplace example: every row is read, with the values its first one stands for.
#[test]
fn the_example_is_read_whole() {
    let folder = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../examples/marketplace"
    ));
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let scope = Agreement::parse(&text("agreement.toml")).unwrap().scope;
    let mapping = Mapping::parse(&text("mapping.toml")).unwrap();
    let reader =
        ApplicationReader::open(&folder.join(&mapping.applications.file), &mapping, &scope)
            .unwrap();
    let rows: Vec<_> = reader.map(Result::unwrap).collect();
    assert_eq!(rows.len(), 10_000);
    assert_eq!(rows[0].date.to_string(), "2022-03-16");
    assert_eq!(rows[0].values.len(), scope.fields.len());
    let value = |name: &str| rows[0].values[scope.field(name).unwrap().0].clone();
    assert_eq!(value("amount"), number(18_200_000));
    assert_eq!(value("annual_income"), number(58_500_000));
    assert_eq!(value("utilisation"), number(54_759_517));
    assert_eq!(value("income_verified"), Value::Text("verified".into()));
}
