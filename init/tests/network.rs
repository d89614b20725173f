//! The network on real links: a pair of virtual Ethernet links whose other end is in a
//! network namespace of its own, with a DHCP server in a thread. Each test runs in a user,
//! network and mount namespace of its own, so it needs no root; it needs `unshare` and
//! `ip`, and a kernel that lets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::cast_possible_truncation, reason = "only in tests")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use init::Connection;
use init::network::NetworkError;
use nix::sched::{CloneFlags, unshare};
use protocol::config::{Addressing, LinkSelector, Network};

#[path = "../src/network/dhcp/server.rs"]
mod server;

use server::{Answer, Question};

const INSIDE: &str = "RAVELIN_NETWORK_TEST";
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// Runs `body` in namespaces of its own: this test again, as another process, for two
/// minutes at most.
fn isolated(name: &str, body: fn()) {
    if std::env::var_os(INSIDE).is_some() {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("sysfs", "/sys", "sysfs", flags, None).unwrap();
        return body();
    }
    let unshare = || {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--net", "--mount", "--"]);
        command
    };
    let veth = "ip link add name probe0 type veth peer name probe1 && mount -t sysfs sysfs /sys";
    let able = unshare().args(["sh", "-c", veth]).output();
    if !able.as_ref().is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {name}: no namespace with virtual links can be made: {able:?}");
        return;
    }
    let mut command = unshare();
    command.args(["timeout", "--signal=KILL", "120"]);
    command.arg(std::env::current_exe().unwrap()).args(["--exact", name, "--nocapture"]);
    let output = command.env(INSIDE, "1").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}{text}", String::from_utf8_lossy(&output.stdout));
    eprintln!("{text}");
}

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What of the link a boot may have changed.
fn state(link: &str) -> String {
    let mut state = ip(&format!("-o addr show dev {link}"));
    state += &fs::read_to_string(format!("/sys/class/net/{link}/flags")).unwrap();
    state += &fs::read_to_string(format!("/sys/class/net/{link}/mtu")).unwrap();
    for family in ["-4", "-6"] {
        state += &ip(&format!("{family} route show table all dev {link}"));
    }
    for value in ["accept_ra", "autoconf", "disable_ipv6"] {
        state += &sysctl(link, value);
    }
    state
}

fn sysctl(link: &str, value: &str) -> String {
    fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{link}/{value}")).unwrap()
}

/// The other end of `client0`: a thread in a network namespace of its own, with addresses
/// on its link, and one that is only reached by a route.
fn other_end(run: impl FnOnce() + Send + 'static) {
    ip("link add name client0 type veth peer name server0");
    let (tell, told): (Sender<i32>, Receiver<i32>) = mpsc::channel();
    let (moved, wait) = mpsc::channel();
    let (ready, is_ready) = mpsc::channel();
    thread::spawn(move || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        tell.send(rustix::thread::gettid().as_raw_nonzero().get()).unwrap();
        wait.recv().unwrap();
        ip("link set lo up");
        ip("addr add 198.51.100.1/32 dev lo");
        ip("-6 addr add 2001:db8:ff::1/128 dev lo nodad");
        ip("addr add 192.0.2.1/24 dev server0");
        ip("-6 addr add 2001:db8::1/64 dev server0 nodad");
        ip("link set server0 up");
        ready.send(()).unwrap();
        run();
    });
    ip(&format!("link set server0 netns {}", told.recv().unwrap()));
    moved.send(()).unwrap();
    is_ready.recv().unwrap();
}

/// Sends everything back.
fn echo() {
    let socket = UdpSocket::bind("[::]:7").unwrap();
    let mut buffer = [0; 2000];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let _unreachable = socket.send_to(&buffer[..length], from);
    }
}

/// Whether the echo at `address` answers.
fn reaches(address: &str) -> bool {
    let address: IpAddr = address.parse().unwrap();
    let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
    let socket = UdpSocket::bind(any).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let mut buffer = [0; 10];
    (0..4).any(|_| {
        let sent = socket.send_to(b"echo", SocketAddr::new(address, 7));
        sent.is_ok() && socket.recv(&mut buffer).is_ok_and(|length| buffer[..length] == *b"echo")
    })
}

fn network(addressing: Addressing, deadline: &str) -> Network {
    let deadline = deadline.parse().unwrap();
    Network { link: LinkSelector::Only, addressing, mtu: None, deadline }
}

type Lines = Arc<Mutex<Vec<String>>>;

fn open(network: &Network, lines: &Lines) -> Result<(Connection, String), NetworkError> {
    let lines = Arc::clone(lines);
    let log = Box::new(move |line: &str| lines.lock().unwrap().push(line.to_owned()));
    Connection::open(network, Instant::now() + network.deadline.duration(), log)
}

