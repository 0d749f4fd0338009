//! The checks of this repository, in one command: `cargo xtask ci`.
//!
//! Each step is a subcommand too. What `.ci/run` runs is what a developer runs, and a
//! step that fails says what to do about it.

mod analysis;
mod api;
mod browser;
mod built;
mod cargo;
mod licences;
mod links;
mod packages;
mod python;
mod simulate;
mod source;
mod structure;

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

/// One check. It answers with a line for the closing table, or with what is wrong.
struct Step {
    name: &'static str,
    about: &'static str,
    run: fn(&Path) -> Outcome,
}

/// A long run on demand: a command that takes arguments and is no step of `ci`.
struct Run {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&Path, &[String]) -> Outcome,
}

/// A few words for the closing table, or a message a person can act on.
type Outcome = Result<String, String>;

/// All steps in the order `ci` takes them: what is quick to fail comes first.
const STEPS: [Step; 10] = [
    Step {
        name: "packages",
        about: "install the programs that some tests call (Debian)",
        run: packages::check,
    },
    Step {
        name: "fmt",
        about: "the code is formatted",
        run: |root| cargo::component(root, "rustfmt", &["fmt", "--all", "--check"]),
    },
    Step {
        name: "lint",
        about: "clippy has no warnings",
        run: |root| {
            let all = "clippy --workspace --all-targets --all-features -- -Dwarnings";
            cargo::component(root, "clippy", &words(all))?;
            let default = "clippy --workspace --all-targets --features xtask/alike -- -Dwarnings";
            cargo::run(root, &words(default))
        },
    },
    Step {
        name: "doc",
        about: "the API documentation builds without warnings",
        run: cargo::doc,
    },
    Step {
        name: "licences",
        about: "every dependency is under a licence that deny.toml allows",
        run: licences::check,
    },
    Step {
        name: "structure",
        about: "crates and modules depend only on those before them",
        run: structure::check,
    },
    Step {
        name: "links",
        about: "links in the documentation lead somewhere",
        run: links::check,
    },
    Step {
        name: "test",
        about: "all tests pass",
        run: |root| {
            cargo::run(root, &built::TEST)?;
            // The service again, with its registry on a PostgreSQL server.
            let place = [("TANDEM_TEST_REGISTRY", "postgres")];
            built::test_again(root, "crates/web", &place)?;
            cargo::run(root, &words(DEFAULT))
        },
    },
    Step {
        name: "simulate",
        about: "a minute of seeded simulation finds nothing",
        run: simulate::minute,
    },
    Step {
        name: "parquet",
        about: "DuckDB reads a small book's Parquet tables and agrees with it",
        run: analysis::quick,
    },
];

/// What can be run besides, as long as one likes.
const RUNS: [Run; 7] = [
    Run {
        name: "simulate",
        arguments: "--seeds N --seed S --seconds T --keep STEPS",
        about: "seeded simulations in a release build, or the steps that one printed",
        run: simulate::simulate,
    },
    Run {
        name: "crash",
        arguments: "--rounds N --store NAME --commands N --seed S",
        about: "kill -9 on real processes, and what they answered against the book",
        run: simulate::crash,
    },
    Run {
        name: "failover",
        arguments: "",
        about: "servers die under load, again and again; the lease protocol in more orders",
        run: |root, _| {
            let rounds = [("TANDEM_FAILOVER_ROUNDS", "10")];
            cargo::run_with(root, &rounds, &words(FAILOVER))
        },
    },
    Run {
        name: "analysis",
        arguments: "",
        about: "DuckDB and Spark read a large book's Parquet tables and agree with it",
        run: |root, _| analysis::whole(root),
    },
    Run {
        name: "browser",
        arguments: "--screenshots",
        about: "people's journeys through the console in Chromium, and every page with axe-core",
        run: browser::check,
    },
    Run {
        name: "api",
        arguments: "--only CHECK",
        about: "partners' examples, linters, Schemathesis and an isolation matrix against a service",
        run: api::check,
    },
    Run {
        name: "fuzz",
        arguments: "--seconds N",
        about: "feed every reader of outside bytes, for so long each",
        run: |root, arguments| match arguments {
            [] => cargo::fuzz(root, "60"),
            [option, seconds] if option == "--seconds" => cargo::fuzz(root, seconds),
            _ => Err("fuzz takes --seconds N".to_owned()),
        },
    },
];

