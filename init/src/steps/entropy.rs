//! Nothing random is made before the kernel's generator is ready; a seed or a
//! device of the host's does not count towards that (no virtio-rng,
//! `random.trust_bootloader=off`).

use protocol::config::Config;

use crate::failure::{self, Failure};
use crate::platform::Platform;

/// Waits until the kernel's random generator is ready.
///
/// # Errors
/// [`Failure::EntropyDeadline`].
pub(super) fn wait(platform: &impl Platform, config: &Config) -> Result<(), Failure> {
    let until = platform.elapsed() + config.entropy_deadline.duration();
    if platform.wait_for_entropy(until).map_err(failure::path("waiting for", "/dev/random"))? {
        return Ok(());
    }
    Err(Failure::EntropyDeadline { deadline: config.entropy_deadline.to_string() })
}
