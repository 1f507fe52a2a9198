//! What a person has not consented to is nowhere; what the consent does not cover stays.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "support/programme.rs"]
mod programme;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use programme::{columns, strata, tables_below};

const ROSTER: &str = "person_id,primary_consent,ehr_consent,genomics_consent,withdrawal_status\n\
    9001,yes,yes,yes,not_withdrawn\n9002,yes,no,yes,not_withdrawn\n9003,yes,yes,yes,withdrawn\n";
const PERSON: &str = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,\
    race_concept_id,ethnicity_concept_id\n\
    9001,8507,1950,3,15,0,0\n9002,8532,1960,,,0,0\n9003,8532,1970,,,0,0\n";
/// One condition a person, so that its concept says whose it is.
const CONDITION: &str = "condition_occurrence_id,person_id,condition_concept_id,\
    condition_start_date,condition_type_concept_id\n\
    1,9001,40001,2015-05-01,32817\n2,9002,40002,2015-05-01,32817\n3,9003,40003,2015-05-01,32817\n";
const OBSERVATION: &str = "observation_id,person_id,observation_concept_id,observation_date,\
    observation_type_concept_id,value_as_number\n\
    1,9001,50001,2018-05-01,45905771,3\n2,9002,50002,2018-05-01,45905771,3\n\
    3,9003,50003,2018-05-01,45905771,3\n";
const STEPS: &str = "person_id,datetime,steps\n9001,2021-01-01 10:00:00,11\n\
    9002,2021-01-01 10:00:00,12\n9003,2021-01-01 10:00:00,13\n";

const HEAD: &str = "[workflow]\nname = \"c\"\nrelease = \"c\"\nreference_date = 2026-01-01\n\
    store = \"store\"\n[participants]\nroster = \"roster.csv\"\n\
    [identity]\nkey = { file = \"key\", create = true }\n";
const POLICY: &str = "[policy]\nname = \"p\"\ntier = \"controlled\"\ndescription = \"d\"\n\
    dates = \"true\"\ngenomics = false\n[[rule]]\nid = \"t\"\nkind = \"null_free_text\"\n\
    except = []\ndescription = \"d\"\n";
const SHIFTED: &str = "[policy]\nname = \"p\"\ntier = \"registered\"\ndescription = \"d\"\n\
    dates = \"shifted\"\ngenomics = false\n[[rule]]\nid = \"s\"\nkind = \"shift_dates\"\n\
    description = \"d\"\n[[rule]]\nid = \"t\"\nkind = \"null_free_text\"\nexcept = []\n\
    description = \"d\"\n";
const TIERS: &str =
    "[tier.controlled]\npolicy = \"c.toml\"\n[tier.registered]\npolicy = \"r.toml\"\n";

fn run(feeds: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("roster.csv", ROSTER);
    write("site/person.csv", PERSON);
    write("site/condition_occurrence.csv", CONDITION);
    write("own/person.csv", PERSON);
    write("own/observation.csv", OBSERVATION);
    write("worn/steps_intraday.csv", STEPS);
    write("c.toml", POLICY);
    write("r.toml", SHIFTED);
    write("w.toml", &format!("{HEAD}{feeds}{TIERS}"));
    strata(folder.path(), ["run", "w.toml", "--log-format", "json"]).done();
    folder
}

/// The values of a column over all files of a table in a tier of the current release.
fn values(folder: &Path, tier: &str, table: &str, column: &str) -> BTreeSet<String> {
    let store = folder.join("store");
    let release = programme::current(&store).unwrap();
    let files = tables_below(&store.join("releases").join(release).join(tier).join(table));
    files.iter().flat_map(|file| columns(file).remove(column).unwrap()).collect()
}

fn set(values: &[&str]) -> BTreeSet<String> {
    values.iter().map(|v| (*v).to_owned()).collect()
}

const SITE: &str = "[ehr.site]\npath = \"site\"\ncdm = \"5.4\"\n";
const OWN: &str = "[ehr.programme]\npath = \"own\"\ncdm = \"5.4\"\nsource = \"programme\"\n";
const WORN: &str = "[wearables.fitbit]\npath = \"worn\"\n";

#[test]
fn ehr_consent_is_asked_of_providers_records_alone() {
    let folder = run(&format!("{SITE}{OWN}{WORN}"));
    for tier in ["controlled", "registered"] {
        let held = |table, column| values(folder.path(), tier, table, column);
        assert_eq!(held("omop/condition_occurrence", "condition_concept_id"), set(&["40001"]));
        assert_eq!(held("omop/observation", "observation_concept_id"), set(&["50001", "50002"]));
        assert_eq!(held("wearables/steps_intraday", "steps"), set(&["11", "12"]));
        // The person row comes from the feed that may give it.
        assert_eq!(held("omop/person", "person_id").len(), 2);
        // Who refused has a summary, and no records in it.
        let (people, ehr) =
            (held("omop/person_summary", "person_id"), held("omop/person_summary", "has_ehr"));
        assert_eq!((people.len(), ehr), (2, set(&["0", "1"])));
    }
}

#[test]
fn a_providers_surveys_need_ehr_consent() {
    let folder = run(&format!("{SITE}{}", OWN.replace("source = \"programme\"\n", "")));
    let held = values(folder.path(), "controlled", "omop/observation", "observation_concept_id");
    assert_eq!(held, set(&["50001"]));
    assert_eq!(values(folder.path(), "controlled", "omop/person", "person_id").len(), 1);
}

#[test]
fn wearables_need_no_other_feed() {
    let folder = run(WORN);
    let held = values(folder.path(), "controlled", "wearables/steps_intraday", "steps");
    assert_eq!(held, set(&["11", "12"]));
    let shifted = values(folder.path(), "registered", "wearables/steps_intraday", "datetime");
    assert!(!shifted.contains("2021-01-01T10:00:00") && shifted.len() <= 2, "{shifted:?}");
}
