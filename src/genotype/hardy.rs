//! Exact Hardy-Weinberg tests in log space: of women and men together on X, and of probabilities that
//! are too small for a double.
//!
//! Graffelman and Weir 2016 (Heredity 116:558): with `ma` ALT alleles among `nm` men, `h` hets among `nf`
//! women, `nA` and `nB` alleles in all and `nt = nm + 2 nf`,
//!
//! ```text
//! P(ma, h) = nA! nB! nm! nf! 2^h / ( nt! ma! (nm - ma)! faa! h! fbb! )
//! ```
//!
//! The p-value is the sum of all terms not larger than the observed one, less half of the tied ones
//! (mid-p). Without men it is Wigginton's test. Terms are walked row by row (`ma`), each row from where it
//! falls below the observed term outwards, and a row that lies below it as a whole has a closed form, so
//! the work grows with the spread of the distribution and not with the number of terms.

use std::f64::consts::LN_2;

/// Terms this much smaller than the sum add nothing to it in double precision.
const NEGLIGIBLE: f64 = 1e-19;

/// `ln(k!)`, by summation with compensation, so that a value does not depend on when it was made.
#[derive(Default)]
pub struct Factorials {
    ln: Vec<f64>,
    lost: f64,
}

impl Factorials {
    fn grow(&mut self, n: u64) {
        if self.ln.is_empty() {
            self.ln.push(0.0);
        }
        for k in self.ln.len() as u64..=n {
            let last = self.ln.last().copied().unwrap_or_default();
            let term = (k as f64).ln() - self.lost;
            let next = last + term;
            self.lost = (next - last) - term;
            self.ln.push(next);
        }
    }

    fn of(&self, k: u64) -> f64 {
        self.ln[k as usize]
    }

    fn choose(&self, n: u64, k: u64) -> f64 {
        self.of(n) - self.of(k) - self.of(n - k)
    }
}

/// Natural logarithm of the mid-p of women `[hom_ref, het, hom_alt]` and men `[ref, alt]`; that of 0.5 when
/// there is one allele or nobody.
pub fn ln_p(factorials: &mut Factorials, women: [u32; 3], men: [u32; 2]) -> f64 {
    let [b, het, a] = women.map(u64::from);
    let (nf, nm) = (a + het + b, u64::from(men[0]) + u64::from(men[1]));
    let (alt, all) = (2 * a + het + u64::from(men[1]), 2 * nf + nm);
    // The test is the same for both alleles: the rarer one has fewer terms.
    let (rare, men_rare) =
        if 2 * alt <= all { (alt, u64::from(men[1])) } else { (all - alt, u64::from(men[0])) };
    if rare == 0 {
        return -LN_2;
    }
    factorials.grow(all);
    let f = &*factorials;
    let mut walk = Walk { f, nf, nm, rare, observed: 0.0, constant: 0.0, tie: 0.0 };
    walk.observed = walk.weight(men_rare, het);
    walk.constant = f.of(rare) + f.of(all - rare) + f.of(nm) + f.of(nf) - f.of(all);
    walk.tie = 1e-10 + 4e-16 * f.of(all);
    (walk.constant + walk.observed + walk.sum().ln()).min(0.0)
}

struct Walk<'a> {
    f: &'a Factorials,
    nf: u64,
    nm: u64,
    /// Copies of the rarer allele.
    rare: u64,
    /// Weight of the observed term; sums are in units of that term.
    observed: f64,
    /// Logarithm of what all terms have in common.
    constant: f64,
    /// Difference of logarithms within which terms are tied.
    tie: f64,
}

