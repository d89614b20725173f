//! The release server over loopback, against a real TLS client.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that goes wrong fails")]

mod release_client;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use init::release::Limits;
use protocol::release::{
    FrameType, Refusal, Release, SSHSIG_NAMESPACE, SignedRelease, Status, VolumeName, statement,
};
use rustls::HandshakeKind;

use release_client::{Client, PATIENCE, Running, key, plain, release, sign};

/// Far enough away.
fn later() -> Option<Instant> {
    Some(Instant::now() + PATIENCE)
}

fn opened() -> Status {
    Status::Opened { epochs: vec![(VolumeName::root(), 7)] }
}

fn accepted(have: u8, need: u8) -> Status {
    Status::Accepted { have, need, others: 0 }
}

#[track_caller]
fn assert_refused(status: &Status, wanted: Refusal) {
    assert!(matches!(status, Status::Refused { why, .. } if *why == wanted), "{status:?}");
}

#[test]
fn one_owner_releases_and_hears_of_it() {
    let owner = key(1);
    let running = Running::start(&[&owner], 1, Limits::default());
    let mut client = Client::attested(running.port);
    assert_eq!(client.evidence.threshold, 1);
    assert_eq!(client.evidence.wanted, [VolumeName::root()]);
    assert_eq!(client.release(&owner, &release(1)), accepted(1, 1));
    let released = running.server.wait(later()).unwrap();
    assert_eq!(released.release.encode(), release(1).encode());
    assert_eq!(released.owners, [owner.fingerprint(ssh_key::HashAlg::Sha256).to_string()]);
    running.server.answer(&opened());
    assert_eq!(client.status(), opened());
    client.record();
    assert!(running.server.wait_recorded());
    // PID 1 stops at once after its answer: the owner hears it all the same.
    let hearing = std::thread::spawn(move || (client.status(), client.is_closed()));
    running.server.answer(&Status::Booting);
    let port = running.port;
    let log = running.stop();
    assert_eq!(hearing.join().unwrap(), (Status::Booting, true));
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("releases keys, 1 of 1"), "{log:?}");
}

#[test]
fn two_of_three_have_to_agree() {
    let owners = [key(1), key(2), key(3)];
    let running = Running::start(&owners.each_ref(), 2, Limits::default());
    let mut first = Client::attested(running.port);
    assert_eq!(first.release(&owners[2], &release(1)), accepted(1, 2));
    // The same key again counts once, and ends its earlier session.
    let mut again = Client::attested(running.port);
    assert_eq!(again.release(&owners[2], &release(1)), accepted(1, 2));
    assert_refused(&first.status(), Refusal::Busy);
    assert!(running.server.wait(Some(Instant::now())).is_none());
    // Who differs is a set of his own, and both are told of it.
    let mut other = Client::attested(running.port);
    let alone = Status::Accepted { have: 1, need: 2, others: 1 };
    assert_eq!(other.release(&owners[0], &release(2)), alone);
    assert_eq!(again.status(), alone);
    assert!(running.server.wait(Some(Instant::now())).is_none());
    // One whose peer is gone counts all the same.
    drop(again);
    let mut second = Client::attested(running.port);
    let together = Status::Accepted { have: 2, need: 2, others: 1 };
    assert_eq!(second.release(&owners[1], &release(1)), together);
    assert_eq!(other.status(), Status::Accepted { have: 1, need: 2, others: 2 });
    let released = running.server.wait(later()).unwrap();
    assert_eq!(released.owners.len(), 2);
    assert_eq!(released.release.encode(), release(1).encode());
    running.server.answer(&opened());
    assert_eq!(second.status(), opened());
    second.record();
    assert!(running.server.wait_recorded());
    running.server.answer(&Status::Booting);
    assert_eq!(second.status(), Status::Booting);
    assert_refused(&other.status(), Refusal::Disagreement);
    let log = running.stop();
    assert!(log.iter().any(|line| line.contains("1 of 2; other keys than 1 of the owners")));
}

