//! Writing a view: one reading of the journal finds what concerns the party over the whole life
//! of every loan, a second one shows it.

use std::io::Write;

use tandem_domain::book::{Book, Decided, Event, Verdict};
use tandem_domain::party::PartyId;
use tandem_engine::disclosure::{Disclosure, only};
use tandem_engine::{Step, replay};
use tandem_journal::{Batch, Excerpt, Head, Journal, JournalError, Store};

use super::figures::Collector;
use super::file::{Title, Writer};
use crate::export::parties;
use crate::fail::{Failure, Outcome};

/// What a party is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) head: Head,
    pub(super) shown: u64,
    pub(super) events: u64,
}

/// Writes the view of a party.
pub(super) fn write<S: Store>(
    journal: &mut Journal<S>,
    party: &str,
    out: impl FnOnce() -> Outcome<Box<dyn Write>>,
) -> Outcome<Written> {
    let mut finding = Finding {
        id: party,
        disclosure: Disclosure::default(),
        loans: Vec::new(),
        collector: None,
    };
    let book = replay(journal, &mut |step| finding.observe(&step))?;
    let Some(collector) = finding.collector.take() else {
        return Err(missing(party, &book));
    };
    let mut showing = Showing::new(&finding, collector.party);
    let title = Title {
        book: journal.book().to_string(),
        party: party.to_owned(),
        head: journal.head(),
    };
    let mut writer = Writer::new(out()?, &title)?;
    let mut written = Written {
        head: title.head,
        shown: 0,
        events: 0,
    };
    let secret = journal.secret().clone();
    journal.read(journal.genesis(), |batch| {
        let shown = showing.of(batch)?;
        let reader = collector.party.0;
        let excerpt = Excerpt::of(batch, &secret, reader, &shown).map_err(JournalError::from)?;
        written.shown += excerpt.shown.len() as u64;
        written.events += u64::from(batch.events);
        writer.excerpt(&excerpt)?;
        Ok::<_, Failure>(())
    })?;
    writer.finish(&collector.finish(&book))?;
    Ok(written)
}

fn missing(party: &str, book: &Book) -> Failure {
    let known: Vec<_> = parties(book)
        .iter()
        .map(|known| known.id.as_str())
        .collect();
    Failure(if known.is_empty() {
        "nothing is signed in this book yet, so there is nothing to show".to_owned()
    } else {
        format!(
            "there is no party `{party}` in this book; there are {}",
            known.join(", ")
        )
    })
}

/// Finds what concerns a party.
struct Finding<'a> {
    id: &'a str,
    disclosure: Disclosure,
    /// By place of the loan: its application.
    loans: Vec<u32>,
    /// None until the party has signed.
    collector: Option<Collector>,
}

impl Finding<'_> {
    fn observe(&mut self, step: &Step<'_>) {
        self.disclosure.observe(step.event);
        match step.event {
            Event::Signed { .. } if self.collector.is_none() => {
                let version = step.book.latest();
                let party = version.and_then(|version| version.agreement.party_id(self.id));
                self.collector = party.map(Collector::new);
            }
            Event::Disbursed { application } => self.loans.push(*application),
            _ => {}
        }
        if let Some(collector) = &mut self.collector {
            step.entries.iter().for_each(|entry| collector.entry(entry));
        }
    }
}

/// Shows a party what it may see.
struct Showing<'a> {
    disclosure: &'a Disclosure,
    party: PartyId,
    /// By place: whether an application concerned the party in the end. Who buys a share of a loan
    /// is shown what came before.
    applications: Vec<bool>,
    loans: Vec<bool>,
    /// How many were decided so far.
    decided: usize,
}

impl Showing<'_> {
    fn new<'a>(finding: &'a Finding<'_>, party: PartyId) -> Showing<'a> {
        let Finding {
            disclosure, loans, ..
        } = finding;
        let concerns = |parties| parties & only(party) != 0;
        let applications = 0..disclosure.applications() as u32;
        let applications = applications.map(|place| concerns(disclosure.application(place)));
        let mut showing = Showing {
            disclosure,
            party,
            applications: applications.collect(),
            loans: Vec::new(),
            decided: 0,
        };
        for (place, &application) in (0..).zip(loans) {
            let shown = concerns(disclosure.loan(place));
            showing.loans.push(shown);
            showing.applications[application as usize] |= shown;
        }
        showing
    }

    /// The places of the events to show of a batch.
    fn of(&mut self, batch: &Batch) -> Outcome<Vec<u32>> {
        let mut shown = Vec::new();
        for (place, encoded) in (0..).zip(batch.events()) {
            let event: Event = minicbor::decode(encoded?).map_err(|error| {
                let (event, batch) = (place + 1, batch.seq);
                Failure(format!("event {event} of batch {batch}: {error}"))
            })?;
            if self.shows(&event) {
                shown.push(place);
            }
        }
        Ok(shown)
    }

    fn shows(&mut self, event: &Event) -> bool {
        match event {
            Event::Decided(decided) => {
                self.decided += 1;
                is_offer(decided) && self.applications[self.decided - 1]
            }
            Event::Underwritten {
                application,
                decided,
                ..
            } => is_offer(decided) && self.applications[*application as usize],
            Event::Withdrawn { application } | Event::Disbursed { application } => {
                self.applications[*application as usize]
            }
            Event::Instructed { loan, .. }
            | Event::ChargedOff { loan, .. }
            | Event::Reversed { loan, .. } => self.loans[*loan as usize],
            Event::Archived { .. } => false,
            Event::SliceSent(sliced) | Event::SliceReceived(sliced) => {
                self.disclosure.slice(sliced) & only(self.party) != 0
            }
            Event::Signed { .. }
            | Event::DayEnded { .. }
            | Event::Settled { .. }
            | Event::Planned(_)
            | Event::Adjusted { .. }
            | Event::DayClosed(_)
            | Event::Fixed { .. } => true,
        }
    }
}

/// Only what was offered concerns anybody: of what waits for a person nobody is shown anything.
fn is_offer(decided: &Decided) -> bool {
    matches!(decided.verdict, Verdict::Offered { .. })
}
