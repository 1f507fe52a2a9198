//! The analyses that are run: number, name and the meaning of the strata.
//!
//! `catalogue.tsv` is cut from Achilles' `achilles_analysis_details.csv` (Apache-2.0).

/// One analysis.
#[derive(Debug, Clone, Copy)]
pub(super) struct Analysis {
    pub id: u16,
    pub category: &'static str,
    pub name: &'static str,
    /// Names of the five strata; empty when not used.
    pub strata: [&'static str; 5],
}

/// All analyses, by number.
pub(super) fn analyses() -> impl Iterator<Item = Analysis> {
    include_str!("catalogue.tsv").lines().skip(1).filter_map(|line| {
        let mut cells = line.split('\t');
        let id = cells.next()?.parse().ok()?;
        let (_kind, category, name) = (cells.next()?, cells.next()?, cells.next()?);
        let strata = std::array::from_fn(|_| cells.next().unwrap_or_default());
        Some(Analysis { id, category, name, strata })
    })
}
