//! `tandem verify`: reads a journal from its first batch and checks everything that must hold.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};
use tandem_domain::agreement::{Amortisation, Limit, LimitScope};
use tandem_domain::book::attest::{
    LEDGERS_BALANCE, MIRRORS_EQUAL, SETTLEMENTS_NET, SHARES_EXACT, SUMS_CURRENT,
};
use tandem_domain::book::{ApplicationState, Book, Decided, Event, Verdict};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::funding::Part;
use tandem_domain::ledger::{Account, Entry, EntryKind, Obligations};
use tandem_domain::loan::{Status, Totals};
use tandem_domain::money::Amount;
use tandem_domain::party::{MAX_PARTIES, PartyId};
use tandem_domain::policy::{Decision, Outcome as Answer};
use tandem_domain::settlement::{Plan, Transfer};
use tandem_domain::share::{MAX_SHARES, allocate};
use tandem_engine::{Step, replay};
use tandem_journal::Store;
use tandem_web::hex;

use crate::data::BookOption;
use crate::export;
use crate::fail::{Failure, Outcome};

/// Options of `tandem verify`.
#[derive(clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    book: BookOption,
}

/// Verifies a book and prints what was checked.
pub(crate) fn verify(options: &Options) -> Outcome {
    let mut journal = options.book.place()?.open_read_only()?;
    let bar = progress(journal.head().seq);
    let result = read(&mut journal, &bar);
    bar.finish_and_clear();
    let (checks, text) = match result {
        Ok(read) => read,
        Err(failure) => {
            export::show(&format!("✗ {JOURNAL}\n"))?;
            return Err(failure);
        }
    };
    export::show(&text)?;
    let failed: Vec<_> = checks.iter().filter(|check| !check.passed).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let failed = failed
        .iter()
        .map(|check| format!("{}: {}", check.name, check.detail));
    Err(Failure(failed.collect::<Vec<_>>().join("\n")))
}

/// Draws on the terminal, or nothing if there is none.
fn progress(batches: u64) -> ProgressBar {
    let style =
        ProgressStyle::with_template("{bar:40} {percent:>3} % of {len} batches, {eta} left");
    let bar = ProgressBar::new(batches);
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Replays a journal; gives the checks and the text about them.
fn read<S: Store>(
    journal: &mut tandem_journal::Journal<S>,
    bar: &ProgressBar,
) -> Outcome<(Vec<Check>, String)> {
    let mut verifier = Verifier::default();
    let book = replay(journal, &mut |step| {
        if step.batch != verifier.counts.batches {
            bar.set_position(step.batch);
        }
        verifier.observe(&step);
    })?;
    let checks = verifier.finish(&book);
    let mut text: String = checks.iter().map(|check| format!("{check}\n")).collect();
    let digest = hex(&book.digest());
    text += &format!("\n{}\ndigest {digest}\n", verifier.counts);
    Ok((checks, text))
}

/// One of the things that must hold, and whether it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Check {
    /// What must hold.
    pub(crate) name: &'static str,
    /// True if it does.
    pub(crate) passed: bool,
    /// What was looked at, or what is wrong.
    pub(crate) detail: String,
}

impl std::fmt::Display for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mark = if self.passed { '✓' } else { '✗' };
        write!(f, "{mark} {:<24}  {}", self.name, self.detail)
    }
}

const DECISIONS: &str = "decisions replayed";
const LIMITS: &str = "limits kept";
const JOURNAL: &str = "journal verified";

/// How much there was to look at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Batches of the journal.
    pub(crate) batches: u64,
    /// Events in them.
    pub(crate) events: u64,
    /// Applications decided.
    pub(crate) applications: u64,
    /// Loans disbursed.
    pub(crate) loans: u64,
    /// Ledger entries.
    pub(crate) entries: u64,
    /// Postings in them.
    pub(crate) postings: u64,
    /// Days closed.
    pub(crate) days: u64,
    changes: u64,
    decisions: u64,
    offers: u64,
    planned: u64,
    settled: u64,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (name, count) in [
            ("batches", self.batches),
            ("events", self.events),
            ("applications", self.applications),
            ("loans", self.loans),
            ("entries", self.entries),
            ("postings", self.postings),
        ] {
            write!(f, "{name} {}, ", thousands(count))?;
        }
        write!(f, "days {}", thousands(self.days))
    }
}

/// `12,345`
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<_> = groups.map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// What parties have lent and offered, by party.
type Exposure = [Amount; MAX_PARTIES];

