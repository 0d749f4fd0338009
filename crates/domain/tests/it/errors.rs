//! Every text that tells a person what is wrong with a document or a command.
//!
//! A script names a document and lists cases, each of one or more replacements in its text,
//! `old => new`, and ends a case with an empty line. Below stand the problems of each case.

use std::fmt::Write;

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Book, Command, Documents, Event, MOST_DOCUMENTS, Refusal, Version};
use tandem_domain::document::Problem;
use tandem_domain::field::Value;
use tandem_domain::ledger::Entry;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::policy::{Outcome, Policy};
use tandem_domain::rulebook::Rulebook;

use crate::fixture::{Desk, Papers, day};
use crate::golden;

#[test]
fn problems_of_documents() {
    golden::check("errors", |script| {
        let mut out = String::new();
        for case in script.split("\n\n") {
            let lines: Vec<_> = case.lines().filter(|line| !line.is_empty()).collect();
            let changes = lines.iter().filter(|line| !line.starts_with('#'));
            for line in lines.iter() {
                writeln!(out, "> {line}").unwrap();
            }
            let mut texts = texts();
            for change in changes {
                replace(&mut texts, change);
            }
            match read(&texts) {
                Ok(()) => out += "fine\n",
                Err(problems) => {
                    for problem in problems {
                        writeln!(out, "{problem}").unwrap();
                    }
                }
            }
            out += "\n";
        }
        out
    });
}

