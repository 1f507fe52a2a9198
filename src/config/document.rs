//! A TOML file with its places: parse, check against a JSON Schema, collect every problem.

mod checker;

use std::ops::Range;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use self::checker::Checker;
use super::diagnostic::{Diagnostic, Error};
use super::paths::normal;
use crate::error::IoError;

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
        let mut problems = Checker::problems(self, &table, &schema);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Workflow;

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
}
