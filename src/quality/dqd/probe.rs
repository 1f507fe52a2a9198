//! The checks of a table made ready to run over its batches.

use std::collections::BTreeSet;

use arrow::array::RecordBatch;

use super::books::Books;
use super::check::Bound;
use super::columns;
use super::error::Error;
use super::lookup::IntMap;
use super::people::{Keys, Persons, Spans};
use super::rows::{self, Frame};

/// What probes hold rows against.
pub(super) struct World<'a> {
    pub persons: &'a Persons,
    pub deaths: &'a Spans,
    pub visits: &'a Spans,
    pub today: jiff::civil::Date,
}

/// A rule about one date column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DateRule {
    Low(i32),
    High(i32),
    /// Not before birth (1 June of the year when only that is known).
    AfterPerson,
    AfterBirth,
    BeforeDeath,
    DuringLife,
    InVisit,
}

/// A rule about the rows of one concept.
#[derive(Debug, Clone)]
pub(super) enum ConceptRule {
    Low { unit: i64, limit: f64 },
    High { unit: i64, limit: f64 },
    Gender(i64),
    Units(Vec<i64>),
}

/// One or several checks over the same columns. Ordinals of checks index [`Books::counts`].
pub(super) enum Probe<'a> {
    Nulls(&'static str),
    Concepts(&'static str),
    Dates {
        column: &'static str,
        rules: Vec<(DateRule, usize)>,
    },
    /// `column` is not before `earlier`; all rows count.
    AfterColumn {
        column: &'static str,
        earlier: &'static str,
        check: usize,
    },
    StartBeforeEnd {
        column: &'static str,
        end: &'static str,
        check: usize,
    },
    Number {
        column: &'static str,
        bound: Bound,
        low: bool,
        check: usize,
    },
    ConceptRecords {
        column: &'static str,
        source: Option<String>,
        check: usize,
    },
    SourceValues {
        column: &'static str,
        standard: &'static str,
        check: usize,
    },
    ForeignKey {
        column: &'static str,
        keys: Option<&'a Keys>,
        check: usize,
    },
    PrimaryKey(&'static str),
    /// Rules by concept with how often each applies (descendants may be listed twice).
    ByConcept {
        column: &'static str,
        rules: IntMap<i64, Vec<(usize, u64)>>,
        by: Vec<ConceptRule>,
        checks: Vec<usize>,
    },
    Persons,
    CodedPersons(&'static str),
    Periods,
}

impl Probe<'_> {
    /// The columns it reads.
    pub fn columns(&self, into: &mut BTreeSet<String>) {
        let mut add = |name: &str| {
            into.insert(name.to_owned());
        };
        match self {
            Self::Nulls(column) | Self::Concepts(column) | Self::PrimaryKey(column) => add(column),
            Self::Dates { column, rules } => {
                add(column);
                for (rule, _) in rules {
                    match rule {
                        DateRule::Low(_) | DateRule::High(_) => {}
                        DateRule::InVisit => add("visit_occurrence_id"),
                        _ => add("person_id"),
                    }
                }
            }
            Self::AfterColumn { column, earlier: other, .. }
            | Self::StartBeforeEnd { column, end: other, .. }
            | Self::SourceValues { column, standard: other, .. } => {
                add(column);
                add(other);
            }
            Self::Number { column, .. } | Self::ForeignKey { column, .. } => add(column),
            Self::ConceptRecords { column, source, .. } => {
                add(column);
                source.iter().for_each(|s| add(s));
            }
            Self::ByConcept { column, by, .. } => {
                add(column);
                for rule in by {
                    match rule {
                        ConceptRule::Gender(_) => add("person_id"),
                        ConceptRule::Units(_) => add("unit_concept_id"),
                        _ => ["unit_concept_id", "value_as_number"].into_iter().for_each(&mut add),
                    }
                }
            }
            Self::Persons => add("person_id"),
            Self::CodedPersons(concept) => {
                add("person_id");
                add(concept);
            }
            Self::Periods => {
                add("person_id");
                for column in ["id", "start_date", "end_date"] {
                    add(&format!("observation_period_{column}"));
                }
            }
        }
    }
}

/// Runs `probes` over `batch` of `table`.
pub(super) fn run(
    probes: &[Probe<'_>],
    table: &'static str,
    batch: &RecordBatch,
    world: &World<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    let frame = Frame::new(table, batch, world);
    probes.iter().try_for_each(|probe| apply(probe, &frame, world, books))
}

fn apply(
    probe: &Probe<'_>,
    frame: &Frame<'_>,
    world: &World<'_>,
    books: &mut Books,
) -> Result<(), Error> {
    match probe {
        Probe::Nulls(column) => {
            *books.nulls.entry(column).or_default() +=
                columns::nulls(frame.table, frame.batch, column)?;
        }
        Probe::Concepts(column) => rows::concepts(column, frame, books)?,
        Probe::Dates { column, rules } => rows::dates(column, rules, frame, world, books)?,
        Probe::AfterColumn { column, earlier, check } => {
            rows::after_column(column, earlier, *check, frame, books)?;
        }
        Probe::StartBeforeEnd { column, end, check } => {
            rows::start_before_end(column, end, *check, frame, books)?;
        }
        Probe::Number { column, bound, low, check } => {
            rows::number(column, *bound, *low, *check, frame, world, books)?;
        }
        Probe::ConceptRecords { column, source, check } => {
            rows::concept_records(column, source.as_deref(), *check, frame, books)?;
        }
        Probe::SourceValues { column, standard, check } => {
            rows::source_values(column, standard, *check, frame, books)?;
        }
        Probe::ForeignKey { column, keys, check } => {
            rows::foreign_key(column, *keys, *check, frame, books)?;
        }
        Probe::PrimaryKey(column) => rows::primary_key(column, frame, books)?,
        Probe::ByConcept { column, rules, by, checks } => {
            rows::by_concept(column, (rules, by, checks), frame, world, books)?;
        }
        Probe::Persons => rows::seen(frame, |_| true, &mut books.seen, &mut books.strangers),
        Probe::CodedPersons(concept) => {
            let concept = frame.ints(concept)?;
            let coded = |i| concept.get(i).is_some_and(|c| c != 0);
            rows::seen(frame, coded, &mut books.coded, &mut books.coded_strangers);
        }
        Probe::Periods => rows::periods(frame, books)?,
    }
    Ok(())
}
