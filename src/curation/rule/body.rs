//! Rules about height, weight and body mass index.

use serde::{Deserialize, Serialize};

/// Numbers in a range, and what makes them the unit asked for. Bounds are inclusive but for `above`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// Lowest number.
    pub min: Option<f64>,
    /// The number above which it starts.
    pub above: Option<f64>,
    /// Highest number.
    pub max: Option<f64>,
    /// What numbers are multiplied by.
    pub times: Option<f64>,
    /// What numbers are divided by.
    pub divide: Option<f64>,
}

impl Scale {
    /// Whether the range starts above a number.
    pub fn is_above(&self, value: f64) -> bool {
        self.min.is_some_and(|min| value < min) || self.above.is_some_and(|above| value <= above)
    }

    /// Whether a number is in the range.
    pub fn holds(&self, value: f64) -> bool {
        !self.is_above(value) && self.max.is_none_or(|max| value <= max)
    }

    /// A number in the unit asked for.
    pub fn convert(&self, value: f64) -> f64 {
        value * self.times.unwrap_or(1.0) / self.divide.unwrap_or(1.0)
    }
}

/// How units of heights and weights of adults are inferred from their numbers.
///
/// A height is in the unit whose range holds it; one that none holds goes. Weights of an extract, concept
/// and unit are in the unit whose range holds their median, as they came before any rule; where none does
/// they stay as they are. A weight whose ratio to the median of its person is in a range is then in the
/// unit of that. What is still too far from the median of its person goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodySize {
    /// `measurement_concept_id` of heights.
    pub heights: Vec<i64>,
    /// Of weights.
    pub weights: Vec<i64>,
    /// `measurement_source_concept_id` of measurements that are not looked at.
    #[serde(default)]
    pub except_sources: Vec<i64>,
    /// Numbers that stand for none.
    #[serde(default)]
    pub except: Vec<f64>,
    /// Ranges of heights.
    pub height_scales: Vec<Scale>,
    /// Ranges of the median of weights.
    pub weight_medians: Vec<Scale>,
    /// Ranges of the ratio of a weight to the median of its person.
    pub weight_ratios: Vec<Scale>,
    /// The ratios of a height to the median of its person that stay.
    pub height_stays: Scale,
    /// Of a weight.
    pub weight_stays: Scale,
    /// `unit_concept_id` of heights afterwards.
    pub height_unit: i64,
    /// Of weights.
    pub weight_unit: i64,
}

/// Body mass index where height (cm) and weight (kg) of a person, datetime and measurement type have none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyMass {
    /// Concepts of heights, source or standard.
    pub heights: Vec<i64>,
    /// Of weights.
    pub weights: Vec<i64>,
    /// Of the index.
    pub indices: Vec<i64>,
    /// `measurement_concept_id` of the row that is made.
    pub concept: i64,
    /// `measurement_source_concept_id` of it.
    pub source_concept: i64,
    /// `unit_concept_id` of it.
    pub unit: i64,
}
