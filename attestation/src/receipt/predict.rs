//! The events of a boot, from what it follows from.
//!
//! Written from the description of the boot (docs/architecture.md) and of the kernel's
//! tables (Documentation/admin-guide/device-mapper/verity.rst), not from PID 1's code: two
//! ways to one text.

use protocol::config::{
    Config, DataVolume, EvidenceSource, KeySource, OwnerKey, Protection, Unlock, Verity,
    VolumeCipher, VolumeFormat, VolumeTarget, Writable, WritableDirectory,
};
use protocol::hooks::Stage;
use protocol::receipt::{Event, short, written};
use protocol::release::VolumeName;
use protocol::units::MemorySize;
use sha2::{Digest as _, Sha256};

use super::{Decides, Measured, tables};

/// An event that should be there.
#[derive(Debug, Clone)]
pub(super) struct Expected {
    pub(super) event: Event,
    /// Names of the values that are not predicted.
    pub(super) decided: &'static [(&'static str, Decides)],
}

/// All events of the boot, in order. Where others decide, `events`, which are those of
/// the receipt, say how; what they could not have decided so is predicted as it should be.
pub(super) fn predict(measured: &Measured<'_>, events: &[Event]) -> Vec<Expected> {
    let config = measured.config;
    let mut boot = Boot { config, events, expected: Vec::new(), reports: false };
    boot.configuration();
    boot.hooks_found(measured);
    boot.modules(measured);
    let classes: Vec<&str> = config.harden.iter().map(|class| class.as_str()).collect();
    let classes = if classes.is_empty() { "nothing".to_owned() } else { classes.join(" ") };
    let lockdown = String::new();
    boot.but(Event::Harden { classes, lockdown }, &[("lockdown", Decides::Image)]);
    boot.disks();
    boot.hooks_run(measured, Stage::PreRoot);
    if let Some(network) = &config.network {
        let wanted = network.addressing.to_string();
        boot.but(Event::Network { wanted, has: String::new() }, &[("has", Decides::Host)]);
    }
    if let Some(unlock) = &config.unlock {
        boot.reports();
        boot.release(unlock);
    }
    if let Protection::Verity(verity) = &config.root.protection {
        boot.verity_table(verity);
    }
    let fstype = config.root.fstype.to_string();
    let init = short(&config.root.init.as_path().display().to_string());
    boot.exactly(Event::Root { fstype, init });
    boot.hooks_run(measured, Stage::PostRoot);
    for volume in config.volumes.iter().filter(|volume| volume.target == VolumeTarget::Writable) {
        boot.opened_here(volume);
        boot.file_system(volume);
    }
    boot.writable();
    for volume in &config.volumes {
        boot.mount(volume);
    }
    boot.reports();
    boot.exactly(Event::Keys {
        count: measured.host_keys.blobs().len().to_string(),
        keys: hex::encode(Sha256::digest(measured.host_keys.encode())),
    });
    boot.expected
}

struct Boot<'a> {
    config: &'a Config,
    events: &'a [Event],
    expected: Vec<Expected>,
    reports: bool,
}

