use super::*;

fn events() -> Vec<Event> {
    let text = str::to_owned;
    vec![
        Event::Configuration { mode: text("verity"), settings: "11".repeat(32) },
        Event::Disk {
            key: text("root.device"),
            selector: text("serial:root"),
            node: text("/dev/vda"),
            bytes: text("65536"),
        },
        Event::Root { fstype: text("erofs"), init: text("/sbin/init") },
    ]
}

fn receipt() -> Receipt {
    let mut receipt = Receipt::default();
    events().iter().for_each(|event| receipt.push(event));
    receipt
}

/// What is left of the receipt's lines when `change` was at them.
fn changed(change: impl FnOnce(&mut Vec<String>)) -> Result<Receipt, ReceiptError> {
    let mut lines: Vec<String> =
        receipt().as_str().split_inclusive('\n').map(str::to_owned).collect();
    change(&mut lines);
    Receipt::decode(lines.concat().as_bytes())?.bound_by(receipt().head())
}

#[test]
fn a_receipt_comes_back() {
    let decoded = changed(|_lines| {}).unwrap();
    assert_eq!(decoded, receipt());
    assert_eq!(decoded.events(), Ok(events()));
    assert_eq!(Receipt::decode(b""), Ok(Receipt::default()));
}

#[test]
fn every_change_is_noticed() {
    let head = Err(ReceiptError::Head);
    let count = events().len();
    for index in 0..count {
        assert_eq!(changed(|lines| drop(lines.remove(index))), head, "without {index}");
        assert_eq!(changed(|lines| lines.truncate(index)), head, "the first {index}");
        let twice = |lines: &mut Vec<String>| lines.insert(index, lines[index].clone());
        assert_eq!(changed(twice), head, "{index} twice");
    }
    for index in 1..count {
        assert_eq!(changed(|lines| lines.swap(index - 1, index)), head, "{index} before");
    }
    let bytes = receipt().as_str().as_bytes().to_vec();
    for index in 0..bytes.len() {
        for flip in [1, 0x20, 0x80] {
            let mut other = bytes.clone();
            other[index] ^= flip;
            let read = Receipt::decode(&other).and_then(|read| read.bound_by(receipt().head()));
            assert!(read.is_err(), "byte {index} ^ {flip:#x}");
        }
        let cut = Receipt::decode(&bytes[..index]).and_then(|cut| cut.bound_by(receipt().head()));
        assert!(cut.is_err(), "the first {index} bytes");
    }
    let more = |lines: &mut Vec<String>| lines.push("cut\n".to_owned());
    assert_eq!(changed(more), head);
}

#[test]
fn what_is_no_entry_is_refused_by_name() {
    use ReceiptError as E;
    let decode = |text: &str| Receipt::decode(text.as_bytes()).unwrap_err();
    assert_eq!(decode("root\terofs"), E::Entry { number: 1 });
    let long = "x".repeat(MAX_ENTRY + 1);
    for line in ["", "a\t", "\ta", "a\t\tb", "a\rb", "a\u{1b}[2J", "a\u{202e}", &long] {
        assert_eq!(decode(&format!("cut\n{line}\n")), E::Entry { number: 2 }, "{line:?}");
    }
    assert_eq!(Receipt::decode(b"a\xff\n"), Err(E::Text));
    assert_eq!(decode(&"cut\n".repeat(MAX_ENTRIES + 1)), E::Count);
    assert_eq!(decode(&"x".repeat(MAX_BYTES + 1)), E::Length { bytes: MAX_BYTES + 1 });
    // The chain does not depend on what is known; the events do.
    let events = |text: &str| Receipt::decode(text.as_bytes()).unwrap().events().unwrap_err();
    assert_eq!(events("cut\nnew\tx\n"), E::Kind { number: 2, kind: "new".to_owned() });
    let wrong = E::Values { number: 1, kind: "root", found: 1, expected: 2 };
    assert_eq!(events("root\terofs\n"), wrong);
}