/// Attack: an owner who wants the VM not to boot sends wrong keys, first, in between, and
/// again and again. Closed: the others' release is tried as if he were not there.
#[test]
fn one_owner_cannot_keep_the_others_out() {
    let owners = [key(1), key(2), key(3)];
    for threshold in [1, 2] {
        let running = Running::start(&owners.each_ref(), threshold, Limits::default());
        let mut number = 100;
        let mut disturb = || {
            number += 1;
            Client::attested(running.port).release(&owners[0], &release(number))
        };
        disturb();
        // Where one is enough his wrong key is tried; meanwhile the others come.
        let tried = running.server.wait(Some(Instant::now()));
        assert_eq!(tried.is_some(), threshold == 1);
        for owner in owners.iter().skip(1).take(threshold.into()) {
            disturb();
            let mut client = Client::attested(running.port);
            let told = client.release(owner, &release(1));
            assert!(matches!(told, Status::Accepted { .. }), "{told:?}");
            disturb();
        }
        if tried.is_some() {
            running.server.answer(&Status::refused(Refusal::NotOpened, "wrong key"));
            assert_refused(&disturb(), Refusal::Busy);
        }
        let released = running.server.wait(later()).unwrap();
        assert_eq!(released.release.encode(), release(1).encode());
        running.server.answer(&Status::Booting);
    }
}

/// Attack: the host drops what the guest says of its epochs, or the answer to it. Closed:
/// the guest is told that nobody has recorded them, and does not boot.
#[test]
fn the_boot_waits_until_an_owner_has_recorded_the_epochs() {
    let owners = [key(1), key(2)];
    let opening = |limits: Limits| {
        let running = Running::start(&owners.each_ref(), 2, limits);
        let mut clients = [Client::attested(running.port), Client::attested(running.port)];
        for (client, owner) in clients.iter_mut().zip(&owners) {
            client.release(owner, &release(1));
        }
        assert!(running.server.wait(later()).is_some());
        running.server.answer(&opened());
        (running, clients)
    };
    // Nobody answers in time.
    let short = Limits { step: Duration::from_millis(300), ..Limits::default() };
    let (running, clients) = opening(short);
    assert!(!running.server.wait_recorded());
    drop(clients);
    // Nobody is there any more: no need to wait for them.
    let (running, clients) = opening(Limits { step: PATIENCE * 60, ..Limits::default() });
    drop(clients);
    assert!(!running.server.wait_recorded());
    // After that others may come, and the same ones.
    running.server.answer(&Status::refused(Refusal::Unrecorded, "nobody"));
    let mut again = Client::attested(running.port);
    assert_eq!(again.release(&owners[0], &release(1)), accepted(1, 2));
    // One is enough where the other is gone, or silent.
    let (running, [mut first, second]) =
        opening(Limits { step: PATIENCE * 60, ..Limits::default() });
    drop(second);
    while first.status() != opened() {}
    first.record();
    assert!(running.server.wait_recorded());
    let (running, [mut first, second]) =
        opening(Limits { step: Duration::from_secs(2), ..Limits::default() });
    while first.status() != opened() {}
    first.record();
    assert!(running.server.wait_recorded());
    drop(second);
}

/// What is recorded is what was opened: nothing before it, and nothing else.
#[test]
fn nothing_is_recorded_before_it_is_open() {
    let owner = key(1);
    let running = Running::start(&[&owner], 1, Limits::default());
    let mut early = Client::attested(running.port);
    early.release(&owner, &release(1));
    early.record();
    assert_refused(&early.status(), Refusal::Malformed);
    assert!(running.server.wait(later()).is_some());
    running.server.answer(&opened());
    assert!(!running.server.wait_recorded());
    running.server.answer(&Status::refused(Refusal::Unrecorded, "nobody"));
}

