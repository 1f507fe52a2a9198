//! Tier policy files: rules as data, reviewed by people who do not read Rust.
//!
//! ```toml
//! #:schema ../schema/tier.json
//! [policy]
//! name = "registered"
//! tier = "registered"
//! description = "…"
//! dates = "shifted"
//! genomics = false
//!
//! [[rule]]
//! id = "age_89"
//! kind = "remove_people_by_age"
//! min_age = 89
//! description = "…"
//! ```
//!
//! Tables and columns are those of the OMOP CDM. A column pattern is `table.column`, where each part may
//! hold `*` for any run of characters: `person.race_source_value`, `*.provider_id`, `note.*`.
//! Whether patterns name anything is checked by `tier::check`, which knows the CDM.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Tier;
use crate::error::{Coded, IoError};

mod entry;
mod kind;
mod labels;
pub mod parts;

use entry::RuleEntry;
use kind::Kind;
pub use parts::{
    BySite, ConceptSet, Edges, Generalisation, KeepText, NearBirth, Rare, RecentConcepts,
    TrueDates, Unlisted, Zip3,
};

/// A tier policy file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierPolicy {
    /// What the policy as a whole states.
    pub policy: PolicyHead,
    /// The rules. Rows are removed by the values they came with; changes are made in this order.
    #[serde(default, rename = "rule")]
    pub rules: Vec<Rule>,
}

/// What a policy states of its tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyHead {
    /// Name of the policy.
    pub name: String,
    /// The tier it makes: `controlled` or `registered`.
    pub tier: Tier,
    /// What the tier is for, in a sentence or two.
    pub description: String,
    /// Whether dates are true, shifted or years. Shifted needs a `shift_dates` rule, year a
    /// `reduce_dates_to_year` rule, true forbids both.
    pub dates: DateBasis,
    /// Whether the tier has genomic tables.
    pub genomics: bool,
}

/// What the dates of a tier are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DateBasis {
    /// As they happened.
    True,
    /// Moved back by one number of days a person, 1 to 364.
    Shifted,
    /// 1 January of the year in which they happened.
    Year,
}

impl DateBasis {
    /// The word used in policies and file metadata.
    pub fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Shifted => "shifted",
            Self::Year => "year",
        }
    }
}

/// A rule: what it is called, why it is there, what it does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "RuleEntry", into = "RuleEntry")]
pub struct Rule {
    /// Name in ledgers and `quality/rules`, `[a-z0-9_]+`, unique in the policy.
    pub id: String,
    /// What the rule does and why, for reviewers.
    pub description: String,
    /// What it does.
    pub action: Action,
    /// Rules that must come before it.
    pub after: Vec<String>,
}

/// What a rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Removes every row of people of at least `min_age` years on the reference date, by true birth
    /// date. An unknown month or day counts as the earliest; without a birth year the person goes too.
    RemovePeopleByAge {
        /// Completed years.
        min_age: u16,
    },
    /// Leaves whole tables out.
    SuppressTables {
        /// Table names, without patterns.
        tables: Vec<String>,
    },
    /// Makes columns null.
    NullColumns {
        /// Column patterns.
        columns: Vec<String>,
        /// Rows whose values stay: those in which a text of the table is one of some words.
        keep: Vec<KeepText>,
    },
    /// Makes every text column of the tables about persons null, but for some.
    NullFreeText {
        /// Column patterns that stay.
        except: Vec<String>,
        /// Texts that stay in rows of some questions, or that are one of some words.
        keep: Vec<KeepText>,
    },
    /// Coarsens the birth date of `person`.
    ReduceBirthDate {
        /// To what.
        to: BirthDate,
    },
    /// Moves every date of a person back by the person's shift, the birth date with it; text columns
    /// that may hold times (`measurement_time`) become null.
    ShiftDates,
    /// Removes rows in which one of the columns holds one of the concepts.
    SuppressConcepts(ConceptSet),
    /// Makes answers to a question coarser, then removes repeated ones.
    GeneraliseValues(Generalisation),
    /// Leaves the dates of some rows true where all others are shifted.
    LeaveDatesTrue(TrueDates),
    /// Leaves of every date its year: 1 January, times at 00:00. The birth year is raised to the first
    /// that does not tell an age over `max_age` on the reference date; days of such people before that
    /// year are null, and so are text columns that may hold times.
    ReduceDatesToYear {
        /// Completed years; over it all ages are one category.
        max_age: u16,
    },
    /// Makes answers of few rows one.
    GeneraliseSmall(Rare),
    /// Makes answers one that the sites of a person's records contradict.
    GeneraliseBySite(BySite),
    /// Cuts zip codes to three digits and `**`.
    Zip3(Zip3),
    /// Removes rows of the first years of life.
    DropNearBirth(NearBirth),
    /// Removes rows with concepts that are new.
    DropRecentConcepts(RecentConcepts),
    /// Removes rows near the ends of shifted streams, where the end would tell the shift.
    TruncateEdges(Edges),
    /// Moves ends, and beginnings, that lie on a day that many have in common, as the last day of the data:
    /// shifted, they would tell the shift.
    OpenEnds {
        /// `table.column` of days and times on which something ends, or begins (`*start_date*`, `first_*`).
        columns: Vec<String>,
    },
    /// Removes rows of some hours of the day, on every day: those in which clocks are changed, where a missing or
    /// a doubled hour would tell the shift.
    DropHours {
        /// `table.column` of times.
        columns: Vec<String>,
        /// Hours of the day, 0 to 23.
        hours: Vec<u8>,
    },
}

/// What is left of a birth date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BirthDate {
    /// The year; `birth_datetime` becomes 15 June of it at 00:00, month and day null (the Controlled
    /// tier of All of Us).
    #[serde(rename = "june_15")]
    June15,
    /// The year only; `birth_datetime`, month and day null.
    Year,
}

