//! The kinds of rules, their words in policy files and a line on each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kind of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    /// Removes people of at least an age on the reference date from every table.
    RemovePeopleByAge,
    /// Leaves whole tables out.
    SuppressTables,
    /// Makes columns null.
    NullColumns,
    /// Makes every text column about persons null, but for some.
    NullFreeText,
    /// Coarsens the birth date of `person`.
    ReduceBirthDate,
    /// Moves every date back by the person's shift.
    ShiftDates,
    /// Leaves the dates of some rows as they are where `shift_dates` moves all others.
    LeaveDatesTrue,
    /// Leaves of every date its year, and of ages over a limit one category.
    ReduceDatesToYear,
    /// Removes rows that hold one of a set of concepts.
    SuppressConcepts,
    /// Makes answers to a question coarser and drops repeats.
    GeneraliseValues,
    /// Makes answers of few rows one.
    GeneraliseSmall,
    /// Makes answers one that differ from the state of a site with records of the person.
    GeneraliseBySite,
    /// Cuts zip codes to three digits and `**`.
    #[serde(rename = "zip3")]
    Zip3,
    /// Removes rows of the first years of life.
    DropNearBirth,
    /// Removes rows that hold concepts too new to be common.
    DropRecentConcepts,
    /// Removes the ends of shifted streams, which would tell the shift.
    TruncateEdges,
    /// Moves ends on the last day of the data, which only say that something goes on.
    OpenEnds,
    /// Removes rows of some hours of the day, on every day.
    DropHours,
}

impl Kind {
    /// The word in policy files.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RemovePeopleByAge => "remove_people_by_age",
            Self::SuppressTables => "suppress_tables",
            Self::NullColumns => "null_columns",
            Self::NullFreeText => "null_free_text",
            Self::ReduceBirthDate => "reduce_birth_date",
            Self::ShiftDates => "shift_dates",
            Self::LeaveDatesTrue => "leave_dates_true",
            Self::ReduceDatesToYear => "reduce_dates_to_year",
            Self::SuppressConcepts => "suppress_concepts",
            Self::GeneraliseValues => "generalise_values",
            Self::GeneraliseSmall => "generalise_small",
            Self::GeneraliseBySite => "generalise_by_site",
            Self::Zip3 => "zip3",
            Self::DropNearBirth => "drop_near_birth",
            Self::DropRecentConcepts => "drop_recent_concepts",
            Self::TruncateEdges => "truncate_edges",
            Self::OpenEnds => "open_ends",
            Self::DropHours => "drop_hours",
        }
    }

    /// One line on what such rules do.
    pub(super) fn line(self) -> &'static str {
        match self {
            Self::RemovePeopleByAge => {
                "Removes people of at least an age on the reference date from every table."
            }
            Self::SuppressTables => "Leaves whole tables out.",
            Self::NullColumns => "Makes columns null.",
            Self::NullFreeText => "Makes every text column about persons null, but for some.",
            Self::ReduceBirthDate => "Coarsens the birth date of `person`.",
            Self::ShiftDates => "Moves every date back by the person's shift.",
            Self::LeaveDatesTrue => {
                "Leaves the dates of some rows as they are where `shift_dates` moves all others."
            }
            Self::ReduceDatesToYear => {
                "Leaves of every date its year, and of ages over a limit one category."
            }
            Self::SuppressConcepts => "Removes rows that hold one of a set of concepts.",
            Self::GeneraliseValues => "Makes answers to a question coarser and drops repeats.",
            Self::GeneraliseSmall => "Makes answers of few rows one.",
            Self::GeneraliseBySite => {
                "Makes answers one that differ from the state of a site with records of the person."
            }
            Self::Zip3 => "Cuts zip codes to three digits and `**`.",
            Self::DropNearBirth => "Removes rows of the first years of life.",
            Self::DropRecentConcepts => "Removes rows that hold concepts too new to be common.",
            Self::TruncateEdges => {
                "Removes the ends of shifted streams, which would tell the shift."
            }
            Self::OpenEnds => {
                "Moves ends and beginnings on days that many have in common, as the last of the data."
            }
            Self::DropHours => "Removes rows of some hours of the day, on every day.",
        }
    }
}
