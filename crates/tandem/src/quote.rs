//! `tandem quote`: what settles a loan on a day, of what it is made, and who gets it.

use std::fmt::Write as _;

use serde::Serialize;
use tandem_domain::agreement::Agreement;
use tandem_domain::book::{ApplicationState, Book, Loan};
use tandem_domain::calendar::{Day, DayCount};
use tandem_domain::loan::{
    Action, Ops, Own, Payoff, Position, Split, Status, Terms, Transaction, earner,
};
use tandem_domain::money::{Amount, Currency};
use tandem_domain::party::PartyId;

use crate::data::BookOption;
use crate::export::{self, Layout, grid::Grid};
use crate::fail::{Failure, Outcome};
use crate::history;
use crate::words::counted;

/// What `quote` is asked.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Key of the application that the loan came from.
    loan: String,
    #[command(flatten)]
    book: BookOption,
    /// Day on which the borrower pays [default: the business date].
    #[arg(long, value_name = "DATE")]
    on: Option<Day>,
    /// How to write the quote.
    #[arg(long, value_enum, default_value_t = Layout::Table)]
    format: Layout,
}

/// Prints what settles a loan.
pub(crate) fn quote(options: &Options) -> Outcome {
    let place = options.book.place()?;
    let engine = place.engine(place.open_read_only()?)?;
    let quote = Quote::of(engine.book(), &options.loan, options.on)?;
    export::show(&match options.format {
        Layout::Table => quote.table(),
        Layout::Json => quote.json()?,
    })
}

/// What settles a loan on a day.
struct Quote<'b> {
    book: &'b Book,
    key: &'b str,
    loan: Loan,
    agreement: &'b Agreement,
    terms: Terms<'b>,
    on: Day,
    /// The loan at the end of that day, if nothing is paid until then.
    at: Position,
    payoff: Payoff,
    interest: Interest,
}

/// Interest to the day, by where it comes from.
struct Interest {
    /// Of instalments that have fallen due.
    due: Amount,
    /// Since the last due date.
    accrued: Amount,
    /// On overdue principal, since it fell due.
    overdue: Amount,
    /// The last due date, or the day of disbursement.
    since: Day,
    /// Days since then, as the day count counts them.
    days: i32,
}

/// An instalment that falls due between the business date and the day of the quote.
struct Coming {
    number: usize,
    day: Day,
    unpaid: Amount,
}

/// What a party gets of the payment.
struct Share {
    party: PartyId,
    principal: Amount,
    interest: Amount,
    penalty: Amount,
    fees: Amount,
    service_fee: Amount,
}

impl Share {
    /// What is left after the service fee.
    fn net(&self) -> Amount {
        self.principal + self.interest + self.penalty + self.fees - self.service_fee
    }
}

