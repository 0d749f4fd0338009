//! What can be asked of a book, and why it may refuse.

use thiserror::Error;

use crate::calendar::Day;
use crate::document::Problem;
use crate::field::Value;
use crate::loan::Action;
use crate::money::{Amount, Money, Rate};
use crate::policy::{Decision, Outcome};

/// A request to change the book.
#[derive(Clone, Debug)]
pub enum Command {
    /// Puts an agreement, or its next version, into force.
    Sign(Box<Documents>),
    /// Asks for a loan.
    Apply(Box<Application>),
    /// Takes an offer: the loan is disbursed on the business date.
    Accept {
        /// The application.
        application: String,
    },
    /// Gives an offer back, or takes back an application that waits for people.
    Withdraw {
        /// The application.
        application: String,
    },
    /// A person at a lender that referred an application decides on it.
    Underwrite(Underwriting),
    /// Something is done to a loan.
    Instruct(Instruction),
    /// An instruction is taken back, as if it had never been given.
    Reverse {
        /// Key of the reversal, chosen by the sender.
        key: String,
        /// Key of the instruction.
        of: String,
    },
    /// A lender sells all it holds to another, loan by loan.
    ReplaceLender(Replacement),
    /// A reference rate becomes known.
    Fix {
        /// Name of the reference rate.
        index: String,
        /// First day on which it applies.
        day: Day,
        /// Yearly rate.
        rate: Rate,
    },
    /// Writes a loan off by decision, before the agreement's day comes.
    ChargeOff {
        /// The application whose loan it is.
        application: String,
    },
    /// A slice of a limit goes to another book: room that is free here is free here no more.
    SendSlice(Slice),
    /// A slice that another book sent comes in: its room is room of this book.
    ReceiveSlice {
        /// The slice, under the key by which it was sent; its book is the one that sent it.
        slice: Slice,
        /// Business date on which it was sent.
        sent_on: Day,
    },
    /// Loans that are over and in an archive leave the book's memory.
    Archive(Archiving),
    /// Ends the business date.
    CloseDay {
        /// The business date.
        day: Day,
    },
}

/// Most bytes of documents that are signed together. With what else their event has, 128 bytes at
/// most, they fit into a batch of the journal.
pub const MOST_DOCUMENTS: usize = 512 * 1024 - 128;

/// Most bytes of a text in an application, and of a name that comes with a command.
pub const LONGEST_TEXT: usize = 1_000;

/// Most bytes that the values of an application take together: in its event, and in the list of
/// who is shown which part of it. What else is there fits into the rest of a batch.
pub const MOST_VALUES: usize = 500_000;

/// The documents of a cooperation, as text. They go into the journal as they are.
#[derive(Clone, Debug, PartialEq, Eq, minicbor::Encode, minicbor::Decode)]
#[cbor(array)]
pub struct Documents {
    /// The agreement (TOML).
    #[n(0)]
    pub agreement: String,
    /// The lenders' policies (TOML), in any order.
    #[n(1)]
    pub policies: Vec<String>,
    /// The rulebook that the agreement names (TOML).
    #[n(2)]
    pub rulebook: Option<String>,
    /// The calendar of business days (TOML); without one, all days but weekends.
    #[n(3)]
    pub calendar: Option<String>,
}

impl Documents {
    /// How many bytes they have together; at most [`MOST_DOCUMENTS`] are signed.
    pub fn bytes(&self) -> usize {
        let others = [&self.rulebook, &self.calendar];
        let others = others.into_iter().flatten();
        let texts = [&self.agreement].into_iter().chain(&self.policies);
        texts.chain(others).map(String::len).sum()
    }
}

/// An application for a loan, with what each lender said to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Application {
    /// Key of the application, chosen by the sender; also names the loan.
    pub key: String,
    /// Key of the borrower; without one, nobody else's loans count as this borrower's.
    pub borrower: Option<String>,
    /// Values of the fields, standard fields first.
    pub values: Vec<Value>,
    /// The lenders' decisions, in the agreement's leftover order.
    pub decisions: Vec<Decision>,
}

/// What a person at a lender decides on an application that its policy referred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underwriting {
    /// The application.
    pub application: String,
    /// The lender, by its party id.
    pub lender: String,
    /// Approved up to an amount at a rate, or declined with reasons of the lender's policy.
    pub outcome: Outcome,
}

