//! The concepts that the programme uses, with their real OMOP ids, and a small hierarchy, laid out as
//! an Athena download: TAB between fields, no quotes, dates as `YYYYMMDD`.

use std::collections::BTreeMap;
use std::path::Path;

use super::feed::{Lines, TableTruth, TableWriter};
use crate::error::IoError;

/// One concept: id, name, domain, vocabulary, class, standard flag, code.
type Concept =
    (u32, &'static str, &'static str, &'static str, &'static str, &'static str, &'static str);

const CONDITION: &str = "Condition";
const SNOMED: &str = "SNOMED";
const FINDING: &str = "Clinical Finding";

/// Concepts outside the PPI vocabulary.
const CONCEPTS: &[Concept] = &[
    (0, "No matching concept", "Metadata", "None", "Undefined", "", "No matching concept"),
    (8507, "MALE", "Gender", "Gender", "Gender", "S", "M"),
    (8532, "FEMALE", "Gender", "Gender", "Gender", "S", "F"),
    (8515, "Asian", "Race", "Race", "Race", "S", "2"),
    (8516, "Black or African American", "Race", "Race", "Race", "S", "3"),
    (8522, "Other Race", "Race", "Race", "Race", "", "6"),
    (8527, "White", "Race", "Race", "Race", "S", "5"),
    (38003563, "Hispanic or Latino", "Ethnicity", "Ethnicity", "Ethnicity", "S", "Hispanic"),
    (
        38003564,
        "Not Hispanic or Latino",
        "Ethnicity",
        "Ethnicity",
        "Ethnicity",
        "S",
        "Not Hispanic",
    ),
    (9201, "Inpatient Visit", "Visit", "Visit", "Visit", "S", "IP"),
    (9202, "Outpatient Visit", "Visit", "Visit", "Visit", "S", "OP"),
    (9203, "Emergency Room Visit", "Visit", "Visit", "Visit", "S", "ER"),
    (8541, "per minute", "Unit", "UCUM", "Unit", "S", "/min"),
    (8554, "percent", "Unit", "UCUM", "Unit", "S", "%"),
    (8582, "centimeter", "Unit", "UCUM", "Unit", "S", "cm"),
    (8840, "milligram per deciliter", "Unit", "UCUM", "Unit", "S", "mg/dL"),
    (8876, "millimeter mercury column", "Unit", "UCUM", "Unit", "S", "mm[Hg]"),
    (9529, "kilogram", "Unit", "UCUM", "Unit", "S", "kg"),
    (9531, "kilogram per square meter", "Unit", "UCUM", "Unit", "S", "kg/m2"),
    (32817, "EHR", "Type Concept", "Type Concept", "Type Concept", "S", "OMOP4976890"),
    (
        32865,
        "Patient self-report",
        "Type Concept",
        "Type Concept",
        "Type Concept",
        "S",
        "OMOP4976938",
    ),
    (
        44818701,
        "From physical examination",
        "Type Concept",
        "Meas Type",
        "Meas Type",
        "S",
        "OMOP generated",
    ),
    (441840, "Clinical finding", CONDITION, SNOMED, FINDING, "S", "404684003"),
    (134057, "Disorder of cardiovascular system", CONDITION, SNOMED, FINDING, "S", "49601007"),
    (320136, "Disorder of respiratory system", CONDITION, SNOMED, FINDING, "S", "50043002"),
    (432586, "Mental disorder", CONDITION, SNOMED, FINDING, "S", "74732009"),
    (443392, "Malignant neoplastic disease", CONDITION, SNOMED, FINDING, "S", "363346000"),
    (201820, "Diabetes mellitus", CONDITION, SNOMED, FINDING, "S", "73211009"),
    (316866, "Hypertensive disorder", CONDITION, SNOMED, FINDING, "S", "38341003"),
    (201826, "Type 2 diabetes mellitus", CONDITION, SNOMED, FINDING, "S", "44054006"),
    (201254, "Type 1 diabetes mellitus", CONDITION, SNOMED, FINDING, "S", "46635009"),
    (320128, "Essential hypertension", CONDITION, SNOMED, FINDING, "S", "59621000"),
    (432867, "Hyperlipidemia", CONDITION, SNOMED, FINDING, "S", "55822004"),
    (317009, "Asthma", CONDITION, SNOMED, FINDING, "S", "195967001"),
    (440383, "Depressive disorder", CONDITION, SNOMED, FINDING, "S", "35489007"),
    (442077, "Anxiety disorder", CONDITION, SNOMED, FINDING, "S", "197480006"),
    (80180, "Osteoarthritis", CONDITION, SNOMED, FINDING, "S", "396275006"),
    (318800, "Gastroesophageal reflux disease", CONDITION, SNOMED, FINDING, "S", "235595009"),
    (140673, "Hypothyroidism", CONDITION, SNOMED, FINDING, "S", "40930008"),
    (313217, "Atrial fibrillation", CONDITION, SNOMED, FINDING, "S", "49436004"),
    (4329847, "Myocardial infarction", CONDITION, SNOMED, FINDING, "S", "22298006"),
    (316139, "Heart failure", CONDITION, SNOMED, FINDING, "S", "84114007"),
    (255573, "Chronic obstructive pulmonary disease", CONDITION, SNOMED, FINDING, "S", "13645005"),
    (46271022, "Chronic kidney disease", CONDITION, SNOMED, FINDING, "S", "709044004"),
    (433736, "Obesity", CONDITION, SNOMED, FINDING, "S", "414916001"),
    (80502, "Osteoporosis", CONDITION, SNOMED, FINDING, "S", "64859006"),
    (318736, "Migraine", CONDITION, SNOMED, FINDING, "S", "37796009"),
    (198803, "Benign prostatic hyperplasia", CONDITION, SNOMED, FINDING, "S", "266569009"),
    (
        137809,
        "Primary malignant neoplasm of female breast",
        CONDITION,
        SNOMED,
        FINDING,
        "S",
        "372064008",
    ),
    (200962, "Primary malignant neoplasm of prostate", CONDITION, SNOMED, FINDING, "S", "93974005"),
    (28060, "Streptococcal sore throat", CONDITION, SNOMED, FINDING, "S", "43878008"),
    (40481087, "Viral sinusitis", CONDITION, SNOMED, FINDING, "S", "444814009"),
    (260139, "Acute bronchitis", CONDITION, SNOMED, FINDING, "S", "10509002"),
    (4112343, "Acute viral pharyngitis", CONDITION, SNOMED, FINDING, "S", "195662009"),
    (254761, "Cough", CONDITION, SNOMED, FINDING, "S", "49727002"),
    (
        35206882,
        "Type 2 diabetes mellitus without complications",
        CONDITION,
        "ICD10CM",
        "4-char billing code",
        "",
        "E11.9",
    ),
    (
        35207668,
        "Essential (primary) hypertension",
        CONDITION,
        "ICD10CM",
        "3-char billing code",
        "",
        "I10",
    ),
    (21600712, "DRUGS USED IN DIABETES", "Drug", "ATC", "ATC 2nd", "C", "A10"),
    (
        21601782,
        "AGENTS ACTING ON THE RENIN-ANGIOTENSIN SYSTEM",
        "Drug",
        "ATC",
        "ATC 2nd",
        "C",
        "C09",
    ),
    (21601853, "LIPID MODIFYING AGENTS", "Drug", "ATC", "ATC 2nd", "C", "C10"),
    (1503297, "metformin", "Drug", "RxNorm", "Ingredient", "S", "6809"),
    (1308216, "lisinopril", "Drug", "RxNorm", "Ingredient", "S", "29046"),
    (1545958, "atorvastatin", "Drug", "RxNorm", "Ingredient", "S", "83367"),
    (1154343, "albuterol", "Drug", "RxNorm", "Ingredient", "S", "435"),
    (739138, "sertraline", "Drug", "RxNorm", "Ingredient", "S", "36437"),
    (715939, "escitalopram", "Drug", "RxNorm", "Ingredient", "S", "321988"),
    (1177480, "ibuprofen", "Drug", "RxNorm", "Ingredient", "S", "5640"),
    (923645, "omeprazole", "Drug", "RxNorm", "Ingredient", "S", "7646"),
    (1501700, "levothyroxine", "Drug", "RxNorm", "Ingredient", "S", "10582"),
    (1310149, "warfarin", "Drug", "RxNorm", "Ingredient", "S", "11289"),
    (1112807, "aspirin", "Drug", "RxNorm", "Ingredient", "S", "1191"),
    (1125315, "acetaminophen", "Drug", "RxNorm", "Ingredient", "S", "161"),
    (
        3004410,
        "Hemoglobin A1c/Hemoglobin.total in Blood",
        "Measurement",
        "LOINC",
        "Lab Test",
        "S",
        "4548-4",
    ),
    (
        3016723,
        "Creatinine [Mass/volume] in Serum or Plasma",
        "Measurement",
        "LOINC",
        "Lab Test",
        "S",
        "2160-0",
    ),
    (
        3004249,
        "Systolic blood pressure",
        "Measurement",
        "LOINC",
        "Clinical Observation",
        "S",
        "8480-6",
    ),
    (
        3012888,
        "Diastolic blood pressure",
        "Measurement",
        "LOINC",
        "Clinical Observation",
        "S",
        "8462-4",
    ),
    (3027018, "Heart rate", "Measurement", "LOINC", "Clinical Observation", "S", "8867-4"),
    (3036277, "Body height", "Measurement", "LOINC", "Clinical Observation", "S", "8302-2"),
    (3025315, "Body weight", "Measurement", "LOINC", "Clinical Observation", "S", "29463-7"),
    (
        3038553,
        "Body mass index (BMI) [Ratio]",
        "Measurement",
        "LOINC",
        "Clinical Observation",
        "S",
        "39156-5",
    ),
    (4163872, "Plain chest X-ray", "Procedure", SNOMED, "Procedure", "S", "399208008"),
    (4249893, "Colonoscopy", "Procedure", SNOMED, "Procedure", "S", "73761001"),
    (4324693, "Mammography", "Procedure", SNOMED, "Procedure", "S", "71651007"),
    (4047494, "Biopsy of breast", "Procedure", SNOMED, "Procedure", "S", "122548005"),
    (4125906, "Suture open wound", "Procedure", SNOMED, "Procedure", "S", "288086009"),
];

