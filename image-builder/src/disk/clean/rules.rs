//! The rules, one row each. `docs/import.md` has the same table; a test compares them.

use crate::disk::options::is_host_key;
use crate::disk::tree::{Entry, Kind};

/// One thing that is looked for.
#[derive(Debug)]
pub struct Rule {
    /// Which one.
    pub id: RuleId,
    /// Its name, as it is printed.
    pub name: &'static str,
    /// What is looked for.
    pub what: &'static str,
    /// Why it does not belong into the image.
    pub why: &'static str,
    /// What is done about it.
    pub action: Action,
    /// Whether a member is it, by everything but its content.
    pub(super) is: fn(&Entry) -> bool,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Rule) -> bool {
        self.id == other.id
    }
}

impl Eq for Rule {}

/// What is done about a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is left out.
    LeaveOut,
    /// It stays, without content.
    Empty,
    /// A part of it is left out.
    Rewrite,
    /// It is left out if that is asked for; otherwise it only informs.
    IfAsked,
    /// It is told, and never left out.
    Tell,
    /// It is no fault, and good to know.
    Inform,
}

impl Action {
    /// The words for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Action::LeaveOut => "left out",
            Action::Empty => "emptied",
            Action::Rewrite => "lines left out",
            Action::IfAsked => "left out if asked",
            Action::Tell => "told",
            Action::Inform => "information",
        }
    }
}

/// The rules by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "RULES says what each is")]
pub enum RuleId {
    HostKeys,
    MachineId,
    DbusMachineId,
    RandomSeed,
    CredentialSecret,
    CloudInit,
    History,
    Fstab,
    AuthorizedKeys,
    PrivateKey,
    DotEnv,
    CredentialFile,
    Token,
    Password,
    CloudPassword,
    NoPassword,
    Privileged,
}

impl RuleId {
    /// Its row.
    #[must_use]
    pub fn rule(self) -> &'static Rule {
        // Every variant has its row at its place, which a test makes sure of.
        RULES.get(self as usize).unwrap_or(&RULES[0])
    }
}

