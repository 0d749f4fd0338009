//! The exports of the sample book.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use tandem_domain::ledger::Account;
use tempfile::TempDir;

use super::*;

/// Writes an export of the sample into a file and reads it.
fn written(export: impl FnOnce(&Path) -> Box<dyn Export>) -> (TempDir, PathBuf, Outcome) {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("out");
    let mut export = export(&path);
    let outcome = write(sample::engine().journal(), &mut [export.as_mut()]);
    (folder, path, outcome)
}

fn csv_tables(folder: &Path) -> Tables<Csv> {
    Tables::new(Csv::new(folder).unwrap(), false)
}

fn book() -> Book {
    sample::engine().book().clone()
}

fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = ::csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

/// An amount of a table in minor units.
fn cents(text: &str) -> i64 {
    if text.is_empty() {
        return 0;
    }
    text.replace('.', "").parse().unwrap()
}

#[test]
fn postings_balance_and_add_up_to_the_balances() {
    let (_folder, path, outcome) = written(|path| Box::new(csv_tables(path)));
    outcome.unwrap();
    let mut entries: BTreeMap<(String, String), i64> = BTreeMap::new();
    let mut accounts: BTreeMap<[String; 3], i64> = BTreeMap::new();
    let rows_of = |name: &str| rows(&path.join(name));
    for row in rows_of("postings.csv") {
        let amount = cents(&row["debit"]) - cents(&row["credit"]);
        let [party, account] = ["party", "account"].map(|column| row[column].clone());
        *entries
            .entry((row["entry"].clone(), party.clone()))
            .or_default() += amount;
        *accounts
            .entry([party, account, row["counterparty"].clone()])
            .or_default() += amount;
    }
    assert!(entries.values().all(|sum| *sum == 0));
    accounts.retain(|_, balance| *balance != 0);
    let balances = rows_of("balances.csv").into_iter().map(|row| {
        let amount = cents(&row["debit"]) - cents(&row["credit"]);
        (
            ["party", "account", "counterparty"].map(|column| row[column].clone()),
            amount,
        )
    });
    assert_eq!(accounts, balances.collect());
}

#[test]
fn tables_agree_with_each_other() {
    let (_folder, path, outcome) = written(|path| Box::new(csv_tables(path)));
    outcome.unwrap();
    let text = |name: &str| fs::read_to_string(path.join(name)).unwrap();
    for name in [
        "applications",
        "balances",
        "decisions",
        "instructions",
        "loans",
        "postings",
        "settlements",
        "shares",
    ] {
        golden(&text(&format!("{name}.csv")), name);
    }
    for loan in rows(&path.join("loans.csv")) {
        for part in [
            "amount",
            "outstanding",
            "principal",
            "interest",
            "fees",
            "penalty",
            "charged_off",
        ] {
            let shares = rows(&path.join("shares.csv"));
            let own = shares.iter().filter(|share| share["loan"] == loan["loan"]);
            let sum: i64 = own.map(|share| cents(&share[part])).sum();
            assert_eq!(sum, cents(&loan[part]), "{part} of {}", loan["loan"]);
        }
    }
}

/// A referral and what a person decided on it are two rows, told apart by who decided.
#[test]
fn decisions_say_when_and_by_whom() {
    let folder = TempDir::new().unwrap();
    let mut tables = csv_tables(folder.path());
    write(sample::referred().journal(), &mut [&mut tables]).unwrap();
    let path = folder.path().join("decisions.csv");
    golden(&fs::read_to_string(&path).unwrap(), "referred-decisions");
    let mut by = BTreeSet::new();
    for row in rows(&path) {
        let key = ["application", "lender", "decided_by"].map(|column| row[column].clone());
        assert!(by.insert(key), "{row:?}");
    }
}

#[test]
fn tables_show_what_was_done_to_loans() {
    let folder = TempDir::new().unwrap();
    let mut tables = csv_tables(folder.path());
    write(sample::eventful().journal(), &mut [&mut tables]).unwrap();
    for name in ["instructions", "sales", "loans", "shares"] {
        let text = fs::read_to_string(folder.path().join(format!("{name}.csv"))).unwrap();
        golden(&text, &format!("eventful-{name}"));
    }
    let whole = rows(&folder.path().join("loans.csv"));
    let shares = rows(&folder.path().join("shares.csv"));
    for loan in whole {
        for part in [
            "outstanding",
            "principal",
            "interest",
            "penalty",
            "charged_off",
        ] {
            let own = shares.iter().filter(|share| share["loan"] == loan["loan"]);
            let sum: i64 = own.map(|share| cents(&share[part])).sum();
            assert_eq!(sum, cents(&loan[part]), "{part} of {}", loan["loan"]);
        }
    }
}

