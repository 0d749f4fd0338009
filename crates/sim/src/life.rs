//! Business life out of one seed: mostly sensible commands, made by reading the book, and some
//! foolish ones.

use fastrand::Rng;
use tandem_domain::agreement::{Component, Prepayment};
use tandem_domain::book::{
    Application, Archiving, Book, Command, Instruction, Loan, MOST_DOCUMENTS, Replacement, Slice,
    Underwriting,
};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::loan::{Action, Sale, Status};
use tandem_domain::money::{Amount, Rate};
use tandem_domain::party::PartyId;
use tandem_domain::policy::Outcome;

use crate::disk::{Damage, Fault};
use crate::papers::{self, Papers};
use crate::step::{Shot, Step, Stop};
use crate::view;

/// What a product adds to the variants that the domain's properties use.
const PRODUCTS: [&[&str]; 3] = [
    &[
        "product.amortisation = \"revolving\"",
        "product.minimum = { rate = \"10%\", amount = \"50.00 CNY\" }",
        "product.first_draw = \"40%\"",
    ],
    &[
        "product.floating = { index = \"LPR1Y\", every = 2, fixing_days = 3, cap = \"14%\", \
         floor = \"11%\", most_at_once = \"1%\" }",
    ],
    &[
        "funding.mode = \"fixed\"",
        "funding.lender[0].share = \"45%\"",
        "funding.lender[1].share = \"35%\"",
        "funding.lender[2].share = \"20%\"",
    ],
];

/// Limits that bind now and then.
const LIMITS: [&str; 6] = [
    "limit[0] = { clause = \"7.1\", per = \"total\", amount = \"40000.00 CNY\" }",
    "limit[1] = { clause = \"7.2\", per = \"borrower\", amount = \"6000.00 CNY\" }",
    "limit[2] = { clause = \"7.3\", per = \"region\", region = \"east\", amount = \"25000.00 CNY\" }",
    "limit[3] = { clause = \"7.4\", per = \"day\", amount = \"12000.00 CNY\" }",
    "limit[4] = { clause = \"7.5\", per = \"total\", lender = \"trust\", amount = \"9000.00 CNY\" }",
    "limit[5] = { clause = \"7.6\", per = \"region\", lender = \"river\", amount = \"11000.00 CNY\" }",
];

/// A source of steps.
pub(crate) struct Life {
    rng: Rng,
    /// Of what happens to snapshots: business does not depend on them.
    shots: Rng,
    base: Papers,
    /// Batches that it still has.
    left: u32,
    /// Commands sent before, for retries.
    sent: Vec<Command>,
    /// Numbers of the next application and of the next instruction.
    applications: u32,
    instructions: u32,
    /// The business date after what is in the batch.
    today: Day,
    /// The last version that was signed or will be.
    version: u32,
}

impl Life {
    pub(crate) fn new(seed: u64, batches: u32) -> Life {
        let mut rng = Rng::with_seed(seed);
        let variant = rng.usize(..papers::VARIANTS.len() + PRODUCTS.len());
        let plain = variant.min(papers::VARIANTS.len()) % papers::VARIANTS.len();
        let mut base = papers::variant(plain);
        let added = variant.checked_sub(papers::VARIANTS.len());
        let changes = added.map_or(&[][..], |place| PRODUCTS[place]);
        let archive = ["archive = { after_days = 10 }"];
        for change in changes.iter().chain(&LIMITS).chain(&archive) {
            base = base.with(change);
        }
        Life {
            rng,
            shots: Rng::with_seed(!seed),
            base,
            left: batches,
            sent: Vec::new(),
            applications: 0,
            instructions: 0,
            today: Day::default(),
            version: 0,
        }
    }

