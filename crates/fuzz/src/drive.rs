//! Calling a target with changed seeds for a while, on the stable toolchain.

use std::env;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::mutate::{Chance, mutate};

/// Calls a target with its seeds as they are, then with changed ones, for two seconds, or as many
/// as TANDEM_FUZZ_SECONDS says. The first change follows from TANDEM_FUZZ_SEED, or from 0.
///
/// # Panics
///
/// When the target does. The input is then in `target/fuzz`, and the message says where.
pub fn drive(name: &str, seeds: &[Vec<u8>], target: impl Fn(&[u8])) {
    let number = |variable, default| {
        let text = env::var(variable).ok();
        text.map_or(default, |text| {
            text.parse()
                .unwrap_or_else(|_| panic!("{variable} must be a whole number, not `{text}`"))
        })
    };
    let time = Duration::from_secs(number("TANDEM_FUZZ_SECONDS", 2));
    let first = number("TANDEM_FUZZ_SEED", 0);
    let started = Instant::now();
    for seed in seeds {
        attempt(name, seed, &target);
    }
    let mut rounds = 0;
    while started.elapsed() < time {
        let mut chance = Chance(first.wrapping_add(rounds));
        attempt(name, &mutate(seeds, &mut chance), &target);
        rounds += 1;
    }
    println!(
        "{name}: {} seeds and {rounds} changed inputs from seed {first}",
        seeds.len()
    );
}

fn attempt(name: &str, input: &[u8], target: &impl Fn(&[u8])) {
    let Err(panic) = panic::catch_unwind(AssertUnwindSafe(|| target(input))) else {
        return;
    };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/fuzz");
    let path = folder.join(format!("{name}.input"));
    match fs::create_dir_all(&folder).and_then(|()| fs::write(&path, input)) {
        Ok(()) => eprintln!("{name}: the input is in {}", path.display()),
        Err(error) => eprintln!(
            "{name}: {}: {error}; the input is {input:?}",
            path.display()
        ),
    }
    panic::resume_unwind(panic);
}
