//! Bins of the histograms in `variants`, as gnomAD's: closed on the left, the last closed on both sides.

/// Counters of a depth or quality histogram: 20 bins of 5 from 0 to 100, then larger values.
pub const VALUES: usize = 21;
/// Counters of an allele balance histogram: 20 bins from 0 to 1.
pub const BALANCES: usize = 20;
/// Counters of an age histogram: younger than 30, 10 bins of 5 years from 30 to 80, older than 80.
pub const AGES: usize = 12;
/// The age slot of somebody whose age is not known.
pub const NO_AGE: u8 = u8::MAX;
/// Counters of values before they are folded into bins: 0 to 100, and all else.
pub const LEVELS: usize = 102;

/// The slot of an age.
pub fn age_slot(age: Option<u16>) -> u8 {
    match age {
        None => NO_AGE,
        Some(..30) => 0,
        Some(age @ 30..=80) => 1 + ((age - 30) / 5).min(9) as u8,
        Some(_) => AGES as u8 - 1,
    }
}

/// Folds counters by value (the last for all above 100) into bins.
pub fn fold(levels: &[i32; LEVELS]) -> [i32; VALUES] {
    let mut bins = [0; VALUES];
    for (value, count) in levels.iter().enumerate() {
        let bin = if value > 100 { VALUES - 1 } else { (value / 5).min(VALUES - 2) };
        bins[bin] += count;
    }
    bins
}

/// The bin of `alt` reads among `total`, in exact arithmetic; `total` is not 0.
pub fn balance(alt: u32, total: u64) -> usize {
    let bins = BALANCES as u64;
    (u64::from(alt) * bins / total).min(bins - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_closed_on_the_left_and_the_last_on_both_sides() {
        let mut levels = [0; LEVELS];
        for value in [0, 4, 5, 99, 100, 101] {
            levels[value] += 1;
        }
        let bins = fold(&levels);
        assert_eq!((bins[0], bins[1], bins[19], bins[20]), (2, 1, 2, 1));
        let ages = [29, 30, 34, 35, 79, 80, 81].map(|a| age_slot(Some(a)));
        assert_eq!(ages, [0, 1, 1, 2, 10, 10, 11]);
        assert_eq!(age_slot(None), NO_AGE);
        assert_eq!([balance(0, 9), balance(3, 20), balance(1, 2), balance(7, 7)], [0, 3, 10, 19]);
    }
}
