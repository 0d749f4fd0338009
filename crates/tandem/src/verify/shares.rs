//! What the parties posted about a loan adds up to what changed in the loan as a whole.

use tandem_domain::book::Book;
use tandem_domain::book::attest::SHARES_EXACT;
use tandem_domain::ledger::Account;
use tandem_domain::loan::Totals;
use tandem_domain::money::Amount;
use tandem_domain::share::MAX_SHARES;
use tandem_engine::Step;

use super::check::Problems;

/// What the parties posted must be what changed in the loan as a whole.
pub(super) fn changed(change: &Totals, loan: u32, step: &Step<'_>, problems: &mut Problems) {
    let posted = |account: Account| -> Amount {
        let postings = step.entries.iter().flat_map(|entry| &entry.postings);
        postings
            .filter(|posting| posting.account == account)
            .map(|posting| posting.amount)
            .sum()
    };
    let fees = change.fees + change.instalment_fees + change.prepayment_fees;
    let used = fees + change.penalty + change.interest + change.principal + change.recovered;
    let held = change.received + change.credited - used - change.refunded;
    let wholes = [
        (
            Account::Settlement,
            change.received - change.refunded - change.drawn,
        ),
        (Account::CustomerFunds, -held),
        (
            Account::Loans,
            change.drawn + change.capitalised - change.principal - change.charged_off,
        ),
        (
            Account::InterestReceivable,
            -(change.interest + change.capitalised),
        ),
        (Account::FeeIncome, -fees),
        (Account::PenaltyIncome, -change.penalty),
        (Account::RecoveryIncome, -change.recovered),
        (Account::GuaranteeExpense, change.compensated),
        (Account::GoodwillExpense, change.credited),
    ];
    let wrong = |account: Account| {
        let application = step.book.loan_in(loan).application;
        let key = step.book.application_in(application).key;
        format!("loan {key}: {} does not sum to the whole", account.name())
    };
    for (account, whole) in wholes {
        problems.require(posted(account) == whole, SHARES_EXACT, || wrong(account));
    }
    // What a buyer pays beyond principal is premium until it is income or lost, or it is the
    // seller's gain.
    let lost = posted(Account::LossAllowance) - (change.charged_off - change.compensated);
    let premium = [
        Account::LoanPremium,
        Account::InterestIncome,
        Account::SaleGain,
    ];
    let moved = premium.iter().any(|account| !posted(*account).is_zero());
    let premium: Amount = premium.into_iter().map(posted).sum();
    problems.require(lost.is_zero() || moved, SHARES_EXACT, || {
        wrong(Account::LossAllowance)
    });
    problems.require(premium + lost == Amount::ZERO, SHARES_EXACT, || {
        wrong(Account::LoanPremium)
    });
    problems.require(
        collects(change, posted(Account::ServiceFeeExpense), loan, step.book)
            && posted(Account::ServiceFeeIncome) == -posted(Account::ServiceFeeExpense),
        SHARES_EXACT,
        || wrong(Account::ServiceFeeExpense),
    );
}

/// True if the lenders paid the platform what collecting costs them, and its part of the
/// interest, which is rounded for each of them.
fn collects(change: &Totals, paid: Amount, loan: u32, book: &Book) -> bool {
    let agreement = &book.version_of(&book.loan_in(loan)).agreement;
    let Some((_, rate)) = agreement.service_fee else {
        return paid.is_zero();
    };
    let of_interest = change.interest.at(rate, agreement.file.product.rounding);
    let off = paid - change.collection_fees - of_interest;
    let holders = match rate.0 {
        0 => 0,
        _ => MAX_SHARES as i64 + 1,
    };
    off.0.abs() <= holders
}
