//! A made-up research programme: genomes, health records, surveys, wearables, roster and maps that
//! belong together, with known truth.
//!
//! The quickstart, the benches and the scale tests run on it. Everything is drawn from counter-based
//! random numbers, so that a seed gives the same bytes on any number of threads; nobody in it exists.
//!
//! Folder layout (what a workflow points at):
//!
//! ```text
//! participants.csv  sample_person.csv  ancestry_preds.tsv  sample_sex.tsv
//! wgs/wgs.chr20.vcf.gz ...  array/array.vcf.gz  omop/*.csv[.gz]  (CDM 5.4)
//! vocabulary/*.csv  (Athena layout)    wearables/*.csv.gz
//! truth.json        what was planted, and the rows of every table
//! ```

mod bgzf;
mod calendar;
mod feed;
mod haplotype;
mod health;
mod people;
mod random;
mod site;
mod survey;
mod truth;
mod vcf;
mod vocabulary;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use feed::TableTruth;
pub use truth::{Association, ParticipantTruth, RelativeTruth, SynthReport, VcfTruth};
pub use vcf::SiteCounts;

use crate::engine::Progress;
use crate::error::{Coded, IoError};
use calendar::Day;
use feed::{Lines, TableWriter};
use haplotype::Panel;
use health::{Chart, Feed, TABLES, Table};
use people::{Cohort, GROUPS, sample_name};

/// People whose rows are gathered before they are written.
const PEOPLE_CHUNK: usize = 128;
/// A person who is in no table: rows of this person are orphans.
const NOBODY: i64 = 3_999_999_999;
/// Row ids of planted dirty rows start here.
const DIRTY_ID: i64 = 9_000_000_000_000_000;

/// What to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SynthRequest {
    /// Number of participants, at least 1.
    pub persons: u32,
    /// Number of variants over all chromosomes.
    pub variants: u32,
    /// Seed; the same seed and sizes give the same bytes.
    pub seed: u64,
    /// Folder to make; must be absent or empty.
    pub out: PathBuf,
    /// Worker threads, at least 1. Never changes what is written.
    pub threads: usize,
}

/// Why a programme could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be written.
    #[error(transparent)]
    Io(#[from] IoError),
    /// There is something in the folder already.
    #[error("{} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// No people were asked for.
    #[error("a programme needs at least one person")]
    NoPersons,
    /// The chromosomes have no room.
    #[error("too many variants: at most {most} fit")]
    TooManyVariants {
        /// Most variants that fit.
        most: u32,
    },
    /// The operating system gave no threads.
    #[error("starting worker threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::NotEmpty { .. } => "synth::not_empty",
            Self::NoPersons => "synth::no_persons",
            Self::TooManyVariants { .. } => "synth::too_many_variants",
            Self::Threads(_) => "synth::threads",
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::NotEmpty { .. } => Some("name a new folder, or empty this one first".into()),
            Self::NoPersons => Some("ask for 1 person or more".into()),
            Self::TooManyVariants { most } => Some(format!("ask for {most} variants or fewer")),
            Self::Threads(_) => None,
        }
    }

    fn is_unexpected(&self) -> bool {
        matches!(self, Self::Threads(_))
    }
}

/// Makes a programme in `request.out` and returns what is in it; the same goes to `truth.json`, which is
/// written last.
///
/// Progress counts variants and people.
///
/// # Errors
/// When the folder is not empty or cannot be written, or the request cannot be met.
pub fn generate(request: &SynthRequest, progress: &dyn Progress) -> Result<SynthReport, Error> {
    if request.persons == 0 {
        return Err(Error::NoPersons);
    }
    let chromosomes = site::layout(request.variants)?;
    let out = &request.out;
    std::fs::create_dir_all(out).map_err(IoError::at("creating", out))?;
    let mut entries = std::fs::read_dir(out).map_err(IoError::at("reading", out))?;
    if entries.next().is_some() {
        return Err(Error::NotEmpty { path: out.clone() });
    }
    progress.expect(u64::from(request.variants) + u64::from(request.persons));
    let pool = rayon::ThreadPoolBuilder::new().num_threads(request.threads.max(1)).build()?;
    pool.install(|| make(request, &chromosomes, progress))
}

