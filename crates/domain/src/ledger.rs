//! A double-entry ledger for every party.
//!
//! All ledgers are fed by the same entries. What one party owes another is written in both
//! ledgers at once, so the two inter-party accounts are always each other's mirror.

use std::fmt;

use crate::calendar::Day;
use crate::money::Amount;
use crate::packed::{Damaged, Reader, put, put_row};
use crate::party::{MAX_PARTIES, PartyId};

/// An account of a party's chart of accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Account {
    /// Money at the bank: where disbursements, collections and settlements go through.
    Settlement,
    /// Principal outstanding.
    Loans,
    /// Interest accrued and not yet received.
    InterestReceivable,
    /// What was paid for bought loans beyond (or, negative, below) their principal and is not
    /// yet income.
    LoanPremium,
    /// Expected credit losses, held against loans (a credit balance).
    LossAllowance,
    /// What another party owes this one until it is settled.
    DueFrom(PartyId),
    /// What this party owes another until it is settled.
    DueTo(PartyId),
    /// Money of borrowers held for their coming instalments or to be refunded.
    CustomerFunds,
    /// Interest earned.
    InterestIncome,
    /// Fees earned from borrowers.
    FeeIncome,
    /// Penalty interest earned.
    PenaltyIncome,
    /// Service fees earned from lenders.
    ServiceFeeIncome,
    /// Collected on loans written off.
    RecoveryIncome,
    /// Gains (or, as debits, losses) on shares of loans that were sold.
    SaleGain,
    /// Service fees paid to the platform.
    ServiceFeeExpense,
    /// Additions to the loss allowance.
    ImpairmentLoss,
    /// Compensation paid under a guarantee.
    GuaranteeExpense,
    /// Credits given to borrowers out of goodwill.
    GoodwillExpense,
}

/// Number of places that the accounts of one party take.
const PLACES: usize = 16 + 2 * MAX_PARTIES;

impl Account {
    /// Every account of a chart with `parties` parties, in the order of the chart.
    pub fn chart(parties: usize) -> impl Iterator<Item = Account> {
        let counterparties = move || (0..parties as u8).map(PartyId);
        [
            Account::Settlement,
            Account::Loans,
            Account::InterestReceivable,
            Account::LoanPremium,
            Account::LossAllowance,
        ]
        .into_iter()
        .chain(counterparties().map(Account::DueFrom))
        .chain(counterparties().map(Account::DueTo))
        .chain([
            Account::CustomerFunds,
            Account::InterestIncome,
            Account::FeeIncome,
            Account::PenaltyIncome,
            Account::ServiceFeeIncome,
            Account::RecoveryIncome,
            Account::SaleGain,
            Account::ServiceFeeExpense,
            Account::ImpairmentLoss,
            Account::GuaranteeExpense,
            Account::GoodwillExpense,
        ])
    }

    /// Number in the chart of accounts: 1 assets, 2 liabilities, 4 income, 5 expenses. The last
    /// digit of an inter-party account is the counterparty's place in the agreement.
    pub fn number(self) -> u16 {
        match self {
            Account::Settlement => 1010,
            Account::Loans => 1310,
            Account::InterestReceivable => 1320,
            Account::LoanPremium => 1330,
            Account::LossAllowance => 1390,
            Account::DueFrom(party) => 1500 + u16::from(party.0) + 1,
            Account::DueTo(party) => 2500 + u16::from(party.0) + 1,
            Account::CustomerFunds => 2110,
            Account::InterestIncome => 4010,
            Account::FeeIncome => 4020,
            Account::PenaltyIncome => 4030,
            Account::ServiceFeeIncome => 4040,
            Account::RecoveryIncome => 4050,
            Account::SaleGain => 4060,
            Account::ServiceFeeExpense => 5010,
            Account::ImpairmentLoss => 5020,
            Account::GuaranteeExpense => 5030,
            Account::GoodwillExpense => 5040,
        }
    }

