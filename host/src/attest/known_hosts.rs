//! What OpenSSH reads: known_hosts lines (sshd(8)), and the words of a
//! `KnownHostsCommand` (ssh_config(5)).
//!
//! The keys come from a report that was accepted, the host name from `ssh`
//! itself (`%H`); still nothing may make of a line another one, or a pattern or
//! marker of it.

use base64ct::{Base64, Encoding};
use protocol::host_keys::{HostKeys, key_type};
use sha2::{Digest, Sha256};

/// A name that cannot stand in a known_hosts line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" is no host name as ssh looks one up (NAME, ADDRESS or [NAME]:PORT)",
    .0.escape_debug()
)]
pub struct NameError(String);

/// Checks a name as ssh's `%H` gives it: `NAME`, or `[NAME]:PORT`.
///
/// # Errors
/// If it has anything that is a pattern, a list, a marker or a comment in
/// known_hosts.
pub fn check_name(name: &str) -> Result<(), NameError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%[]+=~^".contains(&byte);
    let good =
        (1..=1025).contains(&name.len()) && !name.starts_with('-') && name.bytes().all(plain);
    if good { Ok(()) } else { Err(NameError(name.to_owned())) }
}

/// One line a key.
///
/// # Errors
/// As [`check_name`].
pub fn lines(name: &str, keys: &HostKeys) -> Result<String, NameError> {
    check_name(name)?;
    let mut text = String::new();
    for blob in keys.blobs() {
        if let Some(kind) = key_type(blob) {
            text.push_str(&format!("{name} {kind} {}\n", Base64::encode_string(blob)));
        }
    }
    Ok(text)
}

/// A key's fingerprint, as `ssh-keygen -l` prints it.
#[must_use]
pub fn fingerprint(blob: &[u8]) -> String {
    let digest = Base64::encode_string(&Sha256::digest(blob));
    format!("SHA256:{}", digest.trim_end_matches('='))
}

/// A word that cannot stand in `KnownHostsCommand`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{}\" cannot be written into ssh's configuration: it has control characters, or ${{, which \
     ssh would expand",
    .0.escape_debug()
)]
pub struct WordError(String);

/// Quotes a word for `KnownHostsCommand`, which ssh splits at blanks, with
/// quotes and backslashes, and in which it then expands `%`.
///
/// # Errors
/// If it has control characters, which a line of the file cannot hold, or `${`,
/// which ssh expands and has no escape for.
pub fn quote(word: &str) -> Result<String, WordError> {
    let mut out = escaped(word)?.replace('%', "%%");
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_:=@%+,".contains(&byte);
    if word.is_empty() || !word.bytes().all(plain) {
        out = format!("\"{out}\"");
    }
    Ok(out)
}

/// Quotes an argument of another keyword, in which `%` stands for itself.
///
/// # Errors
/// As [`quote`].
pub fn quote_argument(word: &str) -> Result<String, WordError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/.-_:=@%+,".contains(&byte);
    let out = escaped(word)?;
    let bare = !word.is_empty() && word.bytes().all(plain);
    Ok(if bare { out } else { format!("\"{out}\"") })
}

fn escaped(word: &str) -> Result<String, WordError> {
    if word.chars().any(char::is_control) || word.contains("${") {
        return Err(WordError(word.to_owned()));
    }
    Ok(word.replace('\\', "\\\\").replace('"', "\\\"").replace('\'', "\\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_what_ssh_reads() {
        let blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x01k".to_vec();
        let keys = HostKeys::new([blob.clone()]).unwrap();
        let expected = "[vm]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAAWs=\n";
        assert_eq!(lines("[vm]:2222", &keys).unwrap(), expected);
        assert_eq!(lines("vm", &HostKeys::default()).unwrap(), "");
        for bad in
            ["", "*", "a,b", "a b", "!a", "@cert-authority", "|1|x", "#a", "a\nb", "a?", "-a"]
        {
            assert!(lines(bad, &keys).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn words_stay_one_word() {
        assert_eq!(quote("/usr/bin/ravelin").unwrap(), "/usr/bin/ravelin");
        assert_eq!(quote("/a b/\"c\"/d'e\\f/100%").unwrap(), r#""/a b/\"c\"/d\'e\\f/100%%""#);
        assert_eq!(quote("").unwrap(), "\"\"");
        assert!(quote("a\nb").is_err());
        assert_eq!(quote_argument("a#b").unwrap(), "\"a#b\"");
    }
}
