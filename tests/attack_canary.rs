//! Canaries: a date, an id, a name or a text in every column of every table that is read, looked for in every byte
//! that a run leaves.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

#[path = "attack/forms.rs"]
mod forms;
#[path = "attack/plant.rs"]
mod plant;
#[path = "support/programme.rs"]
mod programme;
#[path = "attack/scan.rs"]
mod scan;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use forms::{DAY_FORMS, written};
use jiff::civil::{Date, date};
use parquet::arrow::ArrowWriter;
use plant::{Planted, Who, plant};
use programme::{STRATA, files_below};
use scan::{Canary, Hit, Scanner, shown};
use strata::omop::{CdmVersion, FieldKind, FieldSpec, Scope, TableSpec, cdm};

fn is_date(canary: &Canary) -> bool {
    matches!(canary, Canary::Date(..))
}

/// Finds of the canaries that are chosen in the files below these folders of the release.
fn finds(
    planted: &Planted,
    folders: &[&str],
    chosen: impl Fn(&str, &Canary) -> bool,
) -> BTreeSet<Hit> {
    let canaries = planted.of(chosen);
    assert!(!canaries.is_empty());
    let release = planted.programme.release();
    let files: Vec<PathBuf> = folders.iter().flat_map(|f| files_below(&release.join(f))).collect();
    assert!(!files.is_empty());
    let mut hits = Scanner::new(&canaries).files(&release, &files);
    hits.retain(|hit| !is_chance(hit));
    hits
}

/// Positions and bit planes of genotypes have every small number in them, pseudonyms of devices (32 digits in
/// hex) many, and the books of invariants are counts.
fn is_chance(hit: &Hit) -> bool {
    let small = ["epoch days", "excel serial", "julian day", "compact"].contains(&hit.form);
    let numbers = hit.place.contains("/genomics/")
        || hit.place.ends_with(" device_id")
        || hit.place.ends_with("quality/invariants.parquet looked_at");
    small && numbers && ["values", "statistics"].contains(&hit.part)
}

/// Finds outside of releases and of what a run works with: logs, plans, records, temporary files.
fn finds_beside(planted: &Planted, files: &[PathBuf]) -> BTreeSet<Hit> {
    Scanner::new(&planted.canaries).files(planted.programme.root(), files)
}

fn is_of(who: &[&str]) -> impl Fn(&str, &Canary) -> bool {
    move |label, _| who.iter().any(|who| label.starts_with(who))
}

#[test]
fn no_true_date_id_name_or_text_where_it_must_not_be() {
    let planted = plant(60);
    let programme = &planted.programme;
    let temporary = programme.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let mut command = Command::new(STRATA);
    command.args(["run", "w.toml", "-vv", "--log-format", "json"]).current_dir(programme.root());
    let json = programme::said(command.env("TMPDIR", &temporary)).done();
    let text = programme.strata(["run", "w.toml", "-vv", "--force", "tier.registered"]).done();
    let shows =
        ["plan", "explain", "validate"].map(|verb| programme.strata([verb, "w.toml"]).done().out);
    let status = programme.strata(["status", "store"]).done().out;
    println!("{} canaries in {} tables", planted.canaries.len(), planted.tables.len());
    let none = |hits: BTreeSet<Hit>| assert!(hits.is_empty(), "{}", shown(&hits));
    none(finds(&planted, &["registered", "public"], |_, _| true));
    none(finds(&planted, &["controlled"], |_, canary| !is_date(canary)));
    none(finds(&planted, &["controlled"], is_of(&["Withdrawn", "Unconsented", "Participant VCF"])));
    // The counts are of everybody, the report says whose extract it is of.
    none(finds(&planted, &["quality"], |label, _| !label.contains(" cdm_source.")));
    let said = [&json.out, &json.err, &text.out, &text.err, &status].into_iter().chain(&shows);
    let (scanner, mut hits) = (Scanner::new(&planted.canaries), BTreeSet::new());
    said.for_each(|text| scanner.bytes("what was said", "text", text.as_bytes(), &mut hits));
    none(hits);
    let in_release = |path: &PathBuf| path.starts_with(programme.store().join("releases"));
    let mut files = files_below(&programme.store());
    files.retain(|path| !in_release(path) || path.ends_with("MANIFEST.json"));
    assert!(files.iter().any(|path| path.ends_with("audit.jsonl")));
    assert!(files.len() >= 8, "{files:?}");
    none(finds_beside(&planted, &files));
    assert_eq!(files_below(&temporary), Vec::<PathBuf>::new());
}

