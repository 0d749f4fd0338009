//! Slices: room of a limit that goes from one book to another and comes back, so that the limit
//! holds over all of them. `docs/spec/limits.md` has the protocol.
//!
//! A limit has one home, where its amount is the room there is. In every other book it has only
//! what came in slices. Each step of a slice is a command to one book and changes that book alone:
//! room that was sent and not yet received is nobody's, so no order of steps, and no step that is
//! lost, lets all books together use more than the limit.

use std::collections::BTreeMap;

use super::Book;
use super::command::{Refusal, Slice};
use super::decide::{INSTRUCTION_KEY, Request, check_key, check_text};
use super::event::{Event, Sliced};
use super::hashes::digest;
use crate::agreement::{Agreement, Limit, is_short_name};
use crate::calendar::Day;
use crate::money::{Amount, Money};
use crate::packed::{Damaged, Reader, put, put_bytes};
use crate::party::PartyId;

/// What came from each other book less what went to it, by the other book.
type Books = BTreeMap<String, Amount>;

/// Room that went to other books and came from them, and the keys under which it did.
#[derive(Clone, Debug, Default)]
pub(super) struct Slices {
    /// By clause, then by region or borrower (the empty text for a limit without).
    moved: BTreeMap<String, BTreeMap<String, Books>>,
    /// Digests of the commands, by the book that chose the key (the empty text for this one) and
    /// the key.
    done: BTreeMap<(String, String), u64>,
}

/// The room of a limit in one book, for one region or borrower if it is for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// What may be used here: the limit's amount if it is at home here, and slices.
    pub most: Amount,
    /// What is used.
    pub used: Amount,
}

impl Room {
    /// What is left of it.
    pub fn free(self) -> Amount {
        self.most.saturating_less(self.used)
    }
}

/// What a book has of another's limits, or another of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held<'a> {
    /// Clause of the limit.
    pub clause: &'a str,
    /// The region or borrower, if the limit is for each.
    pub subject: Option<&'a str>,
    /// The other book.
    pub book: &'a str,
    /// What came from it less what went to it.
    pub amount: Amount,
}

impl Slices {
    /// What all other books together added to the room of a limit here; below zero if they took.
    pub(super) fn net(&self, clause: &str, subject: &str) -> Amount {
        let books = self.moved.get(clause).and_then(|of| of.get(subject));
        books.map_or(Amount::ZERO, |books| books.values().copied().sum())
    }

    fn with(&self, clause: &str, subject: &str, book: &str) -> Amount {
        let books = self.moved.get(clause).and_then(|of| of.get(subject));
        books
            .and_then(|books| books.get(book))
            .copied()
            .unwrap_or_default()
    }

    fn rows(&self) -> impl Iterator<Item = (&str, &str, &str, Amount)> {
        self.moved.iter().flat_map(|(clause, subjects)| {
            subjects.iter().flat_map(move |(subject, books)| {
                let books = books.iter();
                books.map(move |(book, &amount)| {
                    (clause.as_str(), subject.as_str(), book.as_str(), amount)
                })
            })
        })
    }

    fn add(&mut self, clause: &str, subject: &str, book: &str, amount: Amount) {
        let of = self.moved.entry(clause.to_owned()).or_default();
        let books = of.entry(subject.to_owned()).or_default();
        *books.entry(book.to_owned()).or_default() += amount;
    }

    /// What of them is hashed for the book's digest.
    pub(super) fn digest(&self, put: &mut impl FnMut(&[u8])) {
        for (clause, subject, book, amount) in self.rows() {
            let row = digest(&(clause, subject, book, amount));
            put(&row.to_le_bytes());
        }
        for ((book, key), body) in &self.done {
            let row = digest(&(book, key, body));
            put(&row.to_le_bytes());
        }
    }

    pub(super) fn pack(&self, out: &mut Vec<u8>) {
        put(out, self.rows().count() as i64);
        for (clause, subject, book, amount) in self.rows() {
            for text in [clause, subject, book] {
                put_bytes(out, text.as_bytes());
            }
            put(out, amount.0);
        }
        put(out, self.done.len() as i64);
        for ((book, key), body) in &self.done {
            put_bytes(out, book.as_bytes());
            put_bytes(out, key.as_bytes());
            put(out, *body as i64);
        }
    }

