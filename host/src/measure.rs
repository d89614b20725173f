//! What is measured of a VM: the one way from a description to the inputs of
//! the launch digest.
//!
//! `measure`, `explain`, `id-block`, `report verify` and `attest` all come
//! here, and [`crate::qemu`] starts the VM from the same description, so that
//! what is expected cannot drift from what is launched: the files are those
//! that QEMU is given, the command line is its `-append` byte for byte, and
//! `kernel-hashes` is on.
//!
//! The files are the owner's. They are read once, in constant memory but for
//! the firmware, which is bounded.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use attestation::measurement::explain::{Boot, Description, Named};
use attestation::measurement::{
    Combination, CpuError, CpuType, DirectBoot, Firmware, FirmwareError, GuestFeatures,
    KernelHashes, Launch, LaunchDigest, MAX_IMAGE, Manifest, ManifestError, MeasureError,
    PrepareError, Sha256Digest, VcpuCount, VcpuCountError, VmmKind, prepare,
};
use attestation::policy::SnpguardConfig;

use crate::attest::digests::Digests;
use crate::vm::{VmError, VmFile};

/// The vCPU type of every VM that SNPGuard starts and measures.
const SNPGUARD_CPU: &str = "EPYC-v4";

/// Why a VM cannot be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GuestError {
    /// The description lacks something.
    #[error(transparent)]
    Vm(#[from] VmError),
    /// A file cannot be opened or read.
    #[error("the {what} {}: cannot be read", .path.display())]
    Open {
        /// `firmware`, `kernel` or `initrd`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A file cannot be read, or is no firmware.
    #[error("the {what} {}: cannot be measured", .path.display())]
    Read {
        /// `firmware`, `kernel`, `initrd` or `command line`.
        what: &'static str,
        /// The file; for the command line the description.
        path: PathBuf,
        /// Why.
        source: PrepareError,
    },
    /// The firmware whose digest was given has broken tables.
    #[error("the firmware {}: its tables cannot be read", .path.display())]
    Tables {
        /// The file.
        path: PathBuf,
        /// Why.
        source: FirmwareError,
    },
    /// The firmware has no place for the kernel's hashes.
    #[error("the firmware {} cannot start this VM", .path.display())]
    Firmware {
        /// The file.
        path: PathBuf,
        /// Why, and which firmware can.
        source: MeasureError,
    },
    /// The combinations make no manifest.
    #[error("the combinations cannot be measured")]
    Manifest {
        /// Why.
        source: ManifestError,
    },
    /// The vCPU type is none that is known.
    #[error("{}: `cpu` cannot be measured", .path.display())]
    Cpu {
        /// The description.
        path: PathBuf,
        /// Why.
        source: CpuError,
    },
    /// The number of vCPUs is zero.
    #[error("{}: the number of vCPUs cannot be measured", .path.display())]
    Vcpus {
        /// The description.
        path: PathBuf,
        /// Why.
        source: VcpuCountError,
    },
}

/// What the caller says instead of the description.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// Another firmware.
    pub firmware: Option<PathBuf>,
    /// The digest of the firmware's pages, computed elsewhere. Of the file only
    /// the tables are read then.
    pub firmware_hash: Option<LaunchDigest>,
    /// Nothing but the firmware is measured: what it boots is not known.
    pub firmware_only: bool,
    /// Which hypervisor starts the VM.
    pub vmm: VmmKind,
    /// Another number of vCPUs.
    pub vcpus: Option<VcpuCount>,
    /// Another vCPU type.
    pub cpu: Option<CpuType>,
    /// Other guest features.
    pub features: Option<GuestFeatures>,
    /// Where digests of kernel and initramfs are remembered; nowhere: the files
    /// are read every time.
    pub digests: Option<Digests>,
}

/// A VM with its files hashed: everything that the launch digest depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guest {
    /// The firmware, named by its path.
    pub firmware: Named<Firmware>,
    /// What it boots; nothing if the firmware alone is measured.
    pub boot: Option<Boot>,
    /// The hashes of what it boots, as the firmware gets them.
    pub hashes: Option<KernelHashes>,
    /// The hypervisor.
    pub vmm: VmmKind,
    /// How many vCPUs.
    pub vcpus: VcpuCount,
    /// Of which type.
    pub cpu: CpuType,
    /// With which guest features.
    pub features: GuestFeatures,
}

/// The launch digest of the VM that `ravelin launch` starts from this file.
///
/// # Errors
/// If the description is incomplete, a file cannot be read, or the firmware
/// does not measure a kernel.
pub fn vm(file: &VmFile) -> Result<LaunchDigest, GuestError> {
    Guest::of(file, &Overrides::default())?.digest()
}

