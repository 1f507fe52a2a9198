//! The root key and the keys derived from it, one per purpose (privacy reference 1.3).
//!
//! ```text
//! K_shift = HKDF-SHA256(K, info = "strata/v1/shift")
//! K_rid   = HKDF-SHA256(K, info = "strata/v1/rid/" + tier)     or "strata/v1/rid/shared"
//! K_row   = HKDF-SHA256(K, info = "strata/v1/rowid/" + tier + "/" + table)
//! K_dev   = HKDF-SHA256(K, info = "strata/v1/textid/" + tier + "/device")
//! K_sdc   = HKDF-SHA256(K, info = "strata/v1/sdc/" + programme)
//! K_enc   = HKDF-SHA256(K, info = "strata/v1/enc/" + tier)
//! K_audit = HKDF-SHA256(K, info = "strata/v1/audit")
//! kid     = first 8 hex digits of SHA-256(HKDF-SHA256(K, info = "strata/v1/kid"))
//! ```
//!
//! HKDF has no salt; keys are 32 bytes, row keys 16. The reference's BLAKE3 for `kid` is SHA-256 here,
//! so that one hash serves the program. A key is never shown, logged or serialised, and is overwritten
//! when dropped.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};

use sha2::{Digest, Sha256};
use zeroize::Zeroize;

pub use crate::config::{IdScope, ShiftMode};

use super::map::{IdentityMap, Imported, ResearchIds};
use super::row_key::{RowKeys, TextKey};
use super::{Error, PersonId, ResearchId};
use crate::engine::RestKey;
use crate::engine::parquet::hex;
use crate::error::IoError;

/// Days of the longest shift: `MAX_DEID_DATE_SHIFT` of the All of Us curation code.
pub const MAX_SHIFT_DAYS: u16 = 364;

/// Key bytes that are overwritten when dropped and never shown.
#[derive(Clone)]
struct Secret([u8; 32]);

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Secret {
    /// HKDF-SHA256 without salt.
    fn derive<const N: usize>(&self, info: &str) -> [u8; N] {
        let mut out = [0; N];
        // Only lengths over 255 * 32 bytes are refused; N is 16 or 32.
        let refused = Hkdf::<Sha256>::new(None, &self.0).expand(info.as_bytes(), &mut out).is_err();
        debug_assert!(!refused);
        out
    }

    /// HMAC-SHA256 over the canonical form of a person id: `"v1"`, the length 8 as one byte, the id as
    /// a big-endian 64-bit integer.
    fn mac(&self, person: PersonId) -> [u8; 32] {
        self.mac_of(&[b"v1\x08", &person.0.to_be_bytes()])
    }

    /// HMAC-SHA256 over `parts`, one after another.
    fn mac_of(&self, parts: &[&[u8]]) -> [u8; 32] {
        hmac_sha256(&self.0, parts)
    }
}

/// HMAC-SHA256 over `parts`, one after another.
pub(super) fn hmac_sha256(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = match Hmac::<Sha256>::new_from_slice(key) {
        Ok(mac) => mac,
        Err(_) => unreachable!("HMAC takes keys of any length"),
    };
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().into()
}

/// A programme's root key: 32 random bytes.
pub struct Key {
    root: Secret,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl Key {
    /// A key from its bytes.
    ///
    /// # Errors
    /// [`Error::KeyWeak`] when all are zero.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, Error> {
        if bytes == [0; 32] {
            return Err(Error::KeyWeak { path: None });
        }
        Ok(Self { root: Secret(bytes) })
    }

