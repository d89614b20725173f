//! The QEMU process at the other end of the port: what it was started with.
//!
//! The secure processor measures what the hypervisor loads, not what anybody
//! says was loaded. So the process is found by the socket's peer, and its own
//! command line is read.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::names;
use attestation::measurement::{CpuError, CpuSignature, CpuType, VcpuCount, VcpuCountError};

/// Why a process is no VM that can be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QemuError {
    /// The socket's peer is not known.
    #[error("asking the socket for the process at its other end")]
    Peer(#[source] io::Error),
    /// Its command line cannot be read.
    #[error("reading {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// An option that is measured is not there.
    #[error("QEMU runs without {0}, which is measured")]
    Missing(&'static str),
    /// A value that is none.
    #[error("QEMU's -smp {value}")]
    Vcpus {
        /// As on the command line.
        value: String,
        /// What is wrong with it.
        source: VcpuCountError,
    },
    /// A processor type whose signature is not known.
    #[error("QEMU's -cpu {value}")]
    Cpu {
        /// As on the command line.
        value: String,
        /// What is wrong with it.
        source: CpuError,
    },
}

/// The arguments that give QEMU the port, at the other end of a socket.
#[must_use]
pub fn port_arguments(socket: &str) -> [String; 6] {
    let socket = socket.replace(',', ",,");
    [
        "-device".to_owned(),
        "virtio-serial-pci,disable-legacy=on,iommu_platform=true".to_owned(),
        "-chardev".to_owned(),
        format!("socket,id=simulator,path={socket}"),
        "-device".to_owned(),
        format!("virtserialport,chardev=simulator,name={}", names::PORT),
    ]
}

/// What of a running QEMU is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// The kernel's file.
    pub kernel: PathBuf,
    /// The initramfs.
    pub initrd: PathBuf,
    /// The kernel's command line.
    pub cmdline: Vec<u8>,
    /// The number of vCPUs.
    pub vcpus: VcpuCount,
    /// The signature of their type.
    pub cpu: CpuSignature,
}

impl Started {
    /// Reads the command line of the process that `connection` leads to.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn of_peer(connection: &UnixStream) -> Result<Self, QemuError> {
        let peer = rustix::net::sockopt::socket_peercred(connection)
            .map_err(|error| QemuError::Peer(error.into()))?;
        let process = PathBuf::from(format!("/proc/{}", peer.pid.as_raw_nonzero()));
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| QemuError::Read { path, source }
        };
        let path = process.join("cmdline");
        let bytes = fs::read(&path).map_err(failed(&path))?;
        let arguments: Vec<OsString> = bytes
            .split(|byte| *byte == 0)
            .map(|argument| OsString::from_vec(argument.to_vec()))
            .collect();
        let path = process.join("cwd");
        let directory = fs::read_link(&path).map_err(failed(&path))?;
        Self::parse(&arguments, &directory)
    }

    /// Reads a command line. Of an option that is given several times the last
    /// one counts, as for QEMU.
    ///
    /// `-cpu` is one of QEMU's models, or what `ravelin launch --simulate` gives:
    /// a list with the `family`, `model` and `stepping` of one, because QEMU's
    /// processor emulation boots no EPYC model.
    ///
    /// # Errors
    /// [`QemuError`].
    pub fn parse(arguments: &[OsString], directory: &Path) -> Result<Self, QemuError> {
        let value = |name: &'static str| -> Option<&OsStr> {
            let mut options = arguments.iter().zip(arguments.iter().skip(1));
            let same = |option: &OsStr| {
                let option = option.as_bytes();
                let option = option.strip_prefix(b"--").or(option.strip_prefix(b"-"));
                option == Some(name.as_bytes())
            };
            options.rfind(|(option, _)| same(option)).map(|(_, value)| value.as_os_str())
        };
        let required = |name, shown| value(name).ok_or(QemuError::Missing(shown));
        let cpu = required("cpu", "-cpu")?.to_string_lossy().into_owned();
        let smp = value("smp").map_or_else(|| "1".to_owned(), |smp| smp.to_string_lossy().into());
        Ok(Self {
            kernel: directory.join(required("kernel", "-kernel")?),
            initrd: directory.join(required("initrd", "-initrd")?),
            cmdline: required("append", "-append")?.as_bytes().to_vec(),
            vcpus: vcpus(&smp).map_err(|source| QemuError::Vcpus { value: smp, source })?,
            cpu: signature(&cpu).map_err(|source| QemuError::Cpu { value: cpu, source })?,
        })
    }
}

/// `N`, `cpus=N`, and what may follow.
fn vcpus(smp: &str) -> Result<VcpuCount, VcpuCountError> {
    let first = smp.split(',').next().unwrap_or_default();
    first.strip_prefix("cpus=").unwrap_or(first).parse()
}

fn signature(cpu: &str) -> Result<CpuSignature, CpuError> {
    let number = |key: &str| {
        cpu.split(',')
            .filter_map(|part| part.split_once('='))
            .find(|(k, _)| *k == key)?
            .1
            .parse()
            .ok()
    };
    match (number("family"), number("model"), number("stepping")) {
        (Some(family), Some(model), Some(stepping)) => {
            CpuSignature::from_family(family, model, stepping)
        }
        _ => cpu.parse::<CpuType>().map(|cpu| cpu.signature()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Started, String> {
        let arguments: Vec<OsString> = line.iter().map(OsString::from).collect();
        Started::parse(&arguments, Path::new("/srv")).map_err(|error| error.to_string())
    }

    const GOOD: [&str; 11] = [
        "qemu",
        "-cpu",
        "EPYC-Milan",
        "-smp",
        "4",
        "-kernel",
        "vmlinuz",
        "-initrd",
        "/i.cpio",
        "-append",
        "console=ttyS0 rdinit=/ravelin-sim",
    ];

    #[test]
    fn what_is_measured_is_read() {
        let started = parse(&GOOD).unwrap();
        assert_eq!(started.kernel, Path::new("/srv/vmlinuz"));
        assert_eq!(started.initrd, Path::new("/i.cpio"));
        assert_eq!(started.cmdline, b"console=ttyS0 rdinit=/ravelin-sim");
        assert_eq!(started.vcpus.get(), 4);
        assert_eq!(started.cpu.family_model_stepping(), (25, 1, 1));
    }

    #[test]
    fn the_last_one_counts_and_other_forms_are_known() {
        let more = ["--smp", "cpus=2,sockets=1", "-cpu", "max,family=23,model=1,stepping=2"];
        let started = parse(&[&GOOD[..], &more].concat()).unwrap();
        assert_eq!(started.vcpus.get(), 2);
        assert_eq!(started.cpu.family_model_stepping(), (23, 1, 2));
    }

    #[test]
    fn what_is_missing_or_unknown_is_an_error() {
        assert_eq!(
            parse(&["qemu", "-cpu", "EPYC"]).unwrap_err(),
            "QEMU runs without -kernel, which is measured"
        );
        for (option, value) in [("-cpu", "max"), ("-smp", "0"), ("-smp", "x"), ("-cpu", "host")] {
            let error = parse(&[&GOOD[..], &[option, value]].concat()).unwrap_err();
            assert_eq!(error, format!("QEMU's {option} {value}"));
        }
    }
}