/// Checks a book while its journal is read.
///
/// It keeps its own, simpler account of what is owed, planned and lent, made from postings and
/// events alone, so that it finds what the book itself gets wrong.
#[derive(Default)]
pub(crate) struct Verifier {
    /// How much there was to look at.
    pub(crate) counts: Counts,
    problems: BTreeMap<&'static str, Vec<String>>,
    /// What came to be owed since the last plan, from the postings.
    owed: Obligations,
    /// Plans that wait for their day, by window.
    plans: BTreeMap<Day, Plan>,
    /// Open offers, by place of the application.
    offers: BTreeMap<u32, Vec<Part>>,
    /// What can still be drawn and who is to pay it out, by place of the loan.
    undrawn: BTreeMap<u32, Vec<(PartyId, Amount)>>,
    /// Applications that wait for a person, as they stand.
    referred: BTreeMap<u32, Decided>,
    lent: Exposure,
    today: Exposure,
    regions: Vec<Exposure>,
    borrowers: Vec<Exposure>,
}

impl Verifier {
    /// Looks at an event that was just applied.
    pub(crate) fn observe(&mut self, step: &Step<'_>) {
        self.counts.batches = step.batch;
        self.counts.events += 1;
        for entry in step.entries {
            self.entry(entry, step.book);
        }
        match step.event {
            Event::Decided(decided) => self.decided(decided, step.book),
            Event::Underwritten {
                application,
                lender,
                decided,
            } => self.underwritten(*application, usize::from(*lender), decided, step.book),
            Event::Withdrawn { application } => {
                self.referred.remove(application);
                self.end_offer(*application, step.book);
            }
            Event::Disbursed { application } => {
                self.counts.loans += 1;
                self.end_offer(*application, step.book);
                self.keep_undrawn((step.book.loan_count() - 1) as u32, step.book);
            }
            Event::Instructed { loan, change, .. }
            | Event::Reversed { loan, change, .. }
            | Event::ChargedOff { loan, change, .. } => {
                self.counts.changes += 1;
                self.change(change, *loan, step);
                self.keep_undrawn(*loan, step.book);
            }
            Event::DayEnded { .. } => {
                self.lapse(step.book);
                for loan in self.undrawn.keys().copied().collect::<Vec<_>>() {
                    self.keep_undrawn(loan, step.book);
                }
            }
            Event::Planned(plan) => self.planned(plan, step.book),
            Event::Settled { day, window } => self.settled(*day, *window, step.entries),
            Event::DayClosed(_) => self.day_closed(step.book),
            Event::Signed { .. }
            | Event::Fixed { .. }
            | Event::SliceSent(_)
            | Event::SliceReceived(_)
            | Event::Archived { .. }
            | Event::Adjusted { .. } => {}
        }
    }

    /// Ends the reading: everything that was checked, in a fixed order.
    pub(crate) fn finish(&mut self, book: &Book) -> Vec<Check> {
        for finding in book.findings() {
            let name = match finding.invariant {
                SUMS_CURRENT => SHARES_EXACT,
                name => name,
            };
            self.problem(name, finding.detail);
        }
        let waiting = book.plans().iter().map(|plan| plan.window);
        let same = waiting.eq(self.plans.keys().copied());
        self.require(same, SETTLEMENTS_NET, || {
            "the plans that wait are not those made and unpaid".into()
        });
        let Counts {
            entries,
            days,
            changes,
            loans,
            planned,
            settled,
            decisions,
            applications,
            offers,
            batches,
            ..
        } = self.counts;
        let looked_at = [
            (
                LEDGERS_BALANCE,
                vec![(entries, "entries, every party by itself")],
            ),
            (MIRRORS_EQUAL, vec![(days, "day closes")]),
            (
                SHARES_EXACT,
                vec![(changes, "changes of"), (loans, "loans")],
            ),
            (
                SETTLEMENTS_NET,
                vec![(planned, "plans,"), (settled, "paid")],
            ),
            (
                DECISIONS,
                vec![(decisions, "decisions on"), (applications, "applications")],
            ),
            (LIMITS, vec![(offers, "offers")]),
            (
                JOURNAL,
                vec![(batches, "batches,"), (days, "state digests")],
            ),
        ];
        let words = |counted: Vec<(u64, &str)>| {
            let words = counted
                .iter()
                .map(|(count, what)| format!("{} {what}", thousands(*count)));
            words.collect::<Vec<_>>().join(" ")
        };
        looked_at
            .map(|(name, looked_at)| {
                let problems = self.problems.get(name);
                Check {
                    name,
                    passed: problems.is_none(),
                    detail: problems.map_or_else(|| words(looked_at), |problems| shorten(problems)),
                }
            })
            .into()
    }

    fn problem(&mut self, name: &'static str, detail: String) {
        self.problems.entry(name).or_default().push(detail);
    }

    fn require(&mut self, holds: bool, name: &'static str, detail: impl FnOnce() -> String) {
        if !holds {
            self.problem(name, detail());
        }
    }

