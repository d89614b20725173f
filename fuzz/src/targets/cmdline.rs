//! The kernel command line.

use protocol::cmdline::CommandLine;

pub(super) fn run(data: &[u8]) {
    if let Ok(line) = CommandLine::parse(data) {
        let _ = line.module_parameters("virtio_net");
        if let Ok(settings) = line.settings() {
            assert!(settings.len() <= line.words().len());
        }
        let _ = protocol::config::parse(None, &line);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let digest = "8293837ae1b4cf82e1874e9714db524faf30cafa5302db39981907e53c9d1175";
    let verity = format!(
        "console=ttyS0 ravelin.root.device=serial:root ravelin.root.fstype=erofs \
         ravelin.verity.hash_device=serial:root ravelin.verity.roothash={digest} \
         ravelin.verity.salt=- ravelin.verity.data_blocks=100 ravelin.root.mode=verity"
    );
    vec![
        verity.into_bytes(),
        b"ravelin.writable.directories=/etc,/var=25%,/home=1G ravelin.insecure=true -- \"a b\""
            .to_vec(),
        b"virtio_net.napi_tx=1 dyndbg=\"file a.c +p\" ravelin.ssh.host_keys=none\n".to_vec(),
    ]
}
