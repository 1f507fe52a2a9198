//! A rule as a policy file writes it: which keys go with which kind is checked on conversion.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::kind::Kind;
use super::parts::{
    Also, Answered, BySite, Codes, ConceptSet, Condition, Edges, Generalisation, Group, KeepText,
    NearBirth, Rare, RecentConcepts, Several, TrueDates, Unlisted, Zip3,
};
use super::{Action, BirthDate, Rule};

/// A rule as the file writes it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    /// Name in ledgers and `quality/rules`, `[a-z0-9_]+`, unique in the policy.
    id: String,
    /// What the rule does.
    kind: Kind,
    /// What the rule does and why, for reviewers.
    description: String,
    /// Ids of rules that must come before this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<String>,
    /// `remove_people_by_age`: completed years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_age: Option<u16>,
    /// `suppress_tables`, `truncate_edges`: table names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tables: Option<Vec<String>>,
    /// `null_columns`, `suppress_concepts`, `generalise_values`, `leave_dates_true`, `open_ends`, `drop_hours`: column
    /// patterns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    columns: Option<Vec<String>>,
    /// `null_free_text`: column patterns that stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except: Option<Vec<String>>,
    /// `null_free_text`: texts that stay in rows of some questions, or that are one of some words.
    /// `null_columns`: rows of such texts keep their values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_text: Option<Vec<KeepText>>,
    /// `reduce_birth_date`: to what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to: Option<BirthDate>,
    /// `suppress_concepts`, `leave_dates_true`: concept ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    concepts: Option<Vec<i64>>,
    /// `suppress_concepts`, `zip3`: a CSV file beside the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    /// `suppress_concepts`: concepts by the shape of their code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    codes: Option<Vec<Codes>>,
    /// `suppress_concepts`: whether descendants count too (default true).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    descendants: Option<bool>,
    /// `suppress_concepts`: whether the other ends of `Maps to` count too (default false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mapped: Option<bool>,
    /// `suppress_concepts`: relationships whose other ends count too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    relationships: Option<Vec<String>>,
    /// `suppress_concepts`: column patterns that do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except_columns: Option<Vec<String>>,
    /// `suppress_concepts`, `drop_near_birth`: tables that stay whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except_tables: Option<Vec<String>>,
    /// `suppress_concepts`: only rows that meet all of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    only: Option<Vec<Condition>>,
    /// `suppress_concepts`, `drop_recent_concepts`: whether what the vocabulary lacks is passed over (default false).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    allow_missing: Option<bool>,
    /// `generalise_values`, `generalise_small`, `generalise_by_site`, `zip3`: concept ids of the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    question: Option<Vec<i64>>,
    /// `generalise_values`: answers and what they become.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    groups: Option<Vec<Group>>,
    /// `generalise_values`: for questions with several answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when_several: Option<Several>,
    /// `generalise_values`: conflicts with answers to another question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    when_also: Option<Vec<Also>>,
    /// `generalise_values`, `generalise_small`, `generalise_by_site`: answers that stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep: Option<Vec<i64>>,
    /// `generalise_values`: what an answer in no list becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    otherwise: Option<i64>,
    /// `generalise_values`: whether the latest of equal generalised answers stays alone (default true).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keep_latest: Option<bool>,
    /// `generalise_small`: an answer of fewer rows is rare.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_rows: Option<u64>,
    /// `generalise_small`, `generalise_by_site`: what such answers become; `zip3`: what the state becomes of
    /// people whose zip code is hidden.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    to_concept: Option<i64>,
    /// `zip3`: an area of fewer people becomes `000**` (default 0).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_population: Option<u64>,
    /// `zip3`: people with such an answer have `000**`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hide_people: Option<Vec<Answered>>,
    /// `zip3`: concept ids of the question for the state, whose answer follows the area.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state_question: Option<Vec<i64>>,
    /// `zip3`: what becomes of an area that the file does not list (default `hide`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unlisted: Option<Unlisted>,
    /// `reduce_dates_to_year`: ages over this many completed years are one category.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_age: Option<u16>,
    /// `leave_dates_true`: must be true; a true date beside shifted ones tells the shift of the person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    i_accept_that_this_reveals_the_shift: Option<bool>,
    /// `drop_near_birth`, `drop_recent_concepts`: number of years.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    years: Option<u16>,
    /// `drop_near_birth`: tables whose early dates are raised.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clip_tables: Option<Vec<String>>,
    /// `drop_near_birth`, `suppress_concepts`: rows that stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except_rows: Option<Vec<Condition>>,
    /// `drop_recent_concepts`: vocabularies whose concepts stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    except_vocabularies: Option<Vec<String>>,
    /// `truncate_edges`: first day of collection, `yyyy-mm-dd` (default: of the data).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_day: Option<String>,
    /// `drop_hours`: hours of the day, 0 to 23.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hours: Option<Vec<u8>>,
}

