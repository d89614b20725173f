//! A client that sends what a guest would.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use super::dhcp::{Kind, Request, option};
use super::packet::{self, Advertisement, Arp, BROADCAST, Datagram, Mac};
use super::*;

const MAC: Mac = [2, 0, 0, 0, 0, 1];

/// The guest's end of a wire.
struct Guest(UnixDatagram);

impl Guest {
    fn on(link: &Link) -> Self {
        let socket = UnixDatagram::bind(link.guest_end()).unwrap();
        socket.connect(link.test_end()).unwrap();
        Self(socket)
    }

    fn send(&self, frame: &[u8]) {
        self.0.send(frame).unwrap();
    }

    fn receive(&self, limit: u64) -> Option<Vec<u8>> {
        self.0.set_read_timeout(Some(Duration::from_millis(limit))).unwrap();
        let mut frame = vec![0; MAX_FRAME];
        let bytes = self.0.recv(&mut frame).ok()?;
        frame.truncate(bytes);
        Some(frame)
    }

    /// Sends a message of this kind.
    fn ask(&self, kind: Kind) {
        let mut payload = vec![1, 1, 6, 0, 9, 8, 7, 6, 0, 3, 0x80, 0];
        payload.resize(28, 0);
        payload.extend(MAC);
        payload.resize(236, 0);
        payload.extend([99, 130, 83, 99, option::KIND, 1, kind as u8, 0, 0]);
        payload.extend([option::REQUESTED, 4, 192, 0, 2, 100, option::END]);
        let datagram = Datagram {
            source_mac: MAC,
            destination_mac: BROADCAST,
            source: SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 68),
            destination: SocketAddrV4::new(Ipv4Addr::BROADCAST, 67),
            payload,
        };
        self.send(&datagram.frame().unwrap());
    }

    /// The payloads of all answers.
    fn answers(&self, kind: Kind) -> Vec<Vec<u8>> {
        self.ask(kind);
        let mut answers = Vec::new();
        while let Some(frame) = self.receive(if answers.is_empty() { 1000 } else { 100 }) {
            let datagram = Datagram::parse(&frame).unwrap();
            assert_eq!((datagram.source.port(), datagram.destination.port()), (67, 68));
            answers.push(datagram.payload);
        }
        answers
    }
}

fn network(behaviour: Behaviour) -> (Responder, Guest) {
    let link = Link::new();
    let guest = Guest::on(&link);
    (Responder::start(link, behaviour), guest)
}

/// An option of a server's message; for one that is split, its first part.
fn value(message: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = &message[240..];
    loop {
        let (code, length) = (*rest.first()?, usize::from(*rest.get(1)?));
        if code == wanted {
            return rest.get(2..2 + length);
        }
        rest = rest.get(2 + length..)?;
    }
}

#[test]
fn frames_are_taken_apart_as_they_were_made() {
    let datagram = Datagram {
        source_mac: MAC,
        destination_mac: BROADCAST,
        source: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), 1234),
        destination: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 67),
        payload: b"odd".to_vec(),
    };
    let frame = datagram.frame().unwrap();
    assert_eq!((frame.len(), Datagram::parse(&frame).as_ref()), (60, Some(&datagram)));
    // Every bit from the IPv4 header's start counts, but the padding's.
    for bit in 14 * 8..(14 + 20 + 8 + 3) * 8 {
        let mut changed = frame.clone();
        changed[bit / 8] ^= 0x80 >> (bit % 8);
        assert_ne!(Datagram::parse(&changed), Some(datagram.clone()), "{bit}");
    }
    for length in 0..45 {
        assert_eq!(Datagram::parse(&frame[..length]), None, "{length}");
    }
    let long = Datagram { payload: vec![0; 65_508], ..datagram.clone() };
    assert_eq!(long.frame(), None);

    let arp =
        Arp { operation: 1, sender: (MAC, [1, 2, 3, 4].into()), target: ([0; 6], [5; 4].into()) };
    let frame = arp.frame(BROADCAST);
    assert_eq!((Arp::parse(&frame), Datagram::parse(&frame)), (Some(arp), None));
    assert!((0..42).all(|length| Arp::parse(&frame[..length]).is_none()));
}

#[test]
fn an_advertisement_is_the_answer_to_a_solicitation() {
    let target: Ipv6Addr = "2001:db8::64".parse().unwrap();
    let sender: Ipv6Addr = "2001:db8::1".parse().unwrap();
    let asked = packet::solicitation((MAC, sender), target);
    assert_eq!(asked[..6], [0x33, 0x33, 0xff, 0, 0, 0x64]);
    assert_eq!((asked.len(), asked[54]), (86, 135));
    assert_eq!(Advertisement::parse(&asked), None);
    // The same as an answer: the checksum covers the type.
    let mut answered = asked;
    answered[54] = 136;
    assert_eq!(Advertisement::parse(&answered), None);
    answered[56] = answered[56].wrapping_sub(1);
    assert_eq!(Advertisement::parse(&answered), Some(Advertisement { station: MAC, target }));
    assert!((0..86).all(|length| Advertisement::parse(&answered[..length]).is_none()));
}

