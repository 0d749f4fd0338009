//! Links in the documentation: files must be there, headings too. What leads outside the
//! repository is not followed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use crate::Outcome;

/// Files that everybody looks for at the top of a repository.
const EXPECTED: [&str; 7] = [
    "README.md",
    "ARCHITECTURE.md",
    "DECISIONS.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "LICENSE-MIT",
    "LICENSE-APACHE",
];

/// Checks all Markdown files of the repository.
pub(crate) fn check(root: &Path) -> Outcome {
    let files = markdown_files(root)?;
    let mut problems: Vec<String> = EXPECTED
        .iter()
        .filter(|name| !root.join(name).is_file())
        .map(|name| format!("{name} is missing"))
        .collect();
    let mut links = 0;
    let anchors: BTreeMap<&Path, BTreeSet<String>> = files
        .iter()
        .map(|(path, text)| (path.as_path(), anchors(text)))
        .collect();
    for (path, text) in &files {
        for link in self::links(text) {
            links += 1;
            if let Some(wrong) = problem(root, path, &link.target, &anchors) {
                let (shown, line) = (path.display(), link.line);
                problems.push(format!("{shown}:{line}: `{}` {wrong}", link.target));
            }
        }
    }
    match problems.is_empty() {
        true => Ok(format!("{links} links in {} files", files.len())),
        false => Err(problems.join("\n")),
    }
}

/// Path below the root → text, without what .gitignore keeps out at the top.
fn markdown_files(root: &Path) -> Result<BTreeMap<PathBuf, String>, String> {
    let ignored = fs::read_to_string(root.join(".gitignore")).unwrap_or_default();
    let mut skip: Vec<PathBuf> = ignored
        .lines()
        .filter_map(|line| line.strip_prefix('/'))
        .map(|line| root.join(line.trim_end_matches('/')))
        .collect();
    skip.push(root.join(".git"));

    let mut files = BTreeMap::new();
    let mut directories = vec![root.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let at = |error| format!("{}: {error}", directory.display());
        for entry in fs::read_dir(&directory).map_err(at)? {
            let path = entry.map_err(at)?.path();
            if skip.contains(&path) {
                continue;
            } else if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = fs::read_to_string(&path).map_err(at)?;
                files.insert(path.strip_prefix(root).unwrap_or(&path).to_path_buf(), text);
            }
        }
    }
    Ok(files)
}

/// What is wrong with a link in `file`, if anything is.
fn problem(
    root: &Path,
    file: &Path,
    target: &str,
    anchors: &BTreeMap<&Path, BTreeSet<String>>,
) -> Option<String> {
    let outside = target.starts_with("//")
        || target.split_once(':').is_some_and(|(scheme, _)| {
            !scheme.is_empty()
                && scheme
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '+')
        });
    if outside {
        return None;
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = path.replace("%20", " ");
    let aim = if path.is_empty() {
        file.to_path_buf()
    } else {
        let from = file.parent().unwrap_or(Path::new(""));
        // A leading slash means the top of the repository.
        let joined = path
            .strip_prefix('/')
            .map_or_else(|| from.join(&path), PathBuf::from);
        match normal(&joined) {
            Some(aim) => aim,
            None => return Some("leads out of the repository".to_owned()),
        }
    };
    if !root.join(&aim).exists() {
        return Some("leads to no file".to_owned());
    }
    let headings = anchors.get(aim.as_path())?;
    let missing = !anchor.is_empty() && !headings.contains(anchor);
    missing.then(|| format!("leads to no heading of {}", aim.display()))
}

/// The path without `.` and `..`; none if it climbs above its start.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut result = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => result.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !result.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(result)
}

#[derive(Debug)]
struct Link {
    line: usize,
    target: String,
}

/// Inline links and images, reference definitions, and `href`/`src` of inline HTML.
fn links(text: &str) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, content) in prose(text) {
        let content = without_code(content);
        let mut targets: Vec<&str> = Vec::new();
        for (at, opening) in content.match_indices("](") {
            targets.push(inline_target(&content[at + opening.len()..]));
        }
        for attribute in ["href=\"", "src=\""] {
            for (at, _) in content.match_indices(attribute) {
                targets.extend(content[at + attribute.len()..].split('"').next());
            }
        }
        if let Some((label, target)) = content.trim_start().split_once("]: ")
            && label.starts_with('[')
            && !label.starts_with("[^")
        {
            targets.extend(target.split_whitespace().next());
        }
        for target in targets {
            let target = target
                .trim_start_matches('<')
                .trim_end_matches('>')
                .to_owned();
            found.push(Link { line, target });
        }
    }
    found
}

