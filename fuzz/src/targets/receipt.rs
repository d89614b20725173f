//! The boot receipt: a text that is taken is the one that its entries make.

use protocol::receipt::{Event, Receipt};

pub(super) fn run(data: &[u8]) {
    let Ok(receipt) = Receipt::decode(data) else { return };
    assert_eq!(receipt.as_str().as_bytes(), data);
    if let Ok(events) = receipt.events() {
        let entries: Vec<String> = events.iter().map(Event::to_string).collect();
        assert!(receipt.entries().eq(entries.iter().map(String::as_str)));
    }
    // No other head is led to.
    let mut head = *receipt.head();
    assert!(receipt.clone().bound_by(&head).is_ok());
    head.iter_mut().for_each(|byte| *byte = !*byte);
    assert!(receipt.bound_by(&head).is_err());
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let text = str::to_owned;
    let mut receipt = Receipt::default();
    receipt.push(&Event::Configuration { mode: text("verity"), settings: "ab".repeat(32) });
    receipt.push(&Event::Disk {
        key: text("root.device"),
        selector: text("partlabel:r\u{f6}\u{f6}t"),
        node: text("/dev/vda1"),
        bytes: text("65536"),
    });
    let short = receipt.as_str().as_bytes().to_vec();
    receipt.push(&Event::Root { fstype: text("erofs"), init: text("/a\tb") });
    receipt.push(&Event::Cut {});
    let mut encrypted = Receipt::default();
    encrypted.push(&Event::Table {
        device: text("ravelin-data"),
        sectors: text("7632"),
        target: text("linear"),
        parameters: text("ravelin-data.crypt 0"),
    });
    encrypted.push(&Event::FileSystem {
        name: text("data"),
        fstype: text("ext4"),
        found: text("zeros"),
    });
    encrypted.push(&Event::Writable {
        mode: text("directories"),
        onto: text("memory up to 50%"),
        directories: protocol::receipt::short(&"/var=65536 ".repeat(32)),
    });
    let [receipt, encrypted] = [receipt, encrypted].map(|receipt| receipt.as_str().into());
    vec![Vec::new(), short, receipt, encrypted]
}
