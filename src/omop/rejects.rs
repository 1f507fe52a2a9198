//! The quarantine: where each row stood that could not be used, and why. No values.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use crate::engine::parquet::{create_private_dir, properties};
use crate::engine::{FileEntry, FileTags, Job, TableFile};
use crate::error::IoError;

use super::cdm::TableSpec;
use super::error::Error;
use super::value::Reason;

/// Rows kept in memory before they go to the scratch file.
const KEPT: usize = 1 << 16;

/// Bytes of a row in the scratch file.
const PACKED: usize = 16;

/// One row that was not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reject {
    /// Line the row starts on, or its ordinal in a Parquet file; from 1.
    pub line: u64,
    /// Ordinal of the file among the table's.
    pub file: u32,
    /// Ordinal of the offending field in the specification.
    pub field: Option<u16>,
    /// Why.
    pub reason: Reason,
}

impl Reject {
    fn pack(self) -> [u8; PACKED] {
        let mut bytes = [0; PACKED];
        bytes[..8].copy_from_slice(&self.line.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.file.to_le_bytes());
        bytes[12..14].copy_from_slice(&self.field.unwrap_or(u16::MAX).to_le_bytes());
        bytes[14] = self.reason as u8;
        bytes
    }

    fn unpack(bytes: &[u8; PACKED]) -> Self {
        let [l0, l1, l2, l3, l4, l5, l6, l7, f0, f1, f2, f3, c0, c1, reason, _] = *bytes;
        let field = u16::from_le_bytes([c0, c1]);
        Self {
            line: u64::from_le_bytes([l0, l1, l2, l3, l4, l5, l6, l7]),
            file: u32::from_le_bytes([f0, f1, f2, f3]),
            field: (field != u16::MAX).then_some(field),
            reason: Reason::ALL[usize::from(reason).min(Reason::ALL.len() - 1)],
        }
    }
}

/// The rejects of one table, in the order of the input. Beyond a fixed number they wait in a scratch
/// file without a name, so that memory does not grow with them.
#[derive(Debug)]
pub struct TableRejects {
    /// The table.
    pub spec: &'static TableSpec,
    /// Base names of its files.
    pub files: Vec<String>,
    rows: Vec<Reject>,
    spill: Option<File>,
    spilled: u64,
}

impl TableRejects {
    /// None yet.
    pub fn new(spec: &'static TableSpec) -> Self {
        Self { spec, files: Vec::new(), rows: Vec::new(), spill: None, spilled: 0 }
    }

    /// Appends a row; `job` says where the scratch folder is.
    pub fn push(&mut self, row: Reject, job: &Job) -> Result<(), IoError> {
        self.rows.push(row);
        if self.rows.len() < KEPT {
            return Ok(());
        }
        let path = job.scratch.join(format!("rejects-{}", self.spec.name));
        let file = match &mut self.spill {
            Some(file) => file,
            none => none.insert(scratch_file(&job.scratch, &path)?),
        };
        let bytes: Vec<u8> = self.rows.iter().flat_map(|row| row.pack()).collect();
        file.write_all(&bytes).map_err(IoError::at("writing", &path))?;
        self.spilled += self.rows.len() as u64;
        self.rows.clear();
        Ok(())
    }

    /// Hands all rows to `take`, some thousands at a time.
    fn drain(self, mut take: impl FnMut(&[Reject]) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(mut file) = self.spill {
            let scratch = "the scratch file of rejects";
            file.rewind().map_err(IoError::at("reading", scratch))?;
            let mut bytes = vec![0; PACKED * 8192];
            let mut left = self.spilled;
            while left > 0 {
                let rows = left.min(8192);
                let chunk = &mut bytes[..PACKED * rows as usize];
                file.read_exact(chunk).map_err(IoError::at("reading", scratch))?;
                let (packed, _) = chunk.as_chunks::<PACKED>();
                take(&packed.iter().map(Reject::unpack).collect::<Vec<_>>())?;
                left -= rows;
            }
        }
        self.rows.chunks(8192).try_for_each(take)
    }
}

/// A file that is gone from its folder at once and from the disk when closed.
fn scratch_file(folder: &Path, path: &Path) -> Result<File, IoError> {
    create_private_dir(folder)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(IoError::at("creating", path))?;
    std::fs::remove_file(path).map_err(IoError::at("unlinking", path))?;
    Ok(file)
}

/// Writes `quality/rejects/ehr/<site>.parquet`: `file, line, table, column?, reason`, by table name, then
/// in the order of the input. Written also when there is nothing to tell.
pub fn write(root: &Path, site: &str, tables: Vec<TableRejects>) -> Result<FileEntry, Error> {
    let schema = Arc::new(Schema::new(vec![
        Field::new("file", DataType::Utf8, false),
        Field::new("line", DataType::Int64, false),
        Field::new("table", DataType::Utf8, false),
        Field::new("column", DataType::Utf8, true),
        Field::new("reason", DataType::Utf8, false),
    ]));
    let tags = FileTags {
        tier: "quality".to_owned(),
        table: "rejects".to_owned(),
        callset: None,
        date_basis: "none",
        vocabulary: None,
    };
    let properties = properties(&tags, &[]).build();
    let path = format!("quality/rejects/ehr/{site}.parquet");
    let mut file = TableFile::create(root, &path, schema.clone(), tags, properties)?;
    for table in tables {
        let (spec, names) = (table.spec, table.files.clone());
        table.drain(|rows| {
            let name = |r: &Reject| names.get(r.file as usize).map_or("", String::as_str);
            let columns: Vec<ArrayRef> = vec![
                Arc::new(StringArray::from_iter_values(rows.iter().map(name))),
                Arc::new(Int64Array::from_iter_values(rows.iter().map(|r| r.line as i64))),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|_| spec.name))),
                Arc::new(StringArray::from_iter(
                    rows.iter().map(|r| r.field.map(|f| spec.fields[f as usize].name)),
                )),
                Arc::new(StringArray::from_iter_values(rows.iter().map(|r| r.reason.code()))),
            ];
            let batch = RecordBatch::try_new(schema.clone(), columns)
                .map_err(|source| Error::Arrow { table: spec.name, source })?;
            Ok(file.write(&batch)?)
        })?;
    }
    Ok(file.finish()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::omop::cdm::{CdmVersion, cdm};

    #[test]
    fn rejects_beyond_memory_come_back_in_order() {
        let scratch = tempfile::tempdir().unwrap();
        let job = Job::quiet(scratch.path(), 1);
        let spec = cdm(CdmVersion::V5_4).table("person").unwrap();
        let mut rejects = TableRejects::new(spec);
        let row = |i: u64| Reject {
            line: i * 3,
            file: (i % 5) as u32,
            field: (!i.is_multiple_of(4)).then_some((i % 18) as u16),
            reason: Reason::ALL[(i % 10) as usize],
        };
        let rows = 2 * KEPT as u64 + 77;
        for i in 0..rows {
            rejects.push(row(i), &job).unwrap();
        }
        assert!(rejects.rows.len() < KEPT);
        assert_eq!(std::fs::read_dir(&job.scratch).unwrap().count(), 0);
        let mut next = 0;
        rejects
            .drain(|rows| {
                for &found in rows {
                    assert_eq!(found, row(next));
                    next += 1;
                }
                Ok(())
            })
            .unwrap();
        assert_eq!(next, rows);
    }
}
