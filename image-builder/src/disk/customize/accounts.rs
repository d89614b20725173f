//! Users and groups in the files that hold them.
//!
//! Formats: passwd(5), shadow(5), group(5), gshadow(5). Lines that are not touched stay byte
//! for byte as they are.

use super::declaration::User;

/// The first id of a user who is a person (login.defs(5), `UID_MIN`).
const FIRST: u32 = 1000;
/// The last one (`UID_MAX`).
const LAST: u32 = 60_000;
/// No password fits it. Other than with `!`, sshd takes the account for one that is not locked,
/// also without PAM.
const NO_PASSWORD: &str = "*";

/// The four files.
#[derive(Default)]
pub(super) struct Accounts {
    pub(super) passwd: Vec<u8>,
    pub(super) group: Vec<u8>,
    pub(super) shadow: Option<Vec<u8>>,
    pub(super) gshadow: Option<Vec<u8>>,
}

/// A user who is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// Whether the home directory is to be made.
    pub(super) new: bool,
}

impl Accounts {
    /// Makes sure that the user is there, as it is declared. What is in the way, if it cannot be.
    pub(super) fn add(&mut self, user: &User) -> Result<Account, String> {
        let account = match line(&self.passwd, &user.name) {
            Some(fields) => existing(user, &fields)?,
            None => self.new_user(user)?,
        };
        for group in &user.groups {
            if !append_member(&mut self.group, group, &user.name) {
                return Err(format!("there is no group `{group}` for the user `{}`", user.name));
            }
            if let Some(gshadow) = &mut self.gshadow {
                // A group without passwords may lack its line.
                append_member(gshadow, group, &user.name);
            }
        }
        Ok(account)
    }

    fn new_user(&mut self, user: &User) -> Result<Account, String> {
        let name = &user.name;
        let uids = ids(&self.passwd);
        let uid = match user.uid {
            Some(uid) if uids.contains(&uid) => {
                return Err(format!("another user has the uid {uid} of `{name}`; choose one"));
            }
            Some(uid) => uid,
            None => free(&uids, FIRST).ok_or("all uids are taken; choose one")?,
        };
        let gids = ids(&self.group);
        let named = line(&self.group, name).and_then(|fields| number(&fields, 2));
        let gid = match (user.gid, named) {
            (Some(gid), Some(named)) if gid != named => {
                return Err(format!("the group `{name}` has the gid {named}; leave `gid` out"));
            }
            (_, Some(named)) => named,
            (Some(gid), None) if gids.contains(&gid) => gid,
            (wanted, None) => {
                let like_user = (!gids.contains(&uid)).then_some(uid);
                let gid = wanted.or(like_user).or_else(|| free(&gids, FIRST));
                let gid = gid.ok_or("all gids are taken; choose one")?;
                append(&mut self.group, &format!("{name}:x:{gid}:"));
                if let Some(gshadow) = &mut self.gshadow {
                    append(gshadow, &format!("{name}:!::"));
                }
                gid
            }
        };
        let password = if self.shadow.is_some() { "x" } else { NO_PASSWORD };
        let User { comment, home, shell, .. } = user;
        let shell = shell.as_deref().unwrap_or("/bin/sh");
        append(
            &mut self.passwd,
            &format!("{name}:{password}:{uid}:{gid}:{comment}:{home}:{shell}"),
        );
        if let Some(shadow) = &mut self.shadow {
            append(shadow, &format!("{name}:{NO_PASSWORD}:::::::"));
        }
        Ok(Account { uid, gid, new: true })
    }
}

/// A user that the tree has already has to be the one that is declared.
fn existing(user: &User, fields: &[String]) -> Result<Account, String> {
    let name = &user.name;
    let (uid, gid) = (number(fields, 2), number(fields, 3));
    let (Some(uid), Some(gid)) = (uid, gid) else {
        return Err(format!("the line of the user `{name}` is none"));
    };
    let field = |at: usize| fields.get(at).map_or("", String::as_str);
    let differs = |key: &str, found: &str| {
        Err(format!(
            "the user `{name}` is there with {key} = {found}; declare the same, or leave it out"
        ))
    };
    if user.uid.is_some_and(|wanted| wanted != uid) {
        return differs("uid", &uid.to_string());
    }
    if user.gid.is_some_and(|wanted| wanted != gid) {
        return differs("gid", &gid.to_string());
    }
    if user.shell.as_ref().is_some_and(|wanted| wanted != field(6)) {
        return differs("shell", field(6));
    }
    if !user.authorized_keys.is_empty() && user.home != field(5).trim_end_matches('/') {
        return differs("home", field(5));
    }
    Ok(Account { uid, gid, new: false })
}

/// The fields of a name's line.
fn line(file: &[u8], name: &str) -> Option<Vec<String>> {
    let start = format!("{name}:").into_bytes();
    let line = file.split(|&byte| byte == b'\n').find(|line| line.starts_with(&start))?;
    let fields = line.split(|&byte| byte == b':');
    Some(fields.map(|field| String::from_utf8_lossy(field).into_owned()).collect())
}

fn number(fields: &[String], at: usize) -> Option<u32> {
    fields.get(at)?.parse().ok()
}

/// The third field of every line.
fn ids(file: &[u8]) -> Vec<u32> {
    let lines = file.split(|&byte| byte == b'\n');
    let third = |line: &[u8]| {
        std::str::from_utf8(line.split(|&byte| byte == b':').nth(2)?).ok()?.parse().ok()
    };
    let mut ids: Vec<u32> = lines.filter_map(third).collect();
    ids.sort_unstable();
    ids
}

fn free(taken: &[u32], first: u32) -> Option<u32> {
    (first..=LAST).find(|id| taken.binary_search(id).is_err())
}

fn append(file: &mut Vec<u8>, line: &str) {
    if file.last().is_some_and(|&byte| byte != b'\n') {
        file.push(b'\n');
    }
    file.extend(line.as_bytes());
    file.push(b'\n');
}

/// Adds a user to the last field of a group's line; false if there is no such group.
fn append_member(file: &mut Vec<u8>, group: &str, user: &str) -> bool {
    let start = format!("{group}:").into_bytes();
    let mut out = Vec::with_capacity(file.len().saturating_add(user.len()).saturating_add(1));
    let mut found = false;
    for line in file.split_inclusive(|&byte| byte == b'\n') {
        let (text, end) = match line.strip_suffix(b"\n") {
            Some(text) => (text, &b"\n"[..]),
            None => (line, &b""[..]),
        };
        out.extend(text);
        if !found && text.starts_with(&start) {
            found = true;
            let members = text.rsplit(|&byte| byte == b':').next().unwrap_or_default();
            let mut list = members.split(|&byte| byte == b',');
            if !list.any(|member| member == user.as_bytes()) {
                if !members.is_empty() {
                    out.push(b',');
                }
                out.extend(user.as_bytes());
            }
        }
        out.extend(end);
    }
    *file = out;
    found
}
