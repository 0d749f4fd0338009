//! The life of a loan through the API, and what goes wrong on the way.

use serde_json::{Value, json};

use tandem_web::{refusals, registry};

use crate::service::{BOOK, Party, Running};

pub(crate) fn application(reference: &str) -> Value {
    json!({
        "reference": reference,
        "borrower": "B-1",
        "amount": {"amount": 6_000_000, "currency": "CNY"},
        "term_months": 36,
        "region": "OH",
        "fields": {
            "annual_income": {"amount": 52_000_000, "currency": "CNY"},
            "debt_to_income": "12.5%",
            "delinquencies_2y": 0,
            "bankruptcies": 0,
            "inquiries_12m": 1,
            "failed_to_pay": 0,
            "utilisation": "22%",
            "first_credit_year": 2001,
            "home": "mortgage",
            "income_verified": "verified",
            "employment_years": 6,
            "purpose": "moving",
            "grade": "A",
        },
    })
}

pub(crate) fn money(amount: i64) -> Value {
    json!({"amount": amount, "currency": "CNY"})
}

/// A client of the platform, and the offer of `A-1`, which it has taken.
pub(crate) fn lent(running: &Running) -> (Party, Value) {
    let mut platform = running.client("bazaar");
    let (_, offered) = platform.post("/applications", &application("A-1"));
    platform.post("/applications/A-1/acceptance", &Value::Null);
    (platform, offered)
}

#[test]
fn a_loan_lives_through_the_api() {
    let mut running = Running::start();
    let (mut platform, mut servicer) = (running.client("bazaar"), running.client("cloud"));
    let mut lender = running.client("river");
    let (status, offered) = platform.post("/applications", &application("A-1"));
    assert_eq!(
        (status, &offered["state"]),
        (201, &json!("offered")),
        "{offered}"
    );
    assert_eq!(offered["offer"]["amount"], money(6_000_000));
    let parts = offered["offer"]["parts"].as_array().unwrap();
    let parts: i64 = parts
        .iter()
        .map(|part| part["amount"]["amount"].as_i64().unwrap())
        .sum();
    assert_eq!(parts, 6_000_000);

    // A lender sees what it decided itself, the platform sees none of it, and each its own fields.
    let (_, seen) = lender.get("/applications/A-1");
    assert_eq!(seen["decisions"][0]["lender"], "river");
    assert_eq!(seen["fields"]["home"], "mortgage");
    assert_eq!(offered["decisions"], Value::Null);
    assert_eq!(offered["fields"]["home"], Value::Null);

    let (status, taken) = platform.post("/applications/A-1/acceptance", &Value::Null);
    assert_eq!(
        (status, &taken["state"]),
        (200, &json!("disbursed")),
        "{taken}"
    );
    let (_, plan) = servicer.get("/loans/A-1/schedule");
    let first = &plan[0];
    let due = first["principal"]["amount"].as_i64().unwrap()
        + first["interest"]["amount"].as_i64().unwrap();
    let day = first["due"].as_str().unwrap();
    let (status, close) = servicer.post("/days", &json!({"day": day}));
    assert_eq!(
        (status, &close["active_loans"]),
        (201, &json!(1)),
        "{close}"
    );
    let (_, loan) = lender.get("/loans/A-1");
    assert_eq!(
        loan["amount_due"]["amount"],
        due + loan["totals"]["held"]["amount"].as_i64().unwrap()
    );
    let payment = json!({"reference": "P-1", "amount": money(due), "value_date": day});
    let (status, receipt) = servicer.post("/loans/A-1/payments", &payment);
    assert_eq!(
        (status, receipt),
        (201, json!({"reference": "P-1", "outcome": "done"}))
    );
    let (_, again) = servicer.post("/loans/A-1/payments", &payment);
    assert_eq!(again["outcome"], "known");
    // What the book refuses, one by one or in a stream, is kept for the people of who sent it.
    let none = json!({"reference": "P-2", "amount": money(0), "value_date": day});
    servicer.post("/loans/A-1/payments", &none);
    servicer.post(
        "/loans/A-7/payments",
        &json!({"reference": "P-3", "amount": money(1)}),
    );
    let line = r#"{"reference":"P-4","loan":"A-8","amount":{"amount":1,"currency":"CNY"}}"#;
    let mut known = payment.clone();
    known["loan"] = json!("A-1");
    servicer.stream("/payments/stream", &format!("\n{known}\n{line}\nno JSON\n"));
    let refused = |party| refusals::of(&running.service.registry, BOOK, party).unwrap();
    let found: Vec<_> = refused("cloud")
        .into_iter()
        .map(|one| (one.key, one.loan))
        .collect();
    let expected = [("P-2", "A-1"), ("P-3", "A-7"), ("P-4", "A-8")];
    assert_eq!(
        found,
        expected.map(|(key, loan)| (key.to_owned(), loan.to_owned()))
    );
    assert!(refused("river").is_empty());
    let (_, loan) = lender.get("/loans/A-1");
    assert_eq!(loan["amount_due"], money(0), "{loan}");
    assert_eq!(loan["totals"]["received"], money(due));
    let (_, done) = servicer.get("/loans/A-1/transactions");
    assert_eq!(
        done[0]["instruction"].as_str().unwrap().split(' ').next(),
        Some("pay")
    );

    // The books agree: what the lender's balance says is what its postings sum up to.
    let (_, balances) = lender.get("/balances");
    let loans = balances
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["account"] == 1310)
        .unwrap();
    let (_, postings) = lender.get("/postings?account=1310");
    let items = postings["items"].as_array().unwrap();
    let sum: i64 = items
        .iter()
        .map(|row| row["amount"]["amount"].as_i64().unwrap())
        .sum();
    assert_eq!(loans["balance"]["amount"], sum);
    let (_, statement) = lender.get(&format!("/statement?from={day}&to=2030-01-01"));
    let line = statement
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["account"] == 1310)
        .unwrap();
    assert_eq!(line["closing"]["amount"], sum);

    let reversal = json!({"reference": "R-1", "of": "P-1"});
    let (status, _) = servicer.post("/loans/A-1/reversals", &reversal);
    assert_eq!(status, 201);
    let (_, loan) = lender.get("/loans/A-1");
    assert_eq!(loan["totals"]["received"], money(0));
    let sale = json!({"reference": "W-1", "instruction": "sell 50% river cloud 98%"});
    let (status, sold) = lender.post("/loans/A-1/transactions", &sale);
    assert_eq!(
        (status, &sold["outcome"]),
        (202, &json!("unmatched")),
        "{sold}"
    );
    let (status, sold) = servicer.post("/loans/A-1/transactions", &sale);
    assert_eq!((status, &sold["outcome"]), (201, &json!("done")), "{sold}");

    // The same after the service was stopped and started, also without its rows.
    let (_, before) = lender.get("/events?limit=200");
    assert!(before.as_array().unwrap().len() > 8, "{before}");
    let (_, beyond) = lender.get(&format!("/events?after={}", u64::MAX));
    assert_eq!(beyond, json!([]));
    running = running.again();
    assert_eq!(running.client("river").get("/events?limit=200").1, before);
    running.stop();
    std::fs::remove_file(running.folder().join("rows.db")).unwrap();
    let running = running.again();
    assert_eq!(running.client("river").get("/events?limit=200").1, before);
}

