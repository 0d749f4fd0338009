//! The cooperation agreement: the document that parties sign, and what it means.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::calendar::{Day, DayCount};
use crate::condition::{Condition, ConditionText, Scope};
use crate::document::{Document, Problem};
use crate::field::{Field, Kind, STANDARD};
use crate::money::{Amount, Currency, Money, Rate, Rounding};
use crate::party::{MAX_PARTIES, Party, PartyId, PartyKind};
use crate::share::MAX_SHARES;

/// A cooperation agreement between lenders, a platform and, if there is one, a guarantor.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AgreementFile {
    /// Version of this file format: 1.
    pub format: u32,
    /// Short name of the cooperation, also the name of its book.
    pub id: String,
    /// Version of the agreement, from 1; a change needs the next number.
    pub version: u32,
    /// Title for people.
    pub title: String,
    /// First day on which this version governs new loans.
    pub effective_from: Day,
    /// Currency of all amounts, ISO 4217.
    pub currency: Currency,
    /// Rulebook of the regulator that the cooperation keeps, for example `cn`.
    pub rulebook: Option<String>,
    /// The parties.
    pub party: Vec<Party>,
    /// Who does what.
    pub roles: Roles,
    /// Data of an application beyond `amount`, `term_months` and `region`.
    #[serde(default)]
    pub field: Vec<Field>,
    /// The loan that is offered.
    pub product: Product,
    /// Applications that no lender is asked about.
    #[serde(default)]
    pub ineligible: Vec<Reason>,
    /// How the lenders that accept fund a loan together.
    pub funding: Funding,
    /// Caps on what is lent.
    #[serde(default)]
    pub limit: Vec<Limit>,
    /// What borrowers pay beyond interest.
    #[serde(default)]
    pub fee: Vec<Fee>,
    /// What lenders pay the platform.
    pub service_fee: Option<ServiceFee>,
    /// Cover against losses.
    pub guarantee: Option<Guarantee>,
    /// Classes of loans by days past due, mildest first.
    pub class: Vec<Class>,
    /// When a loan is written off.
    pub charge_off: ChargeOff,
    /// How positions between parties are paid.
    pub settlement: Settlement,
}

/// Who does what, by party id.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Roles {
    /// The lender that leads.
    pub lead: String,
    /// Brings the applications.
    pub platform: String,
    /// Pays loans out to borrowers and collects from them.
    pub servicer: String,
}

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
}

/// How principal is repaid, in monthly instalments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Amortisation {
    /// Equal instalments of principal and interest (an annuity).
    EqualInstalment,
    /// Equal parts of principal, interest on the rest.
    EqualPrincipal,
    /// Interest monthly, all principal at the end.
    Bullet,
}

/// What a borrower owes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Component {
    /// Late fees.
    Fee,
    /// Penalty interest.
    Penalty,
    /// Interest.
    Interest,
    /// Principal.
    Principal,
}

/// What a prepayment changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Prepayment {
    /// Instalments stay, the last ones fall away.
    ShortenTerm,
    /// The term stays, instalments get smaller.
    ReduceInstalment,
}

/// A condition with the reason that is given when it holds.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// Stable code.
    pub code: String,
    /// The reason in words that an applicant may read.
    pub reason: String,
    /// When it applies: a test for each field, all of which must hold.
    pub when: ConditionText,
}

/// How the lenders that accept fund a loan together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Funding {
    /// What shares follow.
    pub mode: FundingMode,
    /// Fewest lenders of a loan.
    #[serde(default = "one")]
    pub minimum_lenders: u8,
    /// Lenders in the order in which leftover minor units are given out.
    pub leftover_order: Vec<String>,
    /// The lenders; in mode `in_order`, in the order in which they are served.
    pub lender: Vec<Lender>,
}

fn one() -> u8 {
    1
}

/// What shares follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FundingMode {
    /// Shares written in the agreement, in proportion among the lenders that accept.
    Fixed,
    /// Shares in proportion to the amounts that the decisions offer.
    Offers,
    /// Each lender in turn takes as much as it offers.
    InOrder,
}

/// A lender's part in the funding.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lender {
    /// The party.
    pub party: String,
    /// Its share in mode `fixed`.
    pub share: Option<Rate>,
    /// It does not take part in a loan with less than this share.
    #[serde(default)]
    pub minimum_share: Rate,
    /// It never takes more than this share of a loan.
    #[serde(default = "whole")]
    pub maximum_share: Rate,
}

fn whole() -> Rate {
    Rate::ONE
}

/// A cap on what a lender, or all together, may lend.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Clause of the agreement, named in refusals.
    pub clause: String,
    /// The lender it binds; without one it binds the sum of all lenders.
    pub lender: Option<String>,
    /// What is added up.
    pub per: LimitScope,
    /// With `per = "region"`: the one region it is for; without, each region by itself.
    pub region: Option<String>,
    /// The cap.
    pub amount: Money,
}

/// What a limit adds up. All but `day` count principal outstanding and offers that stand open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    /// What is offered and accepted on one business date.
    Day,
    /// Everything under the agreement.
    Total,
    /// Each region.
    Region,
    /// Each borrower.
    Borrower,
    /// Everything through the platform as partner.
    Partner,
}

/// A fee that the borrower pays.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fee {
    /// When it is taken.
    pub at: FeeTime,
    /// Share of the principal disbursed, or of the overdue instalment.
    #[serde(default)]
    pub rate: Rate,
    /// Fixed part.
    pub amount: Option<Money>,
    /// `lenders`, by their shares of principal, or the party that earns it.
    pub earned_by: String,
}

