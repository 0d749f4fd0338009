//! A loan by itself: golden files for what is printed, and every error in its words.
//! `TANDEM_UPDATE=1` writes what came out instead of comparing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::common::text;

/// What the program prints, or its error.
fn tandem(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(arguments)
        .output()
        .unwrap();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/schedule")
        .join(name)
}

fn compare(name: &str, found: &str) {
    let path = golden(name);
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        fs::write(&path, found).unwrap();
    }
    assert_eq!(
        found,
        fs::read_to_string(&path).unwrap_or_default(),
        "{name}"
    );
}

#[test]
fn schedules_are_printed_as_they_were() {
    for name in [
        "annuity", "linear", "bullet", "one", "flat", "negative", "weeks", "start",
    ] {
        let terms = golden(&format!("{name}.toml"));
        let terms = terms.to_str().unwrap();
        let of = |format| tandem(&["schedule", "--terms", terms, "--format", format]).unwrap();
        compare(&format!("{name}.txt"), &of("table"));
        compare(&format!("{name}.csv"), &of("csv"));
        compare(&format!("{name}.json"), &of("json"));
        let table = of("table");
        let apr = tandem(&["apr", "--terms", terms]).unwrap();
        for line in apr.lines() {
            assert!(table.contains(line), "{name}: {line}");
        }
    }
}

#[test]
fn the_terms_of_the_documentation_are_good() {
    let terms = super::common::examples().join("../docs/spec/terms.toml");
    let printed = tandem(&["schedule", "--terms", terms.to_str().unwrap()]).unwrap();
    assert!(printed.contains("36  2025-01-01"), "{printed}");
    let schema = tandem(&["schema", "terms"]).unwrap();
    for name in [
        "contractType",
        "notionalPrincipal",
        "initialExchangeDate",
        "30E360",
        "30U360",
        "NAM",
        "SCMF",
        "rateSteps",
        "instalmentFee",
    ] {
        assert!(schema.contains(&format!("\"{name}\"")), "{schema}");
    }
}

/// The error for a file with this text, without the file's folder.
fn error(arguments: &[&str], name: &str, content: &[u8]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, content).unwrap();
    let path = path.to_str().unwrap();
    let printed = tandem(&[arguments, &[path]].concat()).unwrap_err();
    printed.replace(&format!("{}/", folder.path().display()), "")
}