impl Guest {
    /// Reads and hashes the files of a VM.
    ///
    /// # Errors
    /// As [`vm`], but for the firmware without a place for hashes, which
    /// [`Guest::launch`] refuses.
    pub fn of(file: &VmFile, overrides: &Overrides) -> Result<Self, GuestError> {
        let described = file.vm();
        let path = || file.path().to_owned();
        let cpu = match overrides.cpu {
            Some(cpu) => cpu,
            None => described
                .cpu
                .name()
                .parse()
                .map_err(|source| GuestError::Cpu { path: path(), source })?,
        };
        let vcpus = match overrides.vcpus {
            Some(vcpus) => vcpus,
            None => VcpuCount::try_from(u32::from(described.vcpus.count()))
                .map_err(|source| GuestError::Vcpus { path: path(), source })?,
        };
        let firmware = match &overrides.firmware {
            Some(firmware) => firmware.clone(),
            None => file.firmware()?,
        };
        let files = if overrides.firmware_only {
            None
        } else {
            Some(Files {
                kernel: file.kernel()?,
                initrd: file.initrd()?,
                cmdline: file.cmdline()?.as_str().as_bytes().to_vec(),
            })
        };
        let (firmware, boot, hashes) = hash(
            file.path(),
            &firmware,
            overrides.firmware_hash,
            files,
            overrides.digests.as_ref(),
        )?;
        let features = overrides.features.unwrap_or(described.sev.guest_features);
        Ok(Self { firmware, boot, hashes, vmm: overrides.vmm, vcpus, cpu, features })
    }

    /// Reads and hashes the files that SNPGuard's `vm-config.toml` names;
    /// `path` is that file, and relative names start at its directory. The
    /// command line is measured as it stands there: QEMU gets it so.
    ///
    /// # Errors
    /// As [`Guest::of`].
    pub fn of_snpguard(config: &SnpguardConfig, path: &Path) -> Result<Self, GuestError> {
        let own = || path.to_owned();
        let cpu = SNPGUARD_CPU.parse().map_err(|source| GuestError::Cpu { path: own(), source })?;
        let vcpus = VcpuCount::try_from(config.vcpu_count)
            .map_err(|source| GuestError::Vcpus { path: own(), source })?;
        let directory = path.parent().unwrap_or(Path::new(""));
        let files = Files {
            kernel: directory.join(&config.kernel_file),
            initrd: directory.join(&config.initrd_file),
            cmdline: config.kernel_cmdline.as_bytes().to_vec(),
        };
        let firmware = directory.join(&config.ovmf_file);
        let (firmware, boot, hashes) = hash(path, &firmware, None, Some(files), None)?;
        let features = GuestFeatures::new(config.guest_features);
        Ok(Self { firmware, boot, hashes, vmm: VmmKind::Qemu, vcpus, cpu, features })
    }

    /// The VM measured up to its vCPUs.
    ///
    /// # Errors
    /// If there is a kernel and the firmware would not check it.
    pub fn launch(&self) -> Result<Launch, GuestError> {
        Launch::new(&self.firmware.value, self.hashes.as_ref(), self.vmm)
            .map_err(|source| self.no_place(source))
    }

    /// The launch digest.
    ///
    /// # Errors
    /// As [`Guest::launch`].
    pub fn digest(&self) -> Result<LaunchDigest, GuestError> {
        Ok(self.launch()?.digest(self.vcpus, self.cpu.signature(), self.features))
    }

    /// The launch digests of all these combinations, as a manifest.
    ///
    /// # Errors
    /// As [`Guest::launch`], and if there are no combinations, too many, or
    /// one of them twice.
    pub fn manifest(&self, combinations: &[Combination]) -> Result<Manifest, GuestError> {
        Manifest::compute(&self.firmware.value, self.hashes.as_ref(), self.vmm, combinations)
            .map_err(|error| {
                if let ManifestError::Measure(source) = error {
                    self.no_place(source)
                } else {
                    GuestError::Manifest { source: error }
                }
            })
    }

    fn no_place(&self, source: MeasureError) -> GuestError {
        GuestError::Firmware { path: self.firmware.name.clone().into(), source }
    }

    /// The VM as [`attestation::measurement::explain`] takes it.
    #[must_use]
    pub fn description(&self) -> Description {
        Description {
            firmware: self.firmware.clone(),
            boot: self.boot.clone(),
            vmm: self.vmm,
            vcpus: self.vcpus,
            cpu: self.cpu,
            features: self.features,
        }
    }
}