/// Survey modules, questions and answers of the PPI vocabulary, and its physical measurements: id, name,
/// class, code. Questions follow their module, answers their question; those of `PMI_` belong to all. What
/// a COPE survey asks is made up.
const PPI: &[(u32, &str, &str, &str)] = &[
    (1586134, "The Basics", "Module", "TheBasics"),
    (1585838, "Gender: Gender Identity", "Question", "Gender_GenderIdentity"),
    (1585839, "Gender Identity: Man", "Answer", "GenderIdentity_Man"),
    (1585840, "Gender Identity: Woman", "Answer", "GenderIdentity_Woman"),
    (1585841, "Gender Identity: Non Binary", "Answer", "GenderIdentity_NonBinary"),
    (
        1585845,
        "Biological Sex At Birth: Sex At Birth",
        "Question",
        "BiologicalSexAtBirth_SexAtBirth",
    ),
    (1585846, "Sex At Birth: Male", "Answer", "SexAtBirth_Male"),
    (1585847, "Sex At Birth: Female", "Answer", "SexAtBirth_Female"),
    (1586140, "Race: What Race Ethnicity", "Question", "Race_WhatRaceEthnicity"),
    (1586142, "What Race Ethnicity: Asian", "Answer", "WhatRaceEthnicity_Asian"),
    (1586143, "What Race Ethnicity: Black", "Answer", "WhatRaceEthnicity_Black"),
    (1586144, "What Race Ethnicity: MENA", "Answer", "WhatRaceEthnicity_MENA"),
    (1586146, "What Race Ethnicity: White", "Answer", "WhatRaceEthnicity_White"),
    (1586147, "What Race Ethnicity: Hispanic", "Answer", "WhatRaceEthnicity_Hispanic"),
    (
        1586148,
        "What Race Ethnicity: Race Ethnicity None Of These",
        "Answer",
        "WhatRaceEthnicity_RaceEthnicityNoneOfThese",
    ),
    (1585940, "Education Level: Highest Grade", "Question", "EducationLevel_HighestGrade"),
    (1585943, "Highest Grade: Five Through Eight", "Answer", "HighestGrade_FiveThroughEight"),
    (1585944, "Highest Grade: Nine Through Eleven", "Answer", "HighestGrade_NineThroughEleven"),
    (1585945, "Highest Grade: Twelve Or GED", "Answer", "HighestGrade_TwelveOrGED"),
    (1585946, "Highest Grade: College One to Three", "Answer", "HighestGrade_CollegeOnetoThree"),
    (1585947, "Highest Grade: College Graduate", "Answer", "HighestGrade_CollegeGraduate"),
    (1585948, "Highest Grade: Advanced Degree", "Answer", "HighestGrade_AdvancedDegree"),
    (1585952, "Employment: Employment Status", "Question", "Employment_EmploymentStatus"),
    (
        1585953,
        "Employment Status: Employed For Wages",
        "Answer",
        "EmploymentStatus_EmployedForWages",
    ),
    (1585958, "Employment Status: Student", "Answer", "EmploymentStatus_Student"),
    (1585959, "Employment Status: Retired", "Answer", "EmploymentStatus_Retired"),
    (1585899, "The Basics: Sexual Orientation", "Question", "TheBasics_SexualOrientation"),
    (1585900, "Sexual Orientation: Straight", "Answer", "SexualOrientation_Straight"),
    (1585903, "Sexual Orientation: Bisexual", "Answer", "SexualOrientation_Bisexual"),
    (1585246, "PII Address: Street Address", "Question", "PIIAddress_StreetAddress"),
    (1585250, "Street Address: PII ZIP", "Question", "StreetAddress_PIIZIP"),
    (1585710, "Overall Health", "Module", "OverallHealth"),
    (1585711, "Overall Health: General Health", "Question", "OverallHealth_GeneralHealth"),
    (1585712, "General Health: Excellent", "Answer", "GeneralHealth_Excellent"),
    (1585713, "General Health: Very Good", "Answer", "GeneralHealth_VeryGood"),
    (1585714, "General Health: Good", "Answer", "GeneralHealth_Good"),
    (1585715, "General Health: Fair", "Answer", "GeneralHealth_Fair"),
    (1585716, "General Health: Poor", "Answer", "GeneralHealth_Poor"),
    (1585855, "Lifestyle", "Module", "Lifestyle"),
    (1585857, "Smoking: 100 Cigs Lifetime", "Question", "Smoking_100CigsLifetime"),
    (1585858, "100 Cigs Lifetime: Yes", "Answer", "100CigsLifetime_Yes"),
    (1585859, "100 Cigs Lifetime: No", "Answer", "100CigsLifetime_No"),
    (
        1585864,
        "Smoking: Average Daily Cigarette Number",
        "Question",
        "Smoking_AverageDailyCigaretteNumber",
    ),
    (1333342, "COVID-19 Participant Experience", "Module", "cope"),
    (2100000002, "COPE Survey May 2020", "Module", "cope_may"),
    (2100100001, "COPE: How Worried", "Question", "cope_HowWorried"),
    (2100100002, "How Worried: Not At All", "Answer", "HowWorried_NotAtAll"),
    (2100100003, "How Worried: Very", "Answer", "HowWorried_Very"),
    (903096, "PMI: Skip", "Answer", "PMI_Skip"),
    (903079, "PMI: Prefer Not To Answer", "Answer", "PMI_PreferNotToAnswer"),
    (903087, "PMI: Dont Know", "Answer", "PMI_DontKnow"),
    (903133, "Height", "Clinical Observation", "height"),
    (903121, "Weight", "Clinical Observation", "weight"),
    (903124, "Computed BMI", "Clinical Observation", "bmi"),
    (
        903118,
        "Computed systolic blood pressure, mean of 2nd and 3rd measures",
        "Clinical Observation",
        "blood-pressure-systolic-mean",
    ),
    (
        903115,
        "Computed diastolic blood pressure, mean of 2nd and 3rd measures",
        "Clinical Observation",
        "blood-pressure-diastolic-mean",
    ),
    (
        903126,
        "Computed heart rate, mean of 2nd and 3rd measures",
        "Clinical Observation",
        "heart-rate-mean",
    ),
    (
        903135,
        "Computed waist circumference, mean of closest two measures",
        "Clinical Observation",
        "waist-circumference-mean",
    ),
    (
        903136,
        "Computed hip circumference, mean of closest two measures",
        "Clinical Observation",
        "hip-circumference-mean",
    ),
];

