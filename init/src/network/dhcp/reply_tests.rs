//! The reader of replies against everything that a server can send.

use std::net::Ipv4Addr;
use std::time::Duration;

use super::server::{Answer, Question};
use super::*;

const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const XID: u32 = 0x1122_3344;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 15);

fn question() -> Question {
    let query =
        Query { mac: MAC, xid: XID, since: Duration::from_secs(7), purpose: Purpose::Discover };
    Question(query.encode())
}

fn offer() -> Answer {
    Answer::new(&question(), OFFER, ADDRESS)
}

fn read(answer: &Answer) -> Result<Reply, RefusedReply> {
    Reply::read(&answer.encode(), XID, MAC)
}

fn lease(answer: &Answer) -> Lease {
    match read(answer).unwrap() {
        Reply::Offer(lease) | Reply::Ack(lease) => lease,
        Reply::Nak(_) => panic!("no lease"),
    }
}

fn term(answer: &Answer) -> [u64; 3] {
    let term = lease(answer).term.unwrap();
    [term.renew.as_secs(), term.rebind.as_secs(), term.end.as_secs()]
}

#[test]
fn what_is_sent_is_what_the_rfc_says() {
    let message = question().0;
    assert_eq!(message.len(), 300);
    assert_eq!(message[..12], [1, 1, 6, 0, 0x11, 0x22, 0x33, 0x44, 0, 7, 0x80, 0]);
    assert!(message[12..28].iter().all(|byte| *byte == 0));
    assert_eq!(message[28..34], MAC);
    assert!(message[34..236].iter().all(|byte| *byte == 0));
    assert_eq!(message[236..243], [99, 130, 83, 99, 53, 1, 1]);
    assert_eq!(question().option(55).unwrap(), [1, 3, 26, 51, 58, 59]);

    let server = Ipv4Addr::new(192, 0, 2, 1);
    let purpose = Purpose::Select { address: ADDRESS, server };
    let select = Question(Query { purpose, mac: MAC, xid: 1, since: Duration::MAX }.encode());
    assert_eq!(select.kind(), REQUEST);
    assert!(select.wants_broadcast());
    assert_eq!(select.option(50).unwrap(), ADDRESS.octets());
    assert_eq!(select.option(54).unwrap(), server.octets());

    let purpose = Purpose::Extend { address: ADDRESS };
    let extend = Question(Query { purpose, mac: MAC, xid: 1, since: Duration::ZERO }.encode());
    assert_eq!((extend.kind(), &extend.0[12..16]), (REQUEST, &ADDRESS.octets()[..]));
    assert!(!extend.wants_broadcast());
    // Neither may be there (RFC 2131, table 5).
    assert_eq!((extend.option(50), extend.option(54)), (None, None));
}

#[test]
fn a_usual_answer_is_read() {
    let expected = Lease {
        address: ADDRESS,
        prefix: 24,
        router: Some(Ipv4Addr::new(192, 0, 2, 1)),
        mtu: Some(1400),
        server: Ipv4Addr::new(192, 0, 2, 1),
        term: Some(Term {
            renew: Duration::from_secs(1800),
            rebind: Duration::from_secs(3150),
            end: Duration::from_secs(3600),
        }),
    };
    let offer = offer().with(26, &1400_u16.to_be_bytes()).with(6, &[8; 4]).with(12, b"\xff\0name");
    assert_eq!(read(&offer), Ok(Reply::Offer(expected)));
    assert_eq!(read(&offer.with(53, &[ACK])), Ok(Reply::Ack(expected)));
    assert_eq!(
        expected.to_string(),
        "192.0.2.15/24 from 192.0.2.1 for 3600 s, router 192.0.2.1, MTU 1400"
    );
    // What QEMU's user network answers.
    let slirp = Answer::new(&question(), OFFER, Ipv4Addr::new(10, 0, 2, 15))
        .with(54, &[10, 0, 2, 2])
        .with(3, &[10, 0, 2, 2])
        .with(6, &[10, 0, 2, 3])
        .with(51, &86400_u32.to_be_bytes());
    assert_eq!(lease(&slirp).router, Some(Ipv4Addr::new(10, 0, 2, 2)));
}

