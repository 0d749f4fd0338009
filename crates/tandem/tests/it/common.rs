//! Programmes in temporary folders, and the program run on them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Folder of the repository's examples.
pub(super) fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// The example programme with only its first `rows` applications, in a folder of its own.
pub(super) fn marketplace(folder: &Path, rows: usize) -> PathBuf {
    let programme = folder.join("marketplace");
    fs::create_dir_all(programme.join("policies")).unwrap();
    let example = examples().join("marketplace");
    for file in ["agreement.toml", "mapping.toml"] {
        fs::copy(example.join(file), programme.join(file)).unwrap();
    }
    for policy in fs::read_dir(example.join("policies")).unwrap() {
        let policy = policy.unwrap().path();
        fs::copy(
            &policy,
            programme.join("policies").join(policy.file_name().unwrap()),
        )
        .unwrap();
    }
    let all = fs::read_to_string(example.join("applications.csv")).unwrap();
    let some: String = all
        .lines()
        .take(rows + 1)
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(programme.join("applications.csv"), some).unwrap();
    programme
}

/// The command that runs a programme, with journal and results below `folder`.
pub(super) fn command(programme: &Path, folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command.arg("run").arg(programme);
    command
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--out")
        .arg(folder.join("out"));
    command
}

/// What a command printed.
pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The book's digest that a run printed last.
pub(super) fn digest(output: &Output) -> String {
    let printed = text(&output.stdout);
    assert!(output.status.success(), "{printed}{}", text(&output.stderr));
    printed
        .lines()
        .last()
        .unwrap()
        .strip_prefix("digest")
        .unwrap()
        .trim()
        .to_owned()
}
