//! What holds for every history, tried on random ones.

use std::array;
use std::fmt;

use proptest::prelude::*;
use tandem_domain::agreement::{
    Agreement, Allocation, Amortisation, Component, Earner, Excess, FeeBase, FeeTerms, LoanFees,
    MinimumPayment, Prepayment, Product, RateStep,
};
use tandem_domain::book::{Book, Command};
use tandem_domain::calendar::{BusinessCalendar, Day, DayCount};
use tandem_domain::funding::Part;
use tandem_domain::ledger::{Account, Entry};
use tandem_domain::loan::{
    Action, Own, OwnTerms, Position, Sale, Split, Status, Totals, Transaction, evaluate,
};
use tandem_domain::money::{Amount, Money, Rate};
use tandem_domain::party::PartyId;
use tandem_domain::share::Parts;

use crate::fixture::{Desk, Papers, day};
use crate::papers::{VARIANTS, rich, variant};

thread_local! {
    static BASE: Agreement = rich(Papers::new().with_trust()).version().agreement;
}

// Loans.

#[derive(Clone)]
struct Case {
    agreement: Agreement,
    parts: Vec<Part>,
    rate: Rate,
    months: u16,
    disbursed_on: Day,
    history: Vec<Transaction>,
    to: Day,
}

/// What differs from case to case.
impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let product = &self.agreement.file.product;
        writeln!(
            f,
            "{:?} {:?} {} flat {}",
            product.amortisation, product.day_count, product.cycle, product.flat
        )?;
        writeln!(
            f,
            "  {:?} then {:?}, {:?} {:?}",
            product.waterfall, product.recovery_waterfall, product.allocation, product.excess
        )?;
        writeln!(
            f,
            "  {:?} grace {} penalty {}",
            product.prepayment, product.grace_days, product.penalty_rate
        )?;
        writeln!(
            f,
            "  interest only {} balloon {} down {} instalment {:?} plan {:?}",
            product.interest_only,
            product.balloon,
            product.down_payment,
            product.instalment,
            product.plan
        )?;
        writeln!(
            f,
            "  {:?} multiple {:?} minimum {:?}",
            product.rate_step, product.instalment_multiple, product.minimum
        )?;
        writeln!(f, "  {:?}", self.agreement.loan_fees)?;
        writeln!(
            f,
            "  {:?} at {} for {} months from {}",
            self.parts, self.rate, self.months, self.disbursed_on
        )?;
        for transaction in &self.history {
            writeln!(f, "  {} {:?}", transaction.day, transaction.action)?;
        }
        write!(f, "  to {}", self.to)
    }
}

impl Case {
    fn own(&self) -> OwnTerms {
        let principal = self.parts.iter().map(|part| part.amount).sum();
        let product = self.agreement.file.product.clone();
        let calendar = BusinessCalendar::weekends();
        let terms = (principal, self.rate);
        let mut own = OwnTerms::new(product, calendar, terms, self.months, self.disbursed_on);
        own.fees = self.agreement.loan_fees;
        own
    }
}

