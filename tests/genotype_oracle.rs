//! Other tools on the same files, side by side: AC, AN, AF, genotype counts, missing and HWE of every ALT are
//! equal to strata's, or the difference is exactly what a row of the spec table says.
//!
//! A tool that is not installed is skipped with a printed reason. Hail runs where `STRATA_HAIL_PYTHON` (or
//! `python3`) can import it.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_oracle/rules.rs"]
mod rules;
#[path = "genotype_oracle/site.rs"]
mod site;
#[path = "genotype_support/support.rs"]
mod support;
#[path = "genotype_spec/table.rs"]
mod table;
#[path = "genotype_spec/text.rs"]
mod text;
#[path = "genotype_oracle/tools.rs"]
mod tools;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use rules::{Fact, REFUSED, RULES, Tool};
use site::{Key, Site};
use support::{read_text, run_all, shared};

/// Numbers of one ALT.
type Facts = BTreeMap<Fact, Option<f64>>;

/// A file, what its genotypes say, and what strata makes of it.
struct Input {
    name: String,
    /// VCF text with every contig declared, for the tools.
    vcf: PathBuf,
    sites: Vec<Site>,
    strata: HashMap<Key, Facts>,
    rejected: u64,
}

/// Files with genotypes. The tools that read VCF get what plink2 exports of PLINK files.
const FILES: &[&str] = &[
    "vcf/1kg_2020_chrM.vcf.gz",
    "vcf/bio2zarr_chr22.vcf.gz",
    "vcf/bio2zarr_field_type_combos.vcf.gz",
    "vcf/bio2zarr_mixed_ploidy.vcf.gz",
    "vcf/bio2zarr_triploid.vcf.gz",
    "vcf/hail_ex_vcfspec.vcf",
    "vcf/hail_sample2_multiallelic.vcf.gz",
    "vcf/hail_sample_1kg_chr20_100s.vcf.gz",
    "vcf/hail_x-chromosome.vcf",
    "vcf/htsjdk_all43Features.vcf",
    "vcf/htsjdk_structuralvariants.vcf",
    "vcf/plinkng_1kg_phase3_chr21_start_2504s_phased.vcf.gz",
    "vcf/shapeit4_1kg_chr20_300s.vcf.gz",
    "plink/some_missing/some_missing.bed",
    "plink/toydata/toydata.5chrom.bed",
    "plink/1kg_phase1/1kg_phase1.bed",
    "pgen/chr21_phase3_start/chr21_phase3_start.pgen",
];

/// Situations in which all tools do something else by design: they pass over FT, and take MT as diploid.
const ELSEWHERE: &[&str] = &["filtered_calls", "mt_diploid"];

static SCRATCH: LazyLock<tempfile::TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());
static INPUTS: LazyLock<Vec<Input>> = LazyLock::new(|| {
    let mut inputs: Vec<Input> =
        FILES.iter().filter_map(|name| shared(name).and_then(|path| input(&path))).collect();
    for (name, polyploid) in [("disagreements.vcf", false), ("polyploid.vcf", true)] {
        let made = SCRATCH.path().join(name);
        let records: Vec<&str> = table::SPECS
            .iter()
            .filter(|s| !s.sexed && !ELSEWHERE.contains(&s.id) && (s.id == "triploid") == polyploid)
            .flat_map(|s| s.records.iter().copied())
            .collect();
        std::fs::write(&made, text::vcf("4.2", &sorted(&records))).unwrap();
        inputs.extend(input(&made));
    }
    inputs
});

/// By chromosome and position.
fn sorted<'a>(records: &[&'a str]) -> Vec<&'a str> {
    let mut records = records.to_vec();
    let key = |r: &&str| {
        let mut f = r.split(' ');
        let chrom = f.next().unwrap().to_owned();
        (chrom, f.next().unwrap().parse::<u32>().unwrap())
    };
    records.sort_by_key(key);
    records
}