#[test]
fn an_owner_corrects_a_mistake() {
    let owners = [key(1), key(2)];
    let running = Running::start(&owners.each_ref(), 2, Limits::default());
    let mut wrong = Client::attested(running.port);
    assert_eq!(wrong.release(&owners[0], &release(1)), accepted(1, 2));
    let mut right = Client::attested(running.port);
    assert_eq!(right.release(&owners[0], &release(2)), accepted(1, 2));
    assert_refused(&wrong.status(), Refusal::Busy);
    let mut second = Client::attested(running.port);
    assert_eq!(second.release(&owners[1], &release(2)), accepted(2, 2));
    // The one before hears of the new count.
    assert_eq!(right.status(), accepted(2, 2));
    let released = running.server.wait(later()).unwrap();
    assert_eq!(released.release.encode(), release(2).encode());
}

#[test]
fn no_release_without_its_owners_signature_here() {
    let (owner, stranger) = (key(1), key(9));
    let running = Running::start(&[&owner], 1, Limits::default());
    let encoded = release(1).encode();
    let mut first = Client::attested(running.port);
    let good = sign(&owner, SSHSIG_NAMESPACE, &statement(&first.exporter, &encoded));
    // Of another session.
    let mut client = Client::attested(running.port);
    assert_refused(&client.send(&encoded, &good), Refusal::Signature);
    // Over another release.
    let mut client = Client::attested(running.port);
    let other = sign(&owner, SSHSIG_NAMESPACE, &statement(&client.exporter, &encoded));
    assert_refused(&client.send(&release(2).encode(), &other), Refusal::Signature);
    // For another purpose.
    let mut client = Client::attested(running.port);
    let other = sign(&owner, "file", &statement(&client.exporter, &encoded));
    assert_refused(&client.send(&encoded, &other), Refusal::Signature);
    // By somebody else, and by nobody.
    let mut client = Client::attested(running.port);
    assert_refused(&client.release(&stranger, &release(1)), Refusal::UnknownOwner);
    let mut client = Client::attested(running.port);
    assert_refused(&client.send(&encoded, b""), Refusal::Malformed);
    // With a flipped bit.
    let mut client = Client::attested(running.port);
    let mut other = sign(&owner, SSHSIG_NAMESPACE, &statement(&client.exporter, &encoded));
    *other.last_mut().unwrap() ^= 1;
    assert_refused(&client.send(&encoded, &other), Refusal::Signature);
    // And with other volumes than those that are waited for.
    let mut client = Client::attested(running.port);
    let volumes = Release::new(vec![plain("root", 1), plain("data", 1)]).unwrap();
    assert_refused(&client.release(&owner, &volumes), Refusal::Volumes);
    let mut client = Client::attested(running.port);
    let volumes = Release::new(vec![plain("data", 1)]).unwrap();
    assert_refused(&client.release(&owner, &volumes), Refusal::Volumes);
    // Signed nonsense is nonsense.
    let mut client = Client::attested(running.port);
    let nonsense = sign(&owner, SSHSIG_NAMESPACE, &statement(&client.exporter, b"no release"));
    assert_refused(&client.send(b"no release", &nonsense), Refusal::Malformed);

    assert!(running.server.wait(Some(Instant::now())).is_none());
    // The first session waited through all of that.
    assert_eq!(first.send(&encoded, &good), accepted(1, 1));
    assert!(running.server.wait(later()).is_some());
}

#[test]
fn a_wrong_key_is_tried_again_after_a_time() {
    let owner = key(1);
    for (retry, next) in [(Duration::ZERO, None), (PATIENCE * 60, Some(Refusal::Busy))] {
        let limits = Limits { retry, retry_at_most: retry, ..Limits::default() };
        let running = Running::start(&[&owner], 1, limits);
        let mut client = Client::attested(running.port);
        assert_eq!(client.release(&owner, &release(1)), accepted(1, 1));
        assert!(running.server.wait(later()).is_some());
        let wrong = Status::refused(Refusal::NotOpened, "wrong key");
        running.server.answer(&wrong);
        assert_eq!(client.status(), wrong);
        assert!(running.server.wait(Some(Instant::now())).is_none());
        let mut client = Client::attested(running.port);
        let status = client.release(&owner, &release(2));
        match next {
            Some(why) => assert_refused(&status, why),
            None => {
                assert_eq!(status, accepted(1, 1));
                let released = running.server.wait(later()).unwrap();
                assert_eq!(released.release.encode(), release(2).encode());
            }
        }
    }
}

