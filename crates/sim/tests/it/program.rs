//! The program, as `cargo xtask simulate` and `cargo xtask crash` call it.

use std::process::{Command, Output};

/// What the program prints; it must succeed.
fn run(arguments: &[&str]) -> String {
    succeeded(&output(arguments))
}

pub(crate) fn output(arguments: &[&str]) -> Output {
    let mut program = Command::new(env!("CARGO_BIN_EXE_tandem-sim"));
    program.args(arguments).output().unwrap()
}

fn succeeded(output: &Output) -> String {
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{errors}");
    printed.into_owned()
}

/// The rounds went well; some commands were acknowledged.
#[track_caller]
pub(crate) fn all_is_there(output: &Output, begins: &str, at_least: u64) {
    let printed = succeeded(output);
    assert!(printed.starts_with(begins), "{printed}");
    for right in [", lost 0, ", ", doubled 0, "] {
        assert!(printed.contains(right), "{printed}");
    }
    let acknowledged = printed.split("acknowledged ").nth(1).unwrap();
    let (acknowledged, _) = acknowledged.split_once(',').unwrap();
    assert!(acknowledged.parse::<u64>().unwrap() > at_least, "{printed}");
}

#[test]
fn seeds_pass_and_are_the_same_every_time() {
    let without_time = || {
        let printed = run(&["simulate", "--seeds", "3", "--seed", "500"]);
        let (_, counts) = printed.split_once(" s: ").unwrap();
        counts.to_owned()
    };
    let counts = without_time();
    assert!(counts.ends_with("nothing found\n"), "{counts}");
    assert_eq!(without_time(), counts);
}

#[test]
fn steps_of_a_seed_can_be_played_alone() {
    let printed = run(&["simulate", "--seed", "7", "--keep", "0-3"]);
    assert_eq!(printed, "seed 7: these steps show nothing wrong\n");
}

#[test]
fn killed_processes_lose_nothing_and_do_nothing_twice() {
    let output = output(&["crash", "--rounds", "30", "--commands", "4000"]);
    all_is_there(&output, "30 rounds of kill -9 on sqlite", 1_000);
}
