//! Every decision is what the lender's policy says, or what a person may say in its place.

use std::collections::BTreeMap;

use tandem_domain::book::{Book, Decided, Verdict};
use tandem_domain::policy::{Decision, Outcome as Answer};

use super::check::Problems;

pub(super) const DECISIONS: &str = "decisions replayed";

/// Decisions as they are made.
#[derive(Default)]
pub(super) struct Decisions {
    /// How many there were.
    pub(super) made: u64,
    /// Applications that wait for a person, as they stand.
    referred: BTreeMap<u32, Decided>,
}

impl Decisions {
    /// Every policy is asked again.
    pub(super) fn decided(
        &mut self,
        application: u32,
        decided: &Decided,
        book: &Book,
        problems: &mut Problems,
    ) {
        let version = &book.versions()[usize::from(decided.version)];
        let in_force = book.current().map(|(place, _)| place);
        problems.require(in_force == Some(decided.version), DECISIONS, || {
            format!(
                "application {} was decided under a version not in force",
                decided.key
            )
        });
        let now = version.decisions(&decided.values);
        self.made += now.len() as u64;
        for (place, policy) in version.policies.iter().enumerate() {
            let (then, now) = (decided.decisions.get(place), now.get(place));
            problems.require(then == now, DECISIONS, || {
                let (key, lender) = (&decided.key, &policy.file.lender);
                let (then, now) = (answer(then), answer(now));
                format!(
                    "application {key}, lender {lender}: recorded {then}, but its policy says {now}"
                )
            });
        }
        self.keep_referred(application, decided);
    }

    /// A person decides what the lender's policy left to it, within what that would offer; the
    /// application and what the others said stand.
    pub(super) fn underwritten(
        &mut self,
        application: u32,
        lender: usize,
        decided: &Decided,
        book: &Book,
        problems: &mut Problems,
    ) {
        self.made += 1;
        let version = &book.versions()[usize::from(decided.version)];
        let key = &decided.key;
        let mut before = self.referred.remove(&application);
        let own = before.as_mut().map(|before| &mut before.decisions);
        if let (Some(before), Some(decision)) = (
            own.and_then(|decisions| decisions.get_mut(lender)),
            decided.decisions.get(lender),
        ) {
            let name = &version.policies[lender].file.lender;
            problems.require(
                matches!(before.outcome, Answer::Refer(_)),
                DECISIONS,
                || {
                    format!(
                        "application {key}, lender {name}: a person decided what was not referred"
                    )
                },
            );
            if let Answer::Approve { maximum, rate } = decision.outcome {
                let authority = version.policies[lender].authority(&decided.values);
                let within =
                    authority.is_some_and(|(most, least)| maximum <= most && rate >= least);
                problems.require(within, DECISIONS, || {
                    format!(
                        "application {key}, lender {name}: a person approved more than its policy"
                    )
                });
            }
            before.outcome = decision.outcome.clone();
        }
        let decisions = before.as_ref().map(|before| &before.decisions);
        problems.require(decisions == Some(&decided.decisions), DECISIONS, || {
            format!("application {key}: a person changed what other lenders had decided")
        });
        if let Some(before) = &before {
            let same = Decided {
                decisions: decided.decisions.clone(),
                barred: decided.barred.clone(),
                verdict: decided.verdict.clone(),
                ..before.clone()
            };
            problems.require(same == *decided, DECISIONS, || {
                format!("application {key}: a person's decision changed the application itself")
            });
            problems.require(waits_on(before, decided), DECISIONS, || {
                format!(
                    "application {key}: it waits for others, or for longer, than is left to people"
                )
            });
        }
        self.keep_referred(application, decided);
    }

    /// Keeps what was said of an application that waits.
    fn keep_referred(&mut self, application: u32, decided: &Decided) {
        if let Verdict::Referred(..) = decided.verdict {
            self.referred.insert(application, decided.clone());
        }
    }

    pub(super) fn withdrawn(&mut self, application: u32) {
        self.referred.remove(&application);
    }
}

fn answer(decision: Option<&Decision>) -> &'static str {
    match decision.map(|decision| &decision.outcome) {
        Some(Answer::Approve { .. }) => "an approval",
        Some(Answer::Decline(_)) => "a decline",
        Some(Answer::Refer(_)) => "a referral",
        None => "nothing",
    }
}

/// True if an application that waits on after a decision waits for those that referred it and have
/// not decided, and no longer than before.
fn waits_on(before: &Decided, decided: &Decided) -> bool {
    let Verdict::Referred(left, until) = &decided.verdict else {
        return true;
    };
    decided.referring().eq(left.iter().copied())
        && matches!(&before.verdict, Verdict::Referred(_, known) if known == until)
}

#[cfg(test)]
mod tests {
    use tandem_domain::book::Event;
    use tandem_domain::field::Value;
    use tandem_domain::money::{Amount, Rate};

    use super::super::tests::{forged, forged_of, found, verified};
    use super::*;
    use crate::export::sample;

    #[test]
    fn a_decision_that_its_policy_did_not_make_is_found() {
        let journal = forged(2, |events| {
            let Event::Decided(decided) = &mut events[1] else {
                panic!("an application")
            };
            decided.decisions[1].outcome = Answer::Decline(vec![0]);
        });
        assert_eq!(
            found(journal),
            "✗ decisions replayed        application A-1, lender river-bank: recorded a decline, but its policy \
             says an approval"
        );
    }

    #[test]
    fn what_a_person_could_not_decide_is_found() {
        type Forgery = fn(&mut Decided);
        let forgeries: [(Forgery, &str); 5] = [
            (
                |decided| decided.values[0] = Value::Number(1),
                "application D-1: a person's decision changed the application itself",
            ),
            (
                |decided| decided.borrower = Some("somebody".to_owned()),
                "application D-1: a person's decision changed the application itself",
            ),
            (
                |decided| decided.verdict = Verdict::Referred(vec![0], None),
                "application D-1: it waits for others, or for longer, than is left to people",
            ),
            (
                |decided| {
                    decided.decisions[1].outcome = Answer::Approve {
                        maximum: Amount(1_200_001),
                        rate: Rate::ONE,
                    };
                },
                "application D-1, lender river-bank: a person approved more than its policy",
            ),
            (
                |decided| decided.decisions[0].outcome = Answer::Decline(vec![0]),
                "application D-1: a person changed what other lenders had decided",
            ),
        ];
        for (forge, expected) in forgeries {
            let journal = forged_of(&mut sample::referred(), 8, |events| {
                let decided = events.iter_mut().find_map(|event| match event {
                    Event::Underwritten { decided, .. } => Some(decided),
                    _ => None,
                });
                forge(decided.expect("a person's decision"));
            });
            let (_, text) = verified(journal).unwrap();
            assert!(text.contains(expected), "{text}");
        }
    }
}
