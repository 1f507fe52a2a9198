//! One BCF 2.2 record into the shard builder. Definition: VCF specification 4.5, section 6.

use super::fields::{self, Cells, Field, NONE};
use super::gt::{ABSENT, Call, EXCLUDED, MAX_ALLELES, MISSING, UNSUPPORTED};
use super::header::Header;
use super::shard::keep::CONFIDENCE;
use super::shard::{Builder, Site, commas};

/// A record whose bytes break its own promises.
struct Malformed;

/// Reads the record in `bytes` (its two length words included) and adds or rejects it.
pub fn add(builder: &mut Builder<'_>, header: &Header, bytes: &[u8], text: &mut Text) {
    builder.begin();
    match read(builder, header, bytes, text) {
        Ok(Ok(())) => {}
        Ok(Err((reason, alleles))) => builder.reject(reason, alleles),
        Err(Malformed) => builder.reject("malformed_record", 1),
    }
}

/// Reused text of the fixed fields.
#[derive(Default)]
pub struct Text {
    alt: Vec<u8>,
    filter: Vec<u8>,
    info: Vec<u8>,
}

/// The lengths of the shared and the per-sample part.
pub fn lengths(bytes: &[u8]) -> Option<(usize, usize)> {
    let word =
        |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize);
    Some((word(0)?, word(4)?))
}

fn read(
    builder: &mut Builder<'_>,
    header: &Header,
    bytes: &[u8],
    text: &mut Text,
) -> Result<Result<(), (&'static str, usize)>, Malformed> {
    let (shared, individual) = lengths(bytes).ok_or(Malformed)?;
    let body = bytes.get(8..8 + shared + individual).ok_or(Malformed)?;
    let (shared, individual) = body.split_at(shared);
    let mut cursor = Cursor(shared);
    let chrom = cursor.i32()?;
    let pos = cursor.i32()?;
    let _length = cursor.i32()?;
    let qual = cursor.u32()?;
    let (n_info, n_allele) = split_word(cursor.u32()?, 16);
    let (n_sample, n_format) = split_word(cursor.u32()?, 24);
    if n_allele == 0 || n_allele > MAX_ALLELES {
        return Ok(Err(("too_many_alleles", n_allele)));
    }
    let id = cursor.string()?;
    let reference = cursor.string()?;
    text.alt.clear();
    for i in 1..n_allele {
        if i > 1 {
            text.alt.push(b',');
        }
        text.alt.extend_from_slice(cursor.string()?);
    }
    if text.alt.is_empty() {
        text.alt.push(b'.');
    }
    let alleles = 1 + commas(&text.alt);
    filter_text(&mut cursor, header, &mut text.filter)?;
    text.info.clear();
    let symbolic = text.alt.iter().any(|b| b"<[].".contains(b));
    if symbolic || builder.context.info.iter().any(|f| !f.withheld) {
        for _ in 0..n_info {
            info_text(&mut cursor, header, &mut text.info)?;
        }
    }
    let name = usize::try_from(chrom).ok().and_then(|i| header.contigs.get(i));
    let Some(pos) = pos.checked_add(1) else { return Ok(Err(("bad_pos", alleles))) };
    let qual = Some(f32::from_bits(qual)).filter(|q| !q.is_nan());
    let site = Site {
        chrom: name.map_or(&b""[..], |n| n.as_bytes()),
        pos,
        id: if id.is_empty() { b"." } else { id },
        reference,
        alt: &text.alt,
        qual,
        filter: &text.filter,
        info: &text.info,
    };
    if let Some(reason) = Builder::fault(&site) {
        return Ok(Err((reason, alleles)));
    }
    if n_sample != header.samples.len() {
        return Ok(Err(("column_count", alleles)));
    }
    if builder.wants_confidence(&site) {
        confidence(builder, header, Cursor(individual), n_format, n_sample)?;
    }
    match genotypes(builder, header, Cursor(individual), n_format, (n_sample, n_allele))? {
        Ok(max) => builder.add(&site, max),
        Err(reason) => return Ok(Err((reason, alleles))),
    }
    Ok(Ok(()))
}