    pub(super) fn unpack(from: &mut Reader<'_>) -> Result<Slices, Damaged> {
        let text = |from: &mut Reader<'_>| {
            String::from_utf8(from.prefixed()?.to_vec()).map_err(|_| Damaged)
        };
        let mut slices = Slices::default();
        for _ in 0..from.small::<usize>()? {
            let [clause, subject, book] = [text(from)?, text(from)?, text(from)?];
            let amount = Amount(from.number()?);
            if !(-Amount::MAX..=Amount::MAX).contains(&amount) {
                return Err(Damaged);
            }
            let of = slices.moved.entry(clause).or_default();
            of.entry(subject).or_default().insert(book, amount);
        }
        for _ in 0..from.small::<usize>()? {
            let key = (text(from)?, text(from)?);
            slices.done.insert(key, from.number()? as u64);
        }
        Ok(slices)
    }
}

impl Book {
    /// The room of a limit, by its clause in the agreement in force; with the region or borrower if
    /// the limit is for each.
    pub fn room(&self, clause: &str, subject: Option<&str>) -> Result<Room, Refusal> {
        let (_, version) = self.current().ok_or(Refusal::NotSigned)?;
        let (place, limit) = limit_of(&version.agreement, clause)?;
        self.room_of(&version.agreement, place, limit, subject)
    }

    fn room_of(
        &self,
        agreement: &Agreement,
        place: usize,
        limit: &Limit,
        subject: Option<&str>,
    ) -> Result<Room, Refusal> {
        let wrong =
            |what: String| Err(Refusal::BadSlice(format!("clause {} {what}", limit.clause)));
        match (limit.each(), subject) {
            (Some(each), None | Some("")) => return wrong(format!("is for each {each}; name it")),
            (None, Some(_)) => return wrong("is one for all; name no region or borrower".into()),
            _ => {}
        }
        let region = limit.region.as_deref().or(subject).unwrap_or_default();
        let request = Request {
            amount: Amount::ZERO,
            months: 0,
            region,
            region_place: self.region_names.find(region),
            borrower: subject,
            version: 0,
        };
        let lender = agreement.limit_lenders[place].map(|lender| agreement.lenders[lender]);
        let one = lender.map(|lender| [lender]);
        let parties = one.as_ref().map_or(&PartyId::ALL[..], |one| one);
        let used = self.used(&request, limit.per, limit.region.as_deref(), parties);
        Ok(Room {
            most: self.most(limit, subject.unwrap_or_default()),
            used: used.unwrap_or_default(),
        })
    }

    /// What may be used of a limit in this book: its amount if it is at home here, and slices. The
    /// subject is what [`Limit::subject`] gives.
    pub fn most(&self, limit: &Limit, subject: &str) -> Amount {
        let own = match limit.home {
            None => limit.amount.amount,
            Some(_) => Amount::ZERO,
        };
        own + self.slices.net(&limit.clause, subject)
    }

