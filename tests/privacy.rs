//! No raw id, name, text, key or true date in any byte of what a run leaves that should not have it.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use programme::{KEY, Programme, Said, columns, files_below, holds, table, tables_below};

/// A date that no other row has, and no row of the feed before it was planted.
const DATE: &str = "1987-03-19";

/// Marks of the feed's made-up identifiers and texts.
const MARKS: [&str; 11] = [
    "SYN0",
    "MRN-FAKE",
    "Testperson",
    "Fake Street",
    "555-01",
    "no complaints",
    "Progress note",
    "Faketown",
    "FAKE-LOC",
    "Dr. Example",
    "Fake Clinic",
];

/// A finished run: everything it left and said, file by file; tables as they are and as text.
struct Left {
    programme: Programme,
    texts: Vec<(PathBuf, Vec<u8>)>,
}

impl Left {
    fn new(programme: Programme) -> Self {
        let Said { out, err, .. } = programme.strata(["run", "w.toml", "-vv"]).done();
        let mut texts = vec![("stdout".into(), out.into()), ("stderr".into(), err.into())];
        let plan = programme.strata(["plan", "w.toml", "--json"]).done();
        texts.push(("plan".into(), plan.out.into()));
        for path in files_below(&programme.store()) {
            if path.extension().is_some_and(|e| e == "parquet") {
                let cells: Vec<String> = columns(&path).into_values().flatten().collect();
                texts.push((path.clone(), cells.join("\n").into_bytes()));
            }
            texts.push((path.clone(), fs::read(&path).unwrap()));
        }
        assert!(texts.len() > 150);
        Self { programme, texts }
    }

    /// Nothing holds `word`; `where_` chooses what is looked at.
    #[track_caller]
    fn assert_without(&self, word: &[u8], what: &str, where_: impl Fn(&Path) -> bool) {
        for (place, bytes) in self.texts.iter().filter(|(place, _)| where_(place)) {
            assert!(!holds(bytes, word), "{what} is in {}", place.display());
        }
    }
}

/// A programme with a condition on a date of its own, and whose it is.
fn programme_with_a_planted_date() -> (Programme, String) {
    let programme = Programme::new();
    let roster = programme.rows("feed/participants.csv");
    let takes_part = |person: &str| {
        roster.iter().any(|row| {
            row["person_id"] == person
                && row["withdrawal_status"] == "not_withdrawn"
                && row["primary_consent"] == "yes"
                && row["ehr_consent"] == "yes"
        })
    };
    let people = programme.rows("feed/omop/person.csv");
    let person = people.iter().find(|row| {
        let year: u32 = row["year_of_birth"].parse().unwrap();
        (1945..1980).contains(&year) && takes_part(&row["person_id"])
    });
    let person = person.unwrap()["person_id"].clone();
    for file in files_below(&programme.path("feed/omop")) {
        let relative = file.strip_prefix(programme.root()).unwrap().display().to_string();
        assert!(!programme.read(&relative).contains(DATE), "{relative} has the date already");
    }
    programme.edit("feed/omop/condition_occurrence.csv.gz", |text| {
        let fields = text.lines().next().unwrap().split(',').count();
        let row = format!("987654321,{person},80180,{DATE},{DATE} 13:14:15,{DATE},,32817,0");
        let padding = ",".repeat(fields - row.split(',').count());
        format!("{text}{row}{padding}\n")
    });
    (programme, person)
}

#[test]
fn no_identifier_in_any_byte() {
    let (programme, _) = programme_with_a_planted_date();
    let people = programme.rows("feed/participants.csv");
    assert!(people.len() >= 60);
    let left = Left::new(programme);
    for row in &people {
        let id = &row["person_id"];
        assert_eq!(id.len(), 10, "too short an id to look for");
        left.assert_without(id.as_bytes(), "a person id", |_| true);
        // As a Parquet page or footer would hold it, unpacked.
        let number: i64 = id.parse().unwrap();
        left.assert_without(&number.to_le_bytes(), "a person id in binary", |_| true);
        left.assert_without(&number.to_be_bytes(), "a person id in binary", |_| true);
    }
    for mark in MARKS {
        left.assert_without(mark.as_bytes(), mark, |_| true);
    }
    let key: Vec<u8> =
        (0..32).map(|i| u8::from_str_radix(&KEY[2 * i..2 * i + 2], 16).unwrap()).collect();
    left.assert_without(KEY.as_bytes(), "the key", |_| true);
    left.assert_without(&KEY.as_bytes()[..16], "a part of the key", |_| true);
    left.assert_without(&key[..8], "a part of the key", |_| true);
    // Nor anything of where the inputs lie.
    let root = left.programme.root().display().to_string();
    let in_release = |place: &Path| place.components().any(|part| part.as_os_str() == "releases");
    left.assert_without(root.as_bytes(), "a path", in_release);
    // The marks are in the feed, so that looking for them means something.
    let feed: Vec<String> = [
        "person.csv",
        "note.csv",
        "observation.csv.gz",
        "location.csv",
        "provider.csv",
        "care_site.csv",
    ]
    .map(|name| left.programme.read(&format!("feed/omop/{name}")))
    .into();
    let samples = left.programme.read("feed/sample_person.csv");
    for mark in MARKS {
        assert!(feed.iter().chain([&samples]).any(|text| text.contains(mark)), "{mark}");
    }
}