/// Something that is done to a loan: a payment of the borrower, a change of its plan, a sale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Key of the instruction, chosen by the sender.
    pub key: String,
    /// The application whose loan it is about.
    pub application: String,
    /// Value date.
    pub value_date: Day,
    /// What is done. A charge-off is a command of its own.
    pub action: Action,
}

/// A lender that leaves: all it holds is sold on the business date.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replacement {
    /// Key; that of each sale is made of it and of its application's.
    pub key: String,
    /// Party that leaves.
    pub seller: String,
    /// Party that takes its place.
    pub buyer: String,
    /// Price of the principal; 100% is par.
    pub price: Rate,
}

/// Room of a limit on its way between two books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Key of the slice, chosen where it is sent; it is received under the same.
    pub key: String,
    /// Clause of the limit.
    pub clause: String,
    /// The region or borrower, if the limit is for each.
    pub subject: Option<String>,
    /// The other book.
    pub book: String,
    /// How much room.
    pub amount: Amount,
}

/// Loans that were written to an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Archiving {
    /// Name of the archive.
    pub name: String,
    /// Places of the loans, in order: some of [`super::Book::due_for_archive`], at most
    /// [`super::MOST_AT_ONCE`].
    pub loans: Vec<u32>,
}

/// What became of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was carried out.
    Done,
    /// It had been carried out before, word for word the same.
    Known,
}

