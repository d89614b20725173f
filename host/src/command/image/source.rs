//! What a root is made from: the same for both kinds of disks.

use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use image_builder::disk::{DiskFormat, DiskOptions, PartitionChoice, Source, SourceError};

use crate::failure::{Failure, Result};

/// What is the standard input instead of a file.
const STDIN: &str = "-";

/// Which part of a disk image is meant.
#[derive(Debug, Args)]
pub(super) struct DiskArguments {
    /// Of a disk image: the root's partition, by number, name, label or UUID [default: it is looked
    /// for]
    #[arg(long, value_name = "PARTITION", help_heading = "Disk image",
        value_parser = str::parse::<PartitionChoice>)]
    partition: Option<PartitionChoice>,
    /// The form of a disk image, raw or qcow2 [default: its content tells]
    ///
    /// A virtual machine can write the start of a qcow2 image into its own raw disk: say raw for one
    /// that comes from somewhere you do not trust.
    #[arg(long, value_name = "FORMAT", help_heading = "Disk image",
        value_parser = str::parse::<DiskFormat>)]
    format: Option<DiskFormat>,
}

/// Where the root comes from.
#[derive(Debug, Args)]
pub(super) struct SourceArguments {
    /// What the root is made from: a directory, a tar, a container image, a disk image, a file-system
    /// image, or - for a tar on stdin
    ///
    /// A tar may be compressed with gzip, xz or zstd. A container image is an OCI image layout
    /// (directory or tar), or what docker save or podman save wrote. A disk image is a raw one with a partition
    /// table, or a qcow2 image; of its root, an ext4, the files are read, and another file system is
    /// taken as it is. So is an image of erofs, squashfs, ext4, xfs or btrfs alone.
    #[arg(long, value_name = "SOURCE")]
    from: PathBuf,
    #[command(flatten)]
    disk: DiskArguments,
    /// Of a disk image: take the root's file system as it is, instead of its files
    #[arg(long, help_heading = "Disk image")]
    keep_file_system: bool,
}

impl SourceArguments {
    /// The source, told by its content.
    pub(super) fn open(&self) -> Result<Source> {
        self.disk.open(&self.from, self.keep_file_system)
    }

    /// The file or directory, unless it is the standard input.
    pub(super) fn file(&self) -> Option<&Path> {
        (self.from != Path::new(STDIN)).then_some(&self.from)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.from
    }
}

impl DiskArguments {
    /// The source at a path, or the tar on the standard input, told by its content.
    pub(super) fn open(&self, from: &Path, keep_file_system: bool) -> Result<Source> {
        let options = DiskOptions {
            format: self.format,
            partition: self.partition.clone(),
            keep_file_system,
        };
        let is_disk = options != DiskOptions::default();
        if from == Path::new(STDIN) {
            if is_disk {
                return Err(Failure::usage("a disk image cannot come from the standard input")
                    .help("leave the options of a disk image out, or name a file"));
            }
            let reader = Box::new(io::stdin());
            return Ok(Source::TarStream { name: "standard input".to_owned(), reader });
        }
        let source = if is_disk { Source::disk(from, &options) } else { Source::detect(from) };
        source.map_err(explained)
    }
}

/// What the user can do where one option is the answer.
fn explained(error: SourceError) -> Failure {
    use image_builder::disk::ImportError;
    let is_choice = matches!(
        error,
        SourceError::Import(
            ImportError::AmbiguousRoot { .. }
                | ImportError::NoRoot { .. }
                | ImportError::NoSuchPartition { .. }
                | ImportError::SeveralPartitions { .. },
        )
    );
    let failure = Failure::from(error);
    if is_choice { failure.help("give --partition NUMBER") } else { failure }
}
