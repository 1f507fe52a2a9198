//! Counts, carriers and calls over `genotypes`: against `variants` and against counting by hand.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::path::PathBuf;

use proptest::prelude::*;
use strata::engine::Keyring;
use strata::genotype::query::{
    Call, Counted, Counts, Genotype, Genotypes, SampleSet, Span, samples, sites,
};
use strata::genotype::{Error, SampleEntry, SampleSheet, Sex};
use support::{Run, file, request, run};

const CHROMS: [&str; 4] = ["chr20", "chrX", "chrY", "chrM"];

/// A sample's sex and ancestry from its ordinal: every third of unknown sex, every fifth of no group.
fn entry(i: usize) -> SampleEntry {
    let sex = [Some(Sex::Female), Some(Sex::Male), None][i % 3];
    let ancestry = [Some("afr"), Some("eur"), Some("eas"), Some("eur"), None][i % 5];
    SampleEntry {
        research_id: 1000 + i as i64,
        sex,
        ancestry: ancestry.map(str::to_owned),
        ..SampleEntry::default()
    }
}

/// Ingests records of (chromosome, position, GT of each sample), sorted; samples in order of research id.
fn ingest(n: usize, records: &[(usize, i32, Vec<String>)]) -> Run {
    let mut text =
        String::from("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT");
    (0..n).for_each(|i| text += &format!("\tS{i}"));
    for (chrom, pos, gts) in records {
        let chrom = CHROMS[*chrom];
        text += &format!("\n{chrom}\t{pos}\t.\tA\tG\t.\t.\t.\tGT\t{}", gts.join("\t"));
    }
    text.push('\n');
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let included = (0..n).map(|i| (format!("S{i}"), entry(i))).collect();
    let sheet = SampleSheet { included, ..SampleSheet::default() };
    run(&request(&[path], sheet), 2).unwrap()
}

fn files(run: &Run, table: &str, chrom: &str) -> Vec<PathBuf> {
    let part = format!("/{table}/chrom={chrom}/");
    let files = run.output.files.iter().filter(|f| f.path.contains(&part));
    files.map(|f| run.dir.path().join(&f.path)).collect()
}

fn open(run: &Run, chrom: &str, n: usize) -> Genotypes {
    Genotypes::open(&files(run, "genotypes", chrom), n, &Keyring::default()).unwrap()
}

fn count(genotypes: &Genotypes, span: Span, sets: &[SampleSet]) -> Counted {
    let mut all = Counted::default();
    genotypes
        .count(span, sets, |some| {
            all.variant_idx.extend(some.variant_idx);
            all.pos.extend(some.pos);
            all.counts.extend(some.counts);
            Ok::<_, Error>(true)
        })
        .unwrap();
    all
}

fn calls(genotypes: &Genotypes, span: Span, set: &SampleSet, missing: bool) -> Vec<Call> {
    let mut all = Vec::new();
    genotypes
        .calls(span, set, missing, |some| {
            all.extend(some);
            Ok::<_, Error>(true)
        })
        .unwrap();
    all
}

/// What a GT is, of a sample whose ploidy the record states.
fn by_hand<'a>(
    gts: impl Iterator<Item = (usize, &'a String)>,
    none: impl Fn(usize) -> bool,
) -> Counts {
    let mut c = Counts::default();
    for (i, gt) in gts {
        let slot = match gt.as_str() {
            _ if none(i) => continue,
            "0" => &mut c.hemi_ref,
            "1" => &mut c.hemi_alt,
            "0/0" => &mut c.hom_ref,
            "0/1" | "0|1" | "1|0" => &mut c.het,
            "1/1" => &mut c.hom_alt,
            _ => &mut c.missing,
        };
        *slot += 1;
    }
    c.called = c.hom_ref + c.het + c.hom_alt + c.hemi_ref + c.hemi_alt;
    c
}

/// Positions outside the pseudo-autosomal regions, but for the first two of X and Y.
const POS: [i32; 6] = [20_000, 2_781_479, 2_781_480, 5_000_000, 6_000_000, 7_000_000];

fn outside(chrom: usize, pos: i32) -> bool {
    (chrom == 1 || chrom == 2) && pos > 2_781_479
}

