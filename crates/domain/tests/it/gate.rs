//! The gate at its boundaries: what is exactly at a cap passes, one minor unit more does not,
//! and the answer names the clause or the rule.

use crate::fixture::{Desk, Papers};

/// Offers `before`, then asks for two more loans on two copies of the same history: one exactly
/// at the cap and one above it.
fn at_and_above(
    papers: &Papers,
    before: &[(&str, &[&str])],
    options: &[&str],
    [at, above]: [&str; 2],
) -> [String; 2] {
    [at, above].map(|amount| {
        let mut desk = Desk::new(papers);
        for (number, (amount, options)) in before.iter().enumerate() {
            desk.apply(&format!("B{number}"), amount, "12", options)
                .unwrap();
            desk.accept(&format!("B{number}")).unwrap();
        }
        desk.outcome("A", amount, options)
    })
}

#[test]
fn limits_of_all_lenders_hold_to_the_minor_unit() {
    let ann: &[&str] = &["borrower=ann"];
    let south: &[&str] = &["region=south"];
    let none: &[&str] = &[];
    // What is lent before, what is asked, at the cap and above it.
    for (limit, before, options, amounts) in [
        ("per = \"day\"", none, none, ["4000.00", "4000.01"]),
        ("per = \"total\"", none, south, ["4000.00", "4000.01"]),
        ("per = \"partner\"", none, south, ["4000.00", "4000.01"]),
        ("per = \"region\"", none, none, ["4000.00", "4000.01"]),
        ("per = \"region\"", south, none, ["10000.00", "10000.01"]),
        (
            "per = \"region\", region = \"south\"",
            south,
            south,
            ["4000.00", "4000.01"],
        ),
        ("per = \"borrower\"", ann, ann, ["4000.00", "4000.01"]),
        ("per = \"borrower\"", ann, none, ["10000.00", "10000.01"]),
    ] {
        let papers = Papers::new().with(&format!(
            "limit[0] = {{ clause = \"7.1\", amount = \"10000.00 CNY\", {limit} }}"
        ));
        let [at, above] = at_and_above(&papers, &[("6000.00", before)], options, amounts);
        assert!(at.starts_with("river "), "{limit}: {at}");
        assert_eq!(above, "declined by clause 7.1 of the agreement", "{limit}");
    }
}

#[test]
fn a_limit_of_one_region_leaves_others_free() {
    let papers = Papers::new().with(
        "limit[0] = { clause = \"7.1\", amount = \"1.00 CNY\", per = \"region\", region = \"south\" }",
    );
    let mut desk = Desk::new(&papers);
    let free = desk.outcome("A", "10000.00", &[]);
    assert_eq!(free, "river 7,000.00 at 12.00%, cloud 3,000.00 at 12.00%");
}

#[test]
fn a_lender_at_its_limit_leaves_the_loan_to_the_others() {
    for scope in ["day", "total", "partner", "region", "borrower"] {
        let papers = Papers::new().with(&format!(
            "limit[0] = {{ clause = \"7.2\", lender = \"cloud\", per = \"{scope}\", amount = \"3000.00 CNY\" }}"
        ));
        let ann: &[&str] = &["borrower=ann"];
        let amounts = ["4000.00", "4000.04"];
        let [at, above] = at_and_above(&papers, &[("6000.00", ann)], ann, amounts);
        assert_eq!(
            at, "river 2,800.00 at 12.00%, cloud 1,200.00 at 12.00%",
            "{scope}"
        );
        assert_eq!(
            above,
            "river 4,000.04 at 12.00%, cloud 0.00 at 0.00%; cloud barred by clause 7.2 of the agreement",
            "{scope}"
        );
    }
}

#[test]
fn a_day_limit_is_free_again_on_the_next_day() {
    let papers = Papers::new()
        .with("limit[0] = { clause = \"7.1\", per = \"day\", amount = \"10000.00 CNY\" }");
    let mut desk = Desk::new(&papers);
    desk.outcome("A", "10000.00", &[]);
    assert_eq!(
        desk.outcome("B", "100.00", &[]),
        "declined by clause 7.1 of the agreement"
    );
    desk.close();
    assert_eq!(
        desk.outcome("C", "10000.00", &[]),
        "river 7,000.00 at 12.00%, cloud 3,000.00 at 12.00%"
    );
}

