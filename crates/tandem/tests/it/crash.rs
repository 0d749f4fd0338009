//! `kill -9` at any moment of a run, then the same command: the book ends as if nothing had
//! happened.

use std::process::Stdio;
use std::thread::sleep;
use std::time::Instant;

use super::common::{command, digest, marketplace};

/// Moments of a run at which it is killed, spread evenly over its length.
const MOMENTS: u32 = 12;

#[test]
fn a_killed_run_ends_in_the_same_book() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 150);
    let begun = Instant::now();
    let expected = digest(
        &command(&programme, &folder.path().join("whole"))
            .output()
            .unwrap(),
    );
    let whole = begun.elapsed();
    let mut killed = 0;
    for moment in 1..=MOMENTS {
        let folder = folder.path().join(format!("killed-{moment}"));
        // The run that takes up what is left is killed too, soon.
        for share in [3 * moment, moment] {
            let mut child = command(&programme, &folder)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            sleep(whole * share / (3 * (MOMENTS + 1)));
            killed += u32::from(child.try_wait().unwrap().is_none());
            // SIGKILL on Unix; nothing of the process gets to run.
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(
            digest(&command(&programme, &folder).output().unwrap()),
            expected,
            "moment {moment}"
        );
    }
    // A faster machine than at the first run may finish before it is killed.
    assert!(killed > MOMENTS / 2, "only {killed} runs were caught alive");
    println!("{killed} runs killed, every book ended equal");
}

#[test]
fn running_again_repeats_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 60);
    let half = command(&programme, folder.path())
        .args(["--until", "2022-06-30"])
        .output()
        .unwrap();
    let first = digest(&command(&programme, folder.path()).output().unwrap());
    let again = digest(&command(&programme, folder.path()).output().unwrap());
    let whole = digest(
        &command(&programme, &folder.path().join("whole"))
            .output()
            .unwrap(),
    );
    assert_ne!(digest(&half), first);
    assert_eq!([&again, &whole], [&first, &first]);
}
