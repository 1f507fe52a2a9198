//! Samples of .fam and .psam files.

use std::collections::HashMap;
use std::path::Path;

use crate::error::IoError;
use crate::genotype::Error;

/// Reads the sample names in file order.
///
/// A sample is called by its IID. Where an IID comes up more than once, which PLINK allows in different
/// families, all samples of the file are called `FID_IID`. Sex, parents and phenotypes are passed over.
///
/// # Errors
/// When it cannot be read, a line is short or not UTF-8, there are no samples or one comes up twice.
pub fn read(path: &Path) -> Result<Vec<String>, Error> {
    let text = std::fs::read(path).map_err(IoError::at("reading", path))?;
    let fault =
        |line: usize, what| Error::PlinkText { file: path.to_owned(), line: line as u64 + 1, what };
    // Without a header the columns are FID and IID first (specification of .psam).
    let (mut family, mut person) = (Some(0), 1);
    let mut named: Vec<(&str, &str)> = Vec::new();
    for (i, line) in text.split(|&b| b == b'\n').enumerate() {
        let line = std::str::from_utf8(line).map_err(|_| fault(i, "not UTF-8"))?;
        let mut fields = line.split_ascii_whitespace();
        if line.starts_with('#') {
            match (fields.next(), fields.next()) {
                (Some("#FID"), Some("IID")) => (family, person) = (Some(0), 1),
                (Some("#IID"), _) => (family, person) = (None, 0),
                (Some("#FID"), _) => return Err(fault(i, "`#FID` is not followed by `IID`")),
                _ => {}
            }
            continue;
        }
        let Some(first) = fields.next() else { continue };
        let name = if person == 0 { Some(first) } else { fields.next() };
        let name = name.ok_or_else(|| fault(i, "no IID column"))?;
        named.push((if family.is_some() { first } else { "0" }, name));
    }
    if named.is_empty() {
        return Err(Error::NoSamples { file: path.to_owned() });
    }
    let names: Vec<String> = named.iter().map(|(_, name)| (*name).to_owned()).collect();
    let Some(twice) = twice(&names) else { return Ok(names) };
    let pasted: Vec<String> = named.iter().map(|(fid, iid)| format!("{fid}_{iid}")).collect();
    // Without families to tell them apart, the fault is in the names as they stand.
    let (first, second) = if family.is_none() {
        twice
    } else {
        match self::twice(&pasted) {
            None => return Ok(pasted),
            Some(twice) => twice,
        }
    };
    Err(Error::DuplicateSample { file: path.to_owned(), first, second })
}

/// The 1-based ordinals of the first name that comes up again.
fn twice(names: &[String]) -> Option<(usize, usize)> {
    let mut seen = HashMap::with_capacity(names.len());
    names.iter().enumerate().find_map(|(i, name)| {
        let first = seen.insert(name.as_str(), i + 1)?;
        Some((first, i + 1))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Coded;

    fn names(text: &str) -> Result<Vec<String>, &'static str> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.psam");
        std::fs::write(&path, text).unwrap();
        read(&path).map_err(|e| e.code())
    }

    #[test]
    fn names_are_iids_unless_these_repeat() {
        assert_eq!(names("f1 a 0 0 1 -9\nf2\tb 0 0 2 1\r\n").unwrap(), ["a", "b"]);
        assert_eq!(names("f1 a 0 0 1 -9\nf2 a 0 0 2 1\n").unwrap(), ["f1_a", "f2_a"]);
        assert_eq!(names("##x\n#FID\tIID\tSEX\nf1\ta\t1").unwrap(), ["a"]);
        assert_eq!(names("#IID SID SEX\na 1 1\nb 1 1\n\n").unwrap(), ["a", "b"]);
        assert_eq!(names("f a\nf a\n").unwrap_err(), "genotype::duplicate_sample");
        assert_eq!(names("#IID\na\nb\na\n").unwrap_err(), "genotype::duplicate_sample");
        assert_eq!(names("#IID\n").unwrap_err(), "genotype::no_samples");
        assert_eq!(names("f1\n").unwrap_err(), "genotype::plink_text");
        assert_eq!(names("#FID SID\na b\n").unwrap_err(), "genotype::plink_text");
    }
}
