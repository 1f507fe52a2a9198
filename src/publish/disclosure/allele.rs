//! The strict carrier rule for allele frequencies (privacy reference 2.7).
//!
//! Frequencies are published exactly or not at all: rounding allele counts does not stop membership
//! inference (section 0 item 11), while a count of people that is 0 or at least 21 is publishable. With
//! `S = sensitive_max` (20), for one variant:
//!
//! 1. **Classes.** From AC, AN and the homozygote count anyone derives carriers (`ac - hom`),
//!    heterozygotes (`ac - 2 hom`), reference homozygotes (`n - missing - carriers`) and missing people
//!    (`(2n - an) / 2`). Each must be 0 or above S (2.7 names carriers, homozygotes and missing people; the
//!    other two follow from P1, because they can be derived). Of everyone, carriers must be above S: a
//!    variant that nobody carries is left out too, so that an absent row means 0 to S carriers.
//! 2. **Homozygotes** in 1..S: `hom` is withheld, and the cell stays only if carriers, heterozygotes and
//!    reference homozygotes would be above S for *every* `hom` in 1..S, so that nothing narrows it. The
//!    decision depends on public numbers only.
//! 3. **Missing people** in 1..S: `an` (and so `af`) is withheld, under the same condition.
//!    With a [`Rounding`] (policy `missing = "round"`), AN on autosomes is published in every such cell as
//!    `2 * (people - missing)` with `missing` through [`super::protect`]: "0" means 0 to 19 people missing.
//! 4. **Total.** When the total's cell fails, the whole variant is left out: not even its existence shows.
//! 5. **Complement.** `total - sum(published groups)` must not reveal a withheld group (2.7). Where k of the
//!    withheld groups are sensitive in a class, the others must have room, within what is known of them and
//!    without becoming sensitive themselves, to take up a difference of S * k people both ways: then each of
//!    the k can still have any value in 1..S. Until that holds the smallest published group (by people,
//!    which is the same for every variant and so tells nothing of this one) is withheld too; when none
//!    helps, all groups are. People in no published group are withheld always and are part of the residual.
//! 6. The same, column by column, for withheld `hom` and `an`.
//!
//! Sizes: AN also tells how many people a group has. Where those in no published group would be 1..S, one
//! group is unpublished in the whole callset ([`withheld_for_size`]).
//!
//! Haploid calls where two copies are due ([`Region::Mixed`]): AN and AF are withheld in every cell, since
//! the table does not say in which group they are. Haploid regions: AN is compared with every ploidy that the region allows (2n, 2n less the males, ...)
//! and withheld when any of them gives a sensitive number of missing people.

use super::{Cell, Prf, PublishedCount, RawCount, is_sensitive};
use crate::config::disclosure::Disclosure;

/// What the chromosome says about ploidy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Region {
    /// Two copies in everyone.
    Autosome,
    /// X: two, or one in males outside the pseudo-autosomal regions.
    X,
    /// Y: one in males.
    Y,
    /// Mitochondrion: one.
    Mitochondrion,
    /// Elsewhere, at a variant where some calls have one copy: AN and people do not go together.
    Mixed,
}

impl Region {
    /// By chromosome name, with or without `chr`.
    pub fn of(chrom: &str) -> Self {
        match chrom.strip_prefix("chr").unwrap_or(chrom) {
            "X" | "23" => Self::X,
            "Y" | "24" => Self::Y,
            "M" | "MT" => Self::Mitochondrion,
            _ => Self::Autosome,
        }
    }

    /// The region for one variant of it, with `called` full calls and `an` called alleles.
    pub fn with_calls(self, called: i64, an: i64) -> Self {
        if self == Self::Autosome && an != 2 * called { Self::Mixed } else { self }
    }
}

/// People of a group: how many samples, and how many of them male.
#[derive(Clone, Copy, Default)]
pub struct People {
    /// Samples.
    pub all: i64,
    /// Samples stated male (or with karyotype XY, where no sex is stated).
    pub males: i64,
}

/// Which of the groups of these sizes stays out of the whole callset, so that `total` less the others is
/// not the sensitive size of the people in no published group: AN gives sizes away wherever nobody is
/// missing. The smallest, which depends on no variant.
pub fn withheld_for_size(total: i64, groups: &[i64], policy: &Disclosure) -> Option<usize> {
    let outside = total - groups.iter().sum::<i64>();
    let smallest = (0..groups.len()).min_by_key(|&g| (groups[g], g));
    smallest.filter(|_| is_sensitive(outside, policy))
}

