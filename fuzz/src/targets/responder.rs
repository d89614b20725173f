//! The attestation responder's question and answer. The first byte says which.

use protocol::host_keys::HostKeys;
use protocol::receipt::{Event, Receipt};
use protocol::responder::{Evidence, Status, answer, question, read_head, read_question, refusal};

pub(super) fn run(data: &[u8]) {
    let Some((which, content)) = data.split_first() else { return };
    match which {
        0 => {
            if let Some(asked) = content.first_chunk()
                && let Ok(nonce) = read_question(asked)
            {
                assert_eq!(question(&nonce), *asked);
            }
        }
        1 => {
            if let Ok(evidence) = Evidence::decode(content) {
                assert_eq!(evidence.encode(), content);
            }
        }
        2 => {
            if let Some(head) = content.first_chunk() {
                let _ = read_head(head);
            }
        }
        _ => {
            if let Ok(keys) = HostKeys::decode(content) {
                assert_eq!(keys.encode(), content);
            }
        }
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let string = |bytes: &[u8]| {
        let length = u32::try_from(bytes.len()).unwrap_or(0);
        [&length.to_be_bytes(), bytes].concat()
    };
    let blob = [string(b"ssh-ed25519"), string(&[3; 32])].concat();
    let keys = HostKeys::new([blob]).unwrap_or_default();
    let mut receipt = Receipt::default();
    receipt.push(&Event::Root { fstype: "erofs".to_owned(), init: "/init".to_owned() });
    let evidence = Evidence {
        report: Box::new([5; 1184]),
        certificates: Some(vec![0; 48]),
        host_keys: keys.clone(),
        receipt_head: Some(*receipt.head()),
        receipt: Some(receipt),
    };
    let seed = |which: u8, content: &[u8]| [&[which], content].concat();
    vec![
        seed(0, &question(&[8; _])),
        seed(1, &evidence.encode()),
        seed(2, answer(&evidence).get(..64).unwrap_or_default()),
        seed(2, &refusal(Status::Busy)),
        seed(3, &keys.encode()),
    ]
}
