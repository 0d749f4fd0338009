//! Who is shown what of an event.
//!
//! The journal keeps events in parts, so that each party can be shown its own and no more. Here
//! stands where the parts of each kind of event lie and for whom they are; `docs/spec/view.md` has
//! it as a table.

use std::collections::BTreeMap;
use std::convert::Infallible;

use minicbor::{Decoder, Encoder};
use tandem_domain::agreement::{Agreement, Earner, FeeTerms, LimitScope};
use tandem_domain::book::{Book, Decided, Event, Sliced, Verdict};
use tandem_domain::loan::Action;
use tandem_domain::packed::Cbor;
use tandem_domain::party::PartyId;
use tandem_domain::policy::Policy;
use tandem_journal::{KnownParts, Readers};

/// A set of parties, one bit for each place in the agreement.
pub type Parties = u8;

/// The set with one party; empty if no agreement can have it.
pub fn only(party: PartyId) -> Parties {
    (1 as Parties).checked_shl(party.0.into()).unwrap_or(0)
}

/// What must be remembered of a book to know who is shown its next event.
#[derive(Clone, Debug, Default)]
pub struct Disclosure {
    versions: Vec<Seen>,
    /// Whom each application concerns, by place.
    applications: Vec<Parties>,
    /// Whom each loan concerns, by place.
    loans: Vec<Parties>,
}

/// Who may see what under one version of the agreement.
#[derive(Clone, Debug)]
struct Seen {
    /// Fields next to each other that the same parties may see: how many, and who. None stands
    /// for all.
    runs: Vec<(usize, Option<Parties>)>,
    /// In leftover order.
    lenders: Vec<Parties>,
    /// Whom a loan concerns whoever holds it.
    roles: Parties,
    /// Whom a slice of each limit concerns: the lender that it binds; if it binds all, every party,
    /// but nobody if it is for each borrower, whose key is not for all.
    limits: Vec<Parties>,
}

impl Seen {
    fn of(agreement: &Agreement) -> Seen {
        let everybody = agreement.file.party.len();
        let seen_by = |place: usize| {
            let parties = agreement.parties();
            let seeing = parties.filter(|(_, party)| agreement.may_see(&party.id, place));
            let (count, seeing) = seeing.fold((0, 0), |(count, set), (party, _)| {
                (count + 1, set | only(party))
            });
            (count < everybody).then_some(seeing)
        };
        let fields: Vec<_> = (0..agreement.scope.fields.len()).map(seen_by).collect();
        let runs = fields.chunk_by(|a, b| a == b);
        Seen {
            runs: runs.map(|run| (run.len(), run[0])).collect(),
            lenders: agreement
                .lenders
                .iter()
                .map(|&lender| only(lender))
                .collect(),
            roles: roles(agreement),
            limits: limits(agreement),
        }
    }

    /// Number of an application's values.
    fn values(&self) -> usize {
        self.runs.iter().map(|(count, _)| count).sum()
    }

    /// Whom an application concerns.
    fn concerned(&self, decided: &Decided) -> Parties {
        let Verdict::Offered { parts, .. } = &decided.verdict else {
            return 0;
        };
        let lenders = self.lenders.iter().zip(parts);
        let lenders = lenders.filter(|(_, part)| part.amount.is_positive());
        lenders.fold(self.roles, |set, (&lender, _)| set | lender)
    }
}

/// The parties that a loan concerns whoever holds it: they service it, guarantee it, bear its
/// credits, or are paid for it.
fn roles(agreement: &Agreement) -> Parties {
    let fees = &agreement.loan_fees;
    let in_life = [fees.late, fees.instalment, fees.prepayment, fees.collection];
    let earner = |fee: &FeeTerms| match fee.earner {
        Earner::Party(party) => Some(party),
        Earner::Lenders => None,
    };
    let fees = agreement.disbursement_fees.iter();
    let earners = fees.chain(in_life.iter().flatten()).filter_map(earner);
    let parties = [agreement.servicer, agreement.goodwill].into_iter();
    let parties = parties.chain(agreement.guarantor);
    let parties = parties.chain(agreement.service_fee.map(|(party, _)| party));
    parties
        .chain(earners)
        .fold(0, |set, party| set | only(party))
}

