//! Simulated chips: secrets, and the keys that come from them.
//!
//! A chip's secret follows from the state's secret and the chip id, as much as a
//! real one's is in its fuses: the same chip has the same keys in every launch,
//! and another TCB version another VCEK.

use attestation::product::Product;
use attestation::tcb::Tcb;
use p384::SecretKey;
use p384::elliptic_curve::zeroize::Zeroizing;
use ring::hmac;

use crate::wire::KeyRequest;

/// The secret that all others of a simulator come from.
pub type Secret = Zeroizing<[u8; 32]>;

/// GUEST_FIELD_SELECT (56860, section 7.2): the bit of each field.
const POLICY: u64 = 1 << 0;
const IMAGE_ID: u64 = 1 << 1;
const FAMILY_ID: u64 = 1 << 2;
const MEASUREMENT: u64 = 1 << 3;
const GUEST_SVN: u64 = 1 << 4;
const TCB_VERSION: u64 = 1 << 5;

/// INVALID_PARAM (56860, "Status Codes").
pub const INVALID_PARAM: u32 = 0x16;
/// INVALID_KEY.
pub const INVALID_KEY: u32 = 0x27;

/// HMAC-SHA-384 of parts, each with its length before it.
fn derive(secret: &[u8; 32], label: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 48]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA384, secret));
    for part in [label.as_bytes()].iter().chain(parts) {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = Zeroizing::new([0; 48]);
    for (to, from) in out.iter_mut().zip(context.sign().as_ref()) {
        *to = *from;
    }
    out
}

fn secret_of(bytes: &[u8; 48]) -> Secret {
    let mut out = Zeroizing::new([0; 32]);
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
    }
    out
}

/// ROOT_KEY_SELECT, and the values of KEY_SEL.
const VMRK: u32 = 1;
const KEY_SEL: u32 = 0b110;
const KEY_SEL_ANY: u32 = 0;
const KEY_SEL_VCEK: u32 = 1 << 1;
const KEY_SEL_VLEK: u32 = 2 << 1;

/// A chip.
pub struct Chip {
    secret: Secret,
    /// The provider's, where a VLEK is installed.
    provider: Option<Secret>,
    product: Product,
    id: [u8; 64],
}

impl Chip {
    /// The chip with this id, or the simulator's usual one. Turin's id has 8
    /// bytes, zeros after them.
    #[must_use]
    pub fn new(state: &Secret, product: Product, id: Option<[u8; 64]>) -> Self {
        let id = id.unwrap_or_else(|| {
            let mut id = [0; 64];
            let parts = [1_u8, 2]
                .map(|half| derive(state, "chip id", &[product.name().as_bytes(), &[half]]));
            let bytes = parts.iter().flat_map(|part| part.iter());
            for (to, from) in id.iter_mut().zip(bytes).take(product.hardware_id_length()) {
                *to = *from;
            }
            id
        });
        let secret = secret_of(&derive(state, "chip", &[product.name().as_bytes(), &id]));
        Self { secret, provider: None, product, id }
    }

    /// Installs the provider's VLEK (SNP_VLEK_LOAD).
    #[must_use]
    pub fn with_vlek(self, state: &Secret) -> Self {
        Self { provider: Some(provider(state, self.product)), ..self }
    }

    /// CHIP_ID.
    #[must_use]
    pub const fn id(&self) -> &[u8; 64] {
        &self.id
    }

    /// Its product.
    #[must_use]
    pub const fn product(&self) -> Product {
        self.product
    }

    /// The versioned chip endorsement key of a TCB version.
    #[must_use]
    pub fn vcek(&self, tcb: Tcb) -> SecretKey {
        signing_key(&self.secret, "VCEK", tcb)
    }