fn split_word(word: u32, bits: u32) -> (usize, usize) {
    ((word & ((1 << bits) - 1)) as usize, (word >> bits) as usize)
}

fn filter_text(
    cursor: &mut Cursor<'_>,
    header: &Header,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    out.clear();
    let (kind, n) = cursor.descriptor()?;
    for i in 0..n {
        let key = cursor.int(kind)?.ok_or(Malformed)?;
        if i > 0 {
            out.push(b';');
        }
        out.extend_from_slice(lookup(header, key)?.as_bytes());
    }
    if n == 0 {
        out.push(b'.');
    }
    Ok(())
}

fn lookup(header: &Header, key: i32) -> Result<&str, Malformed> {
    let at = usize::try_from(key).map_err(|_| Malformed)?;
    header.strings.get(at).map(String::as_str).ok_or(Malformed)
}

/// Appends `KEY=value` as VCF would write it.
fn info_text(cursor: &mut Cursor<'_>, header: &Header, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let key = cursor.typed_int()?.ok_or(Malformed)?;
    if !out.is_empty() {
        out.push(b';');
    }
    out.extend_from_slice(lookup(header, key)?.as_bytes());
    let (kind, n) = cursor.descriptor()?;
    if n == 0 || kind == 0 {
        return Ok(());
    }
    out.push(b'=');
    if kind == 7 {
        let value = cursor.take(n)?;
        let end = value.iter().position(|&b| b == 0).unwrap_or(n);
        out.extend_from_slice(&value[..end]);
        return Ok(());
    }
    let mut written = 0;
    for _ in 0..n {
        let value = if kind == 5 { cursor.float()? } else { cursor.value(kind)? };
        let value = match value {
            Value::End => continue,
            Value::Missing => ".".to_owned(),
            Value::Int(i) => i.to_string(),
            Value::Float(f) => f.to_string(),
        };
        if written > 0 {
            out.push(b',');
        }
        out.extend_from_slice(value.as_bytes());
        written += 1;
    }
    Ok(())
}

fn genotypes(
    builder: &mut Builder<'_>,
    header: &Header,
    mut cursor: Cursor<'_>,
    n_format: usize,
    (n_sample, n_allele): (usize, usize),
) -> Result<Result<u16, &'static str>, Malformed> {
    let mut genotypes = None;
    for _ in 0..n_format {
        let key = cursor.typed_int()?.ok_or(Malformed)?;
        let (kind, n) = cursor.descriptor()?;
        let size = width(kind)?;
        let values = cursor.take(n.checked_mul(size * n_sample).ok_or(Malformed)?)?;
        let context = builder.context;
        let name = lookup(header, key)?;
        if n == 0 {
            continue;
        }
        if let Some(field) = context.fields.field(name.as_bytes()) {
            if builder.cells.open(field, context.cohort.len(), n_allele) {
                field_values(
                    &mut builder.cells,
                    field,
                    values,
                    (kind, n),
                    &context.cohort.columns,
                )?;
            }
            continue;
        }
        if name != "GT" || genotypes.is_some() {
            continue;
        }
        if !(1..=3).contains(&kind) {
            return Ok(Err("gt_unparsable"));
        }
        match scan(values, kind, n, &context.cohort.columns, &mut builder.calls) {
            Ok(max) => genotypes = Some(max),
            Err(reason) => return Ok(Err(reason)),
        }
    }
    Ok(Ok(genotypes.unwrap_or_else(|| {
        builder.no_calls();
        0
    })))
}

