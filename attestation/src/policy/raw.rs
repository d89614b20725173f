//! The policy as it stands in TOML, and its way into a [`Policy`].

use serde::Deserialize;

use super::{BitRules, Exception, MinimumLevels, MinimumTcb, Policy, PolicyError, TcbKind};
use crate::product::Product;
use crate::report::{Bit, FirmwareVersion, GuestPolicyBit, Hex, KeyKind, PlatformInfoBit};

pub(super) fn parse(text: &str) -> Result<Policy, PolicyError> {
    let raw: Raw = toml::from_str(text).map_err(|error| PolicyError::Toml(Box::new(error)))?;
    raw.lower()
}

/// A value, or a list of them.
#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a value, or a list of values, of the right form")]
enum OneOrMany<T> {
    One(T),
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// The values; a list must not be empty, for that reads as "no rule".
    fn lower(self, key: &'static str) -> Result<Vec<T>, PolicyError> {
        match self {
            Self::One(value) => Ok(vec![value]),
            Self::Many(values) if values.is_empty() => Err(PolicyError::EmptyList { key }),
            Self::Many(values) => Ok(values),
        }
    }
}

fn many<T>(values: Option<OneOrMany<T>>, key: &'static str) -> Result<Vec<T>, PolicyError> {
    values.map_or(Ok(Vec::new()), |values| values.lower(key))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    product: Option<OneOrMany<Product>>,
    measurement: Option<OneOrMany<Hex<48>>>,
    vmpl: Option<u8>,
    #[serde(default)]
    allow: Vec<Exception>,
    signing_key: Option<OneOrMany<KeyKind>>,
    csp_id: Option<OneOrMany<String>>,
    minimum_guest_svn: Option<u32>,
    minimum_firmware: Option<FirmwareVersion>,
    host_data: Option<Hex<32>>,
    family_id: Option<Hex<16>>,
    image_id: Option<Hex<16>>,
    report_data: Option<Hex<64>>,
    id_key_digest: Option<OneOrMany<Hex<48>>>,
    author_key_digest: Option<OneOrMany<Hex<48>>>,
    #[serde(default)]
    require_crl: bool,
    minimum_tcb: Option<RawTcb>,
    guest_policy: Option<RawGuestPolicy>,
    platform_info: Option<RawPlatformInfo>,
    instance: Option<RawInstance>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTcb {
    which: Option<Vec<TcbKind>>,
    fmc: Option<u8>,
    bootloader: Option<u8>,
    tee: Option<u8>,
    snp: Option<u8>,
    microcode: Option<u8>,
    milan: Option<RawLevels>,
    genoa: Option<RawLevels>,
    turin: Option<RawLevels>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLevels {
    fmc: Option<u8>,
    bootloader: Option<u8>,
    tee: Option<u8>,
    snp: Option<u8>,
    microcode: Option<u8>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGuestPolicy {
    #[serde(default)]
    required: Vec<GuestPolicyBit>,
    #[serde(default)]
    forbidden: Vec<GuestPolicyBit>,
    exact: Option<u64>,
    minimum_abi: Option<FirmwareVersion>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlatformInfo {
    #[serde(default)]
    required: Vec<PlatformInfoBit>,
    #[serde(default)]
    forbidden: Vec<PlatformInfoBit>,
    exact: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawInstance {
    report_id: Option<Hex<32>>,
    chip_id: Option<Hex<64>>,
}

impl Raw {
    fn lower(self) -> Result<Policy, PolicyError> {
        let products = many(self.product, "product")?;
        if let Some(found) = self.vmpl.filter(|level| *level > 3) {
            return Err(PolicyError::Vmpl { found });
        }
        let minimum_tcb =
            self.minimum_tcb.map_or(Ok(MinimumTcb::default()), |raw| raw.lower(&products))?;
        let (guest_policy, minimum_abi) = match self.guest_policy {
            None => (BitRules::default(), None),
            Some(RawGuestPolicy { required, forbidden, exact, minimum_abi }) => {
                if minimum_abi.is_some_and(|version| version.build != 0) {
                    return Err(PolicyError::AbiBuild);
                }
                let abi = minimum_abi.map(|version| (version.major, version.minor));
                let rules = BitRules { required, forbidden, exact };
                if rules.is_empty() && abi.is_none() {
                    return Err(PolicyError::EmptyTable { table: "guest_policy" });
                }
                (checked("guest_policy", rules)?, abi)
            }
        };
        let platform_info = match self.platform_info {
            None => BitRules::default(),
            Some(RawPlatformInfo { required, forbidden, exact }) => {
                let rules = BitRules { required, forbidden, exact };
                if rules.is_empty() {
                    return Err(PolicyError::EmptyTable { table: "platform_info" });
                }
                checked("platform_info", rules)?
            }
        };
        let (report_id, chip_id) = match self.instance {
            None => (None, None),
            Some(RawInstance { report_id: None, chip_id: None }) => {
                return Err(PolicyError::EmptyTable { table: "instance" });
            }
            Some(RawInstance { report_id, chip_id }) => (report_id, chip_id),
        };
        Ok(Policy {
            products,
            measurements: many(self.measurement, "measurement")?,
            vmpl: self.vmpl,
            allow: self.allow.into_iter().collect(),
            signing_keys: many(self.signing_key, "signing_key")?,
            csp_ids: many(self.csp_id, "csp_id")?,
            minimum_guest_svn: self.minimum_guest_svn,
            minimum_firmware: self.minimum_firmware,
            minimum_tcb,
            host_data: self.host_data,
            family_id: self.family_id,
            image_id: self.image_id,
            report_data: self.report_data,
            id_key_digests: many(self.id_key_digest, "id_key_digest")?,
            author_key_digests: many(self.author_key_digest, "author_key_digest")?,
            require_crl: self.require_crl,
            guest_policy,
            minimum_abi,
            platform_info,
            report_id,
            chip_id,
        })
    }
}

impl RawTcb {
    fn lower(self, products: &[Product]) -> Result<MinimumTcb, PolicyError> {
        let accepts = |product| products.is_empty() || products.contains(&product);
        let own = [
            ("minimum_tcb.milan", Product::Milan, self.milan),
            ("minimum_tcb.genoa", Product::Genoa, self.genoa),
            ("minimum_tcb.turin", Product::Turin, self.turin),
        ];
        for (key, product, levels) in own {
            if levels.is_some() && !accepts(product) {
                return Err(PolicyError::OtherProduct { key });
            }
        }
        for (key, levels) in
            [("minimum_tcb.milan.fmc", self.milan), ("minimum_tcb.genoa.fmc", self.genoa)]
        {
            if levels.is_some_and(|levels| levels.fmc.is_some()) {
                return Err(PolicyError::NoFmc { key });
            }
        }
        if self.fmc.is_some() && !accepts(Product::Turin) {
            return Err(PolicyError::NoFmc { key: "minimum_tcb.fmc" });
        }
        if self.which.as_ref().is_some_and(Vec::is_empty) {
            return Err(PolicyError::EmptyList { key: "minimum_tcb.which" });
        }
        let Self { fmc, bootloader, tee, snp, microcode, .. } = self;
        let any = RawLevels { fmc, bootloader, tee, snp, microcode };
        let given = fmc.or(bootloader).or(tee).or(snp).or(microcode).is_some();
        let minimum = MinimumTcb {
            which: self.which.unwrap_or_default(),
            any: given.then(|| any.lower()),
            milan: self.milan.map(RawLevels::lower),
            genoa: self.genoa.map(RawLevels::lower),
            turin: self.turin.map(RawLevels::lower),
        };
        if minimum.is_empty() {
            return Err(PolicyError::EmptyTable { table: "minimum_tcb" });
        }
        Ok(minimum)
    }
}

impl RawLevels {
    fn lower(self) -> MinimumLevels {
        MinimumLevels {
            fmc: self.fmc.unwrap_or(0),
            bootloader: self.bootloader.unwrap_or(0),
            tee: self.tee.unwrap_or(0),
            snp: self.snp.unwrap_or(0),
            microcode: self.microcode.unwrap_or(0),
        }
    }
}

fn checked<T: Bit>(field: &'static str, rules: BitRules<T>) -> Result<BitRules<T>, PolicyError> {
    match rules.contradiction() {
        Some(bit) => Err(PolicyError::Contradiction { field, bit: bit.to_string() }),
        None => Ok(rules),
    }
}
