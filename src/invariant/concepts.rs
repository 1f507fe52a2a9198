//! No concept field holds what a policy removes.

use super::closure::{IdSet, Sets};
use super::scan::{Count, Rows, Watch};
use super::terms::{Tier, about_persons, must_be_null, named};
use crate::config::policy::Action;
use crate::config::policy::parts::{ConceptSet, Condition};
use crate::omop::{FieldSpec, TableSpec};

/// The sets that must not be in a column, with the conditions on the row under which they must not.
type Banned<'a> = Vec<(&'a IdSet, &'a [Condition])>;

pub(super) fn watches<'a>(
    tier: &'a Tier<'_>,
    spec: &'static TableSpec,
    sets: &'a Sets,
) -> Vec<Watch<'a>> {
    if !about_persons(spec) {
        return Vec::new();
    }
    let mut watches = Vec::new();
    for field in spec.fields.iter().filter(|field| field.is_concept_id()) {
        // A null column is another invariant's.
        if must_be_null(tier, spec, field) {
            continue;
        }
        let mut listed: Banned<'a> = Vec::new();
        let mut recent: Banned<'a> = Vec::new();
        for rule in tier.rules() {
            let Some(set) = sets.get(&rule.id).filter(|set| !set.is_empty()) else { continue };
            match &rule.action {
                Action::SuppressConcepts(of) if applies(of, spec, field) => {
                    listed.push((set, &of.only));
                }
                Action::DropRecentConcepts(_) => recent.push((set, &[])),
                _ => {}
            }
        }
        for (id, banned) in [("concepts_suppressed", listed), ("concepts_recent", recent)] {
            if !banned.is_empty() {
                watches.push(watch(id, spec, field, banned));
            }
        }
    }
    watches
}

/// Whether a rule looks at the column.
pub(super) fn applies(of: &ConceptSet, spec: &TableSpec, field: &FieldSpec) -> bool {
    !of.except_tables.iter().any(|table| table == spec.name)
        && of.only.iter().all(|condition| spec.field(&condition.column).is_some())
        && (of.columns.is_empty() || named(&of.columns, spec, field))
        && !named(&of.except_columns, spec, field)
}

fn watch<'a>(
    id: &'static str,
    spec: &'static TableSpec,
    field: &'static FieldSpec,
    banned: Banned<'a>,
) -> Watch<'a> {
    let conditions = banned.iter().flat_map(|(_, only)| only.iter());
    let named = conditions.filter_map(|c| spec.field(&c.column)).map(|f| f.name);
    let columns: Vec<&'static str> = named.chain([field.name]).collect();
    let place = format!("{}.{}", spec.name, field.name);
    Watch::each(id, place, columns, move |rows| {
        let Some(ids) = rows.ints(field.name) else { return Count::default() };
        let mut count = Count { looked_at: rows.len() as u64, violations: 0 };
        let (mut last, mut last_in) = (0, false);
        for (i, id) in ids.iter().enumerate() {
            let Some(id) = id.filter(|id| *id != 0) else { continue };
            if id != last {
                (last, last_in) = (id, banned.iter().any(|(set, _)| set.has(id)));
            }
            // Rare, so that it may take its time.
            if last_in && banned.iter().any(|(set, only)| set.has(id) && meets(rows, only, i)) {
                count.violations += 1;
            }
        }
        count
    })
}

/// Whether a row meets all conditions.
fn meets(rows: &Rows<'_>, only: &[Condition], row: usize) -> bool {
    only.iter().all(|condition| {
        let held = rows.ints(&condition.column).and_then(|ids| super::scan::at(ids, row));
        held.is_some_and(|id| condition.concepts.contains(&id))
    })
}
