//! Cutting inputs into shards and scanning one. A shard is a pure function of its descriptor.

use std::collections::VecDeque;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::bgzf::{self, Inflater, MAX_BLOCK};
use super::merge::Merged;
use super::shard::{Builder, Context, ShardRows};
use super::source::{Format, Source};
use super::{Error, bcf, line, plink};

/// Longest line or record accepted, in bytes.
const MAX_LINE: usize = 1 << 28;
/// Blocks inflated before their lines are read, so that text is still in cache.
const BLOCKS_AT_ONCE: usize = 6;

/// Sizes of units. They change nothing in the output, rejects included: see
/// [`take_rejected`](super::assemble::Assembler::take_rejected).
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    /// BGZF blocks a shard.
    pub blocks: usize,
    /// Bytes of text a shard.
    pub bytes: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { blocks: 64, bytes: 4 << 20 }
    }
}

/// A shard of one file.
pub enum Shard {
    /// BGZF blocks of `range`; a line belongs to the shard in which the line end before it lies.
    Bgzf {
        /// Compressed byte range.
        range: (usize, usize),
        /// Whether it is the first of the body, which starts `skip` bytes in.
        first: Option<usize>,
    },
    /// Bytes of plain text, with the same rule.
    Text {
        /// Byte range.
        range: (usize, usize),
        /// Whether it is the first of the body.
        first: bool,
    },
    /// Whole lines of a stream.
    Lines(Vec<u8>),
    /// Whole BCF records of a stream.
    Records(Vec<u8>),
    /// Variants of a PLINK file.
    Variants(plink::Variants),
    /// Number of a window of a merge.
    Window(usize),
}

/// Hands out the shards of one file in order.
pub struct Feed<'a> {
    source: &'a Source,
    state: State<'a>,
}

enum State<'a> {
    Bgzf {
        at: usize,
        blocks: usize,
    },
    Text {
        at: usize,
        size: usize,
    },
    Gzip {
        decoder: Box<MultiGzDecoder<&'a [u8]>>,
        carry: Vec<u8>,
        skip: usize,
        seen: u64,
        size: usize,
    },
    Bcf {
        at: usize,
        skip: usize,
        carry: Vec<u8>,
        inflater: Inflater,
        records: u64,
        size: usize,
    },
    Plink(Box<plink::VariantFeed<'a>>),
    /// What went wrong when the feed was made.
    Failed(Option<Error>),
    Merged {
        next: usize,
    },
    Done,
}

impl<'a> Feed<'a> {
    /// A feed of all records of `source`.
    pub fn new(source: &'a Source, tuning: Tuning) -> Self {
        let state = match source.format {
            Format::Bgzf => State::Bgzf { at: source.body, blocks: tuning.blocks },
            Format::Text => State::Text { at: source.body, size: tuning.bytes },
            Format::Gzip => State::Gzip {
                decoder: Box::new(source.gzip()),
                carry: Vec::new(),
                skip: source.skip,
                seen: 0,
                size: tuning.bytes,
            },
            Format::Bcf => State::Bcf {
                at: source.body,
                skip: source.skip,
                carry: Vec::new(),
                inflater: Inflater::new(),
                records: 0,
                size: tuning.bytes,
            },
            Format::Plink => match source.plink.as_ref().map(|plink| plink.feed(tuning)) {
                Some(Ok(feed)) => State::Plink(Box::new(feed)),
                Some(Err(error)) => State::Failed(Some(error)),
                None => State::Done,
            },
            Format::Merged => State::Merged { next: 0 },
        };
        Self { source, state }
    }

    /// Bytes of the file that the shards so far stand for.
    pub fn consumed(&self) -> u64 {
        let total = self.source.bytes().len();
        let at = match &self.state {
            State::Gzip { decoder, .. } => total - decoder.get_ref().len(),
            State::Bgzf { at, .. } | State::Text { at, .. } | State::Bcf { at, .. } => *at,
            State::Plink(feed) => feed.consumed(total as u64) as usize,
            State::Merged { .. } => 0,
            State::Failed(_) | State::Done => total,
        };
        at as u64
    }

    /// The next shard.
    pub fn next(&mut self) -> Result<Option<Shard>, Error> {
        let source = self.source;
        let length = source.bytes().len();
        match &mut self.state {
            State::Bgzf { at, .. } | State::Text { at, .. } if *at >= length => Ok(None),
            State::Bgzf { at, blocks } => {
                // Walked as needed: the block headers are spread over the whole file.
                let end = bgzf::walk(source.bytes(), *at, *blocks)
                    .map_err(|(at, fault)| source.fault(at, fault))?;
                let range = (std::mem::replace(at, end), end);
                let first = (range.0 == source.body).then_some(source.skip);
                Ok(Some(Shard::Bgzf { range, first }))
            }
            State::Text { at, size } => {
                let end = (*at + *size).min(length);
                let range = (std::mem::replace(at, end), end);
                Ok(Some(Shard::Text { range, first: range.0 == source.body }))
            }
            State::Gzip { .. } => self.next_lines(),
            State::Bcf { .. } => self.next_records(),
            State::Plink(feed) => Ok(feed.next()?.map(Shard::Variants)),
            State::Failed(error) => error.take().map_or(Ok(None), Err),
            State::Merged { next } => {
                let window = *next;
                *next += 1;
                let windows = source.merged.as_ref().map_or(0, Merged::len);
                Ok((window < windows).then_some(Shard::Window(window)))
            }
            State::Done => Ok(None),
        }
    }

