//! Annual percentage rates: published examples, what holds for every loan, and every refusal.

use proptest::prelude::*;
use tandem_domain::agreement::{Amortisation, Product};
use tandem_domain::calendar::{BusinessCalendar, Day, DayCount};
use tandem_domain::cost::all_in_cost;
use tandem_domain::cost::apr::{
    Apr, Basis, Flow, NoRate, Times, Unit, eu, eu_in, monthly, regulation_z,
};
use tandem_domain::loan::{Instalment, OwnTerms, schedule};
use tandem_domain::money::{Amount, Money, Rate, Rounding};

use crate::fixture::day;

fn flow(on: &str, amount: i64) -> Flow {
    Flow {
        day: day(on),
        amount: Amount(amount),
    }
}

/// An advance, and payments from `first` on.
fn lent(
    advance: i64,
    on: &str,
    payments: impl IntoIterator<Item = i64>,
    due: impl Fn(u32) -> Day,
) -> Vec<Flow> {
    let paid = (0u32..).zip(payments).map(|(at, amount)| Flow {
        day: due(at),
        amount: Amount(amount),
    });
    [flow(on, -advance)].into_iter().chain(paid).collect()
}

fn monthly_from(first: &str, months: u32) -> impl Fn(u32) -> Day {
    let first = day(first);
    move |at| first.plus_months(months * at)
}

fn days_from(first: &str, days: i32) -> impl Fn(u32) -> Day {
    let first = day(first);
    move |at| first + days * at as i32
}

fn level(count: usize, amount: i64) -> Vec<i64> {
    vec![amount; count]
}

/// Each of the examples of appendix J (c) for transactions with one advance.
#[test]
fn regulation_z_gives_the_rates_of_appendix_j() {
    let halves = |at: u32| day("1978-03-01").plus_months(at / 2) + 15 * (at % 2) as i32;
    let (month, weeks) = (Unit::Months(1), Unit::Weeks);
    let series =
        |first: &[i64], count, amount, last: &[i64]| [first, &level(count, amount), last].concat();
    let cases = [
        // Regular, or with an odd first period.
        (
            "9.69%",
            month,
            lent(
                500_000,
                "1978-01-10",
                level(24, 23_000),
                monthly_from("1978-02-10", 1),
            ),
        ),
        (
            "11.82%",
            month,
            lent(
                600_000,
                "1978-02-10",
                level(36, 20_000),
                monthly_from("1978-04-01", 1),
            ),
        ),
        (
            "10.34%",
            Unit::HalfMonth,
            lent(500_000, "1978-02-23", level(24, 21_917), halves),
        ),
        (
            "8.97%",
            Unit::Months(3),
            lent(
                1_000_000,
                "1978-05-23",
                level(40, 38_500),
                monthly_from("1978-10-01", 3),
            ),
        ),
        (
            "14.96%",
            weeks(1),
            lent(
                50_000,
                "1978-03-20",
                level(30, 1_760),
                days_from("1978-04-21", 7),
            ),
        ),
        // An odd first payment.
        (
            "10.08%",
            month,
            lent(
                500_000,
                "1978-01-10",
                series(&[25_000], 23, 23_000, &[]),
                monthly_from("1978-02-10", 1),
            ),
        ),
        (
            "28.50%",
            weeks(4),
            lent(
                40_000,
                "1978-03-18",
                series(&[3_950], 11, 3_831, &[]),
                days_from("1978-04-20", 28),
            ),
        ),
        // An odd final payment.
        (
            "10.50%",
            month,
            lent(
                500_000,
                "1978-01-10",
                series(&[], 23, 23_000, &[28_000]),
                monthly_from("1978-02-10", 1),
            ),
        ),
        (
            "12.22%",
            weeks(2),
            lent(
                20_000,
                "1978-04-03",
                series(&[], 19, 950, &[3_000]),
                days_from("1978-04-11", 14),
            ),
        ),
        // Both.
        (
            "10.90%",
            month,
            lent(
                500_000,
                "1978-01-10",
                series(&[25_000], 22, 23_000, &[28_000]),
                monthly_from("1978-02-10", 1),
            ),
        ),
        (
            "7.30%",
            Unit::Months(2),
            lent(
                800_000,
                "1978-01-10",
                series(&[44_936], 18, 46_500, &[20_000]),
                monthly_from("1978-03-01", 2),
            ),
        ),
        // A single payment.
        (
            "11.45%",
            Unit::Days(255),
            lent(100_000, "1978-01-03", [108_000], |_| day("1978-09-15")),
        ),
    ];
    for (percent, unit, flows) in cases {
        let apr = regulation_z(&flows).unwrap();
        assert_eq!(apr.basis, Basis::RegulationZ(unit), "{percent}");
        assert_eq!(apr.disclosed(), percent, "{apr:?}");
    }
}