    /// The steps of the next batch: its commands, the faults that strike it, and perhaps a stop.
    pub(crate) fn batch(&mut self, book: &Book) -> Vec<Step> {
        self.today = book.business_date();
        let mut commands = Vec::new();
        match book.latest() {
            None => commands.push(self.sign(0)),
            Some(latest) => self.version = latest.agreement.file.version,
        }
        self.left = self.left.saturating_sub(1);
        // Late, because every later start reads the large agreement again.
        let straddles = self.version > 0 && self.left == 4;
        if straddles {
            commands.extend(self.straddle(book));
        }
        if self.rng.u32(..5) == 0 {
            // Days without business.
            for _ in 0..self.rng.u32(1..12) {
                commands.push(self.close());
            }
        }
        let most = [2, 8, 8, 40][self.rng.usize(..4)];
        for _ in 0..self.rng.usize(1..most) {
            let command = self.command(book);
            if matches!(command, Command::Apply(_)) && self.rng.bool() {
                // Taken before it is known whether there is an offer.
                let application = format!("A{}", self.applications - 1);
                commands.extend([command, Command::Accept { application }]);
            } else {
                commands.push(command);
            }
        }
        self.sent.extend(commands.iter().cloned());
        let mut faults = self.faults();
        if straddles {
            // The first part of it becomes durable, the second does not.
            let part = self.rng.u16(..1000);
            faults.splice(..0, [Fault::Pass, Fault::Kill(part)]);
        }
        let mut steps: Vec<_> = faults.into_iter().map(Step::Fault).collect();
        let asked = commands
            .into_iter()
            .map(|command| Step::Ask(Box::new(command)));
        steps.extend(asked);
        steps.push(Step::Send);
        steps.extend(self.shot());
        steps.extend(self.stop().map(Step::Stop));
        steps
    }

    fn shot(&mut self) -> Option<Step> {
        Some(match self.shots.u32(..100) {
            0..16 => Step::Snapshot(Shot::Write),
            16 => Step::Snapshot(Shot::Delete),
            17..20 => Step::Snapshot(Shot::Flip(self.shots.u64(..))),
            20..22 => Step::Snapshot(Shot::Cut(self.shots.u16(..1000))),
            22..24 => Step::Stop(Stop::OldCopy),
            _ => return None,
        })
    }

    fn faults(&mut self) -> Vec<Fault> {
        let mut faults = Vec::new();
        // One fault may strike while another is being overcome.
        while self.rng.u32(..5) == 0 {
            if self.rng.u32(..8) == 0 {
                faults.push(Fault::Pass);
            }
            let part = [0, 1000, self.rng.u16(1..1000)][self.rng.usize(..3)];
            faults.push(match self.rng.u32(..22) {
                0..2 => Fault::Slow(self.rng.u32(1..30_000)),
                2..7 => Fault::Error(part),
                7..9 => Fault::Full(part),
                9..14 => Fault::Kill(part),
                14..20 => Fault::PowerCut {
                    part,
                    head: self.rng.bool(),
                },
                20 => Fault::Flip(self.rng.u32(..)),
                _ => Fault::Lie,
            });
        }
        faults
    }

    fn stop(&mut self) -> Option<Stop> {
        Some(match self.rng.u32(..100) {
            0..3 => Stop::Kill,
            3..8 => Stop::PowerCut {
                head: self.rng.bool(),
            },
            8 => Stop::FlipOnRead(self.rng.u32(..)),
            9..12 => Stop::Damage(match self.rng.u32(..6) {
                0 => Damage::LoseTail(self.rng.u8(1..4)),
                1 => Damage::Tear,
                2 => Damage::Drop(self.rng.u32(..)),
                3 => Damage::Swap(self.rng.u32(..)),
                4 => Damage::FlipHead(self.rng.u8(..)),
                _ => Damage::Flip(self.rng.u64(..)),
            }),
            _ => return None,
        })
    }

