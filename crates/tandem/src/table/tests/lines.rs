//! Where rows begin and end: quotes, line ends, headers, whatever the bytes.

use std::io::{self, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;

use super::super::rows::{MAX_LINES, MAX_ROW};
use super::*;

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
