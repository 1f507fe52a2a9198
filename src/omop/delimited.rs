//! One CSV or TSV file into a [`Loader`].

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::config::TextEncoding;
use crate::engine::Job;
use crate::error::IoError;

use super::encoding::Decoder;
use super::error::Error;
use super::folder::Source;
use super::header::{Columns, is_placeholder};
use super::loader::Loader;
use super::records::RecordReader;
use super::value::{Cell, Reason, parse};

/// Lines named in a [`Error::RaggedRows`].
const LINES_TOLD: usize = 5;

/// Tells the job how many bytes of the file have been read.
struct Metered<'a> {
    file: File,
    job: &'a Job,
}

impl Read for Metered<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let n = self.file.read(out)?;
        self.job.progress.advance(n as u64);
        Ok(n)
    }
}

/// What a file may be that is not `declared`: one byte a character, if it was read as anything else.
/// Code page 1252 has all characters of ISO 8859-1, but not all of its control bytes.
fn looks_like(declared: TextEncoding) -> &'static str {
    match declared {
        TextEncoding::Windows1252 => TextEncoding::Iso8859_1.name(),
        TextEncoding::Utf8 | TextEncoding::Iso8859_1 => TextEncoding::Windows1252.name(),
        TextEncoding::Utf16 => TextEncoding::Utf8.name(),
    }
}

type Input<'a> = Box<dyn Read + 'a>;

/// Opens `path`, unpacking it when it starts as gzip or zstd does; true when it did.
fn open<'a>(path: &Path, job: &'a Job) -> Result<(Input<'a>, bool), Error> {
    let mut magic = [0; 4];
    let mut file = File::open(path).map_err(IoError::at("opening", path))?;
    let mut got = 0;
    while got < magic.len() {
        match file.read(&mut magic[got..]).map_err(IoError::at("reading", path))? {
            0 => break,
            n => got += n,
        }
    }
    let file = File::open(path).map_err(IoError::at("opening", path))?;
    let metered = Metered { file, job };
    if magic.starts_with(&[0x1f, 0x8b]) {
        let input = MultiGzDecoder::new(BufReader::with_capacity(1 << 16, metered));
        Ok((Box::new(input), true))
    } else if magic == [0x28, 0xB5, 0x2F, 0xFD] {
        let input = zstd::Decoder::new(metered).map_err(IoError::at("opening", path))?;
        Ok((Box::new(input), true))
    } else {
        Ok((Box::new(metered), false))
    }
}

struct Text<'a> {
    path: &'a Path,
    compressed: bool,
    encoding: TextEncoding,
    reader: RecordReader<Input<'a>>,
}

impl Text<'_> {
    fn advance(&mut self) -> Result<bool, Error> {
        self.reader.advance().map_err(|p| Error::text(self.path, p, self.compressed, self.encoding))
    }

    /// The current record as names.
    fn names(&self) -> Result<Vec<String>, Error> {
        let bytes = self.reader.bytes();
        let text = std::str::from_utf8(bytes).map_err(|_| Error::Encoding {
            file: self.path.to_path_buf(),
            declared: self.encoding.name(),
            found: "bytes in the header that are none of its characters",
            looks_like: looks_like(self.encoding),
        })?;
        let name = |&(from, to): &(u32, u32)| {
            text.get(from as usize..to as usize).unwrap_or_default().to_owned()
        };
        Ok(self.reader.fields().iter().map(name).collect())
    }

    fn is_empty_row(&self) -> bool {
        self.reader.fields().iter().all(|(from, to)| from == to)
    }
}

#[derive(Default)]
struct Faults {
    rows: u64,
    not_utf8: u64,
    ragged: u64,
    ragged_lines: Vec<u64>,
}

