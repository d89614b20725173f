//! The kernel's answers over rtnetlink, a datagram: what PID 1 learns of links, whose
//! names and addresses a host chooses.

use init::network::rtnetlink::{Answer, Messages, Request, answer, link};

/// Of `linux/rtnetlink.h`, `linux/if_link.h` and `linux/if_arp.h`.
const RTM_NEWLINK: u16 = 16;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const ARPHRD_ETHER: u16 = 1;

pub(super) fn run(data: &[u8]) {
    let mut messages = 0;
    for message in Messages::new(data) {
        messages += 1;
        let Ok(message) = message else { continue };
        match answer(&message) {
            Ok(Answer::Refused(number)) => assert!(number > 0),
            Ok(Answer::Link(payload)) => {
                if let Ok(found) = link(payload) {
                    // The name becomes a part of a path.
                    assert!(found.index != 0 && (1..16).contains(&found.name.len()));
                    assert!(!found.name.contains(['/', '\0']) && found.name != "..");
                }
            }
            Ok(Answer::Done | Answer::Other) | Err(_) => {}
        }
    }
    // A header has 16 bytes; what is cut is one more.
    assert!(messages <= data.len() / 16 + 1);
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn message(kind: u16, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(16 + payload.len()).unwrap_or(0).to_ne_bytes();
    padded([&length[..], &kind.to_ne_bytes(), &[0; 10], payload].concat())
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + value.len()).unwrap_or(0).to_ne_bytes();
    padded([&length[..], &kind.to_ne_bytes(), value].concat())
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let description = |index: u32, name: &[u8]| {
        let (hardware, index) = (ARPHRD_ETHER.to_ne_bytes(), index.to_ne_bytes());
        let flags = 0x1_0001_u32.to_ne_bytes();
        let attributes = [
            attribute(IFLA_IFNAME, name),
            attribute(IFLA_MTU, &1500_u32.to_ne_bytes()),
            attribute(IFLA_ADDRESS, &[2, 0, 0, 0, 0, 1]),
        ];
        let head = [&[0, 0][..], &hardware, &index, &flags, &[0; 4]].concat();
        message(RTM_NEWLINK, &[head, attributes.concat()].concat())
    };
    let links = [description(1, b"lo\0"), description(2, b"enp0s1\0")].concat();
    vec![
        [links, message(NLMSG_DONE, &[0; 4])].concat(),
        message(NLMSG_ERROR, &(-17_i32).to_ne_bytes()),
        Request::list_links(1).as_bytes().to_vec(),
    ]
}