impl Walk<'_> {
    /// Logarithm of a term without what all have in common.
    fn weight(&self, men: u64, het: u64) -> f64 {
        let hom = (self.rare - men - het) / 2;
        let other = self.nf - hom - het;
        het as f64 * LN_2
            - self.f.of(men)
            - self.f.of(self.nm - men)
            - self.f.of(hom)
            - self.f.of(het)
            - self.f.of(other)
    }

    /// All terms that count, from the middle row outwards.
    fn sum(&self) -> f64 {
        let (low, high) = (self.rare.saturating_sub(2 * self.nf), self.nm.min(self.rare));
        let share = self.nm as f64 / (self.nm + 2 * self.nf) as f64;
        let middle = ((self.rare as f64 * share) as u64).clamp(low, high);
        let mut sum = 0.0;
        for men in middle..=high {
            if !self.add(men, &mut sum) {
                break;
            }
        }
        for men in (low..middle).rev() {
            if !self.add(men, &mut sum) {
                break;
            }
        }
        sum
    }

    /// Adds a row; false when it and all behind it are negligible.
    fn add(&self, men: u64, sum: &mut f64) -> bool {
        let copies = self.rare - men;
        let whole = self.f.choose(self.nm, men) + self.f.choose(2 * self.nf, copies)
            - self.f.choose(self.nm + 2 * self.nf, self.rare)
            - self.constant
            - self.observed;
        // The observed term itself is 1 (half of it counts), whether it was met already or not.
        if whole < (NEGLIGIBLE * f64::max(*sum, 0.5)).ln() {
            return false;
        }
        *sum += self.row(men, copies, whole);
        true
    }

    fn row(&self, men: u64, copies: u64, whole: f64) -> f64 {
        let other = 2 * self.nf - copies;
        let (parity, most) = (copies % 2, copies.min(other));
        let het = |i: u64| parity + 2 * i;
        let below = |i: u64| self.weight(men, het(i)) - self.observed;
        let last = (most - parity) / 2;
        let mode = self.mode(copies, parity, last);
        if below(mode) < -self.tie {
            return whole.exp();
        }
        let mut sum = 0.0;
        if let Some(start) = first(mode, last + 1, |i| below(i) <= self.tie) {
            sum += self.tail(below(start), (start..last).map(|i| self.up(copies, het(i))));
        }
        // Mirrored, so that the condition turns true once.
        if let Some(k) = first(0, mode, |k| below(mode - 1 - k) <= self.tie) {
            let start = mode - 1 - k;
            let ratios = (0..start).rev().map(|i| 1.0 / self.up(copies, het(i)));
            sum += self.tail(below(start), ratios);
        }
        sum
    }

    /// `P(h + 2) / P(h)`.
    fn up(&self, copies: u64, het: u64) -> f64 {
        let hom = (copies - het) / 2;
        let other = self.nf - hom - het;
        4.0 * hom as f64 * other as f64 / ((het + 2) as f64 * (het + 1) as f64)
    }

    /// Index of the largest term of a row.
    fn mode(&self, copies: u64, parity: u64, last: u64) -> u64 {
        if self.nf == 0 {
            return 0;
        }
        let het = copies as f64 * (2 * self.nf - copies) as f64 / (2 * self.nf) as f64;
        let mut i = ((het - parity as f64).max(0.0) / 2.0) as u64;
        i = i.min(last);
        while i < last && self.up(copies, parity + 2 * i) > 1.0 {
            i += 1;
        }
        while i > 0 && self.up(copies, parity + 2 * (i - 1)) < 1.0 {
            i -= 1;
        }
        i
    }

    /// Sums terms that only get smaller, ties with the observed one by half.
    fn tail(&self, start: f64, ratios: impl Iterator<Item = f64>) -> f64 {
        let mut term = start.exp();
        let tied = 1.0 - self.tie;
        let half = |t: f64| if t >= tied { t / 2.0 } else { t };
        let mut sum = half(term);
        for ratio in ratios {
            term *= ratio;
            if term < sum * NEGLIGIBLE {
                break;
            }
            sum += half(term);
        }
        sum
    }
}

/// The first of `low..high` for which `test` is true, where it never turns false again.
fn first(low: u64, high: u64, test: impl Fn(u64) -> bool) -> Option<u64> {
    let (mut a, mut b) = (low, high);
    while a < b {
        let middle = a + (b - a) / 2;
        if test(middle) {
            b = middle;
        } else {
            a = middle + 1;
        }
    }
    (a < high).then_some(a)
}

