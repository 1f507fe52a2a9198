//! Named subsets of variants, variants that are left out, consequences.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]
#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;

use arrow::array::AsArray;
use strata::error::Coded;
use strata::genotype::{CallsetRequest, Selection};
use support::{Run, everyone, file, request, run, shared};

const HEADER: &str = "##fileformat=VCFv4.2\n##contig=<ID=20>\n";
const COLUMNS: &str = "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO";

/// Four people: a common SNV, a rare one, a deletion of three bases, and two ALTs in one record.
fn callset() -> String {
    let rows = [
        "100\t.\tA\tG\t.\t.\t.\tGT\t1/1\t0/1\t0/0\t0/0",
        "200\t.\tC\tT\t.\t.\t.\tGT\t0/0\t0/0\t0/0\t0/1",
        "300\t.\tCAAA\tC\t.\t.\t.\tGT\t0/1\t0/0\t0/0\t0/0",
        "400\t.\tG\tA,T\t.\t.\t.\tGT\t0/1\t0/2\t0/0\t0/0",
    ];
    let rows: String = rows.iter().map(|row| format!("20\t{row}\n")).collect();
    format!("{HEADER}{COLUMNS}\tFORMAT\tS0\tS1\tS2\tS3\n{rows}")
}

fn prepared(dir: &tempfile::TempDir) -> CallsetRequest {
    let path = file(dir, "in.vcf", callset().as_bytes());
    let groups = [("S0", "afr"), ("S1", "afr"), ("S2", "eur"), ("S3", "eur")];
    let groups: BTreeMap<String, String> =
        groups.iter().map(|(s, g)| ((*s).to_owned(), (*g).to_owned())).collect();
    let samples = everyone(&path, &groups);
    request(&[path], samples)
}

fn flags(run: &Run, name: &str) -> Vec<bool> {
    let variants = run.variants();
    variants.column(name).as_boolean().iter().map(Option::unwrap).collect()
}

fn select(selection: Selection) -> Vec<bool> {
    let dir = tempfile::tempdir().unwrap();
    let mut request = prepared(&dir);
    request.options.selections.insert("x".into(), selection);
    flags(&run(&request, 2).unwrap(), "in_x")
}

#[test]
fn frequency_is_looked_at_in_each_group_and_must_be_above_the_limit() {
    let af = |limit| select(Selection { af_above: Some(limit), ..Selection::default() });
    // AF in afr: 3/4, 0, 1/4, 1/4, 1/4; in eur: 0, 1/4, 0, 0, 0.
    assert_eq!(af(0.74), [true, false, false, false, false]);
    assert_eq!(af(0.75), [false; 5]);
    assert_eq!(af(0.2), [true; 5]);
    let ac = |limit| select(Selection { ac_above: Some(limit), ..Selection::default() });
    assert_eq!([ac(2), ac(3)], [[true, false, false, false, false], [false; 5]]);
}

#[test]
fn a_bed_region_takes_every_variant_that_reaches_into_it() {
    let dir = tempfile::tempdir().unwrap();
    // 1-based 99, 201 and 303: beside the first two, the last base of the deletion.
    let bed = file(&dir, "x.bed", b"chr20\t98\t99\nchr20\t200\t201\n20\t302\t303\n");
    let pad =
        |padding| select(Selection { bed: Some(bed.clone()), padding, ..Selection::default() });
    assert_eq!(pad(0), [false, false, true, false, false]);
    assert_eq!(pad(1), [true, true, true, false, false]);
}

#[test]
fn sites_are_matched_by_allele_however_they_are_written() {
    let dir = tempfile::tempdir().unwrap();
    let vcf = format!(
        "{HEADER}{COLUMNS}\nchr20\t299\t.\tTCAAAG\tTCG\t.\t.\t.\n20\t400\t.\tG\tC,T\t.\t.\t.\n"
    );
    let list = "# comment\n20-300-CAAA-C\n\nchr20-400-G-T\nchr21-100-A-G\n";
    let expected = [false, false, true, false, true];
    for (name, text) in [("x.vcf", vcf.as_str()), ("x.txt", list)] {
        let sites = Some(file(&dir, name, text.as_bytes()));
        assert_eq!(select(Selection { sites, ..Selection::default() }), expected, "{name}");
    }
}

#[test]
fn conditions_add_up_and_there_must_be_one() {
    let dir = tempfile::tempdir().unwrap();
    let sites = Some(file(&dir, "x.txt", b"20-200-C-T\n"));
    let both = Selection { af_above: Some(0.5), sites, ..Selection::default() };
    assert_eq!(select(both), [true, true, false, false, false]);
    let mut request = prepared(&dir);
    request.options.selections.insert("none".into(), Selection::default());
    let error = run(&request, 2).err().unwrap();
    assert_eq!(error.code(), "genotype::empty_selection");
}

