//! What is needed before the VM is asked, which does not wait for a passphrase: the
//! owner's SSH key and the volumes' keys.

use protocol::release::Release;

use super::Unlock;
use super::volumes::Volume;
use crate::command::image::secret;
use crate::failure::{Failure, Result};
use crate::terminal::Terminal;
use crate::unlock::identity::{Identity, IdentityError, Places};
use crate::vm::VmFile;

/// Everything secret.
pub(super) struct Ready {
    pub(super) release: Release,
    pub(super) identity: Identity,
}

impl Ready {
    /// Reads it all.
    ///
    /// # Errors
    /// An SSH key, key or passphrase that cannot be had.
    pub(super) fn new(
        arguments: &Unlock,
        file: Option<&VmFile>,
        volumes: &[Volume<'_>],
        terminal: &Terminal,
    ) -> Result<Self> {
        let of_file = || Some(file?.resolve(file?.vm().unlock.identity.as_ref()?));
        let path = arguments.release.identity.clone().or_else(of_file);
        let identity = Identity::find(path.as_deref(), &Places::of_user(), |path| {
            let question = format!("Passphrase of {}: ", path.display());
            secret::prompt(&question).map_err(FindError::Prompt)
        });
        let identity = identity.map_err(|error| match error {
            FindError::Identity(error) => identity_failure(error),
            FindError::Prompt(failure) => failure,
        })?;
        let released = volumes.iter().map(|volume| volume.released(terminal));
        let release = Release::new(released.collect::<Result<_>>()?)?;
        Ok(Self { release, identity })
    }
}

enum FindError {
    Identity(IdentityError),
    Prompt(Failure),
}

impl From<IdentityError> for FindError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

/// What helps against an SSH key that cannot sign.
pub(super) fn identity_failure(error: IdentityError) -> Failure {
    let help = match &error {
        IdentityError::Key { .. } => {
            "an OpenSSH private key, or a public key in one line; `ssh-keygen -p -f FILE` converts \
             an older form"
        }
        IdentityError::NeedsAgent { .. } | IdentityError::NotInAgent { .. } => {
            "start ssh-agent and add the key: ssh-add FILE"
        }
        IdentityError::NoDefault { .. } => "name your key with --identity",
        IdentityError::Kind(_) => "make one with: ssh-keygen -t ed25519",
        IdentityError::Read { .. } | IdentityError::Passphrase { .. } => "try again",
        IdentityError::Agent(_) | IdentityError::Signature { .. } => {
            "look at the agent: `ssh-add -l` lists its keys"
        }
    };
    Failure::from(error).help(help)
}