#[test]
fn tables_show_the_book_of_a_closed_day() {
    let on = |day: &str| {
        let folder = TempDir::new().unwrap();
        let day = day.parse().unwrap();
        let mut tables = csv_tables(folder.path());
        let outcome = write_on(Some(day), sample::engine().journal(), &mut [&mut tables]);
        (folder, outcome)
    };
    let (folder, outcome) = on("2024-03-31");
    outcome.unwrap();
    let postings = rows(&folder.path().join("postings.csv"));
    assert!(postings.iter().all(|row| *row["day"] <= *"2024-03-31"));
    let (mut engine, mut book) = (sample::engine(), None);
    replay(engine.journal(), &mut |step| {
        if matches!(step.event, Event::DayClosed(close) if close.day.to_string() == "2024-03-31") {
            book = Some(step.book.clone());
        }
    })
    .unwrap();
    let book = book.unwrap();
    let loans = rows(&folder.path().join("loans.csv"));
    assert_eq!(
        loans
            .iter()
            .map(|row| cents(&row["outstanding"]))
            .sum::<i64>(),
        book.summary().outstanding.0
    );
    assert!(book.summary().outstanding.is_positive());
    let (_folder, outcome) = on("2030-01-01");
    assert_eq!(
        outcome.expect_err("it is not closed").0,
        "2030-01-01 was not closed in this book; its last closed day is 2024-06-19"
    );
}

#[test]
fn the_specification_describes_every_column() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/parquet.md");
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("## Tables\n\n").unwrap();
    let end = rest.find("\n## ").map_or(rest.len(), |place| place + 1);
    let after = &rest[end..];
    let wanted = format!("{before}## Tables\n\n{}{after}", schema::describe());
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap() == wanted,
        "docs/spec/parquet.md is not what `tandem export schema` prints"
    );
}

/// Compares with a golden file, or writes it if TANDEM_UPDATE is set.
pub(crate) fn golden(text: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/export/sample")
        .join(name)
        .with_extension("golden");
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        fs::write(&path, text).unwrap();
    }
    assert_eq!(
        text,
        fs::read_to_string(&path).unwrap_or_default(),
        "{}",
        path.display()
    );
}

#[test]
fn hledger_accepts_every_party_and_agrees_on_its_balances() {
    if Command::new("hledger").arg("--version").output().is_err() {
        eprintln!("skipped: hledger is not installed");
        return;
    }
    let book = book();
    for (place, party) in parties(&book).iter().enumerate() {
        let (_folder, path, outcome) =
            written(|path| Box::new(Hledger::new(&party.id, Target::new(Some(path)))));
        outcome.unwrap();
        let run = |arguments: &[&str]| {
            let output = Command::new("hledger")
                .arg("-f")
                .arg(&path)
                .args(arguments)
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout).unwrap()
        };
        run(&["check", "--strict", "ordereddates"]);
        let balances = run(&["balance", "--flat", "--no-total", "--empty", "-O", "csv"]);
        let mut reader = ::csv::Reader::from_reader(balances.as_bytes());
        let theirs: BTreeMap<String, i64> = reader
            .deserialize::<(String, String)>()
            .map(Result::unwrap)
            .map(|(account, balance)| {
                (
                    account,
                    cents(balance.trim_end_matches(" CNY").trim_end_matches(" 0")),
                )
            })
            .collect();
        let ours = Account::chart(parties(&book).len())
            .filter(|account| account.counterparty() != Some(PartyId(place as u8)));
        for account in ours {
            let balance = book.ledgers().balance(PartyId(place as u8), account);
            let mut name = String::new();
            hledger::account_name(&mut name, &book, account);
            assert_eq!(
                theirs.get(&name).copied().unwrap_or_default(),
                balance.0,
                "{name} of {}",
                party.id
            );
        }
    }
}

fn statement(party: &str, period: Period, detail: Detail) -> (TempDir, PathBuf, Outcome) {
    written(|path| {
        let target = Target::new(Some(path));
        Box::new(Statement::new(
            party,
            period,
            detail,
            target,
            Some(path.with_extension("csv")),
        ))
    })
}