/// Why a command was not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nothing is signed yet.
    #[error("no agreement is signed; sign one first")]
    NotSigned,
    /// The documents are too long.
    #[error(
        "the documents have {bytes} bytes together, at most {MOST_DOCUMENTS} can be signed; shorten them by {}", .bytes - MOST_DOCUMENTS
    )]
    LongDocuments {
        /// Their bytes.
        bytes: usize,
    },
    /// The documents cannot be read.
    #[error("the documents are not valid: {}", .0.first().map(ToString::to_string).unwrap_or_default())]
    InvalidDocuments(Vec<Problem>),
    /// The version is in force with other content.
    #[error("version {version} of agreement `{id}` is signed with other content; a change needs version {}", version + 1)]
    VersionUsed {
        /// The agreement.
        id: String,
        /// The version.
        version: u32,
    },
    /// The version does not follow the last one.
    #[error("version {version} does not follow version {last}, the last one signed")]
    VersionOutOfOrder {
        /// The version sent.
        version: u32,
        /// The last version signed.
        last: u32,
    },
    /// The new version is not an amendment of the signed agreement.
    #[error("{0}; an amendment keeps id, currency and parties, and may add parties at the end")]
    NotAnAmendment(String),
    /// A day close was interrupted.
    #[error("the close of {0} was interrupted; close the day first")]
    Closing(Day),
    /// A lender's decision cannot be meant.
    #[error(
        "decision {0} is not usable: a rate lies between 0% and 100%, an amount above zero, a reason in the policy's list, and there are no more than that has"
    )]
    BadDecision(usize),
    /// A value is too long.
    #[error("`{name}` is too long: it has {bytes} bytes; a text has at most {LONGEST_TEXT}")]
    LongValue {
        /// What it is the value of.
        name: String,
        /// Its bytes.
        bytes: usize,
    },
    /// The values of an application are too long together.
    #[error(
        "the application's {count} values take {bytes} bytes together, at most {MOST_VALUES} are possible; shorten its texts"
    )]
    LongApplication {
        /// How many values there are.
        count: usize,
        /// Bytes that they take.
        bytes: usize,
    },
    /// The key was used before for something else.
    #[error("key `{0}` was used before with other content; use a new key")]
    KeyUsed(String),
    /// A key is empty or too long.
    #[error(
        "key `{0}` is not usable; an application's key has 1 to 64 characters, an instruction's up to 80"
    )]
    BadKey(String),
    /// The application does not fit the agreement.
    #[error("the application has {found} values, the agreement asks for {expected}")]
    WrongValues {
        /// Values sent.
        found: usize,
        /// Values of the agreement.
        expected: usize,
    },
    /// A standard field is missing or not of its kind.
    #[error("`{0}` is missing or not of its kind; every application states it")]
    MissingField(&'static str),
    /// The amount is zero, negative or too large.
    #[error("the amount must be above zero and at most 10,000,000,000,000.00")]
    BadAmount,
    /// There is no such application.
    #[error("there is no application `{0}`")]
    UnknownApplication(String),
    /// The application has no open offer.
    #[error("application `{application}` has no open offer: it is {state}")]
    NoOffer {
        /// The application.
        application: String,
        /// Its state.
        state: &'static str,
    },
    /// The application does not wait for a person.
    #[error("application `{application}` waits for no decision: it is {state}")]
    NoReferral {
        /// The application.
        application: String,
        /// Its state.
        state: &'static str,
    },
    /// The lender has decided when the application came in.
    #[error(
        "application `{application}` was not referred by `{lender}`; it waits for another lender"
    )]
    NotReferredBy {
        /// The application.
        application: String,
        /// The lender.
        lender: String,
    },
    /// A person at the lender has decided otherwise before.
    #[error(
        "`{lender}` has decided on application `{application}` before, and otherwise; a decision stands"
    )]
    AlreadyUnderwritten {
        /// The application.
        application: String,
        /// The lender.
        lender: String,
    },
    /// A person's decision is outside of what the lender's policy lets people decide.
    #[error("the decision is not possible: {what}")]
    BeyondPolicy {
        /// What of the decision it is: `outcome`, `maximum`, `rate` or `reasons`.
        field: &'static str,
        /// What is wrong, and what to decide.
        what: String,
    },
    /// The agreement in force does not allow the offer that a person's decision would make.
    #[error(
        "the agreement in force does not allow this offer: {0}; approve less if that helps, or decline and have the application sent anew"
    )]
    BarredNow(String),
    /// The application has no loan.
    #[error("application `{application}` has no loan: it is {state}")]
    NoLoan {
        /// The application.
        application: String,
        /// Its state.
        state: &'static str,
    },
    /// The loan is repaid.
    #[error("loan `{0}` is repaid; only chargebacks and reversals are possible")]
    LoanRepaid(String),
    /// The loan is written off.
    #[error("loan `{0}` is written off; only payments, chargebacks and reversals are possible")]
    LoanChargedOff(String),
    /// The amount does not settle the loan.
    #[error(
        "{amount} does not settle the loan: on {day} the payoff is {payoff}; send that, or prepay"
    )]
    ShortOfPayoff {
        /// The amount sent.
        amount: Money,
        /// What settles the loan.
        payoff: Money,
        /// The value date.
        day: Day,
    },
    /// The amount is above what there is of it.
    #[error("{amount} is more than {what}, which is {most} on {day}; send at most that")]
    TooMuch {
        /// The amount sent.
        amount: Money,
        /// What it is compared with.
        what: &'static str,
        /// How much of it there is.
        most: Money,
        /// The value date.
        day: Day,
    },
    /// The product does not know the action.
    #[error("{action} is not possible: {reason}")]
    NotPossible {
        /// Name of the action.
        action: &'static str,
        /// Why not, and what to do.
        reason: &'static str,
    },
    /// The new due date cannot be.
    #[error(
        "the due date cannot move from {due} to {to}; choose a day after {after}, at most one cycle after {due}"
    )]
    BadDueDate {
        /// The due date that moves.
        due: Day,
        /// Where it should move to.
        to: Day,
        /// The value date, or the due date before.
        after: Day,
    },
    /// A rate or part that cannot be.
    #[error("{what} of {rate} is not possible; it must lie between {least} and {most}")]
    BadRate {
        /// What it is.
        what: &'static str,
        /// The rate sent.
        rate: Rate,
        /// Least possible.
        least: Rate,
        /// Most possible.
        most: Rate,
    },
    /// There is no such party, or it cannot be what it should.
    #[error("`{party}` cannot {what}")]
    BadParty {
        /// The party.
        party: String,
        /// What it cannot do, and why.
        what: &'static str,
    },
    /// There is no such instruction.
    #[error("there is no instruction `{0}`; name the key under which it was sent")]
    UnknownInstruction(String),
    /// The instruction is no longer in effect.
    #[error(
        "instruction `{0}` cannot be reversed: it is reversed already, or is itself a reversal; send it again under a new key to have it back"
    )]
    NotReversible(String),
    /// A reference rate for a day that is over.
    #[error(
        "the {index} of {day} came too late: loans may have been set by the one before; the last day possible is {business_date}"
    )]
    LateFixing {
        /// Name of the reference rate.
        index: String,
        /// Its day.
        day: Day,
        /// The business date.
        business_date: Day,
    },
    /// The value date lies before the disbursement.
    #[error(
        "value date {value_date} lies before the disbursement on {disbursed_on}; send that day or a later one"
    )]
    BeforeDisbursement {
        /// The value date.
        value_date: Day,
        /// The disbursement.
        disbursed_on: Day,
    },
    /// The value date lies after the business date.
    #[error(
        "value date {value_date} lies after the business date {business_date}; send that day or an earlier one"
    )]
    InFuture {
        /// The value date.
        value_date: Day,
        /// The business date.
        business_date: Day,
    },
    /// The loan is archived.
    #[error(
        "loan `{0}` is repaid and archived; nothing can be done to it any more, `tandem history` shows it"
    )]
    LoanArchived(String),
    /// The instruction was given to a loan that is archived.
    #[error("instruction `{0}` belongs to a loan that is archived; it cannot be reversed any more")]
    InstructionArchived(String),
    /// Loans that cannot be archived.
    #[error("nothing is archived: {0}")]
    NotArchivable(String),
    /// A slice that cannot be.
    #[error("the slice is not possible: {0}")]
    BadSlice(String),
    /// A slice that was sent on a day which is still to come here.
    #[error(
        "slice `{key}` was sent on {day}, and the business date is {business_date}; receive it once that day is open"
    )]
    SliceTooEarly {
        /// Its key.
        key: String,
        /// The day on which it was sent.
        day: Day,
        /// The business date.
        business_date: Day,
    },
    /// Another book decides the application.
    #[error(
        "application `{key}` belongs to part {part} of the split agreement, and this book is part {own}; send it to the book of that part"
    )]
    OtherPart {
        /// The application.
        key: String,
        /// The part that it belongs to.
        part: u16,
        /// The part of this book.
        own: u16,
    },
    /// The day is not the business date.
    #[error("{day} cannot be closed: the business date is {business_date}")]
    NotTheBusinessDate {
        /// The day sent.
        day: Day,
        /// The business date.
        business_date: Day,
    },
}

