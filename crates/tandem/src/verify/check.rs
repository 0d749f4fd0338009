//! What must hold, and what was found against it.

use std::collections::BTreeMap;

/// One of the things that must hold, and whether it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What must hold.
    pub(crate) name: &'static str,
    /// True if it does.
    pub(crate) passed: bool,
    /// What was looked at, or what is wrong.
    pub(crate) detail: String,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.passed { '✓' } else { '✗' };
        write!(f, "{mark} {:<24}  {}", self.name, self.detail)
    }
}

/// `12,345`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// What was found, by what must hold.
#[derive(Default)]
pub(super) struct Problems(BTreeMap<&'static str, Vec<String>>);

impl Problems {
    pub(super) fn add(&mut self, name: &'static str, detail: String) {
        self.0.entry(name).or_default().push(detail);
    }

    pub(super) fn require(
        &mut self,
        holds: bool,
        name: &'static str,
        detail: impl FnOnce() -> String,
    ) {
        if !holds {
            self.add(name, detail());
        }
    }

    /// The check of what must hold, with what was looked at.
    pub(super) fn check(&self, name: &'static str, looked_at: &[(u64, &str)]) -> Check {
        let problems = self.0.get(name);
        let words = || {
            let words = looked_at
                .iter()
                .map(|(count, what)| format!("{} {what}", thousands(*count)));
            words.collect::<Vec<_>>().join(" ")
        };
        Check {
            name,
            passed: problems.is_none(),
            detail: problems.map_or_else(words, |problems| shorten(problems)),
        }
    }
}

/// The first problems, and how many more there are.
fn shorten(problems: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = problems[..problems.len().min(SHOWN)].join("; ");
    match problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
