//! All figures of the report, named and summed, before anything is laid out.

use std::collections::BTreeMap;
use std::fmt;

use tandem_domain::agreement::{Agreement, FeeTerms, Limit, LimitScope};
use tandem_domain::book::{ApplicationState, Book, Clause, DeclineReason, Loan, Pool, Version};
use tandem_domain::calendar::Day;
use tandem_domain::cost::all_in_cost_by;
use tandem_domain::ledger::Account;
use tandem_domain::loan::{Own, Status, schedule};
use tandem_domain::money::{Amount, Currency, Rate, Rounding};
use tandem_domain::party::{PartyId, PartyKind};
use tandem_domain::rulebook::Check;
use tandem_web::hex;

use super::collect::{
    ByParty, Closed, Collector, Losses, Outcomes, Payments, RESULT, Settlement, Year,
};
use super::limits::Peak;
use super::loans::Performance;
use super::text::{Month, Unit, lower_first, upper_first};

/// Everything that a report says about a book.
pub(super) struct Figures {
    /// The agreement's versions, in the order in which they were signed.
    pub(super) versions: Vec<Version>,
    pub(super) unit: Unit,
    /// First and last day that were closed, or the open day if none was.
    pub(super) period: (Day, Day),
    pub(super) journal: Journal,
    pub(super) months: Vec<(Month, Outcomes)>,
    pub(super) all: Outcomes,
    /// Applications by the number of lenders that accept, among those they were asked about.
    pub(super) accepting: Vec<u32>,
    /// Reasons of each lender, the most frequent first.
    pub(super) reasons: Vec<LenderReason>,
    /// Why applications were declined as a whole, the most frequent first.
    pub(super) declined: Vec<(String, u32)>,
    /// Lenders that would fund but were kept out by a clause, the most frequent first.
    pub(super) barred: Vec<(PartyId, ClauseWords, u32)>,
    pub(super) funded: Funded,
    pub(super) closes: Vec<Closed>,
    pub(super) performance: Performance,
    pub(super) years: Vec<Year>,
    pub(super) settlement: Settlement,
    /// Settlement plans that wait for their day.
    pub(super) waiting: usize,
    pub(super) losses: Losses,
    pub(super) pool: Pool,
    pub(super) limits: Vec<LimitUse>,
    /// True if a limit on principal outstanding refused something, so that repayments made room
    /// for later offers.
    pub(super) limits_bound: bool,
    /// Every account that has a balance anywhere, with each party's.
    pub(super) ledger: Vec<(Account, ByParty<Amount>)>,
    pub(super) payments: Payments,
}

/// What the journal is made of.
pub(super) struct Journal {
    pub(super) events: u64,
    pub(super) batches: u64,
    pub(super) entries: u64,
    /// Digest of the last day close.
    pub(super) digest: Option<String>,
}

/// A reason of a lender's policy, and how often it was given.
pub(super) struct LenderReason {
    pub(super) lender: PartyId,
    pub(super) code: String,
    pub(super) words: String,
    /// True if it asks a person to decide.
    pub(super) refers: bool,
    pub(super) times: u32,
    pub(super) alone: u32,
}

/// What was lent.
#[derive(Default)]
pub(super) struct Funded {
    pub(super) loans: u32,
    pub(super) amount: Amount,
    /// Loans that are still active, repaid, and written off.
    pub(super) active: u32,
    pub(super) repaid: u32,
    pub(super) charged_off: u32,
    /// Applications withdrawn, lapsed, and still open.
    pub(super) withdrawn: u32,
    pub(super) lapsed: u32,
    pub(super) open: u32,
    /// Averages weighted by principal.
    pub(super) rate: Option<f64>,
    pub(super) all_in_cost: Option<f64>,
    pub(super) months: Option<f64>,
    pub(super) highest_cost: Rate,
    pub(super) lenders: ByParty<Lent>,
    /// Loans and principal by the lenders that share them, as a set of bits.
    pub(super) together: Vec<(u32, u32, Amount)>,
}

/// One lender's part of what was lent, and what became of it.
#[derive(Clone, Copy, Default)]
pub(super) struct Lent {
    /// True if it has or had a part of a loan.
    holds: bool,
    /// Loans that it funded.
    pub(super) loans: u32,
    pub(super) amount: Amount,
    /// Its yearly rate times its principal.
    weighted_rate: f64,
    pub(super) interest: Amount,
    pub(super) principal: Amount,
    pub(super) charged_off: Amount,
    pub(super) compensated: Amount,
    pub(super) recovered: Amount,
}

