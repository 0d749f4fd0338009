//! Reads the terms of a contract from its map of names.

use serde_json::{Map, Value};
use tandem_domain::calendar::{
    Adjustment, BusinessCalendar, Cycle, Day, DayCount, EndOfMonth, Period,
};
use tandem_domain::money::{Amount, Rate};

use super::file::{self, Case};
use super::number::{Decimal, Time, text};
use super::stop::Stop;
use super::terms::{Base, Fee, Kind, Limits, Plan, Prepayment, Reset, Scaling, Terms, rate, units};

/// Decimals of amounts, fewer where amounts are large.
const AMOUNT_DIGITS: u32 = 10;

impl Terms {
    /// Reads the terms of a contract.
    pub(super) fn read(case: &Case) -> Result<Terms, Stop> {
        let reader = Reader(case.terms()?);
        let kind = reader.kind()?;
        reader.refuse_unsupported()?;
        let digits = reader.digits()?;
        let amount = |name| reader.amount(name, digits);
        let amortising = matches!(kind, Kind::Lam | Kind::Nam | Kind::Ann);
        let terms = Terms {
            kind,
            sign: reader.sign()?,
            currency: reader.required("currency")?,
            digits,
            status: reader.required_time("statusDate")?,
            exchange: reader.required_time("initialExchangeDate")?,
            maturity: match kind {
                Kind::Pam => Some(reader.required_time("maturityDate")?),
                _ => reader.time("maturityDate")?,
            },
            amortization: reader.time("amortizationDate")?,
            notional: reader
                .required("notionalPrincipal")
                .and(amount("notionalPrincipal"))?
                .unwrap_or_default(),
            premium: amount("premiumDiscountAtIED")?.unwrap_or_default(),
            rate: reader.rate("nominalInterestRate")?,
            accrued: amount("accruedInterest")?,
            day_count: reader.day_count()?,
            adjustment: reader.adjustment()?,
            calendar: reader.calendar()?,
            eom: reader.end_of_month()?,
            interest: reader.plan("InterestPayment")?,
            principal: match reader.plan("PrincipalRedemption")? {
                plan if plan.cycle.is_none() && amortising => {
                    let wrong = format!("is missing; {} needs it", case.kind());
                    return Err(Stop::malformed("cycleOfPrincipalRedemption", &wrong));
                }
                plan => plan,
            },
            resets: reader.plan("RateReset")?,
            bases: reader.plan("InterestCalculationBase")?,
            fees: reader.plan("Fee")?,
            scalings: reader.plan("ScalingIndex")?,
            capitalization_end: reader.time("capitalizationEndDate")?,
            instalment: amount("nextPrincipalRedemptionPayment")?,
            base: reader.base()?,
            base_amount: amount("interestCalculationBaseAmount")?,
            reset: reader.reset()?,
            fee: reader.fee(digits)?,
            fee_accrued: amount("feeAccrued")?.unwrap_or_default(),
            scaling: reader.scaling()?,
            notional_multiplier: reader
                .decimal("notionalScalingMultiplier")?
                .unwrap_or(Decimal::ONE),
            interest_multiplier: reader
                .decimal("interestScalingMultiplier")?
                .unwrap_or(Decimal::ONE),
            purchase: reader.dated("purchaseDate", "priceAtPurchaseDate", digits)?,
            termination: reader.dated("terminationDate", "priceAtTerminationDate", digits)?,
            notice: reader.period("xDayNotice")?,
            prepayment: reader.prepayment()?,
            penalty: match reader.text("penaltyType")?.as_deref() {
                Some("A") => amount("penaltyRate")?.map(Fee::Amount),
                Some("N") => reader.rate("penaltyRate")?.map(Fee::Rate),
                _ => None,
            },
        };
        Ok(terms)
    }
}

/// Terms that change what happens and that nothing here follows, with the values that do not.
const UNSUPPORTED: [(&str, &[&str]); 5] = [
    ("settlementCurrency", &[]),
    ("cyclePointOfInterestPayment", &["E"]),
    ("cyclePointOfRateReset", &["B"]),
    ("contractPerformance", &["PF"]),
    ("penaltyType", &["O", "A", "N"]),
];

/// Amounts among the terms, for the choice of their unit.
const AMOUNTS: [&str; 8] = [
    "notionalPrincipal",
    "premiumDiscountAtIED",
    "accruedInterest",
    "nextPrincipalRedemptionPayment",
    "interestCalculationBaseAmount",
    "priceAtPurchaseDate",
    "priceAtTerminationDate",
    "feeAccrued",
];

/// What is wrong with a period that is not short.
const TOO_LONG: &str = "is longer than a thousand years";

/// True if dates stay within what can be counted when a period is added to them.
fn is_short(period: Period) -> bool {
    period.after(Day(0), 1) - Day(0) < 366_000
}

struct Reader<'a>(&'a Map<String, Value>);

