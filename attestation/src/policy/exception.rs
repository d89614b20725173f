//! What weakens a guest or a verdict and is therefore refused unless the owner
//! allows it by name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

/// Something that is refused unless it is allowed by this name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Exception {
    /// `debug`: the host can read and write the guest's memory.
    Debug,
    /// `migration-agent`: another guest can move this one's state.
    MigrationAgent,
    /// `nonzero-vmpl`: the report was asked for at VMPL 1, 2 or 3, or may have
    /// been asked for by code below the guest's highest privilege.
    NonzeroVmpl,
    /// `masked-chip-id`: the host hides the chip id, so that a VCEK cannot be
    /// compared with it.
    MaskedChipId,
    /// `provisional-firmware`: the running secure processor firmware was not
    /// committed, so the host can go back to an older one.
    ProvisionalFirmware,
    /// `simulator-root`: the chain ends in a root that is not AMD's. Anyone who
    /// holds that root's key can make such reports.
    SimulatorRoot,
    /// `unknown-bits`: the report sets bits or bytes that are reserved in its
    /// version, whose meaning is unknown.
    UnknownBits,
    /// `any-measurement`: the policy says nothing about what runs in the
    /// guest.
    AnyMeasurement,
}

impl Exception {
    /// Every exception.
    pub const ALL: [Self; 8] = [
        Self::Debug,
        Self::MigrationAgent,
        Self::NonzeroVmpl,
        Self::MaskedChipId,
        Self::ProvisionalFirmware,
        Self::SimulatorRoot,
        Self::UnknownBits,
        Self::AnyMeasurement,
    ];

    /// The name that allows it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::MigrationAgent => "migration-agent",
            Self::NonzeroVmpl => "nonzero-vmpl",
            Self::MaskedChipId => "masked-chip-id",
            Self::ProvisionalFirmware => "provisional-firmware",
            Self::SimulatorRoot => "simulator-root",
            Self::UnknownBits => "unknown-bits",
            Self::AnyMeasurement => "any-measurement",
        }
    }

    const fn mask(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Exception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Exception {
    type Err = UnknownException;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|exception| exception.name() == text);
        found.ok_or_else(|| UnknownException(text.to_owned()))
    }
}

impl Serialize for Exception {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Exception {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A name that is no exception's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown exception {0:?}; known are {list}", list = names())]
pub struct UnknownException(pub String);

fn names() -> String {
    Exception::ALL.map(Exception::name).join(", ")
}

const _: () = assert!(Exception::ALL.len() <= 8, "the set below has 8 bits");

/// A set of exceptions.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Exceptions(u8);

impl Exceptions {
    /// No exception.
    pub const NONE: Self = Self(0);

    /// Whether `exception` is allowed.
    #[must_use]
    pub const fn contains(self, exception: Exception) -> bool {
        self.0 & exception.mask() != 0
    }

    /// Allows `exception` too.
    pub const fn insert(&mut self, exception: Exception) {
        self.0 |= exception.mask();
    }

    /// The exceptions in the set.
    pub fn iter(self) -> impl Iterator<Item = Exception> {
        Exception::ALL.into_iter().filter(move |exception| self.contains(*exception))
    }
}

impl FromIterator<Exception> for Exceptions {
    fn from_iter<I: IntoIterator<Item = Exception>>(iter: I) -> Self {
        let mut set = Self::NONE;
        iter.into_iter().for_each(|exception| set.insert(exception));
        set
    }
}

impl fmt::Debug for Exceptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_round_trip() {
        for exception in Exception::ALL {
            assert_eq!(exception.name().parse(), Ok(exception));
            let only: Exceptions = [exception].into_iter().collect();
            assert_eq!(only.iter().collect::<Vec<_>>(), [exception]);
        }
        let error = "Debug".parse::<Exception>().unwrap_err();
        assert!(error.to_string().contains("debug, migration-agent"));
    }
}