    /// Name without the counterparty.
    pub fn name(self) -> &'static str {
        match self {
            Account::Settlement => "settlement account",
            Account::Loans => "loans",
            Account::InterestReceivable => "interest receivable",
            Account::LoanPremium => "loan premium",
            Account::LossAllowance => "loss allowance",
            Account::DueFrom(_) => "due from",
            Account::DueTo(_) => "due to",
            Account::CustomerFunds => "customer funds",
            Account::InterestIncome => "interest income",
            Account::FeeIncome => "fee income",
            Account::PenaltyIncome => "penalty income",
            Account::ServiceFeeIncome => "service fee income",
            Account::RecoveryIncome => "recovery income",
            Account::SaleGain => "gain on sale",
            Account::ServiceFeeExpense => "service fee expense",
            Account::ImpairmentLoss => "impairment loss",
            Account::GuaranteeExpense => "guarantee expense",
            Account::GoodwillExpense => "goodwill expense",
        }
    }

    /// The class of the account as plain-text accounting programs name it.
    pub fn class(self) -> &'static str {
        match self.number() / 1000 {
            1 => "assets",
            2 => "liabilities",
            4 => "income",
            _ => "expenses",
        }
    }

    /// The other party of an inter-party account.
    pub fn counterparty(self) -> Option<PartyId> {
        match self {
            Account::DueFrom(party) | Account::DueTo(party) => Some(party),
            _ => None,
        }
    }

    fn place(self) -> usize {
        match self {
            Account::Settlement => 0,
            Account::Loans => 1,
            Account::InterestReceivable => 2,
            Account::LossAllowance => 3,
            Account::CustomerFunds => 4,
            Account::InterestIncome => 5,
            Account::FeeIncome => 6,
            Account::PenaltyIncome => 7,
            Account::ServiceFeeIncome => 8,
            Account::RecoveryIncome => 9,
            Account::ServiceFeeExpense => 10,
            Account::ImpairmentLoss => 11,
            Account::GuaranteeExpense => 12,
            Account::LoanPremium => 13,
            Account::SaleGain => 14,
            Account::GoodwillExpense => 15,
            Account::DueFrom(party) => 16 + party.index(),
            Account::DueTo(party) => 16 + MAX_PARTIES + party.index(),
        }
    }
}

/// One line of an entry: a debit if positive, a credit if negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Posting {
    /// In whose ledger.
    pub party: PartyId,
    /// On which account.
    pub account: Account,
    /// Debit positive, credit negative.
    pub amount: Amount,
}

/// Why an entry was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EntryKind {
    /// Money went out to a borrower.
    Disbursement,
    /// A borrower's payment was allocated.
    Repayment,
    /// Money held for a borrower was allocated when an instalment fell due.
    AdvanceApplied,
    /// A loan was written off, in whole or in part, and the guarantee called.
    ChargeOff,
    /// Money came in on a loan written off.
    Recovery,
    /// A merchant's refund was allocated.
    Refund,
    /// A payment was taken back by the payer's bank.
    Chargeback,
    /// A credit out of goodwill was allocated.
    Credit,
    /// Something that was due was given up, or a loan's plan was changed.
    Modification,
    /// A lender's share was sold.
    Transfer,
    /// An instruction was reversed.
    Reversal,
    /// Interest of a day.
    Accrual,
    /// Change of expected credit losses of a day.
    Impairment,
    /// A settlement window was paid.
    Settlement,
}

