//! The EHR of a person: visits, conditions that come with age, and what follows from them.

use super::calendar::{Day, Moment, REFERENCE};
use super::feed::Lines;
use super::people::{GROUPS, Person};
use super::random::{Purpose, Rng};
use super::vocabulary::code;

/// Type 2 diabetes, the planted phenotype.
pub const DIABETES: u32 = 201_826;
/// What one copy of the planted allele multiplies the odds of type 2 diabetes by.
pub const ODDS_PER_COPY: f64 = 2.2;

/// The individual-level tables, in the order of [`TABLES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Table {
    Person,
    ObservationPeriod,
    Visit,
    Condition,
    Drug,
    Measurement,
    Procedure,
    Observation,
    Death,
    Note,
    Survey,
    Activity,
    HeartRate,
    Sleep,
    SleepLevel,
}

/// File and header of each [`Table`] (OMOP CDM 5.4; survey_conduct and questionnaire_response_id as All of Us has them).
pub const TABLES: [(&str, &str); 15] = [
    (
        "omop/person.csv",
        "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,birth_datetime,race_concept_id,ethnicity_concept_id,location_id,provider_id,care_site_id,person_source_value,gender_source_value,gender_source_concept_id,race_source_value,race_source_concept_id,ethnicity_source_value,ethnicity_source_concept_id",
    ),
    (
        "omop/observation_period.csv",
        "observation_period_id,person_id,observation_period_start_date,observation_period_end_date,period_type_concept_id",
    ),
    (
        "omop/visit_occurrence.csv.gz",
        "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_start_datetime,visit_end_date,visit_end_datetime,visit_type_concept_id,provider_id,care_site_id,visit_source_value,visit_source_concept_id,admitted_from_concept_id,admitted_from_source_value,discharged_to_concept_id,discharged_to_source_value,preceding_visit_occurrence_id",
    ),
    (
        "omop/condition_occurrence.csv.gz",
        "condition_occurrence_id,person_id,condition_concept_id,condition_start_date,condition_start_datetime,condition_end_date,condition_end_datetime,condition_type_concept_id,condition_status_concept_id,stop_reason,provider_id,visit_occurrence_id,visit_detail_id,condition_source_value,condition_source_concept_id,condition_status_source_value",
    ),
    (
        "omop/drug_exposure.csv.gz",
        "drug_exposure_id,person_id,drug_concept_id,drug_exposure_start_date,drug_exposure_start_datetime,drug_exposure_end_date,drug_exposure_end_datetime,verbatim_end_date,drug_type_concept_id,stop_reason,refills,quantity,days_supply,sig,route_concept_id,lot_number,provider_id,visit_occurrence_id,visit_detail_id,drug_source_value,drug_source_concept_id,route_source_value,dose_unit_source_value",
    ),
    (
        "omop/measurement.csv.gz",
        "measurement_id,person_id,measurement_concept_id,measurement_date,measurement_datetime,measurement_time,measurement_type_concept_id,operator_concept_id,value_as_number,value_as_concept_id,unit_concept_id,range_low,range_high,provider_id,visit_occurrence_id,visit_detail_id,measurement_source_value,measurement_source_concept_id,unit_source_value,unit_source_concept_id,value_source_value,measurement_event_id,meas_event_field_concept_id",
    ),
    (
        "omop/procedure_occurrence.csv.gz",
        "procedure_occurrence_id,person_id,procedure_concept_id,procedure_date,procedure_datetime,procedure_end_date,procedure_end_datetime,procedure_type_concept_id,modifier_concept_id,quantity,provider_id,visit_occurrence_id,visit_detail_id,procedure_source_value,procedure_source_concept_id,modifier_source_value",
    ),
    (
        "omop/observation.csv.gz",
        "observation_id,person_id,observation_concept_id,observation_date,observation_datetime,observation_type_concept_id,value_as_number,value_as_string,value_as_concept_id,qualifier_concept_id,unit_concept_id,provider_id,visit_occurrence_id,visit_detail_id,observation_source_value,observation_source_concept_id,unit_source_value,qualifier_source_value,value_source_value,observation_event_id,obs_event_field_concept_id,questionnaire_response_id",
    ),
    (
        "omop/death.csv",
        "person_id,death_date,death_datetime,death_type_concept_id,cause_concept_id,cause_source_value,cause_source_concept_id",
    ),
    (
        "omop/note.csv",
        "note_id,person_id,note_date,note_datetime,note_type_concept_id,note_class_concept_id,note_title,note_text,encoding_concept_id,language_concept_id,provider_id,visit_occurrence_id,visit_detail_id,note_source_value,note_event_id,note_event_field_concept_id",
    ),
    (
        "omop/survey_conduct.csv",
        "survey_conduct_id,person_id,survey_concept_id,survey_start_date,survey_start_datetime,survey_end_date,survey_end_datetime,provider_id,assisted_concept_id,respondent_type_concept_id,timing_concept_id,collection_method_concept_id,assisted_source_value,respondent_type_source_value,timing_source_value,collection_method_source_value,survey_source_value,survey_source_concept_id,survey_source_identifier,validated_survey_concept_id,validated_survey_source_value,survey_version_number,visit_occurrence_id,response_visit_occurrence_id",
    ),
    (
        "wearables/activity_summary.csv.gz",
        "person_id,date,activity_calories,calories_bmr,calories_out,elevation,fairly_active_minutes,floors,lightly_active_minutes,marginal_calories,sedentary_minutes,steps,very_active_minutes,src_id",
    ),
    (
        "wearables/heart_rate_summary.csv.gz",
        "person_id,date,zone_name,min_heart_rate,max_heart_rate,minute_in_zone,calorie_count,src_id",
    ),
    (
        "wearables/sleep_daily_summary.csv.gz",
        "person_id,sleep_date,is_main_sleep,minute_in_bed,minute_asleep,minute_after_wakeup,minute_awake,minute_restless,minute_deep,minute_light,minute_rem,minute_wake,src_id",
    ),
    (
        "wearables/sleep_level.csv.gz",
        "person_id,sleep_date,is_main_sleep,level,start_datetime,duration_in_min,src_id",
    ),
];

