//! Which partition is the root.

use std::fmt;

use verity::{ReadAt, Region};

use super::ImportError;
use super::content::{Content, Other};
use super::partitions::Partition;
use crate::disk::PartitionChoice;

/// Labels of a root's file system or partition, as distributions give them.
const ROOT_LABELS: &[&str] = &["root", "rootfs", "cloudimg-rootfs"];

/// A partition, with what is in it.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) partition: Partition,
    pub(super) content: Content,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Partition { number, bytes, kind, name, .. } = &self.partition;
        write!(f, "{number}: {}, {kind}", Size(*bytes))?;
        if !name.is_empty() {
            write!(f, " {name:?}")?;
        }
        write!(f, ", {}", self.content)
    }
}

/// A number of bytes for people.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes if bytes >= 10 << 30 => write!(f, "{} GiB", bytes >> 30),
            bytes if bytes >= 1 << 20 => write!(f, "{} MiB", bytes >> 20),
            bytes => write!(f, "{} KiB", bytes >> 10),
        }
    }
}

/// All partitions of a disk, for a message: a line each.
#[derive(Debug)]
pub struct PartitionList(Vec<String>);

impl PartitionList {
    fn of(seen: &[Seen]) -> Self {
        Self(seen.iter().map(ToString::to_string).collect())
    }
}

impl fmt::Display for PartitionList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Looks into each partition.
pub(super) fn look(
    disk: &impl ReadAt,
    partitions: Vec<Partition>,
) -> Result<Vec<Seen>, std::io::Error> {
    let seen = partitions.into_iter().map(|partition| {
        let region = Region::new(disk, partition.offset, partition.bytes);
        Content::of(&region, partition.bytes).map(|content| Seen { partition, content })
    });
    seen.collect()
}

/// The root: what the user chose; otherwise the one partition of the type that says so;
/// otherwise, of those with a Linux file system, the only one or the one with a root's label.
pub(super) fn choose(
    mut seen: Vec<Seen>,
    choice: Option<&PartitionChoice>,
) -> Result<Seen, ImportError> {
    let place = match choice {
        Some(choice) => match places(&seen, |one| is(choice, one)).as_slice() {
            [place] => *place,
            [] => {
                return Err(ImportError::NoSuchPartition {
                    choice: choice.clone(),
                    list: PartitionList::of(&seen),
                });
            }
            _ => {
                let list = PartitionList::of(&seen);
                return Err(ImportError::SeveralPartitions { choice: choice.clone(), list });
            }
        },
        None => find(&seen)?,
    };
    Ok(seen.swap_remove(place))
}

fn find(seen: &[Seen]) -> Result<usize, ImportError> {
    let rules: [&dyn Fn(&Seen) -> bool; 3] = [
        &|one| one.partition.kind.is_root(),
        // A partition whose content is something else is no candidate.
        &|one| one.partition.kind.is_linux() && one.content.is_file_system(),
        &|one| {
            let labels = [one.content.label(), Some(one.partition.name.as_str())];
            one.content.is_file_system()
                && labels.into_iter().flatten().any(|label| ROOT_LABELS.contains(&label))
        },
    ];
    let mut several = false;
    for rule in rules {
        match places(seen, rule).as_slice() {
            [place] => return Ok(*place),
            [] => {}
            _ => several = true,
        }
    }
    let list = PartitionList::of(seen);
    if several {
        return Err(ImportError::AmbiguousRoot { list });
    }
    // The usual reasons why there is none.
    for other in [Other::Lvm2, Other::Luks, Other::Raid] {
        let is_it = |one: &&Seen| matches!(one.content, Content::Other(found) if found == other);
        if let Some(one) = seen.iter().find(is_it) {
            return Err(no_file_system(one, other));
        }
    }
    Err(ImportError::NoRoot { list })
}

/// Why a partition with something else is no root.
pub(super) fn no_file_system(one: &Seen, other: Other) -> ImportError {
    ImportError::NotAFileSystem {
        place: format!("partition {}", one.partition.number),
        content: other.to_string(),
        remedy: other.remedy(),
    }
}

fn places(seen: &[Seen], rule: impl Fn(&Seen) -> bool) -> Vec<usize> {
    seen.iter().enumerate().filter(|(_, one)| rule(one)).map(|(place, _)| place).collect()
}

fn is(choice: &PartitionChoice, one: &Seen) -> bool {
    let Seen { partition, content } = one;
    match choice {
        PartitionChoice::Number(number) => partition.number == *number,
        PartitionChoice::Guid(guid) => {
            let of_file_system = match content {
                Content::FileSystem { found, .. } => found.uuid == Some(*guid),
                Content::Refused(_) | Content::Other(_) | Content::Unknown => false,
            };
            of_file_system || partition.id == guid.to_string()
        }
        PartitionChoice::Name(name) => {
            let names = [Some(partition.name.as_str()), content.label(), Some(&partition.id)];
            names.into_iter().flatten().any(|known| known == name)
        }
    }
}
