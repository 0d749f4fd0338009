//! What can be asked of a book, and why it may refuse.

use thiserror::Error;

use crate::calendar::Day;
use crate::document::Problem;
use crate::field::Value;
use crate::money::Amount;
use crate::policy::Decision;

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
    /// Gives an offer back.
    Withdraw {
        /// The application.
        application: String,
    },
    /// Money came in from a borrower.
    Pay(Payment),
    /// Writes a loan off by decision, before the agreement's day comes.
    ChargeOff {
        /// The application whose loan it is.
        application: String,
    },
    /// Ends the business date.
    CloseDay {
        /// The business date.
        day: Day,
    },
}

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

/// Money received from a borrower.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// Key of the payment, chosen by the sender.
    pub key: String,
    /// The application whose loan is paid.
    pub application: String,
    /// Value date.
    pub value_date: Day,
    /// Amount, above zero.
    pub amount: Amount,
    /// True if what is over the amount due reduces the principal at once; otherwise it is held
    /// for the next instalments.
    pub prepay: bool,
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
        "decision {0} is not usable: a rate lies between 0% and 100%, an amount above zero, a reason in the policy's list"
    )]
    BadDecision(usize),
    /// A value is too long.
    #[error("`{0}` is too long; a text has at most 1,000 bytes")]
    LongValue(String),
    /// The key was used before for something else.
    #[error("key `{0}` was used before with other content; use a new key")]
    KeyUsed(String),
    /// A key is empty or too long.
    #[error(
        "key `{0}` is not usable; an application's key has 1 to 64 characters, a payment's up to 80"
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
    /// The application has no loan.
    #[error("application `{application}` has no loan: it is {state}")]
    NoLoan {
        /// The application.
        application: String,
        /// Its state.
        state: &'static str,
    },
    /// The loan is repaid.
    #[error("loan `{0}` is repaid; nothing is owed")]
    LoanRepaid(String),
    /// The value date lies before the disbursement.
    #[error("value date {value_date} lies before the disbursement on {disbursed_on}")]
    BeforeDisbursement {
        /// The value date.
        value_date: Day,
        /// The disbursement.
        disbursed_on: Day,
    },
    /// The value date lies after the business date.
    #[error("value date {value_date} lies after the business date {business_date}")]
    InFuture {
        /// The value date.
        value_date: Day,
        /// The business date.
        business_date: Day,
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
            Refusal::InvalidDocuments(_) => "invalid_documents",
            Refusal::VersionUsed { .. } => "version_used",
            Refusal::VersionOutOfOrder { .. } => "version_out_of_order",
            Refusal::NotAnAmendment(_) => "not_an_amendment",
            Refusal::Closing(_) => "closing",
            Refusal::BadDecision(_) => "bad_decision",
            Refusal::LongValue(_) => "long_value",
            Refusal::KeyUsed(_) => "key_used",
            Refusal::BadKey(_) => "bad_key",
            Refusal::WrongValues { .. } => "wrong_values",
            Refusal::MissingField(_) => "missing_field",
            Refusal::BadAmount => "bad_amount",
            Refusal::UnknownApplication(_) => "unknown_application",
            Refusal::NoOffer { .. } => "no_offer",
            Refusal::NoLoan { .. } => "no_loan",
            Refusal::LoanRepaid(_) => "loan_repaid",
            Refusal::BeforeDisbursement { .. } => "before_disbursement",
            Refusal::InFuture { .. } => "in_future",
            Refusal::NotTheBusinessDate { .. } => "not_the_business_date",
        }
    }
}
