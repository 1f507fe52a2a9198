//! Hardy-Weinberg exact tests and the filtering allele frequency.

use std::collections::HashMap;

use super::hardy::{self, Factorials};

/// Relative tolerance under which two probabilities count as tied (as Hail).
const TIE: f64 = 1e-12;

/// Terms this much smaller than the observed one add nothing to a sum in double precision, and every
/// term behind them is smaller still.
const NEGLIGIBLE: f64 = 1e-19;

/// Two-sided mid-p and one-sided excess-heterozygosity mid-p.
pub type HwePair = (f64, f64);

/// Remembers results: variants share few triples, and rare ones nearly all.
#[derive(Default)]
pub struct Memo {
    hwe: HashMap<(u32, u32, u32), HwePair>,
    faf: HashMap<u32, f64>,
    faf99: HashMap<u32, f64>,
    joint: HashMap<([u32; 3], [u32; 2]), f64>,
    factorials: Factorials,
    walk: Vec<f64>,
}

/// Below this a p is on its way out of a double's range, and its logarithm is written as well.
pub const SMALL_P: f64 = 1e-280;

/// `-log10` of a p given by its natural logarithm.
pub fn nlog10(ln: f64) -> f64 {
    -ln / std::f64::consts::LN_10
}

/// Entries after which a memo starts over.
const MEMO: usize = 1 << 17;

impl Memo {
    /// [`hwe`], remembered.
    pub fn hwe(&mut self, hom_ref: u32, het: u32, hom_alt: u32) -> HwePair {
        let key = (hom_ref.min(hom_alt), het, hom_ref.max(hom_alt));
        if let Some(&pair) = self.hwe.get(&key) {
            return pair;
        }
        if self.hwe.len() >= MEMO {
            self.hwe.clear();
        }
        let pair = hwe(key.0, het, key.2, &mut self.walk);
        self.hwe.insert(key, pair);
        pair
    }

    /// `-log10` of the two-sided p of [`hwe`] where that is below [`SMALL_P`].
    pub fn hwe_nlog10(&mut self, hom_ref: u32, het: u32, hom_alt: u32) -> Option<f64> {
        let small = self.hwe(hom_ref, het, hom_alt).0 < SMALL_P;
        small.then(|| nlog10(self.ln_joint([hom_ref, het, hom_alt], [0, 0])))
    }

    /// Natural logarithm of the joint test of women and men ([`hardy::ln_p`]), remembered.
    pub fn ln_joint(&mut self, women: [u32; 3], men: [u32; 2]) -> f64 {
        if let Some(&ln) = self.joint.get(&(women, men)) {
            return ln;
        }
        if self.joint.len() >= MEMO {
            self.joint.clear();
        }
        let ln = hardy::ln_p(&mut self.factorials, women, men);
        self.joint.insert((women, men), ln);
        ln
    }

    /// [`Memo::faf95`] at 99 % confidence.
    pub fn faf99(&mut self, ac: u32, an: u32) -> f64 {
        if ac < 2 || an == 0 {
            return 0.0;
        }
        if self.faf99.len() >= MEMO {
            self.faf99.clear();
        }
        let bound = *self.faf99.entry(ac).or_insert_with(|| gamma_quantile(f64::from(ac), 0.01));
        bound / f64::from(an)
    }

    /// `faf95` of `ac` copies among `an`; 0 below two copies.
    pub fn faf95(&mut self, ac: u32, an: u32) -> f64 {
        if ac < 2 || an == 0 {
            return 0.0;
        }
        if self.faf.len() >= MEMO {
            self.faf.clear();
        }
        let bound = *self.faf.entry(ac).or_insert_with(|| gamma_quantile(f64::from(ac), 0.05));
        bound / f64::from(an)
    }
}