#[test]
fn answers_to_others_are_not_ours() {
    let flip = |offset: usize| {
        let mut answer = offer();
        answer.fixed[offset] ^= 1;
        read(&answer)
    };
    // op, htype, hlen, xid, chaddr, cookie.
    for offset in [0, 1, 2, 4, 5, 6, 7, 28, 33, 236, 239] {
        assert_eq!(flip(offset), Err(RefusedReply::NotOurs), "{offset}");
    }
    // hops, secs, flags, ciaddr, siaddr, giaddr, the rest of chaddr, sname and file.
    for offset in [3, 8, 10, 12, 20, 24, 34, 44, 108, 235] {
        assert_eq!(flip(offset), read(&offer()), "{offset}");
    }
}

#[test]
fn sizes_are_bounded() {
    let size = |bytes: &[u8]| Reply::read(bytes, XID, MAC);
    assert_eq!(size(&[]), Err(RefusedReply::Size(0)));
    let mut long = offer().encode();
    long.resize(REPLY_MAX, 0);
    assert_eq!(size(&long), read(&offer()));
    long.push(0);
    assert_eq!(size(&long), Err(RefusedReply::Size(REPLY_MAX + 1)));
}

#[test]
fn every_cut_is_refused() {
    let whole = offer().with(26, &1400_u16.to_be_bytes()).encode();
    for length in 0..whole.len() {
        assert!(Reply::read(&whole[..length], XID, MAC).is_err(), "{length}");
    }
}

#[test]
fn options_that_are_used_have_one_length_and_one_place() {
    for code in [53, 54, 51, 1, 3, 26, 58, 59, 52] {
        for length in [0_usize, 3, 5, 255] {
            let bytes = vec![1; length];
            let answer = offer().with(code, &bytes);
            assert_eq!(read(&answer), Err(OptionsError::Length(code).into()), "{code}");
        }
    }
    for code in [53, 54, 51, 1, 3] {
        let mut answer = offer();
        let twice = answer.options.iter().find(|(other, _)| *other == code).cloned().unwrap();
        answer.options.push(twice);
        assert_eq!(read(&answer), Err(OptionsError::Twice(code).into()));
    }
    // The first of several routers; what is not used may be anything.
    let routers = offer().with(3, &[192, 0, 2, 9, 1, 1, 1, 1]);
    assert_eq!(lease(&routers).router, Some(Ipv4Addr::new(192, 0, 2, 9)));
    let mut ignored = offer();
    ignored.options.extend([(6, vec![]), (6, vec![0; 255]), (121, vec![7; 9]), (224, vec![])]);
    assert_eq!(read(&ignored), read(&offer()));
}

#[test]
fn options_go_on_in_file_and_sname() {
    let moved = |overload: u8, file: &[u8], sname: &[u8]| {
        let mut answer = offer().with(52, &[overload]);
        answer.options.retain(|(code, _)| *code != 1);
        answer.fixed[108..108 + file.len()].copy_from_slice(file);
        answer.fixed[44..44 + sname.len()].copy_from_slice(sname);
        read(&answer)
    };
    let mask = [0, 1, 4, 255, 255, 255, 0, 255];
    assert_eq!(moved(1, &mask, &[]), read(&offer()));
    assert_eq!(moved(2, &[], &mask), read(&offer()));
    assert_eq!(moved(3, &mask, &[255]), read(&offer()));
    assert_eq!(moved(1, &[], &mask), Err(OptionsError::Cut.into()));
    assert_eq!(moved(3, &mask, &mask), Err(OptionsError::Twice(1).into()));
    // Not from one to the next, and not past the end.
    assert_eq!(moved(1, &[52, 1, 2, 255], &mask), Err(OptionsError::Twice(52).into()));
    assert_eq!(moved(1, &[12, 255], &mask), Err(OptionsError::Cut.into()));
    assert_eq!(moved(0, &mask, &[]), Err(OptionsError::Overload.into()));
    assert_eq!(moved(4, &mask, &[]), Err(OptionsError::Overload.into()));
}

