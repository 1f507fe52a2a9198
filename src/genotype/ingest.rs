//! The genotype stage: shards out to the workers, results back in order, row groups out to the
//! workers, chunks back in order and to disk. What is in flight is bounded.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use super::assemble::Assembler;
use super::cohort::Cohort;
use super::encode::{Plan, Worker};
use super::fasta::Reference;
use super::fields::Rules;
use super::freq::Strata;
use super::gt::Kernel;
use super::inputs::{self, Contexts, Files, Inputs};
use super::merge::{self, Books, Reading};
use super::selection::{Selections, Variants};
use super::shard::Context;
use super::source::Source;
use super::tables::Tables;
use super::tally::Tally;
use super::work::{Feed, Scratch, Tuning, scan};
use super::{CallsetRequest, Error, align, annotate, report, samples};
use crate::engine::{FileEntry, Job, Ledger, StageOutput, TableLedger};

mod rejects;
mod run;
mod writer;

use rejects::Rejects;
pub(super) use run::guarded;
use run::{Run, Shared};
use writer::Writer;

/// Variants a row group, unless rows are so long that it would hold more than [`GROUP_BYTES`].
const GROUP_ROWS: usize = 8192;
/// Bytes of het and hom-alt planes, and of the values of `quality`, in a row group.
const GROUP_BYTES: usize = 64 << 20;
/// Bytes that the stage needs however many work, and those that each worker may come to, measured at up
/// to 100,000 samples (`benches/results/profile.md`).
const BASE_BYTES: u64 = 96 << 20;
const WORKER_BYTES: u64 = 160 << 20;

/// Ingests a callset: reads all files of the request and writes its tables below `job.out`.
///
/// Tables are those of the contract, section 4. What it leaves open is decided so:
/// - `n_missing` counts half calls too, `call_rate` is `n_called / (n_called + n_missing)`, and samples
///   stated female are in neither on Y outside the pseudo-autosomal regions;
/// - where the stated sex leaves one copy (men on X and Y outside PAR, everybody on MT) two equal alleles
///   are one and two different ones are missing and in `n_het_hap`, row by row after the split;
/// - counts of one ALT of a multiallelic record take the other ALTs, and `*`, as not this allele;
/// - a call of more than two alleles is missing and noted as `unsupported_ploidy`;
/// - where any sample of the files stays out, an ALT that no included sample carries gives no row
///   (`no_carrier`), and the record is described as if it had never been there, with an ID only if that is
///   a single rs number; where all samples are in, such an ALT is a monomorphic row;
/// - symbolic alleles are equal only if they reach equally far: their `vid` has a fifth part, the last
///   position (`chr1-100-N-<DEL>-900`), or for `<INS...>` with SVLEN the number of inserted bases;
/// - of two equal variants after splitting and trimming the first in file order is kept;
/// - `hwe_p` and `excess_het_p` are over diploid calls, 0.5 when there is one allele or no call;
/// - `phase` is null in rows without a phased het; `carriers.phased` is null where the call is not
///   diploid;
/// - of `samples`: rates and counts are over rows of `variants`; `n_singleton` counts variants with one
///   copy in the callset, `n_private_site` those with one carrier; `ti_tv` and `ins_del_ratio` count allele
///   copies, as Hail does; `f_inbreeding` is over chromosomes 1 to 22; `mean_dp` and `mean_gq` are over
///   records with a row in which the sample is called, null unless FORMAT fields are read;
/// - a call whose FT is neither PASS nor missing is `n_filtered`, which is part of `n_missing`; sums and
///   histograms of FORMAT fields are over called cells.
///
/// Files may be listed in any order. Those with the same samples, in any order of columns, are parts of one
/// table and are taken in the order of their first records. Files with other samples, and FinalReports, are
/// merged: rows are joined by their normalised allele; of a sample whose files lack a row, reference blocks
/// of `ref_block_min_gq` or more and records of the same place and kind tell that it is reference, else it is
/// missing. QUAL is then the highest, FILTER and ID are all, INFO is null where records do not agree.
///
/// # Errors
/// See [`Error`]. Single bad records do not stop it: they go to `quality/rejects/genomics/`.
pub fn ingest(request: &CallsetRequest, job: &Job) -> Result<StageOutput, Error> {
    ingest_tuned(request, job, Tuning::default(), Kernel::detect())
}

