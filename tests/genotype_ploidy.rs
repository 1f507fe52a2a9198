//! Ploidy by sex and region, strata, frequencies, Hardy-Weinberg on X, karyotypes and flags of samples.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]
#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use arrow::array::AsArray;
use proptest::prelude::*;
use strata::genotype::{Genome, SampleEntry, SampleSheet, Sex, Stratum};
use support::{Run, Table, file, request, run};

const F: Option<Sex> = Some(Sex::Female);
const M: Option<Sex> = Some(Sex::Male);

fn entry(i: usize, sex: Option<Sex>, ancestry: Option<&str>) -> SampleEntry {
    SampleEntry {
        research_id: 100 + i as i64,
        sex,
        ancestry: ancestry.map(str::to_owned),
        ..SampleEntry::default()
    }
}

fn sheet(entries: Vec<SampleEntry>) -> SampleSheet {
    let named = entries.into_iter().enumerate().map(|(i, e)| (format!("S{i}"), e));
    SampleSheet { included: named.collect(), ..SampleSheet::default() }
}

/// A VCF of samples S0, S1 ...; records as `CHROM POS REF ALT` and genotypes.
fn vcf(samples: usize, records: &[(String, Vec<String>)]) -> String {
    let mut text = String::from(
        "##fileformat=VCFv4.2\n##FORMAT=<ID=GT,Number=1,Type=String,Description=\"x\">\n",
    );
    for chrom in ["20", "X", "Y", "MT", "GL1"] {
        writeln!(text, "##contig=<ID={chrom}>").unwrap();
    }
    text += "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT";
    (0..samples).for_each(|i| write!(text, "\tS{i}").unwrap());
    text += "\n";
    for (site, calls) in records {
        let f: Vec<&str> = site.split(' ').collect();
        let [chrom, pos, reference, alt] = f[..] else { unreachable!() };
        let id = format!("{chrom}:{pos}");
        write!(text, "{chrom}\t{pos}\t{id}\t{reference}\t{alt}\t.\t.\t.\tGT").unwrap();
        calls.iter().for_each(|c| write!(text, "\t{c}").unwrap());
        text += "\n";
    }
    text
}

fn ingest(text: &str, samples: SampleSheet, genome: Genome, strata: &[Stratum]) -> Run {
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let mut request = request(&[path], samples);
    request.genome = genome;
    request.options.strata = strata.to_vec();
    run(&request, 2).unwrap()
}

fn flags(t: &Table) -> Vec<Vec<String>> {
    let list = t.column("flags").as_list::<i32>();
    let texts = |i| list.value(i).as_string::<i32>().iter().flatten().map(str::to_owned).collect();
    (0..t.len()).map(texts).collect()
}

/// One row of the table below: what it is, the record, and the expected counts.
struct Case {
    what: &'static str,
    site: &'static str,
    calls: &'static str,
    /// hom_ref het hom_alt hemi_ref hemi_alt missing half het_hap
    classes: [i32; 8],
    ac_an: [i32; 2],
}

