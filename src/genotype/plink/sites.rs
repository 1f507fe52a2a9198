//! Variants of .bim, .pvar and .pvar.zst files.
//!
//! The text is read twice as a stream: once when it is opened, to count and to see whether it is sorted,
//! and once for the shards. Only for a file that is not sorted is an index kept.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use memmap2::Mmap;

use crate::error::IoError;
use crate::genotype::Error;
use crate::genotype::header::{self, Header};
use crate::genotype::region;
use crate::genotype::shard::Site;

/// Longest line accepted, in bytes.
const MAX_LINE: u64 = 1 << 30;
/// Most text of an unsorted compressed file that is held, in bytes.
const MAX_HELD: usize = 1 << 30;
/// In [`Columns`]: not there.
const NONE: usize = usize::MAX;
/// Columns that are read.
const FIELDS: usize = 8;

/// Variants of a file.
pub struct Sites {
    path: PathBuf,
    map: Mmap,
    columns: Columns,
    /// Lines before the first variant.
    pub header_lines: u64,
    /// Number of variants.
    pub count: u32,
    /// Variants that INFO marks as `PR`, of provisional REF.
    pub provisional: u64,
    order: Option<Order>,
}

/// How to take the variants of an unsorted file in order.
struct Order {
    variants: Vec<u32>,
    /// By variant: where its line starts.
    starts: Vec<u64>,
    /// The text, if the file is compressed.
    text: Option<Vec<u8>>,
}

/// By CHROM, POS, ID, REF, ALT, QUAL, FILTER, INFO: the column.
#[derive(Debug, Clone, Copy)]
struct Columns {
    at: [usize; FIELDS],
    /// Columns up to the last that a line must have.
    needed: usize,
}

impl Columns {
    /// Of a header line, which starts with `#CHROM`.
    fn named(line: &[u8]) -> Result<Self, &'static str> {
        const NAMES: [&[u8]; FIELDS] =
            [b"#CHROM", b"POS", b"ID", b"REF", b"ALT", b"QUAL", b"FILTER", b"INFO"];
        let mut at = [NONE; FIELDS];
        for (i, name) in fields(line).take_while(|n| *n != b"FORMAT").enumerate() {
            match NAMES.iter().position(|n| *n == name) {
                Some(k) if at[k] != NONE => return Err("a column comes up twice"),
                Some(k) => at[k] = i,
                None if name == b"CM" => {}
                None => return Err("a column is none of .pvar"),
            }
        }
        if at[..5].contains(&NONE) {
            return Err("one of CHROM, POS, ID, REF and ALT is missing");
        }
        Ok(Self::new(at))
    }

    /// Of a file without header: .bim, with or without centimorgans. A1 is ALT, A2 is REF.
    fn of_bim(first: &[u8]) -> Self {
        let none = [NONE; 3];
        let [a, b, c] = none;
        match fields(first).count() {
            5 => Self::new([0, 2, 1, 4, 3, a, b, c]),
            _ => Self::new([0, 3, 1, 5, 4, a, b, c]),
        }
    }

    fn new(at: [usize; FIELDS]) -> Self {
        Self { at, needed: 1 + at.iter().filter(|&&i| i != NONE).max().unwrap_or(&0) }
    }

    fn split<'a>(&self, line: &'a [u8]) -> Option<[&'a [u8]; FIELDS]> {
        let mut out = [&b"."[..]; FIELDS];
        let mut seen = 0;
        for (i, field) in fields(line).take(self.needed).enumerate() {
            seen += 1;
            if let Some(k) = self.at.iter().position(|&at| at == i) {
                out[k] = field;
            }
        }
        (seen == self.needed).then_some(out)
    }
}

/// Fields between blanks and tabs; several in a row count as one.
fn fields(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&b| b == b'\t' || b == b' ' || b == b'\r').filter(|f| !f.is_empty())
}

/// A chromosome as VCF names it, for the codes of PLINK; empty for unplaced variants (`0`).
fn chrom(raw: &[u8]) -> &[u8] {
    let bare = match raw {
        [c, h, r, rest @ ..] if [*c, *h, *r].eq_ignore_ascii_case(b"chr") => rest,
        _ => raw,
    };
    match bare {
        b"0" => b"",
        b"23" | b"25" | b"XY" | b"PAR1" | b"PAR2" => b"X",
        b"24" => b"Y",
        b"26" => b"MT",
        _ => raw,
    }
}

fn position(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok().filter(|t| !t.starts_with('+'))?.parse().ok()
}

impl Sites {
    /// Opens the file, reads its header into `header` and looks at all variants.
    ///
    /// # Errors
    /// When it cannot be read or decompressed, or its header is malformed.
    pub fn open(path: &Path, header: &mut Header) -> Result<Self, Error> {
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        // SAFETY: as for the genotypes, see `Source::open`: read-only, and inputs are immutable.
        let map = unsafe { Mmap::map(&file) }.map_err(IoError::at("mapping", path))?;
        let mut sites = Self {
            path: path.to_owned(),
            map,
            columns: Columns::of_bim(b""),
            header_lines: 0,
            count: 0,
            provisional: 0,
            order: None,
        };
        sites.survey(header)?;
        Ok(sites)
    }

