//! The participants: age, sex, ancestry, families, consent and who has a sample.

use super::calendar::{Day, REFERENCE};
use super::random::{Purpose, Rng, hash};

/// Ancestry groups as `ancestry_preds.tsv` names them.
pub const GROUPS: [&str; 7] = ["afr", "amr", "eas", "eur", "mid", "oth", "sas"];
/// People per thousand in each of [`GROUPS`], near the All of Us proportions.
const GROUP_WEIGHTS: [u64; 7] = [220, 180, 35, 520, 7, 13, 25];
const POPULATIONS: [&[&str]; 7] = [
    &["ASW", "ACB", "YRI", "ESN", "GWD"],
    &["MXL", "PUR", "CLM", "PEL"],
    &["CHB", "JPT", "CHS", "KHV"],
    &["CEU", "GBR", "IBS", "TSI", "FIN"],
    &["MID"],
    &["OTH"],
    &["GIH", "PJL", "BEB", "ITU"],
];

/// How a person's haplotypes come from others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Unrelated to anyone earlier.
    Founder,
    /// Child of two people, by index: one haplotype of each.
    Child([u32; 2]),
    /// Identical twin of a person, by index.
    TwinOf(u32),
}

/// A participant.
#[derive(Debug, Clone)]
pub struct Person {
    /// The raw feed's person_id.
    pub id: i64,
    pub female: bool,
    pub birth: Day,
    /// Index into [`GROUPS`].
    pub group: usize,
    pub population: &'static str,
    pub origin: Origin,
    /// Column among the samples, if there is one.
    pub sample: Option<u32>,
    pub consent: Day,
    pub withdrawn: Option<Day>,
    pub ehr: bool,
    pub genomics: bool,
    pub death: Option<Day>,
}

impl Person {
    /// Completed years on the reference date.
    pub fn age(&self) -> i32 {
        self.birth.age(REFERENCE)
    }
}

/// Two related people, by index.
#[derive(Debug, Clone, Copy)]
pub struct Relative {
    pub relation: &'static str,
    pub a: u32,
    pub b: u32,
}

/// Everyone in the programme.
pub struct Cohort {
    pub people: Vec<Person>,
    /// Person index by sample column.
    pub samples: Vec<u32>,
    pub relatives: Vec<Relative>,
}

/// Name of a sample column.
pub fn sample_name(column: u32) -> String {
    format!("SYN{:06}", column + 1)
}

impl Cohort {
    /// Draws `n` people.
    pub fn draw(seed: u64, n: u32) -> Self {
        let mut people: Vec<Person> = (0..n).map(|i| ordinary(seed, i)).collect();
        let mut order: Vec<u32> = (0..n).collect();
        order.sort_by_key(|&i| (hash(seed, Purpose::Order, u64::from(i), 0), i));
        // Families and the very old take people from the front of a random order; those who withdrew
        // or miss something from its back, so that no one is both.
        let mut front = order.iter().copied();
        let relatives = families(seed, n, &mut front, &mut people);
        oldest(seed, n, &mut front, &mut people);
        let missing = exclusions(seed, n, &mut front.rev(), &mut people);
        let samples = assign_samples(seed, &mut people, &missing);
        Self { people, samples, relatives }
    }
}

fn ordinary(seed: u64, i: u32) -> Person {
    let mut rng = Rng::new(seed, Purpose::Person, u64::from(i), 0);
    let brackets = [(20, 29), (30, 39), (40, 49), (50, 59), (60, 69), (70, 79), (80, 86)];
    let (low, high) = brackets[rng.weighted(&[10, 15, 16, 20, 22, 13, 4])];
    let age = rng.between(low, high);
    let group = rng.weighted(&GROUP_WEIGHTS);
    let populations = POPULATIONS[group];
    let mut person = Person {
        id: 4_200_000_000 + i64::from(i) * 1009 + rng.below(1009) as i64,
        female: rng.permille(560),
        birth: birth_at_age(&mut rng, age),
        group,
        population: populations[rng.below(populations.len() as u64) as usize],
        origin: Origin::Founder,
        sample: None,
        consent: REFERENCE,
        withdrawn: None,
        ehr: true,
        genomics: true,
        death: None,
    };
    person.consent = consent_day(seed, i, person.birth);
    if age >= 60 && rng.permille(60) {
        person.death = Some(Day(rng.between(person.consent.0 + 30, REFERENCE.0 - 30)));
    }
    person
}

fn consent_day(seed: u64, i: u32, birth: Day) -> Day {
    let mut rng = Rng::new(seed, Purpose::Person, u64::from(i), 1);
    let earliest = birth.birthday(18).max(Day::new(2018, 1, 2));
    Day(rng.between(earliest.0, Day::new(2024, 12, 31).0))
}

/// A day of birth of someone who is `age` on the reference date.
fn birth_at_age(rng: &mut Rng, age: i32) -> Day {
    let youngest = Day::new(2026 - age, 1, 1);
    Day(rng.between(Day::new(2025 - age, 1, 2).0, youngest.0))
}

