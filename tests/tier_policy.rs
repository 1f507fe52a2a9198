//! Policies held against themselves and the CDM; the committed ones above all.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail by panicking")]

use std::path::{Path, PathBuf};

use strata::config::Tier;
use strata::config::policy::{Action, DateBasis, TierPolicy};
use strata::omop::{CdmVersion, cdm};
use strata::tier::{check, explain};

fn committed(tier: &str) -> (PathBuf, TierPolicy) {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs/tiers");
    let path = configs.join(format!("{tier}.toml"));
    let policy = TierPolicy::read(&path).unwrap();
    (path, policy)
}

fn problems(head: &str, rules: &str) -> Vec<String> {
    let text = format!("[policy]\nname = \"p\"\ndescription = \"d\"\n{head}\n{rules}");
    let policy = TierPolicy::parse(&text, Path::new("p.toml")).unwrap();
    check(&policy).iter().map(ToString::to_string).collect()
}

const TRUE: &str = "tier = \"controlled\"\ndates = \"true\"\ngenomics = true";
const SHIFTED: &str = "tier = \"registered\"\ndates = \"shifted\"\ngenomics = false";

fn rule(id: &str, body: &str) -> String {
    format!("[[rule]]\nid = \"{id}\"\ndescription = \"d\"\n{body}\n")
}

#[test]
fn committed_policies_pass() {
    for (name, tier, dates, genomics) in [
        ("controlled", Tier::Controlled, DateBasis::True, true),
        ("registered", Tier::Registered, DateBasis::Shifted, false),
        ("controlled-plus", Tier::Controlled, DateBasis::True, true),
        ("minimal", Tier::Controlled, DateBasis::True, false),
        ("safe-harbor", Tier::Registered, DateBasis::Year, false),
    ] {
        let (path, policy) = committed(name);
        assert_eq!(check(&policy), [], "{name}");
        let head = &policy.policy;
        assert_eq!((head.tier, head.dates, head.genomics), (tier, dates, genomics));
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().next(), Some("#:schema ../schema/tier.json"));
        for version in [CdmVersion::V5_3, CdmVersion::V5_4] {
            for line in explain(&policy, cdm(version)) {
                assert!(!line.tables.is_empty(), "{} touches nothing in {version:?}", line.id);
            }
        }
    }
}

/// Whatever ends in a table of the Registered tier may end with the data, and is told by a rule for that, or is of a
/// stream, or is the day of an answer.
#[test]
fn every_end_in_the_registered_tier_may_be_open() {
    let (_, registered) = committed("registered");
    let rules = || registered.rules.iter().map(|rule| &rule.action);
    let is_end = |name: &str| name.contains("end_date") || name.starts_with("last_");
    let mut ends = 0;
    for table in cdm(CdmVersion::V5_5).tables().filter(|table| table.person_field) {
        let elsewhere = rules().any(|action| match action {
            Action::SuppressTables { tables } => tables.iter().any(|t| t == table.name),
            Action::TruncateEdges(edges) => edges.tables.iter().any(|t| t == table.name),
            _ => false,
        });
        if elsewhere || table.name.starts_with("survey_") {
            continue;
        }
        for field in table.fields.iter().filter(|field| is_end(field.name)) {
            let column = format!("{}.{}", table.name, field.name);
            let told = rules().any(|action| match action {
                Action::OpenEnds { columns } => columns.contains(&column),
                Action::NullColumns { columns, .. } => columns.contains(&column),
                _ => false,
            });
            assert!(told, "{column}");
            ends += 1;
        }
    }
    assert!(ends > 15, "{ends}");
}

/// What is suppressed in the Controlled tier is suppressed in the Registered tier too.
#[test]
fn the_registered_policy_is_stricter() {
    let (_, controlled) = committed("controlled");
    let (_, registered) = committed("registered");
    for rule in &controlled.rules {
        let same = registered.rules.iter().any(|r| r.action == rule.action);
        // Dates are shifted there, zip codes and every other text are null, places are in the questions.
        // People are generalised further, and the state is one of the generalised answers.
        let other = [
            "birth_date",
            "places",
            "first_years",
            "zip3",
            "free_text",
            "state_of_answers",
            "race_of_person",
            "gender_of_person",
        ];
        assert!(
            same || other.contains(&rule.id.as_str()),
            "{} is not in the registered policy",
            rule.id
        );
    }
}

