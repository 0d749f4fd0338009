//! Every package we build with must be under a licence from the allow list in deny.toml,
//! and must come from a package registry or from this workspace.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{Outcome, cargo};

/// Checks the whole dependency graph, for all features and platforms.
pub(crate) fn check(root: &Path) -> Outcome {
    let text = fs::read_to_string(root.join("deny.toml"))
        .map_err(|error| format!("deny.toml: {error}"))?;
    let allowed = Allowed::read(&text)?;
    let metadata = cargo::metadata(root, &["--all-features"])?;
    let packages = metadata["packages"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let problems: Vec<String> = packages
        .iter()
        .filter_map(|package| problem(package, &metadata["workspace_members"], &allowed))
        .collect();
    match problems.is_empty() {
        true => Ok(format!("{} packages", packages.len())),
        false => Err(problems.join("\n")),
    }
}

/// Licences that may be used, by all packages and by single ones.
struct Allowed {
    all: Vec<String>,
    exceptions: Vec<(String, Vec<String>)>,
}

impl Allowed {
    fn read(deny_toml: &str) -> Result<Allowed, String> {
        let table: toml::Table = deny_toml
            .parse()
            .map_err(|error| format!("deny.toml: {error}"))?;
        let names = |value: Option<&toml::Value>| {
            let names = value?.as_array()?.iter().filter_map(toml::Value::as_str);
            Some(names.map(str::to_owned).collect::<Vec<_>>())
        };
        let licences = table.get("licenses");
        let all = names(licences.and_then(|section| section.get("allow")))
            .ok_or("deny.toml: [licenses] has no `allow` list")?;
        let exceptions = licences.and_then(|section| section.get("exceptions")?.as_array());
        let exceptions = exceptions.into_iter().flatten().map(|exception| {
            let of = exception.get("crate").and_then(toml::Value::as_str);
            let allow = names(exception.get("allow"));
            of.map(str::to_owned)
                .zip(allow)
                .ok_or("deny.toml: an exception needs `crate` and `allow`".to_owned())
        });
        Ok(Allowed {
            all,
            exceptions: exceptions.collect::<Result<_, _>>()?,
        })
    }

    /// What a package may be under.
    fn to(&self, package: &str) -> Vec<String> {
        let own = self.exceptions.iter().filter(|(of, _)| of == package);
        let own = own.flat_map(|(_, licences)| licences);
        self.all.iter().chain(own).cloned().collect()
    }
}

/// What is wrong with one package, and what to do about it.
fn problem(package: &Value, members: &Value, allowed: &Allowed) -> Option<String> {
    let text = |field: &str| package[field].as_str();
    let name = text("name").unwrap_or("?");
    let version = text("version").unwrap_or("?");
    let ours = members
        .as_array()
        .is_some_and(|members| members.contains(&package["id"]));

    let source = text("source").unwrap_or("a path outside this workspace");
    let from_registry = source.starts_with("registry+") || source.starts_with("sparse+");
    if !ours && !from_registry {
        return Some(format!(
            "{name} {version} comes from {source}.\n  \
             Only a registry's packages can be fetched again by everybody: depend on a published version."
        ));
    }
    let why = match text("license").map(|licence| (licence, satisfied(licence, &allowed.to(name))))
    {
        None => "names no licence".to_owned(),
        Some((_, Ok(true))) => return None,
        Some((licence, Ok(false))) => {
            format!("is under `{licence}`, which deny.toml does not allow")
        }
        Some((licence, Err(error))) => format!("is under `{licence}`: {error}"),
    };
    Some(format!(
        "{name} {version} {why}.\n  \
         Use another package; or, if the licence asks nothing of our users, add it to `allow` \
         in deny.toml and say why in DECISIONS.md.\n  \
         Who needs it: cargo tree --workspace --all-features --target all --invert {name}@{version}"
    ))
}

/// Can the SPDX expression be met by licences of the list alone?
fn satisfied(expression: &str, allowed: &[String]) -> Result<bool, String> {
    // Before SPDX expressions a slash meant OR.
    let spaced = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let result = any_of(&mut rest, allowed)?;
    match rest.first() {
        None => Ok(result),
        Some(word) => Err(format!("`{word}` is out of place")),
    }
}

fn any_of(rest: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let mut result = all_of(rest, allowed)?;
    while take(rest, "OR") {
        result |= all_of(rest, allowed)?;
    }
    Ok(result)
}

fn all_of(rest: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    let mut result = one(rest, allowed)?;
    while take(rest, "AND") {
        result &= one(rest, allowed)?;
    }
    Ok(result)
}

fn one(rest: &mut &[&str], allowed: &[String]) -> Result<bool, String> {
    if take(rest, "(") {
        let result = any_of(rest, allowed)?;
        return match take(rest, ")") {
            true => Ok(result),
            false => Err("a parenthesis is not closed".to_owned()),
        };
    }
    let mut licence = word(rest)?.to_owned();
    if take(rest, "WITH") {
        licence = format!("{licence} WITH {}", word(rest)?);
    }
    Ok(allowed.contains(&licence))
}

fn take(rest: &mut &[&str], expected: &str) -> bool {
    let found = rest.first() == Some(&expected);
    if found {
        *rest = &rest[1..];
    }
    found
}

fn word<'a>(rest: &mut &[&'a str]) -> Result<&'a str, String> {
    match rest.split_first() {
        Some((word, tail)) if !["AND", "OR", "WITH", "(", ")"].contains(word) => {
            *rest = tail;
            Ok(word)
        }
        Some((word, _)) => Err(format!("`{word}` stands where a licence is expected")),
        None => Err("it ends where a licence is expected".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn allowed() -> Allowed {
        Allowed::read(
            r#"licenses.allow = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"]
               licenses.exceptions = [{ crate = "roots", allow = ["CDLA-Permissive-2.0"] }]"#,
        )
        .unwrap()
    }

    #[track_caller]
    fn check(expression: &str, expected: Result<bool, &str>) {
        assert_eq!(
            satisfied(expression, &allowed().to("any")),
            expected.map_err(str::to_owned),
            "{expression}"
        );
    }

    #[test]
    fn expressions() {
        check("MIT", Ok(true));
        check("MPL-2.0", Ok(false));
        check("MPL-2.0 OR MIT", Ok(true));
        check("MPL-2.0/MIT", Ok(true));
        check("MPL-2.0 AND MIT", Ok(false));
        check("MIT AND ISC", Ok(true));
        check("Apache-2.0", Ok(false));
        check("Apache-2.0 WITH LLVM-exception", Ok(true));
        // AND binds more tightly than OR.
        check("MIT OR ISC AND MPL-2.0", Ok(true));
        check("(MIT OR MPL-2.0) AND ISC", Ok(true));
        check("(MIT OR ISC) AND MPL-2.0", Ok(false));
    }

    #[test]
    fn broken_expressions() {
        check("", Err("it ends where a licence is expected"));
        check("MIT OR", Err("it ends where a licence is expected"));
        check("AND MIT", Err("`AND` stands where a licence is expected"));
        check("(MIT", Err("a parenthesis is not closed"));
        check("MIT ISC", Err("`ISC` is out of place"));
    }

    #[test]
    fn a_missing_allow_list_is_an_error() {
        assert_eq!(
            Allowed::read("[licenses]").err().unwrap(),
            "deny.toml: [licenses] has no `allow` list"
        );
    }

    #[test]
    fn an_exception_is_for_one_package() {
        let roots = "CDLA-Permissive-2.0".to_owned();
        assert!(allowed().to("roots").contains(&roots));
        assert!(!allowed().to("root").contains(&roots));
        assert_eq!(
            Allowed::read("licenses = { allow = [], exceptions = [{ crate = 'x' }] }")
                .err()
                .unwrap(),
            "deny.toml: an exception needs `crate` and `allow`"
        );
    }

    const REGISTRY: &str = "registry+https://example.org/index";

    fn package(licence: Value, source: Value) -> Value {
        json!({"id": "x", "name": "x", "version": "1.0.0", "license": licence, "source": source})
    }

    #[test]
    fn allowed_packages_pass() {
        let members = json!(["x"]);
        assert_eq!(
            problem(
                &package(json!("MIT"), json!(REGISTRY)),
                &json!([]),
                &allowed()
            ),
            None
        );
        assert_eq!(
            problem(&package(json!("MIT"), Value::Null), &members, &allowed()),
            None
        );
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let message = problem(
            &package(json!("MPL-2.0"), json!(REGISTRY)),
            &json!([]),
            &allowed(),
        );
        assert_eq!(
            message.unwrap(),
            "x 1.0.0 is under `MPL-2.0`, which deny.toml does not allow.\n  \
             Use another package; or, if the licence asks nothing of our users, add it to `allow` \
             in deny.toml and say why in DECISIONS.md.\n  \
             Who needs it: cargo tree --workspace --all-features --target all --invert x@1.0.0"
        );
        let message = problem(
            &package(Value::Null, json!(REGISTRY)),
            &json!([]),
            &allowed(),
        );
        assert!(message.unwrap().starts_with("x 1.0.0 names no licence.\n"));
    }

    #[test]
    fn sources_outside_a_registry_are_refused() {
        let git = problem(
            &package(json!("MIT"), json!("git+https://x")),
            &json!([]),
            &allowed(),
        );
        assert!(
            git.unwrap()
                .starts_with("x 1.0.0 comes from git+https://x.\n")
        );
        let path = problem(&package(json!("MIT"), Value::Null), &json!([]), &allowed());
        assert!(
            path.unwrap()
                .starts_with("x 1.0.0 comes from a path outside this workspace.\n")
        );
    }
}
