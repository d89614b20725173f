//! The `[unlock]` table of a `vm.toml`: how the VM gets its keys.

use std::path::PathBuf;

use serde::Deserialize;

use crate::attest::address::Address;

/// How keys are released to the VM. What is accepted of it stands under `[attest]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Unlock {
    /// Where it waits for keys: `HOST:PORT` or `vsock:CID:PORT`. Where it is absent,
    /// `unlock_port` of the network on 127.0.0.1.
    pub address: Option<Address>,
    /// The owner's SSH key, private or public.
    pub identity: Option<PathBuf>,
    /// The key file of the root.
    pub key: Option<PathBuf>,
}