/// A DHCP server that answers with what `script` says.
fn serve(mut script: impl FnMut(&Question, SocketAddr) -> Vec<Vec<u8>>) {
    let socket = UdpSocket::bind("0.0.0.0:67").unwrap();
    socket.set_broadcast(true).unwrap();
    // 255.255.255.255 has no route of its own.
    ip("route add 255.255.255.255/32 dev server0");
    let mut buffer = [0; 2000];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let question = Question(buffer[..length].to_vec());
        let to = match question.wants_broadcast() {
            true => SocketAddr::from(([255; 4], 68)),
            false => from,
        };
        for answer in script(&question, from) {
            socket.send_to(&answer, to).unwrap();
        }
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(15);
    while !done() {
        assert!(Instant::now() < until, "waited too long: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn configured_addresses_come_and_go() {
    isolated("configured_addresses_come_and_go", || {
        other_end(echo);
        let before = state("client0");
        let addresses = ["192.0.2.2/24", "2001:db8::2/64"].map(|text| {
            let (address, prefix) = text.split_once('/').unwrap();
            (address.parse().unwrap(), prefix.parse().unwrap())
        });
        let gateways = ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap());
        let addressing =
            Addressing::Static { addresses: addresses.into(), gateways: gateways.into() };
        let mut network = network(addressing, "5s");
        network.mtu = Some(1300);
        let (connection, line) = open(&network, &Lines::default()).unwrap();
        assert!(line.starts_with("client0 (no driver, "), "{line}");
        assert!(
            line.ends_with("has 192.0.2.2/24 2001:db8::2/64, router 192.0.2.1, router 2001:db8::1"),
            "{line}"
        );
        for address in ["192.0.2.1", "198.51.100.1", "2001:db8::1", "2001:db8:ff::1"] {
            assert!(reaches(address), "{address}\n{}", state("client0"));
        }
        assert_eq!(fs::read_to_string("/sys/class/net/client0/mtu").unwrap(), "1300\n");
        assert_eq!(
            ["accept_ra", "autoconf", "disable_ipv6"].map(|v| sysctl("client0", v)),
            ["0\n"; 3]
        );
        connection.close().unwrap();
        assert_eq!(state("client0"), before);
    });
}

#[test]
fn a_gateway_outside_the_subnet_is_reached() {
    isolated("a_gateway_outside_the_subnet_is_reached", || {
        other_end(|| {
            ip("route add 203.0.113.5/32 dev server0");
            echo();
        });
        let addressing = Addressing::Static {
            addresses: vec![("203.0.113.5".parse().unwrap(), 32)],
            gateways: vec!["192.0.2.1".parse().unwrap()],
        };
        let before = state("client0");
        let (connection, _) = open(&network(addressing.clone(), "5s"), &Lines::default()).unwrap();
        assert!(reaches("198.51.100.1"), "{}", state("client0"));
        assert_eq!(sysctl("client0", "disable_ipv6"), "1\n");
        connection.close().unwrap();
        assert_eq!(state("client0"), before);

        // What the kernel refuses is named, and nothing is left of the rest.
        let Addressing::Static { mut addresses, gateways } = addressing else { unreachable!() };
        addresses.push(addresses[0]);
        let twice = network(Addressing::Static { addresses, gateways }, "5s");
        let error = open(&twice, &Lines::default()).unwrap_err().to_string();
        assert!(error.contains("adding the address 203.0.113.5/32 on client0"), "{error}");
        assert_eq!(state("client0"), before);
    });
}

#[test]
fn a_lease_is_kept_lost_and_given_back() {
    isolated("a_lease_is_kept_lost_and_given_back", || {
        let seen: Arc<Mutex<Vec<(u8, bool, IpAddr)>>> = Arc::default();
        let note = Arc::clone(&seen);
        other_end(move || {
            thread::spawn(|| {
                // Threads are born into the namespace of the one that makes them.
                echo();
            });
            let mut extended = 0;
            serve(move |question, from| {
                let selects = question.option(50).is_some();
                note.lock().unwrap().push((question.kind(), selects, from.ip()));
                let address = Ipv4Addr::new(192, 0, 2, if extended < 2 { 50 } else { 60 });
                let answer = |kind| {
                    let answer = Answer::new(question, kind, address).with(26, &[5, 120]);
                    // A minute; T1 after a second, T2 after thirty.
                    answer.with(51, &[0, 0, 0, 60]).with(58, &[0, 0, 0, 1]).with(59, &[0, 0, 0, 30])
                };
                match (question.kind(), selects) {
                    (REQUEST, true) => vec![answer(ACK).encode()],
                    (REQUEST, false) => {
                        extended += 1;
                        vec![answer(if extended == 2 { NAK } else { ACK }).encode()]
                    }
                    _ => vec![vec![0; 1500], vec![7; 9], answer(OFFER).encode()],
                }
            });
        });
        let before = state("client0");
        let lines = Lines::default();
        let (connection, line) = open(&network(Addressing::Dhcp, "10s"), &lines).unwrap();
        assert!(
            line.ends_with("has 192.0.2.50/24 from 192.0.2.1 for 60 s, router 192.0.2.1, MTU 1400"),
            "{line}"
        );
        assert!(reaches("198.51.100.1"), "{}", state("client0"));
        assert_eq!(fs::read_to_string("/sys/class/net/client0/mtu").unwrap(), "1400\n");
        assert_eq!(sysctl("client0", "disable_ipv6"), "1\n");

        // Extended once from its own address, then refused, then another one.
        wait_until("the other lease", || lines.lock().unwrap().len() >= 2);
        let told = lines.lock().unwrap().clone();
        assert!(told[0].ends_with(") has lost its lease"), "{told:?}");
        assert!(told[1].contains("has 192.0.2.60/24"), "{told:?}");
        let addresses = ip("-o addr show dev client0");
        assert!(addresses.contains("192.0.2.60/24") && !addresses.contains(".50"), "{addresses}");
        assert!(reaches("198.51.100.1"), "{}", state("client0"));
        let unicast = (REQUEST, false, IpAddr::from([192, 0, 2, 50]));
        assert!(seen.lock().unwrap().contains(&unicast), "{seen:?}");

        connection.close().unwrap();
        assert_eq!(state("client0"), before);
    });
}

#[test]
fn a_server_that_only_floods_does_not_hold_up_the_deadline() {
    isolated("a_server_that_only_floods_does_not_hold_up_the_deadline", || {
        other_end(|| {
            serve(|question, _| {
                let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
                socket.set_broadcast(true).unwrap();
                let broken = Answer::new(question, OFFER, Ipv4Addr::LOCALHOST);
                let broken = broken.with(54, &[192, 0, 2, 1]).encode();
                // Until the client's process ends.
                loop {
                    let _full = socket.send_to(&broken, "255.255.255.255:68");
                    let _full = socket.send_to(&[0; 1400], "255.255.255.255:68");
                }
            });
        });
        let before = state("client0");
        let (start, used) = (Instant::now(), processor_time());
        let error = open(&network(Addressing::Dhcp, "2s"), &Lines::default()).unwrap_err();
        let (took, used) = (start.elapsed(), processor_time() - used);
        // Thirty is a hang.
        assert!((Duration::from_secs(2)..Duration::from_secs(30)).contains(&took), "{took:?}");
        // In hundredths of a second: a tenth of the time.
        assert!(used <= 20, "{used}");
        let error = error.to_string();
        assert!(error.starts_with("no lease from DHCP on client0 (no driver, "), "{error}");
        assert!(error.contains("127.0.0.1/24 is none that a host can have"), "{error}");
        assert_eq!(state("client0"), before);
    });
}

/// What this thread has used, in clock ticks (fields 14 and 15 of proc_pid_stat(5)).
fn processor_time() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_link_that_is_not_there_or_not_alone_is_named() {
    isolated("a_link_that_is_not_there_or_not_alone_is_named", || {
        let dhcp = network(Addressing::Dhcp, "100ms");
        let refused = |network: &Network| open(network, &Lines::default()).unwrap_err().to_string();
        let missing = refused(&dhcp);
        assert!(
            missing.starts_with("no link for `network.link = \"only\"` within 100ms; there: none"),
            "{missing}"
        );

        ip("link add name client0 address 02:00:00:00:00:07 type veth peer name client1");
        let several = refused(&dhcp);
        assert!(several.contains("client0 (no driver, 02:00:00:00:00:07)"), "{several}");
        assert!(several.contains("client1 (no driver, "), "{several}");

        let by_mac = Network { link: LinkSelector::Mac([2, 0, 0, 0, 0, 7]), ..dhcp.clone() };
        let before = state("client0");
        let carrier = refused(&by_mac);
        assert!(carrier.contains("(no driver, 02:00:00:00:00:07) has no carrier"), "{carrier}");
        assert_eq!(state("client0"), before);

        ip("link set client1 up");
        let silent = refused(&by_mac);
        assert!(silent.contains("1 messages were sent, none was answered"), "{silent}");
        assert_eq!(state("client0"), before);

        let driver = Network { link: LinkSelector::Driver("virtio_net".to_owned()), ..dhcp };
        let missing = refused(&driver);
        assert!(
            missing.contains("\"driver:virtio_net\"` within 100ms; there: client"),
            "{missing}"
        );
    });
}

#[test]
fn a_link_that_is_taken_away_is_no_error_at_the_end() {
    isolated("a_link_that_is_taken_away_is_no_error_at_the_end", || {
        other_end(|| {
            serve(|question, _| {
                let kind = if question.kind() == REQUEST { ACK } else { OFFER };
                vec![Answer::new(question, kind, Ipv4Addr::new(192, 0, 2, 50)).encode()]
            });
        });
        let lines = Lines::default();
        let (connection, _) = open(&network(Addressing::Dhcp, "10s"), &lines).unwrap();
        ip("link del client0");
        thread::sleep(Duration::from_millis(500));
        connection.close().unwrap();
    });
}
