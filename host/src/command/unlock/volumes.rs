//! What is released: which volumes, and where their keys are.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use attestation::report::Hex;
use clap::Args;
use image_builder::disk::EncryptedSidecar;
use luks::{Header, KdfLimits, Secret};
use protocol::release::{ReleasedKey, ReleasedVolume, VolumeName};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::command::image::secret::{self, PassphraseArguments};
use crate::failure::{Failure, Remedy, Result};
use crate::terminal::Terminal;
use crate::unlock::record::Record;
use crate::vm::VmFile;

/// The digest pins that much of a LUKS2 disk.
const LUKS_HEADER: u64 = luks::HEADER_SIZE as u64;
/// What both copies of a LUKS2 header begin with (LUKS2 on-disk format, section 2.1).
const LUKS_MAGIC: &[u8] = b"LUKS\xba\xbe";

/// Which volumes.
#[derive(Debug, Args)]
#[command(next_help_heading = "What is released")]
pub(crate) struct VolumeArguments {
    /// The sidecar of the encrypted root
    ///
    /// Default: that of the encrypted disk in vm.toml, which has the disk's name with .toml at its
    /// end.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["luks_header", "luks_header_sha256"])]
    sidecar: Option<PathBuf>,
    /// The root's key file
    ///
    /// Default: `key` of `[unlock]` in vm.toml, else the disk's name with .key at its end, beside the
    /// sidecar. A disk with a passphrase has none: its passphrase is asked for.
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_source")]
    key: Option<PathBuf>,
    #[command(flatten)]
    passphrase: PassphraseArguments,
    /// The root is a LUKS2 disk that was made elsewhere: its header
    ///
    /// A backup by `cryptsetup luksHeaderBackup`, made on a machine that you trust, or a disk whose
    /// first byte is the header's. Its first 16 MiB are pinned.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["luks_header_sha256", "key"])]
    luks_header: Option<PathBuf>,
    /// The same, by the SHA-256 of the header's 16 MiB
    #[arg(long, value_name = "DIGEST", conflicts_with = "key")]
    luks_header_sha256: Option<Hex<32>>,
    /// One more volume: its name in the VM's configuration, its sidecar, its key (repeatable)
    ///
    /// KEY is its key file, or, for one with a passphrase, a file with the passphrase. Default: as
    /// for the root.
    #[arg(long, value_name = "NAME=SIDECAR[:KEY]")]
    volume: Vec<Named<Sidecar>>,
    /// One more LUKS2 volume: header (a file or its SHA-256) and a file with the passphrase
    /// (repeatable)
    #[arg(long, value_name = "NAME=HEADER:FILE")]
    luks_volume: Vec<Named<LuksPaths>>,
    /// Let the VM format this volume if its disk is blank (repeatable)
    ///
    /// For the first boot with a new disk. A host can make a disk blank: what was on it is lost
    /// then, and the VM begins anew without a word.
    #[arg(long, value_name = "NAME")]
    provision: Vec<VolumeName>,
}

/// `NAME=…`.
#[derive(Debug, Clone)]
struct Named<T> {
    name: VolumeName,
    value: T,
}

/// `SIDECAR[:KEY]`.
#[derive(Debug, Clone)]
struct Sidecar {
    path: PathBuf,
    key: Option<PathBuf>,
}

/// `HEADER:FILE`.
#[derive(Debug, Clone)]
struct LuksPaths {
    header: LuksHeader,
    passphrase: PathBuf,
}

/// A LUKS2 header, by file or digest.
#[derive(Debug, Clone)]
enum LuksHeader {
    File(PathBuf),
    Digest([u8; 32]),
}

impl<T: FromStr<Err = String>> FromStr for Named<T> {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (name, value) = text.split_once('=').ok_or("write NAME=…")?;
        let name = name.parse().map_err(|error: protocol::release::ReleaseError| error.to_string());
        Ok(Self { name: name?, value: value.parse()? })
    }
}

