//! Loans: how they stand, and what is done to them.

use std::collections::BTreeSet;

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Deserialize;
use tandem_domain::book::{Answer, Book, Command, Event, Instruction, words};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Own, Status, Totals as Sums, coming};
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;

use super::applications::amount;
use super::books::posting;
use super::list::{Cursor, Listed, PageQuery, known};
use super::shape::{
    Holding, Instalment, InstructionRequest, List, Loan, Money, PaymentRequest, Posting, Quote,
    Receipt, ReversalRequest, Totals, Transaction,
};
use super::view::{Role, Seen, View};
use super::{Api, Body, Here, Params};
use crate::problem::{self, Problem};
use crate::read::{EventRow, Page, PostingFilter};
use crate::sales::{self, Order};

/// One loan.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/loans/{reference}", tag = "loans",
    params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "getLoan", security(("oauth" = ["loans:read"])),
    responses((status = 200, body = Loan)))]
pub(super) async fn get(here: Here) -> Result<Json<Loan>, Problem> {
    here.may("loans:read")?;
    show(&here.view, &here.reference).map(Json)
}

/// A loan as a party sees it.
pub fn show(view: &View, reference: &str) -> Result<Loan, Problem> {
    view.look(|seen| {
        let place = seen.find_loan(reference)?;
        Ok(loan(seen, place))
    })
}

fn loan(seen: &Seen<'_>, place: u32) -> Loan {
    let book = seen.book;
    let loan = book.loan_in(place);
    let agreement = &book.version_of(&loan).agreement;
    let (position, totals, terms) = (&loan.position, &loan.position.totals, book.terms(&loan));
    let money = |amount: Amount| Money::of(amount, agreement.currency());
    let active = position.status == Status::Active;
    let class = agreement.file.class.get(usize::from(loan.class));
    let split = loan.split(agreement);
    // Lenders that could hold a part and never did take none.
    let holders = split.holders.iter().map(|party| (party, split.own(party)));
    let holders = holders.filter(|(_, own)| *own != Own::default());
    let parts = holders.map(|(party, own)| Holding {
        lender: seen.name(party).to_owned(),
        outstanding: money(own.outstanding),
        principal: money(own.principal),
        interest: money(own.interest),
        fees: money(own.fees),
        penalty: money(own.penalty),
        service_fee: money(own.service_fee),
        charged_off: money(own.charged_off),
        compensated: money(own.compensated),
        recovered: money(own.recovered),
    });
    let today = book.business_date();
    let due = book.position_on(&loan, today);
    Loan {
        reference: book.key_of(&loan).to_owned(),
        agreement_version: agreement.file.version,
        status: status(position.status).to_owned(),
        class: class.filter(|_| active).map(|class| class.name.clone()),
        days_past_due: position.days_past_due(today.previous()),
        disbursed_on: loan.disbursed_on.to_string(),
        amount: money(loan.principal),
        rate: loan.rate.to_string(),
        term_months: loan.months,
        outstanding: money(position.outstanding()),
        amount_due: money(due.amount_due(&terms, today)),
        next_due: position.next_due(&terms).map(|day| day.to_string()),
        totals: Totals {
            received: money(totals.received),
            principal: money(totals.principal),
            interest: money(totals.interest),
            fees: money(totals.all_fees()),
            penalty: money(totals.penalty),
            held: money(totals.held()),
            refunded: money(totals.refunded),
            charged_off: money(totals.charged_off),
            compensated: money(totals.compensated),
            recovered: money(totals.recovered),
        },
        parts: parts.collect(),
    }
}

const STATUSES: [Status; 3] = [Status::Active, Status::Repaid, Status::ChargedOff];

fn status(status: Status) -> &'static str {
    match status {
        Status::Active => "active",
        Status::Repaid => "repaid",
        Status::ChargedOff => "charged_off",
    }
}

