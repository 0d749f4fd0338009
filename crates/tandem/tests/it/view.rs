//! Every party of the examples is shown its part of the book, and checks it without the rest.

use std::fs;
use std::path::Path;

use super::common::{command, marketplace, servicing, tandem, text};

/// Runs a programme, then writes and verifies the view of each party: what it is shown, and what
/// the check printed.
fn views(programme: &Path, folder: &Path, parties: &[&str]) -> Vec<(Vec<u8>, String)> {
    let ran = command(programme, folder).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let views = parties.iter().map(|party| {
        let export = ["export", "view", "--party", party, "--data", "data"];
        let wrote = tandem(folder, &export);
        let said = text(&wrote.stderr);
        assert!(wrote.status.success(), "{said}");
        let file = format!("{party}.view");
        assert!(said.starts_with(&format!("wrote {file}: ")), "{said}");
        // What a partner gets another way.
        let (_, head) = said.trim_end().rsplit_once("head ").unwrap();
        let checked = tandem(folder, &["verify-view", &file, "--head", head]);
        let printed = text(&checked.stdout);
        assert!(
            checked.status.success(),
            "{party}: {}",
            text(&checked.stderr)
        );
        assert_eq!(
            printed.lines().filter(|line| line.starts_with('✓')).count(),
            9,
            "{printed}"
        );
        assert!(
            printed.contains("the last has the hash you gave"),
            "{printed}"
        );
        (fs::read(folder.join(file)).unwrap(), printed)
    });
    views.collect()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes
        .windows(text.len())
        .any(|part| part == text.as_bytes())
}

#[test]
fn every_party_of_the_marketplace_verifies_its_view() {
    let folder = tempfile::tempdir().unwrap();
    let programme = marketplace(folder.path(), 150);
    let parties = ["harbour", "river", "cloud", "bazaar", "shield"];
    let views = views(&programme, folder.path(), &parties);
    // `home` is seen by the regional banks alone, `purpose` by all but the guarantor. The letter
    // before is the head of the text in CBOR, so that policies that test a value do not count.
    for ((bytes, _), (home, purpose)) in views.iter().zip([
        (true, true),
        (true, true),
        (false, true),
        (false, true),
        (false, false),
    ]) {
        assert_eq!(contains(bytes, "hmortgage"), home);
        assert_eq!(contains(bytes, "rdebt_consolidation"), purpose);
    }
    for ((bytes, _), party) in views.iter().zip(parties) {
        for lender in ["harbour", "river", "cloud"] {
            let policy =
                fs::read_to_string(programme.join(format!("policies/{lender}.toml"))).unwrap();
            assert_eq!(contains(bytes, &policy), party == lender, "{party}");
        }
    }
}

#[test]
fn every_party_of_the_example_of_servicing_verifies_its_view() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let agreement = fs::read_to_string(programme.join("agreement.toml")).unwrap();
    let parties: Vec<_> = agreement
        .split("[[party]]")
        .skip(1)
        .filter_map(|party| party.split_once("id = \"")?.1.split_once('"'))
        .map(|(id, _)| id)
        .collect();
    assert!(parties.len() > 2, "{parties:?}");
    views(&programme, folder.path(), &parties);
}

#[test]
fn what_cannot_be_shown_or_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let programme = servicing(folder.path());
    let ran = command(&programme, folder.path()).output().unwrap();
    assert!(ran.status.success());
    let said = |arguments: &[&str]| {
        let output = tandem(folder.path(), arguments);
        assert!(!output.status.success());
        text(&output.stderr)
    };
    let unknown = said(&["export", "view", "--party", "nobody", "--data", "data"]);
    assert!(
        unknown.starts_with("error: there is no party `nobody` in this book; there are "),
        "{unknown}"
    );
    assert!(!folder.path().join("nobody.view").exists());
    fs::write(folder.path().join("other.view"), "something else").unwrap();
    assert_eq!(
        said(&["verify-view", "other.view"]),
        "error: other.view: this is not a view of Tandem\n"
    );
    assert!(
        said(&["verify-view", "other.view", "--head", "12"])
            .contains("a hash has 64 hexadecimal digits")
    );
}
