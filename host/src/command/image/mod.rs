//! `ravelin image`: making and checking what a VM boots from.

mod audit;
mod decrypt;
mod encrypt;
mod hooks;
mod in_use;
mod initramfs;
mod places;
mod preparation;
pub(crate) mod secret;
mod source;
mod values;
mod verify;
mod verity;

use clap::Subcommand;

use crate::failure::Result;
use crate::interrupt;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  ravelin image verity --from rootfs/ --output root.img --vm vm.toml
  ravelin image verity --from cloud.qcow2 --output root.img --vm vm.toml
  ravelin image initramfs --output initramfs.cpio.zst --vm vm.toml \\
      --kernel vmlinuz-6.12.95 --kernel-modules lib/modules/6.12.95
  ravelin image verify root.img.toml
  ravelin image encrypt --from rootfs/ --output root.img --size 4G
  ravelin image decrypt root.img.toml --key root.img.key --output clear.img
  ravelin image audit rootfs/ --strict";

/// Make and check the files that a VM boots from
///
/// `initramfs` makes the archive with PID 1, `verity` the disk with its hash tree; both can
/// write the VM description. `verify` checks a disk. `encrypt` makes a disk that only the owner's
/// key opens, and `decrypt` is the way back. `audit` tells what does not belong into a public image.
/// Outputs appear under their names only when they are complete: an interrupted or failed command
/// leaves the old file, or none.
#[derive(Debug, Subcommand)]
#[command(after_long_help = EXAMPLES)]
pub(crate) enum Image {
    Initramfs(initramfs::Initramfs),
    Verity(Box<verity::Verity>),
    Verify(verify::Verify),
    Encrypt(Box<encrypt::Encrypt>),
    Decrypt(decrypt::Decrypt),
    Audit(audit::Audit),
}

pub(crate) fn run(image: Image, terminal: &Terminal) -> Result {
    interrupt::end_on_signals()?;
    match image {
        Image::Initramfs(arguments) => initramfs::run(&arguments, terminal),
        Image::Verity(arguments) => verity::run(&arguments, terminal),
        Image::Verify(arguments) => verify::run(&arguments, terminal),
        Image::Encrypt(arguments) => encrypt::run(&arguments, terminal),
        Image::Decrypt(arguments) => decrypt::run(&arguments, terminal),
        Image::Audit(arguments) => audit::run(&arguments, terminal),
    }
}
