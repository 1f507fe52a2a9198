//! The feeds of records: vocabulary, extracts, wearables, and the roster that their people are on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Bench, Made};
use crate::config::DateBasis;
use crate::engine::{Job, Keyring, Ledger, StageOutput, TableLedger};
use crate::identity::{self, PersonId, Standing};
use crate::omop::{self, ExtractRequest, Scope};
use crate::pipeline::{Error, Work};

impl Bench<'_> {
    pub(super) fn vocabulary(&mut self, job: &Job) -> Result<Made, Error> {
        let Some(vocabulary) = &self.project.workflow.vocabulary else {
            return Ok(Made::default());
        };
        let request = ExtractRequest {
            site: "vocabulary".into(),
            path: self.project.path(&vocabulary.path),
            cdm: self.project.cdm(),
            scope: Scope::Vocabulary,
            shift_map: None,
            encoding: Default::default(),
            max_rejected: Default::default(),
        };
        let made = self.ingest(&Work::Vocabulary, &request, job)?;
        let stated = vocabulary.version.clone();
        if let Some((stated, tables)) = stated.zip(self.vocabulary_tables()) {
            let found = tables.vocabulary_version()?;
            if found.as_ref() != Some(&stated) {
                return Err(Error::VocabularyVersion { stated, found });
            }
        }
        Ok(made)
    }

    pub(super) fn extract(&mut self, site: &str, job: &Job) -> Result<Made, Error> {
        let feed = &self.project.workflow.ehr[site];
        let whole = self.project.workflow.vocabulary.is_none();
        let request = ExtractRequest {
            site: site.to_owned(),
            path: self.project.path(&feed.path),
            cdm: feed.cdm,
            scope: if whole { Scope::Both } else { Scope::Records },
            shift_map: self.shift_map(feed.dates, feed.shift_map.as_deref())?,
            encoding: feed.encoding,
            max_rejected: feed.max_rejected,
        };
        self.ingest(&Work::Ehr(site.to_owned()), &request, job)
    }

    pub(super) fn wearables(&mut self, name: &str, job: &Job) -> Result<Made, Error> {
        let feed = &self.project.workflow.wearables[name];
        let request = ExtractRequest {
            site: name.to_owned(),
            path: self.project.path(&feed.path),
            cdm: self.project.cdm(),
            scope: Scope::Wearables,
            encoding: Default::default(),
            max_rejected: Default::default(),
            shift_map: self.shift_map(feed.dates, feed.shift_map.as_deref())?,
        };
        self.ingest(&Work::Wearables(name.to_owned()), &request, job)
    }

    fn ingest(&mut self, work: &Work, request: &ExtractRequest, job: &Job) -> Result<Made, Error> {
        let extract = omop::ingest(request, job)?;
        let output = extract.output.clone();
        self.keep(work, extract.clone(), job.out.clone());
        Ok(Made { output, extract: Some(extract) })
    }

    fn shift_map(
        &self,
        dates: DateBasis,
        map: Option<&Path>,
    ) -> Result<Option<BTreeMap<i64, i32>>, Error> {
        match (dates, map) {
            (DateBasis::Shifted, Some(path)) => {
                Ok(Some(identity::shift_map(&self.project.path(path))?))
            }
            _ => Ok(None),
        }
    }

    /// Everybody in a person table is on the roster; the books say who takes part.
    pub(super) fn link(&self, keyring: &Keyring) -> Result<StageOutput, Error> {
        let roster = self.roster()?;
        let mut persons: BTreeSet<PersonId> = BTreeSet::new();
        for (site, typed) in &self.extracts {
            let found = typed.extract.persons(&typed.root, keyring)?;
            let file = self.project.path(&self.project.workflow.ehr[site].path);
            persons.extend(found.into_iter().map(PersonId));
            identity::link::check_persons(roster, &file, persons.iter().copied())?;
        }
        let mut books = TableLedger::new("participants");
        for (_, standing) in roster.iter() {
            books.rows_in += 1;
            match standing {
                Standing::Participating { ehr, genomics } => {
                    books.rows_out += 1;
                    books.note("no_ehr_consent", u64::from(!ehr));
                    books.note("no_genomics_consent", u64::from(!genomics));
                }
                Standing::Withdrawn => books.exclude("withdrawn", 1),
                Standing::NoConsent => books.exclude("no_primary_consent", 1),
            }
        }
        if !self.extracts.is_empty() {
            books.note("no_ehr_record", identity::link::count_without_ehr(roster, &persons));
        }
        Ok(StageOutput { ledger: Ledger(vec![books]), files: Vec::new() })
    }
}
