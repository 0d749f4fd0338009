//! What goes over the wire. Amounts are whole minor units with their currency (ISO 4217), rates
//! and dates are texts: `12.9%`, yearly; `2024-03-15`, the agreement's business calendar.

use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value as Json;
use tandem_domain::money::{Amount, Currency};
use utoipa::ToSchema;

use crate::access::Check;
use crate::webhooks::Scheme;

/// Money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    deny_unknown_fields,
    expecting = r#"an object like {"amount": 1234, "currency": "CNY"}"#
)]
pub struct Money {
    /// Whole minor units: 1234 is 12.34 CNY.
    pub amount: i64,
    /// Currency, ISO 4217.
    #[schema(example = "CNY", pattern = "^[A-Z]{3}$")]
    pub currency: String,
}

impl Money {
    /// An amount in a currency.
    pub fn of(amount: Amount, currency: Currency) -> Money {
        Money {
            amount: amount.0,
            currency: currency.code().to_owned(),
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The items.
    pub items: Vec<T>,
    /// Cursor of the next page, if there is one; the `Link` header has its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An agreement, as far as it concerns the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Agreement {
    /// Id, also the name of its book.
    pub id: String,
    /// Title.
    pub title: String,
    /// Version in effect.
    pub version: u32,
    /// Day from which it is in effect.
    #[schema(format = Date)]
    pub effective_from: String,
    /// Currency of all amounts, ISO 4217.
    pub currency: String,
    /// The day that is open; it moves when the day is closed.
    #[schema(format = Date)]
    pub business_date: String,
    /// The caller's party.
    pub party: String,
    /// All parties.
    pub parties: Vec<Party>,
    /// Least amount of a loan.
    pub minimum_amount: Money,
    /// Most of it.
    pub maximum_amount: Money,
    /// Terms that are offered, in months.
    pub terms_months: Vec<u16>,
    /// Fields of an application beyond `amount`, `term_months` and `region`.
    pub fields: Vec<Field>,
}

/// A party of an agreement.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Party {
    /// Id.
    pub id: String,
    /// Name.
    pub name: String,
    /// What it does: `lead`, `lender`, `platform`, `servicer`, `guarantor`.
    pub roles: Vec<String>,
}

/// A field of an application.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Field {
    /// Name.
    pub name: String,
    /// `money`, `rate`, `integer`, `date` or `text`.
    pub kind: String,
    /// True if the caller's party may see its values.
    pub visible: bool,
}

/// A limit, and how much of it is used.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Limit {
    /// Clause of the agreement.
    pub clause: String,
    /// The lender it binds; without one, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lender: Option<String>,
    /// What is added up: `day`, `total`, `region`, `borrower`, `partner`.
    pub per: String,
    /// The one region that it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The cap in this book: slices of the limit that came from other books or went to them count.
    pub cap: Money,
    /// What is used of it; where each region or borrower counts by itself, there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<Money>,
}

/// Reads a key, which stands in tables, files and logs as it is.
fn key<'de, D: Deserializer<'de>>(of: D) -> Result<String, D::Error> {
    let key = String::deserialize(of)?;
    match key.chars().any(char::is_control) {
        true => Err(D::Error::custom(
            "a key has no control characters, such as line breaks and tabs",
        )),
        false => Ok(key),
    }
}

fn some_key<'de, D: Deserializer<'de>>(of: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    struct Key(#[serde(deserialize_with = "key")] String);
    let found = Option::<Key>::deserialize(of)?;
    Ok(found.map(|Key(key)| key))
}

/// An application as it is submitted.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplicationRequest {
    /// The sender's key of the application, which also names the loan; 1 to 64 characters.
    #[schema(min_length = 1, max_length = 64, example = "A-2024-000123")]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// The sender's key of the borrower; without one, nobody else's loans count as this
    /// borrower's.
    #[serde(
        default,
        deserialize_with = "some_key",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(min_length = 1, max_length = 64)]
    pub borrower: Option<String>,
    /// Amount asked for.
    pub amount: Money,
    /// Term in months.
    #[schema(minimum = 1)]
    pub term_months: u16,
    /// Region, as in the agreement's territories.
    #[schema(example = "NJ")]
    pub region: String,
    /// The agreement's own fields by name: `money` as an object like `amount`, `rate` and `date`
    /// as text, `integer` as a number, `text` as text; null or absent where not known.
    #[serde(default)]
    pub fields: BTreeMap<String, Json>,
}

