//! The report of a programme: what the boards of its banks are shown after a run.
//!
//! [`Collector`] watches a journal being read (`collect.rs`, `limits.rs`), `figures.rs` and
//! `loans.rs` sum up what it saw, and a [`Report`] is written as one page of HTML (`html.rs` and
//! below it a file for every few sections, made of what `page.rs` offers) or as a
//! summary for the terminal (`terminal.rs`). Every figure comes from the journal.

mod collect;
mod figures;
#[cfg(test)]
mod fixture;
mod html;
mod limits;
mod loans;
mod page;
mod terminal;
mod text;

use tandem_domain::book::Book;

use crate::verify::Check;
pub(crate) use collect::Collector;
use figures::Figures;

/// What a report must say beyond the journal.
#[derive(Default)]
pub(crate) struct Context {
    /// What readers must know before they believe a figure.
    pub(crate) notes: Vec<Note>,
    /// What was checked.
    pub(crate) checks: Vec<Check>,
    /// A comparison with other ways to lend.
    pub(crate) comparison: Option<Comparison>,
    /// Rows of the input that could not be used: the first few.
    pub(crate) problems: Vec<String>,
    /// How many there are in all.
    pub(crate) problem_count: usize,
    /// Version of the program.
    pub(crate) generated_with: String,
}

/// A reservation, shown at the top and beside every figure that it concerns.
pub(crate) struct Note {
    /// A word or two, for example `generated payments`.
    pub(crate) label: String,
    /// The whole of it, in a sentence or two.
    pub(crate) text: String,
    /// Which figures it is about.
    pub(crate) about: About,
}

/// Which figures a note is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum About {
    /// All of them; the note stands at the top.
    Everything,
    /// Those that follow from what borrowers paid.
    Payments,
}

/// A table that compares.
pub(crate) struct Comparison {
    /// What it shows.
    pub(crate) title: String,
    /// How it was made and how to read it.
    pub(crate) explanation: String,
    /// Column headings.
    pub(crate) header: Vec<String>,
    /// The rows: a name, then its figures.
    pub(crate) rows: Vec<Vec<String>>,
}

/// A report, ready to be written.
pub(crate) struct Report {
    figures: Figures,
    context: Context,
}

impl Collector {
    /// Ends the observation of a book under which an agreement is signed.
    pub(crate) fn finish(self, book: &Book, context: Context) -> Report {
        let figures = Figures::of(self, book);
        Report { figures, context }
    }
}

impl Context {
    /// Labels of the notes about payments.
    fn payment_labels(&self) -> Vec<&str> {
        let about = |note: &&Note| note.about == About::Payments;
        let notes = self.notes.iter().filter(about);
        notes.map(|note| note.label.as_str()).collect()
    }

    fn passed(&self) -> usize {
        self.checks.iter().filter(|check| check.passed).count()
    }
}

#[cfg(test)]
mod tests {
    use tandem_domain::money::Amount;

    use super::*;

    #[test]
    fn the_summary_reads_as_agreed() {
        let mut text = Vec::new();
        fixture::report().print(&mut text, 100, false).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.lines().count() <= 60);
        assert!(text.lines().all(|line| line.chars().count() <= 100));
        let golden =
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/report/summary.golden");
        if std::env::var_os("TANDEM_UPDATE").is_some() {
            std::fs::write(&golden, &text).unwrap();
        }
        assert_eq!(text, std::fs::read_to_string(&golden).unwrap());
    }

    #[test]
    fn the_summary_keeps_to_a_narrow_terminal_and_colours_only_there() {
        let mut text = Vec::new();
        fixture::report().print(&mut text, 40, true).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("\u{1b}[1m"));
        let plain = text
            .replace("\u{1b}[1m", "")
            .replace("\u{1b}[33m", "")
            .replace("\u{1b}[0m", "");
        assert!(!plain.contains('\u{1b}'));
        assert!(
            plain.lines().all(|line| line.chars().count() <= 72),
            "{plain}"
        );
    }

    #[test]
    fn the_page_is_well_formed_and_needs_nothing_else() {
        let html = fixture::report().html();
        assert_eq!(unclosed(&html), Ok(Vec::new()));
        for outside in ["<script", "http:", "https:", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert!(html.contains("Small loans") && !html.contains("<together>"));
    }

    #[test]
    fn generated_payments_are_named_beside_every_figure_they_influence() {
        let html = fixture::report().html();
        assert!(html.contains("Payments come from a model (seed 7)"));
        for part in [
            "Outstanding on",
            "Written off",
            "Guarantee pool used",
            "yield after losses",
        ] {
            let tile = html
                .split("<div class=\"tile\">")
                .find(|tile| tile.contains(part));
            let tile = tile.unwrap_or_else(|| panic!("a tile with {part}"));
            assert!(tile.contains(">generated payments</a>"), "{part}");
        }
        for figure in html.split("<figure>").skip(1) {
            assert!(figure.contains(">generated payments</a>"));
        }
    }

    #[test]
    fn sums_taken_on_different_ways_agree() {
        let figures = fixture::report().figures;
        let (funded, losses) = (&figures.funded, &figures.losses);
        let flows = || figures.performance.months.values();
        let collected: Amount = flows().map(|flow| flow.collected).sum();
        let lenders = || funded.lenders.iter();
        let used: Amount = lenders().map(|lent| lent.principal + lent.interest).sum();
        assert_eq!(collected, used);
        let recovered: Amount = flows().map(|flow| flow.recovered).sum();
        assert_eq!(recovered, losses.recovered);
        let lent: Amount = lenders().map(|lent| lent.amount).sum();
        let together: Amount = funded.together.iter().map(|(_, _, amount)| *amount).sum();
        let vintages = figures.performance.vintages(6);
        let disbursed: Amount = vintages.iter().map(|(_, vintage)| vintage.disbursed).sum();
        assert_eq!([lent, together, disbursed], [funded.amount; 3]);
        let charged_off: Amount = lenders().map(|lent| lent.charged_off).sum();
        assert_eq!(
            (charged_off, losses.compensated),
            (losses.charged_off, figures.pool.used)
        );
        // Nothing is outstanding at the end, so money earned is money at the bank.
        for (account, balances) in &figures.ledger {
            if *account == tandem_domain::ledger::Account::Settlement {
                for (party, _) in figures.agreement().parties() {
                    assert_eq!(figures.result(party), balances[party.index()]);
                }
            }
        }
    }

    #[test]
    fn a_book_in_which_nothing_has_happened_has_a_report() {
        let report = fixture::unused();
        assert_eq!(unclosed(&report.html()), Ok(Vec::new()));
        report.print(&mut Vec::new(), 100, false).unwrap();
    }

    /// Elements left open at the end; an error where one is closed that is not open.
    fn unclosed(html: &str) -> Result<Vec<&str>, String> {
        let (head, rest) = html.split_once("<style>").unwrap();
        let (_, body) = rest.split_once("</style>").unwrap();
        let mut open = Vec::new();
        for tag in [head, body]
            .into_iter()
            .flat_map(|part| part.split('<').skip(1))
        {
            let (tag, _) = tag.split_once('>').ok_or(format!("`<{tag}` has no end"))?;
            let name = tag.split([' ', '\n']).next().unwrap_or(tag);
            if let Some(name) = name.strip_prefix('/') {
                match open.pop() {
                    Some(last) if last == name => {}
                    last => return Err(format!("</{name}> closes {last:?}")),
                }
            } else if !tag.ends_with('/') && !tag.starts_with('!') && name != "meta" {
                open.push(name);
            }
        }
        Ok(open)
    }
}
