//! Whether a chain, or an export of it, is what it was.

use super::chain::{Head, chained, lines};
use super::entry::{Act, Entry};
use crate::registry::NodeFile;

/// What is wrong with a chain.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A line is no entry.
    #[error("line {0} is not a hash, a space and an entry; export the log again")]
    Unreadable(i64),
    /// An entry does not follow from those before it.
    #[error(
        "entry {number} of `{party}` does not follow from those before it: it was changed, or an \
         entry at its place or before was added, removed or moved"
    )]
    Changed {
        /// Whose chain it is.
        party: String,
        /// The first entry that is wrong.
        number: i64,
    },
    /// What was known once is not there.
    #[error(
        "entry {number} of `{party}` is not the one that was exported: the chain was written anew, \
         or its end was cut off"
    )]
    Replaced {
        /// Whose chain it is.
        party: String,
        /// The last entry of the export.
        number: i64,
    },
    /// What was known once, and what came after it, was removed.
    #[error(
        "the entries of `{party}` to {removed} were removed by their age, and the export ends \
         before, with {number}: what was between is not known any more; export more often"
    )]
    Removed {
        /// Whose chain it is.
        party: String,
        /// The last entry of the export.
        number: i64,
        /// The last entry that was removed.
        removed: i64,
    },
}

/// Checks a chain as it comes, line by line.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    party: Option<String>,
    head: Head,
    removed: i64,
}

impl Checker {
    /// Takes the next line of an export.
    pub fn line(&mut self, line: &str) -> Result<(), Broken> {
        let number = self.head.number + 1;
        let unreadable = Broken::Unreadable(number);
        let Some((hash, text)) = line.split_once(' ') else {
            return Err(unreadable);
        };
        let Ok(entry) = serde_json::from_str::<Entry>(text) else {
            return Err(unreadable);
        };
        let party = self.party.get_or_insert_with(|| entry.party.clone());
        let is_of_it = *party == entry.party;
        if is_of_it && number == 1 && entry.act == Act::Removed {
            self.removed = entry.number;
        } else if !is_of_it || entry.number != number || hash != chained(&self.head.hash, text) {
            let party = party.clone();
            return Err(Broken::Changed { party, number });
        }
        self.head = Head {
            number: entry.number,
            hash: hash.to_owned(),
        };
        Ok(())
    }

    /// The end of what was checked.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Number of the last entry that was removed by its age; 0 if none was.
    pub fn removed(&self) -> i64 {
        self.removed
    }

    /// Whose chain it is; none before the first line.
    pub fn party(&self) -> Option<&str> {
        self.party.as_deref()
    }
}

/// Checks a party's chain, and that it goes on from an earlier end if one is known.
pub fn check(
    file: &NodeFile,
    party: &str,
    known: Option<&Head>,
) -> rusqlite::Result<Result<Checker, Broken>> {
    let mut checker = Checker {
        party: Some(party.to_owned()),
        ..Checker::default()
    };
    let mut is_there = known.is_none_or(|known| known.number == 0);
    loop {
        let lines = lines(file, party, checker.head.number)?;
        if lines.is_empty() {
            break;
        }
        for line in lines {
            if let Err(broken) = checker.line(&line.text) {
                return Ok(Err(broken));
            }
            is_there |= known == Some(&checker.head);
        }
    }
    Ok(match known {
        Some(known) if known.number < checker.removed => Err(Broken::Removed {
            party: party.to_owned(),
            number: known.number,
            removed: checker.removed,
        }),
        Some(known) if !is_there => Err(Broken::Replaced {
            party: party.to_owned(),
            number: known.number,
        }),
        _ => Ok(checker),
    })
}

#[cfg(test)]
mod tests {
    use super::super::chain::append;
    use super::super::tests::{entry, filled, read, tamper};
    use super::*;

    #[test]
    fn what_was_done_to_the_file_is_noticed() {
        for (statement, number) in [
            (
                "update audit set entry = replace(entry, '\"/2\"', '\"/9\"') where number = 2",
                2,
            ),
            (
                "update audit set hash = hash || '0' where party = 'river' and number = 1",
                1,
            ),
            ("delete from audit where party = 'river' and number = 2", 2),
            ("delete from audit where party = 'river' and number = 1", 1),
            (
                "delete from audit where party = 'river' and number = 1;
              update audit set number = number - 1 where party = 'river'",
                1,
            ),
        ] {
            let file = filled();
            tamper(&file, statement);
            let broken = check(&file, "river", None).unwrap().unwrap_err();
            let party = "river".to_owned();
            assert_eq!(broken, Broken::Changed { party, number }, "{statement}");
        }
    }

    #[test]
    fn a_chain_that_was_cut_or_written_anew_is_not_the_one_that_was_exported() {
        let file = filled();
        let known = check(&file, "river", None).unwrap().unwrap().head;
        tamper(
            &file,
            "delete from audit where party = 'river' and number = 3",
        );
        // Nothing in the file tells.
        assert!(check(&file, "river", None).unwrap().is_ok());
        append(&file, &mut [entry("river", "/other")]).unwrap();
        let broken = check(&file, "river", Some(&known)).unwrap().unwrap_err();
        assert_eq!(
            broken.to_string(),
            "entry 3 of `river` is not the one that was exported: the chain was written anew, or \
             its end was cut off"
        );
    }

    #[test]
    fn an_export_is_checked_by_itself() {
        let file = filled();
        let lines = lines(&file, "river", 0).unwrap();
        let lines: Vec<_> = lines.into_iter().map(|line| line.text).collect();
        assert_eq!(read(&lines).unwrap().number, 3);
        let changed = read(&[lines[0].clone(), lines[2].clone()]).unwrap_err();
        assert_eq!(
            changed.to_string(),
            "entry 2 of `river` does not follow from those before it: it was changed, or an entry \
             at its place or before was added, removed or moved"
        );
        for line in ["", "00 {}"] {
            assert_eq!(
                read(&[line.to_owned()]).unwrap_err().to_string(),
                "line 1 is not a hash, a space and an entry; export the log again"
            );
        }
    }
}
