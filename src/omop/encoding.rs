//! Text in a declared encoding, as UTF-8.

use std::io::Read;

use crate::config::TextEncoding;

/// Stands in the output for what is no character of the encoding. It is never part of UTF-8, so the row
/// it is in is quarantined as not being text, and nothing is guessed.
const NO_CHARACTER: u8 = 0xFF;

const CHUNK: usize = 1 << 16;

/// The characters of bytes 0x80 to 0x9F in Windows code page 1252; NUL where there is none.
/// (<https://www.unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1252.TXT>)
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘',
    '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

#[derive(Clone, Copy)]
enum Mode {
    /// Not known before the first bytes.
    Unknown,
    Utf8,
    Windows1252,
    Iso8859_1,
    Utf16 {
        big_endian: bool,
    },
}

/// Reads `input` as UTF-8, whatever it is written in. Memory: two fixed buffers.
pub struct Decoder<R> {
    input: R,
    encoding: TextEncoding,
    mode: Mode,
    raw: Vec<u8>,
    /// Bytes of `raw` that wait for more: half a character.
    waiting: usize,
    out: Vec<u8>,
    taken: usize,
    ended: bool,
}

impl<R: Read> Decoder<R> {
    /// For `input`, declared to be `encoding`.
    pub fn new(input: R, encoding: TextEncoding) -> Self {
        let (mode, raw) = (Mode::Unknown, vec![0; CHUNK]);
        Self { input, encoding, mode, raw, waiting: 0, out: Vec::new(), taken: 0, ended: false }
    }

