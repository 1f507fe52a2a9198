//! Entry points of the fuzz targets (`fuzz/`) and of `tests/fuzz_smoke.rs`. Not part of the interface.
//!
//! Each takes any bytes and must come back: with a result or a typed error, never a panic.

use std::path::Path;

use super::bgzf::{self, Inflater};
use super::source::Source;
use super::work::Tuning;
use super::{Check, Error, Genome, check, header};
use crate::error::IoError;

const NAME: &str = "input";

/// A VCF header.
///
/// # Errors
/// See [`Error`].
pub fn header(data: &[u8]) -> Result<usize, Error> {
    header::parse(data, Path::new(NAME)).map(|header| header.samples.len())
}

/// VCF lines below a small header of three samples; cut in small units.
///
/// # Errors
/// See [`Error`].
pub fn line(data: &[u8]) -> Result<Check, Error> {
    let mut text = b"##fileformat=VCFv4.3\n\
        #CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\tC\n"
        .to_vec();
    text.extend_from_slice(data);
    text.push(b'\n');
    file_in_units(&text, 64)
}

/// BGZF blocks: walks and inflates them all, and returns the bytes of text.
///
/// # Errors
/// See [`Error`].
pub fn blocks(data: &[u8]) -> Result<usize, Error> {
    let fault = |(at, fault): (usize, bgzf::Fault)| Error::Bgzf {
        file: NAME.into(),
        offset: at as u64,
        what: fault.what,
    };
    bgzf::check_end(data).map_err(fault)?;
    let (mut inflater, mut out) = (Inflater::new(), vec![0; bgzf::MAX_BLOCK]);
    let (mut at, mut total) = (0, 0);
    while at < data.len() {
        let block = bgzf::block_at(data, at).map_err(|f| fault((at, f)))?;
        inflater.inflate(data, &block, &mut out).map_err(|f| fault((at, f)))?;
        total += block.size;
        at = block.end;
    }
    Ok(total)
}

/// The bytes of a BCF as they are inside BGZF: packed first, so that checksums do not hide the decoder.
///
/// # Errors
/// See [`Error`].
pub fn bcf(data: &[u8]) -> Result<Check, Error> {
    file(&pack(data))
}

/// A whole file of any format.
///
/// # Errors
/// See [`Error`].
pub fn file(data: &[u8]) -> Result<Check, Error> {
    file_in_units(data, 4 << 20)
}

fn file_in_units(data: &[u8], bytes: usize) -> Result<Check, Error> {
    let source = Source::from_bytes(Path::new(NAME), data)?;
    check::of_source(source, Genome::Grch38, Tuning { blocks: 2, bytes })
}

/// A .bim, a .fam and a .bed, with a zero byte between them; the genotypes may be more or fewer than needed.
///
/// # Errors
/// See [`Error`].
pub fn bed(data: &[u8]) -> Result<Check, Error> {
    let [bim, fam, bed] = three(data);
    let lines = |text: &[u8]| text.split(|&b| b == b'\n').filter(|l| !l.is_empty()).count();
    let mut bed = bed.to_vec();
    // Else hardly an input would be as long as its texts ask for; what is too short or long by one is kept.
    let (rows, cells) = match bed.get(2) {
        Some(0) => (lines(fam), lines(bim)),
        _ => (lines(bim), lines(fam)),
    };
    let size = 3 + rows * cells.div_ceil(4);
    if bed.starts_with(&[0x6c, 0x1b]) && bed.len().abs_diff(size) > 1 && size <= 1 << 20 {
        bed.resize(size, 0x1b);
    }
    plink(&bed, &[("bim", bim), ("fam", fam)])
}

/// A .pvar, a .psam and a .pgen, with a zero byte between them.
///
/// # Errors
/// See [`Error`].
pub fn pgen(data: &[u8]) -> Result<Check, Error> {
    let [pvar, psam, pgen] = three(data);
    plink(pgen, &[("pvar", pvar), ("psam", psam)])
}

/// Two texts that end with a zero byte, and the rest.
fn three(data: &[u8]) -> [&[u8]; 3] {
    let mut parts = data.splitn(3, |&b| b == 0);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// Reads genotypes in memory and the texts beside them, which the reader wants as files.
fn plink(genotypes: &[u8], texts: &[(&str, &[u8])]) -> Result<Check, Error> {
    let thread = std::thread::current().id();
    let folder = format!("strata-fuzz-{}-{thread:?}", std::process::id());
    let path = std::env::temp_dir().join(folder).join(NAME);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(IoError::at("creating", folder))?;
    }
    for (extension, text) in texts {
        let file = path.with_extension(extension);
        std::fs::write(&file, text).map_err(IoError::at("writing", &file))?;
    }
    let source = Source::from_bytes(&path, genotypes)?;
    check::of_source(source, Genome::Grch38, Tuning { blocks: 2, bytes: 1 << 10 })
}

/// `data` in stored (not compressed) BGZF blocks.
pub fn pack(data: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len() + data.len() / 1000 + 64);
    for part in data.chunks(32 << 10) {
        let size = part.len() as u16;
        out.extend_from_slice(&bgzf::EOF_BLOCK[..16]);
        out.extend((size + 30).to_le_bytes());
        out.push(1);
        out.extend(size.to_le_bytes());
        out.extend((!size).to_le_bytes());
        out.extend_from_slice(part);
        out.extend(libdeflater::crc32(part).to_le_bytes());
        out.extend(u32::from(size).to_le_bytes());
    }
    out.extend_from_slice(&bgzf::EOF_BLOCK);
    out
}
