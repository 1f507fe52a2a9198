//! What must hold of rules before any is applied.

use super::super::Error;
use super::file::unknown;
use super::{Kind, Rule};
use crate::config::nearest;
use crate::omop::{CdmVersion, Family, TableSpec, cdm};

fn specs(table: &str) -> Vec<&'static TableSpec> {
    let versions = [CdmVersion::V5_4, CdmVersion::V5_3];
    versions.into_iter().filter_map(|v| cdm(v).table(table)).collect()
}

/// Checks ids, order, tables and columns.
pub(super) fn check(rules: &[Rule]) -> Result<(), Error> {
    for (number, rule) in rules.iter().enumerate() {
        let wrong = |message: String| Error::Rule { rule: rule.id.clone(), message };
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if rule.id.is_empty() || !rule.id.chars().all(plain) {
            return Err(wrong("an id is lower-case letters, digits and _".into()));
        }
        if rules[..number].iter().any(|earlier| earlier.id == rule.id) {
            return Err(wrong("the id is taken by an earlier rule".into()));
        }
        if let Some(early) = rules[..number].iter().find(|r| rule.before.contains(&r.id)) {
            return Err(wrong(format!(
                "it must come before `{}`, which comes before it: name its file first",
                early.id
            )));
        }
        for after in &rule.after {
            if !rules[..number].iter().any(|earlier| earlier.id == *after) {
                return Err(wrong(format!(
                    "it must come after `{after}`, which does not come before it"
                )));
            }
        }
        if let Kind::Unique { columns, .. } | Kind::WithValue { columns, .. } = &rule.kind
            && columns.is_empty()
        {
            return Err(wrong("columns is empty".into()));
        }
        for table in rule.kind.tables() {
            let specs = specs(table);
            if !specs.iter().any(|s| s.person_field && s.family != Family::Programme) {
                let near = cdm(CdmVersion::V5_4).nearest(table);
                return Err(wrong(unknown("table", table, near)));
            }
            for (column, kinds) in rule.kind.columns() {
                let field = specs.iter().find_map(|s| s.field(column));
                let names = specs.iter().flat_map(|s| s.fields.iter().map(|f| f.name));
                match field {
                    None => return Err(wrong(unknown("column", column, nearest(column, names)))),
                    Some(field) if !kinds.contains(&field.kind) => {
                        return Err(wrong(format!("`{table}.{column}` holds other values")));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::Rules;
    use super::super::file::parse;
    use super::*;

    fn read(text: &str) -> Result<Rules, Error> {
        let list = parse(text, Path::new("r.toml"))?;
        check(&list)?;
        Ok(Rules { list })
    }

    #[test]
    fn what_cannot_be_applied_is_refused_with_the_nearest_name() {
        let rule = |more: &str| format!("\n[[rule]]\nid = \"a\"\ndescription = \"d\"\n{more}\n");
        for (text, words) in [
            ("kind = \"until_deth\"\ntables = []\ndays = 1", "did you mean `until_death`"),
            ("kind = \"until_death\"\ntables = []\nday = 1", "did you mean `days`"),
            ("kind = \"until_death\"\ntables = []", "missing field `days`"),
            ("kind = \"any_concept\"\ntables = [\"drug_exposur\"]", "did you mean `drug_exposure`"),
            ("kind = \"any_concept\"\ntables = [\"concept\"]", "unknown table"),
            (
                "kind = \"unique\"\ntable = \"measurement\"\ncolumns = [\"value_as_nmber\"]",
                "did you mean `value_as_number`",
            ),
            (
                "kind = \"words\"\ntable = \"measurement\"\ncolumn = \"value_as_number\"\nwords = []",
                "holds other values",
            ),
            ("kind = \"any_concept\"\ntables = []\nafter = [\"b\"]", "must come after `b`"),
        ] {
            let error = read(&rule(text)).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let first = rule("kind = \"any_concept\"\ntables = []");
        let then =
            "[[rule]]\nid = \"b\"\ndescription = \"d\"\nbefore = [\"a\"]\nkind = \"all_zero\"\n";
        let error = read(&(first + then)).unwrap_err().to_string();
        assert!(error.contains("must come before `a`"), "{error}");
        let twice = rule("kind = \"any_concept\"\ntables = []").repeat(2);
        assert!(read(&twice).unwrap_err().to_string().contains("taken"));
    }
}
