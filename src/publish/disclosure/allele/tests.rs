//! The carrier rule against an attacker who knows it, the sizes of all groups and which are sensitive.

use proptest::prelude::*;

use super::*;

const LIMIT: i64 = 20;

/// A group's truth: people and genotypes.
#[derive(Debug, Clone, Copy)]
struct Truth {
    people: i64,
    het: i64,
    hom: i64,
    missing: i64,
}

impl Truth {
    fn raw(&self) -> RawAllele {
        RawAllele::new(self.het + 2 * self.hom, 2 * (self.people - self.missing), self.hom, None)
    }
    fn carriers(&self) -> i64 {
        self.het + self.hom
    }
    fn hom_ref(&self) -> i64 {
        self.people - self.missing - self.carriers()
    }
}

fn total(truths: &[Truth]) -> (Truth, RawAllele) {
    let sum = |f: fn(&Truth) -> i64| truths.iter().map(f).sum::<i64>();
    let all = Truth {
        people: sum(|t| t.people),
        het: sum(|t| t.het),
        hom: sum(|t| t.hom),
        missing: sum(|t| t.missing),
    };
    (all, RawAllele { missing: Some(all.missing), ..all.raw() })
}

/// `truths`, the last of which is in no published group.
fn decide(truths: &[Truth]) -> Option<Row> {
    decide_with(truths, None)
}

fn decide_with(truths: &[Truth], rounding: Option<&Rounding<'_>>) -> Option<Row> {
    let (all, raw) = total(truths);
    let people = |t: &Truth| People { all: t.people, males: 0 };
    let groups = &truths[..truths.len() - 1];
    let layout = Layout::new(people(&all), groups.iter().map(people).collect());
    let raws: Vec<RawAllele> = groups.iter().map(Truth::raw).collect();
    protect(&raw, &raws, &layout, Region::Autosome, &Disclosure::default(), rounding).ok()
}

/// Small numbers, zeros and big ones alike.
fn part() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0i64), 4 => 0i64..26, 2 => 18i64..70, 3 => 60i64..400]
}

fn truth(people: impl Strategy<Value = i64>) -> impl Strategy<Value = Truth> {
    (people, part(), part(), prop_oneof![4 => Just(0i64), 1 => part()]).prop_map(
        |(people, het, hom, missing)| {
            let hom = hom.min(people);
            let het = het.min(people - hom);
            Truth { people, het, hom, missing: missing.min(people - hom - het) }
        },
    )
}

fn programme() -> impl Strategy<Value = Vec<Truth>> {
    let rest = prop_oneof![2 => Just(0i64), 1 => 1i64..300];
    (proptest::collection::vec(truth(100i64..900), 1..6), truth(rest)).prop_map(
        |(mut groups, rest)| {
            groups.push(rest);
            groups
        },
    )
}

/// Every sum that values from these ranges can have, up to `most`.
fn sums(ranges: &[Vec<(i64, i64)>], most: i64) -> Vec<bool> {
    let mut reach = vec![false; usize::try_from(most.max(0)).unwrap() + 1];
    reach[0] = true;
    for ranges in ranges {
        let mut next = vec![false; reach.len()];
        for (from, to) in ranges {
            for base in (0..reach.len()).filter(|&b| reach[b]) {
                let first = base as i64 + from;
                let last = (base as i64 + to).min(most);
                for sum in first..=last {
                    next[sum as usize] = true;
                }
            }
        }
        reach = next;
    }
    reach
}

