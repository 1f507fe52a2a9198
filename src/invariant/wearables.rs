//! Wearables: whose they are, of when, from which devices and sources.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Array;

use super::people::Born;
use super::scan::{Count, Look, Rows, Tally, Watch, at, read};
use super::terms::{Tier, day};
use super::{Error, Request, path_of};
use crate::omop::{Family, TableSpec};

pub(super) fn watches<'a>(
    request: &Request<'_>,
    tier: &'a Tier<'_>,
    spec: &'static TableSpec,
    born: &'a Born,
) -> Vec<Watch<'a>> {
    if spec.family != Family::Wearable {
        return Vec::new();
    }
    let mut watches = Vec::new();
    // A tier may have wearables and no records.
    if !born.is_empty() {
        watches.push(Watch::each("wearables_people", spec.name, ["person_id"], |rows| {
            let Some(people) = rows.ints("person_id") else { return Count::default() };
            people.iter().map(|person| !person.is_some_and(|person| born.has(person))).collect()
        }));
    }
    if let Some(start) = spec.start_date {
        let last = day(request.cutoff) - i64::from(tier.is_shifted());
        let look = Dated { start, last, valid: BTreeMap::new() };
        watches.push(Watch::of("wearables_dates", spec.name, [start, "person_id"], look));
    }
    if spec.name == "device" {
        watches.push(Watch::each("devices_new", "device.device_id", ["device_id"], |rows| {
            let Some(devices) = rows.texts("device_id") else { return Count::default() };
            devices.iter().flatten().map(|id| !is_pseudonym(id)).collect()
        }));
    }
    watches
}

fn is_pseudonym(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Whether each person of a file has a day that counts.
struct Dated {
    start: &'static str,
    last: i64,
    valid: BTreeMap<i64, bool>,
}

impl Look for Dated {
    fn rows(&mut self, rows: &Rows<'_>) {
        let (Some(people), Some(days)) = (rows.ints("person_id"), rows.days(self.start)) else {
            return;
        };
        let mut at_hand: Option<(i64, bool)> = None;
        for (i, day) in days.into_iter().enumerate() {
            let Some(person) = at(people, i) else { continue };
            let valid = day.is_some_and(|day| day <= self.last);
            match &mut at_hand {
                Some((last, any)) if *last == person => *any |= valid,
                _ => {
                    self.keep(at_hand);
                    at_hand = Some((person, valid));
                }
            }
        }
        self.keep(at_hand);
    }
    fn end(&mut self) -> Count {
        self.valid.values().map(|valid| !valid).collect()
    }
}

impl Dated {
    fn keep(&mut self, found: Option<(i64, bool)>) {
        if let Some((person, valid)) = found {
            *self.valid.entry(person).or_default() |= valid;
        }
    }
}

/// Sources of people's rows, by table: with ids of one kind those of the narrower tier are of the wider.
pub(super) fn same_sources(
    request: &Request<'_>,
    wide: &Tier<'_>,
    narrow: &Tier<'_>,
    tally: &mut Tally,
) -> Result<(), Error> {
    if !request.shared_ids {
        return Ok(());
    }
    let tables = narrow.tables.keys().filter_map(|table| narrow.spec(table));
    for spec in tables.filter(|spec| spec.field("src_id").is_some()) {
        let (all, some) =
            (sources(request, wide, spec.name)?, sources(request, narrow, spec.name)?);
        let count = some.iter().map(|source| !all.contains(source)).collect();
        tally.count("same_sources", narrow.name, spec.name, count);
    }
    Ok(())
}

fn sources(
    request: &Request<'_>,
    tier: &Tier<'_>,
    table: &str,
) -> Result<BTreeSet<(i64, String)>, Error> {
    let mut found = BTreeSet::new();
    for file in tier.files_of(table) {
        let builder = super::scan::open(request, &path_of(request, file), &file.path)?;
        // Mostly null, which the footer says.
        if super::scan::all_null(builder.metadata(), "src_id").is_some() {
            continue;
        }
        read(request, &path_of(request, file), &file.path, &["person_id", "src_id"], |rows| {
            let (Some(people), Some(texts)) = (rows.ints("person_id"), rows.texts("src_id")) else {
                return Ok(());
            };
            for i in (0..rows.len()).filter(|i| texts.is_valid(*i)) {
                if let Some(person) = at(people, i) {
                    let source = (person, texts.value(i).to_owned());
                    found.insert(source);
                }
            }
            Ok(())
        })?;
    }
    Ok(found)
}
