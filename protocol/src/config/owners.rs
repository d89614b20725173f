//! The list of owners (`unlock.owners`), how many have to agree, and for how long
//! they are waited for.

use std::num::NonZeroU8;
use std::str::FromStr;

use ssh_key::PublicKey;

use super::unlock::OwnerKey;
use super::values::ValueError;
use crate::units::{Deadline, decimal};

/// The most owners.
const MAX_OWNERS: usize = 32;

/// Key types whose signatures PID 1 verifies.
const KNOWN: [&str; 4] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// How other types of keys begin, and why they are refused.
const REFUSED: [(&str, &str); 4] = [
    ("ssh-rsa", "RSA keys are not supported; make one with ssh-keygen -t ed25519"),
    ("ssh-dss", "DSA keys are broken; make one with ssh-keygen -t ed25519"),
    ("ecdsa-sha2-", "of the ECDSA keys only ecdsa-sha2-nistp256 is supported"),
    ("sk-", "of the keys on security keys only Ed25519 and ECDSA over P-256 are supported"),
];

impl FromStr for OwnerKey {
    type Err = ValueError;

    /// Reads a line of authorized_keys without options; its comment is dropped.
    fn from_str(line: &str) -> Result<OwnerKey, ValueError> {
        if line.chars().any(char::is_control) {
            return Err(ValueError("a key is one line of printable characters"));
        }
        let kind = line.split(' ').next().unwrap_or_default();
        if kind.ends_with("-cert-v01@openssh.com") {
            return Err(ValueError("certificates are not supported; list the key itself"));
        }
        if !KNOWN.contains(&kind) {
            let refused = REFUSED.iter().find(|(start, _)| kind.starts_with(start));
            return Err(ValueError(refused.map_or(
                "a line does not begin with the type of a key; options before it are not supported",
                |(_, why)| why,
            )));
        }
        let mut key = PublicKey::from_openssh(line).map_err(|_malformed| {
            ValueError("a key is malformed, or of another type than it says")
        })?;
        // One spelling of a point: in another one the same key would count twice.
        let data = key.key_data();
        let point = data
            .ecdsa()
            .map(|ecdsa| ecdsa.as_sec1_bytes())
            .or_else(|| data.sk_ecdsa_p256().map(|sk| sk.ec_point().as_bytes()));
        if point.is_some_and(|point| point.first() != Some(&0x04)) {
            return Err(ValueError("the point of an ECDSA key is not uncompressed"));
        }
        key.set_comment("");
        Ok(OwnerKey(key))
    }
}

/// All owners: 1 to 32 keys, each once.
pub(super) struct OwnerKeys(pub(super) Vec<OwnerKey>);

impl FromStr for OwnerKeys {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<OwnerKeys, ValueError> {
        let mut keys: Vec<OwnerKey> = Vec::new();
        for line in text.split(',') {
            if keys.len() == MAX_OWNERS {
                return Err(ValueError("more than 32 owners"));
            }
            let key = line.parse()?;
            // Twice the same would make one owner count as two.
            if keys.contains(&key) {
                return Err(ValueError("a key is there twice"));
            }
            keys.push(key);
        }
        Ok(OwnerKeys(keys))
    }
}

/// How many owners have to agree.
pub(super) struct Threshold(pub(super) NonZeroU8);

impl FromStr for Threshold {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Threshold, ValueError> {
        let count = decimal(text).ok().and_then(NonZeroU8::new);
        count.map(Threshold).ok_or(ValueError("not a number of owners"))
    }
}

/// A deadline, or `none`.
pub(super) struct OptionalDeadline(pub(super) Option<Deadline>);

impl FromStr for OptionalDeadline {
    type Err = crate::units::UnitError;

    fn from_str(text: &str) -> Result<OptionalDeadline, Self::Err> {
        if text == "none" {
            return Ok(OptionalDeadline(None));
        }
        text.parse().map(|deadline| OptionalDeadline(Some(deadline)))
    }
}