impl FromStr for Sidecar {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (path, key) = match text.rsplit_once(':') {
            Some((path, key)) => (path, Some(key)),
            None => (text, None),
        };
        if path.is_empty() || key == Some("") {
            return Err("write NAME=SIDECAR or NAME=SIDECAR:KEY".to_owned());
        }
        Ok(Self { path: path.into(), key: key.map(PathBuf::from) })
    }
}

impl FromStr for LuksPaths {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.rsplit_once(':') {
            Some((header, passphrase)) if !header.is_empty() && !passphrase.is_empty() => {
                let digest = header.parse::<Hex<32>>().map(|digest| LuksHeader::Digest(digest.0));
                let header = digest.unwrap_or_else(|_path| LuksHeader::File(header.into()));
                Ok(Self { header, passphrase: passphrase.into() })
            }
            _ => Err("write NAME=HEADER:FILE".to_owned()),
        }
    }
}

/// A volume that is to be released, as the command line has it: no file is read yet.
pub(super) struct Planned<'a> {
    pub(super) name: VolumeName,
    source: Source<'a>,
    provision: bool,
}

enum Source<'a> {
    Sidecar { path: PathBuf, key: Option<PathBuf>, passphrase: Option<&'a PassphraseArguments> },
    Luks { header: LuksHeader, passphrase: LuksPassphrase<'a> },
}

enum LuksPassphrase<'a> {
    Arguments(&'a PassphraseArguments),
    File(PathBuf),
}

/// The same with its sidecar; still without its key.
pub(super) struct Volume<'a> {
    pub(super) planned: Planned<'a>,
    pub(super) sidecar: Option<EncryptedSidecar>,
}

impl VolumeArguments {
    /// The volumes by name.
    ///
    /// # Errors
    /// None, one twice, or one that is to be provisioned and not there.
    pub(super) fn plan(&self, file: Option<&VmFile>) -> Result<Vec<Planned<'_>>> {
        let mut planned: Vec<Planned<'_>> = self.root(file)?.into_iter().collect();
        for Named { name, value } in &self.volume {
            let Sidecar { path, key } = value.clone();
            let source = Source::Sidecar { path, key, passphrase: None };
            planned.push(Planned { name: name.clone(), source, provision: false });
        }
        for Named { name, value } in &self.luks_volume {
            let LuksPaths { header, passphrase } = value.clone();
            let source = Source::Luks { header, passphrase: LuksPassphrase::File(passphrase) };
            planned.push(Planned { name: name.clone(), source, provision: false });
        }
        planned.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([twice, _]) = planned.array_windows().find(|[a, b]| a.name == b.name) {
            return Err(Failure::usage(format!("the volume {} is given twice", twice.name)));
        }
        for name in &self.provision {
            let volume = planned.iter_mut().find(|volume| volume.name == *name);
            let missing = || Failure::usage(format!("--provision {name}: it is not released"));
            volume.ok_or_else(missing)?.provision = true;
        }
        if planned.is_empty() {
            return Err(Failure::usage("no volume to release")
                .help("name the root's sidecar with --sidecar (`ravelin image encrypt` made it)"));
        }
        Ok(planned)
    }

    fn root(&self, file: Option<&VmFile>) -> Result<Option<Planned<'_>>> {
        let header = match (&self.luks_header, self.luks_header_sha256) {
            (Some(path), _) => Some(LuksHeader::File(path.clone())),
            (None, digest) => digest.map(|digest| LuksHeader::Digest(digest.0)),
        };
        let source = if let Some(header) = header {
            Source::Luks { header, passphrase: LuksPassphrase::Arguments(&self.passphrase) }
        } else {
            let found = match &self.sidecar {
                Some(path) => Some(path.clone()),
                None => file.map(|file| self.sidecar_of(file)).transpose()?.flatten(),
            };
            let Some(path) = found else {
                if self.key.is_some() || self.passphrase.given() {
                    return Err(Failure::usage("a key, and no root that it is for")
                        .help("name the root's sidecar with --sidecar"));
                }
                return Ok(None);
            };
            let of_file = || Some(file?.resolve(file?.vm().unlock.key.as_ref()?));
            let key = self.key.clone().or_else(of_file);
            Source::Sidecar { path, key, passphrase: Some(&self.passphrase) }
        };
        Ok(Some(Planned { name: VolumeName::root(), source, provision: false }))
    }

    /// The sidecar of a VM's only encrypted disk, but for those of other volumes.
    fn sidecar_of(&self, file: &VmFile) -> Result<Option<PathBuf>> {
        let named: Vec<PathBuf> =
            self.volume.iter().filter_map(|named| named.value.path.canonicalize().ok()).collect();
        let is_another = |path: &Path| path.canonicalize().is_ok_and(|path| named.contains(&path));
        let mut found = Vec::new();
        for disk in &file.vm().disks {
            let mut path = file.resolve(&disk.file).into_os_string();
            path.push(".toml");
            let path = PathBuf::from(path);
            if path.exists()
                && !is_another(&path)
                && EncryptedSidecar::claims(&crate::evidence::text(&path)?)
            {
                found.push(path);
            }
        }
        match <[PathBuf; 1]>::try_from(found) {
            Ok([path]) => Ok(Some(path)),
            Err(none) if none.is_empty() => Ok(None),
            Err(several) => Err(Failure::usage(format!(
                "{}: {} of its disks are encrypted",
                file.path().display(),
                several.len()
            ))
            .help("name the root's sidecar with --sidecar, the others with --volume")),
        }
    }
}

