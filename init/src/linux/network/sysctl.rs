//! What the kernel does on a link by itself.

use std::path::Path;

use super::control::Control;
use crate::network::NetworkError;

/// Makes IPv6 on the link do nothing that is not configured: no router advertisement is
/// taken, no address made of one; and without `wanted` there is no IPv6 at all. A kernel
/// without IPv6 is left alone.
pub(super) fn quiet_ipv6(control: &mut Control, wanted: bool) -> Result<(), NetworkError> {
    // The kernel makes sure that a name has no `/`, and so does who reads it.
    let directory = Path::new("/proc/sys/net/ipv6/conf").join(&control.link().name);
    if !directory.is_dir() {
        return Ok(());
    }
    control.write(directory.join("accept_ra"), b"0")?;
    control.write(directory.join("autoconf"), b"0")?;
    control.write(directory.join("disable_ipv6"), if wanted { b"0" } else { b"1" })
}
