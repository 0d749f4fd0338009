//! Killed processes that write to a PostgreSQL server.

use crate::program::{all_is_there, output};

#[test]
fn killed_processes_lose_nothing_on_a_server() {
    let output = output(&[
        "crash",
        "--store",
        "postgres",
        "--rounds",
        "3",
        "--commands",
        "1000",
    ]);
    // Where PostgreSQL is not installed, there is nothing to kill.
    if !output.stderr.starts_with(b"skipped: ") {
        all_is_there(&output, "3 rounds of kill -9 on postgres", 300);
    }
}