    fn entry(&mut self, entry: &Entry, book: &Book) {
        self.counts.entries += 1;
        self.counts.postings += entry.postings.len() as u64;
        self.require(entry.is_balanced(), LEDGERS_BALANCE, || {
            format!("entry {}", entry.number)
        });
        self.require(entry.number == self.counts.entries, LEDGERS_BALANCE, || {
            format!("entry {} does not follow the one before", entry.number)
        });
        for posting in &entry.postings {
            match posting.account {
                Account::DueTo(creditor) if entry.kind != EntryKind::Settlement => {
                    self.owed[posting.party.index()][creditor.index()] -= posting.amount;
                }
                Account::Loans => {
                    if let Some(loan) = entry.loan {
                        let application = book.loan_in(loan).application;
                        self.lend(application, posting.party, posting.amount, book);
                    }
                }
                _ => {}
            }
        }
    }

    /// What the parties posted must be what changed in the loan as a whole.
    fn change(&mut self, change: &Totals, loan: u32, step: &Step<'_>) {
        let posted = |account: Account| -> Amount {
            let postings = step.entries.iter().flat_map(|entry| &entry.postings);
            postings
                .filter(|posting| posting.account == account)
                .map(|posting| posting.amount)
                .sum()
        };
        let fees = change.fees + change.instalment_fees + change.prepayment_fees;
        let used = fees + change.penalty + change.interest + change.principal + change.recovered;
        let held = change.received + change.credited - used - change.refunded;
        let wholes = [
            (
                Account::Settlement,
                change.received - change.refunded - change.drawn,
            ),
            (Account::CustomerFunds, -held),
            (
                Account::Loans,
                change.drawn + change.capitalised - change.principal - change.charged_off,
            ),
            (
                Account::InterestReceivable,
                -(change.interest + change.capitalised),
            ),
            (Account::FeeIncome, -fees),
            (Account::PenaltyIncome, -change.penalty),
            (Account::RecoveryIncome, -change.recovered),
            (Account::GuaranteeExpense, change.compensated),
            (Account::GoodwillExpense, change.credited),
        ];
        let wrong = |account: Account| {
            let application = step.book.loan_in(loan).application;
            let key = step.book.application_in(application).key;
            format!("loan {key}: {} does not sum to the whole", account.name())
        };
        for (account, whole) in wholes {
            self.require(posted(account) == whole, SHARES_EXACT, || wrong(account));
        }
        // What a buyer pays beyond principal is premium until it is income or lost, or it is the
        // seller's gain.
        let lost = posted(Account::LossAllowance) - (change.charged_off - change.compensated);
        let premium = [
            Account::LoanPremium,
            Account::InterestIncome,
            Account::SaleGain,
        ];
        let moved = premium.iter().any(|account| !posted(*account).is_zero());
        let premium: Amount = premium.into_iter().map(posted).sum();
        self.require(lost.is_zero() || moved, SHARES_EXACT, || {
            wrong(Account::LossAllowance)
        });
        self.require(premium + lost == Amount::ZERO, SHARES_EXACT, || {
            wrong(Account::LoanPremium)
        });
        self.require(
            self.collects(change, posted(Account::ServiceFeeExpense), loan, step.book)
                && posted(Account::ServiceFeeIncome) == -posted(Account::ServiceFeeExpense),
            SHARES_EXACT,
            || wrong(Account::ServiceFeeExpense),
        );
    }

    /// True if the lenders paid the platform what collecting costs them, and its part of the
    /// interest, which is rounded for each of them.
    fn collects(&self, change: &Totals, paid: Amount, loan: u32, book: &Book) -> bool {
        let version = book.loan_in(loan).version;
        let agreement = &book.versions()[usize::from(version)].agreement;
        let Some((_, rate)) = agreement.service_fee else {
            return paid.is_zero();
        };
        let of_interest = change.interest.at(rate, agreement.file.product.rounding);
        let off = paid - change.collection_fees - of_interest;
        let holders = match rate.0 {
            0 => 0,
            _ => MAX_SHARES as i64 + 1,
        };
        off.0.abs() <= holders
    }

    fn decided(&mut self, decided: &Decided, book: &Book) {
        self.counts.applications += 1;
        let version = &book.versions()[usize::from(decided.version)];
        let in_force = book.current().map(|(place, _)| place);
        self.require(in_force == Some(decided.version), DECISIONS, || {
            format!(
                "application {} was decided under a version not in force",
                decided.key
            )
        });
        let now = version.decisions(&decided.values);
        self.counts.decisions += now.len() as u64;
        for (place, policy) in version.policies.iter().enumerate() {
            let (then, now) = (decided.decisions.get(place), now.get(place));
            self.require(then == now, DECISIONS, || {
                let (key, lender) = (&decided.key, &policy.file.lender);
                let (then, now) = (answer(then), answer(now));
                format!(
                    "application {key}, lender {lender}: recorded {then}, but its policy says {now}"
                )
            });
        }
        let application = (book.application_count() - 1) as u32;
        self.stand(application, decided, book);
    }