#[test]
fn the_eu_rate_gives_the_published_ones() {
    let year_and_a_half = [flow("1994-01-01", -100_000), flow("1995-07-01", 120_000)];
    let apr = eu_in(Times::Days, &year_and_a_half).unwrap();
    // 1.2 to the power of 365/546.
    assert_eq!(Rounding::HalfUp.divide(apr.rate.0.into(), 10_000), 1_296);
    // In equal months it is 1.2 to the power of 12/18.
    let apr = eu(&year_and_a_half).unwrap();
    assert_eq!(Rounding::HalfUp.divide(apr.rate.0.into(), 10_000), 1_292);
    assert_eq!(apr.basis, Basis::Eu(Times::Months));

    let sixty = lent(1_000_000, "2010-01-31", level(60, 22_244), |at| {
        day("2010-01-31").plus_months(at + 1)
    });
    assert_eq!(eu(&sixty).unwrap().disclosed(), "12.7%");
    let one = [flow("2010-01-15", -20_000), flow("2010-02-15", 25_000)];
    assert_eq!(eu(&one).unwrap().disclosed(), "1355.2%");
}

#[test]
fn time_is_counted_as_the_law_says() {
    let unit = |flows: &[Flow]| match regulation_z(flows).map(|apr| apr.basis) {
        Ok(Basis::RegulationZ(unit)) => Ok(unit.to_string()),
        other => Err(format!("{other:?}")),
    };
    let pair = |from, to| unit(&[flow(from, -100_000), flow(to, 101_000)]);
    let is = |text: &str| Ok(text.to_owned());
    assert_eq!(pair("2023-01-10", "2023-04-10"), is("3 months"));
    assert_eq!(pair("2023-01-31", "2023-02-28"), is("a month"));
    assert_eq!(pair("2023-01-10", "2023-04-12"), is("92 days"));
    assert_eq!(pair("2023-01-10", "2024-04-12"), is("a year"));
    assert_eq!(pair("2023-01-10", "2023-01-11"), is("a day"));

    let halves = [
        "2023-01-15",
        "2023-02-01",
        "2023-02-15",
        "2023-03-01",
        "2023-03-15",
        "2023-04-01",
    ];
    let mut flows: Vec<_> = halves.iter().map(|on| flow(on, 20_000)).collect();
    flows.push(flow("2023-01-05", -118_000));
    assert_eq!(unit(&flows), is("half a month"));
    let ten = lent(
        10_000,
        "2023-01-05",
        level(4, 2_600),
        days_from("2023-01-15", 10),
    );
    assert_eq!(unit(&ten), is("10 days"));
    // Two weekly and two fortnightly intervals: the smaller.
    let both = ["2023-01-08", "2023-01-15", "2023-01-29", "2023-02-12"].map(|on| flow(on, 3_000));
    assert_eq!(
        unit(&[&[flow("2023-01-01", -10_000)], &both[..]].concat()),
        is("a week")
    );
    // Three months lie between the last days of months, whatever their number.
    let last_days = ["2023-02-28", "2023-03-31", "2023-04-30"].map(|on| flow(on, 3_400));
    let from = |on| regulation_z(&[&[flow(on, -10_000)], &last_days[..]].concat()).unwrap();
    assert_eq!(
        from("2023-01-31").basis,
        Basis::RegulationZ(Unit::Months(1))
    );
    // From the 16th it is 15 days to the 31st and a month to the first payment.
    let odd = from("2023-01-16").rate;
    let same = lent(10_000, "2023-01-15", level(3, 3_400), |at| {
        [day("2023-02-28"), day("2023-03-30"), day("2023-04-30")][at as usize]
    });
    assert_eq!(odd, regulation_z(&same).unwrap().rate);
    assert!(odd < from("2023-01-31").rate);

    let weekly = lent(
        10_000,
        "2023-01-04",
        level(10, 1_010),
        days_from("2023-01-11", 7),
    );
    assert_eq!(eu(&weekly).unwrap().basis, Basis::Eu(Times::Weeks));
    let odd = lent(
        10_000,
        "2023-01-05",
        level(10, 1_010),
        monthly_from("2023-02-01", 1),
    );
    assert_eq!(eu(&odd).unwrap().basis, Basis::Eu(Times::Days));
    // A year is a year, leap or not.
    for year in [2023, 2024] {
        let [from, to] = [year, year + 1].map(|year| Day::from_ymd(year, 1, 1).unwrap());
        let flows = [(from, -100_000), (to, 110_000)];
        let flows = flows.map(|(day, amount)| Flow {
            day,
            amount: Amount(amount),
        });
        let apr = eu_in(Times::Days, &flows).unwrap();
        assert!((apr.rate.0 - 10_000_000).abs() < 10_000, "{}", apr.rate);
    }
}

