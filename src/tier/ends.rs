//! The last day of streams: what `truncate_edges` counts back from.
//!
//! Feeds are drawn before the reference date, some weeks before it. A stream that runs to the day of the draw ends,
//! shifted, at that day less the shift, which is before the reference date less 364 for whoever has a long shift;
//! so the last day is that of the data, column by column, and the reference date only where rows go beyond it.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, TimestampMicrosecondType};
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::prelude::{Expr, SessionContext, ident};

use super::functions::DAY_MICROS;
use super::{Error, TierRequest, rules, table};
use crate::config::CivilDate;
use crate::config::policy::Edges;

/// Last true day by table and column, days since 1970-01-01; columns without any are not in it.
pub(super) type LastDays = BTreeMap<(&'static str, &'static str), i32>;

/// The last days of the tables of `edges`, whoever has them, none after the reference date.
pub(super) async fn last_days(
    ctx: &SessionContext,
    request: &TierRequest,
    edges: &Edges,
) -> Result<LastDays, Error> {
    let reference = CivilDate(request.reference_date).epoch_days();
    let mut days = LastDays::new();
    for name in edges.tables.iter().chain(&edges.clip_tables) {
        let sites = || request.extracts.iter().filter(|s| s.extract.table(name).is_some());
        let Some(spec) = table::merged_spec(name, sites()) else { continue };
        for site in sites() {
            let rows = table::scan(ctx, site, name).await?;
            let there = |column: &str| rows.schema().has_column_with_unqualified_name(column);
            let columns: Vec<&'static str> = spec
                .fields
                .iter()
                .filter(|f| rules::is_date(f) && there(f.name))
                .map(|f| f.name)
                .collect();
            let ends: Vec<Expr> = columns.iter().map(|c| max(ident(*c)).alias(*c)).collect();
            let rows = rows.aggregate(vec![], ends).map_err(Error::query(name))?;
            for batch in rows.collect().await.map_err(Error::query(name))? {
                for column in &columns {
                    let Some(day) = last_of(&batch, column) else { continue };
                    let last = days.entry((spec.name, *column)).or_insert(i32::MIN);
                    *last = (*last).max(day.min(reference));
                }
            }
        }
    }
    Ok(days)
}

/// The day in the one row of maxima.
fn last_of(batch: &RecordBatch, column: &str) -> Option<i32> {
    let ends = batch.column_by_name(column).filter(|ends| !ends.is_empty() && ends.is_valid(0))?;
    match ends.data_type() {
        DataType::Date32 => Some(ends.as_primitive_opt::<Date32Type>()?.value(0)),
        _ => {
            let micros = ends.as_primitive_opt::<TimestampMicrosecondType>()?.value(0);
            i32::try_from(micros.div_euclid(DAY_MICROS)).ok()
        }
    }
}