    /// A person decides what the lender's policy left to it, within what that would offer; the
    /// application and what the others said stand.
    fn underwritten(&mut self, application: u32, lender: usize, decided: &Decided, book: &Book) {
        self.counts.decisions += 1;
        let version = &book.versions()[usize::from(decided.version)];
        let key = &decided.key;
        let mut before = self.referred.remove(&application);
        let own = before.as_mut().map(|before| &mut before.decisions);
        if let (Some(before), Some(decision)) = (
            own.and_then(|decisions| decisions.get_mut(lender)),
            decided.decisions.get(lender),
        ) {
            let name = &version.policies[lender].file.lender;
            self.require(
                matches!(before.outcome, Answer::Refer(_)),
                DECISIONS,
                || {
                    format!(
                        "application {key}, lender {name}: a person decided what was not referred"
                    )
                },
            );
            if let Answer::Approve { maximum, rate } = decision.outcome {
                let authority = version.policies[lender].authority(&decided.values);
                let within =
                    authority.is_some_and(|(most, least)| maximum <= most && rate >= least);
                self.require(within, DECISIONS, || {
                    format!(
                        "application {key}, lender {name}: a person approved more than its policy"
                    )
                });
            }
            before.outcome = decision.outcome.clone();
        }
        let decisions = before.as_ref().map(|before| &before.decisions);
        self.require(decisions == Some(&decided.decisions), DECISIONS, || {
            format!("application {key}: a person changed what other lenders had decided")
        });
        if let Some(before) = &before {
            let same = Decided {
                decisions: decided.decisions.clone(),
                barred: decided.barred.clone(),
                verdict: decided.verdict.clone(),
                ..before.clone()
            };
            self.require(same == *decided, DECISIONS, || {
                format!("application {key}: a person's decision changed the application itself")
            });
            self.require(waits_on(before, decided), DECISIONS, || {
                format!(
                    "application {key}: it waits for others, or for longer, than is left to people"
                )
            });
        }
        self.stand(application, decided, book);
    }

    /// Keeps an offer that was made, or what was said of an application that waits.
    fn stand(&mut self, application: u32, decided: &Decided, book: &Book) {
        match &decided.verdict {
            Verdict::Offered { parts, .. } => self.offered(application, decided, parts, book),
            Verdict::Referred(..) => {
                self.referred.insert(application, decided.clone());
            }
            Verdict::Declined(_) => {}
        }
    }

    /// An offer adds to what its lenders have at stake; no limit may be exceeded by it. (Nothing
    /// else adds: a loan that is disbursed takes the place of its offer.)
    fn offered(&mut self, application: u32, decided: &Decided, parts: &[Part], book: &Book) {
        self.counts.offers += 1;
        let version = &book.versions()[usize::from(decided.version)];
        let agreement = &version.agreement;
        let now = book.current().map_or(agreement, |(_, now)| &now.agreement);
        self.offers.insert(application, parts.to_vec());
        let mut own = Exposure::default();
        for (&lender, part) in agreement.lenders.iter().zip(parts) {
            own[lender.index()] += part.amount;
            self.today[lender.index()] += part.amount;
            self.lend(application, lender, part.amount, book);
        }
        // What the agreement in force limits, and what only the application's version does.
        let gone = |limit: &Limit| !now.file.limit.iter().any(|other| other.is_same(limit));
        let limits = now
            .limits()
            .chain(agreement.limits().filter(|(limit, _)| gone(limit)));
        for (limit, lender) in limits {
            let bound = match &lender {
                Some(lender) if own[lender.index()].is_zero() => continue,
                Some(lender) => std::slice::from_ref(lender),
                None => &PartyId::ALL[..],
            };
            let used = self.used(limit, &own, decided, bound, book);
            let most = limit.amount;
            self.require(used <= most.amount, LIMITS, || {
                let used = agreement.currency().show(used);
                format!(
                    "clause {}: application {} brings {used}, above {most}",
                    limit.clause, decided.key
                )
            });
        }
    }

