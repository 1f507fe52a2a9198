//! What a user can type. `--help`, the man pages and the completions all come from here.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Turns a research programme's raw feeds into tiered, disclosure-controlled releases.
#[derive(Debug, Parser)]
#[command(
    name = "strata",
    version,
    about,
    max_term_width = 100,
    after_help = "A first run:\n  strata synth --persons 300 --variants 2000 --seed 1 --out data\n  \
                  strata init --out workflow.toml\n  strata plan workflow.toml\n  strata run workflow.toml\n\n\
                  Exit codes: 0 done; 1 a stated problem with the data, the configuration or a check;\n\
                  2 usage or an unexpected error; 130, 143 stopped by a signal."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
    /// Say nothing but errors.
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// Say more; twice for everything.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How to write logs and errors (stderr).
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// No progress bars, even on a terminal.
    #[arg(long, global = true)]
    pub no_progress: bool,
}

/// How to write logs and errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Write a commented workflow file to start from.
    Init(Init),
    /// Check a workflow and its inputs without running it; reports every problem at once.
    Validate(Workflow),
    /// Show the stages, which would run and why.
    Plan(Plan),
    /// Run a workflow to a committed release; goes on where an earlier run stopped.
    Run(Run),
    /// Show the current release of a store and its runs.
    Status(Status),
    /// Show the rules of each tier in order, with the columns they touch.
    Explain(Explain),
    /// Re-hash a release and re-check what it promises.
    Verify(Verify),
    /// Give true dates for shifted ones of the Registered tier; entered in the audit log.
    Unshift(Unshift),
    /// Write the keys of a tier's sealed tables, for readers of them; entered in the audit log.
    Unlock(Unlock),
    /// Count genotypes of a release in any group of its samples, or list carriers. Controlled-tier data.
    Query(Box<Query>),
    /// Resolve concept sets, or compare two versions of the vocabulary.
    Vocabulary(super::vocabulary::args::Vocabulary),
    /// Print a JSON Schema, or write all of them.
    Schema(Schema),
    /// Make a synthetic programme: VCF, OMOP, surveys, roster, maps and vocabulary.
    Synth(Synth),
    /// Print shell completions.
    #[command(after_help = "Example:\n  strata completions bash > /etc/bash_completion.d/strata")]
    Completions(Completions),
    /// Write man pages, or print the command-line reference.
    #[command(after_help = "Example:\n  strata man --out man/")]
    Man(Man),
}

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  strata init --out workflows/nightly.toml")]
pub struct Init {
    /// File to write; must not exist.
    #[arg(long, short, default_value = "workflow.toml")]
    pub out: PathBuf,
}