#[test]
fn terms_that_are_wrong_are_refused_with_line_and_field() {
    let good = fs::read_to_string(golden("annuity.toml")).unwrap();
    let cases = [
        (
            "120000.00 CNY",
            "120000.00",
            "line 2, notionalPrincipal: `120000.00` is not an amount of money; write number and currency, for example \"200000.00 CNY\"",
        ),
        (
            "120000.00 CNY",
            "0 CNY",
            "line 2, notionalPrincipal: must be above zero",
        ),
        (
            "14.4%",
            "14.4",
            "line 3, nominalInterestRate: `14.4` is not a rate; write it in per cent, for example \"14.4%\"",
        ),
        (
            "14.4%",
            "-1%",
            "line 3, nominalInterestRate: must lie between 0% and 1000%",
        ),
        (
            "14.4%",
            "1000.1%",
            "line 3, nominalInterestRate: must lie between 0% and 1000%",
        ),
        (
            "30E360",
            "BUS252",
            "line 4, dayCountConvention: unknown variant `BUS252`, expected one of `A360`, `A365`, `AA`, `30E360`, `30E360ISDA`, `30U360`",
        ),
        (
            "2022-01-01",
            "2022-02-30",
            "line 5, initialExchangeDate: `2022-02-30` is not a date; write year-month-day, for example 2018-02-28",
        ),
        (
            "2022-01-01",
            "9900-01-01",
            "line 5, initialExchangeDate: must lie before the year 9900",
        ),
        (
            "= 6",
            "= 0",
            "line 6, instalments: must lie between 1 and 1200",
        ),
        (
            "= 6",
            "= 1201",
            "line 6, instalments: must lie between 1 and 1200",
        ),
        (
            "\"ANN\"",
            "\"UMP\"",
            "line 1, contractType: unknown variant `UMP`, expected one of `ANN`, `LAM`, `NAM`, `PAM`",
        ),
        (
            "\"1.2%\"",
            "\"-1.2%\"",
            "line 7, fees[1]: must lie between 0% and 100%",
        ),
        (
            "\"1.2%\"",
            "\"100%\"",
            "line 7, fees[1]: must lie between 0% and 100%",
        ),
        (
            "\"1.2%\"",
            "\"99.2%\"",
            "line 7, fees: take all of the principal; the borrower must receive something",
        ),
        (
            "instalments",
            "maturity",
            "line 6, maturity: unknown field `maturity`, expected one of `contractType`, `notionalPrincipal`, `nominalInterestRate`, `dayCountConvention`, `initialExchangeDate`, `instalments`, `fees`, `cycleOfPrincipalRedemption`, `endOfMonthConvention`, `businessDayConvention`, `calendar`, `nextPrincipalRedemptionPayment`, `interestOnly`, `balloon`, `downPayment`, `flatRate`, `rateSteps`, `instalmentFee`",
        ),
        (
            "instalments = 6\n",
            "",
            "line 1: missing field `instalments`",
        ),
    ];
    for (from, to, expected) in cases {
        assert!(good.contains(from), "{from}");
        let wrong = good.replacen(from, to, 1);
        for command in ["schedule", "apr"] {
            assert_eq!(
                error(&[command, "--terms"], "terms.toml", wrong.as_bytes()),
                format!("error: terms.toml, {expected}\n"),
            );
        }
    }
    // Terms that may be left out come last in the file.
    let last = good.lines().count() + 1;
    for (added, expected) in [
        (
            "cycleOfPrincipalRedemption = \"1M\"",
            "cycleOfPrincipalRedemption: `1M` is not a period; write P, a number and one of D, W, M, Q, H, Y, for example P1M",
        ),
        (
            "cycleOfPrincipalRedemption = \"P0W\"",
            "cycleOfPrincipalRedemption: must not be empty",
        ),
        (
            "cycleOfPrincipalRedemption = \"P17Y\"",
            "cycleOfPrincipalRedemption: the loan must end within 100 years",
        ),
        (
            "cycleOfPrincipalRedemption = \"P65535W\"",
            "cycleOfPrincipalRedemption: the loan must end within 100 years",
        ),
        (
            "endOfMonthConvention = \"LAST\"",
            "endOfMonthConvention: unknown variant `LAST`, expected `SD` or `EOM`",
        ),
        (
            "businessDayConvention = \"SCX\"",
            "businessDayConvention: unknown variant `SCX`, expected one of `NOS`, `SCF`, `SCMF`, `SCP`, `SCMP`, `CSF`, `CSMF`, `CSP`, `CSMP`",
        ),
        (
            "businessDayConvention = \"SCF\"",
            "businessDayConvention: goes with a calendar; write calendar = \"MF\" for Monday to Friday, or name a file",
        ),
        (
            "calendar = \"MF\"",
            "calendar: does nothing without businessDayConvention; write for example \"SCMF\"",
        ),
        (
            "nextPrincipalRedemptionPayment = \"900.00 CNY\"",
            "nextPrincipalRedemptionPayment: goes only with contractType NAM",
        ),
        (
            "interestOnly = 6",
            "interestOnly: must leave an instalment of principal",
        ),
        (
            "balloon = \"100%\"",
            "balloon: must lie between 0% and 100%",
        ),
        (
            "downPayment = \"-1%\"",
            "downPayment: must lie between 0% and 100%",
        ),
        (
            "downPayment = \"98%\"",
            "downPayment: takes with the fees all of the principal; the borrower must receive something",
        ),
        (
            "instalmentFee = \"101%\"",
            "instalmentFee: must lie between 0% and 100%",
        ),
        (
            "rateSteps = [{ fromInstalment = 0, times = \"0%\" }]",
            "rateSteps[0].fromInstalment: must be the number of an instalment, later than that of the step before",
        ),
        (
            "rateSteps = [{ fromInstalment = 7, times = \"0%\" }]",
            "rateSteps[0].fromInstalment: must be the number of an instalment, later than that of the step before",
        ),
        (
            "rateSteps = [{ fromInstalment = 2, times = \"0%\" }, { fromInstalment = 2, times = \"50%\" }]",
            "rateSteps[1].fromInstalment: must be the number of an instalment, later than that of the step before",
        ),
        (
            "rateSteps = [{ fromInstalment = 2, times = \"7000%\" }]",
            "rateSteps[0].times: must not be negative, nor give a rate above 1000%",
        ),
        (
            "rateSteps = [{ from = 2 }]",
            "rateSteps[0].from: unknown field `from`, expected `fromInstalment` or `times`",
        ),
        (
            "flatRate = \"yes\"",
            "flatRate: invalid type: string \"yes\", expected a boolean",
        ),
    ] {
        let wrong = format!("{good}{added}\n");
        assert_eq!(
            error(&["schedule", "--terms"], "terms.toml", wrong.as_bytes()),
            format!("error: terms.toml, line {last}, {expected}\n"),
        );
    }
    let negative = good.replace("\"ANN\"", "\"NAM\"");
    for (added, expected) in [
        (
            "",
            "line 1, contractType: NAM needs nextPrincipalRedemptionPayment",
        ),
        (
            "nextPrincipalRedemptionPayment = \"0 CNY\"\n",
            "line 8, nextPrincipalRedemptionPayment: must be above zero",
        ),
        (
            "nextPrincipalRedemptionPayment = \"1 EUR\"\n",
            "line 8, nextPrincipalRedemptionPayment: must be in the currency of notionalPrincipal",
        ),
        (
            "nextPrincipalRedemptionPayment = \"1 CNY\"\nballoon = \"9%\"\n",
            "line 9, balloon: goes only with contractType ANN or LAM",
        ),
    ] {
        assert_eq!(
            error(
                &["schedule", "--terms"],
                "terms.toml",
                format!("{negative}{added}").as_bytes()
            ),
            format!("error: terms.toml, {expected}\n"),
        );
    }
    let grown = negative.replace("= 6", "= 400").replace("14.4%", "900%")
        + "nextPrincipalRedemptionPayment = \"1 CNY\"\n";
    assert_eq!(
        error(&["schedule", "--terms"], "terms.toml", grown.as_bytes()),
        "error: terms.toml, line 8, nextPrincipalRedemptionPayment: is so far below the interest that the \
         principal outgrows all amounts\n"
    );
    let bullet = good.replace("\"ANN\"", "\"PAM\"") + "interestOnly = 1\n";
    assert_eq!(
        error(&["schedule", "--terms"], "terms.toml", bullet.as_bytes()),
        "error: terms.toml, line 8, interestOnly: goes not with contractType PAM, of which all instalments \
         are of interest alone\n"
    );
    let calendar = format!("{good}businessDayConvention = \"SCF\"\ncalendar = \"days.toml\"\n");
    let missing = error(&["schedule", "--terms"], "terms.toml", calendar.as_bytes());
    assert!(missing.starts_with("error: days.toml: "), "{missing}");
    // Everything that is wrong is said at once.
    let two = good.replace("= 6", "= 0").replace("14.4%", "-1%");
    assert_eq!(
        error(&["schedule", "--terms"], "terms.toml", two.as_bytes()),
        "error: terms.toml, line 3, nominalInterestRate: must lie between 0% and 1000%\n\
         error: terms.toml, line 6, instalments: must lie between 1 and 1200\n"
    );
    let all = good.replace("= 6", "= 1").replace("1.2%", "99.1%");
    assert_eq!(
        error(&["apr", "--terms"], "terms.toml", all.as_bytes()),
        "error: terms.toml: the rate is above 10000%\n"
    );
    // A date is written as text, as everywhere.
    let bare = good.replace("\"2022-01-01\"", "2022-01-01");
    let bare = error(&["schedule", "--terms"], "terms.toml", bare.as_bytes());
    assert!(
        bare.starts_with("error: terms.toml, line 5, initialExchangeDate: "),
        "{bare}"
    );
    let missing = tandem(&["schedule", "--terms", "nowhere.toml"]).unwrap_err();
    assert!(missing.starts_with("error: nowhere.toml: "), "{missing}");
}