impl EntryKind {
    /// Stable name in exports.
    pub fn name(self) -> &'static str {
        match self {
            EntryKind::Disbursement => "disbursement",
            EntryKind::Repayment => "repayment",
            EntryKind::AdvanceApplied => "advance applied",
            EntryKind::ChargeOff => "charge-off",
            EntryKind::Recovery => "recovery",
            EntryKind::Refund => "refund",
            EntryKind::Chargeback => "chargeback",
            EntryKind::Credit => "goodwill credit",
            EntryKind::Modification => "modification",
            EntryKind::Transfer => "transfer",
            EntryKind::Reversal => "reversal",
            EntryKind::Accrual => "interest accrual",
            EntryKind::Impairment => "impairment",
            EntryKind::Settlement => "settlement",
        }
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Postings that belong together; they balance for each party by itself.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Number of the entry in the book, from 1.
    pub number: u64,
    /// Business date.
    pub day: Day,
    /// Why it was made.
    pub kind: EntryKind,
    /// The loan it is about (its place in the book); entries of a day's totals have none.
    pub loan: Option<u32>,
    /// The lines.
    pub postings: Vec<Posting>,
}

/// Balances of one party.
type Balances = [Amount; PLACES];

/// What each party owes each other: `[debtor][creditor]`.
pub type Obligations = [[Amount; MAX_PARTIES]; MAX_PARTIES];

/// The ledgers of all parties.
#[derive(Clone, Debug)]
pub struct Ledgers {
    balances: [Balances; MAX_PARTIES],
    /// What came to be owed since the last settlement window was closed.
    pub window: Obligations,
    /// The entry being written; between entries, the last one.
    entry: Entry,
}

impl Default for Ledgers {
    fn default() -> Self {
        Ledgers {
            balances: [[Amount::ZERO; PLACES]; MAX_PARTIES],
            window: Obligations::default(),
            entry: Entry {
                number: 0,
                day: Day(0),
                kind: EntryKind::Disbursement,
                loan: None,
                postings: Vec::new(),
            },
        }
    }
}

impl Ledgers {
    /// Starts an entry.
    pub fn begin(&mut self, day: Day, kind: EntryKind, loan: Option<u32>) {
        self.entry.day = day;
        self.entry.kind = kind;
        self.entry.loan = loan;
        self.entry.postings.clear();
    }

    /// Adds a debit (positive) or credit (negative) to the entry; zero adds nothing.
    pub fn post(&mut self, party: PartyId, account: Account, amount: Amount) {
        if !amount.is_zero() {
            self.balances[party.index()][account.place()] += amount;
            self.entry.postings.push(Posting {
                party,
                account,
                amount,
            });
        }
    }

    /// Writes in both ledgers that `debtor` owes `creditor`. A negative amount takes back: what
    /// was owed may be settled by now, so the creditor owes it. A party owes itself nothing.
    pub fn owe(&mut self, debtor: PartyId, creditor: PartyId, amount: Amount) {
        if amount < Amount::ZERO {
            self.owe(creditor, debtor, -amount);
        } else if debtor != creditor && !amount.is_zero() {
            self.post(debtor, Account::DueTo(creditor), -amount);
            self.post(creditor, Account::DueFrom(debtor), amount);
            self.window[debtor.index()][creditor.index()] += amount;
        }
    }

    /// Ends the entry and hands it out; none if nothing was posted.
    pub fn end(&mut self) -> Option<&Entry> {
        if self.entry.postings.is_empty() {
            return None;
        }
        debug_assert!(self.entry.is_balanced(), "{:?}", self.entry);
        self.entry.number += 1;
        Some(&self.entry)
    }

    /// Appends balances, open window and the number of entries.
    pub fn pack(&self, out: &mut Vec<u8>) {
        for balances in &self.balances {
            put_row(out, balances.map(|amount| amount.0));
        }
        for owed in &self.window {
            put_row(out, owed.map(|amount| amount.0));
        }
        put(out, self.entry.number as i64);
    }

    /// Reads what [`Ledgers::pack`] wrote.
    pub fn unpack(&mut self, from: &mut Reader<'_>) -> Result<(), Damaged> {
        for balances in &mut self.balances {
            *balances = from.row()?.map(Amount);
        }
        for owed in &mut self.window {
            *owed = from.row()?.map(Amount);
        }
        self.entry.number = from.small()?;
        Ok(())
    }

