//! Consequences in INFO: VEP's `CSQ` and snpEff's `ANN`. Entries are matched with an ALT of the record
//! before anything of it is kept, so that nothing of an ALT without a row is.

use super::Error;
use super::consequence::rank;
use super::shard::Site;
use super::source::Source;

/// What is read of an entry, by its names in VEP and snpEff.
const FIELDS: [[&str; 2]; 12] = [
    ["Allele", "Allele"],
    ["Consequence", "Annotation"],
    ["IMPACT", "Annotation_Impact"],
    ["SYMBOL", "Gene_Name"],
    ["Gene", "Gene_ID"],
    ["Feature", "Feature_ID"],
    ["BIOTYPE", "Transcript_BioType"],
    ["CANONICAL", "CANONICAL"],
    ["MANE_SELECT", "MANE_SELECT"],
    ["HGVSc", "HGVS.c"],
    ["HGVSp", "HGVS.p"],
    ["ALLELE_NUM", "ALLELE_NUM"],
];
const ALLELE: usize = 0;
const ALLELE_NUM: usize = 11;

/// Where the parts of an entry are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    id: String,
    /// By number in [`FIELDS`].
    at: [Option<usize>; 12],
    /// Whether alleles are written as VEP does.
    vep: bool,
}

/// An entry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entry {
    /// Terms in their order.
    pub terms: Vec<String>,
    /// Impact, gene symbol, gene id, transcript, biotype.
    pub texts: [Option<String>; 5],
    /// Whether it is of the canonical transcript.
    pub canonical: bool,
    /// MANE Select transcript, and the HGVS names of cDNA and protein.
    pub names: [Option<String>; 3],
}

impl Entry {
    /// The most severe term, the first of equals.
    pub fn worst(&self) -> Option<&str> {
        self.terms.iter().map(String::as_str).min_by_key(|t| rank(t))
    }

    /// What the picked entry has the lowest of: MANE Select, then canonical, severity, transcript.
    fn order(&self) -> (bool, bool, usize, Option<&str>) {
        let severity = self.worst().map_or(usize::MAX, rank);
        (self.names[0].is_none(), !self.canonical, severity, self.texts[3].as_deref())
    }
}

/// The entry that stands for the variant.
pub fn pick(entries: &[Entry]) -> Option<usize> {
    (0..entries.len()).min_by(|&a, &b| entries[a].order().cmp(&entries[b].order()))
}

/// Number of entries in a text of them.
pub fn count(text: &[u8]) -> u64 {
    text.split(|&b| b == b',').filter(|entry| !entry.is_empty()).count() as u64
}

impl Format {
    /// The format of field `id` in the headers.
    ///
    /// # Errors
    /// A header that lacks the field or does not say its format, or two that say different ones.
    pub fn of(id: &str, sources: &[Source]) -> Result<Option<Self>, Error> {
        let mut first: Option<Self> = None;
        for source in sources {
            let (file, field) = (source.path.clone(), id.to_owned());
            let description = source.header.formats.get(id).map(String::as_str);
            let Some(format) = description.and_then(|d| Self::parse(id, d)) else {
                return Err(Error::UnknownInfo { file, field });
            };
            if first.as_ref().is_some_and(|f| *f != format) {
                return Err(Error::InfoMismatch { file, field });
            }
            first.get_or_insert(format);
        }
        Ok(first)
    }

    fn parse(id: &str, description: &str) -> Option<Self> {
        let vep = description.split_once("Format:");
        let (_, names) = vep.or_else(|| description.split_once("annotations:"))?;
        let junk = |c: char| c.is_whitespace() || "'\"".contains(c);
        let names: Vec<&str> = names.split('|').map(|n| n.trim_matches(junk)).collect();
        let at = FIELDS.map(|field| {
            names.iter().position(|n| field.iter().any(|f| n.eq_ignore_ascii_case(f)))
        });
        // Without both of them there is nothing to match or to tell.
        (at[0].is_some() && at[1].is_some()).then(|| Self {
            id: id.to_owned(),
            at,
            vep: vep.is_some(),
        })
    }