/// What the finds of none are worth: the same scanner finds each date in the Controlled tier, and each text and
/// each form of a date in a Registered tier that lacks the rule about texts.
#[test]
fn the_scanner_finds_what_is_there() {
    let planted = plant(60);
    let programme = &planted.programme;
    programme.edit("policies/registered.toml", |text| {
        let at = text.find("[[rule]]\nid = \"free_text\"").unwrap();
        format!(
            "{}[[rule]]\nid = \"some_text\"\nkind = \"null_columns\"\ndescription = \"broken\"\n\
             columns = [\"person.person_source_value\", \"specimen.specimen_source_id\"]\n",
            &text[..at]
        )
    });
    programme.run().done();
    let labels = |hits: &BTreeSet<Hit>| -> BTreeSet<String> {
        hits.iter().map(|hit| hit.canary.clone()).collect()
    };
    let released = |kind: &[FieldKind]| -> BTreeSet<String> {
        let specs = cdm(CdmVersion::V5_4).tables().filter(|spec| {
            let left_out = spec.name == "note" || spec.name.ends_with("_era");
            planted.tables.contains(spec.name) && spec.person_field && !left_out
        });
        let fields = specs.flat_map(|spec| spec.fields.iter().map(move |field| (spec, field)));
        let chosen = fields.filter(|(_, field)| kind.contains(&field.kind));
        let label = |(spec, field): (&TableSpec, &FieldSpec)| {
            format!("Participant {}.{}", spec.name, field.name)
        };
        chosen.map(label).filter(|label| planted.canaries.contains_key(label)).collect()
    };
    // Dates: all columns there are, in values and in statistics.
    let found = finds(&planted, &["controlled"], is_of(&["Participant"]));
    let wanted = released(&[FieldKind::Date, FieldKind::Timestamp]);
    assert!(wanted.len() > 50, "{}", wanted.len());
    let seen = labels(&found);
    let missed: Vec<_> = wanted.difference(&seen).collect();
    assert!(missed.is_empty(), "{missed:?}");
    for part in ["values", "statistics", "bytes"] {
        assert!(found.iter().any(|hit| hit.part == part), "{part}");
    }
    // Texts, and in them dates in every form.
    let found = finds(&planted, &["registered"], is_of(&["Participant"]));
    let mut wanted = released(&[FieldKind::Text]);
    for unseen in [
        "person.person_source_value",
        "specimen.specimen_source_id",
        "device.device_id",
        "measurement.measurement_time",
    ] {
        assert!(wanted.remove(&format!("Participant {unseen}")), "{unseen}");
    }
    assert!(wanted.len() > 55, "{}", wanted.len());
    let seen = labels(&found);
    let missed: Vec<_> = wanted.difference(&seen).collect();
    assert!(missed.is_empty(), "{missed:?}");
    let forms: BTreeSet<&str> = found.iter().map(|hit| hit.form).collect();
    for form in DAY_FORMS {
        assert!(forms.contains(form), "{form}");
    }
    for part in ["values", "statistics", "dictionary"] {
        assert!(found.iter().any(|hit| hit.part == part && hit.form == "text"), "{part}");
    }
    // Ids and names: the feed's own files have them, in digits and in words.
    let files = files_below(&programme.path("feed"));
    let seen = labels(&finds_beside(&planted, &files));
    let missed: Vec<_> = planted
        .canaries
        .keys()
        .filter(|label| !label.contains(" date as ") && !seen.contains(*label))
        .collect();
    assert!(missed.is_empty(), "{missed:?}");
}

