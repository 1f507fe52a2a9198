//! Alleles: what kind an ALT is, trimming, and variant types.

/// What kind of thing stands in the ALT column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AltKind {
    /// Bases.
    Bases,
    /// `<DEL>`, `<INS:ME>` and so on, or a breakend.
    Symbolic,
    /// `*`: deleted upstream.
    Star,
    /// `<NON_REF>` or `<*>`: any other allele, of a gVCF.
    NonRef,
    /// None of these.
    Bad,
}

/// Classifies one ALT value.
pub fn alt_kind(alt: &[u8]) -> AltKind {
    match alt {
        b"*" => AltKind::Star,
        b"<NON_REF>" | b"<*>" => AltKind::NonRef,
        [b'<', inner @ .., b'>'] if !inner.is_empty() && inner.iter().all(|&b| graphic(b)) => {
            AltKind::Symbolic
        }
        _ if is_bases(alt) => AltKind::Bases,
        _ if is_breakend(alt) => AltKind::Symbolic,
        _ => AltKind::Bad,
    }
}

fn graphic(b: u8) -> bool {
    b.is_ascii_graphic() && b != b'<' && b != b'>'
}

fn is_breakend(alt: &[u8]) -> bool {
    let single = alt.len() > 1
        && ((alt[0] == b'.' && is_bases(&alt[1..]))
            || (alt[alt.len() - 1] == b'.' && is_bases(&alt[..alt.len() - 1])));
    single || super::syntax::is_bracketed(alt, is_bases)
}

/// Whether `text` is one or more bases, IUPAC codes included, of either case.
pub fn is_bases(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b"ACGTNRYSWKMBDHVacgtnryswkmbdhv".contains(b))
}

/// Trims common bases, suffix first and then prefix, keeping at least one base of each.
///
/// Returns how many bases go from the front (which moves the position) and from the back. Case is
/// ignored. The order is that of Hail's `min_rep`.
pub fn trim(reference: &[u8], alt: &[u8]) -> (usize, usize) {
    let same = |a: &u8, b: &u8| a.eq_ignore_ascii_case(b);
    let most = reference.len().min(alt.len()) - 1;
    let back = reference
        .iter()
        .rev()
        .zip(alt.iter().rev())
        .take(most)
        .take_while(|(a, b)| same(a, b))
        .count();
    let front = reference.iter().zip(alt).take(most - back).take_while(|(a, b)| same(a, b)).count();
    (front, back)
}

/// Variant type of a trimmed allele.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VariantType {
    /// One base for another.
    Snv,
    /// Bases added behind the first.
    Insertion,
    /// Bases removed behind the first.
    Deletion,
    /// As many bases as before, more than one.
    Mnv,
    /// `<...>` or a breakend.
    Symbolic,
    /// Anything else, such as a replacement of other length.
    Other,
}

impl VariantType {
    /// Names in the order of the discriminants.
    pub const NAMES: [&'static str; 6] =
        ["snv", "insertion", "deletion", "mnv", "symbolic", "other"];

    /// The type of trimmed, upper-case bases.
    pub fn of(reference: &[u8], alt: &[u8]) -> Self {
        match (reference.len(), alt.len()) {
            (1, 1) => Self::Snv,
            (a, b) if a == b => Self::Mnv,
            (a, b) if a < b && alt.starts_with(reference) => Self::Insertion,
            (a, b) if a > b && reference.starts_with(alt) => Self::Deletion,
            _ => Self::Other,
        }
    }
}

/// What a variant counts as in the per-sample ratios.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// A to G, C to T or back.
    Transition,
    /// Any other single base.
    Transversion,
    /// An insertion.
    Insertion,
    /// A deletion.
    Deletion,
    /// None of these.
    Other,
}

impl Change {
    /// The change that a trimmed, upper-case allele makes.
    pub fn of(kind: VariantType, reference: &[u8], alt: &[u8]) -> Self {
        match kind {
            VariantType::Snv => match (reference, alt) {
                (b"A", b"G") | (b"G", b"A") | (b"C", b"T") | (b"T", b"C") => Self::Transition,
                _ => Self::Transversion,
            },
            VariantType::Insertion => Self::Insertion,
            VariantType::Deletion => Self::Deletion,
            _ => Self::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn trimming_keeps_the_sequence(
            left in "[ACGT]{0,5}", a in "[ACGT]{1,6}", b in "[ACGT]{1,6}", right in "[ACGT]{0,5}"
        ) {
            let (x, y) = (format!("{left}{a}{right}"), format!("{left}{b}{right}"));
            let (front, back) = trim(x.as_bytes(), y.as_bytes());
            let (tx, ty) = (&x[front..x.len() - back], &y[front..y.len() - back]);
            prop_assert!(!tx.is_empty() && !ty.is_empty());
            // What was cut is the same on both sides, so putting the alleles back gives the same pair.
            prop_assert_eq!(&x[..front], &y[..front]);
            prop_assert_eq!(&x[x.len() - back..], &y[y.len() - back..]);
            // Nothing is left to cut.
            prop_assert_eq!(trim(tx.as_bytes(), ty.as_bytes()), (0, 0));
        }
    }

    #[test]
    fn kinds_and_types() {
        assert_eq!(alt_kind(b"acgtN"), AltKind::Bases);
        assert_eq!(alt_kind(b"<DEL:ME>"), AltKind::Symbolic);
        assert_eq!(alt_kind(b"G]17:198982]"), AltKind::Symbolic);
        assert_eq!(alt_kind(b".A"), AltKind::Symbolic);
        assert_eq!(alt_kind(b"*"), AltKind::Star);
        assert_eq!(alt_kind(b"<*>"), AltKind::NonRef);
        assert_eq!(alt_kind(b""), AltKind::Bad);
        assert_eq!(alt_kind(b"A;G"), AltKind::Bad);
        assert_eq!(trim(b"CAT", b"CAC"), (2, 0));
        assert_eq!(trim(b"CA", b"CAT"), (1, 0));
        assert_eq!(trim(b"CTT", b"CT"), (0, 1));
        assert_eq!(VariantType::of(b"CT", b"C"), VariantType::Deletion);
        assert_eq!(VariantType::of(b"CT", b"GA"), VariantType::Mnv);
        assert_eq!(VariantType::of(b"CT", b"G"), VariantType::Other);
    }
}
