//! True dates from shifted ones, for a re-identification desk: the one place of the program where a
//! person's shift is added. (A feed that *arrives* shifted is put right in `omop`, by the feed's own map.)

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::path::Path;

use jiff::civil::{Date, DateTime};
use jiff::{Span, ToSpan};

use super::sheet::{self, Columns};
use super::{Error, PersonId, ResearchId, TierPeople};

/// A day, or a day and a time of it, as it was asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Day(Date),
    Time(DateTime),
}

impl When {
    /// `YYYY-MM-DD`, or that with `T` or a blank and a time without a zone.
    fn parse(text: &str) -> Option<Self> {
        if !text.is_ascii() {
            return None;
        }
        match text.len() {
            10 => text.parse().ok().map(Self::Day),
            // A zone would be passed over in silence.
            11.. if !text[10..].contains(['+', '-', '[', 'Z', 'z']) => {
                text.parse().ok().map(Self::Time)
            }
            _ => None,
        }
    }

    fn checked_add(self, span: Span) -> Option<Self> {
        match self {
            Self::Day(day) => day.checked_add(span).ok().map(Self::Day),
            Self::Time(time) => time.checked_add(span).ok().map(Self::Time),
        }
    }
}

impl std::fmt::Display for When {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Day(day) => day.fmt(f),
            Self::Time(time) => time.fmt(f),
        }
    }
}

/// What is asked: dates of people by research id. `Debug` shows nothing of it.
pub struct Unshift {
    rows: Vec<(u64, ResearchId, When)>,
}

/// What is answered: one row for each that was asked, in that order.
pub struct Unshifted {
    rows: Vec<(ResearchId, When, When)>,
    people: BTreeSet<PersonId>,
}

impl std::fmt::Debug for Unshift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unshift({} rows)", self.rows.len())
    }
}

impl std::fmt::Debug for Unshifted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Unshifted({} rows)", self.rows.len())
    }
}

impl Unshift {
    /// Reads `research_id, date` from text that messages call `name`. Dates are `YYYY-MM-DD`, with a time
    /// of day or without.
    ///
    /// # Errors
    /// Wrong columns, a value that is no id or no date, by line and column, never the value.
    pub fn read(name: &Path, text: &[u8]) -> Result<Self, Error> {
        let columns = Columns { required: &["research_id", "date"], optional: &[], others: false };
        let mut rows = Vec::new();
        sheet::read_from(name, Cursor::new(text), &columns, &mut |row| {
            let id = row.get("research_id").parse().map(ResearchId);
            let id = id.map_err(|_| row.bad("research_id", "the 64-bit integers"))?;
            let when = When::parse(row.get("date"));
            let allowed = "the dates YYYY-MM-DD, with a time of day or without";
            rows.push((row.line, id, when.ok_or_else(|| row.bad("date", allowed))?));
            Ok(())
        })?;
        Ok(Self { rows })
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds each person's shift back. All rows or none: a date that stays shifted among true ones would
    /// pass for a true one.
    ///
    /// # Errors
    /// [`Error::NotShifted`] when the tier has true dates; [`Error::UnknownResearchId`];
    /// [`Error::DateOutOfRange`].
    pub fn answer(&self, people: &TierPeople) -> Result<Unshifted, Error> {
        let mut shifts: BTreeMap<ResearchId, (PersonId, u16)> = BTreeMap::new();
        for person in &people.people {
            let days = person.shift.ok_or(Error::NotShifted)?;
            shifts.insert(person.research_id, (person.person_id, days));
        }
        let mut unknown = self.rows.iter().filter(|(_, id, _)| !shifts.contains_key(id));
        if let Some((line, _, _)) = unknown.next() {
            let count = 1 + unknown.count() as u64;
            return Err(Error::UnknownResearchId { line: *line, count });
        }
        let mut answer = Unshifted { rows: Vec::new(), people: BTreeSet::new() };
        for (line, id, when) in &self.rows {
            let Some((person, days)) = shifts.get(id) else { continue };
            let moved = when.checked_add(i64::from(*days).days());
            let moved = moved.ok_or(Error::DateOutOfRange { line: *line })?;
            answer.rows.push((*id, *when, moved));
            answer.people.insert(*person);
        }
        Ok(answer)
    }

    /// Whether a text repeats a research id or a date of what is asked.
    pub fn is_in(&self, text: &str) -> bool {
        self.rows.iter().any(|(_, id, when)| holds_number(text, id.0) || holds_day(text, *when))
    }
}

impl Unshifted {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Number of people.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// `research_id,date,true_date` and a line for each row.
    pub fn to_csv(&self) -> String {
        let mut text = String::from("research_id,date,true_date\n");
        for (id, when, moved) in &self.rows {
            text += &format!("{},{when},{moved}\n", id.0);
        }
        text
    }