/// GTs whose ploidy is that of the sample's sex, or any where that is unknown.
fn gt(chrom: usize, pos: i32, sample: usize, pick: u8) -> String {
    let haploid = match (chrom, entry(sample).sex) {
        (3, _) => true,
        _ if !outside(chrom, pos) => false,
        (_, Some(Sex::Male)) => true,
        (_, Some(Sex::Female)) => false,
        _ => pick & 128 > 0,
    };
    let text = if haploid {
        ["0", "1", "0", "."][usize::from(pick & 3)]
    } else {
        ["0/0", "0/1", "0/0", "1/1", "./.", "0|1", "1|0", "./1"][usize::from(pick & 7)]
    };
    text.to_owned()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn counts_equal_the_variants_table_and_counting_by_hand(
        n in 1usize..140,
        picks in prop::collection::vec(any::<u8>(), 4 * 6 * 140),
        members in prop::collection::vec(any::<bool>(), 140),
    ) {
        let mut records = Vec::new();
        for chrom in 0..4 {
            for (p, &pos) in POS.iter().enumerate() {
                let at = (chrom * 6 + p) * 140;
                records.push((chrom, pos, (0..n).map(|i| gt(chrom, pos, i, picks[at + i])).collect::<Vec<_>>()));
            }
        }
        let run = ingest(n, &records);
        let people = samples(&files_of_samples(&run), &Keyring::default()).unwrap();
        prop_assert_eq!(people.len(), n);
        let groups = ["afr", "eas", "eur"];
        let mut sets = vec![SampleSet::all(n), SampleSet::by(n, |i| members[i])];
        for g in groups {
            sets.push(SampleSet::by(n, |i| people[i].ancestry.as_deref() == Some(g)));
        }
        for (c, chrom) in CHROMS.iter().enumerate() {
            let counted = count(&open(&run, chrom, n), Span::ALL, &sets);
            let t = run.table(&format!("/variants/chrom={chrom}/"));
            prop_assert_eq!(&counted.pos, &t.ints("pos"));
            prop_assert_eq!(&counted.variant_idx, &t.ints("variant_idx"));
            for (row, counts) in counted.counts.chunks(sets.len()).enumerate() {
                let all = counts[0];
                let columns: [(&str, u32); 9] = [
                    ("n_called", all.called), ("n_missing", all.missing), ("n_hom_ref", all.hom_ref),
                    ("n_het", all.het), ("n_hom_alt", all.hom_alt), ("n_hemi_ref", all.hemi_ref),
                    ("n_hemi_alt", all.hemi_alt), ("ac", all.ac()), ("an", all.an()),
                ];
                for (name, got) in columns {
                    prop_assert_eq!(got as i32, t.ints(name)[row], "{} {} {}", chrom, row, name);
                }
                for (k, g) in groups.iter().enumerate() {
                    if t.0.column_by_name(&format!("ac_{g}")).is_none() {
                        continue;
                    }
                    let got = counts[2 + k];
                    for (name, got) in
                        [("ac", got.ac()), ("an", got.an()), ("hom", got.hom_alt), ("hemi", got.hemi_alt)]
                    {
                        prop_assert_eq!(got as i32, t.ints(&format!("{name}_{g}"))[row]);
                    }
                }
                let (_, pos, gts) = &records[c * 6 + row];
                let none = |i: usize| c == 2 && outside(c, *pos) && entry(i).sex == Some(Sex::Female);
                let want = by_hand(gts.iter().enumerate().filter(|(i, _)| members[*i]), none);
                prop_assert_eq!(counts[1], want, "{} {}", chrom, pos);
            }
        }
    }
}

fn files_of_samples(run: &Run) -> Vec<PathBuf> {
    let files = run.output.files.iter().filter(|f| f.path.contains("/samples/"));
    files.map(|f| run.dir.path().join(&f.path)).collect()
}

#[test]
fn regions_have_inclusive_ends() {
    let records: Vec<_> =
        (1..=50).map(|p| (0, p * 10, vec!["0/1".to_owned(), "0/0".to_owned()])).collect();
    let run = ingest(2, &records);
    let genotypes = open(&run, "chr20", 2);
    let sets = [SampleSet::all(2)];
    let of = |start, end| count(&genotypes, Span { start, end }, &sets).pos;
    assert_eq!(of(100, 120), [100, 110, 120]);
    assert_eq!(of(101, 119), [110]);
    assert_eq!(of(111, 119), [0i32; 0]);
    assert_eq!(of(500, i32::MAX), [500]);
    assert_eq!(of(501, i32::MAX), [0i32; 0]);
    assert_eq!(of(1, 10), [10]);
    let names = sites(
        &files(&run, "variants", "chr20"),
        Span { start: 100, end: 120 },
        &Keyring::default(),
    );
    let names: Vec<String> = names.map(|s| s.unwrap().vid).collect();
    assert_eq!(names, ["chr20-100-A-G", "chr20-110-A-G", "chr20-120-A-G"]);
    let none = count(&genotypes, Span::ALL, &[]);
    assert_eq!((none.pos.len(), none.counts.len()), (50, 0));
    assert!(Genotypes::open(&files(&run, "genotypes", "chr20"), 9, &Keyring::default()).is_err());
    assert!(Genotypes::open(&files(&run, "variants", "chr20"), 2, &Keyring::default()).is_err());
}

