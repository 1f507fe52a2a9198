//! Which ALTs of a record remain when samples of the file stay out, and how the record then reads.
//!
//! A person who is left out must leave no trace. An ALT that no included sample carries would tell that
//! somebody who was left out does, and so would the other alleles' row if it named that ALT, counted it
//! or kept the longer REF it needed. So the record is described as a caller would have written it for
//! the included samples: without these ALTs, and with REF no longer than the others need.

use super::allele::{AltKind, alt_kind, trim};

/// A record from which at least one ALT was dropped.
#[derive(Debug, PartialEq, Eq)]
pub struct Survivors {
    /// By ALT of the source: 1-based ordinal among those that remain, 0 for one that is dropped.
    pub index: Vec<u16>,
    /// ALTs dropped.
    pub dropped: u64,
    /// Whether more than one ALT remains (`<NON_REF>` aside).
    pub split: bool,
    /// Bases that go from the front of REF, which moves POS.
    pub front: usize,
    /// Bases that go from the back of REF.
    pub back: usize,
    /// ALT column of what remains, comma-joined.
    pub alt: Vec<u8>,
}

impl Survivors {
    /// What remains of `alts` over `reference`; `None` when all do.
    ///
    /// `carried` says by ALT whether a call or half call of an included sample names it. `<NON_REF>` stands
    /// for no allele of anybody and remains.
    pub fn of(reference: &[u8], alts: &[u8], carried: &[bool]) -> Option<Self> {
        let all = || alts.split(|&b| b == b',').map(|alt| (alt, alt_kind(alt)));
        let remains = |kind, carried: bool| carried || kind == AltKind::NonRef;
        let mut index = Vec::with_capacity(carried.len());
        let mut next = 0;
        for ((_, kind), &carried) in all().zip(carried) {
            let kept = remains(kind, carried);
            next += u16::from(kept);
            index.push(if kept { next } else { 0 });
        }
        let dropped = index.len() as u64 - u64::from(next);
        if dropped == 0 {
            return None;
        }
        let kept = || all().zip(&index).filter(|(_, i)| **i > 0).map(|(alt, _)| alt);
        let (front, back) = cut(reference, kept);
        let mut alt = Vec::new();
        for (text, kind) in kept() {
            if !alt.is_empty() {
                alt.push(b',');
            }
            match kind {
                AltKind::Bases => alt.extend_from_slice(&text[front..text.len() - back]),
                _ => alt.extend_from_slice(text),
            }
        }
        let split = kept().filter(|(_, kind)| *kind != AltKind::NonRef).count() > 1;
        Some(Self { index, dropped, split, front, back, alt })
    }
}

/// How many bases all of `alts` share with `reference` at its front and back, as [`trim`] finds them.
///
/// `<...>` is anchored at POS and needs one base of REF; a breakend repeats REF, which is left alone.
fn cut<'a, I>(reference: &[u8], alts: impl Fn() -> I) -> (usize, usize)
where
    I: Iterator<Item = (&'a [u8], AltKind)>,
{
    let symbolic = || alts().filter(|(_, kind)| *kind == AltKind::Symbolic);
    if symbolic().any(|(alt, _)| !alt.starts_with(b"<")) {
        return (0, 0);
    }
    let bases = || alts().filter(|(_, kind)| *kind == AltKind::Bases).map(|(alt, _)| alt);
    let shortest = bases().map(<[u8]>::len).chain([reference.len()]).min().unwrap_or(1);
    if bases().next().is_none() {
        return (0, reference.len() - 1);
    }
    if symbolic().next().is_none() && bases().nth(1).is_none() {
        return bases().next().map_or((0, 0), |alt| trim(reference, alt));
    }
    let same = |a: u8, b: u8| a.eq_ignore_ascii_case(&b);
    let mut back = 0;
    while back + 1 < shortest
        && bases().all(|alt| same(alt[alt.len() - 1 - back], reference[reference.len() - 1 - back]))
    {
        back += 1;
    }
    let mut front = 0;
    while symbolic().next().is_none()
        && front + back + 1 < shortest
        && bases().all(|alt| same(alt[front], reference[front]))
    {
        front += 1;
    }
    (front, back)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reference: &str, alts: &str, carried: &[u8]) -> Option<(usize, usize, String, bool)> {
        let carried: Vec<bool> = carried.iter().map(|&c| c == 1).collect();
        Survivors::of(reference.as_bytes(), alts.as_bytes(), &carried)
            .map(|s| (s.front, s.back, String::from_utf8(s.alt).unwrap_or_default(), s.split))
    }

    #[test]
    fn records_read_as_if_the_others_had_never_been() {
        assert_eq!(of("A", "G,T", &[1, 1]), None);
        assert_eq!(of("A", "G,<NON_REF>", &[1, 0]), None);
        assert_eq!(of("A", "G,T", &[0, 1]), Some((0, 0, "T".into(), false)));
        assert_eq!(of("CTT", "C,CT", &[0, 1]), Some((0, 1, "C".into(), false)));
        assert_eq!(of("ACT", "TCT,ACG", &[0, 1]), Some((2, 0, "G".into(), false)));
        assert_eq!(of("CTTT", "C,CTT,CTTTT", &[0, 1, 1]), Some((0, 2, "C,CTT".into(), true)));
        assert_eq!(of("ACT", "TCT,ACG,ACA", &[0, 1, 1]), Some((2, 0, "G,A".into(), true)));
        assert_eq!(of("CAAA", "C,<DEL>", &[0, 1]), Some((0, 3, "<DEL>".into(), false)));
        assert_eq!(of("CAA", "C,CGA,<DEL>", &[0, 1, 1]), Some((0, 1, "CG,<DEL>".into(), true)));
        assert_eq!(of("CA", "C,*,<*>", &[0, 1, 0]), Some((0, 1, "*,<*>".into(), false)));
        assert_eq!(of("CA", "C,CA]2:5]", &[0, 1]), Some((0, 0, "CA]2:5]".into(), false)));
        assert_eq!(of("CA", "C,T", &[0, 0]), Some((0, 1, String::new(), false)));
    }
}
