//! What holds for every history, tried on random ones.

use proptest::prelude::*;
use tandem_domain::agreement::{
    Agreement, Amortisation, Component, Earner, FeeTerms, Prepayment, Product,
};
use tandem_domain::book::{Book, Command, Split};
use tandem_domain::calendar::{Day, DayCount};
use tandem_domain::funding::Part;
use tandem_domain::ledger::{Account, Entry};
use tandem_domain::loan::{Action, Position, Status, Terms, Transaction, evaluate};
use tandem_domain::money::{Amount, Rate};
use tandem_domain::party::PartyId;
use tandem_domain::share::Parts;

use crate::fixture::{Desk, Papers, day};

thread_local! {
    static BASE: Agreement = rich(Papers::new().with_trust()).version().agreement;
}

/// With everything that can be earned, paid or lost.
fn rich(papers: Papers) -> Papers {
    [
        "funding.mode = \"offers\"",
        "funding.lender[0].share = nothing",
        "funding.lender[1].share = nothing",
        "service_fee = { of_interest = \"12.5%\", earned_by = \"mall\" }",
        "guarantee = { party = \"shield\", covers = \"65%\", pool = \"30%\", recoveries = \"guarantor_first\" }",
        "fee[0] = { at = \"overdue\", amount = \"5.00 CNY\", rate = \"1%\", earned_by = \"lenders\" }",
        "fee[1] = { at = \"disbursement\", rate = \"0.7%\", amount = \"1.00 CNY\", earned_by = \"lenders\" }",
        "river: offer[0].rate = \"9.75%\"",
        "river: offer[0].maximum = [\"700 CNY\"]",
        "cloud: offer[0].rate = \"13.1%\"",
        "cloud: offer[0].maximum = [\"900 CNY\"]",
        "trust: offer[0].rate = \"15%\"",
    ]
    .iter()
    .fold(papers, |papers, change| papers.with(change))
}

// Loans.

#[derive(Clone, Debug)]
struct Case {
    agreement: Agreement,
    parts: Vec<Part>,
    rate: Rate,
    months: u16,
    disbursed_on: Day,
    history: Vec<Transaction>,
    to: Day,
}

impl Case {
    fn terms(&self) -> Terms<'_> {
        Terms {
            principal: self.parts.iter().map(|part| part.amount).sum(),
            rate: self.rate,
            months: self.months,
            disbursed_on: self.disbursed_on,
            product: &self.agreement.file.product,
            late_fee: self.agreement.late_fee,
        }
    }
}

fn products() -> impl Strategy<Value = (Product, Option<FeeTerms>)> {
    use Component::{Fee, Interest, Penalty, Principal};
    let waterfall = Just(vec![Fee, Penalty, Interest, Principal]).prop_shuffle();
    let amortisation = prop::sample::select(vec![
        Amortisation::EqualInstalment,
        Amortisation::EqualPrincipal,
        Amortisation::Bullet,
    ]);
    let prepayment =
        prop::sample::select(vec![Prepayment::ShortenTerm, Prepayment::ReduceInstalment]);
    let late_fee = prop::option::of((0i64..2_000_000, 0i64..3_000));
    (
        amortisation,
        prop::sample::select(DayCount::ALL.to_vec()),
        waterfall,
        prepayment,
        0u16..10,
        0i64..10_000_000,
        late_fee,
    )
        .prop_map(
            |(amortisation, day_count, waterfall, prepayment, grace_days, penalty, late_fee)| {
                let mut product = BASE.with(|base| base.file.product.clone());
                product.amortisation = amortisation;
                product.day_count = day_count;
                product.waterfall = waterfall;
                product.prepayment = prepayment;
                product.grace_days = grace_days;
                product.penalty_rate = Rate(penalty);
                let late_fee = late_fee.map(|(rate, amount)| FeeTerms {
                    rate: Rate(rate),
                    amount: Amount(amount),
                    earner: Earner::Lenders,
                });
                (product, late_fee)
            },
        )
}

