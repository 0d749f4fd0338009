//! Two nodes serve one book while one of them is killed, stopped, or hands it over.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tandem_client::ApiClient;
use tandem_client::key::{Algorithm, Jwks, SigningKey};
use tandem_web::access::{Client, Scopes};
use tandem_web::registry::Registry;

use super::common::tandem;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

struct Node {
    name: &'static str,
    folder: PathBuf,
    base: String,
    store: String,
    child: Option<Child>,
}

impl Node {
    fn new(name: &'static str, folder: &Path, store: &str) -> Node {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let folder = folder.join(name);
        std::fs::create_dir_all(folder.join("service")).unwrap();
        Node {
            name,
            folder,
            base,
            store: store.to_owned(),
            child: None,
        }
    }

    fn start(&mut self) {
        let programme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/marketplace");
        let listen = self.base.strip_prefix("http://").unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.args(["serve", programme, "--sandbox", "--listen", listen]);
        command.args(["--data".as_ref(), self.folder.as_os_str()]);
        command.args(["--store", &self.store, "--node", self.name]);
        let key = self.folder.with_file_name("vault.key");
        command.args(["--vault-key".as_ref(), key.as_os_str()]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.unwrap());
        let begun = Instant::now();
        while self.role().is_none() {
            assert!(
                begun.elapsed() < PATIENCE,
                "node {} is not ready",
                self.name
            );
            sleep(Duration::from_millis(20));
        }
    }

    /// What it is for the book, if it answers.
    fn role(&self) -> Option<String> {
        let answer = ureq::get(format!("{}/readyz", self.base)).call().ok()?;
        let roles: Value = serde_json::from_reader(answer.into_body().into_reader()).ok()?;
        Some(roles["marketplace"].as_str()?.to_owned())
    }

    fn end(&mut self, signal: &str) {
        let mut child = self.child.take().unwrap();
        let id = child.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        child.wait().unwrap();
    }

    fn client(&self, key: &str, party: &str) -> ApiClient {
        ApiClient::new(&self.base, party, SigningKey::from_pem(key).unwrap()).unwrap()
    }
}

