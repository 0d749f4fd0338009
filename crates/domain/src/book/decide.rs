//! Deciding commands: pure, from the state and the command alone.

use super::command::{
    Application, Command, Documents, LONGEST_TEXT, MOST_DOCUMENTS, MOST_VALUES, Refusal,
};
use super::event::{Decided, DeclineReason, Event, Verdict};
use super::hashes::Hashes;
use super::keys::KeyHash;
use super::{ApplicationState, Book, Loan, Rooms, Version};
use crate::calendar::Day;
use crate::field::Value;
use crate::funding::{self, Bids, LenderParts, Part};
use crate::loan::{Position, Status, Transaction, evaluate};
use crate::money::Amount;
use crate::policy::Outcome;

/// A loan on which an instruction was carried out, and what it stood at before.
pub(super) struct Ready {
    pub(super) loan: Loan,
    pub(super) was: Position,
}

impl Book {
    /// The event that follows from a command, or none if it was carried out before.
    pub(super) fn decide(
        &self,
        command: Command,
        hashes: Hashes,
    ) -> Result<Option<Event>, Refusal> {
        match command {
            Command::Sign(documents) => self.decide_sign(*documents),
            Command::Apply(application) => self.decide_application(*application, hashes),
            Command::Accept { application } => self.decide_accept(&application, hashes.key),
            Command::Underwrite(underwriting) => self.decide_underwriting(underwriting, hashes),
            Command::Withdraw { application } => self.decide_withdraw(&application, hashes.key),
            Command::Reverse { key, of } => self.decide_reversal(key, &of, hashes),
            Command::Fix { index, day, rate } => self.decide_fixing(index, day, rate),
            Command::ChargeOff { application } => self.decide_charge_off(&application),
            Command::Archive(archiving) => self.decide_archive(archiving),
            Command::SendSlice(slice) => self.decide_slice(slice, None),
            Command::ReceiveSlice { slice, sent_on } => self.decide_slice(slice, Some(sent_on)),
            Command::Instruct(_) | Command::CloseDay { .. } | Command::ReplaceLender(_) => {
                unreachable!("execute carries these out")
            }
        }
    }

    /// Why documents would be refused if they were signed now.
    pub fn can_sign(&self, documents: Documents) -> Result<(), Refusal> {
        self.decide_sign(documents).map(drop)
    }

    fn decide_sign(&self, documents: Documents) -> Result<Option<Event>, Refusal> {
        let mut versions = self.versions.iter();
        if versions.any(|known| known.documents == documents) {
            return Ok(None);
        }
        let bytes = documents.bytes();
        if bytes > MOST_DOCUMENTS {
            return Err(Refusal::LongDocuments { bytes });
        }
        let version = Version::parse(documents.clone()).map_err(Refusal::InvalidDocuments)?;
        let file = &version.agreement.file;
        if let Some(last) = self.versions.last() {
            let signed = &last.agreement.file;
            if self
                .versions
                .iter()
                .any(|known| known.agreement.file.version == file.version)
            {
                return Err(Refusal::VersionUsed {
                    id: file.id.clone(),
                    version: file.version,
                });
            }
            if file.version != signed.version + 1 {
                return Err(Refusal::VersionOutOfOrder {
                    version: file.version,
                    last: signed.version,
                });
            }
            let parties_kept = signed
                .party
                .iter()
                .zip(&file.party)
                .all(|(old, new)| old.id == new.id)
                && file.party.len() >= signed.party.len();
            for (kept, what) in [
                (file.id == signed.id, "the id has changed"),
                (file.currency == signed.currency, "the currency has changed"),
                (parties_kept, "the parties have changed"),
                (
                    file.effective_from >= signed.effective_from,
                    "it takes effect before the version it follows",
                ),
            ] {
                if !kept {
                    return Err(Refusal::NotAnAmendment(what.to_owned()));
                }
            }
            if let Some(what) = self.changes_sliced(&last.agreement, &version.agreement) {
                return Err(Refusal::NotAnAmendment(what));
            }
        }
        let day = if self.versions.is_empty() {
            file.effective_from
        } else {
            self.business_date
        };
        Ok(Some(Event::Signed { day, documents }))
    }

