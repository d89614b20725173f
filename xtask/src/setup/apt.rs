//! A private apt: its own sources, lists and downloads, in the cache.
//!
//! The machine's own apt configuration is only read: which repositories it
//! uses (so that a local mirror is used too), its proxies and its keyring.
//! Everything is checked by apt against the Debian archive keyring.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The machine's Debian and where it gets its packages.
pub(crate) struct Machine {
    /// `bookworm`, `trixie`, …
    pub(crate) release: String,
    main: String,
    updates: Option<String>,
    security: Option<String>,
}

impl Machine {
    /// Reads `/etc/os-release` and apt's own list of repositories.
    pub(crate) fn read() -> Result<Self> {
        let release = debian_release(&fs::read_to_string("/etc/os-release").unwrap_or_default())
            .context(
                "set-up knows Debian 12 and later; elsewhere, install what docs/ names by hand",
            )?;
        let targets = command::stdout(Command::new("apt-get").args([
            "indextargets",
            // Else it tells of lists that were fetched, on a new machine none.
            "--no-release-info",
            "--format",
            "$(REPO_URI) $(RELEASE) $(COMPONENT)",
            "Created-By: Packages",
        ]))?;
        let main = repository(&targets, &release).with_context(|| {
            format!("no source in /etc/apt has {release} main; add one for Debian's archive")
        })?;
        Ok(Self {
            updates: repository(&targets, &format!("{release}-updates")),
            security: repository(&targets, &format!("{release}-security")),
            main,
            release,
        })
    }

    /// What `release` itself consists of, as `sources.list` lines.
    pub(crate) fn release_sources(&self) -> Vec<String> {
        let mut sources = vec![source(&self.main, &self.release)];
        sources.extend(
            self.updates.iter().map(|uri| source(uri, &format!("{}-updates", self.release))),
        );
        sources.extend(
            self.security.iter().map(|uri| source(uri, &format!("{}-security", self.release))),
        );
        sources
    }

    /// The suite with a QEMU and a kernel new enough for SEV-SNP, where the
    /// release itself is too old.
    pub(crate) fn backports(&self) -> Option<String> {
        (self.release == "bookworm").then(|| "bookworm-backports".to_owned())
    }

    /// Another suite of the same repository.
    pub(crate) fn suite(&self, suite: &str) -> String {
        source(&self.main, suite)
    }
}

/// An apt that sees only the given sources.
pub(crate) struct Apt {
    directory: PathBuf,
    updated: Cell<bool>,
}

