//! How far a symbolic allele reaches.
//!
//! `<DEL>` and its like say nothing of their size, so two of them at one position are the same variant only
//! if they reach equally far. Definition: VCF specification 4.5, section 1.6.1 (END, SVLEN) and 3.

use super::shard::Site;

/// What a symbolic allele of a record covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Last position, 1-based and inclusive.
    pub end: i32,
    /// What tells it from others of the same POS, REF and ALT, and ends its `vid`: the number of inserted bases
    /// of an `<INS...>` with SVLEN, `end` of anything else.
    pub key: i32,
}

impl Extent {
    /// The extent of ALT number `allele` (1-based) of `alleles`.
    ///
    /// END is one value for the record, so with more ALTs SVLEN, which has one for each, is looked at first.
    /// Without both the allele ends where REF does. An INS adds bases and SVLEN does not move its end.
    pub fn of(site: &Site<'_>, reference: &[u8], alt: &[u8], allele: u16, alleles: u16) -> Self {
        let last = site.pos + reference.len() as i32 - 1;
        let length = length(site.info, usize::from(allele), usize::from(alleles));
        let stated = info_value(site.info, b"END").and_then(number).filter(|&e| e >= site.pos);
        let insertion = alt.starts_with(b"<INS");
        let reach = length.filter(|_| !insertion && alt.starts_with(b"<"));
        let reach = reach.and_then(|n| site.pos.checked_add(n));
        let end = if alleles > 1 { reach.or(stated) } else { stated.or(reach) }.unwrap_or(last);
        let key = length.filter(|_| insertion).unwrap_or(end);
        Self { end, key }
    }
}

/// `|SVLEN|` of the allele.
fn length(info: &[u8], allele: usize, alleles: usize) -> Option<i32> {
    let values = info_value(info, b"SVLEN")?;
    let parts = || values.split(|&b| b == b',');
    let nth = (parts().count() == alleles).then(|| parts().nth(allele - 1)).flatten()?;
    number(nth)?.checked_abs()
}

fn number(text: &[u8]) -> Option<i32> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The value of `key` in an INFO column; empty for a flag.
pub fn info_value<'a>(info: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    info.split(|&b| b == b';').find_map(|field| match field.strip_prefix(key)? {
        [] => Some(&b""[..]),
        [b'=', value @ ..] => Some(value),
        _ => None,
    })
}
