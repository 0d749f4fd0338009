//! Payments, and outcomes of loans, as files have them.

use tandem_domain::money::Amount;

use super::super::plan::RecordedRow;
use super::*;

const PAYMENTS: &str = r#"source = "file"
key = "payment"
application = "loan"
value_date = { column = "day", format = "YYYYMMDD" }
amount = { column = "paid", unit = "CNY" }
kind = { column = "type", prepay = ["early"], pay = ["regular"] }
"#;

fn mapping_with(payments: &str) -> Mapping {
    let start = MAPPING.find("source = ").unwrap();
    Mapping::parse(&(MAPPING[..start].to_owned() + payments)).unwrap()
}

#[test]
fn payments_are_read() {
    let mapping = mapping_with(PAYMENTS);
    assert_eq!(mapping.check(&scope()), Ok(()));
    assert!(
        matches!(&mapping.payments, PaymentSource::File(columns) if columns.file == "payments.csv")
    );
    let text = "payment,loan,day,paid,type\nP-1,A-1,20180228,12.5,\nP-2,A-1,20180301,7,early\nP-3,A-1,20180301,-7,early\nP-4,,20180301,7,\nP-5,A-1,20180301,7.005,\nP-6,A-1,20180302,7.0100,regular\nP-7,A-1,20180302,7,odd\n";
    let reader = PaymentReader::new("payments.csv", Cursor::new(text), &mapping, &scope()).unwrap();
    let rows: Vec<_> = reader
        .map(|row| row.map_err(|problem| problem.to_string()))
        .collect();
    let payment = |line, key: &str, day: &str, amount, prepay| {
        let (key, application) = (key.to_owned(), "A-1".to_owned());
        Ok(PaymentRow {
            line,
            key,
            application,
            value_date: day.parse().unwrap(),
            amount: Amount(amount),
            prepay,
        })
    };
    assert_eq!(
        rows,
        [
            payment(2, "P-1", "2018-02-28", 1_250, false),
            payment(3, "P-2", "2018-03-01", 700, true),
            Err("payments.csv, line 4, paid: `-7` is not above zero".to_owned()),
            Err("payments.csv, line 5, loan: is missing; every row needs a value here".to_owned()),
            Err("payments.csv, line 6, paid: `7.005` has more than 2 decimals".to_owned()),
            payment(7, "P-6", "2018-03-02", 701, false),
            Err(
                "payments.csv, line 8, type: `odd` is no kind of payment that the mapping knows; there are \
                 early, regular; leave the cell empty for an ordinary payment, or name the word in the mapping, \
                 payments.kind"
                    .to_owned()
            ),
        ]
    );
    let other = PaymentReader::new(
        "payments.csv",
        Cursor::new(text),
        &self::mapping(),
        &scope(),
    );
    assert_eq!(
        other.err().unwrap().to_string(),
        "mapping.toml, line 17, payments.source: names another source than this file"
    );
    let foreign = mapping_with(&PAYMENTS.replace("CNY", "USD"));
    assert_eq!(
        foreign.check(&scope()).unwrap_err()[0].to_string(),
        "line 21, payments.amount.unit: is not the agreement's currency; say what 1 USD is in CNY, for example scale = \"6.5\""
    );
}

#[test]
fn outcomes_are_read() {
    let mapping = mapping_with(
        r#"source = "outcome"
[payments.outcome]
application = "id"
paid_off = { column = "status", values = ["Fully Paid"] }
instalment = { column = "instalment", unit = "CNY" }
last_payment_date = { column = "last", format = "Mon-YYYY" }
last_payment_amount = { column = "last_amount", unit = "CNY" }
total_paid = { column = "total", unit = "CNY" }
recoveries = { column = "recovered", unit = "CNY" }
[payments.outcome.recorded]
interest = { column = "interest", unit = "CNY" }
receipts = { investors = { column = "to_investors", unit = "CNY" } }
"#,
    );
    assert_eq!(mapping.check(&scope()), Ok(()));
    let text = "id,status,instalment,last,last_amount,total,recovered,interest,to_investors\n\
                A-1,Fully Paid,100,Mar-2018,90,3500,,12.345,33\n\
                A-2,Charged Off,100,,,0,,,\n\
                A-3,,100,,,0,,,\n";
    let reader = OutcomeReader::new("outcomes.csv", Cursor::new(text), &mapping, &scope()).unwrap();
    let rows: Vec<_> = reader
        .map(|row| row.map_err(|problem| problem.to_string()))
        .collect();
    let paid = OutcomeRow {
        line: 2,
        application: "A-1".to_owned(),
        paid_off: true,
        instalment: Amount(10_000),
        last_payment_date: Some("2018-03-01".parse().unwrap()),
        last_payment_amount: Some(Amount(9_000)),
        total_paid: Amount(350_000),
        recoveries: Amount::ZERO,
        recorded: RecordedRow {
            interest: Some(Amount(1_235)),
            receipts: vec![("investors".to_owned(), Amount(3_300))],
            ..RecordedRow::default()
        },
    };
    let never_paid = OutcomeRow {
        line: 3,
        application: "A-2".to_owned(),
        paid_off: false,
        last_payment_date: None,
        last_payment_amount: None,
        total_paid: Amount::ZERO,
        recorded: RecordedRow::default(),
        ..paid.clone()
    };
    let missing =
        "outcomes.csv, line 4, status: is missing; every row needs a value here".to_owned();
    assert_eq!(rows, [Ok(paid), Ok(never_paid), Err(missing)]);
}