/// Every form that a date or an id can take in a Parquet file, each in a file of its own.
#[test]
fn the_scanner_reads_every_part_of_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let (day, second, id) = (date(1987, 3, 19), 47_655, 9_310_477_215_i64);
    let canaries = BTreeMap::from([
        ("day".to_owned(), Canary::Date(day, second)),
        ("id".to_owned(), Canary::Id(id)),
        ("name".to_owned(), Canary::Text("Zq00007Canary".into())),
    ]);
    let scanner = Scanner::new(&canaries);
    let days = forms::epoch(day) as i32;
    let number = |form: &str| written(day, second, form).parse::<i64>().unwrap();
    let ints = |value: i64| Arc::new(Int64Array::from(vec![1, value, 2])) as ArrayRef;
    let cases: Vec<(&str, &str, ArrayRef)> = vec![
        ("date", "values", Arc::new(Date32Array::from(vec![days]))),
        ("date", "statistics", Arc::new(Date32Array::from(vec![days]))),
        ("time", "values", Arc::new(TimestampMicrosecondArray::from(vec![number("epoch micros")]))),
        ("time", "values", Arc::new(TimestampMillisecondArray::from(vec![number("epoch millis")]))),
        ("epoch days", "values", Arc::new(Int32Array::from(vec![1, days, 2]))),
        ("epoch days", "values", Arc::new(Float64Array::from(vec![f64::from(days)]))),
        ("epoch days", "values", ints(number("epoch days"))),
        ("epoch seconds", "values", ints(number("epoch seconds"))),
        ("epoch millis", "values", ints(number("epoch millis"))),
        ("epoch micros", "values", ints(number("epoch micros"))),
        (scan::BINARY, "dictionary", ints(number("epoch micros"))),
        (scan::BINARY, "bytes", Arc::new(Int64Array::from(vec![number("epoch seconds")]))),
        ("excel serial", "values", ints(number("excel serial"))),
        ("julian day", "values", ints(number("julian day"))),
        ("compact", "values", ints(number("compact"))),
        ("number", "values", ints(id)),
        ("number", "values", Arc::new(Float64Array::from(vec![id as f64]))),
        ("binary", "dictionary", ints(id)),
        ("digits", "values", Arc::new(StringArray::from(vec![id.to_string()]))),
        ("lower case", "dictionary", Arc::new(StringArray::from(vec!["a zq00007canary"]))),
        ("text", "statistics", Arc::new(StringArray::from(vec!["Zq00007Canary"]))),
    ];
    for (at, (form, part, column)) in cases.into_iter().enumerate() {
        let path = folder.path().join(format!("case-{at}.parquet"));
        let batch = RecordBatch::try_from_iter([("c", column)]).unwrap();
        let mut writer =
            ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let hits = scanner.files(folder.path(), &[path]);
        assert!(
            hits.iter().any(|hit| hit.form == form && hit.part == part),
            "{form} {part}: {hits:?}"
        );
    }
    // Words in names and in any other file, in each way to write them.
    for (form, word) in forms::day_words(day) {
        let path = folder.path().join("plain.json");
        fs::write(&path, format!("{{\"at\": \"{word}\"}}")).unwrap();
        let hits = scanner.files(folder.path(), &[path]);
        assert!(hits.iter().any(|hit| hit.form == form), "{form}");
    }
    let path = folder.path().join("by-day=1987-03-19.txt");
    fs::write(&path, "").unwrap();
    assert!(scanner.files(folder.path(), &[path]).iter().any(|hit| hit.part == "file name"));
    let path = folder.path().join("none.json");
    fs::write(&path, "{\"at\": \"1987-03-18\", \"id\": 931047721}").unwrap();
    assert!(scanner.files(folder.path(), &[path]).is_empty());
}

