//! Reading Rust source just well enough to see which modules a file reaches for.
//!
//! Comments and strings are no code: a doc link may name any module. A compiler's view
//! would also see through re-exports at the crate root, so the module check refuses those.

/// A path in a file that leads to the crate's root and on to `name`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    pub(crate) line: usize,
    /// The first segment after the root: a module, or `*`.
    pub(crate) name: String,
}

/// All paths that lead through the crate's root, from a file that stands `depth` modules
/// below it (`loan.rs` is 1 below, `loan/schedule.rs` is 2).
pub(crate) fn reaches(text: &str, depth: usize) -> Vec<Reach> {
    let mut walk = Walk {
        tokens: tokens(text),
        found: Vec::new(),
    };
    let mut braces = 0_usize;
    let mut inline_modules = Vec::new();
    let mut at = 0;
    while at < walk.tokens.len() {
        match walk.kind(at) {
            Some(Kind::Word("mod")) if walk.kind(at + 2) == Some(Kind::Mark('{')) => {
                inline_modules.push(braces);
            }
            Some(Kind::Mark('{')) => braces += 1,
            Some(Kind::Mark('}')) => {
                braces = braces.saturating_sub(1);
                inline_modules.pop_if(|opened| *opened == braces);
            }
            Some(Kind::Word("crate" | "super" | "self"))
                if walk.kind(at + 1) == Some(Kind::Colons) =>
            {
                at = walk.path(at, depth + inline_modules.len());
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    walk.found
}

/// The names of the macros a file defines with `macro_rules!`; exported ones are called
/// through the crate's root.
pub(crate) fn macros(text: &str) -> Vec<String> {
    let tokens = tokens(text);
    let defined = tokens.windows(3).filter_map(|three| match *three {
        [
            Token {
                kind: Kind::Word("macro_rules"),
                ..
            },
            Token {
                kind: Kind::Mark('!'),
                ..
            },
            Token {
                kind: Kind::Word(name),
                ..
            },
        ] => Some(name.to_owned()),
        _ => None,
    });
    defined.collect()
}

struct Walk<'a> {
    tokens: Vec<Token<'a>>,
    found: Vec<Reach>,
}

impl<'a> Walk<'a> {
    fn kind(&self, at: usize) -> Option<Kind<'a>> {
        self.tokens.get(at).map(|token| token.kind)
    }

    /// Follows one path, with all branches of a `{…}` in it, and returns where it ends.
    fn path(&mut self, mut at: usize, mut depth: usize) -> usize {
        while let Some(&Token { kind, line }) = self.tokens.get(at) {
            match kind {
                Kind::Word("crate") => depth = 0,
                Kind::Word("self") => {}
                Kind::Word("super") => depth = depth.saturating_sub(1),
                Kind::Word(name) => {
                    self.reach(depth, line, name);
                    depth += 1;
                }
                Kind::Mark('*') => self.reach(depth, line, "*"),
                Kind::Mark('{') => return self.branches(at + 1, depth),
                _ => return at,
            }
            at += 1;
            if self.kind(at) != Some(Kind::Colons) {
                return at;
            }
            at += 1;
        }
        at
    }

    fn branches(&mut self, mut at: usize, depth: usize) -> usize {
        while let Some(kind) = self.kind(at) {
            match kind {
                Kind::Mark('}') => return at + 1,
                Kind::Word("as") => at += 2,
                Kind::Word(_) | Kind::Mark('{' | '*') => at = self.path(at, depth),
                _ => at += 1,
            }
        }
        at
    }

    fn reach(&mut self, depth: usize, line: usize, name: &str) {
        if depth == 0 {
            let name = name.to_owned();
            self.found.push(Reach { line, name });
        }
    }
}

#[derive(Clone, Copy)]
struct Token<'a> {
    line: usize,
    kind: Kind<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind<'a> {
    Word(&'a str),
    Colons,
    Mark(char),
}

/// The code of a file without comments, strings and characters.
fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let kind = if is_word(first) {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                Kind::Word(&rest[..end])
            } else if rest.starts_with("::") {
                Kind::Colons
            } else {
                Kind::Mark(first)
            };
            tokens.push(Token { line, kind });
            match kind {
                Kind::Word(word) => word.len(),
                Kind::Colons => 2,
                Kind::Mark(mark) => mark.len_utf8(),
            }
        });
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of what is not code at the start of `rest`, if anything is.
fn skipped(rest: &str) -> Option<usize> {
    let mut characters = rest.chars();
    let until = |end: &str, from: usize| {
        let found = rest.get(from..).and_then(|tail| tail.find(end));
        found.map_or(rest.len(), |at| from + at + end.len())
    };
    match characters.next()? {
        c if c.is_whitespace() => Some(c.len_utf8()),
        '/' if rest.starts_with("//") => Some(until("\n", 2)),
        '/' if rest.starts_with("/*") => Some(block_comment(rest)),
        '"' => Some(string(rest)),
        '\'' => match characters.next()? {
            '\\' => Some(until("'", 3)),
            c if characters.next() == Some('\'') => Some(2 + c.len_utf8()),
            _ => Some(1), // a lifetime or label
        },
        'r' | 'b' | 'c' => {
            let raw = rest.trim_start_matches(['b', 'c']).strip_prefix('r')?;
            let hashes = raw.len() - raw.trim_start_matches('#').len();
            let prefix = rest.len() - raw.len();
            match raw[hashes..].starts_with('"') {
                true => Some(until(
                    &format!("\"{}", "#".repeat(hashes)),
                    prefix + hashes + 1,
                )),
                false if hashes == 1 && prefix == 1 => Some(2), // r#identifier
                false => None,
            }
        }
        _ => None,
    }
}