#[test]
fn addresses_that_cannot_be_are_refused() {
    let at = |address: [u8; 4], mask: [u8; 4]| {
        let mut answer = offer().with(1, &mask);
        answer.fixed[16..20].copy_from_slice(&address);
        answer.options.retain(|(code, _)| *code != 3);
        read(&answer)
    };
    const C: [u8; 4] = [255, 255, 255, 0];
    for address in [
        [0, 0, 0, 0],
        [0, 0, 0, 5],
        [127, 0, 0, 1],
        [224, 0, 0, 5],
        [239, 1, 1, 1],
        [240, 0, 0, 5],
        [255, 255, 255, 255],
        [192, 0, 2, 0],
        [192, 0, 2, 255],
    ] {
        let refused = RefusedReply::Address { address: address.into(), prefix: 24 };
        assert_eq!(at(address, C), Err(refused));
    }
    assert!(at([192, 0, 2, 0], [255, 255, 255, 254]).is_ok());
    assert!(at([192, 0, 2, 255], [255; 4]).is_ok());
    assert!(at([10, 1, 2, 255], [255, 0, 0, 0]).is_ok());
    for mask in [[0; 4], [254, 0, 0, 0], [255, 0, 255, 0], [0, 255, 255, 255], [1, 0, 0, 0]] {
        assert_eq!(at([10, 0, 0, 1], mask), Err(RefusedReply::Mask(mask.into())));
    }

    for router in [[192, 0, 3, 1], [192, 0, 2, 15], [192, 0, 2, 0], [192, 0, 2, 255], [0; 4]] {
        let refused = RefusedReply::Router { router: router.into(), address: ADDRESS, prefix: 24 };
        assert_eq!(read(&offer().with(3, &router)), Err(refused));
    }
    for server in [[0; 4], [127, 0, 0, 1], [224, 0, 0, 1], [255; 4]] {
        let answer = offer().with(54, &server);
        assert_eq!(read(&answer), Err(RefusedReply::Server(server.into())));
    }
}

#[test]
fn what_must_be_there_must_be_there() {
    let without = |code: u8| {
        let mut answer = offer();
        answer.options.retain(|(other, _)| *other != code);
        read(&answer)
    };
    assert_eq!(without(53), Err(RefusedReply::Type));
    assert_eq!(without(54), Err(RefusedReply::NoServer));
    assert_eq!(without(51), Err(RefusedReply::NoTerm));
    assert_eq!(without(1), Err(RefusedReply::NoMask));
    assert!(matches!(without(3), Ok(Reply::Offer(Lease { router: None, .. }))));
    for kind in [0, 1, 3, 4, 7, 8, 255] {
        assert_eq!(read(&offer().with(53, &[kind])), Err(RefusedReply::Type), "{kind}");
    }
    let mut nak = offer();
    nak.options = vec![(53, vec![NAK]), (54, vec![192, 0, 2, 1])];
    assert_eq!(read(&nak), Ok(Reply::Nak(Ipv4Addr::new(192, 0, 2, 1))));
    nak.options.pop();
    assert_eq!(read(&nak), Err(RefusedReply::NoServer));
}

