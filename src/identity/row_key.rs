//! Row ids (`*_occurrence_id` and the like) re-keyed per tier and table.
//!
//! A keyed permutation of the 64-bit integers that keeps the sign: a Feistel network of 8 rounds over the
//! low 63 bits, an upper half of 31 and a lower of 32, the round function being SipHash-2-4 (keyed by 16
//! derived bytes) of the round's number, the sign and the other half, cut to the half's width. No table of
//! ids is needed, two rows never meet, and the same id under another tier or table gives an unrelated
//! number.
//!
//! The rounds of one id wait for each other, those of several do not: ids are taken many at a time.

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroize;

use super::Error;
use super::key::hmac_sha256;
use crate::engine::parquet::hex;

const ROUNDS: u64 = 8;

/// Ids that go through the rounds side by side: two to four vectors of them, by the width the machine has.
const LANES: usize = 16;

const SIGN: u64 = 1 << 63;
const UPPER: u64 = (1 << 31) - 1;
const LOWER: u64 = (1 << 32) - 1;

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
        self.lanes([id.cast_unsigned()], 0..ROUNDS)[0].cast_signed()
    }

    /// The tier's ids for rows, in place, each as [`RowKey::permute`] gives it.
    pub fn permute_all(&self, ids: &mut [i64]) {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the machine has the instructions the function is compiled for.
                return unsafe { permute_avx512(self, ids) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: as above.
                return unsafe { permute_avx2(self, ids) };
            }
        }
        self.permute_groups(ids);
    }

    #[inline(always)]
    fn permute_groups(&self, ids: &mut [i64]) {
        let (groups, rest) = ids.as_chunks_mut::<LANES>();
        for group in groups {
            *group = self.lanes(group.map(i64::cast_unsigned), 0..ROUNDS).map(u64::cast_signed);
        }
        rest.iter_mut().for_each(|id| *id = self.permute(*id));
    }

    /// The row's id for the tier's: the inverse of [`RowKey::permute`].
    pub fn invert(&self, id: i64) -> i64 {
        self.lanes([id.cast_unsigned()], (0..ROUNDS).rev())[0].cast_signed()
    }

    /// The rounds, each of which is its own inverse: it changes one half by what the other says.
    #[inline(always)]
    fn lanes<const N: usize>(&self, ids: [u64; N], rounds: impl Iterator<Item = u64>) -> [u64; N] {
        let word = |at: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&self.key[at..at + 8]);
            u64::from_le_bytes(bytes)
        };
        let keys = [word(0), word(8)];
        let mut ids = ids;
        for round in rounds {
            let even = round % 2 == 0;
            // Five bytes: round and sign, then the half that stays.
            let message = ids.map(|id| {
                let half = if even { id & LOWER } else { (id >> 32) & UPPER };
                round | (id & SIGN) >> 56 | half << 8
            });
            let hash = siphash_2_4(keys, message.map(|m| m | 5 << 56));
            for (id, hash) in ids.iter_mut().zip(hash) {
                *id ^= if even { (hash & UPPER) << 32 } else { hash & LOWER };
            }
        }
        ids
    }
}

/// [`RowKey::permute_groups`] with vectors of four ids: twice as fast as with the two that every machine has.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn permute_avx2(key: &RowKey, ids: &mut [i64]) {
    key.permute_groups(ids);
}

/// [`RowKey::permute_groups`] with vectors of eight ids, which rotate in one instruction.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn permute_avx512(key: &RowKey, ids: &mut [i64]) {
    key.permute_groups(ids);
}

/// SipHash-2-4 of messages of one block each: their bytes, little-endian, and their length in the highest
/// (Aumasson and Bernstein 2012). Lanes do not wait for each other.
#[inline(always)]
fn siphash_2_4<const N: usize>([k0, k1]: [u64; 2], block: [u64; N]) -> [u64; N] {
    let mut v = [
        [k0 ^ 0x736f_6d65_7073_6575; N],
        [k1 ^ 0x646f_7261_6e64_6f6d; N],
        [k0 ^ 0x6c79_6765_6e65_7261; N],
        [k1 ^ 0x7465_6462_7974_6573; N],
    ];
    for lane in 0..N {
        v[3][lane] ^= block[lane];
    }
    sip_round(&mut v);
    sip_round(&mut v);
    for lane in 0..N {
        v[0][lane] ^= block[lane];
        v[2][lane] ^= 0xff;
    }
    for _ in 0..4 {
        sip_round(&mut v);
    }
    std::array::from_fn(|lane| v[0][lane] ^ v[1][lane] ^ v[2][lane] ^ v[3][lane])
}

#[inline(always)]
fn sip_round<const N: usize>([v0, v1, v2, v3]: &mut [[u64; N]; 4]) {
    for lane in 0..N {
        v0[lane] = v0[lane].wrapping_add(v1[lane]);
        v2[lane] = v2[lane].wrapping_add(v3[lane]);
        v1[lane] = v1[lane].rotate_left(13) ^ v0[lane];
        v3[lane] = v3[lane].rotate_left(16) ^ v2[lane];
        v0[lane] = v0[lane].rotate_left(32);
        v2[lane] = v2[lane].wrapping_add(v1[lane]);
        v0[lane] = v0[lane].wrapping_add(v3[lane]);
        v1[lane] = v1[lane].rotate_left(17) ^ v2[lane];
        v3[lane] = v3[lane].rotate_left(21) ^ v0[lane];
        v2[lane] = v2[lane].rotate_left(32);
    }
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
    use siphasher::sip::SipHasher24;

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
        fn many_at_a_time_are_as_one_by_one(key: [u8; 16], ids: Vec<i64>) {
            let k = RowKey::from_bytes(key);
            let mut all = ids.clone();
            k.permute_all(&mut all);
            let mut portable = ids.clone();
            k.permute_groups(&mut portable);
            prop_assert_eq!(&all, &portable);
            prop_assert_eq!(all, ids.into_iter().map(|id| k.permute(id)).collect::<Vec<_>>());
        }

        #[test]
        fn the_round_function_is_siphash(key: [u8; 16], text: [u8; 5]) {
            let word = |at: usize| u64::from_le_bytes(key[at..at + 8].try_into().unwrap());
            let mut block = [0; 8];
            block[..5].copy_from_slice(&text);
            block[7] = 5;
            let [ours] = siphash_2_4([word(0), word(8)], [u64::from_le_bytes(block)]);
            prop_assert_eq!(ours, SipHasher24::new_with_key(&key).hash(&text));
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
                6_281_139_284_201_180_839,
                2_064_259_906_671_639_016,
                8_196_070_745_787_234_232,
                4_850_542_583_353_838_965,
                3_581_098_098_273_283_800,
                -3_476_711_140_059_826_698,
                -4_053_324_678_998_765_030,
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
