//! The measured configuration file, with an empty command line.

use protocol::cmdline::CommandLine;
use protocol::config::{check_file, on_failure_of_refused, parse, wants_evidence};

pub(super) fn run(data: &[u8]) {
    let line = CommandLine::default();
    let parsed = parse(Some(data), &line);
    let _ = (on_failure_of_refused(Some(data), &line), wants_evidence(Some(data), &line));
    // What the boot takes, the tools take.
    assert!(parsed.is_err() || check_file(data).is_ok());
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let verity = "on_failure = \"reboot\"\n[root]\nmode = \"verity\"\ndevice = \"serial:root\"\n\
                  fstype = \"erofs\"\n[verity]\nhash_device = \"serial:root\"\nroothash = \
                  \"8293837ae1b4cf82e1874e9714db524faf30cafa5302db39981907e53c9d1175\"\n\
                  salt = \"-\"\ndata_blocks = 100\n";
    let plain = "insecure = true\ndeadline.disks = \"5s\"\n[root]\nmode = \"plain\"\n\
                 device = \"path:/dev/vda\"\nfstype = \"ext4\"\n[writable]\nmode = \"directories\"\n\
                 directories = [\"/etc\", \"/var=25%\", \"/home=1G\"]\n[ssh]\nhost_keys = \"none\"\n";
    vec![verity.into(), plain.into()]
}