/// Reads `source` into `loader`.
///
/// # Errors
/// When the file cannot be read as text of the table: see [`Error`].
pub fn load(source: &Source, loader: &mut Loader<'_>, job: &Job) -> Result<(), Error> {
    let path = &source.path;
    let (input, compressed) = open(path, job)?;
    let encoding = loader.context.encoding;
    let input = match encoding {
        TextEncoding::Utf8 => input,
        _ => Box::new(Decoder::new(input, encoding)),
    };
    let reader =
        RecordReader::new(input).map_err(|p| Error::text(path, p, compressed, encoding))?;
    let mut text = Text { path, compressed, encoding, reader };
    let Some(columns) = header(&mut text, loader)? else { return Ok(()) };
    for note in &columns.unknown {
        loader.ledger.note(note, 1);
    }
    loader.start_file(source.base_name(), &columns.sources);
    let mut faults = Faults::default();
    let mut cells = vec![Cell::Null; columns.sources.len()];
    while text.advance()? {
        if faults.rows.is_multiple_of(8192) {
            job.check()?;
        }
        row(&text, &columns, loader, &mut cells, &mut faults)?;
    }
    faults.judge(path, columns.width, encoding)
}

/// The file's columns; none when it has no rows and no header to speak of.
fn header(text: &mut Text<'_>, loader: &mut Loader<'_>) -> Result<Option<Columns>, Error> {
    if !text.advance()? {
        loader.ledger.note("empty_file", 1);
        return Ok(None);
    }
    let mut names = text.names()?;
    if is_placeholder(&names) {
        loader.ledger.note("placeholder_header", 1);
        loop {
            if !text.advance()? {
                return Ok(None);
            }
            if !text.is_empty_row() {
                break;
            }
            loader.skip_empty();
        }
        names = text.names()?;
    }
    Columns::match_names(&names, loader.spec, text.path, text.reader.line()).map(Some)
}

fn row(
    text: &Text<'_>,
    columns: &Columns,
    loader: &mut Loader<'_>,
    cells: &mut [Cell],
    faults: &mut Faults,
) -> Result<(), Error> {
    let (line, fields, bytes) = (text.reader.line(), text.reader.fields(), text.reader.bytes());
    // A record that cannot be believed counts as the lines it is made of: each may have been a row.
    let lines = line..line + text.reader.lines();
    if fields.len() != columns.width {
        faults.rows += text.reader.lines();
        faults.ragged += text.reader.lines();
        if faults.ragged_lines.len() < LINES_TOLD {
            faults.ragged_lines.push(line);
        }
        return lines.into_iter().try_for_each(|line| loader.reject(line, None, Reason::Ragged));
    }
    faults.rows += 1;
    if text.is_empty_row() {
        loader.skip_empty();
        return Ok(());
    }
    if text.reader.is_torn() {
        return lines.into_iter().try_for_each(|line| loader.reject(line, None, Reason::TornQuote));
    }
    if memchr::memchr(0, bytes).is_some() {
        return loader.reject(line, None, Reason::NulByte);
    }
    let Ok(utf8) = std::str::from_utf8(bytes) else {
        faults.not_utf8 += 1;
        return loader.reject(line, None, Reason::InvalidUtf8);
    };
    for (ordinal, source) in columns.sources.iter().enumerate() {
        let Some(source) = source else { continue };
        let (from, to) = fields[*source];
        let value = &bytes[from as usize..to as usize];
        let kind = loader.spec.fields[ordinal].kind;
        match parse(kind, value, from, &mut loader.leniency) {
            Ok(cell) => cells[ordinal] = cell,
            Err(reason) => return loader.reject(line, Some(ordinal), reason),
        }
    }
    loader.accept(line, utf8, cells)
}

impl Faults {
    /// Whether the file as a whole can be believed.
    fn judge(self, path: &Path, width: usize, encoding: TextEncoding) -> Result<(), Error> {
        let file = path.to_path_buf();
        if self.not_utf8 * 2 > self.rows {
            return Err(Error::Encoding {
                file,
                declared: encoding.name(),
                found: "most rows hold bytes that are none of its characters",
                looks_like: looks_like(encoding),
            });
        }
        if self.ragged * 2 > self.rows {
            return Err(Error::RaggedRows {
                file,
                expected: width,
                count: self.ragged,
                lines: self.ragged_lines,
            });
        }
        Ok(())
    }
}
