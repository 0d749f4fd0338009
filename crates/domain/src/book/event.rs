//! What happened: the facts that the journal keeps.
//!
//! An event is encoded as CBOR (RFC 8949). Fields have numbers and new ones are only ever added
//! at the end, so every journal ever written can be read.

use minicbor::{Decode, Encode};

use super::command::Documents;
use crate::calendar::Day;
use crate::field::Value;
use crate::funding::LenderParts;
use crate::loan::{Totals, Transaction};
use crate::money::{Amount, Rate};
use crate::policy::{Decision, Outcome};
use crate::settlement::Plan;

/// An immutable fact.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
pub enum Event {
    /// An agreement, or its next version, came into force.
    #[n(0)]
    Signed {
        /// The business date.
        #[n(0)]
        day: Day,
        /// The documents as signed.
        #[n(1)]
        documents: Documents,
    },
    /// An application was decided.
    #[n(1)]
    Decided(#[n(0)] Decided),
    /// An offer was given back, or an application taken back that waited for people.
    #[n(2)]
    Withdrawn {
        /// Place of the application.
        #[n(0)]
        application: u32,
    },
    /// An offer was taken and the loan disbursed on the business date.
    #[n(3)]
    Disbursed {
        /// Place of the application.
        #[n(0)]
        application: u32,
    },
    /// Something was done to a loan: money came in and was allocated, its plan was changed.
    #[n(4)]
    Instructed {
        /// Key of the instruction.
        #[n(0)]
        key: String,
        /// Digest of the command, to recognise a retry.
        #[n(1)]
        body: u64,
        /// Place of the loan.
        #[n(2)]
        loan: u32,
        /// The transaction.
        #[n(3)]
        transaction: Transaction,
        /// What it changed in the loan's totals.
        #[n(4)]
        change: Totals,
    },
    /// The contracts ran to the end of the business date.
    #[n(5)]
    DayEnded {
        /// The business date.
        #[n(0)]
        day: Day,
    },
    /// A loan was written off and the guarantee called.
    #[n(6)]
    ChargedOff {
        /// Place of the loan.
        #[n(0)]
        loan: u32,
        /// The transaction.
        #[n(1)]
        transaction: Transaction,
        /// What it changed in the loan's totals.
        #[n(2)]
        change: Totals,
    },
    /// A settlement window was paid.
    #[n(7)]
    Settled {
        /// The business date.
        #[n(0)]
        day: Day,
        /// The window whose plan was carried out.
        #[n(1)]
        window: Day,
    },
    /// A settlement window was closed and its plan made.
    #[n(8)]
    Planned(#[n(0)] Plan),
    /// Interest and expected losses were brought to their end-of-day amounts.
    #[n(9)]
    Adjusted {
        /// Change of interest receivable of each party.
        #[n(0)]
        interest: Vec<Amount>,
        /// Change of the loss allowance of each party.
        #[n(1)]
        allowance: Vec<Amount>,
    },
    /// The business date was closed.
    #[n(10)]
    DayClosed(#[n(0)] Close),
    /// An instruction was taken back, and the loan evaluated without it.
    #[n(11)]
    Reversed {
        /// Key of the reversal.
        #[n(0)]
        key: String,
        /// Digest of the command, to recognise a retry.
        #[n(1)]
        body: u64,
        /// Place of the loan.
        #[n(2)]
        loan: u32,
        /// Number of the transaction within the loan.
        #[n(3)]
        number: u32,
        /// What it changed in the loan's totals.
        #[n(4)]
        change: Totals,
    },
    /// A reference rate became known.
    #[n(12)]
    Fixed {
        /// Name of the reference rate.
        #[n(0)]
        index: String,
        /// First day on which it applies.
        #[n(1)]
        day: Day,
        /// Yearly rate.
        #[n(2)]
        rate: Rate,
    },
    /// A slice of a limit went to another book.
    #[n(13)]
    SliceSent(#[n(0)] Box<Sliced>),
    /// A slice of a limit came from another book.
    #[n(14)]
    SliceReceived(#[n(0)] Box<Sliced>),
    /// Loans that are over were archived.
    #[n(15)]
    Archived {
        /// Name of the archive.
        #[n(0)]
        name: String,
        /// Places of the loans, in order.
        #[n(1)]
        loans: Vec<u32>,
    },
    /// A person at a lender that referred an application decided on it.
    #[n(16)]
    Underwritten {
        /// Place of the application.
        #[n(0)]
        application: u32,
        /// Place of the lender in leftover order.
        #[n(1)]
        lender: u8,
        /// The application as it stands now, with the decision in the place of the policy's. Its
        /// verdict is what follows.
        #[n(2)]
        decided: Decided,
    },
}

/// Room of a limit that went to another book or came from one.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Sliced {
    /// Key of the slice, chosen where it was sent.
    #[n(0)]
    pub key: String,
    /// Digest of the command, to recognise a retry.
    #[n(1)]
    pub body: u64,
    /// Place of the agreement version that has the limit.
    #[n(2)]
    pub version: u16,
    /// Place in its limits.
    #[n(3)]
    pub limit: u8,
    /// The region or borrower, if the limit is for each.
    #[n(4)]
    pub subject: Option<String>,
    /// The other book.
    #[n(5)]
    pub book: String,
    /// How much room.
    #[n(6)]
    pub amount: Amount,
    /// Business date on which it was sent.
    #[n(7)]
    pub sent_on: Day,
}

impl Sliced {
    /// The region or borrower; the empty text for a limit without.
    pub(super) fn subject(&self) -> &str {
        self.subject.as_deref().unwrap_or_default()
    }

    /// What it adds to the room of the book.
    pub(super) fn signed(&self, received: bool) -> Amount {
        if received { self.amount } else { -self.amount }
    }
}

/// An application and everything that was decided about it.
#[derive(Clone, Debug, PartialEq, Encode, Decode)]
#[cbor(array)]
pub struct Decided {
    /// Key of the application.
    #[n(0)]
    pub key: String,
    /// Digest of the command, to recognise a retry.
    #[n(1)]
    pub body: u64,
    /// Key of the borrower, if the application names one.
    #[n(2)]
    pub borrower: Option<String>,
    /// Place of the agreement version that governs it.
    #[n(3)]
    pub version: u16,
    /// Values of the fields.
    #[n(4)]
    pub values: Vec<Value>,
    /// The lenders' decisions, in leftover order.
    #[n(5)]
    pub decisions: Vec<Decision>,
    /// Lenders that would fund but may not, with the clause or rule.
    #[n(6)]
    pub barred: Vec<Barred>,
    /// The outcome.
    #[n(7)]
    pub verdict: Verdict,
}

impl Decided {
    /// Places of the lenders that leave it to their people and have not decided.
    pub fn referring(&self) -> impl Iterator<Item = u8> {
        let decisions = (0..).zip(&self.decisions);
        let referring = decisions.filter(|(_, one)| matches!(one.outcome, Outcome::Refer(_)));
        referring.map(|(place, _)| place)
    }

    /// True if all places of lenders in what came of it are below their number, and each has its part.
    pub fn fits(&self, lenders: usize) -> bool {
        let known = |&place: &u8| usize::from(place) < lenders;
        let fits = match &self.verdict {
            Verdict::Offered { parts, .. } => parts.len() == lenders,
            Verdict::Referred(places, _) => places.iter().all(known),
            Verdict::Declined(_) => true,
        };
        fits && self.barred.iter().all(|barred| known(&barred.lender))
    }
}

/// A lender that the gate did not let take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Barred {
    /// Place of the lender in leftover order.
    #[n(0)]
    pub lender: u8,
    /// Why.
    #[n(1)]
    pub clause: Clause,
}

/// A clause of the agreement or a rule of its rulebook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Clause {
    /// Place in the agreement's limits.
    #[n(0)]
    Limit(#[n(0)] u8),
    /// Place in the rulebook.
    #[n(1)]
    Rule(#[n(0)] u8),
}

/// Lists of parts as CBOR.
mod parts {
    use minicbor::decode::{Decoder, Error as Damaged};
    use minicbor::encode::Write;
    use minicbor::encode::{Encode, Encoder, Error};

    use crate::funding::LenderParts;

    pub(super) fn encode<C, W: Write>(
        parts: &LenderParts,
        e: &mut Encoder<W>,
        context: &mut C,
    ) -> Result<(), Error<W::Error>> {
        parts.as_slice().encode(e, context)
    }

    pub(super) fn decode<C>(d: &mut Decoder<'_>, _: &mut C) -> Result<LenderParts, Damaged> {
        d.array_iter()?.collect()
    }
}

/// The outcome of an application.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Verdict {
    /// The lenders offer a loan together.
    #[n(0)]
    Offered {
        /// Each lender's part, in leftover order.
        #[cbor(n(0), with = "parts")]
        parts: LenderParts,
        /// The borrower's yearly rate.
        #[n(1)]
        rate: Rate,
        /// Last business date on which the offer can be taken.
        #[n(2)]
        valid_to: Day,
    },
    /// It was declined.
    #[n(1)]
    Declined(#[n(0)] DeclineReason),
    /// It waits for a person at a lender: places of the lenders that referred it and have not decided,
    /// and the last business date on which they can.
    #[n(2)]
    Referred(#[n(0)] Vec<u8>, #[n(1)] Option<Day>),
}

/// Why an application was declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum DeclineReason {
    /// The product has no such term.
    #[n(0)]
    Term,
    /// The product has no such amount.
    #[n(1)]
    Amount,
    /// Place in the agreement's list of what is ineligible.
    #[n(2)]
    Ineligible(#[n(0)] u8),
    /// The lenders that accept and may lend are too few or cover too little.
    #[n(3)]
    Funding,
    /// A clause or rule about the loan as a whole.
    #[n(4)]
    Clause(#[n(0)] Clause),
    /// The lead's rate does not cover the fixed yields of the others.
    #[n(5)]
    Yields,
}

/// What a day close leaves, to be checked when the journal is read again.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Close {
    /// The business date that was closed.
    #[n(0)]
    pub day: Day,
    /// Loans active.
    #[n(1)]
    pub active_loans: u32,
    /// Principal outstanding of all lenders.
    #[n(2)]
    pub outstanding: Amount,
    /// Principal outstanding by class, mildest first.
    #[n(3)]
    pub by_class: Vec<Amount>,
    /// Entries made so far.
    #[n(4)]
    pub entries: u64,
    /// Digest of the state (BLAKE3).
    #[cbor(n(5), with = "minicbor::bytes")]
    pub digest: [u8; 32],
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agreement::{Component, Prepayment};
    use crate::funding::Part;
    use crate::loan::{Action, Sale};
    use crate::party::PartyId;
    use crate::policy::Outcome;
    use crate::settlement::Transfer;

    /// The bytes that `docs/spec/events.md` describes; a change here breaks every journal.
    #[test]
    fn events_have_their_documented_bytes() {
        let decided = Decided {
            key: "A".into(),
            body: 9,
            borrower: None,
            version: 0,
            values: vec![Value::Missing, Value::Number(5), Value::Text("x".into())],
            decisions: vec![
                Decision {
                    score: Some(3),
                    outcome: Outcome::Approve {
                        maximum: Amount(4),
                        rate: Rate(5),
                    },
                },
                Decision {
                    score: None,
                    outcome: Outcome::Decline(vec![1, 2]),
                },
            ],
            barred: vec![Barred {
                lender: 1,
                clause: Clause::Rule(2),
            }],
            verdict: Verdict::Offered {
                parts: [Part {
                    amount: Amount(1),
                    rate: Rate(2),
                }]
                .into_iter()
                .collect(),
                rate: Rate(2),
                valid_to: Day(3),
            },
        };
        let declined = Decided {
            values: Vec::new(),
            decisions: Vec::new(),
            barred: Vec::new(),
            verdict: Verdict::Declined(DeclineReason::Term),
            ..decided.clone()
        };
        let referred = |valid_to| Decided {
            verdict: Verdict::Referred(vec![1], valid_to),
            ..declined.clone()
        };
        let transaction = Transaction {
            day: Day(3),
            action: Action::Repay(Amount(4)),
            number: 1,
        };
        let paid = Event::Instructed {
            key: "p".into(),
            body: 1,
            loan: 2,
            transaction,
            change: Totals::default(),
        };
        let sale = Sale {
            seller: PartyId(0),
            buyer: PartyId(2),
            part: Rate(5),
            price: Rate(9),
        };
        let done = |action| Event::Instructed {
            key: "i".into(),
            body: 1,
            loan: 2,
            transaction: Transaction {
                action,
                ..transaction
            },
            change: Totals::default(),
        };
        let reversed = Event::Reversed {
            key: "r".into(),
            body: 1,
            loan: 2,
            number: 3,
            change: Totals::default(),
        };
        let fixed = Event::Fixed {
            index: "LPR1Y".into(),
            day: Day(3),
            rate: Rate(4),
        };
        let sliced = Sliced {
            key: "S".into(),
            body: 1,
            version: 0,
            limit: 2,
            subject: Some("e".into()),
            book: "b".into(),
            amount: Amount(5),
            sent_on: Day(3),
        };
        let owed = Transfer {
            from: PartyId(0),
            to: PartyId(1),
            amount: Amount(5),
        };
        let plan = Plan {
            window: Day(1),
            settle_on: Day(2),
            obligations: vec![owed],
            transfers: Vec::new(),
        };
        let adjusted = Event::Adjusted {
            interest: vec![Amount(1)],
            allowance: vec![Amount(-1)],
        };
        let cases = [
            (Event::DayEnded { day: Day(1) }, "82058101"),
            (Event::Disbursed { application: 7 }, "82038107"),
            (
                Event::Decided(decided),
                "82018188614109f60083f6056178828203820082040582f682018182010281820182018102820083818201020203",
            ),
            (
                Event::Decided(declined.clone()),
                "82018188614109f600808080820181820080",
            ),
            (
                Event::Decided(referred(None)),
                "82018188614109f6008080808202818101",
            ),
            (
                Event::Underwritten {
                    application: 7,
                    lender: 1,
                    decided: referred(Some(Day(3))),
                },
                "821083070188614109f600808080820282810103",
            ),
            (
                paid,
                "82048561700102830382008104019000000000000000000000000000000000",
            ),
            (Event::Planned(plan), "820881840102818300010580"),
            (adjusted, "82098281018120"),
            (
                done(Action::Prepay(Amount(4), Some(Prepayment::NextInstalments))),
                "8204856169010283038201820402019000000000000000000000000000000000",
            ),
            (
                done(Action::Waive {
                    component: Component::Interest,
                    amount: Amount(4),
                }),
                "8204856169010283038207820204019000000000000000000000000000000000",
            ),
            (
                done(Action::Pause {
                    cycles: 2,
                    interest: true,
                }),
                "820485616901028303820a8202f5019000000000000000000000000000000000",
            ),
            (
                done(Action::Transfer(sale)),
                "820485616901028303820f818400020509019000000000000000000000000000000000",
            ),
            (
                reversed,
                "820b8561720102039000000000000000000000000000000000",
            ),
            (fixed, "820c83654c505231590304"),
            (
                Event::SliceSent(Box::new(sliced.clone())),
                "820d81886153010002616561620503",
            ),
            (
                Event::SliceReceived(Box::new(Sliced {
                    subject: None,
                    ..sliced
                })),
                "820e81886153010002f661620503",
            ),
            (
                Event::Archived {
                    name: "a".into(),
                    loans: vec![1, 24],
                },
                "820f82616182011818",
            ),
        ];
        for (event, expected) in cases {
            let bytes = minicbor::to_vec(&event).expect("encoding into memory cannot fail");
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(hex, expected, "{event:?}");
            assert_eq!(
                minicbor::decode::<Event>(&bytes).expect("what was encoded is read"),
                event
            );
        }
    }
}