/// The program without features, as most build it. `alike`: others' packages are those of the tests.
const DEFAULT: &str = "test -ptandem -pxtask --features xtask/alike --test default";

const FAILOVER: &str = "test -ptandem-journal -ptandem --features postgres --test it -- --nocapture \
                        --include-ignored --test-threads=1 faults:: is_taken_over model:: nodes::";

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let passed = match arguments.as_slice() {
        [command] if command == "ci" || STEPS.iter().any(|step| step.name == command) => {
            let steps = STEPS
                .iter()
                .filter(|step| command == "ci" || step.name == command);
            run(&steps.collect::<Vec<_>>(), &root())
        }
        [command, arguments @ ..] => match RUNS.iter().find(|run| run.name == command) {
            Some(known) => report((known.run)(&root(), arguments)),
            None => return wrong(),
        },
        [] => return wrong(),
    };
    match passed {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn wrong() -> ExitCode {
    eprint!("{}", usage());
    ExitCode::from(2)
}

/// Says what went wrong; true if nothing did.
fn report(outcome: Outcome) -> bool {
    outcome
        .inspect_err(|message| eprintln!("{message}"))
        .is_ok()
}

fn usage() -> String {
    let mut text = String::from("Usage: cargo xtask <command>\n\n");
    text += &format!("  {:<11}{}\n", "ci", "all of these, in this order");
    for step in &STEPS {
        text += &format!("  {:<11}{}\n", step.name, step.about);
    }
    text += "\nOn demand, each argument optional:\n\n";
    for run in &RUNS {
        text += &format!(
            "  {} {}\n  {:<11}{}\n",
            run.name, run.arguments, "", run.about
        );
    }
    text
}

/// Runs steps up to the first that fails; true if none did.
fn run(steps: &[&Step], root: &Path) -> bool {
    let mut table = Vec::new();
    for step in steps {
        println!("\n==> {}: {}", step.name, step.about);
        let start = Instant::now();
        let outcome = (step.run)(root);
        let time = start.elapsed();
        let passed = outcome.is_ok();
        let remark = match outcome {
            Ok(remark) => remark,
            Err(message) => {
                eprintln!("{message}");
                "FAILED".to_owned()
            }
        };
        println!("{}", line(step.name, time, &remark));
        table.push((step.name, time, remark));
        if !passed {
            break;
        }
    }
    if steps.len() > 1 {
        println!("\n{}", closing(&table));
    }
    table.iter().all(|(_, _, remark)| remark != "FAILED")
}

fn closing(table: &[(&str, Duration, String)]) -> String {
    let mut lines: Vec<String> = table
        .iter()
        .map(|(name, time, remark)| line(name, *time, remark))
        .collect();
    lines.push(line("total", table.iter().map(|row| row.1).sum(), ""));
    lines.join("\n")
}

fn line(name: &str, time: Duration, remark: &str) -> String {
    format!("{name:<10}{:>7.1} s  {remark}", time.as_secs_f64())
        .trim_end()
        .to_owned()
}

/// The repository: xtask stands right below it.
fn root() -> PathBuf {
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("xtask"), PathBuf::from);
    manifest
        .parent()
        .map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_names_every_step_in_order() {
        let names: Vec<String> = usage()
            .lines()
            .skip(2)
            .take_while(|line| !line.is_empty())
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .collect();
        assert_eq!(
            names.join(" "),
            "ci packages fmt lint doc licences structure links test simulate parquet"
        );
    }

    #[test]
    fn the_run_stops_at_the_first_failure() {
        let good = Step {
            name: "good",
            about: "",
            run: |_| Ok("fine".into()),
        };
        let bad = Step {
            name: "bad",
            about: "",
            run: |_| Err("no".into()),
        };
        let never = Step {
            name: "never",
            about: "",
            run: |_| panic!("runs after a failure"),
        };
        assert!(run(&[&good, &good], Path::new(".")));
        assert!(!run(&[&good, &bad, &never], Path::new(".")));
    }

    #[test]
    fn the_closing_table_adds_up() {
        let rows = [
            ("fmt", Duration::from_millis(400), "ok".to_owned()),
            ("test", Duration::from_millis(61_200), "FAILED".to_owned()),
        ];
        assert_eq!(
            closing(&rows),
            "fmt           0.4 s  ok\ntest         61.2 s  FAILED\ntotal        61.6 s"
        );
    }
}
