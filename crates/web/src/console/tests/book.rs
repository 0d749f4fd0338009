//! A book with a bit of everything: loans of different lenders, applications that became none, a
//! payment that was taken back, a settlement.

use tandem_domain::book::{Answer, Application, Archiving, Command, Documents, Instruction};
use tandem_domain::calendar::Day;
use tandem_domain::field::Value;
use tandem_domain::loan::Action;
use tandem_domain::money::{Amount, Rate};
use tandem_domain::policy::{Decision, Outcome};
use tandem_journal::{BookName, Journal, Sqlite};
use tempfile::TempDir;

use super::*;
use crate::desk::{AnyStore, NotOwned, Owned, Setup, Source};

/// A desk whose files go when it does.
pub(super) struct Book {
    pub(super) desk: Arc<Desk>,
    _folder: TempDir,
}

struct File(std::path::PathBuf);

impl Source for File {
    fn own(&self) -> Result<Owned, NotOwned> {
        let name = BookName::new("marketplace").unwrap();
        let store: AnyStore = Box::new(Sqlite::open_or_create(&self.0, &name).unwrap());
        Ok(Owned {
            journal: Journal::open(store).unwrap(),
            lease: None,
        })
    }

    fn read(&self) -> Result<Journal<AnyStore>, String> {
        Err("it is read through the one that owns it".to_owned())
    }
}

pub(super) fn documents() -> Documents {
    let read = |file: &str| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/marketplace/");
        std::fs::read_to_string(format!("{folder}{file}")).unwrap()
    };
    Documents {
        // What is referred waits until after all that happens here.
        agreement: read("agreement.toml").replace(
            "offer_valid_days = 3",
            "offer_valid_days = 3\nreferral_valid_days = 90",
        ),
        policies: ["cloud", "harbour", "river"]
            .map(|lender| read(&format!("policies/{lender}.toml")))
            .into(),
        rulebook: tandem_domain::rulebook::Rulebook::built_in("cn").map(str::to_owned),
        calendar: None,
    }
}

/// What a lender says.
#[derive(Clone, Copy)]
enum Says {
    Yes,
    No,
    Perhaps,
}

impl Book {
    /// The book after forty days.
    pub(super) async fn open() -> Book {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        let setup = Setup {
            source: Box::new(File(path.join("book.db"))),
            rows: path.join("rows.db"),
            snapshots: path.join("snapshots"),
            documents: documents(),
        };
        let (desk, _) = Desk::open(setup).unwrap();
        let mut roles = desk.roles();
        let owner = |role: &crate::desk::Role| *role == crate::desk::Role::Owner;
        roles.wait_for(owner).await.unwrap();
        // What it signs first can be seen once a later call is answered.
        desk.submit(Vec::new()).await.unwrap();
        let book = Book {
            desk,
            _folder: folder,
        };
        book.fill().await;
        book
    }

    async fn fill(&self) {
        use Says::{No, Perhaps, Yes};
        let mut commands = Vec::new();
        for (key, region, income, says, taken) in [
            ("A-1", "NY", true, [Yes, No, Yes], true),
            ("A-2", "CA", true, [Yes, Yes, No], true),
            ("A-3", "NY", true, [Yes, No, Perhaps], false),
            ("A-4", "NY", false, [Yes, No, Yes], false),
            ("A-5", "NY", true, [Yes, No, Yes], false),
        ] {
            commands.push(self.apply(key, region, income, says));
            if taken {
                let application = key.to_owned();
                commands.push(Command::Accept { application });
            }
        }
        let start = self.desk.look(|book| book.business_date());
        commands.extend((0..40).map(|day| Command::CloseDay { day: start + day }));
        let today = start + 40;
        let instruct = |key: &str, action| {
            Command::Instruct(Instruction {
                key: key.to_owned(),
                application: "A-1".to_owned(),
                value_date: today,
                action,
            })
        };
        commands.push(instruct("P-1", Action::Repay(Amount(300_000))));
        commands.push(instruct("P-2", Action::Chargeback(Amount(100_000))));
        commands.push(Command::CloseDay { day: today });
        for answer in self.desk.submit(commands).await.unwrap() {
            assert_eq!(answer, Ok(Answer::Done));
        }
    }

