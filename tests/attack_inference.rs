//! What can be found out of the Registered tier by joining it with the Controlled tier, and by knowing the calendar:
//! nothing by keys and by the ends of streams, and elsewhere as much as the release's own report says.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use jiff::ToSpan;
use jiff::civil::{Date, date};
use programme::{Programme, table};
use serde_json::Value;
use strata::attack::calendar::kind;
use strata::attack::linkage::KeyMatch;

fn report(programme: &Programme, name: &str) -> Value {
    let path = programme.release().join(format!("quality/privacy/{name}.json"));
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A programme whose runs measure the attacks.
fn programme(persons: u32) -> Programme {
    let programme = Programme::in_memory(persons, 100);
    programme.replace(
        "w.toml",
        "[callset.wgs]",
        "[wearables.fitbit]\npath = \"feed/wearables\"\n\n[privacy]\n\n[callset.wgs]",
    );
    programme
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn keys(linkage: &Value) -> Vec<KeyMatch> {
    let keys = linkage["keys"].as_array().unwrap();
    keys.iter()
        .map(|key| KeyMatch {
            by: key["by"].as_str().unwrap().into(),
            compared: key["compared"].as_u64().unwrap(),
            matched: key["matched"].as_u64().unwrap(),
            by_chance: number(&key["by_chance"]),
        })
        .collect()
}

#[test]
fn keys_and_order_link_nobody_and_shared_ids_everybody() {
    let programme = programme(1_500);
    programme.run().done();
    let linkage = report(&programme, "linkage");
    let people = linkage["people"].as_u64().unwrap();
    assert!(people > 1_300, "{people}");
    let found = keys(&linkage);
    for key in &found {
        println!("{}: {} of {}, {} by chance", key.by, key.matched, key.compared, key.by_chance);
        assert!(key.is_chance(), "{key:?}");
        assert!(key.compared > 1 || key.by.starts_with("device_exposure"), "{key:?}");
        if key.by.ends_with("_id") {
            assert_eq!((key.matched, key.by_chance), (0, 0.0), "{key:?}");
        }
    }
    assert_eq!(found.len(), 17);
    // Rows can be recognised by what they say: this is told, not hidden.
    let content = linkage["content"].as_array().unwrap();
    for way in content {
        println!(
            "{}: {} named, {} right, rate {}",
            way["by"], way["named"], way["right"], way["rate"]
        );
    }
    let rate = |by: &str| number(&content.iter().find(|way| way["by"] == by).unwrap()["rate"]);
    assert!(rate("all of these together") >= rate("measurement: days between rows"));
    assert!(rate("all of these together") > 0.5, "the attack finds nobody at all");
    assert!(rate("sex, race and ethnicity") < 0.01);

    // The same attack finds everybody where ids are shared.
    programme.replace("w.toml", "[vocabulary]", "ids = \"shared\"\n[vocabulary]");
    programme.run().done();
    let found = keys(&report(&programme, "linkage"));
    let key = found.iter().find(|key| key.by == "person_id").unwrap();
    assert_eq!((key.matched, key.compared), (people, people));
    assert!(!key.is_chance());
    // Numbers of rows tell less: Registered lacks most of the streams.
    let key = found.iter().find(|key| key.by == "rank of the person").unwrap();
    println!("shared: {key:?}");
    assert!(!key.is_chance(), "{key:?}");
}

/// Has care keep office hours: three of four weekend days and holidays are moved to the next working day, in every
/// table alike.
fn office_hours(programme: &Programme) {
    let pattern = regex::Regex::new(r"20[12][0-9]-[01][0-9]-[0-3][0-9]").unwrap();
    for path in programme::files_below(&programme.path("feed/omop")) {
        let relative = path.strip_prefix(programme.root()).unwrap().display().to_string();
        programme.edit(&relative, |text| {
            pattern
                .replace_all(&text, |found: &regex::Captures<'_>| workday(&found[0]))
                .into_owned()
        });
    }
}

fn workday(day: &str) -> String {
    // Some days of the feed are none.
    let Ok(mut day) = day.parse::<Date>() else { return day.to_owned() };
    let epoch = |day: Date| date(1970, 1, 1).until((jiff::Unit::Day, day)).unwrap().get_days();
    while kind(epoch(day)) > 4 && (epoch(day) / 7) % 4 != 0 && day < date(2025, 12, 24) {
        day = day.checked_add(1.day()).unwrap();
    }
    day.to_string()
}

#[test]
fn what_is_left_of_shifts_is_measured_for_days_and_for_weeks() {
    let mut medians = Vec::new();
    for mode in ["days", "weeks"] {
        let programme = programme(1_000);
        programme.replace("w.toml", "[vocabulary]", &format!("shift = \"{mode}\"\n[vocabulary]"));
        office_hours(&programme);
        programme.run().done();
        let report = report(&programme, "shift_inference");
        println!("{mode}: {} people, {} days", report["people"], report["median_days"]);
        println!("{}", report["calendar"]);
        assert_eq!(report["shifts"], mode);
        let possible = number(&report["possible"]);
        assert!(report["people"].as_u64().unwrap() > 800);
        let evidence = report["evidence"].as_array().unwrap();
        for one in evidence {
            println!("{one}");
            let [median, p10, top] = ["median_left", "p10_left", "top_1"].map(|k| number(&one[k]));
            assert!((1.0..=possible).contains(&median) && p10 <= median, "{one}");
            assert!((0.0..=1.0).contains(&top), "{one}");
        }
        let calendar: Vec<f64> =
            report["calendar"].as_array().unwrap().iter().map(number).collect();
        assert!(calendar[..5].iter().all(|w| *w > 1.0) && calendar[5..].iter().all(|w| *w < 0.7));
        medians.push(number(&evidence[0]["median_left"]) / possible);
        for edge in report["edges"].as_array().unwrap() {
            if number(&edge["guessed"]) > 0.02 {
                println!("{edge}");
            }
        }
    }
    // Weekdays tell days apart, and not weeks: what holidays tell is left.
    println!("of the shifts {medians:?} are left by the calendar");
    assert!(medians[0] < 0.9 && medians[1] > medians[0], "{medians:?}");
}

/// Where a policy leaves source concepts, ICD-9-CM and ICD-10-CM on either side of 2015-10-01 bound shifts; the pack
/// leaves none.
#[test]
fn codes_of_known_years_bound_shifts_where_a_policy_leaves_them() {
    let programme = programme(600);
    let (old, new) = ("2147480001", "2147480002");
    programme.edit("feed/vocabulary/CONCEPT.csv", |text| {
        let line = |id: &str, vocabulary: &str, code: &str| {
            format!("{id}\tEssential hypertension\tCondition\t{vocabulary}\tcode\t\t{code}\t19700101\t20991231\t\n")
        };
        text + &line(old, "ICD9CM", "401.9") + &line(new, "ICD10CM", "I10")
    });
    programme.edit("feed/omop/condition_occurrence.csv.gz", |text| {
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap().split(',').collect();
        let column = |name: &str| header.iter().position(|c| *c == name).unwrap();
        let (start, source) =
            (column("condition_start_date"), column("condition_source_concept_id"));
        let coded = lines.map(|line| {
            let mut cells: Vec<&str> = line.split(',').collect();
            cells[source] = if cells[start] < "2015-10-01" { old } else { new };
            cells.join(",") + "\n"
        });
        format!("{}\n{}", header.join(","), coded.collect::<String>())
    });
    let codes = |programme: &Programme| {
        let report = report(programme, "shift_inference");
        let evidence = report["evidence"].as_array().unwrap();
        evidence.iter().find(|one| one["by"] == "years of codes").unwrap().clone()
    };
    programme.run().done();
    let with_pack = codes(&programme);
    assert_eq!((number(&with_pack["p10_left"]), number(&with_pack["median_left"])), (364.0, 364.0));
    let pack = programme.read("policies/registered.toml");
    let blocks =
        pack.split("[[rule]]\n").filter(|block| !block.contains("id = \"source_concepts\""));
    programme.write("policies/registered.toml", blocks.collect::<Vec<_>>().join("[[rule]]\n"));
    programme.run().done();
    let without = codes(&programme);
    println!("{with_pack} with the pack, {without} without its rule");
    assert!(number(&without["p10_left"]) < 330.0, "{without}");
    assert_eq!(without["misled"], 0, "{without}");
}

/// A made-up feed of trackers that are worn every day from the first day of collection to the last of the data.
fn dense(programme: &Programme, last: Date) -> usize {
    let people: Vec<String> = programme
        .rows("feed/participants.csv")
        .into_iter()
        .filter(|row| row["withdrawal_status"] == "not_withdrawn" && row["ehr_consent"] == "yes")
        .map(|row| row["person_id"].clone())
        .take(40)
        .collect();
    let tables = [
        ("activity_summary", "person_id,date,steps", ",4000"),
        ("heart_rate_summary", "person_id,date,zone_name,minute_in_zone", ",Cardio,20"),
        ("heart_rate_intraday", "person_id,datetime,heart_rate_value", " 23:59:00,70"),
        ("steps_intraday", "person_id,datetime,steps", " 23:58:00,9"),
        ("sleep_daily_summary", "person_id,sleep_date,is_main_sleep,minute_asleep", ",true,400"),
        ("sleep_level", "person_id,sleep_date,is_main_sleep,level,start_datetime", ",true,rem,"),
        ("device", "person_id,device_date,device_id,last_sync_time", ",ZQ1,"),
    ];
    fs::remove_dir_all(programme.path("feed/wearables")).unwrap();
    fs::create_dir(programme.path("feed/wearables")).unwrap();
    for (name, header, rest) in tables {
        let mut text = format!("{header}\n");
        for person in &people {
            let mut day = date(2023, 1, 1);
            while day <= last {
                text += &format!("{person},{day}{rest}");
                if rest.ends_with(',') {
                    text += &format!("{day} 05:30:00");
                }
                text.push('\n');
                day = day.checked_add(1.day()).unwrap();
            }
        }
        programme.write(&format!("feed/wearables/{name}.csv"), text);
    }
    people.len()
}

/// Tables with a row for a span of time, which may end with the data.
const SPANS: [&str; 1] = ["observation_period"];

const STREAMS: [&str; 8] = [
    "activity_summary",
    "heart_rate_summary",
    "heart_rate_intraday",
    "steps_intraday",
    "sleep_daily_summary",
    "sleep_level",
    "device",
    "wearable_day",
];

/// A policy that cuts the streams where collection began on a known day.
fn cut(programme: &Programme) {
    let rules = format!(
        "[[rule]]\nid = \"cut_streams\"\nkind = \"truncate_edges\"\ndescription = \"d\"\n\
         tables = {STREAMS:?}\nfirst_day = \"2023-01-01\"\n\n[[rule]]\nid = \"date_shift\""
    );
    programme.replace("policies/registered.toml", "[[rule]]\nid = \"date_shift\"", &rules);
}

/// Of the columns of some tables: column, end, days, entropy, share guessed.
fn edges(programme: &Programme, tables: &[&str]) -> Vec<(String, String, u64, f64, f64)> {
    let report = report(programme, "shift_inference");
    let edges = report["edges"].as_array().unwrap().iter().map(|edge| {
        let column = edge["column"].as_str().unwrap().to_owned();
        let end = edge["end"].as_str().unwrap().to_owned();
        let days = edge["days"].as_u64().unwrap();
        (column, end, days, number(&edge["entropy_bits"]), number(&edge["guessed"]))
    });
    edges.filter(|edge| tables.contains(&edge.0.split('.').next().unwrap())).collect()
}

#[test]
fn the_ends_of_cut_streams_tell_nothing() {
    // On the reference date, and when the feeds were drawn weeks before it.
    for last in [date(2026, 1, 1), date(2025, 11, 20)] {
        let programme = programme(60);
        let people = dense(&programme, last);
        let pack = programme.read("policies/registered.toml");
        let without = |kinds: &[&str]| {
            let has = |block: &str, kind: &str| block.contains(&format!("kind = \"{kind}\""));
            let blocks = pack.split("[[rule]]\n");
            let kept = blocks.filter(|block| !kinds.iter().any(|kind| has(block, kind)));
            programme
                .write("policies/registered.toml", kept.collect::<Vec<_>>().join("[[rule]]\n"));
        };
        // Without the rules everybody's shift is at the end of their stream, and of what goes on.
        without(&["truncate_edges", "open_ends"]);
        programme.run().done();
        let open = edges(&programme, &STREAMS);
        assert!(open.len() >= 16, "{open:?}");
        for (column, end, days, entropy, guessed) in &open {
            println!("open: {column} {end}: {days} days, {entropy} bits, {guessed}");
            assert!(*guessed > 0.99 && *entropy > 3.0, "{column} {end} is not found: {guessed}");
        }
        let spans = edges(&programme, &SPANS);
        let guessed = |spans: &[(String, String, u64, f64, f64)], column: &str| {
            spans.iter().find(|edge| edge.0 == column && edge.1 == "last").unwrap().4
        };
        let column = "observation_period.observation_period_end_date";
        println!("open: {column}: {} guessed", guessed(&spans, column));
        assert!(guessed(&spans, column) > 0.04, "{spans:?}");
        without(&["truncate_edges"]);
        cut(&programme);
        programme.run().done();
        let spans = edges(&programme, &SPANS);
        println!("cut: {column}: {} guessed", guessed(&spans, column));
        assert!(guessed(&spans, column) < 0.04, "{spans:?}");
        let shut = edges(&programme, &STREAMS);
        assert_eq!(shut.len(), open.len());
        for (column, end, days, entropy, guessed) in &shut {
            println!("cut: {column} {end}: {days} days, {entropy} bits, {guessed}");
            assert_eq!((*days, *entropy), (1, 0.0), "{last}: {column} {end} tells of the shift");
            assert!(*guessed < 0.1, "{column} {end}");
        }
        // What is left are years, not nothing.
        let rows = table(&programme.release().join("registered/wearables/wearable_day"));
        let worn: BTreeSet<&String> = rows["person_id"].iter().collect();
        assert!(worn.len() + 3 > people, "{}", worn.len());
        assert!(rows["person_id"].len() > 600 * worn.len());
    }
}

/// Three years of two trackers that are worn all day by the clocks of the United States: on the days on which clocks
/// are changed the hour of two is missing, or that of one comes twice.
fn by_the_clock(programme: &Programme) {
    let people: Vec<String> = programme
        .rows("feed/participants.csv")
        .into_iter()
        .filter(|row| row["withdrawal_status"] == "not_withdrawn" && row["ehr_consent"] == "yes")
        .map(|row| row["person_id"].clone())
        .take(4)
        .collect();
    let forward = [date(2023, 3, 12), date(2024, 3, 10), date(2025, 3, 9)];
    let back = [date(2023, 11, 5), date(2024, 11, 3), date(2025, 11, 2)];
    let mut tables = [
        ("heart_rate_intraday", "person_id,datetime,heart_rate_value", String::new()),
        ("steps_intraday", "person_id,datetime,steps", String::new()),
        (
            "activity_summary",
            "person_id,date,calories_bmr,calories_out,marginal_calories,sedentary_minutes,\
             lightly_active_minutes,fairly_active_minutes,very_active_minutes",
            String::new(),
        ),
        ("heart_rate_summary", "person_id,date,zone_name,minute_in_zone", String::new()),
        (
            "sleep_level",
            "person_id,sleep_date,is_main_sleep,level,start_datetime,duration_in_min",
            String::new(),
        ),
    ];
    for person in &people {
        let mut day = date(2023, 1, 1);
        while day <= date(2025, 12, 31) {
            let mut hours: Vec<i32> = (0..24).collect();
            if forward.contains(&day) {
                hours.remove(2);
            }
            if back.contains(&day) {
                hours.insert(1, 1);
            }
            for (n, hour) in hours.iter().enumerate() {
                for minute in [0, 30] {
                    let at = format!("{day} {hour:02}:{minute:02}:00");
                    tables[0].2 += &format!("{person},{at},{}\n", 60 + n);
                    tables[1].2 += &format!("{person},{at},{n}\n");
                }
                if n < 7 {
                    tables[4].2 += &format!("{person},{day},true,light,{day} {hour:02}:00:00,60\n");
                }
            }
            let minutes = hours.len() * 60;
            let (sitting, burnt) = (minutes - 90, minutes);
            tables[2].2 +=
                &format!("{person},{day},{burnt},{},300,{sitting},60,20,10\n", burnt + 300);
            tables[3].2 += &format!(
                "{person},{day},Out of Range,{}\n{person},{day},Cardio,20\n",
                minutes - 20
            );
            day = day.checked_add(1.day()).unwrap();
        }
    }
    fs::remove_dir_all(programme.path("feed/wearables")).unwrap();
    fs::create_dir(programme.path("feed/wearables")).unwrap();
    for (name, header, rows) in tables {
        programme.write(&format!("feed/wearables/{name}.csv"), format!("{header}\n{rows}"));
    }
}

/// Of each way to look for a change of clocks, how many days stand out: those unlike the person's commonest day.
fn odd_days(tier: &std::path::Path) -> Vec<(&'static str, usize)> {
    let read = |name: &str| table(&tier.join(format!("wearables/{name}")));
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    let mut found = Vec::new();
    let mut look = |what, days: BTreeMap<(String, String), String>| {
        let mut usual: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
        for ((person, _), shape) in &days {
            *usual.entry(person).or_default().entry(shape).or_default() += 1;
        }
        let most =
            |person: &str| usual[person].iter().max_by_key(|(_, n)| **n).unwrap().0.to_string();
        let odd = days.iter().filter(|((person, _), shape)| **shape != most(person)).count();
        found.push((what, odd));
    };
    for (what, name) in
        [("hours of the heart", "heart_rate_intraday"), ("hours of steps", "steps_intraday")]
    {
        let rows = read(name);
        let mut hours: BTreeMap<(String, String), BTreeMap<String, usize>> = BTreeMap::new();
        for (person, at) in rows["person_id"].iter().zip(&rows["datetime"]) {
            let day = hours.entry((person.clone(), at[..10].to_owned())).or_default();
            *day.entry(at[11..13].to_owned()).or_default() += 1;
        }
        look(what, hours.into_iter().map(|(day, hours)| (day, format!("{hours:?}"))).collect());
    }
    let by_day = |name: &str, day: &str, columns: &[&str]| {
        let rows = read(name);
        let mut sums: BTreeMap<(String, String), f64> = BTreeMap::new();
        for (i, person) in rows["person_id"].iter().enumerate() {
            let key = (person.clone(), rows[day][i].clone());
            let sum: f64 = columns.iter().map(|column| number(&rows[*column][i])).sum();
            *sums.entry(key).or_default() += sum;
        }
        sums.into_iter().map(|(day, sum)| (day, sum.to_string())).collect::<BTreeMap<_, _>>()
    };
    let minutes = [
        "sedentary_minutes",
        "lightly_active_minutes",
        "fairly_active_minutes",
        "very_active_minutes",
    ];
    look("minutes of activity", by_day("activity_summary", "date", &minutes));
    look("calories at rest", by_day("activity_summary", "date", &["calories_bmr"]));
    look("calories in all", by_day("activity_summary", "date", &["calories_out"]));
    look("minutes in zones", by_day("heart_rate_summary", "date", &["minute_in_zone"]));
    look("minutes worn", by_day("wearable_day", "date", &["wear_minutes"]));
    // Levels that do not begin where the one before ended.
    let rows = read("sleep_level");
    let mut nights: BTreeMap<(String, String), Vec<(String, f64)>> = BTreeMap::new();
    for (i, person) in rows["person_id"].iter().enumerate() {
        let key = (person.clone(), rows["sleep_date"][i].clone());
        let level = (rows["start_datetime"][i].clone(), number(&rows["duration_in_min"][i]));
        nights.entry(key).or_default().push(level);
    }
    let joined = |mut night: Vec<(String, f64)>| {
        night.sort_by(|a, b| a.0.cmp(&b.0));
        format!("{:?}", night.iter().map(|(at, _)| at.get(11..16)).collect::<Vec<_>>())
    };
    look("levels of sleep", nights.into_iter().map(|(day, night)| (day, joined(night))).collect());
    found
}

/// A day of 23 or of 25 hours is a known day of the calendar: shifted, it would tell the shift.
#[test]
fn changes_of_clocks_tell_nothing() {
    let programme = programme(60);
    by_the_clock(&programme);
    programme.run().done();
    let release = programme.release();
    for (what, days) in odd_days(&release.join("controlled")) {
        println!("controlled: {what}: {days} days stand out");
        assert!(days >= 12, "{what}: the attack finds only {days} where nothing is hidden");
    }
    for (what, days) in odd_days(&release.join("registered")) {
        println!("registered: {what}: {days} days stand out");
        assert_eq!(days, 0, "{what}");
    }
    // There is something left to look at.
    let rows = table(&release.join("registered/wearables/heart_rate_intraday"));
    assert!(rows["person_id"].len() > 4 * 400 * 40);
}