/// Rows of every table, for some people.
pub type Feed = [Lines; TABLES.len()];

/// Row ids of a person start here and count up: unique without knowing how many rows others have.
pub fn first_id(person: u32) -> i64 {
    (i64::from(person) + 1) * 4096
}

/// A lasting condition: concept, code at the source, drug, odds in thousandths at 30 and per year of age
/// beyond, and what the odds are multiplied by (percent) in women and men.
struct Chronic(u32, &'static str, u32, u32, u32, u32, u32);

const CHRONIC: [Chronic; 18] = [
    Chronic(320_128, "I10", 1_308_216, 60, 20, 90, 100),
    Chronic(432_867, "E78.5", 1_545_958, 60, 15, 90, 100),
    Chronic(201_254, "E10.9", 0, 8, 0, 100, 100),
    Chronic(317_009, "J45.909", 1_154_343, 130, 0, 150, 100),
    Chronic(440_383, "F32.A", 739_138, 200, 0, 160, 100),
    Chronic(442_077, "F41.9", 715_939, 200, 0, 160, 100),
    Chronic(80_180, "M19.90", 1_177_480, 10, 14, 130, 100),
    Chronic(318_800, "K21.9", 923_645, 100, 5, 110, 100),
    Chronic(140_673, "E03.9", 1_501_700, 20, 4, 300, 100),
    Chronic(313_217, "I48.91", 1_310_149, 2, 3, 70, 100),
    Chronic(4_329_847, "I21.9", 1_112_807, 2, 3, 50, 100),
    Chronic(316_139, "I50.9", 1_308_216, 2, 3, 90, 100),
    Chronic(255_573, "J44.9", 1_154_343, 5, 4, 90, 100),
    Chronic(46_271_022, "N18.9", 0, 5, 5, 100, 100),
    Chronic(433_736, "E66.9", 0, 250, 2, 110, 100),
    Chronic(80_502, "M81.0", 0, 5, 5, 500, 100),
    Chronic(318_736, "G43.909", 1_125_315, 100, 0, 300, 100),
    Chronic(198_803, "N40.0", 0, 5, 12, 0, 100),
];
const BREAST_CANCER: Chronic = Chronic(137_809, "C50.919", 0, 4, 3, 100, 0);
const PROSTATE_CANCER: Chronic = Chronic(200_962, "C61", 0, 0, 4, 0, 100);
const ACUTE: [(u32, &str); 5] = [
    (40_481_087, "J32.9"),
    (4_112_343, "J02.9"),
    (260_139, "J20.9"),
    (28_060, "J02.0"),
    (254_761, "R05.9"),
];

impl Chronic {
    fn odds(&self, age: i32, female: bool) -> f64 {
        let years = f64::from((age - 30).max(0));
        let sex = f64::from(if female { self.5 } else { self.6 }) / 100.0;
        (f64::from(self.3) + f64::from(self.4) * years) / 1000.0 * sex
    }
}

/// Whether a person has type 2 diabetes. `dosage` is the number of copies of the planted allele, `None`
/// for people whose genotype is not known.
pub fn has_diabetes(seed: u64, index: u32, person: &Person, dosage: Option<u8>) -> bool {
    let mut rng = Rng::new(seed, Purpose::Condition, u64::from(index), u64::from(DIABETES));
    let odds = 0.03 + 0.004 * f64::from((person.age() - 35).max(0));
    rng.odds(match dosage {
        Some(copies) => (0..copies).fold(odds, |o, _| o * ODDS_PER_COPY),
        None => odds * 1.7,
    })
}

struct Visit {
    id: i64,
    concept: u32,
    start: Day,
    end: Day,
    minute: u32,
}

/// Writes one person; row ids come from a single counter, below 4,096 a person.
pub struct Chart<'a> {
    pub seed: u64,
    pub index: u32,
    pub person: &'a Person,
    pub feed: &'a mut Feed,
    pub next_id: i64,
    height: i32,
    weight: i32,
    hypertension: bool,
    diabetes: bool,
}

