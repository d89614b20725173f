//! What the key service can be asked for.

use std::fmt;

use crate::certificate::HardwareId;
use crate::product::Product;
use crate::report::{Hex, KeyKind, Report, SigningKey};
use crate::tcb::Tcb;

/// More than any certificate of AMD's, or any two in PEM, has.
const CERTIFICATE_LIMIT: usize = 64 * 1024;
/// More than a list of thousands of certificates has.
const CRL_LIMIT: usize = 1024 * 1024;

/// A certificate, a pair of them, or a list that verifiers need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// The key of one chip at one TCB.
    Vcek {
        /// The chip's product.
        product: Product,
        /// The chip.
        hardware_id: HardwareId,
        /// The TCB version, in the product's layout.
        tcb: Tcb,
    },
    /// The key of one cloud provider at one TCB. The key service gives it to
    /// that provider only.
    Vlek {
        /// The chips' product.
        product: Product,
        /// The TCB version, in the product's layout.
        tcb: Tcb,
        /// SHA-256 of the provider's CSP_ID.
        provider: Hex<32>,
    },
    /// The intermediate above keys of this kind (ASK or ASVK), with the root.
    Chain {
        /// The product.
        product: Product,
        /// Which keys the intermediate signs.
        kind: KeyKind,
    },
    /// The root's revocation list, as it is published for keys of this kind.
    Crl {
        /// The root's product.
        product: Product,
        /// Which keys' intermediates it is about.
        kind: KeyKind,
    },
}

impl Resource {
    /// The VCEK that signed `report`, whose processor is a `product`: its
    /// CHIP_ID at its REPORTED_TCB.
    ///
    /// # Errors
    ///
    /// [`NoResource`] if the report was not signed by a VCEK, or its host hides
    /// the chip.
    pub fn vcek_of(report: &Report, product: Product) -> Result<Self, NoResource> {
        match report.flags().signing_key() {
            SigningKey::Vcek => {}
            SigningKey::Vlek => return Err(NoResource::Vlek),
            SigningKey::None | SigningKey::Reserved => return Err(NoResource::NoKey),
        }
        let Hex(chip) = report.chip_id();
        if report.chip_id().is_zero() {
            return Err(NoResource::ChipIdMasked);
        }
        // What follows a short id is not part of it; the verdict looks at it.
        let (id, _rest) = chip.split_at(product.hardware_id_length());
        let hardware_id = HardwareId::new(id).ok_or(NoResource::ChipIdMasked)?;
        Ok(Self::Vcek { product, hardware_id, tcb: report.reported_tcb() })
    }

    /// The product.
    #[must_use]
    pub const fn product(&self) -> Product {
        match self {
            Self::Vcek { product, .. }
            | Self::Vlek { product, .. }
            | Self::Chain { product, .. }
            | Self::Crl { product, .. } => *product,
        }
    }

    /// Path and query below the key service's base URL, with the leading
    /// slash; `None` for what it does not give to everyone.
    #[must_use]
    pub fn path(&self) -> Option<String> {
        let product = self.product();
        Some(match self {
            Self::Vcek { hardware_id, tcb, .. } => {
                let levels = tcb.components(product);
                let fmc = levels.fmc.map(|fmc| format!("fmcSPL={fmc:02}&")).unwrap_or_default();
                format!(
                    "/vcek/v1/{product}/{hardware_id}?{fmc}blSPL={:02}&teeSPL={:02}&snpSPL={:02}\
                     &ucodeSPL={:02}",
                    levels.bootloader, levels.tee, levels.snp, levels.microcode
                )
            }
            Self::Vlek { .. } => return None,
            Self::Chain { kind, .. } => format!("/{}/v1/{product}/cert_chain", word(*kind)),
            Self::Crl { kind, .. } => format!("/{}/v1/{product}/crl", word(*kind)),
        })
    }

    /// The name of the file that keeps this resource: lower-case letters,
    /// digits, hyphens and one dot, at most 200 bytes. Different for different
    /// resources.
    #[must_use]
    pub fn file_name(&self) -> String {
        let product = self.product().name().to_ascii_lowercase();
        match self {
            Self::Vcek { hardware_id, tcb, .. } => {
                format!("vcek-{product}-{hardware_id}-{tcb}.der")
            }
            Self::Vlek { tcb, provider, .. } => format!("vlek-{product}-{tcb}-{provider}.der"),
            Self::Chain { kind, .. } => format!("chain-{}-{product}.pem", word(*kind)),
            Self::Crl { kind, .. } => format!("crl-{}-{product}.der", word(*kind)),
        }
    }

    /// The resource that a file of this name keeps; the inverse of
    /// [`Resource::file_name`].
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let (stem, _) = name.rsplit_once('.')?;
        let words: Vec<&str> = stem.split('-').collect();
        let tcb = |text: &str| text.parse::<Hex<8>>().ok().map(|Hex(bytes)| Tcb(bytes));
        let found = match *words.as_slice() {
            ["vcek", product, id, levels] => Self::Vcek {
                product: product.parse().ok()?,
                hardware_id: id.parse().ok()?,
                tcb: tcb(levels)?,
            },
            ["vlek", product, levels, provider] => Self::Vlek {
                product: product.parse().ok()?,
                tcb: tcb(levels)?,
                provider: provider.parse().ok()?,
            },
            ["chain", kind, product] => {
                Self::Chain { product: product.parse().ok()?, kind: kind_of(kind)? }
            }
            ["crl", kind, product] => {
                Self::Crl { product: product.parse().ok()?, kind: kind_of(kind)? }
            }
            _ => return None,
        };
        // Every resource has one name.
        (found.file_name() == name).then_some(found)
    }

    /// Bytes beyond which an answer is not read.
    #[must_use]
    pub const fn limit(&self) -> usize {
        match self {
            Self::Vcek { .. } | Self::Vlek { .. } | Self::Chain { .. } => CERTIFICATE_LIMIT,
            Self::Crl { .. } => CRL_LIMIT,
        }
    }
}

