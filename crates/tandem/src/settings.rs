//! Settings of a service: what the command line says counts first, then the environment, then a
//! file. Of an option `--audit-days` the one says `TANDEM_AUDIT_DAYS`, the other `audit-days`.

use std::any::TypeId;
use std::env::{self, VarError};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, Parser};
use tandem_domain::document::Document;
use toml::Value;

use crate::fail::{Failure, Outcome};

/// Command whose options they are.
const SERVE: &str = "serve";

/// Commands that only need to know where the service is, and the options that say it.
const OTHERS: [(&str, &[&str]); 4] = [
    ("client", &[DATA, "store"]),
    ("person", &[DATA, "store"]),
    ("audit", &[DATA]),
    ("backup", &[DATA]),
];

/// Option that names this folder.
const DATA: &str = "data";

/// Option that names the file.
const CONFIG: &str = "config";

/// Reads the command line and what completes it; ends the program if it cannot be understood.
pub(crate) fn parse<P: Parser>() -> Outcome<P> {
    let mut command = P::command();
    let mut words: Vec<OsString> = env::args_os().collect();
    let settings = complete(&command, &words, |name| env::var(name))?;
    // Right behind `serve`, so that no option takes them for its value and no `--` hides them.
    let place = match words.get(1) {
        Some(name) if name == SERVE => 2,
        _ => words.len(),
    };
    words.splice(place..place, settings.iter().flat_map(Setting::words));
    let matches = command.try_get_matches_from_mut(words);
    let parsed = matches.and_then(|matches| P::from_arg_matches(&matches));
    parsed.or_else(|error| {
        // Where nobody reads it, the status still says it.
        let _ = error.print();
        for origin in origins(&error.to_string(), &settings) {
            eprintln!("{origin}");
        }
        std::process::exit(error.exit_code())
    })
}

/// What the environment or a file says of an option.
struct Setting {
    option: Arg,
    /// Without any for a flag that is off.
    values: Vec<OsString>,
    /// The variable, or the file and the line.
    origin: String,
}

impl Setting {
    /// As the command line would say it.
    fn words(&self) -> impl Iterator<Item = OsString> {
        self.values.iter().map(|value| {
            if self.option.is_positional() {
                return value.clone();
            }
            let mut word = OsString::from(shown(&self.option));
            if !is_flag(&self.option) {
                word.push("=");
                word.push(value);
            }
            word
        })
    }
}

/// What completes the words of a command about a service.
fn complete(
    command: &Command,
    words: &[OsString],
    variable: impl Fn(&str) -> Result<String, VarError>,
) -> Outcome<Vec<Setting>> {
    let lenient = command.clone().ignore_errors(true);
    // What stops here, as --help does, is said when the words are read in earnest.
    let Ok(matches) = lenient.try_get_matches_from(words) else {
        return Ok(Vec::new());
    };
    let (Some((name, given)), Some(serve)) = (matches.subcommand(), command.find_subcommand(SERVE))
    else {
        return Ok(Vec::new());
    };
    let place = OTHERS.iter().find(|(other, _)| *other == name);
    if name != SERVE && place.is_none() {
        return Ok(Vec::new());
    }
    let given = innermost(given);
    let is_missing = |option: &Arg| {
        let id = option.get_id().as_str();
        // An export is checked by itself unless a folder is named.
        let counts = place.is_none_or(|(_, place)| place.contains(&id) && !is_said(given, "file"));
        counts && !is_said(given, id)
    };
    let read = |name: &str| match variable(name) {
        Ok(text) => Ok(Some(text).filter(|text| !text.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure(format!("{name} must be text in UTF-8"))),
    };
    let mut settings = Vec::new();
    for option in options(serve).filter(|option| is_missing(option)) {
        let origin = format!("TANDEM_{}", key(option).replace('-', "_").to_uppercase());
        if let Some(text) = read(&origin)? {
            settings.push(from_text(option, &text, origin)?);
        }
    }
    let file = given.try_get_one::<PathBuf>(CONFIG).ok().flatten();
    let file = match file {
        Some(file) => Some(file.clone()),
        None => read("TANDEM_CONFIG")?.map(PathBuf::from),
    };
    if let Some(file) = file {
        let known: Vec<_> = settings
            .iter()
            .map(|setting| key(&setting.option))
            .collect();
        let mut others = from_file(serve, &file)?;
        others.retain(|other| is_missing(&other.option) && !known.contains(&key(&other.option)));
        settings.extend(others);
    }
    Ok(settings)
}

fn from_text(option: &Arg, text: &str, origin: String) -> Outcome<Setting> {
    let values = match (is_flag(option), text) {
        (true, "true") => vec![OsString::new()],
        (true, "false") => Vec::new(),
        (true, _) => return Err(Failure(format!("{origin} must be true or false"))),
        _ if is_list(option) => text.split(',').map(|part| part.trim().into()).collect(),
        _ => vec![text.into()],
    };
    Ok(Setting {
        option: option.clone(),
        values,
        origin,
    })
}

/// Reads a file of settings; where it names files and folders, they are beside it.
fn from_file(serve: &Command, file: &Path) -> Outcome<Vec<Setting>> {
    let text = fs::read_to_string(file).map_err(|error| Failure::io(file, &error))?;
    let read =
        Document::parse(&text).and_then(|document| Ok((document.read::<toml::Table>()?, document)));
    let (table, document) = read.map_err(|problem| Failure::problems(file, &[problem]))?;
    let (mut settings, mut problems) = (Vec::new(), Vec::new());
    for (name, value) in &table {
        let option = options(serve).find(|option| key(option) == *name);
        let option = option.ok_or("there is no such option; `tandem serve --help` names all");
        let values = option.and_then(|option| Ok((option, from_value(option, value)?)));
        match values {
            Ok((option, mut values)) => {
                if option.get_value_parser().type_id() == TypeId::of::<PathBuf>() {
                    let folder = file.parent().unwrap_or(Path::new(""));
                    values = values
                        .iter()
                        .map(|value| folder.join(value).into())
                        .collect();
                }
                let line = document.problem(name, "").line;
                settings.push(Setting {
                    option: option.clone(),
                    values,
                    origin: format!("{}, line {line}", file.display()),
                });
            }
            Err(message) => problems.push(document.problem(name, message)),
        }
    }
    problems.sort_by_key(|problem| problem.line);
    match problems.is_empty() {
        true => Ok(settings),
        false => Err(Failure::problems(file, &problems)),
    }
}

fn from_value(option: &Arg, value: &Value) -> Result<Vec<OsString>, &'static str> {
    let one = |value: &Value| match value {
        Value::String(text) => Some(text.into()),
        Value::Integer(number) => Some(number.to_string().into()),
        Value::Datetime(date) => Some(date.to_string().into()),
        _ => None,
    };
    match (is_flag(option), value) {
        (true, Value::Boolean(true)) => Ok(vec![OsString::new()]),
        (true, Value::Boolean(false)) => Ok(Vec::new()),
        (true, _) => Err("write true or false"),
        (false, Value::Array(values)) if is_list(option) => values
            .iter()
            .map(one)
            .collect::<Option<_>>()
            .ok_or("write texts in quotes, or whole numbers"),
        (false, value) => one(value)
            .map(|value| vec![value])
            .ok_or("write a text in quotes, or a whole number"),
    }
}