    /// What counts against a limit, the application's own offer included.
    fn used(
        &self,
        limit: &Limit,
        own: &Exposure,
        decided: &Decided,
        bound: &[PartyId],
        book: &Book,
    ) -> Amount {
        let Some(record) = book.application(&decided.key) else {
            return Amount::ZERO;
        };
        let elsewhere = match (&limit.region, &decided.values[2]) {
            (Some(bound), Value::Text(region)) => **bound != **region,
            _ => false,
        };
        let exposure = match limit.per {
            LimitScope::Region if elsewhere => return Amount::ZERO,
            LimitScope::Region => &self.regions[record.region as usize],
            LimitScope::Day => &self.today,
            LimitScope::Total | LimitScope::Partner => &self.lent,
            LimitScope::Borrower => match record.borrower {
                Some(place) => &self.borrowers[place as usize],
                None => own,
            },
        };
        bound.iter().map(|party| exposure[party.index()]).sum()
    }

    /// Adds to (or takes from) what a party has at stake, everywhere it counts.
    fn lend(&mut self, application: u32, party: PartyId, amount: Amount, book: &Book) {
        let record = &book.application_in(application);
        self.lent[party.index()] += amount;
        for (exposures, place) in [
            (&mut self.regions, Some(record.region)),
            (&mut self.borrowers, record.borrower),
        ] {
            let Some(place) = place.map(|place| place as usize) else {
                continue;
            };
            if exposures.len() <= place {
                exposures.resize(place + 1, Exposure::default());
            }
            exposures[place][party.index()] += amount;
        }
    }

    /// What a borrower can still draw is at stake like an offer.
    fn keep_undrawn(&mut self, place: u32, book: &Book) {
        let loan = &book.loan_in(place);
        let agreement = &book.version_of(loan).agreement;
        let agreed: Amount = loan.parts.iter().map(|part| part.amount).sum();
        let left = match agreement.file.product.amortisation {
            _ if loan.position.status != Status::Active => Amount::ZERO,
            Amortisation::Revolving => agreed.saturating_less(loan.position.outstanding()),
            _ => agreed - loan.principal - loan.position.totals.drawn,
        };
        for (party, amount) in self.undrawn.remove(&place).unwrap_or_default() {
            self.lend(loan.application, party, -amount, book);
        }
        if left.is_zero() {
            return;
        }
        let split = loan.split(agreement);
        let parts = allocate(left, &split.commitments);
        let parts: Vec<_> = split.holders.iter().zip(parts).collect();
        for &(party, amount) in &parts {
            self.lend(loan.application, party, amount, book);
        }
        self.undrawn.insert(place, parts);
    }

    /// An offer is taken, given back or lapses; only one that is taken still counts for its day.
    fn end_offer(&mut self, application: u32, book: &Book) {
        let parts = self.offers.remove(&application).unwrap_or_default();
        let record = &book.application_in(application);
        let taken = matches!(record.state, ApplicationState::Disbursed(_));
        let of_today = record.decided_on == book.business_date();
        let agreement = &book.versions()[usize::from(record.version)].agreement;
        for (&lender, part) in agreement.lenders.iter().zip(&parts) {
            self.lend(application, lender, -part.amount, book);
            if of_today && !taken {
                self.today[lender.index()] -= part.amount;
            }
        }
    }

    fn lapse(&mut self, book: &Book) {
        let state = |place: u32| book.application_in(place).state;
        let ended = |place: &u32| !matches!(state(*place), ApplicationState::Offered);
        for application in self
            .offers
            .keys()
            .copied()
            .filter(ended)
            .collect::<Vec<_>>()
        {
            self.end_offer(application, book);
        }
    }

    fn planned(&mut self, plan: &Plan, book: &Book) {
        self.counts.planned += 1;
        let window = plan.window;
        self.require(plan.is_exact(), SETTLEMENTS_NET, || {
            format!("window {window}: the transfers are not the net positions")
        });
        self.require(window == book.business_date(), SETTLEMENTS_NET, || {
            format!("window {window} was planned on another day")
        });
        let owed = std::mem::take(&mut self.owed);
        self.require(covers(&plan.obligations, &owed), SETTLEMENTS_NET, || {
            format!("window {window}: the plan is not what the ledgers came to owe")
        });
        let known = self.plans.insert(window, plan.clone());
        self.require(known.is_none(), SETTLEMENTS_NET, || {
            format!("window {window} was planned twice")
        });
    }

    fn settled(&mut self, day: Day, window: Day, entries: &[Entry]) {
        self.counts.settled += 1;
        let Some(plan) = self.plans.remove(&window) else {
            return self.problem(
                SETTLEMENTS_NET,
                format!("window {window} was paid twice, or never planned"),
            );
        };
        self.require(plan.settle_on <= day, SETTLEMENTS_NET, || {
            format!("window {window} was paid before its day")
        });
        for party in parties() {
            let moved = |wanted: fn(Account) -> bool| -> Amount {
                let postings = entries.iter().flat_map(|entry| &entry.postings);
                let own =
                    postings.filter(|posting| posting.party == party && wanted(posting.account));
                own.map(|posting| posting.amount).sum()
            };
            let paid = moved(|account| account == Account::Settlement);
            let cleared = moved(|account| account.counterparty().is_some());
            let net = plan.net(party);
            self.require((paid, cleared) == (net, -net), SETTLEMENTS_NET, || {
                format!(
                    "window {window}: party {} was not paid its net position",
                    party.0
                )
            });
        }
    }

