//! The gate: limits of the agreement and rules of its rulebook, asked before anything is booked.
//! A refusal names the clause or the rule.

use std::slice;

use super::decide::Request;
use super::event::Clause;
use super::{ApplicationState, Book, Exposure, Version};
use crate::agreement::{Amortisation, Limit, LimitScope};
use crate::cost;
use crate::funding::{self, Part};
use crate::ledger::Account;
use crate::loan::{Timeline, schedule};
use crate::money::{Amount, Rate, Rounding};
use crate::party::{PartyId, PartyKind};
use crate::rulebook::{Check, Rule};
use crate::share::allocate;

impl Book {
    /// What the agreement in force has against an offer under an earlier version (`own`), in words:
    /// the first clause or rule that bars one of its lenders or the loan.
    pub(super) fn against(
        &self,
        own: &Version,
        request: &Request<'_>,
        parts: &[Part],
        rate: Rate,
        months: u16,
    ) -> Option<String> {
        let (_, version) = self
            .current()
            .filter(|(place, _)| *place != request.version)?;
        let taking = own.agreement.lenders.iter().zip(parts);
        let taking = taking.filter(|(_, part)| part.amount.is_positive());
        for (&lender, part) in taking {
            let clause = self
                .lender_clause(version, request, lender)
                .or_else(|| self.part_clause(version, request, lender, part.amount));
            if let Some(clause) = clause {
                let name = &own.agreement.party(lender).id;
                return Some(format!("`{name}` is barred by {}", version.clause(clause)));
            }
        }
        self.loan_clause(version, own, request, parts, rate, months)
            .map(|clause| format!("the loan is barred by {}", version.clause(clause)))
    }

    /// Why a lender may not lend to this applicant at all.
    pub(super) fn lender_clause(
        &self,
        version: &Version,
        request: &Request<'_>,
        lender: PartyId,
    ) -> Option<Clause> {
        let party = version.agreement.party(lender);
        self.rules(version)
            .find(|(_, rule)| {
                matches!(rule.check, Check::Territory {})
                    && party.kind == PartyKind::RegionalBank
                    && !party.may_lend_in(request.region)
            })
            .map(|(clause, _)| clause)
    }

    /// Why a lender may not take this part: a limit of the agreement or a rule about the lender.
    pub(super) fn part_clause(
        &self,
        version: &Version,
        request: &Request<'_>,
        party: PartyId,
        part: Amount,
    ) -> Option<Clause> {
        if part.is_zero() {
            return None;
        }
        if let Some(clause) = self.over_limit(version, request, Some(party), part) {
            return Some(clause);
        }
        let entry = version.agreement.party(party);
        let bank = matches!(entry.kind, PartyKind::RegionalBank | PartyKind::Bank);
        let lent = self.lent(party) + part;
        let share_of = |whole: Option<crate::money::Money>, rate: Rate| {
            whole
                .filter(|_| bank)
                .map(|money| money.amount.at(rate, Rounding::Down))
        };
        self.rules(version)
            .find(|(_, rule)| match rule.check {
                Check::PartnerConcentration { of_tier1_capital } => {
                    share_of(entry.tier1_capital, of_tier1_capital).is_some_and(|cap| lent > cap)
                }
                Check::JointLendingCap { of_total_loans } => {
                    share_of(entry.total_loans, of_total_loans)
                        .is_some_and(|cap| lent + entry.elsewhere() > cap)
                }
                _ => false,
            })
            .map(|(clause, _)| clause)
    }

    /// The first limit that an amount of a lender, or of the loan as a whole, would be above.
    fn over_limit(
        &self,
        version: &Version,
        request: &Request<'_>,
        lender: Option<PartyId>,
        amount: Amount,
    ) -> Option<Clause> {
        let parties = lender.as_ref().map_or(&PartyId::ALL[..], slice::from_ref);
        let over = version.agreement.limits().position(|(limit, bound)| {
            let used = || self.used(request, limit.per, limit.region.as_deref(), parties);
            let subject = limit.subject(request.region, request.borrower);
            let most = || self.most(self.in_force(request.version, limit), subject);
            bound == lender && used().is_some_and(|used| used + amount > most())
        });
        over.map(|index| Clause::Limit(index as u8))
    }

    /// Why the loan as a whole may not be made, by the rates that the lenders decided on and the
    /// borrower's. Limits and rules are those of `version`, the terms those of its own agreement.
    pub(super) fn loan_clause(
        &self,
        version: &Version,
        own: &Version,
        request: &Request<'_>,
        parts: &[Part],
        rate: Rate,
        months: u16,
    ) -> Option<Clause> {
        let agreement = &own.agreement;
        if let Some(clause) = self.over_limit(version, request, None, request.amount) {
            return Some(clause);
        }
        self.rules(version)
            .find(|(_, rule)| match rule.check {
                Check::MinimumPartnerShare { share } => {
                    let minimum = request.amount.at(share, Rounding::Down);
                    parts.iter().zip(&agreement.lenders).any(|(part, &lender)| {
                        agreement.party(lender).kind == PartyKind::RegionalBank
                            && part.amount.is_positive()
                            && request.amount - part.amount < minimum
                    })
                }
                Check::PersonalAmount { cap } => {
                    cap.currency == agreement.currency()
                        && self
                            .used(request, LimitScope::Borrower, None, &PartyId::ALL)
                            .is_some_and(|used| used + request.amount > cap.amount)
                }
                Check::BulletTerm { months: most } => {
                    agreement.file.product.amortisation == Amortisation::Bullet && months > most
                }
                Check::AllInCost { cap } => self.costs_more(own, request, rate, months, cap),
                Check::MinimumShareEach { share } => {
                    let minimum = request.amount.at(share, Rounding::Down);
                    let too_small =
                        |part: &Part| part.amount.is_positive() && part.amount < minimum;
                    parts.iter().any(too_small)
                }
                Check::WeightedRate {} => funding::borrower_rate(parts) != rate,
                Check::GuaranteeCap { of_disbursed } => {
                    let guarantee = agreement.file.guarantee.as_ref();
                    guarantee.is_some_and(|guarantee| guarantee.pool > of_disbursed)
                }
                Check::GuaranteeInvocation { days } => {
                    agreement.guarantor.is_some() && agreement.file.charge_off.days_past_due > days
                }
                Check::NoGuaranteeOfRevolving {} => {
                    agreement.guarantor.is_some()
                        && agreement.file.product.amortisation == Amortisation::Revolving
                }
                Check::EqualClass {}
                | Check::Territory {}
                | Check::PartnerConcentration { .. }
                | Check::JointLendingCap { .. } => false,
            })
            .map(|(clause, _)| clause)
    }

