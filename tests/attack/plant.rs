//! A programme with a canary in every column of every table that is read: a date, an id, a name or a text that
//! is nowhere else, for each of four people of whom some must leave no trace.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use jiff::civil::{Date, date};
use strata::identity::{IdScope, Key, PersonId};
use strata::omop::{CdmVersion, FieldKind, FieldSpec, Scope, TableSpec, cdm, is_vocabulary};

use super::forms::{DAY_FORMS, civil, epoch, written};
use super::programme::{KEY, Programme, files_below};
use super::scan::Canary;

/// Who the canaries are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Takes part, with everything.
    Participant,
    /// Takes part, and is too old for the Registered tier.
    Oldest,
    /// Has withdrawn.
    Withdrawn,
    /// Has not consented to the use of health records, nor of the genome.
    Unconsented,
}

pub const EVERYBODY: [Who; 4] = [Who::Participant, Who::Oldest, Who::Withdrawn, Who::Unconsented];

/// A planted programme.
pub struct Planted {
    pub programme: Programme,
    /// By `who table.column`, what was planted there.
    pub canaries: BTreeMap<String, Canary>,
    pub people: BTreeMap<Who, i64>,
    /// Days that the participant's dates move back.
    pub shift: i64,
    /// Tables planted.
    pub tables: BTreeSet<&'static str>,
}

impl Planted {
    /// The canaries of which `chosen` says so.
    pub fn of(&self, chosen: impl Fn(&str, &Canary) -> bool) -> BTreeMap<String, Canary> {
        let all = self.canaries.iter().filter(|(label, canary)| chosen(label, canary));
        all.map(|(label, canary)| (label.clone(), canary.clone())).collect()
    }
}

/// The shift of a person in the Registered tier of every programme here.
pub fn shift_of(person: i64) -> i64 {
    let byte = |i: usize| u8::from_str_radix(&KEY[2 * i..2 * i + 2], 16).unwrap();
    let key = Key::from_bytes(std::array::from_fn(byte)).unwrap();
    i64::from(key.registered(IdScope::PerTier, strata::tier::row_tables()).shift(PersonId(person)))
}

/// Makes canaries that are nowhere else.
struct Mint {
    /// Runs of digits in the feeds.
    taken: BTreeSet<i64>,
    shift: i64,
    day: i64,
    id: i64,
    second: i64,
    canaries: BTreeMap<String, Canary>,
}

impl Mint {
    /// Days of years without records, in the first part of each two shifts: a day moved back, or a day of an era
    /// some days later moved back, falls in the second part, so that no shifted date is a canary by chance.
    fn day(&mut self) -> Date {
        loop {
            self.day += 1;
            let safe = self.day.rem_euclid(2 * self.shift) < self.shift - 70;
            let numbers = [self.day, self.day + 25_569, self.day + 2_440_588];
            let (month, day) = (civil(self.day).month(), civil(self.day).day());
            // What the Controlled tier makes of every birth date.
            let birth = (month, day) == (6, 15);
            if safe && !birth && !numbers.iter().any(|n| self.taken.contains(n)) {
                assert!(self.day < epoch(date(2010, 1, 1)), "no days left");
                return civil(self.day);
            }
        }
    }

    fn second(&mut self) -> i64 {
        self.second = (self.second + 12_347) % 86_399;
        self.second
    }

    fn id(&mut self) -> i64 {
        self.id += 7_919;
        self.id
    }

    fn keep(&mut self, label: String, canary: Canary) {
        assert!(self.canaries.insert(label, canary).is_none());
    }
}

