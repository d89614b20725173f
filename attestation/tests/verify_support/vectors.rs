//! The public test material, which is not part of the project: real reports
//! and certificates, and synthetic chains of another maker.

use std::path::{Path, PathBuf};

/// Where the material is: `$RAVELIN_VECTORS`, or `../shared/vectors` next to
/// the project. Says so loudly if it is not there.
pub(crate) fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/vectors");
    let folder = std::env::var_os("RAVELIN_VECTORS").map_or(beside, PathBuf::from);
    if folder.join("amd_ca").is_dir() {
        return Some(folder);
    }
    println!("SKIPPED: no test vectors at {}; set RAVELIN_VECTORS", folder.display());
    eprintln!("SKIPPED: no test vectors at {}; set RAVELIN_VECTORS", folder.display());
    None
}

pub(crate) fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Real reports with their certificates, and the exceptions that each needs.
pub(crate) struct Real {
    pub(crate) name: String,
    pub(crate) report: Vec<u8>,
    pub(crate) leaf: Vec<u8>,
}

/// Every report in the material that has a certificate.
pub(crate) fn real(folder: &Path) -> Vec<Real> {
    let mut found = Vec::new();
    for vendor in std::fs::read_dir(folder).unwrap() {
        let vendor = vendor.unwrap().path();
        if vendor.ends_with("synthetic") || !vendor.is_dir() {
            continue;
        }
        for file in std::fs::read_dir(&vendor).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let Some(stem) = name.strip_suffix(".report.bin") else { continue };
            for kind in ["vcek", "vlek"] {
                let leaf = vendor.join(format!("{stem}.{kind}.der"));
                if leaf.is_file() {
                    let (report, leaf) = (read(&path), read(&leaf));
                    found.push(Real { name: stem.to_owned(), report, leaf });
                }
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}
