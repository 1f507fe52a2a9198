//! A TOML file with its places: parse, check against a JSON Schema, collect every problem.

use std::fmt;
use std::io::{BufRead, BufReader};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::error::{Coded, IoError};

/// One problem in a configuration or input file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file.
    pub file: PathBuf,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// Byte range in the file, for a marked excerpt.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Everything that is wrong, in file order.
    #[error("{}", list(.0))]
    Invalid(Vec<Diagnostic>),
}

fn list(problems: &[Diagnostic]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    format!("{} in the configuration\n{}", count(problems.len()), lines.join("\n"))
}

fn count(n: usize) -> String {
    if n == 1 { "1 problem".into() } else { format!("{n} problems") }
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Invalid(_) => "config::invalid",
        }
    }
    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::Invalid(_) => None,
        }
    }
}

/// The nearest of `names` to `word`, if any is near enough to be what was meant.
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= (name.len() / 3).max(2))
        .min_by_key(|(distance, name)| (*distance, name.len()))
        .map(|(_, name)| name)
}

/// A parsed TOML file that remembers where everything stands.
pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads the file.
    ///
    /// # Errors
    /// When it cannot be read or is not UTF-8.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(IoError::at("reading", path))?;
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { path: path.to_owned(), text }),
            Err(e) => {
                let at = e.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(e.as_bytes()).into_owned();
                let document = Self { path: path.to_owned(), text };
                Err(Error::Invalid(vec![document.problem(at..at, "the file is not UTF-8", None)]))
            }
        }
    }

    /// The file's path as given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The folder that relative paths of this file start from.
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    /// A path of this file, from here.
    pub fn resolve(&self, relative: impl AsRef<Path>) -> PathBuf {
        normal(&self.folder().join(relative))
    }

    /// The text at a dotted key, even in a file that has problems elsewhere.
    pub fn text_at(&self, key: &str) -> Option<String> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let mut steps = key.split('.');
        let mut value = table.get_ref().get(steps.next()?)?.get_ref();
        for step in steps {
            value = value.as_table()?.get(step)?.get_ref();
        }
        value.as_str().map(str::to_owned)
    }

    /// A problem at a byte range of this file.
    pub fn problem(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
        let start = before.iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        let column = String::from_utf8_lossy(&before[start..]).chars().count() + 1;
        Diagnostic { file: self.path.clone(), line, column, span, message: message.into(), help }
    }

    /// A problem at a dotted key (`callset.wgs.ancestry`); at the top of the file if it is absent.
    pub fn problem_at(
        &self,
        key: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Diagnostic {
        self.problem(self.span_of(key).unwrap_or(0..0), message, help)
    }

    /// Byte range of the value at a dotted key; array items by number.
    pub fn span_of(&self, key: &str) -> Option<Range<usize>> {
        let (table, _) = DeTable::parse_recoverable(&self.text);
        let mut steps = key.split('.');
        let first = steps.next()?;
        let (_, mut value) = table.get_ref().iter().find(|(k, _)| k.get_ref() == first)?;
        for step in steps {
            value = match value.get_ref() {
                DeValue::Table(table) => table.iter().find(|(k, _)| k.get_ref() == step)?.1,
                DeValue::Array(items) => items.get(step.parse::<usize>().ok()?)?,
                _ => return None,
            };
        }
        Some(value.span())
    }

    /// Checks the file against the schema of `T` and reads it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every unknown or missing key, wrong type and wrong word, in file order.
    pub fn parse<T: DeserializeOwned + JsonSchema>(&self) -> Result<T, Error> {
        let (table, syntax) = DeTable::parse_recoverable(&self.text);
        if !syntax.is_empty() {
            return Err(Error::Invalid(syntax.iter().map(|e| self.toml_problem(e)).collect()));
        }
        let schema = schemars::schema_for!(T).to_value();
        let mut checker = Checker { document: self, root: &schema, problems: Vec::new() };
        checker.table(table.get_ref(), table.span(), &schema, "");
        let mut problems = checker.problems;
        if problems.is_empty() {
            match toml::from_str(&self.text) {
                Ok(value) => return Ok(value),
                Err(e) => problems.push(self.toml_problem(&e)),
            }
        }
        problems.sort_by_key(|p| p.span.start);
        Err(Error::Invalid(problems))
    }

    fn toml_problem(&self, error: &toml::de::Error) -> Diagnostic {
        self.problem(error.span().unwrap_or(0..0), error.message(), None)
    }
}

