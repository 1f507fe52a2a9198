//! A record of a VCF read naively: what its genotypes say, call by call, for one ALT.

use std::sync::Arc;

/// A call: number of alleles written, and the first three of them; -1 is `.`.
#[derive(Clone, Copy)]
pub struct Call {
    n: u8,
    a: [i16; 3],
}

impl Call {
    fn read(gt: &str) -> Self {
        let mut call = Self { n: 0, a: [-1; 3] };
        for allele in gt.split(['/', '|']) {
            if let Some(slot) = call.a.get_mut(usize::from(call.n)) {
                *slot = allele.parse().unwrap_or(-1);
            }
            call.n += 1;
        }
        call
    }
    fn alleles(&self) -> &[i16] {
        &self.a[..usize::from(self.n).min(3)]
    }
    fn is_full(&self) -> bool {
        self.alleles().iter().all(|&a| a >= 0)
    }
    fn is_half(&self) -> bool {
        self.n > 1 && !self.is_full() && self.alleles().iter().any(|&a| a >= 0)
    }
}

/// One ALT of a record.
#[derive(Clone)]
pub struct Site {
    pub chrom: String,
    pub pos: i32,
    pub reference: String,
    pub alts: String,
    /// 1-based.
    pub allele: usize,
    pub calls: Arc<Vec<Call>>,
}

/// Chromosome without `chr`, position, REF, ALTs, ALT number.
pub type Key = (String, i32, String, String, usize);

/// One name for a chromosome, whoever writes it.
pub fn chrom(name: &str) -> String {
    let bare = name.strip_prefix("chr").unwrap_or(name);
    match bare {
        "MT" | "26" => "M",
        "23" => "X",
        "24" => "Y",
        other => other,
    }
    .to_owned()
}

impl Site {
    pub fn key(&self) -> Key {
        (self.chrom.clone(), self.pos, self.reference.clone(), self.alts.clone(), self.allele)
    }
    pub fn alt(&self) -> &str {
        self.alts.split(',').nth(self.allele - 1).unwrap_or("")
    }
    pub fn n_alts(&self) -> usize {
        self.alts.split(',').count()
    }
    pub fn samples(&self) -> f64 {
        self.calls.len() as f64
    }
    fn count(&self, is: impl Fn(&Call) -> bool) -> f64 {
        self.calls.iter().filter(|c| is(c)).count() as f64
    }
    /// Full calls of `ploidy` alleles of which `copies` are this ALT.
    pub fn with(&self, ploidy: u8, copies: usize) -> f64 {
        let me = self.allele as i16;
        self.count(|c| {
            c.n == ploidy
                && c.is_full()
                && c.alleles().iter().filter(|&&a| a == me).count() == copies
        })
    }
    /// Full calls of `ploidy` alleles.
    pub fn called(&self, ploidy: u8) -> f64 {
        self.count(|c| c.n == ploidy && c.is_full())
    }
    pub fn half_calls(&self) -> f64 {
        self.count(Call::is_half)
    }
    pub fn polyploid(&self) -> f64 {
        self.count(|c| c.n > 2 && c.alleles().iter().any(|&a| a >= 0))
    }
    /// Diploid calls of `allele` and another one.
    pub fn hets_of(&self, allele: usize) -> f64 {
        let a = allele as i16;
        self.count(|c| c.n == 2 && c.is_full() && c.a[0] != c.a[1] && (c.a[0] == a || c.a[1] == a))
    }
    /// Diploid calls of `allele` twice.
    pub fn homs_of(&self, allele: usize) -> f64 {
        let a = allele as i16;
        self.count(|c| c.n == 2 && c.a[0] == a && c.a[1] == a)
    }
    /// Haploid calls of `allele`.
    pub fn with_only(&self, allele: usize) -> f64 {
        self.count(|c| c.n == 1 && c.a[0] == allele as i16)
    }
    /// Diploid calls of one allele and the other.
    pub fn pairs(&self, a: usize, b: usize) -> f64 {
        let (a, b) = (a as i16, b as i16);
        self.count(|c| c.n == 2 && ((c.a[0], c.a[1]) == (a, b) || (c.a[0], c.a[1]) == (b, a)))
    }
    /// As bcftools +fill-tags counts: `(AC, AN, hets, homs, hemis, NS)`. An allele alone is hemizygous, of
    /// several different ones each counts once, of equal ones two.
    pub fn fill_tags(&self) -> [f64; 6] {
        let me = self.allele as i16;
        let mut t = [0.0; 6];
        for call in self.calls.iter() {
            let mut seen: Vec<i16> = call.alleles().iter().copied().filter(|&a| a >= 0).collect();
            let written = seen.len();
            seen.sort_unstable();
            seen.dedup();
            let copies = if seen.len() == 1 && written > 1 { 2.0 } else { 1.0 };
            let mine = f64::from(u8::from(seen.contains(&me)));
            t[0] += mine * copies;
            t[1] += copies * seen.len() as f64;
            match (seen.len(), written) {
                (0, _) => continue,
                (1, 1) => t[4] += mine,
                (1, _) => t[3] += mine,
                _ => t[2] += mine,
            }
            t[5] += 1.0;
        }
        t[5] = self.count(|c| c.alleles().iter().any(|&a| a >= 0));
        t
    }
}

