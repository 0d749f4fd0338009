//! `tandem history`: the life of one loan in plain words, with every date and amount, or of an
//! application that never became one.

use std::fmt::Write as _;

use tandem_domain::agreement::{Agreement, Earner, FundingMode, LimitScope};
use tandem_domain::book::{
    ApplicationState, Book, Clause, Decided, DeclineReason, Event, Loan, Verdict, Version,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::STANDARD;
use tandem_domain::funding::Part;
use tandem_domain::ledger::Entry;
use tandem_domain::loan::{
    Action, Due, Instalment, Ops, Own, Position, Sold, Split, Status, Terms, Totals, Transaction,
    earner, schedule,
};
use tandem_domain::money::{Amount, Currency, Rate};
use tandem_domain::party::{MAX_PARTIES, PartyId};
use tandem_domain::policy::Outcome as Answer;
use tandem_engine::{Step, replay};
use tandem_journal::{Journal, Store};

use crate::data::BookOption;
use crate::export::{self, grid::Grid};
use crate::fail::{Failure, Outcome};
use crate::words::{counted, distance, in_words, title};

/// Options of `tandem history`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Key of the application that the loan came from.
    loan: String,
    #[command(flatten)]
    book: BookOption,
}

/// Tells the life of one loan.
pub(crate) fn history(options: &Options) -> Outcome {
    let mut journal = options.book.place()?.open_read_only()?;
    export::show(&tell(&mut journal, &options.loan)?)
}

fn tell<S: Store>(journal: &mut Journal<S>, key: &str) -> Outcome<String> {
    let mut story = Story::new(key);
    let book = replay(journal, &mut |step| story.step(&step))?;
    story.end(&book)
}

/// A loan before a command, by its place.
pub(crate) type Before = (u32, Loan);

/// Tells what an instruction has just done to a loan, and what comes next; `of` is the key of the
/// instruction that was taken back.
pub(crate) fn done(key: &str, of: Option<&str>, (place, before): &Before, book: &Book) -> String {
    let loan = &book.loan_in(*place);
    let mut story = Story::new(key);
    story.loan = Some(*place);
    story.before = Some((before.position.clone(), before.class));
    story.next = true;
    let change = loan.position.totals.since(&before.position.totals);
    let is_in = |history: &[Transaction], wanted: &Transaction| {
        history.iter().any(|known| known.number == wanted.number)
    };
    let (was, is) = (before.history.transactions(), loan.history.transactions());
    let gone = was.iter().find(|known| !is_in(&is, known));
    let new = is.iter().find(|known| !is_in(&was, known));
    match (of, gone, new) {
        (Some(of), Some(gone), _) => {
            story.done.push((of.to_owned(), *gone));
            story.reversed(key, gone.number, &change, book);
        }
        (_, _, Some(new)) if matches!(new.action, Action::ChargeOff { .. }) => {
            story.charged_off(&change, book);
        }
        (_, _, Some(new)) => story.instructed(key, new, &change, book),
        _ => {}
    }
    story.overdue(loan, book);
    story.text.trim_start().to_owned()
}

/// Columns of a terminal that is not wide.
const WIDTH: usize = 100;

/// Width of what stands before the words of an event: its date.
const INDENT: usize = 12;

/// The story, told while the journal is read.
struct Story<'k> {
    key: &'k str,
    text: String,
    application: Option<u32>,
    loan: Option<u32>,
    /// True once there was an offer.
    offered: bool,
    /// True once the offer, or what a person had to decide, lapsed.
    lapsed: bool,
    /// The loan's position and class as they were before the event at hand.
    before: Option<(Position, u8)>,
    /// What was done to the loan, with the keys.
    done: Vec<(String, Transaction)>,
    entries: Vec<Entry>,
    /// Says after everything that is done what falls due next.
    next: bool,
}