#[test]
fn times_that_make_no_sense_are_the_usual_ones() {
    let with = |end: u32, renew: Option<u32>, rebind: Option<u32>| {
        let mut answer = offer().with(51, &end.to_be_bytes());
        for (code, value) in [(58, renew), (59, rebind)] {
            if let Some(value) = value {
                answer = answer.with(code, &value.to_be_bytes());
            }
        }
        answer
    };
    assert_eq!(term(&with(80, None, None)), [40, 70, 80]);
    assert_eq!(term(&with(80, Some(1), Some(2))), [1, 2, 80]);
    assert_eq!(term(&with(80, Some(0), Some(0))), [40, 70, 80]);
    assert_eq!(term(&with(80, Some(90), Some(80))), [40, 70, 80]);
    assert_eq!(term(&with(80, Some(71), None)), [40, 70, 80]);
    assert_eq!(term(&with(80, None, Some(10))), [10, 10, 80]);
    assert_eq!(term(&with(30, None, None)), [15, 27, 30]);
    assert_eq!(read(&with(29, None, None)), Err(RefusedReply::Term { seconds: 29 }));
    assert_eq!(read(&with(0, None, None)), Err(RefusedReply::Term { seconds: 0 }));
    assert_eq!(lease(&with(u32::MAX, Some(1), Some(1))).term, None);
    let [renew, rebind, end] = term(&with(u32::MAX - 1, None, None));
    assert!(renew < rebind && rebind < end);

    for (mtu, kept) in [(575, None), (576, Some(576)), (9000, Some(9000)), (9001, None)] {
        assert_eq!(lease(&offer().with(26, &u16::to_be_bytes(mtu))).mtu, kept);
    }
}

/// What holds for whatever is taken.
fn check(reply: &Reply) {
    let (Reply::Offer(lease) | Reply::Ack(lease)) = reply else { return };
    assert!((8..=32).contains(&lease.prefix));
    assert!(!lease.address.is_multicast() && !lease.address.is_loopback());
    assert!(!lease.address.is_unspecified() && !lease.address.is_broadcast());
    assert!(lease.router.is_none_or(|router| router != lease.address));
    assert!(lease.mtu.is_none_or(|mtu| (576..=9000).contains(&mtu)));
    if let Some(term) = lease.term {
        assert!(term.renew >= Duration::from_secs(1) && term.end >= Duration::from_secs(30));
        assert!(term.renew <= term.rebind && term.rebind < term.end);
    }
}

#[test]
fn no_flipped_bit_makes_a_lease_that_cannot_be() {
    let whole = offer().with(26, &1400_u16.to_be_bytes()).with(52, &[3]).encode();
    let whole = {
        let mut whole = whole;
        (whole[44], whole[108]) = (255, 255);
        whole
    };
    assert!(Reply::read(&whole, XID, MAC).is_ok());
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        if let Ok(reply) = Reply::read(&flipped, XID, MAC) {
            check(&reply);
        }
    }
}

/// A generator of the xorshift family: the same numbers in every run.
fn numbers(mut state: u64) -> impl FnMut(usize) -> usize {
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 16).unwrap() % below
    }
}

#[test]
fn a_hundred_thousand_mutations_are_refused_or_make_sense() {
    let seeds = [
        offer().encode(),
        offer().with(53, &[ACK]).with(58, &[0, 0, 0, 9]).with(59, &[0, 0, 0, 10]).encode(),
        offer().with(53, &[NAK]).encode(),
        offer().with(52, &[3]).with(3, &[192, 0, 2, 1, 192, 0, 2, 2]).encode(),
    ];
    let mut number = numbers(0x9e37_79b9_7f4a_7c15);
    let mut taken = 0_u32;
    for _ in 0..100_000 {
        let mut message = seeds[number(seeds.len())].clone();
        for _ in 0..=number(4) {
            // Mostly the options: the rest is mostly ignored.
            let start = if number(4) == 0 { 0 } else { 236 };
            let at = start + number(message.len().saturating_sub(start).max(1));
            match number(5) {
                0 => message.truncate(at),
                1 => message.insert(at.min(message.len()), u8::try_from(number(256)).unwrap()),
                2 => {
                    let piece = seeds[number(seeds.len())][240..].to_vec();
                    message.splice(at.min(message.len()).., piece);
                }
                3 => message.extend((0..number(1400)).map(|n| n.to_le_bytes()[0])),
                _ => {
                    if let Some(byte) = message.get_mut(at) {
                        *byte = [0, 1, 4, 52, 53, 127, 255][number(7)];
                    }
                }
            }
        }
        if let Ok(reply) = Reply::read(&message, XID, MAC) {
            check(&reply);
            taken += 1;
        }
    }
    assert!((1000..99_000).contains(&taken), "the mutations are of no use: {taken}");
}
