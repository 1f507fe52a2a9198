//! Physical measurements of the programme's own visits.

use std::collections::BTreeMap;

use super::answer::named;
use super::module::Modules;
use super::part::Part;
use super::sweep::{Derivation, Made, Source, Value};

/// Diastolic and systolic pressure, weight, body mass index, heart rate, height, waist and hip
/// circumference of the All of Us physical measurements: the values that the programme computes of its
/// two or three readings.
pub const MEASURES: [i64; 8] =
    [903_115, 903_118, 903_121, 903_124, 903_126, 903_133, 903_135, 903_136];

/// Every concept of the physical measurements, single readings and remarks among them.
const PHYSICAL: std::ops::RangeInclusive<i64> = 903_104..=903_161;

const DAY: i64 = 24 * 3600 * 1_000_000;

/// Whether a measurement is one of the programme's own visits, by source concept or concept.
pub fn is_physical(concept: Option<i64>, source: Option<i64>) -> bool {
    [concept, source].into_iter().flatten().any(|c| PHYSICAL.contains(&c))
}

/// `physical_measurement`: one row a person, time, measure and unit, with the mean of the readings of that
/// time and their number. The measure is the programme's concept, whatever standard concept the row has.
pub struct PhysicalMeasurements<'a> {
    /// Names.
    pub modules: &'a Modules,
}

impl Derivation for PhysicalMeasurements<'_> {
    fn table(&self) -> &'static str {
        "physical_measurement"
    }

    fn sources(&self) -> Vec<Source> {
        let columns = vec![
            "measurement_date",
            "measurement_datetime",
            "measurement_concept_id",
            "measurement_source_concept_id",
            "value_as_number",
            "unit_concept_id",
        ];
        vec![("measurement", columns)]
    }

    fn name(&self, concept: i64) -> Option<&str> {
        self.modules.name(concept)
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let part = &sources[0];
        let mut measures: BTreeMap<(i64, i64, Option<i64>), Vec<f64>> = BTreeMap::new();
        for row in part.of(person) {
            let value = |column: usize| part.rows.columns[column][row];
            let measure = [value(4), value(3)].into_iter().flatten();
            let Some(measure) = measure.into_iter().find(|c| MEASURES.contains(c)) else {
                continue;
            };
            let Some(day) = part.rows.day(1, row) else {
                made.exclude("without_date", 1);
                continue;
            };
            let Some(number) = part.rows.float(5, row).filter(|x| x.is_finite()) else {
                made.exclude("without_number", 1);
                continue;
            };
            let time = value(2).unwrap_or(i64::from(day) * DAY);
            let unit = value(6).filter(|unit| *unit != 0);
            measures.entry((time, measure, unit)).or_default().push(number);
        }
        for ((time, measure, unit), mut readings) in measures {
            // A sum of floats depends on its order; that of the rows may differ.
            readings.sort_by(f64::total_cmp);
            made.exclude("in_the_mean", readings.len() as u64 - 1);
            let mean = readings.iter().sum::<f64>() / readings.len() as f64;
            let ([measure, called], [unit, in_words]) = (named(Some(measure)), named(unit));
            made.row([
                Value::Time(time),
                measure,
                called,
                Value::Float(mean),
                unit,
                in_words,
                Value::Int(readings.len() as i64),
            ]);
        }
    }
}
