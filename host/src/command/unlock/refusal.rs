//! What the VM's refusals and broken sessions mean, and what helps.

use protocol::release::Refusal;

use crate::attest::exchange::AskError;
use crate::failure::Failure;
use crate::unlock::session::SessionError;

/// A refusal, with what to do about it.
pub(super) fn refused(why: Refusal, text: &str) -> Failure {
    let message = format!("the VM did not take the release: {text}");
    let (failure, help) = match why {
        Refusal::Signature => (
            Failure::refused(message),
            "the signature did not reach the VM as it was made; try again, and look for what \
             stands between",
        ),
        Refusal::UnknownOwner => (
            Failure::refused(message),
            "your key is not among `unlock.owners` of the VM's measured configuration; use another \
             --identity, or build the VM's initramfs with this key",
        ),
        Refusal::Volumes => (
            Failure::new(message),
            "release exactly the volumes that the VM waits for: --sidecar, --volume, --luks-volume",
        ),
        Refusal::Disagreement => (
            Failure::refused(message),
            "enough owners sent something else than you, and the VM boots with that: compare \
             sidecars (also `epoch`), keys and --provision",
        ),
        Refusal::Expired => (
            Failure::no_answer(message),
            "not enough owners came in time; agree on a time and release again \
             (`deadline.quorum`)",
        ),
        Refusal::NotOpened => (
            Failure::refused(message),
            "the key or passphrase is wrong, the sidecar is another disk's, or the host gave \
             another disk; the VM waits on",
        ),
        Refusal::RolledBack => (
            Failure::refused(message),
            "the host gave an old state of the disk. If you restored a backup yourself, set \
             `epoch` in the sidecar to the backup's and release again",
        ),
        Refusal::Busy => (
            Failure::no_answer(message),
            "too many sessions or wrong keys came to the VM; try again in a minute",
        ),
        Refusal::NoReport => (
            Failure::no_answer(message),
            "the VM's secure processor gave no report; its console says why",
        ),
        Refusal::Unrecorded => (
            Failure::no_answer(message),
            "the VM did not hear that the epochs are in your sidecar, or no other owner said so; \
             release again, with a better connection",
        ),
        Refusal::Malformed => (
            Failure::no_answer(message),
            "the VM speaks another version of the protocol; use the `ravelin` that built it",
        ),
    };
    failure.help(help)
}

/// A session without evidence, or one that broke.
pub(super) fn broken(error: SessionError) -> Failure {
    let help = match &error {
        SessionError::Connection(
            AskError::Connect { .. } | AskError::Closed { .. } | AskError::TimedOut { .. },
        )
        | SessionError::Closed { .. } => {
            "--wait waits for a VM that is still booting; --address, --vsock or vm.toml say where \
             it waits for keys (`unlock.port` of its measured configuration)"
        }
        SessionError::Connection(AskError::Resolve { .. }) => {
            "correct the name, or give an IP address"
        }
        SessionError::Connection(_) => "try again",
        SessionError::Tls { .. } | SessionError::Alpn { .. } | SessionError::Malformed { .. } => {
            "another service listens there, another release runs in the VM, or someone on the way \
             changed what it said; nothing was released"
        }
        SessionError::Refused { .. } => "try again, with --wait",
    };
    Failure::no_answer(error).help(help)
}

/// A session that broke after the epochs were recorded.
pub(super) fn unconfirmed(error: SessionError) -> Failure {
    Failure::no_answer(error).help(
        "the volumes were open and the sidecars have their epochs, but the VM did not say that it \
         boots on; if its console says that it waits, release again",
    )
}

/// A session that broke while the release was sent: all of it may have arrived.
pub(super) fn cut(error: SessionError) -> Failure {
    Failure::no_answer(error).help(
        "whether the VM has the key, its console and `ravelin attest` say; the VM is recorded. \
         Releasing again is safe: the sidecar's epoch then still fits",
    )
}

/// A session that broke after the release was sent.
pub(super) fn silent(error: SessionError) -> Failure {
    Failure::no_answer(error).help(
        "the key was sent; whether the volumes are open, the VM's console and `ravelin attest` say. \
         It can be released again: the sidecar's epoch then still fits",
    )
}