    /// Reads a key file: 64 hexadecimal digits with or without a newline, or 32 raw bytes. A file
    /// descriptor can be given as `/dev/fd/N`.
    ///
    /// # Errors
    /// When the file cannot be read, is not owned by the effective user, can be read or written by
    /// others, holds no key, or holds zeros.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let mut file = File::open(path).map_err(IoError::at("opening", path))?;
        // The open file is asked, not the path: nobody can swap it in between.
        let metadata = file.metadata().map_err(IoError::at("reading", path))?;
        if metadata.mode() & 0o077 != 0 {
            return Err(Error::KeyReadableByOthers { path: path.to_path_buf() });
        }
        if effective_user().is_some_and(|user| user != metadata.uid()) {
            return Err(Error::KeyNotOwned { path: path.to_path_buf() });
        }
        let mut text = Vec::with_capacity(128);
        let read = (&mut file).take(128).read_to_end(&mut text);
        let bytes = read.map_err(IoError::at("reading", path)).map(|_| parse(&text));
        text.zeroize();
        let bytes = bytes?.ok_or_else(|| Error::KeyMalformed { path: path.to_path_buf() })?;
        Self::from_bytes(bytes).map_err(|_| Error::KeyWeak { path: Some(path.to_path_buf()) })
    }

    /// Makes a new random key in a new file of mode 0600, synced to disk with its folder.
    ///
    /// # Errors
    /// When the file exists already or cannot be written, or the system gives no random bytes.
    pub fn create(path: &Path) -> Result<Self, Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|source| Error::NoEntropy { source })?;
        let key = Self::from_bytes(bytes)?;
        let mut text = hex(&bytes);
        bytes.zeroize();
        text.push('\n');
        // Aside, synced, then linked: a run that is killed leaves no half key, and two first runs do not
        // overwrite each other.
        let aside = path.with_extension(format!("new-{}", std::process::id()));
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)
            .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(IoError::at("writing", &aside));
        text.zeroize();
        let linked = written
            .and_then(|()| std::fs::hard_link(&aside, path).map_err(IoError::at("creating", path)));
        std::fs::remove_file(&aside).map_err(IoError::at("removing", &aside))?;
        linked?;
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        File::open(folder).and_then(|d| d.sync_all()).map_err(IoError::at("syncing", folder))?;
        Ok(key)
    }

    /// Name of the key for manifests and logs: 8 hex digits that say nothing of the key itself.
    pub fn kid(&self) -> String {
        let derived: [u8; 32] = self.root.derive("strata/v1/kid");
        hex(&Sha256::digest(derived)[..4])
    }

    /// What the process that writes the Controlled tier needs: no shift key. `tables` are the tables
    /// whose row ids it re-keys.
    pub fn controlled<S: AsRef<str>>(
        &self,
        scope: IdScope,
        tables: impl IntoIterator<Item = S>,
    ) -> ControlledKeys {
        ControlledKeys {
            rid: self.rid("controlled", scope),
            rows: self.rows("controlled", tables),
            kid: self.kid(),
            imported: None,
        }
    }

    /// What the process that writes the Registered tier needs, with the shift key.
    pub fn registered<S: AsRef<str>>(
        &self,
        scope: IdScope,
        tables: impl IntoIterator<Item = S>,
    ) -> RegisteredKeys {
        RegisteredKeys {
            rid: self.rid("registered", scope),
            shift: Secret(self.root.derive("strata/v1/shift")),
            rows: self.rows("registered", tables),
            kid: self.kid(),
            mode: ShiftMode::Days,
            imported: None,
        }
    }

    /// The key of disclosure control for `programme`, constant across releases.
    pub fn disclosure(&self, programme: &str) -> DisclosureKey {
        DisclosureKey(Secret(self.root.derive(&format!("strata/v1/sdc/{programme}"))))
    }

    /// The key of `tier`'s files at rest.
    pub fn at_rest(&self, tier: &str) -> RestKey {
        let bytes = self.root.derive(&format!("strata/v1/enc/{tier}"));
        RestKey::new(bytes, self.kid(), tier)
    }

    /// The key that signs the audit log.
    pub fn audit(&self) -> AuditKey {
        AuditKey { secret: Secret(self.root.derive("strata/v1/audit")), kid: self.kid() }
    }

    fn rid(&self, tier: &str, scope: IdScope) -> Secret {
        let name = match scope {
            IdScope::PerTier => tier,
            IdScope::Shared => "shared",
        };
        Secret(self.root.derive(&format!("strata/v1/rid/{name}")))
    }

    fn rows<S: AsRef<str>>(
        &self,
        tier: &'static str,
        tables: impl IntoIterator<Item = S>,
    ) -> RowKeys {
        let row = |table: &str| self.root.derive(&format!("strata/v1/rowid/{tier}/{table}"));
        let device = self.root.derive(&format!("strata/v1/textid/{tier}/device"));
        RowKeys::new(tier, tables, row, TextKey::from_bytes(device))
    }
}

/// Effective user of the process: the owner of its own entry in `/proc`. None where there is no `/proc`.
fn effective_user() -> Option<u32> {
    std::fs::metadata("/proc/self").ok().map(|m| m.uid())
}

/// 32 raw bytes, or 64 hex digits with an optional line end.
fn parse(text: &[u8]) -> Option<[u8; 32]> {
    if let Ok(raw) = <[u8; 32]>::try_from(text) {
        return Some(raw);
    }
    let digits = text.strip_suffix(b"\n").unwrap_or(text);
    let digits = digits.strip_suffix(b"\r").unwrap_or(digits);
    if digits.len() != 64 {
        return None;
    }
    let mut out = [0; 32];
    for (byte, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let [high, low] = [pair[0], pair[1]].map(|c| (c as char).to_digit(16));
        *byte = u8::try_from(high? * 16 + low?).ok()?;
    }
    Some(out)
}