/// When a fee is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeeTime {
    /// Kept back from the disbursement.
    Disbursement,
    /// Once for each instalment that is unpaid after the grace days.
    Overdue,
}

/// What lenders pay out of the interest they receive.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceFee {
    /// Share of the interest received.
    pub of_interest: Rate,
    /// The party that earns it.
    pub earned_by: String,
}

/// Cover against losses: at charge-off the guarantor pays the lenders.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Guarantee {
    /// The guarantor.
    pub party: String,
    /// Part of the principal written off that is covered.
    pub covers: Rate,
    /// Most that is paid in all, as a part of what was ever disbursed.
    pub pool: Rate,
    /// Who is served first by what is collected afterwards.
    pub recoveries: Recoveries,
}

/// Who is served first by what is collected after a charge-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Recoveries {
    /// The guarantor, until it has back what it paid.
    GuarantorFirst,
    /// All in proportion to what they lost.
    ProRata,
}

/// A class of loans.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Name, for example `normal` or `substandard`.
    pub name: String,
    /// First day past due that belongs to it.
    pub from_days: u16,
    /// Loss allowance on principal outstanding.
    pub allowance: Rate,
}

/// When a loan is written off.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChargeOff {
    /// Days past due.
    pub days_past_due: u16,
}

/// How positions between parties are paid.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settlement {
    /// What is netted.
    pub netting: Netting,
    /// Business days from the closing of a window to its payment; weekends are no business days.
    #[serde(default = "next_day")]
    pub lag_business_days: u16,
}

fn next_day() -> u16 {
    1
}

/// What is netted within a settlement window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Netting {
    /// Each pair of parties pays its difference.
    Bilateral,
    /// Each party pays or receives one amount.
    Multilateral,
}

/// The most classes an agreement can have.
pub const MAX_CLASSES: usize = 8;

/// Who earns a fee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earner {
    /// The lenders, by their shares of principal.
    Lenders,
    /// One party.
    Party(PartyId),
}

/// A fee with its names resolved.
#[derive(Clone, Copy, Debug)]
pub struct FeeTerms {
    /// Share of the base.
    pub rate: Rate,
    /// Fixed part.
    pub amount: Amount,
    /// Who earns it.
    pub earner: Earner,
}

impl FeeTerms {
    /// The fee on a base.
    pub fn on(&self, base: Amount, rounding: Rounding) -> Amount {
        self.amount + base.at(self.rate, rounding)
    }
}

/// A signed agreement: the document, and its names resolved to places.
#[derive(Clone, Debug)]
pub struct Agreement {
    /// As written.
    pub file: AgreementFile,
    /// The lenders in leftover order; every list of shares follows it.
    pub lenders: Vec<PartyId>,
    /// Place in [`Agreement::lenders`] of each lender in the order in which it is served.
    pub service_order: Vec<usize>,
    /// The lenders' funding terms, in the order of [`Agreement::lenders`].
    pub funding: Vec<Lender>,
    /// Brings the applications.
    pub platform: PartyId,
    /// Disburses and collects.
    pub servicer: PartyId,
    /// Covers losses.
    pub guarantor: Option<PartyId>,
    /// Earns the service fee.
    pub service_fee: Option<(PartyId, Rate)>,
    /// Fees kept back from the disbursement.
    pub disbursement_fees: Vec<FeeTerms>,
    /// Fee for an overdue instalment.
    pub late_fee: Option<FeeTerms>,
    /// Which lender (place in [`Agreement::lenders`]) each limit binds.
    pub limit_lenders: Vec<Option<usize>>,
    /// When an application is ineligible.
    pub ineligible: Vec<Condition>,
    /// All values of an application, standard fields first.
    pub scope: Scope,
}

impl Agreement {
    /// Reads an agreement and finds everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Agreement, Vec<Problem>> {
        let document = Document::parse(text).map_err(|problem| vec![problem])?;
        let file: AgreementFile = document.read().map_err(|problem| vec![problem])?;
        let mut reader = Reader {
            document: &document,
            file: &file,
            problems: Vec::new(),
        };
        let agreement = reader.resolve();
        if reader.problems.is_empty() {
            Ok(agreement)
        } else {
            Err(reader.problems)
        }
    }

    /// A party by its id.
    pub fn party_id(&self, id: &str) -> Option<PartyId> {
        place_of(&self.file.party, id)
    }

    /// A party's entry.
    pub fn party(&self, party: PartyId) -> &Party {
        &self.file.party[party.index()]
    }

    /// All parties.
    pub fn parties(&self) -> impl Iterator<Item = (PartyId, &Party)> {
        self.file
            .party
            .iter()
            .enumerate()
            .map(|(index, party)| (PartyId(index as u8), party))
    }

    /// Currency of all amounts.
    pub fn currency(&self) -> Currency {
        self.file.currency
    }

    /// The place of the class for a number of days past due.
    pub fn class_of(&self, days_past_due: i32) -> usize {
        self.file
            .class
            .iter()
            .rposition(|class| i32::from(class.from_days) <= days_past_due)
            .unwrap_or(0)
    }

    /// True if a lender (by party id) may see the value at `place`.
    pub fn may_see(&self, lender: &str, place: usize) -> bool {
        place < STANDARD.len()
            || self.file.field[place - STANDARD.len()]
                .seen_by
                .iter()
                .any(|party| party == lender)
    }
}

fn place_of(parties: &[Party], id: &str) -> Option<PartyId> {
    parties
        .iter()
        .position(|party| party.id == id)
        .map(|place| PartyId(place as u8))
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

/// Kind of the value at a place.
pub fn kind_at(scope: &Scope, place: usize) -> Kind {
    scope.fields[place].1
}