impl TryFrom<RuleEntry> for Rule {
    type Error = String;

    fn try_from(mut e: RuleEntry) -> Result<Self, String> {
        let action = e.take_action()?;
        match e.left_over() {
            Some(key) => Err(format!("rule {}: a {} rule has no key {key}", e.id, e.kind.name())),
            None => Ok(Self { id: e.id, description: e.description, action, after: e.after }),
        }
    }
}

impl RuleEntry {
    fn take_action(&mut self) -> Result<Action, String> {
        let (id, kind) = (self.id.clone(), self.kind);
        let needs = |key: &str| format!("rule {id} ({}) needs the key {key}", kind.name());
        let e = self;
        Ok(match kind {
            Kind::RemovePeopleByAge => Action::RemovePeopleByAge {
                min_age: e.min_age.take().ok_or_else(|| needs("min_age"))?,
            },
            Kind::SuppressTables => {
                Action::SuppressTables { tables: e.tables.take().ok_or_else(|| needs("tables"))? }
            }
            Kind::NullColumns => Action::NullColumns {
                columns: e.columns.take().ok_or_else(|| needs("columns"))?,
                keep: e.keep_text.take().unwrap_or_default(),
            },
            Kind::NullFreeText => Action::NullFreeText {
                except: e.except.take().unwrap_or_default(),
                keep: e.keep_text.take().unwrap_or_default(),
            },
            Kind::ReduceBirthDate => {
                Action::ReduceBirthDate { to: e.to.take().ok_or_else(|| needs("to"))? }
            }
            Kind::ShiftDates => Action::ShiftDates,
            Kind::LeaveDatesTrue => Action::LeaveDatesTrue(TrueDates {
                concepts: e.concepts.take().ok_or_else(|| needs("concepts"))?,
                columns: e.columns.take().ok_or_else(|| needs("columns"))?,
                accepted: e.i_accept_that_this_reveals_the_shift.take().unwrap_or(false),
            }),
            Kind::ReduceDatesToYear => Action::ReduceDatesToYear {
                max_age: e.max_age.take().ok_or_else(|| needs("max_age"))?,
            },
            Kind::SuppressConcepts => {
                if e.concepts.is_none() && e.file.is_none() && e.codes.is_none() {
                    return Err(needs("concepts, file or codes"));
                }
                Action::SuppressConcepts(e.take_concepts())
            }
            Kind::GeneraliseValues if e.question.is_none() && e.columns.is_none() => {
                return Err(needs("question or columns"));
            }
            Kind::GeneraliseValues => Action::GeneraliseValues(Generalisation {
                columns: e.columns.take().unwrap_or_default(),
                question: e.question.take().unwrap_or_default(),
                groups: e.groups.take().unwrap_or_default(),
                when_several: e.when_several.take(),
                when_also: e.when_also.take().unwrap_or_default(),
                keep: e.keep.take().unwrap_or_default(),
                otherwise: e.otherwise.take(),
                keep_latest: e.keep_latest.take().unwrap_or(true),
            }),
            Kind::GeneraliseSmall => Action::GeneraliseSmall(Rare {
                question: e.question.take().ok_or_else(|| needs("question"))?,
                min_rows: e.min_rows.take().ok_or_else(|| needs("min_rows"))?,
                to_concept: e.to_concept.take().ok_or_else(|| needs("to_concept"))?,
                keep: e.keep.take().unwrap_or_default(),
            }),
            Kind::GeneraliseBySite => Action::GeneraliseBySite(BySite {
                question: e.question.take().ok_or_else(|| needs("question"))?,
                to_concept: e.to_concept.take().ok_or_else(|| needs("to_concept"))?,
                keep: e.keep.take().unwrap_or_default(),
            }),
            Kind::Zip3 => Action::Zip3(Zip3 {
                question: e.question.take().ok_or_else(|| needs("question"))?,
                file: e.file.take(),
                areas: Vec::new(),
                min_population: e.min_population.take().unwrap_or(0),
                hide_people: e.hide_people.take().unwrap_or_default(),
                unlisted: e.unlisted.take().unwrap_or_default(),
                state_question: e.state_question.take().unwrap_or_default(),
                hidden_state: e.to_concept.take(),
            }),
            Kind::DropNearBirth => Action::DropNearBirth(NearBirth {
                years: e.years.take().ok_or_else(|| needs("years"))?,
                except_tables: e.except_tables.take().unwrap_or_default(),
                clip_tables: e.clip_tables.take().unwrap_or_default(),
                except: e.except_rows.take().unwrap_or_default(),
            }),
            Kind::DropRecentConcepts => Action::DropRecentConcepts(RecentConcepts {
                years: e.years.take().ok_or_else(|| needs("years"))?,
                except_vocabularies: e.except_vocabularies.take().unwrap_or_default(),
                allow_missing: e.allow_missing.take().unwrap_or(false),
            }),
            Kind::TruncateEdges => Action::TruncateEdges(Edges {
                tables: e.tables.take().ok_or_else(|| needs("tables"))?,
                first_day: e.first_day.take(),
            }),
            Kind::OpenEnds => {
                Action::OpenEnds { columns: e.columns.take().ok_or_else(|| needs("columns"))? }
            }
            Kind::DropHours => Action::DropHours {
                columns: e.columns.take().ok_or_else(|| needs("columns"))?,
                hours: e.hours.take().ok_or_else(|| needs("hours"))?,
            },
        })
    }