#[test]
fn flows_without_a_rate_are_told_why() {
    let advance = flow("2023-01-05", -10_000);
    let cases: [(&[Flow], &str); 10] = [
        (
            &[],
            "there is no advance; an advance to the borrower is a negative amount",
        ),
        (
            &[flow("2023-02-05", 100)],
            "there is no advance; an advance to the borrower is a negative amount",
        ),
        (
            &[advance],
            "there is no payment; a payment by the borrower is a positive amount",
        ),
        (
            &[flow("2023-01-01", 100), advance, flow("2023-02-05", 11_000)],
            "a payment on 2023-01-01 comes before the first advance on 2023-01-05",
        ),
        (
            &[advance, flow("2023-01-05", 10_000), flow("2023-02-05", 100)],
            "what is paid on the day of the first advance takes all of it; nothing is lent",
        ),
        (
            &[advance, flow("2023-02-05", 9_999)],
            "payments are less in all than advances, so the rate would be below zero",
        ),
        (
            &[advance, flow("2023-01-06", 15_000)],
            "the rate is above 10000%",
        ),
        (
            &[advance, flow("2023-02-05", 1_020_000)],
            "the rate is above 10000%",
        ),
        (
            &[
                advance,
                flow("2023-02-05", 25_000),
                flow("2023-03-05", -15_500),
                flow("2023-04-05", 600),
            ],
            "the borrower pays back more than it owes and is lent to again, so more than one rate may fit",
        ),
        (
            &[flow("2023-01-05", -i64::MAX), flow("2023-02-05", i64::MAX)],
            "an amount is too large",
        ),
    ];
    for (flows, reason) in cases {
        for rate in [eu(flows), regulation_z(flows)] {
            assert_eq!(
                rate.map_err(|error| error.to_string()),
                Err(reason.to_owned())
            );
        }
    }
    let irregular = [
        advance,
        flow("2023-02-05", 5_000),
        flow("2023-04-09", 5_500),
    ];
    assert_eq!(
        regulation_z(&irregular).map_err(|error| error.to_string()),
        Err("no interval between payments or between advances occurs twice, so there is no unit period".into())
    );
    assert!(eu(&irregular).is_ok());
    for (times, text) in [(Times::Months, "equal months"), (Times::Weeks, "weeks")] {
        assert_eq!(
            eu_in(times, &irregular).map_err(|error| error.to_string()),
            Err(format!("the intervals are not whole {text}"))
        );
    }
    assert_eq!(monthly(Amount::ZERO, &[]), Err(NoRate::NothingLent));
    assert_eq!(monthly(Amount(i64::MAX), &[]), Err(NoRate::TooLarge));
    assert_eq!(monthly(Amount(1), &[]), Err(NoRate::BelowAdvances));
    // The first and the last days there are.
    let ages = [
        flow("0001-01-01", -100),
        flow("0001-01-14", 50),
        flow("9999-12-31", 100),
    ];
    assert!(eu(&ages).is_ok());
    assert_eq!(regulation_z(&ages), Err(NoRate::NoUnit));
    let last = [flow("9998-12-01", -100), flow("9999-12-31", 150)];
    assert!(eu(&last).is_ok() && regulation_z(&last).is_ok());
    let january = ["0001-01-14", "0001-01-30"].map(|on| flow(on, 5_100));
    let january = [&[flow("0001-01-01", -10_000)], &january[..]].concat();
    assert_eq!(
        regulation_z(&january).map(|apr| apr.basis),
        Err(NoRate::NoUnit)
    );
    // A loan that is drawn twice is no problem, nor one without interest.
    let twice = [
        advance,
        flow("2023-02-05", -5_000),
        flow("2023-03-05", 15_000),
    ];
    assert_eq!(eu(&twice).map(|apr| apr.rate), Ok(Rate::ZERO));
    assert_eq!(
        regulation_z(&twice).map(|apr| apr.rate),
        Err(NoRate::NoUnit)
    );
    let again = [
        advance,
        flow("2023-02-05", 10_100),
        flow("2023-03-05", -10_000),
        flow("2023-04-05", 10_100),
    ];
    assert_eq!(eu(&again).unwrap().disclosed(), "12.7%");
}