#[test]
fn explain_names_the_columns() {
    let (_, policy) = committed("registered");
    let lines = explain(&policy, cdm(CdmVersion::V5_4));
    let columns = |id: &str, table: &str| {
        let line = lines.iter().find(|l| l.id == id).unwrap();
        line.tables.get(table).cloned().unwrap_or_default()
    };
    assert_eq!(
        columns("birth_date", "person"),
        ["month_of_birth", "day_of_birth", "birth_datetime"]
    );
    assert_eq!(columns("age_89", "drug_exposure"), ["*"]);
    assert_eq!(columns("notes_and_places", "note"), ["*"]);
    assert_eq!(columns("date_shift", "death"), ["death_date", "death_datetime"]);
    assert!(columns("date_shift", "concept").is_empty());
    assert!(columns("free_text", "measurement").contains(&"measurement_time".to_owned()));
}

#[test]
fn everything_wrong_is_said_at_once_with_the_nearest_name() {
    let shift = rule("s", "kind = \"shift_dates\"");
    let cases: &[(&str, String, &str)] = &[
        (TRUE, shift.clone(), "contradict"),
        (SHIFTED, String::new(), "needs a shift_dates rule"),
        (SHIFTED, format!("{shift}{}", rule("t", "kind = \"shift_dates\"")), "more than one"),
        (&TRUE.replace("\"true\"", "\"shifted\""), shift.clone(), "never holds the shift key"),
        (&SHIFTED.replace("shifted", "true"), String::new(), "needs dates = \"shifted\""),
        (&SHIFTED.replace("false", "true"), shift.clone(), "only the controlled tier has genomics"),
        (&TRUE.replace("controlled", "public"), String::new(), "controlled or registered"),
        (TRUE, rule("n", "kind = \"suppress_tables\"\ntables = [\"notes\"]"), "did you mean note?"),
        (
            TRUE,
            rule("n", "kind = \"suppress_tables\"\ntables = [\"person\"]"),
            "cannot be left out",
        ),
        (
            TRUE,
            rule("n", "kind = \"null_columns\"\ncolumns = [\"person.provider_ids\"]"),
            "did you mean provider_id?",
        ),
        (
            TRUE,
            rule("n", "kind = \"null_columns\"\ncolumns = [\"persn.provider_id\"]"),
            "did you mean person?",
        ),
        (
            TRUE,
            rule("n", "kind = \"null_columns\"\ncolumns = [\"provider_id\"]"),
            "write table.column",
        ),
        (TRUE, rule("n", "kind = \"null_columns\"\ncolumns = [\"death.person_id\"]"), "is a key"),
        (TRUE, rule("n", "kind = \"null_columns\"\ncolumns = [\"note.note_id\"]"), "is a key"),
        (
            TRUE,
            rule("n", "kind = \"null_columns\"\ncolumns = [\"concept.concept_name\"]"),
            "as they are",
        ),
        (
            TRUE,
            rule("n", "kind = \"null_free_text\"\nexcept = [\"*.nothing_at_all\"]"),
            "names no column",
        ),
        (TRUE, rule("n", "kind = \"suppress_concepts\"\nconcepts = []"), "concepts is empty"),
        (
            TRUE,
            rule("n", "kind = \"suppress_concepts\"\nconcepts = [1]\ncolumns = [\"*.note_text\"]"),
            "no concept-id column",
        ),
        (TRUE, rule("n", "kind = \"remove_people_by_age\"\nmin_age = 0"), "1 to 120"),
        (TRUE, rule("withdrawn", "kind = \"null_free_text\""), "built-in reason"),
        (TRUE, rule("Bad id", "kind = \"null_free_text\""), "a-z"),
        (TRUE, rule("a", "kind = \"null_free_text\"").repeat(2), "another rule"),
        (
            SHIFTED,
            format!("{shift}{}", rule("a", "kind = \"remove_people_by_age\"\nmin_age = 89")),
            "before shift_dates",
        ),
        (
            SHIFTED,
            format!("{}{shift}", rule("a", "kind = \"reduce_birth_date\"\nto = \"year\"")),
            "after shift_dates",
        ),
    ];
    for (head, rules, expected) in cases {
        let found = problems(head, rules);
        assert!(found.iter().any(|p| p.contains(expected)), "{expected}: {found:?}");
    }
    let many = rule("Bad id", "kind = \"null_columns\"\ncolumns = [\"a.b\", \"note.note_txt\"]");
    let text = rule("text", "kind = \"null_free_text\"");
    assert_eq!(problems(TRUE, &format!("{many}{text}")).len(), 3);
    assert_eq!(problems(TRUE, &text), [""; 0]);
    let kept = rule("text", "kind = \"null_free_text\"\nexcept = [\"*.*_source_*\"]");
    assert_eq!(problems(TRUE, &kept).len(), 2, "original ids stay");
}

