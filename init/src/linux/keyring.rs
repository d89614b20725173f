//! A key in the kernel's keyring, for as long as a table is loaded (keyrings(7)).
//!
//! Of type `logon`: no process can read it back. In the keyring of this thread: no
//! other process or thread finds it by its description.
#![expect(unsafe_code, reason = "add_key(2) and keyctl(2) have no safe form in rustix or nix")]

use std::ffi::CString;
use std::io;

use nix::libc;

/// Runs `action` while a key of this description is in the keyring of the calling
/// thread; then it is revoked, which wipes the kernel's copy there, and unlinked,
/// however `action` ended.
pub(super) fn with_logon_key<T>(
    description: &str,
    key: &[u8],
    action: impl FnOnce() -> io::Result<T>,
) -> io::Result<T> {
    let id = add(&CString::new(description)?, key)?;
    let result = action();
    // Revoked first: only who has a link to the key may do it.
    let revoked = control(libc::KEYCTL_REVOKE, id, 0);
    let unlinked = control(libc::KEYCTL_UNLINK, id, libc::KEY_SPEC_THREAD_KEYRING);
    let value = result?;
    revoked.and(unlinked)?;
    Ok(value)
}

fn add(description: &CString, key: &[u8]) -> io::Result<i32> {
    // SAFETY: both texts end with NUL, the payload is `key.len()` bytes, and the
    // kernel keeps none of the pointers.
    let id = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            c"logon".as_ptr(),
            description.as_ptr(),
            key.as_ptr(),
            key.len(),
            libc::KEY_SPEC_THREAD_KEYRING,
        )
    };
    if id < 0 {
        return Err(io::Error::last_os_error());
    }
    i32::try_from(id).map_err(io::Error::other)
}

/// The operations that take numbers only.
fn control(operation: u32, key: i32, keyring: i32) -> io::Result<()> {
    // SAFETY: no argument of these operations is a pointer.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, operation, key, keyring) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The thread's keys by description, as /proc/keys shows them to their owner.
    fn is_there(description: &str) -> Option<bool> {
        let keys = std::fs::read_to_string("/proc/keys").ok()?;
        Some(keys.lines().any(|line| line.contains(description)))
    }

    #[test]
    fn a_key_is_there_while_it_is_needed() {
        let name = "ravelin:test-of-the-keyring";
        let during = with_logon_key(name, b"not a secret", || Ok(is_there(name)));
        // Containers often forbid add_key(2).
        let Ok(during) = during else { return };
        assert_ne!(during, Some(false));
        // A revoked key is listed until the kernel has collected it.
        let is_revoked =
            |line: &str| line.split_whitespace().nth(1).is_some_and(|flags| flags.contains('R'));
        let live = |line: &str| line.contains(name) && !is_revoked(line);
        let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
        assert!(!keys.lines().any(live), "{keys}");
        let failed: io::Result<()> =
            with_logon_key(name, b"not a secret", || Err(io::ErrorKind::Other.into()));
        assert!(failed.is_err());
        let keys = std::fs::read_to_string("/proc/keys").unwrap_or_default();
        assert!(!keys.lines().any(live), "{keys}");
    }
}