/// An application and what became of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Application {
    /// The sender's key.
    pub reference: String,
    /// The agreement.
    pub agreement: String,
    /// Version of the agreement that governs it.
    pub agreement_version: u32,
    /// `declined`, `referred`, `offered`, `lapsed`, `withdrawn` or `disbursed`.
    pub state: String,
    /// Business date of the decision.
    #[schema(format = Date)]
    pub decided_on: String,
    /// Values that the caller may see.
    pub fields: BTreeMap<String, Json>,
    /// Why it was declined, in words that an applicant may read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The decisions that the caller may see: a lender's own.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub decisions: Vec<Decision>,
    /// For whose people it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referral: Option<Referral>,
    /// What is offered, or was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<Offer>,
}

/// An application waits for people at lenders that referred it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Referral {
    /// Lenders whose people have not decided: the platform sees all, a lender itself.
    pub lenders: Vec<String>,
    /// Last business date on which they can.
    #[schema(format = Date)]
    pub valid_to: String,
}

/// What a person at a lender decides on an application that waits for it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnderwritingRequest {
    /// Approved or declined.
    pub outcome: UnderwritingOutcome,
    /// To approve: the most that the lender funds; no more than what its policy would offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Money>,
    /// To approve: its yearly rate; no less than its policy's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "12.5%")]
    pub rate: Option<String>,
    /// To decline: codes of its policy, one at least.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// What a person decides.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UnderwritingOutcome {
    /// The lender funds up to `maximum` at `rate`.
    Approve,
    /// It does not, for `reasons`.
    Decline,
}

/// What a lender decided.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Decision {
    /// The lender.
    pub lender: String,
    /// Version of its policy.
    pub policy_version: String,
    /// `approve`, `decline` or `refer`.
    pub outcome: String,
    /// Points of its scorecard.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub score: Option<i64>,
    /// The most that it would fund.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum: Option<Money>,
    /// Its yearly rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Why it declines or refers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<Reason>,
    /// The clause or rule that keeps it out though it would lend.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub barred_by: Option<String>,
}

/// A reason with its stable code.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Reason {
    /// Code.
    pub code: String,
    /// In words that an applicant may read.
    pub reason: String,
}

/// An offer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Offer {
    /// Amount.
    pub amount: Money,
    /// The borrower's yearly rate.
    pub rate: String,
    /// Last business date on which it can be taken.
    #[schema(format = Date)]
    pub valid_to: String,
    /// Who funds it.
    pub parts: Vec<Part>,
}

/// A lender's part in a loan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Part {
    /// The lender.
    pub lender: String,
    /// What it funds.
    pub amount: Money,
    /// The yearly rate that it asks.
    pub rate: String,
}

/// A loan as it stands.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Loan {
    /// Key of the application that it came from.
    pub reference: String,
    /// Version of the agreement that governs it.
    pub agreement_version: u32,
    /// `active`, `repaid` or `charged_off`.
    pub status: String,
    /// Class by days past due, while it is active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// Days since the oldest unpaid due date.
    pub days_past_due: i32,
    /// Value date of the disbursement.
    #[schema(format = Date)]
    pub disbursed_on: String,
    /// Principal disbursed at first.
    pub amount: Money,
    /// Yearly rate at disbursement.
    pub rate: String,
    /// Term in months.
    pub term_months: u16,
    /// Principal outstanding.
    pub outstanding: Money,
    /// What the borrower owes by the end of the business date.
    pub amount_due: Money,
    /// Next due date.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    pub next_due: Option<String>,
    /// What has become of it so far.
    pub totals: Totals,
    /// What each lender has of it, and had.
    pub parts: Vec<Holding>,
}

