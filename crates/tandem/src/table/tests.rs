//! The module as its users see it: a mapping, a file, and rows or texts that come out.

use std::fs;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tandem_domain::agreement::Agreement;
use tandem_domain::condition::Scope;
use tandem_domain::field::{Kind, Value};
use tandem_domain::money::Amount;

use super::rows::{MAX_LINES, MAX_ROW};
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
fn a_row_is_read_as_the_mapping_says() {
    let rows: Vec<_> = reader(HEADER.to_owned() + GOOD)
        .map(Result::unwrap)
        .collect();
    let expected = ApplicationRow {
        line: 2,
        key: "A-1".to_owned(),
        borrower: Some("B-1".to_owned()),
        date: "2018-02-28".parse().unwrap(),
        values: vec![
            number(650_065),
            number(36),
            Value::Text("NJ".into()),
            number(5_000_000),
            number(17_570_000),
            number(33_333_333),
            Value::Text("own".into()),
            number(3_710),
        ],
    };
    assert_eq!(rows, [expected]);
    let notes: Vec<_> = mapping().notes().collect();
    assert_eq!(notes, ["Converted at 6.5.", "Payments are generated."]);
}

#[test]
fn several_columns_missing_values_and_ratios() {
    assert_eq!(values(&with("income_both", "70000"))[3], number(7_000_000));
    assert_eq!(values(&with("income_both", "NA"))[3], number(5_000_000));
    assert_eq!(values(&with("income", "NA"))[3], Value::Missing);
    assert_eq!(values(&with("income", " "))[3], Value::Missing);
    assert_eq!(values(&with("used", ""))[5], Value::Missing);
    assert_eq!(values(&with("limit", ""))[5], Value::Missing);
    assert_eq!(values(&with("limit", "0.00"))[5], Value::Missing);
    assert_eq!(values(&with("used", "4"))[5], number(133_333_333));
    assert_eq!(values(&with("home", ""))[6], Value::Missing);
    assert_eq!(values(&with("term", "36.0"))[1], number(36));
    assert_eq!(
        values(&with("state", "\"N \"\"J\"\", x\""))[2],
        Value::Text("N \"J\", x".into())
    );
    assert_eq!(
        reader(HEADER.to_owned() + &with("member", ""))
            .next()
            .unwrap()
            .unwrap()
            .borrower,
        None
    );
}

#[test]
fn every_wrong_value_says_where_and_what_to_write() {
    let cases = [
        ("id", "", "id: is missing; every row needs a value here"),
        (
            "applied",
            "2018-02-30",
            "applied: `2018-02-30` is not a date of the form YYYY-MM-DD, for example 2018-02-28",
        ),
        (
            "amount",
            "abc",
            "amount: `abc` is not a number; write digits with an optional point, for example 1234.50",
        ),
        (
            "amount",
            "",
            "amount: is missing; every row needs a value here",
        ),
        ("amount", "0", "amount: `0` is not above zero"),
        ("amount", "-5", "amount: `-5` is not above zero"),
        (
            "amount",
            "9999999999999",
            "amount: `9999999999999` is too large",
        ),
        (
            "amount",
            "\"1,000\"",
            "amount: `1,000` is not a number; write digits with an optional point, for example 1234.50",
        ),
        (
            "amount",
            "1e3",
            "amount: `1e3` is not a number; write digits with an optional point, for example 1234.50",
        ),
        (
            "amount",
            "1\0",
            r"amount: `1\u{0}` is not a number; write digits with an optional point, for example 1234.50",
        ),
        ("term", "36.5", "term: `36.5` is not a whole number"),
        ("term", "0", "term: `0` is not above zero"),
        (
            "state",
            "",
            "state: is missing; every row needs a value here",
        ),
        (
            "state",
            "N\0J",
            r"state: `N\u{0}J` holds a line end or another control character",
        ),
        (
            "state",
            "\"N\nJ\"",
            r"state: `N\nJ` holds a line end or another control character",
        ),
        (
            "income",
            "-1",
            "income: `-1` is negative; write zero or more, or allow it in the mapping with negative = true",
        ),
        (
            "used",
            "-1",
            "used: `-1 / 3` is negative; write zero or more, or allow it in the mapping with negative = true",
        ),
        (
            "used",
            "99999999999999",
            "used: `99999999999999 / 3` is too large",
        ),
        (
            "limit",
            "-",
            "limit: `-` is not a number; write digits with an optional point, for example 1234.50",
        ),
        (
            "home",
            "own",
            "home: `own` is not listed in the mapping's values; there are OWN, RENT",
        ),
        (
            "born",
            "1980-02-28",
            "born: `1980-02-28` is not a date of the form M/D/YYYY, for example 2/28/2018",
        ),
    ];
    for (column, text, expected) in cases {
        let bad = with(column, text);
        let found = outcome(format!("{HEADER}{GOOD}{bad}{GOOD}"));
        assert_eq!(
            found,
            [
                "A-1",
                &format!("applications.csv, line 3, {expected}"),
                "A-1"
            ],
            "{column}"
        );
    }
    let long = "x".repeat(201);
    assert_eq!(
        outcome(HEADER.to_owned() + &with("id", &long)),
        ["applications.csv, line 2, id: is 201 bytes long; a word or code has at most 200"]
    );
}

