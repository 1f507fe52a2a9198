//! Left-alignment of a trimmed allele against the reference sequence (Tan, Abecasis, Kang 2015).

use super::fasta::Sequence;

/// Furthest that an allele is moved, in bases. Rows wait for each other within this distance.
pub const FURTHEST: i32 = 10_000;

/// The left-aligned form of an allele, upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aligned {
    /// 1-based position.
    pub pos: i32,
    /// REF.
    pub reference: Vec<u8>,
    /// ALT.
    pub alt: Vec<u8>,
}

/// The outcome of [`left_align`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shift {
    /// It is as far left as it can be.
    None,
    /// It has another position.
    Moved(Aligned),
    /// It would move by more than [`FURTHEST`] bases.
    TooFar,
}

/// Moves a trimmed pair of alleles as far left as it stays the same haplotype.
///
/// While the last bases are equal they are cut, and when an allele is empty both are extended by the base
/// before them; then common first bases are cut down to one. Alleles of other letters than `ACGT` stay
/// where they are, and none moves beyond the start of the sequence or into an ambiguous base of it.
pub fn left_align(sequence: &Sequence<'_>, pos: i32, reference: &[u8], alt: &[u8]) -> Shift {
    if reference.len() == 1 && alt.len() == 1 {
        return Shift::None;
    }
    let plain = |text: &[u8]| text.iter().all(|b| b"ACGTacgt".contains(b));
    if !plain(reference) || !plain(alt) {
        return Shift::None;
    }
    // Kept in reverse, so that the front is where bases are pushed.
    let reverse = |text: &[u8]| text.iter().rev().map(u8::to_ascii_uppercase).collect();
    let (mut a, mut b): (Vec<u8>, Vec<u8>) = (reverse(reference), reverse(alt));
    let (mut cut, mut start) = (0, pos);
    loop {
        match (a.get(cut), b.get(cut)) {
            (Some(x), Some(y)) if x == y => {
                // An allele of one base may only be cut when a base before it can take its place.
                if a.len() - cut == 1 || b.len() - cut == 1 {
                    match sequence.base(i64::from(start) - 1).filter(|&base| base != b'N') {
                        Some(base) => {
                            a.push(base);
                            b.push(base);
                            start -= 1;
                            if pos - start > FURTHEST {
                                return Shift::TooFar;
                            }
                        }
                        None => break,
                    }
                }
                cut += 1;
            }
            _ => break,
        }
    }
    let (mut a, mut b) = (a.split_off(cut), b.split_off(cut));
    // Cut what both begin with, but for one base.
    while a.len() > 1 && b.len() > 1 && a.last() == b.last() {
        a.pop();
        b.pop();
        start += 1;
    }
    if start == pos && a.len() == reference.len() {
        return Shift::None;
    }
    a.reverse();
    b.reverse();
    Shift::Moved(Aligned { pos: start, reference: a, alt: b })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genotype::allele::trim;
    use crate::genotype::fasta::Reference;
    use proptest::prelude::*;

    fn reference(text: &str) -> Reference {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("r.fa");
        std::fs::write(&path, format!(">1\n{text}\n")).unwrap();
        Reference::open(&path).unwrap()
    }

    fn apply(text: &str, pos: i32, from: &[u8], to: &[u8]) -> Vec<u8> {
        let at = pos as usize - 1;
        assert_eq!(&text.as_bytes()[at..at + from.len()], from);
        [&text.as_bytes()[..at], to, &text.as_bytes()[at + from.len()..]].concat()
    }

    fn shift(text: &str, pos: i32, from: &str, to: &str) -> Shift {
        let reference = reference(text);
        left_align(&reference.sequence_of("chr1").unwrap(), pos, from.as_bytes(), to.as_bytes())
    }

    #[test]
    fn known_cases() {
        let moved = |pos, a: &[u8], b: &[u8]| {
            Shift::Moved(Aligned { pos, reference: a.into(), alt: b.into() })
        };
        // GGGCACACACAGGG of the paper.
        assert_eq!(shift("GGGCACACACAGGG", 8, "CA", "C"), Shift::None);
        assert_eq!(shift("GGGCACACACAGGG", 8, "CAC", "C"), moved(3, b"GCA", b"G"));
        assert_eq!(shift("GGGCACACACAGGG", 6, "C", "CAC"), moved(3, b"G", b"GCA"));
        assert_eq!(shift("AAAAA", 4, "AA", "A"), moved(1, b"AA", b"A"));
        assert_eq!(shift("NAAAA", 4, "AA", "A"), moved(2, b"AA", b"A"));
        assert_eq!(shift("ACGTACGT", 4, "T", "G"), Shift::None);
        let long = "T".to_owned() + &"A".repeat(12_000);
        assert_eq!(shift(&long, 11_900, "AA", "A"), Shift::TooFar);
        assert_eq!(shift(&long, 9_000, "AA", "A"), moved(1, b"TA", b"T"));
    }

    proptest! {
        /// The result is the same haplotype, cannot be moved again, and no trimmed form lies further left.
        #[test]
        fn leftmost_form_of_the_same_haplotype(
            text in "[AC]{3,14}|(AC){2,7}|(ACC){1,4}A?", at in 0usize..14, size in 1usize..4, insert in "[AC]{0,4}"
        ) {
            let at = at % text.len();
            let size = size.min(text.len() - at);
            let from = &text[at..at + size];
            prop_assume!(from != insert);
            // Anchored on the base before, as VCF writes it.
            prop_assume!(at > 0);
            let (from, to) = (text[at - 1..at + size].to_owned(), format!("{}{insert}", &text[at - 1..at]));
            let (front, back) = trim(from.as_bytes(), to.as_bytes());
            let (from, to) = (&from.as_bytes()[front..from.len() - back], &to.as_bytes()[front..to.len() - back]);
            let pos = (at + front) as i32;
            let reference = reference(&text);
            let sequence = reference.sequence_of("chr1").unwrap();
            let aligned = match left_align(&sequence, pos, from, to) {
                Shift::Moved(a) => a,
                Shift::None => Aligned { pos, reference: from.to_vec(), alt: to.to_vec() },
                Shift::TooFar => unreachable!(),
            };
            let haplotype = apply(&text, pos, from, to);
            prop_assert_eq!(&apply(&text, aligned.pos, &aligned.reference, &aligned.alt), &haplotype);
            prop_assert_eq!(left_align(&sequence, aligned.pos, &aligned.reference, &aligned.alt), Shift::None);
            // Brute force: every replacement that gives the haplotype, in the shortest anchored form.
            let bytes = text.as_bytes();
            let delta = haplotype.len() as i64 - bytes.len() as i64;
            let leftmost = (0..bytes.len())
                .flat_map(|start| (1..=bytes.len() - start).map(move |n| (start, n)))
                .filter(|&(start, n)| {
                    let m = n as i64 + delta;
                    m >= 1 && {
                        let alt = &haplotype[start..start + m as usize];
                        haplotype[..start] == bytes[..start]
                            && haplotype[start + m as usize..] == bytes[start + n..]
                            && trim(&bytes[start..start + n], alt) == (0, 0)
                            && !(n == m as usize && n == 0)
                    }
                })
                .map(|(start, _)| start as i32 + 1)
                .min();
            prop_assert_eq!(Some(aligned.pos), leftmost);
        }
    }
}