#[test]
fn true_dates_are_in_the_controlled_tier_alone() {
    let (programme, _) = programme_with_a_planted_date();
    let left = Left::new(programme);
    let release = left.programme.release();
    let controlled = table(&release.join("controlled/omop/condition_occurrence"));
    let planted: Vec<usize> = (0..controlled["person_id"].len())
        .filter(|&row| controlled["condition_start_date"][row] == DATE)
        .collect();
    assert_eq!(planted.len(), 1, "the planted row is not in the Controlled tier");
    let outside = |place: &Path| !place.starts_with(release.join("controlled"));
    for form in [DATE, "19870319", "03/19/1987", "19.03.1987", "1987-03", "13:14:15 1987"] {
        left.assert_without(form.as_bytes(), form, outside);
    }
    // The row is there, on another date, at the same time of day.
    let registered = table(&release.join("registered/omop/condition_occurrence"));
    let moved: Vec<&String> = registered["condition_start_datetime"]
        .iter()
        .filter(|value| value.contains("13:14:15"))
        .collect();
    let day = |row: &str| row.split('T').next().unwrap().to_owned();
    let year_before = "1986-03-20".to_owned().."1987-03-19".to_owned();
    assert_eq!(moved.iter().filter(|value| year_before.contains(&day(value))).count(), 1);
}

#[test]
fn row_and_person_ids_are_new_in_each_tier() {
    let (programme, _) = programme_with_a_planted_date();
    let tables = [
        ("condition_occurrence", "feed/omop/condition_occurrence.csv.gz"),
        ("measurement", "feed/omop/measurement.csv.gz"),
        ("visit_occurrence", "feed/omop/visit_occurrence.csv.gz"),
    ];
    let raw: Vec<BTreeSet<String>> = tables
        .iter()
        .map(|(table, file)| {
            let id = format!("{table}_id");
            programme.rows(file).iter().map(|row| row[&id].clone()).collect()
        })
        .collect();
    programme.run().done();
    let release = programme.release();
    let ids = |tier: &str, name: &str, column: &str| -> BTreeSet<String> {
        let rows = table(&release.join(tier).join("omop").join(name));
        rows[column].iter().filter(|value| !value.is_empty()).cloned().collect()
    };
    for ((name, _), raw) in tables.iter().zip(&raw) {
        let column = format!("{name}_id");
        let (controlled, registered) =
            (ids("controlled", name, &column), ids("registered", name, &column));
        assert!(!registered.is_empty() && controlled.len() >= registered.len());
        assert!(controlled.is_disjoint(&registered), "{name} rows can be joined across tiers");
        assert!(controlled.is_disjoint(raw) && registered.is_disjoint(raw), "{name} ids are raw");
    }
    let people = ["controlled", "registered"].map(|tier| ids(tier, "person", "person_id"));
    assert!(people[0].is_disjoint(&people[1]), "people can be joined across tiers");
    // Visits that rows point to are there, under the new ids.
    for tier in ["controlled", "registered"] {
        let (visits, used) = (
            ids(tier, "visit_occurrence", "visit_occurrence_id"),
            ids(tier, "condition_occurrence", "visit_occurrence_id"),
        );
        assert!(!used.is_empty() && used.is_subset(&visits), "{tier}");
    }
}

