//! From the checks of a table to the probes of one pass over it.

use std::collections::BTreeMap;

use super::check::{Bound, Check, Rule};
use super::lookup::IntMap;
use super::people::{KeySets, NONE, civil, epoch_days};
use super::probe::{ConceptRule, DateRule, Probe};
use super::scan::Source;
use crate::omop::FieldKind;

/// Descendants of the ancestors that checks name, by ancestor: concept and how often it is listed.
pub(super) type Descendants = BTreeMap<i64, IntMap<i64, u64>>;

/// What the probes of a table need besides its checks.
pub(super) struct Grounds<'a> {
    pub keys: &'a KeySets,
    pub descendants: &'a Descendants,
    pub today: jiff::civil::Date,
    pub source: &'a Source,
    /// What a field of the table holds.
    pub kind: &'a dyn Fn(&str) -> Option<FieldKind>,
}

/// The probes that answer `checks`; ordinals are positions in `checks`.
pub(super) fn probes<'a>(
    table: &'static str,
    checks: &[&Check],
    grounds: &Grounds<'a>,
) -> Vec<Probe<'a>> {
    let mut plan =
        Plan { grounds, probes: Vec::new(), dates: BTreeMap::new(), by: BTreeMap::new() };
    for (ordinal, check) in checks.iter().enumerate() {
        plan.add(ordinal, check);
    }
    let Plan { mut probes, dates, by, .. } = plan;
    probes.extend(dates.into_iter().map(|(column, rules)| Probe::Dates { column, rules }));
    probes.extend(by.into_values());
    if table == "condition_occurrence" && grounds.source.has("condition_concept_id") {
        probes.push(Probe::CodedPersons("condition_concept_id"));
    }
    probes
}

struct Plan<'a, 'g> {
    grounds: &'g Grounds<'a>,
    probes: Vec<Probe<'a>>,
    dates: BTreeMap<&'static str, Vec<(DateRule, usize)>>,
    by: BTreeMap<&'static str, Probe<'a>>,
}

impl Plan<'_, '_> {
    fn add(&mut self, ordinal: usize, check: &Check) {
        let Some(column) = check.field else {
            match check.rule {
                Rule::Persons | Rule::Eras => self.once(Probe::Persons),
                Rule::Overlap => self.probes.push(Probe::Periods),
                _ => {}
            }
            return;
        };
        if !self.grounds.source.has(column) {
            return;
        }
        match &check.rule {
            Rule::Values if self.grounds.source.nulls(column).is_none() => {
                self.probes.push(Probe::Nulls(column));
            }
            Rule::PrimaryKey => self.probes.push(Probe::PrimaryKey(column)),
            Rule::ForeignKey { table: "concept", .. }
            | Rule::Domain(_)
            | Rule::Class(_)
            | Rule::StandardValid => self.once(Probe::Concepts(column)),
            Rule::ForeignKey { table, field } => self.probes.push(Probe::ForeignKey {
                column,
                keys: self.grounds.keys.get(&(*table, *field)),
                check: ordinal,
            }),
            Rule::ConceptRecords { source } => {
                let source = source.clone().filter(|s| self.grounds.source.has(s));
                self.probes.push(Probe::ConceptRecords { column, source, check: ordinal });
            }
            Rule::SourceValues { standard } if self.grounds.source.has(standard) => {
                self.probes.push(Probe::SourceValues { column, standard, check: ordinal });
            }
            Rule::Low(bound) => self.bound(column, *bound, true, ordinal),
            Rule::High(bound) => self.bound(column, *bound, false, ordinal),
            Rule::After { table: "person", .. } => {
                self.date(column, DateRule::AfterPerson, ordinal);
            }
            Rule::After { field, .. } if self.grounds.source.has(field) => {
                self.probes.push(Probe::AfterColumn { column, earlier: field, check: ordinal });
            }
            Rule::StartBeforeEnd { end } if self.grounds.source.has(end) => {
                self.probes.push(Probe::StartBeforeEnd { column, end, check: ordinal });
            }
            Rule::DuringLife => self.date(column, DateRule::DuringLife, ordinal),
            Rule::AfterBirth => self.date(column, DateRule::AfterBirth, ordinal),
            Rule::BeforeDeath => self.date(column, DateRule::BeforeDeath, ordinal),
            Rule::VisitDates => self.date(column, DateRule::InVisit, ordinal),
            Rule::ConceptLow(limit) => {
                let unit = check.unit.unwrap_or_default();
                self.concept(column, ConceptRule::Low { unit, limit: *limit }, check, ordinal);
            }
            Rule::ConceptHigh(limit) => {
                let unit = check.unit.unwrap_or_default();
                self.concept(column, ConceptRule::High { unit, limit: *limit }, check, ordinal);
            }
            Rule::Gender(right) | Rule::DescendantsGender(right) => {
                self.concept(column, ConceptRule::Gender(*right), check, ordinal);
            }
            Rule::Units(units) => {
                self.concept(column, ConceptRule::Units(units.clone()), check, ordinal);
            }
            _ => {}
        }
    }

    /// Adds a probe that several checks share.
    fn once(&mut self, probe: Probe<'static>) {
        let same = |p: &Probe<'_>| match (p, &probe) {
            (Probe::Concepts(a), Probe::Concepts(b)) => a == b,
            (Probe::Persons, Probe::Persons) => true,
            _ => false,
        };
        if !self.probes.iter().any(same) {
            self.probes.push(probe);
        }
    }

    fn date(&mut self, column: &'static str, rule: DateRule, ordinal: usize) {
        if !matches!((self.grounds.kind)(column), Some(FieldKind::Date | FieldKind::Timestamp)) {
            return;
        }
        self.dates.entry(column).or_default().push((rule, ordinal));
    }

    fn bound(&mut self, column: &'static str, bound: Bound, low: bool, check: usize) {
        let limit = match bound {
            Bound::Number(_) | Bound::NextYear => {
                self.probes.push(Probe::Number { column, bound, low, check });
                return;
            }
            Bound::Date(date) => {
                let (year, month, day) = (date / 10_000, date / 100 % 100, date % 100);
                civil(year.into(), month.into(), day.into()).unwrap_or(NONE)
            }
            Bound::Tomorrow => epoch_days(self.grounds.today) + 1,
        };
        let rule = if low { DateRule::Low(limit) } else { DateRule::High(limit) };
        self.date(column, rule, check);
    }

    fn concept(&mut self, column: &'static str, rule: ConceptRule, check: &Check, ordinal: usize) {
        let probe = self.by.entry(column).or_insert_with(|| Probe::ByConcept {
            column,
            rules: IntMap::default(),
            by: Vec::new(),
            checks: Vec::new(),
        });
        let Probe::ByConcept { rules, by, checks, .. } = probe else { return };
        let position = by.len();
        by.push(rule);
        checks.push(ordinal);
        for concept in check.concepts() {
            if !matches!(check.rule, Rule::DescendantsGender(_)) {
                rules.entry(concept).or_default().push((position, 1));
                continue;
            }
            let Some(descendants) = self.grounds.descendants.get(&concept) else { continue };
            for (&descendant, &times) in descendants {
                rules.entry(descendant).or_default().push((position, times));
            }
        }
    }
}
