//! Sex chromosomes as the calls show them: X by inbreeding, Y by calls, and how that agrees with the
//! stated sex.
//!
//! X: `F < 0.2` two copies, `F > 0.8` one, in between unclear (Hail `impute_sex`, PLINK `--check-sex`).
//! Y: called in at least half of its rows: there; in at most a fifth: not there. Y says something only in
//! callsets that leave it uncalled where there is none: see [`y_informative`].

use super::Sex;
use super::tally::{MISSING, Part, Tally};

/// F on X below which there are two copies.
const TWO_X: f64 = 0.2;
/// F on X above which there is one copy.
const ONE_X: f64 = 0.8;
/// Expected hets on X below which F is too noisy to say anything; its standard deviation is then 0.14.
const LEAST_EXPECTED: f64 = 50.0;
/// Rows of Y below which a call rate says nothing.
const LEAST_Y_ROWS: u64 = 20;
/// Call rate of Y from which on there is one.
const Y_THERE: f64 = 0.5;
/// Call rate of Y up to which there is none.
const Y_ABSENT: f64 = 0.2;

/// What the calls of a sample say of X and Y.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Signal {
    /// Inbreeding coefficient on non-PAR X.
    pub f_x: Option<f64>,
    /// Expected hets behind it.
    pub expected: f64,
    /// Share of non-PAR Y rows with a call in the file.
    pub y_call_rate: Option<f64>,
    y_rows: u64,
}

impl Signal {
    /// Of a sample, stated female or not.
    pub fn of(tally: &Tally, sample: usize, female: bool) -> Self {
        let x = tally.x.x_inbreeding(sample);
        let y = &tally.y;
        // Calls of samples stated female are kept out of the counts on Y, but seen.
        let contrary = Part::value(&y.contrary, sample);
        let called = if female { contrary } else { y.rows - y.sample(sample)[MISSING] + contrary };
        Self {
            f_x: x.map(|x| x.0),
            expected: x.map_or(0.0, |x| x.1),
            y_call_rate: (y.rows > 0).then(|| called as f64 / y.rows as f64),
            y_rows: y.rows,
        }
    }

    /// Whether there are two copies of X; `Err` is unclear, `None` that too little is known.
    fn two_x(&self) -> Option<Result<bool, ()>> {
        let f = self.f_x.filter(|_| self.expected >= LEAST_EXPECTED)?;
        Some(if f < TWO_X {
            Ok(true)
        } else if f > ONE_X {
            Ok(false)
        } else {
            Err(())
        })
    }
}

/// Whether calls on Y tell who has one: the median of samples with two X is one of no Y.
///
/// Without this a callset in which everybody is hom-ref on Y would be one of XXY.
pub fn y_informative(signals: &[Signal]) -> bool {
    let two = |s: &&Signal| s.two_x() == Some(Ok(true));
    let rates = signals.iter().filter(two).filter_map(|s| s.y_call_rate).collect();
    signals.first().is_some_and(|s| s.y_rows >= LEAST_Y_ROWS)
        && super::outlier::median(rates).is_none_or(|m| m <= Y_ABSENT)
}

/// The karyotype: `XX`, `XY`, `X0`, `XXY`, `ambiguous` where a signal lies in between, `None` where X says
/// nothing. Where Y says nothing one X is `XY`, two are `XX`.
pub fn karyotype(signal: &Signal, y_informative: bool) -> Option<&'static str> {
    let two = match signal.two_x()? {
        Ok(two) => two,
        Err(()) => return Some("ambiguous"),
    };
    let there = match signal.y_call_rate.filter(|_| y_informative) {
        None => !two,
        Some(rate) if rate >= Y_THERE => true,
        Some(rate) if rate <= Y_ABSENT => false,
        Some(_) => return Some("ambiguous"),
    };
    Some(match (two, there) {
        (true, false) => "XX",
        (false, true) => "XY",
        (false, false) => "X0",
        (true, true) => "XXY",
    })
}

/// Flags that follow from a karyotype.
pub fn flag(karyotype: Option<&str>, stated: Option<Sex>) -> Option<&'static str> {
    match (karyotype?, stated) {
        ("ambiguous", _) => Some("karyotype_ambiguous"),
        ("X0" | "XXY", _) => Some("sex_aneuploidy"),
        ("XX", Some(Sex::Male)) | ("XY", Some(Sex::Female)) => Some("sex_mismatch"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(f: f64, y: f64) -> Signal {
        Signal { f_x: Some(f), expected: 100.0, y_call_rate: Some(y), y_rows: 100 }
    }

    #[test]
    fn both_signals_decide() {
        let of = |f, y| karyotype(&signal(f, y), true);
        assert_eq!(of(0.0, 0.01), Some("XX"));
        assert_eq!(of(1.0, 0.99), Some("XY"));
        assert_eq!(of(0.95, 0.0), Some("X0"));
        assert_eq!(of(-0.1, 0.9), Some("XXY"));
        assert_eq!(of(0.5, 0.9), Some("ambiguous"));
        assert_eq!(of(1.0, 0.3), Some("ambiguous"));
        let few = Signal { expected: 49.0, ..signal(1.0, 1.0) };
        assert_eq!(karyotype(&few, true), None);
        assert_eq!(karyotype(&signal(0.0, 1.0), false), Some("XX"));
    }

    #[test]
    fn y_that_is_called_in_everybody_says_nothing() {
        assert!(!y_informative(&[signal(0.0, 1.0), signal(1.0, 1.0)]));
        assert!(y_informative(&[signal(0.0, 0.1), signal(1.0, 1.0)]));
        assert!(y_informative(&[signal(1.0, 1.0)]));
        assert!(!y_informative(&[Signal { y_rows: 3, ..signal(1.0, 1.0) }]));
    }

    #[test]
    fn disagreement_is_flagged() {
        assert_eq!(flag(Some("XX"), Some(Sex::Male)), Some("sex_mismatch"));
        assert_eq!(flag(Some("XY"), Some(Sex::Female)), Some("sex_mismatch"));
        assert_eq!(flag(Some("XY"), Some(Sex::Male)), None);
        assert_eq!(flag(Some("XX"), None), None);
        assert_eq!(flag(Some("X0"), Some(Sex::Female)), Some("sex_aneuploidy"));
        assert_eq!(flag(None, Some(Sex::Female)), None);
    }
}