    fn decide_application(
        &self,
        application: Application,
        hashes: Hashes,
    ) -> Result<Option<Event>, Refusal> {
        check_key(&application.key, APPLICATION_KEY)?;
        if let Some(borrower) = &application.borrower {
            check_key(borrower, APPLICATION_KEY)?;
        }
        let (place, version) = self.current().ok_or(Refusal::NotSigned)?;
        if let Some(known) = self.applications.find_hashed(&application.key, hashes.key) {
            return if self.applications.rows[known as usize].body == hashes.body {
                Ok(None)
            } else {
                Err(Refusal::KeyUsed(application.key))
            };
        }
        if let Some(split) = &version.agreement.file.split {
            let key = application.borrower.as_deref();
            let part = split.part_of(key.unwrap_or(&application.key));
            if part != split.part {
                return Err(Refusal::OtherPart {
                    key: application.key,
                    part,
                    own: split.part,
                });
            }
        }
        let expected = version.agreement.scope.fields.len();
        if application.values.len() != expected
            || application.decisions.len() != version.policies.len()
        {
            return Err(Refusal::WrongValues {
                found: application.values.len(),
                expected,
            });
        }
        let mut bytes = 0;
        let fields = &version.agreement.scope.fields;
        for ((name, _), value) in fields.iter().zip(&application.values) {
            bytes += SURROUND;
            if let Value::Text(text) = value {
                check_text(name, text)?;
                bytes += text.len();
            }
        }
        if bytes > MOST_VALUES {
            return Err(Refusal::LongApplication {
                count: expected,
                bytes,
            });
        }
        for (place, decision) in application.decisions.iter().enumerate() {
            if !decision.is_usable(version.policies[place].reasons.len()) {
                return Err(Refusal::BadDecision(place + 1));
            }
        }
        let mut decided = Decided {
            key: application.key,
            body: hashes.body,
            borrower: application.borrower,
            version: place,
            values: application.values,
            decisions: application.decisions,
            barred: Vec::new(),
            verdict: Verdict::Referred(Vec::new(), None),
        };
        let request = self.request(&decided, hashes)?;
        let judged = self.judge(version, &decided, &request);
        (decided.verdict, decided.barred) = (judged.verdict, judged.barred);
        Ok(Some(Event::Decided(decided)))
    }

    /// What comes of an application by what its lenders decided, and who of them may not lend.
    pub(super) fn judge(
        &self,
        version: &Version,
        application: &Decided,
        request: &Request<'_>,
    ) -> Judged {
        let agreement = &version.agreement;
        let product = &agreement.file.product;
        let declined = |reason| Judged {
            verdict: Verdict::Declined(reason),
            barred: Vec::new(),
            against: None,
        };
        let Some(months) = u16::try_from(request.months)
            .ok()
            .filter(|months| product.terms_months.contains(months))
        else {
            return declined(DeclineReason::Term);
        };
        if request.amount < product.minimum_amount.amount
            || request.amount > product.maximum_amount.amount
        {
            return declined(DeclineReason::Amount);
        }
        if let Some(row) = agreement
            .ineligible
            .iter()
            .position(|row| row.holds(&application.values))
        {
            return declined(DeclineReason::Ineligible(row as u8));
        }
        let mut bids = Bids::default();
        for (place, decision) in application.decisions.iter().enumerate() {
            match decision.outcome {
                Outcome::Approve { maximum, rate } => {
                    bids[place] = Some(Part {
                        amount: maximum,
                        rate,
                    })
                }
                Outcome::Refer(_) | Outcome::Decline(_) => {}
            }
        }
        let (funded, barred) = self.form_funding(version, request, &mut bids);
        // Where the others have fixed yields, the rate is the lead's.
        let funded = funded.filter(|decided| {
            !agreement.has_yields() || decided[agreement.lead].amount.is_positive()
        });
        let mut against = None;
        let verdict = match funded {
            None => self.unfunded(version, application),
            Some(decided) => {
                let verdict = self.price_and_gate(version, request, &decided, months);
                if let Verdict::Offered { rate, .. } = verdict {
                    against = self.against(version, request, &decided, rate, months);
                }
                verdict
            }
        };
        Judged {
            verdict,
            barred,
            against,
        }
    }

