//! Condition eras: occurrences of one condition at most 30 days apart.

use std::collections::BTreeMap;

use super::era::{Span, merge};
use super::part::Part;
use super::sweep::{Derivation, Made, Source, Value};

/// Days between two occurrences of one era at most, of conditions and drugs alike (OMOP CDM).
pub const GAP: i32 = 30;

/// `condition_era`, as the script of the OMOP CDM makes it: occurrences of one concept, with their end
/// date or, where that is empty, the day after their start; concept 0 and rows without a start date are left out.
/// So are occurrences that start after the cut-off; an end is as the data say, for one that many eras share
/// would tell the shift of shifted dates.
pub struct ConditionEras {
    /// Last day of the data.
    pub cutoff: i32,
}

impl Derivation for ConditionEras {
    fn table(&self) -> &'static str {
        "condition_era"
    }

    fn sources(&self) -> Vec<Source> {
        let columns = vec!["condition_concept_id", "condition_start_date", "condition_end_date"];
        vec![("condition_occurrence", columns)]
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let part = &sources[0];
        let mut spans: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
        for row in part.of(person) {
            let rows = &part.rows;
            match (rows.columns[1][row], rows.day(2, row)) {
                (None | Some(0), _) => made.note("without_concept", 1),
                (_, None) => made.note("without_start_date", 1),
                (_, Some(start)) if start > self.cutoff => made.note("after_cutoff", 1),
                (Some(concept), Some(start)) => {
                    let end = rows.day(3, row).unwrap_or(start.saturating_add(1));
                    spans.entry(concept).or_default().push(Span::of(start, end));
                }
            }
        }
        let mut eras: Vec<(Span, i64)> = Vec::new();
        for (concept, mut spans) in spans {
            eras.extend(merge(&mut spans, GAP).into_iter().map(|era| (era, concept)));
        }
        eras.sort_unstable();
        for (era, concept) in eras {
            made.row([
                Value::Int(concept),
                Value::Day(era.start),
                Value::Day(era.end),
                Value::Int(era.rows),
            ]);
        }
    }
}