#[test]
fn variants_of_the_exclusion_list_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = prepared(&dir);
    let whole = run(&request, 2).unwrap();
    request.options.exclude_variants = Some(file(&dir, "x.txt", b"20-300-CAAA-C\n20-400-G-A\n"));
    let part = run(&request, 2).unwrap();
    let mut vids = whole.variants().texts("vid");
    vids.retain(|v| !["chr20-300-CAAA-C", "chr20-400-G-A"].contains(&v.as_deref().unwrap()));
    assert_eq!(part.variants().texts("vid"), vids);
    assert_eq!(part.variants().ints("variant_idx"), [0, 1, 2]);
    assert_eq!(part.ledger().excluded.get("exclusion_list"), Some(&2));
    assert_eq!(part.ledger().rows_in, whole.ledger().rows_in);
    let carriers = part.table("/carriers/").ints("variant_idx");
    assert_eq!(carriers.iter().max(), Some(&2));
}

#[test]
fn what_is_written_does_not_depend_on_threads() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = prepared(&dir);
    request.options.exclude_variants = Some(file(&dir, "x.txt", b"20-200-C-T\n"));
    let sites = Some(file(&dir, "y.txt", b"20-100-A-G\n"));
    request.options.selections.insert("y".into(), Selection { sites, ..Selection::default() });
    assert_eq!(run(&request, 1).unwrap().digests(), run(&request, 4).unwrap().digests());
}

#[test]
fn a_list_that_is_none_is_an_error_that_names_the_line_and_no_value() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = prepared(&dir);
    request.options.exclude_variants = Some(file(&dir, "x.txt", b"20-200-C-T\nrs4242\n"));
    let error = run(&request, 2).err().unwrap();
    assert_eq!(error.code(), "genotype::list");
    let text = error.to_string();
    assert!(text.contains("line 2") && !text.contains("rs4242"), "{text}");
}

const CSQ: &str = "##INFO=<ID=CSQ,Number=.,Type=String,Description=\"Consequence annotations from Ensembl \
    VEP. Format: Allele|Consequence|IMPACT|SYMBOL|Gene|Feature|BIOTYPE|CANONICAL|MANE_SELECT|HGVSc|HGVSp\">\n";

/// Two people; one record with a deletion, which only S1 carries, and an insertion, which S0 carries.
fn with_consequences() -> String {
    let csq = "CSQ=-|frameshift_variant|HIGH|GONE|ENSG9|ENST9|x||||,\
        AA|intron_variant&splice_region_variant|LOW|ONE|ENSG1|ENST1|protein_coding|||c.1|p.Gly1%3D,\
        AA|stop_gained|HIGH|TWO|ENSG2|ENST2|protein_coding||||,\
        AA|synonymous_variant|LOW|ONE|ENSG1|ENST3|protein_coding|YES|||";
    let rows = [
        format!("20\t100\t.\tCA\tC,CAA\t.\t.\t{csq}\tGT\t0/2\t0/1\n"),
        "20\t200\t.\tG\tA\t.\t.\t.\tGT\t0/1\t0/1\n".to_owned(),
    ];
    format!("{HEADER}{CSQ}{COLUMNS}\tFORMAT\tS0\tS1\n{}", rows.concat())
}

#[test]
fn an_entry_goes_to_its_allele_and_one_is_picked() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", with_consequences().as_bytes());
    let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
    request.options.consequences = Some("CSQ".into());
    let done = run(&request, 2).unwrap();
    let table = done.table("/consequences/");
    let some = |texts: &[&str]| texts.iter().map(|t| Some((*t).to_owned())).collect::<Vec<_>>();
    // The insertion, C to CA once trimmed, sorts before the deletion, CA to C.
    assert_eq!(table.ints("variant_idx"), [0, 0, 0, 1]);
    assert_eq!(table.ints("pos"), [100, 100, 100, 100]);
    let worst =
        ["splice_region_variant", "stop_gained", "synonymous_variant", "frameshift_variant"];
    assert_eq!(table.texts("consequence"), some(&worst));
    assert_eq!(table.column("terms").as_list::<i32>().value(0).len(), 2);
    assert_eq!(table.texts("transcript"), some(&["ENST1", "ENST2", "ENST3", "ENST9"]));
    assert_eq!(table.texts("hgvsp")[0].as_deref(), Some("p.Gly1="));
    let picked: Vec<_> = table.column("picked").as_boolean().iter().flatten().collect();
    assert_eq!(picked, [false, false, true, true]);
    let variants = done.variants();
    assert_eq!(variants.texts("gene"), [some(&["ONE", "GONE"]), vec![None]].concat());
    let worst = some(&["stop_gained", "frameshift_variant"]);
    assert_eq!(variants.texts("worst_consequence"), [worst, vec![None]].concat());
    assert_eq!(done.digests(), run(&request, 4).unwrap().digests());
}

