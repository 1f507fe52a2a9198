//! Extracts united, cleaned and completed.

use std::collections::BTreeMap;

use super::{Bench, Made};
use crate::config::{CivilDate, Curation, FeedSource, Periods};
use crate::curation;
use crate::derived;
use crate::engine::{Job, TableLedger};
use crate::identity::{Roster, Standing};
use crate::omop;
use crate::pipeline::{Error, Work};
use crate::tier::SiteExtract;
use crate::vocabulary::{self, Vocabulary};

/// People whose records are left out, and why.
fn left_out(roster: &Roster) -> BTreeMap<i64, &'static str> {
    let reason = |standing| match standing {
        Standing::Participating { ehr: true, .. } => None,
        Standing::Participating { ehr: false, .. } => Some(curation::NO_EHR_CONSENT),
        Standing::Withdrawn => Some("withdrawn"),
        Standing::NoConsent => Some("no_primary_consent"),
    };
    roster.iter().filter_map(|(person, standing)| Some((person.0, reason(standing)?))).collect()
}

impl Bench<'_> {
    /// The extracts as one, cleaned and completed.
    pub(super) fn curate(&mut self, job: &Job) -> Result<Made, Error> {
        let settings = &self.project.workflow.curation;
        let roster = self.roster()?;
        let (extracts, anew) = self.records(settings);
        let feeds = self.extracts.keys().map(|name| &self.project.workflow.ehr[name]);
        let mut ehr: Vec<bool> = feeds.map(|feed| feed.source == FeedSource::Ehr).collect();
        ehr.resize(extracts.len(), false);
        let cutoff = settings.cutoff.unwrap_or(self.project.workflow.workflow.reference_date);
        let rules = curation::Rules::read(&self.project.curation_rules())?;
        let vocabulary = match self.vocabulary_tables().filter(|_| rules.vocabulary().is_some()) {
            Some(tables) => {
                let load = vocabulary::Load { ancestors: false, relations: true };
                Some(Vocabulary::open_parts(&tables, load, job)?)
            }
            None => None,
        };
        let request = curation::Request {
            extracts,
            ehr,
            rules,
            vocabulary,
            excluded: left_out(roster),
            deactivated: roster
                .deactivation_dates()
                .map(|(person, day)| (person.0, CivilDate(day).epoch_days()))
                .collect(),
            cutoff: cutoff.epoch_days(),
            sandbox: settings.sandbox,
            mapping: settings.mapping,
        };
        let extract = curation::curate(&request, job)?;
        let mut records = SiteExtract { extract, root: job.out.clone() };
        let vocabulary = self.vocabulary_tables();
        let (tables, ledger) = derived::build(
            &derived::Request {
                records: &records,
                vocabulary: vocabulary.as_ref(),
                folder: curation::SITE,
                eras: settings.eras,
                periods: settings.observation_periods == Periods::FirstToLast,
                summaries: !records.files("person").is_empty(),
                cutoff: cutoff.epoch_days(),
                reference_date: self.project.workflow.workflow.reference_date.epoch_days(),
                known: self.known(roster)?,
            },
            job,
        )?;
        let extract = &mut records.extract;
        extract.tables.extend(tables);
        extract.tables.sort_by(|a, b| a.name.cmp(&b.name));
        extract.output.ledger.0.extend(anew);
        extract.output.ledger.0.extend(ledger.0);
        let output = extract.output.clone();
        self.keep(&Work::Curate, extract.clone(), job.out.clone());
        Ok(Made { output, extract: Some(records.extract) })
    }

    /// The records of all feeds without the vocabulary, and the books of tables that are built anew.
    pub(super) fn records(&self, settings: &Curation) -> (Vec<SiteExtract>, Vec<TableLedger>) {
        let mut anew: BTreeMap<&str, TableLedger> = BTreeMap::new();
        let eras = if settings.eras { &["condition_era", "drug_era", "dose_era"][..] } else { &[] };
        let periods = settings.observation_periods == Periods::FirstToLast;
        for name in eras.iter().copied().chain(periods.then_some("observation_period")) {
            anew.insert(name, TableLedger::new(format!("curated/{name}")));
        }
        let mut extracts = Vec::new();
        for typed in self.extracts.values().chain(self.wearables.values()) {
            let mut extract = typed.extract.clone();
            extract.tables.retain(|table| {
                if let Some(books) = anew.get_mut(table.name.as_str()) {
                    books.rows_in += table.rows;
                    books.exclude("built_anew", table.rows);
                    return false;
                }
                !omop::is_vocabulary(&table.name)
            });
            extracts.push(SiteExtract { extract, root: typed.root.clone() });
        }
        (extracts, anew.into_values().collect())
    }

    /// What other feeds say of people.
    fn known(&self, roster: &Roster) -> Result<derived::Known, Error> {
        let mut known = derived::Known::default();
        for (person, date) in roster.consent_dates() {
            known.consent.insert(person.0, CivilDate(date).epoch_days());
        }
        for (name, feed) in &self.project.workflow.callset {
            let sheet = self.sample_links(name, feed)?;
            let people = sheet.into_iter().map(|person| person.0);
            let array = !feed.final_report.is_empty() || name.contains("array");
            if array { known.array.extend(people) } else { known.wgs.extend(people) }
        }
        Ok(known)
    }
}