#[test]
fn public_counts_are_protected() {
    let programme = Programme::in_memory(400, 1_500);
    programme.run().done();
    let release = programme.release();
    let mut counts = 0;
    for name in ["participant_counts", "demographics"] {
        let rows = columns(&release.join(format!("public/tables/{name}.parquet")));
        for count in &rows["participants"] {
            let count: u64 = count.parse().unwrap();
            assert!(count.is_multiple_of(20), "{name} has {count}");
            counts += 1;
        }
    }
    assert!(counts > 100);
    for path in tables_below(&release.join("public")) {
        for column in columns(&path).keys() {
            let personal = ["person", "sample", "research"].iter().any(|w| column.starts_with(w));
            assert!(!personal, "{column} of {}", path.display());
        }
    }
    // Of a published variant, neither carriers nor homozygotes are a few people.
    let all = table(&release.join("controlled/genomics/wgs/variants"));
    let public = table(&release.join("public/tables/allele_frequencies"));
    assert!(public["vid"].len() > 20, "{} variants", public["vid"].len());
    assert!(public["vid"].len() < all["vid"].len());
    let few = |n: i64| (1..=20).contains(&n);
    for (row, vid) in public["vid"].iter().enumerate() {
        let at = all["vid"].iter().position(|v| v == vid).unwrap();
        let number = |column: &str| all[column][at].parse::<i64>().unwrap();
        assert!(!few(number("n_het") + number("n_hom_alt")), "{vid} has few carriers");
        if !public["hom"][row].is_empty() {
            assert!(!few(number("n_hom_alt")), "{vid} has few homozygotes");
        }
    }
    // The page shows the tables' numbers and no others.
    for path in files_below(&release.join("public/site/data")) {
        let text = fs::read_to_string(&path).unwrap();
        let Some(rows) = text.strip_prefix("strataData(\"concepts\",") else { continue };
        let rows: serde_json::Value =
            serde_json::from_str(rows.trim_end().trim_end_matches(");")).unwrap();
        for row in rows.as_array().unwrap() {
            for count in &row.as_array().unwrap()[4..] {
                assert_eq!(count.as_u64().unwrap() % 20, 0, "{}", path.display());
            }
        }
    }
}

#[test]
fn ids_are_shared_only_where_the_workflow_says_so() {
    let programme = Programme::new();
    let people = |tier: &str| -> BTreeSet<String> {
        let rows = table(&programme.release().join(tier).join("omop/person"));
        rows["person_id"].iter().cloned().collect()
    };
    programme.run().done();
    let (apart, samples) = (people("controlled"), "controlled/genomics/wgs/samples");
    assert!(apart.is_disjoint(&people("registered")));
    programme.replace("w.toml", "[vocabulary]", "ids = \"shared\"\n[vocabulary]");
    programme.run().done();
    let controlled = people("controlled");
    assert!(!people("registered").is_empty() && people("registered").is_subset(&controlled));
    assert!(apart.is_disjoint(&controlled));
    // Callsets and records of a tier speak of the same people.
    let sampled = table(&programme.release().join(samples))["person_id"].clone();
    assert!(sampled.iter().filter(|id| controlled.contains(*id)).count() > sampled.len() / 2);
}

/// A device is one person's: its id is as good as a name, and is another in each tier.
#[test]
fn ids_of_devices_are_new_in_each_tier() {
    let programme = Programme::new();
    let people: Vec<String> = programme
        .rows("feed/participants.csv")
        .into_iter()
        .filter(|row| {
            row["withdrawal_status"] == "not_withdrawn"
                && row["primary_consent"] == "yes"
                && row["ehr_consent"] == "yes"
        })
        .map(|row| row["person_id"].clone())
        .collect();
    fs::create_dir_all(programme.path("feed/devices")).unwrap();
    let mut text = String::from("person_id,device_id,device_date,battery\n");
    for (person, device) in [(0, "TRACKER-A-77"), (0, "TRACKER-B-77"), (1, "TRACKER-C-77"), (1, "")]
    {
        for day in ["2021-02-03", "2021-02-04"] {
            text += &format!("{},{device},{day},High\n", people[person]);
        }
    }
    programme.write("feed/devices/device.csv", text);
    let section = "[wearables.fitbit]\npath = \"feed/devices\"\n\n[callset.wgs]";
    programme.replace("w.toml", "[callset.wgs]", section);
    // Streams of two days have no middle.
    programme.without_rule("policies/registered.toml", "stream_edges");
    programme.run().done();
    let release = programme.release();
    let mut all = BTreeSet::new();
    for tier in ["controlled", "registered"] {
        let folder = release.join(tier);
        let file = tables_below(&folder)
            .into_iter()
            .find(|path| path.to_string_lossy().contains("/device/"));
        let rows = table(file.unwrap().parent().unwrap().parent().unwrap());
        assert_eq!(rows["device_id"].len(), 8);
        let ids: BTreeSet<(&String, &String)> =
            rows["person_id"].iter().zip(&rows["device_id"]).collect();
        assert_eq!(ids.len(), 4, "one pseudonym a device, and none for none");
        let named = ids.iter().filter(|(_, id)| id.len() == 32).map(|(_, id)| (*id).clone());
        all.extend(named);
    }
    assert_eq!(all.len(), 6, "pseudonyms of one tier are those of the other");
    for path in files_below(&release) {
        assert!(!holds(&fs::read(&path).unwrap(), b"TRACKER-"), "{}", path.display());
        if path.extension().is_some_and(|e| e == "parquet") {
            let cells: Vec<String> = columns(&path).into_values().flatten().collect();
            assert!(!cells.iter().any(|cell| cell.contains("TRACKER-")), "{}", path.display());
        }
    }
}
