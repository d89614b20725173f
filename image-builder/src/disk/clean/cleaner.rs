//! Applies the rules to a tree on its way.

use std::collections::HashSet;
use std::io::Read;

use super::{Action, Clean, Done, Finding, RULES, Rule, RuleId, content, fstab};
use crate::disk::BuildError;
use crate::disk::tree::{Entry, Kind, Note, Sink, TreeError, small};

/// Below this, all is one finding each for what is directly in it.
const CLOUD: &[u8] = b"var/lib/cloud/";

/// A sink that passes on what is not left out.
pub(crate) struct Cleaner<S> {
    inner: S,
    clean: Clean,
    /// Whether to tell what only informs, too.
    all: bool,
    /// Paths that were left out, but for directories: nothing may link to them.
    left_out: HashSet<Vec<u8>>,
}

impl<S: Sink> Cleaner<S> {
    pub(crate) fn new(inner: S, clean: Clean) -> Cleaner<S> {
        Cleaner { inner, clean, all: false, left_out: HashSet::new() }
    }

    /// Leaves nothing out and tells all.
    pub(crate) fn auditor(inner: S) -> Cleaner<S> {
        Cleaner { all: true, ..Cleaner::new(inner, Clean::NOTHING) }
    }

    pub(crate) fn into_inner(self) -> S {
        self.inner
    }

    fn find(&mut self, path: &[u8], id: RuleId, seen: (Option<u64>, Option<String>), done: Done) {
        let ((line, detail), rule, path) = (seen, id.rule(), path.to_vec());
        let informs = matches!(rule.action, Action::Inform | Action::IfAsked);
        if id == RuleId::HostKeys && done == Done::LeftOut {
            self.inner.note(Note::HostKeyLeftOut { path });
        } else if self.all || done != Done::Kept || !informs {
            self.inner.note(Note::Found(Finding { rule, path, line, detail, done }));
        }
    }

    /// Applies a rule that goes by the path; true if the member is left out.
    fn by_path(&mut self, rule: &'static Rule, entry: &mut Entry, content: &mut Vec<u8>) -> bool {
        let path = entry.path.clone();
        let done = match rule.action {
            Action::LeaveOut | Action::IfAsked if self.clean.has(rule.id) => Done::LeftOut,
            Action::Empty if self.clean.has(rule.id) => {
                // A link becomes a file of its own: what it leads to stays.
                entry.kind = Kind::File { size: 0 };
                content.clear();
                Done::Emptied
            }
            Action::LeaveOut
            | Action::Empty
            | Action::Rewrite
            | Action::IfAsked
            | Action::Tell
            | Action::Inform => Done::Kept,
        };
        let deep = path.strip_prefix(CLOUD).is_some_and(|below| below.contains(&b'/'));
        if !deep {
            self.find(&path, rule.id, (None, privilege(rule, entry)), done);
        }
        if done == Done::LeftOut && entry.kind != Kind::Directory {
            self.left_out.insert(path);
        }
        done == Done::LeftOut
    }

    /// Nothing can be below a file or a link to it, even one that is left out.
    fn check(&self, entry: &Entry) -> Result<(), TreeError> {
        if self.left_out.is_empty() {
            return Ok(());
        }
        let path = entry.path.clone();
        if self.left_out.contains(&path) {
            return Err(TreeError::Repeated { path });
        }
        if let Some(slash) = path.iter().rposition(|&byte| byte == b'/')
            && let Some(parent) = path.get(..slash).filter(|parent| self.left_out.contains(*parent))
        {
            let parent = parent.to_vec();
            return Err(TreeError::NotADirectory { path, parent });
        }
        Ok(())
    }
}

impl<S: Sink> Sink for Cleaner<S> {
    fn add(&mut self, mut entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        self.check(&entry)?;
        let mut bytes = Vec::new();
        if let Kind::File { size } = entry.kind
            && (1..=content::MOST).contains(&size)
        {
            bytes = small(&entry.path, size, content)?;
        } else if entry.path == b"etc/fstab" && matches!(entry.kind, Kind::File { size: 1.. }) {
            let problem = "has more than 256 KiB, which no fstab has";
            return Err(TreeError::Member { path: entry.path, problem }.into());
        }
        let is_small = !bytes.is_empty();

        let mut told = false;
        for rule in &RULES {
            let has_id = rule.id != RuleId::MachineId
                || matches!(entry.kind, Kind::HardLink { .. })
                || !matches!(bytes.trim_ascii(), b"" | b"uninitialized");
            if (rule.is)(&entry) && has_id {
                if self.by_path(rule, &mut entry, &mut bytes) {
                    return Ok(());
                }
                told |= rule.action == Action::LeaveOut;
            }
        }
        if let Kind::HardLink { target } = &entry.kind
            && self.left_out.contains(target)
        {
            let (path, target) = (entry.path, target.clone());
            return Err(TreeError::LeftOutLink { path, target }.into());
        }
        let rewrite = entry.path == b"etc/fstab" && self.clean.has(RuleId::Fstab);
        // What is to be left out needs no more reasons.
        let seen = if told { Vec::new() } else { content::look(&entry.path, &bytes) };
        for seen in seen {
            let rewritten = rewrite && seen.rule == RuleId::Fstab;
            let done = if rewritten { Done::Rewritten } else { Done::Kept };
            self.find(&entry.path, seen.rule, (seen.line, seen.detail), done);
        }
        if rewrite
            && is_small
            && let Kind::File { size } = &mut entry.kind
        {
            bytes = fstab::without_old(&bytes);
            *size = bytes.len() as u64;
        }
        if is_small {
            return self.inner.add(entry, &mut &bytes[..]);
        }
        self.inner.add(entry, content)
    }

    fn note(&mut self, note: Note) {
        self.inner.note(note);
    }
}

/// What a program may do.
fn privilege(rule: &Rule, entry: &Entry) -> Option<String> {
    if rule.id != RuleId::Privileged {
        return None;
    }
    let bits = [(0o4000, "set-user-ID"), (0o2000, "set-group-ID")];
    let bits = bits.iter().filter(|(bit, _)| entry.meta.mode & bit != 0);
    let mut words: Vec<String> = bits
        .map(|(bit, name)| {
            let id = if *bit == 0o4000 { entry.meta.uid } else { entry.meta.gid };
            format!("{name} {id}")
        })
        .collect();
    if entry.xattrs.iter().any(|(name, _)| name == "security.capability") {
        words.push("capabilities".to_owned());
    }
    Some(words.join(", "))
}
