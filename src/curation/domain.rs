//! Which table a domain belongs to, and which fields of two tables are the same.
//!
//! The table is a CSV file. Its head is `role` and the tables; the line `domain` names the domain of each; every other
//! line is a role with the field of each table that has it, empty where a table has none. A row that moves
//! takes the fields of shared roles with it, but for its id.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::Error;
use crate::config::nearest;
use crate::omop::{CdmVersion, FieldKind, FieldSpec, TableSpec, cdm};

/// Tables with their domains and fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Domains {
    tables: Vec<String>,
    domains: BTreeMap<String, usize>,
    roles: BTreeMap<String, Vec<Option<String>>>,
}

impl Domains {
    /// Reads the table.
    ///
    /// # Errors
    /// An unreadable file, an unknown table or field, a field in two roles, a role with fields of several
    /// kinds, an id as a field, a table without domain, concept or start date.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wrong =
            |line: usize, message: String| Error::RuleFile { path: path.to_owned(), line, message };
        let mut reader = csv::ReaderBuilder::new()
            .comment(Some(b'#'))
            .from_path(path)
            .map_err(|_| wrong(1, "the file cannot be read".into()))?;
        let head = reader.headers().map_err(|_| wrong(1, "there is no head".into()))?.clone();
        let mut all =
            Self { tables: head.iter().skip(1).map(str::to_owned).collect(), ..Self::default() };
        if let Some(table) = all.tables.iter().find(|table| specs(table).is_empty()) {
            let near = cdm(CdmVersion::V5_4).nearest(table);
            return Err(wrong(1, super::rule::unknown("table", table, near)));
        }
        for row in reader.records() {
            let row = row.map_err(|e| {
                let line = e.position().map_or(1, |p| p.line() as usize);
                wrong(line, "the line has another number of columns".into())
            })?;
            let line = row.position().map_or(1, |p| p.line() as usize);
            let cells: Vec<Option<&str>> =
                row.iter().map(|cell| Some(cell.trim()).filter(|cell| !cell.is_empty())).collect();
            let Some((Some(role), cells)) = cells.split_first() else {
                return Err(wrong(line, "the line has no role".into()));
            };
            let added = match *role {
                "domain" => all.add_domains(cells),
                role => all.add_role(role, cells),
            };
            added.map_err(|message| wrong(line, message))?;
        }
        all.check().map_err(|message| wrong(1, message))?;
        Ok(all)
    }

    fn add_domains(&mut self, cells: &[Option<&str>]) -> Result<(), String> {
        for (table, domain) in cells.iter().enumerate() {
            let domain = domain.ok_or_else(|| format!("`{}` has no domain", self.tables[table]))?;
            if self.domains.insert(domain.to_owned(), table).is_some() {
                return Err(format!("the domain `{domain}` is of two tables"));
            }
        }
        Ok(())
    }

    fn add_role(&mut self, role: &str, cells: &[Option<&str>]) -> Result<(), String> {
        let mut kinds: BTreeSet<&'static str> = BTreeSet::new();
        for (table, field) in self.tables.iter().zip(cells) {
            let Some(field) = field else { continue };
            let (specs, is) = (specs(table), |f: &&FieldSpec| f.name == *field);
            let Some(spec) = specs.iter().find_map(|s| s.fields.iter().find(is)) else {
                let names = specs.iter().flat_map(|s| s.fields.iter().map(|f| f.name));
                return Err(super::rule::unknown("field", field, nearest(field, names)));
            };
            if spec.primary_key {
                return Err(format!("`{table}.{field}` is the id of a row, which does not move"));
            }
            let again = |fields: &Vec<Option<String>>| {
                self.tables
                    .iter()
                    .zip(fields)
                    .any(|(t, f)| t == table && f.as_deref() == Some(*field))
            };
            if self.roles.values().any(again) {
                return Err(format!("`{table}.{field}` has two roles"));
            }
            kinds.insert(kind(spec.kind));
        }
        if kinds.len() > 1 {
            return Err(format!("the fields of `{role}` hold values of several kinds"));
        }
        let fields = cells.iter().map(|field| field.map(str::to_owned)).collect();
        match self.roles.insert(role.to_owned(), fields) {
            Some(_) => Err(format!("the role `{role}` is listed twice")),
            None => Ok(()),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.domains.len() != self.tables.len() {
            return Err("the line `domain` is missing".into());
        }
        let whole =
            |role: &&str| self.roles.get(*role).is_some_and(|f| f.iter().all(Option::is_some));
        match ["person", "concept", "start_date"].iter().find(|role| !whole(role)) {
            Some(role) => Err(format!("the role `{role}` must have a field of every table")),
            None => Ok(()),
        }
    }

    /// The tables, in order.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.tables.iter().map(String::as_str)
    }

    /// The number of the table of a domain.
    pub fn table_of(&self, domain: &str) -> Option<usize> {
        self.domains.get(domain).copied()
    }

    /// The field of a role in a table.
    pub fn field(&self, role: &str, table: usize) -> Option<&str> {
        self.roles.get(role)?.get(table)?.as_deref()
    }

    /// The field of table `from` that becomes `field` of table `to`.
    pub fn source(&self, from: usize, to: usize, field: &str) -> Option<&str> {
        let role =
            self.roles.values().find(|f| f.get(to).is_some_and(|f| f.as_deref() == Some(field)))?;
        role.get(from)?.as_deref()
    }
}

fn specs(table: &str) -> Vec<&'static TableSpec> {
    let versions = [CdmVersion::V5_4, CdmVersion::V5_3];
    versions.into_iter().filter_map(|v| cdm(v).table(table)).collect()
}

fn kind(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Integer => "integer",
        FieldKind::Float => "float",
        FieldKind::Date => "date",
        FieldKind::Timestamp => "datetime",
        FieldKind::Text => "text",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Domains, Error> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Domains::read(file.path())
    }

    const HEAD: &str = "role,measurement,observation\ndomain,Measurement,Observation\nperson,person_id,person_id\nconcept,measurement_concept_id,observation_concept_id\nstart_date,measurement_date,observation_date\n";

    #[test]
    fn fields_pair_by_role() {
        let text = format!("{HEAD}number,value_as_number,value_as_number\ntext,,value_as_string\n");
        let domains = read(&text).unwrap();
        assert_eq!(domains.table_of("Observation"), Some(1));
        assert_eq!(domains.source(0, 1, "observation_date"), Some("measurement_date"));
        assert_eq!(domains.source(0, 1, "value_as_string"), None);
        assert_eq!(domains.source(1, 0, "measurement_id"), None);
    }

    #[test]
    fn what_would_lose_or_mix_fields_is_refused() {
        for (more, words) in [
            ("number,value_as_nmber,\n", "did you mean `value_as_number`"),
            ("number,value_as_number,value_as_string\n", "several kinds"),
            ("again,measurement_date,\n", "two roles"),
            ("id,measurement_id,\n", "does not move"),
            ("person,value_as_number,\n", "twice"),
            ("number,value_as_number\n", "number of columns"),
        ] {
            let error = read(&format!("{HEAD}{more}")).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
        let none = read("role,measurement\ndomain,Measurement\n").unwrap_err().to_string();
        assert!(none.contains("every table"), "{none}");
        assert!(read("role,measuremnt\n").unwrap_err().to_string().contains("`measurement`"));
    }
}
