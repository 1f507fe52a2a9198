//! FORMAT fields: what counts as a call, depth and quality by variant, sample and carrier, the `quality`
//! table; against a plain reader of the text, bcftools and Hail.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]

#[path = "genotype_support/support.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int8Type, Int16Type, Int32Type, UInt16Type};
use proptest::prelude::*;
use strata::error::Coded;
use strata::genotype::{
    CallRules, CallsetRequest, FormatField, HalfCalls, Options, SampleEntry, SampleSheet,
};
use support::{Run, Table, file, read_text, request, run, shared};

const GROUPS: [&str; 2] = ["afr", "eur"];

fn vcf(samples: usize, records: &[String]) -> String {
    let mut text = String::from("##fileformat=VCFv4.2\n##contig=<ID=1>\n");
    for (id, number, ty) in [
        ("GT", "1", "String"),
        ("AD", "R", "Integer"),
        ("DP", "1", "Integer"),
        ("GQ", "1", "Integer"),
        ("FT", "1", "String"),
    ] {
        text += &format!("##FORMAT=<ID={id},Number={number},Type={ty},Description=\"x\">\n");
    }
    text += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT";
    (0..samples).for_each(|i| text += &format!("\tS{i}"));
    text += "\n";
    records.iter().for_each(|r| text += &(r.replace(' ', "\t") + "\n"));
    text
}

/// Samples in file order; every third of no group; ages from 28 in steps of 9, each fourth unknown.
fn sheet(names: &[String]) -> SampleSheet {
    let entry = |(i, name): (usize, &String)| {
        let entry = SampleEntry {
            research_id: 100 + i as i64,
            ancestry: GROUPS.get(i % 3).map(|g| (*g).to_owned()),
            age: (i % 4 != 3).then_some(28 + 9 * (i % 7) as u16),
            ..SampleEntry::default()
        };
        (name.clone(), entry)
    };
    SampleSheet { included: names.iter().enumerate().map(entry).collect(), ..Default::default() }
}

fn options(calls: CallRules) -> Options {
    let format = vec![FormatField::AD, FormatField::DP, FormatField::GQ];
    Options { format, quality: true, calls, ..Options::default() }
}

fn requested(path: &Path, options: Options) -> CallsetRequest {
    let samples = sheet(&strata::genotype::sample_names(path).unwrap());
    CallsetRequest { options, ..request(&[path.to_owned()], samples) }
}

fn ingest(text: &str, options: Options) -> Result<Run, strata::genotype::Error> {
    let dir = tempfile::tempdir().unwrap();
    run(&requested(&file(&dir, "in.vcf", text.as_bytes()), options), 2)
}

fn lists(table: &Table, name: &str) -> Vec<Vec<i32>> {
    let column = table.column(name).as_fixed_size_list();
    let row = |i: usize| column.value(i).as_primitive::<Int32Type>().values().to_vec();
    (0..column.len()).map(row).collect()
}

fn cells(table: &Table, name: &str) -> Vec<Vec<Option<i64>>> {
    let column = table.column(name).as_fixed_size_list();
    let row = |i: usize| {
        column.value(i).as_primitive::<UInt16Type>().iter().map(|v| v.map(i64::from)).collect()
    };
    (0..column.len()).map(row).collect()
}

/// A cell as the naive reader sees it.
#[derive(Debug, Clone, Default)]
struct Cell {
    alleles: Vec<Option<usize>>,
    half: bool,
    filtered: bool,
    gq: Option<i64>,
    dp: Option<i64>,
    ad: Vec<Option<i64>>,
}

fn int(text: &str) -> Option<i64> {
    let value: f64 = text.parse().ok()?;
    (value.fract() == 0.0 && (0.0..=f64::from(i32::MAX)).contains(&value)).then_some(value as i64)
}

