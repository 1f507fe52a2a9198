//! Delimited text as records, with the physical line each starts on.
//!
//! A record ends at LF, CRLF or a lone CR outside quotes, in any mixture. Quotes count at the start of a
//! field only, as in RFC 4180; a quote elsewhere is text. Comma-separated files are read with quoting.
//! TAB-separated files are read without, because Athena and database dumps write raw quotes; unless the
//! header itself is quoted, which shows that the writer quotes.

use std::io::Read;

/// Longest record read, in bytes: what is longer is a quote that never closes, not data.
pub const MAX_RECORD: usize = 10 << 20;

const FIRST_BUFFER: usize = 1 << 18;

/// What can be wrong with the text as such.
#[derive(Debug)]
pub enum Problem {
    /// The input could not be read or decompressed.
    Io(std::io::Error),
    /// UTF-16 or UTF-32 by its byte order mark or its NUL bytes.
    Utf16,
    /// A record longer than [`MAX_RECORD`], by the line it starts on.
    TooLong(u64),
    /// A quoted field still open at the end of the file, by the line its record starts on.
    Unclosed(u64),
}

enum Scan {
    Record { consumed: usize, lines: u64 },
    Blank { consumed: usize },
    More,
    End,
}

/// Reads records from delimited text.
pub struct RecordReader<R> {
    input: R,
    buffer: Vec<u8>,
    pos: usize,
    end: usize,
    eof: bool,
    next_line: u64,
    line: u64,
    lines: u64,
    /// Fields of the first record, which is the header.
    width: usize,
    delimiter: u8,
    quoting: bool,
    /// Field ranges, in `scratch` when the record has quotes, else in `buffer` from `start`.
    fields: Vec<(u32, u32)>,
    scratch: Vec<u8>,
    in_scratch: bool,
    torn: bool,
    start: usize,
    len: usize,
}

impl<R: Read> RecordReader<R> {
    /// Opens `input`: skips a UTF-8 byte order mark and takes delimiter and quoting from the first line.
    ///
    /// # Errors
    /// When the input cannot be read or is UTF-16.
    pub fn new(input: R) -> Result<Self, Problem> {
        Self::with_buffer(input, FIRST_BUFFER)
    }

    fn with_buffer(input: R, size: usize) -> Result<Self, Problem> {
        let mut reader = Self {
            input,
            buffer: vec![0; size],
            pos: 0,
            end: 0,
            eof: false,
            next_line: 1,
            line: 0,
            lines: 0,
            width: 0,
            delimiter: b',',
            quoting: true,
            fields: Vec::new(),
            scratch: Vec::new(),
            in_scratch: false,
            torn: false,
            start: 0,
            len: 0,
        };
        reader.sniff()?;
        Ok(reader)
    }

    fn sniff(&mut self) -> Result<(), Problem> {
        let header_end = loop {
            let data = &self.buffer[..self.end];
            match memchr::memchr2(b'\n', b'\r', data) {
                Some(end) => break end,
                None if self.eof => break self.end,
                None => self.fill()?,
            }
        };
        let data = &self.buffer[..self.end];
        if data.starts_with(&[0xFF, 0xFE]) || data.starts_with(&[0xFE, 0xFF]) {
            return Err(Problem::Utf16);
        }
        if data.starts_with(&[0xEF, 0xBB, 0xBF]) {
            self.pos = 3;
        }
        let header = &data[self.pos.min(header_end)..header_end];
        if header.contains(&0) {
            return Err(Problem::Utf16);
        }
        let tabs = memchr::memchr_iter(b'\t', header).count();
        let commas = memchr::memchr_iter(b',', header).count();
        if tabs > commas {
            self.delimiter = b'\t';
            self.quoting = header.split(|&b| b == b'\t').any(|name| name.starts_with(b"\""));
        }
        Ok(())
    }

