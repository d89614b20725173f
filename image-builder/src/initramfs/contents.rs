//! What PID 1 acts on of an initramfs, as the kernel unpacks it: of a path that is there
//! twice, the later one.

use std::collections::BTreeSet;
use std::io::BufRead;

use protocol::hooks::{self, Stage};
use protocol::{config, layout, load_order};

use super::entry::{Kind, unpacked};
use super::reader::{ReadError, Reader};

/// What PID 1 acts on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// [`layout::CONFIGURATION`].
    pub configuration: Option<Vec<u8>>,
    /// [`layout::LOAD_ORDER`].
    pub load_order: Option<Vec<u8>>,
    /// The hooks, by stage and name.
    pub hooks: BTreeSet<(Stage, String)>,
}

/// Why it cannot be said.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentsError {
    /// The initramfs cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// PID 1 would refuse it.
    #[error("{path} is longer than PID 1 reads it")]
    TooLong {
        /// The file's path.
        path: &'static str,
    },
}

impl Contents {
    /// Reads all archives.
    ///
    /// # Errors
    /// [`ContentsError`].
    pub fn read(input: impl BufRead) -> Result<Self, ContentsError> {
        let mut reader = Reader::new(input);
        let mut contents = Self::default();
        while let Some(entry) = reader.next_entry()? {
            let is_file = entry.kind() == Kind::File;
            // A name that is not UTF-8 is none of PID 1's.
            let path = format!("/{}", unpacked(&String::from_utf8_lossy(&entry.name)));
            let mut file = |path: &'static str, limit| {
                if !is_file {
                    return Ok(None);
                }
                reader.content(limit)?.ok_or(ContentsError::TooLong { path }).map(Some)
            };
            match path.as_str() {
                layout::CONFIGURATION => {
                    contents.configuration = file(layout::CONFIGURATION, config::FILE_MAX)?;
                }
                layout::LOAD_ORDER => {
                    contents.load_order = file(layout::LOAD_ORDER, load_order::MAX_BYTES)?;
                }
                path => {
                    if let Some((stage, name)) = hooks::of_path(path) {
                        let hook = (stage, name.to_owned());
                        contents.hooks.remove(&hook);
                        contents.hooks.extend(is_file.then_some(hook));
                    }
                }
            }
        }
        Ok(contents)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Archive, Compression, assemble, configuration};
    use super::*;

    fn read(archives: &[Archive]) -> Result<Contents, ContentsError> {
        Contents::read(assemble(archives, Compression::None).unwrap().as_slice())
    }

    fn archive(files: &[(&str, &[u8])]) -> Archive {
        let mut archive = Archive::new();
        for (path, content) in files {
            let mut at = String::new();
            for part in path.split('/').skip(1) {
                at = format!("{at}/{part}");
                if at == *path {
                    archive.file(&at, 0o755, content.to_vec()).unwrap();
                } else {
                    let _there = archive.directory(&at, 0o755);
                }
            }
        }
        archive
    }

    #[test]
    fn the_later_one_counts() {
        let first = archive(&[
            ("/lib/modules/ravelin.load", b"order"),
            ("/etc/ravelin/hooks/pre-root.d/10-a", b"x"),
            ("/etc/ravelin/hooks/other.d/10-a", b"x"),
        ]);
        let toml = "on_failure = \"reboot\"\n";
        let second = configuration(toml).unwrap();
        let contents = read(&[first.clone(), second.clone()]).unwrap();
        assert_eq!(contents.configuration.as_deref(), Some(toml.as_bytes()));
        assert_eq!(contents.load_order.as_deref(), Some(&b"order"[..]));
        assert_eq!(contents.hooks, [(Stage::PreRoot, "10-a".to_owned())].into());
        let third = archive(&[("/etc/ravelin.toml", b"other")]);
        let contents = read(&[first, second, third]).unwrap();
        assert_eq!(contents.configuration.as_deref(), Some(&b"other"[..]));
        assert_eq!(read(&[]).unwrap(), Contents::default());
    }

    #[test]
    fn what_pid_1_would_not_read_is_refused() {
        let long = archive(&[("/etc/ravelin.toml", &vec![b'#'; config::FILE_MAX + 1])]);
        assert!(matches!(
            read(&[long]),
            Err(ContentsError::TooLong { path: layout::CONFIGURATION })
        ));
        assert!(matches!(Contents::read(&b"070701"[..]), Err(ContentsError::Read(_))));
    }
}