impl<'a> Chart<'a> {
    pub fn new(
        seed: u64,
        index: u32,
        person: &'a Person,
        diabetes: bool,
        feed: &'a mut Feed,
    ) -> Self {
        let next_id = first_id(index);
        Self {
            seed,
            index,
            person,
            feed,
            next_id,
            height: 0,
            weight: 0,
            hypertension: false,
            diabetes,
        }
    }

    pub fn id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub fn lines(&mut self, table: Table) -> &mut Lines {
        &mut self.feed[table as usize]
    }

    /// Last day on which anything can happen to the person.
    pub fn last_day(&self) -> Day {
        self.person.death.unwrap_or(REFERENCE.plus(-1))
    }

    /// All tables of the EHR but those of [`super::survey`].
    pub fn write_ehr(&mut self) {
        self.demographics();
        let visits = self.visits();
        let conditions = self.chronic();
        let mut rng = Rng::new(self.seed, Purpose::Visit, u64::from(self.index), 1);
        let onsets: Vec<usize> = (0..conditions.len())
            .map(|_| rng.below(visits.len() as u64 / 2 + 1) as usize)
            .collect();
        self.body(&mut rng, &visits[0]);
        for (v, visit) in visits.iter().enumerate() {
            for (condition, &onset) in conditions.iter().zip(&onsets) {
                if v == onset || (v > onset && rng.permille(350)) {
                    self.condition(condition.0, condition.1, visit, None);
                    if condition.2 != 0 {
                        self.drug(&mut rng, condition.2, visit, 90);
                    }
                }
            }
            if rng.permille(300) {
                let (concept, source) = ACUTE[rng.below(5) as usize];
                let days = rng.between(3, 14);
                self.condition(concept, source, visit, Some(days));
                if rng.permille(400) {
                    self.drug(&mut rng, 1_125_315, visit, 10);
                }
            }
            self.vitals(&mut rng, visit);
            self.procedure(&mut rng, visit);
        }
        self.note(&mut rng, &visits[0]);
        self.death();
    }

