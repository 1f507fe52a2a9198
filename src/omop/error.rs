//! What can stop an ingest. Messages name files, lines, tables and columns, never a value.

use std::path::PathBuf;

use crate::config::TextEncoding;
use crate::engine::Cancelled;
use crate::error::{Coded, IoError};

use super::records::{MAX_RECORD, Problem};

/// A failed ingest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be used.
    #[error(transparent)]
    Io(#[from] IoError),
    /// The run was asked to stop.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
    /// A table could not be written.
    #[error(transparent)]
    Write(#[from] crate::engine::parquet::Error),
    /// The site's name cannot be a folder name.
    #[error("the name of an EHR site must be letters, digits, `_` and `-` only")]
    SiteName,
    /// No file of the folder is a CDM table in scope.
    #[error("{path}: no CDM {cdm} table found", path = path.display())]
    NoTables {
        /// The folder.
        path: PathBuf,
        /// Version looked for.
        cdm: &'static str,
    },
    /// Records without a `person` table.
    #[error("{path}: the extract has no `person` table", path = path.display())]
    NoPerson {
        /// The folder.
        path: PathBuf,
    },
    /// Two sources of one table.
    #[error("table `{table}` has more than one source: {first} and {second}",
        first = first.display(), second = second.display())]
    Ambiguous {
        /// CDM table.
        table: &'static str,
        /// One source.
        first: PathBuf,
        /// Another.
        second: PathBuf,
    },
    /// Not text in the feed's encoding.
    #[error("{file}: the file is not {declared} text ({found}); it looks like {looks_like}",
        file = file.display())]
    Encoding {
        /// The file.
        file: PathBuf,
        /// The encoding it was read in, as in a workflow.
        declared: &'static str,
        /// What was found.
        found: &'static str,
        /// The encoding that it may be in, as in a workflow.
        looks_like: &'static str,
    },
    /// More rows quarantined than the workflow allows.
    #[error("table `{table}`: {rejected} of {rows} rows are quarantined ({reasons}), more than the \
        {limit} that `max_rejected` allows{}", others_text(*others))]
    TooManyRejected {
        /// CDM table.
        table: String,
        /// Rows quarantined.
        rejected: u64,
        /// Rows read.
        rows: u64,
        /// The limit, in words.
        limit: String,
        /// Counts by reason, in words.
        reasons: String,
        /// Further tables over the limit.
        others: usize,
        /// Where file, line, column and reason of each are to be read.
        rejects: PathBuf,
    },
    /// The input ends early or does not decompress.
    #[error("{file}: the compressed data is damaged or cut short: {source}", file = file.display())]
    Compressed {
        /// The file.
        file: PathBuf,
        /// The decoder's words.
        source: std::io::Error,
    },
    /// Most rows have more or fewer fields than the header: the file is not what it says.
    #[error("{file}: {count} rows do not have the {expected} fields of the header, the first on {}",
        lines_text(lines), file = file.display())]
    RaggedRows {
        /// The file.
        file: PathBuf,
        /// Fields of the header.
        expected: usize,
        /// Rows that differ.
        count: u64,
        /// Lines of the first of them.
        lines: Vec<u64>,
    },
    /// A column named twice.
    #[error("{file}: columns {first} and {second} have the same name{}",
        column.map(|c| format!(" `{c}`")).unwrap_or_default(), file = file.display())]
    DuplicateColumn {
        /// The file.
        file: PathBuf,
        /// The name, if it is one of the CDM's.
        column: Option<&'static str>,
        /// Ordinal of the first, from 1.
        first: usize,
        /// Ordinal of the second, from 1.
        second: usize,
    },
    /// A header without a column that every row needs.
    #[error("{file}: the header has no column `{column}`, which every row of `{table}` needs",
        file = file.display())]
    MissingColumn {
        /// The file.
        file: PathBuf,
        /// CDM table.
        table: &'static str,
        /// CDM column.
        column: &'static str,
    },
    /// A first line that is no header of the table.
    #[error("{file}: line {line} is not a header of table `{table}`: it names none of its columns",
        file = file.display())]
    NoHeader {
        /// The file.
        file: PathBuf,
        /// CDM table.
        table: &'static str,
        /// Where a header was expected.
        line: u64,
    },
    /// A quote that never closes.
    #[error("{file}: a quoted field of the row on line {line} never closes", file = file.display())]
    UnclosedQuote {
        /// The file.
        file: PathBuf,
        /// Line the row starts on.
        line: u64,
    },
    /// A row of more than 10 MiB.
    #[error("{file}: the row on line {line} is longer than {} MiB", MAX_RECORD >> 20,
        file = file.display())]
    RecordTooLong {
        /// The file.
        file: PathBuf,
        /// Line the row starts on.
        line: u64,
    },
    /// A Parquet file that cannot be read.
    #[error("reading {file}: {source}", file = file.display())]
    Parquet {
        /// The file.
        file: PathBuf,
        /// The decoder's words.
        source: parquet::errors::ParquetError,
    },
    /// A Parquet column of a type that cannot stand for the CDM's.
    #[error("{file}: column `{column}` is {found}, which cannot be read as the CDM's type",
        file = file.display())]
    ColumnType {
        /// The file.
        file: PathBuf,
        /// CDM column.
        column: &'static str,
        /// Its arrow type.
        found: String,
    },
    /// Persons of a shifted feed without a shift.
    #[error("{count} persons of table `{table}` have no entry in the feed's date shift map")]
    Unshifted {
        /// CDM table.
        table: &'static str,
        /// How many.
        count: u64,
    },
    /// Batches could not be built.
    #[error("building table `{table}`: {source}")]
    Arrow {
        /// CDM table.
        table: &'static str,
        /// arrow's words.
        source: arrow::error::ArrowError,
    },
}