impl Cell {
    fn read(format: &str, text: &str, alleles: usize, calls: &CallRules) -> Self {
        let values: Vec<&str> = text.split(':').collect();
        let value =
            |key| format.split(':').position(|k| k == key).and_then(|i| values.get(i)).copied();
        let mut cell = Self {
            alleles: values[0].split(['/', '|']).map(|a| a.parse().ok()).collect(),
            gq: value("GQ").and_then(int),
            dp: value("DP").and_then(int),
            ad: value("AD").map(|v| v.split(',').map(int).collect()).unwrap_or_default(),
            ..Self::default()
        };
        if cell.ad.len() != alleles {
            cell.ad = vec![None; alleles];
        }
        let missing = cell.alleles.iter().filter(|a| a.is_none()).count();
        cell.half = cell.alleles.len() == 2 && missing == 1;
        if cell.half && calls.half_calls == HalfCalls::Haploid {
            cell.alleles.retain(Option::is_some);
        }
        let fails = value("FT").is_some_and(|v| !["", ".", "PASS"].contains(&v));
        cell.filtered = fails && cell.called();
        if cell.filtered {
            cell.alleles = vec![None];
        }
        cell
    }

    fn called(&self) -> bool {
        self.alleles.len() <= 2 && self.alleles.iter().all(Option::is_some)
    }

    fn copies(&self, allele: usize) -> usize {
        self.alleles.iter().filter(|a| **a == Some(allele)).count()
    }

    fn total(&self) -> Option<i64> {
        self.ad.iter().copied().sum::<Option<i64>>().filter(|t| *t > 0)
    }

    fn is_het(&self, allele: usize) -> bool {
        self.alleles.len() == 2 && self.copies(allele) == 1
    }

    fn passes(&self, allele: usize, calls: &CallRules) -> bool {
        let share = || Some(self.ad[allele]? as f64 / self.total()? as f64);
        calls.min_gq.is_none_or(|min| self.gq.is_some_and(|v| v >= i64::from(min)))
            && calls.min_dp.is_none_or(|min| self.dp.is_some_and(|v| v >= i64::from(min)))
            && (!self.is_het(allele)
                || calls.min_ab.is_none_or(|min| share().is_some_and(|s| s >= min)))
    }
}

fn mean(values: &[i64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<i64>() as f64 / values.len() as f64)
}

/// Bins of width `width` from `low` to `high`, the last closed; then how many are smaller and larger.
fn histogram(
    values: impl Iterator<Item = i64>,
    low: i64,
    high: i64,
    width: i64,
) -> (Vec<i32>, i32, i32) {
    let (mut bins, mut smaller, mut larger) = (vec![0; ((high - low) / width) as usize], 0, 0);
    for v in values {
        let last = bins.len() - 1;
        match v {
            v if v < low => smaller += 1,
            v if v > high => larger += 1,
            v => bins[(((v - low) / width) as usize).min(last)] += 1,
        }
    }
    (bins, smaller, larger)
}

/// POS, REF and ALT of a record.
fn source_key(record: &str) -> [String; 3] {
    let fields: Vec<&str> = record.split(' ').collect();
    [1, 3, 4].map(|i| fields[i].to_owned())
}

/// POS, REF and ALT of the record that each row comes from.
fn source_keys(t: &Table) -> Vec<[String; 3]> {
    let columns = ["orig_pos", "orig_ref", "orig_alt"].map(|n| t.texts(n));
    let text = |k: usize, row: usize| columns[k][row].clone().unwrap();
    (0..t.len()).map(|row| [0, 1, 2].map(|k| text(k, row))).collect()
}

