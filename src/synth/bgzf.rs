//! BGZF as the SAM specification section 4.1 frames it: gzip members of at most 64 KiB with their own
//! size in an extra field, and an empty member at the end.

use libdeflater::{CompressionLvl, Compressor, crc32};

/// Text bytes in a block, as bgzip cuts them.
const BLOCK: usize = 0xff00;
const HEADER: usize = 18;

/// The empty block that ends a file.
pub const END: [u8; 28] = [
    0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 6, 0, 0x42, 0x43, 2, 0, 0x1b, 0, 3, 0, 0, 0, 0, 0, 0, 0,
    0, 0,
];

/// `text` as a run of BGZF blocks, level 1: rows of `0|0` shrink well at any level. The last one may be short; nothing is carried over.
pub fn compress(text: &[u8]) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(1).unwrap_or_default());
    let mut out = Vec::with_capacity(text.len() / 8 + 1024);
    for block in text.chunks(BLOCK) {
        append(&mut compressor, block, &mut out);
    }
    out
}

fn append(compressor: &mut Compressor, block: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&END[..HEADER]);
    let body = start + HEADER;
    out.resize(body + compressor.deflate_compress_bound(block.len()), 0);
    match compressor.deflate_compress(block, &mut out[body..]) {
        Ok(n) if n + HEADER + 8 <= 1 << 16 => out.truncate(body + n),
        // Incompressible: one stored block always fits (RFC 1951 section 3.2.4).
        _ => {
            out.truncate(body);
            let n = block.len() as u16;
            out.push(1);
            out.extend_from_slice(&n.to_le_bytes());
            out.extend_from_slice(&(!n).to_le_bytes());
            out.extend_from_slice(block);
        }
    }
    out.extend_from_slice(&crc32(block).to_le_bytes());
    out.extend_from_slice(&(block.len() as u32).to_le_bytes());
    let size = (out.len() - start - 1) as u16;
    out[start + 16..start + 18].copy_from_slice(&size.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn inflates_to_what_went_in(seed in any::<u64>(), size in 0..200_000_usize, dull in any::<bool>()) {
            let mut rng = crate::synth::random::Rng::new(seed, crate::synth::random::Purpose::Order, 0, 0);
            let text: Vec<u8> = (0..size).map(|_| rng.next() as u8 & if dull { 1 } else { 255 }).collect();
            let mut packed = compress(&text);
            packed.extend_from_slice(&END);
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(packed.as_slice()).read_to_end(&mut back).unwrap();
            prop_assert!(back == text);
            // The chain of block sizes ends exactly at the end.
            let mut at = 0;
            while at < packed.len() {
                at += usize::from(u16::from_le_bytes([packed[at + 16], packed[at + 17]])) + 1;
            }
            prop_assert_eq!(at, packed.len());
        }
    }
}