impl Apt {
    /// Writes the configuration below `directory`; fetches nothing yet.
    pub(crate) fn new(directory: PathBuf, sources: &[String]) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).with_context(|| format!("create {}", path.display()))?;
        }
        let mut text = sources.join("\n");
        text.push('\n');
        fs::write(directory.join("sources.list"), text).context("write sources.list")?;
        fs::write(directory.join("status"), "").context("write an empty dpkg status")?;
        Ok(Self { directory, updated: Cell::new(false) })
    }

    /// Installs packages on this machine, from `suite` if one is given.
    pub(crate) fn install(&self, packages: &[&str], suite: Option<&str>, log: &Path) -> Result<()> {
        self.update()?;
        let mut apt = command::as_root("env")?;
        apt.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
        self.configure(&mut apt, Installed::ThisMachine);
        apt.args(["-o", "DPkg::Lock::Timeout=300", "-q", "-y", "--no-install-recommends"]);
        if let Some(suite) = suite {
            apt.args(["-t", suite]);
        }
        command::logged(apt.arg("install").args(packages), log)
    }

    /// The names of packages that match a regular expression.
    pub(crate) fn names(&self, expression: &str) -> Result<Vec<String>> {
        self.update()?;
        let mut apt = Command::new("apt-cache");
        self.configure(&mut apt, Installed::Nothing);
        let found = command::stdout(apt.args(["search", "--names-only", expression]))?;
        Ok(found.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }

    /// Downloads and unpacks packages into `into`, without installing them.
    pub(crate) fn unpack(
        &self,
        packages: &[&str],
        dependencies: Dependencies,
        into: &Path,
    ) -> Result<()> {
        self.update()?;
        let archives = self.directory.join("cache/archives");
        remove_packages(&archives)?;
        let log = self.directory.join("download.log");
        let mut apt = Command::new("apt-get");
        self.configure(&mut apt, Installed::Nothing);
        match dependencies {
            Dependencies::All => {
                apt.args(["-q", "-y", "--no-install-recommends", "--download-only", "install"]);
            }
            Dependencies::None => {
                apt.args(["-q", "download"]).current_dir(&archives);
            }
        }
        command::logged(apt.args(packages), &log)?;
        for package in packages_in(&archives)? {
            command::run(Command::new("dpkg-deb").arg("-x").arg(&package).arg(into))?;
        }
        remove_packages(&archives)
    }

    fn update(&self) -> Result<()> {
        if self.updated.replace(true) {
            return Ok(());
        }
        println!("setup: reading Debian's package lists, into the cache");
        let mut apt = Command::new("apt-get");
        self.configure(&mut apt, Installed::Nothing);
        command::logged(
            apt.args(["-q", "update", "--error-on=any"]),
            &self.directory.join("update.log"),
        )
    }

    /// `-o` comes last in apt's order, so nothing on the machine overrides it.
    fn configure(&self, apt: &mut Command, installed: Installed) {
        let path = |name: &str| self.directory.join(name).display().to_string();
        let mut options = vec![
            ("Dir::Etc::sourcelist", path("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".to_owned()),
            ("Dir::Etc::preferences", "/dev/null".to_owned()),
            ("Dir::Etc::preferencesparts", "/dev/null".to_owned()),
            ("Dir::State::lists", path("lists")),
            ("Dir::Cache", path("cache")),
            ("Acquire::Languages", "none".to_owned()),
            ("Acquire::Retries", "3".to_owned()),
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".to_owned()),
            // The cache is in the user's home, where apt's own user may not look.
            ("APT::Sandbox::User", "root".to_owned()),
            ("Dpkg::Use-Pty", "0".to_owned()),
        ];
        if installed == Installed::Nothing {
            options.push(("Dir::State::status", path("status")));
            // Nothing is installed, so dpkg's lock is not needed, nor root.
            options.push(("Debug::NoLocking", "true".to_owned()));
        }
        for (name, value) in options {
            apt.arg("-o").arg(format!("{name}={value}"));
        }
    }
}

/// What apt believes to be installed already.
#[derive(Clone, Copy, PartialEq)]
enum Installed {
    /// What is installed: for installing on this machine.
    ThisMachine,
    /// Nothing: a download brings every dependency, down to the C library.
    Nothing,
}

/// Whether a download brings what the packages depend on.
#[derive(Clone, Copy)]
pub(crate) enum Dependencies {
    All,
    None,
}

fn source(uri: &str, suite: &str) -> String {
    format!("deb [signed-by={KEYRING}] {uri} {suite} main")
}

fn repository(targets: &str, release: &str) -> Option<String> {
    targets.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let uri = words.next()?;
        (words.next()? == release && words.next()? == "main").then(|| uri.to_owned())
    })
}

fn debian_release(os_release: &str) -> Option<String> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"').to_owned())
    };
    let version: u32 = value("VERSION_ID")?.parse().ok()?;
    (value("ID")? == "debian" && version >= 12).then(|| value("VERSION_CODENAME"))?
}

fn packages_in(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut packages = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("read {}", directory.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "deb") {
            packages.push(path);
        }
    }
    Ok(packages)
}

fn remove_packages(directory: &Path) -> Result<()> {
    for package in packages_in(directory)? {
        if let Err(error) = fs::remove_file(&package) {
            bail!("remove {}: {error}", package.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_debian_12_and_later_is_known() {
        let debian = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";
        assert_eq!(debian_release(debian).as_deref(), Some("bookworm"));
        assert_eq!(debian_release(&debian.replace("12", "11")), None);
        assert_eq!(debian_release(&debian.replace("=debian", "=ubuntu")), None);
        assert_eq!(debian_release(""), None);
    }

    #[test]
    fn a_repository_is_found_by_suite_and_component() {
        let targets = "mirror:/a x contrib\nmirror:/b x main\nmirror:/c x-updates main\n";
        assert_eq!(repository(targets, "x").as_deref(), Some("mirror:/b"));
        assert_eq!(repository(targets, "x-updates").as_deref(), Some("mirror:/c"));
        assert_eq!(repository(targets, "y"), None);
    }
}
