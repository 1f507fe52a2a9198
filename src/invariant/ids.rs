//! Ids: nothing released is a raw one.

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use std::collections::BTreeSet;

use super::origin::{Originals, OwnTier};
use super::scan::{Count, Rows, Tally, Watch, open, rows};
use super::terms::{Tier, about_persons, must_be_null};
use super::{Error, Request, path_of};
use crate::omop::TableSpec;

/// Raw ids that spread wider than this cannot be told from new ones by where they lie.
const NARROW: i64 = 1 << 60;

pub(super) fn watches<'a>(
    tier: &'a Tier<'_>,
    spec: &'static TableSpec,
    own: &'a OwnTier<'_>,
) -> Vec<Watch<'a>> {
    if !about_persons(spec) {
        return Vec::new();
    }
    let mut watches = vec![people(spec, own), consents(spec, own)];
    for field in spec.fields.iter().filter(|f| f.name != "person_id") {
        let Some(target) = spec.row_id_table(field) else { continue };
        let (Some(range), Ok(key)) = (own.raw_rows.get(target).copied(), own.rows.get(target))
        else {
            continue;
        };
        if must_be_null(tier, spec, field) || range.1.saturating_sub(range.0) >= NARROW {
            continue;
        }
        let place = format!("{}.{}", spec.name, field.name);
        watches.push(Watch::each("row_ids_new", place, [field.name], move |rows| {
            let Some(ids) = rows.ints(field.name) else { return Count::default() };
            let among = |id: i64| (range.0..=range.1).contains(&id);
            // A new id that lies among the raw ones by chance leads back to a raw one; a raw id leads back
            // to anything.
            ids.iter().flatten().map(|id| among(id) && !among(key.invert(id))).collect()
        }));
    }
    if spec.name == "device" {
        watches.push(Watch::each("row_ids_new", "device.device_id", ["device_id"], |rows| {
            let Some(ids) = rows.texts("device_id") else { return Count::default() };
            ids.iter().flatten().map(|id| own.devices.contains(id)).collect()
        }));
    }
    watches
}

/// Every person is one of the tier's, under another id than the raw one.
fn people<'a>(spec: &TableSpec, own: &'a OwnTier<'_>) -> Watch<'a> {
    let place = format!("{}.person_id", spec.name);
    Watch::each("person_ids_new", place, ["person_id"], |rows| {
        let Some(people) = rows.ints("person_id") else { return Count::default() };
        let (mut last, mut wrong) = (None, true);
        let each = people.iter().map(|person| {
            if person != last || person.is_none() {
                wrong = person.and_then(|id| own.raw(id)).is_none_or(|raw| Some(raw) == person);
                last = person;
            }
            wrong
        });
        each.collect()
    })
}

/// Nobody's health records are shown who has not consented to that. In a table that other feeds fill too
/// nothing says whose a row is; there it is enough to take part, which is `person_ids_new`.
fn consents<'a>(spec: &TableSpec, own: &'a OwnTier<'_>) -> Watch<'a> {
    let needed = !own.without_ehr_consent.contains(spec.name);
    Watch::each("consents", spec.name, ["person_id"], move |rows| {
        let Some(people) = rows.ints("person_id") else { return Count::default() };
        let (mut last, mut wrong) = (None, false);
        let each = people.iter().flatten().map(|person| {
            if last != Some(person) {
                // Whom no key leads back to is nobody: that is `person_ids_new`.
                wrong = needed && own.may_show_records(person) == Some(false);
                last = Some(person);
            }
            wrong
        });
        each.collect()
    })
}

/// Samples: no text of their tables and no file name is the id of one, and whoever they are of has consented.
pub(super) fn samples(
    request: &Request<'_>,
    originals: &Originals<'_>,
    tally: &mut Tally,
) -> Result<(), Error> {
    let samples = &originals.origin.samples;
    let id = "sample_ids_new";
    for terms in &request.tiers {
        let tier = terms.policy.policy.tier.name();
        let prefix = format!("{tier}/genomics/");
        for file in request.files.iter().filter(|file| file.path.starts_with(&prefix)) {
            let named = file.path.split(['/', '=', '.']).any(|part| samples.contains(part));
            tally.count(id, tier, "file names", std::iter::once(named).collect());
            if !file.table.contains("sample") || !file.path.ends_with(".parquet") {
                continue;
            }
            let builder = open(request, &path_of(request, file), &file.path)?;
            let schema = builder.schema().clone();
            let texts = schema.fields().iter().filter(|f| f.data_type() == &DataType::Utf8);
            let columns: BTreeSet<&str> =
                texts.map(|f| f.name().as_str()).chain(["person_id"]).collect();
            for batch in rows(builder, &columns, &file.path)? {
                let broken = |source: parquet::errors::ParquetError| Error::Parquet {
                    file: file.path.clone(),
                    source,
                };
                let batch = batch.map_err(|e| broken(e.into()))?;
                if let (Some(own), Some(people)) =
                    (originals.of(tier), Rows(&batch).ints("person_id"))
                {
                    let may = |person| own.may_show_genomics(person) == Some(true);
                    let count = people.iter().map(|person| !person.is_some_and(may)).collect();
                    tally.count("consents", tier, &file.table, count);
                }
                for (field, array) in batch.schema().fields().iter().zip(batch.columns()) {
                    let Some(texts) = array.as_string_opt::<i32>() else { continue };
                    let held = texts.iter().flatten().map(|text| samples.contains(text));
                    let place = format!("{}.{}", file.table, field.name());
                    tally.count(id, tier, &place, held.collect());
                }
            }
        }
    }
    Ok(())
}