/// All rules.
pub static RULES: [Rule; 17] = [
    Rule {
        id: RuleId::HostKeys,
        name: "ssh-host-key",
        what: "`/etc/ssh/ssh_host_*_key` with `.pub` and certificate",
        why: "whoever has the image could pose as every VM made from it; the guest makes its own",
        action: Action::LeaveOut,
        is: |entry| entry.kind != Kind::Directory && is_host_key(&entry.path),
    },
    Rule {
        id: RuleId::MachineId,
        name: "machine-id",
        what: "`/etc/machine-id` with an id in it",
        why: "all VMs would be one machine; systemd fills an empty file, and no missing one on a \
              read-only root",
        action: Action::Empty,
        is: |entry| is_file(entry, b"etc/machine-id"),
    },
    Rule {
        id: RuleId::DbusMachineId,
        name: "dbus-machine-id",
        what: "`/var/lib/dbus/machine-id`, if it is a file of its own",
        why: "it is the machine id again; D-Bus goes by the other one",
        action: Action::LeaveOut,
        is: |entry| entry.path == b"var/lib/dbus/machine-id" && has_content(entry),
    },
    Rule {
        id: RuleId::RandomSeed,
        name: "random-seed",
        what: "`/var/lib/systemd/random-seed`, `random-seed` below `/boot` and `/efi`, and older \
               systems' seeds",
        why: "every VM would stir the same, known seed into its random generator",
        action: Action::LeaveOut,
        is: |entry| has_content(entry) && is_random_seed(&entry.path),
    },
    Rule {
        id: RuleId::CredentialSecret,
        name: "credential-secret",
        what: "`/var/lib/systemd/credential.secret`",
        why: "it opens what `systemd-creds` encrypts, on every VM the same; systemd makes a new one",
        action: Action::LeaveOut,
        is: |entry| is_file(entry, b"var/lib/systemd/credential.secret"),
    },
    Rule {
        id: RuleId::CloudInit,
        name: "cloud-init",
        what: "all in `/var/lib/cloud`; the installer's `99-installer.cfg`",
        why: "state and seeds of another machine: user data, passwords, and the record that the \
              first boot is over",
        action: Action::LeaveOut,
        is: |entry| {
            entry.path.starts_with(b"var/lib/cloud/")
                || is_file(entry, b"etc/cloud/cloud.cfg.d/99-installer.cfg")
        },
    },
    Rule {
        id: RuleId::History,
        name: "history",
        what: "histories of shells, databases and editors, such as `.bash_history`",
        why: "people type secrets into them",
        action: Action::LeaveOut,
        is: |entry| has_content(entry) && HISTORIES.contains(&name(&entry.path)),
    },
    Rule {
        id: RuleId::Fstab,
        name: "fstab",
        what: "lines of `/etc/fstab` for the old root, swap, `/boot`, `/boot/efi` and `/efi`",
        why: "the VM does not have these disks: the boot would wait for them, or remount the \
              wrong root",
        action: Action::Rewrite,
        is: |_| false,
    },
    Rule {
        id: RuleId::AuthorizedKeys,
        name: "authorized-keys",
        what: "`.ssh/authorized_keys`",
        why: "their owners can log in to every VM, as they may have to",
        action: Action::IfAsked,
        is: |entry| {
            let file = [&b".ssh/authorized_keys"[..], b".ssh/authorized_keys2"];
            file.iter().any(|end| entry.path.ends_with(end)) && has_content(entry)
        },
    },
    Rule {
        id: RuleId::PrivateKey,
        name: "private-key",
        what: "private keys by their content: PEM, OpenSSH, PKCS#8 and PKCS#1 in DER",
        why: "a key in a public image is nobody's alone",
        action: Action::Tell,
        is: |_| false,
    },
    Rule {
        id: RuleId::DotEnv,
        name: "dotenv",
        what: "`.env` and `.env.*`, but for examples",
        why: "applications keep their secrets there",
        action: Action::Tell,
        is: |entry| has_content(entry) && is_dotenv(name(&entry.path)),
    },
    Rule {
        id: RuleId::CredentialFile,
        name: "credential-file",
        what: "`.netrc`, `.pgpass`, `.git-credentials`, `.my.cnf`, `.aws/credentials`, \
               `.docker/config.json`, `.kube/config`",
        why: "programs keep passwords and tokens there",
        action: Action::Tell,
        is: |entry| has_content(entry) && is_credential_file(&entry.path),
    },
    Rule {
        id: RuleId::Token,
        name: "token",
        what: "tokens by their form: AWS, GitHub, GitLab, Slack",
        why: "whoever reads the image can use them",
        action: Action::Tell,
        is: |_| false,
    },
    Rule {
        id: RuleId::Password,
        name: "password",
        what: "`password=`, `secret=` or `token=` with a value, in text below `/etc`, `/root`, `/home`, \
               `/opt`, `/srv` and `/var/www`",
        why: "whoever reads the image knows it",
        action: Action::Tell,
        is: |_| false,
    },
    Rule {
        id: RuleId::CloudPassword,
        name: "cloud-password",
        what: "passwords in `/etc/cloud/cloud.cfg` and `cloud.cfg.d`",
        why: "every VM would have them",
        action: Action::Tell,
        is: |_| false,
    },
    Rule {
        id: RuleId::NoPassword,
        name: "no-password",
        what: "users in `/etc/shadow` or `/etc/passwd` who need no password",
        why: "anybody who reaches a login prompt is that user",
        action: Action::Tell,
        is: |_| false,
    },
    Rule {
        id: RuleId::Privileged,
        name: "privileged",
        what: "programs with set-user-ID or set-group-ID bits, or file capabilities",
        why: "they are what a local attacker looks at first",
        action: Action::Inform,
        is: |entry| {
            let capable = entry.xattrs.iter().any(|(name, _)| name == "security.capability");
            matches!(entry.kind, Kind::File { .. }) && (entry.meta.mode & 0o6000 != 0 || capable)
        },
    },
];

const HISTORIES: [&[u8]; 16] = [
    b".bash_history",
    b".zsh_history",
    b".sh_history",
    b".ash_history",
    b".ksh_history",
    b".history",
    b"fish_history",
    b".python_history",
    b".node_repl_history",
    b".mysql_history",
    b".psql_history",
    b".sqlite_history",
    b".rediscli_history",
    b".irb_history",
    b".lesshst",
    b".viminfo",
];

/// The last part of a path.
pub(super) fn name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or_default()
}

/// Whether it is a file or another name of one.
fn has_content(entry: &Entry) -> bool {
    matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. })
}

fn is_file(entry: &Entry, path: &[u8]) -> bool {
    entry.path == path && has_content(entry)
}

fn is_random_seed(path: &[u8]) -> bool {
    let known: [&[u8]; 4] = [
        b"var/lib/systemd/random-seed",
        b"var/lib/random-seed",
        b"var/lib/urandom/random-seed",
        b"var/lib/misc/random-seed",
    ];
    let boot = [&b"boot/"[..], b"efi/"].iter().any(|boot| path.starts_with(boot));
    known.contains(&path) || (boot && name(path) == b"random-seed")
}

fn is_dotenv(name: &[u8]) -> bool {
    let examples = [&b"example"[..], b"sample", b"template", b"dist"];
    name == b".env" || name.strip_prefix(b".env.").is_some_and(|end| !examples.contains(&end))
}

fn is_credential_file(path: &[u8]) -> bool {
    let names: [&[u8]; 4] = [b".netrc", b".pgpass", b".git-credentials", b".my.cnf"];
    let ends: [&[u8]; 3] = [b".aws/credentials", b".docker/config.json", b".kube/config"];
    let end = |end: &&[u8]| {
        path.strip_suffix(*end).is_some_and(|before| before.is_empty() || before.ends_with(b"/"))
    };
    names.contains(&name(path)) || ends.iter().any(end)
}