/// Child and parent.
const PARENTS: &[(u32, u32)] = &[
    (134057, 441840),
    (320136, 441840),
    (432586, 441840),
    (443392, 441840),
    (201820, 441840),
    (316866, 134057),
    (201826, 201820),
    (201254, 201820),
    (320128, 316866),
    (313217, 134057),
    (4329847, 134057),
    (316139, 134057),
    (317009, 320136),
    (255573, 320136),
    (260139, 320136),
    (40481087, 320136),
    (28060, 320136),
    (4112343, 320136),
    (254761, 441840),
    (440383, 432586),
    (442077, 432586),
    (137809, 443392),
    (200962, 443392),
    (432867, 441840),
    (80180, 441840),
    (318800, 441840),
    (140673, 441840),
    (46271022, 441840),
    (433736, 441840),
    (80502, 441840),
    (318736, 441840),
    (198803, 441840),
    (1503297, 21600712),
    (1308216, 21601782),
    (1545958, 21601853),
];

/// Source concept and the standard one it maps to.
const MAPS: &[(u32, u32)] = &[(35206882, 201826), (35207668, 320128)];

/// The PPI code of a question or answer, or the concept code of any other concept; empty if unknown.
pub fn code(id: u32) -> &'static str {
    let clinical = CONCEPTS.iter().find(|c| c.0 == id).map(|c| c.6);
    clinical.or_else(|| PPI.iter().find(|c| c.0 == id).map(|c| c.3)).unwrap_or_default()
}

