//! A small network: one station, which answers ARP for its address and DHCP in a way
//! that a test chooses.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::Link;
use super::dhcp::{CLIENT_PORT, Kind, Reply, Request, SERVER_PORT, option};
use super::packet::{Advertisement, Arp, BROADCAST, Datagram, Mac};

/// The station's.
pub const STATION: Mac = [0x52, 0x54, 0, 0x0a, 0x0b, 0x0c];
/// How often it looks whether it should end.
const INTERVAL: Duration = Duration::from_millis(100);

/// How the DHCP server behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// As it should: one address, a lease of an hour.
    Honest,
    /// Never answers.
    Silent,
    /// Offers, and does not answer the request.
    OffersOnly,
    /// Refuses every request.
    Nak,
    /// Answers everything so many times, with another address each time.
    Storm(u32),
    /// The lease, in seconds: 0, or for ever (`u32::MAX`), or short.
    Lease(u32),
    /// Another mask; 0.0.0.0 makes the whole world local, 255.255.255.255 nobody.
    Mask(Ipv4Addr),
    /// Another router, out of the subnet.
    Router(Ipv4Addr),
    /// Another address for the client: of the host itself, of everybody, of nobody.
    Address(Ipv4Addr),
    /// So many bytes of an unknown option, in pieces of 255.
    HugeOption(usize),
    /// Answers of another transaction.
    OtherTransaction,
    /// Answers for another station, sent to this one.
    OtherStation,
    /// Cuts the message off after so many bytes.
    Truncated(usize),
    /// No option at all but the kind.
    BareKind,
    /// These bytes instead of a message.
    Garbage(Vec<u8>),
    /// Another server, which offers nothing and answers the request with this kind.
    OtherServer(Kind),
    /// All of them, one after the other, to every message.
    Each(Vec<Behaviour>),
}

/// What the station has seen of the guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// A DHCP message.
    Dhcp(Request),
    /// ARP.
    Arp(Arp),
    /// Another datagram.
    Datagram(Datagram),
    /// An answer to [`super::packet::solicitation`].
    Advertisement(Advertisement),
    /// A frame that is none of these; its length.
    Other(usize),
}

/// A network that runs in a thread until it is dropped.
#[derive(Debug)]
pub struct Responder {
    link: Arc<Link>,
    shared: Arc<Shared>,
    running: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stopped: AtomicBool,
    behaviour: Mutex<Behaviour>,
    seen: Mutex<Vec<Seen>>,
}

impl Responder {
    /// The station's address: DHCP server and router.
    pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    /// The address that an honest server gives.
    pub const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);
    /// The address of another server.
    pub const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);
    /// The mask that it gives.
    pub const MASK: Ipv4Addr = Ipv4Addr::new(255, 255, 255, 0);

    /// Starts it.
    #[must_use]
    pub fn start(link: Link, behaviour: Behaviour) -> Self {
        Self::begin(link, None, behaviour)
    }

    /// The same, with another network behind it: it answers DHCP, and passes on what
    /// else there is, in both directions.
    #[must_use]
    pub fn start_before(uplink: Link, link: Link, behaviour: Behaviour) -> Self {
        Self::begin(link, Some(Arc::new(uplink)), behaviour)
    }

    fn begin(link: Link, uplink: Option<Arc<Link>>, behaviour: Behaviour) -> Self {
        let link = Arc::new(link);
        let shared = Arc::new(Shared {
            stopped: AtomicBool::new(false),
            behaviour: Mutex::new(behaviour),
            seen: Mutex::default(),
        });
        let mut running = Vec::new();
        if let Some(uplink) = uplink.clone() {
            let (link, shared) = (Arc::clone(&link), Arc::clone(&shared));
            running.push(thread::spawn(move || pass_down(&uplink, &link, &shared)));
        }
        running.push({
            let (link, shared) = (Arc::clone(&link), Arc::clone(&shared));
            thread::spawn(move || run(&link, uplink.as_deref(), &shared))
        });
        Self { link, shared, running }
    }

    /// The wire that it is on.
    #[must_use]
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// From now on it behaves like this.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner) = behaviour;
    }

    /// What it has seen so far.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The DHCP messages among it.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        let seen = self.seen().into_iter();
        seen.filter_map(|seen| match seen {
            Seen::Dhcp(request) => Some(request),
            Seen::Arp(_) | Seen::Datagram(_) | Seen::Advertisement(_) | Seen::Other(_) => None,
        })
        .collect()
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        for running in self.running.drain(..) {
            let _panicked = running.join();
        }
    }
}

fn pass_down(uplink: &Link, link: &Link, shared: &Shared) {
    while !shared.stopped.load(Ordering::SeqCst) {
        let frame = uplink.receive(INTERVAL);
        // The network behind may have a DHCP server of its own.
        let dhcp = |frame: &[u8]| {
            Datagram::parse(frame).is_some_and(|datagram| datagram.source.port() == SERVER_PORT)
        };
        if let Some(frame) = frame.filter(|frame| !dhcp(frame)) {
            let _lost = link.send(&frame);
        }
    }
}

