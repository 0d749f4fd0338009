//! Scenarios: what people do to a small cooperation, and everything that follows from it.
//!
//! | command | what it does |
//! |---|---|
//! | `with <change>` | changes the documents, see `Papers::with` |
//! | `trust lends`, `under <rulebook>` | a third lender; a built-in rulebook |
//! | `rest on holidays` | business days by the calendar in `data` |
//! | `sign` | signs the documents as they stand |
//! | `until <day>` | closes days until this one is open |
//! | `close` | closes the day |
//! | `apply <key> <amount> <months> [<name>=<value> …]` | asks for a loan |
//! | `accept <key>`, `withdraw <key>` | takes an offer or gives it back |
//! | `approve <key> <lender> <most> <rate>`, `decline <key> <lender> <code> …` | a person decides a referral |
//! | `lend <key> <amount> <months> …` | asks and accepts |
//! | `pay <key> <amount> [prepay [shorten\|reduce\|next]]` | money from a borrower |
//! | `settle\|draw\|refund\|chargeback\|credit <key> <amount>` | instructions with an amount; `payoff` is one |
//! | `waive <key> fee\|penalty\|interest <amount>` | gives something up |
//! | `due <key> <day>`, `pause <key> <cycles> [interest]` | moves due dates |
//! | `re-age\|re-amortise <key> [<more>]`, `rate <key> <rate>` | changes the plan |
//! | `write off <key> [<amount>]` | writes a loan off by decision, or a part of it |
//! | `sell <key> <part> <seller> <buyer> <price>` | sells a lender's share |
//! | `reverse <payment>` | takes an instruction back |
//! | `replace <seller> <buyer> <price>` | a lender leaves |
//! | `fix <index> <day> <rate>` | a reference rate becomes known |
//! | `archive <name>` | archives the loans that are due |
//! | `book <id>` | goes to the book of another agreement; a new one begins with these documents |
//! | `slice … [as <key>]` | room of a limit goes to another book, or comes from one |
//! | … `[on <day>] [as <payment>]` | every instruction: its value date, and its key |
//! | `show schedule\|coming\|loan\|application <key>` | what was planned, what is to come, or where it stands |
//! | `show quote <key> <day>` | what settles the loan on a day |
//! | `show balances [<party>]`, `show plans`, `show pool`, `show close` | the book |
//! | `show limits` | the room of every limit that is not for each borrower or region, and slices |
//! | `show postings [day]` | entries of loans (or of whole days) since last shown |

use std::collections::BTreeMap;
use std::fmt::Write;

use tandem_domain::agreement::{Component, Prepayment};
use tandem_domain::book::{
    Answer, Archiving, Command, Refusal, Replacement, Underwriting, Verdict, words,
};
use tandem_domain::calendar::Day;
use tandem_domain::ledger::Account;
use tandem_domain::loan::{Action, Own, Payoff, Sale, Status, schedule};
use tandem_domain::money::{Amount, Currency, Money, Rate};
use tandem_domain::policy::Outcome;

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
fn backdated() {
    golden::check("scenarios/backdated", run);
}

#[test]
fn income() {
    golden::check("scenarios/income", run);
}

#[test]
fn pairs() {
    golden::check("scenarios/pairs", run);
}

#[test]
fn terms() {
    golden::check("scenarios/terms", run);
}

#[test]
fn instructions() {
    golden::check("scenarios/instructions", run);
}

#[test]
fn offers() {
    golden::check("scenarios/offers", run);
}