    fn get<'e>(&self, entry: &'e [u8], field: usize) -> &'e [u8] {
        let part = self.at[field].and_then(|at| entry.split(|&b| b == b'|').nth(at));
        part.unwrap_or_default().trim_ascii()
    }

    fn value<'s>(&self, site: &Site<'s>) -> Option<&'s [u8]> {
        site.info.split(|&b| b == b';').find_map(|part| {
            part.strip_prefix(self.id.as_bytes()).and_then(|rest| rest.strip_prefix(b"="))
        })
    }

    /// Number of entries of a record, whatever they name.
    pub fn count(&self, site: &Site<'_>) -> u64 {
        self.value(site).filter(|v| *v != b".").map_or(0, count)
    }

    /// The entries of ALT number `i` (from 0) of a record, as they are written.
    pub fn of_allele(&self, site: &Site<'_>, i: usize) -> Vec<u8> {
        let Some(value) = self.value(site) else { return Vec::new() };
        let alts: Vec<&[u8]> = site.alt.split(|&b| b == b',').collect();
        let name = if self.vep { vep_allele(site.reference, &alts, i) } else { alts[i].to_vec() };
        let number = (i + 1).to_string();
        let matches = |entry: &&[u8]| match self.get(entry, ALLELE_NUM) {
            b"" => self.get(entry, ALLELE).eq_ignore_ascii_case(&name),
            given => given == number.as_bytes(),
        };
        let kept: Vec<&[u8]> = value.split(|&b| b == b',').filter(matches).collect();
        kept.join(&b',')
    }

    /// Entries with nothing but what is read of them, and without what names their ALT: that depends on the
    /// other ALTs of the record.
    pub fn stripped(&self, text: &[u8]) -> Vec<u8> {
        let read = |part: usize| {
            let field = self.at.iter().position(|at| *at == Some(part));
            field.is_some_and(|field| field != ALLELE && field != ALLELE_NUM)
        };
        let strip = |entry: &[u8]| {
            let parts = entry.split(|&b| b == b'|').enumerate();
            let parts: Vec<&[u8]> = parts.map(|(i, p)| if read(i) { p } else { b"" }).collect();
            parts.join(&b'|')
        };
        let entries = text.split(|&b| b == b',').filter(|entry| !entry.is_empty());
        entries.map(strip).collect::<Vec<_>>().join(&b',')
    }

    /// Reads entries that [`Format::of_allele`] kept.
    pub fn entries(&self, text: &[u8]) -> Vec<Entry> {
        let parts = text.split(|&b| b == b',').filter(|part| !part.is_empty());
        parts.map(|entry| self.entry(entry)).collect()
    }

    fn entry(&self, entry: &[u8]) -> Entry {
        let text = |field| {
            let value = self.get(entry, field);
            // VEP writes the `=` of `p.Gly289=` so, for it may not be in INFO.
            (!value.is_empty() && value != b".")
                .then(|| String::from_utf8_lossy(value).replace("%3D", "="))
        };
        let terms = text(1).unwrap_or_default();
        Entry {
            terms: terms.split('&').filter(|t| !t.is_empty()).map(str::to_owned).collect(),
            texts: [2, 3, 4, 5, 6].map(text),
            canonical: self.get(entry, 7) == b"YES",
            names: [8, 9, 10].map(text),
        }
    }
}

/// How VEP names an ALT: where a length differs from REF's and all alleles start with the same base, without
/// that base, and `-` for nothing (VEP, `Parser::VCF`). `*` and symbolic alleles do not take part.
fn vep_allele(reference: &[u8], alts: &[&[u8]], i: usize) -> Vec<u8> {
    let bases = |alt: &&&[u8]| !alt.starts_with(b"<") && ***alt != *b"*";
    let indel = alts.iter().filter(bases).any(|alt| alt.len() != reference.len());
    let first = reference.first().map(u8::to_ascii_uppercase);
    let shared =
        alts.iter().filter(bases).all(|alt| alt.first().map(u8::to_ascii_uppercase) == first);
    match alts[i] {
        alt if !bases(&&alt) || !indel || !shared => alt.to_vec(),
        [_] => b"-".to_vec(),
        alt => alt[1..].to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(reference: &str, alts: &[&str]) -> Vec<String> {
        let alts: Vec<&[u8]> = alts.iter().map(|a| a.as_bytes()).collect();
        let name = |i| vep_allele(reference.as_bytes(), &alts, i);
        (0..alts.len()).map(|i| String::from_utf8_lossy(&name(i)).into_owned()).collect()
    }

    #[test]
    fn alleles_are_named_as_vep_names_them() {
        assert_eq!(names("G", &["A", "T"]), ["A", "T"]);
        assert_eq!(names("CA", &["C", "CAA"]), ["-", "AA"]);
        assert_eq!(names("C", &["CA", "A"]), ["CA", "A"]);
        assert_eq!(names("CA", &["C", "*"]), ["-", "*"]);
    }

    #[test]
    fn severity_decides_only_behind_mane_and_canonical() {
        let entry = |term: &str, canonical, mane: Option<&str>, transcript: &str| Entry {
            terms: vec!["intron_variant".to_owned(), term.to_owned()],
            texts: [None, None, None, Some(transcript.to_owned()), None],
            canonical,
            names: [mane.map(str::to_owned), None, None],
        };
        let mut all = vec![
            entry("missense_variant", false, None, "b"),
            entry("stop_gained", false, None, "c"),
            entry("stop_gained", false, None, "a"),
        ];
        assert_eq!((pick(&all), all[1].worst()), (Some(2), Some("stop_gained")));
        all.push(entry("synonymous_variant", true, None, "z"));
        assert_eq!(pick(&all), Some(3));
        all.push(entry("intron_variant", false, Some("NM_1"), "z"));
        assert_eq!((pick(&all), pick(&[])), (Some(4), None));
    }
}
