//! The example in which loans go every way a loan can go.

use std::fs;

use super::common::{command, digest, golden, servicing, tandem, text};

#[test]
fn the_example_of_servicing_runs_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let ran = command(&programme, folder.path()).output().unwrap();
    let first = digest(&ran);
    let printed = text(&ran.stdout);
    assert!(printed.contains("7 of 7 checks passed"), "{printed}");
    let problems = fs::read_to_string(folder.path().join("out/problems.txt")).unwrap();
    assert_eq!(problems, "");
    for loan in ["L-7", "L-10"] {
        let told = tandem(folder.path(), &["history", loan, "--data", "data"]);
        golden(&text(&told.stdout), &format!("history-{loan}"));
    }
    let again = command(&programme, folder.path()).output().unwrap();
    assert_eq!(digest(&again), first);

    let other = tempfile::tempdir().unwrap();
    let ran = command(&programme, other.path()).output().unwrap();
    assert_eq!(digest(&ran), first);
}

/// Every verb that the help of `instruct` names, but for two that the example's product has not, one
/// that needs a second book, and two for what a policy refers.
#[test]
fn the_example_shows_every_instruction() {
    let folder = tempfile::tempdir().unwrap();
    let help = text(&tandem(folder.path(), &["instruct", "--help"]).stdout);
    let (_, listed) = help.split_once("Instructions:\n").unwrap();
    let known = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase() || c == '-');
    let mut verbs: Vec<&str> = listed
        .lines()
        .flat_map(|line| line.trim().split("  "))
        .flat_map(|part| part.split_whitespace().next())
        .flat_map(|first| first.split('|'))
        .filter(known)
        .collect();
    verbs.sort_unstable();
    verbs.dedup();
    assert_eq!(verbs.len(), 23, "{verbs:?}");
    let programme = servicing(folder.path());
    let rows = fs::read_to_string(programme.join("instructions.csv")).unwrap();
    let asked: Vec<&str> = rows
        .lines()
        .filter_map(|row| row.split(',').nth(4)?.split(' ').next())
        .collect();
    let absent: Vec<_> = verbs
        .into_iter()
        .filter(|verb| !asked.contains(verb))
        .collect();
    assert_eq!(
        absent,
        ["approve", "decline", "draw", "fix", "slice", "withdraw"]
    );
}