/// A rule of the built-in rulebook at its boundary.
struct AtRule {
    /// What the agreement is like.
    changes: &'static [&'static str],
    /// An application that passes: amount, then options.
    at: &'static [&'static str],
    /// One that does not.
    above: &'static [&'static str],
    /// What the gate says to the latter.
    said: &'static str,
}

/// In the order of the rulebook.
const RULES: [AtRule; 8] = [
    AtRule {
        changes: &["river: offer[0].maximum = [\"40% of income\"]"],
        at: &["1000.00", "income=1750.00"],
        above: &["1000.00", "income=1750.03"],
        said: "declined by rule cn-partner-share: The partner funds at least 30% of each joint loan.",
    },
    AtRule {
        changes: &[],
        at: &["1000000.00"],
        above: &["1000000.01"],
        said: "river barred by rule cn-partner-concentration: Joint loans with one partner are at most 25% of the bank's net tier-1 capital.",
    },
    AtRule {
        changes: &[],
        at: &["2000000.00"],
        above: &["2000000.01"],
        said: "river barred by rule cn-joint-lending-cap: All joint loans are at most 50% of all loans of the bank.",
    },
    AtRule {
        changes: &[],
        at: &["1000.00", "region=south"],
        above: &["1000.00", "region=north"],
        said: "river barred by rule cn-territory: A regional bank lends only to customers of its registered territory.",
    },
    AtRule {
        changes: &[],
        at: &["200000.00"],
        above: &["200000.01"],
        said: "declined by rule cn-personal-amount: Consumer credit of one person is at most 200,000 CNY.",
    },
    AtRule {
        changes: &[],
        at: &["300000.00"],
        above: &["300000.01"],
        said: "declined by rule cn-personal-amount-2025: Online consumer credit of one person is at most 300,000 CNY.",
    },
    AtRule {
        changes: &[
            "product.amortisation = \"bullet\"",
            "product.terms_months = [12, 13]",
        ],
        at: &["1000.00", "term_months=12"],
        above: &["1000.00", "term_months=13"],
        said: "declined by rule cn-bullet-term: A loan repaid at once at its end runs at most one year.",
    },
    AtRule {
        changes: &["river: offer[0].rate = \"price\""],
        at: &["10000.00", "price=24%"],
        above: &["10000.00", "price=24.01%"],
        said: "declined by rule cn-all-in-cost: The borrower's all-in cost is at most 24% a year.",
    },
];

/// The cooperation with one rule alone, in force for certain days. River is served first, so
/// that a loan is its own as far as it offers.
fn with_rule(place: usize, changes: &[&str], from: &str, to: &str) -> Papers {
    let mut papers = Papers::new()
        .under_cn()
        .with("funding.mode = \"in_order\"")
        .with("funding.lender[0].share = nothing")
        .with("funding.lender[1].share = nothing")
        .with(&format!("rules: rule[{place}].effective_from = \"{from}\""))
        .with(&format!("rules: rule[{place}].effective_to = \"{to}\""));
    for other in (0..RULES.len()).rev().filter(|&other| other != place) {
        papers = papers.with(&format!("rules: rule[{other}] = nothing"));
    }
    changes
        .iter()
        .fold(papers, |papers, change| papers.with(change))
}

fn ask(papers: &Papers, application: &[&str]) -> String {
    Desk::new(papers).outcome("A", application[0], &application[1..])
}

#[test]
fn rules_hold_to_the_minor_unit() {
    for (
        place,
        AtRule {
            changes,
            at,
            above,
            said,
        },
    ) in RULES.iter().enumerate()
    {
        let papers = with_rule(place, changes, "2024-01-15", "2024-01-16");
        let fine = ask(&papers, at);
        assert!(
            fine.starts_with("river ") && !fine.contains("barred"),
            "{said}: {fine}"
        );
        let refused = ask(&papers, above);
        assert!(refused.ends_with(said), "{refused}");
    }
}

#[test]
fn rules_bind_only_while_they_are_in_force() {
    for (
        place,
        AtRule {
            changes,
            above,
            said,
            ..
        },
    ) in RULES.iter().enumerate()
    {
        for (from, to) in [("2024-01-16", "2030-01-01"), ("2020-01-01", "2024-01-15")] {
            let answer = ask(&with_rule(place, changes, from, to), above);
            let offered = answer.starts_with("river ") && !answer.contains("barred");
            assert!(offered, "{said} from {from} to {to}: {answer}");
        }
    }
}

