//! Puts what is declared into a tree on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use super::accounts::{Account, Accounts};
use super::declaration::{Customization, Placed, User};
use crate::disk::BuildError;
use crate::disk::tree::{Entry, Kind, Meta, Note, Shown, Sink, Time, TreeError, small};

/// The files that hold the accounts, in the order in which they are written.
const ACCOUNTS: [&[u8]; 4] = [b"etc/group", b"etc/gshadow", b"etc/passwd", b"etc/shadow"];
/// The most bytes of one.
const MAX_ACCOUNTS: u64 = 4 << 20;

/// A sink that adds what is declared. Without anything declared it passes all on.
pub(crate) struct Customizer<S> {
    inner: S,
    users: Vec<User>,
    files: BTreeMap<Vec<u8>, Placed>,
    /// The paths of all files that are declared, those of users included.
    taken: BTreeSet<Vec<u8>>,
    /// The directories on the way to what is declared.
    directories: BTreeSet<Vec<u8>>,
    /// Those of them that the tree has.
    found: BTreeSet<Vec<u8>>,
    /// Members of the tree that are replaced: nothing may link to them.
    replaced: BTreeSet<Vec<u8>>,
    /// The files of accounts, held back until all is known.
    accounts: BTreeMap<Vec<u8>, (Entry, Vec<u8>)>,
}

impl<S: Sink> Customizer<S> {
    pub(crate) fn new(inner: S, customization: Customization) -> Customizer<S> {
        let Customization { users, files } = customization;
        let files: BTreeMap<Vec<u8>, Placed> =
            files.into_iter().map(|file| (file.path.clone(), file)).collect();
        let mut taken: BTreeSet<Vec<u8>> = files.keys().cloned().collect();
        let with_keys = users.iter().filter(|user| !user.authorized_keys.is_empty());
        taken.extend(with_keys.map(|user| {
            let [_, _, keys] = home_paths(user);
            keys
        }));
        let mut directories = BTreeSet::new();
        for path in files.keys().cloned().chain(users.iter().flat_map(paths_of)) {
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            directories.extend(slashes.filter_map(|(at, _)| path.get(..at).map(<[u8]>::to_vec)));
        }
        Customizer {
            inner,
            users,
            files,
            taken,
            directories,
            found: BTreeSet::new(),
            replaced: BTreeSet::new(),
            accounts: BTreeMap::new(),
        }
    }

    /// Adds what is declared, in the order of the paths; the sink below.
    pub(crate) fn finish(mut self) -> Result<S, BuildError> {
        let mut members = BTreeMap::new();
        self.add_users(&mut members)?;
        for (path, file) in std::mem::take(&mut self.files) {
            let meta =
                Meta { mode: file.mode, uid: file.uid, gid: file.gid, mtime: Time::default() };
            let size = file.content.len() as u64;
            let entry =
                Entry { path: path.clone(), kind: Kind::File { size }, meta, xattrs: Vec::new() };
            if members.insert(path.clone(), (entry, file.content)).is_some() {
                let problem = "is declared as a file, and is one of a declared user".to_owned();
                return Err(TreeError::Customize { path, problem }.into());
            }
        }
        for (entry, content) in members.into_values() {
            self.inner.add(entry, &mut &content[..])?;
        }
        Ok(self.inner)
    }

    fn add_users(
        &mut self,
        members: &mut BTreeMap<Vec<u8>, (Entry, Vec<u8>)>,
    ) -> Result<(), BuildError> {
        if self.users.is_empty() {
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.accounts);
        let mut text = |path: &[u8]| held.get_mut(path).map(|(_, text)| std::mem::take(text));
        let [group, gshadow, passwd, shadow] = ACCOUNTS.map(&mut text);
        let (Some(passwd), Some(group)) = (passwd, group) else {
            let problem = "users need it and /etc/group, and the tree has not both".to_owned();
            return Err(TreeError::Customize { path: b"etc/passwd".to_vec(), problem }.into());
        };
        let mut accounts = Accounts { passwd, group, shadow, gshadow };
        for user in std::mem::take(&mut self.users) {
            let account = accounts.add(&user).map_err(|problem| TreeError::Customize {
                path: b"etc/passwd".to_vec(),
                problem,
            })?;
            self.add_home(&user, account, members);
        }
        let Accounts { passwd, group, shadow, gshadow } = accounts;
        let texts = [Some(group), gshadow, Some(passwd), shadow];
        for (path, text) in ACCOUNTS.iter().zip(texts) {
            if let Some((mut entry, _)) = held.remove(*path)
                && let Some(text) = text
            {
                entry.kind = Kind::File { size: text.len() as u64 };
                members.insert(path.to_vec(), (entry, text));
            }
        }
        Ok(())
    }

