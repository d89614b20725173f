//! Requests against what iproute2 sends, and answers in every shape.

use std::net::IpAddr;

use super::message::Attributes;
use super::*;

/// A message of a datagram.
fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(16 + payload.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend([0, 0]);
    bytes.extend(sequence.to_ne_bytes());
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = u16::try_from(4 + value.len()).unwrap().to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// A link as the kernel describes it.
fn described(index: u32, flags: u32, attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(ARPHRD_ETHER.to_ne_bytes());
    bytes.extend(index.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 4]);
    for (kind, value) in attributes {
        bytes.extend(attribute(*kind, value));
    }
    bytes
}

fn eth0() -> Vec<u8> {
    let mtu = 1500_u32.to_ne_bytes();
    let attributes: [(u16, &[u8]); 5] = [
        (IFLA_IFNAME, b"eth0\0"),
        (7, b"fq_codel\0"),
        (IFLA_MTU, &mtu),
        (IFLA_ADDRESS, &[2, 0, 0, 0, 0, 7]),
        (0x8000 | 18, &[1; 33]),
    ];
    described(3, IFF_UP | IFF_LOWER_UP, &attributes)
}

/// The only message of a request: type, flags, payload.
fn sent(change: Change) -> (u16, u16, Vec<u8>) {
    let request = Request::change(9, 3, change);
    let bytes = request.as_bytes();
    let messages: Vec<_> = Messages::new(bytes).collect::<Result<_, _>>().unwrap();
    let [Message { kind, sequence: 9, payload }] = messages[..] else { panic!("{messages:?}") };
    (kind, u16::from_ne_bytes([bytes[6], bytes[7]]), payload.to_vec())
}

