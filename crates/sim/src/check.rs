//! What must hold, computed without the book's own counters.

use tandem_domain::agreement::{Limit, LimitScope};
use tandem_domain::book::{ApplicationRecord, ApplicationState, Book, Decided, Loan, Verdict};
use tandem_domain::field::Value;
use tandem_domain::loan::{Action, Own, Split, Totals};
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;
use tandem_domain::share::{MAX_SHARES, allocate};

use crate::notes::Notes;
use crate::view;

/// Something that must hold and does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// What must hold.
    pub rule: &'static str,
    /// Where and how it does not.
    pub detail: String,
}

/// A violation, if something does not hold.
pub(crate) fn ensure(
    holds: bool,
    rule: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        return Ok(());
    }
    Err(Violation {
        rule,
        detail: detail(),
    })
}

/// Every party's parts of a loan. The simulator checks the book's own, [`split`]; a test hands in
/// another function to see that it is caught.
pub type PartsOf = fn(&Book, &Loan) -> Split;

/// The parts that the book posts by.
pub fn split(book: &Book, loan: &Loan) -> Split {
    loan.split(&book.version_of(loan).agreement)
}

/// Everything that is checked between batches: the book's own findings, the shares, and the book
/// against the clients' notes.
pub(crate) fn book(book: &Book, notes: &Notes, parts_of: PartsOf) -> Result<(), Violation> {
    if let Some(finding) = book.findings().first() {
        return Err(Violation {
            rule: "the book has no findings",
            detail: finding.to_string(),
        });
    }
    let mut found = Ok(());
    view::each_loan(book, |place, loan| {
        if found.is_ok() {
            // What the borrower owes can always be asked.
            let today = book.business_date();
            book.position_on(loan, today)
                .payoff(&book.terms(loan), today);
            found = shares(book, loan, parts_of)
                .and_then(|()| history(book, loan, notes))
                .map_err(|violation| Violation {
                    detail: format!("loan {place}: {}", violation.detail),
                    ..violation
                });
        }
    });
    found?;
    notes.compare(book)
}

/// What is looked at of what a party has.
type Of = fn(&Own) -> Amount;

/// Parts sum to the whole; as long as the holdings have not changed, every part is less than a
/// minor unit away from the exact one.
fn shares(book: &Book, loan: &Loan, parts_of: PartsOf) -> Result<(), Violation> {
    const RULE: &str = "shares are exact";
    let totals = &loan.position.totals;
    let split = parts_of(book, loan);
    let all: [(_, _, Of); 5] = [
        ("principal", totals.principal, |own| own.principal),
        ("interest", totals.interest, |own| own.interest),
        ("penalty", totals.penalty, |own| own.penalty),
        ("charged off", totals.charged_off, |own| own.charged_off),
        ("outstanding", loan.position.outstanding(), |own| {
            own.outstanding
        }),
    ];
    for (what, whole, of) in all {
        let sum: Amount = split.own.iter().map(of).sum();
        ensure(sum == whole, RULE, || {
            format!("parts of {what} sum to {}, not {}", sum.0, whole.0)
        })?;
    }
    if !loan.position.marks.is_empty() {
        return Ok(());
    }
    let agreement = &book.version_of(loan).agreement;
    let mut fresh = loan.position.clone();
    fresh.totals = Totals::default();
    let fresh = Split::of(&fresh, loan.principal, &loan.parts, agreement);
    let holdings: [i128; MAX_SHARES] = fresh.parts(|own| own.outstanding).map(i128::from);
    let weights = &fresh.interest_weights;
    let gone = totals.principal + totals.charged_off;
    let exact: [(_, _, Of, _); 4] = [
        (
            "principal",
            totals.principal,
            |own| own.principal,
            &holdings,
        ),
        (
            "principal gone",
            gone,
            |own| own.principal + own.charged_off,
            &holdings,
        ),
        ("interest", totals.interest, |own| own.interest, weights),
        ("penalty", totals.penalty, |own| own.penalty, &holdings),
    ];
    for (what, whole, of, weights) in exact {
        let all: i128 = weights.iter().sum();
        for (part, weight) in split.own.iter().map(of).zip(weights) {
            let distance = i128::from(part.0) * all - i128::from(whole.0) * weight;
            ensure(distance.abs() < all.max(1), RULE, || {
                let exact = weight * i128::from(whole.0);
                format!("a part of {what} is {}, exactly {exact}/{all}", part.0)
            })?;
        }
    }
    Ok(())
}

