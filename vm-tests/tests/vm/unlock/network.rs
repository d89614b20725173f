//! The network that PID 1 has while it waits for keys: how it gets an address, that
//! nothing of it is left for the real system, and what a host's DHCP server can do.

use std::net::Ipv4Addr;
use std::time::Duration;

use vm_tests::ethernet::{Behaviour, Link, Responder};
use vm_tests::{Launch, Outcome, Running};

use super::{LIMIT, Machine};
use crate::simulator::simulated;

/// QEMU's own first card.
const MAC: &str = "52:54:00:12:34:56";

/// By DHCP from QEMU's own server, on the only link there is.
#[test]
fn dhcp_gives_an_address_for_as_long_as_it_is_needed() {
    let owner = Machine::new();
    let machine = owner.start();
    owner.unlock(&[]).opened();
    let outcome = machine.finish();
    outcome.booted().said(" has 10.0.2.15/24 from 10.0.2.2 for 86400 s, router 10.0.2.2");
    nothing_is_left(&outcome);
}

/// Static addresses of both families, on the link with a hardware address, and on the
/// one with a driver.
#[test]
fn static_addresses_of_both_families_are_set_and_removed() {
    for link in [format!("mac:{MAC}"), "driver:virtio_net".to_owned()] {
        let owner = Machine::with(
            &["first"],
            &format!(
                "network.mode = \"static\"\nnetwork.link = \"{link}\"\n\
                 network.address = \"10.0.2.15/24,fec0::15/64\"\n\
                 network.gateway = \"10.0.2.2,fec0::2\"\nnetwork.mtu = 1400\n"
            ),
        );
        let machine = owner.start();
        owner.unlock(&[]).opened();
        let outcome = machine.finish();
        outcome.booted().said(" 10.0.2.15/24").said(" fec0::15/64");
        outcome.said("router 10.0.2.2").said("router fec0::2");
        nothing_is_left(&outcome);
    }
}

/// A link that is not there is named, with those that are.
#[test]
fn a_missing_link_is_named() {
    let owner = Machine::with(
        &["first"],
        "network.link = \"mac:52:54:00:99:99:99\"\ndeadline.network = \"2s\"\n",
    );
    let outcome = simulated(&owner.path("vm.toml")).time_limit(LIMIT).start().finish();
    outcome.refused("network", "network").said("52:54:00:99:99:99").said(MAC);
}

/// Attack: a DHCP server that gives nothing of use, in each way. Observed: the boot ends
/// by name at its deadline, with what was wrong. Closed: strict reading, a deadline.
#[test]
fn a_dhcp_server_that_gives_nothing_ends_the_boot_by_name() {
    let owner = Machine::with(&["first"], "deadline.network = \"4s\"\n");
    without_network(&owner);
    let address = |text: &str| -> Ipv4Addr { text.parse().unwrap() };
    let behaviours = [
        Behaviour::Silent,
        Behaviour::OffersOnly,
        Behaviour::Nak,
        Behaviour::Lease(0),
        Behaviour::Mask(address("0.0.0.0")),
        Behaviour::Mask(address("255.255.255.255")),
        Behaviour::Router(address("198.51.100.1")),
        Behaviour::Address(Responder::ADDRESS),
        Behaviour::Address(Ipv4Addr::BROADCAST),
        Behaviour::Address(Ipv4Addr::UNSPECIFIED),
        Behaviour::HugeOption(4000),
        Behaviour::OtherTransaction,
        Behaviour::OtherStation,
        Behaviour::Truncated(239),
        Behaviour::BareKind,
        Behaviour::Garbage(vec![0xff; 1200]),
    ];
    for behaviour in behaviours {
        let responder = Responder::start(Link::new(), behaviour.clone());
        let outcome = launch(&owner, responder.link()).start().finish();
        outcome.refused("network", "network").said("no lease from DHCP").said("within 4s");
        assert!(!responder.requests().is_empty(), "{behaviour:?}: nothing was asked");
    }
}

/// Attack: a DHCP server that misbehaves in what does not count, or for a while.
/// Observed: the guest gets its address and is unlocked over it.
#[test]
fn a_guest_recovers_from_a_dhcp_server_that_misbehaves() {
    let owner = Machine::with(&["first"], "deadline.network = \"60s\"\n");
    without_network(&owner);
    let behaviours = [
        Behaviour::Storm(2000),
        Behaviour::Lease(u32::MAX),
        Behaviour::HugeOption(800),
        // These until the third message.
        Behaviour::Nak,
        Behaviour::Garbage(vec![0xff; 1200]),
    ];
    for behaviour in behaviours {
        let (link, uplink) = (Link::new(), Link::new());
        let lasting = !matches!(behaviour, Behaviour::Nak | Behaviour::Garbage(_));
        let launch = launch(&owner, &link).qemu_arguments(behind(&owner, &uplink));
        let responder = Responder::start_before(uplink, link, behaviour);
        let mut machine = launch.start();
        if !lasting {
            wait(&mut machine, || responder.requests().len() >= 3);
            responder.behave(Behaviour::Honest);
        }
        machine.wait_for("unlock: waiting for");
        owner.unlock(&["--new-instance"]).opened();
        let outcome = machine.finish();
        outcome.booted().said(" has 192.0.2.100/24 from 192.0.2.1");
        nothing_is_left(&outcome);
    }
}

/// The real system starts with links as the kernel made them: down, without addresses
/// and routes.
#[track_caller]
fn nothing_is_left(outcome: &Outcome) {
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

/// No card but the test's.
fn without_network(owner: &Machine) {
    let mut vm = owner.vm();
    vm.remove("network");
    let mut unlock = toml::Table::new();
    unlock.insert("address".to_owned(), format!("127.0.0.1:{}", owner.unlock).into());
    vm.insert("unlock".to_owned(), unlock.into());
    owner.set_vm(&vm);
}

fn launch(owner: &Machine, link: &Link) -> Launch {
    simulated(&owner.path("vm.toml")).time_limit(LIMIT).qemu_arguments(link.qemu_arguments())
}

/// QEMU's user network at the other end of a wire, with the way to the guest's port.
fn behind(owner: &Machine, uplink: &Link) -> Vec<String> {
    let (test, guest) = (uplink.test_end(), uplink.guest_end());
    let wire = format!(
        "dgram,id=up,local.type=unix,local.path={},remote.type=unix,remote.path={}",
        guest.display(),
        test.display()
    );
    let user = format!(
        "user,id=user,net=192.0.2.0/24,host={},hostfwd=tcp:127.0.0.1:{}-{}:4778",
        Responder::ADDRESS,
        owner.unlock,
        Responder::CLIENT
    );
    let hub = |name: &str| format!("hubport,id=hub-{name},hubid=1,netdev={name}");
    let devices = [wire, user, hub("up"), hub("user")];
    devices.into_iter().flat_map(|device| ["-netdev".to_owned(), device]).collect()
}

fn wait(machine: &mut Running, until: impl Fn() -> bool) {
    while !until() {
        machine.check("DHCP");
        std::thread::sleep(Duration::from_millis(50));
    }
}