/// Reads `n` values of type `kind` a sample of a FORMAT field.
fn field_values(
    cells: &mut Cells,
    field: Field,
    values: &[u8],
    (kind, n): (u8, usize),
    columns: &[u32],
) -> Result<(), Malformed> {
    let size = width(kind)?;
    if size == 0 {
        return Ok(());
    }
    for (cell, &sample) in values.chunks_exact(n * size).zip(columns) {
        if sample == EXCLUDED {
            continue;
        }
        match (field, kind) {
            (Field::Ft, 7) => {
                let end = cell.iter().position(|&b| b == 0).unwrap_or(n);
                cells.filter(sample, &cell[..end]);
            }
            (Field::Ft, _) => {}
            (_, 7) => text_values(cells, field, sample, cell),
            (Field::Ad, _) => {
                let ends = |v: &&[u8]| !matches!(number(v, kind), Number::End);
                let read = |v: &[u8]| match number(v, kind) {
                    Number::Value(v) => v,
                    Number::End => None,
                };
                cells.depths(sample, cell.chunks_exact(size).take_while(ends).map(read));
            }
            _ => match number(&cell[..size], kind) {
                Number::Value(v) => cells.number(field, sample, v),
                Number::End => {}
            },
        }
    }
    Ok(())
}

/// A field that the header declares as text holds what VCF would write.
fn text_values(cells: &mut Cells, field: Field, sample: u32, cell: &[u8]) {
    let end = cell.iter().position(|&b| b == 0).unwrap_or(cell.len());
    fields::take(cells, field, sample, &cell[..end]);
}

/// A FORMAT value as [`Cells`] takes it.
enum Number {
    Value(Option<u32>),
    End,
}

fn number(bytes: &[u8], kind: u8) -> Number {
    let mut cursor = Cursor(bytes);
    let value = if kind == 5 { cursor.float() } else { cursor.value(kind) };
    match value {
        Ok(Value::Int(v)) => Number::Value(u32::try_from(v).ok()),
        Ok(Value::Float(v)) => Number::Value(fields::whole(f64::from(v))),
        Ok(Value::Missing) | Err(Malformed) => Number::Value(Some(NONE)),
        Ok(Value::End) => Number::End,
    }
}

/// Reads how sure a reference block is of its samples.
fn confidence(
    builder: &mut Builder<'_>,
    header: &Header,
    mut cursor: Cursor<'_>,
    n_format: usize,
    n_sample: usize,
) -> Result<(), Malformed> {
    let mut fields: [Vec<Option<Vec<f64>>>; CONFIDENCE.len()] = Default::default();
    for _ in 0..n_format {
        let key = cursor.typed_int()?.ok_or(Malformed)?;
        let (kind, n) = cursor.descriptor()?;
        let values = cursor.take(n.checked_mul(width(kind)? * n_sample).ok_or(Malformed)?)?;
        let key = lookup(header, key)?;
        let Some(field) = CONFIDENCE.iter().position(|k| *k == key) else { continue };
        if !matches!(kind, 1..=3 | 5) || n == 0 {
            continue;
        }
        for cell in values.chunks_exact(n * width(kind)?) {
            let mut cell = Cursor(cell);
            let mut stated = Some(Vec::new());
            for _ in 0..n {
                match if kind == 5 { cell.float()? } else { cell.value(kind)? } {
                    Value::Int(v) => stated = stated.map(|s| [s, vec![f64::from(v)]].concat()),
                    Value::Float(v) => stated = stated.map(|s| [s, vec![f64::from(v)]].concat()),
                    Value::Missing => stated = None,
                    Value::End => {}
                }
            }
            fields[field].push(stated);
        }
    }
    for column in 0..n_sample {
        builder.set_confidence(column, |i| fields[i].get(column)?.clone());
    }
    Ok(())
}

/// Reads `n` integers of type `kind` a sample.
fn scan(
    values: &[u8],
    kind: u8,
    n: usize,
    columns: &[u32],
    calls: &mut Vec<Call>,
) -> Result<u16, &'static str> {
    let size = 1 << (kind - 1);
    let mut max = 0;
    for (cell, &column) in values.chunks_exact(n * size).zip(columns) {
        // 0/0 and 0|0 in either notation of the first allele's phase bit.
        if size == 1 && n == 2 && cell[0] & 0xfe == 2 && cell[1] & 0xfe == 2 {
            continue;
        }
        // As in text: of a sample that stays out nothing shows.
        if column == EXCLUDED {
            continue;
        }
        let (call, top) = call(cell, size)?;
        max = max.max(top);
        if (call.a | call.b) != 0 {
            calls.push(Call { sample: column, ..call });
        }
    }
    Ok(max)
}

