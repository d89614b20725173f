//! A Debian out of a container image, as umoci and skopeo write them: a verified disk of it
//! boots. (On an encrypted root: `unlock/debian.rs`.)

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;

use vm_tests::{Ssh, Stop, Tool, free_port};

use crate::debian::{Image, LIMIT};
use crate::fixtures::{check, directory};
use crate::simulator::simulated;

/// The Debian as an image of two layers: an OCI layout, and what docker saves.
pub(crate) struct Containers {
    directory: PathBuf,
}

/// What is looked at in the guest, and what has to be there: the declared name, user and file,
/// and none of the old disk's lines.
pub(crate) const LOOK: &str = "hostname; id -un admin; cat /etc/motd; \
     stat -c '%a %U' /home/admin/.ssh/authorized_keys; grep -c ^UUID /etc/fstab; \
     test -e /gone || echo hidden";
pub(crate) const FOUND: &str = "container-vm\nadmin\nfrom a container\n600 admin\n0\nhidden";

/// Lines that a system on a disk has, and that keep it from starting on another one.
const FSTAB: &str = "\
UUID=11111111-1111-1111-1111-111111111111 / ext4 errors=remount-ro 0 1
UUID=2222-2222 /boot/efi vfat umask=0077 0 1
UUID=33333333-3333-3333-3333-333333333333 none swap sw 0 0
";

impl Containers {
    pub(crate) fn get() -> &'static Containers {
        static CONTAINERS: LazyLock<Containers> = LazyLock::new(|| {
            let containers = Containers { directory: directory().join("containers") };
            fs::create_dir_all(&containers.directory).unwrap();
            containers.make();
            containers
        });
        &CONTAINERS
    }

    /// The OCI image layout.
    pub(crate) fn layout(&self) -> PathBuf {
        self.directory.join("oci")
    }

    /// The archive.
    pub(crate) fn archive(&self) -> PathBuf {
        self.directory.join("docker.tar")
    }

    /// What is put in.
    pub(crate) fn customization(&self) -> PathBuf {
        self.directory.join("customize.toml")
    }

    fn make(&self) {
        let umoci = |arguments: &[&str]| {
            check(Command::new("umoci").current_dir(&self.directory).args(arguments));
        };
        let root = self.directory.join("bundle/rootfs");
        umoci(&["init", "--layout", "oci"]);
        umoci(&["new", "--image", "oci:debian"]);
        umoci(&["unpack", "--image", "oci:debian", "bundle"]);
        check(Command::new("tar").arg("-C").arg(&root).arg("-xpf").arg(Tool::DebianRoot.path()));
        fs::write(root.join("gone"), "in the lower layer").unwrap();
        umoci(&["repack", "--image", "oci:debian", "bundle"]);
        fs::remove_dir_all(self.directory.join("bundle")).unwrap();
        umoci(&["unpack", "--image", "oci:debian", "bundle"]);
        fs::remove_file(root.join("gone")).unwrap();
        append(&root.join("etc/fstab"), FSTAB);
        append(&root.join("etc/machine-id"), "0123456789abcdef0123456789abcdef\n");
        umoci(&["repack", "--image", "oci:debian", "bundle"]);
        fs::remove_dir_all(self.directory.join("bundle")).unwrap();
        let mut skopeo = Command::new("skopeo");
        skopeo.current_dir(&self.directory);
        check(skopeo.args(["copy", "oci:oci:debian", "docker-archive:docker.tar:debian:1"]));
        fs::write(self.customization(), customization()).unwrap();
    }
}

fn customization() -> String {
    let key = fs::read_to_string(Tool::SshKey.path().with_extension("pub")).unwrap();
    format!(
        "hostname = \"container-vm\"\n\
         [[user]]\nname = \"admin\"\nshell = \"/bin/bash\"\nauthorized_keys = [\"{}\"]\n\
         [[file]]\npath = \"/etc/motd\"\ncontent = \"from a container\\n\"\n",
        key.trim()
    )
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// From the layout to a login; and the archive is the same disk, to the bit.
#[test]
fn a_container_image_boots_from_a_verified_disk() {
    let containers = Containers::get();
    let customization = containers.customization();
    let options = ["--customize", customization.to_str().unwrap()];
    let image = Image::of("container", &containers.layout(), &options);
    let other = Image::of("container-archive", &containers.archive(), &options);
    assert_eq!(other.setting("verity.roothash"), image.setting("verity.roothash"));

    let port = free_port();
    let mut machine = simulated(&image.vm_on_port(port)).time_limit(LIMIT).start();
    let ssh = Ssh::wait(&mut machine, port);
    assert_eq!(ssh.run("systemctl is-system-running --wait"), "running");
    assert_eq!(ssh.run("systemctl list-units --failed --plain --no-legend"), "");
    assert_eq!(ssh.run(LOOK), FOUND);
    let id = ssh.run("cat /etc/machine-id");
    assert!(id.len() == 32 && id != "0123456789abcdef0123456789abcdef", "{id}");
    let _ends_with_the_connection = ssh.output("systemctl start poweroff.target");
    machine.finish().stopped(Stop::PowerOff).never_said("ravelin: FAILED");
}