/// The groups of a callset, as far as they are published.
pub struct Layout {
    total: People,
    groups: Vec<People>,
    rest: People,
    /// Positions in `groups`, smallest group first.
    smallest_first: Vec<usize>,
}

impl Layout {
    /// `total` is everyone in the callset; people in none of `groups` are the rest.
    pub fn new(total: People, groups: Vec<People>) -> Self {
        let mut smallest_first: Vec<usize> = (0..groups.len()).collect();
        smallest_first.sort_by_key(|&g| (groups[g].all, g));
        let rest = People {
            all: total.all - groups.iter().map(|g| g.all).sum::<i64>(),
            males: total.males - groups.iter().map(|g| g.males).sum::<i64>(),
        };
        Self { total, groups, rest, smallest_first }
    }
}

/// Raw figures of one variant in one group (or in all). Not readable outside this module.
#[derive(Clone, Copy)]
pub struct RawAllele {
    ac: i64,
    an: i64,
    hom: i64,
    missing: Option<i64>,
}

impl RawAllele {
    /// `missing` is the number of people without a full call (half calls among them), where the table
    /// states it.
    pub fn new(ac: i64, an: i64, hom: i64, missing: Option<i64>) -> Self {
        Self { ac, an, hom, missing }
    }

    fn carriers(&self) -> i64 {
        self.ac - self.hom
    }
}

impl std::fmt::Debug for RawAllele {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RawAllele(…)")
    }
}

/// What may be published of one variant in one group. `ac` is none when the cell is withheld.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PublishedAllele {
    /// Allele count.
    pub ac: Option<PublishedCount>,
    /// Allele number.
    pub an: Option<PublishedCount>,
    /// People homozygous for the allele.
    pub hom: Option<PublishedCount>,
}

impl PublishedAllele {
    /// Frequency from the published numbers; none when either is withheld or nobody was called.
    pub fn af(&self) -> Option<f64> {
        let (ac, an) = (self.ac?.get(), self.an?.get());
        (an > 0).then(|| ac as f64 / an as f64)
    }
}

/// Why a cell is withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// A class of people of its own is sensitive.
    CarrierThreshold,
    /// It would give another group away.
    Complement,
}

/// Why a variant is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeftOut {
    /// Nobody carries it. Left out so that absence says nothing: 0 to 20 people carry what is not listed.
    NoCarrier,
    /// A class of people is sensitive in all.
    Sensitive,
}

/// A variant that may be published.
#[derive(Debug)]
pub struct Row {
    /// Everyone.
    pub total: PublishedAllele,
    /// In the order of the layout; with the reason when withheld.
    pub groups: Vec<(PublishedAllele, Option<Withheld>)>,
}

/// Numbers of people in each class that the published figures determine.
#[derive(Clone, Copy)]
struct Classes {
    people: i64,
    ac: i64,
    carriers: i64,
    het: i64,
    hom_ref: i64,
    /// The same from AN: what a reader without the sample sheet works out.
    hom_ref_by_an: i64,
    hom: i64,
    missing: i64,
    /// Every number of missing people that a reader could believe in.
    missing_sensitive: bool,
}

fn classes(cell: &RawAllele, people: People, region: Region, policy: &Disclosure) -> Classes {
    let expected = match region {
        Region::Autosome | Region::Mixed => [2 * people.all; 2],
        Region::X => [2 * people.all, 2 * people.all - people.males],
        Region::Y => [people.males, 2 * people.males],
        Region::Mitochondrion => [people.all, 2 * people.all],
    };
    let two_copies = matches!(region, Region::Autosome | Region::Mixed);
    let mut believable: Vec<i64> = Vec::with_capacity(5);
    for deficit in expected.map(|e| e - cell.an).into_iter().filter(|&d| d >= 0) {
        believable.push((deficit + 1) / 2);
        if !two_copies {
            believable.push(deficit);
        }
    }
    believable.extend(cell.missing);
    let missing = cell.missing.or(believable.iter().copied().min()).unwrap_or(0);
    Classes {
        people: people.all,
        ac: cell.ac,
        carriers: cell.carriers(),
        het: cell.ac - 2 * cell.hom,
        hom_ref: if two_copies {
            people.all - missing - cell.carriers()
        } else {
            cell.an - cell.ac
        },
        hom_ref_by_an: if two_copies { cell.an / 2 - cell.carriers() } else { cell.an - cell.ac },
        hom: cell.hom,
        missing,
        // More alleles than the people can have: the sheet is wrong about someone, so say nothing.
        // Haploid calls where two copies are due: AN tells how many, which no class counts.
        missing_sensitive: region == Region::Mixed
            || believable.is_empty()
            || believable.iter().any(|&m| is_sensitive(m, policy)),
    }
}