#[test]
fn what_is_not_mapped_is_not_looked_at() {
    for text in ["\0", "\"two\nlines\"", "5\" pipe", "\"\""] {
        assert_eq!(
            outcome(HEADER.to_owned() + &with("remark", text) + GOOD),
            ["A-1", "A-1"],
            "{text:?}"
        );
    }
    let latin_1 = [HEADER.as_bytes(), GOOD.trim_end().as_bytes(), b" \xe9\n"].concat();
    assert_eq!(outcome(latin_1), ["A-1"]);
}

#[test]
fn a_malformed_row_is_reported_and_the_next_is_read() {
    let unclosed =
        "a quoted value is not closed; end it with a quote, and write a quote inside it as two";
    let after = "text follows the end of a quoted value; write a quote inside it as two, and a comma after it";
    let cases: [(&[u8], String); 9] = [
        (
            b"A-2,B-2",
            "line 3: has 2 columns, the header has 14".into(),
        ),
        (b"A-2", "line 3: has 1 column, the header has 14".into()),
        (
            &[b','; 20],
            "line 3: has 21 columns, the header has 14".into(),
        ),
        (
            b"A-2,\"B-2,2018-02-28",
            format!("line 3, member: {unclosed}"),
        ),
        (b"\"A-2", format!("line 3, id: {unclosed}")),
        (b"A-2,\"B\"-2,x", format!("line 3, member: {after}")),
        (b"A-2,B-2,\"2018\" ,x", format!("line 3, applied: {after}")),
        (
            b"A-\xff,,,,,,,,,,,,,",
            "line 3, id: is not UTF-8 from byte 3 on; save the file as UTF-8".into(),
        ),
        (
            b"A-2,,2018-02-28,5,36,\"N\xc3(\",,,,,,,,",
            "line 3, state: is not UTF-8 from byte 2 on; save the file as UTF-8".into(),
        ),
    ];
    for (bad, expected) in cases {
        let text = [
            HEADER.as_bytes(),
            GOOD.as_bytes(),
            bad,
            b"\n",
            GOOD.as_bytes(),
            GOOD.as_bytes(),
        ]
        .concat();
        assert_eq!(
            outcome(text),
            [
                "A-1",
                &format!("applications.csv, {expected}"),
                "A-1",
                "A-1"
            ]
        );
        let at_the_end = [HEADER.as_bytes(), GOOD.as_bytes(), bad].concat();
        assert_eq!(
            outcome(at_the_end),
            ["A-1", &format!("applications.csv, {expected}")]
        );
    }
}

#[test]
fn an_unclosed_quote_hides_no_row_whatever_follows() {
    let unclosed = "applications.csv, line 2, remark: a quoted value is not closed; end it with a quote, and write a quote inside it as two";
    let bad = with("remark", "\"oh no");
    let quoted = with("state", "\"NJ\"");
    let many = GOOD.repeat(300);
    for (rest, count) in [
        (GOOD, 1),
        (&quoted, 1),
        (&(GOOD.to_owned() + &quoted + GOOD), 3),
        (&many, 300),
    ] {
        let mut found = outcome(format!("{HEADER}{bad}{rest}"));
        assert_eq!(found.remove(0), unclosed);
        assert_eq!(found, vec!["A-1"; count]);
    }
    let two = bad.repeat(2);
    let found = outcome(format!("{HEADER}{two}{GOOD}"));
    assert_eq!(
        found,
        [unclosed, &unclosed.replace("line 2", "line 3"), "A-1"]
    );
}

