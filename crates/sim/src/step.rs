//! The steps of a simulation: recorded, shown in words, and replayed.

use std::fmt;

use tandem_domain::agreement::Agreement;
use tandem_domain::book::{Application, Command, Underwriting, words};
use tandem_domain::money::Amount;
use tandem_domain::policy::Outcome;

use crate::disk::{Damage, Fault};

/// A step. Any part of a list of steps is again a list that can be played: a command that has
/// become pointless is refused.
#[derive(Clone, Debug)]
pub enum Step {
    /// A command is put into the next batch.
    Ask(Box<Command>),
    /// A fault waits for the next appends.
    Fault(Fault),
    /// The batch is sent, and sent again after every crash until it is answered.
    Send,
    /// Something happens to the snapshots.
    Snapshot(Shot),
    /// The process is stopped between two batches and started again.
    Stop(Stop),
}

impl Step {
    /// True if a day is closed.
    pub fn closes(&self) -> bool {
        matches!(self, Step::Ask(command) if matches!(**command, Command::CloseDay { .. }))
    }
}

/// What happens to snapshots between two batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shot {
    /// One is written.
    Write,
    /// The newest is deleted.
    Delete,
    /// A bit of the newest flips.
    Flip(u64),
    /// The newest is cut off behind so many thousandths.
    Cut(u16),
}

/// How a process ends between two batches, and what happens before it starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It is killed.
    Kill,
    /// The power fails; the head is as it was last flushed, or current.
    PowerCut {
        /// True if what was written to the head survives.
        head: bool,
    },
    /// It is killed, and the disk damaged.
    Damage(Damage),
    /// It is killed, and a bit flips when the log is read.
    FlipOnRead(u32),
    /// It is killed, and an old copy of the whole journal put in its place, from before the newest
    /// snapshot if that is sound.
    OldCopy,
}

/// A step in words; amounts and parties are those of an agreement.
pub struct Words<'a>(pub &'a Step, pub &'a Agreement);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Step::Ask(command) => self.command(command, f),
            Step::Fault(fault) => write!(f, "    fault: {fault}"),
            Step::Send => f.write_str("    send"),
            Step::Snapshot(shot) => match shot {
                Shot::Write => f.write_str("    a snapshot is written"),
                Shot::Delete => f.write_str("    the newest snapshot is deleted"),
                Shot::Flip(bit) => write!(f, "    bit {bit} of the newest snapshot flips"),
                Shot::Cut(part) => {
                    let (percent, tenths) = (part / 10, part % 10);
                    write!(
                        f,
                        "    of the newest snapshot {percent}.{tenths} % are left"
                    )
                }
            },
            Step::Stop(stop) => match stop {
                Stop::Kill => f.write_str("    the process is killed and started again"),
                Stop::PowerCut { head: true } => f.write_str("    the power fails"),
                Stop::PowerCut { head: false } => {
                    f.write_str("    the power fails; the head file is old")
                }
                Stop::Damage(damage) => write!(f, "    while it is stopped, {damage}"),
                Stop::OldCopy => {
                    f.write_str("    while it is stopped, an old copy of the journal is put back")
                }
                Stop::FlipOnRead(bit) => {
                    write!(
                        f,
                        "    when it is started again, bit {bit} flips on reading"
                    )
                }
            },
        }
    }
}

impl Words<'_> {
    fn command(&self, command: &Command, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match command {
            Command::Sign(documents) => {
                let line = |name: &str| {
                    let lines = documents.agreement.lines();
                    let found = lines.clone().find(|line| line.starts_with(name));
                    found.unwrap_or_default().to_owned()
                };
                let bytes = documents.agreement.len();
                let (version, from) = (line("version"), line("effective_from"));
                write!(f, "sign {version}, {from} ({bytes} bytes)")
            }
            Command::Apply(application) => self.application(application, f),
            Command::Accept { application } => write!(f, "accept {application}"),
            Command::Withdraw { application } => write!(f, "withdraw {application}"),
            Command::Underwrite(underwriting) => {
                let Underwriting {
                    application,
                    lender,
                    outcome,
                } = underwriting;
                match outcome {
                    Outcome::Approve { maximum, rate } => {
                        let maximum = self.1.currency().show(*maximum);
                        write!(
                            f,
                            "{lender} approves {application} up to {maximum} at {rate}"
                        )
                    }
                    Outcome::Decline(_) => write!(f, "{lender} declines {application}"),
                    Outcome::Refer(_) => write!(f, "{lender} refers {application} again"),
                }
            }
            Command::Instruct(instruction) => {
                let action = words::write(&instruction.action, self.1);
                let (key, day) = (&instruction.key, instruction.value_date);
                write!(
                    f,
                    "{key}: {action} on {} as of {day}",
                    instruction.application
                )
            }
            Command::Reverse { key, of } => write!(f, "{key}: reverse {of}"),
            Command::ReplaceLender(replacement) => write!(
                f,
                "{}: replace {} by {} at {}",
                replacement.key, replacement.seller, replacement.buyer, replacement.price
            ),
            Command::Fix { index, day, rate } => write!(f, "fix {index} at {rate} from {day}"),
            Command::Archive(archiving) => {
                write!(
                    f,
                    "archive {} loans as {}",
                    archiving.loans.len(),
                    archiving.name
                )
            }
            Command::SendSlice(slice) => {
                write!(
                    f,
                    "{}: {}",
                    slice.key,
                    words::write_slice(slice, None, self.1)
                )
            }
            Command::ReceiveSlice { slice, sent_on } => {
                let text = words::write_slice(slice, Some(*sent_on), self.1);
                write!(f, "{}: {text}", slice.key)
            }
            Command::ChargeOff { application } => write!(f, "charge-off {application}"),
            Command::CloseDay { day } => write!(f, "close {day}"),
        }
    }

    fn application(&self, application: &Application, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |place: usize| application.values[place].number().unwrap_or_default();
        let amount = self.1.currency().show(Amount(number(0)));
        let (key, months) = (&application.key, number(1));
        write!(f, "apply {key}: {amount}, {months} months")?;
        if let tandem_domain::field::Value::Text(region) = &application.values[2] {
            write!(f, ", region {region}")?;
        }
        match &application.borrower {
            Some(borrower) => write!(f, ", borrower {borrower}"),
            None => Ok(()),
        }
    }
}
