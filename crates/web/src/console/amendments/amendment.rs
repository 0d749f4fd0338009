//! An amendment: who stands behind it, and what somebody can do about it now.

use std::slice;

use super::super::blocks::Tone;
use super::super::people::{Doer, Person, Role};

/// An amendment.
pub(super) struct Amendment {
    pub(super) id: i64,
    pub(super) agreement: String,
    /// The policy of the party that proposes it, if that is what changes.
    pub(super) policy: Option<String>,
    pub(super) version: u32,
    pub(super) reason: String,
    pub(super) party: String,
    pub(super) state: String,
    pub(super) outcome: String,
    pub(super) consents: Vec<Consent>,
}

/// What a party's people have said to it.
pub(super) struct Consent {
    pub(super) party: String,
    pub(super) proposer: Doer,
    pub(super) approver_name: Option<String>,
}

/// What somebody can do about an amendment now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Stand behind it, as the first of the party.
    Support,
    /// Approve it, as the second.
    Approve,
    /// Have it signed again, where the book could not be reached.
    Sign,
}

impl Step {
    pub(super) fn name(self) -> &'static str {
        match self {
            Step::Support => "support",
            Step::Approve => "approve",
            Step::Sign => "sign",
        }
    }
}

impl Amendment {
    pub(super) fn consent(&self, party: &str) -> Option<&Consent> {
        self.consents.iter().find(|consent| consent.party == party)
    }

    /// True if two people of a party stand behind it.
    pub(super) fn has(&self, party: &str) -> bool {
        let consent = self.consent(party);
        consent.is_some_and(|consent| consent.approver_name.is_some())
    }

    /// True if a person proposed it.
    pub(super) fn is_by(&self, person: &Person) -> bool {
        let consent = self.consent(&self.party);
        consent.is_some_and(|consent| consent.proposer.id == person.id)
    }

    /// True if somebody can still decide on it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "open" | "approved")
    }

    /// A party shows it to the others once two of its people stand behind it; of its policy it
    /// shows them nothing.
    pub(super) fn is_shown_to(&self, party: &str) -> bool {
        self.party == party || self.policy.is_none() && self.has(&self.party)
    }

    /// Who must approve it, where these are all parties.
    pub(super) fn approvers<'a>(&'a self, parties: &'a [String]) -> &'a [String] {
        match self.policy {
            Some(_) => slice::from_ref(&self.party),
            None => parties,
        }
    }

    /// True if all who must have approved it.
    pub(super) fn is_approved(&self, parties: &[String]) -> bool {
        let mut approvers = self.approvers(parties).iter();
        approvers.all(|party| self.has(party))
    }

    /// What a person can do now, where these are all parties.
    pub(super) fn step(&self, person: &Person, parties: &[String]) -> Option<Step> {
        let may = |role| person.roles.has(role);
        if !self.is_open() || !self.is_shown_to(&person.party) {
            return None;
        }
        if self.is_approved(parties) {
            return may(Role::Approver).then_some(Step::Sign);
        }
        match self.consent(&person.party) {
            None => may(Role::Operations).then_some(Step::Support),
            Some(consent) => {
                let other =
                    consent.approver_name.is_none() && person.is_apart_from(&consent.proposer);
                (other && may(Role::Approver)).then_some(Step::Approve)
            }
        }
    }

    pub(super) fn tone(&self) -> Tone {
        match self.state.as_str() {
            "done" => Tone::Good,
            "open" | "approved" => Tone::Warn,
            "refused" => Tone::Bad,
            _ => Tone::Plain,
        }
    }

    pub(super) fn path(&self) -> String {
        format!("/console/agreement/amendments/{}", self.id)
    }
}