impl Story<'_> {
    fn new(key: &str) -> Story<'_> {
        Story {
            key,
            text: String::new(),
            application: None,
            loan: None,
            offered: false,
            lapsed: false,
            before: None,
            done: Vec::new(),
            entries: Vec::new(),
            next: false,
        }
    }

    fn step(&mut self, step: &Step<'_>) {
        let (book, today) = (step.book, step.book.business_date());
        match step.event {
            Event::Decided(decided) if decided.key == self.key => {
                self.application = Some((book.application_count() - 1) as u32);
                self.decided(decided, book);
            }
            Event::Underwritten {
                application,
                lender: place,
                decided,
            } if Some(*application) == self.application => {
                let version = &book.versions()[usize::from(decided.version)];
                let lender = lender(&version.agreement, usize::from(*place));
                self.event(today, format_args!("A person at {lender} decides"));
                self.judged(decided, version);
            }
            Event::Withdrawn { application } if Some(*application) == self.application => {
                self.event(today, "The application is withdrawn");
            }
            Event::Disbursed { application } if Some(*application) == self.application => {
                let loan = (book.loan_count() - 1) as u32;
                self.loan = Some(loan);
                self.disbursed(&book.loan_in(loan), book);
            }
            Event::Instructed {
                key,
                loan,
                transaction,
                change,
                ..
            } if Some(*loan) == self.loan => {
                self.instructed(key, transaction, change, book);
                self.done.push((key.clone(), *transaction));
            }
            Event::Reversed {
                key,
                loan,
                number,
                change,
                ..
            } if Some(*loan) == self.loan => {
                self.reversed(key, *number, change, book);
            }
            Event::Fixed { index, day, rate } => self.fixed(index, *day, *rate, book),
            Event::ChargedOff { loan, change, .. } if Some(*loan) == self.loan => {
                self.charged_off(change, book);
            }
            Event::Archived { name, loans }
                if self
                    .loan
                    .is_some_and(|loan| loans.binary_search(&loan).is_ok()) =>
            {
                self.event(today, format_args!("Archived in {name}"));
            }
            Event::DayEnded { .. } => self.day_ended(book),
            _ => {}
        }
        if let Some(loan) = self.loan {
            let own = step.entries.iter().filter(|entry| entry.loan == Some(loan));
            self.entries.extend(own.cloned());
            let loan = &book.loan_in(loan);
            self.class_changed(loan, book);
            let now = (&loan.position, loan.class);
            if self
                .before
                .as_ref()
                .map(|(position, class)| (position, *class))
                != Some(now)
            {
                self.before = Some((loan.position.clone(), loan.class));
            }
        }
    }

    fn end(mut self, book: &Book) -> Outcome<String> {
        if self.application.is_none() {
            return Err(unknown(self.key, book));
        }
        if let Some(loan) = self.loan {
            self.position(&book.loan_in(loan), book);
            self.postings(book);
        }
        Ok(self.text)
    }

    /// A dated line.
    fn event(&mut self, day: Day, what: impl std::fmt::Display) {
        let _ = writeln!(self.text, "\n{day}  {what}");
    }

    /// Words that belong to the event before them.
    fn note(&mut self, what: impl std::fmt::Display) {
        let words = what.to_string();
        let mut words = words.split(' ');
        let mut line = format!("{:INDENT$}{}", "", words.next().unwrap_or_default());
        for word in words {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                let next = format!("{:INDENT$}  {word}", "");
                let _ = writeln!(self.text, "{}", std::mem::replace(&mut line, next));
            } else {
                let _ = write!(line, " {word}");
            }
        }
        let _ = writeln!(self.text, "{line}");
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn grid(&mut self, grid: &Grid) {
        self.text += &grid.plain(INDENT);
    }

    fn decided(&mut self, decided: &Decided, book: &Book) {
        let version = &book.versions()[usize::from(decided.version)];
        let file = &version.agreement.file;
        let _ = writeln!(
            self.text,
            "{}, under version {} of “{}”",
            self.key, file.version, file.title
        );
        self.event(book.business_date(), "Application");
        if let Some(borrower) = &decided.borrower {
            self.note(format_args!("Borrower {borrower}"));
        }
        self.values(decided, &version.agreement);
        self.blank();
        self.judged(decided, version);
    }

    /// What each lender says, and what comes of it.
    fn judged(&mut self, decided: &Decided, version: &Version) {
        let file = &version.agreement.file;
        self.decisions(decided, version);
        self.blank();
        for barred in &decided.barred {
            let lender = lender(&version.agreement, usize::from(barred.lender));
            self.note(format_args!(
                "{lender} takes no part: {}",
                clause(version, barred.clause)
            ));
        }
        match &decided.verdict {
            Verdict::Offered {
                parts,
                rate,
                valid_to,
            } => {
                self.offered = true;
                self.funding(decided, parts, *rate, version);
                self.note(format_args!("The offer stands until {valid_to}."));
            }
            Verdict::Declined(reason) => {
                let words = match reason {
                    DeclineReason::Clause(reason) => clause(version, *reason),
                    DeclineReason::Ineligible(place) => {
                        let row = &file.ineligible[usize::from(*place)];
                        format!("{}, {}", row.code, row.reason)
                    }
                    reason => version.decline_reason(*reason),
                };
                self.note(format_args!("Declined: {words}"));
            }
            Verdict::Referred(places, valid_to) => {
                let names = places
                    .iter()
                    .map(|&place| lender(&version.agreement, usize::from(place)));
                let names = names.collect::<Vec<_>>().join(", ");
                let until = valid_to.map_or_else(String::new, |day| format!(", until {day}"));
                self.note(format_args!(
                    "Referred: it waits for a person at {names}{until}"
                ));
            }
        }
    }

    /// The application's data, and who saw it.
    fn values(&mut self, decided: &Decided, agreement: &Agreement) {
        let mut grid = Grid::new(3, ["field", "value", "seen by"]);
        for (place, ((name, kind), value)) in agreement
            .scope
            .fields
            .iter()
            .zip(&decided.values)
            .enumerate()
        {
            let seen_by = match place.checked_sub(STANDARD.len()) {
                Some(own) => agreement.file.field[own].seen_by.join(", "),
                None => "every lender".to_owned(),
            };
            grid.row([
                name.clone(),
                kind.show(value, agreement.currency()),
                seen_by,
            ]);
        }
        self.grid(&grid);
    }

    /// What each lender said, with its reasons.
    fn decisions(&mut self, decided: &Decided, version: &Version) {
        let currency = version.agreement.currency();
        let mut grid = Grid::new(4, ["lender", "policy", "score", "decision"]);
        for (policy, decision) in version.policies.iter().zip(&decided.decisions) {
            let score = decision
                .score
                .map_or("–".to_owned(), |score| score.to_string());
            let (says, reasons): (_, &[u8]) = match &decision.outcome {
                Answer::Approve { maximum, rate } => (
                    format!("approves up to {} at {rate}", currency.show(*maximum)),
                    &[],
                ),
                Answer::Decline(reasons) => ("declines".to_owned(), reasons),
                Answer::Refer(reasons) => ("asks a person to decide".to_owned(), reasons),
            };
            grid.row([
                policy.file.lender.clone(),
                policy.file.version.clone(),
                score,
                says,
            ]);
            for &place in reasons {
                let (code, words) = &policy.reasons[usize::from(place)];
                grid.row(["", "", "", &format!("  {code}: {words}")]);
            }
        }
        self.grid(&grid);
    }

    /// How the lenders share the loan, and why so.
    fn funding(&mut self, decided: &Decided, parts: &[Part], rate: Rate, version: &Version) {
        let agreement = &version.agreement;
        let currency = agreement.currency();
        let whole: Amount = parts.iter().map(|part| part.amount).sum();
        self.note(match agreement.file.funding.mode {
            FundingMode::Fixed => "Funded by the shares that the agreement fixes:",
            FundingMode::Offers => {
                "Funded in proportion to what each lender offers, within its largest share:"
            }
            FundingMode::InOrder => {
                "Funded by one lender after the other, each as far as it offers:"
            }
        });
        let mut grid = Grid::new(1, ["lender", currency.code(), "share", "rate"]);
        for (place, part) in parts.iter().enumerate() {
            let id = lender(agreement, place);
            if part.amount.is_positive() {
                let share = Rate::of(part.amount, whole);
                grid.row([
                    id,
                    &currency.grouped(part.amount),
                    &share.to_string(),
                    &part.rate.to_string(),
                ]);
            }
        }
        grid.row([
            "together",
            &currency.grouped(whole),
            &Rate::ONE.to_string(),
            &rate.to_string(),
        ]);
        self.grid(&grid);
        for (place, decision) in decided.decisions.iter().enumerate() {
            let approved = matches!(decision.outcome, Answer::Approve { .. });
            let barred = decided
                .barred
                .iter()
                .any(|barred| usize::from(barred.lender) == place);
            if approved && !barred && parts[place].amount.is_zero() {
                let why = match agreement.file.funding.mode {
                    FundingMode::InOrder => {
                        "the others cover the amount, or leave it less than its smallest share"
                    }
                    FundingMode::Fixed | FundingMode::Offers => {
                        "its part would be less than its smallest share"
                    }
                };
                self.note(format_args!(
                    "{} takes no part: {why}",
                    lender(agreement, place)
                ));
            }
        }
    }

    /// The money goes out: fees, and the plan.
    fn disbursed(&mut self, loan: &Loan, book: &Book) {
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
        let with_fee = plan.iter().any(|instalment| !instalment.fee.is_zero());
        let fee = |words: &str| with_fee.then(|| words.to_owned());
        let head = ["instalment", "due", "principal", "interest"].map(str::to_owned);
        let tail = ["total", "balance"].map(str::to_owned);
        let mut grid = Grid::new(2, head.into_iter().chain(fee("fee")).chain(tail));
        for instalment in &plan {
            let shown = |amount| currency.grouped(amount);
            let number = match instalment.number {
                0 => "down".to_owned(),
                number => number.to_string(),
            };
            let head = [
                number,
                instalment.day.to_string(),
                shown(instalment.principal),
                shown(instalment.interest),
            ];
            let tail = [shown(instalment.total()), shown(instalment.balance)];
            let fee = fee(&shown(instalment.fee));
            grid.row(head.into_iter().chain(fee).chain(tail));
        }
        let sum = |of: fn(&Instalment) -> Amount| currency.grouped(plan.iter().map(of).sum());
        let head = [
            String::new(),
            "all".to_owned(),
            sum(|instalment| instalment.principal),
            sum(|instalment| instalment.interest),
        ];
        let fee = fee(&sum(|instalment| instalment.fee));
        let tail = [sum(Instalment::total), String::new()];
        grid.row(head.into_iter().chain(fee).chain(tail));
        self.grid(&grid);
    }

    fn instructed(&mut self, key: &str, transaction: &Transaction, change: &Totals, book: &Book) {
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

    fn reversed(&mut self, key: &str, number: u32, change: &Totals, book: &Book) {
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

    /// A reference rate that the loan follows.
    fn fixed(&mut self, index: &str, day: Day, rate: Rate, book: &Book) {
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

    fn charged_off(&mut self, change: &Totals, book: &Book) {
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

    fn day_ended(&mut self, book: &Book) {
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

    fn class_changed(&mut self, loan: &Loan, book: &Book) {
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

    /// The loan and the agreement that governs it.
    fn of<'b>(&self, book: &'b Book) -> Option<(Loan, &'b Agreement)> {
        let loan = book.loan_at(self.loan?)?;
        let agreement = &book.version_of(&loan).agreement;
        Some((loan, agreement))
    }

    /// What a change of the loan brings each party.
    fn shared(&mut self, change: &Totals, loan: &Loan, agreement: &Agreement) {
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

    fn stands(&mut self, loan: &Loan, currency: Currency) {
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
    fn overdue(&mut self, loan: &Loan, book: &Book) {
        let Some((_, agreement)) = self.of(book) else {
            return;
        };
        let mut now = loan.position.clone();
        now.advance(&book.terms(loan), book.business_date());
        let Some(since) = now.due.iter().map(|due| due.day).min() else {
            return;
        };
        let all = |due: &Due| due.principal + due.interest + due.fee + due.instalment_fee;
        let unpaid: Amount = now.due.iter().map(all).sum();
        if loan.position.status == Status::Active && unpaid.is_positive() {
            let unpaid = agreement.currency().grouped(unpaid);
            self.note(format_args!("Unpaid since {since}: {unpaid}."));
        }
    }

    /// Where the loan stands at the end of the journal.
    fn position(&mut self, loan: &Loan, book: &Book) {
        let agreement = &book.version_of(loan).agreement;
        let (currency, today) = (agreement.currency(), book.business_date());
        let position = &loan.position;
        match position.status {
            Status::Repaid => self.event(today, "Position: repaid"),
            Status::ChargedOff => self.event(today, "Position: written off"),
            Status::Active => {
                let mut then = position.clone();
                let terms = book.terms(loan);
                then.advance(&terms, today);
                let payoff = currency.show(then.payoff(&terms, today).total());
                self.event(
                    today,
                    format_args!("Position: active; {payoff} would repay it today"),
                );
                if !position.due.is_empty() {
                    let with_fee = position.due.iter().any(|due| !due.instalment_fee.is_zero());
                    let fee = with_fee.then(|| "fee".to_owned());
                    let head = ["unpaid since", "principal", "interest", "late fee"];
                    let mut grid = Grid::new(1, head.map(str::to_owned).into_iter().chain(fee));
                    for due in &position.due {
                        let [principal, interest, late, fee] =
                            [due.principal, due.interest, due.fee, due.instalment_fee]
                                .map(|amount| currency.grouped(amount));
                        let cells = [due.day.to_string(), principal, interest, late];
                        grid.row(cells.into_iter().chain(with_fee.then_some(fee)));
                    }
                    self.grid(&grid);
                    self.blank();
                }
            }
        }
        let split = loan.split(agreement);
        let mut table = PartyTable::of(&position.totals, &Split::default(), &split, agreement);
        let mut funded = Row::new("funded", loan.principal + position.totals.drawn);
        let mut outstanding = Row::new("outstanding", position.outstanding());
        for party in split.holders.iter() {
            let own = split.own(party);
            funded.parties[party.index()] = own.disbursed;
            outstanding.parties[party.index()] = own.outstanding;
        }
        // What was drawn is in what was funded.
        table.rows[0] = funded;
        table.rows.retain(|row| !row.is_empty());
        table.rows.push(outstanding);
        self.grid(&table.grid(agreement));
    }

    /// Every posting that the loan made.
    fn postings(&mut self, book: &Book) {
        let Some(agreement) = book.latest().map(|version| &version.agreement) else {
            return;
        };
        let mut grid = Grid::new(3, ["party", "", "account", "debit", "credit"]);
        let mut heads = vec![Some("\nPostings".to_owned())];
        for entry in &self.entries {
            let mut head = Some(format!(
                "{}  entry {}, {}",
                entry.day, entry.number, entry.kind
            ));
            for posting in &entry.postings {
                let amount = agreement.currency().grouped(Amount(posting.amount.0.abs()));
                let (debit, credit) = match posting.amount.is_positive() {
                    true => (amount, String::new()),
                    false => (String::new(), amount),
                };
                let other = posting.account.counterparty();
                let other = other.map_or(String::new(), |party| {
                    format!(" {}", agreement.party(party).id)
                });
                grid.row([
                    agreement.party(posting.party).id.clone(),
                    posting.account.number().to_string(),
                    format!("{}{other}", posting.account.name()),
                    debit,
                    credit,
                ]);
                heads.push(head.take());
            }
        }
        for (line, head) in grid.plain(INDENT).lines().zip(heads) {
            if let Some(head) = head {
                let _ = writeln!(self.text, "{head}");
            }
            let _ = writeln!(self.text, "{line}");
        }
    }
}

/// A kind of money and what each party had of it.
struct Row {
    name: &'static str,
    whole: Amount,
    parties: [Amount; MAX_PARTIES],
}

impl Row {
    fn new(name: &'static str, whole: Amount) -> Row {
        Row {
            name,
            whole,
            parties: [Amount::ZERO; MAX_PARTIES],
        }
    }

    fn is_empty(&self) -> bool {
        self.whole.is_zero() && self.parties.iter().all(|amount| amount.is_zero())
    }
}

/// Kinds of money by party.
struct PartyTable {
    rows: Vec<Row>,
}

impl PartyTable {
    /// What a loan's totals, or a change of them, are for each party, by its splits before and
    /// after; the first row is what was drawn.
    fn of(totals: &Totals, before: &Split, after: &Split, agreement: &Agreement) -> PartyTable {
        let holders = |name, whole, of: &dyn Fn(&Own) -> Amount| {
            let mut row = Row::new(name, whole);
            for (split, sign) in [(after, 1), (before, -1)] {
                for (party, own) in split.holders.iter().zip(&split.own) {
                    row.parties[party.index()] += Amount(sign * of(own).0);
                }
            }
            row
        };
        let give = |row: &mut Row, party: Option<PartyId>, amount: Amount| {
            if let Some(party) = party {
                row.parties[party.index()] += amount;
            }
        };
        let kinds = [
            ("late fees", totals.fees, agreement.loan_fees.late),
            (
                "instalment fees",
                totals.instalment_fees,
                agreement.loan_fees.instalment,
            ),
            (
                "prepayment fees",
                totals.prepayment_fees,
                agreement.loan_fees.prepayment,
            ),
        ];
        let charged = || kinds.iter().filter(|(_, amount, _)| !amount.is_zero());
        let name = match (charged().count(), charged().next()) {
            (1, Some((name, ..))) => name,
            _ => "fees",
        };
        let mut fees = holders(name, totals.all_fees(), &|own| own.fees);
        for (place, (_, _, fee)) in kinds.into_iter().enumerate() {
            let amount = after.fees_elsewhere[place] - before.fees_elsewhere[place];
            give(&mut fees, earner(fee), amount);
        }
        let of_which = charged().filter(|_| charged().count() > 1);
        let of_which = of_which.map(|(name, amount, _)| Row::new(name, *amount));
        let mut recovered = holders("recovered", totals.recovered, &|own| own.recovered);
        give(
            &mut recovered,
            agreement.guarantor,
            after.recovered_by_guarantor - before.recovered_by_guarantor,
        );
        let mut compensation = holders("compensation", Amount::ZERO, &|own| own.compensated);
        give(&mut compensation, agreement.guarantor, -totals.compensated);
        let mut service_fee = holders("service fee", Amount::ZERO, &|own| -own.service_fee);
        let paid: Amount = service_fee.parties.iter().copied().sum();
        let platform = agreement.service_fee.map(|(platform, _)| platform);
        give(&mut service_fee, platform, -paid);
        let mut credited = Row::new("goodwill credit", totals.credited);
        give(&mut credited, Some(agreement.goodwill), -totals.credited);
        let (mut bought, mut price) = (
            Row::new("principal bought", Amount::ZERO),
            Row::new("paid for it", Amount::ZERO),
        );
        for (sold, sign) in signed(&after.sold, 1).chain(signed(&before.sold, -1)) {
            let paid = sold.price + sold.interest;
            for (party, sign) in [(sold.buyer, sign), (sold.seller, -sign)] {
                bought.parties[party.index()] += Amount(sign * sold.principal.0);
                price.parties[party.index()] -= Amount(sign * paid.0);
            }
        }
        let mut rows = vec![
            holders("drawn", totals.drawn, &|own| own.disbursed),
            Row::new("received", totals.received),
            credited,
            fees,
        ];
        rows.extend(of_which);
        rows.extend([
            holders("penalty", totals.penalty, &|own| own.penalty),
            holders("interest", totals.interest, &|own| own.interest),
            holders("principal", totals.principal, &|own| own.principal),
            recovered,
            Row::new("held", totals.held()),
            Row::new("given back", totals.refunded),
            holders("written off", totals.charged_off, &|own| own.charged_off),
            Row::new("interest given up", totals.interest_forgone),
            holders("capitalised", totals.capitalised, &|own| own.capitalised),
            bought,
            price,
            compensation,
            service_fee,
        ]);
        PartyTable { rows }
    }

    /// With a column for the loan and for each party that has to do with it.
    fn grid(&self, agreement: &Agreement) -> Grid {
        let currency = agreement.currency();
        let concerned: Vec<_> = agreement
            .parties()
            .filter(|(party, _)| {
                self.rows
                    .iter()
                    .any(|row| !row.parties[party.index()].is_zero())
            })
            .collect();
        let names = concerned.iter().map(|(_, party)| party.id.as_str());
        let mut grid = Grid::new(1, [currency.code(), "loan"].into_iter().chain(names));
        let cell = |amount: Amount| match amount.is_zero() {
            true => String::new(),
            false => currency.grouped(amount),
        };
        for row in &self.rows {
            let parties = concerned
                .iter()
                .map(|(party, _)| cell(row.parties[party.index()]));
            let whole = if row.is_empty() {
                currency.grouped(row.whole)
            } else {
                cell(row.whole)
            };
            grid.row([row.name.to_owned(), whole].into_iter().chain(parties));
        }
        grid
    }
}

fn signed(sales: &[Sold], sign: i64) -> impl Iterator<Item = (&Sold, i64)> {
    sales.iter().map(move |sold| (sold, sign))
}

/// Late fees that were charged and are not waived, paid or not.
fn late_fees(position: &Position) -> Amount {
    position.totals.fees + position.due.iter().map(|due| due.fee).sum()
}

fn lower_first(words: &str) -> String {
    let mut characters = words.chars();
    let first = characters
        .next()
        .map(|first| first.to_lowercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

fn lender(agreement: &Agreement, place: usize) -> &str {
    agreement
        .lenders
        .get(place)
        .map_or("", |&party| &agreement.party(party).id)
}

/// A clause with what it allows: `clause 7.1 of the agreement, at most 12,000.00 CNY in all`.
fn clause(version: &Version, clause: Clause) -> String {
    let words = version.clause(clause);
    let Clause::Limit(place) = clause else {
        return words;
    };
    let Some(limit) = version.agreement.file.limit.get(usize::from(place)) else {
        return words;
    };
    let scope = match limit.per {
        LimitScope::Day => "a day",
        LimitScope::Total => "in all",
        LimitScope::Region => "in a region",
        LimitScope::Borrower => "for a borrower",
        LimitScope::Partner => "through the platform",
    };
    format!("{words}, at most {} {scope}", limit.amount)
}

/// What to say about a key that no application has.
pub(crate) fn unknown(key: &str, book: &Book) -> Failure {
    let keys = book.applications().map(|record| record.key);
    let furthest = 1 + key.chars().count() / 4;
    let mut near: Vec<(usize, &str)> = keys
        .map(|known| (distance(key, known), known))
        .filter(|(away, _)| *away <= furthest)
        .collect();
    near.sort_by_key(|(away, _)| *away);
    let near: Vec<_> = near.iter().take(5).map(|(_, known)| *known).collect();
    let hint = match (near.as_slice(), book.application_at(0)) {
        (_, None) => "the book has none".to_owned(),
        ([], Some(first)) => format!("keys here look like {}", first.key),
        (near, _) => format!("near it are {}", near.join(", ")),
    };
    Failure(format!("there is no application `{key}`; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::{sample, tests::golden};

    fn told(key: &str) -> Outcome<String> {
        tell(sample::engine().journal(), key)
    }

    #[test]
    fn every_fate_is_told() {
        for key in ["A-1", "A-2", "A-3", "B-1", "B-2", "B-3", "B-4", "B-5"] {
            let text = told(key).unwrap();
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{text}"
            );
            golden(&text, &format!("history-{key}"));
        }
    }

    #[test]
    fn everything_that_is_done_is_told() {
        for key in ["C-1", "C-2"] {
            let text = tell(sample::eventful().journal(), key).unwrap();
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{text}"
            );
            golden(&text, &format!("history-{key}"));
        }
    }

    #[test]
    fn what_people_decide_is_told() {
        for key in ["D-1", "D-2", "D-3"] {
            let text = tell(sample::referred().journal(), key).unwrap();
            golden(&text, &format!("history-{key}"));
        }
    }

    #[test]
    fn an_unknown_key_names_its_neighbours() {
        let said = |key| told(key).expect_err("there is none").0;
        assert_eq!(
            said("A-4"),
            "there is no application `A-4`; near it are A-1, A-2, A-3, B-4"
        );
        assert_eq!(
            said("somebody else"),
            "there is no application `somebody else`; keys here look like A-1"
        );
        let name = tandem_journal::BookName::new("empty").unwrap();
        let mut empty = Journal::open(tandem_journal::Memory::new(name)).unwrap();
        assert_eq!(
            tell(&mut empty, "A-1").expect_err("there is none").0,
            "there is no application `A-1`; the book has none"
        );
    }

    #[test]
    fn long_notes_are_broken_between_words() {
        let mut story = Story::new("");
        story.note("short");
        story.note("a word and ".repeat(10).trim_end());
        assert_eq!(
            story.text,
            "            short\n            \
             a word and a word and a word and a word and a word and a word and a word and a word and\n\
             \u{20}             a word and a word and\n"
        );
    }
}
