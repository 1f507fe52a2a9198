//! Surveys: what was conducted has answers, and answers were given in what was conducted.

use std::collections::BTreeSet;

use super::scan::{Count, Tally, open, read};
use super::terms::Tier;
use super::{Error, Request, path_of};
use crate::engine::Job;

const RESPONSE: &str = "questionnaire_response_id";

/// Ids of one side.
fn ids(
    request: &Request<'_>,
    tier: &Tier<'_>,
    (table, column): (&str, &str),
    job: &Job,
) -> Result<Option<BTreeSet<i64>>, Error> {
    let mut found = None;
    for file in tier.files_of(table) {
        let path = path_of(request, file);
        if open(request, &path, &file.path)?.schema().index_of(column).is_err() {
            continue;
        }
        let ids: &mut BTreeSet<i64> = found.get_or_insert_default();
        read(request, &path, &file.path, &[column], |rows| {
            job.check()?;
            ids.extend(rows.ints(column).into_iter().flatten().flatten());
            Ok(())
        })?;
    }
    Ok(found)
}

pub(super) fn look(
    request: &Request<'_>,
    tier: &Tier<'_>,
    job: &Job,
    tally: &mut Tally,
) -> Result<(), Error> {
    let conducted = ids(request, tier, ("survey_conduct", "survey_conduct_id"), job)?;
    let answered = ids(request, tier, ("observation", RESPONSE), job)?;
    let named = |ids: Option<BTreeSet<i64>>| ids.filter(|ids| !ids.is_empty());
    if let (Some(conducted), Some(answered)) = (named(conducted), named(answered)) {
        let each = |of: &BTreeSet<i64>, other: &BTreeSet<i64>| -> Count {
            of.iter().map(|id| !other.contains(id)).collect()
        };
        let id = "survey_conducts";
        tally.count(id, tier.name, "survey_conduct", each(&conducted, &answered));
        tally.count(id, tier.name, "observation", each(&answered, &conducted));
    }
    Ok(())
}