    /// Moves to the next record, skipping blank lines; false at the end.
    ///
    /// # Errors
    /// [`Problem`]; the reader is of no use afterwards.
    pub fn advance(&mut self) -> Result<bool, Problem> {
        loop {
            match self.scan()? {
                Scan::Record { consumed, lines } => {
                    self.line = self.next_line;
                    self.lines = lines;
                    self.next_line += lines;
                    if self.width == 0 {
                        self.width = self.fields.len();
                    }
                    self.pos += consumed;
                    return Ok(true);
                }
                Scan::Blank { consumed } => {
                    self.next_line += 1;
                    self.pos += consumed;
                }
                Scan::More => self.fill()?,
                Scan::End => return Ok(false),
            }
        }
    }

    /// Line the current record starts on, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Physical lines of the current record.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Bytes that the field ranges of the current record refer to.
    pub fn bytes(&self) -> &[u8] {
        if self.in_scratch {
            &self.scratch
        } else {
            &self.buffer[self.start..self.start + self.len]
        }
    }

    /// Whether a quoted field of the current record runs over a line end and goes on after its closing
    /// quote, or holds what looks like whole rows of the file, as stray quotes make it that draw rows
    /// together.
    pub fn is_torn(&self) -> bool {
        self.torn
    }

    /// Byte ranges of the fields of the current record, unquoted.
    pub fn fields(&self) -> &[(u32, u32)] {
        &self.fields
    }

    fn scan(&mut self) -> Result<Scan, Problem> {
        let data = &self.buffer[self.pos..self.end];
        if data.is_empty() {
            return Ok(if self.eof { Scan::End } else { Scan::More });
        }
        let stop = memchr::memchr2(b'\n', b'\r', data);
        let line = &data[..stop.unwrap_or(data.len())];
        if self.quoting && memchr::memchr(b'"', line).is_some() {
            return self.scan_quoted();
        }
        let consumed = match stop {
            None if self.eof => data.len(),
            None => return Ok(Scan::More),
            Some(at) => match line_end(data, at, self.eof) {
                Some(end) => end,
                None => return Ok(Scan::More),
            },
        };
        if line.is_empty() {
            return Ok(Scan::Blank { consumed });
        }
        self.in_scratch = false;
        self.torn = false;
        self.start = self.pos;
        self.len = line.len();
        self.fields.clear();
        let mut from = 0;
        for at in memchr::memchr_iter(self.delimiter, line) {
            self.fields.push((from, at as u32));
            from = at as u32 + 1;
        }
        self.fields.push((from, line.len() as u32));
        Ok(Scan::Record { consumed, lines: 1 })
    }

    fn scan_quoted(&mut self) -> Result<Scan, Problem> {
        let data = &self.buffer[self.pos..self.end];
        self.scratch.clear();
        self.fields.clear();
        self.in_scratch = true;
        self.torn = false;
        let mut field = 0;
        let mut at = 0;
        loop {
            // At the start of a field.
            if data.get(at) == Some(&b'"') {
                match unquote(data, at + 1, &mut self.scratch) {
                    Some(after) => at = after,
                    None if self.eof => return Err(Problem::Unclosed(self.next_line)),
                    None => return Ok(Scan::More),
                }
                // A quote that ends the data may be the first of a doubled one.
                if at == data.len() && !self.eof {
                    return Ok(Scan::More);
                }
            }
            let rest = &data[at..];
            let stop = memchr::memchr3(self.delimiter, b'\n', b'\r', rest);
            let quoted = &self.scratch[field as usize..];
            self.torn |= memchr::memchr2(b'\n', b'\r', quoted).is_some()
                && ((stop != Some(0) && !rest.is_empty())
                    || holds_rows(quoted, self.delimiter, self.width, self.fields.len()));
            self.scratch.extend_from_slice(&rest[..stop.unwrap_or(rest.len())]);
            let field_end = self.scratch.len() as u32;
            let Some(stop) = stop else {
                if !self.eof {
                    return Ok(Scan::More);
                }
                self.fields.push((field, field_end));
                return Ok(Scan::Record { consumed: data.len(), lines: line_count(data) });
            };
            at += stop;
            self.fields.push((field, field_end));
            field = field_end;
            if data[at] == self.delimiter {
                at += 1;
                continue;
            }
            return Ok(match line_end(data, at, self.eof) {
                Some(consumed) => Scan::Record { consumed, lines: line_count(&data[..consumed]) },
                None => Scan::More,
            });
        }
    }