#[test]
fn referrals() {
    golden::check("scenarios/referrals", run);
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
fn archive() {
    golden::check("scenarios/archive", run);
}

#[test]
fn slices() {
    golden::check("scenarios/slices", run);
}

#[test]
fn every_folder_has_its_test() {
    let tested = [
        "amendment",
        "archive",
        "backdated",
        "income",
        "instructions",
        "losses",
        "offers",
        "pairs",
        "referrals",
        "repayment",
        "settlement",
        "sharing",
        "slices",
        "terms",
    ];
    assert_eq!(golden::folders("scenarios"), tested);
}

fn run(script: &str) -> String {
    let mut scene = Scene {
        papers: Papers::new(),
        desk: Desk::default(),
        payments: 0,
        shown: 0,
        others: BTreeMap::new(),
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
    /// The books that are not at hand, by agreement.
    others: BTreeMap<String, (Papers, Desk)>,
    out: String,
}

/// What is shown of what a party has.
type Of = fn(&Own) -> Amount;

impl Scene {
    fn step(&mut self, line: &str, words: &[&str]) {
        match words {
            ["with", ..] => {
                self.papers = self.papers.clone().with(line.trim_start_matches("with"));
            }
            ["trust", "lends"] => self.papers = self.papers.clone().with_trust(),
            ["under", rulebook] => self.papers = self.papers.clone().under(rulebook),
            ["rest", "on", "holidays"] => self.papers = self.papers.clone().with_holidays(),
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
            ["approve", key, lender, maximum, rate] => {
                let outcome = Outcome::Approve {
                    maximum: format!("{maximum} CNY").parse::<Money>().unwrap().amount,
                    rate: rate.parse().unwrap(),
                };
                self.underwrite(key, lender, outcome);
            }
            ["decline", key, lender, codes @ ..] => {
                let reasons = codes.iter().map(|code| self.reason(key, lender, code));
                let outcome = Outcome::Decline(reasons.collect());
                self.underwrite(key, lender, outcome);
            }
            ["reverse", of, options @ ..] => {
                let (_, _, key) = self.options(options);
                let of = (*of).to_owned();
                let answer = self.desk.run(&Command::Reverse { key, of });
                self.answer(answer);
            }
            ["replace", seller, buyer, price] => {
                let replacement = Replacement {
                    key: "R".to_owned(),
                    seller: (*seller).to_owned(),
                    buyer: (*buyer).to_owned(),
                    price: price.parse().unwrap(),
                };
                let answer = self.desk.run(&Command::ReplaceLender(replacement));
                self.answer(answer);
            }
            ["fix", index, from, rate] => {
                let (index, day) = ((*index).to_owned(), day(from));
                let rate = rate.parse().unwrap();
                let answer = self.desk.run(&Command::Fix { index, day, rate });
                self.answer(answer);
            }
            ["book", id] => {
                let papers = self.papers.clone().with(&format!("id = \"{id}\""));
                let other = self.others.remove(*id);
                let (papers, desk) = other.unwrap_or_else(|| (papers, Desk::default()));
                let papers = std::mem::replace(&mut self.papers, papers);
                let desk = std::mem::replace(&mut self.desk, desk);
                let id = desk.version().agreement.file.id.clone();
                self.others.insert(id, (papers, desk));
            }
            ["slice", ..] => {
                let (text, key) = line.split_once(" as ").unwrap_or((line, "S"));
                let command = words::slice(text, key, &self.desk.version().agreement).unwrap();
                let answer = self.desk.run(&command);
                self.answer(answer);
            }
            ["archive", name] => {
                let loans = self.desk.book.due_for_archive();
                writeln!(self.out, "{} due", loans.len()).unwrap();
                let name = (*name).to_owned();
                let answer = self.desk.run(&Command::Archive(Archiving { name, loans }));
                self.answer(answer);
            }
            ["show", "limits"] => self.show_limits(),
            ["write", "off", key] => {
                let application = (*key).to_owned();
                let answer = self.desk.run(&Command::ChargeOff { application });
                self.answer(answer);
            }
            ["write", "off", rest @ ..] => self.instruct("write-off", rest),
            ["show", "coming", key] => self.show_coming(key),
            ["show", "quote", key, on] => self.show_quote(key, day(on)),
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
            ["show", ..] => panic!("`{line}` is no command"),
            [verb, rest @ ..] => self.instruct(verb, rest),
            [] => {}
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
        self.decided(answer);
    }

    /// Says what came of an application, if it was decided.
    fn decided(&mut self, answer: Result<Answer, Refusal>) {
        if answer == Ok(Answer::Done) {
            let mut text = self.desk.decided();
            if let Verdict::Offered { rate, valid_to, .. } = self.desk.verdict() {
                text = format!("offered at {rate} until {valid_to}: {text}");
            }
            writeln!(self.out, "{text}").unwrap();
        }
        self.answer(answer);
    }

    fn underwrite(&mut self, key: &str, lender: &str, outcome: Outcome) {
        let answer = self.desk.run(&Command::Underwrite(Underwriting {
            application: key.to_owned(),
            lender: lender.to_owned(),
            outcome,
        }));
        self.decided(answer);
    }

    /// The place of a reason of the policy under which an application was referred.
    fn reason(&self, key: &str, lender: &str, code: &str) -> u8 {
        let record = self.desk.book.application(key).unwrap();
        let version = &self.desk.book.versions()[usize::from(record.version)];
        let mut policies = version.policies.iter();
        let policy = policies.find(|policy| policy.file.lender == lender);
        let mut reasons = policy.into_iter().flat_map(|policy| &policy.reasons);
        let place = reasons.position(|(known, _)| known == code);
        place.map_or(u8::MAX, |place| place as u8)
    }

    /// Takes `on <day>` and `as <payment>` out of an instruction.
    fn options<'w>(&mut self, words: &[&'w str]) -> (Vec<&'w str>, Day, String) {
        self.payments += 1;
        let mut key = format!("P{}", self.payments);
        let mut value_date = self.desk.book.business_date();
        let mut rest = Vec::new();
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            match word {
                "on" => value_date = day(words.next().unwrap()),
                "as" => key = (*words.next().unwrap()).to_owned(),
                word => rest.push(word),
            }
        }
        (rest, value_date, key)
    }

    fn instruct(&mut self, verb: &str, words: &[&str]) {
        let (words, value_date, key) = self.options(words);
        let [application, rest @ ..] = &words[..] else {
            panic!("`{verb}` needs a loan");
        };
        let action = self.action(verb, application, rest, value_date);
        let answer = self.desk.instruct(&key, application, value_date, action);
        self.answer(answer);
    }

    fn action(&self, verb: &str, key: &str, rest: &[&str], on: Day) -> Action {
        let amount = |text: &&str| match *text {
            "payoff" => self.payoff(key, on).total(),
            text => text.parse::<i64>().map_or_else(
                |_| format!("{text} CNY").parse::<Money>().unwrap().amount,
                |whole| Amount(whole * 100),
            ),
        };
        let number = |text: Option<&&str>| text.map_or(0, |text| text.parse().unwrap());
        let rate = |text: &&str| text.parse::<Rate>().unwrap();
        match (verb, rest) {
            ("pay", [paid]) => Action::Repay(amount(paid)),
            ("pay", [paid, "prepay", effect @ ..]) => {
                let effect = effect.first().map(|effect| match *effect {
                    "shorten" => Prepayment::ShortenTerm,
                    "reduce" => Prepayment::ReduceInstalment,
                    "next" => Prepayment::NextInstalments,
                    other => panic!("`{other}` is no effect"),
                });
                Action::Prepay(amount(paid), effect)
            }
            ("settle", [paid]) => Action::Settle(amount(paid)),
            ("draw", [drawn]) => Action::Draw(amount(drawn)),
            ("refund", [given]) => Action::Refund(amount(given)),
            ("chargeback", [taken]) => Action::Chargeback(amount(taken)),
            ("credit", [given]) => Action::Credit(amount(given)),
            ("waive", [component, waived]) => Action::Waive {
                component: match *component {
                    "fee" => Component::Fee,
                    "penalty" => Component::Penalty,
                    "interest" => Component::Interest,
                    _ => Component::Principal,
                },
                amount: amount(waived),
            },
            ("due", [to]) => Action::ChangeDueDate(day(to)),
            ("pause", [cycles, interest @ ..]) => Action::Pause {
                cycles: cycles.parse().unwrap(),
                interest: !interest.is_empty(),
            },
            ("re-age", more) => Action::ReAge {
                more: number(more.first()),
            },
            ("re-amortise", more) => Action::ReAmortise {
                more: number(more.first()),
            },
            ("rate", [to]) => Action::ChangeRate(rate(to)),
            ("write-off", [part]) => Action::WriteOff(amount(part)),
            ("sell", [part, seller, buyer, price]) => Action::Transfer(Sale {
                seller: self.desk.party(seller),
                buyer: self.desk.party(buyer),
                part: rate(part),
                price: rate(price),
            }),
            _ => panic!("`{verb} {key} {rest:?}` is no command"),
        }
    }

    /// What rids the borrower of the loan on a day.
    fn payoff(&self, key: &str, on: Day) -> Payoff {
        let (_, loan) = self.desk.book.loan(key).unwrap();
        let position = self.desk.book.position_on(&loan, on);
        position.payoff(&self.desk.book.terms(&loan), on)
    }

    fn show_limits(&mut self) {
        let limits = self.desk.version().agreement.file.limit.clone();
        let mut text = String::new();
        for limit in limits.iter().filter(|limit| limit.each().is_none()) {
            let room = self.desk.book.room(&limit.clause, None).unwrap();
            let [most, used, free] = [room.most, room.used, room.free()].map(|of| self.money(of));
            let clause = &limit.clause;
            writeln!(text, "clause {clause}: {used} of {most} used, {free} free").unwrap();
        }
        for held in self.desk.book.held() {
            let subject = held
                .subject
                .map_or(String::new(), |subject| format!(" for {subject}"));
            let words = match held.amount > Amount::ZERO {
                true => "from",
                false => "in",
            };
            let amount = self.money(Amount(held.amount.0.abs()));
            let (clause, book) = (held.clause, held.book);
            writeln!(
                text,
                "  {amount} of clause {clause}{subject} {words} {book}"
            )
            .unwrap();
        }
        self.out += &text;
    }

    fn show_quote(&mut self, key: &str, on: Day) {
        let quote = self.payoff(key, on);
        let mut text = format!("payoff on {on}: {}", self.money(quote.total()));
        for (name, amount) in [
            ("principal", quote.principal),
            ("interest", quote.interest),
            ("penalty", quote.penalty),
            ("fees", quote.fees),
            ("prepayment fee", quote.prepayment_fee),
            ("held", quote.held),
        ] {
            if !amount.is_zero() {
                text += &format!(", {name} {}", self.money(amount));
            }
        }
        writeln!(self.out, "{text}").unwrap();
    }

    /// What falls due from now on if everything is paid when it is due.
    fn show_coming(&mut self, key: &str) {
        let (_, loan) = self.desk.book.loan(key).unwrap();
        let terms = self.desk.book.terms(&loan);
        let mut position = loan.position.clone();
        let mut text = format!("  at {}\n", position.contract.rate);
        while let Some(day) = position.next_due(&terms) {
            position.advance(&terms, day);
            let fallen = position.due.iter().filter(|due| due.day == day);
            for due in fallen {
                writeln!(
                    text,
                    "  {day}  principal {:>10}  interest {:>8}  left {:>10}",
                    self.money(due.principal),
                    self.money(due.interest),
                    self.money(position.contract.principal)
                )
                .unwrap();
            }
        }
        self.out += &text;
    }

    fn show_schedule(&mut self, key: &str) {
        let (_, loan) = self.desk.book.loan(key).unwrap();
        let mut text =
            String::from(" no  due          principal   interest      total     balance\n");
        for row in schedule(&self.desk.book.terms(&loan)) {
            let [principal, interest, total, balance] =
                [row.principal, row.interest, row.total(), row.balance].map(|a| self.money(a));
            write!(
                text,
                "{:3}  {}  {principal:>10} {interest:>10} {total:>10} {balance:>11}",
                row.number, row.day
            )
            .unwrap();
            if row.fee.is_positive() {
                write!(text, "  fee {}", self.money(row.fee)).unwrap();
            }
            text += "\n";
        }
        self.out += &text;
    }

    fn show_loan(&mut self, key: &str) {
        let book = &self.desk.book;
        let (_, loan) = book.loan(key).unwrap();
        let agreement = &book.version_of(&loan).agreement;
        let position = &loan.position;
        let mut text = match position.status {
            Status::Active => format!(
                "active, class {}, {} days past due, outstanding {}, payoff {}",
                agreement.file.class[usize::from(loan.class)].name,
                position.days_past_due(book.business_date()),
                self.money(position.outstanding()),
                self.money(self.payoff(key, book.business_date()).total())
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
        let split = loan.split(agreement);
        let latest = &book.latest().unwrap().agreement;
        let elsewhere: Amount = split.fees_elsewhere.iter().copied().sum();
        writeln!(text, "  received {}", self.money(totals.received)).unwrap();
        let all: [(_, _, Of); 9] = [
            ("outstanding", position.outstanding(), |own| own.outstanding),
            ("capitalised", totals.capitalised, |own| own.capitalised),
            ("fees", totals.all_fees(), |own| own.fees),
            ("penalty", totals.penalty, |own| own.penalty),
            ("interest", totals.interest, |own| own.interest),
            ("principal", totals.principal, |own| own.principal),
            ("charged off", totals.charged_off, |own| own.charged_off),
            ("compensated", totals.compensated, |own| own.compensated),
            ("recovered", totals.recovered, |own| own.recovered),
        ];
        for (name, whole, of) in all {
            if whole.is_zero() {
                continue;
            }
            write!(text, "  {name} {} =", self.money(whole)).unwrap();
            for (lender, part) in split.holders.iter().zip(split.parts(of)) {
                let id = &latest.party(lender).id;
                write!(text, " {id} {}", self.money(part)).unwrap();
            }
            match name {
                "fees" if elsewhere.is_positive() => {
                    write!(text, " others {}", self.money(elsewhere)).unwrap();
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
            ("drawn", totals.drawn),
            ("credited", totals.credited),
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
            let book = &self.desk.book;
            let key = entry
                .loan
                .map_or("", |loan| book.key_of(&book.loan_in(loan)));
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