/// Compares all that the fields give with what the text of `records` says.
fn compare(run: &Run, records: &[String], samples: usize, calls: &CallRules, ages: &[Option<u16>]) {
    let (t, q, c) = (run.variants(), run.table("/quality/chrom"), run.table("/carriers/"));
    let (keys, index) = (source_keys(&t), t.ints("allele_index"));
    let column = |name: &str| if calls.has_adj() { t.ints(name) } else { Vec::new() };
    let adj = ["ac_adj", "an_adj", "hom_adj", "hemi_adj"].map(column);
    let (n_filtered, n_half, n_called) =
        (t.ints("n_filtered"), t.ints("n_half"), t.ints("n_called"));
    let (mean_dp, mean_gq) = (t.floats("mean_dp"), t.floats("mean_gq"));
    let hists = ["gq_hist_all", "dp_hist_all", "gq_hist_alt", "dp_hist_alt"].map(|n| lists(&t, n));
    let (balance, het_ages, hom_ages) =
        (lists(&t, "ab_hist_alt"), lists(&t, "age_hist_het"), lists(&t, "age_hist_hom"));
    let [dps, gqs, ads] = ["dp", "gq", "ad_alt"].map(|n| cells(&q, n));
    let shorts: Vec<Option<i64>> =
        c.column("gq").as_primitive::<Int16Type>().iter().map(|v| v.map(i64::from)).collect();
    let longs = |name: &str| -> Vec<Option<i64>> {
        c.column(name).as_primitive::<Int32Type>().iter().map(|v| v.map(i64::from)).collect()
    };
    let (dp_c, ref_c, alt_c) = (longs("dp"), longs("ad_ref"), longs("ad_alt"));
    let codes = c.column("gt").as_primitive::<Int8Type>().values().to_vec();
    let carriers: Vec<(i32, i32)> =
        c.ints("variant_idx").into_iter().zip(c.ints("sample_idx")).collect();
    let mut carrier = 0;
    let mut sums = vec![(Vec::new(), Vec::new()); samples];
    let mut counted = BTreeSet::new();
    for row in 0..t.len() {
        let (key, allele) = (&keys[row], index[row] as usize);
        let first = counted.insert(key);
        let record = records.iter().find(|r| source_key(r) == *key).unwrap();
        let fields: Vec<&str> = record.split(' ').collect();
        let alleles = fields[4].split(',').count() + 1;
        let read = |text: &&str| Cell::read(fields[8], text, alleles, calls);
        let all: Vec<Cell> = fields[9..].iter().map(read).collect();
        let called = || all.iter().filter(|c| c.called());
        let alt = || called().filter(|c| c.copies(allele) > 0);
        assert_eq!(n_called[row] as usize, called().count(), "{record}");
        assert_eq!(n_filtered[row] as usize, all.iter().filter(|c| c.filtered).count(), "{record}");
        assert_eq!(n_half[row] as usize, all.iter().filter(|c| c.half).count(), "{record}");
        let values = |pick: fn(&Cell) -> Option<i64>| called().filter_map(pick).collect::<Vec<_>>();
        assert_eq!(mean_dp[row], mean(&values(|c| c.dp)), "{record}");
        assert_eq!(mean_gq[row], mean(&values(|c| c.gq)), "{record}");
        let alts = |pick: fn(&Cell) -> Option<i64>| alt().filter_map(pick).collect::<Vec<_>>();
        let want = [values(|c| c.gq), values(|c| c.dp), alts(|c| c.gq), alts(|c| c.dp)];
        for (hist, want) in hists.iter().zip(want) {
            let (mut bins, _, larger) = histogram(want.into_iter(), 0, 100, 5);
            bins.push(larger);
            assert_eq!(hist[row], bins, "{record}");
        }
        let hets = || called().filter(|c| c.is_het(allele));
        let mut shares = vec![0; 20];
        for c in hets() {
            if let (Some(alt), Some(total)) = (c.ad[allele], c.total()) {
                shares[((20 * alt / total) as usize).min(19)] += 1;
            }
        }
        assert_eq!(balance[row], shares, "{record}");
        for (got, het) in [(&het_ages, true), (&hom_ages, false)] {
            let of = |(c, age): (&Cell, &Option<u16>)| {
                let carries = c.called() && c.copies(allele) > 0;
                (carries && c.is_het(allele) == het).then_some(*age)?.map(i64::from)
            };
            let (bins, smaller, larger) = histogram(all.iter().zip(ages).filter_map(of), 30, 80, 5);
            assert_eq!(got[row], [vec![smaller], bins, vec![larger]].concat(), "{record}");
        }
        if calls.has_adj() {
            let mut counts = [0; 4];
            for c in called().filter(|c| c.passes(allele, calls)) {
                let (n, ploidy) = (c.copies(allele) as i32, c.alleles.len() as i32);
                let hom = [n == 2, n == 1 && ploidy == 1].map(i32::from);
                for (sum, n) in counts.iter_mut().zip([n, ploidy, hom[0], hom[1]]) {
                    *sum += n;
                }
            }
            assert_eq!([0, 1, 2, 3].map(|k| adj[k][row]), counts, "{record}");
        }
        for (s, cell) in all.iter().enumerate() {
            let kept = |v: Option<i64>| v.filter(|_| cell.called()).map(|v| v.min(65_534));
            assert_eq!(dps[row][s], kept(cell.dp), "{record}");
            assert_eq!(gqs[row][s], kept(cell.gq), "{record}");
            assert_eq!(ads[row][s], kept(cell.ad[allele]), "{record}");
            if first && cell.called() {
                sums[s].0.extend(cell.dp);
                sums[s].1.extend(cell.gq);
            }
            if cell.called() && cell.copies(allele) == 0 {
                continue;
            }
            assert_eq!(carriers[carrier], (row as i32, s as i32), "{record}");
            assert_eq!(codes[carrier] == 6, cell.filtered, "{record}");
            assert_eq!(shorts[carrier], cell.gq.map(|v| v.min(32_767)), "{record}");
            assert_eq!(dp_c[carrier], cell.dp, "{record}");
            assert_eq!((ref_c[carrier], alt_c[carrier]), (cell.ad[0], cell.ad[allele]), "{record}");
            carrier += 1;
        }
    }
    assert_eq!(carrier, carriers.len());
    let s = run.table("/samples/");
    let want: Vec<_> = sums.iter().map(|(dp, _)| mean(dp)).collect();
    assert_eq!(s.floats("mean_dp"), want);
    let want: Vec<_> = sums.iter().map(|(_, gq)| mean(gq)).collect();
    assert_eq!(s.floats("mean_gq"), want);
}