    /// An application that Cloud Bank and River Valley Bank refer.
    pub(super) async fn refer(&self, key: &str) {
        use Says::{Perhaps, Yes};
        let apply = self.apply(key, "NY", true, [Perhaps, Yes, Perhaps]);
        assert_eq!(self.desk.execute(apply).await.unwrap(), Answer::Done);
    }

    fn apply(&self, key: &str, region: &str, income: bool, says: [Says; 3]) -> Command {
        self.desk.look(|book| {
            let agreement = &book.latest().unwrap().agreement;
            let lenders = agreement
                .lenders
                .iter()
                .map(|lender| &agreement.party(*lender).id);
            let decisions = lenders.map(|lender| {
                let place = ["cloud", "harbour", "river"]
                    .iter()
                    .position(|known| known == lender);
                let outcome = match says[place.unwrap()] {
                    Says::Yes => Outcome::Approve {
                        maximum: Amount(10_000_000),
                        rate: Rate(12_000_000),
                    },
                    Says::No => Outcome::Decline(vec![0]),
                    // River's R-REF: the debt burden is not known.
                    Says::Perhaps if lender == "river" => Outcome::Refer(vec![8]),
                    Says::Perhaps => Outcome::Refer(vec![0]),
                };
                Decision {
                    score: Some(60),
                    outcome,
                }
            });
            let values = agreement
                .scope
                .fields
                .iter()
                .map(|(name, _)| match name.as_str() {
                    // What is referred is good but for what is not known.
                    "debt_to_income" if key == "A-3" => Value::Missing,
                    "first_credit_year" if key == "A-3" => Value::Number(2001),
                    "home" if key == "A-3" => Value::Text("mortgage".into()),
                    "income_verified" if key == "A-3" => Value::Text("verified".into()),
                    "utilisation" if key == "A-3" => Value::Number(22_000_000),
                    "amount" => Value::Number(6_000_000),
                    "term_months" => Value::Number(36),
                    "region" => Value::Text(region.into()),
                    "annual_income" if income => Value::Number(21_450_000),
                    "debt_to_income" => Value::Number(20_580_000),
                    "purpose" => Value::Text("credit_card".into()),
                    _ => Value::Missing,
                });
            Command::Apply(Box::new(Application {
                key: key.to_owned(),
                borrower: Some(format!("B-{key}")),
                values: values.collect(),
                decisions: decisions.collect(),
            }))
        })
    }

    /// Does something to loan A-1 on the business date.
    pub(super) async fn pay(&self, key: &str, action: Action) {
        self.instruct("A-1", key, action).await;
    }

    async fn instruct(&self, loan: &str, key: &str, action: Action) {
        let instruction = Instruction {
            key: key.to_owned(),
            application: loan.to_owned(),
            value_date: self.desk.look(|book| book.business_date()),
            action,
        };
        let done = self.desk.execute(Command::Instruct(instruction)).await;
        assert_eq!(done.unwrap(), Answer::Done);
    }

    /// Signs a version that archives, and archives a loan that was made under it and repaid.
    pub(super) async fn archive(&self) {
        use Says::{No, Yes};
        let mut documents = documents();
        let agreement = documents
            .agreement
            .replace("version = 1\n", "version = 2\n");
        documents.agreement = agreement + "\n[archive]\nafter_days = 2\n";
        let application = "A-6".to_owned();
        for command in [
            Command::Sign(Box::new(documents)),
            self.apply("A-6", "NY", true, [Yes, No, Yes]),
            Command::Accept { application },
        ] {
            assert_eq!(self.desk.execute(command).await.unwrap(), Answer::Done);
        }
        self.close_day().await;
        let payoff = self.desk.look(|book| {
            let (_, loan) = book.loan("A-6").unwrap();
            let today = book.business_date();
            let now = book.position_on(&loan, today);
            now.payoff(&book.terms(&loan), today).total()
        });
        self.instruct("A-6", "S-1", Action::Settle(payoff)).await;
        self.close_day().await;
        self.close_day().await;
        let loans = self.desk.look(|book| book.due_for_archive());
        assert_eq!(loans.len(), 1);
        let name = "2022-02".to_owned();
        let archive = Command::Archive(Archiving { name, loans });
        assert_eq!(self.desk.execute(archive).await.unwrap(), Answer::Done);
    }

    /// Closes the business date.
    pub(super) async fn close_day(&self) {
        let day: Day = self.desk.look(|book| book.business_date());
        self.desk.execute(Command::CloseDay { day }).await.unwrap();
    }
}