/// What a killed run leaves of the records as they were: typed, in buckets, curated. All of it is sealed.
const WORK: [&str; 4] = [
    "/work/ingest.ehr.",
    "/work/ingest.wearables.",
    "/work/curate/scratch/",
    "/work/curate/curated/",
];

/// Where a run writes later on, by when all of that is there.
const LATER: [&str; 3] = ["/tier.controlled/", "/tier.registered/", "/publish/"];

#[test]
fn killed_runs_leave_nothing_that_can_be_read() {
    let planted = plant(60);
    let programme = &planted.programme;
    let temporary = programme.path("temporary");
    fs::create_dir(&temporary).unwrap();
    let run = || {
        let mut command = Command::new(STRATA);
        command.args(["run", "w.toml"]).current_dir(programme.root()).env("TMPDIR", &temporary);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    };
    let (mut killed, mut work, mut looked) = (0, [0; WORK.len()], 0);
    // A run is killed when files come to stand in one folder after the other: a share of the time that a run takes
    // would mean another stage on each machine.
    let places = WORK.into_iter().chain(LATER).cycle();
    for (i, place) in places.take(60).enumerate() {
        if killed >= 14 && work.iter().all(|n| *n > 0) && looked > 500 {
            break;
        }
        if programme.store().exists() {
            fs::remove_dir_all(programme.store()).unwrap();
        }
        let mut child = run();
        let stands = || {
            let files = files_below(&programme.store());
            files.iter().any(|file| file.to_string_lossy().contains(place))
        };
        while !stands() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(i as u64 % 5));
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        fs::create_dir_all(programme.store()).unwrap();
        let mut files = files_below(&programme.store());
        files.extend(files_below(&temporary));
        looked += files.len();
        for (seen, folder) in work.iter_mut().zip(WORK) {
            *seen += files.iter().filter(|file| file.to_string_lossy().contains(folder)).count();
        }
        // The Controlled tier has true dates of those who take part, in staging as well.
        let dates = |hit: &Hit| {
            (hit.place.contains("/controlled/") || hit.place.contains("/tier.controlled/"))
                && is_date(&planted.canaries[&hit.canary])
                && !is_of(&["Withdrawn", "Unconsented"])(&hit.canary, &Canary::Id(0))
        };
        let extract =
            |hit: &Hit| hit.place.contains("/dqd/") && hit.canary.contains(" cdm_source.");
        let hits = finds_beside(&planted, &files);
        let leaks: BTreeSet<Hit> =
            hits.into_iter().filter(|h| !dates(h) && !extract(h) && !is_chance(h)).collect();
        assert!(leaks.is_empty(), "kill {i}: {}", shown(&leaks));
    }
    println!("{killed} runs killed, {looked} files looked into, {work:?} of them records at work");
    assert!(killed >= 14 && work.iter().all(|n| *n > 0) && looked > 500);
    // The next run takes them away.
    programme.run().done();
    assert_eq!(files_below(&programme.store().join("staging")), Vec::<PathBuf>::new());
}