impl Error {
    /// What is wrong with the text of `file`.
    pub(super) fn text(
        file: &std::path::Path,
        problem: Problem,
        compressed: bool,
        encoding: TextEncoding,
    ) -> Self {
        let file = file.to_path_buf();
        match problem {
            Problem::Io(source) if compressed => Self::Compressed { file, source },
            Problem::Io(source) => Self::Io(IoError { action: "reading", path: file, source }),
            Problem::Utf16 => Self::Encoding {
                file,
                declared: encoding.name(),
                found: "NUL bytes or a byte order mark of UTF-16",
                looks_like: "utf-16",
            },
            Problem::TooLong(line) => Self::RecordTooLong { file, line },
            Problem::Unclosed(line) => Self::UnclosedQuote { file, line },
        }
    }
}

fn others_text(others: usize) -> String {
    match others {
        0 => String::new(),
        1 => "; so are those of 1 other table".to_owned(),
        n => format!("; so are those of {n} other tables"),
    }
}

fn lines_text(lines: &[u64]) -> String {
    let numbers: Vec<String> = lines.iter().map(u64::to_string).collect();
    format!("line{} {}", if lines.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

impl Coded for Error {
    fn code(&self) -> &'static str {
        match self {
            Self::Io(e) => e.code(),
            Self::Cancelled(_) => "run::stopped",
            Self::Write(e) => e.code(),
            Self::SiteName => "omop::site_name",
            Self::NoTables { .. } => "omop::no_tables",
            Self::NoPerson { .. } => "omop::no_person",
            Self::Ambiguous { .. } => "omop::ambiguous_table",
            Self::Encoding { .. } => "omop::encoding",
            Self::TooManyRejected { .. } => "omop::too_many_rejected",
            Self::Compressed { .. } => "omop::compressed",
            Self::RaggedRows { .. } => "omop::ragged_rows",
            Self::DuplicateColumn { .. } => "omop::duplicate_column",
            Self::MissingColumn { .. } => "omop::missing_column",
            Self::NoHeader { .. } => "omop::no_header",
            Self::UnclosedQuote { .. } => "omop::unclosed_quote",
            Self::RecordTooLong { .. } => "omop::record_too_long",
            Self::Parquet { .. } => "omop::parquet",
            Self::ColumnType { .. } => "omop::column_type",
            Self::Unshifted { .. } => "omop::unshifted_person",
            Self::Arrow { .. } => "omop::arrow",
        }
    }

    fn help(&self) -> Option<String> {
        let help = match self {
            Self::Io(e) => return e.help(),
            Self::Write(e) => return e.help(),
            Self::SiteName => "rename the [ehr.<site>] section",
            Self::NoTables { .. } => {
                "name files after CDM tables, e.g. person.csv, drug_exposure.csv.gz, death.parquet"
            }
            Self::NoPerson { .. } => "add person.csv or person.parquet to the folder",
            Self::Ambiguous { .. } => "keep one file (or one folder of part files) for each table",
            Self::Encoding { looks_like, .. } => {
                return Some(format!(
                    "write `encoding = \"{looks_like}\"` in the feed's section if that is what it is, or \
                     export the table as UTF-8"
                ));
            }
            Self::TooManyRejected { rejects, .. } => {
                return Some(format!(
                    "read file, line, column and reason of each in {} (kept until the next run), mend the \
                     feed or raise `max_rejected`",
                    rejects.display()
                ));
            }
            Self::Compressed { .. } => {
                "transfer the file again and check it with `gzip -t` or `zstd -t`"
            }
            Self::RaggedRows { .. } => {
                "look for unquoted delimiters or line breaks in text columns and export them quoted"
            }
            Self::DuplicateColumn { .. } => "drop or rename one of the two columns",
            Self::MissingColumn { .. } | Self::NoHeader { .. } => {
                "the first line must name the columns as the CDM does, in any case and order, with commas or \
                 tabs between"
            }
            Self::UnclosedQuote { .. } | Self::RecordTooLong { .. } => {
                "double every quote inside a quoted field, and close the field"
            }
            Self::Parquet { .. } => {
                "write the file again; it is damaged or uses an unknown feature"
            }
            Self::ColumnType { .. } => "export the column with the type that the CDM states",
            Self::Unshifted { .. } => "add every person to the map; no date passes un-shifted",
            Self::Cancelled(_) | Self::Arrow { .. } => return None,
        };
        Some(help.to_owned())
    }

    fn is_unexpected(&self) -> bool {
        match self {
            Self::Io(e) => e.is_unexpected(),
            Self::Write(e) => e.is_unexpected(),
            Self::Arrow { .. } => true,
            _ => false,
        }
    }
}
