//! Questions to an ext4, and changes of it, by `debugfs` (e2fsprogs).
//!
//! It ends with success whatever happens: what it was asked for is looked at
//! afterwards.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write;

use super::tool::{Tool, Wanted};
use super::{Tools, path_of};
use crate::disk::BuildError;

static WANTED: Wanted =
    Wanted { name: "debugfs", variable: "RAVELIN_DEBUGFS", remedy: "e2fsprogs" };

/// The tool, and the file system that it works on.
pub(crate) struct Debugfs<'a> {
    tool: Tool,
    file: &'a File,
}

/// A member of a directory.
pub(crate) struct Member {
    pub(crate) name: String,
    /// Type and permissions, as in stat(2).
    pub(crate) mode: u32,
}

impl<'a> Debugfs<'a> {
    /// Finds the tool, to work on `file`.
    pub(crate) fn open(tools: &Tools, file: &'a File) -> Result<Self, BuildError> {
        let tool = Tool::find(&WANTED, tools.debugfs.as_ref())?;
        Ok(Self { tool, file })
    }

    /// What a directory holds; nothing if there is no such directory. What is no plain
    /// word in a name is not told apart.
    pub(crate) fn list(&self, directory: &str) -> Result<Vec<Member>, BuildError> {
        let said = self.ask(&format!("ls -p {directory}"))?;
        let members: Vec<Member> = said.lines().filter_map(member).collect();
        // Every directory has `.`.
        if members.is_empty() && !said.contains("File not found by ext2_lookup") {
            return Err(self.misunderstood(&said));
        }
        Ok(members)
    }

    /// How many names a file has.
    pub(crate) fn links(&self, path: &str) -> Result<u64, BuildError> {
        let said = self.ask(&format!("stat {path}"))?;
        let links = said.lines().find_map(|line| line.strip_prefix("Links: "));
        let links = links.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        links.ok_or_else(|| self.misunderstood(&said))
    }

    /// The blocks that a file has.
    pub(crate) fn blocks(&self, path: &str) -> Result<Vec<u64>, BuildError> {
        let said = self.ask(&format!("blocks {path}"))?;
        let numbers = said.lines().filter(|line| !line.starts_with("debugfs "));
        let numbers: Result<_, _> =
            numbers.flat_map(str::split_whitespace).map(str::parse).collect();
        numbers.map_err(|_no_number| self.misunderstood(&said))
    }

    /// Removes the names of files, and the files with them that have no other name.
    pub(crate) fn remove(&self, paths: &[String]) -> Result<(), BuildError> {
        self.change(&[], paths.iter().map(|path| format!("rm {path}\n")))
    }

    /// Sets attributes of files: inode, name, and a file with the value. A name has no control
    /// characters and no quotation mark. `created` is the time that the file system says.
    pub(crate) fn set_attributes<'b>(
        &self,
        wanted: impl Iterator<Item = (u32, &'b str, &'b File)>,
        created: u32,
    ) -> Result<(), BuildError> {
        let variables = [("E2FSPROGS_FAKE_TIME", created.max(1).to_string())];
        let line =
            |(inode, name, value)| format!("ea_set -f {} <{inode}> \"{name}\"\n", path_of(value));
        self.change(&variables, wanted.map(line))
    }

    /// Runs commands, each a line, that write to the file system.
    fn change(
        &self,
        variables: &[(&'static str, String)],
        lines: impl Iterator<Item = String>,
    ) -> Result<(), BuildError> {
        let args: [OsString; 4] = ["-w".into(), "-f".into(), "-".into(), path_of(self.file).into()];
        let mut running = self.tool.start(&args, variables, None)?;
        for line in lines {
            running.write_all(line.as_bytes()).map_err(BuildError::Feed)?;
        }
        running.flush().map_err(BuildError::Feed)?;
        running.finish()?;
        Ok(())
    }

    fn ask(&self, question: &str) -> Result<String, BuildError> {
        Ok(self.tool.ask(&["-R", question, &path_of(self.file)])?)
    }

    fn misunderstood(&self, said: &str) -> BuildError {
        let line = said.lines().find(|line| !line.starts_with("debugfs "));
        let line: String = line.unwrap_or("nothing").chars().take(200).collect();
        self.tool.unfit(format!("its answer is not understood: {}", line.escape_debug())).into()
    }
}

/// A line such as `/14/100600/0/0/name/2590/`: inode, mode, user, group, name, size.
fn member(line: &str) -> Option<Member> {
    let mut fields = line.strip_prefix('/')?.split('/');
    let mode = u32::from_str_radix(fields.nth(1)?, 8).ok()?;
    Some(Member { name: fields.nth(2)?.to_owned(), mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_member() {
        let found = member("/14/100600/0/0/ssh_host_rsa_key/2590/").unwrap();
        assert_eq!((found.name.as_str(), found.mode), ("ssh_host_rsa_key", 0o100_600));
        for line in ["", "/", "/14/9/0/0/a/1/", "ls: no", "/14/100600/0"] {
            assert!(member(line).is_none(), "{line}");
        }
    }
}
