//! Observation periods: one a person, from the first event to the last.

use super::part::Part;
use super::sweep::{Derivation, Made, Source, Value};

/// "EHR encounter records" of the OMOP type concepts.
const TYPE: i64 = 32_827;

/// Tables with events, their start and end columns.
pub const EVENTS: [(&str, &str, &str); 8] = [
    ("condition_occurrence", "condition_start_date", "condition_end_date"),
    ("device_exposure", "device_exposure_start_date", "device_exposure_end_date"),
    ("drug_exposure", "drug_exposure_start_date", "drug_exposure_end_date"),
    ("measurement", "measurement_date", "measurement_date"),
    ("observation", "observation_date", "observation_date"),
    ("procedure_occurrence", "procedure_date", "procedure_date"),
    ("specimen", "specimen_date", "specimen_date"),
    ("visit_occurrence", "visit_start_date", "visit_end_date"),
];

/// `observation_period`: from a person's first event to the last, as the All of Us programme does where
/// enrolment says nothing. Events that start after the cut-off do not count, nor does an end after it.
pub struct Periods {
    /// Last day of the data.
    pub cutoff: i32,
}

/// The first and last day of a person's events in all of `sources`, which are [`EVENTS`].
pub fn extent(person: i64, sources: &[Part], cutoff: i32) -> Option<(i32, i32)> {
    let mut extent: Option<(i32, i32)> = None;
    for part in sources {
        for row in part.of(person) {
            let Some(start) = part.rows.day(1, row).filter(|s| *s <= cutoff) else { continue };
            // Not cut to the cut-off: in a tier of shifted dates an end that all cut rows share would tell the shift.
            let end = part.rows.day(2, row).filter(|e| *e <= cutoff).unwrap_or(start).max(start);
            let (first, last) = extent.unwrap_or((start, end));
            extent = Some((first.min(start), last.max(end)));
        }
    }
    extent
}

impl Derivation for Periods {
    fn table(&self) -> &'static str {
        "observation_period"
    }

    fn sources(&self) -> Vec<Source> {
        EVENTS.iter().map(|&(table, start, end)| (table, vec![start, end])).collect()
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        if let Some((first, last)) = extent(person, sources, self.cutoff) {
            made.row([Value::Day(first), Value::Day(last), Value::Int(TYPE)]);
        }
    }
}