    fn take_concepts(&mut self) -> ConceptSet {
        ConceptSet {
            concepts: self.concepts.take().unwrap_or_default(),
            file: self.file.take(),
            codes: self.codes.take().unwrap_or_default(),
            descendants: self.descendants.take().unwrap_or(true),
            mapped: self.mapped.take().unwrap_or(false),
            relationships: self.relationships.take().unwrap_or_default(),
            allow_missing: self.allow_missing.take().unwrap_or(false),
            columns: self.columns.take().unwrap_or_default(),
            except_columns: self.except_columns.take().unwrap_or_default(),
            except_tables: self.except_tables.take().unwrap_or_default(),
            only: self.only.take().unwrap_or_default(),
            except: self.except_rows.take().unwrap_or_default(),
        }
    }

    /// A key that was given and not taken by the rule's kind.
    fn left_over(&self) -> Option<&'static str> {
        let keys = [
            ("min_age", self.min_age.is_some()),
            ("tables", self.tables.is_some()),
            ("columns", self.columns.is_some()),
            ("except", self.except.is_some()),
            ("keep_text", self.keep_text.is_some()),
            ("to", self.to.is_some()),
            ("concepts", self.concepts.is_some()),
            ("file", self.file.is_some()),
            ("codes", self.codes.is_some()),
            ("descendants", self.descendants.is_some()),
            ("mapped", self.mapped.is_some()),
            ("relationships", self.relationships.is_some()),
            ("except_columns", self.except_columns.is_some()),
            ("except_tables", self.except_tables.is_some()),
            ("only", self.only.is_some()),
            ("allow_missing", self.allow_missing.is_some()),
            ("question", self.question.is_some()),
            ("groups", self.groups.is_some()),
            ("when_several", self.when_several.is_some()),
            ("when_also", self.when_also.is_some()),
            ("keep", self.keep.is_some()),
            ("otherwise", self.otherwise.is_some()),
            ("keep_latest", self.keep_latest.is_some()),
            ("min_rows", self.min_rows.is_some()),
            ("to_concept", self.to_concept.is_some()),
            ("min_population", self.min_population.is_some()),
            ("hide_people", self.hide_people.is_some()),
            ("state_question", self.state_question.is_some()),
            ("unlisted", self.unlisted.is_some()),
            ("max_age", self.max_age.is_some()),
            (
                "i_accept_that_this_reveals_the_shift",
                self.i_accept_that_this_reveals_the_shift.is_some(),
            ),
            ("years", self.years.is_some()),
            ("clip_tables", self.clip_tables.is_some()),
            ("except_rows", self.except_rows.is_some()),
            ("except_vocabularies", self.except_vocabularies.is_some()),
            ("first_day", self.first_day.is_some()),
            ("hours", self.hours.is_some()),
        ];
        keys.into_iter().find(|(_, given)| *given).map(|(key, _)| key)
    }

    fn empty(id: String, kind: Kind, description: String, after: Vec<String>) -> Self {
        Self {
            id,
            kind,
            description,
            after,
            min_age: None,
            tables: None,
            columns: None,
            except: None,
            keep_text: None,
            to: None,
            concepts: None,
            file: None,
            codes: None,
            descendants: None,
            mapped: None,
            relationships: None,
            except_columns: None,
            except_tables: None,
            only: None,
            allow_missing: None,
            question: None,
            groups: None,
            when_several: None,
            when_also: None,
            keep: None,
            otherwise: None,
            keep_latest: None,
            min_rows: None,
            to_concept: None,
            min_population: None,
            hide_people: None,
            state_question: None,
            unlisted: None,
            max_age: None,
            i_accept_that_this_reveals_the_shift: None,
            years: None,
            clip_tables: None,
            except_rows: None,
            except_vocabularies: None,
            first_day: None,
            hours: None,
        }
    }

    fn give(&mut self, action: Action) {
        let e = self;
        match action {
            Action::RemovePeopleByAge { min_age } => e.min_age = Some(min_age),
            Action::SuppressTables { tables } => e.tables = Some(tables),
            Action::NullColumns { columns, keep } => {
                (e.columns, e.keep_text) = (Some(columns), given(keep));
            }
            Action::NullFreeText { except, keep } => {
                (e.except, e.keep_text) = (Some(except), given(keep));
            }
            Action::ReduceBirthDate { to } => e.to = Some(to),
            Action::ShiftDates => {}
            Action::LeaveDatesTrue(t) => {
                (e.concepts, e.columns) = (Some(t.concepts), Some(t.columns));
                e.i_accept_that_this_reveals_the_shift = Some(t.accepted);
            }
            Action::ReduceDatesToYear { max_age } => e.max_age = Some(max_age),
            Action::SuppressConcepts(set) => e.give_concepts(set),
            Action::GeneraliseValues(g) => {
                (e.question, e.columns) = (given(g.question), given(g.columns));
                (e.groups, e.keep) = (given(g.groups), given(g.keep));
                (e.when_several, e.when_also) = (g.when_several, given(g.when_also));
                (e.otherwise, e.keep_latest) = (g.otherwise, Some(g.keep_latest));
            }
            Action::GeneraliseSmall(r) => {
                (e.question, e.keep) = (Some(r.question), given(r.keep));
                (e.min_rows, e.to_concept) = (Some(r.min_rows), Some(r.to_concept));
            }
            Action::GeneraliseBySite(b) => {
                (e.question, e.keep) = (Some(b.question), given(b.keep));
                e.to_concept = Some(b.to_concept);
            }
            Action::Zip3(z) => {
                e.unlisted = Some(z.unlisted);
                (e.state_question, e.to_concept) = (given(z.state_question), z.hidden_state);
                (e.question, e.file) = (Some(z.question), z.file);
                (e.min_population, e.hide_people) = (Some(z.min_population), given(z.hide_people));
            }
            Action::DropNearBirth(n) => {
                (e.years, e.except_rows) = (Some(n.years), given(n.except));
                (e.except_tables, e.clip_tables) = (given(n.except_tables), given(n.clip_tables));
            }
            Action::DropRecentConcepts(r) => {
                (e.years, e.allow_missing) = (Some(r.years), Some(r.allow_missing));
                e.except_vocabularies = given(r.except_vocabularies);
            }
            Action::TruncateEdges(x) => {
                (e.tables, e.first_day) = (Some(x.tables), x.first_day);
            }
            Action::OpenEnds { columns } => e.columns = Some(columns),
            Action::DropHours { columns, hours } => {
                (e.columns, e.hours) = (Some(columns), Some(hours));
            }
        }
    }

    fn give_concepts(&mut self, set: ConceptSet) {
        self.concepts = Some(set.concepts);
        self.file = set.file;
        self.codes = given(set.codes);
        self.descendants = Some(set.descendants);
        self.mapped = Some(set.mapped);
        self.relationships = given(set.relationships);
        self.allow_missing = Some(set.allow_missing);
        self.columns = Some(set.columns);
        self.except_columns = given(set.except_columns);
        self.except_tables = given(set.except_tables);
        self.only = given(set.only);
        self.except_rows = given(set.except);
    }
}

fn given<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

impl From<Rule> for RuleEntry {
    fn from(rule: Rule) -> Self {
        let mut e = Self::empty(rule.id, rule.action.kind(), rule.description, rule.after);
        e.give(rule.action);
        e
    }
}