    fn day_closed(&mut self, book: &Book) {
        self.counts.days += 1;
        self.today = Exposure::default();
        let day = book.business_date().previous();
        for (creditor, debtor) in book.ledgers().unmirrored() {
            self.problem(
                MIRRORS_EQUAL,
                format!("{day}: parties {} and {}", creditor.0, debtor.0),
            );
        }
        for (party, _) in book.ledgers().unbalanced() {
            self.problem(LEDGERS_BALANCE, format!("{day}: party {}", party.0));
        }
        for party in parties() {
            self.require(self.lent[party.index()] == book.lent(party), LIMITS, || {
                format!(
                    "{day}: what party {} has lent and offered is not what was counted",
                    party.0
                )
            });
        }
    }
}

fn parties() -> impl Iterator<Item = PartyId> {
    (0..MAX_PARTIES as u8).map(PartyId)
}

/// True if the obligations of a plan are, pair by pair, what is owed.
fn covers(obligations: &[Transfer], owed: &Obligations) -> bool {
    let mut left = *owed;
    for obligation in obligations {
        left[obligation.from.index()][obligation.to.index()] -= obligation.amount;
    }
    parties().all(|one| {
        parties().all(|other| left[one.index()][other.index()] == left[other.index()][one.index()])
    })
}

fn answer(decision: Option<&Decision>) -> &'static str {
    match decision.map(|decision| &decision.outcome) {
        Some(Answer::Approve { .. }) => "an approval",
        Some(Answer::Decline(_)) => "a decline",
        Some(Answer::Refer(_)) => "a referral",
        None => "nothing",
    }
}

/// The first problems, and how many more there are.
fn shorten(problems: &[String]) -> String {
    const SHOWN: usize = 3;
    let shown = problems[..problems.len().min(SHOWN)].join("; ");
    match problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}