impl Lent {
    /// Its average price, weighted by principal.
    pub(super) fn rate(&self) -> Option<f64> {
        (!self.amount.is_zero()).then(|| self.weighted_rate / self.amount.0 as f64)
    }

    /// Principal lost for good: written off, less compensation and recoveries.
    pub(super) fn lost(&self) -> Amount {
        self.charged_off - self.compensated - self.recovered
    }
}

/// A limit or a rule that caps lending, and how much of it was used at its peak.
pub(super) struct LimitUse {
    pub(super) words: ClauseWords,
    /// The lender that a rule binds by itself.
    pub(super) lender: Option<PartyId>,
    pub(super) peak: Peak,
    /// How often it kept a lender, or an application, out, and when first.
    pub(super) refusals: Option<(u32, Day)>,
}

/// A clause or rule in the words of the agreement or the rulebook.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ClauseWords {
    /// `clause 7.3` or `rule cn-territory`.
    pub(super) name: String,
    /// Whom and what a limit is about.
    pub(super) scope: String,
    /// What it asks.
    text: String,
}

impl fmt::Display for ClauseWords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", upper_first(&self.name), self.text)
    }
}

impl Figures {
    /// Sums a collector up with the book at the end.
    pub(super) fn of(collector: Collector, book: &Book) -> Figures {
        let latest = book.latest().expect("only a signed agreement has a report");
        let latest = &latest.agreement;
        let versions = book.versions();
        let decisions = &collector.decisions;
        let mut all = Outcomes::default();
        decisions.months.values().for_each(|month| all.add(month));
        let funded = Funded::of(book);
        let last = book
            .last_close()
            .map_or(book.business_date(), |close| close.day);
        let first = collector.closes.first().map_or(last, |close| close.day);
        let mut performance = Performance::default();
        for loan in book.loans() {
            performance.add(&loan, book, last);
        }
        Figures {
            unit: Unit::for_amounts(latest.currency(), funded.amount),
            period: (first, last),
            journal: Journal {
                events: collector.events,
                batches: collector.batches,
                entries: book.ledgers().entries(),
                digest: book.last_close().map(|close| hex(&close.digest)),
            },
            accepting: decisions.accepting[..=latest.lenders.len()].to_vec(),
            reasons: reasons(&collector, versions),
            declined: declined(&collector, versions),
            barred: barred(&collector, versions),
            limits: limits(&collector, versions),
            limits_bound: limits_bound(&collector, versions),
            ledger: trial_balance(book, latest),
            waiting: book.plans().len(),
            pool: book.pool(),
            versions: versions.to_vec(),
            months: collector.decisions.months.into_iter().collect(),
            all,
            funded,
            closes: collector.closes,
            performance,
            years: collector.years,
            settlement: collector.settlement,
            losses: collector.losses,
            payments: collector.payments,
        }
    }

    /// The latest version of the agreement; parties are listed there in full.
    pub(super) fn agreement(&self) -> &Agreement {
        let latest = self.versions.last();
        &latest
            .expect("a report is made of a signed agreement")
            .agreement
    }

    /// The currency of all amounts.
    pub(super) fn currency(&self) -> Currency {
        self.unit.currency
    }

    /// A party's name.
    pub(super) fn name(&self, party: PartyId) -> &str {
        &self.agreement().party(party).name
    }

    /// The lenders in the order of the agreement's parties.
    pub(super) fn lenders(&self) -> Vec<PartyId> {
        let mut lenders = self.agreement().lenders.clone();
        lenders.sort();
        lenders
    }

    /// The lenders, and those that bought shares from them.
    pub(super) fn holders(&self) -> Vec<PartyId> {
        let lenders = &self.agreement().lenders;
        let parties = self.agreement().parties().map(|(party, _)| party);
        parties
            .filter(|party| lenders.contains(party) || self.funded.lenders[party.index()].holds)
            .collect()
    }

    /// Names of a set of lenders given as bits.
    pub(super) fn names(&self, bits: u32) -> Vec<&str> {
        let lenders = self.holders().into_iter();
        lenders
            .filter(|lender| bits & (1 << lender.0) != 0)
            .map(|lender| self.name(lender))
            .collect()
    }

    /// The evening with the most principal outstanding.
    pub(super) fn peak(&self) -> Option<&Closed> {
        self.closes.iter().max_by_key(|close| close.outstanding)
    }

    /// Result of all lenders over all years.
    pub(super) fn lenders_result(&self) -> Amount {
        self.holders()
            .into_iter()
            .map(|lender| self.result(lender))
            .sum()
    }