    fn command(&mut self, book: &Book) -> Command {
        match self.rng.u32(..100) {
            0..16 => self.apply(book),
            16..30 => Command::Accept {
                application: self.recent_application(),
            },
            30..33 => Command::Withdraw {
                application: self.recent_application(),
            },
            33..39 => self.underwrite(book),
            39..73 => self.instruct(book),
            73..78 => Command::Reverse {
                key: self.instruction_key(),
                of: format!("P{}", self.recent(self.instructions, 30)),
            },
            78..79 => Command::ChargeOff {
                application: self.recent_application(),
            },
            79..87 => self.close(),
            87..88 => self.sign(0),
            88..90 => self.fix(),
            90 if self.rng.bool() => self.replace(book),
            90..96 => self.retry(),
            96 if self.rng.bool() => self.slice(),
            96 => self.archive(book),
            _ => self.foolish(book),
        }
    }

    /// The next version of the agreement: other limits, another term here and there. A comment fills
    /// the documents up to so many bytes.
    fn sign(&mut self, bytes: usize) -> Command {
        self.version += 1;
        let mut papers = self.base.clone();
        if self.version > 1 {
            let from = self.today + self.rng.i32(0..4);
            let limit = self.rng.usize(..LIMITS.len());
            let amount = self.rng.u32(3_000..60_000);
            for change in [
                format!("version = {}", self.version),
                format!("effective_from = \"{from}\""),
                format!("limit[{limit}].amount = \"{amount}.00 CNY\""),
                format!("product.grace_days = {}", self.rng.u32(..5)),
            ] {
                papers = papers.with(&change);
            }
        }
        let mut documents = papers.documents();
        if let Some(padding) = bytes.checked_sub(documents.bytes() + 2) {
            documents.agreement += &format!("# {}", "x".repeat(padding));
        }
        Command::Sign(Box::new(documents))
    }

    /// Commands whose events do not fit into one batch of the journal: the first fills it almost,
    /// the second has several events, so a crash can come between them. Now and then the first is too
    /// long, and refused.
    fn straddle(&mut self, book: &Book) -> [Command; 2] {
        let bytes = MOST_DOCUMENTS + 20 - self.rng.usize(..120);
        let several = self.rng.u32(..4);
        let sign = self.sign(bytes);
        match several {
            0 => [sign, self.replace(book)],
            _ => [sign, self.close()],
        }
    }

    fn close(&mut self) -> Command {
        let day = self.today;
        self.today = day + 1;
        Command::CloseDay { day }
    }

    fn apply(&mut self, book: &Book) -> Command {
        let key = format!("A{}", self.applications);
        self.applications += 1;
        let amount = format!("{}.{:02}", self.rng.u32(100..4_000), self.rng.u32(..100));
        let months = ["1", "3", "3", "6", "6", "12"][self.rng.usize(..6)];
        let region = ["region=east", "region=east", "region=south"][self.rng.usize(..3)];
        let borrower = format!("borrower=b{}", self.rng.u32(..12));
        let mut options = vec![region];
        if self.rng.u32(..8) > 0 {
            options.push(&borrower);
        }
        let Some((_, version)) = book.current() else {
            return Command::Accept { application: key };
        };
        let mut application = papers::application(version, &key, &amount, months, &options);
        if self.rng.u32(..3) == 0 {
            // Lenders that leave it to their people.
            for decision in &mut application.decisions {
                if self.rng.u32(..4) > 0 {
                    decision.outcome = Outcome::Refer(vec![0]);
                }
            }
        }
        Command::Apply(Box::new(application))
    }

    /// A person at a lender decides on an application that waits; now and then on one that does not,
    /// twice, too late, or what its policy does not let it decide.
    fn underwrite(&mut self, book: &Book) -> Command {
        let waiting: Vec<_> = (book.referrals().map(|(_, decided)| decided.key.clone())).collect();
        let application = match self.rng.usize(..waiting.len() + 1) {
            place if place < waiting.len() => waiting[place].clone(),
            _ => self.recent_application(),
        };
        let outcome = match self.rng.u32(..8) {
            0..5 => Outcome::Approve {
                maximum: Amount(self.rng.i64(1..100_000)),
                rate: Rate(self.rng.i64(9_000_000..16_000_000)),
            },
            5..7 => Outcome::Decline(vec![0; self.rng.usize(..2)]),
            _ => Outcome::Refer(vec![0]),
        };
        Command::Underwrite(Underwriting {
            application,
            lender: ["river", "cloud", "trust"][self.rng.usize(..3)].to_owned(),
            outcome,
        })
    }