impl Refusal {
    /// Stable code for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::NotSigned => "not_signed",
            Refusal::LongDocuments { .. } => "long_documents",
            Refusal::InvalidDocuments(_) => "invalid_documents",
            Refusal::VersionUsed { .. } => "version_used",
            Refusal::VersionOutOfOrder { .. } => "version_out_of_order",
            Refusal::NotAnAmendment(_) => "not_an_amendment",
            Refusal::Closing(_) => "closing",
            Refusal::BadDecision(_) => "bad_decision",
            Refusal::LongValue { .. } => "long_value",
            Refusal::LongApplication { .. } => "long_application",
            Refusal::KeyUsed(_) => "key_used",
            Refusal::BadKey(_) => "bad_key",
            Refusal::WrongValues { .. } => "wrong_values",
            Refusal::MissingField(_) => "missing_field",
            Refusal::BadAmount => "bad_amount",
            Refusal::UnknownApplication(_) => "unknown_application",
            Refusal::NoOffer { .. } => "no_offer",
            Refusal::NoReferral { .. } => "no_referral",
            Refusal::NotReferredBy { .. } => "not_referred_by",
            Refusal::AlreadyUnderwritten { .. } => "already_underwritten",
            Refusal::BeyondPolicy { .. } => "beyond_policy",
            Refusal::BarredNow(_) => "barred_now",
            Refusal::NoLoan { .. } => "no_loan",
            Refusal::LoanRepaid(_) => "loan_repaid",
            Refusal::LoanChargedOff(_) => "loan_charged_off",
            Refusal::ShortOfPayoff { .. } => "short_of_payoff",
            Refusal::TooMuch { .. } => "too_much",
            Refusal::NotPossible { .. } => "not_possible",
            Refusal::BadDueDate { .. } => "bad_due_date",
            Refusal::BadRate { .. } => "bad_rate",
            Refusal::BadParty { .. } => "bad_party",
            Refusal::UnknownInstruction(_) => "unknown_instruction",
            Refusal::NotReversible(_) => "not_reversible",
            Refusal::LateFixing { .. } => "late_fixing",
            Refusal::BeforeDisbursement { .. } => "before_disbursement",
            Refusal::InFuture { .. } => "in_future",
            Refusal::LoanArchived(_) => "loan_archived",
            Refusal::InstructionArchived(_) => "instruction_archived",
            Refusal::NotArchivable(_) => "not_archivable",
            Refusal::BadSlice(_) => "bad_slice",
            Refusal::SliceTooEarly { .. } => "slice_too_early",
            Refusal::OtherPart { .. } => "other_part",
            Refusal::NotTheBusinessDate { .. } => "not_the_business_date",
        }
    }
}