/// What was done to a loan is what clients were told was done, once each.
fn history(book: &Book, loan: &Loan, notes: &Notes) -> Result<(), Violation> {
    let application = view::application_key(book, loan.application as usize);
    let mut noted = notes.done_to(&application);
    for transaction in loan.history.transactions() {
        let place = noted
            .iter()
            .position(|&noted| noted == (transaction.day, transaction.action));
        match (place, transaction.action) {
            (Some(place), _) => {
                noted.swap_remove(place);
            }
            // The book writes off by itself, and sells for a lender that is replaced.
            (None, Action::ChargeOff { .. } | Action::Transfer(_)) => {}
            (None, action) => ensure(false, "nothing happens twice", || {
                format!(
                    "{action:?} of {} on {application} was not asked, or once",
                    transaction.day
                )
            })?,
        }
    }
    ensure(noted.is_empty(), "nothing acknowledged is lost", || {
        format!("{noted:?} on {application} was acknowledged")
    })
}

/// After an offer was made, nothing is above the limits that it was decided by, and those in force: use
/// is taken from loans and open offers.
pub(crate) fn limits(book: &Book, decided: &Decided) -> Result<(), Violation> {
    let Verdict::Offered { parts, .. } = &decided.verdict else {
        return Ok(());
    };
    let own = &book.versions()[usize::from(decided.version)].agreement;
    let Some(of) = book.application(&decided.key) else {
        return ensure(false, "an offer has its application", || {
            decided.key.clone()
        });
    };
    let now = book
        .current()
        .map_or(own, |(_, version)| &version.agreement);
    let gone = |limit: &Limit| !now.file.limit.iter().any(|other| other.is_same(limit));
    for (limit, party) in now
        .limits()
        .chain(own.limits().filter(|(limit, _)| gone(limit)))
    {
        let region = Value::Text(limit.region.as_deref().unwrap_or_default().into());
        let elsewhere = limit.region.is_some() && decided.values[2] != region;
        let takes_part = party.is_none_or(|party| {
            let mut taking = own.lenders.iter().zip(parts);
            taking.any(|(lender, part)| *lender == party && part.amount.is_positive())
        });
        let nobodys = limit.per == LimitScope::Borrower && of.borrower.is_none();
        if elsewhere || nobodys || !takes_part {
            continue;
        }
        let mut used = Amount::ZERO;
        view::each_application(book, |place, record| {
            let counts = match limit.per {
                LimitScope::Day => record.decided_on == book.business_date(),
                LimitScope::Total | LimitScope::Partner => true,
                LimitScope::Region => record.region == of.region,
                LimitScope::Borrower => record.borrower == of.borrower,
            };
            if counts {
                used += use_of(book, (place, record), limit.per, party);
            }
        });
        let region = match &decided.values[2] {
            Value::Text(region) => region,
            _ => "",
        };
        let subject = limit.subject(region, decided.borrower.as_deref());
        let most = book.most(limit, subject);
        ensure(used <= most, "limits are kept", || {
            let (clause, most) = (&limit.clause, most.0);
            format!(
                "{} brings clause {clause} to {} of {most}",
                decided.key, used.0
            )
        })?;
    }
    Ok(())
}

/// What an application uses of a limit, for one party or all.
fn use_of(
    book: &Book,
    (place, record): (u32, &ApplicationRecord<'_>),
    per: LimitScope,
    party: Option<PartyId>,
) -> Amount {
    let counts = |lender: PartyId| party.is_none_or(|party| party == lender);
    let lenders = &book.versions()[usize::from(record.version)]
        .agreement
        .lenders;
    let of_parts = |parts: &[tandem_domain::funding::Part]| {
        let parts = lenders.iter().zip(parts);
        parts
            .filter(|(lender, _)| counts(**lender))
            .map(|(_, part)| part.amount)
            .sum()
    };
    match record.state {
        ApplicationState::Offered => book
            .offer(place)
            .map_or(Amount::ZERO, |offer| of_parts(&offer.parts)),
        ApplicationState::Disbursed(place) => {
            let Some(loan) = view::loan_at(book, place as usize) else {
                return Amount::ZERO;
            };
            if per == LimitScope::Day {
                return of_parts(&loan.parts);
            }
            let agreement = &book.version_of(&loan).agreement;
            let split = loan.split(agreement);
            let undrawn = allocate(loan.undrawn(&loan.position, agreement), &split.commitments);
            let holders = split.holders.iter().zip(&split.own).zip(undrawn);
            let counted = holders.filter(|((holder, _), _)| counts(*holder));
            counted
                .map(|((_, own), undrawn)| own.outstanding + undrawn)
                .sum()
        }
        _ => Amount::ZERO,
    }
}