/// A workflow file and how to answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  strata validate workflows/quickstart.toml")]
pub struct Workflow {
    /// Workflow file (TOML).
    pub workflow: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `plan`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strata plan workflows/quickstart.toml\n  \
                        strata plan workflows/quickstart.toml --dag | mmdc -i - -o plan.svg")]
pub struct Plan {
    /// Workflow file (TOML).
    pub workflow: PathBuf,
    /// Answer in JSON.
    #[arg(long, conflicts_with = "dag")]
    pub json: bool,
    /// Draw the stages as a Mermaid flow chart.
    #[arg(long)]
    pub dag: bool,
    /// Plan as if this stage had to run (may be given several times).
    #[arg(long, value_name = "STAGE")]
    pub force: Vec<String>,
    /// Plan as `run --strict` would.
    #[arg(long)]
    pub strict: bool,
}

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strata run workflows/quickstart.toml\n  \
                        strata run workflows/nightly.toml --threads 8 --log-format json 2>> strata.log\n  \
                        strata run workflows/quickstart.toml --force ingest.callset.wgs")]
pub struct Run {
    /// Workflow file (TOML).
    pub workflow: PathBuf,
    /// Worker threads; the workflow's own number or all processors by default. Changes no output.
    #[arg(long, short = 'j', value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
    /// Run this stage even if nothing changed (may be given several times).
    #[arg(long, value_name = "STAGE")]
    pub force: Vec<String>,
    /// Fail at the first record of a callset that cannot be used, instead of counting it; as `strict = true`
    /// in every callset.
    #[arg(long)]
    pub strict: bool,
    /// Use a key that no release of the store was made with: everybody has new ids and a new shift from now
    /// on. The workflow's `identity.epoch` must be the next number.
    #[arg(long)]
    pub new_epoch: bool,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
    /// Only show what would be done, as `plan` does.
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  strata status out/quickstart")]
pub struct Status {
    /// Store folder, or a workflow file that names it.
    pub store: PathBuf,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `explain`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strata explain workflows/quickstart.toml\n  \
                        strata explain workflows/quickstart.toml --tier registered --json")]
pub struct Explain {
    /// Workflow file (TOML).
    pub workflow: PathBuf,
    /// Only this tier.
    #[arg(long, value_enum)]
    pub tier: Option<TierName>,
    /// Add the rows that each rule touched in this release of the workflow's store (`current`: the one in
    /// use).
    #[arg(long, value_name = "ID")]
    pub release: Option<String>,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// An individual-level tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TierName {
    /// The Controlled tier.
    Controlled,
    /// The Registered tier.
    Registered,
}

/// Arguments of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strata verify out/quickstart\n  \
                        strata verify out/quickstart --release 2026q4r1-0123456789ab --json\n  \
                        strata verify out/quickstart --audit --key out/quickstart.key")]
pub struct Verify {
    /// Store folder, or a workflow file that names it.
    pub store: PathBuf,
    /// Release id; the current one by default.
    #[arg(long)]
    pub release: Option<String>,
    /// Check the audit log of the store instead: the chain of its lines and, with a key, the signatures of
    /// its checkpoints.
    #[arg(long, conflicts_with = "release")]
    pub audit: bool,
    /// Key file, for checkpoints of the audit log and for sealed tables (may be given several times, after a
    /// change of key). A workflow file brings its own key.
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// File of checkpoint lines that were kept elsewhere; they must still be in the log (may be given several
    /// times).
    #[arg(long, value_name = "FILE", requires = "audit")]
    pub checkpoint: Vec<PathBuf>,
    /// Answer in JSON.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `unshift`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Gives true dates for shifted dates of the Registered tier, for a re-identification desk.\n\n\
                  Reads research_id,date (CSV or TAB with a header; dates YYYY-MM-DD, with a time of day or \
                  without) and writes research_id,date,true_date. All rows are answered or none. It needs \
                  the key, the roster and the identity map that the workflow names. The reason and the \
                  number of rows and people are in the store's audit log, signed, before anything is \
                  answered; so is a refusal.",
    after_help = "Example:\n  strata unshift workflows/nightly.toml --reason 'safety report of study 12' \\\n    \
                  --in dates.csv --out true-dates.csv"
)]
pub struct Unshift {
    /// Workflow file (TOML).
    pub workflow: PathBuf,
    /// What it is needed for, in 8 to 200 characters; no ids, no dates.
    #[arg(long)]
    pub reason: String,
    /// File to read; standard input by default.
    #[arg(long = "in", value_name = "FILE")]
    pub input: Option<PathBuf>,
    /// File to write, for its owner's eyes only; must not exist. Standard output by default.
    #[arg(long, short)]
    pub out: Option<PathBuf>,
}

/// Arguments of `unlock`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Writes the keys of a tier's sealed tables, for readers of them.\n\n\
                  A workflow with `encrypt = true` under a tier seals each table of it with a key of its own \
                  (Parquet modular encryption, AES-256-GCM). This writes these keys: as a script for DuckDB \
                  that makes a view of each table, or as JSON for pyarrow and others. Whoever has the file \
                  reads the tables: it is for its owner's eyes only and is not needed by the program itself. \
                  The reason and what was asked for are in the store's audit log, signed, before anything \
                  is written; so is a refusal.",
    after_help = "Examples:\n  strata unlock workflows/nightly.toml --tier controlled --reason 'study 12' \\\n    \
                  --format duckdb --out controlled.sql\n  \
                  strata unlock workflows/nightly.toml --tier registered --table person --table measurement \\\n    \
                  --reason 'study 12' --format json --out keys.json"
)]
pub struct Unlock {
    /// Workflow file (TOML).
    pub workflow: PathBuf,
    /// Tier to read.
    #[arg(long, value_enum)]
    pub tier: TierName,
    /// Release id; the current one by default.
    #[arg(long)]
    pub release: Option<String>,
    /// Only this table (may be given several times).
    #[arg(long, value_name = "NAME")]
    pub table: Vec<String>,
    /// What it is needed for, in 8 to 200 characters; no ids, no dates.
    #[arg(long)]
    pub reason: String,
    /// How to write the keys.
    #[arg(long, value_enum, default_value_t = KeyFormat::Json)]
    pub format: KeyFormat,
    /// File to write, for its owner's eyes only; must not exist.
    #[arg(long, short)]
    pub out: PathBuf,
}

/// How to write the keys of tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KeyFormat {
    /// Paths and keys (base64) as one JSON object.
    Json,
    /// A script for DuckDB: keys and a view of each table.
    Duckdb,
}

