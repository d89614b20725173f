//! The network, for as long as PID 1 waits for keys.

use protocol::config::Network;

use crate::boot::Progress;
use crate::failure::Failure;
use crate::platform::Platform;

/// Brings it up; returns what the log says of it.
///
/// # Errors
/// [`Failure::Network`].
pub fn up(
    platform: &impl Platform,
    network: &Network,
    progress: &mut Progress,
) -> Result<String, Failure> {
    let until = platform.elapsed() + network.deadline.duration();
    // Noted before: half of it may be up when it fails.
    progress.network = true;
    platform.network_up(network, until).map_err(Failure::Network)
}

/// Takes it down, so that the real system starts with a link as the kernel made it.
///
/// # Errors
/// [`Failure::NetworkDown`].
pub fn down(platform: &impl Platform, progress: &mut Progress) -> Result<(), Failure> {
    if !std::mem::take(&mut progress.network) {
        return Ok(());
    }
    platform.network_down().map_err(Failure::NetworkDown)
}
