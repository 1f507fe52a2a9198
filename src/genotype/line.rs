//! One VCF line into the shard builder.

use super::fields;
use super::gt::{self, Fault};
use super::shard::{Builder, Site, commas};

/// Reads a line (without its line end) and adds it, or rejects it with a reason.
pub fn add(builder: &mut Builder<'_>, line: &[u8]) {
    builder.begin();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() {
        return builder.blank();
    }
    let mut tabs = [0usize; 9];
    let mut found = 0;
    for (slot, tab) in tabs.iter_mut().zip(memchr::memchr_iter(b'\t', line)) {
        *slot = tab;
        found += 1;
    }
    let sites = builder.context.cohort.columns.is_empty();
    if sites && found == 7 {
        tabs[7] = line.len();
    } else if found < 9 && !(sites && found == 8) {
        let alleles = if found > 4 { 1 + commas(&line[tabs[3] + 1..tabs[4]]) } else { 1 };
        return builder.reject("column_count", alleles);
    }
    let field = |i: usize| &line[tabs[i - 1] + 1..tabs[i]];
    let alleles = 1 + commas(field(4));
    let Some(pos) = position(field(1)) else { return builder.reject("bad_pos", alleles) };
    let Ok(qual) = quality(field(5)) else { return builder.reject("bad_qual", alleles) };
    let site = Site {
        chrom: &line[..tabs[0]],
        pos,
        id: field(2),
        reference: field(3),
        alt: field(4),
        qual,
        filter: field(6),
        info: field(7),
    };
    if let Some(reason) = Builder::fault(&site) {
        return builder.reject(reason, alleles);
    }
    if sites {
        return builder.add(&site, 0);
    }
    builder.read_confidence(&site, field(8), &line[tabs[8] + 1..]);
    match genotypes(builder, field(8), &line[tabs[8] + 1..], alleles + 1) {
        Ok(max) => builder.add(&site, max),
        Err(reason) => builder.reject(reason, alleles),
    }
}

fn genotypes(
    builder: &mut Builder<'_>,
    format: &[u8],
    cells: &[u8],
    alleles: usize,
) -> Result<u16, &'static str> {
    let context = builder.context;
    let columns = &context.cohort.columns;
    if format != b"GT" && !super::syntax::is_format(format) {
        return Err("bad_format");
    }
    if format == b"GT" || format.starts_with(b"GT:") {
        let gt_only = format.len() == 2;
        let max = gt::scan(context.kernel, cells, gt_only, columns, &mut builder.calls).map_err(
            |fault| match fault {
                Fault::Columns => "column_count",
                Fault::Unparsable => "gt_unparsable",
            },
        )?;
        if !gt_only {
            let line = fields::Line { format, cells, alleles };
            fields::scan(
                context.kernel,
                line,
                &context.cohort,
                &context.fields,
                &mut builder.cells,
            );
        }
        return Ok(max);
    }
    if format.split(|&b| b == b':').any(|f| f == b"GT") {
        return Err("gt_not_first");
    }
    if memchr::memchr_iter(b'\t', cells).count() + 1 != columns.len() {
        return Err("column_count");
    }
    builder.no_calls();
    Ok(0)
}

fn position(text: &[u8]) -> Option<i32> {
    if text.is_empty() || text.len() > 10 || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn quality(text: &[u8]) -> Result<Option<f32>, ()> {
    if text == b"." {
        return Ok(None);
    }
    let value: f32 = std::str::from_utf8(text).map_err(|_| ())?.parse().map_err(|_| ())?;
    Ok((!value.is_nan()).then_some(value))
}
