//! `tandem verify-slices`: whether books received of each other's limits what was sent, and nothing
//! else. One book cannot tell that alone.

use std::collections::{BTreeMap, BTreeSet};

use tandem_domain::agreement::{Agreement, Limit};
use tandem_domain::book::{Book, Event, Sliced};
use tandem_domain::calendar::Day;
use tandem_domain::money::{Amount, Currency};

use crate::data::Place;
use crate::export;
use crate::fail::{Failure, Outcome};
use crate::verify::Check;

/// Options of `tandem verify-slices`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Folders with the books' journals, or, with --store, the books' names: all that send each
    /// other slices.
    #[arg(required = true)]
    books: Vec<String>,
    /// PostgreSQL server that has the journals, as for `tandem run`.
    #[arg(long, value_name = "ADDRESS")]
    store: Option<String>,
}

/// Checks the books against each other and prints where the room of each limit is.
pub(crate) fn verify(options: &Options) -> Outcome {
    let mut all = Compared::default();
    for book in &options.books {
        all.read(&Place::named(book, options.store.as_deref())?)?;
    }
    if let Some(failure) = all.missing() {
        return Err(failure);
    }
    let (text, checks) = all.report();
    let checked: String = checks.iter().map(|check| format!("{check}\n")).collect();
    export::show(&format!("{text}{checked}"))?;
    let failed = checks.iter().filter(|check| !check.passed);
    let failed: Vec<_> = failed
        .map(|check| format!("{}: {}", check.name, check.detail))
        .collect();
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Failure(failed.join("\n"))),
    }
}

/// A limit, wherever its room is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OneLimit {
    /// The book that it is at home in.
    home: String,
    clause: String,
    /// The region or borrower, if it is for each.
    subject: Option<String>,
}

/// A slice as one of its two books tells of it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Told {
    limit: OneLimit,
    to: String,
    amount: Amount,
    sent_on: Day,
}

/// The book that sent a slice, and the key that it chose.
type SliceKey = (String, String);

#[derive(Default)]
struct Compared {
    books: BTreeMap<String, (Book, Currency)>,
    sent: BTreeMap<SliceKey, Told>,
    received: Vec<(SliceKey, Told)>,
}

impl Compared {
    fn read(&mut self, place: &Place) -> Outcome {
        let book = place.read(&mut |step| match step.event {
            Event::SliceSent(sliced) => {
                let (key, told) = told(step.book, sliced, false);
                self.sent.insert(key, told);
            }
            Event::SliceReceived(sliced) => self.received.push(told(step.book, sliced, true)),
            _ => {}
        })?;
        let agreement = book.latest().map(|version| &version.agreement);
        let agreement = agreement
            .ok_or_else(|| Failure(format!("{place}: no agreement is signed in this book")))?;
        let (id, currency) = (agreement.file.id.clone(), agreement.currency());
        match self.books.insert(id.clone(), (book, currency)) {
            None => Ok(()),
            Some(_) => Err(Failure(format!("{place}: book `{id}` is named twice"))),
        }
    }

    /// Books that are needed to tell: all that slices were sent to or came from.
    fn missing(&self) -> Option<Failure> {
        let received = self.received.iter().map(|(key, told)| (key, told));
        let slices = self.sent.iter().chain(received);
        let named = slices.flat_map(|((from, _), told)| [from, &told.to]);
        let missing: BTreeSet<_> = named
            .filter(|book| !self.books.contains_key(*book))
            .collect();
        let missing: Vec<_> = missing.into_iter().map(String::as_str).collect();
        (!missing.is_empty()).then(|| {
            let missing = missing.join(", ");
            Failure(format!(
                "slices went to these books or came from them; name them too: {missing}"
            ))
        })
    }

    /// Received slices of which their sender tells otherwise.
    fn disputed(&self) -> Vec<String> {
        let mut disputed = Vec::new();
        for (key, told) in &self.received {
            let sent = match self.sent.get(key) {
                Some(sent) if sent == told => continue,
                Some(sent) => format!("which sent {}", self.show(sent)),
                None => "which never sent it".to_owned(),
            };
            let ((from, key), to, what) = (key, &told.to, self.show(told));
            disputed.push(format!(
                "{to} received slice {key} ({what}) from {from}, {sent}"
            ));
        }
        disputed
    }