#[test]
fn calls_are_those_of_the_record() {
    let gts = ["0|1", "1/1", "1|0", "./.", "0/0", "./1"].map(str::to_owned).to_vec();
    let run = ingest(
        6,
        &[
            (0, 10, gts),
            (1, 5_000_000, ["0/1", "1", "0/0", "1/1", ".", "0"].map(str::to_owned).to_vec()),
        ],
    );
    let found = calls(&open(&run, "chr20", 6), Span::ALL, &SampleSet::all(6), true);
    let found: Vec<_> = found.iter().map(|c| (c.sample_idx, c.genotype, c.second)).collect();
    use Genotype::{HemiAlt, Het, HomAlt, Missing};
    let want = [
        (0, Het, Some(true)),
        (1, HomAlt, None),
        (2, Het, Some(false)),
        (3, Missing, None),
        (5, Missing, None),
    ];
    assert_eq!(found, want);
    let one = calls(&open(&run, "chr20", 6), Span::ALL, &SampleSet::of(6, [2]), false);
    assert_eq!(one.iter().map(|c| c.genotype).collect::<Vec<_>>(), [Het]);
    let x = calls(&open(&run, "chrX", 6), Span::ALL, &SampleSet::all(6), false);
    let x: Vec<_> = x.iter().map(|c| (c.sample_idx, c.genotype)).collect();
    assert_eq!(x, [(0, Het), (1, HemiAlt), (3, HomAlt)]);
}

/// Rows with few carriers are lists in a large callset; what a query says is the same.
#[test]
fn index_lists_count_as_planes_do() {
    let n = 20_000;
    let mut records = Vec::new();
    for chrom in 0..3 {
        for (p, every) in [1usize, 7, 50, 90, 1_000, 19_999, 40_000].into_iter().enumerate() {
            let pos = 5_000_000 + p as i32;
            let gts = (0..n)
                .map(|i| match (i % every == every / 2, gt(chrom, pos, i, 0).len()) {
                    (true, 1) => ["1", "."][i / every % 2].to_owned(),
                    (true, _) => ["0|1", "1|0", "1/1", "./."][i / every % 4].to_owned(),
                    (false, 1) => "0".to_owned(),
                    (false, _) => "0/0".to_owned(),
                })
                .collect::<Vec<_>>();
            records.push((chrom, pos, gts));
        }
    }
    let run = ingest(n, &records);
    let members: BTreeMap<usize, bool> = (0..n).map(|i| (i, i * 2_654_435_761 % 97 < 40)).collect();
    let sets = [SampleSet::all(n), SampleSet::by(n, |i| members[&i])];
    let mut lists = 0;
    for (c, chrom) in CHROMS[..3].iter().enumerate() {
        let table = run.table(&format!("/genotypes/chrom={chrom}/"));
        lists += table.column("het_idx").len() - table.column("het_idx").null_count();
        assert_eq!(table.column("het").null_count() + table.column("het_idx").null_count(), 7);
        let genotypes = open(&run, chrom, n);
        let counted = count(&genotypes, Span::ALL, &sets);
        let t = run.table(&format!("/variants/chrom={chrom}/"));
        let found = calls(&genotypes, Span::ALL, &sets[1], true);
        for (row, counts) in counted.counts.chunks(2).enumerate() {
            let (_, pos, gts) = &records[c * 7 + row];
            let none = |i: usize| c == 2 && entry(i).sex == Some(Sex::Female);
            for (set, got) in sets.iter().zip(counts) {
                let members = gts.iter().enumerate().filter(|(i, _)| set.contains(*i));
                assert_eq!(*got, by_hand(members, none), "{chrom} {pos}");
            }
            assert_eq!(
                (counts[0].ac() as i32, counts[0].an() as i32),
                (t.ints("ac")[row], t.ints("an")[row])
            );
            let here: Vec<&Call> = found.iter().filter(|call| call.pos == *pos).collect();
            assert!(here.is_sorted_by_key(|call| call.sample_idx));
            for call in &here {
                let gt = gts[call.sample_idx as usize].as_str();
                let want = match gt {
                    "0|1" => (Genotype::Het, Some(true)),
                    "1|0" => (Genotype::Het, Some(false)),
                    "1/1" => (Genotype::HomAlt, None),
                    "1" => (Genotype::HemiAlt, None),
                    _ => (Genotype::Missing, None),
                };
                assert_eq!((call.genotype, call.second), want, "{chrom} {pos}");
            }
            let expected =
                counts[1].het + counts[1].hom_alt + counts[1].hemi_alt + counts[1].missing;
            assert_eq!(here.len(), expected as usize);
        }
    }
    assert!(lists > 5, "{lists}");
}