    /// Applications that enough lenders accept by their own policies.
    pub(super) fn accepted_by_enough(&self) -> u32 {
        let fewest = usize::from(self.agreement().file.funding.minimum_lenders);
        self.accepting.iter().skip(fewest).sum()
    }

    /// Interest, penalties and fees that borrowers owed to all parties.
    pub(super) fn earned_from_borrowers(&self) -> Amount {
        let lines = [
            Account::InterestIncome,
            Account::PenaltyIncome,
            Account::FeeIncome,
        ];
        let of = |year: &Year| -> Amount {
            let results = year.result.iter();
            let lines = |result: &[Amount; RESULT.len()]| -> Amount {
                let lines = RESULT
                    .iter()
                    .zip(result)
                    .filter(|(line, _)| lines.contains(line));
                lines.map(|(_, amount)| *amount).sum()
            };
            results.map(lines).sum()
        };
        self.years.iter().map(of).sum()
    }

    /// A party's result over all years.
    pub(super) fn result(&self, party: PartyId) -> Amount {
        let years = self.years.iter();
        years.flat_map(|year| year.result[party.index()]).sum()
    }

    /// A yearly return: `amount` on the average principal of `parties` over `years`.
    pub(super) fn yearly(
        &self,
        amount: Amount,
        years: &[Year],
        parties: &[PartyId],
    ) -> Option<f64> {
        let of = |year: &Year| -> i128 {
            let sums = parties
                .iter()
                .map(|party| year.principal_days[party.index()]);
            sums.sum()
        };
        let principal_days: i128 = years.iter().map(of).sum();
        (principal_days > 0).then(|| amount.0 as f64 * 365.0 / principal_days as f64)
    }

    /// Size of the guarantee pool, if there is one.
    pub(super) fn pool_size(&self) -> Option<Amount> {
        let guarantee = self.agreement().file.guarantee.as_ref()?;
        Some(self.pool.disbursed.at(guarantee.pool, Rounding::Down))
    }
}

impl Funded {
    fn of(book: &Book) -> Funded {
        let mut funded = Funded::default();
        let mut together: BTreeMap<u32, (u32, Amount)> = BTreeMap::new();
        let mut costs_known = Costs::default();
        let (mut rates, mut costs, mut months) = (0.0, 0.0, 0.0);
        for loan in book.loans() {
            let agreement = &book.version_of(&loan).agreement;
            let cost = costs_known.of(&loan, book);
            let lent = loan.principal + loan.position.totals.drawn;
            funded.loans += 1;
            funded.amount += lent;
            funded.highest_cost = funded.highest_cost.max(cost);
            let weight = lent.0 as f64;
            rates += weight * fraction(loan.rate);
            costs += weight * fraction(cost);
            months += weight * f64::from(loan.months);
            match loan.position.status {
                Status::Active => funded.active += 1,
                Status::Repaid => funded.repaid += 1,
                Status::ChargedOff => funded.charged_off += 1,
            }
            let split = loan.split(agreement);
            let mut bits = 0;
            // Those that bought a share later have its income, but did not fund the loan.
            for (at, holder) in split.holders.iter().enumerate() {
                let own = split.own(holder);
                let sums = &mut funded.lenders[holder.index()];
                sums.holds |= own != Own::default();
                if let Some(part) = loan.parts.get(at).filter(|part| part.amount.is_positive()) {
                    bits |= 1 << holder.0;
                    sums.loans += 1;
                    sums.amount += own.disbursed;
                    sums.weighted_rate += own.disbursed.0 as f64 * fraction(part.rate);
                }
                sums.interest += own.interest;
                sums.principal += own.principal;
                sums.charged_off += own.charged_off;
                sums.compensated += own.compensated;
                sums.recovered += own.recovered;
            }
            let sums = together.entry(bits).or_default();
            *sums = (sums.0 + 1, sums.1 + lent);
        }
        for application in book.applications() {
            match application.state {
                ApplicationState::Withdrawn => funded.withdrawn += 1,
                ApplicationState::Lapsed => funded.lapsed += 1,
                ApplicationState::Offered => funded.open += 1,
                _ => {}
            }
        }
        if funded.loans > 0 {
            let by_principal = |sum: f64| Some(sum / funded.amount.0 as f64);
            (funded.rate, funded.all_in_cost) = (by_principal(rates), by_principal(costs));
            funded.months = by_principal(months);
        }
        funded.together = together
            .into_iter()
            .map(|(bits, (loans, amount))| (bits, loans, amount))
            .collect();
        funded
            .together
            .sort_by_key(|&(_, _, amount)| std::cmp::Reverse(amount));
        funded
    }
}