#[test]
fn the_schema_of_policies_knows_every_key() {
    let schema = serde_json::to_string(&schemars::schema_for!(TierPolicy)).unwrap();
    for key in
        ["min_age", "allow_missing", "june_15", "shift_dates", "genomics", "suppress_concepts"]
    {
        assert!(schema.contains(&format!("\"{key}\"")), "{key}");
    }
    assert!(schema.contains("\"additionalProperties\":false"));
}

/// Rules of `a` that `b` lacks (-), has besides (+) or has otherwise (~), by id.
fn difference(a: &str, b: &str) -> Vec<String> {
    let [a, b] = [a, b].map(|name| committed(name).1.rules);
    let mut lines = Vec::new();
    for rule in &a {
        match b.iter().find(|r| r.id == rule.id) {
            None => lines.push(format!("-{}", rule.id)),
            Some(other) if other.action != rule.action => lines.push(format!("~{}", rule.id)),
            Some(_) => {}
        }
    }
    let more = b.iter().filter(|rule| !a.iter().any(|r| r.id == rule.id));
    lines.extend(more.map(|rule| format!("+{}", rule.id)));
    lines
}

/// A rule that slips from one pack into another shows here.
#[test]
fn packs_differ_in_these_rules_and_no_others() {
    assert_eq!(difference("controlled", "controlled-plus"), ["-vehicle_accidents"]);
    assert_eq!(
        difference("controlled", "registered"),
        [
            "-state_of_answers",
            "-places",
            "-first_years",
            "~race_of_person",
            "~gender_of_person",
            "-zip3",
            "~birth_date",
            "~free_text",
            "+age_89",
            "+dated_surveys",
            "+survey_versions",
            "+generalised_answers",
            "+health_service_answers",
            "+registered_questions",
            "+registered_surveys",
            "+ehr_demographics",
            "+ehr_answers",
            "+reported_causes",
            "+recent_concepts",
            "+race",
            "+orientation",
            "+gender",
            "+sex_at_birth",
            "+education",
            "+employment",
            "+insurance",
            "+indian_health_service",
            "+state_of_sites",
            "+state",
            "+stream_edges",
            "+open_ends",
            "+clock_changes",
            "+clock_changes_asleep",
            "+clock_changes_by_day",
            "+clock_changes_by_zone",
            "+date_shift",
            "+cause_of_death",
            "+summary_of_people",
            "+source_concepts",
        ]
    );
}

#[test]
fn the_safe_harbor_differs_in_these_rules_and_no_others() {
    assert_eq!(
        difference("controlled", "safe-harbor"),
        [
            "-state_of_answers",
            "-vehicle_accidents",
            "-cancer_answers",
            "-wear_consent",
            "-first_years",
            "-race_of_person",
            "-gender_of_person",
            "~zip3",
            "-birth_date",
            "~free_text",
            "+devices_and_minutes",
            "+ehr_demographics",
            "+ages_of_people",
            "+years",
        ]
    );
}

#[test]
fn surveys_with_true_dates_are_refused_unless_it_is_accepted() {
    let body = "kind = \"leave_dates_true\"\nconcepts = [2100000002]\n\
                columns = [\"survey_answer.survey_version_concept_id\"]";
    let shift = rule("s", "kind = \"shift_dates\"");
    let found = problems(SHIFTED, &format!("{}{shift}", rule("covid", body)));
    assert!(found.iter().any(|p| p.contains("reveal the shift")), "{found:?}");
    let accepted = format!("{body}\ni_accept_that_this_reveals_the_shift = true");
    let found = problems(SHIFTED, &format!("{}{shift}", rule("covid", &accepted)));
    assert!(!found.iter().any(|p| p.contains("rule covid")), "{found:?}");
    let found = problems(SHIFTED, &format!("{shift}{}", rule("covid", &accepted)));
    assert!(found.iter().any(|p| p.contains("before shift_dates")), "{found:?}");
    for name in ["registered", "controlled", "controlled-plus", "minimal", "safe-harbor"] {
        let kinds = committed(name).1.rules.into_iter().map(|rule| rule.action.kind_name());
        assert!(!kinds.collect::<Vec<_>>().contains(&"leave_dates_true"), "{name}");
    }
}

