//! Scenarios: what people do to a small cooperation, and everything that follows from it.
//!
//! | command | what it does |
//! |---|---|
//! | `with <change>` | changes the documents, see `Papers::with` |
//! | `trust lends`, `under cn` | a third lender; the built-in rulebook |
//! | `sign` | signs the documents as they stand |
//! | `until <day>` | closes days until this one is open |
//! | `close` | closes the day |
//! | `apply <key> <amount> <months> [<name>=<value> …]` | asks for a loan |
//! | `accept <key>`, `withdraw <key>` | takes an offer or gives it back |
//! | `lend <key> <amount> <months> …` | asks and accepts |
//! | `pay <key> <amount> [on <day>] [prepay] [as <payment>]` | money from a borrower |
//! | `write off <key>` | writes a loan off by decision |
//! | `show schedule\|loan\|application <key>` | what is planned, or where it stands |
//! | `show balances [<party>]`, `show plans`, `show pool`, `show close` | the book |
//! | `show postings [day]` | entries of loans (or of whole days) since last shown |

use std::fmt::Write;

use tandem_domain::book::{Answer, ApplicationState, Command, Refusal, Split, Verdict};
use tandem_domain::ledger::Account;
use tandem_domain::loan::{Status, schedule};
use tandem_domain::money::{Amount, Currency, Money};

use crate::fixture::{Desk, Papers, day};
use crate::golden;

#[test]
fn repayment() {
    golden::check("scenarios/repayment", run);
}

#[test]
fn losses() {
    golden::check("scenarios/losses", run);
}

#[test]
fn offers() {
    golden::check("scenarios/offers", run);
}

#[test]
fn sharing() {
    golden::check("scenarios/sharing", run);
}

#[test]
fn settlement() {
    golden::check("scenarios/settlement", run);
}

#[test]
fn amendment() {
    golden::check("scenarios/amendment", run);
}

#[test]
fn every_folder_has_its_test() {
    let tested = [
        "amendment",
        "losses",
        "offers",
        "repayment",
        "settlement",
        "sharing",
    ];
    assert_eq!(golden::folders("scenarios"), tested);
}

fn run(script: &str) -> String {
    let mut scene = Scene {
        papers: Papers::new(),
        desk: Desk::default(),
        payments: 0,
        shown: 0,
        out: String::new(),
    };
    for line in script.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        writeln!(scene.out, "> {line}").unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        scene.step(line, &words);
    }
    scene.desk.assert_evaluated();
    scene.out
}

struct Scene {
    papers: Papers,
    desk: Desk,
    payments: u32,
    /// Entries that were shown.
    shown: usize,
    out: String,
}

impl Scene {
    fn step(&mut self, line: &str, words: &[&str]) {
        match words {
            ["with", ..] => {
                self.papers = self.papers.clone().with(line.trim_start_matches("with"));
            }
            ["trust", "lends"] => self.papers = self.papers.clone().with_trust(),
            ["under", "cn"] => self.papers = self.papers.clone().under_cn(),
            ["sign"] => {
                let documents = Box::new(self.papers.documents());
                let answer = self.desk.run(&Command::Sign(documents));
                self.answer(answer);
            }
            ["until", to] => self.desk.close_until(day(to)),
            ["close"] => self.desk.close(),
            ["apply", key, amount, months, options @ ..] => {
                self.apply(key, amount, months, options);
            }
            ["lend", key, amount, months, options @ ..] => {
                self.apply(key, amount, months, options);
                let answer = self.desk.accept(key);
                self.answer(answer);
            }
            ["accept", key] => {
                let answer = self.desk.accept(key);
                self.answer(answer);
            }
            ["withdraw", key] => {
                let answer = self.desk.withdraw(key);
                self.answer(answer);
            }
            ["pay", key, amount, options @ ..] => self.pay(key, amount, options),
            ["write", "off", key] => {
                let application = (*key).to_owned();
                let answer = self.desk.run(&Command::ChargeOff { application });
                self.answer(answer);
            }
            ["show", "schedule", key] => self.show_schedule(key),
            ["show", "loan", key] => self.show_loan(key),
            ["show", "application", key] => {
                let state = self.desk.book.application(key).unwrap().state.name();
                writeln!(self.out, "{key} is {state}").unwrap();
            }
            ["show", "balances", parties @ ..] => self.show_balances(parties),
            ["show", "plans"] => self.show_plans(),
            ["show", "pool"] => {
                let pool = self.desk.book.pool();
                let (disbursed, used) = (self.money(pool.disbursed), self.money(pool.used));
                writeln!(self.out, "disbursed {disbursed}, compensated {used}").unwrap();
            }
            ["show", "close"] => self.show_close(),
            ["show", "postings", scope @ ..] => self.show_postings(scope == ["day"]),
            _ => panic!("`{line}` is no command"),
        }
    }