impl Reader<'_> {
    /// A term's text; an absent or empty one is none.
    fn text(&self, name: &str) -> Result<Option<String>, Stop> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match text(value) {
                Some(text) if text.is_empty() || text == "NULL" => Ok(None),
                Some(text) => Ok(Some(text)),
                None => Err(Stop::malformed(name, "is neither text nor a number")),
            },
        }
    }

    fn required(&self, name: &str) -> Result<String, Stop> {
        self.text(name)?
            .ok_or_else(|| Stop::malformed(name, "is missing"))
    }

    fn required_time(&self, name: &str) -> Result<Time, Stop> {
        self.required(name)?;
        file::time(name, self.0.get(name))
    }

    fn time(&self, name: &str) -> Result<Option<Time>, Stop> {
        match self.text(name)? {
            Some(_) => self.required_time(name).map(Some),
            None => Ok(None),
        }
    }

    fn decimal(&self, name: &str) -> Result<Option<Decimal>, Stop> {
        match self.text(name)? {
            Some(_) => file::decimal(name, self.0.get(name)).map(Some),
            None => Ok(None),
        }
    }

    fn amount(&self, name: &str, digits: u32) -> Result<Option<Amount>, Stop> {
        let value = self.decimal(name)?;
        value.map(|value| units(name, value, digits)).transpose()
    }

    fn rate(&self, name: &str) -> Result<Option<Rate>, Stop> {
        let value = self.decimal(name)?;
        value.map(|value| rate(name, value)).transpose()
    }

    /// As many decimals as leave room for growth.
    fn digits(&self) -> Result<u32, Stop> {
        let mut digits = AMOUNT_DIGITS;
        for name in AMOUNTS {
            if let Some(value) = self.decimal(name)? {
                let fits = |digits: &u32| units(name, value, *digits).is_ok();
                digits = (0..=digits).rev().find(fits).unwrap_or(0);
            }
        }
        Ok(digits)
    }

    fn kind(&self) -> Result<Kind, Stop> {
        let kind = self.required("contractType")?;
        match kind.as_str() {
            "PAM" => Ok(Kind::Pam),
            "LAM" => Ok(Kind::Lam),
            "NAM" => Ok(Kind::Nam),
            "ANN" => Ok(Kind::Ann),
            "CLM" => Ok(Kind::Clm),
            "UMP" => Ok(Kind::Ump),
            _ => Err(Stop::unsupported("contractType", &kind)),
        }
    }

    fn refuse_unsupported(&self) -> Result<(), Stop> {
        for (name, harmless) in UNSUPPORTED {
            let value = self
                .text(name)?
                .filter(|value| !harmless.contains(&value.as_str()));
            match value {
                Some(value) if Some(&value) != self.text("currency")?.as_ref() => {
                    return Err(Stop::unsupported(name, &value));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn sign(&self) -> Result<i64, Stop> {
        let role = self.required("contractRole")?;
        match role.as_str() {
            "RPA" | "LG" | "BUY" | "RFL" | "RF" | "COL" | "CNO" | "UDL" | "UDLP" => Ok(1),
            "RPL" | "ST" | "SEL" | "PFL" | "PF" | "GUA" | "OBL" | "UDLM" => Ok(-1),
            _ => Err(Stop::malformed(
                "contractRole",
                &format!("`{role}` is not a role"),
            )),
        }
    }

    fn day_count(&self) -> Result<DayCount, Stop> {
        let name = self.required("dayCountConvention")?;
        match DayCount::from_actus(&name) {
            Some(DayCount::Us30360) | None => Err(Stop::unsupported("dayCountConvention", &name)),
            Some(convention) => Ok(convention),
        }
    }

    fn adjustment(&self) -> Result<Adjustment, Stop> {
        let code = self.text("businessDayConvention")?;
        let code = code.as_deref().unwrap_or("NOS");
        Adjustment::from_actus(code).ok_or_else(|| {
            let wrong = format!("`{code}` is not a business day convention, for example SCF");
            Stop::malformed("businessDayConvention", &wrong)
        })
    }

    fn calendar(&self) -> Result<BusinessCalendar, Stop> {
        match self.text("calendar")?.as_deref() {
            None | Some("NC" | "NOCALENDAR" | "NO_CALENDAR") => Ok(BusinessCalendar::no_holidays()),
            Some("MF" | "MONDAY_TO_FRIDAY") => Ok(BusinessCalendar::weekends()),
            Some(other) => Err(Stop::unsupported("calendar", other)),
        }
    }

    fn end_of_month(&self) -> Result<EndOfMonth, Stop> {
        let code = self.text("endOfMonthConvention")?;
        let code = code.as_deref().unwrap_or("SD");
        EndOfMonth::from_actus(code).ok_or_else(|| {
            let wrong = format!("`{code}` is neither EOM nor SD");
            Stop::malformed("endOfMonthConvention", &wrong)
        })
    }

    /// The schedule of which `of` is the end of its terms' names.
    fn plan(&self, of: &str) -> Result<Plan, Stop> {
        let name = format!("cycleOf{of}");
        let cycle = match self.text(&name)? {
            Some(text) => {
                let cycle = text.parse::<Cycle>();
                let cycle = cycle.map_err(|error| Stop::malformed(&name, &error.to_string()))?;
                Some(cycle)
                    .filter(|cycle| is_short(cycle.period()))
                    .ok_or_else(|| Stop::malformed(&name, TOO_LONG))
                    .map(Some)?
            }
            None => None,
        };
        let anchor = self.time(&format!("cycleAnchorDateOf{of}"))?;
        Ok(Plan { anchor, cycle })
    }

    fn period(&self, name: &str) -> Result<Option<Period>, Stop> {
        let Some(text) = self.text(name)? else {
            return Ok(None);
        };
        let period = text
            .split_once('L')
            .map_or(text.as_str(), |(period, _)| period);
        let period = period.parse::<Period>();
        match period.map_err(|error| Stop::malformed(name, &error.to_string()))? {
            period if is_short(period) => Ok(Some(period)),
            _ => Err(Stop::malformed(name, TOO_LONG)),
        }
    }

    fn base(&self) -> Result<Base, Stop> {
        match self.text("interestCalculationBase")?.as_deref() {
            None | Some("NT") => Ok(Base::Nt),
            Some("NTIED") => Ok(Base::Ntied),
            Some("NTL") => Ok(Base::Ntl),
            Some(other) => {
                let wrong = format!("`{other}` is none of NT, NTIED, NTL");
                Err(Stop::malformed("interestCalculationBase", &wrong))
            }
        }
    }

    fn prepayment(&self) -> Result<Prepayment, Stop> {
        match self.text("prepaymentEffect")?.as_deref() {
            None | Some("N") => Ok(Prepayment::None),
            Some("A") => Ok(Prepayment::Shorter),
            Some("M") => Ok(Prepayment::Smaller),
            Some(other) => {
                let wrong = format!("`{other}` is none of N, A, M");
                Err(Stop::malformed("prepaymentEffect", &wrong))
            }
        }
    }

    fn reset(&self) -> Result<Reset, Stop> {
        let limits = |floor: &str, cap: &str| {
            let (floor, cap) = (self.decimal(floor)?, self.decimal(cap)?);
            Ok(Limits { floor, cap })
        };
        Ok(Reset {
            object: self.text("marketObjectCodeOfRateReset")?,
            next: self.decimal("nextResetRate")?,
            multiplier: self.decimal("rateMultiplier")?.unwrap_or(Decimal::ONE),
            spread: self.decimal("rateSpread")?.unwrap_or(Decimal::ZERO),
            life: limits("lifeFloor", "lifeCap")?,
            period: limits("periodFloor", "periodCap")?,
        })
    }

    fn fee(&self, digits: u32) -> Result<Option<Fee>, Stop> {
        if self.text("feeRate")?.is_none() {
            return Ok(None);
        }
        match self.text("feeBasis")?.as_deref() {
            Some("A") => Ok(self.amount("feeRate", digits)?.map(Fee::Amount)),
            Some("N") => Ok(self.rate("feeRate")?.map(Fee::Rate)),
            other => {
                let wrong = format!("`{}` is neither A nor N", other.unwrap_or(""));
                Err(Stop::malformed("feeBasis", &wrong))
            }
        }
    }

    fn scaling(&self) -> Result<Option<Scaling>, Stop> {
        let effect = self.text("scalingEffect")?.unwrap_or_default();
        let (interest, notional) = (effect.contains('I'), effect.contains('N'));
        if effect.contains('M') {
            return Err(Stop::unsupported("scalingEffect", &effect));
        }
        if !effect.chars().all(|letter| "INO0".contains(letter)) {
            let wrong = format!("`{effect}` is not a scaling effect, for example INO");
            return Err(Stop::malformed("scalingEffect", &wrong));
        }
        if !interest && !notional {
            return Ok(None);
        }
        let dealt = "scalingIndexAtContractDealDate";
        let index = match self.decimal(dealt)? {
            Some(index) => Some(index),
            None => self.decimal("scalingIndexAtStatusDate")?,
        };
        let index = index.filter(|index| index.is_positive());
        Ok(Some(Scaling {
            object: self.required("marketObjectCodeOfScalingIndex")?,
            interest,
            notional,
            index: index.ok_or_else(|| Stop::malformed(dealt, "must be above zero"))?,
        }))
    }

    fn dated(&self, date: &str, price: &str, digits: u32) -> Result<Option<(Time, Amount)>, Stop> {
        match self.time(date)? {
            None => Ok(None),
            Some(time) => Ok(Some((
                time,
                self.amount(price, digits)?.unwrap_or_default(),
            ))),
        }
    }
}