/// [`ingest`] with other unit sizes and instructions, which change nothing in the output.
pub(super) fn ingest_tuned(
    request: &CallsetRequest,
    job: &Job,
    tuning: Tuning,
    kernel: Kernel,
) -> Result<StageOutput, Error> {
    if !super::is_name(&request.name) {
        return Err(Error::BadName { what: "a callset" });
    }
    let request = &*in_order(request);
    let Inputs { files, samples, info: mut fields, consequences: format, path } =
        inputs::open(request)?;
    let cohort = Cohort::new(&samples, &request.samples, &path)?;
    let merge = matches!(files, Files::Groups(_));
    // Whom the sheet leaves out may have been in when INFO was computed, though the files have them no more.
    let leaves_out = cohort.leaves_out() || !request.samples.excluded.is_empty();
    fields.iter_mut().for_each(|f| f.withhold(leaves_out, merge));
    let mut ledger = ledger_of(request, &cohort);
    let stride = cohort.stride();
    let rules = Rules::new(request, &cohort);
    let selections = Selections::load(request)?;
    let exclude = request.options.exclude_variants.as_deref();
    let exclude = exclude.map(|path| Variants::read(path, request)).transpose()?;
    let plan = Plan {
        tables: Tables::new(
            &request.name,
            &cohort.groups,
            &fields,
            cohort.len(),
            (request.carriers, !request.options.strata.is_empty(), format.is_some()),
            &rules,
            &selections,
        )?,
        fields: rules.clone(),
        groups: cohort.groups.clone(),
        info: fields.clone(),
        samples: cohort.len(),
        strata: Strata::new(&cohort, &request.options.strata),
        selections,
        consequences: format.clone(),
    };
    let keep_cells = !request.options.strata.is_empty();
    let quality = if rules.quality { 6 * cohort.len() } else { 0 };
    let genome = request.genome;
    let reference = reference(request)?;
    let hold = if reference.is_some() { align::FURTHEST } else { 0 };
    let annotations = annotate::open(request, reference.as_ref(), kernel)?;
    let context = Context {
        cohort,
        genome,
        kernel,
        info: fields,
        keep_cells,
        fields: rules,
        reference,
        reference_mismatch: request.options.reference_mismatch,
        keep: None,
        consequences: format,
    };
    let job = &within_memory(job);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(job.threads)
        .build()
        .map_err(Error::internal("starting workers"))?;
    let mut books = Books::default();
    let sources = match files {
        Files::Parts(mut sources) => {
            sort_files(&mut sources, &context)?;
            note_plink(&mut ledger, &sources, context.reference.is_some());
            books.names = sources.iter().map(Source::base_name).collect();
            sources
        }
        Files::Groups(groups) => {
            let (cohort, info) = (&context.cohort, &context.info[..]);
            let (numbers, consequences) = (context.fields.numbers, context.consequences.as_ref());
            let reading =
                Reading { request, job, cohort, info, numbers, consequences, kernel, tuning };
            let (merged, read) = pool
                .install(|| merge::read(&reading, &groups))
                .map_err(|error| inputs::unnamed(error, &request.files))?;
            books = read;
            vec![Source::of_merged(&path, merged)?]
        }
    };
    books.add_to(&mut ledger);
    let own_files = books.names.len();
    books.names.extend(annotations.iter().flat_map(annotate::Opened::file_names));
    let contexts = Contexts::new(context, if merge { &[] } else { &samples }, &sources);
    let context = contexts.first();
    let mut rejects = Rejects::create(request, job, books.names)?;
    rejects.write(books.rejected)?;
    let workers: Vec<Mutex<Worker>> =
        (0..job.threads).map(|_| Mutex::new(Worker::default())).collect();
    let shared = Shared { sources: &sources, contexts: &contexts, plan: &plan, workers: &workers };
    let mut assembler =
        Assembler::new(&sources, &context.info, ledger, group_rows(2 * stride + quality), hold);
    let writer = Writer::new(&plan, &job.out, &request.name);
    assembler.exclude = exclude.unwrap_or_default();
    let done = pool.in_place_scope(|scope| {
        Run::new((&shared, job), assembler, rejects, writer).drive(scope, tuning)
    })?;
    let mut ledger = done.ledger;
    plan.selections.note(&mut ledger);
    if ledger.rows_out == 0 {
        return Err(no_variants(&request.name, &ledger));
    }
    for merged in sources.iter().filter_map(|s| s.merged.as_ref()) {
        merged.note(&context.info, &mut ledger);
    }
    let mut tally = Tally::default();
    for worker in &workers {
        tally.merge(&worker.lock().unwrap_or_else(PoisonError::into_inner).tally);
    }
    let (mut files, mut rejects) = (done.files, done.rejects);
    let run = annotate::Run { job, callset: &request.name, files: &files, pool: &pool, tuning };
    let (tables, mut accounts) =
        annotated(&run, &annotations, (&mut ledger, &mut rejects, own_files))?;
    files.extend(tables);
    files.push(rejects.finish()?);
    let mads = request.options.outlier_mads;
    let sums = &done.samples;
    files.push(samples::write(job, &request.name, &context.cohort, &tally, sums, mads)?);
    let (name, genome) = (&request.name, request.genome);
    let individuals = request.options.individuals;
    files.push(pool.install(|| report::write(job, name, genome, &files, &ledger, individuals))?);
    files.sort_by(|a, b| a.path.cmp(&b.path));
    accounts.insert(0, ledger);
    Ok(StageOutput { ledger: Ledger(accounts), files })
}

