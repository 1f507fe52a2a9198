//! Units of measurements: one unit a measurement, by a table of conversions.
//!
//! The table is a CSV file with the columns of the programme's `_unit_mapping.csv`:
//! `measurement_concept_id,unit_concept_id,set_unit_concept_id,transform_value_as_number`. A conversion is
//! arithmetic over `x`, the value: `(x-32)*(5/9)`, `(1/x)`; what begins with `*` or `/` begins with `x`:
//! `*10^(-3)`. An empty one leaves the value.

use std::collections::BTreeMap;
use std::path::Path;

use super::Error;

/// Conversions by measurement and unit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Units {
    by: BTreeMap<(i64, i64), (i64, Formula)>,
}

impl Units {
    /// Reads the table.
    ///
    /// # Errors
    /// An unreadable file, a missing column, a line that is no conversion, a pair listed twice.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let wrong =
            |line: usize, message: String| Error::RuleFile { path: path.to_owned(), line, message };
        let mut reader =
            csv::ReaderBuilder::new().comment(Some(b'#')).from_path(path).map_err(|e| {
                let line = e.position().map_or(1, |p| p.line() as usize);
                wrong(line, "the file cannot be read".into())
            })?;
        let heads = reader.headers().map_err(|_| wrong(1, "there is no header".into()))?.clone();
        let column = |name: &str| {
            let at = heads.iter().position(|head| head == name);
            at.ok_or_else(|| wrong(1, format!("the column `{name}` is missing")))
        };
        let (measurement, unit, set, formula) = (
            column("measurement_concept_id")?,
            column("unit_concept_id")?,
            column("set_unit_concept_id")?,
            column("transform_value_as_number")?,
        );
        let mut by = BTreeMap::new();
        for row in reader.records() {
            let row = row.map_err(|e| {
                let line = e.position().map_or(1, |p| p.line() as usize);
                wrong(line, "the line has another number of columns".into())
            })?;
            let line = row.position().map_or(1, |p| p.line() as usize);
            let cell = |at: usize| row.get(at).unwrap_or_default().trim();
            let id = |at: usize| {
                cell(at).parse::<i64>().map_err(|_| wrong(line, "a concept id is no number".into()))
            };
            let text = cell(formula);
            let formula = Formula::parse(text)
                .ok_or_else(|| wrong(line, format!("`{text}` is no conversion")))?;
            if by.insert((id(measurement)?, id(unit)?), (id(set)?, formula)).is_some() {
                return Err(wrong(line, "the measurement and unit are listed twice".into()));
            }
        }
        Ok(Self { by })
    }

    /// The unit that a measurement in another is converted to, and how.
    pub fn conversion(&self, measurement: i64, unit: i64) -> Option<(i64, &Formula)> {
        self.by.get(&(measurement, unit)).map(|(to, formula)| (*to, formula))
    }
}

/// Arithmetic over one value.
#[derive(Debug, Clone, PartialEq)]
pub enum Formula {
    /// The value.
    X,
    /// A number.
    Number(f64),
    /// Two formulas and `+`, `-`, `*`, `/` or `^` between them.
    Of(Box<Formula>, u8, Box<Formula>),
}

impl Formula {
    /// Reads a formula.
    pub fn parse(text: &str) -> Option<Self> {
        let text: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        let whole = match text.as_bytes().first() {
            None => return Some(Self::X),
            Some(b'*' | b'/') => format!("x{text}"),
            Some(_) => text,
        };
        let mut rest = whole.as_bytes();
        let formula = sum(&mut rest, 0)?;
        rest.is_empty().then_some(formula)
    }

    /// Its value at `x`.
    pub fn at(&self, x: f64) -> f64 {
        match self {
            Self::X => x,
            Self::Number(n) => *n,
            Self::Of(a, operator, b) => {
                let (a, b) = (a.at(x), b.at(x));
                match operator {
                    b'+' => a + b,
                    b'-' => a - b,
                    b'*' => a * b,
                    b'/' => a / b,
                    _ => a.powf(b),
                }
            }
        }
    }
}

/// Parentheses that may be open at a time.
const DEEPEST: u32 = 32;

fn sum(rest: &mut &[u8], deep: u32) -> Option<Formula> {
    chain(rest, deep, b"+-", |rest, deep| chain(rest, deep, b"*/", power))
}

fn power(rest: &mut &[u8], deep: u32) -> Option<Formula> {
    let base = atom(rest, deep)?;
    match rest.split_first() {
        Some((b'^', more)) => {
            *rest = more;
            Some(Formula::Of(Box::new(base), b'^', Box::new(atom(rest, deep)?)))
        }
        _ => Some(base),
    }
}

fn chain(
    rest: &mut &[u8],
    deep: u32,
    operators: &[u8],
    part: impl Fn(&mut &[u8], u32) -> Option<Formula>,
) -> Option<Formula> {
    let mut formula = part(rest, deep)?;
    while let Some((operator, more)) = rest.split_first().filter(|(c, _)| operators.contains(c)) {
        *rest = more;
        formula = Formula::Of(Box::new(formula), *operator, Box::new(part(rest, deep)?));
    }
    Some(formula)
}

fn atom(rest: &mut &[u8], deep: u32) -> Option<Formula> {
    match rest.split_first()? {
        (b'x', more) => {
            *rest = more;
            Some(Formula::X)
        }
        (b'(', more) if deep < DEEPEST => {
            *rest = more;
            let formula = sum(rest, deep + 1)?;
            *rest = rest.strip_prefix(b")")?;
            Some(formula)
        }
        _ => {
            let sign = usize::from(rest[0] == b'-');
            let digits = rest[sign..].iter().take_while(|c| c.is_ascii_digit() || **c == b'.');
            let (number, more) = rest.split_at(sign + digits.count());
            *rest = more;
            let number: f64 = std::str::from_utf8(number).ok()?.parse().ok()?;
            Some(Formula::Number(number))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_of_the_programme_are_read() {
        for (text, x, value) in [
            ("", 3.0, 3.0),
            ("*1", 3.0, 3.0),
            ("*10^(-3)", 2000.0, 2.0),
            ("*10^(6)", 2.0, 2e6),
            ("(x-32)*(5/9)", 212.0, 100.0),
            ("(1/x)", 4.0, 0.25),
            ("/2.2046", 220.46, 100.0),
            ("x * 2.54 + 1", 2.0, 6.08),
            ("8-2-1", 0.0, 5.0),
            ("2+3*2^2", 0.0, 14.0),
        ] {
            let got = Formula::parse(text).unwrap().at(x);
            assert!((got - value).abs() < 1e-9 * value.abs().max(1.0), "{text}: {got}");
        }
        for text in ["x+", "(x", "x)", "y", "1.2.3", "--1", "()", "x x2 y"] {
            assert!(Formula::parse(text).is_none(), "{text}");
        }
        assert!(Formula::parse(&"(".repeat(100_000)).is_none());
    }
}
