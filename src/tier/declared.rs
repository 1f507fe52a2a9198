//! The columns of typed tables, held against the CDM before any table is built.

use datafusion::prelude::SessionContext;

use super::rules::{self, Class};
use super::{Error, TierRequest, table};
use crate::omop::cdm;

/// Every column of every table about persons is declared, with its type: what is not declared has no
/// rule, and could hold days in any guise.
///
/// # Errors
/// [`Error::UndeclaredColumn`] for the first that is not.
pub(super) async fn check(ctx: &SessionContext, request: &TierRequest) -> Result<(), Error> {
    for site in &request.extracts {
        let model = cdm(site.extract.cdm);
        for spec in site.extract.tables.iter().filter_map(|t| model.table(&t.name)) {
            if !matches!(rules::class(spec), Class::Person | Class::PersonLevel) {
                continue;
            }
            let rows = table::scan(ctx, site, spec.name).await?;
            for column in rows.schema().fields() {
                let kind = spec.field(column.name()).map(|field| field.kind.data_type());
                if kind.as_ref() != Some(column.data_type()) {
                    let (table, column) = (spec.name.to_owned(), column.name().clone());
                    return Err(Error::UndeclaredColumn { table, column });
                }
            }
        }
    }
    Ok(())
}
