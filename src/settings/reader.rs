//! Reads one TOML document section by section, and collects everything that is wrong with it at once.
//!
//! A section learns which keys it was asked for; what is left when it is dropped is unknown and refused. So the schema
//! is written in one place only, the code that asks.

use super::source::{Problem, Source, Told};
use super::units;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;
use toml::de::{DeTable, DeValue};

/// What a key of the schema is to this version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Understood.
    Works,
    /// Known, and refused: its feature is not in this version.
    Lacking,
}

/// A document being read.
pub(super) struct Document<'t> {
    path: PathBuf,
    text: &'t str,
    problems: RefCell<Vec<Problem>>,
    keys: RefCell<BTreeMap<String, Standing>>,
}

impl<'t> Document<'t> {
    /// `text`, called `path` in messages.
    pub fn new(path: PathBuf, text: &'t str) -> Self {
        Document { path, text, problems: RefCell::default(), keys: RefCell::default() }
    }

    /// Parses and hands the root section to `read`. Text that is no TOML gives every syntax error with its line, and no
    /// root.
    pub fn read<T>(&self, read: impl FnOnce(Section<'_, 't>) -> T) -> Option<T> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        if errors.is_empty() {
            return Some(read(Section::new(self, String::new(), String::new(), table.get_ref())));
        }
        for error in errors {
            let source = self.source(error.span().map_or(0, |s| s.start));
            self.problems.borrow_mut().push(Problem {
                name: "syntax",
                key: None,
                source: Some(source),
                message: format!("not valid TOML: {}", error.message().trim()),
                hint: "correct the line; text stands in quotes, and so do lengths of time: hold = \"10s\"".into(),
            });
        }
        None
    }

    /// Everything that was wrong, and every key that was asked for.
    pub fn finish(self) -> (Vec<Problem>, BTreeMap<String, Standing>) {
        (self.problems.into_inner(), self.keys.into_inner())
    }

    fn source(&self, offset: usize) -> Source {
        let before = self.text.as_bytes().iter().take(offset);
        Source::File { path: self.path.clone(), line: 1 + before.filter(|b| **b == b'\n').count() }
    }
}

/// One table of the document.
pub(super) struct Section<'d, 't> {
    document: &'d Document<'t>,
    /// `target[0].tls`
    path: String,
    /// `target[].tls`
    pattern: String,
    table: &'d DeTable<'t>,
    asked: RefCell<BTreeMap<&'static str, Standing>>,
}

impl<'d, 't> Section<'d, 't> {
    fn new(document: &'d Document<'t>, path: String, pattern: String, table: &'d DeTable<'t>) -> Self {
        Section { document, path, pattern, table, asked: RefCell::default() }
    }

    /// Dotted path of one of this section's keys.
    pub fn path_of(&self, key: &str) -> String {
        dotted(&self.path, key)
    }

    /// A piece of text.
    pub fn string(&self, key: &'static str) -> Option<Told<String>> {
        let (value, source) = self.ask(key, Standing::Works)?;
        match value {
            DeValue::String(text) if text.trim().is_empty() => {
                self.complain("empty", key, &source, "is empty", "write a value, or remove the key");
                None
            }
            DeValue::String(text) => Some(Told::new(text.to_string(), source)),
            other => self.wrong_type(key, &source, other, "text in quotes"),
        }
    }

    /// A list of texts, each with its own line. The list itself may be empty.
    pub fn strings(&self, key: &'static str) -> Option<Told<Vec<Told<String>>>> {
        let (value, source) = self.ask(key, Standing::Works)?;
        let DeValue::Array(items) = value else {
            return self.wrong_type(key, &source, value, "a list of texts: [\"...\", \"...\"]");
        };
        let mut texts = Vec::new();
        for item in items.iter() {
            let place = self.document.source(item.span().start);
            match item.get_ref() {
                DeValue::String(text) => texts.push(Told::new(text.to_string(), place)),
                other => {
                    let _: Option<()> = self.wrong_type(key, &place, other, "a list of texts: [\"...\", \"...\"]");
                }
            }
        }
        Some(Told::new(texts, source))
    }

    /// A length of time, zero included.
    pub fn duration(&self, key: &'static str) -> Option<Told<Duration>> {
        let text = self.duration_text(key)?;
        match units::duration(&text.value) {
            Ok(length) => Some(Told::new(length, text.source)),
            Err(bad) => {
                self.complain(bad.name, key, &text.source, &bad.why, &bad.hint);
                None
            }
        }
    }

    /// The text of a length of time; a bare number is told which unit to take.
    pub fn duration_text(&self, key: &'static str) -> Option<Told<String>> {
        let (value, source) = self.ask(key, Standing::Works)?;
        let number = match value {
            DeValue::String(text) => return Some(Told::new(text.to_string(), source)),
            DeValue::Integer(number) => number.to_string(),
            DeValue::Float(number) => number.to_string(),
            other => return self.wrong_type(key, &source, other, "a length of time: \"10s\", in quotes"),
        };
        let bad = units::missing_unit(&number);
        self.complain(bad.name, key, &source, &bad.why, &bad.hint);
        None
    }