/// Walks a document beside its schema.
struct Checker<'a> {
    document: &'a Document,
    root: &'a Value,
    problems: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    fn report(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        self.problems.push(self.document.problem(span, message, help));
    }

    /// Follows `$ref`, and the non-null branch of an `Option`.
    fn resolve(&self, mut schema: &'a Value) -> &'a Value {
        loop {
            if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
                match self.root.pointer(reference.trim_start_matches('#')) {
                    Some(target) => schema = target,
                    None => return schema,
                }
            } else if let Some(branches) = schema.get("anyOf").and_then(Value::as_array) {
                let mut real = branches.iter().filter(|b| b.get("type") != Some(&"null".into()));
                match (real.next(), real.next()) {
                    (Some(only), None) => schema = only,
                    _ => return schema,
                }
            } else {
                return schema;
            }
        }
    }

    fn table(&mut self, table: &DeTable<'_>, span: Range<usize>, schema: &'a Value, path: &str) {
        let Some(schema) = self.variant(table, &span, self.resolve(schema)) else { return };
        let known = schema.get("properties").and_then(Value::as_object);
        let others = schema.get("additionalProperties");
        for (key, value) in table {
            let name: &str = key.get_ref();
            let place = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            if let Some(child) = known.and_then(|k| k.get(name)) {
                self.value(value, child, &place);
            } else if others == Some(&Value::Bool(false)) {
                let names = known.into_iter().flatten().map(|(k, _)| k.as_str());
                let home = self.home_of(name, path);
                let help = nearest(name, names.clone())
                    .map(|near| format!("did you mean `{near}`?"))
                    .or(home)
                    .or_else(|| {
                        Some(format!("valid keys: {}", names.collect::<Vec<_>>().join(", ")))
                    });
                let section = if path.is_empty() { String::new() } else { format!(" in [{path}]") };
                self.report(key.span(), format!("unknown key `{name}`{section}"), help);
            } else if let Some(child @ Value::Object(_)) = others {
                self.value(value, child, &place);
            }
        }
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            let name = name.as_str().unwrap_or_default();
            if !table.iter().any(|(key, _)| key.get_ref() == name) {
                let section = if path.is_empty() { "the file".into() } else { format!("[{path}]") };
                let help = known
                    .and_then(|k| k.get(name))
                    .and_then(|s| {
                        s.get("description").or_else(|| self.resolve(s).get("description"))
                    })
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                self.report(span.clone(), format!("{section} needs the key `{name}`"), help);
            }
        }
    }

    /// Where a misplaced key would belong: a top-level section that has it.
    fn home_of(&self, name: &str, path: &str) -> Option<String> {
        let sections = self.root.get("properties")?.as_object()?;
        sections.iter().find_map(|(section, schema)| {
            let schema = self.resolve(schema);
            let has = schema.get("properties").and_then(|p| p.get(name)).is_some();
            (has && section != path).then(|| format!("`{name}` belongs in [{section}]"))
        })
    }

    /// The branch of a tagged enum that a table is written as; the schema itself when it has none.
    fn variant(
        &mut self,
        table: &DeTable<'_>,
        span: &Range<usize>,
        schema: &'a Value,
    ) -> Option<&'a Value> {
        let Some(branches) = schema.get("oneOf").and_then(Value::as_array) else {
            return Some(schema);
        };
        let tag = branches.iter().find_map(|b| {
            let properties = b.get("properties")?.as_object()?;
            properties.iter().find(|(_, s)| s.get("const").is_some()).map(|(name, _)| name.clone())
        })?;
        let words: Vec<&str> = branches
            .iter()
            .filter_map(|b| b.pointer(&format!("/properties/{tag}/const"))?.as_str())
            .collect();
        let Some((_, written)) = table.iter().find(|(key, _)| *key.get_ref() == tag) else {
            let help = format!("one of: {}", words.join(", "));
            self.report(span.clone(), format!("the key `{tag}` is missing"), Some(help));
            return None;
        };
        let word = written.get_ref().as_str().unwrap_or_default();
        let found = branches.iter().find(|b| {
            b.pointer(&format!("/properties/{tag}/const")).and_then(Value::as_str) == Some(word)
        });
        if found.is_none() {
            let help = nearest(word, words.iter().copied())
                .map(|near| format!("did you mean `{near}`?"))
                .unwrap_or_else(|| format!("one of: {}", words.join(", ")));
            self.report(written.span(), format!("unknown {tag} `{word}`"), Some(help));
        }
        found
    }

    fn value(&mut self, value: &Spanned<DeValue<'_>>, schema: &'a Value, path: &str) {
        let schema = self.resolve(schema);
        if let DeValue::Table(table) = value.get_ref()
            && (schema.get("properties").is_some()
                || schema.get("oneOf").is_some()
                || schema.get("additionalProperties").is_some())
        {
            return self.table(table, value.span(), schema, path);
        }
        if let (DeValue::Array(items), Some(item)) = (value.get_ref(), schema.get("items")) {
            for (index, entry) in items.iter().enumerate() {
                self.value(entry, item, &format!("{path}.{index}"));
                self.path(entry, schema);
            }
            return;
        }
        if let Some(words) = self.words(schema) {
            let word = value.get_ref().as_str().unwrap_or_default();
            if !words.contains(&word) {
                let help = nearest(word, words.iter().copied())
                    .map(|near| format!("did you mean \"{near}\"?"))
                    .unwrap_or_else(|| format!("one of: {}", words.join(", ")));
                self.report(value.span(), format!("`{path}` cannot be this"), Some(help));
            }
            return;
        }
        if !accepts(schema, value.get_ref()) {
            let wanted = wanted(schema);
            let found = value.get_ref().type_str();
            self.report(value.span(), format!("`{path}` must be {wanted}, not {found}"), None);
            return;
        }
        self.range(value, schema, path);
        self.path(value, schema);
    }

    /// Whether what a path names is there, and a table's header has the columns it needs: the schema
    /// says of each path what it must be (`x-path`) and hold (`x-columns`).
    fn path(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value) {
        let Some(kind) = schema.get("x-path").and_then(Value::as_str) else { return };
        let Some(written) = value.get_ref().as_str() else { return };
        let path = self.document.resolve(written);
        let (there, message) = match kind {
            "folder" => (path.is_dir(), "there is no such folder"),
            // Standard input.
            "glob" if written == "-" => (true, ""),
            "glob" => (!expand(self.document.folder(), written).is_empty(), "no file matches this"),
            _ => (path.is_file(), "there is no such file"),
        };
        if !there {
            self.report(value.span(), message.into(), neighbour(&path));
            return;
        }
        let columns = schema.get("x-columns").and_then(Value::as_array).into_iter().flatten();
        let columns: Vec<&str> = columns.filter_map(Value::as_str).collect();
        if !columns.is_empty() {
            self.problems.extend(missing_columns(&path, &columns));
        }
    }

    /// The words of a unit-only enum.
    fn words(&self, schema: &'a Value) -> Option<Vec<&'a str>> {
        if let Some(words) = schema.get("enum").and_then(Value::as_array) {
            return Some(words.iter().filter_map(Value::as_str).collect());
        }
        let branches = schema.get("oneOf").and_then(Value::as_array)?;
        branches.iter().map(|b| b.get("const").and_then(Value::as_str)).collect()
    }

    fn range(&mut self, value: &Spanned<DeValue<'_>>, schema: &Value, path: &str) {
        let number = match value.get_ref() {
            DeValue::Integer(n) => {
                i64::from_str_radix(n.as_str(), n.radix()).map(|n| n as f64).ok()
            }
            DeValue::Float(x) => x.as_str().replace('_', "").parse::<f64>().ok(),
            _ => None,
        };
        let Some(number) = number else { return };
        let limit = |key: &str| schema.get(key).and_then(Value::as_f64);
        let (low, high, above) = (limit("minimum"), limit("maximum"), limit("exclusiveMinimum"));
        let must = match (low, high, above) {
            _ if !number.is_finite() => "a finite number".to_owned(),
            (Some(low), ..) if number < low => format!("at least {low}"),
            (_, Some(high), _) if number > high => format!("at most {high}"),
            (.., Some(above)) if number <= above => format!("above {above}"),
            _ => return,
        };
        self.report(value.span(), format!("`{path}` must be {must}"), None);
    }
}

