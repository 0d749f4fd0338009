//! The product as the agreement writes it: the terms that all its loans have in common.

use minicbor::{Decode, Encode};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::calendar::{Adjustment, Day, DayCount, Period};
use crate::money::{Amount, Money, Rate, Rounding};

/// Terms that all loans of the agreement have in common.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Product {
    /// How principal is repaid.
    pub amortisation: Amortisation,
    /// How time becomes interest.
    pub day_count: DayCount,
    /// Terms one can apply for, in months.
    pub terms_months: Vec<u16>,
    /// Smallest amount of a loan.
    pub minimum_amount: Money,
    /// Largest amount of a loan.
    pub maximum_amount: Money,
    /// Days after a due date on which a payment is still free of penalty and late fee.
    #[serde(default)]
    pub grace_days: u16,
    /// Yearly penalty rate on overdue principal, on top of the loan's own rate, in its day count.
    #[serde(default)]
    pub penalty_rate: Rate,
    /// Order in which a payment is used within an instalment, oldest instalment first.
    pub waterfall: Vec<Component>,
    /// What a prepayment changes.
    pub prepayment: Prepayment,
    /// How amounts are rounded to the minor unit.
    #[serde(default)]
    pub rounding: Rounding,
    /// Days that an offer stands open for the borrower, the day it was made included.
    pub offer_valid_days: u16,
    /// Days in which a person can decide on an application that a lender referred, the day it came
    /// in included.
    #[serde(default = "week")]
    pub referral_valid_days: u16,
    /// From one due date to the next, for example `P1M` or `P2W`.
    #[serde(default = "monthly")]
    pub cycle: Period,
    /// Day of the month on which instalments fall due; without one, that of the disbursement.
    pub due_day: Option<u8>,
    /// With `due_day`: fewest days from the disbursement to the first due date.
    #[serde(default)]
    pub first_period_days: u16,
    /// Loans disbursed on the last day of a month fall due on last days of months.
    #[serde(default)]
    pub end_of_month: bool,
    /// What happens to a due date that is no business day.
    #[serde(default)]
    pub business_days: Adjustment,
    /// First instalments that are of interest alone.
    #[serde(default)]
    pub interest_only: u16,
    /// Part of the principal that falls due with the last instalment.
    #[serde(default)]
    pub balloon: Rate,
    /// Part of the principal that the borrower pays at disbursement.
    #[serde(default)]
    pub down_payment: Rate,
    /// With `fixed_instalment`: the instalment, as a part of the principal.
    pub instalment: Option<Rate>,
    /// With `planned`: the part of the principal that each instalment but the last repays.
    #[serde(default)]
    pub plan: Vec<Rate>,
    /// With `revolving`: what falls due of the principal each cycle.
    pub minimum: Option<MinimumPayment>,
    /// Part of the amount that is paid out at disbursement; the rest is drawn later.
    #[serde(default = "whole")]
    pub first_draw: Rate,
    /// Interest is counted on the principal disbursed until the loan is repaid (a flat rate).
    #[serde(default)]
    pub flat: bool,
    /// Rates that change with the instalments.
    #[serde(default)]
    pub rate_step: Vec<RateStep>,
    /// A rate that follows a reference rate.
    pub floating: Option<Floating>,
    /// Level instalments are rounded to multiples of this; `residual` takes the difference.
    pub instalment_multiple: Option<Money>,
    /// Which instalment takes what rounding leaves.
    #[serde(default)]
    pub residual: Residual,
    /// What is paid first when several instalments are due.
    #[serde(default)]
    pub allocation: Allocation,
    /// What becomes of money beyond what is due.
    #[serde(default)]
    pub excess: Excess,
    /// Order in which money that comes in after a write-off is used.
    #[serde(default = "principal_first")]
    pub recovery_waterfall: Vec<Component>,
}

pub(super) fn whole() -> Rate {
    Rate::ONE
}

fn monthly() -> Period {
    Period::MONTH
}

fn week() -> u16 {
    7
}

fn principal_first() -> Vec<Component> {
    use Component::{Fee, Interest, Penalty, Principal};
    vec![Principal, Interest, Penalty, Fee]
}

impl Product {
    /// A product of one term, with nothing but interest and principal.
    pub fn plain(
        amortisation: Amortisation,
        day_count: DayCount,
        months: u16,
        amount: Money,
    ) -> Product {
        Product {
            amortisation,
            day_count,
            terms_months: vec![months],
            minimum_amount: amount,
            maximum_amount: amount,
            grace_days: 0,
            penalty_rate: Rate::ZERO,
            waterfall: principal_first(),
            prepayment: Prepayment::ShortenTerm,
            rounding: Rounding::HalfUp,
            offer_valid_days: 1,
            referral_valid_days: week(),
            cycle: monthly(),
            due_day: None,
            first_period_days: 0,
            end_of_month: false,
            business_days: Adjustment::default(),
            interest_only: 0,
            balloon: Rate::ZERO,
            down_payment: Rate::ZERO,
            instalment: None,
            plan: Vec::new(),
            minimum: None,
            first_draw: Rate::ONE,
            flat: false,
            rate_step: Vec::new(),
            floating: None,
            instalment_multiple: None,
            residual: Residual::default(),
            allocation: Allocation::default(),
            excess: Excess::default(),
            recovery_waterfall: principal_first(),
        }
    }