/// The request with its files in the order in which they are taken.
fn in_order(request: &CallsetRequest) -> Cow<'_, CallsetRequest> {
    if request.files.is_sorted_by_key(|f| inputs::order(f)) {
        return Cow::Borrowed(request);
    }
    let mut copy = request.clone();
    copy.files.sort_by(|a, b| inputs::order(a).cmp(&inputs::order(b)));
    Cow::Owned(copy)
}

/// The books of a callset: who stays out, and what of the sheet is not in the files.
fn ledger_of(request: &CallsetRequest, cohort: &Cohort) -> TableLedger {
    let mut ledger = TableLedger::new(format!("genomics/{}", request.name));
    for (reason, count) in &cohort.excluded {
        ledger.note(&format!("sample_excluded:{reason}"), *count);
    }
    ledger.note("sheet_sample_not_in_files", cohort.absent);
    ledger.note("exclude_samples_unmatched", request.samples.unmatched);
    ledger
}

/// Writes the tables of annotations, and the books of each; their files are numbered after the callset's own.
fn annotated(
    run: &annotate::Run<'_>,
    annotations: &[annotate::Opened],
    (ledger, rejects, own_files): (&mut TableLedger, &mut Rejects, usize),
) -> Result<(Vec<FileEntry>, Vec<TableLedger>), Error> {
    let (mut tables, mut accounts) = (Vec::new(), Vec::new());
    let mut before = own_files;
    for annotation in annotations {
        let (table, account) = annotation.write(run, ledger, |mut rejected| {
            rejected.iter_mut().for_each(|r| r.file += before);
            rejects.write(rejected)
        })?;
        before += annotation.file_names().count();
        tables.extend(table);
        accounts.push(account);
    }
    Ok((tables, accounts))
}

/// The job with as many workers as its memory allows: what is in flight grows with them alone.
fn within_memory(job: &Job) -> Job {
    let fit = job.memory.saturating_sub(BASE_BYTES) / WORKER_BYTES;
    let threads = usize::try_from(fit).unwrap_or(usize::MAX).clamp(1, job.threads);
    if threads < job.threads {
        tracing::warn!(
            threads,
            of = job.threads,
            "memory for fewer workers than threads: more engine.memory_mib would be faster"
        );
    }
    Job { threads, ..job.clone() }
}

/// What to say of a callset without rows.
fn no_variants(callset: &str, ledger: &TableLedger) -> Error {
    let most = ledger.excluded.iter().rev().max_by_key(|(_, count)| **count);
    let (reason, most) = most.map_or(("none".to_owned(), 0), |(r, n)| (r.to_string(), *n));
    Error::NoVariants { callset: callset.to_owned(), excluded: ledger.rows_in, reason, most }
}

/// The reference sequence that a request names.
pub(super) fn reference(request: &CallsetRequest) -> Result<Option<Arc<Reference>>, Error> {
    let path = request.options.reference.as_deref();
    Ok(path.map(Reference::open).transpose()?.map(Arc::new))
}

/// Notes what PLINK files leave open: whether REF is the reference's, and dosages, which are not read.
fn note_plink(ledger: &mut TableLedger, sources: &[Source], checked: bool) {
    for plink in sources.iter().filter_map(|s| s.plink.as_ref()) {
        if !checked {
            ledger.note("provisional_ref", plink.provisional());
        }
        ledger.note("dosage_not_read", plink.dosages());
    }
}

/// Orders files by their first record, so that the order of the list does not matter.
pub(super) fn sort_files(sources: &mut Vec<Source>, context: &Context) -> Result<(), Error> {
    if sources.len() < 2 {
        return Ok(());
    }
    let mut keyed = Vec::new();
    let mut scratch = Scratch::default();
    for source in sources.drain(..) {
        let mut feed = Feed::new(&source, Tuning { blocks: 1, bytes: 1 << 16 });
        let mut key = (u8::MAX, String::new(), i32::MAX);
        while let Some(shard) = feed.next()? {
            if let Some(s) = scan(context, &source, &shard, &mut scratch)?.segments.first() {
                key = (s.chrom.rank, s.chrom.name.clone(), s.first_pos);
                break;
            }
        }
        drop(feed);
        keyed.push((key, source));
    }
    keyed.sort_by(|(a, s), (b, t)| {
        a.cmp(b)
            .then_with(|| s.bytes().len().cmp(&t.bytes().len()))
            .then_with(|| s.path.cmp(&t.path))
    });
    sources.extend(keyed.into_iter().map(|(_, source)| source));
    Ok(())
}