/// Which loans.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only those of this status: `active`, `repaid`, `charged_off`.
    status: Option<String>,
    /// Only those of this class.
    class: Option<String>,
    /// Where the page begins, as the last page said.
    cursor: Option<String>,
    /// Items on the page, 1 to 200 [default: 50].
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Loans, newest first.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/loans", tag = "loans",
    params(("agreement" = String, Path,), Filter),
    operation_id = "listLoans", security(("oauth" = ["loans:read"])),
    responses((status = 200, body = List<Loan>)))]
pub(super) async fn list(
    here: Here,
    Params(filter): Params<Filter>,
) -> Result<Listed<Loan>, Problem> {
    here.may("loans:read")?;
    let page = PageQuery::new(filter.cursor.as_deref(), filter.limit)?;
    known("status", filter.status.as_deref(), STATUSES.map(status))?;
    let (loans, next) = here.view.look(|seen| {
        let versions = seen.book.versions().iter();
        let classes = versions.flat_map(|version| &version.agreement.file.class);
        let classes: BTreeSet<_> = classes.map(|class| class.name.as_str()).collect();
        known("class", filter.class.as_deref(), classes)?;
        let (places, next) = page.newest_first(seen.book.loan_count(), |place| {
            seen.loan(place) && passes(seen.book, place, &filter)
        });
        let loans: Vec<_> = places.into_iter().map(|place| loan(seen, place)).collect();
        Ok::<_, Problem>((loans, next))
    })?;
    Ok(here.list(loans, next.map(Cursor::place)))
}

fn passes(book: &Book, place: u32, filter: &Filter) -> bool {
    // What is archived is not in memory.
    if filter.status.is_none() && filter.class.is_none() {
        return !book.is_archived(place);
    }
    let Some(loan) = book.loan_at(place) else {
        return false;
    };
    let agreement = &book.version_of(&loan).agreement;
    let class = agreement.file.class.get(usize::from(loan.class));
    let of_class = |wanted: &String| {
        loan.position.status == Status::Active && class.is_some_and(|class| class.name == *wanted)
    };
    filter
        .status
        .as_ref()
        .is_none_or(|wanted| status(loan.position.status) == wanted)
        && filter.class.as_ref().is_none_or(of_class)
}

/// What a loan's borrower has still to pay: what is overdue, then what is coming.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/loans/{reference}/schedule", tag = "loans",
    params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "getSchedule", security(("oauth" = ["loans:read"])),
    responses((status = 200, body = Vec<Instalment>)))]
pub(super) async fn schedule(here: Here) -> Result<Json<Vec<Instalment>>, Problem> {
    here.may("loans:read")?;
    plan(&here.view, &here.reference).map(Json)
}

/// What a loan's borrower has still to pay.
pub(crate) fn plan(view: &View, reference: &str) -> Result<Vec<Instalment>, Problem> {
    view.look(|seen| {
        let loan = seen.book.loan_in(seen.find_loan(reference)?);
        let terms = seen.book.terms(&loan);
        let currency = seen.book.version_of(&loan).agreement.currency();
        let money = |amount: Amount| Money::of(amount, currency);
        let overdue = loan.position.due.iter().map(|due| Instalment {
            due: due.day.to_string(),
            state: "overdue".to_owned(),
            principal: money(due.principal),
            interest: money(due.interest),
            fees: money(due.fee + due.instalment_fee + due.prepayment_fee),
            balance: None,
        });
        let coming = coming(&terms, &loan.position)
            .into_iter()
            .map(|instalment| Instalment {
                due: instalment.day.to_string(),
                state: "coming".to_owned(),
                principal: money(instalment.principal),
                interest: money(instalment.interest),
                fees: money(instalment.fee),
                balance: Some(money(instalment.balance)),
            });
        Ok(overdue.chain(coming).collect())
    })
}

/// On which day.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OnDay {
    /// The day [default: the business date].
    #[param(format = Date)]
    on: Option<String>,
}

/// What settles a loan on a day, if nothing else is paid before.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/loans/{reference}/quote", tag = "loans",
    params(("agreement" = String, Path,), ("reference" = String, Path,), OnDay),
    operation_id = "getQuote", security(("oauth" = ["loans:read"])),
    responses((status = 200, body = Quote)))]
