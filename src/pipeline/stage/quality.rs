//! Checks, analyses and unmapped codes of the curated records.

use std::collections::BTreeSet;

use super::Bench;
use crate::config::Quality;
use crate::engine::{Job, StageOutput};
use crate::omop::Extract;
use crate::pipeline::Error;
use crate::quality::report::{CheckSummary, RuleCount};
use crate::quality::{self, achilles, dqd};
use crate::tier::SiteExtract;
use crate::vocabulary::{self, UnmappedRequest, Vocabulary};

fn check_summary(result: dqd::CheckResult) -> CheckSummary {
    CheckSummary {
        check_name: result.check_name,
        cdm_table_name: result.cdm_table_name.to_lowercase(),
        cdm_field_name: result.cdm_field_name.unwrap_or_default().to_lowercase(),
        category: result.category,
        num_violated_rows: result.num_violated_rows,
        num_denominator_rows: result.num_denominator_rows,
        threshold: result.threshold_value.unwrap_or_default(),
        failed: result.failed == 1,
        not_applicable: result.not_applicable == 1,
        is_error: result.is_error == 1,
    }
}

/// What each curation rule did to each table, from the books of curation.
fn rule_counts(curated: &Extract) -> Vec<RuleCount> {
    let mut counts = Vec::new();
    for books in &curated.output.ledger.0 {
        let Some(table) = books.table.strip_prefix("curated/") else { continue };
        let did = [&books.excluded, &books.changed, &books.made];
        let rules: BTreeSet<&String> = did.iter().flat_map(|of| of.keys()).collect();
        counts.extend(rules.into_iter().map(|rule| RuleCount {
            rule: rule.clone(),
            table: table.to_owned(),
            removed: books.excluded.get(rule).copied().unwrap_or(0),
            changed: books.changed.get(rule).copied().unwrap_or(0),
            made: books.made.get(rule).copied().unwrap_or(0),
        }));
    }
    counts
}

impl Bench<'_> {
    /// Checks, unmapped codes, analyses and the page that shows them, of the curated records.
    pub(super) fn quality(&self, job: &Job) -> Result<StageOutput, Error> {
        let (Some(settings), Some(records)) = (&self.project.workflow.quality, self.curated())
        else {
            return Err(Error::Internal { what: "quality without curated records".into() });
        };
        let mut output = StageOutput::default();
        let mut add = |more: StageOutput| {
            output.ledger.0.extend(more.ledger.0);
            output.files.extend(more.files);
        };
        let mut checks = Vec::new();
        if settings.checks {
            let (made, found) = self.checks(settings, &records, job)?;
            checks = found;
            add(made);
        }
        add(self.unmapped(settings, &records, job)?);
        if settings.analyses {
            add(self.analyses(settings, &records, &checks, job)?);
        }
        output.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(output)
    }

    fn checks(
        &self,
        settings: &Quality,
        records: &SiteExtract,
        job: &Job,
    ) -> Result<(StageOutput, Vec<CheckSummary>), Error> {
        let request = dqd::Request {
            tables: records.clone(),
            vocabulary: self.vocabulary_tables(),
            overrides: settings.thresholds.as_ref().map(|path| self.project.path(path)),
            reference_date: self.project.workflow.workflow.reference_date.0,
        };
        let (made, results) = dqd::check(&request, job)?;
        Ok((made, results.into_iter().map(check_summary).collect()))
    }

    fn unmapped(
        &self,
        settings: &Quality,
        records: &SiteExtract,
        job: &Job,
    ) -> Result<StageOutput, Error> {
        // What codes map to and are called.
        let load = vocabulary::Load { ancestors: false, relations: true };
        let tables = self.vocabulary_tables();
        let index = tables.map(|tables| Vocabulary::open_parts(&tables, load, job)).transpose()?;
        let request = UnmappedRequest {
            extracts: &self.records(&self.project.workflow.curation).0,
            people: Some(records),
            vocabulary: index.as_ref(),
            min_persons: settings.min_persons,
            folder: "quality/vocabulary".into(),
        };
        Ok(vocabulary::unmapped(&request, job)?.output)
    }

    /// What Achilles counts, and the page of all that was found.
    fn analyses(
        &self,
        settings: &Quality,
        records: &SiteExtract,
        checks: &[CheckSummary],
        job: &Job,
    ) -> Result<StageOutput, Error> {
        let vocabulary = self.vocabulary_tables();
        let request = achilles::Request {
            tables: records.clone(),
            vocabulary: vocabulary.clone(),
            small_cell_count: u64::from(settings.small_cell_count),
            reference_date: self.project.workflow.workflow.reference_date.0,
        };
        let mut output = achilles::analyse(&request, job)?;
        let page = quality::report::Request {
            title: &self.project.workflow.workflow.name,
            results: &job.out,
            vocabulary: vocabulary.as_ref(),
            small_cell_count: settings.small_cell_count.into(),
            checks,
            rules: &rule_counts(&records.extract),
        };
        output.files.push(quality::report::write(&page, job)?);
        Ok(output)
    }
}
