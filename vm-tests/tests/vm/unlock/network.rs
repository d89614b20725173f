//! The network that PID 1 has while it waits for keys: how it gets its addresses, that
//! nothing of it is left for the real system, and what a host's DHCP server can do.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use vm_tests::ethernet::dhcp::Kind;
use vm_tests::ethernet::packet::{Advertisement, solicitation};
use vm_tests::ethernet::{Behaviour, Link, Responder, STATION, Seen};
use vm_tests::{Launch, Outcome, Running};

use super::{LIMIT, Machine};
use crate::simulator::simulated;

/// The card's: QEMU's own first one.
const MAC: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];

/// Addresses of both families, on the link with a hardware address: the guest says that
/// it has the IPv6 one, and is unlocked over the other.
#[test]
fn configured_addresses_of_both_families_are_set_and_removed() {
    let owner = on_the_wire(
        "network.mode = \"static\"\nnetwork.link = \"mac:52:54:00:12:34:56\"\n\
         network.address = \"192.0.2.100/24,2001:db8::64/64\"\n\
         network.gateway = \"192.0.2.1,2001:db8::1\"\nnetwork.mtu = 1400\n",
    );
    let (responder, launch) = with_unlock(&owner, Behaviour::Silent);
    let mut machine = waiting(launch);
    let line = machine.wait_for("network: ");
    let has = "has 192.0.2.100/24 2001:db8::64/64, router 192.0.2.1, router 2001:db8::1";
    assert!(line.contains(has), "{line}");
    let (router, target) = ("2001:db8::1".parse().unwrap(), "2001:db8::64".parse().unwrap());
    wait(&mut machine, || has_answered(&responder, router, target));
    owner.unlock(&[]).opened();
    let outcome = machine.finish();
    outcome.booted();
    nothing_is_left(&outcome);
    assert_eq!(responder.requests(), [], "DHCP was asked");
}

/// A link that is not there is named, with those that are.
#[test]
fn a_missing_link_is_named() {
    let other = "mac:52:54:00:99:99:99";
    let owner = on_the_wire(&format!("network.link = \"{other}\"\ndeadline.network = \"2s\"\n"));
    let link = Link::new();
    let outcome = launch(&owner, &link).start().finish();
    outcome.refused("network", "network").said(other).said("52:54:00:12:34:56");
}

/// Attack: every answer of the host's DHCP server is of no use. Observed: none of its
/// offers is asked for, and the boot ends by name at its deadline. Closed: strict
/// reading, a deadline.
#[test]
fn offers_of_no_use_are_not_asked_for() {
    let responder = refused(Behaviour::Each(useless()), "the last answer is refused");
    let kinds: Vec<Kind> = responder.requests().iter().map(|request| request.kind).collect();
    assert!(kinds.len() >= 2 && kinds.iter().all(|kind| *kind == Kind::Discover), "{kinds:?}");
}

/// Attack: there is no answer, or the offer is never given, or taken back. Observed: the
/// boot ends by name at its deadline, and says how far it came. Closed: a deadline, and no
/// address but one that was given.
#[test]
fn a_server_that_gives_nothing_ends_the_boot_by_name() {
    refused(Behaviour::Silent, "none was answered");
    refused(Behaviour::OffersOnly, "192.0.2.100 was offered and not given by 192.0.2.1");
    refused(Behaviour::Nak, "the server took its offer back");
}

/// Attack: beside the honest answer there are all the useless ones, those of another
/// server, which takes back what it never gave and gives what was asked of the first,
/// and a storm of others. Observed: the guest has the honest address and is unlocked
/// over it. Closed: strict reading; an answer counts only from the server that offered.
#[test]
fn an_honest_answer_among_hostile_ones_is_found() {
    let owner = on_the_wire("network.link = \"driver:virtio_net\"\n");
    let mut answers = useless();
    answers.extend([Kind::Nak, Kind::Ack].map(Behaviour::OtherServer));
    answers.push(Behaviour::Storm(2000));
    let (responder, launch) = with_unlock(&owner, Behaviour::Each(answers));
    let machine = waiting(launch);
    owner.unlock(&[]).opened();
    let outcome = machine.finish();
    outcome.booted().said(" has 192.0.2.100/24 from 192.0.2.1 for 3600 s");
    nothing_is_left(&outcome);
    let asked: Vec<_> =
        responder.requests().into_iter().filter(|one| one.kind == Kind::Request).collect();
    assert!(asked.iter().all(|one| one.wanted() == Some(Responder::CLIENT)), "{asked:?}");
}

/// Attack: a DHCP server that misbehaves for a while, and then gives more than was asked
/// for. Observed: the guest gets its address and is unlocked over it. Closed: each try
/// begins anew, and what is not understood is skipped.
#[test]
fn a_guest_outlasts_a_server_that_misbehaves() {
    let owner = on_the_wire("");
    let (responder, launch) = with_unlock(&owner, Behaviour::Nak);
    let mut machine = launch.start();
    // Discover, request; discover.
    wait(&mut machine, || responder.requests().len() >= 3);
    responder.behave(Behaviour::HugeOption(800));
    machine.wait_for("unlock: waiting for");
    owner.unlock(&[]).opened();
    let outcome = machine.finish();
    outcome.booted().said(" has 192.0.2.100/24 from 192.0.2.1 for 3600 s");
    nothing_is_left(&outcome);
}

