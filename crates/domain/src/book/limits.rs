//! How far the agreement's limits are used.

use super::Book;
use crate::agreement::LimitScope;
use crate::money::Amount;
use crate::party::PartyId;

/// How far a limit of the agreement in force is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitUse {
    /// Place of the limit in the agreement.
    pub limit: usize,
    /// What is lent and offered within it.
    pub used: Amount,
    /// What may be: its amount, and slices of it that came from other books or went to them.
    pub most: Amount,
    /// The region, where each region counts by itself: the one that uses most.
    pub region: Option<String>,
}

impl Book {
    /// How far each limit of the agreement in force is used. Limits for each borrower have no
    /// use as a whole and are left out.
    pub fn limits_used(&self) -> Vec<LimitUse> {
        let Some((_, version)) = self.current() else {
            return Vec::new();
        };
        let agreement = &version.agreement;
        let limits = agreement.file.limit.iter().enumerate();
        let used = limits.filter_map(|(place, limit)| {
            let lender = agreement.limit_lenders[place];
            let lender = lender.map(|lender| [agreement.lenders[lender]]);
            let parties: &[PartyId] = lender.as_ref().map_or(&PartyId::ALL, |one| one);
            let sum = |of: &dyn Fn(PartyId) -> Amount| parties.iter().map(|&party| of(party)).sum();
            let (used, region) = match limit.per {
                LimitScope::Day => (sum(&|party| self.today[party.index()]), None),
                LimitScope::Total | LimitScope::Partner => (sum(&|party| self.lent(party)), None),
                LimitScope::Region => {
                    let regions = (0..).zip(&self.regions);
                    let regions = regions.map(|(region, exposure)| {
                        let used: Amount = sum(&|party| exposure.of(party));
                        (used, self.region_names.get(region))
                    });
                    let only = limit.region.as_deref();
                    let regions = regions.filter(|(_, name)| only.is_none_or(|only| only == *name));
                    let most = regions.max_by_key(|(used, _)| *used);
                    let most = most.map(|(used, name)| (used, Some(name.to_owned())));
                    most.unwrap_or((Amount::ZERO, None))
                }
                LimitScope::Borrower => return None,
            };
            let each = limit.each().and(region.as_deref());
            Some(LimitUse {
                limit: place,
                used,
                most: self.most(limit, each.unwrap_or_default()),
                region,
            })
        });
        used.collect()
    }
}