/// The corner cases on which tools disagree, with twelve samples: S0 to S5 stated female, S6 to S11 male.
const CASES: [Case; 14] = [
    Case {
        what: "diploid calls on an autosome",
        site: "20 100 A G",
        calls: "0/0 0/1 1/1 0/0 0/1 1/1 0/0 0/1 0/1 0/0 0/1 0/0",
        classes: [5, 5, 2, 0, 0, 0, 0, 0],
        ac_an: [9, 24],
    },
    Case {
        what: "half calls are missing and counted apart",
        site: "20 200 A G",
        calls: "./1 0/. 1/. 0/0 0/1 1/1 0/0 0/1 0/1 0/1 0/1 0/1",
        classes: [2, 6, 1, 0, 0, 3, 3, 0],
        ac_an: [8, 18],
    },
    Case {
        what: "haploid calls on an autosome stay haploid",
        site: "20 300 A G",
        calls: "0 1 0 1 0/0 0/1 0/0 0/1 0/1 0/0 0/0 0/0",
        classes: [5, 3, 0, 2, 2, 0, 0, 0],
        ac_an: [5, 20],
    },
    Case {
        what: "all het",
        site: "20 400 A G",
        calls: "0/1 0/1 0/1 0/1 0/1 0/1 0/1 0/1 0/1 0/1 0/1 0/1",
        classes: [0, 12, 0, 0, 0, 0, 0, 0],
        ac_an: [12, 24],
    },
    Case {
        what: "all missing",
        site: "20 500 A G",
        calls: "./. ./. ./. ./. ./. ./. . . . . . .",
        classes: [0, 0, 0, 0, 0, 12, 0, 0],
        ac_an: [0, 0],
    },
    Case {
        what: "three alleles are missing",
        site: "20 600 A G",
        calls: "0/0/1 0/1 1/1 0/0 0/0 0/0 0/0 0/0 0/0 0/0 0/0 0/0",
        classes: [9, 1, 1, 0, 0, 1, 0, 0],
        ac_an: [3, 22],
    },
    Case {
        what: "pseudo-autosomal X: all diploid",
        site: "X 20000 A G",
        calls: "0/0 0/1 1/1 0/0 0/0 0/0 0/1 1/1 0/0 0/0 0/0 0/0",
        classes: [8, 2, 2, 0, 0, 0, 0, 0],
        ac_an: [6, 24],
    },
    Case {
        what: "X, men coded haploid",
        site: "X 5000000 A G",
        calls: "0/0 0/1 1/1 0/1 0/1 0/0 0 1 1 0 0 .",
        classes: [2, 3, 1, 3, 2, 1, 0, 0],
        ac_an: [7, 17],
    },
    Case {
        what: "X, men coded as homozygotes: one copy each",
        site: "X 5000100 A G",
        calls: "0/0 0/1 1/1 0/1 0/1 0/0 0/0 1/1 1/1 0/0 0/0 ./.",
        classes: [2, 3, 1, 3, 2, 1, 0, 0],
        ac_an: [7, 17],
    },
    Case {
        what: "X, het men: missing, and counted",
        site: "X 5000200 A G",
        calls: "0/0 0/1 1/1 0/1 0/1 0/0 0/1 0/1 0|1 0/0 1/1 ./1",
        classes: [2, 3, 1, 1, 1, 4, 1, 3],
        ac_an: [6, 14],
    },
    Case {
        what: "Y: women are neither called nor missing",
        site: "Y 5000000 A G",
        calls: "0/0 0/0 0/1 ./. 1/1 . 0/0 1/1 1 0 . 0/1",
        classes: [0, 0, 0, 2, 2, 2, 0, 1],
        ac_an: [2, 4],
    },
    Case {
        what: "pseudo-autosomal Y: all diploid, women too",
        site: "Y 20000 A G",
        calls: "0/0 0/0 0/1 ./. 1/1 . 0/0 1/1 1/1 0/0 ./. 0/1",
        classes: [4, 2, 3, 0, 0, 3, 0, 0],
        ac_an: [8, 18],
    },
    Case {
        what: "MT coded diploid: one copy each, hets missing and counted",
        site: "MT 100 A G",
        calls: "0/0 1/1 0/1 0 1 0/0 0/0 1/1 0/1 0 1 .",
        classes: [0, 0, 0, 5, 4, 3, 0, 2],
        ac_an: [4, 9],
    },
    Case {
        what: "any other contig: as the calls say",
        site: "GL1 100 A G",
        calls: "0/0 1/1 0/1 0 1 0/0 0/0 1/1 0/1 0 1 .",
        classes: [3, 2, 2, 2, 2, 1, 0, 0],
        ac_an: [8, 18],
    },
];

#[test]
fn corner_cases() {
    let mut cases: Vec<&Case> = CASES.iter().collect();
    let key = |c: &&Case| {
        let mut f = c.site.split(' ');
        (f.next().unwrap(), f.next().unwrap().parse::<i32>().unwrap())
    };
    cases.sort_by_key(key);
    let calls = |c: &&Case| (c.site.to_owned(), c.calls.split(' ').map(str::to_owned).collect());
    let records: Vec<(String, Vec<String>)> = cases.iter().map(calls).collect();
    let people = (0..12).map(|i| entry(i, if i < 6 { F } else { M }, None)).collect();
    let run = ingest(&vcf(12, &records), sheet(people), Genome::Grch38, &[]);
    let t = run.variants();
    let ids = t.texts("rsid");
    assert_eq!(t.len(), cases.len());
    for case in cases {
        let id = case.site.split(' ').take(2).collect::<Vec<_>>().join(":");
        let row = ids.iter().position(|r| r.as_deref() == Some(&id)).unwrap();
        let got = [
            "n_hom_ref",
            "n_het",
            "n_hom_alt",
            "n_hemi_ref",
            "n_hemi_alt",
            "n_missing",
            "n_half",
            "n_het_hap",
        ]
        .map(|c| t.ints(c)[row]);
        assert_eq!(got, case.classes, "{}", case.what);
        assert_eq!([t.ints("ac")[row], t.ints("an")[row]], case.ac_an, "{}", case.what);
        let called: i32 = case.classes[..5].iter().sum();
        assert_eq!(t.ints("n_called")[row], called, "{}", case.what);
    }
    let at = |id: &str| ids.iter().position(|r| r.as_deref() == Some(id)).unwrap();
    let float = |name: &str, id: &str| t.floats(name)[at(id)];
    // hail 0.2.139 and plink2: 5/5/2 -> .796; 12 hets of 12 -> .00110.
    assert!((float("hwe_p", "20:100").unwrap() - 0.796).abs() < 5e-4);
    assert!((float("hwe_p", "20:400").unwrap() - 0.00110).abs() < 5e-6);
    assert_eq!(float("hwe_nlog10p", "20:400"), None);
    assert_eq!(float("hwe_p", "20:500"), Some(0.5));
    assert_eq!(float("af", "20:500"), None);
    assert_eq!(float("inbreeding", "20:400"), Some(-1.0));
    assert_eq!(float("inbreeding", "20:500"), None);
    // The joint test is there on X outside PAR, and the same however men are coded; plink2 says .887 at
    // women 2/3/1 and men 3/2.
    assert_eq!(float("hwe_x_p", "X:20000"), None);
    assert_eq!(float("hwe_x_p", "20:100"), None);
    assert_eq!(float("hwe_x_p", "X:5000000"), float("hwe_x_p", "X:5000100"));
    // Y in women costs no call rate, calls on it are no carriers.
    assert_eq!(float("call_rate", "Y:5000000"), Some(4.0 / 6.0));
    let y = run.table("/carriers/chrom=chrY");
    let carriers: Vec<(i32, Option<String>)> = y
        .ints("pos")
        .into_iter()
        .zip(y.ints("sample_idx"))
        .zip(y.texts("gt"))
        .filter(|((pos, _), _)| *pos == 5_000_000)
        .map(|((_, sample), gt)| (sample, gt))
        .collect();
    let want = [(7, "3"), (8, "3"), (10, "5"), (11, "5")];
    assert_eq!(carriers, want.map(|(s, g)| (s, Some(g.to_owned()))));
}

