//! TOML documents whose problems carry line and field.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Something wrong in a document: where, what, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Line, counted from 1.
    pub line: usize,
    /// Path of the field, for example `lender[1].share`; empty for the document itself.
    pub field: String,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => write!(f, "line {}: {}", self.line, self.message),
            field => write!(f, "line {}, {field}: {}", self.line, self.message),
        }
    }
}

/// A parsed document that remembers where everything stands.
pub struct Document<'t> {
    text: &'t str,
    root: Spanned<DeTable<'t>>,
}

impl<'t> Document<'t> {
    /// Parses the syntax.
    pub fn parse(text: &'t str) -> Result<Document<'t>, Problem> {
        let root = DeTable::parse(text).map_err(|error| Problem {
            line: line_of(text, error.span().unwrap_or(0..0).start),
            field: String::new(),
            message: one_line(error.message()),
        })?;
        Ok(Document { text, root })
    }

    /// Reads the document as a `T`; an unfitting value is reported with its field.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        toml::from_str(self.text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            Problem {
                line: line_of(self.text, span.start),
                field: path_of(self.root.get_ref(), &span),
                message: one_line(error.message()),
            }
        })
    }

    /// True if the document has this key at its top.
    pub fn has(&self, key: &str) -> bool {
        self.root
            .get_ref()
            .iter()
            .any(|(name, _)| name.get_ref() == key)
    }

    /// A problem with the value at `field`, or with the nearest enclosing one that is written.
    pub fn problem(&self, field: impl Into<String>, message: impl Into<String>) -> Problem {
        let field = field.into();
        let line = line_of(self.text, self.locate(&field));
        Problem {
            line,
            field,
            message: message.into(),
        }
    }

    /// Byte offset of the value at a path like `lender[1].share`.
    fn locate(&self, path: &str) -> usize {
        let mut offset = 0;
        let mut table = Some(self.root.get_ref());
        for step in path.split('.') {
            let (key, indices) = step.split_once('[').unwrap_or((step, ""));
            let entry = table.and_then(|t| t.iter().find(|(name, _)| name.get_ref() == key));
            let Some((name, mut value)) = entry else {
                break;
            };
            offset = name.span().start;
            for index in indices
                .split('[')
                .filter_map(|index| index.trim_end_matches(']').parse::<usize>().ok())
            {
                let Some(element) = value.get_ref().get(index) else {
                    break;
                };
                value = element;
                offset = value.span().start;
            }
            table = value.get_ref().as_table();
        }
        offset
    }
}

/// The path of the innermost key or value that covers `span`.
fn path_of(table: &DeTable<'_>, span: &Range<usize>) -> String {
    let covers = |outer: Range<usize>| {
        outer.start <= span.start && span.end <= outer.end && !span.is_empty()
    };
    for (key, value) in table {
        if covers(key.span()) {
            return key.get_ref().to_string();
        }
        // A table under its own header spans only the header, so its inside is searched anyway.
        let inner = path_within(value, span);
        if !inner.is_empty() || covers(value.span()) {
            return format!("{}{inner}", key.get_ref());
        }
    }
    String::new()
}

fn path_within(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> String {
    match value.get_ref() {
        DeValue::Table(table) => match path_of(table, span) {
            path if path.is_empty() => path,
            path => format!(".{path}"),
        },
        DeValue::Array(elements) => {
            for (index, element) in elements.iter().enumerate() {
                let inner = path_within(element, span);
                let whole = element.span();
                if !inner.is_empty()
                    || (whole.start <= span.start && span.end <= whole.end && !span.is_empty())
                {
                    return format!("[{index}]{inner}");
                }
            }
            String::new()
        }
        _ => String::new(),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

fn one_line(message: &str) -> String {
    message
        .lines()
        .map(str::trim)
        .collect::<Vec<_>>()
        .join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct File {
        name: String,
        lender: Vec<Lender>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only read by serde")]
    struct Lender {
        share: crate::money::Rate,
    }

    fn error(text: &str) -> String {
        let read = Document::parse(text).and_then(|document| document.read::<File>());
        read.expect_err("the document is wrong").to_string()
    }

    #[test]
    fn problems_carry_line_and_field() {
        assert_eq!(
            error("name = \"x\"\n[[lender]]\nshare = \"60%\"\n[[lender]]\nshare = \"40\"\n"),
            "line 5, lender[1].share: `40` is not a rate; write it in per cent, for example \"14.4%\""
        );
        assert_eq!(
            error("name = \"x\"\nnome = \"y\"\nlender = []\n"),
            "line 2, nome: unknown field `nome`, expected `name` or `lender`"
        );
        assert_eq!(error("lender = []\n"), "line 1: missing field `name`");
        assert!(
            error("name = \n").starts_with("line 1: "),
            "{}",
            error("name = \n")
        );
    }

    #[test]
    fn a_path_is_found_again() {
        let document =
            Document::parse("a = 1\n[[b]]\nc = 2\n[[b]]\nd = [1,\n 2]\n").expect("well-formed");
        assert_eq!(document.problem("b[1].d[1]", "x").line, 6);
        assert_eq!(document.problem("b[1].missing", "x").line, 4);
        assert_eq!(document.problem("nowhere", "x").line, 1);
    }
}
