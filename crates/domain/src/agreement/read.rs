//! Reading an agreement: names are resolved to places, and everything that is wrong is found.

use super::*;
use crate::calendar::Day;
use crate::condition::{Condition, Scope};
use crate::document::{Document, Problem};
use crate::field::STANDARD;
use crate::money::{Amount, Money, Rate};
use crate::party::{MAX_PARTIES, Party, PartyId, PartyKind};
use crate::share::MAX_SHARES;

/// Resolves the names of a document, or gives everything that is wrong with it.
pub(super) fn resolve(
    document: &Document<'_>,
    file: &AgreementFile,
) -> Result<Agreement, Vec<Problem>> {
    let mut reader = Reader {
        document,
        file,
        problems: Vec::new(),
    };
    let agreement = reader.resolve();
    if reader.problems.is_empty() {
        Ok(agreement)
    } else {
        Err(reader.problems)
    }
}

/// Resolves names and collects problems on the way.
struct Reader<'a> {
    document: &'a Document<'a>,
    file: &'a AgreementFile,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn resolve(&mut self) -> Agreement {
        let file = self.file;
        self.check_head();
        self.check_parties();
        self.check_product();
        let scope = self.fields();
        let lenders: Vec<PartyId> = (0..file.funding.leftover_order.len())
            .map(|index| {
                let id = &file.funding.leftover_order[index];
                self.party(&format!("funding.leftover_order[{index}]"), id)
            })
            .collect();
        let (funding, service_order) = self.funding(&lenders);
        let limit_lenders = self.limits(&lenders);
        let ineligible = self.ineligible(&scope);
        let (disbursement_fees, loan_fees) = self.fees();
        let goodwill = match &file.goodwill_borne_by {
            Some(id) => self.party("goodwill_borne_by", id),
            None => place_of(&file.party, &file.roles.servicer).unwrap_or_default(),
        };
        self.check_losses();
        let leads = |&lender: &PartyId| place_of(&file.party, &file.roles.lead) == Some(lender);
        Agreement {
            lead: lenders.iter().position(leads).unwrap_or_default(),
            platform: self.party("roles.platform", &file.roles.platform),
            servicer: self.party("roles.servicer", &file.roles.servicer),
            guarantor: file
                .guarantee
                .as_ref()
                .map(|guarantee| self.party("guarantee.party", &guarantee.party)),
            service_fee: file.service_fee.as_ref().map(|fee| {
                (
                    self.party("service_fee.earned_by", &fee.earned_by),
                    fee.of_interest,
                )
            }),
            file: file.clone(),
            lenders,
            service_order,
            funding,
            disbursement_fees,
            loan_fees,
            goodwill,
            limit_lenders,
            ineligible,
            scope,
        }
    }

    fn problem(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.problems.push(self.document.problem(field, message));
    }

    fn require(&mut self, holds: bool, field: &str, message: &str) {
        if !holds {
            self.problem(field, message);
        }
    }

    fn party(&mut self, field: &str, id: &str) -> PartyId {
        place_of(&self.file.party, id).unwrap_or_else(|| {
            let known: Vec<_> = self
                .file
                .party
                .iter()
                .map(|party| party.id.as_str())
                .collect();
            self.problem(
                field,
                format!("there is no party `{id}`; there are {}", known.join(", ")),
            );
            PartyId(0)
        })
    }

    fn money(&mut self, field: &str, money: &Money) {
        let currency = self.file.currency;
        if money.currency != currency {
            self.problem(
                field,
                format!(
                    "is in {}, but the agreement's currency is {currency}",
                    money.currency
                ),
            );
        }
        self.require(
            money.amount >= Amount::ZERO,
            field,
            "is negative; write an amount of zero or more",
        );
    }

    fn ratio(&mut self, field: &str, rate: Rate) {
        self.require(
            (Rate::ZERO..=Rate::ONE).contains(&rate),
            field,
            "must lie between 0% and 100%",
        );
    }

    fn check_head(&mut self) {
        self.require(
            self.file.format == 1,
            "format",
            "this program reads format 1",
        );
        self.require(
            self.file.version >= 1,
            "version",
            "versions are counted from 1",
        );
        let id = &self.file.id;
        self.require(
            is_short_name(id),
            "id",
            "use lower-case letters, digits and hyphens",
        );
        let lead = self.file.roles.lead.clone();
        self.party("roles.lead", &lead);
        self.require(
            self.file
                .funding
                .lender
                .iter()
                .any(|lender| lender.party == lead),
            "roles.lead",
            "the lead must be one of funding.lender",
        );
        for (name, count) in [
            ("limit", self.file.limit.len()),
            ("ineligible", self.file.ineligible.len()),
        ] {
            self.require(count <= 250, name, "an agreement has at most 250 of these");
        }
    }

    fn check_parties(&mut self) {
        let parties = &self.file.party;
        if parties.len() > MAX_PARTIES {
            self.problem(
                "party",
                format!("at most {MAX_PARTIES} parties can share an agreement"),
            );
        }
        for (index, party) in parties.iter().enumerate() {
            let field = |name: &str| format!("party[{index}].{name}");
            self.require(
                is_short_name(&party.id),
                &field("id"),
                "use lower-case letters, digits and hyphens",
            );
            if parties[..index]
                .iter()
                .any(|earlier| earlier.id == party.id)
            {
                self.problem(
                    field("id"),
                    format!("`{}` stands twice; give each party its own id", party.id),
                );
            }
            for (name, money) in [
                ("tier1_capital", &party.tier1_capital),
                ("total_loans", &party.total_loans),
                ("joint_loans_elsewhere", &party.joint_loans_elsewhere),
            ] {
                if let Some(money) = money {
                    self.money(&field(name), money);
                }
            }
            if party.kind == PartyKind::RegionalBank && party.territory.is_empty() {
                self.problem(
                    field("territory"),
                    "a regional bank needs the list of regions where it may lend",
                );
            }
        }
    }

    fn check_product(&mut self) {
        let product = &self.file.product;
        self.money("product.minimum_amount", &product.minimum_amount);
        self.money("product.maximum_amount", &product.maximum_amount);
        self.require(
            product.minimum_amount.amount.is_positive()
                && product.minimum_amount.amount <= product.maximum_amount.amount
                && product.maximum_amount.amount <= Amount(Amount::MAX.0 / 1_000),
            "product.maximum_amount",
            "amounts must satisfy 0 < minimum_amount <= maximum_amount <= 10,000,000,000.00",
        );
        self.require(
            !product.terms_months.is_empty(),
            "product.terms_months",
            "at least one term is needed",
        );
        self.require(
            product
                .terms_months
                .iter()
                .all(|months| (1..=480).contains(months)),
            "product.terms_months",
            "a term has 1 to 480 months",
        );
        let complete = |waterfall: &[Component]| {
            let all = [
                Component::Fee,
                Component::Penalty,
                Component::Interest,
                Component::Principal,
            ];
            waterfall.len() == 4 && all.iter().all(|component| waterfall.contains(component))
        };
        let message = "name each of fee, penalty, interest and principal once";
        let (first, then) = (
            complete(&product.waterfall),
            complete(&product.recovery_waterfall),
        );
        self.require(first, "product.waterfall", message);
        self.require(then, "product.recovery_waterfall", message);
        self.check_plan();
        self.ratio("product.penalty_rate", product.penalty_rate);
        self.require(
            product.offer_valid_days >= 1,
            "product.offer_valid_days",
            "an offer stands for at least one day",
        );
    }

    /// When and how principal and interest fall due.
    fn check_plan(&mut self) {
        let product = &self.file.product;
        let months = product.cycle.months();
        self.require(
            product.cycle.count > 0,
            "product.cycle",
            "a cycle has at least one day",
        );
        let whole = |each| {
            product
                .terms_months
                .iter()
                .all(|term| u32::from(*term) % each == 0)
        };
        self.require(
            months.is_none_or(|each| each == 0 || whole(each)),
            "product.cycle",
            "every term must be a whole number of cycles",
        );
        let due_day = product.due_day.is_none_or(|day| (1..=31).contains(&day));
        self.require(due_day, "product.due_day", "must lie between 1 and 31");
        self.require(
            product.due_day.is_none() || months.is_some(),
            "product.due_day",
            "goes only with a cycle of months",
        );
        self.require(
            u32::from(product.interest_only) < self.fewest_instalments(),
            "product.interest_only",
            "must leave an instalment of principal in the shortest term",
        );
        self.ratio("product.balloon", product.balloon);
        self.ratio("product.first_draw", product.first_draw);
        self.require(
            (Rate::ZERO..Rate::ONE).contains(&product.down_payment),
            "product.down_payment",
            "must lie between 0% and 100%",
        );
        let kind = product.amortisation;
        for (given, wanted, field, message) in [
            (
                product.instalment.is_some(),
                kind == Amortisation::FixedInstalment,
                "product.instalment",
                "goes with amortisation = \"fixed_instalment\", which needs it",
            ),
            (
                !product.plan.is_empty(),
                kind == Amortisation::Planned,
                "product.plan",
                "goes with amortisation = \"planned\", which needs it",
            ),
            (
                product.minimum.is_some(),
                kind == Amortisation::Revolving,
                "product.minimum",
                "goes with amortisation = \"revolving\", which needs it",
            ),
        ] {
            self.require(given == wanted, field, message);
        }
        let planned: i64 = product.plan.iter().map(|part| part.0).sum();
        self.require(
            product.plan.iter().all(|part| part.0 >= 0) && planned <= Rate::ONE.0,
            "product.plan",
            "parts must not be negative and sum to at most 100%",
        );
        self.ratio("product.instalment", product.instalment.unwrap_or_default());
        if let Some(minimum) = &product.minimum {
            self.ratio("product.minimum.rate", minimum.rate);
            self.money("product.minimum.amount", &minimum.amount);
        }
        self.check_combinations();
        if let Some(multiple) = &product.instalment_multiple {
            self.money("product.instalment_multiple", multiple);
            self.require(
                multiple.amount.is_positive(),
                "product.instalment_multiple",
                "must be above zero",
            );
        }
        let ordered = product.rate_step.windows(2);
        let ordered = ordered
            .into_iter()
            .all(|two| two[0].from_instalment < two[1].from_instalment);
        let possible = |step: &RateStep| step.from_instalment >= 1 && step.times.0 >= 0;
        self.require(
            ordered && product.rate_step.iter().all(possible),
            "product.rate_step",
            "steps must follow each other from instalment 1 on, and no rate may be negative",
        );
        if let Some(floating) = &product.floating {
            self.require(
                floating.every >= 1 && product.rate_step.is_empty(),
                "product.floating",
                "must set the rate every 1 or more instalments, and takes no rate_step",
            );
            self.require(
                floating.floor.0 >= 0 && floating.cap.is_none_or(|cap| cap >= floating.floor),
                "product.floating.cap",
                "must not be below floor, and floor not below 0%",
            );
            self.require(
                floating.most_at_once.is_none_or(|most| most.0 >= 0),
                "product.floating.most_at_once",
                "is negative; write how far the rate may move either way",
            );
        }
    }

    /// Terms that would do nothing, or contradict each other, beside others.
    fn check_combinations(&mut self) {
        let product = &self.file.product;
        let kind = product.amortisation;
        let equal = matches!(
            kind,
            Amortisation::EqualInstalment | Amortisation::EqualPrincipal
        );
        let revolving = kind == Amortisation::Revolving;
        let level = equal || kind == Amortisation::FixedInstalment;
        let at_once = product.first_draw >= Rate::ONE;
        let kept = product.plan.len() < self.fewest_instalments() as usize;
        for (given, allowed, field, message) in [
            (
                product.balloon.0 > 0,
                equal && at_once,
                "product.balloon",
                "goes with amortisation = \"equal_instalment\" or \"equal_principal\", paid out at once",
            ),
            (
                product.interest_only > 0,
                level,
                "product.interest_only",
                "goes with equal or fixed instalments; a plan writes 0% instead",
            ),
            (
                product.instalment_multiple.is_some(),
                level,
                "product.instalment_multiple",
                "goes with equal or fixed instalments",
            ),
            (
                product.residual == Residual::First,
                equal,
                "product.residual",
                "\"first\" goes with amortisation = \"equal_instalment\" or \"equal_principal\"",
            ),
            (
                product.flat,
                product.floating.is_none() && (equal || !level) && !revolving,
                "product.flat",
                "goes neither with a floating rate nor with revolving or fixed instalments",
            ),
            (
                product.down_payment.0 > 0,
                !revolving && at_once,
                "product.down_payment",
                "goes with a loan that is paid out at once",
            ),
            (
                !at_once,
                revolving || product.first_draw.0 > 0 && (equal || kind == Amortisation::Bullet),
                "product.first_draw",
                "goes with equal instalments, a bullet or a revolving loan; only the last may start from 0%",
            ),
            (
                !product.plan.is_empty(),
                kept,
                "product.plan",
                "has a part for each instalment but the last; the shortest term has fewer",
            ),
            (
                product.first_period_days > 0,
                product.due_day.is_some(),
                "product.first_period_days",
                "goes with due_day",
            ),
            (
                product.end_of_month,
                product.due_day.is_none() && product.cycle.months().is_some(),
                "product.end_of_month",
                "goes with a cycle of months and without due_day; due_day = 31 is the last day of months",
            ),
            (
                product.excess == Excess::Prepay,
                product.prepayment != Prepayment::NextInstalments,
                "product.excess",
                "\"prepay\" contradicts prepayment = \"next_instalments\"",
            ),
        ] {
            self.require(!given || allowed, field, message);
        }
    }

    /// The fewest instalments that a loan can have.
    fn fewest_instalments(&self) -> u32 {
        let product = &self.file.product;
        let shortest = product.terms_months.iter().min().copied().unwrap_or(1);
        let shortest = u32::from(shortest);
        let count = match product.cycle.months() {
            Some(each) => shortest / each.max(1),
            // A month has at least 28 days.
            None => {
                let day = Day(0);
                28 * shortest / (product.cycle.after(day, 1) - day).max(1) as u32
            }
        };
        count.max(1)
    }

    fn fields(&mut self) -> Scope {
        let mut scope = Scope {
            fields: STANDARD.map(|(name, kind)| (name.to_owned(), kind)).into(),
            currency: self.file.currency,
        };
        for (index, field) in self.file.field.iter().enumerate() {
            let taken =
                scope.fields.iter().any(|(name, _)| *name == field.name) || field.name == "score";
            self.require(
                !taken,
                &format!("field[{index}].name"),
                "this name is taken; choose another",
            );
            for (place, party) in field.seen_by.iter().enumerate() {
                self.party(&format!("field[{index}].seen_by[{place}]"), party);
            }
            scope.fields.push((field.name.clone(), field.kind));
        }
        scope
    }

    fn funding(&mut self, lenders: &[PartyId]) -> (Vec<Lender>, Vec<usize>) {
        let funding = &self.file.funding;
        if lenders.len() > MAX_SHARES {
            self.problem(
                "funding.lender",
                format!("at most {MAX_SHARES} lenders can share a loan"),
            );
        }
        let mut ordered = vec![None; lenders.len()];
        let mut service_order = Vec::new();
        for (index, lender) in funding.lender.iter().enumerate() {
            let field = |name: &str| format!("funding.lender[{index}].{name}");
            let party = self.party(&field("party"), &lender.party);
            match lenders.iter().position(|&listed| listed == party) {
                Some(place) if ordered[place].is_none() => {
                    ordered[place] = Some(lender.clone());
                    service_order.push(place);
                }
                Some(_) => self.problem(field("party"), format!("`{}` stands twice", lender.party)),
                None => self.problem(
                    "funding.leftover_order",
                    format!("`{}` is missing; list every lender once", lender.party),
                ),
            }
            self.ratio(&field("minimum_share"), lender.minimum_share);
            self.ratio(&field("maximum_share"), lender.maximum_share);
            self.require(
                lender.minimum_share <= lender.maximum_share,
                &field("maximum_share"),
                "must not be below minimum_share",
            );
            self.require(
                (funding.mode == FundingMode::Fixed) == lender.share.is_some(),
                &field("share"),
                "mode \"fixed\" needs a share for every lender, the other modes none",
            );
            let kind = self.file.party.get(party.index()).map(|party| party.kind);
            if matches!(kind, Some(PartyKind::Platform | PartyKind::Guarantor)) {
                self.problem(
                    field("party"),
                    format!("`{}` is not a lender by its kind", lender.party),
                );
            }
        }
        self.check_yields();
        for (index, lender) in ordered.iter().enumerate() {
            self.require(
                lender.is_some(),
                &format!("funding.leftover_order[{index}]"),
                "is not among funding.lender, or stands twice",
            );
        }
        if funding.mode == FundingMode::Fixed {
            let sum: i64 = funding
                .lender
                .iter()
                .filter_map(|lender| lender.share)
                .map(|share| share.0)
                .sum();
            let message = format!("shares must sum to 100%, not {}", Rate(sum));
            self.require(sum == Rate::ONE.0, "funding.lender", &message);
        }
        self.require(
            (1..=funding.lender.len()).contains(&usize::from(funding.minimum_lenders)),
            "funding.minimum_lenders",
            "must lie between 1 and the number of lenders",
        );
        (ordered.into_iter().flatten().collect(), service_order)
    }

    /// The lead takes what the yields of the others leave, so only it has none.
    fn check_yields(&mut self) {
        let (funding, product) = (&self.file.funding, &self.file.product);
        if funding
            .lender
            .iter()
            .all(|lender| lender.fixed_yield.is_none())
        {
            return;
        }
        for (index, lender) in funding.lender.iter().enumerate() {
            let field = format!("funding.lender[{index}].yield");
            let message = match lender.party == self.file.roles.lead {
                true => "the lead has none; it takes what the other lenders leave",
                false => "is missing; where one lender has a yield, all but the lead have one",
            };
            let leads = lender.party == self.file.roles.lead;
            self.require(leads == lender.fixed_yield.is_none(), &field, message);
            self.ratio(&field, lender.fixed_yield.unwrap_or_default());
        }
        self.require(
            product.floating.is_none() && product.rate_step.is_empty(),
            "funding.lender",
            "a yield goes with a rate that stays; leave out floating and rate_step",
        );
    }

    fn limits(&mut self, lenders: &[PartyId]) -> Vec<Option<usize>> {
        let file = self.file;
        let mut places = Vec::new();
        for (index, limit) in file.limit.iter().enumerate() {
            self.money(&format!("limit[{index}].amount"), &limit.amount);
            self.require(
                limit.region.is_none() || limit.per == LimitScope::Region,
                &format!("limit[{index}].region"),
                "goes only with per = \"region\"",
            );
            if file.limit[..index]
                .iter()
                .any(|earlier| earlier.clause == limit.clause)
            {
                self.problem(
                    format!("limit[{index}].clause"),
                    "stands twice; give each limit its own clause",
                );
            }
            places.push(limit.lender.as_ref().and_then(|id| {
                let party = self.party(&format!("limit[{index}].lender"), id);
                let place = lenders.iter().position(|&lender| lender == party);
                self.require(
                    place.is_some(),
                    &format!("limit[{index}].lender"),
                    "is not one of the lenders",
                );
                place
            }));
        }
        places
    }

    fn ineligible(&mut self, scope: &Scope) -> Vec<Condition> {
        let mut conditions = Vec::new();
        for (index, row) in self.file.ineligible.iter().enumerate() {
            match Condition::compile(&row.when, scope) {
                Ok(condition) => conditions.push(condition),
                Err(problems) => {
                    for (field, message) in problems {
                        self.problem(format!("ineligible[{index}].when.{field}"), message);
                    }
                }
            }
        }
        conditions
    }

    fn fees(&mut self) -> (Vec<FeeTerms>, LoanFees) {
        let (mut at_disbursement, mut fees) = (Vec::new(), LoanFees::default());
        for (index, fee) in self.file.fee.iter().enumerate() {
            let field = |name: &str| format!("fee[{index}].{name}");
            self.ratio(&field("rate"), fee.rate);
            let mut money = |name: &str, money: &Option<Money>, none: Amount| match money {
                None => none,
                Some(money) => {
                    self.money(&field(name), money);
                    money.amount
                }
            };
            let mut terms = FeeTerms {
                of: fee.of,
                rate: fee.rate,
                amount: money("amount", &fee.amount, Amount::ZERO),
                minimum: money("minimum", &fee.minimum, Amount::ZERO),
                maximum: money("maximum", &fee.maximum, Amount::MAX),
                earner: Earner::Lenders,
            };
            if fee.earned_by != "lenders" {
                terms.earner = Earner::Party(self.party(&field("earned_by"), &fee.earned_by));
            }
            if terms.minimum > terms.maximum {
                self.problem(field("maximum"), "must not be below minimum");
                terms.maximum = terms.minimum;
            }
            let (place, what) = match fee.at {
                FeeTime::Disbursement => {
                    at_disbursement.push(terms);
                    continue;
                }
                FeeTime::Overdue => (&mut fees.late, "overdue instalments"),
                FeeTime::Instalment => (&mut fees.instalment, "instalments"),
                FeeTime::Prepayment => (&mut fees.prepayment, "prepayments"),
            };
            if place.replace(terms).is_some() {
                self.problem(field("at"), format!("there is one fee for {what}"));
            }
        }
        fees.collection = self.collection_fee();
        let product = &self.file.product;
        let smallest = product
            .minimum_amount
            .amount
            .at(product.first_draw, product.rounding);
        let kept_back: Amount = at_disbursement
            .iter()
            .map(|fee| fee.on(smallest, product.rounding))
            .sum();
        self.require(
            kept_back.is_zero() || kept_back < smallest,
            "fee",
            "the fees at disbursement leave nothing of what is paid out of minimum_amount",
        );
        (at_disbursement, fees)
    }

    /// What the lenders owe for each payment that is collected.
    fn collection_fee(&mut self) -> Option<FeeTerms> {
        let fee = self.file.service_fee.as_ref()?;
        self.ratio("service_fee.of_interest", fee.of_interest);
        self.ratio("service_fee.of_collection", fee.of_collection);
        if let Some(minimum) = &fee.minimum_per_collection {
            self.money("service_fee.minimum_per_collection", minimum);
        }
        let minimum = fee
            .minimum_per_collection
            .map_or(Amount::ZERO, |money| money.amount);
        // That the party exists is seen to where the service fee is read.
        let earner = place_of(&self.file.party, &fee.earned_by).unwrap_or_default();
        (fee.of_collection.0 > 0 || minimum.is_positive()).then_some(FeeTerms {
            of: FeeBase::Amount,
            rate: fee.of_collection,
            amount: Amount::ZERO,
            minimum,
            maximum: Amount::MAX,
            earner: Earner::Party(earner),
        })
    }

    fn check_losses(&mut self) {
        let file = self.file;
        if let Some(guarantee) = &file.guarantee {
            self.ratio("guarantee.covers", guarantee.covers);
            self.ratio("guarantee.pool", guarantee.pool);
            self.require(
                !file
                    .funding
                    .lender
                    .iter()
                    .any(|lender| lender.party == guarantee.party),
                "guarantee.party",
                "a lender cannot guarantee its own loans",
            );
        }
        let classes = &file.class;
        self.require(
            (1..=MAX_CLASSES).contains(&classes.len()) && classes[0].from_days == 0,
            "class",
            "write 1 to 8 classes; the first starts from 0 days",
        );
        for (index, class) in classes.iter().enumerate() {
            self.ratio(&format!("class[{index}].allowance"), class.allowance);
            self.require(
                index == 0 || classes[index - 1].from_days < class.from_days,
                &format!("class[{index}].from_days"),
                "must be above that of the class before",
            );
        }
        self.require(
            file.charge_off.days_past_due >= 1,
            "charge_off.days_past_due",
            "must be at least 1",
        );
        self.require(
            file.settlement.lag_business_days <= 30,
            "settlement.lag_business_days",
            "must be at most 30",
        );
    }
}

fn is_short_name(id: &str) -> bool {
    !id.is_empty()
        && id.len() <= 40
        && id
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// The place of a party in the agreement's list.
pub(super) fn place_of(parties: &[Party], id: &str) -> Option<PartyId> {
    parties
        .iter()
        .position(|party| party.id == id)
        .map(|place| PartyId(place as u8))
}
