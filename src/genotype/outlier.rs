//! Samples far from the others: median absolute deviations by ancestry, or of residuals on principal
//! components (gnomAD `compute_stratified_metrics_filter` and `compute_qc_metrics_residuals`).

use std::collections::BTreeMap;

/// Makes the median absolute deviation of a normal distribution its standard deviation.
const MAD_SCALE: f64 = 1.4826;
/// Fewest values of which a spread is taken.
const LEAST: usize = 20;
/// Length of what is left of a component, relative to the whole, below which it adds nothing.
const DEPENDENT: f64 = 1e-9;

/// Which side of the median is an outlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Both.
    Both,
    /// Below.
    Low,
}

/// The median; the mean of the middle two of an even number. `None` of nothing.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let even = values.len().is_multiple_of(2);
    Some(if even { f64::midpoint(values[middle - 1], upper) } else { upper })
}

/// Whom each sample is compared with.
pub struct Peers {
    /// By sample: the group it is compared in.
    group: Vec<usize>,
    /// Orthonormal columns over the samples with components, which are one group.
    basis: Option<Basis>,
}

struct Basis {
    samples: Vec<usize>,
    columns: Vec<Vec<f64>>,
}

impl Peers {
    /// Groups by ancestry, and one of all samples that have principal components, if those are of one
    /// number and enough samples have them.
    pub fn new<'a>(people: impl Iterator<Item = (Option<&'a str>, &'a [f64])>) -> Self {
        let people: Vec<_> = people.collect();
        let mut names = BTreeMap::new();
        let mut group: Vec<usize> = Vec::new();
        for (ancestry, _) in &people {
            let next = names.len();
            group.push(*names.entry(*ancestry).or_insert(next));
        }
        let width = people.iter().map(|p| p.1.len()).max().unwrap_or_default();
        let fits = |p: &[f64]| width > 0 && p.len() == width && p.iter().all(|x| x.is_finite());
        let samples: Vec<usize> = (0..people.len()).filter(|&i| fits(people[i].1)).collect();
        let enough = width > 0 && samples.len() >= LEAST + width;
        let basis = enough.then(|| {
            samples.iter().for_each(|&i| group[i] = names.len());
            let mut columns = vec![vec![1.0; samples.len()]];
            columns.extend((0..width).map(|k| samples.iter().map(|&i| people[i].1[k]).collect()));
            Basis { columns: orthonormal(columns), samples }
        });
        Self { group, basis }
    }

    /// What is left of `values` when principal components are taken out, of samples that have them.
    fn residuals(&self, values: &mut [Option<f64>]) {
        let Some(basis) = &self.basis else { return };
        let known: Vec<(usize, f64)> = basis
            .samples
            .iter()
            .enumerate()
            .filter_map(|(row, &i)| values[i].map(|v| (row, v)))
            .collect();
        let all = known.len() == basis.samples.len();
        let fitted;
        let columns = if all {
            &basis.columns
        } else {
            let part = |c: &Vec<f64>| known.iter().map(|&(row, _)| c[row]).collect();
            fitted = orthonormal(basis.columns.iter().map(part).collect());
            &fitted
        };
        let mut left: Vec<f64> = known.iter().map(|k| k.1).collect();
        columns.iter().for_each(|c| take_out(c, &mut left));
        for (&(row, _), residual) in known.iter().zip(left) {
            values[basis.samples[row]] = Some(residual);
        }
    }

    /// Which samples lie more than `mads` scaled median absolute deviations from the median of their group.
    ///
    /// Nobody does in a group of few, or without spread.
    pub fn outliers(&self, mut values: Vec<Option<f64>>, mads: f64, side: Side) -> Vec<bool> {
        self.residuals(&mut values);
        let groups = self.group.iter().max().map_or(0, |g| g + 1);
        let mut members: Vec<Vec<f64>> = vec![Vec::new(); groups];
        for (&g, value) in self.group.iter().zip(&values) {
            members[g].extend(value);
        }
        let ranges: Vec<Option<(f64, f64)>> = members.into_iter().map(|m| range(m, mads)).collect();
        let outside = |(&g, value): (&usize, &Option<f64>)| {
            let (Some((low, high)), Some(value)) = (ranges[g], *value) else { return false };
            value < low || (side == Side::Both && value > high)
        };
        self.group.iter().zip(&values).map(outside).collect()
    }
}

