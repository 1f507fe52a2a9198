//! BGZF: finding blocks without an index, checking that the chain is whole, inflating one block.
//!
//! Definition: SAM specification 4.1. A file is accepted only when its blocks cover it exactly and it
//! ends in the 28-byte end-of-file block; each block's CRC32 and ISIZE are checked on inflation. The end
//! is looked at first, so that a cut file fails before any work is done.

use libdeflater::{Decompressor, crc32};

/// The end-of-file block of the SAM specification, 4.1.2.
pub const EOF_BLOCK: [u8; 28] = [
    0x1f, 0x8b, 0x08, 0x04, 0, 0, 0, 0, 0, 0xff, 0x06, 0, 0x42, 0x43, 0x02, 0, 0x1b, 0, 0x03, 0, 0,
    0, 0, 0, 0, 0, 0, 0,
];

/// Most bytes that one block may inflate to.
pub const MAX_BLOCK: usize = 1 << 16;

/// Where a block lies in the file and what it promises.
#[derive(Debug, Clone, Copy)]
pub struct Block {
    payload: (usize, usize),
    /// Offset just behind the block.
    pub end: usize,
    /// Bytes it inflates to.
    pub size: usize,
    crc: u32,
}

/// Why a block is not one, and whether more bytes could have made it one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub what: &'static str,
    /// Whether the file ends too early.
    pub truncated: bool,
}

const fn cut(what: &'static str) -> Fault {
    Fault { what, truncated: true }
}

const fn bad(what: &'static str) -> Fault {
    Fault { what, truncated: false }
}

fn u16_at(data: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(data.get(at..at + 2)?.try_into().ok()?) as usize)
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(data.get(at..at + 4)?.try_into().ok()?))
}

/// Whether `data` starts like a BGZF block (gzip with a `BC` extra field).
pub fn is_bgzf(data: &[u8]) -> bool {
    data.len() >= 18 && data[..4] == [0x1f, 0x8b, 8, 4] && bsize(data, 0).is_some()
}

/// Offset behind the extra fields, and BSIZE + 1.
fn bsize(data: &[u8], start: usize) -> Option<(usize, usize)> {
    let extra = u16_at(data, start + 10)?;
    let (mut at, end) = (start + 12, start + 12 + extra);
    while at + 4 <= end {
        let len = u16_at(data, at + 2)?;
        if data.get(at..at + 2)? == b"BC" && len == 2 {
            return Some((end, u16_at(data, at + 4)? + 1));
        }
        at += 4 + len;
    }
    None
}

/// Reads the frame of the block at `start`.
pub fn block_at(data: &[u8], start: usize) -> Result<Block, Fault> {
    let head = data.get(start..start + 18).ok_or(cut("the file ends inside a block header"))?;
    if head[..4] != [0x1f, 0x8b, 8, 4] {
        return Err(bad("no BGZF block header here"));
    }
    // MTIME, XFL and OS say nothing here and no checksum covers them. Writers set them alike in all blocks, and
    // so a damaged bit of them shows; the end-of-file block is the same whoever writes.
    if head[4..10] != data[4..10] && !data[start..].starts_with(&EOF_BLOCK) {
        return Err(bad("the block header differs from that of the first block"));
    }
    let (body, size) = bsize(data, start).ok_or(bad("the block header has no BSIZE"))?;
    let end = start + size;
    if end < body + 8 {
        return Err(bad("BSIZE is too small"));
    }
    if end > data.len() {
        return Err(cut("the file ends inside a block"));
    }
    let crc = u32_at(data, end - 8).ok_or(cut("the file ends inside a block"))?;
    let size = u32_at(data, end - 4).ok_or(cut("the file ends inside a block"))? as usize;
    if size > MAX_BLOCK {
        return Err(bad("ISIZE is over 64 KiB"));
    }
    Ok(Block { payload: (body, end - 8), end, size, crc })
}

/// Walks up to `blocks` blocks from `start` and returns the offset behind them.
///
/// # Errors
/// `(offset, fault)` of a block that is none.
pub fn walk(data: &[u8], start: usize, blocks: usize) -> Result<usize, (usize, Fault)> {
    let mut at = start;
    for _ in 0..blocks {
        if at >= data.len() {
            break;
        }
        at = block_at(data, at).map_err(|fault| (at, fault))?.end;
    }
    Ok(at)
}

/// Checks that the file ends with the end-of-file block.
///
/// # Errors
/// `(offset, fault)` when it does not.
pub fn check_end(data: &[u8]) -> Result<(), (usize, Fault)> {
    if data.ends_with(&EOF_BLOCK) {
        Ok(())
    } else {
        Err((data.len(), cut("the end-of-file block is missing")))
    }
}

/// Inflates blocks, reusing its tables.
pub struct Inflater(Decompressor);

impl Inflater {
    /// A new one.
    pub fn new() -> Self {
        Self(Decompressor::new())
    }

    /// Inflates `block` of `data` to the start of `out`, which must hold [`Block::size`] bytes.
    pub fn inflate(&mut self, data: &[u8], block: &Block, out: &mut [u8]) -> Result<(), Fault> {
        let out = out.get_mut(..block.size).ok_or(bad("ISIZE is over 64 KiB"))?;
        let payload = &data[block.payload.0..block.payload.1];
        let n = self
            .0
            .deflate_decompress(payload, out)
            .map_err(|_| bad("the compressed data is damaged"))?;
        if n != block.size {
            return Err(bad("the block does not inflate to ISIZE bytes"));
        }
        if crc32(out) != block.crc {
            return Err(bad("the CRC32 does not match"));
        }
        Ok(())
    }
}