/// The example of RFC 1071's widely copied test: a real IPv4 header.
#[test]
fn the_checksum_of_a_known_header() {
    let header = hex::decode("4500003044224000800600008c7c19acae241e2b").unwrap();
    let datagram = Datagram {
        source_mac: MAC,
        destination_mac: MAC,
        source: SocketAddrV4::new(Ipv4Addr::new(140, 124, 25, 172), 1),
        destination: SocketAddrV4::new(Ipv4Addr::new(174, 36, 30, 43), 2),
        payload: vec![0; 20],
    };
    let mut frame = datagram.frame().unwrap();
    frame[14..34].copy_from_slice(&header);
    frame[14 + 9] = 17;
    // 0x442e for TCP; UDP's number is 11 more.
    frame[24..26].copy_from_slice(&(0x442e_u16 - 11).to_be_bytes());
    assert_eq!(Datagram::parse(&frame), Some(datagram));
}

#[test]
fn an_honest_server_is_one() {
    let (responder, guest) = network(Behaviour::Honest);
    for (question, answer) in [(Kind::Discover, Kind::Offer), (Kind::Request, Kind::Ack)] {
        let answers = guest.answers(question);
        let [message] = answers.as_slice() else { unreachable!("{answers:?}") };
        assert_eq!(message[..8], [2, 1, 6, 0, 9, 8, 7, 6]);
        assert_eq!((&message[16..20], &message[28..34]), (&[192, 0, 2, 100][..], &MAC[..]));
        assert_eq!(value(message, option::KIND), Some(&[answer as u8][..]));
        assert_eq!(value(message, option::MASK), Some(&[255, 255, 255, 0][..]));
        assert_eq!(value(message, option::LEASE), Some(&[0, 0, 14, 16][..]));
    }
    let requests = responder.requests();
    assert_eq!(requests.len(), 2);
    let Request { kind, seconds, broadcast, .. } = requests[1];
    assert_eq!((kind, seconds, broadcast), (Kind::Request, 3, true));
    assert_eq!(requests[1].wanted(), Some(Responder::CLIENT));

    let arp = |target: Ipv4Addr| {
        let ask = Arp { operation: 1, sender: (MAC, Responder::CLIENT), target: ([0; 6], target) };
        guest.send(&ask.frame(BROADCAST));
        guest.receive(500).and_then(|frame| Arp::parse(&frame))
    };
    let answer = arp(Responder::ADDRESS).unwrap();
    assert_eq!((answer.operation, answer.sender.1), (2, Responder::ADDRESS));
    assert_eq!(answer.target, (MAC, Responder::CLIENT));
    assert_eq!(arp(Ipv4Addr::new(192, 0, 2, 7)), None);
    guest.send(&[0; 70]);
    while !responder.seen().contains(&Seen::Other(70)) {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_hostile_server_is_as_told() {
    let (responder, guest) = network(Behaviour::Silent);
    let offer = |behaviour: Behaviour| {
        responder.behave(behaviour);
        let mut answers = guest.answers(Kind::Discover);
        assert_eq!(answers.len(), 1);
        answers.remove(0)
    };
    assert_eq!(value(&offer(Behaviour::Lease(0)), option::LEASE), Some(&[0; 4][..]));
    let wrong = Ipv4Addr::new(0, 0, 0, 0);
    assert_eq!(value(&offer(Behaviour::Mask(wrong)), option::MASK), Some(&[0; 4][..]));
    assert_eq!(value(&offer(Behaviour::Router(wrong)), option::ROUTER), Some(&[0; 4][..]));
    let all = Ipv4Addr::BROADCAST;
    assert_eq!(offer(Behaviour::Address(all))[16..20], [255; 4]);
    assert_ne!(offer(Behaviour::OtherTransaction)[4..8], [9, 8, 7, 6]);
    assert_ne!(offer(Behaviour::OtherStation)[28..34], MAC);
    assert_eq!(offer(Behaviour::Truncated(241)).len(), 241);
    assert_eq!(offer(Behaviour::Garbage(vec![0xff; 3])), [0xff; 3]);
    assert_eq!(offer(Behaviour::BareKind)[240..], [53, 1, 2, 255]);
    let huge = offer(Behaviour::HugeOption(1000));
    assert!(huge.len() > 1240 && value(&huge, 224).unwrap().len() == 255);

    responder.behave(Behaviour::Storm(50));
    assert_eq!(guest.answers(Kind::Discover).len(), 50);
    responder.behave(Behaviour::Nak);
    let refused = guest.answers(Kind::Request);
    assert_eq!(value(&refused[0], option::KIND), Some(&[6][..]));
    for (behaviour, kind) in
        [(Behaviour::OffersOnly, Kind::Request), (Behaviour::Silent, Kind::Discover)]
    {
        responder.behave(behaviour);
        assert_eq!(guest.answers(kind), [] as [Vec<u8>; 0]);
    }

    let other = Behaviour::OtherServer(Kind::Ack);
    responder.behave(Behaviour::Each(vec![Behaviour::Lease(0), other, Behaviour::Honest]));
    assert_eq!(guest.answers(Kind::Discover).len(), 2);
    let all = guest.answers(Kind::Request);
    let servers: Vec<_> = all.iter().map(|one| value(one, option::SERVER).unwrap()[3]).collect();
    assert_eq!(servers, [1, 66, 1]);
}