    /// Where the room of each limit is, and what must hold.
    fn report(&self) -> (String, [Check; 2]) {
        let received = self.received.iter().map(|(_, told)| told);
        let slices = self.sent.values().chain(received);
        let limits: BTreeSet<_> = slices.map(|told| &told.limit).collect();
        let (mut text, mut unequal) = (String::new(), Vec::new());
        for limit in &limits {
            let (rooms, difference) = self.rooms(limit);
            text += &rooms;
            unequal.extend(difference);
        }
        let check = |name, wrong: Vec<String>, right| Check {
            name,
            passed: wrong.is_empty(),
            detail: if wrong.is_empty() {
                right
            } else {
                wrong.join("; ")
            },
        };
        let (sent, received) = (self.sent.len(), self.received.len());
        let slices = format!("{sent} sent, {received} received as they were sent");
        let rooms = format!("{} limits, with what is on its way", limits.len());
        let checks = [
            check("slices were sent", self.disputed(), slices),
            check("rooms are the limit", unequal, rooms),
        ];
        (text, checks)
    }

    /// The rooms of a limit in words, and what is wrong if they are not the limit.
    fn rooms(&self, limit: &OneLimit) -> (String, Option<String>) {
        let (at_home, currency) = &self.books[&limit.home];
        let show = |amount| currency.show(amount);
        let name = name(limit);
        let amount =
            limit_of(at_home, &limit.clause).map_or(Amount::ZERO, |(_, it)| it.amount.amount);
        let mut text = format!("{name}: {}\n", show(amount));
        let mut line = |what: &str, amount: Amount, more: String| {
            text += &format!("  {what:<24}{:>20}  {more}\n", show(amount));
        };
        let mut all = Amount::ZERO;
        for (id, (book, _)) in &self.books {
            // A limit of another home may have the same clause.
            let known = limit_of(book, &limit.clause);
            let is_it =
                known.is_some_and(|(agreement, known)| home(agreement, known) == limit.home);
            let room = book.room(&limit.clause, limit.subject.as_deref());
            if let Some(room) = room.ok().filter(|_| is_it) {
                line(id, room.most, format!("{} used", show(room.used)));
                all += room.most;
            }
        }
        for (known, told) in &self.sent {
            let here = |(key, other): &(SliceKey, Told)| key == known && other.to == told.to;
            if told.limit == *limit && !self.received.iter().any(here) {
                let (from, key) = known;
                let more = format!("slice {key} of {} from {from} to {}", told.sent_on, told.to);
                line("on its way", told.amount, more);
                all += told.amount;
            }
        }
        text += "\n";
        let wrong = format!("{name} is {}, its rooms are {}", show(amount), show(all));
        (text, (all != amount).then_some(wrong))
    }

    fn show(&self, told: &Told) -> String {
        let Told { to, sent_on, .. } = told;
        let (_, currency) = &self.books[&told.limit.home];
        let (amount, limit) = (currency.show(told.amount), name(&told.limit));
        format!("{amount} of {limit} to {to} on {sent_on}")
    }
}

/// A slice as the book tells of it in which it was sent or received, and its key.
fn told(book: &Book, sliced: &Sliced, received: bool) -> (SliceKey, Told) {
    let agreement = &book.versions()[usize::from(sliced.version)].agreement;
    let limit = &agreement.file.limit[usize::from(sliced.limit)];
    let (own, other) = (agreement.file.id.clone(), sliced.book.clone());
    let (from, to) = if received { (other, own) } else { (own, other) };
    let told = Told {
        limit: OneLimit {
            home: home(agreement, limit).to_owned(),
            clause: limit.clause.clone(),
            subject: sliced.subject.clone(),
        },
        to,
        amount: sliced.amount,
        sent_on: sliced.sent_on,
    };
    ((from, sliced.key.clone()), told)
}

/// The book that a limit is at home in.
fn home<'a>(agreement: &'a Agreement, limit: &'a Limit) -> &'a str {
    limit.home.as_deref().unwrap_or(&agreement.file.id)
}

/// The limit of a clause as a book has it now.
fn limit_of<'a>(book: &'a Book, clause: &str) -> Option<(&'a Agreement, &'a Limit)> {
    let (_, version) = book.current()?;
    let mut limits = version.agreement.file.limit.iter();
    let limit = limits.find(|limit| limit.clause == clause)?;
    Some((&version.agreement, limit))
}

fn name(limit: &OneLimit) -> String {
    let OneLimit {
        home,
        clause,
        subject,
    } = limit;
    match subject {
        Some(subject) => format!("clause {clause} of {home} for {subject}"),
        None => format!("clause {clause} of {home}"),
    }
}

#[cfg(test)]
mod tests {
    use tandem_journal::BookName;

    use super::*;

    #[test]
    fn a_book_without_an_agreement_has_no_limits() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_str().expect("a name in UTF-8");
        let place = Place::named(path, None).expect("a place");
        let name = BookName::new("empty").expect("a name");
        drop(place.open_or_create(&name).expect("a journal"));
        let failure = Compared::default()
            .read(&place)
            .expect_err("nothing is signed");
        assert_eq!(
            failure.0,
            format!("{path}/book.db: no agreement is signed in this book")
        );
    }
}