    /// Balance of an account: debit positive, credit negative.
    pub fn balance(&self, party: PartyId, account: Account) -> Amount {
        self.balances[party.index()][account.place()]
    }

    /// Number of entries so far.
    pub fn entries(&self) -> u64 {
        self.entry.number
    }

    /// All balances in a fixed order, for a digest.
    pub fn all_balances(&self) -> impl Iterator<Item = Amount> {
        self.balances.iter().flatten().copied()
    }

    /// The parties whose ledger does not sum to zero, with the surplus of debits.
    pub fn unbalanced(&self) -> impl Iterator<Item = (PartyId, Amount)> {
        self.balances
            .iter()
            .enumerate()
            .map(|(index, balances)| (PartyId(index as u8), balances.iter().copied().sum()))
            .filter(|(_, sum): &(PartyId, Amount)| !sum.is_zero())
    }

    /// Pairs (creditor, debtor) whose inter-party accounts are not each other's mirror.
    pub fn unmirrored(&self) -> impl Iterator<Item = (PartyId, PartyId)> {
        let parties = || (0..MAX_PARTIES as u8).map(PartyId);
        parties()
            .flat_map(move |creditor| parties().map(move |debtor| (creditor, debtor)))
            .filter(|&(creditor, debtor)| {
                let claim = self.balance(creditor, Account::DueFrom(debtor));
                let debt = self.balance(debtor, Account::DueTo(creditor));
                !(claim + debt).is_zero()
            })
    }
}

impl Entry {
    /// True if debits equal credits for every party.
    pub fn is_balanced(&self) -> bool {
        let mut sums = [Amount::ZERO; MAX_PARTIES];
        for posting in &self.postings {
            sums[posting.party.index()] += posting.amount;
        }
        sums.iter().all(|sum| sum.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANK: PartyId = PartyId(0);
    const PLATFORM: PartyId = PartyId(1);

    #[test]
    fn what_is_owed_stands_in_both_ledgers() {
        let mut ledgers = Ledgers::default();
        ledgers.begin(Day(0), EntryKind::Disbursement, Some(0));
        ledgers.post(BANK, Account::Loans, Amount(700));
        ledgers.owe(BANK, PLATFORM, Amount(700));
        ledgers.post(PLATFORM, Account::Settlement, Amount(-700));
        let entry = ledgers.end().expect("there are postings");
        assert!(entry.is_balanced());
        assert_eq!((entry.number, entry.postings.len()), (1, 4));
        assert_eq!(
            ledgers.balance(PLATFORM, Account::DueFrom(BANK)),
            Amount(700)
        );
        assert_eq!(ledgers.window[0][1], Amount(700));
        assert_eq!(
            ledgers.unbalanced().count() + ledgers.unmirrored().count(),
            0
        );
    }

    #[test]
    fn an_unbalanced_ledger_and_a_broken_mirror_are_found() {
        let mut ledgers = Ledgers::default();
        ledgers.begin(Day(0), EntryKind::Disbursement, None);
        ledgers.post(BANK, Account::DueFrom(PLATFORM), Amount(5));
        assert_eq!(
            ledgers.unbalanced().collect::<Vec<_>>(),
            [(BANK, Amount(5))]
        );
        assert_eq!(ledgers.unmirrored().collect::<Vec<_>>(), [(BANK, PLATFORM)]);
    }

    #[test]
    fn every_account_has_its_own_place_and_number() {
        let mut places = std::collections::BTreeSet::new();
        let mut numbers = std::collections::BTreeSet::new();
        for account in Account::chart(MAX_PARTIES) {
            assert!(
                account.place() < PLACES && places.insert(account.place()),
                "{account:?}"
            );
            assert!(numbers.insert(account.number()), "{account:?}");
        }
        assert_eq!(places.len(), PLACES);
    }
}
