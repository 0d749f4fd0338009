//! Reading an agreement: names are resolved to places, and everything that is wrong is found.

mod funding;
mod product;

use super::*;
use crate::condition::{Condition, Scope};
use crate::document::{Document, Problem};
use crate::field::STANDARD;
use crate::money::{Amount, Money, Rate};
use crate::party::{MAX_PARTIES, Party, PartyId, PartyKind};

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
        if let Some(BookSplit { part, of }) = self.file.split {
            self.require(
                (1..=of).contains(&part),
                "split.part",
                "must lie between 1 and split.of",
            );
        }
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
            if let Some(home) = &limit.home {
                self.require(
                    is_short_name(home) && *home != file.id,
                    &format!("limit[{index}].home"),
                    "is the id of another agreement, whose book lends the room; leave it out if the limit is at home here",
                );
            }
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

/// True for what an id can be.
pub(crate) fn is_short_name(id: &str) -> bool {
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
