//! AMD's extensions in a VCEK or VLEK: which processor, which firmware.
//!
//! 57230 revision 1.00, chapter 3; below 1.3.6.1.4.1.3704.1:
//!
//! | arc | name | value |
//! |---|---|---|
//! | .1 | structVersion | INTEGER, 0 or 1 |
//! | .2 | productName | IA5String, `Milan-B0`, `Genoa`, `Turin`, … |
//! | .3.1 | blSPL | INTEGER, 0 to 255, as all levels |
//! | .3.2 | teeSPL | |
//! | .3.3 | snpSPL | |
//! | .3.4 to .3.7 | reserved levels; may be absent, then 0 | |
//! | .3.8 | ucodeSPL | |
//! | .3.9 | fmcSPL | Turin only |
//! | .4 | hwID | the bare octets (64, Turin 8); VCEK only |
//! | .5 | CSP_ID | IA5String; VLEK only |
//!
//! The levels are put together into the eight bytes that a report's
//! REPORTED_TCB must equal, reserved ones too.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use x509_cert::der::asn1::{Ia5StringRef, OctetStringRef, Utf8StringRef};
use x509_cert::der::{Decode, oid::ObjectIdentifier};
use x509_cert::ext::Extension;

use super::error::ExtensionError;
use crate::product::Product;
use crate::report::KeyKind;
use crate::tcb::Tcb;

const AMD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1");

/// The hardware id of a chip: 64 bytes, on Turin 8.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct HardwareId {
    bytes: [u8; 64],
    length: usize,
}

impl HardwareId {
    /// Takes the id's octets, 8 or 64.
    #[must_use]
    pub fn new(octets: &[u8]) -> Option<Self> {
        let mut bytes = [0; 64];
        let length = octets.len();
        if length != 8 && length != 64 {
            return None;
        }
        bytes.get_mut(..length)?.copy_from_slice(octets);
        Some(Self { bytes, length })
    }

    /// The octets.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }

    /// The CHIP_ID of a report by this chip: the id, zeros after it.
    #[must_use]
    pub const fn chip_id(&self) -> [u8; 64] {
        self.bytes
    }
}

impl FromStr for HardwareId {
    type Err = ParseHardwareIdError;

    /// Reads 16 or 128 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let octets = hex::decode(text).ok();
        octets.and_then(|octets| Self::new(&octets)).ok_or(ParseHardwareIdError)
    }
}

/// Text that is no hardware id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a chip id is written as 128 hexadecimal digits, that of a Turin as 16")]
pub struct ParseHardwareIdError;

impl fmt::Display for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for HardwareId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HardwareId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// AMD's extensions of one leaf, complete and consistent.
pub(super) struct Extensions {
    pub(super) product: Product,
    pub(super) tcb: Tcb,
    pub(super) hardware_id: Option<HardwareId>,
    pub(super) csp_id: Option<String>,
}

impl Extensions {
    /// Reads the extensions of a leaf of this kind.
    pub(super) fn parse(all: &[Extension], kind: KeyKind) -> Result<Self, ExtensionError> {
        let amd = Amd(all);
        let version = amd.level("1", "structVersion")?;
        match version {
            None => return Err(ExtensionError::Missing("structVersion")),
            Some(0 | 1) => {}
            Some(other) => return Err(ExtensionError::StructVersion(other)),
        }
        let name = amd.text("2", "productName")?.ok_or(ExtensionError::Missing("productName"))?;
        let product = Product::from_certificate_name(name)
            .ok_or_else(|| ExtensionError::Product(name.chars().take(32).collect()))?;
        let tcb = amd.tcb(product)?;
        let hardware_id = amd.hardware_id(product)?;
        let csp_id = amd.text("5", "CSP_ID")?.map(str::to_owned);
        match (kind, &hardware_id, &csp_id) {
            (KeyKind::Vcek, Some(_), None) | (KeyKind::Vlek, None, Some(_)) => {}
            (KeyKind::Vcek, None, _) => return Err(ExtensionError::Missing("hwID")),
            (KeyKind::Vlek, _, None) => return Err(ExtensionError::Missing("CSP_ID")),
            (KeyKind::Vcek, Some(_), Some(_)) => return Err(ExtensionError::Unexpected("CSP_ID")),
            (KeyKind::Vlek, Some(_), Some(_)) => return Err(ExtensionError::Unexpected("hwID")),
        }
        Ok(Self { product, tcb, hardware_id, csp_id })
    }
}