    /// Whether a text repeats a raw id or a true date of what is answered.
    pub fn is_in(&self, text: &str) -> bool {
        self.people.iter().any(|person| holds_number(text, person.0))
            || self.rows.iter().any(|(_, _, moved)| holds_day(text, *moved))
    }
}

/// Whether `number` stands in `text` as digits with no other digit beside them.
fn holds_number(text: &str, number: i64) -> bool {
    let mut runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.any(|run| run.parse::<u64>() == Ok(number.unsigned_abs()))
}

/// Whether a day stands in `text`, with or without what separates its parts.
fn holds_day(text: &str, when: When) -> bool {
    let day = match when {
        When::Day(day) => day,
        When::Time(time) => time.date(),
    };
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    digits.contains(&day.to_string().replace('-', ""))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tier;
    use crate::identity::TierPerson;

    fn people(shift: Option<u16>) -> TierPeople {
        let person = TierPerson {
            person_id: PersonId(5),
            research_id: ResearchId(77),
            shift,
            ehr: true,
            genomics: true,
        };
        TierPeople { tier: Tier::Registered, people: vec![person], excluded: Vec::new() }
    }

    proptest::proptest! {
        /// Whatever day of whatever month and year, moved back and forth again it is the same, at the same
        /// time of day, and of two days the distance stays.
        #[test]
        fn there_and_back(a in 0i64..60_000, b in 0i64..60_000, second in 0i64..86_400, days in 1u16..=364) {
            let start = jiff::civil::date(1900, 1, 1);
            let [a, b] = [a, b].map(|day| start.checked_add(day.days()).unwrap());
            let clock = jiff::civil::Time::midnight().wrapping_add(second.seconds());
            let back = |day: Date| day.checked_sub(i64::from(days).days()).unwrap();
            let text = format!("research_id,date\n77,{}\n77,{}\n", back(a), back(b).to_datetime(clock));
            let answer = ask(&text).unwrap().answer(&people(Some(days))).unwrap();
            let moved: Vec<When> = answer.rows.iter().map(|row| row.2).collect();
            proptest::prop_assert!(moved == [When::Day(a), When::Time(b.to_datetime(clock))]);
            let distance = |a: Date, b: Date| a.until(b).unwrap().get_days();
            proptest::prop_assert_eq!(distance(a, b), distance(back(a), back(b)));
        }
    }

    fn ask(text: &str) -> Result<Unshift, Error> {
        Unshift::read(Path::new("asked"), text.as_bytes())
    }

    #[test]
    fn days_and_times_move_forward_over_leap_days() {
        let asked = ask("date,research_id\n2019-12-31,77\n2020-02-28T23:59:59,77\n").unwrap();
        let answer = asked.answer(&people(Some(60))).unwrap();
        let text = "research_id,date,true_date\n77,2019-12-31,2020-02-29\n\
                    77,2020-02-28T23:59:59,2020-04-28T23:59:59\n";
        assert_eq!((answer.to_csv().as_str(), answer.rows(), answer.people()), (text, 2, 1));
    }

    #[test]
    fn all_rows_or_none() {
        let asked = ask("research_id,date\n77,2019-12-31\n78,2019-12-31\n79,2019-12-31\n").unwrap();
        let error = asked.answer(&people(Some(60))).unwrap_err();
        assert!(matches!(error, Error::UnknownResearchId { line: 3, count: 2 }));
        assert!(matches!(asked.answer(&people(None)), Err(Error::NotShifted)));
        let late = ask("research_id,date\n77,9999-12-31\n").unwrap();
        assert!(matches!(late.answer(&people(Some(1))), Err(Error::DateOutOfRange { line: 2 })));
    }

    #[test]
    fn what_is_no_date_is_refused_without_a_word_of_it() {
        for bad in [
            "2019-02-29",
            "20190131",
            "2019-01-31T10:00:00Z",
            "2019-01-31T10:00+01:00",
            "yesterday",
            "",
        ] {
            let error = ask(&format!("research_id,date\n77,{bad}\n")).unwrap_err().to_string();
            assert!(error.contains("line 2, column date"), "{error}");
            assert!(bad.is_empty() || !error.contains(bad));
        }
        assert!(ask("research_id,date\nx,2019-01-01\n").is_err());
    }

    #[test]
    fn a_reason_that_repeats_a_value_is_seen() {
        let asked = ask("research_id,date\n77,2019-12-31\n").unwrap();
        let answer = asked.answer(&people(Some(1))).unwrap();
        assert!(asked.is_in("about 77") && asked.is_in("of 2019/12/31") && !asked.is_in("IRB 177"));
        assert!(
            answer.is_in("person 5.") && answer.is_in("20200101") && !answer.is_in("year 2020")
        );
    }
}
