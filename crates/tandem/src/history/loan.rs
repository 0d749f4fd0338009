//! What is done to a loan, from its disbursement on, and what that brings each party.

use std::fmt::Write as _;

use tandem_domain::agreement::{Agreement, Earner};
use tandem_domain::book::{Book, Loan};
use tandem_domain::loan::{
    Action, Due, Instalment, Ops, Position, Split, Status, Terms, Totals, Transaction, schedule,
};
use tandem_domain::money::{Amount, Currency};

use super::parties::PartyTable;
use super::story::Story;
use crate::export::{self, grid::Grid};
use crate::words::{counted, in_words, title};

impl Story<'_> {
    /// The money goes out: fees, and the plan.
    pub(super) fn disbursed(&mut self, loan: &Loan, book: &Book) {
        let agreement = &book.version_of(loan).agreement;
        let currency = agreement.currency();
        let Loan {
            principal, rate, ..
        } = *loan;
        let plan = schedule(&book.terms(loan));
        let count = plan.last().map_or(0, |last| last.number);
        let of = match loan.committed() - principal {
            Amount::ZERO => String::new(),
            _ => format!(" of {}", currency.show(loan.committed())),
        };
        let (sum, count) = (currency.show(principal), counted(count, "instalment"));
        self.event(
            book.business_date(),
            format_args!("Disbursed: {sum}{of} at {rate}, {count}"),
        );
        let mut grid = Grid::new(1, ["", currency.code()]);
        grid.row(["principal", &currency.grouped(principal)]);
        let mut net = principal;
        for fee in &agreement.disbursement_fees {
            let amount = fee.on(principal, agreement.file.product.rounding);
            net -= amount;
            let earner = match fee.earner {
                Earner::Lenders => "the lenders",
                Earner::Party(party) => &agreement.party(party).id,
            };
            grid.row([format!("fee to {earner}"), currency.grouped(-amount)]);
        }
        grid.row(["paid out to the borrower", &currency.grouped(net)]);
        self.grid(&grid);
        self.blank();
        self.instalments(&plan, currency);
    }

    /// The plan, with a column of fees if there are any.
    fn instalments(&mut self, plan: &[Instalment], currency: Currency) {
        const FEE: usize = 4;
        let with_fee = plan.iter().any(|instalment| !instalment.fee.is_zero());
        let shown = |cells: [String; 7]| {
            let cells = cells.into_iter().enumerate();
            let cells = cells.filter(move |(place, _)| with_fee || *place != FEE);
            cells.map(|(_, cell)| cell)
        };
        let head = [
            "instalment",
            "due",
            "principal",
            "interest",
            "fee",
            "total",
            "balance",
        ];
        let mut grid = Grid::new(2, shown(head.map(str::to_owned)));
        for instalment in plan {
            grid.row(shown([
                match instalment.number {
                    0 => "down".to_owned(),
                    number => number.to_string(),
                },
                instalment.day.to_string(),
                currency.grouped(instalment.principal),
                currency.grouped(instalment.interest),
                currency.grouped(instalment.fee),
                currency.grouped(instalment.total()),
                currency.grouped(instalment.balance),
            ]));
        }
        let sum = |of: fn(&Instalment) -> Amount| currency.grouped(plan.iter().map(of).sum());
        grid.row(shown([
            String::new(),
            "all".to_owned(),
            sum(|instalment| instalment.principal),
            sum(|instalment| instalment.interest),
            sum(|instalment| instalment.fee),
            sum(Instalment::total),
            String::new(),
        ]));
        self.grid(&grid);
    }

    pub(super) fn instructed(
        &mut self,
        key: &str,
        transaction: &Transaction,
        change: &Totals,
        book: &Book,
    ) {
        let Some((loan, agreement)) = self.of(book) else {
            return;
        };
        let (currency, today) = (agreement.currency(), book.business_date());
        let what = match transaction.action {
            Action::Repay(_) | Action::Prepay(..) if change.recovered.is_positive() => "Recovery",
            action => title(&action),
        };
        let words = in_words(&transaction.action, export::parties(book), currency);
        let mut line = format!("{what} {key}: {words}");
        if transaction.day != today {
            let _ = write!(line, ", value date {}", transaction.day);
        }
        self.event(today, line);
        if transaction.day < today {
            self.note("It came to the book late: the loan was worked out anew from that date.");
            self.late_fees_changed(&loan.position, currency);
            self.write_off_changed(&loan.position);
        }
        if let Action::Transfer(_) = transaction.action {
            self.sold(transaction.number, &loan, agreement, book);
        }
        self.shared(change, &loan, agreement);
        let replanned = self.next
            || matches!(
                transaction.action,
                Action::Draw(_)
                    | Action::ChangeDueDate(_)
                    | Action::Pause { .. }
                    | Action::ReAge { .. }
                    | Action::ReAmortise { .. }
                    | Action::ChangeRate(_)
            );
        if replanned {
            self.plan(&loan.position, &book.terms(&loan), agreement);
        }
        self.stands(&loan, currency);
    }

    pub(super) fn reversed(&mut self, key: &str, number: u32, change: &Totals, book: &Book) {
        let Some((loan, agreement)) = self.of(book) else {
            return;
        };
        let (currency, today) = (agreement.currency(), book.business_date());
        let known = self.done.iter().find(|(_, done)| done.number == number);
        let Some((of, done)) = known else {
            return;
        };
        let what = lower_first(title(&done.action));
        let words = in_words(&done.action, export::parties(book), currency);
        let line = format!(
            "Reversal of {of}: {what}, {words}, value date {} ({key})",
            done.day
        );
        self.event(today, line);
        self.note("The loan was worked out anew without it.");
        self.late_fees_changed(&loan.position, currency);
        self.write_off_changed(&loan.position);
        self.shared(change, &loan, agreement);
        if self.next {
            self.plan(&loan.position, &book.terms(&loan), agreement);
        }
        self.stands(&loan, currency);
    }

    /// A write-off that another past undoes, or brings back.
    fn write_off_changed(&mut self, now: &Position) {
        let before = self.before.as_ref().map(|(past, _)| past.status);
        match (before, now.status) {
            (Some(Status::ChargedOff), Status::Active) => {
                self.note("It was not so late when it was written off: the write-off is undone.");
            }
            (Some(Status::Active), Status::ChargedOff) => {
                self.note("It was as late when it was written off: the write-off holds again.");
            }
            _ => {}
        }
    }

    /// Late fees that another past brings, or takes away.
    fn late_fees_changed(&mut self, now: &Position, currency: Currency) {
        let before = self.before.as_ref();
        let before = before.map_or(Amount::ZERO, |(position, _)| late_fees(position));
        let more = late_fees(now) - before;
        if more.is_positive() {
            let more = currency.grouped(more);
            self.note(format_args!("With it comes a late fee of {more}."));
        } else if !more.is_zero() {
            let less = currency.grouped(-more);
            self.note(format_args!("The late fee of {less} falls away."));
        }
    }

    /// What a sale came to.
    fn sold(&mut self, number: u32, loan: &Loan, agreement: &Agreement, book: &Book) {
        let sales = loan.history.transactions();
        let mut sales = sales
            .iter()
            .filter(|done| matches!(done.action, Action::Transfer(_)));
        let place = sales.position(|done| done.number == number);
        let split = loan.split(agreement);
        if let Some(sold) = place.and_then(|place| split.sold.get(place)) {
            let [principal, price, interest] = [sold.principal, sold.price, sold.interest]
                .map(|amount| agreement.currency().grouped(amount));
            let [seller, buyer] = [sold.seller, sold.buyer].map(|party| export::name(book, party));
            self.note(format_args!(
                "{buyer} pays {seller} {price} for principal of {principal}, and {interest} for interest."
            ));
        }
    }

    /// What is still to fall due.
    fn plan(&mut self, position: &Position, terms: &Terms<'_>, agreement: &Agreement) {
        let coming = &position.timeline(terms).steps[usize::from(position.contract.next)..];
        let coming = coming
            .iter()
            .filter(|step| step.ops.has(Ops::INTEREST))
            .count();
        let Some(next) = position.next_due(terms) else {
            return;
        };
        let mut then = position.clone();
        then.advance(terms, next);
        let due = then.due.iter().filter(|due| due.day == next);
        let due: Amount = due
            .map(|due| due.principal + due.interest + due.instalment_fee)
            .sum();
        let amount = match due {
            Amount::ZERO => String::new(),
            due => format!(", {},", agreement.currency().grouped(due)),
        };
        self.note(match coming {
            1 => format!("The last instalment{amount} falls due on {next}."),
            count => format!(
                "The next of {count} instalments{amount} falls due on {next}, the last on {}.",
                position.timeline(terms).end()
            ),
        });
    }

    pub(super) fn charged_off(&mut self, change: &Totals, book: &Book) {
        let Some((loan, agreement)) = self.of(book) else {
            return;
        };
        let written_off = agreement.currency().show(change.charged_off);
        self.event(
            book.business_date(),
            format_args!("Written off: {written_off}"),
        );
        self.shared(change, &loan, agreement);
    }

    /// What a change of the loan brings each party.
    pub(super) fn shared(&mut self, change: &Totals, loan: &Loan, agreement: &Agreement) {
        let before = self
            .before
            .as_ref()
            .map_or_else(Split::default, |(position, _)| {
                Split::of(position, loan.principal, &loan.parts, agreement)
            });
        let mut table = PartyTable::of(change, &before, &loan.split(agreement), agreement);
        table.rows.retain(|row| !row.is_empty());
        if !table.rows.is_empty() {
            self.grid(&table.grid(agreement));
        }
    }

    pub(super) fn stands(&mut self, loan: &Loan, currency: Currency) {
        let held = loan.position.totals.held();
        match loan.position.status {
            Status::Repaid => self.note("The loan is repaid."),
            Status::ChargedOff => {}
            Status::Active if held.is_positive() => self.note(format_args!(
                "Principal outstanding {}; {} held for what falls due.",
                currency.grouped(loan.position.outstanding()),
                currency.grouped(held)
            )),
            Status::Active => self.note(format_args!(
                "Principal outstanding {}.",
                currency.grouped(loan.position.outstanding())
            )),
        }
    }

    /// What has fallen due and is not paid.
    pub(super) fn overdue(&mut self, loan: &Loan, book: &Book) {
        let mut now = loan.position.clone();
        now.advance(&book.terms(loan), book.business_date());
        let Some(since) = now.due.iter().map(|due| due.day).min() else {
            return;
        };
        let all = |due: &Due| due.principal + due.interest + due.fee + due.instalment_fee;
        let unpaid: Amount = now.due.iter().map(all).sum();
        if loan.position.status == Status::Active && unpaid.is_positive() {
            let agreement = &book.version_of(loan).agreement;
            let unpaid = agreement.currency().grouped(unpaid);
            self.note(format_args!("Unpaid since {since}: {unpaid}."));
        }
    }
}

/// Late fees that were charged and are not waived, paid or not.
pub(super) fn late_fees(position: &Position) -> Amount {
    position.totals.fees + position.due.iter().map(|due| due.fee).sum()
}

fn lower_first(words: &str) -> String {
    let mut characters = words.chars();
    let first = characters
        .next()
        .map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}