    fn demographics(&mut self) {
        let (person, index) = (self.person, self.index);
        let (year, month, day) = person.birth.civil();
        let mut rng = Rng::new(self.seed, Purpose::Person, u64::from(index), 4);
        let (race, race_text) = match GROUPS[person.group] {
            "afr" => (8516, "Black or African American"),
            "eas" | "sas" => (8515, "Asian"),
            "eur" | "mid" => (8527, "White"),
            "oth" => (8522, "Other"),
            _ if rng.permille(400) => (8527, "White"),
            _ => (0, ""),
        };
        let hispanic = GROUPS[person.group] == "amr" && rng.permille(920);
        let (ethnicity, ethnicity_text) =
            if hispanic { (38_003_563, "Hispanic") } else { (38_003_564, "Not Hispanic") };
        let (gender, gender_text) = if person.female { (8532, "F") } else { (8507, "M") };
        let site = self.site();
        let provider = site * 10 + i64::from(index % 4);
        let id = person.id;
        self.lines(Table::Person).row(format_args!(
            "{id},{gender},{year},{month},{day},{year:04}-{month:02}-{day:02} 00:00:00,{race},\
             {ethnicity},{site},{provider},{site},MRN-FAKE-{index:07},{gender_text},0,{race_text},0,\
             {ethnicity_text},0"
        ));
    }

    /// One of three care sites.
    fn site(&self) -> i64 {
        1 + i64::from(self.index % 3)
    }

    fn visits(&mut self) -> Vec<Visit> {
        let mut rng = Rng::new(self.seed, Purpose::Visit, u64::from(self.index), 0);
        let person = self.person;
        let start =
            rng.between(Day::new(2012, 1, 1).0, person.consent.0.min(self.last_day().0) - 1);
        let count = 3 + rng.below(4 + person.age() as u64 / 12);
        let mut days: Vec<i32> =
            (0..count).map(|_| rng.between(start, self.last_day().0)).collect();
        days.sort_unstable();
        let (site, last, id) = (self.site(), self.last_day(), person.id);
        let mut visits = Vec::new();
        let mut preceding = String::new();
        for day in days {
            let concept = [9202, 9203, 9201][rng.weighted(&[80, 12, 8])];
            let stay = if concept == 9201 { rng.between(1, 8) } else { 0 };
            let (start, end) = (Day(day), Day((day + stay).min(last.0)));
            let minute = 480 + rng.below(480) as u32;
            let visit = Visit { id: self.id(), concept, start, end, minute };
            let source =
                ["OP", "ER", "IP"][usize::from(concept != 9202) + usize::from(concept == 9201)];
            self.lines(Table::Visit).row(format_args!(
                "{},{id},{concept},{start},{},{end},{},32817,{},{site},{source},0,0,,0,,{preceding}",
                visit.id,
                Moment(start, minute),
                Moment(end, minute + 30),
                site * 10,
            ));
            preceding = visit.id.to_string();
            visits.push(visit);
        }
        let period = self.id();
        if let (Some(first), Some(end)) = (visits.first(), visits.iter().map(|v| v.end).max()) {
            let end = Day((end.0 + 60).min(last.0));
            let line = format_args!("{period},{id},{},{end},32817", first.start);
            self.feed[Table::ObservationPeriod as usize].row(line);
        }
        visits
    }

