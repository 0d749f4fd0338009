//! `tandem export view` and `tandem verify-view`: what one party may see of a book, proved against
//! the chain of its journal, and checked without the rest of it.

mod check;
mod figures;
mod file;
#[cfg(test)]
mod tests;
mod write;

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tandem_journal::Hash;

use self::check::Found;
use crate::data::{BookOption, private_file};
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::verify::{Check, thousands};

/// Options of `tandem verify-view`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// A view, as `tandem export view` writes it.
    file: PathBuf,
    /// Hash of a batch that you got another way: with an earlier view, or signed by another
    /// party. Without it the view proves only that it agrees with itself.
    #[arg(long, value_parser = read_hash)]
    head: Option<Hash>,
}

fn read_hash(text: &str) -> Result<Hash, String> {
    let byte = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    let bytes: Option<Vec<u8>> = (0..text.len()).step_by(2).map(byte).collect();
    let hash = bytes.and_then(|bytes| bytes.try_into().ok());
    let wrong = || "a hash has 64 hexadecimal digits".to_owned();
    hash.map(Hash).ok_or_else(wrong)
}

/// Writes the view of a party.
pub(crate) fn export(party: &str, out: Option<&Path>, book: &BookOption) -> Outcome {
    let default = PathBuf::from(format!("{party}.view"));
    let path = out.unwrap_or(&default);
    let create = || -> Outcome<Box<dyn Write>> {
        let mut options = private_file();
        let file = options.create(true).truncate(true).open(path);
        let file = file.map_err(|error| Failure::io(path, &error))?;
        Ok(Box::new(BufWriter::new(file)))
    };
    let written = write::write(&mut book.place()?.open_read_only()?, party, create)?;
    let (seq, hash) = (written.head.seq, written.head.hash);
    eprintln!(
        "wrote {}: {} of {} events, up to batch {seq}\nhead {hash}",
        path.display(),
        thousands(written.shown),
        thousands(written.events)
    );
    Ok(())
}

/// Checks a view and prints what was proved.
pub(crate) fn verify(options: &Options) -> Outcome {
    let path = &options.file;
    let bytes = std::fs::read(path).map_err(|error| Failure::io(path, &error))?;
    let found = check::check(&bytes, options.head)
        .map_err(|what| Failure(format!("{}: {what}", path.display())))?;
    export::show(&report(&found))
}

/// What was proved, in lines.
fn report(found: &Found) -> String {
    let check = |name, detail: String| Check {
        name,
        passed: true,
        detail,
    };
    let count = |count: usize| thousands(count as u64);
    let title = &found.title;
    let chain = match found.anchored {
        Some(seq) if seq == title.head.seq => "the last has the hash you gave".to_owned(),
        Some(seq) => format!("batch {seq} has the hash you gave"),
        None => "compared with nothing".to_owned(),
    };
    let undetermined = found.closes - found.determined;
    let allowance = match undetermined {
        0 => String::new(),
        closes => format!(
            "; not of {}, where borrowers may have other loans",
            thousands(closes)
        ),
    };
    let mut months: Vec<_> = found.figures.months.iter().map(|line| line.0).collect();
    months.dedup();
    let checks = [
        check(
            "chain whole",
            format!("{} batches; {chain}", thousands(title.head.seq)),
        ),
        check(
            "events proved",
            format!(
                "{} shown of {}",
                thousands(found.shown),
                thousands(found.events)
            ),
        ),
        check(
            "loans recomputed",
            format!(
                "{} changes of {} loans, {} others in the book",
                thousands(found.changes),
                thousands(found.loans),
                thousands(found.all_loans - found.loans)
            ),
        ),
        check(
            "settlements recomputed",
            format!("{} plans", thousands(found.plans)),
        ),
        check(
            "interest recomputed",
            format!("{} day closes", thousands(found.closes)),
        ),
        check(
            "allowance recomputed",
            format!("{} day closes{allowance}", thousands(found.determined)),
        ),
        check(
            "balances equal",
            format!("{} accounts", count(found.figures.balances.len())),
        ),
        check("statement equal", format!("{} months", count(months.len()))),
        check(
            "shares equal",
            format!("{} loans", count(found.figures.loans.len())),
        ),
    ];
    let mut text: String = checks.iter().map(|check| format!("{check}\n")).collect();
    text += &format!("\nview of {} in book {}", title.party, title.book);
    if let (Some(first), Some(last)) = (found.first, found.last) {
        text += &format!(", {first} to {last}");
    }
    text += &format!("\nhead {}\n", title.head.hash);
    if found.anchored.is_none() {
        text += "This head is the file's own claim. Compare it with one that you got another way:\n\
                 tandem verify-view FILE --head HASH\n";
    }
    text
}
