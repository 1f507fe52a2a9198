//! Asking the tools.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::process::{Command, Output};

use super::rules::Fact::{self, Ac, Af, An, Excess, HemiAlt, Het, HomAlt, HomRef, Hwe, Missing};
use super::site::{Key, chrom};
use super::{Facts, Input};

type Told = Result<HashMap<Key, Facts>, String>;

/// Whether a program runs; prints why its test is skipped if not.
pub fn installed(program: &str, argument: &str) -> bool {
    let ok = Command::new(program).arg(argument).output().is_ok_and(|o| o.status.success());
    if !ok {
        println!("skipped: no {program}");
    }
    ok
}

fn done(output: std::io::Result<Output>) -> Result<String, String> {
    let output = output.map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    Err(text.lines().find(|l| !l.starts_with("[W")).unwrap_or("no words").to_owned())
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

fn insert(told: &mut HashMap<Key, Facts>, key: Key, facts: &[(Fact, Option<f64>)]) {
    // Of equal records the first, as strata.
    let known = told.entry(key).or_default();
    for (fact, value) in facts {
        known.entry(*fact).or_insert(*value);
    }
}

/// bcftools +fill-tags.
pub fn bcftools(input: &Input) -> Told {
    let tagged = input.vcf.with_extension("tagged.vcf");
    done(
        Command::new("bcftools")
            .args(["+fill-tags", "-Ov", "-o"])
            .arg(&tagged)
            .arg(&input.vcf)
            .args(["--", "-t", "AC,AN,AF,AC_Hom,AC_Het,AC_Hemi,HWE,ExcHet,NS"])
            .output(),
    )?;
    let format =
        "%CHROM\t%POS\t%REF\t%ALT\t%AC\t%AN\t%AF\t%AC_Hom\t%AC_Het\t%AC_Hemi\t%HWE\t%ExcHet\t%NS\n";
    let text = done(Command::new("bcftools").args(["query", "-f", format]).arg(&tagged).output())?;
    let samples = input.sites.first().map_or(0.0, |s| s.samples());
    let mut told = HashMap::new();
    for line in text.lines() {
        let f: Vec<&str> = line.split('\t').collect();
        for (i, _) in f[3].split(',').enumerate() {
            let of = |k: usize| f[k].split(',').nth(i).and_then(number);
            let key = (chrom(f[0]), f[1].parse().unwrap(), f[2].into(), f[3].into(), i + 1);
            let an = number(f[5]);
            insert(
                &mut told,
                key,
                &[
                    (Ac, of(4)),
                    (An, an),
                    (Af, of(6)),
                    (HomAlt, of(7).map(|x| x / 2.0)),
                    (Het, of(8)),
                    (HemiAlt, of(9)),
                    (Hwe, of(10)),
                    (Excess, of(11)),
                    (Missing, number(f[12]).map(|ns| samples - ns)),
                ],
            );
        }
    }
    Ok(told)
}

fn table(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut lines = text.lines();
    lines.next();
    lines.map(|l| l.split_whitespace().map(str::to_owned).collect()).collect()
}

/// plink2 --freq counts, --geno-counts and --hardy midp.
pub fn plink2(input: &Input) -> Told {
    let out = input.vcf.with_extension("p2");
    done(
        Command::new("plink2")
            .arg("--vcf")
            .arg(&input.vcf)
            .args(["--vcf-half-call", "missing", "--allow-extra-chr", "--threads", "1"])
            .args(["--freq", "counts", "cols=chrom,pos,ref,alt,altfreq,nobs"])
            .args([
                "--geno-counts",
                "cols=chrom,pos,ref,alt,homref,refalt,altxy,hapref,hapalt,missing",
            ])
            .args(["--hardy", "midp", "cols=chrom,pos,ref,alt,ax,gcounts,p", "--out"])
            .arg(&out)
            .output(),
    )?;
    let file = |ending: &str| table(Path::new(&format!("{}.{ending}", out.display())));
    let mut told = HashMap::new();
    let key = |f: &[String], i: usize| {
        (chrom(&f[0]), f[1].parse().unwrap(), f[3].clone(), f[4].clone(), i + 1)
    };
    for f in file("acount") {
        for (i, ac) in f[5].split(',').enumerate() {
            let (ac, an) = (number(ac), number(&f[6]));
            let af = ac.zip(an).filter(|x| x.1 > 0.0).map(|(ac, an)| ac / an);
            insert(&mut told, key(&f, i), &[(Ac, ac), (An, an), (Af, af)]);
        }
    }
    for f in file("gcount") {
        let n = f[4].split(',').count();
        let list = |k: usize| f[k].split(',').map(|x| number(x).unwrap_or(0.0)).collect::<Vec<_>>();
        let (het, two, hap) = (list(6), list(7), list(9));
        let missing = number(&f[10]);
        let called = number(&f[5]).unwrap() + het.iter().sum::<f64>() + two.iter().sum::<f64>();
        for i in 0..n {
            // Two-ALT genotypes come as 1/1, 1/2, 2/2, 1/3 ...
            let at = |x: usize, y: usize| two[y.max(x) * (y.max(x) + 1) / 2 + y.min(x)];
            let mixed: f64 = (0..n).filter(|&k| k != i).map(|k| at(i, k)).sum();
            let (ra, aa) = (het[i] + mixed, at(i, i));
            insert(
                &mut told,
                key(&f, i),
                &[
                    (Het, Some(ra)),
                    (HomAlt, Some(aa)),
                    (HomRef, Some(called - ra - aa)),
                    (HemiAlt, Some(hap[i])),
                    (Missing, missing),
                ],
            );
        }
    }
    let mut tested: BTreeMap<Key, Option<f64>> = BTreeMap::new();
    for f in file("hardy") {
        let alts: Vec<&str> = f[4].split(',').collect();
        match alts.iter().position(|a| *a == f[5]) {
            Some(i) => drop(tested.entry(key(&f, i)).or_insert(number(&f[10]))),
            None if alts.len() == 1 => drop(tested.entry(key(&f, 0)).or_insert(number(&f[10]))),
            None => {}
        }
    }
    for (key, p) in tested {
        insert(&mut told, key, &[(Hwe, p)]);
    }
    Ok(told)
}

/// plink 1.9 --freqx and --hardy midp; rows in the order of the .bim.
pub fn plink1(input: &Input) -> Told {
    let out = input.vcf.with_extension("p1");
    done(
        Command::new("plink1.9")
            .arg("--vcf")
            .arg(&input.vcf)
            .args([
                "--vcf-half-call",
                "m",
                "--allow-extra-chr",
                "--keep-allele-order",
                "--double-id",
            ])
            .args(["--make-bed", "--freqx", "--hardy", "midp", "--threads", "1", "--out"])
            .arg(&out)
            .output(),
    )?;
    let path = |ending: &str| format!("{}.{ending}", out.display());
    let bim = std::fs::read_to_string(path("bim")).map_err(|e| e.to_string())?;
    let counts = std::fs::read_to_string(path("frqx")).map_err(|e| e.to_string())?;
    let mut told = HashMap::new();
    // Chromosome, position and kept ALT name the record; the first of several is meant, as everywhere.
    let mut sites = HashMap::new();
    for s in &input.sites {
        sites.entry((s.chrom.clone(), s.pos, s.alt().to_uppercase())).or_insert_with(|| s.key());
    }
    for (b, f) in bim.lines().zip(counts.lines().skip(1)) {
        let b: Vec<&str> = b.split_whitespace().collect();
        let f: Vec<f64> = f.split('\t').skip(4).map(|x| x.parse().unwrap()).collect();
        let at = (chrom(b[0]), b[3].parse().unwrap(), b[4].to_uppercase());
        let Some(key) = sites.get(&at) else { continue };
        if told.contains_key(key) || !b[5].eq_ignore_ascii_case(&key.2) {
            continue;
        }
        let facts = [(HomAlt, f[0]), (Het, f[1]), (HomRef, f[2]), (HemiAlt, f[3]), (Missing, f[5])];
        insert(&mut told, key.clone(), &facts.map(|(fact, x)| (fact, Some(x))));
    }
    // Tests are left out where ploidy depends on sex.
    let tested: Vec<&str> = bim
        .lines()
        .filter(|l| !["X", "Y", "M"].contains(&chrom(l.split('\t').next().unwrap()).as_str()))
        .collect();
    let p = table(Path::new(&path("hwe")));
    let p: Vec<_> = p
        .iter()
        .filter(|f| f[2].starts_with("ALL") && !["23", "24", "26"].contains(&f[0].as_str()))
        .collect();
    let mut seen = std::collections::HashSet::new();
    if p.len() == tested.len() {
        for (b, f) in tested.iter().zip(p) {
            let b: Vec<&str> = b.split_whitespace().collect();
            let at = (chrom(b[0]), b[3].parse().unwrap(), b[4].to_uppercase());
            let known = sites.get(&at).filter(|k| b[5].eq_ignore_ascii_case(&k.2));
            if let Some(key) = known.filter(|k| seen.insert((*k).clone())) {
                insert(&mut told, key.clone(), &[(Hwe, number(f.last().unwrap()))]);
            }
        }
    }
    Ok(told)
}

/// Hail variant_qc on all files in one session, by file name; `None` where Hail is not there.
pub fn hail(inputs: &[Input], scratch: &Path) -> Option<HashMap<String, Told>> {
    let python = std::env::var("STRATA_HAIL_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/genotype_oracle/hail_counts.py");
    let can = Command::new(&python).args(["-c", "import hail"]).current_dir(scratch).output();
    if !can.is_ok_and(|o| o.status.success()) {
        println!("skipped: {python} cannot import hail (STRATA_HAIL_PYTHON names another)");
        return None;
    }
    let output = Command::new(&python)
        .arg(here)
        .arg(scratch)
        .args(inputs.iter().map(|i| &i.vcf))
        .current_dir(scratch)
        .output();
    let text = match done(output) {
        Ok(text) => text,
        Err(e) => {
            println!("skipped: hail does not run here: {e}");
            return None;
        }
    };
    let mut all: HashMap<String, Told> =
        inputs.iter().map(|i| (i.name.clone(), Ok(HashMap::new()))).collect();
    for line in text.lines() {
        let f: Vec<&str> = line.split('\t').collect();
        let Some(input) = f[0].parse::<usize>().ok().and_then(|i| inputs.get(i)) else { continue };
        if f[1] == "refused" {
            all.insert(input.name.clone(), Err(f[2].to_owned()));
        } else if let Some(Ok(told)) = all.get_mut(&input.name) {
            let key =
                (chrom(f[1]), f[2].parse().ok()?, f[3].into(), f[4].into(), f[5].parse().ok()?);
            let facts = [Ac, An, Af, Het, HomRef, HomAlt, Missing, Hwe, Excess];
            let facts: Vec<_> = facts.into_iter().zip(f[6..].iter().map(|x| number(x))).collect();
            insert(told, key, &facts);
        }
    }
    Some(all)
}