fn products() -> impl Strategy<Value = (Product, LoanFees)> {
    use Component::{Fee, Interest, Penalty, Principal};
    let waterfall = || Just(vec![Fee, Penalty, Interest, Principal]).prop_shuffle();
    let amortisation = prop::sample::select(vec![
        Amortisation::EqualInstalment,
        Amortisation::EqualPrincipal,
        Amortisation::Bullet,
        Amortisation::FixedInstalment,
        Amortisation::Planned,
        Amortisation::Revolving,
    ]);
    let prepayment = prop::sample::select(vec![
        Prepayment::ShortenTerm,
        Prepayment::ReduceInstalment,
        Prepayment::NextInstalments,
    ]);
    let fee = (0i64..2_000_000, 0i64..3_000).prop_map(|(rate, amount)| FeeTerms {
        of: FeeBase::Amount,
        rate: Rate(rate),
        amount: Amount(amount),
        minimum: Amount::ZERO,
        maximum: Amount::MAX,
        earner: Earner::Lenders,
    });
    let fees = prop::collection::vec(prop::option::weighted(0.3, fee), 4);
    let cycle = prop::sample::select(vec!["P1M", "P1M", "P1M", "P2W", "P10D"]);
    (
        (
            amortisation,
            prop::sample::select(DayCount::ALL.to_vec()),
            cycle,
        ),
        (waterfall(), waterfall(), any::<bool>(), any::<bool>()),
        prepayment,
        (0u16..10, 0i64..10_000_000),
        (0u16..4, 0i64..50_000_000, 0i64..30_000_000, any::<bool>()),
        (
            prop::option::of((2u16..6, 0i64..200_000_000)),
            prop::option::of(1i64..5_000),
        ),
        fees,
    )
        .prop_map(|(kind, order, prepayment, late, plan, rate, fees)| {
            let mut product = BASE.with(|base| base.file.product.clone());
            (product.amortisation, product.day_count) = (kind.0, kind.1);
            product.cycle = kind.2.parse().unwrap();
            (product.waterfall, product.recovery_waterfall) = (order.0, order.1);
            if order.2 {
                product.allocation = Allocation::Horizontal;
            }
            if order.3 {
                product.excess = Excess::Prepay;
            }
            product.prepayment = prepayment;
            product.grace_days = late.0;
            product.penalty_rate = Rate(late.1);
            (product.interest_only, product.balloon) = (plan.0, Rate(plan.1));
            product.flat = plan.3;
            if product.amortisation != Amortisation::Revolving && plan.2 < 10_000_000 {
                product.down_payment = Rate(plan.2);
            }
            product.instalment = Some(Rate(plan.1 / 10));
            product.plan = vec![Rate(plan.2 / 3), Rate::ZERO, Rate(plan.2 / 2)];
            let amount = Money {
                amount: Amount(2_000),
                ..product.minimum_amount
            };
            product.minimum = Some(MinimumPayment {
                rate: Rate(plan.2 / 3),
                amount,
            });
            product.rate_step = (rate.0.into_iter())
                .map(|(from_instalment, times)| RateStep {
                    from_instalment,
                    times: Rate(times),
                })
                .collect();
            product.instalment_multiple = rate.1.map(|multiple| Money {
                amount: Amount(multiple),
                ..amount
            });
            let fees = LoanFees {
                late: fees[0],
                instalment: fees[1],
                prepayment: fees[2],
                collection: fees[3],
            };
            (product, fees)
        })
}

