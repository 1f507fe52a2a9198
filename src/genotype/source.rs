//! An input file: mapped, its format known, its header read, its body ready to be cut into shards.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;
use memmap2::{Mmap, MmapMut};

use super::bgzf::{self, Fault, Inflater, MAX_BLOCK};
use super::header::{self, Header};
use super::merge::Merged;
use super::plink::{self, Plink};
use super::region::Chrom;
use super::{CallsetRequest, Error, region};
use crate::error::IoError;

/// Longest header accepted, in bytes.
const MAX_HEADER: usize = 1 << 28;

/// How the records are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// BGZF-compressed VCF: read in parallel.
    Bgzf,
    /// Plain VCF: read in parallel.
    Text,
    /// gzip-compressed VCF: a single stream.
    Gzip,
    /// BCF 2.2 in BGZF: inflated as a stream, scanned in parallel.
    Bcf,
    /// PLINK .bed or .pgen: read in parallel.
    Plink,
    /// Many files, merged: see [`super::merge`].
    Merged,
}

/// An opened input file.
pub struct Source {
    /// Where it lies.
    pub path: PathBuf,
    /// How it is stored.
    pub format: Format,
    /// What its header says.
    pub header: Header,
    /// Offset at which the body starts: of the block (BGZF, BCF), of the byte (text), 0 for gzip.
    pub body: usize,
    /// Uncompressed bytes of the header still ahead at `body` (all of the header for gzip).
    pub skip: usize,
    /// The PLINK files beside it.
    pub plink: Option<Box<Plink>>,
    /// The only chromosome that it may have, if the request says so.
    pub only: Option<Chrom>,
    /// What stands for the files of a merge.
    pub merged: Option<Merged>,
    map: Mmap,
}

impl Source {
    /// Opens, recognises the format, checks the end of a BGZF file and reads the header.
    ///
    /// # Errors
    /// See [`Error`]: unreadable, unknown format, truncated or damaged, bad header.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(IoError::at("opening", path))?;
        let length = file.metadata().map_err(IoError::at("reading", path))?.len();
        if length == 0 {
            return Err(Error::UnknownFormat { file: path.to_owned() });
        }
        // SAFETY: the map is read-only and private to this process. As with every reader of a mapped
        // file, another process that shortens the file meanwhile would end this one with SIGBUS; inputs
        // of a run are immutable by contract.
        let map = unsafe { Mmap::map(&file) }.map_err(IoError::at("mapping", path))?;
        Self::of(path, map)
    }

    /// A source of bytes that are already in memory; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::UnknownFormat { file: path.to_owned() });
        }
        let mut map = MmapMut::map_anon(bytes.len()).map_err(IoError::at("mapping", path))?;
        map.copy_from_slice(bytes);
        Self::of(path, map.make_read_only().map_err(IoError::at("mapping", path))?)
    }

    fn of(path: &Path, map: Mmap) -> Result<Self, Error> {
        let unknown = || Error::UnknownFormat { file: path.to_owned() };
        if plink::is_plink(&map) {
            let (plink, header) = Plink::open(path, &map)?;
            let (path, plink) = (path.to_owned(), Some(Box::new(plink)));
            let format = Format::Plink;
            return Ok(Self {
                path,
                format,
                header,
                body: 0,
                skip: 0,
                plink,
                only: None,
                merged: None,
                map,
            });
        }
        if bgzf::is_bgzf(&map) {
            return Self::open_bgzf(path, map);
        }
        if map.starts_with(b"##") {
            let end = header_end(&map).ok_or_else(|| Error::CutLine { file: path.to_owned() })?;
            let header = header::parse(&map[..end], path)?;
            let path = path.to_owned();
            return Ok(Self {
                path,
                format: Format::Text,
                header,
                body: end,
                skip: 0,
                plink: None,
                only: None,
                merged: None,
                map,
            });
        }
        if !map.starts_with(&[0x1f, 0x8b]) {
            return Err(unknown());
        }
        // Read as gzip it might pass, with nothing to show that its end is the end.
        if map.ends_with(&bgzf::EOF_BLOCK) {
            let file = path.to_owned();
            return Err(Error::Bgzf { file, offset: 0, what: "no BGZF block header here" });
        }
        let text = gzip_header(&map, path)?;
        if !text.starts_with(b"##") {
            return Err(unknown());
        }
        let header = header::parse(&text, path)?;
        let (path, skip) = (path.to_owned(), text.len());
        Ok(Self {
            path,
            format: Format::Gzip,
            header,
            body: 0,
            skip,
            plink: None,
            only: None,
            merged: None,
            map,
        })
    }

    /// Opens a file of a request, which may say what chromosome it has.
    ///
    /// # Errors
    /// As [`Source::open`].
    pub fn open_of(path: &Path, request: &CallsetRequest) -> Result<Self, Error> {
        let mut source = Self::open(path)?;
        let only = request.options.chromosomes.get(path);
        source.only = only.and_then(|name| region::chrom(name.as_bytes()));
        Ok(source)
    }

    /// A source that stands for the files of a merge; `path` is one of them.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub fn of_merged(path: &Path, merged: Merged) -> Result<Self, Error> {
        Ok(Self { merged: Some(merged), ..Self::of_nothing(path)? })
    }

    /// A source of nothing, named `path`.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub fn of_nothing(path: &Path) -> Result<Self, Error> {
        let map = MmapMut::map_anon(1).and_then(MmapMut::make_read_only);
        let map = map.map_err(IoError::at("mapping", path))?;
        let (path, header, format) = (path.to_owned(), Header::default(), Format::Merged);
        Ok(Self {
            path,
            format,
            header,
            body: 0,
            skip: 0,
            plink: None,
            only: None,
            merged: None,
            map,
        })
    }

    fn open_bgzf(path: &Path, map: Mmap) -> Result<Self, Error> {
        bgzf::check_end(&map).map_err(|(at, fault)| fault_error(path, at, fault))?;
        let mut text = Vec::new();
        let mut starts = vec![(0, 0)];
        let mut inflater = Inflater::new();
        let (mut at, mut format, mut end) = (0, Format::Bgzf, None);
        let mut bcf_length = None;
        while at < map.len() && end.is_none() {
            let from = text.len();
            at = append_block(path, &map, at, &mut inflater, &mut text)?;
            starts.push((at, text.len()));
            if from == 0 && text.starts_with(b"BCF\x02") {
                format = Format::Bcf;
            }
            if format == Format::Bcf {
                if let Some(b) = text.get(5..9) {
                    bcf_length = Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize + 9);
                }
                end = bcf_length.filter(|&n| n <= text.len());
            } else {
                end = header_end_from(&text, from);
            }
            if text.len() > MAX_HEADER + MAX_BLOCK || bcf_length.is_some_and(|n| n > MAX_HEADER) {
                let file = path.to_owned();
                return Err(Error::Header { file, line: 1, what: "longer than 256 MiB" });
            }
        }
        if format == Format::Bgzf && !text.starts_with(b"##") {
            return Err(Error::UnknownFormat { file: path.to_owned() });
        }
        // A file that holds a header and nothing else ends with the header.
        let end = match end {
            Some(end) => end,
            None if format == Format::Bgzf && text.ends_with(b"\n") => text.len(),
            None => return Err(Error::CutLine { file: path.to_owned() }),
        };
        let header = if format == Format::Bcf {
            let text = &text[9..end];
            let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
            header::parse(&text[..end], path)?
        } else {
            header::parse(&text[..end], path)?
        };
        let &(body, before) =
            starts.iter().rev().find(|(_, before)| *before <= end).unwrap_or(&(0, 0));
        Ok(Self {
            path: path.to_owned(),
            format,
            header,
            body,
            skip: end - before,
            plink: None,
            only: None,
            merged: None,
            map,
        })
    }

    /// The file's bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The file's base name, as reject tables call it.
    pub fn base_name(&self) -> String {
        self.path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// An error about the block at `offset`.
    pub fn fault(&self, offset: usize, fault: Fault) -> Error {
        fault_error(&self.path, offset, fault)
    }

    /// The decompressed stream of a gzip file.
    pub fn gzip(&self) -> MultiGzDecoder<&[u8]> {
        MultiGzDecoder::new(self.bytes())
    }
}