#[test]
fn years_are_said_of_the_files_and_made_by_one_rule() {
    let year = SHIFTED.replace("\"shifted\"", "\"year\"");
    let by_rule = rule("y", "kind = \"reduce_dates_to_year\"\nmax_age = 89");
    for (head, rules, expected) in [
        (&*year, String::new(), "needs a reduce_dates_to_year rule"),
        (SHIFTED, by_rule.clone(), "needs dates = \"year\""),
        (&*year, format!("{by_rule}{}", rule("s", "kind = \"shift_dates\"")), "contradict"),
        (&*year, by_rule.replace("89", "0"), "1 to 120"),
    ] {
        let found = problems(head, &rules);
        assert!(found.iter().any(|p| p.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn lists_of_concepts_are_checked() {
    let dir = tempfile::tempdir().unwrap();
    let head = format!("[policy]\nname = \"p\"\ndescription = \"d\"\n{TRUE}\n");
    let body = "kind = \"suppress_concepts\"\nfile = \"x.csv\"\nconcepts = [7]";
    std::fs::write(dir.path().join("p.toml"), format!("{head}{}", rule("a", body))).unwrap();
    let read = |lines: &str| {
        let text = format!("concept_id,category,reason,date_added,decision\n{lines}");
        std::fs::write(dir.path().join("x.csv"), text).unwrap();
        TierPolicy::read(&dir.path().join("p.toml")).map_err(|e| e.to_string())
    };
    // Suppressing wins between categories, blank suppresses, and the rule's own ids stay.
    let lines = "5,a,r,2024-01-01,release\n5,b,r,2024-01-01,\n6,a,r,2024-01-01,release\n";
    let policy = read(lines).unwrap();
    let strata::config::policy::Action::SuppressConcepts(set) = &policy.rules[0].action else {
        panic!("another kind")
    };
    assert_eq!(set.concepts, [5, 7]);
    for (lines, message) in [
        ("987654,a,r,2024-01-01,release\n987654,a,r,2024-01-01,suppress\n", "both suppresses"),
        ("987654,,r,2024-01-01,\n", "category"),
        ("987654,a,,2024-01-01,\n", "reason"),
        ("987654,a,r,soon,\n", "another kind"),
        ("987654,a,r,2024-01-01,maybe\n", "suppress, release or blank"),
    ] {
        let error = read(lines).unwrap_err();
        assert!(error.contains(message) && error.contains("x.csv, line"), "{error}");
        assert!(!error.contains("987654"), "{error}");
    }
    std::fs::remove_file(dir.path().join("x.csv")).unwrap();
    assert!(TierPolicy::read(&dir.path().join("p.toml")).is_err());
}

#[test]
fn parameters_are_checked() {
    let codes = "kind = \"suppress_concepts\"\ncodes = [{ vocabulary = \"v\", regex = \"(\" }]";
    let keep = "kind = \"generalise_values\"\nquestion = [1]\ngroups = [{ from = [1], to = 2 }]\nkeep = [3]";
    let twice = "kind = \"generalise_values\"\nquestion = [1]\ngroups = [{ from = [1], to = 2 }, { from = [1], to = 3 }]";
    let near = "kind = \"drop_near_birth\"\nyears = 0";
    let zip = "kind = \"zip3\"\nquestion = [1]\nmin_population = 20001";
    for (body, expected) in [
        (codes, "no regular expression"),
        (keep, "keep needs otherwise"),
        (twice, "in two groups"),
        (near, "years must be"),
        (zip, "needs a file"),
        ("kind = \"null_free_text\"\nafter = [\"b\"]", "there is no rule b"),
        ("kind = \"null_free_text\"\nafter = [\"a\"]", "after the rule a"),
    ] {
        let found = problems(TRUE, &rule("a", body));
        assert!(found.iter().any(|p| p.contains(expected)), "{expected}: {found:?}");
    }
}

/// No column of people that is named for a day or a time is left as it is in the shifted tier.
#[test]
fn every_column_named_for_a_time_is_moved_or_null() {
    let (_, policy) = committed("registered");
    for version in [CdmVersion::V5_3, CdmVersion::V5_4, CdmVersion::V5_5] {
        let lines = explain(&policy, cdm(version));
        let touched = |table: &str, column: &str| {
            let kinds = ["shift_dates", "null_columns", "null_free_text", "reduce_birth_date"];
            let mut lines = lines.iter().filter(|line| kinds.contains(&line.kind.as_str()));
            lines.any(|line| line.tables.get(table).is_some_and(|c| c.iter().any(|c| c == column)))
        };
        let moved = lines.iter().find(|line| line.id == "date_shift").unwrap();
        for table in moved.tables.keys() {
            for field in &cdm(version).table(table).unwrap().fields {
                let ends = ["_date", "_datetime", "_time", "_birth"];
                if ends.iter().any(|end| field.name.ends_with(end)) {
                    assert!(touched(table, field.name), "{table}.{}", field.name);
                }
            }
        }
    }
}
