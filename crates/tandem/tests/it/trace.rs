//! What a collector gets of a service that runs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::common::{examples, tandem, text};
use super::serve::Demo;

/// A collector that takes everything, and gives each request's fields and body.
fn collector() -> (String, Receiver<(String, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, arrived) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") && stream.read_line(&mut head).unwrap() > 0 {
                let line = head.lines().last().unwrap().to_ascii_lowercase();
                let value = line.strip_prefix("content-length: ");
                length = value.map_or(length, |value| value.parse().unwrap());
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
            stream.get_mut().write_all(answer.as_bytes()).unwrap();
            let body = serde_json::from_slice(&body).unwrap();
            // The test may have ended.
            let _ = sender.send((head, body));
        }
    });
    (url, arrived)
}

/// The values of a list of attributes, by key.
fn attributes(of: &Value) -> BTreeMap<&str, &str> {
    let attributes = of["attributes"].as_array().unwrap().iter();
    let attributes = attributes.map(|attribute| {
        let value = &attribute["value"];
        let value = value["stringValue"].as_str().or(value["intValue"].as_str());
        (attribute["key"].as_str().unwrap(), value.unwrap())
    });
    attributes.collect()
}

#[test]
fn a_collector_gets_calls_and_their_stages_and_nothing_about_anybody() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (url, arrived) = collector();
    let demo = Demo::start_with(folder, |command| {
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &url);
        command.env("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret%2Bkey");
        command.env("OTEL_SERVICE_NAME", "lending");
    });
    let application = examples().join("partner/application.json");
    let application = application.to_str().unwrap();
    let applications = "/v1/agreements/marketplace/applications";
    for words in [
        ["POST", applications, "--body", application].as_slice(),
        &["GET", &format!("{applications}?limit=1")],
        &["GET", &format!("{applications}/nobody-s")],
    ] {
        let key = "demo/keys/bazaar.pem";
        let who = [
            "--client",
            "demo-bazaar",
            "--key",
            key,
            "--base",
            &demo.base,
        ];
        tandem(folder, &[&["call"], words, &who].concat());
    }
    // Who shows nothing, and who asks how it is, fills no collector.
    for path in ["/v1/agreements", "/healthz"] {
        let _ = ureq::get(format!("{}{path}", demo.base)).call();
    }
    // What waits is sent when the service is told to stop.
    let mut demo = demo;
    let stop = Command::new("kill")
        .args(["-TERM", &demo.child.id().to_string()])
        .status();
    assert!(stop.unwrap().success());
    assert!(demo.child.wait().unwrap().success());
    let mut requests = Vec::new();
    while let Ok(request) = arrived.recv_timeout(Duration::from_secs(1)) {
        requests.push(request);
    }
    let mut spans = Vec::new();
    for (head, body) in &requests {
        let head = head.to_ascii_lowercase();
        assert!(head.contains("api-key: secret+key\r\n"), "{head}");
        let of = &body["resourceSpans"][0];
        assert_eq!(attributes(&of["resource"])["service.name"], "lending");
        spans.extend(of["scopeSpans"][0]["spans"].as_array().unwrap());
        let all = body.to_string();
        for private in ["limit", "nobody-s", "API-1", "eyJ", "127.0.0.1"] {
            assert!(!all.contains(private), "{private}: {all}");
        }
    }
    let calls = spans.iter().filter(|span| span["kind"] == 2);
    let names: Vec<_> = calls.map(|span| span["name"].as_str().unwrap()).collect();
    let route = "/v1/agreements/{agreement}/applications";
    assert_eq!(
        names,
        [
            "POST /oauth/token",
            &format!("POST {route}"),
            "POST /oauth/token",
            &format!("GET {route}"),
            "POST /oauth/token",
            &format!("GET {route}/{{reference}}"),
        ]
    );
    let call = spans
        .iter()
        .find(|span| span["name"] == *format!("POST {route}"))
        .unwrap();
    let mut said = attributes(call);
    assert_eq!(said.remove("tandem.interaction_id").unwrap().len(), 36);
    let expected = [
        ("http.request.method", "POST"),
        ("http.response.status_code", "201"),
        ("http.route", route),
        ("tandem.client", "demo-bazaar"),
        ("tandem.party", "bazaar"),
    ];
    assert_eq!(said, expected.into());
    let stages = spans
        .iter()
        .filter(|span| span["parentSpanId"] == call["spanId"]);
    let stages: Vec<_> = stages.map(|span| span["name"].as_str().unwrap()).collect();
    let expected = [
        "verify", "decide", "queue", "append", "seen", "keep", "sign",
    ];
    assert_eq!(stages, expected);
}

#[test]
fn what_is_wrong_with_the_collector_is_said_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    let programme = super::common::marketplace(folder.path(), 1);
    command
        .current_dir(folder.path())
        .arg("serve")
        .arg(programme);
    command.args(["--listen", "127.0.0.1:0"]);
    command.env(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "http://me:secret@collector:4318",
    );
    let said = command.output().unwrap();
    let errors = text(&said.stderr);
    let expected = "error: OTEL_EXPORTER_OTLP_ENDPOINT must be like http://collector:4318; a \
                    password goes into OTEL_EXPORTER_OTLP_HEADERS\n";
    assert!(
        !said.status.success() && errors.ends_with(expected),
        "{errors}"
    );
}