fn write_table(
    root: &Path,
    name: &str,
    header: &str,
    lines: &Lines,
) -> Result<TableTruth, IoError> {
    let mut table =
        TableWriter::create(root, &format!("vocabulary/{name}.csv"), &header.replace(',', "\t"))?;
    table.append(lines)?;
    table.finish()
}

/// Writes `vocabulary/`.
///
/// # Errors
/// When a file cannot be written.
pub fn write(root: &Path) -> Result<Vec<TableTruth>, IoError> {
    Ok(vec![
        write_table(
            root,
            "CONCEPT",
            "concept_id,concept_name,domain_id,vocabulary_id,concept_class_id,standard_concept,\
             concept_code,valid_start_date,valid_end_date,invalid_reason",
            &concepts(),
        )?,
        write_table(
            root,
            "CONCEPT_ANCESTOR",
            "ancestor_concept_id,descendant_concept_id,min_levels_of_separation,\
             max_levels_of_separation",
            &ancestors(),
        )?,
        write_table(
            root,
            "CONCEPT_RELATIONSHIP",
            "concept_id_1,concept_id_2,relationship_id,valid_start_date,valid_end_date,\
             invalid_reason",
            &relationships(),
        )?,
        write_table(
            root,
            "CONCEPT_SYNONYM",
            "concept_id,concept_synonym_name,language_concept_id",
            &of(&[
                "201826\tType II diabetes mellitus\t4180186",
                "320128\tPrimary hypertension\t4180186",
            ]),
        )?,
        write_table(
            root,
            "VOCABULARY",
            "vocabulary_id,vocabulary_name,vocabulary_reference,vocabulary_version,\
             vocabulary_concept_id",
            &vocabularies(),
        )?,
        write_table(root, "DOMAIN", "domain_id,domain_name,domain_concept_id", &distinct(|c| c.2))?,
        write_table(
            root,
            "CONCEPT_CLASS",
            "concept_class_id,concept_class_name,concept_class_concept_id",
            &distinct(|c| c.4),
        )?,
        write_table(
            root,
            "RELATIONSHIP",
            "relationship_id,relationship_name,is_hierarchical,defines_ancestry,\
             reverse_relationship_id,relationship_concept_id",
            &of(&[
                "Is a\tIs a\t1\t0\tSubsumes\t44818821",
                "Subsumes\tSubsumes\t1\t1\tIs a\t44818723",
                "Maps to\tNon-standard to Standard map (OMOP)\t0\t0\tMapped from\t44818977",
                "Mapped from\tStandard to Non-standard map (OMOP)\t0\t0\tMaps to\t44818976",
                "Has PPI parent code\tHas PPI parent code\t0\t0\tPPI parent code of\t0",
                "PPI parent code of\tPPI parent code of\t0\t0\tHas PPI parent code\t0",
            ]),
        )?,
        write_table(
            root,
            "DRUG_STRENGTH",
            "drug_concept_id,ingredient_concept_id,amount_value,amount_unit_concept_id,\
             numerator_value,numerator_unit_concept_id,denominator_value,\
             denominator_unit_concept_id,box_size,valid_start_date,valid_end_date,invalid_reason",
            &Lines::default(),
        )?,
    ])
}

