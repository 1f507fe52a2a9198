//! Drug eras and dose eras: exposures to one ingredient at most 30 days apart.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use super::Error;
use super::condition::GAP;
use super::era::{Span, merge};
use super::part::{self, Part};
use super::sweep::{Derivation, Made, Source, Value};
use crate::engine::Keyring;
use crate::omop::SiteExtract;

/// What drugs are made of.
pub struct Ingredients {
    /// Drugs and the RxNorm ingredients above each, itself among them if it is one; ascending. 16 bytes a
    /// pair: a full vocabulary has some ten million.
    above: Vec<(i64, i64)>,
    /// By drug and ingredient: amount and its unit.
    strength: BTreeMap<(i64, i64), (f64, i64)>,
}

impl Ingredients {
    /// Reads ingredients (`concept_class_id` Ingredient of RxNorm) and their descendants, and strengths
    /// that are stated as an amount.
    ///
    /// # Errors
    /// When a table of the vocabulary cannot be read.
    pub fn read(vocabulary: &SiteExtract) -> Result<Self, Error> {
        let plain = Keyring::default();
        let mut ingredients: Vec<i64> = Vec::new();
        let names = ["concept_id", "vocabulary_id", "concept_class_id"];
        for path in vocabulary.files("concept") {
            part::each_batch(&path, &names, &plain, |batch| {
                let [Some(ids), Some(vocabularies), Some(classes)] =
                    names.map(|n| batch.column_by_name(n))
                else {
                    return;
                };
                let ids = ids.as_primitive::<Int64Type>();
                let vocabularies = vocabularies.as_string::<i32>();
                let classes = classes.as_string::<i32>();
                ingredients.extend((0..batch.num_rows()).filter_map(|i| {
                    let is = vocabularies.value(i) == "RxNorm" && classes.value(i) == "Ingredient";
                    is.then(|| ids.value(i))
                }));
            })?;
        }
        ingredients.sort_unstable();
        let mut above: Vec<(i64, i64)> = Vec::new();
        let names = ["descendant_concept_id", "ancestor_concept_id"];
        for path in vocabulary.files("concept_ancestor") {
            part::each_batch(&path, &names, &plain, |batch| {
                let [Some(drugs), Some(ancestors)] = names.map(|n| batch.column_by_name(n)) else {
                    return;
                };
                let drugs = drugs.as_primitive::<Int64Type>().iter();
                let ancestors = ancestors.as_primitive::<Int64Type>().iter();
                let pairs = drugs.zip(ancestors).filter_map(|(drug, of)| drug.zip(of));
                above.extend(pairs.filter(|(_, of)| ingredients.binary_search(of).is_ok()));
            })?;
        }
        above.sort_unstable();
        above.dedup();
        let mut strength = BTreeMap::new();
        for path in vocabulary.files("drug_strength") {
            let names = [
                "drug_concept_id",
                "ingredient_concept_id",
                "amount_value",
                "amount_unit_concept_id",
            ];
            let rows = part::read(&path, &names, &plain)?;
            for i in 0..rows.len {
                if let (Some(drug), Some(ingredient), Some(unit)) =
                    (rows.columns[0][i], rows.columns[1][i], rows.columns[3][i])
                    && let Some(amount) = rows.float(2, i).filter(|a| *a > 0.0)
                {
                    strength.insert((drug, ingredient), (amount, unit));
                }
            }
        }
        Ok(Self { above, strength })
    }

    /// The ingredients of a drug, ascending.
    fn of(&self, drug: i64) -> impl Iterator<Item = i64> {
        let start = self.above.partition_point(|(of, _)| *of < drug);
        let pairs = self.above[start..].iter().take_while(move |(of, _)| *of == drug);
        pairs.map(|(_, ingredient)| *ingredient)
    }
}

const EXPOSURE: [&str; 5] = [
    "drug_concept_id",
    "drug_exposure_start_date",
    "drug_exposure_end_date",
    "days_supply",
    "quantity",
];

