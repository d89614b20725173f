//! Minimum TCB versions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::product::Product;
use crate::tcb::Components;

/// One of the four TCB versions of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TcbKind {
    /// What runs now.
    Current,
    /// Below this the host cannot go back.
    Committed,
    /// What ran when the guest was launched or migrated in.
    Launch,
    /// The version whose key signed the report.
    Reported,
}

impl TcbKind {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Current, Self::Committed, Self::Launch, Self::Reported];

    /// The name as the policy writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Committed => "committed",
            Self::Launch => "launch",
            Self::Reported => "reported",
        }
    }
}

impl fmt::Display for TcbKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Minimum levels, for all products or for one each. A level that is left out
/// is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinimumTcb {
    /// Which of the report's TCB versions must be at least the minimum; empty:
    /// all four.
    pub which: Vec<TcbKind>,
    /// Levels for the products that have none of their own.
    pub any: Option<MinimumLevels>,
    /// Levels for Milan.
    pub milan: Option<MinimumLevels>,
    /// Levels for Genoa.
    pub genoa: Option<MinimumLevels>,
    /// Levels for Turin.
    pub turin: Option<MinimumLevels>,
}

impl MinimumTcb {
    /// Levels for one product and no other; all four versions are compared.
    #[must_use]
    pub fn of(product: Product, levels: MinimumLevels) -> Self {
        let mut minimum = Self::default();
        match product {
            Product::Milan => minimum.milan = Some(levels),
            Product::Genoa => minimum.genoa = Some(levels),
            Product::Turin => minimum.turin = Some(levels),
        }
        minimum
    }

    /// The levels that apply to `product`, if there are any.
    #[must_use]
    pub const fn levels(&self, product: Product) -> Option<MinimumLevels> {
        let own = match product {
            Product::Milan => self.milan,
            Product::Genoa => self.genoa,
            Product::Turin => self.turin,
        };
        match own {
            Some(levels) => Some(levels),
            None => self.any,
        }
    }

    /// Whether there is no minimum for any product.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.any.is_none() && self.milan.is_none() && self.genoa.is_none() && self.turin.is_none()
    }

    /// The TCB versions to compare.
    #[must_use]
    pub fn kinds(&self) -> &[TcbKind] {
        if self.which.is_empty() { &TcbKind::ALL } else { &self.which }
    }
}

/// A least level for each component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MinimumLevels {
    /// FMC, which only Turin has; not compared elsewhere.
    pub fmc: u8,
    /// The boot loader.
    pub bootloader: u8,
    /// The secure processor's operating system.
    pub tee: u8,
    /// The SEV-SNP firmware.
    pub snp: u8,
    /// Microcode.
    pub microcode: u8,
}

impl From<Components> for MinimumLevels {
    /// These levels and no less.
    fn from(components: Components) -> Self {
        Self {
            fmc: components.fmc.unwrap_or(0),
            bootloader: components.bootloader,
            tee: components.tee,
            snp: components.snp,
            microcode: components.microcode,
        }
    }
}

impl MinimumLevels {
    /// The least level of the component with this name, as
    /// [`crate::tcb::Components::iter`] names it.
    #[must_use]
    pub fn of(&self, component: &str) -> u8 {
        match component {
            "fmc" => self.fmc,
            "bootloader" => self.bootloader,
            "tee" => self.tee,
            "snp" => self.snp,
            _ => self.microcode,
        }
    }
}