/// `a/../b` is `b`: messages and records are easier to read, and nothing is looked up.
fn normal(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(out.components().next_back(), Some(Component::Normal(_))) =>
            {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

/// Files that match `pattern` below `base`, sorted. What is special in `base` itself is not.
pub fn expand(base: &Path, pattern: &str) -> Vec<PathBuf> {
    let whole = normal(&base.join(pattern));
    let whole = whole.to_string_lossy();
    let base = normal(base).to_string_lossy().into_owned();
    let whole = match whole.strip_prefix(&base) {
        Some(rest) if !base.is_empty() => format!("{}{rest}", glob::Pattern::escape(&base)),
        _ => whole.into_owned(),
    };
    let found = glob::glob(&whole);
    let mut files: Vec<PathBuf> = found.into_iter().flatten().flatten().collect();
    files.sort();
    files
}

/// The file of the nearest name in the same folder, or how far the path exists.
fn neighbour(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_string_lossy().into_owned();
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(parent) else {
        return Some(format!("the folder {} does not exist", parent.display()));
    };
    let mut names: Vec<String> =
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    nearest(&wanted, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"))
}

/// Columns that the header line of a delimited file lacks. What cannot be read is reported when it is.
fn missing_columns(path: &Path, wanted: &[&str]) -> Vec<Diagnostic> {
    let mut line = String::new();
    let read = std::fs::File::open(path).map(|file| BufReader::new(file).read_line(&mut line));
    if !matches!(read, Ok(Ok(_))) {
        return Vec::new();
    }
    let line = line.trim_start_matches('\u{feff}').trim_end();
    let separator = if line.contains('\t') { '\t' } else { ',' };
    let found: Vec<String> =
        line.split(separator).map(|c| c.trim().trim_matches('"').to_lowercase()).collect();
    let missing =
        wanted.iter().filter(|name| !found.iter().any(|column| column.eq_ignore_ascii_case(name)));
    missing
        .map(|name| Diagnostic {
            file: path.to_owned(),
            line: 1,
            column: 1,
            // Nothing is marked: an excerpt would show data.
            span: 0..0,
            message: format!("the column `{name}` is missing"),
            help: nearest(name, found.iter().map(String::as_str))
                .map(|near| format!("is it the column `{near}`?")),
        })
        .collect()
}

fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn accepts(schema: &Value, value: &DeValue<'_>) -> bool {
    let types = types(schema);
    let is_date = schema.get("format").and_then(Value::as_str) == Some("date");
    types.is_empty()
        || types.iter().any(|t| match (*t, value) {
            ("string", DeValue::Datetime(_)) => is_date,
            ("string", DeValue::String(_))
            | ("integer" | "number", DeValue::Integer(_))
            | ("number", DeValue::Float(_))
            | ("boolean", DeValue::Boolean(_))
            | ("array", DeValue::Array(_))
            | ("object", DeValue::Table(_)) => true,
            _ => false,
        })
}

fn wanted(schema: &Value) -> String {
    if schema.get("format").and_then(Value::as_str) == Some("date") {
        return "a date such as 2026-01-01".into();
    }
    let names: Vec<&str> = types(schema)
        .into_iter()
        .filter(|t| *t != "null")
        .map(|t| match t {
            "object" => "a table",
            "array" => "an array",
            "integer" => "a whole number",
            "string" => "a string",
            "boolean" => "true or false",
            other => other,
        })
        .collect();
    names.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Workflow;

    #[test]
    fn paths_are_shown_in_their_short_form() {
        assert_eq!(normal(Path::new("a/b/../c/./d")), Path::new("a/c/d"));
        assert_eq!(normal(Path::new("../x/../y")), Path::new("../y"));
    }

    const GOOD: &str = r#"
[workflow]
name = "t"
release = "r1"
reference_date = 2026-01-01
store = "s"
[participants]
roster = "r.csv"
[identity]
key = { file = "k" }
[callset.wgs]
genome = "GRCh38"
vcf = ["*.vcf.gz"]
[tier.controlled]
policy = "c.toml"
"#;

    /// A folder in which the paths of `GOOD` exist.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let roster = "person_id,primary_consent,ehr_consent,genomics_consent,withdrawal_status\n";
        std::fs::write(folder.path().join("r.csv"), roster).unwrap();
        for name in ["a.vcf.gz", "c.toml"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        folder
    }

    fn parse(text: &str) -> Result<Workflow, Error> {
        let folder = folder();
        Document { path: folder.path().join("w.toml"), text: text.to_owned() }.parse()
    }

    fn problems(text: &str) -> Vec<String> {
        match parse(text) {
            Err(Error::Invalid(problems)) => problems
                .iter()
                .map(|problem| {
                    let text = problem.to_string();
                    text[text.rfind("/").map_or(0, |at| at + 1)..].to_owned()
                })
                .collect(),
            other => panic!("expected problems, got {other:?}"),
        }
    }

    #[test]
    fn bad_paths_and_missing_columns_are_reported_with_the_rest() {
        let folder = folder();
        std::fs::write(folder.path().join("r.csv"), "person_id,primary_consent,ehr_consentt\n")
            .unwrap();
        let text = GOOD.replace("\"c.toml\"", "\"d.toml\"").replace("genome", "genomme");
        let document = Document { path: folder.path().join("w.toml"), text };
        let Err(Error::Invalid(problems)) = document.parse::<Workflow>() else { panic!() };
        let messages: Vec<&str> = problems.iter().map(|p| p.message.as_str()).collect();
        for wanted in [
            "the column `ehr_consent` is missing",
            "the column `withdrawal_status` is missing",
            "unknown key `genomme` in [callset.wgs]",
            "there is no such file",
        ] {
            assert!(messages.contains(&wanted), "{wanted}: {messages:?}");
        }
    }

    #[test]
    fn a_good_file_is_read() {
        let workflow = parse(GOOD).unwrap();
        assert_eq!(workflow.workflow.reference_date.epoch_days(), 20454);
        assert!(workflow.callset["wgs"].carriers);
        assert_eq!(workflow.engine.person_buckets, 16);
    }

    #[test]
    fn every_problem_is_reported_with_place_and_nearest_key() {
        let bad = GOOD
            .replace("roster =", "rooster =")
            .replace("\"GRCh38\"", "\"GRCh39\"")
            .replace("store = \"s\"", "store = 3\nids = \"shared\"");
        let found = problems(&bad);
        assert_eq!(
            found,
            [
                "w.toml:6:9: `workflow.store` must be a string, not integer",
                "w.toml:7:1: unknown key `ids` in [workflow] (`ids` belongs in [identity])",
                "w.toml:8:1: [participants] needs the key `roster` (CSV: person_id, consent and \
                 withdrawal status and dates.)",
                "w.toml:9:1: unknown key `rooster` in [participants] (did you mean `roster`?)",
                "w.toml:13:10: `callset.wgs.genome` cannot be this (did you mean \"GRCh37\"?)",
            ]
        );
    }

    #[test]
    fn syntax_errors_have_a_place() {
        let found = problems("[workflow\nname = 1\n");
        assert!(found[0].starts_with("w.toml:1:"), "{found:?}");
    }

    #[test]
    fn nearest_needs_to_be_near() {
        assert_eq!(nearest("stor", ["store", "name"]), Some("store"));
        assert_eq!(nearest("zzzzzz", ["store", "name"]), None);
    }
}
