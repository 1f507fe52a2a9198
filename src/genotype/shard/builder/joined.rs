//! A row that a merge has joined from many files, into the builder.

use super::keep::{DIPLOID, FILTERED_CALL, HAPLOID, HOM_REF, NO_STATE, UNKNOWN, call};
use super::{Builder, Site};
use crate::genotype::merge::record::Info;
use crate::genotype::merge::sweep::Joined;
use crate::genotype::merge::values::{self, Cell};

impl Builder<'_> {
    /// Adds a row of a merge: counted as any other, described as its records have it.
    pub fn add_joined(&mut self, chrom: &[u8], joined: &Joined<'_>) {
        let Joined { key: (pos, reference, alt, extent), end, about, own, said, .. } = joined;
        let (pos, extent, end) = (*pos, *extent, *end);
        self.begin();
        for (sample, (&code, &state)) in (0u32..).zip(own.codes.iter().zip(&said.codes)) {
            let code = match (code, state) {
                (HOM_REF, _) | (UNKNOWN, DIPLOID) => continue,
                (UNKNOWN, HAPLOID) => 8,
                (code, _) => code,
            };
            // Filtered again when half and filtered calls are settled.
            if code == FILTERED_CALL {
                self.cells.failed.push(sample);
                continue;
            }
            self.calls.push(call(sample, code));
        }
        if self.context.fields.numbers {
            values::restate(&mut self.cells, own.codes.len(), |i| {
                match (own.codes[i], said.codes[i]) {
                    (UNKNOWN, NO_STATE) => Cell::EMPTY,
                    (UNKNOWN, _) => said.cells[i],
                    _ => own.cells[i],
                }
            });
        }
        let info = self.info_text(&about.info, alt, extent, end);
        let site = Site {
            chrom,
            pos,
            id: &about.id,
            reference,
            alt,
            qual: about.qual,
            filter: &about.filter,
            info: &info,
        };
        let before = self.out.rows.len();
        self.add(&site, 1);
        if let Some(consequences) = about.consequences
            && self.out.rows.len() == before + 1
        {
            let entries = self.out.keep(consequences.entries);
            if let Some(row) = self.out.rows.last_mut() {
                row.consequences = entries;
            }
        }
        let Some(((alts, orig_ref, orig_pos, orig_alt, index), split)) = about.origin else {
            return;
        };
        if self.out.rows.len() != before + 1 || (alts, orig_ref, orig_alt) == (1, reference, alt) {
            return;
        }
        let (orig_ref, orig_alt) = (self.out.keep(orig_ref), self.out.keep(orig_alt));
        if let Some(row) = self.out.rows.last_mut() {
            row.orig_pos = orig_pos;
            row.orig_ref = orig_ref;
            row.orig_alt = orig_alt;
            row.index = index;
            row.was_split = split;
        }
    }

    /// The INFO column of a record of this allele alone.
    fn info_text(&self, info: &[Info<'_>], alt: &[u8], extent: i32, end: i32) -> Vec<u8> {
        let mut text = Vec::new();
        for (field, info) in self.context.info.iter().zip(info) {
            if let Info::Value(value) = info {
                field.restate(value, &mut text);
            }
        }
        if extent != 0 {
            text.extend_from_slice(format!("END={end};").as_bytes());
            if alt.starts_with(b"<INS") && extent != end {
                text.extend_from_slice(format!("SVLEN={extent};").as_bytes());
            }
        }
        text
    }
}