impl fmt::Display for Resource {
    /// For people: `the VCEK of chip 0123456789abcdef… (Milan) at TCB …`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vcek { product, hardware_id, tcb } => {
                let id: String = hardware_id.to_string().chars().take(16).collect();
                write!(f, "the VCEK of {product} chip {id} at TCB {tcb}")
            }
            Self::Vlek { product, tcb, .. } => write!(f, "the VLEK of {product} at TCB {tcb}"),
            Self::Chain { product, kind: KeyKind::Vcek } => write!(f, "the ASK of {product}"),
            Self::Chain { product, kind: KeyKind::Vlek } => write!(f, "the ASVK of {product}"),
            Self::Crl { product, kind } => {
                write!(f, "the {} revocation list of {product}", word(*kind).to_ascii_uppercase())
            }
        }
    }
}

const fn word(kind: KeyKind) -> &'static str {
    match kind {
        KeyKind::Vcek => "vcek",
        KeyKind::Vlek => "vlek",
    }
}

fn kind_of(word: &str) -> Option<KeyKind> {
    match word {
        "vcek" => Some(KeyKind::Vcek),
        "vlek" => Some(KeyKind::Vlek),
        _ => None,
    }
}

/// Why the key service cannot be asked for the key that signed a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoResource {
    /// CHIP_ID is zero.
    #[error("the host masks the chip id in its reports, so nobody can look up the chip's VCEK")]
    ChipIdMasked,
    /// A VLEK signed it.
    #[error("a VLEK signed the report; AMD gives that certificate to the cloud provider only")]
    Vlek,
    /// No key that has a certificate.
    #[error("the report names no key that signed it")]
    NoKey,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vcek(product: Product, id: &[u8], tcb: [u8; 8]) -> Resource {
        Resource::Vcek { product, hardware_id: HardwareId::new(id).unwrap(), tcb: Tcb(tcb) }
    }

    #[test]
    fn paths_are_those_of_57230() {
        let milan = vcek(Product::Milan, &[0xab; 64], [3, 0, 0, 0, 0, 0, 8, 115]);
        let path = milan.path().unwrap();
        let expected =
            format!("/vcek/v1/Milan/{}?blSPL=03&teeSPL=00&snpSPL=08&ucodeSPL=115", "ab".repeat(64));
        assert_eq!(path, expected);
        let turin = vcek(Product::Turin, &[1, 2, 3, 4, 5, 6, 7, 8], [1, 2, 3, 4, 0, 0, 0, 71]);
        assert_eq!(
            turin.path().unwrap(),
            "/vcek/v1/Turin/0102030405060708?fmcSPL=01&blSPL=02&teeSPL=03&snpSPL=04&ucodeSPL=71"
        );
        let (product, kind) = (Product::Genoa, KeyKind::Vlek);
        let path = |resource: Resource| resource.path();
        let chain = path(Resource::Chain { product, kind });
        assert_eq!(chain.as_deref(), Some("/vlek/v1/Genoa/cert_chain"));
        let crl = path(Resource::Crl { product, kind: KeyKind::Vcek });
        assert_eq!(crl.as_deref(), Some("/vcek/v1/Genoa/crl"));
        let vlek = Resource::Vlek { product, tcb: Tcb([0; 8]), provider: Hex([7; 32]) };
        assert_eq!(vlek.path(), None);
    }

    #[test]
    fn a_file_name_is_one_resource() {
        let mut all = vec![
            vcek(Product::Milan, &[0xab; 64], [3, 0, 0, 0, 0, 0, 8, 115]),
            vcek(Product::Turin, &[0xab; 8], [3, 0, 0, 0, 0, 0, 8, 115]),
        ];
        for product in Product::ALL {
            all.push(Resource::Vlek { product, tcb: Tcb([9; 8]), provider: Hex([7; 32]) });
            for kind in [KeyKind::Vcek, KeyKind::Vlek] {
                all.extend([Resource::Chain { product, kind }, Resource::Crl { product, kind }]);
            }
        }
        let names: std::collections::BTreeSet<_> = all.iter().map(Resource::file_name).collect();
        assert_eq!(names.len(), all.len());
        for resource in all {
            let name = resource.file_name();
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
            assert!(name.len() <= 200 && name.bytes().all(plain), "{name}");
            assert_eq!(Resource::from_file_name(&name), Some(resource), "{name}");
        }
        for bad in [
            "",
            "crl-vcek-milan",
            "crl-vcek-milan.pem",
            "crl-vcek-bergamo.der",
            "CRL-vcek-milan.der",
            "crl-xxek-milan.der",
            "chain-vcek-milan-.pem",
            "vcek-milan-00-0000000000000000.der",
            "../crl-vcek-milan.der",
        ] {
            assert_eq!(Resource::from_file_name(bad), None, "{bad}");
        }
    }
}
