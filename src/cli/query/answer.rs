//! Rows of an answer as TSV, JSON lines or Parquet.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, Int64Builder, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema};
use rayon::prelude::*;

use super::super::args::{Query, QueryFormat};
use super::super::report::Failure;
use crate::config::nearest;
use crate::engine::{FileTags, TableFile};
use crate::error::IoError;

/// Rows that one thread puts into text at a time.
const PIECE: usize = 2048;

/// A column of an answer.
pub struct Column {
    name: &'static str,
    kind: DataType,
}

impl Column {
    /// Text.
    pub const fn text(name: &'static str) -> Self {
        Self { name, kind: DataType::Utf8 }
    }
    /// Whole numbers.
    pub const fn int(name: &'static str) -> Self {
        Self { name, kind: DataType::Int64 }
    }
    /// Numbers.
    pub const fn real(name: &'static str) -> Self {
        Self { name, kind: DataType::Float64 }
    }
}

/// A value of an answer.
#[derive(Debug, Clone, Copy)]
pub enum Cell<'a> {
    /// Text.
    Text(&'a str),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// Nothing.
    Null,
}

enum Sink {
    Text(Box<dyn Write + Send>),
    Table(Box<TableFile>, Arc<Schema>),
}

/// Where an answer goes, row by row.
pub struct Answer {
    columns: Vec<&'static Column>,
    /// Which cells of a row are wanted, in the order of `columns`.
    wanted: Vec<usize>,
    sink: Sink,
    json: bool,
    /// Texts of the last rows, whose memory is used again.
    pieces: Vec<Vec<u8>>,
    left: u64,
    place: std::path::PathBuf,
}

impl Answer {
    /// Opens the output and writes what comes before the rows.
    pub fn open(verb: &Query, columns: &'static [Column]) -> Result<Self, Failure> {
        let wanted = wanted(&verb.columns, columns)?;
        let columns: Vec<&'static Column> = wanted.iter().map(|&c| &columns[c]).collect();
        let left = verb.limit.unwrap_or(u64::MAX);
        let place = verb.out.clone().unwrap_or_else(|| "standard output".into());
        let sink = match (verb.format, &verb.out) {
            (QueryFormat::Parquet, Some(out)) => table(out, &columns)?,
            (_, Some(out)) => Sink::Text(Box::new(BufWriter::new(private(out)?))),
            (_, None) => Sink::Text(Box::new(std::io::stdout())),
        };
        let json = verb.format == QueryFormat::Json;
        let mut answer = Self { columns, wanted, sink, json, pieces: Vec::new(), left, place };
        if verb.format == QueryFormat::Tsv {
            let names: Vec<&str> = answer.columns.iter().map(|c| c.name).collect();
            answer.text(format!("{}\n", names.join("\t")).as_bytes())?;
        }
        Ok(answer)
    }

    /// Writes `n` rows, of which `cells` appends the `k`th; whether more rows are wanted.
    pub fn rows<'a>(
        &mut self,
        n: usize,
        cells: impl Fn(usize, &mut Vec<Cell<'a>>) + Sync,
    ) -> Result<bool, Failure> {
        let n = usize::try_from(self.left).unwrap_or(usize::MAX).min(n);
        self.left -= n as u64;
        let (columns, wanted, json) = (&self.columns, &self.wanted, self.json);
        let cells = |k: usize, all: &mut Vec<Cell<'a>>, row: &mut Vec<Cell<'a>>| {
            all.clear();
            cells(k, all);
            row.extend(wanted.iter().map(|&c| all[c]));
        };
        if let Sink::Table(file, schema) = &mut self.sink {
            file.write(&batch(columns, schema, n, cells)?).map_err(Failure::internal)?;
            return Ok(self.left > 0);
        }
        let count = n.div_ceil(PIECE);
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.resize_with(pieces.len().max(count), Vec::new);
        pieces[..count].par_iter_mut().enumerate().for_each(|(piece, text)| {
            text.clear();
            let (mut all, mut row) = (Vec::new(), Vec::with_capacity(columns.len()));
            for k in piece * PIECE..n.min((piece + 1) * PIECE) {
                row.clear();
                cells(k, &mut all, &mut row);
                if json { json_line(columns, &row, text) } else { tsv_line(&row, text) }
            }
        });
        for piece in &pieces[..count] {
            if !self.text(piece)? {
                return Ok(false);
            }
        }
        self.pieces = pieces;
        Ok(self.left > 0)
    }

    /// Whether somebody still reads.
    fn text(&mut self, text: &[u8]) -> Result<bool, Failure> {
        let Sink::Text(out) = &mut self.sink else { return Ok(true) };
        match out.write_all(text) {
            Ok(()) => Ok(true),
            // A reader that has gone away (`| head`) has seen enough.
            Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(e) => Err(IoError::at("writing", &self.place)(e).into()),
        }
    }

    /// Completes the output.
    pub fn finish(self) -> Result<(), Failure> {
        match self.sink {
            Sink::Text(mut out) => match out.flush() {
                Err(e) if e.kind() != ErrorKind::BrokenPipe => {
                    Err(IoError::at("writing", &self.place)(e).into())
                }
                _ => Ok(()),
            },
            Sink::Table(file, _) => file.finish().map(drop).map_err(Failure::internal),
        }
    }
}

