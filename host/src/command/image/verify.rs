//! `ravelin image verify`.

use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use image_builder::disk::{
    self, Content, Description, DiskDescription, ImagePaths, Sidecar, SidecarError, describe,
};
use image_builder::progress::Progress;
use protocol::gpt::{SECTOR, TYPE_ROOT_VERITY_X86_64, TYPE_ROOT_X86_64};
use serde::Serialize;
use verity::{Geometry, Region, RootHash, Superblock, VerifyOptions};

use crate::exit::Exit;
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::{Terminal, Text, causes, printable};

const EXAMPLES: &str = "\
Examples:
  ravelin image verify root.img.toml
  ravelin image verify root.img          # uses root.img.toml
  # with a root hash that you trust; there need not be a sidecar then
  ravelin image verify root.img \\
      --root-hash 8293837ae1b4cf82e1874e9714db524faf30cafa5302db39981907e53c9d1175
  ravelin image verify root.erofs --hash-image root.hash \\
      --root-hash 8293837ae1b4cf82e1874e9714db524faf30cafa5302db39981907e53c9d1175

Exits with 1 and a list of all findings if something is wrong; of damaged blocks, the first.

JSON (\"kind\": \"image-verify\"): files, sidecar (null without one), root_hash, parameters_from
(\"sidecar\" or \"superblock\"), good (true or false), findings (a list of texts).";

/// Check a whole disk image: every block, the hash tree, the partition tables
///
/// Against the sidecar, everything is checked: sizes, both partition tables, the verity
/// superblock (which PID 1 does not read), the file system's type, and every block of data and
/// tree up to the root hash. Without a sidecar, --root-hash has to be given; the parameters of the
/// tree are then taken from the superblock.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct Verify {
    /// The sidecar (root.img.toml), or an image
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The root hash that you trust; the sidecar has to have the same
    #[arg(long, value_name = "HEX", value_parser = str::parse::<RootHash>)]
    root_hash: Option<RootHash>,
    /// The image, where it is not the file beside the sidecar that the sidecar names
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// The bare hash tree, where it is not the file beside the sidecar that the sidecar names
    #[arg(long, value_name = "FILE")]
    hash_image: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    files: Vec<String>,
    sidecar: Option<String>,
    root_hash: String,
    parameters_from: &'static str,
    good: bool,
    findings: Vec<String>,
}

pub(crate) fn run(arguments: &Verify, terminal: &Terminal) -> Result {
    let report = match sidecar_path(arguments)? {
        Some(path) => with_sidecar(arguments, &path, terminal)?,
        None => without_sidecar(arguments, terminal)?,
    };
    let mut text = Text::new();
    text.line(format!(
        "{}: {}",
        report.files.join(" and "),
        if report.good { "good" } else { "BAD" }
    ));
    text.field("root hash", &report.root_hash);
    match &report.sidecar {
        Some(sidecar) => text.field("checked with", sidecar),
        None => text.field("checked with", "the parameters in its own superblock"),
    };
    if !report.good {
        text.heading("findings");
        for finding in &report.findings {
            text.line(format!("  - {finding}"));
        }
    }
    terminal.result("image-verify", &report, &text)?;
    Ok(if report.good { Exit::Success } else { Exit::CheckFailed })
}

const NO_SIDECAR: &str = "give the sidecar that `ravelin image verity` wrote beside the image, or \
                          the image itself; `ravelin inspect` says what a file is";

/// The sidecar: the file itself, or the one beside an image. `None` if there is
/// none and a root hash is given.
fn sidecar_path(arguments: &Verify) -> Result<Option<PathBuf>> {
    let file = &arguments.file;
    let shown = file.display();
    let description = describe(file)?;
    let text = match description.content {
        Content::Disk(_) => false,
        Content::Volume(volume) => volume.file_system.is_none() && volume.verity.is_none(),
    };
    if text && description.bytes < 1 << 20 {
        return Ok(Some(file.clone()));
    }
    if arguments.image.is_some() {
        let failure = Failure::usage("--image goes with a sidecar");
        return Err(failure.help(format!("{shown} is an image itself; leave --image out")));
    }
    let mut beside = file.clone().into_os_string();
    beside.push(".toml");
    let beside = PathBuf::from(beside);
    if beside.exists() {
        return Ok(Some(beside));
    }
    if arguments.root_hash.is_none() {
        return Err(Failure::usage(format!("there is no {}", beside.display())).help(
            "name the image's sidecar instead of the image, or give the --root-hash that the \
             image should have",
        ));
    }
    Ok(None)
}

fn with_sidecar(arguments: &Verify, path: &Path, terminal: &Terminal) -> Result<Report> {
    let sidecar = Sidecar::load(path).map_err(|error| {
        let is_read = !matches!(error, SidecarError::Read { .. });
        let failure = Failure::new(error).named(path);
        if is_read { failure.help(NO_SIDECAR) } else { failure }
    })?;
    let mut paths = ImagePaths::beside(&sidecar, path);
    match &mut paths {
        ImagePaths::Disk(disk) => {
            if arguments.hash_image.is_some() {
                return Err(Failure::usage("the image is one disk; leave --hash-image out"));
            }
            if let Some(image) = &arguments.image {
                disk.clone_from(image);
            }
        }
        ImagePaths::Files { data, hash } => {
            if let Some(image) = &arguments.image {
                data.clone_from(image);
            }
            if let Some(image) = &arguments.hash_image {
                hash.clone_from(image);
            }
        }
    }
    let mut findings = Vec::new();
    if let Some(trusted) = arguments.root_hash.as_ref()
        && *trusted != sidecar.verity.root_hash
    {
        let found = &sidecar.verity.root_hash;
        findings.push(format!("the sidecar is for root hash {found}, not for {trusted}"));
    }
    let progress = terminal.progress();
    let found = disk::verify(&sidecar, &paths, &progress).remedy(
        "the files that the sidecar names have to be beside it; --image and --hash-image name \
         others",
    )?;
    progress.finish();
    findings.extend(found.iter().map(|finding| printable(&causes(finding))));
    let files = match paths {
        ImagePaths::Disk(disk) => vec![disk],
        ImagePaths::Files { data, hash } => vec![data, hash],
    };
    Ok(Report {
        files: files.iter().map(|file| file.display().to_string()).collect(),
        sidecar: Some(path.display().to_string()),
        root_hash: sidecar.verity.root_hash.to_string(),
        parameters_from: "sidecar",
        good: findings.is_empty(),
        findings,
    })
}

/// Where data and tree are, as the image says it itself.
struct Located {
    data: (PathBuf, u64, u64),
    hash: (PathBuf, u64, u64),
    superblock: Superblock,
}

fn without_sidecar(arguments: &Verify, terminal: &Terminal) -> Result<Report> {
    let Some(root_hash) = &arguments.root_hash else {
        return Err(Failure::usage("--root-hash is needed without a sidecar"));
    };
    let mut findings = Vec::new();
    let mut files = vec![arguments.file.display().to_string()];
    files.extend(arguments.hash_image.as_ref().map(|hash| hash.display().to_string()));
    match locate(arguments, &mut findings) {
        Ok(located) => {
            terminal.note(
                "no sidecar: block sizes, salt and number of blocks are those of the image's \
                 superblock, which no root hash covers",
            );
            let progress = terminal.progress();
            if let Err(error) = check(&located, root_hash, &progress) {
                findings.push(printable(&causes(&*error)));
            }
        }
        Err(Unlocated::Failure(failure)) => return Err(failure),
        Err(Unlocated::Finding(finding)) => findings.push(finding),
    }
    Ok(Report {
        files,
        sidecar: None,
        root_hash: root_hash.to_string(),
        parameters_from: "superblock",
        good: findings.is_empty(),
        findings,
    })
}

enum Unlocated {
    Failure(Failure),
    Finding(String),
}

fn locate(
    arguments: &Verify,
    findings: &mut Vec<String>,
) -> std::result::Result<Located, Unlocated> {
    let described = |path: &Path| match describe(path) {
        // Its disk is described, and what is verified is the file.
        Ok(Description { qcow2: Some(_), .. }) => {
            let shown = path.display();
            let failure = Failure::usage(format!("{shown} is a qcow2 image, not a verified disk"));
            Err(Unlocated::Failure(failure.help("convert it: `qemu-img convert -O raw`")))
        }
        described => described.map_err(|error| Unlocated::Failure(error.into())),
    };
    let missing = |what: &str| Unlocated::Finding(format!("there is no {what}"));
    let usable = |found: std::result::Result<Superblock, verity::SuperblockError>| {
        found.map_err(|error| {
            Unlocated::Finding(format!("the verity superblock is damaged: {error}"))
        })
    };
    let path = arguments.file.clone();
    let Description { bytes, content, .. } = described(&path)?;
    match (content, &arguments.hash_image) {
        (Content::Disk(_), Some(_)) => {
            let failure = Failure::usage("the image is one disk; leave --hash-image out");
            Err(Unlocated::Failure(failure))
        }
        (Content::Disk(DiskDescription { table, backup, volumes }), None) => {
            let damaged = |error| format!("the partition table is damaged: {error}");
            if let Err(error) = backup {
                findings.push(format!("the backup of the partition table is damaged: {error}"));
            }
            let table = table.map_err(|error| Unlocated::Finding(damaged(error)))?;
            let place = |partition: &protocol::gpt::Partition| {
                let sector = SECTOR as u64;
                let offset = partition.first_lba.saturating_mul(sector);
                (path.clone(), offset, partition.sectors().saturating_mul(sector))
            };
            let mut data = None;
            let mut hash = None;
            for (partition, volume) in table.partitions.iter().zip(volumes) {
                match (partition.type_guid, volume.verity) {
                    (TYPE_ROOT_X86_64, _) => data = Some(place(partition)),
                    (TYPE_ROOT_VERITY_X86_64, Some((0, found))) => {
                        hash = Some((place(partition), usable(found)?));
                    }
                    _ => {}
                }
            }
            let (hash, superblock) = hash.ok_or_else(|| missing("verity partition"))?;
            Ok(Located { data: data.ok_or_else(|| missing("root partition"))?, hash, superblock })
        }
        (Content::Volume(_), Some(hash)) => {
            let Description { bytes: hash_bytes, content, .. } = described(hash)?;
            let found = match content {
                Content::Volume(volume) => volume.verity.filter(|(offset, _)| *offset == 0),
                Content::Disk(_) => None,
            };
            let (_, found) = found.ok_or_else(|| missing("verity superblock in the hash tree"))?;
            let superblock = usable(found)?;
            Ok(Located { data: (path, 0, bytes), hash: (hash.clone(), 0, hash_bytes), superblock })
        }
        (Content::Volume(volume), None) => {
            let (offset, found) = volume
                .verity
                .filter(|(offset, _)| *offset > 0)
                .ok_or_else(|| missing("hash tree behind the file system"))?;
            let superblock = usable(found)?;
            let hash = (path.clone(), offset, bytes.saturating_sub(offset));
            Ok(Located { data: (path, 0, offset), hash, superblock })
        }
    }
}

fn check(
    located: &Located,
    root_hash: &RootHash,
    progress: &dyn Progress,
) -> std::result::Result<(), Box<dyn std::error::Error>> {
    let Superblock { params, data_blocks, .. } = &located.superblock;
    let geometry = Geometry::new(params, *data_blocks)?;
    let start = geometry.after_superblock(0)?.start_block();
    let open = |(path, offset, bytes): &(PathBuf, u64, u64)| {
        File::open(path).map(|file| Region::new(file, *offset, *bytes))
    };
    progress.stage("verifying", Some(geometry.data_bytes()));
    let advance = |bytes| progress.advance(bytes);
    let options = VerifyOptions { threads: None, progress: &advance };
    let (data, hash) = (open(&located.data)?, open(&located.hash)?);
    verity::verify(&data, *data_blocks, &hash, start, root_hash, params, &options)?;
    Ok(())
}