fn cases() -> impl Strategy<Value = Case> {
    let part = (1i64..2_000_000, 0i64..36_000_000).prop_map(|(amount, rate)| Part {
        amount: Amount(amount),
        rate: Rate(rate),
    });
    let transactions = prop::collection::vec((0i32..500, 0u8..10, 1i64..400_000), 0..9);
    (
        products(),
        prop::collection::vec(part, 3),
        0i64..36_000_000,
        1u16..=14,
        0i32..366,
        transactions,
    )
        .prop_map(
            |((product, late_fee), parts, rate, months, start, transactions)| {
                let mut agreement = BASE.with(Clone::clone);
                agreement.file.product = product;
                agreement.late_fee = late_fee;
                let disbursed_on = day("2024-01-15") + start;
                let mut history: Vec<_> = transactions
                    .into_iter()
                    .map(|(after, kind, amount)| Transaction {
                        day: disbursed_on + after,
                        action: match kind {
                            0 => Action::ChargeOff {
                                covered: Rate(65_000_000),
                                at_most: Amount(amount),
                            },
                            1..=3 => Action::Prepay(Amount(amount)),
                            _ => Action::Repay(Amount(amount)),
                        },
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
        let terms = case.terms();
        let position = evaluate(&terms, &case.history, case.to);
        prop_assert_eq!(&evaluate(&terms, &case.history, case.to), &position);

        let totals = &position.totals;
        let repaid_and_lost = totals.principal + totals.charged_off;
        prop_assert_eq!(repaid_and_lost + position.outstanding(), terms.principal);
        for amount in [
            totals.fees, totals.penalty, totals.interest, totals.principal, totals.recovered,
            totals.charged_off, totals.compensated, totals.interest_forgone, totals.refunded,
            totals.held(), position.not_due, position.interest_due(),
        ] {
            prop_assert!(amount >= Amount::ZERO, "{totals:?}");
        }
        prop_assert!(totals.compensated <= totals.charged_off);
        for due in &position.due {
            prop_assert!(due.principal.0 >= 0 && due.interest.0 >= 0 && due.fee.0 >= 0, "{due:?}");
        }
        if position.status != Status::Active {
            prop_assert_eq!(position.outstanding(), Amount::ZERO);
            prop_assert_eq!(position.interest_due(), Amount::ZERO);
        }
        if position.status == Status::Repaid {
            prop_assert_eq!(totals.held(), Amount::ZERO);
        }
        // Never more than interest on all of the principal for all of the time, rounded up for
        // each instalment and each transaction.
        let basis = terms.product.day_count.basis() * Rate::SCALE;
        let days = i128::from(terms.product.day_count.days(case.disbursed_on, case.to));
        let most = i128::from(terms.principal.0) * i128::from(terms.rate.0) * days / basis;
        let roundings = i128::from(case.months) * (1 + case.history.len() as i128);
        prop_assert!(i128::from((totals.interest + totals.interest_forgone).0) <= most + roundings);
    }

    #[test]
    fn parts_of_a_loan_are_exact(case in cases()) {
        let position = evaluate(&case.terms(), &case.history, case.to);
        let totals = &position.totals;
        let split = Split::of(totals, &case.parts, &case.agreement);
        let by_principal: Vec<_> = case.parts.iter().map(|part| i128::from(part.amount.0)).collect();
        let mut by_interest: Vec<_> = case.parts.iter()
            .map(|part| i128::from(part.amount.0) * i128::from(part.rate.0))
            .collect();
        if by_interest.iter().sum::<i128>() == 0 {
            by_interest.clone_from(&by_principal);
        }
        assert_exact(totals.principal, &split.principal, &by_principal)?;
        assert_exact(totals.interest, &split.interest, &by_interest)?;
        assert_exact(totals.fees, &split.fees, &by_principal)?;
        assert_exact(totals.penalty, &split.penalty, &by_principal)?;
        assert_exact(totals.compensated, &split.compensated, &by_principal)?;
        let to_lenders = totals.recovered - split.recovered_by_guarantor;
        assert_exact(to_lenders, &split.recovered, &by_principal)?;
        prop_assert_eq!(split.charged_off.iter().copied().sum::<Amount>(), totals.charged_off);
        for (place, part) in case.parts.iter().enumerate() {
            let left = part.amount - split.principal[place] - split.charged_off[place];
            prop_assert!((0..=part.amount.0).contains(&left.0));
        }
        let received: Amount = (0..3).map(|place| split.received(place)).sum();
        prop_assert_eq!(
            received + split.recovered_by_guarantor + totals.held() + totals.refunded,
            totals.received
        );
    }

    #[test]
    fn looking_at_a_loan_on_the_way_changes_nothing(case in cases(), every in 1i32..60) {
        let terms = case.terms();
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
        let terms = case.terms();
        let on = case.disbursed_on + after;
        let history: Vec<_> = case.history.iter().copied().filter(|t| t.day <= on).collect();
        let mut position = evaluate(&terms, &history, on);
        let payoff = position.payoff(&terms, on);
        if position.status != Status::Active || payoff.is_zero() {
            return Ok(());
        }
        let mut short = position.clone();
        position.transact(&terms, Transaction { day: on, action: Action::Prepay(payoff) });
        prop_assert_eq!(position.status, Status::Repaid);
        prop_assert_eq!(position.totals.refunded, Amount::ZERO);
        if payoff > Amount(1) {
            short.transact(&terms, Transaction { day: on, action: Action::Prepay(payoff - Amount(1)) });
            prop_assert_eq!(short.status, Status::Active);
        }
    }
}

// Books.

/// Variants of the agreement that change what is posted.
const VARIANTS: [&[&str]; 6] = [
    &[],
    &[
        "product.day_count = \"A/365\"",
        "settlement.netting = \"multilateral\"",
    ],
    &[
        "product.amortisation = \"bullet\"",
        "guarantee.recoveries = \"pro_rata\"",
        "roles.servicer = \"river\"",
    ],
    &[
        "fee[0].earned_by = \"mall\"",
        "fee[1].earned_by = \"shield\"",
        "product.day_count = \"A/360\"",
    ],
    &[
        "guarantee = nothing",
        "service_fee = nothing",
        "settlement.lag_business_days = 0",
    ],
    &[
        "product.amortisation = \"equal_principal\"",
        "product.prepayment = \"shorten_term\"",
        "roles.servicer = \"shield\"",
    ],
];

fn variant(number: usize) -> Papers {
    let papers = rich(Papers::new().with_trust())
        .with("charge_off.days_past_due = 40")
        .with("class[2].from_days = 35");
    VARIANTS[number]
        .iter()
        .fold(papers, |papers, change| papers.with(change))
}

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
    Pay {
        loan: usize,
        amount: i64,
        back: i32,
        prepay: bool,
    },
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
        6 => (0usize..8, 1i64..150_000, 0i32..60, any::<bool>())
            .prop_map(|(loan, amount, back, prepay)| Step::Pay { loan, amount, back, prepay }),
        1 => (0usize..8).prop_map(Step::WriteOff),
        4 => (1u8..25).prop_map(Step::Close),
        1 => Just(Step::Amend),
    ];
    prop::collection::vec(step, 1..40)
}

/// The key of the n-th application, counted round.
fn key(desk: &Desk, number: usize) -> Option<String> {
    let applications = desk.book.applications();
    let place = number.checked_rem(applications.len())?;
    Some(applications[place].key.to_string())
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
        Step::Pay {
            loan,
            amount,
            back,
            prepay,
        } => {
            let Some(application) = key(desk, *loan) else {
                return;
            };
            let since = desk
                .book
                .loan(&application)
                .map(|(_, loan)| loan.disbursed_on);
            let value_date = desk.book.business_date() + -back;
            let value_date = value_date.max(since.unwrap_or(value_date));
            let _ = desk.pay(
                &format!("P{number}"),
                &application,
                Amount(*amount),
                value_date,
                *prepay,
            );
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

/// What each party has to get from each other by its ledger.
fn claims(book: &Book) -> Vec<Amount> {
    let parties = || (0..5u8).map(PartyId);
    parties()
        .flat_map(|party| parties().map(move |other| (party, other)))
        .map(|(party, other)| book.ledgers().balance(party, Account::DueFrom(other)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    /// `Desk::run` proves the rest after every command: findings are empty, the events survive
    /// CBOR, and a book that only saw them has the same digest.
    #[test]
    fn a_book_stays_right(number in 0..VARIANTS.len(), steps in steps()) {
        let mut papers = variant(number);
        let mut desk = Desk::new(&papers);
        for (number, step) in steps.iter().enumerate() {
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
    }

    #[test]
    fn back_dating_leaves_no_trace(
        number in 0..VARIANTS.len(),
        // Payments on different days, and how much later each is entered.
        payments in prop::collection::btree_map(1i32..70, (1i64..9_000, 0i32..40, any::<bool>()), 1..7),
    ) {
        let papers = variant(number).with("charge_off.days_past_due = 200");
        let mut books = [false, true].map(|late| {
            let mut desk = Desk::new(&papers);
            desk.apply("A", "1700.03", "6", &[]).unwrap();
            desk.accept("A").unwrap();
            let start = desk.book.business_date();
            let mut entered: Vec<_> = payments
                .iter()
                .map(|(&on, &(amount, delay, prepay))| (if late { on + delay } else { on }, on, amount, prepay))
                .collect();
            entered.sort_by_key(|&(entered_on, ..)| entered_on);
            for (entered_on, on, amount, prepay) in entered {
                desk.close_until(start + entered_on);
                desk.pay(&format!("P{on}"), "A", Amount(amount), start + on, prepay).unwrap();
            }
            desk.close_until(start + 120);
            desk.book
        });
        let [straight, late] = &mut books;
        prop_assert_eq!(&straight.loans()[0].position, &late.loans()[0].position);
        prop_assert_eq!(straight.portfolio(), late.portfolio());
        for party in (0..5u8).map(PartyId) {
            for account in Account::chart(5) {
                let [one, other] = [&*straight, &*late].map(|book| book.ledgers().balance(party, account));
                prop_assert_eq!(one, other, "{:?} {:?}", party, account);
            }
        }
    }
}