fn call(cell: &[u8], size: usize) -> Result<(Call, u16), &'static str> {
    let mut alleles = [ABSENT; 2];
    let (mut n, mut max, mut phased) = (0, 0, false);
    for value in cell.chunks_exact(size) {
        // The missing value of the type stands for a missing allele, the next one ends the vector.
        let (value, floor) = match *value {
            [a] => (i32::from(a as i8), i32::from(i8::MIN)),
            [a, b] => (i32::from(i16::from_le_bytes([a, b])), i32::from(i16::MIN)),
            [a, b, c, d] => (i32::from_le_bytes([a, b, c, d]), i32::MIN),
            _ => return Err("gt_unparsable"),
        };
        if value == floor + 1 {
            break;
        }
        let value = if value == floor { 0 } else { value };
        if value < 0 || value >> 1 > MAX_ALLELES as i32 + 1 {
            return Err("gt_unparsable");
        }
        let allele = if value >> 1 == 0 { MISSING } else { (value >> 1) as u16 - 1 };
        max = if allele == MISSING { max } else { allele.max(max) };
        if n < 2 {
            alleles[n] = allele;
        }
        phased = if n == 1 { value & 1 == 1 } else { phased };
        n += 1;
    }
    if n == 0 {
        alleles[0] = MISSING;
    }
    if n > 2 {
        alleles = [UNSUPPORTED; 2];
    }
    Ok((Call { sample: 0, a: alleles[0], b: alleles[1], phased }, max))
}

fn width(kind: u8) -> Result<usize, Malformed> {
    match kind {
        0 => Ok(0),
        1 | 7 => Ok(1),
        2 => Ok(2),
        3 | 5 => Ok(4),
        _ => Err(Malformed),
    }
}

enum Value {
    Int(i32),
    Float(f32),
    Missing,
    End,
}

/// Reads typed values from the front of a slice.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32, Malformed> {
        let b = self.take(4)?;
        Ok(u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn i32(&mut self) -> Result<i32, Malformed> {
        self.u32().map(|v| v as i32)
    }

    /// Type and length of the value that follows.
    fn descriptor(&mut self) -> Result<(u8, usize), Malformed> {
        let byte = self.take(1)?[0];
        let n = match byte >> 4 {
            15 => usize::try_from(self.typed_int()?.ok_or(Malformed)?).map_err(|_| Malformed)?,
            n => usize::from(n),
        };
        Ok((byte & 15, n))
    }

    fn typed_int(&mut self) -> Result<Option<i32>, Malformed> {
        let byte = self.take(1)?[0];
        if byte >> 4 != 1 {
            return Err(Malformed);
        }
        self.int(byte & 15)
    }

    fn int(&mut self, kind: u8) -> Result<Option<i32>, Malformed> {
        match self.value(kind)? {
            Value::Int(v) => Ok(Some(v)),
            _ => Ok(None),
        }
    }

    fn value(&mut self, kind: u8) -> Result<Value, Malformed> {
        let b = self.take(width(kind)?)?;
        let (value, floor) = match (kind, b) {
            (1, [a]) => (i32::from(*a as i8), i32::from(i8::MIN)),
            (2, [a, b]) => (i32::from(i16::from_le_bytes([*a, *b])), i32::from(i16::MIN)),
            (3, [a, b, c, d]) => (i32::from_le_bytes([*a, *b, *c, *d]), i32::MIN),
            _ => return Err(Malformed),
        };
        Ok(match value.wrapping_sub(floor) {
            0 => Value::Missing,
            1 => Value::End,
            _ => Value::Int(value),
        })
    }

    fn float(&mut self) -> Result<Value, Malformed> {
        Ok(match self.u32()? {
            0x7f80_0001 => Value::Missing,
            0x7f80_0002 => Value::End,
            bits => Value::Float(f32::from_bits(bits)),
        })
    }

    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let (kind, n) = self.descriptor()?;
        match kind {
            0 => Ok(b""),
            7 => self.take(n),
            _ => Err(Malformed),
        }
    }
}
