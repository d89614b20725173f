//! One kernel's `/lib/modules/VERSION`: which modules there are as files, and
//! which are built in.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use protocol::load_order::is_kernel_release;

use super::decompress::{self, Kind};
use super::error::ModuleError;
use super::modinfo::{ModInfo, canonical};

/// Most files and directories below a module directory. (Debian's largest
/// kernel has 5000.)
const MAX_ENTRIES: usize = 100_000;

/// Largest `modules.builtin` and `modules.builtin.modinfo`, in bytes.
const MAX_LIST_BYTES: u64 = 16 << 20;

/// Where the modules are that give algorithms: only these are searched for
/// aliases, because the aliases of the others are of devices.
const ALGORITHM_DIRECTORIES: [&str; 3] = ["kernel/arch", "kernel/crypto", "kernel/lib"];

/// A kernel's modules.
#[derive(Debug)]
pub struct ModuleTree {
    kernel: String,
    /// Canonical name → files.
    files: BTreeMap<String, Vec<Location>>,
    built_in: BTreeSet<String>,
    built_in_aliases: BTreeSet<String>,
    /// Alias → modules that are files, of [`ALGORITHM_DIRECTORIES`]; made when
    /// it is first asked for.
    aliases: OnceCell<BTreeMap<String, BTreeSet<String>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Location {
    /// Below the module directory, without the ending of the compression.
    pub(super) path: String,
    file: PathBuf,
    kind: Kind,
}

impl ModuleTree {
    /// Reads the module directory of one kernel, `…/lib/modules/VERSION`; its
    /// last component is the kernel's release.
    ///
    /// # Errors
    /// When it cannot be read or is not such a directory.
    pub fn open(directory: &Path) -> Result<Self, ModuleError> {
        let failed = |source| ModuleError::Io { path: directory.to_owned(), source };
        let not_a_tree =
            |reason: String| ModuleError::NotATree { path: directory.to_owned(), reason };
        let root = directory.canonicalize().map_err(failed)?;
        let kernel = root
            .file_name()
            .and_then(|name| name.to_str())
            .filter(|name| is_kernel_release(name))
            .ok_or_else(|| not_a_tree("its name is not a kernel release".to_owned()))?
            .to_owned();
        let Some(built_in) = list(&root.join("modules.builtin"))? else {
            return Err(not_a_tree("it has no modules.builtin".to_owned()));
        };
        let built_in = String::from_utf8_lossy(&built_in)
            .lines()
            .filter_map(|line| line.rsplit('/').next()?.strip_suffix(".ko"))
            .map(canonical)
            .collect();
        // Of Linux 5.2 and later; without it, names alone decide.
        let information = list(&root.join("modules.builtin.modinfo"))?.unwrap_or_default();
        let built_in_aliases = String::from_utf8_lossy(&information)
            .split('\0')
            .filter_map(|field| field.split_once(".alias="))
            .map(|(_, alias)| alias.to_owned())
            .collect();
        let files = walk(&root)?;
        Ok(Self { kernel, files, built_in, built_in_aliases, aliases: OnceCell::new() })
    }

    /// Finds the module directory of a kernel in an installed system, an
    /// unpacked package, or any directory with `lib/modules` or
    /// `usr/lib/modules`. Without a `kernel` (release), there must be one only.
    ///
    /// # Errors
    /// When there is none, or several to choose from.
    pub fn find(system: &Path, kernel: Option<&str>) -> Result<Self, ModuleError> {
        let mut places = Vec::new();
        for place in ["lib/modules", "usr/lib/modules"].map(|path| system.join(path)) {
            if place.is_dir() {
                places.push((kernels(&place)?, place));
            }
        }
        // The first with a kernel in it; without any, the first, for the error.
        let with_kernel = places.iter().position(|(found, _)| !found.is_empty());
        let Some((found, modules)) = places.into_iter().nth(with_kernel.unwrap_or(0)) else {
            return Err(ModuleError::NotATree {
                path: system.to_owned(),
                reason: "it has no lib/modules".to_owned(),
            });
        };
        match (kernel, found.as_slice()) {
            (Some(kernel), _) if found.iter().any(|name| name == kernel) => {
                Self::open(&modules.join(kernel))
            }
            (None, [only]) => Self::open(&modules.join(only)),
            _ => {
                let wanted = kernel.map_or_else(
                    || "one kernel alone (choose one)".to_owned(),
                    |kernel| format!("kernel {kernel}"),
                );
                Err(ModuleError::Version { path: modules, wanted, found })
            }
        }
    }

    /// The kernel's release, as `uname -r` prints it.
    #[must_use]
    pub fn kernel(&self) -> &str {
        &self.kernel
    }

    /// Whether a module is built into the kernel.
    #[must_use]
    pub fn is_built_in(&self, module: &str) -> bool {
        self.built_in.contains(&canonical(module))
    }

    /// Whether a module is there as a file.
    #[must_use]
    pub fn has_file(&self, module: &str) -> bool {
        self.files.contains_key(&canonical(module))
    }

    /// Whether something that is built in has this alias or, in a kernel that
    /// does not say, a name that goes with it.
    pub(super) fn is_built_in_alias(&self, alias: &str) -> bool {
        let name = canonical(alias.strip_prefix("crypto-").unwrap_or(alias));
        self.built_in_aliases.contains(alias)
            || self.built_in.contains(&name)
            || self.built_in.contains(&format!("{name}_generic"))
    }

