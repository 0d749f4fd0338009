//! Why a contract cannot be evaluated.

use std::fmt;

/// What stops the evaluation of a contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// A term that nobody can read.
    Malformed {
        /// The term.
        term: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// A term that this program does not know how to follow.
    Unsupported {
        /// The term.
        term: String,
        /// What it asks for.
        value: String,
    },
}

impl Stop {
    pub(super) fn malformed(term: &str, wrong: &str) -> Stop {
        Stop::Malformed {
            term: term.to_owned(),
            wrong: wrong.to_owned(),
        }
    }

    pub(super) fn unsupported(term: &str, value: &str) -> Stop {
        Stop::Unsupported {
            term: term.to_owned(),
            value: value.to_owned(),
        }
    }

    /// A figure outgrows the integers in which amounts are counted.
    pub(super) fn too_large(term: &str) -> Stop {
        Stop::malformed(term, "leads to figures that are too large to be counted")
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stop::Malformed { term, wrong } => write!(f, "{term}: {wrong}"),
            Stop::Unsupported { term, value } => write!(f, "{term} {value}"),
        }
    }
}
