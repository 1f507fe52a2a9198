//! The concepts of a rule, with their descendants, from the vocabulary.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::prelude::{SessionContext, ident, lit};

use super::{Error, SiteExtract, table};

/// The sorted concept ids that a `suppress_concepts` rule stands for.
///
/// # Errors
/// Unless `allow_missing`: when there is no vocabulary, or it lacks one of `concepts`.
pub(super) async fn expand(
    ctx: &SessionContext,
    vocabulary: Option<&SiteExtract>,
    rule: &str,
    concepts: &[i64],
    descendants: bool,
    allow_missing: bool,
) -> Result<Arc<[i64]>, Error> {
    let mut all: BTreeSet<i64> = concepts.iter().copied().collect();
    let known = column(ctx, vocabulary, "concept", "concept_id", "concept_id", &all).await?;
    match known {
        Some(known) => {
            let count = all.difference(&known).count();
            if count > 0 && !allow_missing {
                return Err(Error::ConceptMissing { rule: rule.to_owned(), count });
            }
        }
        None if allow_missing => {}
        None => return Err(Error::NoVocabulary { rule: rule.to_owned(), table: "concept" }),
    }
    if descendants {
        let (from, to) = ("ancestor_concept_id", "descendant_concept_id");
        match column(ctx, vocabulary, "concept_ancestor", from, to, &all).await? {
            Some(found) => all.extend(found),
            None if allow_missing => {}
            None => {
                let rule = rule.to_owned();
                return Err(Error::NoVocabulary { rule, table: "concept_ancestor" });
            }
        }
    }
    Ok(all.into_iter().collect())
}

/// Values of `to` in the rows of a vocabulary table whose `from` is one of `ids`; None without the table.
async fn column(
    ctx: &SessionContext,
    vocabulary: Option<&SiteExtract>,
    name: &str,
    from: &str,
    to: &str,
    ids: &BTreeSet<i64>,
) -> Result<Option<BTreeSet<i64>>, Error> {
    let Some(site) = vocabulary.filter(|v| v.extract.table(name).is_some()) else {
        return Ok(None);
    };
    // Concept ids are the policy's, not a person's: they may be literals.
    let wanted = ids.iter().map(|id| lit(*id)).collect();
    let rows = table::scan(ctx, site, name).await?;
    let rows = rows.filter(ident(from).in_list(wanted, false)).and_then(|d| d.select([ident(to)]));
    let batches = rows.map_err(Error::query(name))?.collect().await.map_err(Error::query(name))?;
    let values = batches.iter().flat_map(|b| b.column(0).as_primitive::<Int64Type>().iter());
    Ok(Some(values.flatten().collect()))
}
