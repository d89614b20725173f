//! Rules that look into a file.

use super::{RuleId, fstab, secrets};

/// Files up to this many bytes are looked into. Keys, tokens and settings are in small ones.
pub(super) const MOST: u64 = 256 << 10;

/// What is in a file.
pub(super) struct Seen {
    pub(super) rule: RuleId,
    pub(super) line: Option<u64>,
    pub(super) detail: Option<String>,
}

/// Where passwords are looked for: what people write, rather than what packages bring.
const WRITTEN: [&[u8]; 6] = [b"etc/", b"root/", b"home/", b"opt/", b"srv/", b"var/www/"];

/// What the rules find in the file at a path.
pub(super) fn look(path: &[u8], content: &[u8]) -> Vec<Seen> {
    let mut seen = Vec::new();
    let mut add = |rule, line, detail: Option<&str>| {
        seen.push(Seen { rule, line, detail: detail.map(str::to_owned) });
    };
    match path {
        b"etc/fstab" => {
            for line in fstab::old(content) {
                add(RuleId::Fstab, Some(line), None);
            }
        }
        b"etc/shadow" | b"etc/passwd" => {
            for (line, user) in without_password(content) {
                add(RuleId::NoPassword, Some(line), Some(&user));
            }
        }
        _ => {}
    }
    let cloud = path == b"etc/cloud/cloud.cfg" || path.starts_with(b"etc/cloud/cloud.cfg.d/");
    if cloud {
        for (line, key) in cloud_passwords(content) {
            add(RuleId::CloudPassword, Some(line), Some(key));
        }
    }
    if is_der_key(content) {
        add(RuleId::PrivateKey, None, Some("DER"));
    }
    if secrets::is_text(content) {
        if let Some(line) = pem_key(content) {
            add(RuleId::PrivateKey, Some(line), None);
        }
        let passwords = WRITTEN.iter().any(|start| path.starts_with(start));
        for found in secrets::find(content, passwords) {
            add(found.rule, Some(found.line), Some(found.what));
        }
    }
    seen
}

/// Users whose second field is empty (passwd(5), shadow(5)).
fn without_password(text: &[u8]) -> impl Iterator<Item = (u64, String)> {
    (1..).zip(text.split(|&byte| byte == b'\n')).filter_map(|(number, line)| {
        let mut fields = line.split(|&byte| byte == b':');
        let (user, password) = (fields.next()?, fields.next()?);
        let is_user = !user.is_empty() && !user.starts_with(b"#");
        (is_user && password.is_empty()).then(|| (number, user.escape_ascii().to_string()))
    })
}

/// Keys of cloud-init's YAML that hold a password or a key, with a value.
fn cloud_passwords(text: &[u8]) -> impl Iterator<Item = (u64, &'static str)> {
    const KEYS: [&str; 6] = [
        "password",
        "passwd",
        "hashed_passwd",
        "plain_text_passwd",
        "rsa_private",
        "ed25519_private",
    ];
    (1..).zip(text.split(|&byte| byte == b'\n')).filter_map(|(number, line)| {
        let line = line.trim_ascii();
        let line = line.strip_prefix(b"- ").unwrap_or(line).trim_ascii();
        KEYS.into_iter()
            .find(|key| {
                let rest = line.strip_prefix(key.as_bytes()).map(<[u8]>::trim_ascii);
                let value = rest.and_then(|rest| rest.strip_prefix(b":")).map(<[u8]>::trim_ascii);
                // `*` and `!` lock a password.
                value.is_some_and(|value| {
                    let value = value.trim_ascii_start();
                    let first = value.iter().find(|b| **b != b'"' && **b != b'\'');
                    !matches!(first, None | Some(b'*' | b'!' | b'#'))
                })
            })
            .map(|key| (number, key))
    })
}

/// The line of a private key's head (RFC 7468; OpenSSH's PROTOCOL.key), if its body follows:
/// programs that read keys have the head alone.
fn pem_key(text: &[u8]) -> Option<u64> {
    let mut lines = (1..).zip(text.split(|&byte| byte == b'\n')).peekable();
    while let Some((number, line)) = lines.next() {
        let line = line.trim_ascii();
        let label = line.strip_prefix(b"-----BEGIN ").and_then(|rest| rest.strip_suffix(b"-----"));
        let is_head = label.is_some_and(|label| {
            label.ends_with(b"PRIVATE KEY") || label == b"PGP PRIVATE KEY BLOCK"
        });
        let base64 = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        let body = lines.peek().is_some_and(|(_, next)| {
            let next = next.trim_ascii();
            let header = [&b"Proc-Type:"[..], b"Version:", b"Comment:"];
            (next.len() >= 16 && next.iter().all(base64))
                || header.iter().any(|header| next.starts_with(header))
                || (label == Some(b"PGP PRIVATE KEY BLOCK") && next.is_empty())
        });
        if is_head && body {
            return Some(number);
        }
    }
    None
}

/// Whether the whole file is one PKCS#8 (RFC 5958), PKCS#1 (RFC 8017, A.1.2) or SEC 1
/// (RFC 5915) key: a sequence that begins with a version, and then with an algorithm's
/// sequence and object identifier, a long integer, or a short octet string.
fn is_der_key(content: &[u8]) -> bool {
    let Some(body) = der(content, 0x30).filter(|(_, rest)| rest.is_empty()).map(|(body, _)| body)
    else {
        return false;
    };
    let Some((version @ ([0] | [1]), rest)) = der(body, 0x02) else { return false };
    let algorithm = der(rest, 0x30).is_some_and(|(algorithm, after)| {
        der(algorithm, 0x06).is_some() && der(after, 0x04).is_some()
    });
    let modulus = der(rest, 0x02).is_some_and(|(modulus, _)| modulus.len() >= 64);
    let scalar = der(rest, 0x04).is_some_and(|(scalar, _)| (20..=66).contains(&scalar.len()));
    algorithm || (version == [0] && modulus) || (version == [1] && scalar)
}

/// The content of an element with this tag, and what follows it (ITU-T X.690).
fn der(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81 => rest.split_first().map(|(&byte, rest)| (usize::from(byte), rest))?,
        0x82 => {
            let (bytes, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*bytes)), rest)
        }
        _ => return None,
    };
    (first == tag).then(|| rest.split_at_checked(length)).flatten()
}