/// Exact test of Hardy-Weinberg proportions (Wigginton 2005) with the mid-p correction.
///
/// `P(het = h | n, nA) = n! nA! nB! 2^h / (((nA-h)/2)! h! ((nB-h)/2)! (2n)!)`, walked from the mode so that
/// nothing overflows. Two-sided: the sum of all terms not larger than the observed one, less half of
/// the tied ones. Excess: the terms with more hets plus half of the observed one. (0.5, 0.5) when there
/// is nothing to test (no calls, one allele).
pub fn hwe(hom_ref: u32, het: u32, hom_alt: u32, terms: &mut Vec<f64>) -> HwePair {
    let rare = 2 * u64::from(hom_ref.min(hom_alt)) + u64::from(het);
    let n = u64::from(hom_ref) + u64::from(het) + u64::from(hom_alt);
    if rare == 0 {
        return (0.5, 0.5);
    }
    let common = 2 * n - rare;
    // Term i stands for h = 2 i + rare % 2.
    let parity = rare % 2;
    let count = ((rare - parity) / 2 + 1) as usize;
    let mut mode = (rare as f64 * common as f64 / (2 * n) as f64) as u64;
    if mode % 2 != parity {
        mode = if mode < rare { mode + 1 } else { mode - 1 };
    }
    let middle = ((mode - parity) / 2) as usize;
    terms.clear();
    terms.resize(count, 0.0);
    terms[middle] = 1.0;
    let homs = |h: u64| (((rare - h) / 2) as f64, ((common - h) / 2) as f64);
    let seen = ((u64::from(het) - parity) / 2) as usize;
    let up = |terms: &mut [f64], floor: Option<f64>| {
        for i in middle + 1..count {
            let h = 2 * (i as u64 - 1) + parity;
            let (a, b) = homs(h);
            terms[i] = terms[i - 1] * 4.0 * a * b / ((h + 2) as f64 * (h + 1) as f64);
            if i >= seen && terms[i] <= floor.unwrap_or(terms[seen]) * NEGLIGIBLE {
                break;
            }
        }
    };
    let down = |terms: &mut [f64], floor: Option<f64>| {
        for i in (0..middle).rev() {
            let h = 2 * (i as u64 + 1) + parity;
            let (a, b) = homs(h);
            terms[i] = terms[i + 1] * h as f64 * (h - 1) as f64 / (4.0 * (a + 1.0) * (b + 1.0));
            if i <= seen && terms[i] <= floor.unwrap_or(terms[seen]) * NEGLIGIBLE {
                break;
            }
        }
    };
    // The side with the observed term first: then it is known where the other side stops mattering.
    if seen >= middle {
        up(terms, None);
        let observed = terms[seen];
        down(terms, Some(observed));
    } else {
        down(terms, None);
        let observed = terms[seen];
        up(terms, Some(observed));
    }
    let observed = terms[seen];
    let total: f64 = terms.iter().sum();
    let (mut less, mut tied) = (0.0, 0.0);
    for &p in terms.iter() {
        if (p - observed).abs() <= TIE * observed.max(p) {
            tied += p;
        } else if p < observed {
            less += p;
        }
    }
    let excess = terms[seen + 1..].iter().sum::<f64>() + observed / 2.0;
    (((less + tied / 2.0) / total).min(1.0), (excess / total).min(1.0))
}