fn value() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => "[0-9]{1,2}", 2 => "1[0-9]{2}", 1 => Just("100".into()), 1 => Just("70000".into()),
        1 => Just(".".into()), 1 => Just("7.5".into()), 1 => Just("12.0".into()), 1 => Just("-1".into())
    ]
}

/// Cells of a record with `alts` ALTs, fields in the order `order`, cut at random.
fn a_cell(alts: usize, order: [usize; 4]) -> impl Strategy<Value = String> {
    let allele = move || prop_oneof![4 => Just("0".to_owned()), 3 => (1..=alts).prop_map(|a| a.to_string()), 1 => Just(".".to_owned())];
    let gt = prop_oneof![
        6 => Just("0/0".to_owned()),
        8 => (allele(), "[/|]", allele()).prop_map(|(a, s, b)| a + &s + &b),
        1 => allele(),
        1 => Just("0/0/1".to_owned()),
    ];
    let depths = prop_oneof![
        8 => prop::collection::vec(value(), alts + 1), 1 => prop::collection::vec(value(), 1..4)
    ];
    let filter = prop_oneof![5 => Just("PASS"), 3 => Just("."), 1 => Just("lowGQ;x")];
    (gt, value(), depths.prop_map(|d| d.join(",")), value(), filter, 1usize..9).prop_map(
        move |(gt, gq, ad, dp, ft, n)| {
            let values = [gq, ad, dp, ft.to_owned()];
            let rest = order.iter().map(|&k| values[k].clone()).take(n.min(5) - 1);
            std::iter::once(gt).chain(rest).collect::<Vec<_>>().join(":")
        },
    )
}