/// All-in costs of loans. Where fees are proportional, loans of one rate and term differ in cost
/// by rounding alone, so that it is worked out once.
#[derive(Default)]
struct Costs(BTreeMap<(u16, Rate, u16), Rate>);

impl Costs {
    fn of(&mut self, loan: &Loan, book: &Book) -> Rate {
        let agreement = &book.version_of(loan).agreement;
        let work_out = || {
            let fees = agreement.disbursement_fees.iter();
            let fees = fees.map(|fee| fee.on(loan.principal, agreement.file.product.rounding));
            all_in_cost_by(
                agreement.file.product.cycle,
                loan.principal - fees.sum(),
                &schedule(&book.terms(loan)),
            )
        };
        // Fees that are not a part of the amount, and a rate or due dates that follow the calendar.
        let fixed = |fee: &FeeTerms| {
            !fee.amount.is_zero() || !fee.minimum.is_zero() || fee.maximum < Amount::MAX
        };
        let mut fees = agreement
            .disbursement_fees
            .iter()
            .chain(&agreement.loan_fees.instalment);
        let product = &agreement.file.product;
        if fees.any(fixed) || product.floating.is_some() || product.due_day.is_some() {
            return work_out();
        }
        let key = (loan.version, loan.rate, loan.months);
        *self.0.entry(key).or_insert_with(work_out)
    }
}

/// A rate as a number.
pub(super) fn fraction(rate: Rate) -> f64 {
    rate.0 as f64 / Rate::ONE.0 as f64
}

fn reasons(collector: &Collector, versions: &[Version]) -> Vec<LenderReason> {
    let mut sums: BTreeMap<(PartyId, String), LenderReason> = BTreeMap::new();
    for (&(version, lender, place), given) in &collector.decisions.reasons {
        let version = &versions[usize::from(version)];
        let policy = &version.policies[usize::from(lender)];
        let (code, words) = &policy.reasons[usize::from(place)];
        let party = version.agreement.lenders[usize::from(lender)];
        let declines = policy.file.decline.len();
        let referring = declines..declines + policy.file.refer.len();
        let sum = sums
            .entry((party, code.clone()))
            .or_insert_with(|| LenderReason {
                lender: party,
                code: code.clone(),
                words: words.clone(),
                refers: referring.contains(&usize::from(place)),
                times: 0,
                alone: 0,
            });
        sum.times += given.times;
        sum.alone += given.alone;
    }
    let mut reasons: Vec<_> = sums.into_values().collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.times));
    reasons
}

fn declined(collector: &Collector, versions: &[Version]) -> Vec<(String, u32)> {
    let named = collector
        .decisions
        .declined
        .iter()
        .map(|(&(version, reason), &times)| {
            let version = &versions[usize::from(version)];
            let words = match reason {
                DeclineReason::Clause(clause) => clause_words(version, clause).to_string(),
                DeclineReason::Ineligible(_) => format!(
                    "Not eligible: {}",
                    lower_first(version.decline_reason(reason).trim_end_matches('.'))
                ),
                other => upper_first(&version.decline_reason(other)),
            };
            (words, times)
        });
    most_frequent(named)
}

fn barred(collector: &Collector, versions: &[Version]) -> Vec<(PartyId, ClauseWords, u32)> {
    let named = collector.decisions.barred.iter();
    let named = named.map(|(&(version, lender, clause), &times)| {
        let version = &versions[usize::from(version)];
        let party = version.agreement.lenders[usize::from(lender)];
        ((party, clause_words(version, clause)), times)
    });
    let sums = most_frequent(named).into_iter();
    sums.map(|((party, words), times)| (party, words, times))
        .collect()
}

fn most_frequent<K: Ord>(named: impl Iterator<Item = (K, u32)>) -> Vec<(K, u32)> {
    let mut sums: BTreeMap<K, u32> = BTreeMap::new();
    for (name, times) in named {
        *sums.entry(name).or_default() += times;
    }
    let mut sums: Vec<_> = sums.into_iter().collect();
    sums.sort_by_key(|&(_, times)| std::cmp::Reverse(times));
    sums
}

