//! ext4 by `mke2fs` (e2fsprogs), which reads a tar since 1.47.1 if it can load
//! libarchive.
//!
//! An ext4 has to know its size before its content: the stream goes to an
//! unnamed file first and is counted. There is a journal only in an image that is
//! to be written to.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};

use protocol::config::FsType;

use super::tool::{Tool, Wanted};
use super::{Place, Settings, attributes, path_of, rules, scratch};
use crate::disk::tree::{Canonical, Dialect, Notes, Totals};
use crate::disk::{BuildError, Prepared};
use crate::output;
use crate::progress::Progress;

/// For a verified disk, whose file system can be another one.
static READ_ONLY: Wanted = Wanted {
    name: "mke2fs",
    variable: "RAVELIN_MKE2FS",
    remedy: "e2fsprogs 1.47.1 or later with libarchive13 (Debian 13, Ubuntu 25.04), or choose \
             --fs erofs or --fs squashfs",
};

/// For an encrypted disk, of which no other file system is made.
static WRITABLE: Wanted = Wanted {
    name: "mke2fs",
    variable: "RAVELIN_MKE2FS",
    remedy: "e2fsprogs 1.47.1 or later with libarchive13 (Debian 13, Ubuntu 25.04), or give a \
             finished image of a file system as --from",
};

const DIALECT: Dialect = Dialect {
    fs: FsType::Ext4,
    fractions: false,
    root_member: true,
    // Capabilities it takes itself.
    takes_attribute: attributes::takes,
};

const BLOCK: u64 = 4096;
const INODE: u64 = 256;
const GROUP_BLOCKS: u64 = 8 * BLOCK;
/// MiB of the journal, by the blocks that a file system has at least: mke2fs's own
/// steps. It takes no smaller journal, and none of more than half of what is free.
const JOURNALS: [(u64, u64); 3] = [(1 << 18, 64), (1 << 15, 16), (0, SMALLEST_JOURNAL)];
const SMALLEST_JOURNAL: u64 = 4;
/// All that is said about features, so that no configuration file says more.
const FEATURES: &str = "none,ext_attr,dir_index,filetype,extent,64bit,flex_bg,sparse_super,\
                        large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

/// What is asked of it.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Bytes; computed if `None`.
    pub(super) size: Option<u64>,
    /// With a journal and room for more.
    pub(super) writable: bool,
}

/// Its numbers.
#[derive(Clone, Copy)]
struct Numbers {
    blocks: u64,
    inodes: u64,
    /// MiB of the journal, if there is one.
    journal: Option<u64>,
}

impl Numbers {
    fn of(totals: &Totals, Shape { size, writable }: Shape) -> Result<Numbers, BuildError> {
        let (used, files) = (blocks_for(totals), inodes_for(totals));
        if !writable {
            return Ok(Numbers {
                blocks: size.map_or(used, |bytes| bytes / BLOCK),
                inodes: files,
                journal: None,
            });
        }
        // A quarter more than there is, and 64 MiB, beside the largest journal.
        let roomy = used.saturating_add(used / 4).saturating_add((64 + 64) << 20 >> 12);
        let blocks = size.map_or(roomy, |bytes| bytes / BLOCK);
        let inodes = files.max(blocks / 4);
        let least = blocks_with_journal(files);
        if blocks < least {
            return Err(BuildError::JournalRoom {
                bytes: blocks.saturating_mul(BLOCK),
                least: least.saturating_mul(BLOCK).next_multiple_of(1 << 20),
            });
        }
        let journal = JOURNALS.iter().find(|(from, _)| blocks >= *from).map(|(_, size)| *size);
        Ok(Numbers { blocks, inodes, journal })
    }
}

pub(super) fn make(
    tree: Prepared,
    shape: Shape,
    settings: &Settings<'_>,
    place: &Place<'_>,
    progress: &dyn Progress,
) -> Result<Notes, BuildError> {
    if let Some(bytes) = shape.size.filter(|bytes| bytes % BLOCK != 0 || *bytes == 0) {
        return Err(BuildError::Size { bytes });
    }
    let wanted = if shape.writable { &WRITABLE } else { &READ_ONLY };
    let tool = Tool::find(wanted, settings.tools.mke2fs.as_ref())?;
    probe_tool(&tool, settings, place)?;

    progress.stage("reading the files", None);
    let spool = output::scratch(place.beside)?;
    let mut input = spool.try_clone().map_err(scratch)?;
    let streamed = tree
        .stream(|root| {
            let out = BufWriter::with_capacity(1 << 18, &spool);
            Canonical::begin(root, rules(settings, DIALECT), out, progress)
        })
        .and_then(Canonical::finish);
    let (totals, mut notes) = match streamed {
        Err(BuildError::Feed(source)) => return Err(BuildError::Scratch { source }),
        streamed => streamed?,
    };
    input.rewind().map_err(scratch)?;

    progress.stage("making the ext4 file system", None);
    let running = run(&tool, settings, place.file, Numbers::of(&totals, shape)?, input)?;
    notes.extend(running);
    if totals.has_attributes {
        attributes::complete(&spool, place.file, settings, place.beside, &mut notes)?;
    }
    Ok(notes)
}