    /// The verdict without an offer: it waits for the lenders that leave it to people, or is declined.
    pub(super) fn unfunded(&self, version: &Version, application: &Decided) -> Verdict {
        let left: Vec<u8> = application.referring().collect();
        if left.is_empty() {
            return Verdict::Declined(DeclineReason::Funding);
        }
        let waits = i32::from(version.agreement.file.product.referral_valid_days);
        Verdict::Referred(left, Some(self.business_date.previous() + waits))
    }

    /// The verdict on a loan that the lenders would fund at the rates they decided on.
    fn price_and_gate(
        &self,
        version: &Version,
        request: &Request<'_>,
        decided: &[Part],
        months: u16,
    ) -> Verdict {
        let Some((parts, rate)) = funding::price(&version.agreement, decided) else {
            return Verdict::Declined(DeclineReason::Yields);
        };
        if let Some(clause) = self.loan_clause(version, version, request, decided, rate, months) {
            return Verdict::Declined(DeclineReason::Clause(clause));
        }
        let stands = i32::from(version.agreement.file.product.offer_valid_days);
        Verdict::Offered {
            parts,
            rate,
            valid_to: self.business_date.previous() + stands,
        }
    }

    /// Forms the funding among lenders that the gate lets take part.
    fn form_funding(
        &self,
        version: &Version,
        request: &Request<'_>,
        bids: &mut Bids,
    ) -> (Option<LenderParts>, Vec<super::Barred>) {
        let agreement = &version.agreement;
        let mut barred = Vec::new();
        for (place, bid) in bids.iter_mut().enumerate() {
            if bid.is_none() {
                continue;
            }
            let lender = agreement.lenders[place];
            if let Some(clause) = self.lender_clause(version, request, lender) {
                *bid = None;
                barred.push(super::Barred {
                    lender: place as u8,
                    clause,
                });
            }
        }
        loop {
            let Some(parts) = funding::form(agreement, request.amount, bids) else {
                return (None, barred);
            };
            let over = (0..agreement.lenders.len()).find_map(|place| {
                let lender = agreement.lenders[place];
                let clause = self.part_clause(version, request, lender, parts[place])?;
                Some((place, clause))
            });
            match over {
                Some((place, clause)) => {
                    bids[place] = None;
                    barred.push(super::Barred {
                        lender: place as u8,
                        clause,
                    });
                }
                None => {
                    let priced = (0..agreement.lenders.len()).map(|place| Part {
                        amount: parts[place],
                        rate: bids[place]
                            .filter(|_| parts[place].is_positive())
                            .map_or_else(Default::default, |bid| bid.rate),
                    });
                    return (Some(priced.collect()), barred);
                }
            }
        }
    }

    fn decide_accept(&self, key: &str, hash: KeyHash) -> Result<Option<Event>, Refusal> {
        let application = self.place_hashed(key, hash)?;
        match self.applications.rows[application as usize].state() {
            ApplicationState::Offered => Ok(Some(Event::Disbursed { application })),
            ApplicationState::Disbursed(_) => Ok(None),
            state => Err(Refusal::NoOffer {
                application: key.to_owned(),
                state: state.name(),
            }),
        }
    }

    fn decide_withdraw(&self, key: &str, hash: KeyHash) -> Result<Option<Event>, Refusal> {
        let application = self.place_hashed(key, hash)?;
        match self.applications.rows[application as usize].state() {
            ApplicationState::Offered => Ok(Some(Event::Withdrawn { application })),
            ApplicationState::Referred if self.referral(application).is_some() => {
                Ok(Some(Event::Withdrawn { application }))
            }
            ApplicationState::Withdrawn => Ok(None),
            state => Err(Refusal::NoOffer {
                application: key.to_owned(),
                state: state.name(),
            }),
        }
    }

    fn decide_charge_off(&self, key: &str) -> Result<Option<Event>, Refusal> {
        let place = self.loan_of(key, KeyHash::of(key))?;
        match self.loan_in(place).position.status {
            Status::Active => Ok(Some(self.charge_off(place, false))),
            Status::ChargedOff => Ok(None),
            Status::Repaid => Err(Refusal::LoanRepaid(key.to_owned())),
        }
    }