/// A programme of `persons` made-up people and the four.
pub fn plant(persons: u32) -> Planted {
    let programme = Programme::in_memory(persons, 300);
    let mut people = BTreeMap::new();
    // A long shift leaves more days that are safe.
    let participant = (9_310_000_041_i64..).step_by(1_013).find(|id| shift_of(*id) > 300).unwrap();
    for (at, who) in EVERYBODY.into_iter().enumerate() {
        people.insert(who, participant + 100_003 * at as i64);
    }
    let mut mint = Mint {
        taken: taken(&programme),
        shift: shift_of(participant),
        day: epoch(date(1985, 1, 1)),
        id: 7_770_000_000,
        second: 0,
        canaries: BTreeMap::new(),
    };
    for (who, id) in &people {
        mint.keep(format!("{who:?} person_id"), Canary::Id(*id));
    }
    let mut tables = BTreeSet::new();
    for (folder, scope) in [("feed/hospital", Scope::Records), ("feed/trackers", Scope::Wearables)]
    {
        fs::create_dir(programme.path(folder)).unwrap();
        for spec in cdm(CdmVersion::V5_4).tables().filter(|spec| scope.has(spec)) {
            programme.write(&format!("{folder}/{}.csv", spec.name), rows(spec, &people, &mut mint));
            tables.insert(spec.name);
        }
    }
    // Streams of a few days have no middle; `tests/attack_inference.rs` looks at their ends.
    programme.without_rule("policies/registered.toml", "stream_edges");
    roster(&programme, &people, &mut mint);
    callset(&programme, &people, &mut mint);
    programme.replace(
        "w.toml",
        "[tier.controlled]",
        "[ehr.hospital]\npath = \"feed/hospital\"\ncdm = \"5.4\"\ndates = \"true\"\n\n\
         [wearables.trackers]\npath = \"feed/trackers\"\n\n\
         [callset.laboratory]\ngenome = \"GRCh38\"\nvcf = [\"feed/laboratory.vcf\"]\n\n\
         [quality]\n\n[privacy]\n\n[tier.controlled]",
    );
    let (shift, canaries) = (mint.shift, mint.canaries);
    Planted { programme, canaries, people, shift, tables }
}

/// Every run of digits in the tables of a programme, and in what checks say.
fn taken(programme: &Programme) -> BTreeSet<i64> {
    let mut taken = BTreeSet::new();
    for path in files_below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/quality")) {
        let text = fs::read_to_string(path).unwrap();
        let digits = text.split(|c: char| !c.is_ascii_digit());
        taken.extend(digits.filter_map(|d| d.parse::<i64>().ok()));
    }
    for folder in ["feed/omop", "feed/vocabulary", "feed/wearables"] {
        for path in files_below(&programme.path(folder)) {
            let relative = path.strip_prefix(programme.root()).unwrap().display().to_string();
            let text = programme.read(&relative);
            let digits = text.split(|c: char| !c.is_ascii_digit());
            taken.extend(digits.filter_map(|d| d.parse::<i64>().ok()));
        }
    }
    taken
}

/// A table with a row a person, or with one row when it is about nobody.
fn rows(spec: &TableSpec, people: &BTreeMap<Who, i64>, mint: &mut Mint) -> String {
    let header: Vec<&str> = spec.fields.iter().map(|f| f.name).collect();
    let mut text = header.join(",") + "\n";
    for (who, person) in people {
        let cells: Vec<String> =
            spec.fields.iter().map(|f| cell(spec, f, *who, *person, mint)).collect();
        text += &(cells.join(",") + "\n");
    }
    text
}

fn cell(spec: &TableSpec, field: &FieldSpec, who: Who, person: i64, mint: &mut Mint) -> String {
    if let Some(fixed) = fixed(spec.name, field.name, who) {
        return fixed.to_owned();
    }
    let label = format!("{who:?} {}.{}", spec.name, field.name);
    match field.kind {
        // A person id where the model has no reference to a person.
        FieldKind::Integer if field.name == "person_id" || field.name == "subject_id" => {
            person.to_string()
        }
        FieldKind::Integer if field.primary_key || field.any_table || refers(field) => {
            let id = mint.id();
            mint.keep(label, Canary::Id(id));
            id.to_string()
        }
        FieldKind::Integer if field.foreign_table.is_some() => "0".into(),
        FieldKind::Integer => "1".into(),
        FieldKind::Float => "1.5".into(),
        FieldKind::Date | FieldKind::Timestamp => {
            let (day, second) = (mint.day(), mint.second());
            mint.keep(label, Canary::Date(day, second));
            let (h, m, s) = (second / 3_600, second / 60 % 60, second % 60);
            let clock = format!(" {h:02}:{m:02}:{s:02}");
            format!("{day}{}", if field.kind == FieldKind::Date { "" } else { &clock })
        }
        FieldKind::Text => {
            let (day, second) = (mint.day(), mint.second());
            let number = mint.canaries.len();
            let text = format!("Zq{number:05}Canary");
            let form = DAY_FORMS[number % DAY_FORMS.len()];
            mint.keep(format!("{label} date as {form}"), Canary::Date(day, second));
            mint.keep(label, Canary::Text(text.clone()));
            format!("{text} {}", written(day, second, form))
        }
    }
}

/// Whether a column points to rows of a table that is not the vocabulary's.
fn refers(field: &FieldSpec) -> bool {
    field.foreign_table.is_some_and(|table| table != "person" && !is_vocabulary(table))
}