/// What `apr --flows` prints.
fn of_flows(options: &[&str], content: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flows.csv");
    fs::write(&path, content).unwrap();
    tandem(&[&["apr", "--flows", path.to_str().unwrap()], options].concat()).unwrap()
}

#[test]
fn dated_flows_have_rates() {
    let half_years = "date,amount,currency\n1994-01-01,-1000,EUR\n1995-07-01,1200.00,EUR\n";
    assert_eq!(
        of_flows(&[], half_years),
        "1,000.00 EUR advanced, 1,200.00 EUR paid back\n\n\
         What it costs a year\n      \
         12.9%  EU, Directive 2008/48/EC: times in equal months\n     \
         12.79%  US, Regulation Z appendix J: unit period of a year\n"
    );
    let days = of_flows(&["--days"], half_years);
    assert!(
        days.contains("13.0%  EU, Directive 2008/48/EC: times in days"),
        "{days}"
    );
    // Any order of rows and columns; an own column; a byte order mark; the currency given.
    let weeks: String = (0..30)
        .map(|week| {
            let day = "1978-04-21"
                .parse::<tandem_domain::calendar::Day>()
                .unwrap()
                + 7 * week;
            format!("rent, 17.60 ,{day}\n")
        })
        .collect();
    let weeks = format!("\u{feff}note,amount,date\n{weeks}out,-500.00,1978-03-20\n");
    let weekly = of_flows(&["--currency", "USD"], &weeks);
    assert!(
        weekly.contains("14.96%  US, Regulation Z appendix J: unit period of a week"),
        "{weekly}"
    );
    assert!(
        weekly.contains("500.00 USD advanced, 528.00 USD paid back"),
        "{weekly}"
    );
    let irregular =
        "date,amount,currency\n2023-01-05,-100.000,KWD\n2023-02-05,50,KWD\n2023-04-09,55.125,KWD\n";
    let irregular = of_flows(&[], irregular);
    assert!(
        irregular.contains("times in days\n       none  US: no interval between payments or between advances occurs twice, so there is no unit period\n"),
        "{irregular}"
    );
}