    fn fill(&mut self) -> Result<(), Problem> {
        self.buffer.copy_within(self.pos..self.end, 0);
        self.end -= self.pos;
        self.pos = 0;
        if self.end == self.buffer.len() {
            if self.end >= MAX_RECORD {
                return Err(Problem::TooLong(self.next_line));
            }
            self.buffer.resize((self.end * 2).min(MAX_RECORD), 0);
        }
        while self.end < self.buffer.len() {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => {
                    self.eof = true;
                    break;
                }
                Ok(n) => self.end += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(Problem::Io(e)),
            }
        }
        Ok(())
    }
}

/// Where the line end at `at` ends; None when a CR is the last byte read so far.
fn line_end(data: &[u8], at: usize, eof: bool) -> Option<usize> {
    match (data[at], data.get(at + 1)) {
        (b'\r', Some(b'\n')) => Some(at + 2),
        (b'\r', None) if !eof => None,
        _ => Some(at + 1),
    }
}

/// Copies a quoted field from after its opening quote to `out` and returns where its closing quote ends.
fn unquote(data: &[u8], mut at: usize, out: &mut Vec<u8>) -> Option<usize> {
    loop {
        let quote = at + memchr::memchr(b'"', &data[at..])?;
        out.extend_from_slice(&data[at..quote]);
        if data.get(quote + 1) != Some(&b'"') {
            return Some(quote + 1);
        }
        out.push(b'"');
        at = quote + 2;
    }
}

/// Whether a quoted field in `column` of `width` holds the rest of a row, rows, and the beginning of one: as
/// many delimiters a line as rows have, and a number at the start of each. Two stray quotes make such a field
/// of all that is between them.
fn holds_rows(text: &[u8], delimiter: u8, width: usize, column: usize) -> bool {
    let Some(delimiters) = width.checked_sub(1).filter(|n| *n > 0 && column <= *n) else {
        return false;
    };
    let lines: Vec<&[u8]> =
        text.split(|b| matches!(b, b'\n' | b'\r')).filter(|line| !line.is_empty()).collect();
    let last = lines.len().saturating_sub(1);
    let is_row = |(at, line): (usize, &&[u8])| {
        let found = memchr::memchr_iter(delimiter, line).count();
        let first = line.split(|b| *b == delimiter).next().unwrap_or_default();
        let number = !first.is_empty()
            && first.iter().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'"'));
        match at {
            0 => found == delimiters - column,
            at if at == last => found == column && number,
            _ => found == delimiters && number,
        }
    };
    last > 0 && lines.iter().enumerate().all(is_row)
}