/// What some columns have to hold for the rows to be what tables are derived from.
fn fixed(table: &str, column: &str, who: Who) -> Option<&'static str> {
    Some(match (table, column) {
        ("person", "year_of_birth") if who == Who::Oldest => "1931",
        ("person", "year_of_birth") => "1951",
        ("person", "month_of_birth") => "2",
        ("person", "day_of_birth") => "17",
        ("person", "birth_datetime") if who == Who::Oldest => "1931-02-17 05:06:07",
        ("person", "birth_datetime") => "1951-02-17 05:06:07",
        ("person", "gender_concept_id") => "8507",
        ("condition_occurrence", "condition_concept_id") => "198803",
        ("drug_exposure", "drug_concept_id") => "1125315",
        ("procedure_occurrence", "procedure_concept_id") => "4163872",
        ("visit_occurrence", "visit_concept_id") => "9201",
        // A question of Overall Health and an answer.
        ("observation", "observation_concept_id" | "observation_source_concept_id") => "1585711",
        ("observation", "value_as_concept_id") => "1585713",
        ("observation", "observation_type_concept_id") => "32865",
        ("observation", "value_as_number") => "",
        ("survey_conduct", "survey_concept_id" | "survey_source_concept_id") => "1585710",
        // Height.
        ("measurement", "measurement_concept_id" | "measurement_source_concept_id") => "903133",
        ("measurement", "value_as_number") => "171",
        ("heart_rate_summary", "zone_name") => "Cardio",
        ("sleep_level", "level") => "rem",
        ("sleep_level" | "sleep_daily_summary", "is_main_sleep") => "true",
        _ => return None,
    })
}

fn roster(programme: &Programme, people: &BTreeMap<Who, i64>, mint: &mut Mint) {
    programme.edit("feed/participants.csv", |mut text| {
        for (who, person) in people {
            let mut day = |what: &str| {
                let (day, second) = (mint.day(), mint.second());
                mint.keep(format!("{who:?} roster {what}"), Canary::Date(day, second));
                day
            };
            let (primary, ehr) = (day("primary_consent_date"), day("ehr_consent_date"));
            let consent = if *who == Who::Unconsented { "no" } else { "yes" };
            let status = match who {
                Who::Withdrawn => format!("withdrawn,{}", day("withdrawal_date")),
                _ => "not_withdrawn,".into(),
            };
            text += &format!("{person},yes,{primary},{consent},{ehr},{consent},{status}\n");
        }
        text
    });
}

/// A callset of the four, whose header is full of what no table may say, and each of whom alone has a variant.
fn callset(programme: &Programme, people: &BTreeMap<Who, i64>, mint: &mut Mint) {
    let mut header = String::from("##fileformat=VCFv4.2\n");
    let say = |what: &str, mint: &mut Mint| {
        let (day, second) = (mint.day(), mint.second());
        let text = format!("Zq{:05}Canary", mint.canaries.len());
        mint.keep(format!("Participant VCF {what} date"), Canary::Date(day, second));
        mint.keep(format!("Participant VCF {what}"), Canary::Text(text.clone()));
        (text, day)
    };
    let (name, day) = say("fileDate", mint);
    header += &format!("##fileDate={} {name}\n", written(day, 0, "compact"));
    let (name, day) = say("commandline", mint);
    header += &format!("##commandline=\"call --in /labs/{name}/{day}.bam\"\n");
    let (name, day) = say("SAMPLE", mint);
    header += &format!("##SAMPLE=<ID={name},Description=\"drawn {day}\">\n");
    header += "##contig=<ID=chr20,length=64444167>\n\
               ##FORMAT=<ID=GT,Number=1,Type=String,Description=\"Genotype\">\n\
               #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT";
    let mut map = String::new();
    for (who, person) in people {
        let sample = format!("Zq{:05}Sample", mint.canaries.len());
        mint.keep(format!("{who:?} VCF sample name"), Canary::Text(sample.clone()));
        header += &format!("\t{sample}");
        map += &format!("{sample},{person}\n");
    }
    header += "\n";
    let people = people.len();
    for at in 0..people {
        let calls: Vec<&str> = (0..people).map(|i| if i == at { "0/1" } else { "0/0" }).collect();
        header +=
            &format!("chr20\t{}\t.\tA\tG\t50\tPASS\t.\tGT\t{}\n", 70_001 + at, calls.join("\t"));
    }
    programme.write("feed/laboratory.vcf", header);
    programme.edit("feed/sample_person.csv", |text| text + &map);
}
