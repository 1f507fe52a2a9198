//! The workflow file: one a scheduled job (contract section 8).

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::callset::CallsetFeed;
use super::curation::{Curation, Privacy, Quality, WearableFeed};

/// A whole workflow file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Workflow {
    /// What is being released.
    pub workflow: Programme,
    /// Who takes part.
    pub participants: Participants,
    /// Keys and pseudonyms.
    pub identity: Identity,
    /// The OMOP vocabulary; without it the vocabulary tables of the extracts are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
    /// EHR extracts by site name.
    #[serde(default)]
    pub ehr: BTreeMap<String, EhrFeed>,
    /// Wearables feeds by name (`fitbit` ...).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub wearables: BTreeMap<String, WearableFeed>,
    /// How the records are united, cleaned and completed.
    #[serde(default)]
    pub curation: Curation,
    /// Checks and characterisation of the curated records; none without this section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quality: Option<Quality>,
    /// Attacks on the tiers, measured at each run; none without this section.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub privacy: Option<Privacy>,
    /// Callsets by name (`wgs`, `array` ...).
    #[serde(default)]
    pub callset: BTreeMap<String, CallsetFeed>,
    /// What to write.
    pub tier: Tiers,
    /// Threads, memory and layout.
    #[serde(default)]
    pub engine: Engine,
}

/// The release and where it goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Programme {
    /// Name of the programme, shown on the public page.
    pub name: String,
    /// Release tag, e.g. `2026q4r1`; the release id starts with it.
    #[schemars(regex(pattern = r"^[a-z0-9][a-z0-9._-]*$"))]
    pub release: String,
    /// Date that ages and cut-offs refer to; the wall clock is never used.
    pub reference_date: CivilDate,
    /// Store folder, made if absent.
    pub store: PathBuf,
}

/// A civil date (`2026-01-01`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CivilDate(pub jiff::civil::Date);

impl CivilDate {
    /// Days since 1970-01-01.
    pub fn epoch_days(self) -> i32 {
        let epoch = jiff::civil::date(1970, 1, 1);
        self.0.since(epoch).map_or(0, |span| span.get_days())
    }
}

impl Serialize for CivilDate {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CivilDate {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error as _;
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Toml(toml::value::Datetime),
            Text(String),
        }
        let text = match Written::deserialize(deserializer)? {
            Written::Toml(datetime) => datetime.to_string(),
            Written::Text(text) => text,
        };
        text.parse().map(Self).map_err(|_| D::Error::custom("expected a date such as 2026-01-01"))
    }
}

impl JsonSchema for CivilDate {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CivilDate".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "format": "date" })
    }
}

/// Roster and sample map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Participants {
    /// CSV: person_id, consent and withdrawal status and dates.
    #[schemars(extend("x-path" = "file", "x-columns" = ["person_id", "primary_consent", "ehr_consent", "genomics_consent", "withdrawal_status"]))]
    pub roster: PathBuf,
    /// CSV: sample_id, person_id. Needed when there is a callset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file", "x-columns" = ["sample_id", "person_id"]))]
    pub samples: Option<PathBuf>,
    /// What to do with a sample that the map does not name.
    #[serde(default)]
    pub unmapped_samples: Unmapped,
}

/// What to do with a sample that the map does not name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Unmapped {
    /// Stop.
    #[default]
    Error,
    /// Leave it out and count it.
    Exclude,
}

/// Keys and pseudonyms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Where the root key is. Never the key itself.
    pub key: KeySource,
    /// Whether the two individual-level tiers name a person alike.
    #[serde(default)]
    pub ids: IdScope,
    /// Number of the key in this store: 1 for the first, one more with each new key. A new key gives
    /// everybody new ids and a new shift, so `strata run` wants `--new-epoch` as well.
    #[serde(default = "first_epoch")]
    #[schemars(range(min = 1))]
    pub epoch: u32,
    /// By what dates of the Registered tier are moved back: any number of days or whole weeks. It can be
    /// changed with a new key only: two shifts of one history would give it away.
    #[serde(default)]
    pub shift: ShiftMode,
    /// Ids and shifts that were given out elsewhere, in place of derived ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub map: Option<IdentityMapFile>,
}

fn first_epoch() -> u32 {
    1
}

/// By what dates are moved back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ShiftMode {
    /// By 1 to 364 days.
    #[default]
    Days,
    /// By 1 to 52 whole weeks: days of the week are kept.
    Weeks,
}

/// An imported map of ids and shifts. New people are added at its end; nothing in it is ever changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdentityMapFile {
    /// CSV or Parquet: person_id, research_id, shift (days, 1 to 364). With `ids = "per_tier"` it is for the
    /// Registered tier alone, with `ids = "shared"` its research ids are for both.
    #[schemars(extend("x-path" = "file"))]
    pub file: PathBuf,
    /// Derive id and shift of people whom the map lacks; otherwise they are an error.
    #[serde(default)]
    pub derive_missing: bool,
}

/// Where the root key comes from: a file or a file descriptor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KeySource {
    /// A file of mode 0600 with 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// An open file descriptor to read the 64 hex digits from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fd: Option<i32>,
    /// Make the file on the first run.
    #[serde(default)]
    pub create: bool,
}

