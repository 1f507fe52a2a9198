//! Arguments of `strata vocabulary`.

use std::path::PathBuf;

use clap::{Subcommand, ValueEnum};

use crate::omop::CdmVersion;

/// Arguments of `vocabulary`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strata vocabulary resolve athena/ sets.toml\n  \
                  strata vocabulary drift athena-2025/ athena-2026/ --sets sets.toml --out drift/")]
pub struct Vocabulary {
    /// What to do.
    #[command(subcommand)]
    pub verb: VocabularyVerb,
}

/// What to do with a vocabulary.
#[derive(Debug, Subcommand)]
pub enum VocabularyVerb {
    /// List the concepts that concept sets stand for, and what is odd about the sets.
    Resolve(Resolve),
    /// Report what changed between two versions of the vocabulary.
    Drift(Drift),
}

/// A version of the CDM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Cdm {
    /// CDM 5.3.
    #[value(name = "5.3")]
    V5_3,
    /// CDM 5.4.
    #[value(name = "5.4")]
    V5_4,
}

impl From<Cdm> for CdmVersion {
    fn from(version: Cdm) -> Self {
        match version {
            Cdm::V5_3 => Self::V5_3,
            Cdm::V5_4 => Self::V5_4,
        }
    }
}

/// How to read folders.
#[derive(Debug, clap::Args)]
pub struct Reading {
    /// Version of the CDM that the folders follow.
    #[arg(long, value_enum, default_value_t = Cdm::V5_4)]
    pub cdm: Cdm,
    /// Memory for the index, in MiB.
    #[arg(long, default_value_t = 2048, value_name = "MIB")]
    pub memory: u64,
    /// Folder for typed copies of tables while they are in use; the system's temporary folder by default.
    #[arg(long, value_name = "DIR")]
    pub work: Option<PathBuf>,
    /// Worker threads; all processors by default. Changes no output.
    #[arg(long, short = 'j', value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

/// Arguments of `vocabulary resolve`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Lists the concepts that concept sets stand for, by the rules of Circe: the ids stated, \
                  valid descendants, concepts that map to them, less what is excluded.\n\n\
                  Sets come from a TOML file or from a Circe expression (*.json):\n\n  \
                  [concept_set.type_2_diabetes]\n  domains = [\"Condition\"]\n  \
                  include = [\n    { concepts = [201826], descendants = true },\n    \
                  { codes = { vocabulary = \"ICD10CM\", code = [\"E11.9\"] }, standard = true },\n  ]\n  \
                  exclude = [{ concepts = [195771], descendants = true }]",
    after_help = "Examples:\n  strata vocabulary resolve athena/ sets.toml > concepts.tsv\n  \
                  strata vocabulary resolve athena/ sets.toml --set type_2_diabetes --names\n  \
                  strata vocabulary resolve athena/ sets.toml --lint --json"
)]
pub struct Resolve {
    /// Folder with CONCEPT and its companions (Athena download, CSV or Parquet).
    pub vocabulary: PathBuf,
    /// Concept sets (TOML), or one set as Circe JSON.
    pub sets: PathBuf,
    /// Only this set.
    #[arg(long)]
    pub set: Option<String>,
    /// Say code and name of each concept as well.
    #[arg(long)]
    pub names: bool,
    /// List what is odd about the sets instead of their concepts; exit code 1 if they name concepts or
    /// codes that the vocabulary does not have.
    #[arg(long, conflicts_with = "names")]
    pub lint: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub reading: Reading,
}

/// Arguments of `vocabulary drift`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Reports what changed between two versions of the vocabulary: concepts added, removed, of \
                  another domain, no longer standard or valid, mapped elsewhere, with other ancestors; and \
                  what each concept set gained and lost.\n\n\
                  Concepts are compared one by one when they are in use: in the records of --data or in the \
                  sets of --sets. Without either, all are.\n\n\
                  Writes drift.parquet, drift_sets.parquet and drift.json and prints the last.",
    after_help = "Examples:\n  strata vocabulary drift athena-2025/ athena-2026/ --out drift/\n  \
                  strata vocabulary drift athena-2025/ athena-2026/ --data omop/ --sets sets.toml --out drift/"
)]
pub struct Drift {
    /// Folder of the old version.
    pub old: PathBuf,
    /// Folder of the new version.
    pub new: PathBuf,
    /// Folder of an OMOP extract whose concepts are in use.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Concept sets in use (TOML), or one set as Circe JSON.
    #[arg(long, value_name = "FILE")]
    pub sets: Option<PathBuf>,
    /// Folder to write into; must not have a report yet.
    #[arg(long, short)]
    pub out: PathBuf,
    #[command(flatten)]
    pub reading: Reading,
}
