//! Intervals of days that are merged when they are close.

/// A span of days since 1970-01-01, both ends in it, and how many rows it is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span {
    /// First day.
    pub start: i32,
    /// Last day; not before `start`.
    pub end: i32,
    /// Rows in it.
    pub rows: i64,
    /// Days exposed, gaps between merged spans left out: `end - start` of each, as the OHDSI scripts
    /// count them.
    pub exposed: i64,
}

impl Span {
    /// The span of one row; an end before the start counts as the start.
    pub fn of(start: i32, end: i32) -> Self {
        let end = end.max(start);
        Self { start, end, rows: 1, exposed: i64::from(end) - i64::from(start) }
    }
}

/// Merges spans of which one begins at most `gap` days after the end of what comes before it; `gap` 0
/// merges those that share a day. Sorts `spans` first.
///
/// Equal to the "magic" of the OHDSI era scripts, which orders padded ends after starts of the same day.
pub fn merge(spans: &mut [Span], gap: i32) -> Vec<Span> {
    spans.sort_unstable();
    let mut merged: Vec<Span> = Vec::new();
    for span in spans.iter() {
        match merged.last_mut() {
            Some(last) if i64::from(span.start) <= i64::from(last.end) + i64::from(gap) => {
                last.end = last.end.max(span.end);
                last.rows += span.rows;
                last.exposed += span.exposed;
            }
            _ => merged.push(*span),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_gap_is_counted_from_the_last_day_to_the_first() {
        let eras =
            |days: i32| merge(&mut [Span::of(0, 10), Span::of(10 + days, 20 + days)], 30).len();
        assert_eq!([eras(29), eras(30), eras(31)], [1, 1, 2]);
        assert_eq!(merge(&mut [Span::of(0, 5), Span::of(5, 9)], 0).len(), 1);
        assert_eq!(merge(&mut [Span::of(0, 5), Span::of(6, 9)], 0).len(), 2);
        assert_eq!(Span::of(7, 3), Span { start: 7, end: 7, rows: 1, exposed: 0 });
    }

    proptest! {
        /// A day belongs to an era exactly if it is covered, or no further than the gap from cover on both sides.
        #[test]
        fn eras_cover_what_is_covered_and_short_gaps(
            days in prop::collection::vec((0i32..200, 0i32..15), 0..25),
            gap in 0i32..40,
        ) {
            let mut spans: Vec<Span> = days.iter().map(|&(s, n)| Span::of(s, s + n)).collect();
            let covered = |d: i32| days.iter().any(|&(s, n)| s <= d && d <= s + n);
            let eras = merge(&mut spans, gap);
            for d in -5..260 {
                let before = (0..=300).find(|k| covered(d - k));
                let after = (0..=300).find(|k| covered(d + k));
                let bridged = before.zip(after).is_some_and(|(b, a)| b + a <= gap);
                let inside = eras.iter().any(|e| e.start <= d && d <= e.end);
                prop_assert_eq!(inside, covered(d) || bridged, "day {}", d);
            }
            prop_assert_eq!(eras.iter().map(|e| e.rows).sum::<i64>(), days.len() as i64);
            prop_assert!(eras.windows(2).all(|w| w[1].start > w[0].end + gap));
        }
    }
}