fn product(amortisation: Amortisation) -> Product {
    let amount: Money = "1.00 CNY".parse().unwrap();
    Product::plain(amortisation, DayCount::E30360, 12, amount)
}

/// What the three ways make of a loan with fees kept back.
fn rates(net: Amount, on: Day, rows: &[Instalment]) -> [Apr; 3] {
    let paid = rows.iter().map(|row| Flow {
        day: row.day,
        amount: row.total(),
    });
    let advance = Flow {
        day: on,
        amount: -net,
    };
    let flows: Vec<_> = [advance].into_iter().chain(paid).collect();
    [eu(&flows), regulation_z(&flows), monthly(net, rows)].map(Result::unwrap)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_loan_costs_its_rate_and_more_with_fees(
        kind in prop::sample::select(vec![
            Amortisation::EqualInstalment, Amortisation::EqualPrincipal, Amortisation::Bullet,
        ]),
        principal in 5_000_000i64..1_000_000_000,
        nominal in 100_000i64..36_000_000,
        months in 2u16..=60,
        // Interest of equal days needs months of equal length: no day that a month may lack.
        on in (0u32..600, 1u32..=28).prop_map(|(month, of_month)| {
            Day::from_ymd(2000, 1, of_month).unwrap().plus_months(month)
        }),
        fees in 0i64..100_000,
    ) {
        let product = product(kind);
        let calendar = BusinessCalendar::no_holidays();
        let terms = (Amount(principal), Rate(nominal));
        let terms = OwnTerms::new(product, calendar, terms, months, on);
        let rows = schedule(&terms.terms());
        let [eu, us, internal] = rates(terms.principal, on, &rows);
        prop_assert!((internal.rate.0 - nominal).abs() <= 1_000, "{internal:?}");
        prop_assert_eq!(us.rate, internal.rate);
        prop_assert_eq!(us.basis, Basis::RegulationZ(Unit::Months(1)));
        prop_assert_eq!(eu.basis, Basis::Eu(Times::Months));
        prop_assert!(eu.rate >= us.rate);
        let cost = all_in_cost(terms.principal, &rows);
        prop_assert!((cost.0 - internal.rate.0).abs() <= 1_000, "{cost} {internal:?}");
        // Fees only make it dearer.
        let dearer = rates(terms.principal - Amount(fees), on, &rows);
        let more = rates(terms.principal - Amount(fees + 1_000), on, &rows);
        for (place, free) in [eu, us, internal].iter().enumerate() {
            prop_assert!(free.rate <= dearer[place].rate && dearer[place].rate < more[place].rate);
        }
    }

    #[test]
    fn any_flows_have_a_rate_or_a_reason(
        flows in prop::collection::vec((0i32..4_000, -2_000_000i64..1_000_000), 0..12),
    ) {
        let flows: Vec<_> = flows.iter().map(|&(day, amount)| Flow {
            day: Day(10_000 + day),
            amount: Amount(amount),
        }).collect();
        for apr in [eu(&flows), eu_in(Times::Days, &flows), regulation_z(&flows)].into_iter().flatten() {
            prop_assert!(apr.rate >= Rate::ZERO && apr.rate.0 <= 100 * Rate::ONE.0);
        }
    }
}