    fn currency(&self) -> Currency {
        self.desk.version().agreement.currency()
    }

    fn money(&self, amount: Amount) -> String {
        self.currency().grouped(amount)
    }

    fn answer(&mut self, answer: Result<Answer, Refusal>) {
        match answer {
            Ok(Answer::Done) => {}
            Ok(Answer::Known) => writeln!(self.out, "known").unwrap(),
            Err(refusal) => writeln!(self.out, "{}: {refusal}", refusal.code()).unwrap(),
        }
    }

    fn apply(&mut self, key: &str, amount: &str, months: &str, options: &[&str]) {
        let answer = self.desk.apply(key, amount, months, options);
        if answer == Ok(Answer::Done) {
            let mut text = self.desk.decided();
            if let Verdict::Offered { rate, valid_to, .. } = self.desk.verdict() {
                text = format!("offered at {rate} until {valid_to}: {text}");
            }
            writeln!(self.out, "{text}").unwrap();
        }
        self.answer(answer);
    }

    fn pay(&mut self, key: &str, amount: &str, mut options: &[&str]) {
        self.payments += 1;
        let mut payment = format!("P{}", self.payments);
        let mut value_date = self.desk.book.business_date();
        let mut prepay = false;
        loop {
            options = match options {
                ["on", date, rest @ ..] => {
                    value_date = day(date);
                    rest
                }
                ["as", name, rest @ ..] => {
                    payment = (*name).to_owned();
                    rest
                }
                ["prepay", rest @ ..] => {
                    prepay = true;
                    rest
                }
                [] => break,
                other => panic!("{other:?}"),
            };
        }
        let amount = match amount {
            "payoff" => self.payoff(key),
            text => {
                let money: Money = format!("{text} CNY").parse().unwrap();
                money.amount
            }
        };
        let answer = self.desk.pay(&payment, key, amount, value_date, prepay);
        self.answer(answer);
    }

    /// What rids the borrower of the loan today.
    fn payoff(&self, key: &str) -> Amount {
        let (_, loan) = self.desk.book.loan(key).unwrap();
        let agreement = &self.desk.book.versions()[usize::from(loan.version)].agreement;
        let (terms, today) = (loan.terms(agreement), self.desk.book.business_date());
        let mut position = loan.position.clone();
        position.advance(&terms, today);
        position.payoff(&terms, today)
    }

    fn show_schedule(&mut self, key: &str) {
        let (_, loan) = self.desk.book.loan(key).unwrap();
        let agreement = &self.desk.book.versions()[usize::from(loan.version)].agreement;
        let mut text =
            String::from(" no  due          principal   interest      total     balance\n");
        for row in schedule(&loan.terms(agreement)) {
            let [principal, interest, total, balance] =
                [row.principal, row.interest, row.total(), row.balance].map(|a| self.money(a));
            writeln!(
                text,
                "{:3}  {}  {principal:>10} {interest:>10} {total:>10} {balance:>11}",
                row.number, row.day
            )
            .unwrap();
        }
        self.out += &text;
    }