/// Answers that no client can use.
fn useless() -> Vec<Behaviour> {
    vec![
        Behaviour::Lease(0),
        Behaviour::Mask(Ipv4Addr::UNSPECIFIED),
        // No router can be in such a subnet.
        Behaviour::Mask(Ipv4Addr::BROADCAST),
        Behaviour::Router(Ipv4Addr::new(198, 51, 100, 1)),
        // The router's own, everybody's, nobody's, another subnet's.
        Behaviour::Address(Responder::ADDRESS),
        Behaviour::Address(Ipv4Addr::BROADCAST),
        Behaviour::Address(Ipv4Addr::UNSPECIFIED),
        Behaviour::Address(Ipv4Addr::new(198, 51, 100, 7)),
        Behaviour::HugeOption(4000),
        Behaviour::OtherTransaction,
        Behaviour::OtherStation,
        Behaviour::Truncated(239),
        Behaviour::BareKind,
        Behaviour::Garbage(vec![0xff; 1200]),
    ]
}

/// A boot that ends at the network's deadline, and how far it came.
#[track_caller]
fn refused(behaviour: Behaviour, progress: &str) -> Responder {
    let owner = on_the_wire("deadline.network = \"6s\"\n");
    let responder = Responder::start(Link::new(), behaviour);
    let outcome = launch(&owner, responder.link()).start().finish();
    outcome.refused("network", "network").said("no lease from DHCP on").said("within 6s");
    outcome.said(progress);
    assert!(!responder.requests().is_empty(), "nothing was asked");
    responder
}

/// The real system starts with links as the kernel made them: down, without addresses
/// and routes.
#[track_caller]
pub(super) fn nothing_is_left(outcome: &Outcome) {
    let links = outcome.console.probes("net.link");
    assert!(links.len() >= 2, "{links:?}");
    for link in links {
        let flags = link.split_once("flags=0x").unwrap().1.split(' ').next().unwrap();
        // IFF_UP of netdevice(7).
        assert_eq!(u32::from_str_radix(flags, 16).unwrap() & 1, 0, "{link}");
        assert!(link.starts_with("lo ") || link.ends_with(" mtu=1500"), "{link}");
    }
    for what in ["net.route", "net.inet4", "net.inet6"] {
        assert_eq!(outcome.console.probes(what), [""; 0], "{what}");
    }
    for line in outcome.console.probes("net.disable_ipv6") {
        assert!(line.ends_with(" 0"), "{line}");
    }
}

/// A machine with an encrypted root, and no card but the test's.
fn on_the_wire(config: &str) -> Machine {
    let owner = Machine::with(&["first"], config);
    let mut vm = owner.vm();
    vm.remove("network");
    let mut unlock = toml::Table::new();
    unlock.insert("address".to_owned(), format!("127.0.0.1:{}", owner.unlock).into());
    vm.insert("unlock".to_owned(), unlock.into());
    owner.set_vm(&vm);
    owner
}

fn launch(owner: &Machine, link: &Link) -> Launch {
    simulated(&owner.path("vm.toml")).time_limit(LIMIT).qemu_arguments(link.qemu_arguments())
}

fn waiting(launch: Launch) -> Running {
    let mut machine = launch.start();
    machine.wait_for("unlock: waiting for");
    machine
}

/// With a DHCP server on the wire, and behind it QEMU's user network, which leads to the
/// guest's port.
fn with_unlock(owner: &Machine, behaviour: Behaviour) -> (Responder, Launch) {
    let (link, uplink) = (Link::new(), Link::new());
    let wire = format!(
        "dgram,id=up,local.type=unix,local.path={},remote.type=unix,remote.path={}",
        uplink.guest_end().display(),
        uplink.test_end().display()
    );
    let user = format!(
        "user,id=user,net=192.0.2.0/24,host={},hostfwd=tcp:127.0.0.1:{}-{}:4778",
        Responder::ADDRESS,
        owner.unlock,
        Responder::CLIENT
    );
    let hub = |name: &str| format!("hubport,id=hub-{name},hubid=1,netdev={name}");
    let devices = [wire, user, hub("up"), hub("user")];
    let arguments = devices.into_iter().flat_map(|device| ["-netdev".to_owned(), device]);
    let launch = launch(owner, &link).qemu_arguments(arguments);
    (Responder::start_before(uplink, link, behaviour), launch)
}

/// Asks for the station of an IPv6 address; whether it has answered.
fn has_answered(responder: &Responder, router: Ipv6Addr, target: Ipv6Addr) -> bool {
    responder.link().send(&solicitation((STATION, router), target));
    responder.seen().contains(&Seen::Advertisement(Advertisement { station: MAC, target }))
}

#[track_caller]
fn wait(machine: &mut Running, until: impl Fn() -> bool) {
    while !until() {
        machine.check("the network");
        std::thread::sleep(Duration::from_millis(50));
    }
}
