//! The boot receipt of an encrypted root: whose key opened it, and what with.

use std::fs;

use protocol::receipt::Receipt;
use protocol::responder::Evidence;

use super::Machine;
use super::made::Made;
use crate::attested::Owner;
use crate::receipt::lines;

/// Everything that PID 1 did is as the owner's files predict, the release is the owner's,
/// the tables are authenticated encryption; the report of the release bound the part of
/// the receipt that was there then; and no key is in it.
#[test]
fn an_encrypted_boot_is_what_its_files_predict() {
    let described = Machine::of(Made::debian(), &["first"], "");
    let machine = described.start();
    let unlocked = described.unlock(&[]);
    unlocked.opened();
    let owner = Owner::of(described.path("vm.toml"), described.ssh, described.attest);
    let kept = described.path("evidence");
    let said = owner.attest(&["--receipt", "--output", kept.to_str().unwrap()]);
    said.accepted();
    assert_eq!(said.json["receipt"]["as_predicted"], true, "{}", said.text);

    let release = &lines(&said, "release")[0]["values"];
    assert_eq!(release["volumes"], "root");
    assert_eq!(release["threshold"], "1 of 1");
    assert!(release["owners"].as_str().unwrap().starts_with("SHA256:"), "{release}");
    let network = &lines(&said, "network")[0];
    assert_eq!(network["values"]["wanted"], "dhcp");
    assert_eq!(network["decided"]["has"], "host");
    assert!(network["values"]["has"].as_str().unwrap().contains("10.0.2.15/24"), "{network}");
    let table = |index: usize| {
        let table = &lines(&said, "table")[index]["values"];
        (table["device"].as_str().unwrap(), table["parameters"].as_str().unwrap())
    };
    let disk = lines(&said, "disk")[0]["values"]["node"].as_str().unwrap();
    let (integrity, over_disk) = table(0);
    assert!(over_disk.starts_with(&format!("{disk} ")), "{over_disk}");
    let (crypt, over_integrity) = table(1);
    assert!(over_integrity.contains(&format!(" 0 {integrity} 0 ")), "{over_integrity}");
    for part in [":logon:ravelin:", ":aead"] {
        assert!(over_integrity.contains(part), "{over_integrity}");
    }
    assert_eq!(table(2), ("ravelin-root", &*format!("{crypt} 0")));
    let volume = &lines(&said, "volume")[0]["values"];
    assert_eq!(volume["epoch"], "2", "{volume}");

    let body = fs::read(kept.join("evidence.bin")).unwrap();
    let receipt = Evidence::decode(&body).unwrap().receipt.unwrap();
    let all = receipt.as_str().split_inclusive('\n');
    let until: String = all.take_while(|line| !line.starts_with("release\t")).collect();
    let until = Receipt::decode(until.as_bytes()).unwrap();
    assert_eq!(unlocked.json["receipt_head"], hex::encode(until.head()), "{}", unlocked.text);
    assert!(!receipt.as_str().contains(&described.secret()));
    drop(machine);
}