fn limits(collector: &Collector, versions: &[Version]) -> Vec<LimitUse> {
    let mut limits: Vec<LimitUse> = Vec::new();
    for (key, peak) in &collector.limits.peaks {
        let &(version, clause, lender) = key;
        let words = clause_words(&versions[usize::from(version)], clause);
        let refusals = collector.limits.refusals.get(key).copied();
        // An amendment that keeps a limit as it was continues it.
        let known = limits.iter_mut().find(|known| {
            known.words == words && known.lender == lender && known.peak.cap == peak.cap
        });
        match known {
            Some(known) => {
                known.refusals = match (known.refusals, refusals) {
                    (Some((times, first)), Some((more, _))) => Some((times + more, first)),
                    (earlier, later) => earlier.or(later),
                };
                if peak.used > known.peak.used {
                    known.peak = peak.clone();
                }
            }
            None => limits.push(LimitUse {
                words,
                lender,
                peak: peak.clone(),
                refusals,
            }),
        }
    }
    limits
}

fn limits_bound(collector: &Collector, versions: &[Version]) -> bool {
    collector
        .limits
        .refusals
        .keys()
        .any(|&(version, clause, _)| {
            let version = &versions[usize::from(version)];
            match clause {
                Clause::Limit(place) => {
                    version.agreement.file.limit[usize::from(place)].per != LimitScope::Day
                }
                Clause::Rule(place) => version.rulebook.as_ref().is_some_and(|book| {
                    matches!(
                        book.rule[usize::from(place)].check,
                        Check::PartnerConcentration { .. }
                            | Check::JointLendingCap { .. }
                            | Check::PersonalAmount { .. }
                    )
                }),
            }
        })
}

fn clause_words(version: &Version, clause: Clause) -> ClauseWords {
    match clause {
        Clause::Limit(place) => {
            let agreement = &version.agreement;
            limit_words(agreement, &agreement.file.limit[usize::from(place)])
        }
        Clause::Rule(place) => {
            let rule = version.rulebook.iter().flat_map(|book| &book.rule);
            let rule = rule.into_iter().nth(usize::from(place));
            ClauseWords {
                name: rule.map_or("rule".into(), |rule| format!("rule {}", rule.id)),
                scope: String::new(),
                text: rule.map_or_else(String::new, |rule| {
                    lower_first(rule.title.trim_end_matches('.'))
                }),
            }
        }
    }
}

fn limit_words(agreement: &Agreement, limit: &Limit) -> ClauseWords {
    let per = match (limit.per, &limit.region) {
        (LimitScope::Day, _) => "a day".to_owned(),
        (LimitScope::Total, _) => "in all".to_owned(),
        (LimitScope::Region, Some(region)) => format!("in {region}"),
        (LimitScope::Region, None) => "in each region".to_owned(),
        (LimitScope::Borrower, _) => "to one borrower".to_owned(),
        (LimitScope::Partner, _) => "with one partner".to_owned(),
    };
    let lender = limit.lender.as_ref().and_then(|id| agreement.party_id(id));
    let (who, lend) = match lender {
        Some(lender) => (agreement.party(lender).name.as_str(), "lends"),
        None => ("all lenders", "lend"),
    };
    let unit = Unit::for_amounts(agreement.currency(), limit.amount.amount);
    let amount = unit.full(limit.amount.amount).replace(".00", "");
    ClauseWords {
        name: format!("clause {}", limit.clause),
        scope: format!("{who}, {per}"),
        text: format!("{who} {lend} at most {amount} {per}"),
    }
}

fn trial_balance(book: &Book, agreement: &Agreement) -> Vec<(Account, ByParty<Amount>)> {
    let accounts = Account::chart(agreement.file.party.len()).map(|account| {
        let mut balances = ByParty::default();
        for (party, _) in agreement.parties() {
            balances[party.index()] = book.ledgers().balance(party, account);
        }
        (account, balances)
    });
    accounts
        .filter(|(_, balances)| balances.iter().any(|balance| !balance.is_zero()))
        .collect()
}

/// What a party is and does in the cooperation.
pub(super) fn party_words(agreement: &Agreement, party: PartyId) -> String {
    let kind = match agreement.party(party).kind {
        PartyKind::RegionalBank => "regional bank",
        PartyKind::Bank => "bank",
        PartyKind::OtherLender => "lender",
        PartyKind::Platform => "platform",
        PartyKind::Guarantor => "guarantor",
    };
    let leads = agreement.party_id(&agreement.file.roles.lead) == Some(party);
    let roles = [
        (leads, "leads"),
        (agreement.platform == party, "brings the applications"),
        (agreement.servicer == party, "pays out and collects"),
        (agreement.guarantor == Some(party), "covers losses"),
    ];
    let roles: Vec<_> = roles
        .iter()
        .filter(|role| role.0)
        .map(|role| role.1)
        .collect();
    if roles.is_empty() {
        kind.to_owned()
    } else {
        format!("{kind}; {}", super::text::list(&roles))
    }
}