    pub(super) fn loan_of(&self, application: &str, hash: KeyHash) -> Result<u32, Refusal> {
        let row = self.place_hashed(application, hash)?;
        match self.applications.rows[row as usize].state() {
            ApplicationState::Disbursed(place) if self.is_archived(place) => {
                Err(Refusal::LoanArchived(application.to_owned()))
            }
            ApplicationState::Disbursed(place) => Ok(place),
            state => Err(Refusal::NoLoan {
                application: application.to_owned(),
                state: state.name(),
            }),
        }
    }

    pub(super) fn place_hashed(&self, key: &str, hash: KeyHash) -> Result<u32, Refusal> {
        self.applications
            .find_hashed(key, hash)
            .ok_or_else(|| Refusal::UnknownApplication(key.to_owned()))
    }

    /// True if what is done to a loan on a day is the next step from where it stands.
    pub(super) fn is_next(&self, loan: &Loan, day: Day) -> bool {
        let last = loan.history.last_day();
        last.is_none_or(|last| last <= day) && day >= self.business_date
    }

    /// Carries a transaction out on a loan; what it stood at before.
    pub(super) fn transact(
        &self,
        loan: &mut Loan,
        transaction: Transaction,
        rooms: &mut Rooms,
    ) -> Position {
        let terms = self.terms(loan);
        let was = loan.position.copied(rooms.take());
        if self.is_next(loan, transaction.day) {
            loan.position.transact(&terms, transaction);
        } else {
            let mut history = loan.history.clone();
            history.insert(transaction, None);
            let yesterday = self.business_date.previous();
            loan.position = evaluate(&terms, &history.transactions(), yesterday);
        }
        was
    }
}

/// What an application asks for.
pub(super) struct Request<'a> {
    pub(super) amount: Amount,
    pub(super) months: i64,
    pub(super) region: &'a str,
    /// Place of the region, if it is known.
    pub(super) region_place: Option<u32>,
    /// The borrower, if the application names one; otherwise it is nobody's but its own.
    pub(super) borrower: Option<&'a str>,
    /// Place of the agreement version that governs it.
    pub(super) version: u16,
}

/// What comes of an application.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) barred: Vec<super::Barred>,
    /// If it is an offer: what the agreement in force has against it, where that is another version.
    pub(super) against: Option<String>,
}

impl Book {
    pub(super) fn request<'a>(
        &self,
        application: &'a Decided,
        hashes: Hashes,
    ) -> Result<Request<'a>, Refusal> {
        let number = |place: usize, name| {
            application.values[place]
                .number()
                .ok_or(Refusal::MissingField(name))
        };
        let Value::Text(region) = &application.values[2] else {
            return Err(Refusal::MissingField("region"));
        };
        let amount = Amount(number(0, "amount")?);
        if !amount.is_positive() || amount > Amount::MAX {
            return Err(Refusal::BadAmount);
        }
        Ok(Request {
            amount,
            months: number(1, "term_months")?,
            region,
            region_place: self.region_names.find_hashed(region, hashes.other),
            borrower: application.borrower.as_deref(),
            version: application.version,
        })
    }
}

/// Most characters of a key. An instruction's may be made of its application's and a number.
const APPLICATION_KEY: usize = 64;
pub(super) const INSTRUCTION_KEY: usize = 80;

/// Most bytes that a value takes besides its text: a number or the head of a text, and four bytes
/// that say how long a part of the event is and who is shown it.
const SURROUND: usize = 9 + 4;

pub(super) fn check_text(name: &str, text: &str) -> Result<(), Refusal> {
    match text.len() {
        0..=LONGEST_TEXT => Ok(()),
        bytes => Err(Refusal::LongValue {
            name: name.to_owned(),
            bytes,
        }),
    }
}

pub(super) fn check_key(key: &str, longest: usize) -> Result<(), Refusal> {
    // A key has no more characters than bytes.
    if key.is_empty() || key.len() > longest && key.chars().count() > longest {
        return Err(Refusal::BadKey(key.chars().take(80).collect()));
    }
    Ok(())
}
