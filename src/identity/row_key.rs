//! Row ids (`*_occurrence_id` and the like) re-keyed per tier and table.
//!
//! A keyed permutation of the 64-bit integers: a balanced Feistel network of 8 rounds over two 32-bit
//! halves, the round function being SipHash-2-4 (keyed by 16 derived bytes) of the round number and the
//! half, cut to 32 bits. Cycle-walking keeps the sign: non-negative ids map one-to-one onto
//! non-negative ids, negative ids onto negative ids. No table of ids is needed, two rows never meet,
//! and the same id under another tier or table gives an unrelated number.

use std::collections::BTreeMap;
use std::fmt;

use siphasher::sip::SipHasher24;
use zeroize::Zeroize;

use super::Error;
use super::key::hmac_sha256;
use crate::engine::parquet::hex;

const ROUNDS: u8 = 8;

/// The permutation of one tier and table.
#[derive(Clone)]
pub struct RowKey {
    key: [u8; 16],
}

impl Drop for RowKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowKey(…)")
    }
}

impl RowKey {
    /// From 16 secret bytes.
    pub fn from_bytes(key: [u8; 16]) -> Self {
        Self { key }
    }

    /// The tier's id for the row: one-to-one, same sign.
    pub fn permute(&self, id: i64) -> i64 {
        self.walk(id, encrypt)
    }

    /// The row's id for the tier's: the inverse of [`RowKey::permute`].
    pub fn invert(&self, id: i64) -> i64 {
        self.walk(id, decrypt)
    }

    /// Applies the 64-bit permutation until the sign is that of `id`: two steps on average, and an end
    /// is certain because a permutation's cycle comes back to `id` itself.
    fn walk(&self, id: i64, step: fn(&SipHasher24, u64) -> u64) -> i64 {
        let hasher = SipHasher24::new_with_key(&self.key);
        let mut bits = id.cast_unsigned();
        loop {
            bits = step(&hasher, bits);
            let out = bits.cast_signed();
            if (out < 0) == (id < 0) {
                return out;
            }
        }
    }
}

fn round(hasher: &SipHasher24, number: u8, half: u32) -> u32 {
    let [a, b, c, d] = half.to_be_bytes();
    // The low 32 bits are meant.
    hasher.hash(&[number, a, b, c, d]) as u32
}

fn encrypt(hasher: &SipHasher24, block: u64) -> u64 {
    let (mut left, mut right) = ((block >> 32) as u32, block as u32);
    for number in 0..ROUNDS {
        (left, right) = (right, left ^ round(hasher, number, right));
    }
    (u64::from(left) << 32) | u64::from(right)
}

fn decrypt(hasher: &SipHasher24, block: u64) -> u64 {
    let (mut left, mut right) = ((block >> 32) as u32, block as u32);
    for number in (0..ROUNDS).rev() {
        (left, right) = (right ^ round(hasher, number, left), left);
    }
    (u64::from(left) << 32) | u64::from(right)
}

/// The pseudonyms of identifiers that are text, in one tier and column.
#[derive(Clone)]
pub struct TextKey {
    key: [u8; 32],
}

impl Drop for TextKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl fmt::Debug for TextKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TextKey(…)")
    }
}

impl TextKey {
    /// From 32 secret bytes.
    pub fn from_bytes(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// The tier's identifier for this one: the first 16 bytes of its HMAC-SHA256, in lower-case hex. The same
    /// text has the same; that two texts meet has a chance of 2^-128 a pair.
    pub fn pseudonym(&self, id: &str) -> String {
        hex(&hmac_sha256(&self.key, &[id.as_bytes()])[..16])
    }
}

/// The row keys of one tier, by table.
#[derive(Clone)]
pub struct RowKeys {
    tier: &'static str,
    keys: BTreeMap<String, RowKey>,
    device: TextKey,
}

impl fmt::Debug for RowKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowKeys({}, {} tables)", self.tier, self.keys.len())
    }
}

impl RowKeys {
    pub(super) fn new<S: AsRef<str>>(
        tier: &'static str,
        tables: impl IntoIterator<Item = S>,
        derive: impl Fn(&str) -> [u8; 16],
        device: TextKey,
    ) -> Self {
        let keys = tables
            .into_iter()
            .map(|t| (t.as_ref().to_owned(), RowKey::from_bytes(derive(t.as_ref()))))
            .collect();
        Self { tier, keys, device }
    }

    /// Tier the keys are for.
    pub fn tier(&self) -> &'static str {
        self.tier
    }

    /// The key of the ids of wearable devices: each is one person's, as good as a name.
    pub fn device(&self) -> &TextKey {
        &self.device
    }

    /// The key of `table`'s own row ids; foreign keys to `table` use it too.
    ///
    /// # Errors
    /// [`Error::NoRowKey`] when the keys were made without this table.
    pub fn get(&self, table: &str) -> Result<&RowKey, Error> {
        self.keys
            .get(table)
            .ok_or_else(|| Error::NoRowKey { tier: self.tier, table: table.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn permutes_and_inverts(key: [u8; 16], id: i64) {
            let k = RowKey::from_bytes(key);
            let out = k.permute(id);
            prop_assert_eq!(k.invert(out), id);
            prop_assert_eq!(out < 0, id < 0);
        }

        #[test]
        fn is_injective(key: [u8; 16], ids in prop::collection::btree_set(any::<i64>(), 0..500)) {
            let k = RowKey::from_bytes(key);
            let out: BTreeSet<i64> = ids.iter().map(|&i| k.permute(i)).collect();
            prop_assert_eq!(out.len(), ids.len());
        }
    }

    #[test]
    fn is_pinned() {
        let k = RowKey::from_bytes([9; 16]);
        let got = [0, 1, 2, 1_000_000_000_000_000, i64::MAX, -1, i64::MIN].map(|i| k.permute(i));
        assert_eq!(
            got,
            [
                978_160_656_296_811_118,
                4_910_319_635_943_449_410,
                8_120_681_631_632_307_031,
                7_912_981_471_598_486_972,
                2_313_693_727_391_612_930,
                -694_785_550_420_818_147,
                -6_085_048_425_578_179_168,
            ]
        );
    }

    #[test]
    fn neighbours_scatter() {
        let k = RowKey::from_bytes([9; 16]);
        let above = (0..10_000).filter(|&i| k.permute(i) > i64::MAX / 2).count();
        assert!((4_800..5_200).contains(&above), "{above} of 10000 in the upper half");
    }

    #[test]
    fn a_table_without_a_key_is_an_error() {
        let keys =
            RowKeys::new("controlled", ["person"], |_| [1; 16], TextKey::from_bytes([2; 32]));
        assert!(keys.get("person").is_ok());
        assert!(matches!(keys.get("note"), Err(Error::NoRowKey { .. })));
    }
}
