//! The `[sev]` table of a `vm.toml`: what the secure processor is told at
//! launch, and what the measurement needs to know of the host.

use attestation::id_block::{IdAuth, IdBlock};
use attestation::measurement::GuestFeatures;
use attestation::report::Hex;
use serde::{Deserialize, Deserializer};

use super::Policy;

/// What the secure processor is told at launch.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Sev {
    /// The guest policy: in every report, not in the measurement.
    #[serde(default)]
    pub policy: Policy,
    /// The page-table bit that marks encrypted memory. Asked of the processor
    /// where it is absent; 51 on every EPYC so far.
    pub cbitpos: Option<u8>,
    /// SEV_FEATURES of every vCPU. Measured. The host's KVM chooses them and
    /// QEMU has no option for them, so this is what is expected, not set.
    #[serde(default)]
    pub guest_features: GuestFeatures,
    /// HOST_DATA: 32 bytes of the owner's choice, in every report. The host
    /// could give others: only a policy makes them mean something.
    pub host_data: Option<Hex<32>>,
    /// The ID block, in QEMU's base64.
    #[serde(default, deserialize_with = "id_block")]
    pub id_block: Option<IdBlock>,
    /// The signatures on the ID block, in QEMU's base64.
    #[serde(default, deserialize_with = "id_auth")]
    pub id_auth: Option<IdAuth>,
    /// Whether the author key in `id_auth` is used: AUTHOR_KEY_EN. Where it is
    /// absent it is if there is one.
    pub author_key: Option<bool>,
}

impl Sev {
    /// Whether the secure processor is to check the author key's signature.
    #[must_use]
    pub fn author_key_enabled(&self) -> bool {
        let has = self.id_auth.as_ref().is_some_and(|auth| auth.author().is_some());
        self.author_key.unwrap_or(has)
    }

    /// What the secure processor would refuse, with the key that it is about.
    pub(super) fn contradiction(&self) -> Option<(&'static str, String)> {
        if let Some(bits @ (0..=31 | 64..)) = self.cbitpos {
            return Some(("cbitpos", format!("cbitpos is from 32 to 63, not {bits}")));
        }
        let has_author = self.id_auth.as_ref().is_some_and(|auth| auth.author().is_some());
        if self.author_key == Some(true) && !has_author {
            let message = "author_key is on, and id_auth has no author key's signature";
            return Some(("author_key", message.to_owned()));
        }
        let (block, auth) = match (&self.id_block, &self.id_auth) {
            (None, None) => return None,
            (Some(block), Some(auth)) => (block, auth),
            (Some(_), None) => {
                return Some(("id_block", "an id_block needs its id_auth".to_owned()));
            }
            (None, Some(_)) => {
                return Some(("id_auth", "an id_auth needs its id_block".to_owned()));
            }
        };
        if block.policy != self.policy.bits() {
            let message = format!(
                "the ID block is for policy {:#x} and the VM has {}; the secure processor would \
                 refuse it (`ravelin id-block` makes another)",
                block.policy, self.policy
            );
            return Some(("id_block", message));
        }
        auth.verify(block).err().map(|error| ("id_auth", error.to_string()))
    }
}

fn id_block<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IdBlock>, D::Error> {
    let text = String::deserialize(deserializer)?;
    IdBlock::from_base64(&text).map(Some).map_err(serde::de::Error::custom)
}

fn id_auth<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<IdAuth>, D::Error> {
    let text = String::deserialize(deserializer)?;
    IdAuth::from_base64(&text).map(Some).map_err(serde::de::Error::custom)
}
