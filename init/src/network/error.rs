//! Why there is no network.

use std::io;

use protocol::units::Deadline;

/// Why there is no network. Each names the link, and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The link did not appear in time.
    #[error(
        "no link for `network.link = \"{wanted}\"` within {deadline}; there: {seen}. Give the VM \
         such a link, its driver's module to the initramfs, or another `network.link`"
    )]
    Missing {
        /// What is wanted.
        wanted: String,
        /// How long it may take.
        deadline: Deadline,
        /// The links that are there.
        seen: String,
    },
    /// Several links are meant.
    #[error(
        "`network.link = \"{wanted}\"` means several links: {seen}. Name one by `mac:` or by \
         `driver:`"
    )]
    Ambiguous {
        /// What is wanted.
        wanted: String,
        /// The links that are there.
        seen: String,
    },
    /// The link is up, but nothing is at its other end.
    #[error(
        "{link} has no carrier within {deadline}: connect it on the host, or raise \
         `network.deadline`"
    )]
    NoCarrier {
        /// The link.
        link: String,
        /// How long it may take.
        deadline: Deadline,
    },
    /// No lease in time.
    #[error(
        "no lease from DHCP on {link} within {deadline}: {what}. Look at the DHCP server of the \
         link's network, or use `network.mode = \"static\"`"
    )]
    NoLease {
        /// The link.
        link: String,
        /// How long it may take.
        deadline: Deadline,
        /// How far it came.
        what: String,
    },
    /// The links cannot be listed.
    #[error("listing the network links by rtnetlink")]
    List(#[source] io::Error),
    /// The kernel refused a setting.
    #[error("{action} on {link} is refused: look at the settings of `network`")]
    Refused {
        /// What was tried.
        action: String,
        /// The link.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// A socket, a thread or another thing that should always work.
    #[error("{action} for {link}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The link.
        link: String,
        /// What the kernel said.
        source: io::Error,
    },
}
