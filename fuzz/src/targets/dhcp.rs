//! A DHCP server's answer to PID 1, as a datagram. The first byte says whom it answers:
//! with 0 it is made the answer to this client's question.

use std::net::Ipv4Addr;
use std::time::Duration;

use init::network::dhcp::{Client, Purpose, Query, Reply};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const XID: u32 = 7;
/// Offsets of fields (RFC 2131, figure 1).
const XID_AT: usize = 4;
const CHADDR_AT: usize = 28;
/// Where the options start, behind the cookie.
const OPTIONS: usize = 240;

pub(super) fn run(data: &[u8]) {
    let Some((kind, content)) = data.split_first() else { return };
    let mut datagram = content.to_vec();
    if *kind == 0 {
        put(&mut datagram, XID_AT, &XID.to_be_bytes());
        put(&mut datagram, CHADDR_AT, &MAC);
    }
    if let Ok(Reply::Offer(lease) | Reply::Ack(lease)) = Reply::read(&datagram, XID, MAC) {
        assert!((8..=32).contains(&lease.prefix) && !lease.address.is_unspecified());
        assert!(lease.router != Some(lease.address));
        if let Some(term) = lease.term {
            assert!(term.renew <= term.rebind && term.rebind <= term.end);
        }
        let _ = lease.to_string();
    }
    talk(&datagram);
}

/// A client that gets the datagram as the answer to whatever it asks.
fn talk(datagram: &[u8]) {
    let mut client = Client::new(MAC, || XID);
    let mut now = Duration::ZERO;
    for _ in 0..8 {
        let step = client.poll(now);
        if let Some((_, query)) = step.send {
            assert!(query.encode().len() >= OPTIONS);
        }
        let _ = client.receive(now, datagram);
        let _ = client.progress().to_string();
        assert!(step.wake >= now);
        now = step.wake;
    }
}

fn put(to: &mut [u8], at: usize, from: &[u8]) {
    to.iter_mut().skip(at).zip(from).for_each(|(to, from)| *to = *from);
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let query =
        Query { mac: MAC, xid: XID, since: Duration::ZERO, purpose: Purpose::Discover }.encode();
    let address = Ipv4Addr::new(10, 0, 2, 15).octets();
    let answer = |kind: u8, more: &[u8]| {
        let mut fixed = query.get(..OPTIONS).unwrap_or_default().to_vec();
        put(&mut fixed, 0, &[2]);
        put(&mut fixed, 10, &[0; 2]);
        put(&mut fixed, 16, &address);
        // Type, server, lease, mask, router (RFC 2132).
        let options = [
            &[53, 1, kind, 54, 4, 10, 0, 2, 2, 51, 4, 0, 0, 14, 16][..],
            &[1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 2, 2],
            more,
            &[255],
        ];
        [&[0], &fixed[..], &options.concat()].concat()
    };
    vec![
        answer(2, &[]),
        // MTU, T1 and T2.
        answer(5, &[26, 2, 5, 220, 58, 4, 0, 0, 7, 8, 59, 4, 0, 0, 12, 78]),
        answer(6, &[]),
    ]
}
