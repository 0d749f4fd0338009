//! How lenders fund a loan together: each mode with caps, minimum shares and drop-outs.

use proptest::prelude::*;
use tandem_domain::agreement::{Agreement, FundingMode};
use tandem_domain::funding::{Bids, Part, form};
use tandem_domain::money::{Amount, Rate, Rounding};

use crate::fixture::Papers;

fn papers(mode: &str) -> Papers {
    let papers = Papers::new().with_trust();
    let shares = match mode {
        "fixed" => ["\"50%\"", "\"30%\"", "\"20%\""],
        _ => ["nothing"; 3],
    };
    shares.iter().enumerate().fold(
        papers.with(&format!("funding.mode = \"{mode}\"")),
        |papers, (place, share)| match (*share, place) {
            ("nothing", 2) => papers,
            _ => papers.with(&format!("funding.lender[{place}].share = {share}")),
        },
    )
}

fn bids(maxima: [Option<i64>; 3]) -> Bids {
    let mut bids = Bids::default();
    for (bid, maximum) in bids.iter_mut().zip(maxima) {
        *bid = maximum.map(|amount| Part {
            amount: Amount(amount),
            rate: Rate(12_000_000),
        });
    }
    bids
}

fn formed(agreement: &Agreement, amount: i64, maxima: [Option<i64>; 3]) -> Option<[i64; 3]> {
    let parts = form(agreement, Amount(amount), &bids(maxima))?;
    Some([parts[0].0, parts[1].0, parts[2].0])
}

#[test]
fn each_mode_by_example() {
    let all = Some(9_999);
    for (mode, changes, amount, maxima, expected) in [
        // Shares as written, in proportion among those that accept.
        (
            "fixed",
            &[][..],
            1_000,
            [all, all, all],
            Some([500, 300, 200]),
        ),
        ("fixed", &[], 1_000, [all, all, None], Some([625, 375, 0])),
        ("fixed", &[], 1_000, [None, None, all], Some([0, 0, 1_000])),
        ("fixed", &[], 1_000, [None, None, None], None),
        // What goes over a cap goes to the others.
        (
            "fixed",
            &[],
            1_000,
            [all, Some(100), all],
            Some([643, 100, 257]),
        ),
        (
            "fixed",
            &[],
            1_000,
            [Some(500), Some(300), Some(200)],
            Some([500, 300, 200]),
        ),
        ("fixed", &[], 1_000, [Some(500), Some(300), Some(199)], None),
        (
            "fixed",
            &["[0].maximum_share = \"40%\""],
            1_000,
            [all, all, all],
            Some([400, 360, 240]),
        ),
        // A lender under its minimum share drops out; at it, it stays.
        (
            "fixed",
            &["[2].minimum_share = \"20%\""],
            1_000,
            [all, all, all],
            Some([500, 300, 200]),
        ),
        (
            "fixed",
            &["[2].minimum_share = \"20.1%\""],
            1_000,
            [all, all, all],
            Some([625, 375, 0]),
        ),
        (
            "fixed",
            &["[1].minimum_share = \"30%\""],
            1_005,
            [all, all, all],
            Some([503, 301, 201]),
        ),
        (
            "fixed",
            &["[2].minimum_share = \"20%\""],
            1_000,
            [all, all, Some(199)],
            Some([625, 375, 0]),
        ),
        // In proportion to the offers; an offer counts up to the loan.
        (
            "offers",
            &[],
            500,
            [Some(500), Some(300), Some(100)],
            Some([278, 167, 55]),
        ),
        (
            "offers",
            &[],
            500,
            [Some(600), Some(300), Some(100)],
            Some([278, 167, 55]),
        ),
        (
            "offers",
            &[],
            1_000,
            [Some(600), Some(300), Some(100)],
            Some([600, 300, 100]),
        ),
        (
            "offers",
            &[],
            1_001,
            [Some(600), Some(300), Some(100)],
            None,
        ),
        (
            "offers",
            &["[0].maximum_share = \"50%\""],
            500,
            [Some(600), Some(300), Some(100)],
            Some([192, 231, 77]),
        ),
        (
            "offers",
            &["[2].minimum_share = \"10%\""],
            500,
            [Some(500), Some(400), Some(100)],
            Some([250, 200, 50]),
        ),
        (
            "offers",
            &["[2].minimum_share = \"11%\""],
            500,
            [Some(500), Some(400), Some(100)],
            Some([278, 222, 0]),
        ),
        // Each in turn.
        (
            "in_order",
            &[],
            500,
            [Some(600), Some(300), Some(500)],
            Some([500, 0, 0]),
        ),
        (
            "in_order",
            &[],
            1_000,
            [Some(600), Some(300), Some(500)],
            Some([600, 300, 100]),
        ),
        (
            "in_order",
            &[],
            1_000,
            [None, Some(300), Some(700)],
            Some([0, 300, 700]),
        ),
        (
            "in_order",
            &["[0].maximum_share = \"10%\""],
            1_000,
            [all, Some(300), all],
            Some([100, 300, 600]),
        ),
        // The next in line takes what would be too little for one before it.
        (
            "in_order",
            &["[1].minimum_share = \"50%\""],
            1_000,
            [Some(600); 3],
            Some([600, 0, 400]),
        ),
        // One that cannot reach its minimum never stands in the way.
        (
            "in_order",
            &["[0].minimum_share = \"20%\""],
            1_000,
            [Some(50), Some(600), all],
            Some([0, 600, 400]),
        ),
    ] {
        let agreement = changes.iter().fold(papers(mode), |papers, change| {
            papers.with(&format!("funding.lender{change}"))
        });
        let agreement = agreement.version().agreement;
        let found = formed(&agreement, amount, maxima);
        assert_eq!(found, expected, "{mode} {changes:?} {amount} {maxima:?}");
    }
}

