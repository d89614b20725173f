//! The writable layer: overlays whose upper side is a tmpfs of limited size.
//!
//! Nothing is copied at boot, and nothing is written to a disk. The tmpfs
//! mounts are taken out of the tree once the overlays hold them, so that nobody
//! in the real system can reach under an overlay.

use std::path::Path;

use protocol::config::{Writable, WritableDirectory};
use protocol::layout;
use protocol::units::MemorySize;
use rustix::io::Errno;

use super::mounts;
use crate::boot::log;
use crate::failure::{self, Failure};
use crate::platform::{Kind, Level, Mount, Platform};

/// Directories in which programs of the system neither have set-user-ID bits
/// nor device nodes. Others (`/var`, where people unpack roots) may.
const PLAIN_FILES_ONLY: [&str; 5] = ["/etc", "/home", "/root", "/srv", "/tmp"];

/// Where the tmpfs mounts are while the overlays are made.
const LAYERS: &str = "/run/ravelin-layers";

/// Adds the layer; returns what the log says of it.
///
/// # Errors
/// If a directory that was asked for is not one, or a mount fails.
pub fn add(platform: &impl Platform, writable: &Writable) -> Result<String, Failure> {
    match writable {
        Writable::Disk => Ok("the root itself, on its encrypted disk".to_owned()),
        Writable::Nothing => Ok("nothing is writable".to_owned()),
        Writable::Root { size } => {
            let root = Path::new(layout::SYSROOT);
            let layers = Layers::mount(platform, "root", *size)?;
            layers.overlay(root, "root", false)?;
            layers.detach()?;
            remove_base(platform)?;
            Ok(format!("all of the root, in memory up to {size}"))
        }
        Writable::Directories { list, explicit, size } => {
            let present = present(platform, list, *explicit)?;
            let shared = Layers::mount(platform, "shared", *size)?;
            for directory in &present {
                let name = layer_name(directory);
                match directory.size {
                    None => overlay_directory(&shared, directory, &name)?,
                    Some(own) => {
                        let layers = Layers::mount(platform, &name, own)?;
                        overlay_directory(&layers, directory, &name)?;
                        layers.detach()?;
                    }
                }
            }
            shared.detach()?;
            remove_base(platform)?;
            let names: Vec<_> = present
                .iter()
                .map(|directory| directory.path.as_path().to_string_lossy())
                .collect();
            Ok(format!("{}, in memory up to {size}", names.join(" ")))
        }
    }
}

/// The directories that the root has. Of the default list some may be absent;
/// of a list that was given none may.
fn present<'a>(
    platform: &impl Platform,
    list: &'a [WritableDirectory],
    explicit: bool,
) -> Result<Vec<&'a WritableDirectory>, Failure> {
    let mut present = Vec::new();
    for directory in list {
        let path = directory.path.as_path();
        // Every component: a symbolic link on the way would lead into the
        // initramfs, not into the root.
        let mut at = Path::new(layout::SYSROOT).to_owned();
        let mut what = Some(Kind::Directory);
        for component in directory.path.relative() {
            at.push(component);
            what = platform.kind(&at).map_err(failure::path("looking at", &at))?;
            if what != Some(Kind::Directory) {
                break;
            }
        }
        let what = match what {
            Some(Kind::Directory) => {
                present.push(directory);
                continue;
            }
            None if !explicit => {
                let line = format!("writable: the root has no {}, left out", path.display());
                log(platform, Level::Info, &line);
                continue;
            }
            None => "nothing",
            Some(Kind::Symlink) => "a symbolic link",
            Some(Kind::File | Kind::BlockDevice | Kind::Other) => "something else",
        };
        return Err(Failure::NotADirectory { path: path.to_owned(), what });
    }
    Ok(present)
}

fn overlay_directory<P: Platform>(
    layers: &Layers<'_, P>,
    directory: &WritableDirectory,
    name: &str,
) -> Result<(), Failure> {
    let target = Path::new(layout::SYSROOT).join(directory.path.relative());
    let plain = PLAIN_FILES_ONLY.iter().any(|path| directory.path.as_path() == Path::new(path));
    layers.overlay(&target, name, plain)
}

/// `/var/lib` as one name; `.` cannot be mistaken for another path's.
fn layer_name(directory: &WritableDirectory) -> String {
    directory.path.relative().to_string_lossy().replace('/', ".")
}

/// One tmpfs with the upper sides of overlays.
struct Layers<'a, P> {
    platform: &'a P,
    at: std::path::PathBuf,
}

impl<'a, P: Platform> Layers<'a, P> {
    fn mount(platform: &'a P, name: &str, size: MemorySize) -> Result<Self, Failure> {
        let base = Path::new(LAYERS);
        if platform.kind(base).map_err(failure::path("looking at", base))?.is_none() {
            create(platform, base)?;
        }
        let at = base.join(format!("tmpfs-{name}"));
        create(platform, &at)?;
        let tmpfs = |options: &str| {
            mounts::mount(
                platform,
                &Mount {
                    source: "ravelin",
                    target: &at,
                    fstype: "tmpfs",
                    read_only: false,
                    nosuid: false,
                    nodev: false,
                    noexec: false,
                    options,
                },
            )
        };
        // What is written in memory must not reach a disk, even if the system
        // has swap. Kernels before 6.4 do not know the option.
        let options = format!("mode=0700,size={size}");
        match tmpfs(&format!("{options},noswap")) {
            Err(Failure::Mount { source, .. })
                if source.raw_os_error() == Some(Errno::INVAL.raw_os_error()) =>
            {
                tmpfs(&options)?;
            }
            mounted => mounted?,
        }
        Ok(Layers { platform, at })
    }

    fn overlay(&self, target: &Path, name: &str, plain_files_only: bool) -> Result<(), Failure> {
        let upper = self.at.join(format!("{name}.upper"));
        let work = self.at.join(format!("{name}.work"));
        // The merged directory shows the upper side's owner and mode.
        self.platform
            .create_directory_like(&upper, target)
            .map_err(failure::path("making the directory", &upper))?;
        create(self.platform, &work)?;
        mounts::mount(
            self.platform,
            &Mount {
                source: "ravelin",
                target,
                fstype: "overlay",
                read_only: false,
                nosuid: plain_files_only,
                nodev: plain_files_only,
                noexec: false,
                options: &format!(
                    "lowerdir={},upperdir={},workdir={}",
                    target.display(),
                    upper.display(),
                    work.display()
                ),
            },
        )
    }

    fn detach(self) -> Result<(), Failure> {
        self.platform
            .detach_mount(&self.at)
            .map_err(failure::path("taking out the mount", &self.at))?;
        self.platform.remove_directory(&self.at).map_err(failure::path("removing", &self.at))
    }
}

fn remove_base(platform: &impl Platform) -> Result<(), Failure> {
    let base = Path::new(LAYERS);
    platform.remove_directory(base).map_err(failure::path("removing", base))
}

fn create(platform: &impl Platform, path: &Path) -> Result<(), Failure> {
    platform.create_directory(path, 0o700).map_err(failure::path("making the directory", path))
}