    fn chronic(&mut self) -> Vec<&'static Chronic> {
        const T2D: &Chronic = &Chronic(DIABETES, "E11.9", 1_503_297, 0, 0, 100, 100);
        let mut rng = Rng::new(self.seed, Purpose::Condition, u64::from(self.index), 0);
        let (age, female) = (self.person.age(), self.person.female);
        let mut found: Vec<&'static Chronic> = CHRONIC
            .iter()
            .chain([&BREAST_CANCER, &PROSTATE_CANCER])
            .filter(|c| rng.odds(c.odds(age, female)))
            .collect();
        self.hypertension = found.iter().any(|c| c.0 == 320_128);
        if self.diabetes {
            found.push(T2D);
        }
        found
    }

    fn condition(&mut self, concept: u32, source: &str, visit: &Visit, days: Option<i32>) {
        let (row, id, site, last) = (self.id(), self.person.id, self.site(), self.last_day());
        let end =
            days.map(|d| Day((visit.start.0 + d).min(last.0)).to_string()).unwrap_or_default();
        let source_concept = match source {
            "E11.9" => 35_206_882,
            "I10" => 35_207_668,
            _ => 0,
        };
        let at = Moment(visit.start, visit.minute);
        let (start, visit) = (visit.start, visit.id);
        self.lines(Table::Condition).row(format_args!(
            "{row},{id},{concept},{start},{at},{end},,32817,0,,{}1,{visit},,{source},\
             {source_concept},",
            site
        ));
    }

    fn drug(&mut self, rng: &mut Rng, concept: u32, visit: &Visit, days: i32) {
        let (row, id, site, last) = (self.id(), self.person.id, self.site(), self.last_day());
        let end = Day((visit.start.0 + days - 1).min(last.0));
        // Free text that a tier must null: directions that name a made-up pharmacy and telephone.
        let sig = if rng.permille(30) {
            "\"1 tablet daily, call Fake Pharmacy 555-0142\""
        } else {
            "1 tablet daily"
        };
        let (start, at) = (visit.start, Moment(visit.start, visit.minute + 20));
        self.lines(Table::Drug).row(format_args!(
            "{row},{id},{concept},{start},{at},{end},,,32817,,{},{days},{days},{sig},0,,{site}2,{},,\
             {},0,,",
            rng.below(4),
            visit.id,
            code(concept),
        ));
    }

    fn measurement(&mut self, concept: u32, tenths: i32, unit: u32, kind: u32, visit: &Visit) {
        self.measured((concept, 0), tenths, unit, kind, visit);
    }

    /// A measurement of a concept by way of its source concept, 0 for none.
    fn measured(
        &mut self,
        (concept, source_concept): (u32, u32),
        tenths: i32,
        unit: u32,
        kind: u32,
        visit: &Visit,
    ) {
        let (row, id, site) = (self.id(), self.person.id, self.site());
        let at = Moment(visit.start, visit.minute + 5);
        let known = if source_concept == 0 { concept } else { source_concept };
        let (start, source, unit_text) = (visit.start, code(known), code(unit));
        let (whole, tenth) = (tenths / 10, tenths % 10);
        self.lines(Table::Measurement).row(format_args!(
            "{row},{id},{concept},{start},{at},,{kind},0,{whole}.{tenth},0,{unit},,,{site}1,{},,\
             {source},{source_concept},{unit_text},0,{whole}.{tenth},,",
            visit.id
        ));
    }

    /// Height and weight, and the physical measurements of enrolment.
    fn body(&mut self, rng: &mut Rng, visit: &Visit) {
        let mean = if self.person.female { 1620.0 } else { 1760.0 };
        self.height = (mean + rng.normal() * 68.0) as i32;
        let shift = if self.diabetes { 35.0 } else { 0.0 };
        let bmi = (265.0 + shift + rng.normal() * 48.0).max(165.0) as i32;
        self.weight = (i64::from(bmi) * i64::from(self.height).pow(2) / 1_000_000) as i32;
        let start = Day(self.person.consent.0.min(self.last_day().0));
        let enrolment = Visit { id: visit.id, concept: 9202, start, end: start, minute: 600 };
        let systolic = self.systolic(rng);
        // Draws of their own: those of the rest of the chart stay as they are.
        let mut own = Rng::new(self.seed, Purpose::Survey, u64::from(self.index), 1);
        let pulse = own.between(55, 95) * 10;
        let waist = bmi * 3 + own.between(0, 100);
        let hip = waist + own.between(-50, 150);
        for (concept, source, tenths, unit) in [
            (3_036_277, 903_133, self.height, 8582),
            (3_025_315, 903_121, self.weight, 9529),
            (3_038_553, 903_124, bmi, 9531),
            (3_004_249, 903_118, systolic, 8876),
            (3_012_888, 903_115, systolic * 62 / 1000 * 10, 8876),
            (3_027_018, 903_126, pulse, 8541),
            (903_135, 903_135, waist, 8582),
            (903_136, 903_136, hip, 8582),
        ] {
            self.measured((concept, source), tenths, unit, 44_818_701, &enrolment);
        }
    }

    /// In tenths of mmHg, whole mmHg.
    fn systolic(&self, rng: &mut Rng) -> i32 {
        let raised = if self.hypertension { 14.0 } else { 0.0 };
        let mean = 102.0 + 0.4 * f64::from(self.person.age()) + raised;
        (mean + rng.normal() * 11.0).clamp(80.0, 220.0) as i32 * 10
    }

    fn vitals(&mut self, rng: &mut Rng, visit: &Visit) {
        if rng.permille(850) {
            let systolic = self.systolic(rng);
            self.measurement(3_004_249, systolic, 8876, 32_817, visit);
            self.measurement(3_012_888, systolic * 62 / 1000 * 10, 8876, 32_817, visit);
        }
        if rng.permille(500) {
            let rate = (72.0 + rng.normal() * 9.0).max(40.0) as i32 * 10;
            self.measurement(3_027_018, rate, 8541, 32_817, visit);
        }
        if rng.permille(500) {
            self.weight = (self.weight + rng.between(-25, 27)).max(350);
            self.measurement(3_025_315, self.weight, 9529, 32_817, visit);
        }
        if rng.permille(if self.diabetes { 800 } else { 150 }) {
            let (mean, spread) = if self.diabetes { (72.0, 12.0) } else { (54.0, 3.0) };
            let a1c = (mean + rng.normal() * spread).max(40.0) as i32;
            self.measurement(3_004_410, a1c, 8554, 32_817, visit);
        }
        if rng.permille(120) {
            let creatinine = (9.5 + rng.normal() * 1.8).max(4.0) as i32;
            self.measurement(3_016_723, creatinine, 8840, 32_817, visit);
        }
    }

    fn procedure(&mut self, rng: &mut Rng, visit: &Visit) {
        let age = self.person.birth.age(visit.start);
        let concept = match rng.below(10) {
            0 if age >= 45 => 4_249_893,
            1 if age >= 40 && self.person.female => 4_324_693,
            2 => 4_163_872,
            3 if visit.concept == 9203 => 4_125_906,
            4 if age >= 45 && self.person.female && rng.permille(150) => 4_047_494,
            _ => return,
        };
        let (row, id, site) = (self.id(), self.person.id, self.site());
        let (start, at) = (visit.start, Moment(visit.start, visit.minute + 10));
        self.lines(Table::Procedure).row(format_args!(
            "{row},{id},{concept},{start},{at},{start},,32817,0,1,{site}1,{},,{},0,",
            visit.id,
            code(concept),
        ));
    }

    /// Obviously made-up identifiers in free text, for privacy tests to look for.
    fn note(&mut self, rng: &mut Rng, visit: &Visit) {
        if !self.index.is_multiple_of(10) {
            return;
        }
        let (row, id, site, index) = (self.id(), self.person.id, self.site(), self.index);
        let (start, at) = (visit.start, Moment(visit.start, visit.minute + 15));
        let phone = rng.below(100);
        self.lines(Table::Note).row(format_args!(
            "{row},{id},{start},{at},32817,0,Progress note,\"Patient Testperson-{index:07}, MRN-FAKE-\
             {index:07}, phone 555-01{phone:02}, seen on {start}. Stable, \"\"no complaints\"\".\",0,\
             4180186,{site}1,{},,progress,,",
            visit.id
        ));
    }

    fn death(&mut self) {
        if let Some(day) = self.person.death {
            let id = self.person.id;
            self.lines(Table::Death)
                .row(format_args!("{id},{day},{day} 00:00:00,32817,4329847,I21.9,0"));
        }
    }
}