/// The keys of the Controlled tier. There is no way from here to a shift.
pub struct ControlledKeys {
    rid: Secret,
    rows: RowKeys,
    kid: String,
    pub(super) imported: Option<Imported<ResearchIds>>,
}

/// The keys of the Registered tier.
pub struct RegisteredKeys {
    rid: Secret,
    shift: Secret,
    rows: RowKeys,
    kid: String,
    mode: ShiftMode,
    pub(super) imported: Option<Imported<IdentityMap>>,
}

impl ControlledKeys {
    /// With research ids that were given out elsewhere, for both tiers; no shift comes with them. Whom they
    /// lack has a derived one if `derive_missing`, else is an error where people are listed.
    #[must_use]
    pub fn with_research_ids(mut self, ids: Arc<ResearchIds>, derive_missing: bool) -> Self {
        self.imported = Some(Imported { map: ids, derive_missing });
        self
    }
    /// The research id that the key gives the person in this tier, whatever a map says.
    pub fn research_id(&self, person: PersonId) -> ResearchId {
        research_id(&self.rid, person)
    }
    /// The row keys.
    pub fn rows(&self) -> &RowKeys {
        &self.rows
    }
    /// Name of the root key.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl RegisteredKeys {
    /// With shifts of this kind; days if nothing is said.
    #[must_use]
    pub fn with_shift(mut self, mode: ShiftMode) -> Self {
        self.mode = mode;
        self
    }
    /// With ids and shifts that were given out elsewhere. Whom they lack has derived ones if
    /// `derive_missing`, else is an error where people are listed.
    #[must_use]
    pub fn with_map(mut self, map: Arc<IdentityMap>, derive_missing: bool) -> Self {
        self.imported = Some(Imported { map, derive_missing });
        self
    }
    /// Of what kind shifts are.
    pub fn shift_mode(&self) -> ShiftMode {
        self.mode
    }
    /// The research id that the key gives the person in this tier, whatever a map says.
    pub fn research_id(&self, person: PersonId) -> ResearchId {
        research_id(&self.rid, person)
    }
    /// Days, 1..=364, by which the key moves every date of the person back, whatever a map says.
    ///
    /// `1 + (u mod 364)`, or `7 * (1 + u mod 52)` in whole weeks, with `u` the first 16 bytes of the MAC,
    /// big-endian: bias below 2^-119.
    pub fn shift(&self, person: PersonId) -> u16 {
        let mac = self.shift.mac(person);
        let u = mac[..16].iter().fold(0u128, |u, b| (u << 8) | u128::from(*b));
        // Below 364, so the conversion keeps the value.
        let below = |n: u16| (u % u128::from(n)) as u16;
        match self.mode {
            ShiftMode::Days => below(MAX_SHIFT_DAYS) + 1,
            ShiftMode::Weeks => 7 * (below(MAX_SHIFT_DAYS / 7) + 1),
        }
    }
    /// The row keys.
    pub fn rows(&self) -> &RowKeys {
        &self.rows
    }
    /// Name of the root key.
    pub fn kid(&self) -> &str {
        &self.kid
    }
}

/// First 63 bits of the MAC; 0 becomes 1. Collisions are caught where a map is made
/// ([`super::people`]): at 1e6 people their chance is 5e-8.
fn research_id(key: &Secret, person: PersonId) -> ResearchId {
    let mac = key.mac(person);
    let u = mac[..8].iter().fold(0u64, |u, b| (u << 8) | u64::from(*b)) >> 1;
    ResearchId(i64::try_from(u).unwrap_or(1).max(1))
}

/// The key of disclosure control (privacy reference 2.5).
pub struct DisclosureKey(Secret);

impl DisclosureKey {
    /// 64 keyed bits for a table's name, for its secret offset.
    pub fn bits(&self, name: &str) -> u64 {
        let derived: [u8; 32] = self.0.derive(name);
        derived[..8].iter().fold(0u64, |u, b| (u << 8) | u64::from(*b))
    }
}

/// The key of the audit log's checkpoints.
pub struct AuditKey {
    secret: Secret,
    kid: String,
}

impl AuditKey {
    /// Name of the root key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// HMAC-SHA256 of `message` in lower-case hex.
    pub fn mac(&self, message: &[u8]) -> String {
        hex(&self.secret.mac_of(&[message]))
    }
}

macro_rules! redacted {
    ($($name:ident),*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }
    )*};
}
redacted!(Secret, ControlledKeys, RegisteredKeys, DisclosureKey, AuditKey);

#[cfg(test)]
mod tests;