impl Quote<'_> {
    fn of<'b>(book: &'b Book, key: &str, on: Option<Day>) -> Outcome<Quote<'b>> {
        let Some(record) = book.application(key) else {
            return Err(history::unknown(key, book));
        };
        let ApplicationState::Disbursed(place) = record.state else {
            let state = record.state.name();
            return Err(Failure(format!(
                "`{key}` has no loan to settle: it is {state}"
            )));
        };
        let Some(loan) = book.loan_at(place) else {
            return Err(Failure(format!(
                "loan `{key}` is repaid and archived; nothing is left to settle"
            )));
        };
        let agreement = &book.version_of(&loan).agreement;
        let (today, currency) = (book.business_date(), agreement.currency());
        let on = on.unwrap_or(today);
        let fail = |message: String| Err(Failure(message));
        match loan.position.status {
            Status::Repaid => {
                return fail(format!("loan `{key}` is repaid; nothing is left to settle"));
            }
            Status::ChargedOff => return fail(written_off(key, &loan, currency)),
            Status::Active => {}
        }
        if on < today {
            return fail(format!(
                "{on} is over: the business date is {today}, and a quote of a past day cannot be paid; \
                 ask for {today} or later, or enter money that came on {on} as a payment with that value date"
            ));
        }
        let terms = book.terms(&loan);
        let at = book.position_on(&loan, on);
        if at.status != Status::Active {
            return fail(format!(
                "loan `{key}` needs no settlement on {on}: {} held for the borrower repay it by then",
                currency.show(loan.position.totals.held())
            ));
        }
        let most = i32::from(agreement.file.charge_off.days_past_due);
        let lost = at.behind_since().map(|since| (since + most).max(today));
        if let Some(lost) = lost.filter(|lost| *lost < on) {
            return fail(format!(
                "loan `{key}` is written off at the end of {lost} unless more is paid, so there is no quote for {on}; \
                 ask for {lost} at the latest"
            ));
        }
        let payoff = at.payoff(&terms, on);
        let interest = Interest::of(&at, &terms, &payoff, on);
        Ok(Quote {
            book,
            key: record.key,
            loan,
            agreement,
            terms,
            on,
            at,
            payoff,
            interest,
        })
    }

    fn show(&self, amount: Amount) -> String {
        self.agreement.currency().show(amount)
    }

    /// Instalments that fall due until the day of the quote.
    fn coming(&self) -> Vec<Coming> {
        let steps = &self.at.timeline(&self.terms).steps;
        let from = usize::from(self.loan.position.contract.next);
        let to = usize::from(self.at.contract.next);
        let mut coming = Vec::new();
        for place in (from..to).filter(|&place| steps[place].ops.has(Ops::INTEREST)) {
            let day = steps[place].day;
            let passed = steps[..=place]
                .iter()
                .filter(|step| step.ops.has(Ops::INTEREST));
            let due = self.at.due.iter().filter(|due| due.day == day);
            let unpaid = due.map(|due| due.principal + due.interest + due.fee + due.instalment_fee);
            coming.push(Coming {
                number: passed.count(),
                day,
                unpaid: unpaid.sum(),
            });
        }
        coming
    }

    /// The first day until then on which the rate follows a reference rate anew.
    fn rate_is_set(&self) -> Option<Day> {
        self.terms.product.floating.as_ref()?;
        let steps = &self.at.timeline(&self.terms).steps;
        let from = usize::from(self.loan.position.contract.next);
        let coming = &steps[from..usize::from(self.at.contract.next)];
        let set = coming.iter().find(|step| step.ops.has(Ops::RATE));
        set.map(|step| step.day)
    }

    /// What each party gets when the total is paid.
    fn shares(&self) -> Vec<Share> {
        let mut after = self.at.clone();
        let settle = Transaction {
            day: self.on,
            action: Action::Settle(self.payoff.total()),
            number: 0,
        };
        after.transact(&self.terms, settle);
        let split = |position: &Position| {
            Split::of(
                position,
                self.loan.principal,
                &self.loan.parts,
                self.agreement,
            )
        };
        let (before, after) = (split(&self.at), split(&after));
        let platform = self.agreement.service_fee.map(|(platform, _)| platform);
        let service_fees: Amount = after
            .holders
            .iter()
            .map(|party| after.own(party).since(&before.own(party)).service_fee)
            .sum();
        let fees = &self.agreement.loan_fees;
        let elsewhere = [fees.late, fees.instalment, fees.prepayment].map(earner);
        let mut shares = Vec::new();
        for (place, _) in export::parties(self.book).iter().enumerate() {
            let party = PartyId(place as u8);
            let own: Own = after.own(party).since(&before.own(party));
            let mut share = Share {
                party,
                principal: own.principal,
                interest: own.interest,
                penalty: own.penalty,
                fees: own.fees,
                service_fee: own.service_fee,
            };
            for (kind, earner) in elsewhere.iter().enumerate() {
                if *earner == Some(party) {
                    share.fees += after.fees_elsewhere[kind] - before.fees_elsewhere[kind];
                }
            }
            if platform == Some(party) {
                share.service_fee -= service_fees;
            }
            let amounts = [share.principal, share.interest, share.penalty, share.fees];
            if amounts
                .iter()
                .chain([&share.service_fee])
                .any(|amount| !amount.is_zero())
            {
                shares.push(share);
            }
        }
        shares
    }

    /// What settles it a day later, unless an instalment falls due on that day or it is lost.
    fn a_day_later(&self) -> Option<Amount> {
        let day = self.on + 1;
        let later = self.book.position_on(&self.loan, day);
        let same = later.status == Status::Active && later.contract.next == self.at.contract.next;
        same.then(|| later.payoff(&self.terms, day).total())
    }

    /// The parts of the total, those of nothing left out: code, words and amount.
    fn parts(&self) -> Vec<(String, Amount)> {
        let (at, payoff, interest) = (&self.at, &self.payoff, &self.interest);
        let overdue: Amount = at.due.iter().map(|due| due.principal).sum();
        let since = at.due.iter().find(|due| due.principal.is_positive());
        let since = since.map_or(String::new(), |due| format!(" since {}", due.day));
        let late: Amount = at.due.iter().map(|due| due.fee).sum();
        let product = self.terms.product;
        let days = counted(interest.days, "day");
        let (rate, count) = (at.contract.rate, product.day_count);
        let from = interest.since;
        let rows = [
            ("principal not due".to_owned(), at.contract.principal),
            (
                format!("interest of {days} since {from} at {rate} ({count})"),
                interest.accrued,
            ),
            ("interest due".to_owned(), interest.due),
            (format!("principal due{since}"), overdue),
            (format!("interest on it at {rate}"), interest.overdue),
            (
                format!("penalty on it at {} a year", product.penalty_rate),
                payoff.penalty,
            ),
            ("late fees".to_owned(), late),
            ("fees of instalments".to_owned(), payoff.fees - late),
            ("fee on the prepayment".to_owned(), payoff.prepayment_fee),
            ("less held for the borrower".to_owned(), -payoff.held),
        ];
        rows.into_iter()
            .filter(|(_, amount)| !amount.is_zero())
            .collect()
    }

    fn table(&self) -> String {
        let (currency, total) = (self.agreement.currency(), self.payoff.total());
        let mut text = format!(
            "{} is settled on {} with {}\n{} of {} at {}\n\n",
            self.key,
            self.on,
            self.show(total),
            self.show(self.loan.principal),
            self.loan.disbursed_on,
            self.loan.rate,
        );
        let mut grid = Grid::new(1, ["", currency.code()]);
        for (words, amount) in self.parts() {
            grid.row([words, currency.grouped(amount)]);
        }
        grid.row(["to pay".to_owned(), currency.grouped(total)]);
        text += &grid.plain(2);
        // Writing to a string cannot fail.
        for Coming {
            number,
            day,
            unpaid,
        } in self.coming()
        {
            let _ = match unpaid {
                Amount::ZERO => writeln!(
                    text,
                    "\nInstalment {number} falls due on {day} and is paid from what is held."
                ),
                unpaid => {
                    let unpaid = currency.grouped(unpaid);
                    writeln!(
                        text,
                        "\nIn it: instalment {number}, due on {day}, {unpaid}."
                    )
                }
            };
        }
        if let Some(day) = self.rate_is_set() {
            let _ = writeln!(
                text,
                "\nThe rate is set anew on {day}, here by what is known of the reference rate today."
            );
        }
        text += match self.payoff.held {
            Amount::ZERO => "\nWho gets it\n",
            _ => "\nWho gets it, with what is held\n",
        };
        text += &self.shares_table();
        let _ = match self.a_day_later() {
            Some(later) => writeln!(
                text,
                "\nValid on {} only; a day later it is {}.",
                self.on,
                currency.grouped(later)
            ),
            None => writeln!(text, "\nValid on {} only.", self.on),
        };
        text
    }

    fn shares_table(&self) -> String {
        let currency = self.agreement.currency();
        let head = [
            "",
            "principal",
            "interest",
            "penalty",
            "fees",
            "service fee",
            "together",
        ];
        let cells = |share: &Share| {
            [
                share.principal,
                share.interest,
                share.penalty,
                share.fees,
                -share.service_fee,
                share.net(),
            ]
        };
        let shares = self.shares();
        let mut sums = [Amount::ZERO; 6];
        for share in &shares {
            for (sum, cell) in sums.iter_mut().zip(cells(share)) {
                *sum += cell;
            }
        }
        // A column in which nobody has anything is left out; together and principal stay.
        let is_shown = |place: usize| {
            let used = |share: &Share| !cells(share)[place].is_zero();
            matches!(place, 0 | 1 | 5) || shares.iter().any(used)
        };
        let pick = |name: &str, amounts: [Amount; 6]| {
            let cell = |amount: Amount| match amount {
                Amount::ZERO => String::new(),
                amount => currency.grouped(amount),
            };
            let shown = amounts.into_iter().enumerate();
            let shown = shown.filter(|(place, _)| is_shown(*place));
            let cells = shown.map(|(_, amount)| cell(amount));
            [name.to_owned()]
                .into_iter()
                .chain(cells)
                .collect::<Vec<_>>()
        };
        let names = head.into_iter().enumerate();
        let names = names.filter(|(place, _)| *place == 0 || is_shown(place - 1));
        let mut grid = Grid::new(1, names.map(|(_, name)| name));
        for share in &shares {
            grid.row(pick(export::name(self.book, share.party), cells(share)));
        }
        grid.row(pick("all", sums));
        grid.plain(2)
    }

    fn json(&self) -> Outcome<String> {
        let (currency, payoff, interest) =
            (self.agreement.currency(), &self.payoff, &self.interest);
        let late: Amount = self.at.due.iter().map(|due| due.fee).sum();
        let coming = self.coming();
        let coming = coming.iter().map(|coming| ComingRow {
            number: coming.number,
            due: coming.day.to_string(),
            unpaid: coming.unpaid.0,
        });
        let shares = self.shares();
        let shares = shares.iter().map(|share| ShareRow {
            party: export::name(self.book, share.party),
            principal: share.principal.0,
            interest: share.interest.0,
            penalty: share.penalty.0,
            fees: share.fees.0,
            service_fee: share.service_fee.0,
            together: share.net().0,
        });
        let report = Report {
            loan: self.key,
            on: self.on.to_string(),
            business_date: self.book.business_date().to_string(),
            currency: currency.code(),
            minor_unit_digits: currency.digits(),
            principal: payoff.principal.0,
            principal_due: (payoff.principal - self.at.contract.principal).0,
            interest: payoff.interest.0,
            interest_due: interest.due.0,
            interest_accrued: interest.accrued.0,
            interest_on_principal_due: interest.overdue.0,
            accrued_since: interest.since.to_string(),
            accrued_days: interest.days,
            rate: self.at.contract.rate.to_string(),
            day_count_convention: self.terms.product.day_count.actus(),
            penalty: payoff.penalty.0,
            penalty_rate: self.terms.product.penalty_rate.to_string(),
            fees: payoff.fees.0,
            late_fees: late.0,
            instalment_fees: (payoff.fees - late).0,
            prepayment_fee: payoff.prepayment_fee.0,
            held: payoff.held.0,
            total: payoff.total().0,
            total_a_day_later: self.a_day_later().map(|total| total.0),
            instalments: coming.collect(),
            shares: shares.collect(),
        };
        Ok(serde_json::to_string_pretty(&report)? + "\n")
    }
}