#[test]
fn what_does_not_fit_ends_the_receipt() {
    let filled = |event: &Event| {
        let mut receipt = Receipt::default();
        (0..MAX_ENTRIES + 7).for_each(|_| receipt.push(event));
        // It can be read again, and says that it is cut.
        let decoded = Receipt::decode(receipt.as_str().as_bytes()).unwrap();
        assert_eq!(decoded, receipt);
        assert!(decoded.is_cut() && decoded.events().unwrap().ends_with(&[Event::Cut {}]));
        receipt
    };
    let root = |size: usize| Event::Root { fstype: "x".repeat(size), init: "y".to_owned() };
    assert_eq!(filled(&root(1)).entries().count(), MAX_ENTRIES);
    assert!(filled(&root(1000)).as_str().len() > MAX_BYTES - 1100);
    assert_eq!(filled(&root(MAX_ENTRY)).as_str(), "cut\n");
    assert!(!receipt().is_cut());
}

/// All owners and all volumes that a configuration may have.
#[test]
fn the_largest_release_fits() {
    use crate::release::{MAX_NAME, MAX_VOLUMES};
    let fingerprint = format!("SHA256:{}", "x".repeat(43));
    let mut receipt = Receipt::default();
    receipt.push(&Event::Release {
        volumes: vec!["v".repeat(MAX_NAME); MAX_VOLUMES].join(" "),
        threshold: "32 of 32".to_owned(),
        owners: vec![fingerprint; 32].join(" "),
        before: u64::MAX.to_string(),
    });
    assert!(!receipt.is_cut());
}

#[test]
fn a_long_value_is_in_short() {
    let long = "x".repeat(MAX_IN_FULL + 1);
    assert_eq!(short(&long[1..]), long[1..]);
    let digest = hex::encode(Sha256::digest(&long));
    assert_eq!(short(&long), format!("{} bytes, SHA-256 {digest}", MAX_IN_FULL + 1));
}

#[test]
fn no_value_is_empty_or_controls_a_terminal() {
    let event = Event::Root { fstype: String::new(), init: "/a\tb\n\u{1b}[2J".to_owned() };
    assert_eq!(event.to_string(), "root\t-\t/a\\tb\\n\\u{1b}[2J");
}

/// With the largest receipt, the largest evidence still fits into an answer.
#[test]
fn the_largest_evidence_fits() {
    use crate::{host_keys, responder};
    let keys = host_keys::MAX_KEYS * (4 + host_keys::MAX_BLOB);
    let values = [responder::REPORT, responder::MAX_CERTIFICATES, keys, 32, MAX_BYTES];
    assert!(values.iter().map(|value| 5 + value).sum::<usize>() <= responder::MAX_BODY);
}

/// The vectors of `docs/formats.md`.
#[test]
fn the_documented_vectors_hold() {
    let page = include_str!("../../../docs/formats.md");
    let mut heads = vec![*Receipt::default().head()];
    let mut receipt = Receipt::default();
    for event in events() {
        receipt.push(&event);
        heads.push(*receipt.head());
        let line = event.to_string().replace('\t', "→");
        assert!(page.contains(&line), "{line}");
    }
    for head in heads {
        assert!(page.contains(&hex::encode(head)), "a head is {}", hex::encode(head));
    }
}

/// `RAVELIN_BLESS=1` writes the table into the page.
#[test]
fn the_page_has_all_events() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/formats.md");
    let page = std::fs::read_to_string(path).unwrap();
    let (head, rest) = page.split_once("| entry |").unwrap();
    let (_, tail) = rest.split_once("\n\n").unwrap();
    let mut table = String::from("| entry | when | values |\n|---|---|---|\n");
    for (kind, when, values) in Event::TABLE {
        let values: Vec<String> =
            values.iter().map(|(name, what)| format!("*{name}*: {}", what.trim())).collect();
        table.push_str(&format!("| `{kind}` | {} | {} |\n", when.trim(), values.join("; ")));
    }
    let fresh = format!("{head}{table}\n{tail}");
    if std::env::var_os("RAVELIN_BLESS").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), fresh, "run with RAVELIN_BLESS=1");
}
