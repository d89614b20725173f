//! The release server: owners come, one session each, are shown a report of this very
//! session, and leave the keys of the volumes (`protocol::release`).
//!
//! A thread accepts ([`listener`]), each session has one ([`session`] over
//! [`channel`]), and one asks for reports ([`reporter`]); PID 1's own waits for the
//! [`quorum`].
//!
//! **Threat.** The host carries every byte, and strangers may reach the port. What they
//! can do is bounded: bytes and time of a session, sessions ([`table`]), reports and
//! lines of the log. Without the signature of a listed key nothing of what they send is
//! looked at ([`verify`]), so that no garbage ends in a boot. They can delay an owner,
//! not lock him out for ever: his session is given up for a stranger's only by somebody
//! who has many addresses and spends a report on each.
//!
//! **Secrets.** A release is in memory that wipes itself from where it is decrypted to
//! where it is used; the exception is in [`channel`]'s words.

mod agreement;
mod certificate;
mod channel;
mod control;
mod listener;
mod log;
mod quorum;
mod reporter;
mod session;
mod socket;
mod table;
mod tls;
mod verify;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use protocol::receipt::Head;
use protocol::release::{Status, VolumeName};
use ssh_key::PublicKey;

use crate::platform::{Level, Released};
use agreement::Agreement;
use control::Waker;
use quorum::Quorum;
use session::Shared;
use table::Table;
use verify::Owner;

pub use log::Sink;
pub use reporter::Ask;
pub use verify::is_signed;

/// What is asked for.
pub struct Setup {
    /// Sockets that listen, not blocking.
    pub listeners: Vec<OwnedFd>,
    /// Who may release keys.
    pub owners: Vec<PublicKey>,
    /// How many of them have to agree.
    pub threshold: u8,
    /// The volumes that are waited for.
    pub wanted: Vec<VolumeName>,
    /// Head of the boot receipt, which the reports bind.
    pub receipt_head: Head,
    /// Gets reports.
    pub reports: Ask,
    /// Takes lines of the log.
    pub log: Sink,
    /// Sizes and times.
    pub limits: Limits,
}

/// Sizes and times of the server.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Sessions of which no owner has signed yet.
    pub sessions: usize,
    /// Bytes that the peer of one session may send, TLS and all.
    pub bytes: usize,
    /// For each of: the handshake, the nonce, taking the evidence, taking a status, and
    /// for the owners to record the epochs.
    pub step: Duration,
    /// For a report.
    pub evidence: Duration,
    /// For the release, from the evidence on: the owner verifies it, types a passphrase
    /// and touches a security key.
    pub release: Duration,
    /// How long an incomplete set of releases is kept.
    pub quorum: Duration,
    /// How long nothing is taken after a release that did not open the volumes; doubled
    /// with each.
    pub retry: Duration,
    /// The longest such time.
    pub retry_at_most: Duration,
    /// For the peer to close after the last status.
    pub finish: Duration,
    /// For all sessions to end when serving stops.
    pub stop: Duration,
}

impl Default for Limits {
    /// Those of a boot, but for `evidence` and `quorum`, which are configured.
    fn default() -> Self {
        Self {
            sessions: 32,
            bytes: 96 << 10,
            step: Duration::from_secs(10),
            evidence: Duration::from_secs(10),
            release: Duration::from_secs(300),
            quorum: Duration::from_secs(600),
            retry: Duration::from_secs(1),
            retry_at_most: Duration::from_secs(5),
            finish: Duration::from_secs(1),
            stop: Duration::from_secs(3),
        }
    }
}

/// The server, while it serves.
pub struct Server {
    shared: Arc<Shared>,
    stop: Arc<Waker>,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Makes the key of this boot and starts to serve.
    ///
    /// # Errors
    /// From the system; no owners, or fewer than are needed.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let Setup { listeners, owners, threshold, mut wanted, receipt_head, reports, log, limits } =
            setup;
        if threshold == 0 || owners.len() < usize::from(threshold) || wanted.is_empty() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        wanted.sort();
        wanted.dedup();
        let quorum = Quorum::new(threshold, limits.quorum, limits.retry, limits.retry_at_most);
        let shared = Arc::new(Shared {
            identity: tls::Identity::new()?,
            owners: owners
                .into_iter()
                .map(Owner::new)
                .collect::<Result<_, _>>()
                .map_err(io::Error::other)?,
            need: threshold,
            wanted,
            receipt_head,
            reports: reporter::start(reports, limits.sessions)?,
            table: Table::new(limits.sessions),
            agreement: Agreement::new(quorum),
            log: log::Log::new(log),
            limits,
        });
        let stop = Arc::new(Waker::new()?);
        let (theirs, woken) = (Arc::clone(&shared), Arc::clone(&stop));
        let thread = thread::Builder::new().name("release-accept".to_owned());
        let accepting = thread.spawn(move || listener::run(listeners, &woken, &theirs))?;
        Ok(Self { shared, stop, accepting })
    }

    /// Waits until enough owners agree, at most until `until`; `None` if they do not.
    #[must_use]
    pub fn wait(&self, until: Option<Instant>) -> Option<Released> {
        let line = "not enough owners came in time; what they sent is wiped";
        self.shared.agreement.wait(until, || self.shared.log.line(Level::Info, line))
    }

    /// Waits until the owners of the release that opened the volumes have recorded the
    /// epochs: all whose sessions are not over, or for as long as a step takes. Whether
    /// one of them has.
    #[must_use]
    pub fn wait_recorded(&self) -> bool {
        self.shared.agreement.wait_recorded(self.shared.limits.step)
    }

    /// Tells the owners of the release that was waited for what became of it.
    pub fn answer(&self, status: &Status) {
        self.shared.agreement.answer(status);
    }

    /// Stops: owners are told what they have to be told yet, then sessions, listeners
    /// and the key are gone.
    pub fn stop(self) {
        self.stop.wake();
        let _ended = self.accepting.join();
        self.shared.agreement.close();
        self.shared.table.clear(self.shared.limits.stop);
    }
}
