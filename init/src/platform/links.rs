//! What the boot may do to the network.

use std::error::Error;
use std::io;
use std::time::Duration;

use protocol::config::Network;

/// The network before the hand-over.
pub trait Links {
    /// Brings the link up and gives it its addresses, at most until PID 1 has run for
    /// `until`. Leases are kept up until [`Links::network_down`]. Returns what the log
    /// says of it.
    ///
    /// # Errors
    /// No link or several, no lease in time, or from the system.
    fn network_up(
        &self,
        network: &Network,
        until: Duration,
    ) -> Result<String, Box<dyn Error + Send + Sync>>;
    /// Takes addresses, routes and the link down again, so that the real system starts
    /// with a link as the kernel made it. Nothing if it was never up.
    ///
    /// # Errors
    /// From the system.
    fn network_down(&self) -> io::Result<()>;
}
