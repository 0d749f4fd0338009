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

/// The example `servicing`, in a folder of its own.
pub(super) fn servicing(folder: &Path) -> PathBuf {
    let (example, programme) = (examples().join("servicing"), folder.join("servicing"));
    for part in ["", "policies"] {
        fs::create_dir_all(programme.join(part)).unwrap();
        for file in fs::read_dir(example.join(part)).unwrap() {
            let path = file.unwrap().path();
            if path.is_file() {
                let name = path.file_name().unwrap();
                fs::copy(&path, programme.join(part).join(name)).unwrap();
            }
        }
    }
    programme
}

/// The program with arguments, in a folder.
pub(super) fn tandem(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tandem"));
    command
        .current_dir(folder)
        .args(arguments)
        .output()
        .unwrap()
}

/// Compares with a golden file of `tests/servicing`.
pub(super) fn golden(printed: &str, name: &str) {
    golden_in("servicing", printed, name);
}

/// Compares with a golden file of a folder below `tests`, or writes it if TANDEM_UPDATE is set.
pub(super) fn golden_in(folder: &str, printed: &str, name: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(folder);
    let path = folder.join(name).with_extension("txt");
    if std::env::var_os("TANDEM_UPDATE").is_some() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(&path, printed).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(printed, expected, "{}", path.display());
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
