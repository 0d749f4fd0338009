//! The two graphs: which crate may depend on which, and which module may use which.
//! Both are data, in structure.toml.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::Value;

use crate::{Outcome, cargo, source};

const FILE: &str = "xtask/structure.toml";

/// Checks both graphs and names every edge that should not be.
pub(crate) fn check(root: &Path) -> Outcome {
    let text = fs::read_to_string(root.join(FILE)).map_err(|error| format!("{FILE}: {error}"))?;
    let rules = Rules::parse(&text)?;
    let metadata = cargo::metadata(root, &["--no-deps"])?;
    let packages = packages(&metadata);

    let mut problems = rules.crate_problems(&packages);
    for (name, order) in &rules.modules {
        let Some(package) = packages.iter().find(|package| package.name == *name) else {
            problems.push(format!(
                "{FILE}: [modules] lists {name}, which is no workspace crate"
            ));
            continue;
        };
        problems.extend(module_problems(order, &sources(root, package)?));
    }
    match problems.is_empty() {
        true => Ok(format!("{} crates", packages.len())),
        false => Err(problems.join("\n")),
    }
}

/// What structure.toml says.
struct Rules {
    /// Crate → those of ours it may depend on.
    crates: BTreeMap<String, Vec<String>>,
    /// Crates that may be dev-dependencies only, except among each other.
    test_only: Vec<String>,
    /// Crate → the lines of its module order.
    modules: BTreeMap<String, Order>,
}

type Order = Vec<Vec<String>>;

impl Rules {
    fn parse(text: &str) -> Result<Self, String> {
        let table: toml::Table = text.parse().map_err(|error| format!("{FILE}: {error}"))?;
        let section = |name: &str| table.get(name).and_then(toml::Value::as_table);
        let crates = section("crates").ok_or(format!("{FILE}: there is no [crates]"))?;
        let modules = section("modules").ok_or(format!("{FILE}: there is no [modules]"))?;
        let test_only = section("test-only").and_then(|section| section.get("crates"));
        Ok(Self {
            crates: crates
                .iter()
                .map(|(name, list)| (name.clone(), strings(list)))
                .collect(),
            test_only: test_only.map(strings).unwrap_or_default(),
            modules: modules
                .iter()
                .map(|(name, lines)| {
                    let lines = lines.as_array().into_iter().flatten();
                    (name.clone(), lines.map(strings).collect())
                })
                .collect(),
        })
    }

    fn crate_problems(&self, packages: &[Package]) -> Vec<String> {
        let ours: BTreeSet<&str> = packages
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        let mut problems = Vec::new();
        for name in self
            .crates
            .keys()
            .filter(|name| !ours.contains(name.as_str()))
        {
            problems.push(format!(
                "{FILE}: [crates] lists {name}, which is no workspace crate"
            ));
        }
        for Package {
            name, dependencies, ..
        } in packages
        {
            let Some(allowed) = self.crates.get(name) else {
                problems.push(format!("{FILE}: [crates] has no line for {name}; add one"));
                continue;
            };
            for Dependency {
                name: other,
                for_tests,
            } in dependencies
            {
                let test_only = self.test_only.contains(other) && !self.test_only.contains(name);
                let fine = match for_tests {
                    true => test_only || allowed.contains(other),
                    false => !test_only && allowed.contains(other),
                };
                if fine || !ours.contains(other.as_str()) {
                    continue;
                }
                problems.push(match test_only {
                    true => {
                        format!("{name} depends on {other}, which is for [dev-dependencies] only")
                    }
                    false => format!(
                        "{name} depends on {other}, which its line in {FILE} does not allow ({})",
                        match allowed.is_empty() {
                            true => "it stands on nothing of ours".to_owned(),
                            false => format!("it may use {}", allowed.join(", ")),
                        }
                    ),
                });
            }
        }
        problems
    }
}

