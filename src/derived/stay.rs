//! Stays: visits to a hospital that belong together.

use super::part::Part;
use super::sweep::{Derivation, Made, Source, Value};

/// Inpatient visit, emergency room and inpatient visit, intensive care, of the OMOP visit concepts.
const INPATIENT: [i64; 3] = [9201, 262, 32_037];
/// Emergency room visit: joins a stay that it touches, and starts none.
const EMERGENCY: i64 = 9203;

/// `visit_stay`: inpatient visits that share a day or follow on the next, merged; a visit of any other
/// kind that lies within (an emergency visit also on the day before) counts to it. This is the
/// macrovisit algorithm of N3C with its gap of one day, by dates.
pub struct Stays;

impl Derivation for Stays {
    fn table(&self) -> &'static str {
        "visit_stay"
    }

    fn sources(&self) -> Vec<Source> {
        vec![("visit_occurrence", vec!["visit_concept_id", "visit_start_date", "visit_end_date"])]
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let part = &sources[0];
        let mut visits: Vec<(i32, i32, i64)> = Vec::new();
        for row in part.of(person) {
            let Some(start) = part.rows.day(2, row) else {
                made.note("without_start_date", 1);
                continue;
            };
            let end = part.rows.day(3, row).unwrap_or(start).max(start);
            visits.push((start, end, part.rows.columns[1][row].unwrap_or(0)));
        }
        visits.sort_unstable();
        let mut stays: Vec<(i32, i32, i64)> = Vec::new();
        for &(start, end, _) in visits.iter().filter(|v| INPATIENT.contains(&v.2)) {
            match stays.last_mut() {
                Some(last) if start <= last.1.saturating_add(1) => last.1 = last.1.max(end),
                _ => stays.push((start, end, 0)),
            }
        }
        for &(start, end, concept) in &visits {
            let early = i32::from(concept == EMERGENCY);
            let holds = |stay: &&mut (i32, i32, i64)| stay.0 - early <= start && end <= stay.1;
            if let Some(stay) = stays.iter_mut().find(holds) {
                stay.0 = stay.0.min(start);
                stay.2 += 1;
            }
        }
        for (start, end, visits) in stays {
            made.row([
                Value::Day(start),
                Value::Day(end),
                Value::Int(INPATIENT[0]),
                Value::Int(visits),
            ]);
        }
    }
}