impl Action {
    fn kind(&self) -> Kind {
        match self {
            Self::RemovePeopleByAge { .. } => Kind::RemovePeopleByAge,
            Self::SuppressTables { .. } => Kind::SuppressTables,
            Self::NullColumns { .. } => Kind::NullColumns,
            Self::NullFreeText { .. } => Kind::NullFreeText,
            Self::ReduceBirthDate { .. } => Kind::ReduceBirthDate,
            Self::ShiftDates => Kind::ShiftDates,
            Self::SuppressConcepts(_) => Kind::SuppressConcepts,
            Self::GeneraliseValues(_) => Kind::GeneraliseValues,
            Self::GeneraliseSmall(_) => Kind::GeneraliseSmall,
            Self::LeaveDatesTrue(_) => Kind::LeaveDatesTrue,
            Self::ReduceDatesToYear { .. } => Kind::ReduceDatesToYear,
            Self::GeneraliseBySite(_) => Kind::GeneraliseBySite,
            Self::Zip3(_) => Kind::Zip3,
            Self::DropNearBirth(_) => Kind::DropNearBirth,
            Self::DropRecentConcepts(_) => Kind::DropRecentConcepts,
            Self::TruncateEdges(_) => Kind::TruncateEdges,
            Self::OpenEnds { .. } => Kind::OpenEnds,
            Self::DropHours { .. } => Kind::DropHours,
        }
    }

    /// The word for the kind in policy files.
    pub fn kind_name(&self) -> &'static str {
        self.kind().name()
    }

    /// One line on what rules of the kind do.
    pub fn kind_line(&self) -> &'static str {
        self.kind().line()
    }
}

/// A policy file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The text is no policy.
    #[error("{}, line {line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: usize,
        /// What is wrong; names the key and the keys that would do.
        message: String,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Parse { .. } => "config::policy",
        }
    }
}

impl TierPolicy {
    /// Reads a policy file.
    ///
    /// # Errors
    /// Unreadable file, bad TOML, unknown, misplaced or missing keys; with the line.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(path).map_err(IoError::at("reading", path))?;
        let mut policy = Self::parse(&text, path)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        policy.load_files(folder).map_err(|(rule, message)| {
            let rule = policy.rules.get(rule).map_or("", |r| r.id.as_str());
            let line = text.lines().position(|l| l.trim() == format!("id = \"{rule}\""));
            let line = line.map_or(1, |at| at + 1);
            Error::Parse { path: path.to_path_buf(), line, message }
        })?;
        Ok(policy)
    }

    /// Reads the files that rules name, from `folder`, into the rules.
    ///
    /// # Errors
    /// The rule's index and what is wrong with its file, which is named without its folder.
    pub fn load_files(&mut self, folder: &Path) -> Result<(), (usize, String)> {
        for (at, rule) in self.rules.iter_mut().enumerate() {
            let wrong = |what| (at, what);
            match &mut rule.action {
                Action::SuppressConcepts(set) => {
                    let Some(file) = &set.file else { continue };
                    let mut ids = labels::concepts(&folder.join(file)).map_err(wrong)?;
                    ids.append(&mut set.concepts);
                    ids.sort_unstable();
                    ids.dedup();
                    set.concepts = ids;
                }
                Action::Zip3(zip) => {
                    let Some(file) = &zip.file else { continue };
                    let dated = zip.min_population > 0;
                    zip.areas = labels::areas(&folder.join(file), dated).map_err(wrong)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Parses a policy's text; `path` is for messages.
    ///
    /// # Errors
    /// As [`TierPolicy::read`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, Error> {
        toml::from_str(text).map_err(|e| {
            let before = e.span().and_then(|s| text.get(..s.start)).unwrap_or("");
            let line = before.matches('\n').count() + 1;
            Error::Parse { path: path.to_path_buf(), line, message: e.message().to_owned() }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "[policy]\nname = \"x\"\ntier = \"registered\"\ndescription = \"d\"\n\
                        dates = \"shifted\"\ngenomics = false\n";

    fn parse(rules: &str) -> Result<TierPolicy, Error> {
        TierPolicy::parse(&format!("{HEAD}{rules}"), Path::new("p.toml"))
    }

    #[test]
    fn parses_and_writes_itself_back() {
        let rules = "[[rule]]\nid = \"a\"\nkind = \"suppress_concepts\"\nconcepts = [1, 2]\n\
                     description = \"d\"\n[[rule]]\nid = \"b\"\nkind = \"shift_dates\"\n\
                     description = \"d\"\n";
        let policy = parse(rules).unwrap();
        let concepts = Action::SuppressConcepts(ConceptSet {
            concepts: vec![1, 2],
            descendants: true,
            ..ConceptSet::default()
        });
        assert_eq!(policy.rules[0].action, concepts);
        let text = toml::to_string(&policy).unwrap();
        assert_eq!(TierPolicy::parse(&text, Path::new("p")).unwrap(), policy);
    }

    #[test]
    fn misplaced_keys_are_errors_with_their_line() {
        for (rule, message) in [
            ("kind = \"shift_dates\"\nmin_age = 3", "no key min_age"),
            ("kind = \"remove_people_by_age\"", "needs the key min_age"),
            ("kind = \"shift_dates\"\nmin_ages = 3", "min_ages"),
            ("kind = \"shift_date\"", "shift_date"),
        ] {
            let text = format!("\n[[rule]]\nid = \"a\"\ndescription = \"d\"\n{rule}\n");
            let error = parse(&text).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
            let line: usize =
                error.split("line ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
            assert!((8..=13).contains(&line), "{error}");
        }
        assert!(parse("[other]\n").is_err());
    }
}
