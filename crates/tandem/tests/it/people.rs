//! People who are added to a service's console.

use super::common::{tandem, text};

#[test]
fn somebody_is_added_and_told_a_first_password() {
    let folder = tempfile::tempdir().unwrap();
    let add = |more: &[&str]| {
        let words = ["person", "li.wei@river.example", "--party", "river"];
        tandem(folder.path(), &[&words, more].concat())
    };
    let list = || tandem(folder.path(), &["client", "list"]);
    assert_eq!(
        text(&list().stderr),
        "error: data/service/registry.db: there is no service here; name its folder with --data\n"
    );
    let said = add(&["--name", "Li Wei", "--role", "risk", "--role", "approver"]);
    assert!(said.status.success(), "{}", text(&said.stderr));
    let said = text(&said.stdout);
    assert!(list().status.success());
    #[cfg(unix)]
    for made in ["data", "data/service"] {
        let mode = std::fs::metadata(folder.path().join(made)).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
        assert_eq!(mode & 0o777, 0o700, "{made}");
    }
    let (_, rest) = said.split_once("signs in with the password ").unwrap();
    let (password, rest) = rest.split_once(',').unwrap();
    assert_eq!(password.len(), 19);
    assert!(rest.contains("an authenticator set up"), "{rest}");
    let noted = tandem(folder.path(), &["audit", "export", "--party", "river"]);
    let noted = text(&noted.stdout);
    assert!(
        noted.contains(r#""fields":{"login":"li.wei@river.example","roles":"risk, approver"}"#),
        "{noted}"
    );
    for (more, expected) in [
        (
            ["--name", "Li Wei"].as_slice(),
            "error: the sign-in name `li.wei@river.example` is taken; choose another\n",
        ),
        (
            &["--name", " "],
            "error: a person needs a sign-in name and a name\n",
        ),
    ] {
        let said = add(more);
        assert_eq!(text(&said.stderr), expected);
    }
    let said = add(&["--name", "Li Wei", "--role", "boss"]);
    let said = text(&said.stderr);
    assert!(
        said.contains("there is no role `boss`; there are viewer, operations"),
        "{said}"
    );
}