fn run(link: &Link, uplink: Option<&Link>, shared: &Shared) {
    while !shared.stopped.load(Ordering::SeqCst) {
        let Some(frame) = link.receive(INTERVAL) else { continue };
        let seen = classify(&frame);
        let behaviour = shared.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let answers = match (&seen, uplink) {
            (Seen::Dhcp(request), _) => dhcp_answers(request, &behaviour),
            (_, Some(uplink)) => {
                let _lost = uplink.send(&frame);
                Vec::new()
            }
            (Seen::Arp(arp), None) => arp_answer(arp).into_iter().collect(),
            (Seen::Datagram(_) | Seen::Advertisement(_) | Seen::Other(_), None) => Vec::new(),
        };
        shared.seen.lock().unwrap_or_else(PoisonError::into_inner).push(seen);
        for answer in answers {
            let _lost = link.send(&answer);
        }
    }
}

fn classify(frame: &[u8]) -> Seen {
    if let Some(arp) = Arp::parse(frame) {
        return Seen::Arp(arp);
    }
    if let Some(advertisement) = Advertisement::parse(frame) {
        return Seen::Advertisement(advertisement);
    }
    let Some(datagram) = Datagram::parse(frame) else { return Seen::Other(frame.len()) };
    match Request::parse(&datagram.payload) {
        Some(request) if datagram.destination.port() == SERVER_PORT => Seen::Dhcp(request),
        _ => Seen::Datagram(datagram),
    }
}

fn arp_answer(question: &Arp) -> Option<Vec<u8>> {
    let asked = question.operation == 1 && question.target.1 == Responder::ADDRESS;
    let answer =
        Arp { operation: 2, sender: (STATION, Responder::ADDRESS), target: question.sender };
    asked.then(|| answer.frame(question.sender.0))
}

fn dhcp_answers(request: &Request, behaviour: &Behaviour) -> Vec<Vec<u8>> {
    let kind = match (request.kind, behaviour) {
        (_, Behaviour::Each(all)) => {
            return all.iter().flat_map(|one| dhcp_answers(request, one)).collect();
        }
        (_, Behaviour::Silent)
        | (Kind::Request, Behaviour::OffersOnly)
        | (Kind::Discover, Behaviour::OtherServer(_)) => return Vec::new(),
        (Kind::Discover, _) => Kind::Offer,
        (Kind::Request, Behaviour::Nak) => Kind::Nak,
        (Kind::Request, Behaviour::OtherServer(kind)) => *kind,
        (Kind::Request, _) => Kind::Ack,
        _ => return Vec::new(),
    };
    let count = if let Behaviour::Storm(count) = behaviour { *count } else { 1 };
    let frames = (0..count).filter_map(|number| dhcp_answer(request, kind, behaviour, number));
    frames.collect()
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "each step is about the few behaviours that change it"
)]
fn dhcp_answer(
    request: &Request,
    kind: Kind,
    behaviour: &Behaviour,
    number: u32,
) -> Option<Vec<u8>> {
    let mut lease = 3600;
    let (mut mask, mut router) = (Responder::MASK, Responder::ADDRESS);
    let server = match behaviour {
        Behaviour::OtherServer(_) => Responder::OTHER,
        _ => Responder::ADDRESS,
    };
    let mut reply = Reply {
        transaction: request.transaction,
        mac: request.mac,
        address: Responder::CLIENT,
        options: vec![(option::KIND, vec![kind as u8]), (option::SERVER, server.octets().to_vec())],
    };
    match behaviour {
        Behaviour::Lease(seconds) => lease = *seconds,
        Behaviour::Mask(other) => mask = *other,
        Behaviour::Router(other) => router = *other,
        Behaviour::Address(other) => reply.address = *other,
        Behaviour::OtherTransaction => reply.transaction = request.transaction.map(|byte| !byte),
        Behaviour::OtherStation => reply.mac = request.mac.map(|byte| !byte),
        Behaviour::Storm(_) => {
            reply.address = Ipv4Addr::from_bits(Responder::CLIENT.to_bits() + number % 100);
        }
        _ => {}
    }
    if kind != Kind::Nak && *behaviour != Behaviour::BareKind {
        reply.options.extend([
            (option::LEASE, u32::to_be_bytes(lease).to_vec()),
            (option::MASK, mask.octets().to_vec()),
            (option::ROUTER, router.octets().to_vec()),
            (option::NAME_SERVER, Responder::ADDRESS.octets().to_vec()),
        ]);
    }
    match behaviour {
        Behaviour::BareKind => reply.options.truncate(1),
        // One of those that are for private use.
        Behaviour::HugeOption(bytes) => reply.options.push((224, vec![0x41; *bytes])),
        _ => {}
    }
    let mut payload = reply.encode();
    match behaviour {
        Behaviour::Truncated(bytes) => payload.truncate(*bytes),
        Behaviour::Garbage(bytes) => payload.clone_from(bytes),
        _ => {}
    }
    // To all: a client that has no address yet hears that, whatever it asked for.
    let answer = Datagram {
        source_mac: STATION,
        destination_mac: BROADCAST,
        source: SocketAddrV4::new(Responder::ADDRESS, SERVER_PORT),
        destination: SocketAddrV4::new(Ipv4Addr::BROADCAST, CLIENT_PORT),
        payload,
    };
    answer.frame()
}
