//! Entry point of the fuzz target `csv` (`fuzz/`) and of `tests/omop_fuzz.rs`. Not part of the interface.
//!
//! Takes any bytes and must come back, never with a panic.

use crate::config::TextEncoding;

use super::cdm::FieldKind;
use super::encoding::Decoder;
use super::records::RecordReader;
use super::value::{Leniency, parse};

/// What was read of delimited text.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Records, the header among them.
    pub records: u64,
    /// Line that the last record starts on.
    pub line: u64,
    /// Whether the text ended as text should.
    pub whole: bool,
    /// Whether every field lay in its record and every record on a later line than the one before.
    pub sound: bool,
}

/// Delimited text in each encoding, every value read as each kind; the result is that of the encoding
/// that the first byte chooses.
pub fn csv(data: &[u8]) -> Seen {
    const ENCODINGS: [TextEncoding; 4] = [
        TextEncoding::Utf8,
        TextEncoding::Windows1252,
        TextEncoding::Iso8859_1,
        TextEncoding::Utf16,
    ];
    let (choice, text) = data.split_first().unwrap_or((&0, &[]));
    let encoding = ENCODINGS[usize::from(*choice) % ENCODINGS.len()];
    let mut seen = Seen { sound: true, ..Seen::default() };
    let Ok(mut reader) = RecordReader::new(Decoder::new(text, encoding)) else { return seen };
    loop {
        match reader.advance() {
            Ok(true) => take(&reader, &mut seen),
            Ok(false) => {
                seen.whole = true;
                return seen;
            }
            Err(_) => return seen,
        }
    }
}

fn take<R: std::io::Read>(reader: &RecordReader<R>, seen: &mut Seen) {
    const KINDS: [FieldKind; 5] = [
        FieldKind::Integer,
        FieldKind::Float,
        FieldKind::Date,
        FieldKind::Timestamp,
        FieldKind::Text,
    ];
    seen.sound &= reader.line() > seen.line;
    seen.line = reader.line();
    seen.records += 1;
    for &(from, to) in reader.fields() {
        match reader.bytes().get(from as usize..to as usize) {
            Some(value) => KINDS.into_iter().for_each(|kind| {
                let _ = parse(kind, value, from, &mut Leniency::default());
            }),
            None => seen.sound = false,
        }
    }
}
