//! The console's texts, in every language that it speaks.
//!
//! All of them stand in `texts.toml`. A key is a page or group and a name, `sign_in.title`; names
//! that come from data (states, accounts, roles) are looked up by group and word.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A language of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Language {
    English,
    Chinese,
}

/// A text in every language. All are required, so none can be forgotten.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    en: String,
    zh: String,
}

static TEXTS: LazyLock<BTreeMap<String, BTreeMap<String, Text>>> = LazyLock::new(|| {
    toml::from_str(include_str!("texts.toml")).expect("the catalogue can be read, as a test checks")
});

impl Language {
    /// All languages, in the order in which they are offered.
    pub(crate) const ALL: [Language; 2] = [Language::English, Language::Chinese];

    /// Tag of the language (BCP 47), as in `lang`.
    pub(crate) fn tag(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Chinese => "zh",
        }
    }

    /// Its own name for itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Language::English => "English",
            Language::Chinese => "中文",
        }
    }

    /// The language of a tag, whatever its region.
    pub(crate) fn of_tag(tag: &str) -> Option<Language> {
        let primary = tag.split('-').next().unwrap_or(tag).trim();
        let mut all = Language::ALL.into_iter();
        all.find(|language| language.tag().eq_ignore_ascii_case(primary))
    }

    /// The language that a reader likes best, by `Accept-Language`; English if we speak none.
    pub(crate) fn accepted(header: &str) -> Language {
        let weighed = header.split(',').filter_map(|item| {
            let mut parts = item.split(';');
            let language = Language::of_tag(parts.next()?)?;
            let quality = parts.find_map(|part| part.trim().strip_prefix("q=")?.parse().ok());
            Some((language, quality.unwrap_or(1.0_f32)))
        });
        // Of equals the first counts.
        let best = weighed.reduce(|best, next| if next.1 > best.1 { next } else { best });
        best.map_or(Language::English, |(language, _)| language)
    }

    /// The text of a key; the key itself if there is none, which a test finds.
    pub(crate) fn text(self, key: &str) -> &str {
        let (group, name) = key.split_once('.').unwrap_or((key, ""));
        self.find(group, name).unwrap_or(key)
    }

    /// The text of a key with values in the places of `{0}`, `{1}`, …
    pub(crate) fn fill(self, key: &str, values: &[&str]) -> String {
        let text = self.text(key).to_owned();
        let places = values.iter().enumerate();
        places.fold(text, |text, (place, value)| {
            text.replace(&format!("{{{place}}}"), value)
        })
    }

    /// The text of a word that comes from data, in a group of such words; the word itself if the
    /// catalogue does not know it.
    pub(crate) fn word<'a>(self, group: &str, word: &'a str) -> &'a str {
        self.find(group, word).unwrap_or(word)
    }

    fn find(self, group: &str, name: &str) -> Option<&'static str> {
        let text = TEXTS.get(group)?.get(name)?;
        Some(match self {
            Language::English => &text.en,
            Language::Chinese => &text.zh,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use tandem_domain::ledger::Account;
    use tandem_domain::rulebook::{BUILT_IN, Rulebook};

    use super::*;
    use crate::read::EVENT_KINDS;

    /// Groups whose names come from data.
    const WORDS: &[&str] = &[
        "account",
        "account_class",
        "action",
        "amortisation",
        "audit_act",
        "audit_outcome",
        "case_kind",
        "class",
        "client_change",
        "component",
        "delivery",
        "entry",
        "event",
        "field",
        "party_kind",
        "party_role",
        "proposal",
        "role",
        "rule",
        "scheme",
        "state",
        "status",
        "theme",
    ];

    #[test]
    fn every_text_is_used_and_every_used_text_is_there() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut sources = String::new();
        let mut folders = ["src/console", "templates"]
            .map(|name| root.join(name))
            .to_vec();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("tests") {
                    folders.push(path);
                } else if path
                    .extension()
                    .is_some_and(|kind| kind == "rs" || kind == "html")
                {
                    sources += &fs::read_to_string(path).unwrap();
                }
            }
        }
        let mut known = BTreeSet::new();
        for (group, texts) in TEXTS
            .iter()
            .filter(|(group, _)| !WORDS.contains(&group.as_str()))
        {
            known.extend(texts.keys().map(|name| format!("{group}.{name}")));
        }
        let unused: Vec<_> = known
            .iter()
            .filter(|key| !sources.contains(&format!("\"{key}\"")))
            .collect();
        assert!(unused.is_empty(), "no page uses {unused:?}");
        let literals = sources.split('"').filter(|text| {
            text.split_once('.').is_some_and(|(group, name)| {
                TEXTS.contains_key(group)
                    && name != "html"
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
            })
        });
        let missing: BTreeSet<_> = literals.filter(|key| !known.contains(*key)).collect();
        assert!(missing.is_empty(), "the catalogue lacks {missing:?}");
    }

    #[test]
    fn texts_have_the_same_places_for_values_in_all_languages() {
        for (group, texts) in TEXTS.iter() {
            for (name, text) in texts {
                for place in 0..4 {
                    let place = format!("{{{place}}}");
                    assert_eq!(
                        text.en.contains(&place),
                        text.zh.contains(&place),
                        "{group}.{name}: {place}"
                    );
                }
                assert!(!text.en.is_empty() && !text.zh.is_empty(), "{group}.{name}");
            }
        }
    }

    #[test]
    fn words_of_the_book_are_known() {
        let accounts = Account::chart(1).map(|account| ("account", account.name()));
        let events = EVENT_KINDS.iter().map(|kind| ("event", *kind));
        for (group, word) in accounts.chain(events) {
            let known = Language::Chinese.find(group, word);
            assert!(known.is_some(), "{group}: {word}");
        }
        for (name, text) in BUILT_IN {
            let rulebook = Rulebook::parse(text).unwrap();
            let rules = rulebook.rule.iter();
            let words = rules.flat_map(|rule| [&rule.title, &rule.source]);
            for word in words.chain([&rulebook.title]) {
                let known = Language::Chinese.find("rule", word);
                assert!(known.is_some(), "{name}: {word}");
            }
        }
    }

    #[test]
    fn the_reader_s_language_is_chosen() {
        for (header, expected) in [
            ("", Language::English),
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("de, en;q=0.7, zh;q=0.9", Language::Chinese),
            ("en-GB;q=0.8, zh;q=0.8", Language::English),
            ("fr", Language::English),
        ] {
            assert_eq!(Language::accepted(header), expected, "{header}");
        }
    }
}