pub(super) async fn quote(
    here: Here,
    Params(query): Params<OnDay>,
) -> Result<Json<Quote>, Problem> {
    here.may("loans:read")?;
    let on = query
        .on
        .as_deref()
        .map(|text| day(text, "query/on"))
        .transpose()?;
    here.view.look(|seen| {
        let loan = seen.book.loan_in(seen.find_loan(&here.reference)?);
        let today = seen.book.business_date();
        let on = on.unwrap_or(today);
        if on < today {
            let message =
                format!("{on} is over: the business date is {today}; ask for it or later");
            return Err(Problem::field("query/on", message));
        }
        let at = seen.book.position_on(&loan, on);
        if at.status != Status::Active {
            let message = format!(
                "nothing is left to settle: the loan is {}",
                status(at.status)
            );
            return Err(Problem::new(problem::STATE, message));
        }
        let payoff = at.payoff(&seen.book.terms(&loan), on);
        let currency = seen.book.version_of(&loan).agreement.currency();
        let money = |amount: Amount| Money::of(amount, currency);
        Ok(Json(Quote {
            reference: here.reference.clone(),
            on: on.to_string(),
            total: money(payoff.total()),
            principal: money(payoff.principal),
            interest: money(payoff.interest),
            penalty: money(payoff.penalty),
            fees: money(payoff.fees),
            prepayment_fee: money(payoff.prepayment_fee),
            held: money(payoff.held),
        }))
    })
}

pub(super) fn day(text: &str, pointer: &str) -> Result<Day, Problem> {
    text.parse()
        .map_err(|error| Problem::field(pointer, format!("{error}")))
}

/// Books a payment of the borrower.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/loans/{reference}/payments", tag = "loans",
    params(("agreement" = String, Path,), ("reference" = String, Path,)),
    request_body = PaymentRequest,
    operation_id = "bookPayment", security(("oauth" = ["payments:write"])),
    responses((status = 201, body = Receipt)))]
pub(super) async fn pay(
    here: Here,
    Body(mut payment): Body<PaymentRequest>,
) -> Result<impl IntoResponse, Problem> {
    here.may("payments:write")?;
    here.view.must_be(Role::Servicer)?;
    if payment
        .loan
        .as_ref()
        .is_some_and(|loan| *loan != here.reference)
    {
        return Err(Problem::field(
            "/loan",
            "the address names another loan; leave it out",
        ));
    }
    payment.loan = Some(here.reference.clone());
    let key = payment.reference.clone();
    let command = payment_command(&here.view, payment);
    let answer = here.carry_out(&key, command).await?;
    Ok((StatusCode::CREATED, here.money(Json(receipt(key, answer)))))
}

/// The command that a payment is.
pub(super) fn payment_command(view: &View, payment: PaymentRequest) -> Result<Command, Problem> {
    let Some(loan) = payment.loan else {
        return Err(Problem::field("/loan", "name the loan that is paid"));
    };
    view.look(|seen| {
        seen.find_loan(&loan)?;
        let paid = amount(&payment.amount, seen.agreement.currency());
        let paid = paid.map_err(|detail| Problem::field("/amount", detail))?;
        Ok(Command::Instruct(Instruction {
            key: payment.reference,
            application: loan.clone(),
            value_date: value_date(seen.book, payment.value_date.as_deref())?,
            action: Action::Repay(paid),
        }))
    })
}

fn value_date(book: &Book, text: Option<&str>) -> Result<Day, Problem> {
    text.map_or(Ok(book.business_date()), |text| day(text, "/value_date"))
}

fn receipt(reference: String, answer: Answer) -> Receipt {
    let outcome = match answer {
        Answer::Done => "done",
        Answer::Known => "known",
    };
    Receipt {
        reference,
        outcome: outcome.to_owned(),
    }
}

/// Does anything else to a loan: a waiver, a payment holiday, a refund, the sale of a share. The
/// servicer does it; a sale is instructed by its seller and its buyer, and carried out once both say
/// the same: the first of both is answered with 202.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/loans/{reference}/transactions",
    tag = "loans", params(("agreement" = String, Path,), ("reference" = String, Path,)),
    request_body = InstructionRequest,
    operation_id = "instructLoan", security(("oauth" = ["loans:write"])),
    responses((status = 201, body = Receipt), (status = 202, body = Receipt)))]
