//! Loans of which only the outcome is recorded: their payments are rebuilt (`rebuild.rs`), and
//! what the book makes of them is compared with the record.

use std::collections::{BTreeMap, HashMap};

use tandem_domain::book::{Book, Command, Instruction, Loan};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Position, Transaction};
use tandem_domain::money::Amount;

use super::rebuild::{Certainty, Recorded, rebuild};
use crate::report::Comparison;
use crate::table::OutcomeRow;

/// Months from the last payment of a loan that went bad to its charge-off, and to its recovery.
const CHARGE_OFF_AFTER: u32 = 5;
const RECOVERY_AFTER: u32 = 6;

/// Recorded outcomes by application.
pub(crate) struct Outcomes {
    rows: HashMap<String, OutcomeRow>,
}

impl Outcomes {
    pub(crate) fn new(rows: Vec<OutcomeRow>) -> Outcomes {
        Outcomes {
            rows: rows
                .into_iter()
                .map(|row| (row.application.clone(), row))
                .collect(),
        }
    }

    /// What happened to a loan: a payment on each due date that has one; then, if it was paid in
    /// full, a last one of whatever is still owed, or its charge-off and what was recovered.
    pub(crate) fn commands(&self, loan: &Loan, key: &str, book: &Book) -> Vec<(Day, Command)> {
        let Some(row) = self.rows.get(key) else {
            return Vec::new();
        };
        let (payments, _) = rebuild(&recorded(row, loan));
        let due = |month: u32| loan.disbursed_on.plus_months(month);
        let terms = book.terms(loan);
        let mut position = Position::disburse(&terms);
        let mut commands = Vec::new();
        let mut pay = |month: u32, amount: Amount| {
            if amount.is_positive() {
                let number = commands.len() + 1;
                let payment = Instruction {
                    key: format!("{key}/{number}"),
                    application: key.to_owned(),
                    value_date: due(month),
                    action: Action::Prepay(amount, None),
                };
                commands.push((due(month), Command::Instruct(payment)));
            }
        };
        for (index, &amount) in payments.iter().enumerate() {
            let month = index as u32 + 1;
            position.advance(&terms, due(month));
            let last = row.paid_off && index + 1 == payments.len();
            let amount = if last {
                position.payoff(&terms, due(month)).total()
            } else {
                amount
            };
            position.transact(
                &terms,
                Transaction {
                    day: due(month),
                    action: Action::Prepay(amount, None),
                    number: month,
                },
            );
            pay(month, amount);
        }
        if !row.paid_off {
            let last = payments.len() as u32;
            pay(last + RECOVERY_AFTER, row.recoveries);
            let written_off = due(last + CHARGE_OFF_AFTER);
            commands.push((
                written_off,
                Command::ChargeOff {
                    application: key.to_owned(),
                },
            ));
        }
        commands
    }

