//! What is in a programme, counted as it was made: the content of `truth.json`.

use serde::Serialize;

use super::SynthRequest;
use super::calendar::REFERENCE;
use super::feed::TableTruth;
use super::haplotype::PLANTED_FREQUENCY;
use super::health::{DIABETES, ODDS_PER_COPY};
use super::people::{Cohort, sample_name};
use super::site::Site;
use super::vcf::SiteCounts;

/// What was made. Serialises to `truth.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SynthReport {
    /// Version of this document.
    pub format: u32,
    /// Seed asked for.
    pub seed: u64,
    /// Variants asked for.
    pub variants: u32,
    /// Date at which ages are counted.
    pub reference_date: String,
    /// Who is in it.
    pub participants: ParticipantTruth,
    /// Sample columns of the VCF files.
    pub samples: u64,
    /// The VCF files, in chromosome order.
    pub vcf: Vec<VcfTruth>,
    /// Records of `array/array.vcf.gz`: common named biallelic SNVs, some of those of the VCF files.
    pub array_records: u64,
    /// The text tables, sorted by file.
    pub tables: Vec<TableTruth>,
    /// Related pairs.
    pub relatives: Vec<RelativeTruth>,
    /// The planted association; absent when there are no variants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association: Option<Association>,
}

/// Participants by what a release must know of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ParticipantTruth {
    /// All.
    pub persons: u64,
    /// Women.
    pub female: u64,
    /// Withdrawn.
    pub withdrawn: u64,
    /// Without EHR consent.
    pub no_ehr_consent: u64,
    /// Without genomics consent.
    pub no_genomics_consent: u64,
    /// Without a sample.
    pub no_sample: u64,
    /// Dead by the reference date.
    pub deaths: u64,
    /// Of 88 years on the reference date.
    pub aged_88: u64,
    /// Of 89 years or more on the reference date.
    pub aged_89_and_over: u64,
}

/// One VCF file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VcfTruth {
    /// File, relative to the programme's folder.
    pub file: String,
    /// Its records by kind.
    #[serde(flatten)]
    pub sites: SiteCounts,
}

/// Two related people who both have a sample (or one of whom has none, then its name is absent).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RelativeTruth {
    /// `parent_child`, `siblings` or `identical_twins`.
    pub relation: &'static str,
    /// Their person ids in the raw feed; a parent comes first.
    pub person_ids: [i64; 2],
    /// Their samples.
    pub sample_ids: [Option<String>; 2],
}

/// The planted genotype-phenotype association, and the table of carriers against cases that it left
/// among people with a called genotype.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Association {
    /// Chromosome.
    pub chrom: String,
    /// 1-based position.
    pub pos: u32,
    /// Reference allele.
    pub reference: String,
    /// Risk allele.
    pub alt: String,
    /// Variant id of the release: `<chrom>-<pos>-<ref>-<alt>`.
    pub vid: String,
    /// ID column.
    pub rsid: Option<String>,
    /// Risk allele frequency before drift.
    pub allele_frequency: f64,
    /// Condition concept of the phenotype (type 2 diabetes).
    pub condition_concept_id: u32,
    /// Factor on the odds for each copy of the risk allele.
    pub odds_per_copy: f64,
    /// Carriers with the condition.
    pub carriers_with: u64,
    /// Carriers without.
    pub carriers_without: u64,
    /// Non-carriers with the condition.
    pub others_with: u64,
    /// Non-carriers without.
    pub others_without: u64,
}

impl Association {
    pub(super) fn count(
        chrom: &str,
        site: &Site,
        dosage: &[Option<u8>],
        cohort: &Cohort,
        cases: &[bool],
    ) -> Self {
        let mut cells = [[0_u64; 2]; 2];
        for (copies, &who) in dosage.iter().zip(&cohort.samples) {
            if let Some(copies) = copies {
                cells[usize::from(*copies == 0)][usize::from(!cases[who as usize])] += 1;
            }
        }
        let [[carriers_with, carriers_without], [others_with, others_without]] = cells;
        Self {
            chrom: chrom.to_owned(),
            pos: site.pos,
            reference: site.reference.clone(),
            alt: site.alt.clone(),
            vid: format!("{chrom}-{}-{}-{}", site.pos, site.reference, site.alt),
            rsid: site.rsid.map(|n| format!("rs{n}")),
            allele_frequency: PLANTED_FREQUENCY,
            condition_concept_id: DIABETES,
            odds_per_copy: ODDS_PER_COPY,
            carriers_with,
            carriers_without,
            others_with,
            others_without,
        }
    }

    /// Odds ratio of the condition, carriers against others; half a person is added to each cell.
    pub fn odds_ratio(&self) -> f64 {
        let cell = |n: u64| n as f64 + 0.5;
        cell(self.carriers_with) * cell(self.others_without)
            / (cell(self.carriers_without) * cell(self.others_with))
    }
}

impl SynthReport {
    pub(super) fn new(
        request: &SynthRequest,
        cohort: &Cohort,
        (vcf, array_records): (Vec<VcfTruth>, u64),
        tables: Vec<TableTruth>,
        association: Option<Association>,
    ) -> Self {
        Self {
            format: 1,
            seed: request.seed,
            variants: request.variants,
            reference_date: REFERENCE.to_string(),
            participants: ParticipantTruth::count(cohort),
            samples: cohort.samples.len() as u64,
            vcf,
            array_records,
            tables,
            relatives: relatives(cohort),
            association,
        }
    }

    /// The text of `truth.json`.
    pub(super) fn to_json(&self) -> String {
        // Plain structs with string keys always serialise.
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

impl ParticipantTruth {
    fn count(cohort: &Cohort) -> Self {
        let count = |test: &dyn Fn(&super::people::Person) -> bool| {
            cohort.people.iter().filter(|p| test(p)).count() as u64
        };
        Self {
            persons: cohort.people.len() as u64,
            female: count(&|p| p.female),
            withdrawn: count(&|p| p.withdrawn.is_some()),
            no_ehr_consent: count(&|p| !p.ehr),
            no_genomics_consent: count(&|p| !p.genomics),
            no_sample: count(&|p| p.sample.is_none()),
            deaths: count(&|p| p.death.is_some()),
            aged_88: count(&|p| p.age() == 88),
            aged_89_and_over: count(&|p| p.age() >= 89),
        }
    }
}

fn relatives(cohort: &Cohort) -> Vec<RelativeTruth> {
    let person = |i: u32| &cohort.people[i as usize];
    cohort
        .relatives
        .iter()
        .map(|r| RelativeTruth {
            relation: r.relation,
            person_ids: [r.a, r.b].map(|i| person(i).id),
            sample_ids: [r.a, r.b].map(|i| person(i).sample.map(sample_name)),
        })
        .collect()
}