#[cfg(test)]
mod tests {
    use super::super::stats::hwe;
    use super::*;
    use proptest::prelude::*;

    /// Straight from the definition, term by term.
    fn brute(women: [u32; 3], men: [u32; 2]) -> f64 {
        let mut f = Factorials::default();
        let [b, h, a] = women.map(u64::from);
        let (nf, nm, ma) = (a + h + b, u64::from(men[0] + men[1]), u64::from(men[1]));
        let (na, nt) = (2 * a + h + ma, 2 * nf + nm);
        f.grow(nt);
        if na == 0 || na == nt {
            return 0.5;
        }
        let mut terms = Vec::new();
        for m in 0..=nm.min(na) {
            let copies = na - m;
            for het in (copies % 2..=copies).step_by(2) {
                let hom = (copies - het) / 2;
                if hom + het > nf {
                    continue;
                }
                let ln = f.of(na) + f.of(nt - na) + f.of(nm) + f.of(nf) + het as f64 * LN_2
                    - f.of(nt)
                    - f.of(m)
                    - f.of(nm - m)
                    - f.of(hom)
                    - f.of(het)
                    - f.of(nf - hom - het);
                terms.push(((m, het), ln.exp()));
            }
        }
        let total: f64 = terms.iter().map(|t| t.1).sum();
        assert!((total - 1.0).abs() < 1e-9, "{total}");
        let observed = terms.iter().find(|t| t.0 == (ma, h)).map_or(f64::NAN, |t| t.1);
        let share = |p: f64| {
            if (p - observed).abs() < 1e-9 * observed {
                p / 2.0
            } else if p < observed {
                p
            } else {
                0.0
            }
        };
        terms.iter().map(|t| share(t.1)).sum()
    }

    proptest! {
        #[test]
        fn joint_equals_brute_force(
            b in 0u32..40, h in 0u32..40, a in 0u32..40, r in 0u32..40, v in 0u32..40,
        ) {
            let got = ln_p(&mut Factorials::default(), [b, h, a], [r, v]).exp();
            let want = brute([b, h, a], [r, v]);
            prop_assert!((got - want).abs() < 1e-8 * want.max(1e-30), "{got} {want}");
            // Neither allele is special.
            let other = ln_p(&mut Factorials::default(), [a, h, b], [v, r]).exp();
            prop_assert!((got - other).abs() < 1e-8 * want.max(1e-30), "{got} {other}");
        }

        #[test]
        fn without_men_it_is_the_test_of_autosomes(b in 0u32..3000, h in 1u32..3000, a in 0u32..3000) {
            let want = hwe(b, h, a, &mut Vec::new()).0;
            prop_assume!(want > 1e-280);
            let got = ln_p(&mut Factorials::default(), [b, h, a], [0, 0]);
            prop_assert!((got - want.ln()).abs() < 1e-6, "{got} {}", want.ln());
        }
    }

    #[test]
    fn beyond_doubles() {
        // No het among 2,000 at p = 1/2: the extreme term and its equal: ln P(0) = ln[n!nA!nB!/(a!b!(2n)!)].
        let mut f = Factorials::default();
        let ln = ln_p(&mut f, [1000, 0, 1000], [0, 0]);
        let want = f.of(2000) + 2.0 * f.of(2000) - 2.0 * f.of(1000) - f.of(4000) - LN_2;
        assert!((ln - want).abs() < 1e-8 && ln < -1000.0, "{ln} {want}");
    }

    #[test]
    fn large_cohorts() {
        let mut f = Factorials::default();
        // As expected: no signal. Men and women differ: a strong one.
        let near = ln_p(&mut f, [81_000, 18_000, 1_000], [90_000, 10_000]).exp();
        assert!(near > 0.9, "{near}");
        let far = ln_p(&mut f, [81_000, 18_000, 1_000], [85_000, 15_000]);
        assert!(far < -500.0, "{far}");
    }
}
