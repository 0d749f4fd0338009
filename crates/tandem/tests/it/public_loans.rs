//! Real loans with recorded outcomes: the book's interest and receipts against the record. The
//! file is public and not part of the repository; without it the test says so and passes.

use std::path::Path;

use super::common::{command, examples, text};

#[test]
fn recorded_outcomes_are_met() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/data/lending-club/loans_2007_2010.csv.gz");
    if !file.is_file() {
        println!("skipped: the public loan file is not here");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut run = command(&examples().join("lending-club"), folder.path());
    let output = run.arg("--applications").arg(&file).output().unwrap();
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    // Per cent of loans within half a per cent of the record, and within 0.01.
    let near = |row: &str| -> (f64, f64) {
        let line = printed
            .lines()
            .find(|line| line.starts_with(row))
            .unwrap_or_else(|| panic!("{row}\n{printed}"));
        let percents: Vec<f64> = line
            .split_whitespace()
            .filter_map(|word| word.strip_suffix('%')?.parse().ok())
            .collect();
        (percents[0], percents[1])
    };
    assert!(near("Paid in full, every month's payment known: interest").0 > 97.0);
    assert!(near("All loans: interest").0 > 90.0);
    assert!(near("Received by investors alone").0 > 90.0);
}