/// Block comments nest.
fn block_comment(rest: &str) -> usize {
    let mut open = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            (open, at) = (open + 1, at + 2);
        } else if rest[at..].starts_with("*/") {
            (open, at) = (open - 1, at + 2);
            if open == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

fn string(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(depth: usize, text: &str, expected: &str) {
        let found: Vec<String> = reaches(text, depth)
            .iter()
            .map(|reach| format!("{}:{}", reach.line, reach.name))
            .collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }

    #[test]
    fn plain_paths() {
        check(1, "use crate::money::Money;", "1:money");
        check(
            1,
            "fn f(m: crate::money::Money) {}\n\nfn g() { crate::ids::new() }",
            "1:money 3:ids",
        );
        check(1, "let m = crate::money::Money { minor: 1 };", "1:money");
        check(
            1,
            "use std::fmt; use self::inner::X; pub(crate) fn f() {}",
            "",
        );
        check(1, "use crate::*;", "1:*");
        check(1, "$crate::money::zero()", "1:money");
    }

    #[test]
    fn groups() {
        check(
            1,
            "use crate::{\n  ids::{A, B as C},\n  money::*,\n  loan as l,\n};",
            "2:ids 3:money 4:loan",
        );
        check(1, "use {crate::a::X, std::fmt};", "1:a");
        check(1, "use crate::{a::{self, b::{C}}, d};", "1:a 1:d");
        check(2, "use super::{super::money, sibling};", "1:money");
    }

    #[test]
    fn super_reaches_the_root_only_from_just_below_it() {
        check(1, "use super::money::Money;", "1:money");
        check(2, "use super::money::Money;", "");
        check(2, "use super::super::money::Money;", "1:money");
        check(1, "mod tests { use super::*; } use super::*;", "1:*");
        check(
            1,
            "mod tests {\n fn f() { {} }\n use super::super::book::Book; }",
            "3:book",
        );
        check(1, "use self::super::book;", "1:book");
    }

    #[test]
    fn comments_and_strings_are_no_code() {
        check(
            1,
            "/// See [`crate::book`].\n// crate::book\nuse crate::a::X;",
            "3:a",
        );
        check(
            1,
            "/* crate::book /* */ crate::book */ use crate::a::X;",
            "1:a",
        );
        check(
            1,
            r#"let s = "crate::book \" crate::book"; crate::a::f()"#,
            "1:a",
        );
        check(1, "let s = r#\"crate::book \" \"#; crate::a::f()", "1:a");
        check(
            1,
            "let s = br\"\\\"; let q = b'\"'; let l: &'a str = '\\''; crate::a::f()",
            "1:a",
        );
        check(1, "let s = \"\n\n\"; crate::r#type::f()", "3:type");
    }

    #[test]
    fn macros_are_found_where_they_are_defined() {
        assert_eq!(
            macros("macro_rules! id { () => {} } // macro_rules! no"),
            ["id"]
        );
    }
}
