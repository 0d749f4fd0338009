//! The terms of one loan as a file writes them, by their names in ACTUS.

use std::path::Path;

use schemars::JsonSchema;
use serde::Deserialize;
use tandem_domain::agreement::{
    Amortisation, Earner, FeeBase, FeeTerms, LoanFees, Product, RateStep,
};
use tandem_domain::calendar::{Adjustment, BusinessCalendar, Calculation, Day, DayCount, Period};
use tandem_domain::cost::apr::{self, Apr, Flow, NoRate};
use tandem_domain::document::{Document, Problem};
use tandem_domain::loan::{self, Instalment, Ops, Timeline};
use tandem_domain::money::{Amount, Currency, Money, Rate, Rounding};

use crate::fail::{Failure, Outcome};
use crate::programme::read_text;

/// Terms of one loan, by their names in ACTUS.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct TermsFile {
    /// How principal is repaid.
    pub(super) contract_type: ContractType,
    /// What is lent, for example `"120000.00 CNY"`.
    pub(super) notional_principal: Money,
    /// Yearly rate, for example `"14.4%"`.
    pub(super) nominal_interest_rate: Rate,
    /// How time becomes interest.
    day_count_convention: Convention,
    /// Day of disbursement, for example `"2022-01-01"`.
    pub(super) initial_exchange_date: Day,
    /// Number of instalments, a down payment not counted.
    pub(super) instalments: u16,
    /// Fees kept back from the disbursement, each a part of the principal.
    #[serde(default)]
    fees: Vec<Rate>,
    /// From one due date to the next, for example `"P2W"`.
    #[serde(default = "monthly")]
    pub(super) cycle_of_principal_redemption: Period,
    /// Which day of the month recurs.
    #[serde(default)]
    end_of_month_convention: MonthEnd,
    /// Where a due date moves that is no business day, and to which day interest is then counted.
    #[serde(default)]
    business_day_convention: BusinessDays,
    /// Business days: `"NC"` (every day), `"MF"` (Monday to Friday), or the path of a calendar,
    /// seen from the folder of this file (`tandem schema calendar`).
    calendar: Option<String>,
    /// With contract type NAM: what is paid each time. Interest beyond it becomes principal.
    next_principal_redemption_payment: Option<Money>,
    /// First instalments that are of interest alone.
    #[serde(default)]
    pub(super) interest_only: u16,
    /// Part of the principal that falls due with the last instalment, for example `"30%"`.
    #[serde(default)]
    pub(super) balloon: Rate,
    /// Part of the principal that the borrower pays on the day of disbursement.
    #[serde(default)]
    pub(super) down_payment: Rate,
    /// True if interest is counted on the principal disbursed until the loan is repaid.
    #[serde(default)]
    pub(super) flat_rate: bool,
    /// Rates that change with the instalments, for example
    /// `[{ fromInstalment = 1, times = "0%" }, { fromInstalment = 4, times = "100%" }]`.
    #[serde(default)]
    pub(super) rate_steps: Vec<Step>,
    /// Fee with each instalment, a part of the principal disbursed.
    #[serde(default)]
    pub(super) instalment_fee: Rate,
    /// What `calendar` says.
    #[serde(skip, default = "BusinessCalendar::no_holidays")]
    days: BusinessCalendar,
}

fn monthly() -> Period {
    Period::MONTH
}

/// How principal is repaid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
pub(super) enum ContractType {
    /// Equal instalments of principal and interest.
    #[serde(rename = "ANN")]
    Annuity,
    /// Equal parts of principal, interest on the rest.
    #[serde(rename = "LAM")]
    LinearAmortizer,
    /// A fixed payment; interest beyond it becomes principal.
    #[serde(rename = "NAM")]
    NegativeAmortizer,
    /// Interest each time, all principal at the end.
    #[serde(rename = "PAM")]
    PrincipalAtMaturity,
}

impl ContractType {
    /// Its code in the ACTUS dictionary.
    pub(super) fn actus(self) -> &'static str {
        match self {
            ContractType::Annuity => "ANN",
            ContractType::LinearAmortizer => "LAM",
            ContractType::NegativeAmortizer => "NAM",
            ContractType::PrincipalAtMaturity => "PAM",
        }
    }
}