fn texts() -> [(&'static str, String); 3] {
    [
        (
            "agreement",
            include_str!("../data/agreement.toml").to_owned(),
        ),
        ("policy", include_str!("../data/river.toml").to_owned()),
        ("rulebook", Rulebook::built_in("cn").unwrap().to_owned()),
    ]
}

/// `document: old => new`; `\n` stands for a line end and an empty old text for the file's end.
fn replace(texts: &mut [(&str, String)], change: &str) {
    let (name, change) = change.split_once(": ").expect("document: old => new");
    let (old, new) = change
        .split_once("=> ")
        .unwrap_or((change.trim_end_matches("=>"), ""));
    let (old, new) = (
        old.trim_end().replace("\\n", "\n"),
        new.replace("\\n", "\n"),
    );
    let (_, text) = texts.iter_mut().find(|(known, _)| *known == name).unwrap();
    if old.is_empty() {
        *text += &new;
    } else {
        assert!(text.contains(&old), "`{old}` does not stand in the {name}");
        *text = text.replacen(&old, &new, 1);
    }
}

fn read(texts: &[(&str, String)]) -> Result<(), Vec<Problem>> {
    let agreement = Agreement::parse(&texts[0].1)?;
    Policy::parse(&texts[1].1, &agreement)?;
    Rulebook::parse(&texts[2].1)?;
    Ok(())
}

#[test]
fn problems_between_documents() {
    let papers = Papers::new();
    let cn = Papers::new().under_cn();
    let message = |documents: Documents| {
        let problems = Version::parse(documents).unwrap_err();
        problems[0].to_string()
    };
    let mut lacking = papers.documents();
    lacking.policies.pop();
    assert_eq!(
        message(lacking),
        "line 1, lender: no policy for lender `cloud`"
    );
    let mut twice = papers.documents();
    twice.policies.push(twice.policies[0].clone());
    assert_eq!(
        message(twice),
        "line 1, lender: `river` has two policies; send one"
    );
    let mut no_rules = cn.documents();
    no_rules.rulebook = None;
    assert_eq!(
        message(no_rules),
        "line 1, rulebook: the agreement names `cn`, the documents have none"
    );
    let mut unnamed = papers.documents();
    unnamed.rulebook = cn.documents().rulebook;
    assert_eq!(
        message(unnamed),
        "line 1, rulebook: the agreement names none, the documents have `cn`"
    );
}

#[test]
fn every_refusal_has_its_code_and_text() {
    let papers = Papers::new();
    let mut refusals = Vec::new();
    let refused = |desk: &mut Desk, command: Command| desk.run(&command).unwrap_err();
    let mut empty = Desk::default();
    let close = |text: &str| Command::CloseDay { day: day(text) };
    refusals.push(refused(&mut empty, close("2024-01-15")));
    let mut wrong = papers.documents();
    wrong.agreement = wrong.agreement.replace("format = 1", "format = 2");
    refusals.push(refused(&mut empty, Command::Sign(Box::new(wrong))));
    let mut long = papers.documents();
    long.agreement += &format!("# {}", "x".repeat(MOST_DOCUMENTS - 1 - long.bytes()));
    refusals.push(refused(&mut empty, Command::Sign(Box::new(long))));

    let mut desk = Desk::new(&papers);
    let sign = |papers: Papers| Command::Sign(Box::new(papers.documents()));
    for change in ["title = \"Another\"", "version = 3"] {
        refusals.push(refused(&mut desk, sign(papers.clone().with(change))));
    }
    for change in [
        "id = \"other\"",
        "effective_from = \"2024-01-14\"",
        "party[4].id = \"helmet\"",
    ] {
        let next = papers.clone().with("version = 2").with(change);
        refusals.push(refused(&mut desk, sign(next)));
    }
    let application = |key: &str| desk.application(key, "1000.00", "1", &[]);
    let mut applications = vec![application(""), application(&"x".repeat(65))];
    let mut few = application("A");
    few.values.pop();
    applications.push(few);
    for (place, value) in [
        (0, Value::Missing),
        (1, Value::Text("x".into())),
        (2, Value::Number(1)),
        (0, Value::Number(0)),
        (0, Value::Number(Amount::MAX.0 + 1)),
    ] {
        let mut bad = application("A");
        bad.values[place] = value;
        applications.push(bad);
    }
    let mut long = application("A");
    long.values[2] = Value::Text("x".repeat(1_001).into());
    let mut greedy = application("A");
    greedy.decisions[1].outcome = Outcome::Approve {
        maximum: Amount(1),
        rate: Rate(Rate::ONE.0 + 1),
    };
    let mut talkative = application("A");
    talkative.decisions[1].outcome = Outcome::Decline(vec![0; 200]);
    applications.extend([long, greedy, talkative]);
    for application in applications {
        refusals.push(refused(&mut desk, Command::Apply(Box::new(application))));
    }
    desk.apply("A", "1000.00", "1", &[]).unwrap();
    let changed = desk.application("A", "1000.01", "1", &[]);
    refusals.push(refused(&mut desk, Command::Apply(Box::new(changed))));
    let today = day("2024-01-15");
    refusals.push(desk.pay("P", "A", Amount(1), today, false).unwrap_err());
    refusals.push(desk.accept("Z").unwrap_err());
    desk.accept("A").unwrap();
    refusals.push(desk.withdraw("A").unwrap_err());
    for (key, amount, value_date) in [
        ("", 1, today),
        ("P", 0, today),
        ("P", Amount::MAX.0 + 1, today),
        ("P", 1, today.previous()),
        ("P", 1, today + 1),
    ] {
        let paid = desk.pay(key, "A", Amount(amount), value_date, false);
        refusals.push(paid.unwrap_err());
    }
    desk.pay("P", "A", Amount(100_000), today, true).unwrap();
    refusals.push(desk.pay("P", "A", Amount(1), today, true).unwrap_err());
    refusals.push(desk.pay("Q", "A", Amount(1), today, true).unwrap_err());
    refusals.push(refused(&mut desk, close("2024-01-16")));
    let fix = Command::Fix {
        index: "x".repeat(1_001),
        day: today,
        rate: Rate::ZERO,
    };
    refusals.push(refused(&mut desk, fix));
    let ended = Event::DayEnded { day: today };
    desk.book.apply(&ended, &mut |_: &Entry| {});
    refusals.push(desk.accept("A").unwrap_err());

    let found: Vec<_> = refusals
        .iter()
        .map(|refusal| format!("{}: {refusal}", refusal.code()))
        .collect();
    let expected = [
        "not_signed: no agreement is signed; sign one first",
        "invalid_documents: the documents are not valid: line 3, format: this program reads format 1",
        "long_documents: the documents have 524161 bytes together, at most 524160 can be signed; shorten them by 1",
        "version_used: version 1 of agreement `river-cloud` is signed with other content; a change needs version 2",
        "version_out_of_order: version 3 does not follow version 1, the last one signed",
        "not_an_amendment: the id has changed; an amendment keeps id, currency and parties, and may add parties at the end",
        "not_an_amendment: it takes effect before the version it follows; an amendment keeps id, currency and parties, and may add parties at the end",
        "not_an_amendment: the parties have changed; an amendment keeps id, currency and parties, and may add parties at the end",
        "bad_key: key `` is not usable; an application's key has 1 to 64 characters, an instruction's up to 80",
        "bad_key: key `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx` is not usable; an application's key has 1 to 64 characters, an instruction's up to 80",
        "wrong_values: the application has 5 values, the agreement asks for 6",
        "missing_field: `amount` is missing or not of its kind; every application states it",
        "missing_field: `term_months` is missing or not of its kind; every application states it",
        "missing_field: `region` is missing or not of its kind; every application states it",
        "bad_amount: the amount must be above zero and at most 10,000,000,000,000.00",
        "bad_amount: the amount must be above zero and at most 10,000,000,000,000.00",
        "long_value: `region` is too long: it has 1001 bytes; a text has at most 1000",
        "bad_decision: decision 2 is not usable: a rate lies between 0% and 100%, an amount above zero, a reason in the policy's list, and there are no more than that has",
        "bad_decision: decision 2 is not usable: a rate lies between 0% and 100%, an amount above zero, a reason in the policy's list, and there are no more than that has",
        "key_used: key `A` was used before with other content; use a new key",
        "no_loan: application `A` has no loan: it is offered",
        "unknown_application: there is no application `Z`",
        "no_offer: application `A` has no open offer: it is disbursed",
        "bad_key: key `` is not usable; an application's key has 1 to 64 characters, an instruction's up to 80",
        "bad_amount: the amount must be above zero and at most 10,000,000,000,000.00",
        "bad_amount: the amount must be above zero and at most 10,000,000,000,000.00",
        "before_disbursement: value date 2024-01-14 lies before the disbursement on 2024-01-15; send that day or a later one",
        "in_future: value date 2024-01-16 lies after the business date 2024-01-15; send that day or an earlier one",
        "key_used: key `P` was used before with other content; use a new key",
        "loan_repaid: loan `A` is repaid; only chargebacks and reversals are possible",
        "not_the_business_date: 2024-01-16 cannot be closed: the business date is 2024-01-15",
        "long_value: `index` is too long: it has 1001 bytes; a text has at most 1000",
        "closing: the close of 2024-01-15 was interrupted; close the day first",
    ];
    for (found, expected) in found.iter().zip(expected) {
        assert_eq!(found, expected);
    }
    assert_eq!(found.len(), expected.len());
}

#[test]
fn an_unsigned_book_refuses_everything() {
    let desk = Desk::new(&Papers::new());
    let application = desk.application("A", "1000.00", "1", &[]);
    let refusal = Book::default()
        .execute(
            Command::Apply(Box::new(application)),
            &mut Vec::new(),
            &mut |_: &Entry| {},
        )
        .unwrap_err();
    assert_eq!(refusal, Refusal::NotSigned);
}

#[test]
fn lists_that_are_too_long_are_refused() {
    let [(_, agreement), _, (_, rulebook)] = texts();
    let row = "[[ineligible]]\ncode = \"E\"\nreason = \"No.\"\nwhen = { region = \"NO\" }\n";
    let problems = Agreement::parse(&format!("{agreement}\n{}", row.repeat(251))).unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .ends_with("ineligible: an agreement has at most 250 of these")
    );
    let rule = "[[rule]]\nid = \"r\"\ntitle = \"t\"\nsource = \"s\"\neffective_from = \"2020-01-01\"\n\
                check.territory = {}\n";
    let problems = Rulebook::parse(&format!("{rulebook}\n{}", rule.repeat(251))).unwrap_err();
    assert!(
        problems[0]
            .to_string()
            .ends_with("rule: a rulebook has at most 250 rules")
    );
}