#[test]
fn an_incomplete_set_expires() {
    let owners = [key(1), key(2)];
    let limits = Limits { quorum: Duration::from_millis(50), ..Limits::default() };
    let running = Running::start(&owners.each_ref(), 2, limits);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| running.server.wait(later()).is_some());
        let mut client = Client::attested(running.port);
        assert_eq!(client.release(&owners[0], &release(1)), accepted(1, 2));
        assert_refused(&client.status(), Refusal::Expired);
        // What the first one sent is gone: another release may come.
        let mut other = Client::attested(running.port);
        assert_eq!(other.release(&owners[1], &release(2)), accepted(1, 2));
        assert_refused(&other.status(), Refusal::Expired);
        // Until both come in time.
        while !waiting.is_finished() {
            let mut clients = [Client::attested(running.port), Client::attested(running.port)];
            for (client, owner) in clients.iter_mut().zip(&owners) {
                client.release(owner, &release(3));
            }
        }
        assert!(waiting.join().unwrap());
    });
}

#[test]
fn sessions_end_with_the_server() {
    let owners = [key(1), key(2)];
    let running = Running::start(&owners.each_ref(), 2, Limits::default());
    let mut waiting = Client::attested(running.port);
    waiting.release(&owners[0], &release(1));
    let mut silent = Client::attested(running.port);
    let mut stalled = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    running.stop();
    assert_refused(&waiting.status(), Refusal::Expired);
    assert!(silent.is_closed());
    assert_eq!(stalled.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn nothing_is_kept_for_another_session() {
    let running = Running::start(&[&key(1)], 1, Limits::default());
    let config = release_client::config(&[protocol::release::ALPN]);
    let mut keys = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(running.port, &config);
        client.hello(&[7; 32]);
        assert_eq!(client.tls.conn.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(client.tls.conn.tls13_tickets_received(), 0);
        keys.push((client.public_key(), client.exporter));
    }
    assert!(keys.iter().all(|(key, _)| *key == keys[0].0), "one key a boot");
    assert!(keys[0].1 != keys[1].1 && keys[1].1 != keys[2].1);
    let other = Running::start(&[&key(1)], 1, Limits::default());
    assert_ne!(Client::connect(other.port, &config).public_key(), keys[0].0);
}

#[test]
fn another_protocol_gets_nothing() {
    let running = Running::start(&[&key(1)], 1, Limits::default());
    // Without ALPN the handshake is good, and then it is over.
    let mut client = Client::connect(running.port, &release_client::config(&[]));
    assert!(client.is_closed());
    // With another one it is refused.
    let config = release_client::config(&[b"h2"]);
    let error = Client::try_connect(running.port, &config).err().unwrap().to_string();
    assert!(error.contains("NoApplicationProtocol"), "{error}");
    // TLS 1.2: alert protocol_version (RFC 8446, section 6.2).
    let mut tcp = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    tcp.write_all(&release_client::tls12_hello()).unwrap();
    let mut answer = Vec::new();
    tcp.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, 70]);
}

#[test]
fn frames_are_bounded_and_in_order() {
    let owner = key(1);
    let running = Running::start(&[&owner], 1, Limits::default());
    let config = release_client::config(&[protocol::release::ALPN]);
    let head = |kind: u8, length: u32| [&[kind, 0, 0, 0], &length.to_be_bytes()[..]].concat();
    for first in [head(1, 33), head(1, u32::MAX), head(3, 32), head(9, 0), vec![0xff; 8]] {
        let mut client = Client::connect(running.port, &config);
        client.write(&first);
        assert_refused(&client.status(), Refusal::Malformed);
        assert!(client.is_closed());
    }
    let mut client = Client::connect(running.port, &config);
    client.write(&[head(1, 31), vec![0; 31]].concat());
    assert_refused(&client.status(), Refusal::Malformed);
    for second in [head(3, (32 << 10) + 1), head(1, 32), head(3, u32::MAX)] {
        let mut client = Client::attested(running.port);
        client.write(&second);
        assert_refused(&client.status(), Refusal::Malformed);
    }
    let mut client = Client::attested(running.port);
    let content = vec![0xee; 32 << 10];
    client.write(&protocol::release::frame(FrameType::Release, &content));
    assert_refused(&client.status(), Refusal::Malformed);
    // Nothing follows a release; it counts all the same.
    let mut client = Client::attested(running.port);
    assert_eq!(client.release(&owner, &release(1)), accepted(1, 1));
    client.write(b"x");
    assert_refused(&client.status(), Refusal::Malformed);
    assert!(running.server.wait(later()).is_some());
}

