//! One check: what it counts, of which table, field and concept, with what threshold.

/// What a kind of check says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub level: &'static str,
    pub name: &'static str,
    pub description: &'static str,
    pub context: &'static str,
    pub category: &'static str,
    pub subcategory: &'static str,
    pub sql_file: &'static str,
}

/// What a check counts, with its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Rule {
    Table,
    Persons,
    Eras,
    Overlap,
    Field,
    Required,
    Datatype,
    PrimaryKey,
    ForeignKey {
        table: &'static str,
        field: &'static str,
    },
    Domain(&'static str),
    Class(&'static str),
    StandardValid,
    Values,
    /// Concept 0, or no concept beside a source value when `source` is given.
    ConceptRecords {
        source: Option<String>,
    },
    SourceValues {
        standard: &'static str,
    },
    Low(Bound),
    High(Bound),
    After {
        table: &'static str,
        field: &'static str,
    },
    DuringLife,
    VisitDates,
    AfterBirth,
    BeforeDeath,
    StartBeforeEnd {
        end: &'static str,
    },
    ConceptLow(f64),
    ConceptHigh(f64),
    Gender(i64),
    DescendantsGender(i64),
    Units(Vec<i64>),
}

/// A bound of plausible values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Bound {
    Number(f64),
    /// `YYYYMMDD`.
    Date(i32),
    /// The day after the reference date.
    Tomorrow,
    /// The year after that of the reference date.
    NextYear,
}

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Check {
    pub definition: &'static Definition,
    pub rule: Rule,
    pub table: &'static str,
    pub field: Option<&'static str>,
    /// One concept id, or several separated by commas.
    pub concept: Option<&'static str>,
    pub concept_name: &'static str,
    pub unit: Option<i64>,
    pub unit_name: &'static str,
    /// Per cent; a check fails above it.
    pub threshold: Option<f64>,
    pub notes: Option<String>,
}

impl Check {
    /// The concept ids it is about.
    pub fn concepts(&self) -> Vec<i64> {
        let ids = self.concept.unwrap_or_default().split(',');
        ids.filter_map(|id| id.trim().parse().ok()).collect()
    }

    /// OHDSI's identifier: level, name, table, field, concept and unit in lower case.
    pub fn id(&self) -> String {
        let d = self.definition;
        let mut id = format!("{}_{}_{}", d.level, d.name, self.table).to_lowercase();
        for part in [self.field, self.concept].into_iter().flatten() {
            id.push('_');
            id.push_str(part);
        }
        if let Some(unit) = self.unit {
            id.push_str(&format!("_{unit}"));
        }
        id
    }

    /// What it does, in OHDSI's words.
    pub fn description(&self) -> String {
        let field = self.field.unwrap_or_default().to_uppercase();
        let mut pairs = vec![
            ("@cdmTableName", self.table.to_uppercase()),
            ("@cdmFieldName", field),
            ("@conceptId", self.concept.unwrap_or_default().to_owned()),
            ("@conceptName", self.concept_name.to_owned()),
            ("@unitConceptId", self.unit.map(|u| u.to_string()).unwrap_or_default()),
            ("@unitConceptName", self.unit_name.to_owned()),
        ];
        pairs.extend(match &self.rule {
            Rule::ForeignKey { table, .. } => vec![("@fkTableName", table.to_uppercase())],
            Rule::Domain(domain) => vec![("@fkDomain", (*domain).to_owned())],
            Rule::Class(class) => vec![("@fkClass", (*class).to_owned())],
            Rule::Low(bound) => vec![("@plausibleValueLow", bound.text())],
            Rule::High(bound) => vec![("@plausibleValueHigh", bound.text())],
            Rule::ConceptLow(value) => vec![("@plausibleValueLow", value.to_string())],
            Rule::ConceptHigh(value) => vec![("@plausibleValueHigh", value.to_string())],
            Rule::After { table, field } => vec![
                ("@plausibleTemporalAfterFieldName", field.to_uppercase()),
                ("@plausibleTemporalAfterTableName", table.to_uppercase()),
            ],
            Rule::StartBeforeEnd { end } => {
                vec![("@plausibleStartBeforeEndFieldName", end.to_uppercase())]
            }
            Rule::Gender(gender) => vec![("@plausibleGender", gender_name(*gender).to_owned())],
            Rule::DescendantsGender(gender) => {
                vec![("@plausibleGenderUseDescendants", gender_name(*gender).to_owned())]
            }
            Rule::Units(units) => vec![(
                "@plausibleUnitConceptIds",
                units.iter().map(i64::to_string).collect::<Vec<_>>().join(","),
            )],
            _ => vec![],
        });
        let mut text = self.definition.description.to_owned();
        for (name, value) in pairs {
            text = text.replace(name, &value);
        }
        text
    }
}

impl Bound {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" => None,
            "tomorrow" => Some(Self::Tomorrow),
            "next_year" => Some(Self::NextYear),
            date if date.len() == 8 => date.parse().ok().map(Self::Date),
            number => number.parse().ok().map(Self::Number),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Number(value) => value.to_string(),
            Self::Date(date) => date.to_string(),
            Self::Tomorrow => "the day after the reference date".into(),
            Self::NextYear => "the year after that of the reference date".into(),
        }
    }
}

pub(super) const MALE: i64 = 8507;
pub(super) const FEMALE: i64 = 8532;

fn gender_name(concept: i64) -> &'static str {
    if concept == MALE { "Male" } else { "Female" }
}
