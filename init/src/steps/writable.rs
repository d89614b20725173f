//! The writable layer: overlays whose upper side is a tmpfs of limited size, or an
//! ephemeral volume.
//!
//! Nothing is copied at boot, and nothing is written in clear to a disk. The upper
//! mounts are taken out of the tree once the overlays hold them, so that nobody
//! in the real system can reach under an overlay.

use std::fmt;
use std::path::Path;

use protocol::config::{Writable, WritableDirectory};
use protocol::layout;
use protocol::receipt::{Event, Receipt, short};
use protocol::units::MemorySize;
use rustix::io::Errno;

use super::kind;
use super::volumes::UpperLayer;
use super::{file_system, in_root, mounts};
use crate::boot::log;
use crate::failure::{self, Failure};
use crate::platform::{Level, Mount, Platform};

/// Directories in which programs of the system neither have set-user-ID bits
/// nor device nodes. Others (`/var`, where people unpack roots) may.
const PLAIN_FILES_ONLY: [&str; 5] = ["/etc", "/home", "/root", "/srv", "/tmp"];

/// Where the tmpfs mounts are while the overlays are made.
const LAYERS: &str = "/run/ravelin-layers";

/// Where the volume that takes the writes is mounted, while the overlays are made.
pub const VOLUME_LAYER: &str = "/run/ravelin-layers/volume";

/// What was added.
#[derive(Debug, Default)]
pub struct Layer {
    /// Where writes go.
    onto: String,
    /// What is written to.
    directories: Vec<String>,
}

impl Layer {
    fn new(onto: impl ToString, directories: Vec<String>) -> Self {
        Self { onto: onto.to_string(), directories }
    }

    /// Adds it to the receipt.
    pub fn record(&self, writable: &Writable, receipt: &mut Receipt) {
        receipt.push(&Event::Writable {
            mode: writable.mode().to_string(),
            onto: self.onto.clone(),
            directories: short(&self.directories.join(" ")),
        });
    }
}

/// What the log says of it.
impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.directories.as_slice() {
            [] => f.write_str("nothing is writable"),
            directories => write!(f, "{}, to {}", directories.join(" "), self.onto),
        }
    }
}

/// Adds the layer. With `upper`, the writes go to that volume instead of memory.
///
/// # Errors
/// If a directory that was asked for is not one, or a mount fails.
pub fn add(
    platform: &impl Platform,
    writable: &Writable,
    upper: Option<&UpperLayer<'_>>,
) -> Result<Layer, Failure> {
    let backing = |size: MemorySize| upper.map_or(Backing::Memory(size), Backing::Volume);
    let all = || vec!["/".to_owned()];
    match writable {
        Writable::Disk => Ok(Layer::new("disk of the root", all())),
        Writable::Nothing => Ok(Layer::default()),
        Writable::Root { size } => {
            let root = Path::new(layout::SYSROOT);
            let layers = Layers::mount(platform, "root", backing(*size))?;
            layers.overlay(root, "root", false)?;
            layers.detach()?;
            remove_base(platform)?;
            Ok(Layer::new(backing(*size), all()))
        }
        Writable::Directories { list, explicit, size } => {
            let present = present(platform, list, *explicit)?;
            let shared = Layers::mount(platform, "shared", backing(*size))?;
            for directory in &present {
                let name = layer_name(directory);
                match directory.size {
                    None => overlay_directory(&shared, directory, &name)?,
                    Some(own) => {
                        let layers = Layers::mount(platform, &name, Backing::Memory(own))?;
                        overlay_directory(&layers, directory, &name)?;
                        layers.detach()?;
                    }
                }
            }
            shared.detach()?;
            remove_base(platform)?;
            let directories = present.iter().map(ToString::to_string).collect();
            Ok(Layer::new(backing(*size), directories))
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
        if in_root::is_directory(platform, &directory.path)? {
            present.push(directory);
        } else if explicit {
            return Err(in_root::nothing(&directory.path));
        } else {
            let path = directory.path.as_path().display();
            log(platform, Level::Info, &format!("writable: the root has no {path}, left out"));
        }
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

/// Where writes go.
#[derive(Clone, Copy)]
enum Backing<'a> {
    /// Into a tmpfs of that size.
    Memory(MemorySize),
    /// Onto a volume.
    Volume(&'a UpperLayer<'a>),
}

impl fmt::Display for Backing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Backing::Memory(size) => write!(f, "memory up to {size}"),
            Backing::Volume(layer) => write!(f, "volume {}", layer.volume.name),
        }
    }
}

/// One file system with the upper sides of overlays.
struct Layers<'a, P> {
    platform: &'a P,
    at: std::path::PathBuf,
}

impl<'a, P: Platform> Layers<'a, P> {
    fn mount(platform: &'a P, name: &str, backing: Backing<'_>) -> Result<Self, Failure> {
        let base = Path::new(LAYERS);
        if kind(platform, base)?.is_none() {
            create(platform, base)?;
        }
        let at = match backing {
            Backing::Memory(_) => base.join(format!("tmpfs-{name}")),
            Backing::Volume(_) => VOLUME_LAYER.into(),
        };
        create(platform, &at)?;
        match backing {
            Backing::Memory(size) => mount_tmpfs(platform, &at, size)?,
            // Its overlays say whether set-user-ID bits have an effect.
            Backing::Volume(UpperLayer { volume, node }) => {
                file_system::mount_volume(platform, node, volume.fstype, &at, false)?;
            }
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

fn mount_tmpfs(platform: &impl Platform, at: &Path, size: MemorySize) -> Result<(), Failure> {
    let tmpfs = |options: &str| {
        mounts::mount(
            platform,
            &Mount {
                source: "ravelin",
                target: at,
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
            tmpfs(&options)
        }
        mounted => mounted,
    }
}

fn remove_base(platform: &impl Platform) -> Result<(), Failure> {
    let base = Path::new(LAYERS);
    platform.remove_directory(base).map_err(failure::path("removing", base))
}

fn create(platform: &impl Platform, path: &Path) -> Result<(), Failure> {
    platform.create_directory(path, 0o700).map_err(failure::path("making the directory", path))
}