impl<'a> Planned<'a> {
    /// The sidecar's path.
    pub(super) fn sidecar(&self) -> Option<&Path> {
        match &self.source {
            Source::Sidecar { path, .. } => Some(path),
            Source::Luks { .. } => None,
        }
    }

    /// Where the VM that gets this volume's key is recorded.
    pub(super) fn record(&self) -> Option<Record> {
        self.sidecar().map(Record::beside)
    }

    /// Reads the sidecar.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn load(self) -> Result<Volume<'a>> {
        let load = |path: &Path| {
            EncryptedSidecar::load(path).map_err(|error| {
                let error = crate::terminal::causes(&error);
                Failure::new(error)
                    .named(path)
                    .help("`ravelin image encrypt` writes one beside the disk")
            })
        };
        let sidecar = self.sidecar().map(load).transpose()?;
        Ok(Volume { planned: self, sidecar })
    }
}

impl Volume<'_> {
    /// The lowest epoch that is accepted.
    pub(super) fn min_epoch(&self) -> u64 {
        self.sidecar.as_ref().map_or(0, |sidecar| sidecar.epoch.0)
    }

    /// Whether a blank disk is formatted.
    pub(super) fn provision(&self) -> bool {
        self.planned.provision
    }

    /// Reads its key: what opens it.
    ///
    /// # Errors
    /// A key that cannot be read, or is of another kind than the disk's.
    pub(super) fn released(&self, terminal: &Terminal) -> Result<ReleasedVolume> {
        let name = &self.planned.name;
        let key = match (&self.planned.source, &self.sidecar) {
            (Source::Sidecar { path, key, passphrase }, Some(sidecar)) => {
                let secret = secret_of(name, path, sidecar, key.as_deref(), *passphrase, terminal)?;
                let secret = Zeroizing::new(*secret.as_bytes());
                ReleasedKey::Spec { spec: sidecar.spec.encode(), secret }
            }
            (Source::Luks { header, passphrase }, _) => ReleasedKey::Luks {
                header_sha256: header.digest(name)?,
                passphrase: match passphrase {
                    LuksPassphrase::File(path) => secret::passphrase_in(path, terminal)?,
                    LuksPassphrase::Arguments(arguments) => arguments.read(terminal)?,
                },
            },
            (Source::Sidecar { path, .. }, None) => {
                return Err(Failure::new(format!("{}: was not read", path.display())));
            }
        };
        let (min_epoch, provision) = (self.min_epoch(), self.provision());
        Ok(ReleasedVolume { name: name.clone(), key, min_epoch, provision })
    }
}

