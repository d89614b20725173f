//! Accepted verdicts, remembered for a short time.
//!
//! OpenSSH calls its `KnownHostsCommand` several times a connection, and tools
//! such as Ansible connect often; each fresh report costs the VM's secure
//! processor some milliseconds and is rate limited. What is remembered are the
//! host keys that a report bound, under a digest of everything that the verdict
//! depended on: the address, the whole effective policy with the expected
//! measurements, the roots, certificates and revocation lists that were named.
//! Change any of them, and the VM is asked again. Refusals are not remembered.

use std::io;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64ct::{Base64, Encoding};
use protocol::host_keys::HostKeys;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::private::Directory;

const FORMAT: u32 = 1;

/// What a verdict depends on, collected in a fixed order.
#[derive(Debug, Clone)]
pub struct Key(Sha256);

impl Default for Key {
    fn default() -> Self {
        let version = concat!("ravelin verdict ", env!("CARGO_PKG_VERSION"));
        Self(Sha256::new()).with("version", version.as_bytes())
    }
}

impl Key {
    /// Adds an input. Name and content are each hashed with their length.
    #[must_use]
    pub fn with(mut self, name: &str, content: &[u8]) -> Self {
        for part in [name.as_bytes(), content] {
            let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
            self.0.update(length.to_be_bytes());
            self.0.update(part);
        }
        self
    }

    fn name(&self) -> String {
        hex::encode(self.0.clone().finalize())
    }
}

/// Where verdicts are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdicts(Directory);

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    format: u32,
    /// Seconds since 1970.
    made: u64,
    report_id: String,
    host_keys: String,
    warnings: Vec<String>,
}

/// An accepted verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// REPORT_ID of the VM, hexadecimal.
    pub report_id: String,
    /// The host keys that its report bound.
    pub host_keys: HostKeys,
    /// What the owner must be told every time.
    pub warnings: Vec<String>,
}

impl Verdicts {
    /// In the user's runtime directory, which the system empties at logout, or
    /// else the state directory.
    #[must_use]
    pub fn of_user() -> Option<Self> {
        let variables = ["XDG_RUNTIME_DIR", "XDG_STATE_HOME"];
        Directory::of_user(&variables, ".local/state", "verdicts").map(Self)
    }

    /// The verdict for this key, if it is not older than `age`.
    #[must_use]
    pub fn get(&self, key: &Key, age: Duration) -> Option<Remembered> {
        self.get_at(key, age, now())
    }

    fn get_at(&self, key: &Key, age: Duration, now: u64) -> Option<Remembered> {
        let entry: Entry = self.0.read(&key.name())?;
        // A verdict from the future is one of another clock: not believed.
        let old = now.checked_sub(entry.made)?;
        if entry.format != FORMAT || old >= age.as_secs() {
            return None;
        }
        let keys = Base64::decode_vec(&entry.host_keys).ok()?;
        Some(Remembered {
            report_id: entry.report_id,
            host_keys: HostKeys::decode(&keys).ok()?,
            warnings: entry.warnings,
        })
    }

    /// Remembers an accepted verdict.
    ///
    /// # Errors
    /// If it cannot be written; then the VM is asked again next time.
    pub fn put(&self, key: &Key, verdict: &Remembered) -> io::Result<()> {
        let entry = Entry {
            format: FORMAT,
            made: now(),
            report_id: verdict.report_id.clone(),
            host_keys: Base64::encode_string(&verdict.host_keys.encode()),
            warnings: verdict.warnings.clone(),
        };
        self.0.write(&key.name(), &entry).map_err(|error| {
            io::Error::new(error.kind(), format!("{}: {error}", self.0.path().display()))
        })
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_end_and_belong_to_their_inputs() {
        let directory = tempfile::tempdir().unwrap();
        let verdicts = Verdicts(Directory::at(directory.path()));
        let host_keys = HostKeys::new([b"\0\0\0\x01x".to_vec()]).unwrap();
        let verdict =
            Remembered { report_id: "ab".to_owned(), host_keys, warnings: vec!["w".to_owned()] };
        let key = Key::default().with("address", b"a:1").with("policy", b"p");
        let minute = Duration::from_secs(60);
        assert_eq!(verdicts.get(&key, minute), None);
        verdicts.put(&key, &verdict).unwrap();
        let made = now();
        assert_eq!(verdicts.get_at(&key, minute, made + 58), Some(verdict.clone()));
        assert_eq!(verdicts.get_at(&key, minute, made + 61), None);
        assert_eq!(verdicts.get_at(&key, minute, made - 100), None);
        assert_eq!(verdicts.get(&key, Duration::ZERO), None);
        for other in [
            Key::default().with("address", b"a:2").with("policy", b"p"),
            Key::default().with("address", b"a:1").with("policy", b"q"),
            Key::default().with("address", b"a:1p").with("policy", b""),
            Key::default().with("address", b"a:1"),
        ] {
            assert_eq!(verdicts.get(&other, minute), None);
        }
    }
}