    /// A derived key, or the firmware's status if it would refuse.
    ///
    /// # Errors
    /// [`INVALID_PARAM`] or [`INVALID_KEY`].
    pub fn derived_key(
        &self,
        request: &KeyRequest,
        vmpl: u32,
        guest: &GuestFields,
    ) -> Result<Zeroizing<[u8; 32]>, u32> {
        let known = POLICY | IMAGE_ID | FAMILY_ID | MEASUREMENT | GUEST_SVN | TCB_VERSION;
        let ahead = request.tcb.iter().zip(guest.committed_tcb.0).any(|(asked, has)| *asked > has);
        if request.guest_field_select & !known != 0
            || vmpl > 3
            || request.guest_svn > guest.guest_svn
            || ahead
        {
            return Err(INVALID_PARAM);
        }
        let select = request.guest_field_select;
        let root = self.root(request.root_key_select, guest)?;
        let mut parts: Vec<Vec<u8>> = vec![select.to_le_bytes().into(), vmpl.to_le_bytes().into()];
        let fields: [(u64, &[u8]); 6] = [
            (POLICY, &guest.policy.to_le_bytes()),
            (IMAGE_ID, &guest.image_id),
            (FAMILY_ID, &guest.family_id),
            (MEASUREMENT, &guest.measurement),
            (GUEST_SVN, &request.guest_svn.to_le_bytes()),
            (TCB_VERSION, &request.tcb),
        ];
        parts.extend(
            fields.iter().filter(|(bit, _)| select & bit != 0).map(|(_, value)| value.to_vec()),
        );
        let parts: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        Ok(secret_of(&derive(&root, "derived key", &parts)))
    }

    /// What the key is derived from.
    fn root(&self, select: u32, guest: &GuestFields) -> Result<Secret, u32> {
        if select & !(VMRK | KEY_SEL) != 0 {
            return Err(INVALID_PARAM);
        }
        if select & VMRK != 0 {
            // A migration agent's, or random for each launch without one.
            return Ok(secret_of(&derive(&self.secret, "VMRK", &[&guest.report_id])));
        }
        let vcek = || secret_of(&derive(&self.secret, "VCEK root", &[]));
        let vlek = self.provider.as_ref();
        let vlek = vlek.map(|provider| secret_of(&derive(provider, "VLEK root", &[])));
        match select & KEY_SEL {
            KEY_SEL_ANY => Ok(vlek.unwrap_or_else(vcek)),
            KEY_SEL_VCEK => Ok(vcek()),
            KEY_SEL_VLEK => vlek.ok_or(INVALID_KEY),
            _ => Err(INVALID_PARAM),
        }
    }
}

/// What of a guest can go into a derived key.
#[derive(Debug, Clone, Copy)]
pub struct GuestFields {
    /// The guest policy.
    pub policy: u64,
    /// IMAGE_ID of the ID block.
    pub image_id: [u8; 16],
    /// FAMILY_ID of the ID block.
    pub family_id: [u8; 16],
    /// The launch digest.
    pub measurement: [u8; 48],
    /// GUEST_SVN of the ID block.
    pub guest_svn: u32,
    /// The committed TCB version.
    pub committed_tcb: Tcb,
    /// The guest's report id.
    pub report_id: [u8; 32],
}

/// The versioned loaded endorsement key of a product and a TCB version.
#[must_use]
pub fn vlek(state: &Secret, product: Product, tcb: Tcb) -> SecretKey {
    signing_key(&provider(state, product), "VLEK", tcb)
}

fn provider(state: &Secret, product: Product) -> Secret {
    secret_of(&derive(state, "provider", &[product.name().as_bytes()]))
}