fn limits(agreement: &Agreement) -> Vec<Parties> {
    let limits = agreement.file.limit.iter().zip(&agreement.limit_lenders);
    let concerned = limits.map(|(limit, lender)| match (lender, limit.per) {
        (Some(lender), _) => only(agreement.lenders[*lender]),
        (None, LimitScope::Borrower) => 0,
        (None, _) => Parties::MAX,
    });
    concerned.collect()
}

impl Disclosure {
    /// Remembers what an event says, before it is encoded.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Signed { documents, .. } => {
                let agreement = Agreement::parse(&documents.agreement);
                self.versions.extend(agreement.iter().map(Seen::of));
            }
            Event::Decided(decided) => {
                let seen = self.versions.get(usize::from(decided.version));
                let parties = seen.map_or(0, |seen| seen.concerned(decided));
                self.applications.push(parties);
            }
            Event::Underwritten {
                application,
                decided,
                ..
            } => {
                let seen = self.versions.get(usize::from(decided.version));
                let parties = seen.map_or(0, |seen| seen.concerned(decided));
                if let Some(concerned) = self.applications.get_mut(*application as usize) {
                    *concerned = parties;
                }
            }
            Event::Disbursed { application } => {
                let parties = self.application(*application);
                self.loans.push(parties);
            }
            Event::Instructed {
                loan, transaction, ..
            } => {
                if let Action::Transfer(sale) = transaction.action
                    && let Some(parties) = self.loans.get_mut(*loan as usize)
                {
                    *parties |= only(sale.buyer);
                }
            }
            _ => {}
        }
    }

    /// What is remembered of applications and loans, as bytes for a snapshot: their number, in
    /// eight bytes, then a byte for each application and a byte for each loan.
    pub fn places(&self) -> Vec<u8> {
        let applications = self.applications.len() as u64;
        [
            &applications.to_le_bytes(),
            self.applications.as_slice(),
            &self.loans,
        ]
        .concat()
    }

    /// What is remembered of a book, with what [`Disclosure::places`] gave when it was as it is
    /// now; none if they do not fit each other.
    pub fn restore_places(book: &Book, places: &[u8]) -> Option<Disclosure> {
        let (applications, rest) = places.split_first_chunk()?;
        let applications = usize::try_from(u64::from_le_bytes(*applications)).ok()?;
        let (applications, loans) = rest.split_at_checked(applications)?;
        let versions = book.versions().iter();
        let fits =
            (applications.len(), loans.len()) == (book.application_count(), book.loan_count());
        fits.then(|| Disclosure {
            versions: versions
                .map(|version| Seen::of(&version.agreement))
                .collect(),
            applications: applications.to_vec(),
            loans: loans.to_vec(),
        })
    }

    /// Counts an application that is not shown.
    pub fn pass_application(&mut self) {
        self.applications.push(0);
    }

    /// Counts a loan that is not shown.
    pub fn pass_loan(&mut self) {
        self.loans.push(0);
    }

    /// How many applications there are.
    pub fn applications(&self) -> usize {
        self.applications.len()
    }

    /// Whom an application concerns by its offer.
    pub fn application(&self, place: u32) -> Parties {
        self.applications.get(place as usize).copied().unwrap_or(0)
    }

    /// Whom a loan concerned so far.
    pub fn loan(&self, place: u32) -> Parties {
        self.loans.get(place as usize).copied().unwrap_or(0)
    }

    /// Whom a slice of a limit concerns.
    pub fn slice(&self, sliced: &Sliced) -> Parties {
        let seen = self.versions.get(usize::from(sliced.version));
        let limits = seen.map(|seen| &seen.limits);
        let parties = limits.and_then(|limits| limits.get(usize::from(sliced.limit)));
        parties.copied().unwrap_or(0)
    }

    /// Appends an event as the journal keeps it, and to `parts` where its parts end and who is
    /// shown them.
    ///
    /// # Panics
    ///
    /// When an application was decided under a version that was not observed.
    pub fn encode(&self, event: &Event, body: &mut Vec<u8>, parts: &mut Vec<(usize, Readers)>) {
        let start = body.len();
        let offer = |decided: &Decided| matches!(decided.verdict, Verdict::Offered { .. });
        let seen = |decided: &Decided| &self.versions[usize::from(decided.version)];
        let by = match event {
            Event::Underwritten {
                application,
                lender,
                ..
            } => Some((*application, *lender)),
            _ => None,
        };
        match event {
            Event::Decided(decided) | Event::Underwritten { decided, .. } if offer(decided) => {
                encode_offer(by, decided, seen(decided), body, parts)
                    .expect("encoding into memory cannot fail");
            }
            _ => {
                minicbor::encode(event, Cbor(body)).expect("encoding into memory cannot fail");
                self.cut(event, body, start, parts)
                    .expect("what was encoded can be read");
            }
        }
    }

    /// Finds the parts of an event that was encoded from `start` on.
    fn cut(
        &self,
        event: &Event,
        body: &[u8],
        start: usize,
        parts: &mut Vec<(usize, Readers)>,
    ) -> Result<(), minicbor::decode::Error> {
        let end = body.len();
        let mut d = Decoder::new(&body[start..]);
        // The event itself, and an empty part that tells those whom it concerns that it is there.
        let mut concerning = |concerned| {
            parts.push((end, Readers::Shared));
            parts.push((end, Readers::Only(concerned)));
        };
        match event {
            Event::DayEnded { .. }
            | Event::Settled { .. }
            | Event::Fixed { .. }
            | Event::Withdrawn { .. } => {}
            Event::Decided(_) | Event::Underwritten { .. } | Event::Archived { .. } => {
                parts.push((end, Readers::Only(0)));
            }
            Event::Disbursed { application } => concerning(self.application(*application)),
            Event::Instructed { loan, .. }
            | Event::ChargedOff { loan, .. }
            | Event::Reversed { loan, .. } => concerning(self.loan(*loan)),
            Event::SliceSent(sliced) | Event::SliceReceived(sliced) => {
                concerning(self.slice(sliced))
            }
            Event::Signed { documents, .. } => {
                let agreement = Agreement::parse(&documents.agreement).ok();
                for _ in 0..2 {
                    d.array()?;
                    d.skip()?;
                }
                d.array()?;
                d.skip()?;
                d.array()?;
                parts.push((start + d.position(), Readers::Shared));
                for policy in &documents.policies {
                    d.skip()?;
                    let lender = agreement.as_ref();
                    let lender = lender.and_then(|agreement| lender_of(policy, agreement));
                    let readers = Readers::Only(lender.map_or(0, only));
                    parts.push((start + d.position(), readers));
                }
                parts.push((end, Readers::Shared));
            }
            Event::Planned(plan) => {
                d.array()?;
                d.skip()?;
                d.array()?;
                d.array()?;
                d.skip()?;
                d.skip()?;
                for rows in [&plan.obligations, &plan.transfers] {
                    d.array()?;
                    parts.push((start + d.position(), Readers::Shared));
                    for row in rows {
                        d.skip()?;
                        let readers = Readers::Only(only(row.from) | only(row.to));
                        parts.push((start + d.position(), readers));
                    }
                }
            }
            Event::Adjusted {
                interest,
                allowance,
            } => {
                d.array()?;
                d.skip()?;
                d.array()?;
                for amounts in [interest, allowance] {
                    d.array()?;
                    parts.push((start + d.position(), Readers::Shared));
                    for place in 0..amounts.len() {
                        d.skip()?;
                        let party = PartyId(u8::try_from(place).unwrap_or(u8::MAX));
                        parts.push((start + d.position(), Readers::Only(only(party))));
                    }
                }
            }
            Event::DayClosed(_) => {
                d.array()?;
                d.skip()?;
                d.array()?;
                d.array()?;
                d.skip()?;
                parts.push((start + d.position(), Readers::Shared));
                parts.push((end, Readers::Only(0)));
            }
        }
        Ok(())
    }

    /// Restores an event from the parts of it that `reader` knows. The error says what is wrong:
    /// it is no event, or its parts are not those of such an event for that reader.
    pub fn restore(&mut self, known: &KnownParts<'_>, reader: Parties) -> Result<Event, String> {
        let unreadable = |error: minicbor::decode::Error| error.to_string();
        let shared = known
            .shared
            .as_ref()
            .ok_or("it is to be shown to this party, but is left out")?;
        let standins = self
            .standins(shared, &known.addressed)
            .map_err(unreadable)?;
        let standins = (0..)
            .zip(&standins)
            .map(|(place, bytes)| (place, bytes.as_slice()));
        let mut all: BTreeMap<u32, &[u8]> = standins.collect();
        all.extend(shared);
        all.extend(&known.addressed);
        let bytes = all.values().copied().collect::<Vec<_>>().concat();
        let mut event: Event = minicbor::decode(&bytes).map_err(unreadable)?;
        if let Event::Decided(decided) | Event::Underwritten { decided, .. } = &event {
            let seen = self.versions.get(usize::from(decided.version));
            let expected = seen.map(|seen| (seen.values(), seen.lenders.len()));
            if expected != Some((decided.values.len(), decided.decisions.len())) {
                return Err("it does not fit its agreement".to_owned());
            }
        }
        self.observe(&event);
        let (mut again, mut parts) = (Vec::new(), Vec::new());
        self.encode(&event, &mut again, &mut parts);
        if parts.is_empty() {
            parts.push((again.len(), Readers::Shared));
        }
        let mut from = 0;
        let mut fits = again == bytes;
        for (place, (to, readers)) in (0..).zip(parts) {
            let part = Some(&again[from..to]);
            let (in_shared, in_addressed) = match readers {
                Readers::Shared => (part, None),
                Readers::Only(set) if set & reader != 0 => (None, part),
                Readers::Only(_) => (None, None),
            };
            fits &= shared.get(&place).copied() == in_shared;
            fits &= known.addressed.get(&place).copied() == in_addressed;
            all.remove(&place);
            from = to;
        }
        if !fits || !all.is_empty() {
            return Err("what is shown of it is not what this party is to be shown".to_owned());
        }
        if let Event::Planned(plan) = &mut event {
            for rows in [&mut plan.obligations, &mut plan.transfers] {
                rows.retain(|row| row.from != row.to);
            }
        }
        Ok(event)
    }

    /// What stands in for parts that are not known, by their place: policies that never offer,
    /// missing values, no decisions, rows of nothing.
    fn standins(
        &self,
        shared: &BTreeMap<u32, &[u8]>,
        addressed: &BTreeMap<u32, &[u8]>,
    ) -> Result<Vec<Vec<u8>>, minicbor::decode::Error> {
        /// Between parties that there cannot be.
        const NO_ROW: [u8; 6] = [0x83, 0x18, 0xff, 0x18, 0xff, 0];
        /// No score; declined without a reason.
        const NO_DECISION: [u8; 6] = [0x82, 0xf6, 0x82, 0x01, 0x81, 0x80];
        let part = |place: usize| shared.get(&(place as u32)).copied().unwrap_or_default();
        // A part that ends with the head of a list is followed by a part for each of its items.
        let items = |d: &mut Decoder<'_>| -> Result<usize, minicbor::decode::Error> {
            let count = d.array()?.unwrap_or_default();
            let possible = count <= (2 * PartyId::ALL.len() * PartyId::ALL.len()) as u64;
            Ok(if possible { count as usize } else { 0 })
        };
        let mut d = Decoder::new(part(0));
        d.array()?;
        let mut standins = vec![Vec::new()];
        match d.u8()? {
            0 => {
                d.array()?;
                d.skip()?;
                d.array()?;
                if let Ok(agreement) = Agreement::parse(d.str()?) {
                    let known = |place| addressed.get(&place).copied();
                    let places = 1..=items(&mut d)? as u32;
                    let shown = places.clone().filter_map(known);
                    let shown = shown.filter_map(|policy| {
                        lender_of(Decoder::new(policy).str().ok()?, &agreement)
                    });
                    let shown = shown.fold(0, |set, lender| set | only(lender));
                    let lenders = agreement.lenders.iter();
                    let mut others = lenders.filter(|lender| shown & only(**lender) == 0);
                    standins.extend(places.map(|place| {
                        let other = known(place).is_none().then(|| others.next()).flatten();
                        other.map_or(Vec::new(), |&lender| no_policy(&agreement.party(lender).id))
                    }));
                }
            }
            kind @ (1 | 16) => {
                // Whose person decided: a lender that there cannot be.
                if kind == 16 {
                    standins.extend([vec![0x18, 0xff], Vec::new()]);
                }
                let mut d = Decoder::new(part(standins.len() + 1));
                d.skip()?;
                standins.push(vec![0]);
                if let Some(seen) = self.versions.get(usize::from(d.u16()?)) {
                    standins.extend(seen.runs.iter().map(|(count, _)| vec![0xf6; *count]));
                    let lenders = seen.lenders.len();
                    standins.push(vec![0x80 | lenders as u8]);
                    standins.extend(vec![NO_DECISION.to_vec(); lenders]);
                    standins.push(vec![0x80]);
                }
            }
            8 => {
                d.array()?;
                d.array()?;
                d.skip()?;
                d.skip()?;
                standins.resize(items(&mut d)? + 1, NO_ROW.to_vec());
                let transfers = items(&mut Decoder::new(part(standins.len())))?;
                standins.push(Vec::new());
                standins.extend(vec![NO_ROW.to_vec(); transfers]);
            }
            9 => {
                d.array()?;
                standins.resize(items(&mut d)? + 1, vec![0]);
                let allowance = items(&mut Decoder::new(part(standins.len())))?;
                standins.push(Vec::new());
                standins.extend(vec![vec![0]; allowance]);
            }
            10 => {
                let mut rest = vec![0, 0, 0x80, 0, 0x58, 32];
                rest.resize(rest.len() + 32, 0);
                standins.push(rest);
            }
            _ => {}
        }
        Ok(standins)
    }
}