/// Where the options were set that a message is about.
fn origins(message: &str, settings: &[Setting]) -> Vec<String> {
    let named = |setting: &&Setting| {
        let mut words = message.split(|mark: char| mark.is_whitespace() || mark == '\'');
        words.any(|word| word == shown(&setting.option))
    };
    let concerned = settings.iter().filter(named);
    concerned
        .map(|setting| format!("{} is set by {}", shown(&setting.option), setting.origin))
        .collect()
}

/// The options that can be set, folders of the programmes among them.
fn options(serve: &Command) -> impl Iterator<Item = &Arg> {
    serve
        .get_arguments()
        .filter(|option| option.get_id() != CONFIG)
}

/// Name of an option in a file.
fn key(option: &Arg) -> &str {
    option
        .get_long()
        .unwrap_or_else(|| option.get_id().as_str())
}

/// As messages name it.
fn shown(option: &Arg) -> String {
    match option.get_long() {
        Some(long) => format!("--{long}"),
        None => option.to_string(),
    }
}

fn is_flag(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::SetTrue)
}

fn is_list(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Append)
}

fn is_said(given: &ArgMatches, id: &str) -> bool {
    given.try_contains_id(id).unwrap_or(false)
        && given.value_source(id) == Some(ValueSource::CommandLine)
}