impl Interest {
    fn of(at: &Position, terms: &Terms<'_>, payoff: &Payoff, on: Day) -> Interest {
        let passed = &at.timeline(terms).steps[..usize::from(at.contract.next)];
        let last = passed.iter().rfind(|step| step.ops.has(Ops::INTEREST));
        let since = last.map_or(terms.disbursed_on, |step| step.day);
        let count = terms.product.day_count;
        let from = last.map_or(count.number(terms.disbursed_on), |step| step.from);
        let (due, accrued) = (at.interest_due(), at.accrued(terms, on));
        Interest {
            due,
            accrued,
            overdue: payoff.interest - due - accrued,
            since,
            days: match count {
                DayCount::AA => on - since,
                _ => count.number(on) - from,
            },
        }
    }
}

/// What to say of a loan that is written off.
fn written_off(key: &str, loan: &Loan, currency: Currency) -> String {
    let claim = loan.position.claim.as_deref().copied().unwrap_or_default();
    let claimed = claim.principal + claim.interest + claim.penalty + claim.fees();
    let parts = [
        ("principal", claim.principal),
        ("interest", claim.interest),
        ("penalty", claim.penalty),
        ("fees", claim.fees()),
    ];
    let parts = parts.into_iter().filter(|(_, amount)| amount.is_positive());
    let parts = parts.map(|(name, amount)| format!("{name} {}", currency.grouped(amount)));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let rest = match claimed {
        Amount::ZERO => "nothing of it is left to collect".to_owned(),
        claimed => format!(
            "{} can still be collected ({parts}); enter what comes in as a payment",
            currency.show(claimed)
        ),
    };
    format!("loan `{key}` is written off and cannot be settled; {rest}")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'q> {
    loan: &'q str,
    on: String,
    business_date: String,
    currency: &'q str,
    minor_unit_digits: u32,
    principal: i64,
    principal_due: i64,
    interest: i64,
    interest_due: i64,
    interest_accrued: i64,
    interest_on_principal_due: i64,
    accrued_since: String,
    accrued_days: i32,
    rate: String,
    day_count_convention: &'static str,
    penalty: i64,
    penalty_rate: String,
    fees: i64,
    late_fees: i64,
    instalment_fees: i64,
    prepayment_fee: i64,
    held: i64,
    total: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_a_day_later: Option<i64>,
    instalments: Vec<ComingRow>,
    shares: Vec<ShareRow<'q>>,
}

