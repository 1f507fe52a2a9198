//! Known answers, uniform shifts, and that nothing of a key is shown.

use super::*;

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32]).unwrap()
}

/// RFC 5869 A.1 and A.3 (no salt), through the crate as used here.
#[test]
fn hkdf_known_answers() {
    let mut okm = [0; 42];
    let salt: Vec<u8> = (0..=0x0c).collect();
    let info: Vec<u8> = (0xf0..=0xf9).collect();
    Hkdf::<Sha256>::new(Some(&salt), &[0x0b; 22]).expand(&info, &mut okm).unwrap();
    assert_eq!(
        hex(&okm),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    );
    Hkdf::<Sha256>::new(None, &[0x0b; 22]).expand(&[], &mut okm).unwrap();
    assert_eq!(
        hex(&okm),
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    );
}

/// RFC 4231 cases 1, 2 and 6 (key longer than a block).
#[test]
fn hmac_known_answers() {
    let mac = |key: &[u8], data: &[u8]| {
        let mut m = Hmac::<Sha256>::new_from_slice(key).unwrap();
        m.update(data);
        hex(&m.finalize().into_bytes())
    };
    assert_eq!(
        mac(&[0x0b; 20], b"Hi There"),
        "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
    );
    assert_eq!(
        mac(b"Jefe", b"what do ya want for nothing?"),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        mac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}

/// The whole chain pinned (values recomputed with Python's hmac and hashlib): a change of derivation
/// would rename everybody.
#[test]
fn derived_values_are_pinned() {
    let keys = key(7).registered(IdScope::PerTier, ["drug_exposure"]);
    let people = [1, 2, -5, i64::MAX].map(PersonId);
    let got = people.map(|p| (keys.research_id(p).0, keys.shift(p)));
    assert_eq!(key(7).kid(), "9eb02449");
    assert_eq!(
        got,
        [
            (8_143_723_074_479_679_462, 272),
            (4_333_728_143_630_200_988, 101),
            (1_483_835_369_277_650_382, 215),
            (1_701_422_193_505_482_602, 122),
        ]
    );
}

/// Chi-square over 1,000,000 ids, which come in a row as ids do.
#[test]
fn shifts_are_uniform_in_days_and_in_weeks() {
    let statistic = |mode: ShiftMode, cells: usize, step: u16| {
        let keys = key(3).registered(IdScope::PerTier, [""; 0]).with_shift(mode);
        let mut found = vec![0u32; cells];
        for p in 0..1_000_000 {
            let shift = keys.shift(PersonId(p));
            assert!(shift.is_multiple_of(step) && (step..=MAX_SHIFT_DAYS).contains(&shift));
            found[usize::from(shift / step) - 1] += 1;
        }
        let expected = 1_000_000.0 / cells as f64;
        found.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum::<f64>()
    };
    // Quantiles 0.0001 and 0.9999 with 363 and 51 degrees of freedom.
    let days = statistic(ShiftMode::Days, 364, 1);
    assert!((269.0..471.0).contains(&days), "chi-square {days}");
    let weeks = statistic(ShiftMode::Weeks, 52, 7);
    assert!((21.0..99.0).contains(&weeks), "chi-square {weeks}");
}

#[test]
fn tiers_have_their_own_ids_unless_shared() {
    let p = PersonId(42);
    let none = [""; 0];
    let (c, r) =
        (key(3).controlled(IdScope::PerTier, none), key(3).registered(IdScope::PerTier, none));
    assert_ne!(c.research_id(p), r.research_id(p));
    let (c, r) =
        (key(3).controlled(IdScope::Shared, none), key(3).registered(IdScope::Shared, none));
    assert_eq!(c.research_id(p), r.research_id(p));
    assert_ne!(key(4).controlled(IdScope::Shared, none).research_id(p), c.research_id(p));
    assert!(c.research_id(p).0 > 0);
}

#[test]
fn nothing_of_a_key_is_shown() {
    let k = Key::from_bytes(*b"canary-canary-canary-canary-1234").unwrap();
    let all = format!(
        "{k:?} {:?} {:?} {:?}",
        k.controlled(IdScope::PerTier, ["t"]),
        k.registered(IdScope::PerTier, ["t"]),
        k.disclosure("x")
    );
    assert_eq!(all, "Key(…) ControlledKeys(…) RegisteredKeys(…) DisclosureKey(…)");
    assert!(!k.kid().contains("63616e61"));
}

#[test]
fn parses_hex_and_raw_only() {
    assert_eq!(parse(&[5; 32]), Some([5; 32]));
    assert_eq!(parse("0a".repeat(32).as_bytes()), Some([10; 32]));
    assert_eq!(parse(format!("{}\n", "0A".repeat(32)).as_bytes()), Some([10; 32]));
    for bad in ["", "0a0a", &"0g".repeat(32), &"0a".repeat(33), &format!("{} \n", "0a".repeat(32))]
    {
        assert_eq!(parse(bad.as_bytes()), None);
    }
    assert!(matches!(Key::from_bytes([0; 32]), Err(Error::KeyWeak { .. })));
}
