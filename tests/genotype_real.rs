//! The genotype stage against real files and what other programs say of them.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "test helpers")]
#[path = "genotype_support/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use support::{Table, everyone, info, read_text, request, run, run_all, shared};

fn records(path: &std::path::Path) -> Vec<Vec<String>> {
    read_text(path)
        .lines()
        .filter(|l| !l.starts_with('#'))
        .map(|l| l.split('\t').take(9).map(str::to_owned).collect())
        .collect()
}

/// Rows of a table by (orig_pos, orig_ref, orig_alt, allele).
fn by_record(t: &Table) -> BTreeMap<(i32, String, String, i32), usize> {
    let (refs, alts) = (t.texts("orig_ref"), t.texts("orig_alt"));
    let (pos, allele) = (t.ints("orig_pos"), t.ints("allele_index"));
    (0..t.len())
        .map(|i| ((pos[i], refs[i].clone().unwrap(), alts[i].clone().unwrap(), allele[i]), i))
        .collect()
}

fn ancestry() -> BTreeMap<String, String> {
    let path = shared("link/ancestry_preds.tsv").unwrap();
    read_text(&path)
        .lines()
        .skip(1)
        .map(|l| {
            let mut f = l.split('\t');
            (f.next().unwrap().to_owned(), f.next().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn phase3_counts_and_frequencies_by_superpopulation() {
    let name = "vcf/plinkng_1kg_phase3_chr21_start_2504s_phased.vcf.gz";
    let Some(path) = shared(name) else { return };
    let run = run(&request(std::slice::from_ref(&path), everyone(&path, &ancestry())), 2).unwrap();
    let t = run.variants();
    let rows = by_record(&t);
    let (ac, an, af) = (t.ints("ac"), t.ints("an"), t.floats("af"));
    let groups = ["eas", "amr", "afr", "eur", "sas"];
    let by_group: Vec<_> =
        groups.iter().map(|g| (t.ints(&format!("ac_{g}")), t.ints(&format!("an_{g}")))).collect();
    let records = records(&path);
    assert_eq!(records.len(), 600);
    let mut compared = 0;
    for r in &records {
        let alts: Vec<&str> = r[4].split(',').collect();
        for k in 0..alts.len() {
            let key = (r[1].parse().unwrap(), r[3].clone(), r[4].clone(), k as i32 + 1);
            let i = rows[&key];
            let nth = |field: &str| info(&r[7], field).split(',').nth(k).unwrap().to_owned();
            assert_eq!(ac[i].to_string(), nth("AC"), "AC at {}", r[1]);
            assert_eq!(an[i].to_string(), info(&r[7], "AN"), "AN at {}", r[1]);
            let printed = |text: &str, value: f64| {
                let digits = text.split_once('.').map_or(0, |(_, d)| d.len());
                let want: f64 = text.parse().unwrap();
                assert!(
                    (want - value).abs() <= 0.5 * 10f64.powi(-(digits as i32)) + 1e-9,
                    "{text} {value} at {}",
                    r[1]
                );
            };
            for (g, (ac, an)) in groups.iter().zip(&by_group) {
                let text = nth(&format!("{}_AF", g.to_uppercase()));
                printed(&text, f64::from(ac[i]) / f64::from(an[i]));
            }
            assert!((af[i].unwrap() - f64::from(ac[i]) / f64::from(an[i])).abs() < 1e-15);
            compared += 1;
        }
    }
    assert!(compared >= 600);
    assert_eq!(run.ledger().rows_in, compared);
    // Sums over groups are the whole, and the planes say the same as the counts.
    for i in 0..t.len() {
        assert_eq!(by_group.iter().map(|(a, _)| a[i]).sum::<i32>(), ac[i]);
        assert_eq!(by_group.iter().map(|(_, a)| a[i]).sum::<i32>(), an[i]);
    }
    let planes = run.table("/genotypes/");
    let (het, hom) = (planes.bytes("het"), planes.bytes("hom_alt"));
    let count =
        |p: &Option<Vec<u8>>| p.as_ref().unwrap().iter().map(|b| b.count_ones()).sum::<u32>();
    for i in 0..t.len() {
        assert_eq!((count(&het[i]) + 2 * count(&hom[i])) as i32, ac[i]);
    }
    let carriers = run.table("/carriers/");
    let carried: i32 = carriers.column("gt").len() as i32;
    let expected: i32 = (0..t.len()).map(|i| t.ints("n_het")[i] + t.ints("n_hom_alt")[i]).sum();
    assert_eq!(carried, expected);
}

#[test]
fn shapeit_counts() {
    let Some(path) = shared("vcf/shapeit4_1kg_chr20_300s.vcf.gz") else { return };
    let run = run_all(&path);
    let t = run.variants();
    let rows = by_record(&t);
    let (ac, an) = (t.ints("ac"), t.ints("an"));
    let records = records(&path);
    assert_eq!(records.len(), 24_990);
    for r in &records {
        for k in 0..r[4].split(',').count() {
            let key = (r[1].parse().unwrap(), r[3].clone(), r[4].clone(), k as i32 + 1);
            let Some(&i) = rows.get(&key) else { panic!("no row for {}", r[1]) };
            assert_eq!(ac[i].to_string(), info(&r[7], "AC").split(',').nth(k).unwrap());
            assert_eq!(an[i].to_string(), info(&r[7], "AN"));
        }
    }
}

fn tsv(path: &std::path::Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = read_text(path);
    let mut lines = text.lines().map(|l| l.split('\t').map(str::to_owned).collect());
    (lines.next().unwrap(), lines.collect())
}

/// Equal to the digits that the text shows.
fn shown(text: &str, value: f64) -> bool {
    let want: f64 = text.parse().unwrap();
    (want - value).abs() <= 5.1e-5 * want.abs().max(1e-300) + 1e-12
}

#[test]
fn hail_variant_qc() {
    let (Some(path), Some(golden)) =
        (shared("vcf/hail_sample_1kg_chr20_100s.vcf.gz"), shared("golden/hail_variant_qc.tsv"))
    else {
        return;
    };
    let run = run_all(&path);
    let t = run.variants();
    let rows = by_record(&t);
    let (head, golden) = tsv(&golden);
    let col = |name: &str| head.iter().position(|h| h.ends_with(name)).unwrap();
    let floats = |n: &str| t.floats(n);
    let (hwe, excess, rate) = (floats("hwe_p"), floats("excess_het_p"), floats("call_rate"));
    let ints = |n: &str| t.ints(n);
    let (ac, an, het) = (ints("ac"), ints("an"), ints("n_het"));
    let (hom_ref, hom_alt, called) = (ints("n_hom_ref"), ints("n_hom_alt"), ints("n_called"));
    assert_eq!(golden.len(), 346);
    for g in &golden {
        let pos: i32 = g[0].split(':').nth(1).unwrap().parse().unwrap();
        let alleles: Vec<&str> =
            g[1].trim_matches(['[', ']']).split(',').map(|a| a.trim_matches('"')).collect();
        assert_eq!(alleles.len(), 2, "the file is biallelic");
        let i = rows[&(pos, alleles[0].into(), alleles[1].into(), 1)];
        assert_eq!(
            g[col(".AC")].trim_matches(['[', ']']).split(',').nth(1).unwrap(),
            ac[i].to_string()
        );
        assert_eq!(g[col(".AN")], an[i].to_string());
        assert_eq!(g[col(".n_called")], called[i].to_string());
        assert_eq!(g[col(".n_het")], het[i].to_string());
        assert_eq!(g[col(".homozygote_count")], format!("[{},{}]", hom_ref[i], hom_alt[i]));
        assert!(shown(&g[col(".call_rate")], rate[i].unwrap()));
        assert!(
            shown(&g[col(".p_value_hwe")], hwe[i].unwrap()),
            "hwe at {pos}: {} {:?}",
            g[col(".p_value_hwe")],
            hwe[i]
        );
        assert!(shown(&g[col(".p_value_excess_het")], excess[i].unwrap()), "excess at {pos}");
    }
}

#[test]
fn hail_sample_qc() {
    let (Some(path), Some(golden)) =
        (shared("vcf/hail_sample_1kg_chr20_100s.vcf.gz"), shared("golden/hail_sample_qc.tsv"))
    else {
        return;
    };
    let run = run_all(&path);
    let t = run.table("/samples/");
    let (head, golden) = tsv(&golden);
    let col = |name: &str| head.iter().position(|h| h.ends_with(name)).unwrap();
    let names = strata::genotype::sample_names(&path).unwrap();
    let n = names.len();
    let golden: BTreeMap<&String, &Vec<String>> = golden.iter().map(|g| (&g[0], g)).collect();
    let (rate, ti, hh, id) = (
        t.floats("call_rate"),
        t.floats("ti_tv"),
        t.floats("het_hom_ratio"),
        t.floats("ins_del_ratio"),
    );
    for (i, name) in names.iter().enumerate() {
        let (g, s) = (golden[name], n - 1 - i); // research ids run backwards
        assert!(shown(&g[col(".call_rate")], rate[s].unwrap()));
        assert_eq!(g[col(".n_het")], t.ints("n_het")[s].to_string());
        assert_eq!(g[col(".n_hom_var")], t.ints("n_hom_alt")[s].to_string());
        assert_eq!(g[col(".n_singleton")], t.ints("n_singleton")[s].to_string());
        assert!(shown(&g[col(".r_ti_tv")], ti[s].unwrap()));
        assert!(shown(&g[col(".r_het_hom_var")], hh[s].unwrap()));
        // hail prints inf or NaN where a denominator is 0; the table has null.
        match id[s] {
            Some(v) => assert!(shown(&g[col(".r_insertion_deletion")], v)),
            None => {
                assert!(!g[col(".r_insertion_deletion")].parse::<f64>().is_ok_and(f64::is_finite))
            }
        }
    }
}

#[test]
fn bcf_gives_the_same_tables() {
    for name in [
        "vcf/hail_sample_1kg_chr20_100s.vcf.gz",
        "vcf/plinkng_1kg_phase3_chr21_start_2504s_phased.vcf.gz",
        "vcf/hail_x-chromosome.vcf",
        "vcf/bio2zarr_mixed_ploidy.vcf.gz",
        "vcf/hail_sample2_multiallelic.vcf.gz",
    ] {
        let Some(path) = shared(name) else { return };
        let dir = tempfile::tempdir().unwrap();
        let bcf = dir.path().join("same.bcf");
        let made =
            Command::new("bcftools").args(["view", "-Ob", "-o"]).arg(&bcf).arg(&path).output();
        if !made.is_ok_and(|o| o.status.success()) {
            println!("skipped: bcftools cannot make a BCF of {name}");
            continue;
        }
        let tables = |file: &PathBuf| {
            let run =
                run(&request(std::slice::from_ref(file), everyone(file, &ancestry())), 2).unwrap();
            let digests: Vec<_> =
                run.digests().into_iter().filter(|(p, _)| !p.starts_with("quality")).collect();
            (digests, run.ledger().clone())
        };
        let (a, b) = (tables(&path), tables(&bcf));
        assert_eq!(a.1, b.1, "{name}");
        assert_eq!(a.0, b.0, "{name}");
    }
}

#[test]
fn every_shared_file_ingests_or_fails_with_a_code() {
    use strata::error::Coded;
    let seen = AtomicUsize::new(0);
    for folder in [
        "vcf",
        "gvcf",
        "normalize",
        "conformance/vcf/4.2/passed",
        "conformance/vcf/4.2/failed",
        "conformance/vcf/4.3/passed",
        "conformance/vcf/4.3/failed",
    ] {
        let Some(folder) = shared(folder) else { continue };
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        files.sort();
        files.into_par_iter().for_each(|path| {
            let sheet = match strata::genotype::sample_names(&path) {
                Ok(_) => everyone(&path, &BTreeMap::new()),
                Err(e) => {
                    println!("{}: {} {e}", path.display(), e.code());
                    assert!(e.code().starts_with("genotype::"), "{}", e.code());
                    return;
                }
            };
            seen.fetch_add(1, Ordering::Relaxed);
            match run(&request(std::slice::from_ref(&path), sheet), 2) {
                Ok(run) => println!("{}: {:?}", path.display(), run.ledger()),
                Err(e) => {
                    println!("{}: {} {e}", path.display(), e.code());
                    assert!(!e.is_unexpected());
                }
            }
        });
    }
    assert!(seen.into_inner() > 0 || shared("vcf").is_none());
}

#[test]
fn damaged_bcf_never_panics() {
    use strata::error::Coded;
    let Some(path) = shared("vcf/bio2zarr_field_type_combos.vcf.gz") else { return };
    let made = Command::new("bcftools").args(["view", "-Ou"]).arg(&path).output();
    let Ok(made) = made.map(|o| o.stdout) else {
        println!("skipped: no bcftools");
        return;
    };
    // -Ou may or may not wrap the bytes in uncompressed blocks.
    let mut bytes = Vec::new();
    if made.starts_with(b"BCF") {
        bytes = made;
    } else if flate2::read::MultiGzDecoder::new(&made[..]).read_to_end(&mut bytes).is_err()
        || bytes.is_empty()
    {
        println!("skipped: bcftools makes no BCF");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let whole = support::file(&dir, "in.bcf", &support::bgzf(&bytes, 4000));
    let people = everyone(&whole, &BTreeMap::new());
    let mut req = request(std::slice::from_ref(&whole), people);
    req.samples.exclude_unmapped = true;
    assert!(run(&req, 1).unwrap().variants().len() > 0);
    let header = u32::from_le_bytes([bytes[5], bytes[6], bytes[7], bytes[8]]) as usize + 9;
    let places: Vec<usize> =
        (header..bytes.len()).step_by(((bytes.len() - header) / 50).max(1)).collect();
    places.into_par_iter().for_each(|i| {
        for value in [0x7f, 0xff, bytes[i] ^ 0x11] {
            let mut damaged = bytes.clone();
            damaged[i] = value;
            let path = support::file(&dir, &format!("{i}.bcf"), &support::bgzf(&damaged, 4000));
            let mut req = req.clone();
            req.files = vec![path];
            if let Err(e) = run(&req, 1) {
                assert!(!e.is_unexpected(), "{e} at {i}");
            }
        }
    });
}
