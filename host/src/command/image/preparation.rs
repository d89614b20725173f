//! What is taken out of the source and put into the root: the same for both kinds of disks.

use std::path::{Path, PathBuf};

use clap::Args;
use image_builder::disk::clean::{Clean, RuleId};
use image_builder::disk::customize::Customization;
use image_builder::disk::{ModuleSource, Preparation, Source};

use crate::failure::{Failure, Result};
use crate::terminal::Terminal;

/// What becomes of the source's content.
#[derive(Debug, Args)]
#[command(next_help_heading = "Content")]
pub(super) struct PreparationArguments {
    /// Of a container image that holds several: a name, a name with a tag, or a digest
    #[arg(long, value_name = "NAME", help_heading = "Content")]
    image: Option<String>,
    /// Leave out what is one machine's own, and fstab lines of the old disk [default for a
    /// verified disk]
    ///
    /// `ravelin image audit` lists it, and docs/import.md has the table of all rules. For an
    /// encrypted disk, the default is the fstab lines alone (and the SSH host keys).
    #[arg(long, conflicts_with = "no_clean", help_heading = "Content")]
    clean: bool,
    /// Keep everything; notes tell what a public image had better not have
    #[arg(long, help_heading = "Content")]
    no_clean: bool,
    /// Leave out authorized_keys files too
    #[arg(long, help_heading = "Content")]
    clean_authorized_keys: bool,
    /// A TOML file with users, their SSH keys, a host name and files to put in
    ///
    /// docs/import.md describes it. Nothing is written through a symbolic link of the source.
    #[arg(long, value_name = "FILE", help_heading = "Content")]
    customize: Option<PathBuf>,
    /// Kernel modules to put in: a directory …/lib/modules/VERSION, or a kernel's .deb or .rpm
    ///
    /// Those of the kernel that the VM is started with. Of a package, depmod (kmod) makes the
    /// lists, as its installation would.
    #[arg(long, value_name = "PATH", help_heading = "Content")]
    modules: Option<PathBuf>,
}

impl PreparationArguments {
    /// The files that are read, by their options.
    pub(super) fn files(&self) -> [(&'static str, Option<&Path>); 2] {
        [("--customize", self.customize.as_deref()), ("--modules", self.modules.as_deref())]
    }

    /// Tells that a file system became a public image as it was.
    pub(super) fn note_unchanged(&self, terminal: &Terminal) {
        if !self.no_clean {
            terminal.note(
                "the file system was taken as it is: nothing is left out of it, and nothing was \
                 looked into",
            );
        }
    }

    /// What is to be done with a source, of which `usual` is left out unless something else is
    /// said.
    pub(super) fn of(&self, source: &Source, usual: Clean) -> Result<Preparation> {
        if source.is_file_system() {
            let changes = self.image.is_some()
                || self.clean
                || self.clean_authorized_keys
                || self.customize.is_some()
                || self.modules.is_some();
            if changes {
                let failure =
                    Failure::usage("a file system is taken as it is, and not looked into");
                return Err(failure.help(
                    "leave --image, --clean, --clean-authorized-keys, --customize and --modules \
                     out, or give its content as a directory or a tar",
                ));
            }
            return Ok(Preparation::default());
        }
        let clean = match (self.clean, self.no_clean) {
            (true, _) => Clean::public_image(),
            (false, true) => Clean::NOTHING,
            (false, false) => usual,
        };
        let clean = clean.with(RuleId::AuthorizedKeys, self.clean_authorized_keys);
        let customize = self.customize.as_deref().map(Customization::read).transpose()?;
        let modules = self.modules.as_deref().map(ModuleSource::detect);
        Ok(Preparation { image: self.image.clone(), clean, customize, modules })
    }
}
