//! Reading an agreement: names are resolved to places, and everything that is wrong is found.

use super::*;
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
        let (disbursement_fees, late_fee) = self.fees();
        self.check_losses();
        Agreement {
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
            late_fee,
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
        let complete = [
            Component::Fee,
            Component::Penalty,
            Component::Interest,
            Component::Principal,
        ]
        .iter()
        .all(|component| {
            product
                .waterfall
                .iter()
                .filter(|&step| step == component)
                .count()
                == 1
        });
        self.require(
            complete && product.waterfall.len() == 4,
            "product.waterfall",
            "name each of fee, penalty, interest and principal once",
        );
        self.ratio("product.penalty_rate", product.penalty_rate);
        self.require(
            product.offer_valid_days >= 1,
            "product.offer_valid_days",
            "an offer stands for at least one day",
        );
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

    fn fees(&mut self) -> (Vec<FeeTerms>, Option<FeeTerms>) {
        let (mut at_disbursement, mut late) = (Vec::new(), None);
        for (index, fee) in self.file.fee.iter().enumerate() {
            self.ratio(&format!("fee[{index}].rate"), fee.rate);
            if let Some(amount) = &fee.amount {
                self.money(&format!("fee[{index}].amount"), amount);
            }
            let earner = match fee.earned_by.as_str() {
                "lenders" => Earner::Lenders,
                id => Earner::Party(self.party(&format!("fee[{index}].earned_by"), id)),
            };
            let amount = fee.amount.map_or(Amount::ZERO, |money| money.amount);
            let terms = FeeTerms {
                rate: fee.rate,
                amount,
                earner,
            };
            match fee.at {
                FeeTime::Disbursement => at_disbursement.push(terms),
                FeeTime::Overdue if late.is_none() => late = Some(terms),
                FeeTime::Overdue => self.problem(
                    format!("fee[{index}].at"),
                    "there is one fee for overdue instalments",
                ),
            }
        }
        let product = &self.file.product;
        let smallest = product.minimum_amount.amount;
        let kept_back: Amount = at_disbursement
            .iter()
            .map(|fee| fee.on(smallest, product.rounding))
            .sum();
        self.require(
            at_disbursement.is_empty() || kept_back < smallest,
            "fee",
            "the fees at disbursement leave nothing of a loan of minimum_amount",
        );
        if let Some(fee) = &self.file.service_fee {
            self.ratio("service_fee.of_interest", fee.of_interest);
        }
        (at_disbursement, late)
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
