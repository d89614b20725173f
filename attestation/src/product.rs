//! The processor families that Ravelin verifies, and how each names itself.
//!
//! A family decides the layout of a TCB version and the length of a chip id, so
//! it must come from something that is signed: the CPUID bytes of a report of
//! version 3 or later (56860 revision 1.58, Table 23, offset 188h), or the
//! product name in a certificate (57230 revision 1.00, chapter 3). Where both
//! exist they must agree; a report of version 2 has only the second.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A processor family with SEV-SNP, named as AMD's key service names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Product {
    /// EPYC 7003 (family 19h, models 00h to 0Fh).
    Milan,
    /// EPYC 9004, and 8004: Genoa, Bergamo, Siena (family 19h, models 10h to
    /// 1Fh and A0h to AFh). All three chain to the Genoa root.
    Genoa,
    /// EPYC 9005 (family 1Ah, models 00h to 1Fh).
    Turin,
}

impl Product {
    /// Every product, oldest first.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The product of a combined CPUID family and model, as
    /// CPUID_FAM_ID and CPUID_MOD_ID hold them; `None` for a processor that
    /// has no SEV-SNP or that this version does not know.
    #[must_use]
    pub const fn from_cpuid(family: u8, model: u8) -> Option<Self> {
        match (family, model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// The product of a certificate's `productName` extension: the name, or
    /// the name with a stepping after a hyphen (`Milan-B0`). Exact, so that
    /// `Milano` is nothing.
    #[must_use]
    pub fn from_certificate_name(name: &str) -> Option<Self> {
        let (base, stepping) = match name.split_once('-') {
            Some((base, stepping)) => (base, Some(stepping)),
            None => (name, None),
        };
        let plausible = |s: &str| {
            (1..=4).contains(&s.len()) && s.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        if !stepping.is_none_or(plausible) {
            return None;
        }
        match base {
            "Milan" => Some(Self::Milan),
            "Genoa" | "Bergamo" | "Siena" => Some(Self::Genoa),
            "Turin" => Some(Self::Turin),
            _ => None,
        }
    }

    /// The name in AMD's certificates and key service URLs: `Milan`, `Genoa`
    /// or `Turin`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The common name of this product's root certificate, `ARK-Milan` say.
    #[must_use]
    pub const fn ark_name(self) -> &'static str {
        match self {
            Self::Milan => "ARK-Milan",
            Self::Genoa => "ARK-Genoa",
            Self::Turin => "ARK-Turin",
        }
    }

    /// The common name of the certificate that signs this product's VCEKs.
    #[must_use]
    pub const fn ask_name(self) -> &'static str {
        match self {
            Self::Milan => "SEV-Milan",
            Self::Genoa => "SEV-Genoa",
            Self::Turin => "SEV-Turin",
        }
    }

    /// The common name of the certificate that signs this product's VLEKs.
    #[must_use]
    pub const fn asvk_name(self) -> &'static str {
        match self {
            Self::Milan => "SEV-VLEK-Milan",
            Self::Genoa => "SEV-VLEK-Genoa",
            Self::Turin => "SEV-VLEK-Turin",
        }
    }

    /// Length of this product's hardware id in bytes: the part of CHIP_ID that
    /// identifies the chip. What follows it in CHIP_ID's 64 bytes is zero.
    #[must_use]
    pub const fn hardware_id_length(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Product {
    type Err = UnknownProduct;

    /// Reads a product in any letter case; Bergamo and Siena are Genoa.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "milan" => Ok(Self::Milan),
            "genoa" | "bergamo" | "siena" => Ok(Self::Genoa),
            "turin" => Ok(Self::Turin),
            _ => Err(UnknownProduct(text.to_owned())),
        }
    }
}

/// A product name that is none of Milan, Genoa, Turin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown product {0:?}; known are milan, genoa (also for Bergamo and Siena), turin")]
pub struct UnknownProduct(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpuid_of_each_family() {
        let cases = [
            ((0x19, 0x01), Some(Product::Milan)),
            ((0x19, 0x0f), Some(Product::Milan)),
            ((0x19, 0x10), Some(Product::Genoa)),
            ((0x19, 0x11), Some(Product::Genoa)),
            ((0x19, 0x20), None),
            ((0x19, 0x9f), None),
            ((0x19, 0xa0), Some(Product::Genoa)),
            ((0x19, 0xb0), None),
            ((0x1a, 0x02), Some(Product::Turin)),
            ((0x1a, 0x11), Some(Product::Turin)),
            ((0x1a, 0x20), None),
            ((0x17, 0x31), None),
            ((0x00, 0x00), None),
        ];
        for ((family, model), expected) in cases {
            assert_eq!(Product::from_cpuid(family, model), expected, "{family:#x} {model:#x}");
        }
    }

    #[test]
    fn certificate_names_are_exact() {
        assert_eq!(Product::from_certificate_name("Milan-B0"), Some(Product::Milan));
        assert_eq!(Product::from_certificate_name("Genoa"), Some(Product::Genoa));
        assert_eq!(Product::from_certificate_name("Siena-A0"), Some(Product::Genoa));
        assert_eq!(Product::from_certificate_name("Turin"), Some(Product::Turin));
        for bad in ["", "milan", "Milano", "Milan-", "Milan-B0-x", "Milan-B0123", "Naples", "-B0"] {
            assert_eq!(Product::from_certificate_name(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn words_of_the_command_line() {
        assert_eq!("SIENA".parse(), Ok(Product::Genoa));
        assert!("rome".parse::<Product>().unwrap_err().to_string().contains("milan"));
    }
}