#[test]
fn lines_are_counted_as_an_editor_counts_them() {
    let lines = format!("\"{}\"", "x\n".repeat(MAX_LINES as usize - 1));
    let text = format!(
        "\n{HEADER}\n\r\n{}{}{}",
        with("remark", "\"a\r\nb\n\nc\""),
        with("remark", &lines),
        with("amount", "x")
    );
    let text = text.replace("fine\n", "fine\r\n");
    assert_eq!(
        outcome(text),
        [
            "A-1",
            "A-1",
            "applications.csv, line 109, amount: `x` is not a number; write digits with an optional point, for example 1234.50"
        ]
    );
    let lines = format!("\"{}\"", "x\n".repeat(MAX_LINES as usize));
    let found = outcome(HEADER.to_owned() + &with("remark", &lines) + GOOD);
    assert!(
        found[0].starts_with("applications.csv, line 2, remark: a quoted value is not closed"),
        "{found:?}"
    );
    assert_eq!(found.last().unwrap(), "A-1");
}

#[test]
fn line_ends_marks_and_a_missing_last_one_do_not_matter() {
    let plain = HEADER.to_owned() + GOOD + GOOD;
    let expected = ["A-1", "A-1"];
    assert_eq!(outcome(plain.replace('\n', "\r\n")), expected);
    assert_eq!(outcome(format!("\u{feff}{plain}")), expected);
    assert_eq!(outcome(plain.trim_end()), expected);
    assert_eq!(outcome(plain.trim_end().to_owned() + "\r"), expected);
    assert_eq!(
        outcome(
            plain
                .replace(",NJ,", ",\"NJ\",")
                .replace("fine", "\"fine\"")
                .replace('\n', "\r\n")
        ),
        expected
    );
    assert_eq!(outcome(HEADER), [""; 0]);
    assert_eq!(outcome(HEADER.trim_end()), [""; 0]);
}

/// Ten megabytes on one line come in pieces and are not kept.
#[test]
fn an_overlong_line_is_skipped() {
    for (start, quote) in [("", "no quote"), ("\"", "an open quote")] {
        let long = io::repeat(b'x').take(10_000_000);
        let head = Cursor::new(format!("{HEADER}{GOOD}{start}"));
        let tail = Cursor::new(format!("\n{GOOD}"));
        let input = head.chain(long).chain(tail);
        let reader =
            ApplicationReader::new("applications.csv", input, &mapping(), &scope()).unwrap();
        let found: Vec<_> = reader
            .map(|row| row.map_or_else(|problem| problem.to_string(), |row| row.key))
            .collect();
        let length = 10_000_000 + start.len();
        let problem = format!(
            "applications.csv, line 3: the line is {length} bytes long, more than the {MAX_ROW} that a row may have; the line is skipped"
        );
        assert_eq!(found, ["A-1", &problem, "A-1"], "{quote}");
    }
    let longest = "x".repeat(MAX_ROW - GOOD.len() + "fine\n".len());
    assert_eq!(
        outcome(HEADER.to_owned() + &with("remark", &longest) + GOOD),
        ["A-1", "A-1"]
    );
    let found = outcome(HEADER.to_owned() + &with("remark", &(longest + "x")) + GOOD);
    assert!(
        found[0].starts_with("applications.csv, line 2: the line is 1048577 bytes long"),
        "{found:?}"
    );
    assert_eq!(found[1], "A-1");
}

#[test]
fn gzip_is_known_by_its_content() {
    let zipped = |text: &str| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    let text = HEADER.to_owned() + &GOOD.repeat(5);
    assert_eq!(outcome(zipped(&text)), ["A-1"; 5]);
    assert_eq!(outcome([zipped(&text), zipped(GOOD)].concat()), ["A-1"; 6]);

    let mut cut = zipped(&text);
    cut.truncate(cut.len() - 9);
    let found = outcome(cut);
    let last = found.last().unwrap();
    assert!(
        last.contains(": the file cannot be read from here on: "),
        "{found:?}"
    );
    assert_eq!(
        found.iter().filter(|key| *key == "A-1").count(),
        found.len() - 1
    );
}