    /// Compares the book with the record, loan by loan.
    pub(crate) fn compare(&self, book: &Book) -> Comparison {
        let mut groups: Vec<(&str, Tally)> = [
            "Paid in full, every month's payment known",
            "Paid in full, some dates unknown",
            "Written off, every month's payment known",
            "Written off, some dates unknown",
            "All loans",
        ]
        .map(|name| (name, Tally::default()))
        .into();
        let mut receipts: BTreeMap<String, Match> = BTreeMap::new();
        for loan in book.loans() {
            let key = book.key_of(&loan);
            let Some(row) = self.rows.get(key) else {
                continue;
            };
            let certain = rebuild(&recorded(row, &loan)).1 == Certainty::Determined;
            let group = usize::from(!row.paid_off) * 2 + usize::from(!certain);
            let totals = &loan.position.totals;
            for place in [group, groups.len() - 1] {
                let tally = &mut groups[place].1;
                tally.loans += 1;
                // The record counts what was collected after a write-off as recoveries.
                let claim = loan.position.claim.as_ref();
                let collected = claim.map(|claim| claim.collected(totals));
                let interest = totals.interest - collected.unwrap_or_default().interest;
                tally.interest.add(interest, row.recorded.interest);
                tally
                    .principal
                    .add(totals.principal, row.recorded.principal);
                tally
                    .late_fees
                    .add(totals.fees + totals.penalty, row.recorded.late_fees);
            }
            let agreement = &book.version_of(&loan).agreement;
            let split = loan.split(agreement);
            for (party, recorded) in &row.recorded.receipts {
                let id = agreement.party_id(party);
                let own = id.map(|id| split.own(id)).unwrap_or_default();
                let received = own.received();
                let alone = own.disbursed == loan.principal;
                for name in [party.clone(), format!("{party} alone")]
                    .into_iter()
                    .take(1 + usize::from(alone))
                {
                    receipts
                        .entry(name)
                        .or_default()
                        .add(received, Some(*recorded));
                }
            }
        }
        Comparison {
            title: "Against the record".to_owned(),
            explanation: EXPLANATION.to_owned(),
            header: [
                "",
                "loans",
                "within 0.5%",
                "within 0.01",
                "sum of the book",
                "sum recorded",
            ]
            .map(str::to_owned)
            .into(),
            rows: groups
                .iter()
                .flat_map(|(name, tally)| tally.rows(name))
                .chain(
                    receipts
                        .iter()
                        .map(|(party, tally)| tally.row(&format!("Received by {party}"))),
                )
                .map(|row| row.into())
                .collect(),
        }
    }
}

const EXPLANATION: &str = "Per cent of loans whose figure in the book lies within half a per cent, or within 0.01, of \
    the recorded one. Payments are rebuilt in whole months, so that interest differs by days: the record accrues it \
    daily from the day of issue to the day of payment, of which only the months are known. Where dates are unknown, \
    missed or early payments are placed by rule; in a paid loan, where the last payment comes closest to what is then \
    owed, which uses the recorded total. Late fees are not rebuilt. A party's receipts are its exact share of every \
    component; the record splits unevenly where a party did not fund a loan alone.";

fn recorded(row: &OutcomeRow, loan: &Loan) -> Recorded {
    Recorded {
        principal: loan.principal,
        rate: loan.rate,
        instalment: row.instalment,
        paid: row.total_paid - row.recoveries,
        last: row.last_payment_amount.unwrap_or_default(),
        months: row
            .last_payment_date
            .map(|day| months_between(loan.disbursed_on, day)),
        in_full: row.paid_off,
    }
}

fn months_between(from: Day, to: Day) -> u16 {
    let number = |day: Day| {
        let (year, month, _) = day.ymd();
        12 * year + month as i32
    };
    (number(to) - number(from)).clamp(0, 600) as u16
}

#[derive(Default)]
struct Tally {
    loans: u32,
    interest: Match,
    principal: Match,
    late_fees: Match,
}

impl Tally {
    fn rows(&self, group: &str) -> Vec<[String; 6]> {
        if self.loans == 0 {
            return Vec::new();
        }
        [
            ("interest", &self.interest),
            ("principal", &self.principal),
            ("late fees", &self.late_fees),
        ]
        .map(|(component, tally)| tally.row(&format!("{group}: {component}")))
        .into()
    }
}

/// How often a figure of the book equals the recorded one.
#[derive(Default)]
struct Match {
    count: u32,
    near: u32,
    equal: u32,
    book: Amount,
    recorded: Amount,
}

impl Match {
    fn add(&mut self, book: Amount, recorded: Option<Amount>) {
        let Some(recorded) = recorded else { return };
        let distance = (book - recorded).0.abs();
        self.count += 1;
        self.near += u32::from(distance * 200 <= recorded.0.abs());
        self.equal += u32::from(distance <= 1);
        self.book += book;
        self.recorded += recorded;
    }

    fn row(&self, name: &str) -> [String; 6] {
        let share = |part: u32| {
            format!(
                "{:.1}%",
                100.0 * f64::from(part) / f64::from(self.count.max(1))
            )
        };
        let sum = |amount: Amount| tandem_domain::money::format_decimal(amount.0, 2);
        [
            name.to_owned(),
            self.count.to_string(),
            share(self.near),
            share(self.equal),
            sum(self.book),
            sum(self.recorded),
        ]
    }
}