/// The exposures of a person: drug, row and span, whose end is the end date, else `days_supply` days
/// after the start, else the day after it (OHDSI's script). A `days_supply` below 0 leaves a row out.
fn exposures(
    person: i64,
    part: &Part,
    cutoff: i32,
    made: &mut Made,
    mut see: impl FnMut(i64, usize, Span, &mut Made),
) {
    for row in part.of(person) {
        let rows = &part.rows;
        let supply = rows.columns[4][row];
        match (rows.columns[1][row], rows.day(2, row)) {
            (None | Some(0), _) => made.note("without_concept", 1),
            (_, None) => made.note("without_start_date", 1),
            (_, Some(start)) if start > cutoff => made.note("after_cutoff", 1),
            _ if supply.is_some_and(|days| days < 0) => made.note("negative_days_supply", 1),
            (Some(drug), Some(start)) => {
                let days = supply.filter(|&d| d > 0).and_then(|d| i32::try_from(d).ok());
                let end = rows.day(3, row).unwrap_or(start.saturating_add(days.unwrap_or(1)));
                see(drug, row, Span::of(start, end), made);
            }
        }
    }
}

/// `drug_era`, as OHDSI's non-stockpile script makes it: exposures to any drug with the ingredient;
/// those that overlap count their days once, and `gap_days` are the days of the era in none.
pub struct DrugEras<'a> {
    /// What drugs are made of.
    pub drugs: &'a Ingredients,
    /// Last day of the data.
    pub cutoff: i32,
}

impl Derivation for DrugEras<'_> {
    fn table(&self) -> &'static str {
        "drug_era"
    }

    fn sources(&self) -> Vec<Source> {
        vec![("drug_exposure", EXPOSURE.to_vec())]
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let mut spans: BTreeMap<i64, Vec<Span>> = BTreeMap::new();
        exposures(person, &sources[0], self.cutoff, made, |drug, _, span, made| {
            let mut any = false;
            for ingredient in self.drugs.of(drug) {
                spans.entry(ingredient).or_default().push(span);
                any = true;
            }
            made.note("without_ingredient", u64::from(!any));
        });
        let mut eras: Vec<(Span, i64)> = Vec::new();
        for (ingredient, mut spans) in spans {
            let mut exposed = merge(&mut spans, 0);
            for span in &mut exposed {
                span.exposed = i64::from(span.end) - i64::from(span.start);
            }
            eras.extend(merge(&mut exposed, GAP).into_iter().map(|era| (era, ingredient)));
        }
        eras.sort_unstable();
        for (era, ingredient) in eras {
            let length = i64::from(era.end) - i64::from(era.start);
            made.row([
                Value::Int(ingredient),
                Value::Day(era.start),
                Value::Day(era.end),
                Value::Int(era.rows),
                Value::Int(length - era.exposed),
            ]);
        }
    }
}

/// `dose_era`: exposures at one daily dose of an ingredient, at most 30 days apart.
///
/// The daily dose is quantity x amount / days, where the amount of the ingredient in a unit of the drug
/// is that of `drug_strength` and days are `days_supply`. Exposures without a quantity, a supply or an
/// amount (liquids are stated as concentrations) have none and are counted.
pub struct DoseEras<'a> {
    /// What drugs are made of.
    pub drugs: &'a Ingredients,
    /// Last day of the data.
    pub cutoff: i32,
}

impl Derivation for DoseEras<'_> {
    fn table(&self) -> &'static str {
        "dose_era"
    }

    fn sources(&self) -> Vec<Source> {
        vec![("drug_exposure", EXPOSURE.to_vec())]
    }

    fn person(&self, person: i64, sources: &[Part], made: &mut Made) {
        let mut spans: BTreeMap<(i64, i64, u64), Vec<Span>> = BTreeMap::new();
        let part = &sources[0];
        exposures(person, part, self.cutoff, made, |drug, row, span, made| {
            let quantity = part.rows.float(5, row).filter(|q| *q > 0.0);
            let days = part.rows.columns[4][row].filter(|d| *d > 0);
            let mut any = false;
            for ingredient in self.drugs.of(drug) {
                let strength = self.drugs.strength.get(&(drug, ingredient));
                if let (Some((amount, unit)), Some(quantity), Some(days)) =
                    (strength, quantity, days)
                {
                    let dose = quantity * amount / days as f64;
                    let of = spans.entry((ingredient, *unit, dose.to_bits())).or_default();
                    of.push(span);
                    any = true;
                }
            }
            made.note("without_dose", u64::from(!any));
        });
        let mut eras: Vec<(Span, (i64, i64, u64))> = Vec::new();
        for (dose, mut spans) in spans {
            eras.extend(merge(&mut spans, GAP).into_iter().map(|era| (era, dose)));
        }
        eras.sort_unstable();
        for (era, (ingredient, unit, dose)) in eras {
            made.row([
                Value::Int(ingredient),
                Value::Int(unit),
                Value::Float(f64::from_bits(dose)),
                Value::Day(era.start),
                Value::Day(era.end),
            ]);
        }
    }
}
