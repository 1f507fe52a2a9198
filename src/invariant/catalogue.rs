//! The invariants as data: id, what holds, where it comes from, what a look at it needs.

use std::fmt::Write as _;

use serde::Serialize;

/// What it takes to look at an invariant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Needs {
    /// The release alone: checked by every run and by `strata verify`.
    Release,
    /// Keys, roster and the records that the tiers were made of: checked by the run that makes a release.
    Origin,
}

/// One promise of a release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Invariant {
    /// Stable id.
    pub id: &'static str,
    /// What holds.
    pub title: &'static str,
    /// For which tiers: what in a policy makes it apply.
    pub applies: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    /// What a look at it needs.
    pub needs: Needs,
}

const fn of(
    id: &'static str,
    needs: Needs,
    title: &'static str,
    applies: &'static str,
    source: &'static str,
) -> Invariant {
    Invariant { id, title, applies, source, needs }
}

use Needs::{Origin, Release};

const ANY: &str = "every tier";
const QC: &str = "release checks of All of Us";

static ALL: [Invariant; 34] = [
    of(
        "columns_declared",
        Release,
        "Every table is one of the declared tables, with exactly the declared columns, types and order.",
        ANY,
        "an unknown column is an error",
    ),
    of(
        "tables_left_out",
        Release,
        "Tables that the policy leaves out, and tables that no person is tied to, have no rows.",
        ANY,
        "TableSuppression",
    ),
    of(
        "columns_null",
        Release,
        "Columns that the policy makes null are null in every row, and so are ids that may point into any table.",
        ANY,
        "IDFieldSuppression",
    ),
    of(
        "free_text_null",
        Release,
        "Text is null but for the columns, and the questions, that the policy lets stand.",
        "null_free_text",
        "StringFieldsSuppression",
    ),
    of(
        "concepts_suppressed",
        Release,
        "No concept field holds a concept that the policy removes; the sets are worked out anew from the vocabulary of the release.",
        "suppress_concepts",
        QC,
    ),
    of(
        "concepts_recent",
        Release,
        "No concept field holds a concept that began too short before the reference date.",
        "drop_recent_concepts",
        "RecentConceptSuppression",
    ),
    of(
        "birth_reduced",
        Release,
        "Month and day of birth are null, and the time of birth is 15 June of the year, or null, as the policy says.",
        "reduce_birth_date",
        QC,
    ),
    of(
        "dates_in_range",
        Release,
        "No date is after the cut-off (of moved dates: the day before the reference date) nor before the first year that curation believes.",
        "dates_in_range of curation, shift_dates",
        QC,
    ),
    of(
        "dates_since_birth",
        Release,
        "No record before the year of birth, or before the first year the policy allows; in a tier of moved dates a year of grace, as the shift may cross a new year.",
        "since_birth of curation, drop_near_birth",
        QC,
    ),
    of(
        "edges_cut",
        Release,
        "No row of a stream is in the days where the streams of some people have ended.",
        "truncate_edges",
        "edge truncation",
    ),
    of(
        "ages_by_year",
        Release,
        "No person is too old for the tier, by the released year of birth with the largest shift taken off.",
        "remove_people_by_age",
        QC,
    ),
    of(
        "answers_generalised",
        Release,
        "No answer to a question that the policy makes coarser is one of the fine ones.",
        "generalise_values",
        QC,
    ),
    of(
        "answers_closed",
        Release,
        "Sex at birth, education and employment are of the closed sets of All of Us; for employment an answer that is none (skip, prefer not to answer) is not looked at.",
        "generalise_values of 1585845, 1585940 or 1585952",
        QC,
    ),
    of(
        "one_answer",
        Release,
        "Where several answers become one (race, gender), a person has one row.",
        "generalise_values with when_several and keep_latest",
        QC,
    ),
    of(
        "skips",
        Release,
        "Rows of skipped questions (PMI_Skip) say 903096 or 2000000010, or what the policy makes of a skip.",
        "observation.value_source_value stands",
        QC,
    ),
    of(
        "zip3",
        Release,
        "A zip code is three digits and **, and no number.",
        "zip3",
        "GeneralizeZipCodes",
    ),
    of(
        "survey_conducts",
        Release,
        "Every survey_conduct_id is the questionnaire_response_id of an observation, and the other way round. Told, without stopping a run: rules remove surveys and answers each by their own dates and concepts.",
        "survey_conduct and observation.questionnaire_response_id have values",
        QC,
    ),
    of("wearables_people", Release, "People of wearables are in person.", "wearables", QC),
    of(
        "wearables_dates",
        Release,
        "Everybody with rows in a table of wearables has a day there that is not after the cut-off.",
        "wearables",
        QC,
    ),
    of(
        "devices_new",
        Release,
        "Ids of wearable devices are 32 hexadecimal digits, as new ones are.",
        "wearables",
        "DeidFitbitDeviceId",
    ),
    of(
        "same_sources",
        Release,
        "A person's rows of wearables in the narrower tier are of sources the person has in the wider one.",
        "shared ids, src_id stands in both tiers",
        QC,
    ),
    of(
        "genomics_left_out",
        Release,
        "A tier whose policy has no genomics has no file of them, and its person_summary says of nobody that there are any.",
        "genomics = false",
        "no genomics in Registered",
    ),
    of(
        "date_basis",
        Release,
        "Every file says of its dates what the policy says.",
        ANY,
        "file metadata",
    ),
    of(
        "books_balance",
        Release,
        "Rows in are rows out and rows excluded, and rows out are the rows in the footers.",
        ANY,
        "nothing is lost in silence",
    ),
    of(
        "rows_not_more",
        Release,
        "A table has no more rows in the tier of moved dates than in that of true ones, rows that only the latter's rules remove added.",
        "both tiers",
        QC,
    ),
    of(
        "person_ids_new",
        Origin,
        "Every person_id is the research id of somebody who takes part and not that person's own; a chance hit of another person's raw id is none.",
        ANY,
        QC,
    ),
    of(
        "consents",
        Origin,
        "Everybody with a row of a table that providers alone fill has consented to health records, everybody with a sample to genomics, and all take part.",
        ANY,
        "roster",
    ),
    of(
        "row_ids_new",
        Origin,
        "No row id is a raw one; a chance hit is told apart as the key leads back from it to a raw id.",
        ANY,
        QC,
    ),
    of(
        "sample_ids_new",
        Origin,
        "No text of the genomic sample tables, and no file name, is the id of a sample.",
        "genomics",
        QC,
    ),
    of(
        "ages_exact",
        Origin,
        "No person is too old for the tier by the true birth date.",
        "remove_people_by_age",
        QC,
    ),
    of(
        "people_subset",
        Origin,
        "People of the tier of moved dates are among those of the tier of true ones.",
        "both tiers, unless the latter removes people that the former keeps",
        QC,
    ),
    of(
        "people_left_out",
        Origin,
        "People who are only in the tier of true dates are too old for the other.",
        "both tiers",
        QC,
    ),
    of(
        "shift_range",
        Origin,
        "Every shift is 1 to 364 days, and of whole weeks where the programme says so.",
        "shift_dates",
        "DateShift",
    ),
    of(
        "shift_exact",
        Origin,
        "Moved dates are the true ones less the person's shift: all dates of all rows of up to 16 people, spread over all, row by row.",
        "both tiers",
        QC,
    ),
];

