//! As much DER writing as the tests need.

/// A tag, the length and the contents, put together from parts.
pub(crate) fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let contents = parts.concat();
    let mut out = vec![tag];
    match contents.len() {
        length @ 0..=0x7f => out.push(length as u8),
        length @ 0x80..=0xff => out.extend([0x81, length as u8]),
        length => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend(contents);
    out
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, parts)
}

/// A non-negative INTEGER from big-endian bytes.
pub(crate) fn integer(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = &bytes[zeros..];
    match digits.first() {
        None => tlv(2, &[&[0]]),
        Some(first) if *first >= 0x80 => tlv(2, &[&[0], digits]),
        Some(_) => tlv(2, &[digits]),
    }
}

pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    tlv(3, &[&[0], bytes])
}

/// An OBJECT IDENTIFIER from its dotted form.
pub(crate) fn oid(dotted: &str) -> Vec<u8> {
    let arcs: Vec<u32> = dotted.split('.').map(|arc| arc.parse().unwrap()).collect();
    let mut out = vec![(arcs[0] * 40 + arcs[1]) as u8];
    for arc in &arcs[2..] {
        let mut groups = vec![(arc & 0x7f) as u8];
        let mut rest = arc >> 7;
        while rest > 0 {
            groups.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        out.extend(groups.iter().rev());
    }
    tlv(6, &[&out])
}

/// A Name of an organization and a common name.
pub(crate) fn name(common: &str) -> Vec<u8> {
    let part =
        |id: &str, text: &str| tlv(0x31, &[&sequence(&[&oid(id), &tlv(0x0c, &[text.as_bytes()])])]);
    sequence(&[&part("2.5.4.10", "Ravelin tests"), &part("2.5.4.3", common)])
}

/// A UTCTime, or a GeneralizedTime from 2050 on: `YYYYMMDDhhmmssZ`.
pub(crate) fn time(text: &str) -> Vec<u8> {
    if text < "2050" { tlv(0x17, &[&text.as_bytes()[2..]]) } else { tlv(0x18, &[text.as_bytes()]) }
}

/// An Extension.
pub(crate) fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    sequence(&[&oid(id), flag, &tlv(4, &[value])])
}

/// RSASSA-PSS with this digest (the last arc of its NIST identifier) and salt.
pub(crate) fn pss(digest: u8, salt: u8) -> Vec<u8> {
    let hash = sequence(&[&oid(&format!("2.16.840.1.101.3.4.2.{digest}")), &[5, 0]]);
    let mask = sequence(&[&oid("1.2.840.113549.1.1.8"), &hash]);
    let parameters =
        sequence(&[&tlv(0xa0, &[&hash]), &tlv(0xa1, &[&mask]), &tlv(0xa2, &[&integer(&[salt])])]);
    sequence(&[&oid("1.2.840.113549.1.1.10"), &parameters])
}