#[test]
fn a_session_has_a_budget_of_bytes() {
    let running = Running::start(&[&key(1)], 1, Limits::default());
    // An endless handshake of a message that would be whole at 16 MiB.
    let mut tcp = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    tcp.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut record = vec![22, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff];
    record.resize(5 + 0x4000, 0);
    let sent = (0..1000).take_while(|_| tcp.write_all(&record).is_ok()).count();
    assert!(sent < 1000);
}

#[test]
fn garbage_ends_nowhere_and_keeps_nobody_out() {
    let owner = key(1);
    let running = Running::start(&[&owner], 1, Limits::default());
    let before = release_client::resident_kib();
    let mut held = std::collections::VecDeque::new();
    let mut noise = release_client::Noise(1);
    for round in 0..1000 {
        let mut tcp = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
        let mut bytes = noise.bytes(1 + round * 7 % 3000);
        match round % 3 {
            // A record that has a good head, and a frame of this protocol in clear.
            0 => bytes.splice(0..0, [22, 3, 1, 0x20, 0]).for_each(drop),
            1 => bytes.splice(0..0, [1, 0, 0, 0, 0, 0, 0, 32]).for_each(drop),
            _ => {}
        }
        let _closed = tcp.write_all(&bytes);
        held.push_back(tcp);
        if held.len() > 200 {
            held.pop_front();
        }
    }
    let mut client = Client::attested(running.port);
    assert_eq!(client.release(&owner, &release(1)), accepted(1, 1));
    assert!(running.server.wait(later()).is_some());
    let grown = release_client::resident_kib().saturating_sub(before);
    assert!(grown < 64 << 10, "{grown} KiB");
    let log = running.stop();
    assert!(log.len() < 32, "{} lines", log.len());
}

#[test]
fn strangers_with_sessions_do_not_keep_an_owner_out() {
    let owners = [key(1), key(2)];
    let limits = Limits { sessions: 4, ..Limits::default() };
    let running = Running::start(&owners.each_ref(), 2, limits);
    let mut signed = Client::attested(running.port);
    assert_eq!(signed.release(&owners[0], &release(1)), accepted(1, 2));
    let strangers: Vec<_> = (0..12).map(|_| Client::attested(running.port)).collect();
    let idle: Vec<_> =
        (0..40).map(|_| TcpStream::connect(("127.0.0.1", running.port)).unwrap()).collect();
    let mut second = Client::attested(running.port);
    assert_eq!(second.release(&owners[1], &release(1)), accepted(2, 2));
    // A session of which an owner has signed was not given up.
    assert_eq!(signed.status(), accepted(2, 2));
    drop((strangers, idle));
}