/// Sums since disbursement.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Totals {
    /// Received from the borrower, less what was charged back.
    pub received: Money,
    /// Of it, principal.
    pub principal: Money,
    /// Of it, interest.
    pub interest: Money,
    /// Of it, fees.
    pub fees: Money,
    /// Of it, penalty interest.
    pub penalty: Money,
    /// Held for the borrower.
    pub held: Money,
    /// Given back to the borrower.
    pub refunded: Money,
    /// Principal written off.
    pub charged_off: Money,
    /// Paid by the guarantor.
    pub compensated: Money,
    /// Principal received after it was written off.
    pub recovered: Money,
}

/// What a lender has of a loan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Holding {
    /// The lender.
    pub lender: String,
    /// Principal outstanding.
    pub outstanding: Money,
    /// Principal received.
    pub principal: Money,
    /// Interest received.
    pub interest: Money,
    /// Fees received.
    pub fees: Money,
    /// Penalty interest received.
    pub penalty: Money,
    /// Service fee paid.
    pub service_fee: Money,
    /// Principal written off.
    pub charged_off: Money,
    /// Compensation received from the guarantor.
    pub compensated: Money,
    /// Recoveries received.
    pub recovered: Money,
}

/// An instalment, due or coming.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Instalment {
    /// Due date.
    #[schema(format = Date)]
    pub due: String,
    /// `overdue`, or `coming` as it will fall due if everything is paid in time.
    pub state: String,
    /// Principal to pay.
    pub principal: Money,
    /// Interest to pay.
    pub interest: Money,
    /// Fees to pay.
    pub fees: Money,
    /// Principal outstanding after it; for what is overdue there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<Money>,
}

/// What settles a loan on a day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Quote {
    /// Key of the loan.
    pub reference: String,
    /// The day.
    #[schema(format = Date)]
    pub on: String,
    /// All that is to be paid.
    pub total: Money,
    /// Of it, principal.
    pub principal: Money,
    /// Of it, interest to the day.
    pub interest: Money,
    /// Of it, penalty interest to the day.
    pub penalty: Money,
    /// Of it, fees.
    pub fees: Money,
    /// Of it, the fee on the prepayment.
    pub prepayment_fee: Money,
    /// Held for the borrower already, and subtracted.
    pub held: Money,
}

/// A payment of the borrower that the servicer received.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentRequest {
    /// The sender's key of the payment, 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80, example = "P-2024-000777")]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// Key of the loan; in a bulk stream only, elsewhere the address names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loan: Option<String>,
    /// What was received.
    pub amount: Money,
    /// Day on which it was received [default: the business date].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Date, example = "2024-03-15")]
    pub value_date: Option<String>,
}

/// Anything else that is done to a loan.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InstructionRequest {
    /// The sender's key of the instruction, 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80)]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// What to do, in words, as for `tandem instruct`: `waive fee 50.00 CNY`, `pause 2 interest`,
    /// `sell 50% river cloud 98%`, `charge-off`.
    #[schema(example = "waive fee 50.00 CNY")]
    pub instruction: String,
    /// Value date [default: the business date].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    pub value_date: Option<String>,
}

/// That an instruction is taken back.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReversalRequest {
    /// The sender's key of the reversal, 1 to 80 characters.
    #[schema(min_length = 1, max_length = 80)]
    #[serde(deserialize_with = "key")]
    pub reference: String,
    /// Key of the payment or instruction.
    pub of: String,
}

/// A person, as its party describes it.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Whatever the party needs to know; nobody else sees it.
    pub data: serde_json::Map<String, Json>,
}

/// That a person's data is kept.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct PersonStored {
    /// What stands for the person in books.
    pub token: String,
}