fn input(path: &std::path::Path) -> Option<Input> {
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let vcf = SCRATCH.path().join(format!("{name}.in.vcf"));
    let extension = path.extension().unwrap().to_string_lossy().into_owned();
    let plink = ["bed", "pgen"].contains(&extension.as_str());
    if plink {
        let stem = path.with_extension("");
        let mut command = Command::new("plink2");
        match extension.as_str() {
            "bed" => command.arg("--bfile").arg(&stem),
            _ => command
                .arg("--pgen")
                .arg(path)
                .arg("--pvar")
                .arg(stem.with_extension("pvar.zst"))
                .arg("--psam")
                .arg(stem.with_extension("psam")),
        };
        let made = command
            .args(["--export", "vcf", "id-paste=iid", "--allow-extra-chr", "--out"])
            .arg(vcf.with_extension(""))
            .output();
        if !made.is_ok_and(|o| o.status.success()) {
            println!("skipped: plink2 does not export {name}");
            return None;
        }
    } else {
        std::fs::write(&vcf, declared(&read_text(path))).unwrap();
    }
    let relabelled = plink && relabel(&vcf);
    let run = run_all(if relabelled { &vcf } else { path });
    let ledger = run.ledger();
    let rejected = ledger.excluded.values().sum();
    if !run.output.files.iter().any(|f| f.path.contains("/variants/")) {
        let sites = site::sites(&read_text(&vcf));
        return Some(Input { name, vcf, sites, strata: HashMap::new(), rejected });
    }
    let t = run.variants();
    let ints: Vec<Vec<i32>> =
        ["ac", "an", "n_het", "n_hom_ref", "n_hom_alt", "n_hemi_alt", "n_missing"]
            .iter()
            .map(|c| t.ints(c))
            .collect();
    let (af, hwe, excess) = (t.floats("af"), t.floats("hwe_p"), t.floats("excess_het_p"));
    let (vid, opos) = (t.texts("vid"), t.ints("orig_pos"));
    let (oref, oalt) = (t.texts("orig_ref"), t.texts("orig_alt"));
    let (pos, allele) = (t.ints("pos"), t.ints("allele_index"));
    let strata = (0..t.len())
        .map(|i| {
            let mark = format!("-{}-", pos[i]);
            let chrom = site::chrom(vid[i].as_ref().unwrap().split_once(&mark).unwrap().0);
            let key = (
                chrom,
                opos[i],
                oref[i].clone().unwrap(),
                oalt[i].clone().unwrap(),
                allele[i] as usize,
            );
            use Fact::{Ac, Af, An, Excess, HemiAlt, Het, HomAlt, HomRef, Hwe, Missing};
            let mut facts: Facts = [Ac, An, Het, HomRef, HomAlt, HemiAlt, Missing]
                .into_iter()
                .zip(ints.iter().map(|c| Some(f64::from(c[i]))))
                .collect();
            facts.extend([(Af, af[i]), (Hwe, hwe[i]), (Excess, excess[i])]);
            (key, facts)
        })
        .collect();
    let sites = site::sites(&read_text(&vcf));
    Some(Input { name, vcf, sites, strata, rejected })
}

/// Writes the alleles H and L, which are no bases and would be rejected, as A and G.
fn relabel(vcf: &std::path::Path) -> bool {
    let text = read_text(vcf);
    let made = text.replace("\tH\tL\t", "\tA\tG\t").replace("\tL\tH\t", "\tG\tA\t");
    std::fs::write(vcf, &made).unwrap();
    made != text
}

/// The text with a `##contig` line for every chromosome, without which bcftools refuses it.
fn declared(text: &str) -> String {
    let mut chroms: Vec<&str> = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let chrom = line.split('\t').next().unwrap();
        if chroms.last() != Some(&chrom) && !chroms.contains(&chrom) {
            chroms.push(chrom);
        }
    }
    let mut out = String::with_capacity(text.len() + 999);
    for line in text.lines() {
        if line.starts_with("#CHROM") {
            for c in chroms.iter().filter(|c| {
                !text.contains(&format!("##contig=<ID={c},"))
                    && !text.contains(&format!("##contig=<ID={c}>"))
            }) {
                out += &format!("##contig=<ID={c}>\n");
            }
        }
        out += line;
        out.push('\n');
    }
    out
}

/// Equal but for printing: six significant digits, four of plink 1.9.
fn same(tool: Tool, a: Option<f64>, b: Option<f64>) -> bool {
    let digits = if tool == Tool::Plink1 { 6e-4 } else { 6e-6 };
    match (a, b) {
        (Some(a), Some(b)) => (a - b).abs() <= digits * a.abs().max(b.abs()) + 1e-14,
        (a, b) => a.is_none() && b.is_none(),
    }
}

