//! What ID, QUAL, FILTER and FORMAT must look like, as far as strata uses them (VCF specification 4.5, 1.6.1).
//!
//! Strict where a wrong value would get into a table or shift another, lenient where it is only untidy:
//! repeated IDs and filters, odd letters in a FORMAT key, anything in an INFO field that is not selected.

use super::shard::Site;

/// The reason why a record's ID, QUAL or FILTER cannot be used.
pub fn fault(site: &Site<'_>) -> Option<&'static str> {
    if !is_list(site.id) {
        return Some("bad_id");
    }
    // -0.0 is no negative quality.
    if site.qual.is_some_and(|q| q < 0.0) {
        return Some("bad_qual");
    }
    let filter = site.filter;
    if !is_list(filter) || (filter.contains(&b';') && items(filter).any(|f| f == b"." || f == b"0"))
    {
        return Some("bad_filter");
    }
    // `0` is reserved: it was how VCF 3 wrote PASS.
    (filter == b"0").then_some("bad_filter")
}

/// Whether no key of a FORMAT column is empty, has white space, or is there twice.
pub fn is_format(format: &[u8]) -> bool {
    let keys = || format.split(|&b| b == b':');
    keys().enumerate().all(|(i, key)| {
        !key.is_empty()
            && !key.iter().any(u8::is_ascii_whitespace)
            && !keys().take(i).any(|before| before == key)
    })
}

/// Semicolons between items that are not empty and hold no white space.
fn is_list(text: &[u8]) -> bool {
    items(text).all(|item| !item.is_empty()) && !text.iter().any(u8::is_ascii_whitespace)
}

fn items(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|&b| b == b';')
}

/// Whether `alt` is a breakend: `t[p[`, `t]p]`, `]p]t`, `[p[t`, with bases or `.` for `t`.
pub fn is_bracketed(alt: &[u8], is_bases: impl Fn(&[u8]) -> bool) -> bool {
    let Some(first) = alt.iter().position(|b| b"[]".contains(b)) else { return false };
    let bracket = alt[first];
    let (before, rest) = (&alt[..first], &alt[first + 1..]);
    let Some(second) = rest.iter().position(|&b| b == bracket) else { return false };
    let (place, after) = (&rest[..second], &rest[second + 1..]);
    let bases = if before.is_empty() { after } else { before };
    (before.is_empty() || after.is_empty())
        && (bases == b"." || is_bases(bases))
        && place.contains(&b':')
        && place.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::genotype::allele::is_bases;

    #[test]
    fn breakends() {
        for good in ["G]17:198982]", "]13:123456]T", "[<ctg>:7[A", "C[2:1[", ".[13:1[", "]x:1]."] {
            assert!(is_bracketed(good.as_bytes(), is_bases), "{good}");
        }
        for bad in ["[1:100[", "G[1:100]", "G[1:1[A", "G[1[", "G[", "ACGT", "]1:1]*"] {
            assert!(!is_bracketed(bad.as_bytes(), is_bases), "{bad}");
        }
    }

    #[test]
    fn formats() {
        for good in ["GT", "GT:DP", "GT:odd-key:1"] {
            assert!(is_format(good.as_bytes()), "{good}");
        }
        for bad in ["", "GT:", "GT::DP", ":GT", "GT:DP:GT", "GT:a b"] {
            assert!(!is_format(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn lists() {
        let site = |id, filter, qual| Site {
            chrom: b"1",
            pos: 1,
            id,
            reference: b"A",
            alt: b"C",
            qual,
            filter,
            info: b".",
        };
        for (id, filter) in [(&b"."[..], &b"."[..]), (b"rs1;x", b"PASS"), (b"rs1", b"q10;s50")] {
            assert_eq!(fault(&site(id, filter, Some(-0.0))), None);
        }
        for (id, filter, qual, why) in [
            (&b""[..], &b"."[..], None, "bad_id"),
            (b"a b", b".", None, "bad_id"),
            (b";a", b".", None, "bad_id"),
            (b".", b"", None, "bad_filter"),
            (b".", b"q10;", None, "bad_filter"),
            (b".", b".;q10", None, "bad_filter"),
            (b".", b"0", None, "bad_filter"),
            (b".", b"my q", None, "bad_filter"),
            (b".", b".", Some(-1.0), "bad_qual"),
        ] {
            assert_eq!(fault(&site(id, filter, qual)), Some(why));
        }
    }
}