/// True if an application that waits on after a decision waits for those that referred it and have
/// not decided, and no longer than before.
fn waits_on(before: &Decided, decided: &Decided) -> bool {
    let Verdict::Referred(left, until) = &decided.verdict else {
        return true;
    };
    decided.referring().eq(left.iter().copied())
        && matches!(&before.verdict, Verdict::Referred(_, known) if known == until)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::sample;
    use tandem_domain::loan::{Action, Sale, Transaction};
    use tandem_domain::money::Rate;
    use tandem_journal::{BookName, Journal, JournalError, Memory};

    /// The sample's journal after an edit of its batches.
    fn edited(edit: impl FnOnce(&mut Memory)) -> Journal<Memory> {
        let mut memory = Memory::new(BookName::new("orchard").unwrap());
        let mut engine = sample::engine();
        let journal = engine.journal();
        let copy = |batch: &tandem_journal::Batch| {
            memory.batches.push(batch.clone());
            Ok::<_, JournalError>(())
        };
        journal.read(journal.genesis(), copy).unwrap();
        edit(&mut memory);
        Journal::open(memory).unwrap()
    }

    fn verified(mut journal: Journal<Memory>) -> Outcome<(Vec<Check>, String)> {
        read(&mut journal, &ProgressBar::hidden())
    }

    #[test]
    fn a_sound_book_passes_every_check() {
        let (checks, text) = verified(edited(|_| {})).unwrap();
        assert!(checks.iter().all(|check| check.passed), "{text}");
        let book = sample::engine().book().digest();
        let digest = hex(&book);
        let (rest, last) = text.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(last, format!("digest {digest}"));
        crate::export::tests::golden(rest, "verify");
    }

    #[test]
    fn a_book_in_which_everything_was_done_passes_every_check() {
        for mut engine in [sample::eventful(), sample::referred()] {
            let (checks, text) = read(engine.journal(), &ProgressBar::hidden()).unwrap();
            assert!(checks.iter().all(|check| check.passed), "{text}");
        }
    }

    #[test]
    fn what_a_person_could_not_decide_is_found() {
        type Forgery = fn(&mut Decided);
        let forgeries: [(Forgery, &str); 5] = [
            (
                |decided| decided.values[0] = Value::Number(1),
                "application D-1: a person's decision changed the application itself",
            ),
            (
                |decided| decided.borrower = Some("somebody".to_owned()),
                "application D-1: a person's decision changed the application itself",
            ),
            (
                |decided| decided.verdict = Verdict::Referred(vec![0], None),
                "application D-1: it waits for others, or for longer, than is left to people",
            ),
            (
                |decided| {
                    decided.decisions[1].outcome = Answer::Approve {
                        maximum: Amount(1_200_001),
                        rate: Rate::ONE,
                    };
                },
                "application D-1, lender river-bank: a person approved more than its policy",
            ),
            (
                |decided| decided.decisions[0].outcome = Answer::Decline(vec![0]),
                "application D-1: a person changed what other lenders had decided",
            ),
        ];
        for (forge, expected) in forgeries {
            let journal = forged_of(&mut sample::referred(), 8, |events| {
                let decided = events.iter_mut().find_map(|event| match event {
                    Event::Underwritten { decided, .. } => Some(decided),
                    _ => None,
                });
                forge(decided.expect("a person's decision"));
            });
            let (_, text) = verified(journal).unwrap();
            assert!(text.contains(expected), "{text}");
        }
    }

    /// The sample's journal with the first `keep` events after an edit of them, under a chain of
    /// hashes that is whole: what somebody who runs the book could write.
    fn forged(keep: usize, edit: impl FnOnce(&mut Vec<Event>)) -> Journal<Memory> {
        forged_of(&mut sample::engine(), keep, edit)
    }

    fn forged_of(
        engine: &mut tandem_engine::Engine<Memory>,
        keep: usize,
        edit: impl FnOnce(&mut Vec<Event>),
    ) -> Journal<Memory> {
        let mut events: Vec<Event> = Vec::new();
        replay(engine.journal(), &mut |step| {
            events.push(step.event.clone())
        })
        .unwrap();
        events.truncate(keep);
        edit(&mut events);
        let mut journal = Journal::open(Memory::new(BookName::new("orchard").unwrap())).unwrap();
        let mut batch = tandem_journal::BatchBuilder::new();
        for event in events {
            batch.push(&minicbor::to_vec(&event).unwrap()).unwrap();
            journal.append(&mut batch).unwrap();
        }
        journal
    }

    /// What fails in a forged journal.
    fn found(journal: Journal<Memory>) -> String {
        let (checks, _) = verified(journal).unwrap();
        let failed = checks
            .iter()
            .filter(|check| !check.passed)
            .map(ToString::to_string);
        failed.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn a_changed_byte_names_its_batch() {
        let journal = edited(|memory| {
            let body = &mut memory.batches[6].body;
            let middle = body.len() / 2;
            body[middle] ^= 1;
        });
        assert_eq!(
            verified(journal).expect_err("it was changed").0,
            "memory: batch 7 does not match its own hash: it was changed after it was written; \
             do not continue with it: restore the journal from a backup"
        );
    }

    #[test]
    fn a_decision_that_its_policy_did_not_make_is_found() {
        let journal = forged(2, |events| {
            let Event::Decided(decided) = &mut events[1] else {
                panic!("an application")
            };
            decided.decisions[1].outcome = Answer::Decline(vec![0]);
        });
        assert_eq!(
            found(journal),
            "✗ decisions replayed        application A-1, lender river-bank: recorded a decline, but its policy \
             says an approval"
        );
    }

    #[test]
    fn an_offer_above_a_limit_is_found() {
        let journal = forged(2, |events| {
            let Event::Decided(decided) = &mut events[1] else {
                panic!("an application")
            };
            let Verdict::Offered { parts, .. } = &mut decided.verdict else {
                panic!("an offer")
            };
            parts[1].amount = Amount(1_200_001);
        });
        assert_eq!(
            found(journal),
            "✗ limits kept               clause 7.1: application A-1 brings 12,000.01 CNY, above 12,000.00 CNY"
        );
    }

    #[test]
    fn a_settlement_paid_twice_or_of_the_wrong_amount_is_found() {
        let mut engine = sample::engine();
        let mut keep = 0;
        let mut settled = None;
        replay(engine.journal(), &mut |step| {
            keep += usize::from(settled.is_none());
            if matches!(step.event, Event::Settled { .. }) {
                settled.get_or_insert(step.event.clone());
            }
        })
        .unwrap();
        let twice = forged(keep, |events| events.extend(settled.clone()));
        assert_eq!(
            found(twice),
            "✗ settlements net to zero   window 2024-01-10 was paid twice, or never planned"
        );
        let inflated = forged(keep - 1, |events| {
            let planned = events
                .iter()
                .position(|event| matches!(event, Event::Planned(_)));
            events.truncate(planned.unwrap() + 1);
            let Some(Event::Planned(plan)) = events.last_mut() else {
                panic!("a plan")
            };
            let Plan {
                obligations,
                transfers,
                ..
            } = plan;
            obligations.clone_from(transfers);
            obligations[0].amount += Amount(1);
            transfers[0].amount += Amount(1);
        });
        assert_eq!(
            found(inflated),
            "✗ settlements net to zero   window 2024-01-10: the plan is not what the ledgers came to owe; \
             inter-party accounts differ from open window and plans"
        );
    }

    #[test]
    fn a_verdict_about_lenders_that_are_not_there_is_refused() {
        let part = Part {
            amount: Amount(1),
            rate: Rate::ONE,
        };
        let offered = Verdict::Offered {
            parts: [part].into_iter().collect(),
            rate: Rate::ONE,
            valid_to: "2030-01-01".parse().unwrap(),
        };
        let verdicts = [Verdict::Referred(vec![7], None), offered];
        for (underwritten, expected) in [
            (
                false,
                "decides an application that does not fit its agreement",
            ),
            (
                true,
                "decides an application that does not wait for a person",
            ),
        ] {
            for verdict in &verdicts {
                let journal = forged_of(&mut sample::referred(), 8, |events| {
                    let decided = events.iter_mut().find_map(|event| match event {
                        Event::Decided(decided) if !underwritten => Some(decided),
                        Event::Underwritten { decided, .. } if underwritten => Some(decided),
                        _ => None,
                    });
                    decided.unwrap().verdict = verdict.clone();
                });
                let said = verified(journal).expect_err("there is no such lender").0;
                assert!(said.contains(expected), "{said}");
            }
        }
    }

    #[test]
    fn an_event_about_nothing_is_refused() {
        let journal = forged(usize::MAX, |events| {
            events.push(Event::Disbursed { application: 99 });
        });
        let said = verified(journal)
            .expect_err("there is no such application")
            .0;
        assert!(
            said.contains("an event takes or gives back an offer that does not stand"),
            "{said}"
        );
    }

    #[test]
    fn what_cannot_be_done_to_a_loan_is_refused() {
        let fixed = |day: &str| Event::Fixed {
            index: "LPR1Y".to_owned(),
            day: day.parse().unwrap(),
            rate: Rate(3_450_000),
        };
        let instructed = |number, action| Event::Instructed {
            key: "X".to_owned(),
            body: 0,
            loan: 1,
            transaction: Transaction {
                day: "2024-07-05".parse().unwrap(),
                action,
                number,
            },
            change: Totals::default(),
        };
        let reversed = |loan, number| Event::Reversed {
            key: "X".to_owned(),
            body: 0,
            loan,
            number,
            change: Totals::default(),
        };
        let sale = |seller, buyer| {
            Action::Transfer(Sale {
                seller: PartyId(seller),
                buyer: PartyId(buyer),
                part: Rate::ONE,
                price: Rate::ONE,
            })
        };
        let pause = |cycles| Action::Pause {
            cycles,
            interest: true,
        };
        let unknown = "reverses what was not done to its loan";
        let used = "changes a loan under a number that is not the next";
        let sells = "sells a share between parties that cannot";
        for (events, expected) in [
            (vec![reversed(1, 99)], unknown),
            // It was reversed once already.
            (vec![reversed(1, 1)], unknown),
            (vec![reversed(1, 0)], unknown),
            (vec![reversed(2, 1)], "changes a loan that is not there"),
            (vec![instructed(8, pause(1))], used),
            (vec![instructed(9, pause(0))], "pauses a loan for no time"),
            (vec![instructed(9, sale(3, 0))], sells),
            (vec![instructed(9, sale(0, 200))], sells),
            (
                vec![fixed("2024-08-01"), fixed("2024-08-01")],
                "fixes a reference rate for a day before one that is known",
            ),
        ] {
            let mut engine = sample::eventful();
            let journal = forged_of(&mut engine, usize::MAX, |known| known.extend(events));
            let said = verified(journal).expect_err("it is impossible").0;
            assert!(said.contains(&format!("an event {expected};")), "{said}");
        }
        let journal = forged_of(&mut sample::eventful(), usize::MAX, |known| {
            known.push(reversed(1, 8));
        });
        let said = verified(journal).expect_err("it changes more").0;
        assert!(
            said.contains("loan C-2 changes otherwise than recorded"),
            "{said}"
        );
    }

    #[test]
    fn what_the_day_close_recorded_must_come_out() {
        let journal = forged(usize::MAX, |events| {
            let close = events.iter_mut().find_map(|event| match event {
                Event::DayClosed(close) => Some(close),
                _ => None,
            });
            close.unwrap().digest[0] ^= 1;
        });
        let said = verified(journal).expect_err("it differs").0;
        assert!(
            said.contains("closing 2024-01-10 gives other digest than recorded"),
            "{said}"
        );
    }
}