/// What was said to a command of commands in the end.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches
        .subcommand()
        .map_or(matches, |(_, inner)| innermost(inner))
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::*;

    /// What completes `tandem` with these words, with a file of settings beside it.
    fn completed(
        words: &[&str],
        variables: &[(&str, &str)],
        file: Option<&str>,
    ) -> Outcome<Vec<String>> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("service.toml");
        let mut variables: Vec<(&str, &str)> = variables.to_vec();
        if let Some(text) = file {
            fs::write(&path, text).expect("a file");
            variables.push(("TANDEM_CONFIG", path.to_str().expect("a name in UTF-8")));
        }
        let words: Vec<OsString> = ["tandem"].iter().chain(words).map(OsString::from).collect();
        let settings = complete(&crate::Cli::command(), &words, |name| {
            let known = variables.iter().find(|(known, _)| *known == name);
            known
                .map(|(_, text)| (*text).to_owned())
                .ok_or(VarError::NotPresent)
        });
        let plain = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
        let settings = settings.map_err(|failure| Failure(plain(failure.to_string())))?;
        let words = settings.iter().flat_map(Setting::words);
        Ok(words
            .map(|word| plain(word.into_string().expect("UTF-8")))
            .collect())
    }

    fn found(words: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Vec<String> {
        completed(words, variables, file).unwrap_or_else(|failure| panic!("{failure}"))
    }

    const FILE: &str = "programmes = ['a', '/b']\nrate = 7\nsandbox = true\ndata = 'books'\n\
                        trusted-proxy = ['10.0.0.0/8', '::1']\nuntil = 2022-06-30\n";

    #[test]
    fn a_file_says_everything_and_its_folders_are_beside_it() {
        assert_eq!(
            found(&["serve"], &[], Some(FILE)),
            [
                "--data=books",
                "a",
                "/b",
                "--rate=7",
                "--sandbox",
                "--trusted-proxy=10.0.0.0/8",
                "--trusted-proxy=::1",
                "--until=2022-06-30"
            ]
        );
    }

    #[test]
    fn the_documented_file_can_be_read() {
        let page = include_str!("../../../docs/operation.md");
        let example = page
            .split("```")
            .find_map(|part| part.strip_prefix("toml\n"));
        let example = example.expect("an example");
        let words = found(&["serve"], &[], Some(example));
        assert!(
            words.contains(&"--listen=0.0.0.0:443".to_owned()),
            "{words:?}"
        );
        let words = ["tandem", "serve"]
            .map(str::to_owned)
            .into_iter()
            .chain(words);
        assert!(crate::Cli::try_parse_from(words).is_ok());
    }

    #[test]
    fn the_command_line_counts_first_and_then_the_environment() {
        let variables = [
            ("TANDEM_RATE", "8"),
            ("TANDEM_SANDBOX", "false"),
            ("TANDEM_DATA", ""),
            ("TANDEM_DECIDER", "river=http://a, cloud=http://b"),
            ("TANDEM_UNTIL", "2022-01-31"),
        ];
        let words = [
            "serve",
            "c",
            "--trusted-proxy",
            "192.0.2.1",
            "--until=2022-03-31",
        ];
        assert_eq!(
            found(&words, &variables, Some(FILE)),
            [
                "--decider=river=http://a",
                "--decider=cloud=http://b",
                "--rate=8",
                "--data=books"
            ]
        );
    }

    #[test]
    fn other_commands_know_where_the_service_is() {
        let data = [("TANDEM_DATA", "books"), ("TANDEM_RATE", "8")];
        for words in [
            &["client", "list"][..],
            &["person", "anna", "--name=Anna", "--party=river"],
            &["audit", "export", "--party=river"],
            &["audit", "verify"],
            &["backup", "--to=copy"],
        ] {
            assert_eq!(found(words, &data, None), ["--data=books"], "{words:?}");
            assert_eq!(found(words, &[], Some(FILE)), ["--data=books"], "{words:?}");
        }
        let server = [("TANDEM_STORE", "postgres://db/lending")];
        for words in [
            &["client", "list"][..],
            &["person", "anna", "--name=Anna", "--party=river"],
        ] {
            let expected = ["--store=postgres://db/lending"];
            assert_eq!(found(words, &server, None), expected, "{words:?}");
        }
        assert!(found(&["audit", "verify"], &server, None).is_empty());
        for words in [
            &["client", "--data", "here", "list"][..],
            &["client", "list", "--data", "here"],
            &["audit", "verify", "export.txt"],
            &["run", "marketplace"],
            &["serve", "--help"],
            &[],
        ] {
            assert!(found(words, &data, None).is_empty(), "{words:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let said = |variables: &[(&str, &str)], file| match completed(&["serve"], variables, file) {
            Ok(words) => panic!("{words:?}"),
            Err(failure) => failure.0,
        };
        assert_eq!(
            said(
                &[],
                Some("rat = 7\nsandbox = 'yes'\nrate = [1]\ntrusted-proxy = [true]\nstore = 1.5\n")
            ),
            "error: service.toml, line 1, rat: there is no such option; `tandem serve --help` names all\n\
             error: service.toml, line 2, sandbox: write true or false\n\
             error: service.toml, line 3, rate: write a text in quotes, or a whole number\n\
             error: service.toml, line 4, trusted-proxy: write texts in quotes, or whole numbers\n\
             error: service.toml, line 5, store: write a text in quotes, or a whole number"
        );
        assert_eq!(
            said(&[], Some("rate = 7\nrate = 8\n")),
            "error: service.toml, line 2: duplicate key"
        );
        assert_eq!(
            said(&[("TANDEM_DEMO", "1")], None),
            "error: TANDEM_DEMO must be true or false"
        );
        assert_eq!(
            said(&[("TANDEM_CONFIG", "/nowhere/service.toml")], None),
            "error: /nowhere/service.toml: No such file or directory (os error 2)"
        );
        let words = ["tandem", "serve"].map(OsString::from);
        let not_text = |_: &str| Err(VarError::NotUnicode(OsString::new()));
        let refused = complete(&crate::Cli::command(), &words, not_text).err();
        assert_eq!(
            refused.map(|failure| failure.0),
            Some("TANDEM_PROGRAMMES must be text in UTF-8".to_owned())
        );
    }
}