    /// The file of a module.
    pub(super) fn location(&self, module: &str) -> Result<Option<&Location>, ModuleError> {
        let Some(files) = self.files.get(module) else { return Ok(None) };
        // As depmod does by default: what the administrator put into updates/
        // is preferred.
        let is_update = |file: &Location| file.path.starts_with("updates/");
        let updated = files.iter().any(is_update);
        let mut candidates = files.iter().filter(|file| is_update(file) == updated);
        match (candidates.next(), candidates.next()) {
            (Some(a), Some(b)) => Err(ModuleError::Ambiguous {
                module: module.to_owned(),
                paths: (a.file.clone(), b.file.clone()),
            }),
            (first, _) => Ok(first),
        }
    }

    /// The content of a module, decompressed, and what it says about itself.
    pub(super) fn load(&self, location: &Location) -> Result<(Vec<u8>, ModInfo), ModuleError> {
        let content = decompress::read(&location.file, location.kind)?;
        let info = ModInfo::parse(&content)
            .map_err(|reason| ModuleError::NotAModule { path: location.file.clone(), reason })?;
        if info.kernel != self.kernel {
            return Err(ModuleError::WrongKernel {
                path: location.file.clone(),
                found: info.kernel,
                kernel: self.kernel.clone(),
            });
        }
        Ok((content, info))
    }

    /// The modules that are files and have an alias, by name.
    pub(super) fn modules_of_alias(&self, alias: &str) -> Result<Vec<String>, ModuleError> {
        let aliases = match self.aliases.get() {
            Some(aliases) => aliases,
            None => {
                let aliases = self.read_aliases()?;
                self.aliases.get_or_init(|| aliases)
            }
        };
        Ok(aliases.get(alias).into_iter().flatten().cloned().collect())
    }

    fn read_aliases(&self) -> Result<BTreeMap<String, BTreeSet<String>>, ModuleError> {
        let mut aliases: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (module, locations) in &self.files {
            for location in locations {
                if !ALGORITHM_DIRECTORIES.iter().any(|d| Path::new(&location.path).starts_with(d)) {
                    continue;
                }
                for alias in self.load(location)?.1.aliases {
                    aliases.entry(alias).or_default().insert(module.clone());
                }
            }
        }
        Ok(aliases)
    }
}

/// The kernels that have modules in a `lib/modules`.
fn kernels(modules: &Path) -> Result<Vec<String>, ModuleError> {
    let has_modules = |entry: &fs::DirEntry| entry.path().join("modules.builtin").is_file();
    let entries = sorted(modules)?;
    Ok(entries
        .iter()
        .filter(|entry| has_modules(entry))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect())
}

/// The content of one of the lists; `None` if there is none.
fn list(path: &Path) -> Result<Option<Vec<u8>>, ModuleError> {
    let failed = |source| ModuleError::Io { path: path.to_owned(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error)),
        Ok(metadata) if metadata.len() > MAX_LIST_BYTES => {
            Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "it is larger than 16 MiB")))
        }
        Ok(_) => fs::read(path).map(Some).map_err(failed),
    }
}

/// All modules below `root`. Links to directories (`build`, `source`) are not
/// followed.
fn walk(root: &Path) -> Result<BTreeMap<String, Vec<Location>>, ModuleError> {
    let mut files: BTreeMap<String, Vec<Location>> = BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    let mut entries = 0;
    while let Some(directory) = directories.pop() {
        for entry in sorted(&directory)? {
            entries += 1;
            if entries > MAX_ENTRIES {
                return Err(ModuleError::TooManyFiles {
                    path: root.to_owned(),
                    limit: MAX_ENTRIES,
                });
            }
            let file = entry.path();
            let kind = entry
                .file_type()
                .map_err(|source| ModuleError::Io { path: file.clone(), source })?;
            if kind.is_dir() {
                directories.push(file);
            } else if let Some((name, location)) = location(root, file) {
                files.entry(name).or_default().push(location);
            }
        }
    }
    for locations in files.values_mut() {
        locations.sort_by(|a, b| a.file.cmp(&b.file));
    }
    Ok(files)
}

fn location(root: &Path, file: PathBuf) -> Option<(String, Location)> {
    let below = file.strip_prefix(root).ok()?.to_str()?;
    let (name, kind) = decompress::split(file.file_name()?.to_str()?)?;
    let directory = below.rsplit_once('/').map_or("", |(directory, _)| directory);
    let separator = if directory.is_empty() { "" } else { "/" };
    let path = format!("{directory}{separator}{name}.ko");
    Some((canonical(name), Location { path, kind, file }))
}

fn sorted(directory: &Path) -> Result<Vec<fs::DirEntry>, ModuleError> {
    let read = || -> io::Result<Vec<fs::DirEntry>> {
        let mut entries = fs::read_dir(directory)?.collect::<io::Result<Vec<_>>>()?;
        entries.sort_by_key(fs::DirEntry::file_name);
        Ok(entries)
    };
    read().map_err(|source| ModuleError::Io { path: directory.to_owned(), source })
}