#[test]
fn entries_of_an_allele_that_no_included_sample_carries_leave_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", with_consequences().as_bytes());
    let mut samples = everyone(&path, &BTreeMap::new());
    samples.included.remove("S1");
    samples.excluded.insert("S1".into(), "withdrawn".into());
    let mut request = request(std::slice::from_ref(&path), samples);
    request.options.consequences = Some("CSQ".into());
    let done = run(&request, 2).unwrap();
    let genes = done.table("/consequences/").texts("gene");
    assert_eq!(genes.iter().flatten().collect::<Vec<_>>(), ["ONE", "TWO", "ONE"]);
    let all = format!("{:?}{:?}", done.table("/consequences/").0, done.variants().0);
    assert!(all.contains("ENSG1") && !all.contains("ENSG9") && !all.contains("frameshift"));
}

#[test]
fn entries_that_name_no_alt_of_their_record_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    // VEP with --minimal and without ALLELE_NUM: T>C of TA>CA is written as the trimmed C.
    let csq = "CSQ=C|missense_variant|MODERATE|ONE|ENSG1|ENST1|x||||,\
        G|synonymous_variant|LOW|ONE|ENSG1|ENST1|x||||,TG|stop_gained|HIGH|TWO|ENSG2|ENST2|x||||";
    let rows = format!(
        "20\t100\t.\tTA\tCA,TG\t.\t.\t{csq}\tGT\t0/1\t0/2\n20\t200\t.\tG\tA\t.\t.\tCSQ=.\tGT\t0/1\t0/1\n"
    );
    let text = format!("{HEADER}{CSQ}{COLUMNS}\tFORMAT\tS0\tS1\n{rows}");
    let path = file(&dir, "in.vcf", text.as_bytes());
    let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
    request.options.consequences = Some("CSQ".into());
    let done = run(&request, 2).unwrap();
    assert_eq!(done.table("/consequences/").texts("gene"), [Some("TWO".to_owned())]);
    assert_eq!(done.ledger().noted.get("consequence_unmatched"), Some(&2));
    // Without S1 the entries may be of the ALT that only S1 has: not even their number is told.
    request.samples.included.remove("S1");
    request.samples.excluded.insert("S1".into(), "withdrawn".into());
    assert_eq!(run(&request, 2).unwrap().ledger().noted.get("consequence_unmatched"), None);
}

#[test]
fn a_field_whose_format_the_header_does_not_say_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", callset().as_bytes());
    let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
    request.options.consequences = Some("CSQ".into());
    assert_eq!(run(&request, 2).err().unwrap().code(), "genotype::unknown_info");
}

/// A sites file of VEP or snpEff with one heterozygous sample put in.
fn with_a_sample(path: &std::path::Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let line = |line: &str| match line {
        meta if meta.starts_with("##") => format!("{meta}\n"),
        columns if columns.starts_with('#') => format!("{COLUMNS}\tFORMAT\tS0\n"),
        row => {
            let fixed: Vec<&str> = row.split('\t').take(8).collect();
            format!("{}\tGT\t0/1\n", fixed.join("\t"))
        }
    };
    text.lines().filter(|l| !l.is_empty()).map(line).collect()
}

#[test]
fn every_entry_of_real_files_of_vep_and_snpeff_finds_its_allele() {
    for (name, field) in [("vcf/glow_vep_csq.vcf", "CSQ"), ("vcf/glow_snpeff_ann.vcf", "ANN")] {
        let Some(path) = shared(name) else { return };
        let text = with_a_sample(&path);
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir, "in.vcf", text.as_bytes());
        let mut request = request(std::slice::from_ref(&path), everyone(&path, &BTreeMap::new()));
        request.options.consequences = Some(field.into());
        let done = run(&request, 2).unwrap();
        let prefix = format!("{field}=");
        let values = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| {
            l.split('\t').nth(7)?.split(';').find_map(|part| part.strip_prefix(&prefix))
        });
        let expected: usize = values.map(|v| v.split(',').count()).sum();
        let table = done.table("/consequences/");
        assert!(expected > 0);
        assert_eq!(table.len(), expected, "{name}");
        let picked = table.column("picked").as_boolean().true_count();
        let genes = done.variants().texts("worst_consequence").iter().flatten().count();
        assert_eq!(picked, genes, "{name}");
    }
}