#[test]
fn without_a_stated_sex_nothing_is_recoded() {
    let calls = "0/0 0/1 1/1 0 1 .".split(' ').map(str::to_owned).collect::<Vec<_>>();
    let records = ["X 5000000 A G", "Y 5000000 A G"].map(|s| (s.to_owned(), calls.clone()));
    let people = (0..6).map(|i| entry(i, None, None)).collect();
    let run = ingest(&vcf(6, &records), sheet(people), Genome::Grch38, &[Stratum::Sex]);
    let t = run.variants();
    for (column, want) in [("n_hom_ref", 1), ("n_het", 1), ("n_hom_alt", 1), ("n_hemi_ref", 1)] {
        assert_eq!(t.ints(column), [want, want], "{column}");
    }
    assert_eq!((t.ints("an"), t.ints("n_het_hap")), (vec![8, 8], vec![0, 0]));
    // Nobody is in a stratum of sex, and the table is still there.
    assert_eq!(run.table("/variant_freq/").len(), 0);
    assert_eq!(run.table("/samples/").texts("karyotype"), vec![None; 6]);
}

/// What a sample's call of one ALT is, by the rules and nothing else.
fn naive(genome: Genome, chrom: &str, pos: i32, sex: Option<Sex>, gt: &str, alt: &str) -> usize {
    let within = |a, b, c, d| (a..=b).contains(&pos) || (c..=d).contains(&pos);
    let par = match (genome, chrom) {
        (Genome::Grch38, "X") => within(10_001, 2_781_479, 155_701_383, 156_030_895),
        (Genome::Grch38, "Y") => within(10_001, 2_781_479, 56_887_903, 57_217_415),
        (Genome::Grch37, "X") => within(60_001, 2_699_520, 154_931_044, 155_260_560),
        (Genome::Grch37, "Y") => within(10_001, 2_649_520, 59_034_050, 59_363_566),
        _ => true,
    };
    if chrom == "Y" && !par && sex == F {
        return 8;
    }
    let one = chrom == "MT" || (!par && sex == M);
    let alleles: Vec<&str> = gt.split(['/', '|']).collect();
    let missing = alleles.iter().filter(|a| **a == ".").count();
    let copies = alleles.iter().filter(|a| **a == alt).count();
    match (alleles.len(), missing) {
        (1 | 2, m) if m == alleles.len() => 5,
        (2, 1) => 6,
        (1, 0) => 3 + copies,
        (2, 0) if one => [3, 7, 4][copies],
        (2, 0) => copies,
        _ => 5,
    }
}