    /// The home directory of a new user, and the keys.
    fn add_home(
        &self,
        user: &User,
        account: Account,
        members: &mut BTreeMap<Vec<u8>, (Entry, Vec<u8>)>,
    ) {
        let Account { uid, gid, new } = account;
        let mut add = |path: Vec<u8>, kind, mode, content: Vec<u8>| {
            let meta = Meta { mode, uid, gid, mtime: Time::default() };
            members.insert(path.clone(), (Entry { path, kind, meta, xattrs: Vec::new() }, content));
        };
        let [home, ssh, keys] = home_paths(user);
        let has_keys = !user.authorized_keys.is_empty();
        if (new || has_keys) && !self.found.contains(&home) {
            add(home, Kind::Directory, 0o700, Vec::new());
        }
        if !has_keys {
            return;
        }
        if !self.found.contains(&ssh) {
            add(ssh, Kind::Directory, 0o700, Vec::new());
        }
        let content = user.authorized_keys.join("\n") + "\n";
        let size = content.len() as u64;
        add(keys, Kind::File { size }, 0o600, content.into_bytes());
    }

    /// Holds a file of accounts back.
    fn hold(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        let path = entry.path.clone();
        let Kind::File { size } = entry.kind else {
            return Err(in_the_way(&entry, "users are declared").into());
        };
        if size > MAX_ACCOUNTS {
            let problem = "has more than 4 MiB, which no file of accounts has".to_owned();
            return Err(TreeError::Customize { path, problem }.into());
        }
        let text = small(&path, size, content)?;
        if self.accounts.insert(path.clone(), (entry, text)).is_some() {
            return Err(TreeError::Repeated { path }.into());
        }
        Ok(())
    }
}

impl<S: Sink> Sink for Customizer<S> {
    fn add(&mut self, entry: Entry, content: &mut dyn Read) -> Result<(), BuildError> {
        if !self.users.is_empty() && ACCOUNTS.contains(&&entry.path[..]) {
            return self.hold(entry, content);
        }
        if let Kind::HardLink { target } = &entry.kind
            && (self.replaced.contains(target) || self.accounts.contains_key(target))
        {
            let (path, target) = (entry.path, target.clone());
            return Err(TreeError::LeftOutLink { path, target }.into());
        }
        if self.taken.contains(&entry.path) {
            if !matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. }) {
                return Err(in_the_way(&entry, "a file of this name is declared").into());
            }
            if !self.replaced.insert(entry.path.clone()) {
                return Err(TreeError::Repeated { path: entry.path }.into());
            }
            return Ok(());
        }
        if self.directories.contains(&entry.path) {
            if entry.kind != Kind::Directory {
                return Err(in_the_way(&entry, "a file below it is declared").into());
            }
            self.found.insert(entry.path.clone());
        }
        self.inner.add(entry, content)
    }

    fn note(&mut self, note: Note) {
        self.inner.note(note);
    }
}

/// What stands in the way of a declared file.
fn in_the_way(entry: &Entry, declared: &str) -> TreeError {
    let what = match &entry.kind {
        Kind::Symlink { target } => {
            format!(
                "{declared}, but the tree has a symbolic link to {} there; declare the path that it \
                 leads to, or take the link out of the tree",
                Shown(target)
            )
        }
        Kind::Directory => format!("{declared}, but the tree has a directory there"),
        Kind::File { .. }
        | Kind::HardLink { .. }
        | Kind::CharacterDevice(_)
        | Kind::BlockDevice(_)
        | Kind::Fifo => {
            format!("{declared}, but the tree has something there that is not replaced")
        }
    };
    TreeError::Customize { path: entry.path.clone(), problem: what }
}

/// Home, `.ssh` and `authorized_keys` of a user, from the root of the tree.
fn home_paths(user: &User) -> [Vec<u8>; 3] {
    let home = user.home.trim_start_matches('/');
    ["", "/.ssh", "/.ssh/authorized_keys"].map(|end| format!("{home}{end}").into_bytes())
}

/// So that the last one of them and all above are looked at.
fn paths_of(user: &User) -> impl Iterator<Item = Vec<u8>> + use<> {
    let [home, _, keys] = home_paths(user);
    let below_home = [&home[..], b"/."].concat();
    let keys = (!user.authorized_keys.is_empty()).then_some(keys);
    [below_home].into_iter().chain(keys)
}
