//! Events on their way to a receiver that takes them, fails, or wants no more.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use serde_json::{Value, json};
use tandem_client::key::{Jwk, PublicKey};
use tandem_web::webhooks::PAUSES;

use crate::api::{application, lent};
use crate::service::{Party, Running, is_on_server, open};

/// What arrives: fields and body.
pub(crate) type Arrived = (HashMap<String, String>, String);

/// A receiver: answers with what it is told, and with 204 otherwise.
pub(crate) struct Receiving {
    pub(crate) url: String,
    answers: Arc<Mutex<VecDeque<u16>>>,
    arrived: Receiver<Arrived>,
}

impl Receiving {
    pub(crate) fn start() -> Receiving {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let answers = Arc::new(Mutex::new(VecDeque::new()));
        let (sender, arrived) = channel();
        let told = answers.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (sender, told) = (sender.clone(), told.clone());
                std::thread::spawn(move || receive(stream.unwrap(), &sender, &told));
            }
        });
        Receiving {
            url,
            answers,
            arrived,
        }
    }

    pub(crate) fn next(&self) -> Arrived {
        self.arrived.recv_timeout(Duration::from_secs(20)).unwrap()
    }

    fn answer(&self, statuses: impl IntoIterator<Item = u16>) {
        self.answers.lock().unwrap().extend(statuses);
    }
}

fn receive(stream: TcpStream, sender: &Sender<Arrived>, told: &Mutex<VecDeque<u16>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        assert_eq!(line.trim(), "POST /events HTTP/1.1");
        let mut headers = HashMap::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).unwrap();
            match line.trim().split_once(':') {
                Some((name, value)) => {
                    headers.insert(name.to_ascii_lowercase(), value.trim().to_owned())
                }
                None => break,
            };
        }
        let mut body = vec![0; headers["content-length"].parse().unwrap()];
        reader.read_exact(&mut body).unwrap();
        let status = told.lock().unwrap().pop_front().unwrap_or(204);
        sender
            .send((headers, String::from_utf8(body).unwrap()))
            .unwrap();
        let moved = match status {
            302 => "Location: http://127.0.0.1:1/\r\n",
            _ => "",
        };
        let answer = format!("HTTP/1.1 {status} x\r\n{moved}Content-Length: 0\r\n\r\n");
        stream.write_all(answer.as_bytes()).unwrap();
    }
}

/// The event in a message, if its signature is right.
fn verified(public_key: &Value, (headers, body): &Arrived) -> Value {
    let key = public_key.as_str().unwrap().strip_prefix("whpk_").unwrap();
    let key = URL_SAFE_NO_PAD.encode(STANDARD.decode(key).unwrap());
    let jwk: Jwk =
        serde_json::from_value(json!({"kty": "OKP", "crv": "Ed25519", "x": key})).unwrap();
    let signature = headers["webhook-signature"].strip_prefix("v1a,").unwrap();
    let signed = format!(
        "{}.{}.{body}",
        headers["webhook-id"], headers["webhook-timestamp"]
    );
    let key = PublicKey::from_jwk(&jwk).unwrap();
    assert!(key.verify(signed.as_bytes(), &STANDARD.decode(signature).unwrap()));
    serde_json::from_str(body).unwrap()
}