/// Natural logarithm of the gamma function (Lanczos, g = 7), about 15 digits for x > 0.
fn ln_gamma(x: f64) -> f64 {
    const C: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let t = x + 7.5;
    let sum = C[1..].iter().enumerate().fold(C[0], |s, (i, c)| s + c / (x + i as f64 + 1.0));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// Regularised lower incomplete gamma function P(a, x), a >= 1, by series or continued fraction.
fn gamma_p(a: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    let scale = (a * x.ln() - x - ln_gamma(a)).exp();
    if x < a + 1.0 {
        let (mut term, mut sum, mut n) = (1.0 / a, 1.0 / a, a);
        while term > sum * 1e-17 {
            n += 1.0;
            term *= x / n;
            sum += term;
        }
        return sum * scale;
    }
    // Modified Lentz for the upper function.
    let mut b = x + 1.0 - a;
    let mut c = 1e300;
    let mut d = 1.0 / b;
    let mut h = d;
    for i in 1..100_000 {
        let an = -f64::from(i) * (f64::from(i) - a);
        b += 2.0;
        d = 1.0 / (an * d + b);
        c = b + an / c;
        let delta = c * d;
        h *= delta;
        if (delta - 1.0).abs() < 1e-16 {
            break;
        }
    }
    1.0 - scale * h
}

/// The `p` quantile of the gamma distribution with shape `a` >= 1 and scale 1, by bisected Newton.
///
/// gnomAD's filtering allele frequency is the largest AF whose upper Poisson bound stays below AC; its
/// closed form is this quantile at 1 - confidence, over AN.
pub fn gamma_quantile(a: f64, p: f64) -> f64 {
    // Wilson-Hilferty as the first guess; the root lies between 0 and the mean for p < 1/2.
    let z = if p < 0.03 { -2.326_347_874_040_841 } else { -1.644_853_626_951_472_7 };
    let g = 1.0 - 1.0 / (9.0 * a) + z / (3.0 * a.sqrt());
    let (mut low, mut high) = (0.0, a);
    let mut x = (a * g * g * g).clamp(a * 1e-3, a);
    for _ in 0..200 {
        let f = gamma_p(a, x) - p;
        if f > 0.0 {
            high = x;
        } else {
            low = x;
        }
        let slope = ((a - 1.0) * x.ln() - x - ln_gamma(a)).exp();
        let mut next = x - f / slope;
        if !(next > low && next < high) {
            next = (low + high) / 2.0;
        }
        if (next - x).abs() <= 1e-14 * x {
            return next;
        }
        x = next;
    }
    x
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ln_factorial(n: u32) -> f64 {
        (1..=n).map(|i| f64::from(i).ln()).sum()
    }

    /// Straight from the definition.
    fn brute(hom_ref: u32, het: u32, hom_alt: u32) -> HwePair {
        let (n, a) = (hom_ref + het + hom_alt, 2 * hom_alt + het);
        let b = 2 * n - a;
        if a == 0 || b == 0 {
            return (0.5, 0.5);
        }
        let p = |h: u32| {
            (ln_factorial(n) + ln_factorial(a) + ln_factorial(b) + f64::from(h) * 2f64.ln()
                - ln_factorial((a - h) / 2)
                - ln_factorial(h)
                - ln_factorial((b - h) / 2)
                - ln_factorial(2 * n))
            .exp()
        };
        let all: Vec<(u32, f64)> =
            (0..=a.min(b)).filter(|h| h % 2 == a % 2).map(|h| (h, p(h))).collect();
        let observed = p(het);
        let two: f64 = all
            .iter()
            .map(|&(_, q)| {
                if (q - observed).abs() < 1e-9 * observed {
                    q / 2.0
                } else if q < observed {
                    q
                } else {
                    0.0
                }
            })
            .sum();
        let excess: f64 =
            all.iter().filter(|(h, _)| *h > het).map(|(_, q)| q).sum::<f64>() + observed / 2.0;
        (two, excess)
    }

    /// All terms, by logarithms, for counts too large for the definition's factorials one by one.
    fn by_logarithms(hom_ref: u32, het: u32, hom_alt: u32) -> HwePair {
        let (n, a) = (hom_ref + het + hom_alt, 2 * hom_ref.min(hom_alt) + het);
        let b = 2 * n - a;
        let g = |x: u32| ln_gamma(f64::from(x) + 1.0);
        let constant = g(n) + g(a) + g(b) - g(2 * n);
        let p = |h: u32| {
            (constant + f64::from(h) * 2f64.ln() - g((a - h) / 2) - g(h) - g((b - h) / 2)).exp()
        };
        let observed = p(het);
        let (mut two, mut excess) = (0.0, observed / 2.0);
        for h in (a % 2..=a).step_by(2) {
            let q = p(h);
            let tied = (q - observed).abs() <= 1e-7 * observed;
            two += if tied {
                q / 2.0
            } else if q < observed {
                q
            } else {
                0.0
            };
            excess += if h > het { q } else { 0.0 };
        }
        (two, excess)
    }

    #[test]
    fn a_logarithm_is_given_for_an_extreme_p_alone() {
        let mut memo = Memo::default();
        assert_eq!(memo.hwe_nlog10(5, 5, 2), None);
        assert_eq!(memo.hwe(600, 0, 600).0, 0.0);
        // P(no het) = 2 (n!)^2 ... : 1200! 1200! / (600! 600! 2400!) in logarithms, halved by mid-p.
        let g = |n: u32| ln_factorial(n);
        let ln = 3.0 * g(1200) - 2.0 * g(600) - g(2400) - 2f64.ln();
        let got = memo.hwe_nlog10(600, 0, 600).unwrap();
        assert!((got - nlog10(ln)).abs() < 1e-6 * got, "{got} {}", nlog10(ln));
    }

    proptest! {
        #[test]
        fn hwe_of_large_cohorts(a in 0u32..4000, h in 1u32..4000, b in 0u32..4000) {
            let (got, want) = (hwe(a, h, b, &mut Vec::new()), by_logarithms(a, h, b));
            prop_assert!((got.0 - want.0).abs() <= 1e-6 * want.0 + 1e-250, "{got:?} {want:?}");
            prop_assert!((got.1 - want.1).abs() <= 1e-6 * want.1 + 1e-250, "{got:?} {want:?}");
        }

        #[test]
        fn hwe_near_proportions(n in 100u32..20_000, f in 0.001f64..0.5, shift in -40i32..40) {
            let het = (2.0 * f * (1.0 - f) * f64::from(n)) as i32 + shift;
            let het = het.clamp(1, n as i32) as u32;
            let hom = ((f * f * f64::from(n)) as u32).min(n - het);
            let (got, want) = (hwe(n - het - hom, het, hom, &mut Vec::new()), by_logarithms(n - het - hom, het, hom));
            prop_assert!((got.0 - want.0).abs() <= 1e-6 * want.0, "{got:?} {want:?}");
            prop_assert!((got.1 - want.1).abs() <= 1e-6 * want.1, "{got:?} {want:?}");
        }

        #[test]
        fn hwe_equals_brute_force(a in 0u32..60, h in 0u32..60, b in 0u32..60) {
            let (got, want) = (hwe(a, h, b, &mut Vec::new()), brute(a, h, b));
            prop_assert!((got.0 - want.0).abs() < 1e-9, "{got:?} {want:?}");
            prop_assert!((got.1 - want.1).abs() < 1e-9, "{got:?} {want:?}");
        }
    }

    #[test]
    fn hwe_known_values() {
        // hail 0.2.139: 5/5/2 -> 0.796; 12 hets of 12 -> 0.00110 and 0.000757.
        assert!((hwe(5, 5, 2, &mut Vec::new()).0 - 0.796).abs() < 5e-4);
        let all_het = hwe(0, 12, 0, &mut Vec::new());
        assert!((all_het.0 - 0.00110).abs() < 5e-6 && (all_het.1 - 0.000757).abs() < 5e-7);
        assert_eq!(hwe(10, 0, 0, &mut Vec::new()), (0.5, 0.5));
        assert_eq!(hwe(0, 0, 0, &mut Vec::new()), (0.5, 0.5));
    }

    #[test]
    fn gamma_quantiles() {
        // 0.5 * chi2inv(0.05, 2 k): 0.3553615, 1.9701496, 77.9289 (R qgamma).
        for (k, want) in [(2.0, 0.355_361_5), (5.0, 1.970_149_6)] {
            assert!((gamma_quantile(k, 0.05) - want).abs() < 1e-6);
        }
        // 0.5 * chi2inv(0.01, 2 k) (R qgamma).
        for (k, want) in [(2.0, 0.148_554_7), (5.0, 1.279_105_6)] {
            assert!((gamma_quantile(k, 0.01) - want).abs() < 1e-6);
        }
        for k in [2.0, 3.0, 17.0, 100.0, 12_345.0, 1e6] {
            for p in [0.05, 0.01] {
                let x = gamma_quantile(k, p);
                assert!((gamma_p(k, x) - p).abs() < 1e-8, "{k} {x}");
            }
        }
    }
}