#[derive(Debug, Clone)]
struct World {
    genome: Genome,
    people: Vec<(Option<Sex>, Option<&'static str>)>,
    records: Vec<(&'static str, i32, Vec<&'static str>)>,
}

fn worlds() -> impl Strategy<Value = World> {
    let sex = prop::sample::select(vec![F, F, M, M, None]);
    let group = prop::sample::select(vec![Some("afr"), Some("eur"), None]);
    let gts = vec![
        "0/0", "0/0", "0/0", "0|0", "0/1", "0|1", "1/1", "1/2", "2/2", "0/2", ".", "./.", "0/.",
        "./1", "0", "1", "2", "0/0/1",
    ];
    let chrom = prop::sample::select(vec!["20", "X", "X", "Y", "Y", "MT", "GL1"]);
    let place = prop::sample::select(vec![
        20_000,
        60_005,
        2_649_521,
        2_699_521,
        2_781_479,
        2_781_480,
        9_000_000,
        56_887_902,
        59_034_050,
        154_931_044,
        155_701_383,
    ]);
    (1usize..40).prop_flat_map(move |n| {
        let people = prop::collection::vec((sex.clone(), group.clone()), n);
        let calls = prop::collection::vec(prop::sample::select(gts.clone()), n);
        let records = prop::collection::vec((chrom.clone(), place.clone(), calls), 1..12);
        let genome = prop::sample::select(vec![Genome::Grch37, Genome::Grch38]);
        (genome, people, records).prop_map(|(genome, people, mut records)| {
            records.sort_by_key(|r| (r.0, r.1));
            records.dedup_by_key(|r| (r.0, r.1));
            World { genome, people, records }
        })
    })
}

/// `[ac, an, hom, hemi]` of people of some classes.
fn short(classes: impl Iterator<Item = usize>) -> [i32; 4] {
    classes.fold([0; 4], |[ac, an, hom, hemi], class| match class {
        0 => [ac, an + 2, hom, hemi],
        1 => [ac + 1, an + 2, hom, hemi],
        2 => [ac + 2, an + 2, hom + 1, hemi],
        3 => [ac, an + 1, hom, hemi],
        4 => [ac + 1, an + 1, hom, hemi + 1],
        _ => [ac, an, hom, hemi],
    })
}

type Frequencies = BTreeMap<(String, i32, String), [i32; 4]>;

fn frequencies(run: &Run) -> Frequencies {
    let mut all = Frequencies::new();
    for chrom in ["20", "X", "Y", "M", "GL1"] {
        let name = if chrom == "GL1" { "GL1".to_owned() } else { format!("chr{chrom}") };
        let prefix = format!("/variant_freq/chrom={name}/");
        if !run.output.files.iter().any(|f| f.path.contains(&prefix)) {
            continue;
        }
        let t = run.table(&prefix);
        let (idx, group) = (t.ints("variant_idx"), t.texts("group"));
        let columns = ["ac", "an", "hom", "hemi"].map(|c| t.ints(c));
        for i in 0..t.len() {
            let counts = [0, 1, 2, 3].map(|k: usize| columns[k][i]);
            let af = t.floats("af")[i].unwrap();
            assert!((af - f64::from(counts[0]) / f64::from(counts[1])).abs() < 1e-15);
            let before = all.insert((name.clone(), idx[i], group[i].clone().unwrap()), counts);
            assert!(before.is_none());
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn engine_counts_as_the_rules_say(world in worlds()) {
        let World { genome, people, records } = &world;
        let lines: Vec<(String, Vec<String>)> = records
            .iter()
            .map(|(c, p, gts)| (format!("{c} {p} A G,T"), gts.iter().map(|g| g.to_string()).collect()))
            .collect();
        let entries =
            people.iter().enumerate().map(|(i, (sex, group))| entry(i, *sex, *group)).collect();
        let strata = [Stratum::Sex, Stratum::AncestrySex];
        let run = ingest(&vcf(people.len(), &lines), sheet(entries), *genome, &strata);
        let t = run.variants();
        let freq = frequencies(&run);
        let has = |name: &str| t.0.column_by_name(name).is_some();
        let ids: Vec<String> = t.texts("rsid").into_iter().map(Option::unwrap).collect();
        let (alleles, idx) = (t.ints("allele_index"), t.ints("variant_idx"));
        let names = [
            "n_hom_ref", "n_het", "n_hom_alt", "n_hemi_ref", "n_hemi_alt", "n_missing", "n_half",
            "n_het_hap", "n_called", "ac", "an",
        ];
        let columns: Vec<Vec<i32>> = names.iter().map(|c| t.ints(c)).collect();
        let mut seen: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for s in ["called", "rows", "het", "hom", "het_hap", "singleton", "private", "y"] {
            seen.insert(s, vec![0; people.len()]);
        }
        let mut y_rows = 0;
        for row in 0..t.len() {
            let (chrom, pos) = ids[row].split_once(':').unwrap();
            let pos: i32 = pos.parse().unwrap();
            let gts = &records.iter().find(|r| (r.0, r.1) == (chrom, pos)).unwrap().2;
            let alt = alleles[row].to_string();
            let class = |i: usize| naive(*genome, chrom, pos, people[i].0, gts[i], &alt);
            let classes: Vec<usize> = (0..people.len()).map(class).collect();
            let mut count = [0; 9];
            classes.iter().for_each(|&c| count[c] += 1);
            let called: i32 = count[..5].iter().sum();
            let all = short(classes.iter().copied());
            let missing = count[5] + count[6] + count[7];
            let want = [
                count[0], count[1], count[2], count[3], count[4], missing, count[6], count[7],
                called, all[0], all[1],
            ];
            let got: Vec<i32> = columns.iter().map(|c| c[row]).collect();
            prop_assert_eq!(&got[..], &want[..], "{}", ids[row]);
            // Strata: as the rules say, and they add up.
            let part = |group: Option<Option<&str>>, sex: Option<Option<Sex>>| {
                short((0..people.len())
                    .filter(|&i| group.is_none_or(|g| people[i].1 == g) && sex.is_none_or(|s| people[i].0 == s))
                    .map(|i| classes[i]))
            };
            let name = match chrom { "MT" => "chrM".to_owned(), "GL1" => chrom.to_owned(), c => format!("chr{c}") };
            let stated = |key: &str| freq.get(&(name.clone(), idx[row], key.to_owned())).copied().unwrap_or_default();
            let mut sum = part(None, Some(None));
            for (key, sex) in [("XX", F), ("XY", M)] {
                prop_assert_eq!(stated(key), part(None, Some(sex)), "{} {}", key, ids[row]);
                sum.iter_mut().zip(stated(key)).for_each(|(s, c)| *s += c);
                for group in ["afr", "eur"] {
                    let key = format!("{group}_{key}");
                    prop_assert_eq!(stated(&key), part(Some(Some(group)), Some(sex)), "{}", key);
                }
            }
            prop_assert_eq!(sum, all);
            for group in ["afr", "eur"] {
                if has(&format!("ac_{group}")) {
                    let wide = ["ac", "an", "hom", "hemi"].map(|c| t.ints(&format!("{c}_{group}"))[row]);
                    prop_assert_eq!(wide, part(Some(Some(group)), None));
                }
            }
            let carriers: Vec<usize> =
                (0..people.len()).filter(|&i| [1, 2, 4].contains(&classes[i])).collect();
            if let [only] = carriers[..] {
                seen.get_mut("private").unwrap()[only] += 1;
                seen.get_mut("singleton").unwrap()[only] += i32::from(all[0] == 1);
            }
            let on_y = chrom == "Y"
                && people.iter().enumerate().all(|(i, p)| p.0 != F || classes[i] == 8)
                && naive(*genome, "Y", pos, F, "0/0", "1") == 8;
            y_rows += i32::from(on_y);
            for (i, &class) in classes.iter().enumerate() {
                let mut bump = |name: &str, yes: bool| seen.get_mut(name).unwrap()[i] += i32::from(yes);
                bump("rows", class != 8);
                bump("called", class < 5);
                bump("het", class == 1);
                bump("hom", class == 2);
                bump("het_hap", class == 7);
                let in_file = !gts[i].contains('.') && gts[i].split('/').count() < 3;
                bump("y", on_y && in_file);
            }
        }
        let s = run.table("/samples/");
        for (column, name) in [
            ("n_het", "het"), ("n_hom_alt", "hom"), ("n_het_hap", "het_hap"),
            ("n_singleton", "singleton"), ("n_private_site", "private"),
        ] {
            prop_assert_eq!(&s.ints(column), &seen[name], "{}", column);
        }
        let ratio = |a: i32, b: i32| (b > 0).then(|| f64::from(a) / f64::from(b));
        let rates = |a: &[i32], b: &dyn Fn(usize) -> i32| -> Vec<Option<f64>> {
            a.iter().enumerate().map(|(i, &a)| ratio(a, b(i))).collect()
        };
        prop_assert_eq!(s.floats("call_rate"), rates(&seen["called"], &|i| seen["rows"][i]));
        prop_assert_eq!(s.floats("y_call_rate"), rates(&seen["y"], &|_| y_rows));
    }
}

/// A pseudo-random number below `n` that depends on its arguments alone.
fn noise(a: usize, b: usize, n: usize) -> usize {
    let mut x = (a as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ (b as u64).wrapping_mul(0xd1b5_4a32_d192_ed03);
    x ^= x >> 29;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 32;
    (x % n as u64) as usize
}

/// Records of a region: people of `one` have one copy, those of `none` none; some calls are missing.
fn region(
    chrom: &str,
    from: i32,
    rows: usize,
    copies: impl Fn(usize) -> usize,
    n: usize,
) -> Vec<(String, Vec<String>)> {
    (0..rows)
        .map(|k| {
            let seed = from as usize + k;
            let af = 5 + noise(seed, 0, 90);
            let allele = |i: usize, j: usize| u8::from(noise(seed * 7 + j, i + 1, 100) < af);
            let call = |i: usize| match (copies(i), noise(seed, i + 1000, 40)) {
                (0, _) | (_, 0) => "./.".to_owned(),
                (1, 1) => "0/1".to_owned(),
                (1, odd) if odd % 2 == 1 => allele(i, 0).to_string(),
                (1, _) => format!("{0}/{0}", allele(i, 0)),
                _ => format!("{}/{}", allele(i, 0), allele(i, 1)),
            };
            (format!("{chrom} {} A G", from + k as i32), (0..n).map(call).collect())
        })
        .collect()
}

/// Graffelman and Weir's joint mid-p from its definition: women by ALT copies, men by ALT.
fn joint(b: u32, h: u32, a: u32, men_ref: u32, men_alt: u32) -> f64 {
    let ln = |n: u32| (2..=n).map(|k| f64::from(k).ln()).sum::<f64>();
    let (nf, nm, na) = (a + b + h, men_ref + men_alt, 2 * a + h + men_alt);
    let mut terms = BTreeMap::new();
    for men in 0..=nm.min(na) {
        for het in ((na - men) % 2..=na - men).step_by(2) {
            let hom = (na - men - het) / 2;
            if hom + het <= nf {
                let down = ln(men) + ln(nm - men) + ln(hom) + ln(het) + ln(nf - hom - het);
                terms.insert((men, het), f64::from(het) * 2f64.ln() - down);
            }
        }
    }
    let observed = terms[&(men_alt, h)];
    let top = terms.values().copied().fold(f64::MIN, f64::max);
    let all: f64 = terms.values().map(|t| (t - top).exp()).sum();
    let share = |t: f64| {
        if (t - observed).abs() < 1e-9 {
            0.5
        } else if t < observed {
            1.0
        } else {
            0.0
        }
    };
    terms.values().map(|&t| share(t) * (t - top).exp()).sum::<f64>() / all
}

fn have(tool: &str) -> bool {
    let there = Command::new(tool).arg("--version").output().is_ok();
    if !there {
        println!("skipped: no {tool}");
    }
    there
}

/// Runs plink2 in a folder; its output is in files.
fn plink2(dir: &Path, arguments: &str) {
    let done = Command::new("plink2").current_dir(dir).args(arguments.split(' ')).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// Rows of a plink2 table by id, and its column names.
fn plink_table(path: &Path) -> (Vec<String>, BTreeMap<String, Vec<String>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<Vec<String>> =
        text.lines().map(|l| l.split('\t').map(str::to_owned).collect()).collect();
    let by_id = rows[1..].iter().map(|r| (r[1].clone(), r.clone())).collect();
    (rows[0].clone(), by_id)
}

#[test]
fn plink2_agrees_on_x_y_and_mt() {
    if !have("plink2") {
        return;
    }
    let n = 120;
    let female = |i: usize| i.is_multiple_of(2);
    let by_sex = |women, men| move |i: usize| if female(i) { women } else { men };
    let records: Vec<(String, Vec<String>)> = [
        region("20", 1000, 40, |_| 2, n),
        region("X", 20_000, 20, |_| 2, n),
        region("X", 5_000_000, 150, by_sex(2, 1), n),
        region("Y", 5_000_000, 40, by_sex(2, 1), n),
        region("MT", 100, 40, |_| 1, n),
    ]
    .concat();
    let text = vcf(n, &records);
    let people = (0..n).map(|i| entry(i, if female(i) { F } else { M }, None)).collect();
    let run = ingest(&text, sheet(people), Genome::Grch38, &[]);
    let dir = tempfile::tempdir().unwrap();
    file(&dir, "in.vcf", text.as_bytes());
    let mut sexes = String::from("#IID\tSEX\n");
    (0..n).for_each(|i| writeln!(sexes, "S{i}\t{}", if female(i) { 2 } else { 1 }).unwrap());
    file(&dir, "sex", sexes.as_bytes());
    plink2(
        dir.path(),
        "--vcf in.vcf --update-sex sex --split-par hg38 --set-hh-missing --set-mixed-mt-missing \
         --make-pgen --out o",
    );
    plink2(dir.path(), "--pfile o --hardy midp --freq counts --out o");
    let (_, counts) = plink_table(&dir.path().join("o.acount"));
    let (_, hardy) = plink_table(&dir.path().join("o.hardy"));
    let (head, hardy_x) = plink_table(&dir.path().join("o.hardy.x"));
    assert_eq!(head.last().unwrap(), "MIDP");
    let t = run.variants();
    let ids = t.texts("rsid");
    let (ac, an) = (t.ints("ac"), t.ints("an"));
    let (p, x) = (t.floats("hwe_p"), t.floats("hwe_x_p"));
    let (p10, x10) = (t.floats("hwe_nlog10p"), t.floats("hwe_x_nlog10p"));
    let het_hap = t.ints("n_het_hap");
    let close = |got: f64, want: &str| {
        let want: f64 = want.parse().unwrap();
        (got - want).abs() <= 1e-5 * want.max(1e-300)
    };
    let (mut on_x, mut contrary, mut tied) = (0, 0, 0);
    for (i, id) in ids.iter().enumerate() {
        let id = id.as_deref().unwrap();
        let c = &counts[id];
        assert_eq!([&c[4], &c[5]], [&ac[i].to_string(), &an[i].to_string()], "{id}");
        contrary += het_hap[i];
        if let Some(row) = hardy_x.get(id) {
            if !close(x[i].unwrap(), row.last().unwrap()) {
                // plink2 (2022) halves one of two tied terms only; the definition decides.
                let n = |k: usize| row[k].parse::<u32>().unwrap();
                let want = joint(n(6), n(5), n(4), n(8), n(7));
                assert!((x[i].unwrap() - want).abs() < 1e-9, "{id} {:?} {want}", x[i]);
                tied += 1;
            }
            assert_eq!(x10[i], None, "{id}: {:?} is no extreme p", x[i]);
            on_x += 1;
        } else {
            assert_eq!(x[i], None, "{id}");
        }
        if let Some(row) = hardy.get(id) {
            assert!(close(p[i].unwrap(), row.last().unwrap()), "{id} {:?} {row:?}", p[i]);
            assert_eq!(p10[i], None, "{id}: {:?} is no extreme p", p[i]);
        }
    }
    assert!(on_x == 150 && contrary > 100 && tied < 15, "{on_x} {contrary} {tied}");
}

#[test]
fn plink_agrees_on_inbreeding_of_x() {
    if !have("plink1.9") {
        return;
    }
    let n = 50;
    let copies = |i: usize| 2 - i % 2;
    let records =
        [region("X", 20_000, 20, |_| 2, n), region("X", 5_000_000, 200, copies, n)].concat();
    let text = vcf(n, &records);
    // S0 and S1 are stated the other way round: what the calls say does not depend on that, nor does F.
    let sex = |i: usize| if i.is_multiple_of(2) != (i < 2) { F } else { M };
    let people = (0..n).map(|i| entry(i, sex(i), None)).collect();
    let run = ingest(&text, sheet(people), Genome::Grch38, &[]);
    let dir = tempfile::tempdir().unwrap();
    file(&dir, "in.vcf", text.as_bytes());
    let code = |i: usize| if sex(i) == F { 2 } else { 1 };
    let sexes: String = (0..n).map(|i| format!("S{i} S{i} {}\n", code(i))).collect();
    file(&dir, "sex", sexes.as_bytes());
    let plink = |arguments: &str| {
        let mut command = Command::new("plink1.9");
        let done = command.current_dir(dir.path()).args(arguments.split(' ')).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    };
    plink("--vcf in.vcf --double-id --update-sex sex --split-x hg38 --make-bed --out b");
    plink("--bfile b --check-sex --out b");
    let s = run.table("/samples/");
    let f_x = s.floats("f_x");
    let report = std::fs::read_to_string(dir.path().join("b.sexcheck")).unwrap();
    for (line, f_x) in report.lines().skip(1).zip(&f_x) {
        let want: f64 = line.split_whitespace().nth(5).unwrap().parse().unwrap();
        // Allele frequencies differ a little: plink counts the haploid calls of a stated woman double.
        assert!((f_x.unwrap() - want).abs() <= 0.003, "{f_x:?} {line}");
    }
    assert_eq!(report.lines().count(), n + 1);
    let mismatch = flags(&s).iter().filter(|f| f.iter().any(|f| f == "sex_mismatch")).count();
    assert_eq!(mismatch, usize::from(f_x[0].unwrap() < 0.2) + usize::from(f_x[1].unwrap() > 0.8));
}

#[test]
fn karyotypes_and_mismatches() {
    // By sample: copies of X and Y. Everybody else is XX and stated so, or XY and stated so.
    let n = 40;
    let truth = |i: usize| match i {
        0 => (1, 0),
        1 => (2, 1),
        2 => (2, 0),
        3 => (1, 1),
        i if i % 2 == 0 => (2, 0),
        _ => (1, 1),
    };
    let stated = |i: usize| match i {
        0 | 3 => F,
        1 | 2 => M,
        4 => None,
        i if i % 2 == 0 => F,
        _ => M,
    };
    let records = [
        region("X", 5_000_000, 400, |i| truth(i).0, n),
        region("Y", 5_000_000, 60, |i| truth(i).1, n),
    ]
    .concat();
    let people = (0..n).map(|i| entry(i, stated(i), None)).collect();
    let run = ingest(&vcf(n, &records), sheet(people), Genome::Grch38, &[]);
    let s = run.table("/samples/");
    let karyotypes: Vec<String> = s.texts("karyotype").into_iter().map(Option::unwrap).collect();
    let flags = flags(&s);
    for i in 0..n {
        let (want, flag) = match i {
            0 => ("X0", Some("sex_aneuploidy")),
            1 => ("XXY", Some("sex_aneuploidy")),
            2 => ("XX", Some("sex_mismatch")),
            3 => ("XY", Some("sex_mismatch")),
            i if i % 2 == 0 => ("XX", None),
            _ => ("XY", None),
        };
        assert_eq!(karyotypes[i], want, "{i} {:?}", s.floats("f_x")[i]);
        let about_sex: Vec<&String> =
            flags[i].iter().filter(|f| !f.starts_with("outlier_")).collect();
        assert_eq!(about_sex.first().map(|f| f.as_str()), flag, "{i}");
    }
    // Where the callset has hom-ref calls on Y in everybody, Y says nothing and X decides.
    let records =
        [region("X", 5_000_000, 400, |i| truth(i).0, n), region("Y", 5_000_000, 60, |_| 1, n)]
            .concat();
    let people = (0..n).map(|i| entry(i, stated(i), None)).collect();
    let run = ingest(&vcf(n, &records), sheet(people), Genome::Grch38, &[]);
    let known = run.table("/samples/").texts("karyotype");
    assert!(known.iter().all(|k| matches!(k.as_deref(), Some("XX" | "XY"))), "{known:?}");
}

#[test]
fn outliers_are_flagged_within_their_ancestry() {
    let n = 60;
    let mut records = region("20", 1000, 300, |_| 2, n);
    // S7 has hets everywhere, S8 is mostly not called.
    for (k, (_, calls)) in records.iter_mut().enumerate() {
        calls[7] = "0/1".to_owned();
        if k % 3 != 0 {
            calls[8] = "./.".to_owned();
        }
    }
    let group = |i: usize| Some(if i.is_multiple_of(2) { "afr" } else { "eur" });
    let people = (0..n).map(|i| entry(i, None, group(i))).collect();
    let run = ingest(&vcf(n, &records), sheet(people), Genome::Grch38, &[]);
    let s = run.table("/samples/");
    assert_eq!(s.len(), n, "a flagged sample stays");
    let flags = flags(&s);
    let has = |i: usize, flag: &str| flags[i].iter().any(|f| f == flag);
    assert!(has(7, "outlier_f_inbreeding") && !has(7, "outlier_het_hom_ratio"));
    assert!(has(8, "outlier_call_rate") && has(8, "outlier_n_snp"));
    let others = (0..n).filter(|&i| i != 7 && i != 8 && !flags[i].is_empty()).count();
    assert!(others <= 6, "{others}");
    // With components a value that they explain is no outlier.
    let people: Vec<SampleEntry> = (0..n)
        .map(|i| SampleEntry { pcs: vec![f64::from(u8::from(i == 7))], ..entry(i, None, group(i)) })
        .collect();
    let run = ingest(&vcf(n, &records), sheet(people), Genome::Grch38, &[]);
    let flags = self::flags(&run.table("/samples/"));
    assert!(!flags[7].iter().any(|f| f == "outlier_f_inbreeding"), "{:?}", flags[7]);
    assert!(flags[8].iter().any(|f| f == "outlier_call_rate"));
}

#[test]
fn site_columns_of_groups() {
    // afr: 4 of 20 copies; eur: 10 of 20.
    let call = |i: usize| match i {
        0..=3 => "0/1",
        10..=19 => "0/1",
        _ => "0/0",
    };
    let records = [("20 100 A G".to_owned(), (0..20).map(|i| call(i).to_owned()).collect())];
    let people =
        (0..20).map(|i| entry(i, None, Some(if i < 10 { "afr" } else { "eur" }))).collect();
    let run = ingest(&vcf(20, &records), sheet(people), Genome::Grch38, &[]);
    let t = run.variants();
    assert_eq!(t.texts("fafmax_group"), [Some("eur".to_owned())]);
    // 0.5 * chi2inv(0.05, 20) and 0.5 * chi2inv(0.01, 28), as tables of chi-square print them.
    assert!((t.floats("fafmax_faf95")[0].unwrap() - 10.851 / 2.0 / 20.0).abs() < 2e-5);
    assert!((t.floats("faf99")[0].unwrap() - 13.565 / 2.0 / 40.0).abs() < 1e-5);
    // p = 14/40: 1 - 14 / (2 * .35 * .65 * 20).
    assert!((t.floats("inbreeding")[0].unwrap() - (1.0 - 14.0 / 9.1)).abs() < 1e-6);
}

#[test]
fn strata_are_sorted_and_do_not_depend_on_threads() {
    let n = 30;
    let records =
        [region("20", 1000, 30, |_| 2, n), region("X", 5_000_000, 30, |i| 2 - i % 2, n)].concat();
    let text = vcf(n, &records);
    let dir = tempfile::tempdir().unwrap();
    let path = file(&dir, "in.vcf", text.as_bytes());
    let people = (0..n)
        .map(|i| entry(i, if i % 2 == 0 { F } else { M }, Some(["eur", "afr", "sas"][i % 3])))
        .collect();
    let mut request = request(&[path], sheet(people));
    request.options.strata = vec![Stratum::AncestrySex, Stratum::Sex];
    let one = run(&request, 1).unwrap();
    assert_eq!(one.digests(), run(&request, 3).unwrap().digests());
    let t = one.table("/variant_freq/chrom=chr20");
    let groups: Vec<String> = t.texts("group")[..8].iter().flatten().cloned().collect();
    let want = ["XX", "XY", "afr_XX", "afr_XY", "eur_XX", "eur_XY", "sas_XX", "sas_XY"];
    assert_eq!(groups, want);
    assert_eq!(t.ints("variant_idx")[..9], [0, 0, 0, 0, 0, 0, 0, 0, 1]);
    // Without strata there is no such table.
    request.options.strata.clear();
    assert!(run(&request, 1).unwrap().digests().iter().all(|(p, _)| !p.contains("variant_freq")));
}