/// How time becomes interest.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
enum Convention {
    /// Actual days over 360.
    A360,
    /// Actual days over 365.
    A365,
    /// Actual days, those of leap years over 366 and the others over 365 (ISDA).
    AA,
    /// Months of 30 days over 360.
    #[serde(rename = "30E360")]
    E30360,
    /// Months of 30 days over 360; the last day of February counts as day 30 but at maturity.
    #[serde(rename = "30E360ISDA")]
    E30360Isda,
    /// Months of 30 days over 360, as bonds of the United States count them.
    #[serde(rename = "30U360")]
    U30360,
}

/// Which day of the month recurs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum MonthEnd {
    /// That of the disbursement, or the last of a month too short for it.
    #[default]
    #[serde(rename = "SD")]
    SameDay,
    /// The last one, if the disbursement is on the last day of its month.
    #[serde(rename = "EOM")]
    EndOfMonth,
}

/// Where a due date moves that is no business day, and to which day interest is then counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
enum BusinessDays {
    /// Nowhere.
    #[default]
    #[serde(rename = "NOS")]
    NoShift,
    /// To the next business day; interest to that day.
    #[serde(rename = "SCF")]
    ShiftFollowing,
    /// To the next business day of the same month, or else the one before; interest to that day.
    #[serde(rename = "SCMF")]
    ShiftModifiedFollowing,
    /// To the business day before; interest to that day.
    #[serde(rename = "SCP")]
    ShiftPreceding,
    /// To the business day before in the same month, or else the next; interest to that day.
    #[serde(rename = "SCMP")]
    ShiftModifiedPreceding,
    /// To the next business day; interest to the day that was not moved.
    #[serde(rename = "CSF")]
    CalculateFollowing,
    /// As `SCMF`; interest to the day that was not moved.
    #[serde(rename = "CSMF")]
    CalculateModifiedFollowing,
    /// As `SCP`; interest to the day that was not moved.
    #[serde(rename = "CSP")]
    CalculatePreceding,
    /// As `SCMP`; interest to the day that was not moved.
    #[serde(rename = "CSMP")]
    CalculateModifiedPreceding,
}

impl BusinessDays {
    fn actus(self) -> &'static str {
        match self {
            BusinessDays::NoShift => "NOS",
            BusinessDays::ShiftFollowing => "SCF",
            BusinessDays::ShiftModifiedFollowing => "SCMF",
            BusinessDays::ShiftPreceding => "SCP",
            BusinessDays::ShiftModifiedPreceding => "SCMP",
            BusinessDays::CalculateFollowing => "CSF",
            BusinessDays::CalculateModifiedFollowing => "CSMF",
            BusinessDays::CalculatePreceding => "CSP",
            BusinessDays::CalculateModifiedPreceding => "CSMP",
        }
    }
}

/// A rate from an instalment on.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct Step {
    /// Number of the first instalment whose interest is counted at it, from 1.
    pub(super) from_instalment: u16,
    /// Part of the nominal rate: `"0%"` for a free start.
    pub(super) times: Rate,
}

impl Step {
    /// The rate of the step.
    pub(super) fn rate(self, nominal: Rate) -> Rate {
        let step = RateStep {
            from_instalment: self.from_instalment,
            times: self.times,
        };
        step.rate(nominal)
    }
}

/// Most instalments of a loan, and most months: a hundred years.
const MOST: u16 = 1_200;
/// The highest yearly rate.
const HIGHEST: Rate = Rate(10 * Rate::ONE.0);

