//! An entry of the log.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Letters of a value at most; what is longer is cut.
const LONGEST: usize = 500;

/// What somebody did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Signed in.
    SignedIn,
    /// Tried to sign in, and failed.
    SignInFailed,
    /// Looked at a page.
    Viewed,
    /// Asked for something to be done, before it was.
    Asked,
    /// What became of it; the entry says of what.
    Answered,
    /// Called the API to change something, or for a token.
    Called,
    /// Called without showing who it is.
    CallFailed,
    /// Not an entry: the place of those that were removed by their age, in an export.
    Removed,
}

impl Act {
    /// Its name in an entry.
    pub fn name(self) -> &'static str {
        match self {
            Act::SignedIn => "signed_in",
            Act::SignInFailed => "sign_in_failed",
            Act::Viewed => "viewed",
            Act::Asked => "asked",
            Act::Answered => "answered",
            Act::Called => "called",
            Act::CallFailed => "call_failed",
            Act::Removed => "removed",
        }
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The party whose chain it is in; empty for the operator's.
    pub party: String,
    /// Its number in the chain, from 1; given when it is written.
    pub number: i64,
    /// When, in seconds since 1970.
    pub at: i64,
    /// Name with which the person signs in; empty where nobody has the name that was typed, for it
    /// may have been a password, and of calls.
    pub login: String,
    /// The client that called, or that it said it was; empty if it said nothing that can be read.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub client: String,
    /// Address from which the request came.
    pub address: String,
    /// The book that the person looked at; empty before the sign-in, and of calls, whose path says
    /// it.
    pub book: String,
    /// What was done.
    pub act: Act,
    /// Method of a call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Path of the page, below `/console`; or of a call.
    pub object: String,
    /// Fields of the form that was sent, without secrets; of a call, what it was about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, String>,
    /// Number of the entry that this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answers: Option<i64>,
    /// HTTP status of the answer; of a call, none if its caller did not wait for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many failures like this one there were, of which this is the last; one if it is not
    /// there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
}

impl Entry {
    /// An entry of a party's person about what was done at a time, without what only some have.
    pub fn new((party, login): (&str, &str), act: Act, object: &str, at: i64) -> Entry {
        Entry {
            party: party.to_owned(),
            number: 0,
            at,
            login: login.to_owned(),
            client: String::new(),
            address: String::new(),
            book: String::new(),
            act,
            method: String::new(),
            object: Entry::value(object),
            fields: BTreeMap::new(),
            answers: None,
            status: None,
            count: None,
        }
    }

    /// A value as it stands in an entry: cut if it is long.
    pub fn value(text: &str) -> String {
        match text.char_indices().nth(LONGEST) {
            None => text.to_owned(),
            Some((end, _)) => format!("{}…", &text[..end]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_cut() {
        assert_eq!(Entry::value("short"), "short");
        let cut = Entry::value(&"长".repeat(501));
        assert_eq!(cut.chars().count(), 501);
        assert!(cut.ends_with('…'));
    }
}
