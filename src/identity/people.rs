//! The people of a tier: raw id, research id, shift and consents, and who is left out and why.

use rayon::prelude::*;

use super::{ControlledKeys, Error, PersonId, RegisteredKeys, ResearchId, Roster, Standing};
use crate::config::Tier;

/// Why a person of the roster has no row in any tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exclusion {
    /// The person has withdrawn.
    Withdrawn,
    /// The person never gave primary consent.
    NoPrimaryConsent,
}

impl Exclusion {
    /// The reason code in ledgers.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Withdrawn => "withdrawn",
            Self::NoPrimaryConsent => "no_primary_consent",
        }
    }
}

/// A person who takes part, as one tier sees them. `Debug` shows nothing of the person: research id and
/// shift side by side undo the tier.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TierPerson {
    /// Raw id.
    pub person_id: PersonId,
    /// Id in this tier.
    pub research_id: ResearchId,
    /// Days, 1..=364, by which the tier moves the person's dates back; `None` in a tier of true dates.
    pub shift: Option<u16>,
    /// Electronic health records may be used.
    pub ehr: bool,
    /// Genomic data may be used.
    pub genomics: bool,
}

impl std::fmt::Debug for TierPerson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TierPerson(…)")
    }
}

/// A person of the roster who has no row in the tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExcludedPerson {
    /// Raw id.
    pub person_id: PersonId,
    /// Why.
    pub reason: Exclusion,
}

/// Everybody on the roster, as one tier sees them; both lists sorted by raw id.
#[derive(Clone, PartialEq, Eq)]
pub struct TierPeople {
    /// The tier.
    pub tier: Tier,
    /// Who takes part.
    pub people: Vec<TierPerson>,
    /// Who does not.
    pub excluded: Vec<ExcludedPerson>,
}

impl std::fmt::Debug for TierPeople {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (tier, people, left_out) = (self.tier.name(), self.people.len(), self.excluded.len());
        write!(f, "TierPeople({tier}, {people} people, {left_out} left out)")
    }
}

impl ControlledKeys {
    /// The roster as the Controlled tier sees it: no shifts.
    ///
    /// # Errors
    /// [`Error::ResearchIdCollision`], [`Error::MissingFromMap`].
    pub fn people(&self, roster: &Roster) -> Result<TierPeople, Error> {
        let found =
            |p| self.imported.as_ref().map(|ids| (ids.map.research_id(p), ids.derive_missing));
        people(Tier::Controlled, roster, |p| match found(p) {
            Some((Some(id), _)) => Some((id, None)),
            Some((None, false)) => None,
            _ => Some((self.research_id(p), None)),
        })
    }
}

impl RegisteredKeys {
    /// The roster as the Registered tier sees it: everybody has a shift.
    ///
    /// # Errors
    /// [`Error::ResearchIdCollision`], [`Error::MissingFromMap`], [`Error::ShiftNotWeeks`].
    pub fn people(&self, roster: &Roster) -> Result<TierPeople, Error> {
        if let Some(imported) = &self.imported {
            imported.map.check_mode(self.shift_mode())?;
        }
        let found = |p| self.imported.as_ref().map(|all| (all.map.get(p), all.derive_missing));
        people(Tier::Registered, roster, |p| match found(p) {
            Some((Some((id, shift)), _)) => Some((id, Some(shift))),
            Some((None, false)) => None,
            _ => Some((self.research_id(p), Some(self.shift(p)))),
        })
    }
}

/// Sorts the roster into who takes part and who does not. `identity`: research id and shift, or none for
/// whom a map lacks. Research ids must differ over the whole
/// roster, so that a person who comes back does not meet another.
fn people(
    tier: Tier,
    roster: &Roster,
    identity: impl Fn(PersonId) -> Option<(ResearchId, Option<u16>)> + Sync,
) -> Result<TierPeople, Error> {
    let mut out = TierPeople { tier, people: Vec::new(), excluded: Vec::new() };
    let roster: Vec<(PersonId, Standing)> = roster.iter().collect();
    let found: Vec<_> = roster.par_iter().map(|(person_id, _)| identity(*person_id)).collect();
    let mut ids: Vec<ResearchId> = found.iter().flatten().map(|(id, _)| *id).collect();
    ids.par_sort_unstable();
    if ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Error::ResearchIdCollision { tier: tier.name() });
    }
    let mut missing = 0;
    for ((person_id, standing), found) in roster.into_iter().zip(found) {
        let takes_part = matches!(standing, Standing::Participating { .. });
        missing += u64::from(found.is_none() && takes_part);
        // Whoever does not take part needs no id; whoever does and has none ends the list below.
        let (research_id, shift) = found.unwrap_or((ResearchId(0), None));
        let reason = match standing {
            Standing::Participating { ehr, genomics } => {
                out.people.push(TierPerson { person_id, research_id, shift, ehr, genomics });
                continue;
            }
            Standing::Withdrawn => Exclusion::Withdrawn,
            Standing::NoConsent => Exclusion::NoPrimaryConsent,
        };
        out.excluded.push(ExcludedPerson { person_id, reason });
    }
    if missing > 0 {
        return Err(Error::MissingFromMap { count: missing });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collision_is_an_error() {
        let entries = [1, 2].map(|p| (PersonId(p), Standing::Withdrawn));
        let got = people(Tier::Controlled, &Roster::from_entries(entries), |_| {
            Some((ResearchId(5), None))
        });
        assert!(matches!(got, Err(Error::ResearchIdCollision { tier: "controlled" })));
    }
}