#[test]
fn a_header_names_every_column_once() {
    let error = |text: &[u8]| {
        let input = Cursor::new(text.to_vec());
        let opened = ApplicationReader::new("applications.csv", input, &mapping(), &scope());
        opened.err().unwrap().to_string()
    };
    assert_eq!(
        error(b""),
        "applications.csv, line 1: the file is empty; its first row names the columns"
    );
    assert_eq!(
        error(b"\xef\xbb\xbf\n"),
        "applications.csv, line 1: the file is empty; its first row names the columns"
    );
    assert_eq!(
        error(b"id,amount,id\n"),
        "applications.csv, line 1: the column `id` stands twice; give each its own name"
    );
    assert_eq!(
        error(b"\nid,am\xffount\n"),
        "applications.csv, line 2: the name of column 2 is not UTF-8 from byte 3 on; save the file as UTF-8"
    );
    assert_eq!(
        error(b"id,\"amount\n"),
        "applications.csv, line 1: a quoted value is not closed; end it with a quote, and write a quote inside it as two"
    );
    let text = HEADER.replace("id,", "id,,,") + &GOOD.replace("A-1", "A-1,,");
    assert_eq!(outcome(text), ["A-1"], "columns without a name do no harm");
    assert_eq!(
        outcome(
            HEADER
                .replace(",amount,", ", amount ,")
                .replace("id,", "\"id\",")
                + GOOD
        ),
        ["A-1"]
    );
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

/// All problems of a mapping in which one line is replaced.
fn problems(line: &str, replacement: &str) -> Vec<String> {
    assert!(MAPPING.contains(line), "{line}");
    let text = MAPPING.replace(line, replacement);
    let problems = Mapping::parse(&text).and_then(|mapping| mapping.check(&scope()));
    problems
        .err()
        .unwrap_or_default()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn a_mapping_fits_its_agreement() {
    assert_eq!(problems("format = 1", "format = 1"), [""; 0]);
    let amount = r#"amount = { column = "amount", unit = "USD", scale = "6.5" }"#;
    let term = r#"term_months = { column = "term", unit = "months", strip = " months" }"#;
    let region = r#"region = { column = "state" }"#;
    let debt = r#"debt = { column = "debt", unit = "percent" }"#;
    let cases = [
        (
            "format = 1",
            "format = 2",
            "line 1, format: this program reads format 1",
        ),
        (
            debt,
            "",
            "line 7, applications.fields: no column is named for debt; name one for each, for example debt = { column = \"…\" }",
        ),
        (
            debt,
            &format!("{debt}\nage = {{ column = \"age\" }}"),
            "line 13, applications.fields.age: there is no field `age` here; there are amount, term_months, region, income, debt, used, home, born",
        ),
        (
            amount,
            r#"amount = { column = "amount", unit = "USD" }"#,
            "line 8, applications.fields.amount.unit: is not the agreement's currency; say what 1 USD is in CNY, for example scale = \"6.5\"",
        ),
        (
            amount,
            r#"amount = { column = "amount" }"#,
            "line 8, applications.fields.amount: say the currency in the file, for example unit = \"CNY\"",
        ),
        (
            amount,
            r#"amount = { column = "amount", unit = "dollars" }"#,
            "line 8, applications.fields.amount.unit: `dollars` is not a currency; write its ISO 4217 code, for example \"CNY\"",
        ),
        (
            amount,
            r#"amount = { column = "amount", unit = "CNY", negative = true }"#,
            "line 8, applications.fields.amount.negative: this number must be above zero; remove it",
        ),
        (
            amount,
            r#"amount = { column = "amount", unit = "USD", scale = "0" }"#,
            "line 8, applications.fields.amount.scale: `0` is no factor; write a number above zero of at most 12 digits",
        ),
        (
            term,
            r#"term_months = { column = "term", unit = "years" }"#,
            "line 9, applications.fields.term_months.unit: is counted in months; write \"months\", and scale = \"12\" if the file counts years",
        ),
        (
            region,
            r#"region = { column = "state", required = false }"#,
            "line 10, applications.fields.region.required: every application needs this field; remove it",
        ),
        (
            region,
            r#"region = { column = "state", unit = "USD" }"#,
            "line 10, applications.fields.region.unit: means nothing for a field of kind text; remove it",
        ),
        (
            region,
            r#"region = { column = [] }"#,
            "line 10, applications.fields.region.column: name at least one column",
        ),
        (
            region,
            r#"region = { column = "state", constant = "NJ" }"#,
            "line 10, applications.fields.region: write one of column, ratio and constant",
        ),
        (
            region,
            r#"region = { columns = "state" }"#,
            "line 10, applications.fields.region.columns: unknown field `columns`, expected one of `column`, `ratio`, `constant`, `unit`, `scale`, `format`, `shift_months`, `strip`, `values`, `missing`, `required`, `negative`",
        ),
        (
            region,
            r#"region = { column = 5 }"#,
            "line 10, applications.fields.region.column: write a text or a list of texts",
        ),
        (
            debt,
            r#"debt = { column = "debt" }"#,
            "line 12, applications.fields.debt: say how the file writes the rate: unit = \"percent\" or unit = \"fraction\"",
        ),
        (
            debt,
            r#"debt = { column = "debt", unit = "%" }"#,
            "line 12, applications.fields.debt.unit: write \"percent\" or \"fraction\"",
        ),
        (
            debt,
            r#"debt = { ratio = ["used", "limit"], unit = "percent" }"#,
            "line 12, applications.fields.debt.unit: means nothing for a ratio of columns; remove it",
        ),
        (
            debt,
            r#"debt = { constant = "a third", unit = "percent" }"#,
            "line 12, applications.fields.debt.constant: `a third` is not a number; write digits with an optional point, for example 1234.50",
        ),
        (
            r#"date = { column = "applied" }"#,
            r#"date = { column = "applied", spread = true }"#,
            "line 6, applications.date.spread: goes only with a format that names no day",
        ),
        (
            r#"date = { column = "applied" }"#,
            r#"date = { column = "applied", format = "YY-M" }"#,
            "line 6, applications.date.format: unknown variant `YY-M`, expected one of `YYYY-MM-DD`, `YYYY-MM`, `Mon-YYYY`, `M/D/YYYY`, `DD.MM.YYYY`, `YYYY/M/D`, `YYYYMMDD`",
        ),
        (
            "behaviour = { seed = 7, note = \"Payments are generated.\" }",
            "",
            "line 16, payments: source = \"behaviour\" needs [payments.behaviour] with a seed",
        ),
        (
            "source = \"behaviour\"",
            "source = \"file\"",
            "line 16, payments: `behaviour` goes only with source = \"behaviour\"; remove it",
        ),
        (
            "source = \"behaviour\"",
            "source = \"outcome\"",
            "line 16, payments: `behaviour` goes only with source = \"behaviour\"; remove it",
        ),
    ];
    for (line, replacement, expected) in cases {
        assert_eq!(problems(line, replacement), [expected], "{replacement}");
    }
    for source in ["file", "outcome"] {
        let text = MAPPING.replace(
            "source = \"behaviour\"\nbehaviour = { seed = 7, note = \"Payments are generated.\" }",
            &format!("source = \"{source}\""),
        );
        let problem = Mapping::parse(&text).unwrap_err()[0].to_string();
        assert!(
            problem.starts_with(&format!("line 16, payments: source = \"{source}\" needs ")),
            "{problem}"
        );
    }
}

#[test]
fn constants_and_options_that_fit() {
    let read = |line: &str, replacement: &str, row: &str, place: usize| {
        let mapping = Mapping::parse(&MAPPING.replace(line, replacement)).unwrap();
        let input = Cursor::new(HEADER.to_owned() + row);
        let mut reader =
            ApplicationReader::new("applications.csv", input, &mapping, &scope()).unwrap();
        reader
            .next()
            .unwrap()
            .map(|row| row.values[place].clone())
            .map_err(|problem| problem.to_string())
    };
    let debt = r#"debt = { column = "debt", unit = "percent" }"#;
    assert_eq!(
        read(
            debt,
            r#"debt = { constant = "5", unit = "percent" }"#,
            GOOD,
            4
        ),
        Ok(number(5_000_000))
    );
    assert_eq!(
        read(
            debt,
            r#"debt = { column = "debt", unit = "fraction" }"#,
            GOOD,
            4
        ),
        Ok(number(1_757_000_000))
    );
    assert_eq!(
        read(
            debt,
            r#"debt = { column = "debt", unit = "percent", strip = ["%", "~"] }"#,
            &with("debt", "~ 14.40 %"),
            4
        ),
        Ok(number(14_400_000))
    );
    assert_eq!(
        read(
            debt,
            r#"debt = { column = "debt", unit = "percent", negative = true }"#,
            &with("debt", "-1"),
            4
        ),
        Ok(number(-1_000_000))
    );
    assert_eq!(
        read(
            debt,
            r#"debt = { column = "debt", unit = "percent", required = true }"#,
            &with("debt", ""),
            4
        ),
        Err("applications.csv, line 2, debt: is missing; every row needs a value here".to_owned())
    );
    let term = r#"term_months = { column = "term", unit = "months", strip = " months" }"#;
    let years = r#"term_months = { column = "term", unit = "months", scale = "12" }"#;
    assert_eq!(read(term, years, &with("term", "2.5"), 1), Ok(number(30)));
    let born = r#"born = { column = "born", format = "M/D/YYYY" }"#;
    let moved = r#"born = { column = "born", format = "M/D/YYYY", shift_months = -120 }"#;
    assert_eq!(read(born, moved, GOOD, 7), Ok(number(58)));
    let far = r#"born = { column = "born", format = "M/D/YYYY", shift_months = 120000 }"#;
    assert_eq!(
        read(born, far, GOOD, 7),
        Err(
            "applications.csv, line 2, born: `2/28/1980`, moved by 120000 months, is no date"
                .to_owned()
        )
    );
    let date = r#"date = { column = "applied" }"#;
    let month =
        r#"date = { column = "applied", format = "Mon-YYYY", spread = true, shift_months = 48 }"#;
    let mapping = Mapping::parse(&MAPPING.replace(date, month)).unwrap();
    let input = Cursor::new(HEADER.to_owned() + &with("applied", "Feb-2018"));
    let row = ApplicationReader::new("a.csv", input, &mapping, &scope())
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    assert_eq!(row.date.to_string(), "2022-02-22");
}

#[test]
fn an_unknown_column_is_found_before_anything_is_read() {
    let header = HEADER
        .replace(",amount,", ",loan_amount,")
        .replace("born", "geboren")
        .replace("limit", "limits");
    let input = Cursor::new(header + GOOD);
    let opened = ApplicationReader::new("applications.csv", input, &mapping(), &scope());
    assert_eq!(
        opened.err().unwrap().to_string(),
        "mapping.toml, line 8, applications.fields.amount.column: applications.csv has no column `amount`; similar are loan_amount\n\
         mapping.toml, line 13, applications.fields.used.ratio[1]: applications.csv has no column `limit`; similar are limits\n\
         mapping.toml, line 15, applications.fields.born.column: applications.csv has no column `born`; its columns are id, member, \
         applied, loan_amount, term, state, income_both, income, debt, used, limits, home, geboren, remark"
    );
}

const PAYMENTS: &str = r#"source = "file"
key = "payment"
application = "loan"
value_date = { column = "day", format = "YYYYMMDD" }
amount = { column = "paid", unit = "CNY" }
kind = { column = "type", prepay = ["early"], pay = ["regular"] }
"#;

fn mapping_with(payments: &str) -> Mapping {
    let start = MAPPING.find("source = ").unwrap();
    Mapping::parse(&(MAPPING[..start].to_owned() + payments)).unwrap()
}

#[test]
fn payments_are_read() {
    let mapping = mapping_with(PAYMENTS);
    assert_eq!(mapping.check(&scope()), Ok(()));
    assert!(
        matches!(&mapping.payments, PaymentSource::File(columns) if columns.file == "payments.csv")
    );
    let text = "payment,loan,day,paid,type\nP-1,A-1,20180228,12.5,\nP-2,A-1,20180301,7,early\nP-3,A-1,20180301,-7,early\nP-4,,20180301,7,\nP-5,A-1,20180301,7.005,\nP-6,A-1,20180302,7.0100,regular\nP-7,A-1,20180302,7,odd\n";
    let reader = PaymentReader::new("payments.csv", Cursor::new(text), &mapping, &scope()).unwrap();
    let rows: Vec<_> = reader
        .map(|row| row.map_err(|problem| problem.to_string()))
        .collect();
    let payment = |line, key: &str, day: &str, amount, prepay| {
        let (key, application) = (key.to_owned(), "A-1".to_owned());
        Ok(PaymentRow {
            line,
            key,
            application,
            value_date: day.parse().unwrap(),
            amount: Amount(amount),
            prepay,
        })
    };
    assert_eq!(
        rows,
        [
            payment(2, "P-1", "2018-02-28", 1_250, false),
            payment(3, "P-2", "2018-03-01", 700, true),
            Err("payments.csv, line 4, paid: `-7` is not above zero".to_owned()),
            Err("payments.csv, line 5, loan: is missing; every row needs a value here".to_owned()),
            Err("payments.csv, line 6, paid: `7.005` has more than 2 decimals".to_owned()),
            payment(7, "P-6", "2018-03-02", 701, false),
            Err(
                "payments.csv, line 8, type: `odd` is no kind of payment that the mapping knows; there are \
                 early, regular; leave the cell empty for an ordinary payment, or name the word in the mapping, \
                 payments.kind"
                    .to_owned()
            ),
        ]
    );
    let other = PaymentReader::new(
        "payments.csv",
        Cursor::new(text),
        &self::mapping(),
        &scope(),
    );
    assert_eq!(
        other.err().unwrap().to_string(),
        "mapping.toml, line 17, payments.source: names another source than this file"
    );
    let foreign = mapping_with(&PAYMENTS.replace("CNY", "USD"));
    assert_eq!(
        foreign.check(&scope()).unwrap_err()[0].to_string(),
        "line 21, payments.amount.unit: is not the agreement's currency; say what 1 USD is in CNY, for example scale = \"6.5\""
    );
}

#[test]
fn outcomes_are_read() {
    let mapping = mapping_with(
        r#"source = "outcome"
[payments.outcome]
application = "id"
paid_off = { column = "status", values = ["Fully Paid"] }
instalment = { column = "instalment", unit = "CNY" }
last_payment_date = { column = "last", format = "Mon-YYYY" }
last_payment_amount = { column = "last_amount", unit = "CNY" }
total_paid = { column = "total", unit = "CNY" }
recoveries = { column = "recovered", unit = "CNY" }
[payments.outcome.recorded]
interest = { column = "interest", unit = "CNY" }
receipts = { investors = { column = "to_investors", unit = "CNY" } }
"#,
    );
    assert_eq!(mapping.check(&scope()), Ok(()));
    let text = "id,status,instalment,last,last_amount,total,recovered,interest,to_investors\n\
                A-1,Fully Paid,100,Mar-2018,90,3500,,12.345,33\n\
                A-2,Charged Off,100,,,0,,,\n\
                A-3,,100,,,0,,,\n";
    let reader = OutcomeReader::new("outcomes.csv", Cursor::new(text), &mapping, &scope()).unwrap();
    let rows: Vec<_> = reader
        .map(|row| row.map_err(|problem| problem.to_string()))
        .collect();
    let paid = OutcomeRow {
        line: 2,
        application: "A-1".to_owned(),
        paid_off: true,
        instalment: Amount(10_000),
        last_payment_date: Some("2018-03-01".parse().unwrap()),
        last_payment_amount: Some(Amount(9_000)),
        total_paid: Amount(350_000),
        recoveries: Amount::ZERO,
        recorded: RecordedRow {
            interest: Some(Amount(1_235)),
            receipts: vec![("investors".to_owned(), Amount(3_300))],
            ..RecordedRow::default()
        },
    };
    let never_paid = OutcomeRow {
        line: 3,
        application: "A-2".to_owned(),
        paid_off: false,
        last_payment_date: None,
        last_payment_amount: None,
        total_paid: Amount::ZERO,
        recorded: RecordedRow::default(),
        ..paid.clone()
    };
    let missing =
        "outcomes.csv, line 4, status: is missing; every row needs a value here".to_owned();
    assert_eq!(rows, [Ok(paid), Ok(never_paid), Err(missing)]);
}

#[test]
fn the_schema_describes_every_option() {
    let schema = serde_json::to_value(schemars::schema_for!(Mapping)).unwrap();
    assert_eq!(
        schema["required"],
        serde_json::json!(["format", "applications", "payments"])
    );
    let definitions = schema["$defs"].as_object().unwrap();
    for (name, definition) in definitions {
        let Some(properties) = definition["properties"].as_object() else {
            continue;
        };
        assert_eq!(definition["additionalProperties"], false, "{name}");
        for (option, property) in properties {
            assert!(property["description"].is_string(), "{name}.{option}");
        }
    }
    assert!(definitions["Payments"]["properties"]["outcome"].is_object());
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

/// Rows that a malformed one must not take with it: plain, or with quoted values.
fn good_row() -> impl Strategy<Value = String> {
    let quoted = "[a-zA-Z0-9 ]([a-zA-Z0-9, ]|\"\"){0,8}";
    prop_oneof![
        Just(GOOD.to_owned()),
        Just(with("state", "\"NJ\"")),
        quoted.prop_map(|text| with("remark", &format!("\"{text}\""))),
    ]
}

/// One line of anything that cannot be a row of the table: it has another number of columns, or
/// quotes that do not fit.
fn bad_line() -> impl Strategy<Value = Vec<u8>> {
    let anything = prop::collection::vec(
        any::<u8>().prop_filter("one line", |byte| *byte != b'\n'),
        1..60,
    );
    prop_oneof![
        anything.prop_filter("not empty, not 14 columns", |line| {
            line != b"\r" && line.iter().filter(|&&byte| byte == b',').count() != 13
        }),
        Just(with("remark", "\"oh no").trim_end().as_bytes().to_vec()),
        Just(with("state", "\"NJ").trim_end().as_bytes().to_vec()),
        Just(with("state", "\"N\"J\"").trim_end().as_bytes().to_vec()),
        (0..14usize).prop_map(|column| {
            let name = HEADER.trim().split(',').nth(column).unwrap();
            with(name, "\"").trim_end().as_bytes().to_vec()
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..400), commas in any::<bool>()) {
        let input = Cursor::new(bytes.clone());
        let _ = ApplicationReader::new("applications.csv", input, &mapping(), &scope());
        let some = bytes.into_iter().map(|byte| match byte % 8 {
            0 | 1 if commas => b',',
            2 => b'"',
            3 => b'\n',
            _ => byte,
        });
        let text: Vec<u8> = HEADER.bytes().chain(some).collect();
        let lines = text.iter().filter(|&&byte| byte == b'\n').count();
        prop_assert!(reader(text).count() <= lines);
    }

    #[test]
    fn a_bad_line_takes_no_good_row_with_it(
        before in prop::collection::vec(good_row(), 0..4),
        bad in bad_line(),
        after in prop::collection::vec(good_row(), 0..4),
    ) {
        let mut text = HEADER.as_bytes().to_vec();
        text.extend(before.concat().bytes());
        text.extend(&bad);
        text.push(b'\n');
        text.extend(after.concat().bytes());
        let found = outcome(text);
        let good = found.iter().filter(|found| *found == "A-1").count();
        prop_assert_eq!(good, before.len() + after.len(), "{:?} {:?}", String::from_utf8_lossy(&bad), found);
        prop_assert_eq!(found.len(), good + 1);
        let line = format!("applications.csv, line {}", before.len() + 2);
        prop_assert!(found[before.len()].starts_with(&line), "{:?}", found);
    }

    #[test]
    fn it_does_not_matter_in_what_pieces_the_text_comes(text in "[a,\"\r\n]{0,60}", piece in 1..5usize) {
        struct Pieces(Cursor<Vec<u8>>, usize);
        impl Read for Pieces {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                let length = buffer.len().min(self.1);
                self.0.read(&mut buffer[..length])
            }
        }
        let text = HEADER.to_owned() + &text + "\n" + GOOD;
        let whole = outcome(text.clone());
        let pieces = Pieces(Cursor::new(text.into_bytes()), piece);
        let reader = ApplicationReader::new("applications.csv", pieces, &mapping(), &scope()).unwrap();
        let found: Vec<_> = reader.map(|row| row.map_or_else(|problem| problem.to_string(), |row| row.key)).collect();
        prop_assert_eq!(found, whole);
    }
}
