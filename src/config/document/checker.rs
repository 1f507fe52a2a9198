//! A document beside its JSON Schema: every unknown or missing key, wrong type, wrong word and path of nothing.

use std::ops::Range;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Document;
use crate::config::diagnostic::{Diagnostic, nearest};
use crate::config::paths::{expand, missing_columns, neighbour};

/// Walks a document beside its schema.
pub(super) struct Checker<'a> {
    document: &'a Document,
    root: &'a Value,
    problems: Vec<Diagnostic>,
}

impl<'a> Checker<'a> {
    /// What is wrong with `table` by `schema`, in the order of the walk.
    pub(super) fn problems(
        document: &'a Document,
        table: &Spanned<DeTable<'_>>,
        schema: &'a Value,
    ) -> Vec<Diagnostic> {
        let mut checker = Self { document, root: schema, problems: Vec::new() };
        checker.table(table.get_ref(), table.span(), schema, "");
        checker.problems
    }

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