fn families(
    seed: u64,
    n: u32,
    front: &mut impl Iterator<Item = u32>,
    people: &mut [Person],
) -> Vec<Relative> {
    let mut relatives = Vec::new();
    for couple in 0..n / 60 {
        let mut rng = Rng::new(seed, Purpose::Family, u64::from(couple), 0);
        let (Some(mother), Some(father)) = (front.next(), front.next()) else { break };
        let age = rng.between(55, 80);
        marry(seed, &mut rng, [mother, father], age, people);
        let mut siblings: Option<u32> = None;
        for _ in 0..=couple % 2 {
            let Some(child) = front.next() else { break };
            adopt_traits(child, mother, people);
            let born = age - rng.between(20, 34);
            set_birth(seed, child, birth_at_age(&mut rng, born), people);
            people[child as usize].origin = Origin::Child([mother, father]);
            for parent in [mother, father] {
                relatives.push(Relative { relation: "parent_child", a: parent, b: child });
            }
            if let Some(older) = siblings.replace(child) {
                relatives.push(Relative { relation: "siblings", a: older, b: child });
            }
        }
    }
    let twins = if n < 10 { 0 } else { (n / 150).max(1) };
    for _ in 0..twins {
        let (Some(a), Some(b)) = (front.next(), front.next()) else { break };
        adopt_traits(b, a, people);
        set_birth(seed, b, people[a as usize].birth, people);
        people[b as usize].female = people[a as usize].female;
        people[b as usize].origin = Origin::TwinOf(a);
        relatives.push(Relative { relation: "identical_twins", a, b });
    }
    relatives
}

fn marry(seed: u64, rng: &mut Rng, couple: [u32; 2], age: i32, people: &mut [Person]) {
    let [mother, father] = couple;
    adopt_traits(father, mother, people);
    for (parent, female) in [(mother, true), (father, false)] {
        people[parent as usize].female = female;
        let birth = birth_at_age(rng, age);
        set_birth(seed, parent, birth, people);
    }
}

/// Members of a family share the ancestry group and population.
fn adopt_traits(who: u32, from: u32, people: &mut [Person]) {
    let (group, population) = (people[from as usize].group, people[from as usize].population);
    people[who as usize].group = group;
    people[who as usize].population = population;
}

fn set_birth(seed: u64, who: u32, birth: Day, people: &mut [Person]) {
    let person = &mut people[who as usize];
    person.birth = birth;
    person.consent = consent_day(seed, who, birth);
    person.death = None;
}

/// Some people of 88, of 89 and of 90 or more; the first of 88 and 89 sit on either side of the border.
fn oldest(seed: u64, n: u32, front: &mut impl Iterator<Item = u32>, people: &mut [Person]) {
    if n < 20 {
        return;
    }
    for class in 0..3 {
        for k in 0..(n / 100).max(1) {
            let Some(who) = front.next() else { return };
            let mut rng = Rng::new(seed, Purpose::Person, u64::from(who), 2);
            let birth = match (class, k) {
                (0, 0) => Day::new(1937, 1, 2),
                (1, 0) => Day::new(1937, 1, 1),
                (0, _) => birth_at_age(&mut rng, 88),
                (1, _) => birth_at_age(&mut rng, 89),
                _ => {
                    let age = rng.between(90, 99);
                    birth_at_age(&mut rng, age)
                }
            };
            set_birth(seed, who, birth, people);
        }
    }
}

/// Marks those who withdrew, gave no EHR or no genomics consent; returns those without a sample.
fn exclusions(
    seed: u64,
    n: u32,
    back: &mut impl Iterator<Item = u32>,
    people: &mut [Person],
) -> Vec<u32> {
    let at_least_one = |count: u32| if n < 50 { count } else { count.max(1) };
    for who in back.by_ref().take(at_least_one(n.div_ceil(100)) as usize) {
        let mut rng = Rng::new(seed, Purpose::Person, u64::from(who), 3);
        let person = &mut people[who as usize];
        person.death = None;
        person.withdrawn = Some(Day(rng.between(person.consent.0 + 1, REFERENCE.0 - 1)));
    }
    for who in back.by_ref().take(at_least_one(n * 15 / 1000) as usize) {
        people[who as usize].ehr = false;
    }
    for who in back.by_ref().take(at_least_one(n * 7 / 1000) as usize) {
        people[who as usize].genomics = false;
    }
    back.by_ref().take(n as usize / 20).collect()
}

fn assign_samples(seed: u64, people: &mut [Person], missing: &[u32]) -> Vec<u32> {
    let mut absent = vec![false; people.len()];
    for &who in missing {
        absent[who as usize] = true;
    }
    let mut samples: Vec<u32> = (0..people.len() as u32).filter(|&i| !absent[i as usize]).collect();
    samples.sort_by_key(|&i| (hash(seed, Purpose::SampleOrder, u64::from(i), 0), i));
    for (column, &who) in samples.iter().enumerate() {
        people[who as usize].sample = Some(column as u32);
    }
    samples
}
