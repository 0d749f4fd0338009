//! A service as its operator runs it.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::common::{examples, marketplace, tandem, text};

/// A demo of some applications, and where it is reached.
pub(crate) struct Demo {
    pub(crate) child: Child,
    pub(crate) base: String,
}

impl Demo {
    fn start(folder: &Path) -> Demo {
        Demo::start_with(folder, |_| {})
    }

    pub(crate) fn start_with(folder: &Path, adjust: impl FnOnce(&mut Command)) -> Demo {
        let programme = marketplace(folder, 200);
        let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
        command.current_dir(folder).arg("serve").arg(programme);
        command.args(["--demo", "--listen", "127.0.0.1:0"]);
        adjust(&mut command);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let base = line.trim().strip_prefix("Tandem listens on ").unwrap();
        Demo {
            base: base.to_owned(),
            child,
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_demo_is_called_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let demo = Demo::start(folder);
    let application = examples().join("partner/application.json");
    let application = application.to_str().unwrap();
    let call = |party: &str, words: &[&str]| {
        let (client, key) = (format!("demo-{party}"), format!("demo/keys/{party}.pem"));
        let who = ["--client", &client, "--key", &key, "--base", &demo.base];
        tandem(folder, &[&["call"], words, &who].concat())
    };
    let applications = "/v1/agreements/marketplace/applications";
    let said = call("bazaar", &["POST", applications, "--body", application]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    assert!(
        text(&said.stdout).contains("\"state\": \"offered\""),
        "{}",
        text(&said.stdout)
    );
    let acceptance = format!("{applications}/API-1/acceptance");
    let said = call("bazaar", &["POST", &acceptance]);
    assert!(
        text(&said.stdout).contains("\"state\": \"disbursed\""),
        "{}",
        text(&said.stdout)
    );
    let said = call("shield", &["GET", "/v1/agreements/marketplace/loans/API-1"]);
    assert!(
        text(&said.stdout).contains("\"status\": \"active\""),
        "{}",
        text(&said.stdout)
    );
    let said = call("river", &["POST", &acceptance]);
    assert_eq!(
        text(&said.stderr),
        "error: the service answered with status 403\n"
    );
    assert!(!said.status.success());

    // Clients are listed and shut out while the service runs.
    let said = tandem(folder, &["client", "list", "--data", "demo"]);
    let line = "demo-river  river  active  agreements:read applications:write";
    assert!(text(&said.stdout).contains(line), "{}", text(&said.stdout));
    let said = tandem(
        folder,
        &["client", "disable", "demo-river", "--data", "demo"],
    );
    assert!(said.status.success(), "{}", text(&said.stderr));
    // What is known of a client is a second old at the most.
    let begun = std::time::Instant::now();
    let said = loop {
        let said = call("river", &["GET", "/v1/agreements"]);
        // In between, it may get a token that is refused already.
        let refused = text(&said.stderr).starts_with("error: no token: ");
        if refused || begun.elapsed().as_secs() > 10 {
            break said;
        }
    };
    let errors = text(&said.stderr);
    assert!(errors.starts_with("error: no token: "), "{errors}");
}

#[test]
fn settings_come_from_a_file_and_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = folder.join("service.toml");
    std::fs::write(&file, "base = 'https://lending.example'\ndata = 'books'\n").unwrap();
    let demo = Demo::start_with(folder, |command| {
        command.args(["--config", "service.toml"]);
        command.env("TANDEM_RATE", "100");
    });
    assert_eq!(demo.base, "https://lending.example");
    let again = [
        "serve",
        "marketplace",
        "--data",
        "books",
        "--listen",
        "127.0.0.1:0",
    ];
    let again = tandem(folder, &again);
    assert_eq!(
        text(&again.stderr),
        "error: books/service: another service runs in this folder; stop it, or name another with \
         --data\n"
    );
    let clients = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["client", "list"])
        .env("TANDEM_CONFIG", &file)
        .output()
        .unwrap();
    assert!(
        text(&clients.stdout).contains("demo-river"),
        "{}",
        text(&clients.stderr)
    );
}

#[test]
fn what_is_wrong_with_settings_is_said_with_its_place_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = folder.join("service.toml");
    let cases = [
        (
            "rate = 'fast'\n",
            vec![],
            "error: invalid value 'fast' for '--rate <CALLS>': invalid digit found in string\n\n\
             For more information, try '--help'.\n--rate is set by service.toml, line 1\n",
        ),
        (
            "rate = 7\n\ntls-chain = 'chain.pem'\n",
            vec![],
            "error: the following required arguments were not provided:\n  --tls-key <FILE>\n\n\
             Usage: tandem serve --tls-chain <FILE> --tls-key <FILE> --rate <CALLS> --config <FILE> <PROGRAMMES>...\n\n\
             For more information, try '--help'.\n\
             --rate is set by service.toml, line 1\n--tls-chain is set by service.toml, line 3\n",
        ),
        (
            "",
            vec![("TANDEM_AUDIT_DAYS", "soon")],
            "error: invalid value 'soon' for '--audit-days <DAYS>': invalid digit found in string\n\n\
             For more information, try '--help'.\n--audit-days is set by TANDEM_AUDIT_DAYS\n",
        ),
        (
            "",
            vec![("TANDEM_STORE", "postgres://me:secret@server/lending")],
            "error: the following required arguments were not provided:\n  --node <NAME>\n\n\
             Usage: tandem serve --store <ADDRESS> --node <NAME> --config <FILE> <PROGRAMMES>...\n\n\
             For more information, try '--help'.\n--store is set by TANDEM_STORE\n",
        ),
        (
            "log = 'some=loud'",
            vec![],
            "error: --log: `some=loud` is no filter (error parsing level filter: \
             expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5); write a level, such as \
             info, or tandem_web=debug\n",
        ),
        (
            "log-format = 'xml'",
            vec![],
            "error: invalid value 'xml' for '--log-format <FORMAT>': write text or json\n\n\
             For more information, try '--help'.\n--log-format is set by service.toml, line 1\n",
        ),
    ];
    for (settings, variables, expected) in cases {
        std::fs::write(&file, settings).unwrap();
        let said = Command::new(env!("CARGO_BIN_EXE_tandem"))
            .current_dir(folder)
            .args(["serve", "marketplace", "--config", "service.toml"])
            .envs(variables)
            .output()
            .unwrap();
        assert_eq!(text(&said.stderr), expected);
        assert!(!said.status.success());
    }
    let said = Command::new(env!("CARGO_BIN_EXE_tandem"))
        .args(["serve", "--help"])
        .env("TANDEM_STORE", "postgres://me:secret@server/lending")
        .output()
        .unwrap();
    assert!(!text(&said.stdout).contains("secret"));
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let programme = marketplace(folder, 10);
    let programme = programme.to_str().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let cases = [
        (
            vec!["--demo", "--listen", "0.0.0.0:0"],
            "error: a demo has keys and passwords that everybody knows, so it listens on this machine \
             only; leave --listen out, or --demo, instead of ",
        ),
        (vec!["--listen", &taken], "error: cannot listen on "),
        (
            vec![
                "--tls-chain",
                "none.pem",
                "--tls-key",
                "none.pem",
                "--listen",
                "127.0.0.1:0",
            ],
            "error: none.pem: I/O error: No such file or directory (os error 2)\n",
        ),
        (
            vec![programme, "--listen", "127.0.0.1:0"],
            "error: two programmes have the id `marketplace`\n",
        ),
        (
            vec!["--base", "http://x/", "--listen", "127.0.0.1:0"],
            "error: base URL \"http://x/\" must be like https://api.example.com, without a slash at its end\n",
        ),
    ];
    for (arguments, expected) in cases {
        let said = tandem(
            folder,
            &[&["serve", programme], arguments.as_slice()].concat(),
        );
        assert!(!said.status.success());
        let errors = text(&said.stderr);
        let error = errors
            .lines()
            .find(|line| line.starts_with("error"))
            .unwrap_or_default();
        assert!(format!("{error}\n").starts_with(expected), "{errors}");
    }
}
