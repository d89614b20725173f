//! The certificate table of an extended report (GHCB specification 56421
//! revision 2.03, section 4.1.8.1), written.

const ARK: u128 = 0xc0b4_06a4_a803_4952_9743_3fb6_014c_d0ae;
const ASK: u128 = 0x4ab7_b379_bbac_4fe4_a02f_05ae_f327_c782;
const VCEK: u128 = 0x63da_758d_e664_4564_adc5_f4b9_3be8_accd;
const VLEK: u128 = 0xa807_4bc2_a25a_483e_aae6_39c0_45a0_b8a1;

const ENTRY: usize = 24;
const PAGE: usize = 4096;

/// Root, intermediate and leaf as a table of whole pages.
#[must_use]
pub fn certificate_table(ark: &[u8], intermediate: &[u8], leaf: &[u8], vlek: bool) -> Vec<u8> {
    let leaf_guid = if vlek { VLEK } else { VCEK };
    let entries = [(leaf_guid, leaf), (ASK, intermediate), (ARK, ark)];
    let mut head = Vec::new();
    let mut certificates = Vec::new();
    for (guid, certificate) in entries {
        let offset = (entries.len() + 1) * ENTRY + certificates.len();
        head.extend(guid.to_be_bytes());
        // Far below 4 GiB: three certificates.
        head.extend(u32::try_from(offset).unwrap_or(0).to_le_bytes());
        head.extend(u32::try_from(certificate.len()).unwrap_or(0).to_le_bytes());
        certificates.extend(certificate);
    }
    head.extend([0; ENTRY]);
    head.append(&mut certificates);
    head.resize(head.len().next_multiple_of(PAGE), 0);
    head
}