    fn instruct(&mut self, book: &Book) -> Command {
        let count = view::loan_count(book);
        let mut loan = None;
        for _ in 0..3 {
            let place = self.rng.usize(..count.max(1));
            loan = view::loan_at(book, place).or(loan);
            if loan
                .as_ref()
                .is_some_and(|loan| loan.position.status == Status::Active)
            {
                break;
            }
        }
        let Some(loan) = loan else {
            return self.apply(book);
        };
        let back = [0, 0, 0, self.rng.i32(0..5), self.rng.i32(0..60)][self.rng.usize(..5)];
        let value_date = (self.today + -back).max(loan.disbursed_on);
        let action = self.action(book, &loan, value_date);
        Command::Instruct(Instruction {
            key: self.instruction_key(),
            application: view::application_key(book, loan.application as usize),
            value_date,
            action,
        })
    }

    fn action(&mut self, book: &Book, loan: &Loan, on: Day) -> Action {
        let position = book.position_on(loan, on);
        let terms = book.terms(loan);
        let payoff = position.payoff(&terms, on);
        let due = position.amount_due(&terms, on).max(loan.instalment);
        let any = Amount(self.rng.i64(1..=payoff.total().0.max(1)));
        let small = Amount(self.rng.i64(1..5_000));
        match self.rng.u32(..50) {
            0..18 => Action::Repay(due.max(Amount(1))),
            18..23 => Action::Repay(any),
            23..26 => Action::Prepay(any, None),
            26 => Action::Prepay(payoff.total().max(Amount(1)), None),
            27 => Action::Prepay(
                any,
                Some(
                    [
                        Prepayment::ShortenTerm,
                        Prepayment::ReduceInstalment,
                        Prepayment::NextInstalments,
                    ][self.rng.usize(..3)],
                ),
            ),
            28..30 => Action::Settle(payoff.total().max(Amount(1))),
            30..32 => Action::Refund(any),
            32..34 => {
                Action::Chargeback(Amount(self.rng.i64(1..=position.totals.received.0.max(1))))
            }
            34..36 => {
                let (component, most) = [
                    (Component::Fee, payoff.fees),
                    (Component::Penalty, payoff.penalty),
                    (Component::Interest, payoff.interest),
                ][self.rng.usize(..3)];
                let amount = Amount(self.rng.i64(1..=most.0.max(1)));
                Action::Waive { component, amount }
            }
            36 => Action::Credit(small),
            37..39 => Action::Draw(any),
            39..41 => Action::Pause {
                cycles: self.rng.u8(1..4),
                interest: self.rng.bool(),
            },
            41 => Action::ChangeDueDate(on + self.rng.i32(1..40)),
            42 => Action::ReAge {
                more: self.rng.u16(..4),
            },
            43 => Action::ReAmortise {
                more: self.rng.u16(..4),
            },
            44 => Action::ChangeRate(Rate(self.rng.i64(5_000_000..18_000_000))),
            45 => Action::WriteOff(any),
            _ => Action::Transfer(Sale {
                seller: PartyId(self.rng.u8(..3)),
                buyer: PartyId(self.rng.u8(..3)),
                part: [Rate::ONE, Rate(self.rng.i64(1..100_000_000))][self.rng.usize(..2)],
                price: Rate(self.rng.i64(90_000_000..105_000_000)),
            }),
        }
    }

    fn fix(&mut self) -> Command {
        Command::Fix {
            index: "LPR1Y".to_owned(),
            day: self.today + self.rng.i32(-1..3),
            rate: Rate(self.rng.i64(2_000_000..6_000_000)),
        }
    }

