//! What shifting keeps: for every pair of a person's events the days and the time between them, the time of day,
//! and the age at each, over leap days, ends of months and years, changes of the clock and epochs.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use jiff::civil::{Date, DateTime, date};
use jiff::{Span, ToSpan, Unit};
use programme::{KEY, Programme, table};
use strata::identity::{IdScope, Key, PersonId};

/// Days on which arithmetic with dates goes wrong where it goes wrong.
const DAYS: [(i16, i8, i8); 30] = [
    (1970, 1, 2),
    (1971, 1, 1),
    (1972, 2, 28),
    (1972, 2, 29),
    (1972, 3, 1),
    (1983, 12, 31),
    (1984, 2, 29),
    (1999, 12, 31),
    (2000, 1, 1),
    (2000, 2, 29),
    (2000, 12, 31),
    (2001, 9, 9),
    (2004, 2, 29),
    (2007, 3, 10),
    (2007, 3, 11),
    (2007, 3, 12),
    (2007, 11, 4),
    (2012, 6, 30),
    (2015, 9, 30),
    (2015, 10, 1),
    (2016, 2, 29),
    (2019, 3, 31),
    (2019, 10, 27),
    (2020, 2, 29),
    (2020, 12, 31),
    (2021, 3, 14),
    (2023, 11, 5),
    (2024, 2, 29),
    (2024, 12, 31),
    (2025, 12, 31),
];

/// Times of day: of hours that the clock skips or repeats, and of the ends of the day.
const TIMES: [&str; 8] = [
    "00:00:00", "00:00:01", "01:30:00", "02:30:00", "03:00:00", "12:00:00", "23:59:59", "13:37:42",
];

struct Event {
    person: i64,
    number: i64,
    start: DateTime,
    end: Date,
}

/// A sequence of numbers in no order.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Twelve people with every special day and as many days in between.
fn events(people: &[i64]) -> Vec<Event> {
    let mut dice = Dice(7);
    let mut events = Vec::new();
    for person in people {
        let special = DAYS.map(|(y, m, d)| date(y, m, d));
        let random: Vec<Date> = (0..40)
            .map(|_| date(1975, 1, 1).checked_add((dice.roll(18_000) as i64).days()).unwrap())
            .collect();
        for day in special.into_iter().chain(random) {
            let time: jiff::civil::Time = TIMES[dice.roll(8) as usize].parse().unwrap();
            let end =
                day.checked_add((dice.roll(40) as i64).days()).unwrap().min(date(2025, 12, 31));
            let number = 1_000 + events.len() as i64;
            events.push(Event { person: *person, number, start: day.to_datetime(time), end });
        }
    }
    events
}

/// By the number that every event has as its value: who, when, until when.
fn told(
    programme: &Programme,
    tier: &str,
) -> BTreeMap<String, BTreeMap<i64, (String, DateTime, Date)>> {
    let release = programme.release().join(tier);
    let mut all = BTreeMap::new();
    for (path, number, start, end) in [
        (
            "omop/drug_exposure",
            "quantity",
            "drug_exposure_start_datetime",
            "drug_exposure_end_date",
        ),
        ("omop/measurement", "value_as_number", "measurement_datetime", "measurement_date"),
        ("omop/observation", "value_as_number", "observation_datetime", "observation_date"),
        ("wearables/heart_rate_intraday", "heart_rate_value", "datetime", "datetime"),
    ] {
        let rows = table(&release.join(path));
        let mut told = BTreeMap::new();
        for (row, person) in rows["person_id"].iter().enumerate() {
            let number: f64 = rows[number][row].parse().unwrap();
            let day: Date = rows[end][row][..10].parse().unwrap();
            let when = (person.clone(), rows[start][row].parse().unwrap(), day);
            assert!(told.insert(number as i64, when).is_none());
        }
        all.insert(path.to_owned(), told);
    }
    all
}

fn days(from: Date, to: Date) -> i32 {
    from.until((Unit::Day, to)).unwrap().get_days()
}