impl Boot<'_> {
    fn exactly(&mut self, event: Event) {
        self.but(event, &[]);
    }

    fn but(&mut self, event: Event, decided: &'static [(&'static str, Decides)]) {
        self.expected.push(Expected { event, decided });
    }

    fn configuration(&mut self) {
        let mode = self.config.root.protection.mode().to_string();
        self.exactly(Event::Configuration { mode, settings: hex::encode(self.config.settings) });
    }

    fn hooks_found(&mut self, measured: &Measured<'_>) {
        let mut hooks: Vec<_> = measured.hooks.iter().collect();
        // As their directories are listed.
        hooks.sort_by_key(|(stage, name)| (stage.directory(), name));
        for (stage, name) in hooks {
            self.exactly(Event::Hook { stage: stage.to_string(), name: name.clone() });
        }
    }

    fn hooks_run(&mut self, measured: &Measured<'_>, stage: Stage) {
        let mut names: Vec<&String> =
            measured.hooks.iter().filter(|(of, _)| *of == stage).map(|(_, name)| name).collect();
        names.sort();
        for name in names {
            self.exactly(Event::Ran { stage: stage.to_string(), name: name.clone() });
        }
    }

    fn modules(&mut self, measured: &Measured<'_>) {
        let Some(order) = measured.order else { return };
        self.exactly(Event::Modules {
            kernel: order.kernel.clone(),
            count: order.modules.len().to_string(),
            order: hex::encode(Sha256::digest(order.to_string())),
        });
        // The processor may lack what an optional one is for.
        for module in order.modules.iter().filter(|module| !module.required) {
            let refused = Event::Refused { path: short(&module.path) };
            if self.events.contains(&refused) {
                self.but(refused, &[("path", Decides::Host)]);
            }
        }
    }

    fn disks(&mut self) {
        let root = &self.config.root;
        let mut wanted = vec![("root.device".to_owned(), &root.device)];
        if let Protection::Verity(verity) = &root.protection {
            wanted.push(("verity.hash_device".to_owned(), &verity.hash_device));
        }
        let volumes = self.config.volumes.iter();
        wanted.extend(volumes.map(|v| (format!("volume.{}.device", v.name), &v.device)));
        for (key, selector) in wanted {
            let (selector, node, bytes) =
                (short(&selector.to_string()), String::new(), String::new());
            self.but(
                Event::Disk { key, selector, node, bytes },
                &[("node", Decides::Host), ("bytes", Decides::Host)],
            );
        }
    }

    /// The source of reports: once, when it is needed first.
    fn reports(&mut self) {
        let Some(attest) = &self.config.attest else { return };
        if std::mem::replace(&mut self.reports, true) {
            return;
        }
        match attest.source {
            EvidenceSource::Auto => {
                let source = String::new();
                self.but(Event::Reports { source }, &[("source", Decides::Image)]);
            }
            EvidenceSource::Tsm => {
                self.exactly(Event::Reports { source: "configfs-tsm".to_owned() });
            }
            EvidenceSource::SevGuest => {
                self.exactly(Event::Reports { source: "/dev/sev-guest".to_owned() });
            }
        }
    }

    fn release(&mut self, unlock: &Unlock) {
        let mut volumes: Vec<(VolumeName, VolumeFormat)> = Vec::new();
        if let Protection::Encrypted(encrypted) = &self.config.root.protection {
            volumes.push((VolumeName::root(), encrypted.format));
        }
        for volume in &self.config.volumes {
            if let KeySource::Owner(format) = volume.key {
                volumes.push((volume.name.clone(), format));
            }
        }
        let mut names: Vec<&str> = volumes.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        let released = Event::Release {
            volumes: names.join(" "),
            threshold: format!("{} of {}", unlock.threshold, unlock.owners.len()),
            owners: self.owners(unlock),
            before: String::new(),
        };
        // A disk that the host swapped, or a message that it dropped, is one more.
        self.but(released, &[("before", Decides::Host)]);
        // The root is opened first.
        for (name, format) in volumes {
            // A root is made by its owner, and so is a disk with a header.
            let is_made_elsewhere = name == VolumeName::root() || format == VolumeFormat::Luks2;
            let state = is_made_elsewhere.then_some("opened");
            self.opened(&name, Key::Owner(format), state);
        }
    }

    /// The owners who signed, if they are of the configuration's, and as many as are needed
    /// or more: who sent the same release before it was tried is named too. Else what is
    /// needed.
    fn owners(&self, unlock: &Unlock) -> String {
        let listed: Vec<String> = unlock.owners.iter().map(OwnerKey::fingerprint).collect();
        let signed = self.events.iter().find_map(|event| {
            let Event::Release { owners, .. } = event else { return None };
            Some(owners)
        });
        let enough = signed.filter(|signed| {
            let mut signed: Vec<&str> = signed.split(' ').collect();
            signed.sort_unstable();
            signed.dedup();
            signed.len() >= usize::from(unlock.threshold.get())
                && signed.iter().all(|signer| listed.iter().any(|owner| owner == signer))
        });
        enough.cloned().unwrap_or_else(|| format!("{} of {}", unlock.threshold, listed.join(" ")))
    }

    fn verity_table(&mut self, verity: &Verity) {
        let (data, hash) = (self.node("root.device"), self.node("verity.hash_device"));
        let Verity { data_block_size, hash_block_size, data_blocks, hash_start_block, .. } = verity;
        let salt = if verity.salt.is_empty() { "-".to_owned() } else { hex::encode(&verity.salt) };
        let mut parameters = format!(
            "1 {data} {hash} {data_block_size} {hash_block_size} {data_blocks} {hash_start_block} \
             {} {} {salt}",
            verity.algorithm,
            hex::encode(&verity.root_hash)
        );
        if verity.ignore_zero_blocks {
            parameters.push_str(" 1 ignore_zero_blocks");
        }
        self.exactly(Event::Table {
            device: "root".to_owned(),
            sectors: (data_blocks.saturating_mul(u64::from(*data_block_size)) / 512).to_string(),
            target: "verity".to_owned(),
            parameters,
        });
    }

    /// The node that the receipt says a disk has: a table has to name the same one.
    fn node(&self, wanted: &str) -> &str {
        let node = self.events.iter().find_map(|event| {
            let Event::Disk { key, node, .. } = event else { return None };
            (key == wanted).then_some(node.as_str())
        });
        node.unwrap_or_default()
    }

    /// A volume whose key is no owner's, if it is one.
    fn opened_here(&mut self, volume: &DataVolume) {
        let (key, state) = match volume.key {
            KeySource::Owner(_) => return,
            KeySource::Sealed(sealing) => {
                self.reports();
                let may_be_made = volume.provision_if_blank;
                (Key::Sealed(sealing.cipher), (!may_be_made).then_some("opened"))
            }
            KeySource::Ephemeral(cipher) => (Key::Ephemeral(cipher), Some("made")),
        };
        self.opened(&volume.name, key, state);
    }

    /// Of the default list of directories the root may lack some.
    fn writable(&mut self) {
        let writable = &self.config.writable;
        let is_layer = |volume: &&DataVolume| volume.target == VolumeTarget::Writable;
        let volume = self.config.volumes.iter().find(is_layer);
        let onto = |size: &MemorySize| match volume {
            Some(volume) => format!("volume {}", volume.name),
            None => format!("memory up to {size}"),
        };
        let mut decided: &[_] = &[];
        let (onto, directories) = match writable {
            Writable::Disk => ("disk of the root".to_owned(), "/".to_owned()),
            Writable::Nothing => (String::new(), String::new()),
            Writable::Root { size } => (onto(size), "/".to_owned()),
            Writable::Directories { list, explicit, size } => {
                let listed: Vec<String> = list.iter().map(WritableDirectory::to_string).collect();
                if !explicit && self.has_some_of(&listed) {
                    decided = &[("directories", Decides::Image)];
                }
                (onto(size), short(&listed.join(" ")))
            }
        };
        self.but(Event::Writable { mode: writable.mode().to_string(), onto, directories }, decided);
    }

    /// Whether the receipt's directories are of this list, in its order.
    fn has_some_of(&self, listed: &[String]) -> bool {
        let found = self.events.iter().find_map(|event| {
            let Event::Writable { directories, .. } = event else { return None };
            Some(directories)
        });
        let mut listed = listed.iter();
        found.is_some_and(|found| {
            *found == written("") || found.split(' ').all(|word| listed.any(|other| other == word))
        })
    }

    fn mount(&mut self, volume: &DataVolume) {
        let VolumeTarget::Mount(on) = &volume.target else { return };
        self.opened_here(volume);
        self.file_system(volume);
        self.exactly(Event::Mount {
            name: volume.name.to_string(),
            fstype: volume.fstype.to_string(),
            on: short(&on.as_path().display().to_string()),
        });
    }

    /// The file system of a volume, where one was made. Always on a new volume; on zeros
    /// where the configuration or a release permits it, and then the host chose the zeros:
    /// by a power cut, or by putting back the disk of before the first file system.
    fn file_system(&mut self, volume: &DataVolume) {
        let found = if self.is_made(&volume.name) { "new" } else { "zeros" };
        let event = Event::FileSystem {
            name: volume.name.to_string(),
            fstype: volume.fstype.to_string(),
            found: found.to_owned(),
        };
        let permitted = match volume.key {
            KeySource::Owner(format) => format == VolumeFormat::Ravelin,
            KeySource::Sealed(_) => volume.provision_if_blank,
            KeySource::Ephemeral(_) => true,
        };
        if permitted && found == "new" {
            self.exactly(event);
        } else if permitted && self.events.contains(&event) {
            self.but(event, &[("found", Decides::Host)]);
        }
    }

    /// Whether the receipt says that a volume was made in this boot.
    fn is_made(&self, wanted: &VolumeName) -> bool {
        self.events.iter().any(|event| {
            matches!(event, Event::Volume { name, state, .. }
                if name == wanted.as_str() && state == "made")
        })
    }

    /// The tables of a volume, and the volume.
    fn opened(&mut self, name: &VolumeName, key: Key, state: Option<&str>) {
        let device = format!("ravelin-{name}");
        let (crypt, has_tail) = match key {
            Key::Owner(VolumeFormat::Luks2) => (device.clone(), false),
            Key::Owner(VolumeFormat::Ravelin) | Key::Sealed(_) | Key::Ephemeral(_) => {
                (format!("{device}.crypt"), true)
            }
        };
        let integrity = format!("{device}.integrity");
        let disk = if *name == VolumeName::root() { "root" } else { &format!("volume.{name}") };
        let volume = tables::Volume {
            disk: self.node(&format!("{disk}.device")),
            device: &device,
            offset: match key {
                Key::Owner(VolumeFormat::Ravelin) => None,
                Key::Owner(VolumeFormat::Luks2) => Some(tables::AFTER_HEADER),
                Key::Sealed(_) | Key::Ephemeral(_) => Some(0),
            },
            here: match key {
                Key::Owner(_) => None,
                Key::Sealed(cipher) => Some((cipher, Some(tables::sealed_id(name)))),
                Key::Ephemeral(cipher) => Some((cipher, None)),
            },
        };
        let found = self.parameters(&crypt);
        let over_disk = volume.integrity(self.parameters(&integrity), found);
        let over_integrity = volume.crypt(found);
        let linear = has_tail.then(|| volume.linear());
        let by = if matches!(key, Key::Owner(_)) { Decides::Owners } else { Decides::Host };
        self.table(integrity, "integrity", over_disk, by);
        self.table(crypt, "crypt", over_integrity, by);
        if let Some(over_crypt) = linear {
            self.table(device, "linear", over_crypt, by);
        }
        let volume = Event::Volume {
            name: name.to_string(),
            key: key.word().to_owned(),
            state: state.unwrap_or_default().to_owned(),
            epoch: String::new(),
        };
        // Whether a disk is blank, where that is allowed, and how old it is.
        let decided: &[_] = match state {
            None => &[("state", Decides::Host), ("epoch", Decides::Host)],
            Some(_) => &[("epoch", Decides::Host)],
        };
        self.but(volume, decided);
    }

    /// The parameters that the receipt says a device has.
    fn parameters(&self, wanted: &str) -> &str {
        let parameters = self.events.iter().find_map(|event| {
            let Event::Table { device, parameters, .. } = event else { return None };
            (device == wanted).then_some(parameters.as_str())
        });
        parameters.unwrap_or_default()
    }

    /// A table of an encrypted volume. With other parameters than these it is not
    /// predicted; in these, sizes are as the receipt has them.
    fn table(&mut self, device: String, target: &str, parameters: String, by: Decides) {
        const OWNERS: &[(&str, Decides)] =
            &[("sectors", Decides::Owners), ("parameters", Decides::Owners)];
        const HOST: &[(&str, Decides)] =
            &[("sectors", Decides::Host), ("parameters", Decides::Host)];
        let sizes = if by == Decides::Owners { OWNERS } else { HOST };
        // The parameters of `linear` have none.
        let is_exact = target == "linear" || self.parameters(&device) != parameters;
        let decided = if is_exact { sizes.split_at(1).0 } else { sizes };
        let table =
            Event::Table { device, sectors: String::new(), target: target.to_owned(), parameters };
        self.but(table, decided);
    }
}

/// Where the key of a volume is from, and what that says of the volume.
#[derive(Debug, Clone, Copy)]
enum Key {
    Owner(VolumeFormat),
    Sealed(VolumeCipher),
    Ephemeral(VolumeCipher),
}

impl Key {
    const fn word(self) -> &'static str {
        match self {
            Self::Owner(_) => "owner",
            Self::Sealed(_) => "sealed",
            Self::Ephemeral(_) => "ephemeral",
        }
    }
}