    fn show_loan(&mut self, key: &str) {
        let book = &self.desk.book;
        let (_, loan) = book.loan(key).unwrap();
        let agreement = &book.versions()[usize::from(loan.version)].agreement;
        let position = &loan.position;
        let mut text = match position.status {
            Status::Active => format!(
                "active, class {}, {} days past due, outstanding {}, payoff {}",
                agreement.file.class[usize::from(loan.class)].name,
                position.days_past_due(book.business_date()),
                self.money(position.outstanding()),
                self.money(self.payoff(key))
            ),
            Status::Repaid => "repaid".to_owned(),
            Status::ChargedOff => "charged off".to_owned(),
        };
        text += "\n";
        for due in &position.due {
            writeln!(
                text,
                "  due since {}: principal {}, interest {}, fee {}",
                due.day,
                self.money(due.principal),
                self.money(due.interest),
                self.money(due.fee)
            )
            .unwrap();
        }
        let totals = &position.totals;
        let split = Split::of(totals, &loan.parts, agreement);
        writeln!(text, "  received {}", self.money(totals.received)).unwrap();
        for (name, whole, parts) in [
            ("fees", totals.fees, split.fees),
            ("penalty", totals.penalty, split.penalty),
            ("interest", totals.interest, split.interest),
            ("principal", totals.principal, split.principal),
            ("charged off", totals.charged_off, split.charged_off),
            ("compensated", totals.compensated, split.compensated),
            ("recovered", totals.recovered, split.recovered),
        ] {
            if whole.is_zero() {
                continue;
            }
            write!(text, "  {name} {} =", self.money(whole)).unwrap();
            for (&lender, part) in agreement.lenders.iter().zip(parts) {
                let id = &agreement.party(lender).id;
                write!(text, " {id} {}", self.money(part)).unwrap();
            }
            match name {
                "fees" if split.fees_elsewhere.is_positive() => {
                    write!(text, " others {}", self.money(split.fees_elsewhere)).unwrap();
                }
                "recovered" if split.recovered_by_guarantor.is_positive() => {
                    let part = self.money(split.recovered_by_guarantor);
                    write!(text, " guarantor {part}").unwrap();
                }
                _ => {}
            }
            text += "\n";
        }
        for (name, amount) in [
            ("interest forgone", totals.interest_forgone),
            ("refunded", totals.refunded),
            ("held", totals.held()),
        ] {
            if !amount.is_zero() {
                writeln!(text, "  {name} {}", self.money(amount)).unwrap();
            }
        }
        self.out += &text;
    }

    fn show_balances(&mut self, only: &[&str]) {
        let mut text = String::new();
        let agreement = &self.desk.book.latest().unwrap().agreement;
        for (id, party) in agreement.parties() {
            if !only.is_empty() && !only.contains(&party.id.as_str()) {
                continue;
            }
            for account in Account::chart(agreement.file.party.len()) {
                let balance = self.desk.book.ledgers().balance(id, account);
                if !balance.is_zero() {
                    let line = self.line(&party.id, account, balance);
                    writeln!(text, "{line}").unwrap();
                }
            }
        }
        self.out += &text;
    }

    fn line(&self, party: &str, account: Account, amount: Amount) -> String {
        let agreement = &self.desk.book.latest().unwrap().agreement;
        let other = account.counterparty().map(|id| &agreement.party(id).id);
        let name = other.map_or_else(
            || account.name().to_owned(),
            |other| format!("{} {other}", account.name()),
        );
        format!("  {party:7}{name:20}{:>14}", self.money(amount))
    }

    fn show_postings(&mut self, of_days: bool) {
        let mut text = String::new();
        let agreement = &self.desk.book.latest().unwrap().agreement;
        for entry in &self.desk.entries[self.shown..] {
            if entry.loan.is_none() != of_days {
                continue;
            }
            let applications = self.desk.book.applications();
            let key = entry.loan.map_or("", |loan| {
                let found = applications
                    .iter()
                    .find(|known| known.state == ApplicationState::Disbursed(loan));
                &found.unwrap().key
            });
            let heading = format!("{} {} {key}", entry.day, entry.kind);
            writeln!(text, "{}", heading.trim_end()).unwrap();
            for posting in &entry.postings {
                let party = &agreement.party(posting.party).id;
                let line = self.line(party, posting.account, posting.amount);
                writeln!(text, "{line}").unwrap();
            }
        }
        self.shown = self.desk.entries.len();
        self.out += &text;
    }

    fn show_plans(&mut self) {
        let mut text = String::new();
        let agreement = &self.desk.book.latest().unwrap().agreement;
        for plan in self.desk.book.plans() {
            writeln!(text, "window {} is paid on {}", plan.window, plan.settle_on).unwrap();
            for (word, transfers) in [("owes", &plan.obligations), ("pays", &plan.transfers)] {
                for transfer in transfers {
                    let [from, to] = [transfer.from, transfer.to].map(|id| &agreement.party(id).id);
                    let amount = self.money(transfer.amount);
                    writeln!(text, "  {from} {word} {to} {amount}").unwrap();
                }
            }
        }
        self.out += &text;
    }

    fn show_close(&mut self) {
        let close = self.desk.book.last_close().unwrap();
        let by_class: Vec<_> = close.by_class.iter().map(|&a| self.money(a)).collect();
        let text = format!(
            "{} loans active, outstanding {} = {}\n",
            close.active_loans,
            self.money(close.outstanding),
            by_class.join(" + ")
        );
        self.out += &text;
    }
}