/// A short name and the rate, or why there is none.
pub(super) type Cost = (&'static str, Result<Apr, NoRate>);

impl TermsFile {
    /// Reads the terms, and the calendar that they name.
    pub(super) fn read(path: &Path) -> Outcome<TermsFile> {
        let text = read_text(path)?;
        let (mut terms, problems) =
            TermsFile::parse(&text).map_err(|problem| Failure::problems(path, &[problem]))?;
        if !problems.is_empty() {
            return Err(Failure::problems(path, &problems));
        }
        terms.days = match terms.calendar.as_deref() {
            None | Some("NC") => BusinessCalendar::no_holidays(),
            Some("MF") => BusinessCalendar::weekends(),
            Some(name) => {
                let path = path.parent().unwrap_or(Path::new(".")).join(name);
                BusinessCalendar::parse(&read_text(&path)?)
                    .map_err(|problems| Failure::problems(&path, &problems))?
            }
        };
        Ok(terms)
    }

    /// The terms, and everything that is wrong with them.
    fn parse(text: &str) -> Result<(TermsFile, Vec<Problem>), Problem> {
        let document = Document::parse(text)?;
        let terms: TermsFile = document.read()?;
        let mut problems = Vec::new();
        let mut check = |holds: bool, field: &str, message: &str| {
            if !holds {
                problems.push(document.problem(field, message));
            }
        };
        terms.check_amounts(&mut check);
        terms.check_dates(&mut check);
        terms.check_plan(&mut check);
        if problems.is_empty() && !terms.lent().is_positive() {
            let field = match terms.received().is_positive() {
                true => "downPayment",
                false => "fees",
            };
            let message = match terms.received().is_positive() {
                true => {
                    "takes with the fees all of the principal; the borrower must receive something"
                }
                false => "take all of the principal; the borrower must receive something",
            };
            problems.push(document.problem(field, message));
        }
        if problems.is_empty() && terms.outgrows() {
            let field = "nextPrincipalRedemptionPayment";
            let message = "is so far below the interest that the principal outgrows all amounts";
            problems.push(document.problem(field, message));
        }
        Ok((terms, problems))
    }

    fn check_amounts(&self, check: &mut impl FnMut(bool, &str, &str)) {
        let principal = self.notional_principal.amount;
        check(
            principal.is_positive(),
            "notionalPrincipal",
            "must be above zero",
        );
        check(
            (Rate::ZERO..=HIGHEST).contains(&self.nominal_interest_rate),
            "nominalInterestRate",
            "must lie between 0% and 1000%",
        );
        let part = (Rate::ZERO..Rate::ONE, "must lie between 0% and 100%");
        for (place, fee) in self.fees.iter().enumerate() {
            check(part.0.contains(fee), &format!("fees[{place}]"), part.1);
        }
        for (field, rate) in [
            ("balloon", self.balloon),
            ("downPayment", self.down_payment),
            ("instalmentFee", self.instalment_fee),
        ] {
            check(part.0.contains(&rate), field, part.1);
        }
    }

    fn check_dates(&self, check: &mut impl FnMut(bool, &str, &str)) {
        let count = (1..=MOST).contains(&self.instalments);
        check(count, "instalments", "must lie between 1 and 1200");
        let period = self.cycle_of_principal_redemption;
        let cycle = "cycleOfPrincipalRedemption";
        check(period.count > 0, cycle, "must not be empty");
        let (each, most) = match (period.months(), period.unit) {
            (Some(months), _) => (months, MOST.into()),
            (None, tandem_domain::calendar::Unit::Week) => (7 * u32::from(period.count), 36_525),
            (None, _) => (period.count.into(), 36_525),
        };
        let ends = u64::from(each) * u64::from(self.instalments) <= most;
        check(ends || !count, cycle, "the loan must end within 100 years");
        let last = self.initial_exchange_date.plus_months(MOST.into());
        check(
            last.ymd().0 <= 9_999,
            "initialExchangeDate",
            "must lie before the year 9900",
        );
        let moves = self.business_day_convention != BusinessDays::NoShift;
        check(
            !moves || self.calendar.is_some(),
            "businessDayConvention",
            "goes with a calendar; write calendar = \"MF\" for Monday to Friday, or name a file",
        );
        check(
            moves || self.calendar.is_none(),
            "calendar",
            "does nothing without businessDayConvention; write for example \"SCMF\"",
        );
    }

    fn check_plan(&self, check: &mut impl FnMut(bool, &str, &str)) {
        let is = |kind| self.contract_type == kind;
        let field = "nextPrincipalRedemptionPayment";
        let negative = is(ContractType::NegativeAmortizer);
        match self.next_principal_redemption_payment {
            None => check(
                !negative,
                "contractType",
                "NAM needs nextPrincipalRedemptionPayment",
            ),
            Some(payment) => {
                check(negative, field, "goes only with contractType NAM");
                let same = payment.currency == self.currency();
                check(same, field, "must be in the currency of notionalPrincipal");
                check(payment.amount.is_positive(), field, "must be above zero");
            }
        }
        let levels = is(ContractType::Annuity) || is(ContractType::LinearAmortizer);
        let message = "goes only with contractType ANN or LAM";
        check(self.balloon == Rate::ZERO || levels, "balloon", message);
        let amortises = !is(ContractType::PrincipalAtMaturity);
        check(
            self.interest_only == 0 || amortises,
            "interestOnly",
            "goes not with contractType PAM, of which all instalments are of interest alone",
        );
        check(
            self.interest_only == 0 || self.interest_only < self.instalments,
            "interestOnly",
            "must leave an instalment of principal",
        );
        let mut before = 0;
        for (place, step) in self.rate_steps.iter().enumerate() {
            let field = |name| format!("rateSteps[{place}].{name}");
            check(
                (before + 1..=self.instalments).contains(&step.from_instalment),
                &field("fromInstalment"),
                "must be the number of an instalment, later than that of the step before",
            );
            before = step.from_instalment;
            check(
                step.times.0 >= 0 && step.rate(self.nominal_interest_rate) <= HIGHEST,
                &field("times"),
                "must not be negative, nor give a rate above 1000%",
            );
        }
    }

    /// True if interest that becomes principal may make an amount too large.
    fn outgrows(&self) -> bool {
        let Some(payment) = self.next_principal_redemption_payment else {
            return false;
        };
        let rates = self
            .rate_steps
            .iter()
            .map(|step| step.rate(self.nominal_interest_rate));
        let rate = rates
            .chain([self.nominal_interest_rate])
            .max()
            .unwrap_or_default();
        let start = self.initial_exchange_date;
        let days = self.cycle_of_principal_redemption.after(start, 1) - start;
        // A little more than any day count and any month make of it.
        let growth = rate.0 as f64 / Rate::ONE.0 as f64 * f64::from(days + 4) / 360.0;
        let mut balance = self.notional_principal.amount.0 as f64;
        for _ in 0..self.instalments {
            balance += balance * growth - payment.amount.0 as f64;
        }
        balance > Amount::MAX.0 as f64
    }

    pub(super) fn currency(&self) -> Currency {
        self.notional_principal.currency
    }

    pub(super) fn day_count(&self) -> DayCount {
        match self.day_count_convention {
            Convention::A360 => DayCount::A360,
            Convention::A365 => DayCount::A365,
            Convention::AA => DayCount::AA,
            Convention::E30360 => DayCount::E30360,
            Convention::E30360Isda => DayCount::E30360Isda,
            Convention::U30360 => DayCount::Us30360,
        }
    }

    /// The business day convention's ACTUS code and the calendar, if dates move.
    pub(super) fn business_days(&self) -> Option<(&'static str, &str)> {
        let calendar = self.calendar.as_deref()?;
        Some((self.business_day_convention.actus(), calendar))
    }

    /// True if due dates keep to the last day of the month.
    pub(super) fn keeps_month_end(&self) -> bool {
        self.end_of_month_convention == MonthEnd::EndOfMonth
    }

    /// Each fee, rounded by itself.
    pub(super) fn fees(&self) -> Amount {
        let principal = self.notional_principal.amount;
        let fees = self.fees.iter();
        fees.map(|&rate| principal.at(rate, Rounding::HalfUp)).sum()
    }

    pub(super) fn received(&self) -> Amount {
        self.notional_principal.amount - self.fees()
    }

    /// What the borrower receives beyond what it pays on the same day.
    fn lent(&self) -> Amount {
        let principal = self.notional_principal.amount;
        self.received() - principal.at(self.down_payment, Rounding::HalfUp)
    }

    pub(super) fn payment(&self) -> Option<Amount> {
        self.next_principal_redemption_payment
            .map(|payment| payment.amount)
    }

    /// The product of this one loan. What matters only once somebody is late or early is left as
    /// it comes.
    fn product(&self) -> Product {
        let amortisation = match self.contract_type {
            ContractType::Annuity => Amortisation::EqualInstalment,
            ContractType::LinearAmortizer => Amortisation::EqualPrincipal,
            ContractType::NegativeAmortizer => Amortisation::FixedInstalment,
            ContractType::PrincipalAtMaturity => Amortisation::Bullet,
        };
        let principal = self.notional_principal;
        let steps = self.rate_steps.iter().map(|step| RateStep {
            from_instalment: step.from_instalment,
            times: step.times,
        });
        let code = self.business_day_convention.actus();
        Product {
            cycle: self.cycle_of_principal_redemption,
            end_of_month: self.keeps_month_end(),
            business_days: Adjustment::from_actus(code).unwrap_or_default(),
            interest_only: self.interest_only,
            balloon: self.balloon,
            down_payment: self.down_payment,
            instalment: self
                .payment()
                .map(|payment| Rate::of(payment, principal.amount)),
            flat: self.flat_rate,
            rate_step: steps.collect(),
            ..Product::plain(amortisation, self.day_count(), self.instalments, principal)
        }
    }

    /// The steps of the contract: exactly so many instalments, whatever the cycle.
    fn timeline(&self, product: &Product) -> Timeline {
        let (start, count) = (self.initial_exchange_date, self.instalments);
        let cycle = self.cycle_of_principal_redemption;
        if let Some(each) = cycle.months() {
            let months = each as u16 * count;
            return Timeline::of(product, start, months, &self.days);
        }
        // A timeline is of months: of as many as hold all instalments, the last is made the end.
        let last = cycle.after(start, count.into());
        let months = (1..=MOST).find(|&months| start.plus_months(months.into()) >= last);
        let months = months.unwrap_or(MOST + 1);
        let mut timeline = Timeline::of(product, start, months, &self.days);
        let down = usize::from(self.down_payment != Rate::ZERO);
        timeline.steps.truncate(down + usize::from(count));
        if let Some(end) = timeline.steps.last_mut() {
            let counted = match product.business_days.calculation {
                Calculation::ShiftFirst => end.day,
                Calculation::CalculateFirst => last,
            };
            end.ops = Ops::INTEREST | Ops::MATURITY;
            end.number = product.day_count.number_at_maturity(counted);
        }
        timeline
    }

    /// The instalments that the terms plan.
    pub(super) fn plan(&self) -> Vec<Instalment> {
        let product = self.product();
        let fee = FeeTerms {
            of: FeeBase::Principal,
            rate: self.instalment_fee,
            amount: Amount::ZERO,
            minimum: Amount::ZERO,
            maximum: Amount::MAX,
            earner: Earner::Lenders,
        };
        let fees = LoanFees {
            instalment: (self.instalment_fee != Rate::ZERO).then_some(fee),
            ..LoanFees::default()
        };
        loan::schedule(&loan::Terms {
            principal: self.notional_principal.amount,
            rate: self.nominal_interest_rate,
            disbursed_on: self.initial_exchange_date,
            timeline: &self.timeline(&product),
            product: &product,
            fees: &fees,
            fixings: &[],
            calendar: &self.days,
            instalment: self.payment(),
        })
    }

    /// The rates, in the order in which they are shown.
    pub(super) fn rates(&self, plan: &[Instalment]) -> Vec<Cost> {
        let advance = Flow {
            day: self.initial_exchange_date,
            amount: -self.received(),
        };
        let payments = plan.iter().map(|instalment| Flow {
            day: instalment.day,
            amount: instalment.total(),
        });
        let flows: Vec<_> = [advance].into_iter().chain(payments).collect();
        let mut rates = vec![("EU", apr::eu(&flows)), ("US", apr::regulation_z(&flows))];
        if self.cycle_of_principal_redemption.months() == Some(1) {
            rates.push(("internal rate", apr::monthly(self.received(), plan)));
        }
        rates
    }
}
