//! A lender's policy: what it says to whom, and that it sees only what it may.

use tandem_domain::policy::Outcome;

use crate::fixture::{Desk, Papers};

const CHANGES: [&str; 5] = [
    "cloud: decline = [
        { code = \"poor\", reason = \"the income is low\", when = { income = \"< 1000 CNY\" } },
        { code = \"grade\", reason = \"the grade is low\", when = { grade = [\"e\", \"f\"] } },
    ]",
    "cloud: refer = [{ code = \"unknown\", reason = \"no grade\", when = { grade = \"missing\" } }]",
    "cloud: scorecard = { base = 500, characteristic = [
        { field = \"income\", bins = [{ when = \">= 5000 CNY\", points = 100 }, { when = \">= 2000 CNY\", points = 50 }] },
        { field = \"grade\", bins = [{ when = \"a\", points = 30 }, { when = \"not b\", points = -20 }] },
    ] }",
    "cloud: offer = [
        { when = { score = \">= 630\" }, maximum = [\"20000 CNY\"], rate = \"9%\" },
        { when = { score = \">= 530 and < 630\", term_months = \"<= 12\" }, maximum = [\"20000 CNY\", \"150% of income\"], rate = \"price\" },
    ]",
    "cloud: no_offer = { code = \"none\", reason = \"no offer\" }",
];

#[test]
fn decisions_follow_the_tables() {
    let papers = CHANGES
        .iter()
        .fold(Papers::new(), |papers, change| papers.with(change));
    let desk = Desk::new(&papers);
    for (options, expected) in [
        // Every row that declines gives its reason, whatever else would refer.
        (
            &["income=999.99", "grade=f"][..],
            "570? declined: the income is low, the grade is low",
        ),
        (&["income=999.99"], "500 declined: the income is low"),
        (
            &["income=1000", "grade=e"],
            "480 declined: the grade is low",
        ),
        // A missing value holds in no comparison, but can be asked for.
        (&["grade=a"], "530 declined: no offer"),
        (&["income=9000"], "600 referred: no grade"),
        // The first bin that holds gives its points, and the first offer its terms.
        (&["income=5000", "grade=a"], "630 up to 20000.00 at 9.00%"),
        (
            &["income=5000", "grade=b", "price=11.5%"],
            "600 up to 7500.00 at 11.50%",
        ),
        (
            &["income=4999.99", "grade=a", "price=11%"],
            "580 up to 7499.98 at 11.00%",
        ),
        (
            &["income=19000", "grade=c", "price=11%"],
            "580 up to 20000.00 at 11.00%",
        ),
        (
            &["income=2000", "grade=c", "price=11%"],
            "530 up to 3000.00 at 11.00%",
        ),
        (
            &["income=1999.99", "grade=b", "price=11%"],
            "500 declined: no offer",
        ),
        // An offer whose price the application does not state, or states absurdly, is none.
        (&["income=5000", "grade=b"], "600 declined: no offer"),
        (
            &["income=5000", "grade=b", "price=-1%"],
            "600 declined: no offer",
        ),
        (
            &["income=5000", "grade=b", "price=100.1%"],
            "600 declined: no offer",
        ),
        (
            &["income=5000", "grade=b", "price=11%", "term_months=24"],
            "600 declined: no offer",
        ),
    ] {
        let application = desk.application("A", "1000.00", "12", options);
        let policy = &desk.version().policies[1];
        let decision = &application.decisions[1];
        assert_eq!(policy.decide(&application.values), *decision);
        let words = |places: &[u8]| {
            let words = places
                .iter()
                .map(|&place| policy.reasons[usize::from(place)].1.as_str());
            words.collect::<Vec<_>>().join(", ")
        };
        let outcome = match &decision.outcome {
            Outcome::Approve { maximum, rate } => {
                let currency = desk.version().agreement.currency();
                format!("up to {} at {rate}", currency.plain(*maximum))
            }
            Outcome::Decline(places) => format!("declined: {}", words(places)),
            Outcome::Refer(places) => format!("referred: {}", words(places)),
        };
        let found = format!("{} {outcome}", decision.score.unwrap());
        let expected = expected.replace("570?", "480");
        assert_eq!(found, expected, "{options:?}");
    }
}

#[test]
fn a_lender_that_may_not_see_a_field_decides_without_it() {
    let papers = Papers::new();
    let version = papers.version();
    let visible: Vec<_> = version
        .policies
        .iter()
        .map(|policy| &policy.visible)
        .collect();
    // amount, term_months, region, income, grade, price: River does not see the grade.
    assert_eq!(*visible[0], [true, true, true, true, false, true]);
    assert_eq!(*visible[1], [true; 6]);
    let problems = papers
        .with("river: refer = [{ code = \"x\", reason = \"x\", when = { grade = \"a\" } }]")
        .parse()
        .unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(
        problems[0].message,
        "the agreement does not let `river` see `grade`; add it to the field's seen_by or leave the test out"
    );
}