#[derive(Serialize)]
struct ComingRow {
    number: usize,
    due: String,
    unpaid: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShareRow<'q> {
    party: &'q str,
    principal: i64,
    interest: i64,
    penalty: i64,
    fees: i64,
    service_fee: i64,
    together: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{sample, tests::golden};

    fn day(text: &str) -> Day {
        text.parse().expect("a date")
    }

    #[test]
    fn quotes_read_well() {
        let (plain, eventful) = (sample::engine(), sample::eventful());
        for (name, book, key, on) in [
            ("overdue", plain.book(), "A-3", "2024-06-20"),
            ("coming", plain.book(), "A-3", "2024-07-15"),
            ("with-fees", eventful.book(), "C-2", "2024-07-05"),
        ] {
            let quote = Quote::of(book, key, Some(day(on))).unwrap();
            golden(&quote.table(), &format!("quote-{name}"));
            golden(&quote.json().unwrap(), &format!("quote-{name}-json"));
        }
        let book = plain.book();
        let today = Quote::of(book, "A-3", None).unwrap();
        assert_eq!(today.on, book.business_date());
    }

    #[test]
    fn what_is_quoted_is_what_is_paid_and_shared() {
        let mut engine = sample::eventful();
        let (on, total, shares) = {
            let quote = Quote::of(engine.book(), "C-2", None).unwrap();
            let shares: Amount = quote.shares().iter().map(Share::net).sum();
            assert_eq!(shares, quote.payoff.total() + quote.payoff.held);
            (quote.on, quote.payoff.total(), quote.shares())
        };
        let settle = |amount| {
            tandem_domain::book::Command::Instruct(tandem_domain::book::Instruction {
                key: "Q-1".to_owned(),
                application: "C-2".to_owned(),
                value_date: on,
                action: Action::Settle(amount),
            })
        };
        let short = engine.submit([settle(total - Amount(1))]).unwrap();
        assert!(short[0].is_err());
        let before = engine.book().clone();
        let paid = engine.submit([settle(total)]).unwrap();
        assert!(paid[0].is_ok());
        let (_, loan) = engine.book().loan("C-2").unwrap();
        assert_eq!(loan.position.status, Status::Repaid);
        assert_eq!(loan.position.totals.refunded, Amount::ZERO);
        for share in shares {
            use tandem_domain::ledger::Account;
            let income = |book: &Book, account| book.ledgers().balance(share.party, account);
            let moved = |account| income(engine.book(), account) - income(&before, account);
            assert_eq!(moved(Account::FeeIncome), -share.fees);
            assert_eq!(moved(Account::PenaltyIncome), -share.penalty);
            assert_eq!(moved(Account::Loans), -share.principal);
        }
    }