/// What a cell may show by itself.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    cell: bool,
    hom: bool,
    an: bool,
}

fn judge(ac: i64, classes: &Classes, policy: &Disclosure) -> Shown {
    let limit = i64::from(policy.sensitive_max);
    let hom = !is_sensitive(classes.hom, policy);
    let an = !classes.missing_sensitive;
    let bad = |n: i64| is_sensitive(n, policy);
    // A withheld number may be anything in 1..=limit: the others must be safe for all of it.
    let (hom_low, hom_high) = if hom { (classes.hom, classes.hom) } else { (1, limit) };
    let lowest_hom_ref = classes.hom_ref + classes.missing
        - if an { classes.missing } else { limit }
        + (hom_low - classes.hom);
    let carriers_safe = !bad(classes.carriers) && (hom || ac - hom_high > limit);
    let het_safe = if hom { !bad(classes.het) } else { ac - 2 * hom_high > limit };
    let hom_ref_safe = if hom && an {
        !bad(classes.hom_ref) && !bad(classes.hom_ref_by_an)
    } else {
        lowest_hom_ref > limit
    };
    Shown { cell: carriers_safe && het_safe && hom_ref_safe, hom, an }
}

/// How people without a call are rounded: the key and the address of the variant's cells.
#[derive(Clone, Copy)]
pub struct Rounding<'a> {
    /// The keyed function.
    pub prf: &'a dyn Prf,
    /// Callset; `vid` is unique in it.
    pub callset: &'a str,
    /// The variant.
    pub vid: &'a str,
    /// Names of the layout's groups.
    pub groups: &'a [String],
}

impl Rounding<'_> {
    /// AN without `missing` people, rounded; none where it would be at odds with the carriers.
    fn an(&self, group: &str, cell: &Classes, policy: &Disclosure) -> Option<PublishedCount> {
        let id = format!("{}/{}/{group}/missing", self.callset, self.vid);
        let address = Cell { table: "allele_frequencies", id: &id };
        let missing = super::protect(RawCount::new(cell.missing), address, policy, self.prf);
        let called = cell.people - i64::try_from(missing.0).ok()?;
        let fits = !is_sensitive(called - cell.carriers, policy);
        fits.then(|| PublishedCount(u64::try_from(2 * called).unwrap_or(0)))
    }
}

/// Decides what of a variant may be published.
///
/// # Errors
/// Why nothing of it may.
pub fn protect(
    total: &RawAllele,
    groups: &[RawAllele],
    layout: &Layout,
    region: Region,
    policy: &Disclosure,
    rounding: Option<&Rounding<'_>>,
) -> Result<Row, LeftOut> {
    if total.carriers() == 0 {
        return Err(LeftOut::NoCarrier);
    }
    let whole = classes(total, layout.total, region, policy);
    let shown = judge(total.ac, &whole, policy);
    if !shown.cell {
        return Err(LeftOut::Sensitive);
    }
    let of_groups: Vec<Classes> = groups
        .iter()
        .zip(&layout.groups)
        .map(|(cell, &people)| classes(cell, people, region, policy))
        .collect();
    let judged: Vec<Shown> =
        groups.iter().zip(&of_groups).map(|(cell, c)| judge(cell.ac, c, policy)).collect();
    let rest = (layout.rest.all > 0).then(|| remainder(&whole, &of_groups));

    let closure = Closure { of_groups: &of_groups, rest, layout, policy };
    let own: Vec<bool> = judged.iter().map(|s| s.cell).collect();
    let cells = closure.close(own.clone(), None, &[CARRIERS, HET, HOM_REF]);
    let column = |own: fn(&Shown) -> bool, class: Class, total_shown: bool| {
        let start: Vec<bool> = judged.iter().zip(&cells).map(|(s, &cell)| cell && own(s)).collect();
        if total_shown { closure.close(start, Some(&cells), &[class]) } else { start }
    };
    let homs = column(|s| s.hom, HOM, shown.hom);
    let ans = column(|s| s.an, MISSING, shown.an);

    let rounding = rounding.filter(|_| region == Region::Autosome);
    let an = |group: Option<usize>, classes: &Classes, exact: bool, raw: &RawAllele| match rounding
    {
        None => exact.then(|| PublishedCount(u64::try_from(raw.an).unwrap_or(0))),
        Some(r) => r.an(group.and_then(|g| r.groups.get(g)).map_or("all", |g| g), classes, policy),
    };
    let row = (0..groups.len())
        .map(|g| {
            let an = an(Some(g), &of_groups[g], ans[g], &groups[g]);
            let published = publish(&groups[g], cells[g], homs[g], an);
            let reason = match (cells[g], own[g]) {
                (true, _) => None,
                (false, true) => Some(Withheld::Complement),
                (false, false) => Some(Withheld::CarrierThreshold),
            };
            (published, reason)
        })
        .collect();
    let an = an(None, &whole, shown.an, total);
    Ok(Row { total: publish(total, true, shown.hom, an), groups: row })
}