struct Amd<'a>(&'a [Extension]);

impl<'a> Amd<'a> {
    /// The value of the extension at `arc` below AMD's.
    fn value(&self, arc: &str) -> Option<&'a [u8]> {
        let id = format!("{AMD}.{arc}");
        let id = ObjectIdentifier::new(&id).ok()?;
        let found = self.0.iter().find(|extension| extension.extn_id == id)?;
        Some(found.extn_value.as_bytes())
    }

    /// A DER INTEGER from 0 to 255, in its one encoding.
    fn level(&self, arc: &str, name: &'static str) -> Result<Option<u8>, ExtensionError> {
        let Some(value) = self.value(arc) else { return Ok(None) };
        u8::from_der(value).map(Some).map_err(|_err| ExtensionError::Malformed(name))
    }

    /// An IA5String (or UTF8String) of printable ASCII.
    fn text(&self, arc: &str, name: &'static str) -> Result<Option<&'a str>, ExtensionError> {
        let Some(value) = self.value(arc) else { return Ok(None) };
        let text = Ia5StringRef::from_der(value)
            .map(|text| text.as_str())
            .or_else(|_err| Utf8StringRef::from_der(value).map(|text| text.as_str()))
            .map_err(|_err| ExtensionError::Malformed(name))?;
        let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && !text.is_empty() && text.len() <= 255 {
            Ok(Some(text))
        } else {
            Err(ExtensionError::Malformed(name))
        }
    }

    /// The levels in the order of the product's TCB_VERSION.
    fn tcb(&self, product: Product) -> Result<Tcb, ExtensionError> {
        let required = |arc, name| self.level(arc, name)?.ok_or(ExtensionError::Missing(name));
        let reserved = |arc, name| Ok(self.level(arc, name)?.unwrap_or(0));
        let bl = required("3.1", "blSPL")?;
        let tee = required("3.2", "teeSPL")?;
        let snp = required("3.3", "snpSPL")?;
        let spl4 = reserved("3.4", "spl4")?;
        let spl5 = reserved("3.5", "spl5")?;
        let spl6 = reserved("3.6", "spl6")?;
        let spl7 = reserved("3.7", "spl7")?;
        let ucode = required("3.8", "ucodeSPL")?;
        let fmc = self.level("3.9", "fmcSPL")?;
        match (product, fmc) {
            (Product::Milan | Product::Genoa, None) => {
                Ok(Tcb([bl, tee, spl4, spl5, spl6, spl7, snp, ucode]))
            }
            (Product::Milan | Product::Genoa, Some(_)) => Err(ExtensionError::Unexpected("fmcSPL")),
            (Product::Turin, None) => Err(ExtensionError::Missing("fmcSPL")),
            (Product::Turin, Some(_)) if spl4 != 0 => Err(ExtensionError::Unexpected("spl4")),
            (Product::Turin, Some(fmc)) => Ok(Tcb([fmc, bl, tee, snp, spl5, spl6, spl7, ucode])),
        }
    }

    /// hwID: bare octets, or an OCTET STRING of them as the key service once
    /// wrote it. The two differ in length, so neither passes for the other.
    fn hardware_id(&self, product: Product) -> Result<Option<HardwareId>, ExtensionError> {
        let Some(value) = self.value("4") else { return Ok(None) };
        let expected = product.hardware_id_length();
        let octets = if value.len() == expected {
            value
        } else {
            OctetStringRef::from_der(value).map_or(value, |inner| inner.as_bytes())
        };
        let found = octets.len();
        if found != expected {
            return Err(ExtensionError::HardwareIdLength { product, expected, found });
        }
        Ok(HardwareId::new(octets))
    }
}