fn secret_of(
    name: &VolumeName,
    path: &Path,
    sidecar: &EncryptedSidecar,
    key: Option<&Path>,
    arguments: Option<&PassphraseArguments>,
    terminal: &Terminal,
) -> Result<Secret> {
    let given = arguments.filter(|arguments| arguments.given());
    let Some(stretch) = sidecar.spec.stretch() else {
        if given.is_some() {
            return Err(Failure::usage(format!(
                "the volume {name} is unlocked by a key file, not by a passphrase"
            ))
            .help("name the key file with --key"));
        }
        let beside = || path.with_file_name(format!("{}.key", sidecar.disk.file));
        return secret::key(&key.map_or_else(beside, Path::to_owned), terminal)
            .remedy(format!("name the key file of the volume {name}"));
    };
    let passphrase = match (given, key, arguments) {
        (Some(given), ..) => given.read(terminal)?,
        // Of another volume than the root, a key is a file with the passphrase.
        (None, Some(file), None) => secret::passphrase_in(file, terminal)?,
        (None, Some(_), Some(_)) => {
            return Err(Failure::usage(format!(
                "the volume {name} is unlocked by a passphrase, not by a key file"
            ))
            .help("leave --key out, and it is asked for; or use --passphrase-file"));
        }
        (None, None, _) => secret::prompt(&format!("Passphrase of the volume {name}: "))?,
    };
    terminal.note(&format!("stretching the passphrase of the volume {name}"));
    Ok(Secret::from_passphrase(&passphrase, stretch)?)
}

impl LuksHeader {
    /// The digest, of a header that the guest would take: what it would refuse is better
    /// said before the release than by it, whose passphrase is there then.
    fn digest(&self, name: &VolumeName) -> Result<[u8; 32]> {
        let path = match self {
            Self::Digest(digest) => return Ok(*digest),
            Self::File(path) => path,
        };
        let failed = |error| Failure::file(path, error);
        let mut header = Vec::new();
        let file = File::open(path).map_err(failed)?;
        file.take(LUKS_HEADER).read_to_end(&mut header).map_err(failed)?;
        if !header.starts_with(LUKS_MAGIC) || header.len() as u64 != LUKS_HEADER {
            let text = "has no LUKS2 header of 16 MiB at its first byte";
            return Err(Failure::new(format!("{}: {text}", path.display()))
                .help("`cryptsetup luksHeaderBackup` makes such a file"));
        }
        Header::parse(&header, &KdfLimits::default()).map_err(|error| {
            let error = crate::terminal::causes(&error);
            Failure::refused(format!(
                "{}: the LUKS2 header of the volume {name} is refused: {error}",
                path.display()
            ))
            .help(
                "nothing was sent. The guest takes one keyslot, one segment with authenticated \
                 encryption, and nothing that is not known",
            )
        })?;
        Ok(Sha256::digest(&header).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_named() {
        let sidecar = |text: &str| text.parse::<Named<Sidecar>>();
        let one = sidecar("data=d.toml").unwrap();
        assert_eq!((one.name.as_str(), one.value.key), ("data", None));
        let two = sidecar("data=a:b/d.toml:k").unwrap().value;
        assert_eq!((two.path, two.key), ("a:b/d.toml".into(), Some("k".into())));
        for bad in ["", "data", "=x", "data=", "data=:k", "data=x:", "Data=x"] {
            assert!(sidecar(bad).is_err(), "{bad:?}");
        }
        let luks = |text: &str| text.parse::<Named<LuksPaths>>();
        let digest = format!("old={}:p", "5a".repeat(32));
        assert!(matches!(luks(&digest).unwrap().value.header, LuksHeader::Digest([0x5a, ..])));
        assert!(matches!(luks("old=h:p").unwrap().value.header, LuksHeader::File(_)));
        for bad in ["old=h", "old=:p", "old=h:", "old"] {
            assert!(luks(bad).is_err(), "{bad:?}");
        }
    }
}
