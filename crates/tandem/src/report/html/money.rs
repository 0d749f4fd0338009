//! What each party earned, what was settled, and what the ledgers hold.

use tandem_domain::ledger::Account;
use tandem_domain::money::Amount;
use tandem_domain::party::PartyId;
use tandem_web::chart::{Chart, Mark};

use super::{ACCENT, LOSS, PALE, facts_block, over_months};
use crate::report::Report;
use crate::report::collect::{RESULT, Year};
use crate::report::page::{Block, Cell, Figure, Kind, Paid, Section, Table, numbers};
use crate::report::text::{NONE, count, date, decimal, exact, percent, rate, ratio, upper_first};

impl Report {
    /// Who earned what.
    pub(super) fn results(&self) -> Option<Section> {
        let figures = &self.figures;
        let unit = figures.unit;
        let years = &figures.years;
        if years.is_empty() {
            return None;
        }
        let mut head: Vec<String> = vec![String::new()];
        head.extend(years.iter().map(|year| year.year.to_string()));
        head.push("All".into());
        let mut table = Table {
            caption: format!("Result of each party, {}", unit.name()),
            paid: Paid::Wholly,
            head,
            ..Table::default()
        };
        let lenders = figures.holders();
        for (party, entry) in figures.agreement().parties() {
            let lines = result_lines(years, party);
            if lines
                .iter()
                .all(|(_, amounts)| amounts.iter().all(|amount| amount.is_zero()))
            {
                continue;
            }
            table.row(Kind::Group, vec![Cell::words(&entry.name)]);
            for (name, amounts) in &lines {
                table.plain(amount_row(name, amounts, |amount| unit.show(amount)));
            }
            let sums: Vec<Amount> = (0..years.len())
                .map(|year| lines.iter().map(|(_, amounts)| amounts[year]).sum())
                .collect();
            table.row(
                Kind::Sum,
                amount_row("Result", &sums, |amount| unit.show(amount)),
            );
            if lenders.contains(&party) {
                let interest = |year: &Year| year.result[party.index()][0];
                for (name, amounts) in [
                    (
                        "Interest, a year on principal",
                        years.iter().map(interest).collect(),
                    ),
                    ("Result, a year on principal", sums),
                ] {
                    table.plain(self.yield_row(name, party, &amounts));
                }
            }
        }
        Some(Section {
            id: "result",
            title: "Income and result".into(),
            lead: "From each party’s own ledger, without its cost of funds, staff and tax. Interest is earned day by day; losses are what the loss allowance had to be raised by. A yield relates a year to the principal outstanding on its days, and is left out where hardly any was.".into(),
            blocks: vec![Block::Table(self.division()), Block::Table(table)],
        })
    }

    /// Who has what of the money that borrowers paid for their loans.
    fn division(&self) -> Table {
        let figures = &self.figures;
        let unit = figures.unit;
        let paid = figures.earned_from_borrowers();
        let lenders = figures.lenders_result();
        let mut table = Table::new(
            format!(
                "Of every 100 {} that borrowers owed in interest and fees, the lenders keep {} after losses",
                figures.currency(),
                ratio(lenders, paid).map_or(NONE.into(), |part| decimal(part * 100.0, 1))
            ),
            &["", &unit.name(), "of all", ""],
        )
        .paid();
        let mut row = |name: &str, amount: Amount, colour| {
            let share = ratio(amount, paid);
            table.plain(vec![
                Cell::words(name),
                Cell::Number(unit.show(amount)),
                Cell::Number(percent(share)),
                Cell::bar(colour, share.map(|share| share.max(0.0))),
            ]);
        };
        let mut left = paid;
        for (party, entry) in figures.agreement().parties() {
            left -= figures.result(party);
            row(&entry.name, figures.result(party), ACCENT);
        }
        row("Lost on loans, after collections", left, LOSS);
        let all = [unit.show(paid), percent(ratio(paid, paid))];
        let cells = [Cell::words("Interest, fees and penalties")]
            .into_iter()
            .chain(numbers(all));
        table.row(Kind::Sum, cells.chain([Cell::words("")]).collect());
        table
    }

    fn yield_row(&self, name: &str, party: PartyId, amounts: &[Amount]) -> Vec<Cell> {
        let years = &self.figures.years;
        let most = years
            .iter()
            .map(|year| year.principal_days[party.index()])
            .max();
        let mut cells = vec![Cell::words(name)];
        for (year, &amount) in years.iter().zip(amounts) {
            let enough = year.principal_days[party.index()] * 20 >= most.unwrap_or(0);
            let part = enough.then(|| {
                self.figures
                    .yearly(amount, std::slice::from_ref(year), &[party])
            });
            cells.push(Cell::Number(rate(part.flatten())));
        }
        let all = amounts.iter().copied().sum();
        cells.push(Cell::Number(rate(self.figures.yearly(
            all,
            years,
            &[party],
        ))));
        cells
    }