    fn costs_more(
        &self,
        version: &Version,
        request: &Request<'_>,
        rate: Rate,
        months: u16,
        cap: Rate,
    ) -> bool {
        let principal = request.amount;
        let agreement = &version.agreement;
        let product = &agreement.file.product;
        let known = self.timeline(request.version, months);
        let new;
        let timeline = match known {
            Some(timeline) => timeline,
            None => {
                let (day, calendar) = (self.business_date, &version.calendar);
                new = Timeline::of(product, day, months, calendar);
                &new
            }
        };
        let terms = self.terms_on(version, timeline, principal, rate);
        let fees = agreement
            .disbursement_fees
            .iter()
            .map(|fee| fee.on(principal, product.rounding));
        let net = principal - fees.sum();
        // Most loans stay so far below the cap that nothing need be planned to see it.
        !cost::is_clearly_within(&terms, net, cap)
            && cost::exceeds_by(product.cycle, net, &schedule(&terms), cap)
    }

    fn rules<'a>(
        &self,
        version: &'a Version,
    ) -> impl Iterator<Item = (Clause, &'a Rule)> + use<'a> {
        let day = self.business_date;
        let in_force = version
            .rulebook
            .iter()
            .flat_map(move |book| book.in_force(day));
        in_force.map(|(place, rule)| (Clause::Rule(place as u8), rule))
    }

    /// A limit of a version (by its place) as the agreement in force has it: what was agreed on since
    /// holds for applications that came in before, unless the limit is gone.
    fn in_force<'a>(&'a self, version: u16, limit: &'a Limit) -> &'a Limit {
        let same = |version: &'a Version| {
            let mut limits = version.agreement.file.limit.iter();
            limits.find(|other| other.is_same(limit))
        };
        let now = self.current().filter(|(place, _)| *place != version);
        now.and_then(|(_, version)| same(version)).unwrap_or(limit)
    }

    /// What `parties` have lent and offered within the scope of a limit; none if the request is
    /// outside it.
    pub(super) fn used(
        &self,
        request: &Request<'_>,
        scope: LimitScope,
        region: Option<&str>,
        parties: &[PartyId],
    ) -> Option<Amount> {
        let exposure = |found: Option<&Exposure>| {
            let of = |exposure: &Exposure| parties.iter().map(|&party| exposure.of(party)).sum();
            found.map_or(Amount::ZERO, of)
        };
        match scope {
            LimitScope::Day => Some(parties.iter().map(|party| self.today[party.index()]).sum()),
            LimitScope::Total | LimitScope::Partner => {
                Some(parties.iter().map(|&party| self.lent(party)).sum())
            }
            LimitScope::Region if region.is_some_and(|region| region != request.region) => None,
            LimitScope::Region => {
                let place = request.region_place;
                Some(exposure(place.map(|place| &self.regions[place as usize])))
            }
            LimitScope::Borrower => {
                let place = request
                    .borrower
                    .and_then(|key| self.borrower_names.find(key));
                Some(exposure(place.map(|place| self.borrowed(place)).as_ref()))
            }
        }
    }

    /// What is lent and offered to a borrower, counted from its offers and loans.
    fn borrowed(&self, borrower: u32) -> Exposure {
        let mut exposure = Exposure::default();
        let last = Some(self.borrowers[borrower as usize]);
        for place in self.applications.of_borrower(last) {
            let row = &self.applications.rows[place as usize];
            if let Some(offer) = self.offer(place) {
                for (party, part) in self.lender_amounts(row.version, &offer.parts) {
                    exposure.reserved[party] += part;
                }
            }
            if let ApplicationState::Disbursed(loan) = row.state()
                && let Some(loan) = self.loan_at(loan)
            {
                let agreement = &self.version_of(&loan).agreement;
                let split = loan.split(agreement);
                let undrawn = loan.undrawn(&loan.position, agreement);
                let undrawn = allocate(undrawn, &split.commitments);
                for (place, party) in split.holders.iter().enumerate() {
                    exposure.reserved[party.index()] += undrawn[place];
                    exposure.outstanding[party.index()] += split.own[place].outstanding;
                }
            }
        }
        exposure
    }

    /// What a party has lent and offered under the agreement.
    pub fn lent(&self, party: PartyId) -> Amount {
        self.ledgers.balance(party, Account::Loans) + self.reserved[party.index()]
    }
}

impl Exposure {
    pub(super) fn of(&self, party: PartyId) -> Amount {
        self.reserved[party.index()] + self.outstanding[party.index()]
    }
}