    #[test]
    fn what_cannot_be_quoted_is_said() {
        let engine = sample::engine();
        let said = |key: &str, on: &str| {
            let quote = Quote::of(engine.book(), key, Some(day(on)));
            quote.err().expect("there is none").0
        };
        for (key, on, expected) in [
            (
                "A-9",
                "2024-06-20",
                "there is no application `A-9`; near it are A-1, A-2, A-3",
            ),
            (
                "B-1",
                "2024-06-20",
                "`B-1` has no loan to settle: it is declined",
            ),
            (
                "B-5",
                "2024-06-20",
                "`B-5` has no loan to settle: it is withdrawn",
            ),
            (
                "A-1",
                "2024-06-20",
                "loan `A-1` is repaid; nothing is left to settle",
            ),
            (
                "A-2",
                "2024-06-20",
                "loan `A-2` is written off and cannot be settled; 703.58 CNY can still be collected (principal \
                 497.10, interest 76.94, penalty 29.54, fees 100.00); enter what comes in as a payment",
            ),
            (
                "A-3",
                "2024-06-19",
                "2024-06-19 is over: the business date is 2024-06-20, and a quote of a past day cannot be paid; \
                 ask for 2024-06-20 or later, or enter money that came on 2024-06-19 as a payment with that value date",
            ),
            (
                "A-3",
                "2024-12-01",
                "loan `A-3` is written off at the end of 2024-08-11 unless more is paid, so there is no quote for \
                 2024-12-01; ask for 2024-08-11 at the latest",
            ),
        ] {
            assert_eq!(said(key, on), expected);
        }
    }
}
