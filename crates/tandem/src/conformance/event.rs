//! What can happen to a contract.

use super::number::{Decimal, Time};

/// What happens, in the order in which it does on one day (the specification's event sequence;
/// the exercise of a call comes before the interest that it makes due).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EventKind {
    /// Initial exchange.
    Ied,
    /// Fee payment.
    Fp,
    /// Principal increase.
    Pi,
    /// Principal redemption.
    Pr,
    /// Penalty payment.
    Py,
    /// Principal prepayment.
    Pp,
    /// Exercise.
    Xd,
    /// Interest payment.
    Ip,
    /// Interest capitalisation.
    Ipci,
    /// Rate reset to a known rate.
    Rrf,
    /// Rate reset.
    Rr,
    /// Redemption amount fixing.
    Prf,
    /// Purchase.
    Prd,
    /// Termination.
    Td,
    /// Scaling index fixing.
    Sc,
    /// Interest calculation base fixing.
    Ipcb,
    /// Maturity.
    Md,
    /// Settlement.
    Std,
}

impl EventKind {
    /// The event's name in ACTUS.
    pub(super) fn name(self) -> &'static str {
        match self {
            EventKind::Ied => "IED",
            EventKind::Fp => "FP",
            EventKind::Pi => "PI",
            EventKind::Pr => "PR",
            EventKind::Py => "PY",
            EventKind::Pp => "PP",
            EventKind::Xd => "XD",
            EventKind::Ip => "IP",
            EventKind::Ipci => "IPCI",
            EventKind::Rrf => "RRF",
            EventKind::Rr => "RR",
            EventKind::Prf => "PRF",
            EventKind::Prd => "PRD",
            EventKind::Td => "TD",
            EventKind::Sc => "SC",
            EventKind::Ipcb => "IPCB",
            EventKind::Md => "MD",
            EventKind::Std => "STD",
        }
    }
}

/// Something that happens to a contract.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event {
    /// When, after it was moved to a business day.
    pub(super) time: Time,
    /// When by its schedule; market objects are observed then.
    pub(super) planned: Time,
    /// What.
    pub(super) kind: EventKind,
    /// The day-count number up to which interest is counted.
    pub(super) number: i32,
    /// The day-count number from which it is counted on.
    pub(super) from: i32,
    /// An observed amount.
    pub(super) value: Option<Decimal>,
    /// False if it happens before the contract was bought: it counts, but is not reported.
    pub(super) shown: bool,
}