    /// What parties owed each other, and what they paid.
    pub(super) fn settlement(&self) -> Option<Section> {
        let figures = &self.figures;
        let (settlement, unit) = (&figures.settlement, figures.unit);
        let total = settlement.total();
        let (first, last) = (
            *settlement.months.keys().next()?,
            *settlement.months.keys().next_back()?,
        );
        let saved = ratio(total.gross - total.net, total.gross);
        let mut marks = Vec::new();
        for (month, netting) in &settlement.months {
            let at = f64::from(month.index());
            for (colour, amount, what) in
                [(PALE, netting.gross, "owed"), (ACCENT, netting.net, "paid")]
            {
                marks.push(Mark::Bar {
                    colour,
                    x: (at - 0.4, at + 0.4),
                    y: (0.0, unit.value(amount)),
                    hint: format!("{month}: {} {what}", unit.full(amount)),
                });
            }
        }
        let chart = Chart {
            title: format!(
                "Netting saved {} of the money that would have moved",
                percent(saved)
            ),
            description: "By month: what parties owed each other, and what they paid.".into(),
            marks,
            ..over_months(first, last)
        };
        let mut table = Table::new(
            format!("Owed and paid between parties, {}", unit.name()),
            &["", "Owed to others", "Owed by others", "Paid", "Received"],
        )
        .paid();
        for (party, entry) in figures.agreement().parties() {
            let paid = settlement.parties[party.index()];
            let amounts = [paid.owed, paid.owning, paid.paid, paid.received];
            let amounts = numbers(amounts.map(|amount| unit.show(amount)));
            table.plain(
                [Cell::words(&entry.name)]
                    .into_iter()
                    .chain(amounts)
                    .collect(),
            );
        }
        let facts = [
            (
                "Windows",
                format!(
                    "{} closed, {} paid, {} waiting",
                    count(settlement.windows),
                    count(settlement.settled),
                    count(figures.waiting as u64)
                ),
            ),
            (
                "Obligations",
                format!(
                    "{}, {}",
                    count(settlement.obligations),
                    unit.full(total.gross)
                ),
            ),
            (
                "Transfers",
                format!("{}, {}", count(settlement.transfers), unit.full(total.net)),
            ),
        ];
        Some(Section {
            id: "settlement",
            title: "Settlement".into(),
            lead: "Each day’s obligations between the parties form a window, which is netted and paid as agreed. Every plan brings each party exactly its net position.".into(),
            blocks: vec![
                Block::Figure(
                    Figure::new(chart, format!("By month of the window, {}", unit.name()))
                        .legend([(PALE, "owed, gross".to_owned()), (ACCENT, "paid, net".to_owned())]),
                ),
                Block::Table(table),
                facts_block(facts, Paid::Wholly),
            ],
        })
    }

    /// The balances of all ledgers.
    pub(super) fn ledgers(&self) -> Option<Section> {
        let figures = &self.figures;
        if figures.ledger.is_empty() {
            return None;
        }
        let parties: Vec<_> = figures.agreement().parties().collect();
        let mut head = vec!["Account".to_owned(), "No.".to_owned()];
        head.extend(parties.iter().map(|(_, party)| party.name.clone()));
        let mut table = Table {
            caption: format!(
                "Balances on {}, {}",
                date(figures.period.1),
                figures.currency()
            ),
            paid: Paid::Wholly,
            head,
            ..Table::default()
        };
        let mut sums = vec![Amount::ZERO; parties.len()];
        for (account, balances) in &figures.ledger {
            let name = account.counterparty().map_or_else(
                || upper_first(account.name()),
                |party| format!("{} {}", upper_first(account.name()), figures.name(party)),
            );
            let mut cells = vec![Cell::Words(name), Cell::Words(account.number().to_string())];
            for (place, (party, _)) in parties.iter().enumerate() {
                let balance = balances[party.index()];
                sums[place] += balance;
                cells.push(Cell::Number(exact(figures.currency(), balance)));
            }
            table.plain(cells);
        }
        let zero = |sum: Amount| {
            if sum.is_zero() {
                figures.currency().grouped(sum)
            } else {
                exact(figures.currency(), sum)
            }
        };
        let mut cells = vec![Cell::words("Debits less credits"), Cell::words("")];
        cells.extend(sums.into_iter().map(|sum| Cell::Number(zero(sum))));
        table.row(Kind::Sum, cells);
        Some(Section {
            id: "ledgers",
            title: "Trial balance".into(),
            lead: "Every party has its own ledger, fed by the same events. Debits are positive, credits negative, and each ledger sums to zero. What one party is due from another stands in the other’s ledger as due to it.".into(),
            blocks: vec![Block::Table(table)],
        })
    }
}

/// The lines of a party's statement, each with the accounts that it sums up.
const STATEMENT: [(&str, &[Account]); 9] = [
    ("Interest", &[Account::InterestIncome]),
    (
        "Fees and penalties",
        &[Account::FeeIncome, Account::PenaltyIncome],
    ),
    ("Service fees earned", &[Account::ServiceFeeIncome]),
    ("Collected after charge-off", &[Account::RecoveryIncome]),
    ("Service fees paid", &[Account::ServiceFeeExpense]),
    ("Guarantee paid", &[Account::GuaranteeExpense]),
    ("Goodwill credits", &[Account::GoodwillExpense]),
    ("Gain on sold shares", &[Account::SaleGain]),
    ("Losses", &[Account::ImpairmentLoss]),
];

/// The lines of a party's result that are not empty: name and amount by year.
fn result_lines(years: &[Year], party: PartyId) -> Vec<(&'static str, Vec<Amount>)> {
    let lines = STATEMENT.iter().map(|(name, accounts)| {
        let amounts = years.iter().map(|year| {
            let amounts = RESULT.iter().zip(year.result[party.index()]);
            amounts
                .filter(|(account, _)| accounts.contains(account))
                .map(|(_, amount)| amount)
                .sum()
        });
        (*name, amounts.collect::<Vec<Amount>>())
    });
    lines
        .filter(|(_, amounts)| amounts.iter().any(|amount| !amount.is_zero()))
        .collect()
}

/// A row with an amount for each year and their sum.
fn amount_row(name: &str, amounts: &[Amount], show: impl Fn(Amount) -> String) -> Vec<Cell> {
    let all = amounts.iter().copied().sum();
    let amounts = amounts.iter().copied().chain([all]);
    [Cell::words(name)]
        .into_iter()
        .chain(numbers(amounts.map(show)))
        .collect()
}
