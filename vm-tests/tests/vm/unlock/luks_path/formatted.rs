//! The disk that cryptsetup formats, opens and fills, in a Debian of its own.

use std::fs::{self, File};
use std::path::PathBuf;
use std::sync::LazyLock;

use vm_tests::{Ssh, Stop, WorkDir, free_port};

use super::super::made::ext4;
use crate::fixtures::directory;

/// Bytes of the disk: the header, and room for the small root.
pub(super) const DISK: u64 = 64 << 20;
/// Opens it.
pub(super) const PASSPHRASE: &str = "correct horse";

/// The small root on a disk of cryptsetup's, made once.
pub(super) struct Formatted {
    /// Has it, as luks.img.
    pub(super) directory: PathBuf,
    /// What the kernel said of cryptsetup's own devices, [`comparable`] and sorted.
    pub(super) tables: Vec<String>,
}

impl Formatted {
    pub(super) fn get() -> &'static Formatted {
        static MADE: LazyLock<Formatted> = LazyLock::new(Formatted::make);
        &MADE
    }

    fn make() -> Self {
        let directory = directory().join("luks2");
        fs::create_dir_all(&directory).unwrap();
        let (disk, root) = (directory.join("luks.img"), directory.join("root.ext4"));
        File::create(&disk).unwrap().set_len(DISK).unwrap();
        ext4(&root, 32 << 20);

        let (work, port) = (WorkDir::new(), free_port());
        let vm = crate::encrypted::vm(&work, port);
        let mut machine = vm.writable_disk(&disk, "luks").disk(&root, "source").start();
        let ssh = Ssh::wait(&mut machine, port);
        let by_id = "/dev/disk/by-id/virtio-";
        ssh.run(&format!(
            "udevadm settle; printf '{PASSPHRASE}' > /run/passphrase && \
             cryptsetup luksFormat --batch-mode --type luks2 --cipher aes-xts-plain64 \
             --integrity hmac-sha256 --key-size 512 --sector-size 4096 --pbkdf argon2id \
             --pbkdf-memory 32768 --pbkdf-force-iterations 4 {by_id}luks /run/passphrase && \
             cryptsetup open --key-file /run/passphrase {by_id}luks luks && \
             dd if={by_id}source of=/dev/mapper/luks bs=1M conv=fsync status=none"
        ));
        let table = |name: &str| comparable(&ssh.run(&format!("dmsetup table {name}")));
        let mut tables = vec![table("luks"), table("luks_dif")];
        tables.sort();
        ssh.run("cryptsetup close luks");
        let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
        machine.finish().stopped(Stop::PowerOff);
        Self { directory, tables }
    }
}

/// A table without the numbers of devices and the name of the key.
pub(super) fn comparable(table: &str) -> String {
    let is_device = |word: &str| {
        let number = |text: &str| text.parse::<u32>().is_ok();
        word.split_once(':').is_some_and(|(major, minor)| number(major) && number(minor))
    };
    let words = table.split_whitespace().map(|word| match word.split_once(":logon:") {
        Some((size, _name)) => format!("{size}:logon:KEY"),
        None if is_device(word) => "DEVICE".to_owned(),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}