fn make(
    request: &SynthRequest,
    chromosomes: &[site::Chromosome],
    progress: &dyn Progress,
) -> Result<SynthReport, Error> {
    let (seed, out) = (request.seed, request.out.as_path());
    let cohort = Cohort::draw(seed, request.persons);
    let panel = Panel::new(seed, &cohort);
    let planted = vcf::planted(chromosomes);
    let mut tables = write_roster(out, &cohort)?;
    tables.extend(vocabulary::write(out)?);

    let wgs = out.join("wgs");
    std::fs::create_dir_all(&wgs).map_err(IoError::at("creating", &wgs))?;
    let mut files = Vec::new();
    for chromosome in chromosomes {
        let file = format!("wgs/wgs.{}.vcf.gz", chromosome.name());
        let path = out.join(&file);
        let threads = request.threads;
        let sites =
            vcf::write(&path, seed, &panel, (chromosomes, chromosome), planted, threads, progress)?;
        files.push(VcfTruth { file, sites });
    }

    let array = out.join("array");
    std::fs::create_dir_all(&array).map_err(IoError::at("creating", &array))?;
    let path = array.join("array.vcf.gz");
    let array = vcf::write_array(&path, seed, &panel, chromosomes, planted, request.threads)?;

    let carried = planted.and_then(|p| {
        let chromosome = chromosomes.iter().find(|c| c.number == p.chromosome)?;
        let (here, dosage) = vcf::planted_dosage(seed, &panel, chromosome, p);
        Some((chromosome.name(), here, dosage))
    });
    let dosages: Option<&[Option<u8>]> = carried.as_ref().map(|(_, _, d)| d.as_slice());
    let diabetes = draw_diabetes(seed, &cohort, dosages);
    tables.extend(write_health(request, &cohort, &diabetes, progress)?);
    tables.sort_by(|a, b| a.file.cmp(&b.file));
    let association = carried.map(|(chromosome, here, dosage)| {
        Association::count(&chromosome, &here, &dosage, &cohort, &diabetes)
    });
    let report = SynthReport::new(request, &cohort, (files, array), tables, association);
    let path = out.join("truth.json");
    std::fs::write(&path, report.to_json()).map_err(IoError::at("writing", &path))?;
    Ok(report)
}

fn draw_diabetes(seed: u64, cohort: &Cohort, dosages: Option<&[Option<u8>]>) -> Vec<bool> {
    (0..)
        .zip(&cohort.people)
        .map(|(index, person)| {
            let copies = person.sample.and_then(|s| *dosages?.get(s as usize)?);
            health::has_diabetes(seed, index, person, copies)
        })
        .collect()
}

/// The roster and the maps from samples to people, ancestry and sex.
fn write_roster(out: &Path, cohort: &Cohort) -> Result<Vec<TableTruth>, IoError> {
    let yes = |b: bool| if b { "yes" } else { "no" };
    let mut roster = Lines::default();
    for p in &cohort.people {
        let (consent, ehr) = (p.consent, p.ehr);
        let ehr_day = if ehr { consent.to_string() } else { String::new() };
        let status = if p.withdrawn.is_some() { "withdrawn" } else { "not_withdrawn" };
        let withdrawn = p.withdrawn.map(|d: Day| d.to_string()).unwrap_or_default();
        roster.row(format_args!(
            "{},yes,{consent},{},{ehr_day},{},{status},{withdrawn}",
            p.id,
            yes(ehr),
            yes(p.genomics)
        ));
    }
    let (mut map, mut ancestry, mut sex) = <(Lines, Lines, Lines)>::default();
    for (column, &who) in (0..).zip(&cohort.samples) {
        let (sample, p) = (sample_name(column), &cohort.people[who as usize]);
        map.row(format_args!("{sample},{}", p.id));
        ancestry.row(format_args!("{sample}\t{}\t{}", GROUPS[p.group], p.population));
        sex.row(format_args!("{sample}\t{}", if p.female { "female" } else { "male" }));
    }
    let roster_header = "person_id,primary_consent,primary_consent_date,ehr_consent,\
                         ehr_consent_date,genomics_consent,withdrawal_status,withdrawal_date";
    [
        ("participants.csv", roster_header, roster),
        ("sample_person.csv", "sample_id,person_id", map),
        ("ancestry_preds.tsv", "sample_id\tancestry_pred\tpopulation", ancestry),
        ("sample_sex.tsv", "sample_id\tsex", sex),
    ]
    .into_iter()
    .map(|(file, header, lines)| write_small(out, file, header, &lines))
    .collect()
}

