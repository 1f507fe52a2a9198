//! What can go wrong with keys, rosters and maps. Messages name files, lines and columns; they never
//! repeat an id, a date or a status word of the data.

use std::path::PathBuf;

use crate::error::{Coded, IoError};

/// A failed identity operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error(transparent)]
    Io(#[from] IoError),
    /// Group or others can read or write the key file.
    #[error("key file {} can be used by others than its owner", path.display())]
    KeyReadableByOthers {
        /// The key file.
        path: PathBuf,
    },
    /// The key file belongs to someone else.
    #[error("key file {} is not owned by the user who runs strata", path.display())]
    KeyNotOwned {
        /// The key file.
        path: PathBuf,
    },
    /// The key file holds neither 64 hex digits nor 32 bytes.
    #[error("key file {} holds no key: 64 hexadecimal digits or 32 bytes are expected", path.display())]
    KeyMalformed {
        /// The key file.
        path: PathBuf,
    },
    /// The key has no entropy.
    #[error("the key is all zeros{}", path.as_ref().map(|p| format!(" (file {})", p.display())).unwrap_or_default())]
    KeyWeak {
        /// The key file, if it came from one.
        path: Option<PathBuf>,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes for a new key: {source}")]
    NoEntropy {
        /// Its answer.
        source: getrandom::Error,
    },
    /// A derived key was asked for a purpose it was not made for.
    #[error("no row key for table {table} in tier {tier}")]
    NoRowKey {
        /// Tier name.
        tier: &'static str,
        /// Table name.
        table: String,
    },
    /// Two participants got the same research id.
    #[error("two participants of the roster have the same research id in tier {tier}")]
    ResearchIdCollision {
        /// Tier name.
        tier: &'static str,
    },
    /// People who take part are not in the imported map.
    #[error("{count} person(s) who take part are not in the imported identity map")]
    MissingFromMap {
        /// How many.
        count: u64,
    },
    /// The map has shifts that are no whole weeks, but weeks are asked for.
    #[error(
        "{count} shift(s) of the imported identity map are not whole weeks, but shift = \"weeks\""
    )]
    ShiftNotWeeks {
        /// How many.
        count: u64,
    },
    /// The map is not the one of an earlier release with rows added.
    #[error(
        "{}: the first {rows} rows are not those that release {release} was made with",
        path.display()
    )]
    MapChanged {
        /// The map.
        path: PathBuf,
        /// Rows of the map then.
        rows: u64,
        /// The release.
        release: String,
    },
    /// The map is a Parquet file that cannot be read.
    #[error("{} is not a readable Parquet file of whole numbers", path.display())]
    BadParquet {
        /// The file.
        path: PathBuf,
    },
    /// The key is not one of this store.
    #[error("the key {key} is not one that this store's releases were made with")]
    KeyChanged {
        /// Id of the key.
        key: String,
        /// Number that a new epoch would have.
        next: u32,
    },
    /// The epoch that the workflow names is not that of the key.
    #[error("the workflow says epoch {said}, but key {key} is that of epoch {known}")]
    EpochOfKey {
        /// Id of the key.
        key: String,
        /// What the workflow says.
        said: u32,
        /// What the store says.
        known: u32,
    },
    /// Another key has this number, or a later one.
    #[error("a new key needs a new epoch: the workflow says {said}, this store is at {last}")]
    EpochTaken {
        /// What the workflow says.
        said: u32,
        /// The last of the store.
        last: u32,
    },
    /// Days became weeks, or weeks days, and the key stayed.
    #[error("the shift cannot be changed between days and weeks while the key stays")]
    ShiftModeChanged,
    /// Research ids that nobody in the tier has.
    #[error("{count} row(s) name a research id that nobody has, the first is line {line}")]
    UnknownResearchId {
        /// 1-based line of the first.
        line: u64,
        /// How many.
        count: u64,
    },
    /// A date cannot be moved.
    #[error("line {line}: the date is out of range")]
    DateOutOfRange {
        /// 1-based line.
        line: u64,
    },
    /// The tier asked about has true dates, or there is none.
    #[error("there is nothing to add back: the workflow makes no tier of shifted dates")]
    NotShifted,
    /// The reason cannot be written into the audit log.
    #[error("the reason {why}")]
    Reason {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file cannot be read as delimited text.
    #[error("{}, line {line}: {what}", path.display())]
    BadRow {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// What is wrong: ragged row, wrong encoding, unclosed quote.
        what: &'static str,
    },
    /// The header has a column nobody knows.
    #[error("{}: unknown column {column}{}", path.display(), nearest.map(|n| format!("; did you mean {n}?")).unwrap_or_default())]
    UnknownColumn {
        /// The file.
        path: PathBuf,
        /// The column as the header spells it.
        column: String,
        /// The nearest known column.
        nearest: Option<&'static str>,
    },
    /// The header lacks a column that is needed.
    #[error("{}: no column {column}", path.display())]
    MissingColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: &'static str,
    },
    /// The header names a column twice.
    #[error("{}: column {column} appears twice", path.display())]
    RepeatedColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
    },
    /// A value is not of its column's kind.
    #[error("{}, line {line}, column {column}: the value is not one of {allowed}", path.display())]
    BadValue {
        /// The file.
        path: PathBuf,
        /// 1-based line.
        line: u64,
        /// The column.
        column: &'static str,
        /// What is allowed.
        allowed: &'static str,
    },
    /// Two rows are about the same person or sample.
    #[error("{}, line {line}: the {what} of line {first_line} again", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// 1-based line of the second row.
        line: u64,
        /// 1-based line of the first row.
        first_line: u64,
        /// `person` or `sample`.
        what: &'static str,
    },
    /// An extract names people who are not on the roster.
    #[error("{}: {count} person(s) are not on the roster", file.display())]
    PersonNotInRoster {
        /// The extract's person table, or the sample map.
        file: PathBuf,
        /// How many.
        count: u64,
    },
    /// One person has two samples in one callset.
    #[error("{}: {count} person(s) have more than one sample in callset {callset}", map.display())]
    PersonHasTwoSamples {
        /// Callset name.
        callset: String,
        /// The sample map.
        map: PathBuf,
        /// How many such persons.
        count: u64,
    },
    /// The callset has samples the map does not know.
    #[error(
        "callset {callset}: {count} sample(s) are not in the sample map {}, the first is sample {first} \
         of the header",
        map.display()
    )]
    UnmappedSample {
        /// Callset name.
        callset: String,
        /// The sample map.
        map: PathBuf,
        /// 1-based place of the first in the header.
        first: usize,
        /// How many.
        count: u64,
    },
    /// The callset names a sample twice.
    #[error(
        "callset {callset}: sample {first} and sample {second} of the header have the same name"
    )]
    RepeatedSample {
        /// Callset name.
        callset: String,
        /// 1-based place of the first.
        first: usize,
        /// 1-based place of the second.
        second: usize,
    },
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::KeyReadableByOthers { .. } => "identity::key_readable_by_others",
            Self::KeyNotOwned { .. } => "identity::key_not_owned",
            Self::KeyMalformed { .. } => "identity::key_malformed",
            Self::KeyWeak { .. } => "identity::key_weak",
            Self::NoEntropy { .. } => "identity::no_entropy",
            Self::NoRowKey { .. } => "identity::no_row_key",
            Self::ResearchIdCollision { .. } => "identity::research_id_collision",
            Self::MissingFromMap { .. } => "identity::missing_from_map",
            Self::ShiftNotWeeks { .. } => "identity::shift_not_weeks",
            Self::MapChanged { .. } => "identity::map_changed",
            Self::BadParquet { .. } => "identity::bad_parquet",
            Self::KeyChanged { .. } => "identity::key_changed",
            Self::EpochOfKey { .. } => "identity::epoch_of_key",
            Self::EpochTaken { .. } => "identity::epoch_taken",
            Self::ShiftModeChanged => "identity::shift_mode_changed",
            Self::UnknownResearchId { .. } => "identity::unknown_research_id",
            Self::DateOutOfRange { .. } => "identity::date_out_of_range",
            Self::NotShifted => "identity::not_shifted",
            Self::Reason { .. } => "identity::reason",
            Self::BadRow { .. } => "identity::bad_row",
            Self::UnknownColumn { .. } => "identity::unknown_column",
            Self::MissingColumn { .. } => "identity::missing_column",
            Self::RepeatedColumn { .. } => "identity::repeated_column",
            Self::BadValue { .. } => "identity::bad_value",
            Self::Duplicate { .. } => "identity::duplicate",
            Self::PersonNotInRoster { .. } => "identity::person_not_in_roster",
            Self::PersonHasTwoSamples { .. } => "identity::person_has_two_samples",
            Self::UnmappedSample { .. } => "identity::unmapped_sample",
            Self::RepeatedSample { .. } => "identity::repeated_sample",
        }
    }

    fn help(&self) -> Option<String> {
        match self {
            Self::Io(e) => e.help(),
            Self::KeyReadableByOthers { path } => Some(format!(
                "chmod 600 {}; if others may have read it, treat the key as known to them",
                path.display()
            )),
            Self::KeyNotOwned { .. } => Some("run as the owner of the key file".into()),
            Self::KeyMalformed { .. } | Self::KeyWeak { .. } => Some(
                "let strata make a key (`create = true`) or write 64 random hexadecimal digits".into(),
            ),
            Self::ResearchIdCollision { .. } => Some(
                "start a new epoch with a new key: ids and shifts change for everybody".into(),
            ),
            Self::MissingFromMap { .. } => Some(
                "add them at the end of the map, or set derive_missing = true to derive their ids".into(),
            ),
            Self::MapChanged { .. } => Some(
                "a map is only added to, at its end: restore it; other ids need a new key and epoch".into(),
            ),
            Self::KeyChanged { next, .. } => Some(format!(
                "use the key of the last release; if everybody is to have new ids and shifts, set \
                 identity.epoch = {next} and run with --new-epoch"
            )),
            Self::EpochOfKey { known, .. } => Some(format!("set identity.epoch = {known}")),
            Self::EpochTaken { last, .. } => {
                Some(format!("set identity.epoch = {}", last.saturating_add(1)))
            }
            Self::ShiftModeChanged => Some(
                "one history moved in two ways gives the shift away: use a new key and a new epoch".into(),
            ),
            Self::UnknownResearchId { .. } => Some(
                "ids must be of the Registered tier and of this key; whoever withdrew has none".into(),
            ),
            Self::Reason { .. } => Some("say in 8 to 200 characters what it is needed for".into()),
            Self::PersonNotInRoster { .. } => {
                Some("add these people to the roster, or remove them from the feed".into())
            }
            Self::UnmappedSample { .. } => Some(
                "add them to the sample map, or set unmapped_samples = \"exclude\" to leave them out"
                    .into(),
            ),
            Self::PersonHasTwoSamples { .. } => {
                Some("keep one sample a person in the map, or split the callset".into())
            }
            _ => None,
        }
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(e) => e.is_unexpected(),
            Self::NoEntropy { .. } | Self::NoRowKey { .. } => true,
            _ => false,
        }
    }
}
