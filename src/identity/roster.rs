//! The roster: who takes part and with what consent.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::civil::Date;

use super::sheet::{self, Columns, Row};
use super::{Error, PersonId};

const COLUMNS: Columns = Columns {
    required: &[
        "person_id",
        "primary_consent",
        "ehr_consent",
        "genomics_consent",
        "withdrawal_status",
    ],
    optional: &["primary_consent_date", "ehr_consent_date", "withdrawal_date", "deactivated"],
    others: false,
};

/// How a person stands with the programme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Takes part, with these further consents.
    Participating {
        /// Electronic health records may be used.
        ehr: bool,
        /// Genomic data may be used.
        genomics: bool,
    },
    /// Has withdrawn: leaves no trace in a new release. Comes before every consent.
    Withdrawn,
    /// Never gave primary consent.
    NoConsent,
}

/// Everybody the programme knows, by person id.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Roster {
    people: BTreeMap<PersonId, Standing>,
    consented: BTreeMap<PersonId, Date>,
    deactivated: BTreeMap<PersonId, Date>,
}

impl std::fmt::Debug for Roster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Roster({} people)", self.people.len())
    }
}

impl Roster {
    /// Reads `person_id, primary_consent, primary_consent_date, ehr_consent, ehr_consent_date,
    /// genomics_consent, withdrawal_status, withdrawal_date, deactivated` (comma or TAB; dates may be
    /// absent or empty; `deactivated` is the day from which on a person is followed no more). Consents are `yes` or `no`, the status is `not_withdrawn` or `withdrawn`, in any case.
    ///
    /// # Errors
    /// Unreadable file, unknown, repeated or missing column, ragged row, a value outside its column's
    /// words, a person twice. Messages give file, line and column, never the value.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let mut seen: BTreeMap<PersonId, (u64, Standing)> = BTreeMap::new();
        let (mut consented, mut deactivated) = (BTreeMap::new(), BTreeMap::new());
        sheet::read(path, &COLUMNS, |row| {
            let person = person_id(&row)?;
            for column in COLUMNS.optional {
                check_date(&row, column)?;
            }
            if let Ok(date) = row.get("primary_consent_date").parse() {
                consented.insert(person, date);
            }
            if let Ok(date) = row.get("deactivated").parse() {
                deactivated.insert(person, date);
            }
            if let Some((first, _)) = seen.insert(person, (row.line, standing(&row)?)) {
                return Err(row.duplicate(first, "person"));
            }
            Ok(())
        })?;
        let people = seen.into_iter().map(|(p, (_, s))| (p, s)).collect();
        Ok(Self { people, consented, deactivated })
    }

    /// A roster from its entries; a person given twice keeps the last standing.
    pub fn from_entries(entries: impl IntoIterator<Item = (PersonId, Standing)>) -> Self {
        Self { people: entries.into_iter().collect(), ..Self::default() }
    }

    /// The person's standing, if the roster has the person.
    pub fn standing(&self, person: PersonId) -> Option<Standing> {
        self.people.get(&person).copied()
    }

    /// Days of primary consent, where the roster has them.
    pub fn consent_dates(&self) -> impl Iterator<Item = (PersonId, Date)> {
        self.consented.iter().map(|(p, d)| (*p, *d))
    }

    /// Days from which on people are followed no more, where the roster has them.
    pub fn deactivation_dates(&self) -> impl Iterator<Item = (PersonId, Date)> {
        self.deactivated.iter().map(|(p, d)| (*p, *d))
    }

    /// Everybody, by person id.
    pub fn iter(&self) -> impl Iterator<Item = (PersonId, Standing)> {
        self.people.iter().map(|(p, s)| (*p, *s))
    }

    /// Number of people.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is on it.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }
}

/// The `person_id` of a row.
pub(super) fn person_id(row: &Row<'_>) -> Result<PersonId, Error> {
    let id = row.get("person_id").parse();
    id.map(PersonId).map_err(|_| row.bad("person_id", "the 64-bit integers"))
}

fn standing(row: &Row<'_>) -> Result<Standing, Error> {
    let primary = yes_or_no(row, "primary_consent")?;
    let ehr = yes_or_no(row, "ehr_consent")?;
    let genomics = yes_or_no(row, "genomics_consent")?;
    let status = row.get("withdrawal_status");
    let withdrawn = if status.eq_ignore_ascii_case("withdrawn") {
        true
    } else if status.eq_ignore_ascii_case("not_withdrawn") {
        false
    } else {
        return Err(row.bad("withdrawal_status", "not_withdrawn, withdrawn"));
    };
    Ok(match (withdrawn, primary) {
        (true, _) => Standing::Withdrawn,
        (false, false) => Standing::NoConsent,
        (false, true) => Standing::Participating { ehr, genomics },
    })
}

fn yes_or_no(row: &Row<'_>, column: &'static str) -> Result<bool, Error> {
    match row.get(column) {
        v if v.eq_ignore_ascii_case("yes") => Ok(true),
        v if v.eq_ignore_ascii_case("no") => Ok(false),
        _ => Err(row.bad(column, "yes, no")),
    }
}

fn check_date(row: &Row<'_>, column: &'static str) -> Result<(), Error> {
    let value = row.get(column);
    if value.is_empty() || value.parse::<jiff::civil::Date>().is_ok() {
        return Ok(());
    }
    Err(row.bad(column, "the dates written YYYY-MM-DD"))
}