/// From after `](` to its closing parenthesis, without a title.
fn inline_target(rest: &str) -> &str {
    let mut open = 1;
    let end = rest.find(|c| {
        match c {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        open == 0
    });
    let target = &rest[..end.unwrap_or(rest.len())];
    match target.starts_with('<') {
        true => target.split_inclusive('>').next().unwrap_or(target),
        false => target.split_whitespace().next().unwrap_or(target),
    }
}

/// The anchors of a page: its headings as GitHub writes them, and explicit ids.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (_, line) in prose(text) {
        for attribute in ["id=\"", "name=\""] {
            for (at, _) in line.match_indices(attribute) {
                let id = line[at + attribute.len()..].split('"').next();
                found.extend(id.map(str::to_owned));
            }
        }
        let title = line.trim_start_matches('#');
        let level = line.len() - title.len();
        if !(1..=6).contains(&level) || !title.starts_with([' ', '\t']) {
            continue;
        }
        let slug = slug(title.trim().trim_end_matches('#').trim_end());
        let count = seen.entry(slug.clone()).or_default();
        found.insert(match *count {
            0 => slug,
            n => format!("{slug}-{n}"),
        });
        *count += 1;
    }
    found
}

/// A heading's anchor: small letters, spaces as hyphens, no other punctuation.
fn slug(title: &str) -> String {
    let mut plain = title.to_owned();
    // Of a link only its text counts.
    while let Some(at) = plain.find("](") {
        let end = plain[at..]
            .find(')')
            .map_or(plain.len(), |end| at + end + 1);
        plain.replace_range(at..end, "");
    }
    plain
        .to_lowercase()
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            _ if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
            _ => None,
        })
        .collect()
}

/// Numbered lines outside fenced code.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fence: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let start = line.trim_start();
        let mark = ["```", "~~~"]
            .into_iter()
            .find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => return Some((index + 1, line)),
            _ => {}
        }
        None
    })
}

/// A line without its `code spans`.
fn without_code(line: &str) -> String {
    let parts: Vec<&str> = line.split('`').collect();
    // An odd number of backticks leaves one without a partner: take the line as it is.
    match parts.len() % 2 {
        1 => parts.into_iter().step_by(2).collect::<Vec<_>>().join("``"),
        _ => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_links(text: &str, expected: &str) {
        let found: Vec<String> = links(text)
            .iter()
            .map(|link| format!("{}:{}", link.line, link.target))
            .collect();
        assert_eq!(found.join(" "), expected, "{text}");
    }

    #[test]
    fn links_are_found_outside_code() {
        check_links(
            "# T\nsee [a](a.md) and ![b](b.png \"title\")",
            "2:a.md 2:b.png",
        );
        check_links(
            "[a](x_(y).md) [b](<with space.md>)",
            "1:x_(y).md 1:with space.md",
        );
        check_links("[r]: ref.md \"title\"\n[^n]: no.md", "1:ref.md");
        check_links("<a href=\"h.md\"><img src=\"i.png\"></a>", "1:h.md 1:i.png");
        check_links(
            "`[a](no.md)` [b](b.md)\n```\n[c](no.md)\n```\n[d](d.md)",
            "1:b.md 5:d.md",
        );
        check_links("[![badge](b.svg)](ci.md)", "1:b.svg 1:ci.md");
        check_links("[`code`](c.md)", "1:c.md");
    }

    #[test]
    fn headings_become_anchors() {
        let found = anchors(
            "# One, `two` & three!\n## Same\n### Same ##\n## [A b](c.md)\n<a id=\"own\">\n#no",
        );
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, ["a-b", "one-two--three", "own", "same", "same-1"]);
    }

    #[test]
    fn targets() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let pages = BTreeMap::from([(Path::new("src/page.md"), anchors("# Here"))]);
        let check = |target: &str, expected: Option<&str>| {
            let found = problem(root, Path::new("src/page.md"), target, &pages);
            assert_eq!(found.as_deref(), expected, "{target}");
        };
        check("https://example.org/x", None);
        check("mailto:a@example.org", None);
        check("main.rs", None);
        check("main.rs#L10", None);
        check("../Cargo.toml", None);
        check("/Cargo.toml", None);
        check("../src", None);
        check("gone.rs", Some("leads to no file"));
        check("../../../x.md", Some("leads out of the repository"));
        check("#gone", Some("leads to no file"));
    }

    #[test]
    fn anchors_of_pages() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // Any file that exists can play the page.
        let page = Path::new("src/main.rs");
        let pages = BTreeMap::from([(page, anchors("# Here we are"))]);
        assert_eq!(problem(root, page, "#here-we-are", &pages), None);
        assert_eq!(problem(root, page, "main.rs#here-we-are", &pages), None);
        assert_eq!(
            problem(root, page, "#there", &pages).as_deref(),
            Some("leads to no heading of src/main.rs")
        );
    }
}