/// Something that is done to a loan: kind, amount, and a number that means what the kind needs.
fn action(kind: u8, amount: i64, number: u8) -> Action {
    let money = Amount(amount);
    let effects = [
        None,
        Some(Prepayment::ShortenTerm),
        Some(Prepayment::ReduceInstalment),
        Some(Prepayment::NextInstalments),
    ];
    let components = [Component::Fee, Component::Penalty, Component::Interest];
    match kind {
        0 => Action::ChargeOff {
            covered: Rate(65_000_000),
            at_most: money,
            days_past_due: (number % 2 == 1).then_some(u16::from(number)),
        },
        1..=3 => Action::Prepay(money, effects[usize::from(number) % 4]),
        4 => Action::Settle(money),
        5 => Action::Draw(money),
        6 => Action::Refund(money),
        7 => Action::Chargeback(money),
        8 => Action::Waive {
            component: components[usize::from(number) % 3],
            amount: money,
        },
        9 => Action::Credit(money),
        10 => Action::Pause {
            cycles: 1 + number % 4,
            interest: amount % 2 == 0,
        },
        11 => Action::ReAge {
            more: u16::from(number % 5) + 1,
        },
        12 => Action::ReAmortise {
            more: u16::from(number % 5) + 1,
        },
        13 => Action::ChangeRate(Rate(amount * 60)),
        14 => Action::WriteOff(money),
        15 => Action::Transfer(Sale {
            seller: PartyId(number % 3),
            buyer: PartyId((number % 3 + 1 + (amount % 2) as u8) % 3),
            part: Rate(amount * 200),
            price: Rate(90_000_000 + amount),
        }),
        _ => Action::Repay(money),
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let part = (1i64..2_000_000, 0i64..36_000_000).prop_map(|(amount, rate)| Part {
        amount: Amount(amount),
        rate: Rate(rate),
    });
    let transactions =
        prop::collection::vec((0i32..500, 0u8..24, 1i64..400_000, any::<u8>()), 0..12);
    (
        products(),
        prop::collection::vec(part, 3),
        0i64..36_000_000,
        1u16..=14,
        0i32..366,
        transactions,
    )
        .prop_map(
            |((product, fees), parts, rate, months, start, transactions)| {
                let mut agreement = BASE.with(Clone::clone);
                agreement.file.product = product;
                agreement.loan_fees = fees;
                let disbursed_on = day("2024-01-15") + start;
                let transactions = transactions.into_iter();
                let mut history: Vec<_> = transactions
                    .map(|(after, kind, amount, number)| Transaction {
                        number: 0,
                        day: disbursed_on + after,
                        action: action(kind, amount, number),
                    })
                    .collect();
                history.sort_by_key(|transaction| transaction.day);
                Case {
                    agreement,
                    parts,
                    rate: Rate(rate),
                    months,
                    disbursed_on,
                    history,
                    to: disbursed_on + 520,
                }
            },
        )
}

/// Every part is less than one minor unit away from the exact one, and parts sum to the whole.
fn assert_exact(whole: Amount, parts: &Parts, weights: &[i128]) -> Result<(), TestCaseError> {
    prop_assert_eq!(parts.iter().copied().sum::<Amount>(), whole);
    let sum: i128 = weights.iter().sum();
    for (part, weight) in parts.iter().zip(weights) {
        let distance = i128::from(part.0) * sum - i128::from(whole.0) * weight;
        prop_assert!(distance.abs() < sum.max(1));
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_loan_adds_up(case in cases()) {
        let own = case.own();
        let terms = own.terms();
        let position = evaluate(&terms, &case.history, case.to);
        prop_assert_eq!(&evaluate(&terms, &case.history, case.to), &position);

        let totals = &position.totals;
        let repaid_and_lost = totals.principal + totals.charged_off;
        let lent = terms.principal + totals.drawn + totals.capitalised;
        prop_assert_eq!(repaid_and_lost + position.outstanding(), lent);
        for amount in totals.all() {
            prop_assert!(amount >= Amount::ZERO, "{totals:?}");
        }
        for amount in [totals.held(), position.contract.principal, position.interest_due()] {
            prop_assert!(amount >= Amount::ZERO, "{totals:?}");
        }
        prop_assert!(totals.compensated <= totals.charged_off);
        prop_assert!(totals.recovered <= totals.charged_off);
        for due in &position.due {
            prop_assert!(due.principal.0 >= 0 && due.interest.0 >= 0 && due.fee.0 >= 0, "{due:?}");
        }
        if position.status != Status::Active {
            prop_assert_eq!(position.outstanding(), Amount::ZERO);
            prop_assert_eq!(position.interest_due(), Amount::ZERO);
            prop_assert_eq!(totals.held(), Amount::ZERO);
        }
        if case.history.iter().any(|transaction| matches!(transaction.action, Action::ChangeRate(_))) {
            return Ok(());
        }
        // Never more than interest at the highest rate on all that was ever lent for all of the
        // time, rounded up for each instalment and each transaction.
        let product = terms.product;
        let highest = product.rate_step.iter().map(|step| step.rate(terms.rate)).max();
        let rate = highest.unwrap_or_default().max(terms.rate);
        let basis = product.day_count.basis() * Rate::SCALE;
        // Conventions of thirty days can count two more for a period than the days between.
        let days = i128::from(product.day_count.number(case.to + 3) - product.day_count.number(case.disbursed_on));
        // A flat rate counts what is overdue twice: within its base, and as overdue.
        let times = if product.flat { 2 } else { 1 };
        let most = times * i128::from(lent.0) * i128::from(rate.0) * days / basis;
        let roundings = 60 * (1 + case.history.len() as i128);
        let interest = totals.interest + totals.interest_forgone + totals.capitalised;
        prop_assert!(i128::from(interest.0) <= most + roundings, "{interest:?} {most}");
    }

    #[test]
    fn parts_of_a_loan_are_exact(case in cases()) {
        let own = case.own();
        let position = evaluate(&own.terms(), &case.history, case.to);
        let split = Split::of(&position, own.principal, &case.parts, &case.agreement);
        let totals = &position.totals;
        let sum = |of: fn(&Own) -> Amount| split.own.iter().map(of).sum::<Amount>();
        prop_assert_eq!(sum(|own| own.outstanding), position.outstanding());
        prop_assert_eq!(sum(|own| own.principal), totals.principal);
        prop_assert_eq!(sum(|own| own.charged_off), totals.charged_off);
        prop_assert_eq!(sum(|own| own.interest), totals.interest);
        prop_assert_eq!(sum(|own| own.penalty), totals.penalty);
        prop_assert_eq!(sum(|own| own.fees), totals.all_fees());
        prop_assert_eq!(sum(|own| own.compensated), totals.compensated);
        prop_assert_eq!(sum(|own| own.capitalised), totals.capitalised);
        prop_assert_eq!(sum(|own| own.recovered) + split.recovered_by_guarantor, totals.recovered);
        let due: Amount = split.interest_due(position.interest_due()).into_iter().sum();
        prop_assert_eq!(due, position.interest_due());
        prop_assert!(split.own.iter().all(|own| own.outstanding.0 >= 0), "{:?}", split.own);
        let received = sum(Own::received);
        prop_assert_eq!(
            received + split.recovered_by_guarantor + totals.held() + totals.refunded,
            totals.received + totals.credited
        );
        // Nobody gets interest that has not come.
        let came = |totals: &Totals| !totals.interest.is_zero();
        if !came(totals) && !position.marks.iter().any(|mark| came(&mark.totals)) {
            prop_assert!(split.own.iter().all(|own| own.interest.is_zero()), "{:?}", split.own);
        }
        // From one change of the holdings to the next, every part of every component is the exact
        // one by the holdings at its start, to less than a minor unit; that of interest once what was
        // owed before has come, which is to the unit what was owed.
        let mut from = Totals::default();
        for changes in 0..=position.marks.len() {
            let to = position.marks.get(changes).map_or(*totals, |mark| mark.totals);
            let at = |totals| {
                let mut then = position.clone();
                then.totals = totals;
                then.marks.truncate(changes);
                Split::of(&then, own.principal, &case.parts, &case.agreement)
            };
            let (before, after, came) = (at(from), at(to), to.since(&from));
            from = to;
            let by_principal = before.parts(|own| own.outstanding).map(i128::from);
            if by_principal.iter().sum::<i128>() == 0 {
                continue;
            }
            let came_to = |of: fn(&Own) -> Amount| -> Parts {
                array::from_fn(|place| of(&after.own[place]) - of(&before.own[place]))
            };
            for (whole, parts, weights) in [
                (came.principal, came_to(|own| own.principal), &by_principal),
                (
                    came.principal + came.charged_off,
                    came_to(|own| own.principal + own.charged_off),
                    &by_principal,
                ),
                (came.penalty, came_to(|own| own.penalty), &by_principal),
                (came.compensated, came_to(|own| own.compensated), &by_principal),
            ] {
                assert_exact(whole, &parts, weights)?;
            }
            let owed = before.interest_owed;
            let first = came.interest.min(owed.iter().copied().sum()).max(Amount::ZERO);
            let parts = came_to(|own| own.interest);
            if first < came.interest || first.is_zero() {
                let rest = array::from_fn(|place| match first.is_zero() {
                    true => parts[place],
                    false => parts[place] - owed[place],
                });
                assert_exact(came.interest - first, &rest, &before.interest_weights)?;
            } else {
                assert_exact(first, &parts, &owed.map(i128::from))?;
            }
        }
    }

    #[test]
    fn looking_at_a_loan_on_the_way_changes_nothing(case in cases(), every in 1i32..60) {
        let own = case.own();
        let terms = own.terms();
        let mut position = Position::disburse(&terms);
        let mut history = case.history.iter().peekable();
        let mut today = case.disbursed_on;
        while today <= case.to {
            while let Some(transaction) = history.next_if(|transaction| transaction.day <= today) {
                position.transact(&terms, *transaction);
            }
            position.advance(&terms, today);
            let next = history.peek().map_or(case.to + 1, |next| next.day);
            today = (today + every).min(next.max(today + 1));
        }
        position.advance(&terms, case.to);
        prop_assert_eq!(position, evaluate(&terms, &case.history, case.to));
    }

    #[test]
    fn the_payoff_ends_the_loan(case in cases(), after in 0i32..500) {
        let own = case.own();
        let terms = own.terms();
        let on = case.disbursed_on + after;
        let history: Vec<_> = case.history.iter().copied().filter(|t| t.day <= on).collect();
        let mut position = evaluate(&terms, &history, on);
        let payoff = position.payoff(&terms, on).total();
        if position.status != Status::Active || payoff.is_zero() {
            return Ok(());
        }
        let (mut short, refunded) = (position.clone(), position.totals.refunded);
        if terms.product.amortisation == Amortisation::Revolving {
            return Ok(());
        }
        position.transact(&terms, Transaction { day: on, action: Action::Prepay(payoff, None), number: 1 });
        prop_assert_eq!(position.status, Status::Repaid);
        prop_assert_eq!(position.totals.refunded, refunded);
        if payoff > Amount(1) {
            short.transact(&terms, Transaction { day: on, action: Action::Prepay(payoff - Amount(1), None), number: 1 });
            prop_assert_eq!(short.status, Status::Active);
        }
    }
}

// Books.

#[derive(Clone, Debug)]
enum Step {
    Apply {
        amount: i64,
        months: usize,
        borrower: u8,
        east: bool,
    },
    Accept(usize),
    Withdraw(usize),
    Instruct {
        loan: usize,
        back: i32,
        what: (u8, i64, u8),
    },
    Reverse(usize),
    WriteOff(usize),
    Close(u8),
    Amend,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (10_000i64..300_000, 0usize..3, 0u8..4, any::<bool>())
            .prop_map(|(amount, months, borrower, east)| Step::Apply { amount, months, borrower, east }),
        4 => (0usize..8).prop_map(Step::Accept),
        1 => (0usize..8).prop_map(Step::Withdraw),
        8 => (0usize..8, 0i32..60, (0u8..30, 1i64..150_000, any::<u8>()))
            .prop_map(|(loan, back, what)| Step::Instruct { loan, back, what }),
        2 => (0usize..40).prop_map(Step::Reverse),
        1 => (0usize..8).prop_map(Step::WriteOff),
        4 => (1u8..25).prop_map(Step::Close),
        1 => Just(Step::Amend),
    ];
    prop::collection::vec(step, 1..40)
}

/// The key of the n-th application, counted round.
fn key(desk: &Desk, number: usize) -> Option<String> {
    let place = number.checked_rem(desk.book.application_count())?;
    Some(desk.book.application_in(place as u32).key.to_owned())
}

fn play(desk: &mut Desk, papers: &mut Papers, number: usize, step: &Step) {
    match step {
        Step::Apply {
            amount,
            months,
            borrower,
            east,
        } => {
            let amount = format!("{}.{:02}", amount / 100, amount % 100);
            let months = ["1", "3", "6"][*months];
            let region = if *east { "region=east" } else { "region=south" };
            let borrower = format!("borrower=b{borrower}");
            desk.apply(&format!("A{number}"), &amount, months, &[region, &borrower])
                .unwrap();
        }
        Step::Accept(which) => {
            key(desk, *which).map(|key| desk.accept(&key));
        }
        Step::Withdraw(which) => {
            key(desk, *which).map(|key| desk.withdraw(&key));
        }
        Step::Instruct { loan, back, what } => {
            let Some(application) = key(desk, *loan) else {
                return;
            };
            let since = desk
                .book
                .loan(&application)
                .map(|(_, loan)| loan.disbursed_on);
            let on = desk.book.business_date() + -back;
            let on = on.max(since.unwrap_or(on));
            let action = dated_action(*what, on);
            let _ = desk.instruct(&format!("P{number}"), &application, on, action);
        }
        Step::Reverse(which) => {
            let (key, of) = (format!("P{number}"), format!("P{which}"));
            let _ = desk.run(&Command::Reverse { key, of });
        }
        Step::WriteOff(which) => {
            if let Some(application) = key(desk, *which) {
                let _ = desk.run(&Command::ChargeOff { application });
            }
        }
        Step::Close(days) => (0..*days).for_each(|_| desk.close()),
        Step::Amend => {
            let version = desk.book.versions().len() + 1;
            let today = desk.book.business_date();
            let next = papers
                .clone()
                .with(&format!("version = {version}"))
                .with(&format!("effective_from = \"{}\"", today + 2))
                .with(&format!("product.grace_days = {}", version % 5));
            let documents = Box::new(next.documents());
            if desk.run(&Command::Sign(documents)).is_ok() {
                *papers = next;
            }
        }
    }
}

/// An action that may need to know its value date.
fn dated_action((kind, amount, number): (u8, i64, u8), on: Day) -> Action {
    match kind {
        16 => Action::ChangeDueDate(on + i32::from(number % 40) + 1),
        kind => action(kind, amount, number),
    }
}

/// What each party has to get from each other by its ledger.
fn claims(book: &Book) -> Vec<Amount> {
    let parties = || (0..5u8).map(PartyId);
    parties()
        .flat_map(|party| parties().map(move |other| (party, other)))
        .map(|(party, other)| book.ledgers().balance(party, Account::DueFrom(other)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// `Desk::run` proves the rest after every command: findings are empty, the events survive
    /// CBOR, and a book that only saw them has the same digest.
    #[test]
    fn a_book_stays_right(number in 0..VARIANTS.len(), steps in steps()) {
        let mut papers = variant(number).with("archive = { after_days = 5 }");
        let mut desk = Desk::new(&papers);
        for (number, step) in steps.iter().enumerate() {
            if number % 4 == 0 {
                desk.archive();
            }
            play(&mut desk, &mut papers, number, step);
        }
        desk.assert_evaluated();
        // When offers have lapsed and windows are settled, nothing is reserved or owed.
        (0..14).for_each(|_| desk.close());
        for id in ["river", "cloud", "trust"] {
            let party = desk.party(id);
            prop_assert_eq!(desk.book.lent(party), desk.book.ledgers().balance(party, Account::Loans));
        }
        let waiting: Amount = desk.book.plans().iter()
            .flat_map(|plan| &plan.obligations)
            .map(|owed| owed.amount)
            .sum();
        prop_assert_eq!(claims(&desk.book).into_iter().sum::<Amount>(), waiting);
        prop_assert!(claims(&desk.book).iter().all(|claim| *claim >= Amount::ZERO));
        // Whatever was broken off can be taken up again: a book that saw the journal up to any
        // place ends in the same state after closing the same days.
        let cut = desk.events.len().saturating_sub(1 + steps.len() % 9);
        let mut again = Book::default();
        let mut nothing = |_: &Entry| {};
        for event in &desk.events[..cut] {
            again.apply(event, &mut nothing);
        }
        let mut events = Vec::new();
        while again.business_date() < desk.book.business_date() {
            let day = again.business_date();
            again.execute(Command::CloseDay { day }, &mut events, &mut nothing).unwrap();
        }
        prop_assert_eq!(again.digest(), desk.book.digest());
        prop_assert_eq!(again.findings(), []);
        desk.archive();
        desk.whole();
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    /// Whatever is entered late leaves the book as if it had been entered in time.
    #[test]
    fn back_dating_leaves_no_trace(
        number in 0..VARIANTS.len(),
        // Instructions on different days, and how much later each is entered.
        given in prop::collection::btree_map(1i32..70, ((1u8..30, 1i64..9_000, any::<u8>()), 0i32..40), 1..7),
    ) {
        let papers = variant(number).with("charge_off.days_past_due = 200");
        let mut straight = Desk::trusting(&papers);
        straight.apply("A", "1700.03", "6", &[]).unwrap();
        straight.accept("A").unwrap();
        let start = straight.book.business_date();
        let mut entered = Vec::new();
        for (&on, &(what, delay)) in &given {
            straight.close_until(start + on);
            let action = dated_action(what, start + on);
            if straight.instruct(&format!("P{on}"), "A", start + on, action).is_ok() {
                entered.push((on + delay, on, action));
            }
        }
        entered.sort_by_key(|&(entered_on, ..)| entered_on);
        let mut late = Desk::trusting(&papers);
        late.apply("A", "1700.03", "6", &[]).unwrap();
        late.accept("A").unwrap();
        let mut waiting: Vec<(i32, Action)> = Vec::new();
        for (entered_on, on, action) in entered {
            late.close_until(start + entered_on);
            waiting.push((on, action));
            // What is refused may become possible with what comes later.
            waiting.retain(|&(on, action)| {
                late.instruct(&format!("P{on}"), "A", start + on, action).is_err()
            });
        }
        late.close_until(start + 110);
        for _ in 0..waiting.len() {
            waiting.retain(|&(on, action)| {
                late.instruct(&format!("P{on}"), "A", start + on, action).is_err()
            });
        }
        prop_assert!(waiting.is_empty(), "{waiting:?}");
        straight.close_until(start + 120);
        late.close_until(start + 120);
        straight.prove();
        late.prove();
        let (straight, late) = (straight.book, late.book);
        prop_assert_eq!(straight.loan_in(0).position, late.loan_in(0).position);
        assert_same_books(&straight, &late)?;
    }

    /// Whatever was done, taking all of it back leaves the loan as if nothing had been.
    #[test]
    fn reversing_everything_leaves_nothing(
        number in 0..VARIANTS.len(),
        given in prop::collection::vec((1i32..9, (1u8..30, 1i64..9_000, any::<u8>()), 0i32..30), 1..9),
        order in any::<prop::sample::Index>(),
    ) {
        let papers = variant(number).with("charge_off.days_past_due = 200");
        let mut books = [false, true].map(|active| {
            let mut desk = Desk::trusting(&papers);
            desk.apply("A", "1700.03", "6", &[]).unwrap();
            desk.accept("A").unwrap();
            let start = desk.book.business_date();
            let mut keys = Vec::new();
            for (place, &(after, what, back)) in given.iter().enumerate() {
                let today = desk.book.business_date();
                desk.close_until(today + after);
                if active {
                    let on = (desk.book.business_date() + -back).max(start);
                    let key = format!("P{place}");
                    if desk.instruct(&key, "A", on, dated_action(what, on)).is_ok() {
                        keys.push(key);
                    }
                }
            }
            while !keys.is_empty() {
                let of = keys.remove(order.index(keys.len()));
                desk.run(&Command::Reverse { key: format!("R{of}"), of }).unwrap();
            }
            (0..12).for_each(|_| desk.close());
            desk.prove();
            desk.book
        });
        let [idle, undone] = &mut books;
        prop_assert_eq!(idle.loan_in(0).position, undone.loan_in(0).position);
        assert_same_books(idle, undone)?;
    }
}

/// The same sums and the same balances of every party.
fn assert_same_books(one: &Book, other: &Book) -> Result<(), TestCaseError> {
    prop_assert_eq!(one.portfolio(), other.portfolio());
    for party in (0..5u8).map(PartyId) {
        for account in Account::chart(5) {
            let [one, other] = [one, other].map(|book| book.ledgers().balance(party, account));
            prop_assert_eq!(one, other, "{:?} {:?}", party, account);
        }
    }
    Ok(())
}
