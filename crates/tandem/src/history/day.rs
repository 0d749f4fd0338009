//! What time brings a loan: what falls due, late fees, classes, and rates that it follows.

use tandem_domain::book::{ApplicationState, Book, Loan};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Ops, Status, Totals};
use tandem_domain::money::{Amount, Rate};

use super::loan::late_fees;
use super::story::Story;

impl Story<'_> {
    /// A reference rate that the loan follows.
    pub(super) fn fixed(&mut self, index: &str, day: Day, rate: Rate, book: &Book) {
        let Some((loan, agreement)) = self.of(book) else {
            return;
        };
        let follows = agreement.file.product.floating.as_ref();
        if follows.is_some_and(|floating| floating.index == index)
            && loan.position.status == Status::Active
        {
            self.event(
                book.business_date(),
                format_args!("Reference rate {index}: {rate} from {day}"),
            );
        }
    }

    pub(super) fn day_ended(&mut self, book: &Book) {
        let today = book.business_date();
        let state = self
            .application
            .map(|place| book.application_in(place).state);
        if state == Some(ApplicationState::Lapsed) && !self.lapsed {
            self.lapsed = true;
            self.event(
                today,
                match self.offered {
                    true => "The offer lapses",
                    false => "The referral lapses: not all decided in time",
                },
            );
        }
        let Some((loan, agreement)) = self.of(book) else {
            return;
        };
        let Some((past, class)) = self.before.take() else {
            return;
        };
        let (now, terms, currency) = (&loan.position, book.terms(&loan), agreement.currency());
        if late_fees(now) > late_fees(&past) {
            let fee = currency.show(late_fees(now) - late_fees(&past));
            self.event(today, format_args!("Late fee of {fee}"));
        }
        let steps = &now.timeline(&terms).steps;
        let (from, to) = (
            usize::from(past.contract.next),
            usize::from(now.contract.next),
        );
        let mut fell_due = false;
        for place in from..to {
            let ops = steps[place].ops;
            fell_due |= ops.has(Ops::INTEREST) || ops.has(Ops::DOWN_PAYMENT);
            if ops.has(Ops::INTEREST) {
                let passed = steps[..=place]
                    .iter()
                    .filter(|step| step.ops.has(Ops::INTEREST));
                self.event(
                    today,
                    format_args!("Instalment {} falls due", passed.count()),
                );
            } else if ops.has(Ops::DOWN_PAYMENT) {
                self.event(today, "The down payment falls due");
            } else if ops.has(Ops::RESUME) {
                self.event(today, "The payment holiday ends: interest runs again");
            }
        }
        let resumed = steps[from..to].iter().any(|step| step.ops.has(Ops::RESUME));
        if now.contract.rate != past.contract.rate && !resumed {
            self.note(format_args!(
                "The rate is {} from now on.",
                now.contract.rate
            ));
        }
        let mut change = now.totals.since(&past.totals);
        if change.capitalised.is_positive() {
            let interest = currency.grouped(change.capitalised);
            self.note(format_args!("Interest of {interest} becomes principal."));
            change.capitalised = Amount::ZERO;
        }
        self.before = Some((past, class));
        if change != Totals::default() {
            self.note("Money held is used:");
            self.shared(&change, &loan, agreement);
            self.stands(&loan, currency);
        }
        for due in loan.position.due.iter().filter(|due| due.day == today) {
            let all = due.principal + due.interest + due.instalment_fee;
            let [all, principal, interest, fee] =
                [all, due.principal, due.interest, due.instalment_fee]
                    .map(|amount| currency.grouped(amount));
            let fee = match due.instalment_fee {
                Amount::ZERO => String::new(),
                _ => format!(", fee {fee}"),
            };
            let words = format!("{all} (principal {principal}, interest {interest}{fee})");
            match fell_due {
                true => self.note(format_args!("To pay: {words}.")),
                false => self.event(today, format_args!("Unpaid of what fell due: {words}")),
            }
        }
    }

    pub(super) fn class_changed(&mut self, loan: &Loan, book: &Book) {
        let before = self.before.as_ref().map_or(loan.class, |(_, class)| *class);
        if loan.class == before || loan.position.status != Status::Active {
            return;
        }
        let agreement = &book.version_of(loan).agreement;
        let today = book.business_date();
        let days = loan.position.days_past_due(today);
        let class = &agreement.file.class[usize::from(loan.class)].name;
        let overdue = match days {
            0 => "nothing past due".to_owned(),
            1 => "1 day past due".to_owned(),
            days => format!("{days} days past due"),
        };
        self.event(today, format_args!("Class “{class}”: {overdue}"));
    }
}