/// That a person's data was looked at or changed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Access {
    /// When (RFC 3339).
    #[schema(format = DateTime)]
    pub at: String,
    /// The client that did it.
    pub client: String,
    /// `stored`, `read` or `erased`.
    pub what: String,
}

/// That a business date is closed.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseRequest {
    /// The last day to close: the business date, or in a sandbox a later one.
    #[schema(format = Date, example = "2024-03-15")]
    pub day: String,
}

/// Which node is to have the book.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HandoverRequest {
    /// Name of the node.
    pub node: String,
    /// Where callers reach it.
    #[schema(example = "https://b.example.com")]
    pub address: String,
}

/// What a day close left.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Close {
    /// The day that was closed.
    #[schema(format = Date)]
    pub day: String,
    /// The day that is open now.
    #[schema(format = Date)]
    pub business_date: String,
    /// Active loans.
    pub active_loans: u32,
    /// Principal outstanding.
    pub outstanding: Money,
    /// Digest of the book, BLAKE3 in hexadecimal digits.
    pub digest: String,
}

/// What became of a payment, an instruction, or a line of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Receipt {
    /// Its key.
    pub reference: String,
    /// `done`, or `known` if it had been carried out before, word for word the same; `unmatched` if it
    /// is a sale that waits for its other side to instruct the same.
    pub outcome: String,
}

/// A sale that waits for one of its sides to instruct what the other has.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct UnmatchedSale {
    /// The caller's key, if the caller has instructed it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Key of the loan.
    pub loan: String,
    /// Id of the lender that sells.
    pub seller: String,
    /// Id of the lender that buys.
    pub buyer: String,
    /// Id of the side that it waits for.
    pub waits_for: String,
    /// Part of what the seller holds.
    pub part: String,
    /// Price of the principal.
    pub price: String,
    /// The sale in words: whoever agrees instructs the same, with the same value date.
    #[schema(example = "sell 50.00% river cloud 98.00%")]
    pub instruction: String,
    /// Value date.
    #[schema(format = Date)]
    pub value_date: String,
    /// Last business date on which it waits.
    #[schema(format = Date)]
    pub valid_to: String,
    /// Principal that is sold, as the loan stands now.
    pub outstanding: Money,
    /// Days for which the loan is past due.
    pub days_past_due: i32,
}

/// What became of a line of a stream.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct LineResult {
    /// Number of the line, from 1.
    pub line: u64,
    /// Key of the application or payment, if it could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Status that the same call alone would have had.
    pub status: u16,
    /// State of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// What was wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<crate::problem::Problem>,
}

/// Something that was done to a loan.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Transaction {
    /// Number within the loan; a reversal has that of what it takes back.
    pub number: u32,
    /// Its key, if it came with one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Business date on which it came.
    #[schema(format = Date)]
    pub entered: String,
    /// Date from which it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = Date)]
    pub value_date: Option<String>,
    /// What was done: `repay`, `prepay`, …, `charge off`, `reversal`.
    pub action: String,
    /// The whole of it in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instruction: Option<String>,
    /// Change of what was received.
    pub received: Money,
    /// Change of principal paid.
    pub principal: Money,
    /// Change of interest paid.
    pub interest: Money,
    /// Change of fees paid.
    pub fees: Money,
    /// Change of penalty interest paid.
    pub penalty: Money,
}

/// A line of the caller's ledger.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Posting {
    /// Number of the entry in the book.
    pub entry: u64,
    /// Number of the event that made it.
    pub event: u64,
    /// Business date.
    #[schema(format = Date)]
    pub day: String,
    /// What the entry was made for.
    pub kind: String,
    /// Key of the loan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loan: Option<String>,
    /// Number of the account.
    pub account: u16,
    /// Name of the account.
    pub account_name: String,
    /// The other party of an inter-party account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// Debits are positive, credits negative.
    pub amount: Money,
}

/// Balance of an account of the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Balance {
    /// Number of the account.
    pub account: u16,
    /// Name of the account.
    pub account_name: String,
    /// The other party of an inter-party account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// Debits are positive, credits negative.
    pub balance: Money,
}