/// Columns of words that policies leave as they are hold words of closed lists, and nothing else that a feed may
/// write there, whichever rules of curation a programme has.
#[test]
fn closed_lists_of_words_are_closed() {
    let planted = plant(20);
    let programme = &planted.programme;
    let mut canaries = BTreeMap::new();
    let mut kept = BTreeSet::new();
    for (table, column, word) in [
        ("heart_rate_summary", "zone_name", "Cardio"),
        ("sleep_level", "level", "rem"),
        ("sleep_level", "is_main_sleep", "true"),
        ("sleep_daily_summary", "is_main_sleep", "true"),
    ] {
        let marker = format!("Zq{table}{column}Canary");
        let file = format!("feed/trackers/{table}.csv");
        programme.edit(&file, |text| {
            let participant = planted.people[&Who::Participant].to_string();
            let row = text.lines().find(|line| line.starts_with(&participant)).unwrap();
            assert!(row.contains(word));
            format!("{text}{}\n", row.replacen(word, &marker, 1))
        });
        canaries.insert(format!("{table}.{column}"), Canary::Text(marker));
        kept.insert((table, column, word));
    }
    // The answer to the question for the zip code, which is kept as far as it is one.
    let answers = ["ZqziponeCanary", "60612 ZqziptwoCanary", "60612-ZqzipthreeCanary", "60612"];
    programme.edit("feed/hospital/observation.csv", |mut text| {
        let participant = planted.people[&Who::Participant].to_string();
        let row = text.lines().find(|line| line.contains(&participant)).unwrap();
        let row = row.replace("1585711", "1585250");
        let spec = cdm(CdmVersion::V5_4).table("observation").unwrap();
        let value = spec.position("value_as_string").unwrap();
        for (at, answer) in answers.iter().enumerate() {
            let id = (8_880_000_001 + at).to_string();
            let mut cells: Vec<&str> = row.split(',').collect();
            (cells[0], cells[value]) = (&id, answer);
            text += &(cells.join(",") + "\n");
        }
        text
    });
    for word in ["ZqziponeCanary", "ZqziptwoCanary", "ZqzipthreeCanary"] {
        canaries.insert(word.into(), Canary::Text(word.into()));
    }
    programme.run().done();
    let release = programme.release();
    for tier in ["registered", "controlled"] {
        let hits = Scanner::new(&canaries).files(&release, &files_below(&release.join(tier)));
        assert!(hits.is_empty(), "{}", shown(&hits));
        let answers = programme::table(&release.join(tier).join("omop/observation"));
        let zip = answers["value_as_string"].iter().filter(|answer| *answer == "606**").count();
        assert_eq!(zip > 0, tier == "controlled");
        for (table, column, word) in &kept {
            let rows = programme::table(&release.join(tier).join("wearables").join(table));
            assert!(rows[*column].iter().any(|cell| cell == word), "{table}.{column}");
        }
    }
}

/// What is derived of the records: eras and observation periods of the program's own, in place of the extracts'.
#[test]
fn derived_tables_have_no_true_date() {
    let planted = plant(20);
    let programme = &planted.programme;
    let section =
        "[curation]\neras = true\nobservation_periods = \"first_to_last\"\n\n[tier.controlled]";
    programme.replace("w.toml", "[tier.controlled]", section);
    programme.run().done();
    let hits = finds(&planted, &["registered", "public"], |_, _| true);
    assert!(hits.is_empty(), "{}", shown(&hits));
    // Every derived table has a row of the participant, with a date of theirs in the Controlled tier.
    let hits = finds(&planted, &["controlled"], is_of(&["Participant"]));
    for table in [
        "omop/observation_period",
        "omop/visit_stay",
        "omop/person_summary",
        "omop/survey_answer",
        "omop/survey_module",
        "omop/physical_measurement",
        "wearables/wearable_day",
    ] {
        let place = format!("controlled/{table}/");
        assert!(hits.iter().any(|hit| hit.place.starts_with(&place)), "{table} has no canary");
    }
    // Nor any date of theirs in the half of the calendar to which no date of theirs moves.
    let release = programme.release();
    let (mut dates, mut wrong) = (0, 0);
    for path in programme::tables_below(&release.join("registered")) {
        for cell in programme::columns(&path).into_values().flatten() {
            let Some(day) = cell.get(..10).and_then(|day| day.parse::<Date>().ok()) else {
                continue;
            };
            if !(1985..2010).contains(&day.year()) {
                continue;
            }
            dates += 1;
            wrong +=
                u32::from(forms::epoch(day).rem_euclid(2 * planted.shift) < planted.shift - 70);
        }
    }
    println!("{dates} dates of the participant looked at");
    assert!(dates > 50 && wrong == 0, "{wrong} of {dates} dates are not moved");
}