/// Row groups of rows that have `bytes` each. A power of two, for it must depend on nothing but the
/// number of samples and the tables that are asked for.
fn group_rows(bytes: usize) -> usize {
    let fit = (GROUP_BYTES / bytes).max(1);
    let power = 1 << (usize::BITS - 1 - fit.leading_zeros());
    usize::clamp(power, 64, GROUP_ROWS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::genotype::{Annotation, Genome, SampleEntry, SampleSheet};

    fn digests(tuning: Tuning, kernel: Kernel) -> Vec<(String, String)> {
        let mut text = String::from(
            "##fileformat=VCFv4.3\n##INFO=<ID=MQ,Number=1,Type=Integer,Description=\"x\">\n\
             ##INFO=<ID=AF,Number=A,Type=Float,Description=\"x\">\n\
             ##INFO=<ID=CSQ,Number=.,Type=String,Description=\"x\">\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT",
        );
        let names: Vec<String> = (0..150).map(|i| format!("S{i}")).collect();
        text += &names.iter().map(|n| format!("\t{n}")).collect::<String>();
        text += "\n";
        for i in 0..400u32 {
            let (format, extra) = if i % 5 == 0 { ("GT:DP", ":12") } else { ("GT", "") };
            let r = if i % 7 == 0 { "CAAAG\tCAAAT,C" } else { "A\tG" };
            // Positions three at a time: equal rows, the later of which are rejected.
            let (chrom, pos) = (1 + i / 150, 10 + i / 3);
            let alt = r.split('\t').nth(1).unwrap_or_default();
            let af = alt.split(',').map(|_| "0.5").collect::<Vec<_>>().join(",");
            let info = format!("UNUSED=12345;MQ={};CSQ=a,{i};AF={af}", i % 60);
            let r = if i % 29 == 0 { "A\tA,C" } else { r };
            text += &format!("{chrom}\t{pos}\t.\t{r}\t.\tPASS\t{info}\t{format}");
            for s in 0..150u32 {
                let gt = ["0|0", "0|0", "0|0", "0|1", "1|1", ".|.", "1|.", "0"]
                    [(i * 31 + s * s * 17) as usize % if i % 3 == 0 { 8 } else { 5 }];
                text += &format!("\t{gt}{extra}");
            }
            text += if i % 17 == 0 {
                "\t0|0\n"
            } else if i % 23 == 0 {
                "\nbroken\n"
            } else {
                "\n"
            };
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("in.vcf");
        let site = |line: &str| line.split('\t').take(8).collect::<Vec<_>>().join("\t") + "\n";
        let sites = dir.path().join("sites.vcf");
        std::fs::write(&sites, text.lines().map(site).collect::<String>()).unwrap();
        let annotation = Annotation { files: vec![sites], info: vec!["AF".to_owned()] };
        std::fs::write(&path, text).unwrap();
        let entry = |(i, name): (usize, String)| {
            (name, SampleEntry { research_id: 77 * i as i64 % 151, ..SampleEntry::default() })
        };
        let request = CallsetRequest {
            name: "wgs".into(),
            genome: Genome::Grch38,
            files: vec![path],
            samples: SampleSheet {
                included: names.into_iter().enumerate().map(entry).collect(),
                ..SampleSheet::default()
            },
            info: ["CSQ", "MQ", "AF"].map(str::to_owned).to_vec(),
            carriers: true,
            options: crate::genotype::Options {
                annotations: BTreeMap::from([("a".to_owned(), annotation)]),
                ..crate::genotype::Options::default()
            },
        };
        let job = Job::quiet(dir.path().join("out"), 2);
        let done = ingest_tuned(&request, &job, tuning, kernel).unwrap();
        assert!(done.ledger.unbalanced().is_empty());
        for reason in ["duplicate_variant", "bad_record:alt_is_ref", "bad_record:column_count"] {
            assert!(done.ledger.0.iter().all(|t| t.excluded[reason] > 5), "{reason}");
        }
        done.files.into_iter().map(|f| (f.path, f.sha256)).collect()
    }

    #[test]
    fn bytes_do_not_depend_on_units_or_instructions() {
        let want = digests(Tuning::default(), Kernel::Scalar);
        for bytes in [37, 700, 5000, 1 << 22] {
            assert_eq!(digests(Tuning { blocks: 1, bytes }, Kernel::detect()), want, "{bytes}");
        }
    }

    #[test]
    fn row_groups_shrink_with_the_number_of_samples() {
        assert_eq!(group_rows(2), 8192);
        assert_eq!(group_rows(2 * 2500usize.div_ceil(8)), 8192);
        assert_eq!(group_rows(1_000_000 / 4), 256);
        assert_eq!(group_rows(100_000_000), 64);
    }
}
