//! A mapping, and whether it fits its agreement and its file.

use super::*;

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