/// Registers a client of a party with a key, for all nodes.
fn register(store: &str, key: &str, party: &str) {
    let registry = Registry::on(&store.parse().unwrap(), "service", &tandem_web::schemas());
    let keys = vec![SigningKey::from_pem(key).unwrap().public().to_jwk()];
    let keys = serde_json::to_string(&Jwks { keys }).unwrap();
    let client = Client::new(party, party, &Scopes::all().to_string(), &keys).unwrap();
    client.register(&registry.unwrap()).unwrap();
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn application(reference: &str) -> Vec<u8> {
    let application = json!({
        "reference": reference,
        "amount": {"amount": 1_000_000, "currency": "CNY"},
        "term_months": 36,
        "region": "OH",
        "fields": {
            "annual_income": {"amount": 52_000_000, "currency": "CNY"},
            "debt_to_income": "12.5%",
            "first_credit_year": 2001,
            "purpose": "moving",
        },
    });
    serde_json::to_vec(&application).unwrap()
}

/// An answer that counts, the moment it came, and who gave it.
type Acknowledged = Arc<Mutex<Vec<(String, Instant, usize)>>>;

/// Sends one application after the other; what is not answered is sent again, to whichever node
/// says that it owns the book, or else to the other.
fn load(mut clients: Vec<ApiClient>, acknowledged: Acknowledged, stop: Arc<AtomicBool>) {
    let mut at = 0;
    for number in 1.. {
        let reference = format!("N-{number}");
        let body = application(&reference);
        while !stop.load(Ordering::Relaxed) {
            let path = "/v1/agreements/marketplace/applications";
            let body = Some(("application/json", body.as_slice()));
            match clients[at].call("POST", path, Some(&reference), body) {
                Ok(reply) if reply.status == 201 => {
                    acknowledged
                        .lock()
                        .unwrap()
                        .push((reference, Instant::now(), at));
                    break;
                }
                Ok(reply) if [421, 503].contains(&reply.status) => at = 1 - at,
                Ok(reply) => panic!("{}", String::from_utf8_lossy(&reply.body)),
                Err(_) => at = 1 - at,
            }
            sleep(Duration::from_millis(10));
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

#[test]
fn a_book_is_taken_over_and_nothing_is_lost() {
    let Some(server) = tandem_pgtest::Server::start() else {
        return;
    };
    let rounds = std::env::var("TANDEM_FAILOVER_ROUNDS");
    let rounds: usize = rounds.map_or(1, |rounds| rounds.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let store = tandem_pgtest::address(&[&server], &server.schema());
    let mut nodes = ["one", "two"].map(|name| Node::new(name, folder.path(), &store));
    let key = SigningKey::generate(Algorithm::Ed25519).unwrap();
    for party in ["bazaar", "cloud"] {
        register(&store, &key, party);
    }
    nodes.iter_mut().for_each(Node::start);
    let person = br#"{"data": {"name": "Wang Fang"}}"#;
    let body = Some(("application/json", person.as_slice()));
    let mut platform = nodes[0].client(&key, "bazaar");
    let kept = platform.call("POST", "/v1/persons", Some("person"), body);
    let kept = kept.unwrap().json();
    let person = format!("/v1/persons/{}", kept["token"].as_str().unwrap());
    let clients = nodes
        .iter()
        .map(|node| node.client(&key, "bazaar"))
        .collect();
    let (acknowledged, stop) = (Acknowledged::default(), Arc::new(AtomicBool::new(false)));
    let loading = thread::spawn({
        let (acknowledged, stop) = (acknowledged.clone(), stop.clone());
        move || load(clients, acknowledged, stop)
    });
    let last = || acknowledged.lock().unwrap().last().cloned();
    let wait_for = |node: usize| {
        let begun = Instant::now();
        while last().is_none_or(|(_, _, at)| at != node) {
            assert!(begun.elapsed() < PATIENCE, "nobody takes the book over");
            sleep(Duration::from_millis(5));
        }
    };
    wait_for(0);
    let mut owner = 0;
    let mut pauses = Vec::new();
    for round in 0..rounds * 3 {
        sleep(Duration::from_millis(500));
        let other = 1 - owner;
        let way = ["killed", "stopped", "handed over"][round % 3];
        match way {
            "killed" => nodes[owner].end("-KILL"),
            "stopped" => nodes[owner].end("-TERM"),
            _ => {
                let to = json!({"node": nodes[other].name, "address": nodes[other].base});
                let mut operator = nodes[owner].client(&key, "cloud");
                let path = "/v1/agreements/marketplace/handover";
                let key = format!("handover-{round}");
                let body = serde_json::to_vec(&to).unwrap();
                let body = Some(("application/json", body.as_slice()));
                let reply = operator.call("POST", path, Some(&key), body).unwrap();
                assert_eq!(
                    reply.status,
                    202,
                    "{}",
                    String::from_utf8_lossy(&reply.body)
                );
            }
        }
        let (_, before, _) = last().unwrap();
        wait_for(other);
        let first = acknowledged.lock().unwrap();
        let first = first
            .iter()
            .find(|(_, at, node)| *at > before && *node == other);
        pauses.push((way, first.unwrap().1 - before));
        // What one node keeps of people the other has too.
        let known = nodes[other]
            .client(&key, "bazaar")
            .call("GET", &person, None, None);
        assert_eq!(known.unwrap().json()["data"]["name"], "Wang Fang");
        if way != "handed over" {
            nodes[owner].start();
            let expected = format!(
                "standby of `{}` at {}",
                nodes[other].name, nodes[other].base
            );
            assert_eq!(nodes[owner].role(), Some(expected));
        }
        owner = other;
    }
    stop.store(true, Ordering::Relaxed);
    loading.join().unwrap();

    // Each acknowledged application is there once, and at most one that was not.
    let mut found = Vec::new();
    let mut client = nodes[owner].client(&key, "bazaar");
    let mut cursor = String::new();
    loop {
        let path = format!("/v1/agreements/marketplace/applications?limit=200{cursor}");
        let page = client.call("GET", &path, None, None).unwrap().json();
        let items = page["items"].as_array().unwrap().iter();
        found.extend(items.map(|item| item["reference"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let acknowledged = acknowledged.lock().unwrap();
    let lost = acknowledged
        .iter()
        .filter(|(key, ..)| !found.contains(key))
        .count();
    let mut unique = found.clone();
    unique.sort();
    unique.dedup();
    for (way, pause) in &pauses {
        println!(
            "{way}: {:.2} s to the first answer of the other node",
            pause.as_secs_f64()
        );
    }
    println!(
        "acknowledged {}, found {}, lost {lost}, doubled {}",
        acknowledged.len(),
        found.len(),
        found.len() - unique.len()
    );
    assert_eq!((lost, found.len()), (0, unique.len()));
    assert!(found.len() <= acknowledged.len() + 1);
    nodes.iter_mut().for_each(|node| node.end("-TERM"));
    let data = nodes[owner].folder.join("marketplace");
    let verified = tandem(
        folder.path(),
        &[
            "verify",
            "--store",
            &store,
            "--data",
            &data.to_string_lossy(),
        ],
    );
    assert!(
        verified.status.success(),
        "{}",
        String::from_utf8_lossy(&verified.stderr)
    );
}
