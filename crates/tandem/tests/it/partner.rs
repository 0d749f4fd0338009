//! A served programme, and what a partner's engineer does with it from the command line.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use super::common::text;

const PROGRAMME: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/marketplace");

fn tandem(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.current_dir(folder).args(arguments);
    command.output().unwrap()
}

/// A service that ends with the test.
struct Served {
    child: Child,
    base: String,
}

impl Served {
    fn start(folder: &Path, more: &[&str]) -> Served {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.current_dir(folder).stderr(Stdio::null());
        let serve = ["serve", PROGRAMME, "--listen", "127.0.0.1:0"];
        command.args(serve).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said: Vec<_> = lines.take(3).map(Result::unwrap).collect();
        let base = said[0].strip_prefix("Tandem listens on ").unwrap();
        let expected = [
            format!("console:  {base}/console   `tandem person` adds the first person of a party"),
            format!("API:      {base}/docs   `tandem client add` registers a party's client"),
        ];
        assert_eq!(said[1..], expected);
        Served {
            child,
            base: base.to_owned(),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_is_held_against_what_partners_may_rely_on() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let served = Served::start(folder, &[]);
    for (client, party, key) in [
        ("ours", "bazaar", "ours.pem"),
        ("theirs", "river", "theirs.pem"),
    ] {
        let add = ["client", "add", client, "--party", party, "--key-out", key];
        assert!(tandem(folder, &add).status.success());
    }
    let base = served.base.clone();
    let partner = |key: &str| {
        let agreement = ["conformance", "partner", "--agreement", "marketplace"];
        let client = ["--base", &base, "--client", "ours", "--key", key];
        tandem(folder, &[&agreement[..], &client].concat())
    };
    let good = partner("ours.pem");
    let said = text(&good.stdout);
    assert!(good.status.success(), "{said}{}", text(&good.stderr));
    assert!(
        said.ends_with("\n31 passed, 0 failed, 3 skipped\n"),
        "{said}"
    );
    let bad = partner("theirs.pem");
    assert_eq!(bad.status.code(), Some(1));
    let said = text(&bad.stdout);
    assert!(said.contains("FAIL     a token"), "{said}");
    assert!(
        text(&bad.stderr).ends_with("cases failed\n"),
        "{}",
        text(&bad.stderr)
    );
    // Where nobody answers, that is said once.
    drop(served);
    let nobody = partner("ours.pem");
    assert_eq!(text(&nobody.stdout), "");
    let said = text(&nobody.stderr);
    assert!(
        said.contains("/.well-known/oauth-authorization-server: "),
        "{said}"
    );
}

#[test]
fn a_service_is_called_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let certificates = concat!(env!("CARGO_MANIFEST_DIR"), "/../web/tests/it/tls");
    let [server, own] = ["server", "one"].map(|name| format!("{certificates}/{name}.pem"));
    let tls = ["--tls-chain", &server, "--tls-key", &server];
    let served = Served::start(folder, &[&tls[..], &["--client-certificates"]].concat());
    let add = ["client", "add", "ours", "--party", "bazaar"];
    let added = tandem(folder, &[&add[..], &["--key-out", "ours.pem"]].concat());
    assert!(added.status.success());
    let call = |more: &[&str]| {
        let call = ["call", "GET", "/v1/agreements", "--base", &served.base];
        let ours = ["--client", "ours", "--key", "ours.pem"];
        let said = tandem(folder, &[&call[..], &ours, more].concat());
        match said.status.success() {
            true => String::new(),
            false => text(&said.stderr).trim().to_owned(),
        }
    };
    let trusting = ["--authority", &server];
    assert_eq!(call(&trusting), "");
    let certified = ["--authority", &server, "--certificate", &own];
    assert_eq!(call(&certified), "");
    for (more, expected) in [
        (
            vec![],
            "the service's certificate is by an authority that is not known here: trust the \
             authority's certificate (`--authority FILE`) (io: invalid peer certificate: UnknownIssuer)",
        ),
        (
            vec!["--authority", "ours.pem"],
            "error: ours.pem: there is no certificate (PEM)",
        ),
        (
            vec!["--certificate", "none.pem"],
            "error: none.pem: No such file or directory (os error 2)",
        ),
    ] {
        let said = call(&more);
        assert!(said.ends_with(expected), "{said}");
    }
    let port = served.base.rsplit(':').next().unwrap();
    for (base, expected) in [
        (
            format!("http://127.0.0.1:{port}"),
            "what is there does not speak HTTP: write https:// if it speaks TLS",
        ),
        (
            format!("https://0.0.0.0:{port}"),
            "the service's certificate is for another name: call it by a name in the certificate",
        ),
    ] {
        let call = ["call", "GET", "/v1/agreements", "--base", &base];
        let ours = [
            "--client",
            "ours",
            "--key",
            "ours.pem",
            "--authority",
            &server,
        ];
        let said = tandem(folder, &[&call[..], &ours].concat());
        assert!(
            text(&said.stderr).contains(expected),
            "{}",
            text(&said.stderr)
        );
    }
}

#[test]
fn deciders_are_named_right() {
    let folder = tempfile::tempdir().unwrap();
    for (decider, expected) in [
        (
            "moon=https://example.com/",
            "--decider: there is no lender `moon`; there are cloud, harbour, river",
        ),
        (
            "river=example.com",
            "decider of river: `example.com` must begin with http:// or https://",
        ),
        (
            "river=http://decide.river.example/",
            "decider of river: `http://decide.river.example/` must begin with https://, since \
             applicants' values go there; http:// is for an address of this machine, such as \
             http://127.0.0.1:9000/",
        ),
        (
            "river",
            "write LENDER=URL, for example river=https://example.com/",
        ),
    ] {
        let serve = ["serve", PROGRAMME, "--listen", "127.0.0.1:0"];
        let refused = tandem(
            folder.path(),
            &[&serve[..], &["--decider", decider]].concat(),
        );
        assert!(!refused.status.success());
        let said = text(&refused.stderr);
        assert!(said.contains(expected), "{said}");
    }
}