fn a_record(i: usize, samples: usize) -> impl Strategy<Value = String> {
    let order = Just([0usize, 1, 2, 3]).prop_shuffle();
    (1usize..4, order).prop_flat_map(move |(alts, order)| {
        let key = order.map(|k| ["GQ", "AD", "DP", "FT"][k]).join(":");
        prop::collection::vec(a_cell(alts, order), samples).prop_map(move |cells| {
            let alt = ["C", "G", "T"][..alts].join(",");
            format!("1 {} . A {alt} . . . GT:{key} {}", 10 + i, cells.join(" "))
        })
    })
}

fn some_records() -> impl Strategy<Value = Vec<String>> {
    (1usize..24, 1usize..12)
        .prop_flat_map(|(samples, n)| (0..n).map(|i| a_record(i, samples)).collect::<Vec<_>>())
}

fn some_rules() -> impl Strategy<Value = CallRules> {
    let half_calls = prop_oneof![Just(HalfCalls::Missing), Just(HalfCalls::Haploid)];
    let gq = prop::option::of(5u8..60);
    let dp = prop::option::of(5u32..60);
    let ab = prop::option::of((0u8..10).prop_map(|v| f64::from(v) / 20.0));
    (any::<bool>(), half_calls, gq, dp, ab).prop_map(|(_, half_calls, min_gq, min_dp, min_ab)| {
        CallRules { ft: true, half_calls, min_gq, min_dp, min_ab }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn tables_hold_what_the_text_says(records in some_records(), calls in some_rules()) {
        let samples = records[0].split(' ').count() - 9;
        let run = ingest(&vcf(samples, &records), options(calls.clone())).unwrap();
        let names: Vec<String> = (0..samples).map(|i| format!("S{i}")).collect();
        let sheet = sheet(&names);
        let ages: Vec<Option<u16>> = names.iter().map(|n| sheet.included[n].age).collect();
        prop_assume!(ages.iter().any(Option::is_some));
        compare(&run, &records, samples, &calls, &ages);
    }
}

fn strings(records: &[&str]) -> Vec<String> {
    records.iter().map(|r| (*r).to_owned()).collect()
}

#[test]
fn filtered_calls_are_missing_and_counted_apart() {
    let text =
        vcf(6, &strings(&["1 5 . A G . . . GT:FT 0/1:PASS 0/1:q10 0/0:q10;x ./.:q10 1/1:. 0/0"]));
    let on = ingest(&text, Options::default()).unwrap();
    let t = on.variants();
    let get = |t: &Table, n: &str| t.ints(n)[0];
    assert_eq!(
        ["n_called", "n_missing", "n_filtered", "ac", "an"].map(|n| get(&t, n)),
        [3, 3, 2, 3, 6]
    );
    let c = on.table("/carriers/");
    let codes = c.column("gt").as_primitive::<Int8Type>().values().to_vec();
    assert_eq!((c.ints("sample_idx"), codes), (vec![0, 1, 2, 3, 4], vec![1, 6, 6, 5, 2]));
    let g = on.table("/genotypes/");
    assert_eq!(g.bytes("het")[0].as_deref(), Some(&[0b0_1111u8][..]));
    assert_eq!(g.bytes("hom_alt")[0].as_deref(), Some(&[0b1_1110u8][..]));
    assert_eq!(on.ledger().noted["filtered_call"], 2);
    assert!(t.0.column_by_name("mean_dp").is_none(), "no field was asked for");
    let calls = CallRules { ft: false, ..CallRules::default() };
    let off = ingest(&text, Options { calls, ..Options::default() }).unwrap().variants();
    assert_eq!(
        ["n_called", "n_missing", "n_filtered", "ac", "an"].map(|n| get(&off, n)),
        [5, 1, 0, 4, 10]
    );
}

#[test]
fn half_calls_are_missing_haploid_or_an_error() {
    let text = vcf(
        4,
        &strings(&["1 5 . A G . . . GT 0/0 0/1 1/1 0/0", "1 6 . A G . . . GT ./1 0|. 0/1 ./."]),
    );
    let with = |half_calls| {
        let calls = CallRules { half_calls, ..CallRules::default() };
        ingest(&text, Options { calls, ..Options::default() })
    };
    let get = |run: &Run, n: &str| run.variants().ints(n)[1];
    let names = ["n_called", "n_missing", "n_half", "n_hemi_ref", "n_hemi_alt", "ac", "an"];
    let missing = with(HalfCalls::Missing).unwrap();
    assert_eq!(names.map(|n| get(&missing, n)), [1, 3, 2, 0, 0, 1, 2]);
    let haploid = with(HalfCalls::Haploid).unwrap();
    assert_eq!(names.map(|n| get(&haploid, n)), [3, 1, 2, 1, 1, 2, 4]);
    let codes =
        haploid.table("/carriers/").column("gt").as_primitive::<Int8Type>().values().to_vec();
    assert_eq!(codes, [1, 2, 3, 1, 5]);
    let error = with(HalfCalls::Error).err().unwrap();
    assert_eq!(error.code(), "genotype::half_call");
    let line = text.lines().count();
    assert!(error.to_string().contains(&format!("line {line}:")), "{error}");
}

#[test]
fn unusable_values_are_noted_and_do_no_harm() {
    let record = "1 5 . A G . . . GT:AD:DP:GQ 0/1:1,2,3:x:9.5 0/1:.:.:. 0/1:4:-2:99.0 1/1:0,7:7";
    let run = ingest(&vcf(4, &strings(&[record])), options(CallRules::default())).unwrap();
    assert_eq!(run.ledger().noted["format_value_unusable"], 3);
    assert_eq!(run.ledger().noted["format_ad_count"], 2);
    let t = run.variants();
    assert_eq!((t.floats("mean_dp")[0], t.floats("mean_gq")[0]), (Some(7.0), Some(99.0)));
    assert_eq!(t.ints("ac"), [5]);
}

#[test]
fn common_variants_have_no_carriers_above_the_limit() {
    let records = strings(&[
        "1 5 . A G . . . GT 0/1 0/0 0/0",
        "1 6 . A G . . . GT 0/1 1/1 0/0",
        "1 7 . A G . . . GT ./. ./. ./.",
    ]);
    let limited = Options { carriers_max_af: Some(0.2), ..Options::default() };
    let limited = ingest(&vcf(3, &records), limited).unwrap();
    assert_eq!(limited.table("/carriers/").ints("variant_idx"), [0, 2, 2, 2]);
    let all = ingest(&vcf(3, &records), Options::default()).unwrap();
    assert_eq!(all.table("/carriers/").ints("variant_idx"), [0, 1, 1, 2, 2, 2]);
    for table in ["/samples/", "/genotypes/", "/variants/"] {
        let digest = |run: &Run| {
            run.digests().into_iter().filter(|d| d.0.contains(table)).collect::<Vec<_>>()
        };
        assert_eq!(digest(&limited), digest(&all), "{table}");
    }
}

#[test]
fn adj_counts_need_all_thresholds() {
    let record = "1 5 . A G . . . GT:AD:DP:GQ 0/1:8,2:10:20 0/1:9,1:10:99 0/1:5,5:9:99 1/1:0,10:10:20 \
        0/0:10,0:10:19 0/0:10,0:10:20 0/0 1:0,12:12:30";
    let calls =
        CallRules { min_gq: Some(20), min_dp: Some(10), min_ab: Some(0.2), ..CallRules::default() };
    let only = Options { calls, ..Options::default() };
    let run = ingest(&vcf(8, &strings(&[record])), only).unwrap();
    let t = run.variants();
    assert_eq!(
        ["ac", "an", "ac_adj", "an_adj", "hom_adj", "hemi_adj"].map(|n| t.ints(n)[0]),
        [6, 15, 4, 7, 1, 1]
    );
    assert!(run.table("/carriers/").0.column_by_name("dp").is_none(), "no field was selected");
}

/// Whoever is left out may have any values at all.
#[test]
fn fields_of_samples_left_out_leave_no_trace() {
    let with = |last: [&str; 2]| {
        let text = vcf(
            3,
            &strings(&[
                &format!(
                    "1 5 . A G . . . GT:AD:DP:GQ:FT 0/1:3,4:7:50:PASS 0/0:9,0:9:20:. {}",
                    last[0]
                ),
                &format!(
                    "1 6 . A C,G . . . GT:AD:DP:GQ 1/1:0,4,9:13:50 0/1:9,9,0:9:20 {}",
                    last[1]
                ),
            ]),
        );
        let dir = tempfile::tempdir().unwrap();
        let path = file(&dir, "in.vcf", text.as_bytes());
        let calls = CallRules {
            min_gq: Some(10),
            min_ab: Some(0.2),
            half_calls: HalfCalls::Error,
            ..CallRules::default()
        };
        let mut request = requested(&path, options(calls));
        request.samples.included.remove("S2");
        request.samples.excluded.insert("S2".into(), "withdrawn".into());
        let run = run(&request, 1).unwrap();
        let balance = lists(&run.variants(), "ab_hist_alt");
        (run.digests(), run.ledger().clone(), balance)
    };
    let plain = with(["0/0", "0/2"]);
    assert_eq!(with(["./1:x:9.9:-1:bad", "0/2:1,2:99999:1"]), plain);
    // The reads of G, which only the sample that is left out carries, are not in the denominator.
    assert_eq!(plain.2[1].iter().position(|n| *n > 0), Some(10));
}

fn bcftools(arguments: &[&str], path: &Path) -> Option<String> {
    let output = Command::new("bcftools").args(arguments).arg(path).output();
    match output {
        Ok(output) if output.status.success() => Some(String::from_utf8(output.stdout).unwrap()),
        _ => {
            println!("skipped: bcftools does not run");
            None
        }
    }
}

fn text_records(path: &Path) -> Vec<String> {
    let records = read_text(path);
    records.lines().filter(|l| !l.starts_with('#')).map(|l| l.replace('\t', " ")).collect()
}

#[test]
fn a_real_file_is_as_its_text_and_bcftools_say() {
    let Some(path) = shared("vcf/hail_sample_1kg_chr20_100s.vcf.gz") else { return };
    let calls =
        CallRules { min_gq: Some(20), min_dp: Some(10), min_ab: Some(0.2), ..CallRules::default() };
    let request = requested(&path, options(calls.clone()));
    let names = strata::genotype::sample_names(&path).unwrap();
    let ages: Vec<Option<u16>> = names.iter().map(|n| request.samples.included[n].age).collect();
    let run = run(&request, 2).unwrap();
    compare(&run, &text_records(&path), names.len(), &calls, &ages);
    let Some(text) =
        bcftools(&["query", "-f", "x %POS x %REF %ALT[\t%GT %DP %GQ %AD{1}]\n"], &path)
    else {
        return;
    };
    let q = run.table("/quality/chrom");
    let [dp, gq, ad] = ["dp", "gq", "ad_alt"].map(|n| cells(&q, n));
    let mut seen = 0;
    let keys = source_keys(&run.variants());
    for line in text.lines() {
        let key = source_key(line.split('\t').next().unwrap());
        let row = keys.iter().position(|k| *k == key).unwrap();
        for (s, cell) in line.split('\t').skip(1).enumerate() {
            let v: Vec<&str> = cell.split(' ').collect();
            let want = |k: usize| v[k].parse::<i64>().ok().filter(|_| !v[0].contains('.'));
            assert_eq!((dp[row][s], gq[row][s], ad[row][s]), (want(1), want(2), want(3)), "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen, 346 * 100);
}

/// Hail's means take in the values of cells without a call; ours do not, so both are compared with the text.
#[test]
fn hail_means_differ_by_the_cells_without_a_call_alone() {
    let (Some(path), Some(golden)) =
        (shared("vcf/hail_sample_1kg_chr20_100s.vcf.gz"), shared("golden/hail_variant_qc.tsv"))
    else {
        return;
    };
    let run = run(&requested(&path, options(CallRules::default())), 2).unwrap();
    let t = run.variants();
    let (dp, gq, called) = (t.floats("mean_dp"), t.floats("mean_gq"), t.ints("n_called"));
    let golden = std::fs::read_to_string(golden).unwrap();
    let head: Vec<&str> = golden.lines().next().unwrap().split('\t').collect();
    let at = |name: &str| head.iter().position(|h| h.ends_with(name)).unwrap();
    let close = |shown: &str, value: f64| {
        (shown.parse::<f64>().unwrap() - value).abs() <= 5.1e-5 * value.abs()
    };
    let mut same = 0;
    let keys = source_keys(&t);
    for (line, record) in golden.lines().skip(1).zip(text_records(&path)) {
        let row = keys.iter().position(|k| *k == source_key(&record)).unwrap();
        let g: Vec<&str> = line.split('\t').collect();
        let fields: Vec<&str> = record.split(' ').collect();
        let read = |text: &&str| Cell::read(fields[8], text, 2, &CallRules::default());
        let all: Vec<Cell> = fields[9..].iter().map(read).collect();
        let values =
            |pick: fn(&Cell) -> Option<i64>| all.iter().filter_map(pick).collect::<Vec<_>>();
        assert!(close(g[at("dp_stats.mean")], mean(&values(|c| c.dp)).unwrap()), "{line}");
        assert!(close(g[at("gq_stats.mean")], mean(&values(|c| c.gq)).unwrap()), "{line}");
        if called[row] == 100 {
            assert!(close(g[at("dp_stats.mean")], dp[row].unwrap()), "{line}");
            assert!(close(g[at("gq_stats.mean")], gq[row].unwrap()), "{line}");
            same += 1;
        }
    }
    assert!(same > 100, "{same}");
}

#[test]
fn bcf_and_vcf_give_the_same_tables_on_any_number_of_threads() {
    let mut paths: Vec<PathBuf> =
        ["hail_sample_1kg_chr20_100s.vcf.gz", "hail_sample2_multiallelic.vcf.gz"]
            .iter()
            .filter_map(|name| shared(&format!("vcf/{name}")))
            .collect();
    let dir = tempfile::tempdir().unwrap();
    let records: Vec<String> = (0..200)
        .map(|i| {
            let cell = |s: usize| {
                let gt =
                    ["0/0", "0/1", "1/1", "./.", "1/2", "./1", "0|1", "2"][(i * 7 + s * s * 5) % 8];
                let ad = ["3,4,5", ".", "1,.,2", "70000,1,0"][(i + s) % 4];
                let ft = ["PASS", ".", "q", "PASS"][(i * s) % 4];
                let cell = format!("{gt}:{ad}:{}:{}:{ft}", (i * s) % 300, (i + 3 * s) % 99);
                if (i + s).is_multiple_of(11) { gt.to_owned() } else { cell }
            };
            let cells: Vec<String> = (0..23).map(cell).collect();
            format!("1 {} . A C,G . . . GT:AD:DP:GQ:FT {}", 10 + i, cells.join(" "))
        })
        .collect();
    paths.push(file(&dir, "made.vcf", vcf(23, &records).as_bytes()));
    for path in paths {
        let bcf = dir.path().join("same.bcf");
        if bcftools(&["view", "-Ob", "-o", bcf.to_str().unwrap()], &path).is_none() {
            return;
        }
        let calls = CallRules {
            min_gq: Some(20),
            min_ab: Some(0.25),
            half_calls: HalfCalls::Haploid,
            ..CallRules::default()
        };
        let tables = |path: &Path, threads| {
            let run = run(&requested(path, options(calls.clone())), threads).unwrap();
            let digests: BTreeMap<_, _> =
                run.digests().into_iter().filter(|(p, _)| !p.starts_with("quality")).collect();
            (digests, run.ledger().noted.clone())
        };
        let want = tables(&path, 1);
        assert!(want.0.keys().any(|p| p.contains("/quality/chrom=")));
        assert_eq!(tables(&path, 3), want, "{}", path.display());
        assert_eq!(tables(&bcf, 2), want, "{}", path.display());
    }
}