/// Whether each sensitive group among `withheld` (value, least, most) can have any value in 1..20, given
/// only the sum, who is sensitive, and what is known of the others.
fn hidden(withheld: &[(i64, i64, i64)]) -> bool {
    let sensitive = |v: i64| (1..=LIMIT).contains(&v);
    let sum: i64 = withheld.iter().map(|w| w.0).sum();
    withheld.iter().enumerate().filter(|(_, w)| sensitive(w.0)).all(|(target, _)| {
        let others: Vec<Vec<(i64, i64)>> = withheld
            .iter()
            .enumerate()
            .filter(|(i, _)| *i != target)
            .map(|(_, &(value, least, most))| {
                if sensitive(value) {
                    vec![(1, LIMIT)]
                } else {
                    let mut known = vec![(least.max(LIMIT + 1), most)];
                    if least == 0 {
                        known.push((0, 0));
                    }
                    known
                }
            })
            .collect();
        let reach = sums(&others, sum);
        (1..=LIMIT).all(|guess| sum >= guess && reach[(sum - guess) as usize])
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn what_is_shown_has_no_sensitive_class(truths in programme()) {
        let Some(row) = decide(&truths) else { return Ok(()) };
        let (all, _) = total(&truths);
        let shown = row.groups.iter().map(|g| g.0).zip(truths.iter().copied());
        for (cell, truth) in shown.chain([(row.total, all)]) {
            let Some(ac) = cell.ac else {
                prop_assert!(cell.an.is_none() && cell.hom.is_none());
                continue;
            };
            let safe = |n: i64| n == 0 || n > LIMIT;
            prop_assert_eq!(ac.get() as i64, truth.het + 2 * truth.hom);
            prop_assert!(safe(truth.carriers()), "carriers {truth:?}");
            prop_assert!(cell.an.is_none() || safe(truth.missing), "missing {truth:?}");
            if cell.hom.is_some() {
                prop_assert!(safe(truth.hom) && safe(truth.het), "hom {truth:?}");
                prop_assert!(cell.an.is_none() || safe(truth.hom_ref()), "hom ref {truth:?}");
            }
        }
    }

    #[test]
    fn subtraction_hides_every_sensitive_group(truths in programme()) {
        let Some(row) = decide(&truths) else { return Ok(()) };
        let rest = truths.last().copied();
        // With each whether the cell's other numbers are shown.
        let missing_of = |shown: fn(&PublishedAllele) -> bool| -> Option<Vec<(Truth, bool)>> {
            let out: Vec<(Truth, bool)> = row.groups.iter().zip(&truths)
                .filter(|(g, _)| !shown(&g.0)).map(|(g, t)| (*t, g.0.ac.is_some())).collect();
            // When no group is shown, nothing is left to subtract.
            let some = out.len() < row.groups.len();
            some.then(|| out.into_iter().chain(rest.map(|r| (r, false))).collect())
        };
        if let Some(out) = missing_of(|g| g.ac.is_some()) {
            let of = |f: fn(&Truth) -> i64| -> Vec<_> { out.iter().map(|(t, _)| (f(t), 0, t.people)).collect() };
            prop_assert!(hidden(&of(Truth::carriers)), "carriers {out:?}");
            prop_assert!(hidden(&of(|t| t.het)), "het {out:?}");
            prop_assert!(hidden(&of(Truth::hom_ref)), "hom ref {out:?}");
        }
        if row.total.hom.is_some() && let Some(out) = missing_of(|g| g.hom.is_some()) {
            let known: Vec<_> = out.iter()
                .map(|&(t, known)| match known {
                    true => (t.hom, (t.hom - t.hom_ref()).max(0), (t.het + 2 * t.hom) / 2),
                    false => (t.hom, 0, t.people),
                })
                .collect();
            prop_assert!(hidden(&known), "hom {out:?}");
        }
        if row.total.an.is_some() && let Some(out) = missing_of(|g| g.an.is_some()) {
            let known: Vec<_> = out.iter()
                .map(|&(t, known)| (t.missing, 0, t.people - if known { t.carriers() } else { 0 }))
                .collect();
            prop_assert!(hidden(&known), "missing {out:?}");
        }
    }
}

proptest! {
    #[test]
    fn rounded_allele_numbers_say_no_more_than_a_rounded_count(
        truths in programme(), offset in 0u32..20,
    ) {
        let at = |_: &str, _: &str, _: u32| offset;
        let names: Vec<String> = (0..truths.len()).map(|g| format!("g{g}")).collect();
        let rounding = Rounding { prf: &at, callset: "wgs", vid: "1-1-A-C", groups: &names };
        let Some(row) = decide_with(&truths, Some(&rounding)) else { return Ok(()) };
        let (all, _) = total(&truths);
        let shown = row.groups.iter().map(|g| g.0).zip(truths.iter().copied());
        for (cell, truth) in shown.chain([(row.total, all)]) {
            let Some(an) = cell.an else { continue };
            let (an, ac) = (an.get() as i64, cell.ac.map_or(0, |ac| ac.get() as i64));
            let missing = truth.people - an / 2;
            prop_assert!(an % 2 == 0 && missing % 20 == 0 && ac <= an);
            prop_assert!((missing - truth.missing).abs() < 20);
            prop_assert!(truth.missing != 0 || missing == 0);
            // What the reader knows from the carriers leaves room for the whole of the marker.
            let room = truth.people - truth.carriers();
            prop_assert!(!(1..=LIMIT).contains(&truth.missing) || room >= missing + 19);
        }
    }
}

fn group(people: i64, het: i64, hom: i64, missing: i64) -> Truth {
    Truth { people, het, hom, missing }
}

const NOBODY: Truth = Truth { people: 0, het: 0, hom: 0, missing: 0 };

#[test]
fn a_variant_with_few_carriers_is_left_out() {
    for carriers in 1..=20 {
        assert!(decide(&[group(500, carriers, 0, 0), NOBODY]).is_none());
    }
    let row = decide(&[group(500, 21, 0, 0), NOBODY]).unwrap();
    assert_eq!(row.total.ac.map(PublishedCount::get), Some(21));
    // Of variants that nobody carries too: what is not listed has 0 to 20 carriers.
    assert!(decide(&[group(500, 0, 0, 0), NOBODY]).is_none());
}

#[test]
fn an_allele_count_of_21_in_eleven_people_is_left_out() {
    assert!(decide(&[group(500, 1, 10, 0), NOBODY]).is_none());
}

#[test]
fn few_homozygotes_are_withheld_only_where_nothing_narrows_them() {
    let row = decide(&[group(500, 80, 5, 0), NOBODY]).unwrap();
    assert_eq!((row.total.ac.map(PublishedCount::get), row.total.hom), (Some(90), None));
    // AC 22 with one homozygote: "at least 21 carriers" would give the one away.
    assert!(decide(&[group(500, 20, 1, 0), NOBODY]).is_none());
    assert!(decide(&[group(500, 21, 1, 0), NOBODY]).is_none());
}

#[test]
fn few_missing_people_withhold_the_allele_number() {
    let row = decide(&[group(500, 80, 0, 7), NOBODY]).unwrap();
    assert_eq!((row.total.an, row.total.af()), (None, None));
    let row = decide(&[group(500, 80, 0, 21), NOBODY]).unwrap();
    assert_eq!(row.total.an.map(PublishedCount::get), Some(958));
}

#[test]
fn a_withheld_group_takes_the_smallest_other_with_it() {
    let groups = [group(900, 300, 0, 0), group(300, 5, 0, 0), group(400, 60, 0, 0), NOBODY];
    let row = decide(&groups).unwrap();
    let reasons: Vec<_> = row.groups.iter().map(|g| g.1).collect();
    assert_eq!(reasons, [None, Some(Withheld::CarrierThreshold), Some(Withheld::Complement)]);
}

#[test]
fn people_in_no_group_are_protected_by_subtraction_too() {
    // Five people without a prediction carry it: the groups must not add up to all but them.
    let groups = [group(900, 300, 0, 0), group(400, 60, 0, 0), group(200, 5, 0, 0)];
    let row = decide(&groups).unwrap();
    assert_eq!(row.groups[0].1, None);
    assert_eq!(row.groups[1].1, Some(Withheld::Complement));
}

#[test]
fn haploid_regions_compare_with_every_ploidy() {
    // 200 people, 100 of them male, on X outside the pseudo-autosomal regions: AN 300 is complete.
    let people = People { all: 200, males: 100 };
    let layout = Layout::new(people, vec![]);
    let an = |an: i64| {
        let raw = RawAllele::new(90, an, 0, None);
        let row = protect(&raw, &[], &layout, Region::X, &Disclosure::default(), None).unwrap();
        row.total.an.is_some()
    };
    assert!(an(300) && an(400));
    assert!(!an(299) && !an(280) && !an(390));
}

#[test]
fn raw_alleles_do_not_print() {
    assert_eq!(format!("{:?}", RawAllele::new(7, 10, 1, None)), "RawAllele(…)");
}

#[test]
fn people_in_no_group_are_never_few() {
    let policy = Disclosure::default();
    for outside in 0i64..60 {
        let groups = [150, 143, 300];
        let withheld = withheld_for_size(593 + outside, &groups, &policy);
        let left: i64 =
            groups.iter().enumerate().filter(|(g, _)| Some(*g) != withheld).map(|g| g.1).sum();
        let seen = 593 + outside - left;
        assert!(seen == 0 || seen > LIMIT, "{outside}");
        assert_eq!(withheld, (1..=LIMIT).contains(&outside).then_some(1), "{outside}");
    }
}