    fn fault(&self, line: u64, what: &'static str) -> Error {
        Error::PlinkText { file: self.path.clone(), line, what }
    }

    fn compressed(&self) -> bool {
        self.map.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
    }

    fn reader(&self) -> Result<Box<dyn BufRead + Send + '_>, Error> {
        if !self.compressed() {
            return Ok(Box::new(&self.map[..]));
        }
        let decoder = zstd::stream::read::Decoder::with_buffer(&self.map[..])
            .map_err(IoError::at("reading", &self.path))?;
        Ok(Box::new(BufReader::with_capacity(1 << 17, decoder)))
    }

    fn survey(&mut self, header: &mut Header) -> Result<(), Error> {
        let mut survey = Survey::default();
        let mut meta = Vec::new();
        let mut lines = Lines { reader: self.reader()?, sites: self, read: 0 };
        let (mut line, mut start, mut begun, mut ended) = (Vec::new(), 0u64, false, false);
        let mut columns = self.columns;
        let (mut header_lines, mut count, mut provisional) = (0, 0u64, 0);
        while lines.append(&mut line)? {
            let length = line.len() as u64;
            let text = line.strip_suffix(b"\n").unwrap_or(&line);
            let at = lines.read;
            if !begun && text.starts_with(b"#") {
                header_lines += 1;
                if text.starts_with(b"#CHROM") {
                    columns = Columns::named(text).map_err(|what| self.fault(at, what))?;
                    begun = true;
                } else {
                    meta.extend_from_slice(&line);
                }
            } else if text.trim_ascii().is_empty() {
                ended = true;
            } else {
                if ended {
                    return Err(self.fault(at - 1, "an empty line"));
                }
                if count == 0 && !begun {
                    columns = Columns::of_bim(text);
                }
                begun = true;
                count += 1;
                let fields = columns.split(text);
                provisional += u64::from(fields.is_some_and(|f| has_pr(f[7])));
                survey.add(fields, start);
            }
            start += length;
            line.clear();
        }
        drop(lines);
        header::read_meta_lines(&meta, header);
        (self.columns, self.header_lines, self.provisional) = (columns, header_lines, provisional);
        let too_many = |_| Error::TooLarge { what: "number of variants of a file" };
        self.count = u32::try_from(count).map_err(too_many)?;
        if survey.unsorted {
            self.order = Some(self.sort()?);
        }
        Ok(())
    }

    /// Reads the file once more for the order of its variants.
    fn sort(&self) -> Result<Order, Error> {
        let mut survey = Survey { keep: true, ..Survey::default() };
        let mut held = self.compressed().then(Vec::new);
        let mut lines = Lines { reader: self.reader()?, sites: self, read: 0 };
        let (mut line, mut start) = (Vec::new(), 0);
        while survey.starts.len() < self.count as usize && lines.append(&mut line)? {
            if lines.read > self.header_lines {
                survey.add(self.columns.split(line.strip_suffix(b"\n").unwrap_or(&line)), start);
            }
            start += line.len() as u64;
            if let Some(text) = &mut held {
                if text.len() + line.len() > MAX_HELD {
                    return Err(Error::TooLarge { what: "an unsorted compressed .pvar" });
                }
                text.extend_from_slice(&line);
            }
            line.clear();
        }
        let (variants, starts) = survey.order();
        Ok(Order { variants, starts, text: held })
    }

    /// The variant that is at place `ordinal` (from 0) of the shards.
    pub fn variant_at(&self, ordinal: u64) -> u64 {
        let at = |o: &Order| o.variants.get(ordinal as usize).map(|&v| u64::from(v));
        self.order.as_ref().and_then(at).unwrap_or(ordinal)
    }

    /// A reader of the variants in order.
    ///
    /// # Errors
    /// When the decompressor cannot be made.
    pub fn feed(&self) -> Result<SiteFeed<'_>, Error> {
        Ok(SiteFeed { lines: Lines { reader: self.reader()?, sites: self, read: 0 }, next: 0 })
    }

    /// The fixed fields in a line.
    ///
    /// # Errors
    /// A reason code.
    pub fn site<'a>(&self, line: &'a [u8]) -> Result<Site<'a>, &'static str> {
        let [name, pos, id, reference, alt, qual, filter, info] =
            self.columns.split(line).ok_or("column_count")?;
        let pos = position(pos).ok_or("bad_pos")?;
        let qual = match qual {
            b"." => None,
            text => {
                let text = std::str::from_utf8(text).map_err(|_| "bad_qual")?;
                Some(text.parse::<f32>().map_err(|_| "bad_qual")?).filter(|q| !q.is_nan())
            }
        };
        // `0` is how .bim writes an allele that nobody has.
        let alt = if alt == b"0" { b"." } else { alt };
        Ok(Site { chrom: chrom(name), pos, id, reference, alt, qual, filter, info })
    }
}

fn has_pr(info: &[u8]) -> bool {
    info.split(|&b| b == b';').any(|key| key == b"PR")
}