fn range(values: Vec<f64>, mads: f64) -> Option<(f64, f64)> {
    if values.len() < LEAST {
        return None;
    }
    let middle = median(values.clone())?;
    let size = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    let mad = median(values.into_iter().map(|v| (v - middle).abs()).collect())?;
    // Residuals of a perfect fit are rounding errors, not a spread.
    let reach = mads * MAD_SCALE * mad;
    (mad > 1e-12 * size).then_some((middle - reach, middle + reach))
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// Takes the part along the unit vector `unit` out of `values`, twice, for the sake of rounding.
fn take_out(unit: &[f64], values: &mut [f64]) {
    for _ in 0..2 {
        let along = dot(unit, values);
        values.iter_mut().zip(unit).for_each(|(v, u)| *v -= along * u);
    }
}

/// Gram-Schmidt; columns that depend on those before them are dropped.
fn orthonormal(columns: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    let mut units: Vec<Vec<f64>> = Vec::new();
    for mut column in columns {
        let whole = dot(&column, &column).sqrt();
        for _ in 0..2 {
            units.iter().for_each(|unit| take_out(unit, &mut column));
        }
        let left = dot(&column, &column).sqrt();
        if left > DEPENDENT * whole {
            column.iter_mut().for_each(|x| *x /= left);
            units.push(column);
        }
    }
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) % 101) as f64 / 101.0 - 0.5
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn groups_have_their_own_medians() {
        // Two groups far apart; 30.0 is ordinary in one and an outlier in the other.
        let people: Vec<(Option<&str>, &[f64])> =
            (0..100).map(|i| (Some(if i < 50 { "afr" } else { "eur" }), &[][..])).collect();
        let peers = Peers::new(people.into_iter());
        let value = |i: usize| Some(if i < 50 { 30.0 } else { 10.0 } + noise(i));
        let mut values: Vec<Option<f64>> = (0..100).map(value).collect();
        values[60] = Some(30.0);
        values[3] = None;
        values[7] = Some(0.0);
        let both = peers.outliers(values.clone(), 4.0, Side::Both);
        let flagged = |f: &[bool]| (0..100).filter(|&i| f[i]).collect::<Vec<_>>();
        assert_eq!(flagged(&both), [7, 60]);
        assert_eq!(flagged(&peers.outliers(values, 4.0, Side::Low)), [7]);
    }

    #[test]
    fn few_samples_or_no_spread_flag_nobody() {
        let people = |n: usize| (0..n).map(|_| (None, &[][..]));
        let mut values: Vec<Option<f64>> = (0..19).map(|i| Some(noise(i))).collect();
        values[4] = Some(1e6);
        assert!(!Peers::new(people(19)).outliers(values, 4.0, Side::Both).contains(&true));
        let mut values = vec![Some(1.0); 40];
        values[4] = Some(2.0);
        assert!(!Peers::new(people(40)).outliers(values, 4.0, Side::Both).contains(&true));
    }

    #[test]
    fn residuals_on_components() {
        // A value that follows the components is none, one that leaves them is; the third component is
        // the sum of the others and must do no harm.
        let pcs: Vec<Vec<f64>> = (0..200)
            .map(|i| {
                let (a, b) = (noise(i), noise(3 * i + 1));
                vec![a, b, a + b]
            })
            .collect();
        let peers = Peers::new(pcs.iter().map(|p| (None, p.as_slice())));
        let mut values: Vec<Option<f64>> = (0..200)
            .map(|i| Some(100.0 * pcs[i][0] - 40.0 * pcs[i][1] + 7.0 + 0.1 * noise(11 * i)))
            .collect();
        values[50] = None;
        values[10] = values[10].map(|v| v + 5.0);
        let flags = peers.outliers(values.clone(), 4.0, Side::Both);
        assert_eq!((0..200).filter(|&i| flags[i]).collect::<Vec<_>>(), [10]);
        // Without components the same shift drowns.
        let blind = Peers::new(pcs.iter().map(|_| (None, &[][..])));
        assert!(!blind.outliers(values, 4.0, Side::Both)[10]);
    }
}