    fn replace(&mut self, book: &Book) -> Command {
        let lenders = ["river", "cloud", "trust"];
        let seller = self.rng.usize(..3);
        let buyer = lenders[(seller + self.rng.usize(1..3)) % 3].to_owned();
        // A name that was used for the same loans is not used again.
        let key = format!("R{}-{}", view::loan_count(book), self.rng.u16(..));
        Command::ReplaceLender(Replacement {
            key,
            seller: lenders[seller].to_owned(),
            buyer,
            price: Rate(self.rng.i64(90_000_000..105_000_000)),
        })
    }

    /// Room of a limit goes to another book, or comes back from it.
    fn slice(&mut self) -> Command {
        let place = self.rng.usize(..LIMITS.len());
        let slice = Slice {
            key: format!("S{}", self.rng.u16(..200)),
            clause: format!("7.{}", place + 1),
            subject: match place {
                1 => Some(format!("b{}", self.rng.u32(..12))),
                5 => Some("east".to_owned()),
                _ => None,
            },
            book: "hills".to_owned(),
            amount: Amount(self.rng.i64(1..400_000)),
        };
        match self.rng.u32(..3) {
            0 => Command::ReceiveSlice {
                slice,
                sent_on: self.today + self.rng.i32(-1..2),
            },
            _ => Command::SendSlice(slice),
        }
    }

    /// Loans that are over leave the book; now and then one that is not, or that is not there.
    fn archive(&mut self, book: &Book) -> Command {
        let mut loans = book.due_for_archive();
        if self.rng.u32(..8) == 0 {
            loans.push(self.rng.u32(..view::loan_count(book) as u32 + 1));
        }
        Command::Archive(Archiving {
            name: format!("{}-{}", self.today, self.rng.u16(..)),
            loans,
        })
    }

    /// A command that was sent before, as it was, or another one under its key.
    fn retry(&mut self) -> Command {
        let recent = self.sent.len().saturating_sub(60);
        let place = self.rng.usize(recent..self.sent.len().max(recent + 1));
        let Some(command) = self.sent.get(place).cloned() else {
            return self.close();
        };
        if self.rng.u32(..4) > 0 {
            return command;
        }
        match command {
            Command::Instruct(instruction) => Command::Instruct(Instruction {
                action: Action::Repay(Amount(self.rng.i64(1..100_000))),
                ..instruction
            }),
            Command::Apply(application) => {
                let mut other: Application = *application;
                other.values[0] = Value::Number(self.rng.i64(10_000..500_000));
                Command::Apply(Box::new(other))
            }
            other => other,
        }
    }

    fn foolish(&mut self, book: &Book) -> Command {
        let nobody = || "nobody".to_owned();
        match self.rng.u32(..6) {
            0 => Command::Accept {
                application: nobody(),
            },
            1 => Command::Reverse {
                key: self.instruction_key(),
                of: nobody(),
            },
            2 => Command::CloseDay {
                day: self.today + self.rng.i32(-3..4),
            },
            3 => Command::ReplaceLender(Replacement {
                key: "R".to_owned(),
                seller: nobody(),
                buyer: "mall".to_owned(),
                price: Rate::ONE,
            }),
            _ => {
                let command = self.instruct(book);
                let wrong = self.rng.u32(..3);
                match command {
                    Command::Instruct(instruction) => Command::Instruct(match wrong {
                        0 => Instruction {
                            value_date: self.today + 9,
                            ..instruction
                        },
                        1 => Instruction {
                            action: Action::Repay(Amount(-1)),
                            ..instruction
                        },
                        _ => Instruction {
                            key: String::new(),
                            ..instruction
                        },
                    }),
                    other => other,
                }
            }
        }
    }

    fn instruction_key(&mut self) -> String {
        let key = format!("P{}", self.instructions);
        self.instructions += 1;
        key
    }

    fn recent_application(&mut self) -> String {
        format!("A{}", self.recent(self.applications, 12))
    }

    /// One of the last few numbers below `next`.
    fn recent(&mut self, next: u32, few: u32) -> u32 {
        self.rng.u32(next.saturating_sub(few)..next.max(1))
    }
}
