//! Who lends, in which shares and at which prices.

use super::Reader;
use crate::agreement::*;
use crate::money::Rate;
use crate::party::{PartyId, PartyKind};
use crate::share::MAX_SHARES;

impl Reader<'_> {
    pub(super) fn funding(&mut self, lenders: &[PartyId]) -> (Vec<Lender>, Vec<usize>) {
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
    pub(super) fn check_yields(&mut self) {
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
}