/// Lines in a record's raw bytes; a last line without an end counts.
fn line_count(raw: &[u8]) -> u64 {
    let mut lines = 0;
    let mut last = 0;
    for at in memchr::memchr2_iter(b'\n', b'\r', raw) {
        if raw[at] == b'\n' || raw.get(at + 1) != Some(&b'\n') {
            lines += 1;
        }
        last = at + 1;
    }
    lines + u64::from(last < raw.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &[u8]) -> Result<Vec<(u64, Vec<String>)>, Problem> {
        let mut reader = RecordReader::with_buffer(text, 3)?;
        let mut records = Vec::new();
        while reader.advance()? {
            let cell = |&(a, b): &(u32, u32)| {
                String::from_utf8_lossy(&reader.bytes()[a as usize..b as usize]).into_owned()
            };
            records.push((reader.line(), reader.fields().iter().map(cell).collect()));
        }
        Ok(records)
    }

    fn lines(text: &str) -> Vec<(u64, String)> {
        let records = read(text.as_bytes()).unwrap();
        records.into_iter().map(|(line, cells)| (line, cells.join("|"))).collect()
    }

    fn owned(rows: &[(u64, &str)]) -> Vec<(u64, String)> {
        rows.iter().map(|&(n, s)| (n, s.to_owned())).collect()
    }

    #[test]
    fn line_ends_may_be_mixed() {
        let rows = owned(&[(1, "a|b"), (2, "1|2"), (3, "3|4"), (4, "5|"), (6, "7|8")]);
        assert_eq!(lines("a,b\r\n1,2\n3,4\r5,\n\n7,8"), rows);
        assert_eq!(lines("\u{feff}a,b\n1,2\n"), owned(&[(1, "a|b"), (2, "1|2")]));
        assert_eq!(lines(""), vec![]);
    }

    #[test]
    fn quoted_text_keeps_lines_and_their_count() {
        let text = "a,b\n1,\"x\ny\r\nz\"\n2,\"say \"\"hi\"\"\"\r\n3,in\"side\n4,\"\"\n";
        let rows = owned(&[
            (1, "a|b"),
            (2, "1|x\ny\r\nz"),
            (5, "2|say \"hi\""),
            (6, "3|in\"side"),
            (7, "4|"),
        ]);
        assert_eq!(lines(text), rows);
    }

    #[test]
    fn quotes_that_draw_rows_together_are_told() {
        let torn = |text: &str| {
            let mut reader = RecordReader::with_buffer(text.as_bytes(), 3).unwrap();
            let mut torn = Vec::new();
            while reader.advance().unwrap() {
                torn.push((reader.line(), reader.lines(), reader.is_torn()));
            }
            torn
        };
        let header = "id,date,text,type\n";
        let of = |rows: &str| torn(&format!("{header}{rows}"))[1..].to_vec();
        // The second stray quote ends its field too.
        assert_eq!(
            of("1,d,\"A,5\n2,d,x,5\n3,d,tube 5\",5\n4,d,y,5\n"),
            [(2, 3, true), (5, 1, false)]
        );
        assert_eq!(of("1,d,\"A,5\n2,d,5\",5\n"), [(2, 2, true)]);
        // It goes on after it.
        assert_eq!(of("1,d,\"A,5\n2,d,x,5\n3,d,tube 5\" long,5\n"), [(2, 3, true)]);
        // Text of several lines is text.
        assert_eq!(of("1,d,\"a\nb, c, d\ne\",5\n"), [(2, 3, false)]);
        assert_eq!(of("1,d,\"seen, twice\nnot, 3, times\",5\n"), [(2, 2, false)]);
    }

    #[test]
    fn tabs_mean_raw_quotes_unless_the_header_is_quoted() {
        assert_eq!(
            lines("a\tb\n\"x\" y\t5\" tube\n"),
            owned(&[(1, "a|b"), (2, "\"x\" y|5\" tube")])
        );
        assert_eq!(lines("\"a\"\t\"b\"\n\"x\ty\"\t2\n"), owned(&[(1, "a|b"), (2, "x\ty|2")]));
    }

    #[test]
    fn what_is_not_text_is_refused() {
        assert!(matches!(read(b"\xff\xfea\0,\0b\0\n\0"), Err(Problem::Utf16)));
        assert!(matches!(read(b"a\0,\0b\0\n\0"), Err(Problem::Utf16)));
        assert!(matches!(read(b"a,b\n1,2\n3,\"4\n5,6\n"), Err(Problem::Unclosed(3))));
        let mut long = b"a,b\n1,\"".to_vec();
        long.resize(MAX_RECORD + 100, b'x');
        assert!(matches!(
            RecordReader::new(&long[..]).and_then(|mut r| {
                while r.advance()? {}
                Ok(())
            }),
            Err(Problem::TooLong(2))
        ));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            rows in proptest::collection::vec(proptest::collection::vec("[a\",\r\n é]{0,6}", 3), 1..8),
            buffer in 1usize..9,
        ) {
            let mut text = b"h1,h2,h3\n".to_vec();
            for row in &rows {
                let cells: Vec<String> =
                    row.iter().map(|c| format!("\"{}\"", c.replace('"', "\"\""))).collect();
                text.extend_from_slice(cells.join(",").as_bytes());
                text.extend_from_slice(b"\r\n");
            }
            let mut reader = RecordReader::with_buffer(&text[..], buffer).unwrap();
            prop_assert!(reader.advance().unwrap());
            for row in &rows {
                prop_assert!(reader.advance().unwrap());
                for (cell, &(a, b)) in row.iter().zip(reader.fields()) {
                    prop_assert_eq!(cell.as_bytes(), &reader.bytes()[a as usize..b as usize]);
                }
            }
            prop_assert!(!reader.advance().unwrap());
        }
    }
}