fn publish(raw: &RawAllele, cell: bool, hom: bool, an: Option<PublishedCount>) -> PublishedAllele {
    let count = |shown: bool, n: i64| {
        (cell && shown).then(|| PublishedCount(u64::try_from(n).unwrap_or(0)))
    };
    PublishedAllele { ac: count(true, raw.ac), an: an.filter(|_| cell), hom: count(hom, raw.hom) }
}

fn remainder(whole: &Classes, groups: &[Classes]) -> Classes {
    let left = |class: fn(&Classes) -> i64| class(whole) - groups.iter().map(class).sum::<i64>();
    Classes {
        people: left(|c| c.people),
        ac: left(|c| c.ac),
        carriers: left(|c| c.carriers),
        het: left(|c| c.het),
        hom_ref: left(|c| c.hom_ref),
        hom_ref_by_an: left(|c| c.hom_ref_by_an),
        hom: left(|c| c.hom),
        missing: left(|c| c.missing),
        missing_sensitive: false,
    }
}

/// One class of people, and what a reader knows of it where the cell is shown: at least, at most.
#[derive(Clone, Copy)]
struct Class {
    value: fn(&Classes) -> i64,
    least: fn(&Classes) -> i64,
    most: fn(&Classes) -> i64,
}

const CARRIERS: Class = Class { value: |c| c.carriers, least: |_| 0, most: |c| c.people };
const HET: Class = Class { value: |c| c.het, least: |_| 0, most: |c| c.people };
const HOM_REF: Class = Class { value: |c| c.hom_ref, least: |_| 0, most: |c| c.people };
/// With AC and AN known, homozygotes are between `ac - called` (which is `hom - hom_ref`) and `ac / 2`.
const HOM: Class =
    Class { value: |c| c.hom, least: |c| (c.hom - c.hom_ref).max(0), most: |c| c.ac / 2 };
const MISSING: Class =
    Class { value: |c| c.missing, least: |_| 0, most: |c| c.people - c.carriers };

/// Complementary suppression along ancestry.
struct Closure<'a> {
    of_groups: &'a [Classes],
    rest: Option<Classes>,
    layout: &'a Layout,
    policy: &'a Disclosure,
}

impl Closure<'_> {
    /// Withholds further groups (`shown[g] = false`) until no residual of `kinds` is telling. `cells` says
    /// which groups' other numbers are shown, where that is decided already.
    fn close(&self, mut shown: Vec<bool>, cells: Option<&[bool]>, kinds: &[Class]) -> Vec<bool> {
        while let Some(telling) = kinds.iter().find(|kind| self.is_telling(&shown, cells, **kind)) {
            let helps = |&&g: &&usize| shown[g] && (telling.value)(&self.of_groups[g]) != 0;
            match self.layout.smallest_first.iter().find(helps) {
                Some(&g) => shown[g] = false,
                // Only the total stays: with all groups withheld the sum says nothing of any one.
                None => return vec![false; shown.len()],
            }
        }
        shown
    }

    fn is_telling(&self, shown: &[bool], cells: Option<&[bool]>, class: Class) -> bool {
        let limit = i64::from(self.policy.sensitive_max);
        let cell_shown = |g: usize| cells.is_some_and(|cells| cells[g]);
        let groups = self.of_groups.iter().enumerate().map(|(g, c)| (c, shown[g], cell_shown(g)));
        let rest = self.rest.iter().map(|c| (c, false, false));
        let (mut sensitive, mut up, mut down) = (0, 0, 0);
        for (group, _, known) in groups.chain(rest).filter(|(_, shown, _)| !shown) {
            let value = (class.value)(group);
            if is_sensitive(value, self.policy) {
                sensitive += 1;
            } else if value != 0 {
                let (least, most) = if known {
                    ((class.least)(group), (class.most)(group))
                } else {
                    (0, group.people)
                };
                up += (most - value).max(0);
                down += (value - least.max(limit + 1)).max(0);
            }
        }
        sensitive > 0 && up.min(down) < limit * sensitive
    }
}

#[cfg(test)]
mod tests;