/// The delivery of an event, once it is as it should be.
fn delivery(party: &mut Party, id: &str, event: &Value, is: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    for _ in 0..1_000 {
        let (_, list) = party.get(&format!("/webhooks/{id}/deliveries"));
        let items = list["items"].as_array().unwrap();
        let found = items.iter().find(|item| item["event"] == *event);
        last = found.cloned().unwrap_or_default();
        if is(&last) {
            return last;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("the delivery stays {last}");
}

#[test]
fn events_arrive_signed_and_in_order() {
    let running = Running::start();
    let receiving = Receiving::start();
    let (mut platform, mut lender) = (running.client("bazaar"), running.client("river"));
    let (status, all) = platform.post("/webhooks", &json!({"url": receiving.url}));
    assert_eq!((status, &all["state"]), (201, &json!("active")), "{all}");
    platform.post("/applications", &application("A-1"));
    platform.post("/applications/A-1/acceptance", &Value::Null);
    let (_, events) = platform.get("/events");
    let new = &events.as_array().unwrap()[1..];
    assert_eq!(new.len(), 2, "{events}");
    for event in new {
        assert_eq!(verified(&all["public_key"], &receiving.next()), *event);
    }

    // Another party hears what it asks for, from where it asks, and sees its own webhooks only.
    let other = Receiving::start();
    let wanted = json!({"url": other.url, "events": ["loan.disbursed"], "after": 0});
    let (_, some) = lender.post("/webhooks", &wanted);
    let event = verified(&some["public_key"], &other.next());
    assert_eq!(event["type"], "loan.disbursed");
    let path = format!("/webhooks/{}", all["id"].as_str().unwrap());
    assert_eq!(lender.get(&path), lender.get("/webhooks/wh_none"));
    assert_eq!(lender.delete(&path), 404);
    assert_eq!(platform.get(&path), (200, all.clone()));
    assert_eq!(platform.get("/webhooks").1, json!([all]));

    // An event can be sent again, under the same id.
    let number = &new[0]["number"];
    delivery(&mut platform, all["id"].as_str().unwrap(), number, |now| {
        now["state"] == "delivered"
    });
    let (status, again) =
        platform.post(&format!("{path}/deliveries/{number}/resend"), &Value::Null);
    assert_eq!((status, &again["event"]), (202, number), "{again}");
    let arrived = receiving.next();
    assert_eq!(verified(&all["public_key"], &arrived), new[0]);
    assert_eq!(
        arrived.0["webhook-id"],
        format!("{}-{number}", all["id"].as_str().unwrap())
    );
    assert_eq!(platform.delete(&path), 204);
    assert_eq!(platform.get(&path).0, 404);
    platform.post("/applications", &application("A-2"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(receiving.arrived.try_recv().is_err());
}

/// Whether something is in a file of a service.
fn is_written(running: &Running, text: &str) -> bool {
    let files = std::fs::read_dir(running.folder()).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files.filter(|file| file.is_file()).any(|file| {
        let bytes = std::fs::read(file).unwrap();
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    })
}

/// With a shared secret: it is given once, and lies nowhere as it is.
#[test]
fn a_secret_is_shown_once() {
    let running = Running::start();
    let receiving = Receiving::start();
    let mut platform = running.client("bazaar");
    let wanted = json!({"url": receiving.url, "scheme": "v1"});
    let added = platform.send("/webhooks", "key-1", &wanted);
    let mut webhook = added.json();
    assert_eq!((added.status, &webhook["scheme"]), (201, &json!("v1")));
    assert_eq!(webhook.get("public_key"), None);
    let secret = webhook["secret"].take().as_str().unwrap().to_owned();
    webhook.as_object_mut().unwrap().remove("secret");

    let again = platform.send("/webhooks", "key-1", &wanted);
    assert_eq!((again.status, again.json()), (201, webhook.clone()));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let path = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    assert_eq!(platform.get(&path), (200, webhook.clone()));
    assert_eq!(platform.get("/webhooks"), (200, json!([webhook])));

    platform.post("/applications", &application("A-1"));
    let (headers, body) = receiving.next();
    let key = secret.strip_prefix("whsec_").unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &STANDARD.decode(key).unwrap());
    let signature = headers["webhook-signature"].strip_prefix("v1,").unwrap();
    let (id, at) = (&headers["webhook-id"], &headers["webhook-timestamp"]);
    let signed = format!("{id}.{at}.{body}");
    let signature = STANDARD.decode(signature).unwrap();
    hmac::verify(&key, signed.as_bytes(), &signature).unwrap();
    assert!(is_on_server() || is_written(&running, webhook["id"].as_str().unwrap()));
    assert!(!is_written(&running, &secret));

    // With a sealed key that was changed nothing is sent, and nobody is told a wrong key.
    let registry = open(running.folder(), "registry", &[]);
    let change = "UPDATE webhook SET key = 'AAAA'";
    let changed = registry.change(|tables| tables.execute(change, &[]));
    assert_eq!(changed.unwrap(), 1);
    drop(registry);
    let running = running.again();
    let mut platform = running.client("bazaar");
    let (status, problem) = platform.get(&path);
    assert_eq!((status, &problem["code"]), (500, &json!("internal")));
    platform.post("/applications", &application("A-2"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(receiving.arrived.try_recv().is_err());
    assert_eq!(platform.delete(&path), 204);
}

/// Ten tries over three days; what comes in between does not wait for what fails.
#[test]
fn what_is_not_accepted_is_tried_for_three_days() {
    let running = Running::start();
    let receiving = Receiving::start();
    let mut platform = running.client("bazaar");
    let (_, webhook) = platform.post("/webhooks", &json!({"url": receiving.url}));
    let id = webhook["id"].as_str().unwrap();
    receiving.answer([500, 204, 302]);
    receiving.answer([429; 7]);
    platform.post("/applications", &application("A-1"));
    let first = verified(&webhook["public_key"], &receiving.next());
    platform.post("/applications", &application("A-2"));
    let second = verified(&webhook["public_key"], &receiving.next());
    assert_eq!(second["subject"], "A-2");
    let mut seconds = 0;
    for (tries, pause) in (1..).zip(PAUSES) {
        let waits = delivery(&mut platform, id, &first["number"], |now| {
            now["tries"] == tries && now["state"] == "pending"
        });
        let next = waits["next_at"].as_i64().unwrap();
        assert_eq!(next - waits["tried_at"].as_i64().unwrap(), pause);
        if tries == 2 {
            assert_eq!(waits["error"], "it answered 302");
        }
        if tries == 9 {
            // Whoever accepts in the end misses nothing.
            receiving.answer([204]);
        }
        running.pass(pause + 1);
        seconds += pause + 1;
        assert_eq!(verified(&webhook["public_key"], &receiving.next()), first);
    }
    assert!((70 * 3_600..73 * 3_600).contains(&seconds), "{seconds}");
    let done = delivery(&mut platform, id, &first["number"], |now| {
        now["state"] == "delivered"
    });
    assert_eq!((&done["tries"], &done["status"]), (&json!(10), &json!(204)));

    // After a month the log has lost it.
    running.pass(31 * 24 * 3_600);
    platform.post("/applications", &application("A-3"));
    let third = verified(&webhook["public_key"], &receiving.next());
    let (_, log) = platform.get(&format!("/webhooks/{id}/deliveries"));
    let left: Vec<_> = log["items"].as_array().unwrap().iter().collect();
    assert_eq!(left.len(), 1, "{log}");
    assert_eq!(left[0]["event"], third["number"]);
}

/// The side that is asked hears of it, if it wants to; nobody else does.
#[test]
fn a_sale_that_waits_is_told_to_the_side_that_it_waits_for() {
    let running = Running::start();
    lent(&running);
    let (mut river, mut harbour) = (running.client("river"), running.client("harbour"));
    let mut cloud = running.client("cloud");
    let (asked, seller) = (Receiving::start(), Receiving::start());
    let (other, all) = (Receiving::start(), Receiving::start());
    let named = |to: &Receiving| json!({"url": to.url, "events": ["sale.unmatched"]});
    let (_, webhook) = harbour.post("/webhooks", &named(&asked));
    river.post("/webhooks", &named(&seller));
    cloud.post("/webhooks", &named(&other));
    harbour.post("/webhooks", &json!({"url": all.url}));
    let to = "/loans/A-1/transactions";
    let sell = |reference: &str, words: &str| json!({"reference": reference, "instruction": words});
    let sale = "sell 50% river harbour 98%";

    // It is tried again as an event is, under the same id.
    asked.answer([500]);
    let (status, _) = river.post(to, &sell("S-1", sale));
    assert_eq!(status, 202);
    running.pass(1);
    let first = asked.next();
    let told = json!({"type": "sale.unmatched", "subject": "A-1"});
    assert_eq!(verified(&webhook["public_key"], &first), told);
    let id = webhook["id"].as_str().unwrap();
    let begin = format!("{id}-sale-");
    assert!(first.0["webhook-id"].starts_with(&begin), "{first:?}");
    assert!(!first.0.contains_key("traceparent"));
    std::thread::sleep(Duration::from_millis(300));
    running.pass(PAUSES[0] + 1);
    let again = asked.next();
    assert_eq!(verified(&webhook["public_key"], &again), told);
    assert_eq!(again.0["webhook-id"], first.0["webhook-id"]);

    // Once is enough; the next one is another message, also where it has the place of one before.
    std::thread::sleep(Duration::from_millis(300));
    running.pass(PAUSES[1] + 1);
    std::thread::sleep(Duration::from_millis(300));
    assert!(asked.arrived.try_recv().is_err());
    assert_eq!(river.delete("/sales/S-1"), 204);
    running.pass(1);
    std::thread::sleep(Duration::from_millis(300));
    river.post(to, &sell("S-1", sale));
    running.pass(1);
    let next = asked.next();
    assert_eq!(verified(&webhook["public_key"], &next), told);
    assert_ne!(next.0["webhook-id"], first.0["webhook-id"]);

    // The log is of events; so is what is sent where nothing is named.
    let (_, log) = harbour.get(&format!("/webhooks/{id}/deliveries"));
    assert_eq!(log["items"], json!([]));
    let (status, _) = harbour.post(to, &sell("B-1", sale));
    assert_eq!(status, 201);
    let (_, event) = all.next();
    assert!(event.contains("loan.instructed"), "{event}");
    running.pass(1);
    std::thread::sleep(Duration::from_millis(300));
    for receiving in [asked, seller, other, all] {
        assert!(receiving.arrived.try_recv().is_err());
    }
}

/// What was taken back before it was told is not told any more.
#[test]
fn a_sale_that_does_not_wait_any_more_is_not_told() {
    let running = Running::start();
    lent(&running);
    let (mut river, mut harbour) = (running.client("river"), running.client("harbour"));
    let asked = Receiving::start();
    let wanted = json!({"url": asked.url, "events": ["sale.unmatched"]});
    harbour.post("/webhooks", &wanted);
    asked.answer([500]);
    let sale = json!({"reference": "S-1", "instruction": "sell 50% river harbour 98%"});
    river.post("/loans/A-1/transactions", &sale);
    running.pass(1);
    asked.next();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(river.delete("/sales/S-1"), 204);
    running.pass(PAUSES[0] + 1);
    std::thread::sleep(Duration::from_millis(300));
    assert!(asked.arrived.try_recv().is_err());
}

#[test]
fn who_is_gone_is_not_called_again() {
    let running = Running::start();
    let receiving = Receiving::start();
    let mut platform = running.client("bazaar");
    let (_, webhook) = platform.post("/webhooks", &json!({"url": receiving.url}));
    let id = webhook["id"].as_str().unwrap();
    receiving.answer([410]);
    platform.post("/applications", &application("A-1"));
    let gone = verified(&webhook["public_key"], &receiving.next());
    let number = &gone["number"];
    let failed = delivery(&mut platform, id, number, |now| now["state"] == "failed");
    assert_eq!(failed["error"], "it answered 410");
    let path = format!("/webhooks/{id}");
    let disabled = (0..100).map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        platform.get(&path).1
    });
    let disabled = disabled.into_iter().find(|now| now["state"] == "disabled");
    assert_eq!(disabled.unwrap()["reason"], "it answered 410 (Gone)");
    platform.post("/applications", &application("A-2"));
    let (status, refused) =
        platform.post(&format!("{path}/deliveries/{number}/resend"), &Value::Null);
    assert_eq!((status, &refused["code"]), (409, &json!("state_conflict")));
    assert_eq!(
        refused["detail"],
        "the webhook is disabled: it answered 410 (Gone); activate it first"
    );

    // Activated, it goes on where it stopped.
    assert!(receiving.arrived.try_recv().is_err());
    let (status, active) = platform.post(&format!("{path}/activation"), &Value::Null);
    assert_eq!((status, &active["state"]), (200, &json!("active")));
    let next = verified(&webhook["public_key"], &receiving.next());
    assert_eq!(next["subject"], "A-2");

    // Three days without one that is accepted end it too.
    receiving.answer([503; 10]);
    platform.post("/applications", &application("A-3"));
    let lost = verified(&webhook["public_key"], &receiving.next());
    running.pass(1);
    for (tries, pause) in (1..).zip(PAUSES) {
        delivery(&mut platform, id, &lost["number"], |now| {
            now["tries"] == tries
        });
        running.pass(pause + 1);
        receiving.next();
    }
    delivery(&mut platform, id, &lost["number"], |now| {
        now["state"] == "failed"
    });
    let (_, ended) = platform.get(&path);
    assert_eq!(ended["reason"], "it accepted nothing for three days");
}

#[test]
fn each_refusal_of_a_webhook_says_why() {
    let running = Running::start();
    let mut platform = running.client("bazaar");
    for (body, pointer, detail) in [
        (
            json!({"url": "ftp://example.com/"}),
            "/url",
            "`ftp://example.com/` must begin with http:// or https://",
        ),
        (
            json!({"url": "https://example.com/", "scheme": "v2"}),
            "/scheme",
            "unknown variant `v2`, expected `v1a` or `v1` at line 1 column 14",
        ),
        (
            json!({"url": "https://example.com/", "events": ["loan.disbursed", "loan.lost"]}),
            "/events/1",
            "there are no events `loan.lost`; there are agreement.signed, application.decided, \
             application.underwritten, \
             offer.withdrawn, loan.disbursed, loan.instructed, loan.reversed, loan.charged_off, \
             day.ended, settlement.planned, settlement.settled, day.adjusted, day.closed, \
             rate.fixed, slice.sent, slice.received, sale.unmatched",
        ),
    ] {
        let (status, problem) = platform.post("/webhooks", &body);
        assert_eq!(status, 422);
        assert_eq!(
            problem["errors"],
            json!([{"pointer": pointer, "detail": detail}])
        );
    }
    let (_, webhook) = platform.post("/webhooks", &json!({"url": "https://example.com/"}));
    let path = format!("/webhooks/{}", webhook["id"].as_str().unwrap());
    for event in ["1", "x"] {
        let resend = format!("{path}/deliveries/{event}/resend");
        let (status, problem) = platform.post(&resend, &Value::Null);
        assert_eq!(
            (status, &problem["detail"]),
            (404, &json!("there is no such delivery for this caller"))
        );
    }
    for _ in 1..10 {
        let (status, _) = platform.post("/webhooks", &json!({"url": "https://example.com/"}));
        assert_eq!(status, 201);
    }
    let (status, problem) = platform.post("/webhooks", &json!({"url": "https://example.com/"}));
    assert_eq!(
        (status, &problem["detail"]),
        (
            409,
            &json!("a party has 10 webhooks in an agreement at the most; delete one")
        )
    );
}
