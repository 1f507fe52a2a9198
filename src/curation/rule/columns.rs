//! Tables and columns that a rule names.

use super::Kind;
use crate::omop::FieldKind;

impl Kind {
    /// Tables it looks at or changes.
    pub fn tables(&self) -> Vec<&str> {
        match self {
            Self::DatesInRange { tables, .. }
            | Self::SinceBirth { tables, .. }
            | Self::UntilDeath { tables, .. }
            | Self::UntilDeactivated { tables }
            | Self::AnyConcept { tables }
            | Self::StandardConcepts { tables }
            | Self::EndAfterStart { tables }
            | Self::DatetimeOfDate { tables } => tables.iter().map(String::as_str).collect(),
            Self::Numbers { table, .. }
            | Self::Words { table, .. }
            | Self::WithValue { table, .. }
            | Self::Unique { table, .. } => vec![table],
            Self::LinkedExtremes { .. }
            | Self::Latest { .. }
            | Self::Units { .. }
            | Self::BodySize(_)
            | Self::BodyMass(_)
            | Self::AllZero {} => vec!["measurement"],
            Self::Domains { domains, .. } => domains.tables().collect(),
            Self::ValidDeath { .. } | Self::PrimaryDeath { .. } => vec!["death"],
            Self::Texts(texts) => vec![&texts.table],
            Self::Branches { .. } | Self::ExclusiveAnswers { .. } | Self::LastAnswers(_) => {
                vec!["observation"]
            }
            // Every table about persons; `person` stands for them.
            Self::People { .. } => vec!["person"],
        }
    }

    /// Columns it names, with the kinds of value they may hold.
    pub(super) fn columns(&self) -> Vec<(&str, &'static [FieldKind])> {
        const NUMBERS: &[FieldKind] = &[FieldKind::Float, FieldKind::Integer];
        const TEXTS: &[FieldKind] = &[FieldKind::Text];
        const IDS: &[FieldKind] = &[FieldKind::Integer];
        const ANY: &[FieldKind] = &[
            FieldKind::Integer,
            FieldKind::Float,
            FieldKind::Date,
            FieldKind::Timestamp,
            FieldKind::Text,
        ];
        match self {
            Self::Numbers { column, concept_column, set, .. } => {
                let mut columns = vec![(column.as_str(), NUMBERS)];
                columns.extend(concept_column.as_deref().map(|c| (c, IDS)));
                columns.extend(set.keys().map(|c| (c.as_str(), IDS)));
                columns
            }
            Self::Words { column, .. } => vec![(column, TEXTS)],
            Self::Texts(texts) => {
                let mut columns = vec![(texts.column.as_str(), TEXTS)];
                columns.push((&texts.concept_column, IDS));
                columns.extend(texts.set.keys().map(|c| (c.as_str(), IDS)));
                columns
            }
            Self::WithValue { columns, .. } | Self::Unique { columns, .. } => {
                columns.iter().map(|c| (c.as_str(), ANY)).collect()
            }
            _ => Vec::new(),
        }
    }
}