#[test]
fn flows_that_are_wrong_are_refused_with_line_and_column() {
    let header = "date,amount,currency\n2023-01-05,-100.00,EUR\n";
    let cases = [
        (
            "day,amount\n",
            "flows.csv, line 1: there is no column `date`",
        ),
        (
            "date,sum\n",
            "flows.csv, line 1: there is no column `amount`",
        ),
        (
            "date,amount\n",
            "flows.csv, line 1: there is no column `currency`; add it or give --currency",
        ),
        (
            "date,amount,currency\n",
            "flows.csv, line 1: there are no flows below the header",
        ),
        (
            "+2023-02-31,1.00,EUR\n",
            "flows.csv, line 3, date: `2023-02-31` is not a date; write year-month-day, for example 2018-02-28",
        ),
        (
            "+2023-02-05,1.001,EUR\n",
            "flows.csv, line 3, amount: `1.001` has more than 2 decimals",
        ),
        (
            "+2023-02-05,,EUR\n",
            "flows.csv, line 3, amount: a number is missing",
        ),
        (
            "+2023-02-05,9999999999999.99,EUR\n",
            "flows.csv, line 3, amount: the flows add up to too much",
        ),
        (
            "+2023-02-05,1.00,USD\n",
            "flows.csv, line 3, currency: `USD` differs from EUR; flows have one currency",
        ),
        (
            "+2023-02-05,1.00,euro\n",
            "flows.csv, line 3, currency: `euro` is not a currency; write its ISO 4217 code, for example \"CNY\"",
        ),
        (
            "+2023-02-05,1.00\n",
            "flows.csv, line 3: has 2 columns, the header has 3",
        ),
        (
            "+",
            "flows.csv: there is no payment; a payment by the borrower is a positive amount",
        ),
        (
            "+2023-01-04,5.00,EUR\n",
            "flows.csv: a payment on 2023-01-04 comes before the first advance on 2023-01-05",
        ),
        (
            "+2023-02-05,99.99,EUR\n",
            "flows.csv: payments are less in all than advances, so the rate would be below zero",
        ),
    ];
    for (rows, expected) in cases {
        let content = match rows.strip_prefix('+') {
            Some(rows) => format!("{header}{rows}"),
            None => rows.to_owned(),
        };
        assert_eq!(
            error(&["apr", "--flows"], "flows.csv", content.as_bytes()),
            format!("error: {expected}\n")
        );
    }
    let currency = ["apr", "--currency", "usd", "--flows"];
    assert_eq!(
        error(&currency, "flows.csv", b"date,amount\n"),
        "error: `usd` is not a currency; write its ISO 4217 code, for example \"CNY\"\n"
    );
    let other = error(
        &["apr", "--currency", "USD", "--flows"],
        "flows.csv",
        header.as_bytes(),
    );
    assert_eq!(
        other,
        "error: flows.csv, line 2, currency: `EUR` differs from USD; flows have one currency\n"
    );
    assert_eq!(
        error(
            &["apr", "--flows"],
            "flows.csv",
            b"date,amount,currency\n\xff,1,EUR"
        ),
        "error: flows.csv, line 2, date: is not UTF-8 from byte 1 on; save the file as UTF-8\n"
    );
}