/// All invariants, in the order in which they are told of.
pub fn all() -> &'static [Invariant] {
    &ALL
}

/// The invariant called `id`.
pub(super) fn get(id: &str) -> Option<&'static Invariant> {
    ALL.iter().find(|invariant| invariant.id == id)
}

/// The page of the documentation that lists them.
pub fn docs() -> String {
    let mut page = String::from(
        "# Invariants of a release\n\n\
         What every release promises, checked by `strata run` before the commit, where a violation stops the \
         run and nothing is published, and by `strata verify` at any time. Which of them apply to a tier is \
         read off its policy. One that found nothing to look at is *not applicable*, which is not a pass. The \
         results are in `quality/invariants.json` and `quality/invariants.parquet` of the release: by \
         invariant and tier how much was looked at, how often it was not as promised, and where.\n\n\
         This page is made from the list in the program (`STRATA_UPDATE_DOCS=1 cargo test --test invariant`).\n\n\
         ## Of the release alone\n\n\
         Looked at by every run and by `strata verify`.\n\n",
    );
    table(&mut page, Release);
    page.push_str(
        "\n## With what the release was made of\n\n\
         Looked at by the run, in its own process: keys, shifts and raw ids are at hand there and are written \
         nowhere. `strata verify` repeats what the run found.\n\n",
    );
    table(&mut page, Origin);
    page
}

fn table(page: &mut String, needs: Needs) {
    page.push_str("| id | what holds | applies to | source |\n| --- | --- | --- | --- |\n");
    for of in ALL.iter().filter(|of| of.needs == needs) {
        // Writing to a string cannot fail.
        let _ = writeln!(page, "| `{}` | {} | {} | {} |", of.id, of.title, of.applies, of.source);
    }
}