/// Why a tool may have an ALT of which strata has no row.
fn no_row(site: &Site, seen: &mut HashSet<(String, i32, String, String)>) -> Option<&'static str> {
    let (mut r, mut a) = (site.reference.to_uppercase(), site.alt().to_uppercase());
    if a == "*" {
        return Some("star_allele");
    }
    if ["<*>", "<NON_REF>"].contains(&a.as_str()) {
        return Some("non_ref_allele");
    }
    while !a.starts_with('<') && r.len() > 1 && a.len() > 1 && r.ends_with(&a[a.len() - 1..]) {
        r.pop();
        a.pop();
    }
    let mut pos = site.pos;
    while !a.starts_with('<') && r.len() > 1 && a.len() > 1 && r[..1] == a[..1] {
        r.remove(0);
        a.remove(0);
        pos += 1;
    }
    if r == a {
        return Some("alt_is_ref");
    }
    (!seen.insert((site.chrom.clone(), pos, r, a))).then_some("duplicates")
}

/// Compares a tool with strata on every file.
fn compare(tool: Tool, ask: impl Fn(&Input) -> Result<HashMap<Key, Facts>, String>) {
    let mut explained: BTreeMap<&str, usize> = BTreeMap::new();
    let (mut equal, mut unexplained) = (0usize, Vec::new());
    for input in INPUTS.iter() {
        let refused = REFUSED.iter().find(|r| r.0 == tool && r.1 == input.name);
        let told = match (ask(input), refused) {
            (Ok(told), _) => told,
            (Err(e), Some((_, _, spec))) => {
                assert!(table::find(spec).is_some(), "{spec} is no row of the spec table");
                println!("{tool:?} refuses {} ({spec}): {e}", input.name);
                continue;
            }
            (Err(e), None) => panic!("{tool:?} refuses {}: {e}", input.name),
        };
        let mut seen = HashSet::new();
        let mut compared = 0;
        for site in &input.sites {
            let why = no_row(site, &mut seen);
            let Some(ours) = input.strata.get(&site.key()) else {
                match why {
                    Some(why) => *explained.entry(why).or_default() += 1,
                    None => unexplained.push(format!("{} {:?}: no row", input.name, site.key())),
                }
                continue;
            };
            if why.is_some() {
                continue;
            }
            let Some(theirs) = told.get(&site.key()) else { continue };
            compared += 1;
            for (&fact, &says) in theirs {
                if same(tool, ours[&fact], says) {
                    equal += 1;
                    continue;
                }
                let rule = RULES.iter().find(|r| {
                    r.tool == tool
                        && r.facts.contains(&fact)
                        && (r.applies)(site)
                        && same(tool, (r.says)(site, fact), says)
                });
                match rule {
                    Some(rule) => *explained.entry(rule.spec).or_default() += 1,
                    None => unexplained.push(format!(
                        "{} {:?} {fact:?}: strata {:?}, {tool:?} {says:?}",
                        input.name,
                        site.key(),
                        ours[&fact]
                    )),
                }
            }
        }
        println!(
            "{tool:?} {}: {compared} of {} alleles compared, {} rejected",
            input.name,
            input.sites.len(),
            input.rejected
        );
        assert!(
            compared > 0 || input.strata.is_empty(),
            "{tool:?} {}: nothing compared",
            input.name
        );
    }
    println!("{tool:?}: {equal} numbers equal; explained: {explained:?}");
    let n = unexplained.len();
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for line in &unexplained {
        let file = line.split(' ').next().unwrap();
        let fact = line.split(") ").nth(1).and_then(|t| t.split(':').next()).unwrap_or("row");
        *kinds.entry(format!("{file} {fact}")).or_default() += 1;
    }
    println!("{kinds:?}");
    unexplained.truncate(40);
    assert!(unexplained.is_empty(), "{n} differences without a rule: {unexplained:#?}");
}

#[test]
fn every_rule_is_a_row_of_the_spec_table() {
    for spec in RULES.iter().map(|r| r.spec).chain(REFUSED.iter().map(|r| r.2)) {
        assert!(table::find(spec).is_some(), "{spec}");
    }
}

#[test]
fn bcftools_agrees() {
    if tools::installed("bcftools", "--version") {
        compare(Tool::Bcftools, tools::bcftools);
    }
}

#[test]
fn plink2_agrees() {
    if tools::installed("plink2", "--version") {
        compare(Tool::Plink2, tools::plink2);
    }
}

#[test]
fn plink1_agrees() {
    if tools::installed("plink1.9", "--version") {
        compare(Tool::Plink1, tools::plink1);
    }
}

#[test]
fn hail_agrees() {
    let Some(all) = tools::hail(&INPUTS, SCRATCH.path()) else { return };
    compare(Tool::Hail, |input| all.get(&input.name).cloned().unwrap_or(Err("not asked".into())));
}