    fn refill(&mut self) -> std::io::Result<()> {
        let n = match self.input.read(&mut self.raw[self.waiting..]) {
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        };
        self.ended = n == 0;
        let data = &self.raw[..self.waiting + n];
        let mut used = 0;
        if matches!(self.mode, Mode::Unknown) {
            if data.len() < 3 && !self.ended {
                self.waiting = data.len();
                return Ok(());
            }
            (self.mode, used) = start(self.encoding, data);
        }
        self.out.clear();
        self.taken = 0;
        used += decode(self.mode, &data[used..], self.ended, &mut self.out);
        let len = data.len();
        self.raw.copy_within(used..len, 0);
        self.waiting = len - used;
        Ok(())
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        while self.taken == self.out.len() {
            if self.ended || buffer.is_empty() {
                return Ok(0);
            }
            self.refill()?;
        }
        let n = buffer.len().min(self.out.len() - self.taken);
        buffer[..n].copy_from_slice(&self.out[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

/// How to read on and how many bytes the byte order mark takes. The mark of UTF-8 stays: it is not in
/// the way and says that the rest is UTF-8.
fn start(encoding: TextEncoding, data: &[u8]) -> (Mode, usize) {
    if data.starts_with(&[0xEF, 0xBB, 0xBF]) {
        return (Mode::Utf8, 0);
    }
    match encoding {
        TextEncoding::Utf8 => (Mode::Utf8, 0),
        TextEncoding::Windows1252 => (Mode::Windows1252, 0),
        TextEncoding::Iso8859_1 => (Mode::Iso8859_1, 0),
        TextEncoding::Utf16 if data.starts_with(&[0xFE, 0xFF]) => {
            (Mode::Utf16 { big_endian: true }, 2)
        }
        TextEncoding::Utf16 if data.starts_with(&[0xFF, 0xFE]) => {
            (Mode::Utf16 { big_endian: false }, 2)
        }
        // A header starts with an ASCII character, whose upper byte is NUL.
        TextEncoding::Utf16 => (Mode::Utf16 { big_endian: data.first() == Some(&0) }, 0),
    }
}

/// Appends `data` as UTF-8 to `out` and returns how many bytes were used.
fn decode(mode: Mode, data: &[u8], last: bool, out: &mut Vec<u8>) -> usize {
    match mode {
        Mode::Unknown | Mode::Utf8 => out.extend_from_slice(data),
        Mode::Iso8859_1 => data.iter().for_each(|&byte| push(char::from(byte), out)),
        Mode::Windows1252 => data.iter().for_each(|&byte| match byte {
            0x80..=0x9F => match WINDOWS_1252[usize::from(byte - 0x80)] {
                '\0' => out.push(NO_CHARACTER),
                character => push(character, out),
            },
            _ => push(char::from(byte), out),
        }),
        Mode::Utf16 { big_endian } => return utf16(data, big_endian, last, out),
    }
    data.len()
}

fn utf16(data: &[u8], big_endian: bool, last: bool, out: &mut Vec<u8>) -> usize {
    let (pairs, odd) = data.as_chunks::<2>();
    let unit = |pair: [u8; 2]| match big_endian {
        true => u16::from_be_bytes(pair),
        false => u16::from_le_bytes(pair),
    };
    let mut units = pairs.iter().map(|&pair| unit(pair)).peekable();
    let mut used = 0;
    while let Some(first) = units.next() {
        let high = (0xD800..0xDC00).contains(&first);
        let second = units.peek().copied();
        if high && second.is_none() && !last {
            return used;
        }
        let low = second.filter(|low| high && (0xDC00..0xE000).contains(low));
        used += 2;
        if low.is_some() {
            units.next();
            used += 2;
        }
        match char::decode_utf16([first].into_iter().chain(low)).next() {
            Some(Ok(character)) => push(character, out),
            _ => out.push(NO_CHARACTER),
        }
    }
    if last && !odd.is_empty() {
        out.push(NO_CHARACTER);
        used += 1;
    }
    used
}

fn push(character: char, out: &mut Vec<u8>) {
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands out one to three bytes at a time.
    struct Drip<'a>(&'a [u8], usize);

    impl Read for Drip<'_> {
        fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
            self.1 = self.1 % 3 + 1;
            let n = self.1.min(self.0.len()).min(out.len());
            out[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn read(encoding: TextEncoding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Decoder::new(Drip(bytes, 0), encoding).read_to_end(&mut out).unwrap();
        out
    }

    fn text(encoding: TextEncoding, bytes: &[u8]) -> String {
        String::from_utf8(read(encoding, bytes)).unwrap()
    }

    #[test]
    fn single_bytes_are_their_characters() {
        assert_eq!(text(TextEncoding::Windows1252, b"caf\xE9 \x80 \x93x\x94 \x9F"), "café € “x” Ÿ");
        assert_eq!(text(TextEncoding::Iso8859_1, b"caf\xE9 \xFF"), "café ÿ");
        assert_eq!(text(TextEncoding::Windows1252, "\u{feff}é".as_bytes()), "\u{feff}é");
        assert_eq!(read(TextEncoding::Windows1252, b"a\x81b"), b"a\xFFb");
    }

    #[test]
    fn half_characters_are_not_guessed() {
        assert_eq!(read(TextEncoding::Utf16, b"a\0\x3d\xd8b\0"), b"a\xFFb");
        assert_eq!(read(TextEncoding::Utf16, b"a\0b\0\x3d\xd8"), b"ab\xFF");
        assert_eq!(read(TextEncoding::Utf16, b"a\0b\0c"), b"ab\xFF");
        assert_eq!(read(TextEncoding::Utf16, b""), b"");
    }

    proptest! {
        #[test]
        fn utf16_comes_back(tail in "\\PC{0,40}", big_endian: bool, mark: bool) {
            let whole = format!("a{tail}");
            let units = mark.then_some(0xFEFF).into_iter().chain(whole.encode_utf16());
            let bytes: Vec<u8> = units
                .flat_map(|u| if big_endian { u.to_be_bytes() } else { u.to_le_bytes() })
                .collect();
            prop_assert_eq!(text(TextEncoding::Utf16, &bytes), whole);
        }
    }
}
