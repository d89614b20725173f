//! The initramfs of each, and what it takes without kernel modules and with the same ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::samples::{Archive, Init};
use crate::sizes::{self, part, size};
use crate::tools::run;

/// For sizes; and for boots, whose time begins when all is unpacked.
const SMALLEST: &str = "-19";
const QUICK: &str = "-1";

/// The archive that a machine boots with, compressed.
pub(crate) struct Bootable {
    pub(crate) init: Init,
    pub(crate) path: PathBuf,
}

/// Ravelin's, for a root on ext4.
pub(crate) fn ours(scratch: &Path) -> Result<(Bootable, Archive)> {
    let [bare, modules] = ["base", "modules"].map(|name| scratch.join(format!("{name}.cpio")));
    run(&mut part("base", &bare)?)?;
    let of_the_kernel = sizes::modules()?;
    // Nobody else makes a report: no modules for one. The configuration that says so is a
    // few bytes beside the modules.
    let config = scratch.join("ravelin.toml");
    fs::write(&config, "attest.mode = \"none\"\n").context("write a configuration")?;
    let mut part = part("modules", &modules)?;
    part.args(["--part", "config", "--config"]).arg(config);
    run(part.args(["--filesystem", "ext4", "--kernel-modules"]).arg(of_the_kernel))?;
    let path = joined(&bare, &modules)?;
    let archive = Archive {
        init: Init::Ravelin,
        bare: size(&bare)?,
        bare_compressed: size(&compressed(&bare, SMALLEST)?)?,
        same_modules: size(&path)?,
    };
    Ok((Bootable { init: Init::Ravelin, path }, archive))
}

/// Another's: what its tool has made is booted; of its size, the kernel modules are taken
/// off, and Ravelin's put in their place.
pub(crate) fn other(scratch: &Path, init: Init, made: &Path) -> Result<(Bootable, Archive)> {
    let bare = scratch.join(format!("{init:?}.cpio"));
    let mut archive = std::ffi::OsString::from("@");
    archive.push(made);
    run(Command::new("bsdtar")
        .args(["--format=newc", "--exclude", "*lib/modules/*", "-cf"])
        .arg(&bare)
        .arg(archive))?;
    let same_modules = joined(&bare, &scratch.join("modules.cpio"))?;
    let archive = Archive {
        init,
        bare: size(&bare)?,
        bare_compressed: size(&compressed(&bare, SMALLEST)?)?,
        same_modules: size(&same_modules)?,
    };
    let whole = scratch.join(format!("{init:?}-whole.cpio"));
    fs::copy(made, &whole).context("copy an initramfs")?;
    Ok((Bootable { init, path: compressed(&whole, QUICK)? }, archive))
}

/// Both in one archive, compressed.
fn joined(first: &Path, second: &Path) -> Result<PathBuf> {
    let path = first.with_extension("joined.cpio");
    let mut output = File::create(&path).context("create an archive")?;
    for part in [first, second] {
        let mut part = File::open(part).context("open an archive")?;
        std::io::copy(&mut part, &mut output).context("join archives")?;
    }
    compressed(&path, SMALLEST)
}

/// All by one program: what the archives come with differs.
fn compressed(path: &Path, level: &str) -> Result<PathBuf> {
    run(Command::new("zstd").args(["--quiet", "--force", level]).arg(path))?;
    let mut name = path.as_os_str().to_owned();
    name.push(".zst");
    Ok(name.into())
}