/// Arguments of `query`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Counts genotypes of a release in any group of its samples, or lists carriers.\n\n\
                  Answers are individual-level data of the Controlled tier or small counts of it: they \
                  have passed no disclosure control and must not leave that tier. People are named by \
                  their research id (person_id of the release). Counts mean what the columns of \
                  `variants` mean.",
    after_help = "Examples:\n  strata query out/quickstart --region chr20:1-5000000 --by ancestry\n  \
                  strata query out/quickstart --callset wgs --region chr20 --samples cohort.txt --format json\n  \
                  strata query out/quickstart --group case=cases.txt --group control=controls.txt \\\n    \
                  --by sex --format parquet --out counts.parquet\n  \
                  strata query out/quickstart --variant chr20-123-A-G --carriers\n  \
                  strata query out/quickstart --region chr20 --person 1234567890\n  \
                  strata query out/quickstart --by ancestry --columns vid,group,af"
)]
pub struct Query {
    /// Store folder, a release folder in it, or a workflow file that names the store.
    pub store: PathBuf,
    /// Release id; the current one by default.
    #[arg(long)]
    pub release: Option<String>,
    /// Key file, for sealed tables; a workflow file brings its own key.
    #[arg(long, value_name = "FILE")]
    pub key: Vec<PathBuf>,
    /// Callset; may be left out if the release has one only.
    #[arg(long)]
    pub callset: Option<String>,
    /// Chromosome, position or span, 1-based with both ends: chr20, chr20:123, chr20:1-100000. All
    /// chromosomes by default.
    #[arg(long, conflicts_with = "variant")]
    pub region: Option<String>,
    /// One variant by its vid.
    #[arg(long, value_name = "VID")]
    pub variant: Option<String>,
    /// Count these samples only: a file with one person_id a line.
    #[arg(long, value_name = "FILE", group = "who")]
    pub samples: Option<PathBuf>,
    /// Count samples of these ancestry groups only.
    #[arg(long, value_name = "GROUPS", value_delimiter = ',', group = "who")]
    pub ancestry: Vec<String>,
    /// Count a group of samples under a name: a file with one person_id a line (may be given several
    /// times).
    #[arg(long, value_name = "NAME=FILE", group = "who")]
    pub group: Vec<String>,
    /// Count each part of the samples as well.
    #[arg(long, value_enum)]
    pub by: Option<Part>,
    /// List who carries the variant instead of counting.
    #[arg(long, requires = "variant", conflicts_with_all = ["by", "group"])]
    pub carriers: bool,
    /// List the variants that this person carries instead of counting.
    #[arg(long, value_name = "ID", conflicts_with_all = ["by", "who", "carriers"])]
    pub person: Option<i64>,
    /// List missing calls as well.
    #[arg(long)]
    pub missing: bool,
    /// Columns to answer with, in this order; all by default.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub columns: Vec<String>,
    /// How to answer.
    #[arg(long, value_enum, default_value_t = QueryFormat::Tsv)]
    pub format: QueryFormat,
    /// File to write; must not exist. Standard output by default.
    #[arg(long, short, required_if_eq("format", "parquet"))]
    pub out: Option<PathBuf>,
    /// Stop after so many rows.
    #[arg(long)]
    pub limit: Option<u64>,
    /// Worker threads; all processors by default. Changes no output.
    #[arg(long, short = 'j', value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

/// What samples are divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Predicted ancestry group.
    Ancestry,
    /// Stated sex.
    Sex,
}

/// How to answer a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum QueryFormat {
    /// Tab-separated values with a header line.
    Tsv,
    /// One JSON object a line.
    Json,
    /// A Parquet file.
    Parquet,
}

/// Arguments of `schema`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strata schema workflow\n  strata schema --dir configs/schema\n  \
                        strata schema --dir configs/schema --check"
)]
pub struct Schema {
    /// Which schema to print.
    #[arg(value_enum, required_unless_present = "dir")]
    pub name: Option<SchemaName>,
    /// Write all schemas into this folder.
    #[arg(long, conflicts_with = "name")]
    pub dir: Option<PathBuf>,
    /// Write nothing; fail if a file there is not what would be written.
    #[arg(long, requires = "dir")]
    pub check: bool,
}

/// A schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaName {
    /// Workflow files.
    Workflow,
    /// Policy files of the individual-level tiers.
    Tier,
    /// Policy files of the Public tier.
    Public,
    /// Files of concept sets.
    ConceptSets,
}

/// Arguments of `synth`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  strata synth --persons 2500 --variants 200000 --seed 7 --out data/synth"
)]
pub struct Synth {
    /// Number of people.
    #[arg(long)]
    pub persons: u32,
    /// Number of variant records.
    #[arg(long)]
    pub variants: u32,
    /// Seed; the same seed gives the same bytes.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Folder to write; made if absent.
    #[arg(long)]
    pub out: PathBuf,
    /// Worker threads; all processors by default. Changes no output.
    #[arg(long, short = 'j', value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: Option<u16>,
}

/// Arguments of `completions`.
#[derive(Debug, clap::Args)]
pub struct Completions {
    /// Which shell.
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// Folder to write man pages into.
    #[arg(long, required_unless_present = "markdown")]
    pub out: Option<PathBuf>,
    /// Print the whole command-line reference as Markdown instead.
    #[arg(long, conflicts_with = "out")]
    pub markdown: bool,
}
