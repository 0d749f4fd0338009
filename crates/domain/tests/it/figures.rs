//! Figures that are known from elsewhere: textbook instalments and what credit costs all in.

use proptest::prelude::*;
use tandem_domain::agreement::{
    Agreement, Amortisation, Earner, FeeBase, FeeTerms, RateStep, Residual,
};
use tandem_domain::calendar::{Adjustment, BusinessCalendar, Day, DayCount};
use tandem_domain::cost::{all_in_cost, all_in_cost_by, exceeds, exceeds_by, is_clearly_within};
use tandem_domain::loan::{Instalment, OwnTerms, schedule};
use tandem_domain::money::{Amount, Rate, Rounding};

use crate::fixture::{Papers, day};

thread_local! {
    static BASE: Agreement = Papers::new().version().agreement;
}

fn planned(
    amortisation: Amortisation,
    day_count: DayCount,
    principal: i64,
    rate: Rate,
    months: u16,
) -> Vec<Instalment> {
    let mut agreement = BASE.with(Clone::clone);
    agreement.file.product.amortisation = amortisation;
    agreement.file.product.day_count = day_count;
    let calendar = BusinessCalendar::no_holidays();
    let (product, terms) = (agreement.file.product, (Amount(principal), rate));
    schedule(&OwnTerms::new(product, calendar, terms, months, day("2024-01-15")).terms())
}

fn rate(text: &str) -> Rate {
    text.parse().unwrap()
}

#[test]
fn instalments_of_the_textbook() {
    for (principal, percent, months, instalment) in [
        (10_000_000, "6%", 360, 59_955),
        (20_000_000, "6.5%", 360, 126_414),
        (10_000_000, "5%", 180, 79_079),
        (1_200_000, "12%", 12, 106_619),
        (1_000_000, "14.4%", 36, 34_372),
        (2_500_000, "7.9%", 60, 50_571),
    ] {
        let rows = planned(
            Amortisation::EqualInstalment,
            DayCount::E30360,
            principal,
            rate(percent),
            months,
        );
        assert_eq!(rows.len(), usize::from(months));
        let (last, level) = rows.split_last().unwrap();
        assert!(
            level.iter().all(|row| row.total() == Amount(instalment)),
            "{percent} {months}"
        );
        assert!(
            (last.total().0 - instalment).abs() <= i64::from(months) * 3,
            "{percent} {months}"
        );
        let repaid: Amount = rows.iter().map(|row| row.principal).sum();
        assert_eq!(repaid, Amount(principal));
    }
}

#[test]
fn without_fees_the_all_in_cost_is_the_nominal_rate() {
    for amortisation in [
        Amortisation::EqualInstalment,
        Amortisation::EqualPrincipal,
        Amortisation::Bullet,
    ] {
        for percent in ["0.5%", "4.35%", "12%", "14.4%", "24%", "36%"] {
            for months in [3, 12, 36] {
                let nominal = rate(percent);
                let rows = planned(amortisation, DayCount::E30360, 10_000_000, nominal, months);
                let cost = all_in_cost(Amount(10_000_000), &rows);
                let off = (cost.0 - nominal.0).abs();
                assert!(off <= 2_000, "{amortisation:?} {percent} {months}: {cost}");
            }
        }
    }
}

/// Instalment plans whose fee is a share of the first principal every month: the rate that is
/// advertised is about half of what it costs.
#[test]
fn monthly_fees_cost_about_twice_what_they_say() {
    for (fee, months, percent) in [
        ("0.6%", 12, "13.034%"),
        ("0.75%", 12, "16.216%"),
        ("0.5%", 12, "10.896%"),
        ("0.6%", 6, "12.239%"),
        ("0.6%", 24, "13.266%"),
    ] {
        let principal = 12_000_000;
        let interest = Amount(principal * rate(fee).0 / Rate::ONE.0);
        let part = Amount(principal / i64::from(months));
        let rows: Vec<_> = (1..=months)
            .map(|number| Instalment {
                number,
                day: Day(0),
                principal: part,
                interest,
                fee: Amount::ZERO,
                balance: Amount(principal - part.0 * i64::from(number)),
            })
            .collect();
        let cost = all_in_cost(Amount(principal), &rows);
        let off = (cost.0 - rate(percent).0).abs();
        assert!(off <= 1_000, "{fee} {months}: {cost}");
    }
}