    fn next_lines(&mut self) -> Result<Option<Shard>, Error> {
        let State::Gzip { decoder, carry, skip, seen, size } = &mut self.state else {
            return Ok(None);
        };
        let file = || self.source.path.clone();
        let mut text = std::mem::take(carry);
        loop {
            let from = text.len();
            let want = *skip + *size;
            let got = decoder
                .by_ref()
                .take(want as u64)
                .read_to_end(&mut text)
                .map_err(|source| Error::Gzip { file: file(), offset: *seen, source })?;
            *seen += got as u64;
            if *skip > 0 {
                text.drain(..(*skip).min(text.len()));
                *skip = 0;
            }
            if got < want {
                if !text.is_empty() && !text.ends_with(b"\n") {
                    return Err(Error::CutLine { file: file() });
                }
                self.state = State::Done;
                return Ok((!text.is_empty()).then_some(Shard::Lines(text)));
            }
            if let Some(end) = memchr::memrchr(b'\n', &text[from.min(text.len())..]) {
                *carry = text.split_off(from.min(text.len()) + end + 1);
                return Ok(Some(Shard::Lines(text)));
            }
            if text.len() > MAX_LINE {
                return Err(Error::LineTooLong { file: file(), limit: MAX_LINE });
            }
        }
    }

    fn next_records(&mut self) -> Result<Option<Shard>, Error> {
        let State::Bcf { at, skip, carry, inflater, records, size } = &mut self.state else {
            return Ok(None);
        };
        let data = self.source.bytes();
        let fault = |record: u64, what| Error::BcfRecord {
            file: self.source.path.clone(),
            record: record + 1,
            what,
        };
        let mut bytes = std::mem::take(carry);
        let mut goal = *size;
        loop {
            while bytes.len() < goal && *at < data.len() {
                let block = bgzf::block_at(data, *at).map_err(|f| self.source.fault(*at, f))?;
                let from = bytes.len();
                bytes.resize(from + block.size, 0);
                inflater
                    .inflate(data, &block, &mut bytes[from..])
                    .map_err(|f| self.source.fault(*at, f))?;
                *at = block.end;
                let cut = (*skip).min(block.size);
                bytes.drain(from..from + cut);
                *skip -= cut;
            }
            let mut end = 0;
            while let Some((shared, individual)) = bcf::lengths(&bytes[end..]) {
                let length = 8 + shared + individual;
                if shared < 24 || length > MAX_LINE {
                    return Err(fault(*records, "impossible length"));
                }
                if bytes.len() - end < length {
                    goal = goal.max(end + length);
                    break;
                }
                end += length;
                *records += 1;
            }
            if end > 0 {
                *carry = bytes.split_off(end);
                return Ok(Some(Shard::Records(bytes)));
            }
            if *at >= data.len() {
                if !bytes.is_empty() {
                    return Err(fault(*records, "the file ends inside it"));
                }
                self.state = State::Done;
                return Ok(None);
            }
            goal = goal.max(bytes.len() + MAX_BLOCK);
        }
    }
}

/// Buffers that a worker keeps from shard to shard.
pub struct Scratch {
    inflater: Inflater,
    window: Window,
}

impl Default for Scratch {
    fn default() -> Self {
        Self { inflater: Inflater::new(), window: Window::default() }
    }
}

/// Scans a shard.
pub fn scan(
    context: &Context,
    source: &Source,
    shard: &Shard,
    scratch: &mut Scratch,
) -> Result<ShardRows, Error> {
    let mut builder = Builder::new(context);
    builder.only.clone_from(&source.only);
    match shard {
        Shard::Variants(variants) => {
            if let Some(plink) = &source.plink {
                plink.scan(&mut builder, source, variants)?;
            }
        }
        Shard::Window(window) => {
            if let Some(merged) = &source.merged {
                return merged.scan(context, *window);
            }
        }
        Shard::Bgzf { range, first } => {
            scan_bgzf(&mut builder, source, *range, *first, scratch)?;
        }
        Shard::Text { range, first } => scan_text(&mut builder, source, *range, *first)?,
        Shard::Lines(text) => {
            lines(&mut builder, text, |_| None);
        }
        Shard::Records(bytes) => {
            let mut text = bcf::Text::default();
            let mut at = 0;
            while let Some((shared, individual)) = bcf::lengths(&bytes[at..]) {
                let end = at + 8 + shared + individual;
                bcf::add(&mut builder, &source.header, &bytes[at..end], &mut text);
                at = end;
            }
        }
    }
    Ok(builder.finish())
}