/// A line of a statement: an account over some days.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct StatementLine {
    /// Number of the account.
    pub account: u16,
    /// Name of the account.
    pub account_name: String,
    /// The other party of an inter-party account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counterparty: Option<String>,
    /// Balance before the first day.
    pub opening: Money,
    /// Sum of the debits.
    pub debits: Money,
    /// Sum of the credits, as a positive amount.
    pub credits: Money,
    /// Balance after the last day.
    pub closing: Money,
}

/// What a settlement window says of the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Settlement {
    /// The business date whose obligations are settled.
    #[schema(format = Date)]
    pub window: String,
    /// When it is paid.
    #[schema(format = Date)]
    pub settle_on: String,
    /// `planned` or `settled`.
    pub state: String,
    /// What is owed, gross.
    pub obligations: Vec<Transfer>,
    /// What is paid, net.
    pub transfers: Vec<Transfer>,
}

/// An amount that one party pays another.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Transfer {
    /// Who pays.
    pub from: String,
    /// Who receives.
    pub to: String,
    /// How much.
    pub amount: Money,
}

/// An event that concerns the caller.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Event {
    /// Its number in the book; the cursor of the next call.
    pub number: u64,
    /// Stable name, as `loan.disbursed`.
    #[serde(rename = "type")]
    pub type_: String,
    /// Business date.
    #[schema(format = Date)]
    pub day: String,
    /// Key of the application or loan that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Key under which it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Where events are to be sent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookRequest {
    /// Where to.
    #[schema(example = "https://example.com/events")]
    pub url: String,
    /// Names of the events that are wanted, as `loan.disbursed` [default: all].
    #[serde(default)]
    pub events: Vec<String>,
    /// Number of the last event that is not sent [default: the last one there is].
    #[schema(format = "uint64")]
    pub after: Option<u64>,
    /// How they are signed: `v1a` by a key of the webhook's own, `v1` with a shared secret.
    #[serde(default)]
    pub scheme: Scheme,
}

/// Where events are sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Where to.
    pub url: String,
    /// Names of the events that are wanted; none are all.
    pub events: Vec<String>,
    /// How they are signed.
    pub scheme: Scheme,
    /// With `v1a`, verifies what is sent: `whpk_` and an Ed25519 key in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    /// With `v1`, verifies what is sent: `whsec_` and 32 bytes in base64. It is shown once, in the
    /// answer to the call that adds the webhook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// `active` or `disabled`.
    pub state: String,
    /// Why it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An event on its way.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Delivery {
    /// Number of the event.
    pub event: u64,
    /// Name of the event.
    #[serde(rename = "type")]
    pub type_: String,
    /// `pending`, `delivered` or `failed`.
    pub state: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was tried last, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<i64>,
    /// When it is tried next, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_at: Option<i64>,
    /// Status of the last answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// What went wrong last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a sandbox has that others do not.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Sandbox {
    /// What a reference in the body of a call begins with to have something happen.
    pub triggers: Vec<Trigger>,
}

/// What a reference can have happen.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Trigger {
    /// What the reference begins with.
    pub prefix: &'static str,
    /// What happens.
    pub effect: &'static str,
}

/// What is right and wrong about a call.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SignatureCheck {
    /// Whether the call would have passed.
    pub passed: bool,
    /// All checks, in order.
    pub checks: Vec<Check>,
}

/// A step of what is to have happened in a sandbox.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SeedStep {
    /// An application is submitted.
    Application(ApplicationRequest),
    /// The offer to the application with this key is taken.
    Acceptance(String),
    /// All days up to this one are closed, if they are not yet.
    Day(String),
    /// A payment is booked; it names its loan.
    Payment(PaymentRequest),
}

/// What came of a seed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Seeded {
    /// Steps that were carried out.
    pub steps: usize,
    /// The business date after them.
    pub business_date: String,
}