#[test]
fn fees_kept_back_raise_the_cost() {
    // One year at 12% of which 2% is kept back: 9,800.00 for twelve instalments of 888.49.
    let rows = planned(
        Amortisation::EqualInstalment,
        DayCount::E30360,
        1_000_000,
        rate("12%"),
        12,
    );
    assert_eq!(rows[0].total(), Amount(88_849));
    let cost = all_in_cost(Amount(980_000), &rows);
    assert_eq!(cost, rate("15.855%"));
    assert_eq!(all_in_cost(Amount(1_100_000), &rows), Rate::ZERO);
}

#[test]
fn cycles_of_a_year_count_by_their_unit() {
    // By A/365 a cycle of days is a 365th of the nominal rate a day; a year has 52 weeks.
    for (cycle, percent, cost) in [
        ("P1W", "24.05%", "23.984%"),
        ("P2W", "24.05%", "23.984%"),
        ("P30D", "24%", "24%"),
        ("P1D", "24%", "24%"),
    ] {
        let mut product = BASE.with(Agreement::clone).file.product;
        product.day_count = DayCount::A365;
        product.cycle = cycle.parse().unwrap();
        let amount = Amount(100_000_000);
        let calendar = BusinessCalendar::no_holidays();
        let own = OwnTerms::new(
            product,
            calendar,
            (amount, rate(percent)),
            3,
            day("2024-01-15"),
        );
        let found = all_in_cost_by(own.product.cycle, amount, &schedule(&own.terms()));
        assert_eq!(found, rate(cost), "{cycle}");
    }
}

/// Of a loan of 10,000.00 over three years, a cap of 24%, and so much kept back.
#[test]
fn most_costs_are_clearly_within_a_cap() {
    for (percent, kept_back, within) in [
        ("0%", 20_000, true),
        ("12%", 20_000, true),
        ("21.7%", 20_000, true),
        ("21.9%", 20_000, false),
        ("23.9%", 0, true),
        ("24%", 0, false),
        ("12%", 100_000, true),
        ("12%", 150_000, false),
    ] {
        let mut product = BASE.with(Agreement::clone).file.product;
        product.day_count = DayCount::E30360;
        let (amount, calendar) = (Amount(1_000_000), BusinessCalendar::weekends());
        let terms = (amount, rate(percent));
        let own = OwnTerms::new(product, calendar, terms, 36, day("2024-01-15"));
        let (net, cap) = (amount - Amount(kept_back), rate("24%"));
        let found = is_clearly_within(&own.terms(), net, cap);
        assert_eq!(found, within, "{percent} {kept_back}");
    }
}