/// Whether the two individual-level tiers name a person alike.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdScope {
    /// Each tier has its own research ids, which cannot be linked without the key.
    #[default]
    PerTier,
    /// One research id for both tiers, as All of Us has.
    Shared,
}

/// The OMOP vocabulary folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vocabulary {
    /// Folder with CONCEPT and its companions (Athena download, CSV or Parquet).
    #[schemars(extend("x-path" = "folder"))]
    pub path: PathBuf,
    /// Version that the row `None` of its VOCABULARY table must state, e.g. `v5.0 31-AUG-23`; another one
    /// is an error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

/// Version of the OMOP Common Data Model.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
pub enum CdmVersion {
    /// 5.3
    #[serde(rename = "5.3")]
    V5_3,
    /// 5.4
    #[serde(rename = "5.4")]
    V5_4,
    /// 5.5
    #[serde(rename = "5.5")]
    V5_5,
}

impl CdmVersion {
    /// The version as written: `5.3`, `5.4`, `5.5`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V5_3 => "5.3",
            Self::V5_4 => "5.4",
            Self::V5_5 => "5.5",
        }
    }
}

/// Whether a feed's dates are as recorded or already moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DateBasis {
    /// As recorded.
    #[default]
    True,
    /// Moved back per person; un-shifted on ingest with the feed's own map.
    Shifted,
}

/// How the text files of a feed are encoded. A file that starts with a UTF-8 byte order mark is UTF-8
/// whatever the feed says, and Parquet is not concerned.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TextEncoding {
    /// UTF-8.
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    /// Windows code page 1252, what Windows calls ANSI in Western Europe and America.
    #[serde(rename = "windows-1252")]
    Windows1252,
    /// ISO 8859-1 (Latin-1).
    #[serde(rename = "iso-8859-1")]
    Iso8859_1,
    /// UTF-16 by its byte order mark; without one, the order in which the header makes sense.
    #[serde(rename = "utf-16")]
    Utf16,
}

impl TextEncoding {
    /// The encoding as written: `utf-8`, `windows-1252` ...
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "utf-8",
            Self::Windows1252 => "windows-1252",
            Self::Iso8859_1 => "iso-8859-1",
            Self::Utf16 => "utf-16",
        }
    }
}

/// Most rows of one table that may be quarantined before the run fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RejectLimit {
    /// As a number of rows; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// As a part of the table's rows, 0 to 1; no limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub fraction: Option<f64>,
}

/// Whose records a feed of OMOP tables holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedSource {
    /// A care provider's: of people who have given EHR consent only.
    #[default]
    Ehr,
    /// What the programme has asked and measured itself, surveys and physical measurements: of everybody
    /// who takes part.
    Programme,
}

/// One EHR extract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EhrFeed {
    /// Folder of OMOP tables (CSV or TAB, plain, gzip or zstd; or Parquet).
    #[schemars(extend("x-path" = "folder"))]
    pub path: PathBuf,
    /// CDM version of the extract.
    pub cdm: CdmVersion,
    /// Whose records they are: a provider's need EHR consent, the programme's own do not.
    #[serde(default)]
    pub source: FeedSource,
    /// The state in which the site is, as the concept id of the answer to the question on the state
    /// (1585249); `generalise_by_site` rules hold people's answers against it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<i64>,
    /// Whether its dates are true or shifted.
    #[serde(default)]
    pub dates: DateBasis,
    /// CSV: person_id, shift (days the feed moved dates back). Needed when `dates = "shifted"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(extend("x-path" = "file", "x-columns" = ["person_id", "shift"]))]
    pub shift_map: Option<PathBuf>,
    /// Encoding of its text files.
    #[serde(default)]
    pub encoding: TextEncoding,
    /// Most rows of a table that may be quarantined; more fail the run.
    #[serde(default)]
    pub max_rejected: RejectLimit,
}

/// Which tiers to write, by policy file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tiers {
    /// The Controlled tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub controlled: Option<TierFile>,
    /// The Registered tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered: Option<TierFile>,
    /// The Public tier; made from the Controlled tier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public: Option<PolicyFile>,
}

/// An individual-level tier's policy file, and whether its tables are sealed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TierFile {
    /// TOML file of rules.
    #[schemars(extend("x-path" = "file"))]
    pub policy: PathBuf,
    /// Encrypts the tables of the tier at rest, each with a key of its own that is derived from the root
    /// key (Parquet modular encryption, AES-256-GCM). `strata unlock` gives the keys to readers.
    #[serde(default)]
    pub encrypt: bool,
}

/// A tier's policy file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyFile {
    /// TOML file of rules.
    #[schemars(extend("x-path" = "file"))]
    pub policy: PathBuf,
}

/// Threads, memory and layout. Only `person_buckets` changes what is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Engine {
    /// Worker threads; all processors when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads: Option<usize>,
    /// Memory a stage may use, in MiB.
    #[schemars(range(min = 128))]
    pub memory_mib: u64,
    /// Number of `person_bucket` partitions of the record tables (1 to 999).
    #[schemars(range(min = 1, max = 999))]
    pub person_buckets: u32,
}

impl Default for Engine {
    fn default() -> Self {
        Self { threads: None, memory_mib: 768, person_buckets: 16 }
    }
}