#[test]
fn fewest_lenders() {
    let agreement = |least: u8| {
        let papers = papers("in_order").with(&format!("funding.minimum_lenders = {least}"));
        papers.version().agreement
    };
    let maxima = [Some(600), Some(300), Some(300)];
    assert_eq!(formed(&agreement(1), 600, maxima), Some([600, 0, 0]));
    assert_eq!(formed(&agreement(2), 600, maxima), None);
    assert_eq!(formed(&agreement(2), 601, maxima), Some([600, 1, 0]));
    assert_eq!(formed(&agreement(3), 601, maxima), None);
}

#[test]
fn lenders_are_served_in_their_own_order() {
    let papers =
        papers("in_order").with("funding.leftover_order = [\"trust\", \"river\", \"cloud\"]");
    let agreement = papers.version().agreement;
    // Places follow leftover_order: trust, river, cloud. River is served first.
    let found = formed(&agreement, 1_000, [Some(500), Some(600), Some(300)]);
    assert_eq!(found, Some([100, 600, 300]));
}

fn percent(range: std::ops::RangeInclusive<i64>) -> impl Strategy<Value = Rate> {
    range.prop_map(|percent| Rate(percent * 1_000_000))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn parts_sum_to_the_amount_and_never_exceed_caps(
        mode in prop::sample::select(vec![FundingMode::Fixed, FundingMode::Offers, FundingMode::InOrder]),
        amount in 1i64..1_000_000,
        maxima in prop::array::uniform3(prop::option::weighted(0.8, 1i64..1_000_000)),
        shares in prop::array::uniform3(percent(1..=100)),
        minima in prop::array::uniform3(percent(0..=40)),
        above in prop::array::uniform3(percent(0..=60)),
        least in 1u8..=3,
    ) {
        thread_local! {
            static BASE: Agreement = papers("in_order").version().agreement;
        }
        let mut agreement = BASE.with(Clone::clone);
        agreement.file.funding.mode = mode;
        agreement.file.funding.minimum_lenders = least;
        for place in 0..3 {
            let lender = &mut agreement.funding[place];
            lender.share = Some(shares[place]);
            lender.minimum_share = minima[place];
            lender.maximum_share = Rate(minima[place].0 + above[place].0);
        }
        let caps: Vec<i64> = (0..3)
            .map(|place| {
                // Rounded up.
                let share = Amount(-amount).at(agreement.funding[place].maximum_share, Rounding::Down);
                maxima[place].map_or(0, |maximum| maximum.min(-share.0))
            })
            .collect();
        match formed(&agreement, amount, maxima) {
            Some(parts) => {
                prop_assert_eq!(parts.iter().sum::<i64>(), amount);
                let mut taking_part = 0;
                for place in 0..3 {
                    prop_assert!((0..=caps[place]).contains(&parts[place]), "{:?} {:?}", parts, caps);
                    let minimum = Amount(amount).at(minima[place], Rounding::Down).0;
                    prop_assert!(parts[place] == 0 || parts[place] >= minimum);
                    taking_part += u8::from(parts[place] > 0);
                }
                prop_assert!(taking_part >= least);
            }
            None => {
                let can_cover = caps.iter().sum::<i64>() >= amount;
                let bound = least > 1 || minima.iter().any(|minimum| minimum.0 > 0);
                prop_assert!(!can_cover || bound, "{:?}", caps);
            }
        }
    }
}