fn attributes(payload: &[u8]) -> Vec<(u16, &[u8])> {
    Attributes(payload).collect::<Result<_, _>>().unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_link_is_set() {
    let (kind, flags, payload) = sent(Change::Up(true));
    assert_eq!((kind, flags), (RTM_NEWLINK, 5));
    assert_eq!(payload, [0, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    let (_, _, payload) = sent(Change::Up(false));
    assert_eq!(payload[8..], [0, 0, 0, 0, 1, 0, 0, 0]);
    let (kind, _, payload) = sent(Change::Mtu(9000));
    assert_eq!(kind, RTM_NEWLINK);
    assert_eq!(payload[8..16], [0; 8]);
    assert_eq!(attributes(&payload[16..]), [(4, &9000_u32.to_ne_bytes()[..])]);
}

#[test]
fn addresses_and_routes_come_and_go() {
    let (kind, flags, payload) = sent(Change::Address(Verb::Add, ip("192.0.2.15"), 24));
    assert_eq!((kind, flags), (20, 0x605));
    assert_eq!(payload[..8], [2, 24, 0, 0, 3, 0, 0, 0]);
    let address = [192, 0, 2, 15];
    let expected: [(u16, &[u8]); 3] = [(2, &address), (1, &address), (4, &[192, 0, 2, 255])];
    assert_eq!(attributes(&payload[8..]), expected);
    for prefix in [31, 32] {
        let (_, _, payload) = sent(Change::Address(Verb::Add, ip("192.0.2.15"), prefix));
        assert_eq!(attributes(&payload[8..]).len(), 2);
    }
    let (_, _, payload) = sent(Change::Address(Verb::Add, ip("192.0.2.15"), 0));
    assert_eq!(attributes(&payload[8..])[2], (4, &[255; 4][..]));

    let (kind, flags, payload) = sent(Change::Address(Verb::Delete, ip("2001:db8::7"), 64));
    assert_eq!((kind, flags), (21, 5));
    assert_eq!(payload[..8], [10, 64, 2, 0, 3, 0, 0, 0]);
    assert_eq!(attributes(&payload[8..])[0].1.len(), 16);

    let route = |verb, gateway, on_link| sent(Change::DefaultRoute { verb, gateway, on_link });
    let (kind, flags, payload) = route(Verb::Add, ip("192.0.2.1"), false);
    assert_eq!((kind, flags), (24, 0x605));
    assert_eq!(payload[..12], [2, 0, 0, 0, 254, 4, 0, 1, 0, 0, 0, 0]);
    let expected: [(u16, &[u8]); 2] = [(5, &[192, 0, 2, 1]), (4, &[3, 0, 0, 0])];
    assert_eq!(attributes(&payload[12..]), expected);
    let (kind, _, payload) = route(Verb::Delete, ip("fe80::1"), true);
    assert_eq!((kind, payload[0], payload[8]), (25, 10, 4));
}

#[test]
fn a_link_is_read() {
    let expected = LinkInfo {
        index: 3,
        name: "eth0".to_owned(),
        mac: Some([2, 0, 0, 0, 0, 7]),
        loopback: false,
        carrier: true,
        mtu: 1500,
    };
    assert_eq!(link(&eth0()), Ok(expected.clone()));
    let mut tunnel = eth0();
    tunnel[2] = 4;
    assert_eq!(link(&tunnel), Ok(LinkInfo { mac: None, ..expected }));
    let lo = described(1, IFF_LOOPBACK, &[(IFLA_IFNAME, b"lo")]);
    assert!(link(&lo).is_ok_and(|link| link.loopback && !link.carrier));
}

#[test]
fn names_that_do_not_belong_into_a_path_are_refused() {
    let named = |name: &[u8]| link(&described(1, 0, &[(IFLA_IFNAME, name)]));
    for name in
        [&b""[..], b"\0", b".", b"..\0", b"a/b", b"a b", b"a:b", b"a\0b\0", b"\xff", &[b'x'; 16]]
    {
        assert!(named(name).is_err(), "{name:?}");
    }
    assert!(named(&[b'x'; 15]).is_ok());
    assert!(link(&described(1, 0, &[])).is_err());
    assert!(link(&described(0, 0, &[(IFLA_IFNAME, b"x")])).is_err());
}

#[test]
fn answers_are_told_apart() {
    let kind = |kind, payload: &[u8]| {
        let message = Message { kind, sequence: 1, payload };
        answer(&message).map(|answer| match answer {
            Answer::Done => 0,
            Answer::Refused(number) => number,
            Answer::Link(_) => -1,
            Answer::Other => -2,
        })
    };
    assert_eq!(kind(NLMSG_ERROR, &[0; 20]), Ok(0));
    assert_eq!(kind(NLMSG_DONE, &[0; 4]), Ok(0));
    assert_eq!(kind(NLMSG_ERROR, &(-17_i32).to_ne_bytes()), Ok(17));
    assert_eq!(kind(NLMSG_ERROR, &i32::MIN.to_ne_bytes()), Ok(i32::MAX));
    assert_eq!(kind(RTM_NEWLINK, &[]), Ok(-1));
    assert_eq!(kind(1, &[]), Ok(-2));
    assert!(kind(NLMSG_ERROR, &[0; 3]).is_err());
}

#[test]
fn a_datagram_of_several_is_read_and_no_cut_or_flipped_bit_is_a_panic() {
    let mut datagram = message(RTM_NEWLINK, 1, &eth0());
    datagram.extend(message(RTM_NEWLINK, 1, &described(1, IFF_LOOPBACK, &[(3, b"lo\0")])));
    datagram.extend(message(NLMSG_DONE, 1, &[0; 4]));
    let read = |datagram: &[u8]| {
        let mut links = 0;
        for message in Messages::new(datagram) {
            if let Answer::Link(payload) = answer(&message?)? {
                link(payload)?;
                links += 1;
            }
        }
        Ok::<_, Malformed>(links)
    };
    assert_eq!(read(&datagram), Ok(2));
    let mut whole = 0;
    for length in 0..datagram.len() {
        // Between two messages there is no cut to be seen.
        whole += usize::from(read(&datagram[..length]).is_ok());
    }
    assert!(whole <= 5, "{whole} cuts are not seen");
    for bit in 0..datagram.len() * 8 {
        let mut flipped = datagram.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _any = read(&flipped);
    }
    for length in 0..16_u32 {
        let mut short = datagram.clone();
        short[..4].copy_from_slice(&length.to_ne_bytes());
        assert!(read(&short).is_err(), "{length}");
    }
}
