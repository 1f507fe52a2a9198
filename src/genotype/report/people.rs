//! The samples of the page, and order statistics of their numbers.

use std::collections::BTreeMap;

/// Columns of `samples` that the page may show, if they are there and not null.
pub const NUMBERS: [&str; 13] = [
    "call_rate",
    "n_het",
    "n_hom_alt",
    "n_singleton",
    "ti_tv",
    "het_hom_ratio",
    "ins_del_ratio",
    "f_inbreeding",
    "mean_dp",
    "mean_gq",
    "f_x",
    "y_call_rate",
    "n_private_site",
];

/// One row of `samples`.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// `sample_idx`.
    pub idx: u32,
    /// Research id.
    pub id: i64,
    /// Stated sex.
    pub sex: Option<String>,
    /// Karyotype.
    pub karyotype: Option<String>,
    /// Ancestry group.
    pub group: Option<String>,
    /// Flags.
    pub flags: Vec<String>,
    /// In the order of [`NUMBERS`].
    pub numbers: [Option<f64>; 13],
}

impl Person {
    /// A number by its column.
    pub fn number(&self, name: &str) -> Option<f64> {
        NUMBERS.iter().position(|n| *n == name).and_then(|i| self.numbers[i])
    }
}

/// All samples.
#[derive(Debug, Default)]
pub struct People {
    /// By `sample_idx`.
    pub all: Vec<Person>,
    /// Ancestry groups in order of name; those of none come last, as `?`.
    pub groups: Vec<String>,
}

impl People {
    /// Finds the groups.
    pub fn group(&mut self) {
        let mut names: Vec<String> = self.all.iter().filter_map(|p| p.group.clone()).collect();
        names.sort();
        names.dedup();
        if self.all.iter().any(|p| p.group.is_none()) {
            names.push("?".to_owned());
        }
        self.groups = names;
    }

    /// Index of a person's group.
    pub fn group_of(&self, person: &Person) -> usize {
        let name = person.group.as_deref().unwrap_or("?");
        self.groups.iter().position(|g| g == name).unwrap_or(0)
    }

    /// Flags with the number of people who have them.
    pub fn flags(&self) -> BTreeMap<&str, u64> {
        let mut count = BTreeMap::new();
        for flag in self.all.iter().flat_map(|p| &p.flags) {
            *count.entry(flag.as_str()).or_default() += 1;
        }
        count
    }

    /// People with a flag.
    pub fn flagged(&self) -> impl Iterator<Item = &Person> {
        self.all.iter().filter(|p| !p.flags.is_empty())
    }
}

/// Minimum, quartiles and maximum, by linear interpolation; `None` of nothing.
pub fn quartiles(values: &mut [f64]) -> Option<[f64; 5]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([0.0, 0.25, 0.5, 0.75, 1.0].map(|q| {
        let at = q * last as f64;
        let (low, high) = (values[at.floor() as usize], values[at.ceil() as usize]);
        low + (high - low) * at.fract()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_interpolate() {
        assert_eq!(quartiles(&mut []), None);
        assert_eq!(quartiles(&mut [3.0]), Some([3.0; 5]));
        assert_eq!(quartiles(&mut [4.0, 1.0, 2.0, 3.0]), Some([1.0, 1.75, 2.5, 3.25, 4.0]));
    }
}
