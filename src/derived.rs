//! Tables that are made of other tables: observation periods, eras, stays, days of wearables, survey answers,
//! physical measurements, a summary of each person.
//!
//! Everything is a sweep over one person's rows at a time. Record tables come as parts by person: part
//! *n* of every table holds the same people (see [`crate::omop::ExtractTable`]), so that parts are
//! worked on side by side and a table of any size costs the memory of a part a thread.

mod answer;
mod condition;
mod day;
mod drug;
mod era;
mod error;
mod module;
mod part;
mod period;
mod physical;
mod stay;
mod summary;
mod survey;
mod sweep;

use std::collections::{BTreeMap, BTreeSet};

use crate::engine::{Job, Ledger};
use crate::omop::{ExtractTable, SiteExtract};

pub use error::Error;

/// What to build, and of what.
pub struct Request<'a> {
    /// The curated records.
    pub records: &'a SiteExtract,
    /// The vocabulary, for drug and dose eras; without one there are none.
    pub vocabulary: Option<&'a SiteExtract>,
    /// Folder below the job's root for the tables, e.g. `curated`.
    pub folder: &'a str,
    /// Whether to build condition, drug and dose eras.
    pub eras: bool,
    /// Whether to build one observation period a person, from the first event to the last.
    pub periods: bool,
    /// Whether to build stays, survey answers and modules, physical measurements, days of wearables and
    /// the summary of each person.
    pub summaries: bool,
    /// Last day of the data, days since 1970-01-01; what starts after it does not count.
    pub cutoff: i32,
    /// Day that ages refer to, days since 1970-01-01.
    pub reference_date: i32,
    /// What is known of people from elsewhere.
    pub known: Known,
}

/// What is known of people from other feeds, by raw person id.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Day of primary consent, days since 1970-01-01.
    pub consent: BTreeMap<i64, i32>,
    /// People with a whole genome.
    pub wgs: BTreeSet<i64>,
    /// People with an array.
    pub array: BTreeSet<i64>,
}

/// Builds the tables that `request` asks for, below the job's root, as parts by person like their
/// sources, each sorted by person and then as its first columns say. The books hold, for each table,
/// the rows made (in and out alike) and what was left aside, as notes.
///
/// # Errors
/// When a source cannot be read, its parts do not go together, or a table cannot be written.
pub fn build(request: &Request<'_>, job: &Job) -> Result<(Vec<ExtractTable>, Ledger), Error> {
    let mut made = Vec::new();
    let mut ledger = Ledger::default();
    let mut add = |derivation: &dyn sweep::Derivation| -> Result<(), Error> {
        let (table, books) = sweep::run(derivation, request, job)?;
        made.push(table);
        ledger.0.push(books);
        Ok(())
    };
    if request.periods {
        add(&period::Periods { cutoff: request.cutoff })?;
    }
    if request.eras {
        add(&condition::ConditionEras { cutoff: request.cutoff })?;
        if let Some(vocabulary) = request.vocabulary {
            let drugs = drug::Ingredients::read(vocabulary)?;
            add(&drug::DrugEras { drugs: &drugs, cutoff: request.cutoff })?;
            add(&drug::DoseEras { drugs: &drugs, cutoff: request.cutoff })?;
        }
    }
    if request.summaries {
        let modules = module::Modules::read(request.vocabulary)?;
        add(&stay::Stays)?;
        add(&answer::Answers { modules: &modules })?;
        add(&survey::SurveyModules { modules: &modules })?;
        add(&physical::PhysicalMeasurements { modules: &modules })?;
        if day::WEARABLES.iter().any(|table| request.records.extract.table(table).is_some()) {
            add(&day::Days)?;
        }
        add(&summary::Summaries {
            known: &request.known,
            modules: &modules,
            reference_date: request.reference_date,
        })?;
    }
    Ok((made, ledger))
}