    /// Everything that this book has of other books' limits (above zero) and they of its own
    /// (below).
    pub fn held(&self) -> impl Iterator<Item = Held<'_>> {
        let rows = self.slices.rows();
        let held = rows.map(|(clause, subject, book, amount)| Held {
            clause,
            subject: Some(subject).filter(|subject| !subject.is_empty()),
            book,
            amount,
        });
        held.filter(|held| !held.amount.is_zero())
    }

    /// A slice goes to another book, or, with the day on which it was sent, comes from one.
    pub(super) fn decide_slice(
        &self,
        slice: Slice,
        sent_on: Option<Day>,
    ) -> Result<Option<Event>, Refusal> {
        check_key(&slice.key, INSTRUCTION_KEY)?;
        let (version, agreement) = match self.current() {
            Some((place, version)) => (place, &version.agreement),
            None => return Err(Refusal::NotSigned),
        };
        let Slice {
            key,
            clause,
            subject,
            book,
            amount,
        } = slice;
        let body = digest(&(&clause, &subject, &book, amount, sent_on));
        let chosen_by = sent_on.map_or("", |_| &book);
        if let Some(&known) = self.slices.done.get(&(chosen_by.to_owned(), key.clone())) {
            return match known == body {
                true => Ok(None),
                false => Err(Refusal::KeyUsed(key)),
            };
        }
        if !amount.is_positive() || amount > Amount::MAX {
            return Err(Refusal::BadAmount);
        }
        check_text(&clause, subject.as_deref().unwrap_or_default())?;
        let own = &agreement.file.id;
        if book == *own || !is_short_name(&book) {
            return Err(Refusal::BadSlice(format!(
                "`{book}` is not the name of another book"
            )));
        }
        let (place, limit) = limit_of(agreement, &clause)?;
        if let Some(home) = limit.home.as_ref().filter(|home| **home != book) {
            return Err(Refusal::BadSlice(format!(
                "clause {clause} is at home in book `{home}`; its slices come from there and go \
                 back there"
            )));
        }
        let room = self.room_of(agreement, place, limit, subject.as_deref())?;
        if let Some(day) = sent_on.filter(|&day| day > self.business_date) {
            return Err(Refusal::SliceTooEarly {
                key,
                day,
                business_date: self.business_date,
            });
        }
        let with = (self.slices).with(&clause, subject.as_deref().unwrap_or_default(), &book);
        let (most, what) = match (sent_on, &limit.home) {
            // More than that came from its home never left it.
            (None, Some(_)) => (room.free().min(with), "the room that is free"),
            (None, None) => (room.free(), "the room that is free"),
            (Some(_), None) => (-with, "what that book has of the limit"),
            (Some(_), Some(_)) => (Amount::MAX - with, "what a book can have of a limit"),
        };
        if amount > most {
            let currency = agreement.currency();
            let money = |amount| Money { amount, currency };
            return Err(Refusal::TooMuch {
                amount: money(amount),
                what,
                most: money(most),
                day: self.business_date,
            });
        }
        let sliced = Sliced {
            key,
            body,
            version,
            limit: place as u8,
            subject,
            book,
            amount,
            sent_on: sent_on.unwrap_or(self.business_date),
        };
        Ok(Some(match sent_on {
            None => Event::SliceSent(Box::new(sliced)),
            Some(_) => Event::SliceReceived(Box::new(sliced)),
        }))
    }

    /// True if a slice can have moved: its limit is there, and what each book has of it afterwards
    /// is between nothing and the largest amount.
    pub fn can_move(&self, sliced: &Sliced, received: bool) -> bool {
        let version = self.versions.get(usize::from(sliced.version));
        let limits = version.map(|version| &version.agreement.file.limit);
        let Some(limit) = limits.and_then(|limits| limits.get(usize::from(sliced.limit))) else {
            return false;
        };
        let with = (self.slices).with(&limit.clause, sliced.subject(), &sliced.book);
        if !(Amount(1)..=Amount::MAX).contains(&sliced.amount) {
            return false;
        }
        let with = with + sliced.signed(received);
        match limit.home {
            None => (-Amount::MAX..=Amount::ZERO).contains(&with),
            Some(_) => (Amount::ZERO..=Amount::MAX).contains(&with),
        }
    }

    pub(super) fn apply_slice(&mut self, sliced: &Sliced, received: bool) {
        let file = &self.versions[usize::from(sliced.version)].agreement.file;
        let clause = &file.limit[usize::from(sliced.limit)].clause;
        let amount = sliced.signed(received);
        (self.slices).add(clause, sliced.subject(), &sliced.book, amount);
        let chosen_by = if received { sliced.book.as_str() } else { "" };
        let key = (chosen_by.to_owned(), sliced.key.clone());
        self.slices.done.insert(key, sliced.body);
    }

    /// What keeps a document from following the signed one: a limit of which slices are in other
    /// books, or here, and that it changes in more than its amount.
    pub(super) fn changes_sliced(&self, signed: &Agreement, next: &Agreement) -> Option<String> {
        let changed = self.held().find(|held| {
            let [was, is] = [signed, next].map(|agreement| limit_of(agreement, held.clause).ok());
            let kept = was.zip(is).is_some_and(|((_, was), (_, is))| {
                let fixed = |limit: &Limit| {
                    let Limit {
                        lender,
                        region,
                        home,
                        ..
                    } = limit.clone();
                    (lender, limit.per, region, home)
                };
                fixed(was) == fixed(is)
            });
            !kept
        })?;
        Some(format!(
            "clause {} changes in more than its amount while slices of it are out",
            changed.clause
        ))
    }
}

/// A limit by its clause.
fn limit_of<'a>(agreement: &'a Agreement, clause: &str) -> Result<(usize, &'a Limit), Refusal> {
    let mut limits = agreement.file.limit.iter().enumerate();
    limits
        .find(|(_, limit)| limit.clause == clause)
        .ok_or_else(|| {
            let known = agreement
                .file
                .limit
                .iter()
                .map(|limit| limit.clause.as_str());
            let known = known.collect::<Vec<_>>().join(", ");
            Refusal::BadSlice(match known.is_empty() {
                true => "the agreement has no limits".to_owned(),
                false => format!("no limit has clause {clause}; there are {known}"),
            })
        })
}