/// Places of the columns that the user names; of all when none is named.
fn wanted(names: &[String], columns: &[Column]) -> Result<Vec<usize>, Failure> {
    if names.is_empty() {
        return Ok((0..columns.len()).collect());
    }
    let place = |name: &String| {
        columns.iter().position(|c| c.name == name).ok_or_else(|| {
            let known = columns.iter().map(|c| c.name);
            let help = match nearest(name, known.clone()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("there are {}", known.collect::<Vec<_>>().join(", ")),
            };
            let what = format!("--columns names `{name}`, which this answer does not have");
            Failure::stated("query::columns", what, Some(help))
        })
    };
    names.iter().map(place).collect()
}

/// A new file that only its owner may read: answers are Controlled-tier data.
fn private(out: &Path) -> Result<File, IoError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options.open(out).map_err(IoError::at("creating", out))
}

fn table(out: &Path, columns: &[&Column]) -> Result<Sink, Failure> {
    let fields = columns.iter().map(|c| Field::new(c.name, c.kind.clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let tags = FileTags {
        tier: "controlled".into(),
        table: "query".into(),
        callset: None,
        date_basis: "none",
        vocabulary: None,
    };
    let properties = crate::engine::parquet::properties(&tags, &[]).build();
    let root = out.parent().unwrap_or(Path::new(""));
    let name = out.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let file = TableFile::create(root, &name, schema.clone(), tags, properties);
    file.map(|f| Sink::Table(Box::new(f), schema)).map_err(|e| match e {
        crate::engine::parquet::Error::Io(e) => e.into(),
        e => Failure::internal(e),
    })
}

fn batch<'a>(
    columns: &[&Column],
    schema: &Arc<Schema>,
    n: usize,
    cells: impl Fn(usize, &mut Vec<Cell<'a>>, &mut Vec<Cell<'a>>),
) -> Result<RecordBatch, Failure> {
    let (mut all, mut rows) = (Vec::new(), Vec::with_capacity(n * columns.len()));
    (0..n).for_each(|k| cells(k, &mut all, &mut rows));
    let column = |c: usize| rows.iter().skip(c).step_by(columns.len());
    let arrays = columns.iter().enumerate().map(|(c, spec)| -> ArrayRef {
        match spec.kind {
            DataType::Utf8 => {
                let mut b = StringBuilder::new();
                column(c).for_each(|v| {
                    b.append_option(if let Cell::Text(t) = v { Some(t) } else { None })
                });
                Arc::new(b.finish())
            }
            DataType::Int64 => {
                let mut b = Int64Builder::new();
                column(c).for_each(|v| {
                    b.append_option(if let Cell::Int(i) = v { Some(*i) } else { None })
                });
                Arc::new(b.finish())
            }
            _ => {
                let mut b = Float64Builder::new();
                column(c).for_each(|v| {
                    b.append_option(if let Cell::Real(x) = v { Some(*x) } else { None })
                });
                Arc::new(b.finish())
            }
        }
    });
    RecordBatch::try_new(schema.clone(), arrays.collect()).map_err(Failure::internal)
}

fn int(value: i64, text: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        text.push(b'-');
    }
    text.extend_from_slice(&digits[at..]);
}

fn plain(cell: &Cell<'_>, text: &mut Vec<u8>) {
    match cell {
        Cell::Text(t) => text.extend_from_slice(t.as_bytes()),
        Cell::Int(i) => int(*i, text),
        // Most frequencies of rare variants; the shortest text of any other takes longer to find.
        Cell::Real(0.0) => text.push(b'0'),
        // Writing to a vector cannot fail.
        Cell::Real(x) => drop(write!(text, "{x}")),
        Cell::Null => {}
    }
}

fn tsv_line(cells: &[Cell<'_>], text: &mut Vec<u8>) {
    for (i, cell) in cells.iter().enumerate() {
        if i > 0 {
            text.push(b'\t');
        }
        plain(cell, text);
    }
    text.push(b'\n');
}

fn json_line(columns: &[&Column], cells: &[Cell<'_>], text: &mut Vec<u8>) {
    for (i, (column, cell)) in columns.iter().zip(cells).enumerate() {
        text.extend_from_slice(if i == 0 { b"{\"" } else { b",\"" });
        text.extend_from_slice(column.name.as_bytes());
        text.extend_from_slice(b"\":");
        match cell {
            Cell::Text(t) => text.extend(serde_json::Value::from(*t).to_string().into_bytes()),
            Cell::Null => text.extend_from_slice(b"null"),
            other => plain(other, text),
        }
    }
    text.extend_from_slice(b"}\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_text_are_written_as_others_read_them() {
        let mut text = Vec::new();
        for n in [0, 7, -12, i64::MAX, i64::MIN] {
            text.clear();
            int(n, &mut text);
            assert_eq!(String::from_utf8_lossy(&text), n.to_string());
        }
        text.clear();
        let columns = [Column::text("a"), Column::int("b"), Column::real("c"), Column::text("d")];
        let cells = [Cell::Text("x\"\t"), Cell::Int(5), Cell::Real(0.25), Cell::Null];
        json_line(&columns.each_ref(), &cells, &mut text);
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap_or_default();
        assert_eq!(value, serde_json::json!({"a": "x\"\t", "b": 5, "c": 0.25, "d": null}));
        text.clear();
        tsv_line(&cells[1..], &mut text);
        assert_eq!(text, b"5\t0.25\t\n");
    }
}
