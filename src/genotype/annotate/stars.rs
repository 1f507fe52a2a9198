//! ClinVar's review status in stars.

/// Statuses by their stars, as ClinVar publishes them ("Review status in ClinVar", table 1,
/// <https://www.ncbi.nlm.nih.gov/clinvar/docs/review_status/>), words joined by spaces, without commas; the
/// names of before 2024 (`interpretation`, `assertion provided`) among them.
const STATUSES: [(&str, i8); 13] = [
    ("practice guideline", 4),
    ("reviewed by expert panel", 3),
    ("criteria provided multiple submitters no conflicts", 2),
    ("criteria provided conflicting classifications", 1),
    ("criteria provided conflicting interpretations", 1),
    ("criteria provided single submitter", 1),
    ("no assertion criteria provided", 0),
    ("no classification provided", 0),
    ("no assertion provided", 0),
    ("no classification for the single variant", 0),
    ("no classification for the individual variant", 0),
    ("no interpretation for the single variant", 0),
    ("no classifications from unflagged records", 0),
];

/// The stars of a value of CLNREVSTAT (`criteria_provided,_single_submitter`); `None` for an unknown status.
pub fn of(value: &[u8]) -> Option<i8> {
    let text = String::from_utf8_lossy(value).to_ascii_lowercase();
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).collect();
    let status = words.join(" ");
    STATUSES.iter().find(|(name, _)| *name == status).map(|(_, stars)| *stars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_those_of_the_published_table() {
        for (value, stars) in [
            ("practice_guideline", Some(4)),
            ("reviewed_by_expert_panel", Some(3)),
            ("criteria_provided,_multiple_submitters,_no_conflicts", Some(2)),
            ("criteria_provided,_conflicting_interpretations", Some(1)),
            ("criteria_provided,_conflicting_classifications", Some(1)),
            ("criteria_provided,_single_submitter", Some(1)),
            ("no_assertion_criteria_provided", Some(0)),
            ("no_classification_for_the_single_variant", Some(0)),
            ("criteria_provided,_multiple_submitters", None),
            ("something_new", None),
            ("", None),
        ] {
            assert_eq!(of(value.as_bytes()), stars, "{value}");
        }
    }
}