fn strings(list: &toml::Value) -> Vec<String> {
    let list = list.as_array().into_iter().flatten();
    list.filter_map(toml::Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// A workspace member, as `cargo metadata` tells it.
struct Package {
    name: String,
    directory: PathBuf,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    for_tests: bool,
}

fn packages(metadata: &Value) -> Vec<Package> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let dependency = |value: &Value| Dependency {
        name: text(&value["name"]),
        for_tests: value["kind"] == "dev",
    };
    let package = |value: &Value| Package {
        name: text(&value["name"]),
        directory: PathBuf::from(text(&value["manifest_path"])).with_file_name(""),
        dependencies: list(&value["dependencies"])
            .iter()
            .map(dependency)
            .collect(),
    };
    list(&metadata["packages"]).iter().map(package).collect()
}

/// A source file that belongs to a top-level module.
struct Source {
    /// The path to show.
    path: String,
    /// The module's path below the crate root: `loan`, `schedule`.
    module: Vec<String>,
    text: String,
}

/// The files of a package's modules; the crate root itself may use them all and is not here.
fn sources(root: &Path, package: &Package) -> Result<Vec<Source>, String> {
    let src = package.directory.join("src");
    let mut found = Vec::new();
    let mut directories = vec![src.clone()];
    while let Some(directory) = directories.pop() {
        let at = |error| format!("{}: {error}", directory.display());
        for entry in fs::read_dir(&directory).map_err(at)? {
            let path = entry.map_err(at)?.path();
            if path.is_dir() {
                directories.push(path);
            } else if let Some(module) = path.strip_prefix(&src).ok().and_then(module_of) {
                let shown = path.strip_prefix(root).unwrap_or(&path);
                found.push(Source {
                    path: shown.display().to_string(),
                    module,
                    text: fs::read_to_string(&path).map_err(at)?,
                });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// `loan.rs` and `loan/mod.rs` are `loan`, `loan/schedule.rs` is `loan::schedule`, and
/// `lib.rs` and `main.rs` are the root.
fn module_of(file: &Path) -> Option<Vec<String>> {
    let mut module: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if file.extension()? != "rs" || module == ["lib"] || module == ["main"] {
        return None;
    }
    module.pop_if(|last| last == "mod");
    Some(module)
}

fn module_problems(order: &Order, sources: &[Source]) -> Vec<String> {
    let place: BTreeMap<&str, usize> = order
        .iter()
        .enumerate()
        .flat_map(|(line, modules)| modules.iter().map(move |module| (module.as_str(), line)))
        .collect();
    let there: BTreeSet<&str> = sources
        .iter()
        .map(|source| source.module[0].as_str())
        .collect();
    let macros: BTreeMap<String, &str> = sources
        .iter()
        .flat_map(|source| {
            let module = source.module[0].as_str();
            source::macros(&source.text)
                .into_iter()
                .map(move |name| (name, module))
        })
        .collect();

    let mut problems = Vec::new();
    for module in there.iter().filter(|module| !place.contains_key(*module)) {
        problems.push(format!(
            "{FILE}: [modules] has no place for {module}; add it"
        ));
    }
    for module in place.keys().filter(|module| !there.contains(*module)) {
        problems.push(format!(
            "{FILE}: [modules] lists {module}, which does not exist"
        ));
    }
    for Source { path, module, text } in sources {
        let user = module[0].as_str();
        for source::Reach { line, name } in source::reaches(text, module.len()) {
            let used = macros.get(&name).copied().unwrap_or(&name);
            let wrong = match (place.get(user), place.get(used)) {
                _ if user == used => continue,
                (_, None) if there.contains(used) => continue, // said above
                (_, None) => "which is no module: name the module it is in".to_owned(),
                (None, _) => continue, // said above
                (Some(own), Some(other)) if other > own => {
                    format!("which comes after it in {FILE}")
                }
                (Some(own), Some(other)) if other == own => {
                    format!("which stands on the same line of {FILE}")
                }
                _ => continue,
            };
            problems.push(format!("{path}:{line}: {user} uses crate::{name}, {wrong}"));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const RULES: &str = r#"
        [crates]
        domain = []
        engine = ["domain"]
        load = []
        sim = ["engine", "load"]
        [test-only]
        crates = ["load", "sim"]
        [modules]
        domain = [["money"], ["calendar", "ids"], ["book"]]
    "#;

    /// One crate with the given dependencies, among the four of the rules.
    #[track_caller]
    fn check_crates(name: &str, dependencies: Value, expected: &[&str]) {
        let mut all = vec![];
        for other in ["domain", "engine", "load", "sim"]
            .iter()
            .filter(|other| **other != name)
        {
            all.push(json!({"name": other, "manifest_path": "x/Cargo.toml", "dependencies": []}));
        }
        all.push(
            json!({"name": name, "manifest_path": "x/Cargo.toml", "dependencies": dependencies}),
        );
        let rules = Rules::parse(RULES).unwrap();
        let problems = rules.crate_problems(&packages(&json!({"packages": all})));
        assert_eq!(problems, expected);
    }

    #[test]
    fn crate_edges() {
        check_crates(
            "engine",
            json!([{"name": "domain", "kind": null}, {"name": "serde", "kind": null}]),
            &[],
        );
        check_crates("engine", json!([{"name": "sim", "kind": "dev"}]), &[]);
        check_crates("sim", json!([{"name": "load", "kind": null}]), &[]);
        check_crates(
            "load",
            json!([{"name": "sim", "kind": null}]),
            &[
                "load depends on sim, which its line in xtask/structure.toml does not allow (it stands on nothing of ours)",
            ],
        );
        check_crates(
            "engine",
            json!([{"name": "sim", "kind": null}]),
            &["engine depends on sim, which is for [dev-dependencies] only"],
        );
        check_crates(
            "domain",
            json!([{"name": "engine", "kind": null}]),
            &[
                "domain depends on engine, which its line in xtask/structure.toml does not allow (it stands on nothing of ours)",
            ],
        );
        check_crates(
            "engine",
            json!([{"name": "engine2", "kind": "build"}, {"name": "engine", "kind": "dev"}]),
            &[
                "engine depends on engine, which its line in xtask/structure.toml does not allow (it may use domain)",
            ],
        );
    }

    #[test]
    fn crates_and_lines_belong_together() {
        let rules = Rules::parse("[crates]\ngone = []\n[modules]").unwrap();
        let found =
            packages(&json!({"packages": [{"name": "new", "manifest_path": "new/Cargo.toml"}]}));
        assert_eq!(
            rules.crate_problems(&found),
            [
                "xtask/structure.toml: [crates] lists gone, which is no workspace crate",
                "xtask/structure.toml: [crates] has no line for new; add one",
            ]
        );
    }

    #[track_caller]
    fn check_modules(files: &[(&str, &str)], expected: &[&str]) {
        let source = |(file, text): &(&str, &str)| Source {
            path: format!("src/{file}"),
            module: module_of(Path::new(file)).unwrap(),
            text: (*text).to_owned(),
        };
        let mut sources: Vec<Source> = files.iter().map(source).collect();
        for name in ["money", "calendar", "ids", "book"] {
            if !sources.iter().any(|source| source.module[0] == name) {
                sources.push(source(&(format!("{name}.rs").as_str(), "")));
            }
        }
        let order = &Rules::parse(RULES).unwrap().modules["domain"];
        assert_eq!(module_problems(order, &sources), expected);
    }

    #[test]
    fn modules_use_earlier_ones() {
        check_modules(&[("book/mod.rs", "use crate::{money::Money, ids};")], &[]);
        check_modules(
            &[("book/apply.rs", "use super::state; use crate::book::X;")],
            &[],
        );
        check_modules(
            &[("money.rs", "\n\nuse crate::book::Book;")],
            &[
                "src/money.rs:3: money uses crate::book, which comes after it in xtask/structure.toml",
            ],
        );
        check_modules(
            &[("ids.rs", "use super::calendar::Day;")],
            &[
                "src/ids.rs:1: ids uses crate::calendar, which stands on the same line of xtask/structure.toml",
            ],
        );
        check_modules(
            &[("ids.rs", "use crate::Money;")],
            &["src/ids.rs:1: ids uses crate::Money, which is no module: name the module it is in"],
        );
    }

    #[test]
    fn an_exported_macro_counts_as_its_module() {
        let id = ("ids.rs", "#[macro_export] macro_rules! id { () => {} }");
        check_modules(&[id, ("book.rs", "crate::id!(Loan);")], &[]);
        check_modules(
            &[id, ("money.rs", "crate::id!(Loan);")],
            &["src/money.rs:1: money uses crate::id, which comes after it in xtask/structure.toml"],
        );
    }

    #[test]
    fn modules_and_lines_belong_together() {
        check_modules(
            &[("loan.rs", "")],
            &["xtask/structure.toml: [modules] has no place for loan; add it"],
        );
        assert_eq!(
            module_problems(&vec![vec!["gone".to_owned()]], &[]),
            ["xtask/structure.toml: [modules] lists gone, which does not exist"]
        );
    }

    #[test]
    fn files_and_their_modules() {
        let module = |file: &str| module_of(Path::new(file)).map(|module| module.join("::"));
        assert_eq!(module("lib.rs"), None);
        assert_eq!(module("loan.rs").unwrap(), "loan");
        assert_eq!(module("loan/mod.rs").unwrap(), "loan");
        assert_eq!(module("loan/schedule.rs").unwrap(), "loan::schedule");
        assert_eq!(module("notes.md"), None);
    }
}