#[test]
fn the_built_in_dates_of_the_personal_amount() {
    for (day, amount, rule) in [
        ("2025-03-14", "200000.00", None),
        ("2025-03-14", "200000.01", Some("cn-personal-amount:")),
        ("2025-03-15", "300000.00", None),
        ("2025-03-15", "300000.01", Some("cn-personal-amount-2025:")),
    ] {
        let papers = Papers::new()
            .under_cn()
            .with(&format!("effective_from = \"{day}\""));
        let answer = ask(&papers, &[amount]);
        match rule {
            Some(rule) => assert!(answer.contains(rule), "{day}: {answer}"),
            None => assert!(answer.starts_with("river "), "{day}: {answer}"),
        }
    }
}

#[test]
fn what_a_person_owes_already_counts() {
    let papers = Papers::new().under_cn();
    let ann: &[&str] = &["borrower=ann"];
    let amounts = ["50000.00", "50000.01"];
    let [at, above] = at_and_above(&papers, &[("150000.00", ann)], ann, amounts);
    assert!(at.starts_with("river "), "{at}");
    assert!(above.contains("cn-personal-amount:"), "{above}");
}

#[test]
fn fees_kept_back_count_in_the_all_in_cost() {
    let papers = with_rule(
        7,
        &["river: offer[0].rate = \"24%\""],
        "2024-01-15",
        "2030-01-01",
    );
    for (amount, refused) in [("0.01 CNY", false), ("0.50 CNY", true)] {
        let fee = format!(
            "fee[0] = {{ at = \"disbursement\", amount = \"{amount}\", earned_by = \"shield\" }}"
        );
        let answer = ask(&papers.clone().with(&fee), &["10000.00"]);
        assert_eq!(
            answer.contains("cn-all-in-cost"),
            refused,
            "{amount}: {answer}"
        );
    }
}

#[test]
fn what_no_lender_is_asked_about() {
    let papers = Papers::new().with(
        "ineligible[0] = { code = \"age\", reason = \"the income is too low\", when = { income = \"< 100 CNY\" } }",
    );
    for (amount, months, options, said) in [
        (
            "99.99",
            "12",
            "income=100",
            "declined: the amount is outside the product's bounds",
        ),
        (
            "5000000.01",
            "12",
            "income=100",
            "declined: the amount is outside the product's bounds",
        ),
        (
            "100.00",
            "13",
            "income=100",
            "declined: the product has no such term",
        ),
        (
            "100.00",
            "-1",
            "income=100",
            "declined: the product has no such term",
        ),
        (
            "100.00",
            "12",
            "income=99.99",
            "declined: the income is too low",
        ),
        (
            "100.00",
            "12",
            "income=100.00",
            "river 70.00 at 12.00%, cloud 30.00 at 12.00%",
        ),
    ] {
        let mut desk = Desk::new(&papers);
        desk.apply("A", amount, months, &[options]).unwrap();
        assert_eq!(desk.decided(), said, "{amount} {months} {options}");
    }
}

#[test]
fn who_declines_and_who_refers() {
    let row = "[{ code = \"x\", reason = \"x\", when = { region = \"east\" } }]";
    for (changes, said) in [
        (
            vec!["river: decline"],
            "river 0.00 at 0.00%, cloud 1,000.00 at 12.00%",
        ),
        (
            vec!["river: refer"],
            "river 0.00 at 0.00%, cloud 1,000.00 at 12.00%",
        ),
        (
            vec!["river: refer", "cloud: refer"],
            "referred to river, cloud until 2024-01-21",
        ),
        (
            vec!["river: decline", "cloud: refer"],
            "referred to cloud until 2024-01-21",
        ),
        (
            vec!["river: decline", "cloud: decline"],
            "declined: the lenders that accept are too few or cover too little",
        ),
    ] {
        let papers = changes.iter().fold(Papers::new(), |papers, change| {
            papers.with(&format!("{change} = {row}"))
        });
        assert_eq!(ask(&papers, &["1000.00"]), said, "{changes:?}");
    }
}
