//! The `[attest]` table of a `vm.toml`: how the running VM is asked, and what of
//! its answer is accepted.
//!
//! No root of trust can be named here: a file that comes with an image must not
//! be able to make a simulator's report pass. That needs `--trust-root`.

use std::path::PathBuf;

use serde::Deserialize;

use crate::attest::address::Address;

/// How the running VM is asked for evidence.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Attest {
    /// The policy that its reports must satisfy. If it names no measurement,
    /// that of this VM is computed.
    pub policy: Option<PathBuf>,
    /// Where its responder is: `HOST:PORT` or `vsock:CID:PORT`. Where it is
    /// absent, `attest_port` of the network on 127.0.0.1.
    pub address: Option<Address>,
}