#[test]
fn instalments_moved_to_one_day_stay_apart() {
    let mut product = BASE.with(Agreement::clone).file.product;
    product.cycle = "P1D".parse().unwrap();
    product.business_days = Adjustment::from_actus("CSF").unwrap();
    let calendar = BusinessCalendar::weekends();
    let terms = (Amount(31_000), rate("36%"));
    let own = OwnTerms::new(product, calendar, terms, 1, day("2024-01-15"));
    let rows = schedule(&own.terms());
    let numbers: Vec<_> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=31).collect::<Vec<_>>());
    let mondays = rows.iter().filter(|row| row.day == day("2024-01-22"));
    assert_eq!(mondays.map(|row| row.number).collect::<Vec<_>>(), [5, 6, 7]);
    assert!(
        rows.windows(2)
            .all(|two| two[0].balance - two[1].principal == two[1].balance)
    );
    assert_eq!(rows[30].balance, Amount::ZERO);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn a_cap_is_exceeded_above_the_all_in_cost_only(
        principal in 100_000i64..100_000_000,
        nominal in 1i64..360_000,
        months in 1u16..=48,
        kept_back in 0i64..5,
        bullet in any::<bool>(),
    ) {
        let amortisation = if bullet { Amortisation::Bullet } else { Amortisation::EqualInstalment };
        let rows = planned(amortisation, DayCount::A360, principal, Rate(nominal * 100), months);
        let net = Amount(principal - principal * kept_back / 100);
        let cost = all_in_cost(net, &rows);
        prop_assert!(!exceeds(net, &rows, Rate(cost.0 + 1_000)));
        // The tolerance is half a minor unit for each instalment; the rate that it is worth is
        // bounded by what it is of a year's principal.
        let tolerance = i64::from(months) * Rate::ONE.0 * 24 / (principal * i64::from(months)) + 2_000;
        if cost.0 > tolerance {
            prop_assert!(exceeds(net, &rows, Rate(cost.0 - tolerance)), "{cost} {tolerance}");
        }
    }

    /// Of 25,947,550 at 24.07936% over 12 months, the last is 2 off for a difference of -5 and -2 for
    /// one of -4: what a unit grows to is rounded up each month at worst.
    #[test]
    fn the_first_instalment_can_take_the_difference(
        principal in 10_000i64..100_000_000,
        nominal in 0i64..30_000_000,
        months in 2u16..=24,
        equal_principal in any::<bool>(),
        flat in any::<bool>(),
    ) {
        let mut product = BASE.with(Agreement::clone).file.product;
        product.residual = Residual::First;
        product.flat = flat;
        if equal_principal {
            product.amortisation = Amortisation::EqualPrincipal;
        }
        let terms = (Amount(principal), Rate(nominal));
        let calendar = BusinessCalendar::no_holidays();
        let rows = schedule(&OwnTerms::new(product, calendar, terms, months, day("2024-01-15")).terms());
        let (first, level) = rows.split_first().unwrap();
        let (last, level) = level.split_last().unwrap();
        let repaid: Amount = rows.iter().map(|row| row.principal).sum();
        prop_assert_eq!(repaid, Amount(principal));
        for row in level {
            if equal_principal {
                prop_assert_eq!(row.principal, last.principal);
            } else {
                let off = (row.total().0 - last.total().0).abs();
                prop_assert!(off <= i64::from(months + 1) / 2, "{:?}", rows);
            }
        }
        prop_assert!((first.total().0 - last.total().0).abs() <= i64::from(months) * 2 + nominal * principal / 1_000_000_000);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    /// Of most loans nothing is unlike what the bound is for, and the cap is near their cost.
    #[test]
    fn what_is_clearly_within_a_cap_is_within_it(
        day_count in prop::sample::select(DayCount::ALL.to_vec()),
        rounding in prop::sample::select(vec![Rounding::HalfUp, Rounding::HalfEven, Rounding::Down]),
        cycle in prop::sample::select(vec!["P1M", "P1M", "P1M", "P2W", "P10D", "P1Q", "P1Y"]),
        moved in prop::sample::select(vec!["NOS", "SCF", "CSP"]),
        (due_day, first_period_days) in (prop::option::of(1u8..=31), 0u16..40),
        (months, start) in (1u16..=60, 0i32..800),
        principal in (1i64..10_000, 0u32..10).prop_map(|(digits, zeros)| digits * 10i64.pow(zeros)),
        (nominal, kept_back) in (0i64..40_000_000, 0i64..6_000_000),
        margin in prop_oneof![-2_000i64..5_000, 0i64..3_000_000],
        unlike in 0u8..24,
    ) {
        let mut product = BASE.with(Agreement::clone).file.product;
        (product.day_count, product.rounding) = (day_count, rounding);
        product.cycle = cycle.parse().unwrap();
        product.business_days = Adjustment::from_actus(moved).unwrap();
        (product.due_day, product.first_period_days) = (due_day, first_period_days);
        let mut fee = None;
        match unlike {
            0 => product.amortisation = Amortisation::EqualPrincipal,
            1 => product.amortisation = Amortisation::Bullet,
            2 => product.flat = true,
            3 => product.balloon = rate("30%"),
            4 => product.down_payment = rate("10%"),
            5 => product.interest_only = 3,
            6 => product.residual = Residual::First,
            7 => product.instalment_multiple = Some("100.00 CNY".parse().unwrap()),
            8 => product.rate_step = vec![RateStep { from_instalment: 2, times: rate("150%") }],
            9 => fee = Some(FeeTerms {
                of: FeeBase::Amount,
                rate: rate("1%"),
                amount: Amount::ZERO,
                minimum: Amount::ZERO,
                maximum: Amount::MAX,
                earner: Earner::Lenders,
            }),
            _ => {}
        }
        let (calendar, day) = (BusinessCalendar::weekends(), day("2024-01-15") + start);
        let loan = (Amount(principal), Rate(nominal));
        let mut own = OwnTerms::new(product, calendar, loan, months, day);
        own.fees.instalment = fee;
        let (terms, cycle) = (own.terms(), own.product.cycle);
        let rows = schedule(&terms);
        let net = terms.principal - terms.principal.at(Rate(kept_back), Rounding::HalfUp);
        let cap = Rate((all_in_cost_by(cycle, net, &rows).0 + margin).max(0));
        if is_clearly_within(&terms, net, cap) {
            prop_assert!(!exceeds_by(cycle, net, &rows, cap), "{cap}");
        }
    }
}