#[test]
fn a_slow_or_silent_peer_is_left_and_blocks_nobody() {
    let owner = key(1);
    let limits = Limits { step: Duration::from_secs(2), ..Limits::default() };
    let running = Running::start(&[&owner], 1, limits);
    let silent = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    let mut drip = TcpStream::connect(("127.0.0.1", running.port)).unwrap();
    let halfway = Client::attested(running.port);
    drip.write_all(&[22, 3, 1, 0x40, 0, 1]).unwrap();
    let mut client = Client::attested(running.port);
    assert_eq!(client.release(&owner, &release(1)), accepted(1, 1));
    // The deadline is for all of a step: a byte now and then does not put it off.
    let until = Instant::now() + PATIENCE;
    let mut sent = 0;
    while drip.write_all(&[0]).is_ok() {
        assert!(Instant::now() < until, "still open after {sent} bytes");
        sent += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    silent.set_read_timeout(Some(PATIENCE)).unwrap();
    assert_eq!((&silent).read(&mut [0]).unwrap_or(0), 0);
    drop(halfway);
}

#[test]
fn no_report_is_said() {
    let owner = key(1);
    let (hold, held) = mpsc::channel::<()>();
    let limits = Limits { evidence: Duration::from_millis(200), ..Limits::default() };
    let running = Running::with_reports(
        &[&owner],
        1,
        limits,
        Box::new(move |_, _| {
            let _until_the_end = held.recv();
            Err(init::reports::ReportError::OtherData)
        }),
    );
    let config = release_client::config(&[protocol::release::ALPN]);
    for _ in 0..3 {
        let mut client = Client::connect(running.port, &config);
        client.write(&protocol::release::frame(FrameType::Hello, &[1; 32]));
        assert_refused(&client.status(), Refusal::NoReport);
    }
    // The stuck question does not keep the server from ending.
    running.stop();
    drop(hold);
}

/// A source that answers the first question, and then says that it was asked and stands
/// still until the end.
fn stalling() -> (init::release::Ask, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let (asked, asks) = mpsc::channel();
    let (hold, held) = mpsc::channel::<()>();
    let answered = std::sync::atomic::AtomicBool::new(false);
    let ask: init::release::Ask = Box::new(move |data, until| {
        if !answered.swap(true, std::sync::atomic::Ordering::Relaxed) {
            return release_client::report(data, until);
        }
        asked.send(()).unwrap();
        let _until_the_end = held.recv();
        Err(init::reports::ReportError::OtherData)
    });
    (ask, asks, hold)
}

/// Attack: sessions that only say hello, of whom the secure processor has answered none.
/// Closed: they make room, not the owner who has his evidence.
#[test]
fn who_has_evidence_stays_before_who_only_asked() {
    let owner = key(1);
    let (ask, asks, hold) = stalling();
    let limits = Limits { sessions: 2, ..Limits::default() };
    let running = Running::with_reports(&[&owner], 1, limits, ask);
    let mut client = Client::attested(running.port);
    let config = release_client::config(&[protocol::release::ALPN]);
    let mut stranger = Client::connect(running.port, &config);
    stranger.write(&protocol::release::frame(FrameType::Hello, &[1; 32]));
    asks.recv_timeout(PATIENCE).unwrap();
    let another = Client::connect(running.port, &config);
    assert!(stranger.is_closed());
    assert_eq!(client.release(&owner, &release(1)), accepted(1, 1));
    drop((another, hold));
}

/// A full queue is no broken processor: it is worth another try.
#[test]
fn too_many_questions_are_busy() {
    let (ask, asks, hold) = stalling();
    let limits = Limits { sessions: 1, evidence: Duration::from_millis(200), ..Limits::default() };
    let running = Running::with_reports(&[&key(1)], 1, limits, ask);
    drop(Client::attested(running.port));
    let config = release_client::config(&[protocol::release::ALPN]);
    let hello = || {
        let mut client = Client::connect(running.port, &config);
        client.write(&protocol::release::frame(FrameType::Hello, &[1; 32]));
        client
    };
    // One is asked for, one waits.
    let first = hello();
    asks.recv_timeout(PATIENCE).unwrap();
    drop(first);
    assert_refused(&hello().status(), Refusal::NoReport);
    assert_refused(&hello().status(), Refusal::Busy);
    running.stop();
    drop(hold);
}

/// The frame that carries a release is read strictly, too.
#[test]
fn a_release_frame_is_read_strictly() {
    let owner = key(1);
    let running = Running::start(&[&owner], 1, Limits::default());
    let mut client = Client::attested(running.port);
    let encoded = release(1).encode();
    let signature = sign(&owner, SSHSIG_NAMESPACE, &statement(&client.exporter, &encoded));
    let mut content = SignedRelease { release: encoded, signature }.encode();
    content.extend_from_slice(&[9, 0, 0, 0, 0]);
    client.write(&protocol::release::frame(FrameType::Release, &content));
    assert_refused(&client.status(), Refusal::Malformed);
}