#[test]
fn statements_read_well() {
    let march = Period::month("2024-03").unwrap();
    let (_folder, path, outcome) = statement("river-bank", march, Detail::Lines);
    outcome.unwrap();
    golden(&fs::read_to_string(&path).unwrap(), "statement-march");
    let lines = fs::read_to_string(path.with_extension("csv")).unwrap();
    assert!(lines.starts_with(
        "account,account_name,counterparty,day,entry,kind,loan,debit,credit,balance,currency\n\
         1320,interest receivable,,2024-03-01,"
    ));
    let (_folder, path, outcome) = statement("shield", Period::ALL, Detail::Months);
    outcome.unwrap();
    golden(&fs::read_to_string(path).unwrap(), "statement-months");
}

#[test]
fn statements_tie_line_by_line() {
    let book = book();
    for (place, party) in parties(&book).iter().enumerate() {
        let (_folder, path, outcome) = statement(&party.id, Period::ALL, Detail::Lines);
        outcome.unwrap();
        let mut balances: BTreeMap<String, i64> = BTreeMap::new();
        for row in rows(&path.with_extension("csv")) {
            let balance = balances.entry(row["account"].clone()).or_default();
            *balance += cents(&row["debit"]) - cents(&row["credit"]);
            assert_eq!(*balance, cents(&row["balance"]));
        }
        for account in Account::chart(parties(&book).len()) {
            let stated = balances
                .get(&account.number().to_string())
                .copied()
                .unwrap_or_default();
            assert_eq!(
                stated,
                book.ledgers().balance(PartyId(place as u8), account).0
            );
        }
    }
}

#[test]
fn everything_is_written_in_one_go() {
    let folder = TempDir::new().unwrap();
    let database = folder.path().join("book.db");
    let name = tandem_journal::BookName::new("orchard").unwrap();
    let store = tandem_journal::Sqlite::create(&database, &name).unwrap();
    let mut engine = tandem_engine::Engine::open(Journal::open(store).unwrap()).unwrap();
    sample::play(&mut engine);
    drop(engine);
    let out = folder.path().join("out");
    write_all(&out, &crate::data::Place::File(database)).unwrap();
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names.join(" ")
    };
    #[cfg(unix)]
    for (made, expected) in [(out.clone(), 0o700), (out.join("applications.csv"), 0o600)] {
        let mode = fs::metadata(&made).unwrap().permissions();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode);
        assert_eq!(mode & 0o777, expected, "{}", made.display());
    }
    assert_eq!(
        names(&out),
        "applications.csv balances.csv decisions.csv instructions.csv loans.csv postings.csv sales.csv settlements.csv \
         shares.csv statements"
    );
    assert_eq!(
        names(&out.join("statements")),
        "cloud-bank.csv cloud-bank.md orchard.csv orchard.md river-bank.csv river-bank.md shield.csv shield.md"
    );
    let postings = rows(&out.join("postings.csv")).len();
    let lines = |party: &Party| rows(&out.join(format!("statements/{}.csv", party.id))).len();
    assert_eq!(postings, parties(&book()).iter().map(lines).sum::<usize>());
}

#[test]
fn what_cannot_be_exported_is_said() {
    let said = |outcome: Outcome| outcome.expect_err("it cannot").0;
    let (_folder, path, outcome) = statement("lake-bank", Period::ALL, Detail::Lines);
    assert_eq!(
        said(outcome),
        "there is no party `lake-bank` in this book; there are cloud-bank, river-bank, orchard, shield"
    );
    assert!(!path.exists(), "a request that fails leaves no file behind");

    let name = tandem_journal::BookName::new("empty").unwrap();
    let mut empty = Journal::open(tandem_journal::Memory::new(name)).unwrap();
    let mut hledger = Hledger::new("river-bank", Target::new(Some(&path)));
    assert_eq!(
        said(write(&mut empty, &mut [&mut hledger])),
        "nothing is signed in this book yet, so it has no ledgers"
    );

    let file = path.join("nowhere").join("file");
    let mut hledger = Hledger::new("river-bank", Target::new(Some(&file)));
    assert_eq!(
        said(write(sample::engine().journal(), &mut [&mut hledger])),
        format!("{}: No such file or directory (os error 2)", file.display())
    );

    assert_eq!(
        Period::month("March").unwrap_err(),
        "`March` is not a month; write year-month, for example 2024-03"
    );
}

#[test]
fn a_statement_that_does_not_tie_is_refused() {
    let folder = TempDir::new().unwrap();
    let target = Target::new(Some(&folder.path().join("out")));
    let mut statement = Statement::new("river-bank", Period::ALL, Detail::Months, target, None);
    statement.forge(Account::Loans, tandem_domain::money::Amount(1));
    let outcome = write(sample::engine().journal(), &mut [&mut statement]);
    assert_eq!(
        outcome.expect_err("it differs").0,
        "the statement of river-bank does not tie: loans is 500001 minor units, the ledger says 500000"
    );
}
