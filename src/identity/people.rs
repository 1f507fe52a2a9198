//! The people of a tier: raw id, research id, shift and consents, and who is left out and why.

use std::collections::BTreeSet;

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

/// A person who takes part, as one tier sees them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// A person of the roster who has no row in the tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExcludedPerson {
    /// Raw id.
    pub person_id: PersonId,
    /// Why.
    pub reason: Exclusion,
}

/// Everybody on the roster, as one tier sees them; both lists sorted by raw id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierPeople {
    /// The tier.
    pub tier: Tier,
    /// Who takes part.
    pub people: Vec<TierPerson>,
    /// Who does not.
    pub excluded: Vec<ExcludedPerson>,
}

impl ControlledKeys {
    /// The roster as the Controlled tier sees it: no shifts.
    ///
    /// # Errors
    /// [`Error::ResearchIdCollision`].
    pub fn people(&self, roster: &Roster) -> Result<TierPeople, Error> {
        people(Tier::Controlled, roster, |p| (self.research_id(p), None))
    }
}

impl RegisteredKeys {
    /// The roster as the Registered tier sees it: everybody has a shift.
    ///
    /// # Errors
    /// [`Error::ResearchIdCollision`].
    pub fn people(&self, roster: &Roster) -> Result<TierPeople, Error> {
        people(Tier::Registered, roster, |p| (self.research_id(p), Some(self.shift(p))))
    }
}

/// Sorts the roster into who takes part and who does not. Research ids must differ over the whole
/// roster, so that a person who comes back does not meet another.
fn people(
    tier: Tier,
    roster: &Roster,
    derive: impl Fn(PersonId) -> (ResearchId, Option<u16>),
) -> Result<TierPeople, Error> {
    let mut out = TierPeople { tier, people: Vec::new(), excluded: Vec::new() };
    let mut ids = BTreeSet::new();
    for (person_id, standing) in roster.iter() {
        let (research_id, shift) = derive(person_id);
        if !ids.insert(research_id) {
            return Err(Error::ResearchIdCollision { tier: tier.name() });
        }
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
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collision_is_an_error() {
        let entries = [1, 2].map(|p| (PersonId(p), Standing::Withdrawn));
        let got =
            people(Tier::Controlled, &Roster::from_entries(entries), |_| (ResearchId(5), None));
        assert!(matches!(got, Err(Error::ResearchIdCollision { tier: "controlled" })));
    }
}
