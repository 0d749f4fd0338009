//! A seeded model of how borrowers pay. It makes payments where real ones are not known, and
//! whatever it feeds is labelled as generated.
//!
//! Each loan is its own stream of chance, from the seed and the loan's key alone: the same loan
//! pays the same way in every run, whatever other loans there are. Month by month a borrower
//!
//! - stops paying, the likelier the higher the rate (a yearly chance of 40 % of what the rate is
//!   above 5 %), and then comes back within four months (one in four), or never; of those that
//!   never come back, six in ten pay something a few months after the loan is written off;
//! - pays the whole loan off (1.2 %) or pays a part of it early (0.6 %);
//! - pays late by up to 40 days (6 %), with what lateness costs by then;
//! - pays a few days early (20 %), or on the due date.

use tandem_domain::book::{Book, Instruction, Loan};
use tandem_domain::calendar::Day;
use tandem_domain::loan::{Action, Position, Terms, Transaction};
use tandem_domain::money::{Amount, Rate, Rounding};

/// What a loan's borrower will pay, in order of value dates.
pub(crate) fn payments(loan: &Loan, key: &str, book: &Book, seed: u64) -> Vec<Instruction> {
    let terms = book.terms(loan);
    let agreement = &book.version_of(loan).agreement;
    let mut borrower = Borrower {
        chance: Chance::new(seed, key),
        position: Position::disburse(&terms),
        write_off_after: agreement.file.charge_off.days_past_due.into(),
        stops: monthly_default(loan.rate),
        terms,
        key,
        payments: Vec::new(),
    };
    borrower.live();
    borrower.payments
}

/// Chance, in millionths, that a borrower stops paying in a month.
fn monthly_default(rate: Rate) -> u64 {
    let above = (rate.0 - 5_000_000).max(0) as u64;
    // A yearly chance of 40% of the rate above 5%, spread over twelve months.
    above * 40 / 100 / 12 / 100
}

struct Borrower<'a> {
    terms: Terms<'a>,
    position: Position,
    chance: Chance,
    write_off_after: i32,
    stops: u64,
    key: &'a str,
    payments: Vec<Instruction>,
}

impl Borrower<'_> {
    fn live(&mut self) {
        while let Some(due) = self.position.next_due(&self.terms) {
            if self.chance.happens(self.stops) {
                if !self.stop(due) {
                    return;
                }
            } else if self.chance.happens(12_000) {
                let day = (due + -(self.chance.below(25) as i32)).max(self.last_payment());
                let payoff = self.at(day).payoff(&self.terms, day).total();
                self.pay(day, payoff, true);
                return;
            } else {
                self.pay_instalment(due);
            }
        }
    }

    fn pay_instalment(&mut self, due: Day) {
        if self.chance.happens(60_000) {
            let day = due + 1 + self.chance.below(40).min(self.chance.below(40)) as i32;
            let amount = self.at(day).amount_due(&self.terms, day);
            self.pay(day, amount, false);
            return;
        }
        let amount = self.at(due).amount_due(&self.terms, due);
        let early = if self.chance.happens(200_000) {
            self.chance.below(6) as i32
        } else {
            0
        };
        self.pay((due + -early).max(self.last_payment()), amount, false);
        self.position = self.at(due);
        if self.chance.happens(6_000) {
            let part = Rate(10_000_000 + 1_000_000 * self.chance.below(30) as i64);
            let amount = self.position.contract.principal.at(part, Rounding::Down);
            self.pay(due, amount, true);
        }
    }

    /// Misses instalments from `due` on; true if the borrower comes back in time.
    fn stop(&mut self, due: Day) -> bool {
        if self.chance.happens(250_000) {
            let day = due + 20 + self.chance.below(100) as i32;
            if day - due < self.write_off_after {
                let amount = self.at(day).amount_due(&self.terms, day);
                self.pay(day, amount, false);
                return true;
            }
        }
        let written_off = due + self.write_off_after;
        let lost = self.at(written_off).outstanding();
        if self.chance.happens(600_000) {
            let part = Rate(2_000_000 + 1_000_000 * self.chance.below(35) as i64);
            let day = written_off + 30 + self.chance.below(300) as i32;
            self.pay(day, lost.at(part, Rounding::Down), false);
        }
        false
    }

    fn last_payment(&self) -> Day {
        self.payments
            .last()
            .map_or(self.terms.disbursed_on, |payment| payment.value_date)
    }

    /// The position at the end of `day` if nothing more is paid.
    fn at(&self, day: Day) -> Position {
        let mut position = self.position.clone();
        position.advance(&self.terms, day);
        position
    }

    fn pay(&mut self, day: Day, amount: Amount, prepay: bool) {
        if !amount.is_positive() {
            return;
        }
        let action = if prepay {
            Action::Prepay(amount, None)
        } else {
            Action::Repay(amount)
        };
        self.position.transact(
            &self.terms,
            Transaction {
                day,
                action,
                number: self.payments.len() as u32 + 1,
            },
        );
        self.payments.push(Instruction {
            key: format!("{}/{}", self.key, self.payments.len() + 1),
            application: self.key.to_owned(),
            value_date: day,
            action,
        });
    }
}

/// A stream of chance (SplitMix64), the same on every machine.
struct Chance(u64);

impl Chance {
    fn new(seed: u64, key: &str) -> Chance {
        // FNV-1a spreads keys that differ in one letter.
        let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Chance(seed ^ hash)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True with a chance in millionths.
    fn happens(&mut self, millionths: u64) -> bool {
        self.below(1_000_000) < millionths
    }
}