/// Encodes an offer, which is what is most often written, piece by piece: the same bytes as its
/// encoding as a whole has. `by` is the place of an application that waited for a person, and that of
/// the lender whose person decided.
fn encode_offer(
    by: Option<(u32, u8)>,
    decided: &Decided,
    seen: &Seen,
    body: &mut Vec<u8>,
    parts: &mut Vec<(usize, Readers)>,
) -> Result<(), minicbor::encode::Error<Infallible>> {
    let concerned = seen.concerned(decided);
    let mut e = Encoder::new(Cbor(body));
    let mut end = |e: &Encoder<Cbor<'_>>, readers| parts.push((e.writer().0.len(), readers));
    match by {
        None => e.array(2)?.u8(1)?.array(1)?,
        Some((application, lender)) => {
            e.array(2)?.u8(16)?.array(3)?.u32(application)?;
            end(&e, Readers::Shared);
            // Whom the others need a person's word of is not theirs to know.
            let own = seen.lenders.get(usize::from(lender)).copied();
            e.u8(lender)?;
            end(&e, Readers::Only(own.unwrap_or(0) & concerned));
            &mut e
        }
    };
    e.array(8)?.str(&decided.key)?;
    end(&e, Readers::Shared);
    // From the digest of all values one could find out those that one may not see.
    e.u64(decided.body)?;
    end(&e, Readers::Only(0));
    e.encode(&decided.borrower)?.u16(decided.version)?;
    e.array(decided.values.len() as u64)?;
    let mut values = decided.values.iter();
    for &(count, parties) in &seen.runs {
        for value in values.by_ref().take(count) {
            e.encode(value)?;
        }
        let only = |parties| Readers::Only(parties & concerned);
        end(&e, parties.map_or(Readers::Shared, only));
    }
    e.array(decided.decisions.len() as u64)?;
    end(&e, Readers::Shared);
    for (decision, &lender) in decided.decisions.iter().zip(&seen.lenders) {
        e.encode(decision)?;
        end(&e, Readers::Only(lender & concerned));
    }
    e.encode(&decided.barred)?;
    end(&e, Readers::Only(0));
    e.encode(&decided.verdict)?;
    end(&e, Readers::Shared);
    // It tells those whom it concerns that it is there.
    end(&e, Readers::Only(concerned));
    Ok(())
}

/// The lender of a policy.
fn lender_of(policy: &str, agreement: &Agreement) -> Option<PartyId> {
    let policy = Policy::parse(policy, agreement).ok()?;
    agreement.party_id(&policy.file.lender)
}

/// A policy of a lender whose own is not shown: it never offers.
fn no_policy(lender: &str) -> Vec<u8> {
    let text = format!(
        "format = 1\nversion = \"not shown\"\nlender = \"{lender}\"\noffer = []\n\
         no_offer = {{ code = \"not_shown\", reason = \"The policy is not shown.\" }}\n"
    );
    minicbor::to_vec(text).expect("encoding into memory cannot fail")
}
