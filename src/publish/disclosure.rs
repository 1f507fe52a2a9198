//! Disclosure control: the only way from a raw count to a number that may be written or shown.
//!
//! Small and pure on purpose, so that it can be read in one sitting. A count of 1 to 20 people is
//! sensitive (privacy reference, section 0 item 3). [`RawCount`] can be made and added up but not read,
//! printed or serialised outside this module and its children; [`protect`] turns it into a
//! [`PublishedCount`].
//!
//! ```compile_fail
//! // A raw count has no Serialize: it can reach no file and no page.
//! let raw = strata::publish::disclosure::RawCount::new(7);
//! serde_json::to_string(&raw).unwrap();
//! ```
//!
//! ```compile_fail
//! // Nor can it be read or printed.
//! let raw = strata::publish::disclosure::RawCount::new(7);
//! println!("{}", raw.0);
//! ```
//!
//! ```
//! let raw = strata::publish::disclosure::RawCount::new(7);
//! assert_eq!(format!("{raw:?}"), "RawCount(…)");
//! ```

use std::fmt;

use serde::Serialize;

use crate::config::disclosure::{Disclosure, Method};

pub mod allele;

/// The keyed function behind the offsets. The key is constant across releases, so that a cell's offset is
/// never re-drawn and cannot be averaged away (privacy reference 2.5 item 1).
pub trait Prf: Send + Sync {
    /// A number in `0..base` that depends on the key, the table and the cell only.
    fn offset(&self, table: &str, cell: &str, base: u32) -> u32;
}

impl<F: Fn(&str, &str, u32) -> u32 + Send + Sync> Prf for F {
    fn offset(&self, table: &str, cell: &str, base: u32) -> u32 {
        self(table, cell, base)
    }
}

/// A number of people as counted. Not readable outside this module.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct RawCount(u64);

impl RawCount {
    /// Wraps a count straight from a query; a negative number, which no count is, becomes 0.
    pub fn new(people: i64) -> Self {
        Self(u64::try_from(people).unwrap_or(0))
    }
}

impl std::ops::AddAssign for RawCount {
    fn add_assign(&mut self, other: Self) {
        self.0 = self.0.saturating_add(other.0);
    }
}

impl fmt::Debug for RawCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RawCount(…)")
    }
}

/// A number that passed disclosure control. Only this module and its children can make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct PublishedCount(u64);

impl PublishedCount {
    /// The published number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// Address of a published cell: the same in every release, without any value of a person.
#[derive(Debug, Clone, Copy)]
pub struct Cell<'a> {
    /// Public table.
    pub table: &'a str,
    /// Cell within the table, e.g. `condition_occurrence/320128/sex/female`.
    pub id: &'a str,
}

/// Protects one count.
///
/// * [`Method::Dithered`] (privacy reference 2.5 item 1): `base * floor((n + u) / base)` with
///   `u = PRF(K_sdc, table || cell) mod base`. Unbiased over keys, monotone in `n`; "0" means
///   `0..=base-1`, "base" means `1..=2*base-1`; a true zero is never asserted.
/// * [`Method::AouCeil20`] (All of Us reference 5.2): `base * ceil(n / base)`; asserts true zeros.
pub fn protect(
    raw: RawCount,
    cell: Cell<'_>,
    policy: &Disclosure,
    prf: &dyn Prf,
) -> PublishedCount {
    let base = u64::from(policy.base.max(1));
    match policy.method {
        Method::Dithered => {
            // `% base` keeps the interval statement true whatever the implementation returns.
            let offset = u64::from(prf.offset(cell.table, cell.id, policy.base.max(1))) % base;
            PublishedCount(raw.0.saturating_add(offset) / base * base)
        }
        Method::AouCeil20 => PublishedCount(raw.0.div_ceil(base) * base),
    }
}

/// Whether `people` is a sensitive count.
fn is_sensitive(people: i64, policy: &Disclosure) -> bool {
    people != 0 && people <= i64::from(policy.sensitive_max)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(offset: u32) -> impl Fn(&str, &str, u32) -> u32 {
        move |_: &str, _: &str, base| offset % base
    }

    const CELL: Cell<'static> = Cell { table: "t", id: "c" };

    fn dithered(n: i64, offset: u32) -> u64 {
        protect(RawCount::new(n), CELL, &Disclosure::default(), &at(offset)).get()
    }

    proptest! {
        #[test]
        fn dithering_is_monotone_and_a_multiple_of_the_base(
            a in 0i64..5_000, b in 0i64..5_000, offset in 0u32..1_000,
        ) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(dithered(low, offset) <= dithered(high, offset));
            prop_assert_eq!(dithered(a, offset) % 20, 0);
        }

        #[test]
        fn dithering_is_unbiased_over_offsets(n in 0i64..100_000) {
            // The offset is uniform on 0..20: the mean over all of them is n itself.
            let sum: u64 = (0..20).map(|u| dithered(n, u)).sum();
            prop_assert_eq!(sum, 20 * n as u64);
        }

        #[test]
        fn a_published_value_spans_the_whole_sensitive_range(n in 0i64..2_000, offset in 0u32..20) {
            // L3: without the offset, every published value is consistent with 2 * base - 1 raw values.
            let published = dithered(n, offset);
            let consistent: Vec<i64> = (0..2_100)
                .filter(|&m| (0..20).any(|u| dithered(m, u) == published))
                .collect();
            let (first, last) = (consistent[0], consistent[consistent.len() - 1]);
            prop_assert_eq!(last - first + 1, consistent.len() as i64);
            if published == 0 {
                prop_assert_eq!((first, last), (0, 19));
            } else {
                prop_assert_eq!((first, last), (published as i64 - 19, published as i64 + 19));
            }
        }

        #[test]
        fn ceiling_never_shows_a_sensitive_count_below_the_base(n in 0i64..2_000) {
            let policy = Disclosure { method: Method::AouCeil20, ..Disclosure::default() };
            let published = protect(RawCount::new(n), CELL, &policy, &at(0)).get() as i64;
            prop_assert!(published % 20 == 0 && published >= n && published < n + 20);
        }
    }

    #[test]
    fn the_interval_statement_of_the_reference_holds() {
        let seen = |target: u64| {
            (0i64..100)
                .filter(|&n| (0..20).any(|u| dithered(n, u) == target))
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(0), (0..=19).collect::<Vec<_>>());
        assert_eq!(seen(20), (1..=39).collect::<Vec<_>>());
    }

    #[test]
    fn twenty_one_to_thirty_nine_round_both_ways() {
        assert_eq!((dithered(21, 0), dithered(21, 19)), (20, 40));
        assert_eq!(dithered(40, 0), 40);
    }
}
