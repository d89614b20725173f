//! Why text is no policy.

/// Why text is no policy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Not TOML, an unknown key, or a value of the wrong type.
    #[error("the policy cannot be read")]
    Toml(#[source] Box<toml::de::Error>),
    /// SNPGuard's file cannot be read.
    #[error("the vm-config.toml cannot be read (SNPGuard wants every key)")]
    Snpguard(#[source] Box<toml::de::Error>),
    /// A list that is empty, which would be read as "no rule".
    #[error("{key} is an empty list; leave the key out if nothing is to be checked")]
    EmptyList {
        /// The key.
        key: &'static str,
    },
    /// A privilege level that does not exist.
    #[error("vmpl = {found} does not exist; it is 0 to 3")]
    Vmpl {
        /// The level.
        found: u8,
    },
    /// A bit that is both required and forbidden.
    #[error("{field} both requires and forbids {bit}")]
    Contradiction {
        /// `guest_policy` or `platform_info`.
        field: &'static str,
        /// The bit.
        bit: String,
    },
    /// A minimum of a component that no accepted product has.
    #[error("{key} is set, but only Turin has that component and the policy does not accept Turin")]
    NoFmc {
        /// The key.
        key: &'static str,
    },
    /// Minimum levels for a product that is not accepted.
    #[error("{key} is set, but the policy does not accept that product")]
    OtherProduct {
        /// The key.
        key: &'static str,
    },
    /// A table without a rule in it.
    #[error("[{table}] has no rule; leave it out if nothing is to be checked")]
    EmptyTable {
        /// The table.
        table: &'static str,
    },
    /// An ABI version with a build number.
    #[error("guest_policy.minimum_abi has no build number; write major.minor")]
    AbiBuild,
}

impl PolicyError {
    /// A stable name for this error, for scripts.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Toml(_) => "policy-file.toml",
            Self::Snpguard(_) => "policy-file.snpguard",
            Self::EmptyList { .. } => "policy-file.empty-list",
            Self::Vmpl { .. } => "policy-file.vmpl",
            Self::Contradiction { .. } => "policy-file.contradiction",
            Self::NoFmc { .. } => "policy-file.no-fmc",
            Self::OtherProduct { .. } => "policy-file.other-product",
            Self::EmptyTable { .. } => "policy-file.empty-table",
            Self::AbiBuild => "policy-file.abi-build",
        }
    }
}