pub(super) async fn instruct(
    here: Here,
    Body(request): Body<InstructionRequest>,
) -> Result<impl IntoResponse, Problem> {
    here.may("loans:write")?;
    let key = request.reference.clone();
    let order = instruction(&here.view, &here.reference, request);
    let outcome = here.keeping(&key, async {
        order?.carry_out(&here.registry, &here.view).await
    });
    let (status, receipt) = match outcome.await? {
        sales::Outcome::Carried(answer) => (StatusCode::CREATED, receipt(key, answer)),
        sales::Outcome::Waits => {
            let outcome = "unmatched".to_owned();
            let reference = key;
            (StatusCode::ACCEPTED, Receipt { reference, outcome })
        }
    };
    Ok((status, here.money(Json(receipt))))
}

/// What an instruction in words asks, if the party may give it.
fn instruction(view: &View, loan: &str, request: InstructionRequest) -> Result<Order, Problem> {
    view.look(|seen| {
        let (key, application) = (request.reference, loan.to_owned());
        if request.instruction.trim() == "charge-off" {
            seen.find_loan(loan)?;
            permit(seen, None)?;
            return Ok(Order::Command(Command::ChargeOff { application }));
        }
        let action = words::parse(&request.instruction, seen.agreement);
        let action = action.map_err(|message| Problem::field("/instruction", message))?;
        permit(seen, Some(&action))?;
        let value_date = value_date(seen.book, request.value_date.as_deref())?;
        if let Action::Transfer(sale) = action {
            // A buyer need not see the loan yet.
            return Ok(Order::Sale(sales::Asked {
                key,
                loan: application,
                sale,
                value_date,
                agrees: false,
            }));
        }
        seen.find_loan(loan)?;
        Ok(Order::Command(Command::Instruct(Instruction {
            key,
            application,
            value_date,
            action,
        })))
    })
}

/// Refuses what is not the party's to do to a loan, whether it comes by a call or from the console;
/// what is no action is a write-off or a reversal.
pub(crate) fn permit(seen: &Seen<'_>, action: Option<&Action>) -> Result<(), Problem> {
    let (allowed, message) = match action {
        Some(Action::Transfer(sale)) => (
            [sale.seller, sale.buyer].contains(&seen.party),
            "a sale is instructed by its seller and its buyer, and by nobody else",
        ),
        _ => (
            seen.is(Role::Servicer),
            "the servicer does this; a lender may sell of what it holds itself",
        ),
    };
    match allowed {
        true => Ok(()),
        false => Err(Problem::new(problem::FORBIDDEN, message)),
    }
}

/// Takes back a payment or an instruction, as if it had never been.
#[utoipa::path(post, path = "/v1/agreements/{agreement}/loans/{reference}/reversals", tag = "loans",
    params(("agreement" = String, Path,), ("reference" = String, Path,)),
    request_body = ReversalRequest,
    operation_id = "reverseTransaction", security(("oauth" = ["loans:write"])),
    responses((status = 201, body = Receipt)))]
pub(super) async fn reverse(
    here: Here,
    Body(request): Body<ReversalRequest>,
) -> Result<impl IntoResponse, Problem> {
    here.may("loans:write")?;
    let key = request.reference.clone();
    let command = reversal(&here.view, &here.reference, request);
    let answer = here.carry_out(&key, command).await?;
    Ok((StatusCode::CREATED, here.money(Json(receipt(key, answer)))))
}

/// The command that a reversal is, if the party may ask for it.
fn reversal(view: &View, loan: &str, request: ReversalRequest) -> Result<Command, Problem> {
    view.look(|seen| {
        permit(seen, None)?;
        let place = seen.find_loan(loan)?;
        let of_this = seen
            .book
            .instruction(&request.of)
            .is_some_and(|(of, _)| of == place);
        match of_this {
            true => Ok(Command::Reverse {
                key: request.reference,
                of: request.of,
            }),
            false => Err(Problem::not_found("instruction")),
        }
    })
}

