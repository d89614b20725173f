//! `cargo xtask setup`: everything that building, the demo and the tests need.
//!
//! Packages that a tool has to be installed from come from this machine's own
//! Debian (and its backports); what can be unpacked instead goes to the cache.
//! Once all is there it says so in one line.

mod apt;
mod cached;
mod debian_root;
mod firmware;
mod kernel;
mod kernel_source;
mod libvirt;
mod mmdebstrap;
mod oracle;
mod other_inits;
mod packages;
mod tools;

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use self::apt::{Apt, Machine};
pub(crate) use self::cached::{is_current, replace};
pub(crate) use self::kernel_source::Source;
use self::packages::{KERNEL_PACKAGES, Missing};
use crate::project::Project;

#[derive(clap::Args, Default)]
pub(crate) struct Arguments {
    /// Look for newer packages and make everything in the cache again
    #[arg(long)]
    refresh: bool,
}

/// What set-up has prepared, for the programs that the other chores start.
pub(crate) struct Prepared {
    /// A directory with `boot/vmlinuz-VERSION` and `lib/modules/VERSION`.
    pub(crate) kernel: PathBuf,
    /// `uname -r` of it.
    pub(crate) kernel_version: String,
    /// The Debian root.
    pub(crate) root_tar: PathBuf,
    /// The private key that the Debian root lets in.
    pub(crate) ssh_key: PathBuf,
    /// A firmware that measures the kernel.
    pub(crate) firmware: PathBuf,
    tools: PathBuf,
    libvirt: PathBuf,
    oracle: PathBuf,
}

impl Prepared {
    /// Tells a program where the file-system tools are.
    pub(crate) fn export_tools(&self, command: &mut Command) {
        for (variable, tool) in tools::EXPORTED {
            command.env(variable, self.tools.join(tool));
        }
        // The tools' companions, such as fsck.erofs, before the machine's own;
        // last, where Debian keeps veritysetup and sfdisk, and a user's PATH may not.
        let path = env::var_os("PATH").unwrap_or_default();
        let mut directories = vec![self.tools.clone()];
        directories.extend(env::split_paths(&path));
        for directory in ["/usr/sbin", "/sbin"] {
            if !directories.iter().any(|known| known.as_os_str() == directory) {
                directories.push(directory.into());
            }
        }
        if let Ok(path) = env::join_paths(directories) {
            command.env("PATH", path);
        }
    }

    /// Tells the tests what to boot.
    pub(crate) fn export(&self, command: &mut Command) {
        self.export_tools(command);
        command
            .env("RAVELIN_TEST_KERNEL", &self.kernel)
            .env("RAVELIN_TEST_ROOT", &self.root_tar)
            .env("RAVELIN_TEST_SSH_KEY", &self.ssh_key)
            .env(firmware::EXPORTED, &self.firmware)
            .env(libvirt::EXPORTED, &self.libvirt)
            .env(oracle::EXPORTED, &self.oracle);
    }
}

pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    ensure_all(project, arguments).map(drop)
}

/// Makes sure that all is there; called by the chores that need it.
pub(crate) fn ensure(project: &Project) -> Result<Prepared> {
    ensure_all(project, &Arguments::default())
}

fn ensure_all(project: &Project, arguments: &Arguments) -> Result<Prepared> {
    ensure!(
        cfg!(all(target_arch = "x86_64", target_os = "linux")),
        "Ravelin is for x86-64 Linux: build it there"
    );
    let cache = &project.cache;
    let _lock = lock(cache)?;
    let missing = Missing::look();
    let current = !arguments.refresh
        && missing.nothing()
        && kernel::is_current(cache)
        && tools::is_current(cache)
        && firmware::is_current(cache)
        && libvirt::is_current(cache)
        && oracle::is_current(cache)
        && debian_root::is_current(cache);
    if !current {
        prepare(project, &missing, arguments.refresh)?;
    }
    let prepared = Prepared {
        kernel: kernel::directory(cache),
        kernel_version: kernel::version(cache)?,
        root_tar: debian_root::tar(cache),
        ssh_key: debian_root::ssh_key(cache),
        firmware: firmware::image(cache),
        tools: tools::directory(cache),
        libvirt: libvirt::share(cache),
        oracle: oracle::program(cache),
    };
    println!(
        "setup: everything is there (kernel {}, cache {})",
        prepared.kernel_version,
        cache.display()
    );
    Ok(prepared)
}

/// One set-up at a time; a second one finds everything done.
fn lock(cache: &Path) -> Result<File> {
    fs::create_dir_all(cache).with_context(|| format!("create {}", cache.display()))?;
    let lock = File::create(cache.join("lock")).context("create the cache's lock")?;
    lock.lock().context("wait for another set-up to finish")?;
    Ok(lock)
}

/// What `cargo xtask kernel` needs: Debian's kernel source, in the cache, and the
/// programs that build it. The newest source only with `refresh`.
pub(crate) fn kernel_source(project: &Project, refresh: bool) -> Result<Source> {
    let cache = &project.cache;
    let _lock = lock(cache)?;
    let missing = Missing::of(KERNEL_PACKAGES);
    let found = Source::find(cache).filter(|_| !refresh);
    if let Some(source) = found.filter(|_| missing.nothing()) {
        return Ok(source);
    }
    let machine = Machine::read()?;
    let apt = machine_apt(cache, &machine)?;
    missing.install(&apt, &machine, &cache.join("apt/install.log"))?;
    Source::fetch(cache, &apt)
}

/// What `cargo xtask bench inits` needs: the initramfs of others, in the cache.
pub(crate) fn other_inits(project: &Project, prepared: &Prepared) -> Result<PathBuf> {
    let _lock = lock(&project.cache)?;
    other_inits::ensure(&project.cache, &prepared.kernel, &prepared.kernel_version)
}

fn machine_apt(cache: &Path, machine: &Machine) -> Result<Apt> {
    let mut sources = machine.release_sources();
    sources.extend(machine.backports().map(|suite| machine.suite(&suite)));
    Apt::new(cache.join("apt/machine"), &sources)
}

fn prepare(project: &Project, missing: &Missing, refresh: bool) -> Result<()> {
    let started = Instant::now();
    let cache = &project.cache;
    let machine = Machine::read()?;

    let apt = machine_apt(cache, &machine)?;
    missing.install(&apt, &machine, &cache.join("apt/install.log"))?;

    if refresh || !kernel::is_current(cache) {
        kernel::make(cache, &apt)?;
    }
    let newer = Apt::new(cache.join("apt/tools"), &[machine.suite(tools::SUITE)])?;
    if refresh || !tools::is_current(cache) {
        tools::make(cache, &newer)?;
    }
    if refresh || !libvirt::is_current(cache) {
        libvirt::make(cache, &newer)?;
    }
    if refresh || !firmware::is_current(cache) {
        firmware::make(cache, |suite| {
            Apt::new(cache.join("apt").join(suite), &[machine.suite(suite)])
        })?;
    }
    if refresh || !oracle::is_current(cache) {
        oracle::make(cache)?;
    }
    if refresh || !debian_root::is_current(cache) {
        debian_root::make(cache, &machine)?;
    }
    println!("setup: done in {} s", started.elapsed().as_secs());
    Ok(())
}