fn of(rows: &[&str]) -> Lines {
    let mut lines = Lines::default();
    rows.iter().for_each(|row| lines.row(format_args!("{row}")));
    lines
}

fn all() -> impl Iterator<Item = Concept> {
    let ppi = PPI.iter().map(|&(id, name, class, code)| {
        let standard = if class == "Answer" { "" } else { "S" };
        let domain = if class == "Clinical Observation" { "Measurement" } else { "Observation" };
        (id, name, domain, "PPI", class, standard, code)
    });
    CONCEPTS.iter().copied().chain(ppi)
}

fn concepts() -> Lines {
    let mut lines = Lines::default();
    for (id, name, domain, vocabulary, class, standard, code) in all() {
        lines.row(format_args!(
            "{id}\t{name}\t{domain}\t{vocabulary}\t{class}\t{standard}\t{code}\t19700101\t20991231\t"
        ));
    }
    lines
}

/// Every standard or classification concept is its own ancestor; the rest follows [`PARENTS`], which is
/// a tree, so that the least and the greatest separation agree.
fn ancestors() -> Lines {
    let parents: BTreeMap<u32, u32> = PARENTS.iter().copied().collect();
    let mut lines = Lines::default();
    for (id, ..) in all().filter(|c| !c.5.is_empty() && c.3 != "PPI") {
        let (mut ancestor, mut levels) = (Some(id), 0);
        while let Some(a) = ancestor {
            lines.row(format_args!("{a}\t{id}\t{levels}\t{levels}"));
            ancestor = parents.get(&a).copied();
            levels += 1;
        }
    }
    for (child, parent) in ppi_parents().into_iter().filter(|(_, p)| is_module(*p)) {
        lines.row(format_args!("{parent}\t{child}\t1\t1"));
    }
    lines
}