    /// A whole number that is not negative.
    pub fn whole_number(&self, key: &'static str) -> Option<Told<u32>> {
        let (value, source) = self.ask(key, Standing::Works)?;
        let DeValue::Integer(number) = value else {
            return self.wrong_type(key, &source, value, "a whole number: digits without quotes");
        };
        match u32::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Some(Told::new(number, source)),
            Err(_) => {
                let why = format!("{number} is not a whole number from 0 to {}", u32::MAX);
                self.complain("out_of_range", key, &source, &why, "write a small whole number, without quotes");
                None
            }
        }
    }

    /// A number, whole or not.
    pub fn number(&self, key: &'static str) -> Option<Told<f64>> {
        let (value, source) = self.ask(key, Standing::Works)?;
        let text = match value {
            DeValue::Integer(number) => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            other => return self.wrong_type(key, &source, other, "a number"),
        };
        match text.parse() {
            Ok(number) => Some(Told::new(number, source)),
            Err(_) => self.wrong_type(key, &source, value, "a decimal number"),
        }
    }

    /// A piece of text, or a whole number, as its digits.
    pub fn name_or_number(&self, key: &'static str) -> Option<Told<String>> {
        match self.ask(key, Standing::Works)? {
            (DeValue::Integer(number), source) => Some(Told::new(number.to_string(), source)),
            _ => self.string(key),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &'static str) -> Option<Told<bool>> {
        let (value, source) = self.ask(key, Standing::Works)?;
        match value {
            DeValue::Boolean(answer) => Some(Told::new(*answer, source)),
            other => self.wrong_type(key, &source, other, "true or false: without quotes"),
        }
    }

    /// A table: `[key]` or `key = { ... }`, with its line.
    pub fn section(&self, key: &'static str) -> Option<Told<Section<'d, 't>>> {
        let (value, source) = self.ask(key, Standing::Works)?;
        match value {
            DeValue::Table(table) => {
                let inner = Section::new(self.document, self.path_of(key), dotted(&self.pattern, key), table);
                Some(Told::new(inner, source))
            }
            other => {
                let wanted = format!("a table: {} = {{ ... }}", self.path_of(key));
                self.wrong_type(key, &source, other, &wanted)
            }
        }
    }

    /// A list of tables: `[[key]]`, each with its line.
    pub fn sections(&self, key: &'static str) -> Vec<Told<Section<'d, 't>>> {
        let Some((value, source)) = self.ask(key, Standing::Works) else { return Vec::new() };
        let wanted = format!("a list of tables: [[{}]], with two brackets", self.path_of(key));
        let DeValue::Array(items) = value else {
            let _: Option<()> = self.wrong_type(key, &source, value, &wanted);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for (n, item) in items.iter().enumerate() {
            let place = self.document.source(item.span().start);
            let DeValue::Table(table) = item.get_ref() else {
                let _: Option<()> = self.wrong_type(key, &place, item.get_ref(), &wanted);
                continue;
            };
            let path = format!("{}[{n}]", self.path_of(key));
            let pattern = format!("{}[]", dotted(&self.pattern, key));
            sections.push(Told::new(Section::new(self.document, path, pattern, table), place));
        }
        sections
    }

    /// Refuses a key whose feature this version lacks. True when it was written.
    pub fn lacking(&self, key: &'static str, instead: &str) -> bool {
        let Some((_, source)) = self.ask(key, Standing::Lacking) else { return false };
        self.complain("not_in_this_version", key, &source, "is not in this version", instead);
        true
    }

    /// Adds a problem with one of this section's keys: `` `path` why ``.
    pub fn complain(&self, name: &'static str, key: &str, source: &Source, why: &str, hint: &str) {
        let path = self.path_of(key);
        let message = format!("`{path}`{} {why}", if why.starts_with("is ") { "" } else { ":" });
        self.document.problems.borrow_mut().push(Problem::of_key(name, path, Some(source), message, hint));
    }

    fn ask(&self, key: &'static str, standing: Standing) -> Option<(&'d DeValue<'t>, Source)> {
        self.asked.borrow_mut().insert(key, standing);
        let (name, value) = self.table.get_key_value(key)?;
        Some((value.get_ref(), self.document.source(name.span().start)))
    }

    fn wrong_type<T>(&self, key: &str, source: &Source, value: &DeValue<'_>, wanted: &str) -> Option<T> {
        let noun = wanted.split_once(':').map_or(wanted, |(noun, _)| noun);
        let why = format!("is {} where {noun} belongs", article(value.type_str()));
        self.complain("wrong_type", key, source, &why, &format!("write {wanted}"));
        None
    }

    fn refuse_unknown(&self) {
        let asked = self.asked.borrow();
        for (name, _) in self.table.iter() {
            let key = name.get_ref().as_ref();
            if asked.contains_key(key) {
                continue;
            }
            let mut hint = String::new();
            if let Some(near) = nearest(key, asked.keys().copied()) {
                let _ = write!(hint, "did you mean `{near}`? ");
            }
            let working = asked.iter().filter(|(_, s)| **s == Standing::Works).map(|(k, _)| format!("`{k}`"));
            let _ = write!(hint, "allowed here: {}", working.collect::<Vec<_>>().join(", "));
            let path = self.path_of(key);
            let source = self.document.source(name.span().start);
            let message = format!("unknown key `{path}`");
            self.document.problems.borrow_mut().push(Problem::of_key(
                "unknown_key",
                path,
                Some(&source),
                message,
                hint,
            ));
        }
    }
}

impl Drop for Section<'_, '_> {
    fn drop(&mut self) {
        self.refuse_unknown();
        let mut keys = self.document.keys.borrow_mut();
        for (key, standing) in self.asked.borrow().iter() {
            keys.insert(dotted(&self.pattern, key), *standing);
        }
    }
}

fn dotted(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

fn article(kind: &str) -> String {
    let vowel = kind.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {kind}", if vowel { "an" } else { "a" })
}

/// The known word that `word` most looks like, if any looks like it at all.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let likeness = |k: &str| strsim::jaro_winkler(&word.to_lowercase(), k);
    let scored = known.into_iter().map(|k| (likeness(k), k)).filter(|(score, _)| *score > 0.8);
    scored.max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, k)| k)
}
