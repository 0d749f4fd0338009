//! A row and its values, right and wrong.

use super::*;

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