/// Adds the complete lines of `text` and returns how many bytes they take. `place`: of a line start.
fn lines(builder: &mut Builder<'_>, text: &[u8], place: impl Fn(usize) -> Option<u64>) -> usize {
    let mut at = 0;
    while let Some(n) = memchr::memchr(b'\n', &text[at..]) {
        line::add(builder, &text[at..at + n]);
        builder.place_reject(|| place(at));
        at += n + 1;
    }
    at
}

fn scan_text(
    builder: &mut Builder<'_>,
    source: &Source,
    range: (usize, usize),
    first: bool,
) -> Result<(), Error> {
    let data = source.bytes();
    let mut at = range.0;
    if !first {
        match memchr::memchr(b'\n', &data[range.0..range.1]) {
            Some(n) => at += n + 1,
            None => return Ok(()),
        }
    }
    // The line that starts right at the end of the range is this shard's: the next skips to a line end.
    while at <= range.1 && at < data.len() {
        let Some(n) = memchr::memchr(b'\n', &data[at..]) else {
            return Err(Error::CutLine { file: source.path.clone() });
        };
        line::add(builder, &data[at..at + n]);
        at += n + 1;
    }
    Ok(())
}

/// Text that is inflated into and read from, moved to the front when read.
#[derive(Default)]
struct Window {
    buffer: Vec<u8>,
    filled: usize,
    /// Bytes of text that are gone from the front.
    gone: usize,
    /// Where blocks start: in all of the text, gone bytes included, and in the file.
    marks: VecDeque<(usize, usize)>,
}

impl Window {
    fn inflate(
        &mut self,
        source: &Source,
        at: usize,
        inflater: &mut Inflater,
    ) -> Result<usize, Error> {
        let data = source.bytes();
        let block = bgzf::block_at(data, at).map_err(|f| source.fault(at, f))?;
        if self.buffer.len() < self.filled + block.size {
            if self.filled > MAX_LINE {
                return Err(Error::LineTooLong { file: source.path.clone(), limit: MAX_LINE });
            }
            self.buffer.resize((self.filled + block.size).next_power_of_two(), 0);
        }
        inflater
            .inflate(data, &block, &mut self.buffer[self.filled..])
            .map_err(|f| source.fault(at, f))?;
        self.marks.push_back((self.gone + self.filled, at));
        self.filled += block.size;
        Ok(block.end)
    }

    /// The virtual offset (SAM specification 4.1.1) of a byte of the text. A line that starts where a block
    /// ends is the next one's, however the input is cut.
    fn place(&self, at: usize) -> Option<u64> {
        let at = self.gone + at;
        let behind = self.marks.partition_point(|(start, _)| *start <= at);
        let (start, block) = self.marks.get(behind.checked_sub(1)?)?;
        Some((*block as u64) << 16 | (at - start) as u64)
    }

    fn clear(&mut self) {
        (self.filled, self.gone) = (0, 0);
        self.marks.clear();
    }

    fn text(&self) -> &[u8] {
        &self.buffer[..self.filled]
    }

    fn consume(&mut self, n: usize) {
        self.buffer.copy_within(n..self.filled, 0);
        self.filled -= n;
        self.gone += n;
        while self.marks.get(1).is_some_and(|(start, _)| *start <= self.gone) {
            self.marks.pop_front();
        }
    }
}

fn scan_bgzf(
    builder: &mut Builder<'_>,
    source: &Source,
    range: (usize, usize),
    first: Option<usize>,
    scratch: &mut Scratch,
) -> Result<(), Error> {
    let Scratch { inflater, window } = scratch;
    window.clear();
    let mut at = range.0;
    let mut skip = first.unwrap_or(0);
    let mut started = first.is_some();
    while at < range.1 {
        let mut blocks = 0;
        while blocks < BLOCKS_AT_ONCE && at < range.1 {
            at = window.inflate(source, at, inflater)?;
            blocks += 1;
        }
        let cut = skip.min(window.filled);
        window.consume(cut);
        skip -= cut;
        if !started {
            match memchr::memchr(b'\n', window.text()) {
                Some(n) => {
                    window.consume(n + 1);
                    started = true;
                }
                None => {
                    window.clear();
                    continue;
                }
            }
        }
        let read = lines(builder, &window.buffer[..window.filled], |at| window.place(at));
        window.consume(read);
    }
    if !started {
        return Ok(());
    }
    // One more line: the one that is begun, or that starts right behind the range.
    let mut searched = 0;
    while at < source.bytes().len() {
        at = window.inflate(source, at, inflater)?;
        if let Some(n) = memchr::memchr(b'\n', &window.text()[searched..]) {
            line::add(builder, &window.buffer[..searched + n]);
            builder.place_reject(|| window.place(0));
            return Ok(());
        }
        searched = window.filled;
    }
    if window.filled > 0 {
        return Err(Error::CutLine { file: source.path.clone() });
    }
    Ok(())
}