/// All ALTs of all records of a VCF text.
pub fn sites(text: &str) -> Vec<Site> {
    let mut out = Vec::new();
    for line in text.lines().filter(|l| !l.starts_with('#')) {
        let mut fields = line.split('\t');
        let f: Vec<&str> = fields.by_ref().take(9).collect();
        if f.len() < 9 || f[4] == "." {
            continue;
        }
        let has_gt = f[8].split(':').next() == Some("GT");
        let calls: Vec<Call> = fields
            .map(|cell| {
                Call::read(if has_gt { cell.split(':').next().unwrap_or(".") } else { "." })
            })
            .collect();
        let calls = Arc::new(calls);
        for allele in 1..=f[4].split(',').count() {
            out.push(Site {
                chrom: chrom(f[0]),
                pos: f[1].parse().unwrap_or(0),
                reference: f[3].to_owned(),
                alts: f[4].to_owned(),
                allele,
                calls: calls.clone(),
            });
        }
    }
    out
}

/// Hardy-Weinberg probabilities by number of hets, straight from the definition (logarithms).
fn hwe_terms(a: f64, b: f64) -> Vec<(u64, f64)> {
    let (a, b) = (a as u64, b as u64);
    let n = (a + b) / 2;
    let mut table = vec![0.0; 2 * n as usize + 1];
    for i in 1..table.len() {
        table[i] = table[i - 1] + (i as f64).ln();
    }
    let ln = |x: u64| table[x as usize];
    let constant = ln(n) + ln(a) + ln(b) - ln(2 * n);
    let p = |h: u64| h as f64 * 2f64.ln() - ln((a - h) / 2) - ln(h) - ln((b - h) / 2);
    (0..=a.min(b)).filter(|h| h % 2 == a % 2).map(|h| (h, (constant + p(h)).exp())).collect()
}

/// `(plain two-sided p, plain P(hets >= seen))` for allele counts and hets; 1 when one allele is not there.
pub fn plain(nref: f64, nalt: f64, het: f64) -> (f64, f64) {
    if nref <= 0.0 || nalt <= 0.0 || (nref + nalt) % 2.0 != 0.0 {
        return (1.0, 1.0);
    }
    let terms = hwe_terms(nref, nalt);
    let seen = terms.iter().find(|t| t.0 == het as u64).map_or(0.0, |t| t.1);
    let two: f64 = terms.iter().filter(|t| t.1 <= seen * (1.0 + 1e-7)).map(|t| t.1).sum();
    let more: f64 = terms.iter().filter(|t| t.0 >= het as u64).map(|t| t.1).sum();
    (two.min(1.0), more.min(1.0))
}

/// `(mid-p, excess mid-p)` for genotype counts.
pub fn midp(hom_ref: f64, het: f64, hom_alt: f64) -> (f64, f64) {
    let (a, b) = (2.0 * hom_alt + het, 2.0 * hom_ref + het);
    if a == 0.0 || b == 0.0 {
        return (0.5, 0.5);
    }
    let terms = hwe_terms(b, a);
    let seen = terms.iter().find(|t| t.0 == het as u64).map_or(0.0, |t| t.1);
    let share = |p: f64| match (p - seen).abs() <= 1e-7 * seen {
        true => p / 2.0,
        false if p < seen => p,
        false => 0.0,
    };
    let two = terms.iter().map(|&(_, p)| share(p)).sum();
    let more: f64 = terms.iter().filter(|t| t.0 > het as u64).map(|t| t.1).sum();
    (two, more + seen / 2.0)
}