fn run(
    tool: &Tool,
    settings: &Settings<'_>,
    file: &File,
    Numbers { blocks, inodes, journal }: Numbers,
    input: File,
) -> Result<Option<crate::disk::tree::Note>, BuildError> {
    let mut args: Vec<OsString> =
        ["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0", "-G", "16"]
            .map(Into::into)
            .into();
    let extended =
        format!("hash_seed={},root_owner=0:0,lazy_itable_init=0,nodiscard", settings.hash_seed);
    let mut features = FEATURES.to_owned();
    if let Some(mebibytes) = journal {
        features.push_str(",has_journal");
        args.extend(["-J".into(), format!("size={mebibytes}").into()]);
    }
    for (name, value) in [
        ("-N", inodes.to_string()),
        ("-O", features),
        ("-E", extended),
        ("-U", settings.uuid.to_string()),
        ("-d", "-".to_owned()),
    ] {
        args.extend([name.into(), value.into()]);
    }
    args.push(path_of(file).into());
    args.push(format!("{}k", blocks.saturating_mul(BLOCK / 1024)).into());
    let variables = [
        // A path that is not there: the built-in defaults, which the options override.
        ("MKE2FS_CONFIG", "/proc/self/no-configuration".to_owned()),
        // Not SOURCE_DATE_EPOCH: that would lower the files' times as well.
        // Zero means "now" to it.
        ("E2FSPROGS_FAKE_TIME", settings.created.max(1).to_string()),
    ];
    Ok(tool.start(&args, &variables, Some(input))?.finish()?)
}

/// Makes a tiny file system from an empty tar, because only that shows whether
/// libarchive can be loaded.
fn probe_tool(tool: &Tool, settings: &Settings<'_>, place: &Place<'_>) -> Result<(), BuildError> {
    let version = tool.ask(&["-V"])?;
    let version = version.lines().next().unwrap_or("unknown version").trim().to_owned();
    let (mut input, image) = (output::scratch(place.beside)?, output::scratch(place.beside)?);
    input.write_all(&[0; 1024]).and_then(|()| input.rewind()).map_err(scratch)?;
    let numbers = Numbers { blocks: 512, inodes: 16, journal: None };
    match run(tool, settings, &image, numbers, input) {
        Ok(_) => Ok(()),
        Err(BuildError::Tool(super::ToolError::Failed { words, .. })) => {
            let said = words.lines().next().unwrap_or("it said nothing");
            Err(tool.unfit(format!("it cannot read a tar ({version}: {said})")).into())
        }
        Err(error) => Err(error),
    }
}

/// As many inodes as there are files, with the eleven that ext4 has for itself.
fn inodes_for(totals: &Totals) -> u64 {
    totals.inodes.saturating_add(16)
}

/// The least that mke2fs takes for `files` inodes and the smallest journal: as much again
/// stays free, and there are the inode tables and up to 128 blocks of structure.
fn blocks_with_journal(files: u64) -> u64 {
    let journal = (SMALLEST_JOURNAL << 20) / BLOCK;
    let tables = |inodes: u64| inodes.saturating_mul(INODE).div_ceil(BLOCK);
    let fixed = journal.saturating_mul(2).saturating_add(128);
    // A fourth of the blocks is the number of inodes, if that is more.
    let by_blocks = fixed.saturating_mul(64) / 63;
    fixed.saturating_add(tables(files)).max(by_blocks)
}

/// Content and structure, and some slack: a file system that turns out too small
/// is an error, and unused blocks cost nothing but their digests.
fn blocks_for(totals: &Totals) -> u64 {
    // A directory's blocks are filled to half at worst, and each has one.
    let directories = totals.directories.saturating_add((totals.names / BLOCK).saturating_mul(2));
    // One block of extents for each file in more than four pieces: one in 340 at worst.
    let content = totals.blocks.saturating_add(totals.blocks / 256).saturating_add(directories);
    let inode_blocks = inodes_for(totals).saturating_mul(INODE).div_ceil(BLOCK);
    let used = content.saturating_add(inode_blocks).saturating_add(1024);
    // Bitmaps, descriptors and their copies, and inode tables rounded up.
    let groups = used.div_ceil(GROUP_BLOCKS).saturating_add(1);
    used.saturating_add(groups.saturating_mul(40)).saturating_add(used / 64)
}
