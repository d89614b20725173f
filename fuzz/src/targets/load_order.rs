//! The load order of kernel modules: PID 1's `modules.dep`.

use protocol::load_order::LoadOrder;

pub(super) fn run(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Ok(order) = LoadOrder::parse(text) {
        assert_eq!(order.to_string(), text);
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let seeds = [
        "# ravelin load order 1\nkernel 6.12.1\n",
        "# ravelin load order 1\nkernel 6.12.1-cloud-amd64\n\
         0 required /lib/modules/6.12.1-cloud-amd64/kernel/drivers/md/dm-mod.ko\n\
         0 optional /lib/modules/6.12.1-cloud-amd64/kernel/drivers/net/virtio_net.ko\n\
         1 required /lib/modules/6.12.1-cloud-amd64/kernel/drivers/md/dm-verity.ko\n",
    ];
    seeds.map(|seed| seed.as_bytes().to_vec()).into()
}