/// Rows that cannot be used, and runs that fail: neither rejects nor errors repeat what they are about.
#[test]
fn rejects_and_errors_repeat_no_value() {
    let planted = plant(20);
    let programme = &planted.programme;
    let mut canaries = BTreeMap::new();
    let participant = planted.people[&Who::Participant].to_string();
    // In each table a row of the participant with the wrong kind of value in one column after another.
    for (folder, scope) in [("feed/hospital", Scope::Records), ("feed/trackers", Scope::Wearables)]
    {
        for spec in cdm(CdmVersion::V5_4).tables().filter(|s| scope.has(s) && s.person_field) {
            let file = format!("{folder}/{}.csv", spec.name);
            programme.edit(&file, |mut text| {
                let row = text.lines().find(|line| line.contains(&participant)).unwrap().to_owned();
                for (at, field) in spec.fields.iter().enumerate() {
                    if field.kind == FieldKind::Text {
                        continue;
                    }
                    let word = format!("Zq{:05}Reject", canaries.len());
                    canaries.insert(
                        format!("{}.{}", spec.name, field.name),
                        Canary::Text(word.clone()),
                    );
                    let mut cells: Vec<&str> = row.split(',').collect();
                    cells[at] = &word;
                    text += &(cells.join(",") + "\n");
                }
                text
            });
        }
    }
    canaries.extend(planted.canaries.clone());
    let look = |what: &str, said: &programme::Said| {
        let (scanner, mut hits) = (Scanner::new(&canaries), BTreeSet::new());
        for text in [&said.out, &said.err] {
            scanner.bytes(what, "text", text.as_bytes(), &mut hits);
        }
        let files: Vec<PathBuf> = files_below(&programme.store())
            .into_iter()
            .filter(|path| {
                ["runs", "rejects", "audit.jsonl"].iter().any(|w| path.iter().any(|p| p == *w))
            })
            .collect();
        hits.extend(Scanner::new(&canaries).files(programme.root(), &files));
        assert!(hits.is_empty(), "{what}: {}", shown(&hits));
        files.len()
    };
    for format in ["text", "json"] {
        let force = ["--force", "ingest.ehr.hospital"];
        let run = ["run", "w.toml", "-vv", "--log-format", format];
        let said = programme.strata(run.iter().chain(&force)).done();
        assert!(look("rows rejected", &said) > 5);
    }
    let rejects = programme::table(&programme.release().join("quality/rejects/ehr"));
    let rejected = rejects.values().next().unwrap().len();
    println!("{rejected} rows rejected of {}", canaries.len() - planted.canaries.len());
    assert!(rejected > 250);
    // Runs that cannot go on: nobody on the roster, a sample of nobody, a key twice, a header that lies.
    let roster = programme.read("feed/participants.csv");
    let map = programme.read("feed/sample_person.csv");
    let without = |text: &str| -> String {
        text.lines().filter(|line| !line.contains(&participant)).map(|l| format!("{l}\n")).collect()
    };
    let twice = |text: &str| {
        let line = text.lines().find(|line| line.contains(&participant)).unwrap();
        format!("{text}{line}\n")
    };
    let broken = |text: &str| {
        text.replace(&format!("{participant},yes"), &format!("{participant},Zq00001Reject"))
    };
    for (what, file, before, after) in [
        ("nobody", "feed/participants.csv", &roster, without(&roster)),
        ("twice", "feed/participants.csv", &roster, twice(&roster)),
        ("consent", "feed/participants.csv", &roster, broken(&roster)),
        ("no sample", "feed/sample_person.csv", &map, without(&map)),
        ("samples twice", "feed/sample_person.csv", &map, twice(&map)),
    ] {
        programme.write(file, after);
        for format in ["text", "json"] {
            let said = programme.strata(["run", "w.toml", "-vv", "--log-format", format]);
            assert_eq!(said.code, Some(1), "{what}: {said:?}");
            look(what, &said);
        }
        programme.write(file, before);
    }
}