#[test]
fn the_same_key_gives_the_same_answer() {
    let running = Running::start();
    let mut platform = running.client("bazaar");
    let first = platform.send("/applications", "key-1", &application("A-1"));
    let second = platform.send("/applications", "key-1", &application("A-1"));
    assert_eq!((first.status, &first.body), (second.status, &second.body));
    assert_eq!(second.headers["idempotency-replayed"], "true");
    let other = platform.send("/applications", "key-1", &application("A-2"));
    assert_eq!(
        (other.status, &other.json()["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    // Under a new key the book itself knows the application.
    let known = platform.send("/applications", "key-2", &application("A-1"));
    assert_eq!((known.status, &known.body), (201, &first.body));
    let mut changed = application("A-1");
    changed["region"] = json!("TX");
    let refused = platform.send("/applications", "key-3", &changed);
    assert_eq!(
        (refused.status, &refused.json()["code"]),
        (422, &json!("key_used"))
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let running = Running::start();
    let (mut platform, mut lender) = (running.client("bazaar"), running.client("river"));
    let wrong = |change: &dyn Fn(&mut Value)| {
        let mut body = application("A-1");
        change(&mut body);
        body
    };
    let cases: [(Value, u16, &str, &str, &str); 9] = [
        (
            wrong(&|body| body["amount"]["currency"] = json!("EUR")),
            422,
            "invalid",
            "/amount",
            "the agreement's currency is CNY, not `EUR`",
        ),
        (
            wrong(&|body| body["fields"]["debt_to_income"] = json!(12)),
            422,
            "invalid",
            "/fields/debt_to_income",
            "send a rate as text, like \"12.5%\", or null where it is not known",
        ),
        (
            wrong(&|body| body["fields"]["income"] = json!(12)),
            422,
            "invalid",
            "/fields/income",
            "the agreement has no field `income`; it has annual_income, debt_to_income, \
             delinquencies_2y, bankruptcies, inquiries_12m, months_since_90d_late, failed_to_pay, \
             utilisation, first_credit_year, home, income_verified, employment_years, purpose, grade",
        ),
        (
            wrong(&|body| body["fields"]["bankruptcies"] = json!(1.5)),
            422,
            "invalid",
            "/fields/bankruptcies",
            "`1.5` is not a whole number that fits here",
        ),
        (
            wrong(&|body| body["term_months"] = json!("36")),
            422,
            "invalid",
            "/term_months",
            "invalid type: string \"36\", expected u16 at line 1 column 457",
        ),
        (
            wrong(&|body| body["amount"]["amount"] = json!(0)),
            422,
            "bad_amount",
            "",
            "the amount must be above zero and at most 10,000,000,000,000.00",
        ),
        (
            wrong(&|body| body["reference"] = json!("")),
            422,
            "bad_key",
            "",
            "key `` is not usable; an application's key has 1 to 64 characters, an instruction's up to 80",
        ),
        (
            json!({}),
            422,
            "invalid",
            "/reference",
            "missing field `reference`",
        ),
        (
            wrong(&|body| body["amount"] = json!(6_000_000)),
            422,
            "invalid",
            "/amount",
            "invalid type: integer `6000000`, expected an object like {\"amount\": 1234, \
             \"currency\": \"CNY\"} at line 1 column",
        ),
    ];
    for (body, status, code, pointer, detail) in cases {
        let (found, problem) = platform.post("/applications", &body);
        assert_eq!(
            (found, &problem["code"]),
            (status, &json!(code)),
            "{problem}"
        );
        let text = problem["detail"].as_str().unwrap();
        let same = if pointer == "/term_months" {
            text.starts_with("invalid type")
        } else {
            text.starts_with(detail)
        };
        assert!(same, "{text}");
        if !pointer.is_empty() {
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
        }
    }
    let said = |(status, problem): (u16, Value)| {
        format!(
            "{status} {}: {}",
            problem["code"].as_str().unwrap(),
            problem["detail"].as_str().unwrap()
        )
    };
    for (answer, expected) in [
        (
            lender.post("/applications", &application("A-1")),
            "403 forbidden: only the platform, `bazaar`, may do this under the agreement",
        ),
        (
            lender.post(
                "/loans/A-1/payments",
                &json!({"reference": "P", "amount": money(1)}),
            ),
            "403 forbidden: only the servicer, `cloud`, may do this under the agreement",
        ),
        (
            platform.get("/applications/A-9"),
            "404 not_found: there is no such application for this caller",
        ),
        (
            platform.get("/loans/A-9"),
            "404 not_found: there is no such loan for this caller",
        ),
        (
            platform.get("/nothing"),
            "404 not_found: there is no such resource for this caller",
        ),
        (
            platform.get("/applications?limit=0"),
            "422 invalid: a page has 1 to 200 items",
        ),
        (
            platform.get("/applications?limit=ten"),
            "422 invalid: send a whole number: invalid digit found in string",
        ),
        (
            platform.get("/statement?to=2022-01-01"),
            "422 invalid: missing field `from`",
        ),
        (
            platform.get("/applications?state=open"),
            "422 invalid: there is no state `open`; there are offered, disbursed, referred, declined, \
             lapsed, withdrawn",
        ),
        (
            platform.get("/loans?status=late"),
            "422 invalid: there is no status `late`; there are active, repaid, charged_off",
        ),
        (
            platform.get("/loans?class=bad"),
            "422 invalid: there is no class `bad`; there are doubtful, loss, normal, special mention, \
             substandard",
        ),
        (
            platform.get("/applications?cursor=@"),
            "422 invalid: it is not one that a page gave; begin without a cursor",
        ),
        (
            platform.post("/days", &json!({"day": "2022-13-01"})),
            "422 invalid: `2022-13-01` is not a date; write year-month-day, for example 2018-02-28",
        ),
        (
            platform.post("/days", &json!({"day": "2029-01-01"})),
            "422 invalid: one call closes 366 days at the most",
        ),
        (
            platform.get("/statement?from=2022-02-01&to=2022-01-01"),
            "422 invalid: the last day lies before the first",
        ),
        (
            platform.post("/applications/A-9/acceptance", &Value::Null),
            "404 unknown_application: there is no application `A-9`",
        ),
    ] {
        assert_eq!(said(answer), expected);
    }
    for (path, pointer) in [
        ("/applications?limit=ten", "query/limit"),
        ("/statement?to=2022-01-01", "query/from"),
    ] {
        let (_, problem) = platform.get(path);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem}");
    }
}

#[test]
fn a_stream_loses_no_good_line() {
    let running = Running::start();
    let (mut platform, mut servicer) = (running.client("bazaar"), running.client("cloud"));
    let mut lines = String::new();
    for number in 0..1_200 {
        match number {
            7 => lines += "{no json}\n",
            9 => lines += "\n",
            _ => lines += &format!("{}\n", application(&format!("A-{number}"))),
        }
    }
    let results = platform.stream("/applications/stream", &lines);
    assert_eq!(results.len(), 1_199);
    assert_eq!(results[7]["line"], 8);
    assert_eq!(results[7]["problem"]["code"], "bad_request");
    assert!(
        results
            .iter()
            .enumerate()
            .all(|(at, result)| at == 7 || result["status"] == 201)
    );
    assert_eq!(results[1_198]["reference"], "A-1199");
    // The rule on personal amounts lets three of them be offered.
    let offered = results
        .iter()
        .filter(|result| result["state"] == "offered")
        .count();
    assert_eq!(offered, 3);
    let unpaid = r#"{"reference":"P-1","loan":"A-0","amount":{"amount":1,"currency":"CNY"}}"#;
    let results = servicer.stream("/payments/stream", unpaid);
    assert_eq!(results[0]["problem"]["code"], "not_found");
    let mut cursor = String::new();
    let (mut seen, mut pages) = (0, 0);
    loop {
        let (_, page) = platform.get(&format!("/applications?state=declined&limit=200{cursor}"));
        seen += page["items"].as_array().unwrap().len();
        pages += 1;
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((seen, pages), (1_195, 6));
}

#[test]
fn a_key_is_one_line_of_letters() {
    let running = Running::start();
    let (mut platform, mut servicer) = (running.client("bazaar"), running.client("cloud"));
    let mut asked = application("A-1");
    asked["borrower"] = json!("B\u{7f}1");
    let borrower = platform.post("/applications", &asked);
    let application = platform.post("/applications", &application("A-1\nA-2"));
    let payment = json!({"reference": "P\t1", "amount": money(100)});
    let payment = servicer.post("/loans/A-1/payments", &payment);
    let waive = json!({"reference": "W\r1", "instruction": "waive fee 50.00 CNY"});
    let waive = servicer.post("/loans/A-1/transactions", &waive);
    let reversal = servicer.post(
        "/loans/A-1/reversals",
        &json!({"reference": "R\u{0}", "of": "P-1"}),
    );
    for ((status, answer), pointer) in [
        (application, "/reference"),
        (borrower, "/borrower"),
        (payment, "/reference"),
        (waive, "/reference"),
        (reversal, "/reference"),
    ] {
        assert_eq!(
            (status, &answer["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{answer}"
        );
        let detail = answer["detail"].as_str().unwrap();
        let expected = "a key has no control characters, such as line breaks and tabs";
        assert!(detail.starts_with(expected), "{detail}");
    }
}

#[test]
fn a_stream_has_an_end_and_its_answer_too() {
    let running = Running::start();
    let mut platform = running.client("bazaar");
    let path = format!("/v1/agreements/{BOOK}/applications/stream");
    let mut send = |body: &str| {
        let sent = platform.0.call(
            "POST",
            &path,
            None,
            Some(("application/x-ndjson", body.as_bytes())),
        );
        sent.unwrap()
    };
    let refused = send(&"x\n".repeat(10_001));
    assert_eq!(
        (refused.status, refused.json()["code"].as_str()),
        (413, Some("too_large"))
    );
    assert_eq!(
        refused.json()["detail"],
        "the body has 10001 lines; send 10000 at the most, and the others in further calls"
    );
    let empty = send(&"\n".repeat(1 << 20));
    assert_eq!((empty.status, empty.body.len()), (200, 0));
    let long = "y".repeat(1 << 16);
    let wrong = send(&format!(
        "{{\"{long}\": 1}}\n{{\"product\": \"{long}\"}}\n{{\"reference\": [\"{long}\"]}}\n"
    ));
    assert_eq!(wrong.status, 200);
    assert!(wrong.body.len() < 3_000, "{}", wrong.body.len());
}

/// What a lender refers waits for its people. The platform sees for whom, and nobody else why.
#[test]
fn people_decide_what_was_referred() {
    let running = Running::start();
    let (mut platform, mut river) = (running.client("bazaar"), running.client("river"));
    let (mut cloud, mut servicer) = (running.client("cloud"), running.client("cloud"));
    for key in ["A-1", "A-2", "A-3", "A-4"] {
        let mut asked = application(key);
        asked["fields"]["debt_to_income"] = Value::Null;
        let (status, referred) = platform.post("/applications", &asked);
        assert_eq!((status, &referred["state"]), (201, &json!("referred")));
        assert_eq!(
            referred["referral"],
            json!({"lenders": ["river"], "valid_to": "2022-01-07"})
        );
        assert_eq!(referred["decisions"], Value::Null);
    }
    // The lender sees which rules fired; another lender neither that nor for whom it waits.
    let (_, own) = river.get("/applications/A-1");
    assert_eq!(own["referral"]["lenders"], json!(["river"]));
    assert_eq!(own["decisions"][0]["reasons"][0]["code"], "R-REF");
    let (_, others) = cloud.get("/applications/A-1");
    assert_eq!(others["referral"], Value::Null);
    assert_eq!(others["decisions"][0]["outcome"], "approve");

    let approve = |maximum, rate: &str| json!({"outcome": "approve", "maximum": money(maximum), "rate": rate});
    let to = |key: &str| format!("/applications/{key}/decision");
    let (status, refused) = platform.post(&to("A-1"), &approve(1, "12.9%"));
    assert_eq!((status, &refused["code"]), (403, &json!("forbidden")));
    assert_eq!(
        refused["detail"],
        "only a lender that referred an application decides on it"
    );
    for (request, pointer, detail) in [
        (
            json!({"outcome": "approve", "rate": "12%"}),
            "/maximum",
            "an approval has the most that is lent",
        ),
        (
            json!({"outcome": "approve", "maximum": money(1)}),
            "/rate",
            "an approval has a rate, like \"12.5%\"",
        ),
        (
            json!({"outcome": "approve", "maximum": money(1), "rate": "12%", "reasons": ["R-REF"]}),
            "/reasons",
            "reasons are for a decline",
        ),
        (
            json!({"outcome": "decline"}),
            "/reasons",
            "a decline has one reason at least, by its code in the policy",
        ),
        (
            json!({"outcome": "decline", "reasons": ["R-REF", "H99"]}),
            "/reasons/1",
            "the policy has no reason `H99`",
        ),
        (
            json!({"outcome": "decline", "reasons": ["R-REF"], "rate": "1%"}),
            "/rate",
            "a decline has no rate",
        ),
    ] {
        let (status, refused) = river.post(&to("A-1"), &request);
        assert_eq!(status, 422, "{refused}");
        assert_eq!(
            refused["errors"],
            json!([{"pointer": pointer, "detail": detail}])
        );
    }
    let (status, refused) = cloud.post(&to("A-1"), &approve(1, "99%"));
    assert_eq!((status, &refused["code"]), (409, &json!("not_referred_by")));
    for (request, pointer) in [
        (approve(15_000_001, "15%"), "/maximum"),
        (approve(0, "15%"), "/maximum"),
        (approve(5_000_000, "1%"), "/rate"),
        (approve(5_000_000, "150%"), "/rate"),
    ] {
        let (status, refused) = river.post(&to("A-1"), &request);
        assert_eq!((status, &refused["code"]), (422, &json!("beyond_policy")));
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{refused}");
    }

    let request = approve(5_000_000, "13%");
    let (status, offered) = river.post(&to("A-1"), &request);
    assert_eq!(
        (status, &offered["state"]),
        (200, &json!("offered")),
        "{offered}"
    );
    assert_eq!(offered["referral"], Value::Null);
    assert_eq!(offered["decisions"][0]["outcome"], "approve");
    // The same again is known, another decision is not taken.
    assert_eq!(river.post(&to("A-1"), &request), (200, offered));
    let (status, refused) = river.post(&to("A-1"), &approve(4_000_000, "13%"));
    assert_eq!(
        (status, &refused["code"]),
        (409, &json!("already_underwritten"))
    );
    let (_, taken) = platform.post("/applications/A-1/acceptance", &Value::Null);
    assert_eq!(taken["state"], "disbursed");

    let declined = river.post(
        &to("A-2"),
        &json!({"outcome": "decline", "reasons": ["R-DTI"]}),
    );
    assert_eq!(declined.1["state"], "declined");
    let (_, told) = platform.get("/applications/A-2");
    let said = "Monthly debts take too much of the income.";
    assert!(told["reasons"].as_array().unwrap().contains(&json!(said)));
    // A lender is told its own reasons, and another lender's to nobody else.
    let (_, own) = river.get("/applications/A-2");
    assert_eq!(own["reasons"], json!([said]));
    let (_, others) = cloud.get("/applications/A-2");
    let why = "the lenders that accept are too few or cover too little";
    assert_eq!(others["reasons"], json!([why]));
    // Those whom it concerns are told, of the third nothing more.
    let kinds = |who: &mut crate::service::Party| {
        let (_, events) = who.get("/events?limit=200");
        let events = events.as_array().unwrap().iter();
        let by_people = events.filter(|event| event["type"] == "application.underwritten");
        by_people.count()
    };
    assert_eq!(
        (kinds(&mut platform), kinds(&mut river), kinds(&mut cloud)),
        (2, 2, 2)
    );
    // The platform takes back what waits, and each that judged it is told.
    let withdrawn = platform.post("/applications/A-4/withdrawal", &Value::Null);
    assert_eq!(
        (withdrawn.0, &withdrawn.1["state"], &withdrawn.1["referral"]),
        (200, &json!("withdrawn"), &Value::Null)
    );
    let (status, refused) = river.post(&to("A-4"), &request);
    assert_eq!((status, &refused["code"]), (409, &json!("no_referral")));
    for who in [&mut platform, &mut river, &mut cloud] {
        let (_, events) = who.get("/events?limit=200");
        let mut events = events.as_array().unwrap().iter();
        assert!(events.any(|event| event["type"] == "offer.withdrawn"));
    }
    for day in 1..8 {
        let day = format!("2022-01-{day:02}");
        let (status, closed) = servicer.post("/days", &json!({"day": day}));
        assert_eq!(status, 201, "{closed}");
    }
    let (_, late) = river.get("/applications/A-3");
    assert_eq!(
        (&late["state"], &late["referral"]),
        (&json!("lapsed"), &Value::Null)
    );
    let (status, refused) = river.post(&to("A-3"), &request);
    assert_eq!((status, &refused["code"]), (409, &json!("no_referral")));
}

/// Nobody can tell what is another's from what is not there.
#[test]
fn what_is_not_yours_does_not_exist() {
    let running = Running::start();
    let (_, offered) = lent(&running);
    let parts = offered["offer"]["parts"].as_array().unwrap();
    assert!(
        parts.iter().all(|part| part["lender"] != "harbour"),
        "{offered}"
    );
    let mut outsider = running.client("harbour");
    // A lender that judged an application and takes no part does not learn who does.
    let (_, judged) = outsider.get("/applications/A-1");
    assert_eq!(judged["decisions"][0]["lender"], "harbour");
    assert_eq!(judged["offer"], Value::Null);
    let (_, events) = outsider.get("/events?limit=200");
    let decided = |event: &Value| event["type"] == "application.decided";
    assert!(events.as_array().unwrap().iter().any(decided), "{events}");
    for path in ["", "/schedule", "/quote", "/transactions", "/postings"] {
        let foreign = outsider.get(&format!("/loans/A-1{path}"));
        assert_eq!(
            foreign,
            outsider.get(&format!("/loans/A-9{path}")),
            "{path}"
        );
        assert_eq!(foreign.0, 404);
    }
    let sale = json!({"reference": "S", "instruction": "sell 50% harbour cloud 98%"});
    let foreign = outsider.post("/loans/A-1/transactions", &sale);
    assert_eq!(foreign, outsider.post("/loans/A-9/transactions", &sale));
    let mut stranger = running.client("nobody");
    assert_eq!(stranger.get(""), stranger.get("/loans/A-1"));
    assert_eq!(stranger.get("").0, 404);
    let of_none = stranger
        .0
        .call("GET", "/v1/agreements", None, None)
        .unwrap();
    assert_eq!(of_none.json(), json!([]));
}

/// The seller and the buyer of a share both instruct its sale.
#[test]
fn a_sale_takes_both_sides() {
    let running = Running::start();
    let (mut platform, offered) = lent(&running);
    let (_, agreement) = platform.get("");
    let day = agreement["business_date"].as_str().unwrap();
    let (mut river, mut cloud) = (running.client("river"), running.client("cloud"));
    let mut harbour = running.client("harbour");
    let said = |(status, body): (u16, Value)| {
        let (code, detail) = (body["code"].as_str(), body["detail"].as_str());
        format!("{status} {}: {}", code.unwrap(), detail.unwrap())
    };
    let outcome = |(status, body): (u16, Value)| {
        let outcome = body["outcome"].as_str().unwrap_or_default();
        format!("{status} {outcome}")
    };
    let to = "/loans/A-1/transactions";
    let sell = |reference: &str, words: &str| json!({"reference": reference, "instruction": words});
    let sale = "sell 50% river harbour 98%";
    let held = |party: &mut Party| {
        let (_, loan) = party.get("/loans/A-1");
        let parts = loan["parts"].as_array().unwrap().iter();
        let parts = parts.map(|part| {
            (
                part["lender"].clone(),
                part["outstanding"]["amount"].clone(),
            )
        });
        parts.collect::<Vec<_>>()
    };
    let before = held(&mut river);

    // Neither the servicer nor anybody else sells what another holds, and nobody buys for another.
    let nobody =
        "403 forbidden: a sale is instructed by its seller and its buyer, and by nobody else";
    assert_eq!(said(cloud.post(to, &sell("S-0", sale))), nobody);
    assert_eq!(said(platform.post(to, &sell("S-0", sale))), nobody);
    assert_eq!(
        said(river.post(to, &sell("S-0", "sell 100% cloud harbour 98%"))),
        nobody
    );
    // A buyer that does not see the loan is told nothing of it, unless its holder asks it.
    let missing = "404 not_found: there is no such loan for this caller";
    assert_eq!(said(harbour.post(to, &sell("B-1", sale))), missing);
    assert_eq!(
        said(harbour.post("/loans/A-9/transactions", &sell("B-1", sale))),
        missing
    );
    // What the book refuses at once does not wait.
    for (words, date, refused) in [
        (
            "sell 50% river bazaar 98%",
            day,
            "422 bad_party: `bazaar` cannot buy: it is not a lender by its kind; name a lender",
        ),
        (
            "sell 50% river harbour 201%",
            day,
            "422 bad_rate: a price of 201.00% is not possible; it must lie between 0.00% and 200.00%",
        ),
        (
            sale,
            "2030-01-01",
            "422 in_future: value date 2030-01-01 lies after the business date",
        ),
    ] {
        let mut body = sell("S-0", words);
        body["value_date"] = json!(date);
        let answer = said(river.post(to, &body));
        assert!(answer.starts_with(refused), "{answer}");
    }
    let long = "S".repeat(75);
    assert_eq!(
        said(river.post(to, &sell(&long, sale))),
        "422 invalid: a reference of yours has 1 to 74 characters"
    );
    assert_eq!(harbour.get("/sales"), (200, json!([])));

    // The seller's waits for the buyer, which sees what it is asked to buy.
    assert_eq!(outcome(river.post(to, &sell("S-1", sale))), "202 unmatched");
    assert_eq!(outcome(river.post(to, &sell("S-1", sale))), "202 unmatched");
    assert_eq!(
        said(river.post(to, &sell("S-1", "sell 50% river harbour 97%"))),
        "422 key_used: key `S-1` was used before with other content; use a new key"
    );
    let parts = offered["offer"]["parts"].as_array().unwrap();
    let part = parts.iter().find(|part| part["lender"] == "river").unwrap();
    let half = part["amount"]["amount"].as_i64().unwrap() / 2;
    let (_, waiting) = harbour.get("/sales");
    let valid_to = waiting[0]["valid_to"].clone();
    let mut expected = json!({
        "loan": "A-1",
        "seller": "river",
        "buyer": "harbour",
        "waits_for": "harbour",
        "part": "50.00%",
        "price": "98.00%",
        "instruction": "sell 50.00% river harbour 98.00%",
        "value_date": day,
        "valid_to": valid_to,
        "outstanding": money(half),
        "days_past_due": 0,
    });
    assert_eq!(waiting, json!([expected]));
    expected["reference"] = json!("S-1");
    assert_eq!(river.get("/sales").1, json!([expected]));
    assert_eq!(cloud.get("/sales").1, json!([]));
    assert_eq!(said(harbour.get("/loans/A-1")), missing);
    assert_eq!(held(&mut river), before);

    // What does not match waits in a place of its own; each side takes back its own.
    assert_eq!(
        outcome(harbour.post(to, &sell("B-0", "sell 50% river harbour 90%"))),
        "202 unmatched"
    );
    let (_, waiting) = river.get("/sales");
    assert_eq!(waiting[1]["waits_for"], "river");
    assert_eq!(harbour.delete("/sales/S-1"), 404);
    assert_eq!(river.delete("/sales/B-0"), 404);
    assert_eq!(harbour.delete("/sales/B-0"), 204);
    assert_eq!(harbour.delete("/sales/B-0"), 404);
    assert_eq!(held(&mut river), before);

    // What matches is carried out, and known to both sides by their own keys.
    assert_eq!(outcome(harbour.post(to, &sell("B-1", sale))), "201 done");
    assert_eq!(outcome(harbour.post(to, &sell("B-1", sale))), "201 known");
    assert_eq!(outcome(river.post(to, &sell("S-1", sale))), "201 known");
    assert_eq!(river.delete("/sales/S-1"), 404);
    assert_eq!(harbour.get("/sales").1, json!([]));
    for (party, reference) in [
        (&mut river, "S-1"),
        (&mut harbour, "B-1"),
        (&mut cloud, "river/S-1"),
    ] {
        let (_, done) = party.get(to);
        assert_eq!(done[0]["reference"], reference, "{done}");
    }
    let after = held(&mut harbour);
    assert!(
        after.contains(&(json!("harbour"), json!(half))),
        "{after:?}"
    );

    // The refusal of a match goes to the second; the first waits on.
    let rest = "sell 100% river harbour 98%";
    assert_eq!(
        outcome(harbour.post(to, &sell("B-2", rest))),
        "202 unmatched"
    );
    let all = "sell 100% river cloud 98%";
    assert_eq!(outcome(river.post(to, &sell("S-2", all))), "202 unmatched");
    assert_eq!(outcome(cloud.post(to, &sell("C-2", all))), "201 done");
    let nothing = "422 bad_party: `river` cannot sell: it holds nothing of the loan on that day; \
                   name a holder";
    assert_eq!(said(river.post(to, &sell("S-3", rest))), nothing);
    let (_, waiting) = harbour.get("/sales");
    assert_eq!(waiting[0]["reference"], "B-2", "{waiting}");
    // It lapses after five business days.
    let last = waiting[0]["valid_to"].as_str().unwrap();
    platform.post("/days", &json!({ "day": day }));
    assert_eq!(harbour.get("/sales").1, waiting);
    platform.post("/days", &json!({ "day": last }));
    assert_eq!(harbour.get("/sales").1, json!([]));
}

/// What came before the sale stays the seller's, so it follows the loan like those who hold it.
#[test]
fn who_sold_all_of_a_loan_sees_it_go_on_and_is_owed_what_changes_before_the_sale() {
    let running = Running::start();
    let (mut platform, _) = lent(&running);
    let (mut river, mut harbour) = (running.client("river"), running.client("harbour"));
    let mut cloud = running.client("cloud");
    let (_, plan) = cloud.get("/loans/A-1/schedule");
    let due = |at: usize| plan[at]["due"].as_str().unwrap();
    let payment = |reference: &str, day: &str| json!({"reference": reference, "amount": money(200_000), "value_date": day});
    platform.post("/days", &json!({"day": due(0)}));
    let paid = cloud.post("/loans/A-1/payments", &payment("P-1", due(0)));
    assert_eq!(paid.0, 201, "{}", paid.1);
    let sale = |reference: &str| json!({"reference": reference, "instruction": "sell 100% river harbour 98%"});
    river.post("/loans/A-1/transactions", &sale("S-1"));
    assert_eq!(harbour.post("/loans/A-1/transactions", &sale("B-1")).0, 201);
    platform.post("/days", &json!({"day": due(1)}));
    let postings = |river: &mut Party| {
        let (_, list) = river.get("/loans/A-1/postings");
        list.as_array().unwrap().len()
    };
    let own = postings(&mut river);
    assert_eq!(
        cloud.post("/loans/A-1/payments", &payment("P-2", due(1))).0,
        201
    );

    // It sees what the buyer sees: state and parts, plan, quote, and each transaction and event.
    for path in ["", "/schedule", "/quote"] {
        let path = format!("/loans/A-1{path}");
        let seen = river.get(&path);
        assert_eq!((seen.0, &seen), (200, &harbour.get(&path)));
    }
    let (_, done) = river.get("/loans/A-1/transactions");
    assert_eq!(done[2]["reference"], "P-2", "{done}");
    let last = |party: &mut Party| {
        let (_, events) = party.get("/events?limit=200");
        events.as_array().unwrap().last().unwrap().clone()
    };
    assert_eq!(last(&mut river)["reference"], "P-2");
    assert_eq!(last(&mut river), last(&mut harbour));
    // None of it is its money.
    assert_eq!(postings(&mut river), own);

    // What changes before the sale changes what was sold.
    let reversal = json!({"reference": "R-1", "of": "P-1"});
    assert_eq!(cloud.post("/loans/A-1/reversals", &reversal).0, 201);
    assert!(postings(&mut river) > own);
    assert_eq!(last(&mut river)["type"], "loan.reversed");
}

/// Between the match and the book a service may stop; and nobody fills the registry.
#[test]
fn what_matched_is_carried_out_by_whoever_sends_it_again() {
    let running = Running::start();
    lent(&running);
    let (mut river, mut cloud) = (running.client("river"), running.client("cloud"));
    let to = "/loans/A-1/transactions";
    let sell = |reference: &str, part: &str| {
        let words = format!("sell {part} river cloud 98%");
        json!({"reference": reference, "instruction": words})
    };
    let run = |sql: &str| {
        let done: registry::Result<usize> = running
            .service
            .registry
            .change(|tables| tables.execute(sql, &[]));
        assert!(done.unwrap() > 0);
    };
    assert_eq!(river.post(to, &sell("S-1", "50%")).0, 202);
    run("insert into sale
         (book, party, key, loan, seller, buyer, part, price, value_date, valid_to)
         select book, buyer, 'B-1', loan, seller, buyer, part, price, value_date, valid_to
         from sale");
    run("update sale set book_key = 'river/S-1'");
    assert_eq!(river.delete("/sales/S-1"), 404);
    let (status, sold) = cloud.post(to, &sell("B-1", "50%"));
    assert_eq!((status, &sold["outcome"]), (201, &json!("done")), "{sold}");
    let (status, sold) = river.post(to, &sell("S-1", "50%"));
    assert_eq!((status, &sold["outcome"]), (201, &json!("known")), "{sold}");

    run("insert into sale
         (book, party, key, loan, seller, buyer, part, price, value_date, valid_to)
         with recursive n (n) as (select 1 union all select n + 1 from n where n < 1000)
         select book, party, 'W-' || n, loan, seller, buyer, part, price, value_date, valid_to
         from n, sale where party = 'river'");
    let (status, full) = river.post(to, &sell("S-2", "25%"));
    assert_eq!(
        (status, full["detail"].as_str().unwrap()),
        (
            409,
            "1000 sales wait for their other sides already; take some back, or wait until they lapse"
        )
    );
    // They are not in the other's way.
    assert_eq!(cloud.post(to, &sell("B-2", "25%")).0, 202);
}

/// No party meets the keys of another.
#[test]
fn keys_of_instructions_are_a_party_s_own() {
    let running = Running::start();
    lent(&running);
    let (mut river, mut cloud) = (running.client("river"), running.client("cloud"));
    let to = "/loans/A-1/transactions";
    let sale = json!({"reference": "P-1", "instruction": "sell 1% river cloud 98%"});
    let paid = json!({"reference": "P-1", "amount": money(1)});
    // A key that the servicer has used is free for a lender, and the other way round.
    assert_eq!(cloud.post("/loans/A-1/payments", &paid).0, 201);
    assert_eq!(river.post(to, &sale).0, 202);
    let bought = json!({"reference": "C-1", "instruction": "sell 1% river cloud 98%"});
    assert_eq!(cloud.post(to, &bought).0, 201);
    let next = json!({"reference": "P-2", "instruction": "sell 1% river cloud 98%"});
    assert_eq!(river.post(to, &next).0, 202);
    let paid = json!({"reference": "P-2", "amount": money(1)});
    assert_eq!(cloud.post("/loans/A-1/payments", &paid).0, 201);
    // The servicer takes a sale back by its key in the book.
    let reversal = json!({"reference": "R-1", "of": "river/P-1"});
    assert_eq!(cloud.post("/loans/A-1/reversals", &reversal).0, 201);
}

/// A person's data is kept for one party, and a book knows a token alone.
#[test]
fn a_person_stays_out_of_the_book() {
    let running = Running::start();
    let (mut platform, mut lender) = (running.client("bazaar"), running.client("river"));
    let person = json!({"data": {"name": "Wang Fang", "phone": "13800000000"}});
    let bytes = serde_json::to_vec(&person).unwrap();
    let body = Some(("application/json", bytes.as_slice()));
    let stored = platform
        .0
        .call("POST", "/v1/persons", Some("p"), body)
        .unwrap();
    assert_eq!(stored.status, 201);
    let token = stored.json()["token"].as_str().unwrap().to_owned();
    let mut request = application("A-1");
    request["borrower"] = json!(token);
    assert_eq!(platform.post("/applications", &request).0, 201);
    let path = format!("/v1/persons/{token}");
    assert_eq!(
        platform.0.call("GET", &path, None, None).unwrap().json(),
        person
    );
    let foreign = lender.0.call("GET", &path, None, None).unwrap();
    let absent = lender
        .0
        .call("GET", "/v1/persons/none", None, None)
        .unwrap();
    assert_eq!((foreign.status, foreign.json()), (404, absent.json()));
    let foreign = lender.0.call("DELETE", &path, None, None).unwrap();
    assert_eq!((foreign.status, foreign.json()), (404, absent.json()));
    assert_eq!(
        platform.0.call("DELETE", &path, None, None).unwrap().status,
        204
    );
    assert_eq!(
        platform.0.call("GET", &path, None, None).unwrap().status,
        404
    );
    let seen = platform
        .0
        .call("GET", &format!("{path}/accesses"), None, None)
        .unwrap()
        .json();
    let seen: Vec<_> = seen
        .as_array()
        .unwrap()
        .iter()
        .map(|seen| seen["what"].clone())
        .collect();
    assert_eq!(seen, ["erased", "read", "stored"]);
}
