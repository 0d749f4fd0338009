//! What a caller may see and do: by its party's part in the agreement.

use std::sync::Arc;

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{
    ApplicationRecord, ApplicationState, Book, Decided, Refusal, Verdict, Version,
};
use tandem_domain::party::PartyId;
use tandem_domain::policy::Policy;
use tandem_engine::disclosure::{Disclosure, Parties, only};

use crate::desk::Desk;
use crate::problem::{self, Problem};

/// A party that looks at a book.
#[derive(Clone)]
pub struct View {
    /// The book.
    pub desk: Arc<Desk>,
    /// The party.
    pub party: PartyId,
}

impl View {
    /// The view of a party (by id), if it is one of the agreement's.
    pub fn of(desk: &Arc<Desk>, party: &str) -> Option<View> {
        let party = desk.look(|book| book.latest()?.agreement.party_id(party))?;
        Some(View {
            desk: desk.clone(),
            party,
        })
    }

    /// Looks at the book.
    pub fn look<T>(&self, look: impl FnOnce(&Seen<'_>) -> T) -> T {
        self.desk.reader().look_as(|book, disclosure| {
            let version = book
                .latest()
                .expect("a party is found in a signed agreement");
            look(&Seen {
                book,
                disclosure,
                agreement: &version.agreement,
                party: self.party,
            })
        })
    }

    /// Refuses a caller whose party does not have a role.
    pub fn must_be(&self, role: Role) -> Result<(), Problem> {
        let (has, holder) = self.look(|seen| (seen.is(role), seen.holder(role)));
        match has {
            true => Ok(()),
            false => Err(Problem::new(
                problem::FORBIDDEN,
                format!("only {holder} may do this under the agreement"),
            )),
        }
    }
}

/// What a party does under an agreement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Brings the applications.
    Platform,
    /// Pays out and collects.
    Servicer,
}

/// A book, seen by a party.
pub struct Seen<'a> {
    /// The book.
    pub book: &'a Book,
    /// Whom its loans concern.
    pub disclosure: &'a Disclosure,
    /// The latest version of the agreement, in which all parties are listed.
    pub agreement: &'a Agreement,
    /// The party.
    pub party: PartyId,
}

impl Seen<'_> {
    /// Id of the party.
    pub fn id(&self) -> &str {
        &self.agreement.party(self.party).id
    }

    /// The party as a set.
    pub fn set(&self) -> Parties {
        only(self.party)
    }

    /// Whether the party has a role.
    pub fn is(&self, role: Role) -> bool {
        self.party == self.who(role)
    }

    /// Whether the party is a lender.
    pub fn is_lender(&self) -> bool {
        self.agreement.lenders.contains(&self.party)
    }

    fn who(&self, role: Role) -> PartyId {
        match role {
            Role::Platform => self.agreement.platform,
            Role::Servicer => self.agreement.servicer,
        }
    }

    fn holder(&self, role: Role) -> String {
        let party = &self.agreement.party(self.who(role)).id;
        match role {
            Role::Platform => format!("the platform, `{party}`,"),
            Role::Servicer => format!("the servicer, `{party}`,"),
        }
    }

    /// Whether the party may see an application: the platform brought it, each lender judged it,
    /// and others see those whose offer concerns them.
    pub fn application(&self, place: u32) -> bool {
        self.is(Role::Platform)
            || self.is_lender()
            || self.disclosure.application(place) & self.set() != 0
    }

    /// Whether the party may see who funds an application, and at what rates: a lender that takes
    /// no part may not.
    pub fn offer(&self, application: u32) -> bool {
        self.is(Role::Platform) || self.disclosure.application(application) & self.set() != 0
    }

    /// Lenders for whose people an application waits, as far as the party may know it: the platform
    /// knows all, a lender itself.
    pub fn waits_for(&self, decided: &Decided) -> Vec<PartyId> {
        let Verdict::Referred(places, Some(_)) = &decided.verdict else {
            return Vec::new();
        };
        let lenders = &self.book.versions()[usize::from(decided.version)]
            .agreement
            .lenders;
        let waits = places
            .iter()
            .filter_map(|&place| lenders.get(usize::from(place)));
        let waits = waits.copied();
        let known = |lender: &PartyId| self.is(Role::Platform) || *lender == self.party;
        waits.filter(known).collect()
    }

    /// The party's place among the lenders of a version, and its policy there.
    pub fn policy<'v>(&self, version: &'v Version) -> Option<(usize, &'v Policy)> {
        let lenders = &version.agreement.lenders;
        let place = lenders.iter().position(|&lender| lender == self.party)?;
        Some((place, version.policies.get(place)?))
    }

    /// Whether a loan concerns the party.
    pub fn loan(&self, place: u32) -> bool {
        self.disclosure.loan(place) & self.set() != 0
    }

    /// An application that the party may see, by its key, with its place.
    pub fn find_application(&self, key: &str) -> Result<(u32, ApplicationRecord<'_>), Problem> {
        let found = self.book.application_place(key);
        let found = found.filter(|place| self.application(*place));
        let found = found.and_then(|place| Some((place, self.book.application_at(place)?)));
        found.ok_or_else(|| Problem::not_found("application"))
    }

    /// The place of a loan that concerns the party and is not archived, by its key.
    pub fn find_loan(&self, key: &str) -> Result<u32, Problem> {
        let state = self.book.application(key).map(|record| record.state);
        match state {
            Some(ApplicationState::Disbursed(place)) if self.loan(place) => {
                match self.book.is_archived(place) {
                    true => Err(Refusal::LoanArchived(key.to_owned()).into()),
                    false => Ok(place),
                }
            }
            _ => Err(Problem::not_found("loan")),
        }
    }

    /// A party's key of an instruction, as the book has it: the servicer's as they are, those of any
    /// other party behind its id, so that nobody meets another's keys.
    pub fn book_key(&self, party: PartyId, key: &str) -> String {
        match party == self.agreement.servicer {
            true => key.to_owned(),
            false => format!("{}/{key}", self.name(party)),
        }
    }

    /// Id of any party.
    pub fn name(&self, party: PartyId) -> &str {
        let parties = &self.agreement.file.party;
        parties.get(party.index()).map_or("?", |party| &party.id)
    }
}