#[test]
fn intervals_ages_order_and_times_of_day_are_exact() {
    let programme = Programme::in_memory(20, 50);
    let people: Vec<i64> = (0..12).map(|i| 9_310_000_041 + 7_919 * i).collect();
    let births = |person: i64| DAYS[(person % 4) as usize + 1];
    for folder in ["feed/hospital", "feed/trackers"] {
        fs::create_dir(programme.path(folder)).unwrap();
    }
    let events = events(&people);
    let mut person = String::from(
        "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,ethnicity_concept_id\n",
    );
    for id in &people {
        let (y, m, d) = births(*id);
        person += &format!("{id},8507,{y},{m},{d},0,0\n");
    }
    let mut drugs = String::from(
        "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_exposure_start_datetime,\
         drug_exposure_end_date,drug_type_concept_id,quantity\n",
    );
    let mut measurements = String::from(
        "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,\
         measurement_type_concept_id,value_as_number\n",
    );
    let mut observations = String::from(
        "observation_id,person_id,observation_concept_id,observation_date,observation_datetime,\
         observation_type_concept_id,value_as_number\n",
    );
    let mut hearts = String::from("person_id,datetime,heart_rate_value\n");
    for event in &events {
        let Event { person, number, start, end } = event;
        let (day, at) = (start.date(), format!("{} {}", start.date(), start.time()));
        drugs += &format!("{number},{person},1125315,{day},{at},{end},32817,{number}\n");
        measurements += &format!("{number},{person},0,{day},{at},32817,{number}\n");
        observations += &format!("{number},{person},0,{day},{at},32817,{number}\n");
        hearts += &format!("{person},{at},{number}\n");
    }
    for (name, text) in [
        ("hospital/person", person),
        ("hospital/drug_exposure", drugs),
        ("hospital/measurement", measurements),
        ("hospital/observation", observations),
        ("trackers/heart_rate_intraday", hearts),
    ] {
        programme.write(&format!("feed/{name}.csv"), text);
    }
    programme.edit("feed/participants.csv", |mut text| {
        for id in &people {
            text += &format!("{id},yes,2018-01-01,yes,2018-01-01,yes,not_withdrawn,\n");
        }
        text
    });
    // The synthetic site would put numbers of its own in the same columns.
    let rest = programme.read("w.toml").replace("feed/omop", "feed/hospital");
    programme.write(
        "w.toml",
        rest.replace(
            "[tier.controlled]",
            "[wearables.trackers]\npath = \"feed/trackers\"\n\n[tier.controlled]",
        ),
    );
    // Streams are whole here: what is kept of their ends and hours is another matter. Nor is anybody born in them.
    for tier in ["registered", "controlled"] {
        let file = format!("policies/{tier}.toml");
        let pack = programme.read(&file);
        let blocks: Vec<&str> = pack
            .split("[[rule]]\n")
            .filter(|block| {
                let kinds = ["truncate_edges", "drop_near_birth", "drop_hours"];
                !kinds.iter().any(|kind| block.contains(&format!("kind = \"{kind}\"")))
            })
            .collect();
        programme.write(&file, blocks.join("[[rule]]\n"));
    }
    programme.run().done();

    let byte = |i: usize| u8::from_str_radix(&KEY[2 * i..2 * i + 2], 16).unwrap();
    let keys = Key::from_bytes(std::array::from_fn(byte)).unwrap();
    let keys = keys.registered(IdScope::PerTier, strata::tier::row_tables());
    let [truth, shifted] = ["controlled", "registered"].map(|tier| told(&programme, tier));
    let mut shifts: BTreeMap<i64, BTreeSet<i32>> = BTreeMap::new();
    let (mut pairs, mut ages, mut years_differ) = (0_u64, 0, 0);
    for (path, truth) in &truth {
        let shifted = &shifted[path];
        assert_eq!(truth.len(), events.len(), "{path}");
        assert_eq!(shifted.len(), events.len(), "{path}");
        for event in &events {
            let (_, true_start, _) = truth[&event.number];
            assert_eq!(true_start, event.start, "{path}: the Controlled tier has another time");
            let (person, start, end) = &shifted[&event.number];
            assert_eq!(*person, keys.research_id(PersonId(event.person)).0.to_string());
            // By an oracle that knows the shift.
            let shift = i64::from(keys.shift(PersonId(event.person)));
            let wanted = event.start.date().checked_sub(Span::new().days(shift)).unwrap();
            assert_eq!((start.date(), start.time()), (wanted, event.start.time()), "{path}");
            shifts.entry(event.person).or_default().insert(days(start.date(), event.start.date()));
            if path.ends_with("drug_exposure") {
                assert_eq!(days(start.date(), *end), days(event.start.date(), event.end), "{path}");
            }
            // Ages in days; in completed years they may differ by one about a birthday.
            let (y, m, d) = births(event.person);
            let birth = date(y, m, d);
            let moved = birth.checked_sub(Span::new().days(shift)).unwrap();
            assert_eq!(days(birth, event.start.date()), days(moved, start.date()), "{path}");
            let age = |birth: Date, at: Date| birth.until((Unit::Year, at)).unwrap().get_years();
            ages += 1;
            years_differ += u32::from(age(birth, event.start.date()) != age(moved, start.date()));
        }
        for person in &people {
            let own: Vec<&Event> = events.iter().filter(|event| event.person == *person).collect();
            for (at, a) in own.iter().enumerate() {
                for b in &own[at + 1..] {
                    let (x, y) = (shifted[&a.number].1, shifted[&b.number].1);
                    let between =
                        |from: DateTime, to: DateTime| from.until((Unit::Second, to)).unwrap();
                    assert_eq!(
                        between(a.start, b.start).get_seconds(),
                        between(x, y).get_seconds(),
                        "{path}"
                    );
                    assert_eq!(a.start.cmp(&b.start), x.cmp(&y), "{path}: another order");
                    pairs += 1;
                }
            }
        }
    }
    // One shift a person, of 1 to 364 days, and not one for all.
    assert!(shifts.values().all(|own| own.len() == 1));
    let all: BTreeSet<i32> = shifts.into_values().flatten().collect();
    assert!(all.len() > 6 && all.iter().all(|shift| (1..=364).contains(shift)));
    println!(
        "{pairs} pairs, {ages} ages exact to the day; completed years differ in {years_differ}"
    );
    assert!(pairs > 100_000);
    assert!(years_differ * 100 < ages, "{years_differ} of {ages}");
    // The year of birth is that of the shifted birthday.
    let rows = table(&programme.release().join("registered/omop/person"));
    for person in &people {
        let id = keys.research_id(PersonId(*person)).0.to_string();
        let row = rows["person_id"].iter().position(|cell| *cell == id).unwrap();
        let (y, m, d) = births(*person);
        let shift = Span::new().days(i64::from(keys.shift(PersonId(*person))));
        let moved = date(y, m, d).checked_sub(shift).unwrap();
        assert_eq!(rows["year_of_birth"][row], moved.year().to_string());
    }
}
