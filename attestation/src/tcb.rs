//! TCB versions: the security patch levels of a platform's firmware.
//!
//! Eight bytes, one level a byte, whose meaning depends on the product (56860
//! revision 1.58, section 2.2, TCB_VERSION):
//!
//! | byte | Milan, Genoa | Turin |
//! |---|---|---|
//! | 0 | boot loader | FMC |
//! | 1 | TEE | boot loader |
//! | 2 | reserved (SPL 4) | TEE |
//! | 3 | reserved (SPL 5) | SNP |
//! | 4 | reserved (SPL 6) | reserved (SPL 5) |
//! | 5 | reserved (SPL 7) | reserved (SPL 6) |
//! | 6 | SNP | reserved (SPL 7) |
//! | 7 | microcode | microcode |
//!
//! Levels are compared one component at a time. There is no order on whole
//! versions: a newer microcode does not make up for an older SNP firmware.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::product::Product;

/// A TCB version as a report carries it: eight bytes in the order of the
/// report, which is the little-endian order of AMD's 64-bit TCB_VERSION.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tcb(pub [u8; 8]);

impl Tcb {
    /// The five levels, read by `product`'s layout.
    #[must_use]
    pub const fn components(self, product: Product) -> Components {
        let [b0, b1, b2, b3, _, _, b6, b7] = self.0;
        match product {
            Product::Milan | Product::Genoa => {
                Components { fmc: None, bootloader: b0, tee: b1, snp: b6, microcode: b7 }
            }
            Product::Turin => {
                Components { fmc: Some(b0), bootloader: b1, tee: b2, snp: b3, microcode: b7 }
            }
        }
    }

    /// The same version with its microcode level cleared: what the secure
    /// processor's own firmware contributes, in every layout.
    #[must_use]
    pub const fn without_microcode(self) -> Self {
        let [b0, b1, b2, b3, b4, b5, b6, _] = self.0;
        Self([b0, b1, b2, b3, b4, b5, b6, 0])
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Tcb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The levels of a TCB version, each a number from 0 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Components {
    /// Firmware module controller; Turin only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fmc: Option<u8>,
    /// The secure processor's boot loader.
    pub bootloader: u8,
    /// The secure processor's operating system.
    pub tee: u8,
    /// The SEV-SNP firmware.
    pub snp: u8,
    /// Microcode patch level, in the product's own numbering.
    pub microcode: u8,
}

impl Components {
    /// The levels with their names, in the order they are written.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u8)> {
        [
            ("fmc", self.fmc),
            ("bootloader", Some(self.bootloader)),
            ("tee", Some(self.tee)),
            ("snp", Some(self.snp)),
            ("microcode", Some(self.microcode)),
        ]
        .into_iter()
        .filter_map(|(name, level)| level.map(|level| (name, level)))
    }

    /// The component-wise minimum of two versions of one product.
    #[must_use]
    pub fn minimum(self, other: Self) -> Self {
        Self {
            fmc: self.fmc.zip(other.fmc).map(|(a, b)| a.min(b)),
            bootloader: self.bootloader.min(other.bootloader),
            tee: self.tee.min(other.tee),
            snp: self.snp.min(other.snp),
            microcode: self.microcode.min(other.microcode),
        }
    }
}

impl fmt::Display for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, level)) in self.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{name} {level}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_differ_by_product() {
        let tcb = Tcb([4, 1, 0, 24, 0, 0, 9, 219]);
        assert_eq!(
            tcb.components(Product::Genoa),
            Components { fmc: None, bootloader: 4, tee: 1, snp: 9, microcode: 219 }
        );
        assert_eq!(
            tcb.components(Product::Turin).to_string(),
            "fmc 4 bootloader 1 tee 0 snp 24 microcode 219"
        );
        assert_eq!(tcb.to_string(), "04010018000009db");
        assert_eq!(tcb.without_microcode(), Tcb([4, 1, 0, 24, 0, 0, 9, 0]));
    }

    #[test]
    fn minimum_is_by_component() {
        let a = Tcb([4, 0, 0, 0, 0, 0, 24, 100]).components(Product::Milan);
        let b = Tcb([3, 1, 0, 0, 0, 0, 25, 219]).components(Product::Milan);
        assert_eq!(
            a.minimum(b),
            Components { fmc: None, bootloader: 3, tee: 0, snp: 24, microcode: 100 }
        );
    }
}