    /// The day `times` cycles after another.
    pub fn after(&self, day: Day, times: u32) -> Day {
        self.cycle.after(day, times)
    }

    /// True if a new rate applies once the instalment of this number has fallen due.
    pub fn rate_changes_after(&self, number: u16) -> bool {
        let stepped = self
            .rate_step
            .iter()
            .any(|step| step.from_instalment == number + 1);
        stepped
            || self
                .floating
                .as_ref()
                .is_some_and(|floating| number.is_multiple_of(floating.every))
    }

    /// True if a loan is repaid in instalments of interest and principal that are all alike, but
    /// for what rounding leaves to the last one, at one rate on the principal outstanding.
    pub fn is_level(&self) -> bool {
        let whole = [self.balloon, self.down_payment] == [Rate::ZERO; 2];
        let fixed = self.floating.is_none() && self.rate_step.is_empty() && !self.flat;
        let alike = self.interest_only == 0
            && self.instalment_multiple.is_none()
            && self.residual == Residual::Last;
        self.amortisation == Amortisation::EqualInstalment && whole && fixed && alike
    }

    /// Principal of a revolving loan that falls due.
    pub fn minimum_payment(&self, principal: Amount) -> Amount {
        let minimum = self.minimum.map_or(Amount::ZERO, |minimum| {
            let part = principal.at(minimum.rate, self.rounding);
            part.max(minimum.amount.amount)
        });
        minimum.min(principal)
    }
}

/// What falls due of the principal of a revolving loan each cycle.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MinimumPayment {
    /// Part of the principal outstanding.
    pub rate: Rate,
    /// At least this, as long as so much is outstanding.
    pub amount: Money,
}

/// A rate from an instalment on, as a part of the rate that was agreed: `0%` for a free start.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RateStep {
    /// Number of the first instalment whose interest is counted at the new rate, from 1.
    pub from_instalment: u16,
    /// Part of the agreed rate.
    pub times: Rate,
}

impl RateStep {
    /// The rate of the step.
    pub fn rate(&self, agreed: Rate) -> Rate {
        let exact = i128::from(agreed.0) * i128::from(self.times.0);
        Rate(Rounding::HalfUp.divide(exact, Rate::SCALE))
    }
}

/// A rate that moves with a reference rate from the rate that was agreed.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Floating {
    /// Name of the reference rate, for example `LPR1Y`.
    pub index: String,
    /// The rate is set anew every so many instalments.
    pub every: u16,
    /// Days before that by which the reference rate is known.
    #[serde(default)]
    pub fixing_days: u16,
    /// Highest rate.
    pub cap: Option<Rate>,
    /// Lowest rate.
    #[serde(default)]
    pub floor: Rate,
    /// Most that the rate moves at once.
    pub most_at_once: Option<Rate>,
}

impl Floating {
    /// The new rate: what was agreed, moved by what the reference rate has moved since.
    pub fn rate(&self, agreed: Rate, moved: Rate, current: Rate) -> Rate {
        let mut rate = agreed.0 + moved.0;
        if let Some(most) = self.most_at_once {
            rate = rate.clamp(current.0 - most.0, current.0 + most.0);
        }
        Rate(
            rate.min(self.cap.map_or(i64::MAX, |cap| cap.0))
                .max(self.floor.0),
        )
    }
}

/// Which instalment takes what rounding level ones leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Residual {
    /// The last one.
    #[default]
    Last,
    /// The first one that repays principal, so that the last one is level.
    First,
}

/// What is paid first when several instalments are due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Allocation {
    /// All components of the oldest instalment, then the next.
    #[default]
    OldestFirst,
    /// The first component of all instalments, then the next.
    Horizontal,
}

/// What becomes of money beyond what is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Excess {
    /// It is held for the next instalments.
    #[default]
    Hold,
    /// It prepays principal at once.
    Prepay,
}

/// How principal is repaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Amortisation {
    /// Equal instalments of principal and interest (an annuity).
    EqualInstalment,
    /// Equal parts of principal, interest on the rest.
    EqualPrincipal,
    /// Interest each cycle, all principal at the end.
    Bullet,
    /// A fixed amount each cycle; interest beyond it becomes principal (negative amortisation).
    FixedInstalment,
    /// Parts of the principal that the agreement writes.
    Planned,
    /// A credit line: draws within the amount, and a minimum payment each cycle.
    Revolving,
}

/// What a borrower owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Component {
    /// Fees of instalments and late fees.
    #[n(0)]
    Fee,
    /// Penalty interest.
    #[n(1)]
    Penalty,
    /// Interest.
    #[n(2)]
    Interest,
    /// Principal.
    #[n(3)]
    Principal,
}

/// What a prepayment changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Prepayment {
    /// Instalments stay, the last ones fall away.
    #[n(0)]
    ShortenTerm,
    /// The term stays, instalments get smaller.
    #[n(1)]
    ReduceInstalment,
    /// The next instalments are paid when they fall due.
    #[n(2)]
    NextInstalments,
}
