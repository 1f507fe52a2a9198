//! A seeded mutation loop over delimited text: the same inputs on every machine.
//!
//! `STRATA_FUZZ_ITERATIONS` (small by default) and `STRATA_FUZZ_SEED` make it longer and other. The
//! coverage-guided target is `fuzz/fuzz_targets/csv.rs`.
#![expect(clippy::unwrap_used, reason = "test helpers")]

#[path = "omop_support/support.rs"]
mod support;

use strata::error::Coded;
use strata::omop::{TextEncoding, fuzz};
use support::{Case, NOTE};

const ROWS: &str = "1,1,2020-01-01,\"two\nlines, a \"\"quote\"\"\"\r\n2,1.0,20200229,NA\r\
    3,2,2020-1-5,caf\u{e9} \u{20ac}\n,,,\n4,9,x,y\n\n5,3,,last";

const TOKENS: [&[u8]; 18] = [
    b",",
    b"\t",
    b"\n",
    b"\r",
    b"\r\n",
    b"\"",
    b"\"\"",
    b",\"",
    b"\",",
    b"\"\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"\xff\xfe",
    b"\xd8\x3d",
    b"NA",
    b"-9223372036854775808",
    b"9999-12-31 23:59",
];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % n.max(1)
    }
}

fn mutate(random: &mut Random, seed: &[u8], from: usize) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..=random.below(6) {
        let at = from.min(data.len()) + random.below(data.len().saturating_sub(from) + 1);
        let end = (at + random.below(30)).min(data.len());
        match random.below(6) {
            0 if at < data.len() => data[at] ^= 1 << random.below(8),
            1 if at < data.len() => data[at] = random.below(256) as u8,
            2 if random.below(4) == 0 => data.truncate(at),
            3 => drop(data.drain(at..end)),
            4 => {
                let again = data[at..end].to_vec();
                drop(data.splice(at..at, again));
            }
            _ => {
                let token = TOKENS[random.below(TOKENS.len())];
                drop(data.splice(at..at, token.iter().copied()));
            }
        }
    }
    data
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn seeds() -> Vec<Vec<u8>> {
    let comma = format!("{NOTE}{ROWS}");
    let tab = comma.replace(',', "\t");
    let utf16: Vec<u8> = comma.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![comma.into_bytes(), tab.into_bytes(), utf16]
}

#[test]
fn no_text_breaks_the_reader() {
    let mut random = Random(setting("STRATA_FUZZ_SEED", 20_261_123) | 1);
    let seeds = seeds();
    let mut whole = 0;
    for _ in 0..setting("STRATA_FUZZ_ITERATIONS", 20_000) {
        let mut data = vec![random.below(4) as u8];
        let seed = &seeds[random.below(seeds.len())];
        data.extend(mutate(&mut random, seed, 0));
        let seen = fuzz::csv(&data);
        assert!(seen.sound, "{:?}", data.escape_ascii().to_string());
        whole += u64::from(seen.whole);
    }
    println!("{whole} texts were read to the end");
    assert!(whole > 0);
}

/// The whole ingest: typed rows, quarantine and books agree whatever the rows are.
#[test]
fn no_row_is_lost_in_an_ingest() {
    let mut random = Random(setting("STRATA_FUZZ_SEED", 20_261_123) | 1);
    let (mut read, mut refused) = (0, 0);
    for _ in 0..setting("STRATA_FUZZ_ITERATIONS", 20_000) / 100 {
        let seed = &seeds()[random.below(2)];
        let text = mutate(&mut random, seed, NOTE.len());
        let encodings = [TextEncoding::Utf8, TextEncoding::Windows1252, TextEncoding::Iso8859_1];
        let case = Case::new().with("note.csv", &text).encoded(encodings[random.below(3)]);
        match case.run() {
            Ok(extract) => {
                let books = support::books(&extract, "note");
                let rejects = case.rejects();
                assert_eq!(books.rows_out, case.table("note").num_rows() as u64);
                assert_eq!(books.rows_in - books.rows_out, rejects.len() as u64);
                read += 1;
            }
            Err(error) => {
                assert!(error.code().starts_with("omop::"), "{error}");
                refused += 1;
            }
        }
    }
    println!("{read} extracts were read, {refused} refused");
    assert!(read > 0 && refused > 0);
}