fn is_module(id: u32) -> bool {
    PPI.iter().any(|c| c.0 == id && c.2 == "Module")
}

fn relationships() -> Lines {
    let mut lines = Lines::default();
    let mut pair = |a: u32, b: u32, there: &str, back: &str| {
        lines.row(format_args!("{a}\t{b}\t{there}\t19700101\t20991231\t"));
        lines.row(format_args!("{b}\t{a}\t{back}\t19700101\t20991231\t"));
    };
    for (id, ..) in all().filter(|c| c.5 == "S") {
        pair(id, id, "Maps to", "Mapped from");
    }
    MAPS.iter().for_each(|&(source, standard)| pair(source, standard, "Maps to", "Mapped from"));
    PARENTS.iter().for_each(|&(child, parent)| pair(child, parent, "Is a", "Subsumes"));
    for (child, parent) in ppi_parents() {
        pair(child, parent, "Has PPI parent code", "PPI parent code of");
    }
    lines
}

/// Questions and their modules, answers and their questions.
fn ppi_parents() -> Vec<(u32, u32)> {
    let (mut module, mut question) = (0, 0);
    let mut parents = Vec::new();
    for &(id, _, class, code) in PPI {
        match class {
            // A version of a module has no questions of its own.
            "Module" if code != "cope_may" => module = id,
            "Question" => {
                question = id;
                parents.push((id, module));
            }
            "Answer" if !code.starts_with("PMI_") => parents.push((id, question)),
            _ => {}
        }
    }
    parents
}

fn vocabularies() -> Lines {
    let mut lines = Lines::default();
    lines
        .row(format_args!("None\tOMOP Standardized Vocabularies\tstrata synth\tv5.0 31-AUG-25\t0"));
    for name in names(|c| c.3).into_iter().filter(|&n| n != "None") {
        lines.row(format_args!("{name}\t{name}\tstrata synth\tsubset\t0"));
    }
    lines
}

fn names(field: impl Fn(&Concept) -> &'static str) -> Vec<&'static str> {
    let mut names: Vec<_> = all().map(|c| field(&c)).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn distinct(field: impl Fn(&Concept) -> &'static str) -> Lines {
    let mut lines = Lines::default();
    names(field).iter().for_each(|name| lines.row(format_args!("{name}\t{name}\t0")));
    lines
}