fn fault_error(path: &Path, offset: usize, fault: Fault) -> Error {
    let (file, offset, what) = (path.to_owned(), offset as u64, fault.what);
    if fault.truncated {
        Error::Truncated { file, offset, what }
    } else {
        Error::Bgzf { file, offset, what }
    }
}

fn append_block(
    path: &Path,
    data: &[u8],
    at: usize,
    inflater: &mut Inflater,
    out: &mut Vec<u8>,
) -> Result<usize, Error> {
    let block = bgzf::block_at(data, at).map_err(|f| fault_error(path, at, f))?;
    let from = out.len();
    out.resize(from + block.size, 0);
    inflater.inflate(data, &block, &mut out[from..]).map_err(|f| fault_error(path, at, f))?;
    Ok(block.end)
}

/// Offset of the first line that is no header line, or the end of a text that is all header.
fn header_end(text: &[u8]) -> Option<usize> {
    header_end_from(text, 0).or_else(|| text.ends_with(b"\n").then_some(text.len()))
}

/// Offset of the first line start at or after the line break before `from` that has no `#`.
fn header_end_from(text: &[u8], from: usize) -> Option<usize> {
    let mut at = from.saturating_sub(1);
    if at == 0 && !text.starts_with(b"#") {
        return Some(0);
    }
    while let Some(n) = memchr::memchr(b'\n', &text[at..]) {
        at += n + 1;
        match text.get(at) {
            Some(b'#') => {}
            Some(_) => return Some(at),
            None => return None,
        }
    }
    None
}

fn gzip_header(data: &[u8], path: &Path) -> Result<Vec<u8>, Error> {
    let mut decoder = MultiGzDecoder::new(data);
    let mut text = Vec::new();
    let mut chunk = vec![0; 1 << 16];
    loop {
        let n = decoder.read(&mut chunk).map_err(|source| Error::Gzip {
            file: path.to_owned(),
            offset: text.len() as u64,
            source,
        })?;
        let from = text.len();
        text.extend_from_slice(&chunk[..n]);
        if let Some(end) = header_end_from(&text, from) {
            text.truncate(end);
            return Ok(text);
        }
        if n == 0 {
            return Ok(text);
        }
        if text.len() > MAX_HEADER {
            let file = path.to_owned();
            return Err(Error::Header { file, line: 1, what: "longer than 256 MiB" });
        }
    }
}
