//! Names of Hive partitions: how a value becomes the name of a folder, and back.

/// A value (the name of a contig, say) as Hive partitions are named: other bytes than letters, digits, `._-` as `%` and two
/// hexadecimal digits (`HLA-A%2A01%3A01`), and so are dots at the start, which would hide or leave a folder.
/// Readers of partitions undo that; so does [`of_folder`].
pub fn folder(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut start = true;
    for byte in name.bytes() {
        start &= byte == b'.';
        if byte.is_ascii_alphanumeric() || (b"._-".contains(&byte) && !start) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

/// The value whose [`folder`] this is.
pub fn of_folder(folder: &str) -> String {
    let mut parts = folder.split('%');
    let mut name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = part.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match byte.filter(u8::is_ascii) {
            Some(byte) => {
                name.push(char::from(byte));
                name += &part[2..];
            }
            None => {
                name.push('%');
                name += part;
            }
        }
    }
    name
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn folders_of_contigs() {
        assert_eq!(folder("HLA-DRB1*15:01:01:01"), "HLA-DRB1%2A15%3A01%3A01%3A01");
        assert_eq!(folder("../x"), "%2E%2E%2Fx");
        assert_eq!(folder("chrUn_KI270302v1.2"), "chrUn_KI270302v1.2");
        assert_eq!(of_folder("a%zz%4"), "a%zz%4");
    }

    proptest! {
        #[test]
        fn every_name_comes_back_from_a_plain_folder(name in "[0-9A-Za-z!#$%&*+./:;=?@^_|~-]{1,128}") {
            let folder = folder(&name);
            prop_assert!(folder.bytes().all(|b| b.is_ascii_alphanumeric() || b"%._-".contains(&b)));
            prop_assert!(!folder.starts_with('.'));
            prop_assert_eq!(of_folder(&folder), name);
        }
    }
}