/// What a direct boot loads, before it is read.
struct Files {
    kernel: PathBuf,
    initrd: PathBuf,
    cmdline: Vec<u8>,
}

/// Reads a firmware by itself.
///
/// # Errors
/// If it cannot be read or is none.
pub fn firmware(path: &Path) -> Result<Named<Firmware>, GuestError> {
    let read = Firmware::read(open("firmware", path)?).map_err(|source| GuestError::Read {
        what: "firmware",
        path: path.to_owned(),
        source: source.into(),
    })?;
    Ok(Named::new(path.display().to_string(), read))
}

/// The digest of a kernel or an initrd.
///
/// # Errors
/// If it cannot be read.
pub fn file(what: &'static str, path: &Path) -> Result<Named<Sha256Digest>, GuestError> {
    file_digest(what, path, None)
}

fn file_digest(
    what: &'static str,
    path: &Path,
    digests: Option<&Digests>,
) -> Result<Named<Sha256Digest>, GuestError> {
    let file = open(what, path)?;
    let digest = match digests {
        Some(digests) => digests.of(path, file, |file| Sha256Digest::of_reader(file)),
        None => Sha256Digest::of_reader(file),
    };
    let digest =
        digest.map_err(|source| GuestError::Open { what, path: path.to_owned(), source })?;
    Ok(Named::new(path.display().to_string(), digest))
}

type Hashed = (Named<Firmware>, Option<Boot>, Option<KernelHashes>);

/// `described` is where the command line was found. With `pages`, the firmware's
/// own pages are not hashed, and its end is enough.
fn hash(
    described: &Path,
    firmware: &Path,
    pages: Option<LaunchDigest>,
    files: Option<Files>,
    digests: Option<&Digests>,
) -> Result<Hashed, GuestError> {
    let given = pages.map(|pages| with_digest(firmware, pages)).transpose()?;
    let Some(Files { kernel, initrd, cmdline }) = files else {
        let read = match given {
            Some(read) => Named::new(firmware.display().to_string(), read),
            None => self::firmware(firmware)?,
        };
        return Ok((read, None, None));
    };
    let read = |path: &Path, what, source| GuestError::Read { what, path: path.to_owned(), source };
    let (read, hashes) = if given.is_some() || digests.is_some() {
        let given = match given {
            Some(given) => given,
            None => self::firmware(firmware)?.value,
        };
        let line = Sha256Digest::of_command_line(&cmdline)
            .map_err(|source| read(described, "command line", source.into()))?;
        let kernel = file_digest("kernel", &kernel, digests)?.value;
        let initrd = file_digest("initrd", &initrd, digests)?.value;
        (given, Some(KernelHashes { kernel, initrd, cmdline: line }))
    } else {
        let image = open("firmware", firmware)?;
        let boot = DirectBoot {
            kernel: &mut open("kernel", &kernel)?,
            initrd: Some(&mut open("initrd", &initrd)?),
            cmdline: &cmdline,
        };
        prepare(image, Some(boot)).map_err(|source| {
            if matches!(source, PrepareError::Kernel { .. }) {
                read(&kernel, "kernel", source)
            } else if matches!(source, PrepareError::Initrd { .. }) {
                read(&initrd, "initrd", source)
            } else if matches!(source, PrepareError::CommandLine(_)) {
                read(described, "command line", source)
            } else {
                read(firmware, "firmware", source)
            }
        })?
    };
    let boot = hashes.map(|hashes| Boot {
        kernel: Named::new(kernel.display().to_string(), hashes.kernel),
        initrd: Named::new(initrd.display().to_string(), hashes.initrd),
        cmdline,
    });
    Ok((Named::new(firmware.display().to_string(), read), boot, hashes))
}

/// The tables of the file under the digest of pages hashed elsewhere.
fn with_digest(path: &Path, pages: LaunchDigest) -> Result<Firmware, GuestError> {
    let mut image = Vec::new();
    let limit = u64::try_from(MAX_IMAGE).unwrap_or(u64::MAX);
    open("firmware", path)?
        .take(limit)
        .read_to_end(&mut image)
        .map_err(|source| GuestError::Open { what: "firmware", path: path.to_owned(), source })?;
    Firmware::with_digest(&image, pages)
        .map_err(|source| GuestError::Tables { path: path.to_owned(), source })
}

fn open(what: &'static str, path: &Path) -> Result<File, GuestError> {
    File::open(path).map_err(|source| GuestError::Open { what, path: path.to_owned(), source })
}