/// Looks whether variants are in order, and puts them in order.
#[derive(Default)]
struct Survey {
    /// Chromosomes by name as the file writes it: their number.
    numbers: HashMap<Vec<u8>, u32>,
    /// By number: what chromosomes sort by.
    ranks: Vec<(u8, String)>,
    closed: Vec<bool>,
    name: Vec<u8>,
    last: (u32, i32),
    unsorted: bool,
    /// Whether keys and starts are kept.
    keep: bool,
    keys: Vec<(u32, i32)>,
    starts: Vec<u64>,
}

impl Survey {
    fn add(&mut self, fields: Option<[&[u8]; FIELDS]>, start: u64) {
        // What cannot be placed will be rejected and stays with its neighbour.
        let place = fields.and_then(|f| Some((f[0], position(f[1]).filter(|&pos| pos > 0)?)));
        if let Some((name, pos)) = place
            && let Some(number) = self.number(name)
        {
            if number != self.last.0 {
                if self.closed[number as usize] {
                    self.unsorted = true;
                }
                if let Some(closed) = self.closed.get_mut(self.last.0 as usize) {
                    *closed = !self.name.is_empty();
                }
            } else if pos < self.last.1 {
                self.unsorted = true;
            }
            self.last = (number, pos);
            if self.name != name {
                self.name = name.to_vec();
            }
        }
        if self.keep {
            self.keys.push(self.last);
            self.starts.push(start);
        }
    }

    fn number(&mut self, name: &[u8]) -> Option<u32> {
        if self.name == name && !name.is_empty() {
            return Some(self.last.0);
        }
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        let chrom = region::chrom(chrom(name))?;
        let rank = (chrom.rank, chrom.name);
        let known = self.ranks.iter().position(|r| *r == rank);
        let number = known.unwrap_or(self.ranks.len());
        if known.is_none() {
            self.ranks.push(rank);
            self.closed.push(false);
        }
        self.numbers.insert(name.to_vec(), number as u32);
        Some(number as u32)
    }

    /// Variants in order, and starts by variant.
    fn order(mut self) -> (Vec<u32>, Vec<u64>) {
        let mut sorted: Vec<usize> = (0..self.ranks.len()).collect();
        sorted.sort_by(|&a, &b| self.ranks[a].cmp(&self.ranks[b]));
        let mut place = vec![0; sorted.len()];
        sorted.iter().enumerate().for_each(|(i, &number)| place[number] = i as u32);
        for key in &mut self.keys {
            key.0 = place.get(key.0 as usize).copied().unwrap_or(0);
        }
        let mut variants: Vec<u32> = (0..self.keys.len() as u32).collect();
        variants.sort_by_key(|&v| self.keys[v as usize]);
        (variants, self.starts)
    }
}

/// Lines of the text, one after the other.
struct Lines<'a> {
    reader: Box<dyn BufRead + Send + 'a>,
    sites: &'a Sites,
    read: u64,
}

impl Lines<'_> {
    /// Appends the next line with its line end; says whether there was one.
    fn append(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        let before = out.len();
        let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', out);
        self.read += 1;
        let damaged = |_| self.sites.fault(self.read, "the zstd stream is damaged or cut short");
        let read = read.map_err(damaged)? as u64;
        if read == MAX_LINE && out.last() != Some(&b'\n') {
            let file = self.sites.path.clone();
            return Err(Error::LineTooLong { file, limit: MAX_LINE as usize });
        }
        if read > 0 && out.last() != Some(&b'\n') {
            out.push(b'\n');
        }
        Ok(out.len() > before)
    }
}

/// Consecutive variants in table order.
pub struct Variants {
    /// Their ordinals in the file, from 0.
    pub variants: Vec<u32>,
    /// Their lines, with line ends.
    pub text: Vec<u8>,
}

/// Hands out variants in order.
pub struct SiteFeed<'a> {
    lines: Lines<'a>,
    /// Variants handed out.
    pub next: u32,
}

impl SiteFeed<'_> {
    /// Up to `n` variants and their lines; `None` at the end.
    ///
    /// # Errors
    /// A damaged zstd stream.
    pub fn take(&mut self, n: u32) -> Result<Option<Variants>, Error> {
        let sites = self.lines.sites;
        let end = sites.count.min(self.next.saturating_add(n.max(1)));
        let places = self.next..end;
        if places.is_empty() {
            return Ok(None);
        }
        self.next = end;
        let mut text = Vec::new();
        if let Some(order) = &sites.order {
            let variants = order.variants[places.start as usize..places.end as usize].to_vec();
            let all = order.text.as_deref().unwrap_or(&sites.map);
            for &v in &variants {
                let line = &all[order.starts[v as usize] as usize..];
                text.extend(line.iter().take_while(|&&b| b != b'\n'));
                text.push(b'\n');
            }
            return Ok(Some(Variants { variants, text }));
        }
        while self.lines.read < sites.header_lines {
            self.lines.append(&mut text)?;
            text.clear();
        }
        for _ in places.clone() {
            self.lines.append(&mut text)?;
        }
        Ok(Some(Variants { variants: places.collect(), text }))
    }
}