/// A private key on P-384: the first candidate inside the group's order.
fn signing_key(secret: &[u8; 32], label: &str, tcb: Tcb) -> SecretKey {
    let mut counter = 0_u32;
    loop {
        let candidate = derive(secret, label, &[&tcb.0, &counter.to_be_bytes()]);
        if let Ok(key) = SecretKey::from_slice(candidate.as_slice()) {
            return key;
        }
        counter = counter.wrapping_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> GuestFields {
        GuestFields {
            policy: 0x3_0000,
            image_id: [1; 16],
            family_id: [2; 16],
            measurement: [3; 48],
            guest_svn: 4,
            committed_tcb: Tcb([5; 8]),
            report_id: [6; 32],
        }
    }

    fn chip(product: Product) -> Chip {
        Chip::new(&Zeroizing::new([7; 32]), product, None)
    }

    #[test]
    fn keys_depend_on_chip_and_version() {
        let milan = chip(Product::Milan);
        assert_eq!(milan.vcek(Tcb([1; 8])), chip(Product::Milan).vcek(Tcb([1; 8])));
        assert_ne!(milan.vcek(Tcb([1; 8])), milan.vcek(Tcb([2; 8])));
        assert_ne!(milan.vcek(Tcb([1; 8])), chip(Product::Genoa).vcek(Tcb([1; 8])));
        let other = Chip::new(&Zeroizing::new([7; 32]), Product::Milan, Some([9; 64]));
        assert_ne!(milan.vcek(Tcb([1; 8])), other.vcek(Tcb([1; 8])));
        let turin = chip(Product::Turin);
        assert!(turin.id()[8..].iter().all(|byte| *byte == 0) && turin.id()[..8] != [0; 8]);
    }

    #[test]
    fn a_derived_key_depends_on_what_is_selected_and_on_nothing_else() {
        let chip = chip(Product::Genoa);
        let key = |select, guest: &GuestFields| {
            let request = KeyRequest { guest_field_select: select, ..KeyRequest::default() };
            *chip.derived_key(&request, 0, guest).unwrap()
        };
        let (one, mut other) = (guest(), guest());
        other.measurement = [0x33; 48];
        assert_eq!(key(0, &one), key(0, &other));
        assert_eq!(key(POLICY, &one), key(POLICY, &other));
        assert_ne!(key(MEASUREMENT, &one), key(MEASUREMENT, &other));
        assert_ne!(key(MEASUREMENT, &one), key(MEASUREMENT | POLICY, &one));
        let request = KeyRequest::default();
        assert_ne!(
            chip.derived_key(&request, 0, &one).unwrap(),
            chip.derived_key(&request, 1, &one).unwrap()
        );
    }

    /// KEY_SEL 0 is another key once a VLEK is installed; 1 and 2 say which one it is.
    #[test]
    fn a_derived_key_has_the_root_that_was_asked_for() {
        let state = Zeroizing::new([7; 32]);
        let with_vlek = || chip(Product::Genoa).with_vlek(&state);
        let key = |chip: &Chip, root_key_select| {
            let request = KeyRequest { root_key_select, ..KeyRequest::default() };
            chip.derived_key(&request, 0, &guest()).map(|key| *key)
        };
        let (plain, leased) = (chip(Product::Genoa), with_vlek());
        assert_eq!(key(&plain, 0), key(&plain, 2));
        assert_eq!(key(&leased, 0), key(&leased, 4));
        assert_eq!(key(&leased, 2), key(&plain, 2));
        assert_ne!(key(&leased, 2), key(&leased, 4));
        assert_ne!(key(&leased, 1), key(&leased, 2));
        // Another chip of the same provider.
        let other = Chip::new(&state, Product::Genoa, Some([9; 64])).with_vlek(&state);
        assert_eq!(key(&other, 4), key(&leased, 4));
        assert_ne!(key(&other, 2), key(&leased, 2));
    }

    #[test]
    fn what_the_firmware_refuses_is_refused() {
        let chip = chip(Product::Genoa);
        let cases = [
            (KeyRequest { guest_svn: 5, ..KeyRequest::default() }, INVALID_PARAM),
            (KeyRequest { tcb: [0, 0, 0, 0, 0, 0, 6, 0], ..KeyRequest::default() }, INVALID_PARAM),
            (KeyRequest { guest_field_select: 1 << 40, ..KeyRequest::default() }, INVALID_PARAM),
            // No VLEK is installed; KEY_SEL 3, and bits that nobody has given a meaning.
            (KeyRequest { root_key_select: 4, ..KeyRequest::default() }, INVALID_KEY),
            (KeyRequest { root_key_select: 6, ..KeyRequest::default() }, INVALID_PARAM),
            (KeyRequest { root_key_select: 8, ..KeyRequest::default() }, INVALID_PARAM),
        ];
        for (request, status) in cases {
            assert_eq!(chip.derived_key(&request, 0, &guest()).unwrap_err(), status, "{request:?}");
        }
        assert_eq!(chip.derived_key(&KeyRequest::default(), 4, &guest()), Err(INVALID_PARAM));
    }
}