/// What was done to a loan, oldest first.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/loans/{reference}/transactions",
    tag = "loans", params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "listTransactions", security(("oauth" = ["loans:read"])),
    responses((status = 200, body = Vec<Transaction>)))]
pub(super) async fn transactions(here: Here) -> Result<Json<Vec<Transaction>>, Problem> {
    here.may("loans:read")?;
    let mut done = done(&here.view, &here.reference)?;
    let (book, party) = (here.view.desk.name(), &here.caller.party);
    for sale in done.iter_mut().filter(|done| done.action == "transfer") {
        let known = sale.reference.take().unwrap_or_default();
        let own = sales::own_key(&here.registry, book, party, &known);
        let own = own.map_err(|error| Api::unreachable(&error))?;
        sale.reference = Some(own.unwrap_or(known));
    }
    Ok(Json(done))
}

/// What was done to a loan, oldest first.
fn done(view: &View, reference: &str) -> Result<Vec<Transaction>, Problem> {
    let application = view.look(|seen| {
        let place = seen.find_loan(reference)?;
        Ok::<_, Problem>(seen.book.loan_in(place).application)
    })?;
    let events = view.desk.reader().events_of(application);
    let events = events.map_err(|error| Api::failed(&error))?;
    Ok(view.look(|seen| {
        events
            .iter()
            .filter_map(|row| transaction(seen, row))
            .collect()
    }))
}

fn transaction(seen: &Seen<'_>, row: &EventRow) -> Option<Transaction> {
    let currency = seen.agreement.currency();
    let make = |reference: Option<&String>, number, transaction, change: &Sums| {
        let transaction: Option<&tandem_domain::loan::Transaction> = transaction;
        let money = |amount: Amount| Money::of(amount, currency);
        Transaction {
            number,
            reference: reference.cloned(),
            entered: row.day.to_string(),
            value_date: transaction.map(|done| done.day.to_string()),
            action: transaction
                .map_or("reversal", |done| done.action.name())
                .to_owned(),
            instruction: transaction.map(|done| words::write(&done.action, seen.agreement)),
            received: money(change.received),
            principal: money(change.principal),
            interest: money(change.interest),
            fees: money(change.all_fees()),
            penalty: money(change.penalty),
        }
    };
    match &row.event {
        Event::Instructed {
            key,
            transaction,
            change,
            ..
        } => Some(make(
            Some(key),
            transaction.number,
            Some(transaction),
            change,
        )),
        Event::ChargedOff {
            transaction,
            change,
            ..
        } => Some(make(None, transaction.number, Some(transaction), change)),
        Event::Reversed {
            key,
            number,
            change,
            ..
        } => Some(make(Some(key), *number, None, change)),
        _ => None,
    }
}

/// The caller's postings about a loan, newest first.
#[utoipa::path(get, path = "/v1/agreements/{agreement}/loans/{reference}/postings", tag = "loans",
    params(("agreement" = String, Path,), ("reference" = String, Path,)),
    operation_id = "listLoanPostings", security(("oauth" = ["loans:read"])),
    responses((status = 200, body = Vec<Posting>)))]
pub(super) async fn postings(here: Here) -> Result<Json<Vec<Posting>>, Problem> {
    here.may("loans:read")?;
    let loan = here.view.look(|seen| seen.find_loan(&here.reference))?;
    of_ledger(&here.view, here.view.party, loan).map(Json)
}

fn of_ledger(view: &View, party: PartyId, loan: u32) -> Result<Vec<Posting>, Problem> {
    let filter = PostingFilter {
        loan: Some(loan),
        ..PostingFilter::of(party)
    };
    let page = Page {
        before: None,
        most: 2_000,
    };
    let rows = view.desk.reader().postings(filter, page);
    let rows = rows.map_err(|error| Api::failed(&error))?;
    Ok(view.look(|seen| rows.iter().map(|row| posting(seen, row)).collect()))
}