fn write_small(out: &Path, file: &str, header: &str, lines: &Lines) -> Result<TableTruth, IoError> {
    let mut table = TableWriter::create(out, file, header)?;
    table.append(lines)?;
    table.finish()
}

/// All OMOP and wearable tables, people in order, a wave of chunks at a time.
fn write_health(
    request: &SynthRequest,
    cohort: &Cohort,
    diabetes: &[bool],
    progress: &dyn Progress,
) -> Result<Vec<TableTruth>, Error> {
    let out = request.out.as_path();
    let mut tables = TABLES
        .iter()
        .map(|(file, header)| TableWriter::create(out, file, header))
        .collect::<Result<Vec<_>, _>>()?;
    let starts: Vec<usize> = (0..cohort.people.len()).step_by(PEOPLE_CHUNK).collect();
    let mut first_rows: Option<Feed> = None;
    for wave in starts.chunks(request.threads.max(1) * 2) {
        let feeds: Vec<Feed> = wave
            .par_iter()
            .map(|&start| {
                let end = (start + PEOPLE_CHUNK).min(cohort.people.len());
                let mut feed = Feed::default();
                let chunk = cohort.people[start..end].iter().zip(&diabetes[start..end]);
                for (index, (person, &diabetes)) in (start as u32..).zip(chunk) {
                    let mut chart = Chart::new(request.seed, index, person, diabetes, &mut feed);
                    chart.write_ehr();
                    chart.write_surveys();
                    chart.write_wearables();
                }
                progress.advance((end - start) as u64);
                feed
            })
            .collect();
        for feed in feeds {
            for (table, lines) in tables.iter_mut().zip(&feed) {
                table.append(lines)?;
            }
            first_rows.get_or_insert(feed);
        }
    }
    if let Some(first) = &first_rows {
        dirty(&mut tables, first, cohort)?;
    }
    let mut truth = tables.into_iter().map(TableWriter::finish).collect::<Result<Vec<_>, _>>()?;
    truth.extend(write_places(out)?);
    Ok(truth)
}

