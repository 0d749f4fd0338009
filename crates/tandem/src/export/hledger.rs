//! One party's ledger as a journal that `hledger` reads, strict checks included.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use tandem_domain::book::{Book, Event};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::{Account, Entry};
use tandem_domain::money::Currency;
use tandem_domain::party::PartyId;
use tandem_engine::Step;

use super::csv::plain;
use super::tables::currency;
use super::{Export, Target, Wanted, ends_month, key_of, name, parties};
use crate::fail::Outcome;

/// Writes one party's ledger: a transaction for every entry that it is part of, and at the end of
/// every month what its balances must be.
pub(super) struct Hledger {
    wanted: Wanted,
    target: Target,
    /// Accounts that were declared.
    declared: BTreeSet<Account>,
    text: String,
}

impl Hledger {
    pub(super) fn new(party: &str, target: Target) -> Hledger {
        Hledger {
            wanted: Wanted::new(party),
            target,
            declared: BTreeSet::new(),
            text: String::new(),
        }
    }

    /// The head of the file.
    fn begin(&mut self, book: &Book) {
        let (Some(version), Some(party)) = (book.latest(), self.wanted.party) else {
            return;
        };
        let file = &version.agreement.file;
        let digits = "0".repeat(file.currency.digits() as usize);
        let _ = write!(
            self.text,
            "; Ledger of {} ({}) in the book {}: {}\n\ncommodity 1000.{digits} {}\ntag loan\n",
            file.party[party.index()].name,
            file.party[party.index()].id,
            file.id,
            file.title,
            file.currency,
        );
    }

    /// Declares the accounts of a chart; parties that joined later have added theirs.
    fn declare(&mut self, book: &Book) {
        self.text.push('\n');
        for account in Account::chart(parties(book).len()) {
            if account.counterparty() != self.wanted.party && self.declared.insert(account) {
                self.text.push_str("account ");
                account_name(&mut self.text, book, account);
                self.text.push('\n');
            }
        }
    }

    fn entry(&mut self, entry: &Entry, party: PartyId, book: &Book, currency: Currency) {
        let mut own = entry
            .postings
            .iter()
            .filter(|posting| posting.party == party)
            .peekable();
        if own.peek().is_none() {
            return;
        }
        let _ = write!(
            self.text,
            "\n{} * ({}) {}",
            entry.day, entry.number, entry.kind
        );
        match key_of(book, entry.loan) {
            "" => {}
            key => {
                let _ = write!(self.text, "  ; loan:");
                self.text.extend(key.chars().map(tag_char));
            }
        }
        self.text.push('\n');
        for posting in own {
            self.text.push_str("    ");
            account_name(&mut self.text, book, posting.account);
            self.text.push_str("  ");
            plain(&mut self.text, currency, posting.amount);
            let _ = writeln!(self.text, " {currency}");
        }
    }

    /// What the balances of all accounts must be at the end of a day.
    fn assert_balances(&mut self, day: Day, party: PartyId, book: &Book, currency: Currency) {
        let _ = writeln!(self.text, "\n{day} * balances at the end of the month");
        for account in Account::chart(parties(book).len()) {
            if account.counterparty() == Some(party) {
                continue;
            }
            self.text.push_str("    ");
            account_name(&mut self.text, book, account);
            let _ = write!(self.text, "  0 {currency} = ");
            plain(
                &mut self.text,
                currency,
                book.ledgers().balance(party, account),
            );
            let _ = writeln!(self.text, " {currency}");
        }
    }
}

impl Export for Hledger {
    fn step(&mut self, step: &Step<'_>) -> Outcome {
        if self.wanted.look(step) {
            self.begin(step.book);
        }
        let (Some(party), Some(currency)) = (self.wanted.party, currency(step.book)) else {
            return Ok(());
        };
        match step.event {
            Event::Signed { .. } => self.declare(step.book),
            Event::DayClosed(close) if ends_month(close.day) => {
                self.assert_balances(close.day, party, step.book, currency);
            }
            _ => {}
        }
        for entry in step.entries {
            self.entry(entry, party, step.book, currency);
        }
        self.target.text(&self.text)?;
        self.text.clear();
        Ok(())
    }

    fn finish(&mut self, book: &Book) -> Outcome {
        match self.wanted.party {
            Some(_) => self.target.flush(),
            None => Err(self.wanted.missing(book)),
        }
    }
}

/// `assets:due from:river-bank`
pub(super) fn account_name(out: &mut String, book: &Book, account: Account) {
    out.push_str(account.class());
    out.push(':');
    out.push_str(account.name());
    if let Some(counterparty) = account.counterparty() {
        out.push(':');
        out.push_str(name(book, counterparty));
    }
}

/// A tag's value ends at a comma or a line's end; keys may hold both.
fn tag_char(character: char) -> char {
    match character {
        ',' => ';',
        character if character.is_control() => ' ',
        character => character,
    }
}