/// A handful of rows that a careful reader refuses, at the end of their files.
fn dirty(tables: &mut [TableWriter], first: &Feed, cohort: &Cohort) -> Result<(), IoError> {
    for (table, rows) in
        [(Table::Condition, 2), (Table::Measurement, 2), (Table::Drug, 1), (Table::Visit, 1)]
    {
        let mut copies = Lines::default();
        let text = &first[table as usize].text;
        text.lines().take(rows).for_each(|line| copies.row(format_args!("{line}")));
        tables[table as usize].append_dirty("duplicate_key", &copies)?;
    }
    let somebody = cohort.people[0].id;
    let mut next = DIRTY_ID;
    for (person, day, reason) in [
        (somebody, "2019-02-30", "unparsable_date"),
        (somebody, "last spring", "unparsable_date"),
        (NOBODY, "2019-03-01", "orphan_person"),
        (NOBODY, "2021-07-15", "orphan_person"),
    ] {
        next += 1;
        let one = |line: std::fmt::Arguments<'_>| {
            let mut lines = Lines::default();
            lines.row(line);
            lines
        };
        let condition =
            one(format_args!("{next},{person},320128,{day},,,,32817,0,,,,,I10,35207668,"));
        tables[Table::Condition as usize].append_dirty(reason, &condition)?;
        let measurement = one(format_args!(
            "{next},{person},3004249,{day},,,32817,0,121.0,0,8876,,,,,,8480-6,0,mm[Hg],0,121.0,,"
        ));
        tables[Table::Measurement as usize].append_dirty(reason, &measurement)?;
        let drug = one(format_args!(
            "{next},{person},1308216,{day},,2021-08-01,,,32817,,0,30,30,1 tablet daily,0,,,,,29046,0,,"
        ));
        tables[Table::Drug as usize].append_dirty(reason, &drug)?;
        if person == NOBODY {
            let period = one(format_args!("{next},{person},{day},2022-01-01,32817"));
            tables[Table::ObservationPeriod as usize].append_dirty(reason, &period)?;
        }
    }
    Ok(())
}

/// Care sites, providers, locations and the extract's description; a few tables with headers only.
fn write_places(out: &Path) -> Result<Vec<TableTruth>, IoError> {
    let (mut sites, mut providers, mut places) = <(Lines, Lines, Lines)>::default();
    for site in 1..=3 {
        sites.row(format_args!("{site},Fake Clinic {site},0,{site},FAKE-SITE-{site},"));
        places.row(format_args!(
            "{site},{site} Fake Avenue,,Faketown,CA,9000{site},,FAKE-LOC-{site},0,,,"
        ));
        for k in 0..4 {
            providers.row(format_args!(
                "{site}{k},Dr. Example {site}{k},,,0,{site},,0,FAKE-NPI-{site}{k},,0,,0"
            ));
        }
    }
    let mut source = Lines::default();
    source.row(format_args!(
        "strata synth,synth,strata,Made-up people,,,2026-01-01,2026-01-01,5.4,756265,v5.0 31-AUG-25"
    ));
    let none = Lines::default();
    [
        ("omop/care_site.csv", "care_site_id,care_site_name,place_of_service_concept_id,location_id,care_site_source_value,place_of_service_source_value", &sites),
        ("omop/provider.csv", "provider_id,provider_name,npi,dea,specialty_concept_id,care_site_id,year_of_birth,gender_concept_id,provider_source_value,specialty_source_value,specialty_source_concept_id,gender_source_value,gender_source_concept_id", &providers),
        ("omop/location.csv", "location_id,address_1,address_2,city,state,zip,county,location_source_value,country_concept_id,country_source_value,latitude,longitude", &places),
        ("omop/cdm_source.csv", "cdm_source_name,cdm_source_abbreviation,cdm_holder,source_description,source_documentation_reference,cdm_etl_reference,source_release_date,cdm_release_date,cdm_version,cdm_version_concept_id,vocabulary_version", &source),
        ("omop/device_exposure.csv", "device_exposure_id,person_id,device_concept_id,device_exposure_start_date,device_exposure_start_datetime,device_exposure_end_date,device_exposure_end_datetime,device_type_concept_id,unique_device_id,production_id,quantity,provider_id,visit_occurrence_id,visit_detail_id,device_source_value,device_source_concept_id,unit_concept_id,unit_source_value,unit_source_concept_id", &none),
        ("omop/specimen.csv", "specimen_id,person_id,specimen_concept_id,specimen_type_concept_id,specimen_date,specimen_datetime,quantity,unit_concept_id,anatomic_site_concept_id,disease_status_concept_id,specimen_source_id,specimen_source_value,unit_source_value,anatomic_site_source_value,disease_status_source_value", &none),
    ]
    .into_iter()
    .map(|(file, header, lines)| write_small(out, file, header, lines))
    .collect()
}
